//! The locks: parking_lot's, which are one word, can be made in a `static`, are not poisoned by a panic, and can be waited
//! for with an end. Without tracing the library depends on nothing, and what little is locked then is locked by std's.

#[cfg(feature = "trace")]
#[allow(unused_imports)] // each is used by some build
pub(crate) use parking_lot::{Condvar, Mutex, MutexGuard, RwLock};

#[cfg(not(feature = "trace"))]
pub(crate) use without::Mutex;

#[cfg(not(feature = "trace"))]
mod without {
    use std::sync::{self, MutexGuard, PoisonError};

    /// [`std::sync::Mutex`], never poisoned.
    #[derive(Debug, Default)]
    pub(crate) struct Mutex<T>(sync::Mutex<T>);

    impl<T> Mutex<T> {
        pub(crate) const fn new(value: T) -> Self {
            Self(sync::Mutex::new(value))
        }

        pub(crate) fn lock(&self) -> MutexGuard<'_, T> {
            self.0.lock().unwrap_or_else(PoisonError::into_inner)
        }
    }
}
