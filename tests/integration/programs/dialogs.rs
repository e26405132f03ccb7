//! A desktop program: dialogs observe the settings, and are closed without a word to them.

use refscope::rc::Rc;
use std::cell::{Cell, RefCell};

type Observer = std::boxed::Box<dyn Fn(&Settings)>;

#[derive(Default)]
struct Settings {
    font_size: Cell<u32>,
    observers: RefCell<Vec<Observer>>,
}

impl Settings {
    fn observe(&self, observer: impl Fn(&Settings) + 'static) {
        observer(self);
        self.observers.borrow_mut().push(std::boxed::Box::new(observer));
    }

    fn set_font_size(&self, points: u32) {
        self.font_size.set(points);
        self.observers.borrow().iter().for_each(|observer| observer(self));
    }
}

#[derive(Default)]
struct Dialog {
    height: Cell<u32>,
    buttons: Vec<Rc<Button>>,
}

struct Button {
    label: &'static str,
}

thread_local! {
    static SETTINGS: Rc<Settings> = Rc::new(Settings::default());
}

#[derive(Default)]
struct Desktop {
    open: Vec<Rc<Dialog>>,
}

impl Desktop {
    fn open(&mut self, labels: &[&'static str]) {
        let buttons = labels.iter().map(|label| Rc::new(Button { label })).collect();
        let dialog = Rc::new(Dialog { height: Cell::new(0), buttons });
        let observing = Rc::clone(&dialog); // <- FAULT
        SETTINGS.with(|settings| {
            settings.observe(move |settings| {
                let rows = observing.buttons.iter().filter(|button| !button.label.is_empty());
                observing.height.set(rows.count() as u32 * settings.font_size.get());
            });
        });
        self.open.push(dialog);
    }

    fn close(&mut self) {
        self.open.pop();
    }
}

pub(super) fn run() {
    let mut desktop = Desktop::default();
    for points in 8..14 {
        desktop.open(&["yes", "no"]);
        SETTINGS.with(|settings| settings.set_font_size(points));
        assert_eq!(desktop.open[0].height.get(), 2 * points);
        desktop.close();
    }
    assert!(desktop.open.is_empty());
}
