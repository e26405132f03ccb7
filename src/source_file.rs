//! Reads files of source code.
//!
//! Their names come from the compiler, from debug information, or from a recording, which may be anybody's invention: a
//! device has no end, and a pipe is waited for.

use std::fs::{File, OpenOptions};
use std::io::Read as _;
use std::path::{Path, PathBuf};

/// Larger files are no source that anyone wrote.
pub(crate) const MOST_BYTES: u64 = 4 << 20;

/// Returns the text of a regular file of a size that source files have.
pub(crate) fn read(path: &Path) -> Option<String> {
    // Opening a pipe may wait, and opening a device may do anything.
    if !std::fs::metadata(path).ok()?.is_file() {
        return None;
    }
    let file = open(path)?;
    let metadata = file.metadata().ok()?;
    if !metadata.is_file() || metadata.len() > MOST_BYTES {
        return None;
    }
    let mut bytes = Vec::new();
    file.take(MOST_BYTES).read_to_end(&mut bytes).ok()?;
    String::from_utf8(bytes).ok()
}

/// Returns whether a name is one of a file of Rust.
pub(crate) fn is_rust(path: &Path) -> bool {
    path.extension().is_some_and(|extension| extension == "rs")
}

/// Returns the workspace that a program was built in: the folder above it with a `Cargo.toml`. The compiler was given paths that
/// begin there.
pub(crate) fn workspace_of(program: &Path) -> Option<PathBuf> {
    let above = program.ancestors().skip(1).find(|folder| folder.join("Cargo.toml").is_file())?;
    above.canonicalize().ok()
}

fn open(path: &Path) -> Option<File> {
    let mut options = OpenOptions::new();
    options.read(true);
    #[cfg(all(unix, any(feature = "trace", feature = "json")))]
    {
        use std::os::unix::fs::OpenOptionsExt as _;

        // In case it became a pipe since it was looked at.
        options.custom_flags(libc::O_NONBLOCK);
    }
    options.open(path).ok()
}
