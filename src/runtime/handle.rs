//! A handle's identity, and the only place that emits events: how objects [begin](birth), how handles are [made](make) and
//! [end](end), how they become [raw pointers](raw_pointer) and come back, and how events are [emitted](emit).
//!
//! A pointer keeps a [`Strong`] or a [`Weak`] beside std's pointer and says what it does. The drop is
//! here, on a type that is not generic over the pointee, and not on the pointers: so the drop check treats
//! them as it treats std's. `SHARED` says whether the owners may be on several threads.
//!
//! What each operation does, and on which side of std's it stands, is in the documentation of
//! [what refscope guarantees](crate::guarantees).

use self::birth::{open, open_new};
use self::emit::note;
use self::end::{drop_returned, drop_strong, end_strong, end_weak};
use self::hold::{Held, entry_of, hold, pin_raw, unpin, with};
use self::make::{
    Clone, CloneOfReturned, Downgrade, Make, NewOfCyclic, Upgrade, WeakClone, make, make_any,
    make_from, make_from_returned,
};
use self::raw_pointer::{claim_raw, register_raw, register_stranger};
use self::std_pointer::{of_std, to_std};
use crate::event::{Caller, HandleId, Kind, ObjectId, Op, Type};
use crate::primitive::{AtomicU64, Ordering, statics};
use crate::runtime::dispatch;
use crate::runtime::entry::Place;
use crate::runtime::ledger::{LEDGER, Refused};
use crate::runtime::raw::Side;
use crate::runtime::ticket::{StdWord, Ticket};
use crate::span;
use std::mem::offset_of;
use std::panic::Location;

pub(crate) use self::identity::{Identity, WatchedEntry};

mod birth;
mod emit;
mod end;
mod hold;
mod identity;
mod make;
mod raw_pointer;
mod std_pointer;

statics! {
    /// The number of the next object.
    static NEXT: AtomicU64 = AtomicU64::new(1);
}

/// Whether a handle of two words begins with std's pointer, as the compiler orders them: in a declaration like the pointers' own.
#[allow(dead_code)] // of the search alone
pub(crate) const POINTER_FIRST: bool = {
    #[allow(dead_code)]
    struct Pointer<T: ?Sized> {
        identity: Strong<true>,
        std: std::sync::Arc<T>,
    }
    offset_of!(Pointer<u64>, std) == 0 && offset_of!(Pointer<[u64]>, std) == 0
};

/// Numbers that an object's may reach: a record has 40 bits for it. Short of that by as many objects as threads may number
/// at once between the look and the step.
const NUMBERS: u64 = (1 << 40) - (1 << 24);

/// Whether one more object can be numbered.
#[inline(always)]
fn can_number() -> bool {
    // Relaxed: a limit with a margin, not a promise.
    NEXT.load(Ordering::Relaxed) < NUMBERS
}

/// A number for an object. `None` where there are no more, which is counted.
pub(super) fn number() -> Option<u64> {
    if !can_number() {
        LEDGER.refuse(Refused::Object);
        return None;
    }
    // Relaxed: a number is unique by the read-modify-write alone.
    Some(NEXT.fetch_add(1, Ordering::Relaxed))
}

/// Has the next object numbered shortly before the last one, for a test; `left` get a number.
#[cfg(test)]
#[allow(dead_code)] // in the models
pub(crate) fn leave_numbers(left: u64) {
    NEXT.store(NUMBERS - left, Ordering::Relaxed);
}

/// The number of the next object.
pub(crate) fn next_object() -> u64 {
    // Relaxed: objects are numbered, not ordered.
    NEXT.load(Ordering::Relaxed)
}

/// How many objects got a number so far.
pub(crate) fn numbered() -> u64 {
    NEXT.load(Ordering::Relaxed) - 1
}

/// Where a value is, and how large.
#[derive(Clone, Copy)]
pub(crate) struct Value {
    address: usize,
    size: usize,
    align: usize,
}

