//! Memories that are made up, with a known truth.

use super::memory::Memory;

/// A generator of numbers, the same for the same seed.
pub(super) struct Random(u64);

impl Random {
    pub(super) fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    pub(super) fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    /// A number below `limit`, or 0.
    pub(super) fn below(&mut self, limit: u64) -> u64 {
        (self.next() >> 11) % limit.max(1)
    }
}

/// Words from an address on.
pub(super) struct MadeUp {
    pub(super) start: u64,
    pub(super) words: Vec<u64>,
}

impl Memory for MadeUp {
    fn read(&self, address: u64, into: &mut [u64]) -> usize {
        let Some(at) = address.checked_sub(self.start).map(|at| (at / 8) as usize) else {
            return 0;
        };
        let Some(words) = self.words.get(at..) else { return 0 };
        let count = words.len().min(into.len());
        into[..count].copy_from_slice(&words[..count]);
        count
    }
}
