//! Which copy of a handle is the handle: a handle that was moved leaves its old words behind.

use super::blocks::ADDED;
use super::btree::{self, CHILDREN, HIGHEST, Root, Trees};
use super::buffer::{Beside, Buffer, slice_of};
use super::collections::{Claim, Life, Table, Told};
use super::graph::{Graph, NONE};
use super::inputs::ObjectInput;
use super::memory::Memory;
use super::queue::TakenSlots;
use super::scan::{AreaKind, Sighting};
use std::collections::HashSet;
use std::ops::Range;

/// Words of a block that may be a stack, at least.
const STACK: u32 = 512;

/// Words of a tree's node that lead to other blocks, at most, for the node to be looked at.
const LINKS: usize = 256;

/// What a pointer in an area is part of is not known.
const EVERYWHERE: Range<u64> = 0..u64::MAX;

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

    /// Whether a copy stands where there is no handle any more, such as in an `Option` that it was taken out of: its pointer was
    /// overwritten. On a stack, also that of a coroutine in a block, a handle's words may stand apart.
    fn is_emptied(&self, found: &Sighting) -> bool {
        let may_be_apart = match (found.source.as_block(), found.source.as_area()) {
            (Some(block), _) => {
                self.owners[block as usize] == 0 && self.blocks.words[block as usize] >= STACK
            }
            (_, Some(area)) => {
                !matches!(self.areas[area], AreaKind::Static(_) | AreaKind::ThreadLocal(_))
            }
            _ => true,
        };
        found.is_emptied() && !may_be_apart
    }

    /// Chooses each handle's likeliest copy.
    pub(super) fn choose(&mut self, memory: &impl Memory, told: Asked<'_>) {
        let mut best = vec![0_u8; self.handles.len()];
        let mut several = Vec::new();
        for (index, found) in self.scanned.sightings.iter().enumerate() {
            let (handle, rank) = (found.handle() as usize, self.rank(found) + 1);
            if self.is_emptied(found) {
                continue;
            }
            self.copies[handle] += u32::from(found.is_complete());
            if self.copies[handle] == 2 && found.is_complete() {
                several.push(found.handle());
            }
            if rank > best[handle] {
                best[handle] = rank;
                self.chosen[handle] = index as u32;
            }
        }
        let lives = self.lives(memory, told);
        if !several.is_empty() {
            several.sort_unstable();
            several.dedup();
            self.choose_of_several(&several, &lives);
        }
        for handle in 0..self.chosen.len() {
            match life_of(&lives, self.chosen[handle]) {
                Life::Alive | Life::Likely | Life::SpareOrOther => {}
                Life::Dead => self.chosen[handle] = NONE,
                life => self.doubtful.push((handle as u32, life)),
            }
        }
    }

    /// Copies that stand where a collection's buffer is not in use come last.
    fn choose_of_several(&mut self, several: &[u32], lives: &[(u32, Life)]) {
        let rooted = self.rooted();
        let mut best = vec![0_u8; several.len()];
        for index in 0..self.scanned.sightings.len() {
            let found = &self.scanned.sightings[index];
            let Ok(at) = several.binary_search(&found.handle()) else { continue };
            if !found.is_complete() || self.is_emptied(found) {
                continue;
            }
            let is_far = found.source.as_block().is_some_and(|block| !rooted[block as usize]);
            let likely = 2 * (self.rank(found) + 1 - u8::from(is_far));
            let rank = match life_of(lives, index as u32) {
                Life::Alive => likely,
                Life::Likely | Life::Unsure { .. } => likely - 1,
                Life::Spare | Life::SpareOrOther | Life::Dead => 1,
            };
            if rank > best[at] {
                best[at] = rank;
                self.chosen[found.handle() as usize] = index as u32;
            }
        }
    }

    /// Which blocks are values of objects, or reached from a static or a thread-local without a handle. A copy elsewhere may
    /// be in memory that only an old word on a stack leads to.
    fn rooted(&self) -> Vec<bool> {
        let mut reached: Vec<bool> = self.owners.iter().map(|&owners| owners != 0).collect();
        let mut queue: Vec<u32> =
            (0..self.blocks.len() as u32).filter(|&block| reached[block as usize]).collect();
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

    /// The copies in buffers that may not be the handle, by where they stand there: by the number of the sighting.
    fn lives(&self, memory: &impl Memory, told: Asked<'_>) -> Vec<(u32, Life)> {
        let has_copies = |&block: &u32| {
            self.owners[block as usize] == 0
                && self.sightings_in(block).any(|at| self.scanned.sightings[at].is_complete())
        };
        let blocks: Vec<u32> = (0..self.blocks.len() as u32).filter(has_copies).collect();
        if blocks.is_empty() {
            return Vec::new();
        }
        let roots = self.roots_above(&blocks);
        let mut buffers = Buffers::default();
        let mut beside = Beside::new(memory);
        for from in 0..self.blocks.len() as u32 {
            let (start, within) = (self.blocks.start[from as usize], self.values(from));
            for (to, offset) in self.scanned.edges.of(from) {
                if blocks.binary_search(&to).is_ok() || roots.binary_search(&to).is_ok() {
                    let at = (start + 8 * u64::from(offset), &within);
                    self.look(&mut buffers, &mut beside, (at, to, None), Told::End(within.end));
                }
            }
        }
        for edge in &self.scanned.from_areas {
            if blocks.binary_search(&edge.to).is_err() && roots.binary_search(&edge.to).is_err() {
                continue;
            }
            let from = ((edge.address, &EVERYWHERE), edge.to, Some(edge.area));
            match self.areas[edge.area as usize] {
                // What is beside a word on a stack says nothing; but an iterator may be there, that drains the buffer.
                AreaKind::Stack(_) => {
                    let range = self.blocks.range(edge.to as usize);
                    let words = beside.around(edge.address, &EVERYWHERE);
                    let is_end = |word: u64| (range.start..=range.end).contains(&word);
                    if is_end(words[2]) || is_end(words[4]) {
                        buffers.is_shared.push(edge.to);
                    }
                }
                AreaKind::Freed | AreaKind::Private => {}
                _ => self.look(&mut buffers, &mut beside, from, Told::Nothing),
            }
        }
        self.ask(&mut buffers, &mut beside, told);
        buffers.sort();
        let mut lives = Vec::new();
        for block in blocks {
            let start = self.blocks.start[block as usize];
            let buckets = buffers.table_of(block).and_then(|table| table.read(memory, start));
            let is_buffer = |of| buffers.claims_on(block).iter().any(|it| it.claim.is_of(of));
            let taken = TakenSlots::linked(memory, &self.blocks, block, is_buffer);
            let taken = taken.or_else(|| {
                // The pointer in front of a ticket and the ticket itself are no stamp.
                let first = self.offset_of(block, self.sightings_in(block).start) / 8;
                let words = [first.saturating_sub(u64::from(cfg!(not(refscope_thin)))), first];
                let mut slices = buffers.slices_of(block);
                slices.find_map(|&slice| TakenSlots::bounded(memory, &self.blocks, slice, &words))
            });
            for sighting in self.sightings_in(block) {
                let offset = self.offset_of(block, sighting);
                let is_used = buckets.as_ref().and_then(|buckets| buckets.is_full(offset));
                let is_used = is_used.or_else(|| buffers.trees.is_in_use(block, offset));
                let is_used = is_used.or_else(|| Some(!taken.as_ref()?.has(offset)));
                let life = match is_used {
                    Some(true) => Life::Alive,
                    Some(false) => Life::Dead,
                    None if buffers.claims_on(block).is_empty() => {
                        let is_spare = buffers.trees.is_likely_spare(block, offset);
                        if is_spare { Life::Likely } else { Life::Alive }
                    }
                    None => self.life_by_claims(&buffers, block, offset),
                };
                if life != Life::Alive {
                    lives.push((sighting as u32, life));
                }
            }
        }
        lives
    }

    /// The roots of what may be trees whose leaves some of these blocks are: a leaf leads to its parent, which is larger by its
    /// children and leads back, and so on.
    fn roots_above(&self, blocks: &[u32]) -> Vec<u32> {
        let words = |block: u32| u64::from(self.blocks.words[block as usize]);
        let parent = |of: u32, more: u64| {
            let is_parent = |&&to: &&u32| {
                self.owners[to as usize] == 0
                    && words(to) + ADDED / 8 >= words(of) + more
                    && self.scanned.edges.targets(to).len() <= LINKS
                    && self.scanned.edges.targets(to).contains(&of)
            };
            self.scanned.edges.targets(of).iter().find(is_parent).copied()
        };
        let (mut seen, mut roots) = (HashSet::new(), Vec::new());
        for &block in blocks {
            let mut root = None;
            let mut above = parent(block, CHILDREN / 8);
            for _ in 0..HIGHEST {
                let Some(at) = above.filter(|&at| seen.insert(at)) else { break };
                (root, above) = (Some(at), parent(at, 0));
            }
            roots.extend(root.filter(|_| above.is_none()));
        }
        roots.sort_unstable();
        roots
    }

    fn offset_of(&self, block: u32, sighting: usize) -> u64 {
        self.scanned.sightings[sighting].address - self.blocks.start[block as usize]
    }

    /// Looks at the words beside the pointer to a buffer.
    fn look(
        &self,
        buffers: &mut Buffers,
        beside: &mut Beside<'_, impl Memory>,
        ((at, within), to, area): ((u64, &Range<u64>), u32, Option<u32>),
        told: Told,
    ) {
        let words = beside.around(at, within);
        let range = self.blocks.range(to as usize);
        if words[3] == range.start {
            let root = (to, [words[4], words[5]]);
            self.look_for_map(buffers, beside.memory, root, (at, area), told);
            if buffers.trees.is_node(to) {
                return;
            }
        }
        let buffer = Buffer::new(&range, at, words, told);
        buffers.slices.extend(slice_of(&range, words, buffer.as_ref()).map(|count| (to, count)));
        match buffer {
            Some(Buffer::Vec(mut claim)) => {
                claim.is_open |= area.is_none();
                buffers.claims.push(Pointer { to, area, at, claim });
            }
            Some(Buffer::Table(table)) => buffers.tables.push((to, table)),
            Some(Buffer::Bytes) | None => buffers.is_shared.push(to),
        }
    }

    /// Looks whether what a pointer leads to is a map's root, by the words behind the pointer.
    fn look_for_map(
        &self,
        buffers: &mut Buffers,
        memory: &impl Memory,
        (to, [height, length]): (u32, [u64; 2]),
        (at, area): (u64, Option<u32>),
        told: Told,
    ) {
        let trees = &mut buffers.trees;
        if matches!(told, Told::Vec(_) | Told::Deque(_) | Told::Other) {
            return;
        }
        if let Some(root) = Root::new(height, length) {
            trees.recognise(memory, &self.blocks, (to, root));
        }
        if !btree::may_be_leaf(height, length) || trees.is_node(to) {
            return;
        }
        if let Told::Map(layout) = told {
            trees.recognise_leaf(memory, &self.blocks, (to, length), layout);
            return;
        }
        let has_others = |at: usize| self.copies[self.scanned.sightings[at].handle() as usize] > 1;
        if self.sightings_in(to).any(has_others) {
            let handle = if cfg!(refscope_thin) { 8 } else { 16 };
            trees.look_for_leaf(memory, &self.blocks, (to, length), handle);
        }
        if let Some(area) = area
            && told == Told::Nothing
            && self.sightings_in(to).count() as u64 > length
        {
            buffers.leaves.push((to, area, at));
        }
    }

    /// Asks of the collections in statics and thread-locals what they are, where that matters.
    fn ask(&self, buffers: &mut Buffers, beside: &mut Beside<'_, impl Memory>, told: Asked<'_>) {
        let matters = |pointer: &Pointer| {
            let life = |at| pointer.claim.life(self.offset_of(pointer.to, at));
            self.sightings_in(pointer.to).any(|at| life(at) != Life::Alive)
        };
        let is_root = |&(_, area, _): &(u32, u32, u64)| {
            let area = &self.areas[area as usize];
            matches!(area, AreaKind::Static(_) | AreaKind::ThreadLocal(_))
        };
        let mut asked = Vec::new();
        buffers.claims.retain(|pointer| {
            let place = pointer.area.map(|area| (pointer.to, area, pointer.at)).filter(is_root);
            let place = place.filter(|_| matters(pointer));
            asked.extend(place);
            place.is_none()
        });
        asked.extend(std::mem::take(&mut buffers.leaves).into_iter().filter(is_root));
        asked.sort_unstable();
        asked.dedup();
        if asked.is_empty() {
            return;
        }
        let places: Vec<(&AreaKind, u64)> =
            asked.iter().map(|&(_, area, at)| (&self.areas[area as usize], at)).collect();
        for (&(to, area, at), told) in asked.iter().zip(told(&places, &self.objects)) {
            self.look(buffers, beside, ((at, &EVERYWHERE), to, Some(area)), told);
        }
    }

    fn life_by_claims(&self, buffers: &Buffers, block: u32, offset: u64) -> Life {
        let claims = buffers.claims_on(block).iter().take(8);
        let mut all: Option<Life> = None;
        for life in claims.map(|it| it.claim.life(offset)) {
            all = Some(match (all, life) {
                (_, Life::Alive) => return Life::Alive,
                (None, life) => life,
                (Some(Life::Likely), _) | (_, Life::Likely) => Life::Likely,
                (Some(Life::Unsure { .. }), _) | (_, Life::Unsure { .. }) => {
                    Life::Unsure { as_vec: false, as_deque: false }
                }
                (Some(Life::Dead), Life::Dead) => Life::Dead,
                (Some(Life::SpareOrOther), Life::SpareOrOther) => Life::SpareOrOther,
                _ => Life::Spare,
            });
        }
        match all {
            // It may be in use by an iterator that drains the collection.
            Some(Life::Dead) if buffers.is_shared.binary_search(&block).is_ok() => Life::Spare,
            Some(life) => life,
            None => Life::Alive,
        }
    }
}

