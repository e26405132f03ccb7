//! The settings of a recorder.

use super::{Clock, Overflow, Recorder};

/// Memory that a recorder may use unless another budget is set.
const DEFAULT_BUDGET: usize = 64 << 20;

/// Sets a [`Recorder`] up. Made by [`Recorder::builder`].
///
/// # Examples
///
/// ```
/// use refscope::sink::{Clock, Overflow, Recorder};
/// use refscope::{Rc, Scope};
///
/// let recorder = Recorder::builder().budget(64 << 10).overflow(Overflow::DropOldest).clock(Clock::Coarse).build();
/// let _guard = Scope::new(recorder.clone()).enter();
/// let long_lived = Rc::new("still known at the end");
/// for _ in 0..10_000 {
///     drop(long_lived.clone());
/// }
/// # if refscope::ENABLED {
/// let recording = recorder.recording();
/// assert_eq!(recording.objects().len(), 1);
/// assert_eq!(recording.lost() + recording.events().len() as u64, 20_001);
/// # }
/// ```
#[derive(Clone, Copy, Debug)]
#[must_use = "a builder does nothing until `build`"]
#[cfg_attr(not(feature = "trace"), allow(dead_code))] // nothing is recorded then
pub struct RecorderBuilder {
    pub(super) budget: usize,
    pub(super) clock: Clock,
    pub(super) overflow: Overflow,
}

impl RecorderBuilder {
    pub(super) fn new() -> Self {
        let (clock, overflow) = (Clock::default(), Overflow::default());
        Self { budget: DEFAULT_BUDGET, clock, overflow }
    }

    /// Sets how many bytes the records may take, rounded up to 16 KiB for each thread. Default: 64 MiB, some two million
    /// events.
    pub fn budget(mut self, bytes: usize) -> Self {
        self.budget = bytes;
        self
    }

    /// Sets the clock that stamps the events. Default: [`Clock::Coarse`].
    pub fn clock(mut self, clock: Clock) -> Self {
        self.clock = clock;
        self
    }

    /// Sets which events are kept when the budget is used up. Default: [`Overflow::DropNewest`].
    ///
    /// [`Overflow::DropOldest`] suits long-running programs. Metadata of live objects (some 80 bytes an object) counts
    /// against the budget and is kept even beyond it.
    pub fn overflow(mut self, overflow: Overflow) -> Self {
        self.overflow = overflow;
        self
    }

    /// Creates the recorder.
    pub fn build(self) -> Recorder {
        Recorder::built(self)
    }
}
