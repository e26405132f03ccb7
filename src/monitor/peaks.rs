//! The most that was alive at once, by type and line: growth that the shutdown hides is seen so.
//!
//! Counting each allocation would cost every allocation something, so a thread counts what is alive from time to time. What
//! comes and goes between two counts is not seen.

use crate::event::{Object, Time};
use crate::lock::Mutex;
use crate::text::{age, count, short_file};
use std::collections::HashMap;
use std::time::{Duration, Instant};

/// The least time between two counts; and how many times longer than a count it is at least.
const INTERVAL: Duration = Duration::from_millis(10);
const REST: u32 = 30;

/// How long before the exit something has to have been near its peak to be mentioned.
const SHORTLY: Duration = Duration::from_millis(500);

/// Lines that are printed.
const SHOWN: usize = 10;

/// The objects of one type and line.
struct Peak {
    object: Object,
    peak: u64,
    now: u64,
    /// When they were last counted to be more than half the peak.
    high: Time,
}

#[derive(Default)]
pub(super) struct Peaks {
    known: HashMap<(usize, usize), Peak>,
}

static PEAKS: Mutex<Option<Peaks>> = Mutex::new(None);

/// Counts from time to time, for ever.
pub(super) fn watch() {
    loop {
        let start = Instant::now();
        count_now();
        std::thread::sleep(INTERVAL.max(start.elapsed() * REST));
    }
}

fn count_now() {
    let objects = crate::model::living_objects();
    PEAKS.lock().get_or_insert_default().add(&objects, Time::coarse());
}

impl Peaks {
    fn add(&mut self, objects: &[Object], now: Time) {
        self.known.values_mut().for_each(|peak| peak.now = 0);
        for &object in objects {
            let key =
                (std::ptr::from_ref(object.ty).addr(), std::ptr::from_ref(object.location).addr());
            let new = || Peak { object, peak: 0, now: 0, high: now };
            self.known.entry(key).or_insert_with(new).now += 1;
        }
        for peak in self.known.values_mut() {
            peak.peak = peak.peak.max(peak.now);
            if peak.now * 2 > peak.peak {
                peak.high = now;
            }
        }
    }

    /// A line for each that was near its peak shortly before `now`, and is not any more.
    fn lines(&self, now: Time) -> Vec<String> {
        let hidden = |peak: &&Peak| {
            peak.peak > 1 && peak.now * 2 <= peak.peak && peak.high.until(now) <= SHORTLY
        };
        let mut peaks: Vec<_> = self.known.values().filter(hidden).collect();
        peaks.sort_by_key(|peak| {
            (std::cmp::Reverse(peak.peak), peak.object.type_name(), peak.object.location().line)
        });
        let line = |peak: &&Peak| {
            let (object, location) = (peak.object, peak.object.location());
            let name = crate::event::short_type(object.type_name());
            let dropped = match peak.now {
                0 => "all".to_owned(),
                now => count(peak.peak - now),
            };
            format!(
                "{}<{}> at {}:{}: {} at the peak, {dropped} dropped in the last {}",
                object.kind(),
                crate::text::escape(&name),
                short_file(&location.file),
                location.line,
                count(peak.peak),
                age(peak.high.until(now)),
            )
        };
        peaks.iter().take(SHOWN).map(line).collect()
    }
}

/// What the exit's report says of peaks, if there is anything to say.
pub(super) fn report() -> Option<String> {
    // The counting thread may be in the middle of it, for good: it is not waited for without an end.
    let objects = crate::model::living_objects();
    let mut peaks = PEAKS.try_lock_for(Duration::from_millis(200))?;
    let peaks = peaks.get_or_insert_default();
    let now = Time::coarse();
    peaks.add(&objects, now);
    let lines = peaks.lines(now);
    (!lines.is_empty()).then(|| {
        let intro =
            "refscope: gone at exit, and alive shortly before (counted from time to time):\n";
        lines.iter().fold(intro.to_owned(), |text, line| text + "  " + line + "\n")
    })
}
