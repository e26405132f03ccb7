//! What is known of one object whose events are given up: its counts, and which events made the handles that are alive.
//!
//! The birth is kept as long as the object is there, for its line, thread and time; with the end of the first handle, if that has
//! ended. Of any other living handle that which made it is kept. One that came from a raw pointer is told as if it had been away
//! once: how its place was made, how that left, and how it came back.
//!
//! Blocks of several threads are given up in another order than the events happened: the end of a handle may come before
//! its beginning, and is kept until then.

use super::super::entries::Entry;
use crate::event::{Op, Strength};
use crate::model::format::EntryKind;
use crate::model::{HandleSet, ended_side};
use crate::runtime::log::Words;
use std::collections::BTreeMap;

/// An event, as it is recorded.
pub(super) struct Event {
    pub(super) op: Op,
    pub(super) object: u64,
    pub(super) seq: u64,
    pub(super) record: Words,
    /// The second slot of a birth.
    pub(super) birth: Option<Words>,
    pub(super) thread: u32,
    pub(super) stack: u32,
}

/// An object, at the end of its events that are gone.
#[derive(Default)]
pub(super) struct Known {
    /// How many events there were, and the highest number among them.
    received: u64,
    highest: u64,
    strong: i64,
    weak: i64,
    /// Of these, how many are kept one by one, and what those did to the weak count.
    kept: u64,
    kept_weak: i64,
    /// The latest label, after the number of its event; zeros for none.
    label: (u64, u64),
    handles: HandleSet<Held>,
    /// The block that has its birth; 0 while it is not written.
    birth: Option<u64>,
    rare: Option<Box<Rare>>,
    /// The block that has the latest entry of its counts, by its place in the order; 0 for none.
    pub(super) block: u64,
    /// Slots of its events that are kept.
    slots: usize,
    /// Some of its events are in the block that is being given up.
    pub(super) is_touched: bool,
}

/// What is known of a living handle.
#[derive(Clone, Copy)]
struct Held {
    /// The event that made it; or that made the first of the handles whose place it took, from raw pointers.
    root: u64,
    /// The block that has this event, unless it is the birth or has been a raw pointer.
    block: u64,
    /// What it did to the weak count.
    weak: i8,
}

/// What few objects have.
#[derive(Default)]
struct Rare {
    /// Other events that are kept, each with the block that has it.
    events: BTreeMap<u64, u64>,
    /// By the root of a handle, how it was away.
    away: BTreeMap<u64, Away>,
    /// Of handles whose beginning has not come yet, what has.
    early: BTreeMap<u64, Early>,
    allowed: bool,
}

/// The events of a handle that was a raw pointer, or is one; 0 for none.
#[derive(Clone, Copy, Default)]
struct Away {
    left: u64,
    back: u64,
    left_again: u64,
}

#[derive(Clone, Copy, Default)]
struct Early {
    left: u64,
    end: u64,
    /// What its end did to the weak count.
    weak: i8,
    /// Another handle took its place, from the raw pointer that it has not become yet.
    is_claimed: bool,
}

/// Handles whose ends are kept before their beginnings. Only these are in blocks that are not given up yet, of which few are much
/// older than the one that is.
const MOST_EARLY: usize = 1 << 12;

/// The handle's number in a record's second word; or that of the one that it was made from.
const HANDLE: u64 = 0xff_ffff_ffff;

impl Event {
    /// The handle that it happened to, or from which it made one.
    fn number(&self) -> u64 {
        self.record[1] & HANDLE
    }

    fn set_op(&mut self, op: Op) {
        self.op = op;
        self.record[1] = self.record[1] << 8 >> 8 | (op as u64) << 56;
    }

    fn set_number(&mut self, number: u64) {
        self.record[1] = self.record[1] & !HANDLE | number;
    }

    /// Its record.
    pub(super) fn words(&self) -> Vec<Words> {
        std::iter::once(self.record).chain(self.birth).collect()
    }

    /// How many slots the entries can take at most that it leads to, beside those of the object itself.
    pub(super) fn most_slots(&self, has_rare: bool) -> usize {
        match self.op {
            Op::UpgradeFailed | Op::IntoInner | Op::Label => 0,
            // It is kept, and those of a handle that was away are gone; or it is not, and the handle's beginning is gone.
            _ => KEPT_SLOTS + usize::from(self.birth.is_some()) + if has_rare { 3 } else { 0 },
        }
    }
}

impl Known {
    /// Slots of an entry of its counts.
    pub(super) const SLOTS: usize = 2;

