//! The nodes of std's `BTreeMap`s: which of their slots are in use, and which nodes are below which.
//!
//! ```text
//!  BTreeMap   │ root ┊ height ┊ length │
//!  a leaf     │ 11 keys, 11 values, parent, index in it: u16, length: u16, the largest alignment first │
//!  inner node │ as a leaf                                                  │ 12 children │
//! ```
//!
//! Where the keys end and the values begin depends on their sizes, which are not known: each layout is thought of that fits the
//! block, and those are kept that every node of the tree agrees with. An inner node agrees where each of its children has its
//! address and number, so that what is no tree is not taken for one. A root that is a leaf says less: no parent, and how many.

use super::blocks::Blocks;
use super::collections::{Life, Told};
use super::memory::Memory;
use std::collections::HashMap;

/// Keys, and values, of a node.
const SLOTS: u64 = 11;
const CHILDREN: u64 = 8 * (SLOTS + 1);
/// Bytes of a node besides: its parent's address, its number there, and how many keys it has.
const REST: u64 = 8 + 2 + 2;
/// Bytes that an allocator may add to a block.
const ADDED: u64 = 24;
/// Words of a node; larger ones are not looked at.
const LARGEST: u32 = 1 << 12;
/// A tree of minimal nodes with more levels does not fit into any memory.
const HIGHEST: u64 = 20;
/// Nodes that are read, of all trees together: each takes a microsecond, if they lie far apart.
const MOST: usize = 1 << 18;

/// The words of a `BTreeMap` behind its pointer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Root {
    /// How many levels are below the root.
    height: u64,
    /// How many keys there are in all.
    length: u64,
    /// Whether the pointer is a map's, by its type.
    is_map: bool,
}

impl Root {
    /// By the words behind a pointer at an address. `None`: it is no map's.
    pub(super) fn new(at: u64, [height, length]: [u64; 2], told: Told) -> Option<Self> {
        let may_be_map = match told {
            Told::Map | Told::Nothing => true,
            Told::End(end) | Told::EndOfLocal(end) => at.saturating_add(24) <= end,
            Told::Vec(_) | Told::Deque(_) | Told::Other => false,
        };
        let fits = match height {
            _ if !may_be_map => false,
            0 => length <= SLOTS,
            // The root has one key at least.
            1..=HIGHEST => length > SLOTS / 2 && length < 1 << 48,
            _ => false,
        };
        fits.then_some(Self { height, length, is_map: told == Told::Map })
    }

    /// Whether it has children, or is known to be a map's: what looks like a leaf that is a root may be many things, such as what
    /// two zeros follow the pointer to.
    pub(super) fn is_sure(self) -> bool {
        self.is_map || self.height > 0
    }
}

/// Keys or values one after another.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
struct Array {
    at: u64,
    element: u64,
}

impl Array {
    /// Which slot an offset lies in, if an address may stand there.
    fn slot(self, offset: u64) -> Option<u64> {
        let has_words = self.element > 0 && self.element.is_multiple_of(8);
        let slot = offset.checked_sub(self.at).filter(|_| has_words)? / self.element;
        (slot < SLOTS).then_some(slot)
    }
}

/// Where the parts of a leaf are, for keys and values of some sizes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Layout {
    keys: Array,
    vals: Array,
    parent: u64,
    index: u64,
    length: u64,
    /// Of a leaf: where an inner node has its children.
    size: u64,
}

impl Layout {
    /// As the compiler orders fields: those whose size has the highest power of two as a factor come first, else as declared.
    /// Each then ends at a multiple of the next one's alignment.
    fn new(key: u64, val: u64, size: u64) -> Self {
        let mut layout = Self {
            keys: Array { at: 0, element: key },
            vals: Array { at: 0, element: val },
            parent: 0,
            index: 0,
            length: 0,
            size,
        };
        let mut parts = [
            (8, &mut layout.parent),
            (2, &mut layout.index),
            (2, &mut layout.length),
            (SLOTS * key, &mut layout.keys.at),
            (SLOTS * val, &mut layout.vals.at),
        ];
        parts.sort_by_key(|(size, _)| std::cmp::Reverse(size.trailing_zeros()));
        let mut end = 0;
        for (size, at) in parts {
            *at = end;
            end += size;
        }
        layout
    }

