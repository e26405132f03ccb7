//! The blocks of queues, of which each slot says whether a message is in it or was taken out: of std's channels, of crossbeam's, and
//! of the queue in which rayon's jobs wait.
//!
//! ```text
//!  a block │ the next one's address, 31 or 63 slots, the larger power of two first │
//!  a slot  │ message │ state │
//! ```

use super::blocks::Blocks;
use super::memory::Memory;

/// Words of a slot: in longer ones nobody looks.
const LARGEST: usize = 64;

/// A message is in the slot.
const WRITTEN: u64 = 1;
/// It was taken out.
const READ: u64 = 2;
/// All bits of a state.
const STATE: u64 = 7;

/// Where the slots are in a block of a queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Slots {
    count: usize,
    /// Words of each.
    each: usize,
}

impl Slots {
    /// Of a block of so many words, which the allocator may have rounded up by one.
    fn new(words: usize) -> Option<Self> {
        // std's and crossbeam's channels, and crossbeam's injector.
        [31, 63].into_iter().find_map(|count| {
            let each = words.saturating_sub(1) / count;
            let fits = (2..=LARGEST).contains(&each) && words - 1 - each * count <= 1;
            fits.then_some(Self { count, each })
        })
    }

    /// The word that the first slot begins at: of two fields the compiler puts the one first whose size has the higher power of two
    /// as a factor, else that which is declared first, which is the address.
    fn first(self) -> usize {
        usize::from(!self.each.is_multiple_of(2))
    }

    /// The word that has the next block's address.
    fn next(self) -> usize {
        if self.first() == 0 { self.count * self.each } else { 0 }
    }

    /// The word that a slot's state is.
    fn state(self, slot: usize) -> usize {
        self.first() + self.each * (slot + 1) - 1
    }

    /// The slots that say that their messages were taken out, a bit each. `None`: some say nothing, or none was ever in use.
    fn taken(self, block: &[u64]) -> Option<u64> {
        let states = || (0..self.count).map(|slot| block[self.state(slot)]);
        if states().any(|state| state & !STATE != 0) || states().all(|state| state & WRITTEN == 0) {
            return None;
        }
        let taken = states().map(|state| u64::from(state & (WRITTEN | READ) == WRITTEN | READ));
        Some(taken.zip(0..).fold(0, |all, (taken, slot)| all | taken << slot))
    }
}

/// The slots of a queue's block whose messages were taken out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct TakenSlots {
    slots: Slots,
    /// A bit each.
    taken: u64,
}

impl TakenSlots {
    /// Of a block. `None`: it does not look like a queue's, or nothing was ever put into it; or it is the buffer of a `Vec` with as much
    /// capacity, for all that `is_buffer_of` knows.
    pub(super) fn read(
        memory: &impl Memory,
        blocks: &Blocks,
        block: u32,
        is_buffer_of: impl Fn(u64) -> bool,
    ) -> Option<Self> {
        let words = blocks.words[block as usize] as usize;
        let slots = Slots::new(words)?;
        let mut copied = vec![0; words];
        if memory.read(blocks.start[block as usize], &mut copied) < words {
            return None;
        }
        let taken = slots.taken(&copied)?;
        let next = copied[slots.next()];
        let is_next = |block: usize| blocks.words[block] as usize == words;
        let has_next = blocks.start.binary_search(&next).is_ok_and(is_next);
        let is_last = next == 0 && !is_buffer_of(slots.count as u64);
        (has_next || is_last).then_some(Self { slots, taken })
    }

    /// Whether an offset of the block is in one of them.
    pub(super) fn has(&self, offset: u64) -> bool {
        let word = (offset / 8) as usize;
        let slot = word.checked_sub(self.slots.first()).map(|at| at / self.slots.each);
        slot.is_some_and(|slot| slot < self.slots.count && self.taken >> slot & 1 == 1)
    }
}

