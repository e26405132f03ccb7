//! `REFSCOPE=…`: tracing without a line of code, so that a dependency's own tests can be traced.
//!
//! Read at the first allocation of a traced pointer, by the thread that makes it. It waits for no other thread: one that
//! allocates meanwhile goes on untraced.

use crate::event::{Time, warn};
use crate::model::TAKEN_OVER;
use crate::monitor;
use crate::runtime::dispatch::install_from_env;
#[cfg(unix)]
use crate::sink::FlightRecorder;
use crate::sink::{FileSink, Filter, Nop, ObjectFilter, Print, Sink, set_source_lines};
use crate::stack::{self, Depths};
use std::ffi::OsStr;
use std::io;
#[cfg(unix)]
use std::path::Path;
use std::time::Duration;

/// What `REFSCOPE=help` prints.
const HELP: &str = "\
REFSCOPE says what refscope does in this program. Words are separated by commas:

  print        each event as a line on stderr
  record=PATH  each event to a file that survives the process; `{pid}` in PATH
               becomes the process id. As JSON Lines where PATH ends with .jsonl
               or .json, or is a pipe
  nosource     the file has no lines of source code, which reports else show on
               any machine
  max=SIZE     the file grows no larger (KiB, MiB or GiB; at least 512KiB),
               unless what is alive needs more: the oldest events go. JSON Lines
               are two files, PATH and PATH.1, of half of it and what a write
               adds
  track        what is alive, for a debugger and for the program's own
               questions; nothing is printed
  leaks        what is alive when the process ends, with its holders, on stderr
  every=10s    what was allocated and is alive, on stderr, every so often
               (s, m or h)
  signals      the same on SIGUSR1 (all) and SIGUSR2 (since the last); needs the
               feature `signals`
  off          nothing, whatever else is said
  help         this text

and which objects are traced; without these words all are:

  type=NAME    only types whose path contains NAME (repeat for any of several)
  site=PLACE   only those allocated in a file or module whose path contains
               PLACE (repeat for any of several)
  min=BYTES    only values of at least BYTES bytes
  one-in=N     one in N of those

and how:

  stacks       with the stack of each allocation, clone and drop, 24 functions
               deep
  stacks=WHAT  of some alone, and how deep: `drop`, `new+clone+48`
  stacks-type=NAME, stacks-site=PLACE, stacks-one-in=N
               only of these objects, while others are traced without stacks
  nosearch     reports do not search the memory for where handles are stored
  budget=10s   they search it no longer than that (ms, s, m or h); else 2 s
  clock=system no thread of refscope's own moves the clock; each event asks the
               system for the time

Where one of leaks, every and signals is asked for, a debugger can call
`refscope_print_alive_0_1()`. Where the program calls `track()` all of this goes
on; a sink that it installs takes over from its installation on, which is said
on stderr and in the recording. Examples:

  REFSCOPE=leaks,type=Session
  REFSCOPE=print,record=run-{pid}.refscope
  REFSCOPE=every=30s,one-in=100";

/// Every word, for the one that is nearest to an unknown one.
const WORDS: [&str; 21] = [
    "stacks",
    "stacks-type=",
    "stacks-site=",
    "stacks-one-in=",
    "print",
    "record=",
    "max=",
    "leaks",
    "every=",
    "signals",
    "off",
    "help",
    "type=",
    "site=",
    "min=",
    "one-in=",
    "clock=system",
    "nosearch",
    "budget=",
    "nosource",
    "track",
];

/// What a value asks for.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Directive {
    Print,
    Record(String),
    Max(u64),
    Leaks,
    Every(Duration),
    Signals,
    Type(String),
    Site(String),
    Min(u64),
    OneIn(u64),
    Track,
    SystemClock,
    NoSearch,
    Budget(Duration),
    NoSource,
    Stacks(Depths),
    StacksType(String),
    StacksSite(String),
    StacksOneIn(u64),
    Off,
    Help,
}

/// Reads a value, or says what is wrong with it.
pub(super) fn parse(value: &str) -> Result<Vec<Directive>, String> {
    let words = value.split(',').map(str::trim).filter(|word| !word.is_empty());
    words.map(directive).collect()
}

