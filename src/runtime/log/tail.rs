//! The end of a log at which a thread writes.

use super::record::{Birth, Names, NewRecord, Words, names, stack, thread};
use super::returned::{Chain, RETURNED};
use super::segment::{AtomicWords, Segment, USEFUL, publish};
use super::store::{Backing, Subject};
use super::{Clock, Inner, Log};
use crate::event::{Op, Type};
use crate::lock::gate;
use crate::primitive::{Arc, AtomicU64, Ordering, SEGMENT};
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
/// * **TAIL**: where `log` is a log's number, `words` are the records of the segment of the log's tail, which `all` keeps,
///   `published` says how many of them are, and `at` is below [`SEGMENT`]; only this thread writes them.
pub(crate) struct Tails {
    /// [`NO_LOG`] where there is no segment, or a full one.
    log: Cell<u64>,
    published: Cell<*const AtomicU64>,
    words: Cell<*const AtomicWords>,
    /// Where the next record goes.
    at: Cell<usize>,
    /// Mask of timestamps: all ones, or 0 for `Clock::None`.
    mask: Cell<u64>,
    /// The log that the next fields describe.
    known_log: Cell<u64>,
    /// The first path that a backed log does not know; one in memory has to know none.
    new_path: Cell<u32>,
    /// The span that was defined last in a backed log.
    span: Cell<u32>,
    /// Types that it knows, by a hash of their addresses.
    types: [Cell<*const Type>; TYPES],
    // Taken out while it changes, so that nothing is borrowed twice.
    all: Cell<Option<Box<Chain>>>,
    /// Whoever uses them has a lock: see [`Late`](super::Late).
    locked: bool,
}

/// Types that a thread remembers to have defined in a log: a power of two.
const TYPES: usize = 64;
/// In place of a path: nothing has to be defined.
const KNOWS_ALL: u32 = u32::MAX;

/// No log's number, and not what stands for a log that is off.
const NO_LOG: u64 = u64::MAX;

