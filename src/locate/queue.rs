//! The blocks of queues, of which each slot says whether a message is in it or was taken out: of std's channels, of crossbeam's, and
//! of the queue in which rayon's jobs wait.
//!
//! ```text
//!  a block │ the next one's address, 31 or 63 slots, the larger power of two first │
//!  a slot  │ message │ state │
//!
//!  of a bounded one      │ slots, as many as it has room for │
//!  a slot                │ stamp, message, the larger power of two first │
//! ```
//!
//! The stamp of a slot is its number where a message may be put, and one more where there is one; above these bits it has the number of
//! the lap (Dmitry Vyukov's bounded queue).

use super::blocks::{ADDED, Blocks};
use super::memory::Memory;

/// Words of a slot: in longer ones nobody looks.
const LARGEST: usize = 64;
/// Words of a block.
const MOST: usize = 1 << 16;

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
    /// All that a block of so many words may have, to which the allocator may have added some.
    fn all(words: usize) -> impl Iterator<Item = Self> {
        // std's and crossbeam's channels, and crossbeam's injector.
        let of = move |count| Self { count, each: words.saturating_sub(1) / count };
        [31, 63].map(of).into_iter().filter(move |&Self { count, each }| {
            (2..=LARGEST).contains(&each) && words - 1 - each * count <= ADDED as usize / 8
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

    /// The slots that say that their messages were taken out. `None`: some say nothing, or none was ever in use.
    fn taken(self, block: &[u64]) -> Option<Vec<bool>> {
        let states = || (0..self.count).map(|slot| block[self.state(slot)]);
        if states().any(|state| state & !STATE != 0) || states().all(|state| state & WRITTEN == 0) {
            return None;
        }
        Some(states().map(|state| state & (WRITTEN | READ) == WRITTEN | READ).collect())
    }
}

/// Room of a bounded queue, at least: of fewer slots the stamps may be anything.
const ROOM: usize = 4;

/// The slots of a bounded queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Stamped {
    count: usize,
    /// Words of each.
    each: usize,
}

impl Stamped {
    /// The word that a slot's stamp is: of messages of the same power of two it comes first, as declared.
    fn stamp(self, slot: usize) -> usize {
        let within = if self.each.is_multiple_of(2) { 0 } else { self.each - 1 };
        self.each * slot + within
    }

    /// The slots whose messages were taken out, or that had none. `None`: the stamps are no such, or none was ever in use.
    fn taken(self, block: &[u64]) -> Option<Vec<bool>> {
        let bits = (self.count + 1).next_power_of_two().trailing_zeros();
        let stamp = |slot: usize| block[self.stamp(slot)];
        let state = |slot: usize| (stamp(slot) & ((1 << bits) - 1)).checked_sub(slot as u64);
        let lap = |slot: usize| stamp(slot) >> bits;
        // What was put goes round: behind the last of a lap come those of the one before.
        let (first, last) = (lap(0), lap(self.count - 1));
        let step = first.checked_sub(last).filter(|step| *step <= 2)?;
        let mut taken = Vec::new();
        for slot in 0..self.count {
            let is_full = match state(slot)? {
                0 => false,
                1 => true,
                _ => return None,
            };
            if ![first, last].contains(&lap(slot)) || slot > 0 && lap(slot) > lap(slot - 1) {
                return None;
            }
            taken.push(!is_full);
        }
        (first > 0 || step > 0 || taken.contains(&false)).then_some(taken)
    }
}

/// The slots of a queue's block whose messages were taken out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct TakenSlots {
    /// The word that the first begins at.
    first: usize,
    /// Words of each.
    each: usize,
    taken: Vec<bool>,
}

impl TakenSlots {
    /// Of a block that is linked to the next one. `None`: it does not look so, or nothing was ever put into it; or it is the buffer of
    /// a `Vec` with as much capacity, for all that `is_buffer_of` knows.
    pub(super) fn linked(
        memory: &impl Memory,
        blocks: &Blocks,
        block: u32,
        is_buffer_of: impl Fn(u64) -> bool,
    ) -> Option<Self> {
        let slots = || Slots::all(blocks.words[block as usize] as usize);
        slots().next()?;
        let words = words_of(memory, blocks, block)?;
        let is_alike = |block: usize| blocks.words[block] as usize == words.len();
        slots().find_map(|slots| {
            let taken = slots.taken(&words)?;
            let next = words[slots.next()];
            let has_next = blocks.start.binary_search(&next).is_ok_and(is_alike);
            let is_one = has_next || next == 0 && !is_buffer_of(slots.count as u64);
            is_one.then_some(Self { first: slots.first(), each: slots.each, taken })
        })
    }

    /// Of a block that has so many slots, a bounded queue's. `None`: it does not look so, or nothing was ever put into it; or one of
    /// some words would be a stamp that is none.
    pub(super) fn bounded(
        memory: &impl Memory,
        blocks: &Blocks,
        (block, count): (u32, u64),
        others: &[u64],
    ) -> Option<Self> {
        let words = blocks.words[block as usize] as usize;
        let count = usize::try_from(count).ok().filter(|count| (ROOM..=words).contains(count))?;
        let each = words / count;
        if !(2..=LARGEST).contains(&each) || words - each * count > ADDED as usize / 8 {
            return None;
        }
        let slots = Stamped { count, each };
        if others.iter().any(|&word| word as usize % each == slots.stamp(0)) {
            return None;
        }
        let taken = slots.taken(&words_of(memory, blocks, block)?)?;
        Some(Self { first: 0, each, taken })
    }

