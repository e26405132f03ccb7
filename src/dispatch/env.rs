//! `REFSCOPE=…`: tracing without a line of code, so that a dependency's own tests can be traced.
//!
//! Read at the first birth. Births that happen meanwhile are untraced on the thread that reads, and it
//! waits for no other thread: one that comes while the variable is being read goes on untraced.

use super::{Bound, FROM_ENV, REASONS, complain, turn};
use crate::primitive::ENVIRONMENT;
use crate::sink::{FileSink, Filter, LiveSet, Print, Sink, Wanted};
use crate::watching as watch;
use std::ffi::OsStr;
use std::sync::atomic::{AtomicU8, Ordering};
use std::time::Duration;

const UNREAD: u8 = 0;
const READING: u8 = 1;
const READ: u8 = 2;

static STATE: AtomicU8 = AtomicU8::new(UNREAD);

/// What `REFSCOPE=help` prints.
const HELP: &str = "\
REFSCOPE says what refscope does in this program. Words are separated by commas:

  print            each event as a line on stderr
  record=PATH      each event to a file, as JSON Lines; `{pid}` in PATH becomes the process id
  leaks            what is alive when the process ends, with its holders, on stderr
  every=10s        what was born and is alive, on stderr, every so often (s, m or h)
  signals          the same on SIGUSR1 (all) and SIGUSR2 (since the last); needs the feature `signals`
  off              nothing, whatever else is said
  help             this text

and which objects are traced; without these words all are:

  type=NAME        whose type's full name contains NAME (several: any of them)
  site=PLACE       that are born in a file or module whose path contains PLACE (several: any of them)
  min=BYTES        whose value has at least so many bytes
  one-in=N         one in N of those

A debugger can call `refscope_print_alive()` where one of leaks, every and signals is asked for.
REFSCOPE=leaks,type=Session   REFSCOPE=print,record=run-{pid}.jsonl   REFSCOPE=every=30s,one-in=100
A sink that the program itself installs takes over from its installation on.";

/// What a value asks for.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Wish {
    Print,
    Record(String),
    Leaks,
    Every(Duration),
    Signals,
    Type(String),
    Site(String),
    Min(u64),
    OneIn(u64),
    Off,
    Help,
}

/// Reads a value, or says what is wrong with it.
pub(super) fn parse(value: &str) -> Result<Vec<Wish>, String> {
    let words = value.split(',').map(str::trim).filter(|word| !word.is_empty());
    words.map(wish).collect()
}

fn wish(word: &str) -> Result<Wish, String> {
    let number = |text: &str| text.parse::<u64>().ok().filter(|&number| number > 0);
    match word.split_once('=') {
        None => match word {
            "print" => Ok(Wish::Print),
            "leaks" => Ok(Wish::Leaks),
            "signals" if cfg!(all(unix, feature = "signals")) => Ok(Wish::Signals),
            "signals" => Err("`signals` needs unix, and refscope's feature `signals`".to_owned()),
            "off" => Ok(Wish::Off),
            "help" => Ok(Wish::Help),
            "record" => Err("`record` needs a path: record=PATH".to_owned()),
            "every" => Err("`every` needs a time: every=10s".to_owned()),
            "type" | "site" | "min" | "one-in" => Err(format!("`{word}` needs a value: {word}=…")),
            _ => Err(format!("`{word}` is not known")),
        },
        Some((key @ ("record" | "type" | "site"), "")) => Err(format!(
            "`{key}=` needs {}",
            if key == "record" { "a path: record=PATH" } else { "a text" }
        )),
        Some(("record", path)) => Ok(Wish::Record(path.to_owned())),
        Some(("type", name)) => Ok(Wish::Type(name.to_owned())),
        Some(("site", place)) => Ok(Wish::Site(place.to_owned())),
        Some(("min", bytes)) => number(bytes)
            .map(Wish::Min)
            .ok_or_else(|| format!("`{word}`: a number of bytes, as in min=1024")),
        Some(("one-in", n)) => number(n)
            .map(Wish::OneIn)
            .ok_or_else(|| format!("`{word}`: a number from 1, as in one-in=100")),
        Some(("every", time)) => {
            let digits = time.trim_end_matches(|c: char| c.is_ascii_alphabetic());
            let unit = match &time[digits.len()..] {
                "s" => Some(1),
                "m" | "min" => Some(60),
                "h" => Some(3600),
                _ => None,
            };
            number(digits)
                .zip(unit)
                .and_then(|(number, unit)| number.checked_mul(unit))
                .map(|seconds| Wish::Every(Duration::from_secs(seconds)))
                .ok_or_else(|| format!("`{word}`: a time in s, m or h, as in every=10s"))
        }
        Some(_) => Err(format!("`{word}` is not known")),
    }
}

