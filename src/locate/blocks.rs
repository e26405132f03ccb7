//! The blocks of the heap that are in use, from glibc's own headers.
//!
//! ```text
//!  chunk  │ size of the one before, if it is free │ size | 0 | other arena | mmapped | one before in use │ the block …
//!  free   marked so in the next chunk's header, or (tcache, fast bins) only by being on a list
//! ```
//!
//! Nothing here is promised by glibc, so the walk is believed only where its ends meet and where it found each traced
//! value's own block; see [`search`](super::Search). Where it is not sure that a block is free, the block counts as used.

use super::memory::{Memory, PAGE, Region};
use std::ops::Range;
use std::time::Instant;

/// Bytes that an allocator may add to a block whose size is a multiple of a word: it rounds up, and does not split off what is too
/// small to be a block.
pub(super) const ADDED: u64 = 24;

/// Blocks in use, by address. Parallel arrays, since there may be tens of millions.
#[derive(Debug, Default)]
pub(super) struct Blocks {
    pub(super) start: Vec<u64>,
    /// Lengths in words.
    pub(super) words: Vec<u32>,
}

impl Blocks {
    pub(super) fn len(&self) -> usize {
        self.start.len()
    }

    pub(super) fn range(&self, block: usize) -> Range<u64> {
        let start = self.start[block];
        start..start + 8 * u64::from(self.words[block])
    }

    pub(super) fn push(&mut self, start: u64, words: u64) {
        self.start.push(start);
        self.words.push(words.min(u64::from(u32::MAX)) as u32);
    }

    /// The block that an address lies in.
    pub(super) fn find(&self, address: u64) -> Option<usize> {
        let block = self.start.partition_point(|&start| start <= address).checked_sub(1)?;
        self.range(block).contains(&address).then_some(block)
    }

    /// Takes out the blocks that have one of these addresses.
    pub(super) fn remove(&mut self, addresses: &[u64]) {
        for &address in addresses {
            if let Some(block) = self.find(address) {
                self.words[block] = 0;
            }
        }
        self.sort();
    }

    /// Takes out the blocks that do not begin where one of the others does. Both are in order.
    pub(super) fn keep_those_of(&mut self, others: &Self) {
        let mut rest = &others.start[..];
        for (start, words) in self.start.iter().zip(&mut self.words) {
            while rest.first().is_some_and(|other| other < start) {
                rest = &rest[1..];
            }
            if rest.first() != Some(start) {
                *words = 0;
            }
        }
        self.sort();
    }

    /// Puts the blocks in order, and drops what lies in another or has no words.
    pub(super) fn sort(&mut self) {
        if !self.start.is_sorted_by(|a, b| a < b) {
            let mut order: Vec<u32> = (0..self.len() as u32).collect();
            order.sort_unstable_by_key(|&block| {
                (self.start[block as usize], !self.words[block as usize])
            });
            self.start = order.iter().map(|&block| self.start[block as usize]).collect();
            self.words = order.iter().map(|&block| self.words[block as usize]).collect();
        }
        let (mut kept, mut end) = (0, 0);
        for block in 0..self.len() {
            let range = self.range(block);
            if range.start >= end && !range.is_empty() {
                end = range.end;
                self.start[kept] = range.start;
                self.words[kept] = self.words[block];
                kept += 1;
            }
        }
        self.start.truncate(kept);
        self.words.truncate(kept);
    }
}

/// What a walk found.
#[derive(Debug, Default)]
pub(super) struct Heap {
    pub(super) blocks: Blocks,
    /// The memory that the walk accounts for: blocks, free chunks, headers.
    pub(super) extents: Vec<Range<u64>>,
    /// From the first to the last block of an allocator whose free memory is not known, in each mapping.
    pub(super) pools: Vec<Range<u64>>,
    /// The main arena's own table of free chunks, which leads to blocks beside them.
    pub(super) arena: Option<Range<u64>>,
    /// Whether each heap's walk came to its end.
    pub(super) is_whole: bool,
    /// Whether an arena was in use by a thread when the memory was copied.
    pub(super) is_busy: bool,
    /// Whether the time was up before the end.
    pub(super) is_cut: bool,
    /// What the search itself had while it looked, where the memory is no copy.
    pub(super) own: Vec<u64>,
}

