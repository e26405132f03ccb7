//! The binary format, as [`FlightRecorder`](crate::sink::FlightRecorder) writes it: a block that is not as it should be is left
//! out and reported.
//!
//! What records refer to may stand anywhere in the file, so there are two rounds: one for the entries, by the heads
//! of the blocks, and one for the events. Neither keeps more than some blocks and the tables.

mod blocks;
mod tables;

use self::blocks::{Block, Blocks, Loaded, Place, Slot, word_of};
use self::tables::{Reader, Tables};
use super::parts::{Batches, Parts};
use super::source::Source;
use super::{ReadError, UNKNOWN, What, damaged};
use crate::event::{HandleId, ObjectId, Op, Time};
use crate::model::format::{
    BLOCK, BLOCK_BYTES, BYTE_ORDER, Checksum, ENTRIES, EVENTS, EXITED, FileWord, HEAD, MAGIC,
    SLOT_BYTES, SUMMARY, VERSION,
};
use crate::model::{EventRecord, Origin, Recording, RecordingEnd};
use std::cell::Cell;

/// A recording's blocks of events, and what they refer to.
pub(super) struct Recorded {
    blocks: Blocks,
    tables: Tables,
    /// Blocks of events, in the order in which they were begun.
    events: Vec<Place>,
    length: u64,
}

/// Reads a recording's head and tables.
pub(super) fn open(
    source: Box<dyn Source>,
    recording: &mut Recording,
) -> Result<Recorded, ReadError> {
    let failed = |error| ReadError::at(0, What::Io(error));
    let length = source.length().map_err(failed)?;
    let blocks = read_head(source, recording)?;
    let [mut entries, mut summaries, mut events] = [const { Vec::<Place>::new() }; 3];
    let mut block = Block::new(blocks.swapped);
    for index in 1..length.div_ceil(BLOCK_BYTES as u64) {
        block.read(&*blocks.source, index * BLOCK_BYTES as u64, HEAD).map_err(failed)?;
        let Some(head) = block.head() else {
            recording.truncated = true;
            continue;
        };
        // Reserved, and not used yet, or to be used again.
        if head.sequence == 0 {
            continue;
        }
        let list = match head.kind ^ BLOCK {
            _ if head.recording != blocks.recording => {
                leave_out(recording, index, "the block is none of this recording");
                continue;
            }
            EVENTS => &mut events,
            ENTRIES => &mut entries,
            SUMMARY => &mut summaries,
            kind if kind < 1 << 32 => {
                let reason = format!("a block of kind {kind}, which this refscope does not know");
                leave_out(recording, index, &reason);
                continue;
            }
            _ => {
                leave_out(recording, index, "not a block's head");
                continue;
            }
        };
        list.push((head.sequence, index));
    }
    // Whole blocks are written, and which process it is first.
    recording.truncated |= length % BLOCK_BYTES as u64 != 0 || entries.is_empty();
    let has_events = !events.is_empty() || !summaries.is_empty();
    for list in [&mut entries, &mut summaries, &mut events] {
        list.sort_unstable();
    }
    let mut reader = Reader::new(blocks.swapped);
    for place in entries.into_iter().chain(summaries) {
        reader.entries(&blocks, recording, place)?;
    }
    let tables = reader.end(recording);
    // There are lines, and nothing that happened on them.
    recording.truncated |= !has_events && !recording.locations.is_empty() && recording.lost == 0;
    events.retain(|place| !tables.evicted.contains(&place.0));
    Ok(Recorded { blocks, tables, events, length })
}

