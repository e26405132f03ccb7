//! `make_mut` says what it needs.

use refscope::Rc;

struct Own;

fn main() {
    Rc::make_mut(&mut Rc::new(Own));
}
