//! The word by which a handle is known.

use super::entry::{Entry, Place};
use std::ptr::NonNull;

/// What identifies a traced handle: a pointer to its place, marked as such, with the generation of the place.
///
/// ```text
///  1 | generation:15 | address of the place:42 | 0:5 | returned:1
/// ```
///
/// No address that a program can have looks so, and an ended handle's stale copy is distinguished from the place's next handle
/// by the generation. `returned` marks the ticket of a handle that came from a raw pointer, which pins nothing: see
/// [`raw`](super::raw).
///
/// Only the ledger makes tickets, and only by its operations do they end, so that holding one is
/// the proof that PINNED asks for. Dropping one without such an operation leaves its entry open
/// for good, which is what `mem::forget` of a handle means.
#[derive(Debug, PartialEq, Eq)]
#[must_use]
pub(crate) struct Ticket(Word);

// SAFETY: PLACES: a ticket is a reference to a place, all of whose fields are atomics.
unsafe impl Send for Ticket {}
// SAFETY: PLACES: as above.
unsafe impl Sync for Ticket {}

const RETURNED: usize = 1;

impl Ticket {
    #[inline]
    pub(crate) fn new(place: &'static Place, generation: u32) -> Self {
        Self(Word::new(place, generation, 0))
    }

    /// The ticket of a handle that came from a raw pointer.
    pub(crate) fn new_returned(place: &'static Place, generation: u32) -> Self {
        Self(Word::new(place, generation, RETURNED))
    }

    /// Whether the handle came from a raw pointer: then the ticket alone pins nothing.
    #[inline]
    pub(crate) fn is_returned(&self) -> bool {
        self.0.low() & RETURNED != 0
    }

    /// The handle's place.
    #[inline]
    pub(crate) fn place(&self) -> &'static Place {
        // SAFETY: FOREVER: the place is a slot of the ledger's, which is not freed.
        unsafe { &*self.0.place() }
    }

    /// The entry of the handle's object.
    #[inline]
    pub(crate) fn entry(&self) -> &Entry {
        debug_assert!(!self.is_returned(), "PINNED: {self:?} pins nothing");
        // SAFETY: FOREVER: the place of a handle was filled with a slot of the ledger's. (That the entry is still the
        // object's is PINNED, and no matter of memory.)
        unsafe { &*self.place().entry() }
    }

    /// The word that stands in memory.
    pub(crate) fn word(&self) -> u64 {
        self.0.bits()
    }
}

/// The word of the handle that has a place, as it stands in memory, but for the lowest bits.
pub(crate) fn word(place: &'static Place, generation: u32) -> u64 {
    Word::new(place, generation, 0).bits()
}

#[cfg(target_pointer_width = "64")]
mod repr {
    use super::{NonNull, Place};

    const MARK: usize = 1 << 63;
    const GENERATION_SHIFT: u32 = 48;
    const GENERATION_MASK: usize = (1 << 15) - 1;
    const ADDRESS: usize = (1 << GENERATION_SHIFT) - 64;

    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub(super) struct Word(NonNull<Place>);

    impl Word {
        #[inline]
        pub(super) fn new(place: &'static Place, generation: u32, low: usize) -> Self {
            // The lowest bit of a generation in use is 1.
            let generation = (generation >> 1) as usize & GENERATION_MASK;
            let mark = MARK | generation << GENERATION_SHIFT | low;
            Self(NonNull::from(place).map_addr(|address| address | mark))
        }

        #[inline]
        pub(super) fn low(self) -> usize {
            self.0.addr().get() & 63
        }

        #[inline]
        pub(super) fn place(self) -> *const Place {
            self.0.as_ptr().cast_const().map_addr(|address| address & ADDRESS)
        }

        pub(super) fn bits(self) -> u64 {
            self.0.addr().get() as u64
        }
    }
}

/// Where a pointer has no bits to spare, the mark and the generation stand beside it.
#[cfg(not(target_pointer_width = "64"))]
mod repr {
    use super::{NonNull, Place};

    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub(super) struct Word(NonNull<Place>, u32);

    impl Word {
        pub(super) fn new(place: &'static Place, generation: u32, low: usize) -> Self {
            let place = NonNull::from(place).map_addr(|address| address | low);
            Self(place, 1 << 31 | generation >> 1)
        }

        pub(super) fn low(self) -> usize {
            self.0.addr().get() & 63
        }

        pub(super) fn place(self) -> *const Place {
            self.0.as_ptr().cast_const().map_addr(|address| address & !63)
        }

        pub(super) fn bits(self) -> u64 {
            u64::from(self.1) << 32 | self.0.addr().get() as u64
        }
    }
}

use repr::Word;
