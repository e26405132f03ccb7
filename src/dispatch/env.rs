//! `REFSCOPE=…`: tracing without a line of code, so that a dependency's own tests can be traced.
//!
//! Read at the first birth. Births that happen meanwhile are untraced on the thread that reads, and it
//! waits for no other thread: one that comes while the variable is being read goes on untraced.

use super::{Bound, FROM_ENV, REASONS, complain, turn};
use crate::primitive::ENVIRONMENT;
use crate::sink::{FileSink, Print, Sink};
use std::ffi::OsStr;
use std::sync::atomic::{AtomicU8, Ordering};

const UNREAD: u8 = 0;
const READING: u8 = 1;
const READ: u8 = 2;

static STATE: AtomicU8 = AtomicU8::new(UNREAD);

/// What `REFSCOPE=help` prints.
const HELP: &str = "\
REFSCOPE says what refscope does in this program:

  REFSCOPE=print            each event as a line on stderr
  REFSCOPE=record=PATH      each event to a file, as JSON Lines; `{pid}` in PATH becomes the process id
  REFSCOPE=off              nothing, as if it were not set
  REFSCOPE=help             this text

Several are separated by a comma: REFSCOPE=print,record=run-{pid}.jsonl
A sink that the program itself installs takes over from its installation on.";

/// What a value asks for.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Wish {
    Print,
    Record(String),
    Off,
    Help,
}

/// Reads a value, or says what is wrong with it.
pub(super) fn parse(value: &str) -> Result<Vec<Wish>, String> {
    value
        .split(',')
        .map(str::trim)
        .filter(|word| !word.is_empty())
        .map(|word| match word.split_once('=') {
            None if word == "print" => Ok(Wish::Print),
            None if word == "off" => Ok(Wish::Off),
            None if word == "help" => Ok(Wish::Help),
            Some(("record", path)) if !path.is_empty() => Ok(Wish::Record(path.to_owned())),
            None if word == "record" => Err("`record` needs a path: record=PATH".to_owned()),
            Some(("record", _)) => Err("`record=` needs a path: record=PATH".to_owned()),
            _ => Err(format!("`{word}` is not known")),
        })
        .collect()
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
    if let Some(value) = std::env::var_os("REFSCOPE") {
        // A sink that opens a file may make traced objects itself, through the program's own types.
        let _turn = turn();
        set_up(&value);
    }
    STATE.store(READ, Ordering::Relaxed);
    REASONS.fetch_sub(1, Ordering::Relaxed);
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
    let mut sink: Option<Box<dyn Sink>> = None;
    let mut add = |more: Box<dyn Sink>| {
        sink = Some(match sink.take() {
            None => more,
            Some(first) => Box::new((first, more)),
        });
    };
    for wish in wishes {
        match wish {
            Wish::Off => {}
            Wish::Help => complain(format_args!("{HELP}")),
            Wish::Print => add(Box::new(Print::stderr())),
            Wish::Record(path) => {
                let path = path.replace("{pid}", &std::process::id().to_string());
                match FileSink::create(&path) {
                    Ok(file) => {
                        // The program ends without a word to us: what is in the buffer goes out then.
                        file.flush_at_exit();
                        add(Box::new(file));
                    }
                    Err(error) => complain(format_args!("REFSCOPE={value}: {path}: {error}")),
                }
            }
        }
    }
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

    #[test]
    fn the_grammar() {
        assert_eq!(parse("print"), Ok(vec![Wish::Print]));
        assert_eq!(
            parse("print, record=a/{pid}.jsonl"),
            Ok(vec![Wish::Print, Wish::Record("a/{pid}.jsonl".to_owned())])
        );
        assert_eq!(parse(""), Ok(vec![]));
        assert_eq!(parse("off,help"), Ok(vec![Wish::Off, Wish::Help]));
        for (bad, says) in [
            ("record", "record=PATH"),
            ("record=", "record=PATH"),
            ("prnt", "`prnt` is not known"),
            ("print=3", "`print=3` is not known"),
        ] {
            let error = parse(bad).expect_err(bad);
            assert!(error.contains(says), "{bad}: {error}");
        }
    }
}
