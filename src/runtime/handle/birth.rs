//! How an object begins, with its first handle.

use super::emit::{PendingEvent, dispatch_of, emit_at_once, log_late};
use super::{NEXT, Value, can_number};
use crate::event::{Caller, HandleId, Label, Object, ObjectId, Op, Thread, Type};
use crate::primitive::{Arc, Ordering};
use crate::runtime::dispatch::Dispatch;
use crate::runtime::entry::{
    ADOPTED, AT_ONCE, Entry, LOGGED, NewEntry, NewPlace, Position, STACKS,
};
use crate::runtime::ledger::{LEDGER, Refused};
use crate::runtime::local::Local;
use crate::runtime::log::{Birth, NewRecord};
use crate::runtime::scope::ScopeNode;
use crate::runtime::slab::publish;
use crate::runtime::ticket::Ticket;
use crate::runtime::{clock, dispatch, local};
use crate::span::{self, Current};
use crate::stack::policy;

/// Opens an entry for a new object if a sink wants it, and emits the first event.
#[inline(never)]
pub(super) fn open_new(
    ty: &'static Type,
    address: usize,
    size: usize,
    align: usize,
    site: Caller,
) -> Option<Ticket> {
    let value = Value { address, size, align };
    // Before anything is in use: see `FOREIGN` in `local`.
    let span = span::current();
    open_ready(ty, value, site, span).or_else(|| open_any(ty, value, Op::New, None, site, span))
}

/// The common case, as [`make_ready`]'s: the global sink wants every object, and no event at once.
#[inline(always)]
pub(super) fn open_ready(
    ty: &'static Type,
    value: Value,
    site: Caller,
    span: Current,
) -> Option<Ticket> {
    let op = Op::New;
    let dispatch = dispatch::ready()?;
    let time = clock::ready();
    if time == 0 || policy::asked_for() || !can_number() {
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
    let (thread, span) = (local.thread.get(), span.number());
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

/// An object that begins in another way than by `new`.
pub(super) fn open(
    ty: &'static Type,
    value: Value,
    op: Op,
    parent: Option<HandleId>,
    site: Caller,
) -> Option<Ticket> {
    open_any(ty, value, op, parent, site, span::current())
}

/// The same in any case.
fn open_any(
    ty: &'static Type,
    value: Value,
    op: Op,
    parent: Option<HandleId>,
    site: Caller,
    current: Current,
) -> Option<Ticket> {
    let mut object = Object {
        id: ObjectId(0),
        ty,
        size: value.size as u64,
        label: Label::default(),
        location: site,
    };
    let binding = dispatch::bind(&mut object)?;
    Thread::note_name_if_unknown();
    let strong = u32::from(!matches!(op, Op::NewCyclic | Op::WeakFromStd));
    let adopted = if matches!(op, Op::FromStd | Op::WeakFromStd) { ADOPTED } else { 0 };
    let stacks = if policy::asked_for_of(&object) { STACKS } else { 0 };
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
        let (thread, time, span) = (local::thread(local), clock::now(), current.number());
        let to_line = LEDGER.paths.find(local, 0, op, site);
        let stack = if stacks != 0 || to_line.needs_stack() {
            let stack = policy::of_new(stacks != 0, site);
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
        let site = Some(site);
        let event = PendingEvent { op, handle: 1, from, position, site, stack, span: current };
        let logged = flags & LOGGED != 0 && log_birth(local, entry, &event, parent, path, stack);
        Some((ticket, event, logged))
    });
    let Some((ticket, event, logged)) = opened else {
        LEDGER.refuse(Refused::Object);
        // SAFETY: SCOPES: the share that no entry got.
        drop(unsafe { ScopeNode::from_raw(scope) });
        return None;
    };
    let from_object = parent.map_or(object.id.0, |(object, _)| object);
    if flags & LOGGED != 0 && !logged {
        log_late(ticket.entry(), &event, from_object);
    }
    if flags & AT_ONCE != 0 {
        emit_at_once(ticket.entry(), &event, from_object);
    }
    Some(ticket)
}

pub(super) fn log_birth(
    local: Option<&Local>,
    entry: &Entry,
    event: &PendingEvent,
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
        let time = log.clock().now();
        let from_object = parent.map_or(0, |(object, _)| object);
        let birth = Birth { ty: object.ty, size: object.size, from_object, stack };
        local.tails.write_birth(&event.record(object.id.0, path, time), &birth);
    }
    true
}
