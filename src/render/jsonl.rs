#[cfg(feature = "json")]
use crate::event::Op;
use crate::json::Json;
#[cfg(feature = "json")]
use crate::model::{Allocation, RecordingFile};
use crate::model::{Earlier, EventRecord, ObjectRecord, Recording, RecordingEnd};
use crate::stack::{self, StackId};
use std::borrow::Cow;
use std::collections::{BTreeMap, HashMap, HashSet};
use std::fmt::Write as _;
use std::io::{self, Write};

/// Writes a recording as JSON Lines, as a [`FileSink`](crate::sink::FileSink) does, where the lines are documented: a binary
/// recording for `jq` and your own scripts. Reading it gives the same recording.
///
/// # Errors
///
/// Those of `out`.
///
/// # Examples
///
/// ```
/// use refscope::{Rc, Scope, render, sink::Recorder};
///
/// let recorder = Recorder::new();
/// Scope::new(recorder.clone()).run(|| drop(Rc::new(1).clone()));
/// let mut lines = Vec::new();
/// render::jsonl(&recorder.recording(), &mut lines)?;
/// assert!(lines.starts_with(b"{\"refscope\":1"));
/// # Ok::<(), std::io::Error>(())
/// ```
pub fn jsonl(recording: &Recording, out: &mut impl Write) -> io::Result<()> {
    let mut lines = Lines::new(out);
    lines.begin(recording)?;
    for object in recording.objects().values() {
        let earlier = recording.earlier.get(&object.id).copied().unwrap_or_default();
        lines.object(recording, object, earlier)?;
    }
    for event in recording.events() {
        lines.event(recording, event, None)?;
    }
    lines.end(recording)
}