impl Value {
    #[inline]
    pub(crate) fn of<T: ?Sized>(value: &T) -> Self {
        Self {
            address: std::ptr::from_ref(value).addr(),
            size: size_of_val(value),
            align: align_of_val(value),
        }
    }

    /// A value that is yet to be written, or may be gone.
    pub(crate) fn at<T>(address: *const T) -> Self {
        Self { address: address.addr(), size: size_of::<T>(), align: align_of::<T>() }
    }

    /// A value of which nothing is known but where it may be.
    pub(crate) fn unknown(address: usize) -> Self {
        Self { address, size: 0, align: 1 }
    }
}

/// Where the value of a raw pointer is. `None` for a box of a value without size: others may be there as well, so it is
/// untraced while it is raw. (Before the value of an `Rc` or `Arc` are its counts, so that no two of a kind are at one address;
/// a box may be at that of an `Rc<()>`, which is the end of its block, and is another kind.)
pub(crate) fn at<T: ?Sized>(kind: Kind, value: &T) -> Option<(Kind, usize)> {
    let is_its_own = kind != Kind::Box || size_of_val(value) > 0;
    is_its_own.then(|| (kind, std::ptr::from_ref(value).addr()))
}

/// Whether no object is traced that begins now, which is the common case: asked before anything is made ready for one.
#[inline(always)]
pub(crate) fn is_idle() -> bool {
    dispatch::idle()
}

/// The identity of a strong handle: eight bytes, none of which is used while the handle is untraced.
pub(crate) struct Strong<const SHARED: bool>(Option<Ticket>);

impl<const SHARED: bool> Strong<SHARED> {
    /// A handle that is untraced.
    #[cfg(not(refscope_thin))]
    #[allow(dead_code)] // in the models
    pub(crate) const UNTRACED: Self = Self(None);

    /// A new object, if a sink wants it.
    #[inline]
    #[track_caller]
    pub(crate) fn birth(ty: &'static Type, value: Value, op: Op) -> Self {
        if dispatch::idle() {
            return Self(None);
        }
        let site = Location::caller();
        Self(match op {
            Op::New => open_new(ty, value.address, value.size, value.align, site),
            _ => open(ty, value, op, None, site),
        })
    }

    /// The handle of an object that `new_cyclic` announced by a weak one.
    pub(crate) fn of_cyclic(weak: &Weak<SHARED>, site: Caller) -> Self {
        let made = weak.0.as_ref().and_then(|from| {
            make_from::<SHARED, NewOfCyclic>(from, Side::Weak, site, StdWord::LATER)
        });
        Self(made)
    }

    /// A clone's identity. Stands after std's clone, which is `std`.
    #[inline]
    pub(crate) fn cloned(&self, site: Caller, std: StdWord) -> Self {
        // Of one word, what calls it is outlined, and has the place already, in which std's pointer is.
        #[cfg_attr(not(refscope_thin), inline(never))]
        #[cfg_attr(refscope_thin, inline(always))]
        fn traced<const SHARED: bool>(from: &Ticket, site: Caller, std: StdWord) -> Option<Ticket> {
            if from.is_returned() {
                return make_from_returned::<SHARED, CloneOfReturned>(
                    from,
                    Side::Strong,
                    site,
                    std,
                );
            }
            of_place::<SHARED>(from.place(), site, std)
        }
        #[cfg_attr(not(refscope_thin), inline(always))]
        #[cfg_attr(refscope_thin, inline(never))]
        fn of_place<const SHARED: bool>(
            from: &'static Place,
            site: Caller,
            std: StdWord,
        ) -> Option<Ticket> {
            make::<SHARED, Clone>(entry_of(from), from, site, std)
        }
        match &self.0 {
            None => Self(None),
            Some(from) => Self(traced::<SHARED>(from, site, std)),
        }
    }

    /// A weak handle's identity. Stands after std's downgrade, which is `std`.
    #[inline]
    pub(crate) fn downgraded(&self, site: Caller, std: StdWord) -> Weak<SHARED> {
        #[inline(never)]
        fn traced<const SHARED: bool>(from: &Ticket, site: Caller, std: StdWord) -> Option<Ticket> {
            make_from::<SHARED, Downgrade>(from, Side::Strong, site, std)
        }
        match &self.0 {
            None => Weak(None),
            Some(from) => Weak(traced::<SHARED>(from, site, std)),
        }
    }

