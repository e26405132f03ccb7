//! loom's primitives under the names that `src/primitive.rs` gives.

pub(crate) use loom::sync::atomic::{AtomicU32, AtomicU64, Ordering, fence};
// Waits for nobody in a model: the table is made by whoever comes first, without a scheduling point.
pub(crate) use std::sync::OnceLock;

pub(crate) const CHUNK: usize = 2;
pub(crate) const CHUNKS: usize = 2;

#[derive(Debug)]
pub(crate) struct UnsafeCell<T>(loom::cell::UnsafeCell<T>);

impl<T> UnsafeCell<T> {
    pub(crate) fn new(value: T) -> Self {
        Self(loom::cell::UnsafeCell::new(value))
    }

    #[track_caller]
    pub(crate) fn with<R>(&self, f: impl FnOnce(*const T) -> R) -> R {
        self.0.with(f)
    }

    #[track_caller]
    pub(crate) fn with_mut<R>(&self, f: impl FnOnce(*mut T) -> R) -> R {
        self.0.with_mut(f)
    }
}

pub(crate) struct Mutex<T>(loom::sync::Mutex<T>);

impl<T> Mutex<T> {
    pub(crate) fn new(value: T) -> Self {
        Self(loom::sync::Mutex::new(value))
    }

    pub(crate) fn lock(&self) -> loom::sync::MutexGuard<'_, T> {
        self.0.lock().expect("no model panics under the lock")
    }
}

macro_rules! constructor {
    ($($function:tt)*) => { $($function)* };
}
pub(crate) use constructor;

macro_rules! table {
    ($(#[$meta:meta])* $vis:vis static $NAME:ident: $Type:ty;) => {
        loom::lazy_static! {
            static ref $NAME: $Type = <$Type>::new();
        }
    };
}
pub(crate) use table;

/// Runs a unit test of the ledger as a model.
pub(crate) fn model(f: impl Fn() + Send + Sync + 'static) {
    loom::model(f);
}
