//! Which locations name a line of the user's, and which name std's or a derive's.

use crate::event::is_std_path;
use crate::source_file::{is_rust, read, workspace_of, workspaces_of_this_program};
use std::borrow::Cow;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::panic::Location;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU8, AtomicU64, AtomicUsize, Ordering};

/// Whose line a location names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Whose {
    /// The user's own.
    User = 1,
    /// std's, which did something for the user, in `vec.clone()` say.
    Std = 2,
    /// The name of a trait in a `#[derive(…)]`.
    Derive = 3,
    /// The user's own or a derive's: the source isn't there to be read.
    Unknown = 4,
}

const MASK: usize = align_of::<Location<'static>>() - 1;

/// The locations that were asked for: the address of one, and in its low bits the answer.
static SEEN: [AtomicUsize; SLOTS] = [const { AtomicUsize::new(0) }; SLOTS];
/// How often an unknown one was asked for.
static UNKNOWN: [AtomicU8; SLOTS] = [const { AtomicU8::new(0) }; SLOTS];
const SLOTS: usize = 4096;
const PROBES: usize = 8;

/// Stacks that are taken at a location of which nobody knows whether it is a derive's: enough to show who uses it.
const SAMPLES: u8 = 32;

/// Returns whether only a stack can tell which line of the user's made a clone with this location: whether it lies in std
/// or in a `#[derive(…)]`.
///
/// A derive's location looks like any other: what tells is the text at it. So the source file is read when a location is
/// first seen (some 20 µs), where it can be found; later answers cost a load or two. Nothing is allocated, and no lock waited
/// for, on Linux.
#[must_use]
#[inline]
pub fn needs_stack(location: &'static Location<'static>) -> bool {
    let address = std::ptr::from_ref(location).addr();
    // Relaxed: a word says all there is to know.
    let word = SEEN[first_slot(address)].load(Ordering::Relaxed);
    if word & !MASK == address && word & MASK != Whose::Unknown as usize {
        return word & MASK != Whose::User as usize;
    }
    needs_stack_slow(location)
}

#[inline]
fn first_slot(address: usize) -> usize {
    // The high bits of a product depend on all of its operand.
    (address as u64).wrapping_mul(0x9E37_79B9_7F4A_7C15) as usize >> (usize::BITS - SLOTS.ilog2())
}

#[cold]
#[inline(never)]
fn needs_stack_slow(location: &'static Location<'static>) -> bool {
    let address = std::ptr::from_ref(location).addr();
    for step in 0..PROBES {
        let slot = (first_slot(address) + step) % SLOTS;
        let mut word = SEEN[slot].load(Ordering::Relaxed);
        if word == 0 {
            let new = address | classify(location) as usize;
            match SEEN[slot].compare_exchange(0, new, Ordering::Relaxed, Ordering::Relaxed) {
                Ok(_) => word = new,
                Err(other) => word = other,
            }
        }
        if word & !MASK == address {
            return match word & MASK {
                answer if answer == Whose::User as usize => false,
                answer if answer == Whose::Unknown as usize => {
                    let count = UNKNOWN[slot].load(Ordering::Relaxed);
                    // Two threads may count one, which only samples one more.
                    UNKNOWN[slot].store(count.saturating_add(1), Ordering::Relaxed);
                    count < SAMPLES
                }
                _ => true,
            };
        }
    }
    // So many locations that there is no room for another: it is known without a table whether it is std's.
    is_std_path(location.file())
}

fn classify(location: &'static Location<'static>) -> Whose {
    if is_std_path(location.file()) {
        return Whose::Std;
    }
    let whose = |text: &str| whose(text, location.line(), location.column());
    with_source(location.file(), whose).unwrap_or(Whose::Unknown)
}

#[cfg(all(feature = "trace", target_os = "linux", not(miri)))]
use super::source::with_source;

#[cfg(not(all(feature = "trace", target_os = "linux", not(miri))))]
fn with_source<R>(file: &str, f: impl FnOnce(&str) -> R) -> Option<R> {
    read_source(file).map(|text| f(&text))
}

/// Asks for what is not to be asked for when a location is looked at.
#[cfg(feature = "trace")]
pub(crate) fn prepare() {
    #[cfg(all(target_os = "linux", not(miri)))]
    super::source::prepare();
}

