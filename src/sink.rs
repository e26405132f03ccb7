//! What receives events: the trait [`Sink`], and the sinks that come with refscope.
//!
//! | sink | what it is for |
//! | --- | --- |
//! | [`from_fn`] | a closure: the three-line sink |
//! | [`Print`] | each event as a line, on stderr or elsewhere |
//! | [`Recorder`] | keeps the events in memory, bounded, for a timeline |
//! | [`LiveSet`] | knows who is alive and held by whom, without a history |
//! | [`FileSink`] | writes the events to a file as JSON Lines |
//! | `TracingSink` (feature `tracing`) | passes each event on to `tracing` |
//! | [`Filter`] | asks a closure, at an object's birth, whether to trace it; [`Wanted`] is a ready one: by type, birth site, size, one in so many |
//! | `(a, b)` | both |

mod combine;
mod file;
mod filter;
mod live;
mod print;
mod recorder;
#[cfg(feature = "tracing")]
mod tracing;

pub use self::combine::{FromFn, from_fn};
pub use self::file::FileSink;
pub use self::filter::{Filter, Wanted};
pub use self::live::{LiveObject, LiveSet};
pub use self::print::Print;
pub use self::recorder::{Clock, Keep, Recorder};
#[cfg(feature = "tracing")]
pub use self::tracing::TracingSink;

use crate::event::{Event, Handle, Object, ObjectId};
use crate::model::LiveObject as Living;

/// Receives the events of the objects that are bound to it.
///
/// One method is required. An object is bound to its sink at birth (see [`install`](crate::install)
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
/// The events of one handle arrive in order, its birth before its death. Events of different handles of
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

    /// Whether an object that is being born shall be traced. Asked once for each object; one that is
    /// left out costs from then on what an untraced one costs.
    fn wants(&self, object: &Object) -> bool {
        let _ = object;
        true
    }

    /// The living handles of an object, oldest first, if this sink knows them.
    fn handles(&self, object: ObjectId) -> Option<Vec<Handle>> {
        let _ = object;
        None
    }

    /// An object that is alive, with the path of each handle, if this sink knows it.
    fn living(&self, object: ObjectId) -> Option<Living> {
        let _ = object;
        None
    }

    /// Brings what was received to where it is kept.
    fn flush(&self) {}
}

/// Forwards every method of [`Sink`] through a pointer.
macro_rules! forward_sink {
    ($($(#[$meta:meta])* impl [$($generics:tt)*] Sink for $pointer:ty;)*) => {$(
        $(#[$meta])*
        impl<$($generics)*> Sink for $pointer {
            fn event(&self, event: &Event) {
                (**self).event(event);
            }

            fn wants(&self, object: &Object) -> bool {
                (**self).wants(object)
            }

            fn handles(&self, object: ObjectId) -> Option<Vec<Handle>> {
                (**self).handles(object)
            }

            fn living(&self, object: ObjectId) -> Option<Living> {
                (**self).living(object)
            }

            fn flush(&self) {
                (**self).flush();
            }
        }
    )*};
}

forward_sink! {
    impl [S: Sink + ?Sized] Sink for &'static S;
    impl [S: Sink + ?Sized] Sink for std::boxed::Box<S>;
    impl [S: Sink + ?Sized] Sink for std::sync::Arc<S>;
}
