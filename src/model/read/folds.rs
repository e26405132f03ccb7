//! What is made of a recording in one pass.

use super::parts::Fold;
use super::passes::{Input, open};
use super::{Moment, ReadError, UNKNOWN};
use crate::event::{Location, ObjectId, Time};
use crate::model::stretch::Stretches;
use crate::model::{Earlier, EventRecord, LiveObject, ObjectRecord, Recording, Replay};
use std::collections::{HashMap, HashSet};
use std::io::BufRead;

/// Reads the whole history of some objects, or of all.
pub(super) fn whole<R: BufRead>(
    input: Input<R>,
    wanted: Option<&HashSet<ObjectId>>,
) -> Result<Recording, ReadError> {
    let mut recording = Recording::default();
    let mut whole = Whole::default();
    open(input, &mut recording)?.fold(&mut recording, wanted, &mut whole)?;
    whole.into(&mut recording);
    Ok(recording)
}

/// Everything, as it comes.
#[derive(Default)]
struct Whole {
    recording: Recording,
    labels: HashMap<ObjectId, (u64, String)>,
}

impl Fold for Whole {
    fn object(&mut self, _: &Recording, object: ObjectRecord, earlier: Earlier) {
        // A later part names what is alive again: what the earlier part said is more.
        if self.recording.objects.contains_key(&object.id) {
            return;
        }
        if earlier != Earlier::default() {
            self.recording.earlier.insert(object.id, earlier);
        }
        self.recording.objects.insert(object.id, object);
    }

    fn event(&mut self, _: &Recording, event: &EventRecord) {
        self.recording.events.push(*event);
    }

    fn label(&mut self, _: &Recording, object: ObjectId, seq: u64, label: String) {
        // The latest, in whichever order they are written.
        let latest = self.labels.entry(object).or_default();
        if seq >= latest.0 {
            *latest = (seq, label);
        }
    }
}

impl Whole {
    fn into(self, recording: &mut Recording) {
        let Recording { mut objects, mut events, earlier, .. } = self.recording;
        for (object, (_, label)) in self.labels {
            if let Some(object) = objects.get_mut(&object) {
                object.label = Some(label);
            }
        }
        events.retain(|event| {
            let earlier = earlier.get(&event.object());
            let known = earlier.is_some_and(|earlier| earlier.includes(event.seq));
            !known && objects.contains_key(&event.object())
        });
        (recording.objects, recording.events, recording.earlier) = (objects, events, earlier);
        name_all(recording);
        recording.sort();
        recording.events.dedup_by_key(|event| (event.object(), event.seq));
    }
}

/// Has all that refers to a thread or line of which nothing is known refer to something that says so.
pub(super) fn name_all(recording: &mut Recording) {
    let Recording { objects, events, threads, locations, .. } = recording;
    let no_thread = events.iter_mut().map(|event| &mut event.thread);
    name_unknown(no_thread, threads, || "?".into());
    let no_line = objects.values_mut().map(|object| &mut object.location);
    name_unknown(no_line, locations, || Location::new("?", 0, 0));
}

/// Has what refers to nothing that is known refer to something that says so.
fn name_unknown<'a, T>(
    indexes: impl Iterator<Item = &'a mut u32>,
    table: &mut Vec<T>,
    name: impl FnOnce() -> T,
) {
    let mut unknown = indexes.filter(|index| **index == UNKNOWN).peekable();
    if unknown.peek().is_some() {
        unknown.for_each(|index| *index = table.len() as u32);
        table.push(name());
    }
}

/// A replay that has nothing seen.
struct Live(Replay);

impl Live {
    fn new() -> Self {
        Self(Replay::unordered())
    }
}

impl Fold for Live {
    const CONDENSED: bool = true;

    fn object(&mut self, _: &Recording, object: ObjectRecord, earlier: Earlier) {
        self.0.object(object, earlier);
    }

    fn event(&mut self, _: &Recording, event: &EventRecord) {
        self.0.event(event);
    }

