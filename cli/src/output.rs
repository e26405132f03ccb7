//! Where results go: the standard output, or a file that is there when it is whole.

use crate::Failed;
use refscope::__private::escape;
use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};
use std::sync::Mutex;

/// The standard output. Where nobody reads it any more, what is written goes nowhere, and the command goes on: its exit code
/// says something, too.
pub(crate) struct Output {
    pub(crate) to: io::StdoutLock<'static>,
    /// How many recordings there are, to be told apart by a heading.
    pub(crate) files: usize,
}

impl Output {
    pub(crate) fn text(&mut self, file: &Path, text: &str) -> io::Result<()> {
        if self.files > 1 {
            self.raw(&format!("== {}\n", escape(&file.display().to_string())))?;
        }
        self.raw(text)
    }

    pub(crate) fn json(&mut self, json: &impl std::fmt::Display) -> io::Result<()> {
        self.raw(&format!("{json}\n"))
    }

    pub(crate) fn raw(&mut self, text: &str) -> io::Result<()> {
        match self.to.write_all(text.as_bytes()).and_then(|()| self.to.flush()) {
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
            other => other,
        }
    }
}

/// A file that is written beside its place, and put there when it is whole.
pub(crate) struct WholeFile {
    to: BufWriter<File>,
    path: PathBuf,
    /// Where it is until then. `None` for what is no file, as `/dev/stdout`.
    part: Option<PathBuf>,
}

/// The part of a file that is being written.
static PART: Mutex<Option<PathBuf>> = Mutex::new(None);

impl WholeFile {
    pub(crate) fn create(path: &Path) -> Result<Self, Failed> {
        let failed = |error: io::Error| format!("{}: {error}", path.display());
        // Through links: what they lead to is replaced, and not they.
        let real = path.canonicalize().unwrap_or_else(|_| path.to_owned());
        let is_other = std::fs::metadata(&real).is_ok_and(|metadata| !metadata.is_file());
        let name = real.file_name().filter(|_| !is_other);
        let part = name.map(|name| {
            let name = format!(".{}.{}.part", name.to_string_lossy(), std::process::id());
            real.with_file_name(name)
        });
        if let Some(part) = part
            && let Ok(file) = File::create(&part)
        {
            set_part(Some(part.clone()));
            return Ok(Self {
                to: BufWriter::with_capacity(1 << 18, file),
                path: real,
                part: Some(part),
            });
        }
        // A folder that nothing can be added to may have the file all the same.
        let file = File::create(&real).map_err(failed)?;
        Ok(Self { to: BufWriter::with_capacity(1 << 18, file), path: real, part: None })
    }

    /// Puts the file in its place.
    pub(crate) fn finish(mut self) -> Result<(), Failed> {
        let failed = |error: io::Error| format!("{}: {error}", self.path.display());
        self.to.flush().map_err(failed)?;
        if let Some(part) = self.part.take() {
            if let Ok(metadata) = std::fs::metadata(&self.path) {
                let _ = std::fs::set_permissions(&part, metadata.permissions());
            }
            std::fs::rename(&part, &self.path).map_err(failed)?;
            set_part(None);
        }
        Ok(())
    }
}

impl Write for WholeFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.to.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.to.flush()
    }
}

impl Drop for WholeFile {
    fn drop(&mut self) {
        if self.part.take().is_some() {
            remove_part();
        }
    }
}

fn set_part(part: Option<PathBuf>) {
    if let Ok(mut place) = PART.lock() {
        *place = part;
    }
}

/// Removes what is not whole.
pub(crate) fn remove_part() {
    if let Ok(mut place) = PART.lock()
        && let Some(part) = place.take()
    {
        let _ = std::fs::remove_file(part);
    }
}

/// Has the command end by Ctrl-C, or `kill`, with what it was writing taken away.
#[cfg(unix)]
pub(crate) fn end_on_signals() {
    use signal_hook::consts::{SIGINT, SIGTERM};

    let Ok(mut signals) = signal_hook::iterator::Signals::new([SIGINT, SIGTERM]) else { return };
    // Where no thread can be started, a file may be left half-written.
    let _ = std::thread::Builder::new().name("signals".to_owned()).spawn(move || {
        if let Some(signal) = signals.forever().next() {
            remove_part();
            crate::input::clear();
            // As a shell says of a command that a signal ended.
            std::process::exit(128 + signal);
        }
    });
}

#[cfg(not(unix))]
pub(crate) fn end_on_signals() {}
