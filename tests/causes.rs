//! One cause is one finding: what is counted, what is advised, and what is told apart.
#![cfg(feature = "trace")]

use refscope::analysis::{LeakReport, Part, Retention};
use refscope::event::{Op, Time};
use refscope::leaks::Check;
use refscope::{Arc, Box, Rc, Scope, StdPtr};
use std::cell::RefCell;
use std::collections::BTreeSet;
use std::time::Duration;

/// The report of what is alive after `f`, which is dropped after the look.
fn report<T>(f: impl FnOnce() -> T) -> LeakReport {
    let scope = Scope::tracking();
    let kept = scope.run(f);
    let report = LeakReport::new(scope.alive(), Time::coarse());
    drop(kept);
    report
}

#[test]
fn labels_and_types_do_not_split_a_cause() {
    fn keep<T>(value: T) -> Rc<T> {
        Rc::new(value)
    }

    let report = report(|| {
        let labelled: Vec<_> = (0..500)
            .map(|n| {
                let one = keep(n);
                refscope::label(&one, &format!("client {n}"));
                one
            })
            .collect();
        (labelled, keep("another type"))
    });
    assert_eq!((report.leaks().len(), report.objects()), (1, 501));
    let text = report.to_string();
    assert!(text.contains("keeps all 501 objects alive"), "{text}");
    assert!(text.contains("500 x Rc<i32> \"client 0\", \"client 1\""), "{text}");
    assert!(text.contains("and others") && text.contains("Rc<&str>"), "{text}");
}

#[test]
fn totals_are_the_groups_and_not_its_first_objects() {
    let report = report(|| {
        let keep = |one: &Arc<u8>| one.clone();
        let [one, many] = [1, 2].map(|n| Arc::new(n));
        let kept: Vec<_> = (0..1_000).map(|_| keep(&many)).chain([keep(&one)]).collect();
        (one, many, kept)
    });
    assert_eq!(report.leaks().len(), 1, "{report}");
    let text = report.to_string();
    assert!(text.contains("1,003 strong handles, 2 to 1,001 each"), "{text}");
    assert!(text.contains("> strong 1,001 x new"), "{text}");
    #[cfg(feature = "json")]
    {
        let json = report.json();
        assert!(json.contains("\"count\":1001,\"fault\":true"), "{json}");
    }
}

/// Lines that differ in nothing else are no other report's baseline.
#[test]
fn a_fingerprint_stands_for_one_line_of_all_reports() {
    fn share(value: &Rc<i64>, early: bool) -> Rc<i64> {
        if early {
            return value.clone();
        }
        value.clone()
    }

    let print = |early| {
        let report = report(|| {
            let value = Rc::new(7);
            (share(&value, early), value)
        });
        assert_eq!(report.leaks().len(), 1, "{report}");
        report.leaks()[0].fingerprint >> 32
    };
    assert_eq!(print(true), print(true));
    assert_ne!(print(true), print(false));
}

#[test]
fn no_two_findings_share_a_fingerprint() {
    let report = report(|| {
        (
            Rc::new(1),
            Rc::new(2),
            Rc::new(3),
            Rc::new(4),
            // And a fifth.
            Rc::new(5),
        )
    });
    let prints: BTreeSet<u64> = report.leaks().iter().map(|leak| leak.fingerprint >> 32).collect();
    assert_eq!((report.leaks().len(), prints.len()), (5, 5));
    let known = report.leaks()[..4].iter().map(|leak| format!("{:016x}", leak.fingerprint));
    let rest = report.clone().without(&known.collect());
    assert_eq!((rest.leaks().len(), rest.objects(), rest.allowed()), (1, 1, 4));
}