fn directive(word: &str) -> Result<Directive, String> {
    let number = |text: &str| text.parse::<u64>().ok().filter(|&number| number > 0);
    match word.split_once('=') {
        None => match word {
            "print" => Ok(Directive::Print),
            "leaks" => Ok(Directive::Leaks),
            "track" => Ok(Directive::Track),
            "nosearch" => Ok(Directive::NoSearch),
            "nosource" => Ok(Directive::NoSource),
            "stacks" => Ok(Directive::Stacks(Depths::all(DEPTH))),
            "signals" if cfg!(all(unix, feature = "signals")) => Ok(Directive::Signals),
            "signals" => Err("`signals` needs unix, and refscope's feature `signals`".to_owned()),
            "off" => Ok(Directive::Off),
            "help" => Ok(Directive::Help),
            "record" => Err("`record` needs a path: record=PATH".to_owned()),
            "max" => Err("`max` needs a size: max=1GiB".to_owned()),
            "every" | "budget" => Err(format!("`{word}` needs a time: {word}=10s")),
            "type" | "site" | "min" | "one-in" | "stacks-type" | "stacks-site"
            | "stacks-one-in" => Err(format!("`{word}` needs a value: {word}=…")),
            _ => Err(unknown(word)),
        },
        Some(("stacks", what)) => stacks(what).map(Directive::Stacks).ok_or_else(|| {
            format!("`{word}`: new, clone, drop and a depth up to 64, as in stacks=clone+drop+32")
        }),
        Some(("clock", "system")) => Ok(Directive::SystemClock),
        Some((key @ ("record" | "type" | "site" | "stacks-type" | "stacks-site"), "")) => {
            Err(format!(
                "`{key}=` needs {}",
                if key == "record" { "a path: record=PATH" } else { "a text" }
            ))
        }
        Some(("record", path)) => Ok(Directive::Record(path.to_owned())),
        Some(("max", text)) => size(text)
            .map(Directive::Max)
            .ok_or_else(|| format!("`{word}`: a size in KiB, MiB or GiB, as in max=1GiB")),
        Some(("type", name)) => Ok(Directive::Type(name.to_owned())),
        Some(("site", place)) => Ok(Directive::Site(place.to_owned())),
        Some(("min", bytes)) => number(bytes)
            .map(Directive::Min)
            .ok_or_else(|| format!("`{word}`: a number of bytes, as in min=1024")),
        Some(("stacks-type", name)) => Ok(Directive::StacksType(name.to_owned())),
        Some(("stacks-site", place)) => Ok(Directive::StacksSite(place.to_owned())),
        Some((key @ ("one-in" | "stacks-one-in"), n)) => number(n)
            .map(if key == "one-in" { Directive::OneIn } else { Directive::StacksOneIn })
            .ok_or_else(|| format!("`{word}`: a number from 1, as in {key}=100")),
        Some(("every", text)) => time(text)
            .filter(|time| time.as_secs() > 0)
            .map(Directive::Every)
            .ok_or_else(|| format!("`{word}`: a time in s, m or h, as in every=10s")),
        Some(("budget", text)) => time(text)
            .map(Directive::Budget)
            .ok_or_else(|| format!("`{word}`: a time in ms, s, m or h, as in budget=10s")),
        Some(_) => Err(unknown(word)),
    }
}

/// `500ms`, `10s`, `5m`, `1h`.
fn time(text: &str) -> Option<Duration> {
    let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let unit = match &text[digits.len()..] {
        "ms" => 1,
        "s" => 1_000,
        "m" | "min" => 60_000,
        "h" => 3_600_000,
        _ => return None,
    };
    let number = digits.parse::<u64>().ok().filter(|&number| number > 0)?;
    number.checked_mul(unit).map(Duration::from_millis)
}

/// `512KiB`, `64MiB`, `1GiB`, or a number of bytes.
fn size(text: &str) -> Option<u64> {
    let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let shift = match &text[digits.len()..] {
        "" | "B" => 0,
        "K" | "KiB" => 10,
        "M" | "MiB" => 20,
        "G" | "GiB" => 30,
        _ => return None,
    };
    let number = digits.parse::<u64>().ok().filter(|&number| number > 0)?;
    number.checked_mul(1 << shift)
}

/// Functions of a stack, where nothing else is said.
const DEPTH: u8 = 24;

/// `drop`, `new+clone+48`, `16`.
fn stacks(what: &str) -> Option<Depths> {
    let (mut of, mut depth) = ([false; 3], DEPTH);
    for part in what.split('+') {
        match (["new", "clone", "drop"].iter().position(|name| *name == part), part.parse()) {
            (Some(index), _) => of[index] = true,
            (None, Ok(number @ 1..=64)) => depth = number,
            _ => return None,
        }
    }
    let all = of == [false; 3];
    let [new, clone, drop] = of.map(|one| if one || all { depth } else { 0 });
    Some(Depths { new, clone, drop })
}

