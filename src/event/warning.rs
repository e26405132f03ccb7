//! Text on stderr, from wherever refscope has something to say.

use std::fmt;

/// Writes a text to stderr, if there is one that takes it.
///
/// To the descriptor itself: the program may hold std's lock of stderr, and wait for this thread.
pub(crate) fn eprint(text: &str) {
    #[cfg(unix)]
    {
        use std::io::Write as _;
        use std::mem::ManuallyDrop;
        use std::os::fd::{FromRawFd, RawFd};

        const STDERR: RawFd = 2;
        // SAFETY: STDERR: the file is not dropped, so the descriptor stays open; where it is closed, writing fails.
        let mut stderr = ManuallyDrop::new(unsafe { std::fs::File::from_raw_fd(STDERR) });
        let _ = stderr.write_all(text.as_bytes());
    }
    #[cfg(not(unix))]
    {
        use std::io::Write as _;
        let _ = std::io::stderr().write_all(text.as_bytes());
    }
}

/// Writes a line to stderr: what refscope could not do.
pub(crate) fn warn(what: fmt::Arguments<'_>) {
    // Written whole, so that other threads' lines do not mix with it.
    eprint(&format!("refscope: {what}\n"));
}