/// The smallest chunk, and the unit of their sizes.
const SMALLEST: u64 = 32;
const ALIGNMENT: u64 = 16;
/// A heap of another arena lies at a multiple of this.
const HEAP_ALIGNMENT: u64 = 64 << 20;

const PREVIOUS_IN_USE: u64 = 1;
const MMAPPED: u64 = 2;

/// The chunk of a thread's table of free blocks: 64 counts, 64 lists.
const TCACHE_SIZE: u64 = 0x290;
const TCACHE_BINS: usize = 64;
/// The largest chunk that such a list holds.
const TCACHE_LARGEST: u64 = 0x410;

/// `malloc_state`, in words.
mod arena {
    pub(super) const WORDS: usize = 275;
    pub(super) const FAST_BINS: std::ops::Range<usize> = 2..12;
    pub(super) const TOP: usize = 12;
    pub(super) const BINS: std::ops::Range<usize> = 14..268;
}

/// A block that is on one of the lists of free ones, if it is on any: its first word looks like a link.
struct Candidate {
    user: u64,
    next: u64,
    size: u64,
    block: u32,
}

/// Reads the headers of a heap, a window at a time.
struct Window<'a, M> {
    memory: &'a M,
    words: Vec<u64>,
    start: u64,
    len: usize,
    until: Instant,
}

impl<'a, M: Memory> Window<'a, M> {
    fn new(memory: &'a M, until: Instant) -> Self {
        Self { memory, words: vec![0; 1 << 14], start: 0, len: 0, until }
    }

    /// Whether the time is up: nothing more is read.
    fn is_over(&self) -> bool {
        Instant::now() > self.until
    }

    /// The `N` words at an address.
    #[inline]
    fn get<const N: usize>(&mut self, address: u64) -> Option<[u64; N]> {
        let at = (address.wrapping_sub(self.start) / 8) as usize;
        if address < self.start || at + N > self.len {
            return self.fill(address);
        }
        self.words[at..at + N].try_into().ok()
    }

    #[cold]
    fn fill<const N: usize>(&mut self, address: u64) -> Option<[u64; N]> {
        if self.is_over() {
            return None;
        }
        (self.start, self.len) = (address, self.memory.read(address, &mut self.words));
        self.words[..self.len].get(..N)?.try_into().ok()
    }
}

struct Walk<'a, M> {
    window: Window<'a, M>,
    heap: Heap,
    candidates: Vec<Candidate>,
    /// Chunks of the size of a thread's table of free blocks: address and block.
    tcaches: Vec<(u64, u32)>,
    /// The arenas that were found, and whether each was in use by a thread.
    arenas: Vec<(u64, bool)>,
    /// What was walked, with the arena that it belongs to; 0 for the main one until it is found.
    spans: Vec<(Range<u64>, u64)>,
    /// From the lowest to the highest address of a heap.
    bounds: Range<u64>,
    /// Whether the memory is in use while it is read.
    is_live: bool,
}

