//! Which copy of a handle is the handle: a handle that was moved leaves its old words behind.

use super::graph::{Graph, NONE};
use super::memory::Memory;
use super::scan::{AreaKind, Sighting};
use std::collections::HashMap;

/// The slots of queues' blocks whose messages were taken out, a bit each; none for blocks that are no queue's.
type Queues = HashMap<u32, u64>;

impl Graph {
    /// How likely a copy is the handle.
    fn rank(&self, found: &Sighting) -> u8 {
        let place = match found.source.as_area().map(|area| &self.areas[area]) {
            None | Some(AreaKind::Static(_) | AreaKind::ThreadLocal(_)) => 4,
            Some(AreaKind::Unknown) => 3,
            Some(AreaKind::Stack(_)) => 2,
            Some(AreaKind::Freed | AreaKind::Private) => 0,
        };
        if found.is_complete() { place + 8 } else { place }
    }

    /// Chooses each handle's likeliest copy.
    pub(super) fn choose(&mut self, memory: &impl Memory) {
        let mut best = vec![0_u8; self.handles.len()];
        let mut several = Vec::new();
        for (index, found) in self.scanned.sightings.iter().enumerate() {
            let (handle, rank) = (found.handle() as usize, self.rank(found) + 1);
            self.copies[handle] += u32::from(found.is_complete());
            if self.copies[handle] == 2 && found.is_complete() {
                several.push(found.handle());
            }
            if rank > best[handle] {
                best[handle] = rank;
                self.chosen[handle] = index as u32;
            }
        }
        let mut queues = Queues::new();
        self.forget_taken(memory, &mut queues);
        if several.is_empty() {
            return;
        }
        several.sort_unstable();
        several.dedup();
        // Copies that stand in the part of a buffer that is not in use come last.
        let is_several = |found: &Sighting| {
            found.is_complete() && several.binary_search(&found.handle()).is_ok()
        };
        let copies: Vec<usize> = (0..self.scanned.sightings.len())
            .filter(|&index| is_several(&self.scanned.sightings[index]))
            .collect();
        let spare = self.spare(memory, &copies);
        for &handle in &several {
            best[handle as usize] = 0;
        }
        let rooted = self.rooted();
        for (&index, spare) in copies.iter().zip(spare) {
            let found = &self.scanned.sightings[index];
            let handle = found.handle() as usize;
            let is_far = found.source.as_block().is_some_and(|block| !rooted[block as usize]);
            let rank = if spare { 1 } else { self.rank(found) + 1 - u8::from(is_far) };
            if rank > best[handle] && !self.is_taken(memory, found, &mut queues) {
                best[handle] = rank;
                self.chosen[handle] = index as u32;
            }
        }
    }

    /// Of handles that have one copy, those whose copy was taken out of a queue since have none: they were forgotten, or are
    /// where the search does not see them.
    fn forget_taken(&mut self, memory: &impl Memory, queues: &mut Queues) {
        for handle in 0..self.chosen.len() {
            let found = self.scanned.sightings.get(self.chosen[handle] as usize);
            if self.copies[handle] == 1
                && found.is_some_and(|found| self.is_taken(memory, found, queues))
            {
                self.chosen[handle] = NONE;
            }
        }
    }

    /// Whether a copy stands in a queue's block, where it says that it was taken out: of std's channels, of crossbeam's, and of
    /// the queue in which rayon's jobs wait.
    fn is_taken(&self, memory: &impl Memory, found: &Sighting, queues: &mut Queues) -> bool {
        let Some(block) = found.source.as_block() else { return false };
        let words = self.blocks.words[block as usize] as usize;
        let Some((_, each)) = queue_slots(words) else { return false };
        if self.owners[block as usize] != 0 {
            return false;
        }
        let start = self.blocks.start[block as usize];
        let taken = *queues.entry(block).or_insert_with(|| {
            let mut copied = vec![0; words];
            if memory.read(start, &mut copied) == words { taken_slots(&copied) } else { 0 }
        });
        // Its first word is the pointer to the next block.
        let slot = ((found.address - start) / 8).checked_sub(1).map(|at| at / each as u64);
        slot.is_some_and(|slot| slot < 64 && taken >> slot & 1 == 1)
    }

    /// Which blocks are values of objects, or reached from a static or a thread-local without a handle. A copy elsewhere may
    /// be in memory that only an old word on a stack leads to.
    fn rooted(&self) -> Vec<bool> {
        let mut reached: Vec<bool> = self.owners.iter().map(|&owners| owners != 0).collect();
        let mut queue = Vec::new();
        for edge in &self.scanned.from_areas {
            let area = &self.areas[edge.area as usize];
            let is_root = matches!(area, AreaKind::Static(_) | AreaKind::ThreadLocal(_));
            if is_root
                && !self.is_doubtful(edge.area)
                && !std::mem::replace(&mut reached[edge.to as usize], true)
            {
                queue.push(edge.to);
            }
        }
        while let Some(block) = queue.pop() {
            for (to, _) in self.scanned.edges.of(block) {
                if !std::mem::replace(&mut reached[to as usize], true) {
                    queue.push(to);
                }
            }
        }
        reached
    }

