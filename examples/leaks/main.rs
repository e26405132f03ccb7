//! `cargo run --example leaks [NAME]`: the mistakes that leak, each with the report that finds it.
//!
//! Each module is a small program that goes wrong in a way that everyone has met. The report is what a leak check
//! would fail with; `tests/leaks.rs` keeps the texts, and checks that the line at fault is the one marked `FAULT`.

mod channel;
mod closure;
mod global_cache;
mod observer;
mod parent_child;
mod thread;

use refscope::leaks::Check;
use refscope::render::Terminal;
use std::time::Duration;

/// A mistake, by its name.
type Mistake = (&'static str, fn(&Check));

fn main() {
    if !refscope::ENABLED {
        println!("Tracing is off: refscope is built without its feature `trace`.");
    }
    let wanted = std::env::args().nth(1);
    let all: [Mistake; 6] = [
        ("observer", observer::run),
        ("closure", closure::run),
        ("parent_child", parent_child::run),
        ("global_cache", global_cache::run),
        ("thread", thread::run),
        ("channel", channel::run),
    ];
    for (name, run) in all {
        if wanted.as_ref().is_some_and(|wanted| wanted != name) {
            continue;
        }
        let check = Check::new().timeout(Duration::from_millis(20));
        check.scope().run(|| run(&check));
        println!("--- {name}\n");
        match check.verify() {
            Ok(()) => println!("refscope: no leak\n"),
            Err(leaks) => println!("{}", Terminal::stdout().render_report(&leaks)),
        }
    }
}
