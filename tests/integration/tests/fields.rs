//! The fields in paths and cycles, by the debug information of this program (which this package is built with).
#![cfg(all(
    feature = "trace",
    target_os = "linux",
    any(target_arch = "x86_64", target_arch = "aarch64")
))]
#![expect(dead_code, reason = "fields are looked for in memory")]

use refscope::locate::{Owner, Ownership, Search};
use refscope::{Arc, Box, ObjectId, Rc};
use std::any::Any;
use std::cell::RefCell;
use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

fn search() -> Ownership {
    Search::new().budget(Duration::from_secs(30)).run().expect("this is Linux")
}

fn id<T: refscope::Inspect>(pointer: &T) -> ObjectId {
    refscope::holders(pointer).object().expect("it is traced").id()
}

struct Leaf([u64; 3]);

fn leaf() -> Rc<Leaf> {
    Rc::new(Leaf([1, 2, 3]))
}

/// The text of the path to each leaf ends with the field that holds it.
fn path(of: &Rc<Leaf>) -> String {
    search().path_to(id(of)).expect("it is alive").to_string()
}

/// Makes a value that holds a leaf, and returns the path to that while another handle is forgotten.
fn held_in<T>(make: impl FnOnce(Rc<Leaf>) -> T) -> String {
    let leaf = leaf();
    let object = leaf_id(&leaf);
    let holder = Rc::new(make(leaf));
    let ownership = search();
    let text = ownership.path_to(object).expect("it is alive").to_string();
    drop(holder);
    text
}

fn leaf_id(leaf: &Rc<Leaf>) -> ObjectId {
    id(leaf)
}

/// One test at a time: searches would wait for each other, and see what others have just moved.
fn track() -> std::sync::MutexGuard<'static, ()> {
    static ONE: Mutex<()> = Mutex::new(());
    let one = ONE.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    // More than one test does.
    let _ = refscope::track();
    one
}

#[derive(Default)]
struct Plain {
    _before: [u64; 5],
    named: Option<Rc<Leaf>>,
}

#[derive(Default)]
struct Inner {
    _count: u32,
    deep: RefCell<Vec<Rc<Leaf>>>,
}

#[derive(Default)]
struct Outer {
    _name: String,
    inner: Mutex<Inner>,
    pair: (u8, Option<Rc<Leaf>>),
    slots: [Option<Rc<Leaf>>; 4],
    queue: VecDeque<Rc<Leaf>>,
    std_box: Option<std::boxed::Box<Inner>>,
    std_rc: Option<std::rc::Rc<RefCell<Plain>>>,
    map: BTreeMap<u8, Plain>,
    hashed: HashMap<u8, Rc<Leaf>>,
}

enum Shape {
    Empty,
    Group(u64, Vec<Rc<Leaf>>),
    Named { number: u64, only: Rc<Leaf> },
}

struct Generic<T> {
    _before: u64,
    value: T,
}

struct Wrapper(Rc<Leaf>);

#[test]
fn the_field_of_a_struct_is_named() {
    let _one = track();
    let text = held_in(|leaf| Plain { named: Some(leaf), ..Plain::default() });
    assert!(text.contains(".named → Rc<Leaf>"), "{text}");
}

#[test]
fn fields_within_fields_are_named_without_those_of_std() {
    let _one = track();
    let text = held_in(|leaf| Outer {
        inner: Mutex::new(Inner { deep: RefCell::new(vec![leaf]), ..Inner::default() }),
        ..Outer::default()
    });
    assert!(text.contains(".inner.deep → heap block"), "{text}");
    assert!(text.contains("─[0]→ Rc<Leaf>"), "{text}");
    let text = held_in(|leaf| Outer { pair: (1, Some(leaf)), ..Outer::default() });
    assert!(text.contains(".pair.1 → "), "{text}");
    let text = held_in(|leaf| Outer { slots: [None, None, Some(leaf), None], ..Outer::default() });
    assert!(text.contains(".slots[2] → "), "{text}");
    let text = held_in(Wrapper);
    assert!(text.contains(".0 → "), "{text}");
}

