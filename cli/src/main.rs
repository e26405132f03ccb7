//! The command `refscope`: reads recordings, and says who keeps what alive.
//!
//! `cargo install refscope-cli`, then `refscope leaks run.jsonl`.

mod fix;
mod top;

use clap::{Args, Parser, Subcommand, ValueEnum};
use refscope::__private::{escape, totals};
use refscope::Recording;
use refscope::analysis::{LeakReport, ReportKind, Snapshot, Timeline, Timelines};
use refscope::event::Time;
use refscope::model::{LiveObject, Moment};
use refscope::render::{self, Terminal};
use refscope::{ObjectId, Op, stack};
use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::{self, BufRead, BufReader, IsTerminal as _, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Instant;
use top::By;

/// Reads recordings of refscope, and says who keeps what alive.
///
/// A recording is what `REFSCOPE=record=run.jsonl` or a `FileSink` wrote. Where a FILE is asked for, `-` is the
/// standard input.
#[derive(Parser)]
#[command(version, max_term_width = 100)]
struct Cli {
    #[command(subcommand)]
    command: Command,
    /// Where the recorded program was built: source lines are read from `.rs` files below it [default: the working
    /// directory]
    #[arg(long, global = true, value_name = "DIR")]
    source: Option<PathBuf>,
}

#[derive(Subcommand)]
enum Command {
    /// What was alive at the end, by the line that keeps it. Exit code 1 if there is any that is not allowed, or if
    /// nothing was traced
    Leaks {
        file: PathBuf,
        #[command(flatten)]
        filter: Filter,
        /// Allows objects whose type's full name or creation line contains this (repeat for several)
        #[arg(long, value_name = "WHAT")]
        allow: Vec<String>,
        /// Allows what this file lists: fingerprints, as the report shows them, first on a line each; `#` begins a
        /// comment. A report as text or JSON is such a list as well
        #[arg(long, value_name = "FILE")]
        baseline: Option<PathBuf>,
        /// What was alive at a mark, or so many seconds after the start, and what became of it
        #[arg(long, value_name = "MARK|SECONDS")]
        at: Option<String>,
        /// As JSON
        #[arg(long)]
        json: bool,
        /// As annotations of a CI's log
        #[arg(long)]
        annotations: bool,
    },
    /// The objects' histories: counts over time, and a lifeline for every handle
    Timeline {
        file: PathBuf,
        #[command(flatten)]
        filter: Filter,
        /// What the axis shows
        #[arg(long, default_value = "time")]
        by: AxisBy,
        /// How many objects
        #[arg(long, short = 'n', default_value_t = 8)]
        limit: usize,
    },
    /// What was alive at the end, by type and creation line, or by the stack that allocated it
    Top {
        file: PathBuf,
        #[command(flatten)]
        filter: Filter,
        /// What to sort by. Bytes are the values' own, without what they have on the heap
        #[arg(long, default_value = "count")]
        by: By,
        /// How many rows
        #[arg(long, short = 'n', default_value_t = 20)]
        limit: usize,
    },
    /// What is alive at the end of B and was not at the end of A, by type and creation line
    Diff {
        a: PathBuf,
        b: PathBuf,
        #[command(flatten)]
        filter: Filter,
    },
    /// Who cloned whom, of one object, as a tree
    Tree {
        /// The object's number
        object: ObjectId,
        file: PathBuf,
    },
    /// Swaps a package's imports of std's pointers, edits what does not compile then, and shows the diff
    Fix(fix::Fix),
    /// Which lines raised one object's count, which lowered it again, and what each still has
    Balance {
        /// The object's number
        object: ObjectId,
        file: PathBuf,
        /// As a tree of calls, where the recording has stacks
        #[arg(long)]
        tree: bool,
    },
    /// Stacks as inferno and flamegraph.pl read them, of what has them: what is alive, or what happened
    Flame {
        file: PathBuf,
        /// Of what: an operation's name, as `clone` or `drop`; of what is alive, where none is given
        #[arg(long)]
        of: Option<String>,
    },
    /// Writes the recording in another format
    Export {
        file: PathBuf,
        #[command(flatten)]
        filter: Filter,
        /// Which
        #[arg(long, short)]
        format: Format,
        /// Where to; the standard output, where it is not given
        #[arg(long, short)]
        output: Option<PathBuf>,
    },
}

#[derive(Clone, Copy, PartialEq, ValueEnum)]
enum AxisBy {
    Time,
    Events,
}

#[derive(Clone, Copy, PartialEq, ValueEnum)]
enum Format {
    /// A page to be looked at in a browser
    Html,
    /// A trace for Perfetto, or chrome://tracing
    Perfetto,
    /// The leak report's JSON
    Json,
    /// The clone tree of one object (--object), for Graphviz
    Dot,
}

/// Which objects.
#[derive(Args, Default)]
struct Filter {
    /// Whose type's full name contains this
    #[arg(long = "type", value_name = "NAME")]
    type_name: Option<String>,
    /// Allocated on a line whose path (src/main.rs:7) contains this
    #[arg(long, value_name = "PLACE")]
    site: Option<String>,
    /// With this number
    #[arg(long, value_name = "NUMBER")]
    object: Option<ObjectId>,
    /// Allocated on a thread whose name contains this
    #[arg(long, value_name = "NAME")]
    thread: Option<String>,
    /// Allocated so many seconds after the start, or later
    #[arg(long, value_name = "SECONDS")]
    from: Option<f64>,
    /// Allocated so many seconds after the start, or earlier
    #[arg(long, value_name = "SECONDS")]
    to: Option<f64>,
    /// Alive at the end
    #[arg(long)]
    alive: bool,
}

impl Filter {
    fn accepts(&self, type_name: &str, born: &str, id: ObjectId, thread: &str, nanos: u64) -> bool {
        let part = |part: &Option<String>, text: &str| {
            part.as_ref().is_none_or(|part| text.contains(part.as_str()))
        };
        let seconds = nanos as f64 / 1e9;
        part(&self.type_name, type_name)
            && part(&self.site, born)
            && part(&self.thread, thread)
            && self.object.is_none_or(|object| object == id)
            && self.from.is_none_or(|from| seconds >= from)
            && self.to.is_none_or(|to| seconds <= to)
    }

    fn living(&self, living: &mut Vec<LiveObject>) {
        living.retain(|o| {
            self.accepts(
                &o.type_name,
                &o.location.to_string(),
                o.id,
                &o.thread,
                o.created.as_nanos(),
            )
        });
    }

    fn timelines(&self, recording: &Recording, timelines: &mut Timelines<'_>) {
        timelines.retain(|t: &Timeline<'_>| {
            let born = recording.locations()[t.object.location as usize].to_string();
            let first = t.events.first();
            let thread = first.map_or("", |event| &*recording.threads()[event.thread as usize]);
            let nanos = first.map_or(0, |event| event.time.as_nanos());
            (!self.alive || t.is_alive())
                && self.accepts(&t.object.type_name, &born, t.object.id, thread, nanos)
        });
    }
}

