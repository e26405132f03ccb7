use super::LeakReport;
use crate::event::{Kind, Location, ObjectId, Time};
use crate::model::LiveObject;
use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

/// What is alive of one type, allocated on one line.
#[derive(Clone, Debug, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct Total {
    /// The kind of pointer.
    pub kind: Kind,
    /// The type's full name.
    pub type_name: Cow<'static, str>,
    /// The line that allocated them.
    pub location: Location,
    /// How many objects.
    pub objects: u64,
    /// The bytes of their values together.
    pub bytes: u64,
    /// Their living strong handles together.
    pub strong: u64,
    /// When the oldest was made.
    pub created: Time,
}

/// Sums what is alive by type and line, the heaviest first.
pub fn totals(objects: &[LiveObject]) -> Vec<Total> {
    let mut totals: BTreeMap<_, Total> = BTreeMap::new();
    for object in objects {
        let key = (object.kind, object.type_name.clone(), object.location.clone());
        let total = totals.entry(key).or_insert_with(|| Total {
            kind: object.kind,
            type_name: object.type_name.clone(),
            location: object.location.clone(),
            objects: 0,
            bytes: 0,
            strong: 0,
            created: object.created,
        });
        total.objects += 1;
        total.bytes = total.bytes.saturating_add(object.size);
        total.strong += u64::from(object.strong);
        total.created = total.created.min(object.created);
    }
    let mut totals: Vec<_> = totals.into_values().collect();
    totals.sort_by_key(|total| std::cmp::Reverse((total.bytes, total.objects)));
    totals
}

/// What was alive at one moment, to be compared with another.
///
/// # Examples
///
/// ```
/// use refscope::{Rc, Scope, analysis::Snapshot, event::Time};
///
/// let scope = Scope::tracking();
/// let snapshot = || Snapshot::new(scope.alive(), Time::coarse());
/// let _guard = scope.enter();
/// let before = snapshot();
/// let kept = Rc::new("kept");
/// drop(Rc::new("gone"));
/// let growth = snapshot().since(&before);
/// # if refscope::ENABLED {
/// assert_eq!(growth.objects(), 1);
/// # }
/// println!("{growth}");
/// ```
#[must_use = "it is to be compared with another one"]
#[derive(Clone, Debug)]
pub struct Snapshot {
    objects: Vec<LiveObject>,
    ids: BTreeSet<ObjectId>,
    time: Time,
}

impl Snapshot {
    /// Creates a snapshot of what is alive at `time`.
    pub fn new(objects: Vec<LiveObject>, time: Time) -> Self {
        let ids = objects.iter().map(|object| object.id).collect();
        Self { objects, ids, time }
    }

    /// Returns what was alive.
    pub fn objects(&self) -> &[LiveObject] {
        &self.objects
    }

    /// Returns what was allocated since `earlier` and is alive, and how many of the objects alive then are gone.
    pub fn since(&self, earlier: &Self) -> Growth {
        let added = self.objects.iter().filter(|object| !earlier.ids.contains(&object.id));
        let added: Vec<LiveObject> = added.cloned().collect();
        let gone = earlier.ids.difference(&self.ids).count() as u64;
        let key = |total: &Total| (total.kind, total.type_name.clone(), total.location.clone());
        let counts = |objects: &[LiveObject]| -> BTreeMap<_, u64> {
            totals(objects).into_iter().map(|total| (key(&total), total.objects)).collect()
        };
        let (before, now) = (counts(&earlier.objects), counts(&self.objects));
        let keepers = keepers(&added);
        let grown = (totals(&added).into_iter())
            .map(|total| {
                let key = key(&total);
                let count = |counts: &BTreeMap<_, u64>| counts.get(&key).copied().unwrap_or(0);
                Grown {
                    before: count(&before),
                    now: count(&now),
                    kept_by: keepers.get(&key).cloned(),
                    added: total,
                }
            })
            .collect();
        Growth { grown, added, gone, over: earlier.time.until(self.time), now: self.time }
    }
}

type Key = (Kind, Cow<'static, str>, Location);

/// By type and line, the line whose handles keep most of the objects.
fn keepers(objects: &[LiveObject]) -> BTreeMap<Key, Location> {
    let mut counts: BTreeMap<Key, BTreeMap<Location, u64>> = BTreeMap::new();
    for leak in LeakReport::new(objects.iter().cloned(), Time::START).leaks() {
        let Some(line) = &leak.cause.location else { continue };
        for object in &leak.objects {
            let key = (object.kind, object.type_name.clone(), object.location.clone());
            *counts.entry(key).or_default().entry(line.clone()).or_default() += 1;
        }
    }
    let most = |lines: BTreeMap<Location, u64>| {
        let line = lines.into_iter().max_by_key(|(_, count)| *count);
        line.map(|(line, _)| line)
    };
    counts.into_iter().filter_map(|(key, lines)| Some((key, most(lines)?))).collect()
}

/// What grew between two snapshots. Returned by [`Snapshot::since`].
#[must_use = "it says what stayed, and asserts nothing by itself"]
#[derive(Clone, Debug)]
pub struct Growth {
    grown: Vec<Grown>,
    added: Vec<LiveObject>,
    gone: u64,
    over: Duration,
    now: Time,
}

/// Objects of one type and line that were allocated between two snapshots and are alive.
#[derive(Clone, Debug)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct Grown {
    /// What was allocated and is alive.
    pub added: Total,
    /// How many of that type and line were alive at the first snapshot.
    pub before: u64,
    /// How many were alive at the second.
    pub now: u64,
    /// The line whose handles keep most of what was allocated.
    pub kept_by: Option<Location>,
}

impl Growth {
    /// Returns what grew, by type and line, the heaviest first.
    pub fn grown(&self) -> &[Grown] {
        &self.grown
    }

    /// Returns the objects that were allocated and are alive.
    pub fn added(&self) -> &[LiveObject] {
        &self.added
    }

    /// Returns how many objects were allocated and are alive.
    pub fn objects(&self) -> u64 {
        self.added.len() as u64
    }

    /// Returns how many objects that were alive at the first snapshot are gone.
    pub fn gone(&self) -> u64 {
        self.gone
    }

    /// Returns the time between the snapshots.
    pub fn duration(&self) -> Duration {
        self.over
    }

    /// Reports what was allocated and is alive, with its handles.
    pub fn report(&self) -> LeakReport {
        LeakReport::new(self.added.clone(), self.now)
    }

    /// Panics if something was allocated and is alive.
    ///
    /// # Panics
    ///
    /// Panics if an object was allocated between the snapshots and is alive; the message lists its handles.
    #[track_caller]
    pub fn assert_nothing_stayed(&self) {
        let report = self.report();
        assert!(report.is_empty(), "{report}");
    }
}
