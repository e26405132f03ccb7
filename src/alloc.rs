//! [`Alloc`]: an allocator that knows its living blocks.
//!
//! ```text
//!  address   17 bits: which gigabyte │ 27 bits: which granule │ 3       (18 on AArch64)
//!              │                        │
//!  TABLE ──► map of the gigabyte ──► one byte for each 8 bytes of memory: 0, or a block's length where one starts
//! ```
//!
//! A block's bytes in the map are written by whoever has the block, and by nobody else: a plain store, without a lock, a
//! read-modify-write, or anything that two threads share.
//!
//! What a block held is cleared when it ends, once something is traced. In memory that no map knows of, a search cannot tell an old copy of a pointer from
//! one in a block of C's, so that old copies would keep cycles from being proven.
//!
//! # Invariants
//!
//! * **OWN**: a granule belongs to the one living block that starts in it or covers it. A block that is shorter than a granule,
//!   beside which another one may start, is not in the map: there is no room for a handle in it. So a block, and the bytes of its
//!   granules, are its owner's alone, from before it is handed out until after it was taken back.
//! * **FOREVER**: a gigabyte's map is neither moved nor freed.

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicBool, AtomicPtr, AtomicU8, AtomicU64, Ordering};

/// A wrapper of a global allocator that knows its living blocks, so that [`locate`](crate::locate) can name what a handle
/// in one is held by.
///
/// On Linux with glibc's allocator it is hardly needed: there its heap is walked. It is where another one is used, or none
/// of whose blocks are found.
///
/// Once something is traced, a block of at most 64 KiB is cleared when it is released, and one that is resized is moved: old copies
/// of pointers in freed memory would keep a cycle from being [proven](crate::locate#what-a-grade-says).
///
/// A pair of allocation and release takes some 3 ns more (in one run 11 and 14 ns), with a million other blocks alive some 6
/// (315 and 321 ns), and with two threads at it 2 (25 and 27 ns): threads share nothing. (`cargo bench --bench locate`, on two
/// processors with other work on them.) The map takes an eighth of the memory that blocks were in, at most.
///
/// On systems that cannot be searched it does nothing but pass on.
///
/// # Examples
///
/// ```
/// #[global_allocator]
/// static ALLOC: refscope::Alloc = refscope::Alloc::new();
/// # fn main() {}
/// ```
///
/// Around another allocator: `refscope::Alloc::wrap(MiMalloc)`.
#[derive(Clone, Copy, Debug, Default)]
pub struct Alloc<A = System> {
    inner: A,
}

impl Alloc {
    /// Creates a wrapper of the system's allocator.
    pub const fn new() -> Self {
        Self::wrap(System)
    }
}

impl<A> Alloc<A> {
    /// Creates a wrapper of an allocator.
    pub const fn wrap(inner: A) -> Self {
        Self { inner }
    }
}

impl<A: GlobalAlloc> Alloc<A> {
    /// Reallocates. The inner allocator might move the block itself, and leave what it held where it was.
    ///
    /// # Safety
    ///
    /// As [`GlobalAlloc::realloc`].
    #[inline]
    unsafe fn move_to(&self, block: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        // SAFETY: the caller's promise: with the size rounded up to the alignment, it is no overflow.
        let resized = unsafe { Layout::from_size_align_unchecked(size, layout.align()) };
        // SAFETY: the caller's promise: the size is not 0.
        let new = unsafe { self.alloc(resized) };
        if !new.is_null() {
            // SAFETY: OWN: two blocks, each of which has so many bytes.
            unsafe { new.copy_from_nonoverlapping(block, size.min(layout.size())) };
            // SAFETY: the caller's promise: the block is alive, and of this layout.
            unsafe { self.dealloc(block, layout) };
        }
        new
    }
}

const GIGABYTE: u32 = 30;
const GRANULE: u32 = 3;
/// Bytes of a gigabyte's map.
const MAP: usize = 1 << (GIGABYTE - GRANULE);
/// Bits of the addresses that systems give to a process that does not ask for more.
const ADDRESS: u32 = if cfg!(target_arch = "aarch64") { 48 } else { 47 };
/// Whether the memory can be searched.
const IS_SEARCHED: bool =
    cfg!(all(target_os = "linux", target_pointer_width = "64", feature = "trace"));
/// Gigabytes that an address can be in. None where nothing is searched.
const GIGABYTES: usize = if IS_SEARCHED { 1 << (ADDRESS - GIGABYTE) } else { 0 };

/// The largest block that is cleared when it ends: what is larger may have pages that nobody has touched.
const CLEARED: usize = 64 << 10;

