//! Lines of source code, for excerpts.

use crate::event::Location;
use std::io::{BufRead as _, BufReader};

/// The source line, where the file can be read: from the working directory, or from the package's that cargo names.
pub(super) fn line(location: &Location) -> Option<String> {
    let path = std::path::Path::new(&*location.file);
    let package = std::env::var_os("CARGO_MANIFEST_DIR").map(std::path::PathBuf::from);
    let file = std::fs::File::open(path)
        .or_else(|error| package.map_or(Err(error), |root| std::fs::File::open(root.join(path))))
        .ok()?;
    BufReader::new(file).lines().nth((location.line as usize).checked_sub(1)?)?.ok()
}
