//! Values that something holds: each root is to be named, and no cycle to be proven.

use crate::{Ask, Case, clear_dead_stack, id, is_below, is_in_block_of};
use refscope::locate::{NodeKind, Owner};
use refscope::{Arc, ObjectId, Rc};
use std::cell::RefCell;
use std::collections::{BTreeMap, HashMap, VecDeque};
use std::hint::black_box;
use std::mem::ManuallyDrop;
use std::sync::atomic::{AtomicBool, AtomicPtr, Ordering};
use std::sync::{LazyLock, Mutex, OnceLock, mpsc};
use std::time::Duration;

pub const ROOTS: &[Case] = &[
    ("local", local),
    ("ring_on_a_local", ring_on_a_local),
    ("local_vec", local_vec),
    ("static_slot", static_slot),
    ("static_vec", static_vec),
    ("static_map", static_map),
    ("lazy_static", lazy_static),
    ("leaked_box", leaked_box),
    ("thread_local", thread_local),
    ("thread_local_lazy", thread_local_lazy),
    ("unnamed_thread", unnamed_thread),
    ("waiting_thread", waiting_thread),
    ("running_thread", running_thread),
    ("thread_closure", thread_closure),
    ("waiting_task", waiting_task),
    ("register", register),
    ("forgotten", forgotten),
    ("raw", raw),
    ("std_pointer", std_pointer),
    ("moved_between_vecs", moved_between_vecs),
    ("moved_by_growth", moved_by_growth),
    ("taken_to_a_local", taken_to_a_local),
    ("popped_to_a_local", popped_to_a_local),
    ("swapped", swapped),
    ("removed_from_a_map", removed_from_a_map),
    ("removed_and_forgotten", removed_and_forgotten),
    ("kept_in_a_map", kept_in_a_map),
    ("moved_between_trees", moved_between_trees),
    ("boxed_beside_zeros", boxed_beside_zeros),
    ("popped_from_a_tree", popped_from_a_tree),
    ("popped_and_forgotten", popped_and_forgotten),
    ("kept_in_a_tree", kept_in_a_tree),
    ("kept_in_a_queue", kept_in_a_queue),
    ("round_in_a_queue", round_in_a_queue),
    ("being_drained", being_drained),
    ("field_of_an_object", field_of_an_object),
];

#[derive(Default)]
pub(crate) struct Node {
    pub(crate) next: RefCell<Option<Rc<Node>>>,
    name: [u8; 3],
}

#[derive(Default)]
pub(crate) struct Peer(pub(crate) Mutex<Option<Arc<Peer>>>);

#[inline(never)]
pub(crate) fn ring() -> Rc<Node> {
    let (one, two) = (Rc::new(Node::default()), Rc::new(Node::default()));
    *one.next.borrow_mut() = Some(two.clone());
    *two.next.borrow_mut() = Some(one.clone());
    one
}

#[inline(never)]
pub(crate) fn peers() -> Arc<Peer> {
    let (one, two) = (Arc::new(Peer::default()), Arc::new(Peer::default()));
    *one.0.lock().expect("not poisoned") = Some(two.clone());
    *two.0.lock().expect("not poisoned") = Some(one.clone());
    one
}

fn is_stack_of(name: &str) -> impl Fn(&Owner) -> bool {
    move |owner| matches!(owner, Owner::Stack { thread } if **thread == *name)
}

fn is_static(owner: &Owner) -> bool {
    matches!(owner, Owner::Static { .. })
}

#[inline(never)]
fn local(ask: &Ask) {
    let local = Rc::new(Node::default());
    ask.root(id(&local), is_stack_of("main"));
    black_box((&local, local.name));
}

/// No leak: the ring hangs off a living local.
#[inline(never)]
fn ring_on_a_local(ask: &Ask) {
    let local = ring();
    ask.root(id(&local), is_stack_of("main"));
    black_box(&local);
}

#[inline(never)]
fn local_vec(ask: &Ask) {
    let local = vec![ring(), ring()];
    ask.root(id(&local[1]), is_stack_of("main"));
    black_box(&local);
}

