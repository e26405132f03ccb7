use super::alike::Alike;
use super::chart::{self, Axis, By};
use super::excerpt::{Window, characters_before};
use super::source::{Recorded, Sources};
use super::style::{ASCII, Glyphs, Line, Look, UNICODE};
use super::sums::Sums;
use super::{age, bytes, count, plural};
use crate::analysis::{Lifeline, Timeline, Timelines};
use crate::event::{Op, Strength, Time};
use crate::model::Recording;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::io::{self, IsTerminal as _, Write as _};

/// Draws timelines as text: how wide, in colour or not, in Unicode or ASCII, how many objects.
///
/// Of each object it shows what it is and what became of it, the strong and weak counts over its history,
/// and a lifeline for every handle: what made it, where, on which thread, and until when it lived. The
/// history runs from left to right, by time or by [events](Self::by_events), as the axis below says. Handles that came and went alike are one row; objects to which the
/// same was done, on the same lines and threads, are one picture, of the first.
///
/// # Examples
///
/// ```
/// use refscope::{Rc, Scope, render::Terminal, sink::Recorder};
///
/// let recorder = Recorder::new();
/// Scope::new(recorder.clone()).run(|| drop(Rc::new(1).clone()));
/// let recording = recorder.recording();
/// let text = Terminal::plain(80).ascii(true).render_timelines(&recording.timelines());
/// assert!(text.is_ascii());
/// ```
#[must_use = "nothing is written until `print` or `to_string`"]
#[derive(Clone, Debug)]
pub struct Terminal {
    pub(super) source: Option<std::path::PathBuf>,
    pub(super) recorded: Recorded,
    pub(super) width: usize,
    pub(super) color: bool,
    pub(super) ascii: bool,
    by: By,
    limit: usize,
    sums: Option<Sums>,
}

/// Handles of an object that are shown a row each, if there are no more.
const FEW: usize = 9;
/// Living handles that are shown a row each even then.
const ALIVE: usize = 6;
/// Where a title ends, if the terminal is wider.
const WIDEST_TITLE: usize = 100;
/// Narrower than this nothing is legible.
const NARROWEST: usize = 60;

impl Terminal {
    /// Creates one for stdout: as wide as the environment's `COLUMNS` says, else as the terminal is, else 80 columns; in colour if
    /// it is a terminal and the environment does not say `NO_COLOR`. ASCII where the locale is `C` or `POSIX`.
    pub fn stdout() -> Self {
        Self::of(io::stdout().is_terminal(), 1)
    }

    /// Creates one for stderr, as [`stdout`](Self::stdout) does.
    pub fn stderr() -> Self {
        Self::of(io::stderr().is_terminal(), 2)
    }

    fn of(terminal: bool, file: i32) -> Self {
        let no_color = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
        let dumb = std::env::var_os("TERM").is_some_and(|term| term == "dumb");
        let locale = ["LC_ALL", "LC_CTYPE", "LANG"]
            .into_iter()
            .find_map(|name| std::env::var(name).ok().filter(|value| !value.is_empty()));
        let ascii = locale.is_some_and(|locale| locale == "C" || locale == "POSIX");
        Self {
            color: terminal && !no_color && !dumb,
            ..Self::plain(width(terminal.then_some(file)))
        }
        .ascii(ascii)
    }

    /// Creates one without colour, `width` columns wide (at least 60).
    pub fn plain(width: usize) -> Self {
        Self {
            source: None,
            recorded: Recorded::default(),
            width: width.max(NARROWEST),
            color: false,
            ascii: false,
            by: By::Time,
            limit: 8,
            sums: None,
        }
    }

    /// Sets whether to use colour.
    pub fn color(mut self, color: bool) -> Self {
        self.color = color;
        self
    }

    /// Sets whether to use ASCII alone. (Names and labels stay what they are.)
    pub fn ascii(mut self, ascii: bool) -> Self {
        self.ascii = ascii;
        self
    }

