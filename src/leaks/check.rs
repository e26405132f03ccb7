#![allow(clippy::result_large_err)] // a report is returned once a check
use super::serial::Serial;
use crate::analysis::{LeakReport, Part, ReportKind, totals};
use crate::event::{Time, UntracedCounts};
use crate::locate::Search;
use crate::model::{self, LiveObject};
use crate::render::Terminal;
use crate::runtime::dispatch::TrackAll;
use crate::stack::clear_dead_frames;
use crate::{Scope, ScopeGuard};
use std::fmt;
use std::panic::Location;
use std::time::{Duration, Instant};

/// The pause by which most of a teardown is over.
const SETTLED: Duration = Duration::from_millis(5);

/// A leak check, with conditions.
///
/// It is of traced handles. A value that a clone of std's own pointer keeps alive, made by [`as_std`](crate::StdPtr::as_std) or of
/// what [`into_std`](crate::StdPtr::into_std) gave, is gone for the check when its last traced handle is. To ask for the value
/// itself, keep a `Weak` of std's.
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
    /// Names of statics, thread-locals, tasks and threads that may hold what is alive.
    holders: Vec<String>,
    locals_may_hold: bool,
    may_trace_nothing: bool,
    /// Of the search. `None`: as other reports.
    search_budget: Option<Duration>,
    /// For a check of the whole process: while it is there, no other one is.
    whole_process: Option<Serial>,
    /// What was alive when the check was made: ascending.
    before: Vec<u64>,
    untraced: UntracedCounts,
    /// How many objects were numbered then.
    numbered: u64,
    /// Dropped with the check. What is made outside of scopes is at least to be mentioned.
    _tracked: TrackAll,
}

impl Default for Check {
    fn default() -> Self {
        Self::new()
    }
}

impl Check {
    /// Creates a check that allows nothing, and waits a second for what is still being torn down.
    ///
    /// It concerns what is allocated in its [scope](Self::scope). What is allocated meanwhile on threads that entered no
    /// scope is tracked as well, and mentioned in a note.
    pub fn new() -> Self {
        Self::with(None)
    }

    /// Creates a check of everything that is allocated from now on, on whatever thread: for runtimes and thread pools
    /// whose threads cannot enter a scope.
    ///
    /// One runs at a time: this waits until no other one exists. It sees the objects of tests beside it too, so
    /// run it in a test binary of its own, or by `cargo test -- --test-threads=1`.
    ///
    /// # Panics
    ///
    /// Panics if this thread has such a check already, for which it would wait forever.
    ///
    /// # Examples
    ///
    /// ```
    /// use refscope::{Arc, leaks::Check};
    ///
    /// Check::whole_process().run(|| {
    ///     let shared = Arc::new("on a thread that knows of no scope");
    ///     std::thread::spawn(move || drop(shared.clone())).join().unwrap();
    /// });
    /// ```
    #[track_caller]
    pub fn whole_process() -> Self {
        Self::with(Some(Serial::wait()))
    }

    fn with(whole_process: Option<Serial>) -> Self {
        // Before what is alive is looked at: nothing falls in between.
        let tracked = TrackAll::new();
        Self {
            scope: Scope::tracking(),
            timeout: Duration::from_secs(1),
            allowed: Vec::new(),
            bounds: Vec::new(),
            holders: Vec::new(),
            locals_may_hold: false,
            may_trace_nothing: false,
            search_budget: None,
            whole_process,
            before: model::ids(),
            untraced: crate::untraced_counts(),
            numbered: model::numbered(),
            _tracked: tracked,
        }
    }

    /// Sets how long to wait for pending drops before reporting a leak. Default: 1 s.
    ///
    /// The time does not count where nothing is alive but `Rc`s of the checking thread, which cannot drop them
    /// while it waits.
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

    /// Allows up to `n` objects whose type's full name contains `name`; if there are more, all are reported.
    #[must_use]
    pub fn at_most(mut self, n: u64, name: impl Into<String>) -> Self {
        self.bounds.push((n, name.into()));
        self
    }

