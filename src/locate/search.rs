//! The question, and how the process is asked.

use super::ownership::Ownership;
use std::error::Error;
use std::fmt;
use std::io;
use std::sync::Arc;
use std::time::Duration;

/// A search of the process's memory for its living handles.
///
/// See the [module](super). The search allocates, reads all writable memory that was ever touched (about a gigabyte a second), and holds the
/// program up while it is forked: 3 ms at 50 MB, 50 ms at 2 GB. Other threads are stopped for as long by a real-time signal
/// that nobody uses, so that a system call that waits may end with `EINTR`, as for any signal with a handler.
///
/// # Examples
///
/// ```
/// use refscope::locate::Search;
/// use std::time::Duration;
///
/// let search = Search::new().budget(Duration::from_millis(500));
/// if let Ok(ownership) = search.run() {
///     for cycle in &ownership.cycles {
///         println!("{}", ownership.cycle_text(cycle));
///     }
/// }
/// ```
#[must_use = "nothing is searched until `run`"]
#[derive(Clone, Debug)]
pub struct Search {
    pub(super) budget: Duration,
    pub(super) fork: bool,
    pub(super) stop_threads: bool,
    pub(super) walk: bool,
    pub(super) alloc: bool,
    pub(super) at_exit: bool,
}

impl Default for Search {
    fn default() -> Self {
        Self::new()
    }
}

/// Why there was no search. Returned by [`Search::run`]. What the system says, where that is the reason, is the error's
/// [source](Error::source).
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Unavailable {
    /// Tracing is off: without the feature `trace` the pointers are std's.
    TracingOff,
    /// The memory of this system's processes cannot be read: it is not Linux, or neither x86-64 nor AArch64.
    Unsupported,
    /// Another search had not ended after twice the budget.
    Busy,
    /// The process may not read its own memory.
    MemoryForbidden {
        /// The system's error. Shared, since it cannot be cloned.
        error: Arc<io::Error>,
    },
    /// The process may not read the copy that was made of it.
    CopyForbidden {
        /// The system's error.
        error: Arc<io::Error>,
    },
    /// Nothing says where memory is mapped.
    NoMappings {
        /// The system's error.
        error: Arc<io::Error>,
    },
}

impl Unavailable {
    #[cfg(refscope_search)]
    pub(super) fn last_error() -> Arc<io::Error> {
        Arc::new(io::Error::last_os_error())
    }
}

impl fmt::Display for Unavailable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("not searched where handles are stored: ")?;
        f.write_str(match self {
            Self::TracingOff => "tracing is off",
            Self::Unsupported => "this system's memory cannot be read",
            Self::Busy => "another search has not ended",
            Self::MemoryForbidden { .. } => "this process may not read its own memory",
            Self::CopyForbidden { .. } => "this process may not read its copy",
            Self::NoMappings { .. } => "the mappings cannot be read",
        })
    }
}

impl Error for Unavailable {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            Self::MemoryForbidden { error }
            | Self::CopyForbidden { error }
            | Self::NoMappings { error } => Some(&**error),
            Self::TracingOff | Self::Unsupported | Self::Busy => None,
        }
    }
}

impl Search {
    /// Creates a search of a frozen copy, with all that is known of the heap, for at most two seconds.
    pub fn new() -> Self {
        let budget = Duration::from_secs(2);
        Self { budget, fork: true, stop_threads: true, walk: true, alloc: true, at_exit: false }
    }

    /// Sets how long the search may read. When the time is up, what was found so far is the result, with a doubt that
    /// says so.
    ///
    /// More than a day is a day.
    pub fn budget(mut self, budget: Duration) -> Self {
        self.budget = budget.min(Duration::from_secs(24 * 60 * 60));
        self
    }

    /// Sets whether a frozen copy is read, or the memory itself. Where other threads run, nothing is proven without one;
    /// and a signal's handler that moves handles while the memory is read is not noticed.
    pub fn fork(mut self, fork: bool) -> Self {
        self.fork = fork;
        self
    }

    /// Sets whether other threads are stopped by a signal while the process is copied or, without a copy, while their registers
    /// are read. Without it these are not known, and nothing is proven where there are other threads.
    pub fn stop_threads(mut self, stop: bool) -> Self {
        self.stop_threads = stop;
        self
    }

    /// Sets whether glibc's heap is walked, where that is the program's C library.
    pub fn walk(mut self, walk: bool) -> Self {
        self.walk = walk;
        self
    }

    /// Sets whether the map of an [`Alloc`](crate::Alloc) is read.
    pub fn alloc(mut self, alloc: bool) -> Self {
        self.alloc = alloc;
        self
    }

    /// For a search while the process ends.
    #[cfg(feature = "trace")]
    pub(crate) fn at_exit(mut self) -> Self {
        self.at_exit = true;
        self
    }

    /// Searches the memory of this process, and returns who holds what.
    ///
    /// # Errors
    ///
    /// On a system other than Linux on x86-64 or AArch64; where the process may not read its own memory; and where another
    /// search has not ended after twice the budget.
    pub fn run(&self) -> Result<Ownership, Unavailable> {
        #[cfg(refscope_search)]
        {
            crate::stack::clear_dead_frames();
            super::process::run(self)
        }
        #[cfg(not(refscope_search))]
        Err(if crate::ENABLED { Unavailable::Unsupported } else { Unavailable::TracingOff })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[cfg(refscope_search)]
    #[test]
    fn an_error_of_the_system_is_the_source() {
        let denied = io::Error::from(io::ErrorKind::PermissionDenied);
        let error = Unavailable::MemoryForbidden { error: Arc::new(denied) }.clone();
        let source = error.source().and_then(|source| source.downcast_ref::<io::Error>());
        assert_eq!(source.map(io::Error::kind), Some(io::ErrorKind::PermissionDenied));
        let text = error.to_string();
        assert!(text.ends_with("this process may not read its own memory"), "{text}");
        assert!(Unavailable::Busy.source().is_none());
    }
}
