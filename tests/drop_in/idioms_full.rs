//! What std's users write that needs a coercion, a receiver or a call of a boxed closure: as it is, on std and fully drop-in.

use super::{boxed::Box, rc, rc::Rc, sync, sync::Arc, watched};
use std::any::{Any, TypeId};
use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, HashMap};
use std::error::Error;
use std::fmt::{self, Debug, Display};
use std::future::Future;
use std::pin::Pin;
use std::sync::{Mutex, RwLock};
use std::task::{Context, Poll, Waker};

#[test]
fn queues_of_closures() {
    struct Queue<'a> {
        jobs: Vec<Box<dyn FnOnce(&mut Vec<u8>) + 'a>>,
        hooks: HashMap<&'static str, Vec<Rc<dyn Fn(u8) -> u8 + 'a>>>,
    }
    impl<'a> Queue<'a> {
        fn job(&mut self, job: impl FnOnce(&mut Vec<u8>) + 'a) -> &mut Self {
            self.jobs.push(Box::new(job));
            self
        }
        fn hook<F: Fn(u8) -> u8 + 'a>(&mut self, name: &'static str, hook: F) {
            self.hooks.entry(name).or_default().push(Rc::new(hook));
        }
        fn fire(&self, name: &str, start: u8) -> u8 {
            self.hooks.get(name).into_iter().flatten().fold(start, |value, hook| hook(value))
        }
    }
    fn compose<A: 'static, B: 'static, C: 'static>(
        f: Box<dyn Fn(A) -> B>,
        g: Box<dyn Fn(B) -> C>,
    ) -> Box<dyn Fn(A) -> C> {
        Box::new(move |a| g(f(a)))
    }
    watched(|| {
        let text = String::from("abc");
        let mut queue = Queue { jobs: Vec::new(), hooks: HashMap::new() };
        queue.job(|out| out.push(1)).job(|out| out.extend(text.bytes()));
        queue.hook("double", |n| n * 2);
        queue.hook("double", |n| n + 1);
        let mut out = Vec::new();
        for job in queue.jobs.drain(..) {
            job(&mut out);
        }
        assert_eq!((out.len(), queue.fire("double", 3), queue.fire("none", 3)), (4, 7, 3));
        let both = compose(Box::new(|n: u8| n + 1), Box::new(|n: u8| n.to_string()));
        assert_eq!(both(6), "7");
        let mut callbacks: BTreeMap<u8, Box<dyn FnMut() -> u8>> = BTreeMap::new();
        let mut count = 0;
        callbacks.insert(
            1,
            Box::new(move || {
                count += 1;
                count
            }),
        );
        let callback = callbacks.get_mut(&1).unwrap();
        assert_eq!((callback(), (callbacks.get_mut(&1).unwrap())()), (1, 2));
        let optional: Option<Box<dyn FnOnce() -> &'static str>> = Some(Box::new(|| "called"));
        assert_eq!(optional.map(|f| f()), Some("called"));
    });
}

trait Widget: Debug {
    fn draw(&self) -> String;
    fn click(&mut self) {}
    fn into_parts(self: Box<Self>) -> (String, usize);
}

#[derive(Debug, Default)]
struct Button {
    clicks: usize,
}

impl Widget for Button {
    fn draw(&self) -> String {
        format!("[{}]", self.clicks)
    }
    fn click(&mut self) {
        self.clicks += 1;
    }
    fn into_parts(self: Box<Self>) -> (String, usize) {
        (self.draw(), self.clicks)
    }
}

