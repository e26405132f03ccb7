use super::json::Json;
use crate::analysis::{LeakReport, Timelines};
use std::fmt::Write as _;

/// The page without its data.
const PAGE: &str = include_str!("page.html");
/// Where the data goes.
const MARK: &str = "/*DATA*/null";

/// Timelines as a page: one file that opens from disk and asks no network for anything.
///
/// It shows the live objects over time by type, the leaks, and for each object its counts and the lifeline of every
/// handle, with an arrow from the one that it was cloned from. Lines of source are in it where the files can be read
/// from here. What it shows is in its address (`#o=7`, `#q=Session`, `#z=10-40`), so that a view can be sent to someone.
///
/// # Examples
///
/// ```
/// use refscope::{Rc, Scope, render, sink::Recorder};
///
/// let recorder = Recorder::new();
/// Scope::new(recorder.clone()).run(|| drop(Rc::new(1).clone()));
/// let page = render::html(&recorder.recording().timelines());
/// assert!(page.starts_with("<!doctype html>"));
/// ```
pub fn html(timelines: &Timelines<'_>) -> String {
    html_with_sources(timelines, None)
}

/// The same, with source lines from below `root`.
#[doc(hidden)]
pub fn html_with_sources(timelines: &Timelines<'_>, root: Option<&std::path::Path>) -> String {
    let sources = super::source::Sources::new(root);
    let recording = timelines.recording();
    let mut data = String::from("{");
    let list = |items: &mut dyn Iterator<Item = String>| items.collect::<Vec<_>>().join(",");
    let _ = write!(data, "\"end\":{},\"lost\":{},", recording.end().as_nanos(), recording.lost());
    let mut threads = recording.threads().iter().map(|name| Json(name).to_string());
    let _ = write!(data, "\"threads\":[{}],", list(&mut threads));
    let mut places = recording.locations().iter().map(|place| {
        let source = sources.line(place).map_or_else(String::new, |line| line.trim().to_owned());
        format!("[{},{},{}]", Json(&place.to_string()), Json(&source), place.line)
    });
    let _ = write!(data, "\"places\":[{}],", list(&mut places));
    let mut ops = crate::Op::ALL.iter().map(|op| Json(op.name()).to_string());
    let _ = write!(data, "\"ops\":[{}],", list(&mut ops));
    // Types once: most recordings have few.
    let mut types: Vec<String> = Vec::new();
    let mut numbers = std::collections::HashMap::new();
    let mut objects = String::new();
    for (i, object) in timelines.iter().enumerate() {
        let info = object.object;
        let name = format!("{}<{}>", info.kind, crate::event::short_type(&info.type_name));
        let ty = *numbers.entry(name).or_insert_with_key(|name| {
            types.push(name.clone());
            types.len() - 1
        });
        let label = info.label.as_ref().map_or_else(|| "null".to_owned(), |l| Json(l).to_string());
        let mut points = object
            .points
            .iter()
            .map(|p| format!("{},{},{},{}", p.seq, p.strong, p.weak, p.time.as_nanos()));
        let points = list(&mut points);
        let mut lines = object.lifelines.iter().map(|line| {
            let from = line.from.map_or((0, 0), |from| (from.object().number(), from.number()));
            let end = line.end.as_ref().map_or_else(
                || "-1,0,0,0".to_owned(),
                |end| {
                    format!("{},{},{},{}", end.seq, end.op as u8, end.thread, end.time.as_nanos())
                },
            );
            format!(
                "[{},{},{},{},{},{},{},{},{end}]",
                line.handle.number(),
                u8::from(line.strength == crate::Strength::Weak),
                line.op as u8,
                from.0,
                from.1,
                line.location.map_or(-1, i64::from),
                line.thread,
                line.created.as_nanos(),
            )
        });
        let lines = list(&mut lines);
        let _ = write!(
            objects,
            "{}[{},{ty},{},{},{label},[{points}],[{lines}]]",
            if i > 0 { ",\n" } else { "" },
            info.id.number(),
            info.size,
            info.location
        );
    }
    let mut types = types.iter().map(|name| Json(name).to_string());
    let _ =
        write!(data, "\"types\":[{}],\"leaks\":{},\"objects\":[{objects}]}}", list(&mut types), {
            LeakReport::of_recording(recording).json()
        });
    // A text may hold what would end the script, or open a comment in it: `</script>`, `<!--<script>`. Outside of
    // strings JSON has no `<`.
    PAGE.replacen(MARK, &data.replace('<', "\\u003c"), 1)
}
