//! One replay: what a recording says is alive does not depend on where it is kept, in which order its events were
//! written, or which analysis asks.
//!
//! * SAME: a recording in memory, one in a file, and one that is read event by event, of the same program, give equal
//!   objects, handles, paths, counts and fingerprints.
//! * ORDER: however the lines of a file are shuffled, every analysis says what it says of the sorted file; also where
//!   lines are missing.
//! * AGREE: leaks, timelines and totals of one file do not contradict each other.

use proptest::prelude::*;
use refscope::analysis::{LeakReport, Snapshot};
use refscope::event::Time;
use refscope::model::LiveObject;
use refscope::sink::{Clock, FileSink, Recorder};
use refscope::sync::Weak;
use refscope::{Arc, Recording, Scope, StdPtr as _};
use std::mem::{ManuallyDrop, forget};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

#[derive(Clone, Copy, Debug)]
enum Step {
    New,
    Clone(usize),
    /// On other lines, so that paths differ.
    CloneElsewhere(usize, usize),
    Drop(usize),
    Forget(usize),
    Downgrade(usize),
    WeakClone(usize),
    WeakDrop(usize),
    Upgrade(usize),
    MakeMut(usize),
    IntoRaw(usize),
    FromRaw(usize),
    /// A handle from a raw pointer that is forgotten again, as callbacks from C do.
    View(usize),
    /// The same, that goes back to be a raw pointer.
    Borrow(usize),
    Label(usize),
    Allow(usize),
    ThroughStd(usize),
}

fn steps(most: usize) -> impl Strategy<Value = Vec<Step>> {
    use Step::*;
    let at = || 0_usize..16;
    let step = prop_oneof![
        3 => Just(New),
        4 => at().prop_map(Clone),
        6 => (at(), 0_usize..3).prop_map(|(at, line)| CloneElsewhere(at, line)),
        6 => at().prop_map(Drop),
        1 => at().prop_map(Forget),
        2 => at().prop_map(Downgrade),
        1 => at().prop_map(WeakClone),
        2 => at().prop_map(WeakDrop),
        2 => at().prop_map(Upgrade),
        1 => at().prop_map(MakeMut),
        3 => at().prop_map(IntoRaw),
        2 => at().prop_map(FromRaw),
        1 => at().prop_map(View),
        1 => at().prop_map(Borrow),
        1 => at().prop_map(Label),
        1 => at().prop_map(Allow),
        1 => at().prop_map(ThroughStd),
    ];
    prop::collection::vec(step, 1..most)
}

#[derive(Default)]
struct World {
    strong: Vec<Arc<u32>>,
    weak: Vec<Weak<u32>>,
    raw: Vec<*const u32>,
}

