use super::style::{Line, Look};
use super::{Terminal, plural};
use crate::analysis::{Lifeline, Timeline, Timelines};
use std::collections::BTreeMap;

impl Terminal {
    /// Who cloned whom, as a tree: each handle below the one that it was made from, with the line that made it and
    /// what became of it. A branch in which more handles were made than ended is marked: that is where one is missing.
    ///
    /// The idea is that of Gecko's balance trees.
    pub fn tree(&self, timelines: &Timelines<'_>, object: &Timeline<'_>) -> String {
        let recording = timelines.recording();
        let info = object.object;
        let mut children: BTreeMap<Option<u64>, Vec<&Lifeline>> = BTreeMap::new();
        for line in &object.lifelines {
            let own = line.from.filter(|from| from.0 == info.id).map(|from| from.1);
            let known = own.filter(|&from| object.lifelines.iter().any(|line| line.handle == from));
            children.entry(known).or_default().push(line);
        }
        let name = format!("{}<{}>", info.kind, crate::event::short_type(&info.type_name));
        let mut head = Line::new(self.color);
        head.put(Look::Name, &format!("#{} {name}", info.id));
        let alive = object.lifelines.iter().filter(|line| line.is_alive()).count();
        head.put(
            if alive > 0 { Look::Alive } else { Look::Dim },
            &format!("  {}, {alive} alive", plural(object.lifelines.len() as u64, "handle")),
        );
        let mut text = head.finish();
        text.push('\n');
        // Depth first, by hand: a clone of a clone of a clone may go deeper than a stack.
        let (branch, last, bar) =
            if self.ascii { ("|- ", "`- ", "|  ") } else { ("├─ ", "└─ ", "│  ") };
        let mut open: Vec<(Option<u64>, usize, String)> = vec![(None, 0, String::new())];
        while let Some((parent, at, indent)) = open.pop() {
            let siblings = children.get(&parent).map_or(&[][..], Vec::as_slice);
            let Some(line) = siblings.get(at) else { continue };
            let is_last = at + 1 == siblings.len();
            open.push((parent, at + 1, indent.clone()));
            let mut row = Line::new(self.color);
            row.put(Look::Dim, &indent).put(Look::Dim, if is_last { last } else { branch });
            let look = if line.is_alive() { Look::Alive } else { Look::Plain };
            row.put(look, &format!("{} {}", line.handle, line.op));
            if let Some(place) = line.place {
                row.put(Look::Plain, &format!("  {}", recording.places()[place as usize]));
            }
            row.put(Look::Dim, &format!("  {}", recording.threads()[line.thread as usize]));
            match &line.end {
                Some(end) => row.put(Look::Dim, &format!("  {}", end.op)),
                None => row.put(Look::Alive, "  alive"),
            };
            let below = below(&children, line.handle);
            if below.1 > 0 {
                let told = format!("  ! {} of {} below alive", below.1, below.0);
                row.put(Look::Warning, &told);
            }
            text.push_str(&row.finish());
            text.push('\n');
            let deeper = format!("{indent}{}", if is_last { "   " } else { bar });
            open.push((Some(line.handle), 0, deeper));
        }
        text
    }
}

/// How many handles there are below one, and how many of them are alive.
fn below(children: &BTreeMap<Option<u64>, Vec<&Lifeline>>, handle: u64) -> (u64, u64) {
    let (mut all, mut alive, mut open) = (0, 0, vec![handle]);
    while let Some(handle) = open.pop() {
        for line in children.get(&Some(handle)).into_iter().flatten() {
            all += 1;
            alive += u64::from(line.is_alive());
            open.push(line.handle);
        }
    }
    (all, alive)
}
