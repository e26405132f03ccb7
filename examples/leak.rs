//! `cargo run --example leak [FILE]`: the document tree with the classic mistake, strong parents.
//!
//! A child that holds its parent by an `Rc` keeps it alive, and the parent keeps the child: the tree is
//! dropped, and stays. Which objects stayed, who holds each, and the line that made the holder.

mod document;

use document::{Node, Parent};
use refscope::rc::Rc;
use refscope::render::Terminal;
use refscope::sink::{Clock, Recorder};

fn main() {
    if !refscope::ENABLED {
        println!("Tracing is off: refscope is built without its feature `trace`.");
    }
    let recorder = Recorder::builder().budget(64 << 20).clock(Clock::Precise).build();
    refscope::install(recorder.clone()).expect("no other sink is installed");

    let (name, text) = document::input();
    let root: Rc<Node> = document::parse(&name, &text, |parent| Parent::Strong(parent.clone()));
    let words = document::count_words(&text, 3);
    println!("{name}: {}\n", document::summary(&root, &words));
    drop((root, words));

    let recording = recorder.recording();
    let mut timelines = recording.timelines();
    timelines.retain(|timeline| timeline.is_alive());
    println!("{} objects stayed alive.\n", timelines.len());
    Terminal::stdout().limit(4).print(&timelines);
}
