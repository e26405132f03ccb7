//! What a stack is once it has names: plain data, and what a report asks of it.

use crate::event::is_std_path;
use std::fmt;

/// One function of a [`Stack`], and the line in it that called the one before.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct Frame {
    /// The function's path, as far as it is known: a function that was inlined has none where there are line tables only,
    /// and then this is its name.
    pub function: Option<String>,
    /// The source file, as the compiler was given it.
    pub file: Option<String>,
    /// The line, from 1.
    pub line: Option<u32>,
    /// The column, from 1.
    pub column: Option<u32>,
    /// The executable or shared library, by its path.
    pub module: Option<String>,
    /// The return address, relative to the module; one that lies in no module is as it was.
    pub offset: u64,
    /// Whether the function was inlined into the next frame's.
    pub inlined: bool,
    /// Whether the function is a derive's, as far as can be told by its source.
    pub derived: bool,
}

/// Whose code a [`Frame`] is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Origin<'a> {
    /// The program's own, as far as is known.
    User,
    /// A crate's that came from a registry, a repository or a folder of vendored ones, by name.
    Dependency(&'a str),
    /// What a `#[derive(…)]` wrote.
    Derive,
    /// std's, core's or alloc's.
    Std,
    /// refscope's.
    Refscope,
    /// The C library's and the linker's, and what nothing is known of.
    System,
}

impl Origin<'_> {
    /// Returns whether a person wrote it for the program or a crate that it uses: neither std, refscope nor a derive.
    #[must_use]
    pub const fn is_user(self) -> bool {
        matches!(self, Self::User | Self::Dependency(_))
    }
}

/// Where refscope's sources were when it was compiled.
const OWN_SOURCES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/src/");

impl Frame {
    pub(crate) fn unknown(module: Option<String>, offset: u64) -> Self {
        Self { module, offset, ..Self::default() }
    }

    /// Returns whose code it is: by the source file, else by the function's path.
    #[must_use]
    pub fn origin(&self) -> Origin<'_> {
        match (self.origin_by_file(), self.function.as_deref()) {
            // Another's impl for a type of the user's is in the other's file, and an impl of refscope's trait in the user's.
            // A recording's program may have refscope's sources in another place than this one.
            (Some(Origin::User), Some(function)) if crate_of(function) == "refscope" => {
                Origin::Refscope
            }
            (Some(origin), _) => origin,
            (None, Some(function)) => match crate_of(function) {
                _ if self.derived => Origin::Derive,
                "std" | "core" | "alloc" | "__rustc" | "proc_macro" | "test" => Origin::Std,
                "refscope" => Origin::Refscope,
                // What isn't Rust's has no path: `main`, `_start`, `__libc_start_main`.
                "" => Origin::System,
                _ => Origin::User,
            },
            (None, None) => Origin::System,
        }
    }

    fn origin_by_file(&self) -> Option<Origin<'_>> {
        let file = self.file.as_deref()?;
        Some(match dependency(file) {
            _ if is_std_path(file) => Origin::Std,
            _ if file.starts_with(OWN_SOURCES) => Origin::Refscope,
            _ if self.derived => Origin::Derive,
            Some("refscope") => Origin::Refscope,
            Some(name) => Origin::Dependency(name),
            None => Origin::User,
        })
    }

    /// Returns the function's path without the arguments of generics, or what stands for it: `app+0x1f40`.
    #[must_use]
    pub fn name(&self) -> String {
        match (&self.function, &self.module) {
            (Some(function), _) => without_generics(function),
            (None, Some(module)) => {
                let file = module.rsplit(['/', '\\']).next().unwrap_or(module);
                format!("{file}+{:#x}", self.offset)
            }
            (None, None) => format!("{:#x}", self.offset),
        }
    }

    /// Returns `file:line:column`, as far as it is known.
    #[must_use]
    pub fn location(&self) -> Option<String> {
        let mut text = self.file.clone()?;
        for number in [self.line, self.column].into_iter().map_while(|number| number) {
            text.push_str(&format!(":{number}"));
        }
        Some(text)
    }
}

/// `app::serve  src/main.rs:10:5`
impl fmt::Display for Frame {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name())?;
        self.location().map_or(Ok(()), |location| write!(f, "  {location}"))
    }
}