/// Walks the heaps in `regions`, as far as the time goes; `stacks` are memory that is none.
pub(super) fn walk(
    (memory, is_live): (&impl Memory, bool),
    regions: &[Region],
    stacks: &[Range<u64>],
    until: Instant,
) -> Heap {
    let anonymous = |region: &&Region| {
        let writable = region.readable && region.writable && region.is_anonymous();
        writable && !stacks.iter().any(|stack| overlaps(stack, &region.range))
    };
    let main = regions.iter().find(|region| region.name == "[heap]").map(|r| r.range.clone());
    let others: Vec<Range<u64>> =
        regions.iter().filter(anonymous).map(|region| region.range.clone()).collect();
    let ends = || main.iter().chain(&others);
    let bounds = ends().map(|range| range.start).min().unwrap_or(0)
        ..ends().map(|range| range.end).max().unwrap_or(0);
    let mut walk = Walk {
        window: Window::new(memory, until),
        heap: Heap { is_whole: true, ..Heap::default() },
        candidates: Vec::new(),
        tcaches: Vec::new(),
        arenas: Vec::new(),
        spans: Vec::new(),
        bounds,
        is_live,
    };
    let own = [others.as_ptr().addr(), stacks.as_ptr().addr()];
    let top = main.as_ref().and_then(|main| walk.chunks(main.start, main.end, 0));
    if main.is_some() {
        walk.find_main_arena(regions, top);
    }
    for range in others {
        // The kernel may have joined a heap with what lies beside it.
        let mut start = range.start;
        let mut at = start.next_multiple_of(HEAP_ALIGNMENT);
        while at < range.end {
            let end = walk.arena_heap(&(at..range.end));
            if end > at {
                walk.mmapped(start..at);
                start = end;
            }
            at += HEAP_ALIGNMENT;
        }
        walk.mmapped(start..range.end);
    }
    let tables = [
        walk.window.words.as_ptr().addr(),
        walk.candidates.as_ptr().addr(),
        walk.tcaches.as_ptr().addr(),
        walk.spans.as_ptr().addr(),
    ];
    walk.heap.own = own.into_iter().chain(tables).map(|own| own as u64).collect();
    walk.remove_free();
    walk.heap.blocks.sort();
    walk.add_extents();
    walk.heap.is_cut = walk.window.is_over();
    walk.heap.is_whole &= !walk.heap.is_cut;
    walk.heap
}

fn overlaps(a: &Range<u64>, b: &Range<u64>) -> bool {
    a.start < b.end && b.start < a.end
}

