use crate::event::{Op, Strength};
use std::collections::VecDeque;

/// The living handles of one object, each with an `H` that says what the reader wants to know of it.
///
/// Handles are numbered by the event that made them, so those of a replay arrive in ascending order and lie in
/// a vector: a lookup is an interpolation, and an end leaves a gap that is closed when gaps are in the
/// majority. An operation takes O(log n) at worst, amortized, and O(1) where numbers are spread evenly.
///
/// # Raw handles
///
/// A raw pointer does not say whose it was. Per side, strong or weak, the set knows the handles that *wait* as
/// raw pointers, in the order in which they became so, and those that *returned* from one.
///
/// * A handle that returns takes the place of the one that its event names, which waits, or returned itself where the
///   pointer was taken back more than once. If that is not known, of the one that left last; if none waits, of the
///   oldest returned one.
/// * An end of an unknown handle is that of such a handle whose place was taken: it ends the oldest returned
///   handle of its side, or nothing.
#[derive(Clone, Debug)]
pub(crate) struct HandleSet<H> {
    /// Ascending: apart from what is known of each, so that a search among many touches little memory.
    numbers: Vec<u64>,
    /// In the same order.
    slots: Vec<Slot<H>>,
    /// Slots that are `Gone`.
    gone: usize,
    /// LiveHandle handles by side.
    living: [usize; 2],
    /// By side. Most objects have no raw handle.
    raw: Option<Box<[RawHandles; 2]>>,
    /// Handles may be missing: what happened to one that is not there happened to no other.
    is_partial: bool,
}

#[derive(Clone, Copy, Debug)]
struct Slot<H> {
    handle: H,
    strength: Strength,
    state: State,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Held,
    /// Waits as a raw pointer.
    Raw,
    /// Came from a raw pointer.
    Returned,
    Gone,
}

/// Numbers of handles that wait and that returned, in order; some may have ceased to, and are passed over.
#[derive(Clone, Debug, Default)]
struct RawHandles {
    waiting: Vec<u64>,
    /// How many of `waiting` do.
    waits: usize,
    returned: VecDeque<u64>,
    /// How many of `returned` did.
    returns: usize,
}

/// Outdated numbers that may be in a list before it is cleared of them.
const SLACK: usize = 16;

/// How far from a guess is near: a line of a processor's cache.
const NEAR: usize = 8;

/// A living handle of a [`HandleSet`].
#[derive(Clone, Copy, Debug)]
pub(crate) struct LiveHandle<H> {
    pub(crate) number: u64,
    pub(crate) strength: Strength,
    /// It became a raw pointer, or was leaked.
    pub(crate) raw: bool,
    pub(crate) handle: H,
}

impl<H> Default for HandleSet<H> {
    fn default() -> Self {
        let (numbers, slots) = (Vec::new(), Vec::new());
        Self { numbers, slots, gone: 0, living: [0; 2], raw: None, is_partial: false }
    }
}

impl<H: Copy> HandleSet<H> {
    /// Says that handles may be missing of which events tell.
    pub(crate) fn set_partial(&mut self) {
        self.is_partial = true;
    }

    /// Returns how many handles are alive on a side.
    pub(crate) fn len(&self, side: Strength) -> usize {
        self.living[side as usize]
    }

    /// Returns whether no handle is alive.
    pub(crate) fn is_empty(&self) -> bool {
        self.living == [0; 2]
    }

