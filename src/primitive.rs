//! The primitives that threads meet at: std's and parking_lot's here, loom's in the model tests.
//!
//! `tests/loom` includes everything below the faces by path, beside a `primitive` module of its own, so the
//! models run in a plain `cargo test`, without a `--cfg loom` that would rebuild the world. Paths
//! mirror std's; what differs says why.

#![cfg_attr(not(feature = "trace"), allow(dead_code, unused_imports, unused_macros))]

pub(crate) use parking_lot::Mutex;
pub(crate) use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, AtomicUsize, Ordering};
pub(crate) use std::sync::{Arc, OnceLock};

/// A `OnceLock` that is none of a model's scheduling points: what is in it comes with what names it.
pub(crate) use std::sync::OnceLock as Quiet;

/// Whether `REFSCOPE` in the environment is read. Not in a model: a model is a program of its own.
pub(crate) const ENVIRONMENT: bool = true;

/// Records in a segment of a recorder's buffer: 16 KiB.
pub(crate) const SEGMENT: usize = 512;

/// Entries in one chunk of the ledger's table (1 MiB of them).
pub(crate) const CHUNK: usize = 1 << 14;
/// Chunks in the ledger's table: all slots that a ticket can name.
pub(crate) const CHUNKS: usize = 1 << 10;

/// std's `UnsafeCell` with loom's closure access, so that a model can see each access begin and end.
#[derive(Debug)]
pub(crate) struct UnsafeCell<T>(std::cell::UnsafeCell<T>);

impl<T> UnsafeCell<T> {
    pub(crate) fn new(value: T) -> Self {
        Self(std::cell::UnsafeCell::new(value))
    }

    #[inline]
    pub(crate) fn with<R>(&self, f: impl FnOnce(*const T) -> R) -> R {
        f(self.0.get())
    }

    #[inline]
    pub(crate) fn with_mut<R>(&self, f: impl FnOnce(*mut T) -> R) -> R {
        f(self.0.get())
    }
}

/// Declares a constructor that is `const` here, so that the ledger can be a `static`; loom's
/// atomics cannot be made in a constant.
macro_rules! constructor {
    ($(#[$meta:meta])* $vis:vis fn $($rest:tt)*) => { $(#[$meta])* $vis const fn $($rest)* };
}
pub(crate) use constructor;

/// Declares `static`s; loom's have to be made anew for each execution.
macro_rules! statics {
    ($($(#[$meta:meta])* $vis:vis static $NAME:ident: $Type:ty = $value:expr;)*) => {
        $($(#[$meta])* $vis static $NAME: $Type = $value;)*
    };
}
pub(crate) use statics;

/// Declares thread-locals; those of loom's threads, which share one thread of the system.
macro_rules! locals {
    ($($(#[$meta:meta])* $vis:vis static $NAME:ident: $Type:ty = $value:expr;)*) => {
        thread_local! { $($(#[$meta])* $vis static $NAME: $Type = const { $value };)* }
    };
}
pub(crate) use locals;

/// Runs a unit test of the ledger; loom's types can be used in a model alone.
#[cfg(test)]
pub(crate) fn model(f: impl Fn()) {
    f();
}
