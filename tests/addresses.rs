//! Raw pointers are told apart by address and kind, though an allocator puts values of two objects at one address: this one
//! puts a value where the test says.
#![cfg(feature = "trace")]

use refscope::event::{Kind, Op, OwnedEvent};
use refscope::{Arc, Box, Rc, Scope, StdPtr as _, sink};
use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::sync::Mutex;

/// Memory of the test's own, never given back.
#[repr(align(64))]
struct Arena(std::cell::UnsafeCell<[u8; 4096]>);

// SAFETY: ARENA: each stretch of it is handed out to one owner at a time, by the tests below.
unsafe impl Sync for Arena {}

static ARENA: Arena = Arena(std::cell::UnsafeCell::new([0; 4096]));

struct Placing;

thread_local! {
    /// Where this thread's next allocation goes.
    static NEXT: Cell<Option<usize>> = const { Cell::new(None) };
}

fn in_arena(ptr: *mut u8) -> bool {
    ptr.addr().wrapping_sub(ARENA.0.get().addr()) < 4096
}

// SAFETY: ARENA: the system's allocations, or a stretch of the arena that is free and as aligned as is asked.
unsafe impl GlobalAlloc for Placing {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        match NEXT.take() {
            Some(at) => {
                assert!(at.is_multiple_of(layout.align()) && at + layout.size() <= 4096);
                // SAFETY: ARENA: within the arena.
                unsafe { ARENA.0.get().cast::<u8>().add(at) }
            }
            // SAFETY: ARENA: passed on.
            None => unsafe { System.alloc(layout) },
        }
    }

    unsafe fn dealloc(&self, ptr: *mut u8, layout: Layout) {
        if !in_arena(ptr) {
            // SAFETY: ARENA: passed on.
            unsafe { System.dealloc(ptr, layout) }
        }
    }
}

#[global_allocator]
static ALLOCATOR: Placing = Placing;

/// Runs `f`, whose first allocation is at this place of the arena.
fn at<R>(place: usize, f: impl FnOnce() -> R) -> R {
    NEXT.set(Some(place));
    let result = f();
    assert_eq!(NEXT.get(), None, "it was used");
    result
}

/// A scope whose events are kept, and what it got.
fn scope() -> (Scope, impl Fn() -> Vec<(Kind, Op, u32)>) {
    let log: std::sync::Arc<Mutex<Vec<OwnedEvent>>> = Default::default();
    let events = log.clone();
    let scope = Scope::new(sink::from_fn(move |event| log.lock().unwrap().push(event.to_owned())));
    let events = move || {
        let events = std::mem::take(&mut *events.lock().unwrap());
        events.iter().map(|event| (event.object.kind(), event.op, event.strong)).collect()
    };
    (scope, events)
}

/// Two machine words: what stands before the value of an `Rc` or `Arc`.
const COUNTS: usize = 2 * size_of::<usize>();

/// A pointer for another thread.
struct Sent(*mut [u8; 16]);

// SAFETY: SENT: it stands for a box that owns what may be sent.
unsafe impl Send for Sent {}

/// The value of an `Rc<()>` is at the end of its block, where another block begins.
#[test]
fn a_value_without_size_beside_a_box() {
    let (scope, events) = scope();
    let (empty, boxed) = scope.run(|| {
        let empty = at(0, || Rc::new(()));
        let boxed = at(COUNTS, || Box::new([7_u8; 16]));
        assert_eq!(Rc::as_ptr(&empty).addr(), (&raw const *boxed).addr());
        (empty, boxed)
    });
    let empty = Rc::into_raw(empty);
    let boxed = Sent(Box::into_raw(boxed));
    assert_eq!(
        events(),
        [
            (Kind::Rc, Op::New, 1),
            (Kind::Box, Op::New, 1),
            (Kind::Rc, Op::IntoRaw, 1),
            (Kind::Box, Op::IntoRaw, 1),
        ]
    );
    assert_eq!(empty.addr(), boxed.0.addr());
    // On another thread, where the `Rc`'s counts must not be touched.
    let there = std::thread::spawn(move || {
        let Sent(boxed) = { boxed };
        // SAFETY: the pointer came from `into_raw`, and is taken back once.
        let boxed = unsafe { Box::from_raw(boxed) };
        assert_eq!(*boxed, [7; 16]);
    });
    there.join().unwrap();
    assert_eq!(events(), [(Kind::Box, Op::FromRaw, 1), (Kind::Box, Op::Drop, 0)]);
    // SAFETY: as above.
    let empty = unsafe { Rc::from_raw(empty) };
    assert_eq!(refscope::holders(&empty).object().map(|object| object.kind()), Some(Kind::Rc));
    drop(empty.clone());
    drop(empty);
    let back = [(Kind::Rc, Op::FromRaw, 1), (Kind::Rc, Op::Clone, 2), (Kind::Rc, Op::Drop, 1)];
    assert_eq!(events(), [&back[..], &[(Kind::Rc, Op::Drop, 0)]].concat());
    assert_eq!(scope.alive(), []);
}

