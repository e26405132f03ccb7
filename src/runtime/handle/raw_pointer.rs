//! Handles that become raw pointers, and come back.

use super::emit::{PendingEvent, emit, log, note};
use super::hold::{Held, unpin};
use crate::event::{Caller, Kind, Op};
use crate::runtime::entry::{ADOPTED, LOGGED, RAW, RETURNED};
use crate::runtime::ledger::{LEDGER, Refused};
use crate::runtime::local;
use crate::runtime::raw::{Claimed, Side};
use crate::runtime::slab::{hide, publish};
use crate::runtime::ticket::Ticket;

/// A handle becomes a raw pointer.
pub(super) fn register_raw<const SHARED: bool>(
    held: Held,
    side: Side,
    op: Op,
    at: (Kind, usize),
    site: Caller,
) {
    let Held { place, entry } = held;
    // Before it is in the table: a thread that is given its place emits an event of that later.
    note::<SHARED>(entry, place.number(), op, site, false);
    local::enter(|local| {
        place.set_raw(LEDGER.paths.of(local, 0, op, site));
        // In a signal's handler it may be that it is not found again: its place stays, as that of a raw handle.
        if let Some(mut raw) = LEDGER.lock_raw(local) {
            entry.set(RAW);
            raw.leave(entry, place, side, at, entry.flags() & ADOPTED != 0);
            LEDGER.count_raws(&raw);
        }
    });
}

/// An untraced handle becomes a raw pointer; `strong` is std's count.
#[inline]
pub(super) fn register_stranger(side: Side, at: (Kind, usize), strong: usize) {
    if !LEDGER.no_raws() {
        local::enter(|local| {
            if let Some(mut raw) = LEDGER.lock_raw(local) {
                raw.stranger(at, side, strong);
                LEDGER.count_raws(&raw);
            }
        });
    }
}

/// A handle comes from a raw pointer; `std` is std's pointer that was made of it.
pub(super) fn claim_raw<const SHARED: bool>(
    side: Side,
    op: Op,
    at: (Kind, usize),
    std: usize,
    site: Option<Caller>,
) -> Option<Ticket> {
    if LEDGER.no_raws() || !Ticket::fits(std) {
        return None;
    }
    // Before anything is in use: see `FOREIGN` in `local`.
    let span = crate::span::current();
    let (entry, ticket, event, logged) = local::enter(|local| {
        let mut raw = LEDGER.lock_raw(local)?;
        if raw.find(at, side).is_some_and(|(entry, _)| !entry.has_room()) {
            LEDGER.refuse(Refused::Step);
            return None;
        }
        let (entry, claimed) = raw.claim(at, side)?;
        let (Claimed::Waiting(place) | Claimed::Shared(place)) = claimed;
        let ticket = raw.new_ticket(place, place.current().wrapping_add(2), std);
        let position = entry.note::<SHARED>();
        // For the event's time.
        entry.share::<SHARED>();
        let from = place.number();
        let site = site.unwrap_or_else(|| entry.object().location);
        let path = LEDGER.paths.of(local, place.path(), op, site);
        let (handle, site) = (position.seq, Some(site));
        let event = PendingEvent { op, handle, from, position, site, stack: 0, span };
        hide(place);
        place.fill(entry, &event.place(local, path), RETURNED);
        if cfg!(refscope_thin) {
            place.set_returned(ticket.word());
        }
        publish(place);
        raw.returned(entry, side, place, &ticket);
        drop(raw);
        let logged = entry.flags() & LOGGED != 0 && log(local, entry, &event, path);
        Some((entry, ticket, event, logged))
    })?;
    emit(entry, entry.flags(), logged, &event);
    unpin::<SHARED>(entry);
    Some(ticket)
}
