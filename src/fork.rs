//! A process that forks. The child has a copy of everything, and one thread: what it inherited has to be usable there,
//! though other threads were at work on it.
//!
//! * No lock of refscope's is held at the moment of the fork: see [`gate`].
//! * A sink that writes for the parent knows the [`Process`] that it writes for, and is silent in another.
//! * The child has no thread of refscope's: the clock is the system's, what was to be done at the exit is done by
//!   the exit's own thread, and no report comes at intervals or on signals. Reports at the exit leave out what the parent
//!   allocated.
//! * What is tracked stays tracked: a handle that the child drops is dropped in its ledger; handles of threads that it
//!   does not have are alive, as their memory is.

use crate::event::warn;
#[allow(unused_imports)] // for the documentation
use crate::lock::LongMutex;
use crate::lock::gate;
use crate::runtime::{clock, handle, local};
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::time::Duration;

/// Forks that lie between the program's start and this process.
static FORKS: AtomicU32 = AtomicU32::new(0);

/// The first object of this process's own; 0 in one that was not forked, or not since refscope has been in use.
static FIRST: AtomicU64 = AtomicU64::new(0);

/// The process that something belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Process(u32);

impl Process {
    pub(crate) fn current() -> Self {
        register();
        // Relaxed: it changes while there is one thread.
        Self(FORKS.load(Ordering::Relaxed))
    }

    #[inline]
    pub(crate) fn is_current(self) -> bool {
        self.0 == FORKS.load(Ordering::Relaxed)
    }
}

/// Whether a recording of each process was asked for.
static OF_EACH: AtomicBool = AtomicBool::new(false);

/// Has forked children say that they are not recorded.
pub(crate) fn expect_recordings() {
    // Relaxed: a flag, which stands for nothing else.
    OF_EACH.store(true, Ordering::Relaxed);
}

/// Says in a forked child, once, that what it does is not recorded, if that was to be expected.
#[cold]
pub(crate) fn warn_unrecorded() {
    // Relaxed: as above.
    if OF_EACH.swap(false, Ordering::Relaxed) {
        let pid = std::process::id();
        warn(format_args!(
            "process {pid} was forked from one that is recorded, and is not recorded itself: REFSCOPE counts where a program \
             is started; FlightRecorder::create in the child records it"
        ));
    }
}

/// In a forked child, the number of the first object of its own.
pub(crate) fn first_object() -> Option<u64> {
    Some(FIRST.load(Ordering::Relaxed)).filter(|&first| first > 0)
}

/// How long a fork waits for a lock of refscope's. They are held for moments (one that is not is a [`LongMutex`], for which it
/// does not wait); but a debugger, or a signal, may have
/// stopped a thread that has one.
const PATIENCE: Duration = Duration::from_secs(1);

/// Registers the `pthread_atfork` handlers, once.
pub(crate) fn register() {
    static REGISTERED: AtomicBool = AtomicBool::new(false);
    if !REGISTERED.swap(true, Ordering::Relaxed) {
        at_fork();
    }
}

#[cfg(unix)]
fn at_fork() {
    extern "C" fn prepare() {
        gate::close(PATIENCE);
    }
    extern "C" fn parent() {
        gate::open();
    }
    extern "C" fn child() {
        gate::open_in_child();
        crate::runtime::threads::forget_own_threads();
        FORKS.fetch_add(1, Ordering::Relaxed);
        FIRST.store(handle::next_object(), Ordering::Relaxed);
        clock::without_thread();
        local::forked();
    }
    // SAFETY: FORK: the functions take nothing, what they touch are statics, and they do not unwind into C.
    unsafe { libc::pthread_atfork(Some(prepare), Some(parent), Some(child)) };
}

#[cfg(not(unix))]
fn at_fork() {
    // There is no fork, and so none of these is of use.
    let _ = (gate::close, gate::open, gate::open_in_child, handle::next_object, PATIENCE);
    let _ = (clock::without_thread, local::forked);
}
