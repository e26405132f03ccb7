//! The recorder: events in memory, in buffers of the threads that they happen on.
//!
//! ```text
//!  Recorder ── buffers ──┬─ Buffer (thread 1) ── segments ─ [32-byte records]  len ▲ published
//!                        ├─ Buffer (thread 2) ── …
//!                        └─ Buffer of a thread that is ending (under a lock)
//!
//!  record   seq:40|strong:24   op:8|·:16|handle:40   object:40|site:24   time:64
//!  birth    a record, and one more: type   size   site   from object
//! ```
//!
//! Only its own thread writes a segment; the words are atomics, stored relaxed, and `len` publishes
//! them with a release store, so anyone may read at any time without stopping the program. A full
//! segment is never written again.

use super::Sink;
use crate::event::{
    Event, Handle, HandleId, Life, Object, ObjectId, Op, Record, Site, Thread, Time,
};
use crate::event::{Label, Type};
use crate::recording::{EventInfo, ObjectInfo, Place, Recording};
use parking_lot::Mutex;
use std::cell::RefCell;
use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Weak};

/// Which clock a [`Recorder`] stamps its events with.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Clock {
    /// A few nanoseconds a reading; moves every few milliseconds.
    #[default]
    Coarse,
    /// Some 20 to 45 ns a reading; nanoseconds.
    Precise,
    /// No clock is read: order alone.
    None,
}

impl Clock {
    #[inline]
    fn now(self) -> Time {
        match self {
            Self::Coarse => Time::coarse(),
            Self::Precise => Time::now(),
            Self::None => Time::START,
        }
    }
}

const WORDS: usize = 4;
/// Records in a segment: 16 KiB.
const SEGMENT: usize = 512;
const SEGMENT_BYTES: usize = SEGMENT * WORDS * size_of::<u64>();

/// A stretch of records that one thread writes and anyone reads.
struct Segment {
    len: AtomicUsize,
    words: Box<[[AtomicU64; WORDS]]>,
}

impl Segment {
    fn new() -> Self {
        let words = (0..SEGMENT).map(|_| [const { AtomicU64::new(0) }; WORDS]).collect();
        Self { len: AtomicUsize::new(0), words }
    }

    /// Writes records at `at`, which only the segment's own thread moves.
    #[inline]
    fn write(&self, at: usize, records: &[[u64; WORDS]]) {
        for (to, from) in self.words[at..].iter().zip(records) {
            for (to, &from) in to.iter().zip(from) {
                // Relaxed: published by the store below.
                to.store(from, Ordering::Relaxed);
            }
        }
        // Release: a reader that sees this length sees the records below it.
        self.len.store(at + records.len(), Ordering::Release);
    }

    fn records(&self) -> impl Iterator<Item = [u64; WORDS]> + '_ {
        // Acquire: pairs with the release in `write`.
        let len = self.len.load(Ordering::Acquire);
        self.words[..len].iter().map(|words| words.each_ref().map(|w| w.load(Ordering::Relaxed)))
    }
}

/// All segments of one thread.
struct Buffer {
    thread: Thread,
    segments: Mutex<Vec<Arc<Segment>>>,
}

/// The end of a buffer at which its thread writes.
struct Tail {
    recorder: u64,
    /// Gone when the recorder is: then the tail is of no use.
    inner: Weak<Inner>,
    buffer: Arc<Buffer>,
    segment: Option<Arc<Segment>>,
    at: usize,
    sites: SiteCache,
}

/// Sites this thread has met, by their address: most events come from few lines.
struct SiteCache([(usize, u32); Self::LEN]);

impl SiteCache {
    const LEN: usize = 32;

    #[inline]
    fn number(&mut self, inner: &Inner, site: Site) -> u32 {
        let address = std::ptr::from_ref(site.location()).addr();
        let slot = &mut self.0[(address / align_of_val(site.location())) % Self::LEN];
        if slot.0 != address {
            *slot = (address, inner.tables.lock().site(site));
        }
        slot.1
    }
}

thread_local! {
    static TAILS: RefCell<Vec<Tail>> = const { RefCell::new(Vec::new()) };
}

/// Sites and types that records refer to by number.
#[derive(Default)]
struct Tables {
    sites: Vec<Site>,
    site_numbers: HashMap<Site, u32>,
    types: Vec<&'static Type>,
    type_numbers: HashMap<usize, u32>,
}

impl Tables {
    /// Numbers start at 1; 0 is for none.
    fn site(&mut self, site: Site) -> u32 {
        *self.site_numbers.entry(site).or_insert_with(|| {
            self.sites.push(site);
            self.sites.len() as u32
        })
    }

    fn ty(&mut self, ty: &'static Type) -> u32 {
        *self.type_numbers.entry(std::ptr::from_ref(ty).addr()).or_insert_with(|| {
            self.types.push(ty);
            self.types.len() as u32 - 1
        })
    }
}

