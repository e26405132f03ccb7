//! A leak report, as rustc prints diagnostics.

use super::source::Sources;
use super::style::{Line, Look};
use super::{Terminal, age, bytes, count, plural};
use crate::analysis::{Leak, LeakReport, ReportKind};
use crate::event::{Location, Op, Strength};
use crate::model::Handle;
use std::fmt;

/// How a report is drawn.
struct ReportStyle {
    color: bool,
    ascii: bool,
    width: usize,
    sources: Sources,
}

/// Leaks that are shown.
const SHOWN: usize = 10;
/// Where a named row's text begins.
const INDENT: usize = 14;
/// Handles of one that are shown.
const HOLDERS: usize = 8;

impl Terminal {
    /// Renders a leak report as text.
    ///
    /// For each leak it shows the line that made the handle which keeps the value (with the source, if the file can
    /// be read from here), every other handle, how it came about, and what to do next.
    pub fn render_report(&self, report: &LeakReport) -> String {
        let mut text = String::new();
        let style = ReportStyle {
            color: self.color,
            ascii: self.ascii,
            width: self.width,
            sources: Sources::new(self.source.as_deref()),
        };
        let _ = style.write(report, &mut text);
        text.truncate(text.trim_end().len());
        text.push('\n');
        text
    }
}

impl ReportStyle {
    fn plain() -> Self {
        Self { color: false, ascii: true, width: 80, sources: Sources::new(None) }
    }

    fn line(&self) -> Line {
        Line::new(self.color)
    }

    fn write(&self, leaks: &LeakReport, out: &mut impl fmt::Write) -> fmt::Result {
        let mut line = self.line();
        let look = if leaks.is_empty() { Look::Name } else { Look::Warning };
        line.put(look, "refscope").put(Look::Name, ": ").put(Look::Name, &leaks.verdict());
        writeln!(out, "{}", line.finish())?;
        for (number, leak) in leaks.leaks.iter().take(SHOWN).enumerate() {
            self.leak(leaks, number + 1, leak, out)?;
        }
        if leaks.leaks.len() > SHOWN {
            let rest = &leaks.leaks[SHOWN..];
            let objects: u64 = rest.iter().map(|leak| leak.objects.len() as u64).sum();
            writeln!(out, "\nand {} more, of {}", rest.len(), plural(objects, "object"))?;
        }
        if !leaks.is_empty() {
            write!(
                out,
                "\nnote: locations show where a handle was created, not where it is stored"
            )?;
        }
        let untraced = leaks.untraced;
        for (number, thing, what) in [
            (untraced.objects(), "object", "not traced (a filter, a cap, a full ledger)"),
            (untraced.lost, "event", "lost: what is said of handles may be incomplete"),
            (untraced.paths_cut, "path", "cut to its ends (the table of paths is full)"),
            (untraced.spans_unknown, "handle", "without its span (the table of spans is full)"),
        ] {
            if number > 0 {
                write!(out, "\nnote: {} {what}", plural(number, thing))?;
            }
        }
        Ok(())
    }

