//! What is alive when tracing is off: nobody knows.

use super::LiveObject;

/// Returns nothing: tracing is off.
pub fn alive() -> Vec<LiveObject> {
    Vec::new()
}

pub(crate) fn live_object(_: u64) -> Option<LiveObject> {
    None
}