#[inline]
pub(super) fn unread() -> bool {
    ENVIRONMENT && STATE.load(Ordering::Relaxed) == UNREAD
}

#[cold]
pub(super) fn read() {
    // AcqRel would order nothing more: what the reading makes is published by `FROM_ENV`.
    if STATE.compare_exchange(UNREAD, READING, Ordering::Relaxed, Ordering::Relaxed).is_err() {
        return;
    }
    if let Some(value) = std::env::var_os("REFSCOPE").filter(|_| !privileged()) {
        // A sink that opens a file may make traced objects itself, through the program's own types.
        let _turn = turn();
        set_up(&value);
    }
    STATE.store(READ, Ordering::Relaxed);
    REASONS.fetch_sub(1, Ordering::Relaxed);
}

/// Whether the process runs with more rights than whoever started it (set-user-id and the like): then what that one says
/// must not choose a file to be written.
fn privileged() -> bool {
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
        return complain(format_args!("REFSCOPE is not UTF-8; nothing is traced"));
    };
    let wishes = match parse(value) {
        Ok(wishes) => wishes,
        Err(wrong) => {
            return complain(format_args!(
                "REFSCOPE={value}: {wrong}; nothing is traced. REFSCOPE=help lists what there is"
            ));
        }
    };
    if wishes.contains(&Wish::Off) {
        return;
    }
    let mut sink: Option<Box<dyn Sink>> = None;
    let mut add = |more: Box<dyn Sink>| {
        sink = Some(match sink.take() {
            None => more,
            Some(first) => Box::new((first, more)),
        });
    };
    let mut wanted = Wanted::all();
    let mut live: Option<LiveSet> = None;
    let mut all = true;
    let mut known = || live.get_or_insert_with(LiveSet::new).clone();
    for wish in wishes {
        match wish {
            Wish::Off => {}
            Wish::Help => complain(format_args!("{HELP}")),
            Wish::Print => add(Box::new(Print::stderr())),
            Wish::Record(path) => {
                let path = path.replace("{pid}", &std::process::id().to_string());
                match FileSink::create(&path) {
                    Ok(file) => {
                        file.flush_on_panic();
                        add(Box::new(file));
                    }
                    Err(error) => complain(format_args!("REFSCOPE={value}: {path}: {error}")),
                }
            }
            Wish::Leaks => watch::at_exit(&known()),
            Wish::Every(time) => watch::every(&known(), time),
            Wish::Signals => watch::on_signals(&known()),
            Wish::Type(name) => (wanted, all) = (wanted.of_type(name), false),
            Wish::Site(place) => (wanted, all) = (wanted.born_in(place), false),
            Wish::Min(bytes) => (wanted, all) = (wanted.at_least(bytes), false),
            Wish::OneIn(n) => (wanted, all) = (wanted.one_in(n), false),
        }
    }
    if let Some(live) = live {
        watch::expose(&live);
        add(Box::new(live));
    }
    let sink: Option<Box<dyn Sink>> = match sink {
        Some(sink) if !all => Some(Box::new(Filter::wanted(sink, wanted))),
        sink => sink,
    };
    if let Some(sink) = sink {
        FROM_ENV.get_or_init(|| {
            REASONS.fetch_add(1, Ordering::Relaxed);
            Bound::new(sink, true)
        });
    }
}

#[cfg(test)]
mod tests {
    use super::{Wish, parse};
    use std::time::Duration;

    #[test]
    fn the_grammar() {
        assert_eq!(parse("print"), Ok(vec![Wish::Print]));
        assert_eq!(
            parse("print, record=a/{pid}.jsonl"),
            Ok(vec![Wish::Print, Wish::Record("a/{pid}.jsonl".to_owned())])
        );
        assert_eq!(parse(""), Ok(vec![]));
        assert_eq!(
            parse("leaks,every=2m,type=Session,one-in=3"),
            Ok(vec![
                Wish::Leaks,
                Wish::Every(Duration::from_secs(120)),
                Wish::Type("Session".to_owned()),
                Wish::OneIn(3),
            ])
        );
        assert_eq!(parse("off,help"), Ok(vec![Wish::Off, Wish::Help]));
        for (bad, says) in [
            ("record", "record=PATH"),
            ("record=", "record=PATH"),
            ("prnt", "`prnt` is not known"),
            ("print=3", "`print=3` is not known"),
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
