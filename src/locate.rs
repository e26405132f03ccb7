//! Where each living handle is stored now, and who holds what: the ownership graph.
//!
//! Events cannot tell where Rust moved a handle; the memory can. Each living handle holds a ticket that occurs nowhere
//! else, so [`Search`] copies the process by a fork, reads the copy once, and says for each handle whether it stands in
//! the value of another object, in a block of the heap, in a static, a thread-local or on a thread's stack. From that
//! follow the shortest path from a root to each object, what each object keeps alive, and the cycles that no root reaches.
//!
//! ```
//! use refscope::locate::Search;
//! use refscope::Arc;
//!
//! # if !refscope::ENABLED { return }
//! refscope::track().expect("no sink is installed");
//! let session = Arc::new("a session");
//! match Search::new().run() {
//!     Ok(ownership) => println!("{}", ownership.path_to(1).expect("the session is alive")),
//!     Err(error) => println!("{error}"), // not Linux, for example
//! }
//! ```
//!
//! # What a grade says
//!
//! **PROVEN**: no root leads there. No word in any writable memory of the process points to it, stale ones and those of
//! weak handles included; each of its handles was found, in memory that nothing leads to; std counts as many owners as
//! refscope does; each thread's stack pointer and registers are known; the memory was copied at one moment, and the blocks
//! of the heap are known. A pointer that the program encodes (an XOR, tags in the high bits, one past the end), that the
//! kernel keeps for it, or that stands in memory that a fork does not copy, is beyond any search.
//!
//! **LIKELY**: all else, with the reasons in words.
//!
//! # Where it works
//!
//! Linux on x86-64 and AArch64. The blocks of the heap are known where the allocator is glibc's or [`Alloc`](crate::Alloc);
//! else the values of traced objects, statics, thread-locals and stacks are searched, and nothing is proven.

#![cfg_attr(not(feature = "trace"), allow(dead_code))] // nothing is alive then

mod assemble;
mod blocks;
mod dominators;
#[cfg(target_os = "linux")]
mod fork;
mod graph;
#[cfg(test)]
mod made_up;
mod memory;
mod ownership;
#[cfg(all(
    feature = "trace",
    target_os = "linux",
    target_pointer_width = "64",
    any(target_arch = "x86_64", target_arch = "aarch64")
))]
mod process;
mod scan;
mod search;
mod text;
#[cfg(all(target_os = "linux", any(target_arch = "x86_64", target_arch = "aarch64")))]
mod threads;

pub use ownership::{
    Cycle, Grade, Held, LocatedHandle, LocatedObject, Node, NodeKind, Owner, Ownership, Statistics,
    Step,
};
pub use search::{Search, Unavailable};
pub use text::{CycleText, PathText};

use crate::event::Kind;

/// A living handle, as the search needs it.
#[derive(Clone, Copy, Debug)]
struct HandleInput {
    /// The word that stands where it is stored, but for the lowest six bits.
    ticket: u64,
    /// Its number in its object's history.
    number: u64,
    /// The index of its object.
    object: u32,
    strong: bool,
    /// Whether it is a raw pointer now.
    raw: bool,
}

impl HandleInput {
    /// Whether it keeps its object alive from where it is stored.
    fn keeps(&self) -> bool {
        self.strong && !self.raw
    }
}

/// A living object, as the search needs it.
#[derive(Clone, Copy, Debug)]
struct ObjectInput {
    id: u64,
    kind: Kind,
    type_name: &'static str,
    /// Of the value.
    address: u64,
    size: u64,
    align: u64,
    /// The strong handles that refscope counts.
    strong: u32,
}

impl ObjectInput {
    /// Whether std counts the owners, in the block's first word.
    fn is_counted(&self) -> bool {
        self.kind != Kind::Box
    }

    /// The address of its block: std's two counts stand before the value of an `Rc` or `Arc`.
    fn block(&self) -> u64 {
        let counts = if self.is_counted() { 16_u64.next_multiple_of(self.align.max(1)) } else { 0 };
        self.address.wrapping_sub(counts)
    }

    /// Whether it has a block at all.
    fn has_block(&self) -> bool {
        self.is_counted() || self.size > 0
    }
}
