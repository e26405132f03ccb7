//! With tracing off the types are std's, so impls for both collide. One behind `cfg` is the way.

/// refscope without its feature `trace`.
mod refscope {
    pub use std::rc;
}

trait Mine {}
impl<T> Mine for refscope::rc::Rc<T> {}
impl<T> Mine for std::rc::Rc<T> {}

fn main() {}
