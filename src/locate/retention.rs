//! What a report needs of an ownership graph.

use super::ownership::{Held, NodeKind, Owner, Ownership};
use crate::analysis::{Part, Retention};
use crate::event::ObjectId;
use std::collections::BTreeSet;

/// Steps from a block to the object that it belongs to. A longer way is nobody's idea of a field.
const FARTHEST: usize = 64;

impl Ownership {
    /// Returns who keeps whom alive, for a report: the cycles; which objects another one holds alone, since it holds every
    /// strong handle of theirs; and what the paths to the others begin with.
    pub fn retention(&self) -> Retention {
        let mut retention = Retention::new();
        let mut in_cycle = BTreeSet::new();
        for cycle in &self.cycles {
            retention.cycle(cycle.objects.iter().copied());
            in_cycle.extend(cycle.objects.iter().copied());
            cycle.objects.iter().for_each(|&id| retention.is_in(id, Part::Leaked));
        }
        for object in self.objects.iter().filter(|object| !in_cycle.contains(&object.id)) {
            if let Some(owner) = self.only_owner(object.id) {
                retention.hangs_on(object.id, owner);
            }
            if let Some(part) = object.node.and_then(|node| self.part(node)) {
                retention.is_in(object.id, part);
            }
        }
        retention
    }

    /// The object that holds every strong handle of another, in its value or in blocks of its own.
    fn only_owner(&self, id: ObjectId) -> Option<ObjectId> {
        let strong = self.handles_of(id).iter().filter(|handle| handle.is_strong);
        let mut owners = strong.map(|handle| match handle.owner {
            Owner::Object { object, .. } => Some(object),
            Owner::Block { node, .. } => self.object_of(node),
            _ => None,
        });
        let owner = owners.next()??;
        (owner != id && owners.all(|other| other == Some(owner))).then_some(owner)
    }

    /// The object that a block belongs to.
    fn object_of(&self, mut node: u32) -> Option<ObjectId> {
        for _ in 0..FARTHEST {
            let at = self.nodes.get(node as usize)?;
            match (&at.kind, &at.held) {
                (NodeKind::Object(id), _) => return Some(*id),
                (_, Held::By(step)) => node = step.from,
                _ => return None,
            }
        }
        None
    }

    /// What the path to a node begins with.
    fn part(&self, mut node: u32) -> Option<Part> {
        let mut is_guess = false;
        // No path is longer than there are nodes.
        for _ in 0..=self.nodes.len() {
            let at = self.nodes.get(node as usize)?;
            if let NodeKind::Object(id) = at.kind {
                is_guess |= self.handles_of(id).iter().any(|it| it.is_strong && it.copies > 1);
            }
            match &at.held {
                Held::By(step) => node = step.from,
                Held::Cycle(_) => return Some(Part::Leaked),
                Held::Root(owner) => return self.part_of_root(owner),
                // The block may be a freed one that a handle was moved out of.
                Held::Unreferenced => return (self.is_sure() && !is_guess).then_some(Part::Leaked),
                Held::Dropped => return None,
            }
        }
        None
    }

    fn part_of_root(&self, owner: &Owner) -> Option<Part> {
        match owner {
            Owner::Static { symbol, .. } | Owner::ThreadLocal { symbol, .. } => {
                Some(Part::Static(symbol.clone().unwrap_or_default()))
            }
            Owner::Stack { thread } if *thread == self.asked_by => {
                Some(Part::Stack(thread.clone()))
            }
            Owner::Stack { thread } => Some(Part::Thread(thread.clone())),
            Owner::Raw => Some(Part::Raw),
            // No word of the memory is it.
            Owner::NotFound => self.is_sure().then_some(Part::Leaked),
            _ => None,
        }
    }

    /// Whether what was not found is not there.
    fn is_sure(&self) -> bool {
        self.doubts.is_empty()
    }

    /// Returns whether every strong handle of an object is known to be where `may` permits it, by what the path to it begins
    /// with.
    pub(crate) fn is_held_only(&self, id: ObjectId, may: impl Fn(&Part) -> bool) -> bool {
        let mut strong = self.handles_of(id).iter().filter(|handle| handle.is_strong).peekable();
        strong.peek().is_some()
            && strong.all(|handle| {
                let part = match &handle.owner {
                    Owner::Object { object, .. } => {
                        self.object(*object).and_then(|object| self.part(object.node?))
                    }
                    Owner::Block { node, .. } => self.part(*node),
                    root => self.part_of_root(root),
                };
                part.is_some_and(|part| may(&part))
            })
    }
}
