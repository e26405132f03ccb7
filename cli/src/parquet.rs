//! `refscope export --format parquet`: tables for DuckDB, DataFusion, Spark and their like. `docs/parquet.md` has the columns.
//!
//! ```text
//!  FOLDER/objects/process=shop1-4711-1764000000000/part-0.parquet
//!         ───┬───         ────────────┬───────────
//!          table         host, process id, start in milliseconds since 1970
//! ```
//!
//! One pass writes them, in memory for what is alive at once and for the rows of a group.

mod table;

use self::table::{Cell, Field, Holds, Table, field, maybe, remove_parts};
use crate::Failed;
use crate::arguments::Filter;
use crate::input::Input;
use refscope::__private::report_of_living;
use refscope::analysis::{History, LeakReport, Lifeline};
use refscope::event::Time;
use refscope::model::{EventRecord, LiveObject, Location, ObjectRecord, RecordingEnd};
use refscope::{ObjectId, Recording, Strength};
use std::collections::HashMap;
use std::io;
use std::path::{Path, PathBuf};

const PROCESSES: [Field; 10] = [
    field("recording", Holds::Text),
    maybe("pid", Holds::Int),
    maybe("host", Holds::Text),
    maybe("program", Holds::Text),
    maybe("arguments", Holds::Text),
    maybe("build", Holds::Text),
    maybe("started", Holds::Moment),
    field("lasted_ns", Holds::Int),
    field("ended", Holds::Text),
    field("lost", Holds::Int),
];

const OBJECTS: [Field; 19] = [
    maybe("host", Holds::Text),
    maybe("program", Holds::Text),
    maybe("build", Holds::Text),
    field("object", Holds::Rising),
    field("kind", Holds::Text),
    field("type", Holds::Text),
    field("size", Holds::Int),
    field("file", Holds::Text),
    field("line", Holds::Int),
    field("column", Holds::Int),
    maybe("thread", Holds::Text),
    maybe("label", Holds::Text),
    maybe("created", Holds::Moment),
    maybe("created_ns", Holds::Rising),
    maybe("ended_ns", Holds::Rising),
    field("alive", Holds::Bool),
    field("strong", Holds::Int),
    field("events", Holds::Int),
    field("earlier", Holds::Int),
];

const HANDLES: [Field; 19] = [
    field("object", Holds::Rising),
    field("handle", Holds::Rising),
    field("strength", Holds::Text),
    field("op", Holds::Text),
    maybe("from_object", Holds::Rising),
    maybe("from_handle", Holds::Rising),
    maybe("file", Holds::Text),
    maybe("line", Holds::Int),
    maybe("column", Holds::Int),
    field("thread", Holds::Text),
    maybe("created", Holds::Moment),
    field("created_ns", Holds::Rising),
    field("alive", Holds::Bool),
    maybe("raw", Holds::Text),
    maybe("ended_by", Holds::Text),
    maybe("ended_file", Holds::Text),
    maybe("ended_line", Holds::Int),
    maybe("ended_thread", Holds::Text),
    maybe("ended_ns", Holds::Rising),
];

const EVENTS: [Field; 14] = [
    field("object", Holds::Rising),
    field("seq", Holds::Rising),
    field("op", Holds::Text),
    field("handle", Holds::Rising),
    maybe("from_object", Holds::Rising),
    maybe("from_handle", Holds::Rising),
    field("strong", Holds::Rising),
    maybe("file", Holds::Text),
    maybe("line", Holds::Int),
    maybe("column", Holds::Int),
    field("thread", Holds::Text),
    maybe("time", Holds::Moment),
    field("time_ns", Holds::Rising),
    maybe("span", Holds::Text),
];

const FINDINGS: [Field; 17] = [
    maybe("host", Holds::Text),
    maybe("program", Holds::Text),
    maybe("build", Holds::Text),
    field("fingerprint", Holds::Text),
    maybe("op", Holds::Text),
    maybe("file", Holds::Text),
    maybe("line", Holds::Int),
    maybe("column", Holds::Int),
    field("strength", Holds::Text),
    field("raw", Holds::Bool),
    field("type", Holds::Text),
    field("objects", Holds::Int),
    field("bytes", Holds::Int),
    field("handles", Holds::Int),
    field("oldest_ns", Holds::Int),
    field("example", Holds::Int),
    field("help", Holds::Text),
];

/// The tables, and their columns.
const TABLES: [(&str, &[Field]); 5] = [
    ("processes", &PROCESSES),
    ("objects", &OBJECTS),
    ("handles", &HANDLES),
    ("events", &EVENTS),
    ("findings", &FINDINGS),
];

/// Writes the tables of some recordings into a folder.
pub(crate) fn export(inputs: &[Input], filter: &Filter, folder: &Path) -> Result<(), Failed> {
    // Of one process there may be several recordings.
    let mut parts = Parts::new();
    for input in inputs {
        write(input, filter, folder, &mut parts)?;
    }
    for (process, parts) in &parts {
        for ((name, _), part) in TABLES.iter().zip(parts) {
            remove_parts(&partition(folder, name, process), *part)?;
        }
    }
    Ok(())
}

