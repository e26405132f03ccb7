//! The question, and how the process is asked.

use super::ownership::Ownership;
use std::error::Error;
use std::fmt;
use std::io;
use std::sync::Arc;
use std::time::Duration;

/// A search of the process's memory for its living handles.
///
/// See the [module](super). The search allocates, reads all writable memory (about a gigabyte a second), and holds the
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

/// Why there was no search. Its [source](Error::source) is what the system says, where that is the reason.
#[derive(Clone, Debug)]
pub struct Unavailable {
    what: &'static str,
    // Shared, since an error of the system cannot be cloned.
    source: Option<Arc<io::Error>>,
}

impl Unavailable {
    pub(crate) fn new(what: &'static str) -> Self {
        Self { what, source: None }
    }

    #[cfg(refscope_search)]
    pub(super) fn with(what: &'static str, source: io::Error) -> Self {
        Self { what, source: Some(Arc::new(source)) }
    }
}

impl fmt::Display for Unavailable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "not searched where handles are stored: {}", self.what)
    }
}

impl Error for Unavailable {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.source.as_deref().map(|source| source as _)
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
    pub fn budget(mut self, budget: Duration) -> Self {
        self.budget = budget;
        self
    }

    /// Sets whether a frozen copy is read, or the memory itself. Where other threads run, nothing is proven without one.
    pub fn fork(mut self, fork: bool) -> Self {
        self.fork = fork;
        self
    }

    /// Sets whether other threads are stopped by a signal while the process is copied. Without it their registers are not
    /// known, and nothing is proven where there are any.
    pub fn stop_threads(mut self, stop: bool) -> Self {
        self.stop_threads = stop;
        self
    }

    /// Sets whether glibc's heap is walked.
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
            super::process::clear_dead_stack();
            super::process::run(self)
        }
        #[cfg(not(refscope_search))]
        Err(Unavailable::new(if crate::ENABLED {
            "this system's memory cannot be read by it"
        } else {
            "tracing is off"
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[cfg(refscope_search)]
    #[test]
    fn an_error_of_the_system_is_the_source() {
        let denied = io::Error::from(io::ErrorKind::PermissionDenied);
        let error = Unavailable::with("this process may not read its own memory", denied).clone();
        let source = error.source().and_then(|source| source.downcast_ref::<io::Error>());
        assert_eq!(source.map(io::Error::kind), Some(io::ErrorKind::PermissionDenied));
        let text = error.to_string();
        assert!(text.ends_with("this process may not read its own memory"), "{text}");
        assert!(Unavailable::new("another search has not ended").source().is_none());
    }
}
