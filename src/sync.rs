//! Reference counting across threads: [`Arc`] and [`Weak`], traced.
//!
//! `use refscope::sync::{Arc, Weak};` in place of `use std::sync::{Arc, Weak};` is the whole swap. The pointer
//! inside is std's; see [`std::sync`] for what the types are and do. Said here is what each function does
//! in short, and which event it tells of.
//!
//! What cannot be given, and the way round, is listed in [the crate's documentation](crate#what-it-cannot-do).

// STABLE: the value of an `Arc` stays where it is while a pointer to it lives, as std promises for the
// pointer inside, and `Deref` is not under a user's control.

use crate::event::{Kind, Op, Type};
use crate::forward;
use crate::make_mut::MakeMut;
use crate::runtime::handle::{self as ticket, Value};
use crate::{StdPtr, boxed::Box};
use std::any::Any;
use std::borrow::Cow;
use std::error::Error;
use std::fs::File;
use std::io;
use std::mem::MaybeUninit;
use std::pin::Pin;
use std::sync;

// The rest of `std::sync`, so that `use refscope::sync::{Arc, Mutex};` is a swap as well.
pub use std::sync::{
    Barrier, BarrierWaitResult, Condvar, LazyLock, LockResult, Mutex, MutexGuard, Once, OnceLock,
    OnceState, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard, TryLockError, TryLockResult,
    WaitTimeoutResult, atomic, mpsc,
};

/// A thread-safe reference-counting pointer, traced: [`std::sync::Arc`] with an identity beside it.
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
/// An `Arc<T>` becomes an `Arc<dyn Trait>` by itself in the [fully drop-in build](crate#fully-drop-in). On plain stable
/// the compiler says "mismatched types"; there [`unsize!`](crate::unsize!) or [`coerce!`](crate::coerce!) does it.
pub struct Arc<T: ?Sized> {
    // First, so that the event of a drop comes before those of what the drop destroys.
    pub(crate) ticket: ticket::Strong<true>,
    pub(crate) inner: sync::Arc<T>,
}

/// A handle that does not keep the value alive, traced: [`std::sync::Weak`] with an identity beside it.
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
pub struct Weak<T: ?Sized> {
    pub(crate) ticket: ticket::Weak<true>,
    pub(crate) inner: sync::Weak<T>,
}

impl<T: ?Sized> Arc<T> {
    /// A new object around a pointer of std's.
    #[inline]
    #[track_caller]
    pub(crate) fn born(inner: sync::Arc<T>) -> Self {
        Self { ticket: ticket::Strong::birth(Type::arc::<T>(), Value::of(&*inner), Op::New), inner }
    }
}

// Making one.

impl<T> Arc<T> {
    /// Makes an object that holds `value`. Tells of its [birth](Op::New).
    #[inline]
    #[track_caller]
    pub fn new(value: T) -> Self {
        Self::born(sync::Arc::new(value))
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
        let site = std::panic::Location::caller();
        let announce = |address: *const T| {
            ticket::Weak::birth_at(Type::arc::<T>(), Value::at(address), Op::NewCyclic, site)
        };
        let mut ticket = None;
        let inner = sync::Arc::new_cyclic(|weak| {
            let weak = Weak { ticket: announce(weak.as_ptr()), inner: weak.clone() };
            let value = data_fn(&weak);
            ticket = Some(ticket::Strong::of_cyclic(&weak.ticket, site));
            value
        });
        Self { ticket: ticket.expect("std has called the closure"), inner }
    }

    /// Makes an object whose value is to be written yet. Tells of its [birth](Op::New).
    #[track_caller]
    pub fn new_uninit() -> Arc<MaybeUninit<T>> {
        Arc::born(sync::Arc::new_uninit())
    }

    /// Makes an object whose bytes are zero. Tells of its [birth](Op::New).
    #[track_caller]
    pub fn new_zeroed() -> Arc<MaybeUninit<T>> {
        Arc::born(sync::Arc::new_zeroed())
    }