    /// Reads source lines below `root`: the directory in which the recorded program was built.
    ///
    /// By default they are read below the working directory, or the package's that cargo names. Of a recording
    /// from a file only `.rs` files below these are read, since it may name any file.
    pub fn source(mut self, root: impl Into<std::path::PathBuf>) -> Self {
        self.source = Some(root.into());
        self
    }

    /// Draws timelines by events, each as wide as the others, and not by time. Where a history is shorter than the recorder's
    /// clock can tell, that is so anyway.
    pub fn by_events(mut self) -> Self {
        self.by = By::Events;
        self
    }

    /// Reads the sources of a recording: also below the directory that it was made in, and no line of a file that is not, by
    /// length and hash, the one that was recorded. Of a file of which the recording does not say what it was, lines are shown
    /// from the directory that it was made in, or from one that is [given](Self::source).
    pub fn sources_of(mut self, recording: &Recording) -> Self {
        self.recorded = Recorded::of(recording);
        self
    }

    /// Sets how many objects to show at most, of which those that are alike count as one. What is alive comes first, then what had the most events.
    pub fn limit(mut self, objects: usize) -> Self {
        self.limit = objects;
        self
    }

    /// Sums up what a survey found, in place of the timelines that are drawn: these are some of its objects.
    #[cfg(feature = "json")]
    pub fn sums_of(mut self, survey: &crate::model::Survey) -> Self {
        self.sums = Some(Sums::of_survey(survey));
        self
    }

    /// Returns the text.
    pub fn render_timelines(&self, timelines: &Timelines<'_>) -> String {
        let mut text = String::new();
        let _ = self.write(timelines, &mut text);
        text
    }

    /// Writes the text to stdout. Whoever reads it may go away meanwhile.
    pub fn print(&self, timelines: &Timelines<'_>) {
        let _ = io::stdout().write_all(self.render_timelines(timelines).as_bytes());
    }

    pub(super) fn glyphs(&self) -> &'static Glyphs {
        if self.ascii { &ASCII } else { &UNICODE }
    }

    pub(super) fn line(&self) -> Line {
        Line::new(self.color)
    }

    /// How much of a history is left out, if something is.
    pub(super) fn omitted(&self, timeline: &Timeline<'_>) -> Option<String> {
        let (events, handles) = (timeline.omitted, timeline.omitted_handles);
        let are = if events == 1 { "is" } else { "are" };
        let ellipsis = if self.ascii { "..." } else { "…" };
        let mut text = format!("{ellipsis} {} in between {are} not shown", plural(events, "event"));
        if handles > 0 {
            let are = if handles == 1 { "is" } else { "are" };
            text += &format!(", nor {} that {are} alive", plural(handles, "handle"));
        }
        (events > 0).then_some(text)
    }

    pub(crate) fn write(
        &self,
        timelines: &Timelines<'_>,
        out: &mut impl fmt::Write,
    ) -> fmt::Result {
        let recording = timelines.recording();
        let mut shown = Alike::find(timelines.iter());
        shown.sort_by_key(|alike| {
            let t = alike.first();
            (!t.is_alive(), std::cmp::Reverse(t.events.len()), t.object.id)
        });
        shown.truncate(self.limit);
        shown.sort_by_key(|alike| (!alike.first().is_alive(), alike.first().object.id));
        let sources = &Sources::new(self.source.as_deref()).recorded(Recorded::of(recording));
        for alike in &shown {
            let (timeline, others) = (alike.first(), alike.all().len() as u64 - 1);
            Object { how: self, sources, recording, timeline, others }.write(out)?;
            writeln!(out)?;
        }
        let sums = self.sums.clone().unwrap_or_else(|| Sums::of(timelines));
        let shown: Vec<_> = shown.iter().flat_map(Alike::all).copied().collect();
        sums.write_rest(self, &shown, out)?;
        sums.write(self, recording.threads().len(), out)?;
        self.write_doubts(recording, out)
    }

    fn write_doubts(&self, recording: &Recording, out: &mut impl fmt::Write) -> fmt::Result {
        if recording.lost() > 0 {
            let mut line = self.line();
            let lost = plural(recording.lost(), "event");
            line.put(Look::Warning, &format!("lost: {lost}"));
            // Of a full recorder, a full disk, a stalled pipe or a signal's handler: it does not say which.
            line.put(Look::Plain, ", so that what is shown of handles may be incomplete.");
            writeln!(out, "{}", line.finish())?;
        }
        Ok(())
    }
}

