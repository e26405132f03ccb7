//! From a sized pointee to an unsized one: [`unsize!`](crate::unsize!) and [`coerce!`](crate::coerce!)
//! for plain stable, `CoerceUnsized` and its kin where the compiler allows.

/// Turns a pointer into one to something unsized: `unsize!(rc => dyn Trait)`.
///
/// On plain stable no library pointer coerces by itself, and this does it by hand, in safe code: the handle
/// stays the same, and there is no event. It takes `Box`, `Rc`, `Arc` and both `Weak`s. In the fully drop-in
/// build, and with tracing off, it is not needed and does the same.
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
        $crate::__private::unsize::<$Target, _>($pointer, |std| std)
    };
}

/// Makes a pointer that coerces as std's does: `coerce!(Rc::new(value))`, for `Box`, `Rc` and `Arc`, and for
/// `pin` in place of `new`.
///
/// Where the type is known to be a trait object, a closure's signature is inferred from it, as with std.
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
/// ```
#[macro_export]
macro_rules! coerce {
    (Box::new($value:expr $(,)?)) => {
        $crate::__private::boxed($crate::__private::std::boxed::Box::new($value))
    };
    (Rc::new($value:expr $(,)?)) => {
        $crate::__private::rc($crate::__private::std::rc::Rc::new($value))
    };
    (Arc::new($value:expr $(,)?)) => {
        $crate::__private::arc($crate::__private::std::sync::Arc::new($value))
    };
    (Box::pin($value:expr $(,)?)) => {
        $crate::__private::pin_boxed($crate::__private::std::boxed::Box::pin($value))
    };
    (Rc::pin($value:expr $(,)?)) => {
        $crate::__private::pin_rc($crate::__private::std::rc::Rc::pin($value))
    };
    (Arc::pin($value:expr $(,)?)) => {
        $crate::__private::pin_arc($crate::__private::std::sync::Arc::pin($value))
    };
}

use std::pin::Pin;

/// What [`unsize!`](crate::unsize!) can be called on.
#[diagnostic::on_unimplemented(
    message = "`unsize!` takes a `Box`, `Rc`, `Arc` or `Weak` of refscope's, not `{Self}`"
)]
pub trait Unsize<U: ?Sized> {
    /// std's pointer inside.
    type Std;
    /// What that coerces to.
    type StdTo;
    /// The traced pointer around it.
    type To;

    /// Coerces the pointer inside by `f`, which the caller's crate compiles.
    fn change(self, f: impl FnOnce(Self::Std) -> Self::StdTo) -> Self::To;
}

/// The call behind [`unsize!`](crate::unsize!).
#[inline]
pub fn unsize<U: ?Sized, P: Unsize<U>>(p: P, f: impl FnOnce(P::Std) -> P::StdTo) -> P::To {
    p.change(f)
}

macro_rules! unsizes {
    ($($module:ident::$Ptr:ident),*) => {$(
        impl<T: ?Sized, U: ?Sized> Unsize<U> for crate::$module::$Ptr<T> {
            type Std = std::$module::$Ptr<T>;
            type StdTo = std::$module::$Ptr<U>;
            type To = crate::$module::$Ptr<U>;

            #[inline]
            fn change(self, f: impl FnOnce(Self::Std) -> Self::StdTo) -> Self::To {
                #[cfg(feature = "trace")]
                return crate::$module::$Ptr { ticket: self.ticket, inner: f(self.inner) };
                #[cfg(not(feature = "trace"))]
                return f(self);
            }
        }
    )*};
}

unsizes! { boxed::Box, rc::Rc, rc::Weak, sync::Arc, sync::Weak }

/// The traced pointer around one that std has just made.
#[inline]
#[track_caller]
pub fn boxed<T: ?Sized>(inner: std::boxed::Box<T>) -> crate::boxed::Box<T> {
    #[cfg(feature = "trace")]
    return crate::boxed::Box::born(inner);
    #[cfg(not(feature = "trace"))]
    return inner;
}

/// The traced pointer around one that std has just made.
#[inline]
#[track_caller]
pub fn rc<T: ?Sized>(inner: std::rc::Rc<T>) -> crate::rc::Rc<T> {
    #[cfg(feature = "trace")]
    return crate::rc::Rc::born(inner);
    #[cfg(not(feature = "trace"))]
    return inner;
}

/// The traced pointer around one that std has just made.
#[inline]
#[track_caller]
pub fn arc<T: ?Sized>(inner: std::sync::Arc<T>) -> crate::sync::Arc<T> {
    #[cfg(feature = "trace")]
    return crate::sync::Arc::born(inner);
    #[cfg(not(feature = "trace"))]
    return inner;
}

macro_rules! pins {
    ($($pin:ident: $make:ident, $module:ident::$Ptr:ident;)*) => {$(
        /// The traced pointer around one that std has just pinned.
        #[inline]
        #[track_caller]
        pub fn $pin<T: ?Sized>(inner: Pin<std::$module::$Ptr<T>>) -> Pin<crate::$module::$Ptr<T>> {
            // SAFETY: STABLE: it is pinned again below, and nothing moves the value in between.
            let inner = unsafe { Pin::into_inner_unchecked(inner) };
            let pointer = $make(inner);
            // SAFETY: STABLE: the value was pinned in std's pointer, which this is or owns, and derefs as.
            unsafe { Pin::new_unchecked(pointer) }
        }
    )*};
}

pins! {
    pin_boxed: boxed, boxed::Box;
    pin_rc: rc, rc::Rc;
    pin_arc: arc, sync::Arc;
}

/// Coercions, receivers and pins, as the compiler gives them to std's pointers.
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

    /// Tells of the [move](Op::MovedOut) out of the box, then calls.
    impl<Args: Tuple, F: FnOnce<Args> + ?Sized> FnOnce<Args> for Box<F> {
        type Output = F::Output;

        extern "rust-call" fn call_once(self, args: Args) -> F::Output {
            <std::boxed::Box<F> as FnOnce<Args>>::call_once(self.ended(Op::MovedOut), args)
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

    /// Tells of the [move](Op::MovedOut) out of the box, then calls.
    impl<Args: Tuple, F: AsyncFnOnce<Args> + ?Sized> AsyncFnOnce<Args> for Box<F> {
        type CallOnceFuture = F::CallOnceFuture;
        type Output = F::Output;

        extern "rust-call" fn async_call_once(self, args: Args) -> F::CallOnceFuture {
            let inner = self.ended(Op::MovedOut);
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

/// A crate may implement another's trait for a box of its own type, as for std's box.
#[cfg(all(feature = "trace", refscope_fundamental))]
mod fundamental {
    // Said aloud, since the compiler now reckons that another crate may make a box of its own `Copy`, and
    // with it a function pointer, for which std has impls.
    impl<T: ?Sized> !Copy for crate::boxed::Box<T> {}
}

/// `for x in boxed_slice`, which an impl of `Iterator` for a box would otherwise forbid.
#[cfg(all(feature = "trace", refscope_negative))]
mod iterate {
    use crate::boxed::Box;
    use crate::event::Op;

    impl<I> !Iterator for Box<[I]> {}
    impl<I> !Iterator for &Box<[I]> {}
    impl<I> !Iterator for &mut Box<[I]> {}

    /// Tells of the [move](Op::IntoStd) out of the box.
    impl<I> IntoIterator for Box<[I]> {
        type Item = I;
        type IntoIter = std::vec::IntoIter<I>;

        #[track_caller]
        fn into_iter(self) -> Self::IntoIter {
            self.ended(Op::IntoStd).into_vec().into_iter()
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
