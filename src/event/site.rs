use std::fmt;
use std::panic::Location;

/// A line of the user's code: where a handle was made.
///
/// It says where, not into what: a handle that `a.clone()` made on line 7 may be stored anywhere now.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Site(&'static Location<'static>);

impl Site {
    #[inline]
    #[cfg_attr(not(feature = "trace"), allow(dead_code))] // only the faces make sites
    pub(crate) const fn new(location: &'static Location<'static>) -> Self {
        Self(location)
    }

    /// The line that calls this.
    #[inline]
    #[track_caller]
    pub const fn here() -> Self {
        Self(Location::caller())
    }

    /// The source file, as the compiler was given it.
    pub const fn file(&self) -> &'static str {
        self.0.file()
    }

    /// The line, from 1.
    pub const fn line(&self) -> u32 {
        self.0.line()
    }

    /// The column, from 1.
    pub const fn column(&self) -> u32 {
        self.0.column()
    }

    #[inline]
    pub(crate) fn location(self) -> &'static Location<'static> {
        self.0
    }

    /// Whether the line is std's: a clone that std made, in `vec.clone()` say, or that a derive did.
    ///
    /// Known by the path's prefix, as the toolchain's sources have it; which of std's files it is
    /// differs between toolchains.
    pub fn is_std(&self) -> bool {
        let file = self.file();
        file.starts_with("/rustc/") || file.contains("/lib/rustlib/src/rust/library/")
    }
}

impl fmt::Display for Site {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}:{}", self.file(), self.line(), self.column())
    }
}

impl fmt::Debug for Site {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}
