//! Leak checks: a test that fails with the holder's line.
//!
//! ```
//! use refscope::Rc;
//!
//! refscope::leaks::check(|| {
//!     let one = Rc::new("goes at the end");
//!     let two = one.clone();
//! });
//! ```
//!
//! | you want to know | use |
//! | --- | --- |
//! | whether anything that a test allocates stays | [`check`], or a [`Check`] with conditions |
//! | the same, with code that cannot be put into a closure | [`Check::enter`] |
//! | the same, with the threads of a runtime or a pool | [`Scope::enter_thread`](crate::Scope::enter_thread), [`Check::whole_process`] |
//! | what stays in the long run, where caches and pools may fill | [`repeat`] |
//! | what happened between two moments | [`snapshot`] and [`Snapshot::since`](crate::analysis::Snapshot::since) |
//! | whether one object goes | [`watch`](crate::watch()) |
//! | what is alive now | [`alive`](crate::alive), [`report`] |
//! | what is alive when the process ends | [`on_exit`] |
//! | what grows in a running service | [`every`], `on_signals` (feature `signals`), [`snapshot`] |
//! | what is alive in a process that hangs | [`register_for_debugger`], and a debugger |
//!
//! Without a line of code: `REFSCOPE=leaks`, `REFSCOPE=every=10s` and others, which `REFSCOPE=help` lists.
//!
//! A check that traced nothing fails, since it could not have seen a leak. Where tracing is off (no feature `trace`)
//! nothing is known, and every check passes.

mod check;
mod repeat;
mod serial;
mod thread;

pub use crate::monitor::Reporter;
pub use check::{Check, CheckGuard};
pub use repeat::Repeat;

use crate::analysis::{LeakReport, ReportKind, Snapshot};
use crate::event::Time;
use std::time::Duration;

/// Runs `f`, and panics with the report if an object that it allocated, on this thread, is alive afterwards; and if it
/// allocated no traced object at all, since then the check cannot have seen a leak.
///
/// What other threads allocate belongs to the check where they enter its [scope](Check::scope); what is alive of the
/// rest is printed in a note. See [`Scope::enter_thread`](crate::Scope::enter_thread) for runtimes and thread pools, and [`Check::whole_process`].
/// Teardown that is still under way, on other threads, is waited for: up to a second, only where something is alive
/// that another thread can drop.
///
/// # Panics
///
/// Panics if something stays, if nothing was traced, and if `f` panics.
///
/// # Examples
///
/// ```should_panic
/// use refscope::Rc;
///
/// refscope::leaks::check(|| std::mem::forget(Rc::new("forgotten")));
/// # assert!(refscope::ENABLED, "panics in any case");
/// ```
#[track_caller]
pub fn check<R>(f: impl FnOnce() -> R) -> R {
    Check::new().run(f)
}

/// Runs `f` once, and then `times` times more, and panics with the report of what grew over **all** of these repetitions:
/// what stays once (a cache, a pool) is no leak. What leaks in every `n`th repetition alone is found where `times` is `2 * n`.
/// [`Repeat`] has more to set.
///
/// # Panics
///
/// Panics if something grows, if nothing was traced, if `f` panics, and if `times` is less than 2, of which nothing could be said.
///
/// # Examples
///
/// ```
/// use refscope::Rc;
/// use std::cell::OnceCell;
///
/// let cache = OnceCell::new();
/// refscope::leaks::repeat(4, || {
///     let kept: &Rc<i32> = cache.get_or_init(|| Rc::new(1)); // stays, and does not grow
///     drop(kept.clone());
/// });
/// ```
#[track_caller]
pub fn repeat(times: usize, f: impl FnMut()) {
    Repeat::new(times).run(f);
}

/// Returns the report of everything that is alive in the process, without waiting.
///
/// # Examples
///
/// ```
/// refscope::track().expect("no sink is installed");
/// let kept = refscope::Rc::new("kept");
/// println!("{}", refscope::leaks::report());
/// ```
pub fn report() -> LeakReport {
    crate::monitor::report(ReportKind::Alive)
}

/// Returns a snapshot of what is alive in the process, to be compared with a later one.
///
/// # Examples
///
/// ```
/// refscope::track().expect("no sink is installed");
/// let before = refscope::leaks::snapshot();
/// let kept = refscope::Rc::new("kept");
/// let growth = refscope::leaks::snapshot().since(&before);
/// # if refscope::ENABLED {
/// assert_eq!(growth.objects(), 1);
/// # }
/// ```
pub fn snapshot() -> Snapshot {
    Snapshot::new(crate::alive(), Time::coarse())
}

