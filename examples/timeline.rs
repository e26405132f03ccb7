//! `cargo run --example timeline [FILE]`: the refcount timelines of a real program.
//!
//! The program (in `document/`) reads a file, by default this repository's README.md, into a tree of `Rc`
//! children and `Weak` parents, and counts its words into an `Arc` that worker threads share. refscope's types
//! are swapped in by their `use` lines; here a recorder is put in place, and its timelines are printed.

mod document;

use document::Parent;
use refscope::rc::Rc;
use refscope::sink::{Clock, Recorder};

fn main() {
    if !refscope::ENABLED {
        println!("Tracing is off: refscope is built without its feature `trace`.");
    }
    let recorder = Recorder::builder().budget(64 << 20).clock(Clock::Precise).build();
    refscope::install(recorder.clone()).expect("no other sink is installed");

    let (name, text) = document::input();
    let root = document::parse(&name, &text, |parent| Parent::Weak(Rc::downgrade(parent)));
    let words = document::count_words(&text, 3);
    println!("{name}: {}\n", document::summary(&root, &words));
    drop(root);

    // The tree is gone. The cache is not yet: who holds it?
    println!("{}\n", refscope::holders(&words));
    recorder.recording().timelines().print();
}
