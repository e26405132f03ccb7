//! Single-threaded reference counting: [`Rc`] and [`Weak`], traced.
//!
//! `use refscope::rc::{Rc, Weak};` in place of `use std::rc::{Rc, Weak};` is the whole swap. The pointer
//! inside is std's; see [`std::rc`] for what the types are and do. Said here is what each function does
//! in short, and which event it tells of.
//!
//! What cannot be given, and the way round, is listed in [the crate's documentation](crate#what-it-cannot-do).

// STABLE: the value of an `Rc` stays where it is while a pointer to it lives, as std promises for the
// pointer inside, and `Deref` is not under a user's control.

use crate::event::{Kind, Op, Type};
use crate::forward;
use crate::make_mut::MakeMut;
use crate::runtime::handle::{self as ticket, Value};
use crate::{StdPtr, boxed::Box};
use std::any::Any;
use std::borrow::Cow;
use std::mem::MaybeUninit;
use std::pin::Pin;
use std::rc;

/// A single-threaded reference-counting pointer, traced: [`std::rc::Rc`] with an identity beside it.
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
/// An `Rc<T>` becomes an `Rc<dyn Trait>` by itself in the [fully drop-in build](crate#fully-drop-in). On plain stable
/// the compiler says "mismatched types"; there [`unsize!`](crate::unsize!) or [`coerce!`](crate::coerce!) does it.
pub struct Rc<T: ?Sized> {
    // First, so that the event of a drop comes before those of what the drop destroys.
    pub(crate) ticket: ticket::Strong<false>,
    pub(crate) inner: rc::Rc<T>,
}

/// A handle that does not keep the value alive, traced: [`std::rc::Weak`] with an identity beside it.
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
pub struct Weak<T: ?Sized> {
    pub(crate) ticket: ticket::Weak<false>,
    pub(crate) inner: rc::Weak<T>,
}

impl<T: ?Sized> Rc<T> {
    /// A new object around a pointer of std's.
    #[inline]
    #[track_caller]
    pub(crate) fn born(inner: rc::Rc<T>) -> Self {
        Self { ticket: ticket::Strong::birth(Type::rc::<T>(), Value::of(&*inner), Op::New), inner }
    }
}

// Making one.

impl<T> Rc<T> {
    /// Makes an object that holds `value`. Tells of its [birth](Op::New).
    #[inline]
    #[track_caller]
    pub fn new(value: T) -> Self {
        Self::born(rc::Rc::new(value))
    }

    /// Makes an object that holds a `Weak` to itself, by a closure that gets that `Weak`.
    ///
    /// Inside the closure there is no value yet, and an upgrade fails. Tells of the [weak
    /// handle](Op::NewCyclic), then, when the closure has returned, of the [birth](Op::New).
    ///
    /// # Panics
    ///
    /// Where the closure does; nothing is leaked.
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
        let site = std::panic::Location::caller();
        let announce = |address: *const T| {
            ticket::Weak::birth_at(Type::rc::<T>(), Value::at(address), Op::NewCyclic, site)
        };
        let mut ticket = None;
        let inner = rc::Rc::new_cyclic(|weak| {
            let weak = Weak { ticket: announce(weak.as_ptr()), inner: weak.clone() };
            let value = data_fn(&weak);
            ticket = Some(ticket::Strong::of_cyclic(&weak.ticket, site));
            value
        });
        Self { ticket: ticket.expect("std has called the closure"), inner }
    }

    /// Makes an object whose value is to be written yet. Tells of its [birth](Op::New).
    #[track_caller]
    pub fn new_uninit() -> Rc<MaybeUninit<T>> {
        Rc::born(rc::Rc::new_uninit())
    }

    /// Makes an object whose bytes are zero. Tells of its [birth](Op::New).
    #[track_caller]
    pub fn new_zeroed() -> Rc<MaybeUninit<T>> {
        Rc::born(rc::Rc::new_zeroed())
    }

    /// Makes a pinned object. Tells of its [birth](Op::New).
    #[track_caller]
    pub fn pin(value: T) -> Pin<Self> {
        // SAFETY: STABLE: the value does not move while the pointer lives.
        unsafe { Pin::new_unchecked(Self::new(value)) }
    }
}

