//! The process as a picture: its copy, its threads, its mappings, its heap, what its ledger knows.

use super::assemble::{Picture, ThreadInfo, assemble};
use super::blocks::{Blocks, Heap, walk};
use super::doubt::Doubt;
use super::fork::Frozen;
use super::inputs::{HandleInput, ObjectInput};
use super::memory::{Memory, PAGE, ProcessMemory, Region, without};
use super::ownership::Ownership;
use super::registers::{current_tid, thread_pointer, with_saved_registers};
use super::rules::Rules;
use super::scan::{Area, AreaKind, Limits};
use super::search::{Search, Unavailable};
use super::stopped::{Room, Stopped};
use super::symbols::{Image, images};
use super::threads::{self, Thread};
use crate::alloc::map;
use crate::event::Strength;
use crate::runtime::threads::own_stacks;
use crate::runtime::view;
use std::collections::HashSet;
use std::ops::Range;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

/// Edges and copies that are kept: 12 to 24 bytes each.
const EDGES: usize = 24 << 20;

/// Copies of the process are made anew if an allocator was in use at that moment.
const TRIES: u32 = 4;

#[inline(never)]
pub(super) fn run(search: &Search) -> Result<Ownership, Unavailable> {
    let Some(_one) = One::wait(2 * search.budget) else {
        return Err(Unavailable("another search has not ended".to_owned()));
    };
    with_saved_registers(|stack_pointer| run_from(search, stack_pointer))
}

/// The right to search: threads are stopped, and the copy is waited for, by one search at a time.
struct One;

/// The process that searches now, or 0. A child that was forked meanwhile has nobody who searches.
static SEARCHING: AtomicU32 = AtomicU32::new(0);

impl One {
    fn wait(patience: Duration) -> Option<Self> {
        let (own, begin) = (std::process::id(), Instant::now());
        loop {
            let now = SEARCHING.load(Ordering::Relaxed);
            // Acquire: what the search before did is done.
            if now != own
                && SEARCHING
                    .compare_exchange(now, own, Ordering::Acquire, Ordering::Relaxed)
                    .is_ok()
            {
                return Some(Self);
            }
            if now == own && begin.elapsed() > patience {
                return None;
            }
            std::thread::sleep(Duration::from_millis(1));
        }
    }
}

impl Drop for One {
    fn drop(&mut self) {
        // Release: pairs with the acquire of the next search.
        SEARCHING.store(0, Ordering::Release);
    }
}

/// Overwrites what earlier calls left below this frame, so that the frames between the caller and the search do not bring
/// it back: nothing would be proven because of it.
#[inline(never)]
pub(super) fn clear_dead_stack() {
    let mut dead = [1_u64; 1024];
    std::hint::black_box(&mut dead);
}

/// A moment of the process.
struct Moment {
    frozen: Option<Frozen>,
    memory: ProcessMemory,
    threads: Vec<Thread>,
    all_known: bool,
    regions: Vec<Region>,
    stopped_ns: u64,
    doubts: Vec<Doubt>,
}

