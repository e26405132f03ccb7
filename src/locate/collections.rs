//! Which places of a collection's buffer are in use: what was taken out leaves its words behind.
//!
//! What points to a buffer is a `Vec`, a `VecDeque` or neither; where the type is known, by the program's debug information, that
//! is so, else each of them is thought of that the words beside the pointer could be. A hash table's control bytes say it
//! themselves.

use super::blocks::ADDED;
use super::btree::NodeLayout;
use super::memory::{Memory, PAGE};
use std::ops::Range;

/// What is known of the pointer to a buffer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(not(feature = "stacks"), allow(dead_code))] // types are not known
pub(super) enum Told {
    /// It is this collection's, with elements of so many bytes.
    Vec(u64),
    Deque(u64),
    /// It is a `BTreeMap`'s, with such nodes.
    Map(NodeLayout),
    /// It is something else's.
    Other,
    /// What it is in ends there.
    End(u64),
    /// What it is in ends there: a thread-local, which may have a word behind its value that says that it is there.
    EndOfLocal(u64),
    Nothing,
}

/// Whether a copy is the handle, by where in a buffer it stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(not(feature = "stacks"), allow(dead_code))] // as above
pub(super) enum Life {
    /// Nothing speaks against it.
    Alive,
    /// It is, if the collection is one that it looks like. Nothing is known of what the pointer to it is in.
    Likely,
    /// Either, by which collection it is.
    Unsure { as_vec: bool, as_deque: bool },
    /// It is an old one, if the collection is what it looks like.
    Spare,
    /// The same, and nothing is known of what the pointer to it is in: where there is no other copy, it may be something else.
    SpareOrOther,
    /// It is an old one.
    Dead,
}

/// The pointer to a buffer and the words beside it, as a `Vec` or `VecDeque`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Claim {
    capacity: u32,
    /// The length, if it is a `Vec`.
    vec: Option<u32>,
    /// The place of the first and the length, if it is a `VecDeque`.
    deque: Option<(u32, u32)>,
    /// Bytes of an element, at most and at least.
    elements: [u32; 2],
    /// Whether the type says it.
    is_told: bool,
    /// Whether what it is in ends where a `VecDeque` would.
    ends_as_deque: bool,
    /// Whether it ends where a `Vec` would.
    ends_as_vec: bool,
    /// Nothing is known of what it is in, but perhaps where that ends: it is in a block.
    pub(super) is_open: bool,
}

/// The state of a thread-local that is there.
const THERE: u64 = 1;

/// Bytes that an allocator may have added to a block.
const ROUNDED: u64 = 8;
/// Of a block that is a mapping of its own.
const ROUNDED_LARGE: u64 = 4096 + ROUNDED;
const LARGE: u64 = 1 << 17;
/// Where a block begins in a mapping of its own.
const HEADER: u64 = 16;

/// How large the elements of a buffer may be, at most and at least, if they are multiples of words: so that the block has no room for
/// more, but for what the allocator added. `None`: the block is not such a buffer.
fn elements(block: &Range<u64>, capacity: u64, word: u64) -> Option<[u64; 2]> {
    let bytes = block.end - block.start;
    let is_mapping = bytes >= LARGE || block.start % PAGE == HEADER;
    let (rounded, added) =
        if is_mapping { (ROUNDED_LARGE, ROUNDED_LARGE + ADDED) } else { (ROUNDED, ADDED) };
    let fits = |&size: &u64| size > 0 && bytes - size * capacity <= added;
    let size_in = |bytes: u64| bytes / capacity / word * word;
    let most = Some(size_in(bytes)).filter(fits)?;
    let least = Some(size_in(bytes.saturating_sub(rounded))).filter(fits);
    Some([most, least.unwrap_or(most)])
}

/// Whether a buffer in a block has elements whose size is no multiple of a word, which a pointer in them would have made it.
pub(super) fn is_of_no_words(block: &Range<u64>, capacity: u64) -> bool {
    (1..=(block.end - block.start) / 8).contains(&capacity)
        && elements(block, capacity, 8).is_none()
        && elements(block, capacity, 4).is_some()
}

