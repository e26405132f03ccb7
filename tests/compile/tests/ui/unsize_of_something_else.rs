//! `unsize!` says what it takes.

use refscope::unsize;

fn main() {
    let _ = unsize!(String::new() => dyn std::fmt::Debug);
}
