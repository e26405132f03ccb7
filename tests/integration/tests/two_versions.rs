//! Two versions of refscope in one program, as where a dependency has not moved to the next one yet: it links, and each has
//! its own objects and its own function for a debugger.
#![cfg(unix)]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let (entry, to) = (entry.as_ref().unwrap(), to.join(entry.as_ref().unwrap().file_name()));
        if entry.file_type().unwrap().is_dir() {
            copy(&entry.path(), &to);
        } else {
            fs::copy(entry.path(), to).unwrap();
        }
    }
}

/// The library as a package of its own, as if it had this version.
fn library(root: &Path, to: &Path, version: &str) {
    copy(&root.join("src"), &to.join("src"));
    fs::copy(root.join("build.rs"), to.join("build.rs")).unwrap();
    fs::copy(root.join("README.md"), to.join("README.md")).unwrap();
    let manifest = fs::read_to_string(root.join("Cargo.toml")).unwrap();
    // Without the profiles, which name other packages, and the examples.
    let (manifest, _) = manifest.split_once("\n[profile.").unwrap();
    let lines = manifest.lines().map(|line| match line.split(' ').next() {
        Some("members") => "members = [\".\"]".to_owned(),
        Some("default-members") => String::new(),
        Some("version") => format!("version = \"{version}\""),
        _ => line.to_owned(),
    });
    let manifest: Vec<_> = lines.collect();
    fs::write(to.join("Cargo.toml"), manifest.join("\n")).unwrap();
}

const MAIN: &str = r#"
struct Older;
struct Newer;

unsafe extern "C" {
    fn refscope_print_alive_0_1();
    fn refscope_print_alive_7_3();
}

fn main() {
    if std::env::var_os("REFSCOPE").is_none() {
        let _ = (older::track(), newer::track());
    }
    let one = older::Arc::new(Older);
    let two = newer::Arc::new(Newer);
    let both = (one.clone(), two.clone());
    // SAFETY: each takes nothing and gives nothing; any thread may call it at any time.
    unsafe { refscope_print_alive_0_1() };
    eprintln!("and");
    // SAFETY: as above.
    unsafe { refscope_print_alive_7_3() };
    assert_eq!((older::holders(&one).strong_count(), newer::holders(&two).strong_count()), (2, 2));
    std::mem::forget(both);
}
"#;

const MANIFEST: &str = r#"
[package]
name = "program"
edition = "2024"

[dependencies]
older = { package = "refscope", path = "../older" }
newer = { package = "refscope", path = "../newer" }

[workspace]
"#;

#[test]
fn link_and_run() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let folder = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("two-versions");
    let _ = fs::remove_dir_all(&folder);
    library(&root, &folder.join("older"), "0.1.0");
    library(&root, &folder.join("newer"), "7.3.1");
    let program = folder.join("program");
    fs::create_dir_all(program.join("src")).unwrap();
    fs::write(program.join("Cargo.toml"), MANIFEST).unwrap();
    fs::write(program.join("src/main.rs"), MAIN).unwrap();
    // The versions that are here already: nothing is asked of a registry.
    fs::copy(root.join("Cargo.lock"), program.join("Cargo.lock")).unwrap();
    let mut cargo = Command::new(env!("CARGO"));
    cargo.args(["build", "--offline", "--quiet"]).current_dir(&program);
    cargo.env("CARGO_TARGET_DIR", folder.join("target")).env_remove("RUSTC_BOOTSTRAP");
    cargo.envs([("CARGO_PROFILE_DEV_DEBUG", "none"), ("CARGO_INCREMENTAL", "0")]);
    let built = cargo.output().unwrap();
    assert!(built.status.success(), "{}", String::from_utf8_lossy(&built.stderr));

    let run = |refscope: Option<&str>| {
        let mut command = Command::new(folder.join("target/debug/program"));
        command.env_remove("REFSCOPE").envs(refscope.map(|words| ("REFSCOPE", words)));
        let output = command.current_dir(&folder).output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.success(), "{said}");
        said
    };
    let said = run(None);
    let (older, newer) = said.split_once("\nand\n").unwrap();
    for (said, own, other) in [(older, "Arc<Older>", "Newer"), (newer, "Arc<Newer>", "Older")] {
        assert!(said.contains("1 object alive, kept by 1 line"), "{said}");
        assert!(said.contains(own) && !said.contains(other), "{said}");
    }
    // Each reports its own at the exit, and neither writes over the other's recording.
    let said = run(Some("leaks,nosearch,record=run.jsonl"));
    assert_eq!(said.matches("1 object alive at exit, kept by 1 line").count(), 2, "{said}");
    let recordings = fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().path());
    let texts = recordings.filter(|path| path.extension().is_some_and(|it| it == "jsonl"));
    let texts: Vec<_> = texts.map(|path| fs::read_to_string(path).unwrap()).collect();
    assert_eq!(texts.len(), 2, "{said}");
    for text in &texts {
        assert_eq!(text.matches(r#"{"refscope""#).count(), 1, "{text}");
        let has = |name: &str| text.contains(&format!(r#""name":"program::{name}""#));
        assert_ne!(has("Older"), has("Newer"), "{text}");
    }
    fs::remove_dir_all(&folder).unwrap();
}
