//! Maps of what a file numbers.

use crate::event::ObjectId;
use std::collections::HashMap;
use std::hash::{BuildHasher, Hasher, RandomState};

/// A map by the numbers of objects, which may come from a hostile file.
pub(crate) type ByObject<V> = HashMap<ObjectId, V, Keyed>;

/// A map by other numbers.
#[cfg_attr(not(all(feature = "trace", unix)), allow(dead_code))]
pub(crate) type ByNumber<N, V> = HashMap<N, V, Keyed>;

/// Hashes numbers by one multiplication with a key that no file knows, at a tenth of what the standard hasher takes: whoever
/// chooses the numbers cannot choose which of them collide. (Multiply-shift hashing with a random odd key: two numbers
/// share a value with a chance of some 2 in the number of values.)
#[derive(Clone, Debug)]
pub(crate) struct Keyed(u64, u64);

impl Default for Keyed {
    fn default() -> Self {
        let random = RandomState::new();
        Self(random.hash_one(1_u8), random.hash_one(2_u8) | 1)
    }
}

impl BuildHasher for Keyed {
    type Hasher = KeyedHasher;

    fn build_hasher(&self) -> KeyedHasher {
        KeyedHasher { state: self.0, key: self.1 }
    }
}

#[derive(Debug)]
pub(crate) struct KeyedHasher {
    state: u64,
    key: u64,
}

impl Hasher for KeyedHasher {
    #[inline]
    fn write_u64(&mut self, number: u64) {
        let product = u128::from(self.state ^ number) * u128::from(self.key);
        // Of the product the high half depends on all bits of the number, and the map takes low bits and high ones.
        self.state = (product >> 64) as u64 ^ (product as u64).rotate_left(32);
    }

    #[inline]
    fn write_u32(&mut self, number: u32) {
        self.write_u64(number.into());
    }

    fn write(&mut self, bytes: &[u8]) {
        bytes.iter().for_each(|&byte| self.write_u64(byte.into()));
    }

    fn finish(&self) -> u64 {
        self.state
    }
}

#[cfg(test)]
mod tests {
    use super::ByObject;
    use crate::event::ObjectId;

    #[test]
    fn numbers_that_differ_in_few_bits_are_told_apart() {
        for shift in 0..48 {
            let all = (0..5_000_u64).map(|number| (ObjectId::from_number(number << shift), number));
            let map: ByObject<u64> = all.collect();
            assert_eq!(map.len(), 5_000);
            assert!((0..5_000).all(|n| map[&ObjectId::from_number(n << shift)] == n));
        }
    }
}
