//! The rows of a report that say what holds a finding's objects now.

use super::count;
use super::report::{GLUE, INDENT, ReportStyle, fold};
use super::style::Look;
use crate::analysis::Leak;
use crate::event::ObjectId;
use crate::locate::{Cycle, Grade, Held, NodeKind, Owner, Ownership, sentences};
use std::collections::HashMap;
use std::fmt;
use std::hash::{DefaultHasher, Hash, Hasher};

/// What stands behind the object that was asked for.
const LAST: &str = "     this one";

/// Paths that are shown of one leak.
const PATHS: usize = 3;

/// Which paths are alike: those that differ in the numbers of their objects and in where they stand in a block alone.
pub(super) struct AlikePaths<'a> {
    ownership: &'a Ownership,
    /// A hash of the path to each node; each step is followed once.
    prints: Vec<u64>,
}

/// A path that stands for those that are alike: an object at its end, and how many there are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct AlikePath {
    pub(super) object: ObjectId,
    pub(super) count: u64,
}

impl<'a> AlikePaths<'a> {
    pub(super) fn new(ownership: &'a Ownership) -> Self {
        let nodes = &ownership.nodes;
        // Once for all of a cycle's objects: it may be a long one.
        let cycles: Vec<u64> =
            ownership.cycles.iter().map(|cycle| Self::print_of_cycle(ownership, cycle)).collect();
        let mut prints: Vec<Option<u64>> = vec![None; nodes.len()];
        let mut way = Vec::new();
        for node in 0..nodes.len() {
            let mut at = node;
            while prints[at].is_none() {
                way.push(at);
                match &nodes[at].held {
                    Held::By(step) => at = step.from as usize,
                    _ => break,
                }
            }
            let mut print = prints[at];
            while let Some(node) = way.pop() {
                let own = Self::print(ownership, &cycles, node, print);
                (print, prints[node]) = (Some(own), Some(own));
            }
        }
        Self { ownership, prints: prints.into_iter().map(Option::unwrap_or_default).collect() }
    }

    /// Of a path that ends with a node, by that of the path before it.
    fn print(ownership: &Ownership, cycles: &[u64], node: usize, before: Option<u64>) -> u64 {
        let node = &ownership.nodes[node];
        let mut hasher = DefaultHasher::new();
        before.hash(&mut hasher);
        match node.kind {
            NodeKind::Object(id) => {
                let object = ownership.object(id);
                object.map(|object| (object.kind, &object.type_name)).hash(&mut hasher);
            }
            // Tasks of one runtime are alike, whatever their futures hold besides.
            NodeKind::Block(_) if node.task.is_some() => node.task.hash(&mut hasher),
            NodeKind::Block(size) => size.hash(&mut hasher),
        }
        match &node.held {
            Held::By(step) => {
                // Elements of one collection are alike.
                let is_block =
                    matches!(ownership.nodes[step.from as usize].kind, NodeKind::Block(_));
                (1, (!is_block).then_some((step.offset, &step.field))).hash(&mut hasher);
            }
            Held::Root(owner) => (2, owner).hash(&mut hasher),
            Held::Cycle(cycle) => (3, cycles.get(*cycle as usize)).hash(&mut hasher),
            Held::Unreferenced => 4.hash(&mut hasher),
            Held::Dropped => 5.hash(&mut hasher),
        }
        hasher.finish()
    }

    /// Of a cycle. Those are alike whose types are, the offsets in these, and what is known of them.
    fn print_of_cycle(ownership: &Ownership, cycle: &Cycle) -> u64 {
        let mut hasher = DefaultHasher::new();
        if let Grade::Likely(why) = &cycle.grade {
            sentences(why).hash(&mut hasher);
        }
        for step in &cycle.round {
            match ownership.nodes[step.from as usize].kind {
                NodeKind::Object(id) => {
                    step.offset.hash(&mut hasher);
                    ownership.object(id).map(|object| &object.type_name).hash(&mut hasher);
                }
                NodeKind::Block(size) => size.hash(&mut hasher),
            }
        }
        hasher.finish()
    }

    /// The paths to a leak's objects, the most numerous first.
    pub(super) fn paths(&self, leak: &Leak) -> Vec<AlikePath> {
        let mut places: HashMap<u64, usize> = HashMap::new();
        let mut paths: Vec<AlikePath> = Vec::new();
        for object in &leak.objects {
            let located = self.ownership.object(object.id);
            let Some(node) = located.and_then(|object| object.node) else { continue };
            let print = match &self.ownership.nodes[node as usize].held {
                // Nothing is to be seen of these but their types, which the report has elsewhere.
                Held::Root(owner @ (Owner::NotFound | Owner::Raw | Owner::Untraced)) => {
                    let mut hasher = DefaultHasher::new();
                    (owner, self.ownership.plain_pointer_to(object.id)).hash(&mut hasher);
                    hasher.finish()
                }
                _ => self.prints[node as usize],
            };
            let at = *places.entry(print).or_insert(paths.len());
            match paths.get_mut(at) {
                Some(path) => path.count += 1,
                None => paths.push(AlikePath { object: object.id, count: 1 }),
            }
        }
        // Of those that are equally many, the oldest object's.
        paths.sort_by_key(|path| std::cmp::Reverse(path.count));
        paths
    }
}

