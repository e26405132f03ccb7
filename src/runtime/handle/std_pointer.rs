//! Handles that become std's pointers, and pointers of std's that come back.

use super::emit::{PendingEvent, emit, log};
use super::end::end_strong;
use super::hold::{Held, unpin};
use crate::event::{Caller, Kind, Op};
use crate::runtime::departed::Departure;
use crate::runtime::entry::{DEPARTED, Entry, LOGGED};
use crate::runtime::ledger::{LEDGER, Refused};
use crate::runtime::local;
use crate::runtime::slab::publish;
use crate::runtime::ticket::Ticket;

/// A strong handle becomes std's pointer. Where others stay, its object is noted for when that comes back.
pub(super) fn to_std<const SHARED: bool>(held: Held, at: (Kind, usize), site: Caller) {
    let Held { place, entry } = held;
    if entry.position().strong > 1 {
        let departure = Departure { entry, handle: place.number() };
        let other = local::enter(|local| {
            // In a signal's handler it may be that it is not known again.
            let mut departed = LEDGER.lock_departed(local)?;
            if !departed.has(entry) {
                entry.share::<SHARED>();
                // Before the handle's own step, so that whoever ends the last one sees it.
                entry.set(DEPARTED);
            }
            let other = departed.leave(at, departure);
            LEDGER.count_departed(&departed);
            other
        });
        other.into_iter().for_each(unpin::<SHARED>);
    }
    end_strong::<SHARED>(held, Op::IntoStd, Some(site));
}

/// A pointer of std's, which counts `strong` handles, is one of an object that is known: makes a handle of that.
pub(super) fn of_std<const SHARED: bool>(
    at: (Kind, usize),
    strong: usize,
    site: Caller,
) -> Option<Ticket> {
    if LEDGER.none_departed() {
        return None;
    }
    let op = Op::FromStd;
    // Before anything is in use: see `FOREIGN` in `local`.
    let span = crate::span::current();
    let (entry, ticket, event, logged) = local::enter(|local| {
        let departed = LEDGER.lock_departed(local)?;
        let Departure { entry, handle: from } = departed.find(at, strong)?;
        if !entry.has_room() {
            LEDGER.refuse(Refused::Step);
            return None;
        }
        let Some(place) = LEDGER.take_place(local) else {
            LEDGER.refuse(Refused::Handle);
            return None;
        };
        // The table's share keeps the entry.
        let position = entry.upgrade::<SHARED>();
        // For the event's time.
        entry.share::<SHARED>();
        drop(departed);
        // What became of it meanwhile nobody knows: its path begins here.
        let path = LEDGER.paths.of(local, 0, op, site);
        let (handle, site) = (position.seq, Some(site));
        let event = PendingEvent { op, handle, from, position, site, stack: 0, span };
        place.fill(entry, &event.place(local, path), 0);
        let ticket = Ticket::new(place, publish(place));
        let logged = entry.flags() & LOGGED != 0 && log(local, entry, &event, path);
        Some((entry, ticket, event, logged))
    })?;
    emit(entry, entry.flags(), logged, &event);
    unpin::<SHARED>(entry);
    Some(ticket)
}

/// The last traced handle of an object of which others became std's pointers has ended.
#[cold]
#[inline(never)]
pub(super) fn forget_departed<const SHARED: bool>(entry: &'static Entry) {
    let was_there = local::enter(|local| {
        let mut departed = LEDGER.lock_departed(local)?;
        let was_there = departed.remove(entry);
        LEDGER.count_departed(&departed);
        Some(was_there)
    });
    if was_there == Some(true) {
        unpin::<SHARED>(entry);
    }
}