/// A stack with names, the innermost function first: plain data.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct Stack {
    /// The functions. One that was inlined comes before the one that it was inlined into.
    pub frames: Vec<Frame>,
}

/// A line of a stack as a report shows it: a function, or how many were left out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Line<'a> {
    /// A function of the user's.
    Frame(&'a Frame),
    /// Functions of others: `… 14 frames of tokio, std`.
    Folded {
        /// How many there are.
        count: usize,
        /// Whose they are, without repetition, the innermost first.
        of: Vec<&'a str>,
    },
}

impl fmt::Display for Line<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Frame(frame) => fmt::Display::fmt(frame, f),
            Self::Folded { count, of } => {
                let frames = if *count == 1 { "frame" } else { "frames" };
                write!(f, "… {count} {frames} of {}", of.join(", "))
            }
        }
    }
}

impl Stack {
    /// Makes a stack of frames, the innermost first.
    #[must_use]
    pub fn new(frames: Vec<Frame>) -> Self {
        Self { frames }
    }

    /// Returns the user's line, and the one that called its function: the first that is neither std's nor refscope's nor a
    /// derive's, and the next of the program's own.
    ///
    /// For `vec.clone()` or a derived `clone`, that is the line where it stands; for a drop, the one where the value's owner
    /// went out of scope.
    #[must_use]
    pub fn user_frame(&self) -> Option<(&Frame, Option<&Frame>)> {
        let mut users = self.frames.iter().filter(|frame| frame.origin().is_user());
        let first = users.next()?;
        let rest: Vec<_> = users.collect();
        let own = rest.iter().find(|frame| frame.origin() == Origin::User);
        Some((first, own.or(rest.first()).copied()))
    }

    /// Returns what a report shows: the user's functions, and in place of each row of others how many there are. What
    /// refscope did to take the stack, and what started the thread, is left out.
    #[must_use]
    pub fn lines(&self) -> Vec<Line<'_>> {
        let mut lines = Vec::new();
        let mut folded: Vec<Origin<'_>> = Vec::new();
        let own = |frame: &&Frame| frame.origin() == Origin::Refscope;
        for frame in self.frames.iter().skip_while(own) {
            let origin = frame.origin();
            if origin != Origin::User {
                folded.push(origin);
                continue;
            }
            lines.extend(fold(&folded));
            folded.clear();
            lines.push(Line::Frame(frame));
        }
        // Behind the program's first function there is nothing to be seen; a stack without any is shown whole.
        if lines.is_empty() && !folded.is_empty() {
            lines.extend(self.frames.iter().skip_while(own).map(Line::Frame));
        } else if folded.iter().any(|origin| origin.is_user()) {
            lines.extend(fold(&folded));
        }
        lines
    }

    /// Returns the stack as inferno and `flamegraph.pl` read it, without the number: the outermost function first,
    /// separated by `;`.
    #[must_use]
    pub fn folded(&self) -> String {
        let own = |frame: &&Frame| frame.origin() == Origin::Refscope;
        let frames: Vec<_> = self.frames.iter().skip_while(own).collect();
        let names = frames.iter().rev().map(|frame| frame.name().replace([';', '\n'], ":"));
        names.collect::<Vec<_>>().join(";")
    }
}

fn fold<'a>(origins: &[Origin<'a>]) -> Option<Line<'a>> {
    let mut of: Vec<&'a str> = Vec::new();
    for origin in origins {
        let name = match *origin {
            Origin::Dependency(name) => name,
            Origin::Derive => "derives",
            Origin::Std => "std",
            Origin::Refscope => "refscope",
            Origin::User | Origin::System => "the system",
        };
        if !of.contains(&name) {
            of.push(name);
        }
    }
    (!origins.is_empty()).then_some(Line::Folded { count: origins.len(), of })
}

/// The user's functions, one a line, and how many of others were left out.
impl fmt::Display for Stack {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (n, line) in self.lines().iter().enumerate() {
            let end = if n == 0 { "" } else { "\n" };
            write!(f, "{end}{line}")?;
        }
        Ok(())
    }
}

