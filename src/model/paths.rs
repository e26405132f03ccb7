use crate::event::path::{self, Extension, Node, Nodes};
// Without either there is nothing to replay, and the library has no dependency.
use std::collections::HashMap;
use std::hash::{Hash, Hasher};

/// The paths of handles, interned: a handle keeps a number. The rules are those of [`path`].
#[derive(Clone, Debug)]
pub(crate) struct Paths<S> {
    nodes: Vec<Node<S>>,
    children: HashMap<(u32, S, bool), u32>,
    /// What was asked for last, by a cheap hash: most handles are made on few lines.
    recent: [Option<Recent<S>>; RECENT],
    limit: usize,
    cut: u64,
}

/// A path, the step that was appended, and what that gave.
type Recent<S> = (u32, S, u32);

const RECENT: usize = 64;

/// Paths that a table keeps whole; some 12 MB.
const LIMIT: usize = 1 << 18;

impl<S: Copy> Default for Paths<S> {
    fn default() -> Self {
        Self::with_limit(LIMIT)
    }
}

impl<S: Copy> Paths<S> {
    /// Creates a table that keeps paths whole while it has fewer than `limit` nodes. Beyond, it keeps first and
    /// last steps alone, whose pairs the program's source bounds.
    pub(crate) fn with_limit(limit: usize) -> Self {
        let (nodes, children) = Default::default();
        Self { nodes, children, recent: [None; RECENT], limit, cut: 0 }
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
        let mut hasher = Mixer(u64::from(from));
        step.hash(&mut hasher);
        let slot = hasher.finish() as usize % RECENT;
        if let Some((of, with, path)) = self.recent[slot]
            && (of, with) == (from, step)
        {
            return path;
        }
        let (path, counted) = self.look_up(from, step);
        if !counted {
            self.recent[slot] = Some((from, step, path));
        }
        path
    }

    /// The same, and whether it was counted as cut, as every such handle is.
    fn look_up(&mut self, from: u32, step: S) -> (u32, bool) {
        let node = match path::extend(self, from, step) {
            Extension::Known(path) => return (path, false),
            Extension::Child(node) => node,
        };
        if let Some(&known) = self.children.get(&(node.parent, step, node.cut)) {
            return (known, false);
        }
        if self.nodes.len() < self.limit || node.parent == 0 {
            return (self.intern(node), false);
        }
        let node = path::cut(self, from, step);
        self.cut += u64::from(node.cut);
        (self.intern(node), node.cut)
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

/// Mixes a few numbers. A collision costs a lookup, no more.
struct Mixer(u64);

impl Hasher for Mixer {
    fn write(&mut self, bytes: &[u8]) {
        bytes.iter().for_each(|&byte| self.write_u64(byte.into()));
    }

    fn write_u32(&mut self, number: u32) {
        self.write_u64(number.into());
    }

    fn write_u64(&mut self, number: u64) {
        // Fibonacci hashing: the high bits depend on all.
        self.0 = (self.0 ^ number).wrapping_mul(0x9E37_79B9_7F4A_7C15).rotate_left(26);
    }

    fn write_isize(&mut self, number: isize) {
        self.write_u64(number as u64);
    }

    fn finish(&self) -> u64 {
        self.0
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
