//! A handle of one word: std's pointer, or the ticket that stands for it.

use super::{Repr, lent};
use crate::runtime::handle::OfTicket;
use crate::runtime::ticket::{StdWord, Ticket};
use std::mem::{ManuallyDrop, MaybeUninit, transmute, transmute_copy};
use std::ops::{Deref, DerefMut};
use std::ptr;
use std::{boxed, rc, sync};

const _: () = {
    const fn is_address_first(words: [usize; 2]) -> bool {
        words[0] == usize::MAX && words[1] == 3
    }
    // SAFETY: WORD: a pointer has no bytes that are not initialized.
    let of_rc = unsafe { transmute::<rc::Weak<[u8]>, [usize; 2]>(rc::Weak::<[u8; 3]>::new()) };
    // SAFETY: WORD: as above.
    let of_arc = unsafe { transmute::<sync::Weak<[u8]>, [usize; 2]>(sync::Weak::<[u8; 3]>::new()) };
    assert!(is_address_first(of_rc) && is_address_first(of_arc), "WORD");
};

/// Declares a pointer type.
macro_rules! pointer {
    ($(#[$meta:meta])* pub struct $Ptr:ident<T>: $Identity:ty, $Std:ty;) => {
        $(#[$meta])*
        // As which std's box may stand in a signature for C.
        #[repr(transparent)]
        pub struct $Ptr<T: ?Sized> {
            // Whose value is dropped by what `Drop` does.
            stored: std::ptr::NonNull<T>,
            // For the drop check.
            owns: std::marker::PhantomData<$Std>,
        }

        impl<T: ?Sized> $Ptr<T> {
            /// An untraced handle.
            #[allow(dead_code)] // of a pointer that always has an object
            const fn untraced(std: $Std) -> Self {
                let std = std::mem::ManuallyDrop::new(std);
                // SAFETY: WORD. WHOLE: std's pointer is not used any more.
                let stored = unsafe { std::mem::transmute_copy(&std) };
                Self { stored, owns: std::marker::PhantomData }
            }
        }

        // What std's pointer is, though a `NonNull` is not.

        // SAFETY: SEND: it owns, or shares, its value as std's pointer does.
        unsafe impl<T: ?Sized> Send for $Ptr<T> where $Std: Send {}
        // SAFETY: SEND: as above.
        unsafe impl<T: ?Sized> Sync for $Ptr<T> where $Std: Sync {}
        impl<T: ?Sized> std::panic::UnwindSafe for $Ptr<T> where $Std: std::panic::UnwindSafe {}

        // SAFETY: WORD: the type that is stored has the layout of std's pointer.
        unsafe impl<T: ?Sized> $crate::repr::Stored for $Ptr<T> {
            type Identity = $Identity;
            type Std = $Std;
            type Stored = std::ptr::NonNull<T>;

            #[inline]
            fn new(stored: std::ptr::NonNull<T>) -> Self {
                Self { stored, owns: std::marker::PhantomData }
            }

            #[inline]
            fn stored(&self) -> &std::ptr::NonNull<T> {
                &self.stored
            }

            #[inline]
            fn stored_mut(&mut self) -> &mut std::ptr::NonNull<T> {
                &mut self.stored
            }
        }

        // SAFETY: MAY_DANGLE: nothing of the value is used here, but that std's pointer drops it, whose drop check the fields
        // have.
        unsafe impl<#[may_dangle] T: ?Sized> Drop for $Ptr<T> {
            // Always inlined, so that a debug build needs no second frame: drops recurse.
            #[inline(always)]
            fn drop(&mut self) {
                // SAFETY: WHOLE: the handle is not used any more.
                unsafe { <$Std as $crate::repr::End>::end(self) };
            }
        }
    };
}
pub(crate) use pointer;

/// A pointer type that [`pointer!`] declares.
///
/// # Safety
///
/// `Stored` has the layout of `Std`, and WORD holds for it.
pub(crate) unsafe trait Stored: Sized {
    type Identity: OfTicket;
    type Std;
    type Stored;

    fn new(stored: Self::Stored) -> Self;
    fn stored(&self) -> &Self::Stored;
    fn stored_mut(&mut self) -> &mut Self::Stored;
}

/// How a handle of std's pointer ends: its identity, and after that std's pointer, so that a drop is emitted before what it
/// destroys.
pub(crate) trait End: Sized {
    /// Ends a handle.
    ///
    /// # Safety
    ///
    /// WHOLE: the handle is not used any more.
    unsafe fn end<P: Stored<Std = Self>>(handle: &mut P);
}

macro_rules! ends {
    ($($Std:ty),*) => {$(
        impl<T: ?Sized> End for $Std {
            #[inline(always)]
            unsafe fn end<P: Stored<Std = Self>>(handle: &mut P) {
                // SAFETY: WHOLE: passed on to the caller.
                unsafe { end_identity(handle) };
                // SAFETY: WHOLE: std's pointer is whole again.
                unsafe { ptr::drop_in_place(ptr::from_mut(handle.stored_mut()).cast::<Self>()) };
            }
        }
    )*};
}

ends! { rc::Rc<T>, rc::Weak<T>, sync::Arc<T>, sync::Weak<T> }

/// Frees a box's memory, while unwinding too: as std's own box does it, in the same frame as the rest.
struct Free<'a, T: ?Sized, P: Stored<Std = boxed::Box<T>>>(&'a mut P);