#[test]
fn advice_needs_evidence() {
    struct Node {
        next: RefCell<Option<Rc<Node>>>,
    }

    let help = |report: &LeakReport| report.leaks()[0].help.to_string();
    let many = report(|| (0..9).map(Rc::new).collect::<Vec<_>>());
    assert!(help(&many).contains("what should remove them"), "{}", help(&many));
    let again = report(|| {
        let all: Vec<_> = (0..9).map(Rc::new).collect();
        let kept: Vec<_> = all.iter().map(Rc::clone).collect();
        kept
    });
    // Nobody has searched: it may be a link of a cycle as well.
    let either = "a collection that grows, or links of cycles";
    assert!(help(&again).contains(either), "{}", help(&again));
    let one = report(|| Rc::new(1));
    assert!(help(&one).contains("a local that is still in scope"), "{}", help(&one));
    // A cycle that nobody has found is none; of one that was found the way back is named.
    let scope = Scope::tracking();
    let watch = scope.run(|| {
        let first = Rc::new(Node { next: RefCell::new(None) });
        let second = Rc::new(Node { next: RefCell::new(Some(first.clone())) }); // the way back
        *first.next.borrow_mut() = Some(second);
        first
    });
    let objects = scope.alive();
    let ids: Vec<_> = objects.iter().map(|object| object.id).collect();
    let plain = LeakReport::new(objects.clone(), Time::coarse());
    for report in [&many, &again, &one, &plain] {
        assert!(!report.to_string().contains("Weak"), "{report}");
    }
    let mut retention = Retention::new();
    retention.add_cycle(ids.iter().copied());
    ids.iter().for_each(|id| retention.set_part(*id, Part::Leaked));
    let found = LeakReport::with_retention(objects, Time::coarse(), &retention);
    let [leak] = found.leaks() else { panic!("one cause: {found}") };
    let general = "make one of the handles in the cycle a `Weak`";
    assert!(leak.in_cycle && leak.help.to_string().ends_with(general), "{found}");
    assert_eq!((leak.objects.len(), leak.retained.len()), (1, 1));
    assert!(found.verdict().contains("; 2 leaked"), "{found}");
    watch.next.borrow_mut().take();
}

/// Two that hold each other, of which all handles were made from others: the youngest is the owner's, in `children`.
struct Tree {
    parent: RefCell<Option<Rc<Tree>>>,
    children: RefCell<Vec<Rc<Tree>>>,
}

/// Advice is of the cycle's own handles, and of the line that makes the references back.
#[test]
fn the_handle_that_is_to_be_weak_is_the_one_that_leads_back() {
    let tree = || Rc::new(Tree { parent: RefCell::default(), children: RefCell::default() });
    let scope = Scope::tracking();
    let (root, back, (other, beside), owning) = scope.run(|| {
        let (root, leaf) = (tree(), tree());
        *leaf.parent.borrow_mut() = Some(root.clone()); // the way back
        let back = line!() - 1;
        // The youngest handle of the cycle's objects, and none of the cycle.
        root.children.borrow_mut().push(leaf.clone());
        let owning = line!() - 1;
        let other = leaf.clone();
        let beside = line!() - 1;
        (root, back, (other, beside), owning)
    });
    let objects = scope.alive();
    let handle = |line: u32| {
        let mut handles = objects.iter().flat_map(|object| &object.handles);
        let made_here =
            |line_of: Option<&refscope::event::Location>| line_of.is_some_and(|at| at.line == line);
        handles.find(|handle| made_here(handle.location())).expect("it is alive").id
    };
    let help = |edges: &[(u32, Option<&str>)]| {
        let mut retention = Retention::new();
        retention.add_cycle(objects.iter().map(|object| object.id));
        for &(line, field) in edges {
            retention.add_cycle_handle(handle(line), field);
        }
        let report = LeakReport::with_retention(objects.clone(), Time::coarse(), &retention);
        let [leak] = report.leaks() else { panic!("one cause: {report}") };
        let line = leak.cause.location.as_ref().map(|location| location.line);
        (leak.help.to_string(), line)
    };
    let either = "be a `Weak`, or that of tests/causes.rs:";
    let this = "let the handle that this line makes be a `Weak`";
    let (text, _) = help(&[(back, None), (owning, None)]);
    assert!(text.contains(either), "both may be the reference back: {text}");
    assert!(text.ends_with(", whichever looks back") && !text.contains(&format!(":{beside}:")));
    let (text, line) = help(&[(back, Some("parent")), (owning, Some("children[0]"))]);
    assert!(text.ends_with(this) && line == Some(back), "by the field's name: {text} {line:?}");
    let (text, line) = help(&[(back, None)]);
    assert!(text.ends_with(this) && line == Some(back), "the others are first ones: {text}");
    let (text, line) = help(&[(owning, None)]);
    let at = format!("let the handle that is made at tests/causes.rs:{owning}:");
    assert!(text.contains(&at) && line != Some(owning), "{text} {line:?}");
    root.children.borrow_mut().clear();
    drop(other);
}

