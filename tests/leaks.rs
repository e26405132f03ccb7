//! Leak checks and their reports: that they find what leaks, name the line, and hold their peace otherwise.
#![cfg(feature = "trace")]

use refscope::analysis::{LeakReport, Snapshot};
use refscope::event::Time;
use refscope::leaks::{Check, Repeat, check, repeat};
use refscope::{Arc, Rc, Scope, Strength};
use std::cell::RefCell;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

#[path = "../examples/leaks/channel.rs"]
mod channel;
#[path = "../examples/leaks/closure.rs"]
mod closure;
#[path = "../examples/leaks/global_cache.rs"]
mod global_cache;
#[path = "../examples/leaks/observer.rs"]
mod observer;
#[path = "../examples/leaks/parent_child.rs"]
mod parent_child;
#[path = "../examples/leaks/thread.rs"]
mod thread;

/// The text with its ages blotted out, and paths as the examples have them.
fn timeless(text: &str) -> String {
    let mut out = String::new();
    for line in text.lines() {
        match line.strip_prefix("   = age:") {
            Some(age) => {
                let rest = if age.ends_with(" (the oldest)") { " (the oldest)" } else { "" };
                out.push_str(&format!("   = age:     some time{rest}"));
            }
            None => out.push_str(line),
        }
        out.push('\n');
    }
    out.replace("tests/../", "")
}

/// Runs an example, compares its report with the text that is kept, and checks that the line at fault is the one
/// which the source marks. `REFSCOPE_BLESS=1` in the environment writes the text anew, to be read by a person.
fn report(name: &str, run: fn(&Check)) {
    // What a search finds is not the same on each system.
    refscope::leaks::set_search(false);
    let check = Check::new().timeout(Duration::from_millis(5));
    check.scope().run(|| run(&check));
    let leaks = check.verify().expect_err("it leaks");
    let text = timeless(&leaks.to_string());
    let path = format!("{}/tests/leaks/{name}.txt", env!("CARGO_MANIFEST_DIR"));
    if std::env::var_os("REFSCOPE_BLESS").is_some() {
        std::fs::write(&path, &text).unwrap();
    }
    let mut kept = std::fs::read_to_string(&path).unwrap_or_default();
    if !cfg!(refscope_search) {
        // Nor is there one everywhere that could be asked for.
        kept.truncate(kept.find("note: ").expect("the last lines"));
        kept.push_str(
            "note: locations show where a handle was created, not where it is stored; sizes\n      \
             are the values' own, without what they have on the heap\n",
        );
    }
    if cfg!(refscope_thin) && name == "parent_child" {
        // Each node has a handle in it, which is a word smaller.
        for (wide, thin) in [("224 B", "192 B"), ("168 B", "144 B"), ("56 B", "48 B")] {
            kept = kept.replace(wide, thin);
        }
    }
    assert_eq!(text, kept, "{path}: REFSCOPE_BLESS=1 writes it anew");
    let fault =
        leaks.leaks()[0].fault().and_then(|holder| holder.location()).expect("there is one");
    let source = std::fs::read_to_string(&*fault.file).unwrap();
    let line = source.lines().nth(fault.line as usize - 1).unwrap();
    assert!(line.contains("FAULT"), "{fault}: {line}");
}

macro_rules! reports {
    ($($name:ident)*) => {$(
        mod $name {
            #[test]
            fn the_report_names_the_line() {
                std::thread::Builder::new()
                    .name("main".to_owned())
                    .spawn(|| super::super::report(stringify!($name), super::super::$name::run))
                    .unwrap()
                    .join()
                    .unwrap_or_else(|panic| std::panic::resume_unwind(panic));
            }
        }
    )*};
}

mod examples {
    reports! { observer closure parent_child global_cache thread channel }
}

/// The message of the panic in `f`.
fn panics(f: impl FnOnce()) -> String {
    let panic = catch_unwind(AssertUnwindSafe(f)).expect_err("it panics");
    let text = panic.downcast_ref::<String>().cloned();
    text.or_else(|| Some((*panic.downcast_ref::<&str>()?).to_owned())).expect("with a text")
}

#[test]
fn a_check_passes_what_goes_and_panics_with_what_stays() {
    check(|| drop(Rc::new(1).clone()));
    let message = panics(|| {
        check(|| std::mem::forget(Rc::new(String::from("stays"))));
    });
    assert!(message.contains("1 object alive after the check, kept by 1 line; 24 B"), "{message}");
    assert!(message.contains("tests/leaks.rs:"), "{message}");
    assert!(message.contains("Rc<String>"), "{message}");
}

