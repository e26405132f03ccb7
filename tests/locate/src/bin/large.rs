//! A million handles in a heap of two gigabytes: how long the search takes, how long the program stands still, and how much
//! memory the search has. `large [THOUSANDS OF OBJECTS [BYTES BESIDE EACH]]`

use refscope::locate::Search;
use std::time::{Duration, Instant};

struct Node {
    _next: Option<refscope::Rc<Node>>,
    _beside: Vec<u8>,
}

fn peak() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    line.and_then(|line| line.trim().split(' ').next()?.parse().ok()).unwrap_or(0)
}

/// The process's own time, which other programs on the machine do not lengthen.
fn cpu() -> Duration {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: TEST: writes the time.
    unsafe { libc::clock_gettime(libc::CLOCK_PROCESS_CPUTIME_ID, &mut time) };
    Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
}

fn main() {
    refscope::track().expect("nothing else is installed");
    let mut args = std::env::args().skip(1).map(|arg| arg.parse().expect("a number"));
    let (count, beside) = (args.next().unwrap_or(1000) * 1000, args.next().unwrap_or(1950));
    let mut kept = Vec::new();
    for n in 0..count / 100 {
        let mut list = None;
        for _ in 0..100 {
            let node = Node { _next: list.take(), _beside: vec![n as u8; beside] };
            list = Some(refscope::Rc::new(node));
        }
        kept.push(list);
    }
    let before = peak();
    let (begin, spent) = (Instant::now(), cpu());
    let ownership = Search::new().budget(Duration::from_secs(60)).run().expect("it works here");
    let (took, spent) = (begin.elapsed(), cpu() - spent);
    let statistics = &ownership.statistics;
    println!(
        "{} objects, {} blocks, {} MB: {took:.2?} ({spent:.2?} of CPU), stopped {:.1} ms, {:.2} GB/s, {} MB of memory, doubts {:?}",
        ownership.objects.len(),
        statistics.blocks,
        statistics.bytes >> 20,
        statistics.stopped_ns as f64 / 1e6,
        statistics.bytes as f64 / 1e9 / spent.as_secs_f64(),
        (peak() - before) >> 10,
        ownership.doubts,
    );
    std::process::exit(0);
}
