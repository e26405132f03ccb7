//! Impls that the pointer types share: forwards to std's, and conversions that allocate.
//!
//! What a pointer type does in its own way is written out in its module.

/// Impls of std's traits that the three strong pointers share.
macro_rules! traits {
    ($Ptr:ident, $make:ident) => {
        impl<T: ?Sized> std::ops::Deref for $Ptr<T> {
            type Target = T;

            #[inline]
            fn deref(&self) -> &T {
                self.value()
            }
        }

        impl<T: ?Sized> AsRef<T> for $Ptr<T> {
            #[inline]
            fn as_ref(&self) -> &T {
                self.value()
            }
        }

        impl<T: ?Sized> std::borrow::Borrow<T> for $Ptr<T> {
            #[inline]
            fn borrow(&self) -> &T {
                self.value()
            }
        }

        impl<T: ?Sized + std::fmt::Debug> std::fmt::Debug for $Ptr<T> {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                std::fmt::Debug::fmt(&**self, f)
            }
        }

        impl<T: ?Sized + std::fmt::Display> std::fmt::Display for $Ptr<T> {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                std::fmt::Display::fmt(&**self, f)
            }
        }

        impl<T: ?Sized> std::fmt::Pointer for $Ptr<T> {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                std::fmt::Pointer::fmt(&*self.std(), f)
            }
        }

        impl<T: ?Sized + Eq> Eq for $Ptr<T> {}

        // Always inlined, so that a debug build needs no second frame: comparisons recurse.
        impl<T: ?Sized + PartialOrd> PartialOrd for $Ptr<T> {
            #[inline(always)]
            fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
                (**self).partial_cmp(&**other)
            }

            #[inline(always)]
            fn lt(&self, other: &Self) -> bool {
                **self < **other
            }

            #[inline(always)]
            fn le(&self, other: &Self) -> bool {
                **self <= **other
            }

            #[inline(always)]
            fn gt(&self, other: &Self) -> bool {
                **self > **other
            }

            #[inline(always)]
            fn ge(&self, other: &Self) -> bool {
                **self >= **other
            }
        }

        impl<T: ?Sized + Ord> Ord for $Ptr<T> {
            #[inline(always)]
            fn cmp(&self, other: &Self) -> std::cmp::Ordering {
                (**self).cmp(&**other)
            }
        }

        impl<T: ?Sized + std::hash::Hash> std::hash::Hash for $Ptr<T> {
            fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
                (**self).hash(state);
            }
        }

        impl<T: Default> Default for $Ptr<T> {
            #[track_caller]
            fn default() -> Self {
                Self::$make(Default::default())
            }
        }

        impl<T> Default for $Ptr<[T]> {
            #[track_caller]
            fn default() -> Self {
                Self::$make(Default::default())
            }
        }

        impl Default for $Ptr<str> {
            #[track_caller]
            fn default() -> Self {
                Self::$make(Default::default())
            }
        }

        impl Default for $Ptr<std::ffi::CStr> {
            #[track_caller]
            fn default() -> Self {
                Self::$make(Default::default())
            }
        }

        impl<T: ?Sized> Default for std::pin::Pin<$Ptr<T>>
        where
            $Ptr<T>: Default,
        {
            #[track_caller]
            fn default() -> Self {
                // SAFETY: STABLE: the value does not move while the pointer lives.
                unsafe { std::pin::Pin::new_unchecked($Ptr::default()) }
            }
        }

        impl<T> From<T> for $Ptr<T> {
            #[track_caller]
            fn from(value: T) -> Self {
                Self::$make(value.into())
            }
        }

        impl<T> FromIterator<T> for $Ptr<[T]> {
            #[track_caller]
            fn from_iter<I: IntoIterator<Item = T>>(iter: I) -> Self {
                Self::$make(iter.into_iter().collect())
            }
        }

        $crate::forward::conversions! { $Ptr, $make:
            [T: Clone] &[T] => [T];
            [T: Clone] &mut [T] => [T];
            [T, const N: usize] [T; N] => [T];
            [T] Vec<T> => [T];
            [] &str => str;
            [] &mut str => str;
            [] String => str;
            [] &std::ffi::CStr => std::ffi::CStr;
            [] &mut std::ffi::CStr => std::ffi::CStr;
            [] std::ffi::CString => std::ffi::CStr;
            [] &std::ffi::OsStr => std::ffi::OsStr;
            [] &mut std::ffi::OsStr => std::ffi::OsStr;
            [] std::ffi::OsString => std::ffi::OsStr;
            [] &std::path::Path => std::path::Path;
            [] &mut std::path::Path => std::path::Path;
            [] std::path::PathBuf => std::path::Path;
        }

        /// Fails with the slice if the lengths differ. The handle stays the same; emits nothing.
        impl<T, const N: usize> TryFrom<$Ptr<[T]>> for $Ptr<[T; N]> {
            type Error = $Ptr<[T]>;

            fn try_from(slice: $Ptr<[T]>) -> Result<Self, $Ptr<[T]>> {
                let (ticket, inner) = slice.into_parts();
                match inner.try_into() {
                    Ok(inner) => Ok(Self::from_parts(ticket, inner)),
                    Err(inner) => Err($Ptr::from_parts(ticket, inner)),
                }
            }
        }

        #[cfg(unix)]
        impl<T: std::os::fd::AsFd + ?Sized> std::os::fd::AsFd for $Ptr<T> {
            fn as_fd(&self) -> std::os::fd::BorrowedFd<'_> {
                (**self).as_fd()
            }
        }

        #[cfg(unix)]
        impl<T: std::os::fd::AsRawFd> std::os::fd::AsRawFd for $Ptr<T> {
            fn as_raw_fd(&self) -> std::os::fd::RawFd {
                (**self).as_raw_fd()
            }
        }

        #[cfg(windows)]
        impl<T: std::os::windows::io::AsHandle + ?Sized> std::os::windows::io::AsHandle
            for $Ptr<T>
        {
            fn as_handle(&self) -> std::os::windows::io::BorrowedHandle<'_> {
                (**self).as_handle()
            }
        }

        #[cfg(windows)]
        impl<T: std::os::windows::io::AsSocket + ?Sized> std::os::windows::io::AsSocket
            for $Ptr<T>
        {
            fn as_socket(&self) -> std::os::windows::io::BorrowedSocket<'_> {
                (**self).as_socket()
            }
        }

        #[cfg(feature = "serde")]
        impl<T: ?Sized + serde::Serialize> serde::Serialize for $Ptr<T> {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                (**self).serialize(serializer)
            }
        }

        /// Allocates each value anew, as serde's own impl for std's pointer does. Emits
        /// [`Op::New`](crate::event::Op::New).
        #[cfg(feature = "serde")]
        impl<'de, T: ?Sized> serde::Deserialize<'de> for $Ptr<T>
        where
            std::boxed::Box<T>: serde::Deserialize<'de>,
        {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let value = std::boxed::Box::<T>::deserialize(deserializer)?;
                Ok(Self::$make(value.into()))
            }
        }
    };
}

