use super::json::Json;
use crate::analysis::Timelines;
use std::io::{self, Write};

/// Writes timelines as a trace in Chrome's JSON format, which Perfetto and `chrome://tracing` open: handles as async
/// slices by id (they overlap and change threads), strong and weak as counters of each object, threads by name.
///
/// It writes object by object, and keeps nothing.
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
/// let recording = recorder.recording();
/// let mut trace = Vec::new();
/// render::perfetto(&recording.timelines(), &mut trace)?;
/// assert!(trace.starts_with(b"{\"traceEvents\":["));
/// # Ok::<(), std::io::Error>(())
/// ```
pub fn perfetto(timelines: &Timelines<'_>, out: &mut impl Write) -> io::Result<()> {
    let recording = timelines.recording();
    let micros = |time: crate::event::Time| {
        let nanos = time.as_nanos();
        format!("{}.{:03}", nanos / 1000, nanos % 1000)
    };
    writeln!(out, "{{\"traceEvents\":[")?;
    write!(
        out,
        r#"{{"ph":"M","pid":1,"tid":0,"name":"process_name","args":{{"name":"refscope"}}}}"#
    )?;
    for (number, name) in recording.threads().iter().enumerate() {
        write!(
            out,
            ",\n{{\"ph\":\"M\",\"pid\":1,\"tid\":{},\"name\":\"thread_name\",\"args\":{{\"name\":{}}}}}",
            number + 1,
            Json(name)
        )?;
    }
    for object in timelines {
        let info = object.object;
        let name =
            format!("{} {}<{}>", info.id, info.kind, crate::event::short_type(&info.type_name));
        for point in &object.points {
            write!(
                out,
                ",\n{{\"ph\":\"C\",\"pid\":1,\"ts\":{},\"name\":{},\"args\":{{\"strong\":{},\"weak\":{}}}}}",
                micros(point.time),
                Json(&name),
                point.strong,
                point.weak
            )?;
        }
        for line in &object.lifelines {
            let location =
                line.location.map(|index| recording.locations()[index as usize].to_string());
            let what = format!("{} {}", line.op, location.as_deref().unwrap_or(""));
            // A slice begins and ends under one category, id and name.
            let common = format!(
                "\"cat\":{},\"id\":\"{}.{}\",\"pid\":1,\"name\":{}",
                Json(&name),
                info.id.number(),
                line.handle.number(),
                Json(what.trim_end())
            );
            write!(
                out,
                ",\n{{\"ph\":\"b\",{common},\"tid\":{},\"ts\":{},\"args\":{{\"handle\":{},\"strength\":\"{}\",\"from\":{}}}}}",
                line.thread + 1,
                micros(line.created),
                line.handle.number(),
                line.strength,
                line.from.map_or_else(
                    || "null".to_owned(),
                    |from| format!("\"{}.{}\"", from.object().number(), from.number())
                )
            )?;
            let (thread, time, fate) = match &line.end {
                Some(end) => (end.thread, end.time, end.op.name()),
                None => (line.thread, recording.end().max(line.created), "alive"),
            };
            write!(
                out,
                ",\n{{\"ph\":\"e\",{common},\"tid\":{},\"ts\":{},\"args\":{{\"end\":\"{fate}\"}}}}",
                thread + 1,
                micros(time)
            )?;
        }
    }
    writeln!(out, "\n],\"displayTimeUnit\":\"ns\"}}")
}