impl<T: ?Sized, P: Stored<Std = boxed::Box<T>>> Drop for Free<'_, T, P> {
    fn drop(&mut self) {
        let boxed = ptr::from_mut(self.0.stored_mut()).cast::<boxed::Box<ManuallyDrop<T>>>();
        // SAFETY: WHOLE: passed on to the caller of `end`; the value was dropped.
        unsafe { ptr::drop_in_place(boxed) };
    }
}

impl<T: ?Sized> End for boxed::Box<T> {
    #[inline(always)]
    unsafe fn end<P: Stored<Std = Self>>(handle: &mut P) {
        let free = Free(handle);
        // SAFETY: WHOLE: passed on to the caller.
        unsafe { end_identity(free.0) };
        // SAFETY: WORD: std's box is whole again. By a reference, since a debug build checks a pointer in this frame.
        let value = unsafe { transmute::<&P, &*mut T>(&*free.0) };
        // SAFETY: WHOLE: the value is not used any more.
        unsafe { ptr::drop_in_place(*value) };
    }
}

/// The first word.
#[inline]
fn word<B>(stored: &B) -> *mut () {
    const { assert!(size_of::<B>() >= size_of::<*mut ()>()) };
    // SAFETY: WORD: it is a pointer.
    unsafe { ptr::from_ref(stored).cast::<*mut ()>().read() }
}

#[inline]
fn set_word<B>(stored: &mut B, word: *mut ()) {
    const { assert!(size_of::<B>() >= size_of::<*mut ()>()) };
    // SAFETY: WORD: it is a pointer.
    unsafe { ptr::from_mut(stored).cast::<*mut ()>().write(word) };
}

/// The same bits as another type.
///
/// # Safety
///
/// WORD: the two types have the same layout. WHOLE: of what owns something, only one is used.
#[inline]
unsafe fn same_bits<A, B>(bits: &A) -> B {
    const { assert!(size_of::<A>() == size_of::<B>() && align_of::<A>() == align_of::<B>(), "WORD") };
    // SAFETY: WORD: passed on to the caller.
    unsafe { transmute_copy(bits) }
}

/// A copy of the bits of std's pointer, which owns nothing.
struct View<S>(MaybeUninit<S>);

impl<S> View<S> {
    #[inline]
    fn of<P: Stored<Std = S>>(handle: &P) -> Self {
        match Ticket::of(word(handle.stored())) {
            // SAFETY: WORD. WHOLE: a view owns nothing.
            None => Self(unsafe { same_bits(handle.stored()) }),
            Some(ticket) => Self::with(handle, &ticket),
        }
    }

    /// The same of a handle that has this ticket.
    #[inline]
    fn with<P: Stored<Std = S>>(handle: &P, ticket: &Ticket) -> Self {
        // SAFETY: WORD. WHOLE: a view owns nothing.
        let mut bits: MaybeUninit<S> = unsafe { same_bits(handle.stored()) };
        set_word(&mut bits, ticket.std());
        Self(bits)
    }
}