#[test]
fn elements_of_blocks_are_named() {
    let _one = track();
    let text = held_in(|leaf| Inner {
        deep: RefCell::new(vec![self::leaf(), self::leaf(), leaf]),
        ..Inner::default()
    });
    assert!(text.contains(".deep → heap block"), "{text}");
    assert!(text.contains("─[2]→ Rc<Leaf>"), "{text}");
    // Which of a ring it is, the place in its buffer does not say.
    let text = held_in(|leaf| Outer { queue: VecDeque::from([leaf]), ..Outer::default() });
    assert!(text.contains(".queue → heap block"), "{text}");
    assert!(text.contains("─[..]→ Rc<Leaf>"), "{text}");
    let text = held_in(|leaf| Outer {
        map: BTreeMap::from([(7, Plain { named: Some(leaf), ..Plain::default() })]),
        ..Outer::default()
    });
    assert!(text.contains(".map → heap block"), "{text}");
    assert!(text.contains("─[value].named→ Rc<Leaf>"), "{text}");
    let text = held_in(|leaf| Outer { hashed: HashMap::from([(7, leaf)]), ..Outer::default() });
    assert!(text.contains(".hashed → heap block"), "{text}");
    assert!(text.contains("─[entry].value→ Rc<Leaf>"), "{text}");
}

#[derive(Default)]
struct Collections {
    _before: u64,
    tree: BTreeMap<u32, Rc<Leaf>>,
    set: std::collections::HashMap<Key, u64>,
    list: std::collections::LinkedList<Rc<Leaf>>,
    inbox: Option<tokio::sync::mpsc::UnboundedReceiver<Rc<Leaf>>>,
}

struct Key(u8, Rc<Leaf>);

impl PartialEq for Key {
    fn eq(&self, other: &Self) -> bool {
        self.0 == other.0
    }
}

impl Eq for Key {}

impl std::hash::Hash for Key {
    fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
        self.0.hash(state);
    }
}

#[test]
fn the_blocks_of_collections_say_what_is_in_them() {
    let _one = track();
    let text = held_in(|leaf| Collections {
        tree: (0..500).map(|n| (n, self::leaf())).chain([(250, leaf)]).collect(),
        ..Collections::default()
    });
    assert!(text.contains(".tree → heap block"), "{text}");
    assert!(text.contains("─[child]→ heap block"), "{text}");
    assert!(text.contains("─[value]→ Rc<Leaf>"), "{text}");
    let text = held_in(|leaf| Collections {
        set: HashMap::from([(Key(1, self::leaf()), 1), (Key(2, leaf), 2)]),
        ..Collections::default()
    });
    assert!(text.contains("─[entry].key.1→ Rc<Leaf>"), "{text}");
    let text = held_in(|leaf| Collections {
        list: [self::leaf(), self::leaf(), leaf].into_iter().collect(),
        ..Collections::default()
    });
    assert!(text.contains(".list → heap block"), "{text}");
    assert!(text.contains("─[element]→ Rc<Leaf>"), "{text}");
    let (sender, receiver) = tokio::sync::mpsc::unbounded_channel();
    let text = held_in(|leaf| {
        assert!(sender.send(leaf).is_ok());
        drop(sender);
        Collections { inbox: Some(receiver), ..Collections::default() }
    });
    assert!(text.contains(".inbox → heap block"), "{text}");
    assert!(text.contains("─[channel slot]→ Rc<Leaf>"), "{text}");
}

static IN_ORDER: Mutex<BTreeMap<u32, Rc2>> = Mutex::new(BTreeMap::new());
type Rc2 = refscope::Arc<[u64; 5]>;
static NODE: [AtomicUsize; 3] = [const { AtomicUsize::new(0) }; 3];

