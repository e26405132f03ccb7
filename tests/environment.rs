//! `REFSCOPE=…`: a program that has no line of code for refscope but the `use`, traced by the environment.
//!
//! Each test runs this test binary again, as such a program, with the variable set.
#![cfg(feature = "trace")]

use std::process::{Command, Output};

/// The program: it is this test, run alone in a process of its own.
#[test]
fn program() {
    let Ok(mode) = std::env::var("PROGRAM") else { return };
    if mode == "off" {
        refscope::switch_off();
    }
    let one = refscope::Arc::new(String::from("a value"));
    let two = one.clone();
    let thread = std::thread::spawn(move || drop(two.clone()));
    thread.join().unwrap();
    if mode == "install" {
        refscope::install(refscope::sink::from_fn(|event| println!("code: {event}"))).unwrap();
        drop(refscope::Rc::new(7_u8));
    }
    if mode == "panic" {
        panic!("the program's own");
    }
    drop(one);
    match mode.as_str() {
        "exit" => std::process::exit(3),
        "abort" => std::process::abort(),
        _ => {}
    }
}

fn run(refscope: &str, mode: &str) -> Output {
    let mut program = Command::new(std::env::current_exe().unwrap());
    program.args(["--exact", "program", "--nocapture", "--test-threads", "1"]);
    program.env("PROGRAM", mode).env("REFSCOPE", refscope);
    program.output().unwrap()
}

fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

fn file(name: &str) -> String {
    let path = std::env::temp_dir().join(format!("refscope-{name}-{}.jsonl", std::process::id()));
    path.to_str().unwrap().to_owned()
}

#[test]
fn print() {
    let output = run("print", "return");
    assert!(output.status.success());
    let text = stderr(&output);
    let lines: Vec<_> = text.lines().filter(|line| line.contains("Arc<String>")).collect();
    assert_eq!(lines.len(), 6, "new, clone, clone, drop, drop, drop: {text}");
    assert!(lines[0].contains("new") && lines[0].contains("environment.rs"), "{text}");
}

#[test]
fn a_recording_is_whole_however_the_process_ends() {
    for (mode, code) in [("return", Some(0)), ("exit", Some(3)), ("panic", Some(101))] {
        let path = file(mode);
        let output = run(&format!("record={path}"), mode);
        assert_eq!(output.status.code(), code, "{}", stderr(&output));
        let text = std::fs::read_to_string(&path).unwrap();
        std::fs::remove_file(&path).unwrap();
        let events = text.lines().filter(|line| line.starts_with(r#"{"event""#)).count();
        assert_eq!(events, 6, "{mode}: {text}");
        assert!(text.ends_with("}\n"));
    }
}

/// What a process that is killed leaves behind is whole up to the last write: here the first line, at least.
#[test]
fn an_aborted_process_leaves_whole_lines() {
    let path = file("abort");
    let output = run(&format!("record={path}"), "abort");
    assert!(!output.status.success());
    let text = std::fs::read_to_string(&path).unwrap();
    std::fs::remove_file(&path).unwrap();
    assert!(text.starts_with(r#"{"refscope":1"#), "{text}");
}

#[test]
fn the_process_id_in_a_path() {
    let path = file("{pid}");
    let mut program = Command::new(std::env::current_exe().unwrap());
    program.args(["--exact", "program"]).env("PROGRAM", "return");
    let mut child = program.env("REFSCOPE", format!("record={path}")).spawn().unwrap();
    let path = path.replace("{pid}", &child.id().to_string());
    assert!(child.wait().unwrap().success());
    assert!(std::fs::remove_file(path).is_ok());
}

#[test]
fn help_and_bad_values() {
    let text = stderr(&run("help", "return"));
    for word in ["print", "record=PATH", "{pid}", "off", "help"] {
        assert!(text.contains(word), "{word}: {text}");
    }
    let output = run("prnt", "return");
    assert!(output.status.success(), "the program goes on");
    let text = stderr(&output);
    assert_eq!(text.lines().filter(|line| line.contains("refscope:")).count(), 1, "{text}");
    assert!(
        text.contains("REFSCOPE=prnt: `prnt` is not known; nothing is traced. REFSCOPE=help"),
        "{text}"
    );
    let output = run("record=/no such folder/file", "return");
    assert!(output.status.success(), "the program goes on");
    let text = stderr(&output);
    assert!(text.contains("/no such folder/file: No such file or directory"), "{text}");
    assert!(!stderr(&run("off", "return")).contains("refscope"));
}

/// A sink from code takes over later births; the environment's keeps its objects.
#[test]
fn a_sink_from_code_takes_over() {
    let output = run("print", "install");
    let (out, err) = (String::from_utf8_lossy(&output.stdout).into_owned(), stderr(&output));
    assert_eq!(out.lines().filter(|line| line.contains("code: ")).count(), 2, "{out}");
    assert!(out.contains("Rc<u8>") && !err.contains("Rc<u8>"), "{out}{err}");
    assert_eq!(err.lines().filter(|line| line.contains("Arc<String>")).count(), 6, "{err}");
}

/// Switched off before the first birth, the environment's sink stays silent.
#[test]
fn switched_off_before_the_first_birth() {
    let text = stderr(&run("print", "off"));
    assert!(!text.contains("Arc<String>"), "{text}");
}

/// What was recorded reads back as what happened.
#[cfg(feature = "json")]
#[test]
fn a_recording_reads_back() {
    use refscope::Recording;
    let path = file("read");
    run(&format!("record={path}"), "return");
    let text = std::fs::read(&path).unwrap();
    std::fs::remove_file(&path).unwrap();
    let recording = Recording::read(&text[..]).unwrap();
    recording.replay().unwrap();
    assert_eq!(recording.events().len(), 6);
    assert!(!recording.truncated());
    assert_eq!(recording.threads().len(), 2);
    assert_eq!(recording.timelines().iter().next().unwrap().peak_strong, 3);
    // Cut off at any byte after the first line, it reads to its last whole line.
    let first = text.iter().position(|byte| *byte == b'\n').unwrap() + 1;
    for cut in first..text.len() {
        let part = Recording::read(&text[..cut]).unwrap();
        assert_eq!(part.truncated(), text[cut - 1] != b'\n' && text[cut] != b'\n', "{cut}");
    }
    let error = |text: &str| Recording::read(text.as_bytes()).unwrap_err().to_string();
    assert!(error("").contains("no recording"));
    assert!(error("hello\n").contains("line 1: this is no recording"));
    assert!(error("{\"refscope\":2}\n").contains("version 2"));
    assert!(error("{\"refscope\":1}\n{\"site\"\n{}\n").contains("line 2: "));
    assert!(
        error("{\"refscope\":1}\n{\"event\":\"new\"}\n")
            .contains("line 2: a line of kind \"event\"")
    );
    assert!(Recording::read(&b"{\"refscope\":1}\n{\"new\":5}\n"[..]).is_ok());
    let lost =
        "{\"refscope\":1}\n{\"event\":\"new\",\"o\":1,\"n\":1,\"h\":1,\"s\":1,\"t\":5,\"ns\":1}\n";
    assert!(error(lost).contains("line 2: thread 5 is not known here"));
}
