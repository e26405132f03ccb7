//! A handle of two words: its identity, and std's pointer beside it.

use super::Repr;

/// Declares a pointer type.
macro_rules! pointer {
    ($(#[$meta:meta])* pub struct $Ptr:ident<T>: $Identity:ty, $Std:ty;) => {
        $(#[$meta])*
        pub struct $Ptr<T: ?Sized> {
            // First, so that a drop is emitted before what it destroys. The drop is the identity's, and not the pointer's: so
            // the drop check treats the pointer as it treats std's.
            identity: $Identity,
            std: $Std,
        }

        impl<T: ?Sized> $Ptr<T> {
            /// An untraced handle.
            #[allow(dead_code)] // of a pointer that always has an object
            const fn untraced(std: $Std) -> Self {
                Self { identity: <$Identity>::UNTRACED, std }
            }
        }

        impl<T: ?Sized> $crate::repr::Repr for $Ptr<T> {
            type Identity = $Identity;
            type Std = $Std;

            #[inline(always)]
            fn from_parts(identity: $Identity, std: $Std) -> Self {
                Self { identity, std }
            }

            #[inline(always)]
            fn from_derived_parts(identity: $Identity, std: $Std) -> Self {
                Self { identity, std }
            }

            #[inline(always)]
            fn from_std_alone(std: $Std) -> Self {
                Self::untraced(std)
            }

            #[inline(always)]
            fn derive<Q: $crate::repr::Repr>(
                &self,
                std: impl FnOnce(&$Std) -> Q::Std,
                identity: impl FnOnce(&$Identity, $crate::runtime::ticket::StdWord) -> Q::Identity,
            ) -> Q {
                // Nothing unwinds between the two, which the compiler does not know.
                let std = std::mem::ManuallyDrop::new(std(&self.std));
                Q::from_derived_parts(identity(&self.identity, $crate::runtime::ticket::StdWord::LATER), std::mem::ManuallyDrop::into_inner(std))
            }

            #[inline(always)]
            fn try_derive<Q: $crate::repr::Repr>(
                &self,
                std: impl FnOnce(&$Std) -> Option<Q::Std>,
                identity: impl FnOnce(&$Identity, $crate::runtime::ticket::StdWord) -> Q::Identity,
                failed: impl FnOnce(&$Identity),
            ) -> Option<Q> {
                match std(&self.std) {
                    Some(std) => Some(Q::from_derived_parts(identity(&self.identity, $crate::runtime::ticket::StdWord::LATER), std)),
                    None => {
                        failed(&self.identity);
                        None
                    }
                }
            }

            #[inline(always)]
            fn into_parts(self) -> ($Identity, $Std) {
                (self.identity, self.std)
            }

            #[inline(always)]
            fn identity(&self) -> impl std::ops::Deref<Target = $Identity> {
                &self.identity
            }

            // A reference, and known as such: in a debug build each step to it takes room in a frame that recurses.
            #[inline(always)]
            #[allow(refining_impl_trait)]
            fn std(&self) -> &$Std {
                &self.std
            }

            #[inline(always)]
            fn both<'a>(&'a self, other: &'a Self) -> Option<(&'a $Std, &'a $Std)> {
                Some((&self.std, &other.std))
            }

            #[inline(always)]
            fn parts_mut(&mut self) -> $crate::repr::PartsMut<'_, Self> {
                $crate::repr::PartsMut { identity: &mut self.identity, std: &mut self.std }
            }

            #[inline(always)]
            fn lend(&self) -> &$Std {
                &self.std
            }

            #[inline(always)]
            fn value<U: ?Sized>(&self) -> &U
            where
                $Std: std::ops::Deref<Target = U>,
            {
                std::ops::Deref::deref(&self.std)
            }

            #[inline(always)]
            fn value_mut<U: ?Sized>(&mut self) -> &mut U
            where
                $Std: std::ops::DerefMut<Target = U>,
            {
                std::ops::DerefMut::deref_mut(&mut self.std)
            }

            #[inline(always)]
            fn value_mut_by<U: ?Sized>(
                &mut self,
                get: impl FnOnce(&mut $Std) -> Option<&mut U>,
            ) -> Option<&mut U>
            where
                $Std: std::ops::Deref<Target = U>,
            {
                get(&mut self.std)
            }
        }
    };
}
pub(crate) use pointer;

/// The parts of a handle, to be changed.
pub(crate) struct PartsMut<'a, P: Repr> {
    pub(crate) identity: &'a mut P::Identity,
    pub(crate) std: &'a mut P::Std,
}

/// What stands for std's pointer in a ticket of the other form; not needed in this one.
#[inline(always)]
pub(crate) fn address<S>(_: &S) -> usize {
    0
}
