//! Reads what sinks wrote, or someone who claims so: what is not as it should be is left out and reported, and no input
//! makes the reader panic or take more memory than it has read.

mod binary;
mod json;

pub use binary::on_progress;

use super::format::MAGIC;
use super::{Earlier, EventRecord, LiveObject, ObjectRecord, Recording, RecordingEnd, Replay};
use crate::event::{ObjectId, Time};
use std::collections::HashMap;
use std::fmt;
use std::fs::File;
use std::io::{self, BufRead, BufReader, Read as _, Seek as _};
use std::path::Path;

/// Stretches of damage that are kept apart; what follows is counted with the last.
const MAX_DAMAGE: usize = 64;

/// Why a recording cannot be read.
#[derive(Debug)]
pub struct ReadError {
    /// 0 where there are no lines.
    line: u64,
    what: What,
}

#[derive(Debug)]
enum What {
    Io(io::Error),
    NoRecording,
    /// Of JSON Lines, or of the binary format.
    Version(u64),
    BlockSize(u64),
}

impl ReadError {
    fn at(line: u64, what: What) -> Self {
        Self { line, what }
    }

    /// Returns the number of the line at fault, from 1; 0 of a binary recording.
    pub fn line(&self) -> u64 {
        self.line
    }
}

impl fmt::Display for ReadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.line > 0 {
            write!(f, "line {}: ", self.line)?;
        }
        match &self.what {
            // The source says why.
            What::Io(_) => f.write_str("cannot be read"),
            What::NoRecording => write!(
                f,
                "not a refscope recording: it does not begin with {{\"refscope\":{},…}} or as a binary one does",
                json::VERSION
            ),
            What::BlockSize(bytes) => {
                write!(f, "the recording's blocks have {bytes} B, which no refscope writes")
            }
            What::Version(version) => write!(
                f,
                "the recording has version {version}, and this refscope reads version {}: read it with the \
                 refscope that wrote it, or a newer one",
                if self.line > 0 { json::VERSION } else { super::format::VERSION }
            ),
        }
    }
}

impl std::error::Error for ReadError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match &self.what {
            What::Io(error) => Some(error),
            _ => None,
        }
    }
}

/// A stretch of a file that could not be read, and was left out. Returned by [`Recording::damage`].
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct Damage {
    /// Where it begins in the file, in bytes.
    pub offset: u64,
    /// The first line of the stretch, from 1; 0 of a binary recording.
    pub line: u64,
    /// How many lines it has, or blocks of a binary recording.
    pub lines: u64,
    /// How many bytes it has.
    pub bytes: u64,
    /// What is wrong where it begins.
    pub reason: String,
}

/// `line 15: …; left out: 1 line, 73 bytes`
impl fmt::Display for Damage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.line == 0 {
            let (reason, bytes) =
                (crate::text::escape(&self.reason), crate::text::count(self.bytes));
            return write!(f, "byte {}: {reason}; left out: {bytes} B", self.offset);
        }
        write!(
            f,
            "line {}: {}; left out: {}, {} B",
            self.line,
            crate::text::escape(&self.reason),
            crate::text::plural(self.lines, "line"),
            crate::text::count(self.bytes)
        )
    }
}

impl Recording {
    /// Reads a recording that [`FlightRecorder`](crate::sink::FlightRecorder) or [`FileSink`](crate::sink::FileSink) wrote, to
    /// its last whole event. Its first bytes say which of the two it is.
    ///
    /// A last line that was cut off because the process was killed while it wrote is left out, and
    /// [`truncated`](Self::truncated) says so. Other lines and blocks that cannot be read are left out as well, and
    /// [`damage`](Self::damage) says which.
    ///
    /// A binary recording is read into memory first; [`open`](Self::open) reads it from its file.
    ///
    /// # Errors
    ///
    /// Fails if the input cannot be read, is no recording, or is one of another version.
    ///
    /// # Examples
    ///
    /// ```
    /// use refscope::Recording;
    ///
    /// let text = r#"{"refscope":1,"pid":7}
    /// {"thread":1,"name":"main"}
    /// {"site":1,"file":"src/main.rs","line":3,"column":15}
    /// {"type":1,"name":"i32"}
    /// {"object":1,"kind":"Rc","type":1,"size":4,"site":1}
    /// {"event":"new","o":1,"n":1,"h":1,"s":1,"t":1,"ns":10,"at":1}
    /// {"event":"drop","o":1,"n":2,"h":1,"s":0,"t":1,"n"#;
    /// let recording = Recording::read(text.as_bytes())?;
    /// assert_eq!(recording.events().len(), 1);
    /// assert!(recording.truncated());
    /// # Ok::<(), refscope::model::ReadError>(())
    /// ```
    pub fn read(input: impl BufRead) -> Result<Self, ReadError> {
        whole(Input::of(input)?)
    }