static SLOT: Mutex<Option<Arc<Peer>>> = Mutex::new(None);

#[inline(never)]
fn static_slot(ask: &Ask) {
    fn put() -> u64 {
        let peers = peers();
        let id = id(&peers);
        *SLOT.lock().expect("not poisoned") = Some(peers);
        id
    }
    ask.root(black_box(put)(), is_static);
}

static LIST: Mutex<Vec<Arc<Peer>>> = Mutex::new(Vec::new());

#[inline(never)]
fn static_vec(ask: &Ask) {
    fn put() -> u64 {
        let peers = peers();
        let id = id(&peers);
        LIST.lock().expect("not poisoned").push(peers);
        id
    }
    ask.root(black_box(put)(), is_static);
}

static MAP: LazyLock<Mutex<HashMap<String, Arc<Peer>>>> = LazyLock::new(Mutex::default);

#[inline(never)]
fn static_map(ask: &Ask) {
    fn put() -> u64 {
        let peers = peers();
        let id = id(&peers);
        MAP.lock().expect("not poisoned").insert("peers".to_owned(), peers);
        id
    }
    ask.root(black_box(put)(), is_static);
}

static ONCE: OnceLock<Arc<Peer>> = OnceLock::new();

#[inline(never)]
fn lazy_static(ask: &Ask) {
    fn put() -> u64 {
        id(ONCE.get_or_init(peers))
    }
    ask.root(black_box(put)(), is_static);
}

static LEAKED: AtomicPtr<Arc<Peer>> = AtomicPtr::new(std::ptr::null_mut());

#[inline(never)]
fn leaked_box(ask: &Ask) {
    fn put() -> u64 {
        let leaked = Box::leak(Box::new(peers()));
        LEAKED.store(leaked, Ordering::Relaxed);
        id(leaked)
    }
    ask.root(black_box(put)(), is_static);
    // Or the compiler would leave out the store, and the block, too.
    // SAFETY: TEST: what was leaked is there for good.
    black_box(Arc::strong_count(unsafe { &*LEAKED.load(Ordering::Relaxed) }));
}

thread_local! {
    static LOCAL: RefCell<Option<Rc<Node>>> = const { RefCell::new(None) };
    #[allow(clippy::missing_const_for_thread_local)] // that is the case
    static LAZY: RefCell<Vec<Rc<Node>>> = RefCell::new(Vec::new());
}

fn is_thread_local(owner: &Owner) -> bool {
    matches!(owner, Owner::ThreadLocal(place) if &*place.thread == "main")
}

#[inline(never)]
fn thread_local(ask: &Ask) {
    fn put() -> u64 {
        let ring = ring();
        let id = id(&ring);
        LOCAL.set(Some(ring));
        id
    }
    ask.root(black_box(put)(), is_thread_local);
}

#[inline(never)]
fn thread_local_lazy(ask: &Ask) {
    fn put() -> u64 {
        let ring = ring();
        let id = id(&ring);
        LAZY.with_borrow_mut(|list| list.push(ring));
        id
    }
    ask.root(black_box(put)(), is_thread_local);
}

/// Starts a thread that makes a ring, tells its number, and holds it while it does `wait`.
fn holding(thread: std::thread::Builder, wait: fn()) -> u64 {
    let (sender, receiver) = mpsc::channel();
    let hold = move || {
        let held = peers();
        sender.send(id(&held)).expect("main listens");
        wait();
        drop(black_box(held));
    };
    thread.spawn(hold).expect("threads can be made");
    let id = receiver.recv().expect("the thread tells it");
    std::thread::sleep(Duration::from_millis(30));
    id
}

fn holder() -> std::thread::Builder {
    std::thread::Builder::new().name("holder".to_owned())
}

/// The system has the program's name for it.
#[inline(never)]
fn unnamed_thread(ask: &Ask) {
    let id = holding(std::thread::Builder::new(), || {
        std::thread::sleep(Duration::from_secs(1000));
    });
    ask.root(
        id,
        |owner| matches!(owner, Owner::Stack { thread } if thread.starts_with("unnamed-")),
    );
}