struct Inner {
    id: u64,
    clock: Clock,
    /// How many segments the budget allows, and how many there are.
    segments: usize,
    used: AtomicUsize,
    buffers: Mutex<Vec<Arc<Buffer>>>,
    /// For threads whose own tail is destroyed already.
    late: Mutex<Option<Tail>>,
    tables: Mutex<Tables>,
    lost: AtomicU64,
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
/// An event takes 32 bytes, a birth 64, and some 20 to 25 ns; the README has the table.
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
    /// stamps them by `clock`.
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
        static IDS: AtomicU64 = AtomicU64::new(1);
        Self {
            inner: Arc::new(Inner {
                id: IDS.fetch_add(1, Ordering::Relaxed),
                clock,
                segments: bytes.div_ceil(SEGMENT_BYTES).max(1),
                used: AtomicUsize::new(0),
                buffers: Mutex::default(),
                late: Mutex::new(None),
                tables: Mutex::default(),
                lost: AtomicU64::new(0),
            }),
        }
    }

    /// How many events were not kept, because the budget was used up.
    pub fn lost(&self) -> u64 {
        self.inner.lost.load(Ordering::Relaxed)
    }

    /// What was recorded so far.
    ///
    /// Other threads may go on meanwhile: the recording holds what was complete when their buffers were
    /// read.
    pub fn recording(&self) -> Recording {
        let mut recording = Recording { lost: self.lost(), ..Recording::default() };
        let mut sites = BTreeMap::new();
        let mut threads = BTreeMap::new();
        let mut labels: BTreeMap<u64, u32> = BTreeMap::new();
        self.each(|entry| {
            let mut place = |site: Site, recording: &mut Recording| {
                *sites.entry(site).or_insert_with(|| {
                    let (line, column) = (site.line(), site.column());
                    recording.places.push(Place::new(site.file(), line, column));
                    recording.places.len() as u32 - 1
                })
            };
            if let Some(birth) = &entry.birth {
                let info = ObjectInfo {
                    id: entry.object,
                    kind: birth.ty.kind,
                    type_name: birth.ty.name().into(),
                    size: birth.size,
                    born: place(birth.born, &mut recording),
                    label: None,
                };
                recording.objects.insert(entry.object, info);
            }
            let thread = *threads.entry(entry.thread).or_insert_with(|| {
                recording.threads.push(entry.thread.to_string());
                recording.threads.len() as u32 - 1
            });
            if entry.op == Op::Label {
                labels.insert(entry.object, entry.extra);
            }
            let place = entry.site.map(|site| place(site, &mut recording));
            recording.events.push(EventInfo {
                op: entry.op,
                object: entry.object,
                handle: entry.handle,
                from: entry.from,
                seq: entry.seq,
                strong: entry.strong,
                place,
                thread,
                time: entry.time,
            });
        });
        for (id, label) in labels {
            if let Some(object) = recording.objects.get_mut(&id) {
                object.label = Label(label).text().map(str::to_owned);
            }
        }
        recording.end = self.inner.clock.now();
        recording.sort();
        recording
    }

    /// Reads every record.
    fn each(&self, mut f: impl FnMut(Entry)) {
        let buffers: Vec<_> = self.inner.buffers.lock().clone();
        for buffer in buffers {
            let segments: Vec<_> = buffer.segments.lock().clone();
            for segment in segments {
                let mut records = segment.records();
                while let Some(words) = records.next() {
                    // Locked for a moment only: a thread that records may wait for a number.
                    let entry =
                        Entry::read(buffer.thread, words, &mut records, &self.inner.tables.lock());
                    let Some(entry) = entry else { break };
                    f(entry);
                }
            }
        }
    }
}

/// A record, unpacked.
struct Entry {
    op: Op,
    object: u64,
    handle: u64,
    from: Option<(u64, u64)>,
    seq: u64,
    strong: u32,
    site: Option<Site>,
    thread: Thread,
    time: Time,
    birth: Option<Birth>,
    /// The label, for [`Op::Label`].
    extra: u32,
}

struct Birth {
    ty: &'static Type,
    size: u64,
    born: Site,
}

const M40: u64 = (1 << 40) - 1;
const M24: u64 = (1 << 24) - 1;

impl Entry {
    /// The words of an event. The handle that an event makes has the event's own number, so there the
    /// place of the handle is the origin's.
    #[inline]
    fn write(event: &Event, site: u32, time: Time) -> [u64; WORDS] {
        let handle = match (event.op.makes(), event.from) {
            (None, _) => event.handle.number(),
            (Some(_), Some(from)) => from.number(),
            (Some(_), None) => 0,
        };
        let time =
            if event.op == Op::Label { u64::from(event.object.label.0) } else { time.as_nanos() };
        [
            event.seq << 24 | u64::from(event.strong),
            (event.op as u64) << 56 | handle & M40,
            event.object.id.number() << 24 | u64::from(site) & M24,
            time,
        ]
    }

