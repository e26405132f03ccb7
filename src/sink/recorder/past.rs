//! What a recorder knows from records that it had to give up: of each object that may be alive, what it
//! is, and its counts then.

use super::entry::{Birth, Brief};
use super::segment::Segment;
use crate::model::Earlier;
use rustc_hash::FxHashMap;

/// The objects of records that are gone.
#[derive(Clone, Default)]
pub(super) struct Past {
    objects: FxHashMap<u64, PastObject>,
    /// How many events a segment held.
    events: u64,
}

/// An object, at the end of the records of it that are gone.
#[derive(Clone, Copy, Default)]
pub(super) struct PastObject {
    pub(super) birth: Option<Birth>,
    pub(super) label: u32,
    /// How many of its events are gone.
    pub(super) events: u64,
    /// The highest number among them.
    last: u64,
    // Sums: records of several threads go in another order than the events happened.
    strong: i64,
    pub(super) weak: i64,
}

impl PastObject {
    fn follow(&mut self, entry: &Brief) {
        self.birth = self.birth.or(entry.birth);
        if entry.label != 0 {
            self.label = entry.label;
        }
        self.events += 1;
        self.last = self.last.max(entry.seq);
        self.strong += entry.strong;
        self.weak += entry.weak;
    }

    fn add(&mut self, more: &Self) {
        self.birth = self.birth.or(more.birth);
        if more.label != 0 {
            self.label = more.label;
        }
        self.events += more.events;
        self.last = self.last.max(more.last);
        self.strong += more.strong;
        self.weak += more.weak;
    }

    /// As a replay begins with it.
    pub(super) fn earlier(&self) -> Earlier {
        Earlier {
            events: self.events,
            highest: self.last,
            strong: u32::try_from(self.strong.max(0)).unwrap_or(u32::MAX),
            weak: self.weak,
        }
    }

    /// Every event has gone, and no handle is left.
    fn is_over(&self) -> bool {
        self.birth.is_some() && self.events == self.last && self.strong == 0 && self.weak == 0
    }
}

impl Past {
    /// What a segment tells, for the time when it has to go. Its own thread does this, without a lock.
    pub(super) fn of(segment: &Segment) -> Self {
        let mut past = Self::default();
        let mut records = segment.records();
        // The object whose events are being taken in: they come in runs.
        let mut run: Option<(u64, PastObject)> = None;
        while let Some(entry) = Brief::next(&mut records) {
            past.events += 1;
            let (_, object) = match &mut run {
                Some(run) if run.0 == entry.object => run,
                other => {
                    if let Some((number, object)) = other.take() {
                        past.put(number, object);
                    }
                    let object = past.objects.get(&entry.object).copied().unwrap_or_default();
                    other.insert((entry.object, object))
                }
            };
            object.follow(&entry);
        }
        if let Some((number, object)) = run {
            past.put(number, object);
        }
        past
    }

    /// Takes in what a segment told, as it goes, and says how many events it held.
    pub(super) fn take_in(&mut self, segment: Self) -> u64 {
        for (number, more) in segment.objects {
            let mut object = self.objects.get(&number).copied().unwrap_or_default();
            object.add(&more);
            self.put(number, object);
        }
        segment.events
    }

    fn put(&mut self, number: u64, object: PastObject) {
        if object.is_over() {
            self.objects.remove(&number);
        } else {
            self.objects.insert(number, object);
        }
    }

    /// The memory that it takes.
    pub(super) fn bytes(&self) -> usize {
        self.objects.capacity() * size_of::<(u64, PastObject)>()
    }

    pub(super) fn objects(&self) -> impl Iterator<Item = (u64, &PastObject)> {
        self.objects.iter().map(|(&number, object)| (number, object))
    }
}
