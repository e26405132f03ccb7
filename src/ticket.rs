//! A handle's identity, and the only place that emits events.
//!
//! A face keeps a [`Strong`] or a [`Weak`] beside std's pointer and tells it what it does. The drop is
//! here, on a type that is not generic over the pointee, and not on the faces: so the drop check treats
//! them as it treats std's pointers. `SHARED` says whether the owners may be on several threads.
//!
//! What each operation does, and on which side of std's it stands, is in the documentation of
//! [what refscope promises](crate::promises).

use crate::dispatch::{self, Binding, Bound, Turn};
use crate::event::{Event, HandleId, Label, Object, ObjectId, Op, Site, Size, Type};
use crate::holders::Known;
use crate::ledger::{At, Ledger, Step, Ticket};
use crate::primitive::{Arc, AtomicU64, Ordering, statics};
use std::panic::Location;
// Not loom's in a model: a label orders nothing.
use std::sync::atomic::AtomicU32;

statics! {
    /// The table of all living traced objects.
    pub(crate) static LEDGER: Ledger<Meta> = Ledger::new();

    /// The number of the next object.
    static NEXT: AtomicU64 = AtomicU64::new(1);
}

type Caller = &'static Location<'static>;

/// What the ledger keeps of an object: 48 bytes, so that an entry is one cache line.
pub(crate) struct Meta {
    ty: &'static Type,
    born: Caller,
    id: u64,
    /// The scope's sink. None: the global one.
    scope: Option<Arc<Bound>>,
    /// The sequence number of the first event, and above it the bit `ENV`.
    first: u64,
    label: AtomicU32,
    size: Size,
}

// (loom's `Arc` is larger.)
const _: () = assert!(size_of::<Meta>() <= 40 + size_of::<Arc<Bound>>());

/// Bound to the global sink that the environment asked for, not to the one from code.
const ENV: u64 = 1 << 63;

impl Meta {
    #[inline]
    fn object(&self) -> Object {
        Object {
            id: ObjectId(self.id),
            ty: self.ty,
            size: self.size,
            // Relaxed: a label is an index into a table that has a lock of its own.
            label: Label(self.label.load(Ordering::Relaxed)),
            born: Site::new(self.born),
        }
    }

    #[inline]
    fn first(&self) -> u64 {
        self.first & !ENV
    }

    /// The global sink that the object is bound to. None: a scope's.
    #[inline]
    fn global(&self) -> Option<Option<&'static Bound>> {
        self.scope.is_none().then(|| dispatch::global(self.first & ENV != 0))
    }

    #[inline]
    fn bound(&self) -> Option<&Bound> {
        match &self.scope {
            Some(scope) => Some(scope),
            None => dispatch::global(self.first & ENV != 0),
        }
    }
}

/// What happened, before it is known to whom: sequence numbers as the ledger has them.
struct Fact {
    op: Op,
    handle: u64,
    from: Option<u64>,
    step: Step,
    site: Option<Caller>,
}

impl Fact {
    /// The event, with numbers counted from the object's own beginning.
    #[inline]
    fn event(&self, object: Object, first: u64) -> Event {
        let own = |number: u64| number.wrapping_sub(first) + 1;
        Event {
            op: self.op,
            strong: self.step.strong,
            seq: own(self.step.seq),
            handle: own(self.handle),
            from: self.from.map_or(0, own),
            from_object: object.id,
            site: self.site.map(Site::new),
            object,
        }
    }

    /// Tells the sink of the object, whose entry something pins.
    #[inline]
    fn tell(&self, at: At<'_, Meta>) {
        match dispatch::turn() {
            Some(turn) => self.tell_in(&turn, at),
            None => at.withhold(),
        }
    }

    #[inline]
    fn tell_in(&self, turn: &Turn, at: At<'_, Meta>) {
        at.read(|meta| {
            if let Some(bound) = meta.bound() {
                bound.deliver(turn, &self.event(meta.object(), meta.first()));
            }
        });
    }
}

