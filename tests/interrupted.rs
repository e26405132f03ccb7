//! `exit` in a signal's handler that interrupted the allocator, on a thread with records in a recorder: nothing of refscope's
//! may allocate or free on that thread any more, or wait for a lock. And a fork while another thread has a lock of refscope's,
//! under which it allocates. The allocator here raises the signal itself, and waits for the fork, so that this is so each time.
#![cfg(all(unix, feature = "trace"))]

use refscope::Arc;
use refscope::sink::Recorder;
use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

struct Interrupted;

thread_local! {
    /// This thread is in the allocator.
    static WITHIN: Cell<bool> = const { Cell::new(false) };
    /// After so many allocations of this thread there comes a signal.
    static LEFT: Cell<u32> = const { Cell::new(0) };
    /// The next allocation of this thread takes long.
    static IS_SLOW: Cell<bool> = const { Cell::new(false) };
}

/// A thread is in an allocation that takes long.
static WAITS: AtomicBool = AtomicBool::new(false);

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
        if IS_SLOW.take() {
            WAITS.store(true, Ordering::Release);
            std::thread::sleep(Duration::from_millis(300));
        }
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

/// A label is kept under a lock, in memory of the program's. The child finds the lock free.
#[test]
fn a_fork_waits_for_who_has_a_lock() {
    let one = refscope::Scope::tracking().run(|| Arc::new(1));
    let theirs = one.clone();
    let labels = std::thread::spawn(move || {
        // What is allocated once is there.
        refscope::label(&theirs, "a first one");
        IS_SLOW.set(true);
        refscope::label(&theirs, "a label that no other one begins like");
        assert!(!IS_SLOW.get(), "it was allocated");
    });
    while !WAITS.load(Ordering::Acquire) {
        std::hint::spin_loop();
    }
    // SAFETY: what the child does is what is tested.
    let child = unsafe { libc::fork() };
    if child == 0 {
        refscope::label(&one, "the child's");
        // SAFETY: it ends the process, at once.
        unsafe { libc::_exit(ENDED) };
    }
    let until = Instant::now() + Duration::from_secs(60);
    let mut status = 0;
    // SAFETY: the process is a child of this one, and the status is written to.
    while unsafe { libc::waitpid(child, &raw mut status, libc::WNOHANG) } == 0 {
        if Instant::now() > until {
            // SAFETY: as above.
            unsafe { libc::kill(child, libc::SIGKILL) };
            panic!("the child hangs");
        }
        std::thread::sleep(Duration::from_millis(1));
    }
    assert!(libc::WIFEXITED(status) && libc::WEXITSTATUS(status) == ENDED, "{status}");
    labels.join().unwrap();
}
