//! JSON Lines, as [`FileSink`](crate::sink::FileSink) writes them: a line that is not as it should be is left out and reported.

use super::super::{Earlier, EventRecord, Mark, ObjectRecord, Origin, Recording, RecordingEnd};
use super::parts::report_progress;
use super::{Item, ReadError, What, damaged};
use crate::event::{HandleId, Kind, Location, ObjectId, Op, Time};
use crate::model::by_number::ByNumber;
use crate::stack::{self, StackId, StoredModule};
use serde::Deserialize;
use std::collections::HashMap;
use std::fmt;
use std::io::{self, BufRead, Read as _};
use std::sync::Arc;

/// The version of the format that this reads.
pub(super) const VERSION: u64 = 1;

/// Lines after which it is reported how far the file has been read.
const STEP: u64 = 1 << 14;

/// Longer lines are damage: the longest that is written holds a type's name.
const LONGEST_LINE: usize = 1 << 20;

/// Frames of a stack that are kept, the innermost: some more than are written. What shows stacks as trees goes as deep.
pub(super) const MAX_FRAMES: usize = 256;

/// All keys of all lines; which are there says what the line is. (An untagged enum would read each line into
/// an intermediate tree, at several times the cost.)
#[derive(Deserialize)]
struct Line<'a> {
    refscope: Option<u64>,
    pid: Option<u64>,
    program: Option<String>,
    args: Option<Vec<String>>,
    dir: Option<String>,
    host: Option<String>,
    started: Option<u64>,
    mark: Option<String>,
    source: Option<String>,
    lines: Option<u64>,
    from: Option<u32>,
    len: Option<u64>,
    hash: Option<&'a str>,
    end: Option<&'a str>,
    event: Option<&'a str>,
    object: Option<u64>,
    site: Option<u64>,
    r#type: Option<u64>,
    thread: Option<u64>,
    module: Option<u64>,
    path: Option<String>,
    build: Option<String>,
    stack: Option<u64>,
    frames: Option<Vec<(u64, u64)>>,
    k: Option<u64>,
    span: Option<u64>,
    text: Option<String>,
    sp: Option<u64>,
    lost: Option<u64>,
    o: Option<u64>,
    n: Option<u64>,
    h: Option<u64>,
    s: Option<u32>,
    t: Option<u64>,
    ns: Option<u64>,
    f: Option<u64>,
    fo: Option<u64>,
    at: Option<u64>,
    kind: Option<&'a str>,
    size: Option<u64>,
    name: Option<String>,
    file: Option<String>,
    line: Option<u32>,
    column: Option<u32>,
    label: Option<String>,
    #[serde(default)]
    earlier: u64,
    highest: Option<u64>,
    #[serde(default)]
    strong: u32,
    #[serde(default)]
    weak: i64,
}

pub(super) fn read_lines(
    (mut input, length): (impl BufRead, u64),
    recording: &mut Recording,
    mut take: impl FnMut(&mut Recording, Item),
) -> Result<(), ReadError> {
    let mut reader = Reader::default();
    let mut text = Vec::new();
    recording.ended = RecordingEnd::Stopped;
    let mut offset = 0;
    for number in 1.. {
        let at = |what| ReadError::at(number, what);
        if number.is_multiple_of(STEP) {
            report_progress(offset, length);
        }
        let bytes = read_line(&mut input, &mut text).map_err(|error| at(What::Io(error)))?;
        if bytes == 0 && number > 1 {
            break;
        }
        if bytes == 0 {
            return Err(ReadError::at(0, What::Empty));
        }
        let too_long = bytes > text.len() as u64;
        match reader.line(recording, &text, &mut take) {
            Err(Wrong::Version(version)) => return Err(at(What::Version(version))),
            _ if reader.pid.is_none() => return Err(at(What::NoRecording)),
            Ok(()) if !too_long => {}
            Err(Wrong::Json(_)) if !text.ends_with(b"\n") && !too_long => {
                recording.truncated = true;
            }
            wrong => {
                let reason = match wrong {
                    Err(wrong) if !too_long => wrong.to_string(),
                    _ => format!("longer than {LONGEST_LINE} B"),
                };
                damaged(&mut recording.damage, (number, offset), bytes, reason);
            }
        }
        offset += bytes;
    }
    Ok(())
}

