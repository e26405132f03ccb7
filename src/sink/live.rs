use super::Sink;
use crate::analysis::{Holder, Leaks, Living as Alive, Made, Snapshot};
use crate::event::{
    Event, Handle, Life, Object, ObjectId, Op, PathStep, Paths, Record, Thread, Time,
};
use crate::recording::Place;
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
    life: Life,
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
    pub fn leaks(&self) -> Leaks {
        let mut leaks = Leaks::new(self.living(), Time::coarse());
        leaks.unseen.left_out = self.refused();
        leaks
    }

    /// The same, without waiting longer than so long for each part that is locked; how many were.
    pub(crate) fn leaks_within(&self, time: std::time::Duration) -> (Leaks, usize) {
        let (mut living, mut locked) = (Vec::new(), 0);
        for shard in &self.inner.shards {
            match shard.0.try_lock_for(time) {
                Some(shard) => {
                    living.extend(shard.all.values().map(|living| living.plain(&shard.paths)));
                }
                None => locked += 1,
            }
        }
        (Leaks::new(living, Time::coarse()), locked)
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

/// A step of a path, with its line as plain data.
fn made(step: &PathStep) -> Made {
    let place = step.site.map(|site| Place::new(site.file(), site.line(), site.column()));
    Made { op: step.op, place }
}

impl Living {
    fn plain(&self, paths: &Paths) -> Alive {
        let born = self.object.born();
        let mut holders: Vec<_> = (self.life.handles().iter())
            .map(|handle| Holder {
                number: handle.id.number(),
                strength: handle.strength,
                path: paths.steps(handle.path).iter().map(made).collect(),
                from: handle.from.map(|from| (from.object().number(), from.number())),
                thread: handle.thread.to_string(),
                since: handle.born,
                away: handle.raw,
                span: crate::span::text(handle.span),
            })
            .collect();
        holders.sort_by_key(|holder| holder.number);
        Alive {
            id: self.object.id().number(),
            kind: self.object.kind(),
            type_name: self.object.type_name().into(),
            label: self.object.label().map(str::to_owned),
            size: self.object.size(),
            born: Place::new(born.file(), born.line(), born.column()),
            thread: self.thread.to_string(),
            since: self.born,
            strong: self.life.strong(),
            allowed: self.allowed,
            span: crate::span::text(self.span),
            holders,
        }
    }

    fn snapshot(&self) -> LiveObject {
        LiveObject {
            object: self.object,
            thread: self.thread,
            born: self.born,
            handles: self.life.clone().into_handles(),
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
                life: Life::default(),
            })
        } else {
            // Not there: all its known handles are gone, and this is one that was made inside a sink.
            let Some(living) = all.get_mut(&id) else { return };
            living
        };
        let before = living.life.handles().len();
        living.object = record.object;
        living.allowed |= record.op == Op::Allow;
        living.life.apply(&record, paths, span);
        let after = living.life.handles().len();
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
        shard.all.get(&object).map(|living| living.life.clone().into_handles())
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
