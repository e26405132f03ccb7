//! A leak report, as rustc prints diagnostics.

mod handles;
mod made;

use super::names::Names;
use super::source::Sources;
use super::stored::AlikePaths;
use super::style::{Line, Look};
use super::verdict::heading;
use super::{Terminal, age, bytes, count, plural};
use crate::analysis::{HandleGroup, Leak, LeakReport, ReportKind, Total, totals};
use crate::event::{Location, Strength};
use crate::locate::{Doubt, Ownership};
use crate::model::LiveObject;
use crate::text::{short_file, width};
use std::fmt;

pub(crate) use handles::handles_of_one;
use made::user_line;

/// How a report is drawn.
pub(super) struct ReportStyle<'r> {
    pub(super) color: bool,
    pub(super) ascii: bool,
    pub(super) width: usize,
    pub(super) sources: Sources,
    names: Names<'r>,
}

/// Causes that are shown.
pub(super) const SHOWN: usize = 10;
/// Where a named row's text begins.
pub(super) const INDENT: usize = 14;
/// Groups of handles of one that are shown.
const HOLDERS: usize = 8;
/// Types of one that are shown.
const TYPES: usize = 4;

impl Terminal {
    /// Renders a leak report as text.
    ///
    /// For each cause it shows the line that made the handles which keep the values (with the source, if the file can
    /// be read from here), what it keeps, every other handle, how it came about, and what to do next.
    pub fn render_report(&self, report: &LeakReport) -> String {
        let mut text = String::new();
        let style = ReportStyle {
            color: self.color,
            ascii: self.ascii,
            width: self.width,
            sources: Sources::new(self.source.as_deref()).recorded(self.recorded.clone()),
            names: names(report),
        };
        let _ = style.write(report, &mut text);
        text.truncate(text.trim_end().len());
        text.push('\n');
        text
    }
}

impl Terminal {
    /// A text in lines of the terminal's width, with what the first and each further line begin with.
    pub(crate) fn fold(&self, text: &str, first: &str, further: &str) -> String {
        let room = self.width.saturating_sub(further.len()).max(20);
        let mut all = String::new();
        for (number, line) in fold(text, room).iter().enumerate() {
            all.push_str(if number == 0 { first } else { further });
            all.push_str(line);
            all.push('\n');
        }
        all
    }
}

/// The names of all files in a report.
fn names(report: &LeakReport) -> Names<'_> {
    let leaks = report.leaks.iter().take(SHOWN);
    let steps = leaks.clone().flat_map(|leak| {
        let handles = leak.handles.iter().take(HOLDERS).map(|group| &group.example);
        handles.flat_map(|handle| handle.path.iter().chain(&handle.left))
    });
    let locations = steps.filter_map(|step| step.location.as_ref());
    Names::new(locations.chain(leaks.filter_map(|leak| leak.cause.location.as_ref())))
}

impl<'r> ReportStyle<'r> {
    pub(super) fn plain(report: &'r LeakReport) -> Self {
        let sources = Sources::new(None);
        Self { color: false, ascii: true, width: 80, sources, names: names(report) }
    }

    pub(super) fn line(&self) -> Line {
        Line::new(self.color)
    }