/// Writes some objects of a recording's file as JSON Lines, as [`jsonl`] does, in memory that does not grow with the events:
/// they are in the order of the file, those of an object in their order.
///
/// # Errors
///
/// Those of `out`; an error of reading is inside of one of kind `InvalidData`.
///
/// # Examples
///
/// ```no_run
/// use refscope::{model::RecordingFile, render};
///
/// let file = RecordingFile::open("run.refscope")?;
/// render::jsonl_of(&file, |allocation| allocation.object.size > 100, std::io::stdout())?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[cfg(feature = "json")]
pub fn jsonl_of(
    file: &RecordingFile,
    wanted: impl Fn(&Allocation<'_>) -> bool,
    out: impl Write,
) -> io::Result<()> {
    let mut lines = Lines::new(out);
    let (tables, _) = file.each(None, wanted, |tables, seen| {
        if seen.is_first {
            lines.object(tables, seen.object, seen.earlier)?;
        }
        let Some(event) = seen.event else { return Ok(()) };
        let label = seen.object.label.as_deref().filter(|_| event.op == Op::Label);
        lines.event(tables, event, label)
    })?;
    lines.end(&tables)
}

/// Writes lines one by one, each after those that it refers to.
pub(crate) struct Lines<W> {
    out: W,
    has_begun: bool,
    locations: usize,
    threads: usize,
    spans: usize,
    marks: usize,
    types: HashMap<Cow<'static, str>, usize>,
    stacks: Stacks,
    /// A line and a thread that stand for those that are not known.
    has_unknown: [bool; 2],
}

/// Of lines and threads: those that are not known. The numbers in a file are below.
const UNKNOWN: u64 = u32::MAX as u64 + 1;

impl<W: Write> Lines<W> {
    pub(crate) fn new(out: W) -> Self {
        Self {
            out,
            has_begun: false,
            locations: 0,
            threads: 0,
            spans: 0,
            marks: 0,
            types: HashMap::new(),
            stacks: Stacks::default(),
            has_unknown: [false; 2],
        }
    }

    /// Writes the head, and what the tables have so far.
    pub(crate) fn begin(&mut self, tables: &Recording) -> io::Result<()> {
        if !self.has_begun {
            self.has_begun = true;
            self.out.write_all(head(tables).as_bytes())?;
        }
        let out = &mut self.out;
        for (number, location) in (1..).zip(tables.locations()).skip(self.locations) {
            let (file, line, column) = (Json(&location.file), location.line, location.column);
            writeln!(out, r#"{{"site":{number},"file":{file},"line":{line},"column":{column}}}"#)?;
        }
        for (number, name) in (1..).zip(tables.threads()).skip(self.threads) {
            writeln!(out, r#"{{"thread":{number},"name":{}}}"#, Json(name))?;
        }
        for (number, text) in (1..).zip(tables.spans()).skip(self.spans) {
            writeln!(out, r#"{{"span":{number},"text":{}}}"#, Json(text))?;
        }
        for mark in &tables.marks()[self.marks..] {
            writeln!(out, r#"{{"mark":{},"ns":{}}}"#, Json(&mark.name), mark.time.as_nanos())?;
        }
        self.marks = tables.marks().len();
        self.locations = tables.locations().len();
        self.threads = tables.threads().len();
        self.spans = tables.spans().len();
        Ok(())
    }

    pub(crate) fn object(
        &mut self,
        tables: &Recording,
        object: &ObjectRecord,
        earlier: Earlier,
    ) -> io::Result<()> {
        self.begin(tables)?;
        let next = self.types.len() + 1;
        let ty = *self.types.entry(object.type_name.clone()).or_insert(next);
        if ty == next {
            writeln!(self.out, r#"{{"type":{ty},"name":{}}}"#, Json(&object.type_name))?;
        }
        let (id, kind, size) = (object.id.number(), object.kind, object.size);
        let site = u64::from(object.location) + 1;
        if site == UNKNOWN && !std::mem::replace(&mut self.has_unknown[0], true) {
            writeln!(self.out, r#"{{"site":{site},"file":"?","line":0,"column":0}}"#)?;
        }
        let out = &mut self.out;
        write!(out, r#"{{"object":{id},"kind":"{kind}","type":{ty},"size":{size},"site":{site}"#)?;
        if earlier != Earlier::default() {
            let Earlier { events, highest, strong, weak } = earlier;
            write!(
                out,
                r#","earlier":{events},"highest":{highest},"strong":{strong},"weak":{weak}"#
            )?;
        }
        if let Some(label) = &object.label {
            write!(out, r#","label":{}"#, Json(label))?;
        }
        writeln!(out, "}}")
    }

    /// Writes an event; of one that gives a label, that may be with it.
    pub(crate) fn event(
        &mut self,
        tables: &Recording,
        event: &EventRecord,
        label: Option<&str>,
    ) -> io::Result<()> {
        self.begin(tables)?;
        let mut line = String::new();
        if let Some(stack) = event.stack {
            self.stacks.write_new(stack, &mut line);
        }
        let thread = u64::from(event.thread) + 1;
        if thread == UNKNOWN && !std::mem::replace(&mut self.has_unknown[1], true) {
            let _ = writeln!(line, r#"{{"thread":{thread},"name":"?"}}"#);
        }
        let _ = write!(
            line,
            r#"{{"event":"{}","o":{},"n":{},"h":{},"s":{},"t":{thread},"ns":{}"#,
            event.op,
            event.object().number(),
            event.seq,
            event.handle.number(),
            event.strong,
            event.time.as_nanos()
        );
        if let Some(from) = event.from {
            let _ = write!(line, r#","f":{}"#, from.number());
            if from.object() != event.object() {
                let _ = write!(line, r#","fo":{}"#, from.object().number());
            }
        }
        let numbers = [
            ("at", event.location.map(|at| at + 1)),
            ("k", event.stack.map(StackId::number)),
            ("sp", event.span.map(|span| span + 1)),
        ];
        for (key, number) in numbers {
            if let Some(number) = number {
                let _ = write!(line, r#","{key}":{number}"#);
            }
        }
        if let Some(label) = label {
            let _ = write!(line, r#","label":{}"#, Json(label));
        }
        writeln!(self.out, "{line}}}")
    }

    /// Writes what is known at the end.
    pub(crate) fn end(mut self, tables: &Recording) -> io::Result<()> {
        self.begin(tables)?;
        let out = &mut self.out;
        for (file, (length, hash)) in &tables.sources {
            let file = Json(file);
            writeln!(out, r#"{{"source":{file},"len":{length},"hash":"{hash:016x}"}}"#)?;
        }
        for (number, location) in (1..).zip(tables.locations()) {
            if let Some((from, text)) = tables.source_lines.around(location) {
                writeln!(out, r#"{{"lines":{number},"from":{from},"text":{}}}"#, Json(&text))?;
            }
        }
        if tables.lost() > 0 {
            writeln!(out, r#"{{"lost":{}}}"#, tables.lost())?;
        }
        if tables.end() == RecordingEnd::Exit {
            writeln!(out, r#"{{"end":"exit","ns":{}}}"#, tables.end_time().as_nanos())?;
        }
        out.flush()
    }
}

fn head(recording: &Recording) -> String {
    let origin = recording.origin().cloned().unwrap_or_default();
    let mut line = format!(r#"{{"refscope":1,"pid":{}"#, origin.pid);
    let texts = [
        ("program", &origin.program),
        ("dir", &origin.directory),
        ("host", &origin.host),
        ("build", &origin.build),
    ];
    for (key, text) in texts.into_iter().filter(|(_, text)| !text.is_empty()) {
        let _ = write!(line, r#","{key}":{}"#, Json(text));
    }
    let arguments: Vec<_> = origin.arguments.iter().map(|text| Json(text).to_string()).collect();
    let _ = write!(line, r#","args":[{}]"#, arguments.join(","));
    if origin.started != 0 {
        let _ = write!(line, r#","started":{}"#, origin.started);
    }
    line + "}\n"
}

/// Stacks that have been written, and the numbers of their modules.
#[derive(Default)]
struct Stacks {
    written: HashSet<StackId>,
    modules: BTreeMap<(String, Option<String>), usize>,
}

impl Stacks {
    fn write_new(&mut self, stack: StackId, lines: &mut String) {
        if !self.written.insert(stack) {
            return;
        }
        let mut frames = Vec::new();
        for (module, offset) in stack::frames_in_modules(stack) {
            let Some((path, build)) = module else {
                frames.push(format!("[0,{offset}]"));
                continue;
            };
            let next = self.modules.len() + 1;
            let key = (path, build);
            let number = *self.modules.entry(key.clone()).or_insert(next);
            if number == next {
                let _ = write!(lines, r#"{{"module":{number},"path":{}"#, Json(&key.0));
                if let Some(build) = &key.1 {
                    let _ = write!(lines, r#","build":{}"#, Json(build));
                }
                lines.push_str("}\n");
            }
            frames.push(format!("[{number},{offset}]"));
        }
        let frames = frames.join(",");
        let _ = writeln!(lines, r#"{{"stack":{},"frames":[{frames}]}}"#, stack.number());
    }
}