fn unknown(word: &str) -> String {
    let key = |word: &str| word.split('=').next().unwrap_or_default().to_owned();
    let asked = key(word).to_lowercase();
    let nearest = WORDS.iter().min_by_key(|known| distance(&asked, &key(known)));
    match nearest.filter(|known| distance(&asked, &key(known)) <= asked.len().div_ceil(2)) {
        Some(nearest) => format!("`{word}` is not known; is it `{nearest}`?"),
        None => format!("`{word}` is not known"),
    }
}

/// Letters to be inserted, deleted or changed to make one word of the other.
fn distance(one: &str, other: &str) -> usize {
    let other: Vec<char> = other.chars().collect();
    let mut row: Vec<usize> = (0..=other.len()).collect();
    for (i, a) in one.chars().enumerate() {
        let mut diagonal = std::mem::replace(&mut row[0], i + 1);
        for (j, &b) in other.iter().enumerate() {
            let changed = diagonal + usize::from(a != b);
            diagonal = row[j + 1];
            row[j + 1] = changed.min(diagonal + 1).min(row[j] + 1);
        }
    }
    row[other.len()]
}

/// Reads the variable and does what it says.
pub(crate) fn read() {
    crate::fork::register();
    stack::prepare();
    if let Some(value) = std::env::var_os("REFSCOPE").filter(|_| !privileged()) {
        set_up(&value);
    }
}

/// Whether the variable asks for reports on signals.
#[cfg(all(unix, feature = "signals"))]
pub(crate) fn asks_for_signals() -> bool {
    asks_for(&Directive::Signals) && !is_off()
}

/// Whether the variable switches refscope off.
pub(crate) fn is_off() -> bool {
    asks_for(&Directive::Off)
}

fn asks_for(directive: &Directive) -> bool {
    let value = std::env::var("REFSCOPE").unwrap_or_default();
    parse(&value).is_ok_and(|directives| directives.contains(directive))
}

/// Whether the process runs with more rights than whoever started it (set-user-id and the like): then what that one says
/// must not choose a file to be written.
pub(crate) fn privileged() -> bool {
    #[cfg(any(target_os = "linux", target_os = "android"))]
    {
        // SAFETY: RIGHTS: the function takes a number, and reads what the kernel left at the process's start.
        unsafe { libc::getauxval(libc::AT_SECURE) != 0 }
    }
    #[cfg(all(unix, not(any(target_os = "linux", target_os = "android"))))]
    {
        // SAFETY: RIGHTS: four calls that take nothing and cannot fail.
        let ids = unsafe { [libc::getuid(), libc::geteuid(), libc::getgid(), libc::getegid()] };
        ids[0] != ids[1] || ids[2] != ids[3]
    }
    #[cfg(not(unix))]
    {
        false
    }
}

fn set_up(value: &OsStr) {
    let Some(value) = value.to_str() else {
        return warn(format_args!("REFSCOPE is not UTF-8; nothing is traced"));
    };
    let directives = match parse(value) {
        Ok(directives) => directives,
        Err(wrong) => {
            return warn(format_args!(
                "REFSCOPE={value}: {wrong}; nothing is traced. REFSCOPE=help lists what there is"
            ));
        }
    };
    if directives.contains(&Directive::Off) {
        return;
    }
    let mut setup = Setup::default();
    for (at, directive) in directives.iter().enumerate() {
        // Repeated directives are skipped.
        if !directives[..at].contains(directive) {
            setup.apply(directive);
        }
    }
    setup.finish(value);
}

/// Whether a recording is written as JSON Lines: by the name, or because what is there cannot be mapped.
#[cfg(unix)]
fn is_for_lines(path: &Path) -> bool {
    let extension = path.extension().and_then(OsStr::to_str);
    let is_other = std::fs::metadata(path).is_ok_and(|there| !there.is_file() && !there.is_dir());
    matches!(extension, Some("jsonl" | "json")) || is_other
}

/// What the words together ask for.
#[derive(Default)]
struct Setup {
    records: Vec<String>,
    max: Option<u64>,
    sink: Option<Box<dyn Sink>>,
    /// What tells each recording that it gets no more objects.
    at_takeover: Vec<Box<dyn Fn(Time) + Send + Sync>>,
    filter: ObjectFilter,
    filtered: bool,
    tracked: bool,
    stacks: Option<Depths>,
    stacks_of: Option<ObjectFilter>,
}

