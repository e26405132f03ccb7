//! `cargo run --features html --example html [FILE]`: the document tree with strong parents, as a page for a browser.

#[path = "document/mod.rs"]
mod document;

use document::Parent;
use refscope::sink::{Clock, Recorder};

fn main() -> std::io::Result<()> {
    if !refscope::ENABLED {
        println!("Tracing is off: refscope is built without its feature `trace`.");
    }
    let recorder = Recorder::builder().budget(256 << 20).clock(Clock::Precise).build();
    refscope::install(recorder.clone()).expect("no other sink is installed");
    let (name, text) = document::input();
    let root = document::parse(&name, &text, |parent| Parent::Strong(parent.clone()));
    let words = document::count_words(&text, 3);
    println!("{name}: {}", document::summary(&root, &words));
    drop((root, words));
    let page = refscope::render::html(&recorder.recording().timelines());
    let path = std::env::temp_dir().join("refscope.html");
    std::fs::write(&path, page)?;
    println!("The page is {}", path.display());
    Ok(())
}
