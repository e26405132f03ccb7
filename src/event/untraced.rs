/// What is missing from reports and recordings, counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct UntracedCounts {
    /// Objects that a filter left out.
    pub filtered: u64,
    /// Objects allocated inside a sink.
    pub inside_sink: u64,
    /// Objects that found the ledger full, or were made in a signal's handler that could not have what it needs.
    pub ledger_full: u64,
    /// Handles of traced objects that found the ledger full, or were made in such a handler.
    pub handles_refused: u64,
    /// Handles and events refused because an object was near its limits.
    pub past_limits: u64,
    /// Events lost by a full recorder or an unwritable file: in a report of a recording. A report of what is alive needs no
    /// events, and has 0, as [`untraced_counts`](crate::untraced_counts) has; the sinks know theirs
    /// ([`Recorder::lost`](crate::sink::Recorder::lost)).
    pub lost: u64,
    /// Handles whose path was cut to its ends because the table of paths was full.
    pub paths_cut: u64,
    /// Handles whose span is not known because the table of spans was full.
    pub spans_unknown: u64,
    /// Threads whose name is not known because the table of names was full.
    pub threads_unnamed: u64,
}

impl UntracedCounts {
    /// Returns how many objects were left out by a filter or a full ledger.
    pub const fn objects(&self) -> u64 {
        self.filtered.saturating_add(self.ledger_full)
    }

    /// What was added since `earlier`.
    pub(crate) const fn since(&self, earlier: &Self) -> Self {
        Self {
            filtered: self.filtered.saturating_sub(earlier.filtered),
            inside_sink: self.inside_sink.saturating_sub(earlier.inside_sink),
            ledger_full: self.ledger_full.saturating_sub(earlier.ledger_full),
            handles_refused: self.handles_refused.saturating_sub(earlier.handles_refused),
            past_limits: self.past_limits.saturating_sub(earlier.past_limits),
            lost: self.lost.saturating_sub(earlier.lost),
            paths_cut: self.paths_cut.saturating_sub(earlier.paths_cut),
            spans_unknown: self.spans_unknown.saturating_sub(earlier.spans_unknown),
            threads_unnamed: self.threads_unnamed.saturating_sub(earlier.threads_unnamed),
        }
    }
}
