//! What happened, and the words it is told in: [`Event`], [`Op`], [`Object`], [`Handle`], [`Site`].
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

mod handle;
mod location;
mod object;
mod op;
pub(crate) mod path;
mod site;
mod thread;
mod time;
mod untraced;

pub use handle::{Handle, HandleId, Strength};
pub use location::Location;
pub use object::{Kind, Object, ObjectId};
pub(crate) use object::{Label, Size, Type, short_type};
pub use op::Op;
pub use site::Site;
pub use thread::Thread;
pub use time::Time;
pub use untraced::UntracedCounts;

use std::fmt;

/// One thing that happened to one handle.
///
/// A sink gets it by reference, on the thread where it happened, right after it happened (the end of
/// a handle: right before std's own drop). It cannot be kept, since what it says of the thread and
/// the time is asked when it is asked; [`Event::record`] makes a copy that can.
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
    pub(crate) site: Option<Site>,
    pub(crate) object: Object,
}

impl Event {
    /// What happened.
    #[inline]
    pub fn op(&self) -> Op {
        self.op
    }

    /// The object that it happened to.
    #[inline]
    pub fn object(&self) -> &Object {
        &self.object
    }

    /// The handle that was made, used or ended.
    #[inline]
    pub fn handle(&self) -> HandleId {
        HandleId::new(self.object.id, self.handle)
    }

    /// The handle that [`handle`](Self::handle) was made from, when the event made one from one.
    ///
    /// For [`Op::CopyOnWrite`] it is a handle of another object: the one that was copied.
    #[inline]
    pub fn from(&self) -> Option<HandleId> {
        (self.from != 0).then(|| HandleId::new(self.from_object, self.from))
    }

    /// The place in the object's history: its first event is 1, and no number is left out.
    ///
    /// It orders the events of one object exactly, across threads. Events of different handles may
    /// reach a sink in another order.
    #[inline]
    pub fn seq(&self) -> u64 {
        self.seq
    }

    /// The number of traced strong handles right after this event.
    ///
    /// 0 means that no traced handle is left, not that the value is destroyed: a handle may have left
    /// through [`StdPtr::into_std`](crate::StdPtr::into_std).
    #[inline]
    pub fn strong(&self) -> u32 {
        self.strong
    }

    /// The line of the user's code where it happened, if that can be known: a drop has none.
    #[inline]
    pub fn site(&self) -> Option<Site> {
        self.site
    }

    /// The thread on which it happened: the one that calls this.
    #[inline]
    pub fn thread(&self) -> Thread {
        Thread::current()
    }

    /// The time now, read from the precise clock (some 20 to 45 ns).
    #[inline]
    pub fn time(&self) -> Time {
        Time::now()
    }

    /// The time now, read from a clock of a few nanoseconds and a few milliseconds' resolution.
    #[inline]
    pub fn coarse_time(&self) -> Time {
        Time::coarse()
    }

    /// A copy that can be kept, with the thread and the precise time.
    pub fn record(&self) -> Record {
        Record::new(self, self.thread(), self.time())
    }
}

/// An [`Event`] that was kept: plain data.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Record {
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
    pub site: Option<Site>,
    /// The thread on which it happened.
    pub thread: Thread,
    /// When it happened.
    pub time: Time,
}

impl Record {
    pub(crate) fn new(event: &Event, thread: Thread, time: Time) -> Self {
        Self {
            op: event.op,
            object: event.object,
            handle: event.handle(),
            from: event.from(),
            seq: event.seq,
            strong: event.strong,
            site: event.site,
            thread,
            time,
        }
    }
}

/// One good line: object, operation, handle, count, site and thread.
impl fmt::Display for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (op, thread) = (self.op, self.thread());
        line(f, &self.object, op, self.handle(), self.from(), self.strong, self.site, thread)
    }
}

/// The line of the [`Event`] that it was.
impl fmt::Display for Record {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (op, thread) = (self.op, self.thread);
        line(f, &self.object, op, self.handle, self.from, self.strong, self.site, thread)
    }
}

#[allow(clippy::too_many_arguments)]
fn line(
    f: &mut fmt::Formatter<'_>,
    object: &Object,
    op: Op,
    handle: HandleId,
    from: Option<HandleId>,
    strong: u32,
    site: Option<Site>,
    thread: Thread,
) -> fmt::Result {
    write!(f, "{object}  {:<9} handle {}", op.name(), handle.number())?;
    match from {
        Some(from) if from.object() != handle.object() => write!(f, " from {from}")?,
        Some(from) => write!(f, " from {}", from.number())?,
        None => {}
    }
    write!(f, "  strong {strong}")?;
    if let Some(site) = site {
        write!(f, "  {site}")?;
    }
    write!(f, "  {thread}")
}
