//! The command `refscope`: what it prints, how it ends, and what it says of a bad input.

mod common;

use common::{path, refscope, texts};
use refscope::sink::{FileSink, FlightRecorder};
use refscope::{Rc, Scope};
use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};

struct Session;
struct Cache;

/// A recording of a program that leaks so many sessions.
fn record(name: &str, sessions: usize) -> String {
    let file = path(name);
    let sink = FileSink::create(&file).unwrap();
    Scope::new(sink.clone()).run(|| program(sessions));
    sink.flush().unwrap();
    file.to_str().unwrap().to_owned()
}

fn program(sessions: usize) {
    let cache = Rc::new(Cache);
    refscope::label(&cache, "the cache");
    for _ in 0..sessions {
        let session = Rc::new(Session);
        std::mem::forget(session.clone());
    }
    drop(cache.clone());
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

/// Where there is no source, there is nothing of an excerpt but the location.
#[test]
fn a_line_without_its_source() {
    let file = record("no-source.jsonl", 3);
    let text = std::fs::read_to_string(&file).unwrap();
    let lines = text.lines().filter(|line| !line.contains("std::mem::forget"));
    let text: String = lines.map(|line| line.replace(file!(), "gone/none.rs") + "\n").collect();
    std::fs::write(&file, text).unwrap();
    let (out, err) = texts(&refscope(&["leaks", &file]));
    assert!(out.contains("  --> gone/none.rs:"), "{out}{err}");
    assert!(!out.contains(['│', '|']) && !out.contains("this clone is alive"), "{out}");
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
    let output = refscope(&["leaks", file.to_str().unwrap(), "--by", "host"]);
    let (out, _) = texts(&output);
    assert_eq!(output.status.code(), Some(1), "{out}");
    assert!(out.contains("nothing was traced") && !out.contains("asked for"), "{out}");
    let output = refscope(&["leaks", file.to_str().unwrap(), "--by", "host", "--json"]);
    let json: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    let verdict = json["failed"][0]["verdict"].as_str().unwrap();
    assert!(verdict.contains("nothing was traced"), "{json}");
}

/// What is cut off before the first event says nothing of leaks, and that is an error; not one where something is left.
#[test]
fn a_recording_that_is_cut_before_its_first_event_fails() {
    const BLOCK: usize = 16 << 10;
    let file = path("whole.refscope");
    let flight = FlightRecorder::create(&file).unwrap();
    Scope::new(flight.clone()).run(|| program(3));
    flight.flush().unwrap();
    let bytes = std::fs::read(&file).unwrap();
    let of = |bytes: &[u8]| {
        let cut = path("cut.refscope");
        std::fs::write(&cut, bytes).unwrap();
        let output = refscope(&["leaks", cut.to_str().unwrap()]);
        (output.status.code(), texts(&output).1)
    };
    assert_eq!(of(&bytes).0, Some(1));
    // In the head, behind it, in the first block's entries, behind them, and behind the block, which has entries alone.
    for length in [1_000, BLOCK, BLOCK + 100, BLOCK + 900, BLOCK + 9_000, 2 * BLOCK] {
        let (code, text) = of(&bytes[..length]);
        assert!(code == Some(2) && text.contains("no object in what is left"), "{length}: {text}");
    }
    assert_eq!(of(&bytes[..3 * BLOCK - 10]).0, Some(1));
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

/// What was alive at a time, with the age that it had then.
#[test]
fn a_time_after_the_start() {
    let file = path("times.jsonl");
    let text = r#"{"refscope":1,"pid":7}
{"thread":1,"name":"main"}
{"site":1,"file":"none.rs","line":3,"column":15}
{"type":1,"name":"app::Session"}
{"object":1,"kind":"Rc","type":1,"size":4,"site":1}
{"event":"new","o":1,"n":1,"h":1,"s":1,"t":1,"ns":1000000000,"at":1}
{"object":2,"kind":"Rc","type":1,"size":4,"site":1}
{"event":"new","o":2,"n":1,"h":1,"s":1,"t":1,"ns":1500000000,"at":1}
{"event":"drop","o":1,"n":2,"h":1,"s":0,"t":1,"ns":3000000000}
{"event":"drop","o":2,"n":2,"h":1,"s":0,"t":1,"ns":4000000000}
{"end":"exit","ns":4000000000}
"#;
    std::fs::write(&file, text).unwrap();
    let file = file.to_str().unwrap();
    let at = |moment: &str| texts(&refscope(&["leaks", file, "--at", moment]));
    for (moment, alive) in [("1200ms", 1), ("2", 2), ("2.9s", 2), ("3.5", 1)] {
        let (out, err) = at(moment);
        let alive = format!("{alive} object{} alive", if alive == 1 { "" } else { "s" });
        assert!(out.contains(&alive), "{moment}: {out}{err}");
        assert!(out.contains(" alive then, 0 were alive at the end"), "{moment}: {out}");
    }
    assert!(at("2").0.contains("= age:     1.0 s (the oldest)"), "{}", at("2").0);
    let (_, err) = at("later");
    assert!(err.contains("a time is as 12.5s or 300ms, after its start"), "{err}");
}

/// What the shutdown drops is named, with the line that held it: not where the process was killed, not what came and went, and
/// not what is allowed or was not asked for.
#[test]
fn what_a_shutdown_hides_is_named() {
    let (file, packed) = (path("peak.jsonl"), path("peak.packed.refscope"));
    let mut text = r#"{"refscope":1,"pid":7}
{"thread":1,"name":"main"}
{"site":1,"file":"src/client.rs","line":3,"column":15}
{"site":2,"file":"src/registry.rs","line":8,"column":20}
{"type":1,"name":"app::Client"}
{"type":2,"name":"app::Request"}
"#
    .to_owned();
    for client in 1..=5 {
        let at = client * 100_000_000;
        text += &format!(
            r#"{{"object":{client},"kind":"Arc","type":1,"size":4,"site":1}}
{{"event":"new","o":{client},"n":1,"h":1,"s":1,"t":1,"ns":{at},"at":1}}
{{"event":"clone","o":{client},"n":2,"h":2,"s":2,"t":1,"ns":{at},"f":1,"at":2}}
{{"event":"drop","o":{client},"n":3,"h":1,"s":1,"t":1,"ns":{at}}}
"#
        );
    }
    for request in 6..=9 {
        text += &format!(
            r#"{{"object":{request},"kind":"Rc","type":2,"size":4,"site":1}}
{{"event":"new","o":{request},"n":1,"h":1,"s":1,"t":1,"ns":1900000000,"at":1}}
{{"event":"drop","o":{request},"n":2,"h":1,"s":0,"t":1,"ns":1901000000}}
"#
        );
    }
    for client in 1..=5 {
        text += &format!(
            "{{\"event\":\"drop\",\"o\":{client},\"n\":4,\"h\":2,\"s\":0,\"t\":1,\"ns\":{}}}\n",
            1_980_000_000 + client
        );
    }
    let ended = format!("{text}{{\"end\":\"exit\",\"ns\":2000000000}}\n");
    std::fs::write(&file, &ended).unwrap();
    let (file, packed) = (file.to_str().unwrap(), packed.to_str().unwrap());
    let leaks = |arguments: &[&str]| texts(&refscope(&[&["leaks"], arguments].concat())).0;
    let line = "gone at the end, and alive shortly before:\n  Arc<Client> at src/client.rs:3: 5 at the peak \
                (kept by handles of src/registry.rs:8), all dropped in the last 19 ms\n";
    assert!(leaks(&[file]).ends_with(line), "{}", leaks(&[file]));
    refscope(&["pack", file, "-o", packed]);
    assert!(leaks(&[packed]).ends_with(line), "{}", leaks(&[packed]));
    assert!(leaks(&[file, "--type", "Client", "--site", "client.rs"]).ends_with(line));
    for quiet in [&["--type", "Request"][..], &["--allow", "Client"], &["--object", "3"]] {
        let out = leaks(&[&[file], quiet].concat());
        assert!(!out.is_empty() && !out.contains("gone at the end"), "{quiet:?}: {out}");
    }
    let json: serde_json::Value = serde_json::from_str(&leaks(&[file, "--json"])).unwrap();
    let peak = &json["peaks"][0];
    assert_eq!((&json["objects"], &peak["peak"], &peak["left"]), (&0.into(), &5.into(), &0.into()));
    assert_eq!((&peak["type"], &peak["file"]), (&"app::Client".into(), &"src/client.rs".into()));
    assert_eq!((&peak["holder"]["line"], &peak["ago_ns"]), (&8.into(), &19_999_997.into()));
    // The page says it as well.
    let page = path("peak.html");
    refscope(&["export", file, "--format", "html", "-o", page.to_str().unwrap()]);
    let page = std::fs::read_to_string(page).unwrap();
    let gone = page.split_once("\"gone\":[").and_then(|(_, rest)| rest.split_once(']'));
    let line = "\"Arc<Client> at src/client.rs:3: 5 at the peak (kept by handles of src/registry.rs:8), all dropped in the \
                last 19 ms\"";
    let (gone, _) = gone.expect("the page has its data");
    assert_eq!(gone.replace("\\u003c", "<").replace("\\u003e", ">"), line);
    std::fs::write(file, &text).unwrap();
    let killed = leaks(&[file]);
    assert!(!killed.is_empty() && !killed.contains("gone at the end"), "{killed}");
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

/// Writes a recording without the lines that begin with one of these, and returns its path.
fn without(file: &str, name: &str, beginnings: &[&str]) -> String {
    let text = std::fs::read_to_string(file).unwrap();
    let is_kept = |line: &&str| !beginnings.iter().any(|beginning| line.starts_with(beginning));
    let text: String = text.lines().filter(is_kept).map(|line| format!("{line}\n")).collect();
    let path = path(name);
    std::fs::write(&path, text).unwrap();
    path.to_str().unwrap().to_owned()
}

#[test]
fn an_edited_source_is_not_shown() {
    let file = record("edited.jsonl", 1);
    let text = std::fs::read_to_string(&file).unwrap();
    let source = format!("{{\"source\":\"{}\",\"len\":", file!());
    let at = text.find(&source).expect("the recording says what the file was") + source.len();
    std::fs::write(&file, format!("{}9{}", &text[..at], &text[at..])).unwrap();
    // The line as it was is in the recording.
    let (out, err) = texts(&refscope(&["leaks", &file]));
    assert!(out.contains("as it was recorded: the file has changed since"), "{out}{err}");
    assert!(out.contains("std::mem::forget(session.clone());"), "{out}");
    let file = without(&file, "edited-without-lines.jsonl", &["{\"lines\""]);
    let (out, err) = texts(&refscope(&["leaks", &file]));
    assert!(out.contains("the file is not the one that was recorded"), "{out}{err}");
    assert!(!out.contains("std::mem::forget"), "{out}");
    let (out, _) = texts(&refscope(&["timeline", &file]));
    assert!(!out.contains("std::mem::forget"), "{out}");
}

/// The lines travel with a recording, of either kind: a machine that has no such file shows them, on the page with those around.
#[test]
fn lines_of_source_travel_with_the_recording() {
    let lines = record("travels.jsonl", 1);
    let binary = path("travels.refscope").to_str().unwrap().to_owned();
    let recorder = FlightRecorder::create(&binary).unwrap();
    Scope::new(recorder.clone()).run(|| program(1));
    recorder.flush().unwrap();
    drop(recorder);
    let exported = path("travels-exported.jsonl").to_str().unwrap().to_owned();
    refscope(&["export", &binary, "--format", "jsonl", "-o", &exported]);
    // Nothing is found where the recording was made: it is nowhere.
    let here = std::env::current_dir().unwrap();
    let there = std::env::temp_dir().join(format!("refscope-nowhere-{}", std::process::id()));
    std::fs::create_dir_all(&there).unwrap();
    let was = std::fs::read(&binary).unwrap();
    let from = here.to_str().unwrap();
    let to = format!("{}?", &from[..from.len() - 1]);
    let moved = |bytes: &[u8]| {
        let mut bytes = bytes.to_vec();
        let at = bytes.windows(from.len()).position(|part| part == from.as_bytes()).unwrap();
        bytes[at..at + to.len()].copy_from_slice(to.as_bytes());
        bytes
    };
    // Checksums of blocks that are complete say if one byte is another; this one is not.
    std::fs::write(&binary, moved(&was)).unwrap();
    for file in [&lines, &exported] {
        std::fs::write(file, moved(&std::fs::read(file).unwrap())).unwrap();
    }
    let run = |arguments: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_refscope"));
        command.args(arguments).current_dir(&there).env_remove("CARGO_MANIFEST_DIR");
        texts(&command.output().unwrap())
    };
    for file in [&lines, &binary, &exported] {
        let (out, err) = run(&["leaks", file]);
        assert!(out.contains("std::mem::forget(session.clone());"), "{file}: {out}{err}");
        assert!(!out.contains("has changed"), "{file}: {out}");
        let (out, err) = run(&["timeline", file]);
        assert!(out.contains("│ std::mem::forget(session.clone());"), "{file}: {out}{err}");
        let (page, err) = run(&["export", file, "--format", "html"]);
        assert!(page.contains("let session = Rc::new(Session);"), "{file}: {err}");
    }
    std::fs::remove_dir_all(&there).unwrap();
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
    let out = leaks(&file, &folder, None);
    assert!(out.contains(line) && !out.contains("changed"), "{out}");
    let file = without(&file, "elsewhere-without-lines.jsonl", &["{\"lines\""]);
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    let root = here.parent().unwrap();
    // It is looked for where the recording was made.
    let out = leaks(&file, &folder, None);
    assert!(out.contains(line) && !out.contains(decoyed), "{out}");
    let out = leaks(&file, &folder, Some(&folder));
    assert!(out.contains(line) && !out.contains(decoyed), "{out}");
    // Where the recorder could not read the file, nothing says which one it was.
    let unknown = &without(&file, "unknown.jsonl", &["{\"source\"", "{\"lines\""]);
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

/// Objects to which the same was done are one picture with a count, of each other one more.
#[test]
fn alike_objects_are_one_picture() {
    let file = path("alike.jsonl");
    let sink = FileSink::create(&file).unwrap();
    Scope::new(sink.clone()).run(|| {
        for n in 0..40 {
            let session = Rc::new(Session);
            // One of them is cloned once more.
            (0..1 + n / 39).for_each(|_| drop(session.clone()));
            std::mem::forget(session.clone());
        }
        let labelled = [(); 2].map(|()| Rc::new(Cache));
        refscope::label(&labelled[0], "of users");
        refscope::label(&labelled[1], "of groups");
    });
    sink.flush().unwrap();
    let (out, err) = texts(&refscope(&["timeline", file.to_str().unwrap(), "-n", "50"]));
    let titles: Vec<_> =
        out.lines().filter(|line| line.starts_with("Rc<")).map(|line| line.split("  ")).collect();
    assert_eq!(titles.len(), 4, "{out}{err}");
    let titles: Vec<(String, String)> = titles
        .into_iter()
        .map(|mut parts| (parts.next().unwrap().to_owned(), parts.last().unwrap().to_owned()))
        .collect();
    let is = |at: usize, name: &str, fate: &str| {
        titles[at].0.starts_with(name) && titles[at].1.trim() == fate
    };
    assert!(is(0, "Rc<Session> #", "ALIVE · 1 strong each"), "{out}");
    assert!(titles[0].0.ends_with(" and 38 alike"), "{out}");
    assert!(is(1, "Rc<Session> #", "ALIVE · 1 strong") && !titles[1].0.contains("alike"), "{out}");
    assert!(is(2, "Rc<Cache> \"of users\"", "dropped"), "{out}");
    assert!(out.contains("42 objects · 40 alive"), "{out}");
    // Those that are not shown are counted one by one.
    let (out, _) = texts(&refscope(&["timeline", file.to_str().unwrap(), "-n", "1"]));
    assert!(out.contains("and 41 more objects:"), "{out}");
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
    // What there is most of, though its values have no bytes.
    let (out, _) = texts(&refscope(&["top", &b]));
    assert!(out.lines().nth(1).unwrap().trim_start().starts_with('5'), "{out}");
    let (out, _) = texts(&refscope(&["top", &b, "--by", "count"]));
    assert!(out.lines().nth(1).unwrap().trim_start().starts_with('5'), "{out}");
    let (out, _) = texts(&refscope(&["diff", &a, &b]));
    assert!(out.lines().nth(1).unwrap().contains("+3"), "{out}");
    assert!(out.contains("command::Session"), "{out}");
    let number = refscope::Recording::read(&std::fs::read(&a).unwrap()[..]).unwrap();
    let session = number.objects().values().find(|o| o.type_name.ends_with("Session")).unwrap().id;
    let (out, _) = texts(&refscope(&["tree", &a, "--object", &session.to_string()]));
    assert!(out.contains("2 handles, 1 alive") && out.contains("! 1 of 1 below alive"), "{out}");
    for (format, says) in
        [("html", "<!doctype html>"), ("perfetto", "Rc<Session>"), ("json", "refscope_leaks")]
    {
        let to = path(&format!("out.{format}"));
        let output = refscope(&["export", &a, "--format", format, "-o", to.to_str().unwrap()]);
        assert!(output.status.success(), "{}", texts(&output).1);
        let written = std::fs::read(to).unwrap();
        assert!(written.windows(says.len()).any(|part| part == says.as_bytes()), "{format}");
    }
    let (out, _) = texts(&refscope(&["export", &a, "-f", "dot", "--object", &session.to_string()]));
    assert!(out.starts_with("digraph"), "{out}");
}

#[cfg(all(target_os = "linux", any(target_arch = "x86_64", target_arch = "aarch64")))]
mod stacks {
    use super::*;
    use refscope::sink::ObjectFilter;
    use refscope::stack::{Depths, set_depths, set_depths_of};

    struct Connection;

    fn connect() -> Rc<Connection> {
        Rc::new(Connection)
    }

    #[inline(never)]
    fn serve() -> Rc<Connection> {
        std::hint::black_box(connect())
    }

    #[inline(never)]
    fn poll() -> Rc<Connection> {
        std::hint::black_box(connect())
    }

    /// One line allocates all; two callers of it are told apart.
    #[test]
    fn top_by_stack() {
        let file = path("stacks.jsonl");
        let sink = FileSink::create(&file).unwrap();
        set_depths_of(
            ObjectFilter::all().of_type("Connection"),
            Depths { new: 32, ..Depths::default() },
        );
        Scope::new(sink.clone()).run(|| {
            std::mem::forget((poll(), Rc::new(Cache)));
            for _ in 0..2 {
                std::mem::forget(serve());
            }
        });
        set_depths(Depths::default());
        sink.flush().unwrap();
        let (out, _) = texts(&refscope(&["top", file.to_str().unwrap(), "--by", "stack"]));
        let rows: Vec<_> = out.split("Rc<command::").collect();
        assert_eq!(rows.len(), 4, "{out}");
        let of = |n: usize, count: u32, name: &str, caller: &str| {
            let count = format!("{count} ");
            rows[n].lines().last().unwrap().trim_start().starts_with(&count)
                && rows[n + 1].starts_with(name)
                && rows[n + 1].contains(caller)
        };
        assert!(of(0, 2, "stacks::Connection>", "command::stacks::serve"), "{out}");
        assert!(
            of(1, 1, "stacks::Connection>", "command::stacks::poll")
                || of(2, 1, "stacks::Connection>", "command::stacks::poll"),
            "{out}"
        );
        assert!(out.contains("(no stack was taken)"), "{out}");
        println!("{out}");
    }
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
    assert!(code == Some(1) && err.contains("is cut off"), "{err}");
    let empty = path("an empty folder");
    std::fs::create_dir_all(&empty).unwrap();
    let output = refscope(&["leaks", empty.to_str().unwrap()]);
    assert!(texts(&output).1.contains("there is no recording in this folder"), "{output:?}");
    let output = refscope(&["leaks", path("none.jsonl").to_str().unwrap()]);
    assert!(
        output.status.code() == Some(2) && texts(&output).1.contains("none.jsonl: No such file")
    );
    let output = refscope(&["tree", &record("few.jsonl", 1), "--object", "77"]);
    assert!(texts(&output).1.contains("there is no object #77"));
    let output = refscope(&["export", &record("dot.jsonl", 1), "-f", "dot"]);
    assert!(texts(&output).1.contains("--object NUMBER"));
}

fn first_object(file: &str) -> String {
    let recording = refscope::Recording::read(&std::fs::read(file).unwrap()[..]).unwrap();
    recording.objects().keys().next().unwrap().to_string()
}

/// The arguments of each subcommand that prints something.
fn subcommands<'a>(a: &'a str, b: &'a str, object: &'a str) -> Vec<Vec<&'a str>> {
    let mut all = vec![
        vec!["leaks", a],
        vec!["timeline", a],
        vec!["top", a],
        vec!["diff", a, b],
        vec!["tree", a, "--object", object],
        vec!["balance", a, "--object", object],
        vec!["flame", a],
    ];
    let formats = ["html", "perfetto", "json"];
    all.extend(formats.map(|format| vec!["export", a, "--format", format]));
    all.push(vec!["export", a, "--format", "dot", "--object", object]);
    all.extend(["bash", "zsh", "fish"].map(|shell| vec!["completions", shell]));
    all.extend([vec!["man"], vec!["man", "leaks"], vec!["--help"], vec!["leaks", "--help"]]);
    all
}

/// As by `| head -1`: that is no error.
#[test]
fn a_reader_may_go_away() {
    let (a, b) = (record("pipe-a.jsonl", 2), record("pipe-b.jsonl", 3));
    for arguments in subcommands(&a, &b, &first_object(&a)) {
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        let output = Command::new(env!("CARGO_BIN_EXE_refscope"))
            .args(&arguments)
            .stdout(writer)
            .output()
            .unwrap();
        let (_, err) = texts(&output);
        assert_eq!(err, "", "{arguments:?}");
        // There are leaks, whether anybody reads of them or not.
        let code = if arguments[..] == ["leaks", &a] { 1 } else { 0 };
        assert_eq!(output.status.code(), Some(code), "{arguments:?}");
    }
}

#[test]
fn colour_where_it_is_asked_for() {
    let file = record("colour.jsonl", 1);
    let is_coloured = |arguments: &[&str], variables: &[(&str, &str)]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_refscope"));
        for name in ["NO_COLOR", "CLICOLOR", "CLICOLOR_FORCE"] {
            command.env_remove(name);
        }
        let command = command.env("TERM", "xterm").envs(variables.iter().copied());
        let output = command.args([arguments, &["leaks", &file]].concat()).output().unwrap();
        texts(&output).0.contains('\x1b')
    };
    assert!(!is_coloured(&[], &[]), "not in a pipe");
    assert!(is_coloured(&["--color", "always"], &[]));
    assert!(is_coloured(&[], &[("CLICOLOR_FORCE", "1")]));
    assert!(!is_coloured(&["--color", "never"], &[("CLICOLOR_FORCE", "1")]));
    assert!(is_coloured(&["--color=always"], &[("NO_COLOR", "1")]), "what is given outweighs");
    assert!(!is_coloured(&[], &[("CLICOLOR", "0")]));
}

