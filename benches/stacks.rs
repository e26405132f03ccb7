//! What a stack costs, beside other people's: `cargo bench --bench stacks --features stacks`, and once more with
//! `RUSTFLAGS="-C force-frame-pointers=yes"`. Without the feature the platform's unwinder is measured.

use criterion::{Criterion, criterion_group, criterion_main};
use refscope::stack;
use std::hint::black_box;
use std::panic::Location;

/// Calls `f` below so many functions.
#[inline(never)]
fn below(depth: usize, f: &mut dyn FnMut()) -> usize {
    if depth == 0 {
        f();
        return 0;
    }
    black_box(below(depth - 1, f)) + 1
}

fn stacks(c: &mut Criterion) {
    let mut group = c.benchmark_group("stack");
    for depth in [16, 64] {
        below(80, &mut || {
            group.bench_function(format!("refscope, {depth}"), |b| {
                b.iter(|| black_box(stack::capture(depth)));
            });
            group.bench_function(format!("backtrace, {depth}"), |b| {
                b.iter(|| {
                    let (mut frames, mut len) = ([std::ptr::null_mut(); 64], 0);
                    backtrace::trace(|frame| {
                        frames[len] = frame.ip();
                        len += 1;
                        len < depth
                    });
                    black_box(frames);
                });
            });
        });
    }
    below(80, &mut || {
        group.bench_function("std::backtrace, whole", |b| {
            b.iter(|| black_box(std::backtrace::Backtrace::force_capture()));
        });
    });
    // What an event costs more with its stack: a clone and a drop, two events, 16 frames each.
    let recorder = refscope::sink::Recorder::builder().budget(8 << 20).build();
    below(80, &mut || {
        for (name, depth) in [("without", 0), ("with", 16)] {
            stack::set_depths(stack::Depths::all(depth));
            let one = refscope::Scope::new(recorder.clone()).run(|| refscope::Arc::new(1));
            group.bench_function(format!("Arc clone and drop recorded, {name} stacks"), |b| {
                b.iter(|| drop(black_box(one.clone())));
            });
            stack::set_depths(stack::Depths::default());
        }
    });
    // Each one a stack that was not seen before, until the table is full.
    let mut number = 0_u32;
    group.bench_function("refscope, 16, new ones", |b| {
        b.iter(|| {
            number = number.wrapping_add(1);
            distinct(number, 12, &mut || {
                black_box(stack::capture(16));
            });
        });
    });
    let here = Location::caller();
    group.bench_function("needs_stack", |b| {
        b.iter(|| black_box(refscope::__private::needs_stack(black_box(here))));
    });
    group.finish();
    // The table is bounded: what does not fit is refused, and counted.
    let begin = std::time::Instant::now();
    for number in 0..1_000_000 {
        distinct(number, 20, &mut || {
            black_box(stack::capture(64));
        });
    }
    let each = begin.elapsed() / 1_000_000;
    eprintln!("a million distinct stacks: {each:?} each; {:?}", stack::stats());
}

/// Calls `f` through one of two functions at each step, by the bits of `number`.
#[inline(never)]
fn distinct(number: u32, depth: u32, f: &mut dyn FnMut()) -> u32 {
    if depth == 0 {
        f();
        return 0;
    }
    if number & 1 == 0 {
        black_box(distinct(number >> 1, depth - 1, f)) + black_box(1)
    } else {
        black_box(odd(number, depth, f))
    }
}

#[inline(never)]
fn odd(number: u32, depth: u32, f: &mut dyn FnMut()) -> u32 {
    black_box(distinct(number >> 1, depth - 1, f)) ^ black_box(3)
}

criterion_group!(benches, stacks);
criterion_main!(benches);
