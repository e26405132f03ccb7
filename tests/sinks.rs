//! Sinks that misbehave, threads that end, scopes that nest: the program goes on, and nothing is lost unsaid.
#![cfg(feature = "trace")]

use refscope::event::{Event, Object, Op};
use refscope::sink::{Filter, Nop, ObjectFilter, Print, Recorder, Sink, from_fn};
use refscope::{Arc, Box, Rc, Scope, StdPtr};
use std::cell::RefCell;
use std::future::Future;
use std::pin::pin;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll, Waker};

/// A sink that panics at its nth event is switched off, and the program goes on.
#[test]
fn a_panicking_sink_is_switched_off() {
    for nth in 0..4 {
        let count = std::sync::Arc::new(AtomicU64::new(0));
        let counter = count.clone();
        let sink = from_fn(move |_| {
            if counter.fetch_add(1, Ordering::Relaxed) == nth {
                panic!("on purpose, at event {nth}");
            }
        });
        let two = Scope::new(sink).run(|| {
            let one = Rc::new(7);
            let two = one.clone();
            drop(one);
            two
        });
        assert_eq!(Rc::try_unwrap(two), Ok(7));
        assert_eq!(count.load(Ordering::Relaxed), nth + 1, "nothing after the panic");
    }
}

/// The same where the event is a drop's, while the thread unwinds already.
#[test]
fn a_sink_that_panics_while_unwinding_does_not_abort() {
    let scope = Scope::new(from_fn(|event| {
        if event.op() == Op::Drop {
            panic!("on purpose, in a destructor");
        }
    }));
    let caught = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        let _one = scope.run(|| Rc::new(1));
        panic!("the program's own panic");
    }));
    let message = caught.unwrap_err();
    assert_eq!(message.downcast_ref::<&str>(), Some(&"the program's own panic"));
}

/// What a sink makes itself is untraced; what it does to the program's objects is withheld, and counted.
#[test]
fn a_sink_that_uses_traced_pointers() {
    #[derive(Default)]
    struct Nosy {
        kept: Mutex<Vec<Arc<u8>>>,
        seen: Mutex<Option<Arc<u8>>>,
    }
    impl Sink for Nosy {
        fn event(&self, _: &Event) {
            let own = Arc::new(1); // untraced, or this would never end
            self.kept.lock().unwrap().push(own);
            if let Some(theirs) = &*self.seen.lock().unwrap() {
                drop(theirs.clone()); // two events, withheld
            }
        }
    }
    let nosy: &'static Nosy = std::boxed::Box::leak(std::boxed::Box::default());
    let one = Scope::new(nosy).run(|| Arc::new(5));
    *nosy.seen.lock().unwrap() = Some(one.clone());
    let before = nosy.kept.lock().unwrap().len();
    let two = one.clone();
    assert_eq!(nosy.kept.lock().unwrap().len(), before + 1);
    let holders = refscope::holders(&two);
    // By the ledger: one, the one that is seen, two. The two that came and went inside the sink left a count
    // that is right, and four numbers in the history.
    assert_eq!(holders.strong_count(), 3);
    assert_eq!(holders.strong().len(), 3);
    assert!(refscope::untraced_counts().inside_sink >= 1);
}

/// A handle that a sink makes of the program's objects is in the ledger like any other; that the sink did not see it is
/// said.
#[test]
fn what_a_sink_keeps_is_known_and_what_it_did_not_see_is_told() {
    #[derive(Default)]
    struct Keeper(Mutex<Option<Arc<u8>>>, Mutex<Vec<Arc<u8>>>, AtomicU64);
    impl Sink for Keeper {
        fn event(&self, event: &Event) {
            self.2.fetch_add(1, Ordering::Relaxed);
            if event.op() == Op::Label {
                let theirs = self.0.lock().unwrap().clone();
                self.1.lock().unwrap().extend(theirs);
            }
        }
    }
    let keeper: &'static Keeper = std::boxed::Box::leak(std::boxed::Box::default());
    let scope = Scope::new(keeper);
    let one = scope.run(|| Arc::new(5));
    *keeper.0.lock().unwrap() = Some(one.clone());
    refscope::label(&one, "kept");
    let holders = refscope::holders(&one);
    assert_eq!(
        (holders.strong_count(), holders.strong().len(), Arc::strong_count(&one)),
        (3, 3, 3)
    );
    let text = holders.to_string();
    assert!(text.contains("1 event withheld"), "{text}");
    assert_eq!(keeper.2.load(Ordering::Relaxed), 3, "new, clone, label");
    assert_eq!(holders.events(), 4);
    assert_eq!(scope.alive()[0].handles.len(), 3);
}

