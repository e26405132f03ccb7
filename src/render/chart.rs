//! An object's history on a row of columns: steps of the counts, lifelines of the handles.

use super::style::{Glyphs, Pen};
use crate::analysis::{Lifeline, Point, Timeline};
use crate::event::{Strength, Time};
use std::time::Duration;

/// What stands on the axis.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum By {
    Time,
    Events,
}

/// Maps the moments of a history onto columns.
#[derive(Clone, Copy, Debug)]
pub(super) struct Axis {
    by: By,
    /// The first moment, and how many there are: of events, or of nanoseconds.
    first: u64,
    span: u64,
    columns: usize,
}

/// A moment of a history.
#[derive(Clone, Copy, Debug)]
pub(super) struct Moment {
    pub(super) seq: u64,
    pub(super) time: Time,
}

impl Axis {
    /// An axis of the history up to `end`, by time if that tells its events apart.
    pub(super) fn new(timeline: &Timeline<'_>, by: By, end: Time, columns: usize) -> Self {
        let points = &timeline.points;
        let events = points.last().map_or(1, |point| point.seq).max(1);
        // A short history takes three columns an event, not the whole width.
        let few = usize::try_from(events.saturating_mul(3)).unwrap_or(columns);
        let first = points.iter().map(|point| point.time).min().unwrap_or(end);
        let last = points.iter().map(|point| point.time).max().unwrap_or(end).max(end);
        let span = last.as_nanos().saturating_sub(first.as_nanos());
        match by {
            By::Time if distinct(points) >= FEW_TIMES => Self {
                by,
                first: first.as_nanos(),
                span: span.saturating_add(1),
                columns: columns.max(1),
            },
            _ => Self { by: By::Events, first: 1, span: events, columns: columns.min(few).max(1) },
        }
    }

    pub(super) fn columns(self) -> usize {
        self.columns
    }

    /// What stands below the chart: where it begins and ends, and in which unit. None where there is no room, as below a history
    /// of two events.
    pub(super) fn label(self) -> Option<String> {
        let (first, last) = match self.by {
            By::Time => ("0".to_owned(), super::age(Duration::from_nanos(self.span - 1))),
            By::Events => ("1".to_owned(), super::plural(self.span, "event")),
        };
        let blanks = self.columns.saturating_sub(first.len() + last.len());
        (blanks > 0).then(|| format!("{first}{}{last}", " ".repeat(blanks)))
    }

    /// The column in which a moment stands.
    fn column(self, moment: Moment) -> usize {
        let moment = match self.by {
            By::Time => moment.time.as_nanos(),
            By::Events => moment.seq,
        };
        let place = u128::from(moment.saturating_sub(self.first)) * self.columns as u128;
        let column = place / u128::from(self.span.max(1));
        usize::try_from(column).unwrap_or(usize::MAX).min(self.columns - 1)
    }
}

/// With fewer different times a history is one of the clock's ticks.
const FEW_TIMES: usize = 3;

fn distinct(points: &[Point]) -> usize {
    let mut times: Vec<Time> = points.iter().map(|point| point.time).collect();
    times.sort_unstable();
    times.dedup();
    times.len()
}

/// A count over the history: in each column its highest value, in the last its last.
pub(super) fn steps(
    axis: Axis,
    points: &[Point],
    glyphs: &Glyphs,
    value: impl Fn(&Point) -> u32,
) -> String {
    let mut heights: Vec<Option<u32>> = vec![None; axis.columns];
    for point in points {
        let height = &mut heights[axis.column(Moment { seq: point.seq, time: point.time })];
        *height = Some(height.unwrap_or(0).max(value(point)));
    }
    if let (Some(height), Some(point)) = (heights.last_mut(), points.last())
        && axis.column(Moment { seq: point.seq, time: point.time }) + 1 == axis.columns
    {
        *height = Some(value(point));
    }
    let peak = points.iter().map(&value).max().unwrap_or(0);
    let mut now = 0;
    heights
        .into_iter()
        .map(|height| {
            now = height.unwrap_or(now);
            bar(now, peak, glyphs)
        })
        .collect()
}

/// Counts up to eight are themselves; above, an eighth of the peak is one.
fn bar(value: u32, peak: u32, glyphs: &Glyphs) -> char {
    let eighths =
        if peak <= 8 { u64::from(value) } else { (u64::from(value) * 8).div_ceil(u64::from(peak)) };
    match eighths {
        0 => ' ',
        n => glyphs.bars[(n as usize - 1).min(7)],
    }
}

fn begin(line: &Lifeline) -> Moment {
    Moment { seq: line.handle.number(), time: line.created }
}

/// The life of a handle.
pub(super) fn lifeline(axis: Axis, line: &Lifeline, glyphs: &Glyphs) -> String {
    let pen = match line.strength {
        Strength::Strong => &glyphs.strong,
        Strength::Weak => &glyphs.weak,
    };
    let from = axis.column(begin(line));
    match line.end {
        Some(end) => draw(from, axis.column(Moment { seq: end.seq, time: end.time }), pen, pen.end),
        None => draw(from, axis.columns - 1, pen, pen.alive),
    }
}

fn draw(from: usize, to: usize, pen: &Pen, last: char) -> String {
    let mut text = " ".repeat(from);
    if from >= to {
        text.push(if last == pen.end { pen.both } else { last });
        return text;
    }
    text.push(pen.begin);
    text.extend(std::iter::repeat_n(pen.body, to - from - 1));
    text.push(last);
    text
}

/// The stretch in which handles that are shown as one lived.
pub(super) fn folded<'a>(
    axis: Axis,
    lines: impl IntoIterator<Item = &'a Lifeline>,
    glyphs: &Glyphs,
) -> String {
    let mut columns = vec![' '; axis.columns];
    for line in lines {
        let to = line
            .end
            .map_or(axis.columns - 1, |end| axis.column(Moment { seq: end.seq, time: end.time }));
        // Clocks of different threads may differ by a tick.
        let from = axis.column(begin(line));
        columns[from..=to.max(from)].fill(glyphs.folded);
    }
    columns.into_iter().collect::<String>().trim_end().to_owned()
}
