//! `FromParallelIterator`, `IntoParallelIterator` and `ParallelExtend` of the crate `rayon`, as it
//! has them for std's pointers.

use crate::{Arc, Box, Rc};
use ::rayon::iter::{FromParallelIterator, IntoParallelIterator, ParallelExtend, ParallelIterator};
use std::borrow::Cow;

/// Collects a slice. Emits [`Op::New`](crate::event::Op::New).
macro_rules! collect_slice {
    ($($Ptr:ident),*) => {$(
        impl<T: Send> FromParallelIterator<T> for $Ptr<[T]> {
            #[track_caller]
            fn from_par_iter<I: IntoParallelIterator<Item = T>>(iter: I) -> Self {
                Vec::from_par_iter(iter).into()
            }
        }
    )*};
}

collect_slice! { Box, Rc, Arc }

/// Collects text. Emits [`Op::New`](crate::event::Op::New).
macro_rules! collect_text {
    ($([$($generics:tt)*] $Item:ty;)*) => {$(
        impl<$($generics)*> FromParallelIterator<$Item> for Box<str> {
            #[track_caller]
            fn from_par_iter<I: IntoParallelIterator<Item = $Item>>(iter: I) -> Self {
                String::from_par_iter(iter).into()
            }
        }
    )*};
}

collect_text! {
    [] char;
    ['a] &'a char;
    ['a] &'a str;
    ['a] Cow<'a, str>;
    [] String;
    [] Box<str>;
}

impl FromParallelIterator<Box<str>> for String {
    fn from_par_iter<I: IntoParallelIterator<Item = Box<str>>>(iter: I) -> Self {
        let mut text = Self::new();
        text.par_extend(iter);
        text
    }
}

impl ParallelExtend<Box<str>> for String {
    fn par_extend<I: IntoParallelIterator<Item = Box<str>>>(&mut self, iter: I) {
        self.par_extend(iter.into_par_iter().map(Self::from));
    }
}

/// The allocation becomes a vector's. Emits [`Op::IntoStd`](crate::event::Op::IntoStd).
impl<T: Send> IntoParallelIterator for Box<[T]> {
    type Item = T;
    type Iter = ::rayon::vec::IntoIter<T>;

    #[track_caller]
    fn into_par_iter(self) -> Self::Iter {
        self.into_vec().into_par_iter()
    }
}

impl<'a, T: Sync> IntoParallelIterator for &'a Box<[T]> {
    type Item = &'a T;
    type Iter = ::rayon::slice::Iter<'a, T>;

    fn into_par_iter(self) -> Self::Iter {
        (**self).into_par_iter()
    }
}

impl<'a, T: Send> IntoParallelIterator for &'a mut Box<[T]> {
    type Item = &'a mut T;
    type Iter = ::rayon::slice::IterMut<'a, T>;

    fn into_par_iter(self) -> Self::Iter {
        (**self).into_par_iter()
    }
}
