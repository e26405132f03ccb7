//! Windows of a desktop program, which listen to an event bus; a handler captures the window that owns the bus.

use refscope::rc::Rc;
use std::cell::{Cell, RefCell};

type Handler = std::boxed::Box<dyn Fn(&str)>;

#[derive(Default)]
struct Bus {
    handlers: RefCell<Vec<(&'static str, Handler)>>,
}

impl Bus {
    fn subscribe(&self, topic: &'static str, handler: impl Fn(&str) + 'static) {
        self.handlers.borrow_mut().push((topic, std::boxed::Box::new(handler)));
    }

    fn publish(&self, topic: &str, payload: &str) {
        for (_, handler) in self.handlers.borrow().iter().filter(|(it, _)| *it == topic) {
            handler(payload);
        }
    }
}

struct Window {
    title: String,
    bus: Bus,
    labels: RefCell<Vec<Rc<Label>>>,
    clicks: Cell<u32>,
}

struct Label {
    text: RefCell<String>,
}

fn open(title: &str) -> Rc<Window> {
    let window = Rc::new(Window {
        title: title.to_owned(),
        bus: Bus::default(),
        labels: RefCell::default(),
        clicks: Cell::new(0),
    });
    for text in ["name", "size", "date"] {
        window.labels.borrow_mut().push(Rc::new(Label { text: RefCell::new(text.to_owned()) }));
    }
    let this = window.clone(); // <- FAULT
    window.bus.subscribe("click", move |payload| {
        this.clicks.set(this.clicks.get() + 1);
        for label in this.labels.borrow().iter() {
            label.text.borrow_mut().push_str(payload);
        }
    });
    window
}

pub(super) fn run() {
    for title in ["files", "settings", "about"] {
        let window = open(title);
        window.bus.publish("click", window.title.as_str());
    }
}
