//! What stands below the objects that are drawn: how many more there are, and all of it in a line.

use super::style::{Line, Look};
use super::terminal::{Terminal, shorten, type_of};
use super::{bytes, count, plural};
use crate::analysis::{Timeline, Timelines};
use std::collections::BTreeMap;
use std::fmt;

/// Sums over objects.
#[derive(Clone, Debug, Default)]
pub(super) struct Sums {
    objects: u64,
    events: u64,
    alive: u64,
    alive_bytes: u64,
    /// By type: how many, and how many of them are alive.
    types: BTreeMap<String, (u64, u64)>,
}

impl Sums {
    pub(super) fn of(timelines: &Timelines<'_>) -> Self {
        let mut sums = Self::default();
        for timeline in timelines {
            let (all, alive) = sums.types.entry(type_of(timeline)).or_default();
            let is_alive = timeline.is_alive();
            *all += 1;
            *alive += u64::from(is_alive);
            sums.objects += 1;
            sums.events += timeline.events.len() as u64;
            sums.alive += u64::from(is_alive);
            if is_alive {
                sums.alive_bytes = sums.alive_bytes.saturating_add(timeline.object.size);
            }
        }
        sums
    }

    #[cfg(feature = "json")]
    pub(super) fn of_survey(survey: &crate::model::Survey) -> Self {
        let mut types: BTreeMap<String, (u64, u64)> = BTreeMap::new();
        for ((kind, name), (all, alive)) in &survey.types {
            let name = format!("{kind}<{}>", crate::event::short_type(name));
            let sums = types.entry(name).or_default();
            *sums = (sums.0 + all, sums.1 + alive);
        }
        let (objects, events, alive) = (survey.objects, survey.events, survey.alive);
        Self { objects, events, alive, alive_bytes: survey.alive_bytes, types }
    }

    /// Writes what there is beside the objects that are drawn, by type.
    pub(super) fn write_rest(
        &self,
        how: &Terminal,
        shown: &[&Timeline<'_>],
        out: &mut impl fmt::Write,
    ) -> fmt::Result {
        let mut rest = self.types.clone();
        for timeline in shown {
            if let Some((all, alive)) = rest.get_mut(&type_of(timeline)) {
                *all = all.saturating_sub(1);
                *alive = alive.saturating_sub(timeline.is_alive().into());
            }
        }
        rest.retain(|_, (all, _)| *all > 0);
        if rest.is_empty() {
            return Ok(());
        }
        let all = rest.values().map(|(all, _)| all).sum();
        let mut line = how.line();
        let more = plural(all, "more object");
        line.put(Look::Dim, &format!("{} and {more}:", how.glyphs().ellipsis));
        writeln!(out, "{}", line.finish())?;
        let digits = rest.values().map(|(all, _)| count(*all).len()).max().unwrap_or(0);
        for (name, (all, alive)) in rest {
            let mut line = how.line();
            line.put(Look::Dim, &format!("  {:>digits$}  ", count(all)));
            let room = how.width.saturating_sub(line.width() + 16);
            line.put(Look::Plain, &shorten(&name, room, how.glyphs()));
            if alive > 0 {
                line.put(Look::Alive, &format!("  {} alive", count(alive)));
            }
            writeln!(out, "{}", line.finish())?;
        }
        Ok(())
    }

    /// Writes a summary of one line, last, where the eye ends.
    pub(super) fn write(
        &self,
        how: &Terminal,
        threads: usize,
        out: &mut impl fmt::Write,
    ) -> fmt::Result {
        if self.objects < 2 {
            return Ok(());
        }
        let mut line: Line = how.line();
        line.put(Look::Name, &plural(self.objects, "object"));
        let dot = how.glyphs().dot;
        if self.alive > 0 {
            line.put(Look::Dim, dot).put(Look::Alive, &format!("{} alive", count(self.alive)));
            line.put(Look::Alive, &format!(" with {}", bytes(self.alive_bytes)));
        } else {
            line.put(Look::Dim, dot).put(Look::Plain, "none alive");
        }
        let rest = format!(
            "{}{}",
            plural(self.events, "event"),
            match threads as u64 {
                0 | 1 => String::new(),
                n => format!(" on {}", plural(n, "thread")),
            }
        );
        line.put(Look::Dim, dot).put(Look::Dim, &rest);
        writeln!(out, "{}", line.finish())
    }
}
