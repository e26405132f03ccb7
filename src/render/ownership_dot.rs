use crate::event::ObjectId;
use crate::locate::{Grade, Held, Node, NodeKind, Owner, Ownership, offset_text};
use std::collections::BTreeMap;
use std::fmt::Write as _;

/// Returns an ownership graph as a DOT graph: a box for each object, with what it retains; a note for each block of the heap; an
/// ellipse for each root; and an arrow from what holds to what is held, with the offset.
///
/// The paths are drawn bold, cycles that nothing reaches red, weak handles dashed. [`Ownership::of`] gives the part for some
/// objects.
///
/// # Examples
///
/// ```
/// use refscope::{Rc, locate::Search, render};
///
/// refscope::track().expect("no sink is installed");
/// let kept = Rc::new("kept");
/// let id = refscope::holders(&kept).object().map(|object| object.id());
/// if let (Ok(ownership), Some(id)) = (Search::new().run(), id) {
///     println!("{}", render::ownership_dot(&ownership.of([id])));
/// }
/// # drop(kept);
/// ```
pub fn ownership_dot(ownership: &Ownership) -> String {
    let mut graph = Dot { ownership, roots: BTreeMap::new(), edges: BTreeMap::new() };
    let mut text = String::from(
        "digraph ownership {\n  rankdir=LR;\n  node [shape=box, fontname=\"monospace\"];\n  edge [fontname=\"monospace\"];\n",
    );
    for (at, node) in ownership.nodes.iter().enumerate() {
        let _ = writeln!(text, "  n{at} [{}];", graph.node(node));
    }
    for object in ownership.objects.iter().filter(|object| object.node.is_none()) {
        let node = Node { kind: NodeKind::Object(object.id), task: None, held: Held::Unreferenced };
        let _ = writeln!(text, "  o{} [{}];", object.id, graph.node(&node));
    }
    graph.collect();
    for (name, root) in &graph.roots {
        let _ = writeln!(text, "  r{root} [label=\"{name}\", shape=ellipse];");
    }
    for ((from, to), edge) in &graph.edges {
        let _ = writeln!(text, "  {from} -> {to} [{}];", edge.attributes());
    }
    text.push_str("}\n");
    text
}

struct Dot<'a> {
    ownership: &'a Ownership,
    /// By their text.
    roots: BTreeMap<String, usize>,
    edges: BTreeMap<(String, String), Edge>,
}

/// What leads from one node to another.
#[derive(Default)]
struct Edge {
    /// Offsets, each once.
    labels: Vec<String>,
    is_path: bool,
    is_strong: bool,
    is_cycle: bool,
}

impl Edge {
    fn attributes(&self) -> String {
        let mut text = format!("label=\"{}\"", self.labels.join(" "));
        if self.is_path {
            text.push_str(", style=bold");
        } else if !self.is_strong {
            text.push_str(", style=dashed");
        }
        if self.is_cycle {
            text.push_str(", color=red, penwidth=2");
        }
        text
    }
}

fn quoted(text: &str) -> String {
    super::escape(text).replace('\\', "\\\\").replace('"', "\\\"")
}

impl Dot<'_> {
    fn node(&self, node: &Node) -> String {
        let label = quoted(&self.ownership.node_text(node));
        match node.kind {
            NodeKind::Object(id) => {
                let object = self.ownership.object(id);
                let retained = object.map_or_else(String::new, |object| {
                    let (objects, bytes) = (object.retained_objects, object.retained_bytes);
                    let objects = super::plural(objects, "object");
                    format!("\\nretains {objects}, {}", super::bytes(bytes))
                });
                let color = match self.ownership.cycle_of(id).map(|cycle| &cycle.grade) {
                    Some(Grade::Proven) => "\\ncycle (PROVEN)\", color=red, penwidth=2",
                    Some(Grade::Likely(_)) => "\\ncycle (LIKELY)\", color=red",
                    None => "\"",
                };
                format!("label=\"{label}{retained}{color}")
            }
            NodeKind::Block(_) => format!("label=\"{label}\", shape=note"),
        }
    }

    fn edge(&mut self, from: String, to: String, label: String) -> &mut Edge {
        let edge = self.edges.entry((from, to)).or_default();
        if !label.is_empty() && !edge.labels.contains(&label) {
            edge.labels.push(label);
        }
        edge
    }

    fn root(&mut self, owner: &Owner) -> String {
        let next = self.roots.len();
        format!("r{}", self.roots.entry(quoted(&owner.to_string())).or_insert(next))
    }

    fn object(&self, id: ObjectId) -> String {
        let node = self.ownership.object(id).and_then(|object| object.node);
        node.map_or_else(|| format!("o{}", id.number()), |node| format!("n{node}"))
    }

    fn collect(&mut self) {
        let ownership = self.ownership;
        for handle in &ownership.handles {
            let to = self.object(handle.id.object());
            let (from, label) = match &handle.owner {
                Owner::Object { object, offset, field } => {
                    (self.object(*object), offset_text(*offset, field.as_deref()))
                }
                Owner::Block { node, offset, .. } => {
                    (format!("n{node}"), offset_text(*offset, None))
                }
                root => (self.root(root), String::new()),
            };
            self.edge(from, to, label).is_strong |= handle.is_strong;
        }
        for (at, node) in ownership.nodes.iter().enumerate() {
            let (from, label) = match &node.held {
                Held::By(step) => {
                    (format!("n{}", step.from), offset_text(step.offset, step.field.as_deref()))
                }
                Held::Root(root) => (self.root(root), String::new()),
                Held::Cycle(_) | Held::Unreferenced | Held::Dropped => continue,
            };
            self.edge(from, format!("n{at}"), label).is_path = true;
        }
        for cycle in &ownership.cycles {
            for (at, step) in cycle.round.iter().enumerate() {
                let next = &cycle.round[(at + 1) % cycle.round.len()];
                let label = offset_text(step.offset, step.field.as_deref());
                let (from, to) = (format!("n{}", step.from), format!("n{}", next.from));
                let edge = self.edge(from, to, label);
                (edge.is_cycle, edge.is_path) = (true, true);
            }
        }
    }
}
