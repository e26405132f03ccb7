//! Recordings in files: bounded, cut off, in the way of a full disk; and what is exported from them.

use refscope::analysis::{LeakReport, ReportKind};
use refscope::sink::{Clock, FileSink, Recorder};
use refscope::{Arc, Rc, Recording, Scope, render};
use std::path::{Path, PathBuf};

fn path(name: &str) -> PathBuf {
    let folder =
        Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("recordings-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    folder.join(name)
}

/// A program of so many rounds, with one object that stays.
fn program(rounds: u32) -> Rc<String> {
    let kept = Rc::new(String::from("kept"));
    refscope::label(&kept, "stays");
    for i in 0..rounds {
        let other = Rc::new(i);
        drop(kept.clone());
        drop(Rc::downgrade(&other).upgrade());
    }
    kept
}

#[test]
fn a_bounded_file_keeps_the_newest_and_what_is_alive() {
    let file = path("bounded.jsonl");
    let sink = FileSink::bounded(&file, 64 << 10).unwrap();
    let scope = Scope::new(sink.clone());
    let mut kept = Vec::new();
    for _ in 0..20 {
        kept.push(scope.run(|| program(100)));
        sink.flush().unwrap();
    }
    let old = path("bounded.jsonl.1");
    let size = |path: &Path| std::fs::metadata(path).unwrap().len();
    // A part is full when a write has made it so: the writes of this test are some 40 KiB.
    assert!(size(&file) + size(&old) < 200 << 10, "{} + {}", size(&old), size(&file));
    let newest =
        Recording::read(&std::fs::read(&file).unwrap()[..]).expect("a part is a recording");
    assert_eq!(
        newest.objects().values().filter(|o| o.label.as_deref() == Some("stays")).count(),
        20
    );
    let mut both = std::fs::read(&old).unwrap();
    both.extend(std::fs::read(&file).unwrap());
    let both = Recording::read(&both[..]).expect("two parts are a recording");
    assert!(both.events().len() > newest.events().len());
    // The last program was recorded whole.
    assert!(both.timelines().iter().any(|t| t.whole && t.events.len() > 200));
    let (_, living) = Recording::read_live(&std::fs::read(&file).unwrap()[..]).unwrap();
    assert!(living.iter().all(|object| object.label.as_deref() == Some("stays")), "{living:?}");
}

#[test]
fn killed_at_any_byte_it_reads_to_the_last_whole_line() {
    let file = path("cut.jsonl");
    let sink = FileSink::create(&file).unwrap();
    drop(Scope::new(sink.clone()).run(|| program(2)));
    sink.flush().unwrap();
    let bytes = std::fs::read(&file).unwrap();
    let whole = Recording::read(&bytes[..]).unwrap().events().len();
    let first = bytes.iter().position(|&byte| byte == b'\n').unwrap();
    let mut before = 0;
    for end in first + 1..=bytes.len() {
        let recording =
            Recording::read(&bytes[..end]).unwrap_or_else(|error| panic!("{end}: {error}"));
        // A line may be whole but for its end, which then is no loss.
        let last = bytes[..end].rsplit(|&byte| byte == b'\n').next().unwrap();
        let cut = !last.is_empty() && serde_json::from_slice::<serde_json::Value>(last).is_err();
        assert_eq!(recording.truncated(), cut, "{end}");
        assert!(recording.events().len() >= before);
        before = recording.events().len();
        let read = Recording::read_live(&bytes[..end]);
        assert!(read.is_ok(), "{end}");
    }
    assert_eq!(before, whole);
}

#[test]
fn a_file_that_is_removed_switches_the_sink_off() {
    let file = path("removed.jsonl");
    let sink = FileSink::create(&file).unwrap();
    let scope = Scope::new(sink.clone());
    drop(scope.run(|| program(1)));
    sink.flush().unwrap();
    std::fs::remove_file(&file).unwrap();
    drop(scope.run(|| program(1)));
    let error = sink.flush().unwrap_err().to_string();
    assert!(error.contains("removed.jsonl could not be written"), "{error}");
    drop(scope.run(|| program(1)));
    assert!(!file.exists());
}

#[cfg(target_os = "linux")]
#[test]
fn a_full_disk_is_an_error() {
    let sink = FileSink::create("/dev/full").unwrap();
    drop(Scope::new(sink.clone()).run(|| program(1)));
    assert!(sink.flush().is_err());
}

#[test]
fn what_is_alive_is_folded_as_it_is_kept() {
    let file = path("fold.jsonl");
    let sink = FileSink::create(&file).unwrap();
    let kept = Scope::new(sink.clone()).run(|| {
        let shared = Arc::new(5_u16);
        let threads: Vec<_> = (0..4)
            .map(|_| {
                let mine = shared.clone();
                std::thread::spawn(move || {
                    (0..200).for_each(|_| drop(mine.clone()));
                    std::mem::forget(mine);
                })
            })
            .collect();
        threads.into_iter().for_each(|thread| thread.join().unwrap());
        (program(50), shared)
    });
    sink.flush().unwrap();
    let bytes = std::fs::read(&file).unwrap();
    let recording = Recording::read(&bytes[..]).unwrap();
    let (tables, living) = Recording::read_live(&bytes[..]).unwrap();
    let kept_whole = LeakReport::of_recording(&recording);
    // The file has no mark that the process ended by itself.
    let folded = LeakReport::new(living, tables.end_time()).with_kind(ReportKind::Stopped);
    assert_eq!(kept_whole.to_string(), folded.to_string());
    assert_eq!(kept_whole.objects(), 2);
    drop(kept);
}

#[test]
fn a_trace_for_perfetto_keeps_the_formats_rules() {
    let recorder = Recorder::builder().budget(1 << 20).clock(Clock::Precise).build();
    let kept = Scope::new(recorder.clone()).run(|| {
        let one = Arc::new(1);
        let two = one.clone();
        std::thread::Builder::new()
            .name("a \"thread\"".into())
            .spawn(move || drop(two))
            .unwrap()
            .join()
            .unwrap();
        one
    });
    let recording = recorder.recording();
    let mut bytes = Vec::new();
    render::perfetto(&recording.timelines(), &mut bytes).unwrap();
    // Packets; of each the fields of the message in it. Perfetto's own schema reads traces in the command's tests.
    let (mut kinds, mut flows, mut texts) = ([0; 5], [0, 0], Vec::new());
    for (field, packet) in fields(&bytes) {
        assert_eq!(field, 1);
        let packet = fields(packet.bytes());
        let event = packet.iter().find(|(field, _)| *field == 11);
        for (field, value) in event.map_or(Vec::new(), |(_, event)| fields(event.bytes())) {
            match field {
                9 => kinds[value.number() as usize] += 1,
                47 => flows[0] += 1,
                48 => flows[1] += 1,
                4 => texts.extend(fields(value.bytes()).iter().map(|(_, text)| text.text())),
                _ => {}
            }
        }
    }
    // Slices begin and end; an instant begins the arrow to the clone; three counts of the object, and what was alive.
    assert_eq!(kinds[1..4], [2, 1, 1], "{kinds:?}");
    assert!(kinds[4] >= 3 + 4, "{kinds:?}");
    assert_eq!(flows, [1, 1]);
    assert!(texts.iter().any(|text| text == "a \"thread\""), "{texts:?}");
    drop(kept);
}

/// A field of a protobuf message.
enum Value<'a> {
    Number(u64),
    Bytes(&'a [u8]),
}

impl<'a> Value<'a> {
    fn number(&self) -> u64 {
        match self {
            Self::Number(number) => *number,
            Self::Bytes(_) => panic!("it is no number"),
        }
    }

    fn bytes(&self) -> &'a [u8] {
        match self {
            Self::Bytes(bytes) => bytes,
            Self::Number(_) => panic!("it has no bytes"),
        }
    }

    fn text(&self) -> String {
        String::from_utf8(self.bytes().to_vec()).unwrap()
    }
}

