//! Reference counting across threads: [`Arc`] and [`Weak`], traced.
//!
//! `use refscope::sync::{Arc, Weak};` in place of `use std::sync::{Arc, Weak};` is the whole swap.
//! std's pointer does the counting; see [`std::sync`] for its behaviour. The docs here name the
//! event that each function emits.
//!
//! [What refscope cannot do](crate#what-it-cannot-do) has the remedies for what does not compile.

// Of two words, std's pointer is a reference; of one, a view to be borrowed.
#![allow(clippy::needless_borrow)]

// STABLE: the value of an `Arc` stays where it is while a pointer to it lives, as std promises for
// the pointer inside, and `Deref` is not under a user's control.

use crate::event::{Kind, Op, Type};
use crate::forward;
use crate::make_mut::MakeMut;
use crate::repr::{self, Repr, pointer};
use crate::runtime::handle::{self as ticket, Value};
use crate::{StdPtr, boxed::Box};
use std::any::Any;
use std::borrow::Cow;
use std::error::Error;
use std::fs::File;
use std::io;
use std::mem::MaybeUninit;
use std::panic::Location;
use std::pin::Pin;
use std::ptr;
use std::sync;

// The rest of `std::sync`; items defined here shadow the glob's.
pub use std::sync::*;

pointer! {
    /// A thread-safe reference-counting pointer, traced: [`std::sync::Arc`] and a ticket that
    /// identifies the handle.
    ///
    /// # Examples
    ///
    /// ```
    /// use refscope::sync::Arc;
    ///
    /// let one = Arc::new(vec![1, 2, 3]);
    /// let two = Arc::clone(&one);
    /// assert_eq!(Arc::strong_count(&one), 2);
    /// assert_eq!(two.len(), 3);
    /// ```
    ///
    /// # Coercion
    ///
    /// An `Arc<T>` becomes an `Arc<dyn Trait>` by itself in the [fully drop-in
    /// build](crate#fully-drop-in). On plain stable the compiler says "mismatched types"; there
    /// [`unsize!`](crate::unsize!) or [`coerce!`](crate::coerce!) does it.
    pub struct Arc<T>: ticket::Strong<true>, sync::Arc<T>;
}

pointer! {
    /// A handle that does not keep the value alive, traced: [`std::sync::Weak`] and a ticket that
    /// identifies it.
    ///
    /// # Examples
    ///
    /// ```
    /// use refscope::sync::Arc;
    ///
    /// let strong = Arc::new(5);
    /// let weak = Arc::downgrade(&strong);
    /// assert_eq!(weak.upgrade().as_deref(), Some(&5));
    /// drop(strong);
    /// assert!(weak.upgrade().is_none());
    /// ```
    pub struct Weak<T>: ticket::Weak<true>, sync::Weak<T>;
}

impl<T: ?Sized> Arc<T> {
    /// Wraps a pointer that std has just allocated. Emits [`Op::New`].
    #[inline]
    #[track_caller]
    pub(crate) fn wrap_new(inner: sync::Arc<T>) -> Self {
        if ticket::is_idle() {
            return Self::from_std_alone(inner);
        }
        let value = Value::of(&*inner);
        Self::from_parts(ticket::Strong::birth(Type::arc::<T>(), value, Op::New), inner)
    }
}

// Constructors.

impl<T> Arc<T> {
    /// Allocates `value`. Emits [`Op::New`].
    #[inline]
    #[track_caller]
    pub fn new(value: T) -> Self {
        Self::wrap_new(sync::Arc::new(value))
    }