/// Whether blocks are cleared.
static CLEARS: AtomicBool = AtomicBool::new(false);

/// Has blocks cleared that end from now on: pointers that are traced are in none that has ended before.
#[allow(dead_code)] // where nothing is traced
pub(crate) fn clear_from_now_on() {
    // Relaxed: what ends meanwhile may be left as it is.
    CLEARS.store(true, Ordering::Relaxed);
}

/// Whether a block of this size is to be cleared.
#[inline]
fn clears(size: usize) -> bool {
    IS_SEARCHED && size <= CLEARED && CLEARS.load(Ordering::Relaxed)
}

/// In place of the length of a block that has more granules: it stands in the four bytes behind.
const LONG: u8 = 255;

/// The maps.
static TABLE: [AtomicPtr<AtomicU8>; GIGABYTES] =
    [const { AtomicPtr::new(std::ptr::null_mut()) }; GIGABYTES];

/// Blocks that there was no room to note.
static MISSED: AtomicU64 = AtomicU64::new(0);

/// The first granule of a block, and how many there are. `None`: another block may start there as well.
#[inline]
fn granules(address: usize, size: usize) -> Option<(usize, usize)> {
    if size < 1 << GRANULE {
        return None;
    }
    let within = address & ((1 << GRANULE) - 1);
    Some((address >> GRANULE, (within + size).div_ceil(1 << GRANULE)))
}

/// The byte of a granule, with those behind it in its gigabyte.
#[inline]
fn bytes(granule: usize) -> Option<&'static [AtomicU8]> {
    // Acquire: pairs with the release in `make`, so that the map is all zeros.
    let map = TABLE.get(granule >> (GIGABYTE - GRANULE))?.load(Ordering::Acquire);
    if map.is_null() {
        return None;
    }
    // SAFETY: FOREVER: a gigabyte's map has so many bytes.
    let map = unsafe { std::slice::from_raw_parts(map, MAP) };
    Some(&map[granule & (MAP - 1)..])
}

/// Notes that a block is alive. Relaxed stores: OWN, and whoever gets the block from its owner sees what the owner did.
#[inline]
fn add(address: *mut u8, size: usize) {
    let Some((first, count)) = granules(address.addr(), size) else { return };
    let Some(bytes) = bytes(first).or_else(|| make(first)) else {
        MISSED.fetch_add(1, Ordering::Relaxed);
        return;
    };
    if count < LONG.into() {
        bytes[0].store(count as u8, Ordering::Relaxed);
    } else {
        add_long(bytes, count);
    }
}

fn add_long(bytes: &[AtomicU8], count: usize) {
    // A block at the end of a gigabyte, or of 32 GB.
    if bytes.len() < 5 || count > u32::MAX as usize {
        MISSED.fetch_add(1, Ordering::Relaxed);
        return;
    }
    bytes[0].store(LONG, Ordering::Relaxed);
    for (byte, part) in bytes[1..5].iter().zip((count as u32).to_le_bytes()) {
        byte.store(part, Ordering::Relaxed);
    }
}

/// Notes that a block ends. Before it does: afterwards the granules may be another's.
#[inline]
fn remove(address: *mut u8, size: usize) {
    let Some((first, count)) = granules(address.addr(), size) else { return };
    let Some(bytes) = bytes(first) else { return };
    bytes[0].store(0, Ordering::Relaxed);
    if count >= LONG.into() {
        bytes.iter().take(5).for_each(|byte| byte.store(0, Ordering::Relaxed));
    }
}

/// Makes the map of a granule's gigabyte.
#[cold]
fn make(granule: usize) -> Option<&'static [AtomicU8]> {
    #[cfg(all(target_os = "linux", target_pointer_width = "64", feature = "trace"))]
    {
        let slot = TABLE.get(granule >> (GIGABYTE - GRANULE))?;
        let access = libc::PROT_READ | libc::PROT_WRITE;
        let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_NORESERVE;
        // SAFETY: MAPPED: new memory, which nobody else knows.
        let map = unsafe { libc::mmap(std::ptr::null_mut(), MAP, access, flags, -1, 0) };
        if map == libc::MAP_FAILED {
            return None;
        }
        // Release: who sees the map sees its zeros. Acquire: or another thread's map.
        let exchange = slot.compare_exchange(
            std::ptr::null_mut(),
            map.cast(),
            Ordering::AcqRel,
            Ordering::Acquire,
        );
        if exchange.is_err() {
            // SAFETY: MAPPED: as above.
            unsafe { libc::munmap(map, MAP) };
        }
        bytes(granule)
    }
    #[cfg(not(all(target_os = "linux", target_pointer_width = "64", feature = "trace")))]
    {
        let _ = granule;
        None
    }
}

