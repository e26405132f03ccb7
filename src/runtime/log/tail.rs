//! The end of a log at which a thread writes.

use super::record::{Birth, NewRecord, Words, stack, thread};
use super::segment::{Segment, USEFUL};
use super::{Clock, Inner, Log};
use crate::primitive::{Arc, SEGMENT};
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
    fn leave(&self) {
        if let (Some(inner), Some(segment)) = (self.inner.upgrade(), &self.segment) {
            inner.store.leave(segment);
        }
    }
}

/// The tails of a thread. Few threads write into more than one log: the one in use lies open.
///
/// # Invariants
///
/// * **TAIL**: `segment` is null, or the segment of the tail of the log `log`, which `all` keeps; only this thread
///   writes it.
pub(crate) struct Tails {
    log: Cell<u64>,
    segment: Cell<*const Segment>,
    /// Where the next record goes. [`SEGMENT`] where there is no segment.
    at: Cell<usize>,
    stamp: Cell<u64>,
    // Taken out while it changes, so that nothing is borrowed twice.
    all: Cell<Vec<Tail>>,
}

impl Tails {
    pub(crate) const fn new() -> Self {
        Self {
            log: Cell::new(0),
            segment: Cell::new(std::ptr::null()),
            at: Cell::new(SEGMENT),
            stamp: Cell::new(0),
            all: Cell::new(Vec::new()),
        }
    }

    /// Makes room for an event in `log`: one record, two for a birth or where there is a stack. Where there is none the event is lost, and
    /// counted. `thread` is the number of this thread.
    #[inline]
    pub(crate) fn has_room(&self, log: &Log, records: usize, thread: u32) -> bool {
        self.is_open(log, records) || self.extend(log, records, thread)
    }

    /// Whether there is room in the segment that lies open.
    #[inline]
    pub(crate) fn is_open(&self, log: &Log, records: usize) -> bool {
        self.log.get() == log.inner.id && self.at.get() + records <= SEGMENT
    }

    /// The time of the next record.
    #[inline]
    pub(crate) fn time(&self, clock: Clock) -> u64 {
        if clock == Clock::Batch && !self.at.get().is_multiple_of(Clock::BATCH) {
            return self.stamp.get();
        }
        let now = clock.now();
        self.stamp.set(now);
        now
    }

    /// Writes an event for which there is [room](Self::has_room).
    #[inline]
    pub(crate) fn write(&self, record: &NewRecord) {
        self.put(&record.pack(), 0);
        self.advance(1);
    }

    /// Writes an event and the stack that it was on, for which there is room: two records, which stay together.
    #[cold]
    pub(crate) fn write_on_stack(&self, record: &NewRecord, number: u32) {
        self.put(&stack(number), 0);
        self.put(&record.pack(), 1);
        self.advance(2);
    }

    /// Writes an object's first event, for which there is room: two records, which stay together.
    pub(crate) fn write_birth(&self, record: &NewRecord, birth: &Birth) {
        self.put(&record.pack(), 0);
        self.put(&birth.pack(), 1);
        self.advance(2);
    }

    #[inline]
    fn put(&self, words: &Words, offset: usize) {
        // SAFETY: TAIL: there is room, so there is a segment.
        let segment = unsafe { &*self.segment.get() };
        segment.put(self.at.get() + offset, words);
    }

    #[inline]
    fn advance(&self, records: usize) {
        let at = self.at.get() + records;
        self.at.set(at);
        // SAFETY: TAIL: a record was written, so there is a segment.
        unsafe { &*self.segment.get() }.publish(at);
    }

    /// Goes on in another segment, of this log or of another one.
    #[cold]
    #[inline(never)]
    fn extend(&self, log: &Log, records: usize, number: u32) -> bool {
        let mut all = self.all.take();
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
        self.log.set(if found { log.inner.id } else { 0 });
        self.segment.set(segment.map_or(std::ptr::null(), Arc::as_ptr));
        self.at.set(segment.map_or(SEGMENT, |segment| segment.len()));
        let new = len.is_none_or(|len| len + records > SEGMENT);
        self.all.set(all);
        if !found {
            log.inner.store.lose();
        } else if new {
            debug_assert!(self.at.get() + USEFUL <= SEGMENT, "a segment with room was given");
            self.put(&thread(number), 0);
            self.advance(1);
        }
        found
    }

    /// Leaves every segment: the thread ends.
    pub(crate) fn leave(&self) {
        self.log.set(0);
        self.segment.set(std::ptr::null());
        self.at.set(SEGMENT);
        self.all.take().iter().for_each(Tail::leave);
    }
}
