//! Stands in for `src/holders.rs`, of which `ticket.rs` needs one type.

use crate::event::{Handle, HandleId, Object};

pub(crate) struct Known {
    pub(crate) object: Object,
    pub(crate) handle: HandleId,
    pub(crate) events: u64,
    pub(crate) strong: u32,
    pub(crate) withheld: u32,
    pub(crate) handles: Option<Vec<Handle>>,
}
