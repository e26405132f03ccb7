//! What std's users write around the pointers, that no single function of theirs shows: generic code, collections, derives,
//! statics, threads. Each program compiles on std, on plain stable and fully drop-in; see `idioms_full.rs` for what needs
//! a coercion.

use super::{boxed::Box, rc, rc::Rc, sync, sync::Arc, watched};
use std::borrow::Borrow;
use std::cell::{Cell, Ref, RefCell};
use std::collections::{BTreeMap, BinaryHeap, HashMap, HashSet, VecDeque};
use std::fmt::{Debug, Display};
use std::hash::Hash;
use std::marker::PhantomData;
use std::mem::ManuallyDrop;
use std::ops::{Bound, Deref, DerefMut};
use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Condvar, LazyLock, Mutex, MutexGuard, OnceLock, RwLock, mpsc};

#[test]
fn code_that_is_generic_over_what_dereferences() {
    fn shout<P: Deref<Target = str>>(text: P) -> String {
        text.to_uppercase()
    }
    fn sum(bytes: impl AsRef<[u8]>) -> u32 {
        bytes.as_ref().iter().map(|&byte| u32::from(byte)).sum()
    }
    fn longest<'a, S: Borrow<str> + 'a>(all: impl IntoIterator<Item = &'a S>) -> usize {
        all.into_iter().map(|text| text.borrow().len()).max().unwrap_or(0)
    }
    fn bump<P: DerefMut<Target = [u8]>>(mut bytes: P) -> P {
        bytes.iter_mut().for_each(|byte| *byte += 1);
        bytes
    }
    fn show<P>(value: P) -> String
    where
        P: Deref,
        P::Target: Display + Sized,
    {
        format!("<{}>", *value)
    }
    watched(|| {
        let texts: (Rc<str>, Arc<str>, Box<str>) = ("rc".into(), "arc".into(), "box".into());
        assert_eq!(shout(texts.0.clone()) + &shout(texts.1.clone()) + &shout(texts.2), "RCARCBOX");
        assert_eq!(sum(Rc::<[u8]>::from([1, 2])) + sum(&*Arc::<[u8]>::from([3])) + sum(Box::<[u8]>::from([4])), 10);
        assert_eq!(longest(&[texts.0, Rc::from("longer")]), 6);
        assert_eq!(*bump(Box::<[u8]>::from([1, 2])), [2, 3]);
        assert_eq!(show(Rc::new(5)) + &show(&6) + &show(Box::new("x")), "<5><6><x>");
    });
}

trait Shape {
    fn area(&self) -> u32;
    fn grow(&mut self) {}
}

impl Shape for u32 {
    fn area(&self) -> u32 {
        *self
    }
    fn grow(&mut self) {
        *self += 1;
    }
}

impl<T: Shape + ?Sized> Shape for Box<T> {
    fn area(&self) -> u32 {
        (**self).area()
    }
    fn grow(&mut self) {
        (**self).grow();
    }
}

impl<T: Shape + ?Sized> Shape for Rc<T> {
    fn area(&self) -> u32 {
        T::area(self)
    }
}

impl<T: Shape + ?Sized> Shape for Arc<T> {
    fn area(&self) -> u32 {
        self.as_ref().area()
    }
}

#[test]
fn a_trait_of_ones_own_for_the_pointers() {
    fn total<S: Shape>(shapes: &[S]) -> u32 {
        shapes.iter().map(S::area).sum()
    }
    watched(|| {
        let mut boxed = Box::new(1);
        boxed.grow();
        Shape::grow(&mut boxed);
        assert_eq!(total(&[boxed, Box::new(1)]), 4);
        assert_eq!(total(&[Rc::new(1), Rc::new(2)]) + total(&[Arc::new(Box::new(3))]), 6);
    });
}

