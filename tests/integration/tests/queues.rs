//! Handles on their way through a queue: a channel's or a pool's block keeps the words of what was taken out. What is said of
//! such a handle is true, or says that it may be otherwise.
#![cfg(all(feature = "trace", target_os = "linux", target_env = "gnu", target_arch = "x86_64"))]

#[path = "../../common/dead_stack.rs"]
mod dead_stack;
#[path = "../../common/own_process.rs"]
mod own_process;

use dead_stack::clear_dead_stack;
use own_process::passed_in_its_own_process;
use refscope::analysis::{LeakReport, Part};
use refscope::event::Time;
use refscope::locate::Search;
use refscope::{Arc, Scope};
use std::sync::{Mutex, OnceLock, mpsc};
use tokio::sync::{RwLock, broadcast, oneshot, watch};

static BUS: OnceLock<broadcast::Sender<Arc<[u64; 3]>>> = OnceLock::new();
static TAKEN: Mutex<Vec<Arc<[u64; 3]>>> = Mutex::new(Vec::new());

/// The report of what is alive in a scope, by a search without doubts.
#[inline(never)]
fn report(scope: &Scope) -> LeakReport {
    for _ in 0..50 {
        clear_dead_stack();
        let report = LeakReport::new(scope.alive(), Time::coarse()).locate(&Search::new());
        if report.ownership().expect("the search works here").doubts.is_empty() {
            return report;
        }
        std::thread::sleep(std::time::Duration::from_millis(10));
    }
    panic!("something is always in doubt");
}

#[inline(never)]
fn sent(scope: &Scope, sender: &mpsc::Sender<Arc<[u64; 3]>>) {
    sender.send(scope.run(|| Arc::new([1, 2, 3]))).expect("it is received");
}

/// What holds the only object.
fn held(report: &LeakReport) -> (Part, String) {
    let parts: Vec<_> = report.leaks().iter().flat_map(|leak| leak.parts.keys().cloned()).collect();
    let [part] = &parts[..] else { panic!("one object: {report}") };
    let ownership = report.ownership().expect("it was searched");
    let object = report.leaks()[0].example().id;
    (part.clone(), ownership.path_to(object).expect("it is alive").to_string())
}

#[test]
fn a_message_of_stds_channel() {
    if passed_in_its_own_process() {
        return;
    }
    let scope = Scope::tracking();
    let (sender, receiver) = mpsc::channel();
    let receive = || receiver.recv().expect("it was sent");
    sent(&scope, &sender);
    let (part, path) = held(&report(&scope));
    assert!(matches!(part, Part::Stack(_)), "the receiver is a local: {path}");
    assert_eq!(path.matches("heap block").count(), 2, "the channel, and its block: {path}");

    TAKEN.lock().unwrap().push(receive());
    let (part, path) = held(&report(&scope));
    assert!(matches!(&part, Part::Static(name) if name.ends_with("TAKEN")), "{part:?}: {path}");
    TAKEN.lock().unwrap().clear();

    sent(&scope, &sender);
    let local = receive();
    let (part, path) = held(&report(&scope));
    assert!(matches!(part, Part::Stack(_)), "{path}");
    assert!(!path.contains("heap block"), "it was taken out of the channel: {path}");
    drop(local);

    sent(&scope, &sender);
    std::mem::forget(receive());
    let found = report(&scope);
    let (part, path) = held(&found);
    // A copy is left on the stack, perhaps; the channel holds it no more.
    assert!(!path.contains("heap block"), "{path}");
    assert!(matches!(part, Part::LikelyLeaked | Part::Stack(_)), "{found}");

    // It is only a guess that the words in a channel's block are old, and no proof.
    assert!(!found.to_string().contains("; 1 leaked"), "{found}");
}

type Event = Arc<[u64; 3]>;
type Channel<T> = Mutex<Option<(mpsc::Sender<T>, mpsc::Receiver<T>)>>;
static OF_THREE_WORDS: Channel<Vec<Event>> = Mutex::new(None);
static OF_FOUR_WORDS: Channel<(Vec<Event>, u64)> = Mutex::new(None);
static BELOW: Mutex<Option<Arc<Deep>>> = Mutex::new(None);

/// What is far from its static.
#[derive(Default)]
struct Deep {
    below: Option<std::boxed::Box<Deep>>,
    events: Mutex<Vec<Vec<Event>>>,
}

