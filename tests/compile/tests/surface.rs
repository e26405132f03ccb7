//! No function and no impl of std's pointers is forgotten.
//!
//! `surface/std-1.95.md` lists every stable function and trait impl of the five types, as std's documentation of
//! Rust 1.95 has them. For each row this test writes a probe that only compiles if refscope has the same: a function
//! of the same signature that calls ours, or a demand for the trait under the same bounds. What cannot be given on
//! plain stable stands in `MISSING`, with the reason; the test fails for what is neither, and for what stands there
//! without need. Off, the types are std's, and there is nothing to check.

use std::fmt::Write as _;
use std::path::PathBuf;
use std::process::Command;

/// Rows that cannot be had, by a part of their text, and why.
const MISSING: &[(&str, &str)] = &[
    ("DispatchFromDyn", "a handle has a second word"),
    ("DerefPure", "unstable; it serves box patterns, which are the compiler's"),
    ("ByteStr", "an unstable type"),
    ("> Allocator for", "an unstable trait"),
    ("AsyncIterator", "an unstable trait"),
    ("Coroutine", "an unstable trait"),
    ("LocalWake", "an unstable trait"),
    ("CloneFromCell", "an unstable trait"),
    ("UseCloned", "an unstable trait"),
    (
        "PinCoerceUnsized for Weak",
        "unstable, and of no use: a `Weak` is no `Deref`, which later compilers demand",
    ),
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
    let missing: Vec<_> = (compile("surface", &source).into_iter())
        .map(|(line, message)| {
            let row = lines.iter().rev().find(|(at, _)| *at <= line).map_or("?", |(_, row)| row);
            format!("{row}\n    {message}")
        })
        .collect();
    assert!(missing.is_empty(), "missing or different:\n{}", missing.join("\n"));
    println!("{rows} rows: {} are there, {waived} cannot be", probes.len());
    assert!(rows > 330, "the list is whole: {rows}");
}

/// What the compiler warns of where a value is left unused is the same of std's functions and of ours.
#[test]
fn what_must_be_used_is_stds() {
    let mut statements = Vec::new();
    for (pointer, raw) in [("Rc", "p"), ("Arc", "p"), ("Box", "p.cast_mut()")] {
        for call in
            OF_EACH.lines().chain(if pointer == "Box" { OF_BOX } else { OF_COUNTED }.lines())
        {
            let call = call.trim().replace("P::", &format!("{pointer}::")).replace("RAW", raw);
            statements.push(format!(
                "let (p, mut a) = (std::ptr::null::<u8>(), {pointer}::new(1_u8)); {call};"
            ));
        }
    }
    for weak in ["rc::Weak", "sync::Weak"] {
        for call in OF_WEAK.lines() {
            let call = call.trim().replace("W::", &format!("{weak}::"));
            statements.push(format!(
                "let (p, w) = (std::ptr::null::<u8>(), {weak}::<u8>::new()); {call};"
            ));
        }
    }
    let mut source = String::from("#![allow(unused)] #![deny(unused_must_use)]\n");
    for krate in ["std", "refscope"] {
        for (number, statement) in statements.iter().enumerate() {
            let uses = "{boxed::Box, rc::{self, Rc}, sync::{self, Arc}}";
            writeln!(source, "fn {krate}{number}() {{ use {krate}::{uses}; {statement} }}")
                .unwrap();
        }
    }
    let errors = compile("must-use", &source);
    assert!(errors.iter().all(|(_, message)| message.contains("unused")), "{errors:#?}");
    // The lines of std's begin at 2, and those of ours after them.
    let of = |first: usize| -> Vec<&str> {
        let warned = |number: &usize| errors.iter().any(|(line, _)| *line == first + number);
        (0..statements.len()).filter(warned).map(|number| &*statements[number]).collect()
    };
    let (std, ours) = (of(2), of(2 + statements.len()));
    assert!(std.len() >= 40, "{std:#?}");
    assert_eq!(ours, std);
}

const OF_EACH: &str = "P::new(1_u8)
    P::<u8>::new_uninit()
    P::<[u8]>::new_uninit_slice(3)
    P::pin(1_u8)
    P::into_raw(a)
    unsafe { P::from_raw(RAW) }
    unsafe { P::<u8>::new_uninit().assume_init() }
    unsafe { P::<[u8]>::new_uninit_slice(3).assume_init() }
    a.clone()";