impl<S> Deref for View<S> {
    type Target = S;

    #[inline]
    fn deref(&self) -> &S {
        // SAFETY: WHOLE: the handle lives, whose pointer this is. PLACE, NOTED: it was in the place.
        unsafe { self.0.assume_init_ref() }
    }
}

impl<S> DerefMut for View<S> {
    #[inline]
    fn deref_mut(&mut self) -> &mut S {
        // SAFETY: WHOLE: as above; only what does not change the pointer is done with it.
        unsafe { self.0.assume_init_mut() }
    }
}

/// Ends what was lent of a handle that ends, or is taken apart, if it has a place: a pointer of one word stands in that.
#[inline]
fn end_loans<const WIDE: bool>(ticket: &Ticket) {
    if WIDE && !ticket.is_returned() && ticket.place().is_lent() {
        lent::end(ticket);
    }
}

/// Ends the identity of a handle, and leaves std's pointer in it.
///
/// # Safety
///
/// WHOLE: the handle is dropped, and not used any more.
#[inline]
pub(crate) unsafe fn end_identity<P: Stored>(handle: &mut P) {
    // Neither generic over the pointee, nor inlined, and it does not unwind (sinks' panics are caught, and anything else
    // aborts): so the drop of an untraced handle is std's, but for a look.
    #[inline(never)]
    #[allow(improper_ctypes_definitions)] // it is not called from C
    extern "C" fn traced<I: OfTicket, const WIDE: bool>(ticket: Ticket, at: usize) -> *mut () {
        let std = ticket.std();
        if ticket.is_returned() {
            lent::end_at(at);
        } else {
            end_loans::<WIDE>(&ticket);
        }
        I::end_traced(ticket);
        std
    }
    if let Some(ticket) = Ticket::of(word(handle.stored())) {
        let at = ptr::from_ref(handle).addr();
        let std = if size_of::<P::Std>() > size_of::<usize>() {
            traced::<P::Identity, true>(ticket, at)
        } else {
            traced::<P::Identity, false>(ticket, at)
        };
        set_word(handle.stored_mut(), std);
    }
}

/// Has a ticket stand for std's pointer.
#[inline]
fn put_in<B>(ticket: Ticket, std: &mut B) {
    let replaced = ticket.replace(word(std));
    set_word(std, replaced);
}

/// An untraced handle as what it is.
///
/// # Safety
///
/// WORD: the handle is untraced.
#[inline]
unsafe fn as_std<P: Stored>(handle: &P) -> &P::Std {
    // SAFETY: WORD: passed on to the caller.
    unsafe { &*ptr::from_ref(handle.stored()).cast() }
}

/// std's pointer, where it stands as a whole: in the handle, or in its place.
#[inline]
fn whole<P: Stored>(handle: &P) -> Option<&P::Std> {
    let std = match Ticket::of(word(handle.stored())) {
        None => ptr::from_ref(handle.stored()).cast::<P::Std>(),
        Some(ticket) if size_of::<P::Std>() == size_of::<usize>() => ticket.memory()?.cast(),
        Some(_) => return None,
    };
    // SAFETY: WORD. PLACE: it stays as it is for as long as the handle is borrowed.
    Some(unsafe { &*std })
}

/// Makes another handle of a traced one. Not inlined: so what is done to an untraced one is what std does, but for a look.
#[inline(never)]
fn derive_traced<P: Stored, Q: Repr>(
    handle: &P,
    ticket: Ticket,
    std: impl FnOnce(&P::Std) -> Q::Std,
    identity: impl FnOnce(&P::Identity, StdWord) -> Q::Identity,
) -> Q {
    // Asked once.
    #[cold]
    #[inline(never)]
    fn of_returned<P: Stored, Q: Repr>(
        handle: &P,
        ticket: Ticket,
        std: impl FnOnce(&P::Std) -> Q::Std,
        identity: impl FnOnce(&P::Identity, StdWord) -> Q::Identity,
    ) -> Q {
        derive_with(handle, ticket, std, identity)
    }
    if ticket.is_returned() {
        return of_returned(handle, ticket, std, identity);
    }
    derive_with(handle, ticket, std, identity)
}

