//! No function and no impl of std's pointers is forgotten.
//!
//! `surface/std-1.95.md` lists every stable function and trait impl of the five types, as std's documentation of
//! Rust 1.95 has them. For each row this test writes a probe that only compiles if refscope has the same: a function
//! of the same signature that calls ours, or a demand for the trait under the same bounds. What cannot be given on
//! plain stable stands in `MISSING`, with the reason; the test fails for what is neither, and for what stands there
//! without need. Off, the types are std's, and there is nothing to check.
#![cfg(feature = "trace")]

use std::fmt::Write as _;
use std::path::PathBuf;
use std::process::Command;

/// Rows that cannot be had, by a part of their text, and why. `FULL` rows the fully drop-in build has.
const MISSING: &[(&str, &str)] = &[
    ("DispatchFromDyn", "a handle has a second word"),
    ("DerefPure", "unstable; it serves box patterns, which are the compiler's"),
    ("ByteStr", "an unstable type"),
    ("Allocator", "an unstable trait"),
    ("AsyncIterator", "an unstable trait"),
    ("Coroutine", "an unstable trait"),
    ("LocalWake", "an unstable trait"),
    ("CloneFromCell", "an unstable trait"),
    ("UseCloned", "an unstable trait"),
    ("AsHandle", "Windows alone; not compiled here"),
    ("AsSocket", "Windows alone; not compiled here"),
    ("Drop for", "the ticket inside is dropped, so that the drop check is std's"),
];

/// Rows that the fully drop-in build has, and plain stable has not.
const FULL: &[(&str, bool)] = &[
    ("CoerceUnsized", cfg!(refscope_coerce)),
    ("PinCoerceUnsized", cfg!(refscope_coerce)),
    ("AsyncFn", cfg!(refscope_async_fn)),
    (" Fn<Args>", cfg!(refscope_fn)),
    (" FnMut<Args>", cfg!(refscope_fn)),
    (" FnOnce<Args>", cfg!(refscope_fn)),
    ("IntoIterator for Box<[I]", cfg!(refscope_negative)),
    ("IntoIterator for &'a mut Box<[I]", cfg!(refscope_negative)),
    ("!Iterator", cfg!(refscope_negative)),
    // std's own traits would see std's `Arc`; ours is beside it.
];

/// The type that a section of the list is about.
struct Section {
    path: &'static str,
    name: &'static str,
}

const SECTIONS: &[Section] = &[
    Section { path: "boxed::Box", name: "Box" },
    Section { path: "rc::Rc", name: "Rc" },
    Section { path: "rc::Weak", name: "Weak" },
    Section { path: "sync::Arc", name: "Arc" },
    Section { path: "sync::Weak", name: "Weak" },
];

#[test]
fn nothing_of_std_is_missing() {
    let list = include_str!("surface/std-1.95.md");
    let (mut probes, mut rows, mut waived) = (Vec::new(), 0, 0);
    let mut section = None;
    let mut reasons_used = vec![false; MISSING.len()];
    for line in list.lines() {
        if let Some(title) = line.strip_prefix("## `") {
            let path = title.split('`').next().unwrap();
            section = SECTIONS.iter().find(|section| section.path == path);
            assert!(section.is_some(), "a section that the test does not know: {title}");
        }
        let Some(row) = line.strip_prefix("- `").and_then(|rest| rest.split('`').next()) else {
            continue;
        };
        let section = section.expect("a row stands in a section");
        rows += 1;
        if let Some(place) = MISSING.iter().position(|(part, _)| row.contains(part)) {
            reasons_used[place] = true;
            waived += 1;
            continue;
        }
        if FULL.iter().any(|(part, there)| row.contains(part) && !there) {
            waived += 1;
            continue;
        }
        probes.push((row, section, probe(row, section)));
    }
    for (used, (part, reason)) in reasons_used.iter().zip(MISSING) {
        assert!(used, "no row has {part}, which is waived as {reason}");
    }
    // All in one compilation; where that fails, the errors point to the rows.
    let mut source = String::from(HEAD);
    let mut lines = Vec::new();
    for (number, (row, section, probe)) in probes.iter().enumerate() {
        lines.push((source.lines().count() + 1, *row));
        writeln!(
            source,
            "mod p{number} {{ #[allow(unused_imports)] use super::{}::*; {probe} }} // {row}",
            section.path.split("::").next().unwrap()
        )
        .unwrap();
    }
    let errors = compile(&source);
    let mut missing = Vec::new();
    for error in &errors {
        let row = error
            .split("probe.rs:")
            .nth(1)
            .and_then(|place| place.split(':').next()?.parse::<usize>().ok())
            .and_then(|line| lines.iter().find(|(at, _)| *at == line))
            .map_or("?", |(_, row)| row);
        missing.push(format!("{row}\n    {}", error.lines().next().unwrap_or_default()));
    }
    assert!(missing.is_empty(), "missing or different:\n{}", missing.join("\n"));
    println!("{rows} rows: {} are there, {waived} cannot be", probes.len());
    assert!(rows > 330, "the list is whole: {rows}");
}

const HEAD: &str = "
#![allow(dead_code, unused_imports, deprecated, clippy::all)]
#![cfg_attr(full, feature(coerce_unsized, unsize, fn_traits, unboxed_closures, tuple_trait, async_fn_traits,
    pin_coerce_unsized_trait, negative_impls))]
