//! Lines of source code, for excerpts.

use crate::event::Location;
use crate::model::{Origin, Recording, SourceLines};
use crate::source_file::{
    own_directories, texts, texts_as_built, with_workspace, workspace_of, workspace_of_this_program,
};
use std::borrow::Cow;
use std::cell::RefCell;
use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};

/// Reads lines of source files, from the working directory, the package's that cargo names, or one that is given;
/// and from the folders above, where these belong to the same workspace.
///
/// A location of this process was put there by the compiler, and its file is read wherever it lies: also in the workspace that the
/// program was built in, if it lies there still, or if debug information names it, since a program may run anywhere. One from a
/// recording may be anybody's invention, and a report is often sent to others: of these, only files that end in
/// `.rs` and lie below one of the roots, followed through all links, are read. Of either, only regular files of
/// a size that source files have.
///
/// Where a recording has a line, that is the one. Where it says what its files were, no other file is shown in their place; then
/// they are looked for in the directory that it was made in, too. A file of which it says nothing is not taken from another
/// directory, unless that is given.
#[derive(Debug)]
pub(crate) struct Sources {
    roots: Vec<PathBuf>,
    /// Whether someone said where to look.
    is_given: bool,
    /// The workspace above this program, for its own locations.
    built: Option<PathBuf>,
    /// Where the recording was made: of these, only files that are known to be the recorded ones.
    homes: Vec<PathBuf>,
    /// By name, and whether this process names them.
    files: RefCell<HashMap<(String, bool), Source>>,
    recorded: Recorded,
}

/// What a recording says of its sources.
#[derive(Clone, Debug, Default)]
pub(crate) struct Recorded {
    /// What the files were: length and hash.
    files: BTreeMap<String, (u64, u64)>,
    lines: SourceLines,
    /// The working directory.
    directory: Option<PathBuf>,
    program: Option<PathBuf>,
}

impl Recorded {
    pub(crate) fn of(recording: &Recording) -> Self {
        let path = |of: fn(&Origin) -> &String| {
            let path = recording.origin().map(|origin| PathBuf::from(of(origin)));
            path.filter(|path| !path.as_os_str().is_empty())
        };
        let (directory, program) =
            (path(|origin| &origin.directory), path(|origin| &origin.program));
        let (files, lines) = (recording.sources.clone(), recording.source_lines.clone());
        Self { files, lines, directory, program }
    }
}

/// What is known of a line.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum SourceLine {
    Known(String),
    /// As it was recorded; the file at hand is another.
    Recorded(String),
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
        let starts = root.map_or_else(own_directories, |root| vec![root.to_path_buf()]);
        Self {
            roots: with_workspace(&starts),
            is_given: root.is_some(),
            built: workspace_of_this_program(),
            homes: Vec::new(),
            files: RefCell::default(),
            recorded: Recorded::default(),
        }
    }

    /// Knows what a recording says of its sources.
    pub(crate) fn recorded(mut self, recorded: Recorded) -> Self {
        self.homes = with_workspace(recorded.directory.as_slice());
        self.homes.extend(recorded.program.as_deref().and_then(workspace_of));
        self.recorded = recorded;
        self
    }

    /// Returns the line of a location, if it can be read.
    pub(crate) fn line(&self, location: &Location) -> Option<String> {
        match self.look(location) {
            SourceLine::Known(line) | SourceLine::Recorded(line) => Some(line),
            SourceLine::Changed | SourceLine::Unknown => None,
        }
    }

    /// Returns what is known of the line of a location.
    pub(crate) fn look(&self, location: &Location) -> SourceLine {
        let mut files = self.files.borrow_mut();
        let key = (location.file.to_string(), matches!(location.file, Cow::Borrowed(_)));
        let source = files.entry(key).or_insert_with(|| self.source(location));
        let line = || (location.line as usize).checked_sub(1);
        if let Some(recorded) = self.recorded.lines.get(location) {
            return match source {
                Source::Changed => SourceLine::Recorded(recorded.to_owned()),
                Source::Lines(_) | Source::Unknown => SourceLine::Known(recorded.to_owned()),
            };
        }
        match source {
            Source::Lines(lines) => line()
                .and_then(|line| lines.get(line))
                .map_or(SourceLine::Unknown, |line| SourceLine::Known(line.clone())),
            Source::Changed => SourceLine::Changed,
            Source::Unknown => SourceLine::Unknown,
        }
    }

    fn source(&self, location: &Location) -> Source {
        let path = Path::new(&*location.file);
        // What the compiler put into this process is borrowed from it.
        let is_ours = matches!(location.file, Cow::Borrowed(_));
        let then = self.recorded.files.get(&*location.file);
        let is_elsewhere = !self.is_given && !is_ours && self.recorded.directory.is_some();
        let roots = self.roots.iter();
        let roots: Vec<&PathBuf> = match then {
            Some(_) => roots.chain(&self.homes).collect(),
            None if is_elsewhere => roots.filter(|root| self.homes.contains(root)).collect(),
            None if is_ours => roots.chain(&self.built).collect(),
            None => roots.collect(),
        };
        let mut is_changed = false;
        for text in texts(path, is_ours, &roots).chain(texts_as_built(path, is_ours)) {
            let now = (text.len() as u64, crate::text::hash(&text));
            if then.is_none_or(|then| *then == now) {
                return Source::Lines(text.lines().map(str::to_owned).collect());
            }
            is_changed = true;
        }
        if is_changed { Source::Changed } else { Source::Unknown }
    }
}
