//! Has the packages tested that are no default members of the workspace (`Cargo.toml` says why): by them a plain
//! `cargo test` runs everything.
#![cfg(feature = "trace")]

use std::process::Command;

#[test]
fn cli_and_integration() {
    let mut cargo = Command::new(env!("CARGO"));
    cargo.args(["test", "--package", "refscope-cli", "--package", "refscope-integration"]);
    if !cfg!(debug_assertions) {
        cargo.arg("--release");
    }
    let status = cargo.current_dir(env!("CARGO_MANIFEST_DIR")).status().expect("cargo runs");
    assert!(status.success(), "their own output is above");
}
