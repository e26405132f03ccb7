use super::leak_report::{Leak, ReportKind, is_not_first};
use super::{Part, Retention};
use crate::event::{Kind, Location, Op, Strength};
use crate::model::LiveObject;
use crate::text::{bytes, count, plural};
use std::fmt;

/// The next step that a person would take, from what is known: the shape of the group, its operations, and what holds it.
/// `Display` is a sentence.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub enum Help {
    /// Its handles are older than the recording.
    RaiseBound,
    /// No handle is known, since events were lost.
    EventsLost,
    /// Weak handles keep so many bytes of memory, whose values are gone.
    DropWeak {
        /// The values' own bytes.
        bytes: u64,
    },
    /// `leak` gave the value up.
    TakeBackLeaked {
        /// The line that called it.
        location: Option<Location>,
    },
    /// `into_raw` made a raw pointer of a handle.
    TakeBackRaw {
        /// The kind of the handle.
        kind: Kind,
        /// The line that called it.
        location: Option<Location>,
    },
    /// The objects hold each other in a cycle that was found.
    BreakCycle {
        /// The line that makes the references back, where the evidence points to one: of the handles by which the objects
        /// hold each other, only its were made from another handle, or stand in a field that is called `parent` or the like.
        back: Option<Location>,
        /// Whether it is the finding's own line, or that line is one of several that may be.
        is_cause: bool,
        /// Where it does not: other lines whose handles are part of the cycle. Those of objects' first handles are among them
        /// where these rather look back: they are in fields, and the finding's in a collection.
        others: Vec<Location>,
    },
    /// One thing that may well be right holds all objects.
    AllowOrRelease {
        /// What holds them.
        part: Part,
        /// How many objects there are.
        objects: u64,
    },
    /// The cause made one handle of one object.
    DropHandle,
    /// The cause made several handles of one object.
    DropHandles {
        /// How many are alive.
        handles: u64,
    },
    /// One object has its first handle alone.
    FirstHandle,
    /// Each object has its first handle alone.
    FirstHandles {
        /// How many objects there are.
        objects: u64,
    },
    /// Each object is held once by what the cause makes, in no cycle that was found.
    GrowingCollection {
        /// How many objects there are.
        objects: u64,
    },
    /// Each object is held once by what the cause makes, and nobody has searched for where that is stored.
    CollectionOrCycle {
        /// How many objects there are.
        objects: u64,
    },
    /// The cause made several handles of several objects.
    FindHandles {
        /// How many are alive.
        handles: u64,
    },
}

impl Help {
    /// What the evidence allows to say. `back` is the line that makes the references back of the cycle, and `others` those that
    /// make handles of it beside the finding's own. Without a retention nobody has searched.
    pub(super) fn of(
        leak: &Leak,
        back: Option<Location>,
        others: Option<Vec<Location>>,
        retention: Option<&Retention>,
    ) -> Self {
        let strong = |object: &LiveObject| object.strong_handles().count() as u64;
        if leak.objects.iter().all(|object| strong(object) == 0) {
            return Self::without_strong(leak);
        }
        if leak.cause.raw {
            let location = leak.cause.location.clone();
            return match leak.cause.op {
                Some(Op::Leak) => Self::TakeBackLeaked { location },
                _ => Self::TakeBackRaw { kind: leak.example().kind, location },
            };
        }
        if leak.in_cycle {
            let (is_cause, others) = match (&back, others) {
                (None, Some(others)) => (true, others),
                (back, _) => (back.is_some() && *back == leak.cause.location, Vec::new()),
            };
            return Self::BreakCycle { back, is_cause, others };
        }
        if let Some((part, &objects)) = leak.parts.iter().next()
            && objects == leak.count()
            && !matches!(part, Part::Leaked | Part::LikelyLeaked | Part::Raw | Part::Unknown)
        {
            return Self::AllowOrRelease { part: part.clone(), objects };
        }
        let handles: u64 = (leak.handles.iter())
            .filter(|group| group.is_fault)
            .fold(0, |sum, group| sum.saturating_add(group.count));
        let objects = leak.objects.len() as u64;
        let again = leak.fault().is_some_and(is_not_first);
        match (objects, handles, again) {
            (1, 1, true) => Self::DropHandle,
            (1, _, true) => Self::DropHandles { handles },
            (1, _, false) => Self::FirstHandle,
            (_, _, false) => Self::FirstHandles { objects },
            (n, made, true) if n > 2 && made == n => match retention {
                None => Self::CollectionOrCycle { objects },
                Some(retention) if is_in_cycle(leak, retention) => Self::FindHandles { handles },
                Some(_) => Self::GrowingCollection { objects },
            },
            (_, _, true) => Self::FindHandles { handles },
        }
    }

    /// As `Display`; what a check's conditions could allow is said in a check's report alone.
    pub(crate) fn in_report(&self, kind: ReportKind) -> HelpIn<'_> {
        HelpIn { help: self, kind }
    }

    fn without_strong(leak: &Leak) -> Self {
        if leak.objects.iter().any(|object| object.strong > 0) {
            return Self::RaiseBound;
        }
        if leak.objects.iter().all(|object| object.handles.is_empty()) {
            return Self::EventsLost;
        }
        debug_assert!(leak.cause.strength == Strength::Weak);
        let bytes = leak.objects.iter().fold(0, |sum: u64, object| sum.saturating_add(object.size));
        Self::DropWeak { bytes }
    }
}

