//! What the orphan rule and overlapping impls leave out of `From`; `StdPtr` has it: see `rows_by_the_docs.rs`.

use refscope::Box;
use std::fmt::Debug;

fn main() {
    let theirs: std::boxed::Box<dyn Debug> = std::boxed::Box::new(1);
    let _: Box<dyn Debug> = theirs.into();
    let _: std::boxed::Box<u8> = Box::new(1).into();
}