// SAFETY: each call is passed on as it is, and the map is memory of its own.
unsafe impl<A: GlobalAlloc> GlobalAlloc for Alloc<A> {
    #[inline]
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // SAFETY: the caller's promise is the inner allocator's.
        let block = unsafe { self.inner.alloc(layout) };
        if !block.is_null() {
            add(block, layout.size());
        }
        block
    }

    #[inline]
    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        // SAFETY: the caller's promise is the inner allocator's.
        let block = unsafe { self.inner.alloc_zeroed(layout) };
        if !block.is_null() {
            add(block, layout.size());
        }
        block
    }

    #[inline]
    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        remove(block, layout.size());
        if clears(layout.size()) {
            // SAFETY: OWN: nobody uses the block any more, and the inner allocator does not have it yet.
            unsafe { block.write_bytes(0, layout.size()) };
            // A compiler that knows what follows would leave out the writes.
            std::hint::black_box(block);
        }
        // SAFETY: the caller's promise is the inner allocator's.
        unsafe { self.inner.dealloc(block, layout) };
    }

    #[inline]
    unsafe fn realloc(&self, block: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        if clears(layout.size()) {
            // SAFETY: the caller's promise is the one that is asked for.
            return unsafe { self.move_to(block, layout, size) };
        }
        remove(block, layout.size());
        // SAFETY: the caller's promise is the inner allocator's.
        let new = unsafe { self.inner.realloc(block, layout, size) };
        if new.is_null() {
            add(block, layout.size());
        } else {
            add(new, size);
        }
        new
    }
}

/// What a search of the memory asks.
#[cfg(all(target_os = "linux", target_pointer_width = "64", feature = "trace"))]
pub(crate) mod map {
    use super::{GIGABYTE, GIGABYTES, GRANULE, LONG, MAP, MISSED, TABLE};
    use std::ops::Range;
    use std::sync::atomic::Ordering;

    /// Whether an [`Alloc`](super::Alloc) has noted a block.
    pub(crate) fn is_used() -> bool {
        TABLE.iter().any(|map| !map.load(Ordering::Acquire).is_null())
    }

    /// Blocks that are not in the map.
    pub(crate) fn missed() -> u64 {
        MISSED.load(Ordering::Relaxed)
    }

    /// The memory of the maps, and of the table of them, as `read` shows that.
    pub(crate) fn ranges(read: impl Fn(u64, &mut [u64]) -> usize) -> Vec<Range<u64>> {
        let table = TABLE.as_ptr_range();
        let maps = TABLE.iter().filter(|map| !map.load(Ordering::Acquire).is_null());
        let maps = maps.filter_map(|map| {
            let mut then = [0];
            let is_read = read(std::ptr::from_ref(map).addr() as u64, &mut then) == 1;
            (is_read && then[0] != 0).then(|| then[0]..then[0] + MAP as u64)
        });
        maps.chain(std::iter::once(table.start.addr() as u64..table.end.addr() as u64)).collect()
    }

    /// Calls `f` with address and length in words of each block that starts in `range`, as `read` shows the maps.
    pub(crate) fn blocks(
        range: Range<u64>,
        read: impl Fn(u64, &mut [u64]) -> usize,
        mut f: impl FnMut(u64, u64),
    ) {
        let mut words = vec![0; 1 << 13];
        // The bytes of a long one's length may stand in the next window.
        let window = 8 * (words.len() as u64 - 1);
        let mut granule = range.start >> GRANULE;
        let last = (range.end + 7) >> GRANULE;
        while granule < last {
            let gigabyte = granule >> (GIGABYTE - GRANULE);
            let end = last.min((gigabyte + 1) << (GIGABYTE - GRANULE));
            if gigabyte >= GIGABYTES as u64 {
                return;
            }
            let map = TABLE[gigabyte as usize].load(Ordering::Acquire).addr() as u64;
            if map == 0 {
                granule = end;
                continue;
            }
            let at = map + (granule & (MAP as u64 - 1));
            let (skip, until) = (at % 8, end.min(granule - at % 8 + window));
            // The length of a block at the end is five bytes.
            let needed = ((until - granule + skip) / 8 + 2).min(words.len() as u64);
            let read = read(at - skip, &mut words[..needed as usize]);
            let mut at = skip as usize;
            let byte = |at: usize| words[..read].get(at / 8).map(|word| word.to_le_bytes()[at % 8]);
            while granule < until {
                if at.is_multiple_of(8) && words[..read].get(at / 8) == Some(&0) {
                    (at, granule) = (at + 8, granule + 8);
                    continue;
                }
                match byte(at) {
                    None => {
                        granule = until;
                        break;
                    }
                    Some(0) => (at, granule) = (at + 1, granule + 1),
                    Some(LONG) => {
                        let length = [1, 2, 3, 4].map(|next| byte(at + next).unwrap_or(0));
                        let length = u64::from(u32::from_le_bytes(length)).max(5);
                        f(granule << GRANULE, length);
                        // What is behind its length is zero.
                        (at, granule) = (at + 5, granule + 5);
                    }
                    Some(length) => {
                        f(granule << GRANULE, length.into());
                        (at, granule) = (at + 1, granule + 1);
                    }
                }
            }
        }
    }
}

