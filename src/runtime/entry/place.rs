//! What the ledger knows of each living handle.

use super::{Entry, RELAXED};
use crate::event::Op;
use crate::primitive::{AtomicPtr, AtomicU32, AtomicU64, Ordering, plain};
use crate::runtime::slab::{Slot, begin_fill};

/// What the ledger knows of a living handle: written by who makes it, freed by who ends it, and by nobody else.
///
/// ```text
///  flags   u32   op:8 | raw:1 | returned:1 | lent:1
/// ```
#[repr(C, align(64))]
pub(crate) struct Place {
    generation: AtomicU32,
    flags: AtomicU32,
    entry: AtomicPtr<Entry>,
    /// While the slot is free: the next free one. Of a raw handle: the path of the step by which it became so, alone. Of one
    /// that came back from a raw pointer: its ticket. Else std's pointer, where the ticket stands for it.
    link: AtomicPtr<()>,
    /// The number of the event that made the handle, which is the handle's own.
    number: AtomicU64,
    /// The number of the handle that it was made from, of the same object; 0 for none.
    parent: plain::AtomicU64,
    time: plain::AtomicU64,
    path: plain::AtomicU32,
    thread: plain::AtomicU32,
    span: plain::AtomicU32,
    stack: plain::AtomicU32,
}

const _: () = assert!(cfg!(test) || size_of::<Place>() <= 64);

/// The handle is a raw pointer now.
const IS_RAW: u32 = 1 << 8;
/// The handle came from a raw pointer.
pub(crate) const RETURNED: u32 = 1 << 9;
/// A copy of std's pointer was lent: see [`lent`](crate::repr).
#[cfg(refscope_thin)]
const LENT: u32 = 1 << 10;

// SAFETY: VACANT: all fields are atomics, for which zero is a value; a generation of 0 is even.
unsafe impl Slot for Place {
    fn vacant() -> Self {
        Self {
            generation: AtomicU32::new(0),
            flags: AtomicU32::new(0),
            entry: AtomicPtr::new(std::ptr::null_mut()),
            link: AtomicPtr::new(std::ptr::null_mut()),
            number: AtomicU64::new(0),
            parent: plain::AtomicU64::new(0),
            time: plain::AtomicU64::new(0),
            path: plain::AtomicU32::new(0),
            thread: plain::AtomicU32::new(0),
            span: plain::AtomicU32::new(0),
            stack: plain::AtomicU32::new(0),
        }
    }

    fn generation(&self) -> &AtomicU32 {
        &self.generation
    }

    fn link(&self) -> &AtomicPtr<()> {
        &self.link
    }

    /// Where a ticket stands for std's pointer, that is in the place alone.
    #[cfg(refscope_leak_sanitizer)]
    fn chunk_added(slots: std::ptr::NonNull<Self>, len: usize) {
        crate::primitive::add_leak_sanitizer_root(slots.cast(), len * size_of::<Self>());
    }
}

/// What a place is made from.
pub(crate) struct NewPlace {
    pub(crate) op: Op,
    pub(crate) number: u64,
    pub(crate) parent: u64,
    pub(crate) time: u64,
    pub(crate) path: u32,
    pub(crate) thread: u32,
    pub(crate) span: u32,
    pub(crate) stack: u32,
}

impl Place {
    #[inline]
    pub(crate) fn fill(&self, entry: &Entry, new: &NewPlace, flags: u32) {
        begin_fill();
        self.flags.store(new.op as u32 | flags, RELAXED);
        self.entry.store(std::ptr::from_ref(entry).cast_mut(), RELAXED);
        self.number.store(new.number, RELAXED);
        self.parent.store(new.parent, RELAXED);
        self.time.store(new.time, RELAXED);
        self.path.store(new.path, RELAXED);
        self.thread.store(new.thread, RELAXED);
        self.span.store(new.span, RELAXED);
        self.stack.store(new.stack, RELAXED);
        crate::span::note_handle(new.span);
    }

