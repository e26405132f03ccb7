//! A finding has the same fingerprint wherever the program runs, and whether or not its source can be read.
#![cfg(all(feature = "trace", target_os = "linux"))]

use refscope::Arc;
use refscope::analysis::LeakReport;
use refscope::model::Recording;
use std::hint::black_box;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

#[derive(Clone)]
struct State {
    inner: Arc<[u8; 3]>,
}

#[inline(never)]
#[allow(clippy::ptr_arg)] // a vector is what is cloned
fn share(all: &Vec<Arc<u16>>) -> Vec<Arc<u16>> {
    let shared = all.clone();
    black_box(&shared);
    shared
}

/// The program: it is this test, run alone in a process of its own.
#[test]
fn program() {
    if std::env::var_os("PROGRAM").is_none() {
        return;
    }
    if let Some(recording) = std::env::var_os("READ") {
        let recording = Recording::open(recording).expect("a recording");
        return eprintln!("{}", LeakReport::of_recording(&recording));
    }
    // Of the first handle, of a clone, of one that std made, and of one that a derive made.
    std::mem::forget(Arc::new(7_u64));
    let value = Arc::new(8_i8);
    std::mem::forget(value.clone());
    std::mem::forget(share(&vec![Arc::new(9_u16)]));
    if std::env::var_os("DERIVE").is_some() {
        let state = State { inner: Arc::new([1; 3]) };
        std::mem::forget(black_box(&state).clone());
        black_box(&state.inner);
    }
}

/// A folder of its own.
fn folder(name: &str) -> PathBuf {
    let folder = std::env::temp_dir().join(format!("refscope-{name}-{}", std::process::id()));
    std::fs::create_dir_all(&folder).expect("a folder");
    folder
}

/// Runs it as one that cargo did not start.
fn run(program: &Path, directory: &Path, refscope: &str, derive: bool) -> Output {
    let mut command = Command::new(program);
    command.args(["--exact", "program", "--nocapture", "--test-threads", "1"]);
    command.env("PROGRAM", "1").env("REFSCOPE", refscope).current_dir(directory);
    command.env_remove("CARGO_MANIFEST_DIR");
    if derive {
        command.env("DERIVE", "1");
    }
    command.output().expect("it runs")
}

/// The words in brackets of eight hexadecimal digits, sorted.
fn prints(report: &str) -> Vec<String> {
    let is_print = |w: &&str| w.len() == 8 && w.bytes().all(|b| b.is_ascii_hexdigit());
    let mut all: Vec<_> = report.split(['[', ']']).filter(is_print).map(str::to_owned).collect();
    all.sort();
    all
}

fn prints_of(program: &Path, directory: &Path, derive: bool) -> Vec<String> {
    let output = run(program, directory, "leaks", derive);
    let report = String::from_utf8_lossy(&output.stderr);
    let prints = prints(&report);
    assert_eq!(prints.len(), if derive { 4 } else { 3 }, "{report}");
    prints
}

/// The compiler's names of files begin at the workspace.
fn workspace() -> &'static Path {
    let package = Path::new(env!("CARGO_MANIFEST_DIR"));
    package.ancestors().find(|root| root.join(file!()).is_file()).expect("the workspace")
}

#[test]
fn from_any_working_directory() {
    let program = std::env::current_exe().expect("this program");
    let elsewhere = folder("elsewhere");
    let here = prints_of(&program, workspace(), true);
    for directory in [Path::new("/"), &elsewhere, program.parent().expect("a folder")] {
        assert_eq!(prints_of(&program, directory, true), here, "{}", directory.display());
    }
    std::fs::remove_dir(elsewhere).expect("it is empty");
}

