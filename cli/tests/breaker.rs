//! What somebody does who wants to break the command: each gets an answer that says what is wrong, where, and what to do.
#![cfg(unix)]

use std::fs::Permissions;
use std::io::Write as _;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::Duration;

fn folder(name: &str) -> PathBuf {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR"))
        .join(format!("breaker-{}", std::process::id()))
        .join(name);
    std::fs::create_dir_all(&folder).unwrap();
    folder
}

/// Runs the command in a folder: its code, what it prints, and what it says.
fn refscope(folder: &Path, arguments: &[&str]) -> (Option<i32>, String, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_refscope"));
    said(&command.args(arguments).current_dir(folder).output().unwrap())
}

fn said(output: &Output) -> (Option<i32>, String, String) {
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
    (output.status.code(), text(&output.stdout), text(&output.stderr))
}

/// Lines of a process that has so many carts alive.
fn lines(host: &str, pid: u32, alive: usize) -> String {
    let mut text = format!(
        "{{\"refscope\":1,\"pid\":{pid},\"program\":\"/srv/shop\",\"dir\":\"/srv\",\"host\":\"{host}\",\"started\":1764000000000}}\n\
         {{\"thread\":1,\"name\":\"main\"}}\n{{\"type\":1,\"name\":\"shop::Cart\"}}\n\
         {{\"site\":1,\"file\":\"src/cart.rs\",\"line\":7,\"column\":9}}\n"
    );
    for object in 1..=alive {
        text.push_str(&format!(
            "{{\"object\":{object},\"kind\":\"Rc\",\"type\":1,\"size\":8,\"site\":1}}\n\
             {{\"event\":\"new\",\"o\":{object},\"n\":1,\"h\":1,\"s\":1,\"t\":1,\"ns\":1000000,\"at\":1}}\n"
        ));
    }
    text
}

fn record(file: &Path, alive: usize) {
    std::fs::write(file, lines("shop", 7, alive)).unwrap();
}

#[test]
fn an_empty_file() {
    let folder = folder("empty");
    std::fs::write(folder.join("zero.refscope"), "").unwrap();
    for command in ["leaks", "timeline", "top", "pack"] {
        let (code, _, err) = refscope(&folder, &[command, "zero.refscope"]);
        assert_eq!(code, Some(2));
        assert!(
            err.starts_with("refscope: zero.refscope, it is empty: whoever was to record"),
            "{err}"
        );
    }
    // In a folder it is left out, and that is said.
    record(&folder.join("run.jsonl"), 1);
    std::fs::write(folder.join("text.refscope"), "hello").unwrap();
    let (code, out, err) = refscope(&folder, &["leaks", "."]);
    assert!(code == Some(1) && out.contains("1 object alive"), "{out}{err}");
    assert!(err.contains("zero.refscope: it is left out, since it is empty\n"), "{err}");
    assert!(err.contains("text.refscope: it is left out, since it does not begin"), "{err}");
}

#[test]
fn a_folder_without_recordings() {
    let (code, _, err) = refscope(&folder("nothing"), &["top", ".", "--by", "host"]);
    assert_eq!(code, Some(2));
    let says = "refscope: .: there is no recording in this folder, whose names end with .refscope or .jsonl\n";
    assert_eq!(err, says);
}

fn fifo(folder: &Path, name: &str) -> PathBuf {
    let fifo = folder.join(name);
    assert!(Command::new("mkfifo").arg(&fifo).status().unwrap().success());
    fifo
}

/// It is waited for, which is said; and where Ctrl-C is ignored, as by `nohup`, it stays so.
#[test]
fn a_pipe_by_name() {
    let folder = folder("pipe");
    let fifo = fifo(&folder, "fifo");
    let mut child = Command::new("sh")
        .args(["-c", "trap '' INT; exec \"$0\" leaks fifo", env!("CARGO_BIN_EXE_refscope")])
        .current_dir(&folder)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    std::thread::sleep(Duration::from_millis(1500));
    // SAFETY: SIGNAL: the child is this test's own, and has not been waited for.
    unsafe { libc::kill(child.id() as i32, libc::SIGINT) };
    std::thread::sleep(Duration::from_millis(200));
    assert_eq!(child.try_wait().unwrap(), None, "Ctrl-C was ignored");
    std::fs::write(&fifo, lines("shop", 7, 2)).unwrap();
    let (code, out, err) = said(&child.wait_with_output().unwrap());
    assert!(code == Some(1) && out.contains("2 objects alive"), "{out}{err}");
    assert!(err.contains("fifo: it is a pipe, and nobody writes to it yet"), "{err}");
    // In a folder one that nobody writes to is passed by.
    self::fifo(&folder, "more.jsonl");
    record(&folder.join("run.jsonl"), 1);
    assert_eq!(refscope(&folder, &["leaks", "."]).0, Some(1));
}

