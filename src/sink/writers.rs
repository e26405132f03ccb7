//! What recordings in files have in common: the list of those that are being written, and the thread of each.

use crate::lock::Mutex;
use crate::runtime::threads;
use std::io;
use std::sync::{Arc, Weak};
use std::thread::{Builder, JoinHandle};
use std::time::Duration;

/// All recordings of a kind that are being written, for what concerns the process.
pub(super) struct Writers<T>(Mutex<Vec<Weak<T>>>);

impl<T> Writers<T> {
    pub(super) const fn new() -> Self {
        Self(Mutex::new(Vec::new()))
    }

    /// Adds a recording. Those that are gone do not gather there.
    pub(super) fn add(&self, new: &Arc<T>) {
        let mut all = self.0.lock();
        if all.len() == all.capacity() {
            all.retain(|recording| recording.strong_count() > 0);
        }
        all.push(Arc::downgrade(new));
    }

    pub(super) fn all(&self) -> Vec<Arc<T>> {
        self.0.lock().iter().filter_map(Weak::upgrade).collect()
    }
}

/// Starts the thread that writes at intervals, and when it is woken, until the recording is gone or `write` returns false.
pub(super) fn spawn<T: Send + Sync + 'static>(
    recording: &Arc<T>,
    interval: Duration,
    write: fn(&T) -> bool,
) -> io::Result<JoinHandle<()>> {
    let recording = Arc::downgrade(recording);
    threads::spawn(Builder::new().name("refscope writer".to_owned()), move || {
        loop {
            std::thread::park_timeout(interval);
            if recording.upgrade().is_none_or(|recording| !write(&recording)) {
                return;
            }
        }
    })
}

#[cfg(test)]
mod tests {
    use super::Writers;
    use std::sync::Arc;

    /// However many recordings there were, as much is kept as there are at once.
    #[test]
    fn of_what_is_gone_nothing_is_kept() {
        let writers = Writers::new();
        let kept: Vec<_> = (0..100).map(Arc::new).collect();
        kept.iter().for_each(|recording| writers.add(recording));
        (0..10_000).for_each(|n| writers.add(&Arc::new(n)));
        assert_eq!(writers.all(), kept);
        let len = writers.0.lock().len();
        assert!((100..1_000).contains(&len), "{len} are kept");
    }
}
