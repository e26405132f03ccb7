//! What the drop check must reject, with std's `Box` as with ours.

use refscope::boxed::Box;

struct Inspector<'a>(&'a String);

impl Drop for Inspector<'_> {
    fn drop(&mut self) {
        println!("{}", self.0);
    }
}

fn main() {
    let pointer;
    let referent = String::from("gone first");
    pointer = Box::new(Inspector(&referent));
    let _ = &pointer;
}
