//! Another crate's function takes std's pointer. `into_std` and `as_std` are the way: see `remedies_by_the_docs.rs`.

use refscope::Arc;

fn theirs(_: std::sync::Arc<str>) {}

fn main() {
    theirs(Arc::from("text"));
}