fn run_from(search: &Search, stack_pointer: u64) -> Result<Ownership, Unavailable> {
    let begin = Instant::now();
    let mut left = TRIES;
    let (moment, heap) = loop {
        let moment = moment(search, stack_pointer)?;
        let heap = if search.walk {
            walk(&moment.memory, &moment.regions, &stacks(&moment))
        } else {
            Heap { is_whole: true, ..Heap::default() }
        };
        left -= 1;
        let again = moment.frozen.is_some() && (heap.is_busy || !heap.is_whole) && left > 0;
        if !again || begin.elapsed() > search.budget / 4 {
            break (moment, heap);
        }
        // Who holds the lock may wait for a processor: longer each time.
        drop(moment);
        std::thread::sleep(Duration::from_millis(2 * u64::from(TRIES - left)));
    };
    let stopped_ns = moment.stopped_ns;
    let is_frozen = moment.frozen.is_some();
    // After the copy, so that none of this is in it.
    let (objects, handles) = inputs();
    let mut doubts = moment.doubts.clone();
    if !moment.all_known {
        doubts.push(Doubt::Registers);
    }
    if search.walk && !heap.is_whole {
        doubts.push(Doubt::HeapNotWalked);
    }
    let mut heap = heap;
    if search.alloc {
        add_alloc(&moment, &mut heap, search.walk, &mut doubts);
    }
    // The ledger's own tables, of which the first are on the heap: they lead to all that is traced.
    let tables: Vec<u64> = view::ranges().iter().map(|range| range.start as u64).collect();
    heap.blocks.remove(&tables);
    if !is_frozen {
        // What the search itself has by now: addresses of all blocks, for one.
        let own = [
            heap.blocks.start.as_ptr().addr(),
            heap.blocks.words.as_ptr().addr(),
            objects.as_ptr().addr(),
            handles.as_ptr().addr(),
        ];
        heap.blocks.remove(&own.map(|own| own as u64));
    }
    let images = images(&moment.regions);
    let mut picture = Picture {
        areas: areas(&moment, &heap, &images),
        threads: infos(&moment),
        images,
        blocks: heap.blocks,
        objects,
        handles,
        doubts,
        rules: Rules::default(),
        thin: cfg!(refscope_thin),
    };
    stacks_in_blocks(&moment.threads, &picture.blocks, &mut picture.areas);
    let limits = Limits { until: begin + search.budget, edges: EDGES };
    let asked_by = moment.threads.first().map_or_else(String::new, |own| own.name.clone());
    let mut result = assemble(&moment.memory, picture, limits);
    #[cfg(feature = "stacks")]
    super::fields::name_fields(&mut result, search.budget);
    result.asked_by = asked_by;
    result.statistics.is_frozen = is_frozen;
    result.statistics.stopped_ns = stopped_ns;
    result.statistics.took_ns = begin.elapsed().as_nanos() as u64;
    Ok(result)
}

/// Adds the blocks that an [`Alloc`](crate::Alloc) knows. Where glibc's heap is not walked, what lies between them is free,
/// or another's.
fn add_alloc(moment: &Moment, heap: &mut Heap, walked: bool, doubts: &mut Vec<Doubt>) {
    if !map::is_used() {
        return;
    }
    if map::missed() > 0 {
        doubts.push(Doubt::BlocksMissed { blocks: map::missed() });
    }
    let read = |address: u64, into: &mut [u64]| moment.memory.read(address, into);
    let (own, known) = (map::ranges(), heap.blocks.len());
    for region in &moment.regions {
        let is_memory = region.readable && region.writable;
        let is_own = own.iter().any(|own| own.contains(&region.range.start));
        if !is_memory || is_own || region.is_file() || region.name == "[stack]" {
            continue;
        }
        let before = heap.blocks.len();
        map::blocks(region.range.clone(), read, |start, words| {
            if walked && let Ok(block) = heap.blocks.start[..known].binary_search(&start) {
                // The chunk has room behind the block, where stale words may stand.
                let chunk = &mut heap.blocks.words[block];
                *chunk = words.min((*chunk).into()) as u32;
                return;
            }
            heap.blocks.push(start, words);
            if !walked {
                heap.extents.push(start..start + 8 * words);
            }
        });
        if !walked && heap.blocks.len() > before {
            heap.pools.push(region.range.clone());
        }
    }
    heap.blocks.sort();
}

fn moment(search: &Search, stack_pointer: u64) -> Result<Moment, Unavailable> {
    let own = ProcessMemory::of(std::process::id() as libc::pid_t);
    let mut doubts = Vec::new();
    let mut room = Room::new();
    let mut probe = [0];
    if own.read(stack_pointer & !7, &mut probe) == 0 {
        return Err(Unavailable("this process may not read its own memory".to_owned()));
    }
    crate::runtime::clock::wait_for_own_thread();
    let stopping = Instant::now();
    // Nothing is allocated from here on, until the threads go on.
    let mut stopped =
        (search.stop_threads && search.fork).then(|| Stopped::new(&mut room, search.at_exit));
    let frozen = search.fork.then(Frozen::new);
    if let Some(stopped) = &mut stopped {
        stopped.release();
    }
    let stopped_ns = stopping.elapsed().as_nanos() as u64;
    let (threads, mut all_known) = match &mut stopped {
        Some(stopped) => stopped.threads(stack_pointer),
        None => threads::running(stack_pointer),
    };
    let frozen = match frozen {
        Some(Ok(frozen)) => Some(frozen),
        Some(Err(error)) => {
            doubts.push(Doubt::NotCopied { error: error.to_string() });
            None
        }
        None => None,
    };
    if frozen.is_none() && threads.len() > 1 {
        all_known = false;
        doubts.push(Doubt::NotFrozen);
    }
    let memory = match &frozen {
        Some(frozen) => ProcessMemory::of(frozen.pid()),
        None => own,
    };
    let no_maps = |error| Unavailable(format!("its mappings cannot be read ({error})"));
    let regions = memory.regions().map_err(no_maps)?;
    if frozen.is_some() && memory.read(stack_pointer & !7, &mut probe) == 0 {
        return Err(Unavailable("this process may not read its copy".to_owned()));
    }
    Ok(Moment { frozen, memory, threads, all_known, regions, stopped_ns, doubts })
}