/// Of each process the numbers of its tables' next parts.
type Parts = HashMap<String, [usize; TABLES.len()]>;

fn partition(folder: &Path, table: &str, process: &str) -> PathBuf {
    folder.join(table).join(format!("process={process}"))
}

/// What tells a process from all others, as a name of a folder.
fn process_of(recording: &Recording, path: &Path) -> String {
    let text = match recording.origin().filter(|origin| origin.started > 0) {
        Some(origin) => format!("{}-{}-{}", origin.host, origin.pid, origin.started),
        None => format!("unknown-{}", path.display()),
    };
    let plain = |c: char| if c.is_ascii_alphanumeric() || "._-".contains(c) { c } else { '_' };
    text.chars().map(plain).collect()
}

/// What is known of an object until it is over.
struct Open {
    thread: Option<u32>,
    created: Option<Time>,
    last: Option<Time>,
    earlier: u64,
}

struct Tables {
    process: String,
    processes: Table,
    objects: Table,
    handles: Table,
    events: Table,
    findings: Table,
    open: HashMap<ObjectId, Open>,
}

fn write(input: &Input, filter: &Filter, folder: &Path, parts: &mut Parts) -> Result<(), Failed> {
    // The recording's head says which process it is of.
    let mut begun: Option<Tables> = None;
    let wanted = crate::export::wanted(input, filter)?;
    let done = input.file().histories(wanted, |recording, object, step| {
        let tables = match &mut begun {
            Some(tables) => tables,
            none => none.insert(Tables::begin(recording, input, folder, parts)?),
        };
        tables.step(recording, object, step)
    });
    let (recording, mut living) = input.written(done)?;
    input.warn_of_damage(&recording);
    filter.living(&mut living);
    let done = match begun {
        Some(tables) => Ok(tables),
        None => Tables::begin(&recording, input, folder, parts),
    };
    input.written(done.and_then(|tables| tables.finish(input, &recording, living, parts)))
}

impl Tables {
    fn begin(
        recording: &Recording,
        input: &Input,
        folder: &Path,
        parts: &mut Parts,
    ) -> io::Result<Self> {
        let process = process_of(recording, input.path());
        let parts = parts.entry(process.clone()).or_default();
        let begin = |table: usize| {
            let (name, fields) = TABLES[table];
            Table::new(partition(folder, name, &process), name, fields, parts[table])
        };
        Ok(Self {
            processes: begin(0)?,
            objects: begin(1)?,
            handles: begin(2)?,
            events: begin(3)?,
            findings: begin(4)?,
            open: HashMap::new(),
            process,
        })
    }

    fn finish(
        mut self,
        input: &Input,
        recording: &Recording,
        living: Vec<LiveObject>,
        parts: &mut Parts,
    ) -> io::Result<()> {
        process_row(&mut self.processes, input, recording)?;
        let report = report_of_living(recording, living);
        finding_rows(&mut self.findings, recording, &report)?;
        let ended = [
            self.processes.finish()?,
            self.objects.finish()?,
            self.handles.finish()?,
            self.events.finish()?,
            self.findings.finish()?,
        ];
        parts.insert(self.process, ended);
        Ok(())
    }
}

impl Tables {
    fn step(
        &mut self,
        recording: &Recording,
        object: &ObjectRecord,
        step: History<'_>,
    ) -> io::Result<()> {
        match step {
            History::Object { earlier, .. } => {
                let open = Open { thread: None, created: None, last: None, earlier };
                self.open.insert(object.id, open);
                Ok(())
            }
            History::Event(event) => {
                if let Some(open) = self.open.get_mut(&object.id) {
                    if event.seq == 1 {
                        (open.thread, open.created) = (Some(event.thread), Some(event.time));
                    }
                    open.last = Some(event.time);
                }
                self.event(recording, event)
            }
            History::Handle(line) => self.handle(recording, line),
            History::Over { events, strong, .. } => {
                let open = self.open.remove(&object.id);
                open.map_or(Ok(()), |open| self.object(recording, object, &open, (events, strong)))
            }
            _ => Ok(()),
        }
    }

    fn object(
        &mut self,
        recording: &Recording,
        object: &ObjectRecord,
        open: &Open,
        (events, strong): (u64, u32),
    ) -> io::Result<()> {
        let location = line_of(recording, Some(object.location));
        let is_alive = strong > 0;
        let [host, program, build] = place(recording);
        self.objects.row([
            host.into(),
            program.into(),
            build.into(),
            object.id.number().into(),
            object.kind.name().into(),
            (&*object.type_name).into(),
            object.size.into(),
            location.map_or("?", |location| &location.file).into(),
            location.map_or(0, |location| location.line).into(),
            location.map_or(0, |location| location.column).into(),
            open.thread.map(|number| thread(recording, number)).into(),
            object.label.as_deref().into(),
            open.created.map_or(Cell::Null, |time| moment(recording, time)),
            nanos(open.created),
            nanos(open.last.filter(|_| !is_alive)),
            is_alive.into(),
            strong.into(),
            events.into(),
            open.earlier.into(),
        ])
    }

