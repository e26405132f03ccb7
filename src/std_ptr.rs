//! Conversions to and from std's pointers.

use std::pin::Pin;

/// A pointer that has one of std's inside: the traced ones, std's own, and either of them pinned.
///
/// Use it where another crate's API takes std's type. std's own types implement it as well, so code
/// that uses it compiles with tracing on and off.
///
/// # Examples
///
/// ```
/// use refscope::{Arc, StdPtr};
///
/// fn theirs(shared: std::sync::Arc<str>) -> usize {
///     shared.len()
/// }
///
/// let mine: Arc<str> = Arc::from("text");
/// let lent = theirs(mine.as_std().clone()); // a clone that refscope does not see
/// let given = theirs(mine.into_std()); // ends the handle
/// assert_eq!(lent, given);
///
/// // On plain stable: allocate with std's pointer, which coerces, and trace it from there.
/// let dynamic: Arc<dyn Fn() -> i32> = Arc::from_std(std::sync::Arc::new(|| 7));
/// assert_eq!(dynamic(), 7);
/// ```
///
/// A `BoxFuture` of the crate `futures` is std's pointer, pinned:
///
/// ```
/// use refscope::{Box, StdPtr};
/// use std::pin::Pin;
///
/// type BoxFuture<T> = Pin<std::boxed::Box<dyn Future<Output = T> + Send>>;
///
/// let future: BoxFuture<u8> = Box::pin(async { 7 }).into_std();
/// let traced: Pin<Box<dyn Future<Output = u8> + Send>> = StdPtr::from_std(future);
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` has no pointer of std's inside",
    note = "`StdPtr` is implemented for `Box`, `Rc`, `Arc` (pinned, too) and both `Weak`s, refscope's and std's"
)]
pub trait StdPtr: Sized {
    /// std's pointer.
    type Std;

    /// Traces a pointer of std's. Emits [`Op::FromStd`](crate::event::Op::FromStd).
    ///
    /// The result is a new object with one handle, since refscope cannot know of others; or a handle of the object that the
    /// pointer left by [`into_std`](Self::into_std), if a traced handle kept that meanwhile, so that the address cannot be
    /// another's. (Of an `Rc` or `Arc`, and of a value with a size.)
    #[track_caller]
    fn from_std(std: Self::Std) -> Self;

    /// Returns std's pointer and ends the handle. Emits [`Op::IntoStd`](crate::event::Op::IntoStd).
    #[track_caller]
    fn into_std(self) -> Self::Std;

    /// Borrows std's pointer. Clones of it are not traced.
    ///
    /// Such a clone keeps the value alive, and nothing tells of it once the traced handles are dropped: a leak check passes
    /// then. While a traced handle is alive, [`holders`](crate::holders()) says how many handles std counts beyond those it
    /// knows.
    ///
    /// # Examples
    ///
    /// ```
    /// use refscope::{Arc, StdPtr, leaks::Check};
    ///
    /// let mut unseen = None;
    /// Check::new().run(|| unseen = Some(Arc::new(1).as_std().clone())); // passes
    /// assert_eq!(unseen.as_deref(), Some(&1)); // though the value is alive
    /// ```
    fn as_std(&self) -> &Self::Std;
}

macro_rules! std_is_std {
    ($($Ptr:ty),* $(,)?) => {$(
        impl<T: ?Sized> StdPtr for $Ptr {
            type Std = Self;

            #[inline]
            fn from_std(std: Self) -> Self {
                std
            }

            #[inline]
            fn into_std(self) -> Self {
                self
            }

            #[inline]
            fn as_std(&self) -> &Self {
                self
            }
        }
    )*};
}

std_is_std! {
    std::boxed::Box<T>,
    std::rc::Rc<T>,
    std::rc::Weak<T>,
    std::sync::Arc<T>,
    std::sync::Weak<T>,
    Pin<std::boxed::Box<T>>,
    Pin<std::rc::Rc<T>>,
    Pin<std::sync::Arc<T>>,
}