#[test]
fn maps_are_asked_by_what_is_borrowed() {
    watched(|| {
        let names: Vec<Rc<str>> = ["a", "b", "c"].map(Rc::from).into();
        let mut map: HashMap<Rc<str>, usize> = names.iter().cloned().zip(0..).collect();
        assert_eq!((map["a"], map.get("b"), map.get(&names[2])), (0, Some(&1), Some(&2)));
        *map.entry(names[0].clone()).or_default() += 7;
        *map.entry("d".into()).or_insert(9) += 1;
        assert_eq!((map.remove("a"), map.len(), map.contains_key("d")), (Some(7), 3, true));
        let (key, _) = map.get_key_value("b").unwrap();
        assert!(Rc::ptr_eq(key, &names[1]));
        let tree: BTreeMap<Arc<[u8]>, char> =
            [([1, 2].into(), 'x'), (vec![3].into(), 'y')].into_iter().collect();
        assert_eq!(tree.range::<[u8], (Bound<&[u8]>, Bound<&[u8]>)>((Bound::Included(&[2][..]), Bound::Unbounded)).map(|(_, value)| *value).collect::<String>(), "y");
        let mut interned: HashSet<Arc<str>> = HashSet::new();
        let mut intern = |text: &str| -> Arc<str> {
            if let Some(known) = interned.get(text) {
                return known.clone();
            }
            let new: Arc<str> = text.into();
            interned.insert(Arc::clone(&new));
            new
        };
        assert!(Arc::ptr_eq(&intern("word"), &intern("word")));
        let mut heap: BinaryHeap<std::cmp::Reverse<Box<u8>>> =
            [3, 1, 2].map(|n| std::cmp::Reverse(Box::new(n))).into();
        assert_eq!(heap.pop().map(|least| *least.0), Some(1));
    });
}

#[test]
fn slices_are_collected() {
    watched(|| {
        let even: Arc<[u32]> = (0..9).filter(|n| n % 2 == 0).collect();
        assert_eq!(*even, [0, 2, 4, 6, 8]);
        let all: Result<Rc<[u8]>, std::num::ParseIntError> = "1 2 3".split(' ').map(str::parse).collect();
        assert_eq!(*all.unwrap(), [1, 2, 3]);
        let none: Option<Box<[u8]>> = [Some(1), None].into_iter().collect();
        assert!(none.is_none());
        let text: Rc<str> = format!("{}-{}", 1, 2).into();
        assert_eq!(&*text, "1-2");
        assert!(*text == *"1-2" && text.as_ref() == "1-2" && text.starts_with('1'));
        let words: Rc<[Rc<str>]> = text.split('-').map(Rc::from).collect();
        assert_eq!(words.iter().map(|word| word.len()).sum::<usize>(), 2);
        let mut sorted: Box<[u8]> = [3, 1, 2].into();
        sorted.sort_unstable();
        sorted[1..].reverse();
        let [first, .., last] = *sorted else { panic!("it has three") };
        assert_eq!((first, last, sorted.chunks(2).count()), (1, 2, 2));
        let (ones, twos): (Vec<Rc<u8>>, Vec<_>) = [1, 2, 1].map(Rc::new).into_iter().partition(|n| **n == 1);
        assert_eq!((ones.len(), twos.len()), (2, 1));
    });
}

#[test]
fn a_tree_with_weak_parents() {
    struct Node {
        name: &'static str,
        parent: rc::Weak<Node>,
        children: RefCell<Vec<Rc<Node>>>,
    }
    impl Node {
        fn add(&self, this: &Rc<Self>, name: &'static str) -> Rc<Self> {
            let (parent, children) = (Rc::downgrade(this), RefCell::default());
            let child = Rc::new(Self { name, parent, children });
            self.children.borrow_mut().push(child.clone());
            child
        }
        fn path(&self) -> String {
            match self.parent.upgrade() {
                Some(parent) => parent.path() + "/" + self.name,
                None => self.name.to_owned(),
            }
        }
    }
    struct Cyclic {
        me: sync::Weak<Cyclic>,
        id: usize,
    }
    impl Cyclic {
        fn this(&self) -> Arc<Self> {
            self.me.upgrade().expect("it is alive")
        }
    }
    watched(|| {
        let root = Rc::new(Node { name: "root", parent: rc::Weak::new(), children: RefCell::default() });
        let leaf = root.add(&root, "a").add(&root.children.borrow()[0].clone(), "leaf");
        assert_eq!(leaf.path(), "root/a/leaf");
        assert_eq!((Rc::strong_count(&root), Rc::weak_count(&root)), (1, 1));
        drop(root);
        assert_eq!(leaf.path(), "leaf");
        let cyclic = Arc::new_cyclic(|me| Cyclic { me: me.clone(), id: 7 });
        assert_eq!(cyclic.this().id, 7);
        assert_eq!(Arc::strong_count(&cyclic), 1);
        let parts = Arc::into_inner(cyclic).unwrap();
        assert!(parts.me.upgrade().is_none());
    });
}

