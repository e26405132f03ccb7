//! The primitives that threads meet at: std's here, loom's in the model tests.
//!
//! `tests/loom` includes the runtime by path, beside a `primitive` module of its own, so the models run in a
//! plain `cargo test`, without a `--cfg loom` that would rebuild the world. Paths mirror std's; what differs
//! says why.

#![allow(unused_imports, unused_macros)] // each is used by some build: off, traced, test

pub(crate) use crate::lock::{Mutex, MutexGuard};
pub(crate) use std::sync::atomic::{
    AtomicBool, AtomicPtr, AtomicU32, AtomicU64, AtomicUsize, Ordering, compiler_fence, fence,
};
pub(crate) use std::sync::{Arc, OnceLock};

/// Atomics that are none of a model's scheduling points: what is in them comes with what names it.
pub(crate) mod plain {
    pub(crate) use crate::lock::Mutex;
    pub(crate) use std::sync::atomic::{AtomicPtr, AtomicU32, AtomicU64};
}

/// Stands for what a holder may read and an owner may write: a model finds accesses without an order.
#[derive(Debug)]
pub(crate) struct Witness;

impl Witness {
    pub(crate) fn new() -> Self {
        Self
    }

    #[inline(always)]
    pub(crate) fn read(&self) {}

    #[inline(always)]
    pub(crate) fn write(&self) {}
}

/// What the first birth of the process calls: the one arrow upwards, as a function pointer. It reads `REFSCOPE`.
pub(crate) const AT_FIRST_BIRTH: Option<fn()> = Some(crate::env::read);

/// Records in a segment of a log: 16 KiB.
pub(crate) const SEGMENT: usize = 512;

/// Slots in the first chunk of a table; each further chunk is as large as all before it together.
pub(crate) const FIRST_CHUNK: usize = 1 << 10;
/// Slots that a thread takes from, or gives back to, the others at once.
pub(crate) const BATCH: u32 = 32;

/// Whether a thread may be started that moves the clock.
pub(crate) const TICKER: bool =
    !cfg!(any(miri, all(target_family = "wasm", target_os = "unknown")));

/// Allocates `len` slots whose bytes are all zero, which is what `vacant` gives: for loom's types, whose zero has other
/// bytes. `None` where there is no memory.
///
/// By the system's allocator, not by the program's, which may use traced pointers itself.
pub(crate) fn zeroed_slots<T>(len: usize, vacant: fn() -> T) -> Option<std::ptr::NonNull<T>> {
    use std::alloc::{GlobalAlloc, Layout, System};

    let _ = vacant;
    let layout = Layout::array::<T>(len).ok()?;
    assert!(layout.size() > 0, "slots have a size");
    // SAFETY: LAYOUT: the layout's size is not zero.
    let slots = unsafe { System.alloc_zeroed(layout) };
    std::ptr::NonNull::new(slots.cast())
}

/// Gives back what [`zeroed_slots`] allocated.
///
/// # Safety
///
/// `slots` and `len` are those of one such allocation, which nobody refers to any more.
pub(crate) unsafe fn free_slots<T>(slots: std::ptr::NonNull<T>, len: usize) {
    use std::alloc::{GlobalAlloc, Layout, System};

    let layout = Layout::array::<T>(len).expect("it was allocated with this layout");
    // SAFETY: LAYOUT: passed on to the caller.
    unsafe { System.dealloc(slots.as_ptr().cast(), layout) };
}

/// Declares a constructor that is `const` here, so that the ledger can be a `static`; loom's
/// atomics cannot be made in a constant.
macro_rules! constructor {
    ($(#[$meta:meta])* $vis:vis fn $($rest:tt)*) => { $(#[$meta])* $vis const fn $($rest)* };
}
pub(crate) use constructor;

/// Declares `static`s; loom's have to be made anew for each execution.
macro_rules! statics {
    ($($(#[$meta:meta])* $vis:vis static $NAME:ident: $Type:ty = $value:expr;)*) => {
        $($(#[$meta])* $vis static $NAME: $Type = $value;)*
    };
}
pub(crate) use statics;

/// Declares the state of each thread, and what is called as the thread ends.
///
/// The state has no destructor, so that it can be used until the thread's very end; a second thread-local,
/// touched at the first use, has one. loom's threads have one local with a destructor instead, and none after it.
macro_rules! thread_state {
    ($(#[$meta:meta])* static $NAME:ident: $Type:ty = $value:expr, ends by $end:path;) => {
        thread_local! {
            $(#[$meta])* static $NAME: $Type = const { $value };
            static ENDING: Ending = const { Ending };
        }

        struct Ending;

        impl Drop for Ending {
            fn drop(&mut self) {
                if let Some(state) = state() {
                    $end(state);
                }
            }
        }

        /// This thread's state, as long as the thread is there: it must not be given to another thread.
        #[inline(always)]
        fn state<'a>() -> Option<&'a $Type> {
            // By its address, since a closure of any size would not be inlined.
            let state = $NAME.with(|state| std::ptr::from_ref(state));
            // SAFETY: LOCAL: a local without a destructor is there until its thread ends.
            Some(unsafe { &*state })
        }

        /// Has [`ENDING`] destroyed as the thread ends. False where it has been already.
        fn register_end() -> bool {
            ENDING.try_with(|_| ()).is_ok()
        }
    };
}
pub(crate) use thread_state;