impl Timelines<'_> {
    /// Prints them to stdout, as wide and as colourful as the terminal allows.
    pub fn print(&self) {
        Terminal::stdout().print(self);
    }
}

impl fmt::Display for Timelines<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        Terminal::plain(80).write(self, f)
    }
}

/// `Rc<Node>`
pub(super) fn type_of(timeline: &Timeline<'_>) -> String {
    let object = timeline.object;
    format!("{}<{}>", object.kind, crate::event::short_type(&object.type_name))
}

/// Cuts the front off, where a path says least.
fn shorten_front(text: &str, room: usize, glyphs: &Glyphs) -> String {
    let length = text.chars().count();
    if length <= room {
        return text.to_owned();
    }
    let keep = room.saturating_sub(glyphs.ellipsis.chars().count());
    let tail: String = text.chars().skip(length - keep).collect();
    format!("{}{tail}", glyphs.ellipsis)
}

/// Cuts the end off.
pub(super) fn shorten(text: &str, room: usize, glyphs: &Glyphs) -> String {
    if text.chars().count() <= room {
        return text.to_owned();
    }
    let keep = room.saturating_sub(glyphs.ellipsis.chars().count());
    let head: String = text.chars().take(keep).collect();
    format!("{head}{}", glyphs.ellipsis)
}

/// One object, drawn.
struct Object<'a> {
    how: &'a Terminal,
    sources: &'a Sources,
    recording: &'a Recording,
    timeline: &'a Timeline<'a>,
    /// How many others are alike.
    others: u64,
}

/// A row under an object: one handle, or several that came and went alike.
struct Row<'a> {
    number: String,
    what: String,
    site: String,
    thread: String,
    lines: Vec<&'a Lifeline>,
}

impl Row<'_> {
    /// How wide the columns of these rows are.
    fn widths(rows: &[Self]) -> [usize; 4] {
        rows.iter().fold([0; 4], |widest, row| {
            let mine = [&row.number, &row.what, &row.site, &row.thread];
            std::array::from_fn(|column| widest[column].max(crate::text::width(mine[column])))
        })
    }

    fn alive(&self) -> bool {
        self.lines.iter().any(|line| line.is_alive())
    }

    /// How and on which line the handles ended, if that is known and the same for all.
    fn end(&self) -> Option<(Op, u32)> {
        let end = |line: &&Lifeline| line.end.and_then(|end| Some((end.op, end.location?)));
        let first = end(self.lines.first()?)?;
        self.lines.iter().all(|line| end(line) == Some(first)).then_some(first)
    }

    fn strength(&self) -> Strength {
        self.lines[0].strength
    }
}

