//! What holds a value and what leaked are told apart, by a search of the memory; and a check's conditions say who may hold.
#![cfg(all(
    feature = "trace",
    target_os = "linux",
    target_env = "gnu",
    any(target_arch = "x86_64", target_arch = "aarch64")
))]

#[path = "common/dead_stack.rs"]
mod dead_stack;
#[path = "common/own_process.rs"]
mod own_process;

use dead_stack::clear_dead_stack;
use own_process::passed_in_its_own_process;
use refscope::analysis::{LeakReport, Part};
use refscope::event::Time;
use refscope::leaks::Check;
use refscope::locate::{Owner, Search};
use refscope::{Arc, Box, Rc, Scope, rc};
use std::cell::RefCell;
use std::collections::{BTreeMap, HashMap, LinkedList, VecDeque};
use std::hint::black_box;
use std::sync::atomic::{AtomicBool, AtomicPtr, Ordering};
use std::sync::{LazyLock, Mutex, mpsc};
use std::thread;
use std::time::Duration;

static CACHE: Mutex<Vec<Arc<String>>> = Mutex::new(Vec::new());
static REGISTRY: LazyLock<Mutex<HashMap<u32, Arc<String>>>> = LazyLock::new(Mutex::default);
thread_local! {
    static POOL: RefCell<Vec<Rc<[u8; 64]>>> = const { RefCell::new(Vec::new()) };
}

/// The report of what `f` leaves alive, with what holds it.
#[inline(never)]
fn report(f: impl FnOnce()) -> LeakReport {
    report_with(|_| f())
}

/// As `report`; `f` gets the check's scope.
#[inline(never)]
fn report_with(f: impl FnOnce(Scope)) -> LeakReport {
    let check = Check::new().timeout(Duration::ZERO);
    in_scope(&check, || f(check.scope().clone()));
    clear_dead_stack();
    let report = check.verify().expect_err("something is alive");
    // A thread of the harness that ends or begins is one whose registers are not known.
    for _ in 0..50 {
        clear_dead_stack();
        let report = report.clone().locate(&Search::new());
        if report.ownership().expect("the search works here").doubts.is_empty() {
            return report;
        }
        thread::sleep(Duration::from_millis(10));
    }
    panic!("something is always in doubt");
}

#[inline(never)]
fn in_scope(check: &Check, f: impl FnOnce()) {
    check.scope().run(f);
}

/// How many objects each part has.
fn parts(report: &LeakReport) -> Vec<(&Part, u64)> {
    report.leaks().iter().flat_map(|leak| &leak.parts).map(|(part, n)| (part, *n)).collect()
}

fn accuses_nobody(report: &LeakReport) {
    let parts = parts(report);
    assert!(!parts.is_empty(), "{report}");
    assert!(
        parts.iter().all(|(part, _)| !matches!(part, Part::Leaked | Part::Unknown)),
        "{report}"
    );
    let text = report.to_string();
    for word in ["leak", "Weak", "forgot"] {
        assert!(!text.contains(word), "{word}: {text}");
    }
    assert!(!report.passes(), "a check fails for what is held, too");
}

struct Node {
    other: RefCell<Option<Rc<Node>>>,
}

#[test]
fn what_leaked_is_said_to() {
    if passed_in_its_own_process() {
        return;
    }
    let forgotten = report(|| std::mem::forget(Rc::new("forgotten")));
    assert_eq!(parts(&forgotten), [(&Part::Leaked, 1)], "{forgotten}");
    assert!(forgotten.verdict().ends_with("; 1 leaked"), "{forgotten}");

    // On a machine with other work a thread may not stop in time, and then nothing is proven.
    let mut cycles = (0..3).map(|_| report(cycle));
    let cycle = cycles.find(|cycle| cycle.verdict().ends_with("; 2 leaked")).expect("it is proven");
    assert!(cycle.leaks()[0].in_cycle && cycle.to_string().contains("`Weak`"), "{cycle}");

    let raw = report(|| {
        let _: &'static mut u32 = Box::leak(Box::new(1));
    });
    assert_eq!(parts(&raw), [(&Part::Raw, 1)], "{raw}");
}

