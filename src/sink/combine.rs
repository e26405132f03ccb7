//! Sinks made of sinks, and of closures.

use super::Sink;
use crate::event::{Event, Handle, Object, ObjectId};
use crate::model::LiveObject as Living;

/// A closure as a sink. Made by [`from_fn`].
#[derive(Clone, Copy, Debug)]
pub struct FromFn<F>(F);

/// Makes a sink of a closure.
///
/// # Examples
///
/// ```
/// use refscope::{Rc, Scope, sink};
///
/// let print = sink::from_fn(|event| println!("{event}"));
/// let _guard = Scope::new(print).enter();
/// let one = Rc::new("a line for this");
/// let two = one.clone(); // and one for this
/// ```
pub fn from_fn<F: Fn(&Event) + Send + Sync + 'static>(f: F) -> FromFn<F> {
    FromFn(f)
}

impl<F: Fn(&Event) + Send + Sync + 'static> Sink for FromFn<F> {
    fn event(&self, event: &Event) {
        (self.0)(event);
    }
}

/// Both sinks get each event. An object is traced if either wants it; the first that knows an object's
/// handles answers for them.
impl<A: Sink, B: Sink> Sink for (A, B) {
    fn event(&self, event: &Event) {
        self.0.event(event);
        self.1.event(event);
    }

    fn wants(&self, object: &Object) -> bool {
        // Both are asked: a sink that takes one in N counts what it is asked.
        self.0.wants(object) | self.1.wants(object)
    }

    fn handles(&self, object: ObjectId) -> Option<Vec<Handle>> {
        self.0.handles(object).or_else(|| self.1.handles(object))
    }

    fn living(&self, object: ObjectId) -> Option<Living> {
        self.0.living(object).or_else(|| self.1.living(object))
    }

    fn flush(&self) {
        self.0.flush();
        self.1.flush();
    }
}
