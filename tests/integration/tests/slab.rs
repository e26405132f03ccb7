//! The fields of a program that is named as a crate whose own fields say nothing: its are named all the same.
#![cfg(all(
    feature = "trace",
    target_os = "linux",
    any(target_arch = "x86_64", target_arch = "aarch64")
))]

use refscope::Rc;
use refscope::locate::Search;
use std::time::Duration;

struct Slab {
    _before: [u64; 3],
    entry: Rc<u64>,
}

#[test]
fn its_fields_are_named() {
    let _ = refscope::track();
    let slab = Rc::new(Slab { _before: [1; 3], entry: Rc::new(7) });
    let object = refscope::holders(&slab.entry).object().expect("it is traced").id();
    let ownership = Search::new().budget(Duration::from_secs(30)).run().expect("this is Linux");
    let text = ownership.path_to(object).expect("it is alive").to_string();
    assert!(text.contains(".entry → Rc<u64>"), "{text}");
    drop(slab);
}