#[test]
fn a_raw_pointer_is_named_by_the_line_that_made_it() {
    let check = Check::new().timeout(Duration::ZERO);
    let (pointer, into_raw) = check.scope().run(|| {
        let one = Arc::new(5_u32);
        (Arc::into_raw(one), line!())
    });
    let report = check.verify().expect_err("it is alive");
    let leak = &report.leaks()[0];
    let line = leak.cause.location.as_ref().map(|location| location.line);
    assert_eq!((leak.cause.op, line), (Some(Op::IntoRaw), Some(into_raw)));
    assert!(
        leak.help.to_string().contains(&format!("`into_raw` at tests/causes.rs:{into_raw}:")),
        "{report}"
    );
    assert!(report.to_string().contains("-> into raw causes.rs"), "{report}");
    // SAFETY: RAW: the pointer is `into_raw`'s, taken back once.
    drop(unsafe { Arc::from_raw(pointer) });
    check.verify().expect("it is gone");

    let (leaked, line) = check.scope().run(|| {
        let one = Box::new(6_u32);
        (Box::leak(one), line!())
    });
    let report = check.verify().expect_err("it is leaked");
    assert!(
        report.leaks()[0].help.to_string().contains(&format!("`leak` at tests/causes.rs:{line}:")),
        "{report}"
    );
    // SAFETY: RAW: the reference is `leak`'s, taken back once.
    drop(unsafe { Box::from_raw(leaked) });
    check.verify().expect("it is gone");
    let _ = Rc::new(1).into_std();
}

/// A waker has its task as a raw pointer, which nobody made who reads the report.
#[test]
fn a_kept_waker_is_called_one() {
    use refscope::task::{Wake, Waker};

    struct Task;

    #[cfg(refscope_coerce)]
    impl Wake for Task {
        fn wake(self: Arc<Self>) {}
    }

    #[cfg(not(refscope_coerce))]
    impl Wake for Task {
        fn wake(_: Arc<Self>) {}
    }

    let check = Check::new().timeout(Duration::ZERO);
    let (waker, line) = check.scope().run(|| (Waker::from(Arc::new(Task)), line!()));
    let help = check.verify().expect_err("it is alive").leaks()[0].help.to_string();
    let by = format!("`into_raw` at tests/causes.rs:{line}:");
    assert!(help.starts_with(&by) && help.contains("as a `Waker` is one"), "{help}");
    assert!(help.ends_with("or its waker's drop"), "{help}");
    drop(waker);
    check.verify().expect("the waker gave it back");
}

/// A clone that std made, on whose behalf nobody knows without the feature `stacks`, is no headline where another holder has a
/// line of the user's.
#[test]
fn a_users_line_comes_before_stds() {
    let mut line = 0;
    let both = report(|| {
        let one = Arc::new(1_u8);
        line = line!() + 1;
        let kept = one.clone();
        let all = std::hint::black_box(vec![one]).clone();
        (kept, all)
    });
    let cause = both.leaks()[0].cause.location.clone().expect("it is known");
    assert!(!cause.is_std(), "{both}");
    let words =
        |report: &LeakReport| report.to_string().split_whitespace().collect::<Vec<_>>().join(" ");
    if cfg!(not(feature = "stacks")) {
        assert_eq!((&*cause.file, cause.line), (file!(), line), "{both}");
        let note = "std or a derive made 1 of these handles, for callers that are not known";
        assert!(words(&both).contains(note), "{both}");
    }
    let only = report(|| std::hint::black_box(vec![Arc::new(1_u8)]).clone());
    let cause = only.leaks()[0].cause.location.clone().expect("it is known");
    assert!(!cause.is_std() || words(&only).contains("its caller is not known"), "{only}");
}

#[test]
fn a_recording_names_the_line_of_a_raw_pointer_too() {
    let recorder = refscope::sink::Recorder::new();
    let scope = Scope::new(recorder.clone());
    let pointer = scope.run(|| {
        let one = Rc::new(5_u32);
        let two = one.clone();
        drop(one);
        Rc::into_raw(two)
    });
    let live = LeakReport::new(scope.alive(), Time::coarse());
    let recorded = LeakReport::of_recording(&recorder.recording());
    assert_eq!(live.leaks()[0].cause, recorded.leaks()[0].cause);
    assert_eq!(live.leaks()[0].fingerprint, recorded.leaks()[0].fingerprint);
    assert_eq!(live.leaks()[0].cause.op, Some(Op::IntoRaw));
    // SAFETY: RAW: the pointer is `into_raw`'s, taken back once.
    drop(unsafe { Rc::from_raw(pointer) });
}

