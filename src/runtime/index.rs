//! Numbers by the hash of what they stand for, in memory of the system's: it grows where the program's allocator may not be
//! called.

use crate::primitive::{FIRST_CHUNK, free_slots, zeroed_slots};
use std::ptr::NonNull;

/// A table with open addressing, of which half is empty at least. It knows the hashes of its numbers; what they stand for is
/// known to who asks.
///
/// ```text
///  slot   hash:40 | number:24     0: free
/// ```
///
/// # Invariants
///
/// * **INDEX**: `slots` are `capacity` words, a power of two, or 0; all were written, by zeros at first.
pub(super) struct Index {
    slots: NonNull<u64>,
    capacity: usize,
    len: usize,
}

// SAFETY: INDEX: the slots are the table's own.
unsafe impl Send for Index {}

const NUMBER_BITS: u32 = 24;
/// Slots of the first memory.
const FIRST: usize = FIRST_CHUNK / 2;

impl Index {
    /// The largest number.
    pub(super) const MOST: u32 = (1 << NUMBER_BITS) - 1;

    pub(super) const fn new() -> Self {
        Self { slots: NonNull::dangling(), capacity: 0, len: 0 }
    }

    fn slots(&self) -> &[u64] {
        // SAFETY: INDEX: so many were written.
        unsafe { std::slice::from_raw_parts(self.slots.as_ptr(), self.capacity) }
    }

    fn slots_mut(&mut self) -> &mut [u64] {
        // SAFETY: INDEX: as above, and they are the table's own.
        unsafe { std::slice::from_raw_parts_mut(self.slots.as_ptr(), self.capacity) }
    }

    /// Where numbers of a hash may be: from where it points on, round the end.
    fn probe(&self, hash: u64) -> impl Iterator<Item = usize> + use<> {
        let (first, capacity) = ((hash >> NUMBER_BITS) as usize, self.capacity);
        (0..capacity).map(move |step| first.wrapping_add(step) & (capacity - 1))
    }

    /// The number of this hash that `is` what is looked for.
    pub(super) fn find(&self, hash: u64, is: impl Fn(u32) -> bool) -> Option<u32> {
        let all = self.probe(hash).map(|at| self.slots()[at]).take_while(|&slot| slot != 0);
        let same = all.filter(|slot| slot >> NUMBER_BITS == hash >> NUMBER_BITS);
        same.map(|slot| slot as u32 & Self::MOST).find(|&number| is(number))
    }

    /// Makes room for one more. False where there is no memory.
    pub(super) fn reserve(&mut self) -> bool {
        if 2 * (self.len + 1) <= self.capacity {
            return true;
        }
        let capacity = (2 * self.capacity).max(FIRST);
        let Some(slots) = zeroed_slots::<u64>(capacity, || 0) else { return false };
        let mut grown = Self { slots, capacity, len: 0 };
        for &slot in self.slots().iter().filter(|slot| **slot != 0) {
            grown.insert(slot, slot as u32 & Self::MOST);
        }
        *self = grown;
        true
    }

    /// Adds a number, from 1 to [`MOST`](Self::MOST), for which there is [room](Self::reserve).
    pub(super) fn insert(&mut self, hash: u64, number: u32) {
        debug_assert!((1..=Self::MOST).contains(&number) && 2 * self.len < self.capacity);
        let free = self.probe(hash).find(|&at| self.slots()[at] == 0);
        if let Some(at) = free {
            self.slots_mut()[at] = hash & !u64::from(Self::MOST) | u64::from(number);
            self.len += 1;
        }
    }
}

impl Drop for Index {
    fn drop(&mut self) {
        if self.capacity > 0 {
            // SAFETY: LAYOUT: so many were allocated, and the table has them alone.
            unsafe { free_slots(self.slots, self.capacity) };
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{FIRST, Index};

    /// What numbers stand for here: themselves, by a hash that has few values, or many.
    fn finds_each(hash: impl Fn(u32) -> u64) {
        let mut index = Index::new();
        let most = 10 * FIRST as u32;
        for number in 1..=most {
            assert_eq!(index.find(hash(number), |known| known == number), None);
            assert!(index.reserve());
            index.insert(hash(number), number);
        }
        for number in 1..=most {
            assert_eq!(index.find(hash(number), |known| known == number), Some(number));
        }
        assert_eq!(index.find(hash(1), |_| false), None);
    }

    #[test]
    fn by_good_hashes() {
        finds_each(|number| u64::from(number).wrapping_mul(0x9e37_79b9_7f4a_7c15));
    }

    #[test]
    fn by_hashes_that_are_the_same() {
        finds_each(|number| u64::from(number % 7) << 60 | 0xff_ffff);
    }

    #[test]
    fn the_largest_number() {
        let mut index = Index::new();
        assert!(index.reserve());
        index.insert(u64::MAX, Index::MOST);
        assert_eq!(index.find(u64::MAX, |_| true), Some(Index::MOST));
    }
}
