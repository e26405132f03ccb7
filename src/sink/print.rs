use super::Sink;
use crate::event::{Event, eprint};
use crate::lock::Mutex;
use std::io::Write;

/// Prints each event as a line.
///
/// # Examples
///
/// ```no_run
/// refscope::install(refscope::sink::Print::stderr()).expect("no other sink is installed");
/// ```
pub struct Print {
    /// `None`: stderr's descriptor itself.
    to: Option<Mutex<Box<dyn Write + Send>>>,
}

impl Print {
    /// Prints to stderr: to the descriptor itself, so that it waits for nobody who holds std's lock of stderr.
    pub fn stderr() -> Self {
        Self { to: None }
    }

    /// Prints to `writer`. Lines that it does not take are lost.
    pub fn to(writer: impl Write + Send + 'static) -> Self {
        Self { to: Some(Mutex::new(Box::new(writer))) }
    }
}

impl Sink for Print {
    fn event(&self, event: &Event) {
        // Formatted before the lock is taken, and written whole, so that lines do not mix.
        let line = format!("{event}\n");
        match &self.to {
            Some(to) => {
                let _ = to.lock().write_all(line.as_bytes());
            }
            None => eprint(&line),
        }
    }

    fn flush(&self) {
        if let Some(to) = &self.to {
            let _ = to.lock().flush();
        }
    }
}

impl std::fmt::Debug for Print {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Print").finish_non_exhaustive()
    }
}
