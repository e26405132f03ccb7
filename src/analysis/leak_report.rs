use crate::event::{Kind, Location, Op, Strength, Time, UntracedCounts};
use crate::locate::{Ownership, Search};
use crate::model::{Handle, LiveObject, PathStep, Recording};
use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

/// What is alive and should not be, grouped: an entry is a leak, not an object.
///
/// Objects of one type, allocated on one line and held by handles that came about on the same lines, are one leak.
/// Leaks with a handle beside the first one come first, since they may hold the others; of either the heaviest.
///
/// `Display` is the report as plain text; [`Terminal::render_report`](crate::render::Terminal::render_report) adapts
/// to the terminal, [`json`](Self::json) is for programs, and [`annotations`](Self::annotations) for the logs of a CI.
#[derive(Clone)]
pub struct LeakReport {
    pub(crate) leaks: Vec<Leak>,
    pub(crate) objects: u64,
    pub(crate) allowed: u64,
    pub(crate) kind: ReportKind,
    pub(crate) untraced: UntracedCounts,
    /// What the search found, or why there was none. `None`: not asked for.
    pub(crate) located: Option<Result<Arc<Ownership>, String>>,
}

/// Objects that leak alike.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Leak {
    /// The objects, oldest first.
    pub objects: Vec<LiveObject>,
    /// Identifies the leak across runs, machines, and edits elsewhere in the file: a hash of pointer kind, type, files
    /// and operations, without lines and without where the source lies on this machine. Leaks that differ only in
    /// their lines share a fingerprint.
    pub fingerprint: u64,
    /// How old the oldest object is.
    pub age: Duration,
    /// The next step for a person.
    pub help: String,
}

/// What a report says of the objects in it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum ReportKind {
    /// They leak.
    #[default]
    Leaks,
    /// They are held when the process exits; what statics hold is no leak.
    Exit,
    /// They are alive in a running program, and may well be released later.
    Alive,
}

/// What makes two objects one leak.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct GroupKey {
    type_name: Cow<'static, str>,
    kind: Kind,
    location: Location,
    label: Option<String>,
    handles: Vec<(Strength, Arc<[PathStep]>, bool)>,
}

impl LeakReport {
    /// Groups what is alive at `now`. Objects [marked](crate::allow_leak) as meant to stay are only counted.
    pub fn new(objects: impl IntoIterator<Item = LiveObject>, now: Time) -> Self {
        let mut groups: BTreeMap<GroupKey, Vec<LiveObject>> = BTreeMap::new();
        let (mut count, mut allowed) = (0, 0);
        for object in objects {
            if object.allowed {
                allowed += 1;
                continue;
            }
            count += 1;
            let mut handles: Vec<_> = (object.handles.iter())
                .map(|handle| (handle.strength, Arc::clone(&handle.path), handle.raw))
                .collect();
            handles.sort();
            // Many alike say no more than one.
            handles.dedup();
            let key = GroupKey {
                type_name: object.type_name.clone(),
                kind: object.kind,
                location: object.location.clone(),
                label: object.label.clone(),
                handles,
            };
            groups.entry(key).or_default().push(object);
        }
        let mut leaks: Vec<_> =
            groups.into_iter().map(|(key, objects)| Leak::new(&key, objects, now)).collect();
        leaks.sort_by_key(|leak| {
            std::cmp::Reverse((leak.is_held_again(), leak.bytes(), leak.objects.len()))
        });
        Self {
            leaks,
            objects: count,
            allowed,
            kind: ReportKind::Leaks,
            untraced: UntracedCounts::default(),
            located: None,
        }
    }

    /// Searches this process's memory for where each handle is stored now, for the report to say what holds each leak.
    ///
    /// Where the search [cannot be made](crate::locate::Unavailable) the report says so in a line.
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
    pub fn locate(mut self, search: &Search) -> Self {
        if !self.is_empty() {
            self.located = Some(search.run().map(Arc::new).map_err(|why| why.to_string()));
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
        let lost = recording.lost();
        let untraced = UntracedCounts { lost, paths_cut, ..UntracedCounts::default() };
        Self::new(objects, recording.end()).with_untraced(untraced)
    }

    /// Sets what the report says of the objects in it.
    #[must_use]
    pub fn with_kind(mut self, kind: ReportKind) -> Self {
        self.kind = kind;
        self
    }

    /// Sets what is missing from the report.
    #[must_use]
    pub fn with_untraced(mut self, untraced: UntracedCounts) -> Self {
        self.untraced = untraced;
        self
    }

    /// Returns the leaks, the heaviest first.
    pub fn leaks(&self) -> &[Leak] {
        &self.leaks
    }

    /// Returns how many objects there are in all leaks.
    pub fn objects(&self) -> u64 {
        self.objects
    }

    /// Returns how many objects are alive and allowed to be.
    pub fn allowed(&self) -> u64 {
        self.allowed
    }

    /// Returns what is missing from the report.
    pub fn untraced(&self) -> UntracedCounts {
        self.untraced
    }

    /// Returns whether there is no leak.
    pub fn is_empty(&self) -> bool {
        self.leaks.is_empty()
    }
}

impl Leak {
    fn new(key: &GroupKey, objects: Vec<LiveObject>, now: Time) -> Self {
        let mut print = Fingerprint::new();
        print.add(key.kind.name());
        print.add(&key.type_name);
        print.add(portable(&key.location.file));
        for (strength, path, raw) in &key.handles {
            print.add(&strength.to_string());
            print.add(if *raw { "raw" } else { "" });
            for step in &**path {
                if step.cut {
                    print.add("cut");
                }
                print.add(step.op.name());
                print.add(step.location.as_ref().map_or("", |location| portable(&location.file)));
            }
        }
        let created = objects.iter().map(|object| object.created).min().unwrap_or(now);
        let help = objects.first().map_or_else(String::new, help);
        Self { fingerprint: print.0, age: created.until(now), help, objects }
    }

