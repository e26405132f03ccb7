//! What writer and reader of packed recordings know. The format is documented where it is written: see
//! [`RecordingFile::pack`](super::RecordingFile::pack).

pub(crate) mod write;

use super::format::{Checksum, SLOT_BYTES, WORDS};

/// Of the head that all recordings begin with.
pub(crate) const VERSION: u64 = 2;
/// Bytes of the file's head, of a chunk's, and of the tail.
pub(crate) const FILE_HEAD: usize = 32;
pub(crate) const CHUNK_HEAD: usize = 32;
pub(crate) const TAIL: usize = 16;

const CHUNK: u32 = u32::from_le_bytes(*b"RFCK");
pub(crate) const TAIL_MARK: u64 = u64::from_le_bytes(*b"RFPKTAIL");

/// Kinds of chunks.
pub(crate) const TABLES: u32 = 1;
pub(crate) const EVENTS: u32 = 2;
pub(crate) const INDEX: u32 = 3;

/// Bytes that a chunk may have when it is unpacked. None is written that has more.
pub(crate) const LARGEST: usize = 64 << 20;
/// No block of LZ4 unpacks to more than so many times its bytes.
pub(crate) const LARGEST_RATIO: usize = 256;

/// Columns of a chunk of events.
#[derive(Clone, Copy)]
pub(crate) enum Column {
    Objects,
    Runs,
    Times,
    Ops,
    Seqs,
    Strong,
    Handles,
    From,
    Of,
    Lines,
    Threads,
    Spans,
    Stacks,
    Time,
    Labels,
}

pub(crate) const COLUMNS: usize = Column::Labels as usize + 1;

/// What follows in an object's row.
pub(crate) const HAS_LABEL: u64 = 1;
pub(crate) const HAS_EARLIER: u64 = 2;

/// Kinds of entries of tables.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Entry {
    Origin = 1,
    Location,
    Thread,
    Span,
    Type,
    Module,
    Stack,
    Mark,
    Source,
    Damage,
    State,
    Lines,
}

/// A chunk's head.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ChunkHead {
    pub(crate) kind: u32,
    pub(crate) packed: u32,
    pub(crate) unpacked: u32,
    pub(crate) events: u32,
    pub(crate) checksum: u64,
}

impl ChunkHead {
    pub(crate) fn to_bytes(self) -> [u8; CHUNK_HEAD] {
        let mut bytes = [0; CHUNK_HEAD];
        let words = [CHUNK, self.kind, self.packed, self.unpacked, self.events, 0];
        for (to, word) in bytes.chunks_exact_mut(4).zip(words) {
            to.copy_from_slice(&word.to_le_bytes());
        }
        bytes[24..].copy_from_slice(&self.checksum.to_le_bytes());
        bytes
    }

    /// `None` where it is no chunk's head.
    pub(crate) fn of_bytes(bytes: &[u8]) -> Option<Self> {
        let word = |at: usize| Some(u32::from_le_bytes(bytes.get(at..at + 4)?.try_into().ok()?));
        (word(0)? == CHUNK).then_some(())?;
        let checksum = u64::from_le_bytes(bytes.get(24..32)?.try_into().ok()?);
        let (kind, packed, unpacked, events) = (word(4)?, word(8)?, word(12)?, word(16)?);
        Some(Self { kind, packed, unpacked, events, checksum })
    }

    /// What the checksum is to be, with these bytes behind the head.
    pub(crate) fn sum(&self, bytes: &[u8]) -> u64 {
        let numbers = [self.kind, self.packed, self.unpacked, self.events];
        let slots = bytes.chunks(SLOT_BYTES).map(|slot| {
            let mut words = [0; WORDS];
            for (word, bytes) in words.iter_mut().zip(slot.chunks(8)) {
                let mut whole = [0; 8];
                whole[..bytes.len()].copy_from_slice(bytes);
                *word = u64::from_le_bytes(whole);
            }
            words
        });
        let first = std::iter::once(numbers.map(u64::from));
        Checksum::of(&first.chain(slots).collect::<Vec<_>>())
    }
}

pub(crate) fn varint(to: &mut Vec<u8>, mut number: u64) {
    while number >= 0x80 {
        to.push(number as u8 | 0x80);
        number >>= 7;
    }
    to.push(number as u8);
}

pub(crate) fn zigzag(number: i64) -> u64 {
    ((number << 1) ^ (number >> 63)) as u64
}

pub(crate) fn unzigzag(number: u64) -> i64 {
    (number >> 1) as i64 ^ -((number & 1) as i64)
}

/// Bytes that are read one after the other. Each gives `None` where there are too few.
#[derive(Clone, Copy)]
pub(crate) struct Bytes<'a>(pub(crate) &'a [u8]);

impl<'a> Bytes<'a> {
    #[inline(always)]
    pub(crate) fn varint(&mut self) -> Option<u64> {
        let (&first, rest) = self.0.split_first()?;
        if first < 0x80 {
            self.0 = rest;
            return Some(first.into());
        }
        self.long_varint()
    }

    fn long_varint(&mut self) -> Option<u64> {
        let mut number = 0;
        for (at, &byte) in self.0.iter().enumerate().take(10) {
            number |= u64::from(byte & 0x7f) << (7 * at);
            if byte < 0x80 {
                self.0 = &self.0[at + 1..];
                return Some(number);
            }
        }
        None
    }

    #[inline(always)]
    pub(crate) fn signed(&mut self) -> Option<i64> {
        Some(unzigzag(self.varint()?))
    }

    pub(crate) fn take(&mut self, bytes: u64) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(usize::try_from(bytes).ok()?)?;
        self.0 = rest;
        Some(taken)
    }

    pub(crate) fn text(&mut self) -> Option<String> {
        let bytes = self.varint()?;
        Some(String::from_utf8_lossy(self.take(bytes)?).into_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_come_back() {
        let numbers = [0, 1, 127, 128, 300, 1 << 35, u64::MAX];
        let mut bytes = Vec::new();
        numbers.into_iter().for_each(|number| varint(&mut bytes, number));
        let mut from = Bytes(&bytes);
        assert_eq!(numbers.map(|_| from.varint().unwrap()), numbers);
        assert_eq!(from.varint(), None);
        assert_eq!(Bytes(&[0x80; 11]).varint(), None);
        for number in [0, -1, 1, i64::MIN, i64::MAX] {
            assert_eq!(unzigzag(zigzag(number)), number);
        }
    }

    #[test]
    fn heads_come_back_and_are_summed() {
        let mut head = ChunkHead { kind: EVENTS, packed: 3, unpacked: 9, events: 2, checksum: 0 };
        head.checksum = head.sum(b"abc");
        assert_eq!(ChunkHead::of_bytes(&head.to_bytes()), Some(head));
        for other in [ChunkHead { unpacked: 8, ..head }, ChunkHead { kind: TABLES, ..head }] {
            assert_ne!(other.sum(b"abc"), head.checksum);
        }
        assert_ne!(head.sum(b"abd"), head.checksum);
        assert_eq!(ChunkHead::of_bytes(&[0; 40]), None);
    }
}
