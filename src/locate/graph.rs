//! From words to owners: which copy of a handle is the handle, what holds what, what nothing holds.
//!
//! Two graphs over the blocks. In the **guess**, each strong handle is one edge, from where its likeliest copy stands;
//! blocks between objects are held by what points to them. It is for the text. In the **proof**, every word counts: stale
//! copies, weak handles, plain pointers. What no root reaches there, the program cannot reach.

use super::inputs::{HandleInput, ObjectInput};
use super::memory::Memory;
use super::rules::{Rule, Rules};
use super::scan::{AreaKind, Scanned, Sighting};
use std::collections::VecDeque;

pub(super) const NONE: u32 = u32::MAX;

/// What was found, and what the questions are asked of.
pub(super) struct Graph<'a> {
    pub(super) objects: &'a [ObjectInput],
    pub(super) handles: &'a [HandleInput],
    pub(super) scanned: &'a Scanned,
    pub(super) areas: &'a [AreaKind],
    /// Of the proof.
    pub(super) rules: Rules,
    pub(super) blocks: &'a super::blocks::Blocks,
    /// Each block's object, from 1; 0 for none.
    pub(super) owners: &'a [u32],
    /// Each object's block, or [`NONE`].
    pub(super) block_of: &'a [u32],
    /// Each handle's likeliest copy, or [`NONE`].
    pub(super) chosen: Vec<u32>,
    /// How many copies of it there are that could be it.
    pub(super) copies: Vec<u32>,
    /// The chosen strong handles in blocks: `(block, sighting)`, by block.
    owned: Vec<(u32, u32)>,
    /// Where a block's begin: those of block `n` are `first_owned[n]..first_owned[n + 1]`.
    first_owned: Vec<u32>,
    /// The sightings in blocks are the first so many.
    in_blocks: usize,
}

/// Roots are looked at in turns.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Turn {
    Statics,
    Stacks,
    Unknown,
}

/// Why a block is held in the guess.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Held {
    /// Not reached yet.
    Not,
    /// By a word of another block, at an offset in words.
    By(u32, u32),
    /// By a word of an area, at an address.
    Area(u32, u64),
    /// By a handle that is a raw pointer now.
    Raw,
    /// By a handle that was found nowhere.
    NotFound,
    /// By pointers of std's that refscope does not know.
    Untraced,
    /// By a cycle, by number, that it is part of.
    Cycle(u32),
    /// By nothing that points to it.
    Unreferenced,
}

/// Why something may still reach a block, in the proof.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reach {
    Area(u32),
    NotFound,
    Raw,
    Untraced,
    /// It looks as the block of an std `Rc` with more owners than were found.
    StdRc,
}