#[test]
fn json_wherever_there_is_a_table() {
    let (a, b) = (record("json-a.jsonl", 2), record("json-b.jsonl", 3));
    for arguments in subcommands(&a, &b, &first_object(&a)) {
        if !["leaks", "timeline", "top", "diff", "tree", "balance"].contains(&arguments[0]) {
            continue;
        }
        if arguments.contains(&"--help") {
            continue;
        }
        let output = refscope(&[&arguments[..], &["--json"]].concat());
        let (out, err) = texts(&output);
        assert_eq!(out.lines().count(), 1, "{arguments:?}: {out}{err}");
        let json: serde_json::Value = serde_json::from_str(&out).unwrap();
        let first = format!("refscope_{}", arguments[0]);
        let version = json.get(&first).or_else(|| json.get("refscope_timelines"));
        assert!(version.is_some_and(|version| version.as_u64() > Some(0)), "{arguments:?}: {out}");
    }
    // A line for each recording.
    let (out, _) = texts(&refscope(&["top", &a, &b, "--json"]));
    let counts = out.lines().map(|line| {
        let json: serde_json::Value = serde_json::from_str(line).unwrap();
        json["rows"][0]["objects"].as_u64()
    });
    assert_eq!(counts.collect::<Vec<_>>(), [Some(2), Some(3)]);
}

