//! What the page shows, as data: a JSON text of the tables, and two streams of numbers in base64.
//!
//! The numbers are LEB128 varints; signed ones are zigzag-coded. The first stream has a row for each object, and is read when
//! the page opens; the second has each object's events and handles, and is read where the object is looked at.

use crate::analysis::{Leak, LeakReport, Lifeline, Timeline, Timelines};
use crate::event::{HandleId, Location, ObjectId, Op, Strength, Time, short_type};
use crate::model::peak::{Life, peak_of};
use crate::model::{CONTEXT, LiveObject, Peak, Recording, RecordingEnd};
use crate::render::excerpt::characters_before;
use crate::render::report::at;
use crate::render::report_json::ReportView;
use crate::render::safe_json;
use crate::render::source::{Recorded, Sources};
use serde::Serialize;
use std::collections::{BTreeSet, HashMap};
use std::fmt::Write as _;
use std::path::Path;

/// Bytes of a stream that one element of the page holds.
const CHUNK: usize = 3 << 18;

/// Peaks that the page names.
const MOST_PEAKS: usize = 10;

/// Writes the page's data: elements of script that are not run.
pub(super) fn write(
    page: &mut String,
    timelines: &Timelines<'_>,
    root: Option<&Path>,
    left_out: Option<&str>,
) {
    let recording = timelines.recording();
    let report = report(timelines);
    let sources = Sources::new(root).recorded(Recorded::of(recording));
    let mut tables = Tables::default();
    let findings = Findings::new(&report);
    let mut rows = Vec::new();
    let mut details = Vec::new();
    for timeline in timelines {
        let start = details.len();
        write_details(&mut details, timeline);
        tables.write_row(&mut rows, timeline, &findings, details.len() - start);
    }
    page.push_str("<script type=\"application/json\" id=\"data\">");
    // Of what is not on the page, nothing can be counted.
    let gone = left_out.map_or_else(|| peaks(timelines), |_| Vec::new());
    let data = Data { left_out, gone, ..Data::new(recording, &report, &sources, &tables) };
    page.push_str(&safe_json::text(&data));
    page.push_str("</script>\n");
    write_base64(page, "rows", &rows);
    write_base64(page, "details", &details);
}

/// The report of those objects that are on the page.
fn report(timelines: &Timelines<'_>) -> LeakReport {
    let recording = timelines.recording();
    let shown: BTreeSet<ObjectId> = timelines.iter().map(|timeline| timeline.object.id).collect();
    let (living, cut) = recording.replay();
    let living = living.into_iter().filter(|object| shown.contains(&object.id));
    LeakReport::of_living(recording, living, cut)
}

/// What was dropped shortly before the process ended by itself, a line each: the most numerous first.
fn peaks(timelines: &Timelines<'_>) -> Vec<String> {
    let recording = timelines.recording();
    if recording.end() != RecordingEnd::Exit {
        return Vec::new();
    }
    let mut all: HashMap<_, Vec<&Timeline<'_>>> = HashMap::new();
    for timeline in timelines {
        let object = timeline.object;
        all.entry((object.kind, &*object.type_name, object.location)).or_default().push(timeline);
    }
    let peak = |((kind, type_name, location), all): ((_, &str, u32), Vec<&Timeline<'_>>)| {
        let lives: Vec<Life> = all.iter().filter_map(|timeline| life(timeline)).collect();
        let (peak, time, high) = peak_of(&lives, recording.end_time())?;
        let created = recording.locations().get(location as usize)?;
        // The line that made most of the handles which kept them then.
        let mut lines: HashMap<u32, u64> = HashMap::new();
        let holders = all.iter().filter_map(|timeline| {
            let is_there = |line: &&Lifeline| {
                let ended = line.end.as_ref().map(|end| end.time);
                line.strength == Strength::Strong
                    && !line.op.begins()
                    && line.created <= time
                    && ended.is_none_or(|ended| ended > time)
            };
            timeline.lifelines.iter().rev().find(is_there)?.location
        });
        holders.for_each(|line| *lines.entry(line).or_default() += 1);
        let most = lines.into_iter().max_by_key(|(line, count)| (*count, *line));
        let holder = most.filter(|(_, count)| count * 2 > peak);
        let holder = holder.and_then(|(line, _)| recording.locations().get(line as usize));
        Some(Peak {
            kind,
            type_name: type_name.to_owned().into(),
            location: created.clone(),
            peak,
            left: lives.iter().filter(|(_, ended)| ended.is_none()).count() as u64,
            time,
            ago: high.until(recording.end_time()),
            holder: holder.filter(|line| line.is_user() && *line != created).cloned(),
        })
    };
    let mut peaks: Vec<Peak> = all.into_iter().filter_map(peak).collect();
    let lines = |peak: &Peak| (std::cmp::Reverse(peak.peak), peak.to_string());
    peaks.sort_by_cached_key(lines);
    peaks.iter().take(MOST_PEAKS).map(Peak::to_string).collect()
}