    /// Allocates the value that `data_fn` returns, which may hold the `Weak` to itself that the
    /// closure is passed.
    ///
    /// An upgrade inside the closure fails, since there is no value yet. Emits [`Op::NewCyclic`]
    /// for the weak handle, then [`Op::New`] once the closure has returned.
    ///
    /// # Panics
    ///
    /// Panics if the closure panics; nothing is leaked.
    ///
    /// # Examples
    ///
    /// ```
    /// use refscope::sync::{Arc, Weak};
    ///
    /// struct Node {
    ///     me: Weak<Node>,
    /// }
    ///
    /// let node = Arc::new_cyclic(|me| Node { me: me.clone() });
    /// assert!(Arc::ptr_eq(&node, &node.me.upgrade().unwrap()));
    /// ```
    #[track_caller]
    pub fn new_cyclic<F>(data_fn: F) -> Self
    where
        F: FnOnce(&Weak<T>) -> T,
    {
        let site = Location::caller();
        let announce = |address: *const T| {
            ticket::Weak::birth_at(Type::arc::<T>(), Value::at(address), Op::NewCyclic, site)
        };
        let mut ticket = None;
        let inner = sync::Arc::new_cyclic(|weak| {
            let weak = Weak::from_parts(announce(weak.as_ptr()), weak.clone());
            let value = data_fn(&weak);
            ticket = Some(ticket::Strong::of_cyclic(&weak.identity(), site));
            value
        });
        Self::from_parts(ticket.expect("std has called the closure"), inner)
    }

    /// Allocates memory for a value that is not initialized yet. Emits [`Op::New`].
    #[must_use]
    #[track_caller]
    pub fn new_uninit() -> Arc<MaybeUninit<T>> {
        Arc::wrap_new(sync::Arc::new_uninit())
    }

    /// Allocates memory for a value and fills it with zero bytes. Emits [`Op::New`].
    #[must_use]
    #[cfg(refscope_zeroed)]
    #[track_caller]
    pub fn new_zeroed() -> Arc<MaybeUninit<T>> {
        Arc::wrap_new(sync::Arc::new_zeroed())
    }

    /// Allocates `value` and pins it. Emits [`Op::New`].
    #[must_use]
    #[track_caller]
    pub fn pin(value: T) -> Pin<Self> {
        // SAFETY: STABLE: the value does not move while the pointer lives.
        unsafe { Pin::new_unchecked(Self::new(value)) }
    }
}

impl<T> Arc<[T]> {
    /// Allocates a slice of `len` values that are not initialized yet. Emits [`Op::New`].
    #[must_use]
    #[track_caller]
    pub fn new_uninit_slice(len: usize) -> Arc<[MaybeUninit<T>]> {
        Arc::wrap_new(sync::Arc::new_uninit_slice(len))
    }

    /// Allocates a slice of `len` values and fills it with zero bytes. Emits [`Op::New`].
    #[must_use]
    #[cfg(refscope_zeroed)]
    #[track_caller]
    pub fn new_zeroed_slice(len: usize) -> Arc<[MaybeUninit<T>]> {
        Arc::wrap_new(sync::Arc::new_zeroed_slice(len))
    }
}

impl<T> Arc<MaybeUninit<T>> {
    /// Converts to the initialized type. The handle stays the same; emits nothing.
    ///
    /// # Safety
    ///
    /// As for [`std::sync::Arc::assume_init`]: the value must be initialized.
    #[must_use = "`self` will be dropped if the result is not used"]
    pub unsafe fn assume_init(self) -> Arc<T> {
        let (ticket, inner) = self.into_parts();
        // SAFETY: STD: the caller keeps std's contract.
        Arc::from_parts(ticket, unsafe { inner.assume_init() })
    }
}

impl<T> Arc<[MaybeUninit<T>]> {
    /// Converts to the initialized type. The handle stays the same; emits nothing.
    ///
    /// # Safety
    ///
    /// As for [`std::sync::Arc::assume_init`]: the values must be initialized.
    #[must_use = "`self` will be dropped if the result is not used"]
    pub unsafe fn assume_init(self) -> Arc<[T]> {
        let (ticket, inner) = self.into_parts();
        // SAFETY: STD: the caller keeps std's contract.
        Arc::from_parts(ticket, unsafe { inner.assume_init() })
    }
}

// Moving the value out.

impl<T> Arc<T> {
    /// Returns the value if this is the only strong handle. Emits [`Op::MovedOut`].
    ///
    /// # Errors
    ///
    /// Returns the handle if there are other strong ones, and emits nothing.
    #[inline]
    #[track_caller]
    pub fn try_unwrap(this: Self) -> Result<T, Self> {
        let (mut ticket, inner) = this.into_parts();
        ticket.resolve_raw();
        match sync::Arc::try_unwrap(inner) {
            Ok(value) => {
                ticket.end(Op::MovedOut);
                Ok(value)
            }
            Err(inner) => Err(Self::from_parts(ticket, inner)),
        }
    }

