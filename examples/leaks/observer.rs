//! An observer that nobody takes off the list: the subject keeps it.

use refscope::leaks::Check;
use refscope::rc::Rc;
use std::cell::RefCell;

struct Observer {
    name: &'static str,
}

#[derive(Default)]
struct Subject {
    observers: RefCell<Vec<Rc<Observer>>>,
}

impl Subject {
    fn subscribe(&self, observer: &Rc<Observer>) {
        self.observers.borrow_mut().push(observer.clone()); // FAULT: a `Weak` would do
    }

    fn notify(&self) -> usize {
        self.observers.borrow().iter().map(|observer| observer.name.len()).sum()
    }
}

pub(crate) fn run(_: &Check) {
    // The subject lives as long as the program does.
    let subject: &'static Subject = Box::leak(Box::default());
    for name in ["first view", "second view"] {
        let view = Rc::new(Observer { name });
        subject.subscribe(&view);
    }
    subject.notify();
}