#[inline(never)]
fn waiting_thread(ask: &Ask) {
    let id = holding(holder(), || std::thread::sleep(Duration::from_secs(1000)));
    ask.root(id, is_stack_of("holder"));
}

#[inline(never)]
fn running_thread(ask: &Ask) {
    static GO_ON: AtomicBool = AtomicBool::new(true);
    let id = holding(holder(), || {
        while GO_ON.load(Ordering::Relaxed) {
            std::hint::spin_loop();
        }
    });
    ask.root(id, is_stack_of("holder"));
}

/// Held by the closure that the thread runs, which std has on the heap or on the thread's stack.
#[inline(never)]
fn thread_closure(ask: &Ask) {
    fn start() -> u64 {
        let peers = peers();
        let id = id(&peers);
        std::thread::spawn(move || {
            std::thread::sleep(Duration::from_secs(1000));
            black_box(&peers);
        });
        std::thread::sleep(Duration::from_millis(30));
        id
    }
    ask.root(black_box(start)(), |owner| !matches!(owner, Owner::NotFound | Owner::Unknown { .. }));
}

type Task = std::pin::Pin<Box<dyn Future<Output = ()> + Send>>;

static TASKS: Mutex<Vec<Task>> = Mutex::new(Vec::new());

#[inline(never)]
fn waiting_task(ask: &Ask) {
    fn start() -> u64 {
        let peers = peers();
        let id = id(&peers);
        let mut task: Task = Box::pin(async move {
            std::future::pending::<()>().await;
            drop(peers);
        });
        let mut context = std::task::Context::from_waker(std::task::Waker::noop());
        assert!(task.as_mut().poll(&mut context).is_pending());
        TASKS.lock().expect("not poisoned").push(task);
        id
    }
    ask.root(black_box(start)(), is_static);
}

/// The words of a handle, taken out of memory: two, or one and 0.
pub(crate) fn words_of<P>(pointer: P) -> [u64; 2] {
    let mut pointer = ManuallyDrop::new(pointer);
    let words = std::ptr::from_mut(&mut pointer).cast::<u64>();
    std::array::from_fn(|word| {
        if word >= size_of::<P>() / 8 {
            return 0;
        }
        // SAFETY: TEST: a handle has so many words, and nobody uses it after they are gone.
        let word = unsafe { words.add(word) };
        // SAFETY: TEST: as above.
        let bits = unsafe { word.read_volatile() };
        // SAFETY: TEST: as above.
        unsafe { word.write_volatile(0) };
        bits
    })
}

/// Only registers that a callee saves have the handle.
#[cfg(target_arch = "x86_64")]
#[inline(never)]
fn register(ask: &Ask) {
    extern "C" fn call(ask: &Ask, id: u64) {
        ask.root(id, is_stack_of("main"));
    }
    let ring = ring();
    let id = id(&ring);
    let [one, two] = words_of(ring);
    // SAFETY: TEST: calls a function with two arguments.
    unsafe {
        std::arch::asm!(
            "call {call}",
            call = sym call,
            in("rdi") ask,
            in("rsi") id,
            inout("r12") one => _,
            inout("r13") two => _,
            clobber_abi("C"),
        );
    }
}

#[cfg(not(target_arch = "x86_64"))]
fn register(ask: &Ask) {
    ring_on_a_local(ask);
}

#[inline(never)]
fn forgotten(ask: &Ask) {
    fn forget() -> u64 {
        let ring = ring();
        let id = id(&ring);
        words_of(ring);
        id
    }
    let id = black_box(forget)();
    clear_dead_stack();
    // An optimised build leaves copies in frames and registers, from which nothing tells them.
    let is_copy = |owner: &Owner| !cfg!(debug_assertions) && is_stack_of("main")(owner);
    ask.root(id, |owner| *owner == Owner::NotFound || is_copy(owner));
}

