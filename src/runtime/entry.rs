//! The slots of the ledger's two tables: an [`Entry`] for each living object, a [`Place`] for each living handle.
//!
//! Every field is an atomic, written by the thread that has the slot (see FREE in [`slab`](super::slab)) and read by anyone,
//! who knows by the generation whether what was read belongs together. The fields are written and read relaxed:
//! [`publish`](super::slab::publish) and [`read`](super::slab::read) order them.

mod place;

pub(crate) use self::place::{NewPlace, Place, PlaceDetails, RETURNED};

use super::dispatch::Dispatch;
use super::scope::ScopeNode;
use super::slab::{Slot, begin_fill};
use crate::event::{Label, Object, ObjectId, Type};
use crate::primitive::{AtomicPtr, AtomicU32, AtomicU64, Ordering, Witness, plain};

const RELAXED: Ordering = Ordering::Relaxed;

const STRONG_BITS: u32 = 24;
const STRONG_MASK: u64 = (1 << STRONG_BITS) - 1;

/// One step of the sequence, in the units of [`Entry::state`].
pub(crate) const SEQ: u64 = 1 << STRONG_BITS;
/// One strong handle, in the units of [`Entry::state`].
pub(crate) const ONE: u64 = 1;

// Limits leave room for what may still come past them: a thread may stand between its check and its
// step (so many threads do not exist), and each handle that exists may still be dropped.
const MARGIN_OF_STRONG: u64 = 1 << 16;
const MARGIN_OF_SEQ: u64 = 1 << 34;
const REFS_CAP: u32 = u32::MAX - (1 << 16);
const WITHHELD_CAP: u32 = u32::MAX - (1 << 16);

/// An event's place in its object's history, and the strong count right after it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Position {
    pub(crate) seq: u64,
    pub(crate) strong: u32,
}

impl Position {
    #[inline]
    pub(crate) fn from_state(state: u64) -> Self {
        Self { seq: state >> STRONG_BITS, strong: (state & STRONG_MASK) as u32 }
    }

    /// The two as one word.
    #[inline]
    pub(crate) fn state(self) -> u64 {
        self.seq << STRONG_BITS | u64::from(self.strong)
    }
}

/// What the ledger knows of a living object.
///
/// ```text
///  state   u64   seq:40 | strong:24     one read-modify-write gives order and count
///  refs    u32   weak handles + 1 while the strong side is open
/// ```
#[repr(C, align(64))]
pub(crate) struct Entry {
    generation: AtomicU32,
    refs: AtomicU32,
    state: AtomicU64,
    flags: AtomicU32,
    /// Events that no sink saw, because they were raised inside one.
    withheld: plain::AtomicU32,
    /// Where the events go. Null: nowhere.
    dispatch: plain::AtomicPtr<Dispatch>,
    /// The scope that the object was made in, one share of it. While the slot is free: the next free one.
    scope: AtomicPtr<()>,
    id: AtomicU64,
    ty: plain::AtomicPtr<Type>,
    location: plain::AtomicPtr<std::panic::Location<'static>>,
    // Second cache line: what only reports and first events ask for.
    /// Where the value is, [`scrambled`].
    address: plain::AtomicU64,
    size: plain::AtomicU64,
    time: plain::AtomicU64,
    /// The handle that the first one was made from: of another object, for a copy on write.
    parent_object: plain::AtomicU64,
    parent: plain::AtomicU64,
    thread: plain::AtomicU32,
    span: plain::AtomicU32,
    label: plain::AtomicU32,
    scope_id: plain::AtomicU32,
    align: plain::AtomicU32,
    stack: plain::AtomicU32,
    witness: Witness,
}

/// The events go to the dispatch's sink, at once.
pub(crate) const AT_ONCE: u32 = 1;
/// The events go to the dispatch's log.
pub(crate) const LOGGED: u32 = 1 << 1;
/// The object is in the table of raw pointers.
pub(crate) const RAW: u32 = 1 << 2;
/// The object is meant to stay.
pub(crate) const ALLOWED: u32 = 1 << 3;
/// The object was made from a pointer of std's: another object may stand for the same allocation.
pub(crate) const ADOPTED: u32 = 1 << 4;

/// Stacks are taken of what happens to the object's handles.
pub(crate) const STACKS: u32 = 1 << 5;
/// The dispatch's log is backed: what its records refer to may have to be defined first. Beside [`LOGGED`].
pub(crate) const BACKED: u32 = 1 << 6;
/// The object is, or was, in the table of those whose handles became std's pointers.
pub(crate) const DEPARTED: u32 = 1 << 7;