    /// Returns the value if this is the only strong handle, and drops the handle in any case. Emits
    /// [`Op::Drop`], then [`Op::IntoInner`] if the value is returned.
    #[inline]
    #[track_caller]
    pub fn into_inner(this: Self) -> Option<T> {
        let (ticket, inner) = this.into_parts();
        ticket.into_inner(|| sync::Arc::into_inner(inner))
    }

    /// Returns the value if this is the only strong handle, and a clone of it otherwise. Emits
    /// [`Op::MovedOut`] or [`Op::Drop`].
    #[inline]
    #[track_caller]
    pub fn unwrap_or_clone(this: Self) -> T
    where
        T: Clone,
    {
        Self::try_unwrap(this).unwrap_or_else(|this| (*this).clone())
    }
}

// Raw pointers.

impl<T: ?Sized> Arc<T> {
    /// Makes a handle of a pointer that [`into_raw`](Self::into_raw) returned. Emits
    /// [`Op::FromRaw`]; the count stays the same.
    ///
    /// The handle is untraced if the pointer did not come from a traced one.
    ///
    /// # Safety
    ///
    /// As for [`std::sync::Arc::from_raw`].
    #[track_caller]
    pub unsafe fn from_raw(ptr: *const T) -> Self {
        // SAFETY: STD: the caller keeps std's contract.
        let inner = unsafe { sync::Arc::from_raw(ptr) };
        let at = ticket::at(Kind::Arc, &*inner);
        Self::from_parts(ticket::Strong::from_raw(at, repr::address(&inner)), inner)
    }

    /// Returns a raw pointer that owns what the handle owned. Emits [`Op::IntoRaw`]; the count
    /// stays the same.
    #[must_use = "losing the pointer will leak memory"]
    #[track_caller]
    pub fn into_raw(this: Self) -> *const T {
        let (ticket, inner) = this.into_parts();
        let strong = || sync::Arc::strong_count(&inner);
        ticket.into_raw(ticket::at(Kind::Arc, &*inner), Op::IntoRaw, strong);
        sync::Arc::into_raw(inner)
    }

    /// Adds a strong handle to the object that a raw pointer owns. Emits [`Op::Clone`] and
    /// [`Op::IntoRaw`].
    ///
    /// # Safety
    ///
    /// As for [`std::sync::Arc::increment_strong_count`].
    #[track_caller]
    pub unsafe fn increment_strong_count(ptr: *const T) {
        // SAFETY: STD: the caller keeps std's contract.
        unsafe { sync::Arc::increment_strong_count(ptr) };
        // SAFETY: STD: the caller's pointer is to a living value.
        let value = unsafe { &*ptr };
        ticket::Strong::<true>::increment(ticket::at(Kind::Arc, value));
    }

    /// Drops a strong handle of the object that a raw pointer owns. Emits [`Op::FromRaw`] and
    /// [`Op::Drop`].
    ///
    /// # Safety
    ///
    /// As for [`std::sync::Arc::decrement_strong_count`].
    #[track_caller]
    pub unsafe fn decrement_strong_count(ptr: *const T) {
        // SAFETY: STD: the caller keeps std's contract.
        drop(unsafe { Self::from_raw(ptr) });
    }

    /// Returns a raw pointer to the value. Emits nothing.
    #[must_use]
    #[inline]
    pub fn as_ptr(this: &Self) -> *const T {
        sync::Arc::as_ptr(&this.std())
    }
}

// Counts and identity.

impl<T: ?Sized> Arc<T> {
    /// Returns a weak handle to the same object. Emits [`Op::Downgrade`].
    #[must_use = "this returns a new `Weak` pointer, without modifying the original `Arc`"]
    #[inline]
    #[track_caller]
    pub fn downgrade(this: &Self) -> Weak<T> {
        let site = Location::caller();
        this.derive(sync::Arc::downgrade, |ticket, std| ticket.downgraded(site, std))
    }

