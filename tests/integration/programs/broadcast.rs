//! A chat server that sends each message to all who subscribed, also to one who does not read any more.

use refscope::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{LazyLock, Mutex};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

struct Message {
    text: String,
}

#[derive(Default)]
struct Room {
    members: Mutex<Vec<UnboundedSender<Arc<Message>>>>,
}

impl Room {
    fn join(&self) -> UnboundedReceiver<Arc<Message>> {
        let (sender, receiver) = unbounded_channel();
        self.members.lock().unwrap().push(sender);
        receiver
    }

    fn say(&self, text: &str) {
        let message = Arc::new(Message { text: text.to_owned() });
        self.members.lock().unwrap().retain(|member| {
            member.send(message.clone()).is_ok() // <- FAULT
        });
    }
}

static READ: AtomicUsize = AtomicUsize::new(0);

/// One who reads three messages, and then waits for the user, who is gone.
async fn lurk(mut inbox: UnboundedReceiver<Arc<Message>>) {
    while let Some(message) = inbox.recv().await {
        let read = READ.fetch_add(1, Ordering::Relaxed) + usize::from(!message.text.is_empty());
        if read == 3 {
            std::future::pending::<()>().await;
        }
    }
}

async fn serve() {
    let room = Room::default();
    let lurking = tokio::spawn(lurk(room.join()));
    let mut active = room.join();
    for n in 0..40 {
        room.say(&format!("message {n:02}"));
        let got = active.recv().await.expect("the room is open");
        assert_eq!(got.text.len(), 10);
    }
    while READ.load(Ordering::Relaxed) < 3 {
        tokio::task::yield_now().await;
    }
    assert!(!lurking.is_finished());
}

static RUNTIME: LazyLock<tokio::runtime::Runtime> = LazyLock::new(|| {
    tokio::runtime::Builder::new_multi_thread().worker_threads(1).build().expect("threads")
});

pub(super) fn run() {
    RUNTIME.block_on(serve());
}