    /// All that a leaf, or an inner node, in a block of so many bytes may have.
    fn all(bytes: u64, is_inner: bool) -> Vec<Self> {
        let mut layouts = Vec::new();
        let rest = if is_inner { REST + CHILDREN } else { REST };
        for padding in 0..16 + ADDED {
            let Some(slots) = bytes.checked_sub(rest + padding) else { break };
            if slots % SLOTS != 0 {
                continue;
            }
            let (pair, used) = (slots / SLOTS, slots + REST);
            for key in 0..=pair {
                let val = pair - key;
                let is_wide = |element: u64| element > 0 && element.is_multiple_of(16);
                let aligned = [used.next_multiple_of(8), used.next_multiple_of(16)];
                let count = 1 + usize::from(is_wide(key) || is_wide(val));
                for &size in &aligned[..count] {
                    let end = if is_inner { size + CHILDREN } else { size };
                    if (bytes.saturating_sub(ADDED)..=bytes).contains(&end) {
                        layouts.push(Self::new(key, val, size));
                    }
                }
            }
        }
        layouts.dedup();
        layouts
    }

    /// How many keys a node has, if its words are such a node's.
    fn length(&self, node: &[u64], at: Position) -> Option<u64> {
        let half = |at: u64| {
            let bytes = node.get((at / 8) as usize)?.to_ne_bytes();
            let at = (at % 8) as usize;
            Some(u64::from(u16::from_ne_bytes([bytes[at], bytes[at + 1]])))
        };
        let length = half(self.length)?;
        let fits = node.get((self.parent / 8) as usize) == Some(&at.parent)
            && at.index.is_none_or(|index| half(self.index) == Some(index))
            && length <= SLOTS
            && (at.height == 0 || length > 0);
        fits.then_some(length)
    }

    /// Whether what stands at an offset is in use, in a node with so many keys. `None`: no address stands there.
    fn is_in_use(&self, offset: u64, node: Node) -> Option<bool> {
        let length = u64::from(node.length);
        if offset >= self.size {
            return Some(node.is_inner && (offset - self.size) / 8 <= length);
        }
        if offset == self.parent {
            return Some(true);
        }
        let slot = self.keys.slot(offset).or_else(|| self.vals.slot(offset))?;
        Some(slot < length)
    }
}

/// Where a node is in its tree, which it has to say itself.
#[derive(Clone, Copy, Debug)]
struct Position {
    /// The address of the parent, or 0.
    parent: u64,
    index: Option<u64>,
    /// How many levels are below it.
    height: u64,
}

#[derive(Clone, Copy, Debug)]
struct Node {
    tree: u32,
    length: u8,
    is_inner: bool,
}

#[derive(Clone, Copy, Debug)]
struct Tree {
    /// Those that all of its nodes agree with, by number.
    layouts: u32,
    /// Whether it is one, and does not just look so.
    is_certain: bool,
}

/// The trees that were found, and their nodes by block.
#[derive(Debug, Default)]
pub(super) struct Trees {
    trees: Vec<Tree>,
    nodes: HashMap<u32, Node>,
    /// What trees agree with. There are as many as there are types, about.
    layouts: Vec<Vec<Layout>>,
    numbers: HashMap<Vec<Layout>, u32>,
    /// All that a block of so many words may have, as an inner node or as a leaf.
    all: HashMap<(usize, bool), Vec<Layout>>,
    read: usize,
}

impl Trees {
    /// Looks whether a block is the root of a tree; then all its nodes are known from now on.
    pub(super) fn read(
        &mut self,
        memory: &impl Memory,
        blocks: &Blocks,
        (block, root): (u32, Root),
    ) -> bool {
        if self.nodes.contains_key(&block) {
            return true;
        }
        let at = Position { parent: 0, index: None, height: root.height };
        let Some(words) = self.words(memory, blocks, block) else { return false };
        let is_inner = root.height > 0;
        let all = self.all.entry((words.len(), is_inner));
        let all = all.or_insert_with(|| Layout::all(8 * words.len() as u64, is_inner));
        let fits = |layout: &&Layout| {
            let length = layout.length(&words, at);
            length.is_some_and(|length| is_inner || length == root.length)
        };
        let mut layouts: Vec<Layout> = all.iter().filter(fits).copied().collect();
        if layouts.is_empty() {
            return false;
        }
        if !is_inner {
            let tree = self.push(layouts, root.is_map);
            self.nodes.insert(block, Node { tree, length: root.length as u8, is_inner });
            return true;
        }
        // Those of one place of the children, the parent and the number read each node alike.
        let place = |layout: &Layout| (layout.size, layout.parent, layout.index);
        layouts.sort_unstable_by_key(place);
        for layouts in layouts.chunk_by(|one, other| place(one) == place(other)) {
            let Some(nodes) = self.nodes(memory, blocks, (block, root), &layouts[0]) else {
                continue;
            };
            let tree = self.push(layouts.to_vec(), true);
            let nodes = nodes.into_iter().map(|(block, node)| (block, Node { tree, ..node }));
            self.nodes.extend(nodes);
            return true;
        }
        false
    }

