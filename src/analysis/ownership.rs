//! What a report needs of an ownership graph.

use super::{Part, Retention};
use crate::event::ObjectId;
use crate::locate::{Cycle, Grade, Held, LocatedHandle, NodeKind, Owner, Ownership, dominators};
use std::collections::BTreeSet;

/// Steps from a block to the object that it belongs to. Longer chains are not reported as fields.
const FARTHEST: usize = 64;

impl Ownership {
    /// Returns who keeps whom alive, for a report: the cycles; which objects hang on another one or on a cycle, since every
    /// strong handle of theirs is in it or in what hangs on it; and what the paths to the others begin with.
    pub fn retention(&self) -> Retention {
        let mut retention = Retention::new();
        let starts = Starts::new(self);
        let mut in_cycle = BTreeSet::new();
        for (number, cycle) in (0..).zip(&self.cycles) {
            retention.add_cycle(cycle.objects.iter().copied());
            in_cycle.extend(cycle.objects.iter().copied());
            self.handles_in_cycle(number, cycle, &mut retention);
            for &id in cycle.objects.iter().filter(|&&id| starts.is_weakly_held_by(id, number)) {
                retention.set_weakly_held(id);
            }
            let part = part_of_cycle(cycle);
            cycle.objects.iter().for_each(|&id| retention.set_part(id, part.clone()));
        }
        for object in self.objects.iter().filter(|object| !in_cycle.contains(&object.id)) {
            let of_path = object.node.and_then(|node| starts.part(node));
            if let Some(part) = of_path.or_else(|| starts.part_of_weak(object.id)) {
                retention.set_part(object.id, part);
            }
        }
        self.hang(&mut retention);
        retention
    }

    /// Says by which handles the objects of a cycle hold each other.
    fn handles_in_cycle(&self, number: u32, cycle: &Cycle, retention: &mut Retention) {
        let is_object = |id: ObjectId| cycle.objects.binary_search(&id).is_ok();
        let handles = cycle.objects.iter().flat_map(|&id| self.handles_of(id));
        for handle in handles.filter(|handle| handle.is_strong) {
            // Blocks between the objects are part of the cycle as well.
            let is_part = |node: u32| match self.object_of(node) {
                Some(Above::Object(id)) => is_object(id),
                Some(Above::Cycle(cycle)) => cycle == number,
                None => false,
            };
            let (is_in_cycle, field) = match &handle.owner {
                Owner::Object { object, field, .. } => (is_object(*object), field),
                Owner::Block { node, field, .. } => (is_part(*node), field),
                _ => continue,
            };
            match (&handle.owner, field) {
                _ if !is_in_cycle => {}
                (Owner::Block { .. }, None) => retention.add_cycle_handle_in_block(handle.id),
                _ => retention.add_cycle_handle(handle.id, field.as_deref()),
            }
        }
    }

    /// Says of each object which one it hangs on: its immediate dominator, where a cycle counts as one object.
    fn hang(&self, retention: &mut Retention) {
        // A vertex for each cycle, and for each object that is in none; and the object that stands for it.
        let mut vertex = vec![u32::MAX; self.objects.len()];
        let mut objects: Vec<ObjectId> = Vec::new();
        let index = |id| self.objects.binary_search_by_key(&id, |object| object.id).ok();
        let mut of_cycle = Vec::new();
        for cycle in &self.cycles {
            let Some(&first) = cycle.objects.first() else {
                of_cycle.push(None);
                continue;
            };
            let members = cycle.objects.iter().filter_map(|&id| index(id));
            members.for_each(|member| vertex[member] = objects.len() as u32);
            of_cycle.push(Some(objects.len() as u32));
            objects.push(first);
        }
        let cycles = objects.len();
        for (object, vertex) in self.objects.iter().zip(&mut vertex) {
            if *vertex == u32::MAX {
                *vertex = objects.len() as u32;
                objects.push(object.id);
            }
        }
        let mut out: Vec<Vec<u32>> = vec![Vec::new(); objects.len()];
        let mut is_root = vec![false; objects.len()];
        is_root[..cycles].fill(true);
        for (object, &to) in
            self.objects.iter().zip(&vertex).filter(|(_, to)| **to as usize >= cycles)
        {
            let mut owners = self.keepers_of(object.id).map(|handle| match handle.owner {
                Owner::Object { object, .. } => index(object).map(|owner| vertex[owner]),
                Owner::Block { node, .. } => match self.object_of(node)? {
                    Above::Object(id) => index(id).map(|owner| vertex[owner]),
                    Above::Cycle(cycle) => *of_cycle.get(cycle as usize)?,
                },
                _ => None,
            });
            let mut is_held = false;
            // Of one that something else holds, too, the others don't matter.
            let is_by_objects = owners.all(|owner| {
                is_held = true;
                owner.is_some_and(|from| {
                    if from != to {
                        out[from as usize].push(to);
                    }
                    true
                })
            });
            is_root[to as usize] = !(is_held && is_by_objects);
        }
        for (from, to) in
            out.iter().enumerate().flat_map(|(from, to)| to.iter().map(move |to| (from, *to)))
        {
            if !is_root[to as usize] {
                retention.add_holder(objects[to as usize], objects[from]);
            }
        }
        let roots = |is_root: &[bool]| {
            let all = is_root.iter().zip(0_u32..).filter(|(is_root, _)| **is_root);
            all.map(|(_, vertex)| vertex).collect::<Vec<_>>()
        };
        // Those that hold each other, and that no cycle was found of, begin where nothing else does.
        let mut reached = is_root.clone();
        let mut way = roots(&is_root);
        for vertex in 0..objects.len() as u32 {
            if way.is_empty() && !reached[vertex as usize] {
                (is_root[vertex as usize], reached[vertex as usize]) = (true, true);
                way.push(vertex);
            }
            while let Some(at) = way.pop() {
                let next = out[at as usize].iter().copied();
                way.extend(next.filter(|&to| !std::mem::replace(&mut reached[to as usize], true)));
            }
        }
        let (order, dominator) = dominators(objects.len(), roots(&is_root).into_iter(), |at| {
            out[at as usize].iter().copied()
        });
        for (own, &above) in dominator.iter().enumerate().skip(1).filter(|(_, above)| **above != 0)
        {
            let of = |number: usize| objects[order[number] as usize];
            retention.set_dominator(of(own), of(above as usize));
        }
    }

