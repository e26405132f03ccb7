//! Has the packages tested that are no default members of the workspace (`Cargo.toml` says why): by them a plain
//! `cargo test` runs everything.
#![cfg(feature = "trace")]

use std::path::Path;
use std::process::Command;

/// The value of a key of the workspace's table in `Cargo.toml`, as a list.
fn list<'a>(manifest: &'a str, key: &str) -> Vec<&'a str> {
    let line = manifest.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix(" = ["));
    let items = line.expect(key).trim_end_matches(']').split(", ");
    items.map(|item| item.trim_matches('"')).collect()
}

#[test]
fn the_other_members() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let manifest = std::fs::read_to_string(root.join("Cargo.toml")).unwrap();
    let defaults = list(&manifest, "default-members");
    let members = list(&manifest, "members").into_iter();
    let others: Vec<_> = members.filter(|member| !defaults.contains(member)).collect();
    assert!(others.contains(&"cli"), "{others:?}");
    let mut cargo = Command::new(env!("CARGO"));
    cargo.args(["test", "--no-fail-fast"]);
    for member in others {
        cargo.arg("--package").arg(package(&root.join(member)));
    }
    if !cfg!(debug_assertions) {
        cargo.arg("--release");
    }
    let status = cargo.current_dir(root).status().expect("cargo runs");
    assert!(status.success(), "their own output is above");
}

/// The name of the package in a folder.
fn package(folder: &Path) -> String {
    let manifest = std::fs::read_to_string(folder.join("Cargo.toml")).unwrap();
    let name = manifest.lines().find_map(|line| line.strip_prefix("name = "));
    name.expect("a package has a name").trim_matches('"').to_owned()
}
