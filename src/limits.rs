//! Tests of an object's limits, which no program reaches soon: its entry is set to shortly before them.

use crate::runtime::view;
use crate::sink::Recorder;
use crate::{Arc, Rc, Scope, sink};
use std::cell::RefCell;

thread_local! {
    /// What the sink clones.
    static CLONED: RefCell<Option<Rc<u8>>> = const { RefCell::new(None) };
}

/// The number of events that a sink did not see reaches its limit, and nothing else that is kept of the object changes: no
/// counter shares a word with flags, and it stays where it is.
#[test]
fn withheld_events_beyond_what_can_be_counted() {
    const LIMIT: u32 = u32::MAX - (1 << 16);

    let scope = Scope::new(sink::from_fn(|_| {
        CLONED.with_borrow(|cloned| (0..1_000).for_each(|_| drop(cloned.clone())));
    }));
    let (one, other) = scope.run(|| (Rc::new(1), Rc::new(2)));
    let watch = crate::watch(&one);
    let id = crate::holders(&one).object().expect("it is traced").id().number();
    CLONED.set(Some(one.clone()));
    view::change(id, |entry| entry.set_withheld(LIMIT - 3_000));
    let flags = view::change(id, |entry| entry.flags()).expect("it is alive");
    for _ in 0..40 {
        drop(other.clone());
    }
    let after = view::change(id, |entry| (entry.flags(), entry.withheld()));
    assert_eq!(after, Some((flags, LIMIT)), "80 times 2,000 were withheld");
    assert_eq!((watch.strong_count(), watch.is_dropped()), (2, false));
    assert_eq!(crate::holders(&one).strong().len(), 2);
    drop(CLONED.take());
    drop(one);
    watch.assert_dropped();
    // Its entry may be another's now: the watch is the old one's.
    let next: Vec<_> = (0..100).map(|_| scope.run(|| Rc::new(3_u8))).collect();
    watch.assert_dropped();
    assert_eq!(view::change(id, |_| ()), None);
    drop(next);
}

/// An object with 2^40 events gets no further handles, which is counted; what it has ends as it does, and it is recorded.
#[test]
fn events_beyond_what_an_object_can_number() {
    let recorder = Recorder::new();
    let scope = Scope::new(recorder.clone());
    let one = scope.run(|| Arc::new(1));
    let two = one.clone();
    let id = crate::holders(&one).object().expect("it is traced").id().number();
    let limit = (1 << 40) - (1 << 34);
    view::change(id, |entry| entry.set_seq(limit - 3));
    let before = crate::untraced_counts().past_limits;
    let more: Vec<_> = (0..10).map(|_| one.clone()).collect();
    let traced = more.iter().filter(|one| crate::holders(*one).object().is_some()).count();
    assert_eq!(traced, 3);
    assert_eq!(crate::untraced_counts().past_limits - before, 7);
    assert_eq!((crate::holders(&one).traced(), Arc::strong_count(&one)), (5, 12));
    drop(more);
    let weak = Arc::downgrade(&one);
    assert_eq!((crate::holders(&one).traced(), crate::holders(&one).strong().len()), (2, 2));
    drop((one, two));
    assert_eq!(scope.alive(), []);
    assert!(weak.upgrade().is_none());
    let recording = recorder.recording();
    let last = recording.events().last().expect("the last drop");
    assert_eq!((last.strong, last.seq > limit), (0, true));
    assert_eq!(recording.timelines().iter().next().map(|line| line.is_alive()), Some(false));
}

/// An object with 2^24 handles gets no further ones.
#[test]
fn handles_beyond_what_can_be_counted() {
    let scope = Scope::mark();
    let one = scope.run(|| Rc::new(1));
    let id = crate::holders(&one).object().expect("it is traced").id().number();
    let limit = (1 << 24) - (1 << 16);
    view::change(id, |entry| entry.set_strong(limit - 2));
    let more: Vec<_> = (0..5).map(|_| one.clone()).collect();
    let traced = more.iter().filter(|one| crate::holders(*one).object().is_some()).count();
    assert_eq!((traced, crate::holders(&one).traced()), (2, limit));
    assert_eq!(Rc::strong_count(&one), 6);
    drop(more);
    assert_eq!(crate::holders(&one).traced(), limit - 2);
    view::change(id, |entry| entry.set_strong(1));
    drop(one);
    assert_eq!(scope.alive(), []);
}