/// By the types, of a map that is one node as well.
#[test]
fn what_left_a_map_is_not_held_by_it() {
    #[inline(never)]
    fn forget(others: u32) -> ObjectId {
        let mut map = IN_ORDER.lock().unwrap();
        map.extend((0..=others).map(|n| (n, Rc2::new([n.into(); 5]))));
        let last = map.pop_last().unwrap().1;
        let object = id(&last);
        std::mem::forget(last);
        object
    }
    let _one = track();
    for others in [0, 1, 10, 11, 100] {
        let object = forget(others);
        // Who else has the node's address, and words behind it, is asked as well.
        let node = std::ptr::from_ref(&*IN_ORDER.lock().unwrap()).cast::<usize>();
        // SAFETY: TEST: the first word of a map is its root's address.
        NODE[0].store(unsafe { node.read() }, Ordering::Relaxed);
        NODE[2].store(others as usize, Ordering::Relaxed);
        let text = search().path_to(object).expect("it is alive").to_string();
        assert!(!text.contains("IN_ORDER") && !text.contains("NODE"), "{others}: {text}");
        if others > 0 {
            let kept = id(IN_ORDER.lock().unwrap().first_key_value().unwrap().1);
            let text = search().path_to(kept).expect("it is alive").to_string();
            assert!(text.contains("IN_ORDER") || text.contains("NODE"), "{text}");
        }
        IN_ORDER.lock().unwrap().clear();
    }
}

/// Whatever the alignment of keys and values is, and whichever nodes have handles.
#[test]
fn what_a_map_has_is_held_by_it() {
    #[derive(PartialEq, Eq, PartialOrd, Ord)]
    #[repr(align(128))]
    struct Padded(u64);
    static PADDED: Mutex<BTreeMap<Padded, Rc2>> = Mutex::new(BTreeMap::new());
    static SPARSE: Mutex<BTreeMap<u64, Option<Rc2>>> = Mutex::new(BTreeMap::new());
    static TAKEN: Mutex<Vec<Rc2>> = Mutex::new(Vec::new());
    let _one = track();
    for count in [1, 5, 200] {
        let mut padded = PADDED.lock().unwrap();
        *padded = (0..count).map(|n| (Padded(n), Rc2::new([n; 5]))).collect();
        let (all, ids) = (search(), padded.values().map(id).collect::<Vec<_>>());
        for id in ids {
            let text = all.path_to(id).expect("it is alive").to_string();
            assert!(text.contains("PADDED"), "{count}: {text}");
        }
    }
    // Its root has none.
    let mut sparse = SPARSE.lock().unwrap();
    *sparse = (0..58).map(|n| (n, (n > 53).then(|| Rc2::new([n; 5])))).collect();
    let mut taken = TAKEN.lock().unwrap();
    taken.extend(std::iter::from_fn(|| sparse.pop_last()?.1));
    sparse.extend((100..140).map(|n| (n, None)));
    let all = search();
    for taken in taken.iter() {
        let text = all.path_to(id(taken)).expect("it is alive").to_string();
        assert!(text.contains("TAKEN"), "{text}");
    }
}

/// In room that is not in use stands an address whose block was given again since.
#[test]
fn what_is_in_memory_given_again_is_not_held_by_what_had_it() {
    static NAMES: Mutex<Vec<String>> = Mutex::new(Vec::new());
    /// The object that is forgotten in the room of a name that was popped, if the allocator gives that again.
    #[inline(never)]
    fn forget() -> Option<ObjectId> {
        let mut names = NAMES.lock().unwrap();
        names.extend(["twenty letters of it"; 3].map(String::from));
        let kept = Rc2::new([7; 5]);
        let object = id(&kept);
        let name = names.pop().expect("there are three");
        let was_at = name.as_ptr().addr();
        drop(name);
        let others: Vec<_> = (0..100).map(|_| std::boxed::Box::new(kept.clone())).collect();
        let mut others = others.into_iter();
        let again = others.find(|other| std::ptr::from_ref(&**other).addr() == was_at)?;
        std::mem::forget(again);
        Some(object)
    }
    let _one = track();
    // It may have made one of it and of what lies beside it.
    let object = (0..100).find_map(|_| forget()).expect("it gives some room again");
    let text = search().path_to(object).expect("it is alive").to_string();
    assert!(!text.contains("NAMES"), "{text}");
}

/// Leaves words behind that lead to where the next blocks of these sizes will be.
fn leave_addresses(words: [usize; 2], blocks: usize) {
    let mut all: Vec<Vec<u64>> =
        (0..blocks).flat_map(|_| words.map(Vec::<u64>::with_capacity)).collect();
    let starts: Vec<u64> = all.iter().map(|block| block.as_ptr().addr() as u64).collect();
    for (n, block) in all.iter_mut().enumerate() {
        let room = block.capacity();
        block.extend((0..room).map(|word| starts[(n + word) % starts.len()]));
    }
    // The last that is freed is given first.
    std::hint::black_box(&all);
}

