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
    assert!(out.contains("3 objects alive when the recording stopped, kept by 1 line"), "{out}");
    assert!(out.contains("std::mem::forget(session.clone());"), "{out}");
    // What a filter leaves out is no leak of this look at it.
    let output = refscope(&["leaks", &file, "--type", "Cache"]);
    assert_eq!(output.status.code(), Some(0));
    let (out, _) = texts(&output);
    assert!(out.ends_with("refscope: nothing is alive when the recording stopped\n"), "{out}");
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
fn conditions_are_those_of_a_check() {
    let file = record("conditions.jsonl", 3);
    let code = |arguments: &[&str]| {
        let output = refscope(&[&["leaks", &file], arguments].concat());
        (output.status.code(), texts(&output).0)
    };
    let (passes, out) = code(&["--allow", "Session"]);
    assert!(passes == Some(0) && out.contains("nothing is alive"), "{out}");
    assert!(out.contains("; 3 allowed"), "{out}");
    assert_eq!(code(&["--allow", concat!(file!(), ":")]).0, Some(0));
    assert_eq!(code(&["--allow", "Cache"]).0, Some(1));
    assert_eq!(code(&["--site", "no/such/file.rs"]).0, Some(0));
    // A report of either kind is a baseline, and so is a list by hand.
    for (name, arguments) in [("known.txt", &[][..]), ("known.json", &["--json"])] {
        let known = path(name);
        std::fs::write(&known, code(arguments).1).unwrap();
        let (passes, out) = code(&["--baseline", known.to_str().unwrap()]);
        assert!(passes == Some(0) && out.contains("; 3 allowed"), "{out}");
    }
    let known = path("by-hand.txt");
    std::fs::write(&known, "# those of last week\n01234567  another one\n").unwrap();
    assert_eq!(code(&["--baseline", known.to_str().unwrap()]).0, Some(1));
    std::fs::write(&known, "no list\n").unwrap();
    assert_eq!(code(&["--baseline", known.to_str().unwrap()]).0, Some(2));
}

#[test]
fn a_recording_without_an_object_does_not_pass() {
    let file = path("nothing.jsonl");
    FileSink::create(&file).unwrap().flush().unwrap();
    let output = refscope(&["leaks", file.to_str().unwrap()]);
    let (out, _) = texts(&output);
    assert_eq!(output.status.code(), Some(1), "{out}");
    assert!(out.contains("nothing was traced"), "{out}");
}

#[test]
fn a_moment_and_what_became_of_what_was_alive_then() {
    let file = path("moments.jsonl");
    let sink = FileSink::create(&file).unwrap();
    Scope::new(sink.clone()).run(|| {
        let registry: Vec<_> = (0..4).map(|_| Rc::new(Session)).collect();
        refscope::mark("closed");
        drop(registry);
        std::mem::forget(Rc::new(Cache));
        refscope::mark("over");
    });
    sink.flush().unwrap();
    let file = file.to_str().unwrap();
    let at = |moment: &str| {
        let output = refscope(&["leaks", file, "--at", moment]);
        (output.status.code(), texts(&output).0, texts(&output).1)
    };
    let (code, out, _) = at("closed");
    assert_eq!(code, Some(1), "{out}");
    assert!(out.contains("4 objects alive at the mark, kept by 1 line"), "{out}");
    assert!(out.contains("of 4 alive then, 0 were alive at the end"), "{out}");
    assert!(out.contains("dropped since: 4 x Rc<command::Session>"), "{out}");
    let (_, out, _) = at("over");
    assert!(out.contains("of 1 alive then, 1 were alive at the end"), "{out}");
    let (code, _, err) = at("opened");
    assert!(code == Some(2) && err.contains("its marks are: closed, over"), "{err}");
    let (code, _, err) = at("86400");
    assert!(code == Some(2) && err.contains("after its start"), "{err}");
    let origin = refscope::Recording::read(&std::fs::read(file).unwrap()[..]).unwrap();
    let origin = origin.origin().expect("the head says it");
    assert_eq!(origin.pid, std::process::id());
    assert!(origin.program.contains("command") && origin.started > 1_600_000_000_000);
    assert_eq!(Path::new(&origin.directory), std::env::current_dir().unwrap());
}