/// When an object was made, and when its last strong handle ended; `None` where that is not known.
fn life(timeline: &Timeline<'_>) -> Option<Life> {
    let born = timeline.points.first()?.time;
    let last = timeline.points.iter().rev().find(|point| point.strong > 0)?;
    let end = timeline.points.iter().find(|point| point.seq > last.seq);
    Some((born, end.map(|point| point.time)))
}

/// The tables that the page's script reads.
#[derive(Serialize)]
struct Data<'a> {
    end: Time,
    lost: u64,
    /// What is not on the page, in words.
    left_out: Option<&'a str>,
    /// What was there shortly before the end.
    gone: Vec<String>,
    origin: Option<OriginView<'a>>,
    threads: &'a [std::sync::Arc<str>],
    /// Short name, source line, file, line, column.
    places: Vec<(String, String, &'a str, u32, u32)>,
    ops: Vec<Op>,
    types: &'a [String],
    labels: &'a [String],
    ways: &'a [Vec<u32>],
    excerpts: Vec<Option<Excerpt>>,
    leaks: ReportView<'a>,
}

#[derive(Serialize)]
struct OriginView<'a> {
    pid: u32,
    program: &'a str,
    args: &'a [String],
    dir: &'a str,
    host: &'a str,
    started: u64,
}

/// The number of the first line, the characters before the column in that of the cause, and the lines, where they are known.
#[derive(Serialize)]
struct Excerpt(u32, usize, Vec<Option<String>>);

impl<'a> Data<'a> {
    fn new(
        recording: &'a Recording,
        report: &'a LeakReport,
        sources: &Sources,
        tables: &'a Tables,
    ) -> Self {
        let place = |place: &'a Location| {
            let source =
                sources.line(place).map_or_else(String::new, |line| line.trim().to_owned());
            (at(place), source, &*place.file, place.line, place.column)
        };
        let excerpt = |leak: &Leak| {
            let place = leak.cause.location.as_ref()?;
            let from = place.line.saturating_sub(CONTEXT).max(1);
            let line = sources.line(place).unwrap_or_default();
            let start = characters_before(&line, place.column);
            let lines = (from..=place.line.saturating_add(CONTEXT))
                .map(|line| sources.line(&Location::new(place.file.clone(), line, place.column)));
            Some(Excerpt(from, start, lines.map(|line| Some(line?.to_string())).collect()))
        };
        Self {
            end: recording.end_time(),
            lost: recording.lost(),
            left_out: None,
            gone: Vec::new(),
            origin: recording.origin().map(|origin| OriginView {
                pid: origin.pid,
                program: &origin.program,
                args: &origin.arguments,
                dir: &origin.directory,
                host: &origin.host,
                started: origin.started,
            }),
            threads: recording.threads(),
            places: recording.locations().iter().map(place).collect(),
            ops: Op::ALL.to_vec(),
            types: &tables.types,
            labels: &tables.labels,
            ways: &tables.ways,
            excerpts: report.leaks().iter().map(excerpt).collect(),
            leaks: ReportView::new(report),
        }
    }
}

/// Which finding an object belongs to, and the handle that keeps it.
struct Findings(HashMap<ObjectId, Finding>);

struct Finding {
    number: u64,
    is_retained: bool,
    /// 0: no handle is known.
    fault: u64,
}

impl Findings {
    fn new(report: &LeakReport) -> Self {
        let mut all = HashMap::new();
        for (number, leak) in (0..).zip(report.leaks()) {
            let fault = |object: &LiveObject| object.fault().map_or(0, |handle| handle.id.number());
            for (objects, is_retained) in [(&leak.objects, false), (&leak.retained, true)] {
                all.extend(objects.iter().map(|object| {
                    (object.id, Finding { number, is_retained, fault: fault(object) })
                }));
            }
        }
        Self(all)
    }
}

/// What many objects share is written once.
#[derive(Default)]
struct Tables {
    types: Vec<String>,
    type_indices: HashMap<(crate::event::Kind, String), u64>,
    labels: Vec<String>,
    /// The lines that living handles were made on, as sets.
    ways: Vec<Vec<u32>>,
    way_indices: HashMap<Vec<u32>, u64>,
    id: u64,
}

impl Tables {
    /// `id (difference), type, size, place, label + 1, way, (finding + 1) * 2 + whether it is retained, handle at fault,
    /// time created, time of the last event (difference), events, strong, weak, handles, bytes of details`
    fn write_row(
        &mut self,
        rows: &mut Vec<u8>,
        timeline: &Timeline<'_>,
        findings: &Findings,
        details: usize,
    ) {
        let object = timeline.object;
        let key = (object.kind, object.type_name.to_string());
        let types = &mut self.types;
        let ty = *self.type_indices.entry(key).or_insert_with_key(|(kind, name)| {
            types.push(format!("{kind}<{}>", short_type(name)));
            types.len() as u64 - 1
        });
        let label = object.label.as_ref().map_or(0, |label| {
            self.labels.push(label.clone());
            self.labels.len() as u64
        });
        let finding = findings.0.get(&object.id);
        let first = timeline.points.first().map_or(0, |point| point.time.as_nanos());
        let last = timeline.points.last();
        let last_time = last.map_or(first, |point| point.time.as_nanos());
        let row = [
            object.id.number().wrapping_sub(self.id),
            ty,
            object.size,
            u64::from(object.location),
            label,
            self.way(timeline),
            finding.map_or(0, |it| (it.number + 1) * 2 + u64::from(it.is_retained)),
            finding.map_or(0, |finding| finding.fault),
            first,
            last_time.saturating_sub(first),
            last.map_or(0, |point| point.seq),
            u64::from(timeline.strong()),
            u64::from(timeline.weak()),
            timeline.lifelines.len() as u64,
            details as u64,
        ];
        self.id = object.id.number();
        row.into_iter().for_each(|number| varint(rows, number));
    }

