//! The end of the process: libc's `atexit`, since a `static` is never dropped.
//!
//! `exit` may be called by a signal's handler, in the middle of anything: with a lock held, of refscope's or of the
//! allocator's. So what is to be done at the end is done by a thread that waits for it from the beginning, and the hook
//! waits for that thread, but not without an end.

use crate::event::warn;
use crate::lock;
use parking_lot::{Condvar, Mutex};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

type Last = Box<dyn FnOnce() + Send>;

static LAST: lock::Mutex<Vec<Last>> = lock::Mutex::new(Vec::new());

/// The process that has the thread. A forked child has none of its threads.
static PROCESS: AtomicU32 = AtomicU32::new(0);

/// How long the hook waits.
const PATIENCE: Duration = Duration::from_secs(20);

#[derive(Clone, Copy, PartialEq, Eq)]
enum Phase {
    Running,
    Ending,
    Done,
}

// Not of the locks that a fork waits for: a thread waits here to the end. A child does without.
static PHASE: Mutex<Phase> = Mutex::new(Phase::Running);
static CHANGED: Condvar = Condvar::new();

/// Runs `f` when the process ends by returning from `main` or by `exit`. Not where there is no `atexit`: there the end of
/// the process comes without a word.
pub(crate) fn at_exit(f: Last) {
    let mut last = LAST.lock();
    let first = last.is_empty();
    last.push(f);
    drop(last);
    if first {
        start();
        register();
    }
}

fn start() {
    let thread = crate::runtime::clock::without_signals(|| {
        std::thread::Builder::new().name("refscope exit".to_owned()).spawn(|| {
            let mut phase = PHASE.lock();
            while *phase != Phase::Ending {
                CHANGED.wait(&mut phase);
            }
            drop(phase);
            run();
            *PHASE.lock() = Phase::Done;
            CHANGED.notify_all();
        })
    });
    if thread.is_ok() {
        PROCESS.store(std::process::id(), Ordering::Relaxed);
    }
}

fn run() {
    // Not under the lock: what runs may register more, which then is too late.
    let last =
        LAST.try_lock_for(Duration::from_millis(100)).map(|mut last| std::mem::take(&mut *last));
    for last in last.into_iter().flatten() {
        let _ = catch_unwind(AssertUnwindSafe(last));
    }
}

/// Has the thread do what is to be done, and waits for it.
fn hand_over() {
    let Some(mut phase) = PHASE.try_lock_for(Duration::from_millis(100)) else { return };
    if *phase != Phase::Running {
        return;
    }
    *phase = Phase::Ending;
    CHANGED.notify_all();
    while *phase == Phase::Ending {
        if CHANGED.wait_for(&mut phase, PATIENCE).timed_out() {
            drop(phase);
            return warn(format_args!(
                "what was to be done at the exit is not done after {} s; the program ends without it",
                PATIENCE.as_secs()
            ));
        }
    }
}

#[cfg(unix)]
fn register() {
    extern "C" fn hook() {
        if PROCESS.load(Ordering::Relaxed) == std::process::id() {
            hand_over();
        } else {
            // A forked child: see `fork`.
            run();
        }
    }
    // SAFETY: EXIT: the function takes nothing, what it touches is a static, and it does not unwind into C.
    unsafe { libc::atexit(hook) };
}

#[cfg(not(unix))]
fn register() {}
