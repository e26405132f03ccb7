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
use crate::ledger::{At, Ledger, Side, Step, Ticket};
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
    /// The sequence number of the first event, and above it the bits `ENV` and `ADOPTED`.
    first: u64,
    label: AtomicU32,
    size: Size,
}

// (loom's `Arc` is larger.)
const _: () = assert!(size_of::<Meta>() <= 40 + size_of::<Arc<Bound>>());

/// Bound to the global sink that the environment asked for, not to the one from code.
const ENV: u64 = 1 << 63;
/// Came from std's pointer, so that another object may stand for the same allocation.
const ADOPTED: u64 = 1 << 62;

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
        self.first & !(ENV | ADOPTED)
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
    let adopted = if matches!(op, Op::FromStd | Op::WeakFromStd) { ADOPTED } else { 0 };
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
            first: first | env | adopted,
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
    let Some(ticket) = LEDGER.settle(ticket, Side::Strong) else { return };
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
    let Some(ticket) = LEDGER.settle(ticket, Side::Weak) else { return };
    let step = LEDGER.drop_weak::<SHARED>(&ticket);
    Fact { op, handle: ticket.birth(), from: None, step, site }.tell(LEDGER.at(&ticket));
    drop(LEDGER.unpin::<SHARED>(ticket.into_pin()));
}

/// An event that makes no handle and ends none.
fn note<const SHARED: bool>(ticket: &Ticket, op: Op, site: Caller) {
    let handle = ticket.birth();
    LEDGER.with::<SHARED, _>(ticket, |at| {
        if let Some(step) = at.note::<SHARED>() {
            Fact { op, handle, from: None, step, site: Some(site) }.tell(at);
        }
    });
}

