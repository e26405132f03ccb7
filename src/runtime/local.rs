//! What each thread has of its own: magazines of free slots, a cache of paths, the scope that it is in, where it
//! writes into a log.
//!
//! * **FOREIGN**: no code but the runtime's runs while a thread's own is in use, or under a lock of the runtime's: what is
//!   asked of others (the span that a subscriber knows, whether a sink wants an object) is asked before, and handed down. Such
//!   code may panic, and may use traced pointers, which would be taken for those of a signal's handler.

use super::entry::{Entry, Place};
use super::ledger::LEDGER;
use super::log::Tails;
use super::paths::PathCache;
use super::scope::ScopeNode;
use super::slab::Magazine;
use crate::event::Thread;
use crate::primitive::{Ordering, compiler_fence, thread_state};
use std::cell::Cell;
use std::mem::ManuallyDrop;

/// Nothing was done here yet.
const FRESH: u16 = 0;
const READY: u16 = 1;
/// The thread is at work on what is in here. Whoever finds it so is a signal's handler on the same thread.
const BUSY: u16 = 2;
/// The thread is ending; what it had is given back.
const ENDED: u16 = 3;
/// Beside each of them: code of a sink runs on the thread.
const INSIDE: u16 = 1 << 8;

/// A thread's own.
pub(crate) struct Local {
    /// In one word with [`INSIDE`], so that the common case asks for both at once.
    phase: Cell<u16>,
    pub(super) thread: Cell<u32>,
    pub(super) scope: Cell<*const ScopeNode>,
    pub(super) places: Magazine<Place>,
    pub(super) entries: Magazine<Entry>,
    pub(super) paths: PathCache,
    /// Empty once the thread has ended. Its own destructor would take the whole from destructors that run later.
    pub(super) tails: ManuallyDrop<Tails>,
}

const _: () = assert!(!std::mem::needs_drop::<Local>());

thread_state! {
    static LOCAL: Local = Local::new(), ends by Local::end;
}

impl Local {
    const fn new() -> Self {
        Self {
            phase: Cell::new(FRESH),
            thread: Cell::new(0),
            scope: Cell::new(std::ptr::null()),
            places: Magazine::new(),
            entries: Magazine::new(),
            paths: PathCache::new(),
            tails: ManuallyDrop::new(Tails::new()),
        }
    }

    #[inline(always)]
    fn phase(&self) -> u16 {
        self.phase.get() & !INSIDE
    }

    #[inline(always)]
    fn set_phase(&self, phase: u16) {
        self.phase.set((self.phase.get() & INSIDE) | phase);
    }

    #[cold]
    #[inline(never)]
    fn start(&self) -> bool {
        if self.phase() == FRESH {
            // Before a handler of this thread may find it ready.
            self.thread.set(Thread::current().number());
            self.set_phase(if register_end() { READY } else { ENDED });
        }
        self.phase() == READY
    }

    /// Whether code of a sink runs on this thread.
    #[inline]
    pub(crate) fn is_inside(&self) -> bool {
        self.phase.get() & INSIDE != 0
    }

    /// Gives back what the thread had, for others to use. What it does from now on takes shared paths.
    pub(crate) fn end(&self) {
        let before = self.phase();
        // Busy meanwhile, for a handler of a signal.
        self.set_phase(BUSY);
        if before == READY {
            LEDGER.places.empty(&self.places);
            LEDGER.entries.empty(&self.entries);
            self.tails.end();
        }
        self.set_phase(ENDED);
    }
}

/// This thread's own, in use until the guard is dropped. Dereferences to `None` where it may not be used: the thread is
/// ending, or this is a signal's handler that interrupted such a use. See FOREIGN.
pub(crate) struct Own<'a>(Option<&'a Local>);

