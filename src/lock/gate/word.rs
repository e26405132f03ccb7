//! The gate's word: how many threads have locks, and whether a fork has closed it. (`tests/loom/gate.rs` has the models.)

use super::atomic::{AtomicU32, Ordering};

const CLOSED: u32 = 1 << 31;

/// Threads that are in, and a bit.
pub(super) struct Word(pub(super) AtomicU32);

impl Word {
    /// Goes in, where the gate is open.
    pub(super) fn enter(&self) -> bool {
        // Counted before it is known to be open: who closes it meanwhile waits. Acquire: what is done inside comes after
        // what was done while it was closed; pairs with the release in `open`.
        if self.0.fetch_add(1, Ordering::Acquire) & CLOSED == 0 {
            return true;
        }
        self.0.fetch_sub(1, Ordering::Relaxed);
        false
    }

    /// Comes out.
    pub(super) fn leave(&self) {
        // Release: whoever closes the gate sees what was done inside.
        self.0.fetch_sub(1, Ordering::Release);
    }

    /// Closes it. False where another thread has.
    pub(super) fn close(&self) -> bool {
        // Relaxed: `is_empty` is asked before anything is done.
        self.0.fetch_or(CLOSED, Ordering::Relaxed) & CLOSED == 0
    }

    /// Whether all are out but these. Who looks in and finds the gate closed is counted for a moment, too.
    pub(super) fn is_empty(&self, but: u32) -> bool {
        // Acquire: pairs with the release in `leave`.
        self.0.load(Ordering::Acquire) & !CLOSED <= but
    }

    /// Opens it again.
    pub(super) fn open(&self) {
        // Release: pairs with the acquire in `enter`.
        self.0.fetch_and(!CLOSED, Ordering::Release);
    }

    /// Opens it where there are no other threads any more.
    pub(super) fn open_in_child(&self, inside: u32) {
        self.0.store(inside, Ordering::Release);
    }
}
