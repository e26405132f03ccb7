use super::by_number::ByObject;
use super::object_state::{Earlier, ObjectState, Step};
use super::paths::Paths;
#[cfg(feature = "json")]
use super::stretch::{Brief, Skipped, Stretch};
use super::{EventRecord, Handle, LiveObject, ObjectRecord, PathStep, Recording};
use crate::event::{HandleId, Location, ObjectId, Op, Time};
use crate::stack::StackId;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

/// What is alive after the events so far, in memory that is bounded by what is alive.
///
/// The events of one object are applied in the order of their numbers. One that arrives before its turn waits
/// until those before it have arrived; at the end, what is still missing counts as lost.
#[derive(Debug, Default)]
pub(crate) struct Replay {
    objects: ByObject<State>,
    /// What came before its object, where it may.
    orphans: Option<ByObject<Orphans>>,
    /// How many events and labels wait there.
    waiting: usize,
    paths: Paths<(Op, Option<u32>)>,
}

#[derive(Debug, Default)]
struct Orphans {
    events: Vec<EventRecord>,
    #[cfg(feature = "json")]
    stretches: Vec<Waiting>,
    labels: Vec<(u64, String)>,
}

/// A stretch whose turn has not come: its events, and what is left out before each of them and after them.
#[cfg(feature = "json")]
#[derive(Debug)]
struct Waiting {
    head: Stretch,
    events: Vec<Brief>,
    skipped: Vec<Skipped>,
}

/// What came before its turn.
#[derive(Debug)]
enum Early {
    Event(EventRecord),
    #[cfg(feature = "json")]
    Stretch(Box<Waiting>),
}

/// What is seen of an object: each of its events, in order, or that none is known; and its end.
#[cfg_attr(not(feature = "json"), allow(dead_code))] // the reader looks
pub(crate) struct Seen<'a> {
    pub(crate) object: &'a ObjectRecord,
    pub(crate) earlier: Earlier,
    pub(crate) event: Option<&'a EventRecord>,
    /// When the object was made; not yet known at its first event.
    pub(crate) created: Time,
    /// It is the first that is seen of the object.
    pub(crate) is_first: bool,
    /// Nothing more will be: how many events there were, and the strong count after them.
    pub(crate) end: Option<(u64, u32)>,
}