/// Opens an entry for a new object if a sink wants it, and tells of the first event.
fn open(
    ty: &'static Type,
    size: usize,
    op: Op,
    from: Option<HandleId>,
    site: Caller,
) -> Option<Ticket> {
    let size = Size::new(size);
    let born = Site::new(site);
    let mut object = Object { id: ObjectId(0), ty, size, label: Label::default(), born };
    let binding = dispatch::bind(&mut object, &NEXT)?;
    let meta = |first| {
        let (scope, env) = match binding {
            Binding::Scoped(scope) => (Some(scope), 0),
            Binding::Global { env } => (None, if env { ENV } else { 0 }),
        };
        Meta {
            ty,
            born: site,
            id: object.id.0,
            scope,
            first: first | env,
            label: AtomicU32::new(0),
            size,
        }
    };
    let (ticket, step) = match op {
        Op::NewCyclic | Op::WeakFromStd => LEDGER.birth_cyclic(meta),
        _ => LEDGER.birth(meta),
    }?;
    // The first event, of the first handle, made from nothing or from another object's.
    let event = Event {
        op,
        strong: step.strong,
        seq: 1,
        handle: 1,
        from: from.map_or(0, HandleId::number),
        from_object: from.map_or(object.id, HandleId::object),
        site: Some(born),
        object,
    };
    let at = LEDGER.at(&ticket);
    match dispatch::turn() {
        Some(turn) => at.read(|meta| {
            if let Some(bound) = meta.bound() {
                bound.deliver(&turn, &event);
            }
        }),
        None => at.withhold(),
    }
    Some(ticket)
}

/// The end of a strong handle, whichever way.
///
/// After its step nothing pins the entry, unless the handle was the last. So what its event needs is
/// taken before, or the entry is pinned: a global sink is never freed, and costs nothing to keep.
#[inline(never)]
fn end_strong<const SHARED: bool>(ticket: Ticket, op: Op, site: Option<Caller>) {
    let handle = ticket.birth();
    let ending = LEDGER.ending(ticket);
    let fact = |step| Fact { op, handle, from: None, step, site };
    let last = match dispatch::turn() {
        None => {
            ending.at().withhold();
            ending.drop_strong::<SHARED>().1
        }
        Some(turn) => {
            let global =
                |meta: &Meta| meta.global().map(|bound| (bound, meta.object(), meta.first()));
            if let Some((bound, object, first)) = ending.at().read(global) {
                let (step, last) = ending.drop_strong::<SHARED>();
                if let Some(bound) = bound {
                    bound.deliver(&turn, &fact(step).event(object, first));
                }
                last
            } else {
                let pin = ending.at().pin::<SHARED>();
                let (step, last) = ending.drop_strong::<SHARED>();
                fact(step).tell_in(&turn, LEDGER.at_pin(&pin));
                drop(turn);
                drop(LEDGER.unpin::<SHARED>(pin));
                last
            }
        }
    };
    if let Some(pin) = last {
        drop(LEDGER.unpin::<SHARED>(pin));
    }
}

/// The end of a weak handle.
#[inline(never)]
fn end_weak<const SHARED: bool>(ticket: Ticket, op: Op, site: Option<Caller>) {
    let step = LEDGER.drop_weak::<SHARED>(&ticket);
    Fact { op, handle: ticket.birth(), from: None, step, site }.tell(LEDGER.at(&ticket));
    drop(LEDGER.unpin::<SHARED>(ticket.into_pin()));
}

/// An event that makes no handle and ends none.
fn note<const SHARED: bool>(ticket: &Ticket, op: Op, site: Caller) {
    let at = LEDGER.at(ticket);
    if let Some(step) = at.note::<SHARED>() {
        Fact { op, handle: ticket.birth(), from: None, step, site: Some(site) }.tell(at);
    }
}

/// A handle made from `from`, by one of the ledger's operations.
#[inline]
fn make<'a>(
    from: &'a Ticket,
    op: Op,
    site: Caller,
    how: impl FnOnce(At<'a, Meta>) -> Option<(Ticket, Step)>,
) -> Option<Ticket> {
    let at = LEDGER.at(from);
    let (ticket, step) = how(at)?;
    Fact { op, handle: ticket.birth(), from: Some(from.birth()), step, site: Some(site) }.tell(at);
    Some(ticket)
}

