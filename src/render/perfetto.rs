//! A trace for Perfetto, in its own format: protobuf, of which `perfetto/trace.proto` has what is used here.

mod proto;

use self::proto::Message;
use crate::analysis::Timelines;
use crate::event::{ObjectId, Strength, Time, short_type};
#[cfg(feature = "json")]
use crate::model::{Allocation, RecordingFile};
use crate::model::{Change, Earlier, EventRecord, ObjectRecord, ObjectState, Recording};
use std::collections::{BTreeMap, HashMap};
use std::io::{self, Write};

/// Writes timelines as a trace that [Perfetto](https://ui.perfetto.dev) opens: of each object a counter and a slice for each of
/// its handles, from which an arrow leads to the handles that were made from it; and the living objects over time.
///
/// What was alive at the end has a slice without an end. The types and lines are in the slices' arguments.
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
/// let mut trace = Vec::new();
/// render::perfetto(&recorder.recording().timelines(), &mut trace)?;
/// assert_eq!(trace[0], 0x0a); // a packet
/// # Ok::<(), std::io::Error>(())
/// ```
pub fn perfetto(timelines: &Timelines<'_>, out: &mut impl Write) -> io::Result<()> {
    let recording = timelines.recording();
    let mut trace = Trace::new(out);
    for timeline in timelines {
        let earlier = recording.earlier.get(&timeline.object.id).copied().unwrap_or_default();
        for event in timeline.events {
            trace.event(recording, timeline.object, earlier, event)?;
        }
        trace.end_object(timeline.object.id);
    }
    trace.finish(recording)
}

