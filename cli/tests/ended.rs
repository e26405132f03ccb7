//! Recordings of programs that were ended by `exit` in the midst of work: each is whole, and is read.
#![cfg(unix)]

use refscope::{Arc, Box, Rc};
use std::process::Command;
use std::time::Duration;

/// The program: this test, run alone in a process of its own. Eight threads are at work as it ends.
#[test]
fn program() {
    let Ok(delay) = std::env::var("DELAY") else { return };
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

#[test]
fn by_exit_with_eight_threads_at_work() {
    let folder = std::path::Path::new(env!("CARGO_TARGET_TMPDIR"));
    for round in 0..15 {
        let file = folder.join(format!("ended-{}-{round}.jsonl", std::process::id()));
        let mut program = Command::new(std::env::current_exe().unwrap());
        program.args(["--exact", "program", "--nocapture", "--test-threads", "9"]);
        program.env("REFSCOPE", format!("record={}", file.display()));
        let output = program.env("DELAY", (20 + 7 * round).to_string()).output().unwrap();
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
