use super::style::{Line, Look};
use super::{Terminal, plural};
use crate::analysis::{Lifeline, Timeline, Timelines};
use crate::event::HandleId;
use std::collections::BTreeMap;

/// Branches above a row that are drawn.
const DEEPEST: usize = 24;

impl Terminal {
    /// Returns who cloned whom, as a tree: each handle below the one that it was made from, with the line that made it and
    /// what became of it. A branch in which more handles were made than ended is marked: that is where one is missing.
    ///
    /// The idea is that of Gecko's balance trees.
    pub fn tree(&self, timelines: &Timelines<'_>, object: &Timeline<'_>) -> String {
        let recording = timelines.recording();
        let info = object.object;
        let mut children: BTreeMap<Option<HandleId>, Vec<&Lifeline>> = BTreeMap::new();
        for line in &object.lifelines {
            children.entry(parent(object, line)).or_default().push(line);
        }
        let below = below(object);
        let name = format!("{}<{}>", info.kind, crate::event::short_type(&info.type_name));
        let mut head = Line::new(self.color);
        head.put(Look::Name, &format!("{} {name}", info.id));
        let alive = object.lifelines.iter().filter(|line| line.is_alive()).count() as u64;
        let alive = alive + object.omitted_handles;
        let omitted = self.omitted(object);
        let handles = plural(object.lifelines.len() as u64, "handle");
        let shown = if omitted.is_some() { " shown" } else { "" };
        head.put(
            if alive > 0 { Look::Alive } else { Look::Dim },
            &format!("  {handles}{shown}, {alive} alive"),
        );
        let mut text = head.finish();
        text.push('\n');
        if let Some(omitted) = omitted {
            let mut line = Line::new(self.color);
            line.put(Look::Warning, &omitted);
            text.push_str(&line.finish());
            text.push('\n');
        }
        // Depth first, by hand: a clone of a clone of a clone may go deeper than a stack.
        let mut open: Vec<(Option<HandleId>, usize)> = vec![(None, 0)];
        // Of each open branch, whether it is the last of its siblings.
        let mut branches: Vec<bool> = Vec::new();
        while let Some((parent, at)) = open.pop() {
            branches.truncate(open.len());
            let siblings = children.get(&parent).map_or(&[][..], Vec::as_slice);
            let Some(line) = siblings.get(at) else { continue };
            open.push((parent, at + 1));
            branches.push(at + 1 == siblings.len());
            let mut row = Line::new(self.color);
            row.put(Look::Dim, &self.indent(&branches));
            let look = if line.is_alive() { Look::Alive } else { Look::Plain };
            row.put(look, &format!("{} {}", line.handle.number(), line.op));
            if let Some(location) = line.location {
                row.put(Look::Plain, &format!("  {}", recording.locations()[location as usize]));
            }
            row.put(Look::Dim, &format!("  {}", recording.threads()[line.thread as usize]));
            match &line.end {
                Some(end) => row.put(Look::Dim, &format!("  {}", end.op)),
                None => row.put(Look::Alive, "  alive"),
            };
            if let Some(&(all, alive)) = below.get(&line.handle)
                && alive > 0
            {
                let told = format!("  ! {alive} of {all} below alive");
                row.put(Look::Warning, &told);
            }
            text.push_str(&row.finish());
            text.push('\n');
            open.push((Some(line.handle), 0));
        }
        text
    }

    /// What leads to a row, given of each branch down to it whether it is the last of its siblings. Of a deep one, how many
    /// branches are left out: else a text would grow with the square of the depth.
    fn indent(&self, branches: &[bool]) -> String {
        let [branch, last, bar, ellipsis] = if self.ascii {
            ["|- ", "`- ", "|  ", "~"]
        } else {
            ["├─ ", "└─ ", "│  ", "…"]
        };
        let Some((&is_last, above)) = branches.split_last() else { return String::new() };
        let (hidden, above) = above.split_at(above.len().saturating_sub(DEEPEST));
        let mut text = match hidden.len() {
            0 => String::new(),
            hidden => format!("{ellipsis}{hidden} "),
        };
        above.iter().for_each(|&is_last| text.push_str(if is_last { "   " } else { bar }));
        text.push_str(if is_last { last } else { branch });
        text
    }
}

/// The handle that one was made from, if it is one of the same object and known.
fn parent(object: &Timeline<'_>, line: &Lifeline) -> Option<HandleId> {
    let own = line.from.filter(|from| from.object() == object.object.id)?;
    // Lifelines ascend by number.
    object.lifelines.binary_search_by_key(&own, |line| line.handle).ok().map(|_| own)
}

/// How many handles there are below each, and how many of them are alive. What was made from a handle is younger, so
/// from the youngest on each adds itself, and what is below it, to the one that it was made from.
fn below(object: &Timeline<'_>) -> BTreeMap<HandleId, (u64, u64)> {
    let mut below: BTreeMap<HandleId, (u64, u64)> = BTreeMap::new();
    for line in object.lifelines.iter().rev() {
        if let Some(parent) = parent(object, line) {
            let (all, alive) = below.get(&line.handle).copied().unwrap_or_default();
            let sum = below.entry(parent).or_default();
            sum.0 += all + 1;
            sum.1 += alive + u64::from(line.is_alive());
        }
    }
    below
}