    /// Allows what statics, thread-locals, tasks or threads hold whose name contains `name`, and nothing else does: a pool, a cache, a
    /// worker that runs on. The report says how many objects that were.
    ///
    /// It has to be there in whole words: `POOL` and `app::POOL` are in `app::POOL`, and not in `app::THREADPOOL`.
    ///
    /// Where handles are is [searched](crate::locate) in the process's memory, when something is alive that is not allowed
    /// otherwise; it takes some milliseconds, more in a large process. Statics have names with the feature `stacks`, in a program
    /// that is not stripped of its symbols. Where the search cannot be made, or does not know the name, the condition
    /// allows nothing. Nor does it allow a handle of which it cannot be told whether it is in a collection or was taken out of it,
    /// as a `Vec` and a `VecDeque` are not told apart where there is no debug information of types.
    ///
    /// # Examples
    ///
    /// ```
    /// use refscope::{Arc, leaks::Check};
    /// use std::sync::Mutex;
    ///
    /// static POOL: Mutex<Vec<Arc<String>>> = Mutex::new(Vec::new());
    ///
    /// # if !cfg!(feature = "stacks") || refscope::locate::Search::new().run().is_err() { return }
    /// Check::new().may_be_held_by("POOL").run(|| POOL.lock().unwrap().push(Arc::default()));
    /// ```
    #[must_use]
    pub fn may_be_held_by(mut self, name: impl Into<String>) -> Self {
        self.holders.push(name.into());
        self
    }

    /// Allows what a local of the checking thread holds, and nothing else does: as far as the
    /// [search](Self::may_be_held_by) can tell, a word on its stack.
    ///
    /// # Examples
    ///
    /// ```
    /// use refscope::leaks::Check;
    /// use refscope::{Rc, locate::Search};
    ///
    /// # if Search::new().run().is_err() { return } // no such system
    /// let kept = Check::new().locals_may_hold().run(|| Rc::new("what the check makes for its caller"));
    /// # drop(kept);
    /// ```
    #[must_use]
    pub fn locals_may_hold(mut self) -> Self {
        self.locals_may_hold = true;
        self
    }

    /// Sets how long the check may [search](Self::may_be_held_by) for where handles are, if it fails or a condition asks. Default:
    /// [as other reports](super::set_search_budget), two seconds if nobody says otherwise; a process with gigabytes of memory
    /// needs more.
    ///
    /// # Examples
    ///
    /// ```
    /// use refscope::{Rc, leaks::Check};
    /// use std::time::Duration;
    ///
    /// Check::new().search_budget(Duration::from_secs(20)).run(|| drop(Rc::new("beside much memory")));
    /// ```
    #[must_use]
    pub fn search_budget(mut self, budget: Duration) -> Self {
        self.search_budget = Some(budget);
        self
    }

    fn search(&self) -> Search {
        let search = crate::monitor::search();
        match self.search_budget {
            None => search,
            Some(budget) => search.budget(budget),
        }
    }

    /// Lets the check pass though nothing was traced in it.
    ///
    /// Without this it fails: code whose imports were never swapped, or that runs on threads outside of the
    /// check's scope, would pass every check.
    #[must_use]
    pub fn may_trace_nothing(mut self) -> Self {
        self.may_trace_nothing = true;
        self
    }

    /// Returns the scope, for other threads and for futures: what is allocated in it belongs to the check.
    pub fn scope(&self) -> &Scope {
        &self.scope
    }

    /// Returns the report of what is alive now, without waiting.
    pub fn report(&self) -> LeakReport {
        self.report_at(Time::coarse()).0
    }

    /// The report of what is alive now, its ages those of `now`; and whether another thread can change it.
    fn report_at(&self, now: Time) -> (LeakReport, bool) {
        let mut living = match self.whole_process {
            Some(_) => model::alive_since(&self.before),
            None => self.scope.alive(),
        };
        self.mark_allowed(&mut living);
        let waits = model::can_end_elsewhere(&living);
        let mut report = LeakReport::new(living, now).with_kind(ReportKind::Check);
        *report.untraced = crate::untraced_counts().since(&self.untraced);
        if self.whole_process.is_none() {
            report.outside = totals(&model::alive_outside(&self.before));
        }
        report.traced_nothing =
            crate::ENABLED && !self.may_trace_nothing && !self.saw_anything(&report.untraced());
        (report, waits)
    }

