//! Slots that are used again: chunks that never move, generations, and the free ones in threads' magazines.
//!
//! ```text
//!  chunks   1024 slots · 1024 · 2048 · 4096 …      never moved, never freed
//!  slot     generation   odd while it is in use; moves on at each change
//!           link         the next free slot, while it is free
//!
//!  thread A   [magazine] ─┐ a batch, when it is empty          ┌─ [magazine]   thread B
//!                         └────► batches, oldest first ◄───────┘ a batch, when it is too full
//!  who may not wait, or ends ──► returned, a stack without a lock
//! ```
//!
//! None of it allocates: a handle may be made and ended in a signal's handler that interrupted the program's allocator, so chunks
//! and the queue of batches are memory of the system's.
//!
//! A slot is used again oldest first, so that a stale copy of what named it is recognized for as long as can be.
//!
//! # Invariants
//!
//! * **VACANT**: a slot whose bytes are all zero is a free one that was never used.
//! * **FOREVER**: a chunk is neither moved nor freed while anything refers to a slot (only a slab that is dropped
//!   frees its chunks: a test's).
//! * **FREE**: a slot whose generation is even is in one magazine, one batch, or on the stack of returned
//!   ones, once; who takes it from there has it alone, until it makes the generation odd.

use super::ring::Ring;
use crate::primitive::{
    AtomicPtr, AtomicU32, AtomicUsize, BATCH, FIRST_CHUNK, Mutex, Ordering, constructor, fence,
    free_slots, plain, zeroed_slots,
};
use std::cell::Cell;
use std::ptr::{self, NonNull};

/// Slots of a table.
const MOST: usize = if usize::BITS > 32 { 1 << (usize::BITS / 2) } else { 1 << 31 };

const CHUNKS: usize = (MOST / FIRST_CHUNK).ilog2() as usize + 1;

/// Where addresses end that a ticket has room for. No system gives higher ones unless asked to.
const TOP: u64 = 1 << 48;

/// Slots of a copy of the process that are read at once.
const COPIED: usize = 256;

/// What a [`Slab`] holds.
///
/// # Safety
///
/// VACANT holds for the type.
pub(crate) unsafe trait Slot: Sized + 'static {
    /// A slot whose fields are all zero.
    fn vacant() -> Self;

    /// Odd while the slot is in use.
    fn generation(&self) -> &AtomicU32;

    /// The next free slot, while this one is free.
    fn link(&self) -> &AtomicPtr<()>;

    /// Called with each new chunk, before one of its slots is used.
    #[inline]
    fn chunk_added(_slots: NonNull<Self>, _len: usize) {}
}

/// Makes the fields of a slot visible to readers, as those of its next generation, which it returns.
#[inline]
pub(crate) fn publish<T: Slot>(slot: &T) -> u32 {
    // Relaxed: nobody else writes the generation of a slot that this thread has alone.
    let generation = slot.generation().load(Ordering::Relaxed).wrapping_add(1);
    debug_assert!(generation % 2 == 1, "FREE: a slot in use is published again");
    // Release: a reader that sees this generation sees the fields.
    slot.generation().store(generation, Ordering::Release);
    generation
}

/// Stands before the fields of a slot that is not in use are written.
#[inline(always)]
pub(crate) fn begin_fill() {
    // Release: who hid the slot may be another thread, whose fence orders its own stores alone. What it did comes before this
    // by the slot's way here; so a reader that sees a field of now sees, behind its own fence, that the slot was hidden.
    fence(Ordering::Release);
}

/// Hides a slot from readers, before its fields change.
#[inline]
pub(crate) fn hide<T: Slot>(slot: &T) {
    // Relaxed: see `publish`.
    let generation = slot.generation().load(Ordering::Relaxed).wrapping_add(1);
    debug_assert!(generation.is_multiple_of(2), "FREE: a free slot is hidden again");
    slot.generation().store(generation, Ordering::Relaxed);
    // Release: a reader that sees a field of later, which this thread wrote, sees, behind its own fence, this generation too.
    // (For other threads that write them: see `begin_fill`.)
    fence(Ordering::Release);
}

