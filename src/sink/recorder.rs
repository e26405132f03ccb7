//! The recorder: events in memory, in buffers of the threads that they happen on.
//!
//! ```text
//!  Recorder ── store ──┬─ open ── a segment for each thread that writes   [records] len ▲ published
//!                      ├─ left ── segments that are full, or whose thread has gone
//!                      └─ past ── what is known from segments that had to go (`Keep::Latest`)
//! ```
//!
//! Only its own thread writes a segment, without a lock; anyone may read at any time without stopping the
//! program.

mod entry;
mod past;
mod segment;
mod tables;
mod tail;

pub use self::segment::Keep;

use self::entry::Entry;
use self::segment::Store;
use self::tables::Tables;
use self::tail::Tail;
use super::Sink;
use crate::event::{
    Event, Handle, HandleId, Label, Location, Object, ObjectId, Op, Record, Site, Size, Thread,
    Time,
};
use crate::model::{EventRecord, ObjectRecord, Recording};
use rustc_hash::FxHashMap;
use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// Which clock a [`Recorder`] stamps its events with.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Clock {
    /// Read on each event: a few nanoseconds a reading; moves every few milliseconds.
    #[default]
    Coarse,
    /// The coarse clock, read on every 32nd event of a thread; those between have the same time.
    Batch,
    /// Read on each event: some 20 to 45 ns a reading; moves every nanosecond.
    Precise,
    /// No clock is read: order alone.
    None,
}

impl Clock {
    /// Events of a batch.
    const BATCH: usize = 32;

    fn now(self) -> Time {
        match self {
            Self::Coarse | Self::Batch => Time::coarse(),
            Self::Precise => Time::now(),
            Self::None => Time::START,
        }
    }

    /// The time of a record at `at`, the last stamp of its thread being `last`.
    #[inline]
    fn stamp(self, at: usize, last: &mut Time) -> Time {
        if self != Self::None && (self != Self::Batch || at.is_multiple_of(Self::BATCH)) {
            *last = self.now();
        }
        *last
    }
}

struct Inner {
    id: u64,
    clock: Clock,
    store: Store,
    tables: parking_lot::Mutex<Tables>,
    /// For threads whose own tail is destroyed already.
    late: crate::primitive::Mutex<Option<Tail>>,
}

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
/// An event takes 32 bytes, a birth 64, and some 20 ns (the precise clock as much again); the README has the table.
#[derive(Clone)]
pub struct Recorder {
    inner: Arc<Inner>,
}

/// Memory that a recorder may use unless it is told otherwise.
const DEFAULT_BUDGET: usize = 64 << 20;

impl Default for Recorder {
    fn default() -> Self {
        Self::new()
    }
}

impl Recorder {
    /// A recorder with a budget of 64 MiB (some two million events) and the coarse clock.
    pub fn new() -> Self {
        Self::with(DEFAULT_BUDGET, Clock::default())
    }

