//! Emits events: to the log, or to the sink at once.

use crate::event::{Caller, Event, Object, ObjectId, Op};
use crate::runtime::clock;
use crate::runtime::dispatch::Dispatch;
use crate::runtime::entry::{AT_ONCE, Entry, LOGGED, NewPlace, Position};
use crate::runtime::ledger::{LEDGER, Refused};
use crate::runtime::local;
use crate::runtime::local::{Local, enter_sink};
use crate::runtime::log::NewRecord;
use crate::span::{self, Current};

/// What happened.
pub(super) struct PendingEvent {
    pub(super) op: Op,
    pub(super) handle: u64,
    /// The handle that it was made from; 0 for none.
    pub(super) from: u64,
    pub(super) position: Position,
    pub(super) site: Option<Caller>,
    /// The stack on which it happened; 0 for none.
    pub(super) stack: u32,
    /// The span in which it happened.
    pub(super) span: Current,
}

impl PendingEvent {
    /// How many records it takes, if it is no birth.
    #[inline]
    pub(super) fn records(&self) -> usize {
        1 + usize::from(self.stack != 0)
    }

    #[inline]
    pub(super) fn complete(&self, object: Object, from_object: u64, logged: u64) -> Event {
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

    /// What is written in the place of the handle that the event made; `path` leads to it.
    #[inline]
    pub(super) fn place(&self, local: Option<&Local>, path: u32) -> NewPlace {
        NewPlace {
            op: self.op,
            number: self.position.seq,
            parent: self.from,
            time: clock::now(),
            path,
            thread: local::thread(local),
            span: self.span.number(),
            stack: self.stack,
        }
    }

    /// The record of the event, which has a line that `path` ends with.
    #[inline(always)]
    pub(super) fn record(&self, object: u64, path: u32, time: u64) -> NewRecord {
        NewRecord {
            op: self.op,
            state: self.position.state(),
            handle: if self.op.makes().is_some() { self.from } else { self.handle },
            object,
            path,
            span: self.span.number(),
            time,
        }
    }
}

/// The dispatch of an entry that something pins.
#[inline]
pub(super) fn dispatch_of(entry: &Entry) -> Option<&Dispatch> {
    // SAFETY: PINNED: the entry keeps the scope that has the dispatch; a global one is never freed.
    unsafe { entry.dispatch().as_ref() }
}

/// Writes a record into the thread's tail of the object's log, where it has one. False where the event is to be
/// [written late](log_late).
#[inline(always)]
pub(super) fn log(local: Option<&Local>, entry: &Entry, event: &PendingEvent, path: u32) -> bool {
    let Some(local) = local else { return false };
    if local.is_inside() {
        entry.withhold();
    } else if let Some(log) = dispatch_of(entry).and_then(Dispatch::log)
        && local.tails.has_room(log, event.records(), local::thread(Some(local)))
    {
        let time = log.clock().now();
        let record = event.record(entry.id(), path, time);
        match event.stack {
            0 => local.tails.write(&record),
            stack => local.tails.write_on_stack(&record, stack),
        }
    }
    true
}

/// Writes an event of a thread that has no tails any more, or of a signal's handler.
#[cold]
#[inline(never)]
pub(super) fn log_late(entry: &Entry, event: &PendingEvent, from_object: u64) {
    match (enter_sink(), dispatch_of(entry).and_then(Dispatch::log)) {
        (None, _) => entry.withhold(),
        (Some(_entered), Some(log)) => {
            log.write_in(&event.complete(entry.object(), from_object, 0), event.span);
        }
        (Some(_), None) => {}
    }
}

/// Gives the event to the sink of the object, whose entry something pins.
#[inline(never)]
pub(super) fn emit_at_once(entry: &Entry, event: &PendingEvent, from_object: u64) {
    // A sink runs neither inside a sink, nor in a signal's handler that interrupted the runtime.
    match if local::is_busy() { None } else { enter_sink() } {
        None if entry.flags() & LOGGED == 0 => entry.withhold(),
        // The log has counted it.
        None => {}
        Some(entered) => {
            if let Some(dispatch) = dispatch_of(entry) {
                let logged = dispatch.log().map_or(0, |log| log.id());
                let event = event.complete(entry.object(), from_object, logged);
                dispatch.deliver(&entered, &event);
            }
        }
    }
}

/// Emits an event that ends no handle and begins no object, for an entry that something pins.
#[inline]
pub(super) fn emit(entry: &Entry, flags: u32, logged: bool, event: &PendingEvent) {
    if flags & LOGGED != 0 && !logged {
        log_late(entry, event, entry.id());
    }
    if flags & AT_ONCE != 0 {
        emit_at_once(entry, event, entry.id());
    }
}

/// [`log`], for an event that makes no handle.
#[inline]
pub(super) fn log_with_site(local: Option<&Local>, entry: &Entry, event: &PendingEvent) -> bool {
    let path = event.site.map_or(0, |site| LEDGER.paths.of(local, 0, event.op, site));
    log(local, entry, event, path)
}

/// An event that makes no handle and ends none, for an entry that something pins.
pub(super) fn note<const SHARED: bool>(
    entry: &Entry,
    handle: u64,
    op: Op,
    site: Caller,
    always: bool,
) {
    if !always && !entry.has_room() {
        return LEDGER.refuse(Refused::Step);
    }
    let flags = entry.flags();
    let span = span::current_if(flags & LOGGED != 0);
    let position = entry.note::<SHARED>();
    let event = PendingEvent { op, handle, from: 0, position, site: Some(site), stack: 0, span };
    let logged = flags & LOGGED != 0
        && op != Op::Label
        && local::enter(|local| log_with_site(local, entry, &event));
    emit(entry, flags, logged, &event);
}
