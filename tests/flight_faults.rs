//! What becomes of a flight recording where the disk is full, the file is truncated, or the process is killed while old
//! blocks are given up.
#![cfg(all(target_os = "linux", feature = "json", feature = "trace"))]

use refscope::{Arc, Recording};
use std::io::{BufRead as _, BufReader, Write as _};
use std::os::unix::process::ExitStatusExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

fn path(name: &str) -> PathBuf {
    let folder =
        Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("faults-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    folder.join(name)
}

const ARGUMENTS: [&str; 4] = ["--exact", "--ignored", "--nocapture", "--test-threads=1"];

/// Runs this test binary again, as a child that records.
fn child(name: &str, refscope: &str) -> Command {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.arg(name).args(ARGUMENTS).env("REFSCOPE", refscope);
    command.stdin(Stdio::null()).stdout(Stdio::piped());
    command
}

#[test]
#[ignore = "it is a child of another test's"]
fn child_of_so_many_events() {
    let one = Arc::new(1);
    (0..50_000).for_each(|_| drop(one.clone()));
    eprintln!("it went on");
}

/// Objects that stay, and work that goes on.
#[test]
#[ignore = "it is a child of another test's"]
fn child_at_work() {
    let kept: Vec<_> = (0..100_u16).map(Arc::new).collect();
    // All are made before a line is printed, and the process may be killed.
    let clones: Vec<_> = (0..2).map(|_| kept.clone()).collect();
    let threads: Vec<_> = clones
        .into_iter()
        .map(|kept| {
            std::thread::spawn(move || {
                for round in 0_u64.. {
                    drop(Arc::new(round));
                    drop(kept[(round % 100) as usize].clone());
                    if round % 1_000 == 0 {
                        std::io::stdout()
                            .write_all(format!("\nround {round}\n").as_bytes())
                            .unwrap();
                    }
                }
            })
        })
        .collect();
    threads.into_iter().for_each(|thread| thread.join().unwrap());
}

/// A disk that is full ends the recording, is said once and counted, and the program goes on.
#[test]
fn a_full_disk() {
    let folder = path("disk");
    std::fs::create_dir_all(&folder).unwrap();
    let file = folder.join("full.refscope");
    let copy = path("full.refscope");
    // A small file system, which only this process and its children see.
    let script = r#"mount -t tmpfs -o size=1m none "$1" || exit 99
        REFSCOPE="record=$2" "$3" child_of_so_many_events --exact --ignored --nocapture || exit 98
        cp "$2" "$4""#;
    let mut command = Command::new("unshare");
    command.args(["-rm", "sh", "-c", script, "sh"]).args([
        folder.as_os_str(),
        file.as_os_str(),
        std::env::current_exe().unwrap().as_os_str(),
        copy.as_os_str(),
    ]);
    let output = match command.output() {
        Ok(output) if output.status.code() != Some(99) && output.status.code() != Some(1) => output,
        other => {
            eprintln!("skipped: no file system can be mounted here: {other:?}");
            return;
        }
    };
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && stderr.contains("it went on"), "{output:?}");
    let said = "the recording ends here, and events from here on are lost";
    assert_eq!(stderr.matches(said).count(), 1, "{stderr}");
    assert!(stderr.contains("No space left on device"), "{stderr}");
    let read = Recording::open(&copy).unwrap();
    assert_eq!(read.damage(), []);
    read.verify().unwrap();
    assert!(read.events().len() > 20_000, "{}", read.events().len());
    assert_eq!(read.events().len() as u64 + read.lost(), 1 + 2 * 50_000 + 1);
}

/// Starts a child and waits until it works.
fn at_work(refscope: &str) -> (std::process::Child, std::thread::JoinHandle<u64>) {
    let mut child = child("child_at_work", refscope).stderr(Stdio::null()).spawn().unwrap();
    let output = child.stdout.take().unwrap();
    let (started, has_started) = std::sync::mpsc::channel();
    let reader = std::thread::spawn(move || {
        let mut lines = 0;
        for line in BufReader::new(output).lines() {
            if line.is_ok_and(|line| line.starts_with("round ")) {
                lines += 1;
                let _ = started.send(());
            }
        }
        lines
    });
    has_started.recv().unwrap();
    (child, reader)
}

