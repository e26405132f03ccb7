//! What LeakSanitizer sees of traced pointers, in a build with it (`.ci/run leak_sanitizer`).
//!
//! Each program runs in a process of its own, whose exit code says whether a leak was reported.
#![cfg(all(feature = "trace", target_os = "linux"))]

#[path = "common/dead_stack.rs"]
mod dead_stack;

use dead_stack::clear_dead_stack;
use std::process::Command;
use std::sync::Mutex;

/// Set where the sanitizer is in the program.
const ASKED: &str = "REFSCOPE_TEST_LEAK_SANITIZER";
const PROGRAM: &str = "REFSCOPE_TEST_PROGRAM";

static KEPT: Mutex<Vec<refscope::Arc<[u64; 9]>>> = Mutex::new(Vec::new());

/// Runs as the process that a test below starts.
#[test]
fn program() {
    let Ok(program) = std::env::var(PROGRAM) else { return };
    let (how, what) = program.split_once(' ').unwrap();
    if how == "tracked" {
        refscope::track().unwrap();
    }
    // By a thread, whose registers and stack are gone.
    let what = what.to_owned();
    let run = move || match what.as_str() {
        "leaks" if how_is_std() => std::mem::forget(std::sync::Arc::new([1_u64; 9])),
        "leaks" => std::mem::forget(refscope::Arc::new([1_u64; 9])),
        "cycle" => {
            struct Node(Mutex<Option<refscope::Arc<Node>>>, #[allow(dead_code)] [u64; 9]);
            let node = refscope::Arc::new(Node(Mutex::new(None), [1; 9]));
            *node.0.lock().unwrap() = Some(node.clone());
        }
        "few" => (0..10).for_each(|n| KEPT.lock().unwrap().push(refscope::Arc::new([n; 9]))),
        "returned" => {
            let raw = refscope::Arc::into_raw(refscope::Arc::new([1; 9]));
            // SAFETY: it was made by `into_raw`.
            KEPT.lock().unwrap().push(unsafe { refscope::Arc::from_raw(raw) });
        }
        "std leaks" => {
            drop(refscope::Arc::new([1_u64; 9]));
            std::mem::forget(std::sync::Arc::new([1_u64; 9]));
        }
        "many" => (0..20_000).for_each(|n| KEPT.lock().unwrap().push(refscope::Arc::new([n; 9]))),
        _ => drop(refscope::Arc::new([1_u64; 9])),
    };
    std::thread::spawn(run).join().unwrap();
    clear_dead_stack();
}

fn how_is_std() -> bool {
    std::env::var(PROGRAM).is_ok_and(|program| program.starts_with("std "))
}

/// Whether the sanitizer reports a leak of the program.
fn reported(program: &str) -> bool {
    let output = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "program"])
        .env(PROGRAM, program)
        .env("LSAN_OPTIONS", "detect_leaks=1:exitcode=23:report_objects=1")
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stderr);
    match output.status.code() {
        Some(0) => false,
        Some(23) => {
            assert!(text.contains("LeakSanitizer: detected memory leaks"), "{text}");
            true
        }
        _ => panic!("{program}: {}\n{text}", output.status),
    }
}

#[test]
fn what_is_seen() {
    if std::env::var_os(ASKED).is_none() {
        return println!("skipped: the sanitizer is not in this program");
    }
    // Of one word, std's pointer stands in the handle's place, in which the sanitizer is told to look: what is traced is reached
    // by it, leaked or not. What came from a raw pointer is reached by the table of those.
    let one_word = cfg!(refscope_thin);
    for (program, expected) in [
        ("std leaks", true),
        ("std drops", false),
        ("idle leaks", true),
        ("idle cycle", true),
        ("idle few", false),
        ("idle drops", false),
        ("tracked leaks", !one_word),
        ("tracked cycle", !one_word),
        ("tracked few", false),
        ("tracked many", false),
        ("tracked returned", false),
        ("tracked drops", false),
        // What std's pointer keeps is reported, though it has the memory of what was traced before.
        ("tracked std leaks", true),
    ] {
        assert_eq!(reported(program), expected, "{program}");
    }
}
