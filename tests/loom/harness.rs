//! Runs a model, and checks at its end what every model has to keep.

use crate::event::{Event, Object, Op};
use crate::runtime::dispatch::install;
use crate::runtime::scope::Scope;
use crate::runtime::sink::Sink;
use crate::runtime::{clock, local, view};
use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

/// An event, as a sink got it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Received {
    pub(crate) object: u64,
    pub(crate) op: Op,
    pub(crate) handle: u64,
    pub(crate) from: Option<(u64, u64)>,
    pub(crate) seq: u64,
    pub(crate) strong: u32,
}

/// What the sinks of one execution got. (std's types, which loom does not see: the order that is at stake is not
/// theirs, and the threads of a model run one at a time.)
#[derive(Clone, Default)]
pub(crate) struct Sinks {
    pub(crate) log: Arc<Mutex<Vec<Received>>>,
    pub(crate) released: Arc<AtomicU64>,
    pub(crate) births: Arc<AtomicU64>,
    /// Scopes, each with a sink: one more than births for each pointer of std's that came back to its object.
    scopes: Arc<AtomicU64>,
    scoped: bool,
}

impl Sinks {
    /// A sink that writes into the log.
    pub(crate) fn sink(&self) -> Log {
        Log { sinks: self.clone(), listening: AtomicBool::new(true) }
    }

    pub(crate) fn received(&self) -> Vec<Received> {
        self.log.lock().unwrap().clone()
    }

    pub(crate) fn released(&self) -> u64 {
        self.released.load(Ordering::Relaxed)
    }
}

/// A model's sink: a log, and a flag that finds a use after the release.
pub(crate) struct Log {
    sinks: Sinks,
    listening: AtomicBool,
}

impl Sink for Log {
    fn enabled(&self, _: &Object) -> bool {
        self.sinks.births.fetch_add(1, Ordering::Relaxed);
        true
    }

    fn event(&self, event: &Event) {
        assert!(self.listening.load(Ordering::Relaxed), "END: released before {:?}", event.op());
        self.sinks.log.lock().unwrap().push(Received {
            object: event.object().id().number(),
            op: event.op(),
            handle: event.handle().number(),
            from: event.made_from().map(|from| (from.object().number(), from.number())),
            seq: event.seq(),
            strong: event.strong(),
        });
    }
}

impl Drop for Log {
    fn drop(&mut self) {
        self.listening.store(false, Ordering::Relaxed);
        self.sinks.released.fetch_add(1, Ordering::Relaxed);
    }
}

static SINKS: Mutex<Option<Sinks>> = Mutex::new(None);

fn sinks() -> Sinks {
    SINKS.lock().unwrap().clone().expect("a model runs")
}

/// Makes an object, in a scope of its own where the model runs in scopes: so the release of each sink is seen.
#[track_caller]
pub(crate) fn born<R>(make: impl FnOnce() -> R) -> R {
    let sinks = sinks();
    if !sinks.scoped {
        return make();
    }
    sinks.scopes.fetch_add(1, Ordering::Relaxed);
    let guard = Scope::new(sinks.sink()).enter();
    let made = make();
    drop(guard);
    made
}

/// Explores `model`, once with a sink for each object, once with one global sink, and checks the invariants after each
/// execution: the interleavings of at most three preemptions, or all of them where `LOOM_ALL` is set in the
/// environment (it takes hours). Most faults show with two: loom's own documentation says so of its bound, after the
/// CHESS paper.
pub(crate) fn explore(model: impl Fn() + Send + Sync + 'static) {
    explore_within(3, model);
}

/// The same with at most so many preemptions, for models of three threads.
pub(crate) fn explore_within(preemptions: usize, model: impl Fn() + Send + Sync + 'static) {
    let model = Arc::new(model);
    for scoped in [true, false] {
        let all = std::env::var_os("LOOM_ALL").is_some();
        let preemptions = (!all).then_some(preemptions);
        let model = model.clone();
        let how = if scoped { "scoped" } else { "global" };
        run(how, preemptions, move || {
            let sinks = Sinks { scoped, ..Sinks::default() };
            *SINKS.lock().unwrap() = Some(sinks.clone());
            if !scoped {
                install(sinks.sink()).expect("it is the first");
            }
            model();
            check(&sinks);
            assert!(view::handles(|_| true).is_empty(), "VIEW: a handle is alive after all");
            assert!(view::objects(|_| true).is_empty(), "VIEW: an object is alive after all");
        });
    }
}

