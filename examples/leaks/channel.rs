//! A channel whose receiver reads too little: it keeps its messages.

use refscope::leaks::Check;
use refscope::sync::Arc;
use std::sync::mpsc;

struct Job {
    number: u32,
}

pub(crate) fn run(_: &Check) {
    let (jobs, queue) = mpsc::channel();
    for number in 0..8 {
        let job = Arc::new(Job { number });
        jobs.send(job.clone()).unwrap(); // FAULT: sent, and not received
    }
    let first: Arc<Job> = queue.recv().unwrap();
    assert_eq!(first.number, 0);
    // Both ends live on in a service that is never shut down.
    std::mem::forget((jobs, queue));
}
