//! The locks: parking_lot's, which are one word, can be made in a `static`, are not poisoned by a panic, and can be waited
//! for with an end; and which a forked child finds free, though another thread of its parent had one. On Linux a mutex is
//! std's: to wait for it allocates nothing, as a handle's clone in a signal's handler must not. Without tracing the library
//! depends on nothing, and what little is locked then is locked by std's.

#[cfg(feature = "trace")]
#[allow(unused_imports)] // each is used by some build
pub(crate) use gated::{Mutex, MutexGuard, RwLock};

/// One that a fork does not wait for, since it may be held for long.
#[cfg(feature = "trace")]
#[allow(unused_imports)]
pub(crate) use parking_lot::Mutex as LongMutex;

#[cfg(not(feature = "trace"))]
#[allow(unused_imports)] // each is used by some build
pub(crate) use without::{Mutex, Mutex as LongMutex, RwLock};

/// Whether any lock is held, of all of refscope's: a fork waits until none is.
///
/// A child has the locks as they were at the moment of the fork, and none of the threads that would release them. To
/// take each of them before a fork one has to know each, and the order in which they are taken elsewhere. So whoever takes
/// one goes through a gate first, which a fork closes; those that are in come out.
#[cfg(feature = "trace")]
pub(crate) mod gate {
    use self::word::Word;
    use std::cell::Cell;
    use std::time::{Duration, Instant};

    mod word;

    /// What the word is made of: loom's in its models.
    mod atomic {
        pub(super) use std::sync::atomic::{AtomicU32, Ordering};
    }

    static GATE: Word = Word(atomic::AtomicU32::new(0));

    thread_local! {
        // Without destructors: they are there to the thread's end.
        /// How many locks this thread has.
        static LOCKS: Cell<u32> = const { Cell::new(0) };
        /// It has closed the gate.
        static CLOSER: Cell<bool> = const { Cell::new(false) };
    }

    /// Between the gate and the lock, and while the lock is held.
    #[derive(Debug)]
    pub(crate) struct Passed {
        // The thread's own.
        not_send: std::marker::PhantomData<*const ()>,
    }

    fn passed() -> Passed {
        LOCKS.set(LOCKS.get() + 1);
        Passed { not_send: std::marker::PhantomData }
    }

    /// Waits while a fork is under way.
    pub(super) fn pass() -> Passed {
        while LOCKS.get() == 0 && !GATE.enter() {
            std::thread::sleep(Duration::from_micros(50));
        }
        passed()
    }

    /// The same without waiting.
    pub(super) fn try_pass() -> Option<Passed> {
        (LOCKS.get() > 0 || GATE.enter()).then(passed)
    }

    impl Drop for Passed {
        fn drop(&mut self) {
            let locks = LOCKS.get() - 1;
            LOCKS.set(locks);
            if locks == 0 {
                GATE.leave();
            }
        }
    }

    /// Whether this thread has a lock: in a signal's handler, the thread that it interrupted.
    pub(crate) fn is_passed() -> bool {
        LOCKS.get() > 0
    }

    /// This thread's own share: it may be in a signal's handler that interrupted it with a lock.
    fn own() -> u32 {
        u32::from(is_passed())
    }

    /// Closes the gate and waits until no other thread has a lock. False where one has it too long: a debugger may have
    /// stopped that thread, and the program is not to hang for it.
    pub(crate) fn close(patience: Duration) -> bool {
        let until = Instant::now() + patience;
        while !GATE.close() {
            // Another thread forks.
            if Instant::now() >= until {
                return false;
            }
            std::thread::sleep(Duration::from_micros(50));
        }
        CLOSER.set(true);
        while !GATE.is_empty(own()) {
            if Instant::now() >= until {
                return false;
            }
            std::thread::yield_now();
        }
        true
    }

    /// Opens it again, if this thread closed it.
    pub(crate) fn open() {
        if CLOSER.replace(false) {
            GATE.open();
        }
    }

    /// Opens it in a child, which has this thread alone.
    pub(crate) fn open_in_child() {
        CLOSER.set(false);
        GATE.open_in_child(own());
    }
}

#[cfg(feature = "trace")]
mod gated {
    use super::gate::{Passed, pass, try_pass};
    #[cfg(target_os = "linux")]
    use super::waiting as inner;
    #[cfg(not(target_os = "linux"))]
    use parking_lot as inner;
    use std::fmt;
    use std::ops::{Deref, DerefMut};
    use std::time::Duration;

    /// What a lock guards, and the way through the gate, which is given back after the lock.
    #[derive(Debug)]
    pub(crate) struct Guard<G> {
        guard: G,
        _passed: Passed,
    }

