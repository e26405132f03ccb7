//! Blocks, as they lie in the file.

use super::super::source::Source;
use crate::model::format::{BLOCK_BYTES, BlockWord, Checksum, HEAD, SLOT_BYTES, SLOTS, WORDS};
use std::io;

pub(super) type Slot = [u64; WORDS];

/// A block, in this machine's byte order.
pub(super) struct Block {
    bytes: Vec<u8>,
    pub(super) slots: Vec<Slot>,
    pub(super) swapped: bool,
}

/// A block's head.
#[derive(Clone, Copy)]
pub(super) struct Head {
    pub(super) kind: u64,
    pub(super) sequence: u64,
    pub(super) len: u64,
    pub(super) checksum: u64,
    pub(super) recording: u64,
}

impl Block {
    pub(super) fn new(swapped: bool) -> Self {
        Self { bytes: vec![0; BLOCK_BYTES], slots: Vec::with_capacity(SLOTS), swapped }
    }

    /// Reads so many slots of a block, or as many as there are.
    pub(super) fn read(
        &mut self,
        source: &dyn Source,
        offset: u64,
        slots: usize,
    ) -> io::Result<()> {
        let bytes = source.read_at(offset, &mut self.bytes[..slots * SLOT_BYTES])?;
        self.slots.clear();
        let (slots, _) = self.bytes[..bytes].as_chunks::<SLOT_BYTES>();
        // A loop without a question in it copies several words at once.
        self.slots.extend(slots.iter().map(|slot| {
            let (words, _) = slot.as_chunks::<8>();
            std::array::from_fn(|word| u64::from_ne_bytes(words[word]))
        }));
        if self.swapped {
            self.slots.iter_mut().flatten().for_each(|word| *word = word.swap_bytes());
        }
        Ok(())
    }

    pub(super) fn head(&self) -> Option<Head> {
        let word =
            |word: BlockWord| Some(self.slots.get(word as usize / WORDS)?[word as usize % WORDS]);
        Some(Head {
            kind: word(BlockWord::Kind)?,
            sequence: word(BlockWord::Sequence)?,
            len: word(BlockWord::Len)?,
            checksum: word(BlockWord::Checksum)?,
            recording: word(BlockWord::Recording)?,
        })
    }

    /// Whether the block is what its checksum says, if it has one.
    pub(super) fn is_sound(&mut self, head: &Head, len: usize) -> bool {
        if head.checksum == 0 {
            return true;
        }
        let place = BlockWord::Checksum as usize;
        self.slots[place / WORDS][place % WORDS] = 0;
        Checksum::of(&self.slots[..len]) == head.checksum
    }

    /// The bytes of a text that lies in slots.
    pub(super) fn text(&self, slot: usize, bytes: usize) -> Option<&[u8]> {
        let start = slot * SLOT_BYTES;
        self.bytes
            .get(start..start + bytes)
            .filter(|_| start + bytes <= self.slots.len() * SLOT_BYTES)
    }
}

pub(super) fn word_of(bytes: &[u8]) -> u64 {
    bytes[..8].try_into().map_or(0, u64::from_ne_bytes)
}

/// A block's place in the order, and its index in the file.
pub(super) type Place = (u64, u64);

/// A file's blocks.
pub(super) struct Blocks {
    pub(super) source: Box<dyn Source>,
    pub(super) recording: u64,
    pub(super) swapped: bool,
}

/// What became of a block that was to be read.
pub(super) enum Loaded {
    /// So many slots are whole.
    Whole(usize),
    /// The file was cut off within the block, after so many slots.
    CutOff(usize),
    /// It was used again meanwhile.
    Replaced,
    Damaged(&'static str),
}

impl Blocks {
    /// Reads a block.
    pub(super) fn load(&self, block: &mut Block, (sequence, index): Place) -> io::Result<Loaded> {
        let offset = index * BLOCK_BYTES as u64;
        block.read(&*self.source, offset, SLOTS)?;
        let Some(head) = block.head().filter(|head| head.sequence == sequence) else {
            return Ok(Loaded::Replaced);
        };
        let there = block.slots.len();
        let len = usize::try_from(head.len).unwrap_or(usize::MAX);
        if !(HEAD..=SLOTS).contains(&len) {
            return Ok(Loaded::Damaged("the block's length is out of range"));
        }
        if len > there {
            return Ok(Loaded::CutOff(there));
        }
        if !block.is_sound(&head, len) {
            // It may be in use again, by the process that writes it.
            let mut now = Block::new(self.swapped);
            now.read(&*self.source, offset, HEAD)?;
            if now.head().is_some_and(|now| now.sequence == sequence) {
                return Ok(Loaded::Damaged("the block does not fit its checksum"));
            }
            return Ok(Loaded::Replaced);
        }
        Ok(Loaded::Whole(len))
    }
}