impl fmt::Display for Help {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::RaiseBound => f.write_str(
                "the events that made its handles were given up for newer ones, since the recording is bounded: raise \
                 its bound (`max=`), or record to a file that is no .jsonl, which keeps them for what is alive",
            ),
            Self::EventsLost => f.write_str("no handle is known: events were lost"),
            Self::DropWeak { bytes: memory } => write!(
                f,
                "the value is dropped, but {} of memory are kept by weak handles: drop them as well, or let them go when \
                 `upgrade` fails",
                bytes(*memory)
            ),
            Self::TakeBackLeaked { location } => write!(
                f,
                "`leak` at {} gave the value up for good: mark what is meant to stay by `refscope::allow_leak`, or take \
                 it back by `from_raw`",
                At(location.as_ref())
            ),
            Self::TakeBackRaw { kind: Kind::Box, location } => write!(
                f,
                "`into_raw` at {} made a raw pointer of it: take it back by `from_raw`, or mark it by \
                 `refscope::allow_leak`",
                At(location.as_ref())
            ),
            // A waker of one that is no `Arc` is made by hand.
            Self::TakeBackRaw { kind: Kind::Arc, location } => write!(
                f,
                "`into_raw` at {} made a raw pointer of it, as a `Waker` is one: each needs one `from_raw`, or its waker's drop",
                At(location.as_ref())
            ),
            Self::TakeBackRaw { location, .. } => write!(
                f,
                "`into_raw` at {} made a raw pointer of it: each needs one `from_raw`",
                At(location.as_ref())
            ),
            Self::BreakCycle { back, is_cause, others } => {
                f.write_str("these objects hold each other, and nothing else was found to hold them: ")?;
                match back {
                    _ if *is_cause => {
                        f.write_str("let the handle that this line makes be a `Weak`")?;
                        for other in others.iter().take(MOST_LINES) {
                            write!(f, ", or that of {other}")?;
                        }
                        f.write_str(if others.is_empty() { "" } else { ", whichever looks back" })
                    }
                    Some(line) => write!(f, "let the handle that is made at {line} be a `Weak`"),
                    None => f.write_str("make one of the handles in the cycle a `Weak`"),
                }
            }
            Self::AllowOrRelease { part, objects } => write_held(f, part, *objects, ReportKind::Check),
            Self::DropHandle => f.write_str(
                "find where the handle that this line makes is stored, and drop it there",
            ),
            Self::DropHandles { handles } => write!(
                f,
                "{} handles of one object, made on this line, are alive: find what collects them, and what should remove \
                 them there",
                count(*handles)
            ),
            Self::FirstHandle => f.write_str(
                "its first handle is alive: in a local that is still in scope, in what is alive itself (another object, a \
                 static, a thread), or forgotten",
            ),
            Self::FirstHandles { objects } => write!(
                f,
                "{}, each held by its first handle alone: find what collects them, and what should remove them from it",
                plural(*objects, "object")
            ),
            Self::GrowingCollection { objects } => write!(
                f,
                "{}, held once each by what this line makes: a collection that grows. Find what should remove them from it",
                plural(*objects, "object")
            ),
            Self::CollectionOrCycle { objects } => write!(
                f,
                "{}, held once each by what this line makes: a collection that grows, or links of \
                 cycles. Find where these handles are stored, and what should drop them",
                plural(*objects, "object")
            ),
            Self::FindHandles { handles } => write!(
                f,
                "{} that this line made are alive: find where they are stored, and what should drop them",
                plural(*handles, "handle")
            ),
        }
    }
}

/// Whether the handle that keeps one of the objects is part of a cycle.
fn is_in_cycle(leak: &Leak, retention: &Retention) -> bool {
    let mut faults = leak.objects.iter().filter_map(LiveObject::fault);
    faults.any(|fault| retention.in_cycle(fault.id).is_some())
}

/// Other lines of a cycle that are named.
const MOST_LINES: usize = 3;

/// A line, where it is known.
struct At<'a>(Option<&'a Location>);

impl fmt::Display for At<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Some(location) => write!(f, "{location}"),
            None => f.write_str("a line that is not known"),
        }
    }
}

/// Where one thing that may well be right holds all objects.
fn write_held(
    f: &mut fmt::Formatter<'_>,
    part: &Part,
    objects: u64,
    kind: ReportKind,
) -> fmt::Result {
    let them = if objects == 1 { "it" } else { "them" };
    let in_check = kind == ReportKind::Check;
    if let (Part::Thread(_), ReportKind::Exit) = (part, kind) {
        return write!(
            f,
            "{part}, which had not ended: the exit drops no thread's locals. Where that is right, mark {them} by \
             `refscope::allow_leak`; else drop {them} before"
        );
    }
    write!(f, "{part}: where that is right, ")?;
    match part {
        // Conditions are a check's.
        _ if !in_check => write!(f, "mark {them} by `refscope::allow_leak`")?,
        Part::Stack(_) => f.write_str("`Check::locals_may_hold()` allows it")?,
        Part::Task(name) | Part::Static(name) | Part::ThreadLocal(name) | Part::Thread(name)
            if !name.is_empty() =>
        {
            write!(f, "`Check::may_be_held_by({:?})` allows it", path_of(name))?;
        }
        // It cannot be called by a name.
        _ => f.write_str("`Check::allow(…)` allows it")?,
    }
    match part {
        Part::Task(_) => write!(f, "; else end the task, or drop {them} in it"),
        Part::Stack(_) => write!(f, "; else end the local before, or drop {them} there"),
        _ => write!(f, "; else remove {them} there"),
    }
}

/// Advice in a report.
pub(crate) struct HelpIn<'a> {
    help: &'a Help,
    kind: ReportKind,
}

impl fmt::Display for HelpIn<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.help {
            Help::AllowOrRelease { part, objects } => write_held(f, part, *objects, self.kind),
            help => fmt::Display::fmt(help, f),
        }
    }
}

/// A static's or function's path, without what is in it: no other has it, as its own name might.
fn path_of(name: &str) -> &str {
    name.split("::{").next().unwrap_or(name)
}
