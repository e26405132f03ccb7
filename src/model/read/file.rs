use super::bounded::Bounded;
use super::folds;
use super::parts::Fold;
use super::passes::{self, Input, open};
use super::peaks;
use super::source::Source;
use super::{Moment, ReadError, What, is_regular};
use crate::event::{Kind, Location, ObjectId, Op, Time};
use crate::model::packed::write::Packer;
use crate::model::replay::Seen;
use crate::model::{Earlier, EventRecord, LiveObject, ObjectRecord, Peak, Recording, Replay};
use crate::stack::StackId;
use std::borrow::Cow;
use std::cmp::Reverse;
use std::collections::{BTreeMap, HashSet};
use std::fs::{File, TryLockError};
use std::io::{self, BufReader, Write};
use std::path::Path;

/// A recording in its file, which is read in passes and never whole: each takes memory for what is alive and for what is asked
/// for, and none for what merely happened.
///
/// Blocks of binary recordings are read by as many threads as there are processors. JSON Lines are read by one, at a fraction of
/// the rate: pack them first, where they are long.
///
/// # Examples
///
/// ```no_run
/// use refscope::model::RecordingFile;
///
/// let file = RecordingFile::open("run.refscope")?;
/// // Three sessions, of however many there are.
/// let survey = file.survey(3, |allocation| allocation.object.type_name.contains("Session"))?;
/// let recording = file.objects(&survey.first.iter().map(|one| one.id).collect())?;
/// println!("{} sessions, of them: {}", survey.objects, recording.timelines());
/// # Ok::<(), refscope::model::ReadError>(())
/// ```
#[derive(Debug)]
pub struct RecordingFile {
    file: File,
}

/// An object when it was first seen: what [`RecordingFile::survey`] asks of.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct Allocation<'a> {
    /// What it is.
    pub object: &'a ObjectRecord,
    /// The line that made it.
    pub location: &'a Location,
    /// The thread that made it; empty where none of its events is known.
    pub thread: &'a str,
    /// When it was made.
    pub time: Time,
}

/// What there is of the objects that [`RecordingFile::survey`] was asked for.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct Survey {
    /// The recording's tables, without events.
    pub recording: Recording,
    /// What was alive at the end, whether it was asked for or not.
    pub living: Vec<LiveObject>,
    /// How many objects were asked for.
    pub objects: u64,
    /// How many events they had.
    pub events: u64,
    /// How many of them were alive at the end.
    pub alive: u64,
    /// The size of those.
    pub alive_bytes: u64,
    /// Of each type how many, and how many of them were alive.
    pub types: BTreeMap<(Kind, Cow<'static, str>), (u64, u64)>,
    /// The first of them: what was alive, then what had the most events.
    pub first: Vec<Surveyed>,
    /// Those with the largest values.
    pub biggest: Vec<Surveyed>,
}

/// An object of a [`Survey`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Surveyed {
    /// Which object it is.
    pub id: ObjectId,
    /// How many of its events are known.
    pub events: u64,
    /// Whether it was alive at the end.
    pub is_alive: bool,
    /// The value's size in bytes.
    pub size: u64,
}

impl RecordingFile {
    /// Opens a recording.
    ///
    /// # Errors
    ///
    /// Fails if the file cannot be opened. What is in it is looked at by the passes, which fail as [`Recording::read`] does.
    pub fn open(path: impl AsRef<Path>) -> Result<Self, ReadError> {
        let file = File::open(path).map_err(|error| ReadError::at(0, What::Io(error)))?;
        Ok(Self { file })
    }

    /// Takes a file that is open.
    pub fn from_file(file: File) -> Self {
        Self { file }
    }

    /// Returns whether it is packed already. What it is otherwise, the passes look at.
    ///
    /// # Errors
    ///
    /// Those of reading the file's beginning.
    pub fn is_packed(&self) -> io::Result<bool> {
        if !is_regular(&self.file) {
            return Ok(false);
        }
        let mut head = [0; 24];
        let read = Source::read_at(&self.file, 0, &mut head)?;
        Ok(passes::is_packed(&head[..read]))
    }

    /// Returns whether a process writes it still, as far as the system says so: who records has the file locked.
    pub fn is_being_written(&self) -> bool {
        if !is_regular(&self.file) {
            return false;
        }
        match self.file.try_lock_shared() {
            Ok(()) => {
                // For a moment only: nobody is to find it in use.
                let _ = self.file.unlock();
                false
            }
            Err(TryLockError::WouldBlock) => true,
            // A file system without locks.
            Err(TryLockError::Error(_)) => false,
        }
    }

