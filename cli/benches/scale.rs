//! What the command takes on long recordings: `cargo bench -p refscope-cli --bench scale -- 100000000` records so many events (10 M,
//! if nothing is said) of four threads, packs them, and has `leaks` read both files, and a million events as JSON Lines.
//!
//! Events a second of the clock, processor time, and the most memory. The raw file has 36 B an event.

use refscope::sink::FlightRecorder;
use refscope::sync::Weak;
use refscope::{Arc, Box, Rc, Scope};
use std::collections::VecDeque;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Instant;

const COMMAND: &str = env!("CARGO_BIN_EXE_refscope");
/// Events of one round of [`serve`].
const EVENTS_A_ROUND: u64 = 28;
/// Sessions that each thread has open, and that stay in the end.
const OPEN: usize = 5_000;

struct Session {
    number: u64,
    config: Arc<u64>,
    buffer: Box<[u8; 64]>,
    back: Option<Weak<Session>>,
}

fn open(number: u64, config: &Arc<u64>) -> Arc<Session> {
    let (config, buffer) = (config.clone(), Box::new([number as u8; 64]));
    Arc::new(Session { number, config, buffer, back: None })
}

fn look(session: &Arc<Session>) -> u64 {
    let weak = Arc::downgrade(session);
    let strong = weak.upgrade().expect("it is borrowed");
    strong.number + u64::from(strong.buffer[0]) + *strong.config + u64::from(strong.back.is_some())
}

fn handle(session: Arc<Session>) -> u64 {
    let other = session.clone();
    look(&other)
}

/// Sessions come, are looked at and go, in no order; one in many is forgotten.
fn serve(thread: u64, rounds: u64, config: &Arc<u64>) -> u64 {
    let (mut cache, mut sum, mut state) = (VecDeque::new(), 0_u64, thread + 1);
    let mut random = |below: u64| {
        state =
            state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) % below
    };
    for round in 0..rounds {
        let session = open(round, config);
        cache.push_back(session.clone());
        sum += handle(session.clone());
        let local = Rc::new(round as u32);
        let two = [local.clone(), local.clone()];
        sum += u64::from(*two[1]);
        for _ in 0..random(3) {
            sum += look(&session);
        }
        if round % (rounds / 250).max(1) == thread {
            std::mem::forget(session.clone());
        }
        if cache.len() > OPEN {
            cache.swap_remove_back(random(OPEN as u64) as usize);
        }
        if random(4) == 0 {
            sum += handle(cache[random(cache.len() as u64) as usize].clone());
        }
    }
    sum
}

fn record(path: &Path, events: u64) {
    let start = Instant::now();
    let flight = FlightRecorder::create(path).expect("there is room");
    let config = Scope::new(flight.clone()).run(|| Arc::new(1));
    let rounds = events / EVENTS_A_ROUND / 4;
    std::thread::scope(|threads| {
        for thread in 0..4 {
            let (config, flight) = (config.clone(), flight.clone());
            threads.spawn(move || Scope::new(flight).run(|| serve(thread, rounds, &config)));
        }
    });
    drop(config);
    flight.flush().expect("there is room");
    println!("recorded in {:.1} s", start.elapsed().as_secs_f64());
}

/// Runs the command, and says what it took.
fn run(arguments: &[&str], file: &Path, events: u64) -> String {
    let mut command = Command::new(COMMAND);
    command.args(arguments).arg(file).env_remove("REFSCOPE").stdout(Stdio::piped());
    let start = Instant::now();
    let child = command.spawn().expect("it starts");
    let (text, took) = wait(child);
    let seconds = start.elapsed().as_secs_f64();
    let bytes = std::fs::metadata(file).map_or(0, |metadata| metadata.len());
    println!(
        "{:<24} {:<20} {:>6.0} MiB {:>7.1} B an event {seconds:>7.2} s {:>6.1} M events/s{took}",
        arguments.join(" "),
        file.file_name().unwrap_or_default().to_string_lossy(),
        bytes as f64 / f64::from(1 << 20),
        bytes as f64 / events as f64,
        events as f64 / seconds / 1e6
    );
    text
}

/// What a child has printed, and processor time and memory.
#[cfg(unix)]
fn wait(mut child: std::process::Child) -> (String, String) {
    use std::io::Read as _;

    let mut text = String::new();
    let mut out = child.stdout.take().expect("it is piped");
    out.read_to_string(&mut text).expect("it is text");
    // SAFETY: PLAIN: all zero is a value of it.
    let mut used: libc::rusage = unsafe { std::mem::zeroed() };
    let mut status = 0;
    // SAFETY: SIGNAL: the child is this program's own, and has not been waited for.
    unsafe { libc::wait4(child.id() as i32, &raw mut status, 0, &raw mut used) };
    let seconds = |time: libc::timeval| time.tv_sec as f64 + time.tv_usec as f64 / 1e6;
    let processors = seconds(used.ru_utime) + seconds(used.ru_stime);
    (text, format!(" {processors:>7.2} s of processors {:>5} MiB", used.ru_maxrss >> 10))
}

#[cfg(not(unix))]
fn wait(child: std::process::Child) -> (String, String) {
    let output = child.wait_with_output().expect("it ends");
    (String::from_utf8_lossy(&output.stdout).into_owned(), String::new())
}

fn main() {
    let asked = std::env::args().skip(1).find_map(|argument| argument.parse().ok());
    let events: u64 = asked.unwrap_or(10_000_000);
    let folder =
        Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("scale-{}", std::process::id()));
    std::fs::create_dir_all(&folder).expect("there is a folder for temporary files");
    let (raw, packed) = (folder.join("run.refscope"), folder.join("run.packed.refscope"));
    let lines = folder.join("run.jsonl");
    // A file of its own: the process that records has it open until it ends.
    let few = folder.join("few.refscope");
    record(&few, events.min(1_000_000));
    run(&["export", "-f", "jsonl", "-o", &lines.to_string_lossy()], &few, events.min(1_000_000));
    run(&["leaks"], &lines, events.min(1_000_000));
    record(&raw, events);
    let text = run(&["pack"], &raw, events);
    let counted = text.split(' ').nth(1).and_then(|number| number.parse().ok());
    let events = counted.unwrap_or(events);
    println!("{text}");
    run(&["leaks"], &raw, events);
    run(&["leaks"], &packed, events);
    std::fs::remove_dir_all(&folder).expect("it is this program's own");
}
