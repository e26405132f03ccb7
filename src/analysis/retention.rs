use crate::event::{HandleId, ObjectId};
use std::collections::{BTreeMap, BTreeSet, HashMap};

/// Who keeps whom alive, as far as a report needs it: what a search of the process's memory found.
///
/// A report that gets it names what hangs on another object under that one, and tells cycles. Without it a report
/// knows events alone: which line made the handles that are alive, and not where they are stored.
///
/// # Examples
///
/// ```
/// use refscope::analysis::{LeakReport, Part, Retention};
/// use refscope::{Rc, Scope, event::Time};
///
/// # if !refscope::ENABLED { return }
/// let scope = Scope::tracking();
/// let (list, entry) = scope.run(|| (Rc::new("a list"), Rc::new(1)));
/// let objects = scope.alive();
/// let mut retention = Retention::new();
/// retention.set_dominator(objects[1].id, objects[0].id);
/// retention.set_part(objects[0].id, Part::Leaked);
/// let report = LeakReport::with_retention(objects, Time::coarse(), &retention);
/// assert_eq!((report.leaks().len(), report.leaks()[0].retained.len()), (1, 1));
/// ```
#[derive(Clone, Debug, Default)]
pub struct Retention {
    owners: BTreeMap<ObjectId, ObjectId>,
    /// Of objects that others alone hold, all of those, where the dominator does not say it.
    holders: HashMap<ObjectId, Vec<ObjectId>>,
    cycles: Vec<Vec<ObjectId>>,
    /// The handles by which the objects of cycles hold each other, and where each stands.
    in_cycles: BTreeMap<HandleId, InCycle>,
    /// Objects of cycles that others of the cycle, or what hangs on it, hold weakly.
    weakly_held: BTreeSet<ObjectId>,
    parts: BTreeMap<ObjectId, Part>,
}

/// What programs call a field that leads back to who owns its holder.
const BACK: [&str; 7] = ["parent", "owner", "prev", "previous", "back", "outer", "enclosing"];

/// Where a handle stands by which the objects of a cycle hold each other: the later, the more likely is it a reference back.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum InCycle {
    /// In a collection, as what is owned does; or in another block of the heap.
    Block,
    /// In a field, or in a closure.
    Field,
    /// In a field that is called as those are that lead back.
    Back,
}

/// What holds a finding's objects, which sorts and annotates it, and never silences it.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub enum Part {
    /// Nothing reaches them, or only what leaked does.
    Leaked,
    /// Nothing was found to hold them, which is not proven: they are in a cycle that is only
    /// [`Likely`](crate::locate::Grade::Likely), in a block of the heap whose address was not found, or hang on such.
    LikelyLeaked,
    /// A raw pointer, by `into_raw` or `leak`: nobody can say where it is.
    Raw,
    /// A task of an async runtime that has not ended, by the name of its future, or of the runtime where that is not known.
    /// Tasks are told from other memory by the program's symbols, with the feature `stacks`.
    Task(String),
    /// The stack of another thread that is still there; the thread's name.
    Thread(String),
    /// A static; its name, empty where it is not known.
    Static(String),
    /// A thread-local; its name, empty where it is not known.
    ThreadLocal(String),
    /// A word on the stack of the thread that asked, which is named: a living local, most likely.
    Stack(String),
    /// Nobody has searched.
    #[default]
    Unknown,
}

impl Retention {
    /// Creates one that knows nothing.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds that every path to `object` leads through `owner`: it would end with that one. The nearest such object is
    /// meant, the immediate dominator.
    pub fn set_dominator(&mut self, object: ObjectId, owner: ObjectId) {
        self.owners.insert(object, owner);
    }

    /// Adds that `owner` holds `object`, as others may that are added as well, and nothing else does.
    pub(crate) fn add_holder(&mut self, object: ObjectId, owner: ObjectId) {
        self.holders.entry(object).or_default().push(owner);
    }

    /// Adds that the objects hold each other in a cycle, which nothing else holds.
    pub fn add_cycle(&mut self, objects: impl IntoIterator<Item = ObjectId>) {
        self.cycles.push(objects.into_iter().collect());
    }

    /// Adds that a handle is one of those by which the objects of a cycle hold each other; and the field that it stands in,
    /// where that is known: by its name, as `parent`, advice tells a reference back, and `children[2]` is none.
    pub fn add_cycle_handle(&mut self, handle: HandleId, field: Option<&str>) {
        let name = field.and_then(|field| field.rsplit('.').next());
        let name = name.and_then(|name| name.split('[').next()).unwrap_or_default();
        let place = match field {
            _ if BACK.contains(&name) => InCycle::Back,
            Some(field) if field.contains('[') => InCycle::Block,
            _ => InCycle::Field,
        };
        self.in_cycles.insert(handle, place);
    }

    /// Adds the same of one in a block of the heap, where nothing more is known.
    pub(crate) fn add_cycle_handle_in_block(&mut self, handle: HandleId) {
        self.in_cycles.insert(handle, InCycle::Block);
    }

