//! The source line at fault, with a caret under what made the handle.

use super::report::{ReportStyle, at};
use super::source::SourceLine;
use super::style::{Line, Look};
use crate::analysis::Leak;
use crate::event::{Op, Strength};
use crate::model::Handle;
use crate::text::{column_width, width};
use std::fmt;

impl ReportStyle<'_> {
    pub(super) fn excerpt(
        &self,
        leak: &Leak,
        holder: &Handle,
        out: &mut impl fmt::Write,
    ) -> fmt::Result {
        let Some(place) = &leak.cause.location else { return Ok(()) };
        let bar = if self.ascii { "|" } else { "│" };
        let put = |out: &mut dyn fmt::Write, parts: &[(Look, &str)]| {
            let mut line = Line::new(self.color);
            for (look, text) in parts {
                line.put(*look, text);
            }
            writeln!(out, "{}", line.finish())
        };
        put(out, &[(Look::Dim, "  --> "), (Look::Plain, &at(place))])?;
        let says = says(leak, holder);
        let gutter = place.line.to_string();
        let blank = " ".repeat(gutter.len());
        let (source, has_changed) = match self.sources.look(place) {
            SourceLine::Known(source) => (source, false),
            SourceLine::Recorded(source) => (source, true),
            // Of the line there is nothing to show, nor anything to point at.
            SourceLine::Unknown => return Ok(()),
            SourceLine::Changed => {
                let bar = format!("{blank} {bar} ");
                let changed = "the file is not the one that was recorded: its line is not shown";
                return put(out, &[(Look::Dim, &bar), (Look::Dim, changed)]);
            }
        };
        let text = source.trim_end();
        let start = characters_before(text, place.column);
        let length = text
            .chars()
            .skip(start)
            .take_while(|c| c.is_alphanumeric() || matches!(c, '_' | ':'))
            .count();
        // The indentation is no news, and takes room.
        let indent = text.chars().take_while(|c| c.is_whitespace()).count();
        let text: Vec<char> = text.chars().skip(indent).collect();
        let start = start.saturating_sub(indent).min(text.len());
        let length = length.max(1);
        let room = self.width.saturating_sub(gutter.len() + 3);
        let shown = Window { ascii: self.ascii, room }.of(&text, start, length, width(&says));
        let caret = format!("{}{} {says}", " ".repeat(shown.before), "^".repeat(shown.caret));
        let number = |number: &str| format!("{number} {bar} ");
        put(out, &[(Look::Dim, &number(&blank))])?;
        put(out, &[(Look::Dim, &number(&gutter)), (Look::Plain, &shown.text)])?;
        put(out, &[(Look::Dim, &number(&blank)), (Look::Alive, &caret)])?;
        if has_changed {
            let changed = "as it was recorded: the file has changed since";
            put(out, &[(Look::Dim, &number(&blank)), (Look::Dim, changed)])?;
        }
        put(out, &[(Look::Dim, &number(&blank))])
    }
}

/// How many characters of a line stand before a location's column.
///
/// The compiler counts columns as a terminal shows them: two for a wide character, none for one that combines, four for a tab.
pub(in crate::render) fn characters_before(line: &str, column: u32) -> usize {
    let before = (column as usize).saturating_sub(1);
    let mut columns = 0;
    let is_before = |c: &char| {
        let is_before = columns < before;
        columns += if *c == '\t' { 4 } else { column_width(*c) };
        is_before
    };
    line.chars().take_while(is_before).count()
}

/// What is said of the handle at fault.
fn says(leak: &Leak, holder: &Handle) -> String {
    let many = leak.handles.iter().any(|group| group.is_fault && group.count > 1);
    let says = match (leak.cause.op, holder.strength) {
        (Some(Op::IntoRaw | Op::WeakIntoRaw), _) => "this made a raw pointer of it",
        (Some(Op::Leak), _) => "this leaked it",
        (Some(Op::Clone), _) if many => "these clones are alive",
        (Some(Op::Clone), _) => "this clone is alive",
        (Some(Op::Upgrade), _) if many => "these upgraded handles are alive",
        (Some(Op::Upgrade), _) => "this upgraded handle is alive",
        (_, Strength::Weak) if many => "these weak handles keep the memory",
        (_, Strength::Weak) => "this weak handle keeps the memory",
        (Some(op), _) if op.begins() && many => "these first handles are alive",
        (Some(op), _) if op.begins() => "this first handle is alive",
        _ if many => "these handles are alive",
        _ => "this handle is alive",
    };
    match &holder.span {
        Some(span) => format!("{says}, made in `{span}`"),
        None => says.to_owned(),
    }
}

