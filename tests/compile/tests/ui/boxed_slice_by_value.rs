//! On plain stable a boxed slice is not iterated by value: see `remedies_by_the_docs.rs`.

use refscope::Box;

fn main() {
    let slice: Box<[u8]> = [1, 2].into();
    for _ in slice {}
}