/// Whose a line is, given its file's text. [`Whose::Unknown`] if the text can't be what was compiled.
pub(super) fn whose(text: &str, line: u32, column: u32) -> Whose {
    let Some(at) = offset(text, line, column) else { return Whose::Unknown };
    if !text[at..].starts_with(|first: char| !first.is_whitespace()) {
        return Whose::Unknown;
    }
    if in_derive(text, at) { Whose::Derive } else { Whose::User }
}

/// What [`is_user`](crate::event::Location::is_user) found out: a report asks it of each handle, and most were made by few
/// lines. It has no lock, and nothing on the heap, for a report may be one of a process that was forked, or of its exit.
static USERS: [AtomicU64; SLOTS] = [const { AtomicU64::new(0) }; SLOTS];

impl crate::event::Location {
    /// Returns whether the line is the user's own: neither std's nor a derive's, for all that the source tells.
    ///
    /// What a recording names is read only if it is a file of Rust.
    pub(crate) fn is_user(&self) -> bool {
        if self.is_std() {
            return false;
        }
        let (slot, hash) = self.known_at();
        let known = slot.load(Ordering::Relaxed);
        if known & !1 == hash {
            return known & 1 == 1;
        }
        let is_user = self.is_user_by_source();
        slot.store(hash | u64::from(is_user), Ordering::Relaxed);
        is_user
    }

    /// Where it is remembered whether the line is the user's, and as what: a hash, whose lowest bit is the answer's.
    fn known_at(&self) -> (&'static AtomicU64, u64) {
        let mut hasher = DefaultHasher::new();
        (&self.file, self.line, self.column).hash(&mut hasher);
        let hash = hasher.finish();
        // No search of the memory shall take it for an address.
        (&USERS[hash as usize % SLOTS], (hash | 1 << 63) & !1)
    }

    fn is_user_by_source(&self) -> bool {
        let is_ours = matches!(self.file, Cow::Borrowed(_));
        let source = || {
            let readable = is_ours || is_rust(Path::new(&*self.file));
            let as_built = || {
                let mut roots = workspaces_of_this_program().iter().filter(|_| is_ours);
                roots.find_map(|root| read(&root.join(&*self.file)))
            };
            readable.then(|| read_source(&self.file).or_else(as_built)).flatten()
        };
        let is_derive = |text: String| whose(&text, self.line, self.column) == Whose::Derive;
        !source().is_some_and(is_derive)
    }

    /// The line of a frame, as a path from the workspace that the program was built in, as the compiler's own locations have it; or
    /// from the working directory; where it is below that.
    pub(crate) fn of_frame(frame: &super::Frame) -> Option<Self> {
        let (file, line) = (frame.file.as_deref()?, frame.line?);
        let built = || workspace_of(Path::new(frame.module.as_deref()?));
        let here = || std::env::current_dir().ok();
        let below =
            |root: PathBuf| Some(Path::new(file).strip_prefix(root).ok()?.to_str()?.to_owned());
        let named = || workspaces_of_this_program().iter().cloned().find_map(below);
        let relative = built().and_then(below).or_else(named).or_else(|| here().and_then(below));
        let file = relative.unwrap_or_else(|| file.to_owned());
        Some(Self::new(file, line, frame.column.unwrap_or(1)))
    }
}

/// The index of a line's and column's character, both counted from 1.
fn offset(text: &str, line: u32, column: u32) -> Option<usize> {
    let mut start = 0;
    for _ in 1..line {
        start += text[start..].find('\n')? + 1;
    }
    let line = text[start..].lines().next()?;
    let (at, _) = line.char_indices().nth((column as usize).checked_sub(1)?)?;
    Some(start + at)
}

/// Whether what stands at a line and column is a call, or a macro's: `clone()`, `Arc::clone(&x)`, `f::<T>(x)`, `vec![]`. A
/// field's declaration isn't, to which debug information leads from a derived function.
#[cfg_attr(not(any(feature = "stacks", test)), allow(dead_code))]
pub(super) fn is_call(text: &str, line: u32, column: u32) -> bool {
    let Some(at) = offset(text, line, column) else { return false };
    let text = &text[at..];
    let first = text.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(text.len());
    if matches!(&text[..first], "pub" | "fn") {
        return false;
    }
    // Over a path and the arguments of generics, to what follows it.
    let mut depth = 0_i32;
    let mut chars = text.chars().peekable();
    while let Some(c) = chars.next() {
        match c {
            '<' => depth += 1,
            '>' => depth -= 1,
            ':' if depth == 0 && chars.next_if_eq(&':').is_none() => return false,
            '(' | '!' if depth == 0 => return first > 0 || text.starts_with('<'),
            c if depth > 0 || c.is_alphanumeric() || "_:".contains(c) => {}
            // `self.field.clone()` begins with what it is called on.
            '.' | '&' | '*' => {}
            _ => return false,
        }
    }
    false
}

