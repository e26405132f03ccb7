//! Reads each word once: which are tickets, and which point to a block.

use super::blocks::Blocks;
use super::inputs::{HandleInput, ObjectInput};
use super::memory::{Memory, PAGE};
use crate::runtime::{handle, threads};
use std::ops::Range;
use std::sync::atomic::{AtomicU32, AtomicUsize, Ordering};
use std::time::Instant;

/// Memory that is no block of the heap: whatever is there is held.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Area {
    pub(super) range: Range<u64>,
    pub(super) kind: AreaKind,
}

/// What kind of memory it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum AreaKind {
    /// The data of a program or a library, its name.
    Static(String),
    /// A thread's own data, by the index of their [`Locals`].
    ThreadLocal(usize),
    /// The part of a thread's stack that is in use, and its registers.
    Stack(usize),
    /// Memory that nobody knows.
    Unknown,
    /// Blocks of an allocator that are free, or are another's now.
    Freed,
    /// Statics of refscope's and std's own, whose lists and caches lead to no handle of the program's, but to blocks in which
    /// old words of it stand.
    Private,
}

/// Whose thread-locals some are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Locals {
    /// The thread, by its index.
    pub(super) thread: usize,
    /// The program or library, by its index.
    pub(super) image: Option<usize>,
    /// Where they begin.
    pub(super) start: u64,
}

/// Where a word stands: in a block, or in an area.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Source(u32);

const AREA: u32 = 1 << 31;

impl Source {
    pub(super) fn block(block: u32) -> Self {
        Self(block)
    }

    pub(super) fn area(area: usize) -> Self {
        Self(area as u32 | AREA)
    }

    pub(super) fn as_block(self) -> Option<u32> {
        (self.0 & AREA == 0).then_some(self.0)
    }

    pub(super) fn as_area(self) -> Option<usize> {
        (self.0 & AREA != 0).then_some((self.0 & !AREA) as usize)
    }
}

/// A ticket that was found. A handle that was moved leaves such copies behind. There may be tens of millions.
#[derive(Clone, Copy, Debug)]
pub(super) struct Sighting {
    pub(super) address: u64,
    /// The handle, and in the highest bit whether it is whole.
    handle: u32,
    pub(super) source: Source,
}

const COMPLETE: u32 = 1 << 31;
const EMPTIED: u32 = 1 << 30;

impl Sighting {
    pub(super) fn new(
        address: u64,
        handle: u32,
        source: Source,
        [is_complete, is_emptied]: [bool; 2],
    ) -> Self {
        let complete = if is_complete { COMPLETE } else { 0 };
        let emptied = if is_emptied { EMPTIED } else { 0 };
        Self { address, handle: handle | complete | emptied, source }
    }

    pub(super) fn handle(&self) -> u32 {
        self.handle & !(COMPLETE | EMPTIED)
    }

    /// Whether the pointer is not in front of it: a variant without a handle leaves the ticket where it was, and the compiler may
    /// keep the two apart on a stack.
    pub(super) fn is_emptied(&self) -> bool {
        self.handle & EMPTIED != 0
    }

    /// Whether it is a whole handle: the pointer that belongs to it stands beside it, or is in its place.
    pub(super) fn is_complete(&self) -> bool {
        self.handle & COMPLETE != 0
    }
}

/// A word in an area that points to a block.
#[derive(Clone, Copy, Debug)]
pub(super) struct AreaEdge {
    pub(super) address: u64,
    pub(super) area: u32,
    pub(super) to: u32,
}

/// Which words of a block point to which other blocks: the edges from block `n` are `first[n]..first[n + 1]`.
#[derive(Debug, Default)]
pub(super) struct Edges {
    pub(super) first: Vec<u32>,
    pub(super) to: Vec<u32>,
    /// The offset in the block, in words.
    pub(super) offset: Vec<u32>,
}

