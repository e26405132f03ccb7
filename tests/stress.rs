//! Threads at work on everything at once, and readers beside them: for sanitizers, which see what this does, and for the
//! counts at its end. (`.ci/run` runs it under ThreadSanitizer where there is one.)
#![cfg(feature = "trace")]

use refscope::sink::{Clock, Overflow, Recorder};
use refscope::{Arc, Box, Scope};
use std::sync::Barrier;
use std::sync::atomic::{AtomicUsize, Ordering};

const THREADS: usize = 4;
/// Rounds of each thread. Miri and sanitizers are slow.
const ROUNDS: usize = if cfg!(miri) { 3 } else { 300 };

/// What a thread does in a round, with an object that all have.
fn round(shared: &Arc<Vec<u8>>, number: usize) {
    let clones: Vec<_> = (0..40).map(|_| shared.clone()).collect();
    let weak: Vec<_> = clones.iter().map(Arc::downgrade).collect();
    let own = Arc::new(number);
    let boxed = Box::new((own.clone(), shared.clone()));
    refscope::label(&own, if number.is_multiple_of(2) { "even" } else { "odd" });
    let raw = Arc::into_raw(shared.clone());
    assert!(weak.iter().all(|weak| weak.upgrade().is_some()));
    // SAFETY: it came from `into_raw`, and is taken back once.
    let back = unsafe { Arc::from_raw(raw) };
    // A thread that gives back what it had, with handles that were made elsewhere.
    if number.is_multiple_of(50) {
        std::thread::spawn(move || drop((clones, weak, boxed))).join().unwrap();
    }
    drop((own, back));
}

fn stress(scope: &Scope, read: impl Fn() -> usize) {
    let shared = scope.run(|| Arc::new(vec![1_u8; 3]));
    let (barrier, at_work) = (Barrier::new(THREADS + 1), AtomicUsize::new(THREADS));
    let reads = std::thread::scope(|threads| {
        for _ in 0..THREADS {
            threads.spawn(|| {
                let _guard = scope.enter();
                barrier.wait();
                (0..ROUNDS).for_each(|number| round(&shared, number));
                at_work.fetch_sub(1, Ordering::Relaxed);
            });
        }
        barrier.wait();
        let mut reads = 0;
        while at_work.load(Ordering::Relaxed) > 0 {
            let alive = scope.alive();
            let found = alive.iter().find(|object| object.id.number() == 1 || object.size == 24);
            let found = found.expect("it is alive throughout");
            assert!(
                found.handles.iter().any(|handle| handle.id.number() == 1),
                "and its first handle"
            );
            // One that is being dropped, by a thread that was interrupted, may have its count still, but no handle.
            assert!(alive.iter().all(|object| !object.handles.is_empty() || object.strong > 0));
            read();
            reads += 1;
        }
        reads
    });
    assert!(reads > 0, "the reader was beside them");
    let alive = scope.alive();
    assert_eq!(alive.len(), 1, "{alive:?}");
    assert_eq!((alive[0].strong, alive[0].handles.len()), (1, 1));
    drop(shared);
    assert!(scope.alive().is_empty());
}

#[test]
fn tracked() {
    stress(&Scope::tracking(), || 0);
}

#[test]
fn recorded() {
    let recorder = Recorder::builder().budget(256 << 20).clock(Clock::Coarse).build();
    let scope = Scope::new(recorder.clone());
    stress(&scope, || recorder.recording().events().len());
    let recording = recorder.recording();
    assert_eq!(recording.lost(), 0);
    recording.verify().expect("numbered without a gap");
}

#[test]
fn the_latest_kept() {
    let recorder = Recorder::builder()
        .budget(128 << 10)
        .overflow(Overflow::DropOldest)
        .clock(Clock::Coarse)
        .build();
    let scope = Scope::new(recorder.clone());
    stress(&scope, || recorder.recording().events().len());
    assert!(recorder.lost() > 0 || cfg!(miri), "it was too much");
}

#[test]
fn at_once() {
    let seen = std::sync::Arc::new(AtomicUsize::new(0));
    let count = seen.clone();
    let scope = Scope::new(refscope::sink::from_fn(move |event| {
        count.fetch_add(event.strong() as usize + 1, Ordering::Relaxed);
    }));
    stress(&scope, || seen.load(Ordering::Relaxed));
    assert!(seen.load(Ordering::Relaxed) > 0);
}
