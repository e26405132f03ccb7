//! `cargo run --example record -- FILE`: records the document tree with strong parents, for the command to read:
//! `cargo run -p refscope-cli -- leaks FILE`.

#[path = "document/mod.rs"]
mod document;

use document::Parent;
use refscope::sink::FileSink;

fn main() -> std::io::Result<()> {
    if !refscope::ENABLED {
        println!("Tracing is off: refscope is built without its feature `trace`.");
    }
    let path = std::env::args().nth(1).unwrap_or_else(|| "run.jsonl".to_owned());
    let file = FileSink::create(&path)?;
    refscope::install(file.clone()).expect("no other sink is installed");
    let text = include_str!("../README.md");
    let root = document::parse("README.md", text, |parent| Parent::Strong(parent.clone()));
    let words = document::count_words(text, 3);
    println!("{}", document::summary(&root, &words));
    drop((root, words));
    file.flush()?;
    println!("The recording is {path}");
    Ok(())
}