    fn way(&mut self, timeline: &Timeline<'_>) -> u64 {
        let living = timeline.lifelines.iter().filter(|line| line.is_alive());
        let mut way: Vec<u32> = living.filter_map(|line| line.location).collect();
        way.sort_unstable();
        way.dedup();
        let ways = &mut self.ways;
        *self.way_indices.entry(way).or_insert_with_key(|way| {
            ways.push(way.clone());
            ways.len() as u64 - 1
        })
    }
}

/// Of each event `number (difference), strong, weak, time (signed difference)`; of each handle `number (difference), weak or not,
/// operation, object that it was made from, handle that it was made from, place + 1, thread, time created (signed, from the
/// object's first); 0 where it is alive, else end (difference) + 1, operation, thread, time (signed, from its making), place + 1`.
fn write_details(to: &mut Vec<u8>, timeline: &Timeline<'_>) {
    varint(to, timeline.points.len() as u64);
    let (mut seq, mut time) = (0, 0);
    for point in &timeline.points {
        varint(to, point.seq.wrapping_sub(seq));
        varint(to, u64::from(point.strong));
        varint(to, u64::from(point.weak));
        signed(to, point.time.as_nanos(), time);
        (seq, time) = (point.seq, point.time.as_nanos());
    }
    let first = timeline.points.first().map_or(0, |point| point.time.as_nanos());
    let mut number = 0;
    for line in &timeline.lifelines {
        let handle = line.handle.number();
        varint(to, handle.wrapping_sub(number));
        varint(to, u64::from(line.strength == Strength::Weak));
        varint(to, line.op as u64);
        varint(to, line.from.map_or(0, |from| from.object().number()));
        varint(to, line.from.map_or(0, HandleId::number));
        varint(to, line.location.map_or(0, |place| u64::from(place) + 1));
        varint(to, u64::from(line.thread));
        signed(to, line.created.as_nanos(), first);
        number = handle;
        match &line.end {
            None => varint(to, 0),
            Some(end) => {
                varint(to, end.seq.saturating_sub(handle) + 1);
                varint(to, end.op as u64);
                varint(to, u64::from(end.thread));
                signed(to, end.time.as_nanos(), line.created.as_nanos());
                varint(to, end.location.map_or(0, |place| u64::from(place) + 1));
            }
        }
    }
}

fn varint(to: &mut Vec<u8>, mut number: u64) {
    while number >= 0x80 {
        to.push(number as u8 | 0x80);
        number >>= 7;
    }
    to.push(number as u8);
}

/// The difference of two times, zigzag-coded: clocks of two threads may differ a little.
fn signed(to: &mut Vec<u8>, number: u64, base: u64) {
    let difference = number.wrapping_sub(base) as i64;
    varint(to, ((difference << 1) ^ (difference >> 63)) as u64);
}

/// Writes bytes in base64, in elements of a size that browsers like.
fn write_base64(page: &mut String, class: &str, bytes: &[u8]) {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    page.reserve(bytes.len() / 3 * 4 + bytes.len() / CHUNK * 80 + 100);
    for chunk in bytes.chunks(CHUNK) {
        let _ = write!(page, "<script type=\"text/plain\" class=\"{class}\">");
        for three in chunk.chunks(3) {
            let word = three.iter().fold(0_u32, |word, &byte| word << 8 | u32::from(byte));
            let word = word << (8 * (3 - three.len()));
            for digit in 0..4 {
                let shift = 18 - 6 * digit;
                page.push(match digit <= three.len() {
                    true => DIGITS[(word >> shift & 63) as usize].into(),
                    false => '=',
                });
            }
        }
        page.push_str("</script>\n");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base64() {
        for (bytes, text) in [("", ""), ("f", "Zg=="), ("fo", "Zm8="), ("foobar", "Zm9vYmFy")] {
            let mut page = String::new();
            write_base64(&mut page, "x", bytes.as_bytes());
            let inner = page.split('>').nth(1).map_or("", |rest| rest.split('<').next().unwrap());
            assert_eq!(inner, text);
        }
    }

    #[test]
    fn varints() {
        let mut bytes = Vec::new();
        varint(&mut bytes, 300);
        signed(&mut bytes, 5, 7);
        signed(&mut bytes, 7, 5);
        assert_eq!(bytes, [0xac, 2, 3, 4]);
    }
}
