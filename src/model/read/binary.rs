//! The binary format, as [`FlightRecorder`](crate::sink::FlightRecorder) writes it: a block that is not as it should be is left
//! out and reported.
//!
//! What records refer to may stand anywhere in the file, so there are two rounds: one for the entries, by the heads
//! of the blocks, and one for the events. Neither keeps more than one block and the tables.

use super::super::format::{
    BLOCK, BLOCK_BYTES, BYTE_ORDER, BlockWord, Checksum, ENTRIES, EVENTS, EXITED, EntryKind,
    FileWord, HEAD, MAGIC, ObjectWord, SLOT_BYTES, SLOTS, SUMMARY, VERSION, WORDS,
};
use super::super::{Earlier, EventRecord, Mark, ObjectRecord, Origin, Recording, RecordingEnd};
use super::json::MAX_FRAMES;
use super::{Item, ReadError, What, damaged};
use crate::event::{HandleId, Kind, Location, ObjectId, Op, Time};
use crate::stack::{self, StackId, StoredModule};
use std::borrow::Cow;
use std::collections::{HashMap, HashSet};
use std::fs::File;
use std::io::{self, Read as _, Seek as _, SeekFrom};
use std::sync::{Arc, OnceLock};

/// What is called as a file is read: with the bytes that were read of it, and its length.
static PROGRESS: OnceLock<fn(u64, u64)> = OnceLock::new();

/// Has a function called now and then while a binary recording is read from its file: for the command.
pub fn on_progress(f: fn(u64, u64)) {
    let _ = PROGRESS.set(f);
}

/// Blocks after which it is called.
const STEP: usize = 256;

/// Bytes that can be read anywhere.
pub(super) trait Source {
    /// Reads from an offset on, as much as there is.
    fn read_at(&mut self, offset: u64, to: &mut [u8]) -> io::Result<usize>;

    fn length(&mut self) -> io::Result<u64>;
}

impl Source for Vec<u8> {
    fn read_at(&mut self, offset: u64, to: &mut [u8]) -> io::Result<usize> {
        let start = usize::try_from(offset).unwrap_or(usize::MAX).min(self.len());
        let bytes = to.len().min(self.len() - start);
        to[..bytes].copy_from_slice(&self[start..start + bytes]);
        Ok(bytes)
    }

    fn length(&mut self) -> io::Result<u64> {
        Ok(self.len() as u64)
    }
}

