//! Plain data in, text out.

mod alike;
mod chart;
mod dot;
mod excerpt;
mod growth;
#[cfg(feature = "html")]
mod held_page;
#[cfg(feature = "html")]
mod html;
mod jsonl;
mod names;
mod ownership_dot;
mod ownership_svg;
#[cfg(feature = "json")]
mod perfetto;
mod report;
#[cfg(feature = "json")]
mod report_json;
#[cfg(feature = "json")]
mod safe_json;
mod source;
mod stored;
mod style;
mod sums;
mod terminal;
mod tree;
mod verdict;

pub use dot::dot;
#[cfg(feature = "html")]
pub use held_page::html_with_ownership;
#[cfg(feature = "html")]
pub use html::{html, html_with_sources};
pub use jsonl::jsonl;
#[cfg(feature = "json")]
pub use jsonl::jsonl_of;
pub use ownership_dot::ownership_dot;
pub use ownership_svg::ownership_svg;
#[cfg(feature = "json")]
pub use perfetto::{perfetto, perfetto_of};
#[cfg(feature = "json")]
pub use report_json::report_json;
pub use terminal::Terminal;

pub(crate) use crate::text::{age, bytes, count, escape, escape_lines, plural};
pub(crate) use report::handles_of_one;