fn main() -> ExitCode {
    let Cli { command, source } = Cli::parse();
    match run(command, source.as_deref()) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("refscope: {}", escape(&error.to_string()));
            ExitCode::from(2)
        }
    }
}

type Failed = Box<dyn std::error::Error>;

/// How `leaks` looks at what was alive.
struct Look<'a> {
    filter: &'a Filter,
    allow: &'a [String],
    baseline: Option<&'a Path>,
}

impl Look<'_> {
    fn report(
        &self,
        recording: &Recording,
        mut living: Vec<LiveObject>,
    ) -> Result<LeakReport, Failed> {
        self.filter.living(&mut living);
        for object in &mut living {
            let line = object.location.to_string();
            let is = |what: &String| object.type_name.contains(what) || line.contains(what);
            object.allowed |= self.allow.iter().any(is);
        }
        let report = LeakReport::of_living(recording, living, 0);
        match self.baseline {
            Some(path) => Ok(report.without(&baseline(path)?)),
            None => Ok(report),
        }
    }
}

/// The fingerprints that a file lists: words of 8 to 16 hexadecimal digits that begin a line, and those in the brackets or
/// quotes of a report.
fn baseline(path: &Path) -> Result<BTreeSet<String>, Failed> {
    let text = std::fs::read_to_string(path);
    let text = text.map_err(|error| format!("{}: {error}", path.display()))?;
    let is_print = |word: &&str| {
        (8..=16).contains(&word.len())
            && word.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
    };
    let mut known = BTreeSet::new();
    for line in text.lines() {
        let line = line.split('#').next().unwrap_or_default();
        known.extend(line.split_whitespace().next().filter(is_print).map(str::to_owned));
        let bracketed = line.trim_end().strip_suffix(']').and_then(|line| line.rsplit_once('['));
        known.extend(bracketed.map(|(_, word)| word).filter(is_print).map(str::to_owned));
        let quoted = line.split("\"fingerprint\":\"").skip(1);
        known.extend(
            quoted.filter_map(|rest| rest.split('"').next()).filter(is_print).map(str::to_owned),
        );
    }
    if known.is_empty() && !text.trim().is_empty() && !text.contains("nothing is alive") {
        return Err(format!("{}: there is no fingerprint in it", path.display()).into());
    }
    Ok(known)
}

