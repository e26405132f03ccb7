//! Taking the caller's stack: by frame pointers where they have been seen to be right, else by the unwinder.

mod bounds;
mod memory;
mod modules;
mod resolve;
mod table;
#[cfg(feature = "stacks")]
mod tables;
mod walk;

pub(super) use modules::Modules;
#[cfg(refscope_search)]
pub(crate) use modules::{each_loaded, segments};
pub(super) use resolve::Resolver;
pub use table::TableStats;

use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use table::{CONFIRMED, MISLEADING, Table};
use walk::{Hash, Registers, by_frame_pointers, registers};

/// See [`own_statics`](super::own_statics).
#[allow(dead_code)] // where the memory can be searched
pub(crate) fn own_statics() -> impl Iterator<Item = std::ops::Range<usize>> {
    #[cfg(feature = "stacks")]
    {
        tables::own_statics().into_iter()
    }
    #[cfg(not(feature = "stacks"))]
    {
        std::iter::empty()
    }
}

/// Frames that a stack has at most.
pub(crate) const MAX_DEPTH: usize = 64;

static TABLE: Table = Table::new();

/// Whether frame pointers are tried. Where they are wrong too often the attempt is not worth its time.
static TRY_FRAME_POINTERS: AtomicBool = AtomicBool::new(true);
static CONFIRMATIONS: AtomicU32 = AtomicU32::new(0);
static DISAPPOINTMENTS: AtomicU32 = AtomicU32::new(0);

/// Wrong chains after which frame pointers are given up, if they are more than the right ones.
const PATIENCE: u32 = 64;

/// Takes the stack of whoever calls this, `depth` frames at most and [`MAX_DEPTH`] in any case, and returns its id: the
/// same for the same stack. 0 where none can be had, or the table is full.
///
/// # Frame pointers that can be trusted
///
/// Most programs have none, or have them in some crates only; a chain of them then leads nowhere, or leaves callers out.
/// So each distinct chain, when it is first seen, is compared with what the unwinder says, and is kept as right or as
/// misleading; later walks that give it need only look it up. A function without a frame pointer cannot hide behind a
/// chain that was right: what it calls has a return address into it, and the first chain with that address is found to
/// lack its caller.
#[inline]
pub(crate) fn record(depth: usize) -> u32 {
    // Room for as many as are asked for: clearing it is a good part of the time.
    match depth {
        0..=16 => record_in::<16>(depth),
        17..=32 => record_in::<32>(depth),
        _ => record_in::<MAX_DEPTH>(depth),
    }
}

#[inline(never)]
fn record_in<const ROOM: usize>(depth: usize) -> u32 {
    let registers = registers!();
    let mut frames = [0; ROOM];
    let depth = depth.min(ROOM);
    // Relaxed, here and below: these flags and counters choose a way, and guard no memory.
    if TRY_FRAME_POINTERS.load(Ordering::Relaxed) {
        let (len, hash) = by_frame_pointers(registers, &mut frames[..depth]);
        match TABLE.find(hash, &frames[..len]) {
            Some((id, flags)) if flags & CONFIRMED != 0 => return id,
            Some((_, flags)) if flags & MISLEADING != 0 => {}
            _ => return first_sight(registers, &frames[..len], hash, depth),
        }
    }
    unwound(registers, &mut frames[..depth])
}

/// A chain of frame pointers that was not seen before: is it right?
#[cold]
#[inline(never)]
fn first_sight(registers: Registers, chain: &[usize], hash: u64, depth: usize) -> u32 {
    let mut frames = [0; MAX_DEPTH];
    let len = unwind(registers, &mut frames[..depth]);
    let frames = &frames[..len];
    if len > 0 && agrees(chain, frames) {
        CONFIRMATIONS.fetch_add(1, Ordering::Relaxed);
        return TABLE.intern(hash, chain, CONFIRMED).unwrap_or(0);
    }
    let wrong = DISAPPOINTMENTS.fetch_add(1, Ordering::Relaxed) + 1;
    if wrong >= PATIENCE && wrong > CONFIRMATIONS.load(Ordering::Relaxed) {
        TRY_FRAME_POINTERS.store(false, Ordering::Relaxed);
    }
    TABLE.intern(hash, chain, MISLEADING);
    keep(frames)
}

/// Whether a chain of frame pointers is what the unwinder has found. It may end early where nothing but the C library's
/// start of a thread follows, which has no frame pointers.
fn agrees(chain: &[usize], unwound: &[usize]) -> bool {
    let Some(rest) = unwound.strip_prefix(chain).filter(|_| !chain.is_empty()) else {
        return false;
    };
    // What is left out must be the same for each stack that ends so, or two of them would be taken for one.
    let [between @ .., _start] = rest else { return true };
    let elsewhere = |&address: &usize| !modules::is_own(address);
    rest.len() <= 3 && chain.last().is_some_and(elsewhere) && between.iter().all(elsewhere)
}

fn unwound(registers: Registers, frames: &mut [usize]) -> u32 {
    let len = unwind(registers, frames);
    keep(&frames[..len])
}

fn keep(frames: &[usize]) -> u32 {
    if frames.is_empty() {
        return 0;
    }
    TABLE.intern(Hash::of(frames), frames, 0).unwrap_or(0)
}

fn unwind(registers: Registers, frames: &mut [usize]) -> usize {
    #[cfg(feature = "stacks")]
    if let Some(len) = tables::by_unwind_tables(registers, frames) {
        return len;
    }
    walk::by_system_unwinder(registers, frames)
}

/// Returns the return addresses of a stack that [`record`] gave the id, the innermost first.
pub(super) fn addresses(id: u32) -> &'static [usize] {
    TABLE.frames(id)
}

/// How stacks are taken in this process, and how many there are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Stats {
    /// The table that keeps them.
    pub table: TableStats,
    /// Chains of frame pointers that were compared with the unwinder's stack and found right.
    pub confirmed: u32,
    /// Chains that were found wrong, so that the unwinder is asked there.
    pub misleading: u32,
    /// Whether frame pointers are still tried.
    pub frame_pointers: bool,
}

/// Returns how many stacks are kept, and how they were taken.
pub(super) fn stats() -> Stats {
    Stats {
        table: TABLE.stats(),
        confirmed: CONFIRMATIONS.load(Ordering::Relaxed),
        misleading: DISAPPOINTMENTS.load(Ordering::Relaxed),
        frame_pointers: TRY_FRAME_POINTERS.load(Ordering::Relaxed),
    }
}
