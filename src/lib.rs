//! **Who keeps this value alive, and since where?**
//!
//! refscope gives traced versions of std's [`Box`], [`Rc`], [`Arc`] and both `Weak`s. Change the `use` line,
//! and every allocation, clone and drop becomes an event for a [sink](sink); timelines and
//! [`holders`] turn the events into an answer that names the line.
//!
//! ```
//! # if !refscope::ENABLED { return }
//! use refscope::{Scope, sink};
//! use refscope::rc::Rc; // was: use std::rc::Rc;
//!
//! let print = sink::from_fn(|event| println!("{event}"));
//! let _guard = Scope::new(print).enter();
//! let one = Rc::new("a value");
//! let two = one.clone();
//! ```
#![cfg_attr(
    refscope_coerce,
    feature(coerce_unsized, unsize, pin_coerce_unsized_trait, legacy_receiver_trait)
)]
#![cfg_attr(refscope_fn, feature(fn_traits, unboxed_closures, tuple_trait))]
#![cfg_attr(refscope_async_fn, feature(async_fn_traits))]
#![cfg_attr(
    any(refscope_negative, refscope_fundamental),
    feature(negative_impls, with_negative_coherence)
)]
#![cfg_attr(refscope_fundamental, feature(fundamental))]
#![cfg_attr(refscope_fundamental, allow(internal_features))]

#[cfg(not(target_has_atomic = "64"))]
compile_error!(
    "refscope needs 64-bit atomics: its ledger keeps an event's place and count in one word"
);

// The faces.
#[cfg(feature = "trace")]
pub mod boxed;
#[cfg(feature = "trace")]
mod forward;
#[cfg(feature = "trace")]
mod make_mut;
#[cfg(not(feature = "trace"))]
mod off;
#[cfg(feature = "trace")]
pub mod rc;
mod std_ptr;
#[cfg(feature = "trace")]
pub mod sync;
#[cfg(feature = "trace")]
pub mod task;
mod unsize;

// From a face to a sink.
mod dispatch;
pub mod event;
#[cfg(feature = "trace")]
mod ledger;
#[cfg(feature = "trace")]
mod primitive;
pub mod sink;
#[cfg(feature = "trace")]
mod ticket;

// From events to an answer.
pub mod analysis;
mod holders;
pub mod recording;
pub mod render;

pub mod promises;

#[cfg(not(feature = "trace"))]
pub use off::{boxed, rc, sync, task};

pub use boxed::Box;
pub use dispatch::{
    InstallError, Instrumented, Scope, ScopeGuard, Unseen, flush, install, switch_off, unseen,
};
pub use event::{Event, Handle, HandleId, Kind, Object, ObjectId, Op, Record, Site, Strength};
pub use holders::{Holders, Traced, holders, label, unbox};
#[cfg(feature = "trace")]
pub use make_mut::MakeMut;
pub use rc::Rc;
pub use recording::Recording;
pub use sink::Sink;
pub use std_ptr::StdPtr;
pub use sync::Arc;

/// Whether the pointers are traced: the feature `trace`. Without it they are std's.
pub const ENABLED: bool = cfg!(feature = "trace");

/// What the macros expand to.
#[doc(hidden)]
pub mod __private {
    pub use crate::unsize::{Stable, Unsize, arc, boxed, pin, rc, unsize};
}
