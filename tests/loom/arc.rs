//! std's `Arc` and `Weak`, as far as the protocol meets them: the same atomic operations in the same order,
//! on loom's atomics. And the pointer over them, field for field as `src/sync.rs` has it.

use crate::event::{Kind, Op, Type};
use crate::harness::born;
use crate::runtime::handle::{Identity, Strong, Value, Weak as WeakTicket};
use crate::runtime::ticket::StdWord;
use loom::cell::UnsafeCell;
use loom::sync::atomic::{AtomicBool, AtomicUsize, Ordering, fence};
use std::sync::Arc as Rust;

/// What std allocates: counts and a value. Weak handles hold one more share together with the strong ones.
pub(crate) struct Block {
    strong: AtomicUsize,
    weak: AtomicUsize,
    destroyed: AtomicBool,
    /// The value: whoever reads or writes it without an order is found.
    value: UnsafeCell<u32>,
}

impl Block {
    fn new(strong: usize) -> Self {
        Self {
            strong: AtomicUsize::new(strong),
            weak: AtomicUsize::new(1),
            destroyed: AtomicBool::new(false),
            value: UnsafeCell::new(0),
        }
    }
}

pub(crate) struct StdArc(Rust<Block>);
pub(crate) struct StdWeak(Rust<Block>);

impl StdArc {
    fn new() -> Self {
        Self(Rust::new(Block::new(1)))
    }

    /// The value is there: whoever holds this would see it.
    fn read(&self) {
        assert!(!self.0.destroyed.load(Ordering::Relaxed), "a living handle to a destroyed value");
        self.0.value.with(|_| ());
    }

    fn destroy(&self) {
        fence(Ordering::Acquire);
        assert!(!self.0.destroyed.swap(true, Ordering::Relaxed), "destroyed twice");
        self.0.value.with_mut(|_| ());
    }

    fn downgrade(&self) -> StdWeak {
        let mut seen = self.0.weak.load(Ordering::Relaxed);
        loop {
            if seen == usize::MAX {
                // `get_mut` has it for a moment.
                loom::thread::yield_now();
                seen = self.0.weak.load(Ordering::Relaxed);
                continue;
            }
            let one = (Ordering::Acquire, Ordering::Relaxed);
            match self.0.weak.compare_exchange_weak(seen, seen + 1, one.0, one.1) {
                Ok(_) => return StdWeak(self.0.clone()),
                Err(old) => seen = old,
            }
        }
    }

    /// Whether the value was for this handle alone, and has been written.
    fn get_mut(&mut self) -> bool {
        let weak = &self.0.weak;
        if weak.compare_exchange(1, usize::MAX, Ordering::Acquire, Ordering::Relaxed).is_err() {
            return false;
        }
        let unique = self.0.strong.load(Ordering::Acquire) == 1;
        weak.store(1, Ordering::Release);
        if unique {
            self.0.value.with_mut(|_| ());
        }
        unique
    }

    fn try_unwrap(self) -> Result<(), Self> {
        let one = self.0.strong.compare_exchange(1, 0, Ordering::Relaxed, Ordering::Relaxed);
        if one.is_err() {
            return Err(self);
        }
        self.destroy();
        std::mem::forget(self);
        Ok(())
    }

    fn into_inner(self) -> Option<()> {
        let last = self.0.strong.fetch_sub(1, Ordering::Release) == 1;
        if last {
            self.destroy();
        }
        std::mem::forget(self);
        last.then_some(())
    }

    /// Whether the handle had to move to a new block.
    fn make_mut(&mut self) -> bool {
        if self.0.strong.compare_exchange(1, 0, Ordering::Acquire, Ordering::Relaxed).is_err() {
            *self = Self::new();
            true
        } else if self.0.weak.load(Ordering::Relaxed) != 1 {
            self.0.destroyed.store(true, Ordering::Relaxed);
            let old = std::mem::replace(self, Self::new());
            std::mem::forget(old);
            true
        } else {
            self.0.strong.store(1, Ordering::Release);
            false
        }
    }
}

impl Clone for StdArc {
    fn clone(&self) -> Self {
        self.0.strong.fetch_add(1, Ordering::Relaxed);
        Self(self.0.clone())
    }
}

impl Drop for StdArc {
    fn drop(&mut self) {
        if self.0.strong.fetch_sub(1, Ordering::Release) == 1 {
            self.destroy();
        }
    }
}

impl StdWeak {
    fn upgrade(&self) -> Option<StdArc> {
        let more = |strong| (strong != 0).then(|| strong + 1);
        let done = self.0.strong.fetch_update(Ordering::Acquire, Ordering::Relaxed, more);
        done.is_ok().then(|| StdArc(self.0.clone()))
    }
}

impl Clone for StdWeak {
    fn clone(&self) -> Self {
        self.0.weak.fetch_add(1, Ordering::Relaxed);
        Self(self.0.clone())
    }
}

impl Drop for StdWeak {
    fn drop(&mut self) {
        self.0.weak.fetch_sub(1, Ordering::Release);
    }
}

fn value(block: &StdArc) -> Value {
    Value::at(Rust::as_ptr(&block.0))
}

fn at(block: &StdArc) -> Option<(Kind, usize)> {
    Some((Kind::Arc, Raw::address_of(block)))
}

/// The pointer: ticket first.
pub(crate) struct Arc {
    ticket: Strong<true>,
    inner: StdArc,
}

pub(crate) struct Weak {
    ticket: WeakTicket<true>,
    inner: StdWeak,
}

/// A handle as a raw pointer.
pub(crate) struct Raw(StdArc);

impl Raw {
    pub(crate) fn address(&self) -> usize {
        Self::address_of(&self.0)
    }

