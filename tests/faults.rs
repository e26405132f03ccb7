//! Handles that never end, and pointers that come from where refscope does not look: the counts stay right, and nothing
//! is said that is not so. (What a sink can do wrong is in `sinks.rs`, the end of a process in `environment.rs`.)
#![cfg(feature = "trace")]

use refscope::sink::{Clock, Recorder};
use refscope::{Arc, Box, Rc, Scope, StdPtr as _};
use std::cell::RefCell;
use std::mem::ManuallyDrop;

/// Runs `f` in a scope with a recorder, and gives what is alive afterwards: type, strong and weak handles known.
fn left(f: impl FnOnce()) -> Vec<(String, usize, usize)> {
    let recorder = Recorder::builder().budget(1 << 20).clock(Clock::None).build();
    let scope = Scope::new(recorder.clone());
    scope.run(f);
    let recording = recorder.recording();
    recording.verify().expect("whole");
    let alive = recording.timelines().iter().filter(|t| t.strong() + t.weak() > 0).count();
    let all = scope.alive();
    assert_eq!(alive, all.len(), "recorder and ledger agree");
    all.iter()
        .map(|object| {
            let name = object.type_name.rsplit("::").next().unwrap_or_default();
            let strong = object.strong_handles().count();
            (format!("{}<{name}>", object.kind), strong, object.handles.len() - strong)
        })
        .collect()
}

#[test]
fn what_is_forgotten_is_alive() {
    let left = left(|| {
        let one = Rc::new(1);
        std::mem::forget(one.clone());
        drop(one);
        let two = ManuallyDrop::new(Arc::new(2_u8));
        drop((*two).clone());
        std::mem::forget(Box::new(3_i64));
    });
    let want = [("Rc<i32>", 1, 0), ("Arc<u8>", 1, 0), ("Box<i64>", 1, 0)];
    assert_eq!(left, want.map(|(name, strong, weak)| (name.to_owned(), strong, weak)));
}

#[test]
fn what_is_leaked_is_alive_as_a_raw_pointer() {
    let scope = Scope::tracking();
    scope.run(|| {
        let text: &'static mut String = Box::leak(Box::new(String::from("for good")));
        text.push('!');
    });
    let objects = scope.alive();
    assert_eq!(objects.len(), 1);
    assert!(objects[0].handles[0].raw, "{objects:?}");
}

#[test]
fn cycles_are_alive_with_the_handles_that_make_them() {
    struct Node(RefCell<Vec<Rc<Node>>>);

    let left = left(|| {
        let parent = Rc::new(Node(RefCell::default()));
        let child = Rc::new(Node(RefCell::new(vec![parent.clone()])));
        parent.0.borrow_mut().push(child.clone());
        let weak = Rc::downgrade(&parent);
        drop((parent, child, weak));
    });
    assert_eq!(left, [("Rc<Node>".to_owned(), 1, 0), ("Rc<Node>".to_owned(), 1, 0)]);
}

#[test]
fn more_raw_pointers_come_back_than_left() {
    let left = left(|| {
        let one = Arc::new(5);
        let theirs = std::sync::Arc::into_raw(one.as_std().clone());
        let ours = Arc::into_raw(one.clone());
        assert_eq!(theirs, ours);
        // SAFETY: each pointer came from an `into_raw`, and is taken back once.
        let [first, second] = [ours, theirs].map(|ptr| unsafe { Arc::from_raw(ptr) });
        assert_eq!(Arc::strong_count(&one), 3);
        assert_eq!(refscope::holders(&one).strong_count(), 2);
        drop(second.clone());
        drop(first);
        drop(second);
        assert_eq!(refscope::holders(&one).strong_count(), 1);
        assert_eq!(refscope::holders(&one).strong().len(), 1);
        drop(one);
    });
    assert_eq!(left, []);
}

