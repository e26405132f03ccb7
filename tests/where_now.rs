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

/// One test searches at a time: another's search is waited for no longer than twice the budget.
static ONE: Mutex<()> = Mutex::new(());

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
    let _one = ONE.lock().unwrap();
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

/// What could not be searched is said, in the result and in a report.
#[test]
fn a_search_without_time_says_so() {
    let _one = ONE.lock().unwrap();
    let kept = refscope::Scope::mark().run(|| Arc::new(1));
    let search = Search::new().budget(std::time::Duration::ZERO);
    let ownership = search.run().expect("it works here");
    assert!(ownership.statistics.is_cut);
    let doubt = "The search ran out of time or memory before it had read everything.";
    assert!(ownership.doubts.iter().any(|said| said == doubt), "{:?}", ownership.doubts);
    let report = refscope::leaks::Check::new().may_trace_nothing();
    let also = report.scope().run(|| kept.clone());
    let new = report.scope().run(|| Arc::new(2));
    let text = report.report().locate(&search).to_string();
    let words: Vec<_> = text.split_whitespace().collect();
    let line = "note: the search for where handles are stored ran out of its budget: what it says of that is incomplete";
    assert!(words.join(" ").contains(line), "{text}");
    drop((also, new));
}