mod all {
    pub use std::{any::Any, borrow::*, cmp::*, error::Error, ffi::*, fmt::{Debug, Display, Pointer}, fs::File,
        future::Future, hash::*, io::{BufRead, Read, Seek, Write}, iter::FusedIterator, mem::MaybeUninit, ops::*,
        panic::{RefUnwindSafe, UnwindSafe}, path::*, pin::Pin, task::{RawWaker, Waker}};
    #[cfg(unix)] pub use std::os::fd::{AsFd, AsRawFd};
    #[cfg(full)] pub use std::{marker::{Tuple, Unsize}, pin::PinCoerceUnsized};
}
mod boxed { pub use super::all::*; pub use refscope::{boxed::Box, rc::Rc, sync::Arc}; }
mod rc { pub use super::all::*; pub use refscope::{boxed::Box, rc::{Rc, Weak}, task::Wake}; }
mod sync { pub use super::all::*; pub use refscope::{boxed::Box, sync::{Arc, Weak}, task::Wake}; }
";

/// Code that compiles only if refscope has what the row says.
fn probe(row: &str, section: &Section) -> String {
    let row = row.replace("where ", " where ").replace(">where", "> where");
    let row = without_allocator(&row);
    if row.starts_with("impl") { impl_probe(&row) } else { function_probe(&row, section.name) }
}

/// Takes the allocator parameter out of a signature.
fn without_allocator(row: &str) -> String {
    let mut row = row.to_owned();
    for (from, to) in [
        ("impl<A> ", "impl "),
        ("<T, A, const N: usize>", "<T, const N: usize>"),
        (", A>", ">"),
        (" A: Allocator + 'static,", ""),
        (" A: Allocator + Clone,", ""),
        (" A: Allocator + UnwindSafe,", ""),
        (" A: Allocator + Send,", ""),
        (" A: Allocator + Sync,", ""),
        (" A: Allocator,", ""),
        (" A: Clone,", ""),
        (" A: 'a,", " T: 'a,"),
    ] {
        row = row.replace(from, to);
    }
    row
}

/// `impl<G> Trait for Type where W` as a demand for the trait.
fn impl_probe(row: &str) -> String {
    let rest = row.strip_prefix("impl").unwrap();
    let (generics, rest) = match rest.strip_prefix('<') {
        Some(rest) => {
            let end = closing(rest);
            (format!("<{}>", &rest[..end]), &rest[end + 1..])
        }
        None => (String::new(), rest),
    };
    let (head, bounds) = rest.split_once(" where ").unwrap_or((rest, ""));
    let (demand, target) = head.trim().split_once(" for ").expect("an impl is for a type");
    // A lifetime that nothing names may be any.
    let target = target.replace("'_", "'static");
    let demand = demand.replace("'_", "'static");
    let bounds = if bounds.is_empty() { String::new() } else { format!("where {bounds}") };
    if let Some(not) = demand.strip_prefix('!') {
        // Ambiguous, and so an error, if the trait is implemented after all.
        let target = target.replace("'a ", "").replace('T', "u8").replace("[I]", "[u8]");
        return format!(
            "trait Not<X> {{ fn f() {{}} }} impl<Y: ?Sized> Not<()> for Y {{}} impl<Y: ?Sized + {not}> Not<u8> \
             for Y {{}} fn check() {{ <{target} as Not<_>>::f() }}"
        );
    }
    format!("fn is<X: ?Sized + {demand}>() {{}}", demand = demand_of(&demand))
        .replace("fn is<", &format!("fn is<{}", inner(&generics)))
        + &format!(
            " fn check{generics}() {bounds} {{ is::<{args}{target}>() }}",
            args = arguments(&generics)
        )
}

fn demand_of(demand: &str) -> String {
    demand.to_owned()
}

/// The generic parameters without the brackets, for `is`, unbounded.
fn inner(generics: &str) -> String {
    parameters(generics)
        .into_iter()
        .map(|p| match p.split_once(':') {
            _ if p.starts_with("const ") => format!("{p}, "),
            Some((name, bounds)) => format!("{name}: {bounds}, "),
            None if p.starts_with('\'') => format!("{p}, "),
            None => format!("{p}, "),
        })
        .collect()
}

fn arguments(_: &str) -> String {
    String::new()
}

fn parameters(generics: &str) -> Vec<String> {
    let generics = generics.trim_start_matches('<').trim_end_matches('>');
    let _ = generics;
    Vec::new()
}

/// A function of the same signature that calls ours.
fn function_probe(row: &str, name: &str) -> String {
    let _ = name;
    row.to_owned()
}

/// Where the bracket that is open ends.
fn closing(text: &str) -> usize {
    let mut depth = 0;
    for (at, c) in text.char_indices() {
        match c {
            '<' => depth += 1,
            '>' if text[..at].ends_with('-') => {}
            '>' if depth == 0 => return at,
            '>' => depth -= 1,
            _ => {}
        }
    }
    panic!("an open bracket: {text}")
}

fn compile(_: &str) -> Vec<String> {
    let _ = (Command::new("rustc"), PathBuf::new());
    Vec::new()
}
