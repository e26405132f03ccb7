//! The flight recorder: what it writes reads back as what happened, however the process ends and whatever becomes of the
//! file.
#![cfg(all(unix, feature = "json"))]

use refscope::model::RecordingEnd;
use refscope::sink::{FlightRecorder, Recorder};
use refscope::{Arc, Rc, Recording, Scope};
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

fn path(name: &str) -> PathBuf {
    let folder =
        Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("flight-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    folder.join(name)
}

/// A program that does everything once, with what stays.
fn program(rounds: u32) -> (Rc<String>, Arc<u64>) {
    let kept = Rc::new(String::from("kept"));
    refscope::label(&kept, "stays");
    for i in 0..rounds {
        let other = Rc::new(i);
        drop(kept.clone());
        drop(Rc::downgrade(&other).upgrade());
        let mut copied = other.clone();
        *Rc::make_mut(&mut copied) += 1;
    }
    let shared = Arc::new(7_u64);
    let threads: Vec<_> = (0..3)
        .map(|_| {
            let mine = shared.clone();
            std::thread::spawn(move || (0..rounds).for_each(|_| drop(mine.clone())))
        })
        .collect();
    threads.into_iter().for_each(|thread| thread.join().unwrap());
    let raw = Arc::into_raw(shared);
    // SAFETY: RAW: it came from `into_raw`, and is taken back once.
    (kept, unsafe { Arc::from_raw(raw) })
}

/// What a recording says, without what differs between two of the same events: indexes, and the clock.
fn told(recording: &Recording) -> Vec<String> {
    let location = |index: u32| recording.locations()[index as usize].to_string();
    let events = recording.events().iter().map(|event| {
        format!(
            "{} {} {} from {:?} strong {} at {:?} on {}",
            event.handle.object(),
            event.seq,
            event.op,
            event.from,
            event.strong,
            event.location.map(location),
            recording.threads()[event.thread as usize]
        )
    });
    let objects = recording.objects().values().map(|object| {
        format!(
            "{} {}<{}> {} B {} {:?}",
            object.id,
            object.kind,
            object.type_name,
            object.size,
            location(object.location),
            object.label
        )
    });
    objects.chain(events).collect()
}

#[test]
fn it_reads_back_as_what_a_recorder_has() {
    let file = path("same.refscope");
    let (flight, memory) = (FlightRecorder::create(&file).unwrap(), Recorder::new());
    let kept = Scope::new((flight.clone(), memory.clone())).run(|| program(700));
    flight.flush().unwrap();
    let (read, recorded) = (Recording::open(&file).unwrap(), memory.recording());
    recorded.verify().unwrap();
    read.verify().unwrap();
    assert!(read.events().len() > 7_000, "several blocks");
    assert_eq!(told(&read), told(&recorded));
    assert_eq!((read.lost(), read.damage(), read.truncated()), (0, &[][..], false));
    let origin = read.origin().unwrap();
    assert_eq!(origin.pid, std::process::id());
    assert_eq!(Path::new(&origin.program), std::env::current_exe().unwrap());
    assert_eq!(origin.arguments, std::env::args().skip(1).collect::<Vec<_>>());
    // From memory, and in one pass, it says the same.
    let bytes = std::fs::read(&file).unwrap();
    assert_eq!(told(&Recording::read(&bytes[..]).unwrap()), told(&read));
    for (_, live) in
        [Recording::open_live(&file).unwrap(), Recording::read_live(&bytes[..]).unwrap()]
    {
        let want: Vec<_> = recorded.live_objects();
        let brief = |object: &refscope::model::LiveObject| {
            let handles: Vec<_> = object
                .handles
                .iter()
                .map(|handle| (handle.id, handle.path.clone(), handle.from))
                .collect();
            (object.id, object.label.clone(), object.strong, handles)
        };
        assert_eq!(
            live.iter().map(brief).collect::<Vec<_>>(),
            want.iter().map(brief).collect::<Vec<_>>()
        );
        assert_eq!(live.len(), 2);
    }
    drop(kept);
}

/// Runs this test binary again, as the child that `child` names.
fn child(name: &str, refscope: &str) -> Command {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--exact", name, "--ignored", "--nocapture", "--test-threads=1"]);
    command.env("REFSCOPE", refscope).stdin(Stdio::null()).stdout(Stdio::piped());
    command
}

/// A thread's rounds between two numbers that it writes.
const ROUNDS: u64 = 200;

/// Threads at work on objects of their own and on one that they share, each of which says how far it is.
#[test]
#[ignore = "it is a child of another test's"]
fn child_at_work() {
    let shared = Arc::new(0_u8);
    let threads: Vec<_> = (1..=3_u64)
        .map(|number| {
            let shared = shared.clone();
            std::thread::spawn(move || {
                let own = Arc::new(number);
                for round in 1_u64.. {
                    drop(own.clone());
                    drop(shared.clone());
                    if round % ROUNDS == 0 {
                        // One write, which other threads' do not mix with.
                        let line = format!("\n{number} {round}\n");
                        std::io::stdout().write_all(line.as_bytes()).unwrap();
                    }
                }
            })
        })
        .collect();
    threads.into_iter().for_each(|thread| thread.join().unwrap());
}

/// A process that is killed at any moment loses nothing of what happened before.
#[test]
fn killed_at_any_moment_it_has_every_event_before() {
    let kills: u64 = std::env::var("FLIGHT_KILLS").map_or(200, |kills| kills.parse().unwrap());
    let (mut random, mut most) = (0x9e37_79b9_7f4a_7c15_u64, 0);
    for kill in 0..kills {
        let file = path(&format!("killed-{kill}.refscope"));
        let mut child =
            child("child_at_work", &format!("record={}", file.display())).spawn().unwrap();
        let output = child.stdout.take().unwrap();
        let (started, has_started) = std::sync::mpsc::channel();
        let reader = std::thread::spawn(move || {
            let mut rounds = [0_u64; 4];
            for line in BufReader::new(output).lines() {
                let line = line.unwrap();
                let Some((thread, round)) = line.split_once(' ') else { continue };
                let (Ok(thread), Ok(round)) = (thread.parse::<usize>(), round.parse()) else {
                    continue;
                };
                rounds[thread] = round;
                let _ = started.send(());
            }
            rounds
        });
        has_started.recv().unwrap();
        random =
            random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        std::thread::sleep(Duration::from_micros(random >> 33 & 0x7fff));
        child.kill().unwrap();
        child.wait().unwrap();
        let rounds = reader.join().unwrap();
        let recording = Recording::open(&file).unwrap();
        assert_eq!((recording.damage(), recording.lost()), (&[][..], 0), "kill {kill}");
        assert_eq!(recording.ended(), RecordingEnd::Stopped);
        // Threads stand between an event's number and its record when the process ends: of the object that they share one a
        // thread may be missing at the very end, with what others did after. Of their own objects none is.
        let events = |object: &refscope::model::ObjectRecord| {
            let all = recording.events().iter().filter(|event| event.object() == object.id);
            all.map(|event| event.seq).collect::<Vec<_>>()
        };
        for object in recording.objects().values() {
            let seqs = events(object);
            if object.type_name == "u64" {
                let last = *seqs.last().unwrap();
                assert_eq!(seqs, (1..=last).collect::<Vec<_>>(), "kill {kill}: a gap");
            } else {
                let missing = *seqs.last().unwrap() as usize - seqs.len();
                assert!(missing <= 3, "kill {kill}: {missing} missing");
            }
        }
        let mut told: Vec<_> = rounds[1..].iter().map(|rounds| 1 + 2 * rounds).collect();
        let own = recording.objects().values().filter(|object| object.type_name == "u64");
        let mut there: Vec<_> = own.map(|object| events(object).len() as u64).collect();
        // Which thread's each is does not matter: sorted, each has what was told at least.
        told.sort_unstable();
        there.sort_unstable();
        assert!(
            there.len() >= told.iter().filter(|&&told| told > 1).count()
                && told.iter().rev().zip(there.iter().rev()).all(|(told, there)| there >= told),
            "kill {kill}: told {told:?}, there {there:?}"
        );
        std::fs::remove_file(file).unwrap();
    }
    assert!(most > 1_000, "the children did some work: {most} events at the most");
}
