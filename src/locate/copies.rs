//! Which copy of a handle is the handle: a handle that was moved leaves its old words behind.

use super::graph::Graph;
use super::memory::Memory;
use super::scan::{AreaKind, Sighting};

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
            if rank > best[handle] {
                best[handle] = rank;
                self.chosen[handle] = index as u32;
            }
        }
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

#[cfg(test)]
mod tests {
    use super::is_spare;

    #[test]
    fn spare_room_is_told_from_a_ring() {
        // capacity 4, 16 bytes each, length 2
        let vec = |offset| is_spare([9999, 4, 0x1000, 2, 9999], 72, offset);
        assert_eq!([0, 16, 32, 48].map(vec), [Some(false), Some(false), Some(true), Some(true)]);
        // head 2, length 1: the third is in use
        let deque = |offset| is_spare([9999, 4, 0x1000, 2, 1], 72, offset);
        assert_eq!([0, 16, 32, 48].map(deque), [Some(false), Some(false), Some(false), Some(true)]);
        assert_eq!(is_spare([0, 0, 0x1000, 0, 0], 72, 0), None);
    }
}
