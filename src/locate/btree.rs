//! The nodes of std's `BTreeMap`s: which of their slots are in use, and which nodes are below which.
//!
//! ```text
//!  BTreeMap   │ root ┊ height ┊ length │
//!  a leaf     │ 11 keys, 11 values, parent, index in it: u16, length: u16, the largest power of two first │
//!  inner node │ as a leaf                                                          │ 12 children │
//! ```
//!
//! Where the keys end and the values begin depends on their sizes, which are not known: each layout is thought of that fits the
//! block, and those are kept that every node of the tree agrees with. What all of them say is so, since the true one is among
//! them. An inner node agrees where each of its children has its address and number, so that what is no tree is not taken for one.
//! A root that is a leaf says little, and is one by its type; without, it is likely one at most, which decides between copies that
//! are as likely else.

use super::blocks::{ADDED, Blocks};
use super::memory::Memory;
use std::collections::HashMap;

/// Keys, and values, of a node.
const SLOTS: u64 = 11;
/// Bytes of an inner node's children.
pub(super) const CHILDREN: u64 = 8 * (SLOTS + 1);
/// Bytes of a node besides: its parent's address, its number there, and how many keys it has.
const REST: u64 = 8 + 2 + 2;
/// Words of a node; larger ones are not looked at.
const LARGEST: u32 = 1 << 12;
/// And of a leaf that is not known to be one.
const LARGEST_LIKELY: u32 = 1 << 9;
/// Of those, how many there are at most.
const MOST_LIKELY: usize = 1 << 14;
/// The power of two of the greatest alignment that is thought of.
const ALIGNED: u32 = 12;
/// A tree of minimal nodes with more levels does not fit into any memory.
pub(super) const HIGHEST: u64 = 20;
/// Nodes that are read, of all trees together: each takes a microsecond, if they lie far apart.
const MOST: usize = 1 << 20;

/// The words of a `BTreeMap` of more than one node behind its pointer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Root {
    /// How many levels are below the root.
    height: u64,
    /// How many keys there are in all.
    length: u64,
}

impl Root {
    /// By the words behind a pointer. `None`: it is no such map's.
    pub(super) fn new(height: u64, length: u64) -> Option<Self> {
        // The root has one key at least.
        let fits = (1..=HIGHEST).contains(&height) && (SLOTS / 2 + 1..1 << 48).contains(&length);
        fits.then_some(Self { height, length })
    }
}

/// Whether the words behind a pointer may be those of a map of one node.
pub(super) fn may_be_leaf(height: u64, length: u64) -> bool {
    height == 0 && length <= SLOTS
}

/// Keys or values one after another.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
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
pub(super) struct NodeLayout {
    keys: Array,
    vals: Array,
    parent: u64,
    index: u64,
    length: u64,
    /// Of a leaf: where an inner node has its children.
    size: u64,
}

impl NodeLayout {
    /// By the type: where std's fields are, and how large. `None`: there is no such field.
    #[cfg_attr(not(feature = "stacks"), allow(dead_code))] // types are not known
    pub(super) fn of_type(size: u64, field: impl Fn(&str) -> Option<(u64, u64)>) -> Option<Self> {
        let array = |name| {
            let (at, size) = field(name)?;
            Some(Array { at, element: size / SLOTS })
        };
        Some(Self {
            keys: array("keys")?,
            vals: array("vals")?,
            parent: field("parent")?.0,
            index: field("parent_idx")?.0,
            length: field("len")?.0,
            size,
        })
    }

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

    /// All that a node in a block of so many bytes may have, with so many for its children.
    fn all(bytes: u64, children: u64) -> Vec<Self> {
        let mut layouts = Vec::new();
        for end in (0..=ADDED).step_by(8).filter_map(|added| bytes.checked_sub(added)) {
            let aligned = |align: &u64| end.is_multiple_of(*align);
            for align in (3..=ALIGNED).map(|power| 1 << power).take_while(aligned) {
                // The children stand behind a leaf, and what is left is less than the alignment.
                let Some(size) = end.checked_sub(children).map(|size| size & !(align - 1)) else {
                    break;
                };
                Self::aligned(size, align, &mut layouts);
            }
        }
        layouts.sort_unstable_by_key(Self::order);
        layouts.dedup();
        layouts
    }