    /// Returns std's count of weak handles.
    #[must_use]
    #[inline]
    pub fn weak_count(this: &Self) -> usize {
        sync::Arc::weak_count(&this.std())
    }

    /// Returns std's count of strong handles.
    #[must_use]
    #[inline]
    pub fn strong_count(this: &Self) -> usize {
        sync::Arc::strong_count(&this.std())
    }

    /// Returns a mutable reference if no other strong or weak handle exists. Emits nothing.
    #[inline]
    pub fn get_mut(this: &mut Self) -> Option<&mut T> {
        this.value_mut_by(sync::Arc::get_mut)
    }

    /// Returns whether both handles point to the same object.
    #[must_use]
    #[inline]
    pub fn ptr_eq(this: &Self, other: &Self) -> bool {
        sync::Arc::ptr_eq(&this.std(), &other.std())
    }
}

impl<T: ?Sized + MakeMut> Arc<T> {
    /// Returns a mutable reference, cloning the value first if it is shared.
    ///
    /// A value with other strong handles is cloned, one with weak handles only is moved; either way
    /// the handle then has a new object. Emits [`Op::Drop`] for the old object and
    /// [`Op::CopyOnWrite`] for the new one, or nothing if the value was not shared.
    #[inline]
    #[track_caller]
    pub fn make_mut(this: &mut Self) -> &mut T {
        let value = {
            #[allow(unused_mut)] // of two words
            let mut parts = this.parts_mut();
            parts.identity.resolve_raw();
            let before = sync::Arc::as_ptr(&*parts.std);
            let value = T::arc_make_mut(&mut *parts.std);
            if !ptr::addr_eq(before, value) {
                parts.identity.copied(Type::arc::<T>(), Value::of(value));
            }
            ptr::from_mut(value)
        };
        // SAFETY: STABLE: it is the value of the handle, which is borrowed.
        unsafe { &mut *value }
    }
}

impl Arc<dyn Any + Send + Sync> {
    /// Converts to the value's own type. The handle stays the same; emits nothing.
    ///
    /// # Errors
    ///
    /// Returns the handle if the value is of another type.
    #[inline]
    pub fn downcast<T: Any + Send + Sync>(self) -> Result<Arc<T>, Self> {
        let (ticket, inner) = self.into_parts();
        match inner.downcast() {
            Ok(inner) => Ok(Arc::from_parts(ticket, inner)),
            Err(inner) => Err(Self::from_parts(ticket, inner)),
        }
    }
}

impl<T: ?Sized> Clone for Arc<T> {
    /// Returns another handle to the same object. Emits [`Op::Clone`].
    #[inline]
    #[track_caller]
    fn clone(&self) -> Self {
        let site = Location::caller();
        self.derive(sync::Arc::clone, |ticket, std| ticket.cloned(site, std))
    }
}

forward::traits! { Arc, wrap_new }
forward::equality! { Arc }

// Conversions between pointers.

/// For a program that swaps `Arc` alone and has std's boxes. Emits [`Op::New`].
impl<T: ?Sized> From<std::boxed::Box<T>> for Arc<T> {
    #[track_caller]
    fn from(boxed: std::boxed::Box<T>) -> Self {
        Self::wrap_new(boxed.into())
    }
}

/// Moves the value into a new object. Emits [`Op::MovedOut`] for the box and [`Op::New`].
impl<T: ?Sized> From<Box<T>> for Arc<T> {
    #[track_caller]
    fn from(boxed: Box<T>) -> Self {
        let (ticket, inner) = boxed.into_parts();
        let inner = sync::Arc::from(inner);
        ticket.end(Op::MovedOut);
        Self::wrap_new(inner)
    }
}

/// Emits [`Op::New`].
impl<'a, B> From<Cow<'a, B>> for Arc<B>
where
    B: ToOwned + ?Sized,
    Arc<B>: From<&'a B> + From<B::Owned>,
{
    #[track_caller]
    fn from(cow: Cow<'a, B>) -> Self {
        match cow {
            Cow::Borrowed(value) => Self::from(value),
            Cow::Owned(value) => Self::from(value),
        }
    }
}

