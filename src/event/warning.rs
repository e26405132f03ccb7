//! Text on stderr, from wherever refscope has something to say.

use crate::text::{escape_lines, is_unsafe};
use std::fmt;

/// Writes a text to stderr, if there is one that takes it.
///
/// To the descriptor itself: the program may hold std's lock of stderr, and wait for this thread.
pub(crate) fn eprint(text: &str) {
    #[cfg(unix)]
    {
        use std::mem::ManuallyDrop;
        use std::os::fd::{FromRawFd, RawFd};

        const STDERR: RawFd = 2;
        // SAFETY: STDERR: the file is not dropped, so the descriptor stays open; where it is closed, writing fails.
        let mut stderr = ManuallyDrop::new(unsafe { std::fs::File::from_raw_fd(STDERR) });
        let _ = super::write::write_all(&mut stderr, text.as_bytes());
    }
    #[cfg(not(unix))]
    {
        use std::io::Write as _;
        let _ = std::io::stderr().write_all(text.as_bytes());
    }
}

/// Writes a line to stderr: what refscope could not do.
///
/// A short one allocates nothing: at the exit this may run in a signal's handler that interrupted the allocator.
pub(crate) fn warn(what: fmt::Arguments<'_>) {
    let mut line = Line { bytes: [0; 512], len: 0 };
    match fmt::write(&mut line, format_args!("refscope: {what}\n")) {
        Ok(()) => shown(std::str::from_utf8(&line.bytes[..line.len]).unwrap_or_default()),
        Err(fmt::Error) => shown(&format!("refscope: {what}\n")),
    }
}

/// Writes a text whole, so that other threads' lines do not mix with it; paths, names and panics in it do nothing to the
/// terminal.
fn shown(text: &str) {
    if text.contains(|c| c != '\n' && is_unsafe(c)) {
        eprint(&escape_lines(text));
    } else {
        eprint(text);
    }
}

/// Text of a limited length, without an allocation.
struct Line {
    bytes: [u8; 512],
    len: usize,
}

impl fmt::Write for Line {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let room = self.bytes.get_mut(self.len..self.len + text.len()).ok_or(fmt::Error)?;
        room.copy_from_slice(text.as_bytes());
        self.len += text.len();
        Ok(())
    }
}
