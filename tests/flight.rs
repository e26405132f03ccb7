//! The flight recorder: what it writes reads back as what happened, however the process ends and whatever becomes of the
//! file.
#![cfg(all(unix, feature = "json", feature = "trace"))]

use refscope::model::{Handle, LiveObject, RecordingEnd};
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

/// What comes right before a mark is before it, and what comes right after it is not.
#[test]
fn a_mark_lies_between_what_was_before_and_what_came_after() {
    let file = path("mark.refscope");
    let flight = FlightRecorder::create(&file).unwrap();
    for round in 0..20 {
        let (before, after) = (format!("before {round}"), format!("after {round}"));
        Scope::new(flight.clone()).run(|| {
            let (first, second) = (Arc::new(1_u8), Arc::new(2_u16));
            refscope::mark(&before);
            drop(first);
            refscope::mark(&after);
            drop(second);
        });
        let sizes = |mark: &str| {
            let moment = refscope::model::Moment::Mark(mark.to_owned());
            let (_, live) = Recording::open_live_at(&file, &moment).unwrap().expect("it is there");
            live.iter().map(|object| object.size).collect::<Vec<_>>()
        };
        assert_eq!((sizes(&before), sizes(&after)), (vec![1, 2], vec![2]), "round {round}");
    }
    let moment = refscope::model::Moment::Mark("none".to_owned());
    assert!(Recording::open_live_at(&file, &moment).unwrap().is_none());
}

/// A label has no time of its own: an object that is labelled after a moment is not there because of that.
#[test]
fn what_is_labelled_after_a_moment_was_not_there_before() {
    let file = path("labels.refscope");
    let flight = FlightRecorder::create(&file).unwrap();
    let kept = Scope::new(flight.clone()).run(|| {
        let labelled = |size: u64| {
            let object = Rc::new(size);
            refscope::label(&object, "request");
            object
        };
        let kept = labelled(0);
        (0..4).for_each(|i| drop(labelled(i)));
        refscope::mark("here");
        // What the label says of the count is of later, too.
        let copies = (kept.clone(), kept.clone());
        refscope::label(&kept, "copied");
        (4..10).for_each(|i| drop(labelled(i)));
        drop(copies);
        kept
    });
    flight.flush().unwrap();
    let packed = path("labels.packed.refscope");
    let recording = refscope::model::RecordingFile::open(&file).unwrap();
    recording.pack(std::fs::File::create(&packed).unwrap()).unwrap();
    let mut lines = Vec::new();
    refscope::render::jsonl(&Recording::open(&file).unwrap(), &mut lines).unwrap();
    let exported = path("labels.jsonl");
    std::fs::write(&exported, lines).unwrap();
    for file in [file, packed, exported] {
        let moment = refscope::model::Moment::Mark("here".to_owned());
        let (_, live) = Recording::open_live_at(&file, &moment).unwrap().unwrap();
        let counts: Vec<_> =
            live.iter().map(|object| (object.strong, object.handles.len())).collect();
        assert_eq!(counts, [(1, 1)], "{}: {live:?}", file.display());
    }
    drop(kept);
}

/// A recording of either kind is the same as JSON Lines.
#[test]
fn exported_as_lines_it_reads_as_the_same() {
    let (_, whole) = some_blocks("lines.refscope");
    let mut lines = Vec::new();
    refscope::render::jsonl(&whole, &mut lines).unwrap();
    let read = Recording::read(&lines[..]).unwrap();
    assert_eq!(told(&read), told(&whole));
    assert_eq!(
        (read.damage(), read.marks(), read.end_time()),
        (&[][..], whole.marks(), whole.end_time())
    );
    assert_eq!((read.origin(), read.end()), (whole.origin(), whole.end()));
    // What was alive at a mark, too.
    let moment = refscope::model::Moment::Mark("done".to_owned());
    let (_, live) = Recording::read_live_at(&lines[..], &moment).unwrap().unwrap();
    assert_eq!(live.len(), 2);
    let mut again = Vec::new();
    refscope::render::jsonl(&read, &mut again).unwrap();
    assert_eq!(String::from_utf8(again).unwrap(), String::from_utf8(lines).unwrap());
}

