//! How a handle is stored: as std's pointer with its identity beside it, or in one word that is either.
//!
//! The pointer types are written on the operations of [`Repr`], and do not know which. [`pointer!`] declares one.
//!
//! ```text
//!            fully drop-in build, x86-64                    elsewhere
//!
//!  untraced  ┌ std's pointer ┬ (metadata) ┐                 ┌ null   ┬ std's pointer ┬ (metadata) ┐
//!
//!  traced    ┌ ticket ───────┬ (metadata) ┐                 ┌ ticket ┬ std's pointer ┬ (metadata) ┐
//!                │                                              │
//!                └─► place, which has std's pointer             └─► place
//! ```
//!
//! In one word a traced pointer is as large as std's, has its niches, and can be `self` behind a `dyn`, since a coercion
//! changes nothing but the metadata.
//!
//! # Invariants
//!
//! * **WORD**: the first word of std's pointer is its address; what follows, if anything, is the pointee's metadata. The
//!   build script and the constants in `thin.rs` check it. A user's address has a highest bit of 0 on x86-64, and that of a
//!   `Weak` of no object is all ones; a ticket has a highest bit of 1, and is not all ones.
//! * **WHOLE**: std's pointer, whose first word is kept elsewhere for a while, is moved and not copied: it is put together
//!   again once, and in between only views of it are made, which own nothing and end before the handle does.
//! * **PLACE**: the place that a ticket names is its handle's until the handle ends, and nobody else frees it or changes
//!   std's pointer in it. Only the operations of `runtime::handle` that take the identity by value free a place, and a handle
//!   gives its identity away once, after it took std's pointer out of the place. A handle that is forgotten keeps its place
//!   for good. A place that several handles may share, or that may end with another handle, is that of one which came from a
//!   raw pointer: its ticket has std's pointer in itself, and names no place.
//! * **LENT**: see `lent.rs`, for what borrows std's pointer from a handle that has it in two pieces.
//! * **NOTED**: std's pointer is noted in the place before the handle is anyone's, by the thread that made it; other threads
//!   get the handle from that one. (A sink that is called meanwhile has no handle, and a reader of the ledger does not read the
//!   pointer.)
//!
//! A handle without a place (untraced, or refused by a full ledger, or made in a signal's handler that may not wait) is std's
//! pointer, bit by bit. A forked child has the places of its parent, at the same addresses. As with std's pointers, a copy of a
//! handle's bits is a view of it: if both are dropped, the place ends twice, whatever was done to the count meanwhile.

use crate::runtime::handle::OfTicket;
use crate::runtime::ticket::StdWord;
use std::ops::{Deref, DerefMut};

#[cfg(refscope_thin)]
mod lent;
#[cfg_attr(refscope_thin, path = "repr/thin.rs")]
#[cfg_attr(not(refscope_thin), path = "repr/wide.rs")]
mod stored;

#[cfg(refscope_thin)]
pub(crate) use stored::{End, Stored};
pub(crate) use stored::{PartsMut, address, pointer};

/// Does something with views of std's pointers of two handles: in a frame of its own.
#[inline(never)]
pub(crate) fn by_views<P: Repr, R>(one: &P, two: &P, f: impl FnOnce(&P::Std, &P::Std) -> R) -> R {
    f(&one.std(), &two.std())
}

/// How a handle is stored: see the [module](self).
pub(crate) trait Repr: Sized {
    /// What identifies the handle.
    type Identity: OfTicket;
    /// std's pointer.
    type Std;

    /// Makes a handle.
    fn from_parts(identity: Self::Identity, std: Self::Std) -> Self;

    /// The same of an identity whose place has std's pointer: that of a handle that was made from another one.
    fn from_derived_parts(identity: Self::Identity, std: Self::Std) -> Self;

    /// Makes an untraced handle.
    fn from_std_alone(std: Self::Std) -> Self;

    /// Makes another handle of this one: std's pointer by `std`, and after that its identity, in whose place that is noted.
    /// Neither unwinds.
    fn derive<Q: Repr>(
        &self,
        std: impl FnOnce(&Self::Std) -> Q::Std,
        identity: impl FnOnce(&Self::Identity, StdWord) -> Q::Identity,
    ) -> Q;

    /// The same where `std` may find that there is none to be made, after which `failed` is called.
    fn try_derive<Q: Repr>(
        &self,
        std: impl FnOnce(&Self::Std) -> Option<Q::Std>,
        identity: impl FnOnce(&Self::Identity, StdWord) -> Q::Identity,
        failed: impl FnOnce(&Self::Identity),
    ) -> Option<Q>;

    /// Takes the handle apart.
    fn into_parts(self) -> (Self::Identity, Self::Std);

    /// What identifies the handle.
    fn identity(&self) -> impl Deref<Target = Self::Identity>;

    /// std's pointer, perhaps a view of it: it is not to be lent for longer than a call.
    fn std(&self) -> impl Deref<Target = Self::Std>;

    /// std's pointers of two handles, where they stand as a whole for as long as the handles are borrowed: else there are only
    /// [views](by_views).
    fn both<'a>(&'a self, other: &'a Self) -> Option<(&'a Self::Std, &'a Self::Std)>;

    /// Both, to be changed.
    fn parts_mut(&mut self) -> PartsMut<'_, Self>;

    /// std's pointer, for as long as the handle is borrowed.
    fn lend(&self) -> &Self::Std;

    /// The value.
    fn value<T: ?Sized>(&self) -> &T
    where
        Self::Std: Deref<Target = T>;

    /// The value, to be changed.
    fn value_mut<T: ?Sized>(&mut self) -> &mut T
    where
        Self::Std: DerefMut<Target = T>;

    /// The value, to be changed, if `get` gives it.
    fn value_mut_by<T: ?Sized>(
        &mut self,
        get: impl FnOnce(&mut Self::Std) -> Option<&mut T>,
    ) -> Option<&mut T>
    where
        Self::Std: Deref<Target = T>;
}
