//! The page: everything that a recording tells, to be looked at in a browser.

mod data;

use crate::analysis::Timelines;

/// The page without its parts.
const PAGE: &str = include_str!("html/page.html");
/// The parts, and the marks that they take the place of.
const PARTS: [(&str, &str); 5] = [
    ("/*STYLE*/", include_str!("html/style.css")),
    ("/*MODEL*/", include_str!("html/model.js")),
    ("/*VIEWS*/", include_str!("html/views.js")),
    ("/*OBJECT*/", include_str!("html/object.js")),
    ("/*MAIN*/", include_str!("html/main.js")),
];

/// Timelines as a page: one file that opens from disk and asks no network for anything.
///
/// It begins with what is alive, by the line that keeps it, with its source; a finding opens to all its objects, and each
/// object to its counts and the lifeline of every handle, with an arrow from the one that it was cloned from. Lines of
/// source are in it where the files can be read from here and are the ones that were recorded. What it shows is in its
/// address (`#o=7`, `#q=Session`, `#z=10-40`), so that a view can be sent to someone.
///
/// The page takes some 130 bytes for an object with three handles, and opens with a million of them.
///
/// # Examples
///
/// ```
/// use refscope::{Rc, Scope, render, sink::Recorder};
///
/// let recorder = Recorder::new();
/// Scope::new(recorder.clone()).run(|| drop(Rc::new(1).clone()));
/// let page = render::html(&recorder.recording().timelines());
/// assert!(page.starts_with("<!doctype html>"));
/// ```
pub fn html(timelines: &Timelines<'_>) -> String {
    html_with_sources(timelines, None, None)
}

/// Returns the same, with source lines from below `root`, and a note of what is not on it.
#[doc(hidden)]
pub fn html_with_sources(
    timelines: &Timelines<'_>,
    root: Option<&std::path::Path>,
    left_out: Option<&str>,
) -> String {
    let page = PARTS.iter().fold(PAGE.to_owned(), |page, (mark, part)| page.replace(mark, part));
    let (before, after) = page.split_once("<!--DATA-->").unwrap_or((&page, ""));
    let mut text = before.to_owned();
    data::write(&mut text, timelines, root, left_out);
    text.push_str(after);
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_part_has_its_mark() {
        for (mark, part) in PARTS {
            assert_eq!(PAGE.matches(mark).count(), 1, "{mark}");
            assert!(!part.contains("</script") && !part.contains("</style"), "{mark}");
        }
        assert_eq!(PAGE.matches("<!--DATA-->").count(), 1);
    }
}