#[test]
fn copies_on_write_under_weak_handles() {
    #[derive(Clone, Debug, Default, PartialEq)]
    struct Settings {
        names: Vec<String>,
        depth: u8,
    }
    watched(|| {
        let mut now = Arc::new(Settings::default());
        let watcher = Arc::downgrade(&now);
        Arc::make_mut(&mut now).depth = 1;
        assert!(watcher.upgrade().is_none(), "the value moved away from the weak handle");
        let before = now.clone();
        Arc::make_mut(&mut now).names.push("x".into());
        assert_eq!((before.names.len(), now.names.len(), now.depth), (0, 1, 1));
        let Settings { names, .. } = Arc::unwrap_or_clone(before);
        assert!(names.is_empty());
        let mut rows: Vec<Rc<[u8]>> = vec![Rc::from([1, 2]); 3];
        for row in &mut rows {
            Rc::make_mut(row)[0] += 1;
        }
        assert!(rows.iter().all(|row| **row == [2, 2]) && !Rc::ptr_eq(&rows[0], &rows[1]));
        if let Some(depth) = Arc::get_mut(&mut now).map(|now| &mut now.depth) {
            *depth += 1;
        }
        assert_eq!(now.depth, 2);
    });
}

/// A functor and its fixed point.
#[test]
fn recursion_schemes() {
    enum Layer<R> {
        Number(i64),
        Add(R, R),
        Negate(R),
    }
    impl<R> Layer<R> {
        fn map<S>(&self, mut f: impl FnMut(&R) -> S) -> Layer<S> {
            match self {
                Layer::Number(number) => Layer::Number(*number),
                Layer::Add(left, right) => Layer::Add(f(left), f(right)),
                Layer::Negate(inner) => Layer::Negate(f(inner)),
            }
        }
    }
    struct Fix(Box<Layer<Fix>>);
    impl Fix {
        fn fold<A>(&self, algebra: &impl Fn(Layer<A>) -> A) -> A {
            algebra(self.0.map(|inner| inner.fold(algebra)))
        }
    }
    let make = |layer| Fix(Box::new(layer));
    watched(|| {
        let number = |n| make(Layer::Number(n));
        let tree = make(Layer::Add(number(3), make(Layer::Negate(number(1)))));
        let value = tree.fold(&|layer: Layer<i64>| match layer {
            Layer::Number(n) => n,
            Layer::Add(a, b) => a + b,
            Layer::Negate(a) => -a,
        });
        let depth = tree.fold(&|layer: Layer<usize>| match layer {
            Layer::Number(_) => 1,
            Layer::Add(a, b) => 1 + a.max(b),
            Layer::Negate(a) => 1 + a,
        });
        assert_eq!((value, depth), (2, 3));
    });
}

#[test]
fn patterns_through_a_pointer() {
    #[derive(Debug)]
    enum Expr {
        Unit,
        Name(String),
        Call(Box<Expr>, Vec<Rc<Expr>>),
    }
    fn head(expr: &Expr) -> Option<&str> {
        match expr {
            Expr::Name(name) => Some(name),
            Expr::Call(callee, _) => match &**callee {
                Expr::Name(name) => Some(name),
                inner => head(inner),
            },
            Expr::Unit => None,
        }
    }
    watched(|| {
        let unit = Rc::new(Expr::Unit);
        let mut call = Expr::Call(Box::new(Expr::Name("f".into())), vec![unit.clone(), unit]);
        assert_eq!(head(&call), Some("f"));
        if let Expr::Call(callee, arguments) = &mut call {
            if let Expr::Name(name) = &mut **callee {
                name.push('g');
            }
            let units = arguments.iter().filter(|argument| matches!(***argument, Expr::Unit)).count();
            assert_eq!(units, 2);
            **callee = Expr::Call(Box::new(Expr::Name("h".into())), Vec::new());
        }
        assert_eq!(head(&call), Some("h"));
        let boxed = Box::new((1, String::from("x")));
        let (number, ref text) = *boxed;
        assert_eq!((number, text.as_str()), (1, "x"));
        let maybe: Option<Box<str>> = Some("text".into());
        assert!(matches!(maybe.as_deref(), Some("text")));
        let result: Result<Rc<u8>, Rc<str>> = Err("no".into());
        assert_eq!(result.as_deref().map_err(|error| &**error), Err("no"));
    });
}