/// A handle that lived 3 s is drawn longer than one that lived 3 ns, but by events they are the same.
#[test]
fn a_timeline_has_an_axis_of_time_or_of_events() {
    let file = path("axis.jsonl");
    let text = r#"{"refscope":1,"pid":7}
{"thread":1,"name":"main"}
{"site":1,"file":"none.rs","line":3,"column":15}
{"type":1,"name":"i32"}
{"object":1,"kind":"Rc","type":1,"size":4,"site":1}
{"event":"new","o":1,"n":1,"h":1,"s":1,"t":1,"ns":0,"at":1}
{"event":"clone","o":1,"n":2,"h":2,"s":2,"t":1,"ns":1000000000,"f":1,"at":1}
{"event":"drop","o":1,"n":3,"h":2,"s":1,"t":1,"ns":1000000003}
{"event":"clone","o":1,"n":4,"h":4,"s":2,"t":1,"ns":1000000004,"f":1,"at":1}
{"event":"drop","o":1,"n":5,"h":4,"s":1,"t":1,"ns":4000000004}
{"event":"drop","o":1,"n":6,"h":1,"s":0,"t":1,"ns":4000000004}
"#;
    std::fs::write(&file, text).unwrap();
    let lengths = |by: &str| {
        let arguments = ["timeline", file.to_str().unwrap(), "--by", by];
        let (out, err) = texts(&refscope(&arguments));
        let row = |number: &str| {
            let row = out.lines().find(|line| line.trim_start().starts_with(number));
            let row = row.unwrap_or_else(|| panic!("{number}: {out}{err}"));
            row.chars().filter(|c| matches!(c, '├' | '─' | '┤' | '┼' | '|' | '-' | '+')).count()
        };
        (row("2  clone"), row("4  clone"), out)
    };
    let (short, long, out) = lengths("time");
    assert!(short == 1 && long > 20, "{short}, {long}: {out}");
    assert!(
        out.lines().any(|line| line.trim_start().starts_with("0 ") && line.ends_with(" 4.0 s"))
    );
    let (one, other, out) = lengths("events");
    assert_eq!(one, other, "{out}");
    assert!(out.lines().any(|line| line.ends_with(" 6 events")), "{out}");
}

#[test]
fn an_edited_source_is_not_shown() {
    let file = record("edited.jsonl", 1);
    let text = std::fs::read_to_string(&file).unwrap();
    let source = format!("{{\"source\":\"{}\",\"len\":", file!());
    let at = text.find(&source).expect("the recording says what the file was") + source.len();
    std::fs::write(&file, format!("{}9{}", &text[..at], &text[at..])).unwrap();
    let (out, err) = texts(&refscope(&["leaks", &file]));
    assert!(out.contains("the file is not the one that was recorded"), "{out}{err}");
    assert!(!out.contains("std::mem::forget"), "{out}");
    let (out, _) = texts(&refscope(&["timeline", &file]));
    assert!(!out.contains("std::mem::forget"), "{out}");
}

#[test]
fn sources_belong_to_the_recording() {
    let file = record("elsewhere.jsonl", 1);
    // Another folder, with a file of the same name.
    let name = format!("refscope-another-{}", std::process::id());
    let folder = std::env::temp_dir().join(name);
    let decoy = folder.join(file!());
    std::fs::create_dir_all(decoy.parent().unwrap()).unwrap();
    std::fs::write(&decoy, "// not this one\n".repeat(500)).unwrap();
    let leaks = |file: &str, directory: &Path, source: Option<&Path>| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_refscope"));
        command.args(["leaks", file]).current_dir(directory).env_remove("CARGO_MANIFEST_DIR");
        if let Some(root) = source {
            command.arg("--source").arg(root);
        }
        texts(&command.output().unwrap()).0
    };
    let (line, decoyed) = ("std::mem::forget(session.clone());", "not this one");
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    let root = here.parent().unwrap();
    // It is looked for where the recording was made.
    let out = leaks(&file, &folder, None);
    assert!(out.contains(line) && !out.contains(decoyed), "{out}");
    let out = leaks(&file, &folder, Some(&folder));
    assert!(out.contains(line) && !out.contains(decoyed), "{out}");
    // Where the recorder could not read the file, nothing says which one it was.
    let unknown = path("unknown.jsonl");
    let text = std::fs::read_to_string(&file).unwrap();
    let lines = text.lines().filter(|line| !line.starts_with("{\"source\""));
    let text: String = lines.map(|line| format!("{line}\n")).collect();
    std::fs::write(&unknown, text).unwrap();
    let unknown = unknown.to_str().unwrap();
    let out = leaks(unknown, &folder, None);
    assert!(out.contains("command.rs:") && !out.contains(line) && !out.contains(decoyed), "{out}");
    assert!(leaks(unknown, here, None).contains(line));
    assert!(leaks(unknown, &folder, Some(root)).contains(line));
    std::fs::remove_dir_all(&folder).unwrap();
}

#[test]
fn the_width_is_the_environments() {
    let file = record("width.jsonl", 2);
    for columns in [70, 140] {
        let mut command = Command::new(env!("CARGO_BIN_EXE_refscope"));
        command.args(["timeline", &file]).env("COLUMNS", columns.to_string());
        let (out, err) = texts(&command.output().unwrap());
        let widest = out.lines().map(|line| line.chars().count()).max();
        assert!(widest <= Some(columns) && widest > Some(columns - 15), "{widest:?}: {out}{err}");
    }
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
