//! Programs that use pointers as programs do, and the ways in which people trace references today:
//! `cargo bench --bench workloads`.
//!
//! Each program is written once and run over std's pointers, over ours idle and recorded, and the first also over
//! re-creations of three methods: a map under a mutex from handle to the backtrace of its clone, a map under a
//! read-write lock from object to count, and a line printed for each clone and drop (into a buffer, not a terminal).

use criterion::{Criterion, criterion_group, criterion_main};
use refscope::Scope;
use refscope::sink::{Nop, Overflow, Recorder, Sink};
use std::hint::black_box;
use std::time::Duration;

/// The document tree of the examples: nodes know their parent, headings are indexed by more handles.
macro_rules! document {
    ($name:ident, $Rc:path, $Weak:path) => {
        mod $name {
            use std::cell::RefCell;
            use std::collections::HashMap;
            use $Rc as Rc;
            use $Weak as Weak;

            struct Node {
                text: String,
                parent: RefCell<Weak<Node>>,
                children: RefCell<Vec<Rc<Node>>>,
            }

            /// Builds a document of so many sections, indexes it, walks it, and lets it go.
            pub(super) fn run(sections: usize) -> usize {
                let node = |text: String| {
                    let parent = RefCell::new(Weak::new());
                    Rc::new(Node { text, parent, children: RefCell::default() })
                };
                let adopt = |parent: &Rc<Node>, child: Rc<Node>| {
                    *child.parent.borrow_mut() = Rc::downgrade(parent);
                    parent.children.borrow_mut().push(child);
                };
                let root = node("root".to_owned());
                let mut index: HashMap<usize, Rc<Node>> = HashMap::new();
                for section in 0..sections {
                    let heading = node(format!("heading {section}"));
                    index.insert(section, heading.clone());
                    for line in 0..8 {
                        adopt(&heading, node(format!("line {line}")));
                    }
                    adopt(&root, heading);
                }
                let mut bytes = 0;
                for heading in index.values() {
                    for child in heading.children.borrow().iter() {
                        let up = child.parent.borrow().upgrade();
                        bytes += child.text.len() + up.map_or(0, |up| up.text.len());
                    }
                }
                bytes
            }
        }
    };
}

/// A persistent map: a binary trie whose versions share their branches.
macro_rules! map {
    ($name:ident, $Arc:path) => {
        mod $name {
            use $Arc as Arc;

            #[derive(Clone, Default)]
            struct Trie {
                value: Option<u32>,
                branches: [Option<Arc<Trie>>; 2],
            }

            fn with(trie: &Arc<Trie>, key: u32, depth: u32, value: u32) -> Arc<Trie> {
                let mut trie = (**trie).clone();
                if depth == 0 {
                    trie.value = Some(value);
                } else {
                    let branch = &mut trie.branches[(key & 1) as usize];
                    let below = branch.take().unwrap_or_default();
                    *branch = Some(with(&below, key >> 1, depth - 1, value));
                }
                Arc::new(trie)
            }

            /// Inserts so many keys, keeping every tenth version.
            pub(super) fn run(keys: u32) -> usize {
                let mut versions = Vec::new();
                let mut map = Arc::new(Trie::default());
                for key in 0..keys {
                    map = with(&map, key.wrapping_mul(2_654_435_761), 12, key);
                    if key % 10 == 0 {
                        versions.push(map.clone());
                    }
                }
                versions.len() + map.branches.iter().flatten().count()
            }
        }
    };
}

/// Tasks with wakers in a queue, as an executor has them: each wakes its neighbours.
macro_rules! tasks {
    ($name:ident, $Arc:path, $Weak:path) => {
        mod $name {
            use std::collections::VecDeque;
            use std::sync::Mutex;
            use $Arc as Arc;
            use $Weak as Weak;

            struct Task {
                runs: Mutex<u32>,
                wakes: Mutex<Vec<Weak<Task>>>,
            }

            /// Runs so many tasks until each has run ten times.
            pub(super) fn run(count: usize) -> u32 {
                let task = || Task { runs: Mutex::new(0), wakes: Mutex::default() };
                let all: Vec<_> = (0..count).map(|_| Arc::new(task())).collect();
                for (i, task) in all.iter().enumerate() {
                    for neighbour in [i + 1, i + 7] {
                        let weak = Arc::downgrade(&all[neighbour % count]);
                        task.wakes.lock().unwrap().push(weak);
                    }
                }
                let mut queue: VecDeque<_> = all.iter().take(4).cloned().collect();
                let mut total = 0;
                while let Some(task) = queue.pop_front() {
                    let mut runs = task.runs.lock().unwrap();
                    if *runs < 10 {
                        *runs += 1;
                        total += 1;
                        let wakes = task.wakes.lock().unwrap();
                        queue.extend(wakes.iter().filter_map(Weak::upgrade));
                    }
                }
                total
            }
        }
    };
}