/// An address as the ledger keeps it, so that a search of the memory for addresses finds owners alone. Its own inverse.
pub(crate) const fn scrambled(address: u64) -> u64 {
    address ^ 0xa5a5_5a5a_c3c3_3c3c
}

// SAFETY: VACANT: all fields are atomics, for which zero is a value; a generation of 0 is even.
unsafe impl Slot for Entry {
    fn vacant() -> Self {
        Self {
            generation: AtomicU32::new(0),
            refs: AtomicU32::new(0),
            state: AtomicU64::new(0),
            flags: AtomicU32::new(0),
            withheld: plain::AtomicU32::new(0),
            dispatch: plain::AtomicPtr::new(std::ptr::null_mut()),
            scope: AtomicPtr::new(std::ptr::null_mut()),
            id: AtomicU64::new(0),
            ty: plain::AtomicPtr::new(std::ptr::null_mut()),
            location: plain::AtomicPtr::new(std::ptr::null_mut()),
            address: plain::AtomicU64::new(0),
            size: plain::AtomicU64::new(0),
            time: plain::AtomicU64::new(0),
            parent_object: plain::AtomicU64::new(0),
            parent: plain::AtomicU64::new(0),
            thread: plain::AtomicU32::new(0),
            span: plain::AtomicU32::new(0),
            label: plain::AtomicU32::new(0),
            scope_id: plain::AtomicU32::new(0),
            align: plain::AtomicU32::new(0),
            stack: plain::AtomicU32::new(0),
            witness: Witness::new(),
        }
    }

    fn generation(&self) -> &AtomicU32 {
        &self.generation
    }

    fn link(&self) -> &AtomicPtr<()> {
        &self.scope
    }
}

/// What an entry is made from.
pub(crate) struct NewEntry<'a> {
    pub(crate) object: &'a Object,
    pub(crate) address: usize,
    pub(crate) align: usize,
    pub(crate) flags: u32,
    pub(crate) dispatch: *const Dispatch,
    /// A share of the scope, or null.
    pub(crate) scope: *const ScopeNode,
    pub(crate) scope_id: u32,
    pub(crate) thread: u32,
    pub(crate) time: u64,
    pub(crate) span: u32,
    pub(crate) parent: Option<(u64, u64)>,
    pub(crate) stack: u32,
    /// The count that the first event brings: 0 for one that begins with a weak handle.
    pub(crate) strong: u32,
}

impl Entry {
    /// Writes the fields of a new object, whose first event is number 1.
    #[inline(always)]
    pub(crate) fn fill(&self, new: &NewEntry<'_>) {
        let object = new.object;
        self.witness.write();
        begin_fill();
        self.refs.store(1, RELAXED);
        self.state.store(Position { seq: 1, strong: new.strong }.state(), RELAXED);
        self.flags.store(new.flags, RELAXED);
        self.withheld.store(0, RELAXED);
        self.dispatch.store(new.dispatch.cast_mut(), RELAXED);
        self.scope.store(new.scope.cast_mut().cast(), RELAXED);
        self.id.store(object.id.0, RELAXED);
        self.ty.store(std::ptr::from_ref(object.ty).cast_mut(), RELAXED);
        self.location.store(std::ptr::from_ref(object.location).cast_mut(), RELAXED);
        self.address.store(scrambled(new.address as u64), RELAXED);
        self.size.store(object.size, RELAXED);
        self.time.store(new.time, RELAXED);
        let (parent_object, parent) = new.parent.unwrap_or((0, 0));
        self.parent_object.store(parent_object, RELAXED);
        self.parent.store(parent, RELAXED);
        self.thread.store(new.thread, RELAXED);
        self.span.store(new.span, RELAXED);
        self.label.store(object.label.0, RELAXED);
        self.scope_id.store(new.scope_id, RELAXED);
        self.align.store(new.align as u32, RELAXED);
        self.stack.store(new.stack, RELAXED);
    }

    #[inline]
    pub(crate) fn flags(&self) -> u32 {
        self.flags.load(RELAXED)
    }

    /// Relaxed: each flag that is set later is set by one who keeps the entry, and read by its end.
    pub(crate) fn set(&self, flag: u32) {
        self.flags.fetch_or(flag, RELAXED);
    }

    #[inline]
    pub(crate) fn dispatch(&self) -> *const Dispatch {
        self.witness.read();
        self.dispatch.load(RELAXED)
    }

