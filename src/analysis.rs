//! Plain data in, plain data out: leaks, growth, timelines.

mod balance;
mod cause;
mod fingerprint;
mod growth;
mod help;
mod leak_report;
mod retention;
mod timeline;

pub use balance::{Balance, BalanceNode, Made};
pub use cause::Cause;
#[doc(hidden)]
pub use growth::totals;
pub use growth::{Grown, Growth, Snapshot, Total};
pub use help::Help;
pub use leak_report::{HandleGroup, Leak, LeakReport, ReportKind};
pub use retention::{Part, Retention};
pub use timeline::{End, Lifeline, Point, Timeline, Timelines};
