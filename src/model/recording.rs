use super::{Earlier, LiveObject, Replay};
use crate::event::{HandleId, Kind, Location, ObjectId, Op, Time};
use crate::stack::StackId;
use std::borrow::Cow;
use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::sync::Arc;

/// An object of a recording.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct ObjectRecord {
    /// Which object it is.
    pub id: ObjectId,
    /// The kind of pointer it is behind.
    pub kind: Kind,
    /// The type's full name.
    pub type_name: Cow<'static, str>,
    /// The value's size in bytes.
    pub size: u64,
    /// The line that made it: an index into [`Recording::locations`].
    pub location: u32,
    /// Its label, if it was given one.
    pub label: Option<String>,
}

/// An event of a recording.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct EventRecord {
    /// What happened.
    pub op: Op,
    /// The handle that was made, used or ended; and with it the [object](Self::object).
    pub handle: HandleId,
    /// The handle that it was made from.
    pub from: Option<HandleId>,
    /// The place in the object's history, from 1.
    pub seq: u64,
    /// The number of traced strong handles right after.
    pub strong: u32,
    /// The line: an index into [`Recording::locations`].
    pub location: Option<u32>,
    /// The thread: an index into [`Recording::threads`].
    pub thread: u32,
    /// When it happened.
    pub time: Time,
    /// The stack on which it happened, if it was taken.
    // Its number means something in this process alone.
    #[cfg_attr(feature = "serde", serde(skip))]
    pub stack: Option<StackId>,
    /// The `tracing` span in which it happened (feature `spans`): an index into [`Recording::spans`].
    pub span: Option<u32>,
}

impl EventRecord {
    /// Returns the object that it happened to.
    #[inline]
    pub fn object(&self) -> ObjectId {
        self.handle.object()
    }
}

/// Events that were kept, and the tables that they refer to.
///
/// Made by [`Recorder::recording`](crate::sink::Recorder::recording), or read from a file (feature `json`).
#[derive(Clone, Debug, Default)]
pub struct Recording {
    pub(crate) objects: BTreeMap<ObjectId, ObjectRecord>,
    pub(crate) events: Vec<EventRecord>,
    /// Of objects whose oldest events were not kept.
    pub(crate) earlier: BTreeMap<ObjectId, Earlier>,
    pub(crate) locations: Vec<Location>,
    pub(crate) threads: Vec<Arc<str>>,
    pub(crate) spans: Vec<Arc<str>>,
    pub(crate) lost: u64,
    pub(crate) end: Time,
    pub(crate) truncated: bool,
    pub(crate) ended: RecordingEnd,
    pub(crate) origin: Option<Box<Origin>>,
    pub(crate) marks: Vec<Mark>,
    /// Source files, with length and hash.
    pub(crate) sources: BTreeMap<String, (u64, u64)>,
    pub(crate) source_lines: SourceLines,
    #[cfg(feature = "json")]
    pub(crate) damage: Vec<super::read::Damage>,
    /// Of objects whose histories are read in part.
    pub(crate) omitted: BTreeMap<ObjectId, Omitted>,
}

/// What was read of an object and not kept, since it was too much.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Omitted {
    pub(crate) events: u64,
    /// Handles that are alive, of which nothing is kept.
    pub(crate) handles: u64,
    /// In the order of the events.
    pub(crate) gaps: Vec<Gap>,
    /// The highest counts, wherever they were.
    pub(crate) peak_strong: u32,
    pub(crate) peak_weak: u32,
}

/// Events that are not kept, before one that is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Gap {
    pub(crate) before: u64,
    pub(crate) events: u64,
    /// The strong count after them, and what they did to the weak count.
    pub(crate) strong: u32,
    pub(crate) weak: i64,
}

/// Lines above and below a location that a recording has, and the page shows.
pub(crate) const CONTEXT: u32 = 2;

/// Lines of source files, by file and number.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct SourceLines(BTreeMap<String, BTreeMap<u32, String>>);