    /// Reads a recording from its file, as [`read`](Self::read).
    ///
    /// # Errors
    ///
    /// As [`read`](Self::read).
    ///
    /// # Examples
    ///
    /// ```no_run
    /// let recording = refscope::Recording::open("run.refscope")?;
    /// println!("{}", recording.timelines());
    /// # Ok::<(), refscope::model::ReadError>(())
    /// ```
    pub fn open(path: impl AsRef<Path>) -> Result<Self, ReadError> {
        whole(Input::open(path.as_ref())?)
    }

    /// Reads a recording for what was alive at a moment of it: at the first mark of this name, or so many nanoseconds after the
    /// start. `None` if there is no such mark, or the recording ends before.
    ///
    /// Of threads that worked meanwhile, events of about the same moment may count or not.
    ///
    /// # Errors
    ///
    /// As [`read`](Self::read).
    pub fn read_live_at(
        input: impl BufRead,
        moment: &Moment,
    ) -> Result<Option<(Self, Vec<LiveObject>)>, ReadError> {
        live_at(Input::of(input)?, moment)
    }

    /// Reads a recording from its file, as [`read_live_at`](Self::read_live_at).
    ///
    /// # Errors
    ///
    /// As [`read`](Self::read).
    pub fn open_live_at(
        path: impl AsRef<Path>,
        moment: &Moment,
    ) -> Result<Option<(Self, Vec<LiveObject>)>, ReadError> {
        live_at(Input::open(path.as_ref())?, moment)
    }

    /// Reads a recording only for what was alive at its end, in memory bounded by what is alive, not by the
    /// recording's length.
    ///
    /// The recording that is returned has the tables and no events.
    ///
    /// # Errors
    ///
    /// As [`read`](Self::read).
    pub fn read_live(input: impl BufRead) -> Result<(Self, Vec<LiveObject>), ReadError> {
        live(Input::of(input)?)
    }

    /// Reads a recording from its file, as [`read_live`](Self::read_live).
    ///
    /// # Errors
    ///
    /// As [`read`](Self::read).
    pub fn open_live(path: impl AsRef<Path>) -> Result<(Self, Vec<LiveObject>), ReadError> {
        live(Input::open(path.as_ref())?)
    }
}

/// A recording's bytes.
enum Input<R> {
    Lines(R),
    Blocks(Box<dyn binary::Source>),
}

impl<R: BufRead> Input<R> {
    fn of(mut input: R) -> Result<Self, ReadError> {
        let failed = |error| ReadError::at(1, What::Io(error));
        let first = loop {
            match input.fill_buf() {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                other => break other.map_err(failed)?.first().copied(),
            }
        };
        if first != Some(MAGIC[0]) {
            return Ok(Self::Lines(input));
        }
        let mut bytes = Vec::new();
        input.read_to_end(&mut bytes).map_err(|error| ReadError::at(0, What::Io(error)))?;
        Ok(Self::Blocks(Box::new(bytes)))
    }
}

impl Input<BufReader<File>> {
    fn open(path: &Path) -> Result<Self, ReadError> {
        let failed = |error| ReadError::at(0, What::Io(error));
        let mut file = File::open(path).map_err(failed)?;
        if is_regular(&file) {
            let mut first = [0];
            let read = file.read(&mut first).map_err(failed)?;
            if read == 1 && first[0] == MAGIC[0] {
                return Ok(Self::Blocks(Box::new(file)));
            }
            file.rewind().map_err(failed)?;
        }
        Self::of(BufReader::with_capacity(1 << 20, file))
    }
}

fn is_regular(file: &File) -> bool {
    file.metadata().is_ok_and(|metadata| metadata.is_file())
}

fn read_items<R: BufRead>(
    input: Input<R>,
    recording: &mut Recording,
    take: impl FnMut(&mut Recording, Item),
) -> Result<(), ReadError> {
    recording.ended = RecordingEnd::Stopped;
    match input {
        Input::Lines(input) => json::read_lines(input, recording, take),
        Input::Blocks(mut source) => binary::read_blocks(&mut *source, recording, take),
    }
}

