//! The ledger: what is alive now. An entry for each living traced object, which gives each event its place in the
//! object's history and the strong count right after it; a place for each living handle.
//!
//! ```text
//!  handle ── ticket ──► place ──► entry ──► dispatch (sink, log)
//!                       64 bytes  128 bytes
//! ```
//!
//! A place is written by the thread that makes the handle, and freed by the one that ends it; neither takes a lock nor
//! another read-modify-write, since threads have [magazines](super::slab). Readers take no lock and stop nobody: see
//! [`view`](super::view).
//!
//! # Invariants
//!
//! * **PINNED**: a ticket that is not `returned`, or a share that was taken, keeps `refs` above zero, or the strong
//!   count above zero and with it the strong side's share of `refs`. So while one is borrowed, the entry is its object's.
//! * **VISIBLE**: a place is in use (its generation odd) only while its handle's share pins the entry: it is published
//!   after the step that makes the handle, and hidden before the step that ends it. So what a reader finds in a place and,
//!   by it, in the entry, within one generation of the place, belongs together.
//! * **CLOSED**: an entry is written, but for its counts and flags, only by the thread that took the slot, before it
//!   publishes it, or by the one whose [`unpin`](Entry::unpin) brought `refs` to zero.

use super::departed::Departed;
use super::entry::{Entry, Place, RAW};
use super::local::{self, Local};
use super::paths::Paths;
use super::raw::RawTable;
use super::scope::ScopeNode;
use super::slab::{Slab, hide};
use crate::primitive::{AtomicU32, AtomicU64, Mutex, MutexGuard, Ordering, constructor, statics};

statics! {
    /// The tables of all living traced objects, and of their handles.
    pub(crate) static LEDGER: Ledger = Ledger::new();
}

/// The tables. See the [module](self).
pub(crate) struct Ledger {
    pub(super) entries: Slab<Entry>,
    pub(super) places: Slab<Place>,
    pub(super) paths: Paths,
    raw: Mutex<RawTable>,
    /// How many objects the raw table holds, so that programs without raw pointers take no lock.
    raws: AtomicU32,
    departed: Mutex<Departed>,
    /// How many objects that table holds.
    departures: AtomicU32,
    refused: [AtomicU64; 3],
}

/// What is not there, and counted.
#[derive(Clone, Copy)]
pub(super) enum Refused {
    /// An object for which there was no room.
    Object,
    /// A handle for which there was none.
    Handle,
    /// A handle or an event that an object near a limit did not get.
    Step,
}

impl Ledger {
    constructor! {
        pub(crate) fn new() -> Self {
            Self {
                entries: Slab::new(),
                places: Slab::new(),
                paths: Paths::new(),
                raw: Mutex::new(RawTable::new()),
                raws: AtomicU32::new(0),
                departed: Mutex::new(Departed::new()),
                departures: AtomicU32::new(0),
                refused: [AtomicU64::new(0), AtomicU64::new(0), AtomicU64::new(0)],
            }
        }
    }

    #[inline]
    pub(super) fn take_place(&'static self, local: Option<&Local>) -> Option<&'static Place> {
        match local {
            Some(local) => self.places.take(&local.places),
            None => self.places.take_shared(local::may_wait()),
        }
    }

    #[inline]
    pub(super) fn take_entry(&'static self, local: Option<&Local>) -> Option<&'static Entry> {
        match local {
            Some(local) => self.entries.take(&local.entries),
            None => self.entries.take_shared(local::may_wait()),
        }
    }

    /// Frees a place. Before the step that ends its handle: see VISIBLE.
    #[inline]
    pub(super) fn free_place(&self, local: Option<&Local>, place: &'static Place) {
        hide(place);
        self.put_place(local, place);
    }

    #[inline]
    pub(super) fn put_place(&self, local: Option<&Local>, place: &'static Place) {
        match local {
            Some(local) => self.places.put(&local.places, place),
            None => self.places.put_shared(place),
        }
    }

    /// Frees an entry that the caller has alone, and returns its share of the scope, which the caller drops where
    /// other code may run.
    pub(super) fn free_entry(
        &self,
        local: Option<&Local>,
        entry: &'static Entry,
    ) -> *const ScopeNode {
        if entry.flags() & RAW != 0 {
            // A handler that interrupted the table's user leaves the object there: the table knows it by its number, and does
            // not take the entry's next one for it.
            if let Some(mut raw) = self.lock_raw(local) {
                raw.remove(entry);
                self.count_raws(&raw);
            }
        }
        let scope = entry.take_scope();
        hide(entry);
        self.put_entry(local, entry);
        scope
    }

    /// The same where there is nothing else to give back and nothing to wait for. False where there is, and nothing is done.
    #[inline(always)]
    pub(super) fn free_entry_ready(&self, local: &Local, entry: &'static Entry) -> bool {
        if entry.flags() & RAW != 0 || entry.has_scope() || local.entries.is_full() {
            return false;
        }
        entry.take_scope();
        hide(entry);
        local.entries.push(entry);
        true
    }

    #[inline]
    pub(super) fn put_entry(&self, local: Option<&Local>, entry: &'static Entry) {
        match local {
            Some(local) => self.entries.put(&local.entries, entry),
            None => self.entries.put_shared(entry),
        }
    }

    /// The table of raw pointers. `None` in a signal's handler, where it may be in use by what the handler interrupted.
    pub(super) fn lock_raw(&self, local: Option<&Local>) -> Option<MutexGuard<'_, RawTable>> {
        if local.is_some() || local::may_wait() {
            Some(self.raw.lock())
        } else {
            self.raw.try_lock()
        }
    }

    /// Notes how many objects are in the table.
    ///
    /// Relaxed where it is read: whoever has a raw pointer got it from the thread that put it in the
    /// table, after it did.
    pub(super) fn count_raws(&self, raw: &RawTable) {
        self.raws.store(raw.len() as u32, Ordering::Relaxed);
    }

    #[inline]
    pub(super) fn no_raws(&self) -> bool {
        self.raws.load(Ordering::Relaxed) == 0
    }

    /// The table of objects whose handles became std's pointers, as [`lock_raw`](Self::lock_raw).
    pub(super) fn lock_departed(&self, local: Option<&Local>) -> Option<MutexGuard<'_, Departed>> {
        if local.is_some() || local::may_wait() {
            Some(self.departed.lock())
        } else {
            self.departed.try_lock()
        }
    }

    /// Notes how many objects are in that table. Relaxed where it is read, as [`count_raws`](Self::count_raws) is.
    pub(super) fn count_departed(&self, departed: &Departed) {
        self.departures.store(departed.len() as u32, Ordering::Relaxed);
    }

    #[inline]
    pub(super) fn none_departed(&self) -> bool {
        self.departures.load(Ordering::Relaxed) == 0
    }

    #[cold]
    pub(super) fn refuse(&self, what: Refused) {
        // Relaxed: a counter.
        self.refused[what as usize].fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn refused(&self, what: Refused) -> u64 {
        self.refused[what as usize].load(Ordering::Relaxed)
    }
}
