//! Scopes: parts of the program whose objects are known as theirs, and may have a sink of their own.
//!
//! Scopes nest by being entered: an object that is made in the inner one belongs to both. So what an entry has is a
//! [`ScopeNode`], a scope and the nodes around it; a scope knows the numbers of all nodes in it, by which a reader
//! tells which objects are its own.

use super::dispatch::{ACTIVE, Dispatch};
use super::local::with_scope;
use super::sink::Sink;
use crate::primitive::{Arc, AtomicBool, AtomicU32, Mutex, Ordering, statics};
use std::collections::BTreeSet;
use std::fmt;
use std::future::Future;
use std::marker::PhantomData;
use std::pin::Pin;
use std::ptr;
use std::task::{Context, Poll};

statics! {
    /// The number of the next node.
    static NEXT: AtomicU32 = AtomicU32::new(1);
}

/// What a scope knows of the nodes in it.
struct Members {
    /// Their numbers.
    nodes: Mutex<BTreeSet<u32>>,
    /// Whether an object was ever made in one of them.
    used: AtomicBool,
}

/// A scope, and those that it was entered in.
pub(crate) struct ScopeNode {
    id: u32,
    around: Option<Arc<ScopeNode>>,
    members: Arc<Members>,
    /// The scope's own, or that of the nearest one around it. `None`: the global one.
    dispatch: Option<Arc<Dispatch>>,
    /// The scope, or one around it, has no sink: its objects are tracked whether or not a sink wants their events.
    tracks: bool,
    /// Whether an object was made in it, and the scopes around know.
    used: AtomicBool,
}

impl ScopeNode {
    fn new(scope: &Inner, around: Option<Arc<Self>>) -> Arc<Self> {
        // Relaxed: a number is unique by the read-modify-write alone. Numbers are not used twice; after 2^32 of them
        // objects are counted as nobody's.
        let next = |id: u32| (id != 0).then(|| id.wrapping_add(1));
        let id = NEXT.fetch_update(Ordering::Relaxed, Ordering::Relaxed, next).unwrap_or(0);
        let inherited = || around.as_ref().and_then(|around| around.dispatch.clone());
        let dispatch = scope.dispatch.clone().or_else(inherited);
        let tracks =
            scope.dispatch.is_none() || around.as_ref().is_some_and(|around| around.tracks);
        let (members, used) = (Arc::clone(&scope.members), AtomicBool::new(false));
        let node = Arc::new(Self { id, around, members, dispatch, tracks, used });
        node.each_scope(|members| {
            members.nodes.lock().insert(id);
        });
        node
    }

    fn each_scope(&self, mut f: impl FnMut(&Members)) {
        f(&self.members);
        let mut around = self.around.as_ref();
        while let Some(node) = around {
            f(&node.members);
            around = node.around.as_ref();
        }
    }

    pub(super) fn id(&self) -> u32 {
        self.id
    }

    /// An object is made in the scope.
    #[inline]
    pub(super) fn set_used(&self) {
        // Relaxed: who asks has joined the threads that it asks about, or asks for a hint.
        if !self.used.load(Ordering::Relaxed) {
            self.each_scope(|members| members.used.store(true, Ordering::Relaxed));
            self.used.store(true, Ordering::Relaxed);
        }
    }

    pub(super) fn tracks(&self) -> bool {
        self.tracks
    }

    pub(super) fn dispatch(&self) -> Option<&Arc<Dispatch>> {
        self.dispatch.as_ref()
    }

    /// Takes a node from the pointer that [`Arc::into_raw`] gave.
    ///
    /// # Safety
    ///
    /// `node` is null, or owns a share that is given up.
    pub(super) unsafe fn from_raw(node: *const Self) -> Option<Arc<Self>> {
        // SAFETY: SCOPES: passed on to the caller.
        (!node.is_null()).then(|| unsafe { Arc::from_raw(node) })
    }
}

impl Drop for ScopeNode {
    fn drop(&mut self) {
        let id = self.id;
        self.each_scope(|members| {
            members.nodes.lock().remove(&id);
        });
    }
}

/// The innermost scope of this thread.
pub(super) fn current() -> Option<Arc<ScopeNode>> {
    with_scope(|current| {
        let node = current.get();
        if node.is_null() {
            return None;
        }
        // SAFETY: SCOPES: the thread's pointer owns a share as long as it stands there.
        let node = std::mem::ManuallyDrop::new(unsafe { Arc::from_raw(node) });
        Some(Arc::clone(&node))
    })
    .flatten()
}

struct Inner {
    dispatch: Option<Arc<Dispatch>>,
    members: Arc<Members>,
    /// The nodes of this scope that are known, with the number of the one around: most scopes are entered in one.
    nodes: Mutex<Vec<(u32, Arc<ScopeNode>)>>,
}

/// A part of the program: what is made in it belongs to it, wherever it goes later.
///
/// A scope is entered on each thread that shall belong to it, and by futures. So a leak check in one
/// test sees its own objects alone, though other tests run beside it. Scopes nest: what is made in an inner
/// one belongs to the outer ones as well.
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
#[must_use = "a scope has no objects until it is entered"]
#[derive(Clone)]
pub struct Scope {
    inner: Arc<Inner>,
}

impl Scope {
    /// Creates a scope whose objects send their events to `sink`, and nowhere else. It does nothing until it is entered.
    pub fn new(sink: impl Sink) -> Self {
        Self::with(Some(Arc::new(Dispatch::new(sink, false))))
    }

