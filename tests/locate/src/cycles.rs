//! Cycles that nothing reaches: each is to be named, and in a debug build proven.

use crate::{Case, id};
use refscope::{Arc, Box, Rc};
use std::cell::{OnceCell, RefCell};
use std::collections::{BTreeMap, BTreeSet, HashMap, LinkedList, VecDeque};
use std::hint::black_box;
use std::sync::{Mutex, OnceLock, mpsc};

pub const CYCLES: &[Case] = &[
    ("itself", |ask| ask.cycle(|| ring(1))),
    ("two", |ask| ask.cycle(|| ring(2))),
    ("three", |ask| ask.cycle(|| ring(3))),
    ("a_hundred", |ask| ask.cycle(|| ring(100))),
    ("ten_thousand", |ask| ask.cycle(|| ring(10_000))),
    ("vec", |ask| ask.cycle(vec)),
    ("grown_vec", |ask| ask.cycle(grown_vec)),
    ("huge_vec", |ask| ask.cycle(huge_vec)),
    ("hash_map", |ask| ask.cycle(hash_map)),
    ("btree_map", |ask| ask.cycle(btree_map)),
    ("btree_deep", |ask| ask.cycle(btree_deep)),
    ("deque", |ask| ask.cycle(deque)),
    ("list", |ask| ask.cycle(list)),
    ("closure", |ask| ask.cycle(closure)),
    ("future", |ask| ask.cycle(future)),
    ("channel", |ask| ask.cycle(channel)),
    ("std_rc_between", |ask| ask.cycle(std_rc_between)),
    ("std_box_between", |ask| ask.cycle(std_box_between)),
    ("traced_box_between", |ask| ask.cycle(traced_box_between)),
    ("dyn_trait", |ask| ask.cycle(dyn_trait)),
    ("shared_object", |ask| ask.cycle(shared_object)),
    ("mutexes", |ask| ask.cycle(mutexes)),
    ("once_cell", |ask| ask.cycle(once_cell)),
    ("over_aligned", |ask| ask.cycle(over_aligned)),
    ("slice", |ask| ask.cycle(slice)),
    ("other_thread", |ask| ask.cycle(other_thread)),
    ("option_dance", |ask| ask.cycle(option_dance)),
    ("weak_inside", |ask| ask.cycle(weak_inside)),
    ("set_of_names", |ask| ask.cycle(set_of_names)),
];

#[derive(Default)]
struct Node {
    #[allow(dead_code)]
    name: [u8; 3],
    next: RefCell<Option<Rc<Node>>>,
}

/// A ring of so many nodes.
#[inline(never)]
fn ring(count: usize) -> Vec<u64> {
    let nodes: Vec<Rc<Node>> = (0..count).map(|_| Rc::new(Node::default())).collect();
    for (node, next) in nodes.iter().zip(nodes.iter().cycle().skip(1)) {
        *node.next.borrow_mut() = Some(next.clone());
    }
    // Not by asking for each: that would take the square of their number.
    let alive = refscope::alive();
    let nodes = alive.iter().filter(|object| object.type_name.ends_with("cycles::Node"));
    nodes.map(|object| object.id.number()).collect()
}

#[inline(never)]
fn vec() -> Vec<u64> {
    struct Parent {
        children: RefCell<Vec<Rc<Child>>>,
    }
    struct Child {
        _parent: Rc<Parent>,
    }
    let parent = Rc::new(Parent { children: RefCell::default() });
    let child = Rc::new(Child { _parent: parent.clone() });
    parent.children.borrow_mut().push(child.clone());
    vec![id(&parent), id(&child)]
}

#[inline(never)]
fn grown_vec() -> Vec<u64> {
    struct Grown(RefCell<Vec<Rc<Grown>>>);
    let node = Rc::new(Grown(RefCell::default()));
    for _ in 0..1000 {
        node.0.borrow_mut().push(node.clone());
    }
    vec![id(&node)]
}

#[inline(never)]
fn huge_vec() -> Vec<u64> {
    struct Big(RefCell<Vec<Option<Rc<Big>>>>);
    let big = Rc::new(Big(RefCell::default()));
    big.0.borrow_mut().resize(1 << 17, None);
    big.0.borrow_mut()[70_001] = Some(big.clone());
    vec![id(&big)]
}

#[inline(never)]
fn hash_map() -> Vec<u64> {
    struct Map(RefCell<HashMap<String, Rc<Map>>>);
    let map = Rc::new(Map(RefCell::default()));
    let other = Rc::new(Map(RefCell::default()));
    map.0.borrow_mut().insert("other".into(), other.clone());
    for n in 0..40 {
        map.0.borrow_mut().insert(n.to_string(), other.clone());
    }
    other.0.borrow_mut().insert("first".into(), map.clone());
    vec![id(&map), id(&other)]
}