    /// The number of a new tree.
    fn push(&mut self, layouts: Vec<Layout>, is_certain: bool) -> u32 {
        let next = self.layouts.len() as u32;
        let number = *self.numbers.entry(layouts.clone()).or_insert(next);
        if number == next {
            self.layouts.push(layouts);
        }
        self.trees.push(Tree { layouts: number, is_certain });
        self.trees.len() as u32 - 1
    }

    fn layouts_of(&self, node: Node) -> &[Layout] {
        &self.layouts[self.trees[node.tree as usize].layouts as usize]
    }

    /// The nodes of a tree, if each of them is where it says to be, and they have as many keys as the map.
    fn nodes(
        &mut self,
        memory: &impl Memory,
        blocks: &Blocks,
        (block, root): (u32, Root),
        layout: &Layout,
    ) -> Option<Vec<(u32, Node)>> {
        let (mut nodes, mut length) = (Vec::new(), 0);
        let mut next = vec![(block, Position { parent: 0, index: None, height: root.height })];
        while let Some((block, at)) = next.pop() {
            let words = self.words(memory, blocks, block)?;
            let own = layout.length(&words, at)?;
            length += own;
            let is_inner = at.height > 0;
            nodes.push((block, Node { tree: 0, length: own as u8, is_inner }));
            for index in (0..=own).filter(|_| is_inner) {
                let child = words.get((layout.size / 8 + index) as usize)?;
                let child = blocks.start.binary_search(child).ok()? as u32;
                let (parent, height) = (blocks.start[block as usize], at.height - 1);
                next.push((child, Position { parent, index: Some(index), height }));
            }
        }
        (length == root.length).then_some(nodes)
    }

    /// The words of a node. `None`: it is too large, or too many were read.
    fn words(&mut self, memory: &impl Memory, blocks: &Blocks, block: u32) -> Option<Vec<u64>> {
        let size = blocks.words[block as usize];
        self.read += 1 + size as usize / 512;
        if size > LARGEST || self.read > MOST {
            return None;
        }
        let mut words = vec![0; size as usize];
        let read = memory.read(blocks.start[block as usize], &mut words);
        (read == words.len()).then_some(words)
    }

    /// Whether what stands at an offset of a block is in use. `None`: the block is no node, or it depends on the sizes of the
    /// keys and values.
    pub(super) fn is_in_use(&self, block: u32, offset: u64) -> Option<bool> {
        let node = *self.nodes.get(&block)?;
        let layouts = self.layouts_of(node);
        let mut all = layouts.iter().filter_map(|layout| layout.is_in_use(offset, node));
        let first = all.next()?;
        all.all(|other| other == first).then_some(first)
    }

    /// Whether the slot at an offset of a block is in use. `None`: as for [`is_in_use`](Self::is_in_use).
    pub(super) fn life(&self, block: u32, offset: u64) -> Option<Life> {
        let is_in_use = self.is_in_use(block, offset)?;
        let spare = if self.is_certain(block) { Life::Dead } else { Life::Likely };
        Some(if is_in_use { Life::Alive } else { spare })
    }

    /// Whether a block is a node of what is a tree for certain.
    pub(super) fn is_certain(&self, block: u32) -> bool {
        let node = self.nodes.get(&block);
        node.is_some_and(|node| self.trees[node.tree as usize].is_certain)
    }

    pub(super) fn is_node(&self, block: u32) -> bool {
        self.nodes.contains_key(&block)
    }

