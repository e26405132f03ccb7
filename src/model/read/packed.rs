//! Packed recordings: a chunk that is not as it should be is left out and reported.

use super::json::MAX_FRAMES;
use super::parts::{Batches, Parts};
use super::source::Source;
use super::{Damage, ReadError, UNKNOWN, What, add_damage, damaged};
use crate::event::{HandleId, Kind, Location, ObjectId, Op, Time};
use crate::model::packed::{
    Bytes, CHUNK_HEAD, COLUMNS, ChunkHead, EVENTS, Entry, FILE_HEAD, HAS_EARLIER, HAS_LABEL, INDEX,
    LARGEST, LARGEST_RATIO, TABLES, TAIL, TAIL_MARK, unzigzag,
};
use crate::model::{Earlier, EventRecord, Mark, ObjectRecord, Origin, Recording, RecordingEnd};
use crate::stack::{self, StackId, StoredModule};
use std::borrow::Cow;
use std::collections::HashSet;
use std::io;
use std::sync::Arc;

/// A packed recording's chunks of events, and what they refer to.
pub(super) struct Packed {
    source: Box<dyn Source>,
    length: u64,
    /// Of events: where each begins, and where the index has its ranges, if there is one.
    chunks: Vec<(u64, usize)>,
    index: Option<Vec<u8>>,
    types: Vec<(Kind, Cow<'static, str>)>,
    stacks: Vec<Option<StackId>>,
}

/// Why a chunk is not read.
enum Wrong {
    Io(io::Error),
    /// The file ends within it.
    CutOff,
    Damaged(&'static str),
}

impl From<io::Error> for Wrong {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

fn read_head(source: &dyn Source, at: u64) -> Result<ChunkHead, Wrong> {
    let mut bytes = [0; CHUNK_HEAD];
    if source.read_at(at, &mut bytes)? < CHUNK_HEAD {
        return Err(Wrong::CutOff);
    }
    ChunkHead::of_bytes(&bytes).ok_or(Wrong::Damaged("not a chunk's head"))
}

/// Reads a chunk, and unpacks it. No number in it makes that take more memory than the bytes that are there are worth.
fn read_chunk(source: &dyn Source, at: u64, length: u64) -> Result<(ChunkHead, Vec<u8>), Wrong> {
    // No system reads at an offset that its signed numbers do not have: that is no fault of the file system's.
    if at >= length {
        return Err(Wrong::CutOff);
    }
    let head = read_head(source, at)?;
    let (packed, unpacked) = (head.packed as usize, head.unpacked as usize);
    let begin = at + CHUNK_HEAD as u64;
    if u64::from(head.packed) > length.saturating_sub(begin) {
        return Err(Wrong::CutOff);
    }
    if unpacked > LARGEST || unpacked > packed.saturating_mul(LARGEST_RATIO) {
        return Err(Wrong::Damaged("the chunk's length is out of range"));
    }
    let mut bytes = vec![0; packed];
    if source.read_at(begin, &mut bytes)? < packed {
        return Err(Wrong::CutOff);
    }
    if head.sum(&bytes) != head.checksum {
        return Err(Wrong::Damaged("the chunk does not fit its checksum"));
    }
    let raw = lz4_flex::block::decompress(&bytes, unpacked);
    Ok((head, raw.map_err(|_| Wrong::Damaged("the chunk cannot be unpacked"))?))
}

/// Reads a packed recording's tables.
pub(super) fn open(
    source: Box<dyn Source>,
    recording: &mut Recording,
) -> Result<Packed, ReadError> {
    let failed = |error| ReadError::at(0, What::Io(error));
    let length = source.length().map_err(failed)?;
    let mut packed = Packed {
        source,
        length,
        chunks: Vec::new(),
        index: None,
        types: Vec::new(),
        stacks: Vec::new(),
    };
    let mut tables = Tables::default();
    let listed = packed.read_index().map_err(failed)?;
    let is_whole = listed.is_some();
    let listed = match listed {
        Some(listed) => listed,
        None => packed.find_chunks(recording).map_err(failed)?,
    };
    for (kind, at, ranges) in listed {
        match kind {
            EVENTS => packed.chunks.push((at, ranges)),
            TABLES => match read_chunk(&*packed.source, at, length) {
                Ok((head, raw)) => {
                    if tables.read(&mut packed, recording, &raw).is_none() {
                        let bytes = u64::from(head.packed) + CHUNK_HEAD as u64;
                        let reason = "an entry of the tables is not as it should be".to_owned();
                        damaged(&mut recording.damage, (0, at), bytes, reason);
                    }
                }
                Err(Wrong::Io(error)) => return Err(failed(error)),
                Err(Wrong::CutOff) => recording.truncated = true,
                Err(Wrong::Damaged(reason)) => {
                    let bytes = CHUNK_HEAD as u64;
                    damaged(&mut recording.damage, (0, at), bytes, reason.to_owned());
                }
            },
            _ => {}
        }
    }
    recording.truncated |= !is_whole;
    Ok(packed)
}

/// A chunk's kind, where it begins, and where the index has its ranges.
type Listed = (u32, u64, usize);

impl Packed {
    /// Reads the index. `None` where there is none that is whole.
    fn read_index(&mut self) -> io::Result<Option<Vec<Listed>>> {
        let mut tail = [0; TAIL];
        let Some(at) = self.length.checked_sub(TAIL as u64) else { return Ok(None) };
        if self.source.read_at(at, &mut tail)? < TAIL {
            return Ok(None);
        }
        let word = |at: usize| {
            tail[at..at + 8].iter().rev().fold(0, |word, &byte| word << 8 | u64::from(byte))
        };
        if word(8) != TAIL_MARK {
            return Ok(None);
        }
        let raw = match read_chunk(&*self.source, word(0), self.length) {
            Ok((head, raw)) if head.kind == INDEX => raw,
            Err(Wrong::Io(error)) => return Err(error),
            _ => return Ok(None),
        };
        let listed = list(&raw);
        self.index = listed.is_some().then_some(raw);
        Ok(listed)
    }