impl Setup {
    fn apply(&mut self, directive: &Directive) {
        match directive {
            Directive::Off => {}
            Directive::Help => warn(format_args!("{HELP}")),
            Directive::Print => self.add(Box::new(Print::stderr())),
            // When the size is known.
            Directive::Record(path) => self.records.push(path.clone()),
            Directive::Max(bytes) => self.max = Some(*bytes),
            Directive::Track => self.tracked = true,
            Directive::Leaks => {
                self.tracked = true;
                monitor::on_exit();
            }
            Directive::Every(interval) => {
                self.tracked = true;
                if let Err(error) = monitor::every(*interval) {
                    warn(format_args!(
                        "no thread can be started that reports at intervals: {error}"
                    ));
                }
            }
            Directive::Signals => {
                self.tracked = true;
                #[cfg(all(unix, feature = "signals"))]
                if let Err(error) = monitor::on_signals() {
                    warn(format_args!("signals cannot be waited for: {error}"));
                }
            }
            Directive::NoSearch => monitor::set_search(false),
            Directive::Budget(time) => monitor::set_search_budget(*time),
            Directive::NoSource => set_source_lines(false),
            Directive::SystemClock => crate::runtime::clock::without_thread(),
            Directive::Stacks(depths) => self.stacks = Some(*depths),
            Directive::StacksType(name) => self.narrow_stacks(|filter| filter.of_type(name)),
            Directive::StacksSite(place) => self.narrow_stacks(|filter| filter.located_in(place)),
            Directive::StacksOneIn(n) => self.narrow_stacks(|filter| filter.one_in(*n)),
            Directive::Type(name) => self.narrow(|filter| filter.of_type(name)),
            Directive::Site(place) => self.narrow(|filter| filter.located_in(place)),
            Directive::Min(bytes) => self.narrow(|filter| filter.at_least(*bytes)),
            Directive::OneIn(n) => self.narrow(|filter| filter.one_in(*n)),
        }
    }

    fn add(&mut self, more: Box<dyn Sink>) {
        self.sink = Some(match self.sink.take() {
            None => more,
            Some(first) => Box::new((first, more)),
        });
    }

    fn narrow(&mut self, more: impl FnOnce(ObjectFilter) -> ObjectFilter) {
        self.filter = more(std::mem::take(&mut self.filter));
        self.filtered = true;
    }

    /// Which objects stacks are taken of implies that they are.
    fn narrow_stacks(&mut self, more: impl FnOnce(ObjectFilter) -> ObjectFilter) {
        self.stacks_of = Some(more(self.stacks_of.take().unwrap_or_default()));
    }

    /// Has events recorded to a file.
    fn record(&mut self, value: &str, path: &str) {
        if path.contains("{pid}") {
            crate::fork::expect_recordings();
        }
        let path = path.replace("{pid}", &std::process::id().to_string());
        let failed = |error: io::Error| warn(format_args!("REFSCOPE={value}: {path}: {error}"));
        #[cfg(unix)]
        if !is_for_lines(Path::new(&path)) {
            let recorder = match self.max {
                None => FlightRecorder::create(&path),
                Some(bytes) => FlightRecorder::bounded(&path, bytes),
            };
            let least = FlightRecorder::LEAST;
            if let (Ok(recorder), Some(bytes)) = (&recorder, self.max.filter(|max| *max < least)) {
                warn(format_args!(
                    "REFSCOPE={value}: {} may grow to {}, the least that a recording can be bounded to, and not {}: ask \
                     for `max={}KiB` or more",
                    recorder.path().display(),
                    crate::text::bytes(least),
                    crate::text::bytes(bytes),
                    least >> 10,
                ));
            }
            return match recorder {
                Ok(recorder) => {
                    let file = recorder.clone();
                    self.at_takeover.push(Box::new(move |time| file.mark(TAKEN_OVER, time)));
                    self.add(Box::new(recorder));
                }
                Err(error) => failed(error),
            };
        }
        let file = match self.max {
            None => FileSink::create(&path),
            Some(bytes) => FileSink::bounded(&path, bytes),
        };
        match file {
            Ok(file) => {
                file.flush_on_panic();
                let same = file.clone();
                self.at_takeover.push(Box::new(move |time| same.mark(TAKEN_OVER, time)));
                self.add(Box::new(file));
            }
            Err(error) => failed(error),
        }
    }

