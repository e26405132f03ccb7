//! On plain stable a boxed `FnOnce` is not called: see `remedies_by_the_docs.rs`.

use refscope::{Box, coerce};

fn main() {
    let once: Box<dyn FnOnce(i32) -> i32> = coerce!(Box::new(|x| x + 1));
    once(2);
}