/// In room that a tree's nodes do not use old words may lead to its nodes.
#[test]
fn a_tree_in_memory_that_was_in_use_is_told_as_it_is() {
    let _one = track();
    let (leaf_words, inner_words) = (29, 41);
    for blocks in [3, 60] {
        leave_addresses([leaf_words, inner_words], blocks);
        for place in [77, 499] {
            let tree = |leaf| -> BTreeMap<u32, Rc<Leaf>> {
                (0..500).map(|n| (n, self::leaf())).chain([(place, leaf)]).collect()
            };
            let leaf = leaf();
            let object = leaf_id(&leaf);
            let local = tree(leaf);
            let text = search().path_to(object).expect("it is alive").to_string();
            assert!(text.matches(" B ").count() > 1 && !text.contains("Rc<Coll"), "{text}");
            drop(local);
            let text = held_in(|leaf| Collections { tree: tree(leaf), ..Collections::default() });
            // The root, one of its children, and a leaf; or the value is in the one before.
            let (_, tree) = text.split_once(".tree → ").unwrap_or_else(|| panic!("{text}"));
            let steps = tree.split('─').filter_map(|step| Some(step.split_once('→')?.0));
            let steps: Vec<&str> = steps.collect();
            let (value, children) = steps.split_last().unwrap_or_else(|| panic!("{text}"));
            assert_eq!(*value, "[value]", "{text}");
            assert!(children.len() < 3 && children.iter().all(|&step| step == "[child]"), "{text}");
            // That is how large the nodes are that the old words were left for.
            let mut words = text.split_whitespace().collect::<Vec<_>>();
            words.retain(|word| word.parse::<usize>().is_ok());
            let is_node = |word: &&str| {
                let size: usize = word.parse().expect("it is a number");
                [inner_words, leaf_words]
                    .iter()
                    .any(|words| (8 * words..=8 * words + 16).contains(&size))
            };
            assert!(!words.is_empty() && words.iter().all(is_node), "{text}");
        }
    }
}

#[test]
fn pointers_of_std_in_between_are_followed() {
    let _one = track();
    let inner = |leaf| Inner { deep: RefCell::new(vec![leaf]), ..Inner::default() };
    let text = held_in(|leaf| Outer {
        std_box: Some(std::boxed::Box::new(inner(leaf))),
        ..Outer::default()
    });
    assert!(text.contains(".std_box → heap block"), "{text}");
    assert!(text.contains("─.deep→ heap block") || text.contains(".deep → heap block"), "{text}");
    let text = held_in(|leaf| Outer {
        std_rc: Some(std::rc::Rc::new(RefCell::new(Plain {
            named: Some(leaf),
            ..Plain::default()
        }))),
        ..Outer::default()
    });
    assert!(text.contains(".std_rc → heap block"), "{text}");
    assert!(text.contains("─.named→ Rc<Leaf>"), "{text}");
}

#[test]
fn variants_and_generic_types_are_told_apart() {
    let _one = track();
    let text = held_in(|leaf| Shape::Named { number: 1, only: leaf });
    assert!(text.contains(".Named.only → "), "{text}");
    let text = held_in(|leaf| Shape::Group(1, vec![leaf]));
    assert!(text.contains(".Group.1 → heap block"), "{text}");
    // Of one size, and generic over different types.
    let text = held_in(|leaf| Generic { _before: 1, value: Wrapper(leaf) });
    assert!(text.contains(".value.0 → "), "{text}");
    let text = held_in(|leaf| Generic { _before: 1, value: leaf });
    assert!(text.contains(".value → "), "{text}");
}