    /// The handles that keep an object: its strong ones. One whose value is dropped has weak ones alone, which keep its memory.
    fn keepers_of(&self, id: ObjectId) -> impl Iterator<Item = &LocatedHandle> {
        let handles = self.handles_of(id);
        let is_dropped = handles.iter().all(|handle| !handle.is_strong);
        handles.iter().filter(move |handle| handle.is_strong || is_dropped)
    }

    /// What a block belongs to.
    fn object_of(&self, mut node: u32) -> Option<Above> {
        for _ in 0..FARTHEST {
            let at = self.nodes.get(node as usize)?;
            match (&at.kind, &at.held) {
                (NodeKind::Object(id), _) => return Some(Above::Object(*id)),
                (_, Held::By(step)) => node = step.from,
                (_, Held::Cycle(cycle)) => return Some(Above::Cycle(*cycle)),
                _ => return None,
            }
        }
        None
    }
}

/// What a block belongs to: an object, or a cycle that it is a part of.
enum Above {
    Object(ObjectId),
    Cycle(u32),
}

/// A report says no more than the cycle's grade.
fn part_of_cycle(cycle: &Cycle) -> Part {
    match cycle.grade {
        Grade::Proven => Part::Leaked,
        Grade::Likely(_) => Part::LikelyLeaked,
    }
}

/// What the path to each node begins with.
pub(super) struct Starts<'a> {
    ownership: &'a Ownership,
    starts: Vec<Start>,
}

/// Whether another word of the memory may be the handle.
fn is_guess(handle: &LocatedHandle) -> bool {
    handle.copies > u32::from(handle.owner != Owner::NotFound)
}

/// The first node of a path, the task that it leads through, and whether a handle on the way could be another word of the
/// memory.
#[derive(Clone, Copy)]
struct Start {
    node: u32,
    /// The node that is a task, the last one on the way.
    task: Option<u32>,
    is_guess: bool,
    /// Whether a handle on the way may stand in room of a collection that is not in use.
    may_be_old: bool,
}

impl<'a> Starts<'a> {
    /// Follows all paths. Each step is gone once.
    pub(super) fn new(ownership: &'a Ownership) -> Self {
        let nodes = &ownership.nodes;
        let mut starts: Vec<Option<Start>> = vec![None; nodes.len()];
        let mut way = Vec::new();
        for mut at in 0..nodes.len() as u32 {
            let mut start = loop {
                if let Some(known) = starts[at as usize] {
                    break known;
                }
                way.push(at);
                match &nodes[at as usize].held {
                    Held::By(step) => at = step.from,
                    _ => break Start { node: at, task: None, is_guess: false, may_be_old: false },
                }
            };
            while let Some(node) = way.pop() {
                if nodes[node as usize].task.is_some() {
                    start.task = Some(node);
                }
                if let NodeKind::Object(id) = nodes[node as usize].kind {
                    let handles = ownership.handles_of(id).iter();
                    start.is_guess |= handles.clone().any(|it| it.is_strong && is_guess(it));
                    start.may_be_old |= handles.clone().any(|it| it.is_strong && it.may_be_old);
                }
                starts[node as usize] = Some(start);
            }
        }
        let starts = starts.into_iter().flatten().collect();
        Self { ownership, starts }
    }

