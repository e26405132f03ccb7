use super::{RecorderBuilder, Route, Sink};
use crate::event::{Event, HandleId, Label, ObjectId, Op, Thread, Time};
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

impl Default for Recorder {
    fn default() -> Self {
        Self::new()
    }
}

impl Recorder {
    /// Creates a recorder with a budget of 64 MiB (some two million events) and the coarse clock.
    pub fn new() -> Self {
        Self::builder().build()
    }

    /// Returns a builder, for another budget, another clock, or for keeping the latest events.
    pub fn builder() -> RecorderBuilder {
        RecorderBuilder::new()
    }

    pub(super) fn built(builder: RecorderBuilder) -> Self {
        let RecorderBuilder { budget, clock, overflow } = builder;
        Self { log: Log::new(overflow, budget, clock) }
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
        // Of each object the latest, in whichever order they lie, with the number of its event.
        let mut labels: BTreeMap<u64, (u64, u32)> = BTreeMap::new();
        let (segments, evicted, lost) = self.log.all();
        recording.lost = lost;
        for (id, object) in evicted.objects() {
            if let Some((birth, path)) = object.birth {
                let record = tables.object(id, &birth, path, &mut recording);
                recording.objects.insert(record.id, record);
            }
            if object.label.1 != 0 {
                labels.insert(id, object.label);
            }
            let earlier = Earlier {
                events: object.events,
                highest: object.last,
                strong: object.strong,
                weak: object.weak,
            };
            recording.earlier.insert(ObjectId::from_number(id), earlier);
        }
        for segment in segments {
            let mut records = segment.records();
            let mut thread = 0;
            while let Some(record) = Record::next(&mut records, &mut thread) {
                if let Some(birth) = &record.birth {
                    let object = tables.object(record.object, birth, record.path, &mut recording);
                    recording.objects.insert(object.id, object);
                }
                if record.op == Op::Label {
                    let latest = labels.entry(record.object).or_default();
                    *latest = (record.seq, record.label).max(*latest);
                }
                let location = tables.location(record.path, &mut recording);
                let thread = tables.thread(record.thread, &mut recording);
                let span = tables.span(record.span, &mut recording);
                recording.events.push(EventRecord {
                    op: record.op,
                    handle: HandleId::new(ObjectId::from_number(record.object), record.handle),
                    from: record
                        .from
                        .map(|(of, from)| HandleId::new(ObjectId::from_number(of), from)),
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
        for (id, (_, label)) in labels {
            if let Some(object) = recording.objects.get_mut(&ObjectId::from_number(id)) {
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
            id: ObjectId::from_number(id),
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
