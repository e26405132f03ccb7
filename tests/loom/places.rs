//! Models of places and magazines: handles that are made and ended on different threads, a reader beside them, slots
//! that are used again, a thread that ends. A magazine takes one slot at a time here, so that slots are used again at once.
//!
//! # Invariants
//!
//! * WHOLE: a reader finds no place that is half one handle's and half another's.
//! * THERE: it finds no handle that was never there.
//! * THROUGHOUT: it finds each handle that was alive from before it began until after it ended.
//! * ONCE: no word that names a handle occurs twice while loom looks.

use crate::arc::Arc;
use crate::event::Op;
use crate::harness::{explore, explore_freely, explore_freely_within, explore_within, spawn};
use crate::runtime::local::end_now;
use crate::runtime::scope::Scope;
use crate::runtime::view::{self, HandleView};
use std::collections::HashSet;

/// What a reader finds of an object: each handle's number and the word that names it.
fn handles(object: u64) -> Vec<HandleView> {
    let found = view::handles(|id| id == object);
    for handle in &found {
        let details = &handle.details;
        let op = details.op.expect("WHOLE: a handle has an operation");
        // Models make handles from one another by these alone, and number them as they make them.
        let whole = match op {
            Op::New => details.number == 1 && details.parent == 0,
            Op::Clone | Op::Downgrade => details.number > 1 && details.parent > 0,
            Op::Upgrade => details.number > 2 && details.parent > 0,
            _ => false,
        };
        assert!(whole, "WHOLE, THERE: {details:?}");
    }
    let words: HashSet<u64> = found.iter().map(|handle| handle.ticket).collect();
    assert_eq!(words.len(), found.len(), "ONCE: {found:?}");
    found
}

fn numbers(object: u64) -> Vec<u64> {
    let mut numbers: Vec<_> = handles(object).iter().map(|h| h.details.number).collect();
    numbers.sort_unstable();
    numbers
}

/// A reader beside a thread that clones and drops: the handle that lives throughout is always found, and what else is
/// found was there.
#[test]
fn a_reader_beside_clones_and_drops() {
    explore(|| {
        let one = Arc::new();
        let id = one.id();
        let two = one.clone();
        let other = spawn(move || {
            drop(two.clone());
            drop(two);
        });
        let found = numbers(id);
        assert!(found.contains(&1), "THROUGHOUT: {found:?}");
        assert!(found.iter().all(|number| [1, 2, 3].contains(number)), "THERE: {found:?}");
        other.join().unwrap();
        assert_eq!(numbers(id), [1]);
    });
}

/// A reader beside a thread that ends one object and makes another, whose slots are the first one's: a handle is never
/// taken for one of the other object.
#[test]
fn a_reader_beside_slots_that_are_used_again() {
    explore_within(2, || {
        let one = Arc::new();
        let first = one.id();
        let other = spawn(move || {
            drop(one);
            drop(Arc::new());
        });
        for handle in view::handles(|_| true) {
            let details = &handle.details;
            assert_eq!((details.number, details.op), (1, Some(Op::New)), "WHOLE: {details:?}");
        }
        let objects = view::objects(|object| object.object.id().number() == first);
        assert!(objects.len() <= 1, "ONCE");
        other.join().unwrap();
        assert!(numbers(first).is_empty());
    });
}

/// A handle is made on one thread and ended on another, whose magazine gets the slot: after it has ended, its slots are
/// there for the first one.
#[test]
fn made_here_and_ended_there() {
    explore_within(2, || {
        let one = Arc::new();
        let id = one.id();
        let clones: Vec<_> = (0..2).map(|_| one.clone()).collect();
        let other = spawn(move || drop(clones));
        let two = one.clone();
        assert!(numbers(id).contains(&1), "THROUGHOUT");
        other.join().unwrap();
        let three = one.clone();
        assert_eq!(numbers(id).len(), 3, "THERE");
        drop((one, two, three));
    });
}

