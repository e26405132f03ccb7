//! An object's label is the latest one, in whichever order the records of several threads lie, and whichever of them are gone.
#![cfg(feature = "trace")]

use refscope::sink::{Clock, Overflow, Recorder};
use refscope::{Arc, Scope};
use std::sync::mpsc::{Receiver, Sender, channel};

/// A thread that does what it is told to, one thing after the other, each to its end.
struct Worker {
    work: Sender<Box<dyn FnOnce() + Send>>,
    done: Receiver<()>,
}

impl Worker {
    fn new() -> Self {
        let (work, todo) = channel::<Box<dyn FnOnce() + Send>>();
        let (tell, done) = channel();
        std::thread::spawn(move || {
            todo.into_iter().for_each(|work| {
                work();
                tell.send(()).unwrap();
            });
        });
        Self { work, done }
    }

    fn does(&self, work: impl FnOnce() + Send + 'static) {
        self.work.send(Box::new(work)).unwrap();
        self.done.recv().unwrap();
    }
}

/// Two threads label one object, and then one of them gives its records up, and the other its own. Each time `label` is to
/// be the label that was given last.
fn labelled_by_two(scope: &Scope, noise: usize, label: impl Fn() -> Option<String>) {
    for first_is_new in [true, false] {
        let (first, second) = (Worker::new(), Worker::new());
        // Each has a segment, in this order.
        for worker in [&first, &second] {
            let scope = scope.clone();
            worker.does(move || scope.run(|| drop(Arc::new("begins"))));
        }
        let one = scope.run(|| Arc::new(7_u8));
        let (old, new) = if first_is_new { (&second, &first) } else { (&first, &second) };
        for (worker, text) in [(old, "old"), (new, "new")] {
            let one = one.clone();
            worker.does(move || refscope::label(&one, text));
        }
        assert_eq!(label().as_deref(), Some("new"), "first is new: {first_is_new}");
        for (worker, gone) in [(new, "the new one is gone"), (old, "the old one is gone, too")] {
            let scope = scope.clone();
            worker.does(move || {
                let other = scope.run(|| Arc::new("noise"));
                (0..noise).for_each(|_| drop(other.clone()));
            });
            assert_eq!(label().as_deref(), Some("new"), "{gone}, first is new: {first_is_new}");
        }
        drop(one);
    }
}

#[test]
fn of_a_recorder() {
    for overflow in [Overflow::DropNewest, Overflow::DropOldest] {
        let recorder = Recorder::builder();
        let recorder = recorder.budget(128 << 10).overflow(overflow).clock(Clock::None).build();
        let noise = match overflow {
            Overflow::DropOldest => 8_000,
            _ => 0,
        };
        labelled_by_two(&Scope::new(recorder.clone()), noise, || {
            let living = recorder.recording().live_objects();
            living.into_iter().find(|object| object.type_name == "u8")?.label
        });
        assert_eq!(recorder.lost() > 0, noise > 0);
    }
}

#[cfg(all(unix, feature = "json", not(miri)))]
#[test]
fn of_a_bounded_file() {
    use refscope::Recording;
    use refscope::sink::FlightRecorder;

    let name = format!("labels-{}.refscope", std::process::id());
    let file = std::path::Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    let flight = FlightRecorder::bounded(&file, 1).unwrap();
    labelled_by_two(&Scope::new(flight.clone()), 30_000, || {
        let (_, living) = Recording::open_live(&file).unwrap();
        let live = living.into_iter().find(|object| object.type_name == "u8")?.label;
        let recording = Recording::open(&file).unwrap();
        let mut objects = recording.objects().values().filter(|object| object.type_name == "u8");
        let all: Vec<_> = objects.by_ref().map(|object| object.label.clone()).collect();
        assert!(all.contains(&live), "{live:?}: {all:?}");
        live
    });
    assert!(Recording::open(&file).unwrap().timelines().iter().any(|timeline| !timeline.whole));
    std::fs::remove_file(file).unwrap();
}
