//! Which lines raised an object's count, and which lowered it again.

use crate::event::{HandleId, ObjectId, Op};
use crate::model::{EventRecord, Recording};
use std::collections::{BTreeMap, HashMap};
use std::fmt;

/// What a balance is made from: one event of one object, and where it happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct BalanceEvent<L> {
    /// What happened.
    pub op: Op,
    /// The handle that was made, or that ended.
    pub handle: u64,
    /// The handle of the same object that it was made from.
    pub from: Option<u64>,
    /// Where: one line, or a stack of them, the outermost first. Empty where it is not known.
    pub lines: Vec<L>,
}

/// An object's strong handles, by the lines that made and ended them.
///
/// Each handle that ended is counted with the one that made it, by its number, so that a line's clones are matched with
/// their own drops, and not with any that happen to be as many.
///
/// # Examples
///
/// ```
/// use refscope::{Rc, Scope, sink::Recorder};
///
/// let recorder = Recorder::new();
/// Scope::new(recorder.clone()).run(|| {
///     let one = Rc::new(1);
///     let clones = [one.clone(), one.clone()];
///     std::mem::forget(clones);
/// });
/// # if refscope::ENABLED {
/// let recording = recorder.recording();
/// let (&id, _) = recording.objects().first_key_value().expect("the one object");
/// let balance = recording.balance(id).expect("it has events");
/// assert_eq!(balance.alive(), 2);
/// println!("{balance}"); // src/main.rs:7:18: 1 clone, 1 alive …
/// # }
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct Balance<L> {
    /// The lines that made handles, those with most of them alive first.
    pub made: Vec<BalanceLine<L>>,
    /// The same by whole stacks: what each caller has of its callees' handles.
    pub tree: Vec<BalanceNode<L>>,
    /// Handles that ended, of whose making nothing is known.
    pub unmatched: u64,
}

/// What one line has made.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct BalanceLine<L> {
    /// The line. `None`: not known.
    pub line: Option<L>,
    /// The operation.
    pub op: Op,
    /// How many handles.
    pub count: u64,
    /// Which lines ended how many of them, and by what operation; the most first.
    pub ended: Vec<(Option<L>, Op, u64)>,
}

impl<L> BalanceLine<L> {
    /// Returns how many of the handles are alive.
    #[must_use]
    pub fn alive(&self) -> u64 {
        self.count - self.ended.iter().map(|(.., count)| count).sum::<u64>()
    }
}

/// A line of the tree of stacks, with all that happened in what it called.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct BalanceNode<L> {
    /// The line.
    pub line: L,
    /// Handles that were made here or below.
    pub raised: u64,
    /// Handles that ended here or below, wherever they were made.
    pub lowered: u64,
    /// Handles that were made here or below and are alive.
    pub alive: u64,
    /// The lines that it called.
    pub calls: Vec<Self>,
}

/// What made a handle, or ended it: a line, and the operation.
type Key<L> = (Option<L>, Op);
type Ends<L> = BTreeMap<Key<L>, u64>;

/// A balance while events come, in their order: what it keeps is bounded by the handles that are alive.
pub(crate) struct Balancing<L> {
    /// Handles that are alive: what made each, and its stack.
    open: HashMap<u64, (Key<L>, Vec<L>)>,
    made: BTreeMap<Key<L>, (u64, Ends<L>)>,
    root: Branch<L>,
    unmatched: u64,
}

impl<L: Clone + Ord> Balancing<L> {
    pub(crate) fn new() -> Self {
        let (open, made) = (HashMap::new(), BTreeMap::new());
        Self { open, made, root: Branch::default(), unmatched: 0 }
    }

    pub(crate) fn add(&mut self, event: BalanceEvent<L>) {
        let BalanceEvent { op, handle, from, lines } = event;
        let key = (lines.last().cloned(), op);
        if op.strong_delta() > 0 {
            self.made.entry(key.clone()).or_default().0 += 1;
            self.root.add(&lines, |branch| branch.raised += 1);
            self.open.insert(handle, (key, lines));
        } else if op == Op::FromRaw {
            // The one that became a raw pointer goes on under another number.
            let made = from.and_then(|from| self.open.remove(&from));
            self.open.extend(made.map(|made| (handle, made)));
        } else if op.strong_delta() < 0 {
            self.root.add(&lines, |branch| branch.lowered += 1);
            match self.open.remove(&handle) {
                Some((maker, _)) => {
                    let ends = &mut self.made.get_mut(&maker).expect("it was entered").1;
                    *ends.entry(key).or_default() += 1;
                }
                None => self.unmatched += 1,
            }
        }
    }

