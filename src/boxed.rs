//! One owner: [`Box`], traced.
//!
//! `use refscope::boxed::Box;` (std's needs no line, since it is in the prelude) is the whole swap.
//! std's box is inside; see [`std::boxed`] for its behaviour. The docs here name the event that
//! each function emits.
//!
//! [What refscope cannot do](crate#what-it-cannot-do) has the remedies for what does not compile.

// Of two words, std's pointer is a reference; of one, a view to be borrowed.
#![allow(clippy::needless_borrow)]

// STABLE: the value of a `Box` stays where it is while the pointer lives, as std promises for the
// pointer inside, and `Deref` is not under a user's control.
//
// NO_DROP: a value of a type without a destructor may be copied bit by bit, and the original
// forgotten.

use crate::StdPtr;
use crate::event::{Kind, Op, Type};
use crate::forward;
use crate::repr::{self, Repr, pointer};
use crate::runtime::handle::{self as ticket, Value};
use std::any::Any;
use std::borrow::{BorrowMut, Cow};
use std::boxed;
use std::error::Error;
use std::ffi::{CStr, CString, OsStr, OsString};
use std::fmt::Arguments;
use std::future::Future;
use std::hash::Hasher;
use std::io::{self, BufRead, IoSlice, IoSliceMut, Read, Seek, SeekFrom, Write};
use std::iter::FusedIterator;
use std::mem::{MaybeUninit, needs_drop};
use std::ops::DerefMut;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::ptr;
use std::task::{Context, Poll};

// The rest of `std::boxed`; items defined here shadow the glob's.
pub use std::boxed::*;

pointer! {
    /// A pointer that owns its value, traced: [`std::boxed::Box`] and a ticket that identifies it.
    ///
    /// Only std's box is known to the compiler, so `*boxed` borrows the value and cannot move it out:
    /// use [`unbox(boxed)`](crate::unbox).
    ///
    /// # Examples
    ///
    /// ```
    /// use refscope::boxed::Box;
    ///
    /// let mut one = Box::new(vec![1, 2, 3]);
    /// one.push(4);
    /// let values: Vec<i32> = refscope::unbox(one);
    /// assert_eq!(values.len(), 4);
    /// ```
    #[cfg_attr(refscope_fundamental, fundamental)]
    pub struct Box<T>: ticket::Strong<false>, boxed::Box<T>;
}

impl<T: ?Sized> Box<T> {
    /// Wraps a pointer that std has just allocated. Emits [`Op::New`].
    #[inline]
    #[track_caller]
    pub(crate) fn wrap_new(inner: boxed::Box<T>) -> Self {
        if ticket::is_idle() {
            return Self::from_std_alone(inner);
        }
        let ticket = ticket::Strong::birth(Type::boxed::<T>(), Value::of(&*inner), Op::New);
        Self::from_parts(ticket, inner)
    }

    /// Returns std's box and ends the handle. Emits `op`.
    #[inline]
    #[track_caller]
    pub(crate) fn end(self, op: Op) -> boxed::Box<T> {
        let (ticket, inner) = self.into_parts();
        ticket.end(op);
        inner
    }
}

// Constructors.

impl<T> Box<T> {
    /// Allocates `value`. Emits [`Op::New`].
    #[must_use]
    #[inline]
    #[track_caller]
    pub fn new(value: T) -> Self {
        // In a debug build an argument that is passed on is copied to this frame first, and a large
        // value would need twice the stack that std's `new` needs.
        if const { size_of::<T>() > 4096 && !needs_drop::<T>() } {
            let mut inner = boxed::Box::new_uninit();
            // SAFETY: NO_DROP: `value` is not used again, and its type has no destructor to run.
            unsafe { ptr::copy_nonoverlapping(&raw const value, inner.as_mut_ptr(), 1) };
            // SAFETY: NO_DROP: it has just been written.
            return Self::wrap_new(unsafe { inner.assume_init() });
        }
        Self::wrap_new(boxed::Box::new(value))
    }

    /// Allocates memory for a value that is not initialized yet. Emits [`Op::New`].
    #[must_use]
    #[track_caller]
    pub fn new_uninit() -> Box<MaybeUninit<T>> {
        Box::wrap_new(boxed::Box::new_uninit())
    }

    /// Allocates memory for a value and fills it with zero bytes. Emits [`Op::New`].
    #[must_use]
    #[cfg(refscope_zeroed)]
    #[track_caller]
    pub fn new_zeroed() -> Box<MaybeUninit<T>> {
        Box::wrap_new(boxed::Box::new_zeroed())
    }

