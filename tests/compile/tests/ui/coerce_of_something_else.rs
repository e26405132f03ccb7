//! `coerce!` says what it takes.

use refscope::coerce;

fn main() {
    let _ = coerce!((7));
}
