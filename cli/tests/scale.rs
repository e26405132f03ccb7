//! Long recordings and many of them: packed, read in memory that does not grow with the events, told apart; and what
//! becomes of a command that is interrupted.
#![cfg(unix)]

mod common;

use common::{path, refscope, texts};
use refscope::sink::{FileSink, FlightRecorder};
use refscope::{Arc, Recording, Scope};
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

struct Session([u64; 8]);

/// Sessions that come and go on two threads, of which ten stay; and a configuration that all use.
fn record(name: &str, sessions: u64) -> String {
    let (file, recorded) = (path(name), path(&format!("{name}.recorded")));
    let flight = FlightRecorder::create(&recorded).unwrap();
    let config = Scope::new(flight.clone()).run(|| Arc::new(5_u64));
    std::thread::scope(|threads| {
        for thread in 0..2 {
            let (config, flight) = (config.clone(), flight.clone());
            threads.spawn(move || {
                let scope = Scope::new(flight);
                for number in 0..sessions / 2 {
                    let session = scope.run(|| Arc::new(Session([number; 8])));
                    assert_eq!(session.0[0], number);
                    let clones = [session.clone(), session.clone(), session.clone()];
                    drop(Arc::downgrade(&session).upgrade());
                    drop(clones);
                    drop(config.clone());
                    if thread == 0 && number % (sessions / 20) == 0 {
                        std::mem::forget(session.clone());
                    }
                }
            });
        }
    });
    drop(config);
    flight.flush().unwrap();
    // The one that is written says four times a second that the process goes on.
    std::fs::copy(&recorded, &file).unwrap();
    std::fs::remove_file(&recorded).unwrap();
    file.to_str().unwrap().to_owned()
}

#[test]
fn what_is_packed_gives_the_same_answers() {
    let file = record("run.refscope", 2_000);
    let whole = Recording::open(&file).unwrap();
    let output = refscope(&["pack", &file]);
    let (out, err) = texts(&output);
    assert!(output.status.success(), "{err}");
    let packed = file.replace(".refscope", ".packed.refscope");
    let events = whole.events().len();
    assert!(out.contains(&format!("{packed}: {events} events in ")), "{out}");
    let bytes = std::fs::metadata(&packed).unwrap().len();
    assert!(bytes < 20 * events as u64, "{bytes}");
    let last = whole.objects().keys().last().unwrap().to_string();
    let config = whole.objects().keys().next().unwrap().to_string();
    for arguments in [
        &["leaks"][..],
        &["leaks", "--json"],
        &["timeline"],
        &["timeline", "--type", "Session", "--alive", "-n", "3"],
        &["timeline", "--object", &last, "--json"],
        &["top"],
        &["tree", "--object", &last],
        &["balance", "--object", &config],
        &["balance", "--object", &last, "--json"],
        &["flame", "--json"],
        &["export", "--format", "json"],
        &["export", "--format", "dot", "--object", &last],
    ] {
        let of = |file: &str| {
            let output = refscope(&[arguments, &[file]].concat());
            let (out, err) = texts(&output);
            (output.status.code(), out, err.replace(file, ""))
        };
        assert_eq!(of(&packed), of(&file), "{arguments:?}");
    }
    // To a place of its own; what cannot be read leaves what was there.
    let to = path("elsewhere.refscope");
    let to = to.to_str().unwrap();
    assert!(refscope(&["pack", &file, "-o", to]).status.success());
    assert_eq!(std::fs::read(to).unwrap(), std::fs::read(&packed).unwrap());
    let bad = path("bad.refscope");
    std::fs::write(&bad, "no recording").unwrap();
    let output = refscope(&["pack", bad.to_str().unwrap(), "-o", to]);
    assert_eq!(output.status.code(), Some(2));
    assert!(texts(&output).1.contains("bad.refscope, line 1: not a refscope recording"));
    assert_eq!(std::fs::read(to).unwrap(), std::fs::read(&packed).unwrap());
    let parts = std::fs::read_dir(path("")).unwrap();
    let mut names = parts.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    assert!(names.all(|name| !name.contains("elsewhere") || name == "elsewhere.refscope"));
}