    fn handle(&mut self, recording: &Recording, line: &Lifeline) -> io::Result<()> {
        let made = line_of(recording, line.location);
        let end = line.end;
        let ended = line_of(recording, end.and_then(|end| end.location));
        self.handles.row([
            line.handle.object().number().into(),
            line.handle.number().into(),
            strength(line.strength).into(),
            line.op.name().into(),
            line.from.map(|from| from.object().number()).into(),
            line.from.map(|from| from.number()).into(),
            made.map(|location| &*location.file).into(),
            made.map(|location| location.line).into(),
            made.map(|location| location.column).into(),
            thread(recording, line.thread).into(),
            moment(recording, line.created),
            nanos(Some(line.created)),
            line.is_alive().into(),
            line.raw.map(|op| op.name()).into(),
            end.map(|end| end.op.name()).into(),
            ended.map(|location| &*location.file).into(),
            ended.map(|location| location.line).into(),
            end.map(|end| thread(recording, end.thread)).into(),
            nanos(end.map(|end| end.time)),
        ])
    }

    fn event(&mut self, recording: &Recording, event: &EventRecord) -> io::Result<()> {
        let location = line_of(recording, event.location);
        let span = event.span.and_then(|span| recording.spans().get(span as usize));
        self.events.row([
            event.object().number().into(),
            event.seq.into(),
            event.op.name().into(),
            event.handle.number().into(),
            event.from.map(|from| from.object().number()).into(),
            event.from.map(|from| from.number()).into(),
            event.strong.into(),
            location.map(|location| &*location.file).into(),
            location.map(|location| location.line).into(),
            location.map(|location| location.column).into(),
            thread(recording, event.thread).into(),
            moment(recording, event.time),
            nanos(Some(event.time)),
            span.map(|text| &**text).into(),
        ])
    }
}

fn process_row(table: &mut Table, input: &Input, recording: &Recording) -> io::Result<()> {
    let (origin, [host, program, build]) = (recording.origin(), place(recording));
    let arguments = origin.map(|origin| origin.arguments.join(" "));
    let ended = match recording.end() {
        RecordingEnd::Exit => "exit",
        RecordingEnd::Running => "running",
        _ => "stopped",
    };
    table.row([
        (&*input.path().to_string_lossy()).into(),
        origin.map(|origin| origin.pid).into(),
        host.into(),
        program.into(),
        arguments.as_deref().into(),
        build.into(),
        moment(recording, Time::START),
        recording.end_time().as_nanos().into(),
        ended.into(),
        recording.lost().into(),
    ])
}

/// Host, program and build, as far as they are known.
fn place(recording: &Recording) -> [Option<&str>; 3] {
    let Some(origin) = recording.origin() else { return [None; 3] };
    [&origin.host, &origin.program, &origin.build]
        .map(|text| Some(text.as_str()).filter(|text| !text.is_empty()))
}

fn finding_rows(table: &mut Table, recording: &Recording, report: &LeakReport) -> io::Result<()> {
    let [host, program, build] = place(recording);
    for leak in report.leaks() {
        let (cause, example) = (&leak.cause, leak.example());
        let location = cause.location.as_ref();
        let fingerprint = format!("{:016x}", leak.fingerprint);
        let kind = format!("{}<{}>", example.kind, example.type_name);
        let handles: u64 = leak.handles.iter().map(|group| group.count).sum();
        table.row([
            host.into(),
            program.into(),
            build.into(),
            (&*fingerprint).into(),
            cause.op.map(|op| op.name()).into(),
            location.map(|location| &*location.file).into(),
            location.map(|location| location.line).into(),
            location.map(|location| location.column).into(),
            strength(cause.strength).into(),
            cause.raw.into(),
            (&*kind).into(),
            leak.count().into(),
            leak.bytes().into(),
            handles.into(),
            u64::try_from(leak.age.as_nanos()).unwrap_or(u64::MAX).into(),
            example.id.number().into(),
            (&*leak.help.to_string()).into(),
        ])?;
    }
    Ok(())
}

fn strength(strength: Strength) -> &'static str {
    match strength {
        Strength::Strong => "strong",
        _ => "weak",
    }
}

fn line_of(recording: &Recording, index: Option<u32>) -> Option<&Location> {
    recording.locations().get(index? as usize)
}

fn thread(recording: &Recording, number: u32) -> &str {
    recording.threads().get(number as usize).map_or("?", |name| name)
}

fn nanos<'a>(time: Option<Time>) -> Cell<'a> {
    time.map(|time| time.as_nanos()).into()
}

/// A time of a recording as one of the world's, where it is known when the recording began.
fn moment<'a>(recording: &Recording, time: Time) -> Cell<'a> {
    match recording.origin() {
        Some(origin) if origin.started > 0 => {
            origin.started.saturating_mul(1000).saturating_add(time.as_nanos() / 1000).into()
        }
        _ => Cell::Null,
    }
}
