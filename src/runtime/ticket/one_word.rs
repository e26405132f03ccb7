//! The ticket that stands for std's pointer, in its place: see [`repr`](crate::repr).
//!
//! ```text
//!  1 | 0 | generation:14 | address of the place:42 | 0:6     the place has std's pointer
//!  1 | 1 | number:14     | std's pointer:48                  of a handle that came from a raw pointer
//! ```
//!
//! std's pointer is neither: its highest bit is 0, or all are 1 in a `Weak` of no object.

use super::{NonNull, Place};
use std::num::NonZero;

const MARK: NonZero<usize> = NonZero::new(1 << 63).unwrap();
const RETURNED: usize = 1 << 62;
const SHIFT: u32 = 48;
const NUMBER: usize = (1 << 14) - 1;
const ADDRESS: usize = (1 << SHIFT) - 1;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Word(NonNull<Place>);

impl Word {
    #[inline]
    pub(super) fn new(place: &'static Place, generation: u32) -> Self {
        // The lowest bit of a generation in use is 1.
        let generation = (generation >> 1) as usize & NUMBER;
        let mark = MARK | generation << SHIFT;
        Self(NonNull::from(place).map_addr(|address| address | mark))
    }

    pub(super) fn new_returned(_: &'static Place, _: u32, number: u64, std: usize) -> Self {
        // Not all bits, which would be a `Weak` of no object.
        let number = (number % NUMBER as u64) as usize;
        Self(NonNull::without_provenance(MARK | RETURNED | number << SHIFT | std & ADDRESS))
    }

    #[inline]
    pub(super) fn is_returned(self) -> bool {
        self.0.addr().get() & RETURNED != 0
    }

    #[inline]
    pub(super) fn place(self) -> *const Place {
        debug_assert!(!self.is_returned(), "PLACE: {self:?} has none");
        self.0.as_ptr().cast_const().map_addr(|address| address & ADDRESS)
    }

    pub(super) fn bits(self) -> u64 {
        self.0.addr().get() as u64
    }
}

/// std's pointer, to be noted in a handle's place.
#[derive(Clone, Copy)]
pub(crate) struct StdWord(pub(crate) *mut ());

impl StdWord {
    /// That of a handle whose pointer is noted when its parts are put together.
    pub(crate) const LATER: Self = Self(std::ptr::null_mut());

    #[inline(always)]
    pub(crate) fn note(self, place: &Place) {
        place.set_std(self.0);
    }
}

/// What only this form of a ticket can: to stand for std's pointer.
impl super::Ticket {
    /// Whether what stands for std's pointer is a ticket.
    #[inline]
    pub(crate) fn is_in(word: *mut ()) -> bool {
        // Signed: the highest bit is the mark, and -1 a `Weak` of no object.
        (word.addr() as isize) < -1
    }

    /// The ticket that stands for std's pointer.
    #[inline]
    pub(crate) fn of(word: *mut ()) -> Option<Self> {
        let word = NonNull::new(word).filter(|word| Self::is_in(word.as_ptr()))?;
        Some(Self(Word(word.cast())))
    }

    /// Whether a ticket can have std's pointer in it: not if a program tags its pointers.
    pub(crate) fn fits(std: usize) -> bool {
        std & !ADDRESS == 0
    }

    /// Notes std's pointer, and returns what is to stand for it.
    #[inline]
    pub(crate) fn replace(self, std: *mut ()) -> *mut () {
        if self.is_returned() {
            // With what the pointer may be used for.
            return std.map_addr(|_| self.0.0.addr().get());
        }
        self.place().set_std(std);
        self.0.0.as_ptr().cast()
    }

    /// What stands for std's pointer, where the place has that: of a handle that was made from another one.
    #[inline]
    pub(crate) fn stands_for_noted(self) -> *mut () {
        debug_assert!(!self.is_returned(), "PLACE: {self:?} has none");
        self.0.0.as_ptr().cast()
    }

    /// std's pointer.
    #[inline]
    pub(crate) fn std(&self) -> *mut () {
        if self.is_returned() {
            return self.0.0.as_ptr().cast::<()>().map_addr(|word| word & ADDRESS);
        }
        self.place().std()
    }

    /// Where std's pointer stands, for as long as the handle does. `None`: nowhere.
    #[inline]
    pub(crate) fn memory(&self) -> Option<*const *mut ()> {
        (!self.is_returned()).then(|| self.place().std_memory())
    }
}