/// Reads the fields of a slot: `None` where it is free, or changed meanwhile.
#[inline]
pub(crate) fn read<T: Slot, R>(slot: &T, fields: impl FnOnce(&T, u32) -> R) -> Option<R> {
    // Acquire: pairs with the release in `publish`.
    let generation = slot.generation().load(Ordering::Acquire);
    if generation.is_multiple_of(2) {
        return None;
    }
    let fields = fields(slot, generation);
    // Acquire: pairs with the release in `hide`, and in `begin_fill`.
    fence(Ordering::Acquire);
    (slot.generation().load(Ordering::Relaxed) == generation).then_some(fields)
}

/// Free slots, the oldest first, linked through themselves.
struct List<T> {
    head: *const T,
    tail: *const T,
    len: u32,
}

impl<T> Clone for List<T> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<T> Copy for List<T> {}

impl<T> Default for List<T> {
    fn default() -> Self {
        Self { head: ptr::null(), tail: ptr::null(), len: 0 }
    }
}

// SAFETY: FREE: who has the list has its slots alone.
unsafe impl<T> Send for List<T> {}

impl<T: Slot> List<T> {
    /// A list of the slots that follow one another from `head` on, if there is one.
    fn of(head: *const T) -> Option<Self> {
        Self::first_of(head, u32::MAX).map(|(list, _)| list)
    }

    /// A list of `most` of them at the most, and what follows it.
    fn first_of(head: *const T, most: u32) -> Option<(Self, *const T)> {
        let (mut tail, mut len) = (head, 0);
        let mut next = head;
        while !next.is_null() && len < most {
            (tail, len) = (next, len + 1);
            next = link(next);
        }
        if len == 0 {
            return None;
        }
        set_link(tail, ptr::null());
        Some((Self { head, tail, len }, next))
    }
}

/// The slot that follows a free one.
fn link<T: Slot>(slot: *const T) -> *const T {
    // SAFETY: FOREVER: a free slot is one of a chunk.
    let slot = unsafe { &*slot };
    // Relaxed: what orders the slot's way to this thread orders its link.
    slot.link().load(Ordering::Relaxed).cast_const().cast()
}

fn set_link<T: Slot>(slot: *const T, next: *const T) {
    // SAFETY: FOREVER: a free slot is one of a chunk.
    let slot = unsafe { &*slot };
    // Relaxed: as above.
    slot.link().store(next.cast_mut().cast(), Ordering::Relaxed);
}

/// The oldest free slot of a magazine.
pub(super) struct First<T>(NonNull<T>);

/// A thread's free slots.
pub(crate) struct Magazine<T> {
    head: Cell<*const T>,
    tail: Cell<*const T>,
    len: Cell<u32>,
}

impl<T: Slot> Magazine<T> {
    pub(crate) const fn new() -> Self {
        Self { head: Cell::new(ptr::null()), tail: Cell::new(ptr::null()), len: Cell::new(0) }
    }

    /// The oldest free slot, which stays where it is.
    #[inline(always)]
    pub(super) fn first(&self) -> Option<First<T>> {
        NonNull::new(self.head.get().cast_mut()).map(First)
    }

    /// Takes the oldest free slot out.
    #[inline(always)]
    pub(super) fn take<'a>(&self, first: First<T>) -> &'a T {
        debug_assert!(self.head.get() == first.0.as_ptr(), "FREE: it is the first still");
        self.head.set(link::<T>(first.0.as_ptr()));
        self.len.set(self.len.get() - 1);
        // SAFETY: FOREVER: a free slot is one of a chunk.
        unsafe { first.0.as_ref() }
    }

    #[inline]
    fn pop<'a>(&self) -> Option<&'a T> {
        self.first().map(|first| self.take(first))
    }

    /// Whether one more slot is one too many.
    #[inline(always)]
    pub(super) fn is_full(&self) -> bool {
        self.len.get() >= 2 * BATCH - 1
    }

    /// Takes a free slot back, if the magazine is not [full](Self::is_full).
    #[inline(always)]
    pub(super) fn push(&self, slot: *const T) {
        set_link(slot, ptr::null());
        if self.head.get().is_null() {
            self.head.set(slot);
        } else {
            set_link(self.tail.get(), slot);
        }
        self.tail.set(slot);
        self.len.set(self.len.get() + 1);
    }

    fn put(&self, list: &List<T>) {
        debug_assert!(self.head.get().is_null(), "a magazine takes a batch when it is empty");
        self.head.set(list.head);
        self.tail.set(list.tail);
        self.len.set(list.len);
    }