/// Two threads empty and fill their magazines at the same time: no slot is given to both. ONCE.
#[test]
fn two_magazines() {
    explore_within(2, || {
        let one = Arc::new();
        let id = one.id();
        let two = one.clone();
        let other = spawn(move || {
            let clones: Vec<_> = (0..2).map(|_| two.clone()).collect();
            (two, clones)
        });
        let clones: Vec<_> = (0..2).map(|_| one.clone()).collect();
        let theirs = other.join().unwrap();
        assert_eq!(numbers(id).len(), 6, "ONCE: a slot was given twice");
        drop((theirs, clones, one));
    });
}

/// Handles of a thread that has ended, and of one that is ending, are alive; what it had in its magazine is used by
/// others.
#[test]
fn a_thread_ends_before_its_handles() {
    explore_within(2, || {
        let one = Arc::new();
        let id = one.id();
        let two = one.clone();
        let other = spawn(move || two.clone());
        let three = one.clone();
        let theirs = other.join().unwrap();
        assert_eq!(numbers(id).len(), 3, "THROUGHOUT");
        drop((one, theirs, three));
    });
}

/// Weak handles have places as well, and keep the entry while a reader looks at it.
#[test]
fn a_reader_beside_an_upgrade() {
    explore_within(2, || {
        let one = Arc::new();
        let id = one.id();
        let weak = one.downgrade();
        let other = spawn(move || drop(weak.upgrade()));
        drop(one);
        handles(id);
        other.join().unwrap();
        assert!(numbers(id).is_empty());
    });
}

/// A thread whose own is given back, since it ends, makes and ends handles by the shared paths, beside one that goes on:
/// no slot is given to both.
#[test]
fn handles_on_a_thread_that_is_ending() {
    explore_within(3, || {
        let one = Arc::new();
        let id = one.id();
        let two = one.clone();
        let other = spawn(move || {
            end_now();
            let three = two.clone();
            drop(two);
            three
        });
        let four = one.clone();
        drop(one);
        let five = four.clone();
        let three = other.join().unwrap();
        let found = numbers(id);
        assert_eq!(found.len(), 3, "ONCE: {found:?}");
        drop((three, four, five));
    });
}

/// The same with an object's last handles, whose entry is given back by the shared path and taken by the other thread.
#[test]
fn an_object_ends_on_a_thread_that_is_ending() {
    explore_within(2, || {
        let one = Arc::new();
        let weak = one.downgrade();
        let other = spawn(move || {
            end_now();
            drop(one);
            drop(Arc::new());
        });
        drop(weak.upgrade());
        drop(weak);
        let next = Arc::new();
        drop(next.clone());
        other.join().unwrap();
        let last = Arc::new();
        assert_eq!((numbers(next.id()), numbers(last.id())), (vec![1], vec![1]), "ONCE");
        drop((next, last));
    });
}

/// Two threads that are ending take and give back slots at the same time, one of them several: what is taken off the
/// stack of returned slots is nobody else's. ONCE.
#[test]
fn two_threads_that_are_ending() {
    explore_within(2, || {
        let one = Arc::new();
        let id = one.id();
        let (two, more) = (one.clone(), [one.clone(), one.clone()]);
        let work = |own: Arc| {
            let clones = [own.clone(), own.clone()];
            let [first, second] = clones;
            drop(first);
            (own, second)
        };
        let other = spawn(move || {
            end_now();
            work(two)
        });
        end_now();
        drop(more);
        let mine = work(one);
        let theirs = other.join().unwrap();
        let found = numbers(id);
        assert_eq!(found.len(), 4, "ONCE: {found:?}");
        drop((mine, theirs));
    });
}

