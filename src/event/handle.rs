use super::{ObjectId, Op, Site, Thread, Time};
use std::fmt;

/// Whether a handle keeps the value alive.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Strength {
    /// `Box`, `Rc`, `Arc`: it keeps the value alive.
    Strong,
    /// `Weak`: it keeps the memory, but not the value.
    Weak,
}

impl fmt::Display for Strength {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Strong => "strong",
            Self::Weak => "weak",
        })
    }
}

/// Which handle: the object, and the place in its history at which the handle was made.
///
/// Prints as `#7.3`: the handle that the third event of object 7 made. Never used twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct HandleId {
    object: ObjectId,
    number: u64,
}

impl HandleId {
    #[inline]
    pub(crate) const fn new(object: ObjectId, number: u64) -> Self {
        Self { object, number }
    }

    /// The object that the handle points to.
    #[inline]
    pub const fn object(self) -> ObjectId {
        self.object
    }

    /// The handle's number within its object: the place of the event that made it, counted from 1.
    #[inline]
    pub const fn number(self) -> u64 {
        self.number
    }
}

impl fmt::Display for HandleId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.object, self.number)
    }
}

/// A handle's certificate of birth: who made it, from what, where, when.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Handle {
    /// Which handle.
    pub id: HandleId,
    /// The event that made it.
    pub op: Op,
    /// Strong or weak.
    pub strength: Strength,
    /// The handle that it was made from.
    pub from: Option<HandleId>,
    /// The line that made it. (Where it is *stored* now, no event can tell: Rust moves values unseen.)
    pub site: Option<Site>,
    /// The thread that made it.
    pub thread: Thread,
    /// When it was made.
    pub born: Time,
    /// It left as a raw pointer (or was leaked) and has not come back.
    pub raw: bool,
    /// How it came about, from the object's birth on: an index into its keeper's paths.
    pub(crate) path: u32,
    /// The span in which it was made: an index into the table of spans, 0 for none.
    pub(crate) span: u32,
}

// What a live set's documentation says of its memory: 96 bytes, with a quarter of room to grow.
const _: () = assert!(size_of::<Handle>() * 5 / 4 <= 96);
