//! Who holds what, for the text: the shortest way from a root to each block, and the cycles that none reaches.

use super::copies::Asked;
use super::graph::{Graph, NONE};
use super::memory::Memory;
use super::rules::Rule;
use super::scan::AreaKind;
use super::spare::{Edge, Spare};
use std::collections::{BTreeSet, VecDeque};

/// Roots are looked at in turns.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Turn {
    Statics,
    Stacks,
    Unknown,
}

/// Why a block is held in the guess. There is one for each block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Held {
    /// Not reached yet.
    Not,
    /// By a word of another block, at an offset in words.
    By(u32, u32),
    /// By a word of an area, by its index in [`Scanned::from_areas`](super::scan::Scanned).
    Word(u32),
    /// By a handle in an area, by the index of the sighting.
    Handle(u32),
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

/// Edges that are left for later, at most: each is asked about.
const LEFT: usize = 1 << 16;

impl Graph {
    /// Who holds each block, by the shortest way: statics and thread-locals first, then stacks, and last memory that nobody
    /// knows, where old words stand as well. And the edges to use last, once the cycles are named, and those that nothing is held by.
    pub(super) fn holders(
        &self,
        memory: &impl Memory,
        told: Asked<'_>,
    ) -> (Vec<Held>, Vec<Edge>, Vec<Edge>) {
        let mut held = vec![Held::Not; self.blocks.len()];
        let mut queue = VecDeque::new();
        let turn = |area: u32| match self.areas[area as usize] {
            AreaKind::Freed | AreaKind::Private => None,
            AreaKind::Unknown => Some(Turn::Unknown),
            _ if self.is_doubtful(area) => Some(Turn::Stacks),
            _ => Some(Turn::Statics),
        };
        let led_to = self.led_to();
        let mut spare = Spare::new(self, memory, told);
        let (mut of_objects, mut left) = (Vec::new(), Vec::new());
        for now in [Turn::Statics, Turn::Stacks, Turn::Unknown] {
            let from_stacks =
                (now == Turn::Stacks).then(|| self.held_by_stacks(memory, &led_to, &spare));
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
                    hold(&mut held, &mut queue, block, Held::Handle(sighting));
                }
            }
            for (index, edge) in self.scanned.from_areas.iter().enumerate() {
                let counts = turn(edge.area) == Some(now)
                    && from_stacks.as_ref().is_none_or(|allowed| allowed.contains(&(index as u32)));
                if counts && self.owners[edge.to as usize] == 0 {
                    hold(&mut held, &mut queue, edge.to, Held::Word(index as u32));
                }
            }
            if now != Turn::Statics {
                let used = |edge, held: &[Held]| {
                    self.offset_unless_of_object(memory, edge, &of_objects, &mut left)?;
                    spare.offset_in_use(self, edge, held)
                };
                self.flood_but(&mut held, &mut queue, used);
                continue;
            }
            self.flood_but(&mut held, &mut queue, |edge, held| {
                spare.offset_in_use(self, edge, held)
            });
            for (block, by) in self.elsewhere() {
                hold(&mut held, &mut queue, block, by);
            }
            self.flood_but(&mut held, &mut queue, |edge, held| {
                spare.offset_in_use(self, edge, held)
            });
            let open = (0..self.blocks.len() as u32).filter(|&block| {
                held[block as usize] == Held::Not && self.owners[block as usize] != 0
            });
            let plain = open.flat_map(|block| self.scanned.edges.targets(block)).copied();
            of_objects = self.plain_from(plain, |_| true);
        }
        self.hold_rings_of_locals(&mut held, &mut queue, &led_to, &of_objects);
        self.flood_but(&mut held, &mut queue, |edge, held| {
            self.offset_unless_of_object(memory, edge, &of_objects, &mut left)?;
            spare.offset_in_use(self, edge, held)
        });
        for &(from, to, offset) in &spare.doubtful {
            hold(&mut held, &mut queue, to, Held::By(from, offset));
        }
        self.flood_but(&mut held, &mut queue, |edge, _| {
            self.offset_unless_of_object(memory, edge, &of_objects, &mut left)
        });
        (held, left, spare.old)
    }

    /// The offset of an edge. `None`, and it is noted: it leads from a plain block to one that an object leads to as well, such as
    /// its `Vec`'s buffer, and the word is likely an old one; unless that block counts its owners.
    fn offset_unless_of_object(
        &self,
        memory: &impl Memory,
        edge: Edge,
        of_objects: &[bool],
        left: &mut Vec<Edge>,
    ) -> Option<u32> {
        let (from, to, offset) = edge;
        let of_object = |block: u32| self.owners[block as usize] != 0 || of_objects[block as usize];
        if !of_objects[to as usize] || of_object(from) || left.len() >= LEFT {
            return Some(offset);
        }
        let counts = memory.pairs(&[self.blocks.start[to as usize]]);
        let counted = counts[0].is_some_and(|[strong, weak]| {
            (2..1 << 31).contains(&strong) && (1..1 << 31).contains(&weak)
        });
        if !counted {
            left.push(edge);
        }
        counted.then_some(offset)
    }

    /// The blocks of a local that point to each other, as the nodes of a tree or of a list do that have their parent's or
    /// neighbour's address: without an object among them they are no cycle, and what led to them is a word on a stack, that
    /// did not count since something else points there, too.
    fn hold_rings_of_locals(
        &self,
        held: &mut [Held],
        queue: &mut VecDeque<u32>,
        led_to: &[bool],
        of_objects: &[bool],
    ) {
        let is_open = |block: u32| held[block as usize] == Held::Not && led_to[block as usize];
        let on_stacks = (self.scanned.from_areas.iter().zip(0..)).filter(|(edge, _)| {
            let is_stack = matches!(self.areas[edge.area as usize], AreaKind::Stack(_));
            is_stack && is_open(edge.to) && self.owners[edge.to as usize] == 0
        });
        let on_stacks: Vec<(u32, u32)> = on_stacks.map(|(edge, word)| (edge.to, word)).collect();
        if on_stacks.is_empty() {
            return;
        }
        let components = self.components(is_open);
        let tops = self.tops(&components);
        let rings = components.iter().zip(tops).filter(|(blocks, is_top)| {
            *is_top && blocks.iter().all(|&block| self.owners[block as usize] == 0)
        });
        let rings = rings.flat_map(|(blocks, _)| blocks).copied();
        let in_rings =
            self.plain_from(rings, |block| is_open(block) && !of_objects[block as usize]);
        for (block, word) in on_stacks.into_iter().filter(|&(block, _)| in_rings[block as usize]) {
            hold(held, queue, block, Held::Word(word));
        }
    }

    /// Which plain blocks some blocks, if they are plain themselves, lead to, on a way without objects.
    pub(super) fn plain_from(
        &self,
        blocks: impl Iterator<Item = u32>,
        may_be: impl Fn(u32) -> bool,
    ) -> Vec<bool> {
        let mut reached = vec![false; self.blocks.len()];
        let mut next: Vec<u32> = blocks.collect();
        while let Some(block) = next.pop() {
            let is_plain = self.owners[block as usize] == 0 && may_be(block);
            if is_plain && !std::mem::replace(&mut reached[block as usize], true) {
                next.extend_from_slice(self.scanned.edges.targets(block));
            }
        }
        reached
    }

    /// Objects with a handle that is in no memory that was searched.
    fn elsewhere(&self) -> Vec<(u32, Held)> {
        let mut hidden = Vec::new();
        let mut strong = vec![0_u32; self.block_of.len()];
        for (handle, &sighting) in self.chosen.iter().enumerate() {
            let input = &self.handles[handle];
            strong[input.object as usize] += u32::from(input.strong);
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
            if self.block_of[object] != NONE
                && input.is_counted()
                && self.scanned.counts[object] > input.strong.min(strong[object])
                && self.rules.apply(Rule::Counts)
            {
                hidden.push((self.block_of[object], Held::Untraced));
            }
        }
        hidden
    }

    /// The words on stacks that count in the guess: a block that something else points to is not held by a word that may
    /// be a copy, unless it counts its owners and has one more.
    fn held_by_stacks<M: Memory>(
        &self,
        memory: &M,
        led_to: &[bool],
        spare: &Spare<'_, M>,
    ) -> BTreeSet<u32> {
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
        let from = (0..self.blocks.len() as u32).filter(|&block| led_to[block as usize]);
        for &to in from.flat_map(|block| self.scanned.edges.targets(block)) {
            if let Ok(at) = targets.binary_search(&to) {
                pointers[at] += 1;
            }
        }
        for (_, to, _) in spare.old.iter().chain(&spare.doubtful) {
            if let Ok(at) = targets.binary_search(to) {
                pointers[at] = pointers[at].saturating_sub(1);
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
            let area = &self.areas[edge.area as usize];
            let is_none = matches!(area, AreaKind::Freed | AreaKind::Private);
            if !is_none && !std::mem::replace(&mut led_to[edge.to as usize], true) {
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
        let is_root = |area: u32| {
            let area = &self.areas[area as usize];
            !matches!(area, AreaKind::Stack(_) | AreaKind::Freed | AreaKind::Private)
        };
        let words = self.scanned.from_areas.iter();
        let words = words.filter(|edge| is_root(edge.area) && self.owners[edge.to as usize] == 0);
        let handles = self.chosen.iter().enumerate().filter_map(|(handle, &sighting)| {
            let found = self.scanned.sightings.get(sighting as usize)?;
            found.source.as_area().filter(|_| self.handles[handle].keeps())?;
            self.target(handle as u32)
        });
        let hidden = self.elsewhere().into_iter().map(|(block, _)| block);
        let roots = words.map(|edge| edge.to).chain(handles).chain(hidden);
        roots.filter(|&block| held[block as usize] != Held::Not).collect()
    }

    fn flood(&self, held: &mut [Held], queue: &mut VecDeque<u32>) {
        self.flood_but(held, queue, |(_, _, offset), _| Some(offset));
    }

    /// The same, but for edges that `offset_of` leaves for later; of the others it says where the word stands.
    fn flood_but(
        &self,
        held: &mut [Held],
        queue: &mut VecDeque<u32>,
        mut offset_of: impl FnMut(Edge, &[Held]) -> Option<u32>,
    ) {
        while let Some(block) = queue.pop_front() {
            for (to, offset) in self.out(block) {
                if held[to as usize] == Held::Not
                    && let Some(offset) = offset_of((block, to, offset), held)
                {
                    hold(held, queue, to, Held::By(block, offset));
                }
            }
        }
    }

    /// Names the cycles among what nothing holds, and gives what they hold its holder. Returns each cycle's blocks. In `left` stay
    /// the edges that nothing is held by.
    pub(super) fn cycles(&self, held: &mut [Held], left: &mut Vec<Edge>) -> Vec<Vec<u32>> {
        let components = self.components(|block| held[block as usize] == Held::Not);
        let top = self.tops(&components);
        let mut cycles: Vec<Vec<u32>> = Vec::new();
        let (mut queue, mut unreferenced) = (VecDeque::new(), Vec::new());
        for (component, blocks) in components.into_iter().enumerate() {
            let is_cycle = blocks.len() > 1 || self.out(blocks[0]).any(|(to, _)| to == blocks[0]);
            let has_object = blocks.iter().any(|&block| self.owners[block as usize] != 0);
            if is_cycle && has_object {
                for &block in &blocks {
                    hold(held, &mut queue, block, Held::Cycle(cycles.len() as u32));
                }
                cycles.push(blocks);
            } else if top[component] {
                unreferenced.push(blocks[0]);
            }
        }
        self.flood(held, &mut queue);
        for &(from, to, offset) in left.iter() {
            hold(held, &mut queue, to, Held::By(from, offset));
        }
        left.retain(|&(from, to, offset)| held[to as usize] != Held::By(from, offset));
        self.flood(held, &mut queue);
        for block in unreferenced {
            hold(held, &mut queue, block, Held::Unreferenced);
        }
        self.flood(held, &mut queue);
        cycles
    }

    /// Whether each component is one that no other of them leads to.
    fn tops(&self, components: &[Vec<u32>]) -> Vec<bool> {
        let mut top = vec![true; components.len()];
        let mut number = vec![NONE; self.blocks.len()];
        for (component, blocks) in components.iter().enumerate() {
            for &block in blocks {
                number[block as usize] = component as u32;
            }
        }
        for (component, blocks) in components.iter().enumerate() {
            for (to, _) in blocks.iter().flat_map(|&block| self.out(block)) {
                let other = number[to as usize];
                if other != NONE && other != component as u32 {
                    top[other as usize] = false;
                }
            }
        }
        top
    }

    /// Tarjan's strongly connected components of the blocks that are open.
    fn components(&self, is_open: impl Fn(u32) -> bool) -> Vec<Vec<u32>> {
        let open = |block: u32| -> Vec<u32> {
            self.out(block).map(|(to, _)| to).filter(|&to| is_open(to)).collect()
        };
        let count = self.blocks.len();
        let (mut order, mut low) = (vec![0_u32; count], vec![0_u32; count]);
        let mut on_stack = vec![false; count];
        let (mut stack, mut components, mut next) = (Vec::new(), Vec::new(), 1);
        for root in 0..count as u32 {
            if !is_open(root) || order[root as usize] != 0 {
                continue;
            }
            let mut calls = vec![(root, open(root))];
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
                        calls.push((to, open(to)));
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
}

fn hold(held: &mut [Held], queue: &mut VecDeque<u32>, block: u32, by: Held) {
    let held = &mut held[block as usize];
    if *held == Held::Not {
        *held = by;
        queue.push_back(block);
    }
}
