//! Where records lie: segments that one thread writes and anyone reads, and the store that has them all.

use super::entry::{WORDS, Words};
use super::past::Past;
use crate::event::Thread;
use crate::primitive::{Arc, AtomicBool, AtomicU64, AtomicUsize, Mutex, Ordering, SEGMENT};
use std::collections::VecDeque;

/// Bytes of a segment's records.
pub(super) const SEGMENT_BYTES: usize = SEGMENT * WORDS * size_of::<u64>();

/// A stretch of records that one thread writes and anyone reads.
///
/// The words are atomics, stored relaxed; `len` publishes them. What is below it is not written again
/// while anyone else can see the segment.
pub(super) struct Segment {
    thread: Thread,
    len: AtomicUsize,
    words: Box<[[AtomicU64; WORDS]]>,
}

impl Segment {
    fn new(thread: Thread) -> Self {
        let words = (0..SEGMENT).map(|_| std::array::from_fn(|_| AtomicU64::new(0))).collect();
        Self { thread, len: AtomicUsize::new(0), words }
    }

    /// Writes a record at `at`, without publishing it. Only the segment's own thread writes.
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

    /// The thread that writes, or wrote, here.
    pub(super) fn thread(&self) -> Thread {
        self.thread
    }

    /// What is published.
    pub(super) fn records(&self) -> impl Iterator<Item = Words> + '_ {
        // Acquire: pairs with the release in `publish`.
        let len = self.len.load(Ordering::Acquire);
        self.words[..len].iter().map(|words| {
            // Relaxed: published, see above.
            std::array::from_fn(|i| words[i].load(Ordering::Relaxed))
        })
    }
}

/// What a recorder does when its budget is used up.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Keep {
    /// Keep what is there; further events are lost.
    #[default]
    Earliest,
    /// Keep the newest events; the oldest are lost, a segment of some hundred at a time. Which objects are
    /// alive, what they are and their counts is never lost.
    Latest,
}

/// A recorder's segments, within its budget.
pub(super) struct Store {
    keep: Keep,
    /// What the budget allows, in segments.
    budget: usize,
    shelves: Mutex<Shelves>,
    /// The budget is used up, and nothing will be given back.
    full: AtomicBool,
    lost: AtomicU64,
}

struct Shelves {
    /// Segments that their threads have left, in the order in which they did, with what they tell (where they may
    /// have to go).
    left: VecDeque<(Arc<Segment>, Past)>,
    /// Segments that threads are writing.
    open: Vec<Arc<Segment>>,
    /// What is known from segments that had to go.
    past: Past,
    /// The memory of what the segments on `left` tell.
    told: usize,
}

impl Store {
    pub(super) fn new(keep: Keep, bytes: usize) -> Self {
        let shelves =
            Shelves { left: VecDeque::new(), open: Vec::new(), past: Past::default(), told: 0 };
        Self {
            keep,
            budget: bytes.div_ceil(SEGMENT_BYTES).max(1),
            shelves: Mutex::new(shelves),
            full: AtomicBool::new(false),
            lost: AtomicU64::new(0),
        }
    }

    /// A fresh segment for `thread`, which leaves `before`. `None` where the budget is used up.
    pub(super) fn extend(
        &self,
        thread: Thread,
        before: Option<&Arc<Segment>>,
    ) -> Option<Arc<Segment>> {
        // Relaxed: once set it stays, and who misses it finds out below.
        if self.full.load(Ordering::Relaxed) {
            return None;
        }
        // Before the lock is taken: other threads have segments to fill meanwhile.
        let told = before.map(|before| self.told(before));
        let mut shelves = self.shelves.lock();
        if self.keep == Keep::Earliest && shelves.used() >= self.budget {
            self.full.store(true, Ordering::Relaxed);
            return None;
        }
        if let (Some(before), Some(told)) = (before, told) {
            shelves.leave(before, told);
        }
        let mut fresh = None;
        // A thread gets its segment though nobody has left one: then the budget is too small for the
        // threads that there are.
        while shelves.used() >= self.budget
            && let Some((oldest, told)) = shelves.left.pop_front()
        {
            shelves.told -= told.bytes();
            // Relaxed: a counter.
            self.lost.fetch_add(shelves.past.take_in(told), Ordering::Relaxed);
            fresh = Some(oldest);
        }
        // Memory that nobody reads any more is used again.
        let fresh = fresh.and_then(|mut oldest| {
            let segment = Arc::get_mut(&mut oldest)?;
            segment.thread = thread;
            segment.len = AtomicUsize::new(0);
            Some(oldest)
        });
        let fresh = fresh.unwrap_or_else(|| Arc::new(Segment::new(thread)));
        shelves.open.push(Arc::clone(&fresh));
        Some(fresh)
    }

    /// A thread leaves a segment for good.
    pub(super) fn leave(&self, segment: &Arc<Segment>) {
        let told = self.told(segment);
        self.shelves.lock().leave(segment, told);
    }

    /// What has to be known of a segment when it goes.
    fn told(&self, segment: &Segment) -> Past {
        match self.keep {
            Keep::Latest => Past::of(segment),
            Keep::Earliest => Past::default(),
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
    pub(super) fn all(&self) -> (Vec<Arc<Segment>>, Past, u64) {
        let shelves = self.shelves.lock();
        let left = shelves.left.iter().map(|(segment, _)| segment);
        let segments = left.chain(&shelves.open).cloned().collect();
        (segments, shelves.past.clone(), self.lost())
    }
}

impl Shelves {
    fn leave(&mut self, segment: &Arc<Segment>, told: Past) {
        self.open.retain(|open| !Arc::ptr_eq(open, segment));
        self.told += told.bytes();
        self.left.push_back((Arc::clone(segment), told));
    }

    /// Segments, and the memory of what is known besides, in segments.
    fn used(&self) -> usize {
        self.left.len() + self.open.len() + (self.past.bytes() + self.told) / SEGMENT_BYTES
    }
}