fn fields(mut bytes: &[u8]) -> Vec<(u64, Value<'_>)> {
    fn varint(bytes: &mut &[u8]) -> u64 {
        let end = bytes.iter().position(|byte| byte & 0x80 == 0).unwrap() + 1;
        let (number, rest) = bytes.split_at(end);
        *bytes = rest;
        number.iter().rev().fold(0, |all, byte| all << 7 | u64::from(byte & 0x7f))
    }
    let mut fields = Vec::new();
    while !bytes.is_empty() {
        let key = varint(&mut bytes);
        let value = match key & 7 {
            0 => Value::Number(varint(&mut bytes)),
            1 => {
                let (word, rest) = bytes.split_first_chunk().unwrap();
                bytes = rest;
                Value::Number(u64::from_le_bytes(*word))
            }
            2 => {
                let length = varint(&mut bytes) as usize;
                let (content, rest) = bytes.split_at(length);
                bytes = rest;
                Value::Bytes(content)
            }
            kind => panic!("wire type {kind}"),
        };
        fields.push((key >> 3, value));
    }
    fields
}

#[test]
fn trees_and_graphs_mark_what_is_alive() {
    let recorder = Recorder::builder().budget(1 << 20).clock(Clock::None).build();
    let kept = Scope::new(recorder.clone()).run(|| {
        let one = Rc::new(1);
        let two = one.clone();
        let three = two.clone();
        drop((one, two.clone()));
        (two, three)
    });
    let recording = recorder.recording();
    let timelines = recording.timelines();
    let object = timelines.iter().next().unwrap();
    let tree = render::Terminal::plain(80).ascii(true).tree(&timelines, object);
    let lines: Vec<_> = tree.lines().collect();
    assert!(lines[0].contains("4 handles, 2 alive"), "{tree}");
    assert!(
        lines[1].starts_with("`- 1 new") && lines[1].ends_with("drop  ! 2 of 3 below alive"),
        "{tree}"
    );
    assert!(
        lines[2].starts_with("   `- 2 clone") && lines[2].contains("alive  ! 1 of 2 below alive"),
        "{tree}"
    );
    assert!(lines[3].starts_with("      |- 3 clone") && lines[3].ends_with("alive"), "{tree}");
    assert!(lines[4].starts_with("      `- 4 clone") && lines[4].ends_with("drop"), "{tree}");
    let dot = render::dot(&timelines, object);
    assert!(
        dot.contains("h1 -> h2") && dot.contains("h2 -> h3") && dot.contains("h2 -> h4"),
        "{dot}"
    );
    assert_eq!(dot.matches("style=bold").count(), 2, "{dot}");
    drop(kept);
}