impl Source for File {
    fn read_at(&mut self, offset: u64, to: &mut [u8]) -> io::Result<usize> {
        self.seek(SeekFrom::Start(offset))?;
        let mut read = 0;
        while read < to.len() {
            match self.read(&mut to[read..]) {
                Ok(0) => break,
                Ok(more) => read += more,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(read)
    }

    fn length(&mut self) -> io::Result<u64> {
        Ok(self.metadata()?.len())
    }
}

type Slot = [u64; WORDS];

/// A block, in this machine's byte order.
struct Block {
    bytes: Vec<u8>,
    slots: Vec<Slot>,
    swapped: bool,
}

/// A block's head.
#[derive(Clone, Copy)]
struct Head {
    kind: u64,
    sequence: u64,
    len: u64,
    checksum: u64,
    recording: u64,
}

impl Block {
    fn new(swapped: bool) -> Self {
        Self { bytes: vec![0; BLOCK_BYTES], slots: Vec::with_capacity(SLOTS), swapped }
    }

    /// Reads so many slots of a block, or as many as there are.
    fn read(&mut self, source: &mut dyn Source, offset: u64, slots: usize) -> io::Result<()> {
        let bytes = source.read_at(offset, &mut self.bytes[..slots * SLOT_BYTES])?;
        self.slots.clear();
        let swapped = self.swapped;
        self.slots.extend(self.bytes[..bytes].chunks_exact(SLOT_BYTES).map(|slot| {
            std::array::from_fn(|i| {
                let word = word_of(&slot[8 * i..]);
                if swapped { word.swap_bytes() } else { word }
            })
        }));
        Ok(())
    }

    fn head(&self) -> Option<Head> {
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
    fn is_sound(&mut self, head: &Head, len: usize) -> bool {
        if head.checksum == 0 {
            return true;
        }
        let place = BlockWord::Checksum as usize;
        self.slots[place / WORDS][place % WORDS] = 0;
        Checksum::of(&self.slots[..len]) == head.checksum
    }

    /// The bytes of a text that lies in slots.
    fn text(&self, slot: usize, bytes: usize) -> Option<&[u8]> {
        let start = slot * SLOT_BYTES;
        self.bytes
            .get(start..start + bytes)
            .filter(|_| start + bytes <= self.slots.len() * SLOT_BYTES)
    }
}

fn word_of(bytes: &[u8]) -> u64 {
    bytes[..8].try_into().map_or(0, u64::from_ne_bytes)
}

/// A block's place in the order, and its index in the file.
type Place = (u64, u64);

/// Reads a recording.
pub(super) fn read_blocks(
    source: &mut dyn Source,
    recording: &mut Recording,
    mut take: impl FnMut(&mut Recording, Item),
) -> Result<(), ReadError> {
    let failed = |error| ReadError::at(0, What::Io(error));
    let length = source.length().map_err(failed)?;
    let mut reader = Reader::open(source, recording)?;
    let [mut entries, mut summaries, mut events] = [const { Vec::<Place>::new() }; 3];
    let blocks = length.div_ceil(BLOCK_BYTES as u64);
    for index in 1..blocks {
        reader.block.read(source, index * BLOCK_BYTES as u64, HEAD).map_err(failed)?;
        let Some(head) = reader.block.head() else {
            recording.truncated = true;
            continue;
        };
        // Reserved, and not used yet, or to be used again.
        if head.sequence == 0 {
            continue;
        }
        let list = match head.kind ^ BLOCK {
            _ if head.recording != reader.recording => {
                reader.leave_out(recording, index, "the block is none of this recording");
                continue;
            }
            EVENTS => &mut events,
            ENTRIES => &mut entries,
            SUMMARY => &mut summaries,
            kind if kind < 1 << 32 => {
                let reason = format!("a block of kind {kind}, which this refscope does not know");
                reader.leave_out(recording, index, &reason);
                continue;
            }
            _ => {
                reader.leave_out(recording, index, "not a block's head");
                continue;
            }
        };
        list.push((head.sequence, index));
    }
    for list in [&mut entries, &mut summaries, &mut events] {
        list.sort_unstable();
    }
    for place in entries.into_iter().chain(summaries) {
        reader.entries(source, recording, place)?;
    }
    reader.end_entries(recording);
    take(recording, Item::Unordered);
    reader.summary(recording, &mut take);
    for (count, place) in events.into_iter().enumerate() {
        if let Some(progress) = PROGRESS.get().filter(|_| count % STEP == 0) {
            progress(count as u64 * BLOCK_BYTES as u64, length);
        }
        if !reader.evicted.contains(&place.0) {
            reader.events(source, recording, place, &mut take)?;
        }
    }
    Ok(())
}

/// What is known of an object from blocks that are gone.
struct Known {
    ty: u64,
    size: u64,
    path: u32,
    label: u32,
    earlier: Earlier,
}

struct Reader {
    block: Block,
    recording: u64,
    types: HashMap<u64, (Kind, Arc<str>)>,
    names: Names,
    sites: HashMap<u64, u32>,
    /// The line that each path ends with, by the path's number as long as they come in order.
    paths: Vec<u32>,
    other_paths: HashMap<u32, u32>,
    threads: HashMap<u32, u32>,
    spans: HashMap<u32, u32>,
    labels: HashMap<u32, String>,
    modules: HashMap<u64, (String, String)>,
    stacks: HashMap<u32, Vec<(u64, u64)>>,
    known_stacks: HashMap<u32, Option<StackId>>,
    locations: HashMap<Location, u32>,
    sources: Vec<(String, (u64, u64))>,
    /// By the number of a line, that of the first of the lines around it, and these.
    source_lines: HashMap<u64, (u32, String)>,
    /// Where a text that goes on in another entry is being put together.
    texts: HashMap<(u8, u64), Vec<u8>>,
    marks: Vec<(Vec<u8>, Time)>,
    arguments: Vec<(u64, String)>,
    /// Objects of blocks that are gone, those whose entries do not count yet, and the blocks.
    known: HashMap<u64, Known>,
    pending: Vec<(u64, Option<Known>)>,
    evicted: HashSet<u64>,
    /// A thread of which nothing is known.
    no_thread: Option<u32>,
    no_location: Option<u32>,
}

/// Names of types, kept for the life of the process as far as they are few: every object has one.
#[derive(Default)]
struct Names {
    known: HashMap<Arc<str>, &'static str>,
    bytes: usize,
}

/// Bytes of names that are kept.
const MOST_NAMES: usize = 8 << 20;

impl Names {
    fn get(&mut self, name: &Arc<str>) -> Cow<'static, str> {
        if let Some(known) = self.known.get(name) {
            return Cow::Borrowed(known);
        }
        if self.bytes + name.len() > MOST_NAMES {
            return Cow::Owned(name.to_string());
        }
        self.bytes += name.len();
        let kept = keep_name(name);
        self.known.insert(Arc::clone(name), kept);
        Cow::Borrowed(kept)
    }
}

/// Keeps a name, each once, for the life of the process.
fn keep_name(name: &str) -> &'static str {
    static KEPT: crate::lock::Mutex<Option<HashSet<&'static str>>> = crate::lock::Mutex::new(None);
    let mut kept = KEPT.lock();
    let kept = kept.get_or_insert_default();
    if let Some(known) = kept.get(name) {
        return known;
    }
    let name: &'static str = name.to_owned().leak();
    kept.insert(name);
    name
}

impl Reader {
    /// Reads the head of the file.
    fn open(source: &mut dyn Source, recording: &mut Recording) -> Result<Self, ReadError> {
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
        Ok(Self {
            block: Block::new(swapped),
            recording: word(FileWord::Recording),
            types: HashMap::new(),
            names: Names::default(),
            sites: HashMap::new(),
            paths: vec![u32::MAX],
            other_paths: HashMap::new(),
            threads: HashMap::new(),
            spans: HashMap::new(),
            labels: HashMap::new(),
            modules: HashMap::new(),
            stacks: HashMap::new(),
            known_stacks: HashMap::new(),
            locations: HashMap::new(),
            sources: Vec::new(),
            source_lines: HashMap::new(),
            texts: HashMap::new(),
            marks: Vec::new(),
            arguments: Vec::new(),
            known: HashMap::new(),
            pending: Vec::new(),
            evicted: HashSet::new(),
            no_thread: None,
            no_location: None,
        })
    }

