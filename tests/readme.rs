//! The README's report of a failed check is what `examples/leak_test.rs` prints, word for word but for its ages.
//!
//! `REFSCOPE_BLESS=1 cargo test --features stacks --test readme` writes it anew; read it before you commit it.
#![cfg(all(
    feature = "trace",
    feature = "stacks",
    debug_assertions,
    target_os = "linux",
    target_env = "gnu",
    target_arch = "x86_64"
))]

use std::path::Path;
use std::process::Command;

#[path = "../examples/leak_test.rs"]
#[allow(dead_code)]
mod leak_test;

/// What fails: it is this test, run alone in a process of its own, on a thread that is called as a program's.
#[test]
fn program() {
    if std::env::var_os("PROGRAM").is_none() {
        return;
    }
    let thread = std::thread::Builder::new().name("main".to_owned());
    let panic = thread.spawn(leak_test::sessions_close).unwrap().join().expect_err("it fails");
    let text = panic.downcast_ref::<String>().expect("a report");
    print!("<<<{text}>>>");
}

/// The text without its ages.
fn timeless(text: &str) -> String {
    let lines = text.lines().map(|line| match line.strip_prefix("   = age:") {
        Some(_) => "   = age:",
        None => line,
    });
    lines.collect::<Vec<_>>().join("\n")
}

#[test]
fn the_report_is_a_real_one() {
    let mut program = Command::new(std::env::current_exe().unwrap());
    program.args(["--exact", "program", "--nocapture"]).env("PROGRAM", "1");
    program.env("COLUMNS", "80").env("LC_ALL", "C.UTF-8").env_remove("REFSCOPE");
    program.env_remove("GITHUB_ACTIONS");
    let output = program.output().unwrap();
    let output = String::from_utf8(output.stdout).unwrap();
    let report = output.split_once("<<<").and_then(|(_, rest)| rest.split_once(">>>"));
    let (report, _) = report.unwrap_or_else(|| panic!("no report: {output}"));
    let report = report.replace("tests/../", "").replace("readme::leak_test", "leak_test");

    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("README.md");
    let readme = std::fs::read_to_string(&path).unwrap();
    let start = readme.find("```text\nrefscope: ").expect("the README shows a report") + 8;
    let end = start + readme[start..].find("\n```").unwrap();
    if std::env::var_os("REFSCOPE_BLESS").is_some() {
        let readme = format!("{}{}{}", &readme[..start], report.trim_end(), &readme[end..]);
        std::fs::write(&path, readme).unwrap();
        return;
    }
    assert_eq!(timeless(&report), timeless(&readme[start..end]), "REFSCOPE_BLESS=1 writes it");
}