impl Edges {
    #[inline]
    pub(super) fn of(&self, block: u32) -> impl Iterator<Item = (u32, u32)> + '_ {
        let range = self.first[block as usize] as usize..self.first[block as usize + 1] as usize;
        self.to[range.clone()].iter().copied().zip(self.offset[range].iter().copied())
    }

    pub(super) fn targets(&self, block: u32) -> &[u32] {
        &self.to[self.first[block as usize] as usize..self.first[block as usize + 1] as usize]
    }
}

/// What the words say.
#[derive(Debug, Default)]
pub(super) struct Scanned {
    pub(super) edges: Edges,
    pub(super) from_areas: Vec<AreaEdge>,
    /// By block, then those in areas.
    pub(super) sightings: Vec<Sighting>,
    /// Which of them stand in block `n`: `first_sighting[n]..first_sighting[n + 1]`.
    pub(super) first_sighting: Vec<u32>,
    /// Handles of which nothing was found but their place on another thread's stack, in order.
    pub(super) in_hand: Vec<u32>,
    /// The first word of each object's block: std's count of its strong owners, if it has one. Greater ones are `u32::MAX`.
    pub(super) counts: Vec<u32>,
    pub(super) bytes: u64,
    /// Memory that could not be read.
    pub(super) unread: u64,
    /// Whether time or room ran out.
    pub(super) is_cut: bool,
}

impl Scanned {
    /// Adds what was found in the blocks that come next, of which nothing is left.
    fn append(&mut self, next: &mut Self) {
        let (edges, sightings) = (self.edges.to.len() as u32, self.sightings.len() as u32);
        self.edges.first.extend(next.edges.first.drain(..).map(|first| first + edges));
        self.edges.to.append(&mut next.edges.to);
        self.edges.offset.append(&mut next.edges.offset);
        self.first_sighting.extend(next.first_sighting.drain(..).map(|at| at + sightings));
        self.sightings.append(&mut next.sightings);
        self.bytes += std::mem::take(&mut next.bytes);
        self.unread += std::mem::take(&mut next.unread);
        self.is_cut |= next.is_cut;
    }
}

/// Finds the block that an address points into, by its page.
pub(super) struct PageIndex {
    bounds: Range<u64>,
    /// For each 64 GB of the address space, which part of `granules` is theirs, from 1.
    spans: Vec<u32>,
    /// For each 16 MB of those, which part of `pages` is theirs, from 1.
    granules: Vec<u32>,
    /// The first block that starts in the page or behind it: 4096 pages and one more.
    pages: Vec<u32>,
}

const SPAN: u32 = 36;
const SPAN_GRANULES: u64 = 1 << (SPAN - GRANULE);
const GRANULE: u32 = 24;
const GRANULE_PAGES: u64 = (1 << GRANULE) / PAGE;
const ADDRESS_BITS: u32 = 48;

impl PageIndex {
    pub(super) fn new(blocks: &Blocks) -> Self {
        let end = blocks.len().checked_sub(1).map_or(0, |last| blocks.range(last).end);
        let bounds = blocks.start.first().copied().unwrap_or(0)..end.min(1 << ADDRESS_BITS);
        let mut index = Self {
            spans: vec![0; (bounds.end >> SPAN) as usize + 1],
            bounds,
            granules: Vec::new(),
            pages: Vec::new(),
        };
        let mut next = 0;
        for block in 0..blocks.len() {
            let range = blocks.range(block);
            for granule in range.start >> GRANULE..=(range.end - 1) >> GRANULE {
                let new = (index.pages.len() as u64 / (GRANULE_PAGES + 1)) as u32 + 1;
                let Some(part) = index.part_of(granule) else { break };
                if *part != 0 {
                    continue;
                }
                *part = new;
                for page in 0..=GRANULE_PAGES {
                    let start = (granule << GRANULE) + page * PAGE;
                    while blocks.start.get(next).is_some_and(|&block| block < start) {
                        next += 1;
                    }
                    index.pages.push(next as u32);
                }
                // The next granule's begin where this one's end; the last entry looked ahead.
            }
        }
        index
    }