impl<M: Memory> Walk<'_, M> {
    /// Walks the chunks from `start` to `end`, notes how far it came, and returns the last one, which is the top.
    fn chunks(&mut self, start: u64, end: u64, arena: u64) -> Option<u64> {
        let mut before: Option<(u64, u64, u64)> = None;
        let mut chunk = start;
        let mut reached = end;
        let mut top = None;
        while chunk < end {
            let Some([_, header, first]) = self.window.get::<3>(chunk) else {
                reached = chunk;
                break;
            };
            let size = header & !7;
            if let Some((before, size, first)) = before
                && header & PREVIOUS_IN_USE != 0
            {
                self.used(before, size, first);
            }
            // A heap that could not grow ends in chunks that are too small to be any.
            if end - chunk < 2 * SMALLEST && size < SMALLEST {
                break;
            }
            if size < SMALLEST || !size.is_multiple_of(ALIGNMENT) || size > end - chunk {
                reached = chunk;
                break;
            }
            if chunk + size == end {
                top = Some(chunk);
                break;
            }
            before = Some((chunk, size, first));
            chunk += size;
        }
        self.heap.is_whole &= reached == end;
        self.spans.push((start..reached, arena));
        top
    }

    fn used(&mut self, chunk: u64, size: u64, first: u64) {
        let user = chunk + 16;
        let block = self.heap.blocks.len() as u32;
        if size <= TCACHE_LARGEST {
            // A link is mixed with the address of where it is stored.
            let next = first ^ user >> 12;
            if next == 0 || (next.is_multiple_of(ALIGNMENT) && self.bounds.contains(&next)) {
                self.candidates.push(Candidate { user, next, size, block });
            }
            if size == TCACHE_SIZE {
                self.tcaches.push((user, block));
            }
        }
        self.heap.blocks.push(user, (size - 8) / 8);
    }

    /// Walks the heap of another arena, if `range` begins with one, and returns where it ends.
    fn arena_heap(&mut self, range: &Range<u64>) -> u64 {
        // pointer to the arena, the heap before, size, …
        let Some([arena, _, size]) = self.window.get::<3>(range.start) else { return range.start };
        // The header's length differs between versions.
        let is_arena = |arena: u64| {
            let header = arena % HEAP_ALIGNMENT;
            (header == 32 || header == 48).then_some(header)
        };
        let Some(header) = is_arena(arena) else { return range.start };
        let length = range.end - range.start;
        if !range.start.is_multiple_of(HEAP_ALIGNMENT)
            || size < PAGE
            || !size.is_multiple_of(PAGE)
            || size > length
            || !self.bounds.contains(&arena)
        {
            return range.start;
        }
        let first = if arena == range.start + header {
            self.arenas.push((arena, false));
            (arena + 8 * arena::WORDS as u64).next_multiple_of(ALIGNMENT)
        } else {
            range.start + header
        };
        let end = range.start + size;
        self.heap.extents.push(range.start..first);
        self.chunks(first, end, arena);
        // What lies behind was the heap's once, or is another mapping.
        end
    }

    /// Finds the chunks in `range` that are mappings of their own.
    fn mmapped(&mut self, range: Range<u64>) {
        let (mut at, mut end) = (range.start, range.start);
        while at < range.end && !self.window.is_over() {
            let mut pages = Vec::new();
            while at < range.end && pages.len() < 1024 {
                let next = self.window.memory.present_from(at);
                if next > at {
                    at = next;
                    continue;
                }
                pages.push(at);
                at += PAGE;
            }
            let headers = self.window.memory.pairs(&pages);
            for (page, header) in pages.into_iter().zip(headers) {
                let Some([0, header]) = header else { continue };
                let size = header & !7;
                if page >= end
                    && header & 7 == MMAPPED
                    && size >= PAGE
                    && size.is_multiple_of(PAGE)
                    && size <= range.end - page
                {
                    self.heap.blocks.push(page + 16, (size - 16) / 8);
                    self.heap.extents.push(page..page + size);
                    end = page + size;
                }
            }
            // What is behind a chunk's header is the chunk's.
            at = at.max(end);
        }
    }

    /// Finds the main arena, in the data of libc or of the program: the table whose top is the main heap's.
    fn find_main_arena(&mut self, regions: &[Region], top: Option<u64>) {
        let Some(top) = top else { return };
        for (index, region) in regions.iter().enumerate() {
            let bss = |region: &Region| {
                let before = index.checked_sub(1).map(|before| &regions[before]);
                region.is_anonymous()
                    && before.is_some_and(|b| b.is_file() && b.range.end == region.range.start)
            };
            if !region.readable || !region.writable || !(region.is_file() || bss(region)) {
                continue;
            }
            let len = region.range.end - region.range.start;
            if len > 64 << 20 {
                continue;
            }
            let mut words = vec![0; (len / 8) as usize];
            let read = self.window.memory.read(region.range.start, &mut words);
            words.truncate(read);
            let found = words
                .windows(arena::WORDS)
                .enumerate()
                .filter(|(_, words)| words[arena::TOP] == top && words[1] >> 32 == 0);
            for (at, _) in found {
                let start = region.range.start + 8 * at as u64;
                let bins = words[at..][arena::BINS].iter().enumerate();
                let are_bins = bins.clone().all(|(bin, &link)| {
                    let itself = start + 8 * (arena::BINS.start + bin / 2 * 2 - 2) as u64;
                    link == itself || self.bounds.contains(&link)
                });
                if are_bins {
                    self.heap.arena = Some(start..start + 8 * arena::WORDS as u64);
                    self.arenas.push((start, false));
                    if let Some((_, arena)) = self.spans.iter_mut().find(|(_, arena)| *arena == 0) {
                        *arena = start;
                    }
                    return;
                }
            }
        }
    }

    /// Takes out the blocks that are on a list of free ones.
    fn remove_free(&mut self) {
        self.candidates.sort_unstable_by_key(|candidate| candidate.user);
        let mut free = Vec::new();
        for tcache in std::mem::take(&mut self.tcaches) {
            self.tcache(tcache, &mut free);
        }
        let mut arenas = std::mem::take(&mut self.arenas);
        for (arena, is_busy) in &mut arenas {
            *is_busy = self.fast_bins(*arena, &mut free);
            self.heap.is_busy |= *is_busy;
        }
        self.arenas = arenas;
        for block in free {
            self.heap.blocks.words[block as usize] = 0;
        }
    }

    fn candidate(&self, user: u64, size: u64) -> Option<&Candidate> {
        let at = self.candidates.binary_search_by_key(&user, |candidate| candidate.user).ok()?;
        Some(&self.candidates[at]).filter(|candidate| candidate.size == size)
    }

    /// Reads a thread's table of free blocks, if it is one: a list for each count that is not 0, within the heap. The
    /// table itself is glibc's own, and holds nothing.
    fn tcache(&mut self, (table, own): (u64, u32), free: &mut Vec<u32>) {
        let Some(words) = self.window.fill::<{ TCACHE_BINS / 4 + TCACHE_BINS }>(table) else {
            return;
        };
        let (counts, lists) = words.split_at(TCACHE_BINS / 4);
        let (memory, bounds) = (self.window.memory, self.bounds.clone());
        // Live, what is first on a list may have been in use when its chunk was passed: it is looked at again.
        let is_chunk = |user: u64, size: u64| {
            let mut words = [0; 2];
            let is_there = self.is_live
                && user.is_multiple_of(ALIGNMENT)
                && bounds.contains(&user)
                && memory.read(user - 8, &mut words) == 2;
            let next = words[1] ^ user >> 12;
            let is_link = next == 0 || next.is_multiple_of(ALIGNMENT) && bounds.contains(&next);
            is_there && words[0] & !7 == size && is_link
        };
        let bins = || {
            (lists.iter().enumerate())
                .map(|(bin, &list)| (bin, counts[bin / 4] >> (16 * (bin % 4)) & 0xffff, list))
        };
        let is_list = |(bin, count, list): (usize, u64, u64)| {
            let size = SMALLEST + ALIGNMENT * bin as u64;
            let is_first = || self.candidate(list, size).is_some() || is_chunk(list, size);
            if count == 0 { list == 0 } else { is_first() }
        };
        // One may be about to change. Without any list it may be a block of the program's.
        let wrong = bins().filter(|&bin| !is_list(bin)).count();
        if wrong > 1 || bins().filter(|&(_, count, _)| count > 0).count() < 2 {
            return;
        }
        free.push(own);
        for (bin, count, list) in bins() {
            let size = SMALLEST + ALIGNMENT * bin as u64;
            let (mut next, mut length) = (list, 0);
            while next != 0 && length <= count {
                let Some(candidate) = self.candidate(next, size) else { break };
                free.push(candidate.block);
                (next, length) = (candidate.next, length + 1);
            }
        }
    }

    /// Notes the memory that the walk accounts for. Where an arena was in use, or is not known, a block that just grows may
    /// look free: there what is no block is not accounted for.
    fn add_extents(&mut self) {
        for (span, arena) in std::mem::take(&mut self.spans) {
            let found = self.arenas.iter().find(|(known, _)| *known == arena);
            if found.is_some_and(|&(_, is_busy)| !is_busy) {
                self.heap.extents.push(span);
                continue;
            }
            let blocks = &self.heap.blocks;
            let from = blocks.start.partition_point(|&start| start < span.start);
            let to = blocks.start.partition_point(|&start| start < span.end);
            self.heap.extents.extend((from..to).map(|block| blocks.range(block)));
            self.heap.pools.push(span);
        }
    }

    /// Reads an arena's lists of small free chunks, and returns whether a thread was using it.
    fn fast_bins(&mut self, arena: u64, free: &mut Vec<u32>) -> bool {
        let Some(words) = self.window.fill::<{ arena::TOP }>(arena) else { return true };
        for (bin, &list) in words[arena::FAST_BINS].iter().enumerate() {
            let size = SMALLEST + ALIGNMENT * bin as u64;
            let (mut next, mut left) = (list, self.candidates.len());
            while next != 0 && left > 0 {
                let Some(candidate) = self.candidate(next + 16, size) else { break };
                free.push(candidate.block);
                (next, left) = (candidate.next, left - 1);
            }
        }
        words[0] as u32 != 0
    }
}
