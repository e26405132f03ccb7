//! The ledger: one entry per living traced object, which gives each event its place in the
//! object's history and the strong count right after it.
//!
//! ```text
//!  Ticket   u64   slot:24 | back:1 | birth:39      0 never occurs: births start at 1
//!
//!  Entry          one cache line
//!   state   u64   seq:40  | strong:24       one read-modify-write gives order and count
//!   refs    u32   weak tickets + 1 while the strong side is open
//!   flags   u32   raw:1 | watched:1 | withheld:30
//!   meta          written only while refs == 0
//! ```
//!
//! A slot's sequence goes on when the slot is used again, so no ticket value ever occurs twice. `back` marks
//! the ticket of a handle that came back from a raw pointer, which pins nothing: see [`raw`].
//!
//! # Invariants
//!
//! * **PINNED**: a ticket that is not `back`, or a [`Pin`], keeps `refs` above zero, or the strong count
//!   above zero and with it the strong side's share of `refs`. So while one is borrowed, the entry's
//!   metadata is there and nobody writes it. ([`At`] is made of nothing else.)
//! * **WATCHED**: an entry that is in the table of watched ones stays as it is for as long as that table's lock
//!   is held: its end has to take it out first.
//! * **CLOSED**: metadata is written only by the thread that took the slot from the free list, or
//!   by the one whose [`Ledger::unpin`] brought `refs` to zero; no ticket of the slot exists then.
//!
//! This file knows no sink and no pointer: its metadata `M` is opaque, and the loom models include
//! it by path with a metadata type of their own.

use crate::primitive::{
    AtomicU32, AtomicU64, CHUNK, CHUNKS, Mutex, Ordering, Quiet, UnsafeCell, constructor,
};
use std::collections::BTreeMap;
use std::num::NonZeroU64;

mod at;
mod raw;

pub(crate) use self::at::{At, Ending};
use self::raw::RawTable;
pub(crate) use self::raw::Side;

const STRONG_BITS: u32 = 24;
const STRONG_MASK: u64 = (1 << STRONG_BITS) - 1;
const BIRTH_BITS: u32 = 40;
/// In a ticket: the handle came back from a raw pointer.
const BACK: u64 = 1 << (BIRTH_BITS - 1);
const BIRTH_MASK: u64 = BACK - 1;

/// One step of the sequence, in the units of `Entry::state`.
const SEQ: u64 = 1 << STRONG_BITS;
/// One strong handle, in the units of `Entry::state`.
const ONE: u64 = 1;

// Limits leave room for what may still come past them: a thread may stand between its check and its
// step (so many threads do not exist), and each handle that exists may still be dropped.
const STRONG_CAP: u64 = (1 << STRONG_BITS) - (1 << 16);
const REFS_CAP: u32 = u32::MAX - (1 << 16);
const SEQ_CAP: u64 = BACK - (1 << 34);
/// A slot whose sequence has come this far is not used for a further object.
const RETIRE: u64 = 1 << 38;

/// The object is in the table of raw pointers.
const RAW: u32 = 1 << 31;
/// The object is in the table of watched ones.
const WATCHED: u32 = 1 << 30;
/// Withheld events are counted below the flags, up to here.
const WITHHELD_CAP: u32 = WATCHED - (1 << 16);

/// What identifies a traced handle: a slot of the ledger, and the sequence number at its birth.
///
/// Only the ledger makes tickets, and only by its operations do they end, so that holding one is
/// the proof that PINNED asks for. Dropping one without such an operation leaves its entry open
/// for good, which is what `mem::forget` of a handle means.
#[derive(Debug, PartialEq, Eq)]
#[must_use]
pub(crate) struct Ticket(NonZeroU64);

impl Ticket {
    #[inline]
    fn new(slot: u32, birth: u64) -> Self {
        let value = u64::from(slot) << BIRTH_BITS | birth & (BIRTH_MASK | BACK);
        Self(NonZeroU64::new(value).expect("births start at 1"))
    }

    /// Whether the handle came back from a raw pointer: then the ticket alone pins nothing.
    #[inline]
    pub(crate) fn is_back(&self) -> bool {
        self.0.get() & BACK != 0
    }