/// The most memory that a command has had, in KiB.
fn peak(arguments: &[&str]) -> u64 {
    let before = "ulimit -v 2000000; exec /usr/bin/env -- \"$@\" >/dev/null & child=$!; \
                  while [ -e /proc/$child ]; do grep VmHWM /proc/$child/status 2>/dev/null; sleep 0.01; done; wait $child";
    let output = Command::new("bash")
        .args(["-c", before, "bash", env!("CARGO_BIN_EXE_refscope")])
        .args(arguments)
        .output()
        .unwrap();
    let (out, err) = texts(&output);
    assert!(output.status.code().is_some_and(|code| code < 2), "{arguments:?}: {err}");
    let last = out.lines().last().and_then(|line| line.split_whitespace().nth(1));
    last.unwrap_or_else(|| panic!("{arguments:?}: it was too fast to be looked at: {out}{err}"))
        .parse()
        .unwrap()
}

/// KiB that any command may take.
#[cfg(target_os = "linux")]
const SOME: u64 = 16_000;

/// Of four times the events no command takes more memory, but for some that differs from run to run.
#[test]
#[cfg(target_os = "linux")]
fn memory_does_not_grow_with_the_events() {
    let (few, many) = (record("few.refscope", 6_000), record("many.refscope", 24_000));
    let lines = |file: &str| {
        let to = file.replace(".refscope", ".jsonl");
        assert!(refscope(&["export", "--format", "jsonl", file, "-o", &to]).status.success());
        to
    };
    let (few_lines, many_lines) = (lines(&few), lines(&many));
    let to = path("memory.out");
    let to = to.to_str().unwrap();
    // What all sessions use, and so the most events; and a session.
    let objects = |file: &str| {
        let objects = Recording::open(file).unwrap();
        let mut numbers = objects.objects().keys().map(ToString::to_string);
        [numbers.next().unwrap(), numbers.nth(4).unwrap()]
    };
    let (of_few, of_many) = (objects(&few), objects(&many));
    for arguments in [
        &["leaks"][..],
        &["top"],
        &["timeline", "-n", "3", "--alive"],
        &["timeline", "--type", "Session"],
        &["balance", "--object", "CONFIG"],
        &["tree", "--object", "SESSION"],
        &["timeline", "--object", "CONFIG", "--events", "2000"],
        &["tree", "--object", "CONFIG", "--events", "2000"],
        &["export", "--format", "jsonl", "-o", to],
        &["export", "--format", "perfetto", "-o", to],
        &["export", "--format", "json", "-o", to],
        &["pack", "-o", to],
    ] {
        let of = |file: &str, [config, session]: &[String; 2]| {
            let named = arguments.iter().map(|argument| match *argument {
                "CONFIG" => config.as_str(),
                "SESSION" => session,
                other => other,
            });
            peak(&named.chain([file]).collect::<Vec<_>>())
        };
        let (of_few, of_many) = (of(&few, &of_few), of(&many, &of_many));
        // The larger one has 400,000 events, of 96 B each in memory: 28 MB more. The smaller one may be read before it is looked at.
        assert!(
            of_many < of_few.max(SOME) + 8_000,
            "{arguments:?}: {of_few} KiB and {of_many} KiB"
        );
    }
    let (of_few, of_many) = (peak(&["leaks", &few_lines]), peak(&["leaks", &many_lines]));
    assert!(of_many < of_few.max(SOME) + 8_000, "lines: {of_few} KiB and {of_many} KiB");
    let diff = peak(&["diff", &many, &many]);
    assert!(diff < peak(&["diff", &few, &few]).max(SOME) + 8_000, "diff: {diff} KiB");
}

/// Of an object with very many events the command shows how they began and ended, and says how many it leaves out.
#[test]
fn a_huge_object_is_shown_in_part() {
    let file = record("huge.refscope", 40_000);
    let config = Recording::open(&file).unwrap().objects().keys().next().unwrap().to_string();
    for command in ["timeline", "tree"] {
        let arguments = [command, "--object", &config, "--events"];
        let (out, err) = texts(&refscope(&[&arguments[..], &["400", &file]].concat()));
        assert!(err.is_empty() && out.len() < 100_000, "{} B, {err}", out.len());
        let said =
            out.lines().find(|line| line.contains("events in between are not shown")).unwrap();
        let count: String = said.chars().filter(char::is_ascii_digit).collect();
        assert!((79_000..80_100).contains(&count.parse::<u32>().unwrap()), "{said}");
        let (out, _) = texts(&refscope(&[&arguments[..], &["1000000", &file]].concat()));
        assert!(!out.contains("not shown"));
    }
    let json = texts(&refscope(&["timeline", "--object", &config, "--json", &file])).0;
    let json: serde_json::Value = serde_json::from_str(&json).unwrap();
    let timeline = &json["timelines"][0];
    let shown = timeline["events"].as_array().unwrap().len() as u64;
    assert!(shown <= 20_100 && timeline["omitted"].as_u64().unwrap() + shown > 80_000);
}

