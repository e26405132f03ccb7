//! [`Wake`] for the traced [`Arc`], beside the rest of `std::task`.

pub use std::task::{Context, Poll, RawWaker, RawWakerVTable, Waker, ready};

use crate::sync::Arc;
use std::mem::ManuallyDrop;

/// Waking a task by a traced `Arc` to it: [`std::task::Wake`], whose receiver is std's.
///
/// In the fully drop-in build its methods are called as std's are, on `self: Arc<Self>`. Stable Rust does not
/// accept another crate's pointer there: in the plain build the first parameter has the name `this`.
#[cfg(refscope_coerce)]
pub trait Wake {
    /// Wakes the task.
    fn wake(self: Arc<Self>);

    /// Wakes the task without giving the handle up.
    #[track_caller]
    fn wake_by_ref(self: &Arc<Self>) {
        self.clone().wake();
    }
}

/// Waking a task by a traced `Arc` to it: [`std::task::Wake`], whose receiver is std's.
///
/// Stable Rust does not accept another crate's pointer as `self`, so the first parameter has the name `this`
/// here. In the fully drop-in build the methods are as std's are, on `self: Arc<Self>`.
#[cfg(not(refscope_coerce))]
pub trait Wake {
    /// Wakes the task.
    fn wake(this: Arc<Self>);

    /// Wakes the task without giving the handle up.
    #[track_caller]
    fn wake_by_ref(this: &Arc<Self>) {
        Self::wake(this.clone());
    }
}

/// A waker around the task. Each of its clones is a handle that refscope sees.
impl<W: Wake + Send + Sync + 'static> From<Arc<W>> for Waker {
    #[track_caller]
    fn from(task: Arc<W>) -> Self {
        // SAFETY: WAKER: `raw` keeps `RawWaker`'s contract: its data is an `Arc` that the waker owns, and
        // each function of its table does to that one handle what its name says. `W` may be shared.
        unsafe { Self::from_raw(raw(task)) }
    }
}

/// The raw waker around the task.
impl<W: Wake + Send + Sync + 'static> From<Arc<W>> for RawWaker {
    #[track_caller]
    fn from(task: Arc<W>) -> Self {
        raw(task)
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
        // SAFETY: WAKER: the waker keeps its handle, and this view of it is not dropped.
        let task = ManuallyDrop::new(unsafe { Arc::from_raw(task.cast::<W>()) });
        W::wake_by_ref(&task);
    }

    unsafe fn forget<W: Wake + Send + Sync + 'static>(task: *const ()) {
        // SAFETY: WAKER: the waker gives its handle up.
        unsafe { Arc::decrement_strong_count(task.cast::<W>()) };
    }

    RawWaker::new(Arc::into_raw(task).cast(), table::<W>())
}