/// Sends messages that `make` makes of vectors, and says where their events are, as they wait and once `take` has taken some.
fn post<T: Send>(
    (channel, name): (&'static Channel<T>, &str),
    make: fn(Vec<Event>) -> T,
    take: fn(T) -> Vec<Event>,
) {
    let deep = (0..6).fold(Deep::default(), |deep, _| Deep {
        below: Some(std::boxed::Box::new(deep)),
        ..Deep::default()
    });
    *BELOW.lock().unwrap() = Some(Arc::new(deep));
    *channel.lock().unwrap() = Some(mpsc::channel());
    // Of one event at a time it is asked where it is.
    let send = |scope: &Scope| {
        let channel = channel.lock().unwrap();
        let message = || make(vec![scope.run(|| Arc::new([4; 3]))]);
        assert!(channel.as_ref().unwrap().0.send(message()).is_ok());
    };
    let receive = || {
        let below = BELOW.lock().unwrap();
        let mut last: &Deep = below.as_ref().unwrap();
        while let Some(below) = &last.below {
            last = below;
        }
        let message = channel.lock().unwrap().as_ref().unwrap().1.recv().unwrap();
        last.events.lock().unwrap().push(take(message));
    };
    let scopes: Vec<Scope> = (0..5).map(|_| Scope::tracking()).collect();
    scopes.iter().for_each(send);
    for _ in 0..3 {
        receive();
    }
    for (n, scope) in scopes.iter().enumerate() {
        let (_, path) = held(&report(scope));
        assert!(path.contains(if n < 3 { "BELOW" } else { name }), "{n}: {path}");
    }
    (*BELOW.lock().unwrap(), *channel.lock().unwrap()) = (None, None);
}

type Bounded = Mutex<Option<(mpsc::SyncSender<Event>, mpsc::Receiver<Event>)>>;
static BOUNDED: Bounded = Mutex::new(None);

/// What was taken out of a bounded channel is not in it, though its words are; what waits is.
#[test]
fn messages_of_a_bounded_channel() {
    if passed_in_its_own_process() {
        return;
    }
    *BOUNDED.lock().unwrap() = Some(mpsc::sync_channel(8));
    let send = |scope: &Scope| {
        let bounded = BOUNDED.lock().unwrap();
        bounded.as_ref().unwrap().0.send(scope.run(|| Arc::new([5; 3]))).unwrap();
    };
    let receive = || {
        let event = BOUNDED.lock().unwrap().as_ref().unwrap().1.recv().unwrap();
        TAKEN.lock().unwrap().push(event);
    };
    let scopes: Vec<Scope> = (0..11).map(|_| Scope::tracking()).collect();
    scopes[..7].iter().for_each(send);
    for _ in 0..6 {
        receive();
    }
    scopes[7..].iter().for_each(send);
    for (n, scope) in scopes.iter().enumerate() {
        let (_, path) = held(&report(scope));
        assert!(path.contains(if n < 6 { "TAKEN" } else { "BOUNDED" }), "{n}: {path}");
    }
    TAKEN.lock().unwrap().clear();
}

/// The buffer of a message that was taken out is not what the queue has, though its words are there yet.
#[test]
fn what_a_message_has_is_where_the_message_is() {
    if passed_in_its_own_process() {
        return;
    }
    post((&OF_THREE_WORDS, "OF_THREE_WORDS"), |events| events, |events| events);
    post((&OF_FOUR_WORDS, "OF_FOUR_WORDS"), |events| (events, 5), |(events, _)| events);
}

#[test]
fn a_job_of_rayons() {
    if passed_in_its_own_process() {
        return;
    }
    let scope = Scope::tracking();
    let pool = rayon::ThreadPoolBuilder::new().num_threads(1).build().expect("threads start");
    let (go, gate) = mpsc::channel::<()>();
    let (said, done) = mpsc::channel::<()>();
    pool.spawn(move || gate.recv().expect("it is opened"));
    let handle = scope.run(|| Arc::new([4, 5, 6]));
    pool.spawn(move || {
        TAKEN.lock().unwrap().push(handle);
        said.send(()).expect("it is waited for");
    });
    let pending = report(&scope);
    let (part, path) = held(&pending);
    assert!(!matches!(part, Part::Leaked | Part::LikelyLeaked | Part::Static(_)), "{pending}");
    assert!(path.contains("heap block, 40 B"), "the job: {path}");
    go.send(()).expect("the job waits");
    done.recv().expect("it ran");
    let (part, path) = held(&report(&scope));
    assert!(matches!(&part, Part::Static(name) if name.ends_with("TAKEN")), "{part:?}: {path}");
    TAKEN.lock().unwrap().clear();
}

/// A task that waits for ever, with something of its own.
async fn waits_with<T: Send>(kept: T) {
    std::future::pending::<()>().await;
    drop(kept);
}

#[test]
fn messages_of_tokios_channels() {
    if passed_in_its_own_process() {
        return;
    }
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).build().unwrap();
    let message = |scope: &Scope| scope.run(|| Arc::new([7, 8, 9]));
    let of_task = |name: &str, send: &dyn Fn(&Scope)| {
        let scope = Scope::tracking();
        send(&scope);
        let (part, path) = held(&report(&scope));
        assert!(
            matches!(&part, Part::Task(task) if task.contains("waits_with")),
            "{name}: {part:?}: {path}"
        );
        assert!(path.contains("heap block"), "{name}: the channel's: {path}");
    };
    of_task("mpsc", &|scope| {
        let (sender, receiver) = tokio::sync::mpsc::channel(4);
        sender.try_send(message(scope)).expect("there is room");
        runtime.spawn(waits_with((sender, receiver)));
    });
    of_task("mpsc, unbounded", &|scope| {
        let (sender, receiver) = tokio::sync::mpsc::unbounded_channel();
        sender.send(message(scope)).expect("it is received");
        runtime.spawn(waits_with(receiver));
    });
    of_task("watch", &|scope| drop(runtime.spawn(waits_with(watch::channel(message(scope))))));
    of_task("oneshot", &|scope| {
        let (sender, receiver) = oneshot::channel();
        sender.send(message(scope)).expect("it is received");
        runtime.spawn(waits_with(receiver));
    });
    of_task("a lock", &|scope| {
        let lock = std::sync::Arc::new(RwLock::new(message(scope)));
        runtime.spawn(waits_with(lock.try_read_owned().expect("nobody writes")));
    });

    let scope = Scope::tracking();
    let bus = BUS.get_or_init(|| broadcast::channel(4).0);
    let receiver = bus.subscribe();
    assert!(bus.send(message(&scope)).is_ok_and(|receivers| receivers == 1));
    let (part, path) = held(&report(&scope));
    assert!(matches!(&part, Part::Static(name) if name.ends_with("BUS")), "{part:?}: {path}");
    drop(receiver);
    assert_eq!(scope.alive().len(), 0, "nobody receives it any more");
}