impl<'a> Graph<'a> {
    pub(super) fn new(
        (objects, handles): (&'a [ObjectInput], &'a [HandleInput]),
        (blocks, owners, block_of): (&'a super::blocks::Blocks, &'a [u32], &'a [u32]),
        (scanned, areas, rules): (&'a Scanned, &'a [AreaKind], Rules),
        memory: &impl Memory,
    ) -> Self {
        let in_blocks =
            scanned.sightings.partition_point(|found| found.source.as_block().is_some());
        let mut graph = Self {
            objects,
            handles,
            scanned,
            areas,
            rules,
            blocks,
            owners,
            block_of,
            chosen: vec![NONE; handles.len()],
            copies: vec![0; handles.len()],
            owned: Vec::new(),
            first_owned: Vec::new(),
            in_blocks,
        };
        graph.choose(memory);
        let mut owned: Vec<(u32, u32)> = (graph.chosen.iter().enumerate())
            .filter(|(handle, _)| graph.handles[*handle].keeps())
            .filter_map(|(_, &sighting)| {
                let found = graph.scanned.sightings.get(sighting as usize)?;
                Some((found.source.as_block()?, sighting))
            })
            .collect();
        owned.sort_unstable();
        let mut first = vec![0; blocks.len() + 1];
        for &(block, _) in &owned {
            first[block as usize + 1] += 1;
        }
        let mut sum = 0;
        for slot in &mut first {
            sum += *slot;
            *slot = sum;
        }
        graph.first_owned = first;
        graph.owned = owned;
        graph
    }

    /// How likely a copy is the handle.
    fn rank(&self, found: &Sighting) -> u32 {
        let place = match found.source.as_area().map(|area| &self.areas[area]) {
            None | Some(AreaKind::Static(_) | AreaKind::ThreadLocal(_)) => 4,
            Some(AreaKind::Unknown) => 3,
            Some(AreaKind::Stack(_)) => 2,
            Some(AreaKind::Freed) => 0,
        };
        if found.is_complete { place + 8 } else { place }
    }

    fn choose(&mut self, memory: &impl Memory) {
        let mut best = vec![0; self.handles.len()];
        let mut several = Vec::new();
        for (index, found) in self.scanned.sightings.iter().enumerate() {
            let (handle, rank) = (found.handle as usize, self.rank(found) + 1);
            self.copies[handle] += u32::from(found.is_complete);
            if self.copies[handle] == 2 && found.is_complete {
                several.push(found.handle);
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
        let is_several =
            |found: &Sighting| found.is_complete && several.binary_search(&found.handle).is_ok();
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
            let handle = found.handle as usize;
            let is_far = found.source.as_block().is_some_and(|block| !rooted[block as usize]);
            let rank = if spare { 1 } else { self.rank(found) + 1 - u32::from(is_far) };
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

    fn object_of(&self, handle: u32) -> usize {
        self.handles[handle as usize].object as usize
    }

    /// The block of a handle's object.
    fn target(&self, handle: u32) -> Option<u32> {
        Some(self.block_of[self.object_of(handle)]).filter(|&block| block != NONE)
    }

    fn owned_by(&self, block: u32) -> &[(u32, u32)] {
        let (from, to) = (self.first_owned[block as usize], self.first_owned[block as usize + 1]);
        &self.owned[from as usize..to as usize]
    }

    /// The edges of the guess from a block: to which, and at which offset in words.
    pub(super) fn out(&self, block: u32) -> impl Iterator<Item = (u32, u32)> + '_ {
        let plain = self.scanned.edges.of(block);
        let plain = plain.filter(|&(to, _)| self.owners[to as usize] == 0);
        let start = self.blocks.start[block as usize];
        let handles = self.owned_by(block).iter().filter_map(move |&(_, sighting)| {
            let found = &self.scanned.sightings[sighting as usize];
            Some((self.target(found.handle)?, ((found.address - start) / 8) as u32))
        });
        plain.chain(handles)
    }

    /// Whether words there may be copies of what is elsewhere: stacks, and libc's own data, whose lists of free memory
    /// lead to blocks beside it.
    fn is_doubtful(&self, area: u32) -> bool {
        match &self.areas[area as usize] {
            AreaKind::Stack(_) => true,
            AreaKind::Static(image) => {
                image.rsplit('/').next().is_some_and(|name| name.starts_with("libc"))
            }
            _ => false,
        }
    }

    /// Who holds each block, by the shortest way: statics and thread-locals first, then stacks, and last memory that nobody
    /// knows, where old words stand as well.
    pub(super) fn holders(&self, memory: &impl Memory) -> Vec<Held> {
        let mut held = vec![Held::Not; self.blocks.len()];
        let mut queue = VecDeque::new();
        let turn = |area: u32| match self.areas[area as usize] {
            AreaKind::Freed => None,
            AreaKind::Unknown => Some(Turn::Unknown),
            _ if self.is_doubtful(area) => Some(Turn::Stacks),
            _ => Some(Turn::Statics),
        };
        for now in [Turn::Statics, Turn::Stacks, Turn::Unknown] {
            let from_stacks = (now == Turn::Stacks).then(|| self.held_by_stacks(memory));
            // Handles first: what an object's own value leads to is not to be said of an old word in a block.
            for (handle, &sighting) in self.chosen.iter().enumerate() {
                if !self.handles[handle].keeps() {
                    continue;
                }
                let Some(block) = self.target(handle as u32) else { continue };
                if sighting == NONE {
                    continue;
                }
                let found = &self.scanned.sightings[sighting as usize];
                let Some(area) = found.source.as_area() else { continue };
                if turn(area as u32) == Some(now) {
                    let by = Held::Area(area as u32, found.address);
                    hold(&mut held, &mut queue, block, by);
                }
            }
            for (index, edge) in self.scanned.from_areas.iter().enumerate() {
                let counts = turn(edge.area) == Some(now)
                    && from_stacks.as_ref().is_none_or(|allowed| allowed.contains(&(index as u32)));
                if counts && self.owners[edge.to as usize] == 0 {
                    hold(&mut held, &mut queue, edge.to, Held::Area(edge.area, edge.address));
                }
            }
            self.flood(&mut held, &mut queue);
            if now == Turn::Statics {
                for (block, by) in self.hidden() {
                    hold(&mut held, &mut queue, block, by);
                }
                self.flood(&mut held, &mut queue);
            }
        }
        held
    }

    /// Objects with a handle that is in no memory that was searched.
    fn hidden(&self) -> Vec<(u32, Held)> {
        let mut hidden = Vec::new();
        for (handle, &sighting) in self.chosen.iter().enumerate() {
            let input = &self.handles[handle];
            let Some(block) = self.target(handle as u32) else { continue };
            if input.raw && input.strong && self.rules.apply(Rule::Raw) {
                hidden.push((block, Held::Raw));
            } else if !input.raw
                && input.strong
                && sighting == NONE
                && self.rules.apply(Rule::Handles)
            {
                hidden.push((block, Held::NotFound));
            }
        }
        for (object, input) in self.objects.iter().enumerate() {
            let count = self.scanned.counts[object][0];
            if self.block_of[object] != NONE
                && input.is_counted()
                && count > u64::from(input.strong)
                && self.rules.apply(Rule::Counts)
            {
                hidden.push((self.block_of[object], Held::Untraced));
            }
        }
        hidden
    }

    /// The words on stacks that count in the guess: a block that something else points to is not held by a word that may
    /// be a copy, unless it counts its owners and has one more.
    fn held_by_stacks(&self, memory: &impl Memory) -> std::collections::BTreeSet<u32> {
        let is_stack = |area: u32| self.is_doubtful(area);
        let on_stacks: Vec<(u32, u32)> = (self.scanned.from_areas.iter().zip(0..))
            .filter(|(edge, _)| is_stack(edge.area) && self.owners[edge.to as usize] == 0)
            .map(|(edge, index)| (edge.to, index))
            .collect();
        let mut targets: Vec<u32> = on_stacks.iter().map(|&(to, _)| to).collect();
        targets.sort_unstable();
        targets.dedup();
        let mut pointers = vec![0_u64; targets.len()];
        // Of memory that nothing leads to, what points there is old.
        let led_to = self.led_to();
        let from = (0..self.blocks.len() as u32).filter(|&block| led_to[block as usize]);
        for &to in from.flat_map(|block| self.scanned.edges.targets(block)) {
            if let Ok(at) = targets.binary_search(&to) {
                pointers[at] += 1;
            }
        }
        let starts: Vec<u64> = targets.iter().map(|&to| self.blocks.start[to as usize]).collect();
        let counts = memory.pairs(&starts);
        let allowed = |to: u32| {
            let Ok(at) = targets.binary_search(&to) else { return false };
            let counted = counts[at].is_some_and(|[strong, weak]| {
                (1..1 << 31).contains(&weak) && (pointers[at] + 1..1 << 31).contains(&strong)
            });
            pointers[at] == 0 || counted
        };
        on_stacks.into_iter().filter(|&(to, _)| allowed(to)).map(|(_, index)| index).collect()
    }

    /// Which blocks are values of objects, or what any words lead to.
    fn led_to(&self) -> Vec<bool> {
        let mut led_to: Vec<bool> = self.owners.iter().map(|&owner| owner != 0).collect();
        let mut queue: Vec<u32> =
            (0..self.blocks.len() as u32).filter(|&block| led_to[block as usize]).collect();
        for edge in &self.scanned.from_areas {
            let is_freed = matches!(self.areas[edge.area as usize], AreaKind::Freed);
            if !is_freed && !std::mem::replace(&mut led_to[edge.to as usize], true) {
                queue.push(edge.to);
            }
        }
        while let Some(block) = queue.pop() {
            for &to in self.scanned.edges.targets(block) {
                if !std::mem::replace(&mut led_to[to as usize], true) {
                    queue.push(to);
                }
            }
        }
        led_to
    }

    /// The blocks that areas hold, besides those that they hold first.
    pub(super) fn other_roots(&self, held: &[Held]) -> Vec<u32> {
        let is_root =
            |area: u32| !matches!(self.areas[area as usize], AreaKind::Stack(_) | AreaKind::Freed);
        let words = self.scanned.from_areas.iter();
        let words = words.filter(|edge| is_root(edge.area) && self.owners[edge.to as usize] == 0);
        let handles = self.chosen.iter().enumerate().filter_map(|(handle, &sighting)| {
            let found = self.scanned.sightings.get(sighting as usize)?;
            found.source.as_area().filter(|_| self.handles[handle].keeps())?;
            self.target(handle as u32)
        });
        let hidden = self.hidden().into_iter().map(|(block, _)| block);
        let roots = words.map(|edge| edge.to).chain(handles).chain(hidden);
        roots.filter(|&block| held[block as usize] != Held::Not).collect()
    }

    fn flood(&self, held: &mut [Held], queue: &mut VecDeque<u32>) {
        while let Some(block) = queue.pop_front() {
            for (to, offset) in self.out(block) {
                hold(held, queue, to, Held::By(block, offset));
            }
        }
    }

    /// Names the cycles among what nothing holds, and gives what they hold its holder. Returns each cycle's blocks.
    pub(super) fn cycles(&self, held: &mut [Held]) -> Vec<Vec<u32>> {
        let components = self.components(held);
        let mut top = vec![true; components.len()];
        let mut number = vec![NONE; self.blocks.len()];
        for (component, blocks) in components.iter().enumerate() {
            for &block in blocks {
                number[block as usize] = component as u32;
            }
        }
        for (component, blocks) in components.iter().enumerate() {
            for &block in blocks {
                for (to, _) in self.out(block) {
                    let other = number[to as usize];
                    if other != NONE && other != component as u32 {
                        top[other as usize] = false;
                    }
                }
            }
        }
        let mut cycles: Vec<Vec<u32>> = Vec::new();
        let mut queue = VecDeque::new();
        for (component, blocks) in components.into_iter().enumerate() {
            let is_cycle = blocks.len() > 1 || self.out(blocks[0]).any(|(to, _)| to == blocks[0]);
            let has_object = blocks.iter().any(|&block| self.owners[block as usize] != 0);
            if is_cycle && has_object {
                for &block in &blocks {
                    hold(held, &mut queue, block, Held::Cycle(cycles.len() as u32));
                }
                cycles.push(blocks);
            } else if top[component] {
                hold(held, &mut queue, blocks[0], Held::Unreferenced);
            }
        }
        self.flood(held, &mut queue);
        cycles
    }

    /// Tarjan's strongly connected components of what is not held.
    fn components(&self, held: &[Held]) -> Vec<Vec<u32>> {
        let count = self.blocks.len();
        let (mut order, mut low) = (vec![0_u32; count], vec![0_u32; count]);
        let mut on_stack = vec![false; count];
        let (mut stack, mut components, mut next) = (Vec::new(), Vec::new(), 1);
        for root in 0..count as u32 {
            if held[root as usize] != Held::Not || order[root as usize] != 0 {
                continue;
            }
            let mut calls = vec![(root, self.open(held, root))];
            (order[root as usize], low[root as usize]) = (next, next);
            next += 1;
            stack.push(root);
            on_stack[root as usize] = true;
            while let Some((block, rest)) = calls.last_mut() {
                let block = *block;
                if let Some(to) = rest.pop() {
                    if order[to as usize] == 0 {
                        (order[to as usize], low[to as usize]) = (next, next);
                        next += 1;
                        stack.push(to);
                        on_stack[to as usize] = true;
                        calls.push((to, self.open(held, to)));
                    } else if on_stack[to as usize] {
                        low[block as usize] = low[block as usize].min(order[to as usize]);
                    }
                    continue;
                }
                calls.pop();
                if let Some((above, _)) = calls.last() {
                    low[*above as usize] = low[*above as usize].min(low[block as usize]);
                }
                if low[block as usize] == order[block as usize] {
                    let from = stack.iter().rposition(|&on| on == block).unwrap_or(0);
                    let component = stack.split_off(from);
                    for &block in &component {
                        on_stack[block as usize] = false;
                    }
                    components.push(component);
                }
            }
        }
        components
    }

    fn open(&self, held: &[Held], block: u32) -> Vec<u32> {
        let out = self.out(block).map(|(to, _)| to);
        out.filter(|&to| held[to as usize] == Held::Not).collect()
    }

    /// The shortest way through a component from one of its objects back to it: `(block, offset in words)`.
    pub(super) fn round(&self, component: &[u32]) -> Vec<(u32, u32)> {
        let mut members = component.to_vec();
        members.sort_unstable();
        let at = |block: u32| members.binary_search(&block).ok();
        let Some(&start) = members
            .iter()
            .filter(|&&block| self.owners[block as usize] != 0)
            .min_by_key(|&&block| self.objects[self.owners[block as usize] as usize - 1].id)
        else {
            return Vec::new();
        };
        let mut from: Vec<Option<(u32, u32)>> = vec![None; members.len()];
        let mut queue = VecDeque::from([start]);
        while let Some(block) = queue.pop_front() {
            for (to, offset) in self.out(block) {
                let Some(index) = at(to) else { continue };
                if from[index].is_none() {
                    from[index] = Some((block, offset));
                    queue.push_back(to);
                }
            }
        }
        let mut round = Vec::new();
        let mut block = start;
        while let Some(step) = at(block).and_then(|index| from[index]) {
            round.push(step);
            block = step.0;
            if block == start {
                break;
            }
        }
        round.reverse();
        round
    }

    /// What the program may still reach, every word counted. `None`: nothing leads there.
    pub(super) fn reached(&self, memory: &impl Memory) -> Vec<Option<Reach>> {
        let mut reached = vec![None; self.blocks.len()];
        let mut queue = VecDeque::new();
        let sightings = &self.scanned.sightings;
        for edge in self.scanned.from_areas.iter().filter(|edge| {
            // Without the rule, a word leads to no object.
            self.rules.apply(Rule::Words) || self.owners[edge.to as usize] == 0
        }) {
            reach(&mut reached, &mut queue, edge.to, Reach::Area(edge.area));
        }
        let copies = sightings[self.in_blocks..].iter();
        for found in copies.filter(|_| self.rules.apply(Rule::Copies)) {
            if let (Some(block), Some(area)) = (self.target(found.handle), found.source.as_area()) {
                reach(&mut reached, &mut queue, block, Reach::Area(area as u32));
            }
        }
        for (object, why) in self.unaccounted() {
            reach(&mut reached, &mut queue, self.block_of[object], why);
        }
        self.spread(&mut reached, &mut queue);
        let strangers = self.shared_by_strangers(memory, &reached);
        for block in strangers.into_iter().filter(|_| self.rules.apply(Rule::StdCounts)) {
            reach(&mut reached, &mut queue, block, Reach::StdRc);
        }
        self.spread(&mut reached, &mut queue);
        reached
    }

    fn spread(&self, reached: &mut [Option<Reach>], queue: &mut VecDeque<u32>) {
        let sightings = &self.scanned.sightings[..self.in_blocks];
        while let Some(block) = queue.pop_front() {
            let Some(why) = reached[block as usize] else { continue };
            for &to in self.scanned.edges.targets(block) {
                if self.rules.apply(Rule::Words) || self.owners[to as usize] == 0 {
                    reach(reached, queue, to, why);
                }
            }
            if !self.rules.apply(Rule::Copies) {
                continue;
            }
            let from = sightings.partition_point(|s| s.source.as_block() < Some(block));
            for found in sightings[from..].iter().take_while(|s| s.source.as_block() == Some(block))
            {
                if let Some(to) = self.target(found.handle) {
                    reach(reached, queue, to, why);
                }
            }
        }
    }

    /// The objects that have an owner which was not found.
    fn unaccounted(&self) -> Vec<(usize, Reach)> {
        let mut strong = vec![0_u32; self.objects.len()];
        let mut whole = vec![false; self.handles.len()];
        let mut found = Vec::new();
        for sighting in self.scanned.sightings.iter().filter(|sighting| sighting.is_complete) {
            whole[sighting.handle as usize] = true;
        }
        for (handle, input) in self.handles.iter().enumerate() {
            strong[input.object as usize] += u32::from(input.strong);
            if input.raw {
                if self.rules.apply(Rule::Raw) {
                    found.push((input.object as usize, Reach::Raw));
                }
            } else if !whole[handle] && self.rules.apply(Rule::Handles) {
                // Weak ones too: who has it may upgrade it.
                found.push((input.object as usize, Reach::NotFound));
            }
        }
        for (object, input) in self.objects.iter().enumerate() {
            let std = if input.is_counted() { self.scanned.counts[object][0] } else { 1 };
            let handles = u64::from(strong[object]);
            let is_other = std != handles || std != u64::from(input.strong);
            if is_other && self.rules.apply(Rule::Counts) {
                found.push((object, Reach::Untraced));
            }
        }
        found.retain(|&(object, _)| self.block_of[object] != NONE);
        found
    }

    /// Blocks that begin as std's `Rc` does, with a count above that of the pointers found.
    fn shared_by_strangers(&self, memory: &impl Memory, reached: &[Option<Reach>]) -> Vec<u32> {
        let plain = |&block: &u32| {
            reached[block as usize].is_none()
                && self.owners[block as usize] == 0
                && (!self.scanned.edges.targets(block).is_empty()
                    || !self.owned_by(block).is_empty())
        };
        let plain: Vec<u32> = (0..self.blocks.len() as u32).filter(plain).collect();
        let mut pointers = vec![0_u64; plain.len()];
        for from in 0..self.blocks.len() as u32 {
            if reached[from as usize].is_some() {
                continue;
            }
            for to in self.scanned.edges.targets(from) {
                if let Ok(at) = plain.binary_search(to) {
                    pointers[at] += 1;
                }
            }
        }
        let starts: Vec<u64> =
            plain.iter().map(|&block| self.blocks.start[block as usize]).collect();
        let counts = memory.pairs(&starts);
        let more = |at: usize| {
            counts[at].is_some_and(|[strong, weak]| {
                (1..1 << 31).contains(&weak)
                    && (2..1 << 31).contains(&strong)
                    && strong > pointers[at]
            })
        };
        (0..plain.len()).filter(|&at| more(at)).map(|at| plain[at]).collect()
    }
}

fn hold(held: &mut [Held], queue: &mut VecDeque<u32>, block: u32, by: Held) {
    let held = &mut held[block as usize];
    if *held == Held::Not {
        *held = by;
        queue.push_back(block);
    }
}

fn reach(reached: &mut [Option<Reach>], queue: &mut VecDeque<u32>, block: u32, why: Reach) {
    let reached = &mut reached[block as usize];
    if reached.is_none() {
        *reached = Some(why);
        queue.push_back(block);
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
