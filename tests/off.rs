//! Without tracing the pointers are std's, and `REFSCOPE` asks in vain, which is said. (This test runs in such a build alone:
//! `cargo test --no-default-features`.)
#![cfg(all(target_os = "linux", not(feature = "trace")))]

use std::process::Command;

/// The program, which has no line for refscope but the `use`.
#[test]
fn program() {
    use refscope::Rc;
    assert_eq!(*Rc::new(5).clone(), 5);
}

/// There is nothing that a check could have seen.
#[test]
fn a_check_passes() {
    refscope::leaks::check(|| drop(refscope::Rc::new(5)));
    assert!(!refscope::leaks::Check::new().report().traced_nothing());
}

#[test]
fn what_is_asked_for_in_vain_is_said() {
    let run = |refscope: &str| {
        let mut program = Command::new(std::env::current_exe().unwrap());
        program.args(["--exact", "program"]).env("REFSCOPE", refscope);
        let output = program.output().unwrap();
        assert!(output.status.success());
        String::from_utf8(output.stderr).unwrap()
    };
    let line = "refscope: REFSCOPE is set, but this program is built without tracing (refscope's feature `trace`)\n";
    assert_eq!(run("leaks"), line);
    assert_eq!(run(""), "");
}

/// What compiles when tracing is on compiles when it is off.
#[test]
fn an_instrumented_future_can_be_moved() {
    fn is_unpin<T: Unpin>(_: &T) {}
    let waits = async { std::future::pending::<()>().await };
    is_unpin(&refscope::Scope::tracking().instrument(waits));
}

/// Nothing is written, so nothing is there to be emptied: not a recording, nor what a link leads to.
#[test]
fn sinks_leave_files_alone() {
    use refscope::sink::{FileSink, FlightRecorder};

    let folder = std::path::Path::new(env!("CARGO_TARGET_TMPDIR"))
        .join(format!("off-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    let (file, link) = (folder.join("run.jsonl"), folder.join("link.jsonl"));
    std::fs::write(&file, "a recording of last week").unwrap();
    std::os::unix::fs::symlink(&file, &link).unwrap();
    for path in [&file, &link] {
        FileSink::create(path).unwrap().flush().unwrap();
        FileSink::bounded(path, 1 << 20).unwrap().flush().unwrap();
        FlightRecorder::create(path).unwrap().flush().unwrap();
        FlightRecorder::bounded(path, 1 << 20).unwrap().flush().unwrap();
        assert_eq!(std::fs::read_to_string(path).unwrap(), "a recording of last week");
    }
    let none = folder.join("none.refscope");
    let sink = FlightRecorder::create(&none).unwrap();
    assert_eq!((sink.path(), sink.lost()), (&*none, 0));
    assert_eq!(FileSink::create(&none).unwrap().lost(), 0);
    assert!(!none.exists());
    std::fs::remove_dir_all(&folder).unwrap();
}