/// Sees what is applied. What it answers to the first that there is of an object says whether it is to see the rest.
pub(crate) trait Visit: FnMut(Seen<'_>) -> bool {}
impl<F: FnMut(Seen<'_>) -> bool> Visit for F {}

#[derive(Debug)]
struct State {
    object: ObjectRecord,
    /// Whether it was seen, and is to be.
    seen: Option<bool>,
    /// Where it is not that there were no events earlier.
    earlier: Option<Box<Earlier>>,
    thread: Option<u32>,
    span: Option<u32>,
    stack: Option<StackId>,
    created: Time,
    /// The number of the event whose turn it is.
    next: u64,
    /// Events that came before their turn.
    early: BTreeMap<u64, Early>,
    /// Those that came after their turn, where some are missing from what is known of the beginning.
    #[cfg_attr(not(feature = "json"), allow(dead_code))] // the reader has events one by one
    late: Option<BTreeSet<u64>>,
    /// The number of the event that gave the label.
    #[cfg_attr(not(feature = "json"), allow(dead_code))] // the reader labels
    labeled: u64,
    allowed: bool,
    state: ObjectState<Kept>,
}

/// What is kept of a living handle.
#[derive(Clone, Copy, Debug)]
struct Kept {
    path: u32,
    thread: u32,
    created: Time,
    from: Option<HandleId>,
    stack: Option<StackId>,
    /// The path of the step by which it became a raw pointer; 0 for none.
    left: u32,
    span: Option<u32>,
}

/// Events that wait for their objects. There are some hundreds for each thread; more where a part of the file that
/// objects begin in is damaged.
const MOST_WAITING: usize = 1 << 19;

/// Events of an object that wait for one before them: more than some hundred threads can be behind with.
const MOST_EARLY: usize = 1 << 17;

impl Replay {
    /// Creates a replay of nothing.
    pub(crate) fn new() -> Self {
        Self::default()
    }

    /// Creates one in which events that come before their objects wait for them.
    #[cfg_attr(not(feature = "json"), allow(dead_code))]
    pub(crate) fn unordered() -> Self {
        Self { orphans: Some(ByObject::default()), ..Self::default() }
    }

    /// Adds an object, which had some events already.
    pub(crate) fn object(&mut self, object: ObjectRecord, earlier: Earlier) {
        self.object_seen(object, earlier, &mut |_: Seen<'_>| false);
    }

    /// Adds an object, and has seen what waited for it.
    pub(crate) fn object_seen(
        &mut self,
        object: ObjectRecord,
        earlier: Earlier,
        visit: &mut impl Visit,
    ) {
        let id = object.id;
        self.objects.entry(id).or_insert_with(|| State {
            object,
            seen: None,
            earlier: (earlier != Earlier::default()).then(|| Box::new(earlier)),
            thread: None,
            span: None,
            stack: None,
            created: Time::START,
            next: earlier.highest.saturating_add(1),
            late: (!earlier.includes(earlier.highest)).then(BTreeSet::new),
            early: BTreeMap::new(),
            labeled: 0,
            allowed: false,
            state: ObjectState::after(earlier),
        });
        let orphans = self.orphans.as_mut().filter(|orphans| !orphans.is_empty());
        if let Some(orphans) = orphans.and_then(|orphans| orphans.remove(&id)) {
            self.waiting -= orphans.events.len() + orphans.labels.len();
            orphans.labels.iter().for_each(|(seq, label)| self.label(id, *seq, label));
            orphans.events.iter().for_each(|event| self.event_seen(event, visit));
            #[cfg(feature = "json")]
            for Waiting { head, events, skipped } in &orphans.stretches {
                self.waiting -= 1 + events.len();
                self.stretch_seen(head, events, skipped, visit);
            }
        }
    }

    /// Labels an object, before the event of that.
    #[cfg_attr(not(feature = "json"), allow(dead_code))]
    pub(crate) fn label(&mut self, object: ObjectId, seq: u64, label: &str) {
        let Some(state) = self.objects.get_mut(&object) else {
            if let Some(orphans) = &mut self.orphans
                && self.waiting < MOST_WAITING
            {
                self.waiting += 1;
                orphans.entry(object).or_default().labels.push((seq, label.to_owned()));
            }
            return;
        };
        // The latest, in whichever order they come.
        if seq >= state.labeled {
            state.labeled = seq;
            state.object.label = Some(label.to_owned());
        }
    }

    /// Applies an event, or keeps it until its turn. Events of unknown objects are passed over.
    #[cfg_attr(not(feature = "json"), allow(dead_code))] // the reader has events one by one
    pub(crate) fn event(&mut self, event: &EventRecord) {
        self.event_seen(event, &mut |_: Seen<'_>| false);
    }

    /// Applies an event, and has seen what is applied.
    #[cfg_attr(not(feature = "json"), allow(dead_code))]
    pub(crate) fn event_seen(&mut self, event: &EventRecord, visit: &mut impl Visit) {
        let Some(state) = self.objects.get_mut(&event.object()) else {
            if let Some(orphans) = &mut self.orphans
                && self.waiting < MOST_WAITING
            {
                self.waiting += 1;
                orphans.entry(event.object()).or_default().events.push(*event);
            }
            return;
        };
        if state.take(event, &mut self.paths, visit) {
            self.objects.remove(&event.object());
        }
    }

    /// Applies what is there of consecutive events of an object, or keeps it until its turn.
    #[cfg(feature = "json")]
    pub(crate) fn stretch(&mut self, head: &Stretch, events: &[Brief], skipped: &[Skipped]) {
        self.stretch_seen(head, events, skipped, &mut |_: Seen<'_>| false);
    }

    /// The same, and has seen what is there and applied.
    #[cfg(feature = "json")]
    pub(crate) fn stretch_seen(
        &mut self,
        head: &Stretch,
        events: &[Brief],
        skipped: &[Skipped],
        visit: &mut impl Visit,
    ) {
        let waiting =
            || Waiting { head: *head, events: events.to_vec(), skipped: skipped.to_vec() };
        let Some(state) = self.objects.get_mut(&head.object) else {
            if let Some(orphans) = &mut self.orphans
                && self.waiting < MOST_WAITING
            {
                self.waiting += 1 + events.len();
                orphans.entry(head.object).or_default().stretches.push(waiting());
            }
            return;
        };
        if head.first > state.next {
            state.early.entry(head.first).or_insert_with(|| Early::Stretch(Box::new(waiting())));
            state.give_up(&mut self.paths, visit);
            return;
        }
        if head.first < state.next
            && !state.late.as_mut().is_some_and(|late| late.insert(head.first))
        {
            return;
        }
        state.apply_stretch(head, events, skipped, &mut self.paths, visit);
        if state.take_early(&mut self.paths, visit) {
            self.objects.remove(&head.object);
        }
    }

    /// Applies the events of a recording, which are sorted, whatever is missing among them.
    pub(crate) fn sorted_events(&mut self, events: &[EventRecord]) {
        let mut events = events.iter().peekable();
        while let Some(object) = events.peek().map(|event| event.object()) {
            let mut state = self.objects.get_mut(&object);
            while let Some(event) = events.next_if(|event| event.object() == object) {
                if let Some(state) = &mut state {
                    state.apply(event, &mut self.paths, &mut |_: Seen<'_>| false);
                }
            }
        }
    }

    /// Returns how many handles had their path cut because the table of paths was full.
    pub(crate) fn paths_cut(&self) -> u64 {
        self.paths.cut()
    }

    /// Forgets labels without a time whose turn has not come, and after which nothing has: where a replay ends before its
    /// recording, they may belong to what comes later, even to objects that are not there yet.
    #[cfg_attr(not(feature = "json"), allow(dead_code))] // the reader stops at moments
    pub(crate) fn forget_untimed(&mut self) {
        for state in self.objects.values_mut() {
            while let Some(last) = state.early.last_entry()
                && let Early::Event(event) = last.get()
                && event.op == Op::Label
                && event.time == Time::START
            {
                last.remove();
            }
        }
    }

    /// Ends the replay, and returns what is alive. `recording` has the tables that the events refer to.
    pub(crate) fn live_objects(&mut self, recording: &Recording) -> Vec<LiveObject> {
        self.live_objects_seen(recording, &mut |_: Seen<'_>| false)
    }

    /// The same, and has seen what is left.
    pub(crate) fn live_objects_seen(
        &mut self,
        recording: &Recording,
        visit: &mut impl Visit,
    ) -> Vec<LiveObject> {
        let mut tables = Tables { paths: &Paths::default(), known: HashMap::new(), recording };
        let paths = &mut self.paths;
        let mut states: Vec<_> = self.objects.drain().map(|(_, state)| state).collect();
        states.sort_unstable_by_key(|state| state.object.id);
        for state in &mut states {
            for early in std::mem::take(&mut state.early).values() {
                state.apply_early(early, paths, visit);
            }
            state.see(None, visit);
            state.state.finish(|_| {});
            state.end(visit);
        }
        tables.paths = paths;
        states.retain(State::is_alive);
        states.into_iter().map(|state| state.live_object(&mut tables)).collect()
    }
}

impl State {
    /// Applies an event, and what waited for it, or keeps it until its turn. Returns whether the object is over.
    #[inline]
    fn take(
        &mut self,
        event: &EventRecord,
        paths: &mut Paths<(Op, Option<u32>)>,
        visit: &mut impl Visit,
    ) -> bool {
        if event.seq > self.next {
            self.early.entry(event.seq).or_insert(Early::Event(*event));
            return self.give_up(paths, visit);
        }
        // It was applied already, or is part of what is known of the beginning.
        if event.seq < self.next && !self.late.as_mut().is_some_and(|late| late.insert(event.seq)) {
            return false;
        }
        self.apply(event, paths, visit);
        self.take_early(paths, visit)
    }

    /// Waits no longer for an event where so many wait for it: it is lost. One that comes all the same is applied then.
    fn give_up(&mut self, paths: &mut Paths<(Op, Option<u32>)>, visit: &mut impl Visit) -> bool {
        if self.early.len() <= MOST_EARLY {
            return false;
        }
        self.late.get_or_insert_default();
        if let Some((_, first)) = self.early.pop_first() {
            self.apply_early(&first, paths, visit);
        }
        self.take_early(paths, visit)
    }

    /// Applies what has waited for its turn, and returns whether the object is over.
    #[inline]
    fn take_early(&mut self, paths: &mut Paths<(Op, Option<u32>)>, visit: &mut impl Visit) -> bool {
        while let Some(first) = self.early.first_entry()
            && *first.key() <= self.next
        {
            let early = first.remove();
            self.apply_early(&early, paths, visit);
        }
        let is_over = self.state.is_over() && self.early.is_empty();
        if is_over {
            self.end(visit);
        }
        is_over
    }

    fn apply_early(
        &mut self,
        early: &Early,
        paths: &mut Paths<(Op, Option<u32>)>,
        visit: &mut impl Visit,
    ) {
        match early {
            Early::Event(event) => self.apply(event, paths, visit),
            #[cfg(feature = "json")]
            Early::Stretch(waiting) => {
                let Waiting { head, events, skipped } = &**waiting;
                self.apply_stretch(head, events, skipped, paths, visit);
            }
        }
    }

    #[cfg(feature = "json")]
    fn apply_stretch(
        &mut self,
        head: &Stretch,
        events: &[Brief],
        skipped: &[Skipped],
        paths: &mut Paths<(Op, Option<u32>)>,
        visit: &mut impl Visit,
    ) {
        self.set_created(head.first, head.thread, head.time, head.span);
        if head.is_whole {
            events.iter().for_each(|event| self.apply(&event.record(), paths, visit));
            return;
        }
        // The number of the next event.
        let mut next = head.first;
        for (index, before) in skipped.iter().enumerate() {
            if before.events > 0 {
                next = next.saturating_add(before.events);
                self.state.skip(before, next - 1);
            }
            if let Some(event) = events.get(index) {
                self.apply(&event.record(), paths, visit);
                next = next.saturating_add(1);
            }
        }
        self.next = self.next.max(head.last.saturating_add(1));
    }

    /// Takes from an event where the object was made, and when: the first alone says so, which may come after others. Without it
    /// the object is as old as what is seen of it first.
    #[inline]
    fn set_created(&mut self, seq: u64, thread: u32, time: Time, span: Option<u32>) {
        if seq == 1 {
            (self.thread, self.created, self.span) = (Some(thread), time, span);
        } else if self.thread.is_none() && self.created == Time::START {
            self.created = time;
        }
    }

    /// Has an event seen, or that there is none.
    #[inline]
    fn see(&mut self, event: Option<&EventRecord>, visit: &mut impl Visit) {
        let is_first = self.seen.is_none();
        if self.seen == Some(false) || (event.is_none() && !is_first) {
            return;
        }
        let earlier = self.earlier.as_deref().copied().unwrap_or_default();
        let created = self.created;
        let wanted =
            visit(Seen { object: &self.object, earlier, event, created, is_first, end: None });
        self.seen.get_or_insert(wanted);
    }

    fn end(&self, visit: &mut impl Visit) {
        if self.seen == Some(true) {
            let earlier = self.earlier.as_deref().copied().unwrap_or_default();
            let events = self.state.received().saturating_sub(earlier.events);
            let end = Some((events, self.state.strong()));
            let created = self.created;
            visit(Seen {
                object: &self.object,
                earlier,
                event: None,
                created,
                is_first: false,
                end,
            });
        }
    }

    #[inline]
    fn apply(
        &mut self,
        event: &EventRecord,
        paths: &mut Paths<(Op, Option<u32>)>,
        visit: &mut impl Visit,
    ) {
        self.see(Some(event), visit);
        self.set_created(event.seq, event.thread, event.time, event.span);
        if event.handle.number() == 1 && event.op.makes().is_some() {
            self.stack = event.stack;
        }
        self.next = self.next.max(event.seq.saturating_add(1));
        self.allowed |= event.op == Op::Allow;
        let make = |parent: Option<Kept>| Kept {
            // A pointer of std's that comes back names the handle that left, which may end after this: no parent of the path.
            path: paths.extend(
                parent.filter(|_| event.op != Op::FromStd).map_or(0, |parent| parent.path),
                (event.op, event.location),
            ),
            thread: event.thread,
            created: event.time,
            from: event.from,
            stack: event.stack,
            left: 0,
            span: event.span,
        };
        self.state.apply(&event.step(), make, |_| {});
        if matches!(event.op, Op::IntoRaw | Op::WeakIntoRaw | Op::Leak)
            && let Some(handle) = self.state.handle_mut(event.handle.number())
        {
            handle.left = paths.extend(0, (event.op, event.location));
        }
    }

    fn is_alive(&self) -> bool {
        self.state.strong() > 0 || !self.state.handles().is_empty()
    }

    fn live_object(self, tables: &mut Tables<'_>) -> LiveObject {
        let Self { object, .. } = self;
        let handles = self.state.handles().iter().map(|living| Handle {
            id: HandleId::new(object.id, living.number),
            strength: living.strength,
            path: tables.path(living.handle.path),
            from: living.handle.from,
            thread: tables.thread(living.handle.thread),
            created: living.handle.created,
            raw: living.raw,
            left: tables.path(living.handle.left).last().filter(|_| living.raw).cloned(),
            span: tables.span(living.handle.span),
            stack: living.handle.stack,
        });
        LiveObject {
            handles: handles.collect(),
            label: object.label,
            thread: self.thread.map_or_else(Arc::default, |thread| tables.thread(thread)),
            created: self.created,
            strong: self.state.strong(),
            allowed: self.allowed,
            span: tables.span(self.span),
            stack: self.stack,
            ..LiveObject::new(
                object.id,
                object.kind,
                object.type_name,
                object.size,
                tables.location(object.location).unwrap_or_else(|| Location::new("?", 0, 0)),
            )
        }
    }
}

/// What records refer to by number, and the paths that were made of it.
struct Tables<'a> {
    paths: &'a Paths<(Op, Option<u32>)>,
    known: HashMap<u32, Arc<[PathStep]>>,
    recording: &'a Recording,
}

impl Tables<'_> {
    fn location(&self, index: u32) -> Option<Location> {
        self.recording.locations().get(index as usize).cloned()
    }

    fn thread(&self, index: u32) -> Arc<str> {
        let name = self.recording.threads().get(index as usize).cloned();
        name.unwrap_or_else(|| "?".into())
    }

    fn span(&self, index: Option<u32>) -> Option<Arc<str>> {
        self.recording.spans().get(index? as usize).cloned()
    }

    fn path(&mut self, path: u32) -> Arc<[PathStep]> {
        if let Some(known) = self.known.get(&path) {
            return Arc::clone(known);
        }
        let steps = self.paths.steps(path);
        let step = |((op, location), cut): ((Op, Option<u32>), bool)| {
            PathStep::new(op, location.and_then(|location| self.location(location)), cut)
        };
        let steps: Arc<[PathStep]> = steps.into_iter().map(step).collect();
        Arc::clone(self.known.entry(path).or_insert(steps))
    }
}

impl EventRecord {
    /// What the fold wants to know.
    pub(crate) fn step(&self) -> Step {
        Step {
            op: self.op,
            seq: self.seq,
            handle: self.handle.number(),
            from: self.from.filter(|from| from.object() == self.object()).map(HandleId::number),
            strong: self.strong,
        }
    }
}

#[cfg(all(test, feature = "json"))]
mod tests {
    use super::{MOST_EARLY, Replay};
    use crate::event::{HandleId, Kind, ObjectId, Op, Time};
    use crate::model::{Earlier, EventRecord, ObjectRecord, Recording};

    /// What is lost is not waited for: else all that happens to its object from then on would be kept.
    #[test]
    fn few_events_wait_for_one_that_is_lost() {
        let id = ObjectId::from_number(7);
        let event = |seq, op, handle, strong| EventRecord {
            op,
            handle: HandleId::new(id, handle),
            from: None,
            seq,
            strong,
            location: None,
            thread: 0,
            time: Time::from_nanos(seq),
            stack: None,
            span: None,
        };
        let (kind, type_name, size, location) = (Kind::Arc, "Config".into(), 8, 0);
        let object = ObjectRecord { id, kind, type_name, size, location, label: None };
        let mut replay = Replay::unordered();
        replay.object(object, Earlier::default());
        replay.event(&event(1, Op::New, 1, 1));
        // The second is missing.
        for seq in (3..400_000).step_by(2) {
            replay.event(&event(seq, Op::Clone, seq, 3));
            replay.event(&event(seq + 1, Op::Drop, seq, 2));
            assert!(replay.objects[&id].early.len() <= MOST_EARLY);
        }
        assert!(replay.objects[&id].early.is_empty());
        // It comes all the same.
        replay.event(&event(2, Op::Clone, 2, 2));
        let alive = replay.live_objects(&Recording::default());
        let numbers: Vec<u64> = alive[0].handles.iter().map(|handle| handle.id.number()).collect();
        assert_eq!((alive[0].strong, numbers), (2, vec![1, 2]));
    }
}
