//! Which objects are wanted, decided once for each.

use super::Object;
use std::borrow::Cow;
use std::fmt;
use std::ops::RangeInclusive;
use std::sync::atomic::{AtomicU64, Ordering};

/// Which objects are wanted: by type, line, size, and one in so many. What is left out is
/// [counted](crate::untraced_counts), and costs from then on what an untraced object costs.
///
/// Each condition narrows the choice; several types, or several sites, are alternatives.
#[must_use = "a filter filters nothing until it is part of a sink"]
pub struct ObjectFilter {
    types: Vec<String>,
    sites: Vec<String>,
    sizes: RangeInclusive<u64>,
    one_in: u64,
    met: AtomicU64,
}

impl ObjectFilter {
    /// Creates a filter that accepts every object.
    pub fn all() -> Self {
        let (types, sites) = (Vec::new(), Vec::new());
        Self { types, sites, sizes: 0..=u64::MAX, one_in: 1, met: AtomicU64::new(0) }
    }

    /// Accepts only objects whose type's full name contains `name`: `"Session"`, `"app::net::Session"`.
    pub fn of_type(mut self, name: impl Into<String>) -> Self {
        self.types.push(name.into());
        self
    }

    /// Accepts only objects that are allocated on a line whose file's path contains `place`: `"src/net"`, `"session.rs"`.
    /// A module's path does as well: `net::session` is `net/session`.
    pub fn located_in(mut self, place: impl Into<String>) -> Self {
        self.sites.push(place.into().replace("::", "/"));
        self
    }

    /// Accepts only objects whose value has at least so many bytes.
    pub fn at_least(mut self, bytes: u64) -> Self {
        self.sizes = bytes..=*self.sizes.end();
        self
    }

    /// Accepts only objects whose value has at most so many bytes.
    pub fn at_most(mut self, bytes: u64) -> Self {
        self.sizes = *self.sizes.start()..=bytes;
        self
    }

    /// Accepts, of those that the other conditions leave, only the first and every `n`th after it.
    ///
    /// # Panics
    ///
    /// Panics if `n` is 0.
    pub fn one_in(mut self, n: u64) -> Self {
        assert!(n > 0, "one in 0 objects: 1 takes them all");
        self.one_in = n;
        self
    }

    /// Returns whether `object` is accepted. Counts it for [`one_in`](Self::one_in).
    pub fn accepts(&self, object: &Object) -> bool {
        let any = |texts: &[String], text: &str| {
            texts.is_empty() || texts.iter().any(|part| text.contains(part.as_str()))
        };
        self.sizes.contains(&object.size())
            && any(&self.types, object.type_name())
            && self.is_located(&object.location().file)
            // Relaxed: a counter.
            && (self.one_in == 1
                || self.met.fetch_add(1, Ordering::Relaxed).is_multiple_of(self.one_in))
    }
}

impl ObjectFilter {
    fn is_located(&self, file: &str) -> bool {
        // This is asked at each birth: a path of Windows alone is written anew.
        let file = if !self.sites.is_empty() && file.contains('\\') {
            Cow::Owned(file.replace('\\', "/"))
        } else {
            Cow::Borrowed(file)
        };
        self.sites.is_empty() || self.sites.iter().any(|part| file.contains(part.as_str()))
    }
}

impl Default for ObjectFilter {
    fn default() -> Self {
        Self::all()
    }
}

impl fmt::Debug for ObjectFilter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ObjectFilter")
            .field("types", &self.types)
            .field("sites", &self.sites)
            .field("sizes", &self.sizes)
            .field("one_in", &self.one_in)
            .finish_non_exhaustive()
    }
}
