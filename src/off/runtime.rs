//! What a user sees of the runtime when tracing is off: the same names, with nothing behind them.

#[path = "../runtime/log/options.rs"]
mod options;
#[path = "../runtime/sink.rs"]
pub(crate) mod sink;

pub(crate) mod dispatch {
    use super::sink::Sink;
    use crate::event::UntracedCounts;
    use std::fmt;
    use std::sync::atomic::{AtomicBool, Ordering};

    static INSTALLED: AtomicBool = AtomicBool::new(false);

    /// Drops the sink: tracing is off.
    ///
    /// # Errors
    ///
    /// When a sink has been installed already; the error gives `sink` back.
    pub fn install<S: Sink>(sink: S) -> Result<(), InstallError<S>> {
        // Relaxed: nothing hangs on it.
        if INSTALLED.swap(true, Ordering::Relaxed) { Err(InstallError { sink }) } else { Ok(()) }
    }

    /// Does nothing: tracing is off.
    pub fn switch_off() {}

    /// Does nothing: tracing is off.
    pub fn flush() {}

    pub(crate) fn is_switched_off() -> bool {
        false
    }

    /// Returns zeros: tracing is off, and nothing is counted.
    pub fn untraced_counts() -> UntracedCounts {
        UntracedCounts::default()
    }

    /// Does nothing: tracing is off.
    #[derive(Debug)]
    pub(crate) struct TrackAll(());

    impl TrackAll {
        pub(crate) fn new() -> Self {
            Self(())
        }
    }

    /// There is a global sink already. Gives back the one that was not installed.
    pub struct InstallError<S> {
        sink: S,
    }

    impl<S> InstallError<S> {
        /// Returns the sink that was not installed.
        pub fn into_sink(self) -> S {
            self.sink
        }
    }

    impl<S> fmt::Debug for InstallError<S> {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.debug_struct("InstallError").finish_non_exhaustive()
        }
    }

    impl<S> fmt::Display for InstallError<S> {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("a global sink is installed already")
        }
    }

    impl<S> std::error::Error for InstallError<S> {}
}

pub(crate) mod scope {
    use super::sink::Sink;
    use std::fmt;
    use std::future::Future;
    use std::marker::PhantomData;
    use std::pin::Pin;
    use std::task::{Context, Poll};

    /// A part of the program. Tracing is off: nothing belongs to it.
    #[derive(Clone, Debug)]
    pub struct Scope(());

    impl Scope {
        /// Creates a scope, and drops the sink.
        pub fn new(_: impl Sink) -> Self {
            Self(())
        }

        /// Creates a scope.
        pub fn tracking() -> Self {
            Self(())
        }

        /// Returns a guard that does nothing.
        pub fn enter(&self) -> ScopeGuard {
            ScopeGuard(PhantomData)
        }

        /// Runs `f`.
        pub fn run<R>(&self, f: impl FnOnce() -> R) -> R {
            f()
        }

        /// Returns the future.
        pub fn instrument<F: Future>(&self, future: F) -> Instrumented<F> {
            Instrumented(Box::pin(future))
        }

        /// Does nothing.
        pub fn switch_off(&self) {}

        pub(crate) fn is_used(&self) -> bool {
            false
        }
    }

    /// Does nothing. It stays on its thread, as it does when tracing is on.
    #[must_use = "the scope is left when the guard is dropped"]
    #[derive(Debug)]
    pub struct ScopeGuard(PhantomData<*mut ()>);

    impl Drop for ScopeGuard {
        fn drop(&mut self) {}
    }

    /// The future. It can be moved, as it can be when tracing is on.
    #[must_use = "a future does nothing unless it is polled"]
    pub struct Instrumented<F>(Pin<Box<F>>);

    impl<F: Future> Future for Instrumented<F> {
        type Output = F::Output;

        fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<F::Output> {
            self.0.as_mut().poll(context)
        }
    }

    impl<F> fmt::Debug for Instrumented<F> {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.debug_struct("Instrumented").finish_non_exhaustive()
        }
    }
}

pub(crate) mod log {
    pub use super::options::{Clock, Overflow};

    /// There is none.
    #[derive(Debug)]
    pub(crate) enum Log {}
}