    #[inline]
    fn slot(&self) -> u32 {
        (self.0.get() >> BIRTH_BITS) as u32
    }

    /// The sequence number at which the handle was born.
    #[inline]
    pub(crate) fn birth(&self) -> u64 {
        self.0.get() & BIRTH_MASK
    }

    /// A weak ticket's share of `refs`, as what it is.
    #[inline]
    pub(crate) fn into_pin(self) -> Pin {
        Pin { slot: self.slot() }
    }
}

/// One share of an entry's `refs`. It has to end in [`Ledger::unpin`].
#[derive(Debug)]
#[must_use = "an entry that is not unpinned stays open for good"]
pub(crate) struct Pin {
    slot: u32,
}

/// An event's place in its object's history, and the strong count right after it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Step {
    pub(crate) seq: u64,
    pub(crate) strong: u32,
}

impl Step {
    #[inline]
    fn from_state(state: u64) -> Self {
        Self { seq: state >> STRONG_BITS, strong: (state & STRONG_MASK) as u32 }
    }
}

#[repr(align(64))]
struct Entry<M> {
    state: AtomicU64,
    refs: AtomicU32,
    flags: AtomicU32,
    meta: UnsafeCell<Option<M>>,
}

impl<M> Entry<M> {
    fn vacant() -> Self {
        Self {
            state: AtomicU64::new(0),
            refs: AtomicU32::new(0),
            flags: AtomicU32::new(0),
            meta: UnsafeCell::new(None),
        }
    }

    /// Adds to the state: the event's one read-modify-write.
    ///
    /// An object whose owners cannot be concurrent (`SHARED` false: `Rc` and `Box`) does with a load
    /// and a store. Relaxed in both: the value is compared with nothing but itself, and what has
    /// to happen before an entry's end is ordered in [`Ledger::drop_strong`] and [`Ledger::unpin`].
    #[inline]
    fn step<const SHARED: bool>(&self, add: u64, order: Ordering) -> Step {
        Step::from_state(if SHARED {
            self.state.fetch_add(add, order).wrapping_add(add)
        } else {
            let state = self.state.load(Ordering::Relaxed).wrapping_add(add);
            self.state.store(state, Ordering::Relaxed);
            state
        })
    }

    /// Takes one more share of `refs`. Relaxed, as std's clone of an `Arc`: the caller's own share
    /// keeps the entry, and a new share is passed on only by what the caller does later.
    #[inline]
    fn share<const SHARED: bool>(&self) {
        if SHARED {
            self.refs.fetch_add(1, Ordering::Relaxed);
        } else {
            self.refs.store(self.refs.load(Ordering::Relaxed) + 1, Ordering::Relaxed);
        }
    }

    /// Whether the object may have one more handle or event.
    #[inline]
    fn has_room(&self) -> bool {
        // Relaxed: a limit with a margin, not a promise.
        let state = self.state.load(Ordering::Relaxed);
        state < SEQ_CAP << STRONG_BITS && state & STRONG_MASK < STRONG_CAP
    }
}

/// Slots that no object uses.
struct Free {
    list: Vec<u32>,
    /// Slots from here on were never used.
    fresh: u32,
}

/// The table of entries. See the [module](self).
pub(crate) struct Ledger<M> {
    chunks: [Quiet<Box<[Entry<M>; CHUNK]>>; CHUNKS],
    free: Mutex<Free>,
    raw: Mutex<RawTable>,
    /// How many objects the raw table holds, so that programs without raw pointers take no lock.
    raws: AtomicU32,
    /// Which object is watched in a slot, by what the watcher calls it.
    watched: Mutex<BTreeMap<u32, u64>>,
    /// Births that found no free slot.
    refused_births: AtomicU64,
    /// Handles and events that an object near a limit did not get.
    refused_steps: AtomicU64,
}

// SAFETY: the entries' cells are read only under PINNED and written only under CLOSED, so a shared
// ledger hands out `&M` to several threads (`M: Sync`) and moves an `M` to the thread that ends it
// (`M: Send`).
unsafe impl<M: Send + Sync> Sync for Ledger<M> {}