/// Reads a line, with its end, and returns how long it is. Of one that is too long only the beginning is kept.
fn read_line(input: &mut impl BufRead, text: &mut Vec<u8>) -> io::Result<u64> {
    text.clear();
    // By what looks for the line's end the fastest.
    let mut length = input.by_ref().take(LONGEST_LINE as u64).read_until(b'\n', text)? as u64;
    while !text.ends_with(b"\n") {
        let more = match input.fill_buf() {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            other => other?,
        };
        let end = more.iter().position(|&byte| byte == b'\n').map(|end| end + 1);
        let used = end.unwrap_or(more.len());
        let over = end.is_some() || more.is_empty();
        input.consume(used);
        length += used as u64;
        if over {
            break;
        }
    }
    Ok(length)
}

/// A line of an event.
struct EventLine<'a> {
    event: &'a str,
    /// Of `o`, `n`, `h`, `s`, `t`, `ns`, `f`, `fo`, `at`, `k` and `sp`.
    numbers: [Option<u64>; 11],
    label: Option<String>,
}

impl<'a> EventLine<'a> {
    /// Reads a line as sinks write it, at a fraction of what any JSON takes. `None` of another, which may be as good.
    fn parse(text: &'a [u8]) -> Option<Self> {
        let text = text.strip_prefix(b"{\"event\":\"")?;
        let end = text.iter().position(|byte| !matches!(byte, b'a'..=b'z' | b' '))?;
        let event = std::str::from_utf8(&text[..end]).ok()?;
        let mut rest = text[end..].strip_prefix(b"\"")?;
        let mut numbers = [None; 11];
        while let [b',', b'"', more @ ..] = rest {
            let (key, digits) = match more {
                [b'o', b'"', b':', digits @ ..] => (0, digits),
                [b'n', b'"', b':', digits @ ..] => (1, digits),
                [b'h', b'"', b':', digits @ ..] => (2, digits),
                [b's', b'"', b':', digits @ ..] => (3, digits),
                [b't', b'"', b':', digits @ ..] => (4, digits),
                [b'n', b's', b'"', b':', digits @ ..] => (5, digits),
                [b'f', b'"', b':', digits @ ..] => (6, digits),
                [b'f', b'o', b'"', b':', digits @ ..] => (7, digits),
                [b'a', b't', b'"', b':', digits @ ..] => (8, digits),
                [b'k', b'"', b':', digits @ ..] => (9, digits),
                [b's', b'p', b'"', b':', digits @ ..] => (10, digits),
                _ => return None,
            };
            let (mut value, mut count) = (0_u64, 0);
            while let Some(digit) = digits.get(count).map(|byte| byte.wrapping_sub(b'0'))
                && digit < 10
            {
                // Of so many digits no number is too large.
                if count == 19 {
                    return None;
                }
                value = 10 * value + u64::from(digit);
                count += 1;
            }
            if count == 0 || (digits[0] == b'0' && count > 1) || numbers[key].is_some() {
                return None;
            }
            numbers[key] = Some(value);
            rest = &digits[count..];
        }
        // One that is wrong is told from others by what reads any JSON.
        let is_whole = matches!(rest, b"}\n" | b"}");
        let is_right = numbers[3].is_none_or(|strong| u32::try_from(strong).is_ok());
        (is_whole && is_right).then_some(Self { event, numbers, label: None })
    }
}

/// Why a line is left out.
enum Wrong {
    Version(u64),
    Json(serde_json::Error),
    Unknown(&'static str, String),
    Malformed(&'static str),
    /// It belongs to another process's recording.
    Foreign(u64),
}

impl fmt::Display for Wrong {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Version(version) => write!(f, "version {version}"),
            Self::Json(error) => write!(f, "{error}"),
            Self::Malformed(kind) => {
                write!(f, "a line of kind {kind:?} lacks a key, or a value is out of range")
            }
            Self::Unknown(what, which) => {
                write!(f, "{what} {which} is not known: lines before this one are missing")
            }
            Self::Foreign(pid) => write!(f, "a recording of another process, {pid}, begins here"),
        }
    }
}

