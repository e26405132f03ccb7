//! What the drop check must reject, with std's `Arc` as with ours.

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
