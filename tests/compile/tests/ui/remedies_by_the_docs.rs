//! The twins of the files that do not compile: what the documentation names as the remedy.

use refscope::rc::Rc;
use refscope::sync::Arc;
use refscope::{Box, StdPtr, coerce, unbox};
use std::error::Error;

fn ours() -> Result<(), Box<dyn Error>> {
    Err("ours".into())
}

/// `std_error_from_ours.rs`
fn theirs() -> Result<(), std::boxed::Box<dyn Error>> {
    ours().map_err(StdPtr::into_std)?;
    Ok(())
}

/// `std_pointer_wanted.rs`
fn length(text: std::sync::Arc<str>) -> usize {
    text.len()
}

/// `dyn_trait_with_receiver.rs`
trait Job {
    fn work(&self) -> u8;

    fn run(this: Box<Self>) -> u8
    where
        Self: Sized,
    {
        this.work()
    }
}

impl Job for u8 {
    fn work(&self) -> u8 {
        *self
    }
}

struct Task;

impl Task {
    /// `receiver.rs`
    fn run(this: Rc<Self>) -> usize {
        Rc::strong_count(&this)
    }
}

pub(super) fn main() {
    assert_eq!(theirs().unwrap_err().to_string(), "ours");
    let text: Arc<str> = Arc::from("text");
    assert_eq!(length(text.as_std().clone()) + length(text.into_std()), 8);

    let job: Box<dyn Job> = coerce!(Box::new(7_u8));
    assert_eq!(job.work() + Job::run(Box::new(8_u8)), 15);
    assert_eq!(Task::run(Rc::new(Task)), 1);

    // `move_out_of_a_box.rs`
    let text: String = unbox(Box::new(String::from("moved")));
    assert_eq!(text, "moved");

    // `two_fields.rs`
    let mut pair = Box::new((1, 2));
    let both = &mut *pair;
    let left = &mut both.0;
    let right = &mut both.1;
    std::mem::swap(left, right);
    assert_eq!(*pair, (2, 1));

    // `boxed_slice_by_value.rs`
    let slice: Box<[u8]> = [1, 2].into();
    let mut sum = 0;
    for byte in slice.into_vec() {
        sum += byte;
    }
    assert_eq!(sum, 3);

    // `call_once.rs`, `closure_argument.rs`. A `Fn` or `FnMut` is called as it is.
    let once: Box<dyn FnOnce(i32) -> i32> = coerce!(Box::new(|x| x + 1));
    assert_eq!(once.into_std()(2), 3);
    let double: Box<dyn Fn(i32) -> i32> = coerce!(Box::new(|x| x * 2));
    assert_eq!(double(2), 4);
    assert_eq!([1, 2].map(&*double), [2, 4]);
    assert_eq!([1, 2].map(double.into_std()), [2, 4]);
}