/// The same, in memory that does not grow with the events.
#[test]
fn streamed_as_lines_it_reads_as_the_same() {
    let file = path("streamed.refscope");
    let flight = FlightRecorder::create(&file).unwrap();
    let kept = Scope::new(flight.clone()).run(|| program(900));
    refscope::mark("done");
    flight.flush().unwrap();
    let whole = Recording::open(&file).unwrap();
    let opened = refscope::model::RecordingFile::open(&file).unwrap();
    let mut lines = Vec::new();
    refscope::render::jsonl_of(&opened, |_| true, &mut lines).unwrap();
    let read = Recording::read(&lines[..]).unwrap();
    assert_eq!(told(&read), told(&whole));
    assert_eq!(read.damage(), []);
    assert!(Recording::read_live(&lines[..]).unwrap().1 == whole.live_objects());
    // Some objects: the events of the others are not there.
    let mut some = Vec::new();
    let wanted = |allocation: &refscope::model::Allocation<'_>| {
        allocation.object.type_name.contains("String")
    };
    refscope::render::jsonl_of(&opened, wanted, &mut some).unwrap();
    let some = Recording::read(&some[..]).unwrap();
    assert_eq!((some.objects().len(), some.events().len() > 1_000), (1, true));
    // A full disk ends it.
    let full = std::fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
    let error = refscope::render::jsonl_of(&opened, |_| true, full).unwrap_err();
    assert_eq!(error.kind(), std::io::ErrorKind::StorageFull);
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
    let kills: u64 = std::env::var("FLIGHT_KILLS").map_or(60, |kills| kills.parse().unwrap());
    let mut random = Random(0x9e37_79b9_7f4a_7c15);
    let mut most = 0;
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
        std::thread::sleep(Duration::from_micros(random.below(32_768)));
        child.kill().unwrap();
        child.wait().unwrap();
        let rounds = reader.join().unwrap();
        let recording = Recording::open(&file).unwrap();
        assert_eq!((recording.damage(), recording.lost()), (&[][..], 0), "kill {kill}");
        assert_eq!(recording.end(), RecordingEnd::Stopped);
        let events = |object: &refscope::model::ObjectRecord| {
            let all = recording.events().iter().filter(|event| event.object() == object.id);
            all.map(|event| event.seq).collect::<Vec<_>>()
        };
        for object in recording.objects().values() {
            let seqs = events(object);
            let last = *seqs.last().unwrap();
            if object.type_name == "u64" {
                // A thread's own.
                assert_eq!(seqs, (1..=last).collect::<Vec<_>>(), "kill {kill}: a gap");
                most = most.max(last);
            } else {
                // A thread may have been between an event's number and its record, while others went on.
                let missing = last as usize - seqs.len();
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

/// The same numbers in each run.
struct Random(u64);

impl Random {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 =
            self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % limit
    }
}

/// Texts of several parts, of which the last may be as long as a part can be; what follows has the same key, or refers to it.
#[test]
fn long_texts_read_back() {
    let file = path("long.refscope");
    let flight = FlightRecorder::create(&file).unwrap();
    let texts = [8_191, 8_192, 8_193, 16_384, 20_000];
    let texts = texts.map(|length| "é".repeat(length / 2) + &"x"[..length % 2]);
    let kept: Vec<_> = Scope::new(flight.clone()).run(|| {
        let kept = texts.iter().map(|text| {
            let one = Rc::new(());
            refscope::label(&one, text);
            refscope::mark(text);
            one
        });
        kept.collect()
    });
    flight.flush().unwrap();
    let read = Recording::open(&file).unwrap();
    assert_eq!(read.damage(), []);
    let labels: Vec<_> = read.objects().values().map(|object| object.label.clone()).collect();
    assert_eq!(labels, texts.clone().map(Some));
    // Those of tests that run beside this one are there, too.
    let marks = read.marks().iter().filter(|mark| mark.name.len() > 1_000);
    assert_eq!(marks.map(|mark| mark.name.clone()).collect::<Vec<_>>(), texts);
    drop(kept);
}

/// A recording of some blocks, and what it says.
fn some_blocks(name: &str) -> (Vec<u8>, Recording) {
    let file = path(name);
    let flight = FlightRecorder::create(&file).unwrap();
    let kept = Scope::new(flight.clone()).run(|| program(900));
    refscope::mark("done");
    flight.flush().unwrap();
    drop(kept);
    let bytes = std::fs::read(&file).unwrap();
    let whole = Recording::read(&bytes[..]).unwrap();
    (bytes, whole)
}

const BLOCK: usize = 16 << 10;

/// Each event of a part is one of the whole, and as it is there.
fn is_part_of(part: &Recording, whole: &Recording) {
    let known: std::collections::HashSet<String> = told(whole).into_iter().collect();
    for line in told(part) {
        // A line or a thread of which the entry is missing is not known; nothing is told wrongly.
        assert!(known.contains(&line) || line.contains('?') || line.contains("at None"), "{line}");
    }
}

#[test]
fn cut_anywhere_it_reads_to_the_last_whole_record() {
    let (bytes, whole) = some_blocks("cut.refscope");
    let mut before = 0;
    for end in (BLOCK..=bytes.len()).step_by(BLOCK) {
        let part = Recording::read(&bytes[..end]).unwrap();
        assert!(part.events().len() >= before, "{end}");
        assert_eq!(part.damage(), []);
        before = part.events().len();
        is_part_of(&part, &whole);
    }
    assert_eq!(before, whole.events().len());
    let mut random = Random(1);
    for _ in 0..60 {
        let end = random.below(bytes.len() as u64) as usize;
        match Recording::read(&bytes[..end]) {
            Ok(part) => {
                assert!(Recording::read_live(&bytes[..end]).is_ok());
                is_part_of(&part, &whole);
            }
            Err(error) => {
                assert!(end < 200 && error.to_string().contains("not a refscope recording"));
            }
        }
    }
}

#[test]
fn flipped_bits_leave_out_their_block_and_say_so() {
    let (bytes, whole) = some_blocks("flipped.refscope");
    // A block of events that is complete: it has a checksum.
    let word = |at: usize| u64::from_ne_bytes(bytes[at..at + 8].try_into().unwrap());
    let complete: Vec<_> = (BLOCK..bytes.len())
        .step_by(BLOCK)
        .filter(|&at| word(at) & 0xff == 1 && word(at + 8) != 0 && word(at + 24) != 0)
        .collect();
    assert!(complete.len() >= 5, "{complete:?}");
    let mut random = Random(7);
    for round in 0..50 {
        let block = complete[round % complete.len()];
        // Any bit of its content, and of its head but for the checksum itself, and what makes it another block.
        let at = block + 64 + random.below(BLOCK as u64 - 64) as usize;
        let mut flipped = bytes.clone();
        flipped[at] ^= 1 << random.below(8);
        let read = Recording::read(&flipped[..]).unwrap();
        let [damage] = read.damage() else { panic!("{at}: {:?}", read.damage()) };
        assert_eq!((damage.offset, damage.bytes, damage.line), (block as u64, BLOCK as u64, 0));
        assert!(
            damage.to_string().contains("does not fit its checksum; left out: 16,384 B"),
            "{damage}"
        );
        assert!(read.events().len() < whole.events().len());
        is_part_of(&read, &whole);
    }
}

#[test]
fn what_is_no_recording_of_this_version_is_refused() {
    let (mut bytes, _) = some_blocks("version.refscope");
    bytes[16] = 9;
    let error = Recording::read(&bytes[..]).unwrap_err().to_string();
    assert!(
        error.starts_with("the recording has version 9, and this refscope reads versions 1 and 2"),
        "{error}"
    );
    bytes[2] = b'?';
    let error = Recording::read(&bytes[..]).unwrap_err().to_string();
    assert!(error.contains("not a refscope recording"), "{error}");
}

/// What another machine wrote, whose bytes are the other way round.
#[test]
fn the_other_byte_order_reads_as_well() {
    let (bytes, whole) = some_blocks("order.refscope");
    let mut swapped = bytes.clone();
    for (index, block) in swapped.chunks_mut(BLOCK).enumerate() {
        let kind = u64::from_ne_bytes(block[..8].try_into().unwrap()) & 0xff;
        let swap = |word: &mut [u8]| word.reverse();
        if index == 0 {
            block[8..].chunks_exact_mut(8).for_each(swap);
        } else if kind == 1 {
            block.chunks_exact_mut(8).for_each(swap);
        } else {
            // Of an entry its texts are bytes.
            block[..64].chunks_exact_mut(8).for_each(swap);
            let mut at = 64;
            while at + 32 <= block.len() {
                let head = u64::from_ne_bytes(block[at..at + 8].try_into().unwrap());
                block[at..at + 32].chunks_exact_mut(8).for_each(swap);
                at += 32 + (head as u32 as usize).div_ceil(32) * 32;
            }
        }
    }
    // Checksums are of numbers, and these are the same.
    let unsealed = |bytes: &mut Vec<u8>| {
        for block in bytes.chunks_mut(BLOCK).skip(1).filter(|block| block[..8].contains(&2)) {
            block[24..32].fill(0);
        }
    };
    unsealed(&mut swapped);
    let read = Recording::read(&swapped[..]).unwrap();
    assert_eq!(read.damage(), []);
    assert_eq!(told(&read), told(&whole));
}

/// A copy in which what is zero takes no room, as a file system or `cp --sparse=always` may make it; and one whose holes are at
/// its end.
#[test]
fn a_file_with_holes_reads_as_the_same() {
    use std::os::unix::fs::{FileExt as _, MetadataExt as _};

    let (bytes, whole) = some_blocks("whole.refscope");
    let file = path("holes.refscope");
    let copy = std::fs::File::create(&file).unwrap();
    copy.set_len(bytes.len() as u64 + (8 << 20)).unwrap();
    for (page, at) in bytes.chunks(4096).zip((0..).step_by(4096)) {
        if page.iter().any(|byte| *byte != 0) {
            copy.write_all_at(page, at).unwrap();
        }
    }
    copy.sync_all().unwrap();
    let metadata = copy.metadata().unwrap();
    // A file system without holes has none.
    assert!(metadata.blocks() * 512 <= metadata.len());
    let read = Recording::open(&file).unwrap();
    assert_eq!((read.damage(), read.truncated()), (&[][..], false));
    assert_eq!(told(&read), told(&whole));
    assert_eq!(Recording::open_live(&file).unwrap().1.len(), whole.live_objects().len());
    // Where blocks are gone, as after a machine's crash, that is what is missing.
    copy.write_all_at(&[0; 2 * BLOCK], 3 * BLOCK as u64).unwrap();
    let read = Recording::open(&file).unwrap();
    assert!(read.events().len() < whole.events().len());
    is_part_of(&read, &whole);
}

#[test]
fn two_writers_do_not_share_a_file() {
    let file = path("two.refscope");
    let first = FlightRecorder::create(&file).unwrap();
    let second = FlightRecorder::create(&file).unwrap();
    assert_eq!(first.path(), file);
    assert_ne!(second.path(), file);
    assert!(second.path().display().to_string().contains(&format!("two-{}", std::process::id())));
    let kept = (
        Scope::new(first.clone()).run(|| program(10)),
        Scope::new(second.clone()).run(|| program(20)),
    );
    let [one, two] = [first.path(), second.path()].map(|path| Recording::open(path).unwrap());
    assert_eq!((one.objects().len(), two.objects().len()), (2 + 2 * 10, 2 + 2 * 20));
    [one, two].iter().for_each(|recording| recording.verify().unwrap());
    use std::os::unix::fs::MetadataExt as _;
    assert_eq!(std::fs::metadata(file).unwrap().mode() & 0o777, 0o600);
    drop(kept);
}

/// Ends what runs beside a test, also when that fails.
struct Stop<'a>(&'a std::sync::atomic::AtomicBool);

