//! What is written as JSON is JSON: reports, recordings, and what `tracing` subscribers format.

use refscope::leaks::Check;
use refscope::sink::{FileSink, TracingSink};
use refscope::{Rc, Scope};
use std::sync::Mutex;
use std::time::Duration;

#[test]
fn json_and_annotations() {
    let check = Check::new().timeout(Duration::ZERO);
    let kept = check.scope().run(|| {
        let one = Rc::new(1);
        refscope::label(&one, "a \"label\"");
        (one.clone(), one)
    });
    let leaks = check.report();
    let json: serde_json::Value = serde_json::from_str(&leaks.json()).expect("it is JSON");
    assert_eq!(json["refscope_leaks"], 2);
    assert_eq!(json["objects"], 1);
    let leak = &json["leaks"][0];
    let example = &leak["example"];
    assert_eq!((&example["kind"], &example["type"]), (&"Rc".into(), &"i32".into()));
    assert_eq!(example["label"], "a \"label\"");
    assert_eq!(leak["handles"].as_array().unwrap().len(), 2);
    assert_eq!(leak["faults"].as_array().unwrap().len(), leak["ids"].as_array().unwrap().len());
    let holder = leak["handles"].as_array().unwrap().iter().find(|h| h["fault"] == true).unwrap();
    assert_eq!(leak["cause"]["line"], holder["path"][1]["line"]);
    assert_eq!(holder["path"][1]["op"], "clone");
    assert_eq!(holder["path"][1]["file"], file!());
    let annotations = leaks.annotations();
    let start = format!("::error file={},line={}", file!(), holder["path"][1]["line"]);
    assert!(annotations.starts_with(&start), "{annotations}");
    assert_eq!(annotations.lines().count(), 1);
    drop(kept);
}

/// A folder that is not there is an error at once; a file is whole after a flush.
#[test]
fn files() {
    let error = FileSink::create("/no such folder/file").unwrap_err();
    assert_eq!(error.kind(), std::io::ErrorKind::NotFound);
    let path = std::env::temp_dir().join(format!("refscope-json-{}.jsonl", std::process::id()));
    let file = FileSink::create(&path).unwrap();
    Scope::new(file.clone()).run(|| {
        let one = Rc::new("a \"quoted\" type");
        refscope::label(&one, "line\nbreak");
        drop(one.clone());
    });
    file.flush().unwrap();
    let text = std::fs::read_to_string(&path).unwrap();
    std::fs::remove_file(&path).unwrap();
    let lines: Vec<serde_json::Value> =
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(lines[0]["refscope"], 1);
    let events: Vec<_> = lines.iter().filter_map(|line| line["event"].as_str()).collect();
    assert_eq!(events, ["new", "label", "clone", "drop", "drop"]);
    assert!(lines.iter().any(|line| line["label"] == "line\nbreak"));
}

/// What `tracing` subscribers get.
#[test]
fn events_for_tracing() {
    #[derive(Clone, Default)]
    struct Buffer(std::sync::Arc<Mutex<Vec<u8>>>);
    impl std::io::Write for Buffer {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0.lock().unwrap().write(bytes)
        }
        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }
    let buffer = Buffer::default();
    let writer = buffer.clone();
    let subscriber = tracing_subscriber::fmt()
        .json()
        .with_max_level(tracing::Level::TRACE)
        .with_writer(move || writer.clone())
        .finish();
    tracing::subscriber::with_default(subscriber, || {
        Scope::new(TracingSink).run(|| drop(Rc::new(1).clone()));
    });
    let text = String::from_utf8(buffer.0.lock().unwrap().clone()).unwrap();
    let lines: Vec<serde_json::Value> =
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let targets: Vec<_> = lines.iter().map(|line| line["target"].as_str().unwrap()).collect();
    assert_eq!(targets, ["refscope::new", "refscope::clone", "refscope::drop", "refscope::drop"]);
    assert_eq!(lines[1]["fields"]["strong"], 2);
    assert_eq!(lines[1]["fields"]["from"], 1);
    assert_eq!(lines[0]["fields"]["type"], "i32");
}
