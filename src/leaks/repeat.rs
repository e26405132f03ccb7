use super::{Check, check};
use crate::analysis::{LeakReport, ReportKind};
use crate::event::Time;
use crate::model::LiveObject;
use crate::render::Terminal;
use std::collections::BTreeMap;
use std::time::Duration;

/// A check of what grows with every repetition. [`repeat`](super::repeat) is the short form.
///
/// The idea is that of CPython's `regrtest -R`.
///
/// # Examples
///
/// ```
/// use refscope::Rc;
/// use refscope::leaks::Repeat;
/// use std::cell::RefCell;
///
/// let pool = RefCell::new(Vec::new());
/// Repeat::new(3).warm_ups(4).run(|| {
///     if pool.borrow().len() < 4 {
///         pool.borrow_mut().push(Rc::new("it fills while the code warms up"));
///     }
///     drop(Rc::new("comes and goes"));
/// });
/// ```
#[derive(Clone, Copy, Debug)]
#[must_use = "nothing is repeated before `run`"]
pub struct Repeat {
    times: usize,
    warm_ups: usize,
}

impl Repeat {
    /// Creates a check of so many repetitions, after one that does not count.
    pub fn new(times: usize) -> Self {
        Self { times, warm_ups: 1 }
    }

    /// Sets how many repetitions come first and do not count, for caches and pools to fill. Default: 1.
    pub fn warm_ups(mut self, warm_ups: usize) -> Self {
        self.warm_ups = warm_ups;
        self
    }

    /// Repeats `f`, and panics with the report of what grew in every repetition that counts.
    ///
    /// # Panics
    ///
    /// Panics as [`repeat`](super::repeat) does.
    #[track_caller]
    pub fn run(self, mut f: impl FnMut()) {
        let Self { times, warm_ups } = self;
        assert!(times >= 2, "a leak is what grows in every repetition: 2 at least");
        let check = Check::new().timeout(Duration::from_millis(200));
        let scope = check.scope();
        (0..warm_ups).for_each(|_| scope.run(&mut f));
        let count = |living: &[LiveObject]| {
            let mut counts: BTreeMap<(String, String), u64> = BTreeMap::new();
            for object in living.iter().filter(|object| !object.allowed) {
                *counts
                    .entry((object.type_name.to_string(), object.location.to_string()))
                    .or_default() += 1;
            }
            counts
        };
        let mut before = count(&scope.alive());
        let mut grew: Option<Vec<(String, String)>> = None;
        for _ in 0..times {
            scope.run(&mut f);
            let growing = |now: &BTreeMap<(String, String), u64>| -> Vec<_> {
                let more = |(key, n): &(&(String, String), &u64)| {
                    **n > before.get(*key).copied().unwrap_or(0)
                };
                now.iter().filter(more).map(|(key, _)| key.clone()).collect()
            };
            let mut now = count(&scope.alive());
            if !growing(&now).is_empty() {
                // What other threads still tear down has its time.
                let _ = check.verify();
                now = count(&scope.alive());
            }
            let growing = growing(&now);
            grew = Some(match grew {
                None => growing,
                Some(all) => all.into_iter().filter(|key| growing.contains(key)).collect(),
            });
            before = now;
            if grew.as_ref().is_some_and(Vec::is_empty) {
                break;
            }
        }
        if check.report().traced_nothing() {
            check::fail(&check.report(), None);
        }
        let grew = grew.unwrap_or_default();
        let mut living = scope.alive();
        living.retain(|object| {
            grew.contains(&(object.type_name.to_string(), object.location.to_string()))
        });
        let leaks = LeakReport::new(living, Time::coarse()).with_kind(ReportKind::Check);
        if !leaks.is_empty() {
            panic!(
                "leaked in each of {times} iterations\n{}",
                Terminal::stderr().render_report(&leaks).trim_end()
            );
        }
    }
}
