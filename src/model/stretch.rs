//! What was over again before a part of a recording ended: whoever asks for what is alive at the end alone is spared it.

use super::by_number::Keyed;
use super::object_state::Earlier;
use super::peak::BRIEFLY;
use super::{EventRecord, ObjectRecord};
use crate::event::{HandleId, ObjectId, Op, Strength, Time};
use crate::stack::StackId;
use std::hash::BuildHasher as _;

/// Consecutive events of an object. Those of handles that were made and ended among them are left out where nothing that is left
/// came of these handles; what they did to the counts is in [`Skipped`].
#[derive(Clone, Copy, Debug)]
pub(crate) struct Stretch {
    pub(crate) object: ObjectId,
    /// The numbers of the first event and of the last one.
    pub(crate) first: u64,
    pub(crate) last: u64,
    /// Of the first event.
    pub(crate) thread: u32,
    pub(crate) span: Option<u32>,
    pub(crate) time: Time,
    /// How many of its events are there, and whether these are all.
    pub(crate) events: u32,
    pub(crate) is_whole: bool,
}

/// Events that are left out.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Skipped {
    pub(crate) events: u64,
    /// The strong count after the last of them, and whether it was 0 after one.
    pub(crate) strong: u32,
    pub(crate) ended: bool,
    /// What they did to the weak count, and the lowest that this was after one of them.
    pub(crate) weak: i64,
    pub(crate) lowest_weak: i64,
}

/// An event, in as little room as it needs: a line of a processor's cache.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Brief {
    object: u64,
    seq: u64,
    /// The handle; of an event that made one, which has the event's number, the one that it was made from, or 0.
    handle: u64,
    /// The object of the handle that it was made from.
    of: u64,
    time: Time,
    strong: u32,
    location: u32,
    thread: u32,
    span: u32,
    stack: Option<StackId>,
    op: Op,
}

/// In place of a line or a span.
const NONE: u32 = u32::MAX;

impl Brief {
    #[inline(always)]
    pub(crate) fn new(event: &EventRecord) -> Self {
        let object = event.handle.object().number();
        let (handle, of) = match event.op.makes() {
            None => (event.handle.number(), object),
            Some(_) => match event.from {
                Some(from) => (from.number(), from.object().number()),
                None => (0, object),
            },
        };
        Self {
            object,
            seq: event.seq,
            handle,
            of,
            time: event.time,
            strong: event.strong,
            location: event.location.unwrap_or(NONE),
            thread: event.thread,
            span: event.span.unwrap_or(NONE),
            stack: event.stack,
            op: event.op,
        }
    }

    #[inline]
    pub(crate) fn record(&self) -> EventRecord {
        let object = ObjectId::from_number(self.object);
        let (handle, from) = match self.op.makes() {
            None => (self.handle, None),
            Some(_) => {
                let from = HandleId::new(ObjectId::from_number(self.of), self.handle);
                (self.seq, (self.handle != 0).then_some(from))
            }
        };
        EventRecord {
            op: self.op,
            handle: HandleId::new(object, handle),
            from,
            seq: self.seq,
            strong: self.strong,
            location: (self.location != NONE).then_some(self.location),
            thread: self.thread,
            time: self.time,
            stack: self.stack,
            span: (self.span != NONE).then_some(self.span),
        }
    }
}

/// Stretches, one after the other, with the events that are left of them.
#[derive(Debug, Default)]
pub(crate) struct Stretches {
    heads: Vec<Stretch>,
    events: Vec<Brief>,
    /// Of each stretch that is not whole: what is left out before each of its events, and after them.
    skipped: Vec<Skipped>,
    /// Objects that were born and are over, but for those that came and went at once: when they were made, and when they ended.
    pub(crate) lives: Vec<(ObjectRecord, Time, Time)>,
}

impl Stretches {
    fn with_room([heads, events, skipped]: [usize; 3]) -> Self {
        Self {
            heads: Vec::with_capacity(heads),
            events: Vec::with_capacity(events),
            skipped: Vec::with_capacity(skipped),
            lives: Vec::new(),
        }
    }

