//! The bound of `make_mut`.

use std::ffi::{CStr, OsStr};
use std::path::Path;

mod sealed {
    /// As `crate::sealed::Sealed`, for pointees.
    pub trait Sealed {}
}
use sealed::Sealed;

/// Types whose `Rc` and `Arc` have `make_mut`: those that are `Clone`, slices of them, and std's
/// text types.
///
/// It replaces std's own bound, `CloneToUninit`, which is unstable. Sealed.
#[diagnostic::on_unimplemented(
    message = "`make_mut` clones a shared value, and `{Self}` cannot be cloned",
    note = "`get_mut` needs no clone, and returns `None` if the value is shared"
)]
pub trait MakeMut: Sealed {
    #[doc(hidden)]
    fn rc_make_mut(this: &mut std::rc::Rc<Self>) -> &mut Self;
    #[doc(hidden)]
    fn arc_make_mut(this: &mut std::sync::Arc<Self>) -> &mut Self;
}

macro_rules! make_mut {
    ($([$($generics:tt)*] $T:ty;)*) => {$(
        impl<$($generics)*> Sealed for $T {}

        impl<$($generics)*> MakeMut for $T {
            #[inline]
            fn rc_make_mut(this: &mut std::rc::Rc<Self>) -> &mut Self {
                std::rc::Rc::make_mut(this)
            }

            #[inline]
            fn arc_make_mut(this: &mut std::sync::Arc<Self>) -> &mut Self {
                std::sync::Arc::make_mut(this)
            }
        }
    )*};
}

make_mut! {
    [T: Clone] T;
    [T: Clone] [T];
    [] str;
    [] CStr;
    [] OsStr;
    [] Path;
}