#[test]
fn a_guard_checks_at_its_end_but_not_while_panicking() {
    let message = panics(|| {
        let _check = Check::new().timeout(Duration::ZERO).enter();
        std::mem::forget(Arc::new(1_u16));
    });
    assert!(message.contains("Arc<u16>"), "{message}");
    let message = panics(|| {
        let _check = Check::new().timeout(Duration::ZERO).enter();
        std::mem::forget(Arc::new(1_u16));
        panic!("{} first", "this");
    });
    assert_eq!(message, "this first");
}

#[test]
fn teardown_under_way_is_waited_for() {
    let check = Check::new();
    check.run(|| {
        let shared = Arc::new(5);
        std::thread::spawn(move || {
            std::thread::sleep(Duration::from_millis(40));
            drop(shared);
        });
    });
}

#[test]
fn objects_travel_to_other_threads_and_threads_enter() {
    let check = Check::new().timeout(Duration::from_millis(5));
    let scope = check.scope().clone();
    let message = panics(|| {
        check.run(|| {
            let there = std::thread::spawn(move || {
                drop(Arc::new("outside of the check"));
                let _guard = scope.enter();
                std::mem::forget(Arc::new(7_u64));
            });
            there.join().unwrap();
            let travels = Arc::new(8_u32);
            std::thread::spawn(move || std::mem::forget(travels.clone())).join().unwrap();
        });
    });
    assert!(message.contains("2 objects alive after the check, kept by 2 lines"), "{message}");
    assert!(message.contains("Arc<u64>") && message.contains("Arc<u32>"), "{message}");
}

#[test]
fn what_is_allowed_is_counted() {
    struct Pool;
    struct Other;

    let check = Check::new().timeout(Duration::ZERO).allow("Pool").at_most(2, "Other");
    let all = check.scope().run(|| {
        let marked = Rc::new(1);
        refscope::allow_leak(&marked);
        (Rc::new(Pool), [Rc::new(Other), Rc::new(Other)], marked)
    });
    check.verify().expect("all are allowed");
    assert_eq!(check.report().allowed(), 4);
    assert_eq!(check.report().verdict(), "nothing is alive after the check; 4 allowed");
    let third = check.scope().run(|| Rc::new(Other));
    let leaks = check.verify().expect_err("three are more than two");
    assert_eq!((leaks.objects(), leaks.allowed()), (3, 2));
    drop((all, third));
    let by_line = Check::new().timeout(Duration::ZERO).allow(format!("leaks.rs:{}", line!() + 1));
    let kept = by_line.run(|| Rc::new(2));
    drop(kept);
}

#[test]
fn what_may_grow_and_what_is_waited_for_is_set() {
    struct Logged;
    struct Leaked;
    let log = RefCell::new(Vec::new());
    let write = || log.borrow_mut().push(Rc::new(Logged));
    let quick = || Repeat::new(3).timeout(Duration::ZERO);
    quick().allow("Logged").run(write);
    quick().allow(format!("leaks.rs:{}", line!() - 3)).run(write);
    let message = panics(|| {
        quick().allow("Logged").run(|| {
            write();
            std::mem::forget(Rc::new(Leaked));
        });
    });
    assert!(message.contains("Rc<Leaked>") && !message.contains("Logged"), "{message}");

    // What another thread drops some time after each repetition.
    let drop_later = || {
        let late = Arc::new(1);
        std::thread::spawn(move || {
            std::thread::sleep(Duration::from_millis(300));
            drop(late);
        });
    };
    Repeat::new(2).timeout(Duration::from_secs(60)).run(drop_later);
    panics(|| Repeat::new(2).timeout(Duration::ZERO).run(drop_later));
}

#[test]
fn a_leak_is_what_grows_over_all_repetitions() {
    let cache = RefCell::new(Vec::new());
    let fill = |cap: usize| {
        if cache.borrow().len() < cap {
            cache.borrow_mut().push(Rc::new(1));
        }
    };
    Repeat::new(5).warm_ups(3).run(|| fill(3));
    // Full in the middle: it grew twice, and not every time.
    Repeat::new(5).warm_ups(0).run(|| fill(5));
    let message = panics(|| repeat(3, || fill(usize::MAX)));
    assert!(message.contains("leaked in each of 3 iterations"), "{message}");
    // What happens every second time is as bad.
    let mut round = 0;
    let message = panics(|| {
        repeat(6, || {
            round += 1;
            drop(Rc::new("comes and goes"));
            if round % 2 == 0 {
                cache.borrow_mut().push(Rc::new(2));
            }
        });
    });
    assert!(message.contains("leaked in 3 of 6 iterations"), "{message}");
    assert!(message.contains(&format!("leaks.rs:{}", line!() - 5)), "{message}");
}

