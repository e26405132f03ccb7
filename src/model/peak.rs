//! What was alive shortly before the end, and is not at it.

use crate::event::{Kind, Location, Time, short_type};
use crate::text::{age, count, escape, short_file};
use std::borrow::Cow;
use std::fmt;
use std::time::Duration;

/// How long before the end something has to have been near its peak to be mentioned.
pub(crate) const SHORTLY: Duration = Duration::from_millis(500);

/// Objects of one type and line, most of which were dropped shortly before the end: growth that a shutdown hides.
///
/// `Display` is a line of text.
#[derive(Clone, Debug)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct Peak {
    /// The kind of pointer they are behind.
    pub kind: Kind,
    /// The type's full name.
    pub type_name: Cow<'static, str>,
    /// The line that made them.
    pub location: Location,
    /// How many were alive at once.
    pub peak: u64,
    /// How many are alive at the end.
    pub left: u64,
    /// When there were so many.
    pub time: Time,
    /// How long before the end there were more than half as many for the last time.
    pub ago: Duration,
    /// The line whose handles kept most of them, if it is known and not the one that made them.
    pub holder: Option<Location>,
}

impl fmt::Display for Peak {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let line = |at: &Location| format!("{}:{}", escape(short_file(&at.file)), at.line);
        let name = short_type(&self.type_name);
        write!(f, "{}<{}> at {}", self.kind, escape(&name), line(&self.location))?;
        write!(f, ": {} at the peak", count(self.peak))?;
        if let Some(holder) = &self.holder {
            write!(f, " (kept by handles of {})", line(holder))?;
        }
        let dropped = match self.left {
            0 => "all".to_owned(),
            left => count(self.peak.saturating_sub(left)),
        };
        write!(f, ", {dropped} dropped in the last {}", age(self.ago))
    }
}

/// When an object was made, and when its last strong handle was dropped.
#[cfg(feature = "json")]
pub(crate) type Life = (Time, Option<Time>);

/// What has lived shorter is passed over, as where objects are counted from time to time.
#[cfg(feature = "json")]
pub(crate) const BRIEFLY: Duration = Duration::from_millis(10);

/// How many of these were alive at once, at most, shortly before the end; when that was; and until when there were more than
/// half as many. `None` where that many are alive at the end, or nearly so, or it is one.
#[cfg(feature = "json")]
pub(crate) fn peak_of(lives: &[Life], end: Time) -> Option<(u64, Time, Time)> {
    // What ends at a moment ends before others begin at it: clocks are coarse, and these were not alive at once.
    let mut changes: Vec<(Time, i64)> = Vec::new();
    let mut left: i64 = 0;
    for &(born, ended) in lives {
        let is_brief = born.until(ended.unwrap_or(end)) < BRIEFLY;
        if ended.is_some_and(|ended| ended.until(end) > SHORTLY || is_brief) {
            continue;
        }
        changes.push((born, 1));
        match ended {
            Some(ended) => changes.push((ended, -1)),
            None => left += 1,
        }
    }
    changes.sort_unstable();
    let (mut now, mut peak, mut at) = (0, 0, Time::START);
    for &(time, change) in &changes {
        now += change;
        if now > peak {
            (peak, at) = (now, time);
        }
    }
    if peak < 2 || left * 2 > peak {
        return None;
    }
    let (mut now, mut high) = (0, Time::START);
    for (time, change) in changes {
        if now * 2 > peak {
            high = time;
        }
        now += change;
    }
    Some((peak as u64, at, high))
}

#[cfg(all(test, feature = "json"))]
mod tests {
    use super::peak_of;
    use crate::event::Time;

    const fn ms(ms: u64) -> Time {
        Time::from_nanos(ms * 1_000_000)
    }

    #[test]
    fn what_was_alive_at_once_shortly_before_the_end() {
        let lives = |lives: &[(u64, u64)]| {
            let ended = |end| (end != 0).then(|| ms(end));
            let lives: Vec<_> = lives.iter().map(|&(born, end)| (ms(born), ended(end))).collect();
            peak_of(&lives, ms(2_000))
        };
        assert_eq!(lives(&[(10, 1_990), (20, 1_980), (30, 1_970)]), Some((3, ms(30), ms(1_980))));
        assert_eq!(lives(&[(10, 1_990), (20, 1_980), (30, 0)]), Some((3, ms(30), ms(1_990))));
        assert_eq!(lives(&[(10, 1_990), (20, 0), (30, 0)]), None, "most are alive");
        assert_eq!(lives(&[(10, 1_400), (20, 1_400), (30, 1_990)]), None, "that was before");
        assert_eq!(lives(&[(1_900, 1_909), (1_900, 1_909)]), None, "they came and went");
        assert_eq!(lives(&[(10, 1_900), (1_900, 1_990)]), None, "one after the other");
        assert_eq!(lives(&[]), None);
    }
}
