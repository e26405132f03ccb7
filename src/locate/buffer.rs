//! The buffer of a collection, by the pointer to it: which of its words are in use.

use super::blocks::ADDED;
use super::collections::{Claim, Table, Told, is_of_no_words};
use super::memory::Memory;
use std::ops::Range;

/// A block that looks like a collection's buffer.
pub(super) enum Buffer {
    /// Of a `Vec` or a `VecDeque`.
    Vec(Claim),
    /// Of a hash table.
    Table(Table),
    /// Of a `Vec` or a `String` whose elements have no pointers, by their size.
    Bytes,
}

impl Buffer {
    /// What the pointer at an address points to, by the words [`around`](Beside::around) it.
    pub(super) fn new(block: &Range<u64>, at: u64, words: [u64; 7], told: Told) -> Option<Self> {
        let (pointer, bytes) = (words[3], block.end - block.start);
        if pointer == block.start {
            let [capacity, length] = [words[2], words[4]];
            let fits = |size: u64| {
                capacity
                    .checked_mul(size)
                    .is_some_and(|used| (bytes.saturating_sub(ADDED)..=bytes).contains(&used))
            };
            let is_small = || capacity > bytes / 8 && [1, 2, 4].into_iter().any(fits);
            if length <= capacity && (is_small() || is_of_no_words(block, capacity)) {
                return Some(Self::Bytes);
            }
            Claim::new([capacity, pointer, length, words[5]], at, block, told).map(Self::Vec)
        } else if block.contains(&pointer) {
            let (before, after) = (pointer - block.start, block.end - pointer);
            Table::new(before, after, [words[4], words[5], words[6]]).map(Self::Table)
        } else {
            None
        }
    }
}

/// How many elements a block has if what points to it is a slice, by the words [`around`](Beside::around) the pointer. A `Vec` that is
/// not full is none.
pub(super) fn slice_of(
    block: &Range<u64>,
    words: [u64; 7],
    buffer: Option<&Buffer>,
) -> Option<u64> {
    let [capacity, pointer, length] = [words[2], words[3], words[4]];
    let is_part = matches!(buffer, Some(Buffer::Vec(_))) && capacity != length;
    let fits = pointer == block.start && length <= (block.end - block.start) / 8;
    (fits && !is_part).then_some(length)
}

/// Words that are read at once.
const WINDOW: usize = 512;

/// Reads the words beside pointers, which come in the order of their addresses, mostly.
pub(super) struct Beside<'a, M> {
    pub(super) memory: &'a M,
    words: Vec<u64>,
    window: Range<u64>,
}

impl<'a, M: Memory> Beside<'a, M> {
    pub(super) fn new(memory: &'a M) -> Self {
        Self { memory, words: vec![0; WINDOW], window: 0..0 }
    }

    /// The three words before a pointer, itself, and the three behind it. What is not there, or not `within` what the pointer is
    /// part of, is a word that is no size.
    pub(super) fn around(&mut self, at: u64, within: &Range<u64>) -> [u64; 7] {
        let Some(first) = at.checked_sub(24) else { return [u64::MAX; 7] };
        if first < self.window.start || at.saturating_add(32) > self.window.end {
            self.fill(first);
            // Where a mapping begins.
            if self.window.is_empty() {
                self.fill(at);
            }
        }
        std::array::from_fn(|word| {
            let at = first + 8 * word as u64;
            let word = self.in_window(at).filter(|_| within.contains(&at));
            word.unwrap_or(u64::MAX)
        })
    }

    /// The word at an address. `None`: it cannot be read.
    pub(super) fn word(&mut self, at: u64) -> Option<u64> {
        if !self.window.contains(&at) {
            self.fill(at);
        }
        self.in_window(at)
    }

    fn fill(&mut self, from: u64) {
        let read = self.memory.read(from, &mut self.words);
        self.window = from..from + 8 * read as u64;
    }

    fn in_window(&self, at: u64) -> Option<u64> {
        let is_there = self.window.contains(&at);
        is_there.then(|| self.words[((at - self.window.start) / 8) as usize])
    }
}
