//! How handles came about: the lines that each was handed on through, kept once each.
//!
//! A path is a node of a tree, named by a number: its last step, and the path of the handle that it was made
//! from. Nodes are written once and read without a lock; who adds one has a lock, under which nothing is allocated but by the
//! system. The rules are [`path`]'s, which the replay of a recording
//! shares, so that a path is the same wherever it is asked.
//!
//! # Invariants
//!
//! * **PATHS**: a node below `len` was written whole before `len` named it, and is not written again; its chunk is
//!   there.

use super::index::Index;
use super::local::{self, Local};
use crate::event::path::{self, Extension, Node, Nodes};
use crate::event::{Caller, Op};
use crate::primitive::plain::{AtomicPtr, AtomicU32, AtomicU64, Mutex};
use crate::primitive::{Ordering, constructor, free_slots, zeroed_slots};
use crate::stack::policy;
use std::cell::Cell;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::panic::Location;
use std::ptr;

/// An operation and its line. Lines compare by content: one may have several addresses.
pub(crate) type Step = (Op, Caller);

/// A node. All its bytes are zero before it is written.
struct Slot {
    location: AtomicPtr<Location<'static>>,
    /// parent:32 | depth:8 | cut:8 | op:8
    rest: AtomicU64,
}

impl Slot {
    fn vacant() -> Self {
        Self { location: AtomicPtr::new(ptr::null_mut()), rest: AtomicU64::new(0) }
    }
}

/// Nodes of the first chunk; each further one is as large as all before it.
const FIRST: usize = 256;
const CHUNKS: usize = 17;

/// Paths are kept whole while there are fewer nodes; beyond, first and last step alone.
const WHOLE: u32 = 1 << 18;
/// Records of a log name a path in 24 bits. Beyond, a path is not known.
const MOST: u32 = Index::MOST;

const _: () = assert!(MOST as usize <= FIRST << (CHUNKS - 1));

/// The nodes, by what they are.
type Known = Index;

/// What a node is found by. Its path is none of it.
fn hash(node: &Node<Step>) -> u64 {
    let mut hasher = DefaultHasher::new();
    let (op, site) = node.step;
    (node.parent, op as u8, node.cut, site).hash(&mut hasher);
    hasher.finish()
}

/// A path, and whether its last line is one that only a stack can tell whose it is.
#[derive(Clone, Copy)]
pub(crate) struct PathToLine(u32);

impl PathToLine {
    const NEEDS_STACK: u32 = 1 << 31;

    fn new(path: u32, site: Caller) -> Self {
        Self(if policy::needs_stack(site) { path | Self::NEEDS_STACK } else { path })
    }

    #[inline]
    pub(crate) fn number(self) -> u32 {
        self.0 & !Self::NEEDS_STACK
    }

    #[inline]
    pub(crate) fn needs_stack(self) -> bool {
        self.0 & Self::NEEDS_STACK != 0
    }
}

const _: () = assert!(MOST < PathToLine::NEEDS_STACK);

/// The tree of all paths of this process.
pub(crate) struct Paths {
    chunks: [AtomicPtr<Slot>; CHUNKS],
    len: AtomicU32,
    known: Mutex<Known>,
    cut: AtomicU64,
}

impl Paths {
    constructor! {
        pub(crate) fn new() -> Self {
            Self {
                chunks: [const { AtomicPtr::new(ptr::null_mut()) }; CHUNKS],
                len: AtomicU32::new(0),
                known: Mutex::new(Index::new()),
                cut: AtomicU64::new(0),
            }
        }
    }

    /// How many handles have a path that was cut because the tree is full.
    pub(crate) fn cut(&self) -> u64 {
        self.cut.load(Ordering::Relaxed)
    }

    /// The path of a handle that `op` made on a line, from one whose path is `from` (0: from none).
    #[inline]
    pub(crate) fn of(&self, local: Option<&Local>, from: u32, op: Op, site: Caller) -> u32 {
        self.find(local, from, op, site).number()
    }

    /// The same, and whether the line is the user's. By the cache of this thread, where it has one.
    #[inline]
    pub(crate) fn find(
        &self,
        local: Option<&Local>,
        from: u32,
        op: Op,
        site: Caller,
    ) -> PathToLine {
        if let Some(local) = local
            && let Some(path) = local.paths.get(from, op, site)
        {
            return path;
        }
        self.find_slow(local, from, op, site)
    }

