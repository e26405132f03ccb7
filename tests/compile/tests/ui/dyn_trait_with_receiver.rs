//! A trait with a method on `self: Rc<Self>` has no trait objects, with whatever build. `where Self: Sized` on that method
//! gives them back: see `remedies_by_the_docs.rs`.

use refscope::Box;

trait Job {
    fn run(self: Box<Self>);
}

fn start(_: Box<dyn Job>) {}

fn main() {}
