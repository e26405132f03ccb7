use super::{Living, Made};
use crate::event::{Kind, Op, Strength, Time};
use crate::recording::Place;
use crate::render::{ReportStyle, plural};
use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

/// What is alive that should not be: one entry a leak, not an object.
///
/// Objects of the same type, that were born on the same line and are held by handles that came about on the same
/// lines, are one leak. Those come first that are held by more than their first handle, since the others may well be
/// held by these; of either the heaviest.
///
/// `Display` is the report as plain text; [`Terminal::leaks`](crate::render::Terminal::leaks) makes it as the terminal
/// likes it, [`json`](Self::json) for programs, and [`annotations`](Self::annotations) for the logs of a CI.
#[derive(Clone)]
pub struct Leaks {
    pub(crate) leaks: Vec<Leak>,
    pub(crate) objects: u64,
    pub(crate) allowed: u64,
    pub(crate) told: Told,
    pub(crate) unseen: Unseen,
}

/// Objects that leak alike.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Leak {
    /// The objects, oldest first.
    pub objects: Vec<Living>,
    /// Names the leak across runs, machines, and edits elsewhere in the file: made of pointer kind, type, files and
    /// operations, without lines and without where the source lies on this machine. Leaks that differ in their
    /// lines alone have a fingerprint in common.
    pub fingerprint: u64,
    /// How old the oldest object is.
    pub age: Duration,
    /// What a person would do next.
    pub help: String,
}

/// What a report could not see.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Unseen {
    /// Objects that a filter, a cap or a full ledger left out.
    pub left_out: u64,
    /// Events that a full recorder lost.
    pub lost: u64,
}

/// As what the report tells of what is alive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Told {
    Leaks,
    AtExit,
    Alive,
}

/// What makes two objects one leak.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct Alike {
    type_name: Cow<'static, str>,
    kind: Kind,
    born: Place,
    label: Option<String>,
    holders: Vec<(Strength, Vec<Made>, bool)>,
}

impl Leaks {
    /// Groups what is alive at `now`. What is marked as meant to stay is counted, and left out.
    pub fn new(living: impl IntoIterator<Item = Living>, now: Time) -> Self {
        let mut groups: BTreeMap<Alike, Vec<Living>> = BTreeMap::new();
        let (mut objects, mut allowed) = (0, 0);
        for object in living {
            if object.allowed {
                allowed += 1;
                continue;
            }
            objects += 1;
            let mut holders: Vec<_> = (object.holders.iter())
                .map(|holder| (holder.strength, holder.path.clone(), holder.away))
                .collect();
            holders.sort();
            // Many alike say no more than one.
            holders.dedup();
            let alike = Alike {
                type_name: object.type_name.clone(),
                kind: object.kind,
                born: object.born.clone(),
                label: object.label.clone(),
                holders,
            };
            groups.entry(alike).or_default().push(object);
        }
        let mut leaks: Vec<_> =
            (groups.into_iter()).map(|(alike, objects)| Leak::new(&alike, objects, now)).collect();
        leaks.sort_by_key(|leak| {
            std::cmp::Reverse((leak.is_held_again(), leak.bytes(), leak.objects.len()))
        });
        Self { leaks, objects, allowed, told: Told::Leaks, unseen: Unseen::default() }
    }

    /// What was alive when a recording ended.
    pub fn of_recording(recording: &crate::Recording) -> Self {
        let mut leaks = Self::new(Living::of_recording(recording), recording.end());
        leaks.unseen.lost = recording.lost();
        leaks
    }

    /// The same, of a process that ends: what its statics hold is no leak.
    #[must_use]
    pub fn at_exit(mut self) -> Self {
        self.told = Told::AtExit;
        self
    }

    /// The same, of a program that goes on: what is alive is no leak yet.
    #[must_use]
    pub fn alive(mut self) -> Self {
        self.told = Told::Alive;
        self
    }

    /// The leaks, the heaviest first.
    pub fn leaks(&self) -> &[Leak] {
        &self.leaks
    }

    /// How many objects there are in all leaks.
    pub fn objects(&self) -> u64 {
        self.objects
    }

    /// How many objects are alive and allowed to be.
    pub fn allowed(&self) -> u64 {
        self.allowed
    }

    /// What the report could not see.
    pub fn unseen(&self) -> Unseen {
        self.unseen
    }

    /// Whether there is no leak.
    pub fn is_empty(&self) -> bool {
        self.leaks.is_empty()
    }

