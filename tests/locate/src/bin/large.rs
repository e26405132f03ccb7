//! A million handles in a heap of two gigabytes: how long the search takes, how long the program stands still, and how much
//! memory the search has; beside the time of a bare `fork` of the same process, and of reading the same bytes by `memchr` and
//! `memcpy`. `large [THOUSANDS OF OBJECTS [BYTES BESIDE EACH]]`

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

/// How long a bare `fork` takes, whose child ends at once: the median of five.
fn bare_fork() -> Duration {
    let mut times = [(); 5].map(|()| {
        let begin = Instant::now();
        // SAFETY: TEST: the child does nothing but end.
        let pid = unsafe { libc::fork() };
        if pid == 0 {
            // SAFETY: TEST: without handlers.
            unsafe { libc::_exit(0) };
        }
        let took = begin.elapsed();
        // SAFETY: TEST: no status is asked for.
        unsafe { libc::waitpid(pid, std::ptr::null_mut(), 0) };
        took
    });
    times.sort_unstable();
    times[2]
}

/// Calls `f` with each buffer, and returns how many gigabytes a second of the processor it read.
fn speed(kept: &[Option<refscope::Rc<Node>>], mut f: impl FnMut(&[u8])) -> f64 {
    let (start, mut bytes) = (cpu(), 0);
    for list in kept {
        let mut next = list.as_ref();
        while let Some(node) = next {
            f(&node._beside);
            bytes += node._beside.len();
            next = node._next.as_ref();
        }
    }
    bytes as f64 / 1e9 / (cpu() - start).as_secs_f64()
}

fn main() {
    refscope::track().expect("nothing else is installed");
    let mut args = std::env::args().skip(1).map(|arg| arg.parse().expect("a number"));
    let (count, beside) = (args.next().unwrap_or(1000) * 1000, args.next().unwrap_or(1950));
    let mut kept = Vec::new();
    for n in 0..count / 100 {
        let mut list = None;
        for _ in 0..100 {
            let node = Node { _next: list.take(), _beside: vec![n as u8 & 127; beside] };
            list = Some(refscope::Rc::new(node));
        }
        kept.push(list);
    }
    let fork = bare_fork();
    let by_memchr = speed(&kept, |bytes| {
        // SAFETY: TEST: within the buffer.
        let found = unsafe { libc::memchr(bytes.as_ptr().cast(), 255, bytes.len()) };
        std::hint::black_box(found);
    });
    let mut copy = vec![0; beside];
    let by_memcpy = speed(&kept, |bytes| {
        copy.copy_from_slice(bytes);
        std::hint::black_box(&copy);
    });
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
    println!(
        "a bare fork {:.1} ms, after the search {:.1} ms; memchr {by_memchr:.2} GB/s, memcpy {by_memcpy:.2} GB/s",
        fork.as_secs_f64() * 1e3,
        bare_fork().as_secs_f64() * 1e3,
    );
    std::process::exit(0);
}
