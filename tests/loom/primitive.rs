//! loom's primitives under the names that `src/primitive.rs` gives.

pub(crate) use loom::sync::Arc;
pub(crate) use loom::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, AtomicUsize, Ordering};
pub(crate) use std::sync::OnceLock as Quiet;

pub(crate) const ENVIRONMENT: bool = false;
pub(crate) const SEGMENT: usize = 2;
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

/// std's `OnceLock`, of which loom has none: the value is std's to keep, and the order in which threads see it is
/// loom's to explore. The cell is written by who sets it and read by who gets it, so that a missing order shows.
pub(crate) struct OnceLock<T> {
    value: std::sync::OnceLock<T>,
    set: AtomicBool,
    order: UnsafeCell<()>,
    setting: Mutex<()>,
}

impl<T> OnceLock<T> {
    pub(crate) fn new() -> Self {
        Self {
            value: std::sync::OnceLock::new(),
            set: AtomicBool::new(false),
            order: UnsafeCell::new(()),
            setting: Mutex::new(()),
        }
    }

    pub(crate) fn get(&self) -> Option<&T> {
        if !self.set.load(Ordering::Acquire) {
            return None;
        }
        self.order.with(|_| ());
        self.value.get()
    }

    pub(crate) fn get_or_init(&self, f: impl FnOnce() -> T) -> &T {
        let guard = self.setting.lock();
        if !self.set.load(Ordering::Acquire) {
            assert!(self.value.set(f()).is_ok(), "set under the lock");
            self.order.with_mut(|_| ());
            self.set.store(true, Ordering::Release);
        }
        drop(guard);
        self.get().expect("it is set")
    }
}

macro_rules! constructor {
    ($($function:tt)*) => { $($function)* };
}
pub(crate) use constructor;

macro_rules! statics {
    ($($(#[$meta:meta])* $vis:vis static $NAME:ident: $Type:ty = $value:expr;)*) => {
        $(loom::lazy_static! { pub(crate) static ref $NAME: $Type = $value; })*
    };
}
pub(crate) use statics;

macro_rules! locals {
    ($($(#[$meta:meta])* $vis:vis static $NAME:ident: $Type:ty = $value:expr;)*) => {
        loom::thread_local! { $($vis static $NAME: $Type = $value;)* }
    };
}
pub(crate) use locals;

/// Runs a unit test of the ledger as a model.
pub(crate) fn model(f: impl Fn() + Send + Sync + 'static) {
    loom::model(f);
}
