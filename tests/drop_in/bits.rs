//! What programs do with a handle as bits or as a raw pointer: wakers by hand, user data of a callback, moves by `ptr::read`,
//! unions, and other views of the same bits. All of it is allowed with std's pointers, since each handle is dropped once.

use super::{boxed::Box, rc::Rc, sync, sync::Arc, watched};
use std::cell::Cell;
use std::ffi::c_void;
use std::mem::{ManuallyDrop, MaybeUninit};
use std::ptr;
use std::sync::atomic::{AtomicPtr, AtomicUsize, Ordering};
use std::task::{RawWaker, RawWakerVTable, Waker};

/// What a task of an executor is: it counts.
struct Task {
    wakes: AtomicUsize,
    ended: Arc<AtomicUsize>,
}

impl Task {
    fn wake(&self) {
        self.wakes.fetch_add(1, Ordering::Relaxed);
    }
}

impl Drop for Task {
    fn drop(&mut self) {
        self.ended.fetch_add(1, Ordering::Relaxed);
    }
}

/// The tables that executors write by hand: each way of counting on that is in use.
mod wakers {
    use super::*;

    /// By `increment_strong_count`, as `std::task::Wake` does.
    pub(super) static COUNTING: RawWakerVTable = RawWakerVTable::new(
        |data| {
            // SAFETY: the waker owns a handle.
            unsafe { Arc::increment_strong_count(data.cast::<Task>()) };
            RawWaker::new(data, &COUNTING)
        },
        // SAFETY: the waker gives its handle up.
        |data| unsafe { Arc::from_raw(data.cast::<Task>()) }.wake(),
        // SAFETY: a view of the waker's handle, which is not dropped.
        |data| ManuallyDrop::new(unsafe { Arc::from_raw(data.cast::<Task>()) }).wake(),
        // SAFETY: the waker gives its handle up.
        |data| unsafe { Arc::decrement_strong_count(data.cast::<Task>()) },
    );

    /// By a view that is cloned, and both forgotten, as in `futures`.
    pub(super) static VIEWING: RawWakerVTable = RawWakerVTable::new(
        |data| {
            // SAFETY: a view of the waker's handle, which is not dropped.
            let view = ManuallyDrop::new(unsafe { Arc::from_raw(data.cast::<Task>()) });
            let _own = ManuallyDrop::new(Arc::clone(&view));
            RawWaker::new(data, &VIEWING)
        },
        // SAFETY: the waker gives its handle up.
        |data| unsafe { Arc::from_raw(data.cast::<Task>()) }.wake(),
        |data| {
            // SAFETY: a view of the waker's handle, which is forgotten below.
            let view = unsafe { Arc::from_raw(data.cast::<Task>()) };
            view.wake();
            std::mem::forget(view);
        },
        // SAFETY: the waker gives its handle up.
        |data| drop(unsafe { Arc::from_raw(data.cast::<Task>()) }),
    );

    /// By a clone that becomes the other's raw pointer.
    pub(super) static CLONING: RawWakerVTable = RawWakerVTable::new(
        |data| {
            // SAFETY: a view of the waker's handle, which becomes raw again.
            let view = unsafe { Arc::from_raw(data.cast::<Task>()) };
            let clone = view.clone();
            assert_eq!(Arc::into_raw(view).cast(), data);
            RawWaker::new(Arc::into_raw(clone).cast(), &CLONING)
        },
        // SAFETY: the waker gives its handle up.
        |data| unsafe { Arc::from_raw(data.cast::<Task>()) }.wake(),
        // SAFETY: the value lives as long as the waker's handle.
        |data| unsafe { &*data.cast::<Task>() }.wake(),
        // SAFETY: the waker gives its handle up.
        |data| drop(unsafe { Arc::from_raw(data.cast::<Task>()) }),
    );
}

#[test]
fn wakers_by_hand() {
    for table in [&wakers::COUNTING, &wakers::VIEWING, &wakers::CLONING] {
        watched(|| {
            let ended = Arc::new(AtomicUsize::new(0));
            let task = Arc::new(Task { wakes: AtomicUsize::new(0), ended: ended.clone() });
            let raw = RawWaker::new(Arc::into_raw(task.clone()).cast(), table);
            // SAFETY: the table keeps the contract, see there.
            let waker = unsafe { Waker::from_raw(raw) };
            let wakers: Vec<Waker> = (0..5).map(|_| waker.clone()).collect();
            assert!(wakers.iter().all(|other| other.will_wake(&waker)));
            assert_eq!(Arc::strong_count(&task), 7);
            wakers[3].wake_by_ref();
            let mut wakers = wakers.into_iter();
            wakers.next().unwrap().wake();
            drop(wakers.next());
            let elsewhere = wakers.next().unwrap();
            std::thread::spawn(move || elsewhere.clone().wake()).join().unwrap();
            waker.wake_by_ref();
            drop(waker);
            assert_eq!((Arc::strong_count(&task), task.wakes.load(Ordering::Relaxed)), (3, 4));
            drop(task);
            assert_eq!(ended.load(Ordering::Relaxed), 0);
            drop(wakers);
            assert_eq!(ended.load(Ordering::Relaxed), 1);
        });
    }
}

