//! The process as a picture: its copy, its threads, its mappings, its heap, what its ledger knows.

use super::areas::{areas, stacks_in_blocks};
use super::assemble::{Picture, assemble};
use super::blocks::{Blocks, Heap, walk};
use super::collections::Told;
use super::doubt::Doubt;
#[cfg(feature = "stacks")]
use super::fields::{DebugInformation, name_fields};
use super::fork::Frozen;
use super::inputs::{HandleInput, ObjectInput};
use super::memory::{Memory, ProcessMemory, Region, without};
use super::ownership::{Owner, Ownership};
use super::pages::absent;
use super::registers::with_saved_registers;
use super::rules::Rules;
use super::scan::Limits;
use super::search::{Search, Unavailable};
use super::stopped::{Room, Stopped};
#[cfg(feature = "stacks")]
use super::symbols::Program;
use super::symbols::images;
use super::thread_locals::{locals, modules};
use super::threads::{self, Thread};
use crate::alloc::map;
use crate::event::Strength;
use crate::runtime::entry::EntryDetails;
use crate::runtime::view::{self, HandleView};
use std::cell::Cell;
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

/// Edges and copies that are kept: 12 to 24 bytes each.
const EDGES: usize = 24 << 20;

/// What one of two threads reads before what both found is put together: some milliseconds' work, and a thread starts in a
/// tenth of one.
const PIECE: u64 = 16 << 20;

/// The process is looked at anew if an allocator was in use at that moment, or a thread was not stopped in time; and where it is
/// not copied, if the heap grew by what the search had on it.
const TRIES: u32 = 4;

