//! Reads what [`FileSink`](crate::sink::FileSink) wrote.

use super::{Earlier, EventInfo, ObjectInfo, Place, Recording};
use crate::analysis::{Fold, Living};
use crate::event::{Kind, Op, Time};
use serde::Deserialize;
use std::collections::HashMap;
use std::fmt;
use std::io::{self, BufRead};

/// The version of the format that this reads.
const VERSION: u64 = 1;

/// A line: the keys say which kind it is.
#[derive(Deserialize)]
#[serde(untagged)]
enum Line {
    Event {
        event: String,
        o: u64,
        n: u64,
        h: u64,
        s: u32,
        t: u64,
        ns: u64,
        f: Option<u64>,
        fo: Option<u64>,
        at: Option<u64>,
        label: Option<String>,
    },
    Object {
        object: u64,
        kind: String,
        r#type: u64,
        size: u64,
        site: u64,
        #[serde(default)]
        earlier: u64,
        #[serde(default)]
        weak: i64,
        label: Option<String>,
    },
    Site {
        site: u64,
        file: String,
        line: u32,
        column: u32,
    },
    Type {
        r#type: u64,
        name: String,
    },
    Thread {
        thread: u64,
        name: String,
    },
    Head {
        refscope: u64,
    },
    /// What a later refscope may write besides: it is passed over.
    Other(serde_json::Map<String, serde_json::Value>),
}

/// Why a recording cannot be read.
#[derive(Debug)]
pub struct ReadError {
    line: u64,
    what: What,
}

#[derive(Debug)]
enum What {
    Io(io::Error),
    NoRecording,
    Version(u64),
    Json(serde_json::Error),
    Unknown(&'static str, String),
    Malformed(&'static str),
}

impl ReadError {
    /// The line at fault, from 1.
    pub fn line(&self) -> u64 {
        self.line
    }
}

impl fmt::Display for ReadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {}: ", self.line)?;
        match &self.what {
            What::Io(error) => write!(f, "{error}"),
            What::NoRecording => write!(
                f,
                "this is no recording of refscope's: it does not begin with {{\"refscope\":{VERSION},…}}"
            ),
            What::Version(version) => write!(
                f,
                "the recording is of version {version}, and this refscope reads version {VERSION}: read it with \
                 the refscope that wrote it, or a newer one"
            ),
            What::Json(error) => write!(f, "{error}"),
            What::Malformed(kind) => {
                write!(f, "a line of kind {kind:?} lacks a key, or has one of another type")
            }
            What::Unknown(what, which) => {
                write!(f, "{what} {which} is not known here: lines before this one are missing")
            }
        }
    }
}

impl std::error::Error for ReadError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match &self.what {
            What::Io(error) => Some(error),
            What::Json(error) => Some(error),
            _ => None,
        }
    }
}

impl Recording {
    /// Reads a recording that [`FileSink`](crate::sink::FileSink) wrote, to its last whole line.
    ///
    /// A last line that was cut off, because the process was killed while it wrote, is left out, and
    /// [`truncated`](Self::truncated) says so.
    ///
    /// # Errors
    ///
    /// When the input cannot be read, is no recording, is one of a newer version, or has a whole line that
    /// is not as it should be. The error names the line.
    ///
    /// # Examples
    ///
    /// ```
    /// use refscope::Recording;
    ///
    /// let text = r#"{"refscope":1,"pid":7}
    /// {"thread":1,"name":"main"}
    /// {"site":1,"file":"src/main.rs","line":3,"column":15}
    /// {"type":1,"name":"i32"}
    /// {"object":1,"kind":"Rc","type":1,"size":4,"site":1}
    /// {"event":"new","o":1,"n":1,"h":1,"s":1,"t":1,"ns":10,"at":1}
    /// {"event":"drop","o":1,"n":2,"h":1,"s":0,"t":1,"n"#;
    /// let recording = Recording::read(text.as_bytes())?;
    /// assert_eq!(recording.events().len(), 1);
    /// assert!(recording.truncated());
    /// # Ok::<(), refscope::recording::ReadError>(())
    /// ```
    pub fn read(input: impl BufRead) -> Result<Self, ReadError> {
        let mut recording = Self::default();
        let mut events = Vec::new();
        let told = read_lines(input, &mut recording, |recording, item| match item {
            // Told of again by a later part: what the earlier one has is more.
            Item::Object(info, earlier) if !recording.objects.contains_key(&info.id) => {
                if earlier.events > 0 {
                    recording.earlier.insert(info.id, earlier);
                }
                recording.objects.insert(info.id, info);
            }
            Item::Object(..) => {}
            Item::Event(event) => events.push(event),
            Item::Label(object, label) => {
                if let Some(object) = recording.objects.get_mut(&object) {
                    object.label = Some(label);
                }
            }
        });
        told?;
        recording.events = events;
        recording.sort();
        Ok(recording)
    }