    /// Which part of `pages` is a granule's. `None` past the bounds.
    fn part_of(&mut self, granule: u64) -> Option<&mut u32> {
        let span = self.spans.get_mut((granule / SPAN_GRANULES) as usize)?;
        if *span == 0 {
            *span = (self.granules.len() as u64 / SPAN_GRANULES) as u32 + 1;
            self.granules.resize(self.granules.len() + SPAN_GRANULES as usize, 0);
        }
        let at = u64::from(*span - 1) * SPAN_GRANULES + granule % SPAN_GRANULES;
        self.granules.get_mut(at as usize)
    }

    #[inline]
    pub(super) fn find(&self, blocks: &Blocks, address: u64) -> Option<u32> {
        if !self.bounds.contains(&address) {
            return None;
        }
        let span = self.spans[(address >> SPAN) as usize].checked_sub(1)?;
        let granule = u64::from(span) * SPAN_GRANULES + (address >> GRANULE) % SPAN_GRANULES;
        let part = self.granules[granule as usize].checked_sub(1)?;
        let page = address >> 12 & (GRANULE_PAGES - 1);
        let at = (u64::from(part) * (GRANULE_PAGES + 1) + page) as usize;
        let (low, high) = (self.pages[at] as usize, self.pages[at + 1] as usize);
        let below = blocks.start[low..high].partition_point(|&start| start <= address);
        let block = (low + below).checked_sub(1)?;
        blocks.range(block).contains(&address).then_some(block as u32)
    }
}

/// Finds the handle of a ticket.
pub(super) struct Tickets<'a> {
    handles: &'a [HandleInput],
    slots: Vec<u32>,
    /// The least and the greatest address of a place.
    places: Range<u64>,
    /// A ticket is a whole handle.
    alone: bool,
}

/// The bits of a ticket that are its place's address.
pub(super) const PLACE: u64 = (1 << 48) - 64;
const FLAGS: u64 = 63;

impl<'a> Tickets<'a> {
    /// `alone` if a ticket is a whole handle, and has no pointer beside it.
    pub(super) fn new(handles: &'a [HandleInput], alone: bool) -> Self {
        let size = (2 * handles.len()).next_power_of_two().max(2);
        let places = || handles.iter().map(|handle| handle.word() & PLACE);
        let mut tickets = Self {
            handles,
            slots: vec![0; size],
            places: places().min().unwrap_or(0)..places().max().map_or(0, |last| last + 1),
            alone,
        };
        for (index, handle) in handles.iter().enumerate() {
            let mut slot = tickets.slot(handle.word());
            while tickets.slots[slot] != 0 {
                slot = (slot + 1) & (size - 1);
            }
            tickets.slots[slot] = index as u32 + 1;
        }
        tickets
    }

    pub(super) fn handles(&self) -> &'a [HandleInput] {
        self.handles
    }

    /// Whether a word may be the address of a place.
    pub(super) fn is_place(&self, word: u64) -> bool {
        word & !PLACE == 0 && self.places.contains(&word)
    }

    fn slot(&self, word: u64) -> usize {
        let hash = (word & !FLAGS).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        (hash >> 32) as usize & (self.slots.len() - 1)
    }

    #[inline]
    pub(super) fn find(&self, word: u64) -> Option<u32> {
        if !self.places.contains(&(word & PLACE)) {
            return None;
        }
        let mut slot = self.slot(word);
        loop {
            let handle = self.slots[slot].checked_sub(1)?;
            if self.handles[handle as usize].word() & !FLAGS == word & !FLAGS {
                return Some(handle);
            }
            slot = (slot + 1) & (self.slots.len() - 1);
        }
    }
}

/// What a scan may take.
#[derive(Clone, Copy, Debug)]
pub(super) struct Limits {
    pub(super) until: Instant,
    /// Edges and sightings together.
    pub(super) edges: usize,
    /// Two threads read pieces of so many bytes, where there are several. Never where the memory is not a copy: the thread
    /// would be in what is read.
    pub(super) piece: u64,
}

