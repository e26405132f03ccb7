//! Programs as a user writes them: `programs NAME` runs one, and `programs NAME check` in a leak check.

mod bus;
mod cache;
mod clean;
mod interpreter;
mod service;
mod undo;

use refscope::leaks;

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let name = arguments.first().map_or("", String::as_str);
    let program: fn() = match name {
        "bus" => bus::run,
        "service" => service::run,
        "interpreter" => interpreter::run,
        "cache" => cache::run,
        "undo" => undo::run,
        "static cache" => clean::static_cache,
        "pool" => clean::pool,
        "registry" => clean::registry,
        "worker" => clean::worker,
        // The caller's local is alive when the check ends, and when the process does.
        "locals" => {
            let mut rows = Vec::new();
            match arguments.get(1) {
                Some(_) => leaks::check(|| rows = clean::rows()),
                None => rows = clean::rows(),
            }
            return assert_eq!(rows.len(), 3);
        }
        _ => panic!("no such program: {name}"),
    };
    match arguments.get(1).map(String::as_str) {
        Some("check") => leaks::check(program),
        _ => program(),
    }
}
