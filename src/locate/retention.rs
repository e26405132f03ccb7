//! What a report needs of an ownership graph.

use super::ownership::{Held, NodeKind, Owner, Ownership};
use crate::analysis::{Part, Retention};
use std::collections::BTreeSet;

/// Steps from a block to the object that it belongs to. A longer way is nobody's idea of a field.
const FARTHEST: usize = 64;

impl Ownership {
    /// Returns who keeps whom alive, for a report: the cycles; which objects another one holds alone, since it holds every
    /// strong handle of theirs; and what the paths to the others begin with.
    pub fn retention(&self) -> Retention {
        let mut retention = Retention::new();
        let starts = self.starts();
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
            if let Some(part) = object.node.and_then(|node| self.part(starts[node as usize])) {
                retention.is_in(object.id, part);
            }
        }
        retention
    }

    /// The object that holds every strong handle of another, in its value or in blocks of its own.
    fn only_owner(&self, id: u64) -> Option<u64> {
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
    fn object_of(&self, mut node: u32) -> Option<u64> {
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

    /// The first node of the path to each node. Each step is gone once.
    fn starts(&self) -> Vec<u32> {
        const UNKNOWN: u32 = u32::MAX;
        let mut starts = vec![UNKNOWN; self.nodes.len()];
        let mut way = Vec::new();
        for node in 0..self.nodes.len() as u32 {
            let mut at = node;
            while let (UNKNOWN, Held::By(step)) =
                (starts[at as usize], &self.nodes[at as usize].held)
            {
                way.push(at);
                at = step.from;
            }
            let start = if starts[at as usize] == UNKNOWN { at } else { starts[at as usize] };
            starts[at as usize] = start;
            way.drain(..).for_each(|node| starts[node as usize] = start);
        }
        starts
    }

    /// What a path that begins with this node is in.
    fn part(&self, start: u32) -> Option<Part> {
        match &self.nodes[start as usize].held {
            Held::Cycle(_) => Some(Part::Leaked),
            Held::Root(Owner::Static { symbol, .. } | Owner::ThreadLocal { symbol, .. }) => {
                Some(Part::Static(symbol.clone().unwrap_or_default()))
            }
            Held::Root(Owner::Stack { thread }) => Some(Part::Stack(thread.clone())),
            _ => None,
        }
    }
}
