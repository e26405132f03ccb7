//! What records refer to, from all of a file's entries.

use super::super::json::MAX_FRAMES;
use super::super::names::Names;
use super::super::{ReadError, UNKNOWN, What, damaged};
use super::SEQ_SHIFT;
use super::blocks::{Block, Blocks, Loaded, Place, Slot};
use crate::event::{Kind, Location, ObjectId, Time};
use crate::model::by_number::ByNumber;
use crate::model::format::{
    BLOCK_BYTES, EntryKind, HEAD, LAST_PART, LONGEST_TEXT, ObjectWord, SLOT_BYTES, WORDS,
};
use crate::model::{Earlier, Mark, ObjectRecord, Recording};
use crate::stack::{self, StackId, StoredModule};
use std::borrow::Cow;
use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;

/// What is known of an object from blocks that are gone.
pub(super) struct EvictedObject {
    /// The number of the label's event, and the label; 0 for none.
    label: (u64, u32),
    pub(super) earlier: Earlier,
}

/// An event of a block that is gone, which was kept.
pub(super) struct KeptEvent {
    pub(super) record: Slot,
    /// The second slot of a birth.
    pub(super) birth: Option<Slot>,
    /// The numbers that the file has for them.
    pub(super) thread: u32,
    pub(super) stack: u32,
}

/// What records refer to.
#[derive(Default)]
pub(super) struct Tables {
    types: ByNumber<u64, (Kind, Cow<'static, str>)>,
    /// The line that each path ends with, by the path's number as long as they come in order.
    paths: Vec<u32>,
    other_paths: ByNumber<u32, u32>,
    pub(super) threads: ByNumber<u32, u32>,
    pub(super) spans: ByNumber<u32, u32>,
    pub(super) labels: ByNumber<u32, String>,
    stacks: ByNumber<u32, StackId>,
    /// Objects of blocks that are gone, and the blocks.
    pub(super) known: ByNumber<u64, EvictedObject>,
    /// By object, the events of such blocks that were kept, by number.
    pub(super) kept: BTreeMap<u64, BTreeMap<u64, KeptEvent>>,
    pub(super) evicted: HashSet<u64>,
}

/// A text whose parts are being put together.
struct Text {
    kind: EntryKind,
    key: u64,
    values: (u64, u64),
    /// The part that comes next.
    next: u64,
    bytes: Vec<u8>,
    /// Where it begins in the file, and bytes of it that are left out.
    at: u64,
    left_out: u64,
}

/// Bytes of a text that are kept: more than a system lets an argument or a path have.
const MOST_TEXT: usize = 1 << 20;

/// Reads entries.
pub(super) struct Reader {
    block: Block,
    tables: Tables,
    names: Names,
    sites: HashMap<u64, u32>,
    modules: HashMap<u64, (String, String)>,
    stacks: HashMap<u32, Vec<(u64, u64)>>,
    locations: HashMap<Location, u32>,
    sources: Vec<(String, (u64, u64))>,
    /// By the number of a line, that of the first of the lines around it, and these.
    source_lines: HashMap<u64, (u32, String)>,
    /// The text that was read last, where it may go on in the next entry.
    text: Option<Text>,
    marks: Vec<(String, Time)>,
    arguments: Vec<(u64, String)>,
    /// Entries of objects that do not count yet.
    pending: Vec<(u64, Pending)>,
}

/// What an entry of a summary says of an object.
enum Pending {
    Counts(EvictedObject),
    Kept(KeptEvent),
    Gone(u64),
    Over,
}

impl Reader {
    pub(super) fn new(swapped: bool) -> Self {
        Self {
            block: Block::new(swapped),
            tables: Tables { paths: vec![u32::MAX], ..Tables::default() },
            names: Names::default(),
            sites: HashMap::new(),
            modules: HashMap::new(),
            stacks: HashMap::new(),
            locations: HashMap::new(),
            sources: Vec::new(),
            source_lines: HashMap::new(),
            text: None,
            marks: Vec::new(),
            arguments: Vec::new(),
            pending: Vec::new(),
        }
    }

