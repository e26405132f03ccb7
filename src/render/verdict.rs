//! A report in a line: the verdict, and annotations for the logs of a CI.

use super::report::{SHOWN, outside};
use super::{bytes, count, plural};
use crate::analysis::{Leak, LeakReport, Part, ReportKind};
use std::fmt;

impl LeakReport {
    /// Returns the verdict in one line.
    pub fn verdict(&self) -> String {
        if self.taken_over && self.is_empty() {
            return "the program installed a sink of its own, and what it made since is not recorded, so that a leak could not \
                    have been seen"
                .to_owned();
        }
        if self.traced_nothing && self.is_empty() {
            return "nothing was traced, so that a leak could not have been seen".to_owned();
        }
        let when = match self.kind {
            ReportKind::Check => " after the check",
            ReportKind::Exit => " at exit",
            ReportKind::Mark => " at the mark",
            ReportKind::Stopped => " when the recording stopped",
            ReportKind::Alive => "",
        };
        let allowed = match self.allowed {
            0 => String::new(),
            n => format!("; {} allowed", count(n)),
        };
        if self.is_empty() {
            return format!("nothing is alive{when}{allowed}");
        }
        let size = self.leaks.iter().fold(0_u64, |sum, leak| sum.saturating_add(leak.bytes()));
        let (objects, lines) =
            (plural(self.objects, "object"), plural(self.leaks.len() as u64, "line"));
        let (size, dropped, parts) = (bytes(size), self.dropped(), self.parts());
        format!("{objects} alive{when}, kept by {lines}; {size}{dropped}{parts}{allowed}")
    }

    /// Of how many the memory alone is left.
    fn dropped(&self) -> String {
        let all = self.leaks.iter().flat_map(Leak::all_objects);
        match all.filter(|object| object.is_dropped()).count() as u64 {
            0 => String::new(),
            1 => "; 1 of them dropped, its memory kept by weak handles".to_owned(),
            n => format!("; {} of them dropped, their memory kept by weak handles", count(n)),
        }
    }

    /// How many objects are in each part, as far as that is known.
    fn parts(&self) -> String {
        type Is = fn(&Part) -> bool;
        let mut text = String::new();
        let parts: [(&str, Is); 7] = [
            ("leaked", |part| matches!(part, Part::Leaked)),
            ("likely leaked", |part| matches!(part, Part::LikelyLeaked)),
            ("away as raw pointers", |part| matches!(part, Part::Raw)),
            ("held by tasks", |part| matches!(part, Part::Task(_))),
            ("held by threads", |part| matches!(part, Part::Thread(_))),
            ("held by statics and thread-locals", |part| {
                matches!(part, Part::Static(_) | Part::ThreadLocal(_))
            }),
            ("held by a word on a stack", |part| matches!(part, Part::Stack(_))),
        ];
        let mut left = self.objects;
        for (name, is) in parts {
            let parts = self.leaks.iter().flat_map(|leak| &leak.parts);
            let objects = parts.filter(|(part, _)| is(part)).map(|(_, objects)| objects).sum();
            if objects > 0 {
                text.push_str(&format!("; {} {name}", count(objects)));
                left = left.saturating_sub(objects);
            }
        }
        if left > 0 && left < self.objects {
            text.push_str(&format!("; {} held by what was not found", count(left)));
        }
        text
    }

    /// Returns a note on what a check did not look at: what is alive and was made meanwhile on threads that had entered no
    /// scope, by type and line.
    pub fn note_outside(&self) -> Option<String> {
        outside(self).map(|note| format!("refscope: {}", super::escape_lines(&note)))
    }

    /// Returns the report as JSON: one object, documented at [`report_json`](super::report_json). Needs the feature `json`.
    #[cfg(feature = "json")]
    pub fn json(&self) -> String {
        super::report_json(self)
    }

    /// Returns a line for each cause in the format of GitHub's and compatible logs, `::error file=…,line=…::…`, at the
    /// cause's line.
    pub fn annotations(&self) -> String {
        annotations(self)
    }
}

/// `leaked`, `held by the static POOL`
impl fmt::Display for Part {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Leaked => f.write_str("leaked"),
            Self::LikelyLeaked => f.write_str("likely leaked"),
            Self::Raw => f.write_str("away as a raw pointer"),
            // The runtime's name alone.
            Self::Task(name) if !name.contains("::") => write!(f, "held by a task of {name}"),
            Self::Task(name) => write!(f, "held by the task {name}"),
            Self::Thread(name) => write!(f, "held by the thread {name}"),
            Self::Static(name) if name.is_empty() => f.write_str("held by a static"),
            Self::ThreadLocal(name) if name.is_empty() => f.write_str("held by a thread-local"),
            Self::ThreadLocal(name) => write!(f, "held by the thread-local {name}"),
            Self::Static(name) => write!(f, "held by the static {name}"),
            Self::Stack(name) => {
                write!(f, "held by a word on {} stack", crate::text::possessive(name))
            }
            Self::Unknown => f.write_str("not searched"),
        }
    }
}

/// The part of the report that a finding stands in: that of its worst objects.
pub(super) fn heading(leak: &Leak, kind: ReportKind) -> &'static str {
    match leak.parts.keys().next() {
        Some(Part::Leaked) => "Leaked: nothing reaches it, or only what leaked does",
        Some(Part::LikelyLeaked) => "Likely leaked: nothing was found to hold it; not proven",
        Some(Part::Raw) => "Away as raw pointers",
        Some(Part::Task(_)) => "Held by tasks that have not ended",
        Some(Part::Thread(_)) if kind == ReportKind::Exit => "Held by threads that had not ended",
        Some(Part::Thread(_)) => "Held by threads that go on",
        Some(Part::Static(_) | Part::ThreadLocal(_)) => "Still held by statics and thread-locals",
        Some(Part::Stack(_)) => "Still held by a word on a stack: a local, most likely",
        Some(Part::Unknown) | None => "Held by what was not found",
    }
}

/// See [`LeakReport::annotations`].
fn annotations(report: &LeakReport) -> String {
    // As GitHub's documentation of workflow commands escapes data and properties; the rest is shown in a log.
    let data = |text: &str| super::escape(&text.replace('%', "%25")).into_owned();
    let property = |text: &str| data(text).replace(':', "%3A").replace(',', "%2C");
    let mut text = String::new();
    for leak in report.leaks.iter().take(SHOWN) {
        let object = leak.example();
        let place = leak.cause.location.as_ref().unwrap_or(&object.location);
        let name = format!("{}<{}>", object.kind, crate::event::short_type(&object.type_name));
        let says = format!(
            "{} alive, the oldest created at {}: {}",
            plural(leak.count(), "object"),
            object.location,
            leak.help
        );
        text.push_str(&format!(
            "::error file={},line={},col={},title={}::{}\n",
            property(&place.file),
            place.line,
            place.column,
            property(&match object.is_dropped() {
                true => format!("refscope: the memory of {name} is kept"),
                false => format!("refscope: {name} is alive"),
            }),
            data(&says)
        ));
    }
    text
}
