//! Programs as a user writes them: `programs NAME` runs one, `programs NAME check` in a leak check, and `programs NAME HOLDER`
//! in one that allows what HOLDER holds.

mod broadcast;
mod bus;
mod cache;
mod clean;
mod dialogs;
mod executor;
mod game;
mod interpreter;
mod lru;
mod plugins;
mod script;
mod service;
mod undo;

use refscope::leaks;

fn main() {
    // Whatever else the machine does meanwhile.
    leaks::set_search_budget(std::time::Duration::from_secs(30));
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let name = arguments.first().map_or("", String::as_str);
    let program: fn() = match name {
        "bus" => bus::run,
        "service" => service::run,
        "interpreter" => interpreter::run,
        "cache" => cache::run,
        "undo" => undo::run,
        "dialogs" => dialogs::run,
        "game" => game::run,
        "script" => script::run,
        "broadcast" => broadcast::run,
        "plugins" => plugins::run,
        "lru" => lru::run,
        "executor" => executor::run,
        "static cache" => clean::static_cache,
        "pool" => clean::pool,
        "registry" => clean::registry,
        "worker" => clean::worker,
        // The caller's local is alive when the check ends, and when the process does.
        "locals" => {
            let mut rows = Vec::new();
            match arguments.get(1).map(String::as_str) {
                Some("check") => leaks::check(|| rows = clean::rows()),
                Some(_) => leaks::Check::new().locals_may_hold().run(|| rows = clean::rows()),
                None => rows = clean::rows(),
            }
            return assert_eq!(rows.len(), 3);
        }
        _ => panic!("no such program: {name}"),
    };
    match arguments.get(1).map(String::as_str) {
        Some("check") => leaks::check(program),
        Some(holder) => leaks::Check::new().may_be_held_by(holder).run(program),
        None => {
            program();
            // It goes on for a while, as programs do: what is alive is counted from time to time.
            std::thread::sleep(std::time::Duration::from_millis(60));
        }
    }
}
