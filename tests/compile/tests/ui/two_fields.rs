//! Two fields behind a box cannot be borrowed at once, unless the box is borrowed first: see `remedies_by_the_docs.rs`.

use refscope::Box;

fn main() {
    let mut pair = Box::new((1, 2));
    let left = &mut pair.0;
    let right = &mut pair.1;
    std::mem::swap(left, right);
}