    /// Which of these copies stand in a `Vec`'s spare room, by its capacity and length beside the pointer to the buffer.
    fn spare(&self, memory: &impl Memory, copies: &[usize]) -> Vec<bool> {
        let block = |index: usize| self.scanned.sightings[index].source.as_block();
        let mut blocks: Vec<u32> = copies.iter().filter_map(|&index| block(index)).collect();
        blocks.sort_unstable();
        blocks.dedup();
        blocks.retain(|&block| self.owners[block as usize] == 0);
        let mut pointers: Vec<(u32, u64)> = Vec::new();
        for from in 0..self.blocks.len() as u32 {
            for (to, offset) in self.scanned.edges.of(from) {
                if blocks.binary_search(&to).is_ok() {
                    pointers.push((to, self.blocks.start[from as usize] + 8 * u64::from(offset)));
                }
            }
        }
        for edge in &self.scanned.from_areas {
            // What is beside a word on a stack says nothing.
            let is_stack = matches!(self.areas[edge.area as usize], AreaKind::Stack(_));
            if !is_stack && blocks.binary_search(&edge.to).is_ok() {
                pointers.push((edge.to, edge.address));
            }
        }
        pointers.sort_unstable();
        let is_spare = |&index: &usize| {
            let found = &self.scanned.sightings[index];
            let Some(block) = found.source.as_block() else { return false };
            let range = self.blocks.range(block as usize);
            let from = pointers.partition_point(|&(to, _)| to < block);
            let owners = pointers[from..].iter().take_while(|&&(to, _)| to == block).take(8);
            let mut verdicts = owners.filter_map(|&(_, pointer)| {
                let mut around = [0; 5];
                (memory.read(pointer - 16, &mut around) == 5).then_some(())?;
                (around[2] == range.start).then_some(())?;
                is_spare(around, range.end - range.start, found.address - range.start)
            });
            verdicts.next().is_some_and(|first| first && verdicts.all(|spare| spare))
        };
        copies.iter().map(is_spare).collect()
    }
}

/// Whether an offset of a buffer lies behind the elements of the `Vec` that has it, by the two words on either side of
/// the pointer. `None`: it looks like no `Vec`.
///
/// A guess, for the text alone: a `VecDeque` has its head where the length may stand, so a word there counts as spare only
/// if it is so either way.
fn is_spare(
    [before2, before, _, after, after2]: [u64; 5],
    bytes: u64,
    offset: u64,
) -> Option<bool> {
    let vec = |capacity: u64, len: u64, other: u64| {
        if capacity == 0 || len > capacity || capacity > bytes / 8 {
            return None;
        }
        let element = (bytes / capacity) & !7;
        let index = offset / element;
        // The other two words of a deque: head and length, in either order.
        let in_ring = |head: u64, len: u64| {
            head < capacity && len <= capacity && (index + capacity - head) % capacity < len
        };
        let is_deque = other <= capacity && (in_ring(len, other) || in_ring(other, len));
        Some(index >= len && !is_deque && index < capacity)
    };
    // capacity, pointer, length is what the compiler makes of it today.
    vec(before, after, after2).or_else(|| vec(after, before, before2))
}

/// How many slots a queue's block of so many words has, and how many words each. A block is the pointer to the next one, and slots
/// of a message and its state; the allocator may have rounded it up by a word.
fn queue_slots(words: usize) -> Option<(usize, usize)> {
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
fn taken_slots(block: &[u64]) -> u64 {
    let Some((slots, each)) = queue_slots(block.len()) else { return 0 };
    let states = || (1..=slots).map(|slot| block[each * slot]);
    if states().any(|state| state & !STATE != 0) {
        return 0;
    }
    let taken = states().map(|state| u64::from(state & (WRITTEN | READ) == WRITTEN | READ));
    taken.zip(0..).fold(0, |all, (taken, slot)| all | taken << slot)
}

#[cfg(test)]
mod tests {
    use super::{is_spare, taken_slots};

    #[test]
    fn what_was_taken_out_of_a_queue_is_recognised() {
        for (slots, rounded) in [(31, 0), (31, 1), (63, 0), (63, 1)] {
            let mut block = vec![0; 1 + 3 * slots + rounded];
            // Three were sent, and two of them received.
            (block[3], block[6], block[9]) = (3, 1, 7);
            assert_eq!(taken_slots(&block), 0b101);
            block[12] = 8;
            assert_eq!(taken_slots(&block), 0, "no state is so great");
        }
        assert_eq!(taken_slots(&[3; 90]), 0, "no queue has blocks of this size");
        assert_eq!(taken_slots(&vec![3; 1 + 31 * 1000]), 0);
        assert_eq!(taken_slots(&[]), 0);
    }

    #[test]
    fn spare_room_is_distinguished_from_a_ring() {
        // capacity 4, 16 bytes each, length 2
        let vec = |offset| is_spare([9999, 4, 0x1000, 2, 9999], 72, offset);
        assert_eq!([0, 16, 32, 48].map(vec), [Some(false), Some(false), Some(true), Some(true)]);
        // head 2, length 1: the third is in use
        let deque = |offset| is_spare([9999, 4, 0x1000, 2, 1], 72, offset);
        assert_eq!([0, 16, 32, 48].map(deque), [Some(false), Some(false), Some(false), Some(true)]);
        assert_eq!(is_spare([0, 0, 0x1000, 0, 0], 72, 0), None);
    }
}
