//! What others define is checked by others: JSON Lines by a validator of JSON Schema, traces by Perfetto's own schema. Where
//! there is no Python, or what it needs cannot be had, that is said, and nothing is checked.
#![cfg(unix)]

mod common;

use common::path;
use refscope::sink::{FileSink, FlightRecorder};
use refscope::{Arc, Rc, Recording, Scope};
use std::path::{Path, PathBuf};
use std::process::Command;

/// A program that does everything once.
fn program() -> (Rc<String>, Arc<u64>) {
    let kept = Rc::new(String::from("kept"));
    refscope::label(&kept, "a \"label\"");
    let weak = Rc::downgrade(&kept);
    drop(weak.upgrade());
    let mut copied = Rc::new(7);
    let other = copied.clone();
    *Rc::make_mut(&mut copied) += 1;
    drop(other);
    let shared = Arc::new(7_u64);
    let threads: Vec<_> = (0..2)
        .map(|_| {
            let mine = shared.clone();
            std::thread::spawn(move || drop(mine.clone()))
        })
        .collect();
    threads.into_iter().for_each(|thread| thread.join().unwrap());
    refscope::mark("done");
    let raw = Arc::into_raw(shared);
    // SAFETY: RAW: it came from `into_raw`, and is taken back once.
    (kept, unsafe { Arc::from_raw(raw) })
}

fn flight(name: &str) -> String {
    let file = path(name);
    let flight = FlightRecorder::create(&file).unwrap();
    let kept = Scope::new(flight.clone()).run(program);
    flight.flush().unwrap();
    std::mem::forget(kept);
    file.to_str().unwrap().to_owned()
}

fn export(format: &str, file: &str, to: &Path) {
    let output = Command::new(env!("CARGO_BIN_EXE_refscope"))
        .args(["export", "--format", format, file, "-o", to.to_str().unwrap()])
        .output()
        .unwrap();
    assert!(output.status.success(), "{output:?}");
}

/// Runs a program of Python's, and returns what it prints; `None` where it says that something is missing.
fn python(interpreter: &Path, program: &str, arguments: &[&Path]) -> Option<String> {
    let output = Command::new(interpreter).args(["-c", program]).args(arguments).output();
    match output {
        Ok(output) if output.status.code() == Some(77) => {
            eprintln!("skipped: {}", String::from_utf8_lossy(&output.stdout));
            None
        }
        Ok(output) => {
            assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
            Some(String::from_utf8(output.stdout).unwrap())
        }
        Err(error) => {
            eprintln!("skipped: there is no {}: {error}", interpreter.display());
            None
        }
    }
}

const VALIDATE: &str = r#"
import json, sys
try:
    import jsonschema
except ImportError as error:
    print(error)
    sys.exit(77)
schema = json.load(open(sys.argv[1]))
jsonschema.Draft202012Validator.check_schema(schema)
validator = jsonschema.Draft202012Validator(schema)
right = wrong = 0
for line in open(sys.argv[2]):
    if validator.is_valid(json.loads(line)):
        right += 1
    else:
        wrong += 1
        print(line, file=sys.stderr)
print(right, wrong)
"#;

#[test]
fn lines_are_as_the_schema_says() {
    let schema = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/recording.schema.json");
    let of = |file: &Path| python("python3".as_ref(), VALIDATE, &[&schema, file]);
    let (recorded, written) = (path("recorded.jsonl"), path("written.jsonl"));
    let sink = FileSink::create(&recorded).unwrap();
    let kept = Scope::new(sink.clone()).run(program);
    sink.flush().unwrap();
    // It goes on to be written to, as by the other test's marks.
    std::fs::copy(&recorded, &written).unwrap();
    let exported = path("exported.jsonl");
    export("jsonl", &flight("exported.refscope"), &exported);
    let again = path("again.jsonl");
    let whole = Recording::open(path("exported.refscope")).unwrap();
    refscope_lines(&whole, &again);
    for file in [&written, &exported, &again] {
        let lines = std::fs::read_to_string(file).unwrap().lines().count();
        assert!(lines > 40, "{lines}");
        let Some(counts) = of(file) else { return };
        assert_eq!(counts.trim(), format!("{lines} 0"), "{}", file.display());
    }
    // It is no schema that takes anything.
    let wrong = path("wrong.jsonl");
    let lines = [
        r#"{"refscope":2,"pid":7}"#,
        r#"{"event":"clown","o":1,"n":1,"h":1,"s":1,"t":1,"ns":1}"#,
        r#"{"event":"new","o":1,"n":1,"h":1,"s":1,"t":1}"#,
        r#"{"object":1,"kind":"Cow","type":1,"size":4,"site":1}"#,
        r#"{"site":1,"file":"x","line":-1,"column":1}"#,
        r#"{"neither":1}"#,
    ];
    std::fs::write(&wrong, lines.join("\n")).unwrap();
    assert_eq!(of(&wrong).map(|counts| counts.trim().to_owned()).as_deref(), Some("0 6"));
    drop(kept);
}