    fn input(&self) -> Result<Input<BufReader<File>>, ReadError> {
        let file = self.file.try_clone().map_err(|error| ReadError::at(0, What::Io(error)))?;
        Input::of_file(file)
    }

    /// Returns what was alive at the end, as [`Recording::open_live`] does.
    ///
    /// # Errors
    ///
    /// As [`Recording::read`].
    pub fn live(&self) -> Result<(Recording, Vec<LiveObject>), ReadError> {
        folds::live(self.input()?)
    }

    /// Returns the same, and of what most was dropped shortly before the end, the most numerous first: growth that the
    /// shutdown hides. Who held it tells [`live_at`](Self::live_at) the peak's time.
    ///
    /// # Errors
    ///
    /// As [`Recording::read`].
    pub fn live_and_peaks(&self) -> Result<(Recording, Vec<LiveObject>, Vec<Peak>), ReadError> {
        peaks::live_and_peaks(self.input()?)
    }

    /// Returns what was alive at a moment, as [`Recording::open_live_at`] does.
    ///
    /// # Errors
    ///
    /// As [`Recording::read`].
    pub fn live_at(
        &self,
        moment: &Moment,
    ) -> Result<Option<(Recording, Vec<LiveObject>)>, ReadError> {
        folds::live_at(self.input()?, moment)
    }

    /// Returns the whole history of some objects. Of a packed recording, only the blocks are read that have something of
    /// them.
    ///
    /// # Errors
    ///
    /// As [`Recording::read`].
    pub fn objects(&self, objects: &HashSet<ObjectId>) -> Result<Recording, ReadError> {
        folds::whole(self.input()?, Some(objects))
    }

    /// The same, of each object so many events at most, where it is too much to be kept: the first half and the last half of
    /// these, the ends of handles that one of the first events made, and what made the handles that are alive, of as many. The
    /// counts are those of all events; [`Timeline::omitted`](crate::analysis::Timeline::omitted) says how many are left out.
    ///
    /// # Errors
    ///
    /// As [`Recording::read`].
    pub fn objects_bounded(
        &self,
        objects: &HashSet<ObjectId>,
        events: usize,
    ) -> Result<Recording, ReadError> {
        let mut recording = Recording::default();
        let mut bounded = Bounded::new(events);
        open(self.input()?, &mut recording)?.fold(&mut recording, Some(objects), &mut bounded)?;
        bounded.into(&mut recording);
        folds::name_all(&mut recording);
        Ok(recording)
    }