impl<M> Ledger<M> {
    constructor! {
        pub(crate) fn new() -> Self {
            Self {
                chunks: [const { Quiet::new() }; CHUNKS],
                free: Mutex::new(Free { list: Vec::new(), fresh: 0 }),
                raw: Mutex::new(RawTable::new()),
                raws: AtomicU32::new(0),
                watched: Mutex::new(BTreeMap::new()),
                refused_births: AtomicU64::new(0),
                refused_steps: AtomicU64::new(0),
            }
        }
    }

    #[inline]
    fn entry(&self, slot: u32) -> &Entry<M> {
        let chunk = self.chunks[slot as usize / CHUNK].get().expect("a ticket's chunk exists");
        &chunk[slot as usize % CHUNK]
    }

    fn take_slot(&self) -> Option<u32> {
        let mut free = self.free.lock();
        if let Some(slot) = free.list.pop() {
            return Some(slot);
        }
        let slot = free.fresh;
        if slot as usize >= CHUNK * CHUNKS {
            return None;
        }
        free.fresh += 1;
        drop(free);
        self.chunks[slot as usize / CHUNK].get_or_init(|| {
            // By way of a `Vec`: an array of a whole chunk has no place on the stack.
            let entries: Box<[Entry<M>]> = (0..CHUNK).map(|_| Entry::vacant()).collect();
            entries.try_into().unwrap_or_else(|_| unreachable!("a chunk has {CHUNK} entries"))
        });
        Some(slot)
    }

    fn open(&self, meta: impl FnOnce(u64) -> M, add: u64) -> Option<(Ticket, Step)> {
        let Some(slot) = self.take_slot() else {
            self.refused_births.fetch_add(1, Ordering::Relaxed);
            return None;
        };
        let entry = self.entry(slot);
        // Relaxed: no ticket exists, so nobody else steps this entry, and what its last object's end
        // wrote came to this thread with the slot, through the free list's lock.
        let meta = meta((entry.state.load(Ordering::Relaxed) >> STRONG_BITS) + 1);
        // SAFETY: CLOSED: this thread has just taken the slot from the free list.
        entry.meta.with_mut(|cell| unsafe { *cell = Some(meta) });
        // Relaxed: the ticket reaches another thread only by what orders the handle's own move there.
        entry.refs.store(1, Ordering::Relaxed);
        let step = entry.step::<false>(add, Ordering::Relaxed);
        Some((Ticket::new(slot, step.seq), step))
    }

    /// Opens an entry for a new object with one strong handle. The metadata is made from the sequence
    /// number of the object's first event. `None` where the ledger is full.
    pub(crate) fn birth(&self, meta: impl FnOnce(u64) -> M) -> Option<(Ticket, Step)> {
        self.open(meta, SEQ + ONE)
    }

    /// Opens an entry for an object that `new_cyclic` is about to make: one weak handle, no strong.
    pub(crate) fn birth_cyclic(&self, meta: impl FnOnce(u64) -> M) -> Option<(Ticket, Step)> {
        self.open(meta, SEQ)
    }

    /// Does something with the entry of a handle. `None` where that handle came back from a raw pointer and
    /// the object is gone, as far as its traced handles go.
    #[inline]
    pub(crate) fn with<const SHARED: bool, R>(
        &self,
        ticket: &Ticket,
        f: impl FnOnce(At<'_, M>) -> R,
    ) -> Option<R> {
        if ticket.is_back() {
            let pin = self.pin_back(ticket)?;
            let result = f(self.at_pin(&pin));
            drop(self.unpin::<SHARED>(pin));
            return Some(result);
        }
        Some(f(self.at(ticket)))
    }

    /// The entry of a handle that did not come back from a raw pointer.
    #[inline]
    pub(crate) fn at<'a>(&'a self, ticket: &'a Ticket) -> At<'a, M> {
        debug_assert!(!ticket.is_back(), "PINNED: {ticket:?} pins nothing");
        At { ledger: self, entry: self.entry(ticket.slot()), slot: ticket.slot() }
    }

    /// The entry of an object whose handle has ended, under a pin.
    pub(crate) fn at_pin<'a>(&'a self, pin: &'a Pin) -> At<'a, M> {
        At { ledger: self, entry: self.entry(pin.slot), slot: pin.slot }
    }

    #[cold]
    fn refuse<R>(&self) -> Option<R> {
        self.refused_steps.fetch_add(1, Ordering::Relaxed);
        None
    }

    /// The entry of a handle that is about to end.
    #[inline]
    pub(crate) fn ending(&self, ticket: Ticket) -> Ending<'_, M> {
        Ending { ledger: self, entry: self.entry(ticket.slot()), ticket }
    }

