//! How a handle is made from another one.

use super::emit::{PendingEvent, emit, log};
use super::hold::{Parent, pin_returned, unpin};
use crate::event::{Caller, Op};
use crate::runtime::entry::{AT_ONCE, BACKED, Entry, LOGGED, NewPlace, Place, Position, STACKS};
use crate::runtime::ledger::{LEDGER, Refused};
use crate::runtime::local::{Local, Ready};
use crate::runtime::log::{NewRecord, Room};
use crate::runtime::raw::Side;
use crate::runtime::slab::publish;
use crate::runtime::ticket::{StdWord, Ticket};
use crate::runtime::{clock, local};
use crate::span::{self, Current};
use crate::stack::policy;

/// How a handle is made.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum How {
    /// From a strong one: `clone`.
    Clone,
    /// From one that does not count itself.
    Upgrade,
    /// Any weak one: `downgrade`, or the clone of a weak one.
    Weak,
}

/// An operation that makes a handle from another one: a type, so that the common case is compiled for each.
pub(super) trait Make {
    const OP: Op;
    const HOW: How;
}

macro_rules! makes {
    ($($(#[$meta:meta])* $Name:ident: $OP:ident by $HOW:ident;)*) => {$(
        $(#[$meta])*
        pub(super) struct $Name;

        impl Make for $Name {
            const OP: Op = Op::$OP;
            const HOW: How = How::$HOW;
        }
    )*};
}

makes! {
    Clone: Clone by Clone;
    /// From a handle that came from a raw pointer, or is one.
    CloneOfReturned: Clone by Upgrade;
    Downgrade: Downgrade by Weak;
    WeakClone: WeakClone by Weak;
    Upgrade: Upgrade by Upgrade;
    /// The first strong handle of an object of `new_cyclic`.
    NewOfCyclic: New by Upgrade;
}

/// The step of a handle that is made.
#[inline(always)]
pub(super) fn step<const SHARED: bool>(entry: &Entry, how: How) -> Position {
    match how {
        How::Clone => entry.clone_strong::<SHARED>(),
        How::Upgrade => entry.upgrade::<SHARED>(),
        How::Weak => entry.clone_weak::<SHARED>(),
    }
}

/// Makes a handle from that in `from`, for an entry that something pins; `std` is its pointer of std's.
#[inline(always)]
pub(super) fn make<const SHARED: bool, M: Make>(
    entry: &Entry,
    from: &Place,
    site: Caller,
    std: StdWord,
) -> Option<Ticket> {
    // Before anything is in use: see `FOREIGN` in `local`.
    let span = span::current();
    match entry.flags() & (AT_ONCE | LOGGED | BACKED | STACKS) {
        0 => make_ready::<SHARED, 0, M>(entry, from, site, std, span).or_else(|| {
            make_any::<SHARED>(entry, Parent::of(from), M::HOW, M::OP, site, std, span)
        }),
        LOGGED => make_logged::<SHARED, LOGGED, M>(entry, from, site, std, span),
        LOGGED_AND_BACKED => {
            make_logged::<SHARED, LOGGED_AND_BACKED, M>(entry, from, site, std, span)
        }
        _ => make_any::<SHARED>(entry, Parent::of(from), M::HOW, M::OP, site, std, span),
    }
}

/// Makes a handle from another one, of which that is known at `side` if it came from a raw pointer.
#[inline(always)]
pub(super) fn make_from<const SHARED: bool, M: Make>(
    from: &Ticket,
    side: Side,
    site: Caller,
    std: StdWord,
) -> Option<Ticket> {
    if from.is_returned() {
        return make_from_returned::<SHARED, M>(from, side, site, std);
    }
    make::<SHARED, M>(from.entry(), from.place(), site, std)
}

/// The same of one that came from a raw pointer.
#[cold]
#[inline(never)]
pub(super) fn make_from_returned<const SHARED: bool, M: Make>(
    from: &Ticket,
    side: Side,
    site: Caller,
    std: StdWord,
) -> Option<Ticket> {
    let (entry, parent) = pin_returned::<SHARED>(from, side)?;
    let made = make_any::<SHARED>(entry, parent, M::HOW, M::OP, site, std, span::current());
    unpin::<SHARED>(entry);
    made
}

const LOGGED_AND_BACKED: u32 = LOGGED | BACKED;

/// The same for an object whose events go to a log, and nowhere else. A function for each kind of log: what a file has to be
/// asked for costs one in memory four instructions otherwise.
#[inline(never)]
pub(super) fn make_logged<const SHARED: bool, const LOG: u32, M: Make>(
    entry: &Entry,
    from: &Place,
    site: Caller,
    std: StdWord,
    span: Current,
) -> Option<Ticket> {
    make_ready::<SHARED, LOG, M>(entry, from, site, std, span)
        .or_else(|| make_any::<SHARED>(entry, Parent::of(from), M::HOW, M::OP, site, std, span))
}

/// The common case, in which nothing has to be waited for, fetched or looked up. `None` where it is not, and nothing is
/// done. `LOG` is what the entry's flags say of a log.
#[inline(always)]
pub(super) fn make_ready<const SHARED: bool, const LOG: u32, M: Make>(
    entry: &Entry,
    from: &Place,
    site: Caller,
    std: StdWord,
    span: Current,
) -> Option<Ticket> {
    let op = M::OP;
    if !entry.has_room() || (M::HOW == How::Weak && !entry.has_room_for_ref()) {
        return None;
    }
    let time = clock::ready();
    if time == 0 {
        return None;
    }
    let local = local::ready()?;
    let path = local.paths.get(from.path(), op, site).filter(|path| !path.needs_stack())?;
    let path = path.number();
    let room = if LOG != 0 { Some(log_room(&local, entry, 1)?) } else { None };
    let place = local.places.first()?;
    let place = local.places.take(place);
    let position = step::<SHARED>(entry, M::HOW);
    let (number, parent, span) = (position.seq, from.number(), span.number());
    let thread = local.thread.get();
    place.fill(entry, &NewPlace { op, number, parent, time, path, thread, span, stack: 0 }, 0);
    std.note(place);
    let ticket = Ticket::new(place, publish(place));
    if let Some(room) = room {
        let (state, object, time) = (position.state(), entry.id(), room.time(time));
        let record = NewRecord { op, state, handle: parent, object, path, span, time };
        if LOG & BACKED != 0 {
            room.write(&record);
        } else {
            room.write_in_memory(&record);
        }
    }
    Some(ticket)
}

/// Room in the log of an entry that something pins and that is [`LOGGED`], where it lies open.
#[inline(always)]
pub(super) fn log_room<'a>(
    local: &'a Ready<'_>,
    entry: &Entry,
    records: usize,
) -> Option<Room<'a>> {
    // SAFETY: PINNED: as in `dispatch_of`; and who says that the events are logged has a dispatch.
    let dispatch = unsafe { &*entry.dispatch() };
    local.tails.room(dispatch.ready_log(), records)
}

