//! Writes packed recordings.

use super::{
    Bytes, CHUNK_HEAD, COLUMNS, ChunkHead, Column, EVENTS, Entry, FILE_HEAD, HAS_EARLIER,
    HAS_LABEL, INDEX, LARGEST, TABLES, TAIL_MARK, VERSION, varint, zigzag,
};
use crate::event::{Kind, ObjectId};
use crate::model::format::{BYTE_ORDER, MAGIC};
use crate::model::{Earlier, EventRecord, ObjectRecord, Recording, RecordingEnd};
use crate::stack::{self, StackId};
use std::borrow::Cow;
use std::collections::{BTreeSet, HashMap};
use std::io::{self, Write};

/// Events and objects of a chunk: few enough that one is soon read for a single object.
const MOST: usize = 8 << 10;
/// Bytes of labels, and of tables, of a chunk.
const MOST_TEXT: usize = 1 << 20;
/// Longer texts are cut.
const LONGEST_TEXT: usize = 1 << 20;
/// Bytes of a program's arguments: no system lets a program have more.
const MOST_ARGUMENTS: usize = 16 << 20;
/// Ranges of object numbers that the index has of a chunk.
const RANGES: usize = 16;

/// Writes a packed recording, chunk by chunk, and keeps no more than one, the tables' numbers and the index.
pub(crate) struct Packer<W> {
    to: W,
    bytes: u64,
    events: u64,
    error: Option<io::Error>,
    chunk: Chunk,
    written: WrittenTables,
    /// The index so far, of so many chunks, and where the last of them begins.
    index: Vec<u8>,
    chunks: u64,
    last: u64,
}

#[derive(Default)]
struct Chunk {
    objects: Vec<(ObjectRecord, Earlier, u64)>,
    events: Vec<EventRecord>,
    labels: Vec<(ObjectId, u64, String)>,
    label_bytes: usize,
}

/// What the tables say so far.
#[derive(Default)]
struct WrittenTables {
    entries: Vec<u8>,
    has_origin: bool,
    locations: usize,
    threads: usize,
    spans: usize,
    marks: usize,
    types: HashMap<(Kind, Cow<'static, str>), u64>,
    modules: HashMap<(String, Option<String>), u64>,
    stacks: HashMap<StackId, u64>,
}

impl<W: Write> Packer<W> {
    pub(crate) fn new(to: W) -> Self {
        let mut packer = Self {
            to,
            bytes: 0,
            events: 0,
            error: None,
            chunk: Chunk::default(),
            written: WrittenTables::default(),
            index: Vec::new(),
            chunks: 0,
            last: 0,
        };
        let mut head = [0; FILE_HEAD];
        head[..8].copy_from_slice(&MAGIC);
        head[8..16].copy_from_slice(&BYTE_ORDER.to_le_bytes());
        head[16..24].copy_from_slice(&VERSION.to_le_bytes());
        packer.write(&head);
        packer
    }

    /// Returns whether writing failed: then nothing more is written.
    pub(crate) fn has_failed(&self) -> bool {
        self.error.is_some()
    }

    pub(crate) fn object(&mut self, tables: &Recording, object: ObjectRecord, earlier: Earlier) {
        let ty = self.written.ty(&object);
        self.chunk.label_bytes += object.label.as_ref().map_or(0, String::len);
        self.chunk.objects.push((object, earlier, ty));
        self.flush_full(tables);
    }

    pub(crate) fn event(&mut self, tables: &Recording, event: EventRecord) {
        if let Some(stack) = event.stack {
            self.written.stack(stack);
        }
        self.chunk.events.push(event);
        self.flush_full(tables);
    }

    pub(crate) fn label(&mut self, tables: &Recording, object: ObjectId, seq: u64, label: String) {
        self.chunk.label_bytes += label.len();
        self.chunk.labels.push((object, seq, label));
        self.flush_full(tables);
    }

    fn flush_full(&mut self, tables: &Recording) {
        let Chunk { objects, events, labels, label_bytes } = &self.chunk;
        let most = objects.len().max(events.len()).max(labels.len());
        if most >= MOST || *label_bytes >= MOST_TEXT {
            self.flush(tables);
        }
    }

    /// Writes what waits: first what it refers to.
    fn flush(&mut self, tables: &Recording) {
        self.written.add_new(tables);
        self.flush_tables();
        let mut chunk = std::mem::take(&mut self.chunk);
        if chunk.events.is_empty() && chunk.objects.is_empty() && chunk.labels.is_empty() {
            return;
        }
        self.events += chunk.events.len() as u64;
        let raw = chunk.encode(&self.written);
        let ranges = ranges(&chunk.numbers());
        self.write_chunk(EVENTS, &raw, chunk.events.len(), &ranges);
    }