    /// The step of a weak handle's end. Its share goes afterwards, by [`Ledger::unpin`].
    #[inline]
    pub(crate) fn drop_weak<const SHARED: bool>(&self, ticket: &Ticket) -> Step {
        self.entry(ticket.slot()).step::<SHARED>(SEQ, Ordering::Relaxed)
    }

    /// Gives a share of `refs` back. With the last one the entry ends: its slot is free again, and
    /// the metadata is the caller's, who drops it (it may own a sink, and a sink's drop is user code).
    #[inline]
    pub(crate) fn unpin<const SHARED: bool>(&self, pin: Pin) -> Option<M> {
        let entry = self.entry(pin.slot);
        let before = if SHARED {
            // Release: what this thread read of the metadata comes before its end, which the last
            // unpin's acquire load below sees.
            entry.refs.fetch_sub(1, Ordering::Release)
        } else {
            let refs = entry.refs.load(Ordering::Relaxed);
            entry.refs.store(refs - 1, Ordering::Relaxed);
            refs
        };
        (before == 1).then(|| self.end(pin.slot)).flatten()
    }

    fn end(&self, slot: u32) -> Option<M> {
        let entry = self.entry(slot);
        // Acquire: reads what this thread's own unpin left, to which the release in every earlier unpin of
        // this entry leads up. (A load and no fence, as in `drop_strong`.)
        entry.refs.load(Ordering::Acquire);
        // Relaxed: the flag was set under a share of `refs` that has been given back since.
        if entry.flags.load(Ordering::Relaxed) & RAW != 0 {
            self.leave_raw_table(slot);
        }
        if entry.flags.load(Ordering::Relaxed) & WATCHED != 0 {
            self.watched.lock().remove(&slot);
        }
        entry.flags.store(0, Ordering::Relaxed);
        // SAFETY: CLOSED: this unpin brought `refs` to zero, so no ticket is left, and the slot is
        // not yet on the free list.
        let meta = entry.meta.with_mut(|cell| unsafe { (*cell).take() });
        // A slot near its cap is retired: its next tickets would repeat old ones.
        if entry.state.load(Ordering::Relaxed) >> STRONG_BITS < RETIRE {
            self.free.lock().list.push(slot);
        }
        meta
    }

    /// A handle leaves as the raw pointer `address`: its place in the count waits in the table. `adopted`:
    /// the object came from std's pointer.
    pub(crate) fn go_raw(&self, ticket: Ticket, side: Side, address: usize, adopted: bool) {
        debug_assert!(!ticket.is_back(), "a handle that came back is settled first");
        let mut raw = self.raw.lock();
        raw.leave(ticket.slot(), ticket.birth(), side, address, adopted);
        self.entry(ticket.slot()).flags.fetch_or(RAW, Ordering::Relaxed);
        self.count_raws(&raw);
    }

    /// Relaxed where it is read: whoever has a raw pointer got it from the thread that put it in the
    /// table, after it did.
    fn count_raws(&self, raw: &RawTable) {
        self.raws.store(raw.len() as u32, Ordering::Relaxed);
    }

    fn no_raws(&self) -> bool {
        self.raws.load(Ordering::Relaxed) == 0
    }

    /// Keeps an entry that the raw table knows, if it is open yet: under the table's lock, which the end
    /// of the entry has to take before it takes the metadata.
    fn pin_raw(&self, slot: u32) -> Option<Pin> {
        // Relaxed: the metadata was there when the object came into the table, under the lock. A share
        // is added to others, so the entry's end, which needs them all, sees this one's too.
        let more = |refs: u32| (refs > 0).then_some(refs + 1);
        let refs = &self.entry(slot).refs;
        let open = refs.fetch_update(Ordering::Relaxed, Ordering::Relaxed, more).is_ok();
        open.then_some(Pin { slot })
    }