/// A reader that finds a handle finds its object afterwards, as long as the handle is there: an entry is published
/// before its first place.
#[test]
fn an_object_is_there_before_its_handles() {
    explore(|| {
        let other = spawn(Arc::new);
        let found = view::handles(|_| true);
        let objects = view::objects(|_| true);
        for handle in &found {
            let known = objects.iter().any(|object| object.object.id().number() == handle.object);
            assert!(known, "THERE: {handle:?} of no object");
        }
        drop(other.join().unwrap());
    });
}

/// A reader beside a thread that ends a handle and makes another one of another kind in the same place: what it finds is
/// the one or the other. WHOLE. (The fields that are looked at are those that loom sees.)
#[test]
fn a_reader_beside_a_place_that_is_used_again() {
    explore(|| {
        let one = Arc::new();
        let id = one.id();
        let (two, three) = (one.clone(), one.clone());
        let other = spawn(move || {
            drop(two);
            let weak = three.downgrade();
            (three, weak)
        });
        for handle in view::handles(|object| object == id) {
            let found = (handle.details.op.unwrap(), handle.details.number);
            let there = [(Op::New, 1), (Op::Clone, 2), (Op::Clone, 3), (Op::Downgrade, 5)];
            assert!(there.contains(&found), "WHOLE: {found:?}");
        }
        drop(other.join().unwrap());
    });
}

/// A reader that finds an object gone finds no handle of it afterwards: a place is hidden before the step that ends its
/// handle. THERE.
#[test]
fn an_object_is_there_after_its_handles() {
    explore(|| {
        let one = Arc::new();
        let id = one.id();
        let other = spawn(move || drop(one));
        let gone = view::objects(|object| object.object.id().number() == id).is_empty();
        let found = handles(id);
        assert!(!gone || found.is_empty(), "THERE: {found:?} of an object that is gone");
        other.join().unwrap();
    });
}

/// The two above for handles that nobody has the events of, which are made and ended by the shortest way.
#[test]
fn a_reader_beside_handles_without_events() {
    explore_freely(|| {
        let scope = Scope::tracking();
        let one = scope.run(Arc::new);
        let id = one.id();
        let (two, three) = (one.clone(), one.clone());
        let other = spawn(move || {
            drop(two);
            let weak = three.downgrade();
            drop((three, weak, one));
        });
        let gone = view::objects(|object| object.object.id().number() == id).is_empty();
        let found = view::handles(|object| object == id);
        assert!(!gone || found.is_empty(), "THERE: {found:?} of an object that is gone");
        for handle in found {
            let found = (handle.details.op.unwrap(), handle.details.number);
            let there = [(Op::New, 1), (Op::Clone, 2), (Op::Clone, 3), (Op::Downgrade, 5)];
            assert!(there.contains(&found), "WHOLE: {found:?}");
        }
        other.join().unwrap();
        assert!(view::handles(|_| true).is_empty() && view::objects(|_| true).is_empty());
    });
}

/// Two threads clone and drop handles that nobody has the events of. COUNT, END: nothing is left, and what readers are
/// told of the count is what std has.
#[test]
fn clones_and_drops_without_events() {
    explore_freely(|| {
        let scope = Scope::tracking();
        let one = scope.run(Arc::new);
        let id = one.id();
        let two = one.clone();
        let other = spawn(move || {
            let three = two.clone();
            drop(two);
            three
        });
        let four = one.clone();
        drop(one);
        let three = other.join().unwrap();
        let found = view::objects(|object| object.object.id().number() == id);
        assert_eq!(found[0].position.strong, 2, "COUNT");
        assert_eq!(view::handles(|object| object == id).len(), 2, "COUNT");
        let last = spawn(move || drop(three));
        drop(four);
        last.join().unwrap();
        assert!(view::handles(|_| true).is_empty() && view::objects(|_| true).is_empty(), "END");
    });
}

