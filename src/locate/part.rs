//! A part of the ownership graph: what concerns some objects.

use super::ownership::{
    Cycle, Held, LocatedHandle, LocatedObject, Node, NodeKind, Owner, Ownership, Step,
};
use crate::event::ObjectId;
use std::collections::BTreeSet;

/// What of a graph is kept: indices, ascending, by which those of the part follow.
#[derive(Default)]
struct Kept {
    nodes: Vec<u32>,
    cycles: Vec<u32>,
}

/// The place in the part of what had this index in the whole.
fn now(kept: &[u32], before: u32) -> Option<u32> {
    kept.binary_search(&before).ok().map(|at| at as u32)
}

impl Ownership {
    /// Returns the part of the graph that concerns some objects: what their handles are stored in, the paths to them, and
    /// the cycles that they are in or hang on.
    ///
    /// # Examples
    ///
    /// ```
    /// use refscope::locate::Search;
    ///
    /// # if !refscope::ENABLED { return }
    /// refscope::track().expect("no sink is installed");
    /// let session = refscope::Arc::new("a session");
    /// let others = [refscope::Arc::new("another"), refscope::Arc::new("a third")];
    /// if let Ok(ownership) = Search::new().run() {
    ///     let id = refscope::holders(&session).object().expect("it is traced").id();
    ///     let of_session = ownership.of([id]);
    ///     assert_eq!(of_session.objects.len(), 1);
    ///     let path = |ownership: &refscope::locate::Ownership| ownership.path_to(id).map(|path| path.to_string());
    ///     assert_eq!(path(&of_session), path(&ownership));
    /// }
    /// # drop((session, others));
    /// ```
    #[must_use]
    pub fn of(&self, objects: impl IntoIterator<Item = ObjectId>) -> Self {
        let mut asked: BTreeSet<ObjectId> = objects.into_iter().collect();
        let (mut nodes, mut cycles) = (BTreeSet::new(), BTreeSet::new());
        loop {
            self.collect(&asked, &mut nodes);
            let before = cycles.len();
            cycles.extend(nodes.iter().filter_map(|&node| match self.node(node)?.held {
                Held::Cycle(cycle) => Some(cycle),
                _ => None,
            }));
            if cycles.len() == before {
                break;
            }
            // Of a cycle all is shown.
            let all = cycles.iter().filter_map(|&cycle| self.cycles.get(cycle as usize));
            asked.extend(all.flat_map(|cycle| cycle.objects.iter().copied()));
        }
        asked.extend(nodes.iter().filter_map(|&node| match self.node(node)?.kind {
            NodeKind::Object(id) => Some(id),
            NodeKind::Block(_) => None,
        }));
        let kept =
            Kept { nodes: nodes.into_iter().collect(), cycles: cycles.into_iter().collect() };
        self.only(&asked, &kept)
    }

    fn node(&self, node: u32) -> Option<&Node> {
        self.nodes.get(node as usize)
    }

    /// Adds the nodes of some objects, those that their handles are stored in, and the paths to all of them.
    fn collect(&self, objects: &BTreeSet<ObjectId>, nodes: &mut BTreeSet<u32>) {
        let of = |id: ObjectId| self.object(id).and_then(|object| object.node);
        let mut found: Vec<u32> = objects.iter().filter_map(|&id| of(id)).collect();
        let handles = objects.iter().flat_map(|&id| self.handles_of(id));
        found.extend(handles.filter_map(|handle| match handle.owner {
            Owner::Object { object, .. } => of(object),
            Owner::Block { node, .. } => Some(node),
            _ => None,
        }));
        let rounds =
            self.cycles.iter().filter(|cycle| cycle.objects.iter().any(|id| objects.contains(id)));
        found.extend(rounds.flat_map(|cycle| &cycle.round).map(|step| step.from));
        while let Some(node) = found.pop() {
            if let Some(at) = self.node(node).filter(|_| nodes.insert(node))
                && let Held::By(step) = &at.held
            {
                found.push(step.from);
            }
        }
    }

    fn only(&self, ids: &BTreeSet<ObjectId>, kept: &Kept) -> Self {
        let step = |step: &Step| Some(Step { from: now(&kept.nodes, step.from)?, ..step.clone() });
        let node = |&at: &u32| {
            let node = self.node(at)?;
            let held = match &node.held {
                Held::By(by) => Held::By(step(by)?),
                Held::Cycle(cycle) => Held::Cycle(now(&kept.cycles, *cycle)?),
                held => held.clone(),
            };
            Some(Node { kind: node.kind, task: node.task.clone(), held })
        };
        let cycle = |&at: &u32| {
            let cycle = self.cycles.get(at as usize)?;
            Some(Cycle { round: cycle.round.iter().filter_map(step).collect(), ..cycle.clone() })
        };
        let object = |&id: &ObjectId| {
            let object = self.object(id)?;
            let node = object.node.and_then(|node| now(&kept.nodes, node));
            Some(LocatedObject { node, ..object.clone() })
        };
        // Those of objects on the way that are stored elsewhere are not shown.
        let handle = |handle: &LocatedHandle| {
            let owner = match &handle.owner {
                Owner::Block { size, offset, node, field } => {
                    let node = now(&kept.nodes, *node)?;
                    let field = field.clone();
                    Owner::Block { size: *size, offset: *offset, node, field }
                }
                Owner::Object { object, .. } if !ids.contains(object) => return None,
                owner => owner.clone(),
            };
            Some(LocatedHandle { owner, ..handle.clone() })
        };
        Self {
            objects: ids.iter().filter_map(object).collect(),
            handles: ids.iter().flat_map(|&id| self.handles_of(id)).filter_map(handle).collect(),
            nodes: kept.nodes.iter().filter_map(node).collect(),
            cycles: kept.cycles.iter().filter_map(cycle).collect(),
            plain_pointers: (self.plain_pointers.iter())
                .filter(|pointer| ids.contains(&pointer.object))
                .cloned()
                .collect(),
            asked_by: self.asked_by.clone(),
            doubts: self.doubts.clone(),
            statistics: self.statistics.clone(),
        }
    }
}