    /// How many slots the entries can take at most to which no event of its own leads: its counts, and that those handles are
    /// gone that are more than the counts.
    pub(super) fn most_slots(&self) -> usize {
        let more = |side, count: i64| {
            self.handles.len(side).saturating_sub(usize::try_from(count).unwrap_or(0))
        };
        let more = more(Strength::Strong, self.strong) + more(Strength::Weak, self.weak);
        Self::SLOTS + 4 * more
    }

    /// Whether it has handles that were away, or whose beginning has not come.
    pub(super) fn has_rare(&self) -> bool {
        self.rare.as_ref().is_some_and(|rare| !rare.away.is_empty() || !rare.early.is_empty())
    }

    /// Applies an event. Returns whether it is kept; `gone` gets the numbers of those in the file that are not kept any more.
    pub(super) fn follow(&mut self, event: &mut Event, gone: &mut Vec<u64>) -> bool {
        let Event { op, seq, .. } = *event;
        self.received += 1;
        // Blocks of several threads go in another order than the events happened, and some that are older may be there
        // yet: the latest event says what the strong count was, whatever is missing. Of the weak one there is the sum.
        if seq >= self.highest {
            (self.highest, self.strong) = (seq, (event.record[0] & 0xff_ffff) as i64);
        }
        self.weak += i64::from(op.weak_delta());
        if op == Op::Label {
            self.label = (seq, event.record[3]).max(self.label);
        }
        let is_kept = if let Some(side) = op.makes() {
            self.make(event, side, gone);
            true
        } else if let Some(side) = ended_side(op) {
            self.end(event, side, gone)
        } else if matches!(op, Op::IntoRaw | Op::WeakIntoRaw | Op::Leak) {
            self.leave(event, gone)
        } else {
            op == Op::Allow && self.allow(seq)
        };
        if self.received == self.highest {
            self.close(gone);
        }
        is_kept
    }

    fn rare(&mut self) -> &mut Rare {
        self.rare.get_or_insert_default()
    }

    /// Keeps an event that is not the beginning of a handle.
    fn keep(&mut self, seq: u64, weak: i8) {
        self.kept += 1;
        self.kept_weak += i64::from(weak);
        self.rare().events.insert(seq, 0);
    }

    /// Keeps an event no longer, whose block is given.
    fn let_go(&mut self, seq: u64, block: u64, weak: i8, gone: &mut Vec<u64>) {
        self.kept -= 1;
        self.kept_weak -= i64::from(weak);
        if block != 0 {
            self.slots -= KEPT_SLOTS;
            gone.push(seq);
        }
    }

    /// The same, of one that is not the beginning of a handle; 0 for none.
    fn let_other_go(&mut self, seq: u64, weak: i8, gone: &mut Vec<u64>) {
        let block = self.rare.as_mut().and_then(|rare| rare.events.remove(&seq));
        if let Some(block) = block {
            self.let_go(seq, block, weak, gone);
        }
    }

    fn make(&mut self, event: &mut Event, side: Strength, gone: &mut Vec<u64>) {
        let Event { op, seq, .. } = *event;
        let mut held = Held { root: seq, block: 0, weak: op.weak_delta() };
        let replaced = match op {
            Op::FromRaw | Op::WeakFromRaw => {
                let named = event.number();
                match named == 0 || self.handles.is_away(named, side) || !self.claim_early(named) {
                    true => self.handles.claim(side, (named != 0).then_some(named)),
                    false => None,
                }
            }
            _ => None,
        };
        if let Some(replaced) = replaced {
            let rare = self.rare();
            let away = rare.away.entry(replaced.root).or_default();
            let before = std::mem::replace(away, Away { back: seq, left_again: 0, ..*away });
            if before.back == 0 && replaced.root != 1 {
                rare.events.insert(replaced.root, replaced.block);
            }
            self.let_other_go(before.back, 0, gone);
            self.let_other_go(before.left_again, 0, gone);
            self.keep(seq, 0);
            event.set_number(replaced.root);
            held = replaced;
        } else {
            self.kept += 1;
            self.kept_weak += i64::from(held.weak);
            if seq == 1 {
                self.birth = Some(0);
            }
        }
        self.handles.insert(seq, op, side, held);
        if let Some(early) = self.rare.as_mut().and_then(|rare| rare.early.remove(&seq)) {
            self.catch_up(seq, side, early, gone);
        }
    }

