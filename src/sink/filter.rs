//! Which objects a sink gets, decided once for each.

use super::{Route, Sink};
use crate::event::filter::ObjectFilter;
use crate::event::{Event, Object};

/// A sink for those objects alone that a closure accepts.
///
/// # Examples
///
/// ```
/// use refscope::sink::{Filter, Recorder};
///
/// // What one module of the program makes.
/// let recorder = Recorder::new();
/// let sink = Filter::new(recorder.clone(), |object| object.location().file.ends_with("scene.rs"));
/// ```
#[derive(Clone, Debug)]
pub struct Filter<S, F> {
    sink: S,
    enabled: F,
}

impl<S: Sink, F: Fn(&Object) -> bool + Send + Sync + 'static> Filter<S, F> {
    /// Asks `enabled` once for each new object.
    pub fn new(sink: S, enabled: F) -> Self {
        Self { sink, enabled }
    }
}

impl<S: Sink, F: Fn(&Object) -> bool + Send + Sync + 'static> Sink for Filter<S, F> {
    fn event(&self, event: &Event) {
        self.sink.event(event);
    }

    fn enabled(&self, object: &Object) -> bool {
        (self.enabled)(object) && self.sink.enabled(object)
    }

    fn flush(&self) {
        self.sink.flush();
    }

    fn route(&self) -> Route {
        Route { filters: true, ..self.sink.route() }
    }
}

impl<S: Sink> Filter<S, Box<dyn Fn(&Object) -> bool + Send + Sync>> {
    /// Passes on what `filter` accepts.
    ///
    /// # Examples
    ///
    /// ```
    /// use refscope::sink::{Filter, Recorder, ObjectFilter};
    /// use refscope::{Rc, Scope};
    ///
    /// let recorder = Recorder::new();
    /// let filter = ObjectFilter::all().of_type("String").at_least(8);
    /// Scope::new(Filter::by(recorder.clone(), filter)).run(|| {
    ///     let text = Rc::new(String::from("recorded"));
    ///     let number = Rc::new(7);
    /// });
    /// # if refscope::ENABLED {
    /// assert_eq!(recorder.recording().objects().len(), 1);
    /// # }
    /// ```
    pub fn by(sink: S, filter: ObjectFilter) -> Self {
        Self { sink, enabled: Box::new(move |object| filter.accepts(object)) }
    }
}
