//! What can be asked of a handle's identity.

use super::emit::note;
use super::hold::with;
use super::{Strong, Weak};
use crate::event::{HandleId, Label, Object, Op};
use crate::runtime::entry::{ALLOWED, Entry, Position};
use crate::runtime::raw::Side;
use crate::runtime::slab::read;
use crate::runtime::ticket::Ticket;
use std::panic::Location;

/// What can be asked of a handle's identity without changing anything but the label.
#[derive(Clone, Copy)]
pub(crate) struct Identity<'a>(Option<&'a Ticket>, Side);

impl<'a, const SHARED: bool> From<&'a Strong<SHARED>> for Identity<'a> {
    fn from(strong: &'a Strong<SHARED>) -> Self {
        Self(strong.0.as_ref(), Side::Strong)
    }
}

impl<'a, const SHARED: bool> From<&'a Weak<SHARED>> for Identity<'a> {
    fn from(weak: &'a Weak<SHARED>) -> Self {
        Self(weak.0.as_ref(), Side::Weak)
    }
}

/// What the ledger's entry says of an object, and which handle was asked.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Status {
    pub(crate) object: Object,
    pub(crate) handle: HandleId,
    pub(crate) position: Position,
    pub(crate) withheld: u32,
}

impl Identity<'_> {
    fn with<R>(self, f: impl FnOnce(&'static Entry, u64) -> R) -> Option<R> {
        with::<true, _>(self.0?, self.1, |entry, number| {
            // SAFETY: FOREVER: an entry is a slot of the ledger's.
            let entry = unsafe { &*std::ptr::from_ref(entry) };
            f(entry, number)
        })
    }

    /// What the ledger's entry says. `None`: untraced.
    pub(crate) fn status(self) -> Option<Status> {
        self.with(|entry, number| {
            let object = entry.object();
            Status {
                object,
                handle: HandleId::new(object.id, number),
                position: entry.position(),
                withheld: entry.withheld(),
            }
        })
    }

    /// Names the object without keeping it: see [`WatchedEntry`].
    pub(crate) fn watched(self) -> Option<WatchedEntry> {
        self.with(|entry, _| WatchedEntry { entry, id: entry.id() })
    }

    /// Marks the object as one that is meant to stay.
    #[track_caller]
    pub(crate) fn allow(self) {
        let site = Location::caller();
        self.with(|entry, number| {
            entry.set(ALLOWED);
            note::<true>(entry, number, Op::Allow, site, false);
        });
    }

    /// Labels the object.
    #[track_caller]
    pub(crate) fn label(self, text: &str) {
        let site = Location::caller();
        // Outside of `with`, since it takes a lock.
        let Some(label) = self.0.is_some().then(|| Label::intern(text)) else { return };
        self.with(|entry, number| {
            entry.label(label);
            // By a read-modify-write for every kind: a box may be labelled by two threads that share it.
            note::<true>(entry, number, Op::Label, site, false);
        });
    }
}

/// An object, known by its slot in the ledger alone: nothing is kept by it.
#[derive(Clone, Copy)]
pub(crate) struct WatchedEntry {
    entry: &'static Entry,
    id: u64,
}

impl WatchedEntry {
    /// The traced strong handles; 0 when the entry has ended.
    pub(crate) fn strong(&self) -> u32 {
        let position =
            read(self.entry, |entry, _| (entry.id() == self.id).then(|| entry.position()));
        position.flatten().map_or(0, |position| position.strong)
    }

    /// The object's number.
    pub(crate) fn id(&self) -> u64 {
        self.id
    }
}

impl std::fmt::Debug for WatchedEntry {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("WatchedEntry").field("id", &self.id).finish_non_exhaustive()
    }
}
