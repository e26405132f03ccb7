//! Reports that know the spans of `tracing`, with tracing-subscriber's fmt layer and in a tokio program.

use refscope::leaks::Check;
use refscope::model::{EventRecord, LiveObject, Recording};
use refscope::sink::{Clock, FileSink, Recorder, TracingSink};
use refscope::{Arc, Scope};
use std::io::Write;
use std::sync::Mutex;
use std::time::Duration;
use tracing::Instrument as _;
use tracing_subscriber::layer::SubscriberExt as _;

/// What a subscriber wrote.
#[derive(Clone, Default)]
struct Buffer(std::sync::Arc<Mutex<Vec<u8>>>);

impl Write for Buffer {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[derive(Clone)]
struct Session(Arc<Mutex<Vec<Arc<String>>>>);

/// A request keeps what it should let go: the holder is in its span.
async fn request(sessions: Session, id: u32) {
    let token = Arc::new(format!("token {id}"));
    tokio::task::yield_now().await;
    if id == 17 {
        sessions.0.lock().unwrap().push(token.clone());
    }
}

#[test]
fn the_report_says_in_which_request_the_holder_was_made() {
    let subscriber = tracing_subscriber::registry().with(refscope::span::layer());
    let _default = tracing::subscriber::set_default(subscriber);
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    // However long the search takes, on a machine that does other things as well.
    let check = Check::new().timeout(Duration::ZERO).search_budget(Duration::from_secs(30));
    let sessions = Session(check.scope().run(|| Arc::new(Mutex::new(Vec::new()))));
    refscope::allow_leak(&sessions.0);
    runtime.block_on(async {
        let tasks: Vec<_> = (15..20)
            .map(|id| {
                let span = tracing::info_span!("request", id);
                let work = request(sessions.clone(), id).instrument(span);
                check.scope().instrument(work)
            })
            .collect();
        for task in tasks {
            task.await;
        }
    });
    let leaks = check.verify().expect_err("the token of 17 stays");
    let text = leaks.to_string();
    let in_one_line = text.split_whitespace().collect::<Vec<_>>().join(" ");
    for part in [
        // By `sessions`, a local here; how a report says that is checked elsewhere.
        "1 object alive after the check, kept by 1 line; 24 B; 1 held by ",
        "; 1 allowed",
        "this clone is alive, made in `request{id=17}`",
        " on the_report_says_in_which_request_the_holder_was_made in `request{id=17}`",
    ] {
        assert!(in_one_line.contains(part), "{part} is not in\n{text}");
    }
    assert!(text.contains("tests/spans.rs:"), "{text}");
    drop(sessions);
}

/// The table in which the texts of spans are kept grows into memory of the program's that is free again.
#[test]
#[cfg(all(target_os = "linux", target_env = "gnu", target_arch = "x86_64"))]
fn what_was_where_spans_are_kept_is_held_by_nothing() {
    let subscriber = tracing_subscriber::registry().with(refscope::span::layer());
    let _default = tracing::subscriber::set_default(subscriber);
    let kept = refscope::Scope::tracking().run(|| Arc::new(5_u8));
    let object = refscope::holders(&kept).object().expect("it is traced").id();
    // In a block whose address stands nowhere but in old words.
    let encoded = !Box::into_raw(Box::new([Some(kept), None, None])).addr();
    for words in [8, 16, 32, 64, 128, 256, 512] {
        let blocks: Vec<Vec<usize>> = (0..7).map(|_| vec![!encoded; words]).collect();
        drop(std::hint::black_box(blocks));
    }
    for id in 0..70 {
        let _span = tracing::info_span!("of many", id).entered();
        drop(Scope::tracking().run(|| Arc::new(id)));
    }
    let ownership = refscope::locate::Search::new().run().expect("this is Linux");
    let path = ownership.path_to(object).expect("it is alive").to_string();
    assert!(!path.contains("SPANS"), "{path}");
    assert_ne!(encoded, 0);
}

#[test]
fn events_go_through_filters_and_formats() {
    let buffer = Buffer::default();
    let writer = buffer.clone();
    let lines = || {
        let text = String::from_utf8(std::mem::take(&mut *buffer.0.lock().unwrap())).unwrap();
        text.lines().map(str::to_owned).collect::<Vec<_>>()
    };
    let format = tracing_subscriber::fmt::layer()
        .without_time()
        .with_ansi(false)
        .with_writer(move || writer.clone());
    // Births alone: they are at level DEBUG, all else at TRACE.
    let debug = tracing_subscriber::filter::LevelFilter::DEBUG;
    let subscriber = tracing_subscriber::registry().with(debug).with(format);
    tracing::subscriber::with_default(subscriber, || {
        let _span = tracing::info_span!("request", id = 3).entered();
        Scope::new(TracingSink).run(|| drop(Arc::new(1_u8).clone()));
    });
    let births = lines();
    assert_eq!(births.len(), 1, "{births:?}");
    for part in
        ["DEBUG", "request{id=3}", "refscope::new", "type=\"u8\"", "strong=1", "tests/spans.rs"]
    {
        assert!(births[0].contains(part), "{part}: {births:?}");
    }
}

/// A live view, a recording in memory and one in a file say the same of spans.
#[test]
fn recordings_know_the_spans() {
    let subscriber = tracing_subscriber::registry().with(refscope::span::layer());
    let _default = tracing::subscriber::set_default(subscriber);
    let folder = std::path::Path::new(env!("CARGO_TARGET_TMPDIR"));
    let path = folder.join(format!("spans-{}.jsonl", std::process::id()));
    let file = FileSink::create(&path).unwrap();
    let recorder = Recorder::builder().budget(1 << 20).clock(Clock::None).build();
    let scope = Scope::new((recorder.clone(), file.clone()));
    let mut kept = Vec::new();
    scope.run(|| {
        for id in 0..3 {
            let span = tracing::info_span!("request", id, name = "a \"name\"").entered();
            let token = Arc::new(id);
            let outside = span.exit();
            kept.push(token.clone());
            let _span = outside.entered();
            kept.push(token.clone());
            kept.push(tracing::info_span!("reply").in_scope(|| token.clone()));
            drop(token);
        }
    });
    let spans = |objects: &[LiveObject]| -> Vec<Vec<Option<String>>> {
        let text = |span: &Option<std::sync::Arc<str>>| span.as_deref().map(str::to_owned);
        let of = |object: &LiveObject| {
            let handles = object.handles.iter().map(|handle| text(&handle.span));
            std::iter::once(text(&object.span)).chain(handles).collect()
        };
        objects.iter().map(of).collect()
    };
    let request = |id| Some(format!("request{{id={id} name=\"a \\\"name\\\"\"}}"));
    let want: Vec<_> =
        (0..3).map(|id| vec![request(id), None, request(id), Some("reply".to_owned())]).collect();
    assert_eq!(spans(&scope.alive()), want);
    let recording = recorder.recording();
    assert_eq!(spans(&recording.live_objects()), want);
    assert_eq!(recording.spans().len(), 4);
    file.flush().unwrap();
    let bytes = std::fs::read(&path).unwrap();
    let read = Recording::read(&bytes[..]).unwrap();
    assert_eq!(spans(&read.live_objects()), want);
    assert_eq!(spans(&Recording::read_live(&bytes[..]).unwrap().1), want);
    // A drop is in a span as well.
    let in_span = |recording: &Recording| -> Vec<_> {
        let span =
            |event: &EventRecord| event.span.map(|span| recording.spans()[span as usize].clone());
        recording.events().iter().map(span).collect()
    };
    assert_eq!(in_span(&read), in_span(&recording));
    assert_eq!(in_span(&read).iter().filter(|span| span.is_some()).count(), 12);
    // The numbers are the file's own.
    let text = String::from_utf8(bytes).unwrap();
    let other = text.replace("\"sp\":", "\"sp\":9").replace("{\"span\":", "{\"span\":9");
    let objects = |line: &&str| !line.contains("\"event\"");
    let (tables, events): (Vec<_>, Vec<_>) = other.lines().partition(objects);
    let renumbered = [tables, events].concat().join("\n") + "\n";
    let renumbered = Recording::read(renumbered.as_bytes()).unwrap();
    assert_eq!(renumbered.damage(), []);
    assert_eq!(spans(&renumbered.live_objects()), want);
    drop(kept);
    std::fs::remove_file(path).unwrap();
}