impl Drop for Stop<'_> {
    fn drop(&mut self) {
        self.0.store(true, std::sync::atomic::Ordering::Relaxed);
    }
}

#[test]
fn it_is_read_while_it_is_written() {
    let file = path("meanwhile.refscope");
    let flight = FlightRecorder::create(&file).unwrap();
    let stop = std::sync::atomic::AtomicBool::new(false);
    std::thread::scope(|threads| {
        for _ in 0..2 {
            threads.spawn(|| {
                Scope::new(flight.clone()).run(|| {
                    while !stop.load(std::sync::atomic::Ordering::Relaxed) {
                        let one = Arc::new(1_u8);
                        (0..50).for_each(|_| drop(one.clone()));
                        std::thread::sleep(Duration::from_millis(3));
                    }
                });
            });
        }
        let _stop = Stop(&stop);
        let mut before = 0;
        for _ in 0..20 {
            let read = Recording::open(&file).unwrap();
            assert_eq!(read.damage(), []);
            read.verify().unwrap();
            assert!(read.events().len() >= before);
            before = read.events().len();
            std::thread::sleep(Duration::from_millis(10));
        }
        assert!(before > 1_000, "{before}");
    });
}

#[test]
#[ignore = "it is a child of another test's"]
fn child_that_forks() {
    let before = Arc::new(1_u16);
    let clones: Vec<_> = (0..10).map(|_| before.clone()).collect();
    // SAFETY: FORK: the child does what a thread may do, and ends.
    let pid = unsafe { libc::fork() };
    if pid == 0 {
        drop(clones);
        for _ in 0..5_000 {
            drop(before.clone());
            drop(Arc::new(2_u32));
        }
        // SAFETY: FORK: it ends the process at once.
        unsafe { libc::_exit(0) };
    }
    let mut status = 1;
    // SAFETY: FORK: it waits for the child that there is, and writes the number that it is given.
    unsafe { libc::waitpid(pid, &raw mut status, 0) };
    assert_eq!(status, 0, "the child went on without a recording");
    drop((clones, before));
}

