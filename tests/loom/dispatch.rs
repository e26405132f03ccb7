//! Stands in for `src/dispatch.rs`: every object is bound to the model's one sink, which keeps a log.

use crate::event::{Event, Handle, Object, ObjectId, Op};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

/// The model's sink: a log, and a flag that finds a use after the release. (std's types, which loom does not
/// see: the order that is at stake is the ledger's, and threads of a model run one at a time.)
pub(crate) struct Bound {
    pub(crate) log: Arc<Mutex<Vec<Fact>>>,
    listening: AtomicBool,
    released: Arc<AtomicU64>,
}

/// An event, as the sink got it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Fact {
    pub(crate) object: u64,
    pub(crate) op: Op,
    pub(crate) handle: u64,
    pub(crate) from: Option<(u64, u64)>,
    pub(crate) seq: u64,
    pub(crate) strong: u32,
}

impl Drop for Bound {
    fn drop(&mut self) {
        self.listening.store(false, Ordering::Relaxed);
        self.released.fetch_add(1, Ordering::Relaxed);
    }
}

pub(crate) enum Binding {
    Global { env: bool },
    Scoped(Arc<Bound>),
}

impl Binding {
    pub(crate) fn bound(&self) -> Option<&Bound> {
        match self {
            Self::Scoped(bound) => Some(bound),
            Self::Global { .. } => None,
        }
    }
}

/// What the objects of this execution are bound to.
#[derive(Default)]
pub(crate) struct Sinks {
    pub(crate) log: Arc<Mutex<Vec<Fact>>>,
    pub(crate) released: Arc<AtomicU64>,
    pub(crate) births: AtomicU64,
}

pub(crate) static SINKS: Mutex<Option<Sinks>> = Mutex::new(None);

pub(crate) fn idle() -> bool {
    false
}

pub(crate) fn inside() -> bool {
    false
}

pub(crate) fn global(_: bool) -> Option<&'static Bound> {
    None
}

/// A sink for each object, so that the release of each is seen.
pub(crate) fn bind(object: &mut Object, _: &AtomicU64) -> Option<Binding> {
    let sinks = SINKS.lock().unwrap();
    let sinks = sinks.as_ref().expect("a model runs");
    object.id = ObjectId(1 + sinks.births.fetch_add(1, Ordering::Relaxed));
    Some(Binding::Scoped(Arc::new(Bound {
        log: sinks.log.clone(),
        listening: AtomicBool::new(true),
        released: sinks.released.clone(),
    })))
}

pub(crate) fn deliver(bound: &Bound, event: &Event) {
    let listening = bound.listening.load(Ordering::Relaxed);
    assert!(listening, "END: the sink was released before the event {:?}", event.op());
    bound.log.lock().unwrap().push(Fact {
        object: event.object().id().number(),
        op: event.op(),
        handle: event.handle().number(),
        from: event.from().map(|from| (from.object().number(), from.number())),
        seq: event.seq(),
        strong: event.strong(),
    });
}

/// The sink keeps no handles.
pub(crate) struct NoHandles;

impl NoHandles {
    pub(crate) fn handles(&self, _: ObjectId) -> Option<Vec<Handle>> {
        None
    }
}

pub(crate) fn ask<R>(_: &Bound, f: impl FnOnce(&NoHandles) -> R) -> Option<R> {
    Some(f(&NoHandles))
}
