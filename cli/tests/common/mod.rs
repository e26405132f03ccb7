//! What several tests of the command use.
#![allow(dead_code)] // each by some test

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

/// A file of this test's run.
pub(crate) fn path(name: &str) -> PathBuf {
    let folder = format!("{}-{}", env!("CARGO_CRATE_NAME"), std::process::id());
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(folder);
    std::fs::create_dir_all(&folder).unwrap();
    folder.join(name)
}

/// Runs the command.
pub(crate) fn refscope(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_refscope")).args(arguments).output().unwrap()
}

/// What it printed, on its output and as errors.
pub(crate) fn texts(output: &Output) -> (String, String) {
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
    (text(&output.stdout), text(&output.stderr))
}