fn refscope_lines(recording: &Recording, to: &Path) {
    let mut file = std::fs::File::create(to).unwrap();
    refscope::render::jsonl(recording, &mut file).unwrap();
}

const DECODE: &str = r#"
import sys
from collections import Counter
from perfetto.protos.perfetto.trace import perfetto_trace_pb2 as schema
trace = schema.Trace()
trace.ParseFromString(open(sys.argv[1], "rb").read())
assert trace.IsInitialized()
def unknown(message):
    for field, value in message.ListFields():
        if field.message_type is not None:
            for one in (value if field.is_repeated else [value]):
                yield from unknown(one)
    from google.protobuf.unknown_fields import UnknownFieldSet
    yield from UnknownFieldSet(message)
assert not list(unknown(trace)), "fields that the schema does not have"
tracks, kinds, open_slices, flows, last = {}, Counter(), Counter(), Counter(), {}
for packet in trace.packet:
    assert packet.trusted_packet_sequence_id == 1
    if packet.HasField("track_descriptor"):
        track = packet.track_descriptor
        assert track.uuid not in tracks and (not track.parent_uuid or track.parent_uuid in tracks)
        tracks[track.uuid] = track.name or track.process.process_name
    else:
        event = packet.track_event
        assert event.track_uuid in tracks, "a track that nothing describes"
        assert last.get(event.track_uuid, 0) <= packet.timestamp, "a track goes back in time"
        last[event.track_uuid] = packet.timestamp
        kinds[schema.TrackEvent.Type.Name(event.type)] += 1
        if event.type == schema.TrackEvent.TYPE_SLICE_BEGIN:
            open_slices[event.track_uuid] += 1
            assert open_slices[event.track_uuid] == 1, "slices of one row overlap"
        if event.type == schema.TrackEvent.TYPE_SLICE_END:
            open_slices[event.track_uuid] -= 1
            assert open_slices[event.track_uuid] == 0, "an end without a beginning"
        for flow in event.flow_ids:
            flows[flow] += 1
        for flow in event.terminating_flow_ids:
            assert flows[flow] == 1, "an arrow from nowhere"
            flows[flow] += 10
assert all(count == 11 for count in flows.values())
names = sorted(name for name in tracks.values() if "<" in name)
print(kinds["TYPE_SLICE_BEGIN"], kinds["TYPE_SLICE_END"], len(flows), kinds["TYPE_COUNTER"] > 5, *names, sep="|")
"#;

/// Perfetto's package for Python, below `target`: it brings the schema that Perfetto itself reads traces by.
fn perfetto() -> Option<PathBuf> {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("perfetto");
    let python = folder.join("bin/python");
    let has = |python: &Path| {
        let check = ["-c", "from perfetto.protos.perfetto.trace import perfetto_trace_pb2"];
        Command::new(python).args(check).output().is_ok_and(|output| output.status.success())
    };
    if !has(&python) {
        let done = Command::new("timeout")
            .args(["60", "python3", "-m", "venv"])
            .arg(&folder)
            .output()
            .is_ok_and(|output| output.status.success())
            && Command::new("timeout")
                .args(["90".as_ref(), python.as_os_str()])
                .args(["-m", "pip", "install", "--quiet", "perfetto", "protobuf"])
                .output()
                .is_ok_and(|output| output.status.success());
        if !done || !has(&python) {
            eprintln!("skipped: Perfetto's package for Python cannot be had here");
            return None;
        }
    }
    Some(python)
}

#[test]
fn traces_are_as_perfettos_schema_says() {
    let file = flight("trace.refscope");
    let trace = path("trace.perfetto-trace");
    export("perfetto", &file, &trace);
    let Some(python_of_perfetto) = perfetto() else { return };
    let Some(out) = python(&python_of_perfetto, DECODE, &[&trace]) else { return };
    let recording = Recording::open(&file).unwrap();
    let timelines = recording.timelines();
    let lines = || timelines.iter().flat_map(|timeline| &timeline.lifelines);
    let own =
        lines().filter(|line| line.from.is_some_and(|from| from.object() == line.handle.object()));
    let mut names: Vec<String> = timelines
        .iter()
        .map(|timeline| {
            let short = if timeline.object.type_name.contains("String") {
                "String"
            } else {
                &timeline.object.type_name
            };
            format!("{} {}<{short}>", timeline.object.id, timeline.object.kind)
        })
        .collect();
    names.sort();
    let parts: Vec<&str> = out.trim().split('|').collect();
    assert_eq!(parts[0], lines().count().to_string(), "a slice a handle: {out}");
    assert_eq!(parts[1], lines().filter(|line| line.end.is_some()).count().to_string(), "{out}");
    // An arrow for each handle that was made from one that was there.
    assert_eq!(parts[2], own.count().to_string(), "{out}");
    assert_eq!(
        (parts[3], &parts[4..]),
        ("True", &names.iter().map(String::as_str).collect::<Vec<_>>()[..])
    );
}
