//! Walking by the unwind tables with framehop: some 12 ns a frame, since it remembers what the tables say.
//!
//! The program's memory is read by nothing but the closure below, which refuses what isn't on this thread's stack. So
//! tables that are wrong, or code that has none, end a walk, and can't do more.

use super::bounds::reach;
use super::modules::{self, Module};
use super::walk::Registers;
use crate::lock::{Mutex, MutexGuard};
use framehop::{
    ExplicitModuleSectionInfo, FrameAddress, MustNotAllocateDuringUnwind as NoAllocation, Unwinder,
};
use std::borrow::Cow;
use std::cell::Cell;
use std::ops::Range;
use std::sync::atomic::{AtomicBool, AtomicPtr, Ordering};
use std::time::{Duration, Instant};

#[cfg(target_arch = "aarch64")]
use framehop::aarch64::{
    CacheAarch64 as Cache, UnwindRegsAarch64 as State, UnwinderAarch64 as Framehop,
};
#[cfg(target_arch = "x86_64")]
use framehop::x86_64::{
    CacheX86_64 as Cache, UnwindRegsX86_64 as State, UnwinderX86_64 as Framehop,
};

type Bytes = Cow<'static, [u8]>;

/// The tables of what was loaded when they were last looked at. Replaced when more is, and then never freed.
struct Tables {
    framehop: Framehop<Bytes, NoAllocation>,
    ranges: Vec<Range<usize>>,
}

static TABLES: AtomicPtr<Tables> = AtomicPtr::new(std::ptr::null_mut());

/// Whether a thread is making `TABLES`.
static MAKING: AtomicBool = AtomicBool::new(false);

thread_local! {
    /// Whether it is this one. Stacks that the making itself causes, by what it allocates, take the platform's unwinder.
    static MAKING_HERE: Cell<bool> = const { Cell::new(false) };
}

/// How long a thread waits while another makes `TABLES`, which takes some milliseconds, or many on a busy machine. Long,
/// since the platform's unwinder, which is asked otherwise, follows a wrong frame pointer wherever it leads.
const PATIENCE: Duration = Duration::from_secs(2);

/// Whether one has waited that long in vain, as in a child that was forked while a thread of its parent's made them:
/// nobody waits again.
static GAVE_UP: AtomicBool = AtomicBool::new(false);

/// How often a thread lets others run while all caches are taken: each is free again after a microsecond or so.
const TURNS: usize = 10_000;

/// What the tables say of code that was met before. There are so few because a thread has one only while it walks.
static CACHES: [Mutex<Option<Cache<NoAllocation>>>; 16] = [const { Mutex::new(None) }; 16];

/// What was made of the program's files, and the caches.
pub(super) fn own_statics() -> [Range<usize>; 2] {
    [crate::lock::place(&TABLES), crate::lock::place(&CACHES)]
}

/// How often `TABLES` is replaced. Each time costs some kilobytes for good.
const REPLACEMENTS: usize = 256;

/// The stack that a walk takes: 10 KiB where framehop is optimised, 40 where it isn't; and ten times that where its tables
/// or a cache are made. With less left, the platform's unwinder, which takes 4, is asked.
const ROOM: usize = 96 << 10;
const ROOM_TO_MAKE: usize = 256 << 10;

/// Returns the number of callers of the function whose registers these are, the innermost first in `frames`. `None`
/// where that can't be done now.
pub(super) fn by_unwind_tables(registers: Registers, frames: &mut [usize]) -> Option<usize> {
    let reach = reach(registers.sp).filter(|reach| reach.room >= ROOM)?;
    let can_make = reach.room >= ROOM_TO_MAKE;
    let mut tables = tables(None, can_make)?;
    let mut cache = free_cache(registers.sp)?;
    if cache.is_none() && !can_make {
        return None;
    }
    let cache = cache.get_or_insert_with(Cache::new_in);

    let mut read = |address: u64| {
        let address = address as usize;
        let inside = |stack: &Range<usize>| {
            stack.contains(&address) && stack.end - address >= size_of::<u64>()
        };
        if !address.is_multiple_of(size_of::<u64>()) || !reach.stacks.iter().any(inside) {
            return Err(());
        }
        let word = std::ptr::with_exposed_provenance::<u64>(address);
        // SAFETY: FRAMES: an aligned word on this thread's stack.
        Ok(unsafe { word.read_volatile() })
    };
    let mut state = start(registers);
    let mut at = FrameAddress::InstructionPointer(registers.ip as u64);
    let mut len = 0;
    while len < frames.len() {
        let Ok(Some(caller)) = tables.framehop.unwind_frame(at, &mut state, cache, &mut read)
        else {
            break;
        };
        let Some(next) = FrameAddress::from_return_address(caller) else { break };
        let caller = caller as usize;
        if !tables.covers(caller) {
            // Loaded since then, or made by a compiler in the program, of which nothing is known.
            match self::tables(Some(caller), can_make) {
                Some(new) if new.covers(caller) => tables = new,
                _ => break,
            }
        }
        (frames[len], at) = (caller, next);
        len += 1;
    }
    Some(len)
}

/// Takes a cache. `None` if others hold all of them, and none goes on.
fn free_cache(sp: usize) -> Option<MutexGuard<'static, Option<Cache<NoAllocation>>>> {
    // Threads' stacks lie far from each other, so this spreads them. A handler of a signal finds its thread's taken.
    let first = sp >> 16;
    let any = || (first..first + CACHES.len()).find_map(|n| CACHES[n % CACHES.len()].try_lock());
    any().or_else(|| {
        (0..TURNS).find_map(|_| {
            std::thread::yield_now();
            any()
        })
    })
}

