//! Models of the `Arc` variant's protocol, explored by loom: every interleaving of a few threads.
//!
//! `cargo test --release -p refscope-loom` runs them (in a debug build they take several times as long). The
//! crate's runtime is included by path over loom's primitives; std's `Arc` is stood
//! in for by [`arc`], whose atomic operations are scheduling points, so that the windows between the
//! ledger's steps and std's are explored.
//!
//! # Invariants
//!
//! Each model ends by checking what [`harness::check`] does:
//!
//! * ORDER: an object's events are numbered from 1 without a gap.
//! * COUNT: replayed in that order, they give the strong count that each carries, and the last is 0.
//! * OWN: no event is emitted for another object, none twice, and no handle is made twice.
//! * BIRTH: to the sink, a handle's birth comes before its other events.
//! * END: an entry ends once: its sink is released exactly once, and not touched after.
//! * BELOW: the traced count is never above std's (watched while the threads run, where a model says so).
//!
//! and loom itself finds a metadata access without an order (PINNED and CLOSED in `ledger.rs`).
//!
//! `mutations.md` beside this file lists the mutations of the protocol that were tried, and the model that
//! caught each.
// loom's cells are not `Sync`; its threads take what they are given.
#![allow(dead_code, unreachable_pub, unused_imports)]
// The clock's word is there twice: in the runtime, over std's atomics, and in its models.
#![allow(clippy::arc_with_non_send_sync, clippy::duplicate_mod)]

mod arc;
mod clock;
mod gate;
mod harness;
mod log;
mod models;
mod places;
mod primitive;
mod sinks;

/// The crate's own files, over the primitives above: the runtime, and what lies below it.
#[path = "../../src"]
mod included {
    pub(crate) mod event;
    pub(crate) mod lock;
    pub(crate) mod runtime;
    pub(crate) mod span;
}

use included::{event, lock, runtime, span};

/// The environment is not read.
const AT_FIRST_BIRTH: Option<fn()> = None;

/// Stands in for the capture of stacks, which is none of a model's matters.
#[path = "../../src/stack"]
mod stack {
    pub(crate) mod policy;

    pub(crate) fn needs_stack(_: crate::event::Caller) -> bool {
        false
    }

    pub(crate) fn record(_: usize) -> u32 {
        0
    }
}

/// Stands in for what makes names safe to be shown: a model shows none.
mod text {
    pub(crate) fn escape(text: &str) -> &str {
        text
    }

    pub(crate) fn escape_lines(text: &str) -> String {
        text.to_owned()
    }

    pub(crate) fn is_unsafe(_: char) -> bool {
        false
    }
}
