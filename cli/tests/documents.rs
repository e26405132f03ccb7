//! The command as documents: each command in them is run, and what it prints is compared.

#[test]
fn documents() {
    let cases = trycmd::TestCases::new();
    cases.env("LC_ALL", "C.UTF-8").case("tests/cmd/*.md");
}
