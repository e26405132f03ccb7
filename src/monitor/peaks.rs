//! The most that was alive at once, by type and line: growth that the shutdown hides is seen so.
//!
//! Counting each allocation would cost every allocation something, so a thread counts what is alive from time to time: a
//! hundred times a second while that changes, once a second while it does not. What comes and goes between two counts is not
//! seen.

use crate::event::{Location, Object, Time};
use crate::lock::Mutex;
use crate::model::peak::SHORTLY;
use crate::model::{self, LiveObject};
use crate::render::Terminal;
use std::collections::HashMap;
use std::time::{Duration, Instant};

/// The least time between two counts; and how many times longer than a count it is at least.
const INTERVAL: Duration = Duration::from_millis(10);
const REST: u32 = 30;

/// The longest time between two counts while no object is allocated and none dropped.
const LONGEST: Duration = Duration::from_secs(1);

/// Lines that are printed.
const SHOWN: usize = 10;

/// The objects of one type and line.
struct Peak {
    object: Object,
    peak: u64,
    now: u64,
    /// When they were last counted to be more than half the peak.
    high: Time,
    /// The line whose handles kept most of them, and how many there were when that was looked for.
    holder: Option<Location>,
    looked_at: u64,
}

#[derive(Default)]
pub(super) struct Peaks {
    /// When they were counted last.
    counted: Option<Time>,
    known: HashMap<(&'static str, std::panic::Location<'static>), Peak>,
}

static PEAKS: Mutex<Option<Peaks>> = Mutex::new(None);

/// Counts from time to time, until the global sink is switched off.
pub(super) fn watch() {
    crate::runtime::view::leave_out(&PEAKS);
    let mut rest = Rest::new();
    while !crate::runtime::dispatch::is_switched_off() {
        let start = Instant::now();
        // Before the count: what is allocated meanwhile is news the next time.
        let allocated = crate::runtime::handle::numbered();
        let alive = count_now();
        std::thread::sleep(rest.after((allocated, alive), start.elapsed()));
    }
}

/// How long the thread rests: twice as long each time, while nothing changes.
struct Rest {
    /// How many objects had been allocated at the last count, and how many were alive.
    before: Option<(u64, u64)>,
    rest: Duration,
}

impl Rest {
    const fn new() -> Self {
        Self { before: None, rest: INTERVAL }
    }

    /// After a count that took so long.
    fn after(&mut self, counts: (u64, u64), took: Duration) -> Duration {
        let is_idle = self.before.replace(counts) == Some(counts);
        self.rest = if is_idle { (self.rest * 2).min(LONGEST) } else { INTERVAL };
        self.rest.max(took * REST)
    }
}

/// Returns how many are alive.
fn count_now() -> u64 {
    // A fork waits for the lock, so what takes long is done without it.
    let objects = crate::model::living_objects();
    let counts = counts(&objects);
    let has_grown = {
        let mut peaks = PEAKS.lock();
        let peaks = peaks.get_or_insert_default();
        peaks.add(counts, Time::coarse());
        peaks.known.values().any(Peak::has_grown)
    };
    if has_grown {
        let alive = crate::model::alive();
        let lines = lines_of_holders(&alive);
        if let Some(peaks) = PEAKS.lock().as_mut() {
            peaks.look(&lines);
        }
    }
    objects.len() as u64
}

/// How many objects there are of each type and line: by address, though a line in generic code has several locations.
fn counts(objects: &[Object]) -> HashMap<(usize, usize), (Object, u64)> {
    let mut counts = HashMap::new();
    for &object in objects {
        let key =
            (std::ptr::from_ref(object.ty).addr(), std::ptr::from_ref(object.location).addr());
        counts.entry(key).or_insert((object, 0)).1 += 1;
    }
    counts
}

/// The lines that hold objects of each type and line, and how many.
type Lines<'a> = HashMap<(&'a str, &'a Location), HashMap<&'a Location, u64>>;

fn lines_of_holders(objects: &[LiveObject]) -> Lines<'_> {
    let mut lines = Lines::new();
    for object in objects {
        // A stack is not resolved here: it takes long, and a lock that the exit's report needs.
        let line = object.fault().and_then(|handle| handle.location());
        if let Some(line) = line.filter(|line| line.is_user()) {
            let all = lines.entry((&*object.type_name, &object.location)).or_default();
            *all.entry(line).or_default() += 1;
        }
    }
    lines
}

impl Peak {
    /// Whether there are so many more that who holds them is worth another look.
    fn has_grown(&self) -> bool {
        self.now > 1 && self.now * 2 > self.looked_at * 3
    }
}

impl Peaks {
    fn add(&mut self, counts: HashMap<(usize, usize), (Object, u64)>, now: Time) {
        self.known.values_mut().for_each(|peak| peak.now = 0);
        for (object, count) in counts.into_values() {
            let new = || Peak { object, peak: 0, now: 0, high: now, holder: None, looked_at: 0 };
            let key = (object.type_name(), *object.location);
            self.known.entry(key).or_insert_with(new).now += count;
        }
        self.counted = Some(now);
        for peak in self.known.values_mut() {
            peak.peak = peak.peak.max(peak.now);
            if peak.now * 2 > peak.peak {
                peak.high = now;
            }
        }
    }

