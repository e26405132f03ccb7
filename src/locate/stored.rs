//! An ownership graph in a file.

use super::ownership::{Held, Owner, Ownership, Step};
use serde::{Deserialize, Serialize};
use std::error::Error;
use std::fmt;

/// What is written: the graph, and which version of its form.
#[derive(Serialize, Deserialize)]
struct Stored<G> {
    refscope_ownership: u32,
    #[serde(flatten)]
    graph: G,
}

/// It changes when a key changes its meaning.
const VERSION: u32 = 1;

/// Why a text is no ownership graph. Returned by [`Ownership::from_json`].
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum InvalidGraph {
    /// The text is no JSON, or JSON of something else.
    NotAGraph {
        /// What is wrong, with line and column.
        error: String,
    },
    /// It was written by a later version.
    Version {
        /// The version of its form.
        version: u32,
    },
    /// Objects or handles are not in ascending order.
    Unordered,
    /// It names a node or a cycle that is not in it.
    Dangling,
    /// Some path comes back to where it was.
    Endless,
}

impl fmt::Display for InvalidGraph {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("no ownership graph of refscope: ")?;
        match self {
            Self::NotAGraph { error } => f.write_str(error),
            Self::Version { version } => {
                write!(f, "its version is {version}, and {VERSION} is known")
            }
            Self::Unordered => f.write_str("it is not in order"),
            Self::Dangling => f.write_str("it names a node or cycle that is not in it"),
            Self::Endless => f.write_str("a path in it has no end"),
        }
    }
}

impl Error for InvalidGraph {}

impl Ownership {
    /// Returns the graph as JSON, one object on one line. Keys may be added in later versions; `refscope_ownership` is the
    /// version, and changes when one changes its meaning.
    ///
    /// # Examples
    ///
    /// ```
    /// use refscope::locate::Ownership;
    ///
    /// let nothing = Ownership::default();
    /// assert_eq!(Ownership::from_json(&nothing.to_json()).unwrap(), nothing);
    /// ```
    pub fn to_json(&self) -> String {
        let stored = Stored { refscope_ownership: VERSION, graph: self };
        serde_json::to_string(&stored).expect("its keys are texts, and its numbers numbers")
    }

    /// Reads a graph that [`to_json`](Self::to_json) wrote, by this version or an earlier one.
    ///
    /// # Errors
    ///
    /// Where the text is something else, or names what is not in it.
    pub fn from_json(text: &str) -> Result<Self, InvalidGraph> {
        let stored: Stored<Self> = serde_json::from_str(text)
            .map_err(|error| InvalidGraph::NotAGraph { error: error.to_string() })?;
        if stored.refscope_ownership != VERSION {
            return Err(InvalidGraph::Version { version: stored.refscope_ownership });
        }
        match stored.graph.wrong() {
            Some(wrong) => Err(wrong),
            None => Ok(stored.graph),
        }
    }

    /// What contradicts itself: such a graph would be followed to nowhere, or round and round.
    fn wrong(&self) -> Option<InvalidGraph> {
        let is_node = |node: u32| (node as usize) < self.nodes.len();
        let is_step = |step: &Step| is_node(step.from);
        let is_held = |held: &Held| match held {
            Held::By(step) => is_step(step),
            Held::Cycle(cycle) => (*cycle as usize) < self.cycles.len(),
            Held::Root(_) | Held::Unreferenced | Held::Dropped => true,
        };
        let is_owner =
            |owner: &Owner| !matches!(owner, Owner::Block { node, .. } if !is_node(*node));
        if !self.objects.is_sorted_by(|a, b| a.id < b.id)
            || !self.handles.is_sorted_by_key(|handle| handle.id)
        {
            return Some(InvalidGraph::Unordered);
        }
        if !self.objects.iter().filter_map(|object| object.node).all(is_node)
            || !self.nodes.iter().all(|node| is_held(&node.held))
            || !self.handles.iter().all(|handle| is_owner(&handle.owner))
            || !self.cycles.iter().flat_map(|cycle| &cycle.round).all(is_step)
        {
            return Some(InvalidGraph::Dangling);
        }
        self.goes_round().then_some(InvalidGraph::Endless)
    }

    /// Whether some path comes back to where it was.
    fn goes_round(&self) -> bool {
        // By which path each node was seen, from 1.
        let mut seen = vec![0; self.nodes.len()];
        for (path, start) in (1..).zip(0..self.nodes.len()) {
            let mut node = start;
            while seen[node] == 0 {
                seen[node] = path;
                match &self.nodes[node].held {
                    Held::By(step) => node = step.from as usize,
                    _ => break,
                }
                if seen[node] == path {
                    return true;
                }
            }
        }
        false
    }
}

#[cfg(test)]
mod tests {
    use super::super::ownership::{Node, NodeKind};
    use super::*;

    fn held_by(from: u32) -> Node {
        let held = Held::By(Step { from, offset: 8, field: None });
        Node { kind: NodeKind::Block(16), task: None, held }
    }

    #[test]
    fn what_contradicts_itself_is_refused() {
        let root = Node { kind: NodeKind::Block(16), task: None, held: Held::Unreferenced };
        for (nodes, says) in [
            (vec![root.clone(), held_by(0), held_by(1), held_by(0)], None),
            (vec![held_by(7)], Some(InvalidGraph::Dangling)),
            (vec![held_by(0)], Some(InvalidGraph::Endless)),
            (vec![root.clone(), held_by(2), held_by(3), held_by(1)], Some(InvalidGraph::Endless)),
            (vec![Node { held: Held::Cycle(0), ..root }], Some(InvalidGraph::Dangling)),
        ] {
            let graph = Ownership { nodes, ..Ownership::default() };
            let read = Ownership::from_json(&graph.to_json());
            match says {
                None => assert_eq!(read.unwrap(), graph),
                Some(says) => assert_eq!(read.unwrap_err(), says),
            }
        }
        let later = Ownership::default().to_json().replace("_ownership\":1", "_ownership\":2");
        let later = Ownership::from_json(&later).unwrap_err();
        assert!(later.to_string().ends_with("its version is 2, and 1 is known"), "{later}");
        let other = Ownership::from_json("{}").unwrap_err();
        assert!(matches!(other, InvalidGraph::NotAGraph { .. }), "{other}");
    }
}