#[test]
fn a_forked_child_does_not_write_into_its_parents_file() {
    let file = path("fork.refscope");
    let output = child("child_that_forks", &format!("record={}", file.display())).output().unwrap();
    assert!(output.status.success(), "{output:?}");
    let read = Recording::open(&file).unwrap();
    read.verify().unwrap();
    assert_eq!((read.objects().len(), read.events().len(), read.damage()), (1, 22, &[][..]));
    assert_eq!(read.end(), RecordingEnd::Exit);
}

/// Where one file was asked for of each process, the child says that it has none.
#[test]
fn a_forked_child_without_a_recording_says_so() {
    for (name, times) in [("{pid}.refscope", 1), ("{pid}.jsonl", 1), ("forked.refscope", 0)] {
        let mut command = child("child_that_forks", &format!("record={}", path(name).display()));
        let output = command.stderr(Stdio::piped()).output().unwrap();
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{stderr}");
        let said = "was forked from one that is recorded, and is not recorded itself";
        assert_eq!(stderr.matches(said).count(), times, "{name}: {stderr}");
    }
}

#[test]
#[ignore = "it is a child of another test's"]
fn child_at_a_limit() {
    let limit = libc::rlimit { rlim_cur: 1 << 20, rlim_max: 1 << 20 };
    // SAFETY: LIMIT: reads the limit that it is given.
    assert_eq!(unsafe { libc::setrlimit(libc::RLIMIT_FSIZE, &raw const limit) }, 0);
    let one = Arc::new(1);
    (0..50_000).for_each(|_| drop(one.clone()));
    eprintln!("it went on");
    // Of what is lost after the recording has ended, its end knows nothing.
    std::thread::sleep(Duration::from_millis(1_500));
    drop(one);
}

