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

/// Where a static is, as a lock that guards one of refscope's tables.
#[allow(dead_code)] // where the memory can be searched
pub(crate) fn place<T>(of: &'static T) -> std::ops::Range<usize> {
    let start = std::ptr::from_ref(of).addr();
    start..start + size_of::<T>()
}

/// Whether any lock is held, of all of refscope's: a fork waits until none is.
///
/// A child has the locks as they were at the moment of the fork, and none of the threads that would release them. To
/// take each of them before a fork one has to know each, and the order in which they are taken elsewhere. So whoever takes
/// one goes through a gate first, which a fork closes; those that are in come out.
#[cfg(feature = "trace")]
pub(crate) mod gate {
    use self::word::Word;
    use std::cell::Cell;
    use std::sync::atomic::{Ordering, compiler_fence};
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
        /// It goes through the gate: what is counted there and in `LOCKS` may differ by one.
        static CROSSING: Cell<bool> = const { Cell::new(false) };
        /// It is a child's, forked by a signal's handler that interrupted it while it went through.
        static FORKED: Cell<bool> = const { Cell::new(false) };
    }

    /// Between the gate and the lock, and while the lock is held.
    #[derive(Debug)]
    pub(crate) struct Passed {
        // The thread's own.
        not_send: std::marker::PhantomData<*const ()>,
    }

    // Not a constant: each that is made leaves when it is dropped.
    fn passed() -> Passed {
        Passed { not_send: std::marker::PhantomData }
    }

    /// Does a step by which the gate's count changes and `LOCKS` does.
    fn cross<R>(step: impl FnOnce() -> R) -> R {
        // A handler may interrupt this, and go through as well.
        let outer = CROSSING.replace(true);
        compiler_fence(Ordering::SeqCst);
        let result = step();
        compiler_fence(Ordering::SeqCst);
        CROSSING.set(outer);
        if FORKED.get() {
            // Only now it is known whether this thread, the child's only one, is in.
            GATE.open_in_child(own());
            FORKED.set(outer);
        }
        result
    }

    /// Goes in, if no fork is under way.
    fn enter() -> bool {
        let in_already = LOCKS.get() > 0;
        if in_already {
            LOCKS.set(LOCKS.get() + 1);
            return true;
        }
        cross(|| {
            let entered = GATE.enter();
            if entered {
                LOCKS.set(LOCKS.get() + 1);
            }
            entered
        })
    }

    fn leave() {
        LOCKS.set(LOCKS.get() - 1);
        GATE.leave();
    }

    /// Waits while a fork is under way.
    pub(super) fn pass() -> Passed {
        while !enter() {
            std::thread::sleep(Duration::from_micros(50));
        }
        passed()
    }

    /// The same without waiting.
    pub(super) fn try_pass() -> Option<Passed> {
        enter().then(passed)
    }

    impl Drop for Passed {
        fn drop(&mut self) {
            match LOCKS.get() {
                1 => cross(leave),
                locks => LOCKS.set(locks - 1),
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

    /// Longer than a lock is held.
    const CROSSES: Duration = Duration::from_millis(20);

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
        let start = Instant::now();
        // Where a handler interrupted this thread on its way through, who is in for so long is most likely itself.
        let may_be_own = || u32::from(CROSSING.get() && start.elapsed() > CROSSES);
        while !GATE.is_empty(own() + may_be_own()) {
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
        FORKED.set(CROSSING.get());
        GATE.open_in_child(own());
    }

    #[cfg(all(test, unix))]
    mod tests {
        use super::*;

        /// Forks, does `f` in the child, and returns whether it was true there. (Not `assert`: the child has no threads.)
        fn in_a_child(f: impl FnOnce() -> bool) -> bool {
            // SAFETY: FORK: the child does no more than what follows.
            let pid = unsafe { libc::fork() };
            if pid == 0 {
                let code = i32::from(!f());
                // SAFETY: EXIT: nothing of the parent's is done.
                unsafe { libc::_exit(code) };
            }
            let mut status = -1;
            // SAFETY: FORK: it is the child of this process.
            unsafe { libc::waitpid(pid, &mut status, 0) };
            status == 0
        }

        /// Who is not let in has not been in.
        #[test]
        fn refused() {
            let is_right = in_a_child(|| {
                let is_closed = close(Duration::ZERO);
                let (refused, own) = (try_pass().is_none(), own());
                open();
                is_closed && refused && own == 0 && try_pass().is_some()
            });
            assert!(is_right);
        }

        /// A handler forks while the thread that it interrupted goes through the gate, and returns in the child: what it had
        /// done of a step before the fork is not counted twice, or taken off twice. (In a child: nobody else is at the gate.)
        #[test]
        fn a_fork_on_the_way_through() {
            let is_right = |step: fn(), locks: u32| {
                in_a_child(|| {
                    LOCKS.set(locks);
                    GATE.open_in_child(locks);
                    cross(step);
                    let is_right = GATE.is_empty(own()) && (own() == 0 || !GATE.is_empty(0));
                    is_right && try_pass().is_some() && GATE.is_empty(own())
                })
            };
            let before_it_enters = || {
                open_in_child();
                GATE.enter();
                LOCKS.set(1);
            };
            let after_it_entered = || {
                GATE.enter();
                open_in_child();
                LOCKS.set(1);
            };
            let while_it_is_refused = || {
                GATE.close();
                CLOSER.set(true);
                GATE.0.fetch_add(1, Ordering::Relaxed);
                open_in_child();
                GATE.0.fetch_sub(1, Ordering::Relaxed);
            };
            let before_it_leaves = || {
                LOCKS.set(0);
                open_in_child();
                GATE.leave();
            };
            let after_it_left = || {
                LOCKS.set(0);
                GATE.leave();
                open_in_child();
            };
            assert!(is_right(before_it_enters, 0), "before it enters");
            assert!(is_right(after_it_entered, 0), "after it entered");
            assert!(is_right(while_it_is_refused, 0), "while it is refused");
            assert!(is_right(before_it_leaves, 1), "before it leaves");
            assert!(is_right(after_it_left, 1), "after it left");
        }
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