/// A handle leaves as a raw pointer. The entry stays pinned by the ticket that waits in the table.
fn to_raw<const SHARED: bool>(ticket: Option<Ticket>, op: Op, address: usize, site: Caller) {
    let Some(ticket) = ticket else {
        return LEDGER.forget_address(address);
    };
    let handle = ticket.birth();
    let (stays, step) = LEDGER.go_raw::<SHARED>(ticket, address);
    if let Some(step) = step {
        Fact { op, handle, from: None, step, site: Some(site) }.tell(LEDGER.at(&stays));
    }
}

/// A handle comes back from a raw pointer.
///
/// # Safety
///
/// As for `from_raw` of std's pointers.
unsafe fn of_raw<const SHARED: bool>(op: Op, address: usize, site: Caller) -> Option<Ticket> {
    // SAFETY: PINNED: the caller is owed a handle of the object at `address`.
    let (left, ticket, step) = unsafe { LEDGER.come_back::<SHARED>(address) }?;
    let fact =
        Fact { op, handle: ticket.birth(), from: Some(left.birth()), step, site: Some(site) };
    fact.tell(LEDGER.at(&ticket));
    Some(ticket)
}

/// The identity of a strong handle: eight bytes, none of which is used while the handle is untraced.
pub(crate) struct Strong<const SHARED: bool>(Option<Ticket>);

impl<const SHARED: bool> Strong<SHARED> {
    /// A handle that nothing is told of.
    pub(crate) const UNTRACED: Self = Self(None);

    /// A new object, if a sink wants it.
    #[inline]
    #[track_caller]
    pub(crate) fn birth(ty: &'static Type, size: usize, op: Op) -> Self {
        if dispatch::idle() {
            return Self(None);
        }
        Self(open(ty, size, op, None, Location::caller()))
    }

    /// The handle of an object that `new_cyclic` announced by a weak one.
    pub(crate) fn of_cyclic(weak: &Weak<SHARED>, site: Site) -> Self {
        let from = weak.0.as_ref();
        let site = site.location();
        Self(from.and_then(|from| make(from, Op::New, site, At::upgrade::<SHARED>)))
    }

    /// A clone's identity. Stands after std's clone.
    #[inline]
    #[track_caller]
    pub(crate) fn cloned(&self) -> Self {
        #[inline(never)]
        fn traced<const SHARED: bool>(from: &Ticket, site: Caller) -> Option<Ticket> {
            make(from, Op::Clone, site, At::clone_strong::<SHARED>)
        }
        match &self.0 {
            None => Self(None),
            Some(from) => Self(traced::<SHARED>(from, Location::caller())),
        }
    }

    /// A weak handle's identity. Stands after std's downgrade.
    #[inline]
    #[track_caller]
    pub(crate) fn downgraded(&self) -> Weak<SHARED> {
        #[inline(never)]
        fn traced<const SHARED: bool>(from: &Ticket, site: Caller) -> Option<Ticket> {
            make(from, Op::Downgrade, site, At::clone_weak::<SHARED>)
        }
        match &self.0 {
            None => Weak(None),
            Some(from) => Weak(traced::<SHARED>(from, Location::caller())),
        }
    }

    /// The handle ends by giving its value, or itself, away. Stands after std's success.
    #[inline]
    #[track_caller]
    pub(crate) fn end(mut self, op: Op) {
        if let Some(ticket) = self.0.take() {
            end_strong::<SHARED>(ticket, op, Some(Location::caller()));
        }
    }

