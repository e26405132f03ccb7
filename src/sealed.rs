//! What seals the traits that only refscope's own types, and std's, may implement: unsafe code and the ledger rely on
//! their implementations.

/// Cannot be named outside of the crate, so that a trait that asks for it cannot be implemented there.
pub trait Sealed {}

macro_rules! seal {
    ($($Ptr:ty),* $(,)?) => {$(
        impl<T: ?Sized> Sealed for $Ptr {}
    )*};
}

seal! {
    std::boxed::Box<T>,
    std::rc::Rc<T>,
    std::rc::Weak<T>,
    std::sync::Arc<T>,
    std::sync::Weak<T>,
}

#[cfg(feature = "trace")]
seal! {
    crate::boxed::Box<T>,
    crate::rc::Rc<T>,
    crate::rc::Weak<T>,
    crate::sync::Arc<T>,
    crate::sync::Weak<T>,
}