#[test]
fn the_same_file_twice() {
    let folder = folder("twice");
    record(&folder.join("run.jsonl"), 3);
    std::os::unix::fs::symlink("run.jsonl", folder.join("link.jsonl")).unwrap();
    let (_, out, err) =
        refscope(&folder, &["top", "run.jsonl", "link.jsonl", ".", "--by", "host", "--json"]);
    let json: serde_json::Value = serde_json::from_str(&out).unwrap();
    assert_eq!(
        (&json["rows"][0]["recordings"], &json["rows"][0]["objects"]),
        (&1.into(), &3.into())
    );
    assert_eq!(err.matches("it is given twice, and read once").count(), 3, "{err}");
    // To compare a recording with itself is another matter.
    let (_, out, err) = refscope(&folder, &["diff", "run.jsonl", "run.jsonl"]);
    assert!(out.starts_with("nothing differs") && err.is_empty(), "{out}{err}");
}

#[test]
fn a_packed_file_is_not_packed_again_and_not_counted_twice() {
    let folder = folder("packed");
    record(&folder.join("run.jsonl"), 3);
    assert_eq!(refscope(&folder, &["pack", "run.jsonl"]).0, Some(0));
    let (code, out, err) = refscope(&folder, &["pack", "run.packed.refscope"]);
    assert_eq!((code, &*out), (Some(0), ""));
    assert_eq!(err, "refscope: run.packed.refscope: it is packed already\n");
    assert!(!folder.join("run.packed.packed.refscope").exists());
    // A copy is asked for.
    assert_eq!(refscope(&folder, &["pack", "run.packed.refscope", "-o", "copy"]).0, Some(0));
    let read = |name: &str| std::fs::read(folder.join(name)).unwrap();
    assert_eq!(read("copy"), read("run.packed.refscope"));
    // Both are in one folder after `pack`.
    let (_, out, err) = refscope(&folder, &["leaks", "."]);
    assert!(out.contains("3 objects alive") && !out.contains("== "), "{out}");
    assert!(
        err.contains("./run.packed.refscope: it is left out: ./run.jsonl is there, too"),
        "{err}"
    );
    std::fs::remove_file(folder.join("run.jsonl")).unwrap();
    let (_, out, err) = refscope(&folder, &["leaks", "."]);
    assert!(out.contains("3 objects alive") && err.is_empty(), "{out}{err}");
}

#[test]
fn one_process_id_on_two_machines() {
    let folder = folder("machines");
    std::fs::write(folder.join("a.jsonl"), lines("one", 7, 2)).unwrap();
    std::fs::write(folder.join("b.jsonl"), lines("two", 7, 1)).unwrap();
    let (_, out, _) = refscope(&folder, &["top", ".", "--by", "process"]);
    assert!(
        out.contains("/srv/shop on one, process 7") && out.contains("/srv/shop on two, process 7"),
        "{out}"
    );
}

#[test]
fn names_with_newlines_and_escapes() {
    let folder = folder("names");
    let name = std::ffi::OsStr::from_bytes(b"a\n\x1b[31m\xff.jsonl");
    record(&folder.join(name), 2);
    record(&folder.join("plain.jsonl"), 1);
    for arguments in [
        &["leaks", "."][..],
        &["timeline", "."],
        &["top", ".", "--by", "process"],
        &["pack", "."],
        &["export", "-f", "html", ".", "-o", "pages"],
        &["tree", ".", "--object", "77"],
        &["leaks", ".", "--at", "never"],
    ] {
        let (code, out, err) = refscope(&folder, arguments);
        assert!(code.is_some(), "{arguments:?}");
        assert!(!out.contains('\x1b') && !err.contains('\x1b'), "{arguments:?}: {out}{err}");
        assert!(!out.contains("a\n") && !err.contains("a\n"), "{arguments:?}: {out}{err}");
    }
    let mut command = Command::new(env!("CARGO_BIN_EXE_refscope"));
    let none = std::ffi::OsStr::from_bytes(b"no\n\x1b[31m\xff");
    let output = command.arg("leaks").arg(none).current_dir(&folder).output().unwrap();
    let (code, _, err) = said(&output);
    assert!(code == Some(2) && err.starts_with("refscope: no\\n\\u{1b}[31m"), "{err}");
}

/// Neither the recording itself, nor another one that is read.
#[test]
fn what_is_read_is_not_overwritten() {
    let folder = folder("overwritten");
    record(&folder.join("run.jsonl"), 2);
    record(&folder.join("later.jsonl"), 3);
    let before = std::fs::read(folder.join("run.jsonl")).unwrap();
    std::fs::hard_link(folder.join("run.jsonl"), folder.join("hard.html")).unwrap();
    std::os::unix::fs::symlink("run.jsonl", folder.join("link.html")).unwrap();
    for arguments in [
        &["export", "-f", "html", "run.jsonl", "-o", "run.jsonl"][..],
        &["export", "-f", "html", "run.jsonl", "-o", "link.html"],
        &["export", "-f", "jsonl", "run.jsonl", "-o", "."],
        &["export", "-f", "jsonl", "run.jsonl", "later.jsonl", "-o", "."],
        &["pack", "run.jsonl", "-o", "./run.jsonl"],
    ] {
        let (code, _, err) = refscope(&folder, arguments);
        assert_eq!(code, Some(2), "{arguments:?}");
        assert!(err.contains("would be overwritten: -o names another file or folder"), "{err}");
        assert_eq!(std::fs::read(folder.join("run.jsonl")).unwrap(), before);
    }
    // Another name of the file is put in place of that name alone.
    assert_eq!(
        refscope(&folder, &["export", "-f", "html", "run.jsonl", "-o", "hard.html"]).0,
        Some(0)
    );
    assert_eq!(std::fs::read(folder.join("run.jsonl")).unwrap(), before);
}

