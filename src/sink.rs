//! What receives events: the trait [`Sink`], and the sinks that come with refscope.
//!
//! | sink | what it is for |
//! | --- | --- |
//! | [`from_fn`] | a closure: the three-line sink |
//! | [`Print`] | each event as a line, on stderr or elsewhere |
//! | [`Nop`] | nothing: what is alive is known with any sink |
//! | [`Recorder`] | keeps the events in memory, bounded, for a timeline |
//! | `FlightRecorder` (unix) | writes the events to a file that survives the process, at a recorder's cost |
//! | [`FileSink`] | writes the events to a file as JSON Lines |
//! | `TracingSink` (feature `tracing`) | passes each event on to `tracing` |
//! | [`Filter`] | asks a closure, for each new object, whether to trace it; [`ObjectFilter`] is a ready one: by type, line, size, one in so many |
//! | `(a, b)` | both |

mod combine;
#[cfg(feature = "trace")]
mod file;
mod filter;
#[cfg(all(unix, feature = "trace"))]
mod flight;
mod nop;
#[cfg(not(feature = "trace"))]
#[path = "off/sinks.rs"]
mod off;
#[cfg(feature = "trace")]
mod print;
#[cfg(feature = "trace")]
mod recorder;
mod recorder_builder;
#[cfg(feature = "trace")]
mod sources;
#[cfg(feature = "tracing")]
mod tracing;
#[cfg(feature = "trace")]
mod writers;

pub use self::combine::{FromFn, from_fn};
#[cfg(feature = "trace")]
pub use self::file::FileSink;
pub use self::filter::Filter;
#[cfg(all(unix, feature = "trace"))]
pub use self::flight::FlightRecorder;
#[cfg(all(unix, not(feature = "trace")))]
pub use self::off::FlightRecorder;
#[cfg(not(feature = "trace"))]
pub use self::off::{FileSink, Print, Recorder, set_source_lines};
#[cfg(feature = "trace")]
pub use self::print::Print;
#[cfg(feature = "trace")]
pub use self::recorder::Recorder;
pub use self::recorder_builder::RecorderBuilder;
#[cfg(feature = "trace")]
pub use self::sources::set_source_lines;
#[cfg(feature = "tracing")]
pub use self::tracing::TracingSink;

pub use self::nop::{Nop, track};
pub use crate::event::filter::ObjectFilter;
pub use crate::runtime::log::{Clock, Overflow};
pub use crate::runtime::sink::{Route, Sink};

/// Writes a mark to all files that are recorded to.
#[cfg(feature = "trace")]
pub(crate) fn mark_files(name: &str, time: crate::event::Time) {
    file::mark(name, time);
    #[cfg(unix)]
    flight::mark(name, time);
}
