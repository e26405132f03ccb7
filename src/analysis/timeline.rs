use crate::event::{HandleId, Op, Strength, Time};
use crate::model::{Change, Earlier, EventRecord, ObjectRecord, ObjectState, Omitted, Recording};

/// The histories of a recording's objects. Given by [`Recording::timelines`].
///
/// `Display` is the plain text that [`Terminal`](crate::render::Terminal) makes of them, 80 columns wide;
/// [`print`](Timelines::print) adapts to the terminal.
#[derive(Clone, Debug)]
pub struct Timelines<'r> {
    recording: &'r Recording,
    timelines: Vec<Timeline<'r>>,
}

/// The history of one object.
#[derive(Clone, Debug)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct Timeline<'r> {
    /// What it is.
    pub object: &'r ObjectRecord,
    /// Its events, in order.
    pub events: &'r [EventRecord],
    /// The counts after each event.
    pub points: Vec<Point>,
    /// Its handles, in the order of their making.
    pub lifelines: Vec<Lifeline>,
    /// The highest strong count.
    pub peak_strong: u32,
    /// The highest weak count.
    pub peak_weak: u32,
    /// Whether the history is whole: numbered from 1 without a gap. If not, the weak count and the fates
    /// of handles are what the known events say.
    pub whole: bool,
    /// How many events are left out of it, where `RecordingFile::objects_bounded` read it.
    #[cfg_attr(feature = "serde", serde(skip_serializing_if = "is_zero"))]
    pub omitted: u64,
    /// How many handles are alive whose events are all left out.
    #[cfg_attr(feature = "serde", serde(skip_serializing_if = "is_zero"))]
    pub omitted_handles: u64,
    strong: u32,
    weak: u32,
}

/// The counts after an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct Point {
    /// The event's place in the object's history.
    pub seq: u64,
    /// Traced strong handles.
    pub strong: u32,
    /// Traced weak handles.
    pub weak: u32,
    /// When it happened.
    pub time: Time,
}

/// The life of one handle.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct Lifeline {
    /// Which handle it is.
    pub handle: HandleId,
    /// Strong or weak.
    pub strength: Strength,
    /// What made it.
    pub op: Op,
    /// The handle that it was made from.
    pub from: Option<HandleId>,
    /// The line that made it: an index into [`Recording::locations`].
    pub location: Option<u32>,
    /// The thread that made it: an index into [`Recording::threads`].
    pub thread: u32,
    /// When it was made.
    pub created: Time,
    /// Its end. None: it is alive.
    pub end: Option<End>,
    /// The operation by which it became a raw pointer, if it did and was not taken back: it still counts.
    pub raw: Option<Op>,
}

impl Lifeline {
    /// The handle that an event makes.
    pub(super) fn made(event: &EventRecord, strength: Strength) -> Self {
        Self {
            handle: event.handle,
            strength,
            op: event.op,
            from: event.from,
            location: event.location,
            thread: event.thread,
            created: event.time,
            end: None,
            raw: None,
        }
    }

    /// Returns whether it had not ended when the recording did.
    pub fn is_alive(&self) -> bool {
        self.end.is_none()
    }
}

/// The end of a handle.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct End {
    /// How it ended.
    pub op: Op,
    /// The place of that event in the object's history.
    pub seq: u64,
    /// The line that ended it: an index into [`Recording::locations`]. A drop has one where there are stacks, after
    /// [`Recording::resolve_stacks`].
    pub location: Option<u32>,
    /// The thread that it ended on: an index into [`Recording::threads`].
    pub thread: u32,
    /// When it ended.
    pub time: Time,
}

impl End {
    pub(super) fn by(event: &EventRecord) -> Self {
        let EventRecord { op, seq, location, thread, time, .. } = *event;
        Self { op, seq, location, thread, time }
    }
}

impl<'r> Timelines<'r> {
    pub(crate) fn new(recording: &'r Recording) -> Self {
        let mut rest = &recording.events[..];
        let mut timelines = Vec::with_capacity(recording.objects.len());
        for (id, object) in &recording.objects {
            // Events without an allocation, which was lost, say nothing of what it is.
            let unknown = rest.partition_point(|event| event.object() < *id);
            let events = &rest[unknown..];
            let (events, after) = events.split_at(events.partition_point(|e| e.object() == *id));
            rest = after;
            let earlier = recording.earlier.get(id).copied().unwrap_or_default();
            if !events.is_empty() || earlier != Earlier::default() {
                let omitted = recording.omitted.get(id);
                timelines.push(Timeline::new(object, events, earlier, omitted));
            }
        }
        Self { recording, timelines }
    }

