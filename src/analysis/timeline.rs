use crate::event::{Op, Standing, Strength, Time, ended, replaced};
use crate::recording::{Earlier, EventInfo, ObjectInfo, Recording};
use crate::render::Terminal;
use std::fmt;

/// The histories of a recording's objects. Given by [`Recording::timelines`].
///
/// `Display` is the plain text that [`Terminal`] makes of them, 80 columns wide;
/// [`print`](Timelines::print) prints as the terminal likes it.
#[derive(Clone, Debug)]
pub struct Timelines<'r> {
    recording: &'r Recording,
    timelines: Vec<Timeline<'r>>,
}

/// The history of one object.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Timeline<'r> {
    /// What it is.
    pub object: &'r ObjectInfo,
    /// Its events, in order.
    pub events: &'r [EventInfo],
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
}

/// The counts after an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
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
#[non_exhaustive]
pub struct Lifeline {
    /// Its number within the object: the place of the event that made it.
    pub handle: u64,
    /// Strong or weak.
    pub strength: Strength,
    /// What made it.
    pub op: Op,
    /// Object and number of the handle that it was made from.
    pub from: Option<(u64, u64)>,
    /// The line that made it: an index into [`Recording::places`].
    pub place: Option<u32>,
    /// The thread that made it: an index into [`Recording::threads`].
    pub thread: u32,
    /// When it was made.
    pub born: Time,
    /// Its end. None: it is alive.
    pub end: Option<End>,
    /// How it left refscope's sight, if it did and has not come back: it counts on.
    pub away: Option<Op>,
}

impl Lifeline {
    /// Whether it had not ended when the recording did.
    pub fn is_alive(&self) -> bool {
        self.end.is_none()
    }
}

/// The end of a handle.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct End {
    /// How it ended.
    pub op: Op,
    /// The place of that event in the object's history.
    pub seq: u64,
    /// The thread that it ended on: an index into [`Recording::threads`].
    pub thread: u32,
    /// When it ended.
    pub time: Time,
}

impl<'r> Timelines<'r> {
    pub(crate) fn new(recording: &'r Recording) -> Self {
        let timelines = (recording.events.chunk_by(|a, b| a.object == b.object))
            .filter_map(|events| {
                // Without a birth, which was lost, nothing can be said of what it is.
                let object = recording.objects.get(&events.first()?.object)?;
                let earlier = recording.earlier.get(&object.id).copied().unwrap_or_default();
                Some(Timeline::new(object, events, earlier))
            })
            .collect();
        Self { recording, timelines }
    }

    /// The recording they were made from.
    pub fn recording(&self) -> &'r Recording {
        self.recording
    }

    /// How many objects there are.
    pub fn len(&self) -> usize {
        self.timelines.len()
    }

    /// Whether there is no object.
    pub fn is_empty(&self) -> bool {
        self.timelines.is_empty()
    }

    /// The objects, by number.
    pub fn iter(&self) -> std::slice::Iter<'_, Timeline<'r>> {
        self.timelines.iter()
    }

    /// Leaves only those that `keep` accepts.
    pub fn retain(&mut self, keep: impl FnMut(&Timeline<'r>) -> bool) {
        self.timelines.retain(keep);
    }

    /// Prints them to stdout, as wide and as colourful as the terminal there is.
    pub fn print(&self) {
        Terminal::stdout().print(self);
    }
}

impl<'t, 'r> IntoIterator for &'t Timelines<'r> {
    type Item = &'t Timeline<'r>;
    type IntoIter = std::slice::Iter<'t, Timeline<'r>>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

impl fmt::Display for Timelines<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        Terminal::plain(80).write(self, f)
    }
}

impl<'r> Timeline<'r> {
    fn new(object: &'r ObjectInfo, events: &'r [EventInfo], earlier: Earlier) -> Self {
        let mut timeline = Self {
            object,
            events,
            points: Vec::with_capacity(events.len()),
            lifelines: Vec::new(),
            peak_strong: 0,
            peak_weak: 0,
            whole: events.iter().zip(1..).all(|(event, seq)| event.seq == seq),
        };
        let mut weak = earlier.weak;
        for event in events {
            weak += i64::from(event.op.weak_delta());
            timeline.follow(event);
            timeline.points.push(Point {
                seq: event.seq,
                strong: event.strong,
                weak: u32::try_from(weak).unwrap_or(0),
                time: event.time,
            });
        }
        timeline.peak_strong = timeline.points.iter().map(|p| p.strong).max().unwrap_or(0);
        timeline.peak_weak = timeline.points.iter().map(|p| p.weak).max().unwrap_or(0);
        if timeline.whole && timeline.strong() == 0 && timeline.weak() == 0 {
            timeline.close();
        }
        timeline
    }

    fn follow(&mut self, event: &EventInfo) {
        let end = End { op: event.op, seq: event.seq, thread: event.thread, time: event.time };
        if let Some(strength) = event.op.makes() {
            if matches!(event.op, Op::FromRaw | Op::WeakFromRaw) {
                let origin = event.from.map(|(_, number)| number);
                self.end(replaced(self.standing(), event.op, strength, origin), end);
            }
            self.lifelines.push(Lifeline {
                handle: event.handle,
                strength,
                op: event.op,
                from: event.from,
                place: event.place,
                thread: event.thread,
                born: event.time,
                end: None,
                away: None,
            });
        } else if event.op.ends() {
            // By far the most end as themselves, and are found without a look at the others.
            let itself = self.find(event.handle).map(|_| event.handle);
            self.end(itself.or_else(|| ended(self.standing(), event.handle)), end);
        } else if matches!(event.op, Op::IntoRaw | Op::WeakIntoRaw | Op::Leak)
            && let Some(place) = self.find(event.handle)
        {
            self.lifelines[place].away = Some(event.op);
        }
    }

    /// A living handle by its number. Numbers ascend.
    fn find(&self, handle: u64) -> Option<usize> {
        let place = self.lifelines.binary_search_by_key(&handle, |line| line.handle).ok()?;
        self.lifelines[place].is_alive().then_some(place)
    }

    fn standing(&self) -> impl Iterator<Item = Standing> + Clone + '_ {
        self.lifelines.iter().filter(|line| line.is_alive()).map(|line| Standing {
            number: line.handle,
            op: line.op,
            strength: line.strength,
            away: line.away.is_some(),
        })
    }

    fn end(&mut self, number: Option<u64>, end: End) {
        if let Some(place) = number.and_then(|number| self.find(number)) {
            self.lifelines[place].end = Some(end);
        }
    }

    /// All is over: what has no end of its own (a view of a raw pointer) ends with the object.
    fn close(&mut self) {
        if let Some(last) = self.events.last() {
            let end = End { op: last.op, seq: last.seq, thread: last.thread, time: last.time };
            for line in self.lifelines.iter_mut().filter(|line| line.is_alive()) {
                line.end = Some(end);
            }
        }
    }

    /// The strong count after the last known event.
    pub fn strong(&self) -> u32 {
        self.points.last().map_or(0, |point| point.strong)
    }

    /// The weak count after the last known event.
    pub fn weak(&self) -> u32 {
        self.points.last().map_or(0, |point| point.weak)
    }

    /// Whether a traced strong handle was left when the recording ended.
    pub fn is_alive(&self) -> bool {
        self.strong() > 0
    }

    /// How the last strong handle ended. None while one is left.
    pub fn fate(&self) -> Option<Op> {
        if self.is_alive() {
            return None;
        }
        let ended = self.events.iter().rev();
        ended.map(|event| event.op).find(|op| *op == Op::IntoInner || op.strong_delta() < 0)
    }
}