#[inline(never)]
pub(super) fn run(search: &Search) -> Result<Ownership, Unavailable> {
    let Some(_one) = One::wait(2 * search.budget) else {
        return Err(Unavailable::Busy);
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

/// A moment of the process.
pub(super) struct Moment {
    pub(super) frozen: Option<Frozen>,
    pub(super) memory: ProcessMemory,
    pub(super) threads: Vec<Thread>,
    all_known: bool,
    /// Whether a thread was not stopped in time.
    is_late: bool,
    pub(super) regions: Vec<Region>,
    /// The ledger, and the tables that its memory leads to.
    pub(super) tables: Vec<Range<u64>>,
    /// The map of an [`Alloc`](crate::Alloc).
    pub(super) map: Vec<Range<u64>>,
    /// What other threads had in their registers, if the memory is no copy.
    registers: Vec<u64>,
    stopped_ns: u64,
    doubts: Vec<Doubt>,
}

fn run_from(search: &Search, stack_pointer: u64) -> Result<Ownership, Unavailable> {
    let begin = Instant::now();
    let until = begin + search.budget;
    // Another C library's heap has other headers.
    let walks = search.walk && cfg!(target_env = "gnu");
    let (mut left, mut stopped_ns) = (TRIES, 0);
    let (moment, heap) = loop {
        let moment = moment(search, stack_pointer)?;
        stopped_ns += moment.stopped_ns;
        let heap = if walks {
            let memory = (&moment.memory, moment.frozen.is_none());
            walk(memory, &moment.regions, &stacks(&moment), until)
        } else {
            Heap { is_whole: true, ..Heap::default() }
        };
        left -= 1;
        let is_bad = heap.is_busy || !heap.is_whole || moment.is_late;
        if !is_bad || left == 0 || begin.elapsed() > search.budget / 4 {
            break (moment, heap);
        }
        // Who holds the lock, or did not stop in time, may wait for a processor: longer each time.
        drop(moment);
        std::thread::sleep(Duration::from_millis(2 * u64::from(TRIES - left)));
    };
    let is_frozen = moment.frozen.is_some();
    // After the copy, so that none of this is in it.
    let (objects, handles, unread) = inputs(&moment);
    let mut doubts = moment.doubts.clone();
    if unread > 0 {
        doubts.push(Doubt::Unread { bytes: unread });
    }
    if !moment.all_known {
        doubts.push(Doubt::Registers);
    }
    if walks && heap.is_cut {
        doubts.push(Doubt::Cut);
    } else if walks && !heap.is_whole {
        doubts.push(Doubt::HeapNotWalked);
    }
    let mut heap = heap;
    if search.alloc {
        add_alloc(&moment, &mut heap, &mut doubts);
    }
    // The ledger's own tables, of which the first are on the heap: they lead to all that is traced.
    let tables: Vec<u64> = moment.tables.iter().map(|range| range.start).collect();
    heap.blocks.remove(&tables);
    if !is_frozen {
        let own = own_blocks(&moment, &heap, &objects, &handles);
        heap.blocks.remove(&own);
    }
    let images = images(&moment.regions);
    let modules = modules(&images);
    let locals = locals(&moment.memory, &moment.threads, &modules);
    // A library's thread-locals may be a block: it is an area now. A stack that is one stays.
    let of_stack = |block: usize| {
        let range = heap.blocks.range(block);
        let pointers = moment.threads.iter().filter_map(|thread| thread.thread_pointer);
        pointers.into_iter().any(|pointer| range.contains(&pointer))
    };
    let starts = locals.iter().map(|local| local.range.start);
    let blocks: Vec<u64> =
        starts.filter(|&start| heap.blocks.find(start).is_some_and(|at| !of_stack(at))).collect();
    heap.blocks.remove(&blocks);
    let (areas, locals) = areas(&moment, &heap, &images, locals, until);
    let mut picture = Picture {
        areas,
        locals,
        threads: moment.threads.iter().map(|thread| thread.name.as_str().into()).collect(),
        waiting: moment.threads.iter().map(|thread| thread.waits(&moment.memory)).collect(),
        images,
        blocks: heap.blocks,
        objects,
        handles,
        doubts,
        rules: Rules::default(),
        thin: cfg!(refscope_thin),
    };
    if !is_frozen {
        keep_what_stays(search, &moment, walks, &mut picture.blocks, until);
    }
    stacks_in_blocks(&moment.threads, &mut picture.blocks, &mut picture.areas);
    // A second thread would be in what is read, were it no copy.
    let piece = if is_frozen { PIECE } else { u64::MAX };
    let limits = Limits { until, edges: EDGES, piece };
    let asked_by = moment.threads.first().map_or_else(String::new, |own| own.name.clone());
    #[cfg(feature = "stacks")]
    let program = Program::map();
    #[cfg(feature = "stacks")]
    let types = program.as_ref().map(|program| DebugInformation::new(program, until));
    let told = |owners: &[Owner], objects: &[ObjectInput]| {
        #[cfg(feature = "stacks")]
        if let Some(types) = &types {
            return types.collections(owners, objects);
        }
        let _ = objects;
        vec![Told::Nothing; owners.len()]
    };
    let (mut result, doubtful) = assemble(&moment.memory, picture, limits, &told);
    #[cfg(not(feature = "stacks"))]
    drop(doubtful);
    #[cfg(feature = "stacks")]
    if let Some(types) = &types {
        name_fields(&mut result, &doubtful, types);
    }
    result.asked_by = asked_by;
    result.statistics.is_frozen = is_frozen;
    result.statistics.stopped_ns = stopped_ns;
    result.statistics.took_ns = begin.elapsed().as_nanos() as u64;
    Ok(result)
}

/// What the search itself has by now, where the memory is read while it is used: addresses of all blocks, for one.
fn own_blocks(
    moment: &Moment,
    heap: &Heap,
    objects: &[ObjectInput],
    handles: &[HandleInput],
) -> Vec<u64> {
    let names = moment.regions.iter().map(|region| &region.name);
    let names = names.chain(moment.threads.iter().map(|thread| &thread.name));
    let tables = [
        heap.blocks.start.as_ptr().addr(),
        heap.blocks.words.as_ptr().addr(),
        heap.extents.as_ptr().addr(),
        heap.pools.as_ptr().addr(),
        heap.own.as_ptr().addr(),
        objects.as_ptr().addr(),
        handles.as_ptr().addr(),
        moment.regions.as_ptr().addr(),
        moment.threads.as_ptr().addr(),
        moment.tables.as_ptr().addr(),
        moment.map.as_ptr().addr(),
        moment.registers.as_ptr().addr(),
    ];
    let own = tables.into_iter().chain(names.map(|name| name.as_ptr().addr()));
    own.map(|own| own as u64).chain(heap.own.iter().copied()).collect()
}

/// Where the memory is read while it is used, takes out the blocks that are free by now: what the search itself had for a while,
/// with old words in it, is not the program's.
fn keep_what_stays(
    search: &Search,
    moment: &Moment,
    walks: bool,
    blocks: &mut Blocks,
    until: Instant,
) {
    let mut now = Heap { is_whole: true, ..Heap::default() };
    if walks {
        // The heap may have grown.
        let Ok(regions) = moment.memory.regions() else { return };
        now = walk((&moment.memory, true), &regions, &stacks(moment), until);
    }
    if search.alloc {
        add_alloc(moment, &mut now, &mut Vec::new());
    }
    if now.is_whole && !now.is_busy && !now.is_cut {
        now.blocks.remove(&now.own);
        blocks.keep_those_of(&now.blocks);
    }
}

/// Adds the blocks that an [`Alloc`](crate::Alloc) knows. Where glibc's heap is not walked, or the block is another allocator's,
/// what lies between them is free, or another's.
fn add_alloc(moment: &Moment, heap: &mut Heap, doubts: &mut Vec<Doubt>) {
    // Of an allocator that could note none, too.
    if map::missed() > 0 {
        doubts.push(Doubt::BlocksMissed { blocks: map::missed() });
    }
    if !map::is_used() {
        return;
    }
    let (own, known) = (&moment.map, heap.blocks.len());
    // A map that was made since is not in the copy.
    let is_map = |address: u64| own.iter().any(|map| map.contains(&address));
    let buffer = Cell::new(0);
    let read = |address: u64, into: &mut [u64]| {
        buffer.set(into.as_ptr().addr() as u64);
        if is_map(address) { moment.memory.read(address, into) } else { 0 }
    };
    let parts = moment.regions.iter().filter(|region| {
        let is_memory = region.readable && region.writable;
        is_memory && !region.is_file() && region.name != "[stack]"
    });
    let mut of_walk = heap.extents.clone();
    of_walk.sort_unstable_by_key(|extent| extent.start);
    let is_of_walk = |address: u64| {
        let at = of_walk.partition_point(|extent| extent.start <= address).checked_sub(1);
        at.is_some_and(|at| of_walk[at].contains(&address))
    };
    // The kernel joins mappings that touch: the map of blocks may lie in one with blocks.
    let parts = parts.flat_map(|region| {
        let is_heap = region.name == "[heap]";
        without(region.range.clone(), own).into_iter().map(move |part| (part, is_heap))
    });
    for (part, is_heap) in parts {
        let mut pool: Option<Range<u64>> = None;
        map::blocks(part.clone(), read, |start, words| {
            if let Ok(block) = heap.blocks.start[..known].binary_search(&start) {
                // The chunk has room behind the block, where stale words may stand.
                let chunk = &mut heap.blocks.words[block];
                *chunk = words.min((*chunk).into()) as u32;
                return;
            }
            heap.blocks.push(start, words);
            if !is_of_walk(start) {
                let (end, pool) = (start + 8 * words, pool.get_or_insert(start..start));
                heap.extents.push(start..end);
                *pool = pool.start.min(start)..pool.end.max(end);
            }
        });
        // Behind the last block there is what the search itself has by now.
        let is_live = moment.frozen.is_none() && pool.is_some();
        heap.pools.extend(if is_live && is_heap { Some(part) } else { pool });
    }
    heap.own.push(buffer.get());
    heap.blocks.sort();
}

fn moment(search: &Search, stack_pointer: u64) -> Result<Moment, Unavailable> {
    let own = ProcessMemory::of(std::process::id() as libc::pid_t);
    let mut doubts = Vec::new();
    let mut room = Room::new(!search.fork);
    let mut probe = [0];
    if own.read(stack_pointer & !7, &mut probe) == 0 {
        return Err(Unavailable::MemoryForbidden { error: Unavailable::last_error() });
    }
    crate::runtime::clock::wait_for_own_thread();
    let stopping = Instant::now();
    // Nothing is allocated from here on, until the threads go on.
    let mut stopped = search.stop_threads.then(|| Stopped::new(&mut room, search.at_exit));
    let frozen = search.fork.then(Frozen::new);
    if let Some(stopped) = &mut stopped {
        if !matches!(frozen, Some(Ok(_))) {
            stopped.keep_registers(&mut room, &own);
        }
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
    let mut memory = match &frozen {
        Some(frozen) => ProcessMemory::of(frozen.pid()),
        None => own,
    };
    let no_maps = |error| Unavailable::NoMappings { error: Arc::new(error) };
    let regions = memory.regions().map_err(no_maps)?;
    if frozen.is_some() && memory.read(stack_pointer & !7, &mut probe) == 0 {
        return Err(Unavailable::CopyForbidden { error: Unavailable::last_error() });
    }
    // A part of the time at most: what is not known then is read.
    let until = Instant::now() + search.budget / 8;
    let absent = absent(memory.pid(), &regions, stack_pointer, until);
    memory.leave_out(absent);
    // As they were then: what is a table now may have been a block of the program's.
    let range = |range: Range<usize>| range.start as u64..range.end as u64;
    let read = |address: usize, into: &mut [u64]| memory.read(address as u64, into);
    let tables = view::ranges_of_copy(read).into_iter().map(range).collect();
    let map = map::ranges(|address, into| memory.read(address, into));
    Ok(Moment {
        frozen,
        memory,
        threads,
        all_known,
        is_late: stopped.is_some_and(|stopped| stopped.is_late),
        regions,
        tables,
        map,
        registers: room.registers,
        stopped_ns,
        doubts,
    })
}

/// What the ledger knew at that moment, as plain data: objects by number, handles by object and number; and how many bytes of
/// it could not be read.
///
/// The threads have gone on since: a handle that one of them made meanwhile is nowhere in the copy, and std's count of an
/// object there is not today's. So the ledger is read in the copy as well.
fn inputs(moment: &Moment) -> (Vec<ObjectInput>, Vec<HandleInput>, u64) {
    let (mut objects, mut handles, mut unread) = (Vec::new(), Vec::new(), 0);
    let object = |objects: &mut Vec<ObjectInput>, details: EntryDetails| {
        objects.push(ObjectInput {
            id: details.object.id().number(),
            kind: details.object.kind(),
            type_name: details.object.type_name(),
            address: details.address as u64,
            size: details.object.size(),
            strong: details.position.strong,
            log2_align: details.align.max(1).ilog2() as u8,
        });
    };
    let handle = |handles: &mut Vec<HandleInput>, objects: &[ObjectInput], view: HandleView| {
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
    };
    if moment.frozen.is_some() {
        let read = |address: usize, into: &mut [u64]| moment.memory.read(address as u64, into);
        let (entries, missing) =
            view::each_object_of_copy(read, |details| object(&mut objects, details));
        objects.sort_unstable_by_key(|object| object.id);
        unread = missing
            + view::each_handle_of_copy(read, &entries, |view| {
                handle(&mut handles, &objects, view);
            });
    } else {
        // Counted first: what a vector was before it grew would be found as well.
        let mut count = 0;
        view::each_object(|_| count += 1);
        objects.reserve(count + count / 16);
        view::each_object(|details| object(&mut objects, details));
        objects.sort_unstable_by_key(|object| object.id);
        count = 0;
        view::each_handle(|_| count += 1);
        handles.reserve(count + count / 16);
        view::each_handle(|view| handle(&mut handles, &objects, view));
    }
    handles.sort_unstable_by_key(|handle| (handle.object, handle.number));
    (objects, handles, unread)
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