/// A file that may not grow ends the recording, is said once and counted, and the program goes on.
#[test]
fn a_file_that_cannot_grow_loses_events_and_counts_them() {
    let file = path("limit.refscope");
    let mut command = child("child_at_a_limit", &format!("record={}", file.display()));
    let output = command.stderr(Stdio::piped()).output().unwrap();
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && stderr.contains("it went on"), "{output:?}");
    assert_eq!(
        stderr.matches("the recording ends here, and events from here on are lost").count(),
        1
    );
    let read = Recording::open(&file).unwrap();
    assert_eq!(read.damage(), []);
    read.verify().unwrap();
    assert!(read.events().len() > 20_000, "{}", read.events().len());
    assert_eq!(read.events().len() as u64 + read.lost(), 1 + 2 * 50_000 + 1);
    // What was alive then is not what is alive at the exit.
    let mut packed = Vec::new();
    refscope::model::RecordingFile::open(&file).unwrap().pack(&mut packed).unwrap();
    let mut lines = Vec::new();
    refscope::render::jsonl(&read, &mut lines).unwrap();
    for read in [read, Recording::read(&packed[..]).unwrap(), Recording::read(&lines[..]).unwrap()]
    {
        assert_eq!(read.end(), RecordingEnd::Stopped);
        assert_eq!(read.live_objects().len(), 1);
        let report = refscope::analysis::LeakReport::of_recording(&read);
        assert!(report.to_string().contains("alive when the recording stopped"), "{report}");
        let newest = read.events().iter().map(|event| event.time).max().unwrap();
        assert!(
            newest.until(read.end_time()) < Duration::from_secs(1),
            "{newest:?}: {:?}",
            read.end_time()
        );
    }
}