fn whole<R: BufRead>(input: Input<R>) -> Result<Recording, ReadError> {
    let mut recording = Recording::default();
    let mut events: Vec<EventRecord> = Vec::new();
    let mut labels: HashMap<ObjectId, (u64, String)> = HashMap::new();
    read_items(input, &mut recording, |recording, item| match item {
        // A later part names what is alive again: what the earlier part said is more.
        Item::Object(object, earlier) if !recording.objects.contains_key(&object.id) => {
            if earlier != Earlier::default() {
                recording.earlier.insert(object.id, earlier);
            }
            recording.objects.insert(object.id, object);
        }
        Item::Object(..) | Item::Unordered => {}
        Item::Event(event) => events.push(event),
        Item::Label(object, seq, label) => {
            // The latest, in whichever order they are written.
            let latest = labels.entry(object).or_default();
            if seq >= latest.0 {
                *latest = (seq, label);
            }
        }
    })?;
    for (object, (_, label)) in labels {
        if let Some(object) = recording.objects.get_mut(&object) {
            object.label = Some(label);
        }
    }
    events.retain(|event| {
        let earlier = recording.earlier.get(&event.object());
        let known = earlier.is_some_and(|earlier| earlier.includes(event.seq));
        !known && recording.objects.contains_key(&event.object())
    });
    recording.events = events;
    recording.sort();
    recording.events.dedup_by_key(|event| (event.object(), event.seq));
    Ok(recording)
}

fn live_at<R: BufRead>(
    input: Input<R>,
    moment: &Moment,
) -> Result<Option<(Recording, Vec<LiveObject>)>, ReadError> {
    let mut recording = Recording::default();
    let mut replay = Replay::new();
    let mut over = false;
    // Lines are in order; of blocks the times tell.
    let mut until = match moment {
        Moment::Mark(_) => None,
        Moment::Time(time) => Some(*time),
    };
    let mut ordered = true;
    let marked = |recording: &Recording| {
        match moment {
            Moment::Mark(name) => recording.marks.iter().find(|mark| mark.name == *name),
            Moment::Time(_) => None,
        }
        .map(|mark| mark.time)
    };
    read_items(input, &mut recording, |recording, item| {
        ordered &= !matches!(item, Item::Unordered);
        over |= ordered && marked(recording).is_some();
        if over {
            return;
        }
        match item {
            Item::Unordered => {
                until = until.or(marked(recording));
                replay.unordered();
            }
            Item::Object(object, earlier) => replay.object(object, earlier),
            Item::Event(event) if until.is_some_and(|until| event.time > until) => {}
            Item::Event(event) => replay.event(event),
            Item::Label(object, seq, label) => replay.label(object, seq, &label),
        }
    })?;
    let time = match moment {
        Moment::Mark(_) => marked(&recording),
        Moment::Time(time) => (*time <= recording.end).then_some(*time),
    };
    let Some(time) = time else { return Ok(None) };
    recording.end = time;
    let mut objects = replay.live_objects(&recording);
    // Those that are known by their first line alone were not there yet.
    objects.retain(|object| !object.handles.is_empty() || object.strong > 0);
    Ok(Some((recording, objects)))
}

fn live<R: BufRead>(input: Input<R>) -> Result<(Recording, Vec<LiveObject>), ReadError> {
    let mut recording = Recording::default();
    let mut replay = Replay::new();
    read_items(input, &mut recording, |_, item| match item {
        Item::Unordered => replay.unordered(),
        Item::Object(object, earlier) => replay.object(object, earlier),
        Item::Event(event) => replay.event(event),
        Item::Label(object, seq, label) => replay.label(object, seq, &label),
    })?;
    let objects = replay.live_objects(&recording);
    Ok((recording, objects))
}

/// A moment of a recording.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Moment {
    /// The first [mark](crate::mark()) of this name.
    Mark(String),
    /// A time.
    Time(Time),
}

/// What a line says, beside what goes into the tables.
enum Item {
    Object(ObjectRecord, Earlier),
    Event(EventRecord),
    /// Object, number of the event, text.
    Label(ObjectId, u64, String),
    /// What follows is in the order of each thread alone: an event may come before its object. The tables and the marks are
    /// complete.
    Unordered,
}

/// Notes a stretch at a line (0: none) and an offset.
fn damaged(damage: &mut Vec<Damage>, (line, offset): (u64, u64), bytes: u64, reason: String) {
    let full = damage.len() == MAX_DAMAGE;
    match damage.last_mut() {
        Some(last) if full || last.offset + last.bytes == offset => {
            last.lines += 1;
            last.bytes += bytes;
        }
        _ => damage.push(Damage { offset, line, lines: 1, bytes, reason }),
    }
}
