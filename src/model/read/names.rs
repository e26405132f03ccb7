//! Names of types, of which each object has one.

use std::borrow::Cow;
use std::collections::HashSet;

/// Names of types, kept for the life of the process as far as they are few: every object has one.
#[derive(Default)]
pub(super) struct Names {
    bytes: usize,
}

/// Bytes of names that are kept.
const MOST_NAMES: usize = 8 << 20;

impl Names {
    pub(super) fn get(&mut self, name: String) -> Cow<'static, str> {
        if self.bytes + name.len() > MOST_NAMES {
            return Cow::Owned(name);
        }
        self.bytes += name.len();
        Cow::Borrowed(keep_name(&name))
    }
}

/// Keeps a name, each once, for the life of the process.
fn keep_name(name: &str) -> &'static str {
    static KEPT: crate::lock::Mutex<Option<HashSet<&'static str>>> = crate::lock::Mutex::new(None);
    let mut kept = KEPT.lock();
    let kept = kept.get_or_insert_default();
    if let Some(known) = kept.get(name) {
        return known;
    }
    let name: &'static str = name.to_owned().leak();
    kept.insert(name);
    name
}
