//! `cargo run --features stacks --example leak_test`: what a leak test says when it fails.
//!
//! The test is the one in the README: it opens a session in a check, and something keeps it. What is printed is what
//! `cargo test` would print; the process ends with the panic's code, as a test does.

use refscope::rc::Rc; // was: use std::rc::Rc;
use std::cell::RefCell;

thread_local! {
    static RECENT: RefCell<Vec<Rc<String>>> = const { RefCell::new(Vec::new()) };
}

fn open_session(user: &str) -> Rc<String> {
    let session = Rc::new(format!("session of {user}"));
    RECENT.with_borrow_mut(|all| all.push(session.clone())); // FAULT: for ever
    session
}

pub(crate) fn sessions_close() {
    refscope::leaks::check(|| {
        let session = open_session("someone");
        assert!(session.ends_with("someone"));
    });
}

fn main() {
    if !refscope::ENABLED {
        println!("Tracing is off: refscope is built without its feature `trace`.");
    }
    sessions_close();
}