    /// The handle ends, and `std` may give its value away. The drop's step stands before std's, so that
    /// the traced count is never above it.
    #[track_caller]
    pub(crate) fn into_inner<T>(mut self, std: impl FnOnce() -> Option<T>) -> Option<T> {
        let Some(ticket) = self.0.take() else { return std() };
        let site = Location::caller();
        let handle = ticket.birth();
        let pin = LEDGER.at(&ticket).pin::<SHARED>();
        end_strong::<SHARED>(ticket, Op::Drop, Some(site));
        let value = std();
        if value.is_some() {
            let at = LEDGER.at_pin(&pin);
            let step = at.note_always::<SHARED>();
            Fact { op: Op::IntoInner, handle, from: None, step, site: Some(site) }.tell(at);
        }
        drop(LEDGER.unpin::<SHARED>(pin));
        value
    }

    /// `make_mut` moved to a new allocation: the old object loses this handle, a new one is born.
    #[cold]
    #[track_caller]
    pub(crate) fn copied(&mut self, ty: &'static Type, size: usize) {
        let site = Location::caller();
        let old = self.0.take().map(|ticket| {
            let id = handle_id(&ticket);
            end_strong::<SHARED>(ticket, Op::Drop, Some(site));
            id
        });
        if !dispatch::idle() {
            self.0 = open(ty, size, Op::CopyOnWrite, old, site);
        }
    }

    /// The handle leaves as the raw pointer `address`, `op` saying how.
    #[inline]
    #[track_caller]
    pub(crate) fn into_raw(mut self, address: usize, op: Op) {
        to_raw::<SHARED>(self.0.take(), op, address, Location::caller());
    }

    /// The handle comes back from the raw pointer `address`.
    ///
    /// # Safety
    ///
    /// As for `from_raw` of std's pointers.
    #[inline]
    #[track_caller]
    pub(crate) unsafe fn from_raw(address: usize) -> Self {
        // SAFETY: PINNED: passed on to the caller.
        Self(unsafe { of_raw::<SHARED>(Op::FromRaw, address, Location::caller()) })
    }

    /// One more raw handle at `address`: a clone that becomes raw at once. Stands after std's.
    ///
    /// # Safety
    ///
    /// As for `increment_strong_count` of std's pointers.
    #[track_caller]
    pub(crate) unsafe fn increment(address: usize) {
        let site = Location::caller();
        // SAFETY: PINNED: passed on to the caller.
        if let Some(left) = unsafe { LEDGER.raw_ticket(address) } {
            let clone = make(&left, Op::Clone, site, At::clone_strong::<SHARED>);
            if clone.is_some() {
                to_raw::<SHARED>(clone, Op::IntoRaw, address, site);
            }
        }
    }
}

impl<const SHARED: bool> Drop for Strong<SHARED> {
    #[inline]
    fn drop(&mut self) {
        if let Some(ticket) = self.0.take() {
            end_strong::<SHARED>(ticket, Op::Drop, None);
        }
    }
}

/// The identity of a weak handle.
pub(crate) struct Weak<const SHARED: bool>(Option<Ticket>);

impl<const SHARED: bool> Weak<SHARED> {
    /// A handle of no object.
    pub(crate) const DANGLING: Self = Self(None);

    /// An object that begins with a weak handle: `new_cyclic`'s, or one that came from std.
    #[track_caller]
    pub(crate) fn birth(ty: &'static Type, size: usize, op: Op) -> Self {
        if dispatch::idle() {
            return Self(None);
        }
        Self(open(ty, size, op, None, Location::caller()))
    }

    /// A clone's identity. Stands after std's clone.
    #[inline]
    #[track_caller]
    pub(crate) fn cloned(&self) -> Self {
        #[inline(never)]
        fn traced<const SHARED: bool>(from: &Ticket, site: Caller) -> Option<Ticket> {
            make(from, Op::WeakClone, site, At::clone_weak::<SHARED>)
        }
        match &self.0 {
            None => Self(None),
            Some(from) => Self(traced::<SHARED>(from, Location::caller())),
        }
    }