/// The list of every textbook: by `take`, by a cursor, and by `unbox` where std's box is dereferenced.
#[test]
fn a_list_is_built_walked_and_reversed() {
    struct Node {
        value: u32,
        next: Option<Box<Node>>,
    }
    #[derive(Default)]
    struct List {
        head: Option<Box<Node>>,
        len: usize,
    }
    impl List {
        fn push(&mut self, value: u32) {
            self.head = Some(Box::new(Node { value, next: self.head.take() }));
            self.len += 1;
        }
        fn append(&mut self, value: u32) {
            let mut end = &mut self.head;
            while let Some(node) = end {
                end = &mut node.next;
            }
            *end = Some(Box::new(Node { value, next: None }));
            self.len += 1;
        }
        fn pop(&mut self) -> Option<u32> {
            let mut node = self.head.take()?;
            self.head = node.next.take();
            self.len -= 1;
            Some(node.value)
        }
        fn reverse(&mut self) {
            let (mut reversed, mut rest) = (None, self.head.take());
            while let Some(mut node) = rest {
                rest = std::mem::replace(&mut node.next, reversed);
                reversed = Some(node);
            }
            self.head = reversed;
        }
        fn values(&self) -> impl Iterator<Item = u32> + '_ {
            std::iter::successors(self.head.as_deref(), |node| node.next.as_deref()).map(|node| node.value)
        }
        fn remove(&mut self, value: u32) -> bool {
            let mut at = &mut self.head;
            loop {
                match at {
                    None => return false,
                    Some(node) if node.value == value => {
                        *at = node.next.take();
                        self.len -= 1;
                        return true;
                    }
                    Some(node) => at = &mut node.next,
                }
            }
        }
    }
    impl Drop for List {
        fn drop(&mut self) {
            let mut next = self.head.take();
            while let Some(mut node) = next {
                next = node.next.take();
            }
        }
    }
    watched(|| {
        let mut list = List::default();
        (1..4).for_each(|n| list.push(n));
        list.append(9);
        list.reverse();
        assert_eq!(list.values().collect::<Vec<_>>(), [9, 1, 2, 3]);
        assert!(list.remove(1) && !list.remove(5));
        if let Some(node) = list.head.as_deref_mut() {
            node.value += 1;
        }
        if let Some(second) = list.head.as_mut().and_then(|node| node.next.as_mut()) {
            second.value *= 10;
        }
        assert_eq!((list.pop(), list.pop(), list.len), (Some(10), Some(20), 1));
        (0..10_000).for_each(|n| list.push(n));
    });
}

#[test]
fn futures_that_share_what_they_run_on() {
    use std::task::{Context, Poll, Waker};
    struct Service {
        calls: AtomicUsize,
    }
    impl Service {
        async fn call(this: Arc<Self>, n: usize) -> usize {
            std::future::ready(()).await;
            this.calls.fetch_add(n, Ordering::Relaxed) + n
        }
    }
    fn finish<F: Future>(future: F) -> F::Output {
        let mut future = std::pin::pin!(future);
        match future.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(output) => output,
            Poll::Pending => panic!("nothing is waited for"),
        }
    }
    fn is_send<T: Send>(value: T) -> T {
        value
    }
    watched(|| {
        let service = Arc::new(Service { calls: AtomicUsize::new(0) });
        let futures: Vec<_> = (1..4).map(|n| Box::pin(Service::call(service.clone(), n))).collect();
        assert_eq!(Arc::strong_count(&service), 4);
        let results: Vec<_> = futures.into_iter().map(|future| finish(is_send(future))).collect();
        assert_eq!((results, Arc::strong_count(&service)), (vec![1, 3, 6], 1));
    });
}

