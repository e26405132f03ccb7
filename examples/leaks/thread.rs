//! A thread that never ends, and what it holds.

use refscope::leaks::Check;
use refscope::sync::Arc;
use std::sync::mpsc;

struct Config {
    interval: u32,
}

pub(crate) fn run(_: &Check) {
    let config = Arc::new(Config { interval: 5 });
    let (stop, stopped) = mpsc::channel::<()>();
    let theirs = config.clone(); // FAULT: nobody ever tells the thread to stop
    std::thread::Builder::new()
        .name("refresher".to_owned())
        .spawn(move || {
            assert_eq!(theirs.interval, 5);
            let _ = stopped.recv();
        })
        .unwrap();
    std::mem::forget(stop);
}
