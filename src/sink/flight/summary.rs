//! What is known from blocks that had to go: of each object that may be alive its counts, and the events that made what is alive
//! of it.
//!
//! ```text
//!  a block is given up:   Kept, Gone, Object or Over for what is in it,  Evicted: the block's number   │ it is used again
//!                         └──────────────────── count from here on ───────────────────────────────┘
//! ```
//!
//! An entry of an object stands for those before it. Blocks of entries that have been overtaken are given up
//! in turn, the oldest first, after what of them still counts has been written anew: while at least half of the entries are
//! overtaken. So the blocks are never more than what is alive makes them, some aside, and each entry that is written has to
//! pay for one that is written anew: an event costs O(1).

mod known;

use self::known::{Event, Known};
use super::entries::{Entry, Writer};
use super::space::{Space, block_word};
use crate::event::Op;
use crate::model::format::{BlockWord, EntryKind, HEAD, SLOTS, SUMMARY};
use crate::model::{ByNumber, Keyed};
use crate::runtime::log::{STACK, Segment, THREAD, WORDS, Words};
use std::collections::{HashSet, VecDeque};
use std::sync::Arc;
use std::sync::atomic::Ordering;

/// The objects of blocks that are gone.
pub(super) struct Summary {
    writer: Writer,
    /// Blocks of entries, the oldest first, each with its place in the order.
    blocks: VecDeque<(u64, Arc<Segment>)>,
    objects: ByNumber<u64, Known>,
    /// Slots of the entries that count.
    slots: usize,
}

/// What a block that is given up changes.
#[derive(Default)]
struct Changes {
    /// Objects with events in it.
    objects: Vec<u64>,
    /// Events that are kept.
    kept: Vec<Event>,
    /// Events that were kept and are not any more, with their objects.
    gone: Vec<(u64, u64)>,
}

/// Blocks of entries that may be there, whatever they hold.
const FEW: usize = 4;
/// Blocks of entries that are given up at once: more than a block of events can fill, so that few are left over for long.
const AT_ONCE: usize = 8;

impl Summary {
    pub(super) fn new() -> Self {
        let writer = Writer::new(SUMMARY);
        Self { writer, blocks: VecDeque::new(), objects: ByNumber::default(), slots: 0 }
    }

    /// Takes in a block that is given up. False where the file has no room for that: then it has to stay.
    pub(super) fn take_in(&mut self, space: &Space, block: &Segment) -> bool {
        // All or nothing: entries that were written count with the next block that is given up, whichever it is.
        if !self.writer.reserve(space, self.most_slots(block)) {
            return false;
        }
        let changes = self.follow(block);
        let sequence = sequence_of(block);
        let written = self.write(space, changes)
            && self.writer.words(space, Entry::new(EntryKind::Evicted, sequence), &[]);
        self.note_block();
        if written {
            for _ in 0..AT_ONCE {
                if !self.clean(space) {
                    break;
                }
            }
        }
        written
    }

    /// How many slots the entries of a block can take at most.
    fn most_slots(&self, block: &Segment) -> usize {
        let mut slots = 1;
        let mut seen: HashSet<u64, Keyed> = HashSet::default();
        for event in events_of(block) {
            let known = self.objects.get(&event.object);
            if seen.insert(event.object) {
                slots += known.map_or(Known::SLOTS, Known::most_slots);
            }
            slots += event.most_slots(known.is_some_and(Known::has_rare));
        }
        slots
    }

    /// Applies the events of a block to what is known.
    fn follow(&mut self, block: &Segment) -> Changes {
        let mut changes = Changes::default();
        let mut gone = Vec::new();
        for mut event in events_of(block) {
            let object = event.object;
            let known = self.objects.entry(object).or_default();
            if !known.is_touched {
                known.is_touched = true;
                self.slots -= known.slots();
                changes.objects.push(object);
            }
            if known.follow(&mut event, &mut gone) {
                changes.kept.push(event);
            }
            changes.gone.extend(gone.drain(..).map(|seq| (object, seq)));
        }
        changes
    }

    /// Writes what has changed.
    fn write(&mut self, space: &Space, changes: Changes) -> bool {
        for event in changes.kept {
            let object = event.object;
            let Some(known) = self.objects.get_mut(&object).filter(|known| !known.is_over()) else {
                continue;
            };
            // It may be over already.
            if known.block_of(event.seq).is_none_or(|block| *block != 0) {
                continue;
            }
            let key = u64::from(event.thread) << 32 | u64::from(event.stack);
            let words = event.words();
            if !self.writer.words(space, Entry::new(EntryKind::Kept, key), words.as_flattened()) {
                return false;
            }
            let block = self.note_block();
            if let Some(known) = self.objects.get_mut(&object) {
                known.written(event.seq, block);
            }
        }
        for (object, seq) in changes.gone {
            if self.objects.get(&object).is_some_and(Known::is_over) {
                continue;
            }
            let entry = Entry { kind: EntryKind::Gone, key: object, values: [seq, 0] };
            if !self.writer.words(space, entry, &[]) {
                return false;
            }
        }
        for object in changes.objects {
            let Some(known) = self.objects.get_mut(&object) else { continue };
            known.is_touched = false;
            if known.is_over() {
                let in_file = known.in_file();
                self.objects.remove(&object);
                // Of an object that came and went within what is gone the file knows nothing.
                if in_file && !self.writer.words(space, Entry::new(EntryKind::Over, object), &[]) {
                    return false;
                }
                continue;
            }
            if known.events() > 0 && !self.write_object(space, object) {
                return false;
            }
            self.slots += self.objects.get(&object).map_or(0, Known::slots);
        }
        true
    }