#[cfg(test)]
mod tests {
    use super::super::memory::ProcessMemory;
    use super::*;
    use std::mem::{MaybeUninit, offset_of};
    use std::sync::atomic::{AtomicPtr, AtomicUsize};

    /// As std and crossbeam have it.
    struct Block<T, const SLOTS: usize> {
        next: AtomicPtr<Block<T, SLOTS>>,
        slots: [Slot<T>; SLOTS],
    }

    struct Slot<T> {
        #[expect(dead_code, reason = "its size matters")]
        msg: std::cell::UnsafeCell<MaybeUninit<T>>,
        state: AtomicUsize,
    }

    #[test]
    fn the_compiler_orders_the_fields_so() {
        fn check<T, const SLOTS: usize>() {
            let slots = Slots::new(size_of::<Block<T, SLOTS>>() / 8).unwrap();
            assert_eq!(slots, Slots { count: SLOTS, each: size_of::<Slot<T>>() / 8 });
            assert_eq!(8 * slots.first(), offset_of!(Block<T, SLOTS>, slots));
            assert_eq!(8 * slots.next(), offset_of!(Block<T, SLOTS>, next));
            let state = offset_of!(Block<T, SLOTS>, slots) + offset_of!(Slot<T>, state);
            assert_eq!(8 * slots.state(0), state);
        }
        check::<u64, 31>();
        check::<[u64; 2], 31>();
        check::<Vec<u8>, 31>();
        check::<[u64; 4], 31>();
        check::<[u64; 7], 31>();
        check::<[u64; 2], 63>();
        check::<Vec<u8>, 63>();
    }

    #[test]
    fn what_was_taken_out_of_a_queue_is_recognised() {
        for (count, message, rounded) in [(31, 2, 0), (31, 3, 1), (63, 2, 0), (63, 7, 1)] {
            let slots = Slots { count, each: message + 1 };
            let words = 1 + count * slots.each + rounded;
            assert_eq!(Slots::new(words), Some(slots));
            let mut block = vec![0; words];
            assert_eq!(slots.taken(&block), None, "it may be anything");
            block[slots.state(1)] = 1;
            assert_eq!(slots.taken(&block), Some(0));
            // Three were sent, and two of them received.
            (block[slots.state(0)], block[slots.state(2)]) = (3, 7);
            block[slots.state(1) - 1] = u64::MAX;
            assert_eq!(slots.taken(&block), Some(0b101));
            block[slots.state(3)] = 8;
            assert_eq!(slots.taken(&block), None, "no state is so great");
        }
        assert_eq!([90, 1 + 31 * 1000, 0].map(Slots::new), [None; 3], "no queue has such blocks");
    }

    #[test]
    fn what_comes_next_is_a_block_as_well() {
        let memory = ProcessMemory::of(std::process::id() as _);
        let slots = Slots { count: 31, each: 3 };
        let mut block = vec![0_u64; 94];
        (block[slots.state(0)], block[slots.state(1)]) = (3, 1);
        let other = vec![0_u64; 94];
        let mut blocks = Blocks::default();
        let start = |block: &Vec<u64>| block.as_ptr().addr() as u64;
        blocks.push(start(&block), 94);
        blocks.push(start(&other), 94);
        blocks.sort();
        let at = blocks.start.binary_search(&start(&block)).unwrap() as u32;
        let read = |is_buffer| TakenSlots::read(&memory, &blocks, at, |_| is_buffer);
        let taken = read(false).expect("it is one");
        let first = slots.first() as u64;
        let has = [first, first + 1, first + 3, first + 4].map(|word| taken.has(8 * word));
        assert_eq!(has, [true, true, false, false]);
        assert_eq!(read(true), None, "a `Vec` of 31");
        block[slots.next()] = start(&other);
        std::hint::black_box(&mut block);
        assert_eq!(read(true), Some(taken), "whose index is 31, by chance");
        block[slots.next()] = 0x1234;
        std::hint::black_box(&mut block);
        assert_eq!(read(false), None);
    }
}
