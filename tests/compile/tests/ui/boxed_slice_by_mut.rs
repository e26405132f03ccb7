//! `iter_mut` is the way: see `rows_by_the_docs.rs`.

fn main() {
    let mut slice: refscope::Box<[u8]> = [1, 2].into();
    for byte in &mut slice {
        *byte += 1;
    }
}
