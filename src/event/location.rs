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
        crate::stack::is_std_path(&self.file)
    }

    /// Returns whether the line is the user's own: neither std's nor a derive's, for all that the source tells.
    pub(crate) fn is_users(&self) -> bool {
        !self.is_std() && !crate::stack::is_in_derive(&self.file, self.line, self.column)
    }

    /// The line of a frame, as a path from the working directory where it is below that.
    pub(crate) fn of_frame(frame: &crate::stack::Frame) -> Option<Self> {
        let (file, line) = (frame.file.as_deref()?, frame.line?);
        let here = std::env::current_dir().ok();
        let relative = here.and_then(|here| {
            Some(std::path::Path::new(file).strip_prefix(here).ok()?.to_str()?.to_owned())
        });
        let file = relative.unwrap_or_else(|| file.to_owned());
        Some(Self::new(file, line, frame.column.unwrap_or(1)))
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