    /// Returns the object that stands for all: the oldest.
    pub fn example(&self) -> &LiveObject {
        &self.objects[0]
    }

    /// Returns whether a strong handle other than the first is alive.
    fn is_held_again(&self) -> bool {
        self.example().strong_handles().any(is_not_first)
    }

    /// Returns the sum of the values' sizes in bytes.
    pub fn bytes(&self) -> u64 {
        self.objects.iter().fold(0, |sum, object| sum.saturating_add(object.size))
    }

    /// Returns the handle at fault, as far as events can tell: the youngest strong one that is not the first; the
    /// first, if it is the only one; a weak one, if only the memory is kept.
    pub fn fault(&self) -> Option<&Handle> {
        let example = self.example();
        let mut strong = example.strong_handles().rev();
        let not_first = strong.clone().find(|handle| is_not_first(handle));
        not_first.or_else(|| strong.next()).or(example.handles.last())
    }
}

/// Whether a handle was made from another.
fn is_not_first(handle: &Handle) -> bool {
    !handle.op().is_some_and(Op::begins)
}

/// The next step that a person would take.
fn help(object: &LiveObject) -> String {
    let strong: Vec<_> = object.strong_handles().collect();
    let Some(last) = strong.last() else {
        if object.strong > 0 {
            return "its handles were made before the recording begins: record from its allocation on".to_owned();
        }
        return format!(
            "the value is gone, but {} of memory are kept by weak handles: drop them as well, or let them go when \
             `upgrade` fails",
            crate::text::bytes(object.size)
        );
    };
    if last.raw {
        return match object.kind {
            Kind::Box => {
                "it left by `leak` or `into_raw`: take it back by `from_raw`, or mark it by \
                `refscope::allow_leak`"
            }
            _ => "it left as a raw pointer: each `into_raw` needs one `from_raw`",
        }
        .to_owned();
    }
    let clones =
        strong.iter().filter(|handle| matches!(handle.op(), Some(Op::Clone | Op::Upgrade))).count();
    match (clones, strong.len()) {
        (0, 1) => "its first handle was never dropped: it was moved into what is alive itself (another of these \
            leaks, a static, a thread), or forgotten"
            .to_owned(),
        (0, _) => "its handles were never dropped: find where they were moved to".to_owned(),
        (1, _) => "find where this handle was moved and drop it there; if it is a back reference (to a parent, an \
            owner, itself), use a `Weak`"
            .to_owned(),
        (n, _) => format!(
            "{n} clones are alive: a collection that only grows, or back references that should be `Weak`"
        ),
    }
}

/// A file as every machine has it: without what comes before the crate, or before the sources.
fn portable(file: &str) -> &str {
    if let Some((_, rest)) = file.split_once("/registry/src/") {
        return rest.split_once('/').map_or(rest, |(_, rest)| rest);
    }
    if !file.starts_with('/') && file.as_bytes().get(1) != Some(&b':') {
        return file;
    }
    let roots = ["/src/", "/tests/", "/examples/", "/benches/", "\\src\\", "\\tests\\"];
    let root = roots.iter().filter_map(|root| file.rfind(root)).max();
    root.map_or(file, |at| &file[at + 1..])
}

/// FNV-1a with 64 bits (Fowler, Noll and Vo): the same on every machine and in every version.
struct Fingerprint(u64);

impl Fingerprint {
    fn new() -> Self {
        Self(0xcbf2_9ce4_8422_2325)
    }

    fn add(&mut self, text: &str) {
        for byte in text.bytes().chain([0xff]) {
            let byte = if byte == b'\\' { b'/' } else { byte };
            self.0 = (self.0 ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::portable;

    #[test]
    fn files_as_every_machine_has_them() {
        for (file, want) in [
            ("src/main.rs", "src/main.rs"),
            ("/home/a/work/app/src/net/session.rs", "src/net/session.rs"),
            ("/home/a/.cargo/registry/src/index-1/dep-1.2.0/src/lib.rs", "dep-1.2.0/src/lib.rs"),
            ("/builds/x/tests/leaks.rs", "tests/leaks.rs"),
        ] {
            assert_eq!(portable(file), want);
        }
    }
}