/// What people write today, over std's `Rc`: a wrapper that tells someone of each clone and drop.
macro_rules! wrapped {
    ($name:ident, |$id:ident| $born:expr, |$gone:ident| $dropped:expr) => {
        mod $name {
            use super::methods::*;
            use std::rc;

            pub(super) struct Rc<T>(rc::Rc<T>, u64);
            pub(super) struct Weak<T>(rc::Weak<T>);

            impl<T> Rc<T> {
                fn told(inner: rc::Rc<T>) -> Self {
                    let $id = next();
                    $born;
                    Self(inner, $id)
                }

                pub(super) fn new(value: T) -> Self {
                    Self::told(rc::Rc::new(value))
                }

                pub(super) fn downgrade(this: &Self) -> Weak<T> {
                    Weak(rc::Rc::downgrade(&this.0))
                }
            }

            impl<T> Clone for Rc<T> {
                fn clone(&self) -> Self {
                    Self::told(self.0.clone())
                }
            }

            impl<T> Drop for Rc<T> {
                fn drop(&mut self) {
                    let $gone = self.1;
                    $dropped;
                }
            }

            impl<T> std::ops::Deref for Rc<T> {
                type Target = T;

                fn deref(&self) -> &T {
                    &self.0
                }
            }

            impl<T> Weak<T> {
                pub(super) fn new() -> Self {
                    Self(rc::Weak::new())
                }

                pub(super) fn upgrade(&self) -> Option<Rc<T>> {
                    self.0.upgrade().map(Rc::told)
                }
            }
        }
    };
}

/// What the methods share.
mod methods {
    pub(crate) use std::backtrace::Backtrace;
    use std::collections::HashMap;
    pub(crate) use std::io::Write;
    use std::sync::atomic::{AtomicU64, Ordering};
    use std::sync::{LazyLock, Mutex, RwLock};

    pub(crate) static TRACES: LazyLock<Mutex<HashMap<u64, Backtrace>>> =
        LazyLock::new(Mutex::default);
    pub(crate) static COUNTS: LazyLock<RwLock<HashMap<u64, AtomicU64>>> =
        LazyLock::new(RwLock::default);
    pub(crate) static LINES: Mutex<Vec<u8>> = Mutex::new(Vec::new());

    pub(crate) fn next() -> u64 {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        NEXT.fetch_add(1, Ordering::Relaxed)
    }

    pub(crate) fn count(id: u64) {
        let shard = id % 64;
        if let Some(count) = COUNTS.read().unwrap().get(&shard) {
            count.fetch_add(1, Ordering::Relaxed);
            return;
        }
        COUNTS.write().unwrap().insert(shard, AtomicU64::new(1));
    }

    pub(crate) fn line(what: &str, id: u64) {
        let mut lines = LINES.lock().unwrap();
        if lines.len() > 1 << 20 {
            lines.clear();
        }
        writeln!(lines, "{what} {id}").unwrap();
    }
}

wrapped! {
    by_backtraces,
    |id| TRACES.lock().unwrap().insert(id, Backtrace::force_capture()),
    |id| TRACES.lock().unwrap().remove(&id)
}
wrapped! { by_a_locked_map, |id| count(id), |id| count(id) }
wrapped! { by_printing, |id| line("clone", id), |id| line("drop", id) }

document! { document_std, std::rc::Rc, std::rc::Weak }
document! { document_ours, refscope::rc::Rc, refscope::rc::Weak }
document! { document_backtraces, super::by_backtraces::Rc, super::by_backtraces::Weak }
document! { document_locked_map, super::by_a_locked_map::Rc, super::by_a_locked_map::Weak }
document! { document_printing, super::by_printing::Rc, super::by_printing::Weak }
map! { map_std, std::sync::Arc }
map! { map_ours, refscope::sync::Arc }
tasks! { tasks_std, std::sync::Arc, std::sync::Weak }
tasks! { tasks_ours, refscope::sync::Arc, refscope::sync::Weak }

/// A way to record, by its name.
type Way = (&'static str, fn() -> Box<dyn Sink>);

fn workloads(c: &mut Criterion) {
    let sinks: [Way; 2] = [
        ("recorded", || {
            Box::new(Recorder::builder().budget(4 << 20).overflow(Overflow::DropOldest).build())
        }),
        ("tracked", || Box::new(Nop)),
    ];
    macro_rules! program {
        ($name:literal, $std:ident, $ours:ident, $size:literal $(, $method:literal: $theirs:ident)*) => {
            let mut group = c.benchmark_group($name);
            group.bench_function("std", |b| b.iter(|| $std::run(black_box($size))));
            group.bench_function("idle", |b| b.iter(|| $ours::run(black_box($size))));
            for (how, sink) in sinks {
                let scope = Scope::new(sink());
                group.bench_function(how, |b| b.iter(|| scope.run(|| $ours::run(black_box($size)))));
            }
            $(group.bench_function($method, |b| b.iter(|| $theirs::run(black_box($size))));)*
            group.finish();
        };
    }
    program!("document tree", document_std, document_ours, 200,
        "a mutex of backtraces": document_backtraces,
        "a locked map of counts": document_locked_map,
        "a line for each": document_printing);
    program!("persistent map", map_std, map_ours, 500);
    program!("task graph", tasks_std, tasks_ours, 200);
}

criterion_group! {
    name = benches;
    config = Criterion::default()
        .warm_up_time(Duration::from_millis(200))
        .measurement_time(Duration::from_millis(800))
        .sample_size(10);
    targets = workloads
}
criterion_main!(benches);
