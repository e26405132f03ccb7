//! Logs: events as records of fixed size, which each thread writes to segments of its own.
//!
//! ```text
//!  Log ── store ──┬─ open      a segment for each thread that writes   [records] len ▲ published
//!                 ├─ left      segments with room, whose threads have ended
//!                 ├─ full
//!                 └─ evicted   what is known from segments that had to go (`Overflow::DropOldest`)
//! ```
//!
//! Only its own thread writes a segment, without a lock; anyone may read at any time without stopping the
//! program. A log may be [backed](Backing): then its segments are parts of a file that is mapped, and what their records refer
//! to is defined before them.

pub(crate) mod evicted;
mod options;
pub(crate) mod record;
mod returned;
pub(crate) mod segment;
mod store;
pub(crate) mod tail;

pub(crate) use self::evicted::Evicted;
pub use self::options::{Clock, Overflow};
pub(crate) use self::record::{Birth, NewRecord, Record, WORDS, Words};
#[allow(unused_imports)] // the models have no backed log
pub(crate) use self::record::{STACK, THREAD};
#[allow(unused_imports)]
pub(crate) use self::segment::{AtomicWords, Segment};
#[allow(unused_imports)]
pub(crate) use self::store::{Backing, Subject};
pub(crate) use self::tail::{Room, Tails};

use self::returned::RETURNED;
use self::store::Store;
use super::clock;
use super::ledger::LEDGER;
use super::local::{self, Local};
use crate::event::{Event, Op, Time};
use crate::primitive::Mutex;
use crate::span::{self, Current};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

impl Clock {
    #[inline]
    pub(crate) fn now(self) -> u64 {
        match self {
            Self::Coarse => clock::now(),
            Self::Precise => Time::now().as_nanos(),
            Self::None => 0,
        }
    }
}

/// A log. Clones share it.
#[derive(Clone)]
pub(crate) struct Log {
    inner: Arc<Inner>,
}

struct Inner {
    id: u64,
    clock: Clock,
    store: Store,
    /// For threads that have no tails any more.
    late: Mutex<Late>,
}

struct Late(Tails);

// SAFETY: TAIL: whoever has the lock is the only one that writes.
unsafe impl Send for Late {}

impl Drop for Inner {
    fn drop(&mut self) {
        // What ended threads have of it.
        RETURNED.take_in();
    }
}

impl Drop for Late {
    fn drop(&mut self) {
        self.0.leave();
    }
}

impl Log {
    pub(crate) fn new(overflow: Overflow, bytes: usize, clock: Clock) -> Self {
        Self::with_store(Store::in_memory(overflow, bytes), clock)
    }

    /// A log whose segments are somewhere else.
    #[allow(dead_code)] // where files cannot be mapped, and in the models
    pub(crate) fn backed(backing: Box<dyn Backing>, clock: Clock) -> Self {
        Self::with_store(Store::Backed(backing), clock)
    }

    fn with_store(store: Store, clock: Clock) -> Self {
        static IDS: AtomicU64 = AtomicU64::new(1);
        RETURNED.take_in();
        Self {
            inner: Arc::new(Inner {
                id: IDS.fetch_add(1, Ordering::Relaxed),
                clock,
                store,
                late: Mutex::new(Late(Tails::locked())),
            }),
        }
    }

    /// The log's number. 0 is none.
    pub(crate) fn id(&self) -> u64 {
        self.inner.id
    }

    pub(crate) fn clock(&self) -> Clock {
        self.inner.clock
    }

    /// Whether what its records refer to is defined before them.
    pub(crate) fn is_backed(&self) -> bool {
        self.inner.store.backing().is_some()
    }

    /// How many events are not kept.
    pub(crate) fn lost(&self) -> u64 {
        self.inner.store.lost()
    }

    /// All segments, what is known from those that had to go, and how many events are not kept: of one moment.
    pub(crate) fn all(&self) -> (Vec<crate::primitive::Arc<Segment>>, Evicted, u64) {
        self.inner.store.all()
    }

    /// Writes an event that came to a sink.
    pub(crate) fn write(&self, event: &Event) {
        self.write_in(event, span::current());
    }

    /// The same for an event in this span.
    pub(super) fn write_in(&self, event: &Event, span: Current) {
        let path = |local: Option<&Local>| {
            event.location.map_or(0, |site| LEDGER.paths.of(local, 0, event.op, site))
        };
        local::enter(|local| match local {
            Some(local) => {
                let thread = local::thread(Some(local));
                self.write_to(&local.tails, event, path(Some(local)), thread, span);
            }
            // A signal's handler that interrupted the runtime: what is to be written to may be locked, and so may the
            // allocator. (Or an allocator that uses traced pointers, within the runtime.)
            None if !local::may_wait() => self.inner.store.lose(),
            None => {
                let (path, thread) = (path(None), local::thread(None));
                let late = self.inner.late.lock();
                // Another thread may have written there last.
                late.0.leave();
                self.write_to(&late.0, event, path, thread, span);
            }
        });
    }

    fn write_to(&self, tails: &Tails, event: &Event, path: u32, thread: u32, span: Current) {
        let made = event.handle == event.seq;
        let birth = event.seq == 1;
        if !tails.has_room(self, 1 + usize::from(birth || event.stack != 0), thread) {
            return;
        }
        let time = if event.op == Op::Label {
            event.object.label.0.into()
        } else {
            self.inner.clock.now()
        };
        let record = NewRecord {
            op: event.op,
            state: event.seq << 24 | u64::from(event.strong),
            handle: if made { event.from } else { event.handle },
            object: event.object.id.0,
            path,
            span: span.number(),
            time,
        };
        if birth {
            let from_object = if event.from == 0 { 0 } else { event.from_object.0 };
            let (ty, size) = (event.object.ty, event.object.size);
            tails.write_birth(&record, &Birth { ty, size, from_object, stack: event.stack });
        } else if event.stack != 0 {
            tails.write_on_stack(&record, event.stack);
        } else {
            tails.write(&record);
        }
    }
}

impl std::fmt::Debug for Log {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Log")
            .field("clock", &self.inner.clock)
            .field("lost", &self.lost())
            .finish_non_exhaustive()
    }
}