    /// Reads a recording for what was alive at its end, in memory that is bounded by what is alive, and not by the
    /// recording's length.
    ///
    /// The recording that it gives has the tables, and no events.
    ///
    /// # Errors
    ///
    /// As [`read`](Self::read).
    pub fn read_living(input: impl BufRead) -> Result<(Self, Vec<Living>), ReadError> {
        let mut recording = Self::default();
        let mut fold = Fold::new();
        read_lines(input, &mut recording, |_, item| match item {
            Item::Object(info, earlier) => fold.object(info, earlier.events, earlier.weak),
            Item::Event(event) => fold.event(event),
            Item::Label(object, label) => fold.label(object, &label),
        })?;
        let living = fold.living(&recording.places, &recording.threads);
        Ok((recording, living))
    }
}

/// What a line tells, beside what goes into the tables.
enum Item {
    Object(ObjectInfo, Earlier),
    Event(EventInfo),
    Label(u64, String),
}

fn read_lines(
    mut input: impl BufRead,
    recording: &mut Recording,
    mut take: impl FnMut(&mut Recording, Item),
) -> Result<(), ReadError> {
    let mut reader = Reader::default();
    let mut text = Vec::new();
    for number in 1.. {
        text.clear();
        let at = |what| ReadError { line: number, what };
        if input.read_until(b'\n', &mut text).map_err(|error| at(What::Io(error)))? == 0 {
            if number == 1 {
                return Err(at(What::NoRecording));
            }
            break;
        }
        match serde_json::from_slice(&text) {
            Ok(Line::Head { refscope: VERSION }) => reader = Reader::default(),
            Ok(Line::Head { refscope: version }) => return Err(at(What::Version(version))),
            _ if number == 1 => return Err(at(What::NoRecording)),
            Ok(line) => reader.line(recording, line, &mut take).map_err(at)?,
            Err(_) if !text.ends_with(b"\n") => recording.truncated = true,
            Err(error) => return Err(at(What::Json(error))),
        }
    }
    Ok(())
}

#[derive(Default)]
struct Reader {
    types: HashMap<u64, String>,
    sites: HashMap<u64, u32>,
    threads: HashMap<u64, u32>,
}

impl Reader {
    fn line(
        &mut self,
        recording: &mut Recording,
        line: Line,
        take: &mut impl FnMut(&mut Recording, Item),
    ) -> Result<(), What> {
        let site = |number: u64| {
            let known = self.sites.get(&number).copied();
            known.ok_or_else(|| What::Unknown("site", number.to_string()))
        };
        match line {
            Line::Type { r#type, name } => {
                self.types.insert(r#type, name);
            }
            Line::Site { site, file, line, column } => {
                self.sites.insert(site, recording.places.len() as u32);
                recording.places.push(Place::new(file, line, column));
            }
            Line::Thread { thread, name } => {
                self.threads.insert(thread, recording.threads.len() as u32);
                recording.threads.push(name);
            }
            Line::Object { object: id, kind, r#type, size, site: born, earlier, weak, label } => {
                let name = self.types.get(&r#type);
                let name = name.ok_or_else(|| What::Unknown("type", r#type.to_string()))?;
                let info = ObjectInfo {
                    id,
                    kind: Kind::from_name(&kind).ok_or(What::Unknown("pointer kind", kind))?,
                    type_name: name.clone().into(),
                    size,
                    born: site(born)?,
                    label,
                };
                take(recording, Item::Object(info, Earlier { events: earlier, weak }));
            }
            Line::Event { event, o, n, h, s, t, ns, f, fo, at, label } => {
                let thread = self.threads.get(&t).copied();
                let time = Time::from_nanos(ns);
                let event = EventInfo {
                    op: Op::from_name(&event).ok_or(What::Unknown("operation", event))?,
                    object: o,
                    handle: h,
                    from: f.map(|number| (fo.unwrap_or(o), number)),
                    seq: n,
                    strong: s,
                    place: at.map(site).transpose()?,
                    thread: thread.ok_or_else(|| What::Unknown("thread", t.to_string()))?,
                    time,
                };
                take(recording, Item::Event(event));
                recording.end = recording.end.max(time);
                if let Some(label) = label {
                    take(recording, Item::Label(o, label));
                }
            }
            Line::Other(keys) => {
                let known = ["event", "object", "site", "type", "thread"];
                if let Some(kind) = known.into_iter().find(|kind| keys.contains_key(*kind)) {
                    return Err(What::Malformed(kind));
                }
            }
            Line::Head { .. } => {}
        }
        Ok(())
    }
}
