//! Wakers: [`Wake`] for the traced [`Arc`], and the rest of [`std::task`].

use crate::sync::Arc;

// The rest of `std::task`; items defined here shadow the glob's.
pub use std::task::*;

/// Wakes a task through a traced `Arc` to it, as [`std::task::Wake`] does through std's.
///
/// The methods take `self: Arc<Self>`, as std's do. On plain stable, where no other crate's pointer
/// can be `self`, the first parameter is named `this`.
#[cfg(refscope_coerce)]
pub trait Wake {
    /// Wakes the task.
    fn wake(self: Arc<Self>);

    /// Wakes the task and keeps the handle.
    #[track_caller]
    fn wake_by_ref(self: &Arc<Self>) {
        self.clone().wake();
    }
}

/// Wakes a task through a traced `Arc` to it, as [`std::task::Wake`] does through std's.
///
/// On plain stable no other crate's pointer can be `self`, so the first parameter is named `this`.
/// In the [fully drop-in build](crate#fully-drop-in) the methods take `self: Arc<Self>`, as std's
/// do.
#[cfg(not(refscope_coerce))]
pub trait Wake {
    /// Wakes the task.
    fn wake(this: Arc<Self>);

    /// Wakes the task and keeps the handle.
    #[track_caller]
    fn wake_by_ref(this: &Arc<Self>) {
        Self::wake(this.clone());
    }
}

/// Returns a waker that owns the task. Each clone of it is a traced handle.
impl<W: Wake + Send + Sync + 'static> From<Arc<W>> for Waker {
    #[track_caller]
    fn from(task: Arc<W>) -> Self {
        // SAFETY: WAKER: `raw` keeps `RawWaker`'s contract: its data is an `Arc` that the waker
        // owns, and each function of its table does to that one handle what its name says. `W` may
        // be shared.
        unsafe { Self::from_raw(raw(task)) }
    }
}

/// Returns a raw waker that owns the task.
impl<W: Wake + Send + Sync + 'static> From<Arc<W>> for RawWaker {
    #[track_caller]
    fn from(task: Arc<W>) -> Self {
        raw(task)
    }
}

/// A waker's handle, which is a raw pointer again when this ends, by a panic too.
struct Lent<W>(Option<Arc<W>>);

impl<W> Drop for Lent<W> {
    fn drop(&mut self) {
        if let Some(task) = self.0.take() {
            task.give_back();
        }
    }
}

#[track_caller]
fn raw<W: Wake + Send + Sync + 'static>(task: Arc<W>) -> RawWaker {
    fn table<W: Wake + Send + Sync + 'static>() -> &'static RawWakerVTable {
        &RawWakerVTable::new(clone::<W>, wake::<W>, wake_by_ref::<W>, forget::<W>)
    }

    unsafe fn clone<W: Wake + Send + Sync + 'static>(task: *const ()) -> RawWaker {
        // SAFETY: WAKER: the waker that is cloned owns a handle.
        unsafe { Arc::increment_strong_count(task.cast::<W>()) };
        RawWaker::new(task, table::<W>())
    }

    unsafe fn wake<W: Wake + Send + Sync + 'static>(task: *const ()) {
        // SAFETY: WAKER: the waker gives its handle up.
        W::wake(unsafe { Arc::from_raw(task.cast::<W>()) });
    }

    unsafe fn wake_by_ref<W: Wake + Send + Sync + 'static>(task: *const ()) {
        // SAFETY: WAKER: the waker keeps its handle: this view of it is a raw pointer again at the end.
        let task = Lent(Some(unsafe { Arc::lent(task.cast::<W>()) }));
        if let Lent(Some(task)) = &task {
            W::wake_by_ref(task);
        }
    }

    unsafe fn forget<W: Wake + Send + Sync + 'static>(task: *const ()) {
        // SAFETY: WAKER: the waker gives its handle up.
        unsafe { Arc::decrement_strong_count(task.cast::<W>()) };
    }

    RawWaker::new(Arc::into_raw(task).cast(), table::<W>())
}
