//! Lines of source code, for excerpts.

use crate::event::Location;
use std::io::{BufRead as _, BufReader};

/// The source line, where the file can be read: from the working directory, or from the package's that cargo names, or one
/// above it: in a workspace the compiler names files as seen from the workspace's.
pub(super) fn line(location: &Location) -> Option<String> {
    let path = std::path::Path::new(&*location.file);
    let package = std::env::var_os("CARGO_MANIFEST_DIR").map(std::path::PathBuf::from);
    let above = package.iter().flat_map(|package| package.ancestors());
    let mut above = above.filter(|folder| folder.join("Cargo.toml").is_file());
    let file = std::fs::File::open(path)
        .ok()
        .or_else(|| above.find_map(|folder| std::fs::File::open(folder.join(path)).ok()))?;
    BufReader::new(file).lines().nth((location.line as usize).checked_sub(1)?)?.ok()
}
