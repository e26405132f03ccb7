//! Reports name the user's line where std or a derive made the handle at fault.
#![cfg(all(target_os = "linux", feature = "stacks", feature = "trace"))]

use refscope::leaks;
use refscope::sync::Arc;
use std::hint::black_box;

#[derive(Clone)]
struct State {
    inner: Arc<String>,
}

#[derive(Clone)]
struct App(State);

#[inline(never)]
fn serve(app: &App) -> App {
    app.clone() // <- derive
}

#[inline(never)]
fn share(all: &Vec<Arc<String>>) -> Vec<Arc<String>> {
    all.clone() // <- vec
}

fn line(name: &str) -> u32 {
    let lines = include_str!("stack_reports.rs").lines().zip(1..);
    let mut marked = lines.filter(|(line, _)| line.ends_with(&format!("// <- {name}")));
    marked.next().expect("a mark").1
}

/// Leaks what `f` gives, and returns the report.
fn report<T>(f: impl FnOnce() -> T) -> String {
    let kept = std::cell::RefCell::new(None);
    let panic = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        leaks::check(|| drop(kept.replace(Some(f()))));
    }));
    let text = panic.expect_err("a leak").downcast::<String>().expect("a text");
    drop(kept);
    *text
}

#[test]
fn a_derives_clone() {
    let text = report(|| {
        let app = App(State { inner: Arc::new("state".to_owned()) });
        black_box(&app.0.inner);
        let kept = serve(&app);
        drop(app);
        kept
    });
    let expected = format!("--> tests/stack_reports.rs:{}:", line("derive"));
    assert!(text.contains(&expected), "{text}");
    assert!(text.contains("app.clone()") && text.contains("a derive made this clone"), "{text}");
}

#[test]
fn stds_clone() {
    let text = report(|| {
        let all = vec![Arc::new("one".to_owned())];
        let kept = share(&all);
        drop(all);
        kept
    });
    let expected = format!("--> tests/stack_reports.rs:{}:", line("vec"));
    assert!(text.contains(&expected), "{text}");
    assert!(text.contains("all.clone()") && text.contains("std made this clone"), "{text}");
}