    /// Returns the recording that they were made from.
    pub fn recording(&self) -> &'r Recording {
        self.recording
    }

    /// Returns how many objects there are.
    pub fn len(&self) -> usize {
        self.timelines.len()
    }

    /// Returns whether there is no object.
    pub fn is_empty(&self) -> bool {
        self.timelines.is_empty()
    }

    /// Returns the objects, by number.
    pub fn iter(&self) -> std::slice::Iter<'_, Timeline<'r>> {
        self.timelines.iter()
    }

    /// Keeps only those for which `keep` returns true.
    pub fn retain(&mut self, keep: impl FnMut(&Timeline<'r>) -> bool) {
        self.timelines.retain(keep);
    }
}

impl<'t, 'r> IntoIterator for &'t Timelines<'r> {
    type Item = &'t Timeline<'r>;
    type IntoIter = std::slice::Iter<'t, Timeline<'r>>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

impl<'r> Timeline<'r> {
    fn new(
        object: &'r ObjectRecord,
        events: &'r [EventRecord],
        earlier: Earlier,
        omitted: Option<&Omitted>,
    ) -> Self {
        let mut timeline = Self {
            object,
            events,
            points: Vec::with_capacity(events.len()),
            lifelines: Vec::new(),
            peak_strong: 0,
            peak_weak: 0,
            whole: events.iter().zip(1..).all(|(event, seq)| event.seq == seq),
            omitted: omitted.map_or(0, |omitted| omitted.events),
            omitted_handles: omitted.map_or(0, |omitted| omitted.handles),
            strong: 0,
            weak: 0,
        };
        let mut gaps = omitted.map_or(&[][..], |omitted| &omitted.gaps).iter().peekable();
        // What is kept of a living handle is the index of its lifeline.
        let mut state = ObjectState::after(earlier);
        if omitted.is_some() {
            state.set_partial();
        }
        for event in events {
            while let Some(gap) = gaps.next_if(|gap| gap.before <= event.seq) {
                state.pass(gap);
            }
            timeline.follow(event, &mut state);
        }
        if let Some(last) = events.last() {
            let lifelines = &mut timeline.lifelines;
            state.finish(|change| change_lifeline(lifelines, change, last));
        }
        (timeline.strong, timeline.weak) = (state.strong(), state.weak());
        let peaks = omitted.map_or((0, 0), |omitted| (omitted.peak_strong, omitted.peak_weak));
        let points = timeline.points.iter();
        timeline.peak_strong = points.clone().map(|p| p.strong).fold(peaks.0, u32::max);
        timeline.peak_weak = points.map(|p| p.weak).fold(peaks.1, u32::max);
        timeline
    }

    fn follow(&mut self, event: &EventRecord, state: &mut ObjectState<usize>) {
        if let Some(strength) = event.op.makes() {
            self.lifelines.push(Lifeline::made(event, strength));
        }
        let made = self.lifelines.len().wrapping_sub(1);
        let lifelines = &mut self.lifelines;
        state.apply(&event.step(), |_| made, |change| change_lifeline(lifelines, change, event));
        self.points.push(Point {
            seq: event.seq,
            strong: event.strong,
            weak: state.weak(),
            time: event.time,
        });
    }

    /// Returns the strong count after the last known event.
    pub fn strong(&self) -> u32 {
        self.strong
    }

    /// Returns the weak count after the last known event.
    pub fn weak(&self) -> u32 {
        self.weak
    }

    /// Returns whether a traced strong handle was left when the recording ended.
    pub fn is_alive(&self) -> bool {
        self.strong() > 0
    }

    /// Returns how the last strong handle ended. None while one is left.
    pub fn fate(&self) -> Option<Op> {
        if self.is_alive() {
            return None;
        }
        let ended = self.events.iter().rev();
        ended.map(|event| event.op).find(|op| *op == Op::IntoInner || op.strong_delta() < 0)
    }
}

#[cfg(feature = "serde")]
fn is_zero(number: &u64) -> bool {
    *number == 0
}

/// An event changes a handle that was there.
fn change_lifeline(lifelines: &mut [Lifeline], change: Change<usize>, event: &EventRecord) {
    match change {
        Change::Ended(line) => lifelines[line].end = Some(End::by(event)),
        Change::Raw(line) => lifelines[line].raw = Some(event.op),
    }
}

impl Recording {
    /// Returns the objects' histories: the counts over time, and a lifeline for every handle.
    pub fn timelines(&self) -> Timelines<'_> {
        Timelines::new(self)
    }
}
