//! What the ledger costs where much is alive: `cargo bench --bench ledger`.
//!
//! A tree, as a whole program; the clones of one object, few and many, dropped in three orders; a snapshot of many objects
//! while another thread works. Each case runs in a process of its own, some rounds in turn, and the best of each counts:
//! compare within a run. Times are those that the processor worked, so that other programs matter less.

use std::hint::black_box;
use std::process::Command;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// Nodes of the tree.
const NODES: usize = 20_000;
const FEW: usize = 1_000;
const MANY: usize = 1_000_000;
const ROUNDS: usize = 7;

/// The time that the processor worked for this thread, or for this process.
fn worked(clock: libc::clockid_t) -> Duration {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: SIGNALS: the call writes the time that it is given.
    assert_eq!(unsafe { libc::clock_gettime(clock, &mut time) }, 0, "a clock of this system");
    Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
}

const THREAD: libc::clockid_t = libc::CLOCK_THREAD_CPUTIME_ID;
const PROCESS: libc::clockid_t = libc::CLOCK_PROCESS_CPUTIME_ID;

/// A tree whose nodes know their parent, and a walk that holds a handle of each node that it is in.
macro_rules! tree {
    ($name:ident, $module:path) => {
        mod $name {
            use rc::{Rc, Weak};
            use std::cell::RefCell;
            use $module as rc;

            struct Node {
                text: String,
                parent: Weak<Node>,
                children: RefCell<Vec<Rc<Node>>>,
            }

            fn node(text: String, parent: Weak<Node>) -> Rc<Node> {
                Rc::new(Node { text, parent, children: RefCell::default() })
            }

            fn walk(node: Rc<Node>) -> usize {
                let up = node.parent.upgrade().map_or(0, |parent| parent.text.len());
                let children = node.children.borrow();
                up + children.iter().map(|child| walk(child.clone())).sum::<usize>()
            }

            pub(crate) fn run(nodes: usize) -> usize {
                let mut all = vec![node("root".to_owned(), Weak::new())];
                for i in 1..nodes {
                    let parent = &all[(i - 1) / 4];
                    let child = node(format!("node {i}"), Rc::downgrade(parent));
                    parent.children.borrow_mut().push(child.clone());
                    all.push(child);
                }
                let root = all.swap_remove(0);
                drop(all);
                (0..3).map(|_| walk(root.clone())).sum()
            }
        }
    };
}

tree! { tree_std, std::rc }
tree! { tree_ours, refscope::rc }

/// Nanoseconds a clone and its drop, of so many clones at once, the best of some rounds.
macro_rules! clones {
    ($name:ident, $Arc:path) => {
        fn $name(order: &str, clones: usize) -> f64 {
            use $Arc as Arc;
            let mut all = Vec::with_capacity(clones);
            let mut round = || {
                let first = Arc::new(1_u64);
                let start = worked(THREAD);
                all.extend((0..clones).map(|_| first.clone()));
                match order {
                    "newest" => while all.pop().is_some() {},
                    "oldest" => all.drain(..).for_each(drop),
                    _ => {
                        let mut random = 7_u64;
                        while !all.is_empty() {
                            random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                            drop(all.swap_remove((random >> 33) as usize % all.len()));
                        }
                    }
                }
                worked(THREAD) - start
            };
            let rounds = (4 * MANY / clones).min(2_000);
            let best = (0..rounds).map(|_| round()).min().unwrap_or_default();
            best.as_nanos() as f64 / clones as f64
        }
    };
}

clones! { clones_std, std::sync::Arc }
clones! { clones_ours, refscope::Arc }