/// As a check does, a repeated one says what it did not look at.
#[test]
fn repetitions_mention_what_was_made_outside() {
    let elsewhere = || {
        std::thread::spawn(|| std::mem::forget(Rc::new([7_u8; 3]))).join().unwrap();
        std::mem::forget(Rc::new("grows"));
    };
    let message = panics(|| Repeat::new(2).timeout(Duration::ZERO).run(elsewhere));
    let line = line!() - 4;
    let words = message.split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(words.contains("on threads which entered no scope"), "{message}");
    assert!(words.contains(&format!("3 x Rc<[u8; 3]> at tests/leaks.rs:{line}:")), "{message}");
}

#[test]
fn snapshots_tell_what_was_born_between() {
    let scope = Scope::tracking();
    let snapshot = || Snapshot::new(scope.alive(), Time::coarse());
    let _guard = scope.enter();
    let old = Rc::new(1);
    let before = snapshot();
    let kept: Vec<_> = (0..3).map(Rc::new).collect();
    drop(Rc::new(2));
    drop(old);
    let growth = snapshot().since(&before);
    assert_eq!((growth.objects(), growth.gone()), (3, 1));
    assert_eq!((growth.grown()[0].before, growth.grown()[0].now), (0, 3));
    let text = growth.to_string();
    assert!(
        text.contains("3 objects allocated and alive") && text.contains("+3      Rc<i32>"),
        "{text}"
    );
    assert!(panics(|| growth.assert_nothing_stayed()).contains("3 objects alive, kept by 1 line"));
    drop(kept);
    snapshot().since(&before).assert_nothing_stayed();
    // Where another line keeps them, that is named too.
    let kept: Vec<_> = (0..3).map(|i| Rc::new(i).clone()).collect();
    let line = line!() - 1;
    let text = snapshot().since(&before).to_string();
    assert!(text.contains(&format!("\n          kept by tests/leaks.rs:{line}:")), "{text}");
    drop(kept);
}

#[test]
fn a_watch_keeps_nothing_alive() {
    let scope = Scope::tracking();
    let one = scope.run(|| Arc::new(1));
    let watch = refscope::watch(&one);
    assert_eq!((Arc::strong_count(&one), Arc::weak_count(&one)), (1, 0));
    let two = one.clone();
    drop(one);
    assert!(!watch.is_dropped());
    let message = panics(|| watch.assert_dropped());
    assert!(message.contains("is not dropped") && message.contains("clone leaks.rs"), "{message}");
    let other = std::thread::spawn(move || {
        std::thread::sleep(Duration::from_millis(20));
        drop(two);
    });
    watch.assert_dropped_within(Duration::from_secs(20));
    other.join().unwrap();
    // Its place in the ledger may be another's by now.
    let next = scope.run(|| Arc::new(2));
    assert!(watch.is_dropped());
    drop(next);
    watch.assert_dropped();
    // A weak handle keeps the memory, and not the value.
    let three = scope.run(|| Rc::new(3));
    let (weak, watch) = (Rc::downgrade(&three), refscope::watch(&three));
    drop(three);
    watch.assert_dropped();
    drop(weak);
    watch.assert_dropped();
}

#[test]
fn memory_kept_by_a_weak_alone_is_told() {
    let check = Check::new().timeout(Duration::ZERO);
    let weak = check.scope().run(|| Rc::downgrade(&Rc::new([0_u8; 64])));
    let leaks = check.verify().expect_err("the memory is there");
    let text = leaks.to_string();
    assert!(text.contains("1 weak handle: the value is dropped, its memory is not"), "{text}");
    assert!(text.contains("this weak handle keeps the memory"), "{text}");
    assert_eq!(leaks.leaks()[0].fault().map(|holder| holder.strength), Some(Strength::Weak));
    drop(weak);
    check.verify().expect("gone");
}

#[test]
fn the_path_goes_back_to_the_birth_past_handles_that_are_gone() {
    let check = Check::new().timeout(Duration::ZERO);
    let last = check.scope().run(|| {
        let first = Rc::new(1);
        let second = first.clone();
        let third = second.clone();
        Rc::downgrade(&third).upgrade().unwrap()
    });
    let leaks = check.report();
    let path = &leaks.leaks()[0].fault().unwrap().path;
    let ops: Vec<_> = path.iter().map(|made| made.op.name()).collect();
    assert_eq!(ops, ["new", "clone", "clone", "downgrade", "upgrade"]);
    drop(last);
}

