//! A check of the whole process, in a process of its own.
#![cfg(feature = "trace")]

use refscope::leaks::Check;
use refscope::{Arc, Scope};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

#[test]
fn it_counts_everything_and_runs_one_at_a_time() {
    let check = Check::whole_process().timeout(Duration::ZERO);
    assert!(check.verify().expect_err("nothing was made").traced_nothing());
    // Seen, though nothing of it is left.
    thread::spawn(|| drop(Arc::new(0))).join().expect("it ends");
    check.verify().expect("all is gone");
    let outside = thread::spawn(|| Arc::new(1)).join().expect("it ends");
    let scoped = thread::spawn(|| Scope::tracking().run(|| Arc::new(2))).join().expect("it ends");
    let report = check.verify().expect_err("both are alive");
    assert_eq!(report.objects(), 2);
    assert!(report.outside().is_empty(), "nothing is outside");
    // The same thread would wait for itself.
    let panic = catch_unwind(AssertUnwindSafe(Check::whole_process)).expect_err("it panics");
    let text = panic.downcast_ref::<&str>().copied().unwrap_or_default();
    assert!(text.contains("has a check of the whole process already"), "{text}");

    // Another thread waits, and does not see what was there before.
    let (began, begins) = mpsc::channel();
    let other = thread::spawn(move || {
        let check = Check::whole_process().timeout(Duration::ZERO);
        began.send(()).expect("it is received");
        check.run(|| drop(Arc::new(3)));
    });
    assert!(begins.recv_timeout(Duration::from_millis(50)).is_err(), "one at a time");
    drop(check);
    begins.recv().expect("its turn comes");
    other.join().expect("it passes");
    drop((outside, scoped));
}
