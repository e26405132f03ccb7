//! How a handle ends.

use super::emit::{PendingEvent, emit, log_with_site};
use super::hold::{Held, end_entry, hold_returned, unpin};
use super::make::log_room;
use super::std_pointer::forget_departed;
use crate::event::{Caller, Op};
use crate::runtime::entry::{AT_ONCE, DEPARTED, Entry, LOGGED, Position, STACKS};
use crate::runtime::ledger::LEDGER;
use crate::runtime::local::Ready;
use crate::runtime::log::{NewRecord, Room};
use crate::runtime::raw::Side;
use crate::runtime::slab::hide;
use crate::runtime::ticket::Ticket;
use crate::runtime::{clock, local};
use crate::span::{self, Current};
use crate::stack::policy;

/// The end of a strong handle, whichever way.
pub(super) fn end_strong<const SHARED: bool>(held: Held, op: Op, site: Option<Caller>) {
    match held.entry.flags() & (AT_ONCE | LOGGED | STACKS) {
        0 if end_ready::<SHARED, true, false>(held, op, site) => {}
        LOGGED if end_ready::<SHARED, true, true>(held, op, site) => {}
        _ => end_any::<SHARED, true>(held, op, site),
    }
}

/// The drop of a strong handle, by far the most common end.
#[inline(always)]
pub(super) fn drop_strong<const SHARED: bool>(held: Held) {
    // A function of its own for each way, so that what one needs is not set up for the other.
    #[cfg_attr(not(refscope_thin), inline(never))]
    #[cfg_attr(refscope_thin, inline(always))]
    fn ready<const SHARED: bool>(held: Held) {
        if !end_ready::<SHARED, true, false>(held, Op::Drop, None) {
            end_any::<SHARED, true>(held, Op::Drop, None);
        }
    }
    #[inline(never)]
    fn ready_to_log<const SHARED: bool>(held: Held) {
        if !end_ready::<SHARED, true, true>(held, Op::Drop, None) {
            end_any::<SHARED, true>(held, Op::Drop, None);
        }
    }
    match held.entry.flags() & (AT_ONCE | LOGGED | STACKS) {
        0 => ready::<SHARED>(held),
        LOGGED => ready_to_log::<SHARED>(held),
        _ => end_any::<SHARED, true>(held, Op::Drop, None),
    }
}

/// The drop of a strong handle that came from a raw pointer.
#[cold]
#[inline(never)]
pub(super) fn drop_returned<const SHARED: bool>(ticket: Ticket) {
    if let Some(held) = hold_returned(&ticket, Side::Strong) {
        end_any::<SHARED, true>(held, Op::Drop, None);
    }
}

/// The common case, as [`make_ready`]'s. False where it is not, and nothing is done.
#[inline(always)]
fn end_ready<const SHARED: bool, const STRONG: bool, const LOG: bool>(
    held: Held,
    op: Op,
    site: Option<Caller>,
) -> bool {
    let Held { place, entry } = held;
    // Before anything is in use: see `FOREIGN` in `local`. Without a log nobody asks for it.
    let span = span::current_if(LOG);
    let Some(local) = local::ready() else { return false };
    if local.places.is_full() {
        return false;
    }
    // After the step of a strong handle nothing pins the entry. So what the record needs is taken before.
    let record = if LOG {
        match log_end(&local, held, op, site, span) {
            Some(record) => Some(record),
            None => return false,
        }
    } else {
        None
    };
    hide(place);
    local.places.push(place);
    let (position, has_share) = step::<SHARED, STRONG>(entry);
    if let Some((room, mut record)) = record {
        record.state = position.state();
        room.write(&record);
    }
    if STRONG && has_share && entry.flags() & DEPARTED != 0 {
        drop(local);
        forget_departed::<SHARED>(entry);
        unpin::<SHARED>(entry);
    } else if has_share && entry.unpin::<SHARED>() && !LEDGER.free_entry_ready(&local, entry) {
        drop(local);
        end_entry(entry);
    }
    true
}

/// The step of a handle's end, and whether a share of the entry goes with it: a weak handle has its own in `refs`, the strong ones
/// have one in common, which the last of them gives up.
#[inline(always)]
fn step<const SHARED: bool, const STRONG: bool>(entry: &Entry) -> (Position, bool) {
    if STRONG { entry.drop_strong::<SHARED>() } else { (entry.note::<SHARED>(), true) }
}

/// The record of the end of a handle, but for its position, and the room for it.
#[inline(always)]
fn log_end<'a>(
    local: &'a Ready<'_>,
    held: Held,
    op: Op,
    site: Option<Caller>,
    span: Current,
) -> Option<(Room<'a>, NewRecord)> {
    let Held { place, entry } = held;
    let room = log_room(local, entry, 1)?;
    let now = clock::ready();
    if now == 0 {
        return None;
    }
    let path = match site {
        Some(site) => local.paths.get(0, op, site)?.number(),
        None => 0,
    };
    let (handle, object, time) = (place.number(), entry.id(), room.time(now));
    let span = span.number();
    Some((room, NewRecord { op, state: 0, handle, object, path, span, time }))
}

/// The same in any case: with a share of the entry for the sink's time, and with a stack.
#[inline(never)]
fn end_any<const SHARED: bool, const STRONG: bool>(held: Held, op: Op, site: Option<Caller>) {
    let Held { place, entry } = held;
    if STRONG {
        // Has the clock run, if no record does: the common case asks for it.
        clock::now();
        // A weak handle's own share keeps the entry for as long.
        entry.share::<SHARED>();
    }
    let handle = place.number();
    let flags = entry.flags();
    let stack = if flags & STACKS != 0 { policy::of_end() } else { 0 };
    let span = span::current_if(flags & LOGGED != 0);
    let (event, logged, has_share) = local::enter(|local| {
        LEDGER.free_place(local, place);
        let (position, has_share) = step::<SHARED, STRONG>(entry);
        let event = PendingEvent { op, handle, from: 0, position, site, stack, span };
        let logged = flags & LOGGED != 0 && log_with_site(local, entry, &event);
        (event, logged, has_share)
    });
    emit(entry, flags, logged, &event);
    if STRONG && has_share && entry.flags() & DEPARTED != 0 {
        forget_departed::<SHARED>(entry);
    }
    if has_share {
        unpin::<SHARED>(entry);
    }
    if STRONG {
        unpin::<SHARED>(entry);
    }
}

/// The end of a weak handle.
#[inline(never)]
pub(super) fn end_weak<const SHARED: bool>(held: Held, op: Op, site: Option<Caller>) {
    match held.entry.flags() & (AT_ONCE | LOGGED | STACKS) {
        0 if end_ready::<SHARED, false, false>(held, op, site) => {}
        LOGGED if end_ready::<SHARED, false, true>(held, op, site) => {}
        _ => end_any::<SHARED, false>(held, op, site),
    }
}
