//! `FileSink` and a world that is against it: limits, stalled readers, files in use, links, directories that change.
#![cfg(unix)]

use refscope::sink::FileSink;
use refscope::{Arc, Rc, Recording, Scope};
use std::fs::{File, OpenOptions, Permissions};
use std::io::Read as _;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

fn folder(name: &str) -> PathBuf {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR"))
        .join(format!("file-sink-{}", std::process::id()))
        .join(name);
    std::fs::create_dir_all(&folder).unwrap();
    folder
}

fn record(sink: &FileSink, objects: u32) {
    Scope::new(sink.clone()).run(|| (0..objects).for_each(|i| drop(Rc::new(i).clone())));
}

fn read(path: &Path) -> Recording {
    Recording::read(&std::fs::read(path).unwrap()[..]).unwrap()
}

/// Runs a test of this file again in a process of its own, as `shell` says, with `FOLDER` in its environment.
fn child(test: &str, folder: &Path, shell: &str) -> Output {
    let mut child = Command::new("sh");
    child.arg("-c").arg(format!("{shell} exec \"$0\" --exact {test} --nocapture"));
    child.arg(std::env::current_exe().unwrap()).env("FOLDER", folder);
    child.output().unwrap()
}

fn is_child() -> Option<PathBuf> {
    std::env::var_os("FOLDER").map(PathBuf::from)
}

#[test]
fn a_relative_path_stays_where_it_was_when_the_program_changes_its_directory() {
    const TEST: &str = "a_relative_path_stays_where_it_was_when_the_program_changes_its_directory";
    if let Some(folder) = is_child() {
        std::env::set_current_dir(&folder).unwrap();
        let sink = FileSink::create("run.jsonl").unwrap();
        record(&sink, 10);
        sink.flush().unwrap();
        std::env::set_current_dir("/").unwrap();
        record(&sink, 10);
        sink.flush().unwrap();
        return;
    }
    let folder = folder("relative");
    let output = child(TEST, &folder, "");
    assert!(output.status.success(), "{output:?}");
    assert_eq!(read(&folder.join("run.jsonl")).objects().len(), 20);
}

#[test]
fn a_limit_on_file_sizes_is_an_error_and_no_end() {
    const TEST: &str = "a_limit_on_file_sizes_is_an_error_and_no_end";
    if let Some(folder) = is_child() {
        let sink = FileSink::create(folder.join("run.jsonl")).unwrap();
        for _ in 0..20 {
            record(&sink, 1000);
            let _ = sink.flush();
        }
        let error = sink.flush().unwrap_err().to_string();
        // Four events an object: each is in the file, or counted.
        let kept = read(&folder.join("run.jsonl")).events().len() as u64;
        assert_eq!(sink.lost(), 80_000 - kept, "{error}");
        assert!(error.contains("events lost"), "{error}");
        // And one that the writer's own thread meets.
        let sink = FileSink::create(folder.join("more.jsonl")).unwrap();
        record(&sink, 20_000);
        std::thread::sleep(std::time::Duration::from_millis(600));
        sink.flush().unwrap_err();
        assert_eq!(sink.lost() + read(&folder.join("more.jsonl")).events().len() as u64, 80_000);
        return;
    }
    let folder = folder("limit");
    let output = child(TEST, &folder, "ulimit -f 64;");
    assert!(output.status.success(), "{output:?}");
    assert!(read(&folder.join("run.jsonl")).events().len() > 100);
}

#[test]
fn a_recording_in_use_is_not_overwritten() {
    let folder = folder("in-use");
    let file = folder.join("run.jsonl");
    let sink = FileSink::create(&file).unwrap();
    record(&sink, 3);
    sink.flush().unwrap();
    let second = FileSink::create(&file).unwrap();
    record(&second, 5);
    second.flush().unwrap();
    record(&sink, 4);
    sink.flush().unwrap();
    assert_eq!(read(&file).objects().len(), 7);
    let beside = folder.join(format!("run-{}.jsonl", std::process::id()));
    assert_eq!(read(&beside).objects().len(), 5);
    // One that is over is.
    drop((sink, second));
    let third = FileSink::create(&file).unwrap();
    record(&third, 1);
    third.flush().unwrap();
    assert_eq!(read(&file).objects().len(), 1);
}

