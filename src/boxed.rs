//! One owner: [`Box`], traced.
//!
//! `use refscope::boxed::Box;` (std's needs no line, since it is in the prelude) is the whole swap. The
//! pointer inside is std's; see [`std::boxed`] for what the type is and does. Said here is what each
//! function does in short, and which event it tells of.
//!
//! What cannot be given, and the way round, is listed in [the crate's documentation](crate#what-it-cannot-do).

// STABLE: the value of a `Box` stays where it is while the pointer lives, as std promises for the
// pointer inside, and `Deref` is not under a user's control.

use crate::StdPtr;
use crate::event::{Kind, Op, Type};
use crate::forward;
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
use std::mem::MaybeUninit;
use std::ops::DerefMut;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::task::{Context, Poll};

/// A pointer that owns its value, traced: [`std::boxed::Box`] with an identity beside it.
///
/// The compiler knows std's box and no other, so `*boxed` borrows here and does not move: say
/// [`unbox(boxed)`](crate::unbox).
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
pub struct Box<T: ?Sized> {
    // First, so that the event of a drop comes before those of what the drop destroys.
    pub(crate) ticket: ticket::Strong<false>,
    pub(crate) inner: boxed::Box<T>,
}

impl<T: ?Sized> Box<T> {
    /// A new object around a pointer of std's.
    #[inline]
    #[track_caller]
    pub(crate) fn born(inner: boxed::Box<T>) -> Self {
        let ticket = ticket::Strong::birth(Type::boxed::<T>(), Value::of(&*inner), Op::New);
        Self { ticket, inner }
    }

    /// The pointer inside, and the end of the handle by `op`.
    #[inline]
    #[track_caller]
    pub(crate) fn ended(self, op: Op) -> boxed::Box<T> {
        let Self { ticket, inner } = self;
        ticket.end(op);
        inner
    }
}

// Making one.

impl<T> Box<T> {
    /// Makes an object that holds `value`. Tells of its [birth](Op::New).
    #[inline]
    #[track_caller]
    pub fn new(value: T) -> Self {
        Self::born(boxed::Box::new(value))
    }

    /// Makes an object whose value is to be written yet. Tells of its [birth](Op::New).
    #[track_caller]
    pub fn new_uninit() -> Box<MaybeUninit<T>> {
        Box::born(boxed::Box::new_uninit())
    }

    /// Makes an object whose bytes are zero. Tells of its [birth](Op::New).
    #[track_caller]
    pub fn new_zeroed() -> Box<MaybeUninit<T>> {
        Box::born(boxed::Box::new_zeroed())
    }

    /// Makes a pinned object. Tells of its [birth](Op::New).
    #[track_caller]
    pub fn pin(value: T) -> Pin<Self> {
        Self::new(value).into()
    }
}

impl<T> Box<[T]> {
    /// Makes a slice whose values are to be written yet. Tells of its [birth](Op::New).
    #[track_caller]
    pub fn new_uninit_slice(len: usize) -> Box<[MaybeUninit<T>]> {
        Box::born(boxed::Box::new_uninit_slice(len))
    }

    /// Makes a slice whose bytes are zero. Tells of its [birth](Op::New).
    #[track_caller]
    pub fn new_zeroed_slice(len: usize) -> Box<[MaybeUninit<T>]> {
        Box::born(boxed::Box::new_zeroed_slice(len))
    }
}

impl<T> Box<MaybeUninit<T>> {
    /// The same handle, its value written. No event.
    ///
    /// # Safety
    ///
    /// As for [`std::boxed::Box::assume_init`]: the value must be initialized.
    pub unsafe fn assume_init(self) -> Box<T> {
        let Self { ticket, inner } = self;
        // SAFETY: STD: passed on to the caller.
        Box { ticket, inner: unsafe { inner.assume_init() } }
    }

    /// The same handle, with `value` written. No event.
    pub fn write(boxed: Self, value: T) -> Box<T> {
        let Self { ticket, inner } = boxed;
        Box { ticket, inner: boxed::Box::write(inner, value) }
    }
}

impl<T> Box<[MaybeUninit<T>]> {
    /// The same handle, its values written. No event.
    ///
    /// # Safety
    ///
    /// As for [`std::boxed::Box::assume_init`]: the values must be initialized.
    pub unsafe fn assume_init(self) -> Box<[T]> {
        let Self { ticket, inner } = self;
        // SAFETY: STD: passed on to the caller.
        Box { ticket, inner: unsafe { inner.assume_init() } }
    }
}

// Taking the value out.