    /// Whether all of it was written. What is read of a copy of the process comes in no order where its threads ran on.
    pub(crate) fn is_filled(&self) -> bool {
        !self.ty.load(RELAXED).is_null() && !self.location.load(RELAXED).is_null()
    }

    #[inline]
    pub(crate) fn id(&self) -> u64 {
        self.id.load(RELAXED)
    }

    /// The object, as events show it.
    #[inline]
    pub(crate) fn object(&self) -> Object {
        // SAFETY: STATIC: the pointers of an entry that was filled are those of `&'static`s.
        let ty = unsafe { &*self.ty.load(RELAXED) };
        // SAFETY: STATIC: as above.
        let location = unsafe { &*self.location.load(RELAXED) };
        Object {
            id: ObjectId(self.id()),
            ty,
            size: self.size.load(RELAXED),
            label: Label(self.label.load(RELAXED)),
            location,
        }
    }

    pub(crate) fn label(&self, label: Label) {
        self.label.store(label.0, RELAXED);
    }

    /// The history so far: exact at some moment between call and return.
    #[inline]
    pub(crate) fn position(&self) -> Position {
        Position::from_state(self.state.load(RELAXED))
    }

    /// Adds to the state: the event's one read-modify-write.
    ///
    /// An object whose owners cannot be concurrent (`SHARED` false: `Rc` and `Box`) does with a load
    /// and a store. Relaxed in both where the caller says so: the value is compared with nothing but itself, and
    /// what has to happen before an entry's end is ordered in [`drop_strong`](Self::drop_strong) and
    /// [`unpin`](Self::unpin).
    #[inline]
    fn step<const SHARED: bool>(&self, add: u64, order: Ordering) -> Position {
        Position::from_state(if SHARED {
            self.state.fetch_add(add, order).wrapping_add(add)
        } else {
            let state = self.state.load(RELAXED).wrapping_add(add);
            self.state.store(state, RELAXED);
            state
        })
    }

    /// Whether the object may have one more handle or event.
    #[inline]
    pub(crate) fn has_room(&self) -> bool {
        // Relaxed: a limit with a margin, not a promise.
        let state = self.state.load(RELAXED);
        // Both at once: what is within its margin overflows when that is added, into the bit above or out of the word.
        let (sum, overflows) =
            state.overflowing_add(MARGIN_OF_SEQ << STRONG_BITS | MARGIN_OF_STRONG);
        !overflows && (sum ^ state) & SEQ == 0
    }

    /// Returns whether `refs` has room for another weak handle.
    #[inline]
    pub(crate) fn has_room_for_ref(&self) -> bool {
        self.refs.load(RELAXED) < REFS_CAP
    }

    /// Takes one more share of `refs`. Relaxed, as std's clone of an `Arc`: the caller's own share
    /// keeps the entry, and a new share is passed on only by what the caller does later.
    #[inline]
    pub(crate) fn share<const SHARED: bool>(&self) {
        if SHARED {
            self.refs.fetch_add(1, RELAXED);
        } else {
            self.refs.store(self.refs.load(RELAXED) + 1, RELAXED);
        }
    }

    /// The step of a handle that is made from a strong one.
    #[inline]
    pub(crate) fn clone_strong<const SHARED: bool>(&self) -> Position {
        self.step::<SHARED>(SEQ + ONE, RELAXED)
    }

    /// The step of a strong handle that is made from one that does not count itself: from a weak one, after std's
    /// upgrade succeeded (or, for an object of `new_cyclic`, when its value is there); from one that came from a raw
    /// pointer.
    #[inline]
    pub(crate) fn upgrade<const SHARED: bool>(&self) -> Position {
        let position = self.step::<SHARED>(SEQ + ONE, RELAXED);
        if position.strong == 1 {
            // The count rose from 0: this upgrade raced the last drop (which steps before std's), or
            // this is `new_cyclic`, or no handle that was ours is left. The strong side is open again and
            // takes its share anew.
            self.share::<SHARED>();
        }
        position
    }

    /// The step of a weak handle that is made. Takes its share of `refs`.
    #[inline]
    pub(crate) fn clone_weak<const SHARED: bool>(&self) -> Position {
        self.share::<SHARED>();
        self.step::<SHARED>(SEQ, RELAXED)
    }

    /// The step of an event that changes no count.
    #[inline]
    pub(crate) fn note<const SHARED: bool>(&self) -> Position {
        self.step::<SHARED>(SEQ, RELAXED)
    }