    /// Writes the counts of an object.
    fn write_object(&mut self, space: &Space, object: u64) -> bool {
        let Some(known) = self.objects.get(&object) else { return true };
        let written = self.writer.words(space, known.entry(object), &known.words());
        let block = self.note_block();
        if let Some(known) = self.objects.get_mut(&object) {
            known.block = block;
        }
        written
    }

    /// Notes the block that is being written, and returns its place in the order.
    fn note_block(&mut self) -> u64 {
        let Some(segment) = self.writer.segment() else { return 0 };
        let sequence = sequence_of(segment);
        if self.blocks.back().is_none_or(|(last, _)| *last != sequence) {
            self.blocks.push_back((sequence, Arc::clone(segment)));
        }
        sequence
    }

    /// Gives up the oldest block of entries, where most are overtaken and there is room for the others. False where it stays.
    fn clean(&mut self, space: &Space) -> bool {
        let needed = self.slots / (SLOTS - HEAD);
        // As many as its entries, and the one behind them.
        if self.blocks.len() <= 2 * needed + FEW || !self.writer.reserve(space, SLOTS - HEAD + 1) {
            return false;
        }
        let Some((sequence, oldest)) = self.blocks.front().map(|(s, b)| (*s, Arc::clone(b))) else {
            return false;
        };
        let slots: Vec<Words> = oldest.records().collect();
        let mut at = 0;
        while let Some(head) = slots.get(at) {
            let content = (head[0] as u32 as usize).div_ceil(size_of::<Words>());
            let written = match EntryKind::from_number((head[0] >> 56) as u8) {
                Some(EntryKind::Object) if self.is_latest(head[1], sequence) => {
                    self.write_object(space, head[1])
                }
                Some(EntryKind::Kept) => {
                    let record = slots.get(at + 1..at + 1 + content).unwrap_or_default();
                    self.rewrite(space, head[1], record, sequence)
                }
                _ => true,
            };
            if !written {
                return false;
            }
            at += 1 + content;
        }
        // What was written counts from here on; only then the block may go.
        let written = self.writer.words(space, Entry::new(EntryKind::Evicted, 0), &[]);
        self.note_block();
        if written {
            self.blocks.pop_front();
            space.free(oldest);
        }
        written
    }

    /// Whether the counts of an object are those in this block.
    fn is_latest(&self, object: u64, block: u64) -> bool {
        self.objects.get(&object).is_some_and(|known| known.block == block)
    }

    /// Writes an event anew that is kept in this block, if it still is.
    fn rewrite(&mut self, space: &Space, key: u64, record: &[Words], block: u64) -> bool {
        let Some(first) = record.first() else { return true };
        let (object, seq) = (first[2] >> 24, first[0] >> 24);
        let place = self.objects.get_mut(&object).and_then(|known| known.block_of(seq));
        if place.is_none_or(|place| *place != block) {
            return true;
        }
        let entry = Entry::new(EntryKind::Kept, key);
        let written = self.writer.words(space, entry, record.as_flattened());
        let block = self.note_block();
        if let Some(place) = self.objects.get_mut(&object).and_then(|known| known.block_of(seq)) {
            *place = block;
        }
        written
    }
}

fn sequence_of(block: &Segment) -> u64 {
    // Relaxed: who has a block has it with its head.
    block_word(block, BlockWord::Sequence).load(Ordering::Relaxed)
}

/// The events of a block, in order.
fn events_of(block: &Segment) -> impl Iterator<Item = Event> + '_ {
    let mut records = block.records();
    let (mut thread, mut stack) = (0, 0);
    std::iter::from_fn(move || {
        loop {
            let record = records.next()?;
            let op = match (record[1] >> 56) as u8 {
                THREAD => {
                    thread = record[0] as u32;
                    continue;
                }
                STACK => {
                    stack = record[0] as u32;
                    continue;
                }
                op => Op::from_number(op),
            };
            let seq = record[0] >> 24;
            let birth = if seq == 1 { records.next() } else { None };
            let stack = std::mem::take(&mut stack);
            let Some(op) = op else { continue };
            let object = record[2] >> 24;
            return Some(Event { op, object, seq, record, birth, thread, stack });
        }
    })
}

const _: () = assert!(WORDS == crate::model::format::WORDS);
