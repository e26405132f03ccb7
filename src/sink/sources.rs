//! What a recording says of the source files that it names, so that the lines are shown where the files are not: what each
//! file is, and the lines around each location.

use crate::event::Caller;
use crate::model::CONTEXT;
use std::collections::{BTreeMap, HashMap};
use std::sync::atomic::{AtomicBool, Ordering};

/// Sets whether recordings in files have the lines of source code around each location, which reports then show on any machine.
/// Default: they do; `REFSCOPE=…,nosource` is the same without a line of code.
///
/// Without, a recording has the name, length and hash of each file, and its lines are shown where the file is at hand.
///
/// # Examples
///
/// ```
/// refscope::sink::set_source_lines(false); // what is sent to others has none of the code
/// ```
pub fn set_source_lines(lines: bool) {
    // Relaxed: it guards nothing; a file that is being written may have some lines more.
    LINES.store(lines, Ordering::Relaxed);
}

static LINES: AtomicBool = AtomicBool::new(true);

/// Bytes of source lines that a recording has at most; of a bounded one an eighth may be such.
const MOST_BYTES: u64 = 16 << 20;

/// A longer line is one that no person wrote.
const LONGEST_LINE: usize = 2 << 10;

/// What a recording does not have yet of sources: files, and locations with their numbers.
#[derive(Default)]
pub(super) struct New {
    pub(super) files: Vec<&'static str>,
    pub(super) sites: Vec<(u64, Caller)>,
}

impl New {
    pub(super) fn is_empty(&self) -> bool {
        self.files.is_empty() && self.sites.is_empty()
    }
}

/// What a recording says of sources.
pub(super) enum SourceEntry<'a> {
    /// A file's length, and its hash.
    File(&'static str, (u64, u64)),
    /// Of a location the number, that of the first line, and the lines.
    Lines(u64, u32, &'a str),
}

/// Reads sources for a recording, where no event waits.
pub(super) struct Sources {
    /// What each file was when it was first read; `None` where it could not be.
    files: HashMap<&'static str, Option<(u64, u64)>>,
    most: u64,
    left: u64,
}

impl Sources {
    /// For a recording of so many bytes at most.
    pub(super) fn new(bound: Option<u64>) -> Self {
        let most = bound.map_or(MOST_BYTES, |bytes| MOST_BYTES.min(bytes / 8));
        Self { files: HashMap::new(), most, left: most }
    }

    /// A new part has room of its own.
    pub(super) fn begin_part(&mut self) {
        self.left = self.most;
    }

    /// Reads what is new, and passes it to `write`.
    pub(super) fn read_new(&mut self, new: New, mut write: impl FnMut(SourceEntry<'_>)) {
        let mut sites: BTreeMap<&'static str, Vec<(u64, Caller)>> = BTreeMap::new();
        if LINES.load(Ordering::Relaxed) {
            for (number, site) in new.sites {
                sites.entry(site.file()).or_default().push((number, site));
            }
        }
        let files: BTreeMap<_, _> = sites.keys().map(|file| (*file, false)).collect();
        let mut all = files;
        all.extend(new.files.iter().map(|file| (*file, true)));
        for (file, is_new) in all {
            if self.files.get(file).is_some_and(Option::is_none) {
                continue;
            }
            let text = crate::source_file::text_of_this_process(file);
            let is = text.as_ref().map(|text| (text.len() as u64, crate::text::hash(text)));
            let first = *self.files.entry(file).or_insert(is);
            if let (true, Some(first)) = (is_new, first) {
                write(SourceEntry::File(file, first));
            }
            // One that was edited meanwhile has other lines.
            let Some(text) = text.filter(|_| is == first) else { continue };
            let sites = sites.remove(file).unwrap_or_default();
            self.lines(&text, &sites, &mut write);
        }
    }

    fn lines(
        &mut self,
        text: &str,
        sites: &[(u64, Caller)],
        write: &mut impl FnMut(SourceEntry<'_>),
    ) {
        let lines: Vec<&str> = text.lines().collect();
        for (number, site) in sites {
            let first = site.line().saturating_sub(CONTEXT).max(1);
            let last = site.line().saturating_add(CONTEXT) as usize;
            let Some(around) = lines.get(first as usize - 1..last.min(lines.len())) else {
                continue;
            };
            if around.iter().any(|line| line.len() > LONGEST_LINE) {
                continue;
            }
            let around = around.join("\n");
            let Some(left) = self.left.checked_sub(around.len() as u64) else { continue };
            self.left = left;
            write(SourceEntry::Lines(*number, first, &around));
        }
    }
}