#[test]
fn what_closures_and_async_blocks_captured_is_named() {
    let _one = track();
    let captured = leaf();
    let object = leaf_id(&captured);
    let number = 7_u64;
    let closure: std::boxed::Box<dyn Any> = std::boxed::Box::new(0);
    let call = Box::new(move || (number, Rc::strong_count(&captured), closure.is::<u8>()));
    let text = search().path_to(object).expect("it is alive").to_string();
    assert!(text.contains(".captured → Rc<Leaf>"), "{text}");
    drop(call);

    let awaited = leaf();
    let object = leaf_id(&awaited);
    let future = Box::pin(async move {
        std::future::pending::<()>().await;
        drop(awaited);
    });
    let text = search().path_to(object).expect("it is alive").to_string();
    assert!(text.contains(".awaited → Rc<Leaf>"), "{text}");
    drop(future);
}

#[test]
fn a_cycle_names_its_fields() {
    let _one = track();
    struct Parent {
        children: RefCell<Vec<Rc<Child>>>,
    }
    struct Child {
        parent: RefCell<Option<Rc<Parent>>>,
    }
    let parent = Rc::new(Parent { children: RefCell::default() });
    let child = Rc::new(Child { parent: RefCell::new(Some(parent.clone())) });
    // Nothing holds it, so that an old word of the harness would: few lead to blocks of this size.
    parent.children.borrow_mut().reserve(130);
    parent.children.borrow_mut().push(child);
    let object = id(&parent);
    drop(parent);
    let ownership = search();
    let cycle = ownership.cycle_of(object);
    let text = match cycle {
        Some(cycle) => ownership.cycle_text(cycle).to_string(),
        // A word that the search's caller left on its stack.
        None => ownership.path_to(object).expect("it is alive").to_string(),
    };
    assert!(text.contains(".children"), "{text}");
    assert!(text.contains("─[0]→ Rc<Child>"), "{text}");
    assert!(cycle.is_none() || text.contains(".parent→"), "{text}");
    let owners = ownership.handles_of(object).iter().map(|handle| &handle.owner);
    let named = |owner: &Owner| matches!(owner, Owner::Object { field: Some(field), .. } if **field == *"parent");
    assert!(owners.into_iter().any(named), "{ownership:?}");
}

struct Registry {
    _version: u64,
    sessions: Mutex<Vec<Arc<Leaf>>>,
}

static REGISTRY: Registry = Registry { _version: 1, sessions: Mutex::new(Vec::new()) };
static SLOT: Mutex<Option<Arc<Leaf>>> = Mutex::new(None);

#[test]
fn statics_have_their_field_and_type() {
    let _one = track();
    let session = Arc::new(Leaf([0; 3]));
    let object = id(&session);
    let mut sessions = REGISTRY.sessions.lock().expect("not poisoned");
    sessions.push(session);
    drop(sessions);
    let text = search().path_to(object).expect("it is alive").to_string();
    assert!(text.contains("static fields::REGISTRY.sessions (Registry)"), "{text}");
    assert!(text.contains("─[0]→ Arc<Leaf>"), "{text}");

    let session = Arc::new(Leaf([0; 3]));
    let object = id(&session);
    *SLOT.lock().expect("not poisoned") = Some(session);
    let text = search().path_to(object).expect("it is alive").to_string();
    assert!(text.contains("static fields::SLOT (Mutex<Option<..>>)"), "{text}");
}

static SLOTS: [Mutex<Option<Arc<Leaf>>>; 3] = [const { Mutex::new(None) }; 3];
static CALLS: Mutex<Vec<std::boxed::Box<dyn Fn() -> usize + Send>>> = Mutex::new(Vec::new());

#[test]
fn an_array_has_a_type_and_a_wide_pointer_no_fields() {
    let _one = track();
    let session = Arc::new(Leaf([0; 3]));
    let object = id(&session);
    *SLOTS[2].lock().expect("not poisoned") = Some(session);
    let text = search().path_to(object).expect("it is alive").to_string();
    assert!(text.contains("static fields::SLOTS[2] ([Mutex<Option<..>>; 3])"), "{text}");

    let session = Arc::new(Leaf([0; 3]));
    let object = id(&session);
    let call = move || Arc::strong_count(&session);
    CALLS.lock().expect("not poisoned").push(std::boxed::Box::new(call));
    let text = search().path_to(object).expect("it is alive").to_string();
    assert!(text.contains("─[0]→ heap block"), "{text}");
}