impl<T> Box<T> {
    /// The value. Tells of the [move](Op::MovedOut).
    ///
    /// std's twin is unstable, so this is not there when tracing is off; [`unbox`](crate::unbox) is.
    #[inline]
    #[track_caller]
    pub fn into_inner(boxed: Self) -> T {
        *boxed.ended(Op::MovedOut)
    }
}

// Raw pointers.

impl<T: ?Sized> Box<T> {
    /// A box from a pointer that [`into_raw`](Self::into_raw) or [`leak`](Self::leak) gave. Tells of its
    /// [return](Op::FromRaw), as a new handle.
    ///
    /// A pointer that refscope did not see leave gives an untraced box.
    ///
    /// # Safety
    ///
    /// As for [`std::boxed::Box::from_raw`].
    #[track_caller]
    pub unsafe fn from_raw(raw: *mut T) -> Self {
        // SAFETY: STD: passed on to the caller.
        let inner = unsafe { boxed::Box::from_raw(raw) };
        Self { ticket: ticket::Strong::from_raw(ticket::at(Kind::Box, &*inner)), inner }
    }

    /// The handle leaves by `op`. One without storage has no address of its own to be known by: it
    /// leaves for good.
    #[track_caller]
    fn leave(self, op: Op) -> boxed::Box<T> {
        let Self { ticket, inner } = self;
        // A box is the only one: what was known at its address is old.
        ticket.into_raw(ticket::at(Kind::Box, &*inner), op, || 0);
        inner
    }

    /// A raw pointer that owns the value. Tells of its [leaving](Op::IntoRaw); the count stays.
    ///
    /// A value without size is untraced from here on.
    #[track_caller]
    pub fn into_raw(boxed: Self) -> *mut T {
        boxed::Box::into_raw(boxed.leave(Op::IntoRaw))
    }

    /// The value, given up for good. Tells of the [leak](Op::Leak).
    ///
    /// A value without size is untraced from here on.
    #[track_caller]
    pub fn leak<'a>(boxed: Self) -> &'a mut T
    where
        T: 'a,
    {
        boxed::Box::leak(boxed.leave(Op::Leak))
    }

    /// The same box, pinned. No event.
    pub fn into_pin(boxed: Self) -> Pin<Self> {
        // SAFETY: STABLE: the value does not move while the pointer lives.
        unsafe { Pin::new_unchecked(boxed) }
    }
}

/// `downcast` for one of the three kinds of `dyn Any`.
macro_rules! downcast {
    ($($Any:ty),*) => {$(
        impl Box<$Any> {
            /// The same box with the type that the value has. No event.
            ///
            /// # Errors
            ///
            /// Gives the box back where the value is of another type.
            #[inline]
            pub fn downcast<T: Any>(self) -> Result<Box<T>, Self> {
                let Self { ticket, inner } = self;
                match inner.downcast() {
                    Ok(inner) => Ok(Box { ticket, inner }),
                    Err(inner) => Err(Self { ticket, inner }),
                }
            }
        }
    )*};
}

downcast! { dyn Any, dyn Any + Send, dyn Any + Send + Sync }

// A clone of a box is a new object.

impl<T: Clone> Clone for Box<T> {
    /// A new object with a clone of the value. Tells of its [birth](Op::New).
    #[inline]
    #[track_caller]
    fn clone(&self) -> Self {
        Self::born(self.inner.clone())
    }

    /// Clones the value in place. No event.
    #[inline]
    fn clone_from(&mut self, source: &Self) {
        self.inner.clone_from(&source.inner);
    }
}

impl<T: Clone> Clone for Box<[T]> {
    /// A new object with clones of the values. Tells of its [birth](Op::New).
    #[track_caller]
    fn clone(&self) -> Self {
        Self::born(self.inner.clone())
    }

    /// Clones the values in place where there are as many, without an event.
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
            /// A new object with a copy of the text. Tells of its [birth](Op::New).
            #[track_caller]
            fn clone(&self) -> Self {
                Self::born(self.inner.clone())
            }
        }
    )*};
}

clone! { str, CStr, OsStr, Path }

forward::traits! { Box, born }

// What only a sole owner has.

impl<T: ?Sized> DerefMut for Box<T> {
    #[inline]
    fn deref_mut(&mut self) -> &mut T {
        &mut self.inner
    }
}

impl<T: ?Sized> AsMut<T> for Box<T> {
    #[inline]
    fn as_mut(&mut self) -> &mut T {
        &mut self.inner
    }
}

impl<T: ?Sized> BorrowMut<T> for Box<T> {
    #[inline]
    fn borrow_mut(&mut self) -> &mut T {
        &mut self.inner
    }
}

impl Default for Box<OsStr> {
    #[track_caller]
    fn default() -> Self {
        Self::born(boxed::Box::default())
    }
}

