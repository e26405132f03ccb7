use super::Sink;
use crate::analysis::{LeakReport, Snapshot};
use crate::event::{
    Event, Handle, Location, Object, ObjectId, Op, Record, Site, Thread, Time, UntracedCounts,
};
use crate::model::{self, LiveObject as Alive, ObjectState, PathStep, Step};
use parking_lot::Mutex;
use rustc_hash::FxHashMap;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// Knows who is alive, and held by whom, without keeping a history.
///
/// Its memory grows with what is alive, not with what has happened: at most 96 bytes a handle of those that were
/// alive at once, and some 130 an object. Objects are
/// spread over shards by their number, so that threads that work on different objects seldom meet.
///
/// It is a handle itself: clones share the set.
///
/// # Examples
///
/// ```
/// use refscope::{Rc, Scope, sink::LiveSet};
///
/// let live = LiveSet::new();
/// let _guard = Scope::new(live.clone()).enter();
/// let one = Rc::new(1);
/// let two = one.clone();
/// drop(Rc::new(2));
/// # if refscope::ENABLED {
/// assert_eq!(live.objects().len(), 1);
/// assert_eq!(live.objects()[0].handles.len(), 2);
/// # }
/// ```
#[derive(Clone, Default)]
pub struct LiveSet {
    inner: Arc<Inner>,
}

const SHARDS: usize = 64;

/// Some of the objects. On cache lines of its own: objects that are born one after the other are in shards
/// beside each other, and may be used by different threads.
#[derive(Default)]
#[repr(align(128))]
struct Shard(Mutex<Objects>);

#[derive(Default)]
struct Objects {
    all: FxHashMap<ObjectId, Living>,
    paths: Paths,
}

struct Inner {
    shards: [Shard; SHARDS],
    cap: u64,
    handles: AtomicU64,
    refused: AtomicU64,
}

impl Default for Inner {
    fn default() -> Self {
        Self {
            shards: std::array::from_fn(|_| Shard::default()),
            cap: u64::MAX,
            handles: AtomicU64::new(0),
            refused: AtomicU64::new(0),
        }
    }
}

struct Living {
    object: Object,
    thread: Thread,
    born: Time,
    /// Meant to stay.
    allowed: bool,
    /// The span in which it was made.
    span: u32,
    life: Handles,
}

/// An object that is alive, as a [`LiveSet`] knows it.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct LiveObject {
    /// What it is.
    pub object: Object,
    /// The thread that made it.
    pub thread: Thread,
    /// When it was made.
    pub born: Time,
    /// Its living handles, strong and weak, oldest first.
    pub handles: Vec<Handle>,
}

impl LiveSet {
    /// An empty set without a limit.
    pub fn new() -> Self {
        Self::default()
    }

    /// An empty set that takes no further object while it knows `handles` handles. What it refuses is
    /// [counted](Self::refused); objects that it has are followed on.
    pub fn with_cap(handles: u64) -> Self {
        Self { inner: Arc::new(Inner { cap: handles, ..Inner::default() }) }
    }

    fn shard(&self, id: ObjectId) -> &Mutex<Objects> {
        &self.inner.shards[id.number() as usize % SHARDS].0
    }

    /// What is alive now, oldest first.
    ///
    /// Shards are read one after the other: what happens meanwhile may be in it or not.
    pub fn objects(&self) -> Vec<LiveObject> {
        let mut objects: Vec<_> = (self.inner.shards.iter())
            .flat_map(|shard| {
                let shard = shard.0.lock();
                shard.all.values().map(Living::snapshot).collect::<Vec<_>>()
            })
            .collect();
        objects.sort_by_key(|living| living.object.id());
        objects
    }

    /// What is alive now, as plain data for the analyses: with the path of each handle back to the birth.
    pub fn living(&self) -> Vec<Alive> {
        let mut all: Vec<Alive> = (self.inner.shards.iter())
            .flat_map(|shard| {
                let shard = shard.0.lock();
                shard.all.values().map(|living| living.plain(&shard.paths)).collect::<Vec<_>>()
            })
            .collect();
        all.sort_by_key(|living| living.id);
        all
    }

    /// What is alive now, to be compared with what is alive later.
    pub fn snapshot(&self) -> Snapshot {
        Snapshot::new(self.living(), Time::coarse())
    }

    /// What is alive now, as a leak report.
    pub fn report(&self) -> LeakReport {
        let untraced = UntracedCounts { filtered: self.refused(), ..UntracedCounts::default() };
        LeakReport::new(self.living(), Time::coarse()).with_untraced(untraced)
    }

    /// The same, without waiting longer than so long for each part that is locked; how many were.
    pub(crate) fn leaks_within(&self, time: std::time::Duration) -> (LeakReport, usize) {
        let (mut living, mut locked) = (Vec::new(), 0);
        for shard in &self.inner.shards {
            match shard.0.try_lock_for(time) {
                Some(shard) => {
                    living.extend(shard.all.values().map(|living| living.plain(&shard.paths)));
                }
                None => locked += 1,
            }
        }
        (LeakReport::new(living, Time::coarse()), locked)
    }

    /// How many objects are alive now.
    pub fn len(&self) -> usize {
        self.inner.shards.iter().map(|shard| shard.0.lock().all.len()).sum()
    }

