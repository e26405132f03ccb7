//! A service whose sessions each start a heartbeat, a task that nobody stops.

use refscope::sync::Arc;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use tokio::sync::mpsc;

struct Session {
    peer: u32,
    beats: AtomicU64,
    outbox: mpsc::UnboundedSender<u64>,
}

#[derive(Default)]
struct Server {
    sessions: Mutex<Vec<Arc<Session>>>,
}

impl Server {
    async fn connect(&self, peer: u32) -> mpsc::UnboundedReceiver<u64> {
        let (outbox, inbox) = mpsc::unbounded_channel();
        let session = Arc::new(Session { peer, beats: AtomicU64::new(0), outbox });
        let beating = session.clone(); // <- FAULT
        tokio::spawn(async move {
            loop {
                let beat = beating.beats.fetch_add(1, Ordering::Relaxed);
                let _ = beating.outbox.send(beat);
                std::future::pending::<()>().await;
            }
        });
        self.sessions.lock().unwrap().push(session);
        inbox
    }

    fn disconnect(&self, peer: u32) {
        self.sessions.lock().unwrap().retain(|session| session.peer != peer);
    }
}

async fn serve() {
    let server = Server::default();
    for peer in 0..5 {
        let mut inbox = server.connect(peer).await;
        assert_eq!(inbox.recv().await, Some(0));
        server.disconnect(peer);
    }
}

pub(super) fn run() {
    use std::sync::LazyLock;
    static RUNTIME: LazyLock<tokio::runtime::Runtime> = LazyLock::new(|| {
        tokio::runtime::Builder::new_multi_thread().worker_threads(2).build().unwrap()
    });
    RUNTIME.block_on(serve());
}
