//! Where objects are stored, as a row of a report: the paths that a search found.

use super::count;
use super::report::{INDENT, ReportStyle, fold};
use super::style::Look;
use crate::analysis::Leak;
use crate::locate::Ownership;
use crate::text::width;
use std::fmt;

/// Paths that are shown of one leak.
const PATHS: usize = 3;
/// Steps that are shown of a path: so many from its root on, and so many up to its end.
const FIRST: usize = 5;
const LAST: usize = 4;
/// The deepest that a step is indented.
const DEEPEST: usize = 18;

impl ReportStyle<'_> {
    /// What holds the objects of a leak now: the path from a root, or the cycle. Those held alike are one path.
    pub(super) fn stored(
        &self,
        ownership: &Ownership,
        leak: &Leak,
        out: &mut impl fmt::Write,
    ) -> fmt::Result {
        let mut paths: Vec<(String, u64)> = Vec::new();
        for object in &leak.objects {
            let Some(path) = ownership.path_to(object.id) else { continue };
            let path = path.to_string();
            let path = path.strip_prefix("held by: ").unwrap_or(&path).to_owned();
            match paths
                .iter_mut()
                .find(|(known, _)| without_numbers(known) == without_numbers(&path))
            {
                Some((_, times)) => *times += 1,
                None => paths.push((path, 1)),
            }
        }
        let room = self.width.saturating_sub(INDENT).max(20);
        for (path, times) in paths.iter().take(PATHS) {
            let alike =
                if *times > 1 { format!("  ({} alike)", count(*times)) } else { String::new() };
            for (number, part) in lines(path, room, width(&alike)).iter().enumerate() {
                let mut line = self.line();
                if number == 0 {
                    line.put(Look::Dim, "   = ").put(Look::Name, "stored:");
                }
                line.to(INDENT).put(Look::Plain, &self.drawn(part));
                if number == 0 {
                    line.put(Look::Dim, &alike);
                }
                writeln!(out, "{}", line.finish())?;
            }
        }
        if paths.len() > PATHS {
            writeln!(out, "       and {} more paths", paths.len() - PATHS)?;
        }
        Ok(())
    }

    /// In the characters that the terminal has.
    fn drawn(&self, text: &str) -> String {
        match self.ascii {
            true => text.replace('─', "-").replace('→', ">").replace('└', "`").replace('…', "..."),
            false => text.to_owned(),
        }
    }
}

/// The lines of a path in at most `room` columns; the first leaves `after` free. Of a long one the middle is left out.
fn lines(path: &str, room: usize, after: usize) -> Vec<String> {
    let mut parts = path.lines();
    let mut lines = fold(parts.next().unwrap_or_default(), room.saturating_sub(after).max(20));
    let steps: Vec<&str> = parts.map(str::trim_start).collect();
    let left_out = steps.len().saturating_sub(FIRST + LAST);
    // One line says no more than the one that it would replace.
    let (first, last) = if left_out > 1 { (FIRST, LAST) } else { (steps.len(), 0) };
    let mut put = |depth: usize, text: &str| {
        let indent = (3 * depth).min(DEEPEST);
        let blank = |columns: usize| " ".repeat(columns);
        if indent + width(text) <= room {
            lines.push(format!("{}{text}", blank(indent)));
            return;
        }
        for (number, part) in fold(text, room.saturating_sub(indent + 3).max(10)).iter().enumerate()
        {
            lines.push(format!("{}{part}", blank(if number == 0 { indent } else { indent + 3 })));
        }
    };
    for (depth, step) in steps[..first].iter().enumerate() {
        put(depth, step);
    }
    if last > 0 {
        put(first, &format!("… {left_out} more"));
        for (depth, step) in steps[steps.len() - last..].iter().enumerate() {
            put(first + depth, step);
        }
    }
    lines
}

/// A path without the numbers of its objects, by which like paths differ.
fn without_numbers(path: &str) -> String {
    let mut text = String::with_capacity(path.len());
    let mut is_number = false;
    for c in path.chars() {
        is_number = c == '#' || (is_number && c.is_ascii_digit());
        if !is_number || c == '#' {
            text.push(c);
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::lines;

    #[test]
    fn a_long_path_loses_its_middle() {
        let steps = |n: u32| -> String {
            let step = |i| format!("\n{:1$}└─ +8 → Rc<Node> #{i}", "", 9 + 3 * i as usize);
            std::iter::once("static LIST".to_owned()).chain((0..n).map(step)).collect()
        };
        let ten = lines(&steps(10), 66, 0);
        assert_eq!(ten.len(), 11, "{ten:?}");
        let many = lines(&steps(1000), 66, 0);
        assert_eq!(many.len(), 1 + 5 + 1 + 4, "{many:?}");
        assert_eq!(many[0], "static LIST");
        assert_eq!(many[2], "   └─ +8 → Rc<Node> #1");
        assert!(many[6].ends_with("… 991 more") && many[10].ends_with("#999"), "{many:?}");
        assert!(many.iter().all(|line| line.chars().count() <= 66));
    }

    #[test]
    fn a_wide_step_is_folded() {
        let step = "heap block, 1.6 KiB ─+64→ ".repeat(8);
        let folded = lines(&format!("a static\n         └─ {step}Rc<Node> #1     this one"), 50, 0);
        assert!(
            folded.len() > 4 && folded.iter().all(|line| line.chars().count() <= 50),
            "{folded:?}"
        );
    }
}
