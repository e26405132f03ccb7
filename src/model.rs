//! What is alive and what happened, as plain data: [`LiveObject`]s with their [`Handle`]s, and [`Recording`]s.
//!
//! A view of the running program, the end of a recording in memory and the end of one in a file give the same
//! data, by the same rules. Reports and renderings read nothing else.

#[cfg_attr(not(feature = "trace"), path = "off/alive.rs")]
mod alive;
mod by_number;
#[cfg_attr(not(all(feature = "trace", feature = "json")), allow(dead_code))]
// one writes, the other reads
pub(crate) mod format;
mod handle_set;
mod live;
mod object_state;
#[cfg(feature = "json")]
pub(crate) mod packed;
mod paths;
#[cfg(any(feature = "trace", feature = "json"))]
pub(crate) mod peak;
#[cfg(feature = "json")]
pub(crate) mod read;
mod recording;
mod replay;
#[cfg(feature = "json")]
pub(crate) mod stretch;

pub use alive::alive;
#[cfg(feature = "trace")]
pub(crate) use alive::living_objects;
pub(crate) use alive::{alive_outside, alive_since, can_end_elsewhere, ids, live_object, numbered};
pub use live::{Handle, LiveObject, PathStep};
#[cfg(any(feature = "trace", feature = "json"))]
pub use peak::Peak;
#[cfg(feature = "json")]
pub use read::{Allocation, Damage, Moment, ReadError, RecordingFile, Survey, Surveyed};
pub(crate) use recording::TAKEN_OVER;
pub(crate) use recording::{CONTEXT, Omitted, SourceLines};
pub use recording::{
    EventRecord, Mark, Mismatch, MismatchReason, ObjectRecord, Origin, Recording, RecordingEnd,
};

pub use crate::event::{Location, UntracedCounts};

#[cfg(all(feature = "trace", unix))]
pub(crate) use by_number::{ByNumber, Keyed};
#[cfg(all(feature = "trace", unix))]
pub(crate) use handle_set::HandleSet;
#[cfg(all(feature = "trace", unix))]
pub(crate) use object_state::ended_side;
pub(crate) use object_state::{Change, Earlier, ObjectState};
pub(crate) use replay::Replay;