/// A sink that blocks holds nobody up but the threads whose events it gets.
#[test]
fn a_sink_that_blocks_does_not_block_others() {
    let (go, wait) = std::sync::mpsc::channel::<()>();
    let wait = Mutex::new(wait);
    let (entered, inside) = std::sync::mpsc::channel::<()>();
    let scope = Scope::new(from_fn(move |_| {
        entered.send(()).unwrap();
        wait.lock().unwrap().recv().unwrap();
    }));
    let blocked = std::thread::spawn(move || scope.run(|| Arc::new(1).into_std()));
    inside.recv().unwrap(); // it stands in the sink now
    let other = Scope::new(Nop);
    let kept = other.run(|| (Arc::new(2).clone(), Arc::new(3)));
    assert_eq!(other.alive().len(), 2);
    drop(kept);
    assert_eq!(other.alive(), []);
    go.send(()).unwrap();
    go.send(()).unwrap();
    assert_eq!(*blocked.join().unwrap(), 1);
}

/// The scope is gone, its objects are not: their events still go to its sink, and its drop comes last.
#[test]
fn a_sink_lives_as_long_as_its_objects() {
    struct Loud(std::sync::Arc<AtomicU64>);
    impl Sink for Loud {
        fn event(&self, _: &Event) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }
    impl Drop for Loud {
        fn drop(&mut self) {
            self.0.fetch_add(1000, Ordering::Relaxed);
            panic!("on purpose: a sink's drop is not the program's concern");
        }
    }
    let count = std::sync::Arc::new(AtomicU64::new(0));
    let one = Scope::new(Loud(count.clone())).run(|| Rc::new(1));
    assert_eq!(count.load(Ordering::Relaxed), 1);
    drop(one);
    assert_eq!(count.load(Ordering::Relaxed), 1002);
}

/// Events of thread-locals that are destroyed when their thread ends are delivered, whatever the order.
#[test]
fn events_during_thread_exit() {
    thread_local! {
        static EARLY: RefCell<Option<Rc<u8>>> = const { RefCell::new(None) };
        static LATE: RefCell<Option<Rc<u8>>> = const { RefCell::new(None) };
    }
    for early_first in [true, false] {
        let recorder = Recorder::new();
        let scope = Scope::new(recorder.clone());
        let outside = scope.clone();
        let thread = std::thread::spawn(move || {
            // Locals are destroyed in some order that depends on their first use: try both, before and after
            // refscope's own.
            if early_first {
                EARLY.with(|place| assert!(place.borrow().is_none()));
            }
            let one = scope.run(|| Rc::new(1));
            EARLY.set(Some(one.clone()));
            LATE.set(Some(one));
        });
        thread.join().unwrap();
        let recording = recorder.recording();
        assert_eq!(recording.events().len(), 4);
        recording.verify().unwrap();
        assert_eq!(outside.alive(), []);
    }
}

/// Objects allocated on a thread are bound to the innermost scope; a pair gets each event twice; a filter decides at
/// birth.
#[test]
fn scopes_nest_and_sinks_combine() {
    let (outer, inner) = (Recorder::new(), Recorder::new());
    let big = |object: &Object| object.size() > 4;
    Scope::new(outer.clone()).run(|| {
        let one = Box::new(1_u64);
        Scope::new((Filter::new(inner.clone(), big), outer.clone())).run(|| {
            let _both = Box::new(2_u64);
        });
        Scope::new(Filter::new(inner.clone(), big)).run(|| {
            let _big = Rc::new(3_u64);
            let _small = Rc::new(4_u8);
        });
        drop(one);
    });
    assert_eq!(outer.recording().timelines().len(), 2);
    assert_eq!(inner.recording().timelines().len(), 2);
    assert!(refscope::untraced_counts().filtered >= 1);
}

/// A future carries its scope to wherever it is polled and dropped.
#[test]
fn futures_enter_a_scope_at_each_poll() {
    let scope = Scope::tracking();
    let mut yielded = false;
    let future = scope.instrument(async move {
        let first = Arc::new(1);
        std::future::poll_fn(|_| match std::mem::replace(&mut yielded, true) {
            true => Poll::Ready(()),
            false => Poll::Pending,
        })
        .await;
        (first, Arc::new(2))
    });
    let mut context = Context::from_waker(Waker::noop());
    let mut future = pin!(future);
    assert!(future.as_mut().poll(&mut context).is_pending());
    let _mine = Arc::new(3); // between polls: not the scope's
    assert_eq!(scope.alive().len(), 1);
    let Poll::Ready(values) = future.as_mut().poll(&mut context) else { panic!("it is ready") };
    assert_eq!(scope.alive().len(), 2);
    drop(values);
    assert_eq!(scope.alive(), []);
}