    /// Allocates `value` and pins it. Emits [`Op::New`].
    #[must_use]
    #[track_caller]
    pub fn pin(value: T) -> Pin<Self> {
        Self::new(value).into()
    }
}

impl<T> Box<[T]> {
    /// Allocates a slice of `len` values that are not initialized yet. Emits [`Op::New`].
    #[must_use]
    #[track_caller]
    pub fn new_uninit_slice(len: usize) -> Box<[MaybeUninit<T>]> {
        Box::wrap_new(boxed::Box::new_uninit_slice(len))
    }

    /// Allocates a slice of `len` values and fills it with zero bytes. Emits [`Op::New`].
    #[must_use]
    #[cfg(refscope_zeroed)]
    #[track_caller]
    pub fn new_zeroed_slice(len: usize) -> Box<[MaybeUninit<T>]> {
        Box::wrap_new(boxed::Box::new_zeroed_slice(len))
    }
}

impl<T> Box<MaybeUninit<T>> {
    /// Converts to the initialized type. The handle stays the same; emits nothing.
    ///
    /// # Safety
    ///
    /// As for [`std::boxed::Box::assume_init`]: the value must be initialized.
    pub unsafe fn assume_init(self) -> Box<T> {
        let (ticket, inner) = self.into_parts();
        // SAFETY: STD: the caller keeps std's contract.
        Box::from_parts(ticket, unsafe { inner.assume_init() })
    }

    /// Writes `value` and converts to the initialized type. The handle stays the same; emits
    /// nothing.
    pub fn write(boxed: Self, value: T) -> Box<T> {
        let (ticket, inner) = boxed.into_parts();
        Box::from_parts(ticket, boxed::Box::write(inner, value))
    }
}

impl<T> Box<[MaybeUninit<T>]> {
    /// Converts to the initialized type. The handle stays the same; emits nothing.
    ///
    /// # Safety
    ///
    /// As for [`std::boxed::Box::assume_init`]: the values must be initialized.
    pub unsafe fn assume_init(self) -> Box<[T]> {
        let (ticket, inner) = self.into_parts();
        // SAFETY: STD: the caller keeps std's contract.
        Box::from_parts(ticket, unsafe { inner.assume_init() })
    }
}

// Moving the value out.

impl<T> Box<T> {
    /// Returns the value. Emits [`Op::MovedOut`].
    ///
    /// std's own `Box::into_inner` is unstable, so this does not compile when tracing is off;
    /// [`unbox`](crate::unbox) does.
    #[inline]
    #[track_caller]
    pub fn into_inner(boxed: Self) -> T {
        *boxed.end(Op::MovedOut)
    }
}

// Raw pointers.

impl<T: ?Sized> Box<T> {
    /// Makes a box of a pointer that [`into_raw`](Self::into_raw) or [`leak`](Self::leak) returned.
    /// Emits [`Op::FromRaw`].
    ///
    /// The box is untraced if the pointer did not come from a traced box.
    ///
    /// # Safety
    ///
    /// As for [`std::boxed::Box::from_raw`].
    #[must_use = "call `drop(Box::from_raw(ptr))` if you intend to drop the `Box`"]
    #[track_caller]
    pub unsafe fn from_raw(raw: *mut T) -> Self {
        // SAFETY: STD: the caller keeps std's contract.
        let inner = unsafe { boxed::Box::from_raw(raw) };
        let at = ticket::at(Kind::Box, &*inner);
        Self::from_parts(ticket::Strong::from_raw(at, repr::address(&inner)), inner)
    }

    /// Returns std's box, whose address is about to become a raw pointer. Emits `op`.
    ///
    /// A zero-sized value has no unique address, so tracking cannot resume: it emits
    /// [`Op::IntoStd`] instead.
    #[track_caller]
    fn release(self, op: Op) -> boxed::Box<T> {
        let (ticket, inner) = self.into_parts();
        // A box is the only one: what was known at its address is old.
        ticket.into_raw(ticket::at(Kind::Box, &*inner), op, || 0);
        inner
    }

    /// Returns a raw pointer that owns the value. Emits [`Op::IntoRaw`].
    ///
    /// A zero-sized value has no unique address, so tracking cannot resume: it emits
    /// [`Op::IntoStd`].
    #[must_use = "losing the pointer will leak memory"]
    #[track_caller]
    pub fn into_raw(boxed: Self) -> *mut T {
        boxed::Box::into_raw(boxed.release(Op::IntoRaw))
    }