#[inline(always)]
fn derive_with<P: Stored, Q: Repr>(
    handle: &P,
    ticket: Ticket,
    std: impl FnOnce(&P::Std) -> Q::Std,
    identity: impl FnOnce(&P::Identity, StdWord) -> Q::Identity,
) -> Q {
    let view = View::with(handle, &ticket);
    let old = ManuallyDrop::new(P::Identity::of(Some(ticket)));
    // Nothing unwinds between the two, which the compiler does not know.
    let std = ManuallyDrop::new(std(&view));
    let new = identity(&old, StdWord(word(&std)));
    Q::from_derived_parts(new, ManuallyDrop::into_inner(std))
}

#[inline(never)]
fn try_derive_traced<P: Stored, Q: Repr>(
    handle: &P,
    std: impl FnOnce(&P::Std) -> Option<Q::Std>,
    identity: impl FnOnce(&P::Identity, StdWord) -> Q::Identity,
    failed: impl FnOnce(&P::Identity),
) -> Option<Q> {
    let Some(std) = std(&View::of(handle)) else {
        failed(&handle.identity());
        return None;
    };
    let std = ManuallyDrop::new(std);
    let new = identity(&handle.identity(), StdWord(word(&std)));
    Some(Q::from_derived_parts(new, ManuallyDrop::into_inner(std)))
}

impl<P: Stored> Repr for P {
    type Identity = P::Identity;
    type Std = P::Std;

    #[inline]
    fn from_parts(identity: P::Identity, std: P::Std) -> Self {
        // SAFETY: WORD. WHOLE: std's pointer is not used any more.
        let mut stored: P::Stored = unsafe { same_bits(&ManuallyDrop::new(std)) };
        if let Some(ticket) = identity.into_ticket() {
            put_in(ticket, &mut stored);
        }
        P::new(stored)
    }

    #[inline]
    fn from_derived_parts(identity: P::Identity, std: P::Std) -> Self {
        // SAFETY: WORD. WHOLE: std's pointer is not used any more.
        let mut stored: P::Stored = unsafe { same_bits(&ManuallyDrop::new(std)) };
        if let Some(ticket) = identity.into_ticket() {
            set_word(&mut stored, ticket.stands_for_noted());
        }
        P::new(stored)
    }

    #[inline]
    fn from_std_alone(std: P::Std) -> Self {
        // SAFETY: WORD. WHOLE: std's pointer is not used any more.
        P::new(unsafe { same_bits(&ManuallyDrop::new(std)) })
    }

    #[inline]
    fn derive<Q: Repr>(
        &self,
        std: impl FnOnce(&P::Std) -> Q::Std,
        identity: impl FnOnce(&P::Identity, StdWord) -> Q::Identity,
    ) -> Q {
        if let Some(ticket) = Ticket::of(word(self.stored())) {
            return derive_traced(self, ticket, std, identity);
        }
        // SAFETY: WORD: untraced, it is std's pointer.
        Q::from_std_alone(std(unsafe { as_std(self) }))
    }

    #[inline]
    fn try_derive<Q: Repr>(
        &self,
        std: impl FnOnce(&P::Std) -> Option<Q::Std>,
        identity: impl FnOnce(&P::Identity, StdWord) -> Q::Identity,
        failed: impl FnOnce(&P::Identity),
    ) -> Option<Q> {
        if Ticket::is_in(word(self.stored())) {
            return try_derive_traced(self, std, identity, failed);
        }
        // SAFETY: WORD: untraced, it is std's pointer.
        std(unsafe { as_std(self) }).map(Q::from_std_alone)
    }

    #[inline]
    fn into_parts(self) -> (P::Identity, P::Std) {
        let this = ManuallyDrop::new(self);
        // SAFETY: WORD. WHOLE: the handle is not used any more.
        let mut std: MaybeUninit<P::Std> = unsafe { same_bits(this.stored()) };
        let ticket = Ticket::of(word(this.stored()));
        if let Some(ticket) = &ticket {
            set_word(&mut std, ticket.std());
            if size_of::<P::Std>() > size_of::<usize>() {
                end_loans::<true>(ticket);
            } else {
                end_loans::<false>(ticket);
            }
        }
        // SAFETY: WHOLE: its bits are together again.
        (P::Identity::of(ticket), unsafe { std.assume_init() })
    }