    /// Finds the chunks of a file without an index, one after the other.
    fn find_chunks(&self, recording: &mut Recording) -> io::Result<Vec<Listed>> {
        let mut listed = Vec::new();
        let mut at = FILE_HEAD as u64;
        while at < self.length {
            match read_head(&*self.source, at) {
                Ok(head) => {
                    listed.push((head.kind, at, 0));
                    at += CHUNK_HEAD as u64 + u64::from(head.packed);
                }
                Err(Wrong::Io(error)) => return Err(error),
                Err(Wrong::CutOff) => break,
                Err(Wrong::Damaged(_)) => {
                    let reason = "not a chunk's head; what follows cannot be found".to_owned();
                    damaged(&mut recording.damage, (0, at), self.length - at, reason);
                    break;
                }
            }
        }
        Ok(listed)
    }

    /// Whether a chunk may have something of objects that are wanted.
    fn may_have(&self, ranges: usize, wanted: &HashSet<ObjectId>) -> bool {
        let Some(index) = &self.index else { return true };
        let mut bytes = Bytes(index.get(ranges..).unwrap_or_default());
        let mut has = || {
            let (count, mut end) = (bytes.varint()?, 0_u64);
            for _ in 0..count {
                let first = end.checked_add(bytes.varint()?)?;
                end = first.checked_add(bytes.varint()?)?;
                let is_in = |id: &ObjectId| (first..=end).contains(&id.number());
                if wanted.iter().any(is_in) {
                    return Some(true);
                }
            }
            Some(false)
        };
        has().unwrap_or(true)
    }

