//! `--by process`, `host` and `version`: what tells recordings of a fleet apart.

use clap::ValueEnum;
use refscope::__private::escape;
use refscope::Recording;
use refscope::analysis::LeakReport;
use serde_json::{Value, json};
use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::Path;

/// What tells recordings apart.
#[derive(Clone, Copy, PartialEq, ValueEnum)]
pub(crate) enum Apart {
    /// The process
    Process,
    /// The machine
    Host,
    /// The build of the program: its build id where the recording has it, else its file
    Version,
}

impl Apart {
    /// The word of the option, which is a key of the JSON too.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Process => "process",
            Self::Host => "host",
            Self::Version => "version",
        }
    }

    pub(crate) fn heading(self) -> &'static str {
        match self {
            Self::Process => "process",
            Self::Host => "machine",
            Self::Version => "build",
        }
    }

    /// What a recording is counted with; its file, where it does not say that.
    pub(crate) fn name_of(self, recording: &Recording, path: &Path) -> String {
        match (self, recording.origin()) {
            (Self::Host, Some(origin)) if !origin.host.is_empty() => origin.host.clone(),
            (Self::Version, Some(origin)) if !origin.build.is_empty() => {
                format!("{}  build {}", origin.program, origin.build)
            }
            (Self::Version, Some(origin)) if !origin.program.is_empty() => origin.program.clone(),
            (Self::Process, Some(origin)) if !origin.program.is_empty() => {
                // A number is used again after a while.
                let started = crate::leaks::utc(origin.started / 1000);
                format!(
                    "{} on {}, process {} from {started}",
                    origin.program, origin.host, origin.pid
                )
            }
            _ => path.display().to_string(),
        }
    }
}

/// The entries of several recordings' leak reports: of each line where it keeps something alive.
pub(crate) struct Spread {
    by: Apart,
    /// By fingerprint, then by what tells recordings apart.
    leaks: BTreeMap<u64, BTreeMap<String, Kept>>,
    /// The files, and their verdicts, that have no leak and do not pass.
    failed: Vec<(String, String)>,
}

struct Kept {
    recordings: u64,
    objects: u64,
    bytes: u64,
    /// Nanoseconds.
    oldest: u64,
    line: String,
    type_name: String,
}

impl Spread {
    pub(crate) fn new(by: Apart) -> Self {
        Self { by, leaks: BTreeMap::new(), failed: Vec::new() }
    }

    pub(crate) fn add(&mut self, recording: &Recording, path: &Path, report: &LeakReport) {
        if report.is_empty() && !report.passes() {
            self.failed.push((path.display().to_string(), report.verdict()));
        }
        let name = self.by.name_of(recording, path);
        for leak in report.leaks() {
            let example = leak.example();
            let rows = self.leaks.entry(leak.fingerprint).or_default();
            let row = rows.entry(name.clone()).or_insert_with(|| Kept {
                recordings: 0,
                objects: 0,
                bytes: 0,
                oldest: 0,
                line: leak
                    .cause
                    .location
                    .as_ref()
                    .map_or_else(|| "?".to_owned(), ToString::to_string),
                type_name: format!("{}<{}>", example.kind, example.type_name),
            });
            row.recordings += 1;
            row.objects += leak.count();
            row.bytes = row.bytes.saturating_add(leak.bytes());
            row.oldest = row.oldest.max(leak.age.as_nanos() as u64);
        }
    }

    /// The line that keeps most comes first, and of it where it does so most.
    fn sorted(&self) -> Vec<(u64, Vec<(&String, &Kept)>)> {
        let mut leaks: Vec<_> = self
            .leaks
            .iter()
            .map(|(print, rows)| {
                let mut rows: Vec<_> = rows.iter().collect();
                rows.sort_by_key(|(_, row)| Reverse((row.objects, row.bytes)));
                (*print, rows)
            })
            .collect();
        leaks
            .sort_by_key(|(_, rows)| Reverse(rows.iter().map(|(_, row)| row.objects).sum::<u64>()));
        leaks
    }

    pub(crate) fn table(&self) -> String {
        let mut text = String::new();
        for (path, verdict) in &self.failed {
            let _ = writeln!(text, "{}: {verdict}", escape(path));
        }
        if self.leaks.is_empty() && text.is_empty() {
            return "nothing that is asked for was alive\n".to_owned();
        }
        for (print, rows) in self.sorted() {
            let Some((_, first)) = rows.first() else { continue };
            let (line, name) = (escape(&first.line), escape(&first.type_name));
            let _ = writeln!(text, "{line} keeps {name}  [{:08x}]", print >> 32);
            let columns = ["recordings", "objects", "bytes", "oldest"];
            let [recordings, objects, bytes, oldest] = columns;
            let heading = self.by.heading();
            let _ =
                writeln!(text, "{recordings:>12} {objects:>9} {bytes:>11} {oldest:>9}  {heading}");
            for (key, row) in rows {
                let Kept { recordings, objects, bytes, oldest, .. } = row;
                let age = *oldest as f64 / 1e9;
                let _ = writeln!(
                    text,
                    "{recordings:>12} {objects:>9} {bytes:>11} {age:>8.1}s  {}",
                    escape(key)
                );
            }
        }
        text
    }

    pub(crate) fn json(&self) -> Value {
        let by = self.by.name();
        let rows = self.sorted().into_iter().flat_map(|(print, rows)| {
            let row = move |(key, row): (&String, &Kept)| {
                json!({
                    "fingerprint": format!("{print:016x}"), (by): key, "line": row.line, "type": row.type_name,
                    "recordings": row.recordings, "objects": row.objects, "bytes": row.bytes, "oldest": row.oldest,
                })
            };
            rows.into_iter().map(row).collect::<Vec<_>>()
        });
        let failed = self.failed.iter();
        let failed = failed.map(|(path, verdict)| json!({ "file": path, "verdict": verdict }));
        json!({
            "refscope_leaks_by": 1, "by": by, "rows": rows.collect::<Vec<_>>(), "failed": failed.collect::<Vec<_>>(),
        })
    }
}
