//! A drawing program: each step that can be undone keeps the document, which keeps the steps.

use refscope::rc::Rc;
use std::cell::RefCell;

#[derive(Default)]
struct Document {
    shapes: RefCell<Vec<Rc<Shape>>>,
    undo: RefCell<Vec<refscope::Box<dyn Step>>>,
}

struct Shape {
    points: Vec<(i32, i32)>,
}

trait Step {
    fn undo(&self);
}

struct Added {
    document: Rc<Document>,
    shape: Rc<Shape>,
}

impl Step for Added {
    fn undo(&self) {
        self.document.shapes.borrow_mut().retain(|shape| !Rc::ptr_eq(shape, &self.shape));
    }
}

fn add(document: &Rc<Document>, points: &[(i32, i32)]) {
    let shape = Rc::new(Shape { points: points.to_vec() });
    document.shapes.borrow_mut().push(shape.clone());
    let step = Added {
        document: document.clone(), // <- FAULT
        shape,
    };
    document.undo.borrow_mut().push(refscope::coerce!(refscope::Box::new(step)));
}

pub(super) fn run() {
    let document = Rc::new(Document::default());
    for n in 0..4 {
        add(&document, &[(n, 0), (0, n)]);
    }
    let last = document.undo.borrow_mut().pop().expect("four were done");
    last.undo();
    assert_eq!(document.shapes.borrow().iter().map(|shape| shape.points.len()).sum::<usize>(), 6);
}
