//! A subscriber of `tracing` whose own code runs whenever refscope asks it for the current span: it panics, or it uses traced
//! pointers itself. (In a process of its own, since the subscriber is the process's: `tracing` guards only those of a thread
//! against themselves.)

use refscope::sink::Recorder;
use refscope::{Arc, Scope};
use std::cell::{Cell, RefCell};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Mutex;
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Metadata, Subscriber};
use tracing_core::span::Current;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::registry::Registry;

#[derive(Clone, Copy, PartialEq)]
enum Callback {
    Quiet,
    /// Panics the next time.
    Panic,
    /// Clones and drops what is in [`OWN`], and keeps one more clone.
    Clone,
}

thread_local! {
    static CALLBACK: Cell<Callback> = const { Cell::new(Callback::Quiet) };
    static OWN: RefCell<Vec<Arc<&'static str>>> = const { RefCell::new(Vec::new()) };
}

struct Hooked<S>(S);

impl<S: Subscriber> Subscriber for Hooked<S> {
    fn current_span(&self) -> Current {
        match CALLBACK.get() {
            Callback::Quiet => {}
            Callback::Panic => {
                CALLBACK.set(Callback::Quiet);
                panic!("asked for the current span");
            }
            Callback::Clone => OWN.with_borrow_mut(|own| {
                let first = own[0].clone();
                drop(first.clone());
                own.push(first);
                drop(Arc::new(17));
                // SAFETY: the pointer came from `into_raw`.
                drop(unsafe { Arc::from_raw(Arc::into_raw(own[0].clone())) });
            }),
        }
        self.0.current_span()
    }

    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        self.0.enabled(metadata)
    }

    fn new_span(&self, span: &Attributes<'_>) -> Id {
        self.0.new_span(span)
    }

    fn record(&self, span: &Id, values: &Record<'_>) {
        self.0.record(span, values);
    }

    fn record_follows_from(&self, span: &Id, follows: &Id) {
        self.0.record_follows_from(span, follows);
    }

    fn event(&self, event: &Event<'_>) {
        self.0.event(event);
    }

    fn enter(&self, span: &Id) {
        self.0.enter(span);
    }

    fn exit(&self, span: &Id) {
        self.0.exit(span);
    }

    fn clone_span(&self, id: &Id) -> Id {
        self.0.clone_span(id)
    }

    fn try_close(&self, id: Id) -> bool {
        self.0.try_close(id)
    }
}

/// One test at a time: where the subscriber has panicked, it is not asked any more until the layer is put in place again.
static ONE: Mutex<()> = Mutex::new(());

fn in_place() -> std::sync::MutexGuard<'static, ()> {
    static GLOBAL: std::sync::Once = std::sync::Once::new();
    let one = ONE.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    GLOBAL.call_once(|| {
        let subscriber = Registry::default().with(refscope::span::layer());
        tracing::subscriber::set_global_default(Hooked(subscriber)).unwrap();
    });
    // Asked again, if it has panicked.
    let _ = refscope::span::layer();
    one
}

/// What happens while the callback is in force, in a span.
fn with<R>(callback: Callback, f: impl FnOnce() -> R) -> R {
    let span = tracing::info_span!("request", id = 17);
    let _entered = span.enter();
    CALLBACK.set(callback);
    let result = catch_unwind(AssertUnwindSafe(f));
    let asked = callback != Callback::Panic || CALLBACK.get() == Callback::Quiet;
    CALLBACK.set(Callback::Quiet);
    assert!(asked, "the subscriber was asked");
    result.unwrap_or_else(|_| panic!("its panic is not the program's"))
}

/// The handles of the scope's one object are those that there are, by std's count, and they are found.
#[track_caller]
fn complete(scope: &Scope, one: &Arc<u32>) {
    let alive = scope.alive();
    assert_eq!(alive.len(), 1);
    assert_eq!(alive[0].strong as usize, Arc::strong_count(one), "the ledger's count");
    assert_eq!(alive[0].handles.len(), Arc::strong_count(one), "a place for each");
}

/// Each way in which the runtime asks, for an object that is in `scope`.
fn each_way(scope: &Scope, callback: Callback) {
    let guard = scope.enter();
    let one = with(callback, || Arc::new(1_u32));
    drop(guard);
    complete(scope, &one);
    for round in 1..3 {
        let _ = refscope::span::layer();
        let clone = with(callback, || one.clone());
        complete(scope, &one);
        assert_eq!(Arc::strong_count(&one), 1 + round);
        // SAFETY: the pointer came from `into_raw`.
        let clone = unsafe {
            let raw = Arc::into_raw(clone);
            let _ = refscope::span::layer();
            with(callback, || Arc::from_raw(raw))
        };
        complete(scope, &one);
        let weak = Arc::downgrade(&clone);
        let _ = refscope::span::layer();
        let upgraded = with(callback, || weak.upgrade()).unwrap();
        drop(weak);
        assert_eq!(Arc::strong_count(&one), 2 + round);
        drop(upgraded);
        std::mem::forget(clone);
    }
    // Nothing is left as it is in the middle of something: what comes then is as usual.
    let more: Vec<_> = (0..1_000).map(|_| one.clone()).collect();
    assert_eq!(scope.alive()[0].strong as usize, Arc::strong_count(&one));
    drop(more);
    assert_eq!(scope.alive()[0].strong, 3);
}

#[test]
fn it_panics_where_objects_are_tracked() {
    let _one = in_place();
    each_way(&Scope::tracking(), Callback::Panic);
}

#[test]
fn it_panics_where_events_are_recorded() {
    let _one = in_place();
    let recorder = Recorder::new();
    let scope = Scope::new(recorder.clone());
    each_way(&scope, Callback::Panic);
    let one = scope.run(|| Arc::new(0_u8));
    let clone = one.clone();
    for _ in 0..2 {
        let _ = refscope::span::layer();
        let clone = clone.clone();
        let _ = refscope::span::layer();
        with(Callback::Panic, || drop(clone));
        let weak = Arc::downgrade(&one);
        let _ = refscope::span::layer();
        with(Callback::Panic, || drop(weak));
    }
    assert_eq!(recorder.lost(), 0);
    let before = recorder.recording().events().len();
    drop((one, clone));
    assert_eq!(recorder.recording().events().len() - before, 2);
}

#[test]
fn it_uses_traced_pointers() {
    let _one = in_place();
    let recorder = Recorder::new();
    let (own, tracked) = (Scope::new(recorder.clone()), Scope::tracking());
    OWN.with_borrow_mut(|all| all.push(own.run(|| Arc::new("the subscriber's"))));
    each_way(&tracked, Callback::Clone);
    each_way(&Scope::new(recorder.clone()), Callback::Clone);
    let kept = OWN.take();
    let alive = own.alive();
    assert!(kept.len() > 10, "it was asked often");
    assert_eq!(alive[0].strong as usize, Arc::strong_count(&kept[0]));
    assert_eq!(alive[0].handles.len(), kept.len());
    // None was taken for one of a signal's handler, which may find the log in use.
    assert_eq!(recorder.lost(), 0);
    drop(kept);
    assert!(own.alive().is_empty());
}