    fn leak(
        &self,
        leaks: &LeakReport,
        number: usize,
        leak: &Leak,
        out: &mut impl fmt::Write,
    ) -> fmt::Result {
        let object = leak.example();
        let name = format!("{}<{}>", object.kind, crate::event::short_type(&object.type_name));
        let label = object.label.as_ref().map_or_else(String::new, |label| format!(" {label:?}"));
        let times = match leak.objects.len() as u64 {
            1 => String::new(),
            n => format!("{} {} ", count(n), if self.ascii { "x" } else { "\u{d7}" }),
        };
        let what = match leaks.kind {
            ReportKind::Leaks => "leak",
            ReportKind::Exit => "held",
            ReportKind::Alive => "alive",
        };
        let mut line = self.line();
        line.put(Look::Warning, &format!("{what} {number} of {}", leaks.leaks.len()))
            .put(Look::Name, &format!(": {times}{name}{label}, {}", bytes(leak.bytes())))
            .put(Look::Dim, &format!("  [{:08x}]", leak.fingerprint >> 32));
        writeln!(out, "\n{}", line.finish())?;
        let fault = leak.fault();
        if let Some(holder) = fault {
            self.excerpt(leak, holder, out)?;
            self.made_by(holder, out)?;
        }
        let mut line = self.line();
        let span = object.span.as_ref().map_or_else(String::new, |span| format!(" in `{span}`"));
        let created =
            format!("{} on {}{span}, {} ago", object.location, object.thread, age(leak.age));
        line.put(Look::Dim, "   = ")
            .put(Look::Name, "created:")
            .to(INDENT)
            .put(Look::Plain, &created);
        writeln!(out, "{}", line.finish())?;
        let strong: Vec<_> = object.strong_handles().collect();
        let weak = object.handles.len() - strong.len();
        let each = if leak.objects.len() > 1 { " each" } else { "" };
        // Of an object older than the recording, the count may be all that is known.
        let count = if strong.is_empty() { object.strong.into() } else { strong.len() as u64 };
        let held = match (count, weak) {
            (0, n) => format!(
                "{}{each} alone: the value is gone, its memory is not",
                plural(n as u64, "weak handle")
            ),
            (n, 0) => format!("{}{each}", plural(n, "strong handle")),
            (n, w) => {
                format!("{}, {}{each}", plural(n, "strong handle"), plural(w as u64, "weak one"))
            }
        };
        self.row(out, "held by", &held)?;
        // Handles that came about alike are one row, where the youngest stands.
        let mut rows: Vec<(&Handle, u64, bool)> = Vec::new();
        for holder in &object.handles {
            let alike = |(other, ..): &(&Handle, u64, bool)| other.is_like(holder);
            let is_fault = fault.is_some_and(|fault| fault.number == holder.number);
            match rows.iter().position(alike) {
                Some(place) => {
                    let (_, times, fault) = rows.remove(place);
                    rows.push((holder, times + 1, fault || is_fault));
                }
                None => rows.push((holder, 1, is_fault)),
            }
        }
        for &(holder, times, fault) in rows.iter().take(HOLDERS) {
            self.holder(holder, times, fault, out)?;
        }
        if rows.len() > HOLDERS {
            writeln!(out, "       and {} more", rows.len() - HOLDERS)?;
        }
        let known = strong.len() as u64;
        if known != u64::from(object.strong) {
            let text = format!("the ledger counts {} strong, {known} known", object.strong);
            self.row(out, "note", &text)?;
        }
        self.row(out, "help", &leak.help)
    }

    /// The source line at fault, with a caret under what made the handle.
    fn excerpt(&self, leak: &Leak, holder: &Handle, out: &mut impl fmt::Write) -> fmt::Result {
        let Some(made) = holder.location() else { return Ok(()) };
        // The user's line, where std's or a derive's made the handle.
        let lines = holder.user_lines();
        let place = lines.as_ref().map_or(made, |(line, _)| line);
        let op = holder.op().unwrap_or(Op::New);
        let bar = if self.ascii { "|" } else { "│" };
        let mut line = self.line();
        line.put(Look::Dim, "  --> ").put(Look::Plain, &place.to_string());
        writeln!(out, "{}", line.finish())?;
        let says = match (op, holder.strength, leak.objects.len()) {
            (Op::Clone, _, 1) => "this clone is alive",
            (Op::Clone, _, _) => "these clones are alive",
            (Op::Upgrade, ..) => "this upgraded handle is alive",
            (_, Strength::Weak, _) => "this weak handle keeps the memory",
            (op, ..) if op.begins() => "this first handle was never dropped",
            _ => "this handle is alive",
        };
        let says = match &holder.span {
            Some(span) => format!("{says}, made in `{span}`"),
            None => says.to_owned(),
        };
        let gutter = place.line.to_string();
        let blank = " ".repeat(gutter.len());
        let Some(source) = self.sources.line(place) else {
            let mut line = self.line();
            line.put(Look::Dim, &format!("{blank} {bar} ")).put(Look::Alive, &says);
            return writeln!(out, "{}", line.finish());
        };
        let text = source.trim_end();
        let indent = text.len() - text.trim_start().len();
        let column = (place.column as usize).saturating_sub(1);
        let word = text.get(column..).map_or(1, |rest| {
            rest.chars().take_while(|c| c.is_alphanumeric() || matches!(c, '_' | ':')).count()
        });
        let caret = "^".repeat(word.max(1));
        // The indentation is no news, and takes room.
        let text = &text[indent.min(text.len())..];
        let column = column.saturating_sub(indent);
        let room = self.width.saturating_sub(gutter.len() + 3);
        let (text, column) = self.window(text, column, column + caret.len() + 1 + says.len(), room);
        for (number, look, body) in [
            (blank.as_str(), Look::Dim, String::new()),
            (gutter.as_str(), Look::Plain, text),
            (blank.as_str(), Look::Alive, format!("{}{caret} {says}", " ".repeat(column))),
        ] {
            let mut line = self.line();
            line.put(Look::Dim, &format!("{number} {bar} ")).put(look, &body);
            writeln!(out, "{}", line.finish())?;
        }
        let mut line = self.line();
        line.put(Look::Dim, &format!("{blank} {bar}"));
        writeln!(out, "{}", line.finish())
    }

