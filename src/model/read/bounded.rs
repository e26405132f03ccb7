//! Histories that may be longer than there is memory: how they began, how they ended, and what is alive.

use super::parts::Fold;
use crate::event::{HandleId, ObjectId, Op, Time};
use crate::model::recording::{Gap, Omitted};
use crate::model::{Earlier, EventRecord, ObjectRecord, Recording};
use std::collections::{BTreeMap, HashMap, HashSet, VecDeque};

/// The first and the last events of some objects, so many of each; and those of handles that have others among these, or are
/// alive.
pub(super) struct Bounded {
    most: usize,
    objects: BTreeMap<ObjectId, History>,
}

/// What is kept of an object.
#[derive(Default)]
struct History {
    object: Option<ObjectRecord>,
    earlier: Earlier,
    label: (u64, Option<String>),
    /// The number of the event whose turn it is, and events that came before theirs.
    next: u64,
    early: BTreeMap<u64, EventRecord>,
    /// How many events have had their turn, and what they did to the weak count.
    seen: u64,
    weak: i64,
    peak_strong: u32,
    peak_weak: i64,
    first: Vec<Kept>,
    last: VecDeque<Kept>,
    /// What became of handles that one of the first events made, and of those that took their places.
    ends: Vec<Kept>,
    followed: HashSet<u64>,
    /// Of handles that were made in between and are alive, by number: that, and that they became raw pointers.
    living: HashMap<u64, (Kept, Option<Kept>)>,
    /// How many more there are, for which there was no room.
    more_living: u64,
}

/// An event with its place among all that there are, and the weak count after it.
#[derive(Clone, Copy)]
struct Kept {
    event: EventRecord,
    place: u64,
    weak: i64,
}

/// Events of an object that wait for one before them. More than threads can be behind with: it is lost.
const MOST_EARLY: usize = 1 << 17;

impl Bounded {
    /// Keeps so many events, half of them the first ones.
    pub(super) fn new(most: usize) -> Self {
        Self { most: (most / 2).max(1), objects: BTreeMap::new() }
    }

    fn history(&mut self, object: ObjectId) -> &mut History {
        self.objects.entry(object).or_insert_with(|| History { next: 1, ..History::default() })
    }

    /// Gives what is kept to a recording that has the tables.
    pub(super) fn into(self, recording: &mut Recording) {
        for (id, mut history) in self.objects {
            let Some(mut object) = history.object.take() else { continue };
            for event in std::mem::take(&mut history.early).into_values() {
                history.apply(event, self.most);
            }
            object.label = history.label.1.take().or(object.label);
            if history.earlier != Earlier::default() {
                recording.earlier.insert(id, history.earlier);
            }
            recording.objects.insert(id, object);
            history.into(id, recording);
        }
    }
}

impl Fold for Bounded {
    fn object(&mut self, _: &Recording, object: ObjectRecord, earlier: Earlier) {
        let history = self.history(object.id);
        // A later part names what is alive again: what the earlier part said is more.
        if history.object.is_some() {
            return;
        }
        if earlier != Earlier::default() && history.seen == 0 {
            history.earlier = earlier;
            history.next = earlier.highest.saturating_add(1);
            history.weak = earlier.weak;
        }
        history.object = Some(object);
    }

    fn event(&mut self, _: &Recording, event: &EventRecord) {
        let most = self.most;
        let history = self.history(event.object());
        if event.seq > history.next {
            history.early.entry(event.seq).or_insert(*event);
            if history.early.len() <= MOST_EARLY {
                return;
            }
        } else if event.seq == history.next || !history.earlier.includes(event.seq) {
            history.apply(*event, most);
        }
        while let Some(first) = history.early.first_entry()
            && (*first.key() <= history.next || history.early.len() > MOST_EARLY)
        {
            if let Some((_, event)) = history.early.pop_first() {
                history.apply(event, most);
            }
        }
    }

    fn label(&mut self, _: &Recording, object: ObjectId, seq: u64, label: String) {
        let history = self.history(object);
        // The latest, in whichever order they are written.
        if seq >= history.label.0 {
            history.label = (seq, Some(label));
        }
    }
}

