//! All memory that is no block of the heap, and what kind it is.

use super::blocks::{Blocks, Heap};
use super::memory::{Memory, PAGE, ProcessMemory, Region, Taken};
use super::process::Moment;
use super::registers::{current_tid, thread_pointer};
use super::scan::{Area, AreaKind, Locals};
use super::symbols::Image;
use super::thread_locals::{Local, all_static_locals, locals_start, static_locals};
use super::threads::Thread;
use crate::runtime::threads::own_stacks;
use std::collections::HashSet;
use std::ops::Range;
use std::time::Instant;

/// How far the search looks behind the thread pointer: on x86-64 glibc's own data of the thread are there, else thread-locals.
const THREAD_DATA: u64 = 0x1000;

/// Statics of refscope's are smaller, and its tables larger.
const STATIC: u64 = 1 << 16;

/// What has been claimed so far, each word once.
struct Claims {
    areas: Vec<Area>,
    /// What is claimed, or left out.
    out: Taken,
}

impl Claims {
    /// Adds what nobody has claimed of a range.
    fn claim(&mut self, range: Range<u64>, kind: AreaKind) {
        for range in self.out.rest_of(range.clone()) {
            // What is left out ends where it may: the words of the rest are aligned all the same.
            let range = aligned(range);
            if !range.is_empty() {
                self.areas.push(Area { range, kind: kind.clone() });
            }
        }
        self.out.add(range);
    }

    fn leave_out(&mut self, range: Range<u64>) {
        self.out.add(range);
    }

    fn is_out(&self, address: u64) -> bool {
        self.out.contains(address)
    }
}

/// The whole words of a range.
fn aligned(range: Range<u64>) -> Range<u64> {
    range.start.next_multiple_of(8)..range.end & !7
}

/// All writable memory but the blocks of the heap, and what is refscope's own; and whose the thread-locals in it are.
pub(super) fn areas(
    moment: &Moment,
    heap: &Heap,
    images: &[Image],
    libraries: Vec<Local>,
    until: Instant,
) -> (Vec<Area>, Vec<Locals>) {
    let mut claims = of_refscope(moment, heap, images);
    let (mut owners, mut areas_of_blocks) = (Vec::new(), Vec::new());
    for Local { thread, image, range } in libraries {
        owners.push(Locals { thread, image, start: range.start });
        let kind = AreaKind::ThreadLocal(owners.len() - 1);
        // It was a block: then it is left out, as all of the heap.
        match claims.is_out(range.start) {
            true => areas_of_blocks.push(Area { range: aligned(range), kind }),
            false => claims.claim(range, kind),
        }
    }
    claim_threads(moment, images, &mut claims, &mut owners);
    claim_regions(moment, heap, &mut claims, until);
    claims.areas.extend(areas_of_blocks);
    (claims.areas, owners)
}

/// What is refscope's own, and the blocks of the heap: left out, but for its statics.
fn of_refscope(moment: &Moment, heap: &Heap, images: &[Image]) -> Claims {
    let statics = crate::stack::own_statics().chain(crate::event::own_statics());
    let statics = statics.chain(crate::span::own_static());
    let statics: Vec<Range<u64>> =
        statics.map(|range| range.start as u64..range.end as u64).collect();
    let own = || moment.tables.iter().cloned().chain(statics.iter().cloned());
    // The first of the tables are blocks.
    let is_static = |range: &Range<u64>| {
        range.end - range.start < STATIC && heap.blocks.find(range.start).is_none()
    };
    let private = own().filter(is_static).chain(images.iter().filter_map(Image::backtrace_cache));
    let private: Vec<Range<u64>> = private.collect();
    let mut out: Vec<Range<u64>> = own().chain(private.iter().cloned()).collect();
    out.extend(moment.map.iter().cloned());
    out.extend(heap.extents.iter().cloned());
    out.extend(heap.arena.clone());
    let private = private.into_iter().map(aligned);
    let areas = private.map(|range| Area { range, kind: AreaKind::Private }).collect();
    let mut claims = Claims { areas, out: Taken::new(out) };
    // What refscope's own threads work with: addresses that the ledger gave them, for one.
    let locals = all_static_locals();
    for (top, data) in own_stacks(current_tid()) {
        let top = top as u64;
        // Above are std's and the C library's frames, which may have the address of the closure that the thread was started
        // with, of a block that is free again.
        let end = (data as u64).saturating_sub(locals).max(top);
        let at = moment.regions.iter().position(|region| region.range.contains(&top));
        let Some(at) = at.and_then(|at| at.checked_sub(1)) else { continue };
        let (guard, stack) = (&moment.regions[at], &moment.regions[at + 1]);
        if !guard.readable && guard.range.end == stack.range.start {
            claims.leave_out(stack.range.start..end.min(stack.range.end));
        }
        if let Some(start) = start_of_thread(data as u64, &moment.memory, &moment.regions) {
            claims.leave_out(start);
        }
    }
    claims
}

/// What the C library notes of how a thread was started: the function, and what it was called with.
fn start_of_thread(data: u64, memory: &impl Memory, regions: &[Region]) -> Option<Range<u64>> {
    let is_code = |&word: &u64| {
        let mut code = regions.iter().filter(|region| region.executable && region.is_file());
        code.any(|region| region.range.contains(&word))
    };
    let mut words = [0; THREAD_DATA as usize / 8];
    let read = memory.read(data, &mut words);
    let at = data + 8 * words[..read].iter().position(is_code)? as u64;
    Some(at..at + 16)
}

