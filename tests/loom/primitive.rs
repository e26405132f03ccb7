//! loom's primitives under the names that `src/primitive.rs` gives.

pub(crate) use loom::sync::atomic::{
    AtomicBool, AtomicPtr, AtomicU32, AtomicU64, AtomicUsize, Ordering, fence,
};
pub(crate) use loom::sync::{Arc, MutexGuard};
pub(crate) use std::sync::atomic::compiler_fence;

/// Atomics that are no scheduling points.
pub(crate) mod plain {
    pub(crate) use crate::included::lock::Mutex;
    pub(crate) use std::sync::atomic::{AtomicPtr, AtomicU32, AtomicU64};
}

pub(crate) const SEGMENT: usize = 4;
pub(crate) const FIRST_CHUNK: usize = 4;
pub(crate) const BATCH: u32 = 1;
pub(crate) const TICKER: bool = false;

/// Read by whoever may read, written by whoever may write: loom finds accesses without an order.
#[derive(Debug)]
pub(crate) struct Witness(UnsafeCell<()>);

// SAFETY: WITNESS: loom's cell checks each access, and there is nothing in it.
unsafe impl Sync for Witness {}

impl Witness {
    pub(crate) fn new() -> Self {
        Self(UnsafeCell::new(()))
    }

    #[track_caller]
    pub(crate) fn read(&self) {
        self.0.with(|_| ());
    }

    #[track_caller]
    pub(crate) fn write(&self) {
        self.0.with_mut(|_| ());
    }
}

#[derive(Debug)]
pub(crate) struct UnsafeCell<T>(loom::cell::UnsafeCell<T>);

impl<T> UnsafeCell<T> {
    pub(crate) fn new(value: T) -> Self {
        Self(loom::cell::UnsafeCell::new(value))
    }

    #[track_caller]
    pub(crate) fn with<R>(&self, f: impl FnOnce(*const T) -> R) -> R {
        self.0.with(f)
    }

    #[track_caller]
    pub(crate) fn with_mut<R>(&self, f: impl FnOnce(*mut T) -> R) -> R {
        self.0.with_mut(f)
    }
}

pub(crate) struct Mutex<T>(loom::sync::Mutex<T>);

impl<T> Mutex<T> {
    pub(crate) fn new(value: T) -> Self {
        Self(loom::sync::Mutex::new(value))
    }

    pub(crate) fn lock(&self) -> loom::sync::MutexGuard<'_, T> {
        self.0.lock().expect("no model panics under the lock")
    }

    pub(crate) fn try_lock(&self) -> Option<loom::sync::MutexGuard<'_, T>> {
        self.0.try_lock().ok()
    }
}

/// std's `OnceLock`, of which loom has none: the value is std's to keep, and the order in which threads see it is
/// loom's to explore. The cell is written by who sets it and read by who gets it, so that a missing order shows.
pub(crate) struct OnceLock<T> {
    value: std::sync::OnceLock<T>,
    set: AtomicBool,
    order: UnsafeCell<()>,
    setting: Mutex<()>,
}

impl<T> OnceLock<T> {
    pub(crate) fn new() -> Self {
        Self {
            value: std::sync::OnceLock::new(),
            set: AtomicBool::new(false),
            order: UnsafeCell::new(()),
            setting: Mutex::new(()),
        }
    }

    pub(crate) fn get(&self) -> Option<&T> {
        if !self.set.load(Ordering::Acquire) {
            return None;
        }
        self.order.with(|_| ());
        self.value.get()
    }

    pub(crate) fn get_or_init(&self, f: impl FnOnce() -> T) -> &T {
        let guard = self.setting.lock();
        if !self.set.load(Ordering::Acquire) {
            assert!(self.value.set(f()).is_ok(), "set under the lock");
            self.order.with_mut(|_| ());
            self.set.store(true, Ordering::Release);
        }
        drop(guard);
        self.get().expect("it is set")
    }
}

macro_rules! constructor {
    ($($function:tt)*) => { $($function)* };
}
pub(crate) use constructor;

macro_rules! statics {
    ($($(#[$meta:meta])* $vis:vis static $NAME:ident: $Type:ty = $value:expr;)*) => {
        $(loom::lazy_static! { pub(crate) static ref $NAME: $Type = $value; })*
    };
}
pub(crate) use statics;

/// A thread's state. What ends it is called by `harness::spawn`: loom drops a thread's locals after others see that the
/// thread is done.
macro_rules! thread_state {
    ($(#[$meta:meta])* static $NAME:ident: $Type:ty = $value:expr, ends by $end:path;) => {
        loom::thread_local! {
            static $NAME: $Type = $value;
        }

        fn state<'a>() -> Option<&'a $Type> {
            let state = $NAME.try_with(|state| std::ptr::from_ref(state)).ok()?;
            // SAFETY: LOCAL: loom's local is there until its thread ends, and `harness::spawn` uses it no longer.
            Some(unsafe { &*state })
        }

        fn register_end() -> bool {
            true
        }
    };
}
pub(crate) use thread_state;

/// Allocates slots, each of whose fields is loom's. Their bytes are not zero.
pub(crate) fn zeroed_slots<T>(len: usize, vacant: fn() -> T) -> Option<std::ptr::NonNull<T>> {
    std::alloc::Layout::array::<T>(len).ok()?;
    let slots: Box<[T]> = (0..len).map(|_| vacant()).collect();
    std::ptr::NonNull::new(Box::into_raw(slots).cast())
}

pub(crate) unsafe fn free_slots<T>(slots: std::ptr::NonNull<T>, len: usize) {
    let slots = std::ptr::slice_from_raw_parts_mut(slots.as_ptr(), len);
    // SAFETY: LAYOUT: the caller gives what `zeroed_slots` gave.
    drop(unsafe { Box::from_raw(slots) });
}

/// Runs a unit test of the ledger as a model.
pub(crate) fn model(f: impl Fn() + Send + Sync + 'static) {
    loom::model(f);
}
