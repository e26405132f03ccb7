//! A handle's identity, and the only place that emits events.
//!
//! A pointer keeps a [`Strong`] or a [`Weak`] beside std's pointer and says what it does. The drop is
//! here, on a type that is not generic over the pointee, and not on the pointers: so the drop check treats
//! them as it treats std's. `SHARED` says whether the owners may be on several threads.
//!
//! What each operation does, and on which side of std's it stands, is in the documentation of
//! [what refscope guarantees](crate::guarantees).

use super::clock;
use super::dispatch::{self, Dispatch};
use super::entry::{
    ADOPTED, ALLOWED, AT_ONCE, Entry, LOGGED, NewEntry, NewPlace, Place, Position, RAW, RETURNED,
    STACKS,
};
use super::ledger::LEDGER;
use super::local::{self, Local, Ready, enter_sink};
use super::log::{Birth, NewRecord, Room};
use super::raw::{Claimed, Side};
use super::scope::ScopeNode;
use super::slab::{hide, publish, read};
use super::stacks;
use super::ticket::Ticket;
use crate::event::{Caller, Event, HandleId, Kind, Label, Object, ObjectId, Op, Type};
use crate::primitive::{Arc, AtomicU64, Ordering, statics};
use std::panic::Location;

statics! {
    /// The number of the next object.
    static NEXT: AtomicU64 = AtomicU64::new(1);
}

/// The number of the next object.
pub(crate) fn next_object() -> u64 {
    // Relaxed: objects are numbered, not ordered.
    NEXT.load(std::sync::atomic::Ordering::Relaxed)
}

/// How many objects got a number so far.
pub(crate) fn numbered() -> u64 {
    NEXT.load(crate::primitive::Ordering::Relaxed) - 1
}

/// Where a value is, and how large.
#[derive(Clone, Copy)]
pub(crate) struct Value {
    address: usize,
    size: usize,
    align: usize,
}

impl Value {
    #[inline]
    pub(crate) fn of<T: ?Sized>(value: &T) -> Self {
        Self {
            address: std::ptr::from_ref(value).addr(),
            size: size_of_val(value),
            align: align_of_val(value),
        }
    }

    /// A value that is yet to be written, or may be gone.
    pub(crate) fn at<T>(address: *const T) -> Self {
        Self { address: address.addr(), size: size_of::<T>(), align: align_of::<T>() }
    }

    /// A value of which nothing is known but where it may be.
    pub(crate) fn unknown(address: usize) -> Self {
        Self { address, size: 0, align: 1 }
    }
}

/// Where the value of a raw pointer is. `None` for a value without size: another object may be there as well, so it is
/// untraced while it is raw.
pub(crate) fn at<T: ?Sized>(kind: Kind, value: &T) -> Option<(Kind, usize)> {
    (size_of_val(value) > 0).then(|| (kind, std::ptr::from_ref(value).addr()))
}

/// What happened.
struct Fact {
    op: Op,
    handle: u64,
    /// The handle that it was made from; 0 for none.
    from: u64,
    position: Position,
    site: Option<Caller>,
    /// The stack on which it happened; 0 for none.
    stack: u32,
}

impl Fact {
    /// How many records it takes, if it is no birth.
    #[inline]
    fn records(&self) -> usize {
        1 + usize::from(self.stack != 0)
    }

    #[inline]
    fn event(&self, object: Object, from_object: u64, logged: u64) -> Event {
        Event {
            op: self.op,
            strong: self.position.strong,
            seq: self.position.seq,
            handle: self.handle,
            from: self.from,
            from_object: ObjectId(from_object),
            location: self.site,
            object,
            logged,
            stack: self.stack,
        }
    }

    /// The record of the event, which has a line that `path` ends with.
    #[inline(always)]
    fn record(&self, object: u64, path: u32, time: u64) -> NewRecord {
        NewRecord {
            op: self.op,
            state: self.position.state(),
            handle: if self.op.makes().is_some() { self.from } else { self.handle },
            object,
            path,
            span: crate::span::current(),
            time,
        }
    }
}

/// The dispatch of an entry that something pins.
#[inline]
fn dispatch_of(entry: &Entry) -> Option<&Dispatch> {
    // SAFETY: PINNED: the entry keeps the scope that has the dispatch; a global one is never freed.
    unsafe { entry.dispatch().as_ref() }
}

/// Writes a record into the thread's tail of the object's log, where it has one. False where the event is to be
/// [written late](log_late).
#[inline(always)]
fn log(local: Option<&Local>, entry: &Entry, fact: &Fact, path: u32) -> bool {
    let Some(local) = local else { return false };
    if local.is_inside() {
        entry.withhold();
    } else if let Some(log) = dispatch_of(entry).and_then(Dispatch::log)
        && local.tails.has_room(log, fact.records(), local::thread(Some(local)))
    {
        let time = local.tails.time(log.clock());
        let record = fact.record(entry.id(), path, time);
        match fact.stack {
            0 => local.tails.write(&record),
            stack => local.tails.write_on_stack(&record, stack),
        }
    }
    true
}