#[test]
fn every_option_says_what_it_is_for() {
    let (out, _) = texts(&refscope(&["--help"]));
    let names = out.lines().skip_while(|line| *line != "Commands:").skip(1);
    let names = names.take_while(|line| !line.is_empty());
    let names: Vec<_> = names
        .filter(|line| line.starts_with("  ") && !line.starts_with("   "))
        .filter_map(|line| line.split_whitespace().next())
        .collect();
    assert!(names.len() > 10, "{names:?}");
    for name in names.into_iter().filter(|name| *name != "help") {
        let (help, _) = texts(&refscope(&[name, "--help"]));
        let lines: Vec<_> = help.lines().collect();
        for (at, line) in lines.iter().enumerate() {
            let start = line.trim_start();
            let is_head = (start.starts_with("--")
                || start.starts_with('-')
                || start.starts_with('<')
                || start.starts_with('['))
                && line.starts_with("  ");
            if is_head
                && !start.starts_with("- ")
                && !start.starts_with("[default")
                && !start.starts_with("[possible")
            {
                let here =
                    start.split("  ").filter(|part| !part.trim().is_empty()).nth(1).is_some();
                let below = lines.get(at + 1).is_some_and(|next| {
                    next.starts_with("          ") && !next.trim_start().starts_with('[')
                });
                assert!(here || below, "{name}: {line}");
            }
        }
    }
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
