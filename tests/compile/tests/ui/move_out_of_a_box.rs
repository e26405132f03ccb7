//! Moving out by `*` is std's box's alone. `refscope::unbox` is the way: see `move_out_by_unbox.rs`.

use refscope::Box;

fn main() {
    let boxed = Box::new(String::new());
    let _text: String = *boxed;
}
