//! A program that leaks a hundred cycles, and asks for nothing: its exit report is to prove them, whatever threads and tables
//! refscope has by then.

use refscope::Rc;
use std::cell::RefCell;

struct Node {
    parent: RefCell<Option<Rc<Node>>>,
    children: RefCell<Vec<Rc<Node>>>,
}

impl Node {
    fn new(parent: Option<Rc<Node>>) -> Rc<Self> {
        Rc::new(Self { parent: RefCell::new(parent), children: RefCell::default() })
    }
}

#[inline(never)]
fn leak() {
    let parent = Node::new(None);
    let child = Node::new(Some(parent.clone()));
    assert!(child.parent.borrow().is_some());
    parent.children.borrow_mut().push(child);
}

fn main() {
    for _ in 0..100 {
        leak();
    }
    refscope_locate::clear_dead_stack();
}
