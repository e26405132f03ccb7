//! What the command costs on recordings of one object with many events: `cargo bench -p refscope-cli`.
//!
//! Instructions, as callgrind counts them, at `N` and at `8 N` events, and their ratio, which is 8 where each event costs the
//! same; then the time for 100,000 clones. Where there is no valgrind, times alone.

use refscope::sink::FileSink;
use refscope::{Arc, Scope};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

const FEW: usize = 4_000;
const MANY: usize = 8 * FEW;
const LARGE: usize = 100_000;
const COMMAND: &str = env!("CARGO_BIN_EXE_refscope");

fn kept(n: usize) {
    let one = Arc::new(1);
    (0..n).for_each(|_| std::mem::forget(one.clone()));
}

fn newest_first(n: usize) {
    let one = Arc::new(1);
    let mut clones: Vec<_> = (0..n / 2).map(|_| one.clone()).collect();
    while clones.pop().is_some() {}
}

fn oldest_first(n: usize) {
    let one = Arc::new(1);
    let clones: Vec<_> = (0..n / 2).map(|_| one.clone()).collect();
    clones.into_iter().for_each(drop);
}

fn raw_round_trips(n: usize) {
    let mut one = Arc::new(1);
    for _ in 0..n / 2 {
        // SAFETY: RAW: it came from `into_raw`, and is taken back once.
        one = unsafe { Arc::from_raw(Arc::into_raw(one)) };
    }
}

fn eight_threads(n: usize) {
    let one = Arc::new(1);
    std::thread::scope(|threads| {
        for _ in 0..8 {
            let one = one.clone();
            threads.spawn(move || {
                for _ in 0..n / 8 / 16 {
                    drop([0; 8].map(|_| one.clone()));
                }
            });
        }
    });
}

type Program = fn(usize);

const PROGRAMS: [(&str, Program); 5] = [
    ("clones, kept", kept),
    ("dropped newest first", newest_first),
    ("dropped oldest first", oldest_first),
    ("raw round trips", raw_round_trips),
    ("eight threads", eight_threads),
];
const SUBCOMMANDS: [&[&str]; 4] =
    [&["leaks"], &["timeline"], &["top"], &["export", "--format", "json"]];

fn record(folder: &Path, name: &str, program: Program, n: usize) -> PathBuf {
    // A file of its own, since the one of `kept` is written to for good.
    let path = folder.join(format!("{name}-{n}.jsonl"));
    let sink = FileSink::create(&path).expect("the folder is there");
    Scope::new(sink.clone()).run(|| program(n));
    sink.flush().expect("there is room");
    path
}

fn command(program: &str, before: &[&str], subcommand: &[&str], file: &Path) -> Command {
    let mut command = Command::new(program);
    command.args(before).args(subcommand).arg(file).env_remove("REFSCOPE");
    command.stdout(Stdio::null()).stderr(Stdio::piped());
    command
}

/// Instructions, where there is a valgrind.
fn instructions(subcommand: &[&str], file: &Path) -> Option<u64> {
    let before = ["--tool=callgrind", "--callgrind-out-file=/dev/null", COMMAND];
    let output = command("valgrind", &before, subcommand, file).output().ok()?;
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    text.lines().find_map(|line| line.split_once("Collected :")?.1.trim().parse().ok())
}

fn time(subcommand: &[&str], file: &Path) -> Duration {
    let run = || {
        let start = Instant::now();
        let output = command(COMMAND, &[], subcommand, file).output().expect("it starts");
        assert!(output.status.code().is_some_and(|code| code < 2), "{output:?}");
        start.elapsed()
    };
    (0..3).map(|_| run()).min().unwrap_or_default()
}

fn main() {
    let folder = std::env::temp_dir().join(format!("refscope-bench-{}", std::process::id()));
    std::fs::create_dir_all(&folder).expect("there is a folder for temporary files");
    println!(
        "{:<22} {:<22} {:>12} {:>12} {:>6} {:>14}",
        "",
        "",
        FEW,
        MANY,
        "ratio",
        format!("s, {LARGE}")
    );
    for (name, program) in PROGRAMS {
        let [few, many, large] = [FEW, MANY, LARGE].map(|n| record(&folder, name, program, n));
        for subcommand in SUBCOMMANDS {
            let counted = instructions(subcommand, &few).zip(instructions(subcommand, &many));
            let (few, many, ratio) =
                counted.map_or(("-".into(), "-".into(), "-".into()), |(few, many)| {
                    let ratio = many as f64 / few as f64;
                    (
                        format!("{:.1} M", few as f64 / 1e6),
                        format!("{:.1} M", many as f64 / 1e6),
                        format!("{ratio:.2}"),
                    )
                });
            let time = time(subcommand, &large).as_secs_f64();
            println!(
                "{name:<22} {:<22} {few:>12} {many:>12} {ratio:>6} {time:>14.2}",
                subcommand.join(" ")
            );
        }
    }
    std::fs::remove_dir_all(&folder).expect("it is this program's own");
}
