//! What keeps an entry while something is done with it.

use crate::runtime::entry::{Entry, Place};
use crate::runtime::ledger::LEDGER;
use crate::runtime::local;
use crate::runtime::raw::{RawTable, Side};
use crate::runtime::scope::ScopeNode;
use crate::runtime::ticket::Ticket;

/// What one that is made from a handle has of it.
///
/// Copied: the place of a handle that is a raw pointer, or came from one, may be given to another one, or end, as soon as the
/// table of them is unlocked.
#[derive(Clone, Copy)]
pub(super) struct Parent {
    pub(super) number: u64,
    pub(super) path: u32,
}

impl Parent {
    #[inline(always)]
    pub(super) fn of(place: &Place) -> Self {
        Self { number: place.number(), path: place.path() }
    }
}

/// Does something with the entry and the number of a handle. `None` where that handle came from a raw pointer and
/// is nobody's any more.
#[inline]
pub(super) fn with<const SHARED: bool, R>(
    ticket: &Ticket,
    side: Side,
    f: impl FnOnce(&Entry, u64) -> R,
) -> Option<R> {
    if !ticket.is_returned() {
        return Some(f(ticket.entry(), ticket.place().number()));
    }
    let (entry, parent) = pin_returned::<SHARED>(ticket, side)?;
    let result = f(entry, parent.number);
    unpin::<SHARED>(entry);
    Some(result)
}

/// Takes a share of the entry of a handle that came from a raw pointer.
#[cold]
pub(super) fn pin_returned<const SHARED: bool>(
    ticket: &Ticket,
    side: Side,
) -> Option<(&'static Entry, Parent)> {
    pin_raw::<SHARED>(|raw| raw.known(ticket, side))
}

/// Takes a share of the entry that is found in the table of raw pointers.
#[cold]
pub(super) fn pin_raw<const SHARED: bool>(
    find: impl FnOnce(&RawTable) -> Option<(&'static Entry, &'static Place)>,
) -> Option<(&'static Entry, Parent)> {
    local::enter(|local| {
        let raw = LEDGER.lock_raw(local)?;
        let (entry, place) = find(&raw)?;
        // The place that was found keeps the entry open as long as the table is locked.
        entry.share::<SHARED>();
        Some((entry, Parent::of(place)))
    })
}

/// Gives a share of an entry back, and ends the entry with the last one.
#[inline]
pub(super) fn unpin<const SHARED: bool>(entry: &'static Entry) {
    if entry.unpin::<SHARED>() {
        end_entry(entry);
    }
}

#[cold]
pub(super) fn end_entry(entry: &'static Entry) {
    let scope = local::enter(|local| LEDGER.free_entry(local, entry));
    // SAFETY: SCOPES: the entry's share, which was taken out.
    drop(unsafe { ScopeNode::from_raw(scope) });
}

/// The entry of the object whose handle has the place.
#[inline(always)]
pub(super) fn entry_of(place: &'static Place) -> &'static Entry {
    // SAFETY: FOREVER: the place of a handle was filled with a slot of the ledger's.
    unsafe { &*place.entry() }
}

/// A place and its entry, kept by the handle's own share.
#[derive(Clone, Copy)]
pub(super) struct Held {
    pub(super) place: &'static Place,
    pub(super) entry: &'static Entry,
}

impl Held {
    /// What a ticket that has not returned keeps.
    #[inline(always)]
    pub(super) fn new(ticket: Ticket) -> Self {
        let place = ticket.place();
        Self { place, entry: entry_of(place) }
    }
}

/// The handle that is about to end or to leave: its place, taken out of the table of raw pointers if it had returned
/// from one. `None` where it is nobody's.
#[inline]
pub(super) fn hold(ticket: Ticket, side: Side) -> Option<Held> {
    if ticket.is_returned() {
        return hold_returned(&ticket, side);
    }
    Some(Held::new(ticket))
}

#[cold]
pub(super) fn hold_returned(ticket: &Ticket, side: Side) -> Option<Held> {
    local::enter(|local| {
        let (entry, place) = LEDGER.lock_raw(local)?.release(ticket, side)?;
        Some(Held { place, entry })
    })
}
