//! What a test does before it searches its own memory.
#![allow(unreachable_pub)] // one includes it in a library

/// Overwrites what the calls before left below the caller's frame: it would be found as words on the stack.
#[inline(never)]
pub fn clear_dead_stack() {
    clear_first_words(32);
    let mut dead = [1_u64; 4096];
    std::hint::black_box(&mut dead);
}

/// The large array begins some words below the caller's frame: small ones reach those.
#[inline(never)]
fn clear_first_words(depth: usize) {
    let mut dead = [1_u64; 3];
    std::hint::black_box(&mut dead);
    if depth > 0 {
        clear_first_words(depth - 1);
    }
    std::hint::black_box(&mut dead);
}