impl World {
    fn run(&mut self, step: Step) {
        let Self { strong, weak, raw } = self;
        let at = |at: usize, len: usize| at.checked_rem(len);
        match step {
            Step::New => strong.push(Arc::new(7)),
            Step::Clone(n) => strong.extend(at(n, strong.len()).map(|n| strong[n].clone())),
            Step::CloneElsewhere(n, line) => {
                let Some(n) = at(n, strong.len()) else { return };
                let clone = match line {
                    0 => strong[n].clone(),
                    1 => Arc::clone(&strong[n]),
                    _ => {
                        let first = strong[n].clone();
                        first.clone()
                    }
                };
                strong.push(clone);
            }
            Step::Drop(n) => drop(at(n, strong.len()).map(|n| strong.swap_remove(n))),
            Step::Forget(n) => forget(at(n, strong.len()).map(|n| strong.swap_remove(n))),
            Step::Downgrade(n) => {
                weak.extend(at(n, strong.len()).map(|n| Arc::downgrade(&strong[n])));
            }
            Step::WeakClone(n) => weak.extend(at(n, weak.len()).map(|n| weak[n].clone())),
            Step::WeakDrop(n) => drop(at(n, weak.len()).map(|n| weak.swap_remove(n))),
            Step::Upgrade(n) => strong.extend(at(n, weak.len()).and_then(|n| weak[n].upgrade())),
            Step::MakeMut(n) => {
                if let Some(n) = at(n, strong.len()) {
                    *Arc::make_mut(&mut strong[n]) += 1;
                }
            }
            Step::IntoRaw(n) => {
                raw.extend(at(n, strong.len()).map(|n| Arc::into_raw(strong.swap_remove(n))));
            }
            Step::FromRaw(n) => {
                let taken = at(n, raw.len()).map(|n| raw.swap_remove(n));
                // SAFETY: RAW: it came from `into_raw`, and is taken back once.
                strong.extend(taken.map(|raw| unsafe { Arc::from_raw(raw) }));
            }
            Step::View(n) => {
                let Some(n) = at(n, raw.len()) else { return };
                // SAFETY: RAW: it came from `into_raw`; the handle is never dropped.
                let view = ManuallyDrop::new(unsafe { Arc::from_raw(raw[n]) });
                strong.push(Arc::clone(&view));
            }
            Step::Borrow(n) => {
                let Some(n) = at(n, raw.len()) else { return };
                // SAFETY: RAW: it came from `into_raw`, and becomes a raw pointer again.
                let view = unsafe { Arc::from_raw(raw[n]) };
                weak.push(Arc::downgrade(&view));
                raw[n] = Arc::into_raw(view);
            }
            Step::Label(n) => {
                if let Some(n) = at(n, strong.len()) {
                    refscope::label(&strong[n], &format!("label {}", strong.len()));
                }
            }
            Step::Allow(n) => {
                if let Some(n) = at(n, strong.len()) {
                    refscope::allow_leak(&strong[n]);
                }
            }
            Step::ThroughStd(n) => {
                let taken = at(n, strong.len()).map(|n| strong.swap_remove(n));
                strong.extend(taken.map(|taken| Arc::from_std(taken.into_std())));
            }
        }
    }
}

/// A file of its own for each case.
fn path() -> PathBuf {
    static NUMBER: AtomicU64 = AtomicU64::new(0);
    let folder =
        Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("replay-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    folder.join(format!("{}.jsonl", NUMBER.fetch_add(1, Ordering::Relaxed)))
}

/// Without times: each sink reads a clock of its own.
fn timeless(mut objects: Vec<LiveObject>) -> Vec<LiveObject> {
    for object in &mut objects {
        object.created = Time::START;
        object.handles.iter_mut().for_each(|handle| handle.created = Time::START);
    }
    objects
}

fn fingerprints(objects: &[LiveObject]) -> Vec<(u64, usize)> {
    let report = LeakReport::new(objects.to_vec(), Time::START);
    report.leaks().iter().map(|leak| (leak.fingerprint, leak.objects.len())).collect()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 100, failure_persistence: None, ..ProptestConfig::default() })]

    /// SAME.
    #[test]
    fn in_memory_in_a_file_and_event_by_event(parts in prop::collection::vec(steps(120), 1..4)) {
        let (recorder, path) = (Recorder::builder().budget(16 << 20).clock(Clock::None).build(), path());
        let sink = FileSink::create(&path).unwrap();
        let scope = Scope::new((recorder.clone(), sink.clone()));
        let mut world = World::default();
        for steps in parts {
            scope.run(|| steps.iter().for_each(|step| world.run(*step)));
            sink.flush().unwrap();
            let bytes = std::fs::read(&path).unwrap();
            let memory = timeless(recorder.recording().live_objects());
            let file = timeless(Recording::read(&bytes[..]).unwrap().live_objects());
            let (_, streamed) = Recording::read_live(&bytes[..]).unwrap();
            let streamed = timeless(streamed);
            prop_assert_eq!(&memory, &file, "SAME");
            prop_assert_eq!(&memory, &streamed, "SAME");
            prop_assert_eq!(fingerprints(&memory), fingerprints(&streamed), "SAME");
        }
        drop((world, sink, scope));
        std::fs::remove_file(path).unwrap();
    }
}

