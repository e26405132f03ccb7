//! Recordings of programs that were ended by `exit` in the midst of work: each is whole, and is read.
#![cfg(unix)]

use refscope::{Arc, Box, Rc};
use std::path::Path;
use std::process::{Command, Output};
use std::time::Duration;

/// The program: this test, run alone in a process of its own. Eight threads are at work as it ends.
#[test]
fn program() {
    let Ok(delay) = std::env::var("DELAY") else { return };
    if std::env::var_os("LINGERS").is_some() {
        // Registered before refscope's, so it is called after that.
        // SAFETY: EXIT: the function takes nothing and does not unwind.
        unsafe { libc::atexit(linger) };
    }
    let shared = Arc::new(String::from("shared"));
    for _ in 0..8 {
        let shared = shared.clone();
        std::thread::spawn(move || {
            loop {
                let clones: Vec<_> = (0..20).map(|_| shared.clone()).collect();
                let weak = clones.first().map(Arc::downgrade);
                drop((clones, weak, Box::new(1_u8), Rc::new(2_u16)));
            }
        });
    }
    std::thread::sleep(Duration::from_millis(delay.parse().unwrap()));
    std::process::exit(3);
}

/// Says how long the recording is, now that it has ended, and later.
extern "C" fn linger() {
    let length = || std::fs::metadata(std::env::var_os("LINGERS")?).ok().map(|file| file.len());
    let first = length();
    std::thread::sleep(Duration::from_millis(700));
    println!("lengths {first:?} {:?}", length());
}

fn run(file: &Path, delay: u64, lingers: bool) -> Output {
    let mut program = Command::new(std::env::current_exe().unwrap());
    program.args(["--exact", "program", "--nocapture", "--test-threads", "9"]);
    program.env("REFSCOPE", format!("record={}", file.display()));
    if lingers {
        program.env("LINGERS", file);
    }
    program.env("DELAY", delay.to_string()).output().unwrap()
}

/// The writer's next turn would be cut off wherever it is when the process ends.
#[test]
fn nothing_is_written_behind_the_end() {
    let name = format!("lingers-{}.jsonl", std::process::id());
    let file = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    let output = run(&file, 50, true);
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(3), "{said}");
    let length = std::fs::metadata(&file).unwrap().len();
    std::fs::remove_file(&file).unwrap();
    let out = String::from_utf8_lossy(&output.stdout);
    assert!(out.contains(&format!("lengths Some({length}) Some({length})")), "{length}: {out}");
    assert!(length > 50_000, "the threads were at work");
}

#[test]
fn by_exit_with_eight_threads_at_work() {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR"));
    for round in 0..5 {
        let file = folder.join(format!("ended-{}-{round}.jsonl", std::process::id()));
        let output = run(&file, 20 + 21 * round, false);
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(3), "round {round}: {said}");
        assert!(!said.contains("refscope:"), "round {round}: {said}");
        for subcommand in ["top", "leaks"] {
            let mut command = Command::new(env!("CARGO_BIN_EXE_refscope"));
            let output =
                command.arg(subcommand).arg(&file).env_remove("REFSCOPE").output().unwrap();
            let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
            let (out, err) = (text(&output.stdout), text(&output.stderr));
            assert!(output.status.code().is_some_and(|code| code < 2), "{subcommand}: {out}{err}");
            assert!(
                err.is_empty(),
                "round {round}, {subcommand}: nothing is damaged or cut: {err}"
            );
            assert!(out.contains("String>"), "round {round}, {subcommand}: {out}");
        }
        let recorded = std::fs::read_to_string(&file).unwrap();
        std::fs::remove_file(&file).unwrap();
        assert!(
            recorded.contains("\n{\"end\":\"exit\"") && recorded.ends_with("}\n"),
            "round {round}"
        );
        assert!(recorded.lines().count() > 500, "round {round}: the threads were at work");
    }
}