#[test]
fn clean_look_alikes_are_held_and_not_accused() {
    if passed_in_its_own_process() {
        return;
    }
    let cache = report(|| CACHE.lock().unwrap().push(Arc::new("cached".into())));
    accuses_nobody(&cache);
    assert!(matches!(parts(&cache)[..], [(Part::Static(_), 1)]), "{cache}");
    assert!(cache.verdict().ends_with("; 1 held by statics and thread-locals"), "{cache}");

    let registry = report(|| {
        REGISTRY.lock().unwrap().extend((0..20).map(|i| (i, Arc::new(i.to_string()))));
    });
    accuses_nobody(&registry);
    assert!(matches!(parts(&registry)[..], [(Part::Static(_), 20)]), "{registry}");

    let pool = report(|| POOL.with_borrow_mut(|pool| pool.push(Rc::new([0; 64]))));
    accuses_nobody(&pool);
    assert!(matches!(parts(&pool)[..], [(Part::ThreadLocal(_), 1)]), "{pool}");

    let mut locals = Vec::new();
    let local = report(|| locals.push(Rc::new("the caller's")));
    accuses_nobody(&local);
    assert!(matches!(parts(&local)[..], [(Part::Stack(_), 1)]), "{local}");
    assert!(local.leaks()[0].help.to_string().contains("locals_may_hold()"), "{local}");
    drop(locals);

    // A worker that runs on; it has no name, and so that of its maker.
    let (end, wait) = mpsc::channel::<()>();
    let (said, ready) = mpsc::channel();
    let mut worker = None;
    let thread = report_with(|scope| {
        worker = Some(thread::spawn(move || {
            let job = scope.run(|| Arc::new("a worker's"));
            said.send(()).unwrap();
            let _ = wait.recv();
            drop(job);
        }));
        ready.recv().unwrap();
    });
    accuses_nobody(&thread);
    assert!(matches!(parts(&thread)[..], [(Part::Thread(_), 1)]), "{thread}");
    assert!(thread.verdict().ends_with("; 1 held by threads"), "{thread}");
    drop(end);
    worker.unwrap().join().unwrap();
}

/// What `fill` puts into a local, for each number, is held by the word on the stack that leads to it.
#[track_caller]
fn held_by_a_local<C: Default>(mut fill: impl FnMut(&mut C, u32, Rc<u32>)) {
    for count in [5, 300] {
        let mut local = C::default();
        let report = report(|| (0..count).for_each(|i| fill(&mut local, i, Rc::new(i))));
        accuses_nobody(&report);
        assert!(
            matches!(parts(&report)[..], [(Part::Stack(_), n)] if n == u64::from(count)),
            "{report}"
        );
        drop(black_box(local));
    }
}

/// Nodes that have their parent's or neighbour's address point to each other: nothing but the local's word leads there.
#[test]
fn a_collection_of_a_local_is_held_by_it() {
    if passed_in_its_own_process() {
        return;
    }
    held_by_a_local(|all: &mut Vec<_>, _, rc| all.push(rc));
    held_by_a_local(|all: &mut VecDeque<_>, _, rc| all.push_front(rc));
    held_by_a_local(|all: &mut LinkedList<_>, _, rc| all.push_back(rc));
    held_by_a_local(|all: &mut HashMap<_, _>, i, rc| drop(all.insert(i, rc)));
    held_by_a_local(|all: &mut BTreeMap<_, _>, i, rc| drop(all.insert(i, rc)));
    held_by_a_local(|all: &mut BTreeMap<_, LinkedList<_>>, i, rc| {
        all.entry(i % 40).or_default().push_back(rc);
    });
    held_by_a_local(|all: &mut std::boxed::Box<LinkedList<Vec<_>>>, _, rc| {
        all.push_front(vec![rc]);
    });
}

/// An `Rc` of std's that a local has counts one owner more than what it leads to has pointers to it.
#[test]
fn what_a_local_counts_is_held_by_it_though_it_is_led_back_to() {
    if passed_in_its_own_process() {
        return;
    }
    #[derive(Default)]
    struct Registry {
        nodes: RefCell<Vec<Rc<Registered>>>,
    }
    struct Registered {
        _registry: std::rc::Rc<Registry>,
    }
    let mut local = std::boxed::Box::new(std::rc::Rc::<Registry>::default());
    let report = report(|| {
        let registry = &mut *local;
        for _ in 0..3 {
            let node = Rc::new(Registered { _registry: registry.clone() });
            registry.nodes.borrow_mut().push(node);
        }
    });
    accuses_nobody(&report);
    assert!(matches!(parts(&report)[..], [(Part::Stack(_), 3)]), "{report}");
    drop(black_box(local));
}

/// A number before a pointer, and 0 behind it, are no `Vec` that is empty: what a static leads to so is the static's.
#[test]
fn a_count_before_a_pointer_is_no_capacity() {
    if passed_in_its_own_process() {
        return;
    }
    #[allow(dead_code)]
    struct State {
        inner: std::boxed::Box<Inner>,
        hits: u64,
    }
    #[allow(dead_code)]
    struct Inner {
        retries: u64,
        nodes: std::boxed::Box<[Arc<Linked>; 2]>,
        errors: u64,
    }
    #[derive(Default)]
    struct Linked {
        next: Mutex<Option<Arc<Linked>>>,
    }
    static STATE: Mutex<Option<std::sync::Arc<State>>> = Mutex::new(None);
    let report = report(|| {
        let nodes = [(); 2].map(|()| Arc::new(Linked::default()));
        *nodes[0].next.lock().unwrap() = Some(nodes[1].clone());
        *nodes[1].next.lock().unwrap() = Some(nodes[0].clone());
        let inner = Inner { retries: 3, nodes: std::boxed::Box::new(nodes), errors: 0 };
        let state = State { inner: std::boxed::Box::new(inner), hits: 0 };
        *STATE.lock().unwrap() = Some(std::sync::Arc::new(state));
    });
    accuses_nobody(&report);
    let is_static = |(part, _): &(&Part, u64)| matches!(part, Part::Static(_));
    assert!(parts(&report).iter().all(is_static), "{report}");
}