    /// Reads a block of entries.
    pub(super) fn entries(
        &mut self,
        blocks: &Blocks,
        recording: &mut Recording,
        place: Place,
    ) -> Result<(), ReadError> {
        let loaded = blocks.load(&mut self.block, place);
        let len = match loaded.map_err(|error| ReadError::at(0, What::Io(error)))? {
            Loaded::Whole(len) => len,
            Loaded::CutOff(len) => {
                recording.truncated = true;
                len
            }
            Loaded::Replaced => return Ok(()),
            Loaded::Damaged(reason) => {
                super::leave_out(recording, place.1, reason);
                return Ok(());
            }
        };
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
                self.entry(recording, kind, (place, at), bytes);
            }
            at += slots;
        }
        Ok(())
    }

    fn entry(
        &mut self,
        recording: &mut Recording,
        kind: EntryKind,
        (place, at): (Place, usize),
        bytes: usize,
    ) {
        let [head, key, first, second] = self.block.slots[at];
        let part = head >> 32 & 0xff_ffff;
        // The parts of a text follow each other. A last one that is as long as a part may be is known by what follows.
        let goes_on =
            self.text.take_if(|text| (text.kind, text.key, text.next) == (kind, key, part));
        self.end_text(recording);
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
                let known = EvictedObject {
                    label: (word(ObjectWord::Labeled), word(ObjectWord::Label) as u32),
                    earlier: Earlier {
                        events: first,
                        highest: second,
                        strong: u32::try_from(strong).unwrap_or(u32::MAX),
                        weak: word(ObjectWord::Weak) as i64,
                    },
                };
                self.pending.push((key, Pending::Counts(known)));
            }
            EntryKind::Kept => {
                let words = self.words(at, bytes);
                let (slots, _) = words.as_chunks::<WORDS>();
                if let Some(&record) = slots.first() {
                    let (thread, stack) = ((key >> 32) as u32, key as u32);
                    let event = KeptEvent { record, birth: slots.get(1).copied(), thread, stack };
                    self.pending.push((record[2] >> 24, Pending::Kept(event)));
                }
            }
            EntryKind::Gone => self.pending.push((key, Pending::Gone(first))),
            EntryKind::Over => self.pending.push((key, Pending::Over)),
            EntryKind::Evicted => {
                for (object, known) in self.pending.drain(..) {
                    self.tables.take_in(object, known);
                }
                self.tables.evicted.insert(key);
            }
            _ => {
                let Some(read) = self.block.text(at + 1, bytes) else { return };
                let mut text = match goes_on {
                    Some(text) => text,
                    None if part == 0 => Text {
                        kind,
                        key,
                        values: (first, second),
                        next: 0,
                        bytes: Vec::new(),
                        at: place.1 * BLOCK_BYTES as u64 + (at * SLOT_BYTES) as u64,
                        left_out: 0,
                    },
                    // Its beginning is in a block that is damaged.
                    None => return,
                };
                let kept = read.len().min(MOST_TEXT - text.bytes.len());
                text.bytes.extend_from_slice(&read[..kept]);
                text.left_out += (read.len() - kept) as u64;
                text.next = (part + 1).min(LAST_PART);
                self.text = Some(text);
                // Only one that is as long as a part may be goes on.
                if bytes != LONGEST_TEXT {
                    self.end_text(recording);
                }
            }
        }
    }

    /// Takes in the text whose parts have been put together, if there is one.
    fn end_text(&mut self, recording: &mut Recording) {
        let Some(Text { kind, key, values, bytes, at, left_out, .. }) = self.text.take() else {
            return;
        };
        if left_out > 0 {
            let reason = format!("a text is longer than {MOST_TEXT} B; the rest of it is left out");
            damaged(&mut recording.damage, (0, at), left_out, reason);
        }
        self.text(recording, kind, key, values, String::from_utf8_lossy(&bytes).into_owned());
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
        if path as usize == self.tables.paths.len() {
            self.tables.paths.push(location);
        } else {
            self.tables.other_paths.insert(path, location);
        }
    }

    fn text(
        &mut self,
        recording: &mut Recording,
        kind: EntryKind,
        key: u64,
        (first, second): (u64, u64),
        text: String,
    ) {
        let Some(origin) = &mut recording.origin else { return };
        match kind {
            EntryKind::Program => origin.program = text,
            EntryKind::Directory => origin.directory = text,
            EntryKind::Host => origin.host = text,
            EntryKind::Build => origin.build = text,
            EntryKind::Argument => self.arguments.push((key, text)),
            EntryKind::Type => {
                let kind = match first {
                    1 => Kind::Box,
                    2 => Kind::Rc,
                    _ => Kind::Arc,
                };
                let name = self.names.get(text);
                self.tables.types.insert(key, (kind, name));
            }
            EntryKind::Site => {
                let location = Location::new(text, (first >> 32) as u32, first as u32);
                let index = location_index(&mut self.locations, recording, location);
                self.sites.insert(key, index);
            }
            EntryKind::Thread => {
                recording.threads.push(text.into());
                self.tables.threads.insert(key as u32, recording.threads.len() as u32 - 1);
            }
            EntryKind::Span => {
                recording.spans.push(text.into());
                self.tables.spans.insert(key as u32, recording.spans.len() as u32 - 1);
            }
            EntryKind::Label => {
                self.tables.labels.insert(key as u32, text);
            }
            EntryKind::Module => {
                self.modules.entry(key).or_default().0 = text;
            }
            EntryKind::ModuleBuild => {
                self.modules.entry(key).or_default().1 = text;
            }
            EntryKind::Mark => self.marks.push((text, Time::from_nanos(first))),
            EntryKind::Source => self.sources.push((text, (first, second))),
            EntryKind::Lines => {
                self.source_lines.insert(key, (first as u32, text));
            }
            _ => {}
        }
    }

    /// Ends the reading of entries.
    pub(super) fn end(mut self, recording: &mut Recording) -> Tables {
        self.end_text(recording);
        // What no number of a block follows does not count: the process was killed before.
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
            recording.marks.push(Mark { name, time });
        }
        self.arguments.sort_by_key(|(index, _)| *index);
        if let Some(origin) = &mut recording.origin {
            origin.arguments = self.arguments.drain(..).map(|(_, text)| text).collect();
        }
        let modules: HashMap<u64, Arc<StoredModule>> = self
            .modules
            .into_iter()
            .map(|(number, (path, build))| {
                let build = (!build.is_empty()).then_some(build);
                (number, Arc::new(StoredModule { path, build }))
            })
            .collect();
        let stacks = self.stacks.into_iter().filter(|(_, frames)| !frames.is_empty());
        let stacks = stacks.filter_map(|(number, frames)| {
            let frames = frames.into_iter();
            let frames = frames.map(|(module, offset)| (modules.get(&module).cloned(), offset));
            Some((number, stack::keep(frames.collect())?))
        });
        self.tables.stacks = stacks.collect();
        self.tables
    }
}