    fn leave_out(&self, recording: &mut Recording, index: u64, reason: &str) {
        let (at, bytes) = (index * BLOCK_BYTES as u64, BLOCK_BYTES as u64);
        damaged(&mut recording.damage, (0, at), bytes, reason.to_owned());
    }

    /// Reads a block, and returns how many slots of it are whole. `None` where it is damaged, or was used again meanwhile.
    fn load(
        &mut self,
        source: &mut dyn Source,
        recording: &mut Recording,
        (sequence, index): Place,
    ) -> Result<Option<usize>, ReadError> {
        let failed = |error| ReadError::at(0, What::Io(error));
        let offset = index * BLOCK_BYTES as u64;
        self.block.read(source, offset, SLOTS).map_err(failed)?;
        let Some(head) = self.block.head().filter(|head| head.sequence == sequence) else {
            return Ok(None);
        };
        let there = self.block.slots.len();
        let len = usize::try_from(head.len).unwrap_or(usize::MAX);
        if !(HEAD..=SLOTS).contains(&len) {
            self.leave_out(recording, index, "the block's length is out of range");
            return Ok(None);
        }
        if len > there {
            // The file was cut off within the block.
            recording.truncated = true;
            return Ok(Some(there));
        }
        if !self.block.is_sound(&head, len) {
            // It may be in use again, by the process that writes it.
            let mut now = Block::new(self.block.swapped);
            now.read(source, offset, HEAD).map_err(failed)?;
            if now.head().is_some_and(|now| now.sequence == sequence) {
                self.leave_out(recording, index, "the block does not fit its checksum");
            }
            return Ok(None);
        }
        Ok(Some(len))
    }

