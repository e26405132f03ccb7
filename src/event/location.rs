use std::borrow::Cow;
use std::fmt;

/// A line of source code, as plain data: it may come from another process, through a recording.
///
/// # Examples
///
/// ```
/// use refscope::event::Location;
///
/// let here = Location::from(std::panic::Location::caller());
/// assert_eq!(here.file, file!());
/// assert_eq!(Location::new("src/main.rs", 7, 15).to_string(), "src/main.rs:7:15");
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct Location {
    /// The file, as it was given to the compiler.
    pub file: Cow<'static, str>,
    /// The line, from 1.
    pub line: u32,
    /// The column, from 1.
    pub column: u32,
}

impl Location {
    /// Creates a location from its parts.
    pub fn new(file: impl Into<Cow<'static, str>>, line: u32, column: u32) -> Self {
        Self { file: file.into(), line, column }
    }

    /// Returns whether the line is std's: a clone made by `vec.clone()`, say, or by a derive.
    ///
    /// Recognized by the path's prefix, since toolchains differ in which of std's files they report.
    pub fn is_std(&self) -> bool {
        is_std_path(&self.file)
    }
}

impl From<&'static std::panic::Location<'static>> for Location {
    fn from(location: &'static std::panic::Location<'static>) -> Self {
        Self::new(location.file(), location.line(), location.column())
    }
}

/// `src/main.rs:7:15`
impl fmt::Display for Location {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}:{}", self.file, self.line, self.column)
    }
}

/// Whether the file at a path is one of std's sources.
pub(crate) fn is_std_path(path: &str) -> bool {
    let library = |rest: &str| rest.contains("/library/") || rest.contains("\\library\\");
    path.strip_prefix("/rustc/").is_some_and(library)
        || path.contains("/lib/rustlib/src/rust/library/")
        || path.contains("\\lib\\rustlib\\src\\rust\\library\\")
}
