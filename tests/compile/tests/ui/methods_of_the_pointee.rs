//! std's functions that take `self: Box<Self>` are called as methods: see `rows_by_the_docs.rs`.

fn main() {
    let text: refscope::Box<str> = "text".into();
    let _ = str::into_string(text);
    let slice: refscope::Box<[u8]> = [1, 2].into();
    let _ = <[u8]>::into_vec(slice);
}
