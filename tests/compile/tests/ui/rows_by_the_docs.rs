//! The twins of the files that do not compile: the rest of the documentation's tables, a row each.

use refscope::{Box, StdPtr, coerce};
use std::fmt::Debug;
use std::pin::pin;
use std::task::{Context, Poll, Waker};

trait Mine {
    fn number(&self) -> u8;
}

impl Mine for u8 {
    fn number(&self) -> u8 {
        *self
    }
}

/// `foreign_trait_for_a_box.rs`
struct Own(Box<dyn Mine>);

impl PartialEq<u8> for Own {
    fn eq(&self, other: &u8) -> bool {
        self.0.number() == *other
    }
}

async fn twice(f: impl AsyncFn(u8) -> u8) -> u8 {
    f(f(1).await).await
}

fn finish<F: Future>(future: F) -> F::Output {
    match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(output) => output,
        Poll::Pending => panic!("nothing is waited for"),
    }
}

pub(super) fn main() {
    assert!(Own(coerce!(Box::new(7_u8))) == 7);

    // `boxed_slice_by_mut.rs`
    let mut slice: Box<[u8]> = [1, 2].into();
    for byte in slice.iter_mut() {
        *byte += 1;
    }
    for byte in &slice {
        assert!(*byte > 1);
    }

    // `methods_of_the_pointee.rs`
    assert_eq!(slice.into_vec(), [2, 3]);
    assert_eq!(Box::<str>::from("text").into_string(), "text");

    // `from_and_into_stds_box.rs`
    let theirs: std::boxed::Box<dyn Debug> = std::boxed::Box::new(1);
    let ours: Box<dyn Debug> = StdPtr::from_std(theirs);
    let theirs: std::boxed::Box<dyn Debug> = ours.into_std();
    assert_eq!(format!("{theirs:?}"), "1");
    let theirs: std::boxed::Box<[u8]> = Box::<[u8]>::from([1, 2]).into();
    let ours: Box<[u8]> = theirs.into();
    assert_eq!(*ours, [1, 2]);

    // `async_closure.rs`
    let f = Box::new(async |n: u8| n + 1);
    assert_eq!(finish(twice(&*f)), 3);
    assert_eq!(finish(twice(f.into_std())), 3);
}