/// Writes an event of a thread that has no tails any more, or of a signal's handler.
#[cold]
#[inline(never)]
fn log_late(entry: &Entry, fact: &Fact, from_object: u64) {
    match (enter_sink(), dispatch_of(entry).and_then(Dispatch::log)) {
        (None, _) => entry.withhold(),
        (Some(_entered), Some(log)) => log.write(&fact.event(entry.object(), from_object, 0)),
        (Some(_), None) => {}
    }
}

/// Gives the event to the sink of the object, whose entry something pins.
#[inline(never)]
fn emit_at_once(entry: &Entry, fact: &Fact, from_object: u64) {
    // A sink runs neither inside a sink, nor in a signal's handler that interrupted the runtime.
    match if local::is_busy() { None } else { enter_sink() } {
        None if entry.flags() & LOGGED == 0 => entry.withhold(),
        // The log has counted it.
        None => {}
        Some(entered) => {
            if let Some(dispatch) = dispatch_of(entry) {
                let logged = dispatch.log().map_or(0, |log| log.id());
                let event = fact.event(entry.object(), from_object, logged);
                dispatch.deliver(&entered, &event);
            }
        }
    }
}

/// Emits an event that ends no handle and begins no object, for an entry that something pins.
#[inline]
fn emit(entry: &Entry, flags: u32, logged: bool, fact: &Fact) {
    if flags & LOGGED != 0 && !logged {
        log_late(entry, fact, entry.id());
    }
    if flags & AT_ONCE != 0 {
        emit_at_once(entry, fact, entry.id());
    }
}

/// How a handle is made.
#[derive(Clone, Copy, PartialEq, Eq)]
enum How {
    /// From a strong one: `clone`.
    Clone,
    /// From one that does not count itself.
    Upgrade,
    /// Any weak one: `downgrade`, or the clone of a weak one.
    Weak,
}

/// An operation that makes a handle from another one: a type, so that the common case is compiled for each.
trait Make {
    const OP: Op;
    const HOW: How;
}

