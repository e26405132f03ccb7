//! What the drop check must reject, with std's `Arc` as with ours: a destructor that may look at its referent after
//! that is gone. (`tests/drop_in/drop_check.rs` has the twins that compile.)

use refscope::sync::Arc;

struct Inspector<'a>(&'a String);

impl Drop for Inspector<'_> {
    fn drop(&mut self) {
        println!("{}", self.0);
    }
}

fn main() {
    let pointer;
    let referent = String::from("gone first");
    pointer = Arc::new(Inspector(&referent));
    let _ = &pointer;
}
