//! The clock that stamps handles and records: one load.
//!
//! A thread of refscope's moves a word every [`TICK`], and sleeps while nobody reads it: it sets the word to 0 now
//! and then, and where it finds the 0 again, nobody has asked meanwhile. Who finds the 0 reads the precise clock, and
//! wakes it. Where no thread may be started (see [`without_thread`]), each reading asks the system's coarse clock.

use crate::primitive::TICKER;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, AtomicI32, AtomicU8, AtomicU64, AtomicUsize, Ordering};
use std::thread::Thread;
use std::time::Duration;

/// How often the word moves.
const TICK: Duration = Duration::from_millis(1);
/// After how many ticks it is looked whether anyone reads.
const LOOK: u32 = 64;

/// Nanoseconds since the first look at a clock. 0: ask [`cold`].
static NOW: AtomicU64 = AtomicU64::new(0);
/// The ticking thread is parked, or is about to be.
static PARKED: AtomicBool = AtomicBool::new(false);
static TICKING: OnceLock<Thread> = OnceLock::new();

const UNDECIDED: u8 = 0;
const THREAD: u8 = 1;
const SYSTEM: u8 = 2;
static SOURCE: AtomicU8 = AtomicU8::new(if TICKER { UNDECIDED } else { SYSTEM });

/// The time now, to a millisecond or so.
#[inline]
pub(crate) fn now() -> u64 {
    // Relaxed: a time orders nothing.
    match NOW.load(Ordering::Relaxed) {
        0 => cold(),
        now => now,
    }
}

/// The same where it is one load. 0: it is not.
#[inline(always)]
pub(crate) fn ready() -> u64 {
    // Relaxed: as above.
    if TICKER { NOW.load(Ordering::Relaxed) } else { now() }
}

/// Has the time read from the system's coarse clock from now on, and starts no thread for it.
pub(crate) fn without_thread() {
    // Relaxed: whoever sees the old word asks the ticking thread once more.
    SOURCE.store(SYSTEM, Ordering::Relaxed);
    NOW.store(0, Ordering::Relaxed);
}

/// Stops the clock at some time: in a model, where the common case, which needs one, is to be explored.
#[cfg(test)]
#[allow(dead_code)]
pub(crate) fn stop_at(now: u64) {
    NOW.store(now, Ordering::Relaxed);
}

#[cold]
#[inline(never)]
fn cold() -> u64 {
    if SOURCE.load(Ordering::Relaxed) == SYSTEM {
        return crate::event::Time::coarse().as_nanos().max(1);
    }
    let now = precise();
    // Before the word is there, so that a tick that finds the word finds the thread awake.
    if start() {
        NOW.store(now, Ordering::Relaxed);
        if PARKED.swap(false, Ordering::AcqRel)
            && let Some(thread) = TICKING.get()
        {
            thread.unpark();
        }
    }
    now
}

fn precise() -> u64 {
    crate::event::Time::now().as_nanos().max(1)
}

/// Whether the ticking thread is there; it is started where it was never tried.
fn start() -> bool {
    let undecided =
        SOURCE.compare_exchange(UNDECIDED, THREAD, Ordering::Relaxed, Ordering::Relaxed);
    if undecided.is_err() {
        return SOURCE.load(Ordering::Relaxed) == THREAD;
    }
    let thread = without_signals(|| {
        std::thread::Builder::new().name("refscope clock".to_owned()).stack_size(64 << 10).spawn(
            || {
                note_own_thread(&OWN[..1]);
                TICKING.get_or_init(std::thread::current);
                loop {
                    tick();
                }
            },
        )
    });
    match thread {
        Ok(_) => true,
        Err(_) => {
            without_thread();
            false
        }
    }
}

/// A round of the ticking thread: it moves the word while somebody reads it, and then sleeps until somebody does.
fn tick() {
    for _ in 0..LOOK {
        std::thread::sleep(TICK);
        if SOURCE.load(Ordering::Relaxed) != THREAD {
            NOW.store(0, Ordering::Relaxed);
            std::thread::park();
        }
        NOW.store(precise(), Ordering::Relaxed);
    }
    NOW.store(0, Ordering::Relaxed);
    std::thread::sleep(TICK);
    if NOW.load(Ordering::Relaxed) != 0 {
        return;
    }
    PARKED.store(true, Ordering::Release);
    // Who asks between the look above and the store wakes nobody: its own word is found here, a little later.
    while PARKED.load(Ordering::Acquire) && NOW.load(Ordering::Relaxed) == 0 {
        std::thread::park();
    }
    PARKED.store(false, Ordering::Relaxed);
}

/// A thread that only works for refscope: it holds no handle of the program's.
struct Own {
    /// The system's number of it, or 0.
    tid: AtomicI32,
    /// An address in its first frames: below lies what it works with.
    top: AtomicUsize,
}

/// The first is the ticking thread.
static OWN: [Own; 8] = [const { Own { tid: AtomicI32::new(0), top: AtomicUsize::new(0) } }; 8];

/// While it lives, its thread is known as one of refscope's own. (Another thread may get its number afterwards.)
pub(crate) struct OwnThread(Option<&'static Own>);

impl OwnThread {
    /// Notes that this thread is one of refscope's own.
    pub(crate) fn note() -> Self {
        Self(note_own_thread(&OWN[1..]))
    }
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

/// Where the stacks of refscope's own threads begin, but for that of the thread with this number.
#[allow(dead_code)] // where nothing is searched
pub(crate) fn own_stacks(but: i32) -> impl Iterator<Item = usize> {
    let others = OWN.iter().filter(move |own| own.tid.load(Ordering::Relaxed) != but);
    others.map(|own| own.top.load(Ordering::Relaxed)).filter(|&top| top != 0)
}

/// Waits until the ticking thread, if it was started, is known by its number; a moment at most.
#[allow(dead_code)] // where nothing is searched
pub(crate) fn wait_for_own_thread() {
    for _ in 0..100 {
        let is_known = OWN[0].tid.load(Ordering::Relaxed) != 0;
        if is_known || SOURCE.load(Ordering::Relaxed) != THREAD {
            return;
        }
        std::thread::sleep(TICK);
    }
}

/// Whether the thread of this number is one of refscope's own.
#[allow(dead_code)] // where nothing is searched
pub(crate) fn is_own_thread(tid: i32) -> bool {
    OWN.iter().any(|own| own.tid.load(Ordering::Relaxed) == tid)
}

/// Starts a thread that no signal of the program is delivered to.
pub(crate) fn without_signals<R>(start: impl FnOnce() -> R) -> R {
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