/// Reads the head of the file.
fn read_head(source: Box<dyn Source>, recording: &mut Recording) -> Result<Blocks, ReadError> {
    let at = |what| ReadError::at(0, what);
    let mut head = [0; BLOCK_BYTES];
    let bytes = source.read_at(0, &mut head).map_err(|error| at(What::Io(error)))?;
    let words = FileWord::Lost as usize + 1;
    if bytes < words * 8 || !head.starts_with(&MAGIC) {
        return Err(at(What::NoRecording));
    }
    let raw = |word: FileWord| word_of(&head[8 * word as usize..]);
    let swapped = match raw(FileWord::ByteOrder) {
        BYTE_ORDER => false,
        order if order.swap_bytes() == BYTE_ORDER => true,
        _ => return Err(at(What::NoRecording)),
    };
    let ordered = |word: u64| if swapped { word.swap_bytes() } else { word };
    let word = |word: FileWord| ordered(raw(word));
    match (word(FileWord::Version), word(FileWord::BlockBytes)) {
        (VERSION, bytes) if bytes == BLOCK_BYTES as u64 => {}
        (VERSION, bytes) => return Err(at(What::BlockSize(bytes))),
        (version, _) => return Err(at(What::Version(version))),
    }
    let slots = (FileWord::ByteOrder as usize..FileWord::Checksum as usize)
        .map(|index| [ordered(word_of(&head[8 * index..])), 0, 0, 0]);
    if Checksum::of(&slots.collect::<Vec<_>>()) != word(FileWord::Checksum) {
        let reason = "the head does not fit its checksum; it may be wrong".to_owned();
        damaged(&mut recording.damage, (0, 0), 0, reason);
    }
    recording.truncated |= bytes < BLOCK_BYTES;
    recording.origin = Some(Box::new(Origin {
        pid: word(FileWord::Pid).try_into().unwrap_or(0),
        started: word(FileWord::Started),
        ..Origin::default()
    }));
    if word(FileWord::Ended) == EXITED {
        recording.ended = RecordingEnd::Exit;
    }
    recording.end = Time::from_nanos(word(FileWord::End));
    recording.lost = word(FileWord::Lost);
    Ok(Blocks { recording: word(FileWord::Recording), source, swapped })
}

fn leave_out(recording: &mut Recording, index: u64, reason: &str) {
    let (at, bytes) = (index * BLOCK_BYTES as u64, BLOCK_BYTES as u64);
    damaged(&mut recording.damage, (0, at), bytes, reason.to_owned());
}

impl Parts for Recorded {
    /// The blocks, some of them a part, after a part of what is known of blocks that are gone.
    fn count(&self) -> usize {
        self.events.len().div_ceil(TOGETHER) + 1
    }

    fn progress(&self, part: usize) -> (u64, u64) {
        ((part * TOGETHER) as u64 * BLOCK_BYTES as u64, self.length)
    }

    fn read(&self, part: usize, to: &mut Batches<'_>) {
        let Some(part) = part.checked_sub(1) else {
            for event in self.tables.kept.values().flat_map(|events| events.values()) {
                let thread = self.tables.threads.get(&event.thread).copied().unwrap_or(UNKNOWN);
                // One that is none is not kept by any writer: it is left out.
                let _ = self.event(event.record, event.birth, thread, event.stack, to);
            }
            for (object, seq, label) in self.tables.known_labels() {
                to.label(object, seq, label.to_owned());
            }
            return;
        };
        // Of each thread that reads.
        thread_local! {
            static BLOCK: Cell<Option<Block>> = const { Cell::new(None) };
        }
        let mut block = BLOCK.take().unwrap_or_else(|| Block::new(false));
        block.swapped = self.blocks.swapped;
        for &place in self.events.iter().skip(part * TOGETHER).take(TOGETHER) {
            self.block(&mut block, place, to);
        }
        BLOCK.set(Some(block));
    }
}

impl Recorded {
    fn block(&self, block: &mut Block, place: Place, to: &mut Batches<'_>) {
        match self.blocks.load(block, place) {
            Ok(Loaded::Whole(len)) => self.events(&block.slots[..len], place, to),
            Ok(Loaded::CutOff(len)) => {
                to.truncated();
                self.events(&block.slots[..len], place, to);
            }
            Ok(Loaded::Replaced) => {}
            Ok(Loaded::Damaged(reason)) => {
                let bytes = BLOCK_BYTES as u64;
                to.damaged(place.1 * bytes, bytes, reason.to_owned());
            }
            Err(error) => to.failed(error),
        }
    }

