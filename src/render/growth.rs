//! Growth as text.

use super::{age, bytes, count, plural};
use crate::analysis::{Grown, Growth};
use std::fmt;

/// A table: the type, how many were allocated and are alive, how many a minute, and where.
impl fmt::Display for Growth {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let minutes = self.duration().as_secs_f64() / 60.0;
        write!(
            f,
            "{} allocated and alive after {}; {} gone",
            plural(self.objects(), "object"),
            age(self.duration()),
            count(self.gone())
        )?;
        for Grown { added, before, now, kept_by } in self.grown().iter().take(10) {
            let rate = if minutes >= 0.05 {
                format!(", {:.1} a minute", added.objects as f64 / minutes)
            } else {
                String::new()
            };
            let name = format!("{}<{}>", added.kind, crate::event::short_type(&added.type_name));
            write!(
                f,
                "\n  +{:<6} {}  {} -> {}{rate}, {}  at {}",
                count(added.objects),
                super::escape(&name),
                count(*before),
                count(*now),
                bytes(added.bytes),
                super::escape(&super::report::at(&added.location))
            )?;
            if let Some(line) = kept_by.as_ref().filter(|line| **line != added.location) {
                write!(f, "\n          kept by {}", super::escape(&super::report::at(line)))?;
            }
        }
        if self.grown().len() > 10 {
            write!(f, "\n  and {} more", self.grown().len() - 10)?;
        }
        Ok(())
    }
}