    /// Gives what is in a chunk of events. `None` where it is not as it should be.
    fn events(&self, raw: &[u8], to: &mut Batches<'_>) -> Option<()> {
        let mut bytes = Bytes(raw);
        let mut counts = [0; 4];
        for count in &mut counts {
            *count = bytes.varint()?;
        }
        let [objects, runs, _, labels] = counts;
        let mut lengths = [0; COLUMNS];
        for length in &mut lengths {
            *length = bytes.varint()?;
        }
        let mut columns = [Bytes(&[]); COLUMNS];
        for (column, length) in columns.iter_mut().zip(lengths) {
            *column = Bytes(bytes.take(length)?);
        }
        let [
            object_column,
            run_column,
            time_column,
            ops,
            seqs,
            strongs,
            handles,
            froms,
            ofs,
            lines,
            threads,
            spans,
            stacks,
            time_indexes,
            label_column,
        ] = &mut columns;
        self.objects(objects, object_column, to)?;
        let mut object = 0_u64;
        for _ in 0..labels {
            object = object.checked_add(label_column.varint()?)?;
            let seq = label_column.varint()?;
            to.label(ObjectId::from_number(object), seq, label_column.text()?);
        }
        let times = times(time_column)?;
        let [mut strongs, mut froms, mut lines, mut spans, mut stacks] =
            [strongs, froms, lines, spans, stacks].map(|column| OrZeros::new(column));
        let (mut object, mut time) = (0_u64, 0_i64);
        for _ in 0..runs {
            object = object.checked_add(run_column.varint()?)?;
            let id = ObjectId::from_number(object);
            let (mut seq, mut strong) = (0_u64, 0_i64);
            for _ in 0..run_column.varint()? {
                let (&op, rest) = ops.0.split_first()?;
                ops.0 = rest;
                let op = Op::from_number(op)?;
                seq = seq.checked_add(seqs.varint()?)?;
                strong = strong
                    .checked_add(i64::from(op.strong_delta()))?
                    .checked_add(unzigzag(strongs.number()?))?;
                let mut behind = || Some(seq.wrapping_sub(handles.signed()? as u64));
                let handle = if op.makes().is_some() { seq } else { behind()? };
                let from = match froms.number()? {
                    0 => None,
                    1 => Some(HandleId::new(id, behind()?)),
                    _ => {
                        let of = object.wrapping_sub(ofs.signed()? as u64);
                        Some(HandleId::new(ObjectId::from_number(of), behind()?))
                    }
                };
                time = time.checked_add(time_indexes.signed()?)?;
                to.event(EventRecord {
                    op,
                    handle: HandleId::new(id, handle),
                    from,
                    seq,
                    strong: u32::try_from(strong).ok()?,
                    location: index(lines.number()?)?,
                    thread: index(threads.varint()?)?.unwrap_or(UNKNOWN),
                    time: *times.get(usize::try_from(time).ok()?)?,
                    stack: match index(stacks.number()?)? {
                        Some(stack) => *self.stacks.get(stack as usize)?,
                        None => None,
                    },
                    span: index(spans.number()?)?,
                });
            }
        }
        Some(())
    }

    fn objects(&self, count: u64, column: &mut Bytes<'_>, to: &mut Batches<'_>) -> Option<()> {
        let mut id = 0_u64;
        for _ in 0..count {
            id = id.checked_add(column.varint()?)?;
            let (kind, type_name) =
                self.types.get(usize::try_from(column.varint()?).ok()?)?.clone();
            let size = column.varint()?;
            let location = index(column.varint()?)?.unwrap_or(UNKNOWN);
            let follows = column.varint()?;
            let label = if follows & HAS_LABEL != 0 { Some(column.text()?) } else { None };
            let earlier = if follows & HAS_EARLIER != 0 {
                Earlier {
                    events: column.varint()?,
                    highest: column.varint()?,
                    strong: u32::try_from(column.varint()?).ok()?,
                    weak: column.signed()?,
                }
            } else {
                Earlier::default()
            };
            let id = ObjectId::from_number(id);
            to.object(ObjectRecord { id, kind, type_name, size, location, label }, earlier);
        }
        Some(())
    }
}

/// A column of events; one without a byte is one of zeros.
struct OrZeros<'a> {
    bytes: Bytes<'a>,
    is_empty: bool,
}

impl<'a> OrZeros<'a> {
    fn new(bytes: &Bytes<'a>) -> Self {
        Self { bytes: *bytes, is_empty: bytes.0.is_empty() }
    }

    #[inline(always)]
    fn number(&mut self) -> Option<u64> {
        if self.is_empty { Some(0) } else { self.bytes.varint() }
    }
}

/// An index that is written as one more, and 0 where there is none.
#[inline(always)]
fn index(number: u64) -> Option<Option<u32>> {
    match number.checked_sub(1) {
        None => Some(None),
        Some(index) => u32::try_from(index).ok().filter(|index| *index != UNKNOWN).map(Some),
    }
}

fn times(column: &mut Bytes<'_>) -> Option<Vec<Time>> {
    let (count, mut time) = (column.varint()?, 0_u64);
    // Each takes a byte at least.
    let mut times = Vec::with_capacity(usize::try_from(count).ok()?.min(column.0.len()));
    for _ in 0..count {
        time = time.checked_add(column.varint()?)?;
        times.push(Time::from_nanos(time));
    }
    Some(times)
}

/// The chunks that an index lists. `None` where it is not as it should be.
fn list(raw: &[u8]) -> Option<Vec<Listed>> {
    let mut bytes = Bytes(raw);
    let (count, mut at) = (bytes.varint()?, 0_u64);
    let mut listed = Vec::new();
    for _ in 0..count {
        let kind = u32::try_from(bytes.varint()?).ok()?;
        at = at.checked_add(bytes.varint()?)?;
        listed.push((kind, at, raw.len() - bytes.0.len()));
        for _ in 0..bytes.varint()? {
            bytes.varint()?;
            bytes.varint()?;
        }
    }
    Some(listed)
}

impl Parts for Packed {
    fn count(&self) -> usize {
        self.chunks.len()
    }