impl Claim {
    /// By the words from the one before the pointer on: capacity, pointer, and length, or place of the first and length, is how the
    /// compiler orders them today. `None`: it looks like neither.
    pub(super) fn new(words: [u64; 4], at: u64, block: &Range<u64>, told: Told) -> Option<Self> {
        let [capacity, _, after, after2] = words;
        if capacity == 0 || capacity > (block.end - block.start) / 8 {
            return None;
        }
        let ends = |end: u64| match told {
            Told::End(of) | Told::EndOfLocal(of) => end <= of,
            _ => true,
        };
        let vec = after <= capacity && !matches!(told, Told::Deque(_)) && ends(at + 16);
        let deque = after < capacity
            && after2 <= capacity
            && !matches!(told, Told::Vec(_))
            && ends(at + 24);
        if matches!(told, Told::Other | Told::Map(_)) || !(vec || deque) {
            return None;
        }
        // A thread-local has a word that says that it is there: behind a constant one, or in front of one that is made when it is
        // used. So what ends here is the former's `Vec`, or a `VecDeque` of the latter's, which may have one element.
        let ends_as_local = told == Told::EndOfLocal(at + 24);
        let told_size = match told {
            Told::Vec(size) | Told::Deque(size) if size > 0 => u32::try_from(size).ok(),
            _ => None,
        };
        let elements = match told_size {
            Some(size) => [size; 2],
            None => elements(block, capacity, 8)?.map(|size| size as u32),
        };
        Some(Self {
            capacity: capacity as u32,
            vec: vec.then_some(after as u32),
            deque: deque.then_some((after as u32, after2 as u32)),
            elements,
            is_told: told_size.is_some(),
            ends_as_deque: [Told::End(at + 24), Told::EndOfLocal(at + 32)].contains(&told)
                || ends_as_local && after2 > THERE,
            ends_as_vec: ends_as_local && after2 <= THERE,
            is_open: told == Told::Nothing,
        })
    }

    /// Whether it is of a buffer with room for so many.
    pub(super) fn is_of(&self, capacity: u64) -> bool {
        u64::from(self.capacity) == capacity
    }

    /// Whether the place at an offset of a buffer is in use.
    pub(super) fn life(&self, offset: u64) -> Life {
        let capacity = u64::from(self.capacity);
        // Behind the last place is what was one before the buffer shrank.
        let places = self.elements.map(|size| offset / u64::from(size));
        let in_vec = |place: u64| self.vec.map(|len| place < u64::from(len));
        let in_deque = |place: u64| {
            let (first, len) = self.deque?;
            let nth = (place + capacity - u64::from(first)) % capacity;
            Some(place < capacity && nth < u64::from(len))
        };
        let vecs = places.map(in_vec);
        let deques = places.map(in_deque);
        let all = || vecs.into_iter().chain(deques).flatten();
        match (all().any(|alive| alive), all().all(|alive| alive)) {
            (_, true) => Life::Alive,
            _ if self.ends_as_deque && deques == [Some(true); 2] => Life::Alive,
            _ if self.ends_as_vec && vecs == [Some(true); 2] => Life::Alive,
            (true, false) if self.is_open => Life::Likely,
            (true, false) => Life::Unsure {
                as_vec: vecs == [Some(true); 2],
                as_deque: deques == [Some(true); 2],
            },
            (false, _) if self.is_told => Life::Dead,
            (false, _) if self.is_open => Life::SpareOrOther,
            (false, _) => Life::Spare,
        }
    }
}

/// A hash table in a block, as std's and hashbrown's have them: the entries lie before the control bytes, the last one first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Table {
    /// Where the control bytes begin, as an offset in the block.
    control: u32,
    /// How many buckets there are, a power of two.
    buckets: u32,
    /// How many of them are full.
    items: u32,
}

/// The control bytes that are looked at at once, by target; so many of the first are repeated behind the last.
const GROUP: usize = if cfg!(target_arch = "x86_64") { 16 } else { 8 };
const EMPTY: u8 = 0xff;
const DELETED: u8 = 0x80;

impl Table {
    /// By a pointer into a block, the bytes of it before and behind, and the words that follow the pointer: the number of buckets
    /// less one, how many may be filled yet, and how many are full is how the compiler orders them today.
    pub(super) fn new(before: u64, after: u64, [mask, left, items]: [u64; 3]) -> Option<Self> {
        let buckets = mask.checked_add(1).filter(|size| size.is_power_of_two() && *size >= 4)?;
        let rounded = if before + after < LARGE { 2 * ROUNDED } else { ROUNDED_LARGE };
        let is_one = before / 8 >= buckets
            && left <= buckets
            && items <= buckets - left
            && (0..=rounded).contains(&after.checked_sub(buckets + GROUP as u64)?);
        is_one.then_some(Self {
            control: u32::try_from(before).ok()?,
            buckets: u32::try_from(buckets).ok()?,
            items: u32::try_from(items).ok()?,
        })
    }

    /// Reads which buckets are in use, by the control bytes of the block that begins at an address. `None`: they are none.
    pub(super) fn read(self, memory: &impl Memory, block: u64) -> Option<Buckets> {
        let mut words = vec![0; (self.buckets as usize + GROUP).div_ceil(8)];
        let read = memory.read(block + u64::from(self.control), &mut words);
        self.buckets(&words[..read])
    }

