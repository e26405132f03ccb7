//! The lines that a handle was handed on through are kept within limits. One test, so that the process's memory is its own.
#![cfg(feature = "trace")]

mod common;

use common::random;
use refscope::{Arc, Scope};

/// One handle, handed on through six lines in an order without a pattern, a million times: paths are cut to a length, and
/// the table of all of them is bounded as well.
#[test]
fn the_paths_of_one_handle_are_bounded() {
    const HANDED: u64 = if cfg!(miri) { 2_000 } else { 1_000_000 };
    let scope = Scope::tracking();
    let before = memory();
    let mut random = random();
    let mut one = scope.run(|| Arc::new(1));
    for _ in 0..HANDED {
        one = match random() % 6 {
            0 => one.clone(),
            1 => one.clone(),
            2 => one.clone(),
            3 => one.clone(),
            4 => one.clone(),
            _ => one.clone(),
        };
    }
    let alive = scope.alive();
    let [object] = &alive[..] else { panic!("{alive:?}") };
    let [handle] = &object.handles[..] else { panic!("{object:?}") };
    assert_eq!(object.strong, 1);
    assert!(handle.path.len() <= 24, "{}", handle.path.len());
    assert_eq!(handle.path[0].op, refscope::Op::New, "the first step stays");
    assert_eq!(handle.location().map(|location| &*location.file), Some(file!()));
    if !cfg!(miri) {
        assert!(refscope::untraced_counts().paths_cut > 0, "the table is full, and says so");
        // A node is 16 bytes, its key in the table some 48: 2^18 of them are 16 MiB.
        let (Some(before), Some(after)) = (before, memory()) else { return };
        assert!(after.saturating_sub(before) < 64 << 20, "{before} bytes before, {after} after");
    }
    drop(one);
}

/// The process's memory, where it can be asked for.
fn memory() -> Option<usize> {
    let text = std::fs::read_to_string("/proc/self/statm").ok()?;
    Some(text.split(' ').nth(1)?.parse::<usize>().ok()? * 4096)
}