    /// Adds that an object of a cycle is held weakly by another one of it, or by what hangs on it.
    pub(crate) fn set_weakly_held(&mut self, object: ObjectId) {
        self.weakly_held.insert(object);
    }

    /// Where a handle stands that is part of a cycle.
    pub(super) fn in_cycle(&self, handle: HandleId) -> Option<InCycle> {
        self.in_cycles.get(&handle).copied()
    }

    pub(super) fn has_weak_counterpart(&self, object: ObjectId) -> bool {
        self.weakly_held.contains(&object)
    }

    /// Sets what holds an object.
    pub fn set_part(&mut self, object: ObjectId, part: Part) {
        self.parts.insert(object, part);
    }

    /// The object that each hangs on in the end, of those that `is_reported`; itself, where that is none. What hangs on a
    /// container, or on containers in one, does not count as hanging there, unless it is one. Each step is gone once, however
    /// long the way is.
    pub(super) fn tops(
        &self,
        objects: impl IntoIterator<Item = ObjectId>,
        is_reported: impl Fn(ObjectId) -> bool,
        is_container: impl Fn(ObjectId) -> bool,
    ) -> HashMap<ObjectId, ObjectId> {
        // The last one above each object, itself included, and whether all on the way there are containers.
        let mut tops: HashMap<ObjectId, Option<(ObjectId, bool)>> = HashMap::new();
        let mut way = Vec::new();
        let climb = |object: ObjectId| {
            let mut next = Some(object);
            // A table of dominators has no cycle; one that has is not followed round and round.
            while let Some(at) = next.filter(|at| !tops.contains_key(at)) {
                tops.insert(at, None);
                way.push(at);
                next = self.owners.get(&at).copied();
            }
            let mut top = next.and_then(|above| tops[&above]);
            for at in way.drain(..).rev() {
                if is_reported(at) {
                    top = match top {
                        Some((_, true)) if !is_container(at) => Some((at, false)),
                        Some(above) => Some(above),
                        None => Some((at, is_container(at))),
                    };
                }
                tops.insert(at, top);
            }
            (object, tops[&object].map_or(object, |(top, _)| top))
        };
        objects.into_iter().map(climb).collect()
    }

    /// All that hold an object, where others alone do.
    pub(super) fn holders(&self, object: ObjectId) -> &[ObjectId] {
        self.holders.get(&object).map_or(&[], Vec::as_slice)
    }

    pub(super) fn cycles(&self) -> &[Vec<ObjectId>] {
        &self.cycles
    }

    pub(super) fn part(&self, object: ObjectId) -> Part {
        self.parts.get(&object).cloned().unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::{ObjectId, Retention};

    fn id(number: u64) -> ObjectId {
        ObjectId::from_number(number)
    }

    #[test]
    fn each_hangs_on_the_last_that_is_reported() {
        let mut retention = Retention::new();
        for (object, owner) in [(1, 2), (2, 3), (3, 4), (5, 2), (7, 8), (8, 7)] {
            retention.set_dominator(id(object), id(owner));
        }
        let tops = |reported: &[u64]| {
            let all = [1, 2, 3, 4, 5, 6].map(id);
            let tops = retention.tops(all, |object| reported.contains(&object.number()), |_| false);
            all.map(|object| tops[&object].number())
        };
        assert_eq!(tops(&[1, 2, 3, 4, 5, 6]), [4, 4, 4, 4, 4, 6]);
        assert_eq!(tops(&[1, 2, 3, 5, 6]), [3, 3, 3, 4, 3, 6]);
        assert_eq!(tops(&[2]), [2, 2, 3, 4, 2, 6]);
        assert_eq!(tops(&[]), [1, 2, 3, 4, 5, 6]);
        assert_eq!(
            retention.tops([7, 8].map(id), |_| true, |_| false).len(),
            2,
            "a cycle has an end"
        );
        let mut long = Retention::new();
        (0..200_000).for_each(|object| long.set_dominator(id(object), id(object + 1)));
        let tops = long.tops((0..200_000).map(id), |_| true, |_| false);
        assert!((0..200_000).all(|object| tops[&id(object)] == id(200_000)));
    }

    #[test]
    fn what_hangs_on_a_container_is_a_cause_of_its_own() {
        let mut retention = Retention::new();
        // The program in a static, its router, that one's sessions, and what a session has.
        for (object, owner) in [(2, 1), (3, 2), (4, 2), (5, 4), (6, 5), (7, 1)] {
            retention.set_dominator(id(object), id(owner));
        }
        let tops = |containers: &[u64]| {
            let all = [1, 2, 3, 4, 5, 6, 7].map(id);
            let tops = retention.tops(all, |_| true, |it| containers.contains(&it.number()));
            all.map(|object| tops[&object].number())
        };
        assert_eq!(tops(&[]), [1; 7]);
        assert_eq!(tops(&[1, 2]), [1, 1, 3, 4, 4, 4, 7]);
        // One within what hangs there is none.
        assert_eq!(tops(&[1, 2, 6]), [1, 1, 3, 4, 4, 4, 7]);
        assert_eq!(tops(&[2]), [1; 7]);
    }
}
