//! Coercions to unsized pointees: [`unsize!`](crate::unsize!) and [`coerce!`](crate::coerce!) for
//! plain stable, std's own traits where the compiler lets this crate implement them.

/// Converts a pointer to one of an unsized type: `unsize!(rc => dyn Trait)`.
///
/// On plain stable no library's pointer coerces by itself; this does it in safe code. It takes
/// `Box`, `Rc`, `Arc`, both `Weak`s, and the first three pinned. The handle stays the same; emits
/// nothing. In the fully drop-in build, and with tracing off, it is not needed and does the same.
///
/// # Examples
///
/// ```
/// use refscope::{Rc, unsize};
/// use std::fmt::Debug;
///
/// let number = Rc::new(7);
/// let shown: Rc<dyn Debug> = unsize!(number => dyn Debug);
/// let slice = unsize!(Rc::new([1, 2, 3]) => [i32]);
/// assert_eq!(format!("{shown:?} {slice:?}"), "7 [1, 2, 3]");
/// ```
#[macro_export]
macro_rules! unsize {
    ($pointer:expr => $Target:ty) => {
        match $crate::__private::split($pointer) {
            (rest, std) => rest.join::<$Target>(std),
        }
    };
}

/// Coerces a pointer to the type that is expected, as std's pointers do by themselves.
///
/// `coerce!(Rc::new(value))` allocates; it takes `new` and `pin` of `Box`, `Rc` and `Arc`, by any
/// path or alias of theirs, and emits [`Op::New`](crate::event::Op::New). Where a `dyn Fn` is
/// expected, a closure's signature is inferred from it, as with std.
///
/// `coerce!(pointer)` takes any other expression, as [`unsize!`](crate::unsize!) does, and emits
/// nothing. A function of your own called `new` is put in parentheses: `coerce!((Shape::new()))`.
///
/// # Examples
///
/// ```
/// use refscope::{Box, Rc, coerce};
///
/// let double: Rc<dyn Fn(i32) -> i32> = coerce!(Rc::new(|x| x * 2));
/// assert_eq!(double(4), 8);
/// let all: Vec<Box<dyn ToString>> = vec![coerce!(Box::new(1)), coerce!(Box::new("two"))];
/// assert_eq!(all[1].to_string(), "two");
///
/// use refscope::sync as shared;
/// let slice: shared::Arc<[u8]> = coerce!(shared::Arc::new([1, 2, 3]));
/// let array = shared::Arc::new([4, 5]);
/// let same: shared::Arc<[u8]> = coerce!(array.clone());
/// assert_eq!(slice.len() + same.len(), 5);
/// ```
#[macro_export]
macro_rules! coerce {
    ($first:ident $($rest:tt)*) => {
        $crate::__coerce!([$first $($rest)*] [$first] $($rest)*)
    };
    (:: $($rest:tt)*) => {
        $crate::__coerce!([:: $($rest)*] [] :: $($rest)*)
    };
    ($pointer:expr) => {
        $crate::__coerce!([$pointer] [])
    };
}

/// `__coerce!([whole expression] [path so far] what is left)`: finds the path to `new` or `pin`.
#[doc(hidden)]
#[macro_export]
macro_rules! __coerce {
    ([$($all:tt)*] [$($path:tt)+] :: new ($($value:tt)*)) => {
        $crate::__private::wrap::<$($path)+<_>>(
            <<$($path)+<_> as $crate::__private::Wrap>::Std>::new($($value)*)
        )
    };
    ([$($all:tt)*] [$($path:tt)+] :: pin ($($value:tt)*)) => {
        $crate::__private::wrap_pin::<$($path)+<_>>(
            <<$($path)+<_> as $crate::__private::Wrap>::Std>::pin($($value)*)
        )
    };
    ([$($all:tt)*] [$($path:tt)+] :: <$T:ty> :: new ($($value:tt)*)) => {
        $crate::__private::wrap::<$($path)+<_>>(
            <<$($path)+<$T> as $crate::__private::Wrap>::Std>::new($($value)*)
        )
    };
    ([$($all:tt)*] [$($path:tt)+] :: <$T:ty> :: pin ($($value:tt)*)) => {
        $crate::__private::wrap_pin::<$($path)+<_>>(
            <<$($path)+<$T> as $crate::__private::Wrap>::Std>::pin($($value)*)
        )
    };
    ([$($all:tt)*] [$($path:tt)*] :: $next:ident $($rest:tt)*) => {
        $crate::__coerce!([$($all)*] [$($path)* :: $next] $($rest)*)
    };
    ([$pointer:expr] $($rest:tt)*) => {
        match $crate::__private::split($pointer) {
            (rest, std) => rest.join(std),
        }
    };
}

