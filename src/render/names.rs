//! Short names of files, none of which stands for two.

use crate::event::Location;
use crate::text::short_file;
use std::collections::{BTreeMap, BTreeSet};

/// The shortest end of each path, in whole parts, that no other file of the same report has.
pub(super) struct Names<'a>(BTreeMap<&'a str, &'a str>);

impl<'a> Names<'a> {
    pub(super) fn new(locations: impl Iterator<Item = &'a Location>) -> Self {
        let files: BTreeSet<&str> = locations.map(|location| short_file(&location.file)).collect();
        let mut names = BTreeMap::new();
        for &file in &files {
            let is_unique = |end: &&str| {
                files.iter().filter(|other| ends(other).any(|other| other == *end)).count() == 1
            };
            names.insert(file, ends(file).find(is_unique).unwrap_or(file));
        }
        Self(names)
    }

    /// `net/mod.rs:924`
    pub(super) fn line(&self, location: &Location) -> String {
        let file = short_file(&location.file);
        // One that is not among them, as that of a resolved stack: whole.
        format!("{}:{}", self.0.get(file).copied().unwrap_or(file), location.line)
    }
}

/// The ends of a path, the shortest first.
fn ends(file: &str) -> impl Iterator<Item = &str> {
    let starts = file.rmatch_indices(['/', '\\']).map(|(at, _)| &file[at + 1..]);
    starts.chain([file])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_name_stands_for_two_files() {
        let files = ["src/net/mod.rs", "src/ui/mod.rs", "src/main.rs", "lib.rs", "src/lib.rs"];
        let locations = files.map(|file| Location::new(file, 9, 1));
        let names = Names::new(locations.iter());
        let lines = locations.each_ref().map(|location| names.line(location));
        assert_eq!(lines, ["net/mod.rs:9", "ui/mod.rs:9", "main.rs:9", "lib.rs:9", "src/lib.rs:9"]);
    }
}