    /// Stands before an operation of std's that may free the memory before its own step here: a handle that
    /// came from a raw pointer takes its place while the address is surely its object's.
    #[inline]
    pub(crate) fn resolve_raw(&mut self) {
        if self.0.as_ref().is_some_and(Ticket::is_returned) {
            let held = self.0.take().and_then(|ticket| hold(ticket, Side::Strong));
            self.0 = held.map(|held| {
                held.place.clear_returned();
                Ticket::new(held.place, held.place.current())
            });
        }
    }

    /// The handle ends by giving its value, or itself, away. Stands after std's success.
    #[inline]
    #[track_caller]
    pub(crate) fn end(mut self, op: Op) {
        if let Some(held) = self.0.take().and_then(|ticket| hold(ticket, Side::Strong)) {
            end_strong::<SHARED>(held, op, Some(Location::caller()));
        }
    }

    /// The handle ends, and `std` may give its value away. The drop's step stands before std's, so that
    /// the traced count is never above it.
    #[track_caller]
    pub(crate) fn into_inner<T>(mut self, std: impl FnOnce() -> Option<T>) -> Option<T> {
        let held = self.0.take().and_then(|ticket| hold(ticket, Side::Strong));
        let Some(held) = held else { return std() };
        let site = Location::caller();
        let (entry, handle) = (held.entry, held.place.number());
        entry.share::<SHARED>();
        end_strong::<SHARED>(held, Op::Drop, Some(site));
        let value = std();
        if value.is_some() {
            // No limit refuses it: it completes an event that was emitted.
            note::<SHARED>(entry, handle, Op::IntoInner, site, true);
        }
        unpin::<SHARED>(entry);
        value
    }

    /// `make_mut` moved to a new allocation: the old object loses this handle, a new one is made.
    #[cold]
    #[track_caller]
    pub(crate) fn copied(&mut self, ty: &'static Type, value: Value) {
        let site = Location::caller();
        let old = self.0.take().and_then(|ticket| {
            let held = hold(ticket, Side::Strong)?;
            let id = HandleId::new(ObjectId(held.entry.id()), held.place.number());
            end_strong::<SHARED>(held, Op::Drop, Some(site));
            Some(id)
        });
        if !dispatch::idle() {
            self.0 = open(ty, value, Op::CopyOnWrite, old, site);
        }
    }

    /// The handle becomes std's pointer, to the value at an address.
    #[track_caller]
    pub(crate) fn into_std(mut self, at: Option<(Kind, usize)>) {
        let Some(at) = at else { return self.end(Op::IntoStd) };
        if let Some(held) = self.0.take().and_then(|ticket| hold(ticket, Side::Strong)) {
            to_std::<SHARED>(held, at, Location::caller());
        }
    }

    /// A pointer of std's becomes a handle: of the object that it left as one, if that is known, or of a new one. `strong` is
    /// std's count.
    #[track_caller]
    pub(crate) fn from_std(
        ty: &'static Type,
        value: Value,
        at: Option<(Kind, usize)>,
        strong: impl FnOnce() -> usize,
    ) -> Self {
        if LEDGER.none_departed() {
            return Self::birth(ty, value, Op::FromStd);
        }
        let site = Location::caller();
        match at.and_then(|at| of_std::<SHARED>(at, strong(), site)) {
            Some(ticket) => Self(Some(ticket)),
            None => Self::birth(ty, value, Op::FromStd),
        }
    }

    /// The handle becomes the raw pointer `address`, `op` saying how. `strong` is std's count.
    #[inline]
    #[track_caller]
    pub(crate) fn into_raw(
        mut self,
        at: Option<(Kind, usize)>,
        op: Op,
        strong: impl FnOnce() -> usize,
    ) {
        let Some(at) = at else { return self.end(Op::IntoStd) };
        match self.0.take().and_then(|ticket| hold(ticket, Side::Strong)) {
            Some(held) => register_raw::<SHARED>(held, Side::Strong, op, at, Location::caller()),
            None => register_stranger(Side::Strong, at, strong()),
        }
    }

