//! [`watch`]: whether one object goes.

use crate::analysis::LeakReport;
use crate::holders::{Traced, Watched};
use crate::render::Terminal;
use std::fmt;
use std::time::{Duration, Instant};

/// Watches an object, without keeping it or anything else alive: no handle, strong or weak, is made.
///
/// # Examples
///
/// ```
/// use refscope::{Rc, Scope, sink::LiveSet};
///
/// let _guard = Scope::new(LiveSet::new()).enter();
/// let session = Rc::new("a session");
/// let watch = refscope::watch(&session);
/// drop(session);
/// watch.assert_dropped();
/// ```
pub fn watch<P: Traced>(pointer: &P) -> Watch {
    Watch { watched: pointer.watched(), name: name(pointer) }
}

fn name<P: Traced>(pointer: &P) -> String {
    pointer
        .known()
        .map_or_else(|| "an untraced object".to_owned(), |known| known.object.to_string())
}

/// Knows whether an object is gone. Made by [`watch`].
pub struct Watch {
    watched: Option<Watched>,
    name: String,
}

impl Watch {
    /// Whether no traced strong handle of the object is left. Where the object is untraced nothing is known, and this
    /// is true.
    pub fn is_dropped(&self) -> bool {
        self.strong() == 0
    }

    /// The traced strong handles of the object, as the ledger counts them.
    pub fn strong(&self) -> u32 {
        self.watched.as_ref().map_or(0, Watched::strong)
    }

    /// Who holds the object, if its sink knows.
    pub fn report(&self) -> Option<LeakReport> {
        self.watched.as_ref().and_then(Watched::leaks)
    }

    /// Panics with the holders where the object is not dropped.
    ///
    /// # Panics
    ///
    /// Then.
    #[track_caller]
    pub fn assert_dropped(&self) {
        self.assert_dropped_within(Duration::ZERO);
    }

    /// The same, after waiting so long for it.
    ///
    /// # Panics
    ///
    /// When the object is alive then.
    #[track_caller]
    pub fn assert_dropped_within(&self, time: Duration) {
        // None: no end that a clock could show.
        let end = Instant::now().checked_add(time);
        let mut pause = Duration::from_micros(200);
        while !self.is_dropped() {
            let left =
                end.map_or(Duration::MAX, |end| end.saturating_duration_since(Instant::now()));
            if left.is_zero() {
                self.fail();
            }
            std::thread::sleep(pause.min(left));
            pause = (pause * 2).min(Duration::from_millis(50));
        }
    }

    #[track_caller]
    fn fail(&self) -> ! {
        match self.report() {
            Some(leaks) => panic!(
                "{} is not dropped\n{}",
                self.name,
                Terminal::stderr().render_report(&leaks).trim_end()
            ),
            None => panic!(
                "{} is not dropped: {} strong handles. (Its sink keeps no handles that could be named: `LiveSet` does.)",
                self.name,
                self.strong()
            ),
        }
    }
}

impl fmt::Debug for Watch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Watch").field("object", &self.name).field("strong", &self.strong()).finish()
    }
}
