//! `refscope diff`: what a recording has alive at its end that another one had not.

use crate::Failed;
use crate::apart::Apart;
use crate::arguments::Filter;
use crate::input::Input;
use refscope::__private::{escape, totals};
use serde_json::{Value, json};
use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};

/// What is alive of one type and line, in one recording and in the other.
pub(crate) struct Row {
    /// The process, machine or build; empty where these are not told apart.
    of: String,
    name: String,
    location: String,
    /// Objects, and bytes.
    before: (u64, u64),
    after: (u64, u64),
}

/// Returns what differs, the greatest growth first.
pub(crate) fn rows(
    a: &[Input],
    b: &[Input],
    filter: &Filter,
    by: Option<Apart>,
) -> Result<Vec<Row>, Failed> {
    // Of several processes the sums.
    let count = |files: &[Input]| -> Result<BTreeMap<_, _>, Failed> {
        let mut sums: BTreeMap<(String, String, String), (u64, u64)> = BTreeMap::new();
        for file in files {
            let (recording, mut living) = file.live()?;
            file.warn_of_lost(&recording);
            let of = by.map_or_else(String::new, |by| by.name_of(&recording, file.path()));
            filter.living(&mut living);
            for row in totals(&living) {
                let name = format!("{}<{}>", row.kind, row.type_name);
                let sum = sums.entry((of.clone(), name, row.location.to_string())).or_default();
                *sum = (sum.0 + row.objects, sum.1.saturating_add(row.bytes));
            }
        }
        Ok(sums)
    };
    let (before, after) = (count(a)?, count(b)?);
    let keys: BTreeSet<_> = before.keys().chain(after.keys()).collect();
    let get = |counts: &BTreeMap<_, _>, key| counts.get(key).copied().unwrap_or((0_u64, 0_u64));
    let rows = keys.into_iter().map(|key| {
        let (of, name, location) = key.clone();
        Row { of, name, location, before: get(&before, key), after: get(&after, key) }
    });
    let mut rows: Vec<_> = rows.filter(|row| row.before != row.after).collect();
    rows.sort_by_key(|row| Reverse(row.more().1));
    Ok(rows)
}

impl Row {
    fn more(&self) -> (i128, i128) {
        let more = |before: u64, after: u64| i128::from(after) - i128::from(before);
        (more(self.before.0, self.after.0), more(self.before.1, self.after.1))
    }
}

/// Makes the table.
pub(crate) fn table(rows: &[Row], by: Option<Apart>) -> String {
    if rows.is_empty() {
        return "nothing differs: of each type and line both have as many objects alive\n"
            .to_owned();
    }
    let mut text =
        format!("{:>9} {:>9} {:>9} {:>11}  type, and where created", "A", "B", "more", "bytes");
    text.push_str(&by.map_or_else(String::new, |by| format!("; {}", by.heading())));
    text.push('\n');
    for row in rows {
        let ((objects, bytes), (name, location)) =
            (row.more(), (escape(&row.name), escape(&row.location)));
        let (before, after) = (row.before.0, row.after.0);
        text.push_str(&format!(
            "{before:>9} {after:>9} {objects:>+9} {bytes:>+11}  {name}  {location}"
        ));
        if by.is_some() {
            text.push_str(&format!("; {}", escape(&row.of)));
        }
        text.push('\n');
    }
    text
}

/// Makes the same as JSON.
pub(crate) fn json(rows: &[Row], by: Option<Apart>) -> Value {
    let row = |row: &Row| {
        let mut json = json!({
            "type": row.name, "location": row.location,
            "a": { "objects": row.before.0, "bytes": row.before.1 },
            "b": { "objects": row.after.0, "bytes": row.after.1 },
        });
        if let Some(by) = by {
            json[by.name()] = row.of.as_str().into();
        }
        json
    };
    json!({ "refscope_diff": 1, "rows": rows.iter().map(row).collect::<Vec<_>>() })
}