    #[cold]
    fn pin_back(&self, ticket: &Ticket) -> Option<Pin> {
        let raw = self.raw.lock();
        if raw.knows(ticket.slot(), ticket.birth()) { self.pin_raw(ticket.slot()) } else { None }
    }

    /// A handle comes back from the raw pointer `address`: the entry, pinned, the birth of the handle that
    /// left there, the new ticket, and its step (the count stays, as in std). `None` where the address is
    /// not known: the handle is untraced.
    pub(crate) fn come_back<const SHARED: bool>(
        &self,
        side: Side,
        address: usize,
    ) -> Option<(Pin, u64, Ticket, Step)> {
        if self.no_raws() {
            return None;
        }
        let (pin, left) = {
            // Found and noted as one: else two threads could both be given the one that waits.
            let mut raw = self.raw.lock();
            let (slot, left) = raw.find(address, side)?;
            let pin = self.pin_raw(slot)?;
            raw.came_back(slot, side);
            (pin, left)
        };
        let Some(step) = self.at_pin(&pin).note::<SHARED>() else {
            drop(self.unpin::<SHARED>(pin));
            return None;
        };
        let ticket = Ticket::new(pin.slot, step.seq | BACK);
        Some((pin, left, ticket, step))
    }

    /// The entry of the object at `address`, pinned, and the birth of the handle that left there last.
    pub(crate) fn pin_address(&self, side: Side, address: usize) -> Option<(Pin, u64)> {
        if self.no_raws() {
            return None;
        }
        let raw = self.raw.lock();
        let (slot, left) = raw.find(address, side)?;
        Some((self.pin_raw(slot)?, left))
    }

    /// The ticket of a handle that is about to end, or to leave again. One that came back from a raw
    /// pointer takes the place in the count of one that waits; `None` where none does.
    #[inline]
    pub(crate) fn settle(&self, ticket: Ticket, side: Side) -> Option<Ticket> {
        if !ticket.is_back() {
            return Some(ticket);
        }
        let settled = self.raw.lock().settle(ticket.slot(), ticket.birth(), side);
        settled.then(|| Ticket::new(ticket.slot(), ticket.birth()))
    }

    /// An untraced handle leaves as `address`: what the table says of that address is old.
    pub(crate) fn forget_address(&self, address: usize) {
        if !self.no_raws() {
            let mut raw = self.raw.lock();
            raw.forget(address);
            self.count_raws(&raw);
        }
    }

    fn leave_raw_table(&self, slot: u32) {
        let mut raw = self.raw.lock();
        raw.remove(slot);
        self.count_raws(&raw);
    }

    /// Looks at an object that was [watched](At::watch) as `name`: its metadata, its history so far. `None` once
    /// its entry has ended.
    pub(crate) fn watched<R>(
        &self,
        slot: u32,
        name: u64,
        f: impl FnOnce(&M, Step) -> R,
    ) -> Option<R> {
        let watched = self.watched.lock();
        if watched.get(&slot) != Some(&name) {
            return None;
        }
        let entry = self.entry(slot);
        entry.meta.with(|cell| {
            // SAFETY: WATCHED: it is in the table, whose lock is held until this returns.
            let meta = unsafe { &*cell };
            // Relaxed: a look at one word.
            let step = Step::from_state(entry.state.load(Ordering::Relaxed));
            meta.as_ref().map(|meta| f(meta, step))
        })
    }