/// Somebody who truncates the file takes its pages away: the next event ends the process, as is documented, and what is left
/// of the file reads.
#[test]
fn a_file_that_is_truncated_under_its_writer() {
    let file = path("truncated.refscope");
    let (mut child, reader) = at_work(&format!("record={}", file.display()));
    let blocks = 3;
    let truncated = std::fs::OpenOptions::new().write(true).open(&file).unwrap();
    truncated.set_len(blocks * (16 << 10)).unwrap();
    let status = child.wait().unwrap();
    assert_eq!(status.signal(), Some(libc::SIGBUS), "{status:?}");
    reader.join().unwrap();
    let read = Recording::open(&file).unwrap();
    assert!(read.events().len() < blocks as usize * 512);
    Recording::open_live(&file).unwrap();
}

/// A reader never has a file mapped: a part that goes away meanwhile is a part that is not there.
#[test]
fn a_file_that_is_truncated_under_its_reader() {
    let file = path("shrinking.refscope");
    let (mut child, reader) = at_work(&format!("record={}", file.display()));
    std::thread::sleep(Duration::from_millis(100));
    child.kill().unwrap();
    child.wait().unwrap();
    reader.join().unwrap();
    let bytes = std::fs::read(&file).unwrap();
    let mut packed = Vec::new();
    refscope::model::RecordingFile::open(&file).unwrap().pack(&mut packed).unwrap();
    for (name, bytes) in [("cut.refscope", bytes), ("cut-packed.refscope", packed)] {
        for round in 1..20 {
            let cut = path(name);
            std::fs::write(&cut, &bytes).unwrap();
            let read = {
                let cut = cut.clone();
                std::thread::spawn(move || Recording::open_live(&cut).map(|(_, live)| live.len()))
            };
            std::thread::sleep(Duration::from_micros(50 * round));
            let file = std::fs::OpenOptions::new().write(true).open(&cut).unwrap();
            file.set_len(bytes.len() as u64 / 3).unwrap();
            // What it found by then, or that there is no recording; no signal, and no panic.
            if let Ok(live) = read.join().unwrap() {
                assert!(live <= 300);
            }
        }
    }
}

/// A process that is killed while it gives up old blocks leaves what is alive, and the newest events.
#[test]
fn killed_while_old_blocks_are_given_up() {
    let mut random = 0x9e37_79b9_7f4a_7c15_u64;
    let mut given_up = 0;
    for kill in 0..30 {
        let file = path(&format!("evicted-{kill}.refscope"));
        let (mut child, reader) = at_work(&format!("record={},max=512KiB", file.display()));
        random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        std::thread::sleep(Duration::from_micros(20_000 + (random >> 33) % 40_000));
        child.kill().unwrap();
        child.wait().unwrap();
        reader.join().unwrap();
        let length = std::fs::metadata(&file).unwrap().len();
        assert!(length < 2 << 20, "kill {kill}: {length} B");
        let (recording, live) = Recording::open_live(&file).unwrap();
        assert_eq!((recording.damage(), recording.lost()), (&[][..], 0), "kill {kill}");
        let kept = live.iter().filter(|object| object.type_name == "u16");
        // Each with its first handle and those of two threads; one of them may be about to be cloned or dropped.
        let counts: Vec<u32> = kept.map(|object| object.strong).collect();
        assert_eq!(counts.len(), 100, "kill {kill}: {counts:?}");
        assert!(counts.iter().all(|count| (3..=5).contains(count)), "kill {kill}: {counts:?}");
        // These are known, too, whether the blocks that they were made in are gone or not.
        for object in live.iter().filter(|object| object.type_name == "u16") {
            let handles = object.strong_handles().count();
            assert!((3..=5).contains(&handles), "kill {kill}: {object:?}");
            assert!(object.thread.contains("child_at_work"), "kill {kill}: {object:?}");
        }
        assert!(live.iter().filter(|object| object.type_name == "u64").count() <= 2, "kill {kill}");
        let whole = Recording::open(&file).unwrap();
        given_up += u32::from(whole.timelines().iter().any(|timeline| !timeline.whole));
        std::fs::remove_file(file).unwrap();
    }
    assert!(given_up > 10, "blocks were given up in {given_up} of 30");
}