    /// A recorder that uses at most `bytes` for its records, rounded up to 16 KiB for each thread, and
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
        Self::keeping(Keep::Earliest, bytes, clock)
    }

    /// The same, and `keep` says which events are kept when the budget is used up.
    ///
    /// With [`Keep::Latest`] it can stay in a program that runs for a month. What is known of the objects
    /// that are alive takes its part of the budget (some 80 bytes an object), and is kept though it be more.
    ///
    /// # Examples
    ///
    /// ```
    /// use refscope::sink::{Clock, Keep, Recorder};
    /// use refscope::{Rc, Scope};
    ///
    /// let recorder = Recorder::keeping(Keep::Latest, 64 << 10, Clock::Coarse);
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
    pub fn keeping(keep: Keep, bytes: usize, clock: Clock) -> Self {
        static IDS: AtomicU64 = AtomicU64::new(1);
        Self {
            inner: Arc::new(Inner {
                id: IDS.fetch_add(1, Ordering::Relaxed),
                clock,
                store: Store::new(keep, bytes),
                tables: parking_lot::Mutex::default(),
                late: crate::primitive::Mutex::new(None),
            }),
        }
    }

    /// How many events are not kept, because the budget was used up.
    pub fn lost(&self) -> u64 {
        self.inner.store.lost()
    }

    /// What was recorded so far.
    ///
    /// Other threads may go on meanwhile: the recording holds what was complete when their buffers were
    /// read.
    pub fn recording(&self) -> Recording {
        let mut recording = Recording::default();
        let mut places = Locations::default();
        let mut threads = FxHashMap::default();
        let mut labels: BTreeMap<u64, u32> = BTreeMap::new();
        let (segments, past, lost) = self.inner.store.all();
        recording.lost = lost;
        for (id, object) in past.objects() {
            if let Some(birth) = object.birth {
                let info = self.object(id, birth, &mut places, &mut recording);
                recording.objects.insert(id, info);
            }
            if object.label != 0 {
                labels.insert(id, object.label);
            }
            recording.earlier.insert(id, object.earlier());
        }
        for segment in segments {
            let thread = *threads.entry(segment.thread()).or_insert_with_key(|thread| {
                recording.threads.push(thread.to_string().into());
                recording.threads.len() as u32 - 1
            });
            let mut records = segment.records();
            while let Some(entry) = Entry::next(&mut records) {
                if let Some(birth) = entry.birth {
                    let info = self.object(entry.object, birth, &mut places, &mut recording);
                    recording.objects.insert(entry.object, info);
                }
                if entry.op == Op::Label {
                    labels.insert(entry.object, entry.label);
                }
                let location = places.number(&self.inner, entry.site, &mut recording);
                recording.events.push(EventRecord {
                    op: entry.op,
                    object: entry.object,
                    handle: entry.handle,
                    from: entry.from,
                    seq: entry.seq,
                    strong: entry.strong,
                    location,
                    thread,
                    time: entry.time,
                });
            }
        }
        for (id, label) in labels {
            if let Some(object) = recording.objects.get_mut(&id) {
                object.label = Label(label).text().map(str::to_owned);
            }
        }
        recording.end = self.inner.clock.now();
        recording.sort();
        recording
    }

    /// Writes where ending threads do, which have no tail of their own any more.
    #[cold]
    #[inline(never)]
    fn write_late(&self, event: &Event) {
        let mut late = self.inner.late.lock();
        let tail = match &mut *late {
            Some(tail) if tail.thread() == event.thread() => tail,
            other => other.insert(Tail::new(&self.inner)),
        };
        tail.push(&self.inner, event);
    }

    fn object(
        &self,
        id: u64,
        birth: entry::Birth,
        places: &mut Locations,
        recording: &mut Recording,
    ) -> ObjectRecord {
        let ty = self.inner.tables.lock().type_of(birth.ty);
        ObjectRecord {
            id,
            kind: ty.kind,
            type_name: ty.name().into(),
            size: birth.size,
            location: places.number(&self.inner, birth.born, recording).unwrap_or_default(),
            label: None,
        }
    }
}

/// Locations of a recording, by the recorder's numbers of sites.
#[derive(Default)]
struct Locations(FxHashMap<u32, u32>);

impl Locations {
    fn number(&mut self, inner: &Inner, site: u32, recording: &mut Recording) -> Option<u32> {
        if site == 0 {
            return None;
        }
        Some(*self.0.entry(site).or_insert_with(|| {
            let site = inner.tables.lock().site_of(site).expect("a record's site is in the table");
            recording.locations.push(Location::from(site.location()));
            recording.locations.len() as u32 - 1
        }))
    }
}

impl Sink for Recorder {
    #[inline]
    fn event(&self, event: &Event) {
        if !tail::write(&self.inner, event) {
            self.write_late(event);
        }
    }

    fn handles(&self, object: ObjectId) -> Option<Vec<Handle>> {
        let (segments, past, _) = self.inner.store.all();
        let mut entries: Vec<(Thread, Entry)> = Vec::new();
        for segment in segments {
            let mut records = segment.records();
            while let Some(entry) = Entry::next(&mut records) {
                if entry.object == object.number() {
                    entries.push((segment.thread(), entry));
                }
            }
        }
        entries.sort_by_key(|(_, entry)| entry.seq);
        // Locked for a statement each: a thread that records may wait for a number.
        let site = |number| -> Option<Site> { self.inner.tables.lock().site_of(number) };
        let birth = entries.iter().find_map(|(_, entry)| entry.birth).or_else(|| {
            past.objects().find(|(id, _)| *id == object.number()).and_then(|(_, past)| past.birth)
        })?;
        let ty = self.inner.tables.lock().type_of(birth.ty);
        let born = site(birth.born)?;
        let size = Size::new(birth.size as usize);
        let object = Object { id: object, ty, size, label: Label::default(), born };
        let mut handles = super::live::Handles::default();
        for (thread, entry) in entries {
            let record = Record {
                op: entry.op,
                object,
                handle: HandleId::new(object.id, entry.handle),
                from: entry.from.map(|(object, number)| HandleId::new(ObjectId(object), number)),
                seq: entry.seq,
                strong: entry.strong,
                site: site(entry.site),
                thread,
                time: entry.time,
            };
            handles.apply(&record, &mut super::live::Paths::default(), 0);
        }
        Some(handles.to_vec())
    }
}

impl fmt::Debug for Recorder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Recorder")
            .field("clock", &self.inner.clock)
            .field("lost", &self.lost())
            .finish_non_exhaustive()
    }
}