impl SourceLines {
    /// Adds lines around a location, of which the first has this number.
    #[cfg(feature = "json")]
    pub(crate) fn add(&mut self, around: &Location, first: u32, text: &str) {
        let lines = self.0.entry(around.file.to_string()).or_default();
        // No more than are written: a file may be anybody's invention.
        let text = text.lines().take(2 * CONTEXT as usize + 1).map(str::to_owned);
        lines.extend((first..=u32::MAX).zip(text));
    }

    pub(crate) fn get(&self, location: &Location) -> Option<&str> {
        self.0.get(&*location.file)?.get(&location.line).map(String::as_str)
    }

    /// The lines around a location, with the number of the first.
    pub(crate) fn around(&self, location: &Location) -> Option<(u32, String)> {
        let lines = self.0.get(&*location.file)?;
        let line = location.line;
        let is_known = |line: &u32| lines.contains_key(line);
        let above = (line.saturating_sub(CONTEXT)..=line).rev().take_while(is_known).last()?;
        let below = (above..=line.saturating_add(CONTEXT)).map_while(|line| lines.get(&line));
        Some((above, below.map(String::as_str).collect::<Vec<_>>().join("\n")))
    }
}

/// How a recording ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub enum RecordingEnd {
    /// The process runs on: it is a recording in memory.
    #[default]
    Running,
    /// The process ended by itself, and the recording with it.
    Exit,
    /// It stopped without such a mark: the process was killed, or runs on, or the file could not grow any more.
    Stopped,
}

/// Which process made a recording.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct Origin {
    /// The process id.
    pub pid: u32,
    /// The program's file.
    pub program: String,
    /// Its arguments, without the program.
    pub arguments: Vec<String>,
    /// The working directory.
    pub directory: String,
    /// The machine's name.
    pub host: String,
    /// When events' times began to count, in milliseconds since 1970 (UTC); 0 where that is not known.
    pub started: u64,
    /// The linker's name of the program's build; empty where that is not known.
    pub build: String,
}

/// The mark of a recording that the environment asked for, where a sink of the program's own takes over.
pub(crate) const TAKEN_OVER: &str = "refscope: the program's own sink takes over";

/// A moment that the program [named](crate::mark()).
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct Mark {
    /// Its name.
    pub name: String,
    /// When it was.
    pub time: Time,
}

impl Recording {
    /// Returns the moments that the program named, in order.
    pub fn marks(&self) -> &[Mark] {
        &self.marks
    }

    /// Whether the program installed a sink of its own, to which all later objects went, before what is known of it ends.
    pub(crate) fn is_taken_over(&self) -> bool {
        let end = self.end_time();
        self.marks.iter().any(|mark| mark.name == TAKEN_OVER && mark.time <= end)
    }

    /// Whether a file has no line of an object or event.
    pub(crate) fn traced_nothing(&self) -> bool {
        self.ended != RecordingEnd::Running && self.locations.is_empty() && self.lost == 0
    }

    /// Returns how it ended.
    pub fn end(&self) -> RecordingEnd {
        self.ended
    }

    /// Returns which process made it, where that is known.
    pub fn origin(&self) -> Option<&Origin> {
        self.origin.as_deref()
    }

    /// Returns the objects whose allocation was recorded, by number.
    pub fn objects(&self) -> &BTreeMap<ObjectId, ObjectRecord> {
        &self.objects
    }

    /// Returns the events, by object and number.
    pub fn events(&self) -> &[EventRecord] {
        &self.events
    }

    /// Returns the lines that objects and events refer to.
    pub fn locations(&self) -> &[Location] {
        &self.locations
    }

    /// Returns the names of the threads that events refer to.
    pub fn threads(&self) -> &[Arc<str>] {
        &self.threads
    }

    /// Returns the texts of the `tracing` spans that events refer to: `request{id=17}`.
    pub fn spans(&self) -> &[Arc<str>] {
        &self.spans
    }

