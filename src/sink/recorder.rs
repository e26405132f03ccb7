use super::{Clock, Overflow, Route, Sink};
use crate::event::{Event, Label, Op, Thread, Time};
use crate::model::{Earlier, EventRecord, Location, ObjectRecord, Recording};
use crate::runtime::log::{Birth, Log, Record};
use crate::runtime::view;
use crate::stack::StackId;
use std::collections::BTreeMap;
use std::collections::HashMap;
use std::fmt;

/// Keeps events in memory, within a budget, for a timeline.
///
/// Each thread writes to buffers of its own, without a lock; they can be read at any time, and keep what
/// threads that are gone have written. When the budget is used up, further events are lost, and counted.
///
/// It is a handle itself: clones share the recording.
///
/// # Examples
///
/// ```
/// use refscope::{Rc, Scope, sink::Recorder};
///
/// let recorder = Recorder::new();
/// Scope::new(recorder.clone()).run(|| {
///     let one = Rc::new("a value");
///     let two = one.clone();
/// });
/// println!("{}", recorder.recording().timelines());
/// ```
///
/// # Cost
///
/// An event takes 32 bytes, an allocation 64, and a few nanoseconds (the precise clock some 20 to 45 more); the README has
/// the table.
#[derive(Clone)]
pub struct Recorder {
    log: Log,
}

/// Memory that a recorder may use unless it is told otherwise.
const DEFAULT_BUDGET: usize = 64 << 20;

impl Default for Recorder {
    fn default() -> Self {
        Self::new()
    }
}

impl Recorder {
    /// Creates a recorder with a budget of 64 MiB (some two million events) and the coarse clock.
    pub fn new() -> Self {
        Self::with(DEFAULT_BUDGET, Clock::default())
    }

    /// Creates a recorder that uses at most `bytes` for its records, rounded up to 16 KiB for each thread, and
    /// stamps them by `clock`. When the budget is used up, further events are lost.
    ///
    /// # Examples
    ///
    /// ```
    /// use refscope::sink::{Clock, Recorder};
    ///
    /// let recorder = Recorder::with(1 << 20, Clock::Precise);
    /// assert_eq!(recorder.lost(), 0);
    /// ```
    pub fn with(bytes: usize, clock: Clock) -> Self {
        Self::with_overflow(Overflow::DropNewest, bytes, clock)
    }

    /// Creates a recorder as [`with`](Self::with) does; `overflow` says which events are kept when the budget is used
    /// up.
    ///
    /// [`Overflow::DropOldest`] suits long-running programs. Metadata of live objects (some 80 bytes an object) counts
    /// against the budget and is kept even beyond it.
    ///
    /// # Examples
    ///
    /// ```
    /// use refscope::sink::{Clock, Overflow, Recorder};
    /// use refscope::{Rc, Scope};
    ///
    /// let recorder = Recorder::with_overflow(Overflow::DropOldest, 64 << 10, Clock::Coarse);
    /// let _guard = Scope::new(recorder.clone()).enter();
    /// let long_lived = Rc::new("still known at the end");
    /// for _ in 0..10_000 {
    ///     drop(long_lived.clone());
    /// }
    /// # if refscope::ENABLED {
    /// let recording = recorder.recording();
    /// assert_eq!(recording.objects().len(), 1);
    /// assert_eq!(recording.lost() + recording.events().len() as u64, 20_001);
    /// # }
    /// ```
    pub fn with_overflow(overflow: Overflow, bytes: usize, clock: Clock) -> Self {
        Self { log: Log::new(overflow, bytes, clock) }
    }

    /// Returns how many events are not kept, because the budget was used up.
    pub fn lost(&self) -> u64 {
        self.log.lost()
    }