    fn saw_anything(&self, untraced: &UntracedCounts) -> bool {
        // What has a number was traced, or was left out and counted.
        let numbered = model::numbered() - self.numbered;
        self.scope.is_used() || (self.whole_process.is_some() && numbered > untraced.objects())
    }

    pub(super) fn mark_allowed(&self, living: &mut [LiveObject]) {
        for object in living.iter_mut() {
            object.allowed |= self.allowed.iter().any(|what| object.is_named(what));
        }
        for (n, name) in &self.bounds {
            let is =
                |object: &LiveObject| !object.allowed && object.type_name.contains(name.as_str());
            if living.iter().filter(|object| is(object)).count() as u64 <= *n {
                let bounded = living.iter_mut().filter(|object| is(object));
                bounded.for_each(|object| object.allowed = true);
            }
        }
    }

    /// Waits until nothing is alive that is not allowed, or the time is over.
    ///
    /// # Errors
    ///
    /// The report of what is alive then, with the ages that it had before the wait, and where it is stored, unless the
    /// [search](super::set_search) is off; and one without a leak, if nothing was traced (see [`LeakReport::passes`]).
    pub fn verify(&self) -> Result<(), LeakReport> {
        // In a frame of its own that is small: a report's lies over dead ones as well.
        clear_dead_frames();
        self.verify_located()
    }

    #[inline(never)]
    fn verify_located(&self) -> Result<(), LeakReport> {
        self.verified().map(drop).map_err(|report| self.located(report))
    }

    fn located(&self, report: LeakReport) -> LeakReport {
        crate::monitor::located_by(report, self.search())
    }

    /// As `verify`, without a search that no condition asks for; and the report that passes.
    pub(super) fn verified(&self) -> Result<LeakReport, LeakReport> {
        // None: no end that a clock could show.
        let end = Instant::now().checked_add(self.timeout);
        let now = Time::coarse();
        let mut pause = Duration::from_micros(200);
        // What rightly holds something does so at once: it is looked for when most teardown is over, and at the end.
        let mut look = self.asks_who_holds();
        loop {
            let (report, waits) = self.report_at(now);
            if report.passes() {
                return Ok(report);
            }
            let left =
                end.map_or(Duration::MAX, |end| end.saturating_duration_since(Instant::now()));
            let is_last = left.is_zero() || !waits;
            if self.asks_who_holds() && (is_last || (look && pause > SETTLED)) {
                look = false;
                let report = report.clone().locate_but(&self.search(), |part| self.may_hold(part));
                if report.passes() || is_last {
                    return if report.passes() { Ok(report) } else { Err(report) };
                }
            }
            if is_last {
                return Err(report);
            }
            std::thread::sleep(pause.min(left));
            pause = (pause * 2).min(Duration::from_millis(50));
        }
    }

    fn asks_who_holds(&self) -> bool {
        self.locals_may_hold || !self.holders.is_empty()
    }

    fn may_hold(&self, part: &Part) -> bool {
        match part {
            Part::Static(name)
            | Part::ThreadLocal(name)
            | Part::Task(name)
            | Part::Thread(name) => self.holders.iter().any(|holder| has_words(name, holder)),
            Part::Stack(_) => self.locals_may_hold,
            _ => false,
        }
    }

    /// Runs `f` in the check's scope, and [verifies](Self::verify).
    ///
    /// # Panics
    ///
    /// Panics with the report if something stays or nothing was traced, and if `f` panics.
    #[track_caller]
    pub fn run<R>(&self, f: impl FnOnce() -> R) -> R {
        let result = self.scope.run(f);
        clear_dead_frames();
        self.conclude(None);
        result
    }

