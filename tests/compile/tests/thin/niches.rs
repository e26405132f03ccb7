//! An `Option` of a pointer is a pointer that may be null, as FFI takes it.

use refscope::{Box, Rc};

#[deny(improper_ctypes_definitions)]
extern "C" fn give(number: Option<Box<u32>>) -> u32 {
    number.map_or(0, |number| *number)
}

fn main() {
    assert_eq!(give(None), 0);
    assert_eq!(give(Some(Box::new(7))), 7);
    let null: *const u8 = std::ptr::null();
    // SAFETY: a null pointer is `None`, since the two are one word.
    let none: Option<Rc<u8>> = unsafe { std::mem::transmute(null) };
    assert!(none.is_none());
}
