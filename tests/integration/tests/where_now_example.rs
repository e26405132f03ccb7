//! What `examples/where_now.rs` prints is what `where_now.txt` has, word for word but for what is proven: a word that a call left
//! on the stack may lead to the cycle, depending on how the program was compiled. The README has a part of it.
//!
//! `REFSCOPE_BLESS=1 cargo test -p refscope-integration --test where_now_example` writes it anew; read it before you commit it.
#![cfg(all(debug_assertions, target_os = "linux", target_env = "gnu", target_arch = "x86_64"))]

use std::path::Path;
use std::process::Command;

/// The text without the grades of cycles, and why they are not higher.
fn ungraded(text: &str) -> String {
    let text = text.replace(" (PROVEN)", "").replace(" (LIKELY)", "");
    let ungraded = text.lines().map(|line| match line.split_once("; ") {
        Some((cycle, _)) if line.contains("cycle: ") => cycle,
        _ => line,
    });
    ungraded.collect::<Vec<_>>().join("\n")
}

#[test]
fn it_prints_what_was_read() {
    let mut program = Command::new(env!("CARGO_BIN_EXE_example_where_now"));
    program.env("COLUMNS", "80").env("LC_ALL", "C.UTF-8").env_remove("REFSCOPE");
    let output = program.output().expect("it runs");
    assert!(output.status.success(), "{output:?}");
    let text = String::from_utf8(output.stdout).expect("it prints text");
    let text = text.replace("example_where_now", "where_now");

    let folder = Path::new(env!("CARGO_MANIFEST_DIR"));
    let path = folder.join("tests/where_now.txt");
    if std::env::var_os("REFSCOPE_BLESS").is_some() {
        std::fs::write(&path, &text).expect("it is written");
        return;
    }
    let read = std::fs::read_to_string(&path).expect("it is there");
    assert_eq!(ungraded(&text), ungraded(&read), "REFSCOPE_BLESS=1 writes it");

    let readme = std::fs::read_to_string(folder.join("../../README.md")).expect("it is there");
    let start = readme.find("```text\nheld by: ").expect("the README shows what holds a value") + 8;
    let shown = &readme[start..start + readme[start..].find("\n```").expect("it ends")];
    // As wide as a page, where the program's is wider.
    let words = |text: &str| text.split_whitespace().collect::<Vec<_>>().join(" ");
    for part in shown.split("\n\n") {
        // It is one line of the program's.
        let part = if part.starts_with("cycle") { words(part) } else { part.to_owned() };
        assert!(words(&ungraded(&text)).contains(&words(&ungraded(&part))), "{part}");
    }
}