    /// Returns each with its events, and what is left out before each of them and after them.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (&Stretch, &[Brief], &[Skipped])> {
        let (mut events, mut skipped) = (&self.events[..], &self.skipped[..]);
        self.heads.iter().map(move |head| {
            let (own, rest) = events.split_at(head.events as usize);
            events = rest;
            let count = if head.is_whole { 0 } else { own.len() + 1 };
            let (between, rest) = skipped.split_at(count);
            skipped = rest;
            (head, own, between)
        })
    }
}

/// Makes stretches of the events of a part.
#[derive(Default)]
pub(crate) struct Condenser {
    events: Vec<Brief>,
    /// Of each event, the one of the same object that follows.
    next: Vec<u32>,
    runs: Vec<Run>,
    hasher: Keyed,
    /// By object: the round in which it was entered, and its run.
    table: Vec<(u64, u32, u32)>,
    round: u32,
    /// The events of the stretch at hand.
    steps: Vec<Step>,
    /// When the last strong handle ended in it, if it did.
    ended: Option<Time>,
    /// How many stretches the last part had, events that were left, and places between these.
    room: [usize; 3],
}

/// The events of an object.
struct Run {
    object: u64,
    first: u32,
    last: u32,
    /// Its birth is in the part, and its end, too.
    is_life: bool,
    /// When its last strong handle ended, if that is in the part.
    ended: Option<Time>,
}

#[derive(Clone, Copy)]
struct Step {
    event: u32,
    /// Where it is not kept: of the event that made a handle, the one that ended it, and the other way round; its own place if
    /// it says nothing of a handle.
    partner: u32,
}

impl Condenser {
    #[inline(always)]
    pub(crate) fn add(&mut self, event: &EventRecord) {
        self.events.push(Brief::new(event));
    }

    /// Makes stretches of what was added, in so many shares, and leaves out objects that were born and are over.
    pub(crate) fn condense(
        &mut self,
        objects: &mut Vec<(ObjectRecord, Earlier)>,
        shares: usize,
    ) -> Vec<Stretches> {
        let room = self.room.map(|room| room / shares + room / 8);
        let mut to: Vec<_> =
            std::iter::repeat_with(|| Stretches::with_room(room)).take(shares).collect();
        self.find_runs();
        for (object, earlier) in &*objects {
            if let Some(run) = self.run_of(object.id.number()) {
                self.runs[run].is_life = *earlier == Earlier::default();
            }
        }
        for run in 0..self.runs.len() {
            let share = share_of(self.runs[run].object, shares);
            self.runs[run].is_life = self.run(run, &mut to[share]);
        }
        objects.retain(|(object, _)| {
            let run = self.run_of(object.id.number()).map(|run| &self.runs[run]);
            let Some(run) = run.filter(|run| run.is_life) else { return true };
            let created = self.events[run.first as usize].time;
            if let Some(ended) = run.ended.filter(|ended| created.until(*ended) >= BRIEFLY) {
                let share = share_of(run.object, shares);
                to[share].lives.push((object.clone(), created, ended));
            }
            false
        });
        self.events.clear();
        let sum = |of: fn(&Stretches) -> usize| to.iter().map(of).sum();
        self.room =
            [sum(|to| to.heads.len()), sum(|to| to.events.len()), sum(|to| to.skipped.len())];
        to
    }

    /// Shares the events out among their objects.
    fn find_runs(&mut self) {
        self.runs.clear();
        self.next.clear();
        self.next.resize(self.events.len(), NONE);
        let room = (2 * self.events.len()).next_power_of_two();
        self.round = self.round.wrapping_add(1);
        if self.table.len() < room || self.round == 0 {
            self.table.clear();
            self.table.resize(room, (0, 0, 0));
            self.round = 1;
        }
        let (mut object, mut run) = (0, usize::MAX);
        for index in 0..self.events.len() as u32 {
            let number = self.events[index as usize].object;
            if number == object && run != usize::MAX {
                self.append(run, index);
                continue;
            }
            object = number;
            let slot = self.slot(number);
            let (_, round, known) = self.table[slot];
            if round == self.round {
                run = known as usize;
                self.append(run, index);
            } else {
                run = self.runs.len();
                self.table[slot] = (number, self.round, run as u32);
                let (first, last) = (index, index);
                self.runs.push(Run { object, first, last, is_life: false, ended: None });
            }
        }
    }

