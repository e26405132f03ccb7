//! How deep recursion goes through our pointers in a debug build, where hardly anything is inlined and each move is a
//! copy, and how large a value may be.
//!
//! Depth is what one level takes on the stack: the addresses of locals say. It is at least 85 % of what it is with std's
//! pointers, but for what a handle's second word costs: see `SHALLOWER`.
#![cfg(all(feature = "trace", debug_assertions))]

use std::cell::Cell;

thread_local! {
    /// The lowest address of a local that was seen.
    static LOWEST: Cell<usize> = const { Cell::new(usize::MAX) };
}

/// Notes how deep the stack is here.
#[inline(never)]
fn mark() {
    let here = 0_u8;
    let address = (&raw const here).addr();
    LOWEST.with(|lowest| lowest.set(lowest.get().min(address)));
}

/// How many bytes of stack `run` takes a level, of `LEVELS`.
fn level(run: impl FnOnce()) -> f64 {
    let here = 0_u8;
    LOWEST.with(|lowest| lowest.set(usize::MAX));
    run();
    let deep = (&raw const here).addr() - LOWEST.with(Cell::get);
    deep as f64 / LEVELS as f64
}

const LEVELS: usize = 200;

/// What goes less deep than 85 %, how deep it goes, and why.
#[cfg(not(refscope_thin))]
const SHALLOWER: &[(&str, f64, &str)] = &[
    (
        "drop",
        0.70,
        "the compiler's drop glue of a struct of two fields is a frame between std's, and is not inlined",
    ),
    ("build", 0.80, "the program's own frame holds handles, which are a word larger"),
    ("expression", 0.70, "the same, and two of std's handles are returned in registers"),
];

/// Handles of one word need no exception.
#[cfg(refscope_thin)]
const SHALLOWER: &[(&str, f64, &str)] = &[];

/// What programs do recursively with each pointer.
macro_rules! recursions {
    ($($name:ident: $pointer:path;)*) => {$(
        #[allow(clippy::borrowed_box)] // the recursion goes through the pointer
        mod $name {
            use $pointer as Ptr;
            include!("stack/recursions.rs");
        }
    )*};
}

recursions! {
    std_box: std::boxed::Box;
    our_box: refscope::Box;
    std_rc: std::rc::Rc;
    our_rc: refscope::Rc;
    std_arc: std::sync::Arc;
    our_arc: refscope::Arc;
}

#[test]
fn recursion_goes_as_deep() {
    let (mut shallow, mut measured) = (Vec::new(), 0);
    for (name, std, ours) in [
        ("Box", std_box::measure as fn() -> _, our_box::measure as fn() -> _),
        ("Rc", std_rc::measure, our_rc::measure),
        ("Arc", std_arc::measure, our_arc::measure),
    ] {
        for ((what, std), (_, ours)) in std().into_iter().zip(ours()) {
            // A clone of an `Rc` does not recurse.
            if std < 16.0 {
                continue;
            }
            let depth = std / ours;
            println!(
                "{name:<4}{what:<12}std {std:>4.0}  ours {ours:>4.0}  depth {:>4.0} %",
                100.0 * depth
            );
            let reason = SHALLOWER.iter().find(|(known, ..)| *known == what);
            if depth < reason.map_or(0.85, |(_, depth, _)| *depth) {
                shallow.push(format!("{name} {what}: {ours:.0} bytes a level, std {std:.0}"));
            }
            measured += 1;
        }
    }
    assert!(measured > 24, "{measured}");
    assert!(shallow.is_empty(), "{shallow:#?}");
}

const LARGE: usize = 5 << 20;

// A function each, since a debug build gives each temporary of a function a place of its own.

#[inline(never)]
fn by_std() -> u8 {
    Box::new([0_u8; LARGE])[LARGE - 1]
}

#[inline(never)]
fn by_ours() -> u8 {
    refscope::Box::new([0_u8; LARGE])[LARGE - 1]
}

/// With a copy more than std makes, to see that the test can tell.
#[inline(never)]
fn moved_twice() -> u8 {
    fn new(value: [u8; LARGE]) -> Box<[u8; LARGE]> {
        Box::new(value)
    }
    new([0_u8; LARGE])[LARGE - 1]
}

/// Allocates 5 MiB on a thread with 8 MiB of stack, by the way that the environment names.
#[test]
fn large_value() {
    let Ok(way) = std::env::var("REFSCOPE_TEST_LARGE") else { return };
    let way = match way.as_str() {
        "std" => by_std,
        "ours" => by_ours,
        _ => moved_twice,
    };
    let thread = std::thread::Builder::new().stack_size(8 << 20).spawn(way);
    assert_eq!(thread.unwrap().join().unwrap(), 0);
}

#[test]
fn a_large_value_is_moved_once() {
    let fits = |way| {
        let mut child = std::process::Command::new(std::env::current_exe().unwrap());
        child.args(["--exact", "large_value"]).env("REFSCOPE_TEST_LARGE", way);
        child.output().unwrap().status.success()
    };
    assert!(fits("std"));
    assert!(!fits("twice"), "the stack is too large to see a second copy");
    assert!(fits("ours"));
}