    /// Returns the living handles, by number.
    pub(crate) fn iter(&self) -> impl Iterator<Item = LiveHandle<H>> + '_ {
        let all = self.numbers.iter().zip(&self.slots);
        all.filter(|(_, slot)| slot.state != State::Gone).map(|(number, slot)| LiveHandle {
            number: *number,
            strength: slot.strength,
            raw: slot.state == State::Raw,
            handle: slot.handle,
        })
    }

    /// Returns the living handle of this number.
    pub(crate) fn get(&self, number: u64) -> Option<H> {
        Some(self.slots[self.find(number)?].handle)
    }

    /// Returns the living handle of this number, to be changed.
    pub(crate) fn get_mut(&mut self, number: u64) -> Option<&mut H> {
        let at = self.find(number)?;
        Some(&mut self.slots[at].handle)
    }

    /// Adds a handle that `op` made.
    pub(crate) fn insert(&mut self, number: u64, op: Op, strength: Strength, handle: H) {
        let returned = matches!(op, Op::FromRaw | Op::WeakFromRaw);
        let state = if returned { State::Returned } else { State::Held };
        let slot = Slot { handle, strength, state };
        if self.numbers.last().is_none_or(|last| *last < number) {
            self.numbers.push(number);
            self.slots.push(slot);
        } else {
            match self.numbers.binary_search(&number) {
                Ok(at) => {
                    self.take(at);
                    self.gone -= 1;
                    self.slots[at] = slot;
                }
                Err(at) => {
                    self.numbers.insert(at, number);
                    self.slots.insert(at, slot);
                }
            }
        }
        self.living[strength as usize] += 1;
        if returned {
            let raw = &mut self.raw.get_or_insert_default()[strength as usize];
            raw.returned.push_back(number);
            raw.returns += 1;
            self.tidy(strength);
        }
    }

    /// Removes the handle whose place one takes that returns from a raw pointer; `named` is the one that its
    /// event names.
    pub(crate) fn claim(&mut self, strength: Strength, named: Option<u64>) -> Option<H> {
        let is = |set: &Self, number, states: &[State]| {
            let at = set.find(number)?;
            let slot = &set.slots[at];
            (slot.strength == strength && states.contains(&slot.state)).then_some(at)
        };
        let gives = |number| is(self, number, &[State::Raw, State::Returned]);
        if let Some(at) = named.and_then(gives) {
            return Some(self.remove(at));
        }
        if self.is_partial {
            return None;
        }
        while let Some(number) = self.side(strength).and_then(|raw| raw.waiting.pop()) {
            if let Some(at) = is(self, number, &[State::Raw]) {
                return Some(self.remove(at));
            }
        }
        self.end_oldest_returned(strength)
    }

    /// Whether a handle is known to have become a raw pointer.
    pub(crate) fn is_away(&self, number: u64, strength: Strength) -> bool {
        let slot = self.find(number).map(|at| &self.slots[at]);
        slot.is_some_and(|slot| {
            slot.strength == strength && matches!(slot.state, State::Raw | State::Returned)
        })
    }

    /// Marks a handle as one that became a raw pointer.
    pub(crate) fn leave(&mut self, number: u64) -> Option<H> {
        let at = self.find(number)?;
        let Slot { handle, strength, state, .. } = self.slots[at];
        if state == State::Raw {
            return None;
        }
        self.slots[at].state = State::Raw;
        let raw = &mut self.raw.get_or_insert_default()[strength as usize];
        raw.returns -= usize::from(state == State::Returned);
        raw.waits += 1;
        raw.waiting.push(number);
        self.tidy(strength);
        Some(handle)
    }

    /// Removes the handle that ends when `number` does.
    pub(crate) fn end(&mut self, number: u64, strength: Strength) -> Option<H> {
        match self.find(number) {
            Some(at) => Some(self.remove(at)),
            None if self.is_partial => None,
            None => self.end_oldest_returned(strength),
        }
    }

    /// Removes all handles of a side: the object's count says that none is left.
    pub(crate) fn clear(&mut self, side: Strength, mut removed: impl FnMut(H)) {
        for at in 0..self.slots.len() {
            if self.slots[at].strength == side && self.slots[at].state != State::Gone {
                removed(self.slots[at].handle);
                self.take(at);
            }
        }
        self.close_gaps();
    }

    fn end_oldest_returned(&mut self, strength: Strength) -> Option<H> {
        while let Some(number) = self.side(strength).and_then(|raw| raw.returned.pop_front()) {
            if let Some(at) = self.find(number)
                && self.slots[at].state == State::Returned
                && self.slots[at].strength == strength
            {
                return Some(self.remove(at));
            }
        }
        None
    }

    fn side(&mut self, strength: Strength) -> Option<&mut RawHandles> {
        self.raw.as_mut().map(|raw| &mut raw[strength as usize])
    }

    /// Clears each list of a side of outdated numbers, if they are in the majority.
    fn tidy(&mut self, strength: Strength) {
        let Some(lists) = self.side(strength) else { return };
        // Each for itself: the other may be long, and would be gone through in vain.
        let waiting = lists.waiting.len() > 2 * lists.waits + SLACK;
        let returned = lists.returned.len() > 2 * lists.returns + SLACK;
        if waiting || returned {
            self.tidy_lists(strength, waiting, returned);
        }
    }

    #[cold]
    fn tidy_lists(&mut self, strength: Strength, waiting: bool, returned: bool) {
        let Some(mut raw) = self.raw.take() else { return };
        let is = |number: u64, state| {
            self.find(number).is_some_and(|at| {
                self.slots[at].state == state && self.slots[at].strength == strength
            })
        };
        let lists = &mut raw[strength as usize];
        if waiting {
            lists.waiting.retain(|&number| is(number, State::Raw));
        }
        if returned {
            lists.returned.retain(|&number| is(number, State::Returned));
        }
        self.raw = Some(raw);
    }

    /// Where a living handle lies.
    fn find(&self, number: u64) -> Option<usize> {
        let (first, last) = (*self.numbers.first()?, *self.numbers.last()?);
        if number < first || number > last {
            return None;
        }
        // Numbers are spread evenly, mostly: a guess, and a search near it or on its side.
        let (offset, span) = (number - first, (last - first).max(1));
        let most = self.numbers.len() - 1;
        let guess = match offset.checked_mul(most as u64) {
            Some(product) => (product / span) as usize,
            None => (u128::from(offset) * most as u128 / u128::from(span)) as usize,
        };
        let (low, high) = (guess.saturating_sub(NEAR), (guess + NEAR).min(most));
        let (from, to) = if self.numbers[low] > number {
            (0, low)
        } else if self.numbers[high] < number {
            (high + 1, self.numbers.len())
        } else {
            (low, high + 1)
        };
        let found = from + self.numbers[from..to].binary_search(&number).ok()?;
        (self.slots[found].state != State::Gone).then_some(found)
    }

    fn remove(&mut self, at: usize) -> H {
        let handle = self.slots[at].handle;
        self.take(at);
        self.close_gaps();
        handle
    }

    /// Marks a slot as gone.
    fn take(&mut self, at: usize) {
        let Slot { strength, state, .. } = self.slots[at];
        if state == State::Gone {
            return;
        }
        self.slots[at].state = State::Gone;
        self.gone += 1;
        self.living[strength as usize] -= 1;
        if let Some(raw) = self.side(strength) {
            raw.waits -= usize::from(state == State::Raw);
            raw.returns -= usize::from(state == State::Returned);
        }
    }

    fn close_gaps(&mut self) {
        while self.slots.last().is_some_and(|slot| slot.state == State::Gone) {
            self.slots.pop();
            self.numbers.pop();
            self.gone -= 1;
        }
        if self.gone > 8 && self.gone * 2 > self.slots.len() {
            let mut slots = self.slots.iter();
            self.numbers.retain(|_| slots.next().is_some_and(|slot| slot.state != State::Gone));
            self.slots.retain(|slot| slot.state != State::Gone);
            self.gone = 0;
            if self.slots.capacity() > 4 * self.slots.len().max(4) {
                self.slots.shrink_to(2 * self.slots.len());
                self.numbers.shrink_to(2 * self.slots.len());
            }
        }
    }
}