    #[inline]
    fn identity(&self) -> impl Deref<Target = P::Identity> {
        ManuallyDrop::new(P::Identity::of(Ticket::of(word(self.stored()))))
    }

    #[inline]
    fn std(&self) -> impl Deref<Target = P::Std> {
        View::of(self)
    }

    #[inline]
    fn both<'a>(&'a self, other: &'a Self) -> Option<(&'a P::Std, &'a P::Std)> {
        Some((whole(self)?, whole(other)?))
    }

    #[inline]
    fn parts_mut(&mut self) -> PartsMut<'_, Self> {
        let ticket = Ticket::of(word(self.stored()));
        let before = PartsMut::<Self>::LENDS.then(|| Ticket::of(word(self.stored()))).flatten();
        if let Some(ticket) = &ticket {
            set_word(self.stored_mut(), ticket.std());
        }
        let std = ptr::from_mut(self.stored_mut()).cast::<P::Std>();
        // SAFETY: WORD. WHOLE: it is std's pointer until the parts are dropped.
        let std = unsafe { &mut *std };
        PartsMut { identity: ManuallyDrop::new(P::Identity::of(ticket)), std, before }
    }

    fn lend(&self) -> &P::Std {
        if let Some(std) = whole(self) {
            return std;
        }
        let Some(ticket) = Ticket::of(word(self.stored())) else { unreachable!("it is whole") };
        // SAFETY: LENT: it stays as it is for as long as the handle is borrowed.
        unsafe { &*lent::lend(ptr::from_ref(self).addr(), &ticket, &View::of(self).0) }
    }

    #[inline]
    fn value<T: ?Sized>(&self) -> &T
    where
        P::Std: Deref<Target = T>,
    {
        let value: *const T = &**View::of(self);
        // SAFETY: STABLE: it stays where it is for as long as the handle is borrowed.
        unsafe { &*value }
    }

    #[inline]
    fn value_mut<T: ?Sized>(&mut self) -> &mut T
    where
        P::Std: DerefMut<Target = T>,
    {
        let value: *mut T = &mut **View::of(self);
        // SAFETY: STABLE: it stays where it is for as long as the handle is borrowed.
        unsafe { &mut *value }
    }

    #[inline]
    fn value_mut_by<T: ?Sized>(
        &mut self,
        get: impl FnOnce(&mut P::Std) -> Option<&mut T>,
    ) -> Option<&mut T>
    where
        P::Std: Deref<Target = T>,
    {
        let value: *mut T = get(&mut View::of(self))?;
        // SAFETY: STABLE: it stays where it is for as long as the handle is borrowed.
        Some(unsafe { &mut *value })
    }
}

/// The parts of a handle, to be changed: std's pointer stands in the handle meanwhile. The identity is put into it again when
/// this is dropped, while unwinding too.
pub(crate) struct PartsMut<'a, P: Repr> {
    pub(crate) identity: ManuallyDrop<P::Identity>,
    pub(crate) std: &'a mut P::Std,
    /// The handle's ticket, where copies of std's pointer may have been lent by it.
    before: Option<Ticket>,
}

impl<P: Repr> PartsMut<'_, P> {
    /// Whether std's pointer has metadata: one of one word stands in the place, and is not lent as a copy.
    const LENDS: bool = size_of::<P::Std>() > size_of::<usize>();
}

impl<P: Repr> Drop for PartsMut<'_, P> {
    #[inline]
    fn drop(&mut self) {
        // SAFETY: WHOLE: it is not used any more.
        let identity = unsafe { ManuallyDrop::take(&mut self.identity) };
        let ticket = identity.into_ticket();
        // Another object's, or none: nobody can end by it what was lent.
        if Self::LENDS
            && self.before != ticket
            && let Some(before) = &self.before
        {
            match before.is_returned() {
                true => lent::end_at(ptr::from_ref(&*self.std).addr()),
                false => lent::end_if_any(before),
            }
        }
        if let Some(ticket) = ticket {
            put_in(ticket, self.std);
        }
    }
}

/// std's pointer as a number: what a ticket of a handle that came from a raw pointer has in itself.
#[inline]
pub(crate) fn address<S>(std: &S) -> usize {
    word(std).addr()
}
