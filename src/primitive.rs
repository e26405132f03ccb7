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
/// Not by the program's allocator, which may use traced pointers itself, or be what a signal's handler has interrupted: from the
/// system, which has zeros ready, where that can be asked.
pub(crate) fn zeroed_slots<T>(len: usize, vacant: fn() -> T) -> Option<std::ptr::NonNull<T>> {
    use std::alloc::Layout;
    #[cfg(not(all(unix, not(miri))))]
    use std::alloc::{GlobalAlloc as _, System};

    let _ = vacant;
    // Here begins what is traced.
    crate::alloc::clear_from_now_on();
    let layout = Layout::array::<T>(len).ok()?;
    assert!(layout.size() > 0, "slots have a size");
    #[cfg(all(unix, not(miri)))]
    return mapped::zeroed(layout.size()).map(std::ptr::NonNull::cast);
    #[cfg(not(all(unix, not(miri))))]
    {
        // SAFETY: LAYOUT: the layout's size is not zero.
        let slots = unsafe { System.alloc_zeroed(layout) };
        std::ptr::NonNull::new(slots.cast())
    }
}

/// Gives back what [`zeroed_slots`] allocated.
///
/// # Safety
///
/// `slots` and `len` are those of one such allocation, which nobody refers to any more.
pub(crate) unsafe fn free_slots<T>(slots: std::ptr::NonNull<T>, len: usize) {
    use std::alloc::Layout;
    #[cfg(not(all(unix, not(miri))))]
    use std::alloc::{GlobalAlloc as _, System};

    let layout = Layout::array::<T>(len).expect("it was allocated with this layout");
    #[cfg(all(unix, not(miri)))]
    // SAFETY: LAYOUT: passed on to the caller.
    unsafe {
        mapped::free(slots.cast(), layout.size());
    }
    #[cfg(not(all(unix, not(miri))))]
    // SAFETY: LAYOUT: passed on to the caller.
    unsafe {
        System.dealloc(slots.as_ptr().cast(), layout);
    }
}

/// Returns the size of the system's pages: 4 KiB on most, 16 or 64 KiB on some AArch64 and PowerPC.
#[cfg(unix)]
#[allow(dead_code)] // used by what maps files, and not by Miri's allocations
pub(crate) fn page_bytes() -> usize {
    // 0: not asked yet. Relaxed: it is always the same.
    static BYTES: AtomicUsize = AtomicUsize::new(0);
    match BYTES.load(Ordering::Relaxed) {
        0 => {
            // SAFETY: LIMIT: it reads a constant of the system's.
            let bytes = unsafe { libc::sysconf(libc::_SC_PAGESIZE) };
            let bytes = usize::try_from(bytes).ok().filter(|bytes| bytes.is_power_of_two());
            let bytes = bytes.unwrap_or(4 << 10);
            BYTES.store(bytes, Ordering::Relaxed);
            bytes
        }
        bytes => bytes,
    }
}

/// Has LeakSanitizer look for pointers in memory that it would not search. (Memory that is unmapped later it leaves out.)
#[cfg(refscope_leak_sanitizer)]
pub(crate) fn add_leak_sanitizer_root(start: std::ptr::NonNull<u8>, size: usize) {
    unsafe extern "C" {
        fn __lsan_register_root_region(start: *const std::ffi::c_void, size: usize);
    }

    // SAFETY: LAYOUT: so many bytes are mapped there.
    unsafe { __lsan_register_root_region(start.as_ptr().cast(), size) };
}

/// Memory that is mapped.
#[cfg(all(unix, not(miri)))]
mod mapped {
    use std::ptr::{NonNull, null_mut};
    use std::sync::atomic::{AtomicPtr, Ordering};

    /// A large page of the processor's. Memory of such costs a fifteenth when it is first touched; and a walk of the tables, and
    /// handles that end in another order than they were made, otherwise cost a look into the page tables each.
    const HUGE: usize = 2 << 20;
    /// From this size on memory is a part of a large page, which the next ones may share.
    const LARGE: usize = 256 << 10;

    /// So many bytes of zeros, aligned to a page. `None` where there is no memory.
    pub(super) fn zeroed(size: usize) -> Option<NonNull<u8>> {
        by_pages(size, super::page_bytes(), &REST)
    }

