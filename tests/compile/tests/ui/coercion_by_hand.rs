use refscope::rc::{Rc, Weak};
use refscope::sync::Arc;
use refscope::sync as shared;
use refscope::{Box, StdPtr, coerce, unsize};
use std::fmt::Debug;
use std::future::Future;
use std::pin::Pin;

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
    fn new() -> Rc<Self> {
        Rc::new(Square)
    }
}

type Shared<T> = Arc<T>;
use refscope::Rc as Counted;

/// Every way to name a pointer's constructor, and pointers that exist already.
fn coerce_takes_any_path_and_any_expression() {
    let _: Rc<dyn Debug> = coerce!(Counted::new(1));
    let _: Rc<dyn Debug> = coerce!(refscope::rc::Rc::new(1));
    let _: Rc<dyn Debug> = coerce!(::refscope::Rc::new(1,));
    let _: Arc<dyn Debug> = coerce!(Shared::new(1));
    let _: Arc<dyn Debug> = coerce!(shared::Arc::new(1));
    let _: Arc<dyn Debug> = coerce!(Arc::<u8>::new(1));
    let double: Shared<dyn Fn(i32) -> i32> = coerce!(Shared::new(|x| x.pow(2)));
    assert_eq!(double(3), 9);
    let _: std::boxed::Box<dyn Debug> = coerce!(std::boxed::Box::new(1));
    let _: Pin<Rc<dyn Debug>> = coerce!(Counted::pin(1));
    let number = Arc::new(1);
    let _: Arc<dyn Debug> = coerce!(number.clone());
    let _: Arc<dyn Debug> = coerce!(Arc::clone(&number));
    let _: shared::Weak<dyn Debug> = coerce!(Arc::downgrade(&number));
    let number: Arc<dyn Debug + Send + Sync> = coerce!(number);
    assert_eq!(format!("{number:?}"), "1");
    let square: Rc<dyn Shape> = coerce!((Square::new()));
    assert_eq!(square.sides(), 4);
    let pinned = Box::pin(async { 1 });
    let _: Pin<Box<dyn Future<Output = u8>>> = coerce!(pinned);
    let _ = unsize!(Box::pin(async { 1 }) => dyn Future<Output = u8>);
    let _: Option<Rc<[u8]>> = Some(coerce!(Rc::new([1, 2])));
    let _: Rc<dyn Debug> = coerce!(if number.as_std().type_id() == number.as_std().type_id() { Rc::new(1) } else { Rc::new(2) });
}

use std::any::Any;

pub(super) fn main() {
    coerce_takes_any_path_and_any_expression();
    let rc: Rc<dyn Debug> = unsize!(Rc::new(1) => dyn Debug);
    let made: Rc<dyn Debug> = coerce!(Rc::new(1));
    let adopted: Rc<dyn Debug> = Rc::from_std(std::rc::Rc::new(1) as std::rc::Rc<dyn Debug>);
    assert_eq!(format!("{rc:?}{made:?}{adopted:?}"), "111");
    let shapes: Vec<Arc<dyn Shape + Send + Sync>> = vec![coerce!(Arc::new(Square)), unsize!(Arc::new(Square) => dyn Shape + Send + Sync)];
    assert_eq!(shapes.iter().map(|shape| shape.sides()).sum::<u8>(), 8);
    let strong = Rc::new(Square);
    let weak: Weak<dyn Shape> = unsize!(Rc::downgrade(&strong) => dyn Shape);
    assert_eq!(weak.upgrade().unwrap().sides(), 4);
    let double: Box<dyn Fn(i32) -> i32> = coerce!(Box::new(|x| x * 2));
    assert_eq!((*double)(4), 8);
    let once: Box<dyn FnOnce(i32) -> i32> = coerce!(Box::new(|x| x + 1));
    assert_eq!(once.into_std()(4), 5);
    let _future: Pin<Box<dyn Future<Output = u8>>> = coerce!(Box::pin(async { 1 }));
    let slice: Rc<[i32]> = unsize!(Rc::new([1, 2]) => [i32]);
    assert_eq!(slice.len(), 2);
    let local = 5;
    let borrowed: Box<dyn Fn() -> i32 + '_> = coerce!(Box::new(|| local));
    assert_eq!((*borrowed)(), 5);
}