/// A page has what is worth looking at, and says what it does not have.
#[test]
fn a_page_says_what_it_leaves_out() {
    let file = record("page.refscope", 24_000);
    let page = path("page.html");
    let output = refscope(&["export", "-f", "html", &file, "-o", page.to_str().unwrap()]);
    let (_, err) = texts(&output);
    let note = "4001 of 24001 objects are left out, 0 of them alive";
    assert!(err.contains(note), "{err}");
    let page = std::fs::read_to_string(&page).unwrap();
    assert!(page.contains(note));
    let some = path("some.html");
    let output =
        refscope(&["export", "-f", "html", &file, "--alive", "-o", some.to_str().unwrap()]);
    let (_, err) = texts(&output);
    assert!(output.status.success() && err.is_empty(), "{err}");
}

/// Lines of another process, on another machine.
fn other(name: &str, host: &str, pid: u32, alive: usize) -> PathBuf {
    let file = path(name);
    std::fs::create_dir_all(file.parent().unwrap()).unwrap();
    let mut text = format!(
        "{{\"refscope\":1,\"pid\":{pid},\"program\":\"/srv/shop\",\"dir\":\"/srv\",\"host\":\"{host}\",\"started\":1764000000000,\
         \"build\":\"b{alive}\"}}\n"
    );
    text.push_str("{\"thread\":1,\"name\":\"main\"}\n{\"type\":1,\"name\":\"shop::Cart\"}\n");
    text.push_str("{\"site\":1,\"file\":\"src/cart.rs\",\"line\":7,\"column\":9}\n");
    for object in 1..=alive {
        text.push_str(&format!(
            "{{\"object\":{object},\"kind\":\"Rc\",\"type\":1,\"size\":8,\"site\":1}}\n\
             {{\"event\":\"new\",\"o\":{object},\"n\":1,\"h\":1,\"s\":1,\"t\":1,\"ns\":10,\"at\":1}}\n"
        ));
    }
    std::fs::write(&file, text).unwrap();
    file
}

