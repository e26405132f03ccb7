//! Which events tell of what: each operation of the pointers, seen by a sink.
#![cfg(feature = "trace")]

use refscope::event::{HandleId, Kind, Op, OwnedEvent, Strength};
use refscope::sink::{Recorder, from_fn};
use refscope::{Arc, Box, Rc, Scope, StdPtr, rc, sync};
use std::sync::Mutex;

/// Runs `f` in a scope, and gives what its sink got.
fn events(f: impl FnOnce()) -> Vec<OwnedEvent> {
    let log = std::sync::Arc::new(Mutex::new(Vec::new()));
    let sink = log.clone();
    Scope::new(from_fn(move |event| sink.lock().unwrap().push(event.to_owned()))).run(f);
    let log = log.lock().unwrap().clone();
    // Whatever was done: numbered without a gap, and replayed to the count that each carries.
    let mut objects: Vec<_> = log.iter().map(|record| record.object.id()).collect();
    objects.sort();
    objects.dedup();
    for id in objects {
        let mut history: Vec<_> = log.iter().filter(|record| record.object.id() == id).collect();
        history.sort_by_key(|record| record.seq);
        let mut strong = 0;
        for (record, seq) in history.iter().zip(1..) {
            assert_eq!(record.seq, seq, "{record}");
            strong += i64::from(record.op.strong_delta());
            assert_eq!(i64::from(record.strong), strong, "{record}");
        }
    }
    log
}

/// The operations, with the strong count after each.
fn ops(f: impl FnOnce()) -> Vec<(Op, u32)> {
    events(f).iter().map(|record| (record.op, record.strong)).collect()
}

#[test]
fn an_event_is_complete_in_itself() {
    let mut lines = (0, 0);
    let log = events(|| {
        let one = Rc::new([1_u16, 2, 3]);
        lines.0 = line!() - 1;
        refscope::label(&one, "three");
        let two = one.clone();
        lines.1 = line!() - 1;
        drop((one, two));
    });
    let [new, label, clone, first, last] = &log[..] else { panic!("{log:?}") };
    assert_eq!((new.op, label.op, clone.op, first.op, last.op), {
        (Op::New, Op::Label, Op::Clone, Op::Drop, Op::Drop)
    });
    assert_eq!(new.object.kind(), Kind::Rc);
    assert_eq!(new.object.type_name(), "[u16; 3]");
    assert_eq!(new.object.size(), 6);
    assert_eq!(new.object.location().file, file!());
    assert_eq!(new.object.location().line, lines.0);
    assert_eq!(new.object.label(), None);
    assert_eq!(clone.object.label(), Some("three"));
    assert_eq!(clone.from, Some(new.handle));
    assert_eq!(clone.location.as_ref().map(|location| location.line), Some(lines.1));
    assert_eq!((new.seq, clone.seq, last.seq), (1, 3, 5));
    assert_eq!((new.strong, clone.strong, first.strong, last.strong), (1, 2, 1, 0));
    assert_eq!(first.handle, new.handle);
    assert_eq!(last.handle, clone.handle);
    assert_eq!(last.location, None, "a drop has no line");
    assert_eq!(new.thread.name().as_deref(), std::thread::current().name());
    assert!(new.time <= last.time);
    let line = clone.to_string();
    for part in ["Rc<[u16; 3]> \"three\"", "clone", "handle 3 from 1", "strong 2", "events.rs"] {
        assert!(line.contains(part), "{part} in {line}");
    }
}