    /// Returns the value as a reference that is never freed. Emits [`Op::Leak`].
    ///
    /// A zero-sized value has no unique address, so tracking cannot resume: it emits
    /// [`Op::IntoStd`].
    #[track_caller]
    pub fn leak<'a>(boxed: Self) -> &'a mut T
    where
        T: 'a,
    {
        boxed::Box::leak(boxed.release(Op::Leak))
    }

    /// Pins the value. The handle stays the same; emits nothing.
    pub fn into_pin(boxed: Self) -> Pin<Self> {
        // SAFETY: STABLE: the value does not move while the pointer lives.
        unsafe { Pin::new_unchecked(boxed) }
    }
}

/// `downcast` for trait objects of `Any` and `Error`.
macro_rules! downcast {
    ($($Any:ty: $bound:path;)*) => {$(
        impl Box<$Any> {
            /// Converts to the value's own type. The handle stays the same; emits nothing.
            ///
            /// # Errors
            ///
            /// Returns the box if the value is of another type.
            #[inline]
            pub fn downcast<T: $bound + 'static>(self) -> Result<Box<T>, Self> {
                let (ticket, inner) = self.into_parts();
                match inner.downcast() {
                    Ok(inner) => Ok(Box::from_parts(ticket, inner)),
                    Err(inner) => Err(Self::from_parts(ticket, inner)),
                }
            }
        }
    )*};
}

downcast! {
    dyn Any: Any;
    dyn Any + Send: Any;
    dyn Any + Send + Sync: Any;
    dyn Error: Error;
    dyn Error + Send: Error;
    dyn Error + Send + Sync: Error;
}

// What std has as methods of the pointee, with `self: Box<Self>`.