    fn flush_tables(&mut self) {
        let entries = std::mem::take(&mut self.written.entries);
        let (mut from, mut rest) = (0, Bytes(&entries));
        while from < entries.len() {
            // Whole entries, as many as a chunk has room for.
            while entries.len() - rest.0.len() - from < MOST_TEXT && !rest.0.is_empty() {
                let whole = rest.varint().and_then(|_| rest.varint());
                whole.and_then(|bytes| rest.take(bytes)).expect("they are this writer's own");
            }
            let to = entries.len() - rest.0.len();
            self.write_chunk(TABLES, &entries[from..to], 0, &[]);
            from = to;
        }
    }

    /// Writes the rest, and returns how many events there are, and how many bytes.
    pub(crate) fn finish(mut self, tables: &Recording) -> io::Result<(u64, u64)> {
        self.flush(tables);
        self.written.add_last(tables);
        self.flush_tables();
        let mut index = Vec::new();
        varint(&mut index, self.chunks);
        index.append(&mut self.index);
        // A recording for which that is too much is read without one.
        if index.len() <= LARGEST {
            let begin = self.bytes;
            self.write_chunk(INDEX, &index, 0, &[]);
            self.write(&begin.to_le_bytes());
            self.write(&TAIL_MARK.to_le_bytes());
        }
        if let Some(error) = self.error {
            return Err(error);
        }
        self.to.flush()?;
        Ok((self.events, self.bytes))
    }

    fn write_chunk(&mut self, kind: u32, raw: &[u8], events: usize, ranges: &[(u64, u64)]) {
        let packed = lz4_flex::block::compress(raw);
        let mut head = ChunkHead {
            kind,
            packed: packed.len() as u32,
            unpacked: raw.len() as u32,
            events: events as u32,
            checksum: 0,
        };
        head.checksum = head.sum(&packed);
        varint(&mut self.index, kind.into());
        varint(&mut self.index, self.bytes - self.last);
        varint(&mut self.index, ranges.len() as u64);
        let mut end = 0;
        for &(first, last) in ranges {
            varint(&mut self.index, first - end);
            varint(&mut self.index, last - first);
            end = last;
        }
        (self.last, self.chunks) = (self.bytes, self.chunks + 1);
        let head: [u8; CHUNK_HEAD] = head.to_bytes();
        self.write(&head);
        self.write(&packed);
    }

    fn write(&mut self, bytes: &[u8]) {
        if self.error.is_none() {
            self.error = self.to.write_all(bytes).err();
            self.bytes += bytes.len() as u64;
        }
    }
}

/// Of numbers in order, up to [`RANGES`] ranges that have them all, and as little else as can be.
fn ranges(numbers: &[u64]) -> Vec<(u64, u64)> {
    let (Some(&first), Some(&last)) = (numbers.first(), numbers.last()) else { return Vec::new() };
    let pairs = numbers.windows(2).map(|pair| (pair[1] - pair[0], pair[0], pair[1]));
    let mut gaps: Vec<_> = pairs.filter(|&(gap, ..)| gap > 1).collect();
    gaps.sort_unstable_by(|a, b| b.cmp(a));
    gaps.truncate(RANGES - 1);
    gaps.sort_unstable_by_key(|&(_, before, _)| before);
    let begins = std::iter::once(first).chain(gaps.iter().map(|&(.., after)| after));
    let ends = gaps.iter().map(|&(_, before, _)| before).chain(std::iter::once(last));
    begins.zip(ends).collect()
}

impl Chunk {
    /// The objects that it has something of, in order.
    fn numbers(&self) -> Vec<u64> {
        let objects = self.objects.iter().map(|(object, ..)| object.id.number());
        let events = self.events.iter().map(|event| event.object().number());
        let labels = self.labels.iter().map(|(object, ..)| object.number());
        let mut numbers: Vec<u64> = objects.chain(events).chain(labels).collect();
        numbers.sort_unstable();
        numbers.dedup();
        numbers
    }

    fn encode(&mut self, written: &WrittenTables) -> Vec<u8> {
        self.objects.sort_by_key(|(object, ..)| object.id);
        self.events.sort_by_key(|event| (event.object(), event.seq));
        self.labels.sort_by_key(|&(object, seq, _)| (object, seq));
        let mut columns = Columns::default();
        self.encode_objects(&mut columns);
        let runs = self.encode_events(&mut columns, written);
        let to = columns.of(Column::Labels);
        let mut before = 0;
        for (object, seq, label) in &self.labels {
            varint(to, object.number() - before);
            varint(to, *seq);
            text(to, label);
            before = object.number();
        }
        let mut raw = Vec::new();
        let counts = [self.objects.len(), runs, self.events.len(), self.labels.len()];
        counts.into_iter().for_each(|count| varint(&mut raw, count as u64));
        columns.write(&mut raw);
        raw
    }