#[test]
fn markers_and_variance() {
    struct Key<T: ?Sized>(u32, PhantomData<Rc<T>>, PhantomData<fn() -> Box<T>>);
    impl<T: ?Sized> Clone for Key<T> {
        fn clone(&self) -> Self {
            *self
        }
    }
    impl<T: ?Sized> Copy for Key<T> {}
    fn shorter<'a>(key: Key<&'static str>, _: &'a str) -> Key<&'a str> {
        key
    }
    fn shortest<'a>(long: Arc<[Rc<&'static str>]>, _: &'a u8) -> Arc<[Rc<&'a str>]> {
        long
    }
    struct Owner<'a, T: ?Sized>(Option<Box<T>>, PhantomData<&'a ()>);
    watched(|| {
        let (local, number) = (String::from("local"), 0);
        assert_eq!(shorter(Key(3, PhantomData, PhantomData), &local).0, 3);
        assert_eq!(*shortest([Rc::new("x")].into(), &number)[0], "x");
        assert!(Owner::<'_, str>(None, PhantomData).0.is_none());
        let copied = Key::<[u8]>(1, PhantomData, PhantomData);
        assert_eq!(copied.clone().0 + copied.0, 2);
    });
}

#[test]
fn statics_and_thread_locals() {
    #[derive(Default)]
    struct Config {
        names: Mutex<Vec<Arc<str>>>,
    }
    static CONFIG: LazyLock<Arc<Config>> = LazyLock::new(Arc::default);
    static LATE: OnceLock<Arc<RwLock<u8>>> = OnceLock::new();
    static NOBODY: Mutex<sync::Weak<Config>> = Mutex::new(sync::Weak::new());
    static SLOTS: [Mutex<Option<Box<u8>>>; 2] = [const { Mutex::new(None) }; 2];
    thread_local! {
        static CURRENT: RefCell<Option<Rc<str>>> = const { RefCell::new(None) };
        static COUNT: Rc<Cell<u8>> = Rc::new(Cell::new(0));
    }
    watched(|| {
        CONFIG.names.lock().unwrap().push("x".into());
        let config = CONFIG.clone();
        *NOBODY.lock().unwrap() = Arc::downgrade(&config);
        assert!(NOBODY.lock().unwrap().upgrade().is_some_and(|same| Arc::ptr_eq(&same, &CONFIG)));
        *LATE.get_or_init(|| Arc::new(RwLock::new(1))).write().unwrap() += 1;
        assert_eq!(*LATE.get().unwrap().read().unwrap(), 2);
        *SLOTS[0].lock().unwrap() = Some(Box::new(5));
        assert_eq!(SLOTS[0].lock().unwrap().take().as_deref(), Some(&5));
        CURRENT.set(Some("now".into()));
        let now = CURRENT.with_borrow(|current| current.clone());
        assert_eq!(now.as_deref(), Some("now"));
        COUNT.with(|count| count.set(count.get() + 1));
        assert_eq!(COUNT.with(Rc::clone).get(), 1);
        CURRENT.take();
        config.names.lock().unwrap().clear();
    });
}

#[test]
fn threads() {
    watched(|| {
        let total = Arc::new(AtomicUsize::new(0));
        std::thread::scope(|scope| {
            for n in 1..4 {
                let total = &total;
                scope.spawn(move || total.fetch_add(n, Ordering::Relaxed));
                let own = Arc::clone(total);
                scope.spawn(move || own.fetch_add(10 * n, Ordering::Relaxed));
            }
        });
        assert_eq!((total.load(Ordering::Relaxed), Arc::strong_count(&total)), (66, 1));
        let pair = Arc::new((Mutex::new(false), Condvar::new()));
        let other = pair.clone();
        let waiting = std::thread::spawn(move || {
            let (lock, changed) = &*other;
            let mut done = lock.lock().unwrap();
            while !*done {
                done = changed.wait(done).unwrap();
            }
        });
        *pair.0.lock().unwrap() = true;
        pair.1.notify_all();
        waiting.join().unwrap();
        let (send, receive) = mpsc::channel::<Arc<str>>();
        let sender = std::thread::spawn(move || (0..3).for_each(|n| send.send(n.to_string().into()).unwrap()));
        assert_eq!(receive.iter().map(|text| text.len()).sum::<usize>(), 3);
        sender.join().unwrap();
        let value = Arc::try_unwrap(total).map(AtomicUsize::into_inner);
        assert_eq!(value.ok(), Some(66));
    });
}