/// Where a thread remembers to have defined a type. Types are constants of two words.
#[inline(always)]
fn type_slot(ty: &'static Type) -> usize {
    let mixed = (std::ptr::from_ref(ty).addr() as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    (mixed >> (64 - TYPES.ilog2())) as usize
}

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

    /// Writes an event into a log in memory, which has to know nothing of what a record refers to.
    #[inline(always)]
    pub(crate) fn write_in_memory(self, record: &NewRecord) {
        debug_assert!(self.tails.knows_all(), "the log is backed");
        self.tails.put(self.at, &record.pack());
        self.tails.advance(self.at + 1);
    }

    /// Writes an event.
    #[inline(always)]
    pub(crate) fn write(self, record: &NewRecord) {
        let [state, op, object, time] = record.pack();
        if self.tails.knows(record) {
            self.tails.put(self.at, &[state, op, object, time]);
            self.tails.advance(self.at + 1);
        } else {
            self.tails.define_and_write(state, op, object, time);
        }
    }

    /// Writes an object's first event, where there is room for two records.
    #[inline(always)]
    pub(crate) fn write_birth(self, record: &NewRecord, birth: &Birth) {
        if self.tails.knows(record) && self.tails.knows_birth(birth) {
            self.tails.put(self.at, &record.pack());
            self.tails.put(self.at + 1, &birth.pack());
            self.tails.advance(self.at + 2);
        } else {
            self.tails.define_and_write_birth(&record.pack(), &birth.pack(), birth.ty);
        }
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
            published: Cell::new(std::ptr::null()),
            words: Cell::new(std::ptr::null()),
            at: Cell::new(SEGMENT),
            mask: Cell::new(0),
            known_log: Cell::new(NO_LOG),
            new_path: Cell::new(KNOWS_ALL),
            span: Cell::new(0),
            types: [const { Cell::new(std::ptr::null()) }; TYPES],
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
        if self.knows_all() || self.define(&record.pack(), number) {
            let at = self.at.get();
            self.put(at, &stack(number));
            self.put(at + 1, &record.pack());
            self.advance(at + 2);
        }
    }

    /// Writes an object's first event, for which there is room: two records, which stay together.
    pub(crate) fn write_birth(&self, record: &NewRecord, birth: &Birth) {
        Room { tails: self, at: self.at.get() }.write_birth(record, birth);
    }

    /// Whether the log knows what a record of it refers to.
    #[inline(always)]
    fn knows(&self, record: &NewRecord) -> bool {
        // Known to the compiler in most cases: a drop has no line, and makes nothing.
        let no_path = record.op.makes().is_none() && record.path == 0;
        (no_path || record.path < self.new_path.get())
            && (record.span == 0 || self.span.get() == record.span || self.knows_all())
            && (record.op != Op::Label || self.knows_all())
    }

    #[inline(always)]
    fn knows_birth(&self, birth: &Birth) -> bool {
        self.knows_all()
            || (std::ptr::eq(self.types[type_slot(birth.ty)].get(), birth.ty) && birth.stack == 0)
    }

    #[inline(always)]
    fn knows_all(&self) -> bool {
        self.new_path.get() == KNOWS_ALL
    }

    /// Defines in the log what a record refers to, and the number of the stack that its event was on. False where the log has no
    /// room for that: then the event is lost, and counted.
    #[cold]
    #[inline(never)]
    fn define(&self, record: &Words, stack: u32) -> bool {
        let Names { path, span, label } = names(record);
        self.with_backing(|backing| {
            if path >= self.new_path.get() {
                match backing.define_paths() {
                    Some(first) if path < first => self.new_path.set(first),
                    _ => return false,
                }
            }
            if span != 0 && self.span.get() != span {
                if !backing.define(Subject::Span(span)) {
                    return false;
                }
                self.span.set(span);
            }
            (label == 0 || backing.define(Subject::Label(label)))
                && (stack == 0 || backing.define(Subject::Stack(stack)))
        })
    }

    /// Writes a record of which something has to be defined first. By its words, one by one: what has an address would have to be
    /// in memory in the common case as well.
    #[cold]
    #[inline(never)]
    fn define_and_write(&self, state: u64, op: u64, object: u64, time: u64) {
        let record = [state, op, object, time];
        if self.define(&record, 0) {
            let at = self.at.get();
            self.put(at, &record);
            self.advance(at + 1);
        }
    }

    #[cold]
    #[inline(never)]
    fn define_and_write_birth(&self, record: &Words, birth: &Words, ty: &'static Type) {
        if !self.knows_all() {
            if !self.with_backing(|backing| backing.define(Subject::Type(ty))) {
                return;
            }
            self.types[type_slot(ty)].set(ty);
        }
        if self.define(record, birth[3] as u32) {
            let at = self.at.get();
            self.put(at, record);
            self.put(at + 1, birth);
            self.advance(at + 2);
        }
    }

    /// Calls the open log's backing; a refusal is a lost event.
    fn with_backing(&self, ask: impl FnOnce(&dyn Backing) -> bool) -> bool {
        let chain = self.all.take();
        let mut tails = chain.iter().flat_map(|chain| &chain.tails);
        let tail = tails.find(|tail| tail.log == self.log.get());
        let inner = tail.and_then(|tail| tail.inner.upgrade());
        self.all.set(chain);
        let Some(inner) = inner else { return false };
        let Some(backing) = inner.store.backing() else { return true };
        // As in `extend`.
        let defined = (!gate::is_passed() || self.locked) && ask(backing);
        if !defined {
            backing.lose();
        }
        defined
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
        publish(unsafe { &*self.published.get() }, at);
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
                None => {
                    // The store has it by now, and is not to get it with each event that finds no room.
                    tail.segment = None;
                    false
                }
            },
        };
        let segment = tail.segment.as_ref().filter(|_| found);
        let found = segment.is_some_and(|segment| self.open(log, segment, records));
        if !found {
            self.close();
        }
        let new = len.is_none_or(|len| len + records > SEGMENT);
        self.all.set(Some(chain));
        if !found {
            log.inner.store.lose();
        } else if new {
            debug_assert!(self.at.get() + USEFUL <= SEGMENT, "a segment with room was given");
            if !self.knows_all() && !self.with_backing(|log| log.define(Subject::Thread(number))) {
                // The segment has no record that says whose those behind it are.
                self.abandon(log);
                return false;
            }
            let at = self.at.get();
            self.put(at, &thread(number));
            self.advance(at + 1);
        }
        found
    }

    /// Leaves the segment of a log.
    #[cold]
    fn abandon(&self, log: &Log) {
        self.close();
        let mut chain = self.all.take();
        let tails = chain.iter_mut().flat_map(|chain| &mut chain.tails);
        tails.filter(|tail| tail.log == log.inner.id).for_each(|tail| {
            tail.leave();
            tail.segment = None;
        });
        self.all.set(chain);
    }

    /// In a forked child: what is backed is the parent's.
    #[allow(dead_code)] // where there are no forks
    pub(crate) fn forget_backed(&self) {
        let Some(mut chain) = self.all.take() else { return };
        // What is being changed at this moment is not here: a handler has interrupted that, and forked.
        let is_backed =
            |tail: &Tail| tail.inner.upgrade().is_none_or(|inner| inner.store.backing().is_some());
        if chain.tails.iter().any(|tail| tail.log == self.log.get() && is_backed(tail)) {
            self.close();
        }
        chain.tails.retain(|tail| !is_backed(tail));
        self.all.set(Some(chain));
    }

    /// False where it has no room, as one that somebody else has written into.
    fn open(&self, log: &Log, segment: &Arc<Segment>, records: usize) -> bool {
        let at = segment.len().max(segment.first());
        if at + records > SEGMENT {
            return false;
        }
        self.log.set(log.inner.id);
        self.published.set(segment.published());
        self.words.set(segment.words().as_ptr());
        self.at.set(at);
        self.mask.set(if log.clock() == Clock::None { 0 } else { u64::MAX });
        // Another log, or another thread's: what this thread has defined is for none but the last.
        if self.known_log.replace(log.inner.id) != log.inner.id {
            self.new_path.set(if log.is_backed() { 1 } else { KNOWS_ALL });
            self.span.set(0);
            self.types.iter().for_each(|ty| ty.set(std::ptr::null()));
        }
        true
    }

    fn close(&self) {
        self.log.set(NO_LOG);
        self.published.set(std::ptr::null());
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
