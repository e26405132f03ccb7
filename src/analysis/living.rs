use super::Fold;
use crate::event::{Kind, Op, Strength, Time};
use crate::recording::{Place, Recording};
use std::borrow::Cow;

/// An object that is alive, and who holds it: from a live set, or from the end of a recording.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Living {
    /// Its number.
    pub id: u64,
    /// The kind of pointer it is behind.
    pub kind: Kind,
    /// The type's full name.
    pub type_name: Cow<'static, str>,
    /// Its label, if it was given one.
    pub label: Option<String>,
    /// The value's size in bytes.
    pub size: u64,
    /// The line that made it.
    pub born: Place,
    /// The thread that made it.
    pub thread: String,
    /// When it was made.
    pub since: Time,
    /// Traced strong handles, as the ledger counts them.
    pub strong: u32,
    /// It was [marked](crate::allow_leak) as one that is meant to stay.
    pub allowed: bool,
    /// The span of `tracing` in which it was made (feature `spans`).
    pub span: Option<String>,
    /// Every handle that is known, in the order of their making.
    pub holders: Vec<Holder>,
}

/// A living handle, seen from the object.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Holder {
    /// Its number within the object.
    pub number: u64,
    /// Whether it keeps the value alive, or the memory alone.
    pub strength: Strength,
    /// How it came about: the object's birth first, what made it itself last. A long path lacks its beginning.
    pub path: Vec<Made>,
    /// Object and number of the handle that it was made from.
    pub from: Option<(u64, u64)>,
    /// The thread that made it.
    pub thread: String,
    /// When it was made.
    pub since: Time,
    /// It left as a raw pointer, or was leaked, and has not come back.
    pub away: bool,
    /// The span of `tracing` in which it was made (feature `spans`).
    pub span: Option<String>,
}

/// A step on the way to a handle: an operation, and the line where it happened.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[non_exhaustive]
pub struct Made {
    /// What made the handle.
    pub op: Op,
    /// Where.
    pub place: Option<Place>,
}

impl Holder {
    /// Whether it came about as `other` did, in the same way and place.
    pub(crate) fn is_like(&self, other: &Self) -> bool {
        let way = |holder: &Self| (holder.strength, holder.away, holder.thread.clone());
        way(self) == way(other) && self.path == other.path && self.span == other.span
    }

    /// What made it.
    pub fn made(&self) -> Option<&Made> {
        self.path.last()
    }

    /// The line that made it.
    pub fn place(&self) -> Option<&Place> {
        self.made()?.place.as_ref()
    }
}

impl Living {
    /// The handles that keep the value alive.
    pub fn strong(&self) -> impl Iterator<Item = &Holder> {
        self.holders.iter().filter(|holder| holder.strength == Strength::Strong)
    }

    /// What was alive when a recording ended.
    pub fn of_recording(recording: &Recording) -> Vec<Self> {
        let mut fold = Fold::new();
        for (id, info) in recording.objects() {
            let earlier = recording.earlier.get(id).copied().unwrap_or_default();
            fold.object(info.clone(), earlier.events, earlier.weak);
        }
        recording.events().iter().for_each(|event| fold.event(*event));
        fold.living(recording.places(), recording.threads())
    }
}
