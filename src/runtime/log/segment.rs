//! Where records lie: segments that one thread writes and anyone reads, and the store that has them all.

use super::evicted::Evicted;
use super::options::Overflow;
use super::record::{WORDS, Words};
use crate::primitive::{Arc, AtomicBool, AtomicU64, AtomicUsize, Mutex, Ordering, SEGMENT};
use std::collections::VecDeque;

/// Bytes of a segment's records.
pub(crate) const SEGMENT_BYTES: usize = SEGMENT * WORDS * size_of::<u64>();

/// A stretch of records that one thread at a time writes and anyone reads.
///
/// The words are atomics, stored relaxed; `len` publishes them. What is below it is not written again
/// while anyone else can see the segment.
pub(crate) struct Segment {
    len: AtomicUsize,
    words: Box<[[AtomicU64; WORDS]]>,
}

impl Segment {
    fn new() -> Self {
        let words = (0..SEGMENT).map(|_| std::array::from_fn(|_| AtomicU64::new(0))).collect();
        Self { len: AtomicUsize::new(0), words }
    }

    /// Writes a record at `at`, without publishing it. Only the thread that has the segment writes.
    #[inline]
    pub(super) fn put(&self, at: usize, record: &Words) {
        for (to, &from) in self.words[at].iter().zip(record) {
            // Relaxed: published by `publish`.
            to.store(from, Ordering::Relaxed);
        }
    }

    /// Lets readers see the records below `len`.
    #[inline]
    pub(super) fn publish(&self, len: usize) {
        // Release: a reader that sees this length sees the records below it.
        self.len.store(len, Ordering::Release);
    }

    /// The records that are published, which are all for the thread that has the segment.
    pub(super) fn len(&self) -> usize {
        // Acquire: pairs with the release in `publish`.
        self.len.load(Ordering::Acquire)
    }

    /// What is published.
    pub(crate) fn records(&self) -> impl Iterator<Item = Words> + '_ {
        let len = self.len();
        self.words[..len].iter().map(|words| {
            // Relaxed: published, see above.
            std::array::from_fn(|i| words[i].load(Ordering::Relaxed))
        })
    }
}

/// A log's segments, within its budget.
pub(super) struct Store {
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
}

/// Records that a segment needs room for, so that a thread goes on in it: one of the thread, and a birth's two.
pub(super) const USEFUL: usize = 3;

impl Store {
    pub(super) fn new(overflow: Overflow, bytes: usize) -> Self {
        let segments = Segments {
            full: VecDeque::new(),
            open: Vec::new(),
            left: Vec::new(),
            evicted: Evicted::default(),
            summaries: 0,
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
            let segment = Arc::get_mut(&mut oldest)?;
            segment.len = AtomicUsize::new(0);
            Some(oldest)
        });
        let fresh = fresh.unwrap_or_else(|| Arc::new(Segment::new()));
        segments.open.push(Arc::clone(&fresh));
        Some(fresh)
    }

    /// A thread leaves a segment for good. One with room is for another thread to go on in.
    pub(super) fn leave(&self, segment: &Arc<Segment>) {
        if segment.len() + USEFUL <= SEGMENT {
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

    /// The lock of the segments, for the handlers of a fork.
    pub(super) fn hold(&self) -> impl Sized + '_ {
        self.segments.lock()
    }
}

impl Segments {
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