macro_rules! makes {
    ($($(#[$meta:meta])* $Name:ident: $OP:ident by $HOW:ident;)*) => {$(
        $(#[$meta])*
        struct $Name;

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
fn step<const SHARED: bool>(entry: &Entry, how: How) -> Position {
    match how {
        How::Clone => entry.clone_strong::<SHARED>(),
        How::Upgrade => entry.upgrade::<SHARED>(),
        How::Weak => entry.clone_weak::<SHARED>(),
    }
}

/// Makes a handle from that in `from`, for an entry that something pins.
#[inline(always)]
fn make<const SHARED: bool, M: Make>(entry: &Entry, from: &Place, site: Caller) -> Option<Ticket> {
    match entry.flags() & (AT_ONCE | LOGGED | STACKS) {
        0 => make_ready::<SHARED, false, M>(entry, from, site)
            .or_else(|| make_any::<SHARED>(entry, from, M::HOW, M::OP, site)),
        LOGGED => make_logged::<SHARED, M>(entry, from, site),
        _ => make_any::<SHARED>(entry, from, M::HOW, M::OP, site),
    }
}

/// The same for an object whose events go to a log, and nowhere else.
#[inline(never)]
fn make_logged<const SHARED: bool, M: Make>(
    entry: &Entry,
    from: &Place,
    site: Caller,
) -> Option<Ticket> {
    make_ready::<SHARED, true, M>(entry, from, site)
        .or_else(|| make_any::<SHARED>(entry, from, M::HOW, M::OP, site))
}

/// The common case, in which nothing has to be waited for, fetched or looked up. `None` where it is not, and nothing is
/// done.
#[inline(always)]
fn make_ready<const SHARED: bool, const LOG: bool, M: Make>(
    entry: &Entry,
    from: &Place,
    site: Caller,
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
    let room = if LOG { Some(log_room(&local, entry, 1)?) } else { None };
    let place = local.places.first()?;
    let place = local.places.take(place);
    let position = step::<SHARED>(entry, M::HOW);
    let (number, parent, span) = (position.seq, from.number(), crate::span::current());
    let thread = local.thread.get();
    place.fill(entry, &NewPlace { op, number, parent, time, path, thread, span, stack: 0 }, 0);
    let ticket = Ticket::new(place, publish(place));
    if let Some(room) = room {
        let (state, object, time) = (position.state(), entry.id(), room.time(time));
        room.write(&NewRecord { op, state, handle: parent, object, path, span, time });
    }
    Some(ticket)
}

/// Room in the log of an entry that something pins and that is [`LOGGED`], where it lies open.
#[inline(always)]
fn log_room<'a>(local: &'a Ready<'_>, entry: &Entry, records: usize) -> Option<Room<'a>> {
    // SAFETY: PINNED: as in `dispatch_of`; and who says that the events are logged has a dispatch.
    let dispatch = unsafe { &*entry.dispatch() };
    local.tails.room(dispatch.ready_log(), records)
}

/// The same in any case.
#[inline(never)]
fn make_any<const SHARED: bool>(
    entry: &Entry,
    from: &Place,
    how: How,
    op: Op,
    site: Caller,
) -> Option<Ticket> {
    if !entry.has_room() || (how == How::Weak && !entry.has_room_for_ref()) {
        LEDGER.refuse();
        return None;
    }
    let flags = entry.flags();
    let (number, path) = (from.number(), from.path());
    let local = local::own();
    // Before the step, so that a handle for which there is no place is not counted.
    let place = LEDGER.take_place(*local)?;
    let position = step::<SHARED>(entry, how);
    let to_line = LEDGER.paths.find(*local, path, op, site);
    let stack = if flags & STACKS != 0 || to_line.needs_stack() {
        clone_stack(*local, flags, path, op, site)
    } else {
        0
    };
    let path = to_line.number();
    let new = NewPlace {
        op,
        number: position.seq,
        parent: number,
        time: clock::now(),
        path,
        thread: local::thread(*local),
        span: crate::span::current(),
        stack,
    };
    place.fill(entry, &new, 0);
    let ticket = Ticket::new(place, publish(place));
    if flags & (AT_ONCE | LOGGED) != 0 {
        let fact =
            Fact { op, handle: position.seq, from: number, position, site: Some(site), stack };
        let logged = flags & LOGGED != 0 && log(*local, entry, &fact, path);
        drop(local);
        if flags & AT_ONCE != 0 || !logged {
            emit(entry, flags, logged, &fact);
        }
    }
    Some(ticket)
}

#[cold]
#[inline(never)]
fn clone_stack(local: Option<&Local>, flags: u32, from: u32, op: Op, site: Caller) -> u32 {
    let stack = stacks::of_clone(flags & STACKS != 0, site);
    if stack == 0 {
        LEDGER.paths.without_stack(local, from, op, site);
    }
    stack
}

/// Does something with the entry and the place of a handle. `None` where that handle came from a raw pointer and
/// is nobody's any more.
#[inline]
fn with<const SHARED: bool, R>(
    ticket: &Ticket,
    side: Side,
    f: impl FnOnce(&Entry, &Place) -> R,
) -> Option<R> {
    if !ticket.is_returned() {
        return Some(f(ticket.entry(), ticket.place()));
    }
    let (entry, place) = pin_returned::<SHARED>(ticket, side)?;
    let result = f(entry, place);
    unpin::<SHARED>(entry);
    Some(result)
}

/// Takes a share of the entry of a handle that came from a raw pointer.
#[cold]
fn pin_returned<const SHARED: bool>(
    ticket: &Ticket,
    side: Side,
) -> Option<(&'static Entry, &'static Place)> {
    local::enter(|local| {
        let raw = LEDGER.lock_raw(local)?;
        let (entry, place) = raw.known(ticket, side)?;
        // The place that was found keeps the entry open as long as the table has it.
        entry.share::<SHARED>();
        Some((entry, place))
    })
}

/// Gives a share of an entry back, and ends the entry with the last one.
#[inline]
fn unpin<const SHARED: bool>(entry: &'static Entry) {
    if entry.unpin::<SHARED>() {
        end_entry(entry);
    }
}

#[cold]
fn end_entry(entry: &'static Entry) {
    let scope = local::enter(|local| LEDGER.free_entry(local, entry));
    // SAFETY: SCOPES: the entry's share, which was taken out.
    drop(unsafe { ScopeNode::from_raw(scope) });
}

/// A place and its entry, kept by the handle's own share.
#[derive(Clone, Copy)]
struct Held {
    place: &'static Place,
    entry: &'static Entry,
}

impl Held {
    /// What a ticket that has not returned keeps.
    #[inline(always)]
    fn new(ticket: Ticket) -> Self {
        let place = ticket.place();
        // SAFETY: FOREVER: the place of a handle was filled with a slot of the ledger's.
        let entry = unsafe { &*place.entry() };
        Self { place, entry }
    }
}

/// The handle that is about to end or to leave: its place, taken out of the table of raw pointers if it had returned
/// from one. `None` where it is nobody's.
#[inline]
fn hold(ticket: Ticket, side: Side) -> Option<Held> {
    if ticket.is_returned() {
        return hold_returned(&ticket, side);
    }
    Some(Held::new(ticket))
}

#[cold]
fn hold_returned(ticket: &Ticket, side: Side) -> Option<Held> {
    local::enter(|local| {
        let (entry, place) = LEDGER.lock_raw(local)?.settle(ticket, side)?;
        Some(Held { place, entry })
    })
}

/// The end of a strong handle, whichever way.
fn end_strong<const SHARED: bool>(held: Held, op: Op, site: Option<Caller>) {
    match held.entry.flags() & (AT_ONCE | LOGGED | STACKS) {
        0 if end_strong_ready::<SHARED, false>(held, op, site) => {}
        LOGGED if end_strong_ready::<SHARED, true>(held, op, site) => {}
        _ => end_strong_pinned::<SHARED>(held, op, site),
    }
}

/// The drop of a strong handle, by far the most common end.
#[inline(always)]
fn drop_strong<const SHARED: bool>(held: Held) {
    // A function of its own for each way, so that what one needs is not set up for the other.
    #[inline(never)]
    fn ready<const SHARED: bool, const LOG: bool>(held: Held) {
        if !end_strong_ready::<SHARED, LOG>(held, Op::Drop, None) {
            end_strong_pinned::<SHARED>(held, Op::Drop, None);
        }
    }
    match held.entry.flags() & (AT_ONCE | LOGGED | STACKS) {
        0 => ready::<SHARED, false>(held),
        LOGGED => ready::<SHARED, true>(held),
        _ => end_strong_pinned::<SHARED>(held, Op::Drop, None),
    }
}

/// The common case, as [`make_ready`]'s. False where it is not, and nothing is done.
#[inline(always)]
fn end_strong_ready<const SHARED: bool, const LOG: bool>(
    held: Held,
    op: Op,
    site: Option<Caller>,
) -> bool {
    let Held { place, entry } = held;
    let Some(local) = local::ready() else { return false };
    if local.places.is_full() {
        return false;
    }
    // After the step nothing pins the entry. So what the record needs is taken before.
    let record = if LOG {
        match log_end(&local, held, op, site) {
            Some(record) => Some(record),
            None => return false,
        }
    } else {
        None
    };
    hide(place);
    local.places.push(place);
    let (position, last) = entry.drop_strong::<SHARED>();
    if let Some((room, mut record)) = record {
        record.state = position.state();
        room.write(&record);
    }
    if last && entry.unpin::<SHARED>() && !LEDGER.free_entry_ready(&local, entry) {
        drop(local);
        end_entry(entry);
    }
    true
}

/// The record of the end of a handle, but for its position, and the room for it.
#[inline(always)]
fn log_end<'a>(
    local: &'a Ready<'_>,
    held: Held,
    op: Op,
    site: Option<Caller>,
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
    let span = crate::span::current();
    Some((room, NewRecord { op, state: 0, handle, object, path, span, time }))
}

/// The same, with a share of the entry for the sink's time, and with a stack.
#[inline(never)]
fn end_strong_pinned<const SHARED: bool>(held: Held, op: Op, site: Option<Caller>) {
    let Held { place, entry } = held;
    // Has the clock run, if no record does: the common case asks for it.
    clock::now();
    entry.share::<SHARED>();
    let handle = place.number();
    let flags = entry.flags();
    let stack = if flags & STACKS != 0 { stacks::of_end() } else { 0 };
    let (fact, logged, last) = local::enter(|local| {
        LEDGER.free_place(local, place);
        let (position, last) = entry.drop_strong::<SHARED>();
        let fact = Fact { op, handle, from: 0, position, site, stack };
        let logged = flags & LOGGED != 0 && log_with_site(local, entry, &fact);
        (fact, logged, last)
    });
    emit(entry, flags, logged, &fact);
    if last {
        unpin::<SHARED>(entry);
    }
    unpin::<SHARED>(entry);
}

/// [`log`], for an event that makes no handle.
#[inline]
fn log_with_site(local: Option<&Local>, entry: &Entry, fact: &Fact) -> bool {
    let path = fact.site.map_or(0, |site| LEDGER.paths.of(local, 0, fact.op, site));
    log(local, entry, fact, path)
}

/// The end of a weak handle.
#[inline(never)]
fn end_weak<const SHARED: bool>(held: Held, op: Op, site: Option<Caller>) {
    let Held { place, entry } = held;
    let flags = entry.flags();
    let handle = place.number();
    let stack = if flags & STACKS != 0 { stacks::of_end() } else { 0 };
    let (fact, logged) = local::enter(|local| {
        LEDGER.free_place(local, place);
        // The handle's share of `refs` keeps the entry.
        let position = entry.note::<SHARED>();
        let fact = Fact { op, handle, from: 0, position, site, stack };
        let logged = flags & LOGGED != 0 && log_with_site(local, entry, &fact);
        (fact, logged)
    });
    emit(entry, flags, logged, &fact);
    unpin::<SHARED>(entry);
}

/// An event that makes no handle and ends none, for an entry that something pins.
fn note<const SHARED: bool>(entry: &Entry, handle: u64, op: Op, site: Caller, always: bool) {
    if !always && !entry.has_room() {
        return LEDGER.refuse();
    }
    let flags = entry.flags();
    let position = entry.note::<SHARED>();
    let fact = Fact { op, handle, from: 0, position, site: Some(site), stack: 0 };
    let logged = flags & LOGGED != 0
        && op != Op::Label
        && local::enter(|local| log_with_site(local, entry, &fact));
    emit(entry, flags, logged, &fact);
}

/// Opens an entry for a new object if a sink wants it, and emits the first event.
#[inline(never)]
fn open_new(
    ty: &'static Type,
    address: usize,
    size: usize,
    align: usize,
    site: Caller,
) -> Option<Ticket> {
    let value = Value { address, size, align };
    open_ready(ty, value, site).or_else(|| open(ty, value, Op::New, None, site))
}

/// The common case, as [`make_ready`]'s: the global sink wants every object, and no event at once.
#[inline(always)]
fn open_ready(ty: &'static Type, value: Value, site: Caller) -> Option<Ticket> {
    let op = Op::New;
    let dispatch = dispatch::ready()?;
    let time = clock::ready();
    if time == 0 || stacks::asked_for() {
        return None;
    }
    let local = local::ready()?;
    if !local.scope.get().is_null() {
        return None;
    }
    let path = local.paths.get(0, op, site).filter(|path| !path.needs_stack())?.number();
    let room = match dispatch.flags() & LOGGED {
        0 => None,
        _ => Some(local.tails.room(dispatch.ready_log(), 2)?),
    };
    let (place, entry) = (local.places.first()?, local.entries.first()?);
    let (place, entry) = (local.places.take(place), local.entries.take(entry));
    // Relaxed: a number is unique by the read-modify-write alone.
    let id = NEXT.fetch_add(1, Ordering::Relaxed);
    let (thread, span) = (local.thread.get(), crate::span::current());
    let size = value.size as u64;
    let object = Object { id: ObjectId(id), ty, size, label: Label::default(), location: site };
    entry.fill(&NewEntry {
        object: &object,
        address: value.address,
        align: value.align,
        flags: dispatch.flags(),
        dispatch,
        scope: std::ptr::null(),
        scope_id: 0,
        thread,
        time,
        span,
        parent: None,
        stack: 0,
        strong: 1,
    });
    publish(entry);
    let new = NewPlace { op, number: 1, parent: 0, time, path, thread, span, stack: 0 };
    place.fill(entry, &new, 0);
    let ticket = Ticket::new(place, publish(place));
    if let Some(room) = room {
        let state = Position { seq: 1, strong: 1 }.state();
        let time = room.time(time);
        let record = NewRecord { op, state, handle: 0, object: id, path, span, time };
        room.write_birth(&record, &Birth { ty, size, from_object: 0, stack: 0 });
    }
    Some(ticket)
}

/// The same in any case.
fn open(
    ty: &'static Type,
    value: Value,
    op: Op,
    parent: Option<HandleId>,
    site: Caller,
) -> Option<Ticket> {
    let mut object = Object {
        id: ObjectId(0),
        ty,
        size: value.size as u64,
        label: Label::default(),
        location: site,
    };
    let binding = dispatch::bind(&mut object, &NEXT)?;
    let strong = u32::from(!matches!(op, Op::NewCyclic | Op::WeakFromStd));
    let adopted = if matches!(op, Op::FromStd | Op::WeakFromStd) { ADOPTED } else { 0 };
    let stacks = if stacks::asked_for_of(&object) { STACKS } else { 0 };
    let flags = binding.flags | stacks;
    let scope_id = binding.scope.as_ref().map_or(0, |scope| scope.id());
    let scope = binding.scope.map_or(std::ptr::null(), Arc::into_raw);
    let parent = parent.map(|parent| (parent.object().number(), parent.number()));
    let opened = local::enter(|local| {
        let entry = LEDGER.take_entry(local)?;
        let Some(place) = LEDGER.take_place(local) else {
            LEDGER.put_entry(local, entry);
            return None;
        };
        let (thread, time, span) = (local::thread(local), clock::now(), crate::span::current());
        let to_line = LEDGER.paths.find(local, 0, op, site);
        let stack = if stacks != 0 || to_line.needs_stack() {
            let stack = stacks::of_birth(stacks != 0, site);
            if stack == 0 {
                LEDGER.paths.without_stack(local, 0, op, site);
            }
            stack
        } else {
            0
        };
        entry.fill(&NewEntry {
            object: &object,
            address: value.address,
            align: value.align,
            flags: flags | adopted,
            dispatch: binding.dispatch,
            scope,
            scope_id,
            thread,
            time,
            span,
            parent,
            stack,
            strong,
        });
        publish(entry);
        let path = to_line.number();
        let new = NewPlace { op, number: 1, parent: 0, time, path, thread, span, stack };
        place.fill(entry, &new, 0);
        let ticket = Ticket::new(place, publish(place));
        let position = Position { seq: 1, strong };
        let from = parent.map_or(0, |(_, number)| number);
        let fact = Fact { op, handle: 1, from, position, site: Some(site), stack };
        let logged = flags & LOGGED != 0 && log_birth(local, entry, &fact, parent, path, stack);
        Some((ticket, fact, logged))
    });
    let Some((ticket, fact, logged)) = opened else {
        // SAFETY: SCOPES: the share that no entry got.
        drop(unsafe { ScopeNode::from_raw(scope) });
        return None;
    };
    let from_object = parent.map_or(object.id.0, |(object, _)| object);
    if flags & LOGGED != 0 && !logged {
        log_late(ticket.entry(), &fact, from_object);
    }
    if flags & AT_ONCE != 0 {
        emit_at_once(ticket.entry(), &fact, from_object);
    }
    Some(ticket)
}

fn log_birth(
    local: Option<&Local>,
    entry: &Entry,
    fact: &Fact,
    parent: Option<(u64, u64)>,
    path: u32,
    stack: u32,
) -> bool {
    let Some(local) = local else { return false };
    // Nothing is made inside a sink that is traced.
    if let Some(log) = dispatch_of(entry).and_then(Dispatch::log)
        && local.tails.has_room(log, 2, local::thread(Some(local)))
    {
        let object = entry.object();
        let time = local.tails.time(log.clock());
        let from_object = parent.map_or(0, |(object, _)| object);
        let birth = Birth { ty: object.ty, size: object.size, from_object, stack };
        local.tails.write_birth(&fact.record(object.id.0, path, time), &birth);
    }
    true
}

/// A handle becomes a raw pointer.
fn to_raw<const SHARED: bool>(held: Held, side: Side, op: Op, at: (Kind, usize), site: Caller) {
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
fn stranger_to_raw(side: Side, at: (Kind, usize), strong: usize) {
    if !LEDGER.no_raws() {
        local::enter(|local| {
            if let Some(mut raw) = LEDGER.lock_raw(local) {
                raw.stranger(at, side, strong);
                LEDGER.count_raws(&raw);
            }
        });
    }
}

/// A handle comes from a raw pointer.
fn of_raw<const SHARED: bool>(
    side: Side,
    op: Op,
    at: (Kind, usize),
    site: Caller,
) -> Option<Ticket> {
    if LEDGER.no_raws() {
        return None;
    }
    let (entry, ticket, fact, logged) = local::enter(|local| {
        let mut raw = LEDGER.lock_raw(local)?;
        if raw.find(at, side).is_some_and(|(entry, _)| !entry.has_room()) {
            LEDGER.refuse();
            return None;
        }
        let (entry, claimed) = raw.claim(at, side)?;
        let (Claimed::Waiting(place) | Claimed::Shared(place)) = claimed;
        let position = entry.note::<SHARED>();
        // For the event's time.
        entry.share::<SHARED>();
        let from = place.number();
        let path = LEDGER.paths.of(local, place.path(), op, site);
        let new = NewPlace {
            op,
            number: position.seq,
            parent: from,
            time: clock::now(),
            path,
            thread: local::thread(local),
            span: crate::span::current(),
            stack: 0,
        };
        hide(place);
        place.fill(entry, &new, RETURNED);
        let ticket = Ticket::new_returned(place, publish(place));
        raw.returned(entry, side, place, &ticket);
        drop(raw);
        let fact = Fact { op, handle: position.seq, from, position, site: Some(site), stack: 0 };
        let logged = entry.flags() & LOGGED != 0 && log(local, entry, &fact, path);
        Some((entry, ticket, fact, logged))
    })?;
    emit(entry, entry.flags(), logged, &fact);
    unpin::<SHARED>(entry);
    Some(ticket)
}

/// The identity of a strong handle: eight bytes, none of which is used while the handle is untraced.
pub(crate) struct Strong<const SHARED: bool>(Option<Ticket>);

impl<const SHARED: bool> Strong<SHARED> {
    /// A new object, if a sink wants it.
    #[inline]
    #[track_caller]
    pub(crate) fn birth(ty: &'static Type, value: Value, op: Op) -> Self {
        if dispatch::idle() {
            return Self(None);
        }
        let site = Location::caller();
        Self(match op {
            Op::New => open_new(ty, value.address, value.size, value.align, site),
            _ => open(ty, value, op, None, site),
        })
    }

    /// The handle of an object that `new_cyclic` announced by a weak one.
    pub(crate) fn of_cyclic(weak: &Weak<SHARED>, site: Caller) -> Self {
        let made = weak.0.as_ref().and_then(|from| {
            with::<SHARED, _>(from, Side::Weak, |entry, place| {
                make::<SHARED, NewOfCyclic>(entry, place, site)
            })
        });
        Self(made.flatten())
    }

    /// A clone's identity. Stands after std's clone.
    #[inline]
    #[track_caller]
    pub(crate) fn cloned(&self) -> Self {
        #[inline(never)]
        fn traced<const SHARED: bool>(from: &Ticket, site: Caller) -> Option<Ticket> {
            if from.is_returned() {
                return returned::<SHARED>(from, site);
            }
            make::<SHARED, Clone>(from.entry(), from.place(), site)
        }
        #[cold]
        #[inline(never)]
        fn returned<const SHARED: bool>(from: &Ticket, site: Caller) -> Option<Ticket> {
            with::<SHARED, _>(from, Side::Strong, |entry, place| {
                make::<SHARED, CloneOfReturned>(entry, place, site)
            })
            .flatten()
        }
        match &self.0 {
            None => Self(None),
            Some(from) => Self(traced::<SHARED>(from, Location::caller())),
        }
    }

    /// A weak handle's identity. Stands after std's downgrade.
    #[inline]
    #[track_caller]
    pub(crate) fn downgraded(&self) -> Weak<SHARED> {
        #[inline(never)]
        fn traced<const SHARED: bool>(from: &Ticket, site: Caller) -> Option<Ticket> {
            with::<SHARED, _>(from, Side::Strong, |entry, place| {
                make::<SHARED, Downgrade>(entry, place, site)
            })
            .flatten()
        }
        match &self.0 {
            None => Weak(None),
            Some(from) => Weak(traced::<SHARED>(from, Location::caller())),
        }
    }

    /// Stands before an operation of std's that may free the memory before its own step here: a handle that
    /// came from a raw pointer takes its place while the address is surely its object's.
    #[inline]
    pub(crate) fn settle(&mut self) {
        if self.0.as_ref().is_some_and(Ticket::is_returned) {
            let held = self.0.take().and_then(|ticket| hold(ticket, Side::Strong));
            self.0 = held.map(|held| Ticket::new(held.place, held.place.current()));
        }
    }

    /// The handle ends by giving its value, or itself, away. Stands after std's success.
    #[inline]
    #[track_caller]
    pub(crate) fn end(mut self, op: Op) {
        if let Some(held) = self.0.take().and_then(|ticket| hold(ticket, Side::Strong)) {
            end_strong::<SHARED>(held, op, Some(Location::caller()));
        }
    }

    /// The handle ends, and `std` may give its value away. The drop's step stands before std's, so that
    /// the traced count is never above it.
    #[track_caller]
    pub(crate) fn into_inner<T>(mut self, std: impl FnOnce() -> Option<T>) -> Option<T> {
        let held = self.0.take().and_then(|ticket| hold(ticket, Side::Strong));
        let Some(held) = held else { return std() };
        let site = Location::caller();
        let (entry, handle) = (held.entry, held.place.number());
        entry.share::<SHARED>();
        end_strong::<SHARED>(held, Op::Drop, Some(site));
        let value = std();
        if value.is_some() {
            // No limit refuses it: it completes an event that was emitted.
            note::<SHARED>(entry, handle, Op::IntoInner, site, true);
        }
        unpin::<SHARED>(entry);
        value
    }

    /// `make_mut` moved to a new allocation: the old object loses this handle, a new one is made.
    #[cold]
    #[track_caller]
    pub(crate) fn copied(&mut self, ty: &'static Type, value: Value) {
        let site = Location::caller();
        let old = self.0.take().and_then(|ticket| {
            let held = hold(ticket, Side::Strong)?;
            let id = HandleId::new(ObjectId(held.entry.id()), held.place.number());
            end_strong::<SHARED>(held, Op::Drop, Some(site));
            Some(id)
        });
        if !dispatch::idle() {
            self.0 = open(ty, value, Op::CopyOnWrite, old, site);
        }
    }

    /// The handle becomes the raw pointer `address`, `op` saying how. `strong` is std's count.
    #[inline]
    #[track_caller]
    pub(crate) fn into_raw(
        mut self,
        at: Option<(Kind, usize)>,
        op: Op,
        strong: impl FnOnce() -> usize,
    ) {
        let Some(at) = at else { return self.end(Op::IntoStd) };
        match self.0.take().and_then(|ticket| hold(ticket, Side::Strong)) {
            Some(held) => to_raw::<SHARED>(held, Side::Strong, op, at, Location::caller()),
            None => stranger_to_raw(Side::Strong, at, strong()),
        }
    }

    /// The handle comes from a raw pointer.
    #[inline]
    #[track_caller]
    pub(crate) fn from_raw(at: Option<(Kind, usize)>) -> Self {
        let site = Location::caller();
        Self(at.and_then(|at| of_raw::<SHARED>(Side::Strong, Op::FromRaw, at, site)))
    }

    /// One more raw handle: a clone that becomes raw at once. Stands after std's.
    #[track_caller]
    pub(crate) fn increment(at: Option<(Kind, usize)>) {
        let site = Location::caller();
        let Some(at) = at.filter(|_| !LEDGER.no_raws()) else { return };
        let found = local::enter(|local| {
            let raw = LEDGER.lock_raw(local)?;
            let (entry, place) = raw.find(at, Side::Strong)?;
            // The place that was found keeps the entry open as long as the table is locked.
            entry.share::<SHARED>();
            Some((entry, place))
        });
        if let Some((entry, place)) = found {
            let clone = make::<SHARED, CloneOfReturned>(entry, place, site);
            if let Some(held) = clone.and_then(|clone| hold(clone, Side::Strong)) {
                to_raw::<SHARED>(held, Side::Strong, Op::IntoRaw, at, site);
            }
            unpin::<SHARED>(entry);
        }
    }
}

impl<const SHARED: bool> Drop for Strong<SHARED> {
    #[inline]
    fn drop(&mut self) {
        #[inline(never)]
        fn traced<const SHARED: bool>(ticket: Ticket) {
            if ticket.is_returned() {
                return returned::<SHARED>(ticket);
            }
            drop_strong::<SHARED>(Held::new(ticket));
        }
        #[cold]
        #[inline(never)]
        fn returned<const SHARED: bool>(ticket: Ticket) {
            if let Some(held) = hold_returned(&ticket, Side::Strong) {
                end_strong_pinned::<SHARED>(held, Op::Drop, None);
            }
        }
        // Untraced, nothing is written.
        if self.0.is_some()
            && let Some(ticket) = self.0.take()
        {
            traced::<SHARED>(ticket);
        }
    }
}

/// The identity of a weak handle.
pub(crate) struct Weak<const SHARED: bool>(Option<Ticket>);

impl<const SHARED: bool> Weak<SHARED> {
    /// A handle of no object.
    pub(crate) const DANGLING: Self = Self(None);

    /// An object that begins with a weak handle: `new_cyclic`'s, or one that came from std.
    #[track_caller]
    pub(crate) fn birth(ty: &'static Type, value: Value, op: Op) -> Self {
        Self::birth_at(ty, value, op, Location::caller())
    }

    /// The same, made on a line that is not the caller's.
    pub(crate) fn birth_at(ty: &'static Type, value: Value, op: Op, site: Caller) -> Self {
        if dispatch::idle() {
            return Self(None);
        }
        Self(open(ty, value, op, None, site))
    }

    /// A clone's identity. Stands after std's clone.
    #[inline]
    #[track_caller]
    pub(crate) fn cloned(&self) -> Self {
        #[inline(never)]
        fn traced<const SHARED: bool>(from: &Ticket, site: Caller) -> Option<Ticket> {
            with::<SHARED, _>(from, Side::Weak, |entry, place| {
                make::<SHARED, WeakClone>(entry, place, site)
            })
            .flatten()
        }
        match &self.0 {
            None => Self(None),
            Some(from) => Self(traced::<SHARED>(from, Location::caller())),
        }
    }

    /// A strong handle's identity. Stands after std's successful upgrade.
    #[inline]
    #[track_caller]
    pub(crate) fn upgraded(&self) -> Strong<SHARED> {
        #[inline(never)]
        fn traced<const SHARED: bool>(from: &Ticket, site: Caller) -> Option<Ticket> {
            with::<SHARED, _>(from, Side::Weak, |entry, place| {
                make::<SHARED, Upgrade>(entry, place, site)
            })
            .flatten()
        }
        match &self.0 {
            None => Strong(None),
            Some(from) => Strong(traced::<SHARED>(from, Location::caller())),
        }
    }

    /// std's upgrade found no value.
    #[inline]
    #[track_caller]
    pub(crate) fn upgrade_failed(&self) {
        if let Some(ticket) = &self.0 {
            let site = Location::caller();
            with::<SHARED, _>(ticket, Side::Weak, |entry, place| {
                note::<SHARED>(entry, place.number(), Op::UpgradeFailed, site, false);
            });
        }
    }

    /// The handle becomes a pointer of std's.
    #[inline]
    #[track_caller]
    pub(crate) fn end(mut self, op: Op) {
        if let Some(held) = self.0.take().and_then(|ticket| hold(ticket, Side::Weak)) {
            end_weak::<SHARED>(held, op, Some(Location::caller()));
        }
    }

    /// The handle becomes a raw pointer.
    #[inline]
    #[track_caller]
    pub(crate) fn into_raw(mut self, at: (Kind, usize)) {
        match self.0.take().and_then(|ticket| hold(ticket, Side::Weak)) {
            Some(held) => {
                to_raw::<SHARED>(held, Side::Weak, Op::WeakIntoRaw, at, Location::caller());
            }
            None => stranger_to_raw(Side::Weak, at, 0),
        }
    }

    /// The handle comes from a raw pointer.
    #[inline]
    #[track_caller]
    pub(crate) fn from_raw(at: (Kind, usize)) -> Self {
        Self(of_raw::<SHARED>(Side::Weak, Op::WeakFromRaw, at, Location::caller()))
    }
}

impl<const SHARED: bool> Drop for Weak<SHARED> {
    #[inline]
    fn drop(&mut self) {
        #[inline(never)]
        fn traced<const SHARED: bool>(ticket: Ticket) {
            if let Some(held) = hold(ticket, Side::Weak) {
                end_weak::<SHARED>(held, Op::WeakDrop, None);
            }
        }
        if self.0.is_some()
            && let Some(ticket) = self.0.take()
        {
            traced::<SHARED>(ticket);
        }
    }
}

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
    fn with<R>(self, f: impl FnOnce(&'static Entry, &Place) -> R) -> Option<R> {
        with::<true, _>(self.0?, self.1, |entry, place| {
            // SAFETY: FOREVER: an entry is a slot of the ledger's.
            let entry = unsafe { &*std::ptr::from_ref(entry) };
            f(entry, place)
        })
    }

    /// What the ledger's entry says. `None`: untraced.
    pub(crate) fn status(self) -> Option<Status> {
        self.with(|entry, place| {
            let object = entry.object();
            Status {
                object,
                handle: HandleId::new(object.id, place.number()),
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
        self.with(|entry, place| {
            entry.set(ALLOWED);
            note::<true>(entry, place.number(), Op::Allow, site, false);
        });
    }

    /// Labels the object.
    #[track_caller]
    pub(crate) fn label(self, text: &str) {
        let site = Location::caller();
        // Outside of `with`, since it takes a lock.
        let Some(label) = self.0.is_some().then(|| Label::intern(text)) else { return };
        self.with(|entry, place| {
            entry.label(label);
            // By a read-modify-write for every kind: a box may be labelled by two threads that share it.
            note::<true>(entry, place.number(), Op::Label, site, false);
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
