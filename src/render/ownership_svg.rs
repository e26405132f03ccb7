use crate::event::ObjectId;
use crate::locate::{Grade, Held, NodeKind, Ownership, Step, offset_text};
use crate::text::width;
use std::fmt::Write as _;

/// Boxes that are drawn at the beginning and at the end of a long path, and of a long cycle.
const SHOWN: usize = 6;

/// In pixels: a letter of the font, a box, the gap between two, the margin.
const LETTER: usize = 8;
const BOX: usize = 26;
const GAP: usize = 28;
const MARGIN: usize = 12;
/// Where boxes begin, to the right of what leads back.
const LEFT: usize = 44;

/// Returns the path from a root to an object as a picture: an SVG, from the root down. Where the path begins with a cycle, that is
/// drawn as one, red, with the arrow that closes it. `None` if the object is not alive, or has no storage.
///
/// The lines have the colour of the text around it (`currentColor`).
///
/// # Examples
///
/// ```
/// use refscope::{Rc, locate::Search, render};
///
/// refscope::track().expect("no sink is installed");
/// let kept = Rc::new("kept");
/// if let Ok(ownership) = Search::new().run() {
///     let svg = render::ownership_svg(&ownership, ownership.objects[0].id).expect("it is alive");
///     assert!(svg.starts_with("<svg"));
/// }
/// # drop(kept);
/// ```
pub fn ownership_svg(ownership: &Ownership, id: ObjectId) -> Option<String> {
    let (held, path) = ownership.path(id)?;
    let mut rows = Vec::new();
    let mut caption = None;
    let mut back = None;
    match held {
        Held::Cycle(cycle) => {
            let cycle = ownership.cycles.get(*cycle as usize)?;
            let grade = match &cycle.grade {
                Grade::Proven => "PROVEN".to_owned(),
                Grade::Likely(reasons) => format!("LIKELY: {}", crate::locate::sentences(reasons)),
            };
            caption = Some(format!("cycle ({grade})"));
            // The path goes on from the last of it.
            let entry = cycle.round.iter().position(|step| Some(&step.from) == path.first());
            let first = entry.map_or(0, |entry| entry + 1);
            let round = || cycle.round.iter().cycle().skip(first).take(cycle.round.len());
            let mut label = None;
            for step in round() {
                rows.push(Row::of(ownership, step.from, label.replace(text_of(step)), true));
            }
            back = label;
        }
        Held::Root(owner) => rows.push(Row::root(owner.to_string())),
        Held::Unreferenced => rows.push(Row::root("nothing that was found".to_owned())),
        Held::Dropped | Held::By(_) => rows.push(Row::root("weak handles alone".to_owned())),
    }
    let in_cycle = rows.iter().filter(|row| row.in_cycle).count();
    fold(&mut rows);
    let folded = rows.len();
    let mut after: Vec<Row> = Vec::new();
    for &node in &path {
        let label = match &ownership.nodes[node as usize].held {
            Held::By(step) => Some(text_of(step)),
            _ => None,
        };
        // It stands in the cycle already.
        if in_cycle == 0 || label.is_some() {
            after.push(Row::of(ownership, node, label, false));
        }
    }
    fold(&mut after);
    rows.extend(after);
    rows.last_mut()?.is_asked = true;
    Some(draw(&rows, caption.as_deref(), back.map(|label| (label, folded))))
}

fn text_of(step: &Step) -> String {
    offset_text(step.offset, step.field.as_deref())
}

/// A box, and what stands at the arrow to it.
struct Row {
    text: String,
    label: Option<String>,
    shape: Shape,
    in_cycle: bool,
    is_asked: bool,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Shape {
    Root,
    Object,
    Block,
    More,
}

impl Row {
    fn root(text: String) -> Self {
        Self { text, label: None, shape: Shape::Root, in_cycle: false, is_asked: false }
    }