impl<I: Iterator + ?Sized> Iterator for Box<I> {
    type Item = I::Item;

    #[inline]
    fn next(&mut self) -> Option<I::Item> {
        self.inner.next()
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        self.inner.size_hint()
    }

    fn nth(&mut self, n: usize) -> Option<I::Item> {
        self.inner.nth(n)
    }
}

impl<I: DoubleEndedIterator + ?Sized> DoubleEndedIterator for Box<I> {
    fn next_back(&mut self) -> Option<I::Item> {
        self.inner.next_back()
    }

    fn nth_back(&mut self, n: usize) -> Option<I::Item> {
        self.inner.nth_back(n)
    }
}

impl<I: ExactSizeIterator + ?Sized> ExactSizeIterator for Box<I> {
    fn len(&self) -> usize {
        self.inner.len()
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
        Pin::new(&mut *self.inner).poll(context)
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

// From values to boxes.

forward::births! { Box, born:
    [T: Clone] Cow<'_, [T]> => [T];
    [] Cow<'_, str> => str;
    [] Cow<'_, CStr> => CStr;
    [] Cow<'_, OsStr> => OsStr;
    [] Cow<'_, Path> => Path;
}

/// One impl for all that std's box of an error can be made from: errors, strings, `Cow`s. Several would
/// overlap, as the compiler sees it.
impl<'a, E> From<E> for Box<dyn Error + 'a>
where
    E: Into<boxed::Box<dyn Error + 'a>>,
{
    #[track_caller]
    fn from(error: E) -> Self {
        Self::born(error.into())
    }
}

/// As for `Box<dyn Error>`.
impl<'a, E> From<E> for Box<dyn Error + Send + Sync + 'a>
where
    E: Into<boxed::Box<dyn Error + Send + Sync + 'a>>,
{
    #[track_caller]
    fn from(error: E) -> Self {
        Self::born(error.into())
    }
}

/// Collects text. Tells of its [birth](Op::New).
macro_rules! collect_text {
    ($([$($generics:tt)*] $Item:ty;)*) => {$(
        impl<$($generics)*> FromIterator<$Item> for Box<str> {
            #[track_caller]
            fn from_iter<I: IntoIterator<Item = $Item>>(iter: I) -> Self {
                Self::born(iter.into_iter().collect())
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

/// An `Err` gives the vector back.
impl<T, const N: usize> TryFrom<Vec<T>> for Box<[T; N]> {
    type Error = Vec<T>;

    #[track_caller]
    fn try_from(values: Vec<T>) -> Result<Self, Vec<T>> {
        boxed::Box::try_from(values).map(Self::born)
    }
}

// From boxes to what owns their allocation next.

impl<T: ?Sized> From<Box<T>> for Pin<Box<T>> {
    fn from(boxed: Box<T>) -> Self {
        Box::into_pin(boxed)
    }
}

/// The same box. No event.
impl From<Box<str>> for Box<[u8]> {
    fn from(text: Box<str>) -> Self {
        let Box { ticket, inner } = text;
        Self { ticket, inner: inner.into() }
    }
}

/// The allocation lives on as std's: tells of its [leaving](Op::IntoStd).
macro_rules! leave {
    ($([$($generics:tt)*] $From:ty => $To:ty;)*) => {$(
        impl<$($generics)*> From<Box<$From>> for $To {
            #[track_caller]
            fn from(boxed: Box<$From>) -> Self {
                boxed.ended(Op::IntoStd).into()
            }
        }
    )*};
}

leave! {
    [T] [T] => Vec<T>;
    [] str => String;
    [] CStr => CString;
    [] OsStr => OsString;
    [] Path => PathBuf;
}

/// A box of std's becomes a traced one. Tells of it as of a [new object](Op::FromStd).
///
/// For what has no size use [`StdPtr::from_std`]: an impl for all types would overlap with that for
/// errors. (The way back is [`StdPtr::into_std`]: a foreign box of any type is not ours to convert to.)
impl<T> From<boxed::Box<T>> for Box<T> {
    #[track_caller]
    fn from(inner: boxed::Box<T>) -> Self {
        Self::from_std(inner)
    }
}

impl<T: ?Sized> StdPtr for Box<T> {
    type Std = boxed::Box<T>;

    #[track_caller]
    fn from_std(inner: boxed::Box<T>) -> Self {
        let value = Value::of(&*inner);
        Self { ticket: ticket::Strong::birth(Type::boxed::<T>(), value, Op::FromStd), inner }
    }

    #[track_caller]
    fn into_std(self) -> boxed::Box<T> {
        self.ended(Op::IntoStd)
    }

    fn as_std(&self) -> &boxed::Box<T> {
        &self.inner
    }
}