/// Takes this thread's own into use.
///
/// (A guard, since a closure of the size that makes a handle would not be inlined.)
#[inline(always)]
pub(crate) fn own<'a>() -> Own<'a> {
    let local = state().filter(|local| local.phase() == READY || local.start());
    if let Some(local) = local {
        local.set_phase(BUSY);
    }
    // A handler of this thread sees what is above before what is below.
    compiler_fence(Ordering::SeqCst);
    Own(local)
}

/// This thread's own, in use until the guard is dropped, if it may be used, nothing has to be done for it first, and no
/// code of a sink runs.
pub(crate) struct Ready<'a>(&'a Local);

#[inline(always)]
pub(crate) fn ready<'a>() -> Option<Ready<'a>> {
    let local = state().filter(|local| local.phase.get() == READY)?;
    local.phase.set(BUSY);
    // As in `own`.
    compiler_fence(Ordering::SeqCst);
    Some(Ready(local))
}

impl std::ops::Deref for Ready<'_> {
    type Target = Local;

    #[inline(always)]
    fn deref(&self) -> &Local {
        self.0
    }
}

impl Drop for Ready<'_> {
    #[inline(always)]
    fn drop(&mut self) {
        compiler_fence(Ordering::SeqCst);
        self.0.phase.set(READY);
    }
}

impl<'a> std::ops::Deref for Own<'a> {
    type Target = Option<&'a Local>;

    #[inline(always)]
    fn deref(&self) -> &Self::Target {
        &self.0
    }
}

impl Drop for Own<'_> {
    #[inline(always)]
    fn drop(&mut self) {
        compiler_fence(Ordering::SeqCst);
        if let Some(local) = self.0 {
            local.set_phase(READY);
        }
    }
}

/// Runs `f` with this thread's [own](own()).
pub(crate) fn enter<R>(f: impl FnOnce(Option<&Local>) -> R) -> R {
    f(*own())
}

/// Whether this thread's own is given back: it is ending.
#[cold]
fn is_ending() -> bool {
    // Where a model's thread has no locals any more, it is.
    state().is_none_or(|local| local.phase() == ENDED)
}

/// Whether a thread without its own may wait for a lock: it is ending, and this is no signal's handler that interrupted
/// it with a lock.
#[cold]
pub(crate) fn may_wait() -> bool {
    is_ending() && !crate::lock::gate::is_passed()
}

/// Whether this is a signal's handler that interrupted the runtime.
pub(crate) fn is_busy() -> bool {
    state().is_some_and(|local| local.phase() == BUSY)
}

/// The number of this thread.
#[inline]
pub(crate) fn thread(local: Option<&Local>) -> u32 {
    match local {
        Some(local) => local.thread.get(),
        None => Thread::current().number(),
    }
}

/// Re-entrancy guard, held while this thread runs sink code; released on drop, also when unwinding.
pub(crate) struct Entered(());

/// `None` where the thread runs sink code already: what happens there is withheld.
#[inline]
pub(crate) fn enter_sink() -> Option<Entered> {
    // Where a model's thread has no locals any more, nothing guards against itself.
    let enter = |local: &Local| {
        let before = local.phase.replace(local.phase.get() | INSIDE);
        before & INSIDE == 0
    };
    state().is_none_or(enter).then(|| Entered(()))
}

impl Drop for Entered {
    #[inline]
    fn drop(&mut self) {
        if let Some(local) = state() {
            local.phase.set(local.phase());
        }
    }
}

/// The scope of this thread.
pub(super) fn with_scope<R>(f: impl FnOnce(&Cell<*const ScopeNode>) -> R) -> Option<R> {
    state().map(|local| f(&local.scope))
}

/// In a forked child, by its one thread: what it wrote to its parent's files it leaves alone.
#[allow(dead_code)] // where there are no forks, and in the models
pub(crate) fn forked() {
    if let Some(local) = state() {
        local.tails.forget_backed();
    }
}

/// Ends this thread's state before the thread ends: a model's first thread, whose statics are dropped first.
#[cfg(test)]
#[allow(dead_code)] // of the models, not of the library
pub(crate) fn end_now() {
    if let Some(local) = state() {
        local.end();
    }
}