    /// Whether nothing is alive now.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// How many objects the set did not take, because it was at its cap.
    pub fn refused(&self) -> u64 {
        self.inner.refused.load(Ordering::Relaxed)
    }
}

/// The paths of handles, by operation and line.
pub(super) type Paths = model::Paths<(Op, Option<Site>)>;

/// The handles of one object, as far as its events have come.
#[derive(Clone, Debug, Default)]
pub(super) struct Handles(ObjectState<Handle>);

impl Handles {
    pub(super) fn apply(&mut self, record: &Record, paths: &mut Paths, span: u32) {
        let from = record.from.filter(|from| from.object() == record.object.id());
        let step = Step {
            op: record.op,
            seq: record.seq,
            handle: record.handle.number(),
            from: from.map(|from| from.number()),
            strong: record.strong,
        };
        let make = |parent: Option<Handle>| Handle {
            path: paths.extend(parent.map_or(0, |parent| parent.path), (record.op, record.site)),
            span,
            id: record.handle,
            op: record.op,
            strength: record.op.makes().expect("it makes a handle"),
            from: record.from,
            site: record.site,
            thread: record.thread,
            born: record.time,
            raw: false,
        };
        self.0.apply(&step, make, |_| {});
    }

    /// The living handles, oldest first.
    pub(super) fn to_vec(&self) -> Vec<Handle> {
        self.iter().collect()
    }

    fn iter(&self) -> impl Iterator<Item = Handle> + '_ {
        self.0.handles().iter().map(|living| Handle { raw: living.raw, ..living.handle })
    }

    fn len(&self) -> usize {
        self.0.handles().iter().count()
    }

    /// Whether no handle is left: none is known, or every event has come and the counts are zero.
    fn is_over(&self) -> bool {
        self.0.handles().is_empty() || self.0.is_over()
    }
}

impl Living {
    fn plain(&self, paths: &Paths) -> Alive {
        let step = |((op, site), cut): ((Op, Option<Site>), bool)| {
            PathStep::new(op, site.map(|site| Location::from(site.location())), cut)
        };
        let span = |span| crate::span::text(span).map(Into::into);
        let handles = self.life.iter().map(|handle| model::Handle {
            number: handle.id.number(),
            strength: handle.strength,
            path: paths.steps(handle.path).into_iter().map(step).collect(),
            from: handle.from.map(|from| (from.object().number(), from.number())),
            thread: handle.thread.to_string().into(),
            created: handle.born,
            raw: handle.raw,
            span: span(handle.span),
        });
        let object = &self.object;
        Alive {
            label: object.label().map(str::to_owned),
            thread: self.thread.to_string().into(),
            created: self.born,
            strong: self.life.0.strong(),
            allowed: self.allowed,
            span: span(self.span),
            handles: handles.collect(),
            ..Alive::new(
                object.id().number(),
                object.kind(),
                object.type_name().into(),
                object.size(),
                Location::from(object.born().location()),
            )
        }
    }

    fn snapshot(&self) -> LiveObject {
        LiveObject {
            object: self.object,
            thread: self.thread,
            born: self.born,
            handles: self.life.to_vec(),
        }
    }
}

impl Sink for LiveSet {
    fn wants(&self, _: &Object) -> bool {
        // Relaxed: a limit, which threads that are born at once may pass by their number.
        let room = self.inner.handles.load(Ordering::Relaxed) < self.inner.cap;
        if !room {
            self.inner.refused.fetch_add(1, Ordering::Relaxed);
        }
        room
    }

    fn event(&self, event: &Event) {
        let record = Record::new(event, event.thread(), event.coarse_time());
        let id = record.object.id();
        let span = crate::span::current();
        let mut shard = self.shard(id).lock();
        let Objects { all, paths } = &mut *shard;
        let living = if record.op.begins() && record.seq == 1 {
            all.entry(id).or_insert_with(|| Living {
                object: record.object,
                thread: record.thread,
                born: record.time,
                allowed: false,
                span,
                life: Handles::default(),
            })
        } else {
            // Not there: all its known handles are gone, and this is one that was made inside a sink.
            let Some(living) = all.get_mut(&id) else { return };
            living
        };
        let before = living.life.len();
        living.object = record.object;
        living.allowed |= record.op == Op::Allow;
        living.life.apply(&record, paths, span);
        let after = living.life.len();
        let over = living.life.is_over();
        if over {
            all.remove(&id);
        }
        drop(shard);
        if self.inner.cap != u64::MAX {
            let after = if over { 0 } else { after };
            // Wrapping: a difference that may be negative.
            let change = (after as u64).wrapping_sub(before as u64);
            self.inner.handles.fetch_add(change, Ordering::Relaxed);
        }
    }

    fn handles(&self, object: ObjectId) -> Option<Vec<Handle>> {
        let shard = self.shard(object).lock();
        shard.all.get(&object).map(|living| living.life.to_vec())
    }

    fn living(&self, object: ObjectId) -> Option<Alive> {
        let shard = self.shard(object).lock();
        shard.all.get(&object).map(|living| living.plain(&shard.paths))
    }
}

impl fmt::Debug for LiveSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LiveSet").field("objects", &self.len()).finish_non_exhaustive()
    }
}
