//! Lines of source code, for excerpts.

use crate::event::Location;
use crate::source_file::{is_rust, read};
use std::borrow::Cow;
use std::cell::RefCell;
use std::collections::{BTreeMap, HashMap};
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
    files: RefCell<HashMap<String, Source>>,
    /// What the files were when they were recorded: length and hash.
    recorded: BTreeMap<String, (u64, u64)>,
}

/// What is known of a line.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum SourceLine {
    Known(String),
    /// The file is not the one that was recorded.
    Changed,
    Unknown,
}

#[derive(Debug)]
enum Source {
    Lines(Vec<String>),
    Changed,
    Unknown,
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
        Self { roots, files: RefCell::default(), recorded: BTreeMap::new() }
    }

    /// Creates the sources of a recording.
    #[cfg(feature = "html")]
    pub(crate) fn of(recording: &crate::model::Recording, root: Option<&Path>) -> Self {
        Self::new(root).recorded(recording.sources.clone())
    }

    /// Knows what the files were when they were recorded: others are not shown in their place.
    pub(crate) fn recorded(mut self, recorded: BTreeMap<String, (u64, u64)>) -> Self {
        self.recorded = recorded;
        self
    }

    /// Returns the line of a location, if it can be read.
    pub(crate) fn line(&self, location: &Location) -> Option<String> {
        match self.look(location) {
            SourceLine::Known(line) => Some(line),
            _ => None,
        }
    }

    /// Returns what is known of the line of a location.
    pub(crate) fn look(&self, location: &Location) -> SourceLine {
        let mut files = self.files.borrow_mut();
        let source = files.entry(location.file.to_string()).or_insert_with(|| {
            let Some(text) = self.read(location) else { return Source::Unknown };
            let now = (text.len() as u64, crate::text::hash(&text));
            match self.recorded.get(&*location.file) {
                Some(then) if *then != now => Source::Changed,
                _ => Source::Lines(text.lines().map(str::to_owned).collect()),
            }
        });
        let line = || (location.line as usize).checked_sub(1);
        match source {
            Source::Lines(lines) => line()
                .and_then(|line| lines.get(line))
                .map_or(SourceLine::Unknown, |line| SourceLine::Known(line.clone())),
            Source::Changed => SourceLine::Changed,
            Source::Unknown => SourceLine::Unknown,
        }
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

/// The text of a source file that the compiler named in this process.
pub(crate) fn sources_of_this_process(file: &'static str) -> Option<String> {
    Sources::new(None).read(&Location::new(file, 1, 1))
}
