//! What the system and the processor know of the thread that asks: its registers, its stacks, its number.

use std::ffi::c_void;
use std::mem::MaybeUninit;
use std::ops::Range;
use std::ptr;

/// Calls `f` with an address of this thread's stack, from which on stands all that its callers have there and in
/// registers.
pub(super) fn with_saved_registers<R>(f: impl FnOnce(u64) -> R) -> R {
    let mut call = Call { f: Some(f), result: None };
    let data = ptr::from_mut(&mut call).cast();
    // SAFETY: TRAMPOLINE: what it calls is called once, while `call` is there.
    unsafe { trampoline(entry(&call), data) };
    match call.result {
        Some(Ok(result)) => result,
        Some(Err(panic)) => std::panic::resume_unwind(panic),
        None => unreachable!("the trampoline calls what it is given"),
    }
}

struct Call<F, R> {
    f: Option<F>,
    result: Option<std::thread::Result<R>>,
}

type Entry = extern "C" fn(*mut c_void, u64);

/// What the trampoline calls, with a pointer to the call.
fn entry<F: FnOnce(u64) -> R, R>(_: &Call<F, R>) -> Entry {
    extern "C" fn run<F: FnOnce(u64) -> R, R>(data: *mut c_void, stack: u64) {
        // SAFETY: TRAMPOLINE: `data` is the `Call` that waits, borrowed by nobody else meanwhile.
        let call = unsafe { &mut *data.cast::<Call<F, R>>() };
        let f = call.f.take();
        // It must not unwind through the trampoline.
        let run = std::panic::AssertUnwindSafe(|| f.map(|f| f(stack)));
        call.result = std::panic::catch_unwind(run).transpose();
    }
    run::<F, R>
}

/// Pushes the registers that a callee has to save, and calls `call(data, stack pointer)`.
#[cfg(target_arch = "x86_64")]
#[unsafe(naked)]
unsafe extern "C" fn trampoline(call: Entry, data: *mut c_void) {
    std::arch::naked_asm!(
        // So that a debugger and a panic's backtrace see the frames above.
        ".cfi_startproc",
        "push rbp",
        "push rbx",
        "push r12",
        "push r13",
        "push r14",
        "push r15",
        "sub rsp, 8",
        ".cfi_adjust_cfa_offset 56",
        "mov rax, rdi",
        "mov rdi, rsi",
        "mov rsi, rsp",
        "call rax",
        "add rsp, 8",
        "pop r15",
        "pop r14",
        "pop r13",
        "pop r12",
        "pop rbx",
        "pop rbp",
        ".cfi_adjust_cfa_offset -56",
        "ret",
        ".cfi_endproc",
    )
}

/// As above; `d8` to `d15` are saved by a callee, too.
#[cfg(target_arch = "aarch64")]
#[unsafe(naked)]
unsafe extern "C" fn trampoline(call: Entry, data: *mut c_void) {
    std::arch::naked_asm!(
        "stp x29, x30, [sp, #-160]!",
        "mov x29, sp",
        "stp x19, x20, [sp, #16]",
        "stp x21, x22, [sp, #32]",
        "stp x23, x24, [sp, #48]",
        "stp x25, x26, [sp, #64]",
        "stp x27, x28, [sp, #80]",
        "stp d8, d9, [sp, #96]",
        "stp d10, d11, [sp, #112]",
        "stp d12, d13, [sp, #128]",
        "stp d14, d15, [sp, #144]",
        "mov x9, x0",
        "mov x0, x1",
        "mov x1, sp",
        "blr x9",
        "ldp x19, x20, [sp, #16]",
        "ldp x21, x22, [sp, #32]",
        "ldp x23, x24, [sp, #48]",
        "ldp x25, x26, [sp, #64]",
        "ldp x27, x28, [sp, #80]",
        "ldp d8, d9, [sp, #96]",
        "ldp d10, d11, [sp, #112]",
        "ldp d12, d13, [sp, #128]",
        "ldp d14, d15, [sp, #144]",
        "ldp x29, x30, [sp], #160",
        "ret",
    )
}

/// The thread pointer of the thread that asks.
pub(super) fn thread_pointer() -> u64 {
    let pointer: u64;
    #[cfg(target_arch = "x86_64")]
    // SAFETY: TLS: the ABI has the thread pointer in the word that it points to.
    unsafe {
        std::arch::asm!("mov {}, fs:0", out(reg) pointer, options(nostack, readonly, preserves_flags));
    }
    #[cfg(target_arch = "aarch64")]
    // SAFETY: TLS: reads a register.
    unsafe {
        std::arch::asm!("mrs {}, tpidr_el0", out(reg) pointer, options(nostack, nomem, preserves_flags));
    }
    pointer
}

/// The alternate stack of the thread that asks, while it is not on it.
pub(super) fn current_alternate(stack_pointer: u64) -> Option<Range<u64>> {
    let mut stack = MaybeUninit::<libc::stack_t>::uninit();
    // SAFETY: SYSCALL: asks, and writes what is asked for.
    if unsafe { libc::sigaltstack(ptr::null(), stack.as_mut_ptr()) } != 0 {
        return None;
    }
    // SAFETY: SYSCALL: written, since the call succeeded.
    let stack = unsafe { stack.assume_init() };
    let start = stack.ss_sp.addr() as u64;
    let range = start..start + stack.ss_size as u64;
    let is_there = stack.ss_flags & libc::SS_DISABLE == 0;
    Some(range).filter(|range| is_there && !range.contains(&stack_pointer))
}

/// The number of the thread that asks.
pub(super) fn current_tid() -> i32 {
    // SAFETY: SYSCALL: no memory is touched.
    unsafe { libc::syscall(libc::SYS_gettid) as i32 }
}

/// The processor's time that this thread has had.
#[cfg(feature = "stacks")]
pub(super) fn own_time() -> std::time::Duration {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: SYSCALL: writes the time, which outlives the call.
    unsafe { libc::clock_gettime(libc::CLOCK_THREAD_CPUTIME_ID, &raw mut time) };
    std::time::Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn registers_of_the_caller_are_on_its_stack() {
        let marker = 0x1234_5678_9abc_def1_u64;
        let (found, here) = with_saved_registers(|stack| {
            let here = ptr::from_ref(&marker).addr() as u64;
            let words: Vec<u64> = (stack..here + 8).step_by(8).collect();
            let mut copy = vec![0; words.len()];
            let memory = super::super::memory::ProcessMemory::of(std::process::id() as _);
            super::super::memory::Memory::read(&memory, stack, &mut copy);
            (copy.contains(&marker), stack < here)
        });
        assert!(found && here);
    }

    #[test]
    fn a_panic_passes_the_trampoline() {
        let caught = std::panic::catch_unwind(|| with_saved_registers(|_| panic!("on purpose")));
        assert!(caught.is_err());
    }
}
