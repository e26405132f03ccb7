//! What earlier calls left on the stack.

/// Overwrites what earlier calls left below the caller's frame.
///
/// A search of the memory cannot tell it from a local that is alive, where frames of the search come to lie over it and leave
/// parts as they were. So whoever asks for one calls this first, in the frame that the user's code has called.
#[inline(never)]
pub(crate) fn clear_dead_frames() {
    // The large array begins some words below the caller's frame: small ones reach those.
    clear_first_words(16);
    let mut dead = [1_u64; WORDS];
    std::hint::black_box(&mut dead);
}

/// More than the frames from a check to the search take.
const WORDS: usize = 2048;

#[inline(never)]
fn clear_first_words(depth: usize) {
    let mut dead = [1_u64; 3];
    std::hint::black_box(&mut dead);
    if depth > 0 {
        clear_first_words(depth - 1);
    }
    std::hint::black_box(&mut dead);
}
