//! The cases, on `refscope::Alloc` around an allocator that is not glibc's: its blocks have no headers, lie one behind the
//! other in mappings of its own, and are used again by their size.

use std::alloc::{GlobalAlloc, Layout};
use std::sync::Mutex;

/// What is free: a mapping that nothing was taken of yet, and by size class the blocks that were given back.
struct Free {
    next: usize,
    end: usize,
    given_back: [usize; 48],
}

struct Classes(Mutex<Free>);

const MAPPING: usize = 4 << 20;

impl Classes {
    /// The class of a layout, and the bytes of its blocks.
    fn class(layout: Layout) -> (usize, usize) {
        let size = layout.size().max(layout.align()).max(16).next_power_of_two();
        (size.ilog2() as usize, size)
    }
}

// SAFETY: TEST: a block is in use once at a time, is as large as it is aligned, and is at least as large as the layout.
unsafe impl GlobalAlloc for Classes {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let (class, size) = Self::class(layout);
        let mut free = self.0.lock().expect("nothing panics with it");
        let last = free.given_back[class];
        if last != 0 {
            let block: *mut usize = std::ptr::with_exposed_provenance_mut(last);
            // SAFETY: TEST: a block that was given back has the address of the one before in its first word.
            free.given_back[class] = unsafe { block.read() };
            return block.cast();
        }
        let mut start = free.next.next_multiple_of(size);
        if free.next == 0 || start + size > free.end {
            let length = MAPPING.max(2 * size);
            let access = libc::PROT_READ | libc::PROT_WRITE;
            let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS;
            // SAFETY: TEST: new memory.
            let new = unsafe { libc::mmap(std::ptr::null_mut(), length, access, flags, -1, 0) };
            if new == libc::MAP_FAILED {
                return std::ptr::null_mut();
            }
            start = new.expose_provenance().next_multiple_of(size);
            free.end = new.addr() + length;
        }
        free.next = start + size;
        std::ptr::with_exposed_provenance_mut(start)
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        let (class, _) = Self::class(layout);
        let mut free = self.0.lock().expect("nothing panics with it");
        // SAFETY: TEST: nobody uses it any more, and a block has room for a word.
        unsafe { block.cast::<usize>().write(free.given_back[class]) };
        free.given_back[class] = block.expose_provenance();
    }
}

#[global_allocator]
static ALLOC: refscope::Alloc<Classes> =
    refscope::Alloc::wrap(Classes(Mutex::new(Free { next: 0, end: 0, given_back: [0; 48] })));

fn main() {
    refscope_locate::run();
}
