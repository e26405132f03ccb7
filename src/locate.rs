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
//!     Ok(ownership) => println!("{}", ownership.path_to(refscope::holders(&session).object().expect("it is traced").id()).expect("the session is alive")),
//!     Err(error) => println!("{error}"), // not Linux, for example
//! }
//! ```
//!
//! # What a grade says
//!
//! **PROVEN**: no root leads there. No word in any writable memory of the process points to it, stale ones and those of
//! weak handles included; each of its handles was found, in memory that nothing leads to; std counts as many owners as
//! refscope does; each thread's stack pointer and registers are known; the memory was copied at one moment, and the blocks
//! of the heap are known. A pointer that the program encodes (an XOR, tags in the high bits, one past the end), that is not
//! aligned (in a `repr(packed)` struct), that the kernel keeps for it, or that stands in memory that a fork does not copy or
//! that may not be read (`PROT_NONE`), is beyond the search.
//!
//! **LIKELY**: all else, with the reasons in words.
//!
//! # Names
//!
//! With the feature `stacks` statics and thread-locals have the names of their symbols; fields and elements, the captures of
//! closures and of async blocks, and the types of statics, are read from the program's debug information, where there is
//! that of types (`debug = "full"`, as the profile `dev` has it). Without, a place is an offset: `+24`. The fields of std's
//! types, of locks and of collections are left out: `.children[2]`, not `.children.value.value.buf`. Where variants of an
//! enum, or types of one name, disagree, only what they agree on is said.
//!
//! # Where it works
//!
//! Linux on x86-64 and AArch64. The blocks of the heap are known where the allocator is glibc's or [`Alloc`](crate::Alloc);
//! else the values of traced objects, statics, thread-locals and stacks are searched, and nothing is proven.

mod dominator_tree;
mod doubt;
mod name;
mod ownership;
mod part;
mod retention;
mod search;
#[cfg(feature = "json")]
mod stored;
mod text;

// Where it works.
#[cfg(refscope_search)]
mod areas;
#[cfg(refscope_search)]
mod assemble;
#[cfg(refscope_search)]
mod blocks;
#[cfg(refscope_search)]
mod copies;
#[cfg(refscope_search)]
mod dominators;
#[cfg(all(refscope_search, feature = "stacks"))]
mod dwarf;
#[cfg(all(refscope_search, feature = "stacks"))]
mod fields;
#[cfg(refscope_search)]
mod fork;
#[cfg(refscope_search)]
mod graph;
#[cfg(refscope_search)]
mod guess;
#[cfg(refscope_search)]
mod inputs;
#[cfg(all(refscope_search, test))]
mod made_up;
#[cfg(refscope_search)]
mod memory;
#[cfg(refscope_search)]
mod process;
#[cfg(refscope_search)]
mod proof;
#[cfg(refscope_search)]
mod registers;
#[cfg(refscope_search)]
mod rules;
#[cfg(refscope_search)]
mod scan;
#[cfg(refscope_search)]
mod stopped;
#[cfg(refscope_search)]
mod symbols;
#[cfg(refscope_search)]
mod thread_locals;
#[cfg(refscope_search)]
mod threads;
#[cfg(all(refscope_search, feature = "stacks"))]
mod type_name;

pub(crate) use doubt::sentences;
pub use doubt::{Doubt, Place};
pub use name::Name;
pub use ownership::{
    Cycle, Grade, Held, LocatedHandle, LocatedObject, Node, NodeKind, Owner, Ownership,
    StaticPlace, Statistics, Step, ThreadLocalPlace,
};
pub(crate) use retention::Starts;
pub use search::{Search, Unavailable};
#[cfg(feature = "json")]
pub use stored::InvalidGraph;
pub(crate) use text::offset_text;
pub use text::{CycleText, PathText};