/// Writes some objects of a recording's file as [`perfetto`] does, in memory that does not grow with the events.
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
/// render::perfetto_of(&file, |_| true, std::fs::File::create("run.perfetto-trace")?)?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[cfg(feature = "json")]
pub fn perfetto_of(
    file: &RecordingFile,
    wanted: impl Fn(&Allocation<'_>) -> bool,
    out: impl Write,
) -> io::Result<()> {
    let mut trace = Trace::new(out);
    let (tables, _) = file.each(None, wanted, |tables, seen| {
        if seen.end.is_some() {
            trace.end_object(seen.object.id);
        }
        match seen.event {
            Some(event) => trace.event(tables, seen.object, seen.earlier, event),
            None => Ok(()),
        }
    })?;
    trace.finish(&tables)
}

/// Tracks of the whole process; those of objects and handles are numbered from [`FIRST`].
const PROCESS: u64 = 1;
const OBJECTS: u64 = 2;
const BYTES: u64 = 3;
const FIRST: u64 = 16;

struct Trace<W> {
    out: W,
    has_begun: bool,
    next_track: u64,
    next_flow: u64,
    objects: HashMap<ObjectId, Shown>,
    living: Living,
}

/// What is known of an object while it has handles.
struct Shown {
    track: u64,
    counter: u64,
    state: ObjectState<Slice>,
    /// Rows of slices, by number, and those that are free: slices of one row do not overlap.
    rows: Vec<u64>,
    free: Vec<usize>,
    strong: u32,
    size: u64,
    /// Clocks of several threads may differ a little; the order of events is right.
    time: u64,
}

/// A handle's slice: the row that it is in.
#[derive(Clone, Copy)]
struct Slice {
    row: usize,
}

impl<W: Write> Trace<W> {
    fn new(out: W) -> Self {
        Self {
            out,
            has_begun: false,
            next_track: FIRST,
            next_flow: 1,
            objects: HashMap::new(),
            living: Living::default(),
        }
    }

    fn begin(&mut self, tables: &Recording) -> io::Result<()> {
        if std::mem::replace(&mut self.has_begun, true) {
            return Ok(());
        }
        let origin = tables.origin().cloned().unwrap_or_default();
        let mut process = Message::default();
        process.number(proto::PROCESS_PID, origin.pid.into());
        let name = if origin.program.is_empty() { "refscope" } else { &origin.program };
        process.text(proto::PROCESS_NAME, name);
        let mut track = Message::default();
        track.number(proto::TRACK_UUID, PROCESS);
        track.message(proto::TRACK_PROCESS, &process);
        let mut packet = Message::default();
        // What is said of tracks holds from here on.
        packet.number(proto::PACKET_FLAGS, proto::STATE_CLEARED);
        packet.message(proto::PACKET_TRACK, &track);
        self.packet(packet)?;
        self.counter(OBJECTS, PROCESS, "objects alive", None)?;
        self.counter(BYTES, PROCESS, "bytes alive", Some("B"))
    }

    fn packet(&mut self, mut packet: Message) -> io::Result<()> {
        packet.number(proto::PACKET_SEQUENCE, 1);
        let mut trace = Message::default();
        trace.message(proto::TRACE_PACKET, &packet);
        self.out.write_all(&trace.0)
    }

    fn track(&mut self, uuid: u64, parent: u64, name: &str) -> io::Result<()> {
        let mut track = Message::default();
        track.number(proto::TRACK_UUID, uuid);
        track.number(proto::TRACK_PARENT, parent);
        track.text(proto::TRACK_NAME, name);
        let mut packet = Message::default();
        packet.message(proto::PACKET_TRACK, &track);
        self.packet(packet)
    }

    fn counter(
        &mut self,
        uuid: u64,
        parent: u64,
        name: &str,
        unit: Option<&str>,
    ) -> io::Result<()> {
        let mut counter = Message::default();
        if let Some(unit) = unit {
            counter.text(proto::COUNTER_UNIT, unit);
        }
        let mut track = Message::default();
        track.number(proto::TRACK_UUID, uuid);
        track.number(proto::TRACK_PARENT, parent);
        track.text(proto::TRACK_NAME, name);
        track.message(proto::TRACK_COUNTER, &counter);
        let mut packet = Message::default();
        packet.message(proto::PACKET_TRACK, &track);
        self.packet(packet)
    }

    fn track_event(&mut self, time: u64, event: &Message) -> io::Result<()> {
        let mut packet = Message::default();
        packet.number(proto::PACKET_TIME, time);
        packet.message(proto::PACKET_EVENT, event);
        self.packet(packet)
    }

    fn count(&mut self, track: u64, time: u64, value: u64) -> io::Result<()> {
        let mut event = Message::default();
        event.number(proto::EVENT_TYPE, proto::COUNTER);
        event.number(proto::EVENT_TRACK, track);
        event.number(proto::EVENT_COUNTER_VALUE, value);
        self.track_event(time, &event)
    }

    fn new_track(&mut self) -> u64 {
        self.next_track += 1;
        self.next_track - 1
    }

    fn event(
        &mut self,
        tables: &Recording,
        object: &ObjectRecord,
        earlier: Earlier,
        event: &EventRecord,
    ) -> io::Result<()> {
        self.begin(tables)?;
        let mut shown = match self.objects.remove(&object.id) {
            Some(shown) => shown,
            None => self.begin_object(object, earlier, event)?,
        };
        shown.time = shown.time.max(event.time.as_nanos());
        let written = self.event_of(tables, &mut shown, event);
        self.objects.insert(object.id, shown);
        written
    }

    fn begin_object(
        &mut self,
        object: &ObjectRecord,
        earlier: Earlier,
        event: &EventRecord,
    ) -> io::Result<Shown> {
        let (track, counter) = (self.new_track(), self.new_track());
        let type_name = short_type(&object.type_name);
        self.track(track, PROCESS, &format!("{} {}<{type_name}>", object.id, object.kind))?;
        self.counter(counter, track, "strong", None)?;
        if earlier.strong > 0 {
            self.living.add(event.time, 1, object.size.into());
        }
        Ok(Shown {
            track,
            counter,
            state: ObjectState::after(earlier),
            rows: Vec::new(),
            free: Vec::new(),
            strong: earlier.strong,
            size: object.size,
            time: 0,
        })
    }

    fn event_of(
        &mut self,
        tables: &Recording,
        shown: &mut Shown,
        event: &EventRecord,
    ) -> io::Result<()> {
        let time = shown.time;
        let parent = event.from.filter(|from| from.object() == event.object());
        let parent = parent.and_then(|from| shown.state.handle_mut(from.number()).copied());
        let mut ended = Vec::new();
        let makes = event.op.makes();
        let row = makes.map(|_| shown.free.pop().unwrap_or(shown.rows.len()));
        let slice = Slice { row: row.unwrap_or_default() };
        shown.state.apply(
            &event.step(),
            |_| slice,
            |change| {
                if let Change::Ended(slice) = change {
                    ended.push(slice.row);
                }
            },
        );
        if let (Some(strength), Some(row)) = (makes, row) {
            if row == shown.rows.len() {
                let track = self.new_track();
                shown.rows.push(track);
                self.track(track, shown.track, "handles")?;
            }
            self.begin_slice(
                tables,
                event,
                strength,
                (shown.rows[row], time),
                parent.map(|slice| shown.rows[slice.row]),
            )?;
        }
        for row in ended {
            let mut end = Message::default();
            end.number(proto::EVENT_TYPE, proto::SLICE_END);
            end.number(proto::EVENT_TRACK, shown.rows[row]);
            annotate(&mut end, "ended by", event.op.name());
            annotate(&mut end, "on", thread(tables, event));
            if let Some(line) = line(tables, event) {
                annotate(&mut end, "at", &line);
            }
            self.track_event(time, &end)?;
            shown.free.push(row);
        }
        if event.strong != shown.strong {
            self.count(shown.counter, time, event.strong.into())?;
            match (shown.strong, event.strong) {
                (0, _) => self.living.add(Time::from_nanos(time), 1, i128::from(shown.size)),
                (_, 0) => self.living.add(Time::from_nanos(time), -1, -i128::from(shown.size)),
                _ => {}
            }
            shown.strong = event.strong;
        }
        Ok(())
    }

    fn begin_slice(
        &mut self,
        tables: &Recording,
        event: &EventRecord,
        strength: Strength,
        (track, time): (u64, u64),
        parent: Option<u64>,
    ) -> io::Result<()> {
        let line = line(tables, event);
        let name = match &line {
            Some(line) => format!("{} {line}", event.op),
            None => event.op.to_string(),
        };
        let mut slice = Message::default();
        slice.number(proto::EVENT_TYPE, proto::SLICE_BEGIN);
        slice.number(proto::EVENT_TRACK, track);
        slice.text(proto::EVENT_NAME, &name);
        slice.text(
            proto::EVENT_CATEGORY,
            if strength == Strength::Weak { "weak" } else { "strong" },
        );
        annotate(&mut slice, "handle", &event.handle.to_string());
        if let Some(from) = event.from {
            annotate(&mut slice, "from", &from.to_string());
        }
        annotate(&mut slice, "thread", thread(tables, event));
        if let Some(parent) = parent {
            // An arrow leads from an event to an event: the parent's slice gets one at this moment.
            let flow = self.next_flow;
            self.next_flow += 1;
            let mut from = Message::default();
            from.number(proto::EVENT_TYPE, proto::INSTANT);
            from.number(proto::EVENT_TRACK, parent);
            from.text(proto::EVENT_NAME, event.op.name());
            from.fixed(proto::EVENT_FLOW, flow);
            self.track_event(time, &from)?;
            slice.fixed(proto::EVENT_FLOW_END, flow);
        }
        self.track_event(time, &slice)
    }

    /// Nothing more comes of an object.
    fn end_object(&mut self, id: ObjectId) {
        self.objects.remove(&id);
    }

    fn finish(mut self, tables: &Recording) -> io::Result<()> {
        self.begin(tables)?;
        let (mut objects, mut bytes) = (0_i64, 0_i128);
        let (width, changes) = (self.living.width, std::mem::take(&mut self.living.changes));
        for (slot, (more, more_bytes)) in changes {
            objects += more;
            bytes += more_bytes;
            self.count(OBJECTS, slot.saturating_mul(width), objects.max(0) as u64)?;
            self.count(
                BYTES,
                slot.saturating_mul(width),
                u64::try_from(bytes.max(0)).unwrap_or(u64::MAX),
            )?;
        }
        // What has no end lasts until here.
        let end = tables.end_time().as_nanos();
        self.count(OBJECTS, end, objects.max(0) as u64)?;
        self.count(BYTES, end, u64::try_from(bytes.max(0)).unwrap_or(u64::MAX))?;
        self.out.flush()
    }
}

fn thread<'a>(tables: &'a Recording, event: &EventRecord) -> &'a str {
    tables.threads().get(event.thread as usize).map_or("?", |name| name)
}

