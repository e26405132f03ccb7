use crate::analysis::{Timeline, Timelines};
use std::fmt::Write as _;

/// Returns an object's clone tree as a DOT graph: a node for each handle, an edge from the one that it was made from. Living
/// handles are drawn bold.
///
/// # Examples
///
/// ```
/// use refscope::{Rc, Scope, render, sink::Recorder};
///
/// let recorder = Recorder::new();
/// Scope::new(recorder.clone()).run(|| drop(Rc::new(1).clone()));
/// let recording = recorder.recording();
/// let timelines = recording.timelines();
/// for object in &timelines {
///     println!("{}", render::dot(&timelines, object));
/// }
/// ```
pub fn dot(timelines: &Timelines<'_>, object: &Timeline<'_>) -> String {
    let escape = |text: &str| super::escape(text).replace('\\', "\\\\").replace('"', "\\\"");
    let recording = timelines.recording();
    let info = object.object;
    let name = format!("{} {}<{}>", info.id, info.kind, crate::event::short_type(&info.type_name));
    let mut text = String::from(
        "digraph handles {\n  rankdir=LR;\n  node [shape=box, fontname=\"monospace\"];\n",
    );
    let _ = writeln!(text, "  label=\"{}\";", escape(&name));
    for line in &object.lifelines {
        let location = line.location.map_or_else(String::new, |location| {
            format!("\\n{}", escape(&recording.locations()[location as usize].to_string()))
        });
        let fate = match &line.end {
            None => "alive".to_owned(),
            Some(end) => end.op.to_string(),
        };
        let style = if line.is_alive() { ", style=bold, penwidth=3" } else { "" };
        let dash = if line.strength == crate::Strength::Weak { ", shape=ellipse" } else { "" };
        let _ = writeln!(
            text,
            "  h{n} [label=\"{n} {op}{location}\\n{fate}\"{style}{dash}];",
            n = line.handle.number(),
            op = line.op
        );
        if let Some(from) = line.from
            && from.object() == info.id
        {
            let _ = writeln!(text, "  h{} -> h{};", from.number(), line.handle.number());
        }
    }
    text.push_str("}\n");
    text
}
