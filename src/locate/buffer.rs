//! The buffer of a collection, by the pointer to it: which of its words are in use.

use super::collections::{Claim, Table, Told};
use super::memory::Memory;
use std::ops::Range;

/// A block that looks like a collection's buffer.
pub(super) enum Buffer {
    /// Of a `Vec` or a `VecDeque`.
    Vec(Claim),
    /// Of a hash table.
    Table(Table),
    /// Of a `Vec` or a `String` whose elements are smaller than a pointer.
    Bytes,
}

impl Buffer {
    /// What the pointer at an address points to, by the words [`around`](Beside::around) it.
    pub(super) fn new(block: &Range<u64>, at: u64, words: [u64; 7], told: Told) -> Option<Self> {
        let (pointer, bytes) = (words[3], block.end - block.start);
        if pointer == block.start {
            let [capacity, length] = [words[2], words[4]];
            if (bytes / 8 + 1..=bytes).contains(&capacity) && length <= capacity {
                return Some(Self::Bytes);
            }
            Claim::new([capacity, pointer, length, words[5]], at, bytes, told).map(Self::Vec)
        } else if block.contains(&pointer) {
            let (before, after) = (pointer - block.start, block.end - pointer);
            Table::new(before, after, [words[4], words[5], words[6]]).map(Self::Table)
        } else {
            None
        }
    }
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
        let from = at - 24;
        if from < self.window.start || at + 32 > self.window.end {
            let read = self.memory.read(from, &mut self.words);
            self.window = from..from + 8 * read as u64;
        }
        let first = ((from - self.window.start) / 8) as usize;
        let count = ((self.window.end - self.window.start) / 8) as usize;
        std::array::from_fn(|word| {
            let is_there = within.contains(&(from + 8 * word as u64)) && first + word < count;
            if is_there { self.words[first + word] } else { u64::MAX }
        })
    }
}