#[test]
fn derived_traits() {
    #[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
    struct Row {
        name: Rc<str>,
        cells: Arc<[u8]>,
        next: Option<Box<Row>>,
    }
    #[derive(Clone, Debug)]
    struct Shared<T: ?Sized>(Arc<T>);
    #[derive(Clone, Default, Debug)]
    struct Watching {
        of: sync::Weak<u8>,
        at: rc::Weak<RefCell<u8>>,
    }
    watched(|| {
        let one = Row { name: "a".into(), cells: [1].into(), next: Some(Box::default()) };
        let mut two = one.clone();
        assert!(one == two && Rc::ptr_eq(&one.name, &two.name));
        two.next = None;
        assert!(two < one && one.max(two.clone()).next.is_some());
        assert_eq!(format!("{two:?}"), r#"Row { name: "a", cells: [1], next: None }"#);
        let set: HashSet<Row> = [two.clone(), two].into();
        assert_eq!(set.len(), 1);
        let shared = Shared::<u8>(Arc::new(1));
        assert_eq!(format!("{:?}", shared.clone()), "Shared(1)");
        let watching = Watching { of: Arc::downgrade(&shared.0), ..Default::default() };
        assert_eq!(format!("{:?}", watching.clone()), "Watching { of: (Weak), at: (Weak) }");
        assert!(watching.at.upgrade().is_none() && watching.of.upgrade().is_some());
    });
}

#[test]
fn pinned_pointers() {
    struct Immovable {
        value: Cell<u8>,
        _pinned: std::marker::PhantomPinned,
    }
    fn read(pinned: Pin<&Immovable>) -> (u8, *const Immovable) {
        (pinned.value.get(), &raw const *pinned)
    }
    watched(|| {
        let make = |n| Immovable { value: Cell::new(n), _pinned: std::marker::PhantomPinned };
        let (one, two) = (Rc::pin(make(1)), Arc::pin(make(2)));
        let clone: Pin<Rc<Immovable>> = one.clone();
        assert_eq!(read(one.as_ref()), read(clone.as_ref()));
        assert_eq!(read(two.as_ref()).0, 2);
        let mut boxed = Box::pin(make(3));
        let address = read(boxed.as_ref()).1;
        boxed.set(make(4));
        assert_eq!(read(boxed.as_ref()), (4, address));
        let plain: Rc<u8> = Pin::into_inner(Rc::pin(5));
        assert_eq!(*plain, 5);
        let pinned = Pin::new(Arc::new(6));
        assert_eq!(*pinned + 1, 7);
    });
}

/// A guard that owns what it locks, and borrows that are narrowed.
#[test]
fn guards() {
    struct Owned<T: 'static> {
        // Dropped first.
        guard: ManuallyDrop<MutexGuard<'static, T>>,
        lock: Arc<Mutex<T>>,
    }
    impl<T> Owned<T> {
        fn new(lock: &Arc<Mutex<T>>) -> Self {
            let lock = lock.clone();
            let guard = lock.lock().unwrap();
            // SAFETY: the lock is kept for longer than the guard.
            let guard = unsafe { std::mem::transmute::<MutexGuard<'_, T>, MutexGuard<'static, T>>(guard) };
            Self { guard: ManuallyDrop::new(guard), lock }
        }
    }
    impl<T> Drop for Owned<T> {
        fn drop(&mut self) {
            // SAFETY: it is not used again.
            unsafe { ManuallyDrop::drop(&mut self.guard) };
            assert!(self.lock.try_lock().is_ok());
        }
    }
    watched(|| {
        let shared = Arc::new(Mutex::new(vec![1]));
        let mut owned = Owned::new(&shared);
        owned.guard.push(2);
        assert!(shared.try_lock().is_err());
        drop(owned);
        assert_eq!((shared.lock().unwrap().len(), Arc::strong_count(&shared)), (2, 1));
        let cell = Rc::new(RefCell::new((String::from("name"), 7)));
        let name = Ref::map(RefCell::borrow(&cell), |pair| pair.0.as_str());
        assert_eq!((&*name, cell.try_borrow_mut().is_err()), ("name", true));
        drop(name);
        Rc::clone(&cell).borrow_mut().1 += 1;
        let (text, number) = Rc::try_unwrap(cell).unwrap().into_inner();
        assert_eq!((text.as_str(), number), ("name", 8));
    });
}