    pub(crate) fn finish(self) -> Balance<L> {
        let Self { open, made, mut root, unmatched } = self;
        for (_, lines) in open.values() {
            root.add(lines, |branch| branch.alive += 1);
        }
        let mut made: Vec<_> = made
            .into_iter()
            .map(|((line, op), (count, ends))| {
                let ended = ends.into_iter().map(|((line, op), count)| (line, op, count));
                let mut ended: Vec<_> = ended.collect();
                ended.sort_by_key(|&(.., count)| std::cmp::Reverse(count));
                BalanceLine { line, op, count, ended }
            })
            .collect();
        made.sort_by_key(|made| (std::cmp::Reverse(made.alive()), std::cmp::Reverse(made.count)));
        Balance { made, tree: root.nodes(), unmatched }
    }
}

impl<L: Clone + Ord> Balance<L> {
    /// Makes the balance of one object's events, which come in their order.
    #[must_use]
    pub(crate) fn of(events: impl IntoIterator<Item = BalanceEvent<L>>) -> Self {
        let mut balancing = Balancing::new();
        events.into_iter().for_each(|event| balancing.add(event));
        balancing.finish()
    }

    /// Returns how many strong handles are alive, of those whose making is known.
    #[must_use]
    pub fn alive(&self) -> u64 {
        self.made.iter().map(BalanceLine::alive).sum()
    }
}

/// A node of the tree while it is made.
struct Branch<L> {
    raised: u64,
    lowered: u64,
    alive: u64,
    calls: BTreeMap<L, Self>,
}

impl<L> Default for Branch<L> {
    fn default() -> Self {
        Self { raised: 0, lowered: 0, alive: 0, calls: BTreeMap::new() }
    }
}

impl<L: Clone + Ord> Branch<L> {
    /// Counts something on each line of a stack.
    fn add(&mut self, lines: &[L], count: impl Fn(&mut Self)) {
        let mut branch = self;
        for line in lines {
            branch = branch.calls.entry(line.clone()).or_default();
            count(branch);
        }
    }

    fn nodes(self) -> Vec<BalanceNode<L>> {
        let node = |(line, branch): (L, Self)| BalanceNode {
            line,
            raised: branch.raised,
            lowered: branch.lowered,
            alive: branch.alive,
            calls: branch.nodes(),
        };
        let mut nodes: Vec<_> = self.calls.into_iter().map(node).collect();
        nodes.sort_by_key(|node| (std::cmp::Reverse(node.alive), std::cmp::Reverse(node.raised)));
        nodes
    }
}

/// A line for each that made handles: `main.rs:2: 12 clones, 11 dropped by main.rs:5, 1 alive`.
impl<L: fmt::Display> fmt::Display for Balance<L> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let line = |line: &Option<L>| match line {
            Some(line) => line.to_string(),
            None => "an unknown line".to_owned(),
        };
        for (n, made) in self.made.iter().enumerate() {
            let end = if n == 0 { "" } else { "\n" };
            let plural = if made.count > 1 && made.op != Op::New { "s" } else { "" };
            write!(f, "{end}{}: {} {}{plural}", line(&made.line), made.count, made.op)?;
            for (by, op, count) in &made.ended {
                write!(f, ", {count} {}", if *op == Op::Drop { "dropped" } else { op.name() })?;
                // Of most drops no line is known.
                if let Some(by) = by {
                    write!(f, " by {by}")?;
                }
            }
            write!(f, ", {} alive", made.alive())?;
        }
        if self.unmatched > 0 {
            write!(f, "\n{} more ended, whose making is not known", self.unmatched)?;
        }
        Ok(())
    }
}

/// A tree, indented: `+12 -11 =1  app::serve  src/main.rs:10:5`.
impl<L: fmt::Display> fmt::Display for BalanceNode<L> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fn write<L: fmt::Display>(
            node: &BalanceNode<L>,
            depth: usize,
            f: &mut fmt::Formatter<'_>,
        ) -> fmt::Result {
            let BalanceNode { line, raised, lowered, alive, calls } = node;
            let (indent, before) = ("  ".repeat(depth), if depth == 0 { "" } else { "\n" });
            write!(f, "{before}{indent}+{raised} -{lowered} ={alive}  {line}")?;
            calls.iter().try_for_each(|call| write(call, depth + 1, f))
        }
        write(self, 0, f)
    }
}

impl Recording {
    /// Returns the balance of an object: which lines made its strong handles, which ended them, and what is left of each.
    /// `None` for an object of which no event is known.
    ///
    /// The lines are those of the events; where there are [stacks](crate::stack), as of drops, which have no line of their
    /// own, the program's lines of the stack.
    ///
    /// # Examples
    ///
    /// ```
    /// use refscope::{Arc, Scope, sink::Recorder};
    ///
    /// let recorder = Recorder::new();
    /// let kept = Scope::new(recorder.clone()).run(|| Arc::new(1).clone());
    /// # if refscope::ENABLED {
    /// let recording = recorder.recording();
    /// let (&id, _) = recording.objects().first_key_value().expect("the one object");
    /// println!("{}", recording.balance(id).expect("it has events"));
    /// # }
    /// ```
    #[must_use]
    pub fn balance(&self, object: ObjectId) -> Option<Balance<String>> {
        let start = self.events().partition_point(|event| event.object() < object);
        let events = self.events()[start..].iter().take_while(|event| event.object() == object);
        let mut events = events.map(|event| self.balance_event(event)).peekable();
        events.peek()?;
        Some(Balance::of(events))
    }

