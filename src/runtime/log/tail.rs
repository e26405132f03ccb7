//! The end of a log at which a thread writes.

use super::record::{Birth, NewRecord, Words, stack, thread};
use super::returned::{Chain, RETURNED};
use super::segment::{AtomicWords, Segment, USEFUL};
use super::{Clock, Inner, Log};
use crate::lock::gate;
use crate::primitive::{Arc, Ordering, SEGMENT};
use std::cell::Cell;
use std::sync::Weak;

/// Where one thread writes what one log keeps.
pub(super) struct Tail {
    log: u64,
    /// Gone when the log is: then the tail is of no use.
    inner: Weak<Inner>,
    segment: Option<Arc<Segment>>,
}

impl Tail {
    pub(super) fn leave(&self) {
        if let (Some(inner), Some(segment)) = (self.inner.upgrade(), &self.segment) {
            inner.store.leave(segment);
        }
    }
}

/// The tails of a thread. Few threads write into more than one log: the one in use lies open.
///
/// # Invariants
///
/// * **TAIL**: where `log` is a log's number, `segment` is that of the log's tail, which `all` keeps, `words` are its
///   records, and `at` is below [`SEGMENT`]; only this thread writes it.
pub(crate) struct Tails {
    /// [`NO_LOG`] where there is no segment, or a full one.
    log: Cell<u64>,
    segment: Cell<*const Segment>,
    words: Cell<*const AtomicWords>,
    /// Where the next record goes.
    at: Cell<usize>,
    /// What of the coarse clock's time is stamped: all, or nothing.
    mask: Cell<u64>,
    // Taken out while it changes, so that nothing is borrowed twice.
    all: Cell<Option<Box<Chain>>>,
    /// Whoever uses them has a lock: see [`Late`](super::Late).
    locked: bool,
}

/// No log's number, and not what stands for a log that is off.
const NO_LOG: u64 = u64::MAX;

/// Room in the segment that lies open, from `at` on.
pub(crate) struct Room<'a> {
    tails: &'a Tails,
    at: usize,
}

impl Room<'_> {
    /// The time of a record that is written `now` by the coarse clock.
    #[inline(always)]
    pub(crate) fn time(&self, now: u64) -> u64 {
        now & self.tails.mask.get()
    }

    /// Writes an event.
    #[inline(always)]
    pub(crate) fn write(self, record: &NewRecord) {
        self.tails.put(self.at, &record.pack());
        self.tails.advance(self.at + 1);
    }

    /// Writes an object's first event, where there is room for two records.
    #[inline(always)]
    pub(crate) fn write_birth(self, record: &NewRecord, birth: &Birth) {
        self.tails.put(self.at, &record.pack());
        self.tails.put(self.at + 1, &birth.pack());
        self.tails.advance(self.at + 2);
    }
}

impl Tails {
    pub(crate) const fn new() -> Self {
        Self::with(false)
    }

    /// Those that several threads use, in turn.
    pub(super) const fn locked() -> Self {
        Self::with(true)
    }

    const fn with(locked: bool) -> Self {
        Self {
            log: Cell::new(NO_LOG),
            segment: Cell::new(std::ptr::null()),
            words: Cell::new(std::ptr::null()),
            at: Cell::new(SEGMENT),
            mask: Cell::new(0),
            all: Cell::new(None),
            locked,
        }
    }

    /// Makes room for an event in `log`: one record, two for a birth or where there is a stack. Where there is none the event is lost, and
    /// counted. `thread` is the number of this thread.
    #[inline]
    pub(crate) fn has_room(&self, log: &Log, records: usize, thread: u32) -> bool {
        self.room(log.inner.id, records).is_some() || self.extend(log, records, thread)
    }

