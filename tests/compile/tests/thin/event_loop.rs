//! The shape of an event loop: sources that take the `Rc` that they are held by.

use refscope::rc::{Rc, Weak};
use std::cell::{Cell, RefCell};

trait Source {
    fn ready(self: Rc<Self>, queue: &Queue);
    fn cancel(self: Rc<Self>) -> bool;
}

#[derive(Default)]
struct Queue {
    sources: RefCell<Vec<Rc<dyn Source>>>,
}

struct Timer {
    left: Cell<u8>,
    parent: Option<Weak<dyn Source>>,
}

impl Source for Timer {
    fn ready(self: Rc<Self>, queue: &Queue) {
        self.left.set(self.left.get() - 1);
        if self.left.get() > 0 {
            queue.sources.borrow_mut().push(self);
        } else if let Some(parent) = self.parent.as_ref().and_then(Weak::upgrade) {
            assert!(!parent.cancel());
        }
    }

    fn cancel(self: Rc<Self>) -> bool {
        Rc::strong_count(&self) == 1
    }
}

fn main() {
    refscope::track().unwrap();
    let queue = Queue::default();
    let first: Rc<dyn Source> = Rc::new(Timer { left: Cell::new(3), parent: None });
    let second = Timer { left: Cell::new(2), parent: Some(Rc::downgrade(&first)) };
    queue.sources.borrow_mut().extend([first.clone(), Rc::new(second)]);
    while let Some(source) = { queue.sources.borrow_mut().pop() } {
        source.ready(&queue);
    }
    assert_eq!(Rc::strong_count(&first), 1);
    assert_eq!(refscope::holders(&first).strong().len(), 1);
}