#[test]
fn a_folder_that_nothing_can_be_written_to() {
    use std::os::unix::process::CommandExt as _;

    // Below the system's folder for such things, which everybody may enter.
    let folder = std::env::temp_dir().join(format!("refscope-breaker-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    record(&folder.join("run.jsonl"), 2);
    std::fs::set_permissions(&folder, Permissions::from_mode(0o555)).unwrap();
    let binary = folder.with_extension("command");
    std::fs::copy(env!("CARGO_BIN_EXE_refscope"), &binary).unwrap();
    let run = |arguments: &[&str]| {
        let mut command = Command::new(&binary);
        command.args(arguments).current_dir(&folder);
        // Root may write anywhere.
        // SAFETY: IDS: the call takes nothing and cannot fail.
        if unsafe { libc::geteuid() } == 0 {
            command.uid(65534).gid(65534);
        }
        said(&command.output().unwrap())
    };
    let (code, _, err) = run(&["pack", "run.jsonl"]);
    assert_eq!(code, Some(2));
    assert!(err.contains("refscope: run.packed.refscope: Permission denied"), "{err}");
    assert!(err.contains("-o has it written elsewhere"), "{err}");
    let (code, _, err) = run(&["export", "-f", "html", "run.jsonl", "-o", "pages/run.html"]);
    assert!(code == Some(2) && err.contains("pages/run.html: No such file or directory"), "{err}");
    std::fs::remove_file(&binary).unwrap();
    std::fs::set_permissions(&folder, Permissions::from_mode(0o755)).unwrap();
    std::fs::remove_dir_all(&folder).unwrap();
}

#[test]
fn a_full_disk_is_said_with_its_file() {
    let folder = folder("full");
    record(&folder.join("run.jsonl"), 4000);
    std::fs::write(folder.join("out.html"), "what was there before").unwrap();
    let output = Command::new("sh")
        .args(["-c", "ulimit -f 8; trap '' XFSZ; exec \"$0\" export -f html run.jsonl -o out.html"])
        .arg(env!("CARGO_BIN_EXE_refscope"))
        .current_dir(&folder)
        .output()
        .unwrap();
    let (code, _, err) = said(&output);
    assert!(
        code == Some(2) && err.starts_with("refscope: ") && err.contains("out.html: "),
        "{err}"
    );
    assert_eq!(std::fs::read_to_string(folder.join("out.html")).unwrap(), "what was there before");
    assert_eq!(std::fs::read_dir(&folder).unwrap().count(), 2, "no part is left");
}

#[test]
fn a_moment_beyond_the_end_and_events_that_were_lost() {
    let folder = folder("moments");
    let mut file = std::fs::File::create(folder.join("run.jsonl")).unwrap();
    file.write_all(lines("shop", 7, 2).as_bytes()).unwrap();
    file.write_all(b"{\"lost\":5}\n").unwrap();
    let (code, _, err) = refscope(&folder, &["leaks", "run.jsonl", "--at", "86400"]);
    assert_eq!(code, Some(2));
    let says =
        "refscope: run.jsonl: there is no moment \"86400\"; it ends 0.001 s after its start\n";
    assert_eq!(err, says);
    for moment in ["-1", "1e400", "nan", ""] {
        let (code, _, err) = refscope(&folder, &["leaks", "run.jsonl", &format!("--at={moment}")]);
        assert!(code == Some(2) && err.contains("it has no marks"), "{moment}: {err}");
    }
    // Why they were lost, the recording does not say.
    let (_, out, _) = refscope(&folder, &["timeline", "run.jsonl"]);
    assert!(
        out.contains("lost: 5 events, so that what is shown of handles may be incomplete."),
        "{out}"
    );
    let (_, out, _) = refscope(&folder, &["leaks", "run.jsonl"]);
    assert!(out.contains("note: 5 events lost"), "{out}");
    let says = "refscope: run.jsonl: 5 events are lost, so that what is said of objects may be incomplete\n";
    for arguments in [
        &["top", "run.jsonl"][..],
        &["top", "run.jsonl", "--json"],
        &["top", "run.jsonl", "--by", "host"],
        &["leaks", "run.jsonl", "--by", "host"],
        &["leaks", "run.jsonl", "--annotations"],
        &["tree", "run.jsonl", "--object", "1"],
        &["balance", "run.jsonl", "--object", "1"],
        &["flame", "run.jsonl"],
    ] {
        let (_, _, err) = refscope(&folder, arguments);
        assert_eq!(err, says, "{arguments:?}");
    }
    let (_, _, err) = refscope(&folder, &["diff", "run.jsonl", "run.jsonl"]);
    assert_eq!(err, says.repeat(2));
}
