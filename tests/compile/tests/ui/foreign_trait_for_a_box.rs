//! Another crate's trait for a box of one's own trait: only std's box is "one's own" where its value is. A type of one's own
//! around it is the way: see `rows_by_the_docs.rs`.

trait Mine {}

impl PartialEq<u8> for refscope::Box<dyn Mine> {
    fn eq(&self, _: &u8) -> bool {
        true
    }
}

fn main() {}