/// What the ledger knows, as plain data: objects by number, handles by object and number.
fn inputs() -> (Vec<ObjectInput>, Vec<HandleInput>) {
    let mut count = 0;
    view::each_object(|_| count += 1);
    let mut objects = Vec::with_capacity(count + count / 16);
    view::each_object(|details| {
        objects.push(ObjectInput {
            id: details.object.id().number(),
            kind: details.object.kind(),
            type_name: details.object.type_name(),
            address: details.address as u64,
            size: details.object.size(),
            strong: details.position.strong,
            log2_align: details.align.max(1).ilog2() as u8,
        });
    });
    objects.sort_unstable_by_key(|object| object.id);
    count = 0;
    view::each_handle(|_| count += 1);
    let mut handles = Vec::with_capacity(count + count / 16);
    view::each_handle(|view| {
        let Ok(object) = objects.binary_search_by_key(&view.object, |object| object.id) else {
            return;
        };
        let makes = view.details.op.and_then(crate::event::Op::makes);
        handles.push(HandleInput {
            ticket: view.ticket,
            number: view.details.number,
            object: object as u32,
            strong: makes != Some(Strength::Weak),
            raw: view.details.raw,
        });
    });
    handles.sort_unstable_by_key(|handle| (handle.object, handle.number));
    (objects, handles)
}

/// The mappings that threads' stacks are in.
fn stacks(moment: &Moment) -> Vec<Range<u64>> {
    let holds_stack = |region: &&Region| {
        moment.threads.iter().any(|thread| {
            thread.stack_pointer.is_some_and(|pointer| region.range.contains(&pointer))
                || thread.thread_pointer.is_some_and(|pointer| region.range.contains(&pointer))
        })
    };
    moment.regions.iter().filter(holds_stack).map(|region| region.range.clone()).collect()
}

/// What the result says of threads.
fn infos(moment: &Moment) -> Vec<ThreadInfo> {
    let info = |thread: &Thread| ThreadInfo {
        name: thread.name.as_str().into(),
        locals: thread.thread_pointer.map_or(0, |pointer| locals_start(pointer, &moment.memory)),
    };
    moment.threads.iter().map(info).collect()
}

/// How far the search looks behind the thread pointer: on x86-64 glibc's own data of the thread are there, else thread-locals.
const THREAD_DATA: u64 = 0x1000;

/// Statics of refscope's are smaller, and its tables larger.
const STATIC: u64 = 1 << 16;

