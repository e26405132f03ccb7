//! A path, and a cycle, as text.

use super::doubt::sentences;
use super::ownership::{
    Cycle, Grade, Held, LocatedHandle, Node, NodeKind, Owner, Ownership, StaticPlace, Step,
    ThreadLocalPlace,
};
use crate::event::{ObjectId, short_type};
use crate::text::{bytes, escape, possessive};
use std::fmt;

/// Steps of a path that are shown at its beginning and at its end.
const SHOWN: usize = 6;

/// The path from a root to an object, to be printed. Given by [`Ownership::path_to`].
#[derive(Clone, Copy, Debug)]
pub struct PathText<'a> {
    ownership: &'a Ownership,
    id: ObjectId,
}

/// A cycle, to be printed. Given by [`Ownership::cycle_text`].
#[derive(Clone, Copy, Debug)]
pub struct CycleText<'a> {
    ownership: &'a Ownership,
    cycle: &'a Cycle,
}

impl Ownership {
    /// Returns the path from a root to an object as text, if the object is alive and has storage.
    pub fn path_to(&self, id: ObjectId) -> Option<PathText<'_>> {
        self.object(id)?.node?;
        Some(PathText { ownership: self, id })
    }

    /// Returns a cycle as text.
    pub fn cycle_text<'a>(&'a self, cycle: &'a Cycle) -> CycleText<'a> {
        CycleText { ownership: self, cycle }
    }

    /// `Rc<Node> #7`, a block, or a task.
    pub(crate) fn node_text(&self, node: &Node) -> String {
        if let (Some(task), NodeKind::Block(size)) = (&node.task, node.kind) {
            // The runtime's name alone.
            let of = if task.contains("::") { "" } else { "of " };
            return format!("task {of}{}, {}", escape(task), bytes(size));
        }
        match node.kind {
            NodeKind::Block(size) => format!("heap block, {}", bytes(size)),
            NodeKind::Object(id) => match self.object(id) {
                Some(object) => {
                    let name = escape(&object.type_name);
                    format!("{}<{}> {id}", object.kind, short_type(&name))
                }
                None => format!("{id}"),
            },
        }
    }
}

/// `.parent`, or `+24`.
fn step_text(step: &Step) -> String {
    offset_text(step.offset, step.field.as_deref())
}

pub(crate) fn offset_text(offset: u64, field: Option<&str>) -> String {
    match field {
        None => format!("+{offset}"),
        // An element.
        Some(field) if field.starts_with('[') => escape(field).into_owned(),
        Some(field) => format!(".{}", escape(field)),
    }
}

impl fmt::Display for Owner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Object { object, offset, field } => {
                write!(f, "object {object}, {}", offset_text(*offset, field.as_deref()))
            }
            Self::Block { size, offset, field, .. } => {
                let at = offset_text(*offset, field.as_deref());
                write!(f, "heap block, {}, {at}", bytes(*size))
            }
            Self::Static(place) => place.fmt(f),
            Self::ThreadLocal(place) => place.fmt(f),
            Self::Stack { thread } => write!(f, "a word on {} stack", escape(&possessive(thread))),
            Self::Unknown { .. } => f.write_str("memory that is not known to be the heap's or a thread's"),
            Self::Raw => f.write_str("a raw pointer"),
            Self::NotFound => {
                f.write_str("nothing that was found: it is forgotten, or in a register")
            }
            Self::Untraced => f.write_str(
                "a pointer of std's that is not traced, or a handle that was just being made or dropped",
            ),
        }
    }
}

impl fmt::Display for StaticPlace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Some(symbol) = &self.symbol else {
            return write!(f, "a static of {} (at {:#x})", escape(&self.image), self.address);
        };
        write!(f, "static {}", escape(symbol))?;
        if self.field.is_some() {
            f.write_str(&offset_text(0, self.field.as_deref()))?;
        }
        self.type_name.as_ref().map_or(Ok(()), |name| write!(f, " ({})", escape(name)))
    }
}

impl fmt::Display for ThreadLocalPlace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let thread = escape(&self.thread);
        let Some(symbol) = &self.symbol else { return write!(f, "a thread-local of {thread}") };
        write!(f, "thread-local {}", escape(symbol))?;
        if self.field.is_some() {
            f.write_str(&offset_text(0, self.field.as_deref()))?;
        }
        write!(f, " of {thread}")
    }
}