/// The registers of threads, and their thread-locals.
fn claim_threads(moment: &Moment, images: &[Image], claims: &mut Claims, owners: &mut Vec<Locals>) {
    let locals = static_locals(&moment.memory);
    for (index, thread) in moment.threads.iter().enumerate() {
        if moment.frozen.is_some() {
            claims.claim(thread.registers.clone(), AreaKind::Stack(index));
        } else {
            // They were copied into memory of the search's own, which is left out.
            let range = thread.registers.clone();
            claims.leave_out(range.clone());
            claims.areas.push(Area { range, kind: AreaKind::Stack(index) });
        }
        if let Some(alternate) = &thread.alternate {
            // Nothing runs there but the handler that stopped the thread.
            claims.leave_out(alternate.clone());
        }
        if let Some(pointer) = thread.thread_pointer {
            let end = (pointer + THREAD_DATA).min(region_end(&moment.regions, pointer));
            // What glibc notes of a thread stays there when it is old: the address of what the thread was started with, for one.
            owners.push(Locals {
                thread: index,
                image: images.iter().position(|image| image.is_program),
                start: locals_start(pointer, &moment.memory),
            });
            let own = AreaKind::ThreadLocal(owners.len() - 1);
            let [before, behind] = match cfg!(target_arch = "x86_64") {
                true => [own, AreaKind::Unknown],
                false => [AreaKind::Unknown, own],
            };
            claims.claim(pointer - locals..pointer, before);
            claims.claim(pointer..end, behind);
        }
    }
}

/// What is mapped: stacks, statics, and what nobody knows.
fn claim_regions(moment: &Moment, heap: &Heap, claims: &mut Claims, until: Instant) {
    let programs = programs(&moment.regions);
    let is_data = |region: &Region| {
        region.is_file() && !region.shared && programs.contains(region.name.as_str())
    };
    // An allocator's memory may be a static: what is free in it is no more the static's than a block is.
    let claim_pools = |region: &Region, claims: &mut Claims| {
        for pool in &heap.pools {
            let part = pool.start.max(region.range.start)..pool.end.min(region.range.end);
            if !part.is_empty() {
                claims.claim(part, AreaKind::Freed);
            }
        }
    };
    let claim_static = |region: &Region, of: &Region, claims: &mut Claims| {
        claim_pools(region, claims);
        claims.claim(region.range.clone(), AreaKind::Static(of.name.clone()));
    };
    for (index, region) in moment.regions.iter().enumerate() {
        let before = index.checked_sub(1).map(|before| &moment.regions[before]);
        let before = before.filter(|before| before.range.end == region.range.start);
        if !region.readable || region.name.starts_with("[v") || region.range.start >> 63 != 0 {
            continue;
        }
        if !region.writable && !region.is_anonymous() && !is_memory(region) {
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
            // Another thread that goes on may be deeper now.
            let is_there = moment.frozen.is_some() || thread == 0;
            let start = if is_own && is_there { pointer & !7 } else { region.range.start };
            claims.claim(start..region.range.end, AreaKind::Stack(thread));
        } else if is_data(region) || region.name == "[stack]" {
            claim_static(region, region, claims);
        } else if let Some(file) = before.filter(|before| region.is_anonymous() && is_data(before))
        {
            claim_static(region, file, claims);
        } else {
            let mut start = region.range.start;
            if before.is_some_and(|before| !before.readable) {
                start = dead_stack(&moment.memory, region, until).unwrap_or(start);
            }
            // The system makes one mapping of two that lie side by side: an allocator's is where its blocks are.
            claim_pools(region, claims);
            claims.claim(start..region.range.end, AreaKind::Unknown);
        }
    }
}

/// Whether a region that may not be written is memory all the same, which the program may write by another mapping.
fn is_memory(region: &Region) -> bool {
    ["/memfd:", "/dev/shm/", "/SYSV", "/dev/zero"].iter().any(|name| region.name.starts_with(name))
}

/// The files of which some part is mapped as code: programs and libraries. What others are mapped for is not known: memory that
/// processes share, or a file's contents.
fn programs(regions: &[Region]) -> HashSet<&str> {
    let code = regions.iter().filter(|region| region.is_file() && region.executable);
    code.map(|region| region.name.as_str()).collect()
}

fn region_end(regions: &[Region], address: u64) -> u64 {
    let region = regions.iter().find(|region| region.range.contains(&address));
    region.map_or(address, |region| region.range.end)
}

/// A stack that lies in a block: a coroutine's, or one that the program made for a thread. The whole block is the thread's.
pub(super) fn stacks_in_blocks(threads: &[Thread], blocks: &mut Blocks, areas: &mut Vec<Area>) {
    let mut stacks = Vec::new();
    for (index, thread) in threads.iter().enumerate() {
        if let Some(block) = thread.stack_pointer.and_then(|pointer| blocks.find(pointer)) {
            let (range, kind) = (blocks.range(block), AreaKind::Stack(index));
            stacks.push(range.start);
            areas.push(Area { range, kind });
        }
    }
    blocks.remove(&stacks);
}

/// Where the stack of a thread that has ended, and that glibc keeps for another, ends.
///
/// glibc's data of the thread stand at its end: twice their own address, and a thread number that is
/// 0, or -1 once the thread was joined.
#[cfg(target_arch = "x86_64")]
fn dead_stack(memory: &ProcessMemory, region: &Region, until: Instant) -> Option<u64> {
    let number = number_offset(memory)?;
    let own = thread_pointer();
    let mut words = vec![0; 1 << 16];
    let mut at = region.range.start;
    while at < region.range.end && Instant::now() < until {
        let next = memory.present_from(at);
        if next > at {
            at = next;
            continue;
        }
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
fn dead_stack(_: &ProcessMemory, _: &Region, _: Instant) -> Option<u64> {
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
