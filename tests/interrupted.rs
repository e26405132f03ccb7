//! `exit` in a signal's handler that interrupted the allocator, on a thread with records in a recorder: nothing of refscope's
//! may allocate or free on that thread any more, or wait for a lock. The allocator here raises the signal itself, so that
//! this is so each time.
#![cfg(all(unix, feature = "trace"))]

use refscope::Arc;
use refscope::sink::Recorder;
use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::process::Command;
use std::time::{Duration, Instant};

struct Interrupted;

thread_local! {
    /// This thread is in the allocator.
    static WITHIN: Cell<bool> = const { Cell::new(false) };
    /// After so many allocations of this thread there comes a signal.
    static LEFT: Cell<u32> = const { Cell::new(0) };
}

/// A real allocator would wait for the lock that the thread has itself.
const ENTERED_TWICE: i32 = 42;
const ENDED: i32 = 9;

fn enter() {
    if WITHIN.replace(true) {
        // SAFETY: it ends the process, at once.
        unsafe { libc::_exit(ENTERED_TWICE) };
    }
}

// SAFETY: the system's allocator does what there is to do.
unsafe impl GlobalAlloc for Interrupted {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        enter();
        let left = LEFT.get();
        LEFT.set(left.saturating_sub(1));
        if left == 1 {
            // SAFETY: its handler is set.
            unsafe { libc::raise(libc::SIGUSR1) };
        }
        // SAFETY: passed on.
        let memory = unsafe { System.alloc(layout) };
        WITHIN.set(false);
        memory
    }

    unsafe fn dealloc(&self, memory: *mut u8, layout: Layout) {
        enter();
        // SAFETY: passed on.
        unsafe { System.dealloc(memory, layout) };
        WITHIN.set(false);
    }
}

#[global_allocator]
static ALLOCATOR: Interrupted = Interrupted;

/// Ends within the nth allocation of this thread, which it makes while it works with a recorder. Where there are fewer, it
/// returns.
fn interrupted(nth: u32) {
    extern "C" fn handler(_: libc::c_int) {
        // Not by std's, which frees the buffer of its standard output.
        // SAFETY: what it does is what is tested.
        unsafe { libc::exit(ENDED) };
    }
    // SAFETY: the handler takes a number; what it does is what is tested.
    unsafe {
        libc::signal(libc::SIGUSR1, handler as extern "C" fn(libc::c_int) as libc::sighandler_t)
    };
    let recorder = Recorder::new();
    refscope::install(recorder.clone()).unwrap();
    let other = Recorder::new();
    let scoped = refscope::Scope::new(other.clone()).run(|| Arc::new(1));
    let one = Arc::new(1);
    drop((one.clone(), scoped.clone()));
    LEFT.set(nth);
    // Of the program's own; of a recorder that has its log's lock; of a thread in need of another segment.
    drop(std::hint::black_box(vec![1_u8; 100]));
    assert!(recorder.recording().events().len() > 2);
    for _ in 0..2_000 {
        drop(one.clone());
    }
    drop(std::hint::black_box(vec![1_u8; 100]));
    LEFT.set(0);
}

#[test]
fn program() {
    if let Ok(nth) = std::env::var("NTH") {
        interrupted(nth.parse().unwrap());
    }
}

#[test]
fn exit_within_an_allocation() {
    for refscope in ["", "leaks,nosearch"] {
        each_allocation(refscope);
    }
}

fn each_allocation(refscope: &str) {
    let mut ended = 0;
    for nth in 1.. {
        let mut program = Command::new(std::env::current_exe().unwrap());
        program.args(["--exact", "program", "--nocapture", "--test-threads", "1"]);
        program.env("NTH", nth.to_string()).env("REFSCOPE", refscope);
        program.stdout(std::process::Stdio::null()).stderr(std::process::Stdio::null());
        let mut child = program.spawn().unwrap();
        let until = Instant::now() + Duration::from_secs(60);
        let status = loop {
            if let Some(status) = child.try_wait().unwrap() {
                break status;
            }
            if Instant::now() > until {
                child.kill().unwrap();
                panic!("{refscope}, allocation {nth}: hangs");
            }
            std::thread::sleep(Duration::from_millis(1));
        };
        match status.code() {
            Some(ENDED) => ended += 1,
            Some(0) => break,
            code => panic!("{refscope}, allocation {nth}: {code:?}, {status}"),
        }
    }
    assert!(ended > 10, "{refscope}: {ended}");
    println!("{refscope}: {ended} allocations were interrupted");
}
