//! Copies of std's pointer that are lent, where it stands nowhere as a whole: its metadata is in the handle, its address in
//! the place; or the handle came from a raw pointer.
//!
//! # Invariants
//!
//! * **LENT**: a copy stays where it is, as it is, for as long as the handle is borrowed of which it is lent, at least.
//!
//! A handle with a place has its copies by its ticket, which no other living handle has, until it ends or is taken apart: what
//! a stale ticket of the place left is freed by who lends first, which the place says; both under the lock, so that it is not
//! another thread's that lends of the same handle.
//!
//! A handle that came from a raw pointer may share its ticket with another. It has its copy by where it stands: while it is
//! borrowed it is not moved, and no other is there. What it leaves when it is moved is freed by the next that is lent of, or
//! dropped, at that address: one copy remains, at most, for each address at which such a handle ever was lent of.

use crate::lock::{Mutex, MutexGuard, gate};
use crate::runtime::ticket::Ticket;
use std::boxed::Box;
use std::collections::BTreeMap;
use std::mem::MaybeUninit;
use std::sync::atomic::{AtomicUsize, Ordering};

/// The bits of std's pointer.
type Copy = MaybeUninit<[*mut (); 2]>;

struct Loan(Box<Copy>);

// SAFETY: LENT: a copy is written once, by who has the table, and read by those who have its handle.
unsafe impl Send for Loan {}

struct Loans {
    /// By ticket and metadata: two views of one handle may have been coerced to different types.
    of_places: BTreeMap<(u64, usize), Loan>,
    /// By the handle's address; with its ticket and metadata.
    of_returned: BTreeMap<usize, ((u64, usize), Loan)>,
}

static LOANS: Mutex<Loans> =
    Mutex::new(Loans { of_places: BTreeMap::new(), of_returned: BTreeMap::new() });

/// How many there are. Relaxed: who ends a handle got it from who lent it, or is that.
static COUNT: AtomicUsize = AtomicUsize::new(0);

/// Lends a copy of std's pointer, `bits`, of the handle at an address.
#[cold]
#[inline(never)]
pub(super) fn lend<S>(handle: usize, ticket: &Ticket, bits: &MaybeUninit<S>) -> *const S {
    const { assert!(size_of::<S>() <= size_of::<Copy>() && align_of::<S>() <= align_of::<Copy>()) };
    let mut copy = Copy::new([std::ptr::null_mut(); 2]);
    let target = copy.as_mut_ptr().cast::<MaybeUninit<S>>();
    // SAFETY: LENT: it has room for the pointer; the copy owns nothing.
    unsafe { std::ptr::copy_nonoverlapping(bits, target, 1) };
    // SAFETY: WORD: both words are initialized.
    let [_, metadata] = unsafe { copy.assume_init() }.map(|word| word.addr());
    let key = (ticket.word(), metadata);
    let new = || Loan(Box::new(copy));
    let mut loans = LOANS.lock();
    let loan = if ticket.is_returned() {
        let known = loans.of_returned.entry(handle).or_insert_with(|| (key, new()));
        if known.0 != key {
            // Of a handle that is not there any more.
            *known = (key, new());
        }
        &known.1
    } else {
        if !ticket.place().set_lent() {
            loans.end_of_place(key.0);
        }
        loans.of_places.entry(key).or_insert_with(new)
    };
    let lent = (&raw const *loan.0).cast();
    loans.count();
    lent
}

/// The handle with this ticket, which names a place, ends.
#[cold]
#[inline(never)]
pub(super) fn end(ticket: &Ticket) {
    if let Some(mut loans) = lock() {
        loans.end_of_place(ticket.word());
        loans.count();
    }
}

/// The same where most likely nothing was lent: the handle has another ticket now, and its place may be another handle's.
#[inline]
pub(super) fn end_if_any(ticket: &Ticket) {
    if COUNT.load(Ordering::Relaxed) != 0 {
        end(ticket);
    }
}

/// The handle at an address, which came from a raw pointer, is dropped.
#[inline]
pub(super) fn end_at(handle: usize) {
    #[cold]
    #[inline(never)]
    fn end(handle: usize) {
        if let Some(mut loans) = lock() {
            loans.of_returned.remove(&handle);
            loans.count();
        }
    }
    if COUNT.load(Ordering::Relaxed) != 0 {
        end(handle);
    }
}

/// None where a signal's handler interrupted who has a lock: the copy is left behind, for the next that lends.
fn lock() -> Option<MutexGuard<'static, Loans>> {
    if gate::is_passed() { LOANS.try_lock() } else { Some(LOANS.lock()) }
}

impl Loans {
    fn end_of_place(&mut self, ticket: u64) {
        let all = (ticket, 0)..=(ticket, usize::MAX);
        while let Some((&key, _)) = self.of_places.range(all.clone()).next() {
            self.of_places.remove(&key);
        }
    }

    /// Done under the lock.
    fn count(&self) {
        COUNT.store(self.of_places.len() + self.of_returned.len(), Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::LOANS;
    use crate::{Arc, Rc, Scope, StdPtr};

    /// A handle that `make_mut` gives a new object keeps no copy that was lent of it before.
    #[test]
    fn what_was_lent_ends_with_the_ticket() {
        let copies = || {
            let loans = LOANS.lock();
            loans.of_places.len() + loans.of_returned.len()
        };
        let before = copies();
        Scope::tracking().run(|| {
            let (mut one, mut two): (Rc<[u8]>, Arc<[u8]>) = (Rc::from([1]), Arc::from([1]));
            for turn in 0..200 {
                one.as_std();
                two.as_std();
                let others = (one.clone(), two.clone());
                Rc::make_mut(&mut one)[0] += 1;
                Arc::make_mut(&mut two)[0] += 1;
                if turn % 2 == 0 {
                    drop(others);
                    // SAFETY: it is the pointer that `into_raw` gave.
                    two = unsafe { Arc::from_raw(Arc::into_raw(two)) };
                }
            }
        });
        // Other tests lend as well.
        let after = copies();
        assert!(after < before + 100, "{after} copies, {before} before");
    }
}