#[test]
fn one_leak_is_one_entry_with_a_fingerprint_that_lines_do_not_change() {
    let found = |f: &dyn Fn() -> Rc<u8>| -> LeakReport {
        let check = Check::new().timeout(Duration::ZERO);
        let kept: Vec<_> = check.scope().run(|| (0..5).map(|_| f()).collect());
        let leaks = check.report();
        drop(kept);
        leaks
    };
    let one = found(&|| {
        // As it was.
        Rc::new(1).clone()
    });
    let two = found(&|| {
        // With other lines above it.
        Rc::new(2).clone()
    });
    assert_eq!((one.leaks().len(), one.objects()), (1, 5));
    assert_ne!(one.leaks()[0].example().location, two.leaks()[0].example().location);
    assert_eq!(one.leaks()[0].fingerprint, two.leaks()[0].fingerprint);
    let other = found(&|| Rc::new(3));
    assert_ne!(one.leaks()[0].fingerprint, other.leaks()[0].fingerprint);
}

#[test]
fn a_recording_gives_the_same_report() {
    let recorder = refscope::sink::Recorder::new();
    let scope = Scope::new(recorder.clone());
    let kept = scope.run(|| {
        let one = Rc::new(1);
        let two = one.clone();
        (two.clone(), one)
    });
    let theirs = LeakReport::new(scope.alive(), Time::coarse());
    let ours = LeakReport::of_recording(&recorder.recording());
    assert_eq!(timeless(&theirs.to_string()), timeless(&ours.to_string()));
    assert_eq!(theirs.leaks()[0].fingerprint, ours.leaks()[0].fingerprint);
    drop(kept);
}

#[test]
fn ten_are_shown_and_the_rest_counted() {
    let check = Check::new().timeout(Duration::ZERO);
    #[rustfmt::skip]
    check.scope().run(|| {
        std::mem::forget(Rc::new([0_u8; 1])); std::mem::forget(Rc::new([0_u8; 2]));
        std::mem::forget(Rc::new([0_u8; 3])); std::mem::forget(Rc::new([0_u8; 4]));
        std::mem::forget(Rc::new([0_u8; 5])); std::mem::forget(Rc::new([0_u8; 6]));
        std::mem::forget(Rc::new([0_u8; 7])); std::mem::forget(Rc::new([0_u8; 8]));
        std::mem::forget(Rc::new([0_u8; 9])); std::mem::forget(Rc::new([0_u8; 10]));
        std::mem::forget(Rc::new([0_u8; 11])); std::mem::forget(Rc::new([0_u8; 12]));
    });
    let text = check.report().to_string();
    assert!(text.contains("12 objects alive after the check, kept by 12 lines; 78 B"), "{text}");
    assert!(text.contains("\n10 of 12: ") && !text.contains("\n11 of 12: "), "{text}");
    assert!(text.contains("and 2 more lines, of 2 objects"), "{text}");
}

/// The report says what holds each leak now, by the search: a static, a thread-local, and nothing for what is forgotten.
#[test]
#[cfg(all(target_os = "linux", target_pointer_width = "64", not(miri)))]
fn a_report_says_where_the_handles_are_stored() {
    use refscope::locate::Search;
    use std::sync::Mutex;

    static REGISTRY: Mutex<Vec<refscope::Arc<[u8; 24]>>> = Mutex::new(Vec::new());
    thread_local! {
        static RECENT: std::cell::RefCell<Vec<Rc<u16>>> = const { std::cell::RefCell::new(Vec::new()) };
    }
    let check = Check::new().timeout(Duration::ZERO);
    check.scope().run(|| {
        REGISTRY.lock().unwrap().push(refscope::Arc::new([7; 24]));
        RECENT.with_borrow_mut(|recent| recent.push(Rc::new(1)));
    });
    let plain = check.report();
    assert!(plain.to_string().contains("not where it is stored"), "{plain}");
    let report = plain.locate(&Search::new());
    let Some(ownership) = report.ownership() else {
        // It works there, or this test sees nothing.
        if cfg!(target_arch = "x86_64") {
            panic!("not searched: {report}");
        }
        return println!("skipped: the memory cannot be searched here: {report}");
    };
    assert!(ownership.objects.len() >= 2);
    let text = report.to_string();
    let stored =
        |what: &str| text.lines().any(|line| line.contains("= stored:") && line.contains(what));
    assert!(stored("static"), "{text}");
    assert!(stored("thread-local"), "{text}");
    assert!(!text.contains("not where it is stored"), "{text}");
    REGISTRY.lock().unwrap().clear();
    RECENT.take();
    assert!(check.report().is_empty());
}