    /// Takes the oldest `len` slots out, or all.
    fn detach(&self, len: u32) -> Option<List<T>> {
        let head = self.head.get();
        if head.is_null() {
            return None;
        }
        let len = len.min(self.len.get());
        let mut tail = head;
        for _ in 1..len {
            tail = link(tail);
        }
        self.head.set(link(tail));
        self.len.set(self.len.get() - len);
        set_link(tail, ptr::null());
        Some(List { head, tail, len })
    }
}

struct Pool<T> {
    batches: Ring<List<T>>,
    /// Slots from here on were never used.
    fresh: usize,
}

/// A table of slots. See the [module](self).
pub(crate) struct Slab<T> {
    chunks: [plain::AtomicPtr<T>; CHUNKS],
    /// Slots below this may have been used.
    used: AtomicUsize,
    pool: Mutex<Pool<T>>,
    /// A stack of free slots, linked through themselves.
    returned: AtomicPtr<T>,
}

// SAFETY: the slots' own fields are atomics (they are `Sync`), and FREE says who may link them.
unsafe impl<T: Sync> Sync for Slab<T> {}
// SAFETY: as above; nothing in it belongs to a thread.
unsafe impl<T: Sync> Send for Slab<T> {}

/// Chunk of a slot, place in it, and the chunk's length.
fn locate(index: usize) -> (usize, usize, usize) {
    let chunk = (index / FIRST_CHUNK).checked_ilog2().map_or(0, |log| log as usize + 1);
    let (start, len) = extent(chunk);
    (chunk, index - start, len)
}

fn extent(chunk: usize) -> (usize, usize) {
    match chunk.checked_sub(1) {
        None => (0, FIRST_CHUNK),
        Some(doublings) => (FIRST_CHUNK << doublings, FIRST_CHUNK << doublings),
    }
}

impl<T: Slot + Sync> Slab<T> {
    constructor! {
        pub(crate) fn new() -> Self {
            Self {
                chunks: [const { plain::AtomicPtr::new(ptr::null_mut()) }; CHUNKS],
                used: AtomicUsize::new(0),
                pool: Mutex::new(Pool { batches: Ring::new(), fresh: 0 }),
                returned: AtomicPtr::new(ptr::null_mut()),
            }
        }
    }

    /// A free slot for this thread, from its magazine. `None` where the table is full.
    #[inline]
    pub(crate) fn take(&self, magazine: &Magazine<T>) -> Option<&T> {
        magazine.pop().or_else(|| self.take_cold(magazine))
    }

    #[cold]
    #[inline(never)]
    fn take_cold<'a>(&self, magazine: &Magazine<T>) -> Option<&'a T> {
        let batch = self.batch(&mut self.pool.lock())?;
        magazine.put(&batch);
        magazine.pop()
    }

    /// A free slot where no magazine may be used: on a thread that is ending, or in a signal's handler, which
    /// must not `wait` for a lock. `None` where it had to, or the table is full.
    #[cold]
    pub(crate) fn take_shared(&self, wait: bool) -> Option<&T> {
        let pool = if wait { Some(self.pool.lock()) } else { self.pool.try_lock() };
        let mut pool = pool?;
        let batch = self.batch(&mut pool)?;
        let slot = batch.head;
        if let Some(rest) = List::of(link(slot)) {
            self.put_batch(pool.batches.push_front(rest));
        }
        // SAFETY: FOREVER: the slot is one of a chunk.
        Some(unsafe { &*slot })
    }

    /// Gives a free slot back to the magazine.
    #[inline]
    pub(crate) fn put(&self, magazine: &Magazine<T>, slot: &T) {
        let full = magazine.is_full();
        magazine.push(slot);
        if full {
            self.put_cold(magazine);
        }
    }

    #[cold]
    #[inline(never)]
    fn put_cold(&self, magazine: &Magazine<T>) {
        if let Some(batch) = magazine.detach(BATCH) {
            let pushed = self.pool.lock().batches.push_back(batch);
            self.put_batch(pushed);
        }
    }

    /// A batch for which the pool has no memory is on the stack as well.
    fn put_batch(&self, pushed: Result<(), List<T>>) {
        if let Err(batch) = pushed {
            self.put_list(batch.head, batch.tail);
        }
    }