    /// Returns how many events were lost, as far as whoever recorded could say so.
    ///
    /// Exact is the count of a [`Recorder`](crate::sink::Recorder), with those that it gave up for newer ones, and that of a flight
    /// recorder that found no room; events that a bounded file gave up for newer ones are none of it, but are in what is known of their objects.
    /// JSON Lines say what found no room at a pipe whose reader was stalled. Where they could not be written at all, they
    /// cannot say so: [`FileSink::lost`](crate::sink::FileSink::lost) does, in the program. What a kill kept from being
    /// written, and what is damaged, is not counted.
    pub fn lost(&self) -> u64 {
        self.lost
    }

    /// Returns whether the last line of the file was cut off.
    pub fn truncated(&self) -> bool {
        self.truncated
    }

    /// Returns the stretches of the file that could not be read, and were left out.
    #[cfg(feature = "json")]
    pub fn damage(&self) -> &[super::read::Damage] {
        &self.damage
    }

    /// Returns when the recording was read or ended.
    pub fn end_time(&self) -> Time {
        self.end
    }

    /// Gives each event the user's line by its stack, where its own is std's or a derive's, or where it has none, as a drop.
    ///
    /// What is made of the recording from then on shows these lines. It finds names, and so takes what
    /// [`StackId::resolve`] does; without stacks, nothing.
    pub fn resolve_stacks(&mut self) {
        let mut known: HashMap<Location, u32> = self.locations.iter().cloned().zip(0..).collect();
        let mut of_stacks: HashMap<StackId, Option<u32>> = HashMap::new();
        let mut users: HashMap<u32, bool> = HashMap::new();
        let Self { events, locations, .. } = self;
        for event in events {
            let Some(stack) = event.stack else { continue };
            if let Some(own) = event.location {
                let is_user =
                    || locations.get(own as usize).is_none_or(|location| location.is_user());
                if *users.entry(own).or_insert_with(is_user) {
                    continue;
                }
            }
            let line = *of_stacks.entry(stack).or_insert_with(|| {
                let stack = stack.resolve();
                let (frame, _) = stack.user_frame()?;
                let location = Location::of_frame(frame)?;
                Some(*known.entry(location).or_insert_with_key(|location| {
                    locations.push(location.clone());
                    locations.len() as u32 - 1
                }))
            });
            event.location = line.or(event.location);
        }
    }

    /// Keeps only the objects that `wanted` accepts, with their events.
    ///
    /// # Examples
    ///
    /// ```
    /// use refscope::{Rc, Scope, sink::Recorder};
    ///
    /// let recorder = Recorder::new();
    /// let kept = Scope::new(recorder.clone()).run(|| (Rc::new(1_u8), Rc::new(String::new())));
    /// let mut recording = recorder.recording();
    /// recording.retain(|object| object.type_name.contains("String"));
    /// assert!(!refscope::ENABLED || recording.events().len() == 1);
    /// ```
    pub fn retain(&mut self, mut wanted: impl FnMut(&ObjectRecord) -> bool) {
        self.objects.retain(|_, object| wanted(object));
        let objects = &self.objects;
        self.events.retain(|event| objects.contains_key(&event.object()));
        self.earlier.retain(|id, _| objects.contains_key(id));
        self.omitted.retain(|id, _| objects.contains_key(id));
    }

    /// Returns what was alive at the end.
    pub fn live_objects(&self) -> Vec<LiveObject> {
        self.replay().0
    }

    /// Replays the events: what is alive then, and how many handles had their path cut for want of room.
    pub(crate) fn replay(&self) -> (Vec<LiveObject>, u64) {
        let mut replay = Replay::new();
        for (id, object) in &self.objects {
            let earlier = self.earlier.get(id).copied().unwrap_or_default();
            replay.object(object.clone(), earlier);
        }
        replay.sorted_events(&self.events);
        let objects = replay.live_objects(self);
        (objects, replay.paths_cut())
    }