const OF_BOX: &str = "Box::leak(a)
    Box::into_pin(a)
    Box::<str>::from(\"a\").into_boxed_bytes()
    Box::<str>::from(\"a\").into_string()
    Box::<std::ffi::CStr>::from(c\"a\").into_c_string()
    Box::<std::ffi::OsStr>::from(std::ffi::OsStr::new(\"a\")).into_os_string()
    Box::<std::path::Path>::from(std::path::Path::new(\"a\")).into_path_buf()
    Box::<[u8]>::from([1]).into_vec()";
const OF_COUNTED: &str = "P::try_unwrap(a)
    P::into_inner(a)
    P::unwrap_or_clone(a)
    P::as_ptr(&a)
    P::downgrade(&a)
    P::strong_count(&a)
    P::weak_count(&a)
    P::get_mut(&mut a)
    P::make_mut(&mut a)
    P::ptr_eq(&a, &a)
    P::new_cyclic(|_| 1_u8)";
const OF_WEAK: &str = "W::<u8>::new()
    unsafe { W::from_raw(p) }
    w.into_raw()
    w.as_ptr()
    w.upgrade()
    w.strong_count()
    w.weak_count()
    w.ptr_eq(&w)
    w.clone()";

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
    // The list has no space between a signature and its `where`.
    let row = without_allocator(&row.replace("where ", " where "));
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
        (" A: 'static,", ""),
        (" A: 'a,", " T: 'a,"),
    ] {
        row = row.replace(from, to);
    }
    // What is left of `where` without a bound.
    row.trim_end().trim_end_matches(" where").to_owned()
}

/// `impl<G> Trait for Type where W` as a demand for the trait under the same bounds.
fn impl_probe(row: &str) -> String {
    let rest = row.strip_prefix("impl").unwrap();
    let (mut generics, rest) = match rest.strip_prefix('<') {
        Some(rest) => (split(&rest[..closing(rest)]), &rest[closing(rest) + 1..]),
        None => (Vec::new(), rest),
    };
    let (head, bounds) = rest.split_once(" where ").unwrap_or((rest, ""));
    let (demand, target) = head.trim().split_once(" for ").expect("an impl is for a type");
    if let Some(not) = demand.strip_prefix('!') {
        // Ambiguous, and so an error, if the trait is implemented after all.
        let target =
            target.replace("'a ", "'static ").replace("<T>", "<u8>").replace("[I]", "[u8]");
        return format!(
            "trait Not<X> {{ fn f() {{}} }} impl<Y: ?Sized> Not<()> for Y {{}} \
             impl<Y: ?Sized + {not}> Not<u8> for Y {{}} fn check() {{ <{target} as Not<_>>::f() }}"
        );
    }
    let demand = name_lifetimes(demand);
    let target = name_lifetimes(target);
    if demand.contains("'z") || target.contains("'z") {
        generics.insert(0, "'z".to_owned());
    }
    let own = generics.join(", ");
    // What std's impls imply of their references has to be said here.
    let mut bounds = bounds.trim().trim_end_matches(',').to_owned();
    for lifetime in generics.iter().filter(|parameter| parameter.starts_with('\'')) {
        for ty in generics.iter().filter(|p| !p.starts_with('\'') && !p.starts_with("const ")) {
            let comma = if bounds.is_empty() { "" } else { ", " };
            bounds.push_str(&format!("{comma}{}: {lifetime}", ty.split(':').next().unwrap()));
        }
    }
    // Types and constants are said, lifetimes are found.
    let mut arguments: Vec<_> = (generics.iter())
        .filter(|parameter| !parameter.starts_with('\''))
        .map(|parameter| {
            parameter.trim_start_matches("const ").split(':').next().unwrap().to_owned()
        })
        .collect();
    arguments.push(target);
    let comma = if own.is_empty() { "" } else { ", " };
    format!(
        "fn is<{own}{comma}X: ?Sized + {demand}>() where {bounds} {{}} \
         fn check<{own}>() where {bounds} {{ is::<{}>() }}",
        arguments.join(", ")
    )
}

/// Gives a name to lifetimes that have none.
fn name_lifetimes(text: &str) -> String {
    let mut named = String::new();
    let mut rest = text;
    while let Some(at) = rest.find('&') {
        named.push_str(&rest[..=at]);
        rest = &rest[at + 1..];
        if !rest.starts_with('\'') {
            named.push_str("'z ");
        }
    }
    named.push_str(rest);
    named.replace("'_", "'z")
}

/// A function of the same signature, which calls ours.
fn function_probe(row: &str, pointer: &str) -> String {
    let unsafe_ = if row.contains("unsafe fn") { "unsafe " } else { "" };
    let signature = row.split_once("fn ").unwrap().1;
    let (signature, mut bounds) = match signature.split_once(" where ") {
        Some((signature, bounds)) => (signature, bounds.to_owned()),
        None => (signature, String::new()),
    };
    let open = signature.find('(').unwrap();
    let (name, mut generics) = match signature[..open].split_once('<') {
        Some((name, generics)) => (name, split(generics.trim_end_matches('>'))),
        None => (&signature[..open], Vec::new()),
    };
    let close = open + signature[open..].find(") ->").or(signature[open..].rfind(')')).unwrap();
    let returns = &signature[close + 1..];
    let this = match name {
        "new_uninit_slice" | "new_zeroed_slice" => format!("{pointer}<[T]>"),
        "assume_init" if returns.contains("[T]") => format!("{pointer}<[MaybeUninit<T>]>"),
        "assume_init" | "write" => format!("{pointer}<MaybeUninit<T>>"),
        // The error gives it back.
        "downcast" => returns.trim_end_matches('>').split_once(">, ").unwrap().1.to_owned() + ">",
        _ => format!("{pointer}<T>"),
    };
    if !generics.iter().any(|generic| generic.starts_with('T')) {
        generics.push("T".to_owned());
    }
    if matches!(name, "make_mut" | "unwrap_or_clone") {
        bounds.push_str(" T: Clone,");
    }
    let parameters: Vec<(String, String)> = split(&signature[open + 1..close])
        .into_iter()
        .map(|parameter| match parameter.split_once(": ") {
            Some((name, of)) => (name.to_owned(), of.to_owned()),
            None => ("this".to_owned(), parameter.replace("self", &this)),
        })
        .collect();
    let declared: Vec<_> = parameters.iter().map(|(name, of)| format!("{name}: {of}")).collect();
    let passed: Vec<_> = parameters.iter().map(|(name, _)| name.as_str()).collect();
    format!(
        "{unsafe_}fn check<{}>({}){returns} where {bounds} {{ {unsafe_}{{ <{this}>::{name}({}) }} }}",
        generics.join(", "),
        declared.join(", "),
        passed.join(", ")
    )
}

/// Splits at commas that stand in no bracket.
fn split(text: &str) -> Vec<String> {
    let (mut parts, mut depth) = (vec![String::new()], 0);
    for c in text.chars() {
        match c {
            '<' | '(' | '[' => depth += 1,
            '>' | ')' | ']' => depth -= 1,
            ',' if depth == 0 => {
                parts.push(String::new());
                continue;
            }
            _ => {}
        }
        parts.last_mut().unwrap().push(c);
    }
    parts.into_iter().map(|part| part.trim().to_owned()).filter(|part| !part.is_empty()).collect()
}

/// Where the bracket that is open ends.
fn closing(text: &str) -> usize {
    let mut depth = 0;
    for (at, c) in text.char_indices() {
        match c {
            '<' => depth += 1,
            '>' if depth == 0 => return at,
            '>' => depth -= 1,
            _ => {}
        }
    }
    panic!("a bracket is open: {text}")
}

/// Checks `source` as a crate that depends on this one. Gives the lines and texts of the errors.
fn compile(name: &str, source: &str) -> Vec<(usize, String)> {
    let root = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../..").canonicalize().unwrap();
    let full = cfg!(refscope_coerce);
    let dir = root.join("target").join(if full { format!("{name}-full") } else { name.to_owned() });
    std::fs::create_dir_all(dir.join("src")).unwrap();
    let manifest = format!(
        "[package]\nname = \"probe\"\nedition = \"2024\"\n[workspace]\n[dependencies]\nrefscope = {{ path = {root:?} }}\n"
    );
    std::fs::write(dir.join("Cargo.toml"), manifest).unwrap();
    std::fs::write(dir.join("src/lib.rs"), source).unwrap();
    let _ = std::fs::copy(root.join("Cargo.lock"), dir.join("Cargo.lock"));
    let mut cargo = Command::new(env!("CARGO"));
    cargo.args(["check", "--quiet", "--message-format", "short"]).current_dir(&dir);
    cargo.env("CARGO_TARGET_DIR", dir.join("target"));
    if full {
        cargo.env("RUSTFLAGS", "--cfg full");
    }
    if std::env::var_os("RUSTC_BOOTSTRAP").is_some() {
        cargo.env("RUSTC_BOOTSTRAP", "refscope,probe");
    }
    let output = cargo.output().expect("cargo runs");
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    let errors: Vec<_> = (text.lines())
        .filter_map(|line| {
            let (line, message) = line.strip_prefix("src/lib.rs:")?.split_once(": error")?;
            Some((line.split(':').next()?.parse().ok()?, message.to_owned()))
        })
        .collect();
    assert!(output.status.success() || !errors.is_empty(), "the probe was not compiled:\n{text}");
    errors
}
