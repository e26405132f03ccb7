//! `cargo run --example threads`: one `Arc`, cloned and dropped by several threads at once, its counts exact
//! at every step.

use refscope::sink::{Clock, Recorder};
use refscope::sync::{Arc, Barrier};
use std::thread;

fn main() {
    if !refscope::ENABLED {
        println!("Tracing is off: refscope is built without its feature `trace`.");
    }
    let recorder = Recorder::builder().budget(64 << 20).clock(Clock::Precise).build();
    refscope::install(recorder.clone()).expect("no other sink is installed");

    let shared = Arc::new("shared by all");
    let start = std::sync::Arc::new(Barrier::new(4));
    let threads: Vec<_> = (1..=4)
        .map(|number| {
            let mine = shared.clone();
            let start = start.clone();
            let work = move || {
                start.wait();
                for _ in 0..1000 {
                    let another = mine.clone();
                    assert_eq!(*another, "shared by all");
                }
            };
            thread::Builder::new().name(format!("thread {number}")).spawn(work).unwrap()
        })
        .collect();
    for thread in threads {
        thread.join().unwrap();
    }
    drop(shared);

    let recording = recorder.recording();
    recording.timelines().print();
    match recording.verify() {
        Ok(()) => println!(
            "replayed {} events: numbered without a gap, each with the count that it carries",
            recording.events().len()
        ),
        Err(mismatch) => println!("the replay fails: {mismatch}"),
    }
}
