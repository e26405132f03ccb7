//! An entry, seen by a handle: the steps that a living handle can take, and its end.

use super::{Entry, Ledger, ONE, Pin, RAW, REFS_CAP, SEQ, Step, Ticket, WATCHED, WITHHELD_CAP};
use crate::primitive::Ordering;

/// An entry, seen by one of its handles: what can be done while that is borrowed, and PINNED with it.
pub(crate) struct At<'a, M> {
    pub(super) ledger: &'a Ledger<M>,
    pub(super) entry: &'a Entry<M>,
    pub(super) slot: u32,
}

impl<M> Clone for At<'_, M> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<M> Copy for At<'_, M> {}

impl<M> At<'_, M> {
    /// Looks at the object's metadata.
    #[inline]
    pub(crate) fn read<R>(self, f: impl FnOnce(&M) -> R) -> R {
        self.entry.meta.with(|cell| {
            // SAFETY: PINNED by the ticket or pin that `self` borrows.
            let meta = unsafe { &*cell };
            f(meta.as_ref().expect("a pinned entry has its metadata"))
        })
    }

    /// The object's history so far: its last sequence number and the strong count after it.
    pub(crate) fn now(self) -> Step {
        // Relaxed: a look at one word, exact at some moment between call and return.
        Step::from_state(self.entry.state.load(Ordering::Relaxed))
    }

    #[inline]
    fn made(self, step: Step) -> Option<(Ticket, Step)> {
        Some((Ticket::new(self.slot, step.seq), step))
    }

    /// A strong handle made from a strong one: `clone`. `None` where the object is near a limit.
    #[inline]
    pub(crate) fn clone_strong<const SHARED: bool>(self) -> Option<(Ticket, Step)> {
        if !self.entry.has_room() {
            return self.ledger.refuse();
        }
        self.made(self.entry.step::<SHARED>(SEQ + ONE, Ordering::Relaxed))
    }

    /// A weak handle made from any: `downgrade`, or the clone of a weak one.
    #[inline]
    pub(crate) fn clone_weak<const SHARED: bool>(self) -> Option<(Ticket, Step)> {
        if !self.entry.has_room() || self.entry.refs.load(Ordering::Relaxed) >= REFS_CAP {
            return self.ledger.refuse();
        }
        self.entry.share::<SHARED>();
        self.made(self.entry.step::<SHARED>(SEQ, Ordering::Relaxed))
    }

    /// A strong handle made from one that does not count itself: from a weak one, after std's upgrade
    /// succeeded (or, for an object of `new_cyclic`, when its value is there); from one that came back from a
    /// raw pointer.
    #[inline]
    pub(crate) fn upgrade<const SHARED: bool>(self) -> Option<(Ticket, Step)> {
        if !self.entry.has_room() {
            return self.ledger.refuse();
        }
        let step = self.entry.step::<SHARED>(SEQ + ONE, Ordering::Relaxed);
        if step.strong == 1 {
            // The count rose from 0: this upgrade raced the last drop (which steps before std's), or
            // this is `new_cyclic`, or no handle that was ours is left. The strong side is open again and
            // takes its share anew.
            self.entry.share::<SHARED>();
        }
        self.made(step)
    }

    /// An event that changes no count.
    #[inline]
    pub(crate) fn note<const SHARED: bool>(self) -> Option<Step> {
        if !self.entry.has_room() {
            return self.ledger.refuse();
        }
        Some(self.note_always::<SHARED>())
    }

    /// An event that changes no count, and belongs to one that was told: no limit refuses it.
    pub(crate) fn note_always<const SHARED: bool>(self) -> Step {
        self.entry.step::<SHARED>(SEQ, Ordering::Relaxed)
    }

    /// Keeps the entry beyond the end of the handle.
    #[inline]
    pub(crate) fn pin<const SHARED: bool>(self) -> Pin {
        self.entry.share::<SHARED>();
        Pin { slot: self.slot }
    }

    /// Counts an event that its sink did not see, because it was raised inside a sink.
    pub(crate) fn withhold(self) {
        // It saturates, with room for as many threads as may stand between the look and the step: a carry
        // would reach the flags above it.
        if self.withheld() < WITHHELD_CAP {
            // Relaxed: a counter. Two threads may count at once even for an object that is not shared,
            // since the sink's thread is not the only one that may look.
            self.entry.flags.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Lets the object be asked for by its slot, which this gives, and `name`, without keeping it.
    pub(crate) fn watch(self, name: u64) -> u32 {
        let mut watched = self.ledger.watched.lock();
        watched.insert(self.slot, name);
        // Relaxed: under the lock, and seen by the entry's end as every write under a handle is.
        self.entry.flags.fetch_or(WATCHED, Ordering::Relaxed);
        self.slot
    }

    /// How many of the object's events its sink did not see.
    pub(crate) fn withheld(self) -> u32 {
        self.entry.flags.load(Ordering::Relaxed) & !(RAW | WATCHED)
    }
}

/// A strong handle that is about to end, and its entry.
pub(crate) struct Ending<'a, M> {
    pub(super) ledger: &'a Ledger<M>,
    pub(super) entry: &'a Entry<M>,
    pub(super) ticket: Ticket,
}

impl<M> Ending<'_, M> {
    /// The entry, as long as the handle is there.
    #[inline]
    pub(crate) fn at(&self) -> At<'_, M> {
        At { ledger: self.ledger, entry: self.entry, slot: self.ticket.slot() }
    }

    /// The end of the handle. The last one gives its side's share of `refs` to the caller.
    #[inline]
    pub(crate) fn drop_strong<const SHARED: bool>(self) -> (Step, Option<Pin>) {
        // SEQ - ONE: one step on, one handle less.
        //
        // Release, for the metadata that this thread read under its ticket: whoever brings the count
        // to zero acquires it below, before the entry can end.
        let step = self.entry.step::<SHARED>(SEQ - ONE, Ordering::Release);
        let last = (step.strong == 0).then(|| {
            // Acquire: reads this thread's own step or a later one, which the release of each drop before it
            // leads up to. (A fence would do as well, but ThreadSanitizer does not know fences.)
            self.entry.state.load(Ordering::Acquire);
            self.ticket.into_pin()
        });
        (step, last)
    }
}