/// Equality of the pointers that share, by std's own operators, which compare the pointers first if the type is `Eq`. Always
/// inlined, as above.
macro_rules! equality {
    ($Ptr:ident) => {
        impl<T: ?Sized + PartialEq> PartialEq for $Ptr<T> {
            #[inline(always)]
            fn eq(&self, other: &Self) -> bool {
                match self.both(other) {
                    Some((one, two)) => *one == *two,
                    None => $crate::repr::by_views(self, other, PartialEq::eq),
                }
            }

            #[inline(always)]
            #[allow(clippy::partialeq_ne_impl)]
            fn ne(&self, other: &Self) -> bool {
                match self.both(other) {
                    Some((one, two)) => *one != *two,
                    None => $crate::repr::by_views(self, other, PartialEq::ne),
                }
            }
        }
    };
}

/// Conversions that allocate, by std's own. Each emits [`Op::New`](crate::event::Op::New).
macro_rules! conversions {
    ($Ptr:ident, $make:ident: $([$($generics:tt)*] $From:ty => $Target:ty;)*) => {$(
        impl<$($generics)*> From<$From> for $Ptr<$Target> {
            #[track_caller]
            fn from(value: $From) -> Self {
                Self::$make(value.into())
            }
        }
    )*};
}

/// Impls that `rc::Weak` and `sync::Weak` share.
macro_rules! weak_traits {
    ($Weak:ident) => {
        impl<T: ?Sized> Clone for $Weak<T> {
            /// Returns another weak handle. Emits [`Op::WeakClone`](crate::event::Op::WeakClone).
            #[inline]
            #[track_caller]
            fn clone(&self) -> Self {
                let site = std::panic::Location::caller();
                self.derive(Clone::clone, |ticket, std| ticket.cloned(site, std))
            }
        }

        impl<T: ?Sized> std::fmt::Debug for $Weak<T> {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                std::fmt::Debug::fmt(&*self.std(), f)
            }
        }

        impl<T> Default for $Weak<T> {
            /// Returns a weak handle that points to no object, as [`new`](Self::new) does.
            fn default() -> Self {
                Self::new()
            }
        }

        #[cfg(feature = "serde")]
        impl<T: ?Sized + serde::Serialize> serde::Serialize for $Weak<T> {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                self.upgrade().serialize(serializer)
            }
        }

        /// Returns a dangling handle, as serde's own impl for std's `Weak` does.
        #[cfg(feature = "serde")]
        impl<'de, T> serde::Deserialize<'de> for $Weak<T>
        where
            T: serde::Deserialize<'de>,
        {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                Option::<T>::deserialize(deserializer)?;
                Ok(Self::new())
            }
        }
    };
}

pub(crate) use {conversions, equality, traits, weak_traits};