    /// Reads a block of entries.
    fn entries(
        &mut self,
        source: &mut dyn Source,
        recording: &mut Recording,
        place: Place,
    ) -> Result<(), ReadError> {
        let Some(len) = self.load(source, recording, place)? else { return Ok(()) };
        let mut at = HEAD;
        while at < len {
            let head = self.block.slots[at];
            let bytes = head[0] as u32 as usize;
            let slots = 1 + bytes.div_ceil(SLOT_BYTES);
            if at + slots > len {
                let offset = place.1 * BLOCK_BYTES as u64 + (at * SLOT_BYTES) as u64;
                let reason = "an entry is longer than its block".to_owned();
                let bytes = ((len - at) * SLOT_BYTES) as u64;
                damaged(&mut recording.damage, (0, offset), bytes, reason);
                break;
            }
            if let Some(kind) = EntryKind::from_number((head[0] >> 56) as u8) {
                self.entry(recording, kind, at, bytes);
            }
            at += slots;
        }
        Ok(())
    }

    fn entry(&mut self, recording: &mut Recording, kind: EntryKind, at: usize, bytes: usize) {
        let [head, key, first, second] = self.block.slots[at];
        let part = head >> 32 & 0xff_ffff;
        match kind {
            EntryKind::Path => self.path(key, second),
            EntryKind::Stack => {
                let words = self.words(at, bytes);
                let frames = words.chunks_exact(2).map(|frame| (frame[0], frame[1]));
                let frames = frames.take(MAX_FRAMES).collect();
                self.stacks.insert(key as u32, frames);
            }
            EntryKind::Object => {
                let words = self.words(at, bytes);
                let word = |word: ObjectWord| words.get(word as usize).copied().unwrap_or(0);
                let strong = (word(ObjectWord::Strong) as i64).max(0);
                let known = Known {
                    ty: word(ObjectWord::Type),
                    size: word(ObjectWord::Size),
                    path: word(ObjectWord::Path) as u32,
                    label: word(ObjectWord::Label) as u32,
                    earlier: Earlier {
                        events: first,
                        highest: second,
                        strong: u32::try_from(strong).unwrap_or(u32::MAX),
                        weak: word(ObjectWord::Weak) as i64,
                    },
                };
                self.pending.push((key, Some(known)));
            }
            EntryKind::Over => self.pending.push((key, None)),
            EntryKind::Evicted => {
                for (object, known) in self.pending.drain(..) {
                    match known {
                        Some(known) => self.known.insert(object, known),
                        None => self.known.remove(&object),
                    };
                }
                self.evicted.insert(key);
            }
            _ => {
                let Some(text) = self.block.text(at + 1, bytes) else { return };
                let whole = if part == 0 {
                    text.to_vec()
                } else {
                    let mut whole = self.texts.remove(&(kind as u8, key)).unwrap_or_default();
                    whole.extend_from_slice(text);
                    whole
                };
                // Only a text that is as long as a part may be goes on.
                if bytes == super::super::format::LONGEST_TEXT {
                    self.texts.insert((kind as u8, key), whole.clone());
                }
                let text = String::from_utf8_lossy(&whole).into_owned();
                self.text(recording, kind, key, (first, second), part, text);
            }
        }
    }

    /// The words of an entry.
    fn words(&self, at: usize, bytes: usize) -> Vec<u64> {
        let slots = bytes.div_ceil(SLOT_BYTES);
        self.block.slots[at + 1..at + 1 + slots].iter().flatten().take(bytes / 8).copied().collect()
    }

    fn path(&mut self, path: u64, site: u64) {
        let (Ok(path), Some(&location)) = (u32::try_from(path), self.sites.get(&site)) else {
            return;
        };
        if path as usize == self.paths.len() {
            self.paths.push(location);
        } else {
            self.other_paths.insert(path, location);
        }
    }

