use super::handle_set::HandleSet;
use super::recording::Gap;
#[cfg(feature = "json")]
use super::stretch::Skipped;
use crate::event::{Op, Strength};

/// What is alive of one object: the fold of its events, each with an `H` for the handle that it makes.
///
/// These are the rules by which events become living handles, and there are no others: replays of recordings,
/// timelines and live sinks are built on them.
#[derive(Clone, Debug)]
pub(crate) struct ObjectState<H> {
    handles: HandleSet<H>,
    /// The highest number of an event that was applied.
    highest: u64,
    /// How many events were applied, and how many before those.
    received: u64,
    /// The strong count that the event of the highest number carries.
    strong: u32,
    /// The sum of what events did to the weak count.
    weak: i64,
}

/// What the fold wants to know of an event.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Step {
    pub(crate) op: Op,
    pub(crate) seq: u64,
    pub(crate) handle: u64,
    /// The handle of the same object that the new one was made from.
    pub(crate) from: Option<u64>,
    pub(crate) strong: u32,
}

/// What an event did to a handle that was there.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Change<H> {
    Ended(H),
    /// It became a raw pointer.
    Raw(H),
}

/// The counts of an object after events that are not known one by one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Earlier {
    /// How many events there were.
    pub(crate) events: u64,
    /// The highest number among them.
    pub(crate) highest: u64,
    pub(crate) strong: u32,
    pub(crate) weak: i64,
}

impl Earlier {
    /// Returns whether the event of this number is one of them, as far as is known.
    pub(crate) fn includes(&self, seq: u64) -> bool {
        seq <= self.highest && self.events == self.highest
    }
}

impl<H> Default for ObjectState<H> {
    fn default() -> Self {
        Self::after(Earlier::default())
    }
}

impl<H> ObjectState<H> {
    /// The state of an object that had events already, of whose handles nothing is known.
    pub(crate) fn after(earlier: Earlier) -> Self {
        let Earlier { events, highest, strong, weak } = earlier;
        Self { handles: HandleSet::default(), highest, received: events, strong, weak }
    }

    /// Returns the traced strong count after the event of the highest number.
    pub(crate) fn strong(&self) -> u32 {
        self.strong
    }

    /// Returns how many events there were, with those that are not known one by one.
    pub(crate) fn received(&self) -> u64 {
        self.received
    }

    /// Returns the traced weak count, as far as events are known.
    pub(crate) fn weak(&self) -> u32 {
        u32::try_from(self.weak.max(0)).unwrap_or(u32::MAX)
    }

    /// Returns what is kept of a living handle.
    pub(crate) fn handle_mut(&mut self, number: u64) -> Option<&mut H>
    where
        H: Copy,
    {
        self.handles.get_mut(number)
    }

    /// Returns the living handles.
    pub(crate) fn handles(&self) -> &HandleSet<H> {
        &self.handles
    }
}

impl<H: Copy> ObjectState<H> {
    /// Applies an event. `make` gives what is kept of a new handle, from what is kept of the one that it was
    /// made from; `changed` gets what became of others.
    pub(crate) fn apply(
        &mut self,
        step: &Step,
        make: impl FnOnce(Option<H>) -> H,
        mut changed: impl FnMut(Change<H>),
    ) {
        let Step { op, seq, handle: number, from, strong } = *step;
        self.received = self.received.saturating_add(1);
        self.weak = self.weak.saturating_add(i64::from(op.weak_delta()));
        if seq >= self.highest {
            (self.highest, self.strong) = (seq, strong);
        }
        if let Some(strength) = op.makes() {
            let parent = from.and_then(|from| self.handles.get(from));
            let replaced = match op {
                Op::FromRaw | Op::WeakFromRaw => self.handles.claim(strength, from),
                _ => None,
            };
            self.handles.insert(number, op, strength, make(parent.or(replaced)));
            replaced.into_iter().for_each(|handle| changed(Change::Ended(handle)));
        } else if let Some(strength) = ended_side(op) {
            self.handles.end(number, strength).into_iter().for_each(|h| changed(Change::Ended(h)));
        } else if matches!(op, Op::IntoRaw | Op::WeakIntoRaw | Op::Leak) {
            self.handles.leave(number).into_iter().for_each(|h| changed(Change::Raw(h)));
        }
        if self.is_complete() {
            self.close(self.weak <= 0, changed);
        }
    }

    /// Counts events, up to this number, of handles that were made and ended among them.
    #[cfg(feature = "json")]
    pub(crate) fn skip(&mut self, skipped: &Skipped, last: u64) {
        self.received = self.received.saturating_add(skipped.events);
        if last >= self.highest {
            (self.highest, self.strong) = (last, skipped.strong);
        }
        if self.is_complete() {
            for (side, over) in [
                (Strength::Strong, skipped.ended),
                (Strength::Weak, self.weak.saturating_add(skipped.lowest_weak) <= 0),
            ] {
                if over && self.handles.len(side) > 0 {
                    self.handles.clear(side, |_| {});
                }
            }
        }
        self.weak = self.weak.saturating_add(skipped.weak);
    }

    /// Says that there are events which are not there: see [`pass`](Self::pass).
    pub(crate) fn set_partial(&mut self) {
        self.handles.set_partial();
    }

    /// Counts events that are not there, before the one of this number.
    pub(crate) fn pass(&mut self, gap: &Gap) {
        self.received = self.received.saturating_add(gap.events);
        self.weak = self.weak.saturating_add(gap.weak);
        if gap.before > self.highest {
            (self.highest, self.strong) = (gap.before - 1, gap.strong);
        }
    }

    /// Ends what the counts know to be over, although its own events were lost.
    pub(crate) fn finish(&mut self, changed: impl FnMut(Change<H>)) {
        self.close(self.is_complete() && self.weak <= 0, changed);
    }

    /// Ends handles of which the count says that they are over: those taken from raw pointers as a view, and
    /// forgotten again, have no end of their own.
    fn close(&mut self, no_weak: bool, mut changed: impl FnMut(Change<H>)) {
        for (side, over) in [(Strength::Strong, self.strong == 0), (Strength::Weak, no_weak)] {
            if over && self.handles.len(side) > 0 {
                self.handles.clear(side, |handle| changed(Change::Ended(handle)));
            }
        }
    }

    /// Returns whether every event up to the highest number was applied.
    pub(crate) fn is_complete(&self) -> bool {
        self.received == self.highest
    }

    /// Returns whether nothing more can happen to the object: every event is known, and the counts are 0.
    #[cfg_attr(not(feature = "json"), allow(dead_code))] // the reader has events one by one
    pub(crate) fn is_over(&self) -> bool {
        self.is_complete() && self.strong == 0 && self.weak <= 0
    }
}

/// The side of the handle that `op` ends.
pub(crate) fn ended_side(op: Op) -> Option<Strength> {
    if op.strong_delta() < 0 {
        Some(Strength::Strong)
    } else if op.weak_delta() < 0 {
        Some(Strength::Weak)
    } else {
        None
    }
}