/// Returns lines for inferno or `flamegraph.pl`: each distinct stack once, with the sum of its numbers.
#[must_use]
pub fn flame_graph<'a>(stacks: impl IntoIterator<Item = (&'a Stack, u64)>) -> String {
    let mut sums = std::collections::BTreeMap::new();
    for (stack, number) in stacks {
        *sums.entry(stack.folded()).or_insert(0_u64) += number;
    }
    sums.iter().filter(|(folded, _)| !folded.is_empty()).fold(
        String::new(),
        |mut text, (folded, sum)| {
            text.push_str(&format!("{folded} {sum}\n"));
            text
        },
    )
}

/// The crate that a source file belongs to, if it came from elsewhere.
fn dependency(file: &str) -> Option<&str> {
    let part = |after: &str, skip: usize| {
        let (_, rest) = file.split_once(after)?;
        rest.split('/').nth(skip)
    };
    // `…/registry/src/INDEX/NAME-VERSION/…`, `…/git/checkouts/NAME-HASH/COMMIT/…`, `…/vendor/NAME/…`
    let registry = part("/registry/src/", 1).map(without_version);
    registry
        .or_else(|| part("/git/checkouts/", 0).and_then(|name| Some(name.rsplit_once('-')?.0)))
        .or_else(|| part("/vendor/", 0).map(without_version))
}

/// `tokio-1.40.0` is `tokio`, and `http2-0.4.0-rc.1` is `http2`.
fn without_version(name: &str) -> &str {
    let digit = |at: &usize| name[at + 1..].starts_with(|c: char| c.is_ascii_digit());
    name.match_indices('-').map(|(at, _)| at).find(digit).map_or(name, |at| &name[..at])
}

/// The crate in which a function is, by its path: `app` of `app::serve`, of `<app::A as core::clone::Clone>::clone` and of
/// `<alloc::vec::Vec<T> as app::Ext>::f`; `core` of `<T as core::convert::Into<U>>::into`. Empty where there is no path.
fn crate_of(function: &str) -> &str {
    let Some(inner) = function.strip_prefix('<') else { return first_of_path(function) };
    let (of, as_trait) = match split_as(inner) {
        Some((of, as_trait)) => (first_of_path(of), first_of_path(as_trait)),
        None => (first_of_path(inner), ""),
    };
    // An impl is in the crate of its type or of its trait; of the two the one that depends on the other.
    let is_std = |name: &str| matches!(name, "std" | "core" | "alloc" | "");
    match (of, as_trait) {
        (of, "") => of,
        (of, as_trait) if is_std(of) => as_trait,
        (of, as_trait) if is_std(as_trait) => of,
        ("refscope", as_trait) => as_trait,
        (of, _) => of,
    }
}

/// Splits `T as Trait>::method`, which follows a `<`.
fn split_as(text: &str) -> Option<(&str, &str)> {
    let mut depth = 0_i32;
    for (at, c) in text.char_indices() {
        match c {
            '<' | '(' | '[' => depth += 1,
            '>' if text[..at].ends_with('-') => {}
            '>' | ')' | ']' if depth == 0 => return None,
            '>' | ')' | ']' => depth -= 1,
            ' ' if depth == 0 && text[at..].starts_with(" as ") => {
                return Some((&text[..at], &text[at + 4..]));
            }
            _ => {}
        }
    }
    None
}

/// `app` of `&mut app::A<T>`; empty if there is no path, as of `T`, `[T]` and `main`.
fn first_of_path(text: &str) -> &str {
    let text = text.trim_start_matches(['&', '*', '(', '[', '<']);
    let text = ["mut ", "const ", "dyn "]
        .iter()
        .fold(text, |text, word| text.strip_prefix(word).unwrap_or(text));
    let end = text.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(text.len());
    if text[end..].starts_with("::") { &text[..end] } else { "" }
}