    /// Those of leaves of a size that keys or values have the alignment of.
    fn aligned(size: u64, align: u64, layouts: &mut Vec<Self>) {
        let most = size.saturating_sub(REST) / SLOTS;
        for pair in (1..=most).rev().take_while(|pair| size - REST - SLOTS * pair < align) {
            // What has no size may be aligned, too.
            let is_aligned = |&key: &u64| {
                align == 8 || key.is_multiple_of(align) || (pair - key).is_multiple_of(align)
            };
            let keys = (0..=pair).filter(is_aligned);
            layouts.extend(keys.map(|key| Self::new(key, pair - key, size)));
        }
    }

    /// First those together that read each node alike: of one place of the children, the parent and the number. The length follows
    /// the number.
    fn order(&self) -> (u64, u64, u64, u64) {
        (self.size, self.parent, self.index, self.keys.element)
    }

    fn reads_alike(&self, other: &Self) -> bool {
        (self.size, self.parent, self.index) == (other.size, other.parent, other.index)
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

/// The trees that were found, and their nodes by block.
#[derive(Debug, Default)]
pub(super) struct Trees {
    nodes: HashMap<u32, Node>,
    /// Of each tree the layouts that all of its nodes agree with.
    trees: Vec<Vec<NodeLayout>>,
    likely: HashMap<u32, LikelyLeaf>,
    /// All layouts of leaves of so many words.
    leaves: HashMap<u32, Vec<NodeLayout>>,
    /// How many nodes were read.
    read: usize,
}

/// What may be a map of one node.
#[derive(Debug)]
struct LikelyLeaf {
    length: u64,
    /// The keys and the values that it may have, if handles are in them.
    arrays: Vec<Array>,
}

impl Trees {
    /// Looks whether a block is the root of a tree, if it is not known as a node; then all nodes are known from now on.
    pub(super) fn recognise(
        &mut self,
        memory: &impl Memory,
        blocks: &Blocks,
        (block, root): (u32, Root),
    ) {
        if self.nodes.contains_key(&block) {
            return;
        }
        let at = Position { parent: 0, index: None, height: root.height };
        let Some(words) = self.read_node(memory, blocks, block) else { return };
        // Nothing is worked out for what has no parent's place.
        if !words.contains(&0) {
            return;
        }
        let mut layouts = NodeLayout::all(8 * words.len() as u64, CHILDREN);
        layouts.retain(|layout| layout.length(&words, at).is_some());
        for layouts in layouts.chunk_by(NodeLayout::reads_alike) {
            let Some(nodes) = self.walk(memory, blocks, (block, root), &layouts[0]) else {
                continue;
            };
            self.nodes.extend(nodes);
            self.trees.push(layouts.to_vec());
            return;
        }
    }

    /// Knows a map of one node from now on, of so many keys, by its type.
    #[cfg_attr(not(feature = "stacks"), allow(dead_code))] // types are not known
    pub(super) fn recognise_leaf(
        &mut self,
        memory: &impl Memory,
        blocks: &Blocks,
        (block, length): (u32, u64),
        layout: NodeLayout,
    ) {
        let at = Position { parent: 0, index: None, height: 0 };
        let Some(words) = self.read_node(memory, blocks, block) else { return };
        if layout.length(&words, at) == Some(length) {
            let tree = self.trees.len() as u32;
            self.nodes.insert(block, Node { tree, length: length as u8, is_inner: false });
            self.trees.push(vec![layout]);
        }
    }

    /// Looks whether a block may be a map of one node, of so many keys, in which handles of so many bytes are.
    pub(super) fn look_for_leaf(
        &mut self,
        memory: &impl Memory,
        blocks: &Blocks,
        (block, length): (u32, u64),
        handle: u64,
    ) {
        let size = blocks.words[block as usize];
        let has_room = u64::from(size) * 8 >= SLOTS * handle + REST;
        if !has_room || size > LARGEST_LIKELY || self.likely.len() >= MOST_LIKELY {
            return;
        }
        let Some(words) = self.read_node(memory, blocks, block) else { return };
        let at = Position { parent: 0, index: None, height: 0 };
        let layouts = self.leaves.entry(size);
        let layouts = layouts.or_insert_with(|| NodeLayout::all(8 * u64::from(size), 0));
        let fits = layouts.iter().filter(|layout| layout.length(&words, at) == Some(length));
        let arrays = fits.flat_map(|layout| [layout.keys, layout.vals]);
        let has_handles = |array: &Array| array.element >= handle;
        let mut arrays: Vec<Array> = arrays.filter(has_handles).collect();
        arrays.sort_unstable_by_key(|array| (array.at, array.element));
        arrays.dedup();
        if !arrays.is_empty() {
            self.likely.insert(block, LikelyLeaf { length, arrays });
        }
    }

    /// Whether a handle at an offset of a block is likely an old one, if the block is a map's only node.
    pub(super) fn is_likely_spare(&self, block: u32, offset: u64) -> bool {
        let Some(LikelyLeaf { length, arrays }) = self.likely.get(&block) else { return false };
        let mut slots = arrays.iter().filter_map(|array| array.slot(offset)).peekable();
        slots.peek().is_some() && slots.all(|slot| slot >= *length)
    }

    /// The nodes of a tree, if each of them is where it says to be, and they have as many keys as the map.
    fn walk(
        &mut self,
        memory: &impl Memory,
        blocks: &Blocks,
        (block, root): (u32, Root),
        layout: &NodeLayout,
    ) -> Option<Vec<(u32, Node)>> {
        let (mut nodes, mut length) = (Vec::new(), 0);
        let tree = self.trees.len() as u32;
        let mut next = vec![(block, Position { parent: 0, index: None, height: root.height })];
        while let Some((block, at)) = next.pop() {
            let words = self.read_node(memory, blocks, block)?;
            let own = layout.length(&words, at)?;
            length += own;
            if length > root.length {
                return None;
            }
            let is_inner = at.height > 0;
            nodes.push((block, Node { tree, length: own as u8, is_inner }));
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
    fn read_node(&mut self, memory: &impl Memory, blocks: &Blocks, block: u32) -> Option<Vec<u64>> {
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
        let layouts = &self.trees[node.tree as usize];
        // By those that have no address there, none does.
        let mut all = layouts.iter().filter_map(|layout| layout.is_in_use(offset, node));
        let first = all.next()?;
        all.all(|other| other == first).then_some(first)
    }

    pub(super) fn is_node(&self, block: u32) -> bool {
        self.nodes.contains_key(&block)
    }

    /// Whether a word of a node, outside of what it has of its parent and children, leads to another node of the same tree: no
    /// value does.
    pub(super) fn is_stale(&self, (from, offset): (u32, u64), to: u32) -> bool {
        let (Some(node), Some(other)) = (self.nodes.get(&from), self.nodes.get(&to)) else {
            return false;
        };
        let layouts = &self.trees[node.tree as usize];
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

    /// As std has it.
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
            let inner = (leaf + CHILDREN).next_multiple_of(align_of::<Leaf<K, V>>() as u64);
            let size = if height > 0 { inner } else { leaf };
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

    fn layout_of<K, V>() -> NodeLayout {
        let field = |name: &str| {
            let (at, size) = match name {
                "keys" => (offset_of!(Leaf<K, V>, keys), 11 * size_of::<K>()),
                "vals" => (offset_of!(Leaf<K, V>, vals), 11 * size_of::<V>()),
                "parent" => (offset_of!(Leaf<K, V>, parent), 8),
                "parent_idx" => (offset_of!(Leaf<K, V>, parent_idx), 2),
                "len" => (offset_of!(Leaf<K, V>, len), 2),
                _ => return None,
            };
            Some((at as u64, size as u64))
        };
        NodeLayout::of_type(size_of::<Leaf<K, V>>() as u64, field).unwrap()
    }

    /// Recognises a map's nodes, all of which are blocks.
    fn recognised<K, V>(map: &BTreeMap<K, V>, blocks: &Blocks) -> Trees {
        let [at, height, length] = words_of(map);
        let block = blocks.start.binary_search(&at).unwrap() as u32;
        let mut trees = Trees::default();
        if may_be_leaf(height, length) {
            trees.recognise_leaf(&memory(), blocks, (block, length), layout_of::<K, V>());
        } else {
            let root = Root::new(height, length).unwrap();
            trees.recognise(&memory(), blocks, (block, root));
        }
        trees
    }

    /// Maps of such keys and values, and whether it is known which slots are in use; else it may not be, where the sizes of keys and
    /// values could be others.
    fn check<K: Ord, V>(key: impl Fn(u32) -> K, val: impl Fn(u32) -> V, is_known: bool) {
        for count in [0, 1, 5, 11, 12, 40, 700] {
            let mut map: BTreeMap<K, V> = (0..count).map(|n| (key(n), val(n))).collect();
            for n in (0..count).filter(|n| n % 3 == 0) {
                map.remove(&key(n));
            }
            let [root, height, _] = words_of(&map);
            // Of an inner node's block the next one's begins there.
            let most = if height == 0 { ADDED } else { 8 };
            for added in [0, 8, ADDED].into_iter().filter(|&added| root > 0 && added <= most) {
                check_map(&map, added, is_known);
            }
        }
    }

    fn check_map<K, V>(map: &BTreeMap<K, V>, added: u64, is_known: bool) {
        let (blocks, lengths) = blocks_of(map, added);
        let trees = recognised(map, &blocks);
        assert_eq!(trees.nodes.len(), blocks.len());
        let block_at = |at: u64| blocks.start.binary_search(&at).unwrap() as u32;
        let is_word = |size: usize| size > 0 && size.is_multiple_of(8);
        let (mut used, mut spare) = (0, 0);
        for (key, val) in map {
            let addresses = [std::ptr::from_ref(key).addr(), std::ptr::from_ref(val).addr()];
            for (at, size) in addresses.into_iter().zip([size_of::<K>(), size_of::<V>()]) {
                if is_word(size) {
                    let block = blocks.find(at as u64).unwrap();
                    let is_in_use = trees.is_in_use(block as u32, at as u64 - blocks.start[block]);
                    assert_ne!(is_in_use, Some(false));
                    used += usize::from(is_in_use == Some(true));
                }
            }
        }
        let arrays = [
            (offset_of!(Leaf<K, V>, keys), size_of::<K>()),
            (offset_of!(Leaf<K, V>, vals), size_of::<V>()),
        ];
        let arrays = arrays.into_iter().filter(|&(_, size)| is_word(size));
        for (&at, &length) in &lengths {
            for slot in length as usize..SLOTS as usize {
                for (array, size) in arrays.clone() {
                    let is_in_use = trees.is_in_use(block_at(at), (array + slot * size) as u64);
                    assert_ne!(is_in_use, Some(true));
                    spare += usize::from(is_in_use == Some(false));
                }
            }
        }
        let words = arrays.count();
        let [root, height, _] = words_of(map);
        if is_known || height == 0 {
            let all: u64 = lengths.values().map(|length| SLOTS - length).sum();
            assert_eq!((used, spare), (words * map.len(), words * all as usize));
        }
        for &at in lengths.keys().filter(|&&other| other != root) {
            let parent = offset_of!(Leaf<K, V>, parent) as u64;
            assert_eq!(trees.is_in_use(block_at(at), parent), Some(true));
            let is_stale = |offset| trees.is_stale((block_at(root), offset), block_at(at));
            let child = size_of::<Leaf<K, V>>() as u64;
            let val = offset_of!(Leaf<K, V>, vals) as u64;
            assert!(
                !is_stale(child) && !is_stale(parent) && (is_stale(val) || size_of::<V>() == 0)
            );
        }
    }

    #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
    #[repr(align(32))]
    struct Aligned<T>(T);

    #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
    #[repr(align(128))]
    struct OfLines<T>(T);

    #[test]
    fn slots_in_use_are_known_whatever_is_in_them() {
        check(|n| n, |n| [u64::from(n); 2], true);
        check(u64::from, |n| [u64::from(n); 2], true);
        check(|n| [u64::from(n); 3], |_| (), true);
        check(|n| n as u16, |n| [u64::from(n); 3], true);
        check(|n| [n as u8; 3], u64::from, true);
        check(u64::from, |n| [u64::from(n); 40], true);
        check(|n| n.to_string(), |n| n.to_string(), false);
        check(|n| n, |n| (u128::from(n), n), false);
        check(|n| (n, n as u8), |n| n as u8, false);
        check(Aligned, |n| [u64::from(n); 2], false);
        check(OfLines, |n| [u64::from(n); 2], false);
        check(OfLines, u64::from, false);
        check(u64::from, OfLines, false);
        check(|n| n, OfLines, false);
        check(u64::from, |_| Aligned(()), false);
        check(|n| n, |n| (OfLines(()), u64::from(n)), false);
    }

    #[test]
    fn what_is_no_tree_is_not_taken_for_one() {
        let map: BTreeMap<u32, [u64; 2]> = (0..100).map(|n| (n, [0; 2])).collect();
        let [at, height, length] = words_of(&map);
        let (blocks, _) = blocks_of(&map, 0);
        let is_one = |blocks: &Blocks, height, length| {
            let block = blocks.start.binary_search(&at).unwrap() as u32;
            let root = Root::new(height, length).unwrap();
            let mut trees = Trees::default();
            trees.recognise(&memory(), blocks, (block, root));
            trees.is_node(block)
        };
        assert!(is_one(&blocks, height, length));
        assert!(!is_one(&blocks, height, length + 1), "it has another number of keys");
        assert!(!is_one(&blocks, height, length - 1));
        assert!(!is_one(&blocks, height + 1, length));
        let (mut fewer, _) = blocks_of(&map, 0);
        fewer.remove(&[fewer.start[usize::from(blocks.start[0] == at)]]);
        assert!(!is_one(&fewer, height, length), "a child is no block");
        let roots = [(0, 7), (1, 5), (21, 100), (u64::MAX, 7), (1, u64::MAX)];
        assert_eq!(roots.map(|(height, length)| Root::new(height, length)), [None; 5]);

        let map: BTreeMap<u32, [u64; 2]> = (0..7).map(|n| (n, [0; 2])).collect();
        let (blocks, _) = blocks_of(&map, 0);
        let is_leaf = |length, layout| {
            let mut trees = Trees::default();
            trees.recognise_leaf(&memory(), &blocks, (0, length), layout);
            trees.is_node(0)
        };
        let layout = layout_of::<u32, [u64; 2]>();
        assert!(is_leaf(7, layout));
        assert!(!is_leaf(6, layout), "it has another length");
        assert!(
            !is_leaf(7, NodeLayout { parent: layout.length & !7, ..layout }),
            "it has a parent"
        );
        let mut trees = Trees::default();
        trees.look_for_leaf(&memory(), &blocks, (0, 7), 16);
        let slots = (0..11).map(|slot| layout.vals.at + 16 * slot + 8);
        let spare = slots.map(|offset| trees.is_likely_spare(0, offset)).collect::<Vec<_>>();
        assert_eq!(spare[..7], [false; 7]);
        assert!(spare[7..].iter().filter(|&&is_spare| is_spare).count() > 2, "{spare:?}");
        let mut trees = Trees::default();
        trees.look_for_leaf(&memory(), &blocks, (0, 6), 16);
        trees.look_for_leaf(&memory(), &blocks, (0, 7), 24);
        assert!(!trees.is_likely_spare(0, layout.vals.at + 16 * 10 + 8));
        assert_eq!(
            [(0, 11), (0, 12), (1, 7)].map(|(h, l)| may_be_leaf(h, l)),
            [true, false, false]
        );
    }
}
