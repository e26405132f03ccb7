//! Plain data in, plain data out: leaks, growth, timelines.

mod balance;
mod cause;
mod fingerprint;
pub(crate) mod growth;
mod help;
#[cfg(feature = "json")]
mod history;
pub(crate) mod leak_report;
mod ownership;
mod retention;
mod timeline;

pub use balance::{Balance, BalanceLine, BalanceNode};
pub use cause::Cause;
pub(crate) use cause::groups_of_handles;
pub(crate) use growth::totals;
pub use growth::{Grown, Growth, Snapshot, Total};
pub use help::Help;
#[cfg(feature = "json")]
pub use history::History;
pub use leak_report::{HandleGroup, Leak, LeakReport, ReportKind};
pub use retention::{Part, Retention};
pub use timeline::{End, Lifeline, Point, Timeline, Timelines};