    /// Reads the records of a block.
    fn events(&self, slots: &[Slot], place: Place, to: &mut Batches<'_>) {
        let (mut at, mut thread, mut stack) = (HEAD, None, 0);
        while at < slots.len() {
            let slot = slots[at];
            match (slot[1] >> 56) as u8 {
                THREAD => {
                    let number = slot[0] as u32;
                    thread = Some(self.tables.threads.get(&number).copied().unwrap_or(UNKNOWN));
                    at += 1;
                    continue;
                }
                STACK => {
                    stack = slot[0] as u32;
                    at += 1;
                    continue;
                }
                _ => {}
            }
            let birth = slot[0] >> SEQ_SHIFT == 1;
            let more = if birth { slots.get(at + 1).copied() } else { None };
            let event = match thread {
                Some(thread) if !birth || more.is_some() => {
                    self.event(slot, more, thread, stack, to)
                }
                _ => None,
            };
            if event.is_none() {
                let offset = place.1 * BLOCK_BYTES as u64 + (at * SLOT_BYTES) as u64;
                let bytes = ((slots.len() - at) * SLOT_BYTES) as u64;
                let reason = "not a record; the rest of its block cannot be trusted";
                to.damaged(offset, bytes, reason.to_owned());
                break;
            }
            stack = 0;
            at += 1 + usize::from(birth);
        }
    }

    #[inline(never)]
    fn birth(&self, (object, ty, size, path): (u64, u64, u64, u32), to: &mut Batches<'_>) {
        if let Some(born) = self.tables.object(object, ty, size, path) {
            let earlier = self.tables.known.get(&object).map(|known| known.earlier);
            to.object(born, earlier.unwrap_or_default());
        }
    }

    /// `None` where it is no record.
    #[inline(always)]
    fn event(
        &self,
        slot: Slot,
        birth: Option<Slot>,
        thread: u32,
        stack: u32,
        to: &mut Batches<'_>,
    ) -> Option<()> {
        let op = Op::from_number((slot[1] >> 56) as u8)?;
        let (seq, strong) = (slot[0] >> SEQ_SHIFT, (slot[0] & 0xff_ffff) as u32);
        let (number, object) = (slot[1] & 0xff_ffff_ffff, slot[2] >> 24);
        let (path, span) = ((slot[2] & 0xff_ffff) as u32, (slot[1] >> 40 & 0xffff) as u32);
        if seq == 0 || object == 0 {
            return None;
        }
        let tables = &self.tables;
        let mut of = object;
        let mut stack = stack;
        if let Some([ty, size, from_object, own_stack]) = birth {
            of = from_object;
            stack = own_stack as u32;
            self.birth((object, ty, size, path), to);
        }
        let id = ObjectId::from_number(object);
        let (handle, from) = match op.makes() {
            None => (number, None),
            Some(_) => {
                let from = HandleId::new(ObjectId::from_number(of), number);
                (seq, (number != 0).then_some(from))
            }
        };
        let label = op == Op::Label;
        to.event(EventRecord {
            op,
            handle: HandleId::new(id, handle),
            from,
            seq,
            strong,
            location: tables.location(path),
            thread,
            time: Time::from_nanos(if label { 0 } else { slot[3] }),
            stack: tables.stack(stack),
            span: if span == 0 { None } else { tables.spans.get(&span).copied() },
        });
        if label && let Some(text) = tables.labels.get(&(slot[3] as u32)) {
            to.label(id, seq, text.clone());
        }
        Some(())
    }
}

/// Blocks that are a part: some thousand events, so that most of what is soon over is over in it.
const TOGETHER: usize = 16;

/// In place of the operation: records of a thread, and of a stack.
const THREAD: u8 = u8::MAX;
const STACK: u8 = THREAD - 1;
/// The place in the history is above the strong count.
const SEQ_SHIFT: u32 = 24;
