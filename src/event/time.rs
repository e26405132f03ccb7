use std::fmt;
use std::time::Duration;

/// A moment, in nanoseconds since refscope first looked at a clock.
///
/// Time is for people; order comes from [`Event::seq`](super::Event::seq). On targets without a clock
/// (`wasm32-unknown-unknown`) every moment is 0.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[cfg_attr(feature = "serde", serde(transparent))]
pub struct Time(u64);

impl Time {
    /// The moment at which refscope first looked at a clock.
    pub const START: Self = Self(0);

    /// Returns the time now, by the precise monotonic clock.
    #[inline]
    pub fn now() -> Self {
        Self(clock::precise())
    }

    /// Returns the time now, by a clock that costs a few nanoseconds and moves every few milliseconds.
    #[inline]
    pub fn coarse() -> Self {
        Self(clock::coarse())
    }

    /// Creates the moment so many nanoseconds after [`START`](Self::START).
    #[inline]
    pub const fn from_nanos(nanos: u64) -> Self {
        Self(nanos)
    }

    /// Returns the nanoseconds since [`START`](Self::START).
    #[inline]
    pub const fn as_nanos(self) -> u64 {
        self.0
    }

    /// Returns how long before `later` this was; zero if it was not.
    pub const fn until(self, later: Self) -> Duration {
        Duration::from_nanos(later.0.saturating_sub(self.0))
    }
}

impl fmt::Debug for Time {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        Duration::from_nanos(self.0).fmt(f)
    }
}

#[cfg(not(all(target_family = "wasm", target_os = "unknown")))]
mod clock {
    use std::sync::LazyLock;
    use std::time::Instant;

    // Both clocks are read once, together, so that they agree on the start.
    static START: LazyLock<(Instant, u64)> = LazyLock::new(|| (Instant::now(), system()));

    pub(super) fn precise() -> u64 {
        START.0.elapsed().as_nanos() as u64
    }

    pub(super) fn coarse() -> u64 {
        let start = START.1;
        if start == 0 { precise() } else { system().saturating_sub(start) }
    }

    /// The system's coarse clock, in nanoseconds. 0 where it has none.
    #[cfg(all(feature = "trace", any(target_os = "linux", target_os = "android")))]
    fn system() -> u64 {
        let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
        // SAFETY: TIME: writes the time that it is given.
        let read = unsafe { libc::clock_gettime(libc::CLOCK_MONOTONIC_COARSE, &raw mut time) };
        if read == 0 { time.tv_sec as u64 * 1_000_000_000 + time.tv_nsec as u64 } else { 0 }
    }

    #[cfg(not(all(feature = "trace", any(target_os = "linux", target_os = "android"))))]
    fn system() -> u64 {
        0
    }
}

#[cfg(all(target_family = "wasm", target_os = "unknown"))]
mod clock {
    pub(super) fn precise() -> u64 {
        0
    }

    pub(super) fn coarse() -> u64 {
        0
    }
}
