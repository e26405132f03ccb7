//! Decides which events capture a stack, and how deep: of what is asked for, and always of a clone whose line is not the
//! user's.

use crate::event::{Caller, Object};
use crate::lock::RwLock;
use std::sync::atomic::{AtomicU32, Ordering};

/// Frames of a stack that is taken to find the user's line: above it are refscope's, std's and those of derives, which in
/// a debug build are some 40.
const TO_THE_USER: usize = 64;

/// How many frames of allocations, clones and drops. In a model too it is set before anything happens.
static DEPTHS: AtomicU32 = AtomicU32::new(0);

/// Which objects it is of.
pub(crate) type Only = Box<dyn Fn(&Object) -> bool + Send + Sync>;

/// All where there is none.
static ONLY: RwLock<Option<Only>> = RwLock::new(None);

/// Sets it for objects that are allocated from now on.
pub(crate) fn set(new: u8, clone: u8, drop: u8, only: Option<Only>) {
    let old = std::mem::replace(&mut *ONLY.write(), only);
    // Relaxed: whoever allocates sees it sooner or later.
    DEPTHS.store(u32::from_le_bytes([new, clone, drop, 0]), Ordering::Relaxed);
    std::mem::drop(old);
}

fn depths() -> [u8; 4] {
    DEPTHS.load(Ordering::Relaxed).to_le_bytes()
}

/// Whether any are asked for.
#[inline]
pub(crate) fn asked_for() -> bool {
    DEPTHS.load(Ordering::Relaxed) != 0
}

/// Whether any are asked for of a new object.
#[inline]
pub(crate) fn asked_for_of(object: &Object) -> bool {
    asked_for() && ONLY.read().as_ref().is_none_or(|only| only(object))
}

/// Whether a stack is to be taken for the user's line, which it has where names can be found.
pub(crate) fn needs_stack(site: Caller) -> bool {
    cfg!(feature = "stacks") && super::needs_stack(site)
}

/// The stack of an allocation: asked for, or needed to know the user's line.
#[cold]
#[inline(never)]
pub(crate) fn of_new(asked_for: bool, site: Caller) -> u32 {
    take(if asked_for { depths()[0] } else { 0 }, site)
}

/// The stack of what makes another handle, likewise.
#[cold]
#[inline(never)]
pub(crate) fn of_clone(asked_for: bool, site: Caller) -> u32 {
    take(if asked_for { depths()[1] } else { 0 }, site)
}

fn take(depth: u8, site: Caller) -> u32 {
    // Asked again, since it says so a few times only of a line that it can't find the source of.
    let needed = if needs_stack(site) { TO_THE_USER } else { 0 };
    super::record(usize::from(depth).max(needed))
}

/// The stack of the end of a handle, if it is asked for.
#[cold]
#[inline(never)]
pub(crate) fn of_end() -> u32 {
    super::record(depths()[2].into())
}
