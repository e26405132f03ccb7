use super::Sink;
use crate::event::Event;
use parking_lot::Mutex;
use std::io::{self, Write};

/// Prints each event as a line.
///
/// # Examples
///
/// ```no_run
/// refscope::install(refscope::sink::Print::stderr()).expect("no other sink is installed");
/// ```
pub struct Print {
    to: Mutex<Box<dyn Write + Send>>,
}

impl Print {
    /// Prints to stderr.
    pub fn stderr() -> Self {
        Self::to(io::stderr())
    }

    /// Prints to `writer`. Lines that it does not take are lost.
    pub fn to(writer: impl Write + Send + 'static) -> Self {
        Self { to: Mutex::new(Box::new(writer)) }
    }
}

impl Sink for Print {
    fn event(&self, event: &Event) {
        // Formatted before the lock is taken, and written whole, so that lines do not mix.
        let line = format!("{event}\n");
        let _ = self.to.lock().write_all(line.as_bytes());
    }

    fn flush(&self) {
        let _ = self.to.lock().flush();
    }
}

impl std::fmt::Debug for Print {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Print").finish_non_exhaustive()
    }
}