/// Reads all blocks and areas. `owners` has each block's object, from 1, and 0 for none.
pub(super) fn scan(
    memory: &(impl Memory + Sync),
    blocks: &Blocks,
    owners: &[u32],
    areas: &[Area],
    inputs: (&[ObjectInput], &Tickets<'_>),
    limits: Limits,
) -> Scanned {
    let index = PageIndex::new(blocks);
    let kept = AtomicUsize::new(0);
    let counts: Vec<_> = inputs.0.iter().map(|_| AtomicU32::new(0)).collect();
    let scanner = || Scanner {
        memory,
        blocks,
        index: &index,
        objects: inputs.0,
        tickets: inputs.1,
        found: Scanned::default(),
        words: vec![0; WINDOW],
        window: 0..0,
        limits,
        kept: &kept,
        counted: 0,
        counts: &counts,
    };
    let (mut one, mut other) = (scanner(), scanner());
    for first in [&mut one.found.edges.first, &mut one.found.first_sighting] {
        first.reserve_exact(blocks.len() + 1);
        first.push(0);
    }
    let mut pieces = Pieces { blocks, next: 0, piece: limits.piece };
    while let Some(first) = pieces.next() {
        match pieces.next() {
            Some(second) => {
                threads::both(|| one.blocks(first, owners), || other.blocks(second, owners));
                one.found.append(&mut other.found);
                // Who has it now counted it already.
                one.counted += std::mem::take(&mut other.counted);
            }
            None => one.blocks(first, owners),
        }
    }
    one.areas(areas);
    let mut found = one.found;
    found.counts = counts.into_iter().map(AtomicU32::into_inner).collect();
    found
}

/// The blocks in pieces of so many bytes, or more.
struct Pieces<'a> {
    blocks: &'a Blocks,
    next: usize,
    piece: u64,
}

impl Iterator for Pieces<'_> {
    type Item = Range<usize>;

    fn next(&mut self) -> Option<Range<usize>> {
        let (start, mut bytes) = (self.next, 0);
        while self.next < self.blocks.len() && bytes < self.piece {
            bytes += 8 * u64::from(self.blocks.words[self.next]);
            self.next += 1;
        }
        (start < self.next).then_some(start..self.next)
    }
}

/// Words that are read at once: few enough to stay in a core's cache.
const WINDOW: usize = 1 << 14;

struct Scanner<'a, M> {
    memory: &'a M,
    blocks: &'a Blocks,
    index: &'a PageIndex,
    objects: &'a [ObjectInput],
    tickets: &'a Tickets<'a>,
    found: Scanned,
    words: Vec<u64>,
    window: Range<u64>,
    limits: Limits,
    /// Edges and sightings of all that scan.
    kept: &'a AtomicUsize,
    /// How many of them are this one's.
    counted: usize,
    /// Of each object.
    counts: &'a [AtomicU32],
}