#[cfg(all(test, target_os = "linux", target_pointer_width = "64", feature = "trace"))]
mod tests {
    use super::*;
    use std::collections::{BTreeMap, BTreeSet};

    /// Reads words of this process's maps, and of the table of them.
    fn read_own(address: u64, into: &mut [u64]) -> usize {
        let from: *const u64 = std::ptr::with_exposed_provenance(address as usize);
        for (at, word) in into.iter_mut().enumerate() {
            // SAFETY: FOREVER: within the table, which is read a word at a time, or within a map.
            let from = unsafe { from.add(at) };
            // SAFETY: FOREVER: as above.
            *word = unsafe { from.read_volatile() };
        }
        into.len()
    }

    /// All blocks below an address, by the map.
    fn found(range: std::ops::Range<u64>) -> BTreeMap<u64, u64> {
        let read = |address: u64, into: &mut [u64]| {
            let map = map::ranges(read_own).into_iter().find(|map| map.contains(&address));
            let room = map.map_or(0, |map| (map.end - address) / 8) as usize;
            let count = into.len().min(room);
            read_own(address, &mut into[..count])
        };
        let mut blocks = BTreeMap::new();
        map::blocks(range, read, |address, words| {
            blocks.insert(address, words);
        });
        blocks
    }

    /// Held by a test that uses an `Alloc`: the map is the process's.
    static ALONE: std::sync::Mutex<()> = std::sync::Mutex::new(());

    #[test]
    fn the_map_has_what_is_alive() {
        let _alone = ALONE.lock();
        let alloc = Alloc::new();
        let mut alive: Vec<(*mut u8, Layout)> = Vec::new();
        let mut random = 1_u64;
        let mut next = |limit: usize| {
            random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            (random >> 33) as usize % limit
        };
        for turn in 0..3000 {
            let size = match next(4) {
                0 => 1 + next(40_000),
                1 => 1 + next(8),
                _ => 1 + next(500),
            };
            let layout = Layout::from_size_align(size, 1 << next(8)).expect("a layout");
            let block = match turn % 2 {
                // SAFETY: the size is not zero.
                0 => unsafe { alloc.alloc(layout) },
                // SAFETY: the size is not zero.
                _ => unsafe { alloc.alloc_zeroed(layout) },
            };
            alive.push((block, layout));
            if next(3) == 0 {
                let (block, layout) = alive.swap_remove(next(alive.len()));
                // SAFETY: the block is alive, and of this layout.
                unsafe { alloc.dealloc(block, layout) };
            }
            if next(3) == 0 {
                let at = next(alive.len().max(1));
                if let Some((block, layout)) = alive.get_mut(at) {
                    let size = 1 + next(10_000);
                    // SAFETY: the block is alive, and of this layout.
                    *block = unsafe { alloc.realloc(*block, *layout, size) };
                    *layout = Layout::from_size_align(size, layout.align()).expect("a layout");
                }
            }
        }
        // By megabytes: between the heap and other mappings is nothing, and much of it.
        let megabytes: BTreeSet<u64> =
            alive.iter().map(|(block, _)| block.addr() as u64 >> 20).collect();
        let all = || {
            let blocks =
                megabytes.iter().map(|megabyte| found(megabyte << 20..(megabyte + 1) << 20));
            blocks.fold(BTreeMap::new(), |mut all, blocks| {
                all.extend(blocks);
                all
            })
        };
        let blocks = all();
        let known = || alive.iter().filter(|(_, layout)| layout.size() >= 8);
        assert_eq!(blocks.len(), known().count());
        for &(block, layout) in known() {
            let (start, words) = (block.addr() as u64, layout.size().div_ceil(8) as u64);
            assert_eq!(blocks.get(&start), Some(&words), "{layout:?}");
        }
        for (block, _) in known().step_by(100) {
            let start = block.addr() as u64;
            assert_eq!(found(start..start + 1).into_keys().collect::<Vec<_>>(), [start]);
        }
        for (block, layout) in alive {
            // SAFETY: the block is alive, and of this layout.
            unsafe { alloc.dealloc(block, layout) };
        }
        assert!(all().is_empty());
    }