/// A counted pointer to a value of which only a reference is at hand, as C++ has it from `shared_from_this`.
#[test]
fn a_handle_of_a_reference() {
    struct Node {
        value: u8,
    }
    impl Node {
        /// # Safety
        ///
        /// The value is an `Arc`'s.
        unsafe fn share(&self) -> Arc<Self> {
            // SAFETY: the caller says so.
            unsafe { Arc::increment_strong_count(self) };
            // SAFETY: of the count that was just added.
            unsafe { Arc::from_raw(self) }
        }
    }
    watched(|| {
        let node = Arc::new(Node { value: 7 });
        // SAFETY: it is an `Arc`'s. By the pointer, whose provenance is the whole allocation.
        let other = unsafe { (*Arc::as_ptr(&node)).value };
        assert_eq!(other, 7);
        let raw = Arc::into_raw(node);
        // SAFETY: as above; `increment_strong_count` and `from_raw` on a pointer that is still owned.
        let shared = unsafe {
            Arc::increment_strong_count(raw);
            Arc::from_raw(raw)
        };
        // SAFETY: the first handle.
        let node = unsafe { Arc::from_raw(raw) };
        assert_eq!((Arc::strong_count(&node), shared.value), (2, 7));
        drop(node);
        assert_eq!((Arc::strong_count(&shared), shared.value), (1, 7));
        if !cfg!(miri) {
            // SAFETY: as above. (By a reference to the value alone, which Miri's models do not allow.)
            let again = unsafe { shared.share() };
            drop(shared);
            assert_eq!((Arc::strong_count(&again), again.value), (1, 7));
        }
    });
}

/// The user data of a C library's callback.
#[test]
fn user_data_of_a_callback() {
    struct State {
        calls: Cell<u32>,
    }
    extern "C" fn called(data: *mut c_void) {
        // SAFETY: it is the box that was registered, and lives until `freed`.
        let state = unsafe { &*data.cast::<State>() };
        state.calls.set(state.calls.get() + 1);
    }
    extern "C" fn freed(data: *mut c_void) {
        // SAFETY: the library gives it back once.
        drop(unsafe { Box::from_raw(data.cast::<State>()) });
    }
    extern "C" fn released(data: *mut c_void) {
        // SAFETY: as above.
        drop(unsafe { Rc::from_raw(data.cast::<State>()) });
    }
    watched(|| {
        let data: *mut c_void = Box::into_raw(Box::new(State { calls: Cell::new(0) })).cast();
        called(data);
        freed(data);
        let state = Rc::new(State { calls: Cell::new(0) });
        let data = Rc::into_raw(state.clone()).cast_mut().cast::<c_void>();
        called(data);
        called(data);
        assert_eq!((state.calls.get(), Rc::strong_count(&state)), (2, 2));
        released(data);
        assert_eq!(Rc::strong_count(&state), 1);
    });
}

/// A slot that threads swap, and the lowest bit of a pointer as a flag.
#[test]
fn pointers_in_atomics_and_tags() {
    watched(|| {
        let first = Arc::new(1_u64);
        let slot = AtomicPtr::new(Arc::into_raw(first.clone()).cast_mut());
        std::thread::scope(|scope| {
            for number in 2..5 {
                let slot = &slot;
                scope.spawn(move || {
                    let new = Arc::into_raw(Arc::new(number)).cast_mut();
                    let old = slot.swap(new, Ordering::AcqRel);
                    // SAFETY: what was in the slot was an `into_raw`, and is taken out once.
                    assert!(*unsafe { Arc::from_raw(old) } < 5);
                });
            }
        });
        assert_eq!(Arc::strong_count(&first), 1);
        // SAFETY: as above.
        let last = unsafe { Arc::from_raw(slot.into_inner()) };
        assert!((2..5).contains(&*last));
        let tagged = Box::into_raw(Box::new(7_u32)).map_addr(|address| address | 1);
        assert_eq!(tagged.addr() & 1, 1);
        // SAFETY: the tag is taken off.
        assert_eq!(*unsafe { Box::from_raw(tagged.map_addr(|address| address & !1)) }, 7);
    });
}

