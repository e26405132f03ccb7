use refscope::rc::{Rc, Weak};
use refscope::sync::Arc;
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

fn main() {
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
