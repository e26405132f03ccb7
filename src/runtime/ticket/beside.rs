//! The ticket that stands beside std's pointer.
//!
//! ```text
//!  1 | generation:15 | address of the place:42 | 0:5 | returned:1
//! ```

use super::{NonNull, Place};

const MARK: usize = 1 << 63;
const GENERATION_SHIFT: u32 = 48;
const GENERATION_MASK: usize = (1 << 15) - 1;
const ADDRESS: usize = (1 << GENERATION_SHIFT) - 64;
const RETURNED: usize = 1;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Word(NonNull<Place>);

impl Word {
    #[inline]
    pub(super) fn new(place: &'static Place, generation: u32) -> Self {
        // The lowest bit of a generation in use is 1.
        let generation = (generation >> 1) as usize & GENERATION_MASK;
        let mark = MARK | generation << GENERATION_SHIFT;
        Self(NonNull::from(place).map_addr(|address| address | mark))
    }

    pub(super) fn new_returned(place: &'static Place, generation: u32, _: u64, _: usize) -> Self {
        Self(Self::new(place, generation).0.map_addr(|address| address | RETURNED))
    }

    #[inline]
    pub(super) fn is_returned(self) -> bool {
        self.0.addr().get() & RETURNED != 0
    }

    #[inline]
    pub(super) fn place(self) -> *const Place {
        self.0.as_ptr().cast_const().map_addr(|address| address & ADDRESS)
    }

    pub(super) fn bits(self) -> u64 {
        self.0.addr().get() as u64
    }
}