#[derive(Debug)]
struct Label(&'static str);

impl Widget for Label {
    fn draw(&self) -> String {
        self.0.to_owned()
    }
    fn into_parts(self: Box<Self>) -> (String, usize) {
        let Self(text) = *self;
        (text.to_owned(), 0)
    }
}

#[test]
fn cells_of_trait_objects() {
    watched(|| {
        let button = Rc::new(RefCell::new(Button::default()));
        let all: Vec<Rc<RefCell<dyn Widget>>> =
            vec![button.clone(), Rc::new(RefCell::new(Label("x")))];
        all.iter().for_each(|widget| widget.borrow_mut().click());
        let drawn: Vec<_> = all.iter().map(|widget| widget.borrow().draw()).collect();
        assert_eq!(drawn, ["[1]", "x"]);
        let weak: rc::Weak<RefCell<dyn Widget>> =
            Rc::downgrade(&(button.clone() as Rc<RefCell<dyn Widget>>));
        button.borrow_mut().clicks += 1;
        assert_eq!(weak.upgrade().unwrap().borrow().draw(), "[2]");
        let shared: Arc<Mutex<dyn Widget + Send>> = Arc::new(Mutex::new(Button::default()));
        shared.lock().unwrap().click();
        let locked: Arc<RwLock<Box<dyn Widget + Send + Sync>>> =
            Arc::new(RwLock::new(Box::new(Label("y"))));
        *locked.write().unwrap() = Box::new(Button { clicks: 4 });
        assert_eq!(
            (shared.lock().unwrap().draw(), locked.read().unwrap().draw()),
            ("[1]".into(), "[4]".into())
        );
    });
}

#[test]
fn a_box_gives_itself_away() {
    watched(|| {
        let widgets: Vec<Box<dyn Widget>> =
            vec![Box::new(Button { clicks: 2 }), Box::new(Label("l"))];
        let parts: Vec<_> = widgets.into_iter().map(|widget| widget.into_parts()).collect();
        assert_eq!(parts, [("[2]".to_owned(), 2), ("l".to_owned(), 0)]);
        let mut slot: Option<Box<dyn Widget>> = None;
        slot.replace(Box::new(Label("z")));
        if let Some(widget) = &mut slot {
            widget.click();
        }
        assert_eq!(slot.as_ref().map(|widget| widget.draw()).as_deref(), Some("z"));
        assert_eq!(slot.take().map(Widget::into_parts).unwrap().0, "z");
        let nested: Box<dyn Widget> = slot.unwrap_or_else(|| Box::new(Button::default()));
        assert_eq!(format!("{nested:?}"), "Button { clicks: 0 }");
    });
}

#[test]
fn state_machines_by_boxes() {
    trait State {
        fn next(self: Box<Self>, input: char) -> Box<dyn State>;
        fn done(&self) -> Option<u32> {
            None
        }
    }
    struct Start;
    struct Digits(u32);
    struct Done(u32);
    impl State for Start {
        fn next(self: Box<Self>, input: char) -> Box<dyn State> {
            match input.to_digit(10) {
                Some(digit) => Box::new(Digits(digit)),
                None => self,
            }
        }
    }
    impl State for Digits {
        fn next(mut self: Box<Self>, input: char) -> Box<dyn State> {
            match input.to_digit(10) {
                Some(digit) => {
                    self.0 = self.0 * 10 + digit;
                    self
                }
                None => Box::new(Done(self.0)),
            }
        }
    }
    impl State for Done {
        fn next(self: Box<Self>, _: char) -> Box<dyn State> {
            self
        }
        fn done(&self) -> Option<u32> {
            Some(self.0)
        }
    }
    watched(|| {
        let start: Box<dyn State> = Box::new(Start);
        let end = "ab42 x".chars().fold(start, |state, input| state.next(input));
        assert_eq!(end.done(), Some(42));
    });
}

#[test]
fn receivers_that_share() {
    struct Session {
        id: u8,
        peers: Mutex<Vec<sync::Weak<Session>>>,
    }
    impl Session {
        fn new(id: u8) -> Arc<Self> {
            Arc::new(Self { id, peers: Mutex::default() })
        }
        fn join(self: &Arc<Self>, other: &Arc<Self>) -> Arc<Self> {
            self.peers.lock().unwrap().push(Arc::downgrade(other));
            Arc::clone(self)
        }
        async fn serve(self: Arc<Self>, n: u8) -> u8 {
            let me = self.clone();
            std::future::ready(()).await;
            me.id + n
        }
        fn start(self: Arc<Self>) -> Pin<Box<dyn Future<Output = u8> + Send>> {
            Box::pin(async move { self.clone().serve(1).await })
        }
        fn first(self: Pin<&Self>) -> u8 {
            self.id
        }
        fn pinned(self: Pin<Arc<Self>>) -> u8 {
            self.as_ref().first()
        }
    }
    watched(|| {
        let (one, two) = (Session::new(1), Session::new(2));
        assert!(Arc::ptr_eq(&one.join(&two), &one));
        let mut context = Context::from_waker(Waker::noop());
        let mut futures: Vec<Pin<Box<dyn Future<Output = u8> + Send>>> =
            vec![one.clone().start(), Box::pin(two.clone().serve(5)), Box::pin(async { 9 })];
        let done: Vec<_> =
            futures.iter_mut().map(|future| future.as_mut().poll(&mut context)).collect();
        assert_eq!(done, [2, 7, 9].map(Poll::Ready));
        drop(futures);
        assert_eq!((Arc::strong_count(&one), Arc::weak_count(&two)), (1, 1));
        assert_eq!(Arc::pin(Session { id: 3, peers: Mutex::default() }).pinned(), 3);
    });
}

#[test]
fn a_box_of_a_trait_object_is_shared() {
    watched(|| {
        let boxed: Box<dyn Display> = Box::new(5);
        let shared: Rc<dyn Display> = Rc::from(boxed);
        let again: Rc<dyn Display> = Rc::clone(&shared);
        assert_eq!(
            (shared.to_string() + &again.to_string(), Rc::strong_count(&again)),
            ("55".into(), 2)
        );
        let boxed: Box<dyn Fn(u8) -> u8 + Send + Sync> = Box::new(|n| n + 1);
        let arc: Arc<dyn Fn(u8) -> u8 + Send + Sync> = boxed.into();
        assert_eq!((arc(1), std::thread::spawn(move || arc(2)).join().unwrap()), (2, 3));
        let slice: Arc<[Box<dyn Display>]> =
            vec![Box::new('x') as Box<dyn Display>, Box::new(1)].into();
        assert_eq!(slice.iter().map(|one| one.to_string()).collect::<String>(), "x1");
        let text: Arc<dyn AsRef<str>> = Arc::new(String::from("text"));
        assert_eq!((*text).as_ref().len(), 4);
        let array: Rc<[u8]> = Rc::new([1, 2, 3]);
        let iterator: Box<dyn Iterator<Item = u8> + '_> = if array.len() > 2 {
            Box::new(array.iter().copied())
        } else {
            Box::new(std::iter::empty())
        };
        assert_eq!(iterator.sum::<u8>(), 6);
    });
}