#[test]
fn moves_by_bits() {
    watched(|| {
        let count = Rc::new(());
        // By `read` and `forget`.
        let one = count.clone();
        // SAFETY: the original is forgotten.
        let moved = unsafe { ptr::read(&raw const one) };
        std::mem::forget(one);
        drop(moved);
        assert_eq!(Rc::strong_count(&count), 1);
        // By `ManuallyDrop::take`.
        let mut kept = ManuallyDrop::new(count.clone());
        // SAFETY: it is not used again.
        drop(unsafe { ManuallyDrop::take(&mut kept) });
        // By `swap`, `replace` and `write` on raw pointers.
        let (mut one, mut two) = (Rc::new(1), Rc::new(2));
        // SAFETY: both are valid handles before and after.
        unsafe {
            ptr::swap(&raw mut one, &raw mut two);
            drop(ptr::replace(&raw mut one, Rc::new(3)));
            ptr::drop_in_place(&raw mut two);
            ptr::write(&raw mut two, Rc::new(4));
        }
        assert_eq!((*one, *two), (3, 4));
        // As a vector shifts them, and an array that is filled by and by.
        let mut all: Vec<Rc<()>> = vec![count.clone(); 5];
        // SAFETY: the first is moved out, the others down.
        let first = unsafe {
            let first = ptr::read(all.as_ptr());
            ptr::copy(all.as_ptr().add(1), all.as_mut_ptr(), 4);
            all.set_len(4);
            first
        };
        all.insert(2, first);
        all.rotate_left(1);
        all.swap_remove(0);
        assert_eq!(Rc::strong_count(&count), 5);
        let mut array = [const { MaybeUninit::<Rc<()>>::uninit() }; 3];
        array.iter_mut().for_each(|slot| _ = slot.write(count.clone()));
        // SAFETY: each is written, and read once.
        let array = array.map(|slot| unsafe { slot.assume_init() });
        assert_eq!((array.len(), Rc::strong_count(&count)), (3, 8));
        drop((array, all));
        assert_eq!(Rc::strong_count(&count), 1);
    });
}

/// Either of two, by a flag that stands elsewhere.
#[test]
fn unions() {
    union Either<A, B> {
        first: ManuallyDrop<A>,
        second: ManuallyDrop<B>,
    }
    struct Tagged(bool, Either<Rc<str>, Box<u8>>);
    impl Drop for Tagged {
        fn drop(&mut self) {
            // SAFETY: the flag says which it is.
            unsafe {
                if self.0 {
                    ManuallyDrop::drop(&mut self.1.first);
                } else {
                    ManuallyDrop::drop(&mut self.1.second);
                }
            }
        }
    }
    watched(|| {
        let text: Rc<str> = "text".into();
        let one = Tagged(true, Either { first: ManuallyDrop::new(text.clone()) });
        let two = Tagged(false, Either { second: ManuallyDrop::new(Box::new(7)) });
        // SAFETY: as made.
        assert_eq!(unsafe { (one.1.first.len(), **two.1.second) }, (4, 7));
        drop((one, two));
        assert_eq!(Rc::strong_count(&text), 1);
    });
}

/// Handles as those of a `repr(transparent)` wrapper, by value and by reference.
#[test]
fn views_as_another_type() {
    #[repr(transparent)]
    struct Wrapper<T: ?Sized>(T);
    impl Wrapper<str> {
        fn shared(text: Arc<str>) -> Arc<Self> {
            let raw = Arc::into_raw(text) as *const Self;
            // SAFETY: the same layout.
            unsafe { Arc::from_raw(raw) }
        }
    }
    watched(|| {
        let one = Arc::new(5_u64);
        // SAFETY: the same layout, of the values and so of the handles.
        let wrapped: Arc<Wrapper<u64>> = unsafe { std::mem::transmute(one.clone()) };
        assert_eq!((wrapped.0, Arc::strong_count(&one)), (5, 2));
        // SAFETY: as above.
        let view = unsafe { std::mem::transmute::<&Arc<u64>, &Arc<Wrapper<u64>>>(&one) };
        assert!(Arc::ptr_eq(view, &wrapped));
        let clone = view.clone();
        assert_eq!((clone.0, Arc::strong_count(&one)), (5, 3));
        drop((wrapped, clone));
        let weak = Arc::downgrade(&one);
        // SAFETY: as above.
        let weak: sync::Weak<Wrapper<u64>> = unsafe { std::mem::transmute(weak) };
        assert_eq!(weak.upgrade().unwrap().0, 5);
        // SAFETY: as above.
        let mut boxed: Box<Wrapper<u64>> = unsafe { std::mem::transmute(Box::new(6_u64)) };
        boxed.0 += 1;
        let all = [Rc::new(1), Rc::new(2)];
        // SAFETY: as above.
        let values: &[Rc<Wrapper<u8>>] = unsafe { std::mem::transmute::<&[Rc<u8>], _>(&all) };
        assert_eq!((boxed.0, values.iter().map(|value| value.0).sum::<u8>()), (7, 3));
        let shared = Wrapper::shared("text".into());
        assert_eq!((shared.0.len(), shared.clone().0.len()), (4, 4));
        let many = ManuallyDrop::new(vec![one.clone(); 3]);
        let (raw, len, capacity) = (many.as_ptr().cast_mut(), many.len(), many.capacity());
        // SAFETY: the same layout; the original is not used again.
        let many: Vec<Arc<Wrapper<u64>>> = unsafe { Vec::from_raw_parts(raw.cast(), len, capacity) };
        assert_eq!((many[2].0, Arc::strong_count(&one)), (5, 4));
    });
}