    #[inline]
    fn append(&mut self, run: usize, event: u32) {
        let run = &mut self.runs[run];
        self.next[run.last as usize] = event;
        run.last = event;
    }

    fn run_of(&self, object: u64) -> Option<usize> {
        let (_, round, run) = *self.table.get(self.slot(object))?;
        (round == self.round).then_some(run as usize)
    }

    /// Where an object is in the table, or would be.
    #[inline]
    fn slot(&self, object: u64) -> usize {
        let mask = self.table.len().wrapping_sub(1);
        let mut slot = self.hasher.hash_one(object) as usize & mask;
        while let Some(&(of, round, _)) = self.table.get(slot)
            && round == self.round
            && of != object
        {
            slot = (slot + 1) & mask;
        }
        slot
    }

    /// Makes stretches of a run, and returns whether it is an object's whole life: then it makes none.
    fn run(&mut self, run: usize, to: &mut Stretches) -> bool {
        let Run { first, mut is_life, .. } = self.runs[run];
        let mut at = first;
        // The first event may be any; the whole is a life where nothing is missing.
        is_life &= self.events[first as usize].seq == 1;
        loop {
            let begin = at;
            let (next, leaves_out, is_over) = self.walk(at);
            at = next;
            if at == NONE && is_life && is_over {
                self.runs[run].ended = self.ended;
                return true;
            }
            is_life = false;
            self.stretch(begin, leaves_out, to);
            if at == NONE {
                return false;
            }
        }
    }

    /// Finds the events of a stretch, and of each what can be left out with it. Returns where the next stretch begins, whether
    /// anything can be left out, and whether the object is over if this is all that happened to it.
    fn walk(&mut self, begin: u32) -> (u32, bool, bool) {
        self.steps.clear();
        self.ended = None;
        let first = self.events[begin as usize].seq;
        let (mut at, mut seq, mut weak) = (begin, first, 0);
        let (mut is_simple, mut leaves_out, mut has_label) = (true, false, false);
        loop {
            let event = &self.events[at as usize];
            let effect = &EFFECTS[event.op as usize];
            let place = self.steps.len() as u32;
            let mut partner = NONE;
            weak += i64::from(effect.weak);
            let strong = event.strong;
            match effect.kind {
                EffectKind::Makes => {}
                // Whoever wants to know when objects ended sees these.
                EffectKind::Ends if event.strong == 0 && effect.ends == 1 => {
                    self.ended = Some(event.time);
                }
                EffectKind::Ends => {
                    // A handle has the number of the event that made it.
                    let made = event.handle.wrapping_sub(first);
                    if made < u64::from(place)
                        && let step = &mut self.steps[made as usize]
                        && step.partner == NONE
                        && EFFECTS[self.events[step.event as usize].op as usize].makes
                            == effect.ends
                    {
                        step.partner = place;
                        partner = made as u32;
                        leaves_out = true;
                    }
                }
                EffectKind::Passes => {
                    partner = place;
                    leaves_out = true;
                }
                EffectKind::Other => {
                    is_simple = false;
                    has_label |= event.op == Op::Label;
                }
            }
            self.steps.push(Step { event: at, partner });
            at = self.next[at as usize];
            seq = seq.saturating_add(1);
            if at == NONE || self.events[at as usize].seq != seq {
                // A label comes beside its event, and would wait for the object.
                return (at, is_simple && leaves_out, strong == 0 && weak == 0 && !has_label);
            }
        }
    }

