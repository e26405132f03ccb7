//! Models of a log's buffers: written by their threads, read by any, left by threads that end. A segment has
//! four records here, one of them that of its thread.

use crate::event::{Event, Label, Object, ObjectId, Op, Type};
use crate::harness::{explore_freely, explore_freely_within, spawn};
use crate::runtime::local::end_now;
use crate::runtime::log::{Clock, Log, Overflow, Record};
use crate::runtime::scope::Scope;
use crate::runtime::sink::{Route, Sink};
use crate::runtime::view;
use std::panic::Location;

/// An event of object `id`: `New` for 1, then clones.
fn event(id: u64, seq: u64) -> Event {
    let object = Object {
        id: ObjectId(id),
        ty: Type::arc::<u8>(),
        size: 1,
        label: Label::default(),
        location: Location::caller(),
    };
    Event {
        op: if seq == 1 { Op::New } else { Op::Clone },
        strong: seq as u32,
        seq,
        handle: seq,
        from: u64::from(seq > 1),
        from_object: object.id,
        location: Some(object.location),
        object,
        logged: 0,
        stack: 0,
    }
}

/// What a reader finds, by object and number, and how many objects it knows from what is gone or kept.
struct Recorded {
    records: Vec<Record>,
    lost: u64,
    objects: usize,
}

fn read(log: &Log) -> Recorded {
    let (segments, evicted, lost) = log.all();
    let mut records = Vec::new();
    for segment in segments {
        let (mut words, mut thread) = (segment.records(), 0);
        while let Some(record) = Record::next(&mut words, &mut thread) {
            assert_ne!(thread, 0, "PUBLISHED: whose record is it?");
            records.push(record);
        }
    }
    records.sort_by_key(|record| (record.object, record.seq));
    let born = records.iter().filter(|record| record.birth.is_some()).count();
    let objects = born + evicted.objects().filter(|(_, object)| object.birth.is_some()).count();
    Recorded { records, lost, objects }
}

/// PUBLISHED: of each thread's events a reader finds the first so many, each whole.
fn is_prefix(recorded: &Recorded, object: u64, first: u64) -> u64 {
    let mut next = first;
    for record in recorded.records.iter().filter(|record| record.object == object) {
        assert_eq!(record.seq, next, "PUBLISHED");
        assert_eq!(
            (u64::from(record.strong), record.handle),
            (record.seq, record.seq),
            "PUBLISHED"
        );
        assert_eq!(record.op, if record.seq == 1 { Op::New } else { Op::Clone }, "PUBLISHED");
        assert!(view::location(record.path).is_some(), "PUBLISHED");
        next += 1;
    }
    next - first
}

/// A sink whose events are written into a log inline.
struct Logged(Log);

impl Sink for Logged {
    fn event(&self, _: &Event) {
        unreachable!("they are written inline");
    }

    fn route(&self) -> Route {
        Route { log: Some(self.0.clone()), events: false, filters: false }
    }
}

/// One thread writes over the end of its segments while another reads, and again after it has ended.
#[test]
fn read_while_a_thread_writes_and_ends() {
    explore_freely(|| {
        let log = Log::new(Overflow::DropNewest, 1 << 20, Clock::None);
        let writer = log.clone();
        let other = spawn(move || (1..=4).for_each(|seq| writer.write(&event(1, seq))));
        is_prefix(&read(&log), 1, 1);
        other.join().unwrap();
        // The thread's tail was left by its destructor.
        assert_eq!(is_prefix(&read(&log), 1, 1), 4, "KEPT");
        assert_eq!(log.lost(), 0);
    });
}

/// Two threads write at once, each to its own segments; nothing is lost, mixed or doubled.
#[test]
fn two_threads_write() {
    explore_freely(|| {
        let log = Log::new(Overflow::DropNewest, 1 << 20, Clock::None);
        let writer = log.clone();
        let other = spawn(move || (1..=3).for_each(|seq| writer.write(&event(1, seq))));
        (1..=3).for_each(|seq| log.write(&event(2, seq)));
        other.join().unwrap();
        let recorded = read(&log);
        assert_eq!([is_prefix(&recorded, 1, 1), is_prefix(&recorded, 2, 1)], [3, 3], "KEPT");
    });
}

/// The budget is used up by two threads: what is kept and what is lost are all there was. LOST.
#[test]
fn losses_are_counted_on_two_threads() {
    explore_freely(|| {
        // Two segments in all: one for each thread at most, or both for one.
        let log = Log::new(Overflow::DropNewest, 2 * 128, Clock::None);
        let writer = log.clone();
        let other = spawn(move || (1..=3).for_each(|seq| writer.write(&event(1, seq))));
        (1..=3).for_each(|seq| log.write(&event(2, seq)));
        other.join().unwrap();
        let recorded = read(&log);
        assert_eq!(recorded.records.len() as u64 + recorded.lost, 6, "LOST");
    });
}

