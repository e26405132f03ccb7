use super::{Handle, HandleId, Op, Record, Site, Strength};
use rustc_hash::FxHashMap;

/// How handles came about: for each the operation and line that made it, and the path of the one that it was
/// made from. What came about alike is kept once, so that a path costs a handle four bytes.
#[derive(Debug, Default)]
pub(crate) struct Paths {
    steps: Vec<(PathStep, u32)>,
    known: FxHashMap<(u32, Op, usize), u32>,
}

/// An operation that made a handle, and its line.
#[derive(Clone, Copy, Debug)]
pub(crate) struct PathStep {
    pub(crate) op: Op,
    pub(crate) site: Option<Site>,
    depth: u32,
}

impl Paths {
    /// Longer paths lose their beginning: a handle that is passed on by clone after clone.
    const LONGEST: u32 = 24;

    /// The path of a handle that `op` made from one of path `from` (0: from none). Numbers start at 1.
    fn made(&mut self, op: Op, site: Option<Site>, from: u32) -> u32 {
        let parent = from.checked_sub(1).map(|from| self.steps[from as usize].0);
        if let Some(parent) = parent
            && (parent.op, parent.site) == (op, site)
        {
            // The same line again, in a loop.
            return from;
        }
        let depth = parent.map_or(1, |parent| parent.depth + 1);
        let (from, depth) = if depth > Self::LONGEST { (0, 1) } else { (from, depth) };
        let line = site.map_or(0, |site| std::ptr::from_ref(site.location()).addr());
        *self.known.entry((from, op, line)).or_insert_with(|| {
            self.steps.push((PathStep { op, site, depth }, from));
            self.steps.len() as u32
        })
    }

    /// The steps of a path, the birth first.
    pub(crate) fn steps(&self, path: u32) -> Vec<PathStep> {
        let mut steps = Vec::new();
        let mut next = path;
        while let Some((step, from)) =
            next.checked_sub(1).and_then(|place| self.steps.get(place as usize))
        {
            steps.push(*step);
            next = *from;
        }
        steps.reverse();
        steps
    }
}

/// The living handles of one object: the fold of its events.
///
/// The events of one handle come in order, those of different handles may not. That is enough: while a
/// handle is being made from another, the other is alive, so the set is empty only when all is over.
#[derive(Clone, Debug, Default)]
pub(crate) struct Life {
    handles: Vec<Handle>,
    seq: u64,
    strong: u32,
    weak: i64,
    received: u64,
}

impl Life {
    pub(crate) fn apply(&mut self, record: &Record, paths: &mut Paths, span: u32) {
        self.received += 1;
        self.weak += i64::from(record.op.weak_delta());
        if record.seq > self.seq {
            self.seq = record.seq;
            self.strong = record.strong;
        }
        if let Some(strength) = record.op.makes() {
            let back = matches!(record.op, Op::FromRaw | Op::WeakFromRaw);
            let path = record.from.and_then(|from| self.path(from.number()));
            if back {
                let origin = record.from.map(HandleId::number);
                self.remove(replaced(self.standing(), record.op, strength, origin));
            }
            if self.handles.len() == self.handles.capacity() {
                // By a quarter, where a vector would double: memory is what a live set is short of.
                self.handles.reserve_exact((self.handles.len() / 4).max(1));
            }
            self.handles.push(Handle {
                path: paths.made(record.op, record.site, path.unwrap_or(0)),
                span,
                id: record.handle,
                op: record.op,
                strength,
                from: record.from,
                site: record.site,
                thread: record.thread,
                born: record.time,
                raw: false,
            });
        } else if record.op.ends() {
            self.remove(ended(self.standing(), record.handle.number()));
        } else if matches!(record.op, Op::IntoRaw | Op::WeakIntoRaw | Op::Leak)
            && let Some(handle) = self.handles.iter_mut().find(|h| h.id == record.handle)
        {
            handle.raw = true;
        }
    }

    fn path(&self, number: u64) -> Option<u32> {
        self.handles.iter().find(|handle| handle.id.number() == number).map(|handle| handle.path)
    }

    /// The traced strong count after the latest event that has come.
    pub(crate) fn strong(&self) -> u32 {
        self.strong
    }

    fn standing(&self) -> impl Iterator<Item = Standing> + Clone + '_ {
        self.handles.iter().map(|handle| Standing {
            number: handle.id.number(),
            op: handle.op,
            strength: handle.strength,
            away: handle.raw,
        })
    }

    fn remove(&mut self, number: Option<u64>) {
        let place = self.handles.iter().position(|handle| Some(handle.id.number()) == number);
        if let Some(place) = place {
            self.handles.remove(place);
            if self.handles.capacity() / 4 > self.handles.len().max(4) {
                self.handles.shrink_to(self.handles.len() * 2);
            }
        }
    }

    /// The living handles, oldest first.
    pub(crate) fn into_handles(mut self) -> Vec<Handle> {
        self.handles.sort_by_key(|handle| handle.id);
        self.handles
    }

    pub(crate) fn handles(&self) -> &[Handle] {
        &self.handles
    }

    /// Whether no handle is left: none is known, or every event has come and the counts are zero (views
    /// of raw pointers have no end of their own).
    pub(crate) fn is_over(&self) -> bool {
        self.handles.is_empty() || (self.received == self.seq && self.strong == 0 && self.weak == 0)
    }
}

/// A living handle, as the rules below see it.
pub(crate) struct Standing {
    pub(crate) number: u64,
    pub(crate) op: Op,
    pub(crate) strength: Strength,
    /// It left as a raw pointer and has not come back.
    pub(crate) away: bool,
}

/// Whose place a handle takes that comes back from a raw pointer: that of the one that left there, or of another
/// that is away. Where none is away it is one more view of a handle that came back before, and takes its place.
pub(crate) fn replaced(
    living: impl Iterator<Item = Standing> + Clone,
    op: Op,
    strength: Strength,
    origin: Option<u64>,
) -> Option<u64> {
    let find = |accept: &dyn Fn(&Standing) -> bool| {
        living.clone().find(|handle| handle.strength == strength && accept(handle))
    };
    find(&|handle| handle.away && Some(handle.number) == origin)
        .or_else(|| find(&|handle| handle.away))
        .or_else(|| find(&|handle| !handle.away && handle.op == op))
        .map(|handle| handle.number)
}

/// Which handle ends when `number` does: itself, or, if that was a view whose place another view took, the last that
/// came back from a raw pointer.
pub(crate) fn ended(living: impl Iterator<Item = Standing> + Clone, number: u64) -> Option<u64> {
    let back = |handle: &Standing| matches!(handle.op, Op::FromRaw | Op::WeakFromRaw);
    let itself = living.clone().find(|handle| handle.number == number);
    itself.or_else(|| living.filter(back).last()).map(|handle| handle.number)
}