    /// Creates a scope without a sink: its objects are tracked, and their events go where they would go without it.
    /// No filter, and no sink that is switched off, takes an object out of it.
    ///
    /// # Examples
    ///
    /// ```
    /// use refscope::{Rc, Scope};
    ///
    /// let scope = Scope::tracking();
    /// let kept = scope.run(|| Rc::new(1));
    /// # if refscope::ENABLED {
    /// assert_eq!(scope.alive().len(), 1);
    /// # }
    /// ```
    pub fn tracking() -> Self {
        Self::with(None)
    }

    fn with(dispatch: Option<Arc<Dispatch>>) -> Self {
        let inner = Inner {
            dispatch,
            members: Arc::new(Members {
                nodes: Mutex::new(BTreeSet::new()),
                used: AtomicBool::new(false),
            }),
            nodes: Mutex::new(Vec::new()),
        };
        Self { inner: Arc::new(inner) }
    }

    fn node(&self, around: Option<Arc<ScopeNode>>) -> Arc<ScopeNode> {
        let outer = around.as_ref().map_or(0, |around| around.id);
        let mut nodes = self.inner.nodes.lock();
        if let Some((_, node)) = nodes.iter().find(|(known, _)| *known == outer) {
            return Arc::clone(node);
        }
        let mut over = Vec::new();
        if nodes.len() >= 8 {
            // Those that were entered in a scope that is over, and have no object left.
            let is_over = |entered: &mut (u32, Arc<ScopeNode>)| Arc::strong_count(&entered.1) == 1;
            over.extend(nodes.extract_if(.., is_over));
        }
        let node = ScopeNode::new(&self.inner, around);
        nodes.push((outer, Arc::clone(&node)));
        drop(nodes);
        // Outside of the lock: one may have the last share of a sink, whose drop is not our code.
        drop(over);
        node
    }

    /// Enters the scope on this thread until the guard is dropped.
    ///
    /// The guard's drop restores the scope before. Guards have to be dropped in the
    /// reverse order of their making, as locals are. Objects that outlive the guard still belong to the scope.
    pub fn enter(&self) -> ScopeGuard {
        let node = Arc::into_raw(self.node(current()));
        let before = with_scope(|current| current.replace(node));
        ACTIVE.fetch_add(1, Ordering::Relaxed);
        match before {
            Some(before) => ScopeGuard { before, not_send: PhantomData },
            // The thread has no scope any more: a model's, at its end.
            None => {
                // SAFETY: SCOPES: nobody else got the share.
                drop(unsafe { ScopeNode::from_raw(node) });
                ScopeGuard { before: ptr::null(), not_send: PhantomData }
            }
        }
    }

    /// Runs `f` in the scope.
    pub fn run<R>(&self, f: impl FnOnce() -> R) -> R {
        let _guard = self.enter();
        f()
    }

    /// Returns a future that is polled, and dropped, in the scope.
    ///
    /// A guard must not be held across an `.await`: the executor may poll another task meanwhile. This
    /// is what to do instead, as with tracing's spans.
    ///
    /// Costs an allocation, in which the future is pinned.
    pub fn instrument<F: Future>(&self, future: F) -> Instrumented<F> {
        Instrumented { future: Some(Box::pin(future)), scope: self.clone() }
    }

    /// Silences the scope's sink for good. A scope without one has none to silence.
    pub fn switch_off(&self) {
        if let Some(dispatch) = &self.inner.dispatch {
            dispatch.switch_off();
        }
    }

    /// The numbers by which entries say that they belong to this scope.
    pub(crate) fn members(&self) -> BTreeSet<u32> {
        self.inner.members.nodes.lock().clone()
    }

    /// Whether an object was ever made in the scope, and traced.
    pub(crate) fn is_used(&self) -> bool {
        self.inner.members.used.load(Ordering::Relaxed)
    }
}

impl fmt::Debug for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sink = self.inner.dispatch.as_ref().map(|dispatch| dispatch.name());
        f.debug_struct("Scope").field("sink", &sink).finish_non_exhaustive()
    }
}

/// Keeps a [`Scope`] entered. It stays on its thread.
#[must_use = "the scope is left when the guard is dropped"]
pub struct ScopeGuard {
    before: *const ScopeNode,
    not_send: PhantomData<*mut ()>,
}

impl Drop for ScopeGuard {
    fn drop(&mut self) {
        // Relaxed: see `idle`.
        ACTIVE.fetch_sub(1, Ordering::Relaxed);
        let mine = with_scope(|current| current.replace(self.before)).unwrap_or(self.before);
        // Dropped when the thread's pointer is another already: it may be the last share of a sink, whose drop may
        // make traced objects.
        //
        // SAFETY: SCOPES: the share that the guard's making put there is given up.
        drop(unsafe { ScopeNode::from_raw(mine) });
    }
}

impl fmt::Debug for ScopeGuard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ScopeGuard").finish_non_exhaustive()
    }
}

/// A future in a [`Scope`]. Returned by [`Scope::instrument`].
#[must_use = "a future does nothing unless it is polled"]
pub struct Instrumented<F> {
    // In an allocation of its own, so that it can be polled where it is without unsafe code or a crate for that.
    future: Option<Pin<Box<F>>>,
    scope: Scope,
}

impl<F: Future> Future for Instrumented<F> {
    type Output = F::Output;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<F::Output> {
        let _guard = self.scope.enter();
        let future = self.future.as_mut().expect("the future is there until the drop");
        future.as_mut().poll(context)
    }
}

impl<F> Drop for Instrumented<F> {
    fn drop(&mut self) {
        let _guard = self.scope.enter();
        self.future = None;
    }
}

impl<F> fmt::Debug for Instrumented<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Instrumented").field("scope", &self.scope).finish_non_exhaustive()
    }
}