/// As many threads as have no room for their registers in a few pages: what each has is found, from a copy and without one.
#[test]
fn what_three_hundred_threads_hold_is_found() {
    if passed_in_its_own_process() {
        return;
    }
    let scope = Scope::tracking();
    let (said, ready) = mpsc::channel();
    let threads = (0..300).map(|number| {
        let (scope, said) = (scope.clone(), said.clone());
        let (end, wait) = mpsc::channel::<()>();
        let thread = thread::spawn(move || {
            let held = scope.run(|| Rc::new(number));
            said.send(()).unwrap();
            let _ = wait.recv();
            drop(black_box(held));
        });
        (thread, end)
    });
    let threads: Vec<_> = threads.collect();
    threads.iter().for_each(|_| ready.recv().unwrap());
    for fork in [true, false] {
        let found = Search::new().fork(fork).run().unwrap();
        let lost = found.handles.iter().filter(|handle| handle.owner == Owner::NotFound).count();
        assert_eq!((found.handles.len(), lost), (300, 0), "from a copy: {fork}");
    }
    for (thread, end) in threads {
        drop(end);
        thread.join().unwrap();
    }
}

struct Holder(#[allow(dead_code)] Rc<u16>);

/// What two objects hold that a third one keeps hangs on that one, as those do: one line, one finding.
#[test]
fn what_hangs_on_several_hangs_on_the_one_above_them() {
    if passed_in_its_own_process() {
        return;
    }
    let report = report(|| {
        let shared = Rc::new(7_u16);
        let all = [Rc::new(Holder(shared.clone())), Rc::new(Holder(shared))];
        std::mem::forget(Rc::new(all));
    });
    let [leak] = report.leaks() else { panic!("one cause: {report}") };
    assert_eq!((leak.objects.len(), leak.retained.len()), (1, 3), "{report}");
    assert!(report.to_string().contains("keeps all 4 objects alive"), "{report}");
}

/// In a frame of its own, which is gone: no slot of the test's is the block's address.
#[inline(never)]
fn forget_in_a_block() {
    std::mem::forget(std::boxed::Box::new([Rc::new(3_u32), Rc::new(4)]));
}

#[test]
fn parts_stand_apart_in_one_report() {
    if passed_in_its_own_process() {
        return;
    }
    let mut local = None;
    let report = report(|| {
        std::mem::forget(Rc::new(1_u8));
        forget_in_a_block();
        CACHE.lock().unwrap().push(Arc::new("cached".into()));
        local = Some(Rc::new(2_u16));
    });
    let verdict = report.verdict();
    let parts = "; 1 leaked; 2 likely leaked; 1 held by statics and thread-locals; 1 held by a word on a stack";
    assert!(verdict.ends_with(parts), "{verdict}");
    let text = report.to_string();
    let at = |what: &str| text.find(what).unwrap_or_else(|| panic!("{what}: {text}"));
    let leaked = at("\nLeaked: nothing reaches it");
    let likely = at("\nLikely leaked: nothing was found to hold it; not proven");
    let held = at("\nStill held by statics and thread-locals");
    let stack = at("\nStill held by a word on a stack");
    assert!(leaked < at("Rc<u8>") && at("Rc<u8>") < likely, "{text}");
    assert!(likely < at("Rc<u32>") && at("Rc<u32>") < held && held < at("Arc<String>"), "{text}");
    assert!(at("Arc<String>") < stack && stack < at("Rc<u16>"), "{text}");
    drop(local);
}

#[test]
fn without_a_search_the_words_do_not_accuse() {
    let check = Check::new().timeout(Duration::ZERO);
    check.scope().run(|| std::mem::forget(Rc::new("forgotten")));
    let report = check.report();
    assert!(!report.to_string().contains("leak"), "{report}");
}

#[test]
fn locals_may_hold() {
    if passed_in_its_own_process() {
        return;
    }
    // What `run` returns is in its caller's hands.
    let kept = Check::new().locals_may_hold().run(|| Rc::new("for the caller"));
    // What is forgotten is not a local's, though another handle of it is.
    let check = Check::new().locals_may_hold().timeout(Duration::ZERO);
    let both = check.scope().run(forget_a_clone);
    clear_dead_stack();
    let report = check.verify().expect_err("one of its handles is lost");
    assert_eq!(report.objects(), 1, "{report}");
    // A static is no local.
    let check = Check::new().locals_may_hold().timeout(Duration::ZERO);
    in_scope(&check, || CACHE.lock().unwrap().push(Arc::new("cached".into())));
    clear_dead_stack();
    check.verify().expect_err("a static holds it");
    drop((kept, both));
}

#[inline(never)]
fn forget_a_clone() -> Rc<&'static str> {
    let kept = Rc::new("kept");
    std::mem::forget(kept.clone());
    kept
}