    fn stretch(&mut self, begin: u32, leaves_out: bool, to: &mut Stretches) {
        let first = &self.events[begin as usize];
        let mut head = Stretch {
            object: ObjectId::from_number(first.object),
            first: first.seq,
            last: first.seq.saturating_add(self.steps.len() as u64 - 1),
            thread: first.thread,
            span: (first.span != NONE).then_some(first.span),
            time: first.time,
            events: self.steps.len() as u32,
            is_whole: true,
        };
        if leaves_out {
            self.keep_parents(first.seq);
            head.events = self.steps.iter().filter(|step| step.partner == NONE).count() as u32;
            head.is_whole = head.events as usize == self.steps.len();
        }
        to.heads.push(head);
        let events = &self.events;
        if head.is_whole {
            to.events.extend(self.steps.iter().map(|step| events[step.event as usize]));
            return;
        }
        let mut skipped = Skipped::default();
        for step in &self.steps {
            let event = &events[step.event as usize];
            if step.partner == NONE {
                to.events.push(*event);
                to.skipped.push(std::mem::take(&mut skipped));
                continue;
            }
            skipped.weak += i64::from(EFFECTS[event.op as usize].weak);
            skipped.lowest_weak = match skipped.events {
                0 => skipped.weak,
                _ => skipped.lowest_weak.min(skipped.weak),
            };
            skipped.events += 1;
            skipped.strong = event.strong;
            skipped.ended |= event.strong == 0;
        }
        to.skipped.push(skipped);
    }

    /// Keeps handles that others which are kept were made from, since these have their paths from them.
    fn keep_parents(&mut self, first: u64) {
        // The stack of its birth is the object's.
        if first == 1 && self.events[self.steps[0].event as usize].stack.is_some() {
            self.keep(0);
        }
        for at in (0..self.steps.len()).rev() {
            let Step { event, partner } = self.steps[at];
            let event = &self.events[event as usize];
            if partner == NONE && event.op.makes().is_some() && event.of == event.object {
                let parent = event.handle.wrapping_sub(first);
                if parent < at as u64 {
                    self.keep(parent as usize);
                }
            }
        }
    }

    /// Keeps the event that made a handle, and the one that ended it.
    fn keep(&mut self, made: usize) {
        let partner = std::mem::replace(&mut self.steps[made].partner, NONE);
        if let Some(ended) = self.steps.get_mut(partner as usize) {
            ended.partner = NONE;
        }
    }
}

/// Which of several has an object. Neighbours, which a thread makes one after the other, go to different ones.
#[inline]
pub(crate) fn share_of(object: u64, shares: usize) -> usize {
    if shares.is_power_of_two() {
        object as usize & (shares - 1)
    } else {
        (object % shares as u64) as usize
    }
}

/// What an operation does, as far as it matters here.
#[derive(Clone, Copy)]
struct Effect {
    kind: EffectKind,
    weak: i8,
    /// The side of the handle that it makes, and of the one that it ends: 1 strong, 2 weak, 0 none.
    makes: u8,
    ends: u8,
}

#[derive(Clone, Copy)]
enum EffectKind {
    Makes,
    Ends,
    /// It says nothing of handles.
    Passes,
    /// Of raw pointers and others that are not simply made and ended.
    Other,
}

/// By the operation's number.
const EFFECTS: [Effect; 256] = {
    let none = Effect { kind: EffectKind::Other, weak: 0, makes: 0, ends: 0 };
    let mut effects = [none; 256];
    let mut at = 0;
    while at < Op::ALL.len() {
        let op = Op::ALL[at];
        let kind = match op {
            Op::New
            | Op::NewCyclic
            | Op::CopyOnWrite
            | Op::Clone
            | Op::Upgrade
            | Op::Downgrade
            | Op::WeakClone => EffectKind::Makes,
            Op::Drop | Op::WeakDrop | Op::MovedOut => EffectKind::Ends,
            Op::UpgradeFailed => EffectKind::Passes,
            _ => EffectKind::Other,
        };
        effects[op as usize] = Effect {
            kind,
            weak: op.weak_delta(),
            makes: match op.makes() {
                Some(Strength::Strong) => 1,
                Some(Strength::Weak) => 2,
                None => 0,
            },
            ends: if op.strong_delta() < 0 { 1 } else { 2 },
        };
        at += 1;
    }
    effects
};

#[cfg(test)]
mod tests {
    use super::{BRIEFLY, Condenser, Stretches};
    use crate::event::{HandleId, Kind, Location, ObjectId, Op, Time};
    use crate::model::replay::Seen;
    use crate::model::{Earlier, EventRecord, LiveObject, ObjectRecord, Recording, Replay};