    /// A strong handle's identity. Stands after std's successful upgrade.
    #[inline]
    #[track_caller]
    pub(crate) fn upgraded(&self) -> Strong<SHARED> {
        #[inline(never)]
        fn traced<const SHARED: bool>(from: &Ticket, site: Caller) -> Option<Ticket> {
            make(from, Op::Upgrade, site, At::upgrade::<SHARED>)
        }
        match &self.0 {
            None => Strong(None),
            Some(from) => Strong(traced::<SHARED>(from, Location::caller())),
        }
    }

    /// std's upgrade found no value.
    #[inline]
    #[track_caller]
    pub(crate) fn upgrade_failed(&self) {
        if let Some(ticket) = &self.0 {
            note::<SHARED>(ticket, Op::UpgradeFailed, Location::caller());
        }
    }

    /// The handle becomes a pointer of std's.
    #[inline]
    #[track_caller]
    pub(crate) fn end(mut self, op: Op) {
        if let Some(ticket) = self.0.take() {
            end_weak::<SHARED>(ticket, op, Some(Location::caller()));
        }
    }

    /// The handle leaves as the raw pointer `address`.
    #[inline]
    #[track_caller]
    pub(crate) fn into_raw(mut self, address: usize) {
        to_raw::<SHARED>(self.0.take(), Op::WeakIntoRaw, address, Location::caller());
    }

    /// The handle comes back from the raw pointer `address`.
    ///
    /// # Safety
    ///
    /// As for `from_raw` of std's pointers.
    #[inline]
    #[track_caller]
    pub(crate) unsafe fn from_raw(address: usize) -> Self {
        // SAFETY: PINNED: passed on to the caller.
        Self(unsafe { of_raw::<SHARED>(Op::WeakFromRaw, address, Location::caller()) })
    }
}

impl<const SHARED: bool> Drop for Weak<SHARED> {
    #[inline]
    fn drop(&mut self) {
        if let Some(ticket) = self.0.take() {
            end_weak::<SHARED>(ticket, Op::WeakDrop, None);
        }
    }
}

fn handle_id(ticket: &Ticket) -> HandleId {
    let number = |meta: &Meta| ticket.birth().wrapping_sub(meta.first()) + 1;
    LEDGER.at(ticket).read(|meta| HandleId::new(ObjectId(meta.id), number(meta)))
}

/// What can be asked of a handle's identity without changing anything but the label.
///
/// A face answers [`crate::holders()`] and its kin through this.
#[derive(Clone, Copy)]
pub(crate) struct Identity<'a>(Option<(&'a Ticket, bool)>);

impl<'a, const SHARED: bool> From<&'a Strong<SHARED>> for Identity<'a> {
    fn from(strong: &'a Strong<SHARED>) -> Self {
        Self(strong.0.as_ref().map(|ticket| (ticket, SHARED)))
    }
}

impl<'a, const SHARED: bool> From<&'a Weak<SHARED>> for Identity<'a> {
    fn from(weak: &'a Weak<SHARED>) -> Self {
        Self(weak.0.as_ref().map(|ticket| (ticket, SHARED)))
    }
}

impl Identity<'_> {
    /// What the ledger and the object's sink know. None: untraced.
    pub(crate) fn known(self) -> Option<Known> {
        let (ticket, _) = self.0?;
        let at = LEDGER.at(ticket);
        let step = at.now();
        at.read(|meta| {
            let object = meta.object();
            let ask = |bound| dispatch::ask(bound, |sink| sink.handles(object.id)).flatten();
            Some(Known {
                object,
                handle: handle_id(ticket),
                events: step.seq.wrapping_sub(meta.first()) + 1,
                strong: step.strong,
                withheld: at.withheld(),
                handles: meta.bound().and_then(ask),
            })
        })
    }

    /// Labels the object.
    #[track_caller]
    pub(crate) fn label(self, text: &str) {
        let Some((ticket, shared)) = self.0 else { return };
        let label = Label::intern(text);
        LEDGER.at(ticket).read(|meta| meta.label.store(label.0, Ordering::Relaxed));
        let site = Location::caller();
        if shared {
            note::<true>(ticket, Op::Label, site);
        } else {
            note::<false>(ticket, Op::Label, site);
        }
    }
}