    fn times(&self) -> &'static str {
        if self.ascii { "x" } else { "\u{d7}" }
    }

    pub(super) fn write(&self, report: &LeakReport, out: &mut impl fmt::Write) -> fmt::Result {
        let mut line = self.line();
        let look = if report.passes() { Look::Name } else { Look::Warning };
        line.put(look, "refscope").put(Look::Name, ": ");
        let indent = line.width();
        for part in fold(&report.verdict(), self.width.saturating_sub(indent)) {
            line.to(indent).put(Look::Name, &part);
            writeln!(out, "{}", line.finish())?;
            line = self.line();
        }
        if report.traced_nothing && report.kind == ReportKind::Check {
            self.row(
                out,
                "help",
                "what the check ran made no traced pointer in its scope. Are the pointers refscope's (`use \
                 refscope::Rc`)? Do the threads that make them enter the scope (`Scope::enter_thread`)? Else use \
                 `Check::whole_process`; or, where it is right, `Check::may_trace_nothing`",
            )?;
        }
        if report.ownership().is_some_and(Ownership::is_cut) {
            self.row(
                out,
                "note",
                match report.kind {
                    ReportKind::Check => {
                        "the search for where handles are stored ran out of its budget: nothing is said of what leaked, \
                         and only the paths that were found of what holds the rest. `Check::search_budget` gives it more"
                    }
                    _ => {
                        "the search for where handles are stored ran out of its budget: nothing is said of what leaked, \
                         and only the paths that were found of what holds the rest. `REFSCOPE=…,budget=10s` or \
                         `leaks::set_search_budget` gives it more"
                    }
                },
            )?;
        }
        let unknown = |ownership: &Ownership| ownership.doubts.contains(&Doubt::BlocksUnknown);
        if report.ownership().is_some_and(unknown) {
            self.row(out, "note", &Doubt::BlocksUnknown.to_string())?;
        }
        let alike = report.ownership().map(AlikePaths::new);
        let heading_of = |leak: &Leak| heading(leak, report.kind);
        let has_parts =
            report.leaks.iter().any(|leak| heading_of(leak) != heading_of(&report.leaks[0]));
        let mut before = "";
        for (number, leak) in report.leaks.iter().take(SHOWN).enumerate() {
            if has_parts && heading_of(leak) != before {
                before = heading_of(leak);
                let mut line = self.line();
                line.put(Look::Name, before);
                writeln!(out, "\n{}", line.finish())?;
            }
            self.leak(report, number + 1, leak, alike.as_ref(), out)?;
        }
        if report.leaks.len() > SHOWN {
            let rest = &report.leaks[SHOWN..];
            let objects: u64 = rest.iter().map(Leak::count).sum();
            let causes = plural(rest.len() as u64, "more line");
            writeln!(out, "\nand {causes}, of {}", plural(objects, "object"))?;
        }
        if !report.is_empty() {
            let note = match &report.located {
                // At the exit, and of a recording that was read, there is nobody to call it.
                None if cfg!(refscope_search)
                    && matches!(report.kind, ReportKind::Check | ReportKind::Alive) =>
                {
                    "locations show where a handle was created, not where it is stored, which \
                     `LeakReport::locate` finds; sizes"
                        .to_owned()
                }
                None => "locations show where a handle was created, not where it is stored; sizes"
                    .to_owned(),
                Some(Err(why)) => format!("{why}; sizes"),
                Some(Ok(_)) => "sizes".to_owned(),
            };
            let note = format!("{note} are the values' own, without what they have on the heap");
            write!(out, "\nnote: {}", fold(&note, self.width.saturating_sub(6)).join("\n      "))?;
        }
        if report.taken_over && !report.is_empty() {
            let note =
                "the program installed a sink of its own; what it made since is not recorded";
            write!(out, "\nnote: {}", fold(note, self.width.saturating_sub(6)).join("\n      "))?;
        }
        if let Some(note) = outside(report) {
            let fold = |line: &str| fold(line, self.width).join("\n");
            let lines: Vec<_> = note.lines().map(fold).collect();
            write!(out, "\n{}", super::escape_lines(&lines.join("\n")))?;
        }
        let untraced = report.untraced();
        for (number, thing, what) in [
            (untraced.objects(), "object", "not traced (a filter, or a full ledger)"),
            (untraced.handles_refused, "handle", "not traced (a full ledger)"),
            (untraced.inside_sink, "object", "not traced, since a sink allocated it"),
            (
                untraced.past_limits,
                "handle or event",
                "not traced, since an object was near its limits",
            ),
            (untraced.lost, "event", "lost: what is said of handles may be incomplete"),
            (untraced.paths_cut, "path", "cut to its ends (the table of paths is full)"),
            (untraced.spans_unknown, "handle", "without its span (the table of spans is full)"),
            (untraced.threads_unnamed, "thread", "without its name (the table of names is full)"),
        ] {
            if number > 0 {
                write!(out, "\nnote: {} {what}", plural(number, thing))?;
            }
        }
        Ok(())
    }

    fn leak(
        &self,
        report: &LeakReport,
        number: usize,
        leak: &Leak,
        alike: Option<&AlikePaths<'_>>,
        out: &mut impl fmt::Write,
    ) -> fmt::Result {
        let line_of = match (&leak.cause.location, leak.fault()) {
            (Some(location), _) => self.names.line(location),
            (None, Some(_)) => "a line that is not known".to_owned(),
            (None, None) => "handles that are not known".to_owned(),
        };
        let keeps = if line_of.starts_with("handles") { "keep" } else { "keeps" };
        let of_all = plural(report.objects, "object");
        let is_dropped = leak.all_objects().all(LiveObject::is_dropped);
        let title = match (leak.count(), report.objects) {
            (1, 1) if is_dropped => {
                format!("{line_of} {keeps} the memory of this object, whose value is dropped")
            }
            (n, _) if is_dropped => format!(
                "{line_of} {keeps} the memory of {} of {of_all}, whose values are dropped",
                count(n)
            ),
            (1, 1) => format!("{line_of} {keeps} this object alive"),
            (2, 2) => format!("{line_of} {keeps} both objects alive"),
            (n, all) if n == all => format!("{line_of} {keeps} all {of_all} alive"),
            (n, _) => format!("{line_of} {keeps} {} of {of_all} alive", count(n)),
        };
        let part = match leak.parts.iter().next() {
            Some((part, &objects)) if objects == leak.count() => format!(", {part}"),
            _ => String::new(),
        };
        let mut line = self.line();
        line.put(Look::Warning, &format!("{number} of {}", report.leaks.len()));
        line.put(Look::Name, ": ");
        let (indent, print) = (line.width(), format!("  [{:08x}]", leak.fingerprint >> 32));
        let room = self.width.saturating_sub(indent + print.len());
        writeln!(out)?;
        for (n, text) in fold(&format!("{title}{part}"), room.max(20)).iter().enumerate() {
            if n > 0 {
                writeln!(out, "{}", line.finish())?;
                line = self.line();
            }
            line.to(indent).put(Look::Name, text);
        }
        line.put(Look::Dim, &print);
        writeln!(out, "{}", line.finish())?;
        if let Some(holder) = leak.fault() {
            self.excerpt(leak, holder, out)?;
            self.made_by(leak, holder, out)?;
            self.stack(leak, holder, out)?;
        }
        self.objects(&leak.objects, "object", out)?;
        self.objects(&leak.retained, "below", out)?;
        let oldest = if leak.objects.len() > 1 { " (the oldest)" } else { "" };
        self.row(out, "age", &format!("{}{oldest}", age(leak.age)))?;
        if leak.parts.len() > 1 || leak.parts.values().any(|&objects| objects < leak.count()) {
            let parts = leak.parts.iter().take(TYPES);
            let parts: Vec<_> = parts.map(|(part, n)| format!("{} {part}", count(*n))).collect();
            self.row(out, "of them", &parts.join(", "))?;
        }
        self.row(out, "held by", &held_by(leak))?;
        for group in leak.handles.iter().take(HOLDERS) {
            self.holder(group, &[], out)?;
        }
        if leak.handles.len() > HOLDERS {
            let rest = &leak.handles[HOLDERS..];
            let handles = rest.iter().map(|group| group.count).sum();
            writeln!(out, "       and {}, made in other ways", plural(handles, "handle"))?;
        }
        let counted: u64 = leak.objects.iter().map(|object| u64::from(object.strong)).sum();
        let known: u64 =
            leak.objects.iter().map(|object| object.strong_handles().count() as u64).sum();
        if known != counted {
            let (counted, known) = (count(counted), count(known));
            let text = format!("the ledger counts {counted} strong, {known} known");
            self.row(out, "note", &text)?;
        }
        if let (Some(ownership), Some(alike)) = (report.ownership(), alike) {
            let mut paths = alike.paths(leak);
            if ownership.is_cut() {
                paths.retain(|path| ownership.is_root_found(path.object));
            }
            self.stored(ownership, &paths, out)?;
        }
        self.row(out, "help", &leak.help.in_report(report.kind).to_string())
    }

    /// A row for each type and line that allocated objects; for one that is alone, two.
    fn objects(
        &self,
        objects: &[LiveObject],
        name: &str,
        out: &mut impl fmt::Write,
    ) -> fmt::Result {
        let mut all = totals(objects);
        all.sort_by_key(|total| std::cmp::Reverse(total.objects));
        for (number, total) in all.iter().take(TYPES).enumerate() {
            let is = |o: &&LiveObject| {
                o.kind == total.kind
                    && o.type_name == total.type_name
                    && o.location == total.location
            };
            let mine: Vec<_> = objects.iter().filter(is).collect();
            let (what, created) = self.total(total, &mine);
            if all.len() == 1 && name == "object" {
                self.row(out, name, &what)?;
                self.row(out, "created", &created)?;
            } else {
                let name = if number == 0 { name } else { "" };
                self.row(out, name, &format!("{what}, created at {created}"))?;
            }
        }
        if all.len() > TYPES {
            let objects = all[TYPES..].iter().map(|total| total.objects).sum();
            let text = format!("and {} of other types or lines", plural(objects, "object"));
            self.row(out, "", &text)?;
        }
        Ok(())
    }

    /// What they are, and where they were created.
    fn total(&self, total: &Total, objects: &[&LiveObject]) -> (String, String) {
        let name = format!("{}<{}>", total.kind, crate::event::short_type(&total.type_name));
        let times = match total.objects {
            1 => String::new(),
            n => format!("{} {} ", count(n), self.times()),
        };
        let mut labels: Vec<_> =
            objects.iter().filter_map(|object| object.label.as_ref()).collect();
        labels.dedup();
        let more = if labels.len() > 3 { ", and others" } else { "" };
        let labels: Vec<_> = labels.iter().take(3).map(|label| format!("{label:?}")).collect();
        let labels = match labels.is_empty() {
            true => String::new(),
            false => format!(" {}{more}", labels.join(", ")),
        };
        let alike = |of: fn(&LiveObject) -> Option<&str>| {
            let first = of(objects[0]);
            (objects.iter().all(|object| of(object) == first), first)
        };
        let thread = match alike(|object| Some(&object.thread)) {
            // Of a birth that a recording gave up.
            (true, Some("")) => String::new(),
            (true, Some(thread)) => format!(" on {thread}"),
            _ => " on several threads".to_owned(),
        };
        let span = match alike(|object| object.span.as_deref()) {
            (true, Some(span)) => format!(" in `{span}`"),
            (false, _) => " in several spans".to_owned(),
            _ => String::new(),
        };
        let size = bytes(total.bytes);
        let made = at(&total.location);
        let created = match user_line(objects) {
            None => format!("{made}{thread}{span}"),
            Some(line) => {
                let maker = if total.location.is_std() { "std" } else { "a derive" };
                format!("{}{thread}{span}, by {maker} at {made}", at(&line))
            }
        };
        (format!("{times}{name}{labels}, {size}"), created)
    }

    /// A row for handles that were made alike, with what else is said of them.
    fn holder(
        &self,
        group: &HandleGroup,
        notes: &[String],
        out: &mut impl fmt::Write,
    ) -> fmt::Result {
        let holder = &group.example;
        let look = match (group.is_fault, holder.strength) {
            (true, _) => Look::Alive,
            (_, Strength::Strong) => Look::Strong,
            (_, Strength::Weak) => Look::Weak,
        };
        let mark = if group.is_fault { ">" } else { " " };
        let mut line = self.line();
        line.put(look, &format!("     {mark} {:<6}", holder.strength.to_string()));
        if group.count > 1 {
            line.put(look, &format!(" {} {}", count(group.count), self.times()));
        }
        line.put(Look::Plain, " ");
        // What stands together on a line: a step with the arrow to the next, and what is said of the handle.
        let arrow = if self.ascii { " -> " } else { " → " };
        let mut parts: Vec<Vec<(Look, String)>> = Vec::new();
        let steps: Vec<_> = holder.path.iter().chain(&holder.left).collect();
        for (number, step) in steps.iter().enumerate() {
            let mut part = Vec::new();
            if step.cut {
                let ellipsis = if self.ascii { "..." } else { "…" };
                part.push((Look::Dim, format!("{ellipsis}{arrow}")));
            }
            let last = number + 1 == steps.len();
            part.push((if last { look } else { Look::Dim }, step.op.name().to_owned()));
            let made = number + 1 == holder.path.len();
            let lines = if made { holder.user_lines() } else { None };
            if let Some(place) = lines.as_ref().map(|(line, _)| line).or(step.location.as_ref()) {
                let look = if last { Look::Plain } else { Look::Dim };
                part.push((look, format!(" {}", self.names.line(place))));
            }
            if !last {
                part.push((Look::Dim, arrow.to_owned()));
            }
            parts.push(part);
        }
        parts.push(vec![(Look::Dim, format!("  {}", holder.thread))]);
        if holder.raw && holder.left.is_none() {
            parts.push(vec![(Look::Dim, "  raw pointer".to_owned())]);
        }
        if let Some(span) = &holder.span {
            parts.push(vec![(Look::Dim, format!("  in `{span}`"))]);
        }
        parts.extend(notes.iter().map(|note| vec![(Look::Dim, format!("  {note}"))]));
        // Where a line has nothing yet but its indentation.
        let (mut is_first, mut is_empty) = (true, true);
        for part in parts {
            let texts = part.iter().map(|(_, text)| text.as_str());
            let wide: usize = texts.clone().map(width).sum();
            let blank =
                texts.clone().next_back().map_or(0, |text| width(text) - width(text.trim_end()));
            if !is_empty && line.width() + wide - blank > self.width {
                writeln!(out, "{}", line.finish())?;
                line = self.line();
                line.to(INDENT);
                (is_first, is_empty) = (false, true);
            }
            let mut trims = is_empty && !is_first;
            for (look, text) in part {
                line.put(look, if trims { text.trim_start() } else { &text });
                trims = false;
            }
            is_empty = false;
        }
        writeln!(out, "{}", line.finish())
    }

    /// A named row, folded at the width.
    fn row(&self, out: &mut impl fmt::Write, name: &str, text: &str) -> fmt::Result {
        let room = self.width.saturating_sub(INDENT).max(20);
        let mut first = !name.is_empty();
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

/// Totals over all objects, and what each has.
fn held_by(leak: &Leak) -> String {
    let strong = |object: &LiveObject| match object.strong_handles().count() {
        // Of an object older than the recording, the count may be all that is known.
        0 => u64::from(object.strong),
        n => n as u64,
    };
    let weak = |object: &LiveObject| {
        object.handles.iter().filter(|handle| handle.strength == Strength::Weak).count() as u64
    };
    let say = |of: &dyn Fn(&LiveObject) -> u64, thing: &str| -> Option<String> {
        let (mut sum, mut least, mut most) = (0, u64::MAX, 0);
        for object in &leak.objects {
            let n = of(object);
            (sum, least, most) = (sum + n, least.min(n), most.max(n));
        }
        Some(match leak.objects.len() {
            _ if sum == 0 => return None,
            1 => plural(sum, thing),
            _ if least == most => format!("{}, {} each", plural(sum, thing), count(least)),
            _ => format!("{}, {} to {} each", plural(sum, thing), count(least), count(most)),
        })
    };
    match (say(&strong, "strong handle"), say(&weak, "weak handle")) {
        (Some(strong), Some(weak)) => format!("{strong}; {weak}"),
        (Some(strong), None) => strong,
        (None, Some(weak)) => format!("{weak}: the value is dropped, its memory is not"),
        (None, None) => "no handle that is known".to_owned(),
    }
}

/// What is alive and was not looked at.
pub(super) fn outside(report: &LeakReport) -> Option<String> {
    if report.outside.is_empty() {
        return None;
    }
    let objects: u64 = report.outside.iter().map(|total| total.objects).sum();
    let (verb, them) = if objects == 1 { ("is", "it") } else { ("are", "them") };
    let mut text = format!(
        "note: {} {verb} alive that {} made meanwhile on threads which entered no scope; the check did not look at {them}:",
        plural(objects, "object"),
        if objects == 1 { "was" } else { "were" },
    );
    for total in report.outside.iter().take(SHOWN) {
        let name = format!("{}<{}>", total.kind, crate::event::short_type(&total.type_name));
        text.push_str(&format!("\n  {} x {name} at {}", count(total.objects), at(&total.location)));
    }
    if report.outside.len() > SHOWN {
        text.push_str(&format!("\n  and {} more lines", report.outside.len() - SHOWN));
    }
    text.push_str("\n  (their threads can enter by `Scope::enter_thread`; `Check::whole_process` looks at all)");
    Some(text)
}

/// A location, its file without what is the same for all of a registry or toolchain.
pub(in crate::render) fn at(location: &Location) -> String {
    format!("{}:{}:{}", short_file(&location.file), location.line, location.column)
}

/// Words with this between them stay in one line, where there is room: it becomes a space.
pub(super) const GLUE: char = '\u{a0}';

/// A text in lines of at most `room` columns, broken between words.
pub(super) fn fold(text: &str, room: usize) -> Vec<String> {
    let indent: String = text.chars().take_while(|c| *c == ' ').collect();
    let mut lines = vec![indent.clone()];
    let parts = |word: &str| match width(word) <= room {
        true => vec![word.replace(GLUE, " ")],
        false => word.split(GLUE).map(str::to_owned).collect(),
    };
    for word in text.split([' ', '\n']).filter(|word| !word.is_empty()).flat_map(parts) {
        let word = word.as_str();
        let last = lines.last_mut().expect("there is one");
        if last.len() == indent.len() {
            last.push_str(word);
        } else if width(last) + 1 + width(word) <= room {
            last.push(' ');
            last.push_str(word);
        } else {
            lines.push(format!("{indent}{word}"));
        }
    }
    lines
}

/// The report as plain text, 80 columns wide.
impl fmt::Display for LeakReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        ReportStyle::plain(self).write(self, f)
    }
}

/// As `Display`, so that `unwrap` and a test's `main` show something to read.
impl fmt::Debug for LeakReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl std::error::Error for LeakReport {}

#[cfg(test)]
mod tests {
    use crate::analysis::LeakReport;

    #[test]
    fn why_there_was_no_search_is_said() {
        let scope = crate::Scope::tracking();
        let _kept = scope.run(|| crate::Rc::new(1));
        let mut report = LeakReport::new(scope.alive(), crate::event::Time::coarse());
        report.located = Some(Err(crate::locate::Unavailable::Busy.to_string()));
        let text = report.to_string().split_whitespace().collect::<Vec<_>>().join(" ");
        let note =
            "note: not searched where handles are stored: another search has not ended; sizes are";
        assert_eq!(text.contains(note), crate::ENABLED, "{text}");
    }
}
