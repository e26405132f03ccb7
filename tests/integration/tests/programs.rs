//! Programs as a user writes them, who knows no more than the README: a dozen leak, and five only look as if they did.
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

/// The task is called by its future, as the source has it, though the symbols of these programs do not have it.
fn held_by_task(name: &str, future: &str) {
    let (text, _) = stderr(name, Some("check"));
    let words = words(&text);
    assert!(words.contains(&format!(", held by the task programs::{future} [")), "{text}");
    assert!(words.contains(&format!("task programs::{future}, ")), "{text}");
}

#[test]
fn windows_on_an_event_bus() {
    blames("bus", "12 leaked", "let the handle that this line makes be a `Weak`");
}

#[test]
fn sessions_of_tasks_that_nobody_stops() {
    held_by_task("service", "service::connect");
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

/// Their owner is a thread-local, which goes at the exit: there the peak tells.
#[test]
fn what_hangs_on_a_thread_local() {
    for (name, holder) in [("cache", "cache::CACHE"), ("dialogs", "dialogs::SETTINGS")] {
        let (text, _) = stderr(name, Some("check"));
        let first = text.find("-->").map(|at| &text[at..]).unwrap_or_else(|| panic!("{text}"));
        assert!(first.starts_with(&fault(name)), "{text}");
        assert!(words(&text).contains(&format!("held by the thread-local programs::{holder}")));
        let (text, passes) = stderr(name, None);
        assert!(passes && text.contains("nothing is alive at exit"), "{text}");
        let line = fault(name);
        let line = line.trim_start_matches("--> ").trim_end_matches(':');
        let peak = format!(" at the peak (kept by handles of {line}), all dropped in the last");
        assert!(words(&text).contains(&peak), "{peak}: {text}");
    }
}

/// The settings are what the dialogs hang on, and do not grow: they are not the headline, which is the line that grows.
#[test]
fn dialogs_that_observe_the_settings() {
    let (text, _) = stderr("dialogs", Some("check"));
    let words = words(&text);
    assert!(words.contains("1 of 2: dialogs.rs:49 keeps 18 of 19 objects alive"), "{text}");
    assert!(words.contains("= below: 12 × Rc<Button>, 192 B"), "{text}");
    assert!(words.contains("2 of 2: dialogs.rs:37 keeps 1 of 19 objects alive"), "{text}");
}

/// What a mesh hangs on is all of a wave's entities: no one of them, but those of one line.
#[test]
fn entities_that_stay_in_the_grid() {
    blames("game", "44 held by statics", "else remove them there");
}

#[test]
fn objects_and_the_methods_bound_to_them() {
    blames("script", "15 leaked", "let the handle that this line makes be a `Weak`");
}

#[test]
fn messages_for_one_who_does_not_read() {
    held_by_task("broadcast", "broadcast::lurk");
    blames("broadcast", "38 held by tasks", "; else end the task, or drop them in it");
}

#[test]
fn plugins_that_keep_their_host() {
    blames("plugins", "6 leaked", "let the handle that this line makes be a `Weak`");
}

/// Which of the two looks back is for a person to say; both are named.
#[test]
fn a_list_that_goes_both_ways() {
    let advice = "let the handle that this line makes be a `Weak`, or that of \
                  tests/integration/programs/lru.rs:27:";
    blames("lru", "3 leaked", advice);
}

/// Tasks of an executor on async-task.
#[test]
fn watchdogs_on_smol() {
    held_by_task("executor", "executor::watch");
    blames("executor", "4 held by tasks", "; else end the task, or drop them in it");
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

/// A program runs anywhere: its report shows the source, where it was built on this machine; and the lines travel with its
/// recording, where its clones and a derive's are of one file.
#[test]
fn source_is_shown_wherever_a_program_runs() {
    let folder = std::env::temp_dir().join(format!("refscope-anywhere-{}", std::process::id()));
    std::fs::create_dir_all(&folder).expect("a folder");
    let mut program = Command::new(env!("CARGO_BIN_EXE_programs"));
    program.arg("plugins").env("REFSCOPE", "leaks,record=plugins.refscope").current_dir(&folder);
    program.env_remove("CARGO_MANIFEST_DIR").env_remove("COLUMNS");
    let output = program.output().expect("it runs");
    let said = String::from_utf8(output.stderr).expect("it prints text");
    let recording = refscope::Recording::open(folder.join("plugins.refscope"));
    let mut recording = recording.expect("it was recorded");
    recording.resolve_stacks();
    let report = refscope::analysis::LeakReport::of_recording(&recording);
    let recorded =
        refscope::render::Terminal::plain(80).sources_of(&recording).render_report(&report);
    std::fs::remove_dir_all(&folder).expect("it is there");
    for text in [said, recorded] {
        assert!(text.contains("Self { host: Arc::clone(host), log } // <- FAULT"), "{text}");
        // A derive made it, so that a stack says on whose behalf.
        let log = "new plugins.rs:61";
        assert!(!text.contains("strong 3 ×") || text.contains(log), "{text}");
        assert!(!text.contains(env!("CARGO_MANIFEST_DIR").trim_start_matches('/')), "{text}");
    }
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