    /// Makes a pinned object. Tells of its [birth](Op::New).
    #[track_caller]
    pub fn pin(value: T) -> Pin<Self> {
        // SAFETY: STABLE: the value does not move while the pointer lives.
        unsafe { Pin::new_unchecked(Self::new(value)) }
    }
}

impl<T> Arc<[T]> {
    /// Makes a slice whose values are to be written yet. Tells of its [birth](Op::New).
    #[track_caller]
    pub fn new_uninit_slice(len: usize) -> Arc<[MaybeUninit<T>]> {
        Arc::born(sync::Arc::new_uninit_slice(len))
    }

    /// Makes a slice whose bytes are zero. Tells of its [birth](Op::New).
    #[track_caller]
    pub fn new_zeroed_slice(len: usize) -> Arc<[MaybeUninit<T>]> {
        Arc::born(sync::Arc::new_zeroed_slice(len))
    }
}

impl<T> Arc<MaybeUninit<T>> {
    /// The same handle, its value written. No event.
    ///
    /// # Safety
    ///
    /// As for [`std::sync::Arc::assume_init`]: the value must be initialized.
    pub unsafe fn assume_init(self) -> Arc<T> {
        let Self { ticket, inner } = self;
        // SAFETY: STD: passed on to the caller.
        Arc { ticket, inner: unsafe { inner.assume_init() } }
    }
}

impl<T> Arc<[MaybeUninit<T>]> {
    /// The same handle, its values written. No event.
    ///
    /// # Safety
    ///
    /// As for [`std::sync::Arc::assume_init`]: the values must be initialized.
    pub unsafe fn assume_init(self) -> Arc<[T]> {
        let Self { ticket, inner } = self;
        // SAFETY: STD: passed on to the caller.
        Arc { ticket, inner: unsafe { inner.assume_init() } }
    }
}

// Taking the value out.