/// The part of a line that fits.
pub(in crate::render) struct Window {
    pub(in crate::render) ascii: bool,
    pub(in crate::render) room: usize,
}

/// A line as it is shown, with the columns before the caret and those under it.
#[derive(Debug, PartialEq)]
pub(in crate::render) struct Shown {
    pub(in crate::render) text: String,
    before: usize,
    caret: usize,
}

impl Window {
    /// The part in which the word at `start`, and what is said below it, fit as well.
    pub(in crate::render) fn of(
        &self,
        text: &[char],
        start: usize,
        length: usize,
        says: usize,
    ) -> Shown {
        let ellipsis = if self.ascii { '~' } else { '…' };
        // As they will be shown: what is escaped or a tab is no single column.
        let shown = |c: &char| match c {
            '\t' => ' ',
            c if crate::text::is_unsafe(*c) => '\u{fffd}',
            c => *c,
        };
        let text: Vec<char> = text.iter().map(shown).collect();
        let columns = |from: usize, to: usize| -> usize {
            text[from.min(text.len())..to.min(text.len())].iter().copied().map(column_width).sum()
        };
        let caret = columns(start, start + length).max(1);
        let mut from = 0;
        // What is cut off at the front leaves the ellipsis in its place.
        let before = |from: usize| usize::from(from > 0) + columns(from, start);
        while from < start && before(from) + caret + 1 + says > self.room {
            from += 1;
        }
        let mut line = String::new();
        let mut wide = 0;
        if from > 0 {
            line.push(ellipsis);
            wide = 1;
        }
        let rest = columns(from, text.len());
        let limit = if wide + rest > self.room { self.room.saturating_sub(1) } else { self.room };
        for &c in &text[from..] {
            if wide + column_width(c) > limit {
                line.push(ellipsis);
                break;
            }
            line.push(c);
            wide += column_width(c);
        }
        Shown { text: line, before: before(from), caret }
    }
}

#[cfg(all(test, any(feature = "trace", feature = "json")))]
mod tests {
    use super::{Shown, Window, characters_before};

    #[test]
    fn columns_are_as_the_compiler_counts_them() {
        #[rustfmt::skip]
        let here = { let 名前 = 1; let _ = 名前; caller() };
        let line = "        let here = { let 名前 = 1; let _ = 名前; caller() };";
        let start = characters_before(line, here.column());
        assert!(line.chars().skip(start).collect::<String>().starts_with("caller()"), "{here}");
        for (line, column, start) in
            [("\tx.clone()", 7, 3), ("größe.clone()", 7, 6), ("x", 9, 1), ("", 1, 0)]
        {
            assert_eq!(characters_before(line, column), start, "{line}");
        }
    }

    #[track_caller]
    fn caller() -> &'static std::panic::Location<'static> {
        std::panic::Location::caller()
    }

    fn show(text: &str, word: &str, room: usize, says: usize) -> Shown {
        let chars: Vec<char> = text.chars().collect();
        let start = text[..text.find(word).unwrap()].chars().count();
        Window { ascii: true, room }.of(&chars, start, word.chars().count(), says)
    }

    #[test]
    fn the_caret_stands_under_its_word() {
        let Shown { text, before, caret } = show("let größe = x.clone();", "clone", 80, 5);
        assert_eq!((text.as_str(), before, caret), ("let größe = x.clone();", 14, 5));
        // A wide character takes two columns, a combining one none.
        assert_eq!(show("f(\"名前\", x.clone())", "clone", 80, 5).before, 12);
        assert_eq!(show("f(\"e\u{301}\", x.clone())", "clone", 80, 5).before, 9);
        assert_eq!(show("let 名前 = 1;", "名前", 80, 5).caret, 4);
    }

    #[test]
    fn what_does_not_fit_is_cut() {
        let long = format!("{}.clone(); // and so on and on", "名".repeat(40));
        let Shown { text, before, caret } = show(&long, "clone", 40, 10);
        assert!(text.starts_with('~') && text.ends_with('~'), "{text}");
        assert!(crate::text::width(&text) <= 40 && before + caret + 1 + 10 <= 40);
        let at: usize =
            text[..text.find("clone").unwrap()].chars().map(crate::text::column_width).sum();
        assert_eq!(at, before);
    }
}
