//! Where each thread has its thread-locals: the program's, and those of libraries, by glibc's table of them (the DTV).
//!
//! ```text
//!  thread pointer ──► [1] (on AArch64 [0]) ──► DTV: [-1] its length │ [0] generation │ [n] where module n's are, or -1 │ to be freed …
//! ```
//!
//! A library that the program was linked with has its thread-locals beside the program's; one that was loaded later has them in
//! a block of the heap, once the thread has used one.

use super::memory::Memory;
#[cfg(target_arch = "x86_64")]
use super::registers::thread_pointer;
use super::symbols::Image;
use super::threads::Thread;
use crate::stack::{each_loaded, segments};
use std::ops::Range;

/// A program's or library's thread-locals in one thread.
pub(super) struct Local {
    /// The thread, by its index.
    pub(super) thread: usize,
    /// The file that they are of, by its index.
    pub(super) image: Option<usize>,
    pub(super) range: Range<u64>,
}

/// A library that has thread-locals.
pub(super) struct Module {
    /// Its number in the table of each thread.
    number: u64,
    /// The bytes of its thread-locals.
    size: u64,
    image: Option<usize>,
}

/// The libraries that have thread-locals. Not the program, whose own are found without the table.
pub(super) fn modules(images: &[Image]) -> Vec<Module> {
    let mut modules = Vec::new();
    if cfg!(target_env = "gnu") {
        each_loaded(|info, _| {
            let at = info.dlpi_phdr.addr() as u64;
            let image = images.iter().position(|image| image.contains(at));
            let own = segments(info).iter().find(|header| header.p_type == libc::PT_TLS);
            if let Some(own) = own.filter(|_| info.dlpi_tls_modid != 0)
                && image.is_none_or(|image| !images[image].is_program)
            {
                let number = info.dlpi_tls_modid as u64;
                modules.push(Module { number, size: own.p_memsz, image });
            }
            false
        });
    }
    modules
}

/// How many bytes the thread-locals of the program, and of all libraries that it was linked with, lie before the thread's data:
/// in each thread as in this one. Frames end there.
#[cfg(target_arch = "x86_64")]
pub(super) fn all_static_locals() -> u64 {
    /// More than the loader sets aside.
    const MOST: u64 = 1 << 20;
    let (pointer, mut most) = (thread_pointer(), 0);
    each_loaded(|info, _| {
        if !info.dlpi_tls_data.is_null() {
            let before = pointer.wrapping_sub(info.dlpi_tls_data.addr() as u64);
            // Those of a library that was loaded later are a block of the heap.
            if before < MOST {
                most = most.max(before);
            }
        }
        false
    });
    most
}

/// They lie behind the thread's data.
#[cfg(target_arch = "aarch64")]
pub(super) fn all_static_locals() -> u64 {
    0
}

/// The most libraries that a table is believed to have.
const MOST: u64 = 1 << 16;

/// The libraries' thread-locals in each thread, as far as they are there.
pub(super) fn locals(memory: &impl Memory, threads: &[Thread], modules: &[Module]) -> Vec<Local> {
    let word = |at: u64| {
        let mut word = [0];
        (at.is_multiple_of(8) && memory.read(at, &mut word) == 1).then_some(word[0])
    };
    let table_at = if cfg!(target_arch = "x86_64") { 8 } else { 0 };
    let mut found = Vec::new();
    for (thread, pointer) in threads.iter().enumerate() {
        let Some(table) = pointer.thread_pointer.and_then(|pointer| word(pointer + table_at))
        else {
            continue;
        };
        let length = table.checked_sub(16).and_then(word).filter(|&length| length < MOST);
        for module in modules.iter().filter(|module| Some(module.number) <= length) {
            // -1 where the thread has not used one yet.
            let start = word(table + 16 * module.number).filter(|&at| at != 0 && at != u64::MAX);
            if let Some(start) = start
                && start.checked_add(module.size).is_some()
                && module.size > 0
            {
                let range = start..start + module.size;
                found.push(Local { thread, image: module.image, range });
            }
        }
    }
    found
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
pub(super) fn locals_start(pointer: u64, memory: &impl Memory) -> u64 {
    pointer - static_locals(memory)
}

/// They lie behind two words that the pointer points to.
#[cfg(target_arch = "aarch64")]
pub(super) fn locals_start(pointer: u64, memory: &impl Memory) -> u64 {
    let align = locals_layout(memory).map_or(1, |(_, align)| align);
    pointer + 16_u64.next_multiple_of(align)
}

/// How many bytes of the program's own thread-locals lie before the thread pointer.
#[cfg(target_arch = "x86_64")]
pub(super) fn static_locals(memory: &impl Memory) -> u64 {
    locals_layout(memory).map_or(0, |(size, align)| size.next_multiple_of(align))
}

/// They lie behind it, with glibc's own data of the thread before it.
#[cfg(target_arch = "aarch64")]
pub(super) fn static_locals(_: &impl Memory) -> u64 {
    0x700
}
