//! An object's history on a row of columns: steps of the counts, lifelines of the handles.

use super::style::{Glyphs, Pen};
use crate::analysis::{Lifeline, Point, Timeline};
use crate::event::Strength;

/// Maps the places of a history onto columns.
#[derive(Clone, Copy, Debug)]
pub(super) struct Axis {
    last: u64,
    columns: usize,
}

impl Axis {
    pub(super) fn new(timeline: &Timeline<'_>, columns: usize) -> Self {
        let last = timeline.points.last().map_or(1, |point| point.seq);
        // A short history takes three columns an event, not the whole width.
        let columns = columns.min(usize::try_from(last.saturating_mul(3)).unwrap_or(columns));
        Self { last, columns: columns.max(1) }
    }

    pub(super) fn columns(self) -> usize {
        self.columns
    }

    /// The column in which an event stands.
    fn column(self, seq: u64) -> usize {
        let place = u128::from(seq.saturating_sub(1)) * self.columns as u128;
        let column = place / u128::from(self.last.max(1));
        usize::try_from(column).unwrap_or(usize::MAX).min(self.columns - 1)
    }
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
        let height = &mut heights[axis.column(point.seq)];
        *height = Some(height.unwrap_or(0).max(value(point)));
    }
    if let (Some(height), Some(point)) = (heights.last_mut(), points.last())
        && axis.column(point.seq) + 1 == axis.columns
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

/// The life of a handle.
pub(super) fn lifeline(axis: Axis, line: &Lifeline, glyphs: &Glyphs) -> String {
    let pen = match line.strength {
        Strength::Strong => &glyphs.strong,
        Strength::Weak => &glyphs.weak,
    };
    let from = axis.column(line.handle);
    match line.end {
        Some(end) => draw(from, axis.column(end.seq), pen, pen.end),
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
        let to = line.end.map_or(axis.columns - 1, |end| axis.column(end.seq));
        columns[axis.column(line.handle)..=to].fill(glyphs.folded);
    }
    columns.into_iter().collect::<String>().trim_end().to_owned()
}