/// The handle stays the same; emits nothing.
impl From<Arc<str>> for Arc<[u8]> {
    fn from(text: Arc<str>) -> Self {
        let (ticket, inner) = text.into_parts();
        Self::from_parts(ticket, inner.into())
    }
}

impl<T> Arc<T> {
    /// As `from_raw`, for a waker, which has no line of the program's: [`Op::FromRaw`] is emitted for the line that allocated.
    ///
    /// # Safety
    ///
    /// As for [`std::sync::Arc::from_raw`].
    pub(crate) unsafe fn lent(ptr: *const T) -> Self {
        // SAFETY: STD: the caller keeps std's contract.
        let inner = unsafe { sync::Arc::from_raw(ptr) };
        let at = ticket::at(Kind::Arc, &*inner);
        Self::from_parts(ticket::Strong::lent(at, repr::address(&inner)), inner)
    }

    /// Makes what was `lent` a raw pointer again.
    pub(crate) fn give_back(self) {
        let (ticket, inner) = self.into_parts();
        ticket.give_back(ticket::at(Kind::Arc, &*inner), || sync::Arc::strong_count(&inner));
        let _ = sync::Arc::into_raw(inner);
    }
}

impl<T: Error + ?Sized> Error for Arc<T> {
    #[allow(deprecated)]
    fn description(&self) -> &str {
        (**self).description()
    }

    #[allow(deprecated)]
    fn cause(&self) -> Option<&dyn Error> {
        (**self).cause()
    }

    fn source(&self) -> Option<&(dyn Error + 'static)> {
        (**self).source()
    }
}

impl io::Read for Arc<File> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        (&**self).read(buf)
    }

    fn read_vectored(&mut self, bufs: &mut [io::IoSliceMut<'_>]) -> io::Result<usize> {
        (&**self).read_vectored(bufs)
    }

    fn read_to_end(&mut self, buf: &mut Vec<u8>) -> io::Result<usize> {
        (&**self).read_to_end(buf)
    }

    fn read_to_string(&mut self, buf: &mut String) -> io::Result<usize> {
        (&**self).read_to_string(buf)
    }
}

impl io::Write for Arc<File> {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        (&**self).write(buf)
    }

    fn write_vectored(&mut self, bufs: &[io::IoSlice<'_>]) -> io::Result<usize> {
        (&**self).write_vectored(bufs)
    }

    fn flush(&mut self) -> io::Result<()> {
        (&**self).flush()
    }
}

impl io::Seek for Arc<File> {
    fn seek(&mut self, pos: io::SeekFrom) -> io::Result<u64> {
        (&**self).seek(pos)
    }
}

/// Traces a pointer of std's, as [`StdPtr::from_std`] does. Emits [`Op::FromStd`].
impl<T: ?Sized> From<sync::Arc<T>> for Arc<T> {
    #[track_caller]
    fn from(inner: sync::Arc<T>) -> Self {
        Self::from_std(inner)
    }
}

/// Returns std's pointer, as [`StdPtr::into_std`] does. Emits [`Op::IntoStd`].
impl<T: ?Sized> From<Arc<T>> for sync::Arc<T> {
    #[track_caller]
    fn from(traced: Arc<T>) -> Self {
        traced.into_std()
    }
}

impl<T: ?Sized> StdPtr for Arc<T> {
    type Std = sync::Arc<T>;

    #[track_caller]
    fn from_std(inner: sync::Arc<T>) -> Self {
        let (value, at) = (Value::of(&*inner), ticket::at(Kind::Arc, &*inner));
        let strong = || sync::Arc::strong_count(&inner);
        let ticket = ticket::Strong::from_std(Type::arc::<T>(), value, at, strong);
        Self::from_parts(ticket, inner)
    }

    #[track_caller]
    fn into_std(self) -> sync::Arc<T> {
        let (ticket, inner) = self.into_parts();
        ticket.into_std(ticket::at(Kind::Arc, &*inner));
        inner
    }

    fn as_std(&self) -> &sync::Arc<T> {
        self.lend()
    }
}

// Weak.