    fn progress(&self, part: usize) -> (u64, u64) {
        (self.chunks.get(part).map_or(0, |chunk| chunk.0), self.length)
    }

    fn read(&self, part: usize, to: &mut Batches<'_>) {
        let Some(&(at, ranges)) = self.chunks.get(part) else { return };
        if to.wanted().is_some_and(|wanted| !self.may_have(ranges, wanted)) {
            return;
        }
        let whole = |head: &ChunkHead| u64::from(head.packed) + CHUNK_HEAD as u64;
        match read_chunk(&*self.source, at, self.length) {
            Ok((head, raw)) => {
                if self.events(&raw, to).is_none() {
                    let reason = "the rest of the chunk is not as it should be".to_owned();
                    to.damaged(at, whole(&head), reason);
                }
            }
            Err(Wrong::Io(error)) => to.failed(error),
            Err(Wrong::CutOff) => to.truncated(),
            Err(Wrong::Damaged(reason)) => {
                let bytes = read_head(&*self.source, at).map_or(CHUNK_HEAD as u64, |it| whole(&it));
                to.damaged(at, bytes, reason.to_owned());
            }
        }
    }
}

/// What is needed to read tables alone.
#[derive(Default)]
struct Tables {
    modules: Vec<Arc<StoredModule>>,
    names: super::names::Names,
}

impl Tables {
    /// Reads a chunk of entries. `None` where one is not as it should be.
    fn read(&mut self, packed: &mut Packed, recording: &mut Recording, raw: &[u8]) -> Option<()> {
        let mut bytes = Bytes(raw);
        while !bytes.0.is_empty() {
            let (kind, length) = (bytes.varint()?, bytes.varint()?);
            let content = Bytes(bytes.take(length)?);
            self.entry(kind, content, packed, recording)?;
        }
        Some(())
    }

    fn entry(
        &mut self,
        kind: u64,
        mut from: Bytes<'_>,
        packed: &mut Packed,
        recording: &mut Recording,
    ) -> Option<()> {
        let is = |entry: Entry| kind == entry as u64;
        if is(Entry::Origin) {
            let mut origin = Origin {
                pid: u32::try_from(from.varint()?).ok()?,
                started: from.varint()?,
                program: from.text()?,
                directory: from.text()?,
                host: from.text()?,
                arguments: Vec::new(),
                build: String::new(),
            };
            for _ in 0..from.varint()? {
                origin.arguments.push(from.text()?);
            }
            origin.build = from.text()?;
            recording.origin = Some(Box::new(origin));
        } else if is(Entry::Location) {
            let file = from.text()?;
            let mut number = || u32::try_from(from.varint()?).ok();
            recording.locations.push(Location::new(file, number()?, number()?));
        } else if is(Entry::Thread) {
            recording.threads.push(from.text()?.into());
        } else if is(Entry::Span) {
            recording.spans.push(from.text()?.into());
        } else if is(Entry::Type) {
            let kind = match from.varint()? {
                1 => Kind::Box,
                2 => Kind::Rc,
                _ => Kind::Arc,
            };
            packed.types.push((kind, self.names.get(from.text()?)));
        } else if is(Entry::Module) {
            let (path, build) = (from.text()?, from.text()?);
            let build = (!build.is_empty()).then_some(build);
            self.modules.push(Arc::new(StoredModule { path, build }));
        } else if is(Entry::Stack) {
            let mut frames = Vec::new();
            for _ in 0..from.varint()?.min(MAX_FRAMES as u64) {
                let module = from.varint()?.checked_sub(1);
                let module = module.and_then(|at| self.modules.get(usize::try_from(at).ok()?));
                frames.push((module.cloned(), from.varint()?));
            }
            packed.stacks.push(stack::keep(frames));
        } else if is(Entry::Mark) {
            let (time, name) = (Time::from_nanos(from.varint()?), from.text()?);
            recording.end = recording.end.max(time);
            recording.marks.push(Mark { name, time });
        } else if is(Entry::Source) {
            recording.sources.insert(from.text()?, (from.varint()?, from.varint()?));
        } else if is(Entry::Lines) {
            let (location, first) = (usize::try_from(from.varint()?).ok()?, from.varint()?);
            let around = recording.locations.get(location)?;
            recording.source_lines.add(around, u32::try_from(first).ok()?, &from.text()?);
        } else if is(Entry::Damage) {
            let mut number = || from.varint();
            let (offset, line, lines, bytes) = (number()?, number()?, number()?, number()?);
            let reason = format!("before it was packed: {}", from.text()?);
            add_damage(&mut recording.damage, Damage { offset, line, lines, bytes, reason });
        } else if is(Entry::State) {
            recording.ended = match from.varint()? {
                0 => RecordingEnd::Running,
                1 => RecordingEnd::Exit,
                _ => RecordingEnd::Stopped,
            };
            recording.end = recording.end.max(Time::from_nanos(from.varint()?));
            recording.lost = from.varint()?;
            recording.truncated |= from.varint()? != 0;
        }
        Some(())
    }
}

#[cfg(test)]
mod tests {
    use super::{CHUNK_HEAD, ChunkHead, EVENTS, FILE_HEAD, INDEX, TABLES, TAIL_MARK};
    use crate::Recording;
    use crate::model::format::{BYTE_ORDER, MAGIC};
    use crate::model::packed::{COLUMNS, LARGEST, VERSION, varint};