    fn buckets(self, control: &[u64]) -> Option<Buckets> {
        let mut bytes: Vec<u8> = control.iter().flat_map(|word| word.to_ne_bytes()).collect();
        let buckets = self.buckets as usize;
        bytes.truncate(buckets + GROUP);
        if bytes.len() < buckets + GROUP {
            return None;
        }
        // Behind few buckets are bytes in which nothing was ever put.
        let own = &bytes[..buckets.min(GROUP)];
        let repeated = &bytes[buckets.max(GROUP)..][..own.len()];
        let is_state = |&byte: &u8| byte <= DELETED || byte == EMPTY;
        let full = bytes[..buckets].iter().filter(|&&byte| byte < DELETED).count();
        let are_states =
            own == repeated && bytes.iter().all(is_state) && full == self.items as usize;
        bytes.truncate(buckets);
        let size = (u64::from(self.control) / u64::from(self.buckets)) & !7;
        are_states.then_some(Buckets { control: self.control, size, states: bytes })
    }
}

/// The states of a hash table's buckets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Buckets {
    control: u32,
    /// Bytes of each bucket.
    size: u64,
    states: Vec<u8>,
}

impl Buckets {
    /// Whether the bucket at an offset of the block is in use. `None`: there is none.
    pub(super) fn is_full(&self, offset: u64) -> Option<bool> {
        let bucket = (u64::from(self.control).checked_sub(offset + 1)? / self.size) as usize;
        Some(*self.states.get(bucket)? < DELETED)
    }
}

#[cfg(test)]
mod tests {
    use super::super::memory::{Memory as _, ProcessMemory};
    use super::*;
    use std::collections::{HashMap, VecDeque};

    /// The words from the one before the pointer on.
    fn words_of<T>(collection: &T, buffer: u64) -> [u64; 4] {
        let mut words = [0; 4];
        let count = size_of::<T>() / 8;
        let at = std::ptr::from_ref(collection).addr() as u64;
        let memory = ProcessMemory::of(std::process::id() as _);
        assert_eq!(memory.read(at, &mut words[..count]), count);
        assert_eq!(words[1], buffer, "the pointer is the second word");
        words
    }

    #[test]
    fn std_orders_the_words_so() {
        let mut vec = Vec::with_capacity(7);
        vec.extend([1_u64, 2, 3]);
        assert_eq!(words_of(&vec, vec.as_ptr().addr() as u64)[..3][..1], [7]);
        assert_eq!(words_of(&vec, vec.as_ptr().addr() as u64)[2], 3);
        let mut deque = VecDeque::with_capacity(7);
        deque.extend([1_u64, 2, 3]);
        deque.pop_front();
        let buffer = std::ptr::from_ref(&deque[0]).addr() as u64 - 8;
        let [capacity, _, first, len] = words_of(&deque, buffer);
        assert_eq!([capacity, first, len], [7, 1, 2]);
    }

    const SURE: [Life; 2] = [Life::Alive, Life::SpareOrOther];

    #[test]
    fn a_place_is_judged_as_each_collection_that_it_may_be() {
        let life = |after, after2, told, offset| {
            Claim::new([4, 0x1000, after, after2], 0x800, &(0x1000..0x1048), told)
                .map(|claim| claim.life(offset))
        };
        // A `Vec` of two, with room for two more; no deque has such a length.
        let vec = |offset| life(2, 99, Told::Nothing, offset).unwrap();
        assert_eq!([0, 16, 32, 48].map(vec), [SURE[0], SURE[0], SURE[1], SURE[1]]);
        // Or what is in use is the third alone.
        let either = |offset| life(2, 1, Told::Nothing, offset).unwrap();
        let as_vec = Life::Unsure { as_vec: true, as_deque: false };
        let likely = [Life::Likely, Life::Likely, Life::Likely, SURE[1]];
        assert_eq!([0, 16, 32, 48].map(either), likely);
        // The static ends, or the type is known.
        assert_eq!(life(2, 1, Told::End(0x818), 32), Some(Life::Alive));
        assert_eq!(
            life(2, 1, Told::End(0x818), 0),
            Some(as_vec),
            "a `Vec`, and a number behind it"
        );
        assert_eq!(life(2, 1, Told::End(0x810), 0), Some(Life::Alive));
        assert_eq!(life(2, 1, Told::End(0x808), 0), None);
        let local = |after2, offset| life(2, after2, Told::EndOfLocal(0x818), offset).unwrap();
        let as_deque = Life::Unsure { as_vec: false, as_deque: true };
        assert_eq!([local(1, 0), local(1, 32)], [Life::Alive, as_deque], "it is there");
        assert_eq!([local(4, 0), local(4, 32)], [Life::Alive; 2], "a deque of four");
        let of_local = life(2, 1, Told::EndOfLocal(0x820), 32);
        assert_eq!(of_local, Some(Life::Alive), "a deque, and that it is there");
        assert_eq!(vec(64), SURE[1], "where the fifth was");
        assert_eq!(life(2, 1, Told::Vec(16), 32), Some(Life::Dead));
        assert_eq!(life(2, 1, Told::Deque(16), 32), Some(Life::Alive));
        assert_eq!(life(2, 0, Told::Deque(16), 32), Some(Life::Dead));
        assert_eq!(life(2, 1, Told::Other, 32), None);
        assert_eq!(life(5, 1, Told::Nothing, 32), None);
        // It goes round.
        assert_eq!(life(3, 2, Told::Deque(16), 0), Some(Life::Alive));
        assert_eq!(Claim::new([0; 4], 0, &(0x1000..0x1048), Told::Nothing), None);
    }

