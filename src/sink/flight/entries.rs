//! Entries: what records refer to, written into blocks of their own.

use super::space::Space;
use crate::model::format::{ENTRIES, EntryKind, HEAD, LONGEST_TEXT, SLOTS, WORDS, entry_word};
use crate::runtime::log::Segment;
use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::Ordering;

/// An entry, but for its text or its words.
#[derive(Clone, Copy)]
pub(super) struct Entry {
    pub(super) kind: EntryKind,
    pub(super) key: u64,
    pub(super) values: [u64; 2],
}

impl Entry {
    pub(super) fn new(kind: EntryKind, key: u64) -> Self {
        Self { kind, key, values: [0; 2] }
    }
}

/// The end of a sequence of blocks with entries, at which one thread at a time writes.
pub(super) struct Writer {
    kind: u64,
    segment: Option<Arc<Segment>>,
    at: usize,
    /// The blocks that come next, where they are reserved.
    reserved: VecDeque<Arc<Segment>>,
}

impl Writer {
    pub(super) fn new(kind: u64) -> Self {
        Self { kind, segment: None, at: SLOTS, reserved: VecDeque::new() }
    }

    /// Writes an entry with a text, in parts where it is long. False where the file has no room.
    pub(super) fn text(&mut self, space: &Space, entry: Entry, text: &str) -> bool {
        let parts = text.as_bytes().chunks(LONGEST_TEXT);
        let parts: &mut dyn Iterator<Item = &[u8]> =
            if text.is_empty() { &mut std::iter::once(&[][..]) } else { &mut { parts } };
        for (part, bytes) in (0..).zip(parts) {
            let words = bytes.chunks(8).map(|bytes| {
                let mut word = [0; 8];
                word[..bytes.len()].copy_from_slice(bytes);
                u64::from_ne_bytes(word)
            });
            if !self.put(space, entry, part, bytes.len(), words) {
                return false;
            }
        }
        true
    }

    /// Writes an entry with words.
    pub(super) fn words(&mut self, space: &Space, entry: Entry, words: &[u64]) -> bool {
        self.put(space, entry, 0, size_of_val(words), words.iter().copied())
    }

    /// The block that is being written.
    pub(super) fn segment(&self) -> Option<&Arc<Segment>> {
        self.segment.as_ref()
    }

    /// Reserves room for entries that have so many slots in all, and few each. False where the file has none.
    pub(super) fn reserve(&mut self, space: &Space, slots: usize) -> bool {
        // What an entry leaves at the end of a block, which it does not fit in.
        const LEFT: usize = 3;
        let here = (SLOTS - self.at).saturating_sub(LEFT);
        let blocks = slots.saturating_sub(here).div_ceil(SLOTS - HEAD - LEFT);
        while self.reserved.len() < blocks {
            let Some(next) = space.for_entries(self.kind) else { return false };
            self.reserved.push_back(next);
        }
        true
    }

    /// Makes room for so many slots, and returns the block that was left for it.
    fn extend(&mut self, space: &Space, slots: usize) -> Option<()> {
        if self.at + slots > SLOTS {
            // The old one stays until there is another: what follows may be shorter.
            let reserved = self.reserved.pop_front();
            let next = reserved.or_else(|| space.for_entries(self.kind))?;
            if let Some(before) = self.segment.replace(next) {
                space.seal(&before);
            }
            self.at = HEAD;
        }
        Some(())
    }

    fn put(
        &mut self,
        space: &Space,
        entry: Entry,
        part: u64,
        bytes: usize,
        words: impl Iterator<Item = u64>,
    ) -> bool {
        let slots = 1 + bytes.div_ceil(WORDS * size_of::<u64>());
        if self.extend(space, slots).is_none() {
            return false;
        }
        let Some(segment) = &self.segment else { return false };
        let [first, second] = entry.values;
        let head = [entry_word(entry.kind, part, bytes), entry.key, first, second];
        let mut places = segment.words()[self.at..self.at + slots].iter().flatten();
        for word in head.into_iter().chain(words) {
            // Relaxed: published below.
            if let Some(place) = places.next() {
                place.store(word, Ordering::Relaxed);
            }
        }
        // What was there before, in a block that is used again.
        places.for_each(|place| place.store(0, Ordering::Relaxed));
        self.at += slots;
        segment.publish(self.at);
        true
    }
}

impl Default for Writer {
    fn default() -> Self {
        Self::new(ENTRIES)
    }
}
