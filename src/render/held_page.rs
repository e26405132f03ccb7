use super::{html, ownership_svg, safe_json};
use crate::analysis::Timelines;
use crate::event::ObjectId;
use crate::locate::Ownership;
use serde::Serialize;

/// The section without its data, and where they go.
const SCRIPT: &str = include_str!("held.js");
const MARK: &str = "/*HELD*/null";

/// Objects that a page has pictures of: each takes some two kilobytes.
const PICTURES: usize = 5_000;

/// What the script shows.
#[derive(Serialize)]
struct Held {
    all: usize,
    objects: Vec<ObjectId>,
    pictures: Vec<String>,
}

/// Timelines as a [page](html), with what holds each object: the path from a root, and a cycle as a cycle, as
/// [`ownership_svg`] draws them. Both are to be of the same moment of the same process.
///
/// # Examples
///
/// ```
/// use refscope::{Rc, locate::Search, render, sink::Recorder};
///
/// let recorder = Recorder::new();
/// refscope::install(recorder.clone()).expect("no other sink is installed");
/// let kept = Rc::new("kept");
/// if let Ok(ownership) = Search::new().run() {
///     let page = render::html_with_ownership(&recorder.recording().timelines(), &ownership);
///     assert!(page.contains("Held by"));
/// }
/// # drop(kept);
/// ```
pub fn html_with_ownership(timelines: &Timelines<'_>, ownership: &Ownership) -> String {
    let located = ownership.objects.iter().filter(|object| object.node.is_some());
    let pictures = located.clone().take(PICTURES);
    let pictures =
        pictures.filter_map(|object| Some((object.id, ownership_svg(ownership, object.id)?)));
    let (objects, pictures) = pictures.unzip();
    let data = safe_json::text(&Held { all: located.count(), objects, pictures });
    let script = SCRIPT.replacen(MARK, &data, 1);
    let page = html(timelines);
    let (before, after) = page.rsplit_once("</html>").unwrap_or((&page, ""));
    format!("{before}<script>\n{script}</script>\n</html>{after}")
}
