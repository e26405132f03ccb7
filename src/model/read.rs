//! Reads what sinks wrote, or someone who claims so: what is not as it should be is left out and reported, and no input
//! makes the reader panic or take more memory than it has read.

mod binary;
mod bounded;
mod file;
mod folds;
mod json;
mod names;
mod packed;
pub(crate) mod parts;
mod passes;
mod peaks;
mod source;

pub use file::{Allocation, RecordingFile, Survey, Surveyed};

use self::passes::Input;
use super::{Earlier, EventRecord, LiveObject, ObjectRecord, Recording};
use crate::event::{ObjectId, Time};
use std::fmt;
use std::fs::File;
use std::io::{self, BufRead};
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
    Empty,
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
            What::Empty => f.write_str(
                "it is empty: whoever was to record has not begun, or was ended or found the disk full before it could write",
            ),
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
                "the recording has version {version}, and this refscope reads {}: read it with the \
                 refscope that wrote it, or a newer one",
                if self.line > 0 { "version 1" } else { "versions 1 and 2" }
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

/// The error of reading where it has to be one of input and output: of kind `InvalidData`, unless reading itself failed.
impl From<ReadError> for io::Error {
    fn from(error: ReadError) -> Self {
        match error.what {
            What::Io(error) => error,
            _ => Self::new(io::ErrorKind::InvalidData, error),
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
        folds::whole(Input::of(input, 0)?, None)
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
        folds::whole(Input::open(path.as_ref())?, None)
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
        folds::live_at(Input::of(input, 0)?, moment)
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
        folds::live_at(Input::open(path.as_ref())?, moment)
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
        folds::live(Input::of(input, 0)?)
    }

    /// Reads a recording from its file, as [`read_live`](Self::read_live).
    ///
    /// # Errors
    ///
    /// As [`read`](Self::read).
    pub fn open_live(path: impl AsRef<Path>) -> Result<(Self, Vec<LiveObject>), ReadError> {
        folds::live(Input::open(path.as_ref())?)
    }
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
    /// Object, number of the event, text: before the event.
    Label(ObjectId, u64, String),
}

/// In place of the index of a line or a thread of which nothing is known.
const UNKNOWN: u32 = u32::MAX;

fn is_regular(file: &File) -> bool {
    file.metadata().is_ok_and(|metadata| metadata.is_file())
}

/// Notes a stretch at a line (0: none) and an offset.
fn damaged(damage: &mut Vec<Damage>, (line, offset): (u64, u64), bytes: u64, reason: String) {
    add_damage(damage, Damage { offset, line, lines: 1, bytes, reason });
}

fn add_damage(damage: &mut Vec<Damage>, more: Damage) {
    let full = damage.len() == MAX_DAMAGE;
    match damage.last_mut() {
        Some(last) if full || last.offset + last.bytes == more.offset => {
            last.lines += more.lines;
            last.bytes += more.bytes;
        }
        _ => damage.push(more),
    }
}