    #[cold]
    #[inline(never)]
    fn find_slow(&self, local: Option<&Local>, from: u32, op: Op, site: Caller) -> PathToLine {
        let Some(local) = local else {
            return PathToLine::new(self.of_shared(from, op, site), site);
        };
        let path = self.add(&mut self.known.lock(), from, op, site);
        let path = PathToLine::new(path, site);
        local.paths.put(from, op, site, path);
        path
    }

    /// No stack is taken any more of handles that are made on this line: it is not asked for again.
    #[cold]
    pub(crate) fn without_stack(&self, local: Option<&Local>, from: u32, op: Op, site: Caller) {
        if let Some(local) = local
            && let Some(path) = local.paths.get(from, op, site)
        {
            local.paths.put(from, op, site, PathToLine(path.number()));
        }
    }

    /// The same, without waiting in a signal's handler: the lock may be held by what it interrupted.
    #[cold]
    fn of_shared(&self, from: u32, op: Op, site: Caller) -> u32 {
        let known = if local::may_wait() { Some(self.known.lock()) } else { self.known.try_lock() };
        match known {
            Some(mut known) => self.add(&mut known, from, op, site),
            None => {
                self.cut.fetch_add(1, Ordering::Relaxed);
                0
            }
        }
    }

    #[cold]
    #[inline(never)]
    fn add(&self, known: &mut Known, from: u32, op: Op, site: Caller) -> u32 {
        let step = (op, site);
        let node = match path::extend(self, from, step) {
            Extension::Known(path) => return path,
            Extension::Child(node) => node,
        };
        if let Some(known) = self.known(known, &node) {
            return known;
        }
        // Relaxed: written under the lock that is held.
        if self.len.load(Ordering::Relaxed) < WHOLE || node.parent == 0 {
            return self.intern(known, node);
        }
        let node = path::cut(self, from, step);
        if node.cut {
            self.cut.fetch_add(1, Ordering::Relaxed);
        }
        self.intern(known, node)
    }

    fn intern(&self, known: &mut Known, node: Node<Step>) -> u32 {
        if let Some(path) = self.known(known, &node) {
            return path;
        }
        // Room first, so that no node is there twice.
        let path = if known.reserve() { self.insert(node) } else { None };
        match path {
            Some(path) => {
                known.insert(hash(&node), path);
                path
            }
            None => {
                self.cut.fetch_add(1, Ordering::Relaxed);
                0
            }
        }
    }

    /// The path of a node that is there.
    fn known(&self, known: &Known, node: &Node<Step>) -> Option<u32> {
        known.find(hash(node), |path| {
            self.get(path).is_some_and(|known| {
                (known.parent, known.step, known.cut) == (node.parent, node.step, node.cut)
            })
        })
    }

    fn slot(&self, path: u32) -> Option<&Slot> {
        let index = path.checked_sub(1)? as usize;
        // Acquire: pairs with the release in `insert`.
        if index >= self.len.load(Ordering::Acquire) as usize {
            return None;
        }
        let (chunk, place) = locate(index);
        let slots = self.chunks[chunk].load(Ordering::Relaxed);
        // SAFETY: PATHS: the index is below `len`.
        let slot = unsafe { slots.add(place) };
        // SAFETY: PATHS: as above.
        Some(unsafe { &*slot })
    }

    /// A path's last step, with the path before it.
    pub(crate) fn get(&self, path: u32) -> Option<Node<Step>> {
        let slot = self.slot(path)?;
        let rest = slot.rest.load(Ordering::Relaxed);
        // SAFETY: PATHS: the pointer was written, from a `&'static Location`.
        let site = unsafe { &*slot.location.load(Ordering::Relaxed) };
        Some(Node {
            step: (Op::from_number(rest as u8)?, site),
            parent: (rest >> 32) as u32,
            depth: (rest >> 16) as u8,
            cut: rest >> 8 & 1 != 0,
        })
    }

    /// A path's steps, the first one first, each with whether steps are missing before it.
    pub(crate) fn steps(&self, path: u32) -> Vec<(Step, bool)> {
        let mut steps = Vec::new();
        let mut next = path;
        while let Some(node) = self.get(next) {
            steps.push((node.step, node.cut));
            next = node.parent;
        }
        steps.reverse();
        steps
    }

