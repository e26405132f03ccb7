//! A host of plugins: it keeps them, and what each gets of the host keeps the host.

use refscope::sync::Arc;
use std::collections::HashMap;
use std::sync::RwLock;
use std::sync::atomic::{AtomicUsize, Ordering};

trait Plugin: Send + Sync {
    fn run(&self, input: &str) -> String;
}

#[derive(Default)]
struct Host {
    plugins: RwLock<HashMap<&'static str, std::boxed::Box<dyn Plugin>>>,
    log: Arc<Log>,
}

#[derive(Default)]
struct Log {
    lines: AtomicUsize,
}

/// What a plugin may use.
struct Context {
    host: Arc<Host>,
    log: Arc<Log>,
}

impl Context {
    fn new(host: &Arc<Host>) -> Self {
        let log = host.log.clone();
        Self { host: Arc::clone(host), log } // <- FAULT
    }
}

struct Upper(Context);
struct Twice(Context);

impl Plugin for Upper {
    fn run(&self, input: &str) -> String {
        self.0.log.lines.fetch_add(1, Ordering::Relaxed);
        input.to_uppercase()
    }
}

impl Plugin for Twice {
    fn run(&self, input: &str) -> String {
        self.0.log.lines.fetch_add(1, Ordering::Relaxed);
        let upper = self.0.host.call("upper", input);
        format!("{upper} {upper}")
    }
}

impl Host {
    fn call(&self, name: &str, input: &str) -> String {
        self.plugins.read().unwrap()[name].run(input)
    }
}

fn load() -> Arc<Host> {
    let host = Arc::new(Host::default());
    let upper = std::boxed::Box::new(Upper(Context::new(&host)));
    let twice = std::boxed::Box::new(Twice(Context::new(&host)));
    let mut plugins = host.plugins.write().unwrap();
    plugins.insert("upper", upper);
    plugins.insert("twice", twice);
    drop(plugins);
    host
}

pub(super) fn run() {
    // As when the configuration is read anew.
    for _ in 0..3 {
        let host = load();
        assert_eq!(host.call("twice", "a"), "A A");
        assert_eq!(host.log.lines.load(Ordering::Relaxed), 2);
    }
}