#[test]
fn any_in_a_map_by_type() {
    #[derive(Default)]
    struct Resources(HashMap<TypeId, Rc<dyn Any>>);
    impl Resources {
        fn insert<T: 'static>(&mut self, value: T) -> Option<Rc<T>> {
            self.0.insert(TypeId::of::<T>(), Rc::new(value)).map(|old| old.downcast().unwrap())
        }
        fn get<T: 'static>(&self) -> Option<Rc<T>> {
            self.0.get(&TypeId::of::<T>()).cloned()?.downcast().ok()
        }
        fn borrow<T: 'static>(&self) -> Option<&T> {
            self.0.get(&TypeId::of::<T>())?.downcast_ref()
        }
    }
    watched(|| {
        let mut resources = Resources::default();
        assert!(resources.insert(1_u8).is_none());
        resources.insert(String::from("text"));
        assert_eq!(resources.insert(2_u8).as_deref(), Some(&1));
        assert_eq!((resources.get::<u8>().as_deref(), resources.get::<i8>()), (Some(&2), None));
        assert_eq!(resources.borrow::<String>().unwrap(), "text");
        let erased: Arc<dyn Any + Send + Sync> = Arc::new(7_u16);
        let erased = erased.downcast::<u8>().unwrap_err();
        assert_eq!(*erased.downcast::<u16>().unwrap(), 7);
        let boxed: Vec<Box<dyn Any>> = vec![Box::new(1_u8), Box::new("two")];
        assert!(boxed[0].is::<u8>() && boxed[1].downcast_ref::<&str>() == Some(&"two"));
    });
}