    fn read(
        thread: Thread,
        words: [u64; WORDS],
        more: &mut impl Iterator<Item = [u64; WORDS]>,
        tables: &Tables,
    ) -> Option<Self> {
        let op = Op::ALL.into_iter().find(|&op| op as u64 == words[1] >> 56)?;
        let (seq, strong) = (words[0] >> 24, (words[0] & M24) as u32);
        let (number, object) = (words[1] & M40, words[2] >> 24);
        let site =
            |number: u64| Some(*tables.sites.get(usize::try_from(number).ok()?.checked_sub(1)?)?);
        let begins = op.begins() && seq == 1;
        let rest = if begins { Some(more.next()?) } else { None };
        let (handle, from) = match op.makes() {
            None => (number, None),
            Some(_) => {
                let object = rest.map_or(object, |rest| rest[3]);
                (seq, (number != 0).then_some((object, number)))
            }
        };
        let birth = match rest {
            Some(rest) => Some(Birth {
                ty: tables.types.get(rest[0] as usize)?,
                size: rest[1],
                born: site(rest[2])?,
            }),
            None => None,
        };
        let label = op == Op::Label;
        Some(Self {
            op,
            object,
            handle,
            from,
            seq,
            strong,
            site: site(words[2] & M24),
            thread,
            time: if label { Time::START } else { Time::from_nanos(words[3]) },
            birth,
            extra: if label { words[3] as u32 } else { 0 },
        })
    }
}

impl Tail {
    fn new(inner: &Arc<Inner>) -> Self {
        let thread = Thread::current();
        let buffer = Arc::new(Buffer { thread, segments: Mutex::default() });
        inner.buffers.lock().push(Arc::clone(&buffer));
        Self {
            recorder: inner.id,
            inner: Arc::downgrade(inner),
            buffer,
            segment: None,
            at: SEGMENT,
            sites: SiteCache([(0, 0); SiteCache::LEN]),
        }
    }

    #[inline]
    fn push(&mut self, inner: &Inner, event: &Event) {
        let time = inner.clock.now();
        let site = event.site.map_or(0, |site| self.sites.number(inner, site));
        let record = Entry::write(event, site, time);
        if event.op.begins() && event.seq == 1 {
            let (ty, born) = {
                let mut tables = inner.tables.lock();
                (tables.ty(event.object.ty), tables.site(event.object.born))
            };
            let from = event.from.map_or(0, |from| from.object().number());
            self.append(
                inner,
                &[record, [u64::from(ty), event.object.size, u64::from(born), from]],
            );
        } else {
            self.append(inner, &[record]);
        }
    }

    #[inline]
    fn append(&mut self, inner: &Inner, records: &[[u64; WORDS]]) {
        // A birth's two records stay together.
        if self.at + records.len() > SEGMENT && !self.extend(inner) {
            inner.lost.fetch_add(1, Ordering::Relaxed);
            return;
        }
        if let Some(segment) = &self.segment {
            segment.write(self.at, records);
            self.at += records.len();
        }
    }

    #[cold]
    fn extend(&mut self, inner: &Inner) -> bool {
        // Relaxed: a budget, and nothing is published by it.
        let more = |used| (used < inner.segments).then_some(used + 1);
        if inner.used.fetch_update(Ordering::Relaxed, Ordering::Relaxed, more).is_err() {
            return false;
        }
        let segment = Arc::new(Segment::new());
        self.buffer.segments.lock().push(Arc::clone(&segment));
        self.segment = Some(segment);
        self.at = 0;
        true
    }
}

impl Sink for Recorder {
    fn event(&self, event: &Event) {
        let inner = &self.inner;
        let own = TAILS.try_with(|tails| {
            let mut tails = tails.borrow_mut();
            let place = match tails.iter().position(|tail| tail.recorder == inner.id) {
                Some(place) => place,
                None => {
                    tails.retain(|tail| tail.inner.strong_count() > 0);
                    tails.push(Tail::new(inner));
                    tails.len() - 1
                }
            };
            tails[place].push(inner, event);
        });
        if own.is_err() {
            // The thread is ending, and its locals are gone.
            let mut late = inner.late.lock();
            let tail = match &mut *late {
                Some(tail) if tail.buffer.thread == event.thread() => tail,
                other => other.insert(Tail::new(inner)),
            };
            tail.push(inner, event);
        }
    }

    fn handles(&self, object: ObjectId) -> Option<Vec<Handle>> {
        let mut records = Vec::new();
        let mut about = None;
        self.each(|entry| {
            if entry.object != object.number() {
                return;
            }
            if let Some(birth) = &entry.birth {
                about = Some(Object {
                    id: object,
                    ty: birth.ty,
                    size: birth.size,
                    born: birth.born,
                    label: Label::default(),
                });
            }
            records.push(entry);
        });
        let object = about?;
        records.sort_by_key(|entry| entry.seq);
        let mut life = Life::default();
        for entry in records {
            life.apply(&Record {
                op: entry.op,
                object,
                handle: HandleId::new(object.id, entry.handle),
                from: entry.from.map(|(object, number)| HandleId::new(ObjectId(object), number)),
                seq: entry.seq,
                strong: entry.strong,
                site: entry.site,
                thread: entry.thread,
                time: entry.time,
            });
        }
        Some(life.into_handles())
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
