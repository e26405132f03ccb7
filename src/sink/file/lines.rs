//! What a file sink gathers: lines, each after those that it refers to.

use super::origin;
use crate::event::{Caller, Event, Object, Op, Thread};
use crate::json::Json;
use crate::sink::sources::New;
use std::collections::{HashMap, HashSet};
use std::fmt::Write as _;

#[derive(Default)]
pub(super) struct Out {
    pub(super) lines: String,
    /// What is alive, for the head of the next part. Kept only where there are parts.
    pub(super) living: Option<HashMap<u64, Known>>,
    pub(super) types: HashMap<usize, usize>,
    pub(super) sites: HashMap<Caller, usize>,
    pub(super) threads: NamedThreads,
    pub(super) stacks: crate::stack::WrittenStacks,
    /// Source files that lines refer to, and that have no line of their own yet.
    pub(super) files: HashSet<&'static str>,
    pub(super) new_sources: New,
    pub(super) spans: HashSet<u32>,
    pub(super) failed: bool,
    /// Events in `lines`.
    pub(super) gathered: u64,
    /// Events that found no room, and that no line counts yet.
    pub(super) untold: u64,
    /// All events that are not in the file, and will not be.
    pub(super) lost: u64,
}

/// Threads that a line names: not all that there ever were. One that is forgotten is named again, by the same number, which says
/// nothing new.
#[derive(Default)]
pub(super) struct NamedThreads(HashSet<Thread>);

/// Threads that are remembered: more than most programs have at a time.
const MOST_THREADS: usize = 4096;

impl NamedThreads {
    /// Returns whether a line is to name it.
    fn is_new(&mut self, thread: Thread) -> bool {
        if self.0.len() == MOST_THREADS && !self.0.contains(&thread) {
            self.0.clear();
        }
        self.0.insert(thread)
    }
}

/// An object that is alive, as the next part's head has it.
pub(super) struct Known {
    object: Object,
    events: u64,
    /// The highest number of an event.
    highest: u64,
    strong: u32,
    weak: i64,
}

impl Out {
    /// Adds a line, which there is room for: few are written so.
    pub(super) fn line(&mut self, line: &str) {
        if !self.failed {
            self.lines.push_str(line);
            self.lines.push('\n');
        }
    }

    /// Takes what is gathered: lines, and how many of them are events.
    pub(super) fn take(&mut self) -> (String, u64) {
        (std::mem::take(&mut self.lines), std::mem::take(&mut self.gathered))
    }

    /// Whether there is nothing to be written.
    pub(super) fn is_written(&self) -> bool {
        self.failed || (self.lines.is_empty() && self.untold == 0)
    }

    /// The head of a new part: tables begin anew, and what is alive comes first.
    pub(super) fn begin_part(&mut self) {
        self.lines = origin::head();
        self.files.clear();
        self.types.clear();
        self.sites.clear();
        self.threads = NamedThreads::default();
        self.stacks = crate::stack::WrittenStacks::default();
        self.spans.clear();
        let living = self.living.take();
        for known in living.iter().flatten().map(|(_, known)| known) {
            self.object(&known.object, Some(known));
        }
        self.living = living;
    }

