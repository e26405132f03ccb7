//! Where the stack of each thread ends, and what is in its registers.
//!
//! A handle that is stored in a register alone, or below the stack pointer that was taken, would be missed, and what it
//! holds be called unreachable: a false proof. So the caller's registers are put on its stack by a trampoline, and each
//! other thread is stopped by a signal, whose frame has them all (vector registers too), until the memory is copied, or the frames
//! are, where it is not.
//! Nothing is proven while a thread is not known so well.

use super::memory::Memory;
use super::stopped::Stopped;
use std::ops::Range;

/// Below the stack pointer, x86-64 lets a function without calls of its own keep values.
pub(super) const RED_ZONE: u64 = 128;

/// A thread and the part of its stack that is in use.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Thread {
    pub(super) tid: i32,
    pub(super) name: String,
    /// The end of its stack that moves. `None`: not known.
    pub(super) stack_pointer: Option<u64>,
    /// Where its saved registers are.
    pub(super) registers: Range<u64>,
    /// The stack that its signal handlers run on, while it is not on it itself.
    pub(super) alternate: Option<Range<u64>>,
    /// Where its thread-locals end and the system's data of it begin.
    pub(super) thread_pointer: Option<u64>,
    /// Whether its registers are in memory.
    pub(super) is_known: bool,
}

impl Thread {
    /// Whether the thread was stopped in a system call: the instruction before the next one is `syscall`.
    pub(super) fn waits(&self, memory: &impl Memory) -> bool {
        #[cfg(target_arch = "x86_64")]
        {
            let pointer = std::mem::offset_of!(libc::ucontext_t, uc_mcontext)
                + std::mem::offset_of!(libc::mcontext_t, gregs)
                + libc::REG_RIP as usize * 8;
            let mut next = [0];
            if self.registers.is_empty()
                || memory.read(self.registers.start + pointer as u64, &mut next) != 1
            {
                return false;
            }
            // The two bytes may be in two words.
            let (before, mut code) = (next[0].saturating_sub(2), [0; 2]);
            let read = memory.read(before & !7, &mut code);
            let bytes: Vec<u8> = code[..read].iter().flat_map(|word| word.to_ne_bytes()).collect();
            bytes.get((before & 7) as usize..).is_some_and(|bytes| bytes.starts_with(&[0x0f, 0x05]))
        }
        #[cfg(not(target_arch = "x86_64"))]
        {
            let _ = memory;
            false
        }
    }
}

/// The threads without having stopped them, the caller first: no other thread's registers are known.
pub(super) fn running(stack_pointer: u64) -> (Vec<Thread>, bool) {
    let (threads, _) = Stopped::nobody().threads(stack_pointer);
    let alone = threads.len() == 1;
    (threads, alone)
}

/// The system's name of a thread: 15 bytes at most. One without a name of its own has the program's there.
pub(super) fn name(tid: i32) -> String {
    let main = std::process::id() as i32;
    if tid == main {
        return "main".to_owned();
    }
    let name = |tid| {
        let name = std::fs::read_to_string(format!("/proc/self/task/{tid}/comm"));
        name.map(|name| name.trim().to_owned()).unwrap_or_default()
    };
    match name(tid) {
        unnamed if unnamed == name(main) => format!("unnamed-{tid}"),
        name => name,
    }
}

/// All threads, with the stack pointers of those that wait in the kernel.
pub(super) fn unstopped() -> Vec<(i32, Option<u64>)> {
    let tids = std::fs::read_dir("/proc/self/task").into_iter().flatten().flatten();
    let tids = tids.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    let stack_pointer = |tid: i32| {
        let text = std::fs::read_to_string(format!("/proc/self/task/{tid}/syscall")).ok()?;
        // number, six arguments, stack pointer, program counter; or `running`
        let field = text.split(' ').nth(7)?.strip_prefix("0x")?;
        Some(u64::from_str_radix(field, 16).ok()?.checked_sub(RED_ZONE)? & !7)
    };
    tids.map(|tid| (tid, stack_pointer(tid))).collect()
}