    /// Notes the lines that hold what has grown.
    fn look(&mut self, lines: &Lines<'_>) {
        for peak in self.known.values_mut().filter(|peak| peak.has_grown()) {
            peak.looked_at = peak.now;
            let created = peak.object.location();
            let of = lines.get(&(peak.object.type_name(), &created));
            let most = of.and_then(|of| of.iter().max_by_key(|(line, n)| (**n, *line)));
            peak.holder = most.map(|(line, _)| (*line).clone()).filter(|line| *line != created);
        }
    }

    /// A line for each that was near its peak shortly before `now`, or at the last count before that, and is not any more.
    fn lines(&self, last: Option<Time>, now: Time) -> Vec<String> {
        let was_high =
            |peak: &Peak| peak.high.until(now) <= SHORTLY || last.is_some_and(|t| peak.high >= t);
        let hidden = |peak: &&Peak| peak.peak > 1 && peak.now * 2 <= peak.peak && was_high(peak);
        let mut peaks: Vec<_> = self.known.values().filter(hidden).collect();
        peaks.sort_by_key(|peak| {
            (std::cmp::Reverse(peak.peak), peak.object.type_name(), peak.object.location().line)
        });
        let line = |peak: &&Peak| {
            let Peak { object, peak, now: left, high, holder, .. } = peak;
            let line = model::Peak {
                kind: object.kind(),
                type_name: object.type_name().into(),
                location: object.location(),
                peak: *peak,
                left: *left,
                time: *high,
                ago: high.until(now),
                holder: holder.clone(),
            };
            line.to_string()
        };
        peaks.iter().take(SHOWN).map(line).collect()
    }
}

/// What the exit's report says of peaks, if there is anything to say.
pub(super) fn report() -> Option<String> {
    // The counting thread may be in the middle of it, for good: it is not waited for without an end.
    let counts = counts(&crate::model::living_objects());
    let mut peaks = PEAKS.try_lock_for(Duration::from_millis(200))?;
    let peaks = peaks.get_or_insert_default();
    let (last, now) = (peaks.counted, Time::coarse());
    peaks.add(counts, now);
    let lines = peaks.lines(last, now);
    (!lines.is_empty()).then(|| {
        let intro =
            "refscope: gone at exit, and alive shortly before (counted from time to time):\n";
        let terminal = Terminal::stderr();
        lines.iter().fold(intro.to_owned(), |text, line| text + &terminal.fold(line, "  ", "    "))
    })
}

#[cfg(test)]
mod tests {
    use super::{INTERVAL, LONGEST, Peaks, Rest, counts};
    use crate::event::{Object, Time};
    use crate::{Arc, Scope};
    use std::time::Duration;

    struct Counted;

    /// Objects of this module's own type.
    fn counted() -> Vec<Object> {
        let mut objects = crate::model::living_objects();
        objects.retain(|object| object.type_name().ends_with("::Counted"));
        objects
    }

    const fn ms(ms: u64) -> Time {
        Time::from_nanos(ms * 1_000_000)
    }

    #[test]
    fn rests_longer_while_nothing_changes() {
        let (mut rest, none) = (Rest::new(), Duration::ZERO);
        assert_eq!(rest.after((5, 5), none), INTERVAL, "all is new");
        let rests: Vec<_> = (0..8).map(|_| rest.after((5, 5), none).as_millis()).collect();
        assert_eq!(rests, [20, 40, 80, 160, 320, 640, 1_000, 1_000]);
        assert_eq!(rest.after((6, 6), none), INTERVAL, "one more");
        assert_eq!(rest.after((6, 6), none), 2 * INTERVAL);
        assert_eq!(rest.after((6, 5), none), INTERVAL, "one dropped");
        assert_eq!(rest.after((7, 5), none), INTERVAL, "one allocated for one dropped");
        // A count that takes long is not repeated soon.
        assert_eq!(rest.after((8, 6), Duration::from_millis(100)), 3 * LONGEST);
    }

    /// What was alive, unchanged, when it was last counted is mentioned, though that was a second ago; not what was gone then.
    #[test]
    fn finds_what_was_there_at_the_last_count() {
        let scope = Scope::tracking();
        let all: Vec<_> = scope.run(|| (0..5).map(|_| Arc::new(Counted)).collect());
        let mut peaks = Peaks::default();
        for at in [0, 10, 500] {
            peaks.add(counts(&counted()), ms(at));
        }
        drop(all);
        let last = peaks.counted;
        peaks.add(counts(&counted()), ms(1_490));
        let lines = peaks.lines(last, ms(1_490));
        assert_eq!(lines.len(), 1, "{lines:?}");
        assert!(lines[0].contains(": 5 at the peak, all dropped in the last "), "{lines:?}");
        // The count at 1,490 ms was another than the exit's: it has seen them gone.
        let last = peaks.counted;
        peaks.add(counts(&counted()), ms(2_000));
        assert!(peaks.lines(last, ms(2_000)).is_empty());
    }
}
