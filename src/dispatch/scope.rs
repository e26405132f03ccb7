use super::{Bound, REASONS};
use crate::primitive::{Arc, Ordering, locals};
use crate::sink::Sink;
use std::cell::RefCell;
use std::fmt;
use std::future::Future;
use std::marker::PhantomData;
use std::pin::Pin;
use std::task::{Context, Poll};

locals! {
    static CURRENT: RefCell<Option<Arc<Bound>>> = RefCell::new(None);
}

/// The innermost scope of this thread. None while the thread's locals are being destroyed.
pub(super) fn current() -> Option<Arc<Bound>> {
    CURRENT.try_with(|current| current.borrow().clone()).ok().flatten()
}

/// A sink for a part of the program: what is born in it is bound to its sink, wherever it goes later.
///
/// A scope is entered on each thread that shall belong to it, and by futures. So a leak check in one
/// test sees its own objects alone, though other tests run beside it.
///
/// # Examples
///
/// ```
/// use refscope::{Arc, Scope, sink::Recorder};
/// use std::thread;
///
/// let recorder = Recorder::new();
/// let scope = Scope::new(recorder.clone());
/// scope.run(|| {
///     let here = Arc::new("bound to the recorder");
///     let inner = scope.clone();
///     thread::spawn(move || {
///         let there = here.clone(); // as well: it is the same object
///         let other = Arc::new("not bound: this thread has not entered the scope");
///         let _guard = inner.enter();
///         let third = Arc::new("bound");
///     })
///     .join()
///     .unwrap();
/// });
/// # if refscope::ENABLED {
/// assert_eq!(recorder.recording().timelines().len(), 2);
/// # }
/// ```
#[derive(Clone)]
pub struct Scope {
    bound: Arc<Bound>,
}

impl Scope {
    /// A scope whose objects' events go to `sink`. It does nothing until it is entered.
    pub fn new(sink: impl Sink) -> Self {
        Self { bound: Arc::new(Bound::new(sink, false)) }
    }

    /// Binds what is born on this thread until the guard is dropped.
    ///
    /// Scopes nest: the guard's drop brings the one before back. Guards have to be dropped in the
    /// reverse order of their making, as locals are. The events of objects that outlive the guard still
    /// go to the scope's sink.
    pub fn enter(&self) -> ScopeGuard {
        // While the thread's locals are being destroyed there is no place for a scope: what is born then is not its.
        let enter = |current: &RefCell<_>| current.replace(Some(Arc::clone(&self.bound)));
        let before = CURRENT.try_with(enter).ok().flatten();
        REASONS.fetch_add(1, Ordering::Relaxed);
        ScopeGuard { before, not_send: PhantomData }
    }

    /// Runs `f` in the scope.
    pub fn run<R>(&self, f: impl FnOnce() -> R) -> R {
        let _guard = self.enter();
        f()
    }

    /// A future that is polled, and dropped, in the scope.
    ///
    /// A guard must not be held across an `.await`: the executor may poll another task meanwhile. This
    /// is what to do instead, as with tracing's spans.
    pub fn instrument<F: Future>(&self, future: F) -> Instrumented<F> {
        Instrumented { future: Some(future), scope: self.clone() }
    }

    /// Silences the scope's sink for good.
    pub fn switch_off(&self) {
        self.bound.switch_off();
    }
}

impl fmt::Debug for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Scope").field("sink", &self.bound.name).finish_non_exhaustive()
    }
}

/// Keeps a [`Scope`] entered. It stays on its thread.
#[must_use = "the scope is left when the guard is dropped"]
pub struct ScopeGuard {
    before: Option<Arc<Bound>>,
    not_send: PhantomData<*mut ()>,
}

impl Drop for ScopeGuard {
    fn drop(&mut self) {
        REASONS.fetch_sub(1, Ordering::Relaxed);
        let before = self.before.take();
        // Dropped outside of the borrow: it may be the last reference to a sink, whose drop may make
        // traced objects. A guard in a thread-local may outlive the place it restores.
        let mine = CURRENT.try_with(|current| current.replace(before));
        drop(mine);
    }
}

impl fmt::Debug for ScopeGuard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ScopeGuard").finish_non_exhaustive()
    }
}

pin_project_lite::pin_project! {
    /// A future in a [`Scope`]. Made by [`Scope::instrument`].
    pub struct Instrumented<F> {
        #[pin]
        future: Option<F>,
        scope: Scope,
    }

    impl<F> PinnedDrop for Instrumented<F> {
        fn drop(this: Pin<&mut Self>) {
            let mut this = this.project();
            let _guard = this.scope.enter();
            this.future.set(None);
        }
    }
}

impl<F: Future> Future for Instrumented<F> {
    type Output = F::Output;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<F::Output> {
        let this = self.project();
        let _guard = this.scope.enter();
        this.future.as_pin_mut().expect("the future is there until the drop").poll(context)
    }
}

impl<F> fmt::Debug for Instrumented<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Instrumented").field("scope", &self.scope).finish_non_exhaustive()
    }
}
