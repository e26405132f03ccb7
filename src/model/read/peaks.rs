//! What was alive shortly before the end, found in the pass that finds what is alive at it.

use super::ReadError;
use super::folds::living;
use super::parts::Fold;
use super::passes::{Input, open};
use crate::event::{Kind, Location, ObjectId, Time};
use crate::model::peak::{BRIEFLY, Life, Peak, SHORTLY, peak_of};
use crate::model::replay::Seen;
use crate::model::stretch::Stretches;
use crate::model::{Earlier, EventRecord, LiveObject, ObjectRecord, Recording, Replay};
use std::borrow::Cow;
use std::collections::HashMap;
use std::io::BufRead;

/// How many objects that ended shortly before are remembered, by each thread that reads. Where there are more, no peak is named:
/// it would be too low.
const MOST: usize = 1 << 20;

/// Kind, type, and the index of the line.
type Key = (Kind, Cow<'static, str>, u32);

/// The objects that ended last.
#[derive(Default)]
struct Ended {
    keys: HashMap<Key, u32>,
    lives: Vec<(u32, Time, Time)>,
    latest: Time,
    is_cut: bool,
}

impl Ended {
    fn see(&mut self, seen: &Seen<'_>) {
        let Some(event) = seen.event.filter(|it| it.strong == 0 && it.op.strong_delta() < 0) else {
            return;
        };
        self.add(seen.object, seen.created, event.time);
    }

    fn add(&mut self, object: &ObjectRecord, created: Time, ended: Time) {
        // What merely comes and goes takes no room: what does was alive before, and took more.
        if created.until(ended) < BRIEFLY {
            return;
        }
        self.latest = self.latest.max(ended);
        let key = (object.kind, object.type_name.clone(), object.location);
        let next = self.keys.len() as u32;
        let key = *self.keys.entry(key).or_insert(next);
        // Room is made where half of it may be old.
        if self.lives.len() == self.lives.capacity() && self.lives.len() >= 1024 {
            let latest = self.latest;
            self.lives.retain(|(_, _, ended)| ended.until(latest) <= SHORTLY);
        }
        if self.lives.len() < MOST {
            self.lives.push((key, created, ended));
        } else {
            self.is_cut = true;
        }
    }
}

/// A replay that remembers them.
struct Remembering {
    replay: Replay,
    ended: Ended,
}

impl Fold for Remembering {
    const CONDENSED: bool = true;

    fn object(&mut self, _: &Recording, object: ObjectRecord, earlier: Earlier) {
        let ended = &mut self.ended;
        self.replay.object_seen(object, earlier, &mut |seen: Seen<'_>| {
            ended.see(&seen);
            true
        });
    }

    fn event(&mut self, _: &Recording, event: &EventRecord) {
        let ended = &mut self.ended;
        self.replay.event_seen(event, &mut |seen: Seen<'_>| {
            ended.see(&seen);
            true
        });
    }

    fn label(&mut self, _: &Recording, object: ObjectId, seq: u64, label: String) {
        self.replay.label(object, seq, &label);
    }

    fn stretches(&mut self, stretches: &Stretches) {
        let ended = &mut self.ended;
        for (object, created, end) in &stretches.lives {
            ended.add(object, *created, *end);
        }
        for (head, events, skipped) in stretches.iter() {
            self.replay.stretch_seen(head, events, skipped, &mut |seen: Seen<'_>| {
                ended.see(&seen);
                true
            });
        }
    }
}

/// Reads what was alive at the end, and what was shortly before: the most numerous first.
pub(super) fn live_and_peaks<R: BufRead>(
    input: Input<R>,
) -> Result<(Recording, Vec<LiveObject>, Vec<Peak>), ReadError> {
    let mut recording = Recording::default();
    let make = || Remembering { replay: Replay::unordered(), ended: Ended::default() };
    let shares = open(input, &mut recording)?.fold_shares(&mut recording, make)?;
    let (replays, ended): (Vec<_>, Vec<_>) =
        shares.into_iter().map(|share| (share.replay, share.ended)).unzip();
    let objects = living(replays.into_iter(), &recording);
    let peaks = peaks(&ended, &objects, &recording);
    Ok((recording, objects, peaks))
}

fn peaks(ended: &[Ended], living: &[LiveObject], recording: &Recording) -> Vec<Peak> {
    if ended.iter().any(|ended| ended.is_cut) {
        return Vec::new();
    }
    let mut all: HashMap<(Kind, &str, &Location), Vec<Life>> = HashMap::new();
    for ended in ended {
        let mut keys: Vec<_> = ended.keys.iter().collect();
        keys.sort_unstable_by_key(|(_, number)| **number);
        for &(key, born, end) in &ended.lives {
            let ((kind, type_name, location), _) = keys[key as usize];
            if let Some(location) = recording.locations.get(*location as usize) {
                let lives = all.entry((*kind, type_name, location)).or_default();
                lives.push((born, Some(end)));
            }
        }
    }
    // Those of which none ended don't matter.
    for object in living.iter().filter(|object| object.strong > 0) {
        if let Some(lives) = all.get_mut(&(object.kind, &*object.type_name, &object.location)) {
            lives.push((object.created, None));
        }
    }
    let end = recording.end;
    let peak = |((kind, type_name, location), lives): ((Kind, &str, &Location), Vec<Life>)| {
        let (peak, time, high) = peak_of(&lives, end)?;
        let left = lives.iter().filter(|(_, ended)| ended.is_none()).count() as u64;
        let (type_name, location) = (type_name.to_owned().into(), location.clone());
        let ago = high.until(end);
        Some(Peak { kind, type_name, location, peak, left, time, ago, holder: None })
    };
    let mut peaks: Vec<Peak> = all.into_iter().filter_map(peak).collect();
    peaks.sort_by(|a, b| {
        let key = |it: &Peak| (std::cmp::Reverse(it.peak), it.kind);
        let rest = |it: &Peak| (it.type_name.clone(), it.location.clone());
        key(a).cmp(&key(b)).then_with(|| rest(a).cmp(&rest(b)))
    });
    peaks
}
