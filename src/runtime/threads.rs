//! refscope's own threads, which have no handle of the program's and receive none of its signals.

use std::io;
use std::sync::atomic::{AtomicI32, AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::thread::{Builder, JoinHandle};

/// A thread that only works for refscope: it holds no handle of the program's.
struct Own {
    /// The system's number of it, or 0.
    tid: AtomicI32,
    /// An address in its first frames: below lies what it works with.
    top: AtomicUsize,
    /// The C library's data of it, which lie behind its frames.
    data: AtomicUsize,
}

/// The first is the clock's. A recording in a file has one: a thread for which there is no room is taken for one of the
/// program's whose registers are unknown, so that nothing is proven.
static OWN: [Own; 256] =
    [const { Own { tid: AtomicI32::new(0), top: AtomicUsize::new(0), data: AtomicUsize::new(0) } };
        256];

/// While this exists, its thread is known as one of refscope's own. (Another thread may get its number afterwards.)
struct OwnThread(Option<&'static Own>);

impl OwnThread {
    /// Notes that this thread is one of refscope's own.
    fn note() -> Self {
        Self(note_own_thread(&OWN[1..]))
    }
}

/// Notes that this thread is the clock's.
pub(super) fn note_clock() {
    note_own_thread(&OWN[..1]);
}

/// Whether the clock's thread is known by its number.
#[allow(dead_code)] // where nothing is searched
pub(super) fn is_clock_known() -> bool {
    OWN[0].tid.load(Ordering::Relaxed) != 0
}

impl Drop for OwnThread {
    fn drop(&mut self) {
        if let Some(own) = self.0 {
            own.top.store(0, Ordering::Relaxed);
            own.tid.store(0, Ordering::Relaxed);
        }
    }
}

/// The first of these that is free is the thread's.
fn note_own_thread(all: &'static [Own]) -> Option<&'static Own> {
    #[cfg(target_os = "linux")]
    {
        // SAFETY: SIGNALS: no memory is touched.
        let tid = unsafe { libc::syscall(libc::SYS_gettid) } as i32;
        // Relaxed: a number that is read by those who ask the system for the thread.
        let take = |own: &&Own| {
            own.tid.compare_exchange(0, tid, Ordering::Relaxed, Ordering::Relaxed).is_ok()
        };
        let own = all.iter().find(take)?;
        // SAFETY: SIGNALS: no memory is touched.
        own.data.store(unsafe { libc::pthread_self() } as usize, Ordering::Relaxed);
        own.top.store(std::ptr::from_ref(&tid).addr(), Ordering::Relaxed);
        Some(own)
    }
    #[cfg(not(target_os = "linux"))]
    {
        let _ = all;
        None
    }
}

/// In a process that was forked: none of these threads is in it.
#[cfg(unix)]
pub(crate) fn forget_own_threads() {
    for own in &OWN {
        own.top.store(0, Ordering::Relaxed);
        own.tid.store(0, Ordering::Relaxed);
    }
}

/// Of the stack of each of refscope's own threads an address in its first frames, and where the C library's data of the thread
/// are. But for the thread with this number.
#[allow(dead_code)] // where nothing is searched
pub(crate) fn own_stacks(but: i32) -> impl Iterator<Item = (usize, usize)> {
    let others = OWN.iter().filter(move |own| own.tid.load(Ordering::Relaxed) != but);
    let stacks =
        others.map(|own| (own.top.load(Ordering::Relaxed), own.data.load(Ordering::Relaxed)));
    stacks.filter(|&(top, _)| top != 0)
}

/// Whether the thread of this number is one of refscope's own.
#[allow(dead_code)] // where nothing is searched
pub(crate) fn is_own_thread(tid: i32) -> bool {
    OWN.iter().any(|own| own.tid.load(Ordering::Relaxed) == tid)
}

/// Starts one of refscope's own threads: it is known as such, and no signal of the program is delivered to it.
///
/// # Errors
///
/// Where the system starts no thread.
pub(crate) fn spawn<T: Send + 'static>(
    thread: Builder,
    f: impl FnOnce() -> T + Send + 'static,
) -> io::Result<JoinHandle<T>> {
    without_signals(|| {
        thread.spawn(move || {
            let _own = OwnThread::note();
            f()
        })
    })
}

/// Calls both at once, the second on a thread of refscope's own: after the first, where the system starts none.
#[allow(dead_code)] // where nothing is searched
pub(crate) fn both<A, B: Send>(
    first: impl FnOnce() -> A,
    second: impl FnOnce() -> B + Send,
) -> (A, B) {
    let second = Mutex::new(Some(second));
    let take = || second.lock().unwrap_or_else(PoisonError::into_inner).take();
    std::thread::scope(|scope| {
        let other = without_signals(|| {
            Builder::new().name("refscope".into()).spawn_scoped(scope, || {
                let _own = OwnThread::note();
                take().map(|second| second())
            })
        });
        let first = first();
        let other = other.ok().and_then(|other| match other.join() {
            Ok(result) => result,
            Err(panic) => std::panic::resume_unwind(panic),
        });
        (first, other.unwrap_or_else(|| take().expect("nobody took it")()))
    })
}

/// Calls `start` while this thread blocks all signals, which a thread that it starts inherits.
pub(super) fn without_signals<R>(start: impl FnOnce() -> R) -> R {
    #[cfg(unix)]
    {
        use std::mem::MaybeUninit;

        let mut all = MaybeUninit::uninit();
        let mut before = MaybeUninit::uninit();
        // SAFETY: SIGNALS: fills the set that it is given.
        unsafe { libc::sigfillset(all.as_mut_ptr()) };
        // SAFETY: SIGNALS: the first set is filled, the second is written.
        let masked = unsafe {
            libc::pthread_sigmask(libc::SIG_SETMASK, all.as_ptr(), before.as_mut_ptr()) == 0
        };
        let result = start();
        if masked {
            // SAFETY: SIGNALS: the set was written, since the call above succeeded.
            unsafe {
                libc::pthread_sigmask(libc::SIG_SETMASK, before.as_ptr(), std::ptr::null_mut())
            };
        }
        result
    }
    #[cfg(not(unix))]
    start()
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::{is_own_thread, spawn};
    use std::sync::{Arc, Barrier};
    use std::thread::Builder;

    /// A program may have many recordings, each with a thread.
    #[test]
    fn a_hundred_threads_are_known() {
        let all = Arc::new(Barrier::new(100));
        let threads = (0..100).map(|_| {
            let all = Arc::clone(&all);
            let is_known = move || {
                all.wait();
                // SAFETY: SIGNALS: no memory is touched.
                let is_known = is_own_thread(unsafe { libc::syscall(libc::SYS_gettid) } as i32);
                all.wait();
                is_known
            };
            spawn(Builder::new(), is_known).unwrap()
        });
        let threads: Vec<_> = threads.collect();
        let known = threads.into_iter().map(|thread| thread.join().unwrap());
        assert_eq!(known.filter(|is_known| !is_known).count(), 0, "threads are not known");
    }
}