    /// Room for so many records of the log with this number, if its segment lies open and has it.
    #[inline(always)]
    pub(crate) fn room(&self, log: u64, records: usize) -> Option<Room<'_>> {
        let at = self.at.get();
        // Where the segment is full, `log` is `NO_LOG`.
        let there = self.log.get() == log && (records == 1 || at + records <= SEGMENT);
        there.then_some(Room { tails: self, at })
    }

    /// Writes an event for which there is [room](Self::has_room).
    pub(crate) fn write(&self, record: &NewRecord) {
        Room { tails: self, at: self.at.get() }.write(record);
    }

    /// Writes an event and the stack that it was on, for which there is room: two records, which stay together.
    #[cold]
    pub(crate) fn write_on_stack(&self, record: &NewRecord, number: u32) {
        let at = self.at.get();
        self.put(at, &stack(number));
        self.put(at + 1, &record.pack());
        self.advance(at + 2);
    }

    /// Writes an object's first event, for which there is room: two records, which stay together.
    pub(crate) fn write_birth(&self, record: &NewRecord, birth: &Birth) {
        Room { tails: self, at: self.at.get() }.write_birth(record, birth);
    }

    /// Writes a record, without publishing it, where there is room.
    #[inline(always)]
    fn put(&self, at: usize, record: &Words) {
        debug_assert!(at < SEGMENT, "TAIL: there is room");
        // SAFETY: TAIL: there is room, so there is a segment, and it has this record.
        let words = unsafe { self.words.get().add(at) };
        // SAFETY: TAIL: as above.
        let words = unsafe { &*words };
        for (to, &from) in words.iter().zip(record) {
            // Relaxed: published by `advance`.
            to.store(from, Ordering::Relaxed);
        }
    }

    /// Publishes the records below `at`.
    #[inline(always)]
    fn advance(&self, at: usize) {
        self.at.set(at);
        // SAFETY: TAIL: a record was written, so there is a segment.
        unsafe { &*self.segment.get() }.publish(at);
        if at == SEGMENT {
            self.log.set(NO_LOG);
        }
    }

    /// Goes on in another segment, of this log or of another one.
    #[cold]
    #[inline(never)]
    fn extend(&self, log: &Log, records: usize, number: u32) -> bool {
        if gate::is_passed() && !self.locked {
            // A signal's handler, which must not wait for a lock that what it interrupted has; or an allocator that uses
            // traced pointers.
            log.inner.store.lose();
            return false;
        }
        RETURNED.take_in();
        let mut chain = self.all.take().unwrap_or_default();
        let all = &mut chain.tails;
        let place = all.iter().position(|tail| tail.log == log.inner.id).unwrap_or_else(|| {
            all.retain(|tail| tail.inner.strong_count() > 0);
            let inner = std::sync::Arc::downgrade(&log.inner);
            all.push(Tail { log: log.inner.id, inner, segment: None });
            all.len() - 1
        });
        let tail = &mut all[place];
        let len = tail.segment.as_ref().map(|segment| segment.len());
        let found = match len {
            Some(len) if len + records <= SEGMENT => true,
            _ => match log.inner.store.extend(tail.segment.as_ref()) {
                Some(segment) => {
                    tail.segment = Some(segment);
                    true
                }
                None => false,
            },
        };
        let segment = tail.segment.as_ref().filter(|_| found);
        match segment {
            Some(segment) => self.open(log, segment),
            None => self.close(),
        }
        let new = len.is_none_or(|len| len + records > SEGMENT);
        self.all.set(Some(chain));
        if !found {
            log.inner.store.lose();
        } else if new {
            debug_assert!(self.at.get() + USEFUL <= SEGMENT, "a segment with room was given");
            let at = self.at.get();
            self.put(at, &thread(number));
            self.advance(at + 1);
        }
        found
    }

    fn open(&self, log: &Log, segment: &Arc<Segment>) {
        debug_assert!(segment.len() < SEGMENT, "TAIL: it has room");
        self.log.set(log.inner.id);
        self.segment.set(Arc::as_ptr(segment));
        self.words.set(segment.words().as_ptr());
        self.at.set(segment.len());
        self.mask.set(if log.clock() == Clock::None { 0 } else { u64::MAX });
    }

    fn close(&self) {
        self.log.set(NO_LOG);
        self.segment.set(std::ptr::null());
        self.words.set(std::ptr::null());
        self.at.set(SEGMENT);
    }

    /// Leaves every segment.
    pub(super) fn leave(&self) {
        self.close();
        self.all.take().iter().for_each(|chain| chain.tails.iter().for_each(Tail::leave));
    }

    /// The thread ends: has its segments left by who next needs one.
    pub(crate) fn end(&self) {
        self.close();
        if let Some(chain) = self.all.take() {
            RETURNED.push(chain);
        }
    }
}
