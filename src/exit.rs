//! The end of the process: libc's `atexit`, since a `static` is never dropped.
//!
//! `exit` may be called by a signal's handler, in the middle of anything: with a lock held, of refscope's or of the
//! allocator's. So what is to be done at the end is done by a thread that waits for it from the beginning, and the hook
//! waits for that thread, but not without an end; and not long where it is known to have interrupted refscope, of which
//! something may be locked for good then.

use crate::event::warn;
use crate::lock;
use crate::runtime::local;
use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU32, Ordering};
use std::sync::{Arc, OnceLock};
use std::thread::Thread;
use std::time::{Duration, Instant};

/// What is to be done at the end.
struct Last {
    /// What it is to be done for is gone.
    is_gone: Box<dyn Fn() -> bool + Send>,
    run: Box<dyn FnOnce() + Send>,
}

static LAST: lock::Mutex<Vec<Last>> = lock::Mutex::new(Vec::new());

/// Whether the thread was started, and the hook registered.
static STARTED: AtomicBool = AtomicBool::new(false);

/// The process that has the thread. A forked child has none of its threads.
static PROCESS: AtomicU32 = AtomicU32::new(0);

/// How long the hook waits: so long, and on a machine that has little time for the thread ten times what that has had.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);
/// And where it has interrupted refscope.
const SHORT_PATIENCE: Duration = Duration::from_secs(3);

/// At the most.
const LONGEST: Duration = Duration::from_secs(120);

/// The process was ended by a handler that interrupted refscope.
static INTERRUPTED: AtomicBool = AtomicBool::new(false);

thread_local! {
    /// Without a destructor: it is there to the thread's end.
    static WITHIN: Cell<u32> = const { Cell::new(0) };
}

/// While this thread takes, has and gives back a lock that what is done at the exit needs.
#[derive(Debug)]
pub(crate) struct Within(std::marker::PhantomData<*const ()>);

pub(crate) fn within() -> Within {
    WITHIN.set(WITHIN.get() + 1);
    Within(std::marker::PhantomData)
}

impl Drop for Within {
    fn drop(&mut self) {
        WITHIN.set(WITHIN.get() - 1);
    }
}

/// Whether the process was ended by a handler that interrupted refscope: a lock that is not to be had soon never is.
pub(crate) fn is_interrupted() -> bool {
    INTERRUPTED.load(Ordering::Relaxed)
}

const RUNNING: u8 = 0;
const ENDING: u8 = 1;
const DONE: u8 = 2;

// No lock, and no condition variable: the hook may run in a handler that interrupted anything, the allocator too.
static PHASE: AtomicU8 = AtomicU8::new(RUNNING);

/// The thread that waits for the end.
static WAITING: OnceLock<Thread> = OnceLock::new();

/// Runs `f` when the process ends by returning from `main` or by `exit`. Not where there is no `atexit`: there the end of
/// the process comes without a word.
pub(crate) fn at_exit(f: impl FnOnce() + Send + 'static) {
    add(Last { is_gone: Box::new(|| false), run: Box::new(f) });
}

/// The same with what `owner` is then. Nothing is kept of one that is gone.
pub(crate) fn at_exit_of<T: Send + Sync + 'static>(
    owner: &Arc<T>,
    f: impl FnOnce(&T) + Send + 'static,
) {
    let (owner, asked) = (Arc::downgrade(owner), Arc::downgrade(owner));
    add(Last {
        is_gone: Box::new(move || asked.strong_count() == 0),
        run: Box::new(move || {
            if let Some(owner) = owner.upgrade() {
                f(&owner);
            }
        }),
    });
}

fn add(new: Last) {
    let mut last = LAST.lock();
    if last.len() == last.capacity() {
        // So that there are never more than twice as many as were in use at once.
        last.retain(|last| !(last.is_gone)());
    }
    last.push(new);
    drop(last);
    // Relaxed: it says nothing of other memory.
    if !STARTED.swap(true, Ordering::Relaxed) {
        start();
        register();
    }
}