    /// The object's entry.
    #[inline]
    pub(crate) fn entry(&self) -> *const Entry {
        self.entry.load(RELAXED)
    }

    #[inline]
    pub(crate) fn number(&self) -> u64 {
        self.number.load(RELAXED)
    }

    #[inline]
    pub(crate) fn path(&self) -> u32 {
        self.path.load(RELAXED)
    }

    /// Marks a handle that becomes a raw pointer, by a step whose path is `left`. Only who has the handle does.
    pub(crate) fn set_raw(&self, left: u32) {
        self.link.store(std::ptr::without_provenance_mut(left as usize), RELAXED);
        // Release: a reader that sees the flag sees the step.
        self.flags.store(self.flags.load(RELAXED) | IS_RAW, Ordering::Release);
    }

    /// Notes the ticket of a handle that came from a raw pointer, for who looks for it in memory.
    pub(crate) fn set_returned(&self, ticket: u64) {
        self.link.store(std::ptr::without_provenance_mut(ticket as usize), RELAXED);
    }

    /// Clears `RETURNED`.
    pub(crate) fn clear_returned(&self) {
        self.flags.store(self.flags.load(RELAXED) & !RETURNED, RELAXED);
    }

    /// The generation of the handle that has the place now, or had it last.
    pub(crate) fn current(&self) -> u32 {
        self.generation.load(RELAXED)
    }

    /// What reports are made of.
    pub(crate) fn details(&self) -> PlaceDetails {
        // Acquire: see `set_raw`.
        let flags = self.flags.load(Ordering::Acquire);
        let raw = flags & IS_RAW != 0;
        PlaceDetails {
            op: Op::from_number(flags as u8),
            raw,
            left: if raw { self.link.load(RELAXED).addr() as u32 } else { 0 },
            returned: (!raw && flags & RETURNED != 0)
                .then(|| self.link.load(RELAXED).addr() as u64),
            entry: self.entry(),
            number: self.number(),
            parent: self.parent.load(RELAXED),
            time: self.time.load(RELAXED),
            path: self.path(),
            thread: self.thread.load(RELAXED),
            span: self.span.load(RELAXED),
            stack: self.stack.load(RELAXED),
        }
    }
}

/// What a place is where the ticket stands for std's pointer.
#[cfg(refscope_thin)]
impl Place {
    /// Notes std's pointer. Only who has the handle does, before anyone else may have it.
    #[inline]
    pub(crate) fn set_std(&self, std: *mut ()) {
        self.link.store(std, RELAXED);
    }

    /// std's pointer. Relaxed: whoever has the handle got it from the thread that noted the pointer, after it did.
    #[inline]
    pub(crate) fn std(&self) -> *mut () {
        self.link.load(RELAXED)
    }

    /// Where it stands.
    #[inline]
    pub(crate) fn std_memory(&self) -> *const *mut () {
        self.link.as_ptr().cast_const()
    }

    /// Whether a copy of std's pointer was lent, ever. Only who has the handle asks.
    #[inline]
    pub(crate) fn is_lent(&self) -> bool {
        self.flags.load(RELAXED) & LENT != 0
    }

    /// Marks it as lent, and returns whether it was so. Relaxed: done under the lock of what is lent.
    pub(crate) fn set_lent(&self) -> bool {
        self.flags.fetch_or(LENT, RELAXED) & LENT != 0
    }
}

/// A copy of a place's fields.
#[derive(Clone, Copy, Debug)]
pub(crate) struct PlaceDetails {
    pub(crate) op: Option<Op>,
    pub(crate) raw: bool,
    /// The path of the step by which it became a raw pointer; 0 for none.
    pub(crate) left: u32,
    /// The ticket of a handle that came from a raw pointer.
    pub(crate) returned: Option<u64>,
    pub(crate) entry: *const Entry,
    pub(crate) number: u64,
    pub(crate) parent: u64,
    pub(crate) time: u64,
    pub(crate) path: u32,
    pub(crate) thread: u32,
    pub(crate) span: u32,
    pub(crate) stack: u32,
}