/// What the checked code left on the stack is no local: the frames of the check lie over it.
#[test]
fn dead_frames_hold_nothing() {
    if passed_in_its_own_process() {
        return;
    }
    /// Leaves copies of a handle at many depths, and forgets it.
    #[inline(never)]
    fn leave_copies(depth: usize, rc: Rc<[u64; 3]>) {
        // Each frame has one, until the next moves it on.
        let kept = std::hint::black_box(rc);
        if depth == 0 {
            return std::mem::forget(kept);
        }
        leave_copies(depth - 1, kept);
        std::hint::black_box(());
    }
    #[inline(never)]
    fn work() {
        leave_copies(40, Rc::new([1, 2, 3]));
    }
    let check = |run: &dyn Fn(Check)| {
        let check = Check::new().locals_may_hold().timeout(Duration::ZERO);
        let run = std::panic::AssertUnwindSafe(|| run(check));
        let panic = std::panic::catch_unwind(run).expect_err("it is forgotten");
        panic.downcast::<String>().expect("a text")
    };
    let by_run = check(&|check| check.run(work));
    let by_guard = check(&|check| {
        let _check = check.enter();
        work();
    });
    let by_verify = check(&|check| {
        check.scope().run(work);
        let report = check.verify().expect_err("it is forgotten");
        panic!("{}", report.locate(&Search::new()));
    });
    for text in [by_run, by_guard, by_verify] {
        assert!(text.contains("1 leaked"), "{text}");
    }
}

/// C has it as `user_data`, in a static; a callback makes a handle of it for a moment, and does not drop that.
#[test]
fn what_a_static_points_to_is_likely_leaked_at_most() {
    static USER_DATA: AtomicPtr<[u64; 3]> = AtomicPtr::new(std::ptr::null_mut());
    if passed_in_its_own_process() {
        return;
    }
    #[inline(never)]
    fn call_back() {
        // SAFETY: TEST: it is what `into_raw` gave, and is not dropped.
        let user_data = unsafe { Arc::from_raw(USER_DATA.load(Ordering::Relaxed)) };
        let user_data = std::mem::ManuallyDrop::new(user_data);
        assert_eq!(user_data[1], 2);
    }
    let is_in_hand = report(|| {
        USER_DATA.store(Arc::into_raw(Arc::new([1, 2, 3])).cast_mut(), Ordering::Relaxed);
        call_back();
    });
    assert!(matches!(parts(&is_in_hand)[..], [(Part::LikelyLeaked, 1)]), "{is_in_hand}");
    let words = is_in_hand.to_string().split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(words.contains("has a plain pointer to it"), "{words}");
    assert!(!cfg!(feature = "stacks") || words.contains("USER_DATA"), "{words}");
    // It is away as it was, and the static has it.
    let is_raw = report(|| {
        USER_DATA.store(Arc::into_raw(Arc::new([1, 2, 3])).cast_mut(), Ordering::Relaxed);
    });
    assert!(matches!(parts(&is_raw)[..], [(Part::Raw, 1)]), "{is_raw}");
    let words = is_raw.to_string().split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(words.contains("has a plain pointer to it"), "{words}");
    // Nothing has it.
    let is_lost = report(|| {
        USER_DATA.store(std::ptr::null_mut(), Ordering::Relaxed);
        std::mem::forget(Arc::new([1, 2, 3]));
    });
    assert!(matches!(parts(&is_lost)[..], [(Part::Leaked, 1)]), "{is_lost}");
}

#[cfg(feature = "stacks")]
#[test]
fn statics_may_hold_by_their_names() {
    if passed_in_its_own_process() {
        return;
    }
    let keep = |name: &str| {
        let check = Check::new().may_be_held_by(name).timeout(Duration::from_millis(200));
        let keep = || CACHE.lock().unwrap().push(Arc::new("cached".into()));
        in_scope(&check, keep);
        clear_dead_stack();
        check.verify()
    };
    keep("CACHE").unwrap_or_else(|report| panic!("{report}"));
    let report = keep("REGISTRY").expect_err("another static holds it");
    assert!(report.to_string().contains("held by the static held::CACHE"), "{report}");
    assert!(
        report.leaks()[0].help.to_string().contains("`Check::may_be_held_by(\"held::CACHE\")`"),
        "{report}"
    );
    keep("held::CACHE").unwrap_or_else(|report| panic!("{report}"));
    for part in ["CACH", "ACHE", "C", "eld::CACHE", "held::CACHE::"] {
        keep(part).expect_err("no whole words of it");
    }
    let check = Check::new().may_be_held_by("POOL");
    in_scope(&check, || POOL.with_borrow_mut(|pool| pool.push(Rc::new([0; 64]))));
    clear_dead_stack();
    check.verify().unwrap_or_else(|report| panic!("{report}"));
    // A pool's object of which a clone is forgotten is one that leaks.
    let check = Check::new().may_be_held_by("CACHE").timeout(Duration::ZERO);
    in_scope(&check, || {
        let one = Arc::new("cached".to_owned());
        std::mem::forget(one.clone());
        CACHE.lock().unwrap().push(one);
    });
    clear_dead_stack();
    check.verify().expect_err("a handle of it is forgotten");
}

#[cfg(feature = "stacks")]
mod moved {
    use super::*;
    use std::collections::{HashMap, VecDeque};
    use std::sync::LazyLock;

