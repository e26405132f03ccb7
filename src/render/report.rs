//! A leak report, as rustc prints diagnostics.

use super::style::{Line, Look};
use super::{Terminal, age, bytes, count, plural};
use crate::analysis::{Holder, Leak, Leaks, Told};
use crate::event::{Op, Strength};
use crate::recording::Place;
use std::fmt;
use std::io::{BufRead as _, BufReader};

/// How a report is drawn.
pub(crate) struct ReportStyle {
    color: bool,
    ascii: bool,
    width: usize,
}

/// Leaks that are shown.
const SHOWN: usize = 10;
/// Where a named row's text begins.
const INDENT: usize = 14;
/// Holders of one that are shown.
const HOLDERS: usize = 8;

impl Terminal {
    /// A leak report as text.
    ///
    /// Of each leak it shows the line that made the handle which keeps the value (with the source, where the file can
    /// be read from here), every other handle, how it came about, and what to do next.
    pub fn leaks(&self, leaks: &Leaks) -> String {
        let mut text = String::new();
        let style = ReportStyle { color: self.color, ascii: self.ascii, width: self.width };
        let _ = style.write(leaks, &mut text);
        text.truncate(text.trim_end().len());
        text.push('\n');
        text
    }
}

impl ReportStyle {
    pub(crate) fn plain() -> Self {
        Self { color: false, ascii: true, width: 80 }
    }

    fn line(&self) -> Line {
        Line::new(self.color)
    }

