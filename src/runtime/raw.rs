//! Which handles are raw pointers now: the table that says, at `from_raw`, whose handle comes back.
//!
//! A raw pointer carries no ticket, so the table knows, for each object that had raw pointers, which of its handles
//! *wait* as one, and which have *returned*. A handle that `from_raw` makes takes the place of one that waits, in the
//! ledger too; it may be a mere view that is never dropped, so that there can be more of them than places: a further
//! one shares the place of the one that returned first, and gets a ticket anew. The old ticket is *stale* then: if its
//! handle ends after all, the place of another that returned ends instead, whichever, and that one's ticket is stale; or
//! the place of one that waits.
//! So no object ever loses more handles than it had, whatever `from_raw` is called with.
//!
//! Pointers that refscope did not see leave (*strangers*) are counted, so that their return takes nobody's place as long
//! as that can be known.

use super::entry::{Entry, Place};
use super::ticket::Ticket;
use crate::event::Kind;
use std::collections::{BTreeMap, VecDeque};

/// Strong or weak, as an index.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Side {
    Strong = 0,
    Weak = 1,
}

/// Stale tickets that are remembered for an object: nearly all are views that never end.
const STALE: usize = 64;

/// An object whose handles have been raw pointers.
struct Raw {
    /// The object's number. Where the entry has another one, the object ended in a signal's handler that could not have
    /// the table, and what is known of it is old.
    id: u64,
    kind: Kind,
    address: usize,
    entry: &'static Entry,
    /// Came from std's pointer, so that another object may stand for the same allocation.
    adopted: bool,
    sides: [Handles; 2],
    stale: VecDeque<u64>,
}

#[derive(Default)]
struct Handles {
    /// Handles that wait as raw pointers, the one that left last at the end.
    waiting: Vec<&'static Place>,
    /// Handles that returned and have not ended, by the order in which they did, with their ticket.
    returned: BTreeMap<u64, (&'static Place, u64)>,
    /// The order of a returned handle, by its ticket.
    orders: BTreeMap<u64, u64>,
    /// Raw pointers of untraced handles.
    strangers: u32,
}

impl Raw {
    fn is_old(&self) -> bool {
        self.entry.id() != self.id
    }
}

impl Handles {
    fn add(&mut self, order: u64, place: &'static Place, ticket: u64) {
        self.returned.insert(order, (place, ticket));
        self.orders.insert(ticket, order);
    }

    fn take(&mut self, ticket: u64) -> Option<&'static Place> {
        let order = self.orders.remove(&ticket)?;
        self.returned.remove(&order).map(|(place, _)| place)
    }

    fn take_first(&mut self) -> Option<(&'static Place, u64)> {
        let (_, (place, ticket)) = self.returned.pop_first()?;
        self.orders.remove(&ticket);
        Some((place, ticket))
    }
}

/// The table. See the [module](self).
pub(crate) struct RawTable {
    by_entry: BTreeMap<usize, Raw>,
    by_address: BTreeMap<(Kind, usize), Vec<usize>>,
    /// The entry of a ticket that returned, or is stale.
    tickets: BTreeMap<u64, usize>,
    /// Handles that have returned so far.
    returns: u64,
}