#[cfg(target_arch = "x86_64")]
fn start(registers: Registers) -> State {
    State::new(registers.ip as u64, registers.sp as u64, registers.fp as u64)
}

#[cfg(target_arch = "aarch64")]
fn start(registers: Registers) -> State {
    let mask = framehop::aarch64::PtrAuthMask((1 << 48) - 1);
    State::new_with_ptr_auth_mask(
        mask,
        registers.lr as u64,
        registers.sp as u64,
        registers.fp as u64,
    )
}

impl Tables {
    fn covers(&self, address: usize) -> bool {
        self.ranges.iter().any(|range| range.contains(&address))
    }
}

/// Returns the tables as they are, or with what was loaded since, if that has `missing`.
fn tables(missing: Option<usize>, can_make: bool) -> Option<&'static Tables> {
    // SAFETY: MAPPED: null, or what was published below with Release, which is never freed.
    let now = unsafe { TABLES.load(Ordering::Acquire).as_ref() };
    match (now, missing) {
        (Some(now), None) => Some(now),
        (now, missing) if can_make => make(now, missing),
        _ => None,
    }
}

#[cold]
fn make(old: Option<&'static Tables>, missing: Option<usize>) -> Option<&'static Tables> {
    static MADE: std::sync::atomic::AtomicUsize = std::sync::atomic::AtomicUsize::new(0);
    if missing.is_some_and(|address| !modules::is_loaded(address)) {
        return None;
    }
    if MAKING_HERE.get() {
        return None;
    }
    // First, for a signal's handler that comes here at any moment.
    MAKING_HERE.set(true);
    // Acquire and Release: what one thread makes the next one sees.
    let mut since = None;
    while MAKING.swap(true, Ordering::Acquire) {
        let since = *since.get_or_insert_with(Instant::now);
        if GAVE_UP.load(Ordering::Relaxed) || since.elapsed() > PATIENCE {
            GAVE_UP.store(true, Ordering::Relaxed);
            MAKING_HERE.set(false);
            return None;
        }
        std::thread::yield_now();
    }
    // SAFETY: MAPPED: as in `tables`.
    let now = unsafe { TABLES.load(Ordering::Acquire).as_ref() };
    let old = now.or(old);
    if let Some(now) = now.filter(|now| missing.is_none_or(|address| now.covers(address))) {
        // Another thread was first.
        MAKING_HERE.set(false);
        MAKING.store(false, Ordering::Release);
        return Some(now);
    }
    let made = (MADE.fetch_add(1, Ordering::Relaxed) < REPLACEMENTS).then(|| {
        let mut tables = Tables {
            framehop: old.map(|old| old.framehop.clone()).unwrap_or_default(),
            ranges: old.map(|old| old.ranges.clone()).unwrap_or_default(),
        };
        for module in modules::loaded() {
            if !tables.ranges.contains(&module.range) {
                tables.add(&module);
            }
        }
        &*Box::leak(Box::new(tables))
    });
    if let Some(made) = made {
        TABLES.store(std::ptr::from_ref(made).cast_mut(), Ordering::Release);
    }
    MAKING_HERE.set(false);
    MAKING.store(false, Ordering::Release);
    made
}

impl Tables {
    fn add(&mut self, module: &Module) {
        // One that was unloaded has made room for this.
        let overlaps =
            |range: &Range<usize>| range.start < module.range.end && module.range.start < range.end;
        for gone in self.ranges.extract_if(.., |range| overlaps(range)) {
            self.framehop.remove_module(gone.start as u64);
        }
        self.ranges.push(module.range.clone());
        if let Some(tables) = tables_of(module) {
            let range = module.range.start as u64..module.range.end as u64;
            self.framehop.add_module(framehop::Module::new(
                String::new(),
                range.clone(),
                range.start,
                tables,
            ));
        }
    }
}

/// What framehop asks for: where a module's tables lie, and their bytes. Its addresses are those in memory.
fn tables_of(module: &Module) -> Option<ExplicitModuleSectionInfo<Bytes>> {
    let (header, segment) = module.unwind_header.clone()?;
    // The header begins with a version and the encodings of what follows: here, of the distance to the tables.
    const VERSION_AND_RELATIVE_4_BYTES: [u8; 2] = [1, 0x1b];
    let bytes = |range: &Range<usize>| -> Bytes {
        let start = std::ptr::with_exposed_provenance::<u8>(range.start);
        // SAFETY: LOADED: inside a loaded segment, which can be read and isn't written.
        let bytes = unsafe { std::slice::from_raw_parts(start, range.len()) };
        // A library can be unloaded, while its tables are still asked for.
        if module.main { Cow::Borrowed(bytes) } else { Cow::Owned(bytes.to_owned()) }
    };
    if header.len() < 8 || header.end > segment.end {
        return None;
    }
    let header_bytes = bytes(&header);
    if header_bytes[..2] != VERSION_AND_RELATIVE_4_BYTES {
        return None;
    }
    let distance = i32::from_ne_bytes(header_bytes[4..8].try_into().ok()?);
    let frames = (header.start + 4).checked_add_signed(distance as isize)?..segment.end;
    if !segment.contains(&frames.start) {
        return None;
    }
    let wide = |range: &Range<usize>| Some(range.start as u64..range.end as u64);
    Some(ExplicitModuleSectionInfo {
        base_svma: module.range.start as u64,
        text_svma: wide(&module.text),
        eh_frame_svma: wide(&frames),
        eh_frame: Some(bytes(&frames)),
        eh_frame_hdr_svma: wide(&header),
        eh_frame_hdr: Some(header_bytes),
        ..Default::default()
    })
}
