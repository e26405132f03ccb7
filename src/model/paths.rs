use crate::event::path::{self, Extension, Node, Nodes};
// Without either there is nothing to replay, and the library has no dependency.
use std::collections::HashMap;
use std::hash::Hash;

/// The paths of handles, interned: a handle keeps a number. The rules are those of [`path`].
#[derive(Clone, Debug)]
pub(crate) struct Paths<S> {
    nodes: Vec<Node<S>>,
    children: HashMap<(u32, S, bool), u32>,
    limit: usize,
    cut: u64,
}

/// Paths that a table keeps whole; some 12 MB.
const LIMIT: usize = 1 << 18;

impl<S> Default for Paths<S> {
    fn default() -> Self {
        Self::with_limit(LIMIT)
    }
}

impl<S> Paths<S> {
    /// Creates a table that keeps paths whole while it has fewer than `limit` nodes. Beyond, it keeps first and
    /// last steps alone, whose pairs the program's source bounds.
    pub(crate) fn with_limit(limit: usize) -> Self {
        Self { nodes: Vec::new(), children: HashMap::default(), limit, cut: 0 }
    }

    /// Returns how many handles had their path cut because the table was full.
    pub(crate) fn cut(&self) -> u64 {
        self.cut
    }

    /// Returns how many nodes there are.
    #[cfg(test)]
    pub(crate) fn len(&self) -> usize {
        self.nodes.len()
    }
}

impl<S: Copy + Eq> Nodes for Paths<S> {
    type Step = S;

    fn node(&self, path: u32) -> Node<S> {
        self.nodes[path as usize - 1]
    }
}

impl<S: Copy + Eq + Hash> Paths<S> {
    /// Returns the path of a handle that `step` made from one of path `from` (0: from none).
    pub(crate) fn extend(&mut self, from: u32, step: S) -> u32 {
        let node = match path::extend(self, from, step) {
            Extension::Known(path) => return path,
            Extension::Child(node) => node,
        };
        if let Some(&known) = self.children.get(&(node.parent, step, node.cut)) {
            return known;
        }
        if self.nodes.len() < self.limit || node.parent == 0 {
            return self.intern(node);
        }
        let node = path::cut(self, from, step);
        self.cut += u64::from(node.cut);
        self.intern(node)
    }

    fn intern(&mut self, node: Node<S>) -> u32 {
        *self.children.entry((node.parent, node.step, node.cut)).or_insert_with(|| {
            self.nodes.push(node);
            u32::try_from(self.nodes.len()).expect("fewer than 2^32 pairs of steps")
        })
    }

    /// Returns the steps of a path, the first one first, each with whether steps are missing before it.
    pub(crate) fn steps(&self, path: u32) -> Vec<(S, bool)> {
        let mut steps = Vec::new();
        let mut next = path;
        while next != 0 {
            let node = self.node(next);
            steps.push((node.step, node.cut));
            next = node.parent;
        }
        steps.reverse();
        steps
    }
}

#[cfg(test)]
mod tests {
    use super::Paths;

    fn path(paths: &mut Paths<char>, steps: &str) -> String {
        let path = steps.chars().fold(0, |path, step| paths.extend(path, step));
        let step = |&(step, cut): &(char, bool)| format!("{}{step}", if cut { "~" } else { "" });
        paths.steps(path).iter().map(step).collect()
    }

    #[test]
    fn repetitions_are_folded() {
        let paths = &mut Paths::default();
        for (steps, want) in [
            ("", ""),
            ("a", "a"),
            ("aaaa", "a"),
            ("nababab", "nab"),
            ("nabcabca", "nabca"),
            ("nabcabcabc", "nabc"),
            ("nabcdefghabcdefgh", "nabcdefgh"),
            // Nine are too many to be seen as one.
            ("nabcdefghiabcdefghi", "nabcdefghiabcdefghi"),
            ("naabb", "nab"),
            ("nabab", "nab"),
        ] {
            assert_eq!(path(paths, steps), want, "{steps}");
        }
    }

    #[test]
    fn a_long_path_is_cut_to_its_ends_and_goes_on() {
        let paths = &mut Paths::default();
        let letters: String = ('a'..='x').collect();
        assert_eq!(path(paths, &letters), letters);
        assert_eq!(path(paths, &format!("{letters}y")), "a~y");
        assert_eq!(path(paths, &format!("{letters}yz")), "a~yz");
        assert_eq!(path(paths, &format!("{letters}yzyz")), "a~yz");
    }

    #[test]
    fn a_full_table_keeps_the_ends() {
        let paths = &mut Paths::with_limit(4);
        assert_eq!(path(paths, "abcd"), "abcd");
        assert_eq!((path(paths, "abcde").as_str(), paths.cut()), ("a~e", 1));
        assert_eq!((path(paths, "abcd").as_str(), paths.cut()), ("abcd", 1));
        // However many paths there are, no more nodes than pairs of steps.
        let mut random = 7_u32;
        let mut at = 0;
        for _ in 0..10_000 {
            random = random.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            at = paths.extend(at, char::from(b'a' + (random >> 24) as u8 % 6));
        }
        assert!(paths.len() <= 4 + 6 * 7, "{}", paths.len());
    }
}
