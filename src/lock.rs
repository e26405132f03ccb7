//! std's locks with parking_lot's manners: a lock is not poisoned by a panic, and can be waited for with an end.
//!
//! std's are a word or two and can be made in a `static`; parking_lot itself would be half of all crates that the library
//! depends on. What they guard is whole at every point where a panic can leave it, so poisoning would tell nothing.

#![allow(dead_code)] // each is used by some build: off, traced, with spans

use std::sync::{self, PoisonError, TryLockError};
use std::time::{Duration, Instant};

pub(crate) use std::sync::MutexGuard;

/// [`std::sync::Mutex`], never poisoned.
#[derive(Debug, Default)]
pub(crate) struct Mutex<T>(sync::Mutex<T>);

impl<T> Mutex<T> {
    pub(crate) const fn new(value: T) -> Self {
        Self(sync::Mutex::new(value))
    }

    #[inline]
    pub(crate) fn lock(&self) -> MutexGuard<'_, T> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    #[inline]
    pub(crate) fn try_lock(&self) -> Option<MutexGuard<'_, T>> {
        match self.0.try_lock() {
            Ok(guard) => Some(guard),
            Err(TryLockError::Poisoned(poisoned)) => Some(poisoned.into_inner()),
            Err(TryLockError::WouldBlock) => None,
        }
    }

    /// Waits up to `time` for the lock.
    pub(crate) fn try_lock_for(&self, time: Duration) -> Option<MutexGuard<'_, T>> {
        self.try_lock_until(Instant::now() + time)
    }

    /// Waits for the lock until `end`.
    pub(crate) fn try_lock_until(&self, end: Instant) -> Option<MutexGuard<'_, T>> {
        loop {
            let guard = self.try_lock();
            if guard.is_some() || Instant::now() >= end {
                return guard;
            }
            // std has no such wait. Who comes here is about to end, and in no hurry.
            std::thread::sleep(Duration::from_millis(1));
        }
    }
}

/// [`std::sync::RwLock`], never poisoned.
#[derive(Debug, Default)]
pub(crate) struct RwLock<T>(sync::RwLock<T>);

impl<T> RwLock<T> {
    pub(crate) const fn new(value: T) -> Self {
        Self(sync::RwLock::new(value))
    }

    #[inline]
    pub(crate) fn read(&self) -> sync::RwLockReadGuard<'_, T> {
        self.0.read().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn write(&self) -> sync::RwLockWriteGuard<'_, T> {
        self.0.write().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::{Mutex, RwLock};
    use std::panic::{AssertUnwindSafe, catch_unwind};
    use std::time::Duration;

    #[test]
    fn a_panic_under_the_lock_poisons_nothing() {
        let (mutex, lock) = (Mutex::new(1), RwLock::new(1));
        let panic = catch_unwind(AssertUnwindSafe(|| {
            let (_first, _second) = (mutex.lock(), lock.write());
            panic!("on purpose");
        }));
        assert!(panic.is_err());
        assert_eq!((*mutex.lock(), *lock.read()), (1, 1));
        assert!(mutex.try_lock().is_some());
    }

    #[test]
    fn a_wait_has_an_end() {
        let mutex = Mutex::new(());
        let guard = mutex.lock();
        std::thread::scope(|threads| {
            let waiting = threads.spawn(|| mutex.try_lock_for(Duration::from_millis(5)).is_some());
            assert!(!waiting.join().unwrap());
            drop(guard);
            let waiting = threads.spawn(|| mutex.try_lock_for(Duration::from_secs(60)).is_some());
            assert!(waiting.join().unwrap());
        });
    }
}
