//! Parents and children that hold each other.

use refscope::leaks::Check;
use refscope::rc::Rc;
use std::cell::RefCell;

struct Node {
    parent: RefCell<Option<Rc<Node>>>,
    children: RefCell<Vec<Rc<Node>>>,
}

impl Node {
    fn new() -> Rc<Node> {
        Rc::new(Node { parent: RefCell::default(), children: RefCell::default() })
    }

    fn adopt(parent: &Rc<Node>, child: Rc<Node>) {
        *child.parent.borrow_mut() = Some(parent.clone()); // FAULT: the way back should be a `Weak`
        parent.children.borrow_mut().push(child);
    }
}

pub(crate) fn run(_: &Check) {
    let root = Node::new();
    refscope::label(&root, "root");
    for _ in 0..3 {
        Node::adopt(&root, Node::new());
    }
    assert_eq!(root.children.borrow().len(), 3);
}