    /// Sorts the events by object and number.
    pub(crate) fn sort(&mut self) {
        self.events.sort_by_key(|event| (event.object(), event.seq));
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
    /// recorder.recording().verify().expect("nothing was lost");
    /// ```
    pub fn verify(&self) -> Result<(), Mismatch> {
        let mut events = self.events.iter().peekable();
        while let Some(first) = events.peek().copied() {
            let (mut seq, mut strong) = (0, 0_i64);
            while let Some(event) = events.next_if(|event| event.object() == first.object()) {
                seq += 1;
                strong += i64::from(event.op.strong_delta());
                let reason = if event.seq != seq {
                    MismatchReason::Gap { expected: seq }
                } else if strong != i64::from(event.strong) {
                    MismatchReason::Count { carried: event.strong, replayed: strong }
                } else if seq == 1 && !event.op.begins() {
                    MismatchReason::Birth
                } else {
                    continue;
                };
                return Err(Mismatch { event: *event, reason });
            }
        }
        Ok(())
    }
}

/// An event that does not follow from those before it. Given by [`Recording::verify`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mismatch {
    event: EventRecord,
    reason: MismatchReason,
}

/// Why an event does not follow from those before it: the source of a [`Mismatch`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum MismatchReason {
    /// Events of the object are missing before it.
    Gap {
        /// The number of the first of them.
        expected: u64,
    },
    /// It carries another strong count than the one that the events make.
    Count {
        /// The one that it carries.
        carried: u32,
        /// What the events make.
        replayed: i64,
    },
    /// It is the object's first event, and no allocation.
    Birth,
}

impl Mismatch {
    /// Returns the event.
    pub fn event(&self) -> &EventRecord {
        &self.event
    }

    /// Returns why it does not follow.
    pub fn reason(&self) -> MismatchReason {
        self.reason
    }
}

impl fmt::Display for Mismatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let EventRecord { op, handle, seq, .. } = self.event;
        let object = handle.object();
        write!(f, "object {object}, event {seq} ({op}) does not follow from those before it")
    }
}

impl std::error::Error for Mismatch {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(&self.reason)
    }
}

impl fmt::Display for MismatchReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Gap { expected } => write!(f, "event {expected} should come here"),
            Self::Count { carried, replayed } => {
                write!(f, "it carries a strong count of {carried}, the replay gives {replayed}")
            }
            Self::Birth => f.write_str("a history cannot begin with it"),
        }
    }
}

impl std::error::Error for MismatchReason {}

#[cfg(all(test, feature = "trace"))]
mod tests {
    use super::{MismatchReason, Recording};
    use std::error::Error;

    #[test]
    fn a_mismatch_says_why() {
        let recorder = crate::sink::Recorder::new();
        crate::Scope::new(recorder.clone()).run(|| drop(crate::Rc::new(1).clone()));
        let recording = recorder.recording();
        recording.verify().expect("it is whole");
        let fails = |change: fn(&mut Recording)| {
            let mut changed = recording.clone();
            change(&mut changed);
            let mismatch = changed.verify().expect_err("it is not whole");
            (mismatch.reason(), mismatch.source().expect("it has one").to_string())
        };
        let (reason, source) = fails(|recording| {
            recording.events.remove(1);
        });
        assert_eq!(reason, MismatchReason::Gap { expected: 2 });
        assert_eq!(source, "event 2 should come here");
        let (reason, source) = fails(|recording| recording.events[1].strong = 7);
        assert_eq!(reason, MismatchReason::Count { carried: 7, replayed: 2 });
        assert_eq!(source, "it carries a strong count of 7, the replay gives 2");
        let (reason, _) = fails(|recording| {
            recording.events[0].op = crate::event::Op::Label;
            recording.events[0].strong = 0;
        });
        assert_eq!(reason, MismatchReason::Birth);
    }
}
