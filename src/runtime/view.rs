//! Reads what is alive, without a lock and without stopping anyone.
//!
//! A reader walks the tables, and takes a slot whose generation is the same, and odd, before and after. So each
//! object and each handle is one that was alive at some moment of the reading, and none is left out that was alive
//! throughout. (See VISIBLE in [`ledger`](super::ledger).)

use super::entry::{Entry, EntryDetails, Place, PlaceDetails};
use super::ledger::LEDGER;
use super::paths::Step;
use super::slab::{self, read};
use super::ticket::word;
use crate::event::Caller;
use std::ptr;
use std::sync::atomic::{AtomicUsize, Ordering};

/// A living handle.
#[derive(Clone, Copy, Debug)]
pub(crate) struct HandleView {
    /// The number of its object.
    pub(crate) object: u64,
    /// The word that stands where the handle is stored, scrambled.
    pub(crate) ticket: u64,
    pub(crate) details: PlaceDetails,
}

fn handle(place: &'static Place) -> Option<HandleView> {
    read(place, |_, generation| {
        let details = place.details();
        // SAFETY: FOREVER: a place in use was filled with a slot of the ledger's.
        let entry = unsafe { &*details.entry };
        let ticket = details.returned.unwrap_or_else(|| word(place, generation));
        HandleView { object: entry.id(), ticket, details }
    })
}

/// Every living object, in no order, but those that `wanted` does not want.
pub(crate) fn objects(wanted: impl Fn(&EntryDetails) -> bool) -> Vec<EntryDetails> {
    let details = |entry: &Entry| read(entry, |entry, _| entry.details());
    LEDGER.entries.iter().filter_map(details).filter(wanted).collect()
}

/// Every living handle, in no order, but those of objects that `wanted` does not want.
pub(crate) fn handles(wanted: impl Fn(u64) -> bool) -> Vec<HandleView> {
    LEDGER.places.iter().filter_map(handle).filter(|handle| wanted(handle.object)).collect()
}

/// Calls `f` for every living object, in no order.
#[allow(dead_code)] // where nothing is searched
pub(crate) fn each_object(f: impl FnMut(EntryDetails)) {
    let details = |entry: &Entry| read(entry, |entry, _| entry.details());
    LEDGER.entries.iter().filter_map(details).for_each(f);
}

/// Calls `f` for every living handle, in no order.
#[allow(dead_code)] // where nothing is searched
pub(crate) fn each_handle(f: impl FnMut(HandleView)) {
    LEDGER.places.iter().filter_map(handle).for_each(f);
}

/// The entries that were in use when the process was copied: their addresses, and their objects' numbers.
#[allow(dead_code)] // where nothing is searched
pub(crate) struct CopiedEntries(Vec<(usize, u64)>);

/// Calls `f` for every object that was alive when a copy of this process was made, in no order. `read` copies words of the
/// copy, and returns how many there were. Returns the entries, and how many bytes could not be read.
#[allow(dead_code)] // where nothing is searched
pub(crate) fn each_object_of_copy(
    read: impl Fn(usize, &mut [u64]) -> usize,
    mut f: impl FnMut(EntryDetails),
) -> (CopiedEntries, u64) {
    let mut entries = Vec::new();
    let unread = LEDGER.entries.each_of_copy(read, |entry: &Entry, then| {
        let details = slab::read(then, |then, _| then.is_filled().then(|| then.details()));
        if let Some(details) = details.flatten() {
            entries.push((ptr::from_ref(entry).addr(), details.object.id().number()));
            f(details);
        }
    });
    entries.sort_unstable();
    (CopiedEntries(entries), unread)
}