/// The same in any case.
#[inline(never)]
pub(super) fn make_any<const SHARED: bool>(
    entry: &Entry,
    from: Parent,
    how: How,
    op: Op,
    site: Caller,
    std: StdWord,
    span: Current,
) -> Option<Ticket> {
    if !entry.has_room() || (how == How::Weak && !entry.has_room_for_ref()) {
        LEDGER.refuse(Refused::Step);
        return None;
    }
    let flags = entry.flags();
    let Parent { number, path } = from;
    let local = local::own();
    // Before the step, so that a handle for which there is no place is not counted.
    let Some(place) = LEDGER.take_place(*local) else {
        LEDGER.refuse(Refused::Handle);
        return None;
    };
    let position = step::<SHARED>(entry, how);
    let to_line = LEDGER.paths.find(*local, path, op, site);
    let stack = if flags & STACKS != 0 || to_line.needs_stack() {
        clone_stack(*local, flags, path, op, site)
    } else {
        0
    };
    let path = to_line.number();
    let (handle, from, site) = (position.seq, number, Some(site));
    let event = PendingEvent { op, handle, from, position, site, stack, span };
    place.fill(entry, &event.place(*local, path), 0);
    std.note(place);
    let ticket = Ticket::new(place, publish(place));
    if flags & (AT_ONCE | LOGGED) != 0 {
        let logged = flags & LOGGED != 0 && log(*local, entry, &event, path);
        drop(local);
        if flags & AT_ONCE != 0 || !logged {
            emit(entry, flags, logged, &event);
        }
    }
    Some(ticket)
}

#[cold]
#[inline(never)]
pub(super) fn clone_stack(
    local: Option<&Local>,
    flags: u32,
    from: u32,
    op: Op,
    site: Caller,
) -> u32 {
    let stack = policy::of_clone(flags & STACKS != 0, site);
    if stack == 0 {
        LEDGER.paths.without_stack(local, from, op, site);
    }
    stack
}
