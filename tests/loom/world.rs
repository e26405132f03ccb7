//! Runs a model, and checks at its end what every model has to keep.

use crate::dispatch::{Fact, SINKS, Sinks};
use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::atomic::{AtomicU64, Ordering};

/// Explores every interleaving of `model`, and checks the invariants after each.
pub(crate) fn explore(model: impl Fn() + Send + Sync + 'static) {
    explore_within(None, model);
}

/// The same with at most so many preemptions, for models of three threads, whose interleavings are too many. (A
/// thread that waits or ends is no preemption. Most faults show with two: loom's own documentation says so of
/// its bound, after the CHESS paper.)
pub(crate) fn explore_within(preemptions: Option<usize>, model: impl Fn() + Send + Sync + 'static) {
    // Models share the place of the sinks: one at a time.
    static ONE: std::sync::Mutex<()> = std::sync::Mutex::new(());
    let _one = ONE.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
    let executions = std::sync::Arc::new(AtomicU64::new(0));
    let counter = executions.clone();
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = preemptions;
    builder.check(move || {
        *SINKS.lock().unwrap() = Some(Sinks::default());
        model();
        let sinks = SINKS.lock().unwrap().take().expect("the model leaves the sinks");
        check(&sinks);
        counter.fetch_add(1, Ordering::Relaxed);
    });
    let name = std::thread::current().name().unwrap_or("?").to_owned();
    let bound = preemptions.map_or(String::new(), |n| format!(", of at most {n} preemptions"));
    println!("{name}: {} interleavings{bound}", executions.load(Ordering::Relaxed));
}

/// The invariants named in the head of `main.rs`.
pub(crate) fn check(sinks: &Sinks) {
    let log = sinks.log.lock().unwrap().clone();
    let births = sinks.births.load(Ordering::Relaxed);
    assert_eq!(sinks.released.load(Ordering::Relaxed), births, "END: {log:?}");
    let mut objects: BTreeMap<u64, Vec<Fact>> = BTreeMap::new();
    let mut told = HashSet::new();
    let mut first: HashMap<(u64, u64), Fact> = HashMap::new();
    for fact in &log {
        assert!(told.insert((fact.object, fact.seq)), "OWN: told twice: {fact:?} in {log:?}");
        let of_handle = first.entry((fact.object, fact.handle)).or_insert(*fact);
        if fact.op.makes().is_some() {
            assert_eq!(of_handle, fact, "BIRTH, OWN: {log:?}");
        } else {
            assert!(of_handle.op.makes().is_some(), "BIRTH: {fact:?} in {log:?}");
        }
        objects.entry(fact.object).or_default().push(*fact);
    }
    assert_eq!(objects.len() as u64, births, "OWN: {log:?}");
    for history in objects.values_mut() {
        history.sort_by_key(|fact| fact.seq);
        let mut strong = 0;
        for (fact, seq) in history.iter().zip(1..) {
            assert_eq!(fact.seq, seq, "ORDER: {history:?}");
            strong += i64::from(fact.op.strong_delta());
            assert_eq!(i64::from(fact.strong), strong, "COUNT: {fact:?} in {history:?}");
        }
        assert!(history[0].op.begins(), "BIRTH: {history:?}");
        assert_eq!(strong, 0, "COUNT: {history:?}");
    }
}