/// `a::f::<B<C>>` is `a::f`; `<a::A<B> as c::D<E>>::f` is `<a::A as c::D>::f`.
fn without_generics(function: &str) -> String {
    let mut text = String::with_capacity(function.len());
    let mut depth = 0_u32;
    // The `<` that a path begins with stays, and its `>`.
    let mut kept = 0_u32;
    for (at, c) in function.char_indices() {
        match c {
            '<' if depth == 0 && (at == 0 || text.is_empty()) => {
                kept += 1;
                text.push(c);
            }
            '<' => {
                if depth == 0 && text.ends_with("::") {
                    text.truncate(text.len() - 2);
                }
                depth += 1;
            }
            '>' if function[..at].ends_with('-') && depth > 0 => {}
            '>' if function[..at].ends_with('-') => text.push(c),
            '>' if depth > 0 => depth -= 1,
            '>' => {
                kept = kept.saturating_sub(1);
                text.push(c);
            }
            _ if depth == 0 => text.push(c),
            _ => {}
        }
    }
    text
}

/// Removes the hash that ends a name in the older of rustc's two ways of mangling: `::h0123456789abcdef`.
#[cfg_attr(not(any(feature = "stacks", test)), allow(dead_code))]
pub(crate) fn strip_hash(function: &mut String) {
    let at = function.len().wrapping_sub(19);
    let is_hash = |end: &str| {
        end.strip_prefix("::h").is_some_and(|hash| hash.bytes().all(|b| b.is_ascii_hexdigit()))
    };
    if function.get(at..).is_some_and(is_hash) {
        function.truncate(at);
    }
}

#[cfg(test)]
mod tests {
    use super::{
        Frame, Origin, Stack, crate_of, flame_graph, strip_hash, without_generics, without_version,
    };

    const STD: &str = "/rustc/59807616e1fa2540724bfbac14d7976d7e4a3860/library/alloc/src/slice.rs";
    const TOKIO: &str =
        "/home/u/.cargo/registry/src/index.crates.io-1949cf8c6b5b557f/tokio-1.40.0/src/task.rs";

    fn frame(function: &str, file: &str, line: u32) -> Frame {
        Frame {
            function: (!function.is_empty()).then(|| function.to_owned()),
            file: (!file.is_empty()).then(|| file.to_owned()),
            line: (line > 0).then_some(line),
            module: Some("/app/bin/app".to_owned()),
            offset: 0x1f40,
            ..Frame::default()
        }
    }

    /// `vec.clone()` in a task of tokio's.
    fn example() -> Stack {
        Stack::new(vec![
            frame(
                "refscope::stack::capture::record",
                &format!("{}stack.rs", super::OWN_SOURCES),
                1,
            ),
            frame("<refscope::sync::Arc<T> as core::clone::Clone>::clone", "", 0),
            frame("<T as alloc::slice::to_vec>", STD, 432),
            Frame {
                derived: true,
                ..frame("<app::State as core::clone::Clone>::clone", "/a/src/s.rs", 7)
            },
            frame("app::serve::{{closure}}", "/a/src/serve.rs", 10),
            frame("tokio::task::poll::<app::F>", TOKIO, 3),
            frame("tokio::task::run", TOKIO, 4),
            frame("core::ops::function::FnOnce::call_once", STD, 1),
            frame("app::main", "/a/src/main.rs", 20),
            frame("std::rt::lang_start", STD, 5),
            frame("main", "", 0),
            frame("", "", 0),
        ])
    }

    #[test]
    fn the_users_line_and_its_caller() {
        let stack = example();
        let (line, caller) = stack.user_frame().expect("there is one");
        assert_eq!(line.name(), "app::serve::{{closure}}");
        assert_eq!(caller.map(Frame::name).as_deref(), Some("app::main"));
        let tokio = Stack::new(stack.frames[5..].to_vec());
        let (line, caller) = tokio.user_frame().expect("tokio's");
        assert_eq!(line.location(), Some(format!("{TOKIO}:3")));
        assert_eq!(caller.map(Frame::name).as_deref(), Some("app::main"));
        assert_eq!(Stack::new(stack.frames[..4].to_vec()).user_frame(), None);
        assert_eq!(Stack::default().user_frame(), None);
    }

    #[test]
    fn a_report_folds_what_is_not_the_users() {
        assert_eq!(
            example().to_string(),
            "… 2 frames of std, derives\n\
             app::serve::{{closure}}  /a/src/serve.rs:10\n\
             … 3 frames of tokio, std\n\
             app::main  /a/src/main.rs:20"
        );
        // Nothing of the user's: then whatever there is.
        let stripped = Stack::new(vec![frame("", "", 0), frame("", "", 0)]);
        assert_eq!(stripped.to_string(), "app+0x1f40\napp+0x1f40");
    }

