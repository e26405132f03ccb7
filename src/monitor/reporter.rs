use crate::fork::Process;
use std::fmt;
use std::thread::{self, JoinHandle};

/// A thread of refscope's that reports, at intervals or on signals.
///
/// Dropping this lets it go on, to the end of the process, as a [`JoinHandle`](std::thread::JoinHandle) does.
pub struct Reporter {
    /// `None` where tracing is off: there is no thread.
    #[cfg_attr(not(feature = "trace"), allow(dead_code))]
    running: Option<Running>,
}

struct Running {
    thread: JoinHandle<()>,
    stop: Box<dyn FnOnce() + Send>,
    /// The process whose thread it is: a forked child has none.
    process: Process,
}

impl Reporter {
    #[cfg(feature = "trace")]
    pub(crate) fn new(thread: JoinHandle<()>, stop: impl FnOnce() + Send + 'static) -> Self {
        let running = Running { thread, stop: Box::new(stop), process: Process::current() };
        Self { running: Some(running) }
    }

    #[cfg(not(feature = "trace"))]
    pub(crate) fn none() -> Self {
        Self { running: None }
    }

    /// Returns whether the thread has ended: it was stopped, panicked, or belongs to the process that this one was forked from.
    pub fn is_finished(&self) -> bool {
        self.running
            .as_ref()
            .is_none_or(|running| !running.process.is_current() || running.thread.is_finished())
    }

    /// Stops the thread, and waits until it has ended: a report that is being written is finished first.
    ///
    /// # Errors
    ///
    /// What the thread panicked with.
    pub fn stop(self) -> thread::Result<()> {
        match self.running {
            Some(Running { thread, stop, process }) if process.is_current() => {
                stop();
                thread.join()
            }
            _ => Ok(()),
        }
    }
}

impl fmt::Debug for Reporter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Reporter").field("is_finished", &self.is_finished()).finish()
    }
}
