//! What threads that have ended leave behind, until somebody may give it back.
//!
//! `exit` ends a thread's locals, too, and may have been called by a signal's handler that interrupted the allocator, or
//! what has a log's lock. So a thread that ends takes no lock and frees nothing: it pushes its tails on a stack. The next
//! thread that needs a segment, of whichever log, gives them back before it takes one; so does who makes or drops a log.

use super::tail::Tail;
use crate::primitive::{AtomicPtr, Ordering, constructor, statics};
use std::ptr;

/// The tails of a thread, and on the stack those that were pushed before.
pub(super) struct Chain {
    pub(super) tails: Vec<Tail>,
    next: *mut Chain,
}

impl Default for Chain {
    fn default() -> Self {
        Self { tails: Vec::new(), next: ptr::null_mut() }
    }
}

statics! {
    pub(crate) static RETURNED: Returned = Returned::new();
}

/// A stack of chains, without a lock.
///
/// # Invariants
///
/// * **CHAIN**: each pointer on it is that of a box, which is the stack's alone.
pub(crate) struct Returned {
    top: AtomicPtr<Chain>,
}

impl Returned {
    constructor! {
        fn new() -> Self {
            Self { top: AtomicPtr::new(ptr::null_mut()) }
        }
    }

    /// Puts a chain on the stack. Waits for nobody, and neither allocates nor frees.
    pub(super) fn push(&self, chain: Box<Chain>) {
        let chain = Box::into_raw(chain);
        // Relaxed: only its place on the stack matters, which the exchange below checks.
        let mut top = self.top.load(Ordering::Relaxed);
        loop {
            // SAFETY: CHAIN: it is this thread's alone, until the exchange succeeds.
            unsafe { (*chain).next = top };
            // Release: who takes it has what this thread wrote.
            let exchange =
                self.top.compare_exchange_weak(top, chain, Ordering::Release, Ordering::Relaxed);
            match exchange {
                Ok(_) => return,
                Err(now) => top = now,
            }
        }
    }

    /// Releases the segments of every chain on the stack.
    pub(super) fn take_in(&self) {
        // Relaxed: what is pushed at this moment is for the next one.
        if self.top.load(Ordering::Relaxed).is_null() {
            return;
        }
        // The whole stack at once, so that no other thread's push meets a chain that was taken and put back.
        //
        // Acquire: pairs with the release in `push`.
        let mut next = self.top.swap(ptr::null_mut(), Ordering::Acquire);
        while !next.is_null() {
            // SAFETY: CHAIN: it was the stack's, and is this thread's now.
            let chain = unsafe { Box::from_raw(next) };
            next = chain.next;
            chain.tails.iter().for_each(Tail::leave);
        }
    }
}

/// In a model: there the statics are dropped.
impl Drop for Returned {
    fn drop(&mut self) {
        self.take_in();
    }
}
