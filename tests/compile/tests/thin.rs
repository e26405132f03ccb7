//! What compiles where a handle is one word, and does not elsewhere: the twins of programs in `tests/ui` that must fail on
//! plain stable. And what must not compile here either.
#![cfg(refscope_thin)]

#[test]
fn thin() {
    let cases = trybuild::TestCases::new();
    // The very program that plain stable refuses.
    cases.pass("tests/ui/dyn_trait_with_receiver.rs");
    for case in ["assertions_of_sizes", "event_loop", "niches", "owning_dyn_receivers", "variance"]
    {
        cases.pass(format!("tests/thin/{case}.rs"));
    }
    let version = std::process::Command::new("rustc").arg("--version").output().unwrap().stdout;
    if !String::from_utf8_lossy(&version).starts_with("rustc 1.95.") {
        println!("skipped: the compiler's texts are those of Rust 1.95");
        return;
    }
    for case in
        ["drop_check_arc", "drop_check_box", "drop_check_rc", "lent_for_too_long", "not_send"]
    {
        cases.compile_fail(format!("tests/thin/{case}.rs"));
    }
}