    pub(crate) fn write(&self, leaks: &Leaks, out: &mut impl fmt::Write) -> fmt::Result {
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
                "\nnote: a line tells where a handle was made, not where it is stored now"
            )?;
        }
        let unseen = leaks.unseen;
        for (number, thing, what) in [
            (unseen.left_out, "object", "not traced (a filter, a cap, a full ledger)"),
            (
                unseen.lost,
                "event",
                "lost by a full recorder: what it says of handles may be incomplete",
            ),
        ] {
            if number > 0 {
                write!(out, "\nnote: {} {what}", plural(number, thing))?;
            }
        }
        Ok(())
    }

    fn leak(
        &self,
        leaks: &Leaks,
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
        let what = match leaks.told {
            Told::Leaks => "leak",
            Told::AtExit => "held",
            Told::Alive => "alive",
        };
        let mut line = self.line();
        line.put(Look::Warning, &format!("{what} {number} of {}", leaks.leaks.len()))
            .put(Look::Name, &format!(": {times}{name}{label}, {}", bytes(leak.bytes())))
            .put(Look::Dim, &format!("  [{:08x}]", leak.fingerprint >> 32));
        writeln!(out, "\n{}", line.finish())?;
        let fault = leak.fault();
        if let Some(holder) = fault {
            self.excerpt(leak, holder, out)?;
        }
        let mut line = self.line();
        let span = object.span.as_ref().map_or_else(String::new, |span| format!(" in `{span}`"));
        let born = format!("{} on {}{span}, {} ago", object.born, object.thread, age(leak.age));
        line.put(Look::Dim, "   = ").put(Look::Name, "born:").to(INDENT).put(Look::Plain, &born);
        writeln!(out, "{}", line.finish())?;
        let strong: Vec<_> = object.strong().collect();
        let weak = object.holders.len() - strong.len();
        let each = if leak.objects.len() > 1 { " each" } else { "" };
        let held = match (strong.len(), weak) {
            (0, n) => format!(
                "{}{each} alone: the value is gone, its memory is not",
                plural(n as u64, "weak handle")
            ),
            (n, 0) => format!("{}{each}", plural(n as u64, "strong handle")),
            (n, w) => format!(
                "{}, {}{each}",
                plural(n as u64, "strong handle"),
                plural(w as u64, "weak one")
            ),
        };
        self.row(out, "held by", &held)?;
        // Handles that came about alike are one row, where the youngest stands.
        let mut rows: Vec<(&Holder, u64, bool)> = Vec::new();
        for holder in &object.holders {
            let alike = |(other, ..): &(&Holder, u64, bool)| other.is_like(holder);
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
            let told = format!("the ledger counts {} strong, {known} known", object.strong);
            self.row(out, "note", &told)?;
        }
        self.row(out, "help", &leak.help)
    }

    /// The source line at fault, with a caret under what made the handle.
    fn excerpt(&self, leak: &Leak, holder: &Holder, out: &mut impl fmt::Write) -> fmt::Result {
        let Some(place) = holder.place() else { return Ok(()) };
        let op = holder.made().map_or(Op::New, |made| made.op);
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
        let Some(source) = source_line(place) else {
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
        holder: &Holder,
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
        for (step, made) in holder.path.iter().enumerate() {
            if step > 0 {
                line.put(Look::Dim, arrow);
            }
            let last = step + 1 == holder.path.len();
            line.put(if last { look } else { Look::Dim }, made.op.name());
            if let Some(place) = &made.place {
                let text = format!(" {}", short(place));
                line.put(if last { Look::Plain } else { Look::Dim }, &text);
            }
        }
        let mut rest = format!("  {}", holder.thread);
        if holder.away {
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
fn short(place: &Place) -> String {
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

/// The source line, where the file can be read: from the working directory, or from the package's that cargo names.
pub(super) fn source_line(place: &Place) -> Option<String> {
    let path = std::path::Path::new(&*place.file);
    let package = std::env::var_os("CARGO_MANIFEST_DIR").map(std::path::PathBuf::from);
    let file = std::fs::File::open(path)
        .or_else(|error| package.map_or(Err(error), |root| std::fs::File::open(root.join(path))))
        .ok()?;
    BufReader::new(file).lines().nth((place.line as usize).checked_sub(1)?)?.ok()
}

/// A leak report as JSON, one object on one line:
///
/// ```json
/// {"refscope_leaks":1, "verdict":"…", "objects":3, "allowed":0, "at_exit":false,
///  "unseen":{"left_out":0,"lost":0},
///  "leaks":[{"fingerprint":"3f2a9c01d5b7e860", "kind":"Rc", "type":"app::Session", "label":null, "count":3,
///    "bytes":72, "born":{"file":"src/main.rs","line":10,"column":17}, "thread":"main", "span":null, "age_ns":1200,
///    "help":"…", "fault":2, "ids":[1,2,3],
///    "holders":[{"number":2, "strength":"strong", "thread":"main", "age_ns":900, "away":false, "span":null,
///      "path":[{"op":"new","file":"src/main.rs","line":10,"column":17}, …]}]}]}
/// ```
///
/// `holders` are those of the oldest object; `fault` is the number of the one at fault, or null; `ids` are the first
/// hundred. Keys may be added in later versions; `refscope_leaks` is the version, and changes when one changes its
/// meaning.
pub fn report_json(leaks: &Leaks) -> String {
    use super::json::Json;
    use std::fmt::Write as _;

    let mut text = String::new();
    let place = |place: &Place| {
        let (file, line, column) = (Json(&place.file), place.line, place.column);
        format!(r#""file":{file},"line":{line},"column":{column}"#)
    };
    let _ = write!(
        text,
        r#"{{"refscope_leaks":1,"verdict":{},"objects":{},"allowed":{},"at_exit":{},"unseen":{{"left_out":{},"lost":{}}},"leaks":["#,
        Json(&leaks.verdict()),
        leaks.objects,
        leaks.allowed,
        leaks.told == Told::AtExit,
        leaks.unseen.left_out,
        leaks.unseen.lost
    );
    for (i, leak) in leaks.leaks.iter().enumerate() {
        let object = leak.example();
        let ids: Vec<_> = leak.objects.iter().take(100).map(|o| o.id.to_string()).collect();
        let _ = write!(
            text,
            r#"{}{{"fingerprint":"{:016x}","kind":"{}","type":{},"label":{},"count":{},"bytes":{},"born":{{{}}},"thread":{},"span":{},"age_ns":{},"help":{},"fault":{},"ids":[{}],"holders":["#,
            if i > 0 { "," } else { "" },
            leak.fingerprint,
            object.kind,
            Json(&object.type_name),
            object.label.as_ref().map_or_else(|| "null".to_owned(), |l| Json(l).to_string()),
            leak.objects.len(),
            leak.bytes(),
            place(&object.born),
            Json(&object.thread),
            object.span.as_ref().map_or_else(|| "null".to_owned(), |s| Json(s).to_string()),
            leak.age.as_nanos(),
            Json(&leak.help),
            leak.fault().map_or_else(|| "null".to_owned(), |holder| holder.number.to_string()),
            ids.join(",")
        );
        for (i, holder) in object.holders.iter().enumerate() {
            let steps = holder.path.iter().map(|made| {
                let at = made.place.as_ref().map_or_else(String::new, |p| format!(",{}", place(p)));
                format!(r#"{{"op":{}{at}}}"#, Json(made.op.name()))
            });
            let age = object.since.as_nanos() + leak.age.as_nanos() as u64;
            let _ = write!(
                text,
                r#"{}{{"number":{},"strength":"{}","thread":{},"age_ns":{},"away":{},"span":{},"path":[{}]}}"#,
                if i > 0 { "," } else { "" },
                holder.number,
                holder.strength,
                Json(&holder.thread),
                age.saturating_sub(holder.since.as_nanos()),
                holder.away,
                holder.span.as_ref().map_or_else(|| "null".to_owned(), |s| Json(s).to_string()),
                steps.collect::<Vec<_>>().join(",")
            );
        }
        text.push_str("]}");
    }
    text.push_str("]}");
    text
}

/// See [`Leaks::annotations`].
pub(crate) fn annotations(leaks: &Leaks) -> String {
    // What GitHub's documentation says of its workflow commands: data and properties are escaped like this.
    let data = |text: &str| text.replace('%', "%25").replace('\r', "%0D").replace('\n', "%0A");
    let property = |text: &str| data(text).replace(':', "%3A").replace(',', "%2C");
    let mut text = String::new();
    for leak in leaks.leaks.iter().take(SHOWN) {
        let object = leak.example();
        let place = leak.fault().and_then(|holder| holder.place()).unwrap_or(&object.born);
        let name = format!("{}<{}>", object.kind, crate::event::short_type(&object.type_name));
        let says = format!(
            "{} alive, born {}: {}",
            plural(leak.objects.len() as u64, "object"),
            object.born,
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