    #[test]
    fn a_buffer_is_as_large_as_its_elements() {
        let sizes = |start: u64, bytes, capacity| elements(&(start..start + bytes), capacity, 8);
        assert_eq!(sizes(0x1020, 64, 4), Some([16; 2]), "there is no room for others");
        assert_eq!(sizes(0x1020, 72, 4), Some([16; 2]), "rounded up");
        assert_eq!(sizes(0x1020, 72, 1), Some([72, 64]));
        assert_eq!(sizes(0x1020, 88, 4), Some([16; 2]), "what was left was too small for a block");
        assert_eq!(sizes(0x1020, 104, 5), Some([16; 2]));
        assert_eq!(sizes(0x1020, 104, 9), None);
        assert_eq!(sizes(0x1010, 4080, 9), Some([448; 2]), "a mapping");
        assert_eq!(sizes(0x1020, 40, 8), None);
        let of_no_words =
            |bytes: u64, capacity| is_of_no_words(&(0x1020..0x1020 + bytes), capacity);
        assert!(of_no_words(120, 10), "twelve bytes each");
        assert!(!of_no_words(120, 5) && !of_no_words(120, 0) && !of_no_words(120, 13));
    }

    #[test]
    fn control_bytes_say_which_buckets_are_full() {
        // Four buckets of 24 bytes; the second is full, the third was.
        const BYTES: usize = 4 + GROUP;
        let mut control = [EMPTY; BYTES.next_multiple_of(8)];
        let (second, third) = (GROUP + 1, GROUP + 2);
        (control[1], control[2]) = (0x35, DELETED);
        (control[second], control[third]) = (0x35, DELETED);
        let words = |bytes: [u8; BYTES.next_multiple_of(8)]| -> Vec<u64> {
            bytes.chunks(8).map(|word| u64::from_ne_bytes(word.try_into().unwrap())).collect()
        };
        let after = BYTES.next_multiple_of(8) as u64;
        let table = Table::new(96, after, [3, 2, 1]).unwrap();
        let buckets = table.buckets(&words(control)).unwrap();
        let full = [72, 48, 24, 0].map(|offset| buckets.is_full(offset));
        assert_eq!(full, [Some(false), Some(true), Some(false), Some(false)]);
        assert_eq!(buckets.is_full(64), Some(true), "in the second's third word");
        let other = Table::new(96, after, [3, 2, 2]).unwrap();
        assert_eq!(other.buckets(&words(control)), None, "another number is full");
        control[second] = 0x36;
        assert_eq!(table.buckets(&words(control)), None, "it is not repeated");
        for words in [[2, 2, 1], [15, 2, 1], [3, 2, 3]] {
            assert_eq!(Table::new(96, after, words), None, "{words:?}");
        }
        assert_eq!(Table::new(16, after, [3, 2, 1]), None, "there is no room for four");
    }

    #[test]
    fn std_has_a_table_so() {
        let memory = ProcessMemory::of(std::process::id() as _);
        for count in [3_u64, 6, 100] {
            let mut map: HashMap<u64, u64> = (0..count).map(|key| (key, key + 1)).collect();
            map.remove(&0);
            let mut words = [0; 6];
            assert_eq!(memory.read(std::ptr::from_ref(&map).addr() as u64, &mut words), 6);
            let buckets = (count * 8 / 7 + 1).next_power_of_two();
            let [control, mask, left, items] = words[..4] else { unreachable!() };
            assert_eq!([mask, items], [buckets - 1, count - 1]);
            let table =
                Table::new(16 * buckets, buckets + GROUP as u64, [mask, left, items]).unwrap();
            let full = table.read(&memory, control - 16 * buckets).unwrap();
            for value in map.values() {
                let offset = std::ptr::from_ref(value).addr() as u64 - (control - 16 * buckets);
                assert_eq!(full.is_full(offset), Some(true));
            }
            let all = (0..buckets).filter(|bucket| full.is_full(16 * bucket) == Some(true));
            assert_eq!(all.count() as u64, count - 1);
        }
    }
}