#[inline(never)]
fn raw(ask: &Ask) {
    fn leave() -> u64 {
        let ring = ring();
        let id = id(&ring);
        black_box(Rc::into_raw(ring));
        id
    }
    ask.root(black_box(leave)(), |owner| *owner == Owner::Raw);
}

#[inline(never)]
fn std_pointer(ask: &Ask) {
    use refscope::StdPtr;
    fn leave() -> u64 {
        let ring = ring();
        let id = id(&ring);
        std::mem::forget(ring.as_std().clone());
        id
    }
    ask.root(black_box(leave)(), |owner| *owner == Owner::Untraced);
}

struct Shelf {
    things: RefCell<Vec<Rc<Node>>>,
}

static SHELVES: Mutex<Vec<Sending<Rc<Shelf>>>> = Mutex::new(Vec::new());

/// Only one thread uses it.
struct Sending<T>(T);
// SAFETY: TEST: only the main thread uses what is in it.
unsafe impl<T> Send for Sending<T> {}

fn shelf() -> Rc<Shelf> {
    let shelf = Rc::new(Shelf { things: RefCell::default() });
    SHELVES.lock().expect("not poisoned").push(Sending(shelf.clone()));
    shelf
}

/// The first buffer still has a copy, in its spare room.
#[inline(never)]
fn moved_between_vecs(ask: &Ask) {
    fn build() -> (u64, u64) {
        let (from, to) = (shelf(), shelf());
        for _ in 0..3 {
            from.things.borrow_mut().push(Rc::new(Node::default()));
        }
        let moved = from.things.borrow_mut().pop().expect("there are three");
        let id_of = id(&moved);
        to.things.borrow_mut().push(moved);
        (id_of, id(&to))
    }
    let (id, to) = black_box(build)();
    ask.owner(id, |owner, ownership| is_in_block_of(owner, ownership, to));
}

/// The buffers before are freed, and have copies.
#[inline(never)]
fn moved_by_growth(ask: &Ask) {
    fn build() -> (u64, u64) {
        let shelf = shelf();
        let first = Rc::new(Node::default());
        let first_id = id(&first);
        shelf.things.borrow_mut().push(first);
        for _ in 0..100 {
            shelf.things.borrow_mut().push(Rc::new(Node::default()));
        }
        (first_id, id(&shelf))
    }
    let (id, shelf) = black_box(build)();
    ask.owner(id, |owner, ownership| {
        is_in_block_of(owner, ownership, shelf)
            && matches!(owner, Owner::Block { offset: 0 | 8, .. })
    });
}

#[inline(never)]
fn taken_to_a_local(ask: &Ask) {
    let node = Rc::new(Node::default());
    let inner = Rc::new(Node::default());
    let inner_id = id(&inner);
    *node.next.borrow_mut() = Some(inner);
    let taken = node.next.borrow_mut().take();
    ask.owner(inner_id, |owner, _| is_stack_of("main")(owner));
    black_box((&taken, &node));
}

#[inline(never)]
fn popped_to_a_local(ask: &Ask) {
    let shelf = shelf();
    for _ in 0..4 {
        shelf.things.borrow_mut().push(Rc::new(Node::default()));
    }
    let popped = shelf.things.borrow_mut().pop().expect("there are four");
    ask.owner(id(&popped), |owner, _| is_stack_of("main")(owner));
    black_box((&popped, &shelf));
}

#[inline(never)]
fn swapped(ask: &Ask) {
    fn build() -> (u64, u64) {
        let (one, two) = (shelf(), shelf());
        one.things.borrow_mut().push(Rc::new(Node::default()));
        two.things.borrow_mut().push(Rc::new(Node::default()));
        let id_of = id(&one.things.borrow()[0]);
        std::mem::swap(&mut one.things.borrow_mut()[0], &mut two.things.borrow_mut()[0]);
        (id_of, id(&two))
    }
    let (id, two) = black_box(build)();
    ask.owner(id, |owner, ownership| is_in_block_of(owner, ownership, two));
}