    /// The step of a strong handle's end, and whether it was the last: then the strong side's share of `refs` is
    /// the caller's to give back.
    #[inline]
    pub(crate) fn drop_strong<const SHARED: bool>(&self) -> (Position, bool) {
        // SEQ - ONE: one step on, one handle less.
        //
        // Release, for what this thread read of the entry under its handle: whoever brings the count
        // to zero acquires it below, before the entry can end.
        let position = self.step::<SHARED>(SEQ - ONE, Ordering::Release);
        let last = position.strong == 0;
        if last {
            // Acquire: reads this thread's own step or a later one, which the release of each drop before it
            // leads up to. (A fence would do as well, but ThreadSanitizer does not know fences.)
            self.state.load(Ordering::Acquire);
        }
        (position, last)
    }

    /// Gives a share of `refs` back. True for the last one: then the entry is the caller's alone, to be ended.
    #[inline]
    #[must_use]
    pub(crate) fn unpin<const SHARED: bool>(&self) -> bool {
        // Acquire: nobody else has a share, so nobody can take one; and the release in every earlier unpin of this entry
        // leads up to this value.
        if self.refs.load(Ordering::Acquire) == 1 {
            return true;
        }
        let before = if SHARED {
            // Release: what this thread read of the entry comes before its end, which the last
            // unpin's acquire load below sees.
            self.refs.fetch_sub(1, Ordering::Release)
        } else {
            let refs = self.refs.load(RELAXED);
            self.refs.store(refs - 1, RELAXED);
            refs
        };
        if before != 1 {
            return false;
        }
        // Acquire: reads what this thread's own unpin left, to which the release in every earlier unpin of
        // this entry leads up. (A load and no fence, as in `drop_strong`.)
        self.refs.load(Ordering::Acquire);
        true
    }

    /// Whether it has a share of a scope.
    #[inline]
    pub(crate) fn has_scope(&self) -> bool {
        !self.scope.load(RELAXED).is_null()
    }

    /// Takes the share of the scope out: the entry ends.
    #[inline]
    pub(crate) fn take_scope(&self) -> *const ScopeNode {
        self.witness.write();
        self.scope.load(RELAXED).cast_const().cast()
    }

    /// Counts an event that its sink did not see, because it was raised inside a sink.
    #[cold]
    pub(crate) fn withhold(&self) {
        // It saturates, with room for as many threads as may stand between the look and the step.
        if self.withheld() < WITHHELD_CAP {
            // Relaxed: a counter. Two threads may count at once even for an object that is not shared,
            // since the sink's thread is not the only one that may look.
            self.withheld.fetch_add(1, RELAXED);
        }
    }

    /// How many of the object's events its sink did not see.
    pub(crate) fn withheld(&self) -> u32 {
        self.withheld.load(RELAXED)
    }

    /// What reports are made of.
    pub(crate) fn details(&self) -> EntryDetails {
        let parent_object = self.parent_object.load(RELAXED);
        EntryDetails {
            object: self.object(),
            position: self.position(),
            allowed: self.flags() & ALLOWED != 0,
            address: scrambled(self.address.load(RELAXED)) as usize,
            align: self.align.load(RELAXED),
            thread: self.thread.load(RELAXED),
            time: self.time.load(RELAXED),
            span: self.span.load(RELAXED),
            stack: self.stack.load(RELAXED),
            scope: self.scope_id.load(RELAXED),
            parent: (parent_object != 0).then(|| (parent_object, self.parent.load(RELAXED))),
        }
    }
}

const _: () = assert!(cfg!(test) || size_of::<Entry>() <= 128);

/// For tests of the limits.
#[cfg(test)]
#[allow(dead_code)] // of the library, not of the models
impl Entry {
    pub(crate) fn set_withheld(&self, withheld: u32) {
        self.withheld.store(withheld, RELAXED);
    }

    pub(crate) fn set_seq(&self, seq: u64) {
        self.state.store(Position { seq, ..self.position() }.state(), RELAXED);
    }

    pub(crate) fn set_strong(&self, strong: u32) {
        self.state.store(Position { strong, ..self.position() }.state(), RELAXED);
    }
}

/// A copy of an entry's fields.
#[derive(Clone, Copy, Debug)]
pub(crate) struct EntryDetails {
    pub(crate) object: Object,
    pub(crate) position: Position,
    pub(crate) allowed: bool,
    pub(crate) address: usize,
    pub(crate) align: u32,
    pub(crate) thread: u32,
    pub(crate) time: u64,
    pub(crate) span: u32,
    pub(crate) stack: u32,
    pub(crate) scope: u32,
    pub(crate) parent: Option<(u64, u64)>,
}
