//! What std's pointers may not do, ours may not either.

use refscope::{Arc, Box, Rc};
use std::cell::Cell;

fn sent<T: Send>() {}

fn main() {
    sent::<Rc<u8>>();
    sent::<Arc<Cell<u8>>>();
    sent::<Box<*const u8>>();
}
