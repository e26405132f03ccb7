//! `refscope top`: what was alive at the end, summed.

use crate::apart::Apart;
use clap::ValueEnum;
use refscope::__private::{escape, totals};
use refscope::Recording;
use refscope::analysis::Total;
use refscope::event::Time;
use refscope::model::LiveObject;
use serde_json::{Value, json};
use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::Path;

/// What the rows are sorted by, or are.
#[derive(Clone, Copy, PartialEq, ValueEnum)]
pub(crate) enum By {
    /// How many objects
    Count,
    /// Their values' own bytes
    Bytes,
    /// Their strong handles
    Held,
    /// The age of the oldest
    Age,
    /// A row for each stack that allocated what is alive, by count, with the functions that are the program's. The
    /// recording needs stacks of allocations: `REFSCOPE=record=…,stacks=new`
    Stack,
    /// A row for each process, of all recordings together
    Process,
    /// A row for each machine
    Host,
    /// A row for each build of the program: its build id where the recording has it, else its file
    Version,
}

impl By {
    /// Whether the rows are of several recordings together, and what tells them apart.
    pub(crate) fn apart(self) -> Option<Apart> {
        match self {
            Self::Process => Some(Apart::Process),
            Self::Host => Some(Apart::Host),
            Self::Version => Some(Apart::Version),
            _ => None,
        }
    }
}

/// What processes have alive, by what tells them apart.
pub(crate) struct Fleet {
    by: Apart,
    rows: BTreeMap<String, Processes>,
}

/// A row.
#[derive(Default)]
struct Processes {
    processes: u64,
    objects: u64,
    bytes: u64,
    strong: u64,
    /// Nanoseconds.
    oldest: u64,
}

impl Fleet {
    pub(crate) fn new(by: Apart) -> Self {
        Self { by, rows: BTreeMap::new() }
    }

    pub(crate) fn add(&mut self, recording: &Recording, path: &Path, living: &[LiveObject]) {
        let key = self.by.name_of(recording, path);
        let row = self.rows.entry(key).or_default();
        row.processes += 1;
        for object in living {
            row.objects += 1;
            row.bytes = row.bytes.saturating_add(object.size);
            row.strong += u64::from(object.strong);
            row.oldest =
                row.oldest.max(object.created.until(recording.end_time()).as_nanos() as u64);
        }
    }

    /// The rows, those with the most objects first.
    fn sorted(&self) -> Vec<(&String, &Processes)> {
        let mut rows: Vec<_> = self.rows.iter().collect();
        rows.sort_by_key(|(_, row)| Reverse((row.objects, row.bytes)));
        rows
    }

    pub(crate) fn table(&self, limit: usize) -> String {
        let what = self.by.heading();
        let columns = ["recordings", "objects", "bytes", "strong", "oldest"];
        let [recordings, objects, bytes, strong, oldest] = columns;
        let mut text =
            format!("{recordings:>10} {objects:>9} {bytes:>11} {strong:>8} {oldest:>9}  {what}\n");
        for (key, row) in self.sorted().into_iter().take(limit) {
            let Processes { processes, objects, bytes, strong, oldest } = row;
            let age = *oldest as f64 / 1e9;
            let _ = writeln!(
                text,
                "{processes:>10} {objects:>9} {bytes:>11} {strong:>8} {age:>8.1}s  {}",
                escape(key)
            );
        }
        text + &more(self.rows.len(), limit)
    }

    pub(crate) fn json(&self, limit: usize) -> Value {
        let name = self.by.name();
        let rows = self.sorted().into_iter().take(limit).map(|(key, row)| {
            json!({
                (name): key, "recordings": row.processes, "objects": row.objects, "bytes": row.bytes,
                "strong": row.strong, "oldest": row.oldest,
            })
        });
        json!({ "refscope_top": 1, "by": name, "rows": rows.collect::<Vec<_>>() })
    }
}

