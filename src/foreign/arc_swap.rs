//! `RefCnt` of the crate `arc-swap`: `ArcSwapAny<refscope::Arc<T>>`.
//!
//! What is stored is a raw pointer. A `load` makes a handle by
//! [`Op::FromRaw`](crate::event::Op::FromRaw) that borrows the stored one's place, at a line of
//! `arc-swap`'s. A guard that outlives both its value's place in the store and 64 other loads of it
//! leaves a handle behind in the counts.

// REF_CNT: `into_ptr`, `from_ptr` and `as_ptr` are std's functions of the pointer inside, by which
// `arc-swap` implements the trait for std's own: they return the same pointer for the same handle,
// and `Clone` keeps it.

use ::arc_swap::RefCnt;
use std::pin::Pin;
use std::ptr;

macro_rules! strong {
    ($($module:ident::$Ptr:ident),*) => {$(
        // SAFETY: REF_CNT: std's `into_raw`, `as_ptr` and `from_raw`.
        unsafe impl<T> RefCnt for crate::$module::$Ptr<T> {
            type Base = T;

            #[track_caller]
            fn into_ptr(me: Self) -> *mut T {
                Self::into_raw(me).cast_mut()
            }

            fn as_ptr(me: &Self) -> *mut T {
                Self::as_ptr(me).cast_mut()
            }

            #[track_caller]
            unsafe fn from_ptr(ptr: *const T) -> Self {
                // SAFETY: STD: the caller keeps std's contract.
                unsafe { Self::from_raw(ptr) }
            }
        }

        // SAFETY: REF_CNT: the same, by a pointer that is not handed out but to `from_ptr`.
        unsafe impl<T> RefCnt for Pin<crate::$module::$Ptr<T>> {
            type Base = T;

            #[track_caller]
            fn into_ptr(me: Self) -> *mut T {
                // SAFETY: STABLE: the value stays where it is; `from_ptr` pins it again.
                <crate::$module::$Ptr<T> as RefCnt>::into_ptr(unsafe { Pin::into_inner_unchecked(me) })
            }

            fn as_ptr(me: &Self) -> *mut T {
                ptr::from_ref(&**me).cast_mut()
            }

            #[track_caller]
            unsafe fn from_ptr(ptr: *const T) -> Self {
                // SAFETY: STD: the caller keeps std's contract.
                let inner = unsafe { crate::$module::$Ptr::from_raw(ptr) };
                // SAFETY: STABLE: it was pinned before `into_ptr`.
                unsafe { Pin::new_unchecked(inner) }
            }
        }
    )*};
}

strong! { rc::Rc, sync::Arc }

macro_rules! weak {
    ($($module:ident),*) => {$(
        // SAFETY: REF_CNT: std's `into_raw`, `as_ptr` and `from_raw`, and null for a handle that
        // has no object.
        unsafe impl<T> RefCnt for crate::$module::Weak<T> {
            type Base = T;

            #[track_caller]
            fn into_ptr(me: Self) -> *mut T {
                if me.ptr_eq(&Self::new()) { ptr::null_mut() } else { me.into_raw().cast_mut() }
            }

            fn as_ptr(me: &Self) -> *mut T {
                if me.ptr_eq(&Self::new()) { ptr::null_mut() } else { me.as_ptr().cast_mut() }
            }

            #[track_caller]
            unsafe fn from_ptr(ptr: *const T) -> Self {
                if ptr.is_null() {
                    return Self::new();
                }
                // SAFETY: STD: the caller keeps std's contract.
                unsafe { Self::from_raw(ptr) }
            }
        }
    )*};
}

weak! { rc, sync }