/// Explores a model that has its own sinks, and its own checks.
pub(crate) fn explore_freely(model: impl Fn() + Send + Sync + 'static) {
    explore_freely_within(3, model);
}

/// The same with at most so many preemptions, for models of three threads.
pub(crate) fn explore_freely_within(preemptions: usize, model: impl Fn() + Send + Sync + 'static) {
    let all = std::env::var_os("LOOM_ALL").is_some();
    run("free", (!all).then_some(preemptions), move || {
        *SINKS.lock().unwrap() = Some(Sinks::default());
        model();
    });
}

fn run(how: &str, preemptions: Option<usize>, model: impl Fn() + Send + Sync + 'static) {
    // Models share the place of the sinks: one at a time.
    static ONE: Mutex<()> = Mutex::new(());
    let _one = ONE.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
    clock::stop_at(1);
    let executions = Arc::new(AtomicU64::new(0));
    let counter = executions.clone();
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = preemptions;
    builder.check(move || {
        model();
        // loom drops the statics before this thread ends.
        local::end_now();
        counter.fetch_add(1, Ordering::Relaxed);
    });
    let name = std::thread::current().name().unwrap_or("?").to_owned();
    let bound = preemptions.map_or(String::new(), |n| format!(", of at most {n} preemptions"));
    println!("{name}, {how}: {} interleavings{bound}", executions.load(Ordering::Relaxed));
}

/// Starts a thread of a model, which ends as a thread of the program does: what it had is given back.
pub(crate) fn spawn<R: 'static>(f: impl FnOnce() -> R + 'static) -> loom::thread::JoinHandle<R> {
    loom::thread::spawn(|| {
        let result = f();
        local::end_now();
        result
    })
}

/// The invariants named in the head of `main.rs`.
pub(crate) fn check(sinks: &Sinks) {
    let log = sinks.log.lock().unwrap().clone();
    let births = sinks.births.load(Ordering::Relaxed);
    if sinks.scoped {
        let scopes = sinks.scopes.load(Ordering::Relaxed);
        assert_eq!(sinks.released.load(Ordering::Relaxed), scopes, "END: {log:?}");
    }
    let mut objects: BTreeMap<u64, Vec<Received>> = BTreeMap::new();
    let mut seen = HashSet::new();
    let mut first: HashMap<(u64, u64), Received> = HashMap::new();
    for event in &log {
        assert!(seen.insert((event.object, event.seq)), "OWN: emitted twice: {event:?} in {log:?}");
        let of_handle = first.entry((event.object, event.handle)).or_insert(*event);
        if event.op.makes().is_some() {
            assert_eq!(of_handle, event, "BIRTH, OWN: {log:?}");
        } else {
            assert!(of_handle.op.makes().is_some(), "BIRTH: {event:?} in {log:?}");
        }
        objects.entry(event.object).or_default().push(*event);
    }
    for event in &log {
        if let Some(from) = event.from {
            let is_handle = first.get(&from).is_some_and(|first| first.op.makes().is_some());
            assert!(is_handle, "OWN: made from no handle: {event:?} in {log:?}");
        }
    }
    assert_eq!(objects.len() as u64, births, "OWN: {log:?}");
    for history in objects.values_mut() {
        history.sort_by_key(|event| event.seq);
        let mut strong = 0;
        for (event, seq) in history.iter().zip(1..) {
            assert_eq!(event.seq, seq, "ORDER: {history:?}");
            strong += i64::from(event.op.strong_delta());
            assert_eq!(i64::from(event.strong), strong, "COUNT: {event:?} in {history:?}");
        }
        assert!(history[0].op.begins(), "BIRTH: {history:?}");
        assert_eq!(strong, 0, "COUNT: {history:?}");
    }
}
