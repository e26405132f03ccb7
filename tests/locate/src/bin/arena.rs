//! The cases, on `refscope::Alloc` around an allocator whose memory is a static of the program, and which uses nothing again.

use std::alloc::{GlobalAlloc, Layout};
use std::cell::UnsafeCell;
use std::sync::atomic::{AtomicUsize, Ordering};

const SIZE: usize = 96 << 20;

#[repr(align(4096))]
struct Arena(UnsafeCell<[u8; SIZE]>);

// SAFETY: TEST: each part is given away once.
unsafe impl Sync for Arena {}

static ARENA: Arena = Arena(UnsafeCell::new([0; SIZE]));
static NEXT: AtomicUsize = AtomicUsize::new(0);

struct Bump;

// SAFETY: TEST: what lies between two values of `NEXT` is given away once, and is aligned.
unsafe impl GlobalAlloc for Bump {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let align = layout.align();
        let start =
            NEXT.fetch_add(layout.size() + align, Ordering::Relaxed).next_multiple_of(align);
        if start + layout.size() > SIZE || align > 4096 {
            return std::ptr::null_mut();
        }
        // SAFETY: TEST: it is within the static.
        unsafe { ARENA.0.get().cast::<u8>().add(start) }
    }

    unsafe fn dealloc(&self, _: *mut u8, _: Layout) {}
}

#[global_allocator]
static ALLOC: refscope::Alloc<Bump> = refscope::Alloc::wrap(Bump);

fn main() {
    refscope_locate::run();
}