    fn address_of(block: &StdArc) -> usize {
        Rust::as_ptr(&block.0).addr()
    }
}

impl Arc {
    pub(crate) fn new() -> Self {
        let inner = StdArc::new();
        Self { ticket: born(|| Strong::birth(Type::arc::<Block>(), value(&inner), Op::New)), inner }
    }

    pub(crate) fn read(&self) {
        self.inner.read();
    }

    /// How many events there were, the ledger's count, and std's. They are of one moment where the next call
    /// says that there were no more events. std's count is read by a read-modify-write, which sees the last
    /// value, and with acquire, so that what a drop did to the ledger before it did std's is seen as well: a
    /// relaxed load may see std's count of long ago, and says nothing of a moment.
    pub(crate) fn counts(&self) -> (u64, u32, usize) {
        let status = Identity::from(&self.ticket).status().expect("models trace every object");
        (
            status.position.seq,
            status.position.strong,
            self.inner.0.strong.fetch_add(0, Ordering::Acquire),
        )
    }

    pub(crate) fn downgrade(&self) -> Weak {
        let inner = self.inner.downgrade();
        Weak {
            ticket: self.ticket.downgraded(std::panic::Location::caller(), StdWord::LATER),
            inner,
        }
    }

    pub(crate) fn try_unwrap(self) -> Result<(), Self> {
        let Self { mut ticket, inner } = self;
        ticket.resolve_raw();
        match inner.try_unwrap() {
            Ok(()) => {
                ticket.end(Op::MovedOut);
                Ok(())
            }
            Err(inner) => Err(Self { ticket, inner }),
        }
    }

    pub(crate) fn into_inner(self) -> Option<()> {
        let Self { ticket, inner } = self;
        ticket.into_inner(|| inner.into_inner())
    }

    pub(crate) fn get_mut(&mut self) -> bool {
        self.inner.get_mut()
    }

    /// The number of the object.
    pub(crate) fn id(&self) -> u64 {
        Identity::from(&self.ticket)
            .status()
            .expect("models trace every object")
            .object
            .id()
            .number()
    }

    pub(crate) fn is_traced(&self) -> bool {
        Identity::from(&self.ticket).status().is_some()
    }

    pub(crate) fn make_mut(&mut self) {
        self.ticket.resolve_raw();
        if self.inner.make_mut() {
            let value = value(&self.inner);
            born(|| self.ticket.copied(Type::arc::<Block>(), value));
        }
    }

    pub(crate) fn into_raw(self) -> Raw {
        let Self { ticket, inner } = self;
        ticket.into_raw(at(&inner), Op::IntoRaw, || inner.0.strong.load(Ordering::Relaxed));
        Raw(inner)
    }

    /// A raw pointer that std's `into_raw` gave: nobody sees it leave.
    pub(crate) fn as_std_raw(&self) -> Raw {
        Raw(self.inner.clone())
    }

    pub(crate) fn from_raw(raw: Raw) -> Self {
        let ticket = Strong::from_raw(at(&raw.0), 0);
        Self { ticket, inner: raw.0 }
    }

    /// As `from_raw` of a pointer that nobody saw leave, at an address that another object may have had.
    pub(crate) fn adopt_unseen(address: usize) {
        drop(Strong::<true>::from_raw(Some((Kind::Arc, address)), 0));
    }

    /// A view of a raw handle, which is not dropped.
    pub(crate) fn view(raw: &Raw) -> std::mem::ManuallyDrop<Self> {
        let ticket = Strong::from_raw(at(&raw.0), 0);
        std::mem::ManuallyDrop::new(Self { ticket, inner: StdArc(raw.0.0.clone()) })
    }

    /// As `increment_strong_count`.
    pub(crate) fn increment(raw: &Raw) -> Raw {
        let inner = raw.0.clone();
        Strong::<true>::increment(at(&raw.0));
        Raw(inner)
    }

    pub(crate) fn into_std(self) -> StdArc {
        let Self { ticket, inner } = self;
        ticket.into_std(at(&inner));
        inner
    }

    pub(crate) fn from_std(inner: StdArc) -> Self {
        Self {
            ticket: born(|| {
                let strong = || inner.0.strong.load(Ordering::Relaxed);
                Strong::from_std(Type::arc::<Block>(), value(&inner), at(&inner), strong)
            }),
            inner,
        }
    }

    #[track_caller]
    pub(crate) fn new_cyclic(make: impl FnOnce(&Weak)) -> Self {
        let announced =
            born(|| WeakTicket::birth(Type::arc::<Block>(), Value::unknown(1), Op::NewCyclic));
        let block = Rust::new(Block::new(0));
        let weak = Weak { ticket: announced, inner: StdWeak(block.clone()).clone() };
        make(&weak);
        let ticket = Strong::of_cyclic(&weak.ticket, std::panic::Location::caller());
        drop(weak);
        block.strong.store(1, Ordering::Release);
        Self { ticket, inner: StdArc(block) }
    }
}

impl Clone for Arc {
    fn clone(&self) -> Self {
        let inner = self.inner.clone();
        Self { ticket: self.ticket.cloned(std::panic::Location::caller(), StdWord::LATER), inner }
    }
}

impl Weak {
    pub(crate) fn upgrade(&self) -> Option<Arc> {
        match self.inner.upgrade() {
            Some(inner) => Some(Arc {
                ticket: self.ticket.upgraded(std::panic::Location::caller(), StdWord::LATER),
                inner,
            }),
            None => {
                self.ticket.upgrade_failed(std::panic::Location::caller());
                None
            }
        }
    }
}

impl Clone for Weak {
    fn clone(&self) -> Self {
        let inner = self.inner.clone();
        Self { ticket: self.ticket.cloned(std::panic::Location::caller(), StdWord::LATER), inner }
    }
}