#[inline(never)]
fn btree_map() -> Vec<u64> {
    struct Map(RefCell<BTreeMap<u32, Rc<Map>>>);
    let map = Rc::new(Map(RefCell::default()));
    map.0.borrow_mut().insert(7, map.clone());
    vec![id(&map)]
}

#[inline(never)]
fn btree_deep() -> Vec<u64> {
    // With a number beside, so that a node is larger than any block that the harness had before: a word for one of those may
    // still stand on its stack.
    type Value = (Option<Rc<Map>>, u128);
    struct Map(RefCell<BTreeMap<u32, Value>>);
    let map = Rc::new(Map(RefCell::default()));
    let other = Rc::new(Map(RefCell::default()));
    for n in 0..5000 {
        map.0.borrow_mut().insert(n, (None, 0));
    }
    map.0.borrow_mut().insert(2500, (Some(other.clone()), 0));
    other.0.borrow_mut().insert(1, (Some(map.clone()), 0));
    vec![id(&map), id(&other)]
}

/// The head is no length.
#[inline(never)]
fn deque() -> Vec<u64> {
    struct Queue(RefCell<VecDeque<Rc<Queue>>>);
    let queue = Rc::new(Queue(RefCell::default()));
    let other = Rc::new(Queue(RefCell::default()));
    for _ in 0..3 {
        queue.0.borrow_mut().push_back(other.clone());
    }
    queue.0.borrow_mut().pop_front();
    queue.0.borrow_mut().pop_front();
    other.0.borrow_mut().push_front(queue.clone());
    vec![id(&queue), id(&other)]
}

#[inline(never)]
fn list() -> Vec<u64> {
    struct List(RefCell<LinkedList<Rc<List>>>);
    let list = Rc::new(List(RefCell::default()));
    for _ in 0..5 {
        list.0.borrow_mut().push_back(list.clone());
    }
    vec![id(&list)]
}

#[inline(never)]
fn closure() -> Vec<u64> {
    struct Button {
        on_click: RefCell<Option<std::boxed::Box<dyn Fn() -> usize>>>,
    }
    let button = Rc::new(Button { on_click: RefCell::default() });
    let captured = button.clone();
    let size = black_box(3_usize);
    *button.on_click.borrow_mut() =
        Some(std::boxed::Box::new(move || size + Rc::strong_count(&captured)));
    vec![id(&button)]
}

#[inline(never)]
fn future() -> Vec<u64> {
    type Task = std::pin::Pin<std::boxed::Box<dyn Future<Output = ()>>>;
    struct Job {
        task: RefCell<Option<Task>>,
    }
    let job = Rc::new(Job { task: RefCell::default() });
    let captured = job.clone();
    let mut task: Task = std::boxed::Box::pin(async move {
        std::future::pending::<()>().await;
        drop(captured);
    });
    let mut context = std::task::Context::from_waker(std::task::Waker::noop());
    assert!(task.as_mut().poll(&mut context).is_pending());
    *job.task.borrow_mut() = Some(task);
    vec![id(&job)]
}

#[inline(never)]
fn channel() -> Vec<u64> {
    struct Actor {
        #[allow(dead_code)]
        inbox: Mutex<Option<mpsc::Receiver<Arc<Actor>>>>,
    }
    let (sender, receiver) = mpsc::channel();
    let actor = Arc::new(Actor { inbox: Mutex::new(Some(receiver)) });
    sender.send(actor.clone()).expect("the receiver is alive");
    vec![id(&actor)]
}