    /// The verdict in a line.
    pub fn verdict(&self) -> String {
        let bytes: u64 = self.leaks.iter().map(Leak::bytes).sum();
        let size = crate::render::bytes(bytes);
        let allowed = match self.allowed {
            0 => String::new(),
            n => format!("; {} allowed", crate::render::count(n)),
        };
        let objects = plural(self.objects, "object");
        match (self.leaks.len() as u64, self.told) {
            (0, Told::Leaks) => format!("no leak{allowed}"),
            (0, Told::AtExit) => format!("nothing is held at exit{allowed}"),
            (0, Told::Alive) => format!("nothing is alive{allowed}"),
            (n, Told::Leaks) => format!("{}: {objects} alive, {size}{allowed}", plural(n, "leak")),
            (_, Told::AtExit) => format!("still held at exit: {objects}, {size}{allowed}"),
            (_, Told::Alive) => format!("alive: {objects}, {size}{allowed}"),
        }
    }

    /// The report as JSON: one object, documented in [`render::report_json`](crate::render::report_json).
    pub fn json(&self) -> String {
        crate::render::report_json(self)
    }

    /// A line for each leak as GitHub's and compatible logs read it: `::error file=…,line=…::…`, at the holder's line.
    pub fn annotations(&self) -> String {
        crate::render::annotations(self)
    }
}

impl Leak {
    fn new(alike: &Alike, objects: Vec<Living>, now: Time) -> Self {
        let mut print = Fingerprint::new();
        print.add(alike.kind.name());
        print.add(&alike.type_name);
        print.add(portable(&alike.born.file));
        for (strength, path, away) in &alike.holders {
            print.add(&strength.to_string());
            print.add(if *away { "away" } else { "" });
            for made in path {
                print.add(made.op.name());
                print.add(made.place.as_ref().map_or("", |place| portable(&place.file)));
            }
        }
        let since = objects.iter().map(|object| object.since).min().unwrap_or(now);
        let help = objects.first().map_or_else(String::new, help);
        Self { fingerprint: print.0, age: since.until(now), help, objects }
    }

    /// The object that stands for all: the oldest.
    pub fn example(&self) -> &Living {
        &self.objects[0]
    }

    /// Whether a strong handle other than the first is alive.
    fn is_held_again(&self) -> bool {
        let again = |holder: &super::Holder| !holder.made().is_some_and(|made| made.op.begins());
        self.example().strong().any(again)
    }

    /// The bytes of all values together.
    pub fn bytes(&self) -> u64 {
        self.objects.iter().map(|object| object.size).sum()
    }

    /// The line at fault, as far as events can tell: that of the youngest handle which keeps the value and is not
    /// its first; of the first, where it is the only one; of a weak one, where only the memory is kept.
    pub fn fault(&self) -> Option<&super::Holder> {
        let example = self.example();
        let made = |holder: &&super::Holder| !holder.made().is_some_and(|made| made.op.begins());
        let strong = || example.strong();
        strong().filter(made).last().or_else(|| strong().last()).or(example.holders.last())
    }
}

/// The next step that a person would take.
fn help(object: &Living) -> String {
    let strong: Vec<_> = object.strong().collect();
    let Some(last) = strong.last() else {
        return format!(
            "the value is gone, but {} of memory are kept by weak handles: drop them as well, or let them go when \
             `upgrade` fails",
            crate::render::bytes(object.size)
        );
    };
    if last.away {
        return match last.made().map(|made| made.op) {
            _ if object.kind == Kind::Box => {
                "it left by `leak` or `into_raw`: take it back by `from_raw`, or mark it by \
                `refscope::allow_leak`"
                    .to_owned()
            }
            _ => "it left as a raw pointer: each `into_raw` needs one `from_raw`".to_owned(),
        };
    }
    let clones = strong.iter().filter(|holder| {
        holder.made().is_some_and(|made| matches!(made.op, Op::Clone | Op::Upgrade))
    });
    match (clones.count(), strong.len()) {
        (0, 1) => "its first handle was never dropped: it was moved into what is alive itself (another of these \
            leaks, a static, a thread), or forgotten"
            .to_owned(),
        (0, _) => "its handles were never dropped: look where they were moved to".to_owned(),
        (1, _) => "look where this handle was moved to, and drop it there; where it only looks back (to a parent, an \
            owner, itself), let it be a `Weak`"
            .to_owned(),
        (n, _) => format!(
            "{n} clones are alive: a collection that only grows, or handles that look back and should be `Weak`"
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

/// The report as plain text, 80 columns wide.
impl fmt::Display for Leaks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        ReportStyle::plain().write(self, f)
    }
}

/// As `Display`, so that `unwrap` and a test's `main` show something to read.
impl fmt::Debug for Leaks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl std::error::Error for Leaks {}

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