    fn encode_objects(&self, columns: &mut Columns) {
        let to = columns.of(Column::Objects);
        let mut before = 0;
        for (object, earlier, ty) in &self.objects {
            let has_earlier = *earlier != Earlier::default();
            varint(to, object.id.number() - before);
            varint(to, *ty);
            varint(to, object.size);
            varint(to, u64::from(object.location.wrapping_add(1)));
            let follows = if object.label.is_some() { HAS_LABEL } else { 0 };
            varint(to, follows | if has_earlier { HAS_EARLIER } else { 0 });
            if let Some(label) = &object.label {
                text(to, label);
            }
            if has_earlier {
                let Earlier { events, highest, strong, weak } = *earlier;
                [events, highest, strong.into(), zigzag(weak)]
                    .into_iter()
                    .for_each(|number| varint(to, number));
            }
            before = object.id.number();
        }
    }

    /// Returns how many runs there are.
    fn encode_events(&self, columns: &mut Columns, written: &WrittenTables) -> usize {
        let times: BTreeSet<u64> = self.events.iter().map(|event| event.time.as_nanos()).collect();
        let times: Vec<u64> = times.into_iter().collect();
        let to = columns.of(Column::Times);
        varint(to, times.len() as u64);
        times.iter().fold(0, |before, &time| {
            varint(to, time - before);
            time
        });
        let (mut runs, mut object_before, mut time_before) = (0, 0, 0);
        for run in self.events.chunk_by(|a, b| a.object() == b.object()) {
            let object = run[0].object().number();
            runs += 1;
            varint(columns.of(Column::Runs), object - object_before);
            varint(columns.of(Column::Runs), run.len() as u64);
            object_before = object;
            let (mut seq, mut strong) = (0, 0_i64);
            for event in run {
                columns.of(Column::Ops).push(event.op as u8);
                let mut put = |column, number| varint(columns.of(column), number);
                put(Column::Seqs, event.seq - seq);
                seq = event.seq;
                strong += i64::from(event.op.strong_delta());
                put(Column::Strong, zigzag(i64::from(event.strong) - strong));
                strong = event.strong.into();
                let behind = |handle: u64| zigzag(seq.wrapping_sub(handle) as i64);
                if event.op.makes().is_none() {
                    put(Column::Handles, behind(event.handle.number()));
                }
                if let Some(from) = event.from {
                    put(Column::Handles, behind(from.number()));
                }
                match event.from.map(|from| from.object().number()) {
                    None => put(Column::From, 0),
                    Some(of) if of == object => put(Column::From, 1),
                    Some(of) => {
                        put(Column::From, 2);
                        put(Column::Of, zigzag(object.wrapping_sub(of) as i64));
                    }
                }
                put(Column::Lines, event.location.map_or(0, |line| u64::from(line) + 1));
                put(Column::Threads, u64::from(event.thread.wrapping_add(1)));
                put(Column::Spans, event.span.map_or(0, |span| u64::from(span) + 1));
                let stack = event.stack.and_then(|stack| written.stacks.get(&stack));
                put(Column::Stacks, stack.map_or(0, |stack| stack + 1));
                let time = times.binary_search(&event.time.as_nanos()).unwrap_or_default();
                put(Column::Time, zigzag(time as i64 - time_before));
                time_before = time as i64;
            }
        }
        runs
    }
}

#[derive(Default)]
struct Columns([Vec<u8>; COLUMNS]);

impl Columns {
    fn of(&mut self, column: Column) -> &mut Vec<u8> {
        &mut self.0[column as usize]
    }

    fn write(&mut self, raw: &mut Vec<u8>) {
        let zeros = [Column::Strong, Column::From, Column::Lines, Column::Spans, Column::Stacks];
        for column in zeros {
            let column = self.of(column);
            if column.iter().all(|&byte| byte == 0) {
                column.clear();
            }
        }
        self.0.iter().for_each(|column| varint(raw, column.len() as u64));
        self.0.iter().for_each(|column| raw.extend_from_slice(column));
    }
}

impl WrittenTables {
    fn ty(&mut self, object: &ObjectRecord) -> u64 {
        let next = self.types.len() as u64;
        let key = (object.kind, object.type_name.clone());
        let number = *self.types.entry(key).or_insert(next);
        if number == next {
            let kind = match object.kind {
                Kind::Box => 1,
                Kind::Rc => 2,
                Kind::Arc => 3,
            };
            entry(&mut self.entries, Entry::Type, |to| {
                varint(to, kind);
                text(to, &object.type_name);
            });
        }
        number
    }