#[derive(Default)]
struct Reader {
    /// Of the first head.
    pid: Option<u64>,
    /// Lines belong to a head of another process.
    foreign: Option<u64>,
    types: ByNumber<u64, Arc<str>>,
    sites: ByNumber<u64, u32>,
    threads: ByNumber<u64, u32>,
    modules: ByNumber<u64, Arc<StoredModule>>,
    stacks: ByNumber<u64, Option<StackId>>,
    spans: ByNumber<u64, u32>,
    /// Lines by content: a later part numbers them anew, and paths compare them by index.
    locations: HashMap<Location, u32>,
    thread_names: HashMap<(u64, Arc<str>), u32>,
    span_texts: HashMap<Arc<str>, u32>,
}

impl Reader {
    fn line(
        &mut self,
        recording: &mut Recording,
        text: &[u8],
        take: &mut impl FnMut(&mut Recording, Item),
    ) -> Result<(), Wrong> {
        // Nearly all lines are of events, and written as they always are.
        if self.pid.is_some()
            && self.foreign.is_none()
            && let Some(line) = EventLine::parse(text)
        {
            return self.event(recording, line, take);
        }
        let line: Line<'_> = match serde_json::from_slice(text) {
            Ok(line) => line,
            Err(error) => return self.other(text, error),
        };
        if let Some(version) = line.refscope {
            if version != VERSION {
                return Err(Wrong::Version(version));
            }
            return self.head(recording, line);
        }
        if let Some(pid) = self.foreign {
            return Err(Wrong::Foreign(pid));
        }
        if self.pid.is_none() {
            return Ok(());
        }
        if let Some(event) = line.event {
            let Line { o, n, h, s, t, ns, f, fo, at, k, sp, label, .. } = line;
            let numbers = [o, n, h, s.map(u64::from), t, ns, f, fo, at, k, sp];
            self.event(recording, EventLine { event, numbers, label }, take)
        } else if line.object.is_some() {
            self.object(recording, line, take)
        } else {
            self.table(recording, line)
        }
    }

    /// A line whose keys have other types than those known: a later refscope may write lines of other kinds.
    fn other(&self, text: &[u8], error: serde_json::Error) -> Result<(), Wrong> {
        let keys: Result<serde_json::Map<String, serde_json::Value>, _> =
            serde_json::from_slice(text);
        let kinds =
            ["refscope", "event", "object", "site", "type", "thread", "module", "stack", "span"];
        match keys {
            Ok(keys) if self.foreign.is_none() => {
                match kinds.into_iter().find(|kind| keys.contains_key(*kind)) {
                    Some(kind) => Err(Wrong::Malformed(kind)),
                    None => Ok(()),
                }
            }
            _ => Err(Wrong::Json(error)),
        }
    }

    fn head(&mut self, recording: &mut Recording, line: Line<'_>) -> Result<(), Wrong> {
        let pid = line.pid.unwrap_or(0);
        if self.pid.is_none() {
            recording.origin = Some(Box::new(Origin {
                pid: pid.try_into().unwrap_or(0),
                program: line.program.unwrap_or_default(),
                arguments: line.args.unwrap_or_default(),
                directory: line.dir.unwrap_or_default(),
                host: line.host.unwrap_or_default(),
                started: line.started.unwrap_or(0),
                build: line.build.unwrap_or_default(),
            }));
        }
        let first = *self.pid.get_or_insert(pid);
        self.foreign = (first != pid).then_some(pid);
        // Each part numbers its types, lines and threads anew.
        self.types.clear();
        self.sites.clear();
        self.threads.clear();
        self.modules.clear();
        self.stacks.clear();
        self.spans.clear();
        self.foreign.map_or(Ok(()), |pid| Err(Wrong::Foreign(pid)))
    }

    fn site(&self, number: u64) -> Result<u32, Wrong> {
        let known = self.sites.get(&number).copied();
        known.ok_or_else(|| Wrong::Unknown("site", number.to_string()))
    }

    /// What others refer to by number.
    fn table(&mut self, recording: &mut Recording, line: Line<'_>) -> Result<(), Wrong> {
        match line {
            Line { r#type: Some(number), name, .. } => {
                let name = name.ok_or(Wrong::Malformed("type"))?;
                self.types.insert(number, name.into());
            }
            Line { site: Some(number), file, line, column, .. } => {
                let (Some(file), Some(line), Some(column)) = (file, line, column) else {
                    return Err(Wrong::Malformed("site"));
                };
                let location = Location::new(file, line, column);
                let index = *self.locations.entry(location).or_insert_with_key(|location| {
                    recording.locations.push(location.clone());
                    recording.locations.len() as u32 - 1
                });
                self.sites.insert(number, index);
            }
            Line { thread: Some(number), name, .. } => {
                let name: Arc<str> = name.ok_or(Wrong::Malformed("thread"))?.into();
                let key = (number, Arc::clone(&name));
                let index = *self.thread_names.entry(key).or_insert_with(|| {
                    recording.threads.push(name);
                    recording.threads.len() as u32 - 1
                });
                self.threads.insert(number, index);
            }
            Line { module: Some(number), path, build, .. } => {
                let path = path.ok_or(Wrong::Malformed("module"))?;
                self.modules.insert(number, Arc::new(StoredModule { path, build }));
            }
            Line { stack: Some(number), frames, .. } => {
                let frames = frames.ok_or(Wrong::Malformed("stack"))?.into_iter();
                let frames = frames.map(|(module, at)| (self.modules.get(&module).cloned(), at));
                self.stacks.insert(number, stack::keep(frames.take(MAX_FRAMES).collect()));
            }
            Line { span: Some(number), text, .. } => {
                let text: Arc<str> = text.ok_or(Wrong::Malformed("span"))?.into();
                let index = *self.span_texts.entry(text).or_insert_with_key(|text| {
                    recording.spans.push(Arc::clone(text));
                    recording.spans.len() as u32 - 1
                });
                self.spans.insert(number, index);
            }
            Line { lost: Some(events), .. } => {
                recording.lost = recording.lost.saturating_add(events);
            }
            Line { mark: Some(name), ns: Some(ns), .. } => {
                recording.end = recording.end.max(Time::from_nanos(ns));
                recording.marks.push(Mark { name, time: Time::from_nanos(ns) });
            }
            Line { source: Some(file), len: Some(length), hash: Some(hash), .. } => {
                let hash = u64::from_str_radix(hash, 16);
                let hash = hash.map_err(|_| Wrong::Malformed("source"))?;
                recording.sources.insert(file, (length, hash));
            }
            Line { lines: Some(site), from: Some(first), text: Some(text), .. } => {
                let site = self.site(site)? as usize;
                recording.source_lines.add(&recording.locations[site], first, &text);
            }
            Line { end: Some("exit"), ns, .. } => {
                recording.ended = RecordingEnd::Exit;
                recording.end = recording.end.max(Time::from_nanos(ns.unwrap_or(0)));
            }
            _ => {}
        }
        Ok(())
    }

    fn object(
        &mut self,
        recording: &mut Recording,
        line: Line<'_>,
        take: &mut impl FnMut(&mut Recording, Item),
    ) -> Result<(), Wrong> {
        let Line {
            object: Some(id),
            kind: Some(kind),
            r#type: Some(ty),
            size: Some(size),
            site: Some(site),
            label,
            earlier,
            highest,
            strong,
            weak,
            ..
        } = line
        else {
            return Err(Wrong::Malformed("object"));
        };
        let name = self.types.get(&ty).ok_or_else(|| Wrong::Unknown("type", ty.to_string()))?;
        let object = ObjectRecord {
            id: ObjectId::from_number(id),
            kind: Kind::from_name(kind)
                .ok_or_else(|| Wrong::Unknown("pointer kind", kind.to_owned()))?,
            type_name: name.to_string().into(),
            size,
            location: self.site(site)?,
            label,
        };
        let earlier =
            Earlier { events: earlier, highest: highest.unwrap_or(earlier), strong, weak };
        take(recording, Item::Object(object, earlier));
        Ok(())
    }

    fn event(
        &mut self,
        recording: &mut Recording,
        line: EventLine<'_>,
        take: &mut impl FnMut(&mut Recording, Item),
    ) -> Result<(), Wrong> {
        let EventLine { event: name, label, .. } = line;
        let [object, seq, handle, strong, thread, ns, f, fo, at, k, sp] = line.numbers;
        let (Some(object), Some(seq), Some(handle)) = (object, seq, handle) else {
            return Err(Wrong::Malformed("event"));
        };
        let strong = strong.and_then(|strong| u32::try_from(strong).ok());
        let (Some(strong), Some(thread), Some(ns)) = (strong, thread, ns) else {
            return Err(Wrong::Malformed("event"));
        };
        let op = Op::from_name(name).ok_or_else(|| Wrong::Unknown("operation", name.to_owned()))?;
        // A handle has the number of the event that made it.
        if seq == 0 || (op.makes().is_some() && handle != seq) {
            return Err(Wrong::Malformed("event"));
        }
        let object = ObjectId::from_number(object);
        let known = self.threads.get(&thread).copied();
        let time = Time::from_nanos(ns);
        let event = EventRecord {
            op,
            handle: HandleId::new(object, handle),
            from: f.map(|number| HandleId::new(fo.map_or(object, ObjectId::from_number), number)),
            seq,
            strong,
            location: at.map(|at| self.site(at)).transpose()?,
            thread: known.ok_or_else(|| Wrong::Unknown("thread", thread.to_string()))?,
            time,
            stack: k.and_then(|stack| self.stacks.get(&stack).copied().flatten()),
            span: sp.and_then(|span| self.spans.get(&span).copied()),
        };
        recording.end = recording.end.max(time);
        if let Some(label) = label {
            take(recording, Item::Label(object, seq, label));
        }
        take(recording, Item::Event(event));
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::{EventLine, Line};

    /// What is read the fast way, serde reads as well, and as the same.
    #[test]
    fn lines_that_are_read_the_fast_way_are_json_that_says_the_same() {
        let head = r#"{"event":"weak clone","o":1,"n":20,"h":20,"s":3,"t":4,"ns":5000"#;
        let behind = [
            "",
            ",\"f\":6",
            ",\"f\":6,\"fo\":7,\"at\":8,\"k\":9,\"sp\":0",
            ",\"at\":1234567890123456789",
            ",\"at\":12345678901234567890",
            ",\"at\":99999999999999999999",
            ",\"at\":01",
            ",\"at\":",
            ",\"at\":-1",
            ",\"at\":1.0",
            ",\"at\":1e3",
            ",\"at\": 1",
            ",\"at\":null",
            ",\"o\":2",
            ",\"x\":1",
            ",\"label\":\"text\"",
            ",",
            "}",
        ];
        let mut fast = 0;
        for line in behind.iter().flat_map(|more| {
            ["}\n", "}", "", "}}", "} \n", "\n"].map(|end| format!("{head}{more}{end}"))
        }) {
            let Some(own) = EventLine::parse(line.as_bytes()) else { continue };
            fast += 1;
            let any: Line<'_> =
                serde_json::from_str(&line).unwrap_or_else(|e| panic!("{line}: {e}"));
            let Line { o, n, h, s, t, ns, f, fo, at, k, sp, label, .. } = any;
            let numbers = [o, n, h, s.map(u64::from), t, ns, f, fo, at, k, sp];
            assert_eq!((any.event, numbers, label), (Some(own.event), own.numbers, own.label));
        }
        assert_eq!(fast, 5 * 2);
        let strong = head.replace("\"s\":3", "\"s\":4294967296");
        assert!(EventLine::parse(format!("{strong}}}").as_bytes()).is_none());
    }
}