#[test]
fn observers_that_are_weak() {
    #[derive(Default)]
    struct Subject {
        observers: RefCell<Vec<rc::Weak<Cell<u32>>>>,
    }
    impl Subject {
        fn attach(&self, observer: &Rc<Cell<u32>>) {
            let weak = Rc::downgrade(observer);
            if !self.observers.borrow().iter().any(|known| known.ptr_eq(&weak)) {
                self.observers.borrow_mut().push(weak);
            }
        }
        fn notify(&self) -> usize {
            self.observers.borrow_mut().retain(|observer| observer.strong_count() > 0);
            self.observers.borrow().iter().filter_map(rc::Weak::upgrade).map(|one| one.set(one.get() + 1)).count()
        }
    }
    watched(|| {
        let (subject, one) = (Subject::default(), Rc::new(Cell::new(0)));
        subject.attach(&one);
        subject.attach(&one.clone());
        {
            let two = Rc::default();
            subject.attach(&two);
            assert_eq!(subject.notify(), 2);
        }
        assert_eq!((subject.notify(), one.get()), (1, 2));
        let by_address: HashMap<*const Cell<u32>, rc::Weak<Cell<u32>>> =
            [(Rc::as_ptr(&one), Rc::downgrade(&one))].into();
        assert!(by_address.iter().all(|(address, weak)| weak.as_ptr() == *address));
        let mut queue: VecDeque<rc::Weak<Cell<u32>>> = [rc::Weak::new(), Rc::downgrade(&one)].into();
        let found = std::iter::from_fn(|| queue.pop_front()).find_map(|weak| weak.upgrade());
        assert!(found.is_some_and(|found| Rc::ptr_eq(&found, &one)));
    });
}

#[test]
fn functions_of_the_pointers_as_values() {
    watched(|| {
        let all: Vec<Rc<String>> = ["a", "b"].into_iter().map(String::from).map(Rc::new).collect();
        let clones: Vec<_> = all.iter().map(Rc::clone).collect();
        let weak: Vec<_> = all.iter().map(Rc::downgrade).collect();
        let texts: Vec<&str> = clones.iter().map(|text| text.as_str()).collect();
        assert_eq!(texts.concat(), "ab");
        assert_eq!(all.first().cloned(), clones.first().map(Clone::clone));
        assert_eq!(all.iter().map(Rc::strong_count).sum::<usize>(), 4);
        let values: Vec<&String> = all.iter().map(AsRef::as_ref).collect();
        assert_eq!(values.into_iter().map(String::len).sum::<usize>(), 2);
        drop(all);
        let out: Vec<String> = clones.into_iter().filter_map(|rc| Rc::try_unwrap(rc).ok()).collect();
        assert_eq!(out.concat(), "ab");
        assert!(weak.iter().map(rc::Weak::upgrade).all(|gone| gone.is_none()));
        let boxes: Vec<Box<u8>> = (1..4).map(Box::new).collect();
        assert_eq!(boxes.into_iter().map(|one| *one).sum::<u8>(), 6);
        let repeated: Vec<Arc<u8>> = std::iter::repeat_n(Arc::new(1), 3).collect();
        let array: [Arc<u8>; 2] = std::array::from_fn(|n| repeated[n].clone());
        assert_eq!(Arc::strong_count(&array[0]), 5);
        let empty = [const { None::<Rc<u8>> }; 4];
        assert!(empty.iter().all(Option::is_none));
    });
}