impl Tables {
    /// Returns what is known of an object, but for its label; `None` where its type is not known.
    pub(super) fn object(&self, id: u64, ty: u64, size: u64, path: u32) -> Option<ObjectRecord> {
        let (kind, type_name) = self.types.get(&ty)?;
        let id = ObjectId::from_number(id);
        let (kind, type_name) = (*kind, type_name.clone());
        let location = self.location(path).unwrap_or(UNKNOWN);
        Some(ObjectRecord { id, kind, type_name, size, location, label: None })
    }

    /// Takes in what an entry of a summary says.
    fn take_in(&mut self, object: u64, said: Pending) {
        match said {
            Pending::Counts(known) => {
                self.known.insert(object, known);
            }
            Pending::Kept(event) => {
                let seq = event.record[0] >> SEQ_SHIFT;
                self.kept.entry(object).or_default().insert(seq, event);
            }
            Pending::Gone(seq) => {
                if let Some(events) = self.kept.get_mut(&object) {
                    events.remove(&seq);
                }
            }
            Pending::Over => {
                self.known.remove(&object);
                self.kept.remove(&object);
            }
        }
    }

    /// Returns the labels of blocks that are gone, by object, each with the number of its event. Of some objects the
    /// allocation is in a block that is not gone.
    pub(super) fn known_labels(&self) -> Vec<(ObjectId, u64, &str)> {
        let labelled = self.known.iter().filter_map(|(id, known)| {
            let (seq, label) = known.label;
            Some((ObjectId::from_number(*id), seq, self.labels.get(&label)?.as_str()))
        });
        let mut labels: Vec<_> = labelled.collect();
        labels.sort_unstable();
        labels
    }

    #[inline]
    pub(super) fn location(&self, path: u32) -> Option<u32> {
        if path == 0 {
            return None;
        }
        match self.paths.get(path as usize) {
            Some(&known) => Some(known),
            None => self.other_paths.get(&path).copied(),
        }
    }

    #[inline]
    pub(super) fn stack(&self, number: u32) -> Option<StackId> {
        if number == 0 { None } else { self.stacks.get(&number).copied() }
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
