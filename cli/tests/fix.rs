//! `refscope fix` on a small program that uses std's pointers as programs do: it compiles afterwards, does the same, and
//! comes back whole.

use serde_json::{Value, json};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

const MAIN: &str = r##"//! A program.
#![allow(clippy::all)]

use std::{cell::RefCell, error::Error, fmt::Debug, rc::{Rc, Weak}, sync::{Arc, Mutex}};

/// A trait object behind each pointer.
trait Shape: Debug {
    fn sides(&self) -> u8;
}

#[derive(Debug)]
struct Square;

impl Square {
    fn new() -> Rc<Self> {
        Rc::new(Square)
    }
}

impl Shape for Square {
    fn sides(&self) -> u8 {
        4
    }
}

struct Node {
    shapes: RefCell<Vec<Rc<dyn Shape>>>,
    parent: Option<Weak<Node>>,
}

struct State {
    queue: Vec<u8>,
}

fn shared() -> std::sync::Arc<dyn Fn(i32) -> i32 + Send + Sync> {
    Arc::new(|x| x * 2)
}

fn boxed(kind: u8) -> Box<dyn Shape> {
    match kind {
        _ => Box::new(Square),
    }
}

fn fails() -> Result<u8, Box<dyn Error>> {
    Err("it failed".into())
}

fn drain(state: Box<State>) -> Vec<u8> {
    state.queue
}

mod inner {
    pub fn call(f: Box<dyn FnOnce(u8) -> u8>) -> u8 {
        f(1)
    }
}

fn main() {
    let parent = Rc::new(Node { shapes: RefCell::new(vec![Rc::new(Square)]), parent: None });
    let square = Square::new();
    parent.shapes.borrow_mut().push(square.clone());
    parent.shapes.borrow_mut().push(Square::new());
    let child = Node { shapes: Default::default(), parent: Some(Rc::downgrade(&parent)) };
    let parent = child.parent.as_ref().and_then(Weak::upgrade).unwrap();
    let sides: u8 = parent.shapes.borrow().iter().map(|shape| shape.sides()).sum();
    let text: String = *Box::new(String::from("std::rc::Rc"));
    let mutex = Mutex::new(shared());
    let double = mutex.lock().unwrap()(4);
    let mut bytes = 0;
    for byte in vec![1_u8, 2].into_boxed_slice() {
        bytes += byte;
    }
    let slice: Box<[u8]> = [3, 4].into();
    for byte in slice {
        bytes += byte;
    }
    let called = inner::call(Box::new(|x| x + 1));
    let error = fails().unwrap_err();
    println!("{sides} {text} {double} {bytes} {called} {error} {:?} {:?}", boxed(1), drain(Box::new(State { queue: vec![5] })));
    println!("{} {}", Rc::strong_count(&square), Rc::strong_count(&parent));
}
"##;

