//! `refscope diff`: what a recording has alive at its end that another one had not.

use crate::Failed;
use crate::arguments::Filter;
use crate::input::read_living;
use refscope::__private::{escape, totals};
use serde_json::{Value, json};
use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

/// What is alive of one type and line, in one recording and in the other.
pub(crate) struct Row {
    name: String,
    location: String,
    /// Objects, and bytes.
    before: (u64, u64),
    after: (u64, u64),
}

/// Returns what differs, the greatest growth first.
pub(crate) fn rows(a: &Path, b: &Path, filter: &Filter) -> Result<Vec<Row>, Failed> {
    let count = |path: &Path| -> Result<BTreeMap<_, _>, Failed> {
        let (_, mut living) = read_living(path)?;
        filter.living(&mut living);
        let totals = totals(&living).into_iter().map(|row| {
            let name = format!("{}<{}>", row.kind, row.type_name);
            ((name, row.location.to_string()), (row.objects, row.bytes))
        });
        Ok(totals.collect())
    };
    let (before, after) = (count(a)?, count(b)?);
    let keys: BTreeSet<_> = before.keys().chain(after.keys()).collect();
    let get = |counts: &BTreeMap<_, _>, key| counts.get(key).copied().unwrap_or((0_u64, 0_u64));
    let rows = keys.into_iter().map(|key| {
        let (name, location) = key.clone();
        Row { name, location, before: get(&before, key), after: get(&after, key) }
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
pub(crate) fn table(rows: &[Row]) -> String {
    let mut text =
        format!("{:>9} {:>9} {:>9} {:>11}  type, and where created\n", "A", "B", "more", "bytes");
    for row in rows {
        let ((objects, bytes), (name, location)) =
            (row.more(), (escape(&row.name), escape(&row.location)));
        let (before, after) = (row.before.0, row.after.0);
        text.push_str(&format!(
            "{before:>9} {after:>9} {objects:>+9} {bytes:>+11}  {name}  {location}\n"
        ));
    }
    text
}

/// Makes the same as JSON.
pub(crate) fn json(rows: &[Row]) -> Value {
    let row = |row: &Row| {
        json!({
            "type": row.name, "location": row.location,
            "a": { "objects": row.before.0, "bytes": row.before.1 },
            "b": { "objects": row.after.0, "bytes": row.after.1 },
        })
    };
    json!({ "refscope_diff": 1, "rows": rows.iter().map(row).collect::<Vec<_>>() })
}
