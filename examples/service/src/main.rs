//! `cargo run -p service`: a tokio service that forgets to close some of its sessions, found by checkpoints.
//!
//! Nothing is wrong at any one moment: sessions come and go. But from checkpoint to checkpoint some stay that were opened
//! since, and the report of those names the line that holds them.
#![allow(dead_code)] // tests/integration runs it as well

use refscope::Scope;
use refscope::analysis::{Growth, ReportKind, Snapshot};
use refscope::event::Time;
use refscope::render::Terminal;
use refscope::sync::Arc; // was: use std::sync::Arc;
use std::sync::Mutex;

struct Session {
    user: u32,
}

#[derive(Default)]
struct Service {
    open: Mutex<Vec<Arc<Session>>>,
    audit: Mutex<Vec<Arc<Session>>>,
}

impl Service {
    async fn request(self: std::sync::Arc<Self>, user: u32) {
        let session = Arc::new(Session { user });
        self.open.lock().unwrap().push(session.clone());
        tokio::task::yield_now().await;
        if session.user.is_multiple_of(10) {
            self.audit.lock().unwrap().push(session.clone()); // FAULT: written, and never read
        }
        self.open.lock().unwrap().retain(|open| !Arc::ptr_eq(open, &session));
    }
}

/// Runs the service for some rounds, and gives what grew from each to the next.
pub(crate) fn run() -> Vec<Growth> {
    // What is alive in the scope; for the whole process it is `refscope::track()` and `refscope::leaks::snapshot()`.
    let scope = Scope::tracking();
    let snapshot = || Snapshot::new(scope.alive(), Time::coarse());
    let service = std::sync::Arc::new(Service::default());
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let mut before = snapshot();
    let mut grown = Vec::new();
    for round in 0..3 {
        runtime.block_on(async {
            let users = round * 30..(round + 1) * 30;
            let requests = users.map(|user| scope.instrument(service.clone().request(user)));
            let tasks: Vec<_> = requests.map(tokio::spawn).collect();
            for task in tasks {
                task.await.unwrap();
            }
        });
        let now = snapshot();
        grown.push(now.since(&before));
        before = now;
    }
    grown
}

fn main() {
    if !refscope::ENABLED {
        println!("Tracing is off: refscope is built without its feature `trace`.");
    }
    let grown = run();
    for (round, growth) in (1..).zip(&grown) {
        println!("checkpoint {round}: {growth}");
    }
    if let Some(last) = grown.last() {
        println!(
            "\n{}",
            Terminal::stdout().render_report(&last.report().with_kind(ReportKind::Alive))
        );
    }
}
