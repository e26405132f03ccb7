use crate::event::ObjectId;
use std::collections::BTreeMap;

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
/// let scope = Scope::mark();
/// let (list, entry) = scope.run(|| (Rc::new("a list"), Rc::new(1)));
/// let objects = scope.alive();
/// let mut retention = Retention::new();
/// retention.hangs_on(objects[1].id, objects[0].id);
/// retention.is_in(objects[0].id, Part::Leaked);
/// let report = LeakReport::with_retention(objects, Time::coarse(), &retention);
/// assert_eq!((report.leaks().len(), report.leaks()[0].retained.len()), (1, 1));
/// ```
#[derive(Clone, Debug, Default)]
pub struct Retention {
    owners: BTreeMap<ObjectId, ObjectId>,
    cycles: Vec<Vec<ObjectId>>,
    parts: BTreeMap<ObjectId, Part>,
}

/// What holds a finding's objects, which sorts and annotates it, and never silences it.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Part {
    /// Nothing reaches them, or only what leaked does.
    Leaked,
    /// A raw pointer, by `into_raw` or `leak`: nobody can say where it is.
    Raw,
    /// The stack of another thread that is still there, or a task of its; the thread's name.
    Thread(String),
    /// A static or thread-local; its name, empty where it is not known.
    Static(String),
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

    /// Every path to `object` leads through `owner`: it would end with that one. The nearest such object is meant, the
    /// immediate dominator.
    pub fn hangs_on(&mut self, object: ObjectId, owner: ObjectId) {
        self.owners.insert(object, owner);
    }

    /// The objects hold each other in a cycle, which nothing else holds.
    pub fn cycle(&mut self, objects: impl IntoIterator<Item = ObjectId>) {
        self.cycles.push(objects.into_iter().collect());
    }

    /// What holds an object.
    pub fn is_in(&mut self, object: ObjectId, part: Part) {
        self.parts.insert(object, part);
    }

    /// The object that `object` hangs on in the end, of those that `is_reported`.
    pub(super) fn top(&self, object: ObjectId, is_reported: impl Fn(ObjectId) -> bool) -> ObjectId {
        let (mut at, mut top) = (object, object);
        // A table of dominators has no cycle; one that has is not followed round and round.
        for _ in 0..=self.owners.len() {
            match self.owners.get(&at) {
                Some(&owner) if owner != object => at = owner,
                _ => break,
            }
            if is_reported(at) {
                top = at;
            }
        }
        top
    }

    pub(super) fn cycles(&self) -> &[Vec<ObjectId>] {
        &self.cycles
    }

    pub(super) fn part(&self, object: ObjectId) -> Part {
        self.parts.get(&object).cloned().unwrap_or_default()
    }
}