    fn balance_event(&self, event: &EventRecord) -> BalanceEvent<String> {
        let from = event.from.filter(|from| from.object() == event.object());
        BalanceEvent {
            op: event.op,
            handle: event.handle.number(),
            from: from.map(HandleId::number),
            lines: self.lines_of(event),
        }
    }

    /// The program's lines of an event, the outermost first.
    fn lines_of(&self, event: &EventRecord) -> Vec<String> {
        let stack = event.stack.map(|stack| stack.resolve());
        let frames = stack.iter().flat_map(|stack| &stack.frames);
        let users = frames.filter(|frame| frame.origin().is_user());
        let mut lines: Vec<String> = users.map(ToString::to_string).collect();
        lines.reverse();
        if lines.is_empty() {
            let location =
                event.location.and_then(|location| self.locations().get(location as usize));
            lines.extend(location.map(ToString::to_string));
        }
        lines
    }
}

#[cfg(feature = "json")]
impl crate::model::RecordingFile {
    /// Returns the balance of an object, as [`Recording::balance`] does, in memory that is bounded by the handles that are
    /// alive; with the recording's tables.
    ///
    /// # Errors
    ///
    /// An error of reading: inside of one of kind `InvalidData`, where the file is not as it should be.
    pub fn balance(
        &self,
        object: ObjectId,
    ) -> std::io::Result<(Recording, Option<Balance<String>>)> {
        let mut balancing = None;
        let (tables, _) = self.each(
            Some(&[object].into()),
            |_| true,
            |tables, seen| {
                if let Some(event) = seen.event {
                    let event = tables.balance_event(event);
                    balancing.get_or_insert_with(Balancing::new).add(event);
                }
                Ok(())
            },
        )?;
        Ok((tables, balancing.map(Balancing::finish)))
    }
}

#[cfg(test)]
mod tests {
    use super::{Balance, BalanceEvent, BalanceLine};
    use crate::event::Op;

    fn event(op: Op, handle: u64, lines: &[&'static str]) -> BalanceEvent<&'static str> {
        BalanceEvent { op, handle, from: None, lines: lines.to_vec() }
    }

    /// Twelve clones on one line, of which one is left.
    #[test]
    fn a_line_is_matched_with_its_own_drops() {
        let mut events = vec![event(Op::New, 1, &["main", "a"])];
        events.extend((2..14).map(|handle| event(Op::Clone, handle, &["main", "b"])));
        events.extend((2..6).map(|handle| event(Op::Drop, handle, &["main", "c"])));
        events.extend((6..13).map(|handle| event(Op::Drop, handle, &["task", "d"])));
        events.push(event(Op::Drop, 1, &["main", "c"]));
        let balance = Balance::of(events);
        assert_eq!(balance.alive(), 1);
        assert_eq!(
            balance.made[0],
            BalanceLine {
                line: Some("b"),
                op: Op::Clone,
                count: 12,
                ended: vec![(Some("d"), Op::Drop, 7), (Some("c"), Op::Drop, 4)],
            }
        );
        assert_eq!((balance.made[1].line, balance.made[1].alive()), (Some("a"), 0));
        let trees: Vec<_> = balance.tree.iter().map(ToString::to_string).collect();
        assert_eq!(
            trees,
            [
                "+13 -5 =1  main\n  +12 -0 =1  b\n  +1 -0 =0  a\n  +0 -5 =0  c",
                "+0 -7 =0  task\n  +0 -7 =0  d"
            ]
        );
    }

    #[test]
    fn what_is_not_known_is_said() {
        let balance = Balance::of([
            event(Op::Drop, 9, &[]),
            event(Op::Upgrade, 10, &[]),
            event(Op::Downgrade, 11, &["w"]),
            event(Op::WeakDrop, 11, &[]),
            event(Op::MovedOut, 10, &["m"]),
        ]);
        assert_eq!((balance.unmatched, balance.alive()), (1, 0));
        assert_eq!(
            balance.to_string(),
            "an unknown line: 1 upgrade, 1 moved out by m, 0 alive\n\
             1 more ended, whose making is not known"
        );
        assert_eq!(Balance::<&str>::of([]).to_string(), "");
    }

    /// A handle that was a raw pointer for a while has another number then.
    #[test]
    fn raw_pointers_go_on() {
        let events = |from| {
            let raw = BalanceEvent { from, ..event(Op::FromRaw, 5, &["r"]) };
            [
                event(Op::New, 1, &["a"]),
                event(Op::IntoRaw, 1, &["i"]),
                raw,
                event(Op::Drop, 5, &["d"]),
            ]
        };
        assert_eq!(Balance::of(events(Some(1))).to_string(), "a: 1 new, 1 dropped by d, 0 alive");
        let balance = Balance::of(events(None));
        assert_eq!((balance.alive(), balance.unmatched), (1, 1), "{balance}");
    }
}