    /// Whether an offset of the block is in one of them.
    pub(super) fn has(&self, offset: u64) -> bool {
        let word = ((offset / 8) as usize).checked_sub(self.first);
        word.and_then(|word| self.taken.get(word / self.each)).is_some_and(|&taken| taken)
    }
}

/// The words of a block.
fn words_of(memory: &impl Memory, blocks: &Blocks, block: u32) -> Option<Vec<u64>> {
    let length = blocks.words[block as usize] as usize;
    if length > MOST {
        return None;
    }
    let mut words = vec![0; length];
    (memory.read(blocks.start[block as usize], &mut words) == length).then_some(words)
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
            let slots = Slots { count: SLOTS, each: size_of::<Slot<T>>() / 8 };
            assert!(Slots::all(size_of::<Block<T, SLOTS>>() / 8).any(|other| other == slots));
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
        for (count, message, rounded) in
            [(31, 2, 0), (31, 3, 1), (31, 4, 3), (63, 2, 0), (63, 7, 1)]
        {
            let slots = Slots { count, each: message + 1 };
            let words = 1 + count * slots.each + rounded;
            assert!(Slots::all(words).any(|other| other == slots));
            let mut block = vec![0; words];
            assert_eq!(slots.taken(&block), None, "it may be anything");
            block[slots.state(1)] = 1;
            assert_eq!(slots.taken(&block), Some(vec![false; count]));
            // Three were sent, and two of them received.
            (block[slots.state(0)], block[slots.state(2)]) = (3, 7);
            block[slots.state(1) - 1] = u64::MAX;
            let taken = (0..count).map(|slot| slot == 0 || slot == 2);
            assert_eq!(slots.taken(&block), Some(taken.collect()));
            block[slots.state(3)] = 8;
            assert_eq!(slots.taken(&block), None, "no state is so great");
        }
        let counts = [90, 1 + 31 * 1000, 0].map(|words| Slots::all(words).count());
        assert_eq!(counts, [0; 3], "no queue has such blocks");
    }

    #[test]
    fn a_stamp_says_whether_a_message_is_there() {
        /// As std and crossbeam have it.
        #[expect(dead_code, reason = "its size matters")]
        struct Slot<T> {
            stamp: AtomicUsize,
            msg: std::cell::UnsafeCell<MaybeUninit<T>>,
        }
        fn check<T>() {
            let each = size_of::<Slot<T>>() / 8;
            assert_eq!(8 * Stamped { count: 5, each }.stamp(0), offset_of!(Slot<T>, stamp));
        }
        check::<u64>();
        check::<[u64; 2]>();
        check::<Vec<u8>>();
        check::<[u64; 4]>();
        for (room, each) in [(4, 2), (5, 3), (8, 3), (10, 4), (31, 5), (64, 2)] {
            let slots = Stamped { count: room, each };
            let mark = (room as u64 + 1).next_power_of_two();
            // As long as one puts, others take; a bit stands between the number and the lap, or none.
            for lap in [mark, 2 * mark] {
                let mut block = vec![u64::MAX; room * each + 1];
                (0..room).for_each(|slot| block[slots.stamp(slot)] = slot as u64);
                assert_eq!(slots.taken(&block), None, "it was never in use");
                let mut queue = std::collections::VecDeque::new();
                for n in 0..5 * room {
                    let (slot, of_lap) = (n % room, (n / room) as u64 * lap);
                    block[slots.stamp(slot)] = of_lap + slot as u64 + 1;
                    queue.push_back((slot, of_lap));
                    while queue.len() > n % (room - 1) {
                        let (slot, of_lap) = queue.pop_front().unwrap();
                        block[slots.stamp(slot)] = of_lap + lap + slot as u64;
                    }
                    let full: Vec<usize> = queue.iter().map(|&(slot, _)| slot).collect();
                    let taken = (0..room).map(|slot| !full.contains(&slot)).collect();
                    assert_eq!(slots.taken(&block), Some(taken), "{room} {each} {n}");
                }
                block[slots.stamp(2)] += 2;
                assert_eq!(slots.taken(&block), None);
            }
        }
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
        let read = |is_buffer| TakenSlots::linked(&memory, &blocks, at, |_| is_buffer);
        let taken = read(false).expect("it is one");
        let first = slots.first() as u64;
        let has = [first, first + 1, first + 3, first + 4].map(|word| taken.has(8 * word));
        assert_eq!(has, [true, true, false, false]);
        assert_eq!(read(true), None, "a `Vec` of 31");
        block[slots.next()] = start(&other);
        std::hint::black_box(&mut block);
        assert_eq!(read(true).as_ref(), Some(&taken), "whose index is 31, by chance");
        block[slots.next()] = 0x1234;
        std::hint::black_box(&mut block);
        assert_eq!(read(false), None);
    }
}
