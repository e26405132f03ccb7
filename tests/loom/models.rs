use crate::arc::{Arc, Weak};
use crate::harness::{explore, explore_within, spawn};
use crate::runtime::view;

/// Two threads clone and drop: ORDER, COUNT, OWN, BIRTH, END.
#[test]
fn clones_and_drops_on_two_threads() {
    explore(|| {
        let one = Arc::new();
        let two = one.clone();
        let other = spawn(move || {
            let three = two.clone();
            three.read();
        });
        let four = one.clone();
        drop(one);
        four.read();
        drop(four);
        other.join().unwrap();
    });
}

/// Three threads drop the last three handles: one of them ends the entry. END.
#[test]
fn last_drops_on_three_threads() {
    explore(|| {
        let one = Arc::new();
        let (two, three) = (one.clone(), one.clone());
        let second = spawn(move || drop(two));
        let third = spawn(move || drop(three));
        drop(one);
        second.join().unwrap();
        third.join().unwrap();
    });
}

/// The traced count is never above std's: BELOW. The ledger is read before and after std's count; where it did
/// not move between, the two counts are of one moment.
#[test]
fn traced_is_never_above_std() {
    explore(|| {
        let one = Arc::new();
        let two = one.clone();
        let watcher = spawn(move || {
            let (before, traced, std) = one.counts();
            let (after, ..) = one.counts();
            let one_moment = before == after;
            assert!(!one_moment || traced as usize <= std, "BELOW: {traced} traced, std has {std}");
        });
        drop(two.clone());
        drop(two);
        watcher.join().unwrap();
    });
}

/// An upgrade races the last drop: it fails, or the count rises from 0 and the entry stays open. COUNT, END.
#[test]
fn upgrade_against_last_drop() {
    explore(|| {
        let one = Arc::new();
        let weak = one.downgrade();
        let other = spawn(move || {
            if let Some(strong) = weak.upgrade() {
                strong.read();
            }
        });
        drop(one);
        other.join().unwrap();
    });
}

/// Two upgrades race the last drop, and each other. (With two preemptions it is half a million interleavings, and two minutes.)
#[test]
fn two_upgrades_against_last_drop() {
    explore_within(1, || {
        let one = Arc::new();
        let (first, second) = (one.downgrade(), one.downgrade());
        let other = spawn(move || drop(first.upgrade()));
        let third = spawn(move || drop(second.upgrade()));
        drop(one);
        other.join().unwrap();
        third.join().unwrap();
    });
}

/// The last weak handle goes while the last strong one does: either may end the entry. END.
#[test]
fn weak_drop_against_strong_drop() {
    explore(|| {
        let one = Arc::new();
        let weak = one.downgrade();
        let other = spawn(move || drop(weak.clone()));
        drop(one);
        other.join().unwrap();
    });
}

/// A weak handle's end, begun before two strong ones drop on two threads, ends the entry: it has to know of both
/// drops, though it met only the second. END.
#[test]
fn weak_drop_against_two_strong_drops() {
    explore_within(3, || {
        let one = Arc::new();
        let two = one.clone();
        let weak = one.downgrade();
        let second = spawn(move || drop(two));
        let third = spawn(move || drop(weak));
        drop(one);
        second.join().unwrap();
        third.join().unwrap();
    });
}

/// An entry ends on one thread while another takes its slot for a new object: no ticket twice, no event to the
/// wrong object. OWN, END.
#[test]
fn a_slot_is_used_again() {
    explore(|| {
        let one = Arc::new();
        let two = one.clone();
        let other = spawn(move || {
            drop(two);
            drop(Arc::new());
        });
        drop(one);
        let three = Arc::new();
        drop(three.clone());
        drop(three);
        other.join().unwrap();
    });
}

/// `try_unwrap` races a drop: it takes the value only as the last.
#[test]
fn try_unwrap_against_drop() {
    explore(|| {
        let one = Arc::new();
        let two = one.clone();
        let other = spawn(move || drop(two));
        if let Err(one) = one.try_unwrap() {
            one.read();
        }
        other.join().unwrap();
    });
}

