//! On plain stable a box of a closure is no closure: see `remedies_by_the_docs.rs`.

use refscope::{Box, coerce};

fn main() {
    let double: Box<dyn Fn(i32) -> i32> = coerce!(Box::new(|x| x * 2));
    let _ = [1, 2].map(double);
}