/// Each method of `Sink` is forwarded by each pointer to one, and by a pair.
#[test]
fn every_method_is_forwarded() {
    #[derive(Default)]
    struct Calls(Mutex<Vec<&'static str>>);
    impl Sink for Calls {
        fn event(&self, _: &Event) {
            self.0.lock().unwrap().push("event");
        }
        fn enabled(&self, _: &Object) -> bool {
            self.0.lock().unwrap().push("enabled");
            true
        }
        fn flush(&self) {
            self.0.lock().unwrap().push("flush");
        }
    }
    fn check(calls: &'static Calls, sink: impl Sink) {
        let shared = std::sync::Arc::new(sink);
        let one = Scope::new(shared.clone()).run(|| Rc::new(1));
        shared.flush();
        let told = std::mem::take(&mut *calls.0.lock().unwrap());
        assert_eq!(told, ["enabled", "event", "flush"]);
        std::mem::forget(one);
    }
    let calls: &'static Calls = std::boxed::Box::leak(std::boxed::Box::default());
    check(calls, calls);
    check(calls, std::boxed::Box::new(calls));
    check(calls, std::boxed::Box::new(calls) as std::boxed::Box<dyn Sink>);
    check(calls, std::sync::Arc::new(calls));
    check(calls, (calls, from_fn(|_| {})));
    check(calls, (from_fn(|_| {}), calls));
    check(calls, Filter::new(calls, |_| true));
}

/// One global sink, which can be switched off. (In a process of its own: see `tests/environment.rs`.)
#[test]
fn the_global_sink_is_set_once() {
    let recorder = Recorder::new();
    refscope::install(Filter::new(recorder.clone(), |o| o.type_name() == "[char; 3]")).unwrap();
    let again = refscope::install(Print::stderr()).unwrap_err();
    assert!(again.to_string().contains("installed already"), "{again}");
    drop(again.into_sink());
    let one = Rc::new(['a', 'b', 'c']);
    let elsewhere = std::thread::spawn(|| drop(Arc::new(['d', 'e', 'f'])));
    elsewhere.join().unwrap();
    assert_eq!(recorder.recording().timelines().len(), 2);
    refscope::switch_off();
    refscope::switch_off();
    drop(one);
    let late = Rc::new(['g', 'h', 'i']);
    assert_eq!(recorder.recording().events().len(), 3, "a birth, and a birth and a drop elsewhere");
    assert!(refscope::holders(&late).object().is_none());
    let off = refscope::track().unwrap_err();
    assert!(off.to_string().contains("for good"), "{off}");
}

/// Filters decide once, at birth; what they leave out is counted, and costs nothing later.
#[test]
fn accepted_by_type_site_size_and_one_in_so_many() {
    let kept = |wanted: ObjectFilter, f: fn()| {
        let recorder = Recorder::new();
        Scope::new(Filter::by(recorder.clone(), wanted)).run(f);
        let mut names: Vec<String> =
            recorder.recording().objects().values().map(|o| o.type_name.to_string()).collect();
        names.sort();
        names.dedup();
        (recorder.recording().objects().len(), names)
    };
    let program = || {
        for i in 0..10_u64 {
            drop(Rc::new(i));
            drop(Rc::new([i; 100]));
            drop(Rc::new(String::new()));
        }
    };
    assert_eq!(kept(ObjectFilter::all(), program).0, 30);
    assert_eq!(
        kept(ObjectFilter::all().of_type("String"), program),
        (10, vec!["alloc::string::String".to_owned()])
    );
    assert_eq!(kept(ObjectFilter::all().of_type("String").of_type("[u64"), program).0, 20);
    assert_eq!(kept(ObjectFilter::all().at_least(9).at_most(100), program).0, 10);
    assert_eq!(kept(ObjectFilter::all().located_in("tests::sinks"), program).0, 30);
    assert_eq!(kept(ObjectFilter::all().located_in("elsewhere"), program).0, 0);
    let before = refscope::untraced_counts().filtered;
    assert_eq!(kept(ObjectFilter::all().of_type("String").one_in(4), program).0, 3);
    assert!(refscope::untraced_counts().filtered >= before + 27);
    // One that was left out is untraced: nothing is known of it.
    let scope = Scope::new(Filter::by(Nop, ObjectFilter::all().of_type("no such type")));
    let one = scope.run(|| Rc::new(1));
    assert!(refscope::holders(&one).object().is_none());
}