    fn head() -> Vec<u8> {
        let mut file = MAGIC.to_vec();
        file.extend([BYTE_ORDER, VERSION, 0].iter().flat_map(|word| word.to_le_bytes()));
        assert_eq!(file.len(), FILE_HEAD);
        file
    }

    /// Adds a chunk whose checksum is right, whatever is in it.
    fn add(file: &mut Vec<u8>, kind: u32, raw: &[u8], unpacked: usize) -> u64 {
        let at = file.len() as u64;
        let packed = lz4_flex::block::compress(raw);
        let (packed_bytes, unpacked) = (packed.len() as u32, unpacked as u32);
        let mut head = ChunkHead { kind, packed: packed_bytes, unpacked, events: 7, checksum: 0 };
        head.checksum = head.sum(&packed);
        file.extend(head.to_bytes());
        file.extend(packed);
        at
    }

    fn numbers(numbers: impl IntoIterator<Item = u64>) -> Vec<u8> {
        let mut bytes = Vec::new();
        numbers.into_iter().for_each(|number| varint(&mut bytes, number));
        bytes
    }

    /// Whatever a file claims that there is, no more memory is taken than for what is there.
    #[test]
    fn huge_numbers_are_not_believed() {
        let huge = 1 << 60;
        for raw in [
            numbers([huge; 40]),
            numbers([huge, huge, huge, huge].into_iter().chain([0; COLUMNS])),
            // One run of so many events.
            numbers(
                [0, 1, huge, 0]
                    .into_iter()
                    .chain([0, 12, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0])
                    .chain([1, huge]),
            ),
            numbers([1, huge]),
        ] {
            for kind in [EVENTS, TABLES, INDEX] {
                let mut file = head();
                let at = add(&mut file, kind, &raw, raw.len());
                let without_tail = Recording::read(&file[..]).unwrap();
                assert!(kind != EVENTS || !without_tail.damage().is_empty());
                file.extend([at, TAIL_MARK].iter().flat_map(|word| word.to_le_bytes()));
                Recording::read(&file[..]).unwrap();
                Recording::read_live(&file[..]).unwrap();
            }
        }
        // A chunk that claims to be larger than it can be.
        for unpacked in [LARGEST, LARGEST + 1, u32::MAX as usize] {
            let mut file = head();
            add(&mut file, EVENTS, b"few bytes", unpacked);
            let read = Recording::read(&file[..]).unwrap();
            let [damage] = read.damage() else { panic!("{:?}", read.damage()) };
            assert!(damage.reason.contains("length is out of range"), "{damage}");
            assert_eq!(damage.bytes, (file.len() - FILE_HEAD) as u64);
        }
        assert_eq!(CHUNK_HEAD, 32);
    }

    /// Chunks of anything, with the right checksum.
    #[test]
    fn anything_is_read_without_a_panic() {
        let mut random = 1_u64;
        let mut next = |limit: u64| {
            random = random
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1_442_695_040_888_963_407);
            (random >> 33) % limit
        };
        for _ in 0..2_000 {
            let mut file = head();
            for _ in 0..next(4) {
                let kind = [EVENTS, TABLES, INDEX, 9][next(4) as usize];
                let length = next(200);
                let raw: Vec<u8> = (0..length)
                    .map(|_| if next(3) > 0 { next(12) as u8 } else { next(256) as u8 })
                    .collect();
                let unpacked = if next(8) == 0 { next(1 << 20) as usize } else { raw.len() };
                add(&mut file, kind, &raw, unpacked);
            }
            if next(2) == 0 {
                let words = [next(file.len() as u64 + 40), TAIL_MARK];
                file.extend(words.iter().flat_map(|word| word.to_le_bytes()));
            }
            Recording::read(&file[..]).unwrap();
            Recording::read_live(&file[..]).unwrap();
        }
    }
}
