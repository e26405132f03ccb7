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
//! Where tracing is off, nothing is known, and every check passes.

use crate::analysis::{LeakReport, ReportKind, Snapshot};
use crate::event::Time;
use crate::model::LiveObject;
use crate::render::Terminal;
use crate::{Scope, ScopeGuard};
use std::collections::BTreeMap;
use std::fmt;
use std::time::{Duration, Instant};

/// Runs `f`, and panics with the report if an object that it allocated, on this thread, is alive afterwards.
///
/// What other threads allocate is not seen, unless they enter the [`Check::scope`]. Teardown that is still under way,
/// on other threads, is waited for: up to a second, only where something is alive.
///
/// # Panics
///
/// When something leaks; and when `f` does.
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

/// A leak check, with conditions.
///
/// # Examples
///
/// ```
/// use refscope::leaks::Check;
/// use refscope::Rc;
///
/// let kept = Check::new().at_most(1, "Config").run(|| {
///     struct Config;
///     Rc::new(Config) // it leaves the check alive, and may
/// });
/// ```
pub struct Check {
    scope: Scope,
    timeout: Duration,
    allowed: Vec<String>,
    bounds: Vec<(u64, String)>,
}

impl Default for Check {
    fn default() -> Self {
        Self::new()
    }
}

impl Check {
    /// Creates a check that allows nothing, and waits a second for what is still being torn down.
    pub fn new() -> Self {
        let timeout = Duration::from_secs(1);
        Self { scope: Scope::mark(), timeout, allowed: Vec::new(), bounds: Vec::new() }
    }

    /// Sets how long to wait for pending drops before reporting a leak. Default: 1 s.
    #[must_use]
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// Allows objects whose type's full name, or whose line (`src/pool.rs:17`), contains `what`. The report
    /// says how many they were. (A single object is marked by [`allow_leak`](crate::allow_leak).)
    #[must_use]
    pub fn allow(mut self, what: impl Into<String>) -> Self {
        self.allowed.push(what.into());
        self
    }

    /// Allows up to `n` objects whose type's full name contains `name`; if there are more, all are leaks.
    #[must_use]
    pub fn at_most(mut self, n: u64, name: impl Into<String>) -> Self {
        self.bounds.push((n, name.into()));
        self
    }

    /// Returns the scope, for other threads and for futures: what is allocated in it belongs to the check.
    pub fn scope(&self) -> &Scope {
        &self.scope
    }

    /// Returns the report of what is alive now, without waiting.
    pub fn report(&self) -> LeakReport {
        let mut living = self.scope.alive();
        for object in &mut living {
            let line = object.location.to_string();
            let named = |what: &String| {
                object.type_name.contains(what.as_str()) || line.contains(what.as_str())
            };
            object.allowed |= self.allowed.iter().any(named);
        }
        for (n, name) in &self.bounds {
            let is =
                |object: &LiveObject| !object.allowed && object.type_name.contains(name.as_str());
            if living.iter().filter(|object| is(object)).count() as u64 <= *n {
                living
                    .iter_mut()
                    .filter(|object| is(object))
                    .for_each(|object| object.allowed = true);
            }
        }
        LeakReport::new(living, Time::coarse())
    }

    /// Waits until nothing is alive that is not allowed, or the time is over.
    ///
    /// # Errors
    ///
    /// The report of what is alive then.
    pub fn verify(&self) -> Result<(), LeakReport> {
        // None: no end that a clock could show.
        let end = Instant::now().checked_add(self.timeout);
        let mut pause = Duration::from_micros(200);
        loop {
            let leaks = self.report();
            if leaks.is_empty() {
                return Ok(());
            }
            let left =
                end.map_or(Duration::MAX, |end| end.saturating_duration_since(Instant::now()));
            if left.is_zero() {
                return Err(leaks);
            }
            std::thread::sleep(pause.min(left));
            pause = (pause * 2).min(Duration::from_millis(50));
        }
    }

    /// Runs `f` in the check's scope, and [verifies](Self::verify).
    ///
    /// # Panics
    ///
    /// With the report, when something leaks; and when `f` does.
    #[track_caller]
    pub fn run<R>(&self, f: impl FnOnce() -> R) -> R {
        let result = self.scope.run(f);
        if let Err(leaks) = self.verify() {
            fail(&leaks);
        }
        result
    }

    /// Enters the check's scope on this thread until the guard is dropped, which then [verifies](Self::verify) and panics
    /// with the report when something leaks (but not while the thread is panicking already).
    pub fn enter(self) -> CheckGuard {
        let scope = self.scope.enter();
        CheckGuard { scope: Some(scope), check: self }
    }
}

#[track_caller]
fn fail(leaks: &LeakReport) -> ! {
    if std::env::var_os("GITHUB_ACTIONS").is_some() {
        // Where the log is read by what shows annotations beside the code.
        eprint!("{}", leaks.annotations());
    }
    panic!("{}", Terminal::stderr().render_report(leaks).trim_end());
}