    type Job = Arc<[u64; 3]>;
    static QUEUE: Mutex<VecDeque<Job>> = Mutex::new(VecDeque::new());
    static BY_ID: LazyLock<Mutex<HashMap<u32, Job>>> = LazyLock::new(Mutex::default);
    static IN_ORDER: Mutex<BTreeMap<u32, Job>> = Mutex::new(BTreeMap::new());
    static RUNNING: Mutex<Vec<Job>> = Mutex::new(Vec::new());

    #[inline(never)]
    fn through_the_queue() -> Job {
        QUEUE.lock().unwrap().push_back(Arc::new([1; 3]));
        QUEUE.lock().unwrap().pop_front().unwrap()
    }

    #[inline(never)]
    fn through_the_map() -> Job {
        BY_ID.lock().unwrap().insert(1, Arc::new([2; 3]));
        BY_ID.lock().unwrap().remove(&1).unwrap()
    }

    #[inline(never)]
    fn through_the_tree() -> Job {
        IN_ORDER.lock().unwrap().insert(1, Arc::new([2; 3]));
        IN_ORDER.lock().unwrap().pop_last().unwrap().1
    }

    /// The same while there are many others, with which no check begins.
    #[inline(never)]
    fn through_the_tall_tree() -> Job {
        let mut tree = IN_ORDER.lock().unwrap();
        tree.insert(u32::MAX, Arc::new([2; 3]));
        tree.pop_last().unwrap().1
    }

    /// Whether a check passes that allows what the static holds.
    fn passes(name: &str, body: impl FnOnce()) -> Result<(), String> {
        let check = Check::new().may_be_held_by(name).timeout(Duration::ZERO);
        in_scope(&check, body);
        clear_dead_stack();
        check.verify().map_err(|report| report.to_string())
    }

    #[derive(Default)]
    struct Shift {
        now: Option<Job>,
        next: Option<Job>,
    }

    static SHIFT: Mutex<Shift> = Mutex::new(Shift { now: None, next: None });
    static SHRUNK: Mutex<Vec<Job>> = Mutex::new(Vec::new());
    thread_local! {
        static LOCAL: RefCell<Vec<Job>> = const { RefCell::new(Vec::new()) };
        static LAZY: RefCell<Vec<Job>> = RefCell::new(Vec::with_capacity(4));
        static DEQUE: RefCell<VecDeque<Job>> = RefCell::new(VecDeque::with_capacity(4));
    }

    /// A variant without a handle leaves half of it where it was, and a field beside may have a pointer to the same object.
    #[test]
    fn what_was_taken_out_of_an_option_is_not_held_by_it() {
        if passed_in_its_own_process() {
            return;
        }
        let take = || {
            let job: Job = Arc::new([1; 3]);
            let mut shift = SHIFT.lock().unwrap();
            *shift = Shift { now: Some(job.clone()), next: Some(job) };
            (shift.now.take().unwrap(), shift.next.take().unwrap())
        };
        let forget = || std::mem::forget(take());
        let report = passes("SHIFT", forget).expect_err("nothing has them");
        assert!(!report.contains("held by the static"), "{report}");
        let forget_one = || {
            let (now, next) = take();
            SHIFT.lock().unwrap().next = Some(next);
            std::mem::forget(now);
        };
        passes("SHIFT", forget_one).expect_err("nothing has one of them");
        let put_back = || {
            let (now, next) = take();
            *SHIFT.lock().unwrap() = Shift { now: None, next: Some(now) };
            RUNNING.lock().unwrap().push(next);
        };
        passes("SHIFT", put_back).expect_err("another has one");
        let keep = || {
            let (_, next) = take();
            SHIFT.lock().unwrap().now = Some(next);
        };
        passes("SHIFT", keep).unwrap_or_else(|report| panic!("{report}"));
        let keep = || drop(SHIFT.lock().unwrap().next.replace(Arc::new([2; 3])));
        passes("SHIFT", keep).unwrap_or_else(|report| panic!("{report}"));
    }

    #[test]
    fn what_was_popped_from_a_thread_local_is_not_held_by_it() {
        if passed_in_its_own_process() {
            return;
        }
        for (local, name) in [(&LOCAL, "LOCAL"), (&LAZY, "LAZY")] {
            let forget = || {
                local.with_borrow_mut(|jobs| jobs.push(Arc::new([1; 3])));
                std::mem::forget(local.with_borrow_mut(Vec::pop));
            };
            passes(name, forget).expect_err("nothing has it");
            let keep = || {
                local.with_borrow_mut(|jobs| jobs.extend([Arc::new([1; 3]), Arc::new([2; 3])]));
                drop(local.with_borrow_mut(Vec::pop));
            };
            passes(name, keep).unwrap_or_else(|report| panic!("{report}"));
        }
        let rotate = || {
            DEQUE.with_borrow_mut(|jobs| {
                jobs.extend((0..4).map(|n| Arc::new([n; 3])));
                jobs.rotate_left(3);
                jobs.drain(..2);
            });
        };
        passes("DEQUE", rotate).unwrap_or_else(|report| panic!("{report}"));
        let forget = || std::mem::forget(DEQUE.with_borrow_mut(VecDeque::pop_front));
        passes("DEQUE", || {
            DEQUE.with_borrow_mut(|jobs| jobs.push_front(Arc::new([9; 3])));
            forget();
        })
        .expect_err("nothing has it");
    }

