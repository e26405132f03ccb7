//! Where results go: the standard output, or a file that is there when it is whole.

use refscope::__private::escape;
use std::fmt;
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

/// Why a file could not be written, and which one.
#[derive(Debug)]
pub(crate) struct WriteFailed {
    path: PathBuf,
    error: io::Error,
}

impl WriteFailed {
    pub(crate) fn at(path: &Path, error: io::Error) -> io::Error {
        io::Error::new(error.kind(), Self { path: path.to_owned(), error })
    }
}

impl fmt::Display for WriteFailed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.path.display(), self.error)?;
        match self.error.kind() {
            io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => {
                f.write_str("; -o has it written elsewhere")
            }
            io::ErrorKind::StorageFull => f.write_str("; what was there before is there yet"),
            _ => Ok(()),
        }
    }
}

impl std::error::Error for WriteFailed {}

/// A file that is written beside its place, and put there when it is whole.
pub(crate) struct WholeFile {
    to: BufWriter<File>,
    path: PathBuf,
    /// Where it is until then. `None` for what is no file, as `/dev/stdout`.
    part: Option<PathBuf>,
}

/// The parts of files that are being written.
static PARTS: Mutex<Vec<PathBuf>> = Mutex::new(Vec::new());

impl WholeFile {
    pub(crate) fn create(path: &Path) -> io::Result<Self> {
        // Through links: what they lead to is replaced, and not they.
        let real = path.canonicalize().unwrap_or_else(|_| path.to_owned());
        let is_other = std::fs::metadata(&real).is_ok_and(|metadata| !metadata.is_file());
        let name = real.file_name().filter(|_| !is_other);
        let part = name.map(|name| {
            let mut part = std::ffi::OsString::from(".");
            part.push(name);
            part.push(format!(".{}.part", std::process::id()));
            real.with_file_name(part)
        });
        if let Some(part) = part
            && let Ok(file) = File::create(&part)
        {
            if let Ok(mut parts) = PARTS.lock() {
                parts.push(part.clone());
            }
            let to = BufWriter::with_capacity(1 << 18, file);
            return Ok(Self { to, path: real, part: Some(part) });
        }
        // A folder that nothing can be added to may have the file all the same.
        let file = File::create(&real).map_err(|error| WriteFailed::at(path, error))?;
        Ok(Self { to: BufWriter::with_capacity(1 << 18, file), path: real, part: None })
    }

    /// Puts the file in its place.
    pub(crate) fn finish(mut self) -> io::Result<()> {
        self.flush()?;
        if let Some(part) = &self.part {
            if let Ok(metadata) = std::fs::metadata(&self.path) {
                let _ = std::fs::set_permissions(part, metadata.permissions());
            }
            let renamed = std::fs::rename(part, &self.path);
            renamed.map_err(|error| WriteFailed::at(&self.path, error))?;
            forget_part(part);
            self.part = None;
        }
        Ok(())
    }
}

impl Write for WholeFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.to.write(bytes).map_err(|error| with_path(&self.path, error))
    }

    fn flush(&mut self) -> io::Result<()> {
        self.to.flush().map_err(|error| with_path(&self.path, error))
    }
}

/// Whoever writes goes on after an interruption, and a pipe without a reader is none of the errors that are reported.
fn with_path(path: &Path, error: io::Error) -> io::Error {
    match error.kind() {
        io::ErrorKind::Interrupted | io::ErrorKind::BrokenPipe => error,
        _ => WriteFailed::at(path, error),
    }
}

impl Drop for WholeFile {
    fn drop(&mut self) {
        if let Some(part) = self.part.take() {
            forget_part(&part);
            let _ = std::fs::remove_file(part);
        }
    }
}

fn forget_part(part: &Path) {
    if let Ok(mut parts) = PARTS.lock() {
        parts.retain(|one| one != part);
    }
}

/// Removes what is not whole.
pub(crate) fn remove_parts() {
    if let Ok(mut parts) = PARTS.lock() {
        for part in parts.drain(..) {
            let _ = std::fs::remove_file(part);
        }
    }
}

/// Has the command end by Ctrl-C, or `kill`, with what it was writing taken away. A signal that was ignored when the command
/// began, as by `nohup` or in a shell's background, stays so.
#[cfg(unix)]
pub(crate) fn end_on_signals() {
    use signal_hook::consts::{SIGINT, SIGTERM};

    let taken: Vec<_> =
        [SIGINT, SIGTERM].into_iter().filter(|signal| !is_ignored(*signal)).collect();
    let Ok(mut signals) = signal_hook::iterator::Signals::new(taken) else { return };
    // Where no thread can be started, a file may be left half-written.
    let _ = std::thread::Builder::new().name("signals".to_owned()).spawn(move || {
        if let Some(signal) = signals.forever().next() {
            remove_parts();
            crate::input::clear();
            // As a shell says of a command that a signal ended.
            std::process::exit(128 + signal);
        }
    });
}

/// Whether whoever started the command has it ignore a signal.
#[cfg(unix)]
fn is_ignored(signal: i32) -> bool {
    // SAFETY: SIGNAL: all zeros is a `sigaction`; the call changes nothing where no new one is given.
    let mut action: libc::sigaction = unsafe { std::mem::zeroed() };
    // SAFETY: SIGNAL: as above.
    let asked = unsafe { libc::sigaction(signal, std::ptr::null(), &raw mut action) };
    asked == 0 && action.sa_sigaction == libc::SIG_IGN
}

#[cfg(not(unix))]
pub(crate) fn end_on_signals() {}