/// Milliseconds of a snapshot of many objects; clones and drops of another thread in a millisecond, without a snapshot and
/// while one is taken.
fn snapshot() -> [f64; 3] {
    use refscope::Arc;
    let all: Vec<_> = (0..MANY as u64).map(Arc::new).collect();
    let (done, stop) = (AtomicU64::new(0), AtomicBool::new(false));
    std::thread::scope(|threads| {
        threads.spawn(|| {
            let mine = Arc::new(0);
            while !stop.load(Ordering::Relaxed) {
                (0..100).for_each(|_| drop(black_box(mine.clone())));
                done.fetch_add(100, Ordering::Relaxed);
            }
        });
        let work = |f: &dyn Fn()| {
            let (before, start) = (done.load(Ordering::Relaxed), worked(THREAD));
            let at = Instant::now();
            f();
            let (took, all) = (worked(THREAD) - start, at.elapsed());
            let done = done.load(Ordering::Relaxed) - before;
            (took.as_secs_f64() * 1e3, done as f64 / all.as_secs_f64() / 1e3)
        };
        let mut best = [f64::MAX, 0.0, 0.0];
        for _ in 0..ROUNDS {
            let (_, alone) = work(&|| std::thread::sleep(Duration::from_millis(50)));
            let (took, meanwhile) = work(&|| {
                assert!(black_box(refscope::alive()).len() > MANY, "all are seen");
            });
            best = [best[0].min(took), best[1].max(alone), best[2].max(meanwhile)];
        }
        stop.store(true, Ordering::Relaxed);
        drop(all);
        best
    })
}

/// Runs a case in this process and prints its figures.
fn run(case: &[&str]) {
    let way = *case.last().expect("a case has a way");
    match way {
        "tracked" => refscope::track().expect("no other sink is there"),
        "recorded" => {
            let recorder = refscope::sink::Recorder::builder()
                .budget(1 << 30)
                .clock(refscope::sink::Clock::Coarse)
                .build();
            refscope::install(recorder).expect("no other sink is there");
        }
        _ => {}
    }
    match (case[0], way) {
        ("tree", _) => {
            black_box(if way == "std" { tree_std::run(NODES) } else { tree_ours::run(NODES) });
            println!("{}", worked(PROCESS).as_secs_f64() * 1e3);
        }
        ("clones", "std") => println!("{}", clones_std(case[1], case[2].parse().unwrap())),
        ("clones", _) => println!("{}", clones_ours(case[1], case[2].parse().unwrap())),
        _ => snapshot().iter().for_each(|figure| print!("{figure} ")),
    }
}

/// Runs a case in a process of its own, and returns its figures.
fn figures(case: &[&str]) -> Vec<f64> {
    let exe = std::env::current_exe().expect("this program has a path");
    let out = Command::new(exe).arg("--case").args(case).env_remove("REFSCOPE").output();
    let out = out.expect("it starts once more");
    assert!(out.status.success(), "{case:?}: {}", String::from_utf8_lossy(&out.stderr));
    let text = String::from_utf8_lossy(&out.stdout).into_owned();
    text.split_whitespace().map(|figure| figure.parse().unwrap()).collect()
}

fn main() {
    let arguments: Vec<String> = std::env::args().collect();
    if let Some(case) = arguments.iter().position(|argument| argument == "--case") {
        let case: Vec<_> = arguments[case + 1..].iter().map(String::as_str).collect();
        return run(&case);
    }
    let ways = ["std", "idle", "tracked", "recorded"];

    let mut best = [f64::MAX; 4];
    for _ in 0..ROUNDS {
        for (best, way) in best.iter_mut().zip(ways) {
            *best = best.min(figures(&["tree", way])[0]);
        }
    }
    for (took, way) in best.iter().zip(ways) {
        println!(
            "tree of {NODES:<12} {way:<10} {took:>8.1} ms {:>7.2} times std's",
            took / best[0]
        );
    }

    for order in ["newest", "oldest", "random"] {
        for way in ways {
            let of = |clones: usize| {
                let rounds =
                    (0..3).map(|_| figures(&["clones", order, &clones.to_string(), way])[0]);
                rounds.fold(f64::MAX, f64::min)
            };
            let (few, many) = (of(FEW), of(MANY));
            println!(
                "clones, {order} first  {way:<10} {few:>6.1} ns of {FEW}, {many:>6.1} ns of {MANY}: {:.2} times",
                many / few
            );
        }
    }

    let snapshot = figures(&["snapshot", "tracked"]);
    println!(
        "snapshot of {MANY}: {:.0} ms; clones and drops beside it: {:.0} a ms, {:.0} without it",
        snapshot[0], snapshot[2], snapshot[1]
    );
}
