//! How deep recursion goes through our pointers in a debug build, where hardly anything is inlined and each move is a
//! copy, and how large a value may be.
//!
//! Depth is what one level takes on the stack: the addresses of locals say. It is at least 85 % of what it is with std's
//! pointers, but for what a handle's second word costs: see `SHALLOWER`.
#![cfg(all(feature = "trace", debug_assertions))]

use std::cell::Cell;
use std::fmt;

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
const SHALLOWER: &[(&str, f64, &str)] = &[
    (
        "drop",
        0.70,
        "the compiler's drop glue of a struct of two fields is a frame between std's, and is not inlined",
    ),
    ("build", 0.80, "the program's own frame holds handles, which are a word larger"),
    ("expression", 0.70, "the same, and two of std's handles are returned in registers"),
];

/// What programs do recursively with a pointer. Gives the bytes a level of each.
macro_rules! recursions {
    ($name:ident, $($pointer:ident)::+) => {
        fn $name() -> Vec<(&'static str, f64)> {
            use $($pointer)::+ as Ptr;

            struct Mark;
            impl Drop for Mark {
                fn drop(&mut self) {
                    mark();
                }
            }
            impl Clone for Mark {
                fn clone(&self) -> Self {
                    mark();
                    Self
                }
            }
            impl fmt::Debug for Mark {
                fn fmt(&self, _: &mut fmt::Formatter<'_>) -> fmt::Result {
                    mark();
                    Ok(())
                }
            }
            impl PartialEq for Mark {
                fn eq(&self, _: &Self) -> bool {
                    mark();
                    true
                }
            }
            impl std::hash::Hash for Mark {
                fn hash<H: std::hash::Hasher>(&self, _: &mut H) {
                    mark();
                }
            }

            #[derive(Clone, Debug, PartialEq, Hash)]
            struct Node {
                mark: Mark,
                next: Option<Ptr<Node>>,
                value: u64,
                text: String,
            }

            fn build(levels: usize) -> Option<Ptr<Node>> {
                mark();
                if levels == 0 {
                    return None;
                }
                let next = build(levels - 1);
                Some(Ptr::new(Node { mark: Mark, next, value: levels as u64, text: String::new() }))
            }

            fn sum(node: &Ptr<Node>) -> u64 {
                mark();
                node.value + node.next.as_ref().map_or(0, sum)
            }

            fn walk(node: Option<&Ptr<Node>>) -> u64 {
                mark();
                match node {
                    Some(node) => node.value + walk(node.next.as_ref()),
                    None => 0,
                }
            }

            // As an interpreter's expressions are evaluated.
            enum Expression {
                Number(u64),
                Add(Ptr<Expression>, Ptr<Expression>),
            }
            fn expression(levels: usize) -> Expression {
                mark();
                match levels {
                    0 => Expression::Number(1),
                    _ => Expression::Add(
                        Ptr::new(expression(levels - 1)),
                        Ptr::new(Expression::Number(1)),
                    ),
                }
            }
            fn evaluate(expression: &Expression) -> u64 {
                mark();
                match expression {
                    Expression::Number(number) => *number,
                    Expression::Add(left, right) => evaluate(left) + evaluate(right),
                }
            }

            let mut list = None;
            let mut all = vec![("build", level(|| list = build(LEVELS)))];
            let list = list.unwrap();
            all.push(("map_or", level(|| assert_eq!(sum(&list), (LEVELS * (LEVELS + 1) / 2) as u64))));
            all.push(("walk", level(|| assert!(walk(Some(&list)) > 0))));
            let mut other = None;
            all.push(("clone", level(|| other = Some(Node::clone(&list)))));
            all.push(("eq", level(|| assert!(Some(&*list) == other.as_ref()))));
            let mut hasher = std::hash::DefaultHasher::new();
            all.push(("hash", level(|| std::hash::Hash::hash(&list, &mut hasher))));
            let mut text = String::new();
            all.push(("debug", level(|| fmt::write(&mut text, format_args!("{list:?}")).unwrap())));
            drop(other);
            all.push(("drop", level(|| drop(list))));
            let mut tree = None;
            all.push(("expression", level(|| tree = Some(expression(LEVELS)))));
            all.push(("evaluate", level(|| assert!(evaluate(tree.as_ref().unwrap()) > 0))));
            all
        }
    };
}

recursions! { std_box, std::boxed::Box }
recursions! { our_box, refscope::Box }
recursions! { std_rc, std::rc::Rc }
recursions! { our_rc, refscope::Rc }
recursions! { std_arc, std::sync::Arc }
recursions! { our_arc, refscope::Arc }

#[test]
fn recursion_goes_as_deep() {
    let (mut shallow, mut measured) = (Vec::new(), 0);
    for (name, std, ours) in [
        ("Box", std_box as fn() -> _, our_box as fn() -> _),
        ("Rc", std_rc, our_rc),
        ("Arc", std_arc, our_arc),
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
