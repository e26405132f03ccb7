//! What only the fully drop-in build can: no feature attribute, no macro.

use refscope::Box;
use refscope::rc::Rc;
use refscope::sync::{Arc, Weak};
use std::fmt::Debug;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, Waker};

trait Shape {
    fn sides(&self) -> u8;
}

struct Square;

impl Shape for Square {
    fn sides(&self) -> u8 {
        4
    }
}

impl Square {
    fn by_arc(self: Arc<Self>) -> usize {
        Arc::strong_count(&self)
    }

    fn by_ref(self: &Rc<Self>) -> Rc<Self> {
        self.clone()
    }

    fn by_box(self: Box<Self>) -> u8 {
        self.sides()
    }
}

#[test]
fn coercions() {
    let shapes: Vec<Arc<dyn Shape + Send + Sync>> = vec![Arc::new(Square), Arc::new(Square)];
    assert_eq!(shapes.iter().map(|shape| shape.sides()).sum::<u8>(), 8);
    let slice: Rc<[i32]> = Rc::new([1, 2, 3]);
    let shown: Box<dyn Debug> = Box::new(slice);
    assert_eq!(format!("{shown:?}"), "[1, 2, 3]");
    let strong: Arc<dyn Shape> = Arc::new(Square);
    let weak: Weak<dyn Shape> = Arc::downgrade(&strong);
    assert_eq!(weak.upgrade().unwrap().sides(), 4);
    let weak: Weak<dyn Shape> = Weak::<Square>::new();
    assert!(weak.upgrade().is_none());
}

#[test]
fn receivers() {
    let one = Arc::new(Square);
    assert_eq!(one.clone().by_arc(), 2);
    let two = Rc::new(Square);
    assert!(Rc::ptr_eq(&two.by_ref(), &two));
    assert_eq!(Box::new(Square).by_box(), 4);
}

#[test]
fn boxed_closures_are_called() {
    let once: Box<dyn FnOnce(i32) -> i32> = Box::new(|x| x + 1);
    assert_eq!(once(2), 3);
    let mut sum = 0;
    {
        let mut add: Box<dyn FnMut(i32) + '_> = Box::new(|x| sum += x);
        add(2);
        add(3);
    }
    assert_eq!(sum, 5);
    let double: Box<dyn Fn(i32) -> i32> = Box::new(|x| x * 2);
    assert_eq!([1, 2].map(|x| double(x)), [2, 4]);
    assert_eq!([1, 2].map(double), [2, 4]);
}

/// An async closure in a box is called, and an argument, as its own.
#[cfg(refscope_async_fn)]
#[test]
fn boxed_async_closures_are_called() {
    async fn twice(f: impl AsyncFn(u8) -> u8) -> u8 {
        f(f(1).await).await
    }
    async fn count(mut f: impl AsyncFnMut() -> u8) -> u8 {
        f().await + f().await
    }
    async fn once(f: impl AsyncFnOnce(u8) -> String) -> String {
        f(1).await
    }
    fn finish<F: Future>(future: F) -> F::Output {
        match std::pin::pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(output) => output,
            Poll::Pending => panic!("nothing is waited for"),
        }
    }
    assert_eq!(finish(twice(Box::new(async |n: u8| n + 1))), 3);
    let mut calls = 0;
    let counting = Box::new(async || {
        calls += 1;
        calls
    });
    assert_eq!(finish(count(counting)), 3);
    let text = String::from("n = ");
    assert_eq!(finish(once(Box::new(async move |n: u8| text + &n.to_string()))), "n = 1");
}

#[test]
fn pinned_futures() {
    let mut context = Context::from_waker(Waker::noop());
    let mut futures: Vec<Pin<Box<dyn Future<Output = u8>>>> =
        vec![Box::pin(async { 1 }), Box::pin(async { 2 })];
    let done: Vec<_> =
        futures.iter_mut().map(|future| future.as_mut().poll(&mut context)).collect();
    assert_eq!(done, [Poll::Ready(1), Poll::Ready(2)]);
}

#[test]
fn slices_are_iterated_by_value() {
    let mut slice: Box<[String]> = [String::from("a"), String::from("b")].into();
    for text in &mut slice {
        text.push('!');
    }
    let mut all = Vec::new();
    for text in slice {
        all.push(text);
    }
    assert_eq!(all, ["a!", "b!"]);
}

#[cfg(refscope_fundamental)]
#[test]
fn a_trait_of_another_crate_for_a_box_of_ones_own() {
    trait Mine {}
    impl Mine for u8 {}
    impl PartialEq<u8> for Box<dyn Mine> {
        fn eq(&self, _: &u8) -> bool {
            true
        }
    }
    let mine: Box<dyn Mine> = Box::new(1);
    assert!(mine == 1);
}

#[test]
fn wakers() {
    use refscope::task::Wake;
    use std::sync::atomic::{AtomicU8, Ordering};
    struct Task(AtomicU8);
    impl Wake for Task {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }
    let task = Arc::new(Task(AtomicU8::new(0)));
    let waker: Waker = task.clone().into();
    let other = waker.clone();
    assert_eq!(Arc::strong_count(&task), 3);
    assert!(waker.will_wake(&other));
    other.wake();
    waker.wake_by_ref();
    drop(waker);
    assert_eq!((task.0.load(Ordering::Relaxed), Arc::strong_count(&task)), (2, 1));
}