use crate::sealed::Sealed;
use std::marker::PhantomData;
use std::pin::Pin;

/// Pointers that [`coerce!`](crate::coerce!) can allocate.
#[diagnostic::on_unimplemented(
    message = "`coerce!` allocates a `Box`, `Rc` or `Arc`, not `{Self}`",
    note = "`coerce!((expression))` takes any expression whose value is such a pointer"
)]
pub trait Wrap: Sealed {
    /// std's pointer inside.
    type Std;

    /// Wraps a pointer that std has just allocated.
    #[track_caller]
    fn wrap(std: Self::Std) -> Self;
}

/// The call behind `coerce!(Ptr::new(value))`. The caller's crate coerces the argument.
#[inline]
#[track_caller]
pub fn wrap<P: Wrap>(std: P::Std) -> P {
    P::wrap(std)
}

/// The call behind `coerce!(Ptr::pin(value))`. The caller's crate coerces the argument.
#[inline]
#[track_caller]
pub fn wrap_pin<P>(std: Pin<P::Std>) -> Pin<P>
where
    P: Wrap + std::ops::Deref,
    P::Std: std::ops::Deref,
{
    // SAFETY: STABLE: it is pinned again below, and nothing moves the value in between.
    let pointer = P::wrap(unsafe { Pin::into_inner_unchecked(std) });
    // SAFETY: STABLE: the value was pinned in std's pointer, which this is or owns, and derefs as.
    unsafe { Pin::new_unchecked(pointer) }
}

/// Pointers that [`unsize!`](crate::unsize!) and [`coerce!`](crate::coerce!) can coerce.
#[diagnostic::on_unimplemented(
    message = "`unsize!` and `coerce!` take a `Box`, `Rc`, `Arc` or `Weak` of refscope's, not `{Self}`"
)]
pub trait Split {
    /// std's pointer inside.
    type Std;
    /// What is left of the handle. Its method `join` makes a pointer of it and what `Std` coerces
    /// to.
    type Rest;

    /// Takes the handle apart.
    fn split(self) -> (Self::Rest, Self::Std);
}

/// The call behind [`unsize!`](crate::unsize!) and [`coerce!`](crate::coerce!).
#[inline]
pub fn split<P: Split>(pointer: P) -> (P::Rest, P::Std) {
    pointer.split()
}

macro_rules! wrap {
    ($($module:ident::$Ptr:ident),*) => {$(
        impl<T: ?Sized> Wrap for std::$module::$Ptr<T> {
            type Std = Self;

            #[inline]
            fn wrap(std: Self) -> Self {
                std
            }
        }

        #[cfg(feature = "trace")]
        impl<T: ?Sized> Wrap for crate::$module::$Ptr<T> {
            type Std = std::$module::$Ptr<T>;

            #[inline]
            #[track_caller]
            fn wrap(std: Self::Std) -> Self {
                Self::wrap_new(std)
            }
        }
    )*};
}

wrap! { boxed::Box, rc::Rc, sync::Arc }

/// What is left of std's own pointers: nothing.
#[derive(Debug)]
pub struct StdRest<P>(PhantomData<P>);

/// What is left of a pinned pointer.
#[derive(Debug)]
pub struct PinRest<R>(R);

macro_rules! split {
    ($($module:ident::$Ptr:ident, $Rest:ident($Ticket:ty);)*) => {$(
        impl<T: ?Sized> Split for std::$module::$Ptr<T> {
            type Std = Self;
            type Rest = StdRest<std::$module::$Ptr<()>>;

            #[inline]
            fn split(self) -> (Self::Rest, Self) {
                (StdRest(PhantomData), self)
            }
        }

        impl StdRest<std::$module::$Ptr<()>> {
            /// Returns what std's pointer was coerced to.
            #[inline]
            pub fn join<U: ?Sized>(self, std: std::$module::$Ptr<U>) -> std::$module::$Ptr<U> {
                std
            }
        }

        /// What is left of a traced pointer: its ticket. It stays on its thread, as that of an `Rc`
        /// must.
        #[cfg(feature = "trace")]
        #[allow(missing_debug_implementations)]
        pub struct $Rest($Ticket, PhantomData<*const ()>);

        #[cfg(feature = "trace")]
        impl<T: ?Sized> Split for crate::$module::$Ptr<T> {
            type Std = std::$module::$Ptr<T>;
            type Rest = $Rest;

            #[inline]
            fn split(self) -> (Self::Rest, Self::Std) {
                let (ticket, inner) = crate::repr::Repr::into_parts(self);
                ($Rest(ticket, PhantomData), inner)
            }
        }

        #[cfg(feature = "trace")]
        impl $Rest {
            /// Wraps what std's pointer was coerced to.
            #[inline]
            pub fn join<U: ?Sized>(self, std: std::$module::$Ptr<U>) -> crate::$module::$Ptr<U> {
                crate::repr::Repr::from_parts(self.0, std)
            }
        }
    )*};
}