#[test]
fn errors_that_have_sources() {
    #[derive(Debug)]
    struct Outer(Box<dyn Error + Send + Sync>);
    impl Display for Outer {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            write!(f, "outer: {}", self.0)
        }
    }
    impl Error for Outer {
        fn source(&self) -> Option<&(dyn Error + 'static)> {
            Some(&*self.0)
        }
    }
    fn read(text: &str) -> Result<u8, Box<dyn Error>> {
        let number: u8 = text.trim().parse()?;
        if number > 9 {
            return Err(Box::new(Outer("too large".into())));
        }
        Ok(number.checked_add(250).ok_or_else(|| format!("{number} overflows"))?)
    }
    watched(|| {
        assert_eq!(read(" 4 ").unwrap(), 254);
        assert!(read("x").unwrap_err().is::<std::num::ParseIntError>());
        let error = read("12").unwrap_err();
        assert_eq!(error.to_string(), "outer: too large");
        assert_eq!(error.source().map(ToString::to_string).as_deref(), Some("too large"));
        assert_eq!(read("9").unwrap_err().to_string(), "9 overflows");
        let shared: Arc<dyn Error + Send + Sync> =
            Arc::from(Box::<dyn Error + Send + Sync>::from("shared"));
        assert_eq!(format!("{shared} {:?}", shared.clone()), "shared \"shared\"");
    });
}

#[test]
fn trees_of_trait_objects() {
    trait Visitor {
        fn leaf(&mut self, value: i32);
    }
    trait Node {
        fn accept(&self, visitor: &mut dyn Visitor);
        fn boxed_clone(&self) -> Box<dyn Node>;
    }
    impl Clone for Box<dyn Node> {
        fn clone(&self) -> Self {
            self.boxed_clone()
        }
    }
    #[derive(Clone)]
    struct Leaf(i32);
    #[derive(Clone)]
    struct Branch(Vec<Box<dyn Node>>);
    impl Node for Leaf {
        fn accept(&self, visitor: &mut dyn Visitor) {
            visitor.leaf(self.0);
        }
        fn boxed_clone(&self) -> Box<dyn Node> {
            Box::new(self.clone())
        }
    }
    impl Node for Branch {
        fn accept(&self, visitor: &mut dyn Visitor) {
            self.0.iter().for_each(|child| child.accept(visitor));
        }
        fn boxed_clone(&self) -> Box<dyn Node> {
            Box::new(self.clone())
        }
    }
    struct Sum(Rc<Cell<i32>>);
    impl Visitor for Sum {
        fn leaf(&mut self, value: i32) {
            self.0.set(self.0.get() + value);
        }
    }
    watched(|| {
        let tree: Box<dyn Node> =
            Box::new(Branch(vec![Box::new(Leaf(1)), Box::new(Branch(vec![Box::new(Leaf(2))]))]));
        let copy = tree.clone();
        drop(tree);
        let sum = Rc::new(Cell::new(0));
        let mut visitor: Box<dyn Visitor> = Box::new(Sum(sum.clone()));
        copy.accept(&mut *visitor);
        copy.accept(visitor.as_mut());
        assert_eq!(sum.get(), 6);
    });
}

#[test]
fn supertraits_and_lifetimes() {
    trait Named {
        fn name(&self) -> &str;
    }
    trait Animal: Named {
        fn legs(&self) -> u8;
    }
    struct Dog<'a>(&'a str);
    impl Named for Dog<'_> {
        fn name(&self) -> &str {
            self.0
        }
    }
    impl Animal for Dog<'_> {
        fn legs(&self) -> u8 {
            4
        }
    }
    fn pick<'a>(animals: &[Rc<dyn Animal + 'a>]) -> Option<Rc<dyn Named + 'a>> {
        let first = animals.iter().find(|animal| animal.legs() == 4)?;
        Some(first.clone())
    }
    fn shorten<'short>(long: Rc<dyn Named + 'static>, _: &'short str) -> Rc<dyn Named + 'short> {
        long
    }
    watched(|| {
        let text = String::from("rex");
        let animals: [Rc<dyn Animal + '_>; 1] = [Rc::new(Dog(&text))];
        assert_eq!(pick(&animals).unwrap().name(), "rex");
        assert_eq!(shorten(Rc::new(Dog("static")), &text).name(), "static");
    });
}
