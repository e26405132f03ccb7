use super::json::Json;
use crate::model::{Recording, RecordingEnd};
use crate::stack::{self, StackId};
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
    out.write_all(head(recording).as_bytes())?;
    for (number, location) in (1..).zip(recording.locations()) {
        let (file, line, column) = (Json(&location.file), location.line, location.column);
        writeln!(out, r#"{{"site":{number},"file":{file},"line":{line},"column":{column}}}"#)?;
    }
    for (number, name) in (1..).zip(recording.threads()) {
        writeln!(out, r#"{{"thread":{number},"name":{}}}"#, Json(name))?;
    }
    for (number, text) in (1..).zip(recording.spans()) {
        writeln!(out, r#"{{"span":{number},"text":{}}}"#, Json(text))?;
    }
    for (file, (length, hash)) in &recording.sources {
        let file = Json(file);
        writeln!(out, r#"{{"source":{file},"len":{length},"hash":"{hash:016x}"}}"#)?;
    }
    for (number, location) in (1..).zip(recording.locations()) {
        if let Some((from, text)) = recording.source_lines.around(location) {
            writeln!(out, r#"{{"lines":{number},"from":{from},"text":{}}}"#, Json(&text))?;
        }
    }
    let mut types = HashMap::new();
    for object in recording.objects().values() {
        let next = types.len() + 1;
        let ty = *types.entry(&*object.type_name).or_insert(next);
        if ty == next {
            writeln!(out, r#"{{"type":{ty},"name":{}}}"#, Json(&object.type_name))?;
        }
        let (id, kind, size, site) =
            (object.id.number(), object.kind, object.size, object.location + 1);
        write!(out, r#"{{"object":{id},"kind":"{kind}","type":{ty},"size":{size},"site":{site}"#)?;
        if let Some(earlier) = recording.earlier.get(&object.id) {
            let (events, highest) = (earlier.events, earlier.highest);
            let (strong, weak) = (earlier.strong, earlier.weak);
            write!(
                out,
                r#","earlier":{events},"highest":{highest},"strong":{strong},"weak":{weak}"#
            )?;
        }
        if let Some(label) = &object.label {
            write!(out, r#","label":{}"#, Json(label))?;
        }
        writeln!(out, "}}")?;
    }
    let mut stacks = Stacks::default();
    for event in recording.events() {
        let mut line = String::new();
        if let Some(stack) = event.stack {
            stacks.tell(stack, &mut line);
        }
        let _ = write!(
            line,
            r#"{{"event":"{}","o":{},"n":{},"h":{},"s":{},"t":{},"ns":{}"#,
            event.op,
            event.object().number(),
            event.seq,
            event.handle.number(),
            event.strong,
            event.thread + 1,
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
        writeln!(out, "{line}}}")?;
    }
    for mark in recording.marks() {
        writeln!(out, r#"{{"mark":{},"ns":{}}}"#, Json(&mark.name), mark.time.as_nanos())?;
    }
    if recording.lost() > 0 {
        writeln!(out, r#"{{"lost":{}}}"#, recording.lost())?;
    }
    if recording.ended() == RecordingEnd::Exit {
        writeln!(out, r#"{{"end":"exit","ns":{}}}"#, recording.end().as_nanos())?;
    }
    Ok(())
}

fn head(recording: &Recording) -> String {
    let origin = recording.origin().cloned().unwrap_or_default();
    let mut line = format!(r#"{{"refscope":1,"pid":{}"#, origin.pid);
    let texts = [("program", &origin.program), ("dir", &origin.directory), ("host", &origin.host)];
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
    told: HashSet<StackId>,
    modules: BTreeMap<(String, Option<String>), usize>,
}

impl Stacks {
    fn tell(&mut self, stack: StackId, lines: &mut String) {
        if !self.told.insert(stack) {
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