    /// Forgets what looks like a leaf, where there is a way to find out what it is. Returns whether it was known.
    pub(super) fn forget(&mut self, block: u32) -> bool {
        !self.is_certain(block) && self.nodes.remove(&block).is_some()
    }

    /// Whether a word of a node, outside of what it has of its parent and children, leads to another node of the same tree: no
    /// value does.
    pub(super) fn is_stale(&self, (from, offset): (u32, u64), to: u32) -> bool {
        let (Some(&node), Some(other)) = (self.nodes.get(&from), self.nodes.get(&to)) else {
            return false;
        };
        let layouts = self.layouts_of(node);
        node.tree == other.tree
            && layouts.iter().all(|layout| offset < layout.size && offset != layout.parent)
    }
}

#[cfg(test)]
mod tests {
    use super::super::memory::ProcessMemory;
    use super::*;
    use std::collections::BTreeMap;
    use std::mem::{MaybeUninit, offset_of};

    fn memory() -> ProcessMemory {
        ProcessMemory::of(std::process::id() as _)
    }

    fn root(height: u64, length: u64) -> Option<Root> {
        Root::new(0, [height, length], Told::Nothing)
    }

    /// As std has it.
    #[expect(dead_code, reason = "where its fields are is asked for")]
    struct Leaf<K, V> {
        parent: Option<std::ptr::NonNull<()>>,
        parent_idx: MaybeUninit<u16>,
        len: u16,
        keys: [MaybeUninit<K>; 11],
        vals: [MaybeUninit<V>; 11],
    }

    /// The words of a map: where its root is, the height, and the length.
    fn words_of<K, V>(map: &BTreeMap<K, V>) -> [u64; 3] {
        let mut words = [0; 3];
        assert_eq!(size_of_val(map), 24);
        assert_eq!(memory().read(std::ptr::from_ref(map).addr() as u64, &mut words), 3);
        assert_eq!(words[2], map.len() as u64, "it is the last");
        words
    }

    /// The nodes' blocks, and the length of each.
    fn blocks_of<K, V>(map: &BTreeMap<K, V>, added: u64) -> (Blocks, HashMap<u64, u64>) {
        let [root, height, _] = words_of(map);
        let (mut blocks, mut lengths) = (Blocks::default(), HashMap::new());
        let leaf = size_of::<Leaf<K, V>>() as u64;
        let mut next = vec![(root, height)];
        while let Some((at, height)) = next.pop() {
            let size = if height > 0 { leaf + CHILDREN } else { leaf };
            blocks.push(at, (size + added) / 8);
            let mut words = vec![0; (size / 8) as usize];
            assert_eq!(memory().read(at, &mut words), words.len());
            let bytes: Vec<u8> = words.iter().flat_map(|word| word.to_ne_bytes()).collect();
            let len = offset_of!(Leaf<K, V>, len);
            let length = u64::from(u16::from_ne_bytes([bytes[len], bytes[len + 1]]));
            lengths.insert(at, length);
            if height > 0 {
                let children = &words[(leaf / 8) as usize..];
                next.extend(children[..=length as usize].iter().map(|&child| (child, height - 1)));
            }
        }
        blocks.sort();
        (blocks, lengths)
    }

    /// Maps of such keys and values, and whether it is known which slots are in use; else it may be said not to be, where the sizes of
    /// keys and values could be others.
    fn check<K: Ord, V>(key: impl Fn(u32) -> K, val: impl Fn(u32) -> V, is_known: bool) {
        for count in [0, 1, 5, 11, 12, 40, 700] {
            let mut map: BTreeMap<K, V> = (0..count).map(|n| (key(n), val(n))).collect();
            for n in (0..count).filter(|n| n % 3 == 0) {
                map.remove(&key(n));
            }
            if words_of(&map)[0] == 0 {
                continue;
            }
            for added in
                [0, 8, 24].into_iter().filter(|&added| words_of(&map)[1] == 0 || added < 24)
            {
                check_map(&map, added, is_known);
            }
        }
    }

