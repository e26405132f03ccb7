//! [`watch`]: whether one object goes.

use crate::analysis::LeakReport;
use crate::holders::{Inspect, Watched};
use crate::render::Terminal;
use std::fmt;
use std::time::{Duration, Instant};

/// Watches an object, without keeping it or anything else alive: no handle, strong or weak, is made.
///
/// # Examples
///
/// ```
/// use refscope::Rc;
///
/// refscope::track().expect("no sink is installed");
/// let session = Rc::new("a session");
/// let watch = refscope::watch(&session);
/// drop(session);
/// watch.assert_dropped();
/// ```
pub fn watch<P: Inspect>(pointer: &P) -> Watch {
    Watch { watched: pointer.watched(), name: name(pointer) }
}

fn name<P: Inspect>(pointer: &P) -> String {
    pointer
        .status()
        .map_or_else(|| "an untraced object".to_owned(), |status| status.object.to_string())
}

/// Knows whether an object is gone. Made by [`watch`].
#[must_use = "a watch says nothing until it is asked"]
pub struct Watch {
    watched: Option<Watched>,
    name: String,
}

impl Watch {
    /// Returns whether the object was traced when the watch began. Of an untraced one nothing is known: it has no traced handle,
    /// so that [`is_dropped`](Self::is_dropped) is true, and [`assert_dropped`](Self::assert_dropped), which would prove nothing,
    /// panics. Where tracing is off this is false.
    ///
    /// # Examples
    ///
    /// ```
    /// use refscope::Rc;
    ///
    /// let before = Rc::new("made before anything is traced");
    /// refscope::track().expect("no sink is installed");
    /// let after = Rc::new("made after that");
    /// assert!(!refscope::watch(&before).is_traced());
    /// assert_eq!(refscope::watch(&after).is_traced(), refscope::ENABLED);
    /// ```
    pub fn is_traced(&self) -> bool {
        self.watched.is_some()
    }

    /// Returns whether no traced strong handle of the object is left. That is true, too, of an object that was untraced when
    /// the watch began, whether it lives or not: [`is_traced`](Self::is_traced) tells the two apart.
    pub fn is_dropped(&self) -> bool {
        self.strong_count() == 0
    }

    /// Returns the number of traced strong handles of the object.
    pub fn strong_count(&self) -> u32 {
        self.watched.as_ref().map_or(0, Watched::strong)
    }

    /// Returns the report of who holds the object, or `None` if it is gone or untraced.
    pub fn report(&self) -> Option<LeakReport> {
        self.watched.as_ref().and_then(Watched::report)
    }

    /// Asserts that the object is dropped.
    ///
    /// # Panics
    ///
    /// Panics if the object is still alive; the message lists its holders, and where they are stored. Panics, too, if it [was
    /// untraced](Self::is_traced) when the watch began: nothing is known of it then. (Not where tracing is off.)
    #[track_caller]
    pub fn assert_dropped(&self) {
        self.assert_dropped_within(Duration::ZERO);
    }

    /// Waits up to `time` for the object to be dropped, and asserts that it is.
    ///
    /// # Panics
    ///
    /// Panics as [`assert_dropped`](Self::assert_dropped) does, after the wait.
    #[track_caller]
    pub fn assert_dropped_within(&self, time: Duration) {
        self.assert_traced();
        // What the code before left there would be taken for a local's.
        crate::stack::clear_dead_frames();
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

    /// What is untraced could not be seen to live on.
    #[track_caller]
    fn assert_traced(&self) {
        assert!(
            self.is_traced() || !crate::ENABLED,
            "the object is untraced, so that nothing is known of it: make it in a `Scope` or a `Check`, or after `track`"
        );
    }

    #[track_caller]
    fn fail(&self) -> ! {
        let report = self.report().map(crate::monitor::located);
        let report = report.map(|report| Terminal::stderr().render_report(&report));
        let report = report.unwrap_or_default();
        panic!("{} is not dropped\n{}", self.name, report.trim_end())
    }
}

impl fmt::Debug for Watch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Watch")
            .field("object", &self.name)
            .field("strong", &self.strong_count())
            .finish()
    }
}
