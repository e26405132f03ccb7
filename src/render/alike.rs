//! Objects of which one picture says all: the same was done to each, on the same lines and in the same order.

use crate::analysis::Timeline;
use crate::event::ObjectId;
use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash, Hasher as _};

/// Histories that are drawn as one, the first of them.
pub(super) struct Alike<'a, 'r>(Vec<&'a Timeline<'r>>);

impl<'a, 'r> Alike<'a, 'r> {
    /// Puts those together that are alike, but for when it happened. They are in the order of their first.
    pub(super) fn find(timelines: impl IntoIterator<Item = &'a Timeline<'r>>) -> Vec<Self> {
        let mut found: Vec<Self> = Vec::new();
        let mut places: HashMap<u64, usize> = HashMap::new();
        for timeline in timelines {
            let place = *places.entry(likeness(timeline)).or_insert(found.len());
            match found.get_mut(place) {
                Some(alike) => alike.0.push(timeline),
                None => found.push(Self(vec![timeline])),
            }
        }
        found
    }

    /// The one that is drawn.
    pub(super) fn first(&self) -> &'a Timeline<'r> {
        self.0[0]
    }

    /// All of them.
    pub(super) fn all(&self) -> &[&'a Timeline<'r>] {
        &self.0
    }
}

/// A hash of all that is shown of an object, but for its number and times.
fn likeness(timeline: &Timeline<'_>) -> u64 {
    let mut hasher = DefaultHasher::new();
    let object = timeline.object;
    let within = |other: ObjectId| other == object.id;
    (object.kind, &object.type_name, object.size, object.location, &object.label).hash(&mut hasher);
    timeline.whole.hash(&mut hasher);
    for event in timeline.events {
        let from = event.from.map(|from| (from.number(), within(from.object())));
        let on = (event.location, event.thread, event.stack, event.span);
        (event.op, event.handle.number(), event.seq, event.strong, from, on).hash(&mut hasher);
    }
    // Of one whose oldest events are gone.
    for line in &timeline.lifelines {
        (line.handle.number(), line.op, line.location, line.thread).hash(&mut hasher);
    }
    hasher.finish()
}