#[inline(never)]
fn field_of_an_object(ask: &Ask) {
    #[repr(C)]
    struct Outer {
        before: [u64; 3],
        inner: Rc<Node>,
    }
    let outer = Rc::new(Outer { before: [1; 3], inner: Rc::new(Node::default()) });
    let object = id(&outer);
    ask.owner(id(&outer.inner), |owner, ownership| {
        let node = ownership.object(ObjectId::from_number(object)).and_then(|object| object.node);
        let kind = node.map(|node| ownership.nodes[node as usize].kind);
        assert_eq!(kind, Some(NodeKind::Object(ObjectId::from_number(object))));
        // The ticket is one of the handle's two words.
        matches!(owner, Owner::Object { object: by, offset: 24 | 32, .. } if by.number() == object)
    });
    black_box(outer.before);
}

static BY_ID: LazyLock<Mutex<HashMap<u32, Arc<Peer>>>> = LazyLock::new(Mutex::default);

/// The first half of them is removed again.
fn by_id(count: u32) -> Vec<Arc<Peer>> {
    let mut map = BY_ID.lock().expect("not poisoned");
    for id in 0..count {
        map.insert(id, Arc::new(Peer::default()));
    }
    (0..count / 2).map(|id| map.remove(&id).expect("it is there")).collect()
}

/// Its bucket still has a copy.
#[inline(never)]
fn removed_from_a_map(ask: &Ask) {
    fn build() -> (u64, u64) {
        let to = Rc::new(RefCell::new(Vec::new()));
        SHARED.with_borrow_mut(|shared| shared.push(to.clone()));
        to.borrow_mut().extend(by_id(40));
        (id(&to.borrow()[5]), id(&to))
    }
    let (id, to) = black_box(build)();
    ask.owner(id, |owner, ownership| is_in_block_of(owner, ownership, to));
}

type Running = RefCell<Vec<Arc<Peer>>>;

thread_local! {
    static SHARED: RefCell<Vec<Rc<Running>>> = const { RefCell::new(Vec::new()) };
}

/// Its bucket has the only copy.
#[inline(never)]
fn removed_and_forgotten(ask: &Ask) {
    fn build() -> u64 {
        let mut removed = by_id(2);
        let id = id(&removed[0]);
        words_of(removed.remove(0));
        id
    }
    let id = black_box(build)();
    let is_copy = |owner: &Owner| !cfg!(debug_assertions) && is_stack_of("main")(owner);
    ask.owner(id, |owner, _| *owner == Owner::NotFound || is_copy(owner));
}

#[inline(never)]
fn kept_in_a_map(ask: &Ask) {
    fn build() -> u64 {
        drop(by_id(40));
        id(&BY_ID.lock().expect("not poisoned")[&33])
    }
    ask.root(black_box(build)(), is_static);
}

struct Agenda {
    tasks: RefCell<BTreeMap<u64, Rc<Node>>>,
}

thread_local! {
    static AGENDAS: RefCell<Vec<Rc<Agenda>>> = const { RefCell::new(Vec::new()) };
}

fn agenda(tasks: u64) -> Rc<Agenda> {
    let agenda = Rc::new(Agenda { tasks: RefCell::default() });
    AGENDAS.with_borrow_mut(|agendas| agendas.push(agenda.clone()));
    agenda.tasks.borrow_mut().extend((0..tasks).map(|task| (task, Rc::new(Node::default()))));
    agenda
}

/// The last leaf still has a copy, in a slot that it does not use; and so has the first, of each that it gave.
#[inline(never)]
fn moved_between_trees(ask: &Ask) {
    fn build() -> ([u64; 12], u64) {
        let (from, to) = (agenda(60), agenda(0));
        let mut moved = [0; 12];
        for (n, at) in moved.iter_mut().enumerate() {
            let mut tasks = from.tasks.borrow_mut();
            let (task, node) = if n % 2 == 0 { tasks.pop_last() } else { tasks.pop_first() }
                .expect("many are left");
            *at = id(&node);
            to.tasks.borrow_mut().insert(task, node);
        }
        (moved, id(&to))
    }
    let (moved, to) = black_box(build)();
    for id in moved {
        ask.owner(id, |owner, ownership| is_below(owner, ownership, to));
    }
}

