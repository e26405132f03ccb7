use super::safe_json;
use crate::analysis::Timelines;
use crate::event::{Strength, Time};
use serde::{Serialize, Serializer};
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
    writeln!(out, "{{\"traceEvents\":[")?;
    let name = Name { name: "refscope" };
    safe_json::write(&mut *out, &Event::new("M", "process_name", None, name))?;
    let mut write = |event: &dyn Fn(&mut dyn Write) -> io::Result<()>| {
        out.write_all(b",\n")?;
        event(&mut *out)
    };
    for (number, name) in recording.threads().iter().enumerate() {
        let event = Event {
            tid: Some(number as u64 + 1),
            ..Event::new("M", "thread_name", None, Name { name })
        };
        write(&|out| safe_json::write(out, &event))?;
    }
    for object in timelines {
        let info = object.object;
        let name =
            format!("{} {}<{}>", info.id, info.kind, crate::event::short_type(&info.type_name));
        for point in &object.points {
            let counts = Counts { strong: point.strong, weak: point.weak };
            let event = Event::new("C", &name, Some(point.time), counts);
            write(&|out| safe_json::write(out, &event))?;
        }
        for line in &object.lifelines {
            let location = line.location.map(|index| &recording.locations()[index as usize]);
            let what = match location {
                Some(location) => format!("{} {location}", line.op),
                None => line.op.to_string(),
            };
            let id = |object: u64, handle: u64| format!("{object}.{handle}");
            // A slice begins and ends under one category, id and name.
            let slice = Slice { cat: &name, id: id(info.id.number(), line.handle.number()) };
            let begin = Begin {
                handle: line.handle.number(),
                strength: line.strength,
                from: line.from.map(|from| id(from.object().number(), from.number())),
            };
            let event = Event {
                tid: Some(u64::from(line.thread) + 1),
                slice: Some(&slice),
                ..Event::new("b", &what, Some(line.created), begin)
            };
            write(&|out| safe_json::write(out, &event))?;
            let (thread, time, end) = match &line.end {
                Some(end) => (end.thread, end.time, end.op.name()),
                None => (line.thread, recording.end().max(line.created), "alive"),
            };
            let event = Event {
                tid: Some(u64::from(thread) + 1),
                slice: Some(&slice),
                ..Event::new("e", &what, Some(time), End { end })
            };
            write(&|out| safe_json::write(out, &event))?;
        }
    }
    writeln!(out, "\n],\"displayTimeUnit\":\"ns\"}}")
}

/// An event in Chrome's format.
#[derive(Serialize)]
struct Event<'a, A> {
    ph: &'static str,
    pid: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    tid: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none", serialize_with = "micros")]
    ts: Option<Time>,
    #[serde(flatten)]
    slice: Option<&'a Slice<'a>>,
    name: &'a str,
    args: A,
}

impl<'a, A> Event<'a, A> {
    fn new(ph: &'static str, name: &'a str, ts: Option<Time>, args: A) -> Self {
        Self { ph, pid: 1, tid: None, ts, slice: None, name, args }
    }
}

/// What the beginning and the end of a slice have in common.
#[derive(Serialize)]
struct Slice<'a> {
    cat: &'a str,
    id: String,
}

#[derive(Serialize)]
struct Name<'a> {
    name: &'a str,
}

#[derive(Serialize)]
struct Counts {
    strong: u32,
    weak: u32,
}

#[derive(Serialize)]
struct Begin {
    handle: u64,
    strength: Strength,
    from: Option<String>,
}

#[derive(Serialize)]
struct End {
    end: &'static str,
}

/// Microseconds, as the format wants them. They are exact to the nanosecond for a hundred days.
fn micros<S: Serializer>(time: &Option<Time>, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_f64(time.unwrap_or_default().as_nanos() as f64 / 1000.0)
}
