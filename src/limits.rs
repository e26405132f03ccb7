//! Tests of an object's limits, which no program reaches soon: its entry is set to shortly before them.

use crate::event::Event;
use crate::model::format::HEAD;
use crate::primitive::SEGMENT;
use crate::runtime::log::{AtomicWords, Backing, Clock, Log, Segment, Subject, WORDS};
use crate::runtime::{handle, view};
use crate::sink::{Recorder, Route, Sink};
use crate::{Arc, Rc, Scope, sink};
use std::cell::RefCell;
use std::process::Command;
use std::ptr::NonNull;
use std::sync::atomic::{AtomicU64, Ordering};

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
    assert_eq!((crate::holders(&one).strong_count(), Arc::strong_count(&one)), (5, 12));
    drop(more);
    let weak = Arc::downgrade(&one);
    assert_eq!((crate::holders(&one).strong_count(), crate::holders(&one).strong().len()), (2, 2));
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
    let scope = Scope::tracking();
    let one = scope.run(|| Rc::new(1));
    let id = crate::holders(&one).object().expect("it is traced").id().number();
    let limit = (1 << 24) - (1 << 16);
    view::change(id, |entry| entry.set_strong(limit - 2));
    let more: Vec<_> = (0..5).map(|_| one.clone()).collect();
    let traced = more.iter().filter(|one| crate::holders(*one).object().is_some()).count();
    assert_eq!((traced, crate::holders(&one).strong_count()), (2, limit));
    assert_eq!(Rc::strong_count(&one), 6);
    drop(more);
    assert_eq!(crate::holders(&one).strong_count(), limit - 2);
    view::change(id, |entry| entry.set_strong(1));
    drop(one);
    assert_eq!(scope.alive(), []);
}

/// Runs the test of this name again, in a process of its own: what it does concerns the whole process. False in that one.
fn is_run_alone(test: &str) -> bool {
    const ALONE: &str = "REFSCOPE_TEST_ALONE";

    if std::env::var_os(ALONE).is_some() {
        return false;
    }
    let mut alone = Command::new(std::env::current_exe().expect("it runs"));
    alone.args(["--exact", &format!("limits::{test}"), "--nocapture"]).env(ALONE, "1");
    let output = alone.output().expect("it runs again");
    let text = String::from_utf8_lossy(&output.stdout);
    let ran = output.status.success() && text.contains("1 passed");
    assert!(ran, "{text}{}", String::from_utf8_lossy(&output.stderr));
    true
}

/// Objects beyond those that a record can name are untraced, and counted; those before are told from one another.
#[test]
fn objects_beyond_what_can_be_numbered() {
    if is_run_alone("objects_beyond_what_can_be_numbered") {
        return;
    }
    const LAST: u64 = (1 << 40) - (1 << 24) - 1;

    let recorder = Recorder::new();
    let scope = Scope::new(recorder.clone());
    handle::leave_numbers(3);
    let first: Vec<_> = scope.run(|| (0..5).map(Arc::new).collect());
    // By the short way, which is the global sink's, too.
    crate::install(recorder.clone()).expect("there is no other");
    let second: Vec<_> = (0..5).map(Rc::new).collect();
    let ids = |all: &[Option<u64>]| all.to_vec();
    let of = |one: &Arc<i32>| crate::holders(one).object().map(|object| object.id().number());
    let numbers: Vec<_> = first.iter().map(of).collect();
    assert_eq!(ids(&numbers), [Some(LAST - 2), Some(LAST - 1), Some(LAST), None, None]);
    assert!(second.iter().all(|one| crate::holders(one).object().is_none()));
    let untraced = crate::untraced_counts();
    assert_eq!((untraced.ledger_full, untraced.handles_refused, untraced.filtered), (7, 0, 0));
    let clone = first[2].clone();
    drop(first);
    let recording = recorder.recording();
    let recorded: Vec<_> =
        recording.timelines().iter().map(|line| line.object.id.number()).collect();
    assert_eq!(recorded, [LAST - 2, LAST - 1, LAST]);
    let alive: Vec<_> = recording.timelines().iter().map(|line| line.is_alive()).collect();
    assert_eq!(alive, [false, false, true]);
    drop(clone);
}