impl History {
    fn apply(&mut self, event: EventRecord, most: usize) {
        self.next = self.next.max(event.seq.saturating_add(1));
        self.seen += 1;
        self.weak = self.weak.saturating_add(i64::from(event.op.weak_delta()));
        self.peak_strong = self.peak_strong.max(event.strong);
        self.peak_weak = self.peak_weak.max(self.weak);
        let kept = Kept { event, place: self.seen, weak: self.weak };
        if self.first.len() < most {
            self.first.push(kept);
            return;
        }
        self.last.push_back(kept);
        if self.last.len() > most
            && let Some(kept) = self.last.pop_front()
        {
            self.pass(kept, most);
        }
    }

    /// An event that is neither one of the first nor one of the last any more.
    fn pass(&mut self, kept: Kept, most: usize) {
        let Kept { event, .. } = kept;
        let number = event.handle.number();
        // One that comes back from a raw pointer takes the place of the one that its event names.
        let replaced = event.from.filter(|_| matches!(event.op, Op::FromRaw | Op::WeakFromRaw));
        if let Some(from) = replaced.map(HandleId::number) {
            if self.is_followed(from) {
                self.followed.insert(number);
            } else if self.living.remove(&from).is_none() {
                self.more_living = self.more_living.saturating_sub(1);
            }
        }
        if self.is_followed(number) {
            if self.ends.len() < 2 * most {
                self.ends.push(kept);
            }
        } else if event.op.makes().is_some() {
            if self.living.len() < most {
                self.living.insert(number, (kept, None));
            } else {
                self.more_living += 1;
            }
        } else if event.op.ends() {
            if self.living.remove(&number).is_none() {
                self.more_living = self.more_living.saturating_sub(1);
            }
        } else if let Some(living) = self.living.get_mut(&number) {
            living.1 = Some(kept);
        }
    }

    fn is_followed(&self, number: u64) -> bool {
        let last = self.first.last().map_or(0, |last| last.event.seq);
        number <= last || self.followed.contains(&number)
    }

    fn into(mut self, id: ObjectId, recording: &mut Recording) {
        // Handles of which nothing is kept but that the last events end or replace.
        let made = self.last.iter().filter(|kept| kept.event.op.makes().is_some());
        let made: HashSet<u64> = made.map(|kept| kept.event.seq).collect();
        for Kept { event, .. } in &self.last {
            let gone = match event.op {
                Op::FromRaw | Op::WeakFromRaw => event.from.map(HandleId::number),
                op => op.ends().then_some(event.handle.number()),
            };
            let is_kept = |number: u64| {
                made.contains(&number)
                    || self.living.contains_key(&number)
                    || self.is_followed(number)
            };
            if gone.is_some_and(|number| !is_kept(number)) {
                self.more_living = self.more_living.saturating_sub(1);
            }
        }
        let living = self.living.into_values().flat_map(|(made, left)| [Some(made), left]);
        let between = self.ends.into_iter().chain(living.flatten());
        let mut kept: Vec<Kept> = self.first.into_iter().chain(between).chain(self.last).collect();
        kept.sort_by_key(|kept| kept.event.seq);
        kept.dedup_by_key(|kept| kept.event.seq);
        let (mut before, mut weak, mut omitted) = (0, self.earlier.weak, 0);
        let mut gaps = Vec::new();
        for Kept { event, place, weak: after } in &kept {
            let events = place.saturating_sub(before + 1);
            if events > 0 {
                let weak = after - i64::from(event.op.weak_delta()) - weak;
                let strong = i64::from(event.strong) - i64::from(event.op.strong_delta());
                let strong = u32::try_from(strong).unwrap_or(0);
                gaps.push(Gap { before: event.seq, events, strong, weak });
                omitted += events;
            }
            (before, weak) = (*place, *after);
        }
        if omitted > 0 {
            let weak = u32::try_from(self.peak_weak).unwrap_or(u32::MAX);
            let (peak_strong, peak_weak) = (self.peak_strong, weak);
            let handles = self.more_living;
            let told = Omitted { events: omitted, handles, gaps, peak_strong, peak_weak };
            recording.omitted.insert(id, told);
        }
        let events = kept.into_iter().map(|kept| kept.event);
        recording.end = events.clone().map(|event| event.time).fold(recording.end, Time::max);
        recording.events.extend(events);
    }
}