    #[test]
    fn what_a_buffer_had_before_it_shrank_is_not_held_by_it() {
        if passed_in_its_own_process() {
            return;
        }
        let run = || {
            let mut jobs = SHRUNK.lock().unwrap();
            jobs.reserve_exact(4);
            jobs.extend((0..4).map(|n| Arc::new([n; 3])));
            let last = jobs.pop().unwrap();
            jobs.shrink_to_fit();
            std::mem::forget(last);
        };
        passes("SHRUNK", run).expect_err("nothing has it");
    }

    /// What was popped or removed leaves its words behind: the collection that had it does not hold it.
    #[test]
    fn what_left_a_collection_is_not_held_by_it() {
        if passed_in_its_own_process() {
            return;
        }
        for (through, from) in [
            (through_the_queue as fn() -> Job, "QUEUE"),
            (through_the_map, "BY_ID"),
            (through_the_tree, "IN_ORDER"),
        ] {
            let run = move || RUNNING.lock().unwrap().push(through());
            passes("RUNNING", run).unwrap_or_else(|report| panic!("{from}: {report}"));
            let report = passes(from, run).expect_err("another has it");
            assert!(report.contains("held by the static held::moved::RUNNING"), "{report}");
            if from == "IN_ORDER" {
                // One node looks like many things, where no type says what it is.
                continue;
            }
            let forget = move || std::mem::forget(through());
            let report = passes(from, forget).expect_err("nothing has it");
            assert!(!report.contains("held by the static"), "{from}: {report}");
        }
        let all =
            || IN_ORDER.lock().unwrap().extend((2..500).map(|n| (n, Arc::new([n.into(); 3]))));
        passes("IN_ORDER", all).unwrap_or_else(|report| panic!("{report}"));
        for _ in 0..12 {
            let run = || RUNNING.lock().unwrap().push(through_the_tall_tree());
            passes("RUNNING", run).unwrap_or_else(|report| panic!("{report}"));
            let forget = || std::mem::forget(through_the_tall_tree());
            let report = passes("IN_ORDER", forget).expect_err("nothing has it");
            assert!(!report.contains("held by the static"), "{report}");
            // Of a last leaf of another length.
            drop(IN_ORDER.lock().unwrap().pop_last());
        }
        let queue = || QUEUE.lock().unwrap().push_back(Arc::new([3; 3]));
        passes("QUEUE", queue).unwrap_or_else(|report| panic!("{report}"));
        let map = || drop(BY_ID.lock().unwrap().insert(3, Arc::new([3; 3])));
        passes("BY_ID", map).unwrap_or_else(|report| panic!("{report}"));
    }
}

static WAKER: Mutex<Option<std::task::Waker>> = Mutex::new(None);

struct Task;

impl refscope::task::Wake for Task {
    #[cfg(not(refscope_coerce))]
    fn wake(this: Arc<Self>) {
        drop(this);
    }

    #[cfg(refscope_coerce)]
    fn wake(self: Arc<Self>) {
        drop(self);
    }
}

/// It was a handle while it woke.
#[test]
fn a_waker_that_woke_is_a_raw_pointer_as_before() {
    if passed_in_its_own_process() {
        return;
    }
    let report = report(|| {
        let waker = std::task::Waker::from(Arc::new(Task));
        waker.wake_by_ref();
        let clone = waker.clone();
        clone.wake();
        *WAKER.lock().unwrap() = Some(waker);
    });
    assert!(matches!(parts(&report)[..], [(Part::Raw, 1)]), "{report}");
    let text = report.to_string();
    assert!(
        !text.contains("task.rs") && !text.contains("function.rs"),
        "no line of refscope's: {text}"
    );
}

/// However many types they are of.
#[test]
fn what_nothing_holds_is_shown_once() {
    if passed_in_its_own_process() {
        return;
    }
    let check = Check::new().timeout(Duration::ZERO);
    in_scope(&check, || {
        std::mem::forget(Rc::new([1_u8; 1]));
        std::mem::forget(Rc::new([2_u8; 2]));
        std::mem::forget(Rc::new([3_u8; 3]));
        std::mem::forget(Rc::new([4_u8; 4]));
        std::mem::forget(Rc::new([5_u8; 5]));
    });
    clear_dead_stack();
    let report = check.report().locate(&Search::new());
    let text = report.to_string();
    assert!(!text.contains("held in other ways"), "{text}");
}