fn start() {
    let thread = std::thread::Builder::new().name("refscope exit".to_owned());
    let thread = crate::runtime::threads::spawn(thread, || {
        note_clock();
        // Acquire: pairs with the hook's exchange.
        while PHASE.load(Ordering::Acquire) != ENDING {
            std::thread::park();
        }
        run();
        // Release: what was done is done before the hook goes on.
        PHASE.store(DONE, Ordering::Release);
    });
    if let Ok(thread) = thread {
        let _ = WAITING.set(thread.thread().clone());
        PROCESS.store(std::process::id(), Ordering::Relaxed);
    }
}

fn run() {
    // Not under the lock: a callback may register another one, which is ignored.
    let last =
        LAST.try_lock_for(Duration::from_millis(100)).map(|mut last| std::mem::take(&mut *last));
    for last in last.into_iter().flatten() {
        let _ = catch_unwind(AssertUnwindSafe(last.run));
    }
}

/// Has the thread do what is to be done, and waits for it.
fn hand_over() {
    let interrupted = WITHIN.get() > 0 || lock::gate::is_passed() || local::is_busy();
    // Relaxed: the exchange below orders it.
    INTERRUPTED.store(interrupted, Ordering::Relaxed);
    let patience = if interrupted { SHORT_PATIENCE } else { PATIENCE };
    let begun =
        PHASE.compare_exchange(RUNNING, ENDING, Ordering::AcqRel, Ordering::Relaxed).is_ok();
    let Some(waiting) = WAITING.get().filter(|_| begun) else { return };
    waiting.unpark();
    let (begin, worked) = (Instant::now(), worked());
    let mut pause = Duration::from_micros(20);
    // Acquire: pairs with the release of the thread.
    while PHASE.load(Ordering::Acquire) == ENDING {
        let work = self::worked().saturating_sub(worked);
        if begin.elapsed() >= (patience + 10 * work).min(LONGEST) {
            return warn(format_args!(
                "what was to be done at the exit is not done after {} s; the program ends without it",
                begin.elapsed().as_secs()
            ));
        }
        std::thread::sleep(pause);
        pause = (pause * 2).min(Duration::from_millis(2));
    }
}

/// The system's number of the clock of the thread's own time, or 0.
#[cfg(target_os = "linux")]
static CLOCK: std::sync::atomic::AtomicI32 = std::sync::atomic::AtomicI32::new(0);

#[cfg(target_os = "linux")]
unsafe extern "C" {
    // Older versions of the crate libc do not declare it.
    fn pthread_getcpuclockid(
        thread: libc::pthread_t,
        clock: *mut libc::clockid_t,
    ) -> std::ffi::c_int;
}

#[cfg(target_os = "linux")]
fn note_clock() {
    let mut clock = 0;
    // SAFETY: EXIT: takes nothing.
    let own = unsafe { libc::pthread_self() };
    // SAFETY: EXIT: about this thread, into a variable that lives here.
    if unsafe { pthread_getcpuclockid(own, &raw mut clock) } == 0 {
        CLOCK.store(clock, Ordering::Relaxed);
    }
}

/// How long the processor has worked for the thread.
#[cfg(target_os = "linux")]
fn worked() -> Duration {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    let clock = CLOCK.load(Ordering::Relaxed);
    // SAFETY: EXIT: a clock of a thread that has ended is refused; the variable lives here.
    if clock == 0 || unsafe { libc::clock_gettime(clock, &raw mut time) } != 0 {
        return Duration::ZERO;
    }
    Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
}

#[cfg(not(target_os = "linux"))]
fn note_clock() {}

#[cfg(not(target_os = "linux"))]
fn worked() -> Duration {
    Duration::ZERO
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

#[cfg(test)]
mod tests {
    use super::{LAST, at_exit_of};
    use std::sync::Arc;

    /// However many sinks there were, as much is kept as there are at once.
    #[test]
    fn of_what_is_gone_nothing_is_kept() {
        let owners: Vec<_> = (0..100).map(Arc::new).collect();
        owners.iter().for_each(|owner| at_exit_of(owner, |_| ()));
        for number in 0..10_000 {
            at_exit_of(&Arc::new(number), |_| ());
        }
        let kept = LAST.lock().len();
        // Other tests' own are among them.
        assert!((100..1_000).contains(&kept), "{kept} are kept");
        drop(owners);
    }
}
