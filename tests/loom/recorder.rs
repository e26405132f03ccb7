//! Models of the recorder's buffers: written by their threads, read by any, left by threads that end. A segment has
//! two records here.

use crate::dispatch::Scope;
use crate::event::{Event, Label, Object, ObjectId, Op, Site, Size, Type};
use crate::model::Recording;
use crate::sink::{Clock, Keep, Recorder, Sink};
use crate::world::explore_freely;
use loom::thread;

/// An event of object `id`: `New` for 1, then clones.
fn event(id: u64, seq: u64) -> Event {
    let object = Object {
        id: ObjectId(id),
        ty: Type::arc::<u8>(),
        size: Size::new(1),
        label: Label::default(),
        born: Site::here(),
    };
    Event {
        op: if seq == 1 { Op::New } else { Op::Clone },
        strong: seq as u32,
        seq,
        handle: seq,
        from: u64::from(seq > 1),
        from_object: object.id,
        site: Some(object.born),
        object,
    }
}

/// PUBLISHED: of each thread's events a reader finds the first so many, each whole.
fn is_prefix(recording: &Recording, object: u64, first: u64) -> u64 {
    let mut next = first;
    for event in recording.events().iter().filter(|event| event.object == object) {
        assert_eq!(event.seq, next, "PUBLISHED: {:?}", recording.events());
        assert_eq!((u64::from(event.strong), event.handle), (event.seq, event.seq), "PUBLISHED");
        assert_eq!(event.op, if event.seq == 1 { Op::New } else { Op::Clone }, "PUBLISHED");
        assert!(event.location.is_some(), "PUBLISHED");
        next += 1;
    }
    next - first
}

/// One thread writes over the end of its segments while another reads, and again after it has ended.
#[test]
fn read_while_a_thread_writes_and_ends() {
    explore_freely(|| {
        let recorder = Recorder::with(1 << 20, Clock::None);
        let writer = recorder.clone();
        let other = thread::spawn(move || (1..=4).for_each(|seq| writer.event(&event(1, seq))));
        is_prefix(&recorder.recording(), 1, 1);
        other.join().unwrap();
        // The thread's tail was left by its destructor.
        assert_eq!(is_prefix(&recorder.recording(), 1, 1), 4, "KEPT");
        assert_eq!(recorder.lost(), 0);
    });
}

/// Two threads write at once, each to its own segments; nothing is lost, mixed or doubled.
#[test]
fn two_threads_write() {
    explore_freely(|| {
        let recorder = Recorder::with(1 << 20, Clock::None);
        let writer = recorder.clone();
        let other = thread::spawn(move || (1..=3).for_each(|seq| writer.event(&event(1, seq))));
        (1..=3).for_each(|seq| recorder.event(&event(2, seq)));
        other.join().unwrap();
        let recording = recorder.recording();
        assert_eq!([is_prefix(&recording, 1, 1), is_prefix(&recording, 2, 1)], [3, 3], "KEPT");
    });
}

/// The budget is used up by two threads: what is kept and what is lost are all there was. LOST.
#[test]
fn losses_are_counted_on_two_threads() {
    explore_freely(|| {
        // Two segments in all: one for each thread at most, or both for one.
        let recorder = Recorder::with(2 * 64, Clock::None);
        let writer = recorder.clone();
        let other = thread::spawn(move || (1..=3).for_each(|seq| writer.event(&event(1, seq))));
        (1..=3).for_each(|seq| recorder.event(&event(2, seq)));
        other.join().unwrap();
        let recording = recorder.recording();
        assert_eq!(recording.events().len() as u64 + recording.lost(), 6, "LOST");
    });
}

/// The oldest segments are given up, and their memory used again, while a reader reads: it finds records of one
/// moment, none of them half old and half new, and the object is always known. PUBLISHED, LOST.
#[test]
fn the_latest_are_kept_while_another_thread_reads() {
    explore_freely(|| {
        let recorder = Recorder::keeping(Keep::Latest, 2 * 64, Clock::None);
        recorder.event(&event(1, 1));
        let reader = recorder.clone();
        let other = thread::spawn(move || {
            let recording = reader.recording();
            assert_eq!(recording.objects().len(), 1, "KEPT: the object lives");
            is_prefix(&recording, 1, 1 + recording.lost());
        });
        (2..=6).for_each(|seq| recorder.event(&event(1, seq)));
        other.join().unwrap();
        let recording = recorder.recording();
        let lost = recording.lost();
        assert_eq!(lost + is_prefix(&recording, 1, 1 + lost), 6, "LOST");
        assert!(lost > 0, "the model is about loss");
    });
}

/// The recorder goes, with its scope, while a thread that wrote to it ends: neither waits for the other.
#[test]
fn the_recorder_goes_while_a_thread_ends() {
    explore_freely(|| {
        let recorder = Recorder::with(1 << 20, Clock::None);
        let scope = Scope::new(recorder);
        let one = scope.run(crate::arc::Arc::new);
        let other = thread::spawn(move || drop(one));
        drop(scope);
        other.join().unwrap();
    });
}