    fn text(
        &mut self,
        recording: &mut Recording,
        kind: EntryKind,
        key: u64,
        (first, second): (u64, u64),
        part: u64,
        text: String,
    ) {
        let Some(origin) = &mut recording.origin else { return };
        match kind {
            EntryKind::Program => origin.program = text,
            EntryKind::Directory => origin.directory = text,
            EntryKind::Host => origin.host = text,
            EntryKind::Build => {}
            EntryKind::Argument if part > 0 => {
                if let Some(last) = self.arguments.last_mut() {
                    last.1 = text;
                }
            }
            EntryKind::Argument => self.arguments.push((key, text)),
            EntryKind::Type => {
                let kind = match first {
                    1 => Kind::Box,
                    2 => Kind::Rc,
                    _ => Kind::Arc,
                };
                self.types.insert(key, (kind, text.into()));
            }
            EntryKind::Site => {
                let location = Location::new(text, (first >> 32) as u32, first as u32);
                let index = location_index(&mut self.locations, recording, location);
                self.sites.insert(key, index);
            }
            EntryKind::Thread => {
                recording.threads.push(text.into());
                self.threads.insert(key as u32, recording.threads.len() as u32 - 1);
            }
            EntryKind::Span => {
                recording.spans.push(text.into());
                self.spans.insert(key as u32, recording.spans.len() as u32 - 1);
            }
            EntryKind::Label => {
                self.labels.insert(key as u32, text);
            }
            EntryKind::Module => {
                self.modules.entry(key).or_default().0 = text;
            }
            EntryKind::ModuleBuild => {
                self.modules.entry(key).or_default().1 = text;
            }
            EntryKind::Mark => {
                let time = Time::from_nanos(first);
                if part > 0 {
                    self.marks.pop();
                }
                self.marks.push((text.into_bytes(), time));
            }
            EntryKind::Source => {
                if part > 0 {
                    self.sources.pop();
                }
                self.sources.push((text, (first, second)));
            }
            EntryKind::Lines => {
                self.source_lines.insert(key, (first as u32, text));
            }
            _ => {}
        }
    }

    /// All entries are read.
    fn end_entries(&mut self, recording: &mut Recording) {
        // What no number of a block follows does not count: the process was killed before.
        self.pending.clear();
        self.texts.clear();
        recording.sources.extend(self.sources.drain(..));
        for (site, (first, text)) in self.source_lines.drain() {
            if let Some(&site) = self.sites.get(&site) {
                let around = &recording.locations[site as usize];
                recording.source_lines.add(around, first, &text);
            }
        }
        let mut marks: Vec<_> = self.marks.drain(..).collect();
        marks.sort_by_key(|(_, time)| *time);
        for (name, time) in marks {
            recording.end = recording.end.max(time);
            let name = String::from_utf8_lossy(&name).into_owned();
            recording.marks.push(Mark { name, time });
        }
        self.arguments.sort_by_key(|(index, _)| *index);
        if let Some(origin) = &mut recording.origin {
            origin.arguments = self.arguments.drain(..).map(|(_, text)| text).collect();
        }
    }

    /// Gives the objects of blocks that are gone.
    fn summary(&mut self, recording: &mut Recording, take: &mut impl FnMut(&mut Recording, Item)) {
        let known: Vec<_> = self
            .known
            .iter()
            .filter(|(_, known)| known.ty != 0)
            .map(|(id, known)| (*id, known.ty, known.size, known.path, known.label, known.earlier))
            .collect();
        for (id, ty, size, path, label, earlier) in known {
            if let Some(mut object) = self.object(recording, id, ty, size, path) {
                object.label = self.labels.get(&label).cloned();
                take(recording, Item::Object(object, earlier));
            }
        }
    }

    fn object(
        &mut self,
        recording: &mut Recording,
        id: u64,
        ty: u64,
        size: u64,
        path: u32,
    ) -> Option<ObjectRecord> {
        let (kind, name) = self.types.get(&ty)?;
        let (kind, type_name) = (*kind, self.names.get(name));
        let location = self.location(path).unwrap_or_else(|| {
            *self.no_location.get_or_insert_with(|| {
                location_index(&mut self.locations, recording, Location::new("?", 0, 0))
            })
        });
        let id = ObjectId::from_number(id);
        Some(ObjectRecord { id, kind, type_name, size, location, label: None })
    }

    #[inline]
    fn location(&self, path: u32) -> Option<u32> {
        if path == 0 {
            return None;
        }
        match self.paths.get(path as usize) {
            Some(&known) => Some(known),
            None => self.other_paths.get(&path).copied(),
        }
    }

    fn thread(&mut self, recording: &mut Recording, number: u32) -> u32 {
        let index = self.threads.get(&number).copied().or(self.no_thread);
        index.unwrap_or_else(|| {
            recording.threads.push("?".into());
            *self.no_thread.insert(recording.threads.len() as u32 - 1)
        })
    }

