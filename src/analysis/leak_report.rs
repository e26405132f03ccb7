use super::cause::{Cause, find_causes};
use super::ownership::Starts;
use super::{Help, Part, Retention, Total};
use crate::event::{Location, Op, Time, UntracedCounts};
use crate::locate::{Ownership, Search};
use crate::model::{Handle, LiveObject, Recording, RecordingEnd};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

/// What is alive, grouped by cause: an entry is a line to look at, not an object.
///
/// All that one line's handles keep alive is one entry, together with what hangs on it alone, as far as the report
/// knows the ownership graph (see [`Retention`]); without that, each object counts with the line that made the handle
/// which keeps it. Entries with a handle beside the first one come first, since they may hold the others; of
/// either the one that keeps most.
///
/// `Display` is the report as plain text; [`Terminal::render_report`](crate::render::Terminal::render_report) adapts
/// to the terminal, `json` (feature `json`) is for programs, and [`annotations`](Self::annotations) for the logs of a CI.
#[derive(Clone)]
pub struct LeakReport {
    pub(crate) leaks: Vec<Leak>,
    pub(crate) objects: u64,
    pub(crate) allowed: u64,
    pub(crate) kind: ReportKind,
    now: Time,
    /// In a box, for errors to be small.
    pub(crate) untraced: Box<UntracedCounts>,
    /// What the search found, or why there was none. `None`: not asked for.
    pub(crate) located: Option<Result<Arc<Ownership>, String>>,
    pub(crate) traced_nothing: bool,
    /// A recording that is no more than the program's beginning: see [`TAKEN_OVER`](crate::model::TAKEN_OVER).
    pub(crate) taken_over: bool,
    /// What is alive and was made outside of the check's scope.
    pub(crate) outside: Vec<Total>,
}

/// Reports these objects, of those that were alive when the recording ended: for the command, which has left out some.
#[cfg(feature = "json")]
pub fn report_of_living(recording: &Recording, living: Vec<LiveObject>) -> LeakReport {
    LeakReport::of_living(recording, living, 0)
}

/// What one line keeps alive.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Leak {
    /// The line, and what it does.
    pub cause: Cause,
    /// The objects that its handles keep alive, oldest first.
    pub objects: Vec<LiveObject>,
    /// Objects that hang on those alone: they would end with them. Empty where the ownership graph is not known.
    pub retained: Vec<LiveObject>,
    /// The living handles of `objects`: those that were made alike are one entry, the most numerous first.
    pub handles: Vec<HandleGroup>,
    /// Identifies the cause across runs, machines, and edits elsewhere in the file: a hash of pointer kind, type, files,
    /// operation and the column in its line, without the line's number and without where the source lies on this machine. No
    /// two entries of a report have the same; where only lines' numbers tell them apart, their order in the file does.
    pub fingerprint: u64,
    /// How old the oldest object is.
    pub age: Duration,
    /// What holds the objects, and how many each: empty where nobody has searched.
    pub parts: BTreeMap<Part, u64>,
    /// Whether the objects are part of a cycle that was found.
    pub in_cycle: bool,
    /// The next step for a person.
    pub help: Help,
}

/// Handles that were made alike: by the same operations and lines, on the same thread.
#[derive(Clone, Debug)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct HandleGroup {
    /// The youngest of them.
    pub example: Handle,
    /// How many there are.
    pub count: u64,
    /// Whether the cause made them.
    pub is_fault: bool,
}

/// When a report's objects are alive.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum ReportKind {
    /// After a check.
    Check,
    /// When the process ended by itself. What statics hold is alive then, and no leak.
    Exit,
    /// At a [mark](crate::mark()).
    Mark,
    /// When a recording stopped, while the process went on or was killed.
    Stopped,
    /// Now, in a running program. They may well be released later.
    #[default]
    Alive,
}

impl LeakReport {
    /// Groups what is alive at `now`. Objects [marked](crate::allow_leak) as meant to stay are only counted.
    pub fn new(objects: impl IntoIterator<Item = LiveObject>, now: Time) -> Self {
        Self::grouped(objects, now, None)
    }

    /// Creates a report, as [`new`](Self::new) does, with what is known of who holds whom.
    pub fn with_retention(
        objects: impl IntoIterator<Item = LiveObject>,
        now: Time,
        retention: &Retention,
    ) -> Self {
        Self::grouped(objects, now, Some(retention))
    }