/// What a static or thread-local has at an address, for each of some.
pub(super) type Asked<'a> = &'a dyn Fn(&[(&AreaKind, u64)], &[ObjectInput]) -> Vec<Told>;

fn life_of(lives: &[(u32, Life)], sighting: u32) -> Life {
    let at = lives.binary_search_by_key(&sighting, |&(sighting, _)| sighting);
    at.map_or(Life::Alive, |at| lives[at].1)
}

/// A pointer to a buffer that looks like a collection's.
struct Pointer {
    to: u32,
    area: Option<u32>,
    at: u64,
    claim: Claim,
}

/// What points to the buffers, by block.
#[derive(Default)]
struct Buffers {
    claims: Vec<Pointer>,
    tables: Vec<(u32, Table)>,
    trees: Trees,
    /// The pointers to what may be maps of one node: to which block, in which area, and where.
    leaves: Vec<(u32, u32, u64)>,
    /// What may be slices, and how many elements they have.
    slices: Vec<(u32, u64)>,
    /// Those that something else points to as well.
    is_shared: Vec<u32>,
}

impl Buffers {
    fn sort(&mut self) {
        self.claims.sort_unstable_by_key(|it| (it.to, it.at));
        self.tables.sort_unstable_by_key(|&(to, _)| to);
        self.slices.sort_unstable();
        self.slices.dedup();
        self.is_shared.sort_unstable();
    }

    fn claims_on(&self, block: u32) -> &[Pointer] {
        let from = self.claims.partition_point(|it| it.to < block);
        let count = self.claims[from..].partition_point(|it| it.to == block);
        &self.claims[from..from + count]
    }

    fn slices_of(&self, block: u32) -> impl Iterator<Item = &(u32, u64)> {
        let from = self.slices.partition_point(|&(to, _)| to < block);
        self.slices[from..].iter().take_while(move |&&(to, _)| to == block).take(8)
    }

    fn table_of(&self, block: u32) -> Option<Table> {
        let at = self.tables.binary_search_by_key(&block, |&(to, _)| to).ok()?;
        Some(self.tables[at].1)
    }
}
