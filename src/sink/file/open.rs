//! Opening a recording's file: not somebody else's, not one in use, and for nobody else to read.

use crate::event::warn;
use std::fs::{File, OpenOptions, TryLockError};
use std::io;
use std::path::{Path, PathBuf};

/// Opens a file to record to, empties it, and returns it with its absolute path.
///
/// A regular file is locked while it is written. If another recording has it, this one is written beside it, to a
/// file with the process id in its name.
pub(in crate::sink) fn open(path: &Path, access: Access) -> io::Result<(File, PathBuf)> {
    // Absolute at once: the program may change its directory.
    let path = std::path::absolute(path)?;
    if let Some(file) = try_open(&path, access)? {
        return Ok((file, path));
    }
    let beside = beside(&path);
    let file = try_open(&beside, access)?.ok_or_else(in_use)?;
    warn(format_args!(
        "{}: another recording writes to it; this one is written to {}",
        path.display(),
        beside.display()
    ));
    Ok((file, beside))
}

/// How a file is opened.
#[derive(Clone, Copy, PartialEq)]
pub(in crate::sink) enum Access {
    Write,
    /// As a file has to be that is mapped.
    #[cfg_attr(not(unix), allow(dead_code))]
    ReadAndWrite,
}

/// Opens the next part of a recording.
pub(super) fn part(path: &Path) -> io::Result<File> {
    try_open(path, Access::Write)?.ok_or_else(in_use)
}

fn in_use() -> io::Error {
    io::Error::new(io::ErrorKind::ResourceBusy, "another recording writes to it")
}

/// `run.jsonl` as `run-4711.jsonl`.
fn beside(path: &Path) -> PathBuf {
    let mut name = path.file_stem().unwrap_or_default().to_owned();
    name.push(format!("-{}", std::process::id()));
    if let Some(extension) = path.extension() {
        name.push(".");
        name.push(extension);
    }
    path.with_file_name(name)
}

/// None: another recording has the file.
fn try_open(path: &Path, access: Access) -> io::Result<Option<File>> {
    let file = create(path, access)?;
    // Pipes and devices are nobody's alone, and have no length.
    if !file.metadata()?.is_file() {
        return Ok(Some(file));
    }
    match file.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => return Ok(None),
        // A file system without locks.
        Err(TryLockError::Error(_)) => {}
    }
    // Only now: what another process writes is not to be lost.
    file.set_len(0)?;
    Ok(Some(file))
}

#[cfg(not(unix))]
fn create(path: &Path, access: Access) -> io::Result<File> {
    let read = access == Access::ReadAndWrite;
    OpenOptions::new().read(read).write(true).create(true).truncate(false).open(path)
}

/// Opens or creates a file, readable by its owner alone: type names and labels may be confidential.
///
/// In a folder where others may write, somebody can have put a link or a file of his own in the way, so that
/// the recording overwrites something else or ends up with him; neither is accepted there.
#[cfg(unix)]
fn create(path: &Path, access: Access) -> io::Result<File> {
    use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};

    let mut options = OpenOptions::new();
    options
        .read(access == Access::ReadAndWrite)
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600);
    let folder = path.parent().unwrap_or(Path::new("/")).metadata()?;
    if folder.mode() & 0o022 == 0 {
        return options.open(path);
    }
    let refused = |what| {
        let text = format!("{what} in a folder that others can write to is not recorded to");
        Err(io::Error::new(io::ErrorKind::PermissionDenied, text))
    };
    let file = match options.custom_flags(libc::O_NOFOLLOW).open(path) {
        Err(error) if error.raw_os_error() == Some(libc::ELOOP) => return refused("a link"),
        other => other?,
    };
    let metadata = file.metadata()?;
    // SAFETY: IDS: the call takes nothing and cannot fail.
    let me = unsafe { libc::geteuid() };
    if metadata.is_file() && metadata.uid() != me {
        return refused("a file of somebody else's");
    }
    Ok(file)
}

/// Whether the file was removed: on unix it can be written to all the same, and what is written is gone.
pub(in crate::sink) fn is_removed(file: &File, path: &Path) -> io::Result<bool> {
    #[cfg(unix)]
    {
        use std::os::unix::fs::MetadataExt as _;

        let _ = path;
        let metadata = file.metadata()?;
        Ok(metadata.is_file() && metadata.nlink() == 0)
    }
    #[cfg(not(unix))]
    {
        let _ = file;
        Ok(!path.exists())
    }
}
