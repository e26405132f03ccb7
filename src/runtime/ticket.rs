//! The word by which a handle is known.

use super::entry::{Entry, Place, scrambled};
use std::ptr::NonNull;

#[cfg_attr(refscope_thin, path = "ticket/one_word.rs")]
#[cfg_attr(all(not(refscope_thin), target_pointer_width = "64"), path = "ticket/beside.rs")]
#[cfg_attr(not(target_pointer_width = "64"), path = "ticket/small.rs")]
mod word;

#[cfg(refscope_thin)]
pub(crate) use word::StdWord;
use word::Word;

/// What identifies a traced handle: a pointer to its place, marked as such, with the generation of the place.
///
/// No address that a program can have looks so, and an ended handle's stale copy is distinguished from the place's next handle
/// by the generation. The ticket of a handle that came from a raw pointer, which pins nothing, is marked as `returned`: see
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

impl Ticket {
    #[inline]
    pub(crate) fn new(place: &'static Place, generation: u32) -> Self {
        Self(Word::new(place, generation))
    }

    /// The ticket of a handle that came from a raw pointer: the one with this number, of `std`, std's pointer. (It is one
    /// by its place's generation, or by its number.)
    pub(crate) fn new_returned(
        place: &'static Place,
        generation: u32,
        number: u64,
        std: usize,
    ) -> Self {
        Self(Word::new_returned(place, generation, number, std))
    }

    /// Whether the handle came from a raw pointer: then the ticket alone pins nothing.
    #[inline]
    pub(crate) fn is_returned(&self) -> bool {
        self.0.is_returned()
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

    /// Whether a ticket of a handle that came from a raw pointer can say so.
    #[cfg(not(refscope_thin))]
    pub(crate) fn fits(_: usize) -> bool {
        true
    }

    /// The word that stands in memory, [`scrambled`], as all tables have it: a copy in one would look like a handle.
    pub(crate) fn word(&self) -> u64 {
        scrambled(self.0.bits())
    }
}

/// std's pointer, to be noted in a handle's place: nothing where it stands beside the ticket.
#[cfg(not(refscope_thin))]
#[derive(Clone, Copy)]
pub(crate) struct StdWord;

#[cfg(not(refscope_thin))]
impl StdWord {
    /// That of a handle whose pointer is noted when its parts are put together.
    pub(crate) const LATER: Self = Self;

    #[inline(always)]
    pub(crate) fn note(self, _: &Place) {}
}

/// The word of the handle that has a place, [`scrambled`], but for the lowest bits.
pub(crate) fn word(place: &'static Place, generation: u32) -> u64 {
    scrambled(Word::new(place, generation).bits())
}