/// Who happens to need more room waits for a step of it, which is small whatever the file's length.
#[test]
fn it_grows_in_small_steps() {
    let file = path("steps.refscope");
    let flight = FlightRecorder::create(&file).unwrap();
    let one = Scope::new(flight.clone()).run(|| Arc::new(1_u8));
    let length = || std::fs::metadata(&file).unwrap().len();
    let (mut largest, mut before) = (0, length());
    while largest < 8 {
        (0..8).for_each(|_| drop(one.clone()));
        let step = length() - before;
        assert!(step <= 2 << 20, "{step} B");
        largest += u32::from(step == 2 << 20);
        before += step;
    }
}

#[test]
fn ten_thousand_short_threads() {
    let file = path("threads.refscope");
    let flight = FlightRecorder::create(&file).unwrap();
    let scope = Scope::new(flight.clone());
    let shared = scope.run(|| Arc::new(5_u8));
    for _ in 0..100 {
        std::thread::scope(|threads| {
            for _ in 0..100 {
                threads.spawn(|| drop(shared.clone()));
            }
        });
    }
    let read = Recording::open(&file).unwrap();
    read.verify().unwrap();
    assert_eq!((read.events().len(), read.lost()), (20_001, 0));
    assert!(read.threads().len() > 10_000);
    // Ended threads' blocks are gone on with.
    assert!(std::fs::metadata(&file).unwrap().len() < 6 << 20);
}

#[test]
fn a_bounded_file_keeps_the_newest_and_what_is_alive() {
    let file = path("bounded.refscope");
    let bound = 2 << 20;
    let flight = FlightRecorder::bounded(&file, bound).unwrap();
    let scope = Scope::new(flight.clone());
    let mut kept = Vec::new();
    for round in 0..40 {
        kept.push(scope.run(|| program(400)));
        let length = std::fs::metadata(&file).unwrap().len();
        assert!(length <= bound, "{round}: {length} B");
        if round % 10 == 9 {
            let (tables, live) = Recording::open_live(&file).unwrap();
            assert_eq!(tables.damage(), []);
            assert_eq!(live.len(), kept.len() * 2, "round {round}");
            let labelled = live.iter().filter(|object| object.label.as_deref() == Some("stays"));
            assert_eq!(labelled.count(), kept.len());
            assert!(live.iter().all(|object| object.strong == 1 && object.type_name != "?"));
        }
    }
    let read = Recording::open(&file).unwrap();
    // The last program is there whole, and the first ones are not.
    assert!(
        read.timelines().iter().any(|timeline| timeline.whole && timeline.events.len() > 1_000)
    );
    assert!(read.events().len() > 20_000 && read.events().len() < 40 * 6_000);
    assert_eq!(read.lost(), 0);
    drop(kept);
}

/// Objects that each live for some thousand events, at most `slots` at once.
fn churn(slots: usize, objects: u64) -> Vec<Option<Rc<u64>>> {
    let mut alive = vec![None; slots];
    let mut random = 1_u64;
    for number in 0..objects {
        random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        alive[(random >> 33) as usize % slots] = Some(Rc::new(number));
    }
    alive
}

/// What is known of objects that have ended is given up: the file's bound holds, however many there were.
#[test]
fn a_bounded_file_forgets_what_has_ended() {
    let file = path("churn.refscope");
    let bound = 1 << 20;
    let flight = FlightRecorder::bounded(&file, bound).unwrap();
    let scope = Scope::new(flight.clone());
    for round in 0..3 {
        let alive = scope.run(|| churn(1_000, 40_000));
        let length = std::fs::metadata(&file).unwrap().len();
        assert!(length <= bound, "round {round}: {length} B");
        let read = Recording::open(&file).unwrap();
        assert_eq!((read.damage(), read.lost()), (&[][..], 0));
        let (_, live) = Recording::open_live(&file).unwrap();
        assert_eq!(live, read.live_objects());
        let strong: Vec<_> = live.iter().filter(|object| object.strong == 1).collect();
        assert_eq!(strong.len(), alive.iter().flatten().count(), "round {round}");
    }
}

#[test]
#[ignore = "it is a child of another test's"]
fn child_that_churns() {
    let kept = (0..10).map(|number| Rc::new(String::from("kept").repeat(number)));
    let kept: Vec<_> = kept.collect();
    std::mem::forget(churn(100, 20_000));
    std::mem::forget(kept);
}