impl Object<'_> {
    fn write(&self, out: &mut impl fmt::Write) -> fmt::Result {
        let rows = self.rows();
        writeln!(out, "{}", self.title())?;
        writeln!(out, "{}", self.facts())?;
        // The columns left of the chart are as wide as what stands in them, and the chart gets the rest.
        let [number, what, sites, thread] = Row::widths(&rows);
        let what = what.max("strong ".len());
        let thread = thread.min(16);
        let fixed = 2 + number + 2 + what + 2 + 2 + thread + 2 + " alive".len();
        let room = self.how.width.saturating_sub(fixed);
        let site = sites.min(room / 2).max(8);
        let columns = room.saturating_sub(site).clamp(8, 72);
        let end = if self.timeline.is_alive() { self.recording.end_time() } else { Time::START };
        let axis = Axis::new(self.timeline, self.how.by, end, columns);
        let chart = fixed - " alive".len() + site;

        writeln!(out)?;
        self.write_steps(out, axis, chart, 2 + number + 2)?;
        for row in &rows {
            let mut line = self.how.line();
            let look = self.look(row);
            if row.alive() {
                let raw = row.lines.iter().all(|line| line.raw.is_some());
                let glyphs = self.how.glyphs();
                line.put(look, if raw { glyphs.raw } else { glyphs.alive });
            }
            line.to(2 + number - row.number.chars().count()).put(look, &row.number);
            line.to(2 + number + 2).put(if row.alive() { look } else { Look::Plain }, &row.what);
            let at = shorten_front(&row.site, site, self.how.glyphs());
            line.to(4 + number + what + 2).put(if row.alive() { look } else { Look::Dim }, &at);
            let on = shorten(&row.thread, thread, self.how.glyphs());
            line.to(4 + number + what + 2 + site + 2).put(Look::Dim, &on);
            line.to(chart).put(look, &self.draw(axis, row));
            if let Some(fate) = self.fate_of(row) {
                line.put(Look::Plain, " ").put(look, &fate);
            }
            writeln!(out, "{}", line.finish())?;
            if let Some((op, location)) = row.end() {
                let mut line = self.how.line();
                let text = format!("{op} at {}", self.site(location));
                line.to(4 + number + what + 2).put(Look::Dim, &text);
                writeln!(out, "{}", line.finish())?;
            }
        }
        if let Some(label) = axis.label() {
            let mut line = self.how.line();
            line.to(chart).put(Look::Dim, &label);
            writeln!(out, "{}", line.finish())?;
        }
        if let Some(omitted) = self.how.omitted(self.timeline) {
            let mut line = self.how.line();
            line.put(Look::Warning, &format!("  {omitted}"));
            writeln!(out, "{}", line.finish())?;
        }
        self.write_keeper(out)
    }

    /// Of an object that is alive, the source line of the youngest handle that keeps it, where it can be read: what a
    /// person would open the editor for.
    fn write_keeper(&self, out: &mut impl fmt::Write) -> fmt::Result {
        let strong = self
            .timeline
            .lifelines
            .iter()
            .rev()
            .filter(|line| line.is_alive() && line.strength == Strength::Strong);
        let keeper =
            strong.clone().find(|line| !line.op.begins()).or_else(|| strong.clone().next());
        let Some(line) = keeper else { return Ok(()) };
        let Some(location) = line.location.map(|index| &self.recording.locations()[index as usize])
        else {
            return Ok(());
        };
        let Some(source) = self.sources.line(location) else { return Ok(()) };
        let glyphs = self.how.glyphs();
        let mut row = self.how.line();
        row.put(Look::Alive, &format!("  kept by {} ", line.handle.number()))
            .put(Look::Dim, &glyphs.bar.to_string());
        row.put(Look::Plain, " ");
        let room = self.how.width.saturating_sub(row.width());
        // What does not fit is cut off where the handle was not made.
        let source = source.trim_end();
        let indent = source.chars().take_while(|c| c.is_whitespace()).count();
        let start = characters_before(source, location.column).saturating_sub(indent);
        let text: Vec<char> = source.chars().skip(indent).collect();
        let is_word = |c: &&char| c.is_alphanumeric() || **c == '_';
        let length = text.iter().skip(start).take_while(is_word).count().max(1);
        // With some of what follows.
        let behind = text.len().saturating_sub(start + length).min(room / 2).saturating_sub(1);
        let shown = Window { ascii: self.how.ascii, room }.of(&text, start, length, behind);
        row.put(Look::Plain, &shown.text);
        writeln!(out, "{}", row.finish())
    }

    fn look(&self, row: &Row<'_>) -> Look {
        match (row.alive(), row.strength()) {
            (true, Strength::Strong) => Look::Alive,
            (_, Strength::Weak) => Look::Weak,
            (false, Strength::Strong) => Look::Strong,
        }
    }

    /// What it is, and what became of it.
    fn title(&self) -> String {
        let (timeline, glyphs) = (self.timeline, self.how.glyphs());
        // On a wide terminal what became of it stays near what it is.
        let width = self.how.width.min(WIDEST_TITLE);
        let mut line = self.how.line();
        let fate = match timeline.fate() {
            _ if timeline.is_alive() => format!("ALIVE{}{} strong", glyphs.dot, timeline.strong()),
            Some(Op::Drop) => "dropped".to_owned(),
            Some(Op::MovedOut | Op::IntoInner) => "moved out".to_owned(),
            Some(Op::IntoStd) => "left as std's".to_owned(),
            _ => "no strong handle".to_owned(),
        };
        let weak = match timeline.weak() {
            0 => String::new(),
            weak => format!("{}{weak} weak", glyphs.dot),
        };
        let each = if self.others > 0 { " each" } else { "" };
        let fate = format!("{fate}{weak}{each}");
        let label = timeline.object.label.as_ref().map(|label| format!(" {label:?}"));
        let label = label.unwrap_or_default();
        let id = match self.others {
            0 => timeline.object.id.to_string(),
            others => format!("{} and {} alike", timeline.object.id, count(others)),
        };
        let room = self
            .how
            .width
            .saturating_sub(id.len() + crate::text::width(&label) + fate.chars().count() + 4);
        line.put(Look::Name, &shorten(&type_of(timeline), room, glyphs));
        line.put(Look::Name, &label).put(Look::Dim, &format!(" {id}"));
        let at = width.saturating_sub(fate.chars().count());
        line.to(at.max(line.width() + 2));
        line.put(if timeline.is_alive() { Look::Alive } else { Look::Dim }, &fate);
        line.finish()
    }

    /// Where it was allocated, its size, how much happened.
    fn facts(&self) -> String {
        let (timeline, glyphs) = (self.timeline, self.how.glyphs());
        let place = &self.recording.locations()[timeline.object.location as usize];
        let events = plural(timeline.events.len() as u64 + timeline.omitted, "event");
        let mut rest = vec![bytes(timeline.object.size), events];
        rest.push(format!("peak {} strong", timeline.peak_strong));
        if timeline.peak_weak > 0 {
            rest.push(format!("{} weak", timeline.peak_weak));
        }
        if let (Some(first), Some(last)) = (timeline.points.first(), timeline.points.last()) {
            let end = if timeline.is_alive() { self.recording.end_time() } else { last.time };
            let lived = first.time.until(end.max(last.time));
            if !lived.is_zero() {
                let whose = if self.others > 0 { " the first" } else { "" };
                rest.push(format!("{}{whose}", age(lived)));
            }
        }
        if !timeline.whole && timeline.omitted == 0 {
            rest.push("with gaps".to_owned());
        }
        let most = self.how.width.saturating_sub("  at ".len() + 16 + glyphs.dot.len());
        let rest = shorten(&rest.join(glyphs.dot), most, glyphs);
        let room = self
            .how
            .width
            .saturating_sub(2 + "at ".len() + glyphs.dot.len() + rest.chars().count());
        let mut line = self.how.line();
        line.put(Look::Dim, "  at ");
        line.put(Look::Plain, &shorten_front(&place.to_string(), room.max(16), glyphs));
        line.put(Look::Dim, glyphs.dot).put(Look::Dim, &rest);
        line.finish()
    }

    fn write_steps(
        &self,
        out: &mut impl fmt::Write,
        axis: Axis,
        chart: usize,
        label: usize,
    ) -> fmt::Result {
        let (timeline, glyphs) = (self.timeline, self.how.glyphs());
        let counts = [
            ("strong", Look::Strong, timeline.peak_strong, Strength::Strong),
            ("weak", Look::Weak, timeline.peak_weak, Strength::Weak),
        ];
        for (name, look, peak, strength) in counts {
            if peak == 0 {
                continue;
            }
            let steps = chart::steps(axis, &timeline.points, glyphs, |point| match strength {
                Strength::Strong => point.strong,
                Strength::Weak => point.weak,
            });
            let last = timeline.points.last().map_or(0, |point| match strength {
                Strength::Strong => point.strong,
                Strength::Weak => point.weak,
            });
            let mut line = self.how.line();
            line.to(label).put(look, name);
            line.to(chart).put(look, &steps);
            line.to(chart + axis.columns()).put(Look::Dim, &format!(" {last}"));
            writeln!(out, "{}", line.finish())?;
        }
        Ok(())
    }

    fn rows(&self) -> Vec<Row<'_>> {
        let lines = &self.timeline.lifelines;
        if lines.len() <= FEW {
            return lines.iter().map(|line| self.row(vec![line])).collect();
        }
        let living = lines.iter().filter(|line| line.is_alive()).count();
        let mut rows = Vec::new();
        let mut alike: BTreeMap<_, Vec<&Lifeline>> = BTreeMap::new();
        for (place, line) in lines.iter().enumerate() {
            if place == 0 || (line.is_alive() && living <= ALIVE) {
                rows.push(self.row(vec![line]));
            } else {
                let key = (line.is_alive(), line.op, line.location, line.end.map(|end| end.op));
                alike.entry(key).or_default().push(line);
            }
        }
        rows.extend(alike.into_values().map(|lines| self.row(lines)));
        rows.sort_by_key(|row| row.lines[0].handle);
        rows
    }

    fn row<'a>(&self, lines: Vec<&'a Lifeline>) -> Row<'a> {
        let glyphs = self.how.glyphs();
        let first = lines[0];
        let threads: BTreeSet<u32> = lines.iter().map(|line| line.thread).collect();
        let alone = lines.len() == 1;
        let name = first.op.name();
        let what = match first.from {
            _ if !alone => {
                format!("{name} {}{}", glyphs.times, count(lines.len() as u64))
            }
            Some(from) if from.object() != self.timeline.object.id => format!("{name} of {from}"),
            Some(from) => format!("{name} of {}", from.number()),
            None => name.to_owned(),
        };
        let site = first.location.map_or_else(String::new, |index| self.site(index));
        Row {
            number: if alone {
                first.handle.number().to_string()
            } else {
                glyphs.ellipsis.to_owned()
            },
            what,
            site,
            thread: if threads.len() == 1 {
                self.recording.threads()[first.thread as usize].to_string()
            } else {
                format!("{} threads", threads.len())
            },
            lines,
        }
    }

    /// The line, with the whole path where there is room, else with the file's name.
    fn site(&self, index: u32) -> String {
        let place = &self.recording.locations()[index as usize];
        if self.how.width >= 110 {
            return place.to_string();
        }
        let name = place.file.rsplit(['/', '\\']).next().unwrap_or(&place.file);
        format!("{name}:{}:{}", place.line, place.column)
    }

    fn draw(&self, axis: Axis, row: &Row<'_>) -> String {
        let glyphs = self.how.glyphs();
        match row.lines[..] {
            [line] => chart::lifeline(axis, line, glyphs),
            _ => chart::folded(axis, row.lines.iter().copied(), glyphs),
        }
    }

    fn fate_of(&self, row: &Row<'_>) -> Option<String> {
        let line = row.lines[0];
        let word = match (line.end, line.raw) {
            (None, Some(Op::Leak)) => "leaked",
            (None, Some(_)) => "raw",
            (None, None) => "alive",
            (Some(end), _) => match end.op {
                Op::MovedOut => "moved",
                Op::IntoStd | Op::WeakIntoStd => "to std",
                _ => return None,
            },
        };
        Some(word.to_owned())
    }
}

/// What the environment says, else the width of the terminal behind a file descriptor, if it is one.
fn width(terminal: Option<i32>) -> usize {
    let columns = std::env::var("COLUMNS").ok().and_then(|columns| columns.trim().parse().ok());
    columns.filter(|&columns| columns > 0).or_else(|| measured(terminal?)).unwrap_or(80)
}

#[cfg(all(unix, any(feature = "trace", feature = "json")))]
fn measured(file: i32) -> Option<usize> {
    let mut size = libc::winsize { ws_row: 0, ws_col: 0, ws_xpixel: 0, ws_ypixel: 0 };
    // SAFETY: WINSIZE: the request writes a `winsize`, and gets a place for one.
    let done = unsafe { libc::ioctl(file, libc::TIOCGWINSZ, &raw mut size) };
    (done == 0 && size.ws_col > 0).then_some(size.ws_col as usize)
}

#[cfg(not(all(unix, any(feature = "trace", feature = "json"))))]
fn measured(_: i32) -> Option<usize> {
    None
}