/// What was alive at a mark or time, and what became of it.
fn leaks_at(
    file: &Path,
    at: &str,
    look: &Look<'_>,
) -> Result<(LeakReport, Recording, String), Failed> {
    if file == Path::new("-") {
        return Err("--at reads the recording twice: give a file, not the standard input".into());
    }
    let seconds: Option<f64> = at.strip_suffix('s').unwrap_or(at).parse().ok();
    let moment = match seconds.filter(|seconds| seconds.is_finite() && *seconds >= 0.0) {
        Some(seconds) => Moment::Time(Time::from_nanos((seconds * 1e9) as u64)),
        None => Moment::Mark(at.to_owned()),
    };
    let (whole, end) = read_living(file)?;
    let read = Recording::read_live_at(open(file)?, &moment);
    let read = read.map_err(|error| format!("{}, {error}", file.display()))?;
    let Some((recording, living)) = read else {
        let names: Vec<&str> = whole.marks().iter().map(|mark| mark.name.as_str()).collect();
        let what = match moment {
            Moment::Time(_) => {
                format!("it ends {:.3} s after its start", whole.end().as_nanos() as f64 / 1e9)
            }
            Moment::Mark(_) if names.is_empty() => "it has no marks".to_owned(),
            Moment::Mark(_) => format!("its marks are: {}", names.join(", ")),
        };
        return Err(format!("{}: there is no moment {at:?}; {what}", file.display()).into());
    };
    let alive: BTreeSet<ObjectId> = end.iter().map(|object| object.id).collect();
    let mut looked = living.clone();
    look.filter.living(&mut looked);
    let (kept, gone): (Vec<_>, Vec<_>) =
        looked.into_iter().partition(|object| alive.contains(&object.id));
    let mut became = format!(
        "\nof {} alive then, {} were alive at the end of the recording\n",
        kept.len() + gone.len(),
        kept.len()
    );
    for row in totals(&gone).iter().take(10) {
        let (name, line) = (escape(&row.type_name), row.location.to_string());
        became.push_str(&format!(
            "  dropped since: {} x {}<{name}> at {}\n",
            row.objects,
            row.kind,
            escape(&line)
        ));
    }
    let report = look.report(&recording, living)?.with_kind(ReportKind::Mark);
    Ok((report, recording, became))
}

/// Which process made the recording, in a line.
fn about(recording: &Recording) -> String {
    let Some(origin) = recording.origin().filter(|origin| !origin.program.is_empty()) else {
        return String::new();
    };
    let mut text = origin.program.clone();
    for argument in &origin.arguments {
        text.push(' ');
        text.push_str(argument);
    }
    let started = utc(origin.started / 1000);
    let (pid, host, directory) = (origin.pid, &origin.host, &origin.directory);
    let text = format!("{text}\nprocess {pid} on {host} in {directory}, from {started}");
    text.lines().map(|line| format!("{}\n", escape(line))).collect()
}

/// Seconds since 1970 as a date and time, in UTC.
fn utc(seconds: u64) -> String {
    // Days to a date: Howard Hinnant's `civil_from_days`.
    let (days, rest) = ((seconds / 86_400) as i64 + 719_468, seconds % 86_400);
    let era = days.div_euclid(146_097);
    let day_of_era = days.rem_euclid(146_097);
    let year_of_era =
        (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month + 2) / 5 + 1;
    let month = if month < 10 { month + 3 } else { month - 9 };
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    let (hour, minute, second) = (rest / 3600, rest / 60 % 60, rest % 60);
    format!("{year}-{month:02}-{day:02} {hour:02}:{minute:02}:{second:02} UTC")
}

fn open(path: &Path) -> Result<Box<dyn BufRead>, Failed> {
    if path == Path::new("-") {
        return Ok(Box::new(Progress::new(BufReader::new(io::stdin()))));
    }
    let told = |error: io::Error| format!("{}: {error}", path.display());
    let file = File::open(path).map_err(told)?;
    if file.metadata().map_err(told)?.is_dir() {
        return Err(
            format!("{}: this is a directory; a recording is a file", path.display()).into()
        );
    }
    Ok(Box::new(Progress::new(BufReader::with_capacity(1 << 20, file))))
}