/// The lines of a program's recording: tables and objects, and events.
fn lines(steps: &[Step]) -> (Vec<String>, Vec<String>) {
    let path = path();
    let sink = FileSink::create(&path).unwrap();
    let mut world = World::default();
    Scope::new(sink.clone()).run(|| steps.iter().for_each(|step| world.run(*step)));
    sink.flush().unwrap();
    let text = std::fs::read_to_string(&path).unwrap();
    drop((world, sink));
    std::fs::remove_file(path).unwrap();
    text.lines().map(str::to_owned).partition(|line| !line.starts_with("{\"event\""))
}

fn text(tables: &[String], events: &[String]) -> String {
    tables.iter().chain(events).flat_map(|line| [line, "\n"]).collect()
}

/// What all analyses say of a file; that they agree is checked on the way.
fn analyses(text: &str) -> Result<(Vec<LiveObject>, String), TestCaseError> {
    let recording = Recording::read(text.as_bytes()).unwrap();
    let (_, live) = Recording::read_live(text.as_bytes()).unwrap();
    prop_assert!(recording.damage().is_empty());
    prop_assert_eq!(&recording.live_objects(), &live, "AGREE");
    let timelines = recording.timelines();
    for timeline in &timelines {
        let object = live.iter().find(|object| object.id == timeline.object.id);
        let strong = object.map_or(0, |object| object.strong);
        prop_assert_eq!(timeline.strong(), strong, "AGREE: {:?}", timeline.object);
        let alive = timeline.lifelines.iter().filter(|line| line.is_alive());
        let alive: Vec<_> = alive.map(|line| (line.handle, line.raw.is_some())).collect();
        let handles = object.map_or(&[][..], |object| &object.handles);
        let handles: Vec<_> = handles.iter().map(|handle| (handle.id, handle.raw)).collect();
        prop_assert_eq!(alive, handles, "AGREE: {:?}", timeline.object);
    }
    prop_assert!(live.iter().all(|live| timelines.iter().any(|t| t.object.id == live.id)));
    let totals = Snapshot::new(live.clone(), recording.end_time());
    let growth = totals.since(&Snapshot::new(Vec::new(), Time::START));
    let strong: u64 = growth.grown().iter().map(|grown| grown.added.strong).sum();
    prop_assert_eq!(strong, live.iter().map(|object| u64::from(object.strong)).sum::<u64>());
    Ok((live, timelines.to_string()))
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 100, failure_persistence: None, ..ProptestConfig::default() })]

    /// ORDER and AGREE, with every line there and with some missing.
    #[test]
    fn any_order(
        steps in steps(160),
        order in prop::collection::vec(any::<u32>(), 400),
        missing in prop::collection::vec(0_usize..400, 0..6),
        nearly in any::<bool>(),
    ) {
        let (tables, events) = lines(&steps);
        for missing in [&[][..], &missing] {
            let kept = events.iter().enumerate().filter(|(number, _)| !missing.contains(number));
            let kept: Vec<_> = kept.map(|(_, line)| line.clone()).collect();
            let sorted = analyses(&text(&tables, &kept))?;
            // As threads do, which are late by a few events; or beyond what they can do.
            let late = |number: usize| {
                let random = order[number % order.len()] as usize;
                if nearly { number + random % 8 } else { random }
            };
            let mut shuffled: Vec<_> = kept.iter().enumerate().collect();
            shuffled.sort_by_key(|(number, _)| late(*number));
            let shuffled: Vec<_> = shuffled.into_iter().map(|(_, line)| line.clone()).collect();
            prop_assert_eq!(analyses(&text(&tables, &shuffled))?, sorted, "ORDER");
        }
    }
}