    fn grouped(
        objects: impl IntoIterator<Item = LiveObject>,
        now: Time,
        retention: Option<&Retention>,
    ) -> Self {
        let (allowed, objects): (Vec<_>, Vec<_>) =
            objects.into_iter().partition(|object| object.allowed);
        Self {
            objects: objects.len() as u64,
            allowed: allowed.len() as u64,
            leaks: find_causes(objects, now, retention),
            kind: ReportKind::default(),
            now,
            untraced: Box::default(),
            located: None,
            traced_nothing: false,
            taken_over: false,
            outside: Vec::new(),
        }
    }

    /// Searches this process's memory for where each handle is stored now, for the report to say what holds each leak, and to
    /// group by that: see [`Ownership::retention`].
    ///
    /// Where the search [cannot be made](crate::locate::Unavailable) the report says so in a line. Of one that ran out of its
    /// [budget](Search::budget) it says that, and shows the paths that were found; nothing is grouped by it, or said to be leaked.
    ///
    /// # Examples
    ///
    /// ```
    /// use refscope::locate::Search;
    ///
    /// refscope::track().expect("no sink is installed");
    /// let kept = refscope::Rc::new("kept");
    /// println!("{}", refscope::leaks::report().locate(&Search::new()));
    /// ```
    #[must_use]
    pub fn locate(self, search: &Search) -> Self {
        self.locate_but(search, |_| false)
    }

    /// As `locate`; what is held by nothing but what `may` hold it, counts as allowed.
    pub(crate) fn locate_but(mut self, search: &Search, may: impl Fn(&Part) -> bool) -> Self {
        if !self.is_empty() {
            let found = search.run().map(Arc::new).map_err(|why| chain(&why));
            if let Ok(ownership) = &found {
                let leaks = std::mem::take(&mut self.leaks).into_iter();
                let objects = leaks.flat_map(|leak| leak.objects.into_iter().chain(leak.retained));
                let mut objects: Vec<LiveObject> = objects.collect();
                let starts = Starts::new(ownership);
                objects.retain(|object| !starts.is_held_only(object.id, &may));
                self.allowed += self.objects - objects.len() as u64;
                self.objects = objects.len() as u64;
                objects.sort_by_key(|object| object.id);
                // By a part of the graph nothing can be said to be forgotten, nor to hang on another.
                let retention = (!ownership.is_cut()).then(|| ownership.retention());
                self.leaks = find_causes(objects, self.now, retention.as_ref());
            }
            self.located = Some(found);
        }
        self
    }

    /// Returns what [`locate`](Self::locate) found.
    pub fn ownership(&self) -> Option<&Ownership> {
        self.located.as_ref()?.as_ref().ok().map(|ownership| &**ownership)
    }

    /// Reports what was alive when a recording ended.
    pub fn of_recording(recording: &Recording) -> Self {
        let (objects, paths_cut) = recording.replay();
        Self::of_living(recording, objects, paths_cut)
    }

    /// Reports these objects, of those that were alive when the recording ended.
    pub(crate) fn of_living(
        recording: &Recording,
        objects: impl IntoIterator<Item = LiveObject>,
        paths_cut: u64,
    ) -> Self {
        let lost = recording.lost();
        let untraced = UntracedCounts { lost, paths_cut, ..UntracedCounts::default() };
        let kind = match recording.end() {
            RecordingEnd::Exit => ReportKind::Exit,
            RecordingEnd::Stopped => ReportKind::Stopped,
            RecordingEnd::Running => ReportKind::Alive,
        };
        let mut report =
            Self::new(objects, recording.end_time()).with_untraced(untraced).with_kind(kind);
        report.traced_nothing = recording.traced_nothing();
        report.taken_over = recording.is_taken_over();
        report
    }

    /// Sets when the objects are alive.
    #[must_use]
    pub fn with_kind(mut self, kind: ReportKind) -> Self {
        self.kind = kind;
        self
    }

    /// Sets what is missing from the report.
    #[must_use]
    pub fn with_untraced(mut self, untraced: UntracedCounts) -> Self {
        *self.untraced = untraced;
        self
    }

