//! Where records lie: segments that one thread writes and anyone reads, and the store that has them all.

use super::evicted::Evicted;
use super::options::Overflow;
use super::record::{WORDS, Words};
use crate::primitive::{
    Arc, AtomicBool, AtomicU64, Mutex, Ordering, SEGMENT, free_slots, zeroed_slots,
};
use std::any::Any;
use std::collections::VecDeque;
use std::ptr::NonNull;

/// Bytes of a segment's records.
pub(crate) const SEGMENT_BYTES: usize = SEGMENT * WORDS * size_of::<u64>();

/// A stretch of records that one thread at a time writes and anyone reads.
///
/// The words are atomics, stored relaxed; a number of records, [`published`](Self::published), lets them be seen. What is
/// below it is not written again while anyone else can see the segment.
pub(crate) struct Segment {
    memory: Memory,
}

/// Where a segment's words lie.
enum Memory {
    Own {
        len: AtomicU64,
        block: Arc<Block>,
        /// Which segment of the block it is.
        index: usize,
    },
    Backed(BackedSegment),
}

/// A segment whose memory is somebody else's. Its first records are a head, whose word [`LEN`] is the number of records
/// that are published, the head's included.
struct BackedSegment {
    words: NonNull<AtomicWords>,
    _memory: std::sync::Arc<dyn Any + Send + Sync>,
}

// SAFETY: BLOCK: the words are atomics, of memory that the segment keeps.
unsafe impl Send for BackedSegment {}
// SAFETY: BLOCK: as above.
unsafe impl Sync for BackedSegment {}

/// Records that the head of a backed segment takes.
pub(crate) const HEAD: usize = 2;
/// The word of its first record that says how many are published.
const LEN: usize = 2;

pub(crate) type AtomicWords = [AtomicU64; WORDS];

/// The memory of some segments, as zeroed memory, which the system has ready where it is asked for enough at once: to
/// write the zeros would cost more than the records.
struct Block {
    words: NonNull<AtomicWords>,
    segments: usize,
}

/// Segments of a log's first block: 128 KiB. Each further one has twice as many, since a page at a time costs more than the
/// records, up to [`LARGEST_BLOCK`].
const FIRST_BLOCK: usize = 8;
/// 4 MiB.
const LARGEST_BLOCK: usize = 256;

// SAFETY: BLOCK: the words are atomics, and the block's own.
unsafe impl Send for Block {}
// SAFETY: BLOCK: as above.
unsafe impl Sync for Block {}

impl Block {
    /// `None` where there is no memory.
    fn new(segments: usize) -> Option<Self> {
        let vacant = || std::array::from_fn(|_| AtomicU64::new(0));
        Some(Self { words: zeroed_slots(segments * SEGMENT, vacant)?, segments })
    }
}

impl Drop for Block {
    fn drop(&mut self) {
        // SAFETY: LAYOUT: so many were allocated, and nobody has the block any more.
        unsafe { free_slots(self.words, self.segments * SEGMENT) };
    }
}

impl Segment {
    fn own(block: Arc<Block>, index: usize) -> Self {
        Self { memory: Memory::Own { len: AtomicU64::new(0), block, index } }
    }

    /// A segment in memory of the caller's, which has the head's words already.
    ///
    /// # Safety
    ///
    /// `words` points to [`SEGMENT`] records, which are there as long as `memory` and are written by nobody but those who
    /// have the segment.
    pub(crate) unsafe fn backed(
        words: NonNull<AtomicWords>,
        memory: std::sync::Arc<dyn Any + Send + Sync>,
    ) -> Self {
        Self { memory: Memory::Backed(BackedSegment { words, _memory: memory }) }
    }

    /// All of its words, a head included.
    pub(crate) fn words(&self) -> &[AtomicWords] {
        let words = match &self.memory {
            Memory::Backed(backed) => backed.words,
            Memory::Own { block, index, .. } => {
                // SAFETY: BLOCK: the block has so many segments; this one's index is below.
                unsafe { block.words.add(index * SEGMENT) }
            }
        };
        // SAFETY: BLOCK: as above, and the memory is there as long as the segment.
        unsafe { std::slice::from_raw_parts(words.as_ptr(), SEGMENT) }
    }

