//! The result of a search: plain data.

use super::doubt::Doubt;
use super::name::Name;
use crate::event::{HandleId, Kind, ObjectId};
use std::sync::Arc;

/// Where each living handle is stored, and who holds what. Given by [`Search::run`](super::Search::run).
#[derive(Clone, Debug, Default, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[non_exhaustive]
pub struct Ownership {
    /// Every object that was alive when the process was copied, by number.
    pub objects: Vec<LocatedObject>,
    /// Every handle that was alive at that moment, by object and number.
    pub handles: Vec<LocatedHandle>,
    /// The objects, and the blocks that lie between them and their roots. Each has one holder: the paths of all objects.
    pub nodes: Vec<Node>,
    /// The cycles that no root reaches.
    pub cycles: Vec<Cycle>,
    /// Of objects none of whose handles was found, or that are away as raw pointers: the statics and thread-locals with a plain
    /// pointer to them, one each, by object.
    #[cfg_attr(feature = "serde", serde(default))]
    pub plain_pointers: Vec<PlainPointer>,
    /// The name of the thread that asked: what stands on its stack are the asker's locals, most likely. No other thread's
    /// name is the same.
    pub asked_by: String,
    /// Why nothing is proven. Empty: what is graded so is.
    pub doubts: Vec<Doubt>,
    /// What the search read.
    pub statistics: Statistics,
}

/// A pointer that is no handle. The program may have an object there as a raw pointer, such as a callback's `user_data`, and make
/// handles of it for a moment.
#[derive(Clone, Debug, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[non_exhaustive]
pub struct PlainPointer {
    /// The object that it leads to.
    pub object: ObjectId,
    /// Where it stands.
    pub owner: Owner,
}

/// A living object.
#[derive(Clone, Debug, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[non_exhaustive]
pub struct LocatedObject {
    /// Which object it is.
    pub id: ObjectId,
    /// The kind of pointer.
    pub kind: Kind,
    /// The type's full name.
    pub type_name: Name,
    /// The value's size in bytes.
    pub size: u64,
    /// Its index in [`Ownership::nodes`]. `None` for a value without storage.
    pub node: Option<u32>,
    /// How many objects would end with it, itself included.
    pub retained_objects: u64,
    /// Bytes of the objects, and of the blocks between them, that would end with it.
    pub retained_bytes: u64,
}

/// A living handle.
#[derive(Clone, Debug, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[non_exhaustive]
pub struct LocatedHandle {
    /// Which handle it is.
    pub id: HandleId,
    /// Whether it keeps the value alive.
    pub is_strong: bool,
    /// What it is stored in.
    pub owner: Owner,
    /// How many words could be it. With more than one, the owner is the likeliest: a moved handle leaves copies behind.
    pub copies: u32,
    /// Whether its owner may be an old one: it stands in the buffer of a collection, in a place that is in use if the collection
    /// is a `Vec`, and is not if it is a `VecDeque`, or the other way round; or that is not in use, and no other copy was found.
    #[cfg_attr(feature = "serde", serde(default, skip_serializing_if = "std::ops::Not::not"))]
    pub may_be_old: bool,
}

/// What a handle, or a pointer to a block, is stored in.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[non_exhaustive]
pub enum Owner {
    /// In the value of a traced object.
    Object {
        /// Which object it is.
        object: ObjectId,
        /// The offset in the value.
        offset: u64,
        /// The field's name, where it is known.
        field: Option<Name>,
    },
    /// In a block of the heap.
    Block {
        /// The block's size in bytes.
        size: u64,
        /// The offset in the block.
        offset: u64,
        /// Its index in [`Ownership::nodes`].
        node: u32,
        /// The element or field there, where it is known.
        #[cfg_attr(feature = "serde", serde(default))]
        field: Option<Name>,
    },
    /// In a static.
    Static(Box<StaticPlace>),
    /// In a thread-local.
    ThreadLocal(Box<ThreadLocalPlace>),
    /// On a thread's stack, or in one of its registers: in a living local, most likely.
    Stack {
        /// The thread's name.
        thread: Arc<str>,
    },
    /// In memory that is not known to be the heap's or a thread's. The stack of a thread is such where that could not be stopped
    /// in time, which [`Ownership::doubts`] has as [`Doubt::Registers`].
    Unknown {
        /// The address.
        address: u64,
    },
    /// It is a raw pointer now.
    Raw,
    /// Nowhere found: forgotten, or where no search can see it.
    NotFound,
    /// std counts an owner that refscope does not know: a pointer that is not traced, or a handle that a thread was making or
    /// ending at that moment.
    Untraced,
}

/// A place in a static.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[non_exhaustive]
pub struct StaticPlace {
    /// The program or library that the static belongs to.
    pub image: String,
    /// The address in the file.
    pub address: u64,
    /// The static's name, where it is known.
    pub symbol: Option<String>,
    /// The field of it, where it is known.
    #[cfg_attr(feature = "serde", serde(default))]
    pub field: Option<String>,
    /// The static's type, without paths and shortened, where it is known.
    #[cfg_attr(feature = "serde", serde(default))]
    pub type_name: Option<String>,
}

/// A place in a thread-local.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[non_exhaustive]
pub struct ThreadLocalPlace {
    /// The thread's name.
    pub thread: Arc<str>,
    /// The program or library that the thread-local belongs to. Empty where that is not known.
    #[cfg_attr(feature = "serde", serde(default))]
    pub image: String,
    /// The offset in the thread-locals of the program or library, where they are known.
    #[cfg_attr(feature = "serde", serde(default))]
    pub offset: Option<u64>,
    /// The static's name, where it is known.
    pub symbol: Option<String>,
    /// The field of it, where it is known.
    #[cfg_attr(feature = "serde", serde(default))]
    pub field: Option<String>,
}

