//! What an event costs timelines, a replay, and (feature `json`) who reads a file of JSON Lines, as the command does, with few
//! handles of an object and with many. Where the cost of an event stayed the same, what takes them all would be linear; the
//! last column is how much it grows. `cargo bench -p refscope-benches --features json --bench replay`
//!
//! Most of what grows is the cache's, and the kernel's for memory that is touched for the first time. What the
//! library itself does is told by instructions: with a program's number, `timelines` or `replay`, and how many handles,
//! it is done once, and counted by
//! `valgrind --tool=callgrind --toggle-collect='*::measured' target/release/deps/replay-… 2 replay 1000000`.

use refscope::sink::{Clock, Recorder};
use refscope::{Arc, Recording, Scope};
use std::hint::black_box;
use std::time::{Duration, Instant};

type Program = fn(usize);

const SIZES: [usize; 3] = [1_000, 100_000, 1_000_000];

fn clones(n: usize) -> (Arc<u32>, Vec<Arc<u32>>) {
    let first = Arc::new(1);
    let clones = (0..n).map(|_| first.clone()).collect();
    (first, clones)
}

fn newest_first(n: usize) {
    let (_first, mut clones) = clones(n);
    while let Some(clone) = clones.pop() {
        drop(clone);
    }
}

fn oldest_first(n: usize) {
    let (_first, clones) = clones(n);
    clones.into_iter().for_each(drop);
}

fn at_random(n: usize) {
    let (_first, mut clones) = clones(n);
    let mut random = 7_u64;
    while !clones.is_empty() {
        random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        drop(clones.swap_remove((random >> 33) as usize % clones.len()));
    }
}

fn raw_round_trips(n: usize) {
    let mut one = Arc::new(1);
    for _ in 0..n {
        // SAFETY: RAW: it came from `into_raw`, and is taken back once.
        one = unsafe { Arc::from_raw(Arc::into_raw(one)) };
    }
}

fn many_raw_at_once(n: usize) {
    let (_first, clones) = clones(n / 2);
    let raw: Vec<_> = clones.into_iter().map(Arc::into_raw).collect();
    // SAFETY: RAW: each came from `into_raw`, and is taken back once.
    raw.into_iter().for_each(|raw| drop(unsafe { Arc::from_raw(raw) }));
}

const PROGRAMS: [(&str, Program); 5] = [
    ("newest first", newest_first),
    ("oldest first", oldest_first),
    ("at random", at_random),
    ("raw round trips", raw_round_trips),
    ("many raw at once", many_raw_at_once),
];

fn record(program: Program, n: usize) -> Recording {
    let recorder = Recorder::builder().budget(1 << 30).clock(Clock::None).build();
    Scope::new(recorder.clone()).run(|| program(n));
    recorder.recording()
}

/// The time that the processor worked for this thread: other programs matter less.
fn worked() -> Duration {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: SIGNALS: the call writes the time that it is given.
    let code = unsafe { libc::clock_gettime(libc::CLOCK_THREAD_CPUTIME_ID, &raw mut time) };
    assert_eq!(code, 0, "a clock of this system");
    Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
}

/// Nanoseconds an event, the best of some rounds.
fn cost<R>(recording: &Recording, f: impl Fn(&Recording) -> R) -> f64 {
    let (mut best, start) = (Duration::MAX, Instant::now());
    while start.elapsed() < Duration::from_millis(700) {
        let before = worked();
        black_box(f(recording));
        best = best.min(worked() - before);
    }
    best.as_nanos() as f64 / recording.events().len() as f64
}

#[inline(never)]
fn measured(recording: &Recording, what: &str) -> usize {
    match what {
        "timelines" => recording.timelines().len(),
        _ => recording.live_objects().len(),
    }
}

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if let [program, what, n] = &arguments[..] {
        let (program, n): (usize, usize) = (program.parse().unwrap(), n.parse().unwrap());
        let recording = record(PROGRAMS[program].1, n);
        black_box(measured(&recording, what));
        return println!("{} events", recording.events().len());
    }
    let [few, more, many] = SIZES;
    println!("nanoseconds an event{:<11} {few:>10} {more:>10} {many:>10} {:>7}", "", "ratio");
    let row = |name: &str, what: &str, costs: [f64; 3]| {
        let [few, more, many] = costs;
        println!("{name:<20} {what:<10} {few:>10.1} {more:>10.1} {many:>10.1} {:>7.2}", many / few);
    };
    for (name, program) in PROGRAMS {
        let recordings = SIZES.map(|size| record(program, size));
        assert!(recordings.iter().all(|recording| recording.lost() == 0), "all is recorded");
        for what in ["timelines", "replay"] {
            let of = |recording| cost(recording, |recording| measured(recording, what));
            row(name, what, recordings.each_ref().map(of));
        }
        drop(recordings);
        #[cfg(feature = "json")]
        row(name, "file", SIZES.map(|size| of_a_file(program, size)));
    }
}

/// Nanoseconds an event, of who reads a file and asks what is alive at its end.
#[cfg(feature = "json")]
fn of_a_file(program: Program, n: usize) -> f64 {
    let path = std::env::temp_dir().join(format!("refscope-replay-{}.jsonl", std::process::id()));
    let sink = refscope::sink::FileSink::create(&path).expect("a file");
    let scope = Scope::new(sink.clone());
    scope.run(|| program(n));
    sink.flush().expect("all is written");
    drop((scope, sink));
    let recording = Recording::open(&path).expect("it was written");
    let cost = cost(&recording, |_| Recording::open_live(&path).expect("as before").1.len());
    std::fs::remove_file(path).expect("it is there");
    cost
}