    fn object(&mut self, object: &Object, known: Option<&Known>) {
        let next = self.types.len() + 1;
        let ty = *self.types.entry(std::ptr::from_ref(object.ty).addr()).or_insert(next);
        if ty == next {
            let name = Json(object.type_name());
            let _ = writeln!(self.lines, r#"{{"type":{ty},"name":{name}}}"#);
        }
        let location = self.site(object.location);
        let _ = write!(
            self.lines,
            r#"{{"object":{},"kind":"{}","type":{ty},"size":{},"site":{location}"#,
            object.id().number(),
            object.kind(),
            object.size()
        );
        if let Some(known) = known {
            let _ = write!(
                self.lines,
                r#","earlier":{},"strong":{},"weak":{}"#,
                known.events, known.strong, known.weak
            );
            if known.highest != known.events {
                // Some are under way still, on other threads.
                let _ = write!(self.lines, r#","highest":{}"#, known.highest);
            }
            if let Some(label) = object.label() {
                let _ = write!(self.lines, r#","label":{}"#, Json(label));
            }
        }
        self.lines.push_str("}\n");
    }

    fn follow(&mut self, event: &Event) {
        let Some(living) = &mut self.living else { return };
        let id = event.object().id().number();
        let known = living.entry(id).or_insert_with(|| Known {
            object: *event.object(),
            events: 0,
            highest: 0,
            strong: 0,
            weak: 0,
        });
        known.object = *event.object();
        known.events += 1;
        known.weak += i64::from(event.op().weak_delta());
        if event.seq() >= known.highest {
            (known.highest, known.strong) = (event.seq(), event.strong());
        }
        let complete = known.events == known.highest;
        if complete && known.strong == 0 && known.weak <= 0 && known.events > 1 {
            living.remove(&id);
        }
    }

    fn site(&mut self, site: Caller) -> usize {
        let next = self.sites.len() + 1;
        let number = *self.sites.entry(site).or_insert(next);
        if number == next {
            if self.files.insert(site.file()) {
                self.new_sources.files.push(site.file());
            }
            self.new_sources.sites.push((number as u64, site));
            let _ = writeln!(
                self.lines,
                r#"{{"site":{number},"file":{},"line":{},"column":{}}}"#,
                Json(site.file()),
                site.line(),
                site.column()
            );
        }
        number
    }

    /// Returns the number of a span of which the file knows the text.
    fn span(&mut self, span: u32) -> Option<u32> {
        if span == 0 {
            return None;
        }
        if !self.spans.contains(&span) {
            let text = crate::span::text(span)?;
            let _ = writeln!(self.lines, r#"{{"span":{span},"text":{}}}"#, Json(&text));
            self.spans.insert(span);
        }
        Some(span)
    }

    pub(super) fn event(&mut self, event: &Event, span: u32) {
        let object = event.object();
        let id = object.id().number();
        let site = event.location.map(|site| self.site(site));
        let thread = event.thread();
        if self.threads.is_new(thread) {
            let name = thread.to_string();
            let _ =
                writeln!(self.lines, r#"{{"thread":{},"name":{}}}"#, thread.number(), Json(&name));
        }
        if event.seq() == 1 {
            self.object(object, None);
        }
        self.follow(event);
        if let Some(stack) = event.stack() {
            self.stacks.write_new(stack, &mut self.lines);
        }
        let span = self.span(span);
        let _ = write!(
            self.lines,
            r#"{{"event":"{}","o":{id},"n":{},"h":{},"s":{},"t":{},"ns":{}"#,
            event.op(),
            event.seq(),
            event.handle().number(),
            event.strong(),
            thread.number(),
            event.time().as_nanos()
        );
        if let Some(from) = event.made_from() {
            let _ = write!(self.lines, r#","f":{}"#, from.number());
            if from.object() != object.id() {
                let _ = write!(self.lines, r#","fo":{}"#, from.object().number());
            }
        }
        if let Some(site) = site {
            let _ = write!(self.lines, r#","at":{site}"#);
        }
        if let Some(stack) = event.stack() {
            let _ = write!(self.lines, r#","k":{}"#, stack.number());
        }
        if let Some(span) = span {
            let _ = write!(self.lines, r#","sp":{span}"#);
        }
        if let (Op::Label, Some(label)) = (event.op(), object.label()) {
            let _ = write!(self.lines, r#","label":{}"#, Json(label));
        }
        self.lines.push_str("}\n");
    }
}

#[cfg(test)]
mod tests {
    use super::{MOST_THREADS, NamedThreads};
    use crate::event::Thread;

    #[test]
    fn threads_that_are_gone_are_not_remembered_for_good() {
        let thread = |number| Thread::from_number(number).unwrap();
        let (mut threads, mut again) = (NamedThreads::default(), 0);
        for number in 2..200_000 {
            assert!(threads.is_new(thread(number)), "each is named");
            assert!(!threads.is_new(thread(number)), "once");
            // One that goes on.
            again += u32::from(threads.is_new(thread(1)));
            assert!(threads.0.len() <= MOST_THREADS);
        }
        assert!((1..60).contains(&again), "{again}");
    }
}
