//! Conversions of pinned pointers to and from std's.

use crate::StdPtr;
use std::pin::Pin;

macro_rules! pinned {
    ($($module:ident::$Ptr:ident),*) => {$(
        impl<T: ?Sized> StdPtr for Pin<crate::$module::$Ptr<T>> {
            type Std = Pin<std::$module::$Ptr<T>>;

            #[track_caller]
            fn from_std(std: Self::Std) -> Self {
                // SAFETY: STABLE: it is pinned again below, and nothing moves the value in between.
                let std = unsafe { Pin::into_inner_unchecked(std) };
                // SAFETY: STABLE: the value was pinned, and stays where it is.
                unsafe { Pin::new_unchecked(crate::$module::$Ptr::from_std(std)) }
            }

            #[track_caller]
            fn into_std(self) -> Self::Std {
                // SAFETY: STABLE: it is pinned again below, and nothing moves the value in between.
                let traced = unsafe { Pin::into_inner_unchecked(self) };
                // SAFETY: STABLE: the value was pinned, and stays where it is.
                unsafe { Pin::new_unchecked(traced.into_std()) }
            }

            fn as_std(&self) -> &Self::Std {
                let this = (&raw const *self).cast::<crate::$module::$Ptr<T>>();
                // SAFETY: PIN: std guarantees that `Pin<P>` has the layout of `P`; the borrow is
                // shared.
                let std = (&raw const *unsafe { &*this }.as_std()).cast::<Self::Std>();
                // SAFETY: PIN: the same; the value was pinned, and stays where it is.
                unsafe { &*std }
            }
        }
    )*};
}

pinned! { boxed::Box, rc::Rc, sync::Arc }
