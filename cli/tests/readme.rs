//! The README's commands: each is run on a recording, as it is written there.

use refscope::sink::FlightRecorder;
use refscope::{Rc, Scope};
use std::path::{Path, PathBuf};
use std::process::Command;

struct Session;

/// Two sessions, one of which stays, and the moment `closed`.
fn record(file: &Path) {
    let sink = FlightRecorder::create(file).unwrap();
    Scope::new(sink.clone()).run(|| {
        let (first, second) = (Rc::new(Session), Rc::new(Session));
        refscope::mark("closed");
        drop(first);
        std::mem::forget(second.clone());
    });
    sink.flush().unwrap();
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_owned()
}

/// The lines of the README's `sh` blocks, without their comments.
fn commands() -> Vec<String> {
    let readme = std::fs::read_to_string(root().join("README.md")).unwrap();
    let mut commands = Vec::new();
    for block in readme.split("```sh\n").skip(1) {
        let block = block.split("```").next().unwrap();
        commands
            .extend(block.lines().map(|line| line.split(" #").next().unwrap().trim().to_owned()));
    }
    commands
}

#[test]
fn every_command_of_the_readme_works() {
    let folder =
        Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("readme-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    record(&folder.join("run.refscope"));
    record(&folder.join("before.refscope"));
    std::fs::create_dir_all(folder.join("recordings")).unwrap();
    record(&folder.join("recordings/one.refscope"));
    record(&folder.join("recordings/two.refscope"));
    let recording = refscope::Recording::open(folder.join("run.refscope")).unwrap();
    // Objects are numbered through the process that was recorded, which is this test.
    let object = recording.objects().keys().next_back().unwrap().number().to_string();
    let report = refscope(&folder, &["leaks", "run.refscope"]).0;
    std::fs::write(folder.join("known.txt"), report).unwrap();
    let mut run = 0;
    for command in commands() {
        let mut words: Vec<&str> = command.split_whitespace().collect();
        if words.first() != Some(&"refscope") || words.get(1) == Some(&"fix") {
            continue;
        }
        if let Some(at) = words.iter().position(|word| *word == "--object") {
            words[at + 1] = &object;
        }
        let (out, err, code) = refscope(&folder, &words[1..]);
        if words.contains(&"parquet") && !cfg!(feature = "parquet") {
            assert_eq!(code, Some(2));
            assert!(err.contains("cargo install refscope-cli --features parquet"), "{err}");
            continue;
        }
        // Code 1 says that something is alive.
        let leaks = words[1] == "leaks" && !words.contains(&"--baseline");
        // The process that was recorded is this test, which goes on.
        let err = match words[1] {
            "pack" if err.contains("it is still being written by process") => "",
            _ => &*err,
        };
        assert_eq!((code, err), (Some(i32::from(leaks)), ""), "{command}\n{out}");
        assert!(!out.is_empty() || words.contains(&"-o"), "{command}");
        run += 1;
    }
    assert!(run >= 10, "{run} commands");
    assert!(folder.join("run.html").exists());
}

/// Examples and packages that it names are there, and so are the words of `REFSCOPE`.
#[test]
fn what_the_readme_names_is_there() {
    let readme = std::fs::read_to_string(root().join("README.md")).unwrap();
    let after = |what: &str| -> Vec<String> {
        let rest = readme.split(what).skip(1);
        let word = |rest: &str| {
            rest.chars().take_while(|c| c.is_alphanumeric() || "_-".contains(*c)).collect()
        };
        rest.map(word).collect()
    };
    let examples = after("--example ");
    assert!(examples.len() > 5);
    for example in examples {
        let found = [format!("examples/{example}.rs"), format!("examples/{example}/main.rs")];
        assert!(found.iter().any(|path| root().join(path).exists()), "{example}");
    }
    for picture in after("](docs/").iter() {
        assert!(root().join("docs").read_dir().unwrap().any(|entry| {
            entry.unwrap().file_name().to_string_lossy().starts_with(picture.as_str())
        }));
    }
    let manifest = std::fs::read_to_string(root().join("Cargo.toml")).unwrap()
        + &std::fs::read_to_string(root().join("cli/Cargo.toml")).unwrap();
    for feature in after("(feature `").into_iter().chain(after("the feature `")) {
        assert!(manifest.contains(&format!("\n{feature} = [")), "{feature}");
    }
}

fn refscope(folder: &Path, arguments: &[&str]) -> (String, String, Option<i32>) {
    let output = Command::new(env!("CARGO_BIN_EXE_refscope"))
        .args(arguments)
        .arg("--source")
        .arg(root())
        .current_dir(folder)
        .output()
        .unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    (text(output.stdout), text(output.stderr), output.status.code())
}
