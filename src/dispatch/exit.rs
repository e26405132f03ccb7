//! The end of the process: libc's `atexit`, since a `static` is never dropped.

use parking_lot::Mutex;

type Last = Box<dyn FnOnce() + Send>;

static LAST: Mutex<Vec<Last>> = Mutex::new(Vec::new());

/// Runs `f` when the process ends by returning from `main` or by `exit`. Not where there is no `atexit`: there the end of
/// the process comes without a word.
pub(crate) fn at_exit(f: Last) {
    let mut last = LAST.lock();
    let first = last.is_empty();
    last.push(f);
    drop(last);
    if first {
        register();
    }
}

#[cfg(unix)]
fn register() {
    extern "C" fn run() {
        // Not under the lock: what runs may register more, which then is too late.
        for last in std::mem::take(&mut *LAST.lock()) {
            let _ = std::panic::catch_unwind(std::panic::AssertUnwindSafe(last));
        }
    }
    // SAFETY: EXIT: the function takes nothing, what it touches is a static, and it does not unwind into C.
    unsafe { libc::atexit(run) };
}

#[cfg(not(unix))]
fn register() {}