/// A handle made from `from`, by one of the ledger's operations.
#[inline]
fn make<const SHARED: bool>(
    from: &Ticket,
    op: Op,
    site: Caller,
    how: impl Fn(At<'_, Meta>) -> Option<(Ticket, Step)>,
) -> Option<Ticket> {
    LEDGER.with::<SHARED, _>(from, |at| make_at(at, from.birth(), op, site, how)).flatten()
}

#[inline]
fn make_at(
    at: At<'_, Meta>,
    from: u64,
    op: Op,
    site: Caller,
    how: impl Fn(At<'_, Meta>) -> Option<(Ticket, Step)>,
) -> Option<Ticket> {
    let (ticket, step) = how(at)?;
    let handle = ticket.birth();
    Fact { op, handle, from: Some(from), step, site: Some(site) }.tell(at);
    Some(ticket)
}

/// A handle leaves as a raw pointer.
fn to_raw<const SHARED: bool>(
    ticket: Option<Ticket>,
    side: Side,
    op: Op,
    address: usize,
    site: Caller,
) {
    let Some(ticket) = ticket.and_then(|ticket| LEDGER.settle(ticket, side)) else {
        return LEDGER.forget_address(address);
    };
    let handle = ticket.birth();
    let at = LEDGER.at(&ticket);
    // Told before it is in the table: a thread that is given its place tells of that later.
    if let Some(step) = at.note::<SHARED>() {
        Fact { op, handle, from: None, step, site: Some(site) }.tell(at);
    }
    let adopted = at.read(|meta| meta.first & ADOPTED != 0);
    LEDGER.go_raw(ticket, side, address, adopted);
}

/// A handle comes back from a raw pointer.
fn of_raw<const SHARED: bool>(side: Side, op: Op, address: usize, site: Caller) -> Option<Ticket> {
    let (pin, left, ticket, step) = LEDGER.come_back::<SHARED>(side, address)?;
    let fact = Fact { op, handle: ticket.birth(), from: Some(left), step, site: Some(site) };
    fact.tell(LEDGER.at_pin(&pin));
    drop(LEDGER.unpin::<SHARED>(pin));
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
        Self(from.and_then(|from| make::<SHARED>(from, Op::New, site, |at| at.upgrade::<SHARED>())))
    }

    /// A clone's identity. Stands after std's clone.
    #[inline]
    #[track_caller]
    pub(crate) fn cloned(&self) -> Self {
        #[inline(never)]
        fn traced<const SHARED: bool>(from: &Ticket, site: Caller) -> Option<Ticket> {
            if from.is_back() {
                return make::<SHARED>(from, Op::Clone, site, |at| at.upgrade::<SHARED>());
            }
            make::<SHARED>(from, Op::Clone, site, |at| at.clone_strong::<SHARED>())
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
            make::<SHARED>(from, Op::Downgrade, site, |at| at.clone_weak::<SHARED>())
        }
        match &self.0 {
            None => Weak(None),
            Some(from) => Weak(traced::<SHARED>(from, Location::caller())),
        }
    }

    /// Stands before an operation of std's that may free the memory before its own step here: a handle that
    /// came back from a raw pointer takes its place in the count while the address is surely its object's.
    #[inline]
    pub(crate) fn settle(&mut self) {
        if self.0.as_ref().is_some_and(Ticket::is_back) {
            self.0 = self.0.take().and_then(|ticket| LEDGER.settle(ticket, Side::Strong));
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
        let settle = |ticket| LEDGER.settle(ticket, Side::Strong);
        let Some(ticket) = self.0.take().and_then(settle) else { return std() };
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
        let old = self.0.take().and_then(|ticket| {
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
        to_raw::<SHARED>(self.0.take(), Side::Strong, op, address, Location::caller());
    }

    /// The handle comes back from the raw pointer `address`.
    #[inline]
    #[track_caller]
    pub(crate) fn from_raw(address: usize) -> Self {
        Self(of_raw::<SHARED>(Side::Strong, Op::FromRaw, address, Location::caller()))
    }

    /// One more raw handle at `address`: a clone that becomes raw at once. Stands after std's.
    #[track_caller]
    pub(crate) fn increment(address: usize) {
        let site = Location::caller();
        if let Some((pin, left)) = LEDGER.pin_address(Side::Strong, address) {
            let at = LEDGER.at_pin(&pin);
            let clone = make_at(at, left, Op::Clone, site, |at| at.upgrade::<SHARED>());
            if clone.is_some() {
                to_raw::<SHARED>(clone, Side::Strong, Op::IntoRaw, address, site);
            }
            drop(LEDGER.unpin::<SHARED>(pin));
        }
    }
}

impl<const SHARED: bool> Drop for Strong<SHARED> {
    #[inline]
    fn drop(&mut self) {
        #[inline(never)]
        fn traced<const SHARED: bool>(ticket: &mut Option<Ticket>) {
            if let Some(ticket) = ticket.take() {
                end_strong::<SHARED>(ticket, Op::Drop, None);
            }
        }
        // Untraced, nothing is written.
        if self.0.is_some() {
            traced::<SHARED>(&mut self.0);
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
            make::<SHARED>(from, Op::WeakClone, site, |at| at.clone_weak::<SHARED>())
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
            make::<SHARED>(from, Op::Upgrade, site, |at| at.upgrade::<SHARED>())
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
        let site = Location::caller();
        to_raw::<SHARED>(self.0.take(), Side::Weak, Op::WeakIntoRaw, address, site);
    }

    /// The handle comes back from the raw pointer `address`.
    #[inline]
    #[track_caller]
    pub(crate) fn from_raw(address: usize) -> Self {
        Self(of_raw::<SHARED>(Side::Weak, Op::WeakFromRaw, address, Location::caller()))
    }
}

impl<const SHARED: bool> Drop for Weak<SHARED> {
    #[inline]
    fn drop(&mut self) {
        #[inline(never)]
        fn traced<const SHARED: bool>(ticket: &mut Option<Ticket>) {
            if let Some(ticket) = ticket.take() {
                end_weak::<SHARED>(ticket, Op::WeakDrop, None);
            }
        }
        if self.0.is_some() {
            traced::<SHARED>(&mut self.0);
        }
    }
}

fn handle_id(ticket: &Ticket) -> Option<HandleId> {
    let number = |meta: &Meta| ticket.birth().wrapping_sub(meta.first()) + 1;
    let id = |meta: &Meta| HandleId::new(ObjectId(meta.id), number(meta));
    LEDGER.with::<true, _>(ticket, |at| at.read(id))
}

/// What can be asked of a handle's identity without changing anything but the label.
///
/// A face answers [`crate::holders()`] and its kin through this.
#[derive(Clone, Copy)]
pub(crate) struct Identity<'a>(Option<&'a Ticket>);

impl<'a, const SHARED: bool> From<&'a Strong<SHARED>> for Identity<'a> {
    fn from(strong: &'a Strong<SHARED>) -> Self {
        Self(strong.0.as_ref())
    }
}

impl<'a, const SHARED: bool> From<&'a Weak<SHARED>> for Identity<'a> {
    fn from(weak: &'a Weak<SHARED>) -> Self {
        Self(weak.0.as_ref())
    }
}

impl Identity<'_> {
    /// What the ledger and the object's sink know. None: untraced.
    pub(crate) fn known(self) -> Option<Known> {
        let ticket = self.0?;
        LEDGER.with::<true, _>(ticket, |at| {
            let step = at.now();
            at.read(|meta| {
                let object = meta.object();
                let ask = |bound| dispatch::ask(bound, |sink| sink.handles(object.id)).flatten();
                let first = meta.first();
                Known {
                    object,
                    handle: HandleId::new(object.id, ticket.birth().wrapping_sub(first) + 1),
                    events: step.seq.wrapping_sub(first) + 1,
                    strong: step.strong,
                    withheld: at.withheld(),
                    handles: meta.bound().and_then(ask),
                }
            })
        })
    }

    /// Watches the object: see [`WatchedEntry`].
    pub(crate) fn watched(self) -> Option<WatchedEntry> {
        let watch = |at: At<'_, Meta>| {
            let id = at.read(|meta| meta.id);
            WatchedEntry { slot: at.watch(id), id }
        };
        LEDGER.with::<true, _>(self.0?, watch)
    }

    /// Marks the object as one that is meant to stay.
    #[track_caller]
    pub(crate) fn allow(self) {
        if let Some(ticket) = self.0 {
            note::<true>(ticket, Op::Allow, Location::caller());
        }
    }

    /// Labels the object.
    #[track_caller]
    pub(crate) fn label(self, text: &str) {
        let Some(ticket) = self.0 else { return };
        let label = Label::intern(text);
        LEDGER.with::<true, _>(ticket, |at| {
            at.read(|meta| meta.label.store(label.0, Ordering::Relaxed));
        });
        // By a read-modify-write for every kind: a box may be labelled by two threads that share it.
        note::<true>(ticket, Op::Label, Location::caller());
    }
}

/// An object, known by its place in the ledger alone: nothing is kept by it.
#[derive(Debug)]
pub(crate) struct WatchedEntry {
    slot: u32,
    id: u64,
}

impl WatchedEntry {
    /// The traced strong handles; 0 when the entry has ended.
    pub(crate) fn strong(&self) -> u32 {
        LEDGER.watched(self.slot, self.id, |_, step| step.strong).unwrap_or(0)
    }

    /// What the object's sink knows of it.
    pub(crate) fn living(&self) -> Option<crate::model::LiveObject> {
        // The sink is asked outside of the ledger's lock.
        let binding = LEDGER.watched(self.slot, self.id, |meta, _| match &meta.scope {
            Some(scope) => Binding::Scoped(Arc::clone(scope)),
            None => Binding::Global { env: meta.first & ENV != 0 },
        })?;
        let bound = binding.bound()?;
        dispatch::ask(bound, |sink| sink.living(ObjectId(self.id))).flatten()
    }
}
