//! Objects of which a handle became std's pointer while others stayed: so a pointer of std's that comes back is known to be
//! of the object that it left.
//!
//! While a traced handle keeps the value, its address is no other allocation's. With the last one an object is forgotten: what
//! comes back then is a new object, since std may have freed the value meanwhile, and allocated another one there.
//!
//! An object that is in here has one more share of `refs`, as if by a weak handle; so a pointer that comes back steps as an
//! upgrade does, and may race the last drop. Whoever takes the object out gives the share back.

use super::entry::{Entry, scrambled};
use crate::event::Kind;
use std::collections::BTreeMap;

/// A handle that became std's pointer.
#[derive(Clone, Copy)]
pub(crate) struct Departure {
    pub(crate) entry: &'static Entry,
    /// The handle's number.
    pub(crate) handle: u64,
}

/// Where a value is, [`scrambled`], so that a search of memory takes the table for nobody's pointer.
type Key = (Kind, u64);

/// The table. See the [module](self).
pub(crate) struct Departed {
    by_address: BTreeMap<Key, Departure>,
    by_entry: BTreeMap<usize, Key>,
}

fn key(entry: &Entry) -> usize {
    std::ptr::from_ref(entry).addr()
}

fn at((kind, address): (Kind, usize)) -> Key {
    (kind, scrambled(address as u64))
}

impl Departed {
    pub(crate) const fn new() -> Self {
        Self { by_address: BTreeMap::new(), by_entry: BTreeMap::new() }
    }

    pub(crate) fn len(&self) -> usize {
        self.by_address.len()
    }

    /// Whether an object is in here.
    pub(crate) fn has(&self, entry: &Entry) -> bool {
        self.by_entry.contains_key(&key(entry))
    }

    /// A handle of an object leaves. Returns the object that was at the address before, if it is another one.
    pub(crate) fn leave(
        &mut self,
        place: (Kind, usize),
        departure: Departure,
    ) -> Option<&'static Entry> {
        let at = at(place);
        self.by_entry.insert(key(departure.entry), at);
        let before = self.by_address.insert(at, departure)?.entry;
        if std::ptr::eq(before, departure.entry) {
            return None;
        }
        self.by_entry.remove(&key(before));
        Some(before)
    }

    /// The handle that left last of the object at an address. `None` where that is not known to be the allocation of a pointer
    /// of which std counts `strong` handles: the traced ones are fewer.
    pub(crate) fn find(&self, place: (Kind, usize), strong: usize) -> Option<Departure> {
        let departure = *self.by_address.get(&at(place))?;
        let traced = departure.entry.position().strong as usize;
        (1..strong).contains(&traced).then_some(departure)
    }

    /// Takes an object out, whose last traced handle has ended. False where it is not in here.
    pub(crate) fn remove(&mut self, entry: &Entry) -> bool {
        let Some(at) = self.by_entry.remove(&key(entry)) else { return false };
        self.by_address.remove(&at);
        true
    }
}
