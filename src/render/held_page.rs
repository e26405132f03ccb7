use super::json::Json;
use super::{html, ownership_svg};
use crate::analysis::Timelines;
use crate::locate::Ownership;

/// The section without its data, and where they go.
const SCRIPT: &str = include_str!("held.js");
const MARK: &str = "/*HELD*/null";

/// Objects that a page has pictures of: each takes some two kilobytes.
const PICTURES: usize = 5_000;

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
    let (ids, pictures): (Vec<_>, Vec<_>) =
        pictures.map(|(id, svg)| (id.to_string(), Json(&svg).to_string())).unzip();
    let data = format!(
        r#"{{"all":{},"objects":[{}],"pictures":[{}]}}"#,
        located.count(),
        ids.join(","),
        pictures.join(",")
    );
    // A text may hold what would end the script. Outside of strings JSON has no `<`.
    let script = SCRIPT.replacen(MARK, &data.replace('<', "\\u003c"), 1);
    let page = html(timelines);
    let (before, after) = page.rsplit_once("</html>").unwrap_or((&page, ""));
    format!("{before}<script>\n{script}</script>\n</html>{after}")
}
