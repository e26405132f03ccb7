//! Events that were kept, as plain data: what a recorder gives and a file holds.
//!
//! Names, lines and threads stand once each in tables, and the events refer to them by index, so that a
//! recording of another process, read from a file, is the same data.

#[cfg(feature = "json")]
mod read;

#[cfg(feature = "json")]
pub use read::ReadError;

use crate::analysis::Timelines;
use crate::event::{Kind, Op, Time};
use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;

/// A line of source code.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[non_exhaustive]
pub struct Place {
    /// The file, as the compiler was given it.
    pub file: Cow<'static, str>,
    /// The line, from 1.
    pub line: u32,
    /// The column, from 1.
    pub column: u32,
}

impl Place {
    /// A line by its parts.
    pub fn new(file: impl Into<Cow<'static, str>>, line: u32, column: u32) -> Self {
        Self { file: file.into(), line, column }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}:{}", self.file, self.line, self.column)
    }
}

/// An object of a recording.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ObjectInfo {
    /// Its number.
    pub id: u64,
    /// The kind of pointer it is behind.
    pub kind: Kind,
    /// The type's full name.
    pub type_name: Cow<'static, str>,
    /// The value's size in bytes.
    pub size: u64,
    /// The line that made it: an index into [`Recording::places`].
    pub born: u32,
    /// Its label, if it was given one.
    pub label: Option<String>,
}

/// An event of a recording.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct EventInfo {
    /// What happened.
    pub op: Op,
    /// The number of the object that it happened to.
    pub object: u64,
    /// The number of the handle, within the object.
    pub handle: u64,
    /// Object and number of the handle that it was made from.
    pub from: Option<(u64, u64)>,
    /// The place in the object's history, from 1.
    pub seq: u64,
    /// The number of traced strong handles right after.
    pub strong: u32,
    /// The line: an index into [`Recording::places`].
    pub place: Option<u32>,
    /// The thread: an index into [`Recording::threads`].
    pub thread: u32,
    /// When it happened.
    pub time: Time,
}

/// What is known of an object's events that a recorder gave up for newer ones.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Earlier {
    pub(crate) events: u64,
    /// By how much they changed the weak count.
    pub(crate) weak: i64,
}

/// Events that were kept, and the tables that they refer to.
///
/// Made by [`Recorder::recording`](crate::sink::Recorder::recording), or read from a file (feature `json`).
#[derive(Clone, Debug, Default)]
pub struct Recording {
    pub(crate) objects: BTreeMap<u64, ObjectInfo>,
    pub(crate) events: Vec<EventInfo>,
    /// Of objects whose oldest events were not kept.
    pub(crate) earlier: BTreeMap<u64, Earlier>,
    pub(crate) places: Vec<Place>,
    pub(crate) threads: Vec<String>,
    pub(crate) lost: u64,
    pub(crate) end: Time,
    pub(crate) truncated: bool,
}

impl Recording {
    /// The objects whose birth was kept, by number.
    pub fn objects(&self) -> &BTreeMap<u64, ObjectInfo> {
        &self.objects
    }

    /// The events, those of one object in their order.
    pub fn events(&self) -> &[EventInfo] {
        &self.events
    }

    /// The lines that objects and events refer to.
    pub fn places(&self) -> &[Place] {
        &self.places
    }

    /// The names of the threads that events refer to.
    pub fn threads(&self) -> &[String] {
        &self.threads
    }

    /// How many events were not kept: exactly so many.
    pub fn lost(&self) -> u64 {
        self.lost
    }

    /// Whether the last line of the file that it was read from was cut off.
    pub fn truncated(&self) -> bool {
        self.truncated
    }

    /// The moment at which the recording was read or ended.
    pub fn end(&self) -> Time {
        self.end
    }

    /// The objects' histories: the counts over time, and a lifeline for every handle.
    pub fn timelines(&self) -> Timelines<'_> {
        Timelines::new(self)
    }

    /// Brings the events of each object into their order.
    pub(crate) fn sort(&mut self) {
        self.events.sort_by_key(|event| (event.object, event.seq));
    }

    /// Checks that each object's events are numbered without a gap from 1, and that replaying them gives
    /// the strong count that each carries.
    ///
    /// # Errors
    ///
    /// The first event at which that is not so. A recording that [lost](Self::lost) events, or whose sink
    /// did not see some, has gaps.
    ///
    /// # Examples
    ///
    /// ```
    /// use refscope::{Arc, Scope, sink::Recorder};
    ///
    /// let recorder = Recorder::new();
    /// Scope::new(recorder.clone()).run(|| drop(Arc::new(1).clone()));
    /// recorder.recording().replay().expect("nothing was lost");
    /// ```
    pub fn replay(&self) -> Result<(), Mismatch> {
        let mut events = self.events.iter().peekable();
        while let Some(first) = events.peek().copied() {
            let (mut seq, mut strong) = (0, 0_i64);
            while let Some(event) = events.next_if(|event| event.object == first.object) {
                seq += 1;
                strong += i64::from(event.op.strong_delta());
                let fault = if event.seq != seq {
                    Fault::Gap { expected: seq }
                } else if strong != i64::from(event.strong) {
                    Fault::Count { replayed: strong }
                } else if seq == 1 && !event.op.begins() {
                    Fault::Birth
                } else {
                    continue;
                };
                return Err(Mismatch { event: *event, fault });
            }
        }
        Ok(())
    }
}

/// An event that does not follow from those before it. Given by [`Recording::replay`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mismatch {
    event: EventInfo,
    fault: Fault,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Fault {
    Gap { expected: u64 },
    Count { replayed: i64 },
    Birth,
}

impl Mismatch {
    /// The event.
    pub fn event(&self) -> &EventInfo {
        &self.event
    }
}

impl fmt::Display for Mismatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let EventInfo { op, object, seq, strong, .. } = self.event;
        write!(f, "object #{object}, event {seq} ({op}): ")?;
        match self.fault {
            Fault::Gap { expected } => write!(f, "event {expected} should come here"),
            Fault::Count { replayed } => {
                write!(f, "it carries a strong count of {strong}, the replay gives {replayed}")
            }
            Fault::Birth => write!(f, "a history cannot begin with it"),
        }
    }
}

impl std::error::Error for Mismatch {}
