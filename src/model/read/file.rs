use super::folds;
use super::parts::Fold;
use super::passes::{Input, open};
use super::{Moment, ReadError, What};
use crate::event::{Location, ObjectId, Time};
use crate::model::packed::write::Packer;
use crate::model::replay::Seen;
use crate::model::{Earlier, EventRecord, LiveObject, ObjectRecord, Recording, Replay};
use std::borrow::Cow;
use std::cmp::Reverse;
use std::collections::{BTreeSet, HashSet};
use std::fs::File;
use std::io::{self, BufReader, Write};
use std::path::Path;

/// A recording in its file, which is read in passes and never whole: each takes memory for what is alive and for what is asked
/// for, and none for what merely happened.
///
/// Blocks of binary recordings are read by as many threads as there are processors. JSON Lines are read by one: pack them
/// first, where they are long.
///
/// # Examples
///
/// ```no_run
/// use refscope::model::RecordingFile;
///
/// let file = RecordingFile::open("run.refscope")?;
/// // The first three sessions, of however many there are.
/// let choice = file.choose(3, |birth| birth.object.type_name.contains("Session"))?;
/// let recording = file.objects(&choice.first.into_iter().collect())?;
/// println!("{} sessions: {}", choice.matching, recording.timelines());
/// # Ok::<(), refscope::model::ReadError>(())
/// ```
#[derive(Debug)]
pub struct RecordingFile {
    file: File,
}

/// An object when it was first seen: what [`RecordingFile::choose`] asks of.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct Birth<'a> {
    /// What it is.
    pub object: &'a ObjectRecord,
    /// The line that made it.
    pub location: &'a Location,
    /// The thread that made it; empty where none of its events is known.
    pub thread: &'a str,
    /// When it was made.
    pub time: Time,
}

/// What [`RecordingFile::choose`] found.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Choice {
    /// The recording's tables, without events.
    pub recording: Recording,
    /// What was alive at the end, whether it was asked for or not.
    pub living: Vec<LiveObject>,
    /// How many objects were accepted.
    pub matching: u64,
    /// The first of them, by number.
    pub first: BTreeSet<ObjectId>,
    /// Those with the largest values; the first of those that are as large.
    pub biggest: BTreeSet<ObjectId>,
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

    #[doc = include_str!("../packed.md")]
    pub fn pack(&self, to: impl Write) -> io::Result<(u64, u64)> {
        let mut recording = Recording::default();
        let mut packing = Packing(Packer::new(to));
        open(self.input()?, &mut recording)?.fold(&mut recording, None, &mut packing)?;
        Ok(packing.0.finish(&recording)?)
    }

    /// Asks of each object whether it is wanted, and returns up to `most` of those that are, with what was alive at the end.
    ///
    /// # Errors
    ///
    /// As [`Recording::read`].
    pub fn choose(
        &self,
        most: usize,
        wanted: impl Fn(&Birth<'_>) -> bool + Sync,
    ) -> Result<Choice, ReadError> {
        let mut recording = Recording::default();
        let make = || Choosing {
            replay: Replay::unordered(),
            chosen: Chosen {
                wanted: &wanted,
                most,
                matching: 0,
                first: BTreeSet::new(),
                biggest: BTreeSet::new(),
            },
        };
        let mut shares = open(self.input()?, &mut recording)?.fold_shares(&mut recording, make)?;
        let (mut living_objects, mut all) = (Vec::new(), make().chosen);
        for Choosing { replay, chosen } in &mut shares {
            living_objects.extend(
                replay.live_objects_seen(&recording, &mut |seen| chosen.see(&recording, &seen)),
            );
        }
        living_objects.sort_unstable_by_key(|object| object.id);
        for Choosing { chosen, .. } in shares {
            all.matching += chosen.matching;
            chosen.first.into_iter().for_each(|id| all.add_first(id));
            chosen.biggest.into_iter().for_each(|one| all.add_biggest(one));
        }
        Ok(Choice {
            recording,
            living: living_objects,
            matching: all.matching,
            first: all.first,
            biggest: all.biggest.into_iter().map(|(_, id)| id.0).collect(),
        })
    }
}

struct Packing<W>(Packer<W>);

impl<W: Write> Fold for Packing<W> {
    fn object(&mut self, tables: &Recording, object: ObjectRecord, earlier: Earlier) {
        self.0.object(tables, object, earlier);
    }

    fn event(&mut self, tables: &Recording, event: EventRecord) {
        self.0.event(tables, event);
    }

    fn label(&mut self, tables: &Recording, object: ObjectId, seq: u64, label: String) {
        self.0.label(tables, object, seq, label);
    }

    fn is_over(&self) -> bool {
        self.0.has_failed()
    }
}

/// A replay that asks of each object whether it is wanted.
struct Choosing<F> {
    replay: Replay,
    chosen: Chosen<F>,
}

struct Chosen<F> {
    wanted: F,
    most: usize,
    matching: u64,
    first: BTreeSet<ObjectId>,
    /// With the sizes.
    biggest: BTreeSet<(u64, Reverse<ObjectId>)>,
}

impl<F: Fn(&Birth<'_>) -> bool> Chosen<F> {
    fn see(&mut self, tables: &Recording, seen: &Seen<'_>) -> bool {
        if (self.wanted)(&Birth::of(tables, seen)) {
            self.matching += 1;
            self.add_first(seen.object.id);
            self.add_biggest((seen.object.size, Reverse(seen.object.id)));
        }
        // The first event is enough.
        false
    }

    fn add_first(&mut self, id: ObjectId) {
        if self.first.len() < self.most || self.first.last().is_some_and(|last| id < *last) {
            self.first.insert(id);
            if self.first.len() > self.most {
                self.first.pop_last();
            }
        }
    }

    fn add_biggest(&mut self, one: (u64, Reverse<ObjectId>)) {
        if self.biggest.len() < self.most || self.biggest.first().is_some_and(|last| one > *last) {
            self.biggest.insert(one);
            if self.biggest.len() > self.most {
                self.biggest.pop_first();
            }
        }
    }
}

impl<F: Fn(&Birth<'_>) -> bool> Fold for Choosing<F> {
    fn object(&mut self, tables: &Recording, object: ObjectRecord, earlier: Earlier) {
        let chosen = &mut self.chosen;
        self.replay.object_seen(object, earlier, &mut |seen: Seen<'_>| chosen.see(tables, &seen));
    }

    fn event(&mut self, tables: &Recording, event: EventRecord) {
        let chosen = &mut self.chosen;
        self.replay.event_seen(event, &mut |seen: Seen<'_>| chosen.see(tables, &seen));
    }

    fn label(&mut self, _: &Recording, object: ObjectId, seq: u64, label: String) {
        self.replay.label(object, seq, &label);
    }
}

impl<'a> Birth<'a> {
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