    /// Who made the handle at fault, where it wasn't the user's line itself: std or a derive, and on whose behalf.
    fn made_by(&self, holder: &Handle, out: &mut impl fmt::Write) -> fmt::Result {
        let Some(made) = holder.location().filter(|made| !made.is_users()) else { return Ok(()) };
        let op = holder.op().unwrap_or(Op::Clone);
        let maker = if made.is_std() { "std" } else { "a derive" };
        let text = match holder.user_lines() {
            Some((_, Some(caller))) => {
                format!("{maker} made this {op} at {made}; called from {caller}")
            }
            Some((_, None)) => format!("{maker} made this {op} at {made}"),
            None if cfg!(feature = "stacks") => {
                format!("{maker} made this {op} at {made}; its caller is not known")
            }
            None => format!(
                "{maker} made this {op} at {made}; its caller is not known without refscope's \
                 feature `stacks`"
            ),
        };
        self.row(out, "made by", &text)
    }

    /// The part of a line that fits, so that what is at `column`, and what is said below it up to `end`, fits as well;
    /// and where the column is then.
    fn window(&self, text: &str, column: usize, end: usize, room: usize) -> (String, usize) {
        let ellipsis = if self.ascii { "~" } else { "…" };
        let length = text.chars().count();
        // What is cut off at the front leaves the ellipsis in the place of a character.
        let start = end.saturating_sub(room).min(column.saturating_sub(1));
        let mut shown: String = text.chars().skip(start).collect();
        if start > 0 {
            shown = format!("{ellipsis}{}", shown.chars().skip(1).collect::<String>());
        }
        if length - start.min(length) > room {
            shown = shown.chars().take(room.saturating_sub(1)).collect();
            shown.push_str(ellipsis);
        }
        (shown, column - start)
    }

    fn holder(
        &self,
        holder: &Handle,
        times: u64,
        fault: bool,
        out: &mut impl fmt::Write,
    ) -> fmt::Result {
        let mut line = self.line();
        let look = match (fault, holder.strength) {
            (true, _) => Look::Alive,
            (_, Strength::Strong) => Look::Strong,
            (_, Strength::Weak) => Look::Weak,
        };
        let mark = if fault { ">" } else { " " };
        line.put(look, &format!("     {mark} {:<6}", holder.strength.to_string()));
        if times > 1 {
            let sign = if self.ascii { "x" } else { "\u{d7}" };
            line.put(look, &format!(" {} {sign}", count(times)));
        }
        line.put(Look::Plain, " ");
        let arrow = if self.ascii { " -> " } else { " → " };
        for (number, step) in holder.path.iter().enumerate() {
            if number > 0 {
                line.put(Look::Dim, arrow);
            }
            if step.cut {
                line.put(Look::Dim, if self.ascii { "..." } else { "…" }).put(Look::Dim, arrow);
            }
            let last = number + 1 == holder.path.len();
            line.put(if last { look } else { Look::Dim }, step.op.name());
            let lines = if last { holder.user_lines() } else { None };
            if let Some(location) = lines.as_ref().map(|(line, _)| line).or(step.location.as_ref())
            {
                let text = format!(" {}", short(location));
                line.put(if last { Look::Plain } else { Look::Dim }, &text);
            }
        }
        let mut rest = format!("  {}", holder.thread);
        if holder.raw {
            rest.push_str("  raw pointer");
        }
        if let Some(span) = &holder.span {
            rest.push_str(&format!("  in `{span}`"));
        }
        line.put(Look::Dim, &rest);
        writeln!(out, "{}", line.finish())
    }

