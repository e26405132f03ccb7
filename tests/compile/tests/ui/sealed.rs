//! What unsafe code relies on cannot be implemented, or called with something else, by a crate that has no unsafe code.
#![forbid(unsafe_code)]

struct Mine;

impl refscope::Inspect for Mine {}

impl refscope::MakeMut for Mine {}

fn main() {
    // `wrap_pin` relies on it that what it pins again is what was pinned.
    impl refscope::__private::Wrap for Mine {
        type Std = ();

        fn wrap(_: ()) -> Self {
            Mine
        }
    }
}
