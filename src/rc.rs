//! Single-threaded reference counting: [`Rc`] and [`Weak`], traced.
//!
//! `use refscope::rc::{Rc, Weak};` in place of `use std::rc::{Rc, Weak};` is the whole swap. std's
//! pointer does the counting; see [`std::rc`] for its behaviour. The docs here name the event that
//! each function emits.
//!
//! [What refscope cannot do](crate#what-it-cannot-do) has the remedies for what does not compile.

// Of two words, std's pointer is a reference; of one, a view to be borrowed.
#![allow(clippy::needless_borrow)]

// STABLE: the value of an `Rc` stays where it is while a pointer to it lives, as std promises for
// the pointer inside, and `Deref` is not under a user's control.

use crate::event::{Kind, Op, Type};
use crate::forward;
use crate::make_mut::MakeMut;
use crate::repr::{self, Repr, pointer};
use crate::runtime::handle::{self as ticket, Value};
use crate::{StdPtr, boxed::Box};
use std::any::Any;
use std::borrow::Cow;
use std::mem::MaybeUninit;
use std::panic::Location;
use std::pin::Pin;
use std::ptr;
use std::rc;

// The rest of `std::rc`; items defined here shadow the glob's.
pub use std::rc::*;

pointer! {
    /// A single-threaded reference-counting pointer, traced: [`std::rc::Rc`] and a ticket that
    /// identifies the handle.
    ///
    /// # Examples
    ///
    /// ```
    /// use refscope::rc::Rc;
    ///
    /// let one = Rc::new(vec![1, 2, 3]);
    /// let two = Rc::clone(&one);
    /// assert_eq!(Rc::strong_count(&one), 2);
    /// assert_eq!(two.len(), 3);
    /// ```
    ///
    /// # Coercion
    ///
    /// An `Rc<T>` becomes an `Rc<dyn Trait>` by itself in the [fully drop-in
    /// build](crate#fully-drop-in). On plain stable the compiler says "mismatched types"; there
    /// [`unsize!`](crate::unsize!) or [`coerce!`](crate::coerce!) does it.
    pub struct Rc<T>: ticket::Strong<false>, rc::Rc<T>;
}

pointer! {
    /// A handle that does not keep the value alive, traced: [`std::rc::Weak`] and a ticket that
    /// identifies it.
    ///
    /// # Examples
    ///
    /// ```
    /// use refscope::rc::Rc;
    ///
    /// let strong = Rc::new(5);
    /// let weak = Rc::downgrade(&strong);
    /// assert_eq!(weak.upgrade().as_deref(), Some(&5));
    /// drop(strong);
    /// assert!(weak.upgrade().is_none());
    /// ```
    pub struct Weak<T>: ticket::Weak<false>, rc::Weak<T>;
}

impl<T: ?Sized> Rc<T> {
    /// Wraps a pointer that std has just allocated. Emits [`Op::New`].
    #[inline]
    #[track_caller]
    pub(crate) fn wrap_new(inner: rc::Rc<T>) -> Self {
        if ticket::is_idle() {
            return Self::from_std_alone(inner);
        }
        let value = Value::of(&*inner);
        Self::from_parts(ticket::Strong::birth(Type::rc::<T>(), value, Op::New), inner)
    }
}

// Constructors.

