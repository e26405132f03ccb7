//! The traced path: from a pointer's operation to the ledger, a log, a sink. It knows no report, and the loom
//! models include it by path.
//!
//! ```text
//!  handle ── what a pointer has beside std's; emits the events
//!    ├─ ticket ── the word that names a handle's place
//!    ├─ ledger ── entry · slab (ring) · paths (index) · raw · departed · view (reads it)
//!    ├─ log    ── record · segment · tail · evicted
//!    ├─ dispatch ── scope · sink (the trait)
//!    └─ local (what each thread has) · clock · threads (refscope's own)
//! ```

pub(crate) mod clock;
pub(crate) mod departed;
pub(crate) mod dispatch;
pub(crate) mod entry;
pub(crate) mod handle;
mod index;
pub(crate) mod ledger;
pub(crate) mod local;
pub(crate) mod log;
pub(crate) mod paths;
pub(crate) mod raw;
mod ring;
pub(crate) mod scope;
pub(crate) mod sink;
pub(crate) mod slab;
pub(crate) mod threads;
pub(crate) mod ticket;
pub(crate) mod view;