fn run(command: &mut Command) -> Output {
    let output = command.output().expect("it starts");
    assert!(
        output.status.success(),
        "{}{}",
        text(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
    output
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn package(name: &str) -> PathBuf {
    let dir = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    let _ = fs::remove_dir_all(&dir);
    // And what an earlier run has kept of it, to be undone.
    for target in ["fix-target", "fix-target-drop-in"] {
        let kept = Path::new(env!("CARGO_TARGET_TMPDIR")).join(target).join("refscope-fix");
        let kept = fs::read_dir(kept).into_iter().flatten().flatten();
        for entry in kept.filter(|entry| entry.file_name().to_string_lossy().starts_with(name)) {
            let _ = fs::remove_dir_all(entry.path());
        }
    }
    fs::create_dir_all(dir.join("src")).unwrap();
    let manifest = format!(
        "[package]\nname = {name:?}\nversion = \"0.1.0\"\nedition = \"2024\"\n[workspace]\n"
    );
    fs::write(dir.join("Cargo.toml"), manifest).unwrap();
    fs::write(dir.join("src/main.rs"), MAIN).unwrap();
    let _ = fs::copy(root().join("Cargo.lock"), dir.join("Cargo.lock"));
    dir
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_owned()
}

fn cargo_run(dir: &Path) -> String {
    text(&run(cargo("run", dir).arg("--quiet")).stdout)
}

fn cargo(subcommand: &str, dir: &Path) -> Command {
    let mut cargo = sharing(env!("CARGO"), "fix-target");
    cargo.arg(subcommand).current_dir(dir);
    cargo
}

fn fix(dir: &Path) -> Command {
    fix_in("fix-target", dir)
}

/// For the library as fully drop-in, which would be compiled anew where the others have theirs. What is to be undone is kept in the
/// target folder.
fn fix_drop_in(dir: &Path) -> Command {
    fix_in("fix-target-drop-in", dir)
}

fn fix_in(target: &str, dir: &Path) -> Command {
    let mut refscope = sharing(env!("CARGO_BIN_EXE_refscope"), target);
    refscope.arg("fix").arg(dir);
    refscope
}

/// A command that builds in the target folder of this name: all packages here have one, so that the library is compiled once.
fn sharing(program: &str, target: &str) -> Command {
    let mut command = Command::new(program);
    command.env_remove("RUSTC_BOOTSTRAP").env_remove("REFSCOPE");
    command.env("CARGO_TARGET_DIR", Path::new(env!("CARGO_TARGET_TMPDIR")).join(target));
    command.env("CARGO_PROFILE_DEV_DEBUG", "none");
    command
}

#[test]
fn a_program_is_swapped_compiles_and_comes_back() {
    let dir = package("fixed");
    let main = dir.join("src/main.rs");
    let before = cargo_run(&dir);
    let manifest = fs::read_to_string(dir.join("Cargo.toml")).unwrap();

    let path = format!("path={}", root().display());
    let shown = run(fix(&dir).args(["--types", "rc,arc,box", "--refscope", &path]));
    let shown = text(&shown.stdout);
    assert!(shown.contains("it compiles"), "{shown}");
    for line in [
        "+use refscope::rc::{Rc, Weak};",
        "+use refscope::sync::Arc;",
        "+    ::refscope::unbox(state).queue",
    ] {
        assert!(shown.contains(line), "{line} is not in\n{shown}");
    }
    let after = fs::read_to_string(&main).unwrap();
    assert!(after.contains("\"std::rc::Rc\"") && after.contains("coerce!"), "{after}");
    assert_eq!(cargo_run(&dir), before);

    // Neither twice, nor over somebody's changes.
    assert!(!fix(&dir).output().unwrap().status.success());
    fs::write(&main, after.clone() + "\n").unwrap();
    let refused = fix(&dir).arg("--undo").output().unwrap();
    assert!(!refused.status.success() && text(&refused.stderr).contains("main.rs"));
    fs::write(&main, after).unwrap();
    run(fix(&dir).arg("--undo"));
    assert_eq!(fs::read_to_string(&main).unwrap(), MAIN);
    assert_eq!(fs::read_to_string(dir.join("Cargo.toml")).unwrap(), manifest);
    assert!(
        !fix(&dir).arg("--undo").output().unwrap().status.success(),
        "there is nothing more to undo"
    );
}

/// What no edit can help is said, with the file, and the command fails.
#[test]
fn what_is_left_is_said() {
    let dir = package("left");
    let source = "use std::rc::Rc;\nfn main() { f(Rc::new(1)); }\nfn f(_: Rc<u8>) {}\n\
        const _: () = assert!(size_of::<Rc<u8>>() == 8);\n";
    fs::write(dir.join("src/main.rs"), source).unwrap();
    let path = format!("path={}", root().display());
    let output = fix(&dir).args(["--refscope", &path]).output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    let shown = text(&output.stdout);
    assert!(shown.contains("E0080 src/main.rs:4: evaluation panicked"), "{shown}");
    let shown = run(fix(&dir).arg("--undo"));
    assert!(text(&shown.stdout).contains("as they were"));
    if cfg!(target_arch = "x86_64") {
        let output = run(fix_drop_in(&dir).args(["--drop-in", "--refscope", &path]));
        assert!(
            text(&output.stdout).contains("it compiles, after 0 edits"),
            "{}",
            text(&output.stdout)
        );
        run(fix_drop_in(&dir).arg("--undo"));
    }

    // Nothing to swap is no success.
    let output = fix(&dir).args(["--types", "arc", "--refscope", &path]).output().unwrap();
    assert_eq!(output.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&output.stderr).contains("no file here imports"));
    assert!(!fix(&dir).arg("--undo").output().unwrap().status.success(), "nothing was changed");
}

/// What stays to be done by hand is said with the error, and hinders no other edit.
#[test]
fn what_is_left_has_its_remedy() {
    let dir = package("by-hand");
    let source = "use std::rc::{Rc, Weak};\ntrait Shape {}\nstruct Square;\nimpl Shape for Square {}\n\
        impl Square {\n    fn renew(self: &mut Rc<Self>) {\n        *self = Rc::new(Square);\n    }\n}\n\
        fn main() {\n    let mut one = Rc::new(Square);\n    one.renew();\n    let weak = Rc::downgrade(&one);\n    \
        let _: Weak<dyn Shape> = weak;\n}\n";
    fs::write(dir.join("src/main.rs"), source).unwrap();
    cargo_run(&dir);
    let path = format!("path={}", root().display());
    let output = fix(&dir).args(["--refscope", &path]).output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    let shown = text(&output.stdout);
    assert!(shown.contains("E0658 src/main.rs:6: "), "{shown}");
    assert!(shown.contains("\n    by hand: name it `this`"), "{shown}");
    assert!(shown.contains("+    let _: Weak<dyn Shape> = ::refscope::coerce!(weak);"), "{shown}");
}

/// Methods whose `self` is a pointer keep std's, by value, by reference and behind `dyn`; a pointer that is a field by
/// shorthand stays one; and a trait of another crate's comes with the feature that has it.
#[test]
fn receivers_and_shorthands() {
    const SOURCE: &str = r#"extern crate alloc;

use alloc::rc::Rc;
use std::sync::Arc;

trait Stage {
    fn next(self: Rc<Self>) -> Rc<dyn Stage>;
    fn same(self: Rc<Self>) -> Rc<dyn Stage>;
    fn name(&self) -> &str;
}

struct First(Rc<Second>);

struct Second;

impl Stage for First {
    fn next(self: Rc<Self>) -> Rc<dyn Stage> {
        self.0.clone()
    }
    fn same(self: Rc<Self>) -> Rc<dyn Stage> {
        self as Rc<dyn Stage>
    }
    fn name(&self) -> &str {
        "first"
    }
}

impl Stage for Second {
    fn next(self: Rc<Self>) -> Rc<dyn Stage> {
        self
    }
    fn same(self: Rc<Self>) -> Rc<dyn Stage> {
        Rc::new(Self) as Rc<dyn Stage>
    }
    fn name(&self) -> &str {
        "second"
    }
}

struct Running {
    stage: Rc<dyn Stage>,
    count: Arc<u8>,
}

impl Second {
    fn run(self: Arc<Self>) -> usize {
        self.count()
    }

    fn count(self: &Arc<Self>) -> usize {
        Arc::strong_count(self)
    }
}

fn main() {
    let stage = Rc::new(First(Rc::new(Second)));
    println!("{}", stage.name());
    let running = Running { count: Arc::new(1), stage };
    let next = Rc::clone(&running.stage).next();
    println!("{} {} {}", next.same().next().name(), running.count, Arc::new(Second).run());
}
"#;
    let dir = package("receivers");
    fs::write(dir.join("src/main.rs"), SOURCE).unwrap();
    let before = cargo_run(&dir);
    let path = format!("path={}", root().display());
    let output = run(fix(&dir).args(["--refscope", &path]));
    let after = fs::read_to_string(dir.join("src/main.rs")).unwrap();
    assert!(after.contains("extern crate alloc;"), "{after}");
    assert!(after.contains("stage: ::refscope::coerce!(stage)"), "{}", text(&output.stdout));
    assert_eq!(cargo_run(&dir), before);
}

/// As JSON: what was changed, where, and what is left.
#[test]
fn as_json() {
    let dir = package("json");
    let source = "use std::rc::Rc;\nfn main() {\n    let _: Rc<dyn Send> = Rc::new(1);\n}\n\
        const _: () = assert!(size_of::<Rc<u8>>() == 8);\n";
    fs::write(dir.join("src/main.rs"), source).unwrap();
    let json = |output: &Output| -> Value {
        let text = text(&output.stdout);
        assert_eq!(text.lines().count(), 1, "{text}");
        serde_json::from_str(&text).unwrap()
    };
    let path = format!("path={}", root().display());
    let mut command = fix(&dir);
    command.args(["--json", "--refscope", &path]);
    let output = command.output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    let fixed = json(&output);
    assert_eq!(fixed["refscope_fix"], 1);
    assert_eq!((&fixed["compiles"], &fixed["edits"]), (&false.into(), &1.into()));
    let main = fixed["files"].as_array().unwrap().iter().find(|file| file["path"] == "src/main.rs");
    let change = |line: usize, before: &str, after: &str| {
        json!({
            "before": { "line": line, "text": before },
            "after": { "line": line, "text": after },
        })
    };
    let expected = json!([
        change(1, "use std::rc::Rc;\n", "use refscope::rc::Rc;\n"),
        change(
            3,
            "    let _: Rc<dyn Send> = Rc::new(1);\n",
            "    let _: Rc<dyn Send> = ::refscope::coerce!(Rc::new(1));\n"
        ),
    ]);
    assert_eq!(main.unwrap()["changes"], expected);
    let left = fixed["left"].as_array().unwrap();
    assert!(!left.is_empty());
    for error in left {
        assert_eq!((&error["code"], &error["file"]), (&"E0080".into(), &"src/main.rs".into()));
        assert_eq!(error["line"], 5);
        assert!(error["message"].as_str().unwrap().contains("assertion failed"));
    }

    let undone = json(&run(fix(&dir).args(["--undo", "--json"])));
    assert_eq!(undone["refscope_fix"], 1);
    let files: Vec<_> = undone["undone"].as_array().unwrap().iter().collect();
    assert!(files.iter().any(|file| **file == "src/main.rs"), "{files:?}");
    assert_eq!(fs::read_to_string(dir.join("src/main.rs")).unwrap(), source);

    if cfg!(not(target_arch = "x86_64")) {
        return;
    }
    let fixed = json(&run(fix_drop_in(&dir).args(["--json", "--drop-in", "--refscope", &path])));
    assert_eq!((&fixed["compiles"], &fixed["left"]), (&true.into(), &json!([])));
}

/// A library in a workspace: code that a macro of its own makes, a feature's code, a reference to a pointer that is kept, and the examples
/// of its documentation, of which one keeps std's pointers.
#[test]
fn a_library_with_its_macros_and_examples() {
    const LIB: &str = r#"//! A library.
//!
//! ```
//! use std::sync::Arc;
//! use library::Lock;
//!
//! let lock = Arc::new(Lock(1));
//! assert_eq!(lock.clone().get(), 1);
//! assert_eq!(lock
//!     .twice()
//!     .get(), 2);
//! ```

use std::rc::Rc as Shared;
use std::sync::Arc;

type Callback = dyn Fn(Option<&u8>, u8) -> u8;

pub struct Function {
    call: Shared<Callback>,
}

macro_rules! functions {
    ($($name:ident: $by:expr;)*) => {
        impl Function {
            $(pub fn $name() -> Self {
                Function { call: Shared::new(move |given, to| given.map_or(0, |given| *given) + to * $by) }
            })*
        }
    };
}

functions! {
    same: 1;
    double: 2;
}

impl Function {
    pub fn call(&self, to: u8) -> u8 {
        (self.call)(Some(&1), to)
    }

    /// Takes a function.
    ///
    /// ```
    /// let function = library::Function::of(std::rc::Rc::new(
    ///     |_: Option<&u8>, to|
    ///         to + 1
    /// ));
    /// assert_eq!(function.call(1), 2);
    /// ```
    pub fn of(call: Shared<Callback>) -> Self {
        Self { call }
    }

    #[cfg(feature = "more")]
    pub fn more() -> Shared<dyn Fn() -> u8> {
        Shared::new(|| 7)
    }
}

pub struct Lock(pub u8);

pub struct Waiting<'a> {
    lock: &'a Arc<Lock>,
}

impl<'a> Waiting<'a> {
    fn new(lock: &'a Arc<Lock>) -> Self {
        Self { lock }
    }

    pub fn get(&self) -> u8 {
        self.lock.0
    }
}

pub struct Twice {
    lock: Arc<Lock>,
}

impl Twice {
    pub fn get(&mut self) -> u8 {
        let lock = &mut self.lock;
        lock.number() + self.lock.number()
    }
}

macro_rules! methods {
    ($($name:ident),*) => {
        $(pub fn $name(self: &Arc<Self>) -> u8 {
            self.0
        })*
    };
}

impl Lock {
    methods!(number, amount);

    /// Waits.
    ///
    /// ```
    /// use std::sync::Arc;
    ///
    /// let lock = Arc::new(library::Lock(1));
    /// assert_eq!(lock.wait().get(), 1);
    /// ```
    pub fn wait<'a>(self: &'a Arc<Self>) -> Waiting<'a> {
        Waiting::new(self)
    }

    pub fn get(self: Arc<Self>) -> u8 {
        self.amount()
    }

    pub fn twice(self: &Arc<Self>) -> Twice {
        Twice { lock: self.clone() }
    }
}

