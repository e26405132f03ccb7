//! Which words that lead from block to block seem to be old ones: they stand in a buffer where it is not in use.

use super::btree::{Root, Trees};
use super::buffer::{Beside, Buffer, slice_of};
use super::collections::{Buckets, Claim, Life, Told};
use super::copies::Asked;
use super::graph::{Graph, NONE};
use super::guess::Held;
use super::memory::Memory;
use super::queue::TakenSlots;
use super::scan::{AreaEdge, AreaKind};
use std::collections::HashMap;
use std::ops::Range;

/// From a block to a block, and the word's offset in the first one, in words.
pub(super) type Edge = (u32, u32, u32);

/// The edges that are looked at, whatever they lead to.
const ASKED: u32 = 1 << 15;
/// Those that are looked at at all: each takes a microsecond, if what is to be read lies far apart.
const MOST: u32 = 4 * ASKED;

/// The edges that come last: from where a buffer is not in use, and words that are no plain address.
///
/// Past [`ASKED`] edges those alone are looked at that lead to what a word on a stack leads to as well: only there may another
/// holder be the right one.
pub(super) struct Spare<'a, M> {
    beside: Beside<'a, M>,
    in_blocks: Beside<'a, M>,
    /// What the types say of the pointers in statics and thread-locals, by the address of each.
    told: HashMap<u64, Told>,
    asked: u32,
    /// The plain blocks that words on stacks lead to, on a way without objects.
    of_stacks: Vec<bool>,
    trees: Trees,
    /// Of the block that was asked about last.
    words: SpareWords,
    last: u32,
    /// Those that are old for certain: a hash table or a tree says so, or the type of a static's `Vec`.
    pub(super) old: Vec<Edge>,
    /// Those that may be: from where a `Vec` is not in use, if it is one, and words that few pointers are like, text and
    /// numbers, or an address with marks in its lowest bits.
    pub(super) doubtful: Vec<Edge>,
}

impl<'a, M: Memory> Spare<'a, M> {
    pub(super) fn new(graph: &Graph, memory: &'a M, told: Asked<'_>) -> Self {
        let on_stacks = graph
            .scanned
            .from_areas
            .iter()
            .filter(|edge| matches!(graph.areas[edge.area as usize], AreaKind::Stack(_)));
        Self {
            beside: Beside::new(memory),
            in_blocks: Beside::new(memory),
            told: told_of_roots(graph, memory, told),
            asked: 0,
            of_stacks: graph.plain_from(on_stacks.map(|edge| edge.to), |_| true),
            trees: Trees::default(),
            words: SpareWords::None,
            last: NONE,
            old: Vec::new(),
            doubtful: Vec::new(),
        }
    }

    /// Where a word stands, as an offset in words, that leads where an edge does and is not one that comes last. `None`: the edge
    /// comes last. `held` has the holder of the block that it is from.
    pub(super) fn offset_in_use(
        &mut self,
        graph: &Graph,
        edge: Edge,
        held: &[Held],
    ) -> Option<u32> {
        let (from, to, offset) = edge;
        // A handle is where it was found to be.
        if graph.owners[from as usize] != 0 || graph.owners[to as usize] != 0 {
            return Some(offset);
        }
        // What a local leads to is entered once.
        let is_entered = self.of_stacks[to as usize] && !self.of_stacks[from as usize];
        if self.asked >= MOST || (self.asked >= ASKED && !is_entered) {
            return Some(offset);
        }
        self.asked = self.asked.saturating_add(1);
        let block = graph.blocks.range(from as usize);
        if std::mem::replace(&mut self.last, from) != from {
            let pointer = match held[from as usize] {
                Held::By(by, words) => {
                    let start = graph.blocks.start[by as usize];
                    let mut values = graph.values(by);
                    // Of an `Rc` of std's the counts are no capacity.
                    let mut is_count =
                        |at| self.beside.word(at).is_some_and(|word| (1..1 << 31).contains(&word));
                    if words == 2 && values.start == start && is_count(start) && is_count(start + 8)
                    {
                        values.start += 16;
                    }
                    Some((start + 8 * u64::from(words), values, false))
                }
                Held::Word(word) => {
                    let word = &graph.scanned.from_areas[word as usize];
                    let is_stack = matches!(graph.areas[word.area as usize], AreaKind::Stack(_));
                    Some((word.address, 0..u64::MAX, is_stack))
                }
                _ => None,
            };
            self.words = pointer.map_or(SpareWords::None, |pointer| {
                self.spare_words(graph, (from, &block), pointer)
            });
        }
        let mut offset = 8 * u64::from(offset);
        if self.has(from, offset, to) {
            match self.leads_there((from, &block), offset, (to, &graph.blocks.range(to as usize))) {
                Some(used) => offset = used,
                None => {
                    let is_certain = match &self.words {
                        SpareWords::Table(_) | SpareWords::Node => true,
                        SpareWords::Vec(claim) => claim.life(offset) == Life::Dead,
                        _ => false,
                    };
                    let edges = if is_certain { &mut self.old } else { &mut self.doubtful };
                    edges.push(edge);
                    return None;
                }
            }
        }
        let word = self.in_blocks.word(block.start + offset);
        if word.is_some_and(|word| !word.is_multiple_of(8)) {
            self.doubtful.push(edge);
            return None;
        }
        Some((offset / 8) as u32)
    }

