//! What is borrowed from std's pointer lives no longer than the handle.

use refscope::{Rc, StdPtr};

fn main() {
    let lent;
    {
        let rc: Rc<str> = "text".into();
        lent = rc.as_std();
    }
    println!("{lent}");
}