#[inline(never)]
fn std_rc_between() -> Vec<u64> {
    struct Outer(RefCell<Option<std::rc::Rc<Inner>>>);
    struct Inner(#[allow(dead_code)] Rc<Outer>);
    let outer = Rc::new(Outer(RefCell::default()));
    let inner = std::rc::Rc::new(Inner(outer.clone()));
    *outer.0.borrow_mut() = Some(inner);
    vec![id(&outer)]
}

#[inline(never)]
fn std_box_between() -> Vec<u64> {
    type Between = std::boxed::Box<(u64, Rc<Outer>)>;
    struct Outer(RefCell<Option<Between>>);
    let outer = Rc::new(Outer(RefCell::default()));
    *outer.0.borrow_mut() = Some(std::boxed::Box::new((black_box(1), outer.clone())));
    vec![id(&outer)]
}

#[inline(never)]
fn traced_box_between() -> Vec<u64> {
    type Between = Box<(u64, Rc<Outer>)>;
    struct Outer(RefCell<Option<Between>>);
    let outer = Rc::new(Outer(RefCell::default()));
    let between = Box::new((black_box(1), outer.clone()));
    let ids = vec![id(&outer), id(&between)];
    *outer.0.borrow_mut() = Some(between);
    ids
}

trait Shape {
    fn set(&self, other: Rc<dyn Shape>);
}

struct Square(RefCell<Option<Rc<dyn Shape>>>);

impl Shape for Square {
    fn set(&self, other: Rc<dyn Shape>) {
        *self.0.borrow_mut() = Some(other);
    }
}

#[inline(never)]
fn dyn_trait() -> Vec<u64> {
    let one = refscope::unsize!(Rc::new(Square(RefCell::default())) => dyn Shape);
    let two = refscope::unsize!(Rc::new(Square(RefCell::default())) => dyn Shape);
    one.set(two.clone());
    two.set(one.clone());
    vec![id(&one), id(&two)]
}

#[inline(never)]
fn shared_object() -> Vec<u64> {
    struct Hub(RefCell<[Option<Rc<Hub>>; 2]>);
    let hubs = [(); 3].map(|()| Rc::new(Hub(RefCell::default())));
    let [a, b, c] = &hubs;
    *a.0.borrow_mut() = [Some(b.clone()), Some(c.clone())];
    b.0.borrow_mut()[0] = Some(a.clone());
    c.0.borrow_mut()[1] = Some(a.clone());
    hubs.iter().map(id).collect()
}

#[inline(never)]
fn mutexes() -> Vec<u64> {
    struct Peer(Mutex<Option<Arc<Peer>>>);
    let (one, two) = (Arc::new(Peer(Mutex::default())), Arc::new(Peer(Mutex::default())));
    *one.0.lock().expect("not poisoned") = Some(two.clone());
    *two.0.lock().expect("not poisoned") = Some(one.clone());
    vec![id(&one), id(&two)]
}

#[inline(never)]
fn once_cell() -> Vec<u64> {
    struct Lazy(OnceCell<Rc<Lazy>>, OnceLock<u8>);
    let lazy = Rc::new(Lazy(OnceCell::new(), OnceLock::new()));
    assert!(lazy.0.set(lazy.clone()).is_ok());
    let _ = lazy.1.set(3);
    vec![id(&lazy)]
}

#[inline(never)]
fn over_aligned() -> Vec<u64> {
    #[repr(align(128))]
    struct Wide(RefCell<Option<Rc<Wide>>>);
    let wide = Rc::new(Wide(RefCell::default()));
    *wide.0.borrow_mut() = Some(wide.clone());
    vec![id(&wide)]
}

#[inline(never)]
fn slice() -> Vec<u64> {
    struct Row(RefCell<Option<Rc<[Rc<Row>]>>>);
    let row = Rc::new(Row(RefCell::default()));
    let slice: Rc<[Rc<Row>]> = Rc::from(vec![row.clone(), row.clone()]);
    let ids = vec![id(&row), id(&slice)];
    *row.0.borrow_mut() = Some(slice);
    ids
}

/// In the arena of a thread that has ended.
#[inline(never)]
fn other_thread() -> Vec<u64> {
    struct Peer(Mutex<Vec<Arc<Peer>>>);
    let build = || {
        let peers: Vec<_> = (0..5).map(|_| Arc::new(Peer(Mutex::default()))).collect();
        for peer in &peers {
            for other in &peers {
                peer.0.lock().expect("not poisoned").push(other.clone());
            }
        }
        peers.iter().map(id).collect()
    };
    std::thread::spawn(build).join().expect("it does not panic")
}

/// Handles that were moved to and fro before they found their place.
#[inline(never)]
fn option_dance() -> Vec<u64> {
    let one = Rc::new(Node::default());
    let two = Rc::new(Node::default());
    *one.next.borrow_mut() = Some(two.clone());
    let taken = one.next.borrow_mut().take();
    *two.next.borrow_mut() = taken;
    std::mem::swap(&mut *one.next.borrow_mut(), &mut *two.next.borrow_mut());
    two.next.replace(Some(one.clone()));
    vec![id(&one), id(&two)]
}

#[inline(never)]
fn weak_inside() -> Vec<u64> {
    struct Tree {
        parent: RefCell<refscope::rc::Weak<Tree>>,
        child: RefCell<Option<Rc<Tree>>>,
        back: RefCell<Option<Rc<Tree>>>,
    }
    let make = || {
        Rc::new(Tree {
            parent: RefCell::new(refscope::rc::Weak::new()),
            child: RefCell::default(),
            back: RefCell::default(),
        })
    };
    let (one, two) = (make(), make());
    *one.child.borrow_mut() = Some(two.clone());
    *two.parent.borrow_mut() = Rc::downgrade(&one);
    *two.back.borrow_mut() = Some(one.clone());
    vec![id(&one), id(&two)]
}

#[inline(never)]
fn set_of_names() -> Vec<u64> {
    struct Named {
        names: BTreeSet<String>,
        us: RefCell<Vec<(String, Rc<Named>)>>,
    }
    let names = || (0..30).map(|n| format!("a name of some length, number {n}")).collect();
    let one = Rc::new(Named { names: names(), us: RefCell::default() });
    let two = Rc::new(Named { names: names(), us: RefCell::default() });
    for name in &one.names {
        one.us.borrow_mut().push((name.clone(), two.clone()));
        two.us.borrow_mut().push((name.clone(), one.clone()));
    }
    vec![id(&one), id(&two)]
}