/// The [report] and the [snapshot] of a scope's objects alone.
impl crate::Scope {
    /// Returns the report of what is alive of what was allocated in the scope, without waiting.
    ///
    /// # Examples
    ///
    /// ```
    /// use refscope::{Rc, Scope};
    ///
    /// let (ours, theirs) = (Scope::tracking(), Scope::tracking());
    /// let kept = (ours.run(|| Rc::new("kept")), theirs.run(|| Rc::new("kept elsewhere")));
    /// # if refscope::ENABLED {
    /// assert_eq!(ours.report().objects(), 1);
    /// # }
    /// ```
    pub fn report(&self) -> LeakReport {
        crate::monitor::report_of(self.alive(), ReportKind::Alive)
    }

    /// Returns a snapshot of what is alive of what was allocated in the scope, to be compared with a later one.
    ///
    /// # Examples
    ///
    /// ```
    /// use refscope::{Rc, Scope};
    ///
    /// let scope = Scope::tracking();
    /// let before = scope.snapshot();
    /// let kept = (scope.run(|| Rc::new("kept")), Rc::new("allocated elsewhere"));
    /// # if refscope::ENABLED {
    /// assert_eq!(scope.snapshot().since(&before).objects(), 1);
    /// # }
    /// ```
    pub fn snapshot(&self) -> Snapshot {
        Snapshot::new(self.alive(), Time::coarse())
    }
}

/// Prints on stderr, when the process ends by returning from `main` or by `exit`, what is alive. What
/// statics hold is alive then and no leak: the report says "still held at exit".
///
/// Ctrl-C, SIGTERM and other signals, `abort`, and a panic with `panic = "abort"` end a process without this: there
/// [`every`], and a [`FileSink`](crate::sink::FileSink), serve.
///
/// It does not ask for tracking: see [`track`](crate::track). Called again, or where `REFSCOPE=leaks` asks for the same, it does
/// nothing more.
///
/// # Cost
///
/// It starts two threads. One waits for the end, and works then: `exit` may be called by a signal's handler, which cannot. The
/// other counts what is alive, for what the shutdown hides ("gone at exit, and alive shortly before"): each 10 ms while
/// objects are allocated or dropped, and rarer while none are, down to once a second; where a count takes long, so that
/// counting takes a thirtieth of one processor at most. It ends with [`switch_off`](crate::switch_off).
pub fn on_exit() {
    crate::monitor::on_exit();
}

/// Spawns a thread that prints on stderr, every `interval`, the live totals and what was allocated since the last report
/// and is still alive. It goes on when the [`Reporter`] is dropped, and ends when that is [stopped](Reporter::stop).
///
/// # Errors
///
/// When no thread can be started.
///
/// # Examples
///
/// ```
/// use std::time::Duration;
///
/// refscope::track().expect("no sink is installed");
/// let reporter = refscope::leaks::every(Duration::from_secs(10))?;
/// // … some time later
/// reporter.stop().expect("it did not panic");
/// # Ok::<(), std::io::Error>(())
/// ```
pub fn every(interval: Duration) -> std::io::Result<Reporter> {
    crate::monitor::every(interval)
}

/// Prints on stderr what is alive when the process gets SIGUSR1, and what was allocated since the last time and is alive
/// on SIGUSR2. Nothing is printed in a signal handler: signal-hook hands the signals to a thread. When the [`Reporter`] is
/// stopped, the signals are ignored from then on.
///
/// # Errors
///
/// When the signals cannot be waited for, or no thread can be started.
#[cfg(all(unix, feature = "signals"))]
pub fn on_signals() -> std::io::Result<Reporter> {
    crate::monitor::on_signals()
}

/// Sets whether reports of failed checks (repeated ones, too), at the exit and on signals search the process's memory for
/// where handles are stored now. Default: they do, for up to [two seconds](set_search_budget); `REFSCOPE=…,nosearch` is the same
/// without a line of code.
///
/// See [`locate`](crate::locate) for what the search does.
pub fn set_search(search: bool) {
    crate::monitor::set_search(search);
}

/// Sets how long such a report's search may take, in a process with gigabytes of memory. Default: two seconds;
/// `REFSCOPE=…,budget=10s` is the same without a line of code. A [`Check`] may have [its own](Check::search_budget).
///
/// # Examples
///
/// ```
/// refscope::leaks::set_search_budget(std::time::Duration::from_secs(10));
/// ```
pub fn set_search_budget(budget: std::time::Duration) {
    crate::monitor::set_search_budget(budget);
}

/// Lets a debugger print what is alive, in a process that hangs: `call refscope_print_alive_0_1()`.
pub fn register_for_debugger() {
    crate::monitor::register_for_debugger();
}