    fn insert(&self, node: Node<Step>) -> Option<u32> {
        // Relaxed: written under the lock of `known` alone, which is held.
        let index = self.len.load(Ordering::Relaxed);
        if index >= MOST {
            return None;
        }
        let (chunk, place) = locate(index as usize);
        let mut slots = self.chunks[chunk].load(Ordering::Relaxed);
        if slots.is_null() {
            slots = zeroed_slots::<Slot>(extent(chunk), Slot::vacant)?.as_ptr();
            self.chunks[chunk].store(slots, Ordering::Relaxed);
        }
        // SAFETY: PATHS: the chunk has this place.
        let slot = unsafe { slots.add(place) };
        // SAFETY: PATHS: as above; no reader looks at it yet.
        let slot = unsafe { &*slot };
        let (op, site) = node.step;
        slot.location.store(ptr::from_ref(site).cast_mut(), Ordering::Relaxed);
        let rest = u64::from(node.parent) << 32 | u64::from(node.depth) << 16;
        slot.rest.store(rest | u64::from(node.cut) << 8 | op as u64, Ordering::Relaxed);
        // Release: a reader that sees this length sees the node, and its chunk.
        self.len.store(index + 1, Ordering::Release);
        Some(index + 1)
    }
}

impl Nodes for Paths {
    type Step = Step;

    fn node(&self, path: u32) -> Node<Step> {
        self.get(path).expect("this tree gave the path")
    }
}

impl Drop for Paths {
    fn drop(&mut self) {
        for (chunk, slots) in self.chunks.iter().enumerate() {
            if let Some(slots) = ptr::NonNull::new(slots.load(Ordering::Relaxed)) {
                // SAFETY: LAYOUT: a chunk's length is that of its number, and whoever drops the tree has it alone.
                unsafe { free_slots(slots, extent(chunk)) };
            }
        }
    }
}

fn locate(index: usize) -> (usize, usize) {
    let chunk = (index / FIRST).checked_ilog2().map_or(0, |log| log as usize + 1);
    (chunk, if chunk == 0 { index } else { index - extent(chunk) })
}

fn extent(chunk: usize) -> usize {
    FIRST << chunk.saturating_sub(1)
}

/// The paths that a thread has met, by what they are made of: most handles are made on few lines. Each has two slots
/// to be in, so that two that are made in turn do not drive one another out.
pub(crate) struct PathCache([Cell<CacheSlot>; Self::LEN]);

#[derive(Clone, Copy)]
struct CacheSlot {
    key: u64,
    from: u32,
    path: PathToLine,
}

/// Operation and line in one word: no address of a location has its highest byte set.
#[inline]
fn key(op: Op, site: Caller) -> u64 {
    (op as u64) << 56 ^ ptr::from_ref(site).addr() as u64
}

impl PathCache {
    const LEN: usize = 128;

    pub(crate) const fn new() -> Self {
        Self([const { Cell::new(CacheSlot { key: 0, from: 0, path: PathToLine(0) }) }; Self::LEN])
    }

    #[inline(always)]
    pub(super) fn get(&self, from: u32, op: Op, site: Caller) -> Option<PathToLine> {
        let at = Self::at(from, site);
        let is = |slot: CacheSlot| slot.key == key(op, site) && slot.from == from;
        let first = self.0[at].get();
        if is(first) {
            return Some(first.path);
        }
        let second = self.0[at ^ 1].get();
        is(second).then_some(second.path)
    }

    fn put(&self, from: u32, op: Op, site: Caller, path: PathToLine) {
        let (at, new) = (Self::at(from, site), CacheSlot { key: key(op, site), from, path });
        let first = self.0[at].replace(new);
        if (first.key, first.from) != (new.key, from) {
            self.0[at ^ 1].set(first);
        }
    }

    #[inline(always)]
    fn at(from: u32, site: Caller) -> usize {
        // Lines by their addresses, and paths that lead there: neighbours in both, which a multiplication spreads.
        let mixed = (ptr::from_ref(site).addr() as u64 ^ (u64::from(from) << 24))
            .wrapping_mul(0x9e37_79b9_7f4a_7c15);
        (mixed >> (64 - Self::LEN.ilog2())) as usize
    }
}
