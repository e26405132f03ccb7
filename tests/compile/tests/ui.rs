//! What compiles on plain stable, and what the compiler says of what does not.
//!
//! The texts are those of one compiler: with another, the comparison is skipped, and says so.
#![cfg(not(refscope_coerce))]

#[test]
fn ui() {
    let cases = trybuild::TestCases::new();
    cases.pass("tests/ui/*_by_*.rs");
    let version = std::process::Command::new("rustc").arg("--version").output().unwrap().stdout;
    if !String::from_utf8_lossy(&version).starts_with("rustc 1.95.") {
        println!("skipped: the compiler's texts are those of Rust 1.95");
        return;
    }
    for case in [
        "coercion",
        "drop_check_arc",
        "drop_check_rc",
        "move_out_of_a_box",
        "receiver",
        "sealed",
        "unsize_of_something_else",
    ] {
        cases.compile_fail(format!("tests/ui/{case}.rs"));
    }
}
