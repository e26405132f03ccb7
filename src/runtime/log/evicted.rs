//! What a log knows from records that it had to give up: of each object that may be alive, what it
//! is, and its counts then.

use super::record::{Birth, RecordHeader};
use super::segment::Segment;
use std::collections::HashMap;

/// The objects of records that are gone.
#[derive(Clone, Default)]
pub(crate) struct Evicted {
    objects: HashMap<u64, EvictedObject>,
    /// How many events a segment held.
    events: u64,
}

/// An object, at the end of the records of it that are gone.
#[derive(Clone, Copy, Default)]
pub(crate) struct EvictedObject {
    pub(crate) birth: Option<(Birth, u32)>,
    /// The latest label, after the number of its event; zeros for none.
    pub(crate) label: (u64, u32),
    /// How many of its events are gone.
    pub(crate) events: u64,
    /// The highest number among them.
    pub(crate) last: u64,
    /// The strong count after that one. Records of several threads go in another order than the events happened, and some
    /// that are older may be there yet: the latest says what the count was, whatever is missing.
    pub(crate) strong: u32,
    /// What they did to the weak count, which no record has.
    pub(crate) weak: i64,
}

impl EvictedObject {
    fn follow(&mut self, entry: &RecordHeader) {
        self.birth = self.birth.or(entry.birth);
        if entry.label != 0 {
            self.label = (entry.seq, entry.label).max(self.label);
        }
        self.events += 1;
        if entry.seq >= self.last {
            (self.last, self.strong) = (entry.seq, entry.strong);
        }
        self.weak += entry.weak;
    }

    fn add(&mut self, more: &Self) {
        self.birth = self.birth.or(more.birth);
        self.label = more.label.max(self.label);
        self.events += more.events;
        if more.last >= self.last {
            (self.last, self.strong) = (more.last, more.strong);
        }
        self.weak += more.weak;
    }

    /// Every event has gone, and no handle is left.
    fn is_over(&self) -> bool {
        self.birth.is_some() && self.events == self.last && self.strong == 0 && self.weak == 0
    }
}

impl Evicted {
    /// The summary of a segment, for the time when it has to be given up. Its own thread makes it, without a lock.
    pub(crate) fn of(segment: &Segment) -> Self {
        let mut evicted = Self::default();
        let mut records = segment.records();
        // The object whose events are being taken in: they come in runs.
        let mut run: Option<(u64, EvictedObject)> = None;
        while let Some(entry) = RecordHeader::next(&mut records) {
            evicted.events += 1;
            let (_, object) = match &mut run {
                Some(run) if run.0 == entry.object => run,
                other => {
                    if let Some((number, object)) = other.take() {
                        evicted.put(number, object);
                    }
                    let object = evicted.objects.get(&entry.object).copied().unwrap_or_default();
                    other.insert((entry.object, object))
                }
            };
            object.follow(&entry);
        }
        if let Some((number, object)) = run {
            evicted.put(number, object);
        }
        evicted
    }

    /// Takes in the summary of a segment that is given up, and returns how many events it held.
    pub(crate) fn take_in(&mut self, segment: Self) -> u64 {
        for (number, more) in segment.objects {
            let mut object = self.objects.get(&number).copied().unwrap_or_default();
            object.add(&more);
            self.put(number, object);
        }
        segment.events
    }

    fn put(&mut self, number: u64, object: EvictedObject) {
        if object.is_over() {
            self.objects.remove(&number);
        } else {
            self.objects.insert(number, object);
        }
    }

    /// The memory that it takes.
    pub(crate) fn bytes(&self) -> usize {
        self.objects.capacity() * size_of::<(u64, EvictedObject)>()
    }

    pub(crate) fn objects(&self) -> impl Iterator<Item = (u64, &EvictedObject)> {
        self.objects.iter().map(|(&number, object)| (number, object))
    }
}