/// Of two threads one gives its pointer to std while the other's comes back, and the handle that the latter left by ends
/// afterwards: its path begins where it came back all the same.
#[test]
fn a_pointer_that_comes_back_before_the_one_has_left() {
    let lines = r#"{"refscope":1}
{"type":1,"name":"u8"}
{"site":1,"file":"src/main.rs","line":3,"column":5}
{"site":2,"file":"src/main.rs","line":7,"column":5}
{"thread":1,"name":"main"}
{"object":1,"kind":"Arc","type":1,"size":1,"site":1}
{"event":"new","o":1,"n":1,"h":1,"s":1,"at":1,"t":1,"ns":1}
{"event":"clone","o":1,"n":2,"h":2,"s":2,"f":1,"at":1,"t":1,"ns":2}
{"event":"from std","o":1,"n":3,"h":3,"s":3,"f":2,"at":2,"t":1,"ns":3}
{"event":"into std","o":1,"n":4,"h":2,"s":2,"at":1,"t":1,"ns":4}
{"event":"clone","o":1,"n":5,"h":5,"s":3,"f":3,"at":2,"t":1,"ns":5}
"#;
    let recording = Recording::read(lines.as_bytes()).unwrap();
    assert_eq!((recording.verify(), recording.damage().len()), (Ok(()), 0));
    let [object] = &recording.live_objects()[..] else { panic!("one object") };
    let steps = object.handles.iter().map(|handle| {
        let ops = handle.path.iter().map(|step| step.op.name()).collect::<Vec<_>>().join(" ");
        (handle.id.number(), ops)
    });
    let expected = [(1, "new"), (3, "from std"), (5, "from std clone")];
    assert_eq!(steps.collect::<Vec<_>>(), expected.map(|(handle, ops)| (handle, ops.to_owned())));
}
