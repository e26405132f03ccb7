//! `refscope graph`: who holds what, by a graph that a program wrote.

use crate::Failed;
use crate::arguments::GraphFormat;
use refscope::locate::{Held, Ownership};
use refscope::{ObjectId, render};
use serde_json::json;
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::Read as _;
use std::path::Path;

/// Cycles and roots that are shown.
const SHOWN: usize = 20;

pub(crate) fn read(path: &Path) -> Result<Ownership, Failed> {
    let mut text = String::new();
    let read = crate::input::open(path)?.read_to_string(&mut text);
    read.map_err(|error| format!("{}: {error}", path.display()))?;
    Ownership::from_json(&text).map_err(|error| {
        let hint = "; `Ownership::to_json` writes one, in the program";
        format!("{}: {error}{hint}", path.display()).into()
    })
}

/// The graph, or its part for one object, in a format.
pub(crate) fn write(
    path: &Path,
    object: Option<ObjectId>,
    format: GraphFormat,
) -> Result<String, Failed> {
    let whole = read(path)?;
    if let Some(object) = object
        && whole.object(object).is_none()
    {
        return Err(format!("{}: no object {object} was alive", path.display()).into());
    }
    let part = object.map(|object| whole.of([object]));
    let graph = part.as_ref().unwrap_or(&whole);
    Ok(match (format, object) {
        (GraphFormat::Text, None) => summary(graph),
        (GraphFormat::Text, Some(object)) => of_object(graph, object),
        (GraphFormat::Dot, _) => render::ownership_dot(graph),
        (GraphFormat::Json, _) => {
            format!("{}\n", json!({ "refscope_graph": 1, "graph": graph }))
        }
        (GraphFormat::Svg, Some(object)) => {
            let svg = render::ownership_svg(graph, object);
            svg.ok_or_else(|| format!("object {object} has no storage: nothing leads to it"))?
        }
        (GraphFormat::Svg, None) => {
            return Err("a picture is of one object: --object NUMBER".into());
        }
    })
}

/// Counted, with an `s` where there are others than one.
fn count(number: usize, what: &str) -> String {
    format!("{number} {what}{}", if number == 1 { "" } else { "s" })
}

fn summary(graph: &Ownership) -> String {
    let mut text = format!(
        "{} and {} were alive; {}\n",
        count(graph.objects.len(), "object"),
        count(graph.handles.len(), "handle"),
        count(graph.cycles.len(), "cycle"),
    );
    for doubt in &graph.doubts {
        let _ = writeln!(
            text,
            "nothing is proven: {}",
            refscope::__private::escape(&doubt.to_string())
        );
    }
    for cycle in graph.cycles.iter().take(SHOWN) {
        let _ = write!(text, "\n{}\n", graph.cycle_text(cycle));
    }
    left_out(&mut text, graph.cycles.len(), "cycles");
    // By what holds the paths: how many objects, which of them keeps most of the others, their bytes.
    let mut roots: BTreeMap<String, (usize, u64, Option<ObjectId>, u64)> = BTreeMap::new();
    for object in &graph.objects {
        let Some((held, _)) = graph.path(object.id) else { continue };
        let name = match held {
            Held::Root(owner) => owner.to_string(),
            Held::Cycle(_) => "a cycle".to_owned(),
            Held::Unreferenced => "a heap block that nothing was found to point to".to_owned(),
            _ => "weak handles alone".to_owned(),
        };
        let root = roots.entry(name).or_default();
        root.0 += 1;
        root.1 += object.size;
        if object.retained_objects > root.3 {
            (root.2, root.3) = (Some(object.id), object.retained_objects);
        }
    }
    let mut roots: Vec<_> = roots.into_iter().collect();
    roots.sort_by_key(|(_, (objects, ..))| std::cmp::Reverse(*objects));
    if !roots.is_empty() {
        text.push_str("\n   objects       bytes  held by\n");
    }
    for (name, (objects, bytes, top, retained)) in roots.iter().take(SHOWN) {
        let _ = write!(text, "{objects:>10}  {bytes:>10}  {name}");
        match top {
            Some(top) if *retained > 1 => {
                let _ = writeln!(text, "; {top} keeps {retained} of them");
            }
            Some(top) => {
                let _ = writeln!(text, "; {top}, for one");
            }
            None => text.push('\n'),
        }
    }
    left_out(&mut text, roots.len(), "roots");
    text.push_str("\n--object NUMBER shows the path to one; bytes are the values' own\n");
    text
}

fn left_out(text: &mut String, all: usize, what: &str) {
    if all > SHOWN {
        let _ = writeln!(text, "… {} more {what}", all - SHOWN);
    }
}

fn of_object(graph: &Ownership, id: ObjectId) -> String {
    let mut text = String::new();
    match graph.path_to(id) {
        Some(path) => {
            let _ = writeln!(text, "{path}");
        }
        None => {
            let _ = writeln!(text, "object {id} has no storage: nothing leads to it");
        }
    }
    let is_printed = matches!(graph.path(id), Some((Held::Cycle(_), _)));
    if let Some(cycle) = graph.cycle_of(id).filter(|_| !is_printed) {
        let _ = write!(text, "\n{}\n", graph.cycle_text(cycle));
    }
    if let Some(object) = graph.object(id) {
        let objects = count(object.retained_objects as usize, "object");
        let _ =
            write!(text, "\nkeeps {objects} alive, itself included; {} B\n", object.retained_bytes);
    }
    text.push_str("handles:\n");
    for handle in graph.handles_of(id) {
        let strength = if handle.is_strong { "strong" } else { "weak" };
        let _ = write!(text, "  {} {strength}, in {}", handle.id, handle.owner);
        match handle.copies {
            0 | 1 => text.push('\n'),
            copies => {
                let _ = writeln!(text, "; {copies} words could be it");
            }
        }
    }
    text
}
