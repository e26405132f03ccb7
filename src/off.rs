//! The same public face when tracing is off: std's pointers, by re-export.

/// [`std::boxed`].
pub mod boxed {
    pub use std::boxed::Box;
}

/// [`std::rc`].
pub mod rc {
    pub use std::rc::{Rc, Weak};
}

/// [`std::sync`].
pub mod sync {
    pub use std::sync::{
        Arc, Barrier, BarrierWaitResult, Condvar, LazyLock, LockResult, Mutex, MutexGuard, Once,
        OnceLock, OnceState, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard, TryLockError,
        TryLockResult, WaitTimeoutResult, Weak, atomic, mpsc,
    };
}

/// [`std::task`].
pub mod task {
    pub use std::task::{Context, Poll, RawWaker, RawWakerVTable, Wake, Waker, ready};
}
