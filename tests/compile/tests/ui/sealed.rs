//! What unsafe code relies on cannot be implemented, or called with something else, by a crate that has no unsafe code.
#![forbid(unsafe_code)]

struct Mine;

impl refscope::Traced for Mine {}

impl refscope::MakeMut for Mine {}

fn main() {
    let shared = std::rc::Rc::new(1);
    // It could be moved later: `shared` and its clones are not pinned.
    let _pinned = refscope::__private::pin_rc(shared);
}
