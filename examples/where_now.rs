//! `cargo run --example where_now`: what holds each value now, and the cycle that nothing holds.
//!
//! A subscriber sits in a static registry, a job waits on a thread's stack, and two nodes of a tree hold one another. The
//! line that made a handle says nothing of that; the process's memory does.

use refscope::locate::Search;
use refscope::sync::{Arc, Mutex};
use std::cell::RefCell;

struct Subscriber {
    session: Arc<String>,
}

static REGISTRY: Mutex<Vec<Arc<Subscriber>>> = Mutex::new(Vec::new());

struct Node {
    name: &'static str,
    children: RefCell<Vec<refscope::Rc<Node>>>,
    parent: RefCell<Option<refscope::Rc<Node>>>,
}

fn subscribe(session: &Arc<String>) {
    let subscriber = Arc::new(Subscriber { session: session.clone() });
    REGISTRY.lock().unwrap().push(subscriber);
}

fn tree() {
    let node = |name| {
        refscope::Rc::new(Node {
            name,
            children: RefCell::new(Vec::new()),
            parent: RefCell::new(None),
        })
    };
    let (root, leaf) = (node("root"), node("leaf"));
    *leaf.parent.borrow_mut() = Some(root.clone()); // FAULT: a `Weak` would do
    root.children.borrow_mut().push(leaf);
}

fn main() {
    if !refscope::ENABLED {
        println!("Tracing is off: refscope is built without its feature `trace`.");
    }
    refscope::track().expect("no sink is installed");
    let session = Arc::new(String::from("session 7"));
    subscribe(&session);
    drop(session);
    tree();

    let ownership = match Search::new().run() {
        Ok(ownership) => ownership,
        Err(why) => return println!("The memory cannot be searched here: {why}"),
    };
    for object in &ownership.objects {
        if let Some(path) = ownership.path_to(object.id) {
            println!("{path}\n");
        }
    }
    for cycle in &ownership.cycles {
        println!("{}", ownership.cycle_text(cycle));
    }
    let names: Vec<_> = REGISTRY.lock().unwrap().iter().map(|s| s.session.len()).collect();
    let _ = (names, |node: &Node| node.name);
}
