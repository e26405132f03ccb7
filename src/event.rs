//! What happened: [`Event`], [`Op`], [`Object`], [`Location`].
//!
//! An [`Event`] is one thing that happened to one handle. It is complete in itself: a sink needs no
//! memory of earlier events to print a good line.
//!
//! ```
//! # if !refscope::ENABLED { return }
//! use refscope::{Rc, Scope, sink};
//!
//! let scope = Scope::new(sink::from_fn(|event| println!("{event}")));
//! let guard = scope.enter();
//! let one = Rc::new(7);
//! let two = one.clone();
//! // #1 Rc<i32>  new    handle 1          strong 1  src/main.rs:5:11  main
//! // #1 Rc<i32>  clone  handle 2 from 1   strong 2  src/main.rs:6:15  main
//! ```

pub(crate) mod filter;
mod handle;
mod location;
mod object;
mod op;
pub(crate) mod path;
mod thread;
mod time;
mod untraced;
mod warning;
pub(crate) mod write;

pub use handle::{HandleId, Strength};
pub use location::Location;
pub(crate) use location::is_std_path;
#[cfg(feature = "trace")]
pub(crate) use object::Type;
pub use object::{Kind, Object, ObjectId};
pub(crate) use object::{Label, short_type};
pub use op::Op;
pub use thread::Thread;
pub use time::Time;
pub use untraced::UntracedCounts;
pub(crate) use warning::{eprint, warn};

/// Statics that lead to none of the program's values, but to memory where some stood before: a search leaves them out.
#[allow(dead_code)] // where the memory can be searched
pub(crate) fn own_statics() -> [std::ops::Range<usize>; 2] {
    [object::own_static(), thread::own_static()]
}

/// A line of the user's code, as the compiler gives it.
pub(crate) type Caller = &'static std::panic::Location<'static>;

use std::fmt;

/// One thing that happened to one handle.
///
/// A sink gets it by reference, on the thread where it happened, right after it happened (the end of
/// a handle: right before std's own drop). Do not store it: `thread` and `time` are read when called;
/// [`Event::to_owned`] makes a copy that can be kept.
#[derive(Debug)]
pub struct Event {
    pub(crate) op: Op,
    pub(crate) strong: u32,
    pub(crate) seq: u64,
    /// The handle's number. One that this event made has the event's own.
    pub(crate) handle: u64,
    /// The number of the handle that it was made from, or 0, and that handle's object.
    pub(crate) from: u64,
    pub(crate) from_object: ObjectId,
    pub(crate) location: Option<Caller>,
    pub(crate) object: Object,
    /// The log that has the event already, 0 for none: so that a recorder among several sinks keeps it once.
    pub(crate) logged: u64,
    /// The stack on which it happened; 0 for none.
    pub(crate) stack: u32,
}

impl Event {
    /// Returns what happened.
    #[inline]
    pub fn op(&self) -> Op {
        self.op
    }

    /// Returns the object that it happened to.
    #[inline]
    pub fn object(&self) -> &Object {
        &self.object
    }

    /// Returns the handle that was made, used or ended.
    #[inline]
    pub fn handle(&self) -> HandleId {
        HandleId::new(self.object.id, self.handle)
    }

    /// Returns the handle that [`handle`](Self::handle) was made from, if the event made one from one.
    ///
    /// For [`Op::CopyOnWrite`] it is a handle of another object: the one that was copied.
    #[inline]
    pub fn made_from(&self) -> Option<HandleId> {
        (self.from != 0).then(|| HandleId::new(self.from_object, self.from))
    }

    /// Returns the place in the object's history: its first event is 1, and no number is left out.
    ///
    /// It orders the events of one object exactly, across threads. Events of different handles may
    /// reach a sink in another order.
    #[inline]
    pub fn seq(&self) -> u64 {
        self.seq
    }

    /// Returns the number of traced strong handles right after this event.
    ///
    /// 0 means that no traced handle is left, not that the value is destroyed: a handle may have left
    /// through [`StdPtr::into_std`](crate::StdPtr::into_std).
    #[inline]
    pub fn strong(&self) -> u32 {
        self.strong
    }

    /// Returns the line of the user's code where it happened, if that can be known: a drop has none.
    #[inline]
    pub fn location(&self) -> Option<Location> {
        self.location.map(Location::from)
    }

    /// Returns the thread on which it happened: the one that calls this.
    #[inline]
    pub fn thread(&self) -> Thread {
        Thread::current()
    }

    /// Returns the time now, read from the precise clock (some 20 to 45 ns).
    #[inline]
    pub fn time(&self) -> Time {
        Time::now()
    }

    /// Returns the time now, read from a clock of a few nanoseconds and a few milliseconds' resolution.
    #[inline]
    pub fn coarse_time(&self) -> Time {
        Time::coarse()
    }

    /// Returns a copy that can be kept, with the thread and the precise time.
    pub fn to_owned(&self) -> OwnedEvent {
        OwnedEvent::new(self, self.thread(), self.time())
    }
}

/// An [`Event`] that was kept: plain data.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct OwnedEvent {
    /// What happened.
    pub op: Op,
    /// The object that it happened to.
    pub object: Object,
    /// The handle that was made, used or ended.
    pub handle: HandleId,
    /// The handle that it was made from.
    pub from: Option<HandleId>,
    /// The place in the object's history.
    pub seq: u64,
    /// The number of traced strong handles right after.
    pub strong: u32,
    /// The line of the user's code.
    pub location: Option<Location>,
    /// The thread on which it happened.
    pub thread: Thread,
    /// When it happened.
    pub time: Time,
}

impl OwnedEvent {
    pub(crate) fn new(event: &Event, thread: Thread, time: Time) -> Self {
        Self {
            op: event.op,
            object: event.object,
            handle: event.handle(),
            from: event.made_from(),
            seq: event.seq,
            strong: event.strong,
            location: event.location(),
            thread,
            time,
        }
    }
}

/// One line: object, operation, handle, count, location and thread.
impl fmt::Display for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        OwnedEvent::new(self, self.thread(), Time::START).fmt(f)
    }
}

/// The line of the [`Event`] that it was.
impl fmt::Display for OwnedEvent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { object, op, handle, from, strong, location, thread, .. } = self;
        write!(f, "{object}  {:<9} handle {}", op.name(), handle.number())?;
        match from {
            Some(from) if from.object() != handle.object() => write!(f, " from {from}")?,
            Some(from) => write!(f, " from {}", from.number())?,
            None => {}
        }
        write!(f, "  strong {strong}")?;
        if let Some(location) = location {
            write!(f, "  {location}")?;
        }
        // The program's own name for it, which may be anybody's.
        write!(f, "  {}", crate::text::escape(&thread.to_string()))
    }
}
