//! The primitives the ledger stands on: std's and parking_lot's here, loom's in the model tests.
//!
//! `tests/loom` includes `ledger.rs` by path beside a `primitive` module of its own, so the models
//! run in a plain `cargo test`, without a `--cfg loom` that would rebuild the world. Paths mirror
//! std's; what differs says why.

pub(crate) use parking_lot::Mutex;
pub(crate) use std::sync::OnceLock;
pub(crate) use std::sync::atomic::{AtomicU32, AtomicU64, Ordering, fence};

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

/// Declares the ledger's `static`; loom's has to be made anew for each execution.
macro_rules! table {
    ($(#[$meta:meta])* $vis:vis static $NAME:ident: $Type:ty;) => {
        $(#[$meta])* $vis static $NAME: $Type = <$Type>::new();
    };
}
pub(crate) use table;

/// Runs a unit test of the ledger; loom's types can be used in a model alone.
#[cfg(test)]
pub(crate) fn model(f: impl Fn()) {
    f();
}
