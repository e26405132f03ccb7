//! Two threads that clone and drop an `Arc`, each its own or both the same: `cargo bench --bench threads`.
//!
//! What is measured is the time until both have done their part. The objects lie on cache lines of their own. Beside two
//! threads one does the same alone, so that the scaling of std and of each way can be compared.

use criterion::{Criterion, criterion_group, criterion_main};
use refscope::Scope;
use refscope::sink::{Clock, Nop, Overflow, Recorder, Sink};
use std::hint::black_box;
use std::sync::Barrier;
use std::time::{Duration, Instant};

/// A payload that shares its cache lines with nothing.
#[repr(align(128))]
struct Alone(u64);

/// The time in which every pointer was cloned and dropped `times` times, each on its own thread.
fn time<P: Clone + Send>(pointers: &[P], times: u64) -> Duration {
    let start = Barrier::new(pointers.len() + 1);
    std::thread::scope(|threads| {
        let running: Vec<_> = (pointers.iter().cloned())
            .map(|pointer| {
                let start = &start;
                threads.spawn(move || {
                    // The thread's first segment is made here, not in the measured loop.
                    drop(pointer.clone());
                    start.wait();
                    let began = Instant::now();
                    for _ in 0..times {
                        drop(black_box(black_box(&pointer).clone()));
                    }
                    began.elapsed()
                })
            })
            .collect();
        start.wait();
        running.into_iter().map(|thread| thread.join().unwrap()).max().unwrap_or_default()
    })
}

fn threads(c: &mut Criterion) {
    macro_rules! case {
        ($group:ident, $name:expr, $Arc:path, $sink:expr) => {
            for (how, count, shared) in
                [("1 thread", 1, false), ("2 separate", 2, false), ("2 shared", 2, true)]
            {
                use $Arc as Arc;
                $group.bench_function(format!("{}/{how}", $name), |bencher| {
                    bencher.iter_custom(|times| {
                        let sink: Option<Box<dyn Sink>> = $sink;
                        let _guard = sink.map(|sink| Scope::new(sink).enter());
                        let first = Arc::new(Alone(0));
                        black_box(first.0);
                        let pointers: Vec<_> = (0..count)
                            .map(|_| if shared { first.clone() } else { Arc::new(Alone(0)) })
                            .collect();
                        time(&pointers, times)
                    });
                });
            }
        };
    }
    let mut group = c.benchmark_group("Arc clone+drop");
    let latest = |clock| {
        Some(Box::new(
            Recorder::builder().budget(1 << 20).overflow(Overflow::DropOldest).clock(clock).build(),
        ) as _)
    };
    case!(group, "std", std::sync::Arc, None);
    case!(group, "idle", refscope::Arc, None);
    case!(group, "recorded, coarse clock", refscope::Arc, latest(Clock::Coarse));
    case!(group, "tracked", refscope::Arc, Some(Box::new(Nop)));
    group.finish();
}

criterion_group! {
    name = benches;
    config = Criterion::default()
        .warm_up_time(Duration::from_millis(200))
        .measurement_time(Duration::from_millis(800))
        .sample_size(20);
    targets = threads
}
criterion_main!(benches);
