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
//! weak handles included; each of its handles was found, in memory that no root leads to, and none of them in a block that
//! nothing points to, whose address the program may have in a form of its own (an XOR, tags in the high bits, one past the end);
//! std counts as many owners as refscope does; each thread's stack pointer and registers are known; the memory was copied at one
//! moment, and the blocks of the heap are known. What is beyond the search is a plain pointer that the program encodes (or that
//! is one past the end of what it leads to), or keeps where it is not aligned (in a `repr(packed)` struct), in a file, in the
//! kernel, in the base of a segment register, or in memory that a fork does not copy or that may not be read (`PROT_NONE`): it owns
//! nothing, but the program could make a handle of it.
//!
//! **LIKELY**: all else, with the reasons in words.
//!
//! A machine with much other work may not let a thread stop within 60 ms, or stop it with the allocator's lock in its hands. Then
//! the copy is made anew, four times at most in a quarter of the budget. If that does not help, all is said to be in doubt, nothing
//! is proven, and what such a thread's stack holds may be in "memory that is not known to be the heap's or a thread's".
//!
//! # Old copies
//!
//! A handle that was moved leaves its words behind. Of several copies the likeliest is said to be the handle: not one in a place
//! that a `Vec`, a `VecDeque`, a hash table, a `BTreeMap` or a channel does not use, nor one whose pointer was overwritten, as in
//! an `Option` that it was taken out of. Hash tables, maps of more than one node, and channels (but bounded ones with room for less
//! than four) say it themselves. The words of a `Vec` may be those of a `VecDeque`, and a map's only node may be anything: with the
//! feature `stacks`, the types of statics and thread-locals tell which, or where their symbols end. What is left is in
//! [`LocatedHandle::may_be_old`]; but of a collection in a heap block, whose type is not known, the likelier is taken, so that what
//! was popped from a `VecDeque` there may be said to be in it still. A `VecDeque` in a static that is being drained looks as if its
//! elements had been taken out. What a collection on a stack does not use is not known. For proofs every copy counts.
//!
//! # Of several ways
//!
//! Where several words lead to one thing, it is said to be held by a static or a thread-local if one of them stands there, else by
//! a word on a stack, and last by memory that nobody knows. A word on a stack may be an old copy. So it counts only for a block to
//! which nothing else points, or only blocks that point to each other without an object among them, as the nodes of a local's
//! tree or list do, or which counts its owners and has one more. What a `Vec` does not use, text and numbers that look like
//! addresses, and addresses with marks in their lowest bits count where nothing else does; and after the cycles are named, what a
//! local leads to of the inside of an object that nothing holds. What a hash table or a map does not use does not count, nor what
//! the type of a static's or thread-local's `Vec` says is not in use. All this is for the text: for proofs every word counts.
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
//! else the values of traced objects, statics, thread-locals and stacks are searched, and nothing is proven. The thread-locals of
//! shared libraries are told by glibc's table of them; with another libc only the program's own are.
//!
//! On macOS a search returns an error. These are the parts that are Linux's, and what would stand in their place; none of it was
//! ever run, and a proof that is wrong is worse than none:
//!
//! | part | on Linux | on macOS |
//! | --- | --- | --- |
//! | reading, mappings | `/proc/PID/mem`, `maps` | `mach_vm_read_overwrite` and `mach_vm_region_recurse` of `mach_task_self()` |
//! | the frozen copy | a child, by `clone` | no `fork`: a child's memory is not to be read without `task_for_pid`, which asks for an entitlement. `mach_vm_remap` with `copy` of each region, into the process itself, while its threads are suspended |
//! | other threads' registers | a signal's frame | `task_threads`, `thread_suspend`, `thread_get_state` (general and vector), `thread_resume`; nothing may be allocated between |
//! | blocks | glibc's chunks | `malloc_get_all_zones` and each zone's `introspect.enumerator`, or [`Alloc`](crate::Alloc), whose map is made on Linux alone so far |
//! | statics | mappings of files | the segments `__DATA*` of each image of `_dyld_image_count` |
//! | thread-locals | the thread pointer, `PT_TLS`, the DTV | blocks that `__thread_vars` descriptors lead to, by a key of `pthread` |
//! | names | ELF, and its DWARF | Mach-O, and the DWARF in the `.dSYM` beside it |
//!
//! # Unsafe code
//!
//! The invariants that `SAFETY:` comments cite:
//!
//! * COPIED: memory of the process or its copy is looked at by the kernel, which writes what it read into a buffer that is
//!   borrowed, and fails where there is nothing.
//! * SYSCALL: calls into the system, each into memory of the caller's or into none.
//! * SIGNAL: a handler for the flags that it is set with, which does nothing but system calls and atomic operations.
//! * TRAMPOLINE: it calls what it is given once, with data that wait for it.
//! * TLS: the ABI says where the thread pointer is.
//! * LOADED: the loader describes files that are loaded, and keeps them so while it calls back.
//! * PROGRAM: nobody writes to a file while it is run as a program.

mod dominator_tree;
mod doubt;
mod name;
mod ownership;
mod part;
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
mod btree;
#[cfg(refscope_search)]
mod buffer;
#[cfg(refscope_search)]
mod collections;
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
mod in_hand;
#[cfg(refscope_search)]
mod inputs;
#[cfg(all(refscope_search, test))]
mod made_up;
#[cfg(refscope_search)]
mod memory;
#[cfg(refscope_search)]
mod pages;
#[cfg(refscope_search)]
mod process;
#[cfg(refscope_search)]
mod proof;
#[cfg(refscope_search)]
mod queue;
#[cfg(refscope_search)]
mod registers;
#[cfg(refscope_search)]
mod rules;
#[cfg(refscope_search)]
mod scan;
#[cfg(refscope_search)]
mod spare;
#[cfg(refscope_search)]
mod stopped;
#[cfg(refscope_search)]
mod symbols;
#[cfg(all(refscope_search, feature = "stacks"))]
mod task_names;
#[cfg(refscope_search)]
mod thread_locals;
#[cfg(refscope_search)]
mod threads;
#[cfg(all(refscope_search, feature = "stacks"))]
mod type_name;

pub(crate) use dominator_tree::dominators;
pub(crate) use doubt::sentences;
pub use doubt::{Doubt, Place};
pub use name::Name;
pub use ownership::{
    Cycle, Grade, Held, LocatedHandle, LocatedObject, Node, NodeKind, Owner, Ownership,
    PlainPointer, StaticPlace, Statistics, Step, ThreadLocalPlace,
};
pub use search::{Search, Unavailable};
#[cfg(feature = "json")]
pub use stored::InvalidGraph;
pub(crate) use text::offset_text;
pub use text::{CycleText, PathText};
