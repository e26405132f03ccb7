use super::{Holder, Living, Made};
use crate::event::{Op, Standing, Strength, Time, ended, replaced};
use crate::recording::{EventInfo, ObjectInfo, Place};
use std::collections::HashMap;

/// What is alive after the events so far: a recording that is too long to be kept is folded event by event, in memory
/// that is bounded by what is alive.
///
/// The events of one object have to come in the order of their numbers, or nearly so: those of several threads may be
/// written in another order than they happened, and wait here until their turn.
#[derive(Debug, Default)]
pub struct Fold {
    objects: HashMap<u64, State>,
    events: u64,
    over: u64,
}

#[derive(Debug)]
struct State {
    info: ObjectInfo,
    thread: u32,
    since: Time,
    next: u64,
    /// Events that came before their turn.
    early: Vec<EventInfo>,
    strong: u32,
    weak: i64,
    allowed: bool,
    handles: Vec<Handle>,
}

#[derive(Debug)]
struct Handle {
    number: u64,
    op: Op,
    strength: Strength,
    from: Option<(u64, u64)>,
    path: Vec<(Op, Option<u32>)>,
    thread: u32,
    since: Time,
    away: bool,
}

/// Steps of a path that are kept.
const LONGEST: usize = 24;

impl Fold {
    /// Nothing has happened yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// An object is born; or it is known from before what is kept, and has had `events`, which changed its weak count
    /// by `weak`.
    pub fn object(&mut self, info: ObjectInfo, events: u64, weak: i64) {
        let state = State {
            thread: 0,
            since: Time::START,
            next: events + 1,
            early: Vec::new(),
            strong: 0,
            weak,
            allowed: false,
            handles: Vec::new(),
            info,
        };
        self.objects.entry(state.info.id).or_insert(state);
    }

    /// The object is given a label.
    pub fn label(&mut self, object: u64, label: &str) {
        if let Some(state) = self.objects.get_mut(&object) {
            state.info.label = Some(label.to_owned());
        }
    }

    /// The next event. Those of objects that are not known are passed over.
    pub fn event(&mut self, event: EventInfo) {
        self.events += 1;
        let Some(state) = self.objects.get_mut(&event.object) else { return };
        if event.seq > state.next && state.next > 1 && event.seq - state.next < 1 << 12 {
            state.early.push(event);
            return;
        }
        state.follow(&event);
        while let Some(place) = state.early.iter().position(|early| early.seq <= state.next) {
            let early = state.early.swap_remove(place);
            state.follow(&early);
        }
        if state.strong == 0 && state.weak <= 0 && state.early.is_empty() && state.next > 1 {
            self.objects.remove(&event.object);
            self.over += 1;
        }
    }

    /// How many events there were.
    pub fn events(&self) -> u64 {
        self.events
    }

    /// How many objects are over.
    pub fn over(&self) -> u64 {
        self.over
    }

    /// What is alive, with the tables that the events refer to.
    pub fn living(mut self, places: &[Place], threads: &[String]) -> Vec<Living> {
        let place = |index: u32| places.get(index as usize).cloned();
        let thread = |index: u32| threads.get(index as usize).cloned().unwrap_or_default();
        for state in self.objects.values_mut() {
            // What never had its turn, because something before it was lost.
            let mut early = std::mem::take(&mut state.early);
            early.sort_by_key(|event| event.seq);
            early.iter().for_each(|event| state.follow(event));
        }
        let mut living: Vec<_> = (self.objects.into_values())
            .filter(|state| !state.handles.is_empty())
            .map(|state| Living {
                id: state.info.id,
                kind: state.info.kind,
                type_name: state.info.type_name,
                label: state.info.label,
                size: state.info.size,
                born: place(state.info.born).unwrap_or_else(|| Place::new("?", 0, 0)),
                thread: thread(state.thread),
                since: state.since,
                strong: state.strong,
                allowed: state.allowed,
                span: None,
                holders: (state.handles.into_iter())
                    .map(|handle| Holder {
                        number: handle.number,
                        strength: handle.strength,
                        path: (handle.path.into_iter())
                            .map(|(op, at)| Made { op, place: at.and_then(place) })
                            .collect(),
                        from: handle.from,
                        thread: thread(handle.thread),
                        since: handle.since,
                        away: handle.away,
                        span: None,
                    })
                    .collect(),
            })
            .collect();
        living.sort_by_key(|object| object.id);
        living
    }
}

impl State {
    fn standing(&self) -> impl Iterator<Item = Standing> + Clone + '_ {
        self.handles.iter().map(|handle| Standing {
            number: handle.number,
            op: handle.op,
            strength: handle.strength,
            away: handle.away,
        })
    }

    fn remove(&mut self, number: Option<u64>) {
        self.handles.retain(|handle| Some(handle.number) != number);
    }

    fn follow(&mut self, event: &EventInfo) {
        if self.next == 1 {
            (self.thread, self.since) = (event.thread, event.time);
        }
        self.next = self.next.max(event.seq + 1);
        self.strong = event.strong;
        self.weak += i64::from(event.op.weak_delta());
        self.allowed |= event.op == Op::Allow;
        if let Some(strength) = event.op.makes() {
            let origin = event.from.filter(|from| from.0 == self.info.id).map(|from| from.1);
            let parent = self.handles.iter().find(|handle| Some(handle.number) == origin);
            let mut path = parent.map_or_else(Vec::new, |parent| parent.path.clone());
            let made = (event.op, event.place);
            if path.last() != Some(&made) {
                path.push(made);
            }
            if path.len() > LONGEST {
                path.remove(0);
            }
            if matches!(event.op, Op::FromRaw | Op::WeakFromRaw) {
                self.remove(replaced(self.standing(), event.op, strength, origin));
            }
            self.handles.push(Handle {
                number: event.handle,
                op: event.op,
                strength,
                from: event.from,
                path,
                thread: event.thread,
                since: event.time,
                away: false,
            });
        } else if event.op.ends() {
            self.remove(ended(self.standing(), event.handle));
        } else if matches!(event.op, Op::IntoRaw | Op::WeakIntoRaw | Op::Leak) {
            let handle = self.handles.iter_mut().find(|handle| handle.number == event.handle);
            if let Some(handle) = handle {
                handle.away = true;
            }
        }
    }
}