#[inline(never)]
fn popped_from_a_tree(ask: &Ask) {
    let agenda = agenda(60);
    let (_, popped) = agenda.tasks.borrow_mut().pop_last().expect("there are many");
    ask.owner(id(&popped), |owner, _| is_stack_of("main")(owner));
    black_box((&popped, &agenda));
}

#[inline(never)]
fn popped_and_forgotten(ask: &Ask) {
    fn build() -> u64 {
        let (_, popped) = agenda(60).tasks.borrow_mut().pop_last().expect("there are many");
        let id = id(&popped);
        words_of(popped);
        id
    }
    let id = black_box(build)();
    let is_copy = |owner: &Owner| !cfg!(debug_assertions) && is_stack_of("main")(owner);
    ask.owner(id, |owner, _| *owner == Owner::NotFound || is_copy(owner));
}

struct Session {
    peer: Box<Option<Arc<Peer>>>,
    _sent: u64,
    _received: u64,
}

static OLD_SESSION: Mutex<Vec<Session>> = Mutex::new(Vec::new());
static SESSION: Mutex<Option<Session>> = Mutex::new(None);
static NEW_SESSION: Mutex<Vec<Session>> = Mutex::new(Vec::new());

/// It looks like a map that is empty, and has no more.
#[inline(never)]
fn boxed_beside_zeros(ask: &Ask) {
    fn build() -> u64 {
        let peer = Arc::new(Peer::default());
        let id = id(&peer);
        let session = || Session { peer: Box::new(None), _sent: 0, _received: 0 };
        OLD_SESSION.lock().expect("not poisoned").push(session());
        NEW_SESSION.lock().expect("not poisoned").push(session());
        let mut kept = session();
        *kept.peer = Some(peer);
        *SESSION.lock().expect("not poisoned") = Some(kept);
        id
    }
    ask.root(black_box(build)(), is_static);
}

#[inline(never)]
fn kept_in_a_tree(ask: &Ask) {
    fn build() -> (Vec<u64>, u64) {
        let agenda = agenda(500);
        let mut tasks = agenda.tasks.borrow_mut();
        tasks.retain(|task, _| task % 7 > 1);
        (tasks.values().map(id).collect(), id(&agenda))
    }
    let (all, agenda) = black_box(build)();
    // Each is asked for by a search of its own.
    for id in all.into_iter().step_by(37) {
        ask.owner(id, |owner, ownership| is_below(owner, ownership, agenda));
    }
}

static QUEUE: Mutex<VecDeque<Arc<Peer>>> = Mutex::new(VecDeque::new());

/// The words of a `Vec` would say that none of its places is in use.
#[inline(never)]
fn kept_in_a_queue(ask: &Ask) {
    fn build() -> u64 {
        let peer = Arc::new(Peer::default());
        let id = id(&peer);
        QUEUE.lock().expect("not poisoned").push_back(peer);
        id
    }
    ask.root(black_box(build)(), is_static);
}

/// What is in use begins near the end, and goes on at the beginning.
#[inline(never)]
fn round_in_a_queue(ask: &Ask) {
    fn build() -> u64 {
        let mut queue = QUEUE.lock().expect("not poisoned");
        for _ in 0..4 {
            queue.push_back(Arc::new(Peer::default()));
        }
        for _ in 0..3 {
            queue.pop_front();
            queue.push_back(Arc::new(Peer::default()));
        }
        id(&queue[2])
    }
    ask.root(black_box(build)(), is_static);
}

/// The `Vec` says that it is empty, while an iterator has its elements.
#[inline(never)]
fn being_drained(ask: &Ask) {
    let mut list = LIST.lock().expect("not poisoned");
    list.extend((0..4).map(|_| Arc::new(Peer::default())));
    let id_of = id(&list[3]);
    let drain = list.drain(..);
    ask.root(id_of, |owner| is_static(owner) || is_stack_of("main")(owner));
    drop(drain);
}