impl<T> Rc<[T]> {
    /// Makes a slice whose values are to be written yet. Tells of its [birth](Op::New).
    #[track_caller]
    pub fn new_uninit_slice(len: usize) -> Rc<[MaybeUninit<T>]> {
        Rc::born(rc::Rc::new_uninit_slice(len))
    }

    /// Makes a slice whose bytes are zero. Tells of its [birth](Op::New).
    #[track_caller]
    pub fn new_zeroed_slice(len: usize) -> Rc<[MaybeUninit<T>]> {
        Rc::born(rc::Rc::new_zeroed_slice(len))
    }
}

impl<T> Rc<MaybeUninit<T>> {
    /// The same handle, its value written. No event.
    ///
    /// # Safety
    ///
    /// As for [`std::rc::Rc::assume_init`]: the value must be initialized.
    pub unsafe fn assume_init(self) -> Rc<T> {
        let Self { ticket, inner } = self;
        // SAFETY: STD: passed on to the caller.
        Rc { ticket, inner: unsafe { inner.assume_init() } }
    }
}

impl<T> Rc<[MaybeUninit<T>]> {
    /// The same handle, its values written. No event.
    ///
    /// # Safety
    ///
    /// As for [`std::rc::Rc::assume_init`]: the values must be initialized.
    pub unsafe fn assume_init(self) -> Rc<[T]> {
        let Self { ticket, inner } = self;
        // SAFETY: STD: passed on to the caller.
        Rc { ticket, inner: unsafe { inner.assume_init() } }
    }
}

// Taking the value out.

impl<T> Rc<T> {
    /// The value, if this is the only strong handle. Tells of the [move](Op::MovedOut) if so.
    ///
    /// # Errors
    ///
    /// Gives the handle back where there are others; no event then.
    #[inline]
    #[track_caller]
    pub fn try_unwrap(this: Self) -> Result<T, Self> {
        let Self { mut ticket, inner } = this;
        ticket.settle();
        match rc::Rc::try_unwrap(inner) {
            Ok(value) => {
                ticket.end(Op::MovedOut);
                Ok(value)
            }
            Err(inner) => Err(Self { ticket, inner }),
        }
    }

    /// The value, if this was the only strong handle. Tells of the [drop](Op::Drop), and of the
    /// [move](Op::IntoInner) if there was one.
    #[inline]
    #[track_caller]
    pub fn into_inner(this: Self) -> Option<T> {
        let Self { ticket, inner } = this;
        ticket.into_inner(|| rc::Rc::into_inner(inner))
    }

    /// The value, or a clone of it where there are other handles.
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
    /// A handle from a pointer that [`into_raw`](Self::into_raw) gave. Tells of its
    /// [return](Op::FromRaw), as a new handle; the count stays.
    ///
    /// A pointer that refscope did not see leave gives an untraced handle.
    ///
    /// # Safety
    ///
    /// As for [`std::rc::Rc::from_raw`].
    #[track_caller]
    pub unsafe fn from_raw(ptr: *const T) -> Self {
        // SAFETY: STD: passed on to the caller.
        let inner = unsafe { rc::Rc::from_raw(ptr) };
        Self { ticket: ticket::Strong::from_raw(ticket::at(Kind::Rc, &*inner)), inner }
    }

    /// A raw pointer that owns the handle. Tells of its [leaving](Op::IntoRaw); the count stays.
    #[track_caller]
    pub fn into_raw(this: Self) -> *const T {
        let Self { ticket, inner } = this;
        let strong = || rc::Rc::strong_count(&inner);
        ticket.into_raw(ticket::at(Kind::Rc, &*inner), Op::IntoRaw, strong);
        rc::Rc::into_raw(inner)
    }

    /// Adds a handle to an object that is a raw pointer now. Tells of a [clone](Op::Clone) that [becomes
    /// raw](Op::IntoRaw) at once.
    ///
    /// # Safety
    ///
    /// As for [`std::rc::Rc::increment_strong_count`].
    #[track_caller]
    pub unsafe fn increment_strong_count(ptr: *const T) {
        // SAFETY: STD: passed on to the caller.
        unsafe { rc::Rc::increment_strong_count(ptr) };
        // SAFETY: STD: the caller's pointer is to a living value.
        let value = unsafe { &*ptr };
        ticket::Strong::<false>::increment(ticket::at(Kind::Rc, value));
    }

