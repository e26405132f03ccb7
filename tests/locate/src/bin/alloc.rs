//! The cases, on `refscope::Alloc`.

#[global_allocator]
static ALLOC: refscope::Alloc = refscope::Alloc::new();

fn main() {
    refscope_locate::run();
}
