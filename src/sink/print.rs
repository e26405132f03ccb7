use super::Sink;
use crate::event::{Event, eprint};
use crate::fork;
use crate::lock::LongMutex;
use std::io::Write;

/// Prints each event as a line.
///
/// A forked child prints to stderr as its parent does; a writer is the parent's, and gets nothing from the child.
///
/// # Examples
///
/// ```no_run
/// refscope::install(refscope::sink::Print::stderr()).expect("no other sink is installed");
/// ```
pub struct Print {
    /// `None`: stderr's descriptor itself.
    to: Option<LongMutex<Box<dyn Write + Send>>>,
    process: fork::Process,
}

impl Print {
    /// Prints to stderr: to the descriptor itself, so that it waits for nobody who holds std's lock of stderr.
    pub fn stderr() -> Self {
        Self { to: None, process: fork::Process::current() }
    }

    /// Prints to `writer`. Lines that it does not take are lost.
    pub fn to(writer: impl Write + Send + 'static) -> Self {
        Self { to: Some(LongMutex::new(Box::new(writer))), process: fork::Process::current() }
    }
}

impl Sink for Print {
    fn event(&self, event: &Event) {
        // Formatted before the lock is taken, and written whole, so that lines do not mix.
        let line = format!("{event}\n");
        match &self.to {
            Some(to) if self.process.is_current() => {
                let _ = to.lock().write_all(line.as_bytes());
            }
            Some(_) => {}
            None => eprint(&line),
        }
    }

    fn flush(&self) {
        if let Some(to) = self.to.as_ref().filter(|_| self.process.is_current()) {
            let _ = to.lock().flush();
        }
    }
}

impl Drop for Print {
    fn drop(&mut self) {
        if !self.process.is_current() {
            // What the writer has buffered is the parent's to write.
            std::mem::forget(self.to.take());
        }
    }
}

impl std::fmt::Debug for Print {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Print").finish_non_exhaustive()
    }
}