    fn by_pages(size: usize, page: usize, rest: &AtomicPtr<u8>) -> Option<NonNull<u8>> {
        let size = whole_pages(size, page)?;
        match size {
            ..LARGE => map(size),
            LARGE..HUGE => part(size, rest),
            HUGE.. => huge(size),
        }
    }

    /// What memory of this size takes: only whole pages can be given back, and a part of one is the next part's.
    fn whole_pages(size: usize, page: usize) -> Option<usize> {
        size.checked_next_multiple_of(page)
    }

    fn map(size: usize) -> Option<NonNull<u8>> {
        let rights = libc::PROT_READ | libc::PROT_WRITE;
        let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS;
        // SAFETY: LAYOUT: memory of nobody's is asked for.
        let start = unsafe { libc::mmap(null_mut(), size, rights, flags, -1, 0) };
        if start == libc::MAP_FAILED { None } else { NonNull::new(start.cast()) }
    }

    /// The rest of the large page that was begun last, to its end.
    static REST: AtomicPtr<u8> = AtomicPtr::new(null_mut());

    fn part(size: usize, rest_of: &AtomicPtr<u8>) -> Option<NonNull<u8>> {
        // Relaxed: the memory is the system's zeros, which nobody wrote; a part is the caller's by the exchange.
        let mut rest = rest_of.load(Ordering::Relaxed);
        loop {
            let left = rest.addr().wrapping_neg() % HUGE;
            let (start, is_new) = match NonNull::new(rest) {
                Some(rest) if left >= size => (rest, false),
                _ => (huge(HUGE)?, true),
            };
            let next = start.as_ptr().wrapping_add(size);
            match rest_of.compare_exchange(rest, next, Ordering::Relaxed, Ordering::Relaxed) {
                Ok(_) => return Some(start),
                Err(others) => rest = others,
            }
            if is_new {
                // SAFETY: LAYOUT: it was mapped above, and is referred to by nobody.
                unsafe { unmap(start, HUGE) };
            }
        }
    }

    /// Large pages, as many as there are whole ones in the size.
    fn huge(size: usize) -> Option<NonNull<u8>> {
        // Room to begin with a whole one.
        let start = map(size.checked_add(HUGE)?)?;
        let before = start.as_ptr().align_offset(HUGE).min(HUGE);
        // SAFETY: LAYOUT: `before` and `size` are at most what was mapped.
        let whole = unsafe { start.add(before) };
        // SAFETY: LAYOUT: as above.
        let end = unsafe { whole.add(size) };
        // SAFETY: LAYOUT: what is before was mapped above, and is referred to by nobody.
        unsafe { unmap(start, before) };
        // SAFETY: LAYOUT: likewise what is behind.
        unsafe { unmap(end, HUGE - before) };
        #[cfg(target_os = "linux")]
        // SAFETY: LAYOUT: it is mapped, and its bytes do not change.
        unsafe {
            libc::madvise(whole.as_ptr().cast(), size, libc::MADV_HUGEPAGE)
        };
        Some(whole)
    }

    /// Gives memory back.
    ///
    /// # Safety
    ///
    /// It was mapped here, alone or as a part, and nobody refers to it any more.
    pub(super) unsafe fn free(start: NonNull<u8>, size: usize) {
        if let Some(size) = whole_pages(size, super::page_bytes()) {
            // SAFETY: LAYOUT: passed on to the caller.
            unsafe { unmap(start, size) };
        }
    }

    /// # Safety
    ///
    /// They are whole pages that were mapped here, which nobody refers to any more.
    unsafe fn unmap(start: NonNull<u8>, size: usize) {
        if size > 0 {
            // SAFETY: LAYOUT: passed on to the caller.
            unsafe { libc::munmap(start.as_ptr().cast(), size) };
        }
    }

    #[cfg(test)]
    mod tests {
        use super::*;

