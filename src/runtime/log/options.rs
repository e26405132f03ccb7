//! What a user chooses of a log. Where tracing is off it is there as well, without the log.

/// Which clock a [`Recorder`](crate::sink::Recorder) stamps its events with.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Clock {
    /// Read on each event, one load: moves every millisecond or so.
    #[default]
    Coarse,
    /// Read on each event: some 20 to 45 ns a reading; moves every nanosecond.
    Precise,
    /// No clock is read: order alone.
    None,
}

/// What a recorder does when its budget is used up.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Overflow {
    /// Keep what is there; further events are lost.
    #[default]
    DropNewest,
    /// Keep the newest events; the oldest are lost, a segment of some hundred at a time. Which objects are
    /// alive, what they are and their counts is never lost.
    DropOldest,
}