impl fmt::Display for PathText<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Some((root, nodes)) = self.ownership.path(self.id) else { return Ok(()) };
        f.write_str("held by: ")?;
        match root {
            Held::Root(Owner::NotFound) if self.ownership.is_cut() => {
                f.write_str("nothing that was found before the search ran out of its budget")?;
            }
            Held::Root(owner) => {
                write!(f, "{owner}")?;
                let start = nodes.first().and_then(|&node| self.ownership.nodes.get(node as usize));
                let pointer = start.and_then(|start| match start.kind {
                    NodeKind::Object(id) => self.ownership.plain_pointer_to(id),
                    NodeKind::Block(_) => None,
                });
                if let Some(place) = pointer {
                    write!(f, "; {place} has a plain pointer to it")?;
                }
            }
            Held::Cycle(cycle) => match self.ownership.cycles.get(*cycle as usize) {
                Some(cycle) => write!(f, "{}", self.ownership.cycle_text(cycle))?,
                None => f.write_str("a cycle")?,
            },
            Held::Unreferenced => f.write_str("a heap block that nothing was found to point to")?,
            Held::Dropped | Held::By(_) => {
                f.write_str("weak handles alone: its value is dropped, its memory is not")?;
            }
        }
        let is_strong = |handle: &&LocatedHandle| handle.is_strong;
        let may_be_old = |&node: &u32| match self.ownership.nodes[node as usize].kind {
            NodeKind::Object(id) => {
                self.ownership.handles_of(id).iter().filter(is_strong).any(|it| it.may_be_old)
            }
            NodeKind::Block(_) => false,
        };
        if nodes.iter().any(may_be_old) {
            f.write_str(", unless what is there is an old copy")?;
        }
        let mut depth = 9;
        let mut is_line_open = false;
        for (number, &node) in nodes.iter().enumerate() {
            if nodes.len() > 2 * SHOWN + 1 && (SHOWN..nodes.len() - SHOWN).contains(&number) {
                if number == SHOWN {
                    let left_out = crate::text::count((nodes.len() - 2 * SHOWN) as u64);
                    write!(f, "\n{:depth$}└─ … {left_out} more …", "")?;
                    (depth, is_line_open) = (depth + 3, false);
                }
                continue;
            }
            let node = &self.ownership.nodes[node as usize];
            let step = match &node.held {
                Held::By(step) => Some(step_text(step)),
                _ => None,
            };
            let text = self.ownership.node_text(node);
            match step {
                // What a block holds stands in the block's line.
                Some(step) if is_line_open => write!(f, " ─{step}→ {text}")?,
                step => {
                    let step = step.map_or_else(String::new, |step| format!("{step} → "));
                    write!(f, "\n{:depth$}└─ {step}{text}", "")?;
                    depth += 3;
                }
            }
            is_line_open = matches!(node.kind, NodeKind::Block(_));
        }
        f.write_str("     this one")
    }
}

impl fmt::Display for CycleText<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { ownership, cycle } = self;
        f.write_str(match cycle.grade {
            Grade::Proven => "cycle (PROVEN): ",
            Grade::Likely(_) => "cycle (LIKELY): ",
        })?;
        for (number, step) in cycle.round.iter().enumerate() {
            if cycle.round.len() > 2 * SHOWN + 1
                && (SHOWN..cycle.round.len() - SHOWN).contains(&number)
            {
                if number == SHOWN {
                    let left_out = crate::text::count((cycle.round.len() - 2 * SHOWN) as u64);
                    write!(f, "… {left_out} more … ")?;
                }
                continue;
            }
            let node = &ownership.nodes[step.from as usize];
            write!(f, "{} ─{}→ ", ownership.node_text(node), step_text(step))?;
        }
        if let Some(first) = cycle.objects.first() {
            write!(f, "{first}")?;
        }
        let round = cycle.round.iter();
        let round = round
            .filter(|step| matches!(ownership.nodes[step.from as usize].kind, NodeKind::Object(_)));
        let others = cycle.objects.len().saturating_sub(round.count());
        if others > 0 {
            write!(f, " and {} more", crate::text::count(others as u64))?;
        }
        match &cycle.grade {
            Grade::Proven => f.write_str("; nothing else reaches them"),
            Grade::Likely(reasons) => write!(f, "; not proven: {}", escape(&sentences(reasons))),
        }
    }
}
