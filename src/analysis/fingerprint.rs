//! What a finding is known by again.
//!
//! Nothing goes into it that depends on what is at hand: no line's text, and no stack, since a handle has one where the source could
//! not be read when it was made. What the source alone tells is whether a line is a derive's. Where it is missing, the derive's own line
//! is the finding's, and not its callers': then one in another file than the derive has another fingerprint, and several are one
//! finding.

use crate::event::Location;
use std::borrow::Cow;

/// FNV-1a with 64 bits (Fowler, Noll and Vo): the same on every machine and in every version.
#[derive(Clone, Copy)]
pub(super) struct Fingerprint(u64);

impl Fingerprint {
    pub(super) fn new() -> Self {
        Self(0xcbf2_9ce4_8422_2325)
    }

    pub(super) fn add(&mut self, text: &str) {
        for byte in text.bytes().chain([0xff]) {
            let byte = if byte == b'\\' { b'/' } else { byte };
            self.0 = (self.0 ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
        }
    }

    pub(super) fn add_file(&mut self, location: Option<&Location>) {
        self.add(&location.map_or(Cow::Borrowed(""), |location| direct(portable(&location.file))));
    }

    pub(super) fn get(self) -> u64 {
        self.0
    }
}

/// A file as every machine has it: without what comes before the crate, or before the sources.
///
/// Of a path that isn't absolute too: where the user's line is a stack's, it begins at the root of all, at the working directory
/// or at the workspace, depending on what of these is at hand.
fn portable(file: &str) -> &str {
    if let Some((_, rest)) = file.split_once("/registry/src/") {
        return rest.split_once('/').map_or(rest, |(_, rest)| rest);
    }
    let roots = ["/src/", "/tests/", "/examples/", "/benches/", "\\src\\", "\\tests\\"];
    let root = roots.iter().filter_map(|root| file.rfind(root)).max();
    root.map_or(file, |at| &file[at + 1..])
}

/// A path without ways back: a module's `#[path]` may have some.
fn direct(file: &str) -> Cow<'_, str> {
    if !file.contains("../") {
        return Cow::Borrowed(file);
    }
    let mut parts: Vec<&str> = Vec::new();
    for part in file.split('/') {
        match parts.last() {
            Some(&last) if part == ".." && last != ".." => drop(parts.pop()),
            _ => parts.push(part),
        }
    }
    Cow::Owned(parts.join("/"))
}

#[cfg(test)]
mod tests {
    use super::{direct, portable};

    #[test]
    fn ways_back() {
        assert_eq!(direct("tests/../examples/a.rs"), "examples/a.rs");
        assert_eq!(direct("../shared/../src/a.rs"), "../src/a.rs");
        assert_eq!(direct("src/a..rs"), "src/a..rs");
    }

    #[test]
    fn files_as_every_machine_has_them() {
        for (file, want) in [
            ("src/main.rs", "src/main.rs"),
            ("/home/a/work/app/src/net/session.rs", "src/net/session.rs"),
            ("/home/a/.cargo/registry/src/index-1/dep-1.2.0/src/lib.rs", "dep-1.2.0/src/lib.rs"),
            ("/builds/x/tests/leaks.rs", "tests/leaks.rs"),
            ("builds/x/tests/leaks.rs", "tests/leaks.rs"),
            ("crates/net/src/lib.rs", "src/lib.rs"),
            ("/home/a/work/app/crates/net/src/lib.rs", "src/lib.rs"),
            ("build.rs", "build.rs"),
        ] {
            assert_eq!(portable(file), want);
        }
    }
}