    fn label(&mut self, _: &Recording, object: ObjectId, seq: u64, label: String) {
        self.0.label(object, seq, &label);
    }

    fn stretches(&mut self, stretches: &Stretches) {
        for (head, events, skipped) in stretches.iter() {
            self.0.stretch(head, events, skipped);
        }
    }
}

/// Reads what was alive at the end.
pub(super) fn live<R: BufRead>(input: Input<R>) -> Result<(Recording, Vec<LiveObject>), ReadError> {
    let mut recording = Recording::default();
    let shares = open(input, &mut recording)?.fold_shares(&mut recording, Live::new)?;
    let replays = shares.into_iter().map(|live| live.0);
    let objects = living(replays, &recording);
    Ok((recording, objects))
}

/// What is alive after several replays of different objects.
pub(super) fn living(
    replays: impl Iterator<Item = Replay>,
    recording: &Recording,
) -> Vec<LiveObject> {
    let mut objects: Vec<_> =
        replays.flat_map(|mut replay| replay.live_objects(recording)).collect();
    objects.sort_unstable_by_key(|object| object.id);
    objects
}

/// Reads what was alive at a moment; `None` where there is no such moment.
pub(super) fn live_at<R: BufRead>(
    input: Input<R>,
    moment: &Moment,
) -> Result<Option<(Recording, Vec<LiveObject>)>, ReadError> {
    let mut recording = Recording::default();
    let opened = open(input, &mut recording)?;
    let (until, mark) = match moment {
        Moment::Time(time) => (Some(*time), None),
        // Lines are in order, and the mark is one of them; of parts the times tell, and it is known before.
        Moment::Mark(name) => (time_of(&recording, name), Some(name.as_str())),
    };
    let make =
        || Until { live: Live::new(), until, mark, marks: 0, has_events: false, is_over: false };
    let mut shares = opened.fold_shares(&mut recording, make)?;
    shares.iter_mut().for_each(|share| share.live.0.forget_untimed());
    let time = match moment {
        Moment::Mark(name) => time_of(&recording, name),
        Moment::Time(time) => (*time <= recording.end).then_some(*time),
    };
    let Some(time) = time else { return Ok(None) };
    recording.end = time;
    let mut objects = living(shares.into_iter().map(|share| share.live.0), &recording);
    // Those that are known by their first line alone were not there yet.
    objects.retain(|object| !object.handles.is_empty() || object.strong > 0);
    Ok(Some((recording, objects)))
}

fn time_of(recording: &Recording, mark: &str) -> Option<Time> {
    recording.marks.iter().find(|known| known.name == mark).map(|mark| mark.time)
}

/// A replay up to a moment.
struct Until<'a> {
    live: Live,
    until: Option<Time>,
    /// The mark that ends it where no time does, and how many marks there were when it was looked for.
    mark: Option<&'a str>,
    marks: usize,
    has_events: bool,
    is_over: bool,
}

impl Until<'_> {
    fn is_over(&mut self, tables: &Recording) -> bool {
        if self.until.is_none() && self.marks != tables.marks.len() {
            self.marks = tables.marks.len();
            let time = self.mark.and_then(|mark| time_of(tables, mark));
            // Where lines were exported, marks come first.
            if self.has_events {
                self.is_over = time.is_some();
            } else {
                self.until = time;
            }
        }
        self.is_over
    }
}

impl Fold for Until<'_> {
    fn object(&mut self, tables: &Recording, object: ObjectRecord, earlier: Earlier) {
        if !self.is_over(tables) {
            self.live.object(tables, object, earlier);
        }
    }

    fn event(&mut self, tables: &Recording, event: &EventRecord) {
        if !self.is_over(tables) && self.until.is_none_or(|until| event.time <= until) {
            self.live.event(tables, event);
        }
        self.has_events = true;
    }

    fn label(&mut self, tables: &Recording, object: ObjectId, seq: u64, label: String) {
        if !self.is_over(tables) {
            self.live.label(tables, object, seq, label);
        }
    }
}