    /// Gives a free slot back without a magazine and without a lock.
    #[cold]
    pub(crate) fn put_shared(&self, slot: &T) {
        let slot = ptr::from_ref(slot);
        self.put_list(slot, slot);
    }

    /// Gives free slots back, linked from `head` to `tail`.
    fn put_list(&self, head: *const T, tail: *const T) {
        // Relaxed: only its place in the chain matters, which the exchange below checks.
        let mut top = self.returned.load(Ordering::Relaxed);
        loop {
            set_link(tail, top.cast_const());
            // Release: who takes the stack has the slots, and what their last users did.
            let exchange = self.returned.compare_exchange_weak(
                top,
                head.cast_mut(),
                Ordering::Release,
                Ordering::Relaxed,
            );
            match exchange {
                Ok(_) => return,
                Err(now) => top = now,
            }
        }
    }

    /// Gives all of a magazine back: its thread ends. Waits for no lock: `exit` ends a thread's locals, too, and may have been
    /// called by a signal's handler.
    pub(crate) fn empty(&self, magazine: &Magazine<T>) {
        let Some(list) = magazine.detach(u32::MAX) else { return };
        let pushed = match self.pool.try_lock() {
            Some(mut pool) => pool.batches.push_back(list),
            None => Err(list),
        };
        self.put_batch(pushed);
    }

    fn batch(&self, pool: &mut Pool<T>) -> Option<List<T>> {
        if let Some(batch) = pool.batches.pop_front() {
            return Some(batch);
        }
        // The whole stack at once, so that no other thread's push meets a slot that was taken and put back.
        //
        // Acquire: pairs with the release in `put_shared`.
        let returned = self.returned.swap(ptr::null_mut(), Ordering::Acquire);
        // In batches, so that one thread does not get what many have returned.
        let mut rest = returned.cast_const();
        while let Some((batch, next)) = List::first_of(rest, BATCH) {
            self.put_batch(pool.batches.push_back(batch));
            rest = next;
        }
        pool.batches.pop_front().or_else(|| self.fresh(pool, TOP))
    }

    /// Slots that were never used, linked, whose addresses are below `top`.
    fn fresh(&self, pool: &mut Pool<T>, top: u64) -> Option<List<T>> {
        if pool.fresh >= MOST {
            return None;
        }
        let (chunk, place, len) = locate(pool.fresh);
        // Relaxed: written under the lock that is held.
        let mut slots = self.chunks[chunk].load(Ordering::Relaxed);
        if slots.is_null() {
            let new = zeroed_slots::<T>(len, T::vacant)?;
            slots = new.as_ptr();
            if (slots.addr() + len * size_of::<T>()) as u64 > top {
                // What comes next would be no better: the table stays as large as it is.
                pool.fresh = MOST;
                // SAFETY: LAYOUT: it was allocated above, with this length, and nobody has seen it.
                unsafe { free_slots(new, len) };
                return None;
            }
            T::chunk_added(new, len);
            // Release: a reader that sees the chunk sees its zeros.
            self.chunks[chunk].store(slots, Ordering::Release);
        }
        let count = (BATCH as usize).min(len - place);
        // SAFETY: FOREVER: `place + count` is at most the chunk's length.
        let head = unsafe { slots.add(place) }.cast_const();
        let mut tail = head;
        for _ in 1..count {
            // SAFETY: FOREVER: as above.
            let next = unsafe { tail.add(1) };
            set_link(tail, next);
            tail = next;
        }
        pool.fresh += count;
        // Release: a reader that sees this length sees the chunks below it.
        self.used.store(pool.fresh, Ordering::Release);
        Some(List { head, tail, len: count as u32 })
    }