        /// Where pages are larger than a log's segments: parts are whole pages, so that one can be given back alone.
        #[test]
        fn parts_are_whole_pages() {
            const PAGE: usize = 64 << 10;
            let rest = AtomicPtr::new(null_mut());
            let mut parts = Vec::new();
            // Segments of 16 KiB, as many as a budget may ask for.
            for segments in 16..40_usize {
                let size = segments * (16 << 10);
                let start = by_pages(size, PAGE, &rest).unwrap().as_ptr().addr();
                assert!(start.is_multiple_of(PAGE), "{segments} segments");
                parts.push((start, size));
            }
            parts.sort_unstable();
            for pair in parts.windows(2) {
                let [(start, size), (next, _)] = pair else { unreachable!() };
                // What the system takes away with a part: all pages that its bytes lie in.
                assert!(start + size.next_multiple_of(PAGE) <= *next, "{pair:?}");
            }
            let page = super::super::page_bytes();
            assert!(page.is_power_of_two() && page >= 4 << 10, "{page}");
            assert_eq!(whole_pages(usize::MAX, PAGE), None);
        }
    }
}

/// Runs a unit test of the ledger, which is a model elsewhere.
#[cfg(test)]
pub(crate) fn model(f: impl Fn() + Send + Sync + 'static) {
    f();
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
/// The state has no destructor, so that it can be used until the thread's very end: what is called then is registered at
/// the first use. loom's threads have one local with a destructor instead, and none after it.
macro_rules! thread_state {
    ($(#[$meta:meta])* static $NAME:ident: $Type:ty = $value:expr, ends by $end:path;) => {
        thread_local! {
            $(#[$meta])* static $NAME: $Type = const { $value };
        }

        /// This thread's state, as long as the thread is there: it must not be given to another thread.
        #[inline(always)]
        fn state<'a>() -> Option<&'a $Type> {
            // By its address, since a closure of any size would not be inlined.
            let state = $NAME.with(|state| std::ptr::from_ref(state));
            // SAFETY: LOCAL: a local without a destructor is there until its thread ends.
            Some(unsafe { &*state })
        }

        /// Has the state ended as the thread ends. False where that cannot be had.
        fn register_end() -> bool {
            fn end() {
                if let Some(state) = state() {
                    $end(state);
                }
            }
            crate::primitive::call_at_thread_end(end)
        }
    };
}
pub(crate) use thread_state;

/// Has a function called as this thread ends, after the destructors of std's thread-locals. False where that cannot be had.
///
/// By a key of pthread's, since the thread's first use of a traced pointer may be in a signal's handler that interrupted the
/// allocator: to register a destructor of a thread-local allocates, to set one of the first 32 keys does not.
#[cfg(all(target_os = "linux", not(miri)))]
pub(crate) fn call_at_thread_end(end: fn()) -> bool {
    use std::ffi::c_void;

    extern "C" fn run(end: *mut c_void) {
        // SAFETY: KEY: it is the function that was set below.
        let end = unsafe { std::mem::transmute::<*mut c_void, fn()>(end) };
        end();
    }

    /// The key, and one more. 0: there is none yet.
    static KEY: AtomicU32 = AtomicU32::new(0);

    // Relaxed: a key is known to the system when its number is known.
    let mut key = KEY.load(Ordering::Relaxed);
    if key == 0 {
        let mut new = 0;
        // SAFETY: KEY: the key's number is written.
        if unsafe { libc::pthread_key_create(&raw mut new, Some(run)) } != 0 {
            return false;
        }
        match KEY.compare_exchange(0, new + 1, Ordering::Relaxed, Ordering::Relaxed) {
            Ok(_) => key = new + 1,
            Err(others) => {
                // SAFETY: KEY: it was made above, and is known to nobody else.
                unsafe { libc::pthread_key_delete(new) };
                key = others;
            }
        }
    }
    // SAFETY: KEY: the key was made, and is not deleted; the value is what its destructor expects.
    unsafe { libc::pthread_setspecific(key - 1, end as *const c_void) == 0 }
}

#[cfg(not(all(target_os = "linux", not(miri))))]
pub(crate) fn call_at_thread_end(end: fn()) -> bool {
    use std::cell::Cell;

    struct Ending(Cell<Option<fn()>>);

    impl Drop for Ending {
        fn drop(&mut self) {
            if let Some(end) = self.0.take() {
                end();
            }
        }
    }

    thread_local! {
        static ENDING: Ending = const { Ending(Cell::new(None)) };
    }
    ENDING.try_with(|ending| ending.0.set(Some(end))).is_ok()
}