    /// Takes a handle from an object that is a raw pointer now. Tells of its [return](Op::FromRaw) and
    /// its [drop](Op::Drop).
    ///
    /// # Safety
    ///
    /// As for [`std::rc::Rc::decrement_strong_count`].
    #[track_caller]
    pub unsafe fn decrement_strong_count(ptr: *const T) {
        // SAFETY: STD: passed on to the caller.
        drop(unsafe { Self::from_raw(ptr) });
    }

    /// A pointer to the value. No event.
    #[inline]
    pub fn as_ptr(this: &Self) -> *const T {
        rc::Rc::as_ptr(&this.inner)
    }
}

// Counts and identity.

impl<T: ?Sized> Rc<T> {
    /// A weak handle to the same object. Tells of the [downgrade](Op::Downgrade).
    #[inline]
    #[track_caller]
    pub fn downgrade(this: &Self) -> Weak<T> {
        let inner = rc::Rc::downgrade(&this.inner);
        Weak { ticket: this.ticket.downgraded(), inner }
    }

    /// How many weak handles there are, by std's own count.
    #[inline]
    pub fn weak_count(this: &Self) -> usize {
        rc::Rc::weak_count(&this.inner)
    }

    /// How many strong handles there are, by std's own count.
    #[inline]
    pub fn strong_count(this: &Self) -> usize {
        rc::Rc::strong_count(&this.inner)
    }

    /// The value, to be changed, if this is the only handle, weak ones included. No event.
    #[inline]
    pub fn get_mut(this: &mut Self) -> Option<&mut T> {
        rc::Rc::get_mut(&mut this.inner)
    }

    /// Whether both point to the same object.
    #[inline]
    pub fn ptr_eq(this: &Self, other: &Self) -> bool {
        rc::Rc::ptr_eq(&this.inner, &other.inner)
    }
}

impl<T: ?Sized + MakeMut> Rc<T> {
    /// The value, to be changed, made this handle's own first.
    ///
    /// Where there are other strong handles the value is cloned, where there are only weak ones it is
    /// moved; both make a new object. Tells of the [drop](Op::Drop) from the old one and the
    /// [birth](Op::CopyOnWrite) of the new.
    #[inline]
    #[track_caller]
    pub fn make_mut(this: &mut Self) -> &mut T {
        this.ticket.settle();
        let before = rc::Rc::as_ptr(&this.inner);
        let value = T::rc_make_mut(&mut this.inner);
        if !std::ptr::addr_eq(before, value) {
            this.ticket.copied(Type::rc::<T>(), Value::of(value));
        }
        value
    }
}

impl Rc<dyn Any> {
    /// The same handle with the type that the value has. No event.
    ///
    /// # Errors
    ///
    /// Gives the handle back where the value is of another type.
    #[inline]
    pub fn downcast<T: Any>(self) -> Result<Rc<T>, Self> {
        let Self { ticket, inner } = self;
        match inner.downcast() {
            Ok(inner) => Ok(Rc { ticket, inner }),
            Err(inner) => Err(Self { ticket, inner }),
        }
    }
}

impl<T: ?Sized> Clone for Rc<T> {
    /// Makes another handle to the same object. Tells of the [clone](Op::Clone).
    #[inline]
    #[track_caller]
    fn clone(&self) -> Self {
        let inner = rc::Rc::clone(&self.inner);
        Self { ticket: self.ticket.cloned(), inner }
    }
}

forward::traits! { Rc, born }

// From pointers to pointers.

/// A program that swaps `Rc` alone has std's boxes. Tells of the [birth](Op::New).
impl<T: ?Sized> From<std::boxed::Box<T>> for Rc<T> {
    #[track_caller]
    fn from(boxed: std::boxed::Box<T>) -> Self {
        Self::born(boxed.into())
    }
}

/// The value moves into a new object: tells of the [move](Op::MovedOut) out of the box and the
/// [birth](Op::New).
impl<T: ?Sized> From<Box<T>> for Rc<T> {
    #[track_caller]
    fn from(boxed: Box<T>) -> Self {
        let Box { ticket, inner } = boxed;
        let inner = rc::Rc::from(inner);
        ticket.end(Op::MovedOut);
        Self::born(inner)
    }
}

/// Tells of the [birth](Op::New).
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

/// The same handle. No event.
impl From<Rc<str>> for Rc<[u8]> {
    fn from(text: Rc<str>) -> Self {
        let Rc { ticket, inner } = text;
        Self { ticket, inner: inner.into() }
    }
}