/// Tells on a terminal's stderr how far a long recording has been read.
struct Progress<R> {
    input: R,
    read: u64,
    start: Instant,
    told: u64,
}

impl<R> Progress<R> {
    fn new(input: R) -> Self {
        Self { input, read: 0, start: Instant::now(), told: 0 }
    }
}

impl<R: BufRead> io::Read for Progress<R> {
    fn read(&mut self, to: &mut [u8]) -> io::Result<usize> {
        let read = self.input.read(to)?;
        self.read += read as u64;
        Ok(read)
    }
}

impl<R: BufRead> BufRead for Progress<R> {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        if self.read > self.told + (16 << 20)
            && self.start.elapsed().as_millis() > 500
            && io::stderr().is_terminal()
        {
            self.told = self.read;
            eprint!("\r{} MiB read", self.read >> 20);
        }
        self.input.fill_buf()
    }

    fn consume(&mut self, bytes: usize) {
        self.read += bytes as u64;
        self.input.consume(bytes);
    }
}

impl<R> Drop for Progress<R> {
    fn drop(&mut self) {
        if self.told > 0 {
            eprint!("\r\x1b[K");
        }
    }
}

fn read(path: &Path) -> Result<Recording, Failed> {
    let mut recording =
        Recording::read(open(path)?).map_err(|error| format!("{}, {error}", path.display()))?;
    told(&recording, path);
    recording.resolve_stacks();
    Ok(recording)
}

/// What was alive at the end, in memory that does not grow with the file.
fn read_living(path: &Path) -> Result<(Recording, Vec<LiveObject>), Failed> {
    let read = Recording::read_live(open(path)?);
    let (recording, living) = read.map_err(|error| format!("{}, {error}", path.display()))?;
    told(&recording, path);
    Ok((recording, living))
}

fn told(recording: &Recording, path: &Path) {
    if recording.truncated() {
        eprintln!(
            "refscope: {}: the last line is cut off, as by a process that was killed; it is left out",
            path.display()
        );
    }
    for damage in recording.damage() {
        eprintln!("refscope: {}, {damage}", path.display());
    }
}