macro_rules! counted {
    ($module:ident, $Ptr:ident, $strong:ident) => {
        mod $strong {
            use super::*;
            use refscope::$module::{Weak, $Ptr};

            #[test]
            fn clone_downgrade_upgrade() {
                let told = ops(|| {
                    let one = $Ptr::new(1);
                    let weak = $Ptr::downgrade(&one);
                    let other = weak.clone();
                    let two = weak.upgrade().unwrap();
                    drop(one);
                    drop(two);
                    assert!(other.upgrade().is_none());
                    drop(weak);
                    drop(other);
                });
                assert_eq!(
                    told,
                    [
                        (Op::New, 1),
                        (Op::Downgrade, 1),
                        (Op::WeakClone, 1),
                        (Op::Upgrade, 2),
                        (Op::Drop, 1),
                        (Op::Drop, 0),
                        (Op::UpgradeFailed, 0),
                        (Op::WeakDrop, 0),
                        (Op::WeakDrop, 0),
                    ]
                );
            }

            #[test]
            fn values_moved_out() {
                let told = ops(|| {
                    let one = $Ptr::new(1);
                    let two = one.clone();
                    let one = $Ptr::try_unwrap(one).unwrap_err();
                    assert_eq!($Ptr::into_inner(one), None);
                    assert_eq!($Ptr::into_inner(two), Some(1));
                    assert_eq!($Ptr::try_unwrap($Ptr::new(2)), Ok(2));
                    assert_eq!($Ptr::unwrap_or_clone($Ptr::new(3)), 3);
                });
                assert_eq!(
                    told,
                    [
                        (Op::New, 1),
                        (Op::Clone, 2),
                        (Op::Drop, 1),
                        (Op::Drop, 0),
                        (Op::IntoInner, 0),
                        (Op::New, 1),
                        (Op::MovedOut, 0),
                        (Op::New, 1),
                        (Op::MovedOut, 0),
                    ]
                );
            }

            #[test]
            fn copy_on_write_is_a_new_object_made_from_the_old() {
                let log = events(|| {
                    let mut one = $Ptr::new(1);
                    *$Ptr::make_mut(&mut one) += 1; // its own: no event
                    let two = one.clone();
                    *$Ptr::make_mut(&mut one) += 1;
                    assert_eq!((*one, *two), (3, 2));
                });
                let told: Vec<_> = log.iter().map(|record| (record.op, record.strong)).collect();
                assert_eq!(
                    told[..4],
                    [(Op::New, 1), (Op::Clone, 2), (Op::Drop, 1), (Op::CopyOnWrite, 1)]
                );
                assert_ne!(log[3].object, log[0].object);
                assert_eq!(log[3].from, Some(log[0].handle));
            }

            #[test]
            fn copy_on_write_away_from_weak_handles() {
                let told = ops(|| {
                    let mut one = $Ptr::new(1);
                    let weak = $Ptr::downgrade(&one);
                    *$Ptr::make_mut(&mut one) += 1;
                    assert!(weak.upgrade().is_none());
                });
                assert_eq!(
                    told[2..5],
                    [(Op::Drop, 0), (Op::CopyOnWrite, 1), (Op::UpgradeFailed, 0)]
                );
            }

            #[test]
            fn raw_pointers_and_back() {
                let log = events(|| {
                    let raw = $Ptr::into_raw($Ptr::new(1));
                    // SAFETY: `raw` came from `into_raw`, and each count is given back once.
                    unsafe {
                        $Ptr::increment_strong_count(raw);
                        drop($Ptr::from_raw(raw));
                        $Ptr::decrement_strong_count(raw);
                    }
                });
                let told: Vec<_> = log.iter().map(|record| (record.op, record.strong)).collect();
                assert_eq!(
                    told,
                    [
                        (Op::New, 1),
                        (Op::IntoRaw, 1),
                        (Op::Clone, 2),
                        (Op::IntoRaw, 2),
                        (Op::FromRaw, 2),
                        (Op::Drop, 1),
                        (Op::FromRaw, 1),
                        (Op::Drop, 0),
                    ]
                );
            }

            #[test]
            fn views_of_a_raw_pointer_leave_the_counts_right() {
                let scope = Scope::tracking();
                scope.run(|| {
                    let raw = $Ptr::into_raw($Ptr::new(1));
                    for _ in 0..5 {
                        // SAFETY: the view is not dropped, so `raw` still owns its handle.
                        let view = std::mem::ManuallyDrop::new(unsafe { $Ptr::from_raw(raw) });
                        let clone = $Ptr::clone(&view);
                        assert_eq!(refscope::holders(&clone).strong().len(), 2);
                    }
                    // SAFETY: `raw` owns a handle.
                    drop(unsafe { $Ptr::from_raw(raw) });
                });
                assert_eq!(scope.alive(), []);
            }

            #[test]
            fn weak_raw_pointers() {
                let told = ops(|| {
                    let one = $Ptr::new(1);
                    let raw = $Ptr::downgrade(&one).into_raw();
                    // SAFETY: `raw` came from `into_raw`.
                    let weak = unsafe { Weak::from_raw(raw) };
                    assert!(weak.upgrade().is_some());
                    // A dangling one is of no object.
                    let none = Weak::<u8>::new().into_raw();
                    // SAFETY: as above.
                    drop(unsafe { Weak::from_raw(none) });
                });
                assert_eq!(
                    told[1..4],
                    [(Op::Downgrade, 1), (Op::WeakIntoRaw, 1), (Op::WeakFromRaw, 1)]
                );
            }

            #[test]
            fn to_std_and_from_std() {
                let log = events(|| {
                    let theirs = $Ptr::new(1).into_std();
                    let mine = $Ptr::from_std(theirs.clone());
                    let weak = Weak::from_std(std::$module::$Ptr::downgrade(&theirs));
                    drop(mine);
                    drop(weak.upgrade());
                    drop(weak.into_std());
                });
                let told: Vec<_> = log.iter().map(|record| (record.op, record.strong)).collect();
                assert_eq!(
                    told,
                    [
                        (Op::New, 1),
                        (Op::IntoStd, 0),
                        (Op::FromStd, 1),
                        (Op::WeakFromStd, 0),
                        (Op::Drop, 0),
                        (Op::Upgrade, 1),
                        (Op::Drop, 0),
                        (Op::WeakIntoStd, 0),
                    ]
                );
                assert_ne!(log[2].object, log[0].object, "adopted as a new object");
            }

            /// While a traced handle keeps the value, its address is no other object's.
            #[test]
            fn what_comes_back_from_std_is_the_object_that_it_left() {
                let log = events(|| {
                    let kept = $Ptr::new([1, 2]);
                    let left = kept.clone().into_std();
                    // As a trait object, too: an event loop's sources are kept so.
                    let source: std::$module::$Ptr<dyn std::fmt::Debug> = left.clone();
                    let one = $Ptr::from_std(left);
                    let two: $Ptr<dyn std::fmt::Debug> = $Ptr::from_std(source);
                    assert_eq!(refscope::holders(&kept).strong_count(), 3);
                    assert_eq!(refscope::holders(&two).object(), refscope::holders(&kept).object());
                    drop((one, kept));
                    let last = two.into_std();
                    drop($Ptr::from_std(last));
                });
                let told: Vec<_> = (log.iter().map(|record| (record.op, record.strong))).collect();
                assert_eq!(
                    told,
                    [
                        (Op::New, 1),
                        (Op::Clone, 2),
                        (Op::IntoStd, 1),
                        (Op::FromStd, 2),
                        (Op::FromStd, 3),
                        (Op::Drop, 2),
                        (Op::Drop, 1),
                        (Op::IntoStd, 0),
                        // Nothing of ours kept it meanwhile.
                        (Op::FromStd, 1),
                        (Op::Drop, 0),
                    ]
                );
                let made = log[1].handle;
                assert_eq!(
                    [3, 4].map(|at| log[at].from),
                    [Some(made); 2],
                    "from the one that left"
                );
                assert!(log[..8].iter().all(|record| record.object == log[0].object));
                assert_ne!(log[8].object, log[0].object, "adopted as a new object");
            }

            /// An object that took the address of one that is gone is another one.
            #[test]
            fn what_comes_from_std_at_an_old_address_is_new() {
                let log = events(|| {
                    for _ in 0..8 {
                        let kept = $Ptr::new([0_u64; 7]);
                        drop(kept.clone().into_std());
                        drop(kept);
                        let theirs = std::$module::$Ptr::new([0_u64; 7]);
                        drop($Ptr::from_std(theirs));
                    }
                });
                let adopted = log.iter().filter(|record| record.op == Op::FromStd);
                assert!(adopted.clone().all(|record| record.seq == 1 && record.from.is_none()));
                assert_eq!(adopted.count(), 8);
            }

            #[test]
            fn new_cyclic_tells_of_the_weak_handle_first() {
                struct Node(#[allow(dead_code)] Weak<Node>);
                let told = ops(|| drop($Ptr::new_cyclic(|me| Node(me.clone()))));
                assert_eq!(
                    told,
                    [
                        (Op::NewCyclic, 0),
                        (Op::WeakClone, 0),
                        (Op::New, 1),
                        (Op::WeakDrop, 1),
                        (Op::Drop, 0),
                        (Op::WeakDrop, 0),
                    ]
                );
            }

            #[test]
            fn new_cyclic_whose_closure_panics_leaves_nothing() {
                let scope = Scope::tracking();
                scope.run(|| {
                    let made = std::panic::catch_unwind(|| {
                        $Ptr::<u8>::new_cyclic(|_| {
                            std::panic::resume_unwind(std::boxed::Box::new(()))
                        })
                    });
                    assert!(made.is_err());
                });
                assert_eq!(scope.alive(), []);
            }

            #[test]
            fn a_dangling_weak_is_nobodys() {
                let told = ops(|| {
                    static WEAK: Mutex<Option<sync::Weak<u8>>> =
                        Mutex::new(Some(sync::Weak::new()));
                    assert!(WEAK.lock().unwrap().as_ref().unwrap().upgrade().is_none());
                    assert!(Weak::<u8>::default().clone().upgrade().is_none());
                });
                assert_eq!(told, []);
            }
        }
    };
}

counted!(rc, Rc, single_threaded);
counted!(sync, Arc, across_threads);

#[test]
fn boxes() {
    let told = ops(|| {
        let one = Box::new(1);
        let two = one.clone(); // a new object
        assert_eq!(refscope::unbox(one), 1);
        let raw = Box::into_raw(two);
        // SAFETY: `raw` came from `into_raw`.
        let three = unsafe { Box::from_raw(raw) };
        let leaked = Box::leak(three);
        // SAFETY: what was leaked is still a box's.
        drop(unsafe { Box::from_raw(leaked) });
    });
    assert_eq!(
        told,
        [
            (Op::New, 1),
            (Op::New, 1),
            (Op::MovedOut, 0),
            (Op::IntoRaw, 1),
            (Op::FromRaw, 1),
            (Op::Leak, 1),
            (Op::FromRaw, 1),
            (Op::Drop, 0),
        ]
    );
}

#[test]
fn a_box_without_size_has_no_address_to_be_known_by() {
    let told = ops(|| {
        let raw = Box::into_raw(Box::new(()));
        // SAFETY: `raw` came from `into_raw`.
        drop(unsafe { Box::from_raw(raw) });
    });
    assert_eq!(told, [(Op::New, 1), (Op::IntoStd, 0)]);
}

#[test]
fn from_pointer_to_pointer() {
    let told = ops(|| {
        let rc: rc::Rc<str> = Rc::from(Box::<str>::from("text"));
        let bytes: Rc<[u8]> = rc.into(); // the same handle
        let text: String = Box::<str>::from("more").into();
        assert_eq!((bytes.len(), text.as_str()), (4, "more"));
    });
    assert_eq!(
        told,
        [
            (Op::New, 1),
            (Op::MovedOut, 0),
            (Op::New, 1),
            (Op::New, 1),
            (Op::IntoStd, 0),
            (Op::Drop, 0),
        ]
    );
}

#[test]
fn the_cause_comes_before_the_effect() {
    struct Parent(#[allow(dead_code)] Rc<u8>);
    let log = events(|| drop(Rc::new(Parent(Rc::new(1)))));
    let [child, parent, parent_goes, child_goes] = &log[..] else { panic!("{log:?}") };
    assert_eq!(parent_goes.object, parent.object);
    assert_eq!(child_goes.object, child.object);
}

#[test]
fn holders_names_the_lines() {
    let _guard = Scope::tracking().enter();
    let one = Arc::new(5);
    let two = std::thread::scope(|scope| {
        let one = &one;
        let maker = std::thread::Builder::new().name("maker".to_owned());
        maker.spawn_scoped(scope, move || one.clone()).unwrap().join().unwrap()
    });
    let line = line!() - 2;
    let weak = Arc::downgrade(&two);
    let theirs = two.as_std().clone();
    let holders = refscope::holders(&one);
    assert_eq!(holders.strong_count(), 2);
    assert_eq!(holders.events(), 3);
    let [first, second, third] = holders.handles() else { panic!("{holders:?}") };
    assert_eq!(holders.asked(), Some(first.id));
    assert_eq!(holders.object().map(|object| object.id()), holders.asked().map(HandleId::object));
    assert_eq!(second.location().map(|location| location.line), Some(line));
    assert_eq!(second.from, Some(first.id));
    assert_eq!(&*second.thread, "maker");
    assert_eq!(third.strength, Strength::Weak);
    let text = holders.to_string();
    assert!(text.contains("3 strong, 1 weak"), "{text}");
    let words = text.split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(words.contains("std counts 3 strong handles, 2 of them traced"), "{text}");
    drop((theirs, weak));
    let untraced = std::thread::spawn(|| refscope::holders(&Rc::new(1)).to_string());
    assert!(untraced.join().unwrap().contains("untraced"));
}

/// Counts have their digits in groups, in the first line as in those below.
#[test]
fn holders_groups_digits() {
    let one = Scope::tracking().run(|| refscope::Rc::new(1));
    let clones: Vec<_> = (0..1_000).map(|_| one.clone()).collect();
    let weak: Vec<_> = (0..2_000).map(|_| refscope::Rc::downgrade(&one)).collect();
    let text = refscope::holders(&one).to_string();
    assert!(text.contains(": 1,001 strong, 2,000 weak"), "{text}");
    drop((clones, weak));
}

/// Handles that were made alike are one row, but for the one that is asked, and no line is wider than a report's.
#[test]
fn holders_groups_what_is_alike() {
    let _guard = Scope::tracking().enter();
    let one = Arc::new("a value whose type has a short name");
    let theirs = one.as_std().clone();
    let (clones, line) = ((0..40).map(|_| one.clone()).collect::<Vec<_>>(), line!());
    for (asked, rest, rows) in [(&one, "40 x new", 2), (&clones[7], "39 x new", 3)] {
        let text = refscope::holders(asked).to_string();
        let lines = || text.lines();
        assert!(lines().all(|line| line.chars().count() <= 80), "{text}");
        let found = lines().filter(|line| line.starts_with("       strong ")).count();
        assert_eq!(found, rows, "{text}");
        let of_clones =
            lines().find(|line| line.contains(rest)).unwrap_or_else(|| panic!("{text}"));
        assert!(of_clones.contains(&format!("clone events.rs:{line}")), "{text}");
        assert_eq!(lines().filter(|line| line.ends_with("<- asked")).count(), 1, "{text}");
        assert!(text.contains("note: std counts 42 strong handles"), "{text}");
    }
    drop((theirs, clones));
}

#[test]
fn eight_threads_hammer_one_arc() {
    const THREADS: usize = 8;
    const ROUNDS: usize = 150_000;
    // Room for all: four records a round, of 32 bytes, and a last segment for each thread.
    let budget = THREADS * (ROUNDS * 5 * 32 + (1 << 14));
    let recorder = Recorder::builder().budget(budget).clock(refscope::sink::Clock::None).build();
    let one = Scope::new(recorder.clone()).run(|| Arc::new(0));
    let until = std::time::Instant::now() + std::time::Duration::from_secs(1);
    let workers: Vec<_> = (0..THREADS)
        .map(|_| {
            let mine = one.clone();
            std::thread::spawn(move || {
                for _ in (0..ROUNDS).take_while(|_| std::time::Instant::now() < until) {
                    let another = mine.clone();
                    let weak = Arc::downgrade(&another);
                    drop(another);
                    drop(weak.upgrade());
                }
            })
        })
        .collect();
    drop(one);
    workers.into_iter().for_each(|worker| worker.join().unwrap());
    let recording = recorder.recording();
    println!("{} events", recording.events().len());
    assert_eq!(recording.lost(), 0);
    recording.verify().expect("numbered without a gap, replayed to the counts");
    assert_eq!(recording.events().last().map(|event| event.strong), Some(0));
}

#[test]
fn losses_are_counted_exactly() {
    let recorder = Recorder::builder().budget(1 << 14).clock(refscope::sink::Clock::None).build();
    const CLONES: u64 = 1_000_000;
    Scope::new(recorder.clone()).run(|| {
        let one = Rc::new(1);
        (0..CLONES).for_each(|_| drop(one.clone()));
    });
    let recording = recorder.recording();
    assert_eq!(recording.events().len() as u64 + recording.lost(), 2 * CLONES + 2);
    assert!(recording.lost() > 1_990_000);
    recording.verify().expect("what was kept is the beginning");
}

/// A waker is a handle, and so is each of its clones. (`tests/drop_in/full.rs` has the fully drop-in twin.)
#[cfg(not(refscope_coerce))]
#[test]
fn wakers_are_handles() {
    use refscope::task::{Wake, Waker};
    use std::sync::atomic::{AtomicU8, Ordering};
    struct Task(AtomicU8);
    impl Wake for Task {
        fn wake(this: Arc<Self>) {
            this.0.fetch_add(1, Ordering::Relaxed);
        }
    }
    let scope = Scope::tracking();
    scope.run(|| {
        let task = Arc::new(Task(AtomicU8::new(0)));
        let waker: Waker = task.clone().into();
        let other = waker.clone();
        assert_eq!(Arc::strong_count(&task), 3);
        assert_eq!(refscope::holders(&task).strong().len(), 3);
        assert!(waker.will_wake(&other));
        other.wake();
        waker.wake_by_ref();
        drop(waker);
        assert_eq!((task.0.load(Ordering::Relaxed), Arc::strong_count(&task)), (2, 1));
        assert_eq!(refscope::holders(&task).strong().len(), 1);
    });
    assert_eq!(scope.alive(), []);
}
