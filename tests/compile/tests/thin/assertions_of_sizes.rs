//! What programs assert of std's pointers.

use refscope::{Arc, Box, Rc, rc, sync};

const _: () = assert!(size_of::<Rc<u8>>() == size_of::<usize>());
const _: () = assert!(size_of::<Option<Arc<str>>>() == 2 * size_of::<usize>());
const _: () = assert!(size_of::<Option<Box<dyn FnOnce()>>>() == 2 * size_of::<usize>());
const _: () = assert!(size_of::<Option<rc::Weak<u8>>>() == size_of::<usize>());
const _: () = assert!(align_of::<sync::Weak<[u64]>>() == align_of::<usize>());

/// As rhai's `Dynamic`: two words, whatever it is.
#[allow(dead_code)]
enum Value {
    Unit,
    Number(i64),
    Text(Rc<String>),
    List(Box<Vec<Value>>),
    Function(Rc<Box<dyn Fn(i64) -> i64>>),
}

const _: () = assert!(size_of::<Value>() == 16);

fn main() {}
