//! Ten programs as a user writes them, who knows no more than the README: five leak, and five only look as if they did.
//!
//! What a person reads first is to be the line at fault, with advice that is right; and who does nothing wrong is not accused.
#![cfg(all(target_os = "linux", target_env = "gnu", target_arch = "x86_64"))]

use std::process::Command;

/// What a program prints on stderr: run by itself with `REFSCOPE=leaks`, or in a check.
fn stderr(name: &str, mode: Option<&str>) -> (String, bool) {
    let mut program = Command::new(env!("CARGO_BIN_EXE_programs"));
    program.arg(name).args(mode).env_remove("RUST_BACKTRACE").env_remove("COLUMNS");
    match mode {
        Some(_) => program.env_remove("REFSCOPE"),
        None => program.env("REFSCOPE", "leaks"),
    };
    let output = program.output().expect("it runs");
    (String::from_utf8(output.stderr).expect("it prints text"), output.status.success())
}

/// The line that is marked as the one at fault.
fn fault(name: &str) -> String {
    let path = format!("{}/programs/{name}.rs", env!("CARGO_MANIFEST_DIR"));
    let source = std::fs::read_to_string(path).expect("it is there");
    let line = source.lines().zip(1..).find(|(line, _)| line.ends_with("// <- FAULT"));
    format!("--> tests/integration/programs/{name}.rs:{}:", line.expect("a mark").1)
}

/// However it is folded.
fn words(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// How many objects the verdict says are leaked, and how many likely so.
fn leaked(text: &str) -> (u32, u32) {
    let before = |said: &str| {
        let at = text.find(said)?;
        text[..at].rsplit(' ').next()?.parse::<u32>().ok()
    };
    (before(" leaked").unwrap_or(0), before(" likely leaked").unwrap_or(0))
}

/// In either way of looking: the line at fault is the first one that is shown, and the advice is this.
fn blames(name: &str, verdict: &str, advice: &str) {
    for mode in [None, Some("check")] {
        let (text, passes) = stderr(name, mode);
        assert_eq!(passes, mode.is_none(), "{text}");
        let first = text.find("-->").map(|at| &text[at..]).unwrap_or_else(|| panic!("{text}"));
        assert!(first.starts_with(&fault(name)), "{}: {text}", fault(name));
        assert!(text.contains("1 of 1:"), "one cause, one finding: {text}");
        match verdict.strip_suffix(" leaked") {
            // A word that is left on the stack makes a cycle LIKELY, and its objects likely leaked.
            Some(all) => {
                let (leaked, likely) = leaked(&words(&text));
                assert_eq!((leaked + likely).to_string(), all, "{text}");
                assert_eq!(leaked > 0, text.contains("(PROVEN)"), "{text}");
                assert_eq!(likely > 0, text.contains("(LIKELY)"), "{text}");
            }
            None => assert!(words(&text).contains(verdict), "{verdict}: {text}"),
        }
        assert!(words(&text).contains(advice), "{advice}: {text}");
        assert!(!text.contains("0 ns"), "{text}");
        // A check's conditions are of no use to who has none.
        assert_eq!(text.contains("Check::"), mode.is_some() && advice.contains("else"), "{text}");
    }
}

#[test]
fn windows_on_an_event_bus() {
    blames("bus", "12 leaked", "let the handle that this line makes be a `Weak`");
}

#[test]
fn sessions_of_tasks_that_nobody_stops() {
    blames("service", "5 held by tasks", "; else end the task, or drop them in it");
}

#[test]
fn environments_and_closures() {
    blames("interpreter", "20 leaked", "let the handle that this line makes be a `Weak`");
}

#[test]
fn steps_that_can_be_undone() {
    blames("undo", "7 leaked", "let the handle that this line makes be a `Weak`");
}

/// Its owner is a thread-local, which goes at the exit: there the peak tells.
#[test]
fn a_cache_that_evicts_half() {
    let (text, _) = stderr("cache", Some("check"));
    assert!(text.contains(&fault("cache")), "{text}");
    assert!(words(&text).contains("held by the thread-local programs::cache::CACHE"), "{text}");
    let (text, passes) = stderr("cache", None);
    assert!(passes && text.contains("nothing is alive at exit"), "{text}");
    let line = fault("cache");
    let line = line.trim_start_matches("--> ").trim_end_matches(':');
    let peak = format!(" at the peak (kept by handles of {line}), all dropped in the last");
    assert!(words(&text).contains(&peak), "{peak}: {text}");
}

/// The words accuse nobody, and a condition allows what is right.
#[test]
fn clean_look_alikes() {
    for (name, holder, part) in [
        ("static cache", "FONTS", "2 held by statics and thread-locals"),
        ("pool", "FREE", "2 held by statics and thread-locals"),
        ("registry", "CODECS", "2 held by statics and thread-locals"),
        ("locals", "the caller", "3 held by a word on a stack"),
    ] {
        let (text, passes) = stderr(name, Some("check"));
        assert!(!passes && words(&text).contains(part), "{text}");
        for accuses in ["leak", "Weak", "forgot", "grows"] {
            assert!(!text.contains(accuses), "{name}, {accuses}: {text}");
        }
        let (text, passes) = stderr(name, Some(holder));
        assert!(passes, "{name}: {text}");
        let (text, passes) = stderr(name, None);
        assert!(passes, "{text}");
        let text = text.replace("allow_leak", "");
        for accuses in ["leak", "Weak", "forgot", "grows"] {
            assert!(!text.contains(accuses), "{name}, {accuses}: {text}");
        }
    }
    // It ends while the check waits, and after the program has.
    let (text, passes) = stderr("worker", Some("check"));
    assert!(passes && text.is_empty(), "{text}");
    let (text, _) = stderr("worker", None);
    assert!(text.contains("; 1 held by threads") && !text.contains("leaked"), "{text}");
}

/// The report at the exit and that of the recording of the same run say the same.
#[test]
fn one_verdict() {
    let path = std::env::temp_dir().join(format!("refscope-verdict-{}.jsonl", std::process::id()));
    for name in ["bus", "undo", "pool"] {
        let asked = format!("leaks,nosearch,record={}", path.display());
        let mut program = Command::new(env!("CARGO_BIN_EXE_programs"));
        let output = program.arg(name).env("REFSCOPE", asked).env("COLUMNS", "200").output();
        let said = String::from_utf8(output.expect("it runs").stderr).expect("it prints text");
        let text = std::fs::read(&path).expect("it was recorded");
        std::fs::remove_file(&path).expect("it is there");
        let recording = refscope::Recording::read(&text[..]).expect("a recording");
        let verdict = refscope::analysis::LeakReport::of_recording(&recording).verdict();
        let expected = format!("refscope: {verdict}");
        assert!(said.lines().any(|line| line == expected), "{expected}: {said}");
        assert!(verdict.contains("alive at exit"), "{verdict}");
    }
}