#[test]
fn threads_may_hold() {
    if passed_in_its_own_process() {
        return;
    }
    let (end, wait) = mpsc::channel::<()>();
    let (said, ready) = mpsc::channel();
    let check = Check::new().may_be_held_by("late").timeout(Duration::from_millis(300));
    let worker = check.scope().run(|| {
        let scope = check.scope().clone();
        let worker = thread::Builder::new().name("a late worker".to_owned());
        let worker = worker.spawn(move || {
            let job = scope.run(|| Arc::new("a worker's"));
            said.send(()).unwrap();
            let _ = wait.recv();
            drop(job);
        });
        ready.recv().unwrap();
        worker.unwrap()
    });
    check.verify().unwrap_or_else(|report| panic!("{report}"));
    let other = Check::new().may_be_held_by("early").timeout(Duration::ZERO);
    let kept = other.scope().run(|| Arc::new("a local's"));
    other.verify().expect_err("another holds it");
    drop((end, kept));
    worker.join().unwrap();
}

#[test]
fn a_report_is_no_wider_than_its_terminal() {
    if passed_in_its_own_process() {
        return;
    }
    let report = report(|| {
        let kept = Arc::new("cached in a static, under a name that is long".to_owned());
        CACHE.lock().unwrap().extend((0..3).map(|_| kept.clone()));
        let mut cut = Vec::new();
        cut.resize_with(3, || Rc::new(1_u8));
        std::mem::forget(cut);
    });
    for columns in [60, 80, 140] {
        for color in [false, true] {
            let text =
                refscope::render::Terminal::plain(columns).color(color).render_report(&report);
            for line in text.lines() {
                let shown = line.split('\x1b').enumerate().map(|(n, part)| match n {
                    0 => part.chars().count(),
                    _ => part.split_once('m').map_or(0, |(_, rest)| rest.chars().count()),
                });
                assert!(shown.sum::<usize>() <= columns, "{columns}: {line}\n{text}");
            }
        }
    }
}

fn cycle() {
    let first = Rc::new(Node { other: RefCell::new(None) });
    let second = Rc::new(Node { other: RefCell::new(Some(first.clone())) });
    *first.other.borrow_mut() = Some(second);
}

/// What has grown is alive still when it is reported, and the report says where it is.
#[test]
fn a_repeated_check_searches_as_well() {
    if passed_in_its_own_process() {
        return;
    }
    let grow = || refscope::leaks::Repeat::new(2).timeout(Duration::ZERO).run(cycle);
    let failed = |searches: bool| {
        refscope::leaks::set_search(searches);
        let panic = std::panic::catch_unwind(grow).expect_err("it grows");
        *panic.downcast::<String>().expect("a text")
    };
    let searched = failed(true);
    assert!(searched.starts_with("leaked in each of 2 iterations\nrefscope: "), "{searched}");
    assert!(searched.contains("= stored:  cycle ("), "{searched}");
    assert!(searched.contains("these objects hold each other"), "{searched}");
    let plain = failed(false);
    assert!(!plain.contains("stored:") && !plain.contains("hold each other"), "{plain}");
}

/// A report says no more than a cycle's grade.
#[test]
fn what_is_not_proven_is_not_said_to_be_leaked() {
    if passed_in_its_own_process() {
        return;
    }
    let check = Check::new().timeout(Duration::ZERO);
    in_scope(&check, cycle);
    clear_dead_stack();
    let report = check.verify().expect_err("something is alive");
    // The harness's threads run on: their registers are not known.
    let likely = report.locate(&Search::new().stop_threads(false));
    let text = likely.to_string();
    assert!(text.contains("cycle (LIKELY)"), "{text}");
    assert_eq!(parts(&likely), [(&Part::LikelyLeaked, 2)], "{text}");
    assert!(likely.verdict().ends_with("; 2 likely leaked"), "{text}");
    assert!(text.contains("keeps both objects alive, likely leaked"), "{text}");
    assert!(!text.contains("; 2 leaked") && text.contains("`Weak`"), "{text}");
}

/// The program may have a block's address in a form of its own.
#[test]
fn what_an_encoded_pointer_holds_is_not_said_to_be_leaked() {
    if passed_in_its_own_process() {
        return;
    }
    /// In frames of its own, which are gone: no slot of the test's is the address.
    #[inline(never)]
    fn encoded() -> usize {
        let block = std::boxed::Box::new([Rc::new(1_u8), Rc::new(2)]);
        std::boxed::Box::into_raw(block).expose_provenance() ^ usize::MAX
    }
    let mut address = 0;
    let report = report(|| {
        address = encoded();
        clear_dead_stack();
    });
    assert!(report.verdict().ends_with("; 2 likely leaked"), "{report}");
    let block = std::ptr::with_exposed_provenance_mut::<[Rc<u8>; 2]>(address ^ usize::MAX);
    // SAFETY: it came from `into_raw`.
    drop(unsafe { std::boxed::Box::from_raw(block) });
}