    /// How many records readers see. Only the thread that has the segment writes it.
    pub(super) fn published(&self) -> &AtomicU64 {
        match &self.memory {
            Memory::Own { len, .. } => len,
            Memory::Backed(_) => &self.words()[0][LEN],
        }
    }

    /// Lets readers see what is below `len`. Only whoever has the segment writes.
    #[allow(dead_code)] // where files cannot be mapped, and in the models
    pub(crate) fn publish(&self, len: usize) {
        publish(self.published(), len);
    }

    /// Where the records of a log begin: behind the head.
    pub(crate) fn first(&self) -> usize {
        match &self.memory {
            Memory::Own { .. } => 0,
            Memory::Backed(_) => HEAD,
        }
    }

    /// The records that are published, which are all for the thread that has the segment.
    pub(crate) fn len(&self) -> usize {
        // Acquire: pairs with the release in `publish`. If another process modified the file, the value is arbitrary.
        (self.published().load(Ordering::Acquire) as usize).min(SEGMENT)
    }

    /// Whether a thread can go on in it.
    pub(crate) fn has_room(&self) -> bool {
        self.len() + USEFUL <= SEGMENT
    }

    /// What is published.
    pub(crate) fn records(&self) -> impl Iterator<Item = Words> + '_ {
        let len = self.len().max(self.first());
        self.words()[self.first()..len].iter().map(|words| {
            // Relaxed: published, see above.
            std::array::from_fn(|i| words[i].load(Ordering::Relaxed))
        })
    }
}

/// Lets readers see the records below `len`, by the word of a segment that says how many there are. Only the thread that
/// has the segment writes.
#[inline(always)]
pub(super) fn publish(published: &AtomicU64, len: usize) {
    // Release: a reader that sees this length sees the records below it.
    published.store(len as u64, Ordering::Release);
}

/// A log's segments, within its budget.
pub(super) struct MemoryStore {
    overflow: Overflow,
    /// What the budget allows, in segments.
    budget: usize,
    segments: Mutex<Segments>,
    /// The budget is used up, and nothing will be given back.
    full: AtomicBool,
    lost: AtomicU64,
}

struct Segments {
    /// Full segments, in the order in which they filled, with what they hold (where they may have to go).
    full: VecDeque<(Arc<Segment>, Evicted)>,
    /// Segments that threads are writing.
    open: Vec<Arc<Segment>>,
    /// Segments with room that their threads have left, for the next one that needs some.
    left: Vec<Arc<Segment>>,
    /// What is known from segments that had to go.
    evicted: Evicted,
    /// The memory of what the segments on `full` hold.
    summaries: usize,
    /// Memory for further segments, from this index on.
    block: Option<(Arc<Block>, usize)>,
}

/// Records that a segment needs room for, so that a thread goes on in it: one of the thread, and a birth's two.
pub(super) const USEFUL: usize = 3;

impl MemoryStore {
    pub(super) fn new(overflow: Overflow, bytes: usize) -> Self {
        let segments = Segments {
            full: VecDeque::new(),
            open: Vec::new(),
            left: Vec::new(),
            evicted: Evicted::default(),
            summaries: 0,
            block: None,
        };
        Self {
            overflow,
            budget: bytes.div_ceil(SEGMENT_BYTES).max(1),
            segments: Mutex::new(segments),
            full: AtomicBool::new(false),
            lost: AtomicU64::new(0),
        }
    }