    /// Returns what was recorded so far.
    ///
    /// Other threads may go on meanwhile: the recording holds what was complete when their buffers were
    /// read.
    pub fn recording(&self) -> Recording {
        let origin = Some(Box::new(super::file::origin::this_process()));
        let mut recording = Recording { origin, ..Recording::default() };
        let mut tables = Tables::default();
        let mut labels: BTreeMap<u64, u32> = BTreeMap::new();
        let (segments, evicted, lost) = self.log.all();
        recording.lost = lost;
        for (id, object) in evicted.objects() {
            if let Some((birth, path)) = object.birth {
                let record = tables.object(id, &birth, path, &mut recording);
                recording.objects.insert(id, record);
            }
            if object.label != 0 {
                labels.insert(id, object.label);
            }
            let earlier = Earlier {
                events: object.events,
                highest: object.last,
                strong: u32::try_from(object.strong.max(0)).unwrap_or(u32::MAX),
                weak: object.weak,
            };
            recording.earlier.insert(id, earlier);
        }
        for segment in segments {
            let mut records = segment.records();
            let mut thread = 0;
            while let Some(record) = Record::next(&mut records, &mut thread) {
                if let Some(birth) = &record.birth {
                    let object = tables.object(record.object, birth, record.path, &mut recording);
                    recording.objects.insert(record.object, object);
                }
                if record.op == Op::Label {
                    labels.insert(record.object, record.label);
                }
                let location = tables.location(record.path, &mut recording);
                let thread = tables.thread(record.thread, &mut recording);
                let span = tables.span(record.span, &mut recording);
                recording.events.push(EventRecord {
                    op: record.op,
                    object: record.object,
                    handle: record.handle,
                    from: record.from,
                    seq: record.seq,
                    strong: record.strong,
                    location,
                    thread,
                    time: Time::from_nanos(record.time),
                    stack: StackId::new(record.stack),
                    span,
                });
            }
        }
        for (id, label) in labels {
            if let Some(object) = recording.objects.get_mut(&id) {
                object.label = Label(label).text().map(str::to_owned);
            }
        }
        recording.end = Time::from_nanos(self.log.clock().now());
        recording.sort();
        recording
    }
}

/// The indexes that a recording gives to what records name.
#[derive(Default)]
struct Tables {
    /// By path, and by content: several paths end with one line.
    paths: HashMap<u32, Option<u32>>,
    locations: HashMap<Location, u32>,
    threads: HashMap<u32, u32>,
    spans: HashMap<u32, Option<u32>>,
}

impl Tables {
    fn location(&mut self, path: u32, recording: &mut Recording) -> Option<u32> {
        if path == 0 {
            return None;
        }
        if let Some(&known) = self.paths.get(&path) {
            return known;
        }
        let index = view::location(path).map(|location| {
            let location = Location::from(location);
            *self.locations.entry(location).or_insert_with_key(|location| {
                recording.locations.push(location.clone());
                recording.locations.len() as u32 - 1
            })
        });
        self.paths.insert(path, index);
        index
    }

    fn thread(&mut self, thread: u32, recording: &mut Recording) -> u32 {
        *self.threads.entry(thread).or_insert_with(|| {
            let name = Thread::from_number(thread).map_or_else(String::new, |t| t.to_string());
            recording.threads.push(name.into());
            recording.threads.len() as u32 - 1
        })
    }

    fn span(&mut self, span: u32, recording: &mut Recording) -> Option<u32> {
        if span == 0 {
            return None;
        }
        *self.spans.entry(span).or_insert_with(|| {
            recording.spans.push(crate::span::text(span)?.into());
            Some(recording.spans.len() as u32 - 1)
        })
    }

    fn object(
        &mut self,
        id: u64,
        birth: &Birth,
        path: u32,
        recording: &mut Recording,
    ) -> ObjectRecord {
        ObjectRecord {
            id,
            kind: birth.ty.kind,
            type_name: birth.ty.name().into(),
            size: birth.size,
            location: self.location(path, recording).unwrap_or_default(),
            label: None,
        }
    }
}

impl Sink for Recorder {
    /// Writes an event that the log does not have yet: one that came through a sink of the program's own, or to a second
    /// recorder.
    fn event(&self, event: &Event) {
        if event.logged != self.log.id() {
            self.log.write(event);
        }
    }

    fn route(&self) -> Route {
        Route { log: Some(self.log.clone()), events: false, filters: false }
    }
}

impl fmt::Debug for Recorder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Recorder")
            .field("clock", &self.log.clock())
            .field("lost", &self.lost())
            .finish_non_exhaustive()
    }
}
