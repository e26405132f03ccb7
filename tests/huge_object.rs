//! An object whose history is too long to be kept: what is kept of it says how it began, how it ended and who holds it.
#![cfg(all(unix, feature = "json", feature = "trace"))]

use refscope::model::RecordingFile;
use refscope::render::Terminal;
use refscope::sink::FlightRecorder;
use refscope::{Arc, Recording, Scope};
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

fn path(name: &str) -> PathBuf {
    let folder =
        Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("huge-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    folder.join(name)
}

const CLONES: usize = 40_000;

/// One object: clones that come and go on three threads, one in so many that stays, weak ones, raw pointers.
fn record(name: &str, every: usize) -> (PathBuf, Vec<Arc<u64>>) {
    let file = path(name);
    let flight = FlightRecorder::create(&file).unwrap();
    let one = Scope::new(flight.clone()).run(|| Arc::new(5));
    let early = [one.clone(), one.clone()];
    let mut kept = Vec::new();
    std::thread::scope(|threads| {
        let threads: Vec<_> = (0..3)
            .map(|_| {
                let one = one.clone();
                threads.spawn(move || {
                    let mut kept = Vec::new();
                    for number in 0..CLONES / 3 {
                        let weak = Arc::downgrade(&one);
                        let clone = weak.upgrade().unwrap();
                        if number % every == 7 {
                            kept.push(clone.clone());
                        }
                        if number % every == 9 {
                            let raw = Arc::into_raw(clone.clone());
                            // SAFETY: RAW: it came from `into_raw`, and is taken back once.
                            kept.push(unsafe { Arc::from_raw(raw) });
                        }
                    }
                    kept
                })
            })
            .collect();
        threads.into_iter().for_each(|thread| kept.extend(thread.join().unwrap()));
    });
    // Most of the first handles end at last.
    drop(early);
    kept.push(one);
    flight.flush().unwrap();
    (file, kept)
}

#[test]
fn what_is_kept_is_bounded_and_says_the_same_of_what_is_alive() {
    let (file, kept) = record("some.refscope", 1_000);
    let whole = Recording::open(&file).unwrap();
    let object = *whole.objects().keys().next().unwrap();
    let timelines = whole.timelines();
    let all = timelines.iter().next().unwrap();
    assert!(all.events.len() > 4 * CLONES - 100 && all.whole);
    for (most, packed) in [(2_000, false), (2_000, true), (500, true)] {
        let mut from = file.clone();
        if packed {
            from = path("packed.refscope");
            let to = std::fs::File::create(&from).unwrap();
            RecordingFile::open(&file).unwrap().pack(to).unwrap();
        }
        let part = RecordingFile::open(&from).unwrap();
        let part = part.objects_bounded(&[object].into(), most).unwrap();
        let timelines = part.timelines();
        let cut = timelines.iter().next().unwrap();
        assert!(cut.events.len() <= 3 * most, "{}", cut.events.len());
        assert_eq!(cut.omitted, (all.events.len() - cut.events.len()) as u64);
        assert_eq!(cut.events[..most / 2], all.events[..most / 2]);
        let ends = [cut.events.len(), all.events.len()].map(|length| length - most / 2);
        assert_eq!(cut.events[ends[0]..], all.events[ends[1]..]);
        let counts = |t: &refscope::analysis::Timeline<'_>| {
            (t.strong(), t.weak(), t.peak_strong, t.peak_weak, t.fate())
        };
        assert_eq!(counts(cut), counts(all));
        assert_eq!(cut.strong() as usize, kept.len());
        let alive = |timeline: &refscope::analysis::Timeline<'_>| -> BTreeSet<(u64, u32)> {
            let alive = timeline.lifelines.iter().filter(|line| line.is_alive());
            alive.map(|line| (line.handle.number(), line.thread)).collect()
        };
        assert_eq!(alive(cut), alive(all));
        assert_eq!(cut.omitted_handles, 0);
        // The counts of what is shown are those that there were.
        let points: std::collections::BTreeMap<_, _> =
            all.points.iter().map(|point| (point.seq, point)).collect();
        assert!(cut.points.iter().all(|point| points[&point.seq] == point));
        let said = "events in between are not shown";
        let omitted = cut.omitted.to_string();
        let grouped =
            format!("… {},{} {said}", &omitted[..omitted.len() - 3], &omitted[omitted.len() - 3..]);
        for text in [timelines.to_string(), Terminal::plain(80).tree(&timelines, cut)] {
            assert!(text.contains(&grouped) && !text.contains("with gaps"), "{grouped}: {text}");
        }
    }
    // What fits is whole.
    let part = RecordingFile::open(&file).unwrap();
    let part = part.objects_bounded(&[object].into(), 1_000_000).unwrap();
    assert_eq!(part.events(), whole.events());
    assert_eq!(part.timelines().iter().next().unwrap().omitted, 0);
    assert!(!part.timelines().to_string().contains("not shown"));
}

/// Handles that are alive are more than are kept: they are counted.
#[test]
fn of_very_many_handles_the_others_are_counted() {
    let (file, kept) = record("many.refscope", 10);
    let whole = Recording::open(&file).unwrap();
    let object = *whole.objects().keys().next().unwrap();
    let part = RecordingFile::open(&file).unwrap();
    let part = part.objects_bounded(&[object].into(), 1_000).unwrap();
    let timelines = part.timelines();
    let cut = timelines.iter().next().unwrap();
    assert!(cut.events.len() <= 3_000, "{}", cut.events.len());
    let alive = cut.lifelines.iter().filter(|line| line.is_alive()).count() as u64;
    assert_eq!(alive + cut.omitted_handles, kept.len() as u64);
    let said = format!("not shown, nor {} handles that are alive", cut.omitted_handles);
    let text = timelines.to_string().replace(',', "");
    assert!(text.contains(&said.replace(',', "")), "{said}: {text}");
}
