//! Models of the gate before refscope's locks, which a fork closes.
//!
//! * OUT: while it is closed and empty, nothing that a lock guards is written; and what was written before is seen.
//! * ONE: one thread has it closed at a time.

use crate::primitive::UnsafeCell;
use loom::sync::Arc;
use loom::thread;

/// The file itself, over loom's atomics.
#[allow(clippy::duplicate_mod)] // the locks include it over std's
#[path = "../../src/lock/gate/word.rs"]
mod word;

mod atomic {
    pub(super) use loom::sync::atomic::{AtomicU32, Ordering};
}

use atomic::AtomicU32;
use word::Word;

/// The gate, and what is behind it. (Each thread has a lock of its own there: the gate alone stands between it and the fork.)
struct Guarded {
    word: Word,
    value: [UnsafeCell<u32>; 2],
}

// SAFETY: WITNESS: loom's cells check each access.
unsafe impl Sync for Guarded {}
// SAFETY: WITNESS: as above.
unsafe impl Send for Guarded {}

impl Guarded {
    fn new() -> Arc<Self> {
        let value = [UnsafeCell::new(0), UnsafeCell::new(0)];
        Arc::new(Self { word: Word(AtomicU32::new(0)), value })
    }

    /// Takes a lock, if the gate is open, and works under it; if not, once more. (Nobody waits without an end here: loom would
    /// have to.) Returns how often it worked.
    fn work(&self, n: usize) -> u32 {
        for _ in 0..2 {
            if self.word.enter() {
                // SAFETY: WITNESS: loom finds a read beside it.
                self.value[n].with_mut(|value| unsafe { *value += 1 });
                self.word.leave();
                return 1;
            }
            thread::yield_now();
        }
        0
    }

    /// What a fork finds. `None` where it has no patience.
    fn fork(&self) -> Option<[u32; 2]> {
        if !self.word.close() {
            return None;
        }
        let is_empty = (0..2).any(|_| {
            let is_empty = self.word.is_empty(0);
            if !is_empty {
                thread::yield_now();
            }
            is_empty
        });
        // SAFETY: WITNESS: loom finds a write beside it.
        let read = |n: usize| self.value[n].with(|value| unsafe { *value });
        let found = is_empty.then(|| {
            let found = [read(0), read(1)];
            thread::yield_now();
            assert_eq!([read(0), read(1)], found, "OUT: it stays so");
            found
        });
        self.word.open();
        found
    }
}

/// Two threads with locks, and a fork beside them.
#[test]
fn a_fork_beside_two_locks() {
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = Some(3);
    builder.check(|| {
        let guarded = Guarded::new();
        let others = [0, 1].map(|n| {
            let guarded = guarded.clone();
            thread::spawn(move || guarded.work(n))
        });
        guarded.fork();
        let worked = others.map(|other| other.join().unwrap());
        assert_eq!(guarded.fork(), Some(worked), "OUT: what was done is seen");
    });
}

/// Two forks at once, beside a thread with a lock.
#[test]
fn two_forks_beside_a_lock() {
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = Some(3);
    builder.check(|| {
        let guarded = Guarded::new();
        let (worker, forker) = (guarded.clone(), guarded.clone());
        let working = thread::spawn(move || worker.work(0));
        let forking = thread::spawn(move || forker.fork());
        guarded.fork();
        let worked = working.join().unwrap();
        forking.join().unwrap();
        assert_eq!(guarded.fork(), Some([worked, 0]), "ONE: it is open again");
    });
}

/// A child has this thread alone: others that were in, or looking in, are not.
#[test]
fn a_child_finds_it_open() {
    loom::model(|| {
        let guarded = Guarded::new();
        assert!(guarded.word.enter() && guarded.word.enter(), "one more than is in the child");
        assert!(guarded.word.close());
        assert!(!guarded.word.enter(), "it is closed");
        assert!(!guarded.word.is_empty(1), "another one is in");
        guarded.word.open_in_child(1);
        assert!(guarded.word.is_empty(1), "the one that forked");
        guarded.word.leave();
        assert_eq!(guarded.fork(), Some([0, 0]));
    });
}
