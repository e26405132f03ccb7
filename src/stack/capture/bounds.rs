//! Where a thread's stack ends.

use std::cell::Cell;

/// A region of memory that a stack pointer can lie in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Bounds {
    low: usize,
    high: usize,
}

thread_local! {
    // Without a destructor, so that it can be read while the thread's other locals are destroyed.
    static BOUNDS: Cell<Bounds> = const { Cell::new(Bounds { low: 0, high: 0 }) };
}

/// Returns the end of the stack that `sp`, the caller's stack pointer, lies on, so that all memory from `sp` up to it
/// can be read. `None` on a stack that nobody describes: a coroutine's, say.
#[inline]
pub(super) fn end_of_stack(sp: usize) -> Option<usize> {
    let bounds = BOUNDS.get();
    if sp.wrapping_sub(bounds.low) < bounds.high - bounds.low {
        return Some(bounds.high);
    }
    look_up(sp)
}

#[cold]
#[inline(never)]
fn look_up(sp: usize) -> Option<usize> {
    let inside = |bounds: &Bounds| (bounds.low..bounds.high).contains(&sp);
    if BOUNDS.get().high == 0 {
        // Also remembered when `sp` lies elsewhere: a thread's own stack stays where it is.
        BOUNDS.set(system::thread_stack().unwrap_or(Bounds { low: 1, high: 1 }));
    }
    Some(BOUNDS.get())
        .filter(inside)
        .or_else(|| system::signal_stack().filter(inside))
        .map(|b| b.high)
}

/// What a walk may read, and how much stack is left for it.
#[cfg(feature = "stacks")]
pub(super) struct Reach {
    /// From the stack pointer to the end of its stack; and, where a signal handler has a stack of its own, the thread's.
    pub(super) stacks: [std::ops::Range<usize>; 2],
    /// Bytes below the stack pointer.
    pub(super) room: usize,
}

/// Returns the reach of a walk from `sp`. `None` on a stack that nobody describes.
#[cfg(feature = "stacks")]
pub(super) fn reach(sp: usize) -> Option<Reach> {
    let end = end_of_stack(sp)?;
    let own = BOUNDS.get();
    if own.high == end {
        return Some(Reach { stacks: [sp..end, 0..0], room: sp - own.low });
    }
    let signals = system::signal_stack()?;
    Some(Reach { stacks: [sp..end, own.low..own.high], room: sp.saturating_sub(signals.low) })
}

mod system {
    use super::Bounds;

    /// Asks libc. For a main thread this reads `/proc/self/maps` (some 40 µs).
    pub(super) fn thread_stack() -> Option<Bounds> {
        // SAFETY: THREAD: the struct is plain data, and written before it is read.
        let mut attributes: libc::pthread_attr_t = unsafe { std::mem::zeroed() };
        // SAFETY: THREAD: takes nothing.
        let this = unsafe { libc::pthread_self() };
        // SAFETY: THREAD: about the calling thread, into a struct that lives here.
        if unsafe { libc::pthread_getattr_np(this, &raw mut attributes) } != 0 {
            return None;
        }
        let (mut start, mut size) = (std::ptr::null_mut(), 0);
        // SAFETY: THREAD: the call above has initialised the attributes.
        let failed = unsafe {
            libc::pthread_attr_getstack(&raw const attributes, &raw mut start, &raw mut size)
        };
        // SAFETY: THREAD: as above, and they are not used again.
        unsafe { libc::pthread_attr_destroy(&raw mut attributes) };
        let low = start.addr();
        (failed == 0).then(|| Bounds { low, high: low.saturating_add(size) })
    }

    /// The stack that a signal handler runs on, if this is one that has its own.
    pub(super) fn signal_stack() -> Option<Bounds> {
        // SAFETY: THREAD: the struct is plain data, and written before it is read.
        let mut stack: libc::stack_t = unsafe { std::mem::zeroed() };
        // SAFETY: THREAD: asks only, since the new stack is null.
        let failed = unsafe { libc::sigaltstack(std::ptr::null(), &raw mut stack) };
        let low = stack.ss_sp.addr();
        (failed == 0 && stack.ss_flags & libc::SS_ONSTACK != 0)
            .then(|| Bounds { low, high: low.saturating_add(stack.ss_size) })
    }
}

#[cfg(test)]
mod tests {
    use super::{Bounds, end_of_stack, system};

    #[test]
    fn a_thread_knows_its_own_stack() {
        let threads = [64 << 10, 2 << 20].map(|size| {
            std::thread::Builder::new().stack_size(size).spawn(move || {
                let here = 0_u8;
                let sp = (&raw const here).addr();
                let end = end_of_stack(sp).expect("this thread's own");
                assert!(sp < end && end - sp < size + (1 << 20), "{sp:x} {end:x}");
                assert_eq!(end_of_stack(sp), Some(end), "from the cache");
                assert_eq!(end_of_stack(end), None, "one past the end");
            })
        });
        for thread in threads {
            thread.expect("a thread starts").join().expect("no assertion failed");
        }
    }

    #[test]
    fn memory_of_the_heap_is_no_stack() {
        let heap = Box::new(0_u8);
        assert_eq!(end_of_stack((&raw const *heap).addr()), None);
        assert_eq!(end_of_stack(8), None);
        assert_eq!(system::signal_stack(), None::<Bounds>);
    }
}
