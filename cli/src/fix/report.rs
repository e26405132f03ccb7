//! What `refscope fix` says of what it did: as text, or as JSON.

use super::remedy::Diagnostic;
use super::{Files, Package};
use serde_json::{Value, json};
use similar::{ChangeTag, DiffTag, TextDiff};
use std::io::{self, Write};
use std::path::Path;

/// How the attempt ended.
pub(super) struct Outcome {
    pub(super) compiles: bool,
    pub(super) edits: usize,
    pub(super) rounds: usize,
    /// The errors that remain. Targets that share a file repeat its errors.
    pub(super) errors: Vec<Diagnostic>,
}

impl Outcome {
    /// The errors that remain, each once. (A sum of errors has no code.)
    fn left(&self) -> Vec<&Diagnostic> {
        let mut left: Vec<&Diagnostic> = Vec::new();
        for error in self.errors.iter().filter(|error| !error.code.is_empty()) {
            let is_same = |other: &&Diagnostic| {
                (&other.code, &other.message, &other.place)
                    == (&error.code, &error.message, &error.place)
            };
            if !left.iter().any(is_same) {
                left.push(error);
            }
        }
        left
    }

    /// Whether nothing is left, the examples of the documentation included.
    pub(super) fn is_whole(&self) -> bool {
        self.compiles && self.left().is_empty()
    }

    pub(super) fn text(&self, out: &mut dyn Write) -> io::Result<()> {
        let Self { compiles, edits, rounds, .. } = self;
        if self.is_whole() {
            return writeln!(out, "it compiles, after {edits} edits in {rounds} rounds");
        }
        if *compiles {
            writeln!(
                out,
                "it compiles, after {edits} edits, but not the examples of its documentation. What is left:"
            )?;
        } else {
            writeln!(out, "it does not compile, after {edits} edits. What is left:")?;
        }
        for error in self.left() {
            let place = match &error.place {
                Some((file, line)) => format!(" {}:{line}", file.display()),
                None => String::new(),
            };
            writeln!(out, "  {}{place}: {}", error.code, error.message)?;
            if let Some(remedy) = error.by_hand() {
                writeln!(out, "    by hand: {remedy}")?;
            }
        }
        writeln!(
            out,
            "refscope's documentation lists the compiler's errors with the remedy of each"
        )
    }

    pub(super) fn json(&self, package: &Package, files: &Files) -> Value {
        let left = self.left().into_iter().map(|error| {
            let (file, line) = error.place.as_ref().map(|(file, line)| (file, line)).unzip();
            json!({
                "code": error.code,
                "file": file,
                "line": line,
                "message": error.message,
                "remedy": error.by_hand(),
            })
        });
        let files = files.changed().map(|(path, before, after)| {
            let changes = changes(before, after);
            json!({ "path": path.strip_prefix(&package.root).unwrap_or(path), "changes": changes })
        });
        json!({
            "refscope_fix": 1,
            "compiles": self.compiles,
            "edits": self.edits,
            "rounds": self.rounds,
            "files": files.collect::<Vec<_>>(),
            "left": left.collect::<Vec<_>>(),
        })
    }
}

/// A file's changes: the lines, numbered from 1, that stood there, and those that stand there now.
fn changes(before: &str, after: &str) -> Vec<Value> {
    let diff = TextDiff::from_lines(before, after);
    let ops = diff.ops().iter().filter(|op| op.tag() != DiffTag::Equal);
    let change = |op| {
        let text = |tag| -> String {
            let lines = diff.iter_changes(op).filter(|change| change.tag() == tag);
            lines.map(|change| change.value().to_owned()).collect()
        };
        json!({
            "before": { "line": op.old_range().start + 1, "text": text(ChangeTag::Delete) },
            "after": { "line": op.new_range().start + 1, "text": text(ChangeTag::Insert) },
        })
    };
    ops.map(change).collect()
}

/// Writes a file's changes, with a line of context.
pub(super) fn diff(out: &mut dyn Write, path: &Path, before: &str, after: &str) -> io::Result<()> {
    writeln!(out, "--- {}", path.display())?;
    let diff = TextDiff::from_lines(before, after);
    for op in diff.grouped_ops(1).iter().flatten() {
        for change in diff.iter_changes(op) {
            let sign = match change.tag() {
                ChangeTag::Delete => '-',
                ChangeTag::Insert => '+',
                ChangeTag::Equal => ' ',
            };
            writeln!(out, "{sign}{}", change.value().trim_end_matches('\n'))?;
        }
    }
    Ok(())
}