    /// The same numbers in each run.
    struct Random(u64);

    impl Random {
        fn below(&mut self, limit: usize) -> usize {
            self.0 = self
                .0
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1_442_695_040_888_963_407);
            (self.0 >> 33) as usize % limit
        }

        fn of(&mut self, handles: &[u64]) -> Option<usize> {
            if handles.is_empty() { None } else { Some(self.below(handles.len())) }
        }
    }

    /// What a program may do to one object, some of it by raw pointers.
    fn history(id: u64, random: &mut Random, length: usize, raws: bool) -> Vec<EventRecord> {
        let object = ObjectId::from_number(id);
        let (mut strong, mut weak, mut raw) = (vec![1_u64], Vec::new(), Vec::new());
        let mut events: Vec<EventRecord> = Vec::new();
        let mut add =
            |op: Op, handle: Option<u64>, from: Option<u64>, count: usize, random: &mut Random| {
                let seq = events.len() as u64 + 1;
                events.push(EventRecord {
                    op,
                    handle: HandleId::new(object, handle.unwrap_or(seq)),
                    from: from.map(|from| HandleId::new(object, from)),
                    seq,
                    strong: count as u32,
                    location: Some(random.below(3) as u32),
                    thread: random.below(3) as u32,
                    time: Time::from_nanos(1_000_000 * seq + id),
                    stack: None,
                    span: (random.below(4) == 0).then_some(0),
                });
                seq
            };
        add(Op::New, None, None, 1, random);
        for step in 0..length {
            // Towards the end some objects are given up.
            let ends = !id.is_multiple_of(3) && step * 3 > length * 2;
            let choice = if ends { [1, 5, 7][random.below(3)] } else { random.below(10) };
            let counted = strong.len() + raw.len();
            match choice {
                0 | 8 => {
                    let Some(at) = random.of(&strong) else { continue };
                    let new = add(Op::Clone, None, Some(strong[at]), counted + 1, random);
                    strong.push(new);
                }
                1 | 9 => {
                    let Some(at) = random.of(&strong) else { continue };
                    let handle = strong.swap_remove(at);
                    add(Op::Drop, Some(handle), None, counted - 1, random);
                }
                2 => {
                    let Some(at) = random.of(&strong) else { continue };
                    weak.push(add(Op::Downgrade, None, Some(strong[at]), counted, random));
                }
                3 => {
                    let Some(at) = random.of(&weak) else { continue };
                    if counted == 0 {
                        add(Op::UpgradeFailed, Some(weak[at]), None, 0, random);
                    } else {
                        strong.push(add(Op::Upgrade, None, Some(weak[at]), counted + 1, random));
                    }
                }
                4 => {
                    let Some(at) = random.of(&weak) else { continue };
                    weak.push(add(Op::WeakClone, None, Some(weak[at]), counted, random));
                }
                5 => {
                    let Some(at) = random.of(&weak) else { continue };
                    let handle = weak.swap_remove(at);
                    add(Op::WeakDrop, Some(handle), None, counted, random);
                }
                6 if raws && random.below(4) == 0 => {
                    let Some(at) = random.of(&strong) else { continue };
                    let handle = strong.swap_remove(at);
                    add(Op::IntoRaw, Some(handle), None, counted, random);
                    raw.push(handle);
                }
                7 if !raw.is_empty() => {
                    let at = random.below(raw.len());
                    let from = raw.swap_remove(at);
                    strong.push(add(Op::FromRaw, None, Some(from), counted, random));
                }
                _ => {}
            }
        }
        events
    }

    type Part = (Vec<(ObjectRecord, Earlier)>, Vec<EventRecord>);

    /// Events as threads have written them into parts, which are read in some order.
    fn parts(histories: &[Vec<EventRecord>], random: &mut Random) -> Vec<Part> {
        let (mut open, mut done): ([Part; 3], Vec<Part>) = Default::default();
        let mut next = vec![0; histories.len()];
        let mut thread = 0;
        while next.iter().zip(histories).any(|(next, all)| *next < all.len()) {
            if random.below(6) == 0 {
                thread = random.below(3);
            }
            let of = random.below(histories.len());
            for _ in 0..1 + random.below(5) {
                let Some(event) = histories[of].get(next[of]) else { break };
                next[of] += 1;
                let part = &mut open[thread];
                if event.seq == 1 {
                    let record = ObjectRecord {
                        id: event.object(),
                        kind: Kind::Arc,
                        type_name: "Type".into(),
                        size: 8,
                        location: 0,
                        label: None,
                    };
                    part.0.push((record, Earlier::default()));
                }
                part.1.push(*event);
                if part.1.len() > 40 {
                    done.push(std::mem::take(part));
                }
            }
        }
        done.extend(open);
        // They are begun in one order and full in another.
        for _ in 0..random.below(4) {
            let (a, b) = (random.below(done.len()), random.below(done.len()));
            done.swap(a, b);
        }
        done
    }

    fn tables() -> Recording {
        Recording {
            locations: (1..4).map(|line| Location::new("src/lib.rs", line, 1)).collect(),
            threads: ["a", "b", "c"].map(Into::into).to_vec(),
            spans: vec!["request".into()],
            ..Recording::default()
        }
    }

    /// When an object was made, and when its last strong handle ended.
    type Ends = Vec<(ObjectId, Time, Time)>;

    fn see(ends: &mut Ends, seen: &Seen<'_>) -> bool {
        let end = seen.event.filter(|it| it.strong == 0 && it.op.strong_delta() < 0);
        if let Some(event) = end.filter(|event| seen.created.until(event.time) >= BRIEFLY) {
            ends.push((seen.object.id, seen.created, event.time));
        }
        true
    }

    fn one_by_one(parts: &[Part]) -> (Vec<LiveObject>, Ends) {
        let (mut replay, mut ends) = (Replay::unordered(), Ends::new());
        for (objects, events) in parts {
            for (object, earlier) in objects.iter().cloned() {
                replay.object_seen(object, earlier, &mut |seen: Seen<'_>| see(&mut ends, &seen));
            }
            for event in events {
                replay.event_seen(event, &mut |seen: Seen<'_>| see(&mut ends, &seen));
            }
        }
        ends.sort_unstable();
        (replay.live_objects(&tables()), ends)
    }

    /// The same, and how many events came to the replay.
    fn condensed(parts: &[Part], condenser: &mut Condenser) -> (Vec<LiveObject>, Ends, usize) {
        let (mut replay, mut ends) = (Replay::unordered(), Ends::new());
        let mut left = 0;
        for (objects, events) in parts {
            let mut objects = objects.clone();
            events.iter().for_each(|event| condenser.add(event));
            let shares: Vec<Stretches> = condenser.condense(&mut objects, 3);
            for (object, earlier) in objects {
                replay.object_seen(object, earlier, &mut |seen: Seen<'_>| see(&mut ends, &seen));
            }
            for (object, created, ended) in shares.iter().flat_map(|share| &share.lives) {
                ends.push((object.id, *created, *ended));
            }
            for (head, events, skipped) in shares.iter().flat_map(Stretches::iter) {
                left += events.len();
                let visit = &mut |seen: Seen<'_>| see(&mut ends, &seen);
                replay.stretch_seen(head, events, skipped, visit);
            }
        }
        ends.sort_unstable();
        (replay.live_objects(&tables()), ends, left)
    }

    #[test]
    fn what_is_left_says_the_same_of_what_is_alive() {
        let mut condenser = Condenser::default();
        let (mut alive, mut ended, mut all, mut left) = (0, 0, 0, 0);
        for seed in 0..600 {
            let mut random = Random(seed);
            let raws = seed % 2 == 0;
            let length = 4 + random.below(300);
            let histories: Vec<_> =
                (1..6).map(|id| history(id, &mut random, length, raws)).collect();
            let mut parts = parts(&histories, &mut random);
            let (live, ends, events) = condensed(&parts, &mut condenser);
            alive += live.len();
            ended += ends.len();
            assert_eq!((live, ends), one_by_one(&parts), "seed {seed}");
            if !raws {
                all += histories.iter().map(Vec::len).sum::<usize>();
                left += events;
            }
            // Of one that lost a part, as well.
            parts.remove(random.below(parts.len()));
            let (live, ends, _) = condensed(&parts, &mut condenser);
            assert_eq!((live, ends), one_by_one(&parts), "seed {seed}, cut");
        }
        assert!(ended > 400, "{ended}");
        assert!(alive > 400 && left * 10 < all * 9, "{alive} alive, {left} of {all} events left");
    }

    #[test]
    fn a_life_in_one_part_leaves_nothing() {
        let object = ObjectId::from_number(7);
        let event = |seq, op, handle, from: Option<u64>, strong| EventRecord {
            op,
            handle: HandleId::new(object, handle),
            from: from.map(|from| HandleId::new(object, from)),
            seq,
            strong,
            location: None,
            thread: 0,
            time: Time::START,
            stack: None,
            span: None,
        };
        let record = ObjectRecord {
            id: object,
            kind: Kind::Rc,
            type_name: "Type".into(),
            size: 8,
            location: 0,
            label: None,
        };
        let life = [
            event(1, Op::New, 1, None, 1),
            event(2, Op::Clone, 2, Some(1), 2),
            event(3, Op::Drop, 1, None, 1),
            event(4, Op::Drop, 2, None, 0),
        ];
        let condense = |events: &[EventRecord]| {
            let mut condenser = Condenser::default();
            events.iter().for_each(|event| condenser.add(event));
            let mut objects = vec![(record.clone(), Earlier::default())];
            let shares = condenser.condense(&mut objects, 1);
            let left: Vec<u64> =
                shares[0].iter().flat_map(|(_, events, _)| events).map(|it| it.seq).collect();
            (objects.len(), shares[0].heads.len(), left)
        };
        assert_eq!(condense(&life), (0, 0, vec![]));
        // The clone is alive, and came of the first handle, which has to be known for its path.
        assert_eq!(condense(&life[..3]), (1, 1, vec![1, 2, 3]));
        // Nothing came of the clone.
        let clone = [life[0], life[1], event(3, Op::Drop, 2, None, 1)];
        assert_eq!(condense(&clone), (1, 1, vec![1]));
        // What is missing in between may have been made from it.
        let gap = [life[0], life[1], event(4, Op::Drop, 2, None, 1)];
        assert_eq!(condense(&gap), (1, 2, vec![1, 2, 4]));
    }

    /// A file may say anything.
    #[test]
    fn numbers_at_their_limits() {
        let mut random = Random(5);
        let mut condenser = Condenser::default();
        for _ in 0..3_000 {
            let limits = [0, 1, 2, 3, u64::MAX - 1, u64::MAX];
            let mut replay = Replay::unordered();
            let mut objects = Vec::new();
            for _ in 0..random.below(12) {
                let mut number = || limits[random.below(limits.len())];
                let (id, seq, handle, from) = (number(), number(), number(), number());
                let object = ObjectId::from_number(id);
                let op = Op::ALL[random.below(Op::ALL.len())];
                condenser.add(&EventRecord {
                    op,
                    handle: HandleId::new(object, handle),
                    from: Some(HandleId::new(object, from)),
                    seq,
                    strong: random.below(3) as u32,
                    location: None,
                    thread: 0,
                    time: Time::START,
                    stack: None,
                    span: None,
                });
                let type_name = "Type".into();
                let (kind, size, location, label) = (Kind::Rc, 8, 0, None);
                let record = ObjectRecord { id: object, kind, type_name, size, location, label };
                let highest = limits[random.below(limits.len())];
                let events = limits[random.below(limits.len())];
                objects.push((record, Earlier { events, highest, strong: 1, weak: 0 }));
            }
            let shares = condenser.condense(&mut objects, 2);
            objects.into_iter().for_each(|(object, earlier)| replay.object(object, earlier));
            for (head, events, skipped) in shares.iter().flat_map(Stretches::iter) {
                replay.stretch(head, events, skipped);
            }
            replay.live_objects(&tables());
        }
    }
}