/// Two threads end an object's last handles by the shortest way, and one reads: when the object is gone, so are all its
/// handles. THERE.
#[test]
fn an_object_without_events_ends_on_two_threads() {
    explore_freely(|| {
        let scope = Scope::tracking();
        let one = scope.run(Arc::new);
        let id = one.id();
        let (two, another) = (one.clone(), scope.run(Arc::new));
        let other = spawn(move || {
            // The first use of a thread is another way, and so is one with a full magazine.
            let first = another.clone();
            drop(two);
            (first, another)
        });
        drop(one);
        let gone = view::objects(|object| object.object.id().number() == id).is_empty();
        let found = view::handles(|object| object == id);
        assert!(!gone || found.is_empty(), "THERE: {found:?} of an object that is gone");
        other.join().unwrap();
    });
}

/// The last weak handle ends by the shortest way while the last strong one does: either may end the entry, and one does.
/// END; and when the object is gone, so are its handles. THERE.
#[test]
fn a_weak_handle_without_events_ends_beside_the_last_strong_one() {
    explore_freely(|| {
        let scope = Scope::tracking();
        let one = scope.run(Arc::new);
        let id = one.id();
        let (weak, another) = (one.downgrade(), scope.run(Arc::new));
        let other = spawn(move || {
            // The first use of a thread is another way, and so is one with a full magazine.
            let first = another.clone();
            drop(weak);
            (first, another)
        });
        drop(one);
        let gone = view::objects(|object| object.object.id().number() == id).is_empty();
        let found = view::handles(|object| object == id);
        assert!(!gone || found.is_empty(), "THERE: {found:?} of an object that is gone");
        drop(other.join().unwrap());
        assert!(view::handles(|_| true).is_empty() && view::objects(|_| true).is_empty(), "END");
    });
}

/// A weak handle and a strong one are made of a weak one by the shortest way, beside the last strong drop. COUNT, END: each keeps
/// the entry for as long as it is there.
#[test]
fn weak_handles_without_events_are_made_beside_the_last_strong_drop() {
    explore_freely_within(2, || {
        let scope = Scope::tracking();
        let one = scope.run(Arc::new);
        let id = one.id();
        let (weak, spare) = (one.downgrade(), one.downgrade());
        let another = scope.run(Arc::new);
        let like = another.downgrade();
        let other = spawn(move || {
            // The first of a thread, and of each kind and line, is another way.
            drop((like.upgrade(), like.clone()));
            let strong = weak.upgrade();
            // Leaves its place for the next one.
            drop(spare);
            let second = weak.clone();
            drop(weak);
            (strong, second, like, another)
        });
        drop(one);
        let (strong, second, ..) = &other.join().unwrap();
        let found = view::objects(|object| object.object.id().number() == id);
        assert_eq!(found.len(), 1, "END: a weak handle is there");
        assert_eq!(found[0].position.strong, u32::from(strong.is_some()), "COUNT");
        let alive = view::handles(|object| object == id).len();
        assert_eq!(alive, 1 + usize::from(strong.is_some()), "THROUGHOUT");
        drop(second.upgrade());
    });
}

/// A reader beside handles that are made by the shortest way, in the place of one that has ended. WHOLE.
#[test]
fn a_reader_beside_a_place_that_is_filled_without_events() {
    explore_freely(|| {
        let scope = Scope::tracking();
        let one = scope.run(Arc::new);
        let id = one.id();
        let clones = [one.clone(), one.clone()];
        let other = spawn(move || {
            // The first is made in another way.
            clones.map(|clone| clone.downgrade())
        });
        for handle in view::handles(|object| object == id) {
            let found = (handle.details.op.unwrap(), handle.details.number);
            let there = [Op::New, Op::Clone, Op::Clone, Op::Downgrade, Op::Drop, Op::Downgrade];
            let is_there = there.iter().copied().zip(1..).any(|there| there == found);
            assert!(is_there, "WHOLE: {found:?}");
        }
        drop((other.join().unwrap(), one));
        assert!(view::handles(|_| true).is_empty() && view::objects(|_| true).is_empty(), "END");
    });
}