/// Makes the rows as JSON, `limit` of them at most.
pub(crate) fn json(living: &[LiveObject], end: Time, by: By, limit: usize) -> Value {
    let rows: Vec<Value> = match by {
        By::Stack => {
            let row = |(name, stack): &(String, String), sums: &Sums| {
                json!({
                    "type": name, "stack": stack.lines().collect::<Vec<_>>(), "objects": sums.objects,
                    "bytes": sums.bytes, "strong": sums.strong, "created": sums.oldest,
                })
            };
            stacks(living).iter().take(limit).map(|(key, sums)| row(key, sums)).collect()
        }
        _ => lines(living, end, by).iter().take(limit).map(|row| json!(row)).collect(),
    };
    json!({ "refscope_top": 1, "end": end, "rows": rows })
}

/// A row's sums.
struct Sums {
    objects: u64,
    bytes: u64,
    strong: u64,
    oldest: Time,
}

/// Makes the table, of `limit` rows at most.
pub(crate) fn table(living: &[LiveObject], end: Time, by: By, limit: usize) -> String {
    if by == By::Stack { by_stack(living, end, limit) } else { by_line(living, end, by, limit) }
}

fn lines(living: &[LiveObject], end: Time, by: By) -> Vec<Total> {
    let mut rows = totals(living);
    rows.sort_by_key(|row| {
        Reverse(match by {
            By::Bytes => row.bytes,
            By::Held => row.strong,
            By::Age => end.as_nanos().saturating_sub(row.created.as_nanos()),
            _ => row.objects,
        })
    });
    rows
}

fn by_line(living: &[LiveObject], end: Time, by: By, limit: usize) -> String {
    let rows = lines(living, end, by);
    let mut text = head("type, and where created");
    for row in rows.iter().take(limit) {
        let (objects, bytes, strong) = (row.objects, row.bytes, row.strong);
        let sums = Sums { objects, bytes, strong, oldest: row.created };
        let (name, line) = (escape(&row.type_name), row.location.to_string());
        let _ = writeln!(text, "{}  {}<{name}>  {}", sums.columns(end), row.kind, escape(&line));
    }
    text + &more(rows.len(), limit)
}

fn stacks(living: &[LiveObject]) -> Vec<((String, String), Sums)> {
    // Stacks that differ in std's functions alone are one to whoever reads them.
    let mut rows: BTreeMap<(String, String), Sums> = BTreeMap::new();
    let mut texts = BTreeMap::new();
    for object in living {
        let stack = object
            .stack
            .map(|stack| texts.entry(stack).or_insert_with(|| stack.resolve().to_string()).clone());
        let name = format!("{}<{}>", object.kind, object.type_name);
        let lines = stack.unwrap_or_else(|| format!("{}\n(no stack was taken)", object.location));
        let row = rows.entry((name, lines)).or_insert(Sums {
            objects: 0,
            bytes: 0,
            strong: 0,
            oldest: object.created,
        });
        row.objects += 1;
        row.bytes = row.bytes.saturating_add(object.size);
        row.strong += u64::from(object.strong);
        row.oldest = row.oldest.min(object.created);
    }
    let mut rows: Vec<_> = rows.into_iter().collect();
    rows.sort_by_key(|(_, row)| Reverse((row.objects, row.bytes)));
    rows
}

fn by_stack(living: &[LiveObject], end: Time, limit: usize) -> String {
    let rows = stacks(living);
    let mut text = head("type, and the stack that allocated it");
    for ((name, lines), row) in rows.iter().take(limit) {
        let _ = writeln!(text, "{}  {}", row.columns(end), escape(name));
        for line in lines.lines() {
            let _ = writeln!(text, "{:>14}{}", "", escape(line));
        }
    }
    text + &more(rows.len(), limit)
}

impl Sums {
    fn columns(&self, end: Time) -> String {
        let age = self.oldest.until(end).as_secs_f64();
        format!("{:>9} {:>11} {:>8} {age:>8.1}s", self.objects, self.bytes, self.strong)
    }
}

fn head(last: &str) -> String {
    format!("{:>9} {:>11} {:>8} {:>9}  {last}\n", "objects", "bytes", "strong", "oldest")
}

fn more(rows: usize, limit: usize) -> String {
    if rows > limit { format!("and {} more\n", rows - limit) } else { String::new() }
}
