//! The ticket where a pointer has no bits to spare: the mark and the generation stand beside the place.

use super::{NonNull, Place};

const RETURNED: usize = 1;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Word(NonNull<Place>, u32);

impl Word {
    pub(super) fn new(place: &'static Place, generation: u32) -> Self {
        Self(NonNull::from(place), 1 << 31 | generation >> 1)
    }

    pub(super) fn new_returned(place: &'static Place, generation: u32, _: u64, _: usize) -> Self {
        let Self(place, generation) = Self::new(place, generation);
        Self(place.map_addr(|address| address | RETURNED), generation)
    }

    pub(super) fn is_returned(self) -> bool {
        self.0.addr().get() & RETURNED != 0
    }

    pub(super) fn place(self) -> *const Place {
        self.0.as_ptr().cast_const().map_addr(|address| address & !63)
    }

    pub(super) fn bits(self) -> u64 {
        u64::from(self.1) << 32 | self.0.addr().get() as u64
    }
}
