//! On plain stable a library's pointer does not coerce. `unsize!` and `coerce!` are the way: see
//! `coercion_by_hand.rs`.

use refscope::rc::Rc;
use std::fmt::Debug;

fn main() {
    let _: Rc<dyn Debug> = Rc::new(1);
}