    /// A named row, folded at the width.
    fn row(&self, out: &mut impl fmt::Write, name: &str, text: &str) -> fmt::Result {
        let room = self.width.saturating_sub(INDENT).max(20);
        let mut first = true;
        for part in fold(text, room) {
            let mut line = self.line();
            if first {
                line.put(Look::Dim, "   = ").put(Look::Name, &format!("{name}:"));
            }
            line.to(INDENT).put(Look::Plain, &part);
            writeln!(out, "{}", line.finish())?;
            first = false;
        }
        Ok(())
    }
}

/// A place by the last parts of its path.
fn short(place: &Location) -> String {
    let file = place.file.rsplit(['/', '\\']).next().unwrap_or(&place.file);
    format!("{file}:{}", place.line)
}

/// A text in lines of at most `width`, broken between words.
fn fold(text: &str, width: usize) -> Vec<String> {
    let mut lines = vec![String::new()];
    for word in text.split_whitespace() {
        let last = lines.last_mut().expect("there is one");
        if last.is_empty() {
            last.push_str(word);
        } else if last.chars().count() + 1 + word.chars().count() <= width {
            last.push(' ');
            last.push_str(word);
        } else {
            lines.push(word.to_owned());
        }
    }
    lines
}

/// A leak report as JSON, one object on one line:
///
/// ```json
/// {"refscope_leaks":1, "verdict":"…", "objects":3, "allowed":0, "at_exit":false,
///  "untraced":{"objects":0,"events":0},
///  "leaks":[{"fingerprint":"3f2a9c01d5b7e860", "kind":"Rc", "type":"app::Session", "label":null, "count":3,
///    "bytes":72, "location":{"file":"src/main.rs","line":10,"column":17}, "thread":"main", "span":null, "age_ns":1200,
///    "help":"…", "fault":2, "ids":[1,2,3],
///    "handles":[{"number":2, "strength":"strong", "thread":"main", "age_ns":900, "raw":false, "span":null,
///      "path":[{"op":"new","file":"src/main.rs","line":10,"column":17}, …]}]}]}
/// ```
///
/// `handles` are those of the oldest object; `fault` is the number of the one at fault, or null; `ids` are the first
/// hundred. Keys may be added in later versions; `refscope_leaks` is the version, and changes when one changes its
/// meaning.
pub fn report_json(leaks: &LeakReport) -> String {
    use super::json::Json;
    use std::fmt::Write as _;

    let mut text = String::new();
    let place = |place: &Location| {
        let (file, line, column) = (Json(&place.file), place.line, place.column);
        format!(r#""file":{file},"line":{line},"column":{column}"#)
    };
    let _ = write!(
        text,
        r#"{{"refscope_leaks":1,"verdict":{},"objects":{},"allowed":{},"at_exit":{},"untraced":{{"objects":{},"events":{}}},"leaks":["#,
        Json(&leaks.verdict()),
        leaks.objects,
        leaks.allowed,
        leaks.kind == ReportKind::Exit,
        leaks.untraced.objects(),
        leaks.untraced.lost
    );
    for (i, leak) in leaks.leaks.iter().enumerate() {
        let object = leak.example();
        let ids: Vec<_> = leak.objects.iter().take(100).map(|o| o.id.to_string()).collect();
        let _ = write!(
            text,
            r#"{}{{"fingerprint":"{:016x}","kind":"{}","type":{},"label":{},"count":{},"bytes":{},"location":{{{}}},"thread":{},"span":{},"age_ns":{},"help":{},"fault":{},"ids":[{}],"handles":["#,
            if i > 0 { "," } else { "" },
            leak.fingerprint,
            object.kind,
            Json(&object.type_name),
            object.label.as_ref().map_or_else(|| "null".to_owned(), |l| Json(l).to_string()),
            leak.objects.len(),
            leak.bytes(),
            place(&object.location),
            Json(&object.thread),
            object.span.as_ref().map_or_else(|| "null".to_owned(), |s| Json(s).to_string()),
            leak.age.as_nanos(),
            Json(&leak.help),
            leak.fault().map_or_else(|| "null".to_owned(), |holder| holder.number.to_string()),
            ids.join(",")
        );
        for (i, holder) in object.handles.iter().enumerate() {
            let steps = holder.path.iter().map(|step| {
                let at = step.location.as_ref();
                let at = at.map_or_else(String::new, |at| format!(",{}", place(at)));
                let cut = if step.cut { r#","cut":true"# } else { "" };
                format!(r#"{{"op":{}{at}{cut}}}"#, Json(step.op.name()))
            });
            let now = object.created.as_nanos().saturating_add(leak.age.as_nanos() as u64);
            let _ = write!(
                text,
                r#"{}{{"number":{},"strength":"{}","thread":{},"age_ns":{},"raw":{},"span":{},"path":[{}]}}"#,
                if i > 0 { "," } else { "" },
                holder.number,
                holder.strength,
                Json(&holder.thread),
                now.saturating_sub(holder.created.as_nanos()),
                holder.raw,
                holder.span.as_ref().map_or_else(|| "null".to_owned(), |s| Json(s).to_string()),
                steps.collect::<Vec<_>>().join(",")
            );
        }
        text.push_str("]}");
    }
    text.push_str("]}");
    text
}

impl LeakReport {
    /// Returns the verdict in one line.
    pub fn verdict(&self) -> String {
        let bytes = self.leaks.iter().fold(0_u64, |sum, leak| sum.saturating_add(leak.bytes()));
        let size = super::bytes(bytes);
        let allowed = match self.allowed {
            0 => String::new(),
            n => format!("; {} allowed", count(n)),
        };
        let objects = plural(self.objects, "object");
        match (self.leaks.len() as u64, self.kind) {
            (0, ReportKind::Leaks) => format!("no leak{allowed}"),
            (0, ReportKind::Exit) => format!("nothing is held at exit{allowed}"),
            (0, ReportKind::Alive) => format!("nothing is alive{allowed}"),
            (n, ReportKind::Leaks) => {
                format!("{}: {objects} alive, {size}{allowed}", plural(n, "leak"))
            }
            (_, ReportKind::Exit) => format!("still held at exit: {objects}, {size}{allowed}"),
            (_, ReportKind::Alive) => format!("alive: {objects}, {size}{allowed}"),
        }
    }

    /// Returns the report as JSON: one object, documented at [`report_json`].
    pub fn json(&self) -> String {
        report_json(self)
    }

    /// Returns a line for each leak in the format of GitHub's and compatible logs, `::error file=…,line=…::…`, at the
    /// handle's line.
    pub fn annotations(&self) -> String {
        annotations(self)
    }
}

/// The report as plain text, 80 columns wide.
impl fmt::Display for LeakReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        ReportStyle::plain().write(self, f)
    }
}

/// As `Display`, so that `unwrap` and a test's `main` show something to read.
impl fmt::Debug for LeakReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl std::error::Error for LeakReport {}

/// See [`LeakReport::annotations`].
fn annotations(leaks: &LeakReport) -> String {
    // As GitHub's documentation of workflow commands escapes data and properties; the rest is shown in a log.
    let data = |text: &str| super::escape(&text.replace('%', "%25")).into_owned();
    let property = |text: &str| data(text).replace(':', "%3A").replace(',', "%2C");
    let mut text = String::new();
    for leak in leaks.leaks.iter().take(SHOWN) {
        let object = leak.example();
        let place = leak.fault().and_then(Handle::location).unwrap_or(&object.location);
        let name = format!("{}<{}>", object.kind, crate::event::short_type(&object.type_name));
        let says = format!(
            "{} alive, created at {}: {}",
            plural(leak.objects.len() as u64, "object"),
            object.location,
            leak.help
        );
        text.push_str(&format!(
            "::error file={},line={},col={},title={}::{}\n",
            property(&place.file),
            place.line,
            place.column,
            property(&format!("refscope: leak of {name}")),
            data(&says)
        ));
    }
    text
}