#[test]
fn calls() {
    assert_eq!(Function::double().call(4) + Function::same().call(1), 11);
    let lock = Arc::new(Lock(3));
    assert_eq!(lock.wait().get() + lock.amount() + lock.clone().get(), 9);
    assert_eq!(lock.twice().get(), 6);
    #[cfg(feature = "more")]
    assert_eq!(Function::more()(), 7);
}
"#;
    // A workspace's member.
    let workspace = package("library");
    let dir = workspace.join("member");
    let manifest = fs::read_to_string(workspace.join("Cargo.toml")).unwrap();
    let manifest = manifest.replace("[workspace]\n", "[features]\nmore = []\n");
    let members = "[workspace]\nmembers = [\"member\"]\nresolver = \"3\"\n";
    fs::write(workspace.join("Cargo.toml"), members).unwrap();
    fs::remove_dir_all(workspace.join("src")).unwrap();
    fs::create_dir_all(dir.join("src")).unwrap();
    fs::write(dir.join("Cargo.toml"), manifest).unwrap();
    fs::write(dir.join("src/lib.rs"), LIB).unwrap();
    let passed = || {
        let output = run(cargo("test", &dir).args(["--features", "more"]));
        text(&output.stdout).matches(" ... ok").count()
    };
    assert_eq!(passed(), 4);

    let path = format!("path={}", root().display());
    let output = run(fix(&dir).args(["--features", "more", "--refscope", &path]));
    let shown = text(&output.stdout);
    assert!(shown.starts_with("it compiles"), "{shown}");
    let after = fs::read_to_string(dir.join("src/lib.rs")).unwrap();
    for line in [
        "                Function { call: ::refscope::coerce!(Shared::new(move |given, to|",
        "        $(pub fn $name(self: &::std::sync::Arc<Self>) -> u8 {",
        "    lock: &'a ::std::sync::Arc<Lock>,",
        "    fn new(lock: &'a ::std::sync::Arc<Lock>) -> Self {",
        "        ::refscope::StdPtr::as_std(&*lock).number()",
        "        ::refscope::coerce!(Shared::new(|| 7))",
        "    /// assert_eq!(::refscope::StdPtr::as_std(&lock).wait().get(), 1);",
        "    /// let function = library::Function::of(::refscope::coerce!(::refscope::rc::Rc::new(\n",
        "    /// )));\n",
        // No edit in one line helps this one.
        "//! use std::sync::Arc;",
    ] {
        assert!(after.contains(line), "{line} is not in\n{after}");
    }
    assert_eq!(passed(), 4);
}
