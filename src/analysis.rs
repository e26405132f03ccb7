//! Events in, plain data out.

mod timeline;

pub use timeline::{End, Lifeline, Point, Timeline, Timelines};
