//! The command `refscope`: what it prints, how it ends, and what it says of a bad input.

use refscope::sink::FileSink;
use refscope::{Rc, Scope};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

fn path(name: &str) -> PathBuf {
    let folder =
        Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("command-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    folder.join(name)
}

fn refscope(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_refscope")).args(arguments).output().unwrap()
}

fn texts(output: &Output) -> (String, String) {
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
    (text(&output.stdout), text(&output.stderr))
}

struct Session;
struct Cache;

/// A recording of a program that leaks so many sessions.
fn record(name: &str, sessions: usize) -> String {
    let file = path(name);
    let sink = FileSink::create(&file).unwrap();
    Scope::new(sink.clone()).run(|| {
        let cache = Rc::new(Cache);
        refscope::label(&cache, "the cache");
        for _ in 0..sessions {
            let session = Rc::new(Session);
            std::mem::forget(session.clone());
        }
        drop(cache.clone());
    });
    sink.flush().unwrap();
    file.to_str().unwrap().to_owned()
}

#[test]
fn leaks() {
    let file = record("leaks.jsonl", 3);
    let output = refscope(&["leaks", &file]);
    let (out, err) = texts(&output);
    assert_eq!(output.status.code(), Some(1), "{err}");
    assert!(out.contains("1 leak: 3 objects alive"), "{out}");
    assert!(out.contains("std::mem::forget(session.clone());"), "{out}");
    // What a filter leaves out is no leak of this look at it.
    let output = refscope(&["leaks", &file, "--type", "Cache"]);
    assert_eq!((output.status.code(), texts(&output).0.as_str()), (Some(0), "refscope: no leak\n"));
    let json: serde_json::Value =
        serde_json::from_slice(&refscope(&["leaks", &file, "--json"]).stdout).unwrap();
    assert_eq!(json["leaks"][0]["count"], 3);
    let (out, _) = texts(&refscope(&["leaks", &file, "--annotations"]));
    assert!(out.starts_with(concat!("::error file=", file!(), ",line=")), "{out}");
    // By standard input.
    let mut child = Command::new(env!("CARGO_BIN_EXE_refscope"))
        .args(["leaks", "-"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(&std::fs::read(&file).unwrap()).unwrap();
    assert_eq!(child.wait_with_output().unwrap().status.code(), Some(1));
}

#[test]
fn timeline_top_diff_tree() {
    let (a, b) = (record("a.jsonl", 2), record("b.jsonl", 5));
    let (out, _) = texts(&refscope(&["timeline", &a, "--alive", "-n", "1"]));
    assert!(
        out.contains("Rc<Session>") && out.contains("alive") && !out.contains("Cache"),
        "{out}"
    );
    let (out, _) = texts(&refscope(&["timeline", &a, "--type", "Cache"]));
    assert!(out.contains("\"the cache\""), "{out}");
    let (out, _) = texts(&refscope(&["top", &b, "--by", "count"]));
    assert!(out.lines().nth(1).unwrap().trim_start().starts_with('5'), "{out}");
    let (out, _) = texts(&refscope(&["diff", &a, &b]));
    assert!(out.lines().nth(1).unwrap().contains("+3"), "{out}");
    assert!(out.contains("command::Session"), "{out}");
    let number = refscope::Recording::read(&std::fs::read(&a).unwrap()[..]).unwrap();
    let session = number.objects().values().find(|o| o.type_name.ends_with("Session")).unwrap().id;
    let (out, _) = texts(&refscope(&["tree", &session.to_string(), &a]));
    assert!(out.contains("2 handles, 1 alive") && out.contains("! 1 of 1 below alive"), "{out}");
    for (format, says) in
        [("html", "<!doctype html>"), ("perfetto", "traceEvents"), ("json", "refscope_leaks")]
    {
        let to = path(&format!("out.{format}"));
        let output = refscope(&["export", &a, "--format", format, "-o", to.to_str().unwrap()]);
        assert!(output.status.success(), "{}", texts(&output).1);
        assert!(std::fs::read_to_string(to).unwrap().contains(says));
    }
    let (out, _) = texts(&refscope(&["export", &a, "-f", "dot", "--object", &session.to_string()]));
    assert!(out.starts_with("digraph"), "{out}");
}

#[test]
fn a_bad_input_is_named_with_its_line() {
    let good = std::fs::read_to_string(record("good.jsonl", 1)).unwrap();
    let file = path("bad.jsonl");
    let says = |text: &str, command: &[&str]| {
        std::fs::write(&file, text).unwrap();
        let mut arguments = command.to_vec();
        arguments.push(file.to_str().unwrap());
        let output = refscope(&arguments);
        (output.status.code(), texts(&output).1)
    };
    let (code, err) = says("hello\n", &["leaks"]);
    assert_eq!(code, Some(2));
    assert!(err.contains("bad.jsonl, line 1: not a refscope recording"), "{err}");
    let (code, err) = says("{\"refscope\":99}\n", &["top"]);
    assert!(code == Some(2) && err.contains("line 1: the recording has version 99"), "{err}");
    let broken = good.replacen("\"event\":\"clone\"", "\"event\":\"clown\"", 1);
    let line = broken.lines().position(|line| line.contains("clown")).unwrap() + 1;
    let (_, err) = says(&broken, &["timeline"]);
    assert!(err.contains(&format!("line {line}: operation clown is not known")), "{err}");
    // A last line that is cut off is left out, and told.
    let (code, err) = says(&good[..good.len() - 9], &["leaks"]);
    assert!(code == Some(1) && err.contains("the last line is cut off"), "{err}");
    let output = refscope(&["leaks", path("").to_str().unwrap()]);
    assert!(texts(&output).1.contains("this is a directory"), "{}", texts(&output).1);
    let output = refscope(&["leaks", path("none.jsonl").to_str().unwrap()]);
    assert!(
        output.status.code() == Some(2) && texts(&output).1.contains("none.jsonl: No such file")
    );
    let output = refscope(&["tree", "77", &record("few.jsonl", 1)]);
    assert!(texts(&output).1.contains("there is no object 77"));
    let output = refscope(&["export", &record("dot.jsonl", 1), "-f", "dot"]);
    assert!(texts(&output).1.contains("--object NUMBER"));
}

#[test]
fn help() {
    let (out, _) = texts(&refscope(&["--help"]));
    for command in ["leaks", "timeline", "top", "diff", "tree", "export"] {
        assert!(out.contains(command), "{out}");
    }
    assert_eq!(refscope(&["leak"]).status.code(), Some(2));
    assert!(texts(&refscope(&["leak"])).1.contains("similar subcommand exists: 'leaks'"));
}