#[test]
fn folders_and_processes() {
    other("fleet/a.jsonl", "one", 7, 3);
    other("fleet/b.jsonl", "one", 8, 2);
    other("fleet/deeper/c.jsonl", "two", 7, 2);
    std::fs::write(path("fleet/notes.txt"), "not a recording").unwrap();
    std::fs::write(path("fleet/other.jsonl"), "{\"neither\":1}\n").unwrap();
    let fleet = path("fleet");
    let fleet = fleet.to_str().unwrap();
    let rows = |by: &str| {
        let (out, err) = texts(&refscope(&["top", fleet, "--by", by, "--json"]));
        assert_eq!(out.lines().count(), 1, "{out}{err}");
        let json: serde_json::Value = serde_json::from_str(&out).unwrap();
        let rows = json["rows"].as_array().unwrap().iter();
        let row = |row: &serde_json::Value| {
            (
                row[by].as_str().unwrap().to_owned(),
                row["recordings"].as_u64(),
                row["objects"].as_u64(),
            )
        };
        rows.map(row).collect::<Vec<_>>()
    };
    assert_eq!(
        rows("host"),
        [("one".to_owned(), Some(2), Some(5)), ("two".to_owned(), Some(1), Some(2))]
    );
    let builds = rows("version");
    assert_eq!(builds[0], ("/srv/shop  build b2".to_owned(), Some(2), Some(4)));
    assert_eq!(builds[1], ("/srv/shop  build b3".to_owned(), Some(1), Some(3)));
    let processes = rows("process");
    assert_eq!(processes.len(), 3);
    assert_eq!(processes[0].0, "/srv/shop on one, process 7 from 2025-11-24 16:00:00 UTC");
    let (out, _) = texts(&refscope(&["top", fleet, "--by", "host", "-n", "1"]));
    assert!(out.contains("oldest  machine\n") && out.ends_with("  one\nand 1 more\n"), "{out}");
    // Which machines a leak is on; and what changed on each.
    let output = refscope(&["leaks", fleet, "--by", "host", "--json"]);
    assert_eq!(output.status.code(), Some(1));
    let json: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    let row = |row: &serde_json::Value| {
        let number = |key: &str| row[key].as_u64().unwrap();
        (row["host"].as_str().unwrap().to_owned(), number("recordings"), number("objects"))
    };
    let leaks: Vec<_> = json["rows"].as_array().unwrap().iter().map(row).collect();
    assert_eq!(leaks, [("one".to_owned(), 2, 5), ("two".to_owned(), 1, 2)]);
    let (out, _) = texts(&refscope(&["leaks", fleet, "--by", "version"]));
    assert!(out.starts_with("src/cart.rs:7:9 keeps Rc<shop::Cart>  ["), "{out}");
    assert_eq!(out.lines().count(), 4, "{out}");
    let output = refscope(&["leaks", fleet, "--by", "process", "--allow", "Cart"]);
    assert_eq!(output.status.code(), Some(0));
    let (one, two) = (path("fleet/a.jsonl"), path("fleet"));
    let (out, _) =
        texts(&refscope(&["diff", one.to_str().unwrap(), two.to_str().unwrap(), "--by", "host"]));
    let rows: Vec<&str> = out.lines().skip(1).collect();
    assert_eq!(rows.len(), 2, "{out}");
    assert!(rows[0].ends_with("src/cart.rs:7:9; one") && rows[1].ends_with("; two"), "{out}");
    assert!(rows.iter().all(|row| row.contains("+2")), "{out}");
    // Each recording by itself, below its name.
    let (out, _) = texts(&refscope(&["top", fleet]));
    assert_eq!(out.matches("== ").count(), 3, "{out}");
    assert!(out.contains("deeper/c.jsonl"), "{out}");
    let (out, _) = texts(&refscope(&["leaks", fleet, "--json"]));
    assert_eq!(out.lines().count(), 3);
    // Sums of folders are compared; equal ones are said to be.
    let deeper = path("fleet/deeper");
    let (out, _) = texts(&refscope(&["diff", deeper.to_str().unwrap(), fleet]));
    assert!(out.contains("+5") && out.contains("Rc<shop::Cart>"), "{out}");
    let (out, _) = texts(&refscope(&["diff", fleet, fleet]));
    assert_eq!(out, "nothing differs: of each type and line both have as many objects alive\n");
    // A file for each.
    let to = path("exported");
    let to = to.to_str().unwrap();
    let output = refscope(&["export", "-f", "jsonl", fleet, "-o", to]);
    assert!(output.status.success(), "{}", texts(&output).1);
    for name in ["a.jsonl", "b.jsonl", "c.jsonl"] {
        assert!(Recording::open(Path::new(to).join(name)).unwrap().origin().is_some());
    }
    let output = refscope(&["export", "-f", "jsonl", fleet]);
    assert!(texts(&output).1.contains("-o FOLDER"));
}

#[test]
fn what_matches_nothing_is_said() {
    let file = other("match.jsonl", "one", 7, 2);
    let file = file.to_str().unwrap();
    let (out, _) = texts(&refscope(&["timeline", file, "--type", "Nope"]));
    assert_eq!(
        out,
        "no object matches --type Nope; there are:\n        2  Rc<shop::Cart>, 2 alive at the end\n"
    );
    let (out, _) = texts(&refscope(&["timeline", file, "--object", "9"]));
    assert!(out.starts_with("no object matches --object 9; there are:"), "{out}");
    let empty = path("empty.jsonl");
    FileSink::create(&empty).unwrap().flush().unwrap();
    let (out, _) = texts(&refscope(&["timeline", empty.to_str().unwrap()]));
    assert_eq!(out, "there is no object in this recording\n");
    let (out, _) = texts(&refscope(&["top", file, "--type", "Nope"]));
    assert!(out.ends_with("nothing that is asked for was alive at the end\n"), "{out}");
}