    /// The handle comes from a raw pointer; `std` is std's pointer that was made of it.
    #[inline]
    #[track_caller]
    pub(crate) fn from_raw(at: Option<(Kind, usize)>, std: usize) -> Self {
        let site = Location::caller();
        Self(at.and_then(|at| claim_raw::<SHARED>(Side::Strong, Op::FromRaw, at, std, Some(site))))
    }

    /// As [`from_raw`](Self::from_raw), where no line of the program's asks for it: on the line that allocated the object.
    pub(crate) fn lent(at: Option<(Kind, usize)>, std: usize) -> Self {
        Self(at.and_then(|at| claim_raw::<SHARED>(Side::Strong, Op::FromRaw, at, std, None)))
    }

    /// What was [`lent`](Self::lent) becomes the raw pointer again.
    pub(crate) fn give_back(mut self, at: Option<(Kind, usize)>, strong: impl FnOnce() -> usize) {
        let Some(at) = at else { return self.end(Op::IntoStd) };
        match self.0.take().and_then(|ticket| hold(ticket, Side::Strong)) {
            Some(held) => {
                let site = held.entry.object().location;
                register_raw::<SHARED>(held, Side::Strong, Op::IntoRaw, at, site);
            }
            None => register_stranger(Side::Strong, at, strong()),
        }
    }

    /// One more raw handle: a clone that becomes raw at once. Stands after std's.
    #[track_caller]
    pub(crate) fn increment(at: Option<(Kind, usize)>) {
        let site = Location::caller();
        let Some(at) = at.filter(|_| !LEDGER.no_raws()) else { return };
        if let Some((entry, parent)) = pin_raw::<SHARED>(|raw| raw.find(at, Side::Strong)) {
            let (how, op) = (CloneOfReturned::HOW, CloneOfReturned::OP);
            let (std, span) = (StdWord::LATER, span::current());
            let clone = make_any::<SHARED>(entry, parent, how, op, site, std, span);
            if let Some(held) = clone.and_then(|clone| hold(clone, Side::Strong)) {
                register_raw::<SHARED>(held, Side::Strong, Op::IntoRaw, at, site);
            }
            unpin::<SHARED>(entry);
        }
    }
}

impl<const SHARED: bool> Drop for Strong<SHARED> {
    #[inline]
    fn drop(&mut self) {
        #[inline(never)]
        fn traced<const SHARED: bool>(ticket: Ticket) {
            Strong::<SHARED>::end_traced(ticket);
        }
        // Untraced, nothing is written.
        if self.0.is_some()
            && let Some(ticket) = self.0.take()
        {
            traced::<SHARED>(ticket);
        }
    }
}

/// The identity of a weak handle.
pub(crate) struct Weak<const SHARED: bool>(Option<Ticket>);

impl<const SHARED: bool> Weak<SHARED> {
    /// A handle that is untraced, as that of no object is.
    pub(crate) const UNTRACED: Self = Self(None);

    /// An object that begins with a weak handle: `new_cyclic`'s, or one that came from std.
    #[track_caller]
    pub(crate) fn birth(ty: &'static Type, value: Value, op: Op) -> Self {
        Self::birth_at(ty, value, op, Location::caller())
    }

    /// The same, made on a line that is not the caller's.
    pub(crate) fn birth_at(ty: &'static Type, value: Value, op: Op, site: Caller) -> Self {
        if dispatch::idle() {
            return Self(None);
        }
        Self(open(ty, value, op, None, site))
    }

    /// A clone's identity. Stands after std's clone, which is `std`.
    #[inline]
    pub(crate) fn cloned(&self, site: Caller, std: StdWord) -> Self {
        #[inline(never)]
        fn traced<const SHARED: bool>(from: &Ticket, site: Caller, std: StdWord) -> Option<Ticket> {
            make_from::<SHARED, WeakClone>(from, Side::Weak, site, std)
        }
        match &self.0 {
            None => Self(None),
            Some(from) => Self(traced::<SHARED>(from, site, std)),
        }
    }

