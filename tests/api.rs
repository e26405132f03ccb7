//! What users name in their own code: ids, builders, and the threads that refscope starts.
#![cfg(feature = "trace")]

use refscope::sink::{Clock, Overflow, Recorder};
use refscope::{Arc, HandleId, ObjectId, Op, Rc, Scope};
use std::time::{Duration, Instant};

/// What is alive, an event and a timeline name one object and one handle alike.
#[test]
fn one_id_from_end_to_end() {
    let recorder = Recorder::new();
    let scope = Scope::new(recorder.clone());
    let (one, two) = scope.run(|| {
        let one = Rc::new(1);
        let two = one.clone();
        (one, two)
    });
    let holders = refscope::holders(&two);
    let asked = holders.asked().expect("it is traced");
    let object = holders.object().expect("it is traced").id();
    assert_eq!(asked, HandleId::new(object, 2));
    assert_eq!(object.to_string().parse(), Ok(object));
    assert_eq!(object.number().to_string().parse(), Ok(object));
    assert!("#".parse::<ObjectId>().is_err());
    let alive = scope.alive();
    assert_eq!(alive[0].id, object);
    assert_eq!(alive[0].handles[1].id, asked);
    assert_eq!(alive[0].handles[1].from, Some(HandleId::new(object, 1)));
    let recording = recorder.recording();
    assert_eq!(recording.objects()[&object].id, object);
    let clone = recording.events().iter().find(|event| event.op == Op::Clone).expect("one clone");
    assert_eq!((clone.object(), clone.handle), (object, asked));
    let timelines = recording.timelines();
    let timeline = timelines.iter().next().expect("one object");
    assert_eq!((timeline.object.id, timeline.lifelines[1].handle), (object, asked));
    assert_eq!(recording.balance(object).expect("it has events").alive(), 2);
    drop((one, two));
}

#[test]
fn a_recorder_is_as_it_was_built() {
    let events = |recorder: &Recorder| {
        Scope::new(recorder.clone()).run(|| {
            let shared = Arc::new(1);
            (0..20_000).for_each(|_| drop(shared.clone()));
        });
        let recording = recorder.recording();
        (recording.events()[0].seq, recording.lost(), recording.events().to_vec())
    };
    let small = Recorder::builder().budget(64 << 10);
    let (first, lost, _) = events(&small.build());
    assert!(first == 1 && lost > 0, "the earliest: {first}, {lost}");
    let (first, lost, _) = events(&small.overflow(Overflow::DropOldest).build());
    assert!(first > 1 && lost > 0, "the latest: {first}, {lost}");
    let (_, lost, stamped) = events(&Recorder::builder().clock(Clock::None).build());
    assert!(lost == 0 && stamped.iter().all(|event| event.time.as_nanos() == 0));
}

#[test]
fn a_reporting_thread_is_stopped() {
    let reporter = refscope::leaks::every(Duration::from_secs(3600)).expect("a thread");
    assert!(!reporter.is_finished());
    let start = Instant::now();
    reporter.stop().expect("it did not panic");
    assert!(start.elapsed() < Duration::from_secs(60), "it did not sleep to the end");
}

/// Each test and file that the page of promises names is there.
#[test]
fn promises_name_what_is_there() {
    let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR"));
    let text = std::fs::read_to_string(root.join("src/guarantees.rs")).unwrap();
    let quoted = text.split('`').skip(1).step_by(2);
    let paths: Vec<_> = quoted
        .filter(|word| ["tests/", "cli/", "src/"].iter().any(|folder| word.starts_with(folder)))
        .collect();
    assert!(paths.len() > 15, "{paths:?}");
    for path in paths {
        assert!(root.join(path).exists(), "{path}");
    }
}