    fn stack(&mut self, number: u32) -> Option<StackId> {
        if let Some(known) = self.known_stacks.get(&number) {
            return *known;
        }
        let frames = self.stacks.get(&number).map_or(&[][..], |frames| &frames[..]);
        let frames = frames.iter().map(|&(module, offset)| {
            let module = self.modules.get(&module).map(|(path, build)| {
                let build = (!build.is_empty()).then(|| build.clone());
                Arc::new(StoredModule { path: path.clone(), build })
            });
            (module, offset)
        });
        let frames: Vec<_> = frames.collect();
        let stack = if frames.is_empty() { None } else { stack::keep(frames) };
        self.known_stacks.insert(number, stack);
        stack
    }

    /// Reads a block of events.
    fn events(
        &mut self,
        source: &mut dyn Source,
        recording: &mut Recording,
        place: Place,
        take: &mut impl FnMut(&mut Recording, Item),
    ) -> Result<(), ReadError> {
        let Some(len) = self.load(source, recording, place)? else { return Ok(()) };
        let (mut at, mut thread, mut stack) = (HEAD, None, 0);
        while at < len {
            let slot = self.block.slots[at];
            match (slot[1] >> 56) as u8 {
                THREAD => {
                    thread = Some(self.thread(recording, slot[0] as u32));
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
            let more =
                if birth { self.block.slots.get(at + 1).filter(|_| at + 1 < len) } else { None };
            let more = more.copied();
            let event = match thread {
                Some(thread) if !birth || more.is_some() => {
                    self.event(recording, slot, more, thread, stack, take)
                }
                _ => None,
            };
            if event.is_none() {
                let offset = place.1 * BLOCK_BYTES as u64 + (at * SLOT_BYTES) as u64;
                let reason = "not a record; the rest of its block cannot be trusted".to_owned();
                let bytes = ((len - at) * SLOT_BYTES) as u64;
                damaged(&mut recording.damage, (0, offset), bytes, reason);
                break;
            }
            stack = 0;
            at += 1 + usize::from(birth);
        }
        Ok(())
    }

    /// `None` where it is no record.
    fn event(
        &mut self,
        recording: &mut Recording,
        slot: Slot,
        birth: Option<Slot>,
        thread: u32,
        stack: u32,
        take: &mut impl FnMut(&mut Recording, Item),
    ) -> Option<()> {
        let op = Op::from_number((slot[1] >> 56) as u8)?;
        let (seq, strong) = (slot[0] >> SEQ_SHIFT, (slot[0] & 0xff_ffff) as u32);
        let (number, object) = (slot[1] & 0xff_ffff_ffff, slot[2] >> 24);
        let (path, span) = ((slot[2] & 0xff_ffff) as u32, (slot[1] >> 40 & 0xffff) as u32);
        if seq == 0 || object == 0 {
            return None;
        }
        let mut of = object;
        let mut stack = stack;
        if let Some([ty, size, from_object, own_stack]) = birth {
            of = from_object;
            stack = own_stack as u32;
            if let Some(born) = self.object(recording, object, ty, size, path) {
                let earlier = self.known.get(&object).map(|known| known.earlier);
                take(recording, Item::Object(born, earlier.unwrap_or_default()));
            }
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
        let time = Time::from_nanos(if label { 0 } else { slot[3] });
        let event = EventRecord {
            op,
            handle: HandleId::new(id, handle),
            from,
            seq,
            strong,
            location: self.location(path),
            thread,
            time,
            stack: if stack == 0 { None } else { self.stack(stack) },
            span: if span == 0 { None } else { self.spans.get(&span).copied() },
        };
        take(recording, Item::Event(event));
        recording.end = recording.end.max(time);
        if label && let Some(text) = self.labels.get(&(slot[3] as u32)) {
            take(recording, Item::Label(id, seq, text.clone()));
        }
        Some(())
    }
}

fn location_index(
    known: &mut HashMap<Location, u32>,
    recording: &mut Recording,
    location: Location,
) -> u32 {
    *known.entry(location).or_insert_with_key(|location| {
        recording.locations.push(location.clone());
        recording.locations.len() as u32 - 1
    })
}

/// In place of the operation: records of a thread, and of a stack.
const THREAD: u8 = u8::MAX;
const STACK: u8 = THREAD - 1;
/// The place in the history is above the strong count.
const SEQ_SHIFT: u32 = 24;