#[test]
fn what_an_object_leads_to_is_not_said_of_a_block() {
    let _one = track();
    let mut seen = Vec::new();
    // Old words of other tests, in what std has of the main thread, may lead there once: each time it is elsewhere.
    let mut kept_alive = Vec::new();
    let is_named = (0..3).any(|_| {
        let leaf = leaf();
        let object = leaf_id(&leaf);
        let mut kept = vec![leaf];
        let address = kept.as_mut_ptr() as u64;
        // An old word, as free room in a block has them.
        let stale = std::hint::black_box(vec![address; 8]);
        let holder = Rc::new(Inner { deep: RefCell::new(kept), ..Inner::default() });
        let text = search().path_to(object).expect("it is alive").to_string();
        kept_alive.push((stale, holder));
        seen.push(text.clone());
        text.contains("Rc<Inner>")
    });
    assert!(is_named, "{seen:?}");
}

mod one {
    pub(crate) struct Twin {
        pub(crate) _before: u64,
        pub(crate) of_one: refscope::Rc<super::Leaf>,
    }
}

mod two {
    pub(crate) struct Twin {
        pub(crate) of_two: refscope::Rc<super::Leaf>,
        pub(crate) _behind: u64,
    }
}

#[test]
fn namesakes_are_not_mixed_up() {
    let _one = track();
    let text = held_in(|leaf| one::Twin { _before: 1, of_one: leaf });
    assert!(text.contains(".of_one → ") && !text.contains("of_two"), "{text}");
    let text = held_in(|leaf| two::Twin { of_two: leaf, _behind: 1 });
    assert!(text.contains(".of_two → ") && !text.contains("of_one"), "{text}");
    // What has no fields of its own has none named.
    let text = held_in(|leaf| RefCell::new(Some(leaf)));
    assert!(text.contains('+'), "{text}");
    let kept = leaf();
    assert!(path(&kept).contains("stack"), "{}", path(&kept));
}

thread_local! {
    static LAZY: RefCell<Vec<Rc<Leaf>>> = RefCell::default();
    static STATE: RefCell<Outer> = RefCell::default();
}

#[test]
fn thread_locals_have_their_fields_and_elements() {
    let _one = track();
    let kept = leaf();
    let object = leaf_id(&kept);
    LAZY.with_borrow_mut(|lazy| *lazy = vec![kept]);
    let text = search().path_to(object).expect("it is alive").to_string();
    assert!(text.contains("thread-local fields::LAZY of "), "{text}");
    assert!(text.contains("─[0]→ Rc<Leaf>"), "{text}");

    let kept = leaf();
    let object = leaf_id(&kept);
    STATE.with_borrow_mut(|state| state.queue = VecDeque::from([kept]));
    let text = search().path_to(object).expect("it is alive").to_string();
    assert!(text.contains("thread-local fields::STATE.queue of "), "{text}");
    assert!(text.contains("─[..]→ Rc<Leaf>"), "{text}");
}

/// What std has read for the backtraces that it prints is in memory that was the program's.
#[test]
fn the_cache_of_backtraces_is_no_root() {
    let _one = track();
    let kept: Vec<Rc<Leaf>> = (0..300).map(|_| leaf()).collect();
    let objects: Vec<ObjectId> = kept.iter().map(leaf_id).collect();
    // Blocks with old words, of all sizes.
    let stale: Vec<Vec<Rc<Leaf>>> = (0..6000)
        .map(|n| kept.iter().cycle().skip(n % 300).take(n % 90).cloned().collect())
        .collect();
    drop(stale);
    let text = std::backtrace::Backtrace::force_capture().to_string();
    assert!(text.contains("the_cache_of_backtraces_is_no_root"), "{text}");
    // The living handles are where no search can see how one gets there.
    let encoded: Vec<usize> = kept
        .into_iter()
        .map(|leaf| !std::boxed::Box::into_raw(std::boxed::Box::new((1_u64, leaf))).addr())
        .collect();
    let ownership = search();
    for object in objects {
        let path = ownership.path_to(object).expect("it is alive").to_string();
        assert!(!path.contains("MAPPINGS_CACHE"), "{path}");
    }
    assert_eq!(encoded.len(), 300);
}
