//! The word that the clock's thread updates, and whether that thread sleeps or has to be woken.
//!
//! A reader that finds 0 stores the time and looks whether the thread is parked; the thread marks itself as parked and looks at
//! the word. Each stores before it loads, so one of the two sees the other's store only if both have a sequentially consistent
//! fence in between: without it both may read the old values, and the word would never move again. (`tests/loom/clock.rs` has
//! the models.)

use super::atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering, fence};

/// Nobody has asked for the time.
pub(super) const UNDECIDED: u8 = 0;
/// A thread updates the word.
pub(super) const THREAD: u8 = 1;
/// Each reader asks the system.
pub(super) const SYSTEM: u8 = 2;

/// The time, for readers that have no more to do than load it.
pub(super) struct Word {
    /// Nanoseconds since the first look at a clock; 0 where a reader has to ask otherwise.
    pub(super) now: AtomicU64,
    /// Whether the clock's thread is parked, or about to be.
    pub(super) parked: AtomicBool,
    pub(super) source: AtomicU8,
}

impl Word {
    /// Returns the time, or 0.
    #[inline(always)]
    pub(super) fn get(&self) -> u64 {
        // Relaxed: a time orders nothing.
        self.now.load(Ordering::Relaxed)
    }

    /// Stores the time that a reader has found, and returns whether the clock's thread has to be unparked.
    pub(super) fn set(&self, now: u64) -> bool {
        // Relaxed, here and in the other functions: the fences order what has to be.
        self.now.store(now, Ordering::Relaxed);
        fence(Ordering::SeqCst);
        // If the thread is gone meanwhile, no one else would take this back: `use_system` stores its 0 before, or the source
        // is seen here.
        if self.source.load(Ordering::Relaxed) != THREAD {
            self.now.store(0, Ordering::Relaxed);
            return false;
        }
        // Release: a thread that is unparked by this updates the word after the store above.
        self.parked.swap(false, Ordering::Release)
    }

    /// Stores the time. For the clock's thread.
    pub(super) fn update(&self, now: u64) {
        self.now.store(now, Ordering::Relaxed);
    }

    /// Has readers ask the system from now on.
    pub(super) fn use_system(&self) {
        self.source.store(SYSTEM, Ordering::Relaxed);
        fence(Ordering::SeqCst);
        self.now.store(0, Ordering::Relaxed);
    }

    /// Whether the source is the system, for the clock's thread: it is of no use any more.
    pub(super) fn is_over(&self) -> bool {
        self.source.load(Ordering::Relaxed) != THREAD
    }

    /// Says that the clock's thread is about to park, while [`must_park`](Self::must_park) returns true.
    pub(super) fn begin_to_park(&self) {
        self.parked.store(true, Ordering::Relaxed);
        fence(Ordering::SeqCst);
    }

    /// Whether nobody has asked for the time since.
    pub(super) fn must_park(&self) -> bool {
        // Acquire: pairs with the swap in `set`.
        self.parked.load(Ordering::Acquire) && self.get() == 0
    }

    /// Says that the clock's thread is at work again.
    pub(super) fn end_parking(&self) {
        self.parked.store(false, Ordering::Relaxed);
    }
}
