//! How the path of a handle is bounded: pure rules over any table of interned steps.
//!
//! A path is the chain of operations, with their lines, through which a handle was made. It is a node of a
//! trie that grows from its root: the node is the last step, its parent the path of the handle that this one
//! was made from. A live view and a replayed recording apply the same rules, each to a table of its own, and
//! so arrive at the same steps.
//!
//! ```text
//!  new a ── clone b ── clone c              a handle made on line c
//!     │                   └── clone b       b c b, and then c again: folded to b c, no new node
//!     └─ … clone x                          24 steps, and one more: cut to the first and the new step
//! ```

/// The most steps that a path has.
pub(crate) const MAX_DEPTH: u8 = 24;

/// The longest repeated sequence of steps that is folded.
pub(crate) const MAX_PERIOD: usize = 8;

/// An interned step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Node<S> {
    /// Operation and line. Compares by content: one line may have several addresses.
    pub(crate) step: S,
    /// The path before this step. 0: none.
    pub(crate) parent: u32,
    /// Steps up to and including this one, from 1.
    pub(crate) depth: u8,
    /// Steps are missing between the parent and this one.
    pub(crate) cut: bool,
}

/// Interned steps, numbered from 1.
pub(crate) trait Nodes {
    /// What a step is.
    type Step: Copy + Eq;

    /// Returns the node of a path. `path` is one that this table gave.
    fn node(&self, path: u32) -> Node<Self::Step>;
}

/// What appending a step to a path comes to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Extension<S> {
    /// A path that is known already: the step completed a repetition.
    Known(u32),
    /// This node, to be looked up or interned.
    Child(Node<S>),
}

/// Appends `step` to `path` (0: to nothing).
///
/// Where the sequence of the last `p` steps would repeat the `p` before it, for a `p` up to [`MAX_PERIOD`], it
/// is folded into these. A path that would be longer than [`MAX_DEPTH`] is cut to its first step and `step`.
pub(crate) fn extend<N: Nodes + ?Sized>(nodes: &N, path: u32, step: N::Step) -> Extension<N::Step> {
    if path == 0 {
        return Extension::Child(Node { step, parent: 0, depth: 1, cut: false });
    }
    // The last steps, latest first, with their paths. Those before a period of 8 are at most 15.
    let mut last = [(path, step); 2 * MAX_PERIOD - 1];
    let mut len = 0;
    let mut next = path;
    while next != 0 && len < last.len() {
        let node = nodes.node(next);
        last[len] = (next, node.step);
        len += 1;
        next = node.parent;
    }
    for period in 1..=MAX_PERIOD {
        if len < 2 * period - 1 {
            break;
        }
        // `step` against the one `period` before it, and so on back: `last[i]` against `last[i + period]`.
        let repeats =
            last[period - 1].1 == step && (0..period - 1).all(|i| last[i].1 == last[i + period].1);
        if repeats {
            return Extension::Known(last[period - 1].0);
        }
    }
    let depth = nodes.node(path).depth;
    if depth >= MAX_DEPTH {
        return Extension::Child(cut(nodes, path, step));
    }
    Extension::Child(Node { step, parent: path, depth: depth + 1, cut: false })
}

/// `path` and `step`, cut to the first step and `step`: for a path that is too long, or a full table.
pub(crate) fn cut<N: Nodes + ?Sized>(nodes: &N, path: u32, step: N::Step) -> Node<N::Step> {
    let (mut first, mut between) = (path, false);
    while first != 0 {
        let parent = nodes.node(first).parent;
        if parent == 0 {
            break;
        }
        (first, between) = (parent, true);
    }
    let depth = if first == 0 { 1 } else { 2 };
    Node { step, parent: first, depth, cut: between }
}
