//! The pointer modules when tracing is off: std's own.

pub use std::{boxed, rc, sync, task};