/// Whether what begins at `at` stands in the list of a `#[derive(…)]`, or of one inside a `#[cfg_attr(…)]`.
fn in_derive(text: &str, at: usize) -> bool {
    let Some(word) = text[..at].rfind("derive") else { return false };
    // `derive`, and what stands in for it in other crates: `derive_where`.
    let rest = &text[word..at];
    let list = rest.trim_start_matches(|c: char| c.is_alphanumeric() || c == '_').trim_start();
    let Some(list) = list.strip_prefix('(') else { return false };
    // Nothing but paths, commas, blanks and comments stand in between.
    let listed = list.lines().all(|line| {
        let code = line.split("//").next().unwrap_or_default();
        code.chars().all(|c| c.is_alphanumeric() || c.is_whitespace() || "_:,".contains(c))
    });
    let before = &text[..word];
    listed && !before.ends_with(|c: char| c.is_alphanumeric() || c == '_') && in_attribute(before)
}

/// Whether text ends inside `#[…`, as in `#[` and `#[cfg_attr(feature = "x", `.
fn in_attribute(text: &str) -> bool {
    text.rfind("#[").is_some_and(|open| {
        let mut depth = 0_i32;
        for c in text[open + 1..].chars() {
            match c {
                '[' => depth += 1,
                ']' => depth -= 1,
                _ => {}
            }
            if depth == 0 {
                return false;
            }
        }
        true
    })
}

/// Reads a source file, as a location or debug information names it.
///
/// The compiler was given paths relative to the workspace; a program can run anywhere. So they are looked for in the
/// working directory, the one of the package that cargo names, the executable's, and what is above each.
pub(super) fn read_source(file: &str) -> Option<String> {
    let path = Path::new(file);
    if path.is_absolute() {
        return read(path);
    }
    let roots = [
        std::env::current_dir().ok(),
        std::env::var_os("CARGO_MANIFEST_DIR").map(PathBuf::from),
        std::env::current_exe().ok(),
    ];
    let mut ancestors = roots.iter().flatten().flat_map(|root| root.ancestors().take(5));
    ancestors.find_map(|root| read(&root.join(path)))
}

#[cfg(test)]
mod tests {
    use super::{Whose, is_call, is_std_path, needs_stack, read_source, whose};
    use std::panic::Location;

    /// What `whose` says of the place marked by `^` under the line before.
    fn at_mark(text: &str) -> Whose {
        let mark = text.lines().position(|line| line.trim() == "^").expect("a mark");
        let column = text.lines().nth(mark).and_then(|line| line.find('^')).expect("a mark");
        let lines: Vec<_> = text.lines().enumerate().filter(|(n, _)| *n != mark).collect();
        let source: Vec<_> = lines.into_iter().map(|(_, line)| line).collect();
        whose(&source.join("\n"), mark as u32, column as u32 + 1)
    }

    #[test]
    fn derives_are_known_by_the_text() {
        for text in [
            "#[derive(Clone)]\n         ^\nstruct A;",
            "#[derive(Debug, Clone)]\n                ^\nstruct A;",
            "#[derive(\n    Debug, // a (comment)\n    Clone,\n    ^\n)]\nstruct A;",
            "#[cfg_attr(feature = \"x\", derive(Clone))]\n                                 ^",
            "#[cfg_attr(all(a, not(b)), derive(serde::Serialize, Clone))]\n                                                    ^",
            "    #[derive(derivative::Derivative)]\n             ^",
            "#[derive_where(Clone)]\n               ^",
            "#[ derive ( Clone ) ]\n             ^",
        ] {
            assert_eq!(at_mark(text), Whose::Derive, "{text}");
        }
    }