/// A bound that is too small is said, with what is done instead; one that is not is no news.
#[test]
fn a_bound_below_the_least_is_said() {
    for (bound, said) in [("64KiB", 1), ("512KiB", 0)] {
        let file = path(&format!("least-{bound}.refscope"));
        let refscope = format!("record={},max={bound}", file.display());
        let output = child("child_that_churns", &refscope).stderr(Stdio::piped()).output().unwrap();
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{stderr}");
        let line = format!(
            "refscope: REFSCOPE={refscope}: {} may grow to 512.0 KiB, the least that a recording can be bounded to, and not \
             64.0 KiB: ask for `max=512KiB` or more",
            file.display()
        );
        assert_eq!(stderr.matches(&line).count(), said, "{stderr}");
        assert_eq!(stderr.matches("the least").count(), said, "{stderr}");
        assert!(std::fs::metadata(&file).unwrap().len() <= 512 << 10);
        let read = Recording::open(&file).unwrap();
        let report = refscope::analysis::LeakReport::of_recording(&read).to_string();
        let first = "10 objects, each held by its first handle alone";
        assert!(report.contains(first) && !report.contains("not known"), "{report}");
    }
}

/// Of JSON Lines what made the handles of parts that are gone is given up: the report says so.
#[test]
fn bounded_lines_say_what_they_gave_up() {
    let file = path("bounded.jsonl");
    let refscope = format!("record={},max=256KiB", file.display());
    let output = child("child_that_churns", &refscope).stderr(Stdio::piped()).output().unwrap();
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && !stderr.contains("refscope:"), "{stderr}");
    let read = Recording::open(&file).unwrap();
    let report = refscope::analysis::LeakReport::of_recording(&read).to_string();
    assert!(report.contains("handles that are not known keep"), "{report}");
    let report = report.split_whitespace().collect::<Vec<_>>().join(" ");
    let help = "help: the events that made its handles were given up for newer ones, since the recording is bounded: raise its \
                bound (`max=`), or record to a file that is no .jsonl, which keeps them for what is alive";
    assert!(report.contains(help), "{report}");
    assert!(!report.contains(" on = "), "{report}");
}

/// What is alive, but for how a handle came to be, step by step, and what it was made from. Each of two recorders has read the
/// clock itself.
fn told_alive(live: &[LiveObject]) -> Vec<String> {
    let handle = |handle: &Handle| {
        format!(
            "\n  {} {} {:?} {:?} on {} at a time {} raw {} {:?}",
            handle.id,
            handle.strength,
            handle.op(),
            handle.location(),
            handle.thread,
            handle.created.as_nanos() > 0,
            handle.raw,
            handle.left
        )
    };
    let object = |object: &LiveObject| {
        let handles: String = object.handles.iter().map(handle).collect();
        format!(
            "{} {} {} {:?} on {} at a time {} strong {} allowed {} {}",
            object.id,
            object.type_name,
            object.location,
            object.label,
            object.thread,
            object.created.as_nanos() > 0,
            object.strong,
            object.allowed,
            handles
        )
    };
    live.iter().map(object).collect()
}

/// Events of threads that hand handles to each other are given up in another order than they happened.
#[test]
fn a_bounded_file_knows_handles_that_went_between_threads() {
    let (file, whole) = (path("between.refscope"), path("between-whole.refscope"));
    let flight = FlightRecorder::bounded(&file, 1).unwrap();
    let all = FlightRecorder::create(&whole).unwrap();
    let scope = Scope::new((flight.clone(), all.clone()));
    let objects: Vec<_> = scope.run(|| (0..50_u32).map(Arc::new).collect());
    let pool = std::sync::Mutex::new(objects);
    for _ in 0..3 {
        std::thread::scope(|threads| {
            for thread in 0..3_u64 {
                let (scope, pool) = (&scope, &pool);
                threads.spawn(move || {
                    let mut random = thread + 1;
                    for round in 0..15_000_u32 {
                        random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                        let mut pool = pool.lock().unwrap();
                        let at = (random >> 33) as usize % pool.len();
                        match random >> 60 {
                            0..6 => {
                                let one = pool[at].clone();
                                pool.push(one);
                            }
                            _ if pool.len() < 50 => pool.push(scope.run(|| Arc::new(round))),
                            6..13 => drop(pool.swap_remove(at)),
                            13 => {
                                let one = pool.swap_remove(at);
                                drop(pool);
                                // Others use it meanwhile.
                                let raw = Arc::into_raw(one);
                                // SAFETY: RAW: it came from `into_raw`, and is taken back once.
                                drop(unsafe { Arc::from_raw(raw) }.clone());
                            }
                            _ => pool[at] = Arc::downgrade(&pool[at]).upgrade().unwrap(),
                        }
                    }
                });
            }
        });
        flight.flush().unwrap();
        let length = std::fs::metadata(&file).unwrap().len();
        assert!(length <= 640 << 10, "{length} B");
        let read = Recording::open(&file).unwrap();
        assert_eq!((read.damage(), read.lost()), (&[][..], 0));
        assert!(read.timelines().iter().any(|timeline| !timeline.whole));
        let expected = Recording::open(&whole).unwrap().live_objects();
        let (_, live) = Recording::open_live(&file).unwrap();
        for live in [read.live_objects(), live] {
            assert_eq!(live.len(), expected.len());
            for (live, expected) in told_alive(&live).iter().zip(told_alive(&expected)) {
                assert_eq!(*live, expected);
            }
        }
    }
}

