//! Models of the clock's word: its thread parks while nobody reads it, and a reader unparks it.

use loom::sync::{Arc, Notify};
use loom::thread;

/// The file itself, over loom's atomics.
#[allow(clippy::duplicate_mod)] // the clock includes it over std's
#[path = "../../src/runtime/clock/word.rs"]
mod word;

mod atomic {
    pub(super) use loom::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering, fence};
}

use atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering};
use word::{SYSTEM, THREAD, Word};

fn word() -> Arc<Word> {
    Arc::new(Word {
        now: AtomicU64::new(0),
        parked: AtomicBool::new(false),
        source: AtomicU8::new(THREAD),
    })
}

/// WOKEN: a reader that stored a time is followed by an update. loom finds a thread that parks for ever.
#[test]
fn a_reader_beside_a_clock_that_parks() {
    loom::model(|| {
        let (word, unpark) = (word(), Arc::new(Notify::new()));
        let ticking = {
            let (word, unpark) = (word.clone(), unpark.clone());
            thread::spawn(move || {
                word.begin_to_park();
                while word.must_park() {
                    unpark.wait();
                }
                word.end_parking();
                word.update(2);
            })
        };
        let now = word.get();
        if now == 0 && word.set(1) {
            unpark.notify();
        }
        ticking.join().unwrap();
        assert_eq!(word.get(), 2, "the reader's own time is not the last");
    });
}

/// Two readers, of whom one at least unparks the thread.
#[test]
fn two_readers_beside_a_clock_that_parks() {
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = Some(3);
    builder.check(|| {
        let (word, unpark) = (word(), Arc::new(Notify::new()));
        let read = |word: &Word, unpark: &Notify| {
            if word.get() == 0 && word.set(1) {
                unpark.notify();
            }
        };
        let other = {
            let (word, unpark) = (word.clone(), unpark.clone());
            thread::spawn(move || read(&word, &unpark))
        };
        let ticking = {
            let (word, unpark) = (word.clone(), unpark.clone());
            thread::spawn(move || {
                word.begin_to_park();
                while word.must_park() {
                    unpark.wait();
                }
            })
        };
        read(&word, &unpark);
        other.join().unwrap();
        ticking.join().unwrap();
    });
}

/// FROZEN: where the thread is not to be had, no reader's time stays.
#[test]
fn a_reader_beside_a_thread_that_could_not_be_started() {
    loom::model(|| {
        let word = word();
        let starter = {
            let word = word.clone();
            thread::spawn(move || word.use_system())
        };
        if !word.is_over() {
            word.set(1);
        }
        starter.join().unwrap();
        assert_eq!(word.get(), 0, "a time that nobody updates");
        assert_eq!(word.source.load(Ordering::Relaxed), SYSTEM);
    });
}