split! {
    boxed::Box, BoxRest(crate::runtime::handle::Strong<false>);
    rc::Rc, RcRest(crate::runtime::handle::Strong<false>);
    rc::Weak, RcWeakRest(crate::runtime::handle::Weak<false>);
    sync::Arc, ArcRest(crate::runtime::handle::Strong<true>);
    sync::Weak, ArcWeakRest(crate::runtime::handle::Weak<true>);
}

macro_rules! split_pin {
    ($($module:ident::$Ptr:ident),*) => {$(
        impl<T: ?Sized> Split for Pin<std::$module::$Ptr<T>> {
            type Std = Self;
            type Rest = PinRest<StdRest<std::$module::$Ptr<()>>>;

            #[inline]
            fn split(self) -> (Self::Rest, Self) {
                (PinRest(StdRest(PhantomData)), self)
            }
        }

        impl PinRest<StdRest<std::$module::$Ptr<()>>> {
            /// Returns what std's pointer was coerced to.
            #[inline]
            pub fn join<U: ?Sized>(
                self,
                std: Pin<std::$module::$Ptr<U>>,
            ) -> Pin<std::$module::$Ptr<U>> {
                std
            }
        }

        #[cfg(feature = "trace")]
        impl<T: ?Sized> Split for Pin<crate::$module::$Ptr<T>> {
            type Std = Pin<std::$module::$Ptr<T>>;
            type Rest = PinRest<<crate::$module::$Ptr<T> as Split>::Rest>;

            #[inline]
            fn split(self) -> (Self::Rest, Self::Std) {
                // SAFETY: STABLE: std's pointer is pinned again below; nothing moves the value in
                // between.
                let (rest, std) = unsafe { Pin::into_inner_unchecked(self) }.split();
                // SAFETY: STABLE: the value was pinned, and stays where it is.
                (PinRest(rest), unsafe { Pin::new_unchecked(std) })
            }
        }

        #[cfg(feature = "trace")]
        impl PinRest<<crate::$module::$Ptr<()> as Split>::Rest> {
            /// Wraps what std's pointer was coerced to.
            #[inline]
            pub fn join<U: ?Sized>(
                self,
                std: Pin<std::$module::$Ptr<U>>,
            ) -> Pin<crate::$module::$Ptr<U>> {
                // SAFETY: STABLE: it is pinned again below, and nothing moves the value in between.
                let pointer = self.0.join(unsafe { Pin::into_inner_unchecked(std) });
                // SAFETY: STABLE: the value was pinned, and stays where it is.
                unsafe { Pin::new_unchecked(pointer) }
            }
        }
    )*};
}

split_pin! { boxed::Box, rc::Rc, sync::Arc }

/// Coercions, receivers and pins.
#[cfg(all(feature = "trace", refscope_coerce))]
mod coerce {
    use crate::boxed::Box;
    use crate::rc::{self, Rc};
    use crate::sync::{self, Arc};
    use std::marker::Unsize;
    use std::ops::{CoerceUnsized, LegacyReceiver};
    use std::pin::PinCoerceUnsized;

    macro_rules! coerce {
        ($($Ptr:ident),*) => {$(
            impl<T: ?Sized + Unsize<U>, U: ?Sized> CoerceUnsized<$Ptr<U>> for $Ptr<T> {}
            // SAFETY: STABLE: `Deref` goes to the same value before and after a coercion.
            unsafe impl<T: ?Sized> PinCoerceUnsized for $Ptr<T> {}
            impl<T: ?Sized> LegacyReceiver for $Ptr<T> {}
            #[cfg(refscope_thin)]
            impl<T: ?Sized + Unsize<U>, U: ?Sized> std::ops::DispatchFromDyn<$Ptr<U>> for $Ptr<T> {}
        )*};
    }