/// Other threads run on while the copy is read: a handle that is made then is not in the copy, and the one that it was made
/// from is in the ledger no more.
#[test]
fn what_is_made_after_the_copy_is_not_said_to_be_leaked() {
    static SLOTS: Mutex<Vec<Arc<u64>>> = Mutex::new(Vec::new());
    if passed_in_its_own_process() {
        return;
    }
    let scope = Scope::tracking();
    SLOTS.lock().unwrap().extend((0..64).map(|n| scope.run(|| Arc::new(n))));
    let end = std::sync::Arc::new(AtomicBool::new(false));
    let busy = thread::spawn({
        let (end, scope) = (end.clone(), scope.clone());
        move || {
            for n in 0_u64.. {
                if end.load(Ordering::Relaxed) {
                    break;
                }
                let mut slots = SLOTS.lock().unwrap();
                for (at, slot) in slots.iter_mut().enumerate() {
                    // The last handle of the slot's object, or a new object's first.
                    *slot = if (n as usize + at).is_multiple_of(7) {
                        scope.run(|| Arc::new(n))
                    } else {
                        slot.clone()
                    };
                }
            }
        }
    });
    let mut sure = 0;
    for _ in 0..100 {
        // None of them may be alive for as long as it takes to ask.
        let alive = scope.alive();
        if alive.is_empty() {
            continue;
        }
        let report = LeakReport::new(alive, Time::coarse()).locate(&Search::new());
        let Some(ownership) = report.ownership() else { panic!("not searched: {report}") };
        let untrue = |part: &Part| matches!(part, Part::Leaked);
        assert!(parts(&report).iter().all(|(part, _)| !untrue(part)), "{report}");
        sure += u32::from(ownership.doubts.is_empty());
        if sure >= 20 {
            break;
        }
    }
    end.store(true, Ordering::Relaxed);
    busy.join().unwrap();
    SLOTS.lock().unwrap().clear();
    assert!(sure > 0, "something was always in doubt");
}

/// A mapping of a terabyte, of which nothing is there, is no more than its time.
#[test]
fn the_budget_bounds_the_search_whatever_is_mapped() {
    if passed_in_its_own_process() {
        return;
    }
    let _ = refscope::track();
    let kept = Rc::new("kept");
    // More than any instant can be away is no fault.
    let found = Search::new().budget(Duration::MAX).run().expect("the search works here");
    assert!(found.path(refscope::holders(&kept).object().expect("it is traced").id()).is_some());
    let (protection, flags) =
        (libc::PROT_READ | libc::PROT_WRITE, libc::MAP_PRIVATE | libc::MAP_ANONYMOUS);
    // SAFETY: TEST: a new mapping.
    let map = unsafe {
        libc::mmap(std::ptr::null_mut(), 1 << 40, protection, flags | libc::MAP_NORESERVE, -1, 0)
    };
    if map == libc::MAP_FAILED {
        eprintln!("skipped: the system maps no terabyte");
        return;
    }
    let begin = std::time::Instant::now();
    let found = Search::new().budget(Duration::from_millis(300)).run();
    let took = begin.elapsed();
    let doubts = found.expect("the search works here").doubts;
    assert!(doubts.contains(&refscope::locate::Doubt::Cut), "{doubts:?}");
    assert!(took < Duration::from_secs(20), "it took {took:?}");
    assert_eq!(doubts.iter().filter(|doubt| **doubt == refscope::locate::Doubt::Cut).count(), 1);
    let is_unread = |doubt: &&_| matches!(doubt, refscope::locate::Doubt::Unread { .. });
    assert_eq!(doubts.iter().find(is_unread), None, "what there was no time for can be read");
}

/// The report of a long cycle costs what its objects do, each once. (For each object to go round took minutes.)
#[test]
fn a_long_ring_is_reported_like_a_short_one() {
    if passed_in_its_own_process() {
        return;
    }
    let begin = std::time::Instant::now();
    let ring = report(|| {
        let all: Vec<_> =
            (0..20_000).map(|_| Rc::new(Node { other: RefCell::new(None) })).collect();
        for (node, next) in all.iter().zip(all.iter().cycle().skip(1)) {
            *node.other.borrow_mut() = Some(next.clone());
        }
    });
    let text = ring.to_string();
    assert!(text.contains("20,000 objects alive"), "{text}");
    assert_eq!(ring.ownership().expect("it was searched").cycles.len(), 1, "{text}");
    let took = begin.elapsed();
    assert!(took < Duration::from_secs(60), "it took {took:?}");
}

struct Parent {
    itself: RefCell<Option<Rc<Parent>>>,
    _child: RefCell<rc::Weak<String>>,
}

/// What weak handles alone keep, in what leaked, leaked with it: it hangs there, and is no finding of its own.
#[test]
fn what_is_weakly_held_by_what_leaked_hangs_on_it() {
    if passed_in_its_own_process() {
        return;
    }
    let report = report(|| {
        let child = Rc::new("its value is dropped".to_owned());
        let weak = RefCell::new(Rc::downgrade(&child));
        let parent = Rc::new(Parent { itself: RefCell::new(None), _child: weak });
        *parent.itself.borrow_mut() = Some(parent.clone());
    });
    assert!(report.verdict().ends_with("; 2 leaked"), "{report}");
    let [leak] = report.leaks() else { panic!("one cause: {report}") };
    assert!(leak.in_cycle && leak.example().type_name.ends_with("Parent"), "{report}");
    assert!(report.to_string().contains("= below:   Rc<String>"), "{report}");
}
