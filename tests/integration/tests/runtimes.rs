//! Checks of programs whose threads are a runtime's or a pool's: the README's recipes.

use refscope::Arc;
use refscope::leaks::{Check, check};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Mutex;
use std::time::Duration;

struct Client;

type Clients = std::sync::Arc<Mutex<Vec<Arc<Client>>>>;

/// Tasks on the runtime's threads register clients, which stay.
async fn serve(clients: Clients) {
    let tasks: Vec<_> = (0..5)
        .map(|_| {
            let clients = clients.clone();
            tokio::spawn(async move { clients.lock().unwrap().push(Arc::new(Client)) })
        })
        .collect();
    for task in tasks {
        task.await.unwrap();
    }
}

fn message(f: impl FnOnce()) -> String {
    let panic = catch_unwind(AssertUnwindSafe(f)).expect_err("it panics");
    let text = panic.downcast_ref::<String>().expect("with a text");
    // However it is folded.
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// The tests of this file see each other's threads: one at a time.
static ALONE: Mutex<()> = Mutex::new(());

#[test]
fn a_check_around_a_runtime_is_not_green_while_clients_stay() {
    let _alone = ALONE.lock().unwrap_or_else(|error| error.into_inner());
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).build().unwrap();
    let clients = Clients::default();
    let text = message(|| check(|| runtime.block_on(serve(clients.clone()))));
    assert!(text.contains("nothing was traced"), "{text}");
    assert!(text.contains("5 objects are alive that were made meanwhile on threads"), "{text}");
    assert!(text.contains("5 x Arc<Client> at tests/integration/tests/runtimes.rs:"), "{text}");
}

#[test]
fn tokios_threads_enter_the_scope() {
    let _alone = ALONE.lock().unwrap_or_else(|error| error.into_inner());
    let check = Check::new().timeout(Duration::from_millis(10));
    let scope = check.scope().clone();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .on_thread_start(move || scope.enter_thread())
        .build()
        .unwrap();
    let clients = Clients::default();
    let text = message(|| check.run(|| runtime.block_on(serve(clients.clone()))));
    assert!(text.contains("5 objects alive after the check, kept by 1 line"), "{text}");
    clients.lock().unwrap().clear();
    check.verify().expect("they are gone");
}

#[test]
fn rayons_threads_enter_the_scope() {
    let _alone = ALONE.lock().unwrap_or_else(|error| error.into_inner());
    let check = Check::new().timeout(Duration::from_millis(10));
    let scope = check.scope().clone();
    let pool = rayon::ThreadPoolBuilder::new()
        .num_threads(2)
        .start_handler(move |_| scope.enter_thread())
        .build()
        .unwrap();
    let work = |clients: &Clients| {
        pool.broadcast(|_| clients.lock().unwrap().push(Arc::new(Client)));
    };
    let clients = Clients::default();
    let text = message(|| check.run(|| work(&clients)));
    assert!(text.contains("2 objects alive after the check, kept by 1 line"), "{text}");
    clients.lock().unwrap().clear();
    check.verify().expect("they are gone");
}

#[test]
fn the_whole_process_is_checked_with_threads_that_know_of_no_scope() {
    let _alone = ALONE.lock().unwrap_or_else(|error| error.into_inner());
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).build().unwrap();
    let clients = Clients::default();
    let check = Check::whole_process().timeout(Duration::from_millis(10));
    let text = message(|| check.run(|| runtime.block_on(serve(clients.clone()))));
    assert!(text.contains("5 objects alive after the check, kept by 1 line"), "{text}");
    clients.lock().unwrap().clear();
    check.verify().expect("they are gone");
}
