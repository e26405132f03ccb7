//! What is known from blocks that had to go: of each object that may be alive, what it is, and its counts then.
//!
//! ```text
//!  a block is given up:   Object or Over for each object in it,  Evicted: the block's number   │ it is used again
//!                         └──────────── count from here on ────────────────────────────────┘
//! ```
//!
//! An entry of an object stands for those before it. Blocks of entries that have been overtaken are given up
//! in turn, the oldest first, after what of them still counts has been written anew: so as to read them takes no longer
//! than what is alive makes it, and to write them never long at once.

use super::entries::{Entry, Writer};
use super::space::{Space, block_word};
use crate::event::Op;
use crate::model::format::{BlockWord, EntryKind, HEAD, SUMMARY};
use crate::runtime::log::{Segment, Words};
use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::sync::Arc;
use std::sync::atomic::Ordering;

/// The objects of blocks that are gone.
pub(super) struct Summary {
    writer: Writer,
    /// Blocks of entries, the oldest first, each with its place in the order.
    blocks: VecDeque<(u64, Arc<Segment>)>,
    objects: HashMap<u64, Known>,
}

#[derive(Clone, Copy, Default)]
struct Known {
    events: u64,
    highest: u64,
    strong: i64,
    weak: i64,
    birth: Option<Birth>,
    /// The latest label, after the number of its event; zeros for none.
    label: (u64, u64),
    /// The block that has its latest entry, by its place in the order; 0 for none.
    block: u64,
}

#[derive(Clone, Copy)]
struct Birth {
    ty: u64,
    size: u64,
    path: u64,
}

/// Slots of an object's entry.
const OBJECT_SLOTS: usize = 3;
/// Blocks of entries that may be there, whatever they hold.
const FEW: usize = 4;

impl Summary {
    pub(super) fn new() -> Self {
        let writer = Writer::new(SUMMARY);
        Self { writer, blocks: VecDeque::new(), objects: HashMap::new() }
    }

    /// Takes in a block that is given up. False where the file has no room for that: then it has to stay.
    pub(super) fn take_in(&mut self, space: &Space, block: &Segment) -> bool {
        let mut after: BTreeMap<u64, Known> = BTreeMap::new();
        let mut records = block.records();
        while let Some(record) = records.next() {
            let Some(op) = Op::from_number((record[1] >> 56) as u8) else { continue };
            let (object, seq) = (record[2] >> 24, record[0] >> 24);
            let birth = if seq == 1 { records.next() } else { None };
            let before = || self.objects.get(&object).copied().unwrap_or_default();
            after.entry(object).or_insert_with(before).follow(op, &record, birth);
        }
        // All or nothing: entries that were written count with the next block that is given up, whichever it is.
        let entries = after.values().filter(|known| known.has_entry()).count() + 1;
        if !self.writer.reserve(space, entries, OBJECT_SLOTS) {
            return false;
        }
        for (object, known) in after {
            self.objects.insert(object, known);
            if !self.write(space, object) {
                return false;
            }
        }
        let sequence = block_word(block, BlockWord::Sequence).load(Ordering::Relaxed);
        let written = self.writer.words(space, Entry::new(EntryKind::Evicted, sequence), &[]);
        if written {
            self.clean(space);
        }
        written
    }

    /// Writes what is known of an object.
    fn write(&mut self, space: &Space, object: u64) -> bool {
        let Some(known) = self.objects.get(&object).copied() else { return true };
        let over = known.is_over();
        let written = if !known.has_entry() {
            true
        } else if over {
            self.writer.words(space, Entry::new(EntryKind::Over, object), &[])
        } else {
            self.writer.words(space, known.entry(object), &known.words())
        };
        let block = self.note_block();
        if over {
            self.objects.remove(&object);
        } else if let Some(known) = self.objects.get_mut(&object) {
            known.block = block;
        }
        written
    }

    /// Notes the block that is being written, and returns its place in the order.
    fn note_block(&mut self) -> u64 {
        let Some(segment) = self.writer.segment() else { return 0 };
        let sequence = block_word(segment, BlockWord::Sequence).load(Ordering::Relaxed);
        if self.blocks.back().is_none_or(|(last, _)| *last != sequence) {
            self.blocks.push_back((sequence, Arc::clone(segment)));
        }
        sequence
    }

    /// Gives up the oldest block of entries, where most are overtaken and there is room for the others.
    fn clean(&mut self, space: &Space) {
        let needed = self.objects.len() * OBJECT_SLOTS / (crate::model::format::SLOTS - HEAD);
        if self.blocks.len() <= 2 * needed + FEW {
            return;
        }
        let Some((sequence, oldest)) = self.blocks.front() else { return };
        let is_latest =
            |object: &u64| self.objects.get(object).is_some_and(|known| known.block == *sequence);
        // An object may have several entries in it.
        let objects: BTreeSet<u64> = objects_of(oldest).into_iter().filter(is_latest).collect();
        if !self.writer.reserve(space, objects.len() + 1, OBJECT_SLOTS)
            || !objects.into_iter().all(|object| self.write(space, object))
        {
            return;
        }
        // What was written counts from here on; only then the block may go.
        let written = self.writer.words(space, Entry::new(EntryKind::Evicted, 0), &[]);
        self.note_block();
        if written && let Some((_, oldest)) = self.blocks.pop_front() {
            space.free(oldest);
        }
    }
}

/// The objects of which a block has entries.
fn objects_of(block: &Segment) -> Vec<u64> {
    let (mut objects, mut at) = (Vec::new(), 0);
    let records: Vec<Words> = block.records().collect();
    while let Some(head) = records.get(at) {
        if EntryKind::from_number((head[0] >> 56) as u8) == Some(EntryKind::Object) {
            objects.push(head[1]);
        }
        at += 1 + (head[0] as u32 as usize).div_ceil(size_of::<Words>());
    }
    objects
}

impl Known {
    fn follow(&mut self, op: Op, record: &Words, birth: Option<Words>) {
        let (seq, path) = (record[0] >> 24, record[2] & 0xff_ffff);
        self.events += 1;
        // Blocks of several threads go in another order than the events happened, and some that are older may be there
        // yet: the latest event says what the strong count was, whatever is missing. Of the weak one there is the sum.
        if seq >= self.highest {
            (self.highest, self.strong) = (seq, (record[0] & 0xff_ffff) as i64);
        }
        self.weak += i64::from(op.weak_delta());
        if let Some([ty, size, ..]) = birth {
            self.birth = Some(Birth { ty, size, path });
        }
        if op == Op::Label {
            self.label = (seq, record[3]).max(self.label);
        }
    }

    /// Every event has gone, and no handle is left.
    fn is_over(&self) -> bool {
        self.birth.is_some() && self.events == self.highest && self.strong == 0 && self.weak == 0
    }

    /// Whether an entry says so: of an object that came and went within what is gone there is none.
    fn has_entry(&self) -> bool {
        !self.is_over() || self.block != 0
    }

    fn entry(&self, object: u64) -> Entry {
        Entry { kind: EntryKind::Object, key: object, values: [self.events, self.highest] }
    }

    fn words(&self) -> [u64; 7] {
        let birth = self.birth.unwrap_or(Birth { ty: 0, size: 0, path: 0 });
        let (labeled, label) = self.label;
        let [strong, weak] = [self.strong, self.weak].map(|count| count as u64);
        [strong, weak, birth.ty, birth.size, birth.path, label, labeled]
    }
}
