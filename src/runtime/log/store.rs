//! Where a log's segments come from: memory, or somebody who keeps them elsewhere.

use super::evicted::Evicted;
use super::options::Overflow;
use super::segment::{MemoryStore, Segment};
use crate::event::Type;
use crate::primitive::Arc;

/// Keeps a log's segments where they outlive the process, and there what records refer to.
///
/// Its methods run on the threads that write, while their state is in use: they run no code but the runtime's, and wait for
/// no more than each other.
pub(crate) trait Backing: Send + Sync {
    /// A segment with room for a thread that leaves `before`. `None` where there is none: then the event is lost.
    fn extend(&self, before: Option<&Arc<Segment>>) -> Option<Arc<Segment>>;

    /// A thread leaves a segment for good.
    fn leave(&self, segment: &Arc<Segment>);

    /// Counts an event that is not kept.
    fn lose(&self);

    /// How many events are not kept.
    fn lost(&self) -> u64;

    /// Keeps what a record that is about to be written refers to. False where it cannot: then the event is lost.
    fn define(&self, subject: Subject) -> bool;

    /// Keeps all paths that there are, and returns the number of the first one that is not.
    fn define_paths(&self) -> Option<u32>;
}

/// What a record refers to by number.
#[derive(Clone, Copy)]
pub(crate) enum Subject {
    Type(&'static Type),
    Label(u32),
    Thread(u32),
    Span(u32),
    Stack(u32),
}

/// A log's segments.
pub(super) enum Store {
    Memory(MemoryStore),
    Backed(Box<dyn Backing>),
}

impl Store {
    pub(super) fn in_memory(overflow: Overflow, bytes: usize) -> Self {
        Self::Memory(MemoryStore::new(overflow, bytes))
    }

    pub(super) fn backing(&self) -> Option<&dyn Backing> {
        match self {
            Self::Memory(_) => None,
            Self::Backed(backing) => Some(&**backing),
        }
    }

    /// A segment with room for a thread that leaves `before`. `None` where there is none.
    pub(super) fn extend(&self, before: Option<&Arc<Segment>>) -> Option<Arc<Segment>> {
        match self {
            Self::Memory(memory) => memory.extend(before),
            Self::Backed(backing) => backing.extend(before),
        }
    }

    /// A thread leaves a segment for good. One with room is for another thread to go on in.
    pub(super) fn leave(&self, segment: &Arc<Segment>) {
        match self {
            Self::Memory(memory) => memory.leave(segment),
            Self::Backed(backing) => backing.leave(segment),
        }
    }

    /// An event found no room.
    #[cold]
    pub(super) fn lose(&self) {
        match self {
            Self::Memory(memory) => memory.lose(),
            Self::Backed(backing) => backing.lose(),
        }
    }

    /// How many events are not kept.
    pub(super) fn lost(&self) -> u64 {
        match self {
            Self::Memory(memory) => memory.lost(),
            Self::Backed(backing) => backing.lost(),
        }
    }

    /// All segments in memory, and what is known from those that had to go: of one moment.
    pub(super) fn all(&self) -> (Vec<Arc<Segment>>, Evicted, u64) {
        match self {
            Self::Memory(memory) => memory.all(),
            Self::Backed(backing) => (Vec::new(), Evicted::default(), backing.lost()),
        }
    }
}
