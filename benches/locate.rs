//! What the search for handles costs, and what `refscope::Alloc` adds to each block: `cargo bench --bench locate`.
//!
//! The search's figures are for a heap of 200 MB with 100,000 living handles; `cargo run --release -p refscope-locate --bin
//! large` asks a heap of 2 GB with a million, and prints how long the program stood still and how much memory it took. A pair
//! is an allocation and a release of 48 bytes; "cold" with a million other blocks alive, of which each pair replaces a random
//! one.

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use refscope::locate::Search;
use std::alloc::{GlobalAlloc, Layout, System};
use std::hint::black_box;
use std::sync::Barrier;
use std::time::{Duration, Instant};

struct Node {
    _next: Option<refscope::Rc<Node>>,
    _beside: Vec<u8>,
}

fn search(c: &mut Criterion) {
    let _ = refscope::track();
    let lists: Vec<_> = (0..1000)
        .map(|n| {
            (0..100).fold(None, |next, _| {
                Some(refscope::Rc::new(Node { _next: next, _beside: vec![n as u8; 1950] }))
            })
        })
        .collect();
    let search = Search::new().budget(Duration::from_secs(60));
    let Ok(ownership) = search.run() else { return };
    let statistics = &ownership.statistics;
    println!(
        "{} objects, {} MB, the program stood still for {:.1} ms",
        ownership.objects.len(),
        statistics.bytes >> 20,
        statistics.stopped_ns as f64 / 1e6
    );
    let mut group = c.benchmark_group("search");
    group.sample_size(10);
    group.throughput(Throughput::Bytes(statistics.bytes));
    group.bench_function("100,000 handles", |bencher| bencher.iter(|| search.run()));
    group.finish();
    black_box(&lists);
}

const LAYOUT: Layout = Layout::new::<[u64; 6]>();

/// A block that is replaced, by its number.
struct Blocks<'a, A: GlobalAlloc> {
    alloc: &'a A,
    blocks: Vec<*mut u8>,
}

impl<'a, A: GlobalAlloc> Blocks<'a, A> {
    fn new(alloc: &'a A, count: usize) -> Self {
        // SAFETY: ALLOC: the layout has a size.
        let blocks = (0..count).map(|_| unsafe { alloc.alloc(LAYOUT) }).collect();
        Self { alloc, blocks }
    }

    #[inline]
    fn replace(&mut self, number: usize) {
        // SAFETY: ALLOC: the block is alive, and of this layout.
        unsafe { self.alloc.dealloc(self.blocks[number], LAYOUT) };
        // SAFETY: ALLOC: the layout has a size.
        self.blocks[number] = black_box(unsafe { self.alloc.alloc(LAYOUT) });
    }
}

impl<A: GlobalAlloc> Drop for Blocks<'_, A> {
    fn drop(&mut self) {
        for &block in &self.blocks {
            // SAFETY: ALLOC: the block is alive, and of this layout.
            unsafe { self.alloc.dealloc(block, LAYOUT) };
        }
    }
}

/// The time in which so many threads each replaced a block of their own `times` times.
fn threads<A: GlobalAlloc + Sync>(alloc: &A, count: usize, times: u64) -> Duration {
    let start = Barrier::new(count);
    std::thread::scope(|threads| {
        let run = || {
            let mut blocks = Blocks::new(alloc, 1);
            start.wait();
            let began = Instant::now();
            for _ in 0..times {
                blocks.replace(0);
            }
            began.elapsed()
        };
        let running: Vec<_> = (0..count).map(|_| threads.spawn(run)).collect();
        running.into_iter().map(|thread| thread.join().unwrap()).max().unwrap_or_default()
    })
}

fn pairs<A: GlobalAlloc + Sync>(c: &mut Criterion, name: &str, alloc: &A) {
    let mut group = c.benchmark_group(format!("pair/{name}"));
    group.bench_function("hot", |bencher| {
        let mut blocks = Blocks::new(alloc, 1);
        bencher.iter(|| blocks.replace(0));
    });
    group.bench_function("cold, a million alive", |bencher| {
        let mut blocks = Blocks::new(alloc, 1_000_000);
        let mut random = 1_u64;
        bencher.iter(|| {
            random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            blocks.replace((random >> 33) as usize % 1_000_000);
        });
    });
    for count in [1, 2] {
        group.bench_function(format!("{count} threads"), |bencher| {
            bencher.iter_custom(|times| threads(alloc, count, times));
        });
    }
    group.finish();
}

fn alloc(c: &mut Criterion) {
    pairs(c, "System", &System);
    pairs(c, "Alloc", &refscope::Alloc::new());
}

criterion_group! {
    name = benches;
    config = Criterion::default()
        .warm_up_time(Duration::from_millis(200))
        .measurement_time(Duration::from_millis(1000))
        .sample_size(20);
    targets = alloc, search
}
criterion_main!(benches);
