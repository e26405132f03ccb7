//! A service on smol whose sessions each start a watchdog, a task that nobody stops.

use refscope::sync::Arc;
use smol::channel::{Receiver, Sender, unbounded};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

struct Session {
    peer: u32,
    alarms: AtomicU64,
    outbox: Sender<u64>,
}

#[derive(Default)]
struct Server {
    sessions: Mutex<Vec<Arc<Session>>>,
}

async fn watch(session: Arc<Session>) {
    loop {
        let alarm = session.alarms.fetch_add(1, Ordering::Relaxed);
        let _ = session.outbox.send(alarm).await;
        std::future::pending::<()>().await;
    }
}

impl Server {
    fn connect(&self, peer: u32) -> Receiver<u64> {
        let (outbox, inbox) = unbounded();
        let session = Arc::new(Session { peer, alarms: AtomicU64::new(0), outbox });
        smol::spawn(watch(session.clone())).detach(); // <- FAULT
        self.sessions.lock().unwrap().push(session);
        inbox
    }

    fn disconnect(&self, peer: u32) {
        self.sessions.lock().unwrap().retain(|session| session.peer != peer);
    }
}

async fn serve() {
    let server = Server::default();
    for peer in 0..4 {
        let inbox = server.connect(peer);
        assert_eq!(inbox.recv().await, Ok(0));
        server.disconnect(peer);
    }
}

pub(super) fn run() {
    smol::block_on(serve());
}