#[test]
fn a_stalled_pipe_costs_events_and_no_more_memory() {
    let fifo = folder("pipe").join("fifo");
    assert!(Command::new("mkfifo").arg(&fifo).status().unwrap().success());
    // Both ends: so that the recording finds a reader, which does not read yet.
    let mut reader = OpenOptions::new().read(true).write(true).open(&fifo).unwrap();
    let sink = FileSink::create(&fifo).unwrap();
    // Four events each.
    let objects = 110_000;
    record(&sink, objects);
    let (done, is_done) = std::sync::mpsc::channel();
    let handle = sink.clone();
    std::thread::spawn(move || {
        sink.flush().unwrap();
        done.send(()).unwrap();
    });
    let mut text = Vec::new();
    let mut part = vec![0; 1 << 16];
    while is_done.try_recv().is_err() {
        if std::fs::metadata(&fifo).is_ok() && readable(&reader) {
            let read = reader.read(&mut part).unwrap();
            text.extend_from_slice(&part[..read]);
        }
    }
    while readable(&reader) {
        let read = reader.read(&mut part).unwrap();
        text.extend_from_slice(&part[..read]);
    }
    assert!(text.len() < 40 << 20, "{}", text.len());
    let recording = Recording::read(&text[..]).unwrap();
    assert!(recording.damage().is_empty(), "{:?}", recording.damage());
    let all = 4 * u64::from(objects);
    assert_eq!(recording.lost() + recording.events().len() as u64, all);
    assert!(recording.lost() > 0);
    assert_eq!(recording.lost(), handle.lost());
}

/// Whether a read would not wait.
fn readable(file: &File) -> bool {
    use std::os::fd::AsRawFd as _;

    let mut poll = libc::pollfd { fd: file.as_raw_fd(), events: libc::POLLIN, revents: 0 };
    // SAFETY: POLL: one descriptor, which is open, and a time to wait.
    unsafe { libc::poll(&raw mut poll, 1, 20) > 0 }
}

#[test]
fn a_recording_is_its_owners_alone() {
    let folder = folder("private");
    let file = folder.join("run.jsonl");
    let _sink = FileSink::create(&file).unwrap();
    assert_eq!(file.metadata().unwrap().permissions().mode() & 0o777, 0o600);
}

#[test]
fn a_link_is_followed_only_where_nobody_else_can_have_put_it() {
    let folder = folder("links");
    let victim = folder.join("victim");
    std::fs::write(&victim, "precious").unwrap();
    let shared = folder.join("shared");
    std::fs::create_dir_all(&shared).unwrap();
    std::fs::set_permissions(&shared, Permissions::from_mode(0o1777)).unwrap();
    symlink(&victim, shared.join("run.jsonl")).unwrap();
    let error = FileSink::create(shared.join("run.jsonl")).unwrap_err().to_string();
    assert!(error.contains("a link in a folder that others can write to"), "{error}");
    assert_eq!(std::fs::read_to_string(&victim).unwrap(), "precious");
    // A file of one's own is one's own there too.
    FileSink::create(shared.join("mine.jsonl")).unwrap();
    std::fs::set_permissions(&folder, Permissions::from_mode(0o755)).unwrap();
    let mine = folder.join("link.jsonl");
    symlink(folder.join("target.jsonl"), &mine).unwrap();
    let sink = FileSink::create(&mine).unwrap();
    record(&sink, 2);
    sink.flush().unwrap();
    assert_eq!(read(&folder.join("target.jsonl")).objects().len(), 2);
}

#[test]
fn a_file_that_is_moved_is_written_on_and_one_that_is_removed_is_an_error() {
    let folder = folder("moved");
    let (file, moved) = (folder.join("run.jsonl"), folder.join("moved.jsonl"));
    let sink = FileSink::create(&file).unwrap();
    record(&sink, 1);
    sink.flush().unwrap();
    std::fs::rename(&file, &moved).unwrap();
    record(&sink, 1);
    sink.flush().unwrap();
    assert_eq!(read(&moved).objects().len(), 2);
    // Another file that has the name now does not hide that this one is gone.
    std::fs::write(&file, "another").unwrap();
    std::fs::remove_file(&moved).unwrap();
    record(&sink, 1);
    sink.flush().unwrap_err();
    // What came last, and what comes now; what had been written before is not counted.
    record(&sink, 1);
    assert_eq!(sink.lost(), 8);
    assert_eq!(std::fs::read_to_string(&file).unwrap(), "another");
}

/// A line names each, and those that have been forgotten meanwhile are known by the same number.
#[test]
fn ten_thousand_short_threads() {
    let path = folder("threads").join("run.jsonl");
    let sink = FileSink::create(&path).unwrap();
    let scope = Scope::new(sink.clone());
    let shared = scope.run(|| Arc::new(5_u8));
    for _ in 0..100 {
        std::thread::scope(|threads| {
            for _ in 0..100 {
                threads.spawn(|| drop(shared.clone()));
            }
        });
        drop(shared.clone());
    }
    sink.flush().unwrap();
    let read = Recording::open(&path).unwrap();
    read.verify().unwrap();
    assert_eq!((read.events().len(), read.damage()), (1 + 20_000 + 200, &[][..]));
    assert_eq!(read.threads().len(), 10_001);
    let own = read.events().iter().filter(|event| event.thread == 0).count();
    assert_eq!(own, 201, "those of this thread are its own, however often it is named");
    let text = std::fs::read_to_string(&path).unwrap();
    let named = text.lines().filter(|line| line.starts_with("{\"thread\":")).count();
    assert!((10_002..10_100).contains(&named), "{named}");
}