/// Methods that give the allocation to another of std's types. Each emits [`Op::IntoStd`].
macro_rules! into_owned {
    ($($(#[$attribute:meta])* [$($generics:tt)*] $From:ty, $method:ident => $To:ty, $doc:literal;)*) => {$(
        impl<$($generics)*> Box<$From> {
            #[doc = $doc]
            ///
            /// Reuses the allocation. Emits [`Op::IntoStd`].
            $(#[$attribute])*
            #[track_caller]
            pub fn $method(self) -> $To {
                self.end(Op::IntoStd).$method()
            }
        }
    )*};
}

into_owned! {
    [T] [T], into_vec => Vec<T>, "Converts the slice to a vector.";
    #[must_use = "`self` will be dropped if the result is not used"]
    [] str, into_string => String, "Converts the text to a string.";
    #[must_use = "`self` will be dropped if the result is not used"]
    [] CStr, into_c_string => CString, "Converts the text to a C string.";
    #[must_use = "`self` will be dropped if the result is not used"]
    [] OsStr, into_os_string => OsString, "Converts the text to a platform string.";
    #[must_use = "`self` will be dropped if the result is not used"]
    [] Path, into_path_buf => PathBuf, "Converts the path to a path buffer.";
}

impl Box<str> {
    /// Converts the text to its bytes. The handle stays the same; emits nothing.
    #[must_use = "`self` will be dropped if the result is not used"]
    pub fn into_boxed_bytes(self) -> Box<[u8]> {
        self.into()
    }
}

// A clone of a box is a new object.

impl<T: Clone> Clone for Box<T> {
    /// Allocates a clone of the value. Emits [`Op::New`].
    // Always inlined, so that a debug build needs no second frame: clones recurse.
    #[inline(always)]
    #[track_caller]
    fn clone(&self) -> Self {
        Self::wrap_new(boxed::Box::clone(&self.std()))
    }

    /// Clones the value into the existing allocation. Emits nothing.
    #[inline]
    fn clone_from(&mut self, source: &Self) {
        (**self).clone_from(source);
    }
}

impl<T: Clone> Clone for Box<[T]> {
    /// Allocates clones of the values. Emits [`Op::New`].
    #[track_caller]
    fn clone(&self) -> Self {
        Self::wrap_new(boxed::Box::clone(&self.std()))
    }

    /// Clones the values into the existing allocation if there are as many, and emits nothing then.
    #[track_caller]
    fn clone_from(&mut self, source: &Self) {
        if self.len() == source.len() {
            self.clone_from_slice(source);
        } else {
            *self = source.clone();
        }
    }
}

macro_rules! clone {
    ($($T:ty),*) => {$(
        impl Clone for Box<$T> {
            /// Allocates a copy of the text. Emits [`Op::New`].
            #[track_caller]
            fn clone(&self) -> Self {
                Self::wrap_new(boxed::Box::clone(&self.std()))
            }
        }
    )*};
}

clone! { str, CStr, OsStr, Path }

forward::traits! { Box, wrap_new }

impl<T: ?Sized + PartialEq> PartialEq for Box<T> {
    #[inline(always)]
    fn eq(&self, other: &Self) -> bool {
        **self == **other
    }

    #[inline(always)]
    #[allow(clippy::partialeq_ne_impl)]
    fn ne(&self, other: &Self) -> bool {
        **self != **other
    }
}

// What only a sole owner can do.

impl<T: ?Sized> DerefMut for Box<T> {
    #[inline]
    fn deref_mut(&mut self) -> &mut T {
        self.value_mut()
    }
}

impl<T: ?Sized> AsMut<T> for Box<T> {
    #[inline]
    fn as_mut(&mut self) -> &mut T {
        self.value_mut()
    }
}

impl<T: ?Sized> BorrowMut<T> for Box<T> {
    #[inline]
    fn borrow_mut(&mut self) -> &mut T {
        self.value_mut()
    }
}

impl Default for Box<OsStr> {
    #[track_caller]
    fn default() -> Self {
        Self::wrap_new(boxed::Box::default())
    }
}

impl<I: Iterator + ?Sized> Iterator for Box<I> {
    type Item = I::Item;

    #[inline]
    fn next(&mut self) -> Option<I::Item> {
        (**self).next()
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (**self).size_hint()
    }

    fn nth(&mut self, n: usize) -> Option<I::Item> {
        (**self).nth(n)
    }
}

impl<I: DoubleEndedIterator + ?Sized> DoubleEndedIterator for Box<I> {
    fn next_back(&mut self) -> Option<I::Item> {
        (**self).next_back()
    }

    fn nth_back(&mut self, n: usize) -> Option<I::Item> {
        (**self).nth_back(n)
    }
}

impl<I: ExactSizeIterator + ?Sized> ExactSizeIterator for Box<I> {
    fn len(&self) -> usize {
        (**self).len()
    }
}

impl<I: FusedIterator + ?Sized> FusedIterator for Box<I> {}

impl<'a, I> IntoIterator for &'a Box<[I]> {
    type Item = &'a I;
    type IntoIter = std::slice::Iter<'a, I>;

    fn into_iter(self) -> std::slice::Iter<'a, I> {
        self.iter()
    }
}

impl<F: Future + Unpin + ?Sized> Future for Box<F> {
    type Output = F::Output;

    #[inline]
    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<F::Output> {
        Pin::new(&mut **self).poll(context)
    }
}

impl<E: Error> Error for Box<E> {
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

impl<R: Read + ?Sized> Read for Box<R> {
    #[inline]
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        (**self).read(buf)
    }

    #[inline]
    fn read_vectored(&mut self, bufs: &mut [IoSliceMut<'_>]) -> io::Result<usize> {
        (**self).read_vectored(bufs)
    }

    #[inline]
    fn read_to_end(&mut self, buf: &mut Vec<u8>) -> io::Result<usize> {
        (**self).read_to_end(buf)
    }

    #[inline]
    fn read_to_string(&mut self, buf: &mut String) -> io::Result<usize> {
        (**self).read_to_string(buf)
    }

    #[inline]
    fn read_exact(&mut self, buf: &mut [u8]) -> io::Result<()> {
        (**self).read_exact(buf)
    }
}

impl<W: Write + ?Sized> Write for Box<W> {
    #[inline]
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        (**self).write(buf)
    }

    #[inline]
    fn write_vectored(&mut self, bufs: &[IoSlice<'_>]) -> io::Result<usize> {
        (**self).write_vectored(bufs)
    }

    #[inline]
    fn flush(&mut self) -> io::Result<()> {
        (**self).flush()
    }

    #[inline]
    fn write_all(&mut self, buf: &[u8]) -> io::Result<()> {
        (**self).write_all(buf)
    }

    #[inline]
    fn write_fmt(&mut self, fmt: Arguments<'_>) -> io::Result<()> {
        (**self).write_fmt(fmt)
    }
}

impl<S: Seek + ?Sized> Seek for Box<S> {
    #[inline]
    fn seek(&mut self, pos: SeekFrom) -> io::Result<u64> {
        (**self).seek(pos)
    }

    #[inline]
    fn rewind(&mut self) -> io::Result<()> {
        (**self).rewind()
    }

    #[inline]
    fn stream_position(&mut self) -> io::Result<u64> {
        (**self).stream_position()
    }

    #[inline]
    fn seek_relative(&mut self, offset: i64) -> io::Result<()> {
        (**self).seek_relative(offset)
    }
}

impl<B: BufRead + ?Sized> BufRead for Box<B> {
    #[inline]
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        (**self).fill_buf()
    }

    #[inline]
    fn consume(&mut self, amount: usize) {
        (**self).consume(amount);
    }

    #[inline]
    fn read_until(&mut self, byte: u8, buf: &mut Vec<u8>) -> io::Result<usize> {
        (**self).read_until(byte, buf)
    }

    #[inline]
    fn skip_until(&mut self, byte: u8) -> io::Result<usize> {
        (**self).skip_until(byte)
    }

    #[inline]
    fn read_line(&mut self, buf: &mut String) -> io::Result<usize> {
        (**self).read_line(buf)
    }
}

impl<T: Hasher + ?Sized> Hasher for Box<T> {
    fn finish(&self) -> u64 {
        (**self).finish()
    }

    fn write(&mut self, bytes: &[u8]) {
        (**self).write(bytes);
    }

    fn write_u8(&mut self, i: u8) {
        (**self).write_u8(i);
    }

    fn write_u16(&mut self, i: u16) {
        (**self).write_u16(i);
    }

    fn write_u32(&mut self, i: u32) {
        (**self).write_u32(i);
    }

    fn write_u64(&mut self, i: u64) {
        (**self).write_u64(i);
    }

    fn write_u128(&mut self, i: u128) {
        (**self).write_u128(i);
    }

    fn write_usize(&mut self, i: usize) {
        (**self).write_usize(i);
    }

    fn write_i8(&mut self, i: i8) {
        (**self).write_i8(i);
    }

    fn write_i16(&mut self, i: i16) {
        (**self).write_i16(i);
    }

    fn write_i32(&mut self, i: i32) {
        (**self).write_i32(i);
    }

    fn write_i64(&mut self, i: i64) {
        (**self).write_i64(i);
    }

    fn write_i128(&mut self, i: i128) {
        (**self).write_i128(i);
    }

    fn write_isize(&mut self, i: isize) {
        (**self).write_isize(i);
    }
}

// Conversions from values.

forward::conversions! { Box, wrap_new:
    [T: Clone] Cow<'_, [T]> => [T];
    [] Cow<'_, str> => str;
    [] Cow<'_, CStr> => CStr;
    [] Cow<'_, OsStr> => OsStr;
    [] Cow<'_, Path> => Path;
}

/// One impl for everything that converts to std's box of an error (errors, strings, `Cow`s), since
/// the compiler would take several for overlapping. Emits [`Op::New`].
impl<'a, E> From<E> for Box<dyn Error + 'a>
where
    E: Into<boxed::Box<dyn Error + 'a>>,
{
    #[track_caller]
    fn from(error: E) -> Self {
        Self::wrap_new(error.into())
    }
}

/// See the impl for `Box<dyn Error>`. Emits [`Op::New`].
impl<'a, E> From<E> for Box<dyn Error + Send + Sync + 'a>
where
    E: Into<boxed::Box<dyn Error + Send + Sync + 'a>>,
{
    #[track_caller]
    fn from(error: E) -> Self {
        Self::wrap_new(error.into())
    }
}

/// Collects text. Emits [`Op::New`].
macro_rules! collect_text {
    ($([$($generics:tt)*] $Item:ty;)*) => {$(
        impl<$($generics)*> FromIterator<$Item> for Box<str> {
            #[track_caller]
            fn from_iter<I: IntoIterator<Item = $Item>>(iter: I) -> Self {
                Self::wrap_new(iter.into_iter().collect())
            }
        }
    )*};
}

collect_text! {
    [] char;
    ['a] &'a char;
    ['a] &'a str;
    ['a] Cow<'a, str>;
    [] String;
}

impl FromIterator<Box<str>> for Box<str> {
    #[track_caller]
    fn from_iter<I: IntoIterator<Item = Self>>(iter: I) -> Self {
        String::from_iter(iter).into()
    }
}

impl FromIterator<Box<str>> for String {
    fn from_iter<I: IntoIterator<Item = Box<str>>>(iter: I) -> Self {
        let mut text = Self::new();
        text.extend(iter);
        text
    }
}

impl Extend<Box<str>> for String {
    fn extend<I: IntoIterator<Item = Box<str>>>(&mut self, iter: I) {
        iter.into_iter().for_each(|piece| self.push_str(&piece));
    }
}

/// Fails with the vector if the lengths differ. Emits [`Op::New`] otherwise.
impl<T, const N: usize> TryFrom<Vec<T>> for Box<[T; N]> {
    type Error = Vec<T>;

    #[track_caller]
    fn try_from(values: Vec<T>) -> Result<Self, Vec<T>> {
        boxed::Box::try_from(values).map(Self::wrap_new)
    }
}

// Conversions to what owns the allocation next.

impl<T: ?Sized> From<Box<T>> for Pin<Box<T>> {
    fn from(boxed: Box<T>) -> Self {
        Box::into_pin(boxed)
    }
}

/// The handle stays the same; emits nothing.
impl From<Box<str>> for Box<[u8]> {
    fn from(text: Box<str>) -> Self {
        let (ticket, inner) = text.into_parts();
        Self::from_parts(ticket, inner.into())
    }
}

/// Gives the allocation to another of std's types. Emits [`Op::IntoStd`].
macro_rules! into_owner {
    ($([$($generics:tt)*] $From:ty => $To:ty;)*) => {$(
        impl<$($generics)*> From<Box<$From>> for $To {
            #[track_caller]
            fn from(boxed: Box<$From>) -> Self {
                boxed.end(Op::IntoStd).into()
            }
        }
    )*};
}

into_owner! {
    [T] [T] => Vec<T>;
    [] str => String;
    [] CStr => CString;
    [] OsStr => OsString;
    [] Path => PathBuf;
}

// Conversions from and to std's box.

/// Traces a box of std's, as [`StdPtr::from_std`] does. Emits [`Op::FromStd`].
///
/// An impl for all unsized types would overlap with that for errors, so a `Box<dyn Trait>` takes
/// [`StdPtr::from_std`]. The other way the orphan rule forbids an impl for all types;
/// [`StdPtr::into_std`] converts each.
impl<T> From<boxed::Box<T>> for Box<T> {
    #[track_caller]
    fn from(inner: boxed::Box<T>) -> Self {
        Self::from_std(inner)
    }
}

/// `From` in both directions, for the unsized types of std that are no errors.
macro_rules! from_and_into_std {
    ($([$($generics:tt)*] $T:ty;)*) => {$(
        /// Traces a box of std's. Emits [`Op::FromStd`].
        impl<$($generics)*> From<boxed::Box<$T>> for Box<$T> {
            #[track_caller]
            fn from(inner: boxed::Box<$T>) -> Self {
                Self::from_std(inner)
            }
        }

        /// Returns std's box. Emits [`Op::IntoStd`].
        impl<$($generics)*> From<Box<$T>> for boxed::Box<$T> {
            #[track_caller]
            fn from(traced: Box<$T>) -> Self {
                traced.into_std()
            }
        }
    )*};
}

from_and_into_std! {
    [T] [T];
    [] str;
    [] CStr;
    [] OsStr;
    [] Path;
    [] dyn Any;
    [] dyn Any + Send;
    [] dyn Any + Send + Sync;
}

/// Traces a pinned box of std's, as [`StdPtr::from_std`] does. Emits [`Op::FromStd`].
impl<T: ?Sized> From<Pin<boxed::Box<T>>> for Pin<Box<T>> {
    #[track_caller]
    fn from(inner: Pin<boxed::Box<T>>) -> Self {
        Self::from_std(inner)
    }
}

impl<T: ?Sized> StdPtr for Box<T> {
    type Std = boxed::Box<T>;

    #[track_caller]
    fn from_std(inner: boxed::Box<T>) -> Self {
        let value = Value::of(&*inner);
        Self::from_parts(ticket::Strong::birth(Type::boxed::<T>(), value, Op::FromStd), inner)
    }

    #[track_caller]
    fn into_std(self) -> boxed::Box<T> {
        self.end(Op::IntoStd)
    }

    fn as_std(&self) -> &boxed::Box<T> {
        self.lend()
    }
}