impl<T> Arc<T> {
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
        match sync::Arc::try_unwrap(inner) {
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
        ticket.into_inner(|| sync::Arc::into_inner(inner))
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

impl<T: ?Sized> Arc<T> {
    /// A handle from a pointer that [`into_raw`](Self::into_raw) gave. Tells of its
    /// [return](Op::FromRaw), as a new handle; the count stays.
    ///
    /// A pointer that refscope did not see leave gives an untraced handle.
    ///
    /// # Safety
    ///
    /// As for [`std::sync::Arc::from_raw`].
    #[track_caller]
    pub unsafe fn from_raw(ptr: *const T) -> Self {
        // SAFETY: STD: passed on to the caller.
        let inner = unsafe { sync::Arc::from_raw(ptr) };
        Self { ticket: ticket::Strong::from_raw(ticket::at(Kind::Arc, &*inner)), inner }
    }

    /// A raw pointer that owns the handle. Tells of its [leaving](Op::IntoRaw); the count stays.
    #[track_caller]
    pub fn into_raw(this: Self) -> *const T {
        let Self { ticket, inner } = this;
        let strong = || sync::Arc::strong_count(&inner);
        ticket.into_raw(ticket::at(Kind::Arc, &*inner), Op::IntoRaw, strong);
        sync::Arc::into_raw(inner)
    }

    /// Adds a handle to an object that is a raw pointer now. Tells of a [clone](Op::Clone) that [becomes
    /// raw](Op::IntoRaw) at once.
    ///
    /// # Safety
    ///
    /// As for [`std::sync::Arc::increment_strong_count`].
    #[track_caller]
    pub unsafe fn increment_strong_count(ptr: *const T) {
        // SAFETY: STD: passed on to the caller.
        unsafe { sync::Arc::increment_strong_count(ptr) };
        // SAFETY: STD: the caller's pointer is to a living value.
        let value = unsafe { &*ptr };
        ticket::Strong::<true>::increment(ticket::at(Kind::Arc, value));
    }

    /// Takes a handle from an object that is a raw pointer now. Tells of its [return](Op::FromRaw) and
    /// its [drop](Op::Drop).
    ///
    /// # Safety
    ///
    /// As for [`std::sync::Arc::decrement_strong_count`].
    #[track_caller]
    pub unsafe fn decrement_strong_count(ptr: *const T) {
        // SAFETY: STD: passed on to the caller.
        drop(unsafe { Self::from_raw(ptr) });
    }

    /// A pointer to the value. No event.
    #[inline]
    pub fn as_ptr(this: &Self) -> *const T {
        sync::Arc::as_ptr(&this.inner)
    }
}

// Counts and identity.

impl<T: ?Sized> Arc<T> {
    /// A weak handle to the same object. Tells of the [downgrade](Op::Downgrade).
    #[inline]
    #[track_caller]
    pub fn downgrade(this: &Self) -> Weak<T> {
        let inner = sync::Arc::downgrade(&this.inner);
        Weak { ticket: this.ticket.downgraded(), inner }
    }

    /// How many weak handles there are, by std's own count.
    #[inline]
    pub fn weak_count(this: &Self) -> usize {
        sync::Arc::weak_count(&this.inner)
    }

    /// How many strong handles there are, by std's own count.
    #[inline]
    pub fn strong_count(this: &Self) -> usize {
        sync::Arc::strong_count(&this.inner)
    }

    /// The value, to be changed, if this is the only handle, weak ones included. No event.
    #[inline]
    pub fn get_mut(this: &mut Self) -> Option<&mut T> {
        sync::Arc::get_mut(&mut this.inner)
    }

    /// Whether both point to the same object.
    #[inline]
    pub fn ptr_eq(this: &Self, other: &Self) -> bool {
        sync::Arc::ptr_eq(&this.inner, &other.inner)
    }
}

impl<T: ?Sized + MakeMut> Arc<T> {
    /// The value, to be changed, made this handle's own first.
    ///
    /// Where there are other strong handles the value is cloned, where there are only weak ones it is
    /// moved; both make a new object. Tells of the [drop](Op::Drop) from the old one and the
    /// [birth](Op::CopyOnWrite) of the new.
    #[inline]
    #[track_caller]
    pub fn make_mut(this: &mut Self) -> &mut T {
        this.ticket.settle();
        let before = sync::Arc::as_ptr(&this.inner);
        let value = T::arc_make_mut(&mut this.inner);
        if !std::ptr::addr_eq(before, value) {
            this.ticket.copied(Type::arc::<T>(), Value::of(value));
        }
        value
    }
}

impl Arc<dyn Any + Send + Sync> {
    /// The same handle with the type that the value has. No event.
    ///
    /// # Errors
    ///
    /// Gives the handle back where the value is of another type.
    #[inline]
    pub fn downcast<T: Any + Send + Sync>(self) -> Result<Arc<T>, Self> {
        let Self { ticket, inner } = self;
        match inner.downcast() {
            Ok(inner) => Ok(Arc { ticket, inner }),
            Err(inner) => Err(Self { ticket, inner }),
        }
    }
}

impl<T: ?Sized> Clone for Arc<T> {
    /// Makes another handle to the same object. Tells of the [clone](Op::Clone).
    #[inline]
    #[track_caller]
    fn clone(&self) -> Self {
        let inner = sync::Arc::clone(&self.inner);
        Self { ticket: self.ticket.cloned(), inner }
    }
}

forward::traits! { Arc, born }

// From pointers to pointers.

/// A program that swaps `Arc` alone has std's boxes. Tells of the [birth](Op::New).
impl<T: ?Sized> From<std::boxed::Box<T>> for Arc<T> {
    #[track_caller]
    fn from(boxed: std::boxed::Box<T>) -> Self {
        Self::born(boxed.into())
    }
}

/// The value moves into a new object: tells of the [move](Op::MovedOut) out of the box and the
/// [birth](Op::New).
impl<T: ?Sized> From<Box<T>> for Arc<T> {
    #[track_caller]
    fn from(boxed: Box<T>) -> Self {
        let Box { ticket, inner } = boxed;
        let inner = sync::Arc::from(inner);
        ticket.end(Op::MovedOut);
        Self::born(inner)
    }
}

/// Tells of the [birth](Op::New).
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

/// The same handle. No event.
impl From<Arc<str>> for Arc<[u8]> {
    fn from(text: Arc<str>) -> Self {
        let Arc { ticket, inner } = text;
        Self { ticket, inner: inner.into() }
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

/// A pointer of std's becomes a traced one. Tells of it as of a [new object](Op::FromStd).
impl<T: ?Sized> From<sync::Arc<T>> for Arc<T> {
    #[track_caller]
    fn from(inner: sync::Arc<T>) -> Self {
        Self::from_std(inner)
    }
}

/// A traced pointer becomes one of std's. Tells of its [leaving](Op::IntoStd).
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
        let value = Value::of(&*inner);
        Self { ticket: ticket::Strong::birth(Type::arc::<T>(), value, Op::FromStd), inner }
    }

    #[track_caller]
    fn into_std(self) -> sync::Arc<T> {
        let Self { ticket, inner } = self;
        ticket.end(Op::IntoStd);
        inner
    }

    fn as_std(&self) -> &sync::Arc<T> {
        &self.inner
    }
}

// Weak.

impl<T> Weak<T> {
    /// A weak handle of no object: it never upgrades. No event.
    #[inline]
    pub const fn new() -> Self {
        Self { ticket: ticket::Weak::DANGLING, inner: sync::Weak::new() }
    }
}

impl<T: ?Sized> Weak<T> {
    /// A weak handle from a pointer that [`into_raw`](Self::into_raw) gave. Tells of its
    /// [return](Op::WeakFromRaw), as a new handle.
    ///
    /// # Safety
    ///
    /// As for [`std::sync::Weak::from_raw`].
    #[track_caller]
    pub unsafe fn from_raw(ptr: *const T) -> Self {
        let ticket = ticket::Weak::from_raw((Kind::Arc, ptr.addr()));
        // SAFETY: STD: passed on to the caller.
        Self { ticket, inner: unsafe { sync::Weak::from_raw(ptr) } }
    }

    /// A raw pointer that owns the weak handle. Tells of its [leaving](Op::WeakIntoRaw).
    #[track_caller]
    pub fn into_raw(self) -> *const T {
        let Self { ticket, inner } = self;
        let ptr = inner.into_raw();
        ticket.into_raw((Kind::Arc, ptr.addr()));
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
    pub fn upgrade(&self) -> Option<Arc<T>> {
        match self.inner.upgrade() {
            Some(inner) => Some(Arc { ticket: self.ticket.upgraded(), inner }),
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
impl<T: ?Sized> From<sync::Weak<T>> for Weak<T> {
    #[track_caller]
    fn from(inner: sync::Weak<T>) -> Self {
        Self::from_std(inner)
    }
}

/// A traced weak pointer becomes one of std's. Tells of its [leaving](Op::WeakIntoStd).
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
        // What a weak pointer points to cannot be measured, and a dangling one points to nothing.
        let ticket = if inner.as_ptr().addr() == usize::MAX {
            ticket::Weak::DANGLING
        } else {
            ticket::Weak::birth(
                Type::arc::<T>(),
                Value::unknown(inner.as_ptr().addr()),
                Op::WeakFromStd,
            )
        };
        Self { ticket, inner }
    }

    #[track_caller]
    fn into_std(self) -> sync::Weak<T> {
        let Self { ticket, inner } = self;
        ticket.end(Op::WeakIntoStd);
        inner
    }

    fn as_std(&self) -> &sync::Weak<T> {
        &self.inner
    }
}