    /// A segment with room for a thread that leaves `before`. `None` where the budget is used up.
    pub(super) fn extend(&self, before: Option<&Arc<Segment>>) -> Option<Arc<Segment>> {
        // Relaxed: once set it stays, and who misses it finds out below.
        if self.full.load(Ordering::Relaxed) {
            return None;
        }
        // Before the lock is taken: other threads have segments to fill meanwhile.
        let summary = before.map(|before| self.summary(before));
        let mut segments = self.segments.lock();
        if let Some(left) = segments.left.pop() {
            if let (Some(before), Some(summary)) = (before, summary) {
                segments.fill(before, summary);
            }
            segments.open.push(Arc::clone(&left));
            return Some(left);
        }
        if self.overflow == Overflow::DropNewest && segments.used() >= self.budget {
            self.full.store(true, Ordering::Relaxed);
            return None;
        }
        if let (Some(before), Some(summary)) = (before, summary) {
            segments.fill(before, summary);
        }
        let mut fresh = None;
        // A thread gets its segment though none is full: then the budget is too small for the
        // threads that there are.
        while segments.used() >= self.budget
            && let Some((oldest, summary)) = segments.full.pop_front()
        {
            segments.summaries -= summary.bytes();
            // Relaxed: a counter.
            self.lost.fetch_add(segments.evicted.take_in(summary), Ordering::Relaxed);
            fresh = Some(oldest);
        }
        // Memory that nobody reads any more is used again.
        let fresh = fresh.and_then(|mut oldest| {
            match &mut Arc::get_mut(&mut oldest)?.memory {
                Memory::Own { len, .. } => *len = AtomicU64::new(0),
                Memory::Backed(_) => return None,
            }
            Some(oldest)
        });
        let fresh = match fresh {
            Some(fresh) => fresh,
            None => Arc::new(segments.fresh(self.budget)?),
        };
        segments.open.push(Arc::clone(&fresh));
        Some(fresh)
    }

    /// A thread leaves a segment for good. One with room is for another thread to go on in.
    pub(super) fn leave(&self, segment: &Arc<Segment>) {
        if segment.has_room() {
            let mut segments = self.segments.lock();
            segments.open.retain(|open| !Arc::ptr_eq(open, segment));
            segments.left.push(Arc::clone(segment));
        } else {
            let summary = self.summary(segment);
            self.segments.lock().fill(segment, summary);
        }
    }

    /// What has to be known of a segment when it goes.
    fn summary(&self, segment: &Segment) -> Evicted {
        match self.overflow {
            Overflow::DropOldest => Evicted::of(segment),
            Overflow::DropNewest => Evicted::default(),
        }
    }

    /// An event found no room.
    #[cold]
    pub(super) fn lose(&self) {
        // Relaxed: a counter.
        self.lost.fetch_add(1, Ordering::Relaxed);
    }

    /// How many events are not kept.
    pub(super) fn lost(&self) -> u64 {
        self.lost.load(Ordering::Relaxed)
    }

    /// All segments, and what is known from those that had to go: of one moment.
    pub(super) fn all(&self) -> (Vec<Arc<Segment>>, Evicted, u64) {
        let segments = self.segments.lock();
        let full = segments.full.iter().map(|(segment, _)| segment);
        let all = full.chain(&segments.open).chain(&segments.left).cloned().collect();
        (all, segments.evicted.clone(), self.lost())
    }
}

impl Segments {
    /// A segment whose memory nobody has used. `None` where there is none.
    fn fresh(&mut self, budget: usize) -> Option<Segment> {
        let (block, index) = match self.block.take() {
            Some((block, index)) if index < block.segments => (block, index),
            full => {
                let twice = full.map_or(FIRST_BLOCK, |(block, _)| 2 * block.segments);
                (Arc::new(Block::new(twice.min(LARGEST_BLOCK).min(budget))?), 0)
            }
        };
        self.block = Some((Arc::clone(&block), index + 1));
        Some(Segment::own(block, index))
    }

    fn fill(&mut self, segment: &Arc<Segment>, summary: Evicted) {
        self.open.retain(|open| !Arc::ptr_eq(open, segment));
        self.summaries += summary.bytes();
        self.full.push_back((Arc::clone(segment), summary));
    }

    /// Segments, and the memory of what is known besides, in segments.
    fn used(&self) -> usize {
        let segments = self.full.len() + self.open.len() + self.left.len();
        segments + (self.evicted.bytes() + self.summaries) / SEGMENT_BYTES
    }
}
