//! The blocks of queues, of which each slot says whether a message is in it or was taken out: of std's channels, of crossbeam's, and
//! of the queue in which rayon's jobs wait.

use super::memory::Memory;

/// The slots of a queue's block whose messages were taken out.
pub(super) struct Taken {
    /// Words of each.
    each: u64,
    slots: u64,
}

impl Taken {
    /// Of the block of so many words that begins at an address. `None`: it is no queue's, or nothing was ever put into it.
    pub(super) fn read(memory: &impl Memory, start: u64, words: usize) -> Option<Self> {
        let (_, each) = slots(words)?;
        let mut copied = vec![0; words];
        let read = memory.read(start, &mut copied);
        let slots = taken(&copied[..read]).filter(|_| read == words)?;
        Some(Self { each: each as u64, slots })
    }

    /// Whether an offset of the block is in one of them. Its first word is the pointer to the next block.
    pub(super) fn has(&self, offset: u64) -> bool {
        let slot = (offset / 8).checked_sub(1).map(|at| at / self.each);
        slot.is_some_and(|slot| slot < 64 && self.slots >> slot & 1 == 1)
    }
}

/// How many slots a queue's block of so many words has, and how many words each. A block is the pointer to the next one, and slots
/// of a message and its state; the allocator may have rounded it up by a word.
pub(super) fn slots(words: usize) -> Option<(usize, usize)> {
    // std's and crossbeam's channels, and crossbeam's injector.
    [31, 63].into_iter().find_map(|slots| {
        let each = words.saturating_sub(1) / slots;
        ((2..=LARGEST).contains(&each) && words - 1 - each * slots <= 1).then_some((slots, each))
    })
}

/// Words of a slot: in longer ones nobody looks.
const LARGEST: usize = 64;

/// A message is in the slot.
const WRITTEN: u64 = 1;
/// It was taken out.
const READ: u64 = 2;
/// All bits of a state.
const STATE: u64 = 7;

/// The slots of a queue's block that say that their messages were taken out, a bit each. Each slot has to look like one.
///
/// A guess, for the text alone.
fn taken(block: &[u64]) -> Option<u64> {
    let (slots, each) = slots(block.len())?;
    let states = || (1..=slots).map(|slot| block[each * slot]);
    if states().any(|state| state & !STATE != 0) || states().all(|state| state & WRITTEN == 0) {
        return None;
    }
    let taken = states().map(|state| u64::from(state & (WRITTEN | READ) == WRITTEN | READ));
    Some(taken.zip(0..).fold(0, |all, (taken, slot)| all | taken << slot))
}

#[cfg(test)]
mod tests {
    use super::taken;

    #[test]
    fn what_was_taken_out_of_a_queue_is_recognised() {
        for (slots, rounded) in [(31, 0), (31, 1), (63, 0), (63, 1)] {
            let mut block = vec![0; 1 + 3 * slots + rounded];
            assert_eq!(taken(&block), None, "it may be anything");
            block[6] = 1;
            assert_eq!(taken(&block), Some(0));
            // Three were sent, and two of them received.
            (block[3], block[9]) = (3, 7);
            assert_eq!(taken(&block), Some(0b101));
            block[12] = 8;
            assert_eq!(taken(&block), None, "no state is so great");
        }
        assert_eq!(taken(&[3; 90]), None, "no queue has blocks of this size");
        assert_eq!(taken(&vec![3; 1 + 31 * 1000]), None);
        assert_eq!(taken(&[]), None);
    }
}
