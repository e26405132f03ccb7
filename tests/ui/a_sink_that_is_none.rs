//! A closure becomes a sink by `from_fn`: the error says so.

fn main() {
    let _scope = refscope::Scope::new(|_: &refscope::Event| {});
}
