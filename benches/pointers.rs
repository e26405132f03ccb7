//! What the pointers cost beside std's, in one run: `cargo bench --bench pointers`.
//!
//! Each operation is measured on std's type, on the traced one idle (no sink), and recorded: with no clock, stamped
//! once a batch, by the coarse and the precise clock, keeping the latest; tracked without a sink, and by the tracing sink while
//! nobody subscribes. Compare within a run: a ratio holds where a time does not.
//!
//! Off needs no measurement: the types are std's own then (`tests/drop_in` compares their `TypeId`s).

use criterion::{
    BenchmarkGroup, Criterion, criterion_group, criterion_main, measurement::WallTime,
};
use refscope::Scope;
use refscope::sink::{Clock, Nop, Overflow, Recorder, Sink};
use std::hint::black_box;
use std::time::{Duration, Instant};

/// Operations that a recorder takes before it is exchanged for a fresh one, so that it is never full.
const ROUND: u64 = 10_000;

/// Measures `f` with the objects that `setup` makes bound to a fresh sink each round.
fn traced<S: Sink, T>(
    group: &mut BenchmarkGroup<'_, WallTime>,
    name: &str,
    sink: impl Fn() -> S,
    setup: impl Fn() -> T,
    f: impl Fn(&mut T),
) {
    group.bench_function(name, |bencher| {
        bencher.iter_custom(|iterations| {
            let mut took = Duration::ZERO;
            let mut left = iterations;
            while left > 0 {
                let round = left.min(ROUND);
                let guard = Scope::new(sink()).enter();
                let mut value = setup();
                // The recorder's first segment is made here, not in the measured loop.
                f(&mut value);
                let start = Instant::now();
                for _ in 0..round {
                    f(&mut value);
                }
                took += start.elapsed();
                drop(value);
                drop(guard);
                left -= round;
            }
            took
        });
    });
}

macro_rules! compare {
    ($criterion:ident, $name:literal, $module:ident::$Ptr:ident, |$setup:ident| $make:expr, |$value:ident| $run:expr) => {{
        let mut group = $criterion.benchmark_group($name);
        {
            #[allow(unused_imports)]
            use std::$module::$Ptr;
            let $setup = ();
            let mut value = $make;
            group.bench_function("std", |b| {
                b.iter(|| {
                    let $value = &mut value;
                    $run
                })
            });
        }
        {
            #[allow(unused_imports)]
            use refscope::$module::$Ptr;
            {
                let $setup = ();
                let mut value = $make;
                group.bench_function("idle", |b| {
                    b.iter(|| {
                        let $value = &mut value;
                        $run
                    })
                });
            }
            let make = || {
                let $setup = ();
                $make
            };
            for (name, clock) in [
                ("recorded, no clock", Clock::None),
                ("recorded, coarse clock", Clock::Coarse),
                ("recorded, precise clock", Clock::Precise),
            ] {
                let recorder = move || Recorder::builder().budget(64 << 20).clock(clock).build();
                traced(&mut group, name, recorder, make, |$value| {
                    $run;
                });
            }
            let latest = || {
                Recorder::builder()
                    .budget(1 << 20)
                    .overflow(Overflow::DropOldest)
                    .clock(Clock::Coarse)
                    .build()
            };
            traced(&mut group, "recorded, latest kept", latest, make, |$value| {
                $run;
            });
            traced(
                &mut group,
                "tracked",
                || Nop,
                make,
                |$value| {
                    $run;
                },
            );
            #[cfg(feature = "tracing")]
            {
                let sink = || refscope::sink::TracingSink;
                traced(&mut group, "tracing, no subscriber", sink, make, |$value| {
                    $run;
                });
            }
        }
        group.finish();
    }};
}

fn pointers(c: &mut Criterion) {
    compare!(c, "Arc clone+drop", sync::Arc, |_s| Arc::new(1_u64), |p| drop(black_box(p.clone())));
    compare!(c, "Rc clone+drop", rc::Rc, |_s| Rc::new(1_u64), |p| drop(black_box(p.clone())));
    compare!(c, "Arc new+drop", sync::Arc, |_s| (), |_p| drop(black_box(Arc::new(1_u64))));
    compare!(c, "Rc new+drop", rc::Rc, |_s| (), |_p| drop(black_box(Rc::new(1_u64))));
    compare!(c, "Box new+drop", boxed::Box, |_s| (), |_p| drop(black_box(Box::new(1_u64))));
    compare!(c, "Arc new+drop 1 KiB", sync::Arc, |_s| (), |_p| {
        drop(black_box(Arc::new([1_u8; 1024])));
    });
    compare!(c, "Arc deref", sync::Arc, |_s| Arc::new(1_u64), |p| black_box(**black_box(p)));
    compare!(c, "Rc deref", rc::Rc, |_s| Rc::new(1_u64), |p| black_box(**black_box(p)));
    compare!(c, "Arc downgrade+upgrade", sync::Arc, |_s| Arc::new(1_u64), |p| {
        black_box(Arc::downgrade(p).upgrade());
    });
    compare!(c, "Rc downgrade+upgrade", rc::Rc, |_s| Rc::new(1_u64), |p| {
        black_box(Rc::downgrade(p).upgrade());
    });
    compare!(c, "Rc new+drop 1 KiB", rc::Rc, |_s| (), |_p| drop(black_box(Rc::new([1_u8; 1024]))));
    compare!(c, "Box new+drop 1 KiB", boxed::Box, |_s| (), |_p| {
        drop(black_box(Box::new([1_u8; 1024])));
    });
    compare!(c, "Box deref", boxed::Box, |_s| Box::new(1_u64), |p| black_box(**black_box(p)));
    compare!(c, "Box clone+drop", boxed::Box, |_s| Box::new(1_u64), |p| {
        drop(black_box(black_box(p).clone()));
    });
    compare!(c, "Arc make_mut", sync::Arc, |_s| Arc::new(1_u64), |p| {
        *Arc::make_mut(black_box(p)) += 1;
    });
    compare!(c, "Rc make_mut", rc::Rc, |_s| Rc::new(1_u64), |p| {
        *Rc::make_mut(black_box(p)) += 1;
    });
    compare!(c, "Arc make_mut, shared", sync::Arc, |_s| Arc::new(1_u64), |p| {
        let keep = p.clone();
        *Arc::make_mut(black_box(p)) += 1;
        drop(keep);
    });
}

criterion_group! {
    name = benches;
    config = Criterion::default()
        .warm_up_time(Duration::from_millis(200))
        .measurement_time(Duration::from_millis(800))
        .sample_size(20);
    targets = pointers
}
criterion_main!(benches);