/// Of two `into_inner` exactly one gets the value.
#[test]
fn into_inner_on_two_threads() {
    explore(|| {
        let one = Arc::new();
        let two = one.clone();
        let other = spawn(move || two.into_inner().is_some());
        let mine = one.into_inner().is_some();
        assert!(mine ^ other.join().unwrap(), "exactly one gets it");
    });
}

/// `into_inner` races an upgrade and a weak drop.
#[test]
fn into_inner_against_upgrade() {
    explore(|| {
        let one = Arc::new();
        let weak = one.downgrade();
        let other = spawn(move || drop(weak.upgrade()));
        let _ = one.into_inner();
        other.join().unwrap();
    });
}

/// `make_mut` races the drop of the other handle: it stays, or moves to a new object.
#[test]
fn make_mut_against_drop() {
    explore(|| {
        let mut one = Arc::new();
        let two = one.clone();
        let other = spawn(move || drop(two));
        one.make_mut();
        one.read();
        drop(one);
        other.join().unwrap();
    });
}

/// `make_mut` with a weak handle about, which is upgraded and dropped meanwhile.
#[test]
fn make_mut_against_upgrade() {
    explore(|| {
        let mut one = Arc::new();
        let weak = one.downgrade();
        let other = spawn(move || drop(weak.upgrade()));
        one.make_mut();
        one.read();
        drop(one);
        other.join().unwrap();
    });
}

/// A handle goes to another thread as a raw pointer, and comes back there, while the rest goes. END: the
/// table of raw pointers is left by whoever ends the entry.
#[test]
fn raw_pointers_across_threads() {
    explore(|| {
        let one = Arc::new();
        let raw = one.clone().into_raw();
        let address = raw.address();
        let other = spawn(move || drop(Arc::from_raw(raw)));
        drop(one);
        other.join().unwrap();
        // Another object at the same address, which nobody saw leave, is nobody's.
        Arc::adopt_unseen(address);
    });
}

/// An entry whose object had raw pointers is used again for another one that has: the table knows the other one alone.
#[test]
fn raw_pointers_and_a_slot_that_is_used_again() {
    explore_within(2, || {
        let one = Arc::new();
        let raw = one.clone().into_raw();
        let other = spawn(move || drop(Arc::from_raw(raw)));
        drop(one);
        other.join().unwrap();
        let two = Arc::new();
        let id = two.id();
        let back = Arc::from_raw(two.clone().into_raw());
        assert_eq!(view::handles(|object| object == id).len(), 2, "it came back");
        drop((two, back));
    });
}

/// Views of a raw handle, again and again, leave the counts right.
#[test]
fn views_of_raw_pointers() {
    explore(|| {
        let one = Arc::new();
        let raw = one.clone().into_raw();
        let other = spawn(move || {
            Arc::view(&raw).read();
            let clone = (*Arc::view(&raw)).clone();
            let more = Arc::increment(&raw);
            drop(Arc::from_raw(more));
            drop(Arc::from_raw(raw));
            drop(clone);
        });
        drop(one);
        other.join().unwrap();
    });
}

/// A handle leaves for std and comes back, to its object or as a new one, while others of the old go.
#[test]
fn into_std_and_adoption() {
    explore_within(2, || {
        let one = Arc::new();
        let two = one.clone();
        let other = spawn(move || {
            let theirs = two.into_std();
            drop(Arc::from_std(theirs));
        });
        drop(one.clone());
        drop(one);
        other.join().unwrap();
    });
}

/// Handles leave for std and come back on two threads, while the handle that keeps the object known goes, or leaves as well.
#[test]
fn into_std_and_back_on_two_threads() {
    explore_within(2, || {
        let one = Arc::new();
        let (two, three) = (one.clone(), one.clone());
        let other = spawn(move || {
            let theirs = two.into_std();
            drop(three);
            drop(Arc::from_std(theirs));
        });
        drop(Arc::from_std(one.into_std()));
        other.join().unwrap();
    });
}

