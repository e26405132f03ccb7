//! A callback that captures the object which owns it: a cycle through a closure.

use refscope::leaks::Check;
use refscope::rc::Rc;
use std::cell::RefCell;

type Callback = Box<dyn Fn() -> usize>;

struct Button {
    label: String,
    on_click: RefCell<Option<Callback>>,
}

pub(crate) fn run(_: &Check) {
    let button = Rc::new(Button { label: "Save".to_owned(), on_click: RefCell::default() });
    let this = button.clone(); // FAULT: the closure should have a `Weak`
    *button.on_click.borrow_mut() = Some(Box::new(move || this.label.len()));
    let clicked = button.on_click.borrow().as_ref().map(|click| click());
    assert_eq!(clicked, Some(4));
}
