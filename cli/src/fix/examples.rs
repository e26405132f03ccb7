//! The examples in the package's documentation, which `cargo check` does not compile: what the test of them says.

use super::remedy::{Diagnostic, Sources};
use super::swap::{self, Edit};
use std::collections::BTreeMap;
use std::ops::Range;
use std::path::{Path, PathBuf};

/// An example that does not compile.
pub(super) struct Failed {
    pub(super) file: PathBuf,
    /// The line of its fence, as its test is named.
    pub(super) line: usize,
    pub(super) errors: Vec<Diagnostic>,
}

/// The source files with all but their examples' code blank.
pub(super) fn shown(sources: &Sources) -> BTreeMap<PathBuf, String> {
    sources.texts.iter().map(|(file, text)| (file.clone(), swap::shown_examples(text))).collect()
}

/// The edit, of which the marks of lines in between are no part: what it puts before its text and behind it. `None` for
/// another edit of several lines.
pub(super) fn in_lines(edit: Edit, shown: &str) -> Option<Vec<Edit>> {
    let old = shown.get(edit.at.clone())?;
    if !old.contains('\n') {
        return Some(vec![edit]);
    }
    let (before, after) = edit.text.split_once(old)?;
    let insert = |at: usize, text: &str| Edit { at: at..at, text: text.to_owned() };
    Some(vec![insert(edit.at.start, before), insert(edit.at.end, after)])
}

/// Reads the output of `cargo test --doc`. What fails when it runs is no matter of the compiler's.
pub(super) fn failed(output: &str, sources: &Sources) -> Vec<Failed> {
    let mut failed = Vec::new();
    for report in output.split("\n---- ").skip(1) {
        // "src/lib.rs - Slab<T>::get (line 640) stdout ----"
        let Some((name, report)) = report.split_once(" stdout ----\n") else { continue };
        let file = Path::new(name.split(" - ").next().unwrap_or_default());
        let line =
            name.rsplit("(line ").next().and_then(|line| line.split(')').next()?.parse().ok());
        let Some(line) = line else { continue };
        if !report.contains("Couldn't compile the test.") {
            continue;
        }
        let starts = report.match_indices("error[E").map(|(at, _)| at);
        let starts: Vec<_> =
            starts.filter(|at| *at == 0 || report[..*at].ends_with('\n')).collect();
        let ends = starts.iter().skip(1).copied().chain([report.len()]);
        let mut errors: Vec<_> = (starts.iter().zip(ends))
            .filter_map(|(start, end)| read(&report[*start..end], file, line, sources))
            .collect();
        if errors.is_empty() {
            let place = (file.to_owned(), line as u64);
            let message = "the example does not compile";
            errors.push(Diagnostic::of_example("example", message, report, place, 0..0, ""));
        }
        failed.push(Failed { file: file.to_owned(), line, errors });
    }
    failed
}

/// Reads an error as it is printed for people, of an example whose fence is at `line`.
fn read(printed: &str, file: &Path, line: usize, sources: &Sources) -> Option<Diagnostic> {
    let (head, rest) = printed.split_once('\n')?;
    let (code, message) = head.strip_prefix("error[")?.split_once("]: ")?;
    let mut lines = rest.lines();
    let place = lines.next()?.trim_start().strip_prefix("--> ")?;
    let mut numbers = place.rsplit(':');
    let (_column, at_line) = (numbers.next()?, numbers.next()?);
    // "308 | let value = …", under which the marks are.
    let shown =
        lines.find_map(|text| text.strip_prefix(at_line)?.trim_start().strip_prefix("| "))?;
    let marks = lines.next()?.split_once("| ")?.1;
    let text = sources.shown.get(file)?;
    let place_of = |shown: &str, near: &str, column| {
        let of_line = line_of(text, shown.trim_end(), line, near.trim().parse().ok()?)?;
        let byte = shown.char_indices().nth(column).map_or(shown.len(), |(at, _)| at);
        Some(of_line.start + byte)
    };
    let start = marks.find('^')?;
    let count = marks[start..].chars().take_while(|c| *c == '^').count();
    let first = place_of(shown, at_line, start)?;
    let (last, label) = if marks[..start].ends_with('_') {
        // Several lines, the last of which is "83 | | )));", and marked "|__^ expected …".
        let mut before = ("", "");
        let (shown, near, marks) = lines.find_map(|text| {
            let (near, shown) = text.split_once("| ")?;
            if shown.starts_with("|_") {
                return Some((before.1, before.0, shown));
            }
            before = (near, shown);
            None
        })?;
        let end = marks.find('^')?;
        (place_of(&shown.replacen('|', " ", 1), near, end + 1)?, marks[end + 1..].trim())
    } else {
        (place_of(shown, at_line, start + count)?, marks[start + count..].trim())
    };
    let at = first..last;
    text.get(at.clone())?;
    let place = (file.to_owned(), text[..at.start].matches('\n').count() as u64 + 1);
    Some(Diagnostic::of_example(code, message, printed, place, at, label))
}

/// Where the code of a line stands in the file. The compiler counts an example's lines with one more, or less, that
/// rustdoc adds.
fn line_of(text: &str, code: &str, fence: usize, near: usize) -> Option<Range<usize>> {
    let mut start = 0;
    let lines = text.split_inclusive('\n').map(|line| {
        start += line.len();
        (start - line.len(), line)
    });
    let found = lines.enumerate().skip(fence).filter_map(|(number, (start, line))| {
        let at = start + line.find(code).filter(|_| !code.is_empty())?;
        Some(((number + 1).abs_diff(near), at..at + code.len()))
    });
    found
        .filter(|(distance, _)| *distance <= 2)
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, at)| at)
}

/// Returns the text with the example whose fence is at `line` as it was before the swap.
pub(super) fn restored(before: &str, after: &str, line: usize) -> Option<String> {
    let (of_before, of_after) = (swap::examples(before), swap::examples(after));
    let number = of_after.iter().position(|example| {
        example.first().is_some_and(|first| after[..first.start].matches('\n').count() == line)
    })?;
    // The swap makes no example, and takes none away.
    let original = of_before.get(number).filter(|_| of_before.len() == of_after.len())?;
    let whole_lines = |text: &str, example: &[Range<usize>]| {
        let start = text[..example[0].start].rfind('\n').map_or(0, |at| at + 1);
        start..example[example.len() - 1].end
    };
    let (old, new) = (whole_lines(before, original), whole_lines(after, &of_after[number]));
    let text = [&after[..new.start], &before[old], &after[new.end..]].concat();
    (text != after).then_some(text)
}