impl<T> Rc<T> {
    /// Allocates `value`. Emits [`Op::New`].
    #[inline]
    #[track_caller]
    pub fn new(value: T) -> Self {
        Self::wrap_new(rc::Rc::new(value))
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
    /// use refscope::rc::{Rc, Weak};
    ///
    /// struct Node {
    ///     me: Weak<Node>,
    /// }
    ///
    /// let node = Rc::new_cyclic(|me| Node { me: me.clone() });
    /// assert!(Rc::ptr_eq(&node, &node.me.upgrade().unwrap()));
    /// ```
    #[track_caller]
    pub fn new_cyclic<F>(data_fn: F) -> Self
    where
        F: FnOnce(&Weak<T>) -> T,
    {
        let site = Location::caller();
        let announce = |address: *const T| {
            ticket::Weak::birth_at(Type::rc::<T>(), Value::at(address), Op::NewCyclic, site)
        };
        let mut ticket = None;
        let inner = rc::Rc::new_cyclic(|weak| {
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
    pub fn new_uninit() -> Rc<MaybeUninit<T>> {
        Rc::wrap_new(rc::Rc::new_uninit())
    }

    /// Allocates memory for a value and fills it with zero bytes. Emits [`Op::New`].
    #[must_use]
    #[cfg(refscope_zeroed)]
    #[track_caller]
    pub fn new_zeroed() -> Rc<MaybeUninit<T>> {
        Rc::wrap_new(rc::Rc::new_zeroed())
    }

    /// Allocates `value` and pins it. Emits [`Op::New`].
    #[must_use]
    #[track_caller]
    pub fn pin(value: T) -> Pin<Self> {
        // SAFETY: STABLE: the value does not move while the pointer lives.
        unsafe { Pin::new_unchecked(Self::new(value)) }
    }
}

impl<T> Rc<[T]> {
    /// Allocates a slice of `len` values that are not initialized yet. Emits [`Op::New`].
    #[must_use]
    #[track_caller]
    pub fn new_uninit_slice(len: usize) -> Rc<[MaybeUninit<T>]> {
        Rc::wrap_new(rc::Rc::new_uninit_slice(len))
    }

    /// Allocates a slice of `len` values and fills it with zero bytes. Emits [`Op::New`].
    #[must_use]
    #[cfg(refscope_zeroed)]
    #[track_caller]
    pub fn new_zeroed_slice(len: usize) -> Rc<[MaybeUninit<T>]> {
        Rc::wrap_new(rc::Rc::new_zeroed_slice(len))
    }
}

impl<T> Rc<MaybeUninit<T>> {
    /// Converts to the initialized type. The handle stays the same; emits nothing.
    ///
    /// # Safety
    ///
    /// As for [`std::rc::Rc::assume_init`]: the value must be initialized.
    pub unsafe fn assume_init(self) -> Rc<T> {
        let (ticket, inner) = self.into_parts();
        // SAFETY: STD: the caller keeps std's contract.
        Rc::from_parts(ticket, unsafe { inner.assume_init() })
    }
}

impl<T> Rc<[MaybeUninit<T>]> {
    /// Converts to the initialized type. The handle stays the same; emits nothing.
    ///
    /// # Safety
    ///
    /// As for [`std::rc::Rc::assume_init`]: the values must be initialized.
    pub unsafe fn assume_init(self) -> Rc<[T]> {
        let (ticket, inner) = self.into_parts();
        // SAFETY: STD: the caller keeps std's contract.
        Rc::from_parts(ticket, unsafe { inner.assume_init() })
    }
}

// Moving the value out.

impl<T> Rc<T> {
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
        match rc::Rc::try_unwrap(inner) {
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
        ticket.into_inner(|| rc::Rc::into_inner(inner))
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

impl<T: ?Sized> Rc<T> {
    /// Makes a handle of a pointer that [`into_raw`](Self::into_raw) returned. Emits
    /// [`Op::FromRaw`]; the count stays the same.
    ///
    /// The handle is untraced if the pointer did not come from a traced one.
    ///
    /// # Safety
    ///
    /// As for [`std::rc::Rc::from_raw`].
    #[track_caller]
    pub unsafe fn from_raw(ptr: *const T) -> Self {
        // SAFETY: STD: the caller keeps std's contract.
        let inner = unsafe { rc::Rc::from_raw(ptr) };
        let at = ticket::at(Kind::Rc, &*inner);
        Self::from_parts(ticket::Strong::from_raw(at, repr::address(&inner)), inner)
    }

    /// Returns a raw pointer that owns what the handle owned. Emits [`Op::IntoRaw`]; the count
    /// stays the same.
    #[must_use = "losing the pointer will leak memory"]
    #[track_caller]
    pub fn into_raw(this: Self) -> *const T {
        let (ticket, inner) = this.into_parts();
        let strong = || rc::Rc::strong_count(&inner);
        ticket.into_raw(ticket::at(Kind::Rc, &*inner), Op::IntoRaw, strong);
        rc::Rc::into_raw(inner)
    }

    /// Adds a strong handle to the object that a raw pointer owns. Emits [`Op::Clone`] and
    /// [`Op::IntoRaw`].
    ///
    /// # Safety
    ///
    /// As for [`std::rc::Rc::increment_strong_count`].
    #[track_caller]
    pub unsafe fn increment_strong_count(ptr: *const T) {
        // SAFETY: STD: the caller keeps std's contract.
        unsafe { rc::Rc::increment_strong_count(ptr) };
        // SAFETY: STD: the caller's pointer is to a living value.
        let value = unsafe { &*ptr };
        ticket::Strong::<false>::increment(ticket::at(Kind::Rc, value));
    }

    /// Drops a strong handle of the object that a raw pointer owns. Emits [`Op::FromRaw`] and
    /// [`Op::Drop`].
    ///
    /// # Safety
    ///
    /// As for [`std::rc::Rc::decrement_strong_count`].
    #[track_caller]
    pub unsafe fn decrement_strong_count(ptr: *const T) {
        // SAFETY: STD: the caller keeps std's contract.
        drop(unsafe { Self::from_raw(ptr) });
    }

    /// Returns a raw pointer to the value. Emits nothing.
    #[inline]
    pub fn as_ptr(this: &Self) -> *const T {
        rc::Rc::as_ptr(&this.std())
    }
}

// Counts and identity.

impl<T: ?Sized> Rc<T> {
    /// Returns a weak handle to the same object. Emits [`Op::Downgrade`].
    #[must_use = "this returns a new `Weak` pointer, without modifying the original `Rc`"]
    #[inline]
    #[track_caller]
    pub fn downgrade(this: &Self) -> Weak<T> {
        let site = Location::caller();
        this.derive(rc::Rc::downgrade, |ticket, std| ticket.downgraded(site, std))
    }

    /// Returns std's count of weak handles.
    #[inline]
    pub fn weak_count(this: &Self) -> usize {
        rc::Rc::weak_count(&this.std())
    }

    /// Returns std's count of strong handles.
    #[inline]
    pub fn strong_count(this: &Self) -> usize {
        rc::Rc::strong_count(&this.std())
    }

    /// Returns a mutable reference if no other strong or weak handle exists. Emits nothing.
    #[inline]
    pub fn get_mut(this: &mut Self) -> Option<&mut T> {
        this.value_mut_by(rc::Rc::get_mut)
    }

    /// Returns whether both handles point to the same object.
    #[inline]
    pub fn ptr_eq(this: &Self, other: &Self) -> bool {
        rc::Rc::ptr_eq(&this.std(), &other.std())
    }
}

impl<T: ?Sized + MakeMut> Rc<T> {
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
            let before = rc::Rc::as_ptr(&*parts.std);
            let value = T::rc_make_mut(&mut *parts.std);
            if !ptr::addr_eq(before, value) {
                parts.identity.copied(Type::rc::<T>(), Value::of(value));
            }
            ptr::from_mut(value)
        };
        // SAFETY: STABLE: it is the value of the handle, which is borrowed.
        unsafe { &mut *value }
    }
}

impl Rc<dyn Any> {
    /// Converts to the value's own type. The handle stays the same; emits nothing.
    ///
    /// # Errors
    ///
    /// Returns the handle if the value is of another type.
    #[inline]
    pub fn downcast<T: Any>(self) -> Result<Rc<T>, Self> {
        let (ticket, inner) = self.into_parts();
        match inner.downcast() {
            Ok(inner) => Ok(Rc::from_parts(ticket, inner)),
            Err(inner) => Err(Self::from_parts(ticket, inner)),
        }
    }
}

impl<T: ?Sized> Clone for Rc<T> {
    /// Returns another handle to the same object. Emits [`Op::Clone`].
    #[inline]
    #[track_caller]
    fn clone(&self) -> Self {
        let site = Location::caller();
        self.derive(rc::Rc::clone, |ticket, std| ticket.cloned(site, std))
    }
}

forward::traits! { Rc, wrap_new }
forward::equality! { Rc }

// Conversions between pointers.

/// For a program that swaps `Rc` alone and has std's boxes. Emits [`Op::New`].
impl<T: ?Sized> From<std::boxed::Box<T>> for Rc<T> {
    #[track_caller]
    fn from(boxed: std::boxed::Box<T>) -> Self {
        Self::wrap_new(boxed.into())
    }
}

/// Moves the value into a new object. Emits [`Op::MovedOut`] for the box and [`Op::New`].
impl<T: ?Sized> From<Box<T>> for Rc<T> {
    #[track_caller]
    fn from(boxed: Box<T>) -> Self {
        let (ticket, inner) = boxed.into_parts();
        let inner = rc::Rc::from(inner);
        ticket.end(Op::MovedOut);
        Self::wrap_new(inner)
    }
}

/// Emits [`Op::New`].
impl<'a, B> From<Cow<'a, B>> for Rc<B>
where
    B: ToOwned + ?Sized,
    Rc<B>: From<&'a B> + From<B::Owned>,
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
impl From<Rc<str>> for Rc<[u8]> {
    fn from(text: Rc<str>) -> Self {
        let (ticket, inner) = text.into_parts();
        Self::from_parts(ticket, inner.into())
    }
}

/// Traces a pointer of std's, as [`StdPtr::from_std`] does. Emits [`Op::FromStd`].
impl<T: ?Sized> From<rc::Rc<T>> for Rc<T> {
    #[track_caller]
    fn from(inner: rc::Rc<T>) -> Self {
        Self::from_std(inner)
    }
}

/// Returns std's pointer, as [`StdPtr::into_std`] does. Emits [`Op::IntoStd`].
impl<T: ?Sized> From<Rc<T>> for rc::Rc<T> {
    #[track_caller]
    fn from(traced: Rc<T>) -> Self {
        traced.into_std()
    }
}

impl<T: ?Sized> StdPtr for Rc<T> {
    type Std = rc::Rc<T>;

    #[track_caller]
    fn from_std(inner: rc::Rc<T>) -> Self {
        let (value, at) = (Value::of(&*inner), ticket::at(Kind::Rc, &*inner));
        let strong = || rc::Rc::strong_count(&inner);
        let ticket = ticket::Strong::from_std(Type::rc::<T>(), value, at, strong);
        Self::from_parts(ticket, inner)
    }

    #[track_caller]
    fn into_std(self) -> rc::Rc<T> {
        let (ticket, inner) = self.into_parts();
        ticket.into_std(ticket::at(Kind::Rc, &*inner));
        inner
    }

    fn as_std(&self) -> &rc::Rc<T> {
        self.lend()
    }
}

// Weak.

impl<T> Weak<T> {
    /// Returns a weak handle that points to no object and never upgrades. Emits nothing.
    #[must_use]
    #[inline]
    pub const fn new() -> Self {
        Self::untraced(rc::Weak::new())
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
    /// As for [`std::rc::Weak::from_raw`].
    #[track_caller]
    pub unsafe fn from_raw(ptr: *const T) -> Self {
        // SAFETY: STD: the caller keeps std's contract.
        let inner = unsafe { rc::Weak::from_raw(ptr) };
        let at = (Kind::Rc, ptr.addr());
        Self::from_parts(ticket::Weak::from_raw(at, repr::address(&inner)), inner)
    }

    /// Returns a raw pointer that owns what the weak handle owned. Emits [`Op::WeakIntoRaw`].
    #[must_use = "losing the pointer will leak memory"]
    #[track_caller]
    pub fn into_raw(self) -> *const T {
        let (ticket, inner) = self.into_parts();
        let ptr = inner.into_raw();
        ticket.into_raw((Kind::Rc, ptr.addr()));
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
    #[must_use = "this returns a new `Rc`, without modifying the original weak pointer"]
    #[inline]
    #[track_caller]
    pub fn upgrade(&self) -> Option<Rc<T>> {
        let site = Location::caller();
        self.try_derive(
            rc::Weak::upgrade,
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
impl<T: ?Sized> From<rc::Weak<T>> for Weak<T> {
    #[track_caller]
    fn from(inner: rc::Weak<T>) -> Self {
        Self::from_std(inner)
    }
}

/// Returns std's weak pointer, as [`StdPtr::into_std`] does. Emits [`Op::WeakIntoStd`].
impl<T: ?Sized> From<Weak<T>> for rc::Weak<T> {
    #[track_caller]
    fn from(traced: Weak<T>) -> Self {
        traced.into_std()
    }
}

impl<T: ?Sized> StdPtr for Weak<T> {
    type Std = rc::Weak<T>;

    #[track_caller]
    fn from_std(inner: rc::Weak<T>) -> Self {
        // The pointee may be gone, so its size is unknown. A dangling pointer has no object.
        let ticket = if inner.as_ptr().addr() == usize::MAX {
            ticket::Weak::UNTRACED
        } else {
            ticket::Weak::birth(
                Type::rc::<T>(),
                Value::unknown(inner.as_ptr().addr()),
                Op::WeakFromStd,
            )
        };
        Self::from_parts(ticket, inner)
    }

    #[track_caller]
    fn into_std(self) -> rc::Weak<T> {
        let (ticket, inner) = self.into_parts();
        ticket.end(Op::WeakIntoStd);
        inner
    }

    fn as_std(&self) -> &rc::Weak<T> {
        self.lend()
    }
}