/// The oldest segments are given up, and their memory used again, while a reader reads: it finds records of one
/// moment, none of them half old and half new, and the object is always known. PUBLISHED, LOST.
#[test]
fn the_latest_are_kept_while_another_thread_reads() {
    explore_freely(|| {
        let log = Log::new(Overflow::DropOldest, 2 * 128, Clock::None);
        log.write(&event(1, 1));
        let reader = log.clone();
        let other = spawn(move || {
            let recorded = read(&reader);
            assert_eq!(recorded.objects, 1, "KEPT: the object lives");
            is_prefix(&recorded, 1, 1 + recorded.lost);
        });
        (2..=6).for_each(|seq| log.write(&event(1, seq)));
        other.join().unwrap();
        let recorded = read(&log);
        let lost = recorded.lost;
        assert_eq!(lost + is_prefix(&recorded, 1, 1 + lost), 6, "LOST");
        assert!(lost > 0, "the model is about loss");
    });
}

/// Two threads that have given back their tails write by the shared one, in turn, while another reads.
#[test]
fn two_threads_that_are_ending_write() {
    explore_freely(|| {
        let log = Log::new(Overflow::DropNewest, 1 << 20, Clock::None);
        let writer = log.clone();
        let other = spawn(move || {
            end_now();
            (1..=2).for_each(|seq| writer.write(&event(1, seq)));
        });
        end_now();
        log.write(&event(2, 1));
        is_prefix(&read(&log), 1, 1);
        log.write(&event(2, 2));
        other.join().unwrap();
        let recorded = read(&log);
        assert_eq!([is_prefix(&recorded, 1, 1), is_prefix(&recorded, 2, 1)], [2, 2], "KEPT");
    });
}

/// Threads that end handles whose events are written inline, without a share of the entry: the last one knows of what
/// the others read of it. END, PINNED.
#[test]
fn logged_handles_end_on_three_threads() {
    explore_freely_within(2, || {
        let log = Log::new(Overflow::DropNewest, 1 << 20, Clock::None);
        let scope = Scope::new(Logged(log.clone()));
        let (one, another) = scope.run(|| (crate::arc::Arc::new(), crate::arc::Arc::new()));
        let (two, three) = (one.clone(), one.clone());
        // The first use of a thread is another way.
        let end = |handle, first: crate::arc::Arc| {
            spawn(move || {
                let first = (first.clone(), first);
                drop(handle);
                first
            })
        };
        let (second, third) = (end(two, another.clone()), end(three, another));
        drop(one);
        let firsts = (second.join().unwrap(), third.join().unwrap());
        let recorded = read(&log);
        let records: Vec<_> = recorded.records.iter().filter(|record| record.object == 1).collect();
        assert_eq!((records.len(), recorded.lost), (6, 0), "KEPT");
        assert_eq!(records[5].strong, 0, "COUNT");
        drop(firsts);
        assert!(view::objects(|_| true).is_empty(), "END");
    });
}

/// A weak handle whose events are written inline ends while the last strong one does: each event is there once, in order, and
/// the entry ends once. ORDER, COUNT, END.
#[test]
fn a_logged_weak_handle_ends_beside_the_last_strong_one() {
    explore_freely_within(2, || {
        let log = Log::new(Overflow::DropNewest, 1 << 20, Clock::None);
        let scope = Scope::new(Logged(log.clone()));
        let (one, another) = scope.run(|| (crate::arc::Arc::new(), crate::arc::Arc::new()));
        let (weak, spare, like) = (one.downgrade(), one.downgrade(), another.downgrade());
        let other = spawn(move || {
            // The first of a thread, and of each kind and line, is another way.
            let first = like.clone();
            drop(spare);
            let second = weak.clone();
            drop(weak);
            (first, like, second)
        });
        drop(one);
        let (first, like, second) = other.join().unwrap();
        drop(second);
        let recorded = read(&log);
        let records: Vec<_> = recorded.records.iter().filter(|record| record.object == 1).collect();
        let seqs: Vec<_> = records.iter().map(|record| record.seq).collect();
        assert_eq!((seqs, recorded.lost), ((1..=8).collect(), 0), "ORDER, KEPT");
        let mut strong = 0;
        for record in records {
            strong += i64::from(record.op.strong_delta());
            assert_eq!(i64::from(record.strong), strong, "COUNT");
        }
        drop((first, like, another));
        assert!(view::objects(|_| true).is_empty(), "END");
    });
}

/// The log goes, with its scope, while a thread that wrote to it ends: neither waits for the other.
#[test]
fn the_log_goes_while_a_thread_ends() {
    explore_freely(|| {
        let log = Log::new(Overflow::DropNewest, 1 << 20, Clock::None);
        let scope = Scope::new(Logged(log));
        let one = scope.run(crate::arc::Arc::new);
        let other = spawn(move || drop(one));
        drop(scope);
        other.join().unwrap();
    });
}