/// The weak handle of `new_cyclic` goes to another thread before the value is there.
#[test]
fn new_cyclic_against_upgrade() {
    explore(|| {
        let mut other = None;
        let one = Arc::new_cyclic(|weak| {
            let weak: Weak = weak.clone();
            other = Some(spawn(move || drop(weak.upgrade())));
        });
        one.read();
        drop(one);
        other.unwrap().join().unwrap();
    });
}

/// `get_mut` races a clone's drop: it gives the value only where no other handle is, though the drop's step comes
/// before std's.
#[test]
fn get_mut_against_drop() {
    explore(|| {
        let mut one = Arc::new();
        let two = one.clone();
        let other = spawn(move || {
            two.read();
            drop(two);
        });
        one.get_mut();
        other.join().unwrap();
        assert!(one.get_mut(), "the last handle has the value for itself");
    });
}

/// `get_mut` races a downgrade and an upgrade of the weak handle that it gave.
#[test]
fn get_mut_against_downgrade() {
    explore_within(2, || {
        let mut one = Arc::new();
        let two = one.clone();
        let other = spawn(move || {
            let weak = two.downgrade();
            drop(two);
            drop(weak.upgrade());
        });
        one.get_mut();
        drop(one);
        other.join().unwrap();
    });
}

/// The closure of `new_cyclic` panics, and a weak handle that it gave away outlives the attempt: no upgrade succeeds,
/// and the entry ends with the last weak handle. END, COUNT.
#[test]
fn new_cyclic_that_panics() {
    explore(|| {
        let mut other = None;
        let attempt = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            Arc::new_cyclic(|weak| {
                let weak: Weak = weak.clone();
                other = Some(spawn(move || assert!(weak.upgrade().is_none())));
                // Not `panic!`, whose message would be printed for each interleaving.
                std::panic::resume_unwind(Box::new("the closure panics"));
            })
        }));
        assert!(attempt.is_err());
        other.unwrap().join().unwrap();
    });
}

/// `into_std` and adoption race an upgrade: whichever object a handle belongs to, its counts are right.
#[test]
fn into_std_against_upgrade() {
    explore(|| {
        let one = Arc::new();
        let weak = one.downgrade();
        let other = spawn(move || drop(weak.upgrade()));
        drop(Arc::from_std(one.into_std()));
        other.join().unwrap();
    });
}

/// A raw handle is viewed and cloned on one thread while it comes back on another, on three threads with the last
/// drop.
#[test]
fn raw_pointers_on_three_threads() {
    explore_within(2, || {
        let one = Arc::new();
        let raw = one.clone().into_raw();
        let more = Arc::increment(&raw);
        let second = spawn(move || drop(Arc::from_raw(raw)));
        let third = spawn(move || drop(Arc::from_raw(more)));
        drop(one);
        second.join().unwrap();
        third.join().unwrap();
    });
}

/// Two objects stand for one allocation, since one was adopted from std's pointer to it; both have a handle that is a
/// raw pointer, and these come back on two threads, in whichever order: no object loses more handles than it had.
#[test]
fn raw_pointers_of_two_objects_at_one_address() {
    explore_within(3, || {
        let one = Arc::new();
        let adopted = Arc::from_std(one.clone().into_std());
        let (first, second) = (one.into_raw(), adopted.into_raw());
        let other = spawn(move || drop(Arc::from_raw(first)));
        drop(Arc::from_raw(second));
        other.join().unwrap();
    });
}

/// A raw pointer that std let out comes back as one of ours, beside one of ours, while the last other handle goes:
/// one more comes back than left, and it is nobody's. END, COUNT.
#[test]
fn a_raw_pointer_of_stds_comes_back() {
    explore_within(2, || {
        let one = Arc::new();
        let theirs = one.as_std_raw();
        let mine = one.clone().into_raw();
        let other = spawn(move || {
            let back = Arc::from_raw(theirs);
            drop(back.clone());
            drop(back);
        });
        let back = Arc::from_raw(mine);
        drop(one);
        drop(back.clone());
        drop(back);
        other.join().unwrap();
    });
}
