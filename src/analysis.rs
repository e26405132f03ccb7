//! Plain data in, plain data out: leaks, growth, timelines.

mod balance;
mod growth;
mod leak_report;
mod timeline;

pub use balance::{Balance, BalanceEvent, BalanceNode, Made};
#[doc(hidden)]
pub use growth::totals;
pub use growth::{Grown, Growth, Snapshot, Total};
pub use leak_report::{Leak, LeakReport, ReportKind};
pub use timeline::{End, Lifeline, Point, Timeline, Timelines};
