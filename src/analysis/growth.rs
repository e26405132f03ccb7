use super::Living;
use crate::event::{Kind, Time};
use crate::recording::Place;
use crate::render::{age, bytes, count, plural};
use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::time::Duration;

/// What is alive of one type, born on one line.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Total {
    /// The kind of pointer.
    pub kind: Kind,
    /// The type's full name.
    pub type_name: Cow<'static, str>,
    /// The line that made them.
    pub born: Place,
    /// How many objects.
    pub objects: u64,
    /// The bytes of their values together.
    pub bytes: u64,
    /// Their living strong handles together.
    pub strong: u64,
    /// When the oldest was made.
    pub since: Time,
}

/// What is alive, by type and birth line, the heaviest first.
pub fn totals(living: &[Living]) -> Vec<Total> {
    let mut totals: BTreeMap<_, Total> = BTreeMap::new();
    for object in living {
        let key = (object.kind, object.type_name.clone(), object.born.clone());
        let total = totals.entry(key).or_insert_with(|| Total {
            kind: object.kind,
            type_name: object.type_name.clone(),
            born: object.born.clone(),
            objects: 0,
            bytes: 0,
            strong: 0,
            since: object.since,
        });
        total.objects += 1;
        total.bytes += object.size;
        total.strong += u64::from(object.strong);
        total.since = total.since.min(object.since);
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
/// use refscope::{Rc, Scope, sink::LiveSet};
///
/// let live = LiveSet::new();
/// let _guard = Scope::new(live.clone()).enter();
/// let before = live.snapshot();
/// let kept = Rc::new("kept");
/// drop(Rc::new("gone"));
/// let growth = live.snapshot().since(&before);
/// # if refscope::ENABLED {
/// assert_eq!(growth.objects(), 1);
/// # }
/// println!("{growth}");
/// ```
#[derive(Clone, Debug)]
pub struct Snapshot {
    living: Vec<Living>,
    ids: BTreeSet<u64>,
    time: Time,
}

impl Snapshot {
    /// What is alive at `time`.
    pub fn new(living: Vec<Living>, time: Time) -> Self {
        let ids = living.iter().map(|object| object.id).collect();
        Self { living, ids, time }
    }

    /// What was alive.
    pub fn living(&self) -> &[Living] {
        &self.living
    }

    /// What has been born since `earlier` and not dropped, and how many of those that were alive then are gone.
    pub fn since(&self, earlier: &Self) -> Growth {
        let born = self.living.iter().filter(|object| !earlier.ids.contains(&object.id));
        let born: Vec<Living> = born.cloned().collect();
        let gone = earlier.ids.difference(&self.ids).count() as u64;
        let mut before: BTreeMap<_, u64> = BTreeMap::new();
        for total in totals(&earlier.living) {
            before.insert((total.kind, total.type_name, total.born), total.objects);
        }
        let mut now: BTreeMap<_, u64> = BTreeMap::new();
        for total in totals(&self.living) {
            now.insert((total.kind, total.type_name, total.born), total.objects);
        }
        let grown = (totals(&born).into_iter())
            .map(|total| {
                let key = (total.kind, total.type_name.clone(), total.born.clone());
                let count = |counts: &BTreeMap<_, u64>| counts.get(&key).copied().unwrap_or(0);
                Grown { before: count(&before), now: count(&now), born: total }
            })
            .collect();
        Growth { grown, living: born, gone, over: earlier.time.until(self.time), now: self.time }
    }
}

/// What grew between two snapshots. Given by [`Snapshot::since`].
#[derive(Clone, Debug)]
pub struct Growth {
    grown: Vec<Grown>,
    living: Vec<Living>,
    gone: u64,
    over: Duration,
    now: Time,
}

/// Objects of one type and birth line that were born between two snapshots and are alive.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Grown {
    /// What was born and is alive.
    pub born: Total,
    /// How many of that type and line were alive at the first snapshot.
    pub before: u64,
    /// And at the second.
    pub now: u64,
}

impl Growth {
    /// By type and birth line, the heaviest first.
    pub fn grown(&self) -> &[Grown] {
        &self.grown
    }

    /// What was born and is alive, object by object.
    pub fn living(&self) -> &[Living] {
        &self.living
    }

    /// How many objects were born and are alive.
    pub fn objects(&self) -> u64 {
        self.living.len() as u64
    }

    /// How many objects that were alive at the first snapshot are gone.
    pub fn gone(&self) -> u64 {
        self.gone
    }

    /// The time between the snapshots.
    pub fn over(&self) -> Duration {
        self.over
    }

    /// The report of what was born and is alive, with its holders.
    pub fn leaks(&self) -> super::Leaks {
        super::Leaks::new(self.living.clone(), self.now)
    }

    /// Panics with the report where something was born and is alive.
    ///
    /// # Panics
    ///
    /// Then.
    #[track_caller]
    pub fn assert_nothing_stayed(&self) {
        let leaks = self.leaks();
        assert!(leaks.is_empty(), "{leaks}");
    }
}

/// A table: the type, how many were born and are alive, how many a minute, and where.
impl fmt::Display for Growth {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let minutes = self.over.as_secs_f64() / 60.0;
        write!(
            f,
            "{} born and alive after {}; {} gone",
            plural(self.objects(), "object"),
            age(self.over),
            count(self.gone)
        )?;
        for grown in self.grown.iter().take(10) {
            let Grown { born, before, now } = grown;
            let rate = if minutes >= 0.05 {
                format!(", {:.1} a minute", born.objects as f64 / minutes)
            } else {
                String::new()
            };
            let name = format!("{}<{}>", born.kind, crate::event::short_type(&born.type_name));
            write!(
                f,
                "\n  +{:<6} {name}  {} -> {}{rate}, {}  born {}",
                count(born.objects),
                count(*before),
                count(*now),
                bytes(born.bytes),
                born.born
            )?;
        }
        if self.grown.len() > 10 {
            write!(f, "\n  and {} more", self.grown.len() - 10)?;
        }
        Ok(())
    }
}