    fn check_map<K, V>(map: &BTreeMap<K, V>, added: u64, is_known: bool) {
        let [at, height, length] = words_of(map);
        let (blocks, lengths) = blocks_of(map, added);
        let mut trees = Trees::default();
        let block_at = |at: u64| blocks.start.binary_search(&at).unwrap() as u32;
        let (root, block) = (root(height, length).unwrap(), block_at(at));
        assert!(trees.read(&memory(), &blocks, (block, root)));
        assert_eq!(trees.nodes.len(), blocks.len());
        let mut used = 0;
        for (key, val) in map {
            let addresses = [std::ptr::from_ref(key).addr(), std::ptr::from_ref(val).addr()];
            for (at, size) in addresses.into_iter().zip([size_of::<K>(), size_of::<V>()]) {
                if size > 0 && size % 8 == 0 {
                    let block = blocks.find(at as u64).unwrap();
                    let is_in_use = trees.is_in_use(block as u32, at as u64 - blocks.start[block]);
                    assert_ne!(is_in_use, Some(false));
                    used += u32::from(is_in_use == Some(true));
                }
            }
        }
        let mut spare = 0;
        for (&at, &length) in &lengths {
            for slot in length..SLOTS {
                for (array, size) in [
                    (offset_of!(Leaf<K, V>, keys), size_of::<K>()),
                    (offset_of!(Leaf<K, V>, vals), size_of::<V>()),
                ] {
                    if size > 0 && size % 8 == 0 {
                        let offset = array as u64 + slot * size as u64;
                        let is_in_use = trees.is_in_use(block_at(at), offset);
                        assert_ne!(is_in_use, Some(true));
                        spare += u32::from(is_in_use == Some(false));
                    }
                }
            }
        }
        let is_word = |size: usize| usize::from(size > 0 && size.is_multiple_of(8));
        let words = is_word(size_of::<K>()) + is_word(size_of::<V>());
        let all: u64 = lengths.values().map(|length| SLOTS - length).sum();
        let (spare, all) = (u64::from(spare), words as u64 * all);
        if is_known && height > 0 {
            assert_eq!((used as usize, spare), (words * map.len(), all));
        } else if is_known {
            // By its zeros, an old word may be the parent of a root that is a leaf.
            assert!(u64::from(used) + spare > 0);
        }
        for &at in lengths.keys().filter(|&&other| other != at) {
            let parent = offset_of!(Leaf<K, V>, parent) as u64;
            assert_eq!(trees.is_in_use(block_at(at), parent), Some(true));
            assert!(trees.is_stale((block, 0), block_at(at)) || parent == 0);
            let child = size_of::<Leaf<K, V>>() as u64;
            assert!(!trees.is_stale((block, child), block_at(at)));
        }
    }

    #[test]
    fn slots_in_use_are_known_whatever_is_in_them() {
        check(|n| n, |n| [u64::from(n); 2], true);
        check(u64::from, |n| [u64::from(n); 2], true);
        check(|n| [u64::from(n); 3], |_| (), true);
        check(|n| n as u16, |n| [u64::from(n); 3], true);
        check(|n| [n as u8; 3], u64::from, true);
        check(|n| n.to_string(), |n| n.to_string(), false);
        check(u64::from, |n| [u64::from(n); 40], true);
        check(|n| n, |n| (u128::from(n), n), false);
        check(|n| (n, n as u8), |n| n as u8, false);
    }

    #[test]
    fn what_is_no_tree_is_not_taken_for_one() {
        let map: BTreeMap<u32, [u64; 2]> = (0..100).map(|n| (n, [0; 2])).collect();
        let [at, height, length] = words_of(&map);
        let (blocks, _) = blocks_of(&map, 0);
        let block = blocks.start.binary_search(&at).unwrap() as u32;
        let read = |blocks: &Blocks, height, length| {
            let root = root(height, length).unwrap();
            Trees::default().read(&memory(), blocks, (block, root))
        };
        assert!(read(&blocks, height, length));
        assert!(!read(&blocks, height, length + 1), "it has another number of keys");
        assert!(!read(&blocks, height + 1, length));
        assert!(!read(&blocks, 0, 7), "a leaf that has another number");
        let (mut fewer, _) = blocks_of(&map, 0);
        fewer.remove(&[fewer.start[usize::from(block == 0)]]);
        let block = fewer.start.binary_search(&at).unwrap() as u32;
        let at_root = (block, root(height, length).unwrap());
        assert!(!Trees::default().read(&memory(), &fewer, at_root), "a child is no block");
        assert_eq!([(0, 12), (1, 5), (21, 100), (u64::MAX, 3)].map(|(h, l)| root(h, l)), [None; 4]);
    }
}