    /// The inner allocator gets nothing that it could leave behind; and a block that there is no room to move stays as it is.
    #[test]
    fn what_a_block_held_is_cleared() {
        #[derive(Default)]
        struct Inspector {
            full: AtomicBool,
            seen: AtomicU64,
        }
        // SAFETY: the system's allocator, called with what the caller promised.
        unsafe impl GlobalAlloc for Inspector {
            unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
                if self.full.load(Ordering::Relaxed) {
                    return std::ptr::null_mut();
                }
                // SAFETY: as above.
                unsafe { System.alloc(layout) }
            }
            unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
                // SAFETY: as above; whoever gave it has written each byte.
                let bytes = unsafe { std::slice::from_raw_parts(block, layout.size()) };
                let is_cleared = layout.size() <= CLEARED;
                assert!(bytes.iter().all(|&byte| byte == if is_cleared { 0 } else { 7 }));
                self.seen.fetch_add(1, Ordering::Relaxed);
                // SAFETY: as above.
                unsafe { System.dealloc(block, layout) };
            }
        }
        let _alone = ALONE.lock();
        clear_from_now_on();
        let alloc = Alloc::wrap(Inspector::default());
        let mut ended = 0;
        for size in [1, 3, 8, 48, 4095, CLEARED, CLEARED + 1] {
            for resized in [1, 16, 5000, CLEARED, 2 * CLEARED] {
                let layout = Layout::from_size_align(size, 16).expect("a layout");
                // SAFETY: the size is not zero.
                let block = unsafe { alloc.alloc(layout) };
                // SAFETY: the block has so many bytes.
                unsafe { block.write_bytes(7, size) };
                alloc.inner.full.store(true, Ordering::Relaxed);
                // SAFETY: the block is alive, and of this layout.
                let none = unsafe { alloc.realloc(block, layout, resized) };
                assert!(none.is_null());
                alloc.inner.full.store(false, Ordering::Relaxed);
                // SAFETY: as above.
                let moved = unsafe { alloc.realloc(block, layout, resized) };
                let common = size.min(resized);
                // SAFETY: both had so many bytes.
                let kept = unsafe { std::slice::from_raw_parts(moved, common) };
                assert!(kept.iter().all(|&byte| byte == 7), "{size} {resized}");
                // SAFETY: the block has so many bytes.
                unsafe { moved.write_bytes(7, resized) };
                let layout = Layout::from_size_align(resized, 16).expect("a layout");
                assert_eq!(
                    found(moved.addr() as u64..moved.addr() as u64 + 1).len(),
                    usize::from(resized >= 8)
                );
                // SAFETY: the block is alive, and of this layout.
                unsafe { alloc.dealloc(moved, layout) };
                ended += 2;
                assert_eq!(alloc.inner.seen.load(Ordering::Relaxed), ended);
            }
        }
    }

    #[test]
    fn each_length_is_kept() {
        // Not blocks of an allocator: addresses that no other test has.
        let at = |address: usize| std::ptr::without_provenance_mut::<u8>(address);
        let base = 0x1_0000_0000;
        for size in [1, 7, 8, 9, 2031, 2032, 2033, 2040, 100_000, 1 << 33] {
            for within in [0, 8, 4] {
                add(at(base + within), size);
                let blocks = found(base as u64..base as u64 + 64);
                let words = (within % 8 + size).div_ceil(8) as u64;
                if size < 8 {
                    assert!(blocks.is_empty());
                } else {
                    assert_eq!(blocks, [(base as u64 + within as u64 / 8 * 8, words)].into());
                }
                remove(at(base + within), size);
                assert!(found(base as u64..base as u64 + 64).is_empty());
            }
        }
    }

    /// Of two blocks that start in one granule, as allocators give that waste no byte, the one in which there is room for a
    /// handle is known, whichever ends first. OWN.
    #[test]
    fn two_blocks_in_one_granule() {
        let at = |address: usize| std::ptr::without_provenance_mut::<u8>(address);
        let base = 0x1_4000_0000;
        let all = || found(base as u64..base as u64 + 64);
        let long = || [(base as u64, 2)].into();
        add(at(base), 4);
        assert!(all().is_empty());
        add(at(base + 4), 12);
        assert_eq!(all(), long());
        remove(at(base), 4);
        assert_eq!(all(), long());
        add(at(base), 4);
        assert_eq!(all(), long());
        remove(at(base + 4), 12);
        assert!(all().is_empty());
    }
}