fn line(tables: &Recording, event: &EventRecord) -> Option<String> {
    Some(tables.locations().get(event.location? as usize)?.to_string())
}

fn annotate(event: &mut Message, name: &str, text: &str) {
    let mut annotation = Message::default();
    annotation.text(proto::ANNOTATION_NAME, name);
    annotation.text(proto::ANNOTATION_TEXT, text);
    event.message(proto::EVENT_ANNOTATION, &annotation);
}

/// What is alive over time, from events in any order: of a long time in wider steps.
struct Living {
    width: u64,
    /// By how much objects and bytes change in a step.
    changes: BTreeMap<u64, (i64, i128)>,
}

/// Steps that are kept.
const STEPS: usize = 1 << 15;

impl Default for Living {
    fn default() -> Self {
        Self { width: 1, changes: BTreeMap::new() }
    }
}

impl Living {
    fn add(&mut self, time: Time, objects: i64, bytes: i128) {
        let change = self.changes.entry(time.as_nanos() / self.width).or_default();
        *change = (change.0 + objects, change.1 + bytes);
        while self.changes.len() > STEPS {
            self.width = self.width.saturating_mul(2);
            let mut wider: BTreeMap<u64, (i64, i128)> = BTreeMap::new();
            for (slot, (objects, bytes)) in std::mem::take(&mut self.changes) {
                let change = wider.entry(slot / 2).or_default();
                *change = (change.0 + objects, change.1 + bytes);
            }
            self.changes = wider;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_time_takes_no_more_steps() {
        let mut living = Living::default();
        for time in 0..200_000 {
            living.add(Time::from_nanos(time * 1_000), 1, 8);
        }
        assert!(living.changes.len() <= STEPS);
        let sum =
            living.changes.values().fold((0, 0), |sum, more| (sum.0 + more.0, sum.1 + more.1));
        assert_eq!(sum, (200_000, 1_600_000));
    }
}