/// Whose place a handle that comes from a raw pointer takes.
pub(crate) enum Claimed {
    /// That of one that waited.
    Waiting(&'static Place),
    /// That of one that returned, whose ticket is stale from now on.
    Shared(&'static Place),
}

fn key(entry: &Entry) -> usize {
    std::ptr::from_ref(entry).addr()
}

impl RawTable {
    pub(crate) const fn new() -> Self {
        Self {
            by_entry: BTreeMap::new(),
            by_address: BTreeMap::new(),
            tickets: BTreeMap::new(),
            returns: 0,
        }
    }

    /// How many objects it holds.
    pub(crate) fn len(&self) -> usize {
        self.by_entry.len()
    }

    /// A handle of an object becomes a raw pointer.
    pub(crate) fn leave(
        &mut self,
        entry: &'static Entry,
        place: &'static Place,
        side: Side,
        (kind, address): (Kind, usize),
        adopted: bool,
    ) {
        let key = key(entry);
        if self.by_entry.get(&key).is_some_and(Raw::is_old) {
            self.remove_key(key);
        }
        if !self.by_entry.contains_key(&key) {
            // Two objects are at one address if one was adopted from std's pointer to the other's
            // allocation, and so after that one's birth. Else what is known is old: it was freed by
            // std's pointer, out of sight.
            let others = self.by_address.get(&(kind, address)).cloned().unwrap_or_default();
            for other in others {
                let known = &self.by_entry[&other];
                if known.is_old() || !(adopted || known.adopted && known.id > entry.id()) {
                    self.remove_key(other);
                }
            }
            self.by_address.entry((kind, address)).or_default().push(key);
            let (sides, stale) = Default::default();
            let id = entry.id();
            self.by_entry.insert(key, Raw { id, kind, address, entry, adopted, sides, stale });
        }
        if let Some(raw) = self.by_entry.get_mut(&key) {
            raw.sides[side as usize].waiting.push(place);
        }
    }

    /// The object whose handle most likely comes from `address`: its entry, and the place that waits there. `None`
    /// where it is none of ours.
    pub(crate) fn find(
        &self,
        at: (Kind, usize),
        side: Side,
    ) -> Option<(&'static Entry, &'static Place)> {
        let entries = self.by_address.get(&at)?;
        let side = |key: &usize| &self.by_entry[key].sides[side as usize];
        let waits = |key: &usize| Some((self.by_entry[key].entry, *side(key).waiting.last()?));
        let returned = |key: &usize| {
            let (order, (place, _)) = side(key).returned.first_key_value()?;
            (side(key).strangers == 0).then_some((order, self.by_entry[key].entry, *place))
        };
        // Of those that returned, the first: it most likely was a view, or has ended out of sight.
        let first = || entries.iter().filter_map(returned).min_by_key(|(order, ..)| *order);
        (entries.iter().find_map(waits)).or_else(|| first().map(|(_, entry, place)| (entry, place)))
    }

    /// A handle comes from `address`: takes a place out, for [`returned`](Self::returned) to put back.
    pub(crate) fn claim(
        &mut self,
        at: (Kind, usize),
        side: Side,
    ) -> Option<(&'static Entry, Claimed)> {
        let Some((entry, _)) = self.find(at, side) else {
            // One of the strangers, perhaps.
            let entries = self.by_address.get(&at)?;
            for key in entries {
                let strangers = &mut self.by_entry.get_mut(key)?.sides[side as usize].strangers;
                if *strangers > 0 {
                    *strangers -= 1;
                    break;
                }
            }
            return None;
        };
        let raw = self.by_entry.get_mut(&key(entry))?;
        let handles = &mut raw.sides[side as usize];
        if let Some(place) = handles.waiting.pop() {
            return Some((entry, Claimed::Waiting(place)));
        }
        let (place, ticket) = handles.take_first()?;
        self.make_stale(key(entry), ticket);
        Some((entry, Claimed::Shared(place)))
    }

    /// The place that had this ticket is another handle's from now on, or ends with one.
    fn make_stale(&mut self, key: usize, ticket: u64) {
        let Some(raw) = self.by_entry.get_mut(&key) else { return };
        if raw.stale.len() == STALE
            && let Some(old) = raw.stale.pop_front()
        {
            self.tickets.remove(&old);
        }
        raw.stale.push_back(ticket);
        self.tickets.insert(ticket, key);
    }

    /// A ticket that nobody is known to have, for a place that is about to be of this generation. `std` is std's pointer.
    pub(crate) fn new_ticket(
        &mut self,
        place: &'static Place,
        generation: u32,
        std: usize,
    ) -> Ticket {
        let mut next = || {
            self.returns += 1;
            Ticket::new_returned(place, generation, self.returns, std)
        };
        let mut ticket = next();
        // Where the generation is in it, the first is one. Where each number is one that is known, which takes thousands of
        // handles at one address, two have the same, and are not told from each other.
        for _ in 0..1 << 14 {
            if !self.tickets.contains_key(&ticket.word()) {
                break;
            }
            ticket = next();
        }
        ticket
    }

    /// The place that was [claimed](Self::claim) has this ticket now.
    pub(crate) fn returned(
        &mut self,
        entry: &Entry,
        side: Side,
        place: &'static Place,
        ticket: &Ticket,
    ) {
        if let Some(raw) = self.by_entry.get_mut(&key(entry)) {
            raw.sides[side as usize].add(self.returns, place, ticket.word());
            self.tickets.insert(ticket.word(), key(entry));
        }
    }

    /// The object of which a handle returned with this ticket, and the place that the handle has now.
    pub(crate) fn known(
        &self,
        ticket: &Ticket,
        side: Side,
    ) -> Option<(&'static Entry, &'static Place)> {
        let word = ticket.word();
        let raw = self.by_entry.get(self.tickets.get(&word)?)?;
        let handles = &raw.sides[side as usize];
        let own = handles.orders.get(&word).and_then(|order| handles.returned.get(order));
        // Stale: see `release`.
        let other = || handles.returned.first_key_value().map(|(_, returned)| returned);
        let place = own.or_else(other).map(|(place, _)| *place);
        Some((raw.entry, place.or_else(|| handles.waiting.last().copied())?))
    }

    /// A handle that had returned ends, or leaves again: the object, and the place that ends with it.
    pub(crate) fn release(
        &mut self,
        ticket: &Ticket,
        side: Side,
    ) -> Option<(&'static Entry, &'static Place)> {
        let (entry, _) = self.known(ticket, side)?;
        let word = ticket.word();
        let raw = self.by_entry.get_mut(&key(entry))?;
        let handles = &mut raw.sides[side as usize];
        self.tickets.remove(&word);
        if let Some(place) = handles.take(word) {
            return Some((entry, place));
        }
        raw.stale.retain(|&stale| stale != word);
        // A handle did end. Where none is known to have returned, one that waits had: of a view that was made before
        // others left.
        let Some((place, other)) = handles.take_first() else {
            return Some((entry, handles.waiting.pop()?));
        };
        // The other handle may be no view, and end as well: then for a further one.
        self.make_stale(key(entry), other);
        Some((entry, place))
    }

    /// Forgets an object.
    pub(crate) fn remove(&mut self, entry: &Entry) {
        self.remove_key(key(entry));
    }

    fn remove_key(&mut self, key: usize) {
        let Some(raw) = self.by_entry.remove(&key) else { return };
        let returned = raw.sides.iter().flat_map(|handles| handles.orders.keys());
        for ticket in raw.stale.iter().chain(returned) {
            self.tickets.remove(ticket);
        }
        let at = (raw.kind, raw.address);
        let Some(entries) = self.by_address.get_mut(&at) else { return };
        entries.retain(|&other| other != key);
        match entries.first() {
            // The other object that stands for the allocation: what comes with such a ticket is one of its handles.
            Some(&other) => raw.stale.into_iter().for_each(|stale| self.make_stale(other, stale)),
            None => drop(self.by_address.remove(&at)),
        }
    }

    /// An untraced handle becomes the raw pointer `address`. Where std's count, `strong`, has no room for it beside the
    /// traced handles that are known there, what is known is old, and is forgotten.
    pub(crate) fn stranger(&mut self, at: (Kind, usize), side: Side, strong: usize) {
        for key in self.by_address.get(&at).cloned().unwrap_or_default() {
            let Some(raw) = self.by_entry.get_mut(&key) else { continue };
            let traced = raw.entry.position().strong as usize;
            if raw.is_old() || side == Side::Strong && strong <= traced {
                self.remove_key(key);
            } else {
                let strangers = &mut raw.sides[side as usize].strangers;
                *strangers = strangers.saturating_add(1);
            }
        }
    }
}
