//! The fully drop-in build, as a user on stable has it: two lines of `.cargo/config.toml`, no feature attribute, no
//! macro. A crate is made, built and run.

use std::fs;
use std::path::PathBuf;
use std::process::Command;

const MAIN: &str = r#"
use refscope::boxed::Box;
use refscope::rc::Rc;
use refscope::sync::Arc;
use std::future::Future;
use std::pin::{Pin, pin};
use std::task::{Context, Poll, Waker};

trait Trait {
    fn name(&self) -> &str;
}

struct Task(&'static str);

impl Trait for Task {
    fn name(&self) -> &str {
        self.0
    }
}

impl Task {
    fn run(self: Arc<Self>) -> usize {
        Arc::strong_count(&self)
    }

    fn share(self: &Rc<Self>) -> Rc<dyn Trait> {
        self.clone()
    }
}

fn boxed() -> Pin<Box<dyn Future<Output = u8>>> {
    Box::pin(async { 7 })
}

fn main() {
    let all: Vec<Arc<dyn Trait>> = vec![Arc::new(Task("one")), Arc::new(Task("two"))];
    assert_eq!(all.iter().map(|task| task.name()).collect::<String>(), "onetwo");
    let task = Arc::new(Task("three"));
    assert_eq!(task.clone().run(), 2);
    assert_eq!(Rc::new(Task("four")).share().name(), "four");
    let call: Box<dyn FnOnce(i32) -> i32> = Box::new(|x| x + 1);
    assert_eq!(call(2), 3);
    let future = pin!(boxed());
    assert_eq!(future.poll(&mut Context::from_waker(Waker::noop())), Poll::Ready(7));
    println!("it runs");
}
"#;

#[test]
fn two_lines_of_config() {
    let root = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../..").canonicalize().unwrap();
    let dir = root.join("target/user-crate");
    fs::create_dir_all(dir.join("src")).unwrap();
    fs::create_dir_all(dir.join(".cargo")).unwrap();
    let manifest = format!(
        "[package]\nname = \"user\"\nedition = \"2024\"\n[workspace]\n[dependencies]\nrefscope = {{ path = {root:?} }}\n"
    );
    fs::write(dir.join("Cargo.toml"), manifest).unwrap();
    fs::write(dir.join("src/main.rs"), MAIN).unwrap();
    fs::write(dir.join(".cargo/config.toml"), "[env]\nRUSTC_BOOTSTRAP = \"refscope\"\n").unwrap();
    let _ = fs::copy(root.join("Cargo.lock"), dir.join("Cargo.lock"));
    let mut cargo = Command::new(env!("CARGO"));
    cargo.args(["run", "--quiet"]).current_dir(&dir);
    // The two lines have to do it, not this process's environment.
    cargo
        .env_remove("RUSTC_BOOTSTRAP")
        .env_remove("RUSTFLAGS")
        .env_remove("CARGO_ENCODED_RUSTFLAGS");
    cargo.env("CARGO_TARGET_DIR", dir.join("target")).env("CARGO_PROFILE_DEV_DEBUG", "none");
    let output = cargo.output().expect("cargo runs");
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{stderr}");
    assert_eq!(String::from_utf8_lossy(&output.stdout), "it runs\n", "{stderr}");
}