fn run(command: Command, source: Option<&Path>) -> Result<ExitCode, Failed> {
    let terminal = || match source {
        Some(source) => Terminal::stdout().source(source),
        None => Terminal::stdout(),
    };
    let out = &mut io::stdout().lock();
    match command {
        Command::Leaks { file, filter, allow, baseline, at, json, annotations } => {
            let look = Look { filter: &filter, allow: &allow, baseline: baseline.as_deref() };
            let (report, recording, became) = match at {
                None => {
                    let (recording, living) = read_living(&file)?;
                    (look.report(&recording, living)?, recording, String::new())
                }
                Some(at) => leaks_at(&file, &at, &look)?,
            };
            let text = match (json, annotations) {
                (true, _) => format!("{}\n", report.json()),
                (_, true) => report.annotations(),
                _ => {
                    let terminal = terminal().sources_of(&recording);
                    format!("{}{}{became}", about(&recording), terminal.render_report(&report))
                }
            };
            write(out, &text)?;
            return Ok(if report.passes() { ExitCode::SUCCESS } else { ExitCode::FAILURE });
        }
        Command::Timeline { file, filter, by, limit } => {
            let recording = read(&file)?;
            let mut timelines = recording.timelines();
            filter.timelines(&recording, &mut timelines);
            let terminal = match by {
                AxisBy::Time => terminal(),
                AxisBy::Events => terminal().by_events(),
            };
            write(out, &terminal.limit(limit).to_string(&timelines))?;
        }
        Command::Top { file, filter, by, limit } => {
            let (recording, mut living) = read_living(&file)?;
            filter.living(&mut living);
            write(out, &top::table(&living, recording.end(), by, limit))?;
        }
        Command::Diff { a, b, filter } => {
            let count = |path: &Path| -> Result<_, Failed> {
                let (recording, mut living) = read_living(path)?;
                filter.living(&mut living);
                let mut counts: BTreeMap<(String, String), (u64, u64)> = BTreeMap::new();
                for row in totals(Snapshot::new(living, recording.end()).objects()) {
                    let key = (
                        format!("{}<{}>", row.kind, escape(&row.type_name)),
                        escape(&row.location.to_string()).into_owned(),
                    );
                    counts.insert(key, (row.objects, row.bytes));
                }
                Ok(counts)
            };
            let (before, after) = (count(&a)?, count(&b)?);
            let keys: BTreeSet<_> = before.keys().chain(after.keys()).collect();
            let get =
                |counts: &BTreeMap<_, _>, key| counts.get(key).copied().unwrap_or((0_u64, 0_u64));
            let mut rows: Vec<_> = (keys.into_iter())
                .map(|key| (key, get(&before, key), get(&after, key)))
                .filter(|(_, before, after)| before != after)
                .collect();
            rows.sort_by_key(|(_, before, after)| {
                std::cmp::Reverse(after.1 as i128 - before.1 as i128)
            });
            let mut text = format!(
                "{:>9} {:>9} {:>9} {:>11}  type, and where created\n",
                "A", "B", "more", "bytes"
            );
            for ((name, location), before, after) in rows {
                text.push_str(&format!(
                    "{:>9} {:>9} {:>+9} {:>+11}  {name}  {location}\n",
                    before.0,
                    after.0,
                    after.0 as i128 - before.0 as i128,
                    after.1 as i128 - before.1 as i128
                ));
            }
            write(out, &text)?;
        }
        Command::Tree { object, file } => {
            let recording = read(&file)?;
            let timelines = recording.timelines();
            let found = find(&timelines, object, &file)?;
            write(out, &terminal().tree(&timelines, found))?;
        }
        Command::Fix(fix) => {
            if !fix.run(out)? {
                return Ok(ExitCode::FAILURE);
            }
        }
        Command::Balance { object, file, tree } => {
            let recording = read(&file)?;
            let balance = recording
                .balance(object)
                .ok_or_else(|| format!("{}: no event of {object}", file.display()))?;
            if tree {
                balance.tree.iter().try_for_each(|node| writeln!(out, "{node}"))
            } else {
                writeln!(out, "{balance}")
            }
            .map_err(|error| error.to_string())?;
        }
        Command::Flame { file, of } => {
            let recording = read(&file)?;
            let mut stacks = Vec::new();
            match of.as_deref().map(|name| (name, Op::from_name(name))) {
                Some((name, None)) => return Err(format!("`{name}` is no operation").into()),
                Some((_, op)) => {
                    let events = recording.events().iter().filter(|event| Some(event.op) == op);
                    stacks.extend(events.filter_map(|event| event.stack));
                }
                None => {
                    let objects = recording.live_objects();
                    let handles = objects.iter().flat_map(|object| &object.handles);
                    stacks.extend(handles.filter_map(|handle| handle.stack));
                }
            }
            let stacks: Vec<_> = stacks.into_iter().map(|stack| stack.resolve()).collect();
            write(out, &stack::flame_graph(stacks.iter().map(|stack| (&**stack, 1))))?;
        }
        Command::Export { file, filter, format, output } => {
            let recording = read(&file)?;
            let mut timelines = recording.timelines();
            filter.timelines(&recording, &mut timelines);
            let mut to: Box<dyn Write> = match &output {
                Some(path) => {
                    let file = File::create(path);
                    let file = file.map_err(|error| format!("{}: {error}", path.display()))?;
                    Box::new(io::BufWriter::new(file))
                }
                None => Box::new(out),
            };
            match format {
                Format::Html => {
                    to.write_all(render::html_with_sources(&timelines, source).as_bytes())?;
                }
                Format::Perfetto => render::perfetto(&timelines, &mut to)?,
                Format::Json => {
                    let mut living = recording.live_objects();
                    filter.living(&mut living);
                    writeln!(to, "{}", LeakReport::of_living(&recording, living, 0).json())?;
                }
                Format::Dot => {
                    let object =
                        filter.object.ok_or("a DOT graph is of one object: --object NUMBER")?;
                    let found = find(&timelines, object, &file)?;
                    to.write_all(render::dot(&timelines, found).as_bytes())?;
                }
            }
            to.flush()?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn find<'t, 'r>(
    timelines: &'t Timelines<'r>,
    object: ObjectId,
    file: &Path,
) -> Result<&'t Timeline<'r>, Failed> {
    timelines
        .iter()
        .find(|timeline| timeline.object.id == object)
        .ok_or_else(|| format!("{}: there is no object {object}", file.display()).into())
}

/// Whoever reads the output may go away meanwhile, as `head` does.
fn write(out: &mut impl Write, text: &str) -> io::Result<()> {
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::utc;

    #[test]
    fn dates() {
        assert_eq!(utc(0), "1970-01-01 00:00:00 UTC");
        assert_eq!(utc(951_826_009), "2000-02-29 12:06:49 UTC");
        assert_eq!(utc(1_735_689_599), "2024-12-31 23:59:59 UTC");
    }
}