/// A pointer of std's becomes a traced one. Tells of it as of a [new object](Op::FromStd).
impl<T: ?Sized> From<rc::Rc<T>> for Rc<T> {
    #[track_caller]
    fn from(inner: rc::Rc<T>) -> Self {
        Self::from_std(inner)
    }
}

/// A traced pointer becomes one of std's. Tells of its [leaving](Op::IntoStd).
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
        let value = Value::of(&*inner);
        Self { ticket: ticket::Strong::birth(Type::rc::<T>(), value, Op::FromStd), inner }
    }

    #[track_caller]
    fn into_std(self) -> rc::Rc<T> {
        let Self { ticket, inner } = self;
        ticket.end(Op::IntoStd);
        inner
    }

    fn as_std(&self) -> &rc::Rc<T> {
        &self.inner
    }
}

// Weak.

impl<T> Weak<T> {
    /// A weak handle of no object: it never upgrades. No event.
    #[inline]
    pub const fn new() -> Self {
        Self { ticket: ticket::Weak::DANGLING, inner: rc::Weak::new() }
    }
}

impl<T: ?Sized> Weak<T> {
    /// A weak handle from a pointer that [`into_raw`](Self::into_raw) gave. Tells of its
    /// [return](Op::WeakFromRaw), as a new handle.
    ///
    /// # Safety
    ///
    /// As for [`std::rc::Weak::from_raw`].
    #[track_caller]
    pub unsafe fn from_raw(ptr: *const T) -> Self {
        let ticket = ticket::Weak::from_raw((Kind::Rc, ptr.addr()));
        // SAFETY: STD: passed on to the caller.
        Self { ticket, inner: unsafe { rc::Weak::from_raw(ptr) } }
    }

    /// A raw pointer that owns the weak handle. Tells of its [leaving](Op::WeakIntoRaw).
    #[track_caller]
    pub fn into_raw(self) -> *const T {
        let Self { ticket, inner } = self;
        let ptr = inner.into_raw();
        ticket.into_raw((Kind::Rc, ptr.addr()));
        ptr
    }

    /// A pointer to where the value is or was. No event.
    #[inline]
    pub fn as_ptr(&self) -> *const T {
        self.inner.as_ptr()
    }

    /// A strong handle, if the value is still there. Tells of the [upgrade](Op::Upgrade), or that it
    /// [failed](Op::UpgradeFailed).
    #[inline]
    #[track_caller]
    pub fn upgrade(&self) -> Option<Rc<T>> {
        match self.inner.upgrade() {
            Some(inner) => Some(Rc { ticket: self.ticket.upgraded(), inner }),
            None => {
                self.ticket.upgrade_failed();
                None
            }
        }
    }

    /// How many strong handles there are, by std's own count.
    #[inline]
    pub fn strong_count(&self) -> usize {
        self.inner.strong_count()
    }

    /// How many weak handles there are, by std's own count.
    #[inline]
    pub fn weak_count(&self) -> usize {
        self.inner.weak_count()
    }

    /// Whether both point to the same object, or neither to any.
    #[inline]
    pub fn ptr_eq(&self, other: &Self) -> bool {
        self.inner.ptr_eq(&other.inner)
    }
}

forward::weak_traits! { Weak }

/// A weak pointer of std's becomes a traced one. Tells of it as of a [new object](Op::WeakFromStd).
impl<T: ?Sized> From<rc::Weak<T>> for Weak<T> {
    #[track_caller]
    fn from(inner: rc::Weak<T>) -> Self {
        Self::from_std(inner)
    }
}

/// A traced weak pointer becomes one of std's. Tells of its [leaving](Op::WeakIntoStd).
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
        // What a weak pointer points to cannot be measured, and a dangling one points to nothing.
        let ticket = if inner.as_ptr().addr() == usize::MAX {
            ticket::Weak::DANGLING
        } else {
            ticket::Weak::birth(
                Type::rc::<T>(),
                Value::unknown(inner.as_ptr().addr()),
                Op::WeakFromStd,
            )
        };
        Self { ticket, inner }
    }

    #[track_caller]
    fn into_std(self) -> rc::Weak<T> {
        let Self { ticket, inner } = self;
        ticket.end(Op::WeakIntoStd);
        inner
    }

    fn as_std(&self) -> &rc::Weak<T> {
        &self.inner
    }
}
