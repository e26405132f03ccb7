//! What compiles on plain stable, and what the compiler says of what does not.
//!
//! The texts are those of one compiler: with another, the comparison is skipped, and says so.
#![cfg(not(refscope_coerce))]

/// What the documentation names as the remedies, as users write it.
macro_rules! remedies {
    ($($name:ident: $file:literal)*) => {
        $(
            #[allow(warnings, clippy::all)]
            #[path = $file]
            mod $name;
        )*

        #[test]
        fn remedies() {
            $($name::main();)*
        }
    };
}

remedies! {
    coercion_by_hand: "ui/coercion_by_hand.rs"
    move_out_by_unbox: "ui/move_out_by_unbox.rs"
    remedies_by_the_docs: "ui/remedies_by_the_docs.rs"
    rows_by_the_docs: "ui/rows_by_the_docs.rs"
}

/// Every error that the crate's documentation quotes is one that the compiler gives here, and so has a file that fails and
/// a remedy that compiles.
#[test]
fn quoted_errors_are_the_compilers() {
    let texts: Vec<_> = (std::fs::read_dir("tests/ui").unwrap())
        .map(|file| file.unwrap().path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "stderr"))
        .map(|path| std::fs::read_to_string(path).unwrap().replace('`', ""))
        .collect();
    let docs = std::fs::read_to_string("../../src/lib.rs").unwrap();
    let quoted: Vec<_> = (docs.lines())
        .filter_map(|line| line.strip_prefix("//! | E")?.split_once(" | ")?.0.split_once(": "))
        .collect();
    assert!(quoted.len() > 8, "{quoted:?}");
    for (code, quote) in quoted {
        let (code, quote) = (format!("error[E{code}]"), quote.replace('`', ""));
        assert!(
            texts.iter().any(|text| text.contains(&code) && text.contains(&quote)),
            "no file in tests/ui gives {code}: {quote}"
        );
    }
}

#[test]
fn ui() {
    let cases = trybuild::TestCases::new();
    let version = std::process::Command::new("rustc").arg("--version").output().unwrap().stdout;
    if !String::from_utf8_lossy(&version).starts_with("rustc 1.95.") {
        println!("skipped: the compiler's texts are those of Rust 1.95");
        return;
    }
    for case in [
        "async_closure",
        "boxed_slice_by_mut",
        "boxed_slice_by_value",
        "call_once",
        "closure_argument",
        "coerce_of_something_else",
        "coercion",
        "drop_check_arc",
        "drop_check_rc",
        "dyn_trait_with_receiver",
        "foreign_trait_for_a_box",
        "from_and_into_stds_box",
        "impls_for_both",
        "make_mut_of_what_is_not_clone",
        "methods_of_the_pointee",
        "move_out_of_a_box",
        "receiver",
        "sealed",
        "std_error_from_ours",
        "std_pointer_wanted",
        "two_fields",
        "unsize_of_something_else",
    ] {
        cases.compile_fail(format!("tests/ui/{case}.rs"));
    }
}