#[test]
fn two_objects_at_one_address_keep_their_counts() {
    let left = left(|| {
        let one = Arc::new(6);
        let adopted = Arc::from_std(one.as_std().clone());
        let (first, second) = (Arc::into_raw(one.clone()), Arc::into_raw(adopted.clone()));
        // SAFETY: each pointer came from an `into_raw`, and is taken back once.
        let back = [second, first].map(|ptr| unsafe { Arc::from_raw(ptr) });
        assert_eq!(Arc::strong_count(&one), 4);
        let counts = || [&one, &adopted].map(|p| refscope::holders(p).strong_count());
        assert_eq!(counts(), [2, 2]);
        drop(back);
        assert_eq!(counts(), [1, 1]);
    });
    assert_eq!(left, []);
}

#[test]
fn a_pointer_freed_by_std_leaves_its_object_open_and_no_other() {
    let left = left(|| {
        let one = Box::new(7);
        let ptr = Box::into_raw(one);
        // SAFETY: the pointer came from `into_raw`; a traced box is allocated as std's is.
        drop(unsafe { std::boxed::Box::from_raw(ptr) });
        // Likely at the same address: not mistaken for the first.
        let next = Box::into_raw(Box::new(8));
        // SAFETY: as above.
        drop(unsafe { Box::from_raw(next) });
    });
    assert_eq!(left, [("Box<i32>".to_owned(), 1, 0)], "what std freed was never dropped here");
}

#[test]
fn two_threads_label_a_box_that_they_share() {
    let recorder = Recorder::builder().budget(1 << 20).clock(Clock::None).build();
    let _guard = Scope::new(recorder.clone()).enter();
    let shared = Box::new(9);
    std::thread::scope(|threads| {
        for name in ["one", "two"] {
            let shared = &shared;
            threads.spawn(move || (0..1000).for_each(|_| refscope::label(shared, name)));
        }
    });
    drop(shared);
    let recording = recorder.recording();
    recording.verify().expect("numbered without a gap");
    assert_eq!(recording.events().len(), 2002);
}

/// std's threads run thread-locals' destructors newest first, so one that is older than refscope's own outlives it.
#[test]
fn a_scope_in_the_destructor_of_an_older_thread_local() {
    struct Late(Option<Recorder>);

    impl Drop for Late {
        fn drop(&mut self) {
            let recorder = self.0.take().expect("set below");
            Scope::new(recorder).run(|| drop(Rc::new(1)));
        }
    }

    thread_local! {
        static LATE: RefCell<Late> = const { RefCell::new(Late(None)) };
    }
    let recorder = Recorder::builder().budget(1 << 20).clock(Clock::None).build();
    let late = recorder.clone();
    std::thread::spawn(move || {
        LATE.with(|local| local.borrow_mut().0 = Some(late));
        Scope::tracking().run(|| drop(Rc::new(2)));
    })
    .join()
    .expect("the thread ends as it does without refscope");
    let recording = recorder.recording();
    recording.verify().expect("whole");
    assert_eq!(recording.events().len(), 2, "it happened in the scope");
    assert_eq!(recording.live_objects(), []);
}

#[test]
fn a_wait_without_an_end() {
    let check = refscope::leaks::Check::new().timeout(std::time::Duration::MAX);
    check.run(|| drop(Rc::new(1)));
    let watch = Scope::tracking().run(|| refscope::watch(&Rc::new(1)));
    watch.assert_dropped_within(std::time::Duration::MAX);
}

/// `coerce!` pins what it has just made, and nothing else.
#[test]
fn pins() {
    let pinned: std::pin::Pin<Rc<dyn Fn(i32) -> i32>> = refscope::coerce!(Rc::pin(|x| x * 2));
    let boxed: std::pin::Pin<Box<dyn Fn(i32) -> i32>> = refscope::coerce!(Box::pin(|x| x + 2));
    let shared: std::pin::Pin<Arc<dyn Fn(i32) -> i32>> = refscope::coerce!(Arc::pin(|x| x - 2));
    assert_eq!((pinned(4), (*boxed)(4), shared(4)), (8, 6, 2));
}
