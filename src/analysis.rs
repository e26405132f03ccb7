//! Plain data in, plain data out: leaks, growth, timelines.

mod growth;
mod leak_report;
mod timeline;

#[doc(hidden)]
pub use growth::totals;
pub use growth::{Grown, Growth, Snapshot, Total};
pub use leak_report::{Leak, LeakReport, ReportKind};
pub use timeline::{End, Lifeline, Point, Timeline, Timelines};
