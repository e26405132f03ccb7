//! What a test does before it searches its own memory.
#![allow(unreachable_pub)] // one includes it in a library

#[path = "../../src/stack/dead.rs"]
mod dead;

/// Overwrites what the calls before left below the caller's frame, as a check does: it would be found as words on the stack.
#[inline(never)]
pub fn clear_dead_stack() {
    dead::clear_dead_frames();
    std::hint::black_box(());
}
