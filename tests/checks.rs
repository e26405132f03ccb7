//! Checks cannot pass without having seen, and say what they did not look at.
#![cfg(feature = "trace")]

use refscope::leaks::{Check, Repeat, check};
use refscope::{Arc, Box, Rc};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

/// The message of the panic in `f`.
fn panics(f: impl FnOnce()) -> String {
    let panic = catch_unwind(AssertUnwindSafe(f)).expect_err("it panics");
    let text = panic.downcast_ref::<String>().cloned();
    text.or_else(|| Some((*panic.downcast_ref::<&str>()?).to_owned())).expect("with a text")
}

#[test]
fn a_check_that_traced_nothing_fails_and_says_why() {
    // Code whose imports were never swapped.
    let message = panics(|| check(|| drop(std::rc::Rc::new(1))));
    assert!(message.contains("nothing was traced"), "{message}");
    assert!(message.contains("use refscope::Rc") && message.contains("enter_thread"), "{message}");
    let message = panics(|| drop(Check::new().enter()));
    assert!(message.contains("nothing was traced"), "{message}");
    let message = panics(|| Repeat::new(2).warm_ups(0).run(|| ()));
    assert!(message.contains("nothing was traced"), "{message}");
    let report = Check::new().verify().expect_err("it saw nothing");
    assert!(report.is_empty() && report.traced_nothing() && !report.passes());
    Check::new().may_trace_nothing().run(|| ());
    // What is gone again was seen.
    check(|| drop(Box::new(1)));
}

#[test]
fn objects_of_threads_that_entered_no_scope_are_told() {
    struct Elsewhere;

    let check = Check::new();
    let (kept, line) =
        thread::spawn(|| ([(); 3].map(|()| Arc::new(Elsewhere)), line!())).join().expect("it ends");
    check.run(|| drop(Arc::new(1)));
    let report = check.report();
    let told = report.outside().iter().find(|total| total.type_name.contains("Elsewhere"));
    let told = told.expect("they are told");
    assert_eq!((told.objects, told.location.line), (3, line));
    let note = report.note_outside().expect("there is one");
    assert!(note.contains(&format!("3 x Arc<Elsewhere> at tests/checks.rs:{line}:")), "{note}");
    assert!(report.passes(), "they are not the check's");
    drop(kept);
    let report = check.report();
    assert!(report.outside().iter().all(|total| !total.type_name.contains("Elsewhere")));
}

#[test]
fn what_was_made_before_the_check_is_not_told() {
    struct Before;

    let first = Check::new();
    let before = Rc::new(Before);
    let second = Check::new();
    let is = |check: &Check| {
        check.report().outside().iter().any(|total| total.type_name.contains("Before"))
    };
    assert!(is(&first) && !is(&second));
    drop(before);
}

#[test]
fn a_thread_enters_until_it_ends() {
    let check = Check::new().timeout(Duration::ZERO);
    let scope = check.scope().clone();
    let kept = thread::spawn(move || {
        scope.enter_thread();
        Arc::new("the check's")
    });
    let kept = kept.join().expect("it ends");
    assert_eq!(check.verify().expect_err("it is alive").objects(), 1);
    drop(kept);
    check.verify().expect("it is gone");
}

#[test]
fn a_guard_names_the_line_that_entered_and_finishes_without_a_panic() {
    let line = line!() + 2;
    let message = panics(|| {
        let _guard = Check::new().timeout(Duration::ZERO).enter();
        std::mem::forget(Rc::new(1_u8));
    });
    let entered = format!("entered at tests/checks.rs:{line}:");
    assert!(message.contains(&entered), "{message}");
    let guard = Check::new().timeout(Duration::ZERO).enter();
    std::mem::forget(Rc::new(2_u8));
    assert_eq!(guard.finish().expect_err("it is alive").objects(), 1);
    let guard = Check::new().enter();
    drop(Rc::new(3_u8));
    guard.finish().expect("it is gone");
}

#[test]
fn nothing_is_waited_for_that_this_thread_alone_can_drop() {
    let check = Check::new().timeout(Duration::from_secs(600));
    let kept = check.scope().run(|| Rc::new(1));
    let start = Instant::now();
    assert!(check.verify().is_err());
    assert!(start.elapsed() < Duration::from_secs(300), "it did not wait for its end");
    drop(kept);
    // Another thread's `Rc` may go while this one waits.
    let scope = check.scope().clone();
    let (there, here) = mpsc::channel();
    let other = thread::spawn(move || {
        let guard = scope.enter();
        let held = Rc::new(2);
        there.send(()).expect("it is received");
        thread::sleep(Duration::from_millis(30));
        drop((held, guard));
    });
    here.recv().expect("it is sent");
    check.verify().expect("it is waited for");
    other.join().expect("it ends");
}

#[test]
fn ages_are_those_before_the_wait() {
    let check = Check::new().timeout(Duration::from_millis(300));
    let kept = check.scope().run(|| Arc::new(1));
    let before = Instant::now();
    let report = check.verify().expect_err("it is alive");
    assert!(before.elapsed() >= Duration::from_millis(300), "it waited");
    assert!(report.leaks()[0].age < Duration::from_millis(300), "{:?}", report.leaks()[0].age);
    drop(kept);
}

#[test]
fn an_untraced_object_cannot_be_watched() {
    // The environment's, or nobody's: no sink, and no scope on this thread.
    let one = std::sync::Arc::new(1);
    let watch = refscope::watch(&one);
    drop(one);
    let message = panics(|| watch.assert_dropped());
    assert!(message.contains("untraced"), "{message}");
}
