//! Lines of source code, for excerpts.

use crate::event::Location;
use crate::source_file::{is_rust, read};
use std::borrow::Cow;
use std::cell::RefCell;
use std::collections::HashMap;
use std::path::{Path, PathBuf};

/// Reads lines of source files, from the working directory, the package's that cargo names, or one that is given;
/// and from the folders above, where these belong to the same workspace.
///
/// A location of this process was put there by the compiler, and its file is read wherever it lies. One from a
/// recording may be anybody's invention, and a report is often sent to others: of these, only files that end in
/// `.rs` and lie below one of the roots, followed through all links, are read. Of either, only regular files of
/// a size that source files have.
#[derive(Debug)]
pub(crate) struct Sources {
    roots: Vec<PathBuf>,
    files: RefCell<HashMap<String, Option<Vec<String>>>>,
}

impl Sources {
    /// Creates sources below `root`, or below the directories named above.
    pub(crate) fn new(root: Option<&Path>) -> Self {
        let given = root.map(Path::to_path_buf);
        let own = || {
            let package = std::env::var_os("CARGO_MANIFEST_DIR").map(PathBuf::from);
            std::env::current_dir().ok().into_iter().chain(package).collect()
        };
        let starts: Vec<PathBuf> = given.map_or_else(own, |root| vec![root]);
        let mut roots: Vec<PathBuf> = Vec::new();
        for start in starts.iter().filter_map(|start| start.canonicalize().ok()) {
            for (above, folder) in start.ancestors().enumerate() {
                let in_workspace = above == 0 || folder.join("Cargo.toml").is_file();
                if in_workspace && !roots.iter().any(|root| root == folder) {
                    roots.push(folder.to_path_buf());
                }
            }
        }
        Self { roots, files: RefCell::default() }
    }

    /// Returns the line of a location, if it can be read.
    pub(crate) fn line(&self, location: &Location) -> Option<String> {
        let mut files = self.files.borrow_mut();
        let lines = files.entry(location.file.to_string()).or_insert_with(|| {
            let text = self.read(location)?;
            Some(text.lines().map(str::to_owned).collect())
        });
        lines.as_ref()?.get((location.line as usize).checked_sub(1)?).cloned()
    }

    fn read(&self, location: &Location) -> Option<String> {
        let path = Path::new(&*location.file);
        // What the compiler put into this process is borrowed from it.
        let ours = matches!(location.file, Cow::Borrowed(_));
        if ours && path.is_absolute() {
            return read(path);
        }
        if !ours && !is_rust(path) {
            return None;
        }
        self.roots.iter().find_map(|root| {
            // Where it really lies.
            let path = root.join(path).canonicalize().ok()?;
            let below = path.starts_with(root) && is_rust(&path);
            if ours || below { read(&path) } else { None }
        })
    }
}
