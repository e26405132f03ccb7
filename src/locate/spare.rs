//! Which words that lead from block to block seem to be old ones: they stand in a buffer where it is not in use.

use super::buffer::{Beside, Buffer};
use super::collections::{Buckets, Claim, Life, Told};
use super::graph::{Graph, NONE};
use super::guess::Held;
use super::memory::Memory;
use super::scan::AreaKind;
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
    asked: u32,
    /// The plain blocks that words on stacks lead to, on a way without objects.
    of_stacks: Vec<bool>,
    /// Of the block that was asked about last.
    words: SpareWords,
    last: u32,
    /// Those that are old for certain: a hash table says so.
    pub(super) old: Vec<Edge>,
    /// Those that may be: from where a `Vec` is not in use, if it is one, and words that few pointers are like, text and
    /// numbers, or an address with marks in its lowest bits.
    pub(super) doubtful: Vec<Edge>,
}

impl<'a, M: Memory> Spare<'a, M> {
    pub(super) fn new(graph: &Graph, memory: &'a M) -> Self {
        let on_stacks = graph
            .scanned
            .from_areas
            .iter()
            .filter(|edge| matches!(graph.areas[edge.area as usize], AreaKind::Stack(_)));
        Self {
            beside: Beside::new(memory),
            in_blocks: Beside::new(memory),
            asked: 0,
            of_stacks: graph.plain_from(on_stacks.map(|edge| edge.to), |_| true),
            words: SpareWords::None,
            last: NONE,
            old: Vec::new(),
            doubtful: Vec::new(),
        }
    }

    /// Whether an edge is one. `held` has the holder of the block that it is from.
    pub(super) fn is_one(&mut self, graph: &Graph, edge: Edge, held: &[Held]) -> bool {
        let (from, to, offset) = edge;
        // A handle is where it was found to be.
        if graph.owners[from as usize] != 0 || graph.owners[to as usize] != 0 {
            return false;
        }
        // What a local leads to is entered once.
        let is_entered = self.of_stacks[to as usize] && !self.of_stacks[from as usize];
        if self.asked >= MOST || (self.asked >= ASKED && !is_entered) {
            return false;
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
                    Some((start + 8 * u64::from(words), values))
                }
                Held::Word(word) => {
                    Some((graph.scanned.from_areas[word as usize].address, 0..u64::MAX))
                }
                _ => None,
            };
            self.words = pointer.map_or(SpareWords::None, |pointer| {
                SpareWords::new(&block, pointer, &mut self.beside)
            });
        }
        let offset = 8 * u64::from(offset);
        if self.words.has(block.end - block.start, offset)
            && !self.leads_there(&block, offset, &graph.blocks.range(to as usize))
        {
            let is_certain = matches!(self.words, SpareWords::Table(_));
            let edges = if is_certain { &mut self.old } else { &mut self.doubtful };
            edges.push(edge);
            return true;
        }
        let word = self.in_blocks.word(block.start + offset);
        let is_odd = word.is_some_and(|word| !word.is_multiple_of(8));
        if is_odd {
            self.doubtful.push(edge);
        }
        is_odd
    }
}

impl<M: Memory> Spare<'_, M> {
    /// Whether a word in use behind an offset leads to a block: of the words that lead to one, an edge has the first.
    fn leads_there(&mut self, from: &Range<u64>, offset: u64, to: &Range<u64>) -> bool {
        let words = (offset + 8..from.end - from.start).step_by(8).take(LOOKED_AT);
        let bytes = from.end - from.start;
        for offset in words {
            let word = self.in_blocks.word(from.start + offset);
            if word.is_some_and(|word| to.contains(&word)) && !self.words.has(bytes, offset) {
                return true;
            }
        }
        false
    }
}

/// Words of a block in which another one to the same block is looked for.
const LOOKED_AT: usize = 1 << 12;

/// Which words of a block are not in use, by one pointer to it.
enum SpareWords {
    /// Nothing is known of them.
    None,
    Vec(Claim),
    Table(Buckets),
    All,
}

impl SpareWords {
    /// By the pointer at an address, which is `within` a value or a block.
    fn new<M: Memory>(
        block: &Range<u64>,
        (at, within): (u64, Range<u64>),
        beside: &mut Beside<'_, M>,
    ) -> Self {
        match Buffer::new(block, at, beside.around(at, &within), Told::End(within.end)) {
            Some(Buffer::Vec(claim)) => Self::Vec(claim),
            Some(Buffer::Table(table)) => {
                table.read(beside.memory, block.start).map_or(Self::None, Self::Table)
            }
            Some(Buffer::Bytes) => Self::All,
            None => Self::None,
        }
    }

    /// Whether the word at an offset of the block of so many bytes seems to be an old one.
    fn has(&self, bytes: u64, offset: u64) -> bool {
        match self {
            Self::None => false,
            Self::Vec(claim) => {
                let life = claim.life(bytes, offset);
                matches!(life, Life::Spare | Life::SpareOrOther | Life::Dead)
            }
            Self::Table(buckets) => buckets.is_full(offset) == Some(false),
            Self::All => true,
        }
    }
}