/// The same for every handle of these objects.
#[allow(dead_code)] // where nothing is searched
pub(crate) fn each_handle_of_copy(
    read: impl Fn(usize, &mut [u64]) -> usize,
    CopiedEntries(entries): &CopiedEntries,
    mut f: impl FnMut(HandleView),
) -> u64 {
    // Places and entries are taken in the same order, mostly.
    let mut next = 0;
    LEDGER.places.each_of_copy(read, |place, then| {
        let seen = slab::read(then, |then, generation| (then.details(), generation));
        let Some((details, generation)) = seen else { return };
        let entry = details.entry.addr();
        if entries.get(next).is_none_or(|&(at, _)| at != entry) {
            let Ok(at) = entries.binary_search_by_key(&entry, |&(entry, _)| entry) else { return };
            next = at;
        }
        let ticket = details.returned.unwrap_or_else(|| word(place, generation));
        f(HandleView { object: entries[next].1, ticket, details });
        next += 1;
    })
}

/// How a handle came about: each step's operation and line, and whether what was before it was cut.
pub(crate) fn path(path: u32) -> Vec<(Step, bool)> {
    LEDGER.paths.steps(path)
}

/// A path's last step, whether what was before it was cut, and the path before it.
pub(crate) fn last_step(path: u32) -> Option<(Step, bool, u32)> {
    LEDGER.paths.get(path).map(|node| (node.step, node.cut, node.parent))
}

/// The line of an event whose record has this path.
pub(crate) fn location(path: u32) -> Option<Caller> {
    LEDGER.paths.get(path).map(|node| node.step.1)
}

/// A static that a search leaves out.
struct LeftOut {
    start: AtomicUsize,
    size: AtomicUsize,
}

static LEFT_OUT: [LeftOut; 4] =
    [const { LeftOut { start: AtomicUsize::new(0), size: AtomicUsize::new(0) } }; 4];

/// Has searches leave out a static of refscope's own, which leads to no handle of the program's, but to memory in which old
/// addresses may stand. Idempotent.
pub(crate) fn leave_out<T>(own: &'static T) {
    let start = ptr::from_ref(own).addr();
    for slot in &LEFT_OUT {
        // Relaxed: a search that comes too early for it finds more words, and proves less.
        match slot.start.compare_exchange(0, start, Ordering::Relaxed, Ordering::Relaxed) {
            Ok(_) => return slot.size.store(size_of::<T>(), Ordering::Relaxed),
            Err(other) if other == start => return,
            Err(_) => {}
        }
    }
}

/// The memory of the ledger and its tables, as they were when a copy of this process was made. A search of it leaves them out.
#[allow(dead_code)] // for the search
pub(crate) fn ranges_of_copy(
    read: impl Fn(usize, &mut [u64]) -> usize,
) -> Vec<std::ops::Range<usize>> {
    let mut ranges = LEDGER.entries.ranges_of_copy(&read);
    ranges.extend(LEDGER.places.ranges_of_copy(&read));
    // Its lists of free slots, and what was in them, lead to blocks that were used again.
    let ledger = (&raw const LEDGER).addr();
    ranges.push(ledger..ledger + size_of_val(&LEDGER));
    ranges.extend(LEFT_OUT.iter().filter_map(|slot| {
        let (start, size) = (slot.start.load(Ordering::Relaxed), slot.size.load(Ordering::Relaxed));
        (start > 0).then(|| start..start + size)
    }));
    ranges
}

/// Runs what a test has done by a signal's handler that interrupted the user of the table of raw pointers.
#[cfg(test)]
#[allow(dead_code)] // of the library, not of the models
pub(crate) fn with_raw_table<R>(f: impl FnOnce() -> R) -> R {
    super::local::enter(|local| {
        let _raw = LEDGER.lock_raw(local);
        f()
    })
}

/// Gives a living object's entry to a test.
#[cfg(test)]
#[allow(dead_code)] // where nothing but a model is tested
pub(crate) fn change<R>(object: u64, f: impl FnOnce(&Entry) -> R) -> Option<R> {
    let is = |entry: &&Entry| read(*entry, |entry, _| entry.id() == object) == Some(true);
    LEDGER.entries.iter().find(is).map(f)
}