/// Installed elsewhere, its debug information still says where it was built.
#[test]
fn an_installed_programs_source() {
    let elsewhere = folder("installed");
    let program = elsewhere.join("program");
    std::fs::copy(std::env::current_exe().expect("this program"), &program).expect("a copy");
    let output = run(&program, &elsewhere, "leaks", true);
    let report = String::from_utf8_lossy(&output.stderr);
    for line in ["Arc::new(7_u64)", "value.clone()"] {
        assert!(report.contains(line), "{line}: {report}");
    }
    assert!(report.contains(&format!("--> {}:", file!())), "{report}");
    // And its recordings have the lines, for any machine.
    let recorded = elsewhere.join("run.refscope");
    let output = run(&program, &elsewhere, &format!("record={}", recorded.display()), true);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let bytes = std::fs::read(&recorded).expect("a recording");
    let has = |line: &str| bytes.windows(line.len()).any(|part| part == line.as_bytes());
    assert!(has("mem::forget(value.clone())"));
    std::fs::remove_dir_all(elsewhere).expect("it is ours");
}

/// This program as one that was built on a machine whose sources are not here, in `folder`.
fn built_elsewhere(folder: &Path) -> PathBuf {
    let mut bytes = std::fs::read(std::env::current_exe().expect("this program")).expect("bytes");
    let here = workspace().to_str().expect("text").as_bytes();
    let mut there = here.to_vec();
    there[1..].fill(b'x');
    let mut at = 0;
    while let Some(next) = bytes[at..].windows(here.len()).position(|part| part == here) {
        bytes[at + next..][..here.len()].copy_from_slice(&there);
        at += next + here.len();
    }
    assert!(at > 0, "it names the workspace");
    let program = folder.join("program");
    // A copy, for its permissions.
    std::fs::copy(std::env::current_exe().expect("this program"), &program).expect("a copy");
    std::fs::write(&program, bytes).expect("a program");
    program
}

#[test]
fn without_the_source() {
    let here = std::env::current_exe().expect("this program");
    let elsewhere = folder("sourceless");
    let program = built_elsewhere(&elsewhere);
    let known = prints_of(&here, workspace(), true);
    let report = run(&program, &elsewhere, "leaks", true);
    assert!(!String::from_utf8_lossy(&report.stderr).contains("value.clone()"), "it is not there");
    assert_eq!(prints_of(&program, &elsewhere, true), known);
    assert_eq!(prints_of(&program, Path::new("/"), true), known);
    // With stacks, too.
    let stacks = run(&program, &elsewhere, "leaks,stacks", true);
    assert_eq!(prints(&String::from_utf8_lossy(&stacks.stderr)), known);
    std::fs::remove_dir_all(elsewhere).expect("it is ours");
}

/// Of each, with and without the source: the recording, and who reads it.
#[test]
fn of_recordings() {
    let here = std::env::current_exe().expect("this program");
    let elsewhere = folder("recorded");
    let program = built_elsewhere(&elsewhere);
    let known = prints_of(&here, workspace(), true);
    for (name, made_by, directory) in [("a", &here, workspace()), ("b", &program, &elsewhere)] {
        let recording = elsewhere.join(name);
        let output = run(made_by, directory, &format!("record={}", recording.display()), true);
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        for (reader, directory) in [(&here, workspace()), (&program, &elsewhere)] {
            let mut command = Command::new(reader);
            command.args(["--exact", "program", "--nocapture"]).current_dir(directory);
            command.env_remove("CARGO_MANIFEST_DIR").env("PROGRAM", "1").env("READ", &recording);
            let report = command.output().expect("it runs").stderr;
            let report = String::from_utf8_lossy(&report);
            assert_eq!(prints(&report), known, "{name} in {}: {report}", directory.display());
        }
        // And so it is known by a report of the program's own.
        let recording = Recording::open(&recording).expect("a recording");
        let report = LeakReport::of_recording(&recording);
        assert!(!report.passes());
        assert!(report.without(&known.iter().cloned().collect()).passes());
    }
    std::fs::remove_dir_all(elsewhere).expect("it is ours");
}