impl<T> Weak<T> {
    /// Returns a weak handle that points to no object and never upgrades. Emits nothing.
    #[must_use]
    #[inline]
    pub const fn new() -> Self {
        Self::untraced(sync::Weak::new())
    }
}

impl<T: ?Sized> Weak<T> {
    /// Makes a weak handle of a pointer that [`into_raw`](Self::into_raw) returned. Emits
    /// [`Op::WeakFromRaw`].
    ///
    /// The handle is untraced if the pointer did not come from a traced one.
    ///
    /// # Safety
    ///
    /// As for [`std::sync::Weak::from_raw`].
    #[track_caller]
    pub unsafe fn from_raw(ptr: *const T) -> Self {
        // SAFETY: STD: the caller keeps std's contract.
        let inner = unsafe { sync::Weak::from_raw(ptr) };
        let at = (Kind::Arc, ptr.addr());
        Self::from_parts(ticket::Weak::from_raw(at, repr::address(&inner)), inner)
    }

    /// Returns a raw pointer that owns what the weak handle owned. Emits [`Op::WeakIntoRaw`].
    #[must_use = "losing the pointer will leak memory"]
    #[track_caller]
    pub fn into_raw(self) -> *const T {
        let (ticket, inner) = self.into_parts();
        let ptr = inner.into_raw();
        ticket.into_raw((Kind::Arc, ptr.addr()));
        ptr
    }

    /// Returns a raw pointer to where the value is, or was. Emits nothing.
    #[must_use]
    #[inline]
    pub fn as_ptr(&self) -> *const T {
        self.std().as_ptr()
    }

    /// Returns a strong handle if the value is still alive. Emits [`Op::Upgrade`] or
    /// [`Op::UpgradeFailed`].
    #[must_use = "this returns a new `Arc`, without modifying the original weak pointer"]
    #[inline]
    #[track_caller]
    pub fn upgrade(&self) -> Option<Arc<T>> {
        let site = Location::caller();
        self.try_derive(
            sync::Weak::upgrade,
            |ticket, std| ticket.upgraded(site, std),
            |ticket| ticket.upgrade_failed(site),
        )
    }

    /// Returns std's count of strong handles.
    #[must_use]
    #[inline]
    pub fn strong_count(&self) -> usize {
        self.std().strong_count()
    }

    /// Returns std's count of weak handles.
    #[must_use]
    #[inline]
    pub fn weak_count(&self) -> usize {
        self.std().weak_count()
    }

    /// Returns whether both handles point to the same object, or both to none.
    #[must_use]
    #[inline]
    pub fn ptr_eq(&self, other: &Self) -> bool {
        self.std().ptr_eq(&other.std())
    }
}

forward::weak_traits! { Weak }

/// Traces a weak pointer of std's, as [`StdPtr::from_std`] does. Emits [`Op::WeakFromStd`].
impl<T: ?Sized> From<sync::Weak<T>> for Weak<T> {
    #[track_caller]
    fn from(inner: sync::Weak<T>) -> Self {
        Self::from_std(inner)
    }
}

/// Returns std's weak pointer, as [`StdPtr::into_std`] does. Emits [`Op::WeakIntoStd`].
impl<T: ?Sized> From<Weak<T>> for sync::Weak<T> {
    #[track_caller]
    fn from(traced: Weak<T>) -> Self {
        traced.into_std()
    }
}

impl<T: ?Sized> StdPtr for Weak<T> {
    type Std = sync::Weak<T>;

    #[track_caller]
    fn from_std(inner: sync::Weak<T>) -> Self {
        // The pointee may be gone, so its size is unknown. A dangling pointer has no object.
        let ticket = if inner.as_ptr().addr() == usize::MAX {
            ticket::Weak::UNTRACED
        } else {
            ticket::Weak::birth(
                Type::arc::<T>(),
                Value::unknown(inner.as_ptr().addr()),
                Op::WeakFromStd,
            )
        };
        Self::from_parts(ticket, inner)
    }

    #[track_caller]
    fn into_std(self) -> sync::Weak<T> {
        let (ticket, inner) = self.into_parts();
        ticket.end(Op::WeakIntoStd);
        inner
    }

    fn as_std(&self) -> &sync::Weak<T> {
        self.lend()
    }
}