struct Cyclic {
    _this: refscope::rc::Weak<Cyclic>,
}

/// Of what is alive when events are given up, the living handles are known as in the whole recording: lines, threads, and times.
#[test]
fn a_bounded_file_knows_the_living_handles() {
    let (file, whole) = (path("handles.refscope"), path("handles-whole.refscope"));
    let flight = FlightRecorder::bounded(&file, 1).unwrap();
    let all = FlightRecorder::create(&whole).unwrap();
    let scope = Scope::new((flight.clone(), all.clone()));
    let noise = || drop(scope.run(|| churn(100, 30_000)));
    let first = scope.run(|| Arc::new(String::from("its first handle stays")));
    let second = scope.run(|| Arc::new(vec![1]));
    let other = second.clone();
    drop(second);
    noise();
    let third = std::thread::Builder::new().name("maker".into());
    let shared = Arc::clone(&other);
    let third = third.spawn(move || (shared.clone(), Arc::downgrade(&shared))).unwrap();
    let third = third.join().unwrap();
    noise();
    // Away and back, several times, the first handle and another one.
    let raws: Vec<Rc<i8>> = scope.run(|| (0..4).map(Rc::new).collect());
    let more = raws.clone();
    noise();
    let away = |one: Rc<i8>| {
        // SAFETY: RAW: it came from `into_raw`, and is taken back once.
        unsafe { Rc::from_raw(Rc::into_raw(one)) }
    };
    let raws: Vec<_> = raws.into_iter().map(away).collect();
    noise();
    let mut raws: Vec<_> = raws.into_iter().map(away).collect();
    let mut more: Vec<_> = more.into_iter().map(away).map(away).collect();
    noise();
    raws.truncate(2);
    drop(more.remove(1));
    let raw = more.pop().map(Rc::into_raw);
    noise();
    let cyclic = scope.run(|| Rc::new_cyclic(|this| Cyclic { _this: this.clone() }));
    refscope::allow_leak(&first);
    refscope::label(&first, "first");
    noise();
    flight.flush().unwrap();
    assert!(std::fs::metadata(&file).unwrap().len() <= 512 << 10);
    let read = Recording::open(&file).unwrap();
    assert_eq!((read.damage(), read.lost()), (&[][..], 0));
    let expected = Recording::open(&whole).unwrap().live_objects();
    assert_eq!(expected.len(), 7);
    assert_eq!(told_alive(&read.live_objects()), told_alive(&expected));
    let (_, live) = Recording::open_live(&file).unwrap();
    assert_eq!(told_alive(&live), told_alive(&expected));
    let mut packed = Vec::new();
    refscope::model::RecordingFile::open(&file).unwrap().pack(&mut packed).unwrap();
    assert_eq!(
        told_alive(&Recording::read(&packed[..]).unwrap().live_objects()),
        told_alive(&expected)
    );
    let mut lines = Vec::new();
    refscope::render::jsonl(&read, &mut lines).unwrap();
    assert_eq!(
        told_alive(&Recording::read(&lines[..]).unwrap().live_objects()),
        told_alive(&expected)
    );
    let report = refscope::analysis::LeakReport::of_recording(&read).to_string();
    assert!(!report.contains("not known"), "{report}");
    drop((first, other, third, raws, more, cyclic));
    // SAFETY: RAW: as above.
    drop(raw.map(|raw| unsafe { Rc::from_raw(raw) }));
}
