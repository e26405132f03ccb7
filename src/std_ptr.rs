//! To and from std's pointers.

/// A pointer that has one of std's inside: the traced ones, and std's own.
///
/// For where someone else's API wants std's type. It is implemented on std's types too, so that code
/// which uses it compiles with tracing on and off.
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
/// let seen = theirs(mine.as_std().clone()); // a clone that refscope does not see
/// let gone = theirs(mine.into_std()); // the handle leaves
/// assert_eq!(seen, gone);
///
/// // On plain stable: make it with std's pointer, which coerces, and adopt it.
/// let dynamic: Arc<dyn Fn() -> i32> = Arc::from_std(std::sync::Arc::new(|| 7));
/// assert_eq!(dynamic(), 7);
/// ```
pub trait StdPtr: Sized {
    /// std's pointer.
    type Std;

    /// Adopts a pointer of std's: a new object, with one handle, as far as refscope can know. Tells of
    /// [`FromStd`](crate::event::Op::FromStd).
    #[track_caller]
    fn from_std(std: Self::Std) -> Self;

    /// Gives std's pointer out. refscope sees it no more. Tells of [`IntoStd`](crate::event::Op::IntoStd).
    #[track_caller]
    fn into_std(self) -> Self::Std;

    /// std's pointer, borrowed. What a clone of it does refscope does not see.
    fn as_std(&self) -> &Self::Std;
}

macro_rules! std_is_std {
    ($($Ptr:ty),*) => {$(
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
    std::boxed::Box<T>, std::rc::Rc<T>, std::rc::Weak<T>, std::sync::Arc<T>, std::sync::Weak<T>
}
