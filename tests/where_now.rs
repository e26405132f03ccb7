//! What a search of this process says: names of statics, reports, exports.
#![cfg(all(
    feature = "trace",
    target_os = "linux",
    any(target_arch = "x86_64", target_arch = "aarch64")
))]

use refscope::Arc;
use refscope::locate::{Held, Owner, Ownership, Search};
use std::cell::RefCell;
use std::sync::Mutex;

struct Session;

static REGISTRY: Mutex<Vec<Arc<Session>>> = Mutex::new(Vec::new());

thread_local! {
    static CURRENT: RefCell<Option<Arc<Session>>> = const { RefCell::new(None) };
    static LAZY: RefCell<Vec<Arc<Session>>> = RefCell::default();
}

fn id<P: refscope::Inspect>(pointer: &P) -> u64 {
    refscope::holders(pointer).object().expect("the object is traced").id().number()
}

/// In a frame of its own, which is gone when the search begins.
#[inline(never)]
fn stored(store: impl Fn(Arc<Session>)) -> u64 {
    let session = Arc::new(Session);
    let id = id(&session);
    store(session);
    id
}

fn search() -> Ownership {
    Search::new().budget(std::time::Duration::from_secs(20)).run().expect("it works here")
}

fn root(ownership: &Ownership, id: u64) -> &Owner {
    match ownership.path(id) {
        Some((Held::Root(root), _)) => root,
        other => panic!("{other:?}"),
    }
}

/// A static has its name where the feature `stacks` is on, and file and address without.
#[test]
fn statics_and_thread_locals_are_named() {
    refscope::track().expect("no other sink is installed");
    let named = cfg!(feature = "stacks");
    let name = |name: &str| named.then(|| format!("where_now::{name}"));
    let in_static = stored(|session| REGISTRY.lock().unwrap().push(session));
    let in_own = stored(|session| CURRENT.set(Some(session)));
    let in_lazy = stored(|session| LAZY.with_borrow_mut(|list| list.push(session)));
    let (ids, asked) = std::sync::mpsc::channel();
    let (done, wait) = std::sync::mpsc::channel::<()>();
    let other = std::thread::Builder::new().name("other".to_owned()).spawn(move || {
        ids.send(stored(|session| CURRENT.set(Some(session)))).unwrap();
        let _ = wait.recv();
    });
    let in_others = asked.recv().unwrap();
    let ownership = search();
    drop(done);
    other.unwrap().join().unwrap();

    match root(&ownership, in_static) {
        Owner::Static { image, address, symbol } => {
            assert_eq!(*symbol, name("REGISTRY"));
            assert!(image.starts_with("where_now") && *address > 0, "{image}");
        }
        other => panic!("{other:?}"),
    }
    // The test harness names its threads by the test.
    let own = std::thread::current().name().unwrap().chars().take(15).collect::<String>();
    for (id, thread, local) in
        [(in_own, &*own, "CURRENT"), (in_lazy, &own, "LAZY"), (in_others, "other", "CURRENT")]
    {
        let thread = thread.to_owned();
        assert_eq!(root(&ownership, id), &Owner::ThreadLocal { thread, symbol: name(local) });
    }

    let text = ownership.path_to(in_static).unwrap().to_string();
    let first = text.lines().next().unwrap();
    match named {
        true => assert_eq!(first, "held by: static where_now::REGISTRY"),
        false => assert!(first.starts_with("held by: a static of where_now-"), "{first}"),
    }
    REGISTRY.lock().unwrap().clear();
}
