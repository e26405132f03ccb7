//! Which handles are away as raw pointers: the table that tells, at `from_raw`, whose handle comes back.
//!
//! A raw pointer carries no ticket, so the table counts: how many strong and weak handles of an object
//! *wait* as raw pointers at its address. A handle that comes back takes nobody's place yet, since it may
//! be a mere view that is never dropped; the place is taken when it **ends** (or leaves again): then one
//! that waits ends in its stead. Where none waits, the handle that ends was not ours (it left by std's
//! own `into_raw`, say), and nothing happens. So no object ever loses more handles than it had, whatever
//! `from_raw` is called with.

use std::collections::BTreeMap;

/// Strong or weak, as an index.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Side {
    Strong = 0,
    Weak = 1,
}

/// An object whose handles have been raw pointers.
struct Raw {
    address: usize,
    /// Came from std's pointer, so that another object may stand for the same allocation.
    adopted: bool,
    /// The birth of the first handle that left. Tickets of handles that came back are younger, and those of
    /// objects that had the slot before are older.
    since: u64,
    /// The birth of the handle that left last.
    left: u64,
    /// Handles that wait as raw pointers, by side.
    waiting: [u32; 2],
    /// Handles that came back and have not ended, by side; views that never will among them.
    back: [u32; 2],
}

/// The table. See the [module](self).
pub(super) struct RawTable {
    by_slot: BTreeMap<u32, Raw>,
    by_address: BTreeMap<usize, Vec<u32>>,
}

impl RawTable {
    pub(super) const fn new() -> Self {
        Self { by_slot: BTreeMap::new(), by_address: BTreeMap::new() }
    }

    /// How many objects it holds.
    pub(super) fn len(&self) -> usize {
        self.by_slot.len()
    }

    /// A handle of the object in `slot`, born at `birth`, leaves as `address`.
    pub(super) fn leave(
        &mut self,
        slot: u32,
        birth: u64,
        side: Side,
        address: usize,
        adopted: bool,
    ) {
        if !self.by_slot.contains_key(&slot) {
            // Two objects are at one address if one was adopted from std's pointer to the other's
            // allocation. Else what is known is old: it was freed by std's pointer, out of sight.
            let others = self.by_address.get(&address).cloned().unwrap_or_default();
            for other in others {
                if !adopted && !self.by_slot[&other].adopted {
                    self.remove(other);
                }
            }
            self.by_address.entry(address).or_default().push(slot);
            let (waiting, back) = ([0; 2], [0; 2]);
            self.by_slot
                .insert(slot, Raw { address, adopted, since: birth, left: birth, waiting, back });
        }
        if let Some(raw) = self.by_slot.get_mut(&slot) {
            raw.waiting[side as usize] += 1;
            raw.left = birth;
        }
    }

    /// The object whose handle most likely comes back from `address`, and the birth of the handle that left
    /// there last. None where no handle waits: it is none of ours.
    pub(super) fn find(&self, address: usize, side: Side) -> Option<(u32, u64)> {
        let slots = self.by_address.get(&address)?;
        let waits = |slot: &&u32| self.by_slot[slot].waiting[side as usize] > 0;
        // Views that were never dropped may have taken every place: then it is one more of them, or the
        // handle itself.
        let spare = |slot: &&u32| {
            let raw = &self.by_slot[slot];
            raw.waiting[side as usize] > raw.back[side as usize]
        };
        let slot = *slots.iter().find(spare).or_else(|| slots.iter().rfind(waits))?;
        Some((slot, self.by_slot[&slot].left))
    }

    /// A handle of the object in `slot` has come back.
    pub(super) fn came_back(&mut self, slot: u32, side: Side) {
        if let Some(raw) = self.by_slot.get_mut(&slot) {
            raw.back[side as usize] += 1;
        }
    }

    /// Whether the object is still there of which a handle came back with this ticket.
    pub(super) fn knows(&self, slot: u32, birth: u64) -> bool {
        self.by_slot.get(&slot).is_some_and(|raw| birth > raw.since)
    }

    /// A handle that had come back ends: whether one that waits ends in its stead.
    pub(super) fn settle(&mut self, slot: u32, birth: u64, side: Side) -> bool {
        let Some(raw) = self.by_slot.get_mut(&slot) else { return false };
        if birth <= raw.since {
            return false;
        }
        let side = side as usize;
        raw.back[side] = raw.back[side].saturating_sub(1);
        let waits = raw.waiting[side] > 0;
        raw.waiting[side] = raw.waiting[side].saturating_sub(1);
        waits
    }

    /// Forgets the object in `slot`.
    pub(super) fn remove(&mut self, slot: u32) {
        if let Some(raw) = self.by_slot.remove(&slot)
            && let Some(slots) = self.by_address.get_mut(&raw.address)
        {
            slots.retain(|&other| other != slot);
            if slots.is_empty() {
                self.by_address.remove(&raw.address);
            }
        }
    }

    /// Forgets what is known of `address`.
    pub(super) fn forget(&mut self, address: usize) {
        for slot in self.by_address.remove(&address).unwrap_or_default() {
            self.by_slot.remove(&slot);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{RawTable, Side};

    #[test]
    fn no_more_handles_end_than_have_left() {
        let mut table = RawTable::new();
        table.leave(3, 10, Side::Strong, 0x100, false);
        assert_eq!(table.find(0x100, Side::Strong), Some((3, 10)));
        // A view, which never ends, and the handle itself, and one that std's pointer let out.
        (0..3).for_each(|_| table.came_back(3, Side::Strong));
        assert!(table.settle(3, 12, Side::Strong));
        assert!(!table.settle(3, 13, Side::Strong));
        assert!(!table.settle(3, 13, Side::Weak));
    }

    #[test]
    fn an_adopted_object_shares_the_address() {
        let mut table = RawTable::new();
        table.leave(1, 10, Side::Strong, 0x100, false);
        table.leave(2, 5, Side::Strong, 0x100, true);
        for slot in [1, 2] {
            assert_eq!(table.find(0x100, Side::Strong).map(|(slot, _)| slot), Some(slot));
            table.came_back(slot, Side::Strong);
        }
        assert!(table.settle(1, 11, Side::Strong) && table.settle(2, 6, Side::Strong));
        table.remove(1);
        table.remove(2);
        assert_eq!((table.len(), table.find(0x100, Side::Strong)), (0, None));
    }

    #[test]
    fn an_address_that_is_used_again_forgets_who_was_there() {
        let mut table = RawTable::new();
        table.leave(1, 10, Side::Strong, 0x100, false);
        table.leave(2, 5, Side::Strong, 0x100, false);
        assert_eq!(table.find(0x100, Side::Strong), Some((2, 5)));
        assert!(!table.knows(1, 11));
        assert!(!table.settle(1, 11, Side::Strong));
    }

    #[test]
    fn a_ticket_of_an_earlier_object_in_the_slot_is_nobodys() {
        let mut table = RawTable::new();
        table.leave(1, 10, Side::Strong, 0x100, false);
        table.remove(1);
        table.leave(1, 20, Side::Strong, 0x200, false);
        assert!(!table.knows(1, 12) && table.knows(1, 22));
        assert!(!table.settle(1, 12, Side::Strong) && table.settle(1, 22, Side::Strong));
    }
}
