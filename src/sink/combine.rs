//! Sinks made of sinks, and of closures.

use super::{Route, Sink};
use crate::event::{Event, Object};

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

/// Both sinks get each event. An object is traced if either wants it.
impl<A: Sink, B: Sink> Sink for (A, B) {
    fn event(&self, event: &Event) {
        self.0.event(event);
        self.1.event(event);
    }

    fn enabled(&self, object: &Object) -> bool {
        // Both are asked: a sink that takes one in N counts what it is asked.
        self.0.enabled(object) | self.1.enabled(object)
    }

    fn flush(&self) {
        self.0.flush();
        self.1.flush();
    }

    fn route(&self) -> Route {
        let (first, second) = (self.0.route(), self.1.route());
        // One log is written inline; a second recorder gets its events as any sink does.
        let both = first.log.is_some() && second.log.is_some();
        Route {
            events: first.events || second.events || both,
            filters: first.filters || second.filters,
            log: first.log.or(second.log),
        }
    }
}
