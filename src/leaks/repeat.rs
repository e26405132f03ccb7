use super::{Check, check};
use crate::analysis::{LeakReport, ReportKind};
use crate::event::{Location, Time};
use crate::model::LiveObject;
use crate::stack::clear_dead_frames;
use std::borrow::Cow;
use std::collections::BTreeMap;
use std::time::Duration;

/// A check of what grows for as long as something is repeated. [`repeat`](super::repeat) is the short form.
///
/// Objects of one type and line have leaked if there are more of them after the first half of the repetitions than before it,
/// and more at the end than there ever were before the second half. So a pool that fills, and what comes and goes, is no leak;
/// and one that happens in every `n`th repetition alone is found by `2 * n` of them.
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
#[derive(Clone, Debug)]
#[must_use = "nothing is repeated before `run`"]
pub struct Repeat {
    times: usize,
    warm_ups: usize,
    timeout: Duration,
    allowed: Vec<String>,
}

impl Repeat {
    /// Creates a check of so many repetitions, after one that does not count.
    pub fn new(times: usize) -> Self {
        let timeout = Duration::from_millis(200);
        Self { times, warm_ups: 1, timeout, allowed: Vec::new() }
    }

    /// Sets how many repetitions come first and do not count, for caches and pools to fill. Default: 1.
    pub fn warm_ups(mut self, warm_ups: usize) -> Self {
        self.warm_ups = warm_ups;
        self
    }

    /// Sets how long to wait for pending drops after a repetition in which something grew. Default: 200 ms.
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// Allows objects to grow in number whose type's full name, or whose line (`src/log.rs:17`), contains `what`.
    pub fn allow(mut self, what: impl Into<String>) -> Self {
        self.allowed.push(what.into());
        self
    }

    /// Repeats `f`, and panics with the report of what grew.
    ///
    /// # Panics
    ///
    /// Panics as [`repeat`](super::repeat) does.
    #[track_caller]
    pub fn run(self, mut f: impl FnMut()) {
        let Self { times, warm_ups, timeout, allowed } = self;
        assert!(times >= 2, "a leak is what grows with each repetition: 2 at least");
        let check = allowed.into_iter().fold(Check::new().timeout(timeout), Check::allow);
        let scope = check.scope();
        let alive = || {
            let mut living = scope.alive();
            check.mark_allowed(&mut living);
            living.retain(|object| !object.allowed);
            living
        };
        (0..warm_ups).for_each(|_| scope.run(&mut f));
        let mut history = vec![count(&alive())];
        for _ in 0..times {
            scope.run(&mut f);
            let mut now = count(&alive());
            let before = history.last().unwrap_or(&now);
            if now.iter().any(|(key, n)| n > before.get(key).unwrap_or(&0)) {
                // What other threads still tear down has its time.
                let _ = check.verified();
                now = count(&alive());
            }
            history.push(now);
        }
        let report = check.report();
        if report.traced_nothing() {
            check::fail(&report, None);
        }
        let counts = |key: &Key| -> Vec<u64> {
            history.iter().map(|counts| counts.get(key).copied().unwrap_or(0)).collect()
        };
        let mut living = alive();
        living.retain(|object| grows(&counts(&key(object))));
        // In how many repetitions the one grew that did so most often.
        let rounds = living.iter().map(|object| rounds_of_growth(&counts(&key(object)))).max();
        let mut leaks = LeakReport::new(living, Time::coarse())
            .with_kind(ReportKind::Check)
            .with_untraced(report.untraced());
        leaks.outside = report.outside;
        if leaks.is_empty() {
            // As a check that passes does.
            leaks.note_outside().into_iter().for_each(|note| eprintln!("{note}"));
        } else {
            let often = match rounds.unwrap_or(times) {
                rounds if rounds == times => format!("each of {times}"),
                rounds => format!("{rounds} of {times}"),
            };
            clear_dead_frames();
            check::fail(&leaks, Some(format!("leaked in {often} iterations")));
        }
    }
}

/// What is counted as one: type and line.
type Key = (Cow<'static, str>, Location);

fn key(object: &LiveObject) -> Key {
    (object.type_name.clone(), object.location.clone())
}

fn count(living: &[LiveObject]) -> BTreeMap<Key, u64> {
    let mut counts = BTreeMap::new();
    for object in living {
        *counts.entry(key(object)).or_default() += 1;
    }
    counts
}

/// Whether counts, of before the first repetition and after each, grow in both halves.
fn grows(counts: &[u64]) -> bool {
    let times = counts.len() - 1;
    let half = times / 2;
    let (before, last) = (&counts[..=times - half], counts[times]);
    counts[half] > counts[0] && before.iter().all(|&count| last > count)
}

fn rounds_of_growth(counts: &[u64]) -> usize {
    counts.windows(2).filter(|pair| pair[1] > pair[0]).count()
}

#[cfg(test)]
mod tests {
    use super::grows;

    #[test]
    fn growth_is_distinguished_from_what_fills_and_what_comes_and_goes() {
        for (counts, is_growth) in [
            (&[0, 1, 2][..], true),
            (&[5, 6, 8, 9], true),
            // In every second repetition, by four, and in every third, by six.
            (&[0, 1, 1, 2, 2], true),
            (&[0, 0, 1, 1, 2], true),
            (&[0, 0, 0, 1, 1, 1, 2], true),
            (&[0, 1, 1, 2], true),
            // It falls back, and not as far as it was.
            (&[0, 3, 1, 4, 2, 5], true),
            (&[0, 1, 1], false),
            (&[0, 0, 1], false),
            // A pool that is full, at the latest when the second half begins.
            (&[3, 4, 5, 5, 5, 5], false),
            (&[0, 1, 2, 3, 3, 3], false),
            (&[0, 0, 0, 1, 1, 1], false),
            // What is there for one repetition, or two.
            (&[0, 1, 0, 1], false),
            (&[0, 2, 1, 0, 2, 1, 0], false),
            (&[4, 3, 2, 1], false),
        ] {
            assert_eq!(grows(counts), is_growth, "{counts:?}");
        }
    }
}