/// All writable memory but the blocks of the heap, and what is refscope's own.
fn areas(moment: &Moment, heap: &Heap, images: &[Image]) -> Vec<Area> {
    let ranges = view::ranges();
    let own = || ranges.iter().map(|range| range.start as u64..range.end as u64);
    // The first of the tables are blocks.
    let is_static = |range: &Range<u64>| {
        range.end - range.start < STATIC && heap.blocks.find(range.start).is_none()
    };
    let private = own().filter(is_static).chain(images.iter().filter_map(Image::backtrace_cache));
    let private: Vec<Range<u64>> = private.collect();
    let mut out: Vec<Range<u64>> = own().chain(private.iter().cloned()).collect();
    out.extend(map::ranges());
    out.extend(heap.extents.iter().cloned());
    coalesce(&mut out);
    out.extend(heap.arena.clone());
    let aligned = |range: Range<u64>| range.start.next_multiple_of(8)..range.end & !7;
    let private = private.into_iter().map(aligned);
    let mut areas: Vec<Area> =
        private.map(|range| Area { range, kind: AreaKind::Private }).collect();
    let mut claim = |range: Range<u64>, kind: AreaKind, out: &mut Vec<Range<u64>>| {
        for range in without(range.clone(), out) {
            // What is left out ends where it may: the words of the rest are aligned all the same.
            let range = range.start.next_multiple_of(8)..range.end & !7;
            if !range.is_empty() {
                areas.push(Area { range, kind: kind.clone() });
            }
        }
        out.push(range);
    };
    // What refscope's own threads work with: addresses that the ledger gave them, for one.
    for top in own_stacks(current_tid()) {
        let top = top as u64;
        let at = moment.regions.iter().position(|region| region.range.contains(&top));
        let Some(at) = at.and_then(|at| at.checked_sub(1)) else { continue };
        let (guard, stack) = (&moment.regions[at], &moment.regions[at + 1]);
        if !guard.readable && guard.range.end == stack.range.start {
            out.push(stack.range.start..top);
        }
    }
    let locals = static_locals(&moment.memory);
    for (index, thread) in moment.threads.iter().enumerate() {
        claim(thread.registers.clone(), AreaKind::Stack(index), &mut out);
        if let Some(alternate) = &thread.alternate {
            // Nothing runs there but the handler that stopped the thread.
            out.push(alternate.clone());
        }
        if let Some(pointer) = thread.thread_pointer {
            let end = (pointer + THREAD_DATA).min(region_end(&moment.regions, pointer));
            // What glibc notes of a thread stays there when it is old: the address of what the thread was started with, for one.
            let [before, behind] = match cfg!(target_arch = "x86_64") {
                true => [AreaKind::ThreadLocal(index), AreaKind::Unknown],
                false => [AreaKind::Unknown, AreaKind::ThreadLocal(index)],
            };
            claim(pointer - locals..pointer, before, &mut out);
            claim(pointer..end, behind, &mut out);
        }
    }
    let programs = programs(&moment.regions);
    let is_data = |region: &Region| {
        region.is_file() && !region.shared && programs.contains(region.name.as_str())
    };
    for (index, region) in moment.regions.iter().enumerate() {
        let before = index.checked_sub(1).map(|before| &moment.regions[before]);
        let before = before.filter(|before| before.range.end == region.range.start);
        if !region.readable || region.name.starts_with("[v") || region.range.start >> 63 != 0 {
            continue;
        }
        if !region.writable && !region.is_anonymous() {
            continue;
        }
        let pointers: Vec<(usize, u64)> = (moment.threads.iter().enumerate())
            .filter_map(|(index, thread)| Some((index, thread.stack_pointer?)))
            .filter(|(_, pointer)| region.range.contains(pointer))
            .collect();
        if let [(thread, pointer)] = pointers[..] {
            // Below its stack pointer a stack has nothing, if it is the thread's own: behind a guard, or the first one.
            let own = &moment.threads[thread];
            let is_own = region.name == "[stack]"
                || (before.is_some_and(|before| !before.readable)
                    && own.thread_pointer.is_none_or(|pointer| region.range.contains(&pointer)));
            let start = if is_own { pointer & !7 } else { region.range.start };
            claim(start..region.range.end, AreaKind::Stack(thread), &mut out);
        } else if is_data(region) || region.name == "[stack]" {
            claim(region.range.clone(), AreaKind::Static(region.name.clone()), &mut out);
        } else if let Some(file) = before.filter(|before| region.is_anonymous() && is_data(before))
        {
            claim(region.range.clone(), AreaKind::Static(file.name.clone()), &mut out);
        } else {
            let mut start = region.range.start;
            if before.is_some_and(|before| !before.readable) {
                start = dead_stack(&moment.memory, region).unwrap_or(start);
            }
            let overlaps =
                |pool: &Range<u64>| pool.start < region.range.end && region.range.start < pool.end;
            let is_pool = heap.pools.iter().any(overlaps);
            let kind = if is_pool { AreaKind::Freed } else { AreaKind::Unknown };
            claim(start..region.range.end, kind, &mut out);
        }
    }
    areas
}

/// The files of which some part is mapped as code: programs and libraries. What others are mapped for is not known: memory that
/// processes share, or a file's contents.
fn programs(regions: &[Region]) -> HashSet<&str> {
    let code = regions.iter().filter(|region| region.is_file() && region.executable);
    code.map(|region| region.name.as_str()).collect()
}

/// Sorts ranges and joins those that touch.
fn coalesce(ranges: &mut Vec<Range<u64>>) {
    ranges.sort_unstable_by_key(|range| range.start);
    ranges.dedup_by(|next, range| {
        let touches = next.start <= range.end;
        if touches {
            range.end = range.end.max(next.end);
        }
        touches
    });
}

