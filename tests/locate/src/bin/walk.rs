//! The cases, on the system's allocator.

fn main() {
    refscope_locate::run();
}
