//! Memory from the system itself: stacks are also kept inside a program's allocator, and in signal handlers.

use std::ffi::c_void;
use std::ptr::NonNull;
use std::sync::atomic::AtomicU64;

/// Words that are 0 until they are written, which is also when a page of them begins to cost memory.
pub(super) struct Region {
    /// Of `HEAD` words, and then `len`.
    start: NonNull<AtomicU64>,
    len: usize,
}

// SAFETY: MAPPED: the memory belongs to no thread, and what is in it are atomics.
unsafe impl Send for Region {}
// SAFETY: MAPPED: as above.
unsafe impl Sync for Region {}

/// Words in front of a region's own, for whatever describes it.
const HEAD: usize = 8;

impl Region {
    pub(super) fn new(len: usize) -> Option<Self> {
        let bytes = (len + HEAD) * size_of::<u64>();
        // NORESERVE: most of it is never touched.
        let flags = libc::MAP_PRIVATE | libc::MAP_ANON | libc::MAP_NORESERVE;
        let access = libc::PROT_READ | libc::PROT_WRITE;
        // SAFETY: MAPPED: new memory, wherever there is room.
        let start = unsafe { libc::mmap(std::ptr::null_mut(), bytes, access, flags, -1, 0) };
        if start == libc::MAP_FAILED {
            return None;
        }
        Some(Self { start: NonNull::new(start.cast())?, len })
    }

    /// Returns room for 64 bytes that are none of the region's words.
    pub(super) fn header<T>(&self) -> *mut T {
        const { assert!(size_of::<T>() <= HEAD * size_of::<u64>() && align_of::<T>() <= 8) };
        self.start.as_ptr().cast()
    }

    #[inline]
    pub(super) fn word(&self, index: usize) -> &'static AtomicU64 {
        assert!(index < self.len);
        // SAFETY: MAPPED: inside the region.
        let word = unsafe { self.start.add(HEAD + index) };
        // SAFETY: MAPPED: it is never unmapped once a word of it was asked for.
        unsafe { word.as_ref() }
    }

    /// Returns words as plain ones.
    ///
    /// # Safety
    /// They lie in the region, what wrote them happened before, and nothing writes them again.
    #[inline]
    pub(super) unsafe fn words(&self, start: usize, len: usize) -> &'static [usize] {
        const { assert!(size_of::<usize>() == size_of::<u64>()) };
        // SAFETY: MAPPED: as the caller has promised.
        let first = unsafe { self.start.add(HEAD + start) };
        // SAFETY: MAPPED: as above.
        unsafe { std::slice::from_raw_parts(first.as_ptr().cast(), len) }
    }

    /// Gives the memory back. Nobody else has seen the region.
    pub(super) fn unmap(self) {
        let bytes = (self.len + HEAD) * size_of::<u64>();
        // SAFETY: MAPPED: exactly what was mapped, and no reference to it was given out.
        unsafe { libc::munmap(self.start.as_ptr().cast::<c_void>(), bytes) };
    }
}