fn region_end(regions: &[Region], address: u64) -> u64 {
    let region = regions.iter().find(|region| region.range.contains(&address));
    region.map_or(address, |region| region.range.end)
}

/// A stack that lies in a block: a coroutine's. The whole block is the thread's.
fn stacks_in_blocks(threads: &[Thread], blocks: &Blocks, areas: &mut Vec<Area>) {
    for (index, thread) in threads.iter().enumerate() {
        let Some(pointer) = thread.stack_pointer else { continue };
        if let Some(block) = blocks.find(pointer) {
            let (range, kind) = (blocks.range(block), AreaKind::Stack(index));
            areas.push(Area { range, kind });
        }
    }
}

/// The size of the program's own thread-locals in a thread, and how they are aligned.
fn locals_layout(memory: &impl Memory) -> Option<(u64, u64)> {
    // SAFETY: SYSCALL: reads a table of the process's start.
    let headers = unsafe { libc::getauxval(libc::AT_PHDR) };
    // SAFETY: SYSCALL: as above.
    let count = unsafe { libc::getauxval(libc::AT_PHNUM) };
    let mut words = vec![0; 7 * count.min(64) as usize];
    let read = memory.read(headers, &mut words);
    // type and flags, offset, address, physical address, size in the file, size in memory, alignment
    let header = words[..read].chunks_exact(7).find(|header| header[0] as u32 == libc::PT_TLS);
    header.map(|header| (header[5], header[6].clamp(1, 1 << 20)))
}

/// Where the program's own thread-locals begin, in the thread with this pointer.
#[cfg(target_arch = "x86_64")]
fn locals_start(pointer: u64, memory: &impl Memory) -> u64 {
    pointer - static_locals(memory)
}

/// They lie behind two words that the pointer points to.
#[cfg(target_arch = "aarch64")]
fn locals_start(pointer: u64, memory: &impl Memory) -> u64 {
    let align = locals_layout(memory).map_or(1, |(_, align)| align);
    pointer + 16_u64.next_multiple_of(align)
}

/// How many bytes of the program's own thread-locals lie before the thread pointer.
#[cfg(target_arch = "x86_64")]
fn static_locals(memory: &impl Memory) -> u64 {
    locals_layout(memory).map_or(0, |(size, align)| size.next_multiple_of(align))
}

/// They lie behind it, with glibc's own data of the thread before it.
#[cfg(target_arch = "aarch64")]
fn static_locals(_: &impl Memory) -> u64 {
    0x700
}

/// Where the stack of a thread that has ended, and that glibc keeps for another, ends.
///
/// glibc's data of the thread stand at its end: twice their own address, and a thread number that is
/// 0, or -1 once the thread was joined.
#[cfg(target_arch = "x86_64")]
fn dead_stack(memory: &ProcessMemory, region: &Region) -> Option<u64> {
    let number = number_offset(memory)?;
    let own = thread_pointer();
    let mut words = vec![0; 1 << 16];
    let mut at = region.range.start;
    while at < region.range.end {
        let length = words.len().min(((region.range.end - at) / 8) as usize);
        let read = memory.read(at, &mut words[..length]);
        if read == 0 {
            return None;
        }
        for (index, pair) in words[..read].windows(3).enumerate().step_by(8) {
            let address = at + 8 * index as u64;
            if pair[0] == address && pair[2] == address && address != own {
                let mut word = [0];
                let read = memory.read((address + number) & !7, &mut word);
                let tid = (word[0] >> (8 * (number % 8))) as u32;
                let end = (address + THREAD_DATA / 2).next_multiple_of(PAGE);
                return (read == 1 && tid as i32 <= 0).then_some(end.min(region.range.end));
            }
        }
        at += 8 * read as u64;
    }
    None
}

#[cfg(target_arch = "aarch64")]
fn dead_stack(_: &ProcessMemory, _: &Region) -> Option<u64> {
    None
}

/// Where glibc's data of a thread have its number, by those of this thread.
#[cfg(target_arch = "x86_64")]
fn number_offset(memory: &ProcessMemory) -> Option<u64> {
    let (own, tid) = (thread_pointer(), current_tid() as u32);
    let mut words = [0; 128];
    let read = memory.read(own, &mut words);
    let halves = words[..read].iter().flat_map(|&word| [word as u32, (word >> 32) as u32]);
    let at = halves.enumerate().position(|(_, half)| half == tid)?;
    Some(4 * at as u64)
}
