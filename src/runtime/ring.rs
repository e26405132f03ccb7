//! A queue in memory of the system's: it grows where the program's allocator may not be called.

use crate::primitive::{FIRST_CHUNK, free_slots, zeroed_slots};
use std::ptr::NonNull;

/// A queue. Its memory is [`zeroed_slots`]'.
///
/// # Invariants
///
/// * **RING**: `slots` are `capacity` slots, a power of two, or 0; of these the `len` from `first` on, round the end, were
///   written.
pub(super) struct Ring<T> {
    slots: NonNull<T>,
    capacity: usize,
    first: usize,
    len: usize,
}

// SAFETY: RING: the slots are the ring's own.
unsafe impl<T: Send> Send for Ring<T> {}

/// Slots of the first memory.
const FIRST: usize = FIRST_CHUNK / 2;

impl<T: Copy + Default> Ring<T> {
    pub(super) const fn new() -> Self {
        Self { slots: NonNull::dangling(), capacity: 0, first: 0, len: 0 }
    }

    /// Adds one at the end. Gives it back where there is no memory.
    pub(super) fn push_back(&mut self, value: T) -> Result<(), T> {
        if self.len == self.capacity && !self.grow() {
            return Err(value);
        }
        self.len += 1;
        self.write(self.len - 1, value);
        Ok(())
    }

    /// Adds one at the beginning. Gives it back where there is no memory.
    pub(super) fn push_front(&mut self, value: T) -> Result<(), T> {
        if self.len == self.capacity && !self.grow() {
            return Err(value);
        }
        self.first = self.first.wrapping_sub(1) & (self.capacity - 1);
        self.len += 1;
        self.write(0, value);
        Ok(())
    }

    /// Takes the first one out.
    pub(super) fn pop_front(&mut self) -> Option<T> {
        if self.len == 0 {
            return None;
        }
        let slot = self.slot(0);
        self.first = (self.first + 1) & (self.capacity - 1);
        self.len -= 1;
        // SAFETY: RING: it was written.
        Some(unsafe { slot.read() })
    }

    /// The slot of the nth.
    fn slot(&self, n: usize) -> NonNull<T> {
        debug_assert!(n < self.capacity, "RING: there are so many");
        // SAFETY: RING: the index is below the capacity.
        unsafe { self.slots.add((self.first + n) & (self.capacity - 1)) }
    }

    fn write(&mut self, n: usize, value: T) {
        // SAFETY: RING: the slot is the ring's own.
        unsafe { self.slot(n).write(value) };
    }

    #[cold]
    fn grow(&mut self) -> bool {
        let capacity = (2 * self.capacity).max(FIRST);
        let Some(slots) = zeroed_slots::<T>(capacity, T::default) else { return false };
        let mut grown = Self { slots, capacity, first: 0, len: 0 };
        while let Some(value) = self.pop_front() {
            grown.write(grown.len, value);
            grown.len += 1;
        }
        *self = grown;
        true
    }
}

impl<T> Drop for Ring<T> {
    fn drop(&mut self) {
        if self.capacity > 0 {
            // SAFETY: LAYOUT: so many were allocated, and the ring has them alone.
            unsafe { free_slots(self.slots, self.capacity) };
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{FIRST, Ring};
    use std::collections::VecDeque;

    #[test]
    fn as_a_queue() {
        let (mut ring, mut queue) = (Ring::new(), VecDeque::new());
        let mut random = 7_u64;
        for n in 0..20_000 {
            random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            match random >> 61 {
                0..4 => {
                    assert_eq!(ring.push_back(n), Ok(()));
                    queue.push_back(n);
                }
                4 => {
                    assert_eq!(ring.push_front(n), Ok(()));
                    queue.push_front(n);
                }
                _ => assert_eq!(ring.pop_front(), queue.pop_front()),
            }
        }
        assert!(queue.len() > 2 * FIRST, "it has grown");
        while let Some(value) = queue.pop_front() {
            assert_eq!(ring.pop_front(), Some(value));
        }
        assert_eq!(ring.pop_front(), None);
    }

    /// Where there is no memory a value is given back, and what is there stays.
    #[test]
    fn without_memory() {
        let most = 1 << (usize::BITS - 4);
        let slots = std::ptr::NonNull::dangling();
        let mut full = Ring { slots, capacity: most, first: 0, len: most };
        assert_eq!((full.push_back(1_u64), full.push_front(2)), (Err(1), Err(2)));
        assert_eq!((full.capacity, full.first, full.len), (most, 0, most));
        // Nobody allocated it.
        std::mem::forget(full);
    }

    /// The memory of before it grew is given back, and the last one's.
    #[cfg(all(target_os = "linux", not(miri)))]
    #[test]
    fn memory_is_given_back() {
        // Other tests' memory would be in it: in a process of its own.
        const ALONE: &str = "REFSCOPE_TEST_RING_ALONE";
        let this = std::thread::current();
        if let (Some(name), None) =
            (this.name().filter(|&name| name != "main"), std::env::var_os(ALONE))
        {
            let mut alone = std::process::Command::new(std::env::current_exe().unwrap());
            alone
                .args(["--exact", name, "--test-threads=1"])
                .env(ALONE, "1")
                .env_remove("REFSCOPE");
            let output = alone.output().unwrap();
            let text = String::from_utf8_lossy(&output.stdout);
            assert!(output.status.success() && text.contains("1 passed"), "{text}");
            return;
        }
        let mapped = || {
            let pages = std::fs::read_to_string("/proc/self/statm").unwrap();
            pages.split(' ').next().unwrap().parse::<u64>().unwrap() * 4096
        };
        let before = mapped();
        for _ in 0..20 {
            let mut ring = Ring::new();
            (0..1_u64 << 20).for_each(|n| assert_eq!(ring.push_back(n), Ok(())));
        }
        // Kept, it would be 320 MB.
        let more = mapped().saturating_sub(before);
        assert!(more < 100 << 20, "{more} bytes stay");
    }
}