    /// The words of a block that are not in use, by the pointer to it at an address, which is `within` a value or a block; or on
    /// a stack, where what is beside it may be anything, and a tree alone is recognised.
    fn spare_words(
        &mut self,
        graph: &Graph,
        (block, range): (u32, &Range<u64>),
        (at, within, is_stack): (u64, Range<u64>, bool),
    ) -> SpareWords {
        if self.trees.is_node(block) {
            return SpareWords::Node;
        }
        let told = self.told.get(&at).copied().unwrap_or(Told::End(within.end));
        let words = self.beside.around(at, &within);
        let memory = self.beside.memory;
        if let Some(root) = Root::new(words[4], words[5]).filter(|_| words[3] == range.start) {
            self.trees.recognise(memory, &graph.blocks, (block, root));
            if self.trees.is_node(block) {
                return SpareWords::Node;
            }
        }
        if is_stack {
            return SpareWords::None;
        }
        let buffer = Buffer::new(range, at, words, told);
        let is_buffer = |of| matches!(&buffer, Some(Buffer::Vec(claim)) if claim.is_of(of));
        let taken = TakenSlots::linked(memory, &graph.blocks, block, is_buffer);
        let slice = slice_of(range, words, buffer.as_ref());
        let bounded = |count| TakenSlots::bounded(memory, &graph.blocks, (block, count), &[]);
        if let Some(taken) = taken.or_else(|| slice.and_then(bounded)) {
            return SpareWords::Queue(taken);
        }
        match buffer {
            Some(Buffer::Vec(claim)) => SpareWords::Vec(claim),
            Some(Buffer::Table(table)) => {
                table.read(memory, range.start).map_or(SpareWords::None, SpareWords::Table)
            }
            Some(Buffer::Bytes) => SpareWords::All,
            None => SpareWords::None,
        }
    }

    /// Whether the word at an offset of a block, which leads to another, seems to be an old one.
    fn has(&self, block: u32, offset: u64, to: u32) -> bool {
        match &self.words {
            SpareWords::None => false,
            SpareWords::Vec(claim) => {
                let life = claim.life(offset);
                matches!(life, Life::Spare | Life::SpareOrOther | Life::Dead)
            }
            SpareWords::Table(buckets) => buckets.is_full(offset) == Some(false),
            SpareWords::Node => {
                self.trees.is_in_use(block, offset) == Some(false)
                    || self.trees.is_stale((block, offset), to)
            }
            SpareWords::Queue(taken) => taken.has(offset),
            SpareWords::All => true,
        }
    }

    /// The offset of a word in use, behind another, that leads to a block: of the words that lead to one, an edge has the first.
    fn leads_there(
        &mut self,
        (from, range): (u32, &Range<u64>),
        offset: u64,
        (to, target): (u32, &Range<u64>),
    ) -> Option<u64> {
        let mut words = (offset + 8..range.end - range.start).step_by(8).take(LOOKED_AT);
        words.find(|&offset| {
            let word = self.in_blocks.word(range.start + offset);
            word.is_some_and(|word| target.contains(&word)) && !self.has(from, offset, to)
        })
    }
}

/// Asks of the pointers in statics and thread-locals what they are, where room of a `Vec` may not be in use that leads somewhere.
fn told_of_roots(graph: &Graph, memory: &impl Memory, told: Asked<'_>) -> HashMap<u64, Told> {
    let mut beside = Beside::new(memory);
    let matters = |edge: &&AreaEdge| {
        let area = &graph.areas[edge.area as usize];
        let is_root = matches!(area, AreaKind::Static(_) | AreaKind::ThreadLocal(_));
        if !is_root || graph.is_doubtful(edge.area) || graph.owners[edge.to as usize] != 0 {
            return false;
        }
        let words = beside.around(edge.address, &(0..u64::MAX));
        let block = graph.blocks.range(edge.to as usize);
        let Some(Buffer::Vec(claim)) = Buffer::new(&block, edge.address, words, Told::Nothing)
        else {
            return false;
        };
        let mut edges = graph.scanned.edges.of(edge.to);
        edges.any(|(_, offset)| claim.life(8 * u64::from(offset)) != Life::Alive)
    };
    let asked: Vec<&AreaEdge> = graph.scanned.from_areas.iter().filter(matters).collect();
    if asked.is_empty() {
        return HashMap::new();
    }
    let place = |edge: &&AreaEdge| (&graph.areas[edge.area as usize], edge.address);
    let places: Vec<(&AreaKind, u64)> = asked.iter().map(place).collect();
    asked.iter().map(|edge| edge.address).zip(told(&places, &graph.objects)).collect()
}

/// Words of a block in which another one to the same block is looked for.
const LOOKED_AT: usize = 1 << 12;

/// Which words of a block are not in use, by one pointer to it.
enum SpareWords {
    /// Nothing is known of them.
    None,
    Vec(Claim),
    Table(Buckets),
    /// It is a node of a tree.
    Node,
    Queue(TakenSlots),
    All,
}
