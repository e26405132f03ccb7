//! One at a time: checks of the whole process.

use std::sync::{Condvar, Mutex, PoisonError};
use std::thread::ThreadId;

/// The thread whose turn it is.
static TURN: Mutex<Option<ThreadId>> = Mutex::new(None);
static OVER: Condvar = Condvar::new();

/// A turn, until it is dropped.
pub(super) struct Serial(());

impl Serial {
    /// Waits for a turn.
    #[track_caller]
    pub(super) fn wait() -> Self {
        let here = std::thread::current().id();
        let turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
        if *turn == Some(here) {
            drop(turn);
            panic!("this thread has a check of the whole process already");
        }
        let mut turn =
            OVER.wait_while(turn, |turn| turn.is_some()).unwrap_or_else(PoisonError::into_inner);
        *turn = Some(here);
        Self(())
    }
}

impl Drop for Serial {
    fn drop(&mut self) {
        *TURN.lock().unwrap_or_else(PoisonError::into_inner) = None;
        OVER.notify_one();
    }
}