    /// Gives each event of the objects that are wanted, of these or of all, to a function, those of an object in their order, and returns the
    /// tables and what was alive at the end. It ends where the function fails.
    pub(crate) fn each(
        &self,
        objects: Option<&HashSet<ObjectId>>,
        wanted: impl Fn(&Allocation<'_>) -> bool,
        visit: impl FnMut(&Recording, &Seen<'_>) -> io::Result<()>,
    ) -> io::Result<(Recording, Vec<LiveObject>)> {
        let mut recording = Recording::default();
        let visitor = Visitor { wanted, visit, error: None };
        let mut each = Each { replay: Replay::unordered(), visitor };
        open(self.input()?, &mut recording)?.fold(&mut recording, objects, &mut each)?;
        let Each { mut replay, mut visitor } = each;
        let living = replay
            .live_objects_seen(&recording, &mut |seen: Seen<'_>| visitor.see(&recording, &seen));
        visitor.error.map_or(Ok((recording, living)), Err)
    }

    /// Returns the tables, and on how many events of one operation each stack was taken.
    ///
    /// # Errors
    ///
    /// As [`Recording::read`].
    pub fn count_stacks(&self, op: Op) -> Result<(Recording, BTreeMap<StackId, u64>), ReadError> {
        let mut recording = Recording::default();
        let make = || StackCounts { op, counts: BTreeMap::new() };
        let shares = open(self.input()?, &mut recording)?.fold_shares(&mut recording, make)?;
        let mut all: BTreeMap<StackId, u64> = BTreeMap::new();
        for (stack, count) in shares.into_iter().flat_map(|share| share.counts) {
            *all.entry(stack).or_default() += count;
        }
        Ok((recording, all))
    }

    #[doc = include_str!("../packed.md")]
    pub fn pack(&self, to: impl Write) -> io::Result<(u64, u64)> {
        let mut recording = Recording::default();
        let mut packing = Packing(Packer::new(to));
        open(self.input()?, &mut recording)?.fold(&mut recording, None, &mut packing)?;
        packing.0.finish(&recording)
    }

    /// Looks at the objects that are wanted: how many there are, of which types, and which come first, up to `most` of them.
    ///
    /// # Errors
    ///
    /// As [`Recording::read`].
    pub fn survey(
        &self,
        most: usize,
        wanted: impl Fn(&Allocation<'_>) -> bool + Sync,
    ) -> Result<Survey, ReadError> {
        let mut recording = Recording::default();
        let make = || Surveying { replay: Replay::unordered(), sums: Sums::new(&wanted, most) };
        let shares = open(self.input()?, &mut recording)?.fold_shares(&mut recording, make)?;
        let mut all = Sums::new(&wanted, most);
        let mut living = Vec::new();
        for Surveying { mut replay, mut sums } in shares {
            living.extend(
                replay.live_objects_seen(&recording, &mut |seen: Seen<'_>| {
                    sums.see(&recording, &seen)
                }),
            );
            all.add(sums);
        }
        living.sort_unstable_by_key(|object| object.id);
        let first = all.first.0.into_values().rev().collect();
        let biggest = all.biggest.0.into_values().rev().collect();
        Ok(Survey { recording, living, first, biggest, ..all.survey })
    }
}

/// Gives each event of some objects to a function, those of an object in their order.
struct Each<F, V> {
    replay: Replay,
    visitor: Visitor<F, V>,
}

struct Visitor<F, V> {
    wanted: F,
    visit: V,
    error: Option<io::Error>,
}

impl<F, V> Visitor<F, V>
where
    F: Fn(&Allocation<'_>) -> bool,
    V: FnMut(&Recording, &Seen<'_>) -> io::Result<()>,
{
    fn see(&mut self, tables: &Recording, seen: &Seen<'_>) -> bool {
        if self.error.is_some() || (seen.is_first && !(self.wanted)(&Allocation::of(tables, seen)))
        {
            return false;
        }
        self.error = (self.visit)(tables, seen).err();
        true
    }
}

impl<F, V> Fold for Each<F, V>
where
    F: Fn(&Allocation<'_>) -> bool,
    V: FnMut(&Recording, &Seen<'_>) -> io::Result<()>,
{
    fn object(&mut self, tables: &Recording, object: ObjectRecord, earlier: Earlier) {
        let visitor = &mut self.visitor;
        self.replay.object_seen(object, earlier, &mut |seen: Seen<'_>| visitor.see(tables, &seen));
    }

    fn event(&mut self, tables: &Recording, event: &EventRecord) {
        let visitor = &mut self.visitor;
        self.replay.event_seen(event, &mut |seen: Seen<'_>| visitor.see(tables, &seen));
    }

    fn label(&mut self, _: &Recording, object: ObjectId, seq: u64, label: String) {
        self.replay.label(object, seq, &label);
    }

    fn is_over(&self) -> bool {
        self.visitor.error.is_some()
    }
}

struct StackCounts {
    op: Op,
    counts: BTreeMap<StackId, u64>,
}

impl Fold for StackCounts {
    fn object(&mut self, _: &Recording, _: ObjectRecord, _: Earlier) {}

    fn event(&mut self, _: &Recording, event: &EventRecord) {
        if let Some(stack) = event.stack.filter(|_| event.op == self.op) {
            *self.counts.entry(stack).or_default() += 1;
        }
    }

    fn label(&mut self, _: &Recording, _: ObjectId, _: u64, _: String) {}
}

struct Packing<W>(Packer<W>);

impl<W: Write> Fold for Packing<W> {
    fn object(&mut self, tables: &Recording, object: ObjectRecord, earlier: Earlier) {
        self.0.object(tables, object, earlier);
    }

    fn event(&mut self, tables: &Recording, event: &EventRecord) {
        self.0.event(tables, *event);
    }

    fn label(&mut self, tables: &Recording, object: ObjectId, seq: u64, label: String) {
        self.0.label(tables, object, seq, label);
    }

    fn is_over(&self) -> bool {
        self.0.has_failed()
    }
}

/// A replay that sums up the objects that are wanted.
struct Surveying<F> {
    replay: Replay,
    sums: Sums<F>,
}

struct Sums<F> {
    wanted: F,
    most: usize,
    survey: Survey,
    first: Top<(bool, u64, Reverse<ObjectId>)>,
    biggest: Top<(u64, Reverse<ObjectId>)>,
}

/// The greatest of some, by a key that each has alone.
struct Top<K>(BTreeMap<K, Surveyed>);

impl<K: Ord> Top<K> {
    fn add(&mut self, key: K, one: Surveyed, most: usize) {
        let is_in = self.0.len() < most || self.0.first_key_value().is_some_and(|(k, _)| *k < key);
        if is_in {
            self.0.insert(key, one);
            if self.0.len() > most {
                self.0.pop_first();
            }
        }
    }
}

impl<F: Fn(&Allocation<'_>) -> bool> Sums<F> {
    fn new(wanted: F, most: usize) -> Self {
        let (first, biggest) = (Top(BTreeMap::new()), Top(BTreeMap::new()));
        Self { wanted, most, survey: Survey::default(), first, biggest }
    }

    #[inline]
    fn see(&mut self, tables: &Recording, seen: &Seen<'_>) -> bool {
        if seen.is_first {
            return (self.wanted)(&Allocation::of(tables, seen));
        }
        if let Some((events, strong)) = seen.end {
            self.end(seen.object, events, strong);
        }
        true
    }

    fn end(&mut self, object: &ObjectRecord, events: u64, strong: u32) {
        let is_alive = strong > 0;
        let one = Surveyed { id: object.id, events, is_alive, size: object.size };
        let survey = &mut self.survey;
        survey.objects += 1;
        survey.events += events;
        survey.alive += u64::from(is_alive);
        survey.alive_bytes = survey.alive_bytes.saturating_add(if is_alive { one.size } else { 0 });
        let key = (object.kind, object.type_name.clone());
        let (all, alive) = survey.types.entry(key).or_default();
        *all += 1;
        *alive += u64::from(is_alive);
        self.add_one(one);
    }

    fn add_one(&mut self, one: Surveyed) {
        self.first.add((one.is_alive, one.events, Reverse(one.id)), one, self.most);
        self.biggest.add((one.size, Reverse(one.id)), one, self.most);
    }

    fn add(&mut self, more: Self) {
        let survey = &mut self.survey;
        survey.objects += more.survey.objects;
        survey.events += more.survey.events;
        survey.alive += more.survey.alive;
        survey.alive_bytes = survey.alive_bytes.saturating_add(more.survey.alive_bytes);
        for (key, (all, alive)) in more.survey.types {
            let sums = survey.types.entry(key).or_default();
            *sums = (sums.0 + all, sums.1 + alive);
        }
        more.first.0.into_values().for_each(|one| self.add_one(one));
        more.biggest.0.into_values().for_each(|one| self.add_one(one));
    }
}

impl<F: Fn(&Allocation<'_>) -> bool> Fold for Surveying<F> {
    fn object(&mut self, tables: &Recording, object: ObjectRecord, earlier: Earlier) {
        let sums = &mut self.sums;
        self.replay.object_seen(object, earlier, &mut |seen: Seen<'_>| sums.see(tables, &seen));
    }

    fn event(&mut self, tables: &Recording, event: &EventRecord) {
        let sums = &mut self.sums;
        self.replay.event_seen(event, &mut |seen: Seen<'_>| sums.see(tables, &seen));
    }

    fn label(&mut self, _: &Recording, object: ObjectId, seq: u64, label: String) {
        self.replay.label(object, seq, &label);
    }
}

impl<'a> Allocation<'a> {
    pub(super) fn of(tables: &'a Recording, seen: &Seen<'a>) -> Self {
        static UNKNOWN: Location = Location { file: Cow::Borrowed("?"), line: 0, column: 0 };
        let location = tables.locations.get(seen.object.location as usize);
        let thread = seen.event.map(|event| tables.threads.get(event.thread as usize));
        Self {
            object: seen.object,
            location: location.unwrap_or(&UNKNOWN),
            thread: thread.map_or("", |name| name.map_or("?", |name| name)),
            time: seen.event.map_or(Time::START, |event| event.time),
        }
    }
}