    pub(crate) type MutexGuard<'a, T> = Guard<inner::MutexGuard<'a, T>>;

    impl<G: Deref> Deref for Guard<G> {
        type Target = G::Target;

        fn deref(&self) -> &G::Target {
            &self.guard
        }
    }

    impl<G: DerefMut> DerefMut for Guard<G> {
        fn deref_mut(&mut self) -> &mut G::Target {
            &mut self.guard
        }
    }

    /// A mutex which a forked child finds free.
    #[derive(Default)]
    pub(crate) struct Mutex<T>(inner::Mutex<T>);

    #[allow(dead_code)] // each is used by some build
    impl<T> Mutex<T> {
        pub(crate) const fn new(value: T) -> Self {
            Self(inner::const_mutex(value))
        }

        pub(crate) fn lock(&self) -> MutexGuard<'_, T> {
            let passed = pass();
            Guard { guard: self.0.lock(), _passed: passed }
        }

        pub(crate) fn try_lock(&self) -> Option<MutexGuard<'_, T>> {
            let passed = try_pass()?;
            Some(Guard { guard: self.0.try_lock()?, _passed: passed })
        }

        pub(crate) fn try_lock_for(&self, time: Duration) -> Option<MutexGuard<'_, T>> {
            let passed = try_pass()?;
            Some(Guard { guard: self.0.try_lock_for(time)?, _passed: passed })
        }
    }

    impl<T: fmt::Debug> fmt::Debug for Mutex<T> {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            self.0.fmt(f)
        }
    }

    /// [`parking_lot::RwLock`], which a forked child finds free.
    pub(crate) struct RwLock<T>(parking_lot::RwLock<T>);

    #[allow(dead_code)] // each is used by some build
    impl<T> RwLock<T> {
        pub(crate) const fn new(value: T) -> Self {
            Self(parking_lot::const_rwlock(value))
        }

        pub(crate) fn read(&self) -> Guard<parking_lot::RwLockReadGuard<'_, T>> {
            let passed = pass();
            Guard { guard: self.0.read(), _passed: passed }
        }

        pub(crate) fn write(&self) -> Guard<parking_lot::RwLockWriteGuard<'_, T>> {
            let passed = pass();
            Guard { guard: self.0.write(), _passed: passed }
        }
    }
}

/// std's mutex, never poisoned: a futex.
#[cfg(all(feature = "trace", target_os = "linux"))]
mod waiting {
    pub(super) use std::sync::MutexGuard;
    use std::sync::{self, PoisonError, TryLockError};
    use std::time::{Duration, Instant};

    #[derive(Debug, Default)]
    pub(super) struct Mutex<T>(sync::Mutex<T>);

    /// As parking_lot's is called, whose `Mutex::new` is no constant where a published lock file has an old lock_api.
    pub(super) const fn const_mutex<T>(value: T) -> Mutex<T> {
        Mutex(sync::Mutex::new(value))
    }

    #[allow(dead_code)] // each is used by some build
    impl<T> Mutex<T> {
        pub(super) fn lock(&self) -> MutexGuard<'_, T> {
            self.0.lock().unwrap_or_else(PoisonError::into_inner)
        }

        pub(super) fn try_lock(&self) -> Option<MutexGuard<'_, T>> {
            match self.0.try_lock() {
                Ok(guard) => Some(guard),
                Err(TryLockError::Poisoned(poisoned)) => Some(poisoned.into_inner()),
                Err(TryLockError::WouldBlock) => None,
            }
        }

        /// Waits in small steps: only where something may be wrong.
        pub(super) fn try_lock_for(&self, time: Duration) -> Option<MutexGuard<'_, T>> {
            let start = Instant::now();
            loop {
                let guard = self.try_lock();
                if guard.is_some() || start.elapsed() >= time {
                    return guard;
                }
                std::thread::sleep(Duration::from_micros(200));
            }
        }
    }
}

#[cfg(not(feature = "trace"))]
mod without {
    use std::sync::{self, MutexGuard, PoisonError, RwLockReadGuard, RwLockWriteGuard};

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

    /// [`std::sync::RwLock`], never poisoned: spans are known without tracing, too.
    #[derive(Debug, Default)]
    pub(crate) struct RwLock<T>(sync::RwLock<T>);

    impl<T> RwLock<T> {
        pub(crate) const fn new(value: T) -> Self {
            Self(sync::RwLock::new(value))
        }

        pub(crate) fn read(&self) -> RwLockReadGuard<'_, T> {
            self.0.read().unwrap_or_else(PoisonError::into_inner)
        }

        pub(crate) fn write(&self) -> RwLockWriteGuard<'_, T> {
            self.0.write().unwrap_or_else(PoisonError::into_inner)
        }
    }
}