    /// Panics if the check fails; else mentions what it has not looked at.
    #[track_caller]
    fn conclude(&self, entered: Option<&Location<'_>>) {
        match self.verified() {
            // As a test's output: it is shown when the test fails, or by `--nocapture`.
            Ok(report) => report.note_outside().into_iter().for_each(|note| eprintln!("{note}")),
            // The panic's location is the guard's drop; the line that entered is named instead.
            Err(report) => fail(
                &self.located(report),
                entered.map(|at| format!("the leak check entered at {at} fails")),
            ),
        }
    }

    /// Enters the check's scope on this thread until the guard is dropped, which then [verifies](Self::verify) and panics
    /// with the report when something stays (but not while the thread is panicking already).
    #[track_caller]
    pub fn enter(self) -> CheckGuard {
        let scope = self.scope.enter();
        CheckGuard { scope: Some(scope), entered: Location::caller(), check: Some(self) }
    }
}

/// Whether `text` has `words` in it, and not as a part of a longer word at either end.
fn has_words(text: &str, words: &str) -> bool {
    let is_word = |char: char| char.is_alphanumeric() || char == '_';
    let (begins, ends) = (words.starts_with(is_word), words.ends_with(is_word));
    text.match_indices(words).any(|(at, _)| {
        let (before, behind) = (&text[..at], &text[at + words.len()..]);
        let goes_on = begins && before.ends_with(is_word) || ends && behind.starts_with(is_word);
        !goes_on
    })
}

/// Panics with the report, and what it is of in a line before it.
#[track_caller]
pub(super) fn fail(report: &LeakReport, what: Option<String>) -> ! {
    let report = &crate::monitor::located(report.clone());
    if std::env::var_os("GITHUB_ACTIONS").is_some() {
        // Where the log is read by what shows annotations beside the code.
        eprint!("{}", report.annotations());
    }
    let text = Terminal::stderr().render_report(report);
    match what {
        Some(what) => panic!("{what}\n{}", text.trim_end()),
        None => panic!("{}", text.trim_end()),
    }
}

impl fmt::Debug for Check {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Check")
            .field("timeout", &self.timeout)
            .field("allowed", &self.allowed)
            .field("bounds", &self.bounds)
            .field("holders", &self.holders)
            .field("locals_may_hold", &self.locals_may_hold)
            .field("search_budget", &self.search_budget)
            .field("whole_process", &self.whole_process.is_some())
            .finish_non_exhaustive()
    }
}

/// Verifies a [`Check`] when it is dropped. Returned by [`Check::enter`]; it stays on its thread.
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
    entered: &'static Location<'static>,
    /// `None` once it is finished.
    check: Option<Check>,
}

impl CheckGuard {
    /// Returns the check.
    pub fn check(&self) -> &Check {
        self.check.as_ref().expect("it is there until it is finished")
    }

    /// Leaves the scope and [verifies](Check::verify), without a panic.
    ///
    /// # Errors
    ///
    /// The report of what is alive.
    ///
    /// # Examples
    ///
    /// ```
    /// use refscope::{Rc, leaks::Check};
    ///
    /// # if !refscope::ENABLED { return }
    /// let check = Check::new().enter();
    /// let kept = Rc::new(1);
    /// let report = check.finish().expect_err("it is alive");
    /// assert_eq!(report.objects(), 1);
    /// ```
    pub fn finish(mut self) -> Result<(), LeakReport> {
        self.scope = None;
        self.check.take().map_or(Ok(()), |check| check.verify())
    }
}

impl CheckGuard {
    /// What a drop does, behind its small frame.
    #[inline(never)]
    #[track_caller]
    fn end(&mut self) {
        self.scope = None;
        if let Some(check) = self.check.take()
            && !std::thread::panicking()
        {
            check.conclude(Some(self.entered));
        }
    }
}

impl Drop for CheckGuard {
    fn drop(&mut self) {
        // Of all that follows the frames lie over dead ones.
        clear_dead_frames();
        self.end();
    }
}