    /// Leaves out what a baseline knows: entries whose fingerprint begins with one of these texts, of 8 hexadecimal digits
    /// at least. Their objects count as allowed.
    #[must_use]
    pub fn without(mut self, known: &BTreeSet<String>) -> Self {
        let is_known = |leak: &mut Leak| {
            let print = format!("{:016x}", leak.fingerprint);
            (8..=16).any(|digits| known.contains(&print[..digits]))
        };
        for leak in self.leaks.extract_if(.., is_known) {
            self.objects -= leak.count();
            self.allowed += leak.count();
        }
        self
    }

    /// Returns the causes, that which keeps most first.
    pub fn leaks(&self) -> &[Leak] {
        &self.leaks
    }

    /// Returns how many objects are alive and not allowed to be.
    pub fn objects(&self) -> u64 {
        self.objects
    }

    /// Returns how many objects are alive and allowed to be.
    pub fn allowed(&self) -> u64 {
        self.allowed
    }

    /// Returns what is missing from the report.
    pub fn untraced(&self) -> UntracedCounts {
        *self.untraced
    }

    /// Returns whether nothing is alive that is not allowed.
    pub fn is_empty(&self) -> bool {
        self.leaks.is_empty()
    }

    /// Returns whether a check traced no object at all, so that it could not have seen a leak.
    pub fn traced_nothing(&self) -> bool {
        self.traced_nothing
    }

    /// Returns what is alive and was made meanwhile on threads that had entered no scope, so that a check did
    /// not look at it.
    pub fn outside(&self) -> &[Total] {
        &self.outside
    }

    /// Returns whether a check with this report passes: something was traced, and nothing is alive that is not allowed. A
    /// recording that `REFSCOPE` asked for does not, if the program installed a sink of its own, to which the rest went.
    pub fn passes(&self) -> bool {
        self.is_empty() && !self.traced_nothing && !self.taken_over
    }
}

/// An error with its sources, in a line.
fn chain(error: &dyn std::error::Error) -> String {
    match error.source() {
        Some(source) => format!("{error} ({})", chain(source)),
        None => error.to_string(),
    }
}

impl Leak {
    /// Returns the object that stands for all: the oldest.
    pub fn example(&self) -> &LiveObject {
        &self.objects[0]
    }

    /// Returns all objects: those that the cause keeps, and what hangs on them.
    pub fn all_objects(&self) -> impl Iterator<Item = &LiveObject> {
        self.objects.iter().chain(&self.retained)
    }

    /// Returns how many objects there are, with what hangs on them.
    pub fn count(&self) -> u64 {
        (self.objects.len() + self.retained.len()) as u64
    }

    /// Returns the sum of the values' own sizes in bytes, without what they have on the heap.
    pub fn bytes(&self) -> u64 {
        self.all_objects().fold(0, |sum, object| sum.saturating_add(object.size))
    }

    /// Returns the handle of the oldest object that the cause made. (`None` if no handle is known.)
    pub fn fault(&self) -> Option<&Handle> {
        self.example().fault()
    }
}

impl LiveObject {
    /// Whether weak handles alone are left, which keep the memory.
    pub(crate) fn is_dropped(&self) -> bool {
        self.strong == 0 && self.strong_handles().next().is_none() && !self.handles.is_empty()
    }

    /// The handle that keeps the object, as far as events can tell: the youngest strong one that is not the first; the
    /// first, if it is the only one; a weak one, if only the memory is kept. One that std or a derive made, on whose behalf
    /// nobody knows, stands behind those that have a user's line.
    pub(crate) fn fault(&self) -> Option<&Handle> {
        let mut strong = self.strong_handles().rev();
        let not_first = |handle: &&Handle| is_not_first(handle);
        let named = strong.clone().filter(|handle| handle.has_users_line());
        (named.clone().find(not_first))
            .or_else(|| named.clone().next())
            .or_else(|| strong.clone().find(not_first))
            .or_else(|| strong.next())
            .or(self.handles.last())
    }
}

impl Handle {
    /// Whether the user's line that made it is known, or can be: by its stack, where that can be read.
    pub(crate) fn has_users_line(&self) -> bool {
        self.location().is_some_and(Location::is_user)
            || (self.stack.is_some() && cfg!(feature = "stacks"))
    }
}

/// Whether a handle was made from another.
pub(super) fn is_not_first(handle: &Handle) -> bool {
    !handle.op().is_some_and(Op::begins)
}