/// A pipe is read once, and what comes through it as often as is needed.
#[test]
fn a_binary_recording_comes_through_a_pipe() {
    let file = record("pipe.refscope", 600);
    let mut child = Command::new(env!("CARGO_BIN_EXE_refscope"))
        .args(["timeline", "-", "--alive", "-n", "2"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(&std::fs::read(&file).unwrap()).unwrap();
    let (out, _) = texts(&child.wait_with_output().unwrap());
    assert_eq!(out, texts(&refscope(&["timeline", &file, "--alive", "-n", "2"])).0);
}

/// By Ctrl-C at any moment: the code that shells know, and no file that is not whole.
#[test]
fn an_interrupted_command_leaves_nothing_half_written() {
    let file = record("interrupted.refscope", 20_000);
    let folder = path("interrupted");
    std::fs::create_dir_all(&folder).unwrap();
    let to = folder.join("out.jsonl");
    // Who runs the tests in the background may have them ignore it.
    // SAFETY: SIGNAL: no handler is set.
    unsafe { libc::signal(libc::SIGINT, libc::SIG_DFL) };
    let export = |wait: &mut dyn FnMut()| {
        std::fs::write(&to, "what was there before").unwrap();
        let mut child = Command::new(env!("CARGO_BIN_EXE_refscope"))
            .args(["export", "--format", "jsonl", &file, "-o", to.to_str().unwrap()])
            .spawn()
            .unwrap();
        wait();
        // SAFETY: SIGNAL: the child is this test's own, and has not been waited for.
        unsafe { libc::kill(child.id() as i32, libc::SIGINT) };
        let status = child.wait().unwrap();
        let text = std::fs::read_to_string(&to).unwrap();
        if status.success() {
            assert!(text.starts_with("{\"refscope\":1"));
        } else {
            // A process that has not got to its handler yet ends by the signal itself.
            use std::os::unix::process::ExitStatusExt as _;
            assert!(status.code() == Some(130) || status.signal() == Some(libc::SIGINT));
            assert_eq!(text, "what was there before");
        }
        assert_eq!(std::fs::read_dir(&folder).unwrap().count(), 1, "no part is left");
        status.code() == Some(130)
    };
    for milliseconds in [0, 5, 20, 60, 120, 250] {
        export(&mut || std::thread::sleep(std::time::Duration::from_millis(milliseconds)));
    }
    // While the part that it writes is there; on a busy machine it may be whole before the signal comes.
    let mut while_it_writes = || {
        let begin = std::time::Instant::now();
        while std::fs::read_dir(&folder).unwrap().count() == 1 && begin.elapsed().as_secs() < 10 {
            std::thread::yield_now();
        }
    };
    assert!((0..100).any(|_| export(&mut while_it_writes)));
}

/// A recording of a process that goes on is read as far as it has come.
#[test]
fn a_recording_is_read_while_it_is_written() {
    let file = path("growing.refscope");
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "child_at_work", "--ignored", "--nocapture"])
        .env("REFSCOPE", format!("record={}", file.display()))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    lines.find(|line| line.as_ref().unwrap().contains("at work")).unwrap().unwrap();
    for _ in 0..5 {
        for command in ["leaks", "timeline", "top"] {
            let output = refscope(&[command, file.to_str().unwrap()]);
            let (out, err) = texts(&output);
            assert!(output.status.code().is_some_and(|code| code < 2), "{err}");
            assert!(err.is_empty() && !out.is_empty(), "{err}");
        }
        let packed = path("growing-packed.refscope");
        let arguments = ["pack", file.to_str().unwrap(), "-o", packed.to_str().unwrap()];
        let output = refscope(&arguments);
        assert!(output.status.success());
        let part = Recording::open(&packed).unwrap();
        assert!(part.damage().is_empty());
        // It is said that this is not all, and how far it goes.
        let (_, err) = texts(&output);
        let told = format!(
            "it is still being written by process {}; packed is what there was up to {:.3} s after the start\n",
            child.id(),
            part.end_time().as_nanos() as f64 / 1e9
        );
        assert!(err.ends_with(&told), "{err}");
    }
    drop(child.stdin.take());
    child.kill().unwrap();
    child.wait().unwrap();
    // Nobody writes it any more.
    let packed = path("growing-packed.refscope");
    let output = refscope(&["pack", file.to_str().unwrap(), "-o", packed.to_str().unwrap()]);
    let (_, err) = texts(&output);
    assert!(output.status.success() && !err.contains("still being written"), "{err}");
}

#[test]
#[ignore = "it is a child of another test's"]
fn child_at_work() {
    // An object is there by then, whenever this process has its turn.
    drop(Arc::new(Session([0; 8])));
    println!("at work");
    // For a while, and at leisure: what reads the recording is to keep up.
    for number in 0_u64..20_000 {
        let session = Arc::new(Session([number; 8]));
        drop([session.clone(), session.clone()]);
        std::thread::sleep(std::time::Duration::from_millis(1));
    }
}