    /// Births that found the ledger full, and steps refused to objects near a limit.
    pub(crate) fn refused(&self) -> (u64, u64) {
        (self.refused_births.load(Ordering::Relaxed), self.refused_steps.load(Ordering::Relaxed))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::primitive::model;

    /// A ledger with one object whose sequence and count are set, and a ticket of it.
    fn at(seq: u64, strong: u64) -> (Ledger<&'static str>, Ticket) {
        let ledger = Ledger::new();
        let (ticket, _) = ledger.birth(|first| if first == 1 { "first" } else { "?" }).unwrap();
        let state = &ledger.entry(ticket.slot()).state;
        state.store(seq << STRONG_BITS | strong, Ordering::Relaxed);
        (ledger, ticket)
    }

    #[test]
    fn a_strong_count_at_its_cap_refuses_handles_and_counts_them() {
        model(|| {
            let (ledger, ticket) = at(5, STRONG_CAP - 1);
            let (last, step) = ledger.at(&ticket).clone_strong::<true>().unwrap();
            assert_eq!((step.seq, u64::from(step.strong)), (6, STRONG_CAP));
            assert!(ledger.at(&ticket).clone_strong::<true>().is_none());
            assert!(ledger.at(&ticket).upgrade::<true>().is_none());
            assert_eq!(ledger.refused(), (0, 2));
            // What exists can still go, and then there is room again.
            let (step, end) = ledger.ending(last).drop_strong::<true>();
            assert_eq!((u64::from(step.strong), end.is_none()), (STRONG_CAP - 1, true));
            assert!(ledger.at(&ticket).clone_strong::<true>().is_some());
        });
    }

    #[test]
    fn a_history_at_its_cap_refuses_events_but_no_end() {
        model(|| {
            let (ledger, ticket) = at(SEQ_CAP - 1, 1);
            let (last, step) = ledger.at(&ticket).clone_strong::<false>().unwrap();
            assert_eq!((step.seq, last.birth()), (SEQ_CAP, SEQ_CAP));
            assert!(ledger.at(&ticket).clone_strong::<false>().is_none());
            assert!(ledger.at(&ticket).clone_weak::<false>().is_none());
            assert!(ledger.at(&ticket).note::<false>().is_none());
            assert_eq!(ledger.refused(), (0, 3));
            assert_eq!(ledger.ending(last).drop_strong::<false>().0.strong, 1);
            let (step, end) = ledger.ending(ticket).drop_strong::<false>();
            assert_eq!((step.seq, step.strong), (SEQ_CAP + 2, 0));
            assert_eq!(ledger.unpin::<false>(end.unwrap()), Some("first"));
            // The slot is retired: the next object gets another.
            let (next, _) = ledger.birth(|_| "next").unwrap();
            assert_eq!((next.slot(), next.birth()), (1, 1));
        });
    }

    #[test]
    fn a_billion_events_later_tickets_and_counts_are_right() {
        model(|| {
            let (ledger, ticket) = at(1_000_000_000, 3);
            let (clone, step) = ledger.at(&ticket).clone_strong::<true>().unwrap();
            assert_eq!((step.seq, step.strong), (1_000_000_001, 4));
            assert_eq!((clone.slot(), clone.birth()), (ticket.slot(), 1_000_000_001));
        });
    }

    #[test]
    fn withheld_events_never_carry_into_the_flags() {
        model(|| {
            let (ledger, ticket) = at(1, 1);
            let at = ledger.at(&ticket);
            at.watch(1);
            at.entry.flags.fetch_or(WITHHELD_CAP - 1, Ordering::Relaxed);
            (0..3).for_each(|_| at.withhold());
            assert_eq!(at.withheld(), WITHHELD_CAP);
            assert_ne!(at.entry.flags.load(Ordering::Relaxed) & WATCHED, 0);
            let (_, end) = ledger.ending(ticket).drop_strong::<false>();
            ledger.unpin::<false>(end.unwrap());
            assert!(ledger.watched.lock().is_empty());
        });
    }

    #[test]
    fn a_full_ledger_refuses_births_and_counts_them() {
        model(|| {
            let (ledger, ticket) = at(1, 1);
            ledger.free.lock().fresh = (CHUNK * CHUNKS) as u32;
            assert!(ledger.birth(|_| "too many").is_none());
            assert_eq!(ledger.refused(), (1, 0));
            // A slot that comes free is used again, its sequence going on.
            let (_, end) = ledger.ending(ticket).drop_strong::<false>();
            ledger.unpin::<false>(end.unwrap());
            let (again, step) =
                ledger.birth(|first| if first == 3 { "again" } else { "?" }).unwrap();
            assert_eq!((again.slot(), again.birth(), step.strong), (0, 3, 1));
            ledger.at(&again).read(|meta| assert_eq!(*meta, "again"));
        });
    }
}