    fn of(ownership: &Ownership, node: u32, label: Option<String>, in_cycle: bool) -> Self {
        let node = &ownership.nodes[node as usize];
        let shape = match node.kind {
            NodeKind::Object(_) => Shape::Object,
            NodeKind::Block(_) => Shape::Block,
        };
        Self { text: ownership.node_text(node), label, shape, in_cycle, is_asked: false }
    }
}

/// Leaves the middle of a long list out.
fn fold(rows: &mut Vec<Row>) {
    if rows.len() > 2 * SHOWN + 1 {
        let more = crate::text::count((rows.len() - 2 * SHOWN) as u64);
        let in_cycle = rows[SHOWN].in_cycle;
        let text = format!("… {more} more …");
        let row = Row { text, label: None, shape: Shape::More, in_cycle, is_asked: false };
        rows.splice(SHOWN..rows.len() - SHOWN, [row]);
    }
}

fn xml(text: &str) -> String {
    let text = super::escape(text);
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

/// Draws the boxes. `back`: what stands at the arrow from the last of so many boxes to the first.
fn draw(rows: &[Row], caption: Option<&str>, back: Option<(String, usize)>) -> String {
    let top = MARGIN + if caption.is_some() { BOX } else { 0 };
    let y = |row: usize| top + row * (BOX + GAP);
    let text_width = |text: &str| LETTER * width(text);
    let boxes = rows.iter().map(|row| LEFT + text_width(&row.text) + 3 * MARGIN);
    let labels = rows.iter().flat_map(|row| &row.label);
    let labels = labels.map(|label| LEFT + 3 * MARGIN + text_width(label));
    let caption_width = caption.map(|caption| MARGIN + text_width(caption));
    let wide = boxes.chain(labels).chain(caption_width).max().unwrap_or(0) + MARGIN;
    let high = y(rows.len()) - GAP + MARGIN;
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {wide} {high}\" width=\"{wide}\" height=\"{high}\" \
         role=\"img\" font-family=\"monospace\" font-size=\"13\" fill=\"currentColor\"><title>{}</title>",
        xml(&rows.iter().map(|row| row.text.as_str()).collect::<Vec<_>>().join(", "))
    );
    if let Some(caption) = caption {
        let _ = write!(
            svg,
            "<text x=\"{MARGIN}\" y=\"{}\" fill=\"{RED}\">{}</text>",
            MARGIN + 13,
            xml(caption)
        );
    }
    for (number, row) in rows.iter().enumerate() {
        let color = if row.in_cycle { RED } else { "currentColor" };
        let (top, box_width) = (y(number), text_width(&row.text) + 2 * MARGIN);
        let round = match row.shape {
            Shape::Root => BOX / 2,
            _ => 3,
        };
        let stroke = if row.is_asked { 2.5 } else { 1.2 };
        let dash = if row.shape == Shape::Block { " stroke-dasharray=\"5 3\"" } else { "" };
        if row.shape != Shape::More {
            let _ = write!(
                svg,
                "<rect x=\"{LEFT}\" y=\"{top}\" width=\"{box_width}\" height=\"{BOX}\" rx=\"{round}\" fill=\"none\" \
                 stroke=\"{color}\" stroke-width=\"{stroke}\"{dash}/>"
            );
        }
        let _ = write!(
            svg,
            "<text x=\"{}\" y=\"{}\">{}</text>",
            LEFT + MARGIN,
            top + 18,
            xml(&row.text)
        );
        if number > 0 {
            let (x, from, to) = (LEFT + 2 * MARGIN, y(number - 1) + BOX, top);
            let color =
                if rows[number - 1].in_cycle && row.in_cycle { RED } else { "currentColor" };
            let _ = write!(
                svg,
                "<path d=\"M{x} {from}V{to}M{} {}L{x} {to}L{} {}\" fill=\"none\" stroke=\"{color}\"/>",
                x - 4,
                to - 6,
                x + 4,
                to - 6
            );
            if let Some(label) = &row.label {
                let _ = write!(
                    svg,
                    "<text x=\"{}\" y=\"{}\" opacity=\".7\">{}</text>",
                    x + 8,
                    to - 9,
                    xml(label)
                );
            }
        }
    }
    if let Some((label, count)) = back {
        // From the side of the last, up, and to the side of the first.
        let (last, first, x) = (y(count - 1) + BOX / 2 + 4, y(0) + BOX / 2 - 4, LEFT - 24);
        let _ = write!(
            svg,
            "<path d=\"M{LEFT} {last}H{x}V{first}H{LEFT}M{} {}L{LEFT} {first}L{} {}\" fill=\"none\" stroke=\"{RED}\"/>\
             <text x=\"{x}\" y=\"{}\" opacity=\".7\">{}</text>",
            LEFT - 6,
            first - 4,
            LEFT - 6,
            first + 4,
            last + 24,
            xml(&label)
        );
    }
    svg.push_str("</svg>");
    svg
}

const RED: &str = "#d9383a";