    /// A strong handle's identity. Stands after std's successful upgrade, which is `std`.
    #[inline]
    pub(crate) fn upgraded(&self, site: Caller, std: StdWord) -> Strong<SHARED> {
        #[inline(never)]
        fn traced<const SHARED: bool>(from: &Ticket, site: Caller, std: StdWord) -> Option<Ticket> {
            make_from::<SHARED, Upgrade>(from, Side::Weak, site, std)
        }
        match &self.0 {
            None => Strong(None),
            Some(from) => Strong(traced::<SHARED>(from, site, std)),
        }
    }

    /// std's upgrade found no value.
    #[inline]
    pub(crate) fn upgrade_failed(&self, site: Caller) {
        if let Some(ticket) = &self.0 {
            with::<SHARED, _>(ticket, Side::Weak, |entry, number| {
                note::<SHARED>(entry, number, Op::UpgradeFailed, site, false);
            });
        }
    }

    /// The handle becomes a pointer of std's.
    #[inline]
    #[track_caller]
    pub(crate) fn end(mut self, op: Op) {
        if let Some(held) = self.0.take().and_then(|ticket| hold(ticket, Side::Weak)) {
            end_weak::<SHARED>(held, op, Some(Location::caller()));
        }
    }

    /// The handle becomes a raw pointer.
    #[inline]
    #[track_caller]
    pub(crate) fn into_raw(mut self, at: (Kind, usize)) {
        match self.0.take().and_then(|ticket| hold(ticket, Side::Weak)) {
            Some(held) => {
                register_raw::<SHARED>(held, Side::Weak, Op::WeakIntoRaw, at, Location::caller());
            }
            None => register_stranger(Side::Weak, at, 0),
        }
    }

    /// The handle comes from a raw pointer; `std` is std's pointer that was made of it.
    #[inline]
    #[track_caller]
    pub(crate) fn from_raw(at: (Kind, usize), std: usize) -> Self {
        Self(claim_raw::<SHARED>(Side::Weak, Op::WeakFromRaw, at, std, Some(Location::caller())))
    }
}

impl<const SHARED: bool> Drop for Weak<SHARED> {
    #[inline]
    fn drop(&mut self) {
        #[inline(never)]
        fn traced<const SHARED: bool>(ticket: Ticket) {
            Weak::<SHARED>::end_traced(ticket);
        }
        if self.0.is_some()
            && let Some(ticket) = self.0.take()
        {
            traced::<SHARED>(ticket);
        }
    }
}

/// An identity as its ticket, which may stand for std's pointer: see [`repr`](crate::repr).
#[allow(dead_code)] // where it stands beside it
pub(crate) trait OfTicket {
    fn of(ticket: Option<Ticket>) -> Self;
    /// The ticket, whose handle has not ended.
    fn into_ticket(self) -> Option<Ticket>;
    /// The handle is dropped.
    fn end_traced(ticket: Ticket);
}

macro_rules! of_ticket {
    ($($Identity:ident: |$ticket:ident| $end:expr;)*) => {$(
        impl<const SHARED: bool> OfTicket for $Identity<SHARED> {
            #[inline(always)]
            fn of(ticket: Option<Ticket>) -> Self {
                Self(ticket)
            }

            #[inline(always)]
            fn into_ticket(mut self) -> Option<Ticket> {
                self.0.take()
            }

            #[inline(always)]
            fn end_traced($ticket: Ticket) {
                $end
            }
        }
    )*};
}

of_ticket! {
    Strong: |ticket| if ticket.is_returned() {
        drop_returned::<SHARED>(ticket);
    } else {
        drop_strong::<SHARED>(Held::new(ticket));
    };
    Weak: |ticket| if let Some(held) = hold(ticket, Side::Weak) {
        end_weak::<SHARED>(held, Op::WeakDrop, None);
    };
}
