//! Each pointer as the `self` of a trait object's method.

use refscope::{Arc, Box, Rc};
use std::pin::Pin;

trait All {
    fn by_rc(self: Rc<Self>) -> u8;
    fn by_arc(self: Arc<Self>) -> u8;
    fn by_box(self: Box<Self>) -> u8;
    fn by_pinned_box(self: Pin<Box<Self>>) -> u8;
    fn by_pinned_arc(self: Pin<Arc<Self>>) -> u8;
}

impl All for u8 {
    fn by_rc(self: Rc<Self>) -> u8 {
        *self
    }
    fn by_arc(self: Arc<Self>) -> u8 {
        *self
    }
    fn by_box(self: Box<Self>) -> u8 {
        *self
    }
    fn by_pinned_box(self: Pin<Box<Self>>) -> u8 {
        *self
    }
    fn by_pinned_arc(self: Pin<Arc<Self>>) -> u8 {
        *self
    }
}

fn call() {
    let (rc, arc, boxed): (Rc<dyn All>, Arc<dyn All>, Box<dyn All>) =
        (Rc::new(1), Arc::new(2), Box::new(3));
    assert_eq!([rc.by_rc(), arc.by_arc(), boxed.by_box()], [1, 2, 3]);
    let (boxed, arc): (Pin<Box<dyn All>>, Pin<Arc<dyn All>>) = (Box::pin(4), Arc::pin(5));
    assert_eq!([boxed.by_pinned_box(), arc.by_pinned_arc()], [4, 5]);
}

fn main() {
    call();
    refscope::track().unwrap();
    call();
}
