//! The clock that stamps handles and records: one load.
//!
//! A background thread updates a word every [`TICK`] while it is read, and parks otherwise: it stores 0 now and then, and if it
//! finds the 0 again, nobody has read the word meanwhile. A reader that finds 0 reads the precise clock, and unparks the thread.
//! Where no thread may be started (see [`without_thread`]), each reader asks for the system's coarse time.

mod word;

use super::threads;
use crate::primitive::TICKER;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering};
use std::thread::Thread;
use std::time::Duration;
use word::{SYSTEM, THREAD, UNDECIDED, Word};

/// What the word is made of. The models have loom's, for a word of their own: here it would be a scheduling point of all of them.
mod atomic {
    pub(super) use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering, fence};
}

/// How often the word is updated.
const TICK: Duration = Duration::from_millis(1);
/// After how many ticks the thread looks whether the word is read.
const LOOK: u32 = 64;

static WORD: Word = Word {
    now: AtomicU64::new(0),
    parked: AtomicBool::new(false),
    source: AtomicU8::new(if TICKER { UNDECIDED } else { SYSTEM }),
};
static TICKING: OnceLock<Thread> = OnceLock::new();

/// The time now, to a millisecond or so.
#[inline]
pub(crate) fn now() -> u64 {
    match WORD.get() {
        0 => cold(),
        now => now,
    }
}

/// The same where it is one load. 0: it is not.
#[inline(always)]
pub(crate) fn ready() -> u64 {
    if TICKER { WORD.get() } else { now() }
}

/// Has the time read from the system's coarse clock from now on, and starts no thread for it.
pub(crate) fn without_thread() {
    WORD.use_system();
}

/// Stops the clock at some time: in a model, where the common case, which needs one, is to be explored.
#[cfg(test)]
#[allow(dead_code)] // of the models, not of the library
pub(crate) fn stop_at(now: u64) {
    WORD.update(now);
}

#[cold]
#[inline(never)]
fn cold() -> u64 {
    // Relaxed: a reader that sees the old source asks the thread once more.
    if WORD.source.load(Ordering::Relaxed) == SYSTEM {
        return crate::event::Time::coarse().as_nanos().max(1);
    }
    let now = precise();
    if start()
        && WORD.set(now)
        && let Some(thread) = TICKING.get()
    {
        thread.unpark();
    }
    now
}

fn precise() -> u64 {
    crate::event::Time::now().as_nanos().max(1)
}

/// Returns whether the clock's thread is there; starts it where it was never tried.
fn start() -> bool {
    // Relaxed: the thread is started by whoever changes the word, and needs nothing of what came before.
    let undecided =
        WORD.source.compare_exchange(UNDECIDED, THREAD, Ordering::Relaxed, Ordering::Relaxed);
    if let Err(source) = undecided {
        return source == THREAD;
    }
    let thread = std::thread::Builder::new().name("refscope clock".to_owned());
    let thread = threads::without_signals(|| {
        thread.stack_size(64 << 10).spawn(|| {
            threads::note_clock();
            TICKING.get_or_init(std::thread::current);
            loop {
                tick();
            }
        })
    });
    if thread.is_err() {
        without_thread();
    }
    thread.is_ok()
}

/// A round of the clock's thread: it updates the word while it is read, and then parks until it is.
fn tick() {
    for _ in 0..LOOK {
        std::thread::sleep(TICK);
        WORD.update(precise());
        while WORD.is_over() {
            WORD.update(0);
            std::thread::park();
        }
    }
    WORD.update(0);
    std::thread::sleep(TICK);
    if WORD.get() != 0 {
        return;
    }
    WORD.begin_to_park();
    while WORD.must_park() {
        std::thread::park();
    }
    WORD.end_parking();
}

/// Waits until the clock's thread, if it was started, is known by its number; a moment at most.
#[allow(dead_code)] // where nothing is searched
pub(crate) fn wait_for_own_thread() {
    for _ in 0..100 {
        // Relaxed: it is looked at again.
        if threads::is_clock_known() || WORD.source.load(Ordering::Relaxed) != THREAD {
            return;
        }
        std::thread::sleep(TICK);
    }
}