    /// What the path to a node begins with; the task, if it leads through one.
    fn part(&self, node: u32) -> Option<Part> {
        let start = self.starts.get(node as usize)?;
        let part = self.part_of_start(start)?;
        if start.may_be_old {
            // Nothing holds it then, or another place does: it is not to be allowed by that one's name.
            let is_nameless =
                matches!(&part, Part::Static(name) | Part::ThreadLocal(name) if name.is_empty());
            return is_nameless.then_some(part);
        }
        let task = start.task.and_then(|task| self.ownership.nodes[task as usize].task.as_ref());
        Some(match (part, task) {
            // One that nothing reaches runs no more.
            (part @ (Part::Leaked | Part::LikelyLeaked | Part::Raw), _) | (part, None) => part,
            (_, Some(task)) => Part::Task(task.to_string()),
        })
    }

    fn part_of_start(&self, start: &Start) -> Option<Part> {
        match &self.ownership.nodes.get(start.node as usize)?.held {
            Held::Cycle(cycle) => self.ownership.cycles.get(*cycle as usize).map(part_of_cycle),
            Held::Root(Owner::NotFound)
                if self.is_sure() && (start.is_guess || self.is_pointed_at(start.node)) =>
            {
                Some(Part::LikelyLeaked)
            }
            Held::Root(owner) => self.part_of_root(owner),
            // The block may be a freed one that a handle was moved out of; or the program has its address in a form of its own.
            Held::Unreferenced if self.is_sure() && !start.is_guess => Some(Part::LikelyLeaked),
            _ => None,
        }
    }

    /// Whether a static has a plain word that leads to the object: the program may have it as a raw pointer.
    fn is_pointed_at(&self, node: u32) -> bool {
        match self.ownership.nodes.get(node as usize).map(|node| node.kind) {
            Some(NodeKind::Object(id)) => self.ownership.plain_pointer_to(id).is_some(),
            _ => false,
        }
    }

    fn part_of_root(&self, owner: &Owner) -> Option<Part> {
        match owner {
            Owner::Static(place) => Some(Part::Static(place.symbol.clone().unwrap_or_default())),
            Owner::ThreadLocal(place) => {
                Some(Part::ThreadLocal(place.symbol.clone().unwrap_or_default()))
            }
            Owner::Stack { thread } if **thread == *self.ownership.asked_by => {
                Some(Part::Stack(thread.to_string()))
            }
            Owner::Stack { thread } => Some(Part::Thread(thread.to_string())),
            Owner::Raw => Some(Part::Raw),
            // No word of the memory is it.
            Owner::NotFound => self.is_sure().then_some(Part::Leaked),
            _ => None,
        }
    }

    /// Whether a weak handle of an object of a cycle is in the cycle, or in what the path leads to from there.
    fn is_weakly_held_by(&self, id: ObjectId, cycle: u32) -> bool {
        let nodes = &self.ownership.nodes;
        let leads_there = |node: u32| {
            let start = self.starts.get(node as usize).and_then(|it| nodes.get(it.node as usize));
            start.is_some_and(|start| start.held == Held::Cycle(cycle))
        };
        let weak = self.ownership.handles_of(id).iter().filter(|handle| !handle.is_strong);
        weak.map(|handle| &handle.owner).any(|owner| match owner {
            Owner::Object { object, .. } => {
                self.ownership.object(*object).and_then(|it| it.node).is_some_and(leads_there)
            }
            Owner::Block { node, .. } => leads_there(*node),
            _ => false,
        })
    }

    /// Whether what was not found is not there.
    fn is_sure(&self) -> bool {
        self.ownership.doubts.is_empty()
    }

    /// Returns whether every strong handle of an object is known to be where `may` permits it, by what the path to it begins
    /// with.
    pub(super) fn is_held_only(&self, id: ObjectId, may: impl Fn(&Part) -> bool) -> bool {
        let ownership = self.ownership;
        let mut strong =
            ownership.handles_of(id).iter().filter(|handle| handle.is_strong).peekable();
        strong.peek().is_some()
            && strong.all(|handle| {
                !handle.may_be_old
                    && self.part_of_owner(&handle.owner).is_some_and(|part| may(&part))
            })
    }

    /// What the path to a handle begins with.
    fn part_of_owner(&self, owner: &Owner) -> Option<Part> {
        match owner {
            Owner::Object { object, .. } => {
                self.ownership.object(*object).and_then(|object| self.part(object.node?))
            }
            Owner::Block { node, .. } => self.part(*node),
            root => self.part_of_root(root),
        }
    }

    /// What the paths to the handles begin with of an object whose value is dropped, if it is one for all of them.
    fn part_of_weak(&self, id: ObjectId) -> Option<Part> {
        let mut keepers = self.ownership.keepers_of(id).peekable();
        if keepers.peek()?.is_strong {
            return None;
        }
        let first = self.part_of_owner(&keepers.next()?.owner)?;
        keepers
            .all(|handle| self.part_of_owner(&handle.owner).as_ref() == Some(&first))
            .then_some(first)
    }
}
