//! The trait that every sink implements, and how its events get to it.

use super::log::Log;
use crate::event::{Event, Object};

/// Receives the events of the objects that are bound to it.
///
/// One method is required. An object is bound to its sink when it is allocated (see [`install`](crate::install)
/// and [`Scope`](crate::Scope)); its later events go there from whatever thread they come.
///
/// # What a sink may do
///
/// Anything that the thread may do at that point, which can be in the middle of a drop: keep it short.
/// refscope holds no lock meanwhile. Traced objects that a sink makes are untraced; what it does to
/// traced objects of the program happens, is numbered, and is withheld from it, counted. A panic is
/// caught and switches the sink off (with `panic = "unwind"`).
///
/// # Order
///
/// The events of one handle arrive in order, what makes it first and what ends it last. Events of different handles of
/// one object may arrive in another order than they happened: sort by [`Event::seq`]. The event with
/// strong count 0 need not be the last to arrive.
///
/// # Examples
///
/// ```
/// use refscope::{Sink, event::Event};
///
/// struct Lines;
///
/// impl Sink for Lines {
///     fn event(&self, event: &Event) {
///         eprintln!("{event}");
///     }
/// }
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a refscope sink",
    note = "a closure becomes one by `refscope::sink::from_fn(|event| …)`"
)]
pub trait Sink: Send + Sync + 'static {
    /// Something happened.
    fn event(&self, event: &Event);

    /// Returns whether to trace a new object. Called once per object; one that is
    /// left out costs from then on what an untraced one costs.
    fn enabled(&self, object: &Object) -> bool {
        let _ = object;
        true
    }

    /// Flushes buffered events.
    fn flush(&self) {}

    /// How the events get here. Called once, when the sink is put in place.
    #[doc(hidden)]
    fn route(&self) -> Route {
        Route { log: None, events: true, filters: true }
    }
}

/// The ways by which a sink gets its events.
#[doc(hidden)]
#[derive(Debug)]
pub struct Route {
    /// A log that has them written inline, which the sink reads.
    pub(crate) log: Option<Log>,
    /// [`Sink::event`] is called with each.
    pub(crate) events: bool,
    /// [`Sink::enabled`] may leave an object out: it is asked.
    pub(crate) filters: bool,
}

/// Forwards every method of [`Sink`] through a pointer.
macro_rules! forward_sink {
    ($($(#[$meta:meta])* impl [$($generics:tt)*] Sink for $pointer:ty;)*) => {$(
        $(#[$meta])*
        impl<$($generics)*> Sink for $pointer {
            fn event(&self, event: &Event) {
                (**self).event(event);
            }

            fn enabled(&self, object: &Object) -> bool {
                (**self).enabled(object)
            }

            fn flush(&self) {
                (**self).flush();
            }

            fn route(&self) -> Route {
                (**self).route()
            }
        }
    )*};
}

forward_sink! {
    impl [S: Sink + ?Sized] Sink for &'static S;
    impl [S: Sink + ?Sized] Sink for std::boxed::Box<S>;
    impl [S: Sink + ?Sized] Sink for std::sync::Arc<S>;
}