    fn stack(&mut self, stack: StackId) {
        if self.stacks.contains_key(&stack) {
            return;
        }
        self.stacks.insert(stack, self.stacks.len() as u64);
        let frames = stack::frames_in_modules(stack).into_iter().map(|(module, offset)| {
            let Some(key) = module else { return (0, offset) };
            let next = self.modules.len() as u64;
            let number = *self.modules.entry(key.clone()).or_insert(next);
            if number == next {
                entry(&mut self.entries, Entry::Module, |to| {
                    text(to, &key.0);
                    text(to, key.1.as_deref().unwrap_or_default());
                });
            }
            (number + 1, offset)
        });
        let frames: Vec<_> = frames.collect();
        entry(&mut self.entries, Entry::Stack, |to| {
            varint(to, frames.len() as u64);
            for (module, offset) in frames {
                varint(to, module);
                varint(to, offset);
            }
        });
    }

    /// Adds what the tables have and the file has not.
    fn add_new(&mut self, tables: &Recording) {
        let entries = &mut self.entries;
        if !self.has_origin
            && let Some(origin) = tables.origin()
        {
            self.has_origin = true;
            entry(entries, Entry::Origin, |to| {
                varint(to, origin.pid.into());
                varint(to, origin.started);
                [&origin.program, &origin.directory, &origin.host]
                    .into_iter()
                    .for_each(|part| text(to, part));
                let mut bytes = 0;
                let fits = |argument: &&String| {
                    bytes += argument.len();
                    bytes < MOST_ARGUMENTS
                };
                let arguments: Vec<_> = origin.arguments.iter().take_while(fits).collect();
                varint(to, arguments.len() as u64);
                arguments.into_iter().for_each(|argument| text(to, argument));
                text(to, &origin.build);
            });
        }
        for location in tables.locations().iter().skip(self.locations) {
            entry(entries, Entry::Location, |to| {
                text(to, &location.file);
                varint(to, location.line.into());
                varint(to, location.column.into());
            });
        }
        self.locations = tables.locations().len();
        for (kind, names, known) in [
            (Entry::Thread, tables.threads(), &mut self.threads),
            (Entry::Span, tables.spans(), &mut self.spans),
        ] {
            for name in names.iter().skip(*known) {
                entry(entries, kind, |to| text(to, name));
            }
            *known = names.len();
        }
        for mark in tables.marks().iter().skip(self.marks) {
            entry(entries, Entry::Mark, |to| {
                varint(to, mark.time.as_nanos());
                text(to, &mark.name);
            });
        }
        self.marks = tables.marks().len();
    }

    /// Adds what is known at the end.
    fn add_last(&mut self, tables: &Recording) {
        for (file, (length, hash)) in &tables.sources {
            entry(&mut self.entries, Entry::Source, |to| {
                text(to, file);
                varint(to, *length);
                varint(to, *hash);
            });
        }
        for (number, location) in (0..).zip(tables.locations()) {
            if let Some((first, lines)) = tables.source_lines.around(location) {
                entry(&mut self.entries, Entry::Lines, |to| {
                    varint(to, number);
                    varint(to, first.into());
                    text(to, &lines);
                });
            }
        }
        for damage in tables.damage() {
            entry(&mut self.entries, Entry::Damage, |to| {
                [damage.offset, damage.line, damage.lines, damage.bytes]
                    .into_iter()
                    .for_each(|number| varint(to, number));
                text(to, &damage.reason);
            });
        }
        let ended = match tables.end() {
            RecordingEnd::Running => 0,
            RecordingEnd::Exit => 1,
            RecordingEnd::Stopped => 2,
        };
        entry(&mut self.entries, Entry::State, |to| {
            [ended, tables.end_time().as_nanos(), tables.lost(), tables.truncated().into()]
                .into_iter()
                .for_each(|number| varint(to, number));
        });
    }
}

fn entry(to: &mut Vec<u8>, kind: Entry, write: impl FnOnce(&mut Vec<u8>)) {
    let mut content = Vec::new();
    write(&mut content);
    varint(to, kind as u64);
    varint(to, content.len() as u64);
    to.extend_from_slice(&content);
}

fn text(to: &mut Vec<u8>, text: &str) {
    let mut end = text.len().min(LONGEST_TEXT);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    let text = &text[..end];
    varint(to, text.len() as u64);
    to.extend_from_slice(text.as_bytes());
}

#[cfg(test)]
mod tests {
    use super::{RANGES, ranges};

    #[test]
    fn ranges_are_cut_where_the_gaps_are_widest() {
        assert_eq!(ranges(&[]), []);
        assert_eq!(ranges(&[7]), [(7, 7)]);
        assert_eq!(ranges(&[1, 2, 3, 900, 901]), [(1, 3), (900, 901)]);
        let scattered: Vec<u64> = (0..100).map(|n| n * n).collect();
        let ranges = ranges(&scattered);
        assert_eq!(ranges.len(), RANGES);
        assert!(scattered.iter().all(|n| ranges.iter().any(|&(a, b)| (a..=b).contains(n))));
        assert_eq!(ranges.last(), Some(&(99 * 99, 99 * 99)));
    }
}