/// An object, or a block of the heap.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[non_exhaustive]
pub struct Node {
    /// Which of the two.
    pub kind: NodeKind,
    /// The name of the task of an async runtime, if the block is one: of its future, where symbols or debug information have it, else of
    /// the runtime.
    #[cfg_attr(feature = "serde", serde(default, skip_serializing_if = "Option::is_none"))]
    pub task: Option<Name>,
    /// The holder: the last step of the shortest path.
    pub held: Held,
}

/// What a node of the ownership graph is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[non_exhaustive]
pub enum NodeKind {
    /// An object.
    Object(ObjectId),
    /// A block of the heap of so many bytes.
    Block(u64),
}

/// Who holds a node.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[non_exhaustive]
pub enum Held {
    /// Another node, by what stands at an offset.
    By(Step),
    /// A root.
    Root(Owner),
    /// The cycle with this index, which it is part of.
    Cycle(u32),
    /// Nothing that was found: a block that was leaked.
    Unreferenced,
    /// Weak handles alone, or nobody any more: the value has been dropped.
    Dropped,
}

/// A step of a path: from a node, by what stands at an offset in it.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[non_exhaustive]
pub struct Step {
    /// The node that holds, an index of [`Ownership::nodes`].
    pub from: u32,
    /// Where the pointer stands: in an object's value, or in a block.
    pub offset: u64,
    /// The field's name, where it is known.
    pub field: Option<Name>,
}

/// A cycle of strong handles that no root holds.
#[derive(Clone, Debug, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[non_exhaustive]
pub struct Cycle {
    /// All objects that hold each other, ascending.
    pub objects: Vec<ObjectId>,
    /// The shortest way round from the first of them: from each node to the next, and from the last to the first.
    pub round: Vec<Step>,
    /// How sure it is that nothing else holds it.
    pub grade: Grade,
    /// How many objects would end with it.
    pub retained_objects: u64,
    /// Bytes of the objects, and of the blocks between them, that would end with it.
    pub retained_bytes: u64,
}

/// How sure it is that no root reaches a cycle. See the [module](super#what-a-grade-says).
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub enum Grade {
    /// The program cannot reach it any more.
    Proven,
    /// It seems so; why that is not certain.
    Likely(Vec<Doubt>),
}

/// What a search read, and how.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[non_exhaustive]
pub struct Statistics {
    /// Bytes of memory that were searched.
    pub bytes: u64,
    /// Blocks of the heap, as far as they are known.
    pub blocks: u64,
    /// Whether a frozen copy was read.
    pub is_frozen: bool,
    /// Whether the time or the room ended before everything was read: paths may be missing.
    pub is_cut: bool,
    /// How long the program stood still, in nanoseconds.
    pub stopped_ns: u64,
    /// How long the search took, in nanoseconds.
    pub took_ns: u64,
}

impl Ownership {
    /// Whether the time or the room ended before everything was read: what was not found may be there.
    pub(crate) fn is_cut(&self) -> bool {
        self.statistics.is_cut || self.doubts.contains(&Doubt::Cut)
    }

    /// Whether a root was found that a path to an object begins with: this holds of a search that was cut as well.
    pub(crate) fn is_root_found(&self, id: ObjectId) -> bool {
        matches!(
            self.path(id),
            Some((
                Held::Root(
                    Owner::Static(_) | Owner::ThreadLocal(_) | Owner::Stack { .. } | Owner::Raw
                ),
                _
            ))
        )
    }

    /// Returns the object with this id, if it is alive.
    pub fn object(&self, id: ObjectId) -> Option<&LocatedObject> {
        let at = self.objects.binary_search_by_key(&id, |object| object.id).ok()?;
        Some(&self.objects[at])
    }

    /// Returns the handles of an object, by number.
    pub fn handles_of(&self, id: ObjectId) -> &[LocatedHandle] {
        let from = self.handles.partition_point(|handle| handle.id.object() < id);
        let count = self.handles[from..].partition_point(|handle| handle.id.object() == id);
        &self.handles[from..from + count]
    }

    /// Returns where a [plain pointer](PlainPointer) to an object stands, if one was looked for and found.
    pub fn plain_pointer_to(&self, id: ObjectId) -> Option<&Owner> {
        let at = self.plain_pointers.binary_search_by_key(&id, |pointer| pointer.object).ok()?;
        Some(&self.plain_pointers[at].owner)
    }

    /// Returns the path to an object, from the root: the root or cycle that the first node hangs on, and the nodes.
    pub fn path(&self, id: ObjectId) -> Option<(&Held, Vec<u32>)> {
        let mut node = self.object(id)?.node?;
        let mut path = vec![node];
        loop {
            match &self.nodes[node as usize].held {
                Held::By(step) => {
                    node = step.from;
                    path.push(node);
                }
                held => {
                    path.reverse();
                    return Some((held, path));
                }
            }
        }
    }

    /// Returns the cycle that an object is part of.
    pub fn cycle_of(&self, id: ObjectId) -> Option<&Cycle> {
        let node = self.object(id)?.node?;
        let Held::Cycle(cycle) = self.nodes.get(node as usize)?.held else { return None };
        self.cycles.get(cycle as usize)
    }
}