    /// Applies what came of a handle before its beginning.
    fn catch_up(&mut self, number: u64, side: Strength, early: Early, gone: &mut Vec<u64>) {
        if early.left != 0 {
            match self.handles.leave(number) {
                // That the first handle is over could be said by its own end alone.
                Some(held) if early.is_claimed && held.root != 1 => {
                    self.handles.claim(side, Some(number));
                    self.release(held, gone);
                    self.let_other_go(early.left, 0, gone);
                }
                Some(held) => self.set_left(number, held, early.left),
                None => self.let_other_go(early.left, 0, gone),
            }
        }
        if early.is_claimed && early.left == 0 {
            // It is yet to leave.
            self.claim_early(number);
        }
        if early.end != 0
            && let Some(held) = self.handles.end(number, side)
            // All of the first handle stays where its end names another, as it is in the file.
            && (held.root != 1 || number == 1)
        {
            self.release(held, gone);
            if held.root != 1 {
                self.let_other_go(early.end, early.weak, gone);
            }
        }
    }

    fn leave(&mut self, event: &mut Event, gone: &mut Vec<u64>) -> bool {
        let number = event.number();
        let early = self.rare.as_ref().and_then(|rare| rare.early.get(&number));
        let is_claimed = early.is_some_and(|early| early.is_claimed);
        if let Some(held) = self.handles.leave(number) {
            if is_claimed {
                self.rare().early.remove(&number);
                return self.end_claimed(event, held, gone);
            }
            self.keep(event.seq, 0);
            self.set_left(number, held, event.seq);
            return true;
        }
        if self.handles.get(number).is_some() {
            return false;
        }
        self.keep_early(event, |early| early.left = event.seq)
    }

    /// Notes that another handle has taken the place of one that is not known to be away. False where there is no room for that.
    fn claim_early(&mut self, number: u64) -> bool {
        let rare = self.rare();
        let has_room = rare.early.len() < MOST_EARLY;
        if has_room {
            rare.early.entry(number).or_default().is_claimed = true;
        }
        has_room
    }

    /// A handle leaves whose place was taken long since: it is over. Of the first one this is the end.
    fn end_claimed(&mut self, event: &mut Event, held: Held, gone: &mut Vec<u64>) -> bool {
        let (side, end) = match event.op {
            Op::WeakIntoRaw => (Strength::Weak, Op::WeakIntoStd),
            _ => (Strength::Strong, Op::IntoStd),
        };
        self.handles.claim(side, Some(event.number()));
        self.release(held, gone);
        if held.root != 1 {
            return false;
        }
        event.set_op(end);
        event.set_number(1);
        self.keep(event.seq, end.weak_delta());
        true
    }

    fn set_left(&mut self, number: u64, held: Held, seq: u64) {
        let away = self.rare().away.entry(held.root).or_default();
        if away.back == number {
            away.left_again = seq;
        } else {
            away.left = seq;
        }
    }

    fn end(&mut self, event: &mut Event, side: Strength, gone: &mut Vec<u64>) -> bool {
        let Some(held) = self.handles.end(event.number(), side) else {
            let weak = event.op.weak_delta();
            return self.keep_early(event, |early| (early.end, early.weak) = (event.seq, weak));
        };
        self.release(held, gone);
        if held.root != 1 {
            return false;
        }
        event.set_number(1);
        self.keep(event.seq, event.op.weak_delta());
        true
    }

    fn keep_early(&mut self, event: &Event, set: impl FnOnce(&mut Early)) -> bool {
        let rare = self.rare();
        if rare.early.len() >= MOST_EARLY {
            return false;
        }
        set(rare.early.entry(event.number()).or_default());
        self.keep(event.seq, event.op.weak_delta());
        true
    }

    /// Lets the events of a handle go that has ended, but for the birth.
    fn release(&mut self, held: Held, gone: &mut Vec<u64>) {
        let away = self.rare.as_mut().and_then(|rare| rare.away.remove(&held.root));
        let away = away.unwrap_or_default();
        for seq in [away.left, away.back, away.left_again] {
            self.let_other_go(seq, 0, gone);
        }
        if held.root == 1 {
        } else if away.back == 0 {
            self.let_go(held.root, held.block, held.weak, gone);
        } else {
            self.let_other_go(held.root, held.weak, gone);
        }
    }

    fn allow(&mut self, seq: u64) -> bool {
        let is_first = !std::mem::replace(&mut self.rare().allowed, true);
        if is_first {
            self.keep(seq, 0);
        }
        is_first
    }