/// An object of each kind at one address, since std freed the others' memory out of sight. Each pointer comes back to its
/// own kind.
#[test]
fn an_address_for_each_kind() {
    const VALUE: usize = 1024;
    let (scope, events) = scope();
    let mut boxed = std::ptr::null_mut();
    scope.run(|| {
        let rc = Rc::into_raw(at(VALUE - COUNTS, || Rc::new([1_u8; 16])));
        // SAFETY: the pointer came from `into_raw`; a traced `Rc` is allocated as std's is.
        drop(unsafe { std::rc::Rc::from_raw(rc) });
        let arc = Arc::into_raw(at(VALUE - COUNTS, || Arc::new([2_u8; 16])));
        // SAFETY: as above.
        drop(unsafe { std::sync::Arc::from_raw(arc) });
        boxed = Box::into_raw(at(VALUE, || Box::new([3_u8; 16])));
        assert!(rc.addr() == arc.addr() && arc.addr() == boxed.addr());
    });
    events();
    // SAFETY: the pointer came from `into_raw`, and is taken back once.
    let boxed = unsafe { Box::from_raw(boxed) };
    assert_eq!(refscope::holders(&boxed).object().map(|object| object.kind()), Some(Kind::Box));
    drop(boxed);
    assert_eq!(events(), [(Kind::Box, Op::FromRaw, 1), (Kind::Box, Op::Drop, 0)]);
    // The next ones: that of its own kind is known again, and what is known of the one before it is given up.
    let (arc, rc) = scope.run(|| {
        let arc = Arc::into_raw(at(VALUE - COUNTS, || Arc::new([4_u8; 16])));
        // SAFETY: as above.
        let arc = unsafe { Arc::from_raw(arc) };
        assert_eq!(refscope::holders(&arc).object().map(|object| object.kind()), Some(Kind::Arc));
        let left = scope.alive().len();
        drop(arc);
        (left, scope.alive().len())
    });
    assert_eq!(
        (arc, rc),
        (3, 2),
        "the first `Rc` and `Arc` are open for good, and nothing else is"
    );
    assert_eq!(
        events()[..],
        [
            (Kind::Arc, Op::New, 1),
            (Kind::Arc, Op::IntoRaw, 1),
            (Kind::Arc, Op::FromRaw, 1),
            (Kind::Arc, Op::Drop, 0),
        ]
    );
    assert!(scope.alive().iter().all(|object| object.handles.len() == 1 && object.handles[0].raw));
}

/// What std freed out of sight left an `Rc` that waits at an address where a box of std's is now: the box is nobody's.
#[test]
fn an_address_of_another_kind_that_refscope_did_not_see() {
    const VALUE: usize = 2048;
    let (scope, events) = scope();
    let rc = Rc::into_raw(scope.run(|| at(VALUE - COUNTS, || Rc::new([1_u8; 16]))));
    // SAFETY: the pointer came from `into_raw`; a traced `Rc` is allocated as std's is.
    drop(unsafe { std::rc::Rc::from_raw(rc) });
    events();
    let theirs = std::boxed::Box::into_raw(at(VALUE, || std::boxed::Box::new([2_u8; 16])));
    assert_eq!(theirs.addr(), rc.addr());
    // SAFETY: the pointer came from `into_raw`, and is taken back once.
    let boxed = unsafe { Box::from_raw(theirs) };
    assert!(refscope::holders(&boxed).object().is_none());
    drop(boxed);
    assert_eq!(events(), [], "the `Rc` had no part in it");
}

/// An untraced handle that becomes a raw pointer does not make a traced one forgotten that waits at the same address, and
/// takes nobody's place when it returns.
#[test]
fn an_untraced_pointer_beside_traced_ones() {
    let scope = Scope::tracking();
    let one = scope.run(|| Arc::new(1));
    let waiting = Arc::into_raw(one.clone());
    // Of the same allocation, untraced.
    let untraced = || {
        let theirs = one.as_std().clone();
        std::thread::spawn(move || Arc::from_std(theirs)).join().unwrap()
    };
    let (first, second) = (untraced(), untraced());
    assert!(refscope::holders(&first).object().is_none());
    let raw = [first, second].map(Arc::into_raw);
    assert!(raw.iter().all(|&raw| raw == waiting));
    let handles = || scope.alive()[0].handles.iter().map(|handle| handle.raw).collect::<Vec<_>>();
    assert_eq!(handles(), [false, true]);
    assert_eq!(Arc::strong_count(&one), 4);
    // Whichever is taken back first: all three go, and with them the one that waits.
    for raw in [raw[0], waiting, raw[1]] {
        // SAFETY: each pointer came from an `into_raw`, and is taken back once.
        drop(unsafe { Arc::from_raw(raw) });
        let holders = refscope::holders(&one);
        assert!(holders.strong_count() as usize <= Arc::strong_count(&one));
        assert_eq!(holders.strong_count() as usize, holders.strong().len());
    }
    assert_eq!((handles(), Arc::strong_count(&one)), (vec![false], 1));
    drop(one);
    assert_eq!(scope.alive(), []);
}