    #[test]
    fn lines_of_code_are_the_users() {
        for text in [
            "let b = a.clone();\n          ^",
            "let b = Clone::clone(&a);\n        ^",
            "#[derive(Clone)] struct A; fn f(a: &B) { (a.clone()) }\n                                            ^",
            "derive(a.clone());\n       ^",
            "derive(Clone::clone(&a));\n       ^",
            "f(a, Clone::clone(&b))\n     ^",
            "#[derive(Clone)]\nstruct A;\nfn f() { derive(Clone::clone(x)) }\n                ^",
        ] {
            assert_eq!(at_mark(text), Whose::User, "{text}");
        }
    }

    #[test]
    fn calls_and_fields() {
        for call in [
            "clone()",
            "clone::<T>(x)",
            "Arc::clone(&x)",
            "Arc::<T>::clone(x)",
            "self.a.clone()",
            "vec![a]",
            "<A as B>::c(d)",
        ] {
            assert!(is_call(call, 1, 1), "{call}");
        }
        for field in [
            "a: Arc<T>,",
            "pub a: Arc<T>,",
            "pub(crate) a: Arc<T>",
            "Arc<T>,",
            "Arc<T>)",
            "a::B);",
            "fn(u8)",
            "[A; 2])",
            "",
            "(A, B))",
        ] {
            assert!(!is_call(field, 1, 1), "{field}");
        }
        assert!(!is_call("clone()", 2, 1));
    }

    #[test]
    fn text_that_is_not_what_was_compiled() {
        assert_eq!(whose("", 1, 1), Whose::Unknown);
        assert_eq!(whose("a\nb", 3, 1), Whose::Unknown);
        assert_eq!(whose("a\nb", 2, 9), Whose::Unknown);
        assert_eq!(whose("    a", 1, 2), Whose::Unknown);
        assert_eq!(whose("a", 0, 0), Whose::Unknown);
        // Columns count characters.
        assert_eq!(whose("/* ä */ a.clone()", 1, 9), Whose::User);
    }

    #[test]
    fn std_is_known_by_its_path() {
        for path in [
            "/rustc/59807616e1fa2540724bfbac14d7976d7e4a3860/library/alloc/src/slice.rs",
            "/home/u/.rustup/toolchains/nightly-x/lib/rustlib/src/rust/library/core/src/option.rs",
        ] {
            assert!(is_std_path(path), "{path}");
        }
        for path in ["src/library/main.rs", "/home/u/rustc/library/a.rs", "/rustc/src/main.rs"] {
            assert!(!is_std_path(path), "{path}");
        }
    }

    #[derive(Clone)]
    struct Inner(Spy);

    /// Says where it was cloned.
    struct Spy(&'static Location<'static>);

    impl Clone for Spy {
        #[track_caller]
        fn clone(&self) -> Self {
            Self(Location::caller())
        }
    }

    #[test]
    fn real_locations() {
        let first = Spy(Location::caller());
        let by_user = first.clone().0;
        let by_derive = Inner(first.clone()).clone().0.0;
        let by_std = vec![first.clone()].clone()[0].0;
        let by_option = Some(&first).cloned().expect("some").0;
        // Twice: by the source, and from the table.
        for _ in 0..2 {
            assert!(!needs_stack(by_user), "{by_user}");
            assert!(needs_stack(by_derive), "{by_derive}");
            assert!(needs_stack(by_std), "{by_std}");
            assert!(needs_stack(by_option), "{by_option}");
        }
        let text = read_source(by_derive.file()).expect("this file");
        assert_eq!(whose(&text, by_derive.line(), by_derive.column()), Whose::Derive);
    }

    #[test]
    fn sources_are_found_from_below() {
        assert!(read_source("src/stack/location.rs").is_some());
        assert!(read_source("no/such/file.rs").is_none());
    }

    #[test]
    fn a_source_is_read_once_for_a_line() {
        let file = std::env::temp_dir().join(format!("refscope-once-{}.rs", std::process::id()));
        std::fs::write(&file, "#[derive(Clone)]\nstruct A;\n").expect("a file to write");
        let at = crate::event::Location::new(file.display().to_string(), 1, 10);
        assert!(!at.is_user());
        std::fs::remove_file(&file).expect("it is there");
        assert!(!at.is_user(), "a report asks for each handle");
        let other = crate::event::Location::new(file.display().to_string(), 2, 1);
        assert!(other.is_user());
    }
}