    /// Ends handles of which the count says that they are over: those taken from raw pointers as a view, and
    /// forgotten again, have no end of their own.
    fn close(&mut self, gone: &mut Vec<u64>) {
        for (side, over) in [(Strength::Strong, self.strong == 0), (Strength::Weak, self.weak <= 0)]
        {
            if over && self.handles.len(side) > 0 {
                let mut ended = Vec::new();
                self.handles.clear(side, |held| ended.push(held));
                ended.into_iter().for_each(|held| self.release(held, gone));
            }
        }
    }

    /// The block that has an event that is kept; 0 while none has.
    pub(super) fn block_of(&mut self, seq: u64) -> Option<&mut u64> {
        if seq == 1 {
            return self.birth.as_mut();
        }
        let other = self.rare.as_mut().and_then(|rare| rare.events.get_mut(&seq));
        // One that came back is among the others.
        let handle = self.handles.get_mut(seq).filter(|held| held.root == seq);
        other.or(handle.map(|held| &mut held.block))
    }

    /// An event that is kept was written, for the first time.
    pub(super) fn written(&mut self, seq: u64, block: u64) {
        if let Some(place) = self.block_of(seq) {
            *place = block;
            self.slots += KEPT_SLOTS + usize::from(seq == 1);
        }
    }

    /// Every event has gone, and no handle is left.
    pub(super) fn is_over(&self) -> bool {
        self.birth.is_some() && self.received == self.highest && self.strong == 0 && self.weak == 0
    }

    /// Whether the file knows of it.
    pub(super) fn in_file(&self) -> bool {
        self.block != 0 || self.slots != 0
    }

    /// How many events are gone.
    pub(super) fn events(&self) -> u64 {
        self.received - self.kept
    }

    /// Slots of its entries that count.
    pub(super) fn slots(&self) -> usize {
        self.slots + if self.block == 0 { 0 } else { Self::SLOTS }
    }

    /// The entry of its counts.
    pub(super) fn entry(&self, object: u64) -> Entry {
        Entry { kind: EntryKind::Object, key: object, values: [self.events(), self.highest] }
    }

    pub(super) fn words(&self) -> [u64; 4] {
        let (labeled, label) = self.label;
        let [strong, weak] = [self.strong, self.weak - self.kept_weak].map(|count| count as u64);
        [strong, weak, label, labeled]
    }
}

/// Slots of an event that is kept and is no birth.
const KEPT_SLOTS: usize = 2;

#[cfg(test)]
mod tests {
    use super::*;

    /// An event with its number, and that of the handle that it names.
    fn event(op: Op, seq: u64, named: u64, strong: u64) -> Event {
        let record = [seq << 24 | strong, (op as u64) << 56 | named, 7 << 24, 0];
        Event { op, object: 7, seq, record, birth: None, thread: 0, stack: 0 }
    }

    fn follow(known: &mut Known, mut event: Event) -> Option<Event> {
        known.follow(&mut event, &mut Vec::new()).then_some(event)
    }

    /// Blocks of two threads: what took a handle's place is known before the handle has left.
    #[test]
    fn a_place_is_taken_before_its_handle_leaves() {
        let mut known = Known::default();
        follow(&mut known, event(Op::New, 1, 0, 1));
        follow(&mut known, event(Op::Upgrade, 2, 1, 2));
        assert!(follow(&mut known, event(Op::FromRaw, 4, 2, 2)).is_some());
        assert!(follow(&mut known, event(Op::IntoRaw, 3, 2, 2)).is_none());
        assert_eq!(known.handles.len(Strength::Strong), 2);
        assert!(known.handles.get(2).is_none() && known.handles.get(4).is_some());
        // Its making comes last.
        follow(&mut known, event(Op::FromRaw, 7, 5, 3));
        follow(&mut known, event(Op::IntoRaw, 6, 5, 3));
        follow(&mut known, event(Op::Clone, 5, 1, 3));
        assert_eq!(known.handles.len(Strength::Strong), 3);
        assert!(known.handles.get(5).is_none() && known.handles.get(7).is_some());
        assert!(!known.has_rare());
    }

    /// Of the first handle, whose making stays, the end is kept.
    #[test]
    fn the_first_handles_place_is_taken_before_it_leaves() {
        let mut known = Known::default();
        follow(&mut known, event(Op::New, 1, 0, 1));
        follow(&mut known, event(Op::FromRaw, 3, 1, 1));
        let end = follow(&mut known, event(Op::IntoRaw, 2, 1, 1)).expect("its end is kept");
        assert_eq!((end.op, (end.record[1] >> 56) as u8), (Op::IntoStd, Op::IntoStd as u8));
        assert_eq!(known.handles.len(Strength::Strong), 1);
        assert!(known.handles.get(3).is_some());
    }
}