/// A family of pointers, as persistent collections have it.
#[test]
fn pointers_as_a_parameter() {
    trait Family {
        type Ptr<T>: Deref<Target = T> + Clone;
        fn new<T>(value: T) -> Self::Ptr<T>;
        fn make_mut<T: Clone>(this: &mut Self::Ptr<T>) -> &mut T;
        fn same<T>(one: &Self::Ptr<T>, two: &Self::Ptr<T>) -> bool;
    }
    macro_rules! family {
        ($Family:ident, $Ptr:ident) => {
            struct $Family;
            impl Family for $Family {
                type Ptr<T> = $Ptr<T>;
                fn new<T>(value: T) -> $Ptr<T> {
                    $Ptr::new(value)
                }
                fn make_mut<T: Clone>(this: &mut $Ptr<T>) -> &mut T {
                    $Ptr::make_mut(this)
                }
                fn same<T>(one: &$Ptr<T>, two: &$Ptr<T>) -> bool {
                    $Ptr::ptr_eq(one, two)
                }
            }
        };
    }
    family! { Local, Rc }
    family! { Shared, Arc }
    enum List<T, F: Family> {
        Nil,
        Cons(T, F::Ptr<List<T, F>>),
    }
    fn build<F: Family>() -> u8 {
        let tail = F::new(List::<u8, F>::Cons(2, F::new(List::Nil)));
        let (one, two) = (List::<u8, F>::Cons(1, tail.clone()), List::<u8, F>::Cons(3, tail));
        let (List::Cons(a, one), List::Cons(b, two)) = (&one, &two) else { return 0 };
        assert!(F::same(one, two));
        let mut number = F::new(a + b);
        *F::make_mut(&mut number) += 1;
        match &**one {
            List::Cons(value, _) => *number + *value,
            List::Nil => 0,
        }
    }
    watched(|| assert_eq!((build::<Local>(), build::<Shared>()), (7, 7)));
}

#[test]
fn equality_by_address_and_by_value() {
    struct ByAddress<T>(Rc<T>);
    impl<T> PartialEq for ByAddress<T> {
        fn eq(&self, other: &Self) -> bool {
            std::ptr::eq(&raw const *self.0, Rc::as_ptr(&other.0))
        }
    }
    impl<T> Eq for ByAddress<T> {}
    impl<T> Hash for ByAddress<T> {
        fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
            std::ptr::hash(Rc::as_ptr(&self.0), state);
        }
    }
    watched(|| {
        let (one, two) = (Rc::new(5), Rc::new(5));
        assert!(one == two && ByAddress(one.clone()) != ByAddress(two.clone()));
        let set: HashSet<_> = [one.clone(), two, one].map(ByAddress).into();
        assert_eq!(set.len(), 2);
    });
}

#[test]
fn values_that_are_lent_for_ever_or_taken() {
    struct Config {
        name: String,
    }
    watched(|| {
        let config: &'static mut Config = Box::leak(Box::new(Config { name: "x".into() }));
        config.name.push('y');
        assert_eq!(config.name, "xy");
        // SAFETY: it was leaked just above, and is not used again.
        drop(unsafe { Box::from_raw(config) });
        let mut slot: Option<Box<String>> = None;
        slot.get_or_insert_with(Box::default).push('a');
        std::mem::take(slot.as_deref_mut().unwrap());
        let mut one = Box::new(1);
        let mut two = Box::new(2);
        std::mem::swap(&mut one, &mut two);
        std::mem::swap(&mut *one, &mut *two);
        assert_eq!((*one, *two), (1, 2));
        assert_eq!(std::mem::replace(&mut *one, 7) + *one, 8);
        let name: Arc<str> = impl_into("text");
        assert_eq!(name.len() + impl_into(String::from("x")).len(), 5);
    });
    fn impl_into(name: impl Into<Arc<str>>) -> Arc<str> {
        name.into()
    }
}

#[test]
fn closures_that_own_handles() {
    watched(|| {
        let log = Rc::new(RefCell::new(Vec::new()));
        let make = |name: &'static str| {
            let log = Rc::clone(&log);
            move |n: u8| log.borrow_mut().push(format!("{name}{n}"))
        };
        let (a, b) = (make("a"), make("b"));
        a(1);
        b(2);
        a(3);
        assert_eq!(Rc::strong_count(&log), 3);
        drop((a, b));
        assert_eq!(Rc::into_inner(log).unwrap().into_inner(), ["a1", "b2", "a3"]);
        fn count<T: Debug>(all: &[T]) -> impl Fn() -> String + use<T> {
            let text: Arc<str> = format!("{all:?}").into();
            move || text.to_string()
        }
        assert_eq!(count(&[1, 2])(), "[1, 2]");
    });
}