    coerce! { Box, Rc, Arc }

    macro_rules! coerce_weak {
        ($($module:ident),*) => {$(
            impl<T: ?Sized + Unsize<U>, U: ?Sized> CoerceUnsized<$module::Weak<U>>
                for $module::Weak<T>
            {
            }
        )*};
    }

    coerce_weak! { rc, sync }
}

/// Calls of boxed closures.
#[cfg(all(feature = "trace", refscope_fn))]
mod call {
    use crate::boxed::Box;
    use crate::event::Op;
    use std::marker::Tuple;

    /// Emits [`Op::MovedOut`], then calls.
    impl<Args: Tuple, F: FnOnce<Args> + ?Sized> FnOnce<Args> for Box<F> {
        type Output = F::Output;

        extern "rust-call" fn call_once(self, args: Args) -> F::Output {
            <std::boxed::Box<F> as FnOnce<Args>>::call_once(self.end(Op::MovedOut), args)
        }
    }

    impl<Args: Tuple, F: FnMut<Args> + ?Sized> FnMut<Args> for Box<F> {
        extern "rust-call" fn call_mut(&mut self, args: Args) -> F::Output {
            (**self).call_mut(args)
        }
    }

    impl<Args: Tuple, F: Fn<Args> + ?Sized> Fn<Args> for Box<F> {
        extern "rust-call" fn call(&self, args: Args) -> F::Output {
            (**self).call(args)
        }
    }
}

/// Calls of boxed async closures.
#[cfg(all(feature = "trace", refscope_async_fn))]
mod async_call {
    use crate::boxed::Box;
    use crate::event::Op;
    use std::marker::Tuple;
    use std::ops::{AsyncFn, AsyncFnMut, AsyncFnOnce};

    /// Emits [`Op::MovedOut`], then calls.
    impl<Args: Tuple, F: AsyncFnOnce<Args> + ?Sized> AsyncFnOnce<Args> for Box<F> {
        type CallOnceFuture = F::CallOnceFuture;
        type Output = F::Output;

        extern "rust-call" fn async_call_once(self, args: Args) -> F::CallOnceFuture {
            let inner = self.end(Op::MovedOut);
            <std::boxed::Box<F> as AsyncFnOnce<Args>>::async_call_once(inner, args)
        }
    }

    impl<Args: Tuple, F: AsyncFnMut<Args> + ?Sized> AsyncFnMut<Args> for Box<F> {
        type CallRefFuture<'a>
            = F::CallRefFuture<'a>
        where
            Self: 'a;

        extern "rust-call" fn async_call_mut(&mut self, args: Args) -> F::CallRefFuture<'_> {
            (**self).async_call_mut(args)
        }
    }

    impl<Args: Tuple, F: AsyncFn<Args> + ?Sized> AsyncFn<Args> for Box<F> {
        extern "rust-call" fn async_call(&self, args: Args) -> F::CallRefFuture<'_> {
            (**self).async_call(args)
        }
    }
}

/// Lets a crate implement another crate's trait for a box of its own type, as for std's box.
#[cfg(all(feature = "trace", refscope_fundamental))]
mod fundamental {
    // Without this the compiler assumes that another crate may make a box of its own type `Copy`,
    // and a function pointer of it, for which std has impls.
    impl<T: ?Sized> !Copy for crate::boxed::Box<T> {}
}

/// `for x in boxed_slice`, which would overlap with `Iterator` for boxes but for the negative
/// impls.
#[cfg(all(feature = "trace", refscope_negative))]
mod iterate {
    use crate::boxed::Box;
    use crate::event::Op;

    impl<I> !Iterator for Box<[I]> {}
    impl<I> !Iterator for &Box<[I]> {}
    impl<I> !Iterator for &mut Box<[I]> {}

    /// Emits [`Op::IntoStd`].
    impl<I> IntoIterator for Box<[I]> {
        type Item = I;
        type IntoIter = std::vec::IntoIter<I>;

        #[track_caller]
        fn into_iter(self) -> Self::IntoIter {
            self.end(Op::IntoStd).into_vec().into_iter()
        }
    }

    impl<'a, I> IntoIterator for &'a mut Box<[I]> {
        type Item = &'a mut I;
        type IntoIter = std::slice::IterMut<'a, I>;

        fn into_iter(self) -> std::slice::IterMut<'a, I> {
            self.iter_mut()
        }
    }
}