/// A path's line, in which no step is torn: `─.children→ heap block, 72 B`, `(19 alike)`.
fn glued(step: &str) -> String {
    let mut text = String::with_capacity(step.len());
    let mut before = "";
    for word in step.split(' ') {
        let is_unit = matches!(word, "B" | "KiB" | "MiB" | "GiB");
        let is_one = before.ends_with('→')
            || before == "block,"
            || (before, word) == ("heap", "block,")
            || (is_unit && before.ends_with(|c: char| c.is_ascii_digit()))
            || (word.starts_with('#') && before.ends_with('>'))
            || (before.starts_with('(') && word == "alike)");
        text.push(if is_one { GLUE } else { ' ' });
        text.push_str(word);
        before = word;
    }
    // What stands before the first word.
    text.split_off(1)
}

/// What a line that goes on is indented by.
const MORE: &str = "   ";

/// A step in lines, of which those behind the first have room for what they are indented by.
fn folded(step: &str, room: usize) -> Vec<String> {
    let parts = fold(step, room);
    if parts.len() == 1 { parts } else { fold(step, room.saturating_sub(MORE.len())) }
}

impl ReportStyle<'_> {
    /// What holds the objects of a leak now: the path from a root, or the cycle.
    pub(super) fn stored(
        &self,
        ownership: &Ownership,
        paths: &[AlikePath],
        out: &mut impl fmt::Write,
    ) -> fmt::Result {
        // With what ends the last line.
        let room = self.width.saturating_sub(INDENT + LAST.len()).max(20);
        for path in paths.iter().take(PATHS) {
            let Some(text) = ownership.path_to(path.object) else { continue };
            let text = text.to_string();
            let text = text.strip_prefix("held by: ").unwrap_or(&text);
            for (number, step) in text.lines().enumerate() {
                let mut step = step.strip_prefix("         ").unwrap_or(step).to_owned();
                if number == 0 && path.count > 1 {
                    step.push_str(&format!("  ({} alike)", count(path.count)));
                }
                step = glued(&step);
                if self.ascii {
                    step = step.replace('─', "-").replace('→', ">").replace('└', "`");
                    step = step.replace('…', "...");
                }
                let is_last = step.ends_with(LAST);
                let parts = folded(step.trim_end_matches(LAST), room);
                let count = parts.len();
                for (part, text) in parts.into_iter().enumerate() {
                    let mut line = self.line();
                    if (number, part) == (0, 0) {
                        line.put(Look::Dim, "   = ").put(Look::Name, "stored:");
                    }
                    let more = if part > 0 { MORE } else { "" };
                    line.to(INDENT).put(Look::Plain, more).put(Look::Plain, &text);
                    if is_last && part + 1 == count {
                        line.put(Look::Dim, LAST);
                    }
                    writeln!(out, "{}", line.finish())?;
                }
            }
        }
        if paths.len() > PATHS {
            let rest: u64 = paths[PATHS..].iter().map(|path| path.count).sum();
            writeln!(out, "       and {}, held in other ways", super::plural(rest, "object"))?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::{GLUE, MORE, folded, glued};

    #[test]
    fn lines_that_go_on_are_no_wider_than_the_others() {
        let step = "└─ heap block, 264 B ─+80→ task b::p2::stuck, 264 B ─+128→ Arc<Session> #1";
        let step = glued(step);
        for room in 25..step.chars().count() {
            let parts = folded(&step, room);
            let widths = parts.iter().skip(1).map(|part| MORE.len() + part.chars().count());
            assert!(widths.max().is_some_and(|widest| widest <= room), "{room}: {parts:?}");
        }
    }

    #[test]
    fn steps_are_not_torn() {
        let shown = |step: &str| glued(step).replace(GLUE, "~");
        for (step, text) in [
            (
                "   └─ Rc<A> #1 ─.b→ heap block, 72 B ─[0]→ Rc<A> #2",
                "   └─ Rc<A>~#1 ─.b→~heap~block,~72~B ─[0]→~Rc<A>~#2",
            ),
            ("a static  (19 alike)", "a static  (19~alike)"),
            ("Rc<A> #1     this one", "Rc<A>~#1     this one"),
        ] {
            assert_eq!(shown(step), text);
        }
    }
}