    #[test]
    fn flame_graphs_sum_what_is_alike() {
        let stack = Stack::new(vec![frame("b::<X>", "", 0), frame("a;c", "", 0)]);
        let text = flame_graph([(&stack, 2), (&stack, 3), (&Stack::default(), 1)]);
        assert_eq!(text, "a:c;b 5\n");
        assert!(example().folded().starts_with("app+0x1f40;main;std::rt::lang_start;app::main;"));
        assert!(example().folded().ends_with("<T as alloc::slice::to_vec>"));
    }

    #[test]
    fn whose_code_it_is() {
        let by_name = [
            ("app::serve", Origin::User),
            ("<app::A as core::clone::Clone>::clone", Origin::User),
            ("<refscope::sync::Arc<app::A> as app::Ext>::f", Origin::User),
            ("<refscope::sync::Arc<T> as core::clone::Clone>::clone", Origin::Refscope),
            ("<app::Sink as refscope::sink::Sink>::event", Origin::User),
            ("<alloc::vec::Vec<T,A> as core::clone::Clone>::clone", Origin::Std),
            (
                "<&dyn core::ops::function::Fn<(), Output = i32> as core::ops::FnOnce<()>>::f",
                Origin::Std,
            ),
            ("<[T] as alloc::borrow::ToOwned>::to_owned", Origin::Std),
            ("refscope_demo::main", Origin::User),
            ("main", Origin::System),
            ("_start", Origin::System),
        ];
        for (function, origin) in by_name {
            assert_eq!(frame(function, "", 0).origin(), origin, "{function}");
        }
        let by_file = [
            (STD, Origin::Std),
            (TOKIO, Origin::Dependency("tokio")),
            ("/w/.cargo/registry/src/index/refscope-0.1.0/src/sync.rs", Origin::Refscope),
            (
                "/w/.cargo/git/checkouts/gtk-rs-core-1a2b3c/0f0f/glib/src/a.rs",
                Origin::Dependency("gtk-rs-core"),
            ),
            ("/w/vendor/serde/src/lib.rs", Origin::Dependency("serde")),
            ("src/main.rs", Origin::User),
        ];
        for (file, origin) in by_file {
            assert_eq!(frame("f", file, 1).origin(), origin, "{file}");
        }
        assert_eq!(frame("", "", 0).origin(), Origin::System);
        // A recording's program was built with refscope from a folder that this one knows nothing of.
        let elsewhere = "/other/refscope/src/sync.rs";
        let of = |function: &str, file: &str| frame(function, file, 1).origin() == Origin::Refscope;
        assert!(of("refscope::stack::capture::record", elsewhere));
        assert!(of("<refscope::sync::Arc<T> as core::clone::Clone>::clone", elsewhere));
        assert!(!of("<refscope::sync::Arc<app::A> as app::Ext>::f", "/a/src/a.rs"));
        assert!(!of("app::serve", "/a/src/a.rs"));
    }

    #[test]
    fn names() {
        assert_eq!(without_version("http2-0.4.0-rc.1"), "http2");
        assert_eq!(without_version("gtk-rs"), "gtk-rs");
        assert_eq!(crate_of("<alloc::vec::Vec<T> as app::Ext>::f"), "app");
        assert_eq!(crate_of("<fn() -> a::B as c::D>::e"), "c");
        assert_eq!(crate_of("T"), "");
        for (long, short) in [
            ("a::f::<B<C>>", "a::f"),
            ("<a::A<B> as c::D<E>>::f", "<a::A as c::D>::f"),
            ("a::B<C>::d", "a::B::d"),
            ("to_vec<probe::Spy, fn(u8) -> u8>", "to_vec"),
            ("a::{{closure}}", "a::{{closure}}"),
        ] {
            assert_eq!(without_generics(long), short);
        }
        for (mangled, plain) in [
            ("a::b::h0123456789abcdef", "a::b"),
            ("a::b", "a::b"),
            ("a::h01234567_9abcdef", "a::h01234567_9abcdef"),
        ] {
            let mut name = mangled.to_owned();
            strip_hash(&mut name);
            assert_eq!(name, plain);
        }
    }
}