/// However many threads there were, each with a name of its own, what is kept of them is bounded, and what is not kept is
/// counted.
#[test]
fn threads_beyond_what_can_be_named() {
    if is_run_alone("threads_beyond_what_can_be_named") {
        return;
    }
    const THREADS: usize = 40_000;
    const NAMED: usize = 8_192;

    fn resident() -> usize {
        let pages = std::fs::read_to_string("/proc/self/statm").unwrap_or_default();
        pages.split(' ').nth(1).map_or(0, |pages| pages.parse::<usize>().unwrap() * 4096)
    }
    let start = |name: String| {
        let thread = std::thread::Builder::new().name(name);
        let thread = thread.spawn(crate::event::Thread::current).expect("it starts");
        thread.join().expect("it ends")
    };
    let pool = start("a worker of the pool".to_owned());
    let kept: Vec<_> = (0..NAMED).map(|n| start(format!("for connection {n}"))).collect();
    let before = resident();
    for n in NAMED..THREADS {
        start(format!("for connection {n} or another text that is as long"));
    }
    let grown = resident().saturating_sub(before);
    assert!(grown < 1 << 20, "{grown} bytes more");
    // A known text has room still, and is known of a thread that is gone.
    let again = start("a worker of the pool".to_owned());
    for thread in [pool, again] {
        assert_eq!(thread.name().as_deref(), Some("a worker of the pool"));
    }
    assert_eq!(kept[17].name().as_deref(), Some("for connection 17"));
    // One text is the pool's. (The test's own thread did nothing with refscope.)
    let unnamed = crate::untraced_counts().threads_unnamed;
    assert_eq!(unnamed as usize, THREADS - (NAMED - 1), "the pool's has one");
    let last = start("one more".to_owned());
    assert_eq!((last.name(), last.to_string()), (None, format!("thread {}", last.number())));
}

/// Has one segment, and no room for another.
#[derive(Default)]
struct Full {
    given: AtomicU64,
    taken_back: AtomicU64,
    lost: AtomicU64,
}

impl Backing for std::sync::Arc<Full> {
    fn extend(&self, before: Option<&std::sync::Arc<Segment>>) -> Option<std::sync::Arc<Segment>> {
        self.taken_back.fetch_add(before.is_some().into(), Ordering::Relaxed);
        if self.given.fetch_add(1, Ordering::Relaxed) > 0 {
            return None;
        }
        let words: Box<[AtomicWords; SEGMENT]> =
            Box::new([const { [const { AtomicU64::new(0) }; WORDS] }; SEGMENT]);
        let words: &'static [AtomicWords; SEGMENT] = Box::leak(words);
        // SAFETY: MAPPED: so many records, which are there for good, and which nobody else writes.
        let segment = unsafe { Segment::backed(NonNull::from(words).cast(), self.clone()) };
        segment.publish(HEAD);
        Some(std::sync::Arc::new(segment))
    }

    fn leave(&self, _: &std::sync::Arc<Segment>) {}

    fn lose(&self) {
        self.lost.fetch_add(1, Ordering::Relaxed);
    }

    fn lost(&self) -> u64 {
        self.lost.load(Ordering::Relaxed)
    }

    fn define(&self, _: Subject) -> bool {
        true
    }

    fn define_paths(&self) -> Option<u32> {
        Some(u32::MAX)
    }
}

struct Writes(Log);

impl Sink for Writes {
    fn event(&self, _: &Event) {}

    fn route(&self) -> Route {
        Route { log: Some(self.0.clone()), events: false, filters: false }
    }
}

/// A full segment goes back once, where it is sealed, and not again with each of the events that find no room.
#[test]
fn events_beyond_a_full_disk() {
    let full = std::sync::Arc::new(Full::default());
    let log = Log::backed(Box::new(full.clone()), Clock::None);
    let one = Scope::new(Writes(log.clone())).run(|| Rc::new(1));
    for _ in 0..1_000 {
        drop(one.clone());
    }
    assert!((1_400..2_000).contains(&log.lost()), "{}", log.lost());
    assert_eq!(full.taken_back.load(Ordering::Relaxed), 1);
}
