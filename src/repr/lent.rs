//! Copies of std's pointer that are lent, where it stands nowhere as a whole: its metadata is in the handle, its address in
//! the place; or the handle came from a raw pointer.
//!
//! # Invariants
//!
//! * **LENT**: a copy stays where it is, as it is, from when it is lent until its handle ends or is taken apart, at least.

use crate::lock::{Mutex, gate};
use std::boxed::Box;
use std::collections::BTreeMap;
use std::mem::MaybeUninit;
use std::sync::atomic::{AtomicUsize, Ordering};

/// The bits of std's pointer.
type Copy = MaybeUninit<[*mut (); 2]>;

struct Loan(Box<Copy>);

// SAFETY: LENT: a copy is written once, by who has the table, and read by those who have its handle.
unsafe impl Send for Loan {}

/// By ticket and metadata: two views of one handle may have been coerced to different types.
static LOANS: Mutex<BTreeMap<(u64, usize), Loan>> = Mutex::new(BTreeMap::new());

/// How many there are. Relaxed: who ends a handle got it from who lent it, or is that.
static COUNT: AtomicUsize = AtomicUsize::new(0);

/// Lends a copy of std's pointer. `is_first` if nothing was lent of this handle yet.
#[cold]
#[inline(never)]
pub(super) fn lend<S>(ticket: u64, is_first: bool, bits: &MaybeUninit<S>) -> *const S {
    const { assert!(size_of::<S>() <= size_of::<Copy>() && align_of::<S>() <= align_of::<Copy>()) };
    let mut copy = Copy::new([std::ptr::null_mut(); 2]);
    let target = copy.as_mut_ptr().cast::<MaybeUninit<S>>();
    // SAFETY: LENT: it has room for the pointer; the copy owns nothing.
    unsafe { std::ptr::copy_nonoverlapping(bits, target, 1) };
    // SAFETY: WORD: both words are initialized.
    let [_, metadata] = unsafe { copy.assume_init() }.map(|word| word.addr());
    let mut loans = LOANS.lock();
    if is_first {
        end_in(&mut loans, ticket);
    }
    let loan = loans.entry((ticket, metadata)).or_insert_with(|| Loan(Box::new(copy)));
    let lent = (&raw const *loan.0).cast();
    COUNT.store(loans.len(), Ordering::Relaxed);
    lent
}

/// The handle with this ticket ends.
#[cold]
#[inline(never)]
pub(super) fn end(ticket: u64) {
    if COUNT.load(Ordering::Relaxed) == 0 {
        return;
    }
    // A signal's handler that interrupted who has a lock leaves the copy behind, for the next that has the ticket.
    let loans = if gate::is_passed() { LOANS.try_lock() } else { Some(LOANS.lock()) };
    if let Some(mut loans) = loans {
        end_in(&mut loans, ticket);
        COUNT.store(loans.len(), Ordering::Relaxed);
    }
}

fn end_in(loans: &mut BTreeMap<(u64, usize), Loan>, ticket: u64) {
    while let Some((&key, _)) = loans.range((ticket, 0)..=(ticket, usize::MAX)).next() {
        loans.remove(&key);
    }
}
