//! The end of a recorder's buffer at which a thread writes.

use super::Inner;
use super::entry::{self, Words};
use super::segment::Segment;
use super::tables::Cache;
use crate::event::{Event, Thread, Time};
use crate::primitive::{Arc, SEGMENT, locals};
use std::cell::RefCell;
use std::sync::Weak;

/// Where one thread writes what one recorder keeps.
pub(super) struct Tail {
    recorder: u64,
    /// Gone when the recorder is: then the tail is of no use.
    inner: Weak<Inner>,
    thread: Thread,
    segment: Option<Arc<Segment>>,
    at: usize,
    stamp: Time,
    sites: Cache,
    types: Cache,
}

locals! {
    /// The tails of this thread, the one in use first. Few threads write to more than one recorder.
    static TAILS: RefCell<Vec<Tail>> = RefCell::new(Vec::new());
}

/// Writes an event to this thread's tail. False where the thread is ending, and its locals are gone.
#[inline]
pub(super) fn write(inner: &std::sync::Arc<Inner>, event: &Event) -> bool {
    TAILS
        .try_with(|tails| {
            // No code of anyone else runs in here, so nothing borrows twice.
            let mut tails = tails.borrow_mut();
            if tails.first().is_none_or(|tail| tail.recorder != inner.id) {
                bring_forward(&mut tails, inner);
            }
            if let Some(tail) = tails.first_mut() {
                tail.push(inner, event);
            }
        })
        .is_ok()
}

#[cold]
fn bring_forward(tails: &mut Vec<Tail>, inner: &std::sync::Arc<Inner>) {
    let place = tails.iter().position(|tail| tail.recorder == inner.id).unwrap_or_else(|| {
        tails.retain(|tail| tail.inner.strong_count() > 0);
        tails.push(Tail::new(inner));
        tails.len() - 1
    });
    tails.swap(0, place);
}

impl Tail {
    pub(super) fn new(inner: &std::sync::Arc<Inner>) -> Self {
        Self {
            recorder: inner.id,
            inner: std::sync::Arc::downgrade(inner),
            thread: Thread::current(),
            segment: None,
            at: SEGMENT,
            stamp: Time::START,
            sites: Cache::new(),
            types: Cache::new(),
        }
    }

    pub(super) fn thread(&self) -> Thread {
        self.thread
    }

    #[inline(always)]
    pub(super) fn push(&mut self, inner: &Inner, event: &Event) {
        let time = inner.clock.stamp(self.at, &mut self.stamp);
        let site = match event.site {
            Some(site) => {
                self.sites.number(&inner.tables, site.location(), |tables| tables.site(site))
            }
            None => 0,
        };
        let record = entry::pack(event, site, time);
        if event.seq == 1 {
            self.push_birth(inner, event, &record, site);
        } else if self.has_room(inner, 1)
            && let Some(segment) = &self.segment
        {
            segment.put(self.at, &record);
            self.at += 1;
            segment.publish(self.at);
        }
    }

    /// A birth's two records stay together. Its site is where the object was born.
    #[inline(never)]
    fn push_birth(&mut self, inner: &Inner, event: &Event, record: &Words, born: u32) {
        let ty = event.object.ty;
        let ty = self.types.number(&inner.tables, ty, |tables| tables.ty(ty));
        if self.has_room(inner, 2)
            && let Some(segment) = &self.segment
        {
            segment.put(self.at, record);
            segment.put(self.at + 1, &entry::pack_birth(event, ty, born));
            self.at += 2;
            segment.publish(self.at);
        }
    }

    /// Whether there is room for so many records; if not, the event is lost, and counted.
    #[inline]
    fn has_room(&mut self, inner: &Inner, records: usize) -> bool {
        self.at + records <= SEGMENT || self.extend(inner)
    }

    #[cold]
    #[inline(never)]
    fn extend(&mut self, inner: &Inner) -> bool {
        let Some(segment) = inner.store.extend(self.thread, self.segment.as_ref()) else {
            inner.store.lose();
            return false;
        };
        self.segment = Some(segment);
        self.at = 0;
        true
    }
}

/// The thread ends, or has no use for it any more: what it wrote stays.
impl Drop for Tail {
    fn drop(&mut self) {
        if let (Some(inner), Some(segment)) = (self.inner.upgrade(), &self.segment) {
            inner.store.leave(segment);
        }
    }
}
