//! What the program may still reach, for proofs: every word counts, stale copies and weak handles too.

use super::graph::{Graph, NONE};
use super::memory::Memory;
use super::rules::Rule;
use super::scan::AreaKind;
use std::collections::VecDeque;

/// Why something may still reach a block, in the proof.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reach {
    Area(u32),
    NotFound,
    Raw,
    Untraced,
    /// It looks as the block of an std `Rc` with more owners than were found.
    StdRc,
    /// A handle of it is in a block that nothing was found to point to.
    Hidden,
}

impl Graph {
    /// What the program may still reach, every word counted. `None`: nothing leads there.
    pub(super) fn reached(&self, memory: &impl Memory) -> Vec<Option<Reach>> {
        let mut reached = vec![None; self.blocks.len()];
        let mut queue = VecDeque::new();
        for edge in self.scanned.from_areas.iter().filter(|edge| {
            // Without the rule, a word leads to no object.
            !self.is_private(edge.area)
                && (self.rules.apply(Rule::Words) || self.owners[edge.to as usize] == 0)
        }) {
            reach(&mut reached, &mut queue, edge.to, Reach::Area(edge.area));
        }
        let copies = self.scanned.sightings[self.in_blocks()..].iter();
        for found in copies.filter(|_| self.rules.apply(Rule::Copies)) {
            if let (Some(block), Some(area)) = (self.target(found.handle()), found.source.as_area())
            {
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
        for block in self.hidden(&reached) {
            reach(&mut reached, &mut queue, block, Reach::Hidden);
        }
        self.spread(&mut reached, &mut queue);
        reached
    }

    /// What handles lead to that are in blocks which neither a root nor an object leads to: such a block was leaked, or the
    /// program has its address in a form of its own. Plain pointers in one do not count: what owns nothing is old, most likely.
    fn hidden(&self, reached: &[Option<Reach>]) -> Vec<u32> {
        if !self.rules.apply(Rule::Blocks) {
            return Vec::new();
        }
        let led_to = self.led_to_by_objects(reached);
        let all = 0..self.blocks.len() as u32;
        let hidden =
            all.filter(|&block| reached[block as usize].is_none() && !led_to[block as usize]);
        let found = hidden.flat_map(|block| &self.scanned.sightings[self.sightings_in(block)]);
        let whole = found.filter(|found| found.is_complete());
        whole.filter_map(|found| self.target(found.handle())).collect()
    }

    /// Which of the blocks that are not reached are objects, or led to by objects.
    fn led_to_by_objects(&self, reached: &[Option<Reach>]) -> Vec<bool> {
        let is_open = |block: u32| reached[block as usize].is_none();
        let all = || (0..self.blocks.len() as u32).filter(|&block| is_open(block));
        let mut led_to = vec![false; self.blocks.len()];
        let mut way: Vec<u32> = all().filter(|&block| self.owners[block as usize] != 0).collect();
        let from_private = self.scanned.from_areas.iter().filter(|edge| self.is_private(edge.area));
        way.extend(from_private.map(|edge| edge.to).filter(|&block| is_open(block)));
        way.iter().for_each(|&block| led_to[block as usize] = true);
        while let Some(block) = way.pop() {
            // A handle leads to an object, and those begin a way each.
            for &to in self.scanned.edges.targets(block) {
                if is_open(to) && !std::mem::replace(&mut led_to[to as usize], true) {
                    way.push(to);
                }
            }
        }
        led_to
    }

    fn is_private(&self, area: u32) -> bool {
        matches!(self.areas[area as usize], AreaKind::Private)
    }

    fn spread(&self, reached: &mut [Option<Reach>], queue: &mut VecDeque<u32>) {
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
            for found in &self.scanned.sightings[self.sightings_in(block)] {
                if let Some(to) = self.target(found.handle()) {
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
        for found in &self.scanned.sightings {
            whole[found.handle() as usize] |= found.is_complete() && !found.is_emptied();
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
            let std = if input.is_counted() { self.scanned.counts[object] } else { 1 };
            let is_other = std != strong[object] || std != input.strong;
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
                    || self.kept_by(block).next().is_some())
        };
        let plain: Vec<u32> = (0..self.blocks.len() as u32).filter(plain).collect();
        let mut pointers = vec![0_u64; plain.len()];
        // A pointer in a block that nothing leads to is old, most likely, and no owner.
        let led_to = self.led_to_by_objects(reached);
        for from in 0..self.blocks.len() as u32 {
            if reached[from as usize].is_some() || !led_to[from as usize] {
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

fn reach(reached: &mut [Option<Reach>], queue: &mut VecDeque<u32>, block: u32, why: Reach) {
    let reached = &mut reached[block as usize];
    if reached.is_none() {
        *reached = Some(why);
        queue.push_back(block);
    }
}