    /// Every slot that may have been used. Takes no lock.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &T> {
        // Acquire: pairs with the release in `fresh`.
        let used = self.used.load(Ordering::Acquire);
        self.chunks()
            .flat_map(move |(start, slots)| &slots[..slots.len().min(used.saturating_sub(start))])
    }

    /// The chunks: the number of the first slot, and the slots.
    fn chunks(&self) -> impl Iterator<Item = (usize, &[T])> {
        self.chunks.iter().enumerate().map_while(|(chunk, slots)| {
            let (start, len) = extent(chunk);
            // Acquire: pairs with the release in `fresh`.
            let slots = slots.load(Ordering::Acquire);
            // SAFETY: FOREVER: a chunk that is there has this length.
            (!slots.is_null()).then(|| (start, unsafe { std::slice::from_raw_parts(slots, len) }))
        })
    }

    /// The chunks that were there when a copy of this process was made, and how many slots of each had been used. `read` copies
    /// words of the copy's memory, and returns how many there were. `None` where the table cannot be read.
    fn chunks_of_copy(
        &self,
        read: impl Fn(usize, &mut [u64]) -> usize,
    ) -> Option<impl Iterator<Item = (usize, &[T])>> {
        let (mut used, mut chunks) = ([0], [0; CHUNKS]);
        let is_read = read((&raw const self.used).addr(), &mut used) == 1
            && read((&raw const self.chunks).addr(), &mut chunks) == CHUNKS;
        // What stood where a chunk is that was made since is another's.
        let was_there = move |&(start, slots): &(usize, &[T])| {
            let (chunk, ..) = locate(start);
            chunks[chunk] == slots.as_ptr().addr() as u64
        };
        let chunks = self.chunks().filter(was_there).map(move |(start, slots)| {
            ((used[0] as usize).saturating_sub(start).min(slots.len()), slots)
        });
        is_read.then_some(chunks)
    }

    /// Calls `f` for each slot that had been used when a copy of this process was made: with the slot, and with what stood in
    /// it then. Returns how many bytes could not be read.
    #[allow(dead_code)] // where nothing is searched
    pub(crate) fn each_of_copy(
        &'static self,
        read: impl Fn(usize, &mut [u64]) -> usize,
        mut f: impl FnMut(&'static T, &T),
    ) -> u64 {
        let Some(chunks) = self.chunks_of_copy(&read) else { return size_of::<Self>() as u64 };
        let mut unread = 0;
        let mut copied: Vec<T> = (0..COPIED).map(|_| T::vacant()).collect();
        for part in chunks.flat_map(|(used, slots)| slots[..used].chunks(COPIED)) {
            let bytes = size_of_val(part);
            // SAFETY: VACANT: a slot is nothing but atomics of integers and pointers, for which all bytes are values, and
            // there are so many words in as many slots of a vector that is borrowed.
            let words = unsafe {
                std::slice::from_raw_parts_mut(copied.as_mut_ptr().cast::<u64>(), bytes / 8)
            };
            let whole = read(part.as_ptr().addr(), words) * 8 / size_of::<T>();
            unread += (bytes - whole * size_of::<T>()) as u64;
            part.iter().zip(&copied).take(whole).for_each(|(slot, then)| f(slot, then));
        }
        unread
    }

    /// The memory of the chunks that were there when a copy of this process was made: what a search of it has to leave out.
    #[allow(dead_code)] // where nothing is searched
    pub(crate) fn ranges_of_copy(
        &self,
        read: impl Fn(usize, &mut [u64]) -> usize,
    ) -> Vec<std::ops::Range<usize>> {
        let ranges = self.chunks_of_copy(read).into_iter().flatten().map(|(_, slots)| {
            let range = slots.as_ptr_range();
            range.start.addr()..range.end.addr()
        });
        ranges.collect()
    }
}

impl<T> Drop for Slab<T> {
    fn drop(&mut self) {
        for (chunk, slots) in self.chunks.iter().enumerate() {
            if let Some(slots) = NonNull::new(slots.load(Ordering::Relaxed)) {
                // SAFETY: LAYOUT: a chunk's length is that of its number, and whoever drops the slab has it alone.
                unsafe { free_slots(slots, extent(chunk).1) };
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{MOST, Slab, TOP};
    use crate::primitive::model;
    use crate::runtime::entry::Place;

    /// Memory that no ticket has room to name is given back, and not asked for again and again.
    #[test]
    fn a_chunk_too_high() {
        model(|| {
            let slab = Slab::<Place>::new();
            let mut pool = slab.pool.lock();
            assert!(slab.fresh(&mut pool, 0).is_none());
            assert!(slab.chunks().next().is_none(), "it is nobody's");
            assert_eq!(pool.fresh, MOST, "and remembered");
            assert!(slab.fresh(&mut pool, TOP).is_none());
            drop(pool);
            let other = Slab::<Place>::new();
            assert!(other.fresh(&mut other.pool.lock(), TOP).is_some());
        });
    }
}
