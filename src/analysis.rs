//! Events in, plain data out.

mod fold;
mod growth;
mod leaks;
mod living;
mod timeline;

pub use fold::Fold;
pub use growth::{Grown, Growth, Snapshot, Total, totals};
pub(crate) use leaks::Told;
pub use leaks::{Leak, Leaks, Unseen};
pub use living::{Holder, Living, Made};
pub use timeline::{End, Lifeline, Point, Timeline, Timelines};