impl fmt::Debug for Check {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Check")
            .field("timeout", &self.timeout)
            .field("allowed", &self.allowed)
            .field("bounds", &self.bounds)
            .finish_non_exhaustive()
    }
}

/// Verifies a [`Check`] when it is dropped. Made by [`Check::enter`]; it stays on its thread.
///
/// # Examples
///
/// ```
/// use refscope::{Rc, leaks::Check};
///
/// let _check = Check::new().enter(); // first, so that it is dropped last
/// let one = Rc::new(1);
/// ```
#[must_use = "the check ends when the guard is dropped"]
#[derive(Debug)]
pub struct CheckGuard {
    scope: Option<ScopeGuard>,
    check: Check,
}

impl CheckGuard {
    /// Returns the check.
    pub fn check(&self) -> &Check {
        &self.check
    }
}

impl Drop for CheckGuard {
    fn drop(&mut self) {
        self.scope = None;
        if !std::thread::panicking()
            && let Err(leaks) = self.check.verify()
        {
            fail(&leaks);
        }
    }
}

/// Runs `f` `warm_ups` times, then `times` times, and panics with the report of what grew in **every** repetition:
/// what stays once (a cache, a pool) is no leak.
///
/// The idea is that of CPython's `regrtest -R`.
///
/// # Panics
///
/// When something grows; when `f` panics; when `times` is less than 2, of which nothing could be said.
///
/// # Examples
///
/// ```
/// use refscope::Rc;
/// use std::cell::OnceCell;
///
/// let cache = OnceCell::new();
/// refscope::leaks::repeat(1, 4, || {
///     let kept: &Rc<i32> = cache.get_or_init(|| Rc::new(1)); // stays, and does not grow
///     drop(kept.clone());
/// });
/// ```
#[track_caller]
pub fn repeat(warm_ups: usize, times: usize, mut f: impl FnMut()) {
    assert!(times >= 2, "a leak is what grows in every repetition: 2 at least");
    let check = Check::new().timeout(Duration::from_millis(200));
    (0..warm_ups).for_each(|_| check.scope.run(&mut f));
    let count = |living: &[LiveObject]| {
        let mut counts: BTreeMap<(String, String), u64> = BTreeMap::new();
        for object in living.iter().filter(|object| !object.allowed) {
            *counts
                .entry((object.type_name.to_string(), object.location.to_string()))
                .or_default() += 1;
        }
        counts
    };
    let mut before = count(&check.scope.alive());
    let mut grew: Option<Vec<(String, String)>> = None;
    for _ in 0..times {
        check.scope.run(&mut f);
        let growing = |now: &BTreeMap<(String, String), u64>| -> Vec<_> {
            let more =
                |(key, n): &(&(String, String), &u64)| **n > before.get(*key).copied().unwrap_or(0);
            now.iter().filter(more).map(|(key, _)| key.clone()).collect()
        };
        let mut now = count(&check.scope.alive());
        if !growing(&now).is_empty() {
            // What other threads still tear down has its time.
            let _ = check.verify();
            now = count(&check.scope.alive());
        }
        let growing = growing(&now);
        grew = Some(match grew {
            None => growing,
            Some(all) => all.into_iter().filter(|key| growing.contains(key)).collect(),
        });
        before = now;
        if grew.as_ref().is_some_and(Vec::is_empty) {
            return;
        }
    }
    let grew = grew.unwrap_or_default();
    let mut living = check.scope.alive();
    living.retain(|object| {
        grew.contains(&(object.type_name.to_string(), object.location.to_string()))
    });
    let leaks = LeakReport::new(living, Time::coarse());
    if !leaks.is_empty() {
        panic!(
            "leaked in each of {times} iterations\n{}",
            Terminal::stderr().render_report(&leaks).trim_end()
        );
    }
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

/// Prints on stderr, when the process ends by returning from `main` or by `exit`, what is alive. What
/// statics hold is alive then and no leak: the report says "still held at exit".
///
/// Ctrl-C, SIGTERM and other signals, `abort`, and a panic with `panic = "abort"` end a process without this: there
/// [`every`], and a [`FileSink`](crate::sink::FileSink), serve.
///
/// It does not ask for tracking: see [`track`](crate::track).
pub fn on_exit() {
    crate::monitor::on_exit();
}

/// Spawns a thread that prints on stderr, every `interval`, the live totals and what was allocated since the last report
/// and is still alive.
///
/// # Errors
///
/// When no thread can be started.
pub fn every(interval: Duration) -> std::io::Result<()> {
    crate::monitor::every(interval)
}

/// Prints on stderr what is alive when the process gets SIGUSR1, and what was allocated since the last time and is alive
/// on SIGUSR2. Nothing is printed in a signal handler: signal-hook hands the signals to a thread.
///
/// # Errors
///
/// When the signals cannot be waited for, or no thread can be started.
#[cfg(all(unix, feature = "signals"))]
pub fn on_signals() -> std::io::Result<()> {
    crate::monitor::on_signals()
}

/// Lets a debugger print what is alive, in a process that hangs: `call refscope_print_alive_0_1()`.
pub fn register_for_debugger() {
    crate::monitor::register_for_debugger();
}