impl<M: Memory> Scanner<'_, M> {
    fn blocks(&mut self, part: Range<usize>, owners: &[u32]) {
        for block in part {
            if !self.found.is_cut {
                let range = self.blocks.range(block);
                self.range(range, Source::block(block as u32), owners[block].checked_sub(1));
            }
            self.found.edges.first.push(self.found.edges.to.len() as u32);
            self.found.first_sighting.push(self.found.sightings.len() as u32);
        }
    }

    fn areas(&mut self, areas: &[Area]) {
        for (index, area) in areas.iter().enumerate() {
            let before = self.found.sightings.len();
            self.range(area.range.clone(), Source::area(index), None);
            if area.kind == AreaKind::Private {
                // What looks like a handle there is none.
                self.found.sightings.truncate(before);
            }
        }
    }

    fn range(&mut self, range: Range<u64>, source: Source, object: Option<u32>) {
        let (mut at, mut skipped) = (range.start, 0);
        while at < range.end {
            // Within the window it was looked at already.
            if !self.window.contains(&at) {
                let next = self.memory.present_from(at).min(range.end);
                if next > at {
                    skipped += next - at;
                    at = next;
                    continue;
                }
            }
            let length = (range.end - at).min(8 * self.words.len() as u64);
            if at < self.window.start || at + length > self.window.end {
                self.fill(at);
            }
            let end = self.window.end.min(at + length);
            if self.found.is_cut {
                return;
            }
            if end <= at {
                // Nothing is there, up to the next page.
                let next = (at + 1).next_multiple_of(PAGE).min(range.end);
                self.found.unread += next - at;
                at = next;
                continue;
            }
            let first = ((at - self.window.start) / 8) as usize;
            let last = ((end - self.window.start) / 8) as usize;
            if let Some(object) = object
                && at == range.start
                && last - first >= 2
            {
                let count = self.words[first].min(u32::MAX.into()) as u32;
                // Relaxed: who reads it waits for the thread.
                self.counts[object as usize].store(count, Ordering::Relaxed);
            }
            self.words(first..last, source, range.start, end < range.end);
            at = end;
        }
        self.found.bytes += range.end - range.start - skipped;
    }

    #[cold]
    fn fill(&mut self, at: u64) {
        let found = &mut self.found;
        let own = found.edges.to.len() + found.from_areas.len() + found.sightings.len();
        // Relaxed: a limit that each looks at when it reads on. (What was taken back of a private area stays counted.)
        let more = own.saturating_sub(self.counted);
        let kept = self.kept.fetch_add(more, Ordering::Relaxed) + more;
        self.counted += more;
        found.is_cut =
            found.is_cut || kept > self.limits.edges || Instant::now() > self.limits.until;
        if self.found.is_cut {
            self.window = at..at;
            return;
        }
        let read = self.memory.read(at, &mut self.words);
        self.window = at..at + 8 * read as u64;
    }

    #[inline]
    fn words(&mut self, words: Range<usize>, source: Source, start: u64, continues: bool) {
        let bounds = self.index.bounds.clone();
        let span = bounds.end - bounds.start;
        let (mut last, mut last_at) = (u32::MAX, 0);
        let base = self.window.start;
        for at in words.clone() {
            let word = self.words[at];
            if word.wrapping_sub(bounds.start) < span {
                let Some(to) = self.index.find(self.blocks, word) else { continue };
                // Of what leads to one block, the first is enough; of an area, each that may be part of another static.
                let is_next = std::mem::replace(&mut last_at, at) + 1 == at;
                if to == last && (is_next || source.as_area().is_none()) {
                    continue;
                }
                let address = base + 8 * at as u64;
                match (source.as_block(), source.as_area()) {
                    (Some(block), _) if block != to => {
                        self.found.edges.to.push(to);
                        self.found.edges.offset.push(((address - start) / 8) as u32);
                    }
                    (_, Some(area)) => {
                        let edge = AreaEdge { address, area: area as u32, to };
                        self.found.from_areas.push(edge);
                    }
                    _ => continue,
                }
                last = to;
            } else if word >> 63 != 0 {
                let Some(handle) = self.tickets.find(word) else { continue };
                let object = &self.objects[self.tickets.handles[handle as usize].object as usize];
                let belongs = |at: usize| {
                    let word = self.words[at];
                    word == object.address || word == object.block()
                };
                // The pointer may be wide, and the compiler orders the two as it likes. Where the window ends between them,
                // they are taken to belong together.
                let is_whole = self.tickets.alone || object.size == 0;
                let before = (1..=2).any(|by| at >= words.start + by && belongs(at - by));
                let is_complete = is_whole
                    || before
                    || (1..=2)
                        .any(|by| if at + by < words.end { belongs(at + by) } else { continues });
                let begins_before = base + 8 * words.start as u64 > start && at < words.start + 2;
                let is_emptied = handle::POINTER_FIRST && !(is_whole || before || begins_before);
                let address = base + 8 * at as u64;
                let sighting = Sighting::new(address, handle, source, [is_complete, is_emptied]);
                self.found.sightings.push(sighting);
            }
        }
    }
}