    fn finish(mut self, value: &str) {
        if self.max.is_some() && self.records.is_empty() {
            warn(format_args!(
                "REFSCOPE={value}: `max` bounds a recording, and none is asked for: record=PATH"
            ));
        }
        for path in std::mem::take(&mut self.records) {
            self.record(value, &path);
        }
        match (self.stacks, self.stacks_of) {
            (None, None) => {}
            (Some(depths), None) => stack::set_depths(depths),
            (depths, Some(filter)) => {
                stack::set_depths_of(filter, depths.unwrap_or(Depths::all(DEPTH)));
            }
        }
        if self.tracked {
            monitor::register_for_debugger();
        }
        let sink = match self.sink {
            None if self.tracked => Box::new(Nop),
            None => return,
            Some(sink) => sink,
        };
        let files = self.at_takeover;
        let tell = Box::new(move || files.iter().for_each(|tell| tell(Time::now())));
        if self.filtered {
            install_from_env(Filter::by(sink, self.filter), tell);
        } else {
            install_from_env(sink, tell);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::HELP;
    use super::{Depths, Directive, parse};
    use std::time::Duration;

    /// The name that a debugger is told is the one that there is.
    #[test]
    fn the_debuggers_function_has_the_version() {
        let [major, minor] = [env!("CARGO_PKG_VERSION_MAJOR"), env!("CARGO_PKG_VERSION_MINOR")];
        let name = format!("refscope_print_alive_{major}_{minor}()");
        for text in [HELP, include_str!("leaks.rs"), include_str!("../README.md")] {
            assert_eq!(text.matches("refscope_print_alive_").count(), 1);
            assert!(text.contains(&name), "{name}");
        }
    }

    #[test]
    fn help_fits_a_terminal() {
        // The first line follows `refscope: `.
        let wide = HELP.lines().filter(|line| line.len() > 80).collect::<Vec<_>>();
        assert!(wide.is_empty(), "{wide:#?}");
    }

    #[test]
    fn the_grammar() {
        assert_eq!(parse("print"), Ok(vec![Directive::Print]));
        let depths = |new, clone, drop| Ok(vec![Directive::Stacks(Depths { new, clone, drop })]);
        assert_eq!(parse("stacks"), depths(24, 24, 24));
        assert_eq!(parse("stacks=8"), depths(8, 8, 8));
        assert_eq!(parse("stacks=clone+drop+32"), depths(0, 32, 32));
        assert_eq!(
            parse("stacks-type=Session,stacks-one-in=8"),
            Ok(vec![Directive::StacksType("Session".to_owned()), Directive::StacksOneIn(8)])
        );
        for wrong in ["stacks=", "stacks=drops", "stacks=65", "stacks=0", "stacks=drop+"] {
            assert!(
                parse(wrong).is_err_and(|error| error.contains("stacks=clone+drop")),
                "{wrong}"
            );
        }
        assert_eq!(
            parse("print, record=a/{pid}.jsonl"),
            Ok(vec![Directive::Print, Directive::Record("a/{pid}.jsonl".to_owned())])
        );
        assert_eq!(parse(""), Ok(vec![]));
        assert_eq!(
            parse("leaks,every=2m,type=Session,one-in=3"),
            Ok(vec![
                Directive::Leaks,
                Directive::Every(Duration::from_secs(120)),
                Directive::Type("Session".to_owned()),
                Directive::OneIn(3),
            ])
        );
        let max = |text: &str| {
            parse(text).map(|directives| matches!(directives[..], [Directive::Max(1048576)]))
        };
        assert!(
            ["max=1MiB", "max=1M", "max=1024KiB", "max=1048576"]
                .iter()
                .all(|text| max(text) == Ok(true))
        );
        assert_eq!(parse("off,help"), Ok(vec![Directive::Off, Directive::Help]));
        for (bad, says) in [
            ("record", "record=PATH"),
            ("record=", "record=PATH"),
            ("prnt", "`prnt` is not known; is it `print`?"),
            ("leak", "is it `leaks`?"),
            ("LEAKS", "is it `leaks`?"),
            ("Record=x", "is it `record=`?"),
            ("evry=1s", "is it `every=`?"),
            ("something", "`something` is not known"),
            ("print=3", "`print=3` is not known"),
            ("max", "needs a size"),
            ("max=1TB", "as in max=1GiB"),
            ("max=0", "as in max=1GiB"),
            ("every=10", "in s, m or h"),
            ("every=0s", "in s, m or h"),
            ("one-in=0", "a number from 1"),
            ("min=many", "a number of bytes"),
            ("type=", "needs a text"),
            ("site", "needs a value"),
        ] {
            let error = parse(bad).expect_err(bad);
            assert!(error.contains(says), "{bad}: {error}");
        }
    }
}