#[test]
fn what_hangs_on_a_cause_is_no_finding_of_its_own() {
    let scope = Scope::tracking();
    let kept = scope.run(|| {
        let leaves: Vec<_> = (0..3).map(Rc::new).collect();
        let root = Rc::new(leaves);
        (root.clone(), root)
    });
    let objects = scope.alive();
    let root = objects.iter().find(|object| object.type_name.contains("Vec")).unwrap().id;
    let mut retention = Retention::new();
    for object in objects.iter().filter(|object| object.id != root) {
        retention.set_dominator(object.id, root);
    }
    assert_eq!(LeakReport::new(objects.clone(), Time::coarse()).leaks().len(), 2);
    let report = LeakReport::with_retention(objects, Time::coarse(), &retention);
    let [leak] = report.leaks() else { panic!("one cause: {report}") };
    assert_eq!((leak.objects.len(), leak.retained.len(), leak.count()), (1, 3, 4));
    let text = report.to_string();
    assert!(
        text.contains("keeps all 4 objects alive") && text.contains("= below:   3 x Rc"),
        "{text}"
    );
    drop(kept);
}

#[test]
fn a_part_sorts_and_annotates_and_silences_nothing() {
    let scope = Scope::tracking();
    let kept = scope.run(|| (Rc::new(1_u8), Rc::new(2_u16), Rc::new(3_u32)));
    let objects = scope.alive();
    let mut retention = Retention::new();
    retention.set_part(objects[0].id, Part::Stack("main".to_owned()));
    retention.set_part(objects[1].id, Part::Static("POOL".to_owned()));
    retention.set_part(objects[2].id, Part::Leaked);
    let report = LeakReport::with_retention(objects, Time::coarse(), &retention);
    let types: Vec<_> =
        report.leaks().iter().map(|leak| leak.example().type_name.clone()).collect();
    assert_eq!(types, ["u32", "u16", "u8"]);
    let verdict = report.verdict();
    for part in ["; 1 leaked", "; 1 held by statics", "; 1 held by a word on a stack"] {
        assert!(verdict.contains(part), "{verdict}");
    }
    assert!(report.to_string().contains("held by the static POOL"), "{report}");
    assert!(!report.passes());
    drop(kept);
}

/// Programs without a leak, in which much is alive at the check's end: the words accuse nobody.
#[test]
fn clean_look_alikes_are_not_accused() {
    use std::sync::{LazyLock, Mutex};

    static CACHE: Mutex<Vec<Arc<String>>> = Mutex::new(Vec::new());
    static LAZY: LazyLock<Arc<String>> =
        LazyLock::new(|| Arc::new("filled at its first use".into()));
    thread_local! {
        static POOL: RefCell<Vec<Rc<[u8; 64]>>> = const { RefCell::new(Vec::new()) };
    }

    let look = |f: &mut dyn FnMut()| {
        let check = Check::new().timeout(Duration::ZERO);
        check.scope().run(&mut *f);
        let report = check.verify().expect_err("something is alive, and rightly");
        let text = report.to_string();
        for word in ["leak", "never dropped", "Weak", "forgot to"] {
            assert!(!text.contains(word), "{word}: {text}");
        }
        // Each can be allowed by its name or line.
        let line = report.leaks()[0].example().location.to_string();
        let check = Check::new().timeout(Duration::ZERO).allow(line);
        check.scope().run(&mut *f);
        check.verify().unwrap_or_else(|report| panic!("{report}"));
    };
    look(&mut || CACHE.lock().unwrap().push(Arc::new("cached".into())));
    look(&mut || POOL.with_borrow_mut(|pool| pool.push(Rc::new([0; 64]))));
    let mut locals = Vec::new();
    look(&mut || locals.push(Rc::new("the caller's local")));
    // Filled once: what another check's scope made is not this one's.
    let check = Check::new().timeout(Duration::ZERO).allow("String");
    check.run(|| drop(LAZY.clone()));
    let check = Check::new();
    check.run(|| {
        drop(Rc::new(1));
        drop(LAZY.clone());
    });
    // A worker that nobody joins, and that ends late.
    let check = Check::new();
    check.run(|| {
        let job = Arc::new("for a worker");
        std::thread::spawn(move || {
            std::thread::sleep(Duration::from_millis(50));
            drop(job);
        });
    });
}
