//! Walking the stack of this thread: by frame pointers, or by the unwinder.

use super::bounds;
use std::ffi::c_void;

/// The registers that a walk starts from.
#[derive(Clone, Copy, Debug)]
pub(super) struct Registers {
    #[cfg_attr(not(feature = "stacks"), allow(dead_code))]
    pub(super) ip: usize,
    pub(super) sp: usize,
    pub(super) fp: usize,
    /// The return address of the function that reads them, where the architecture keeps it in a register.
    #[cfg_attr(not(all(feature = "stacks", target_arch = "aarch64")), allow(dead_code))]
    pub(super) lr: usize,
}

/// Reads the registers of the function that this stands in. (A macro: a function would have a frame of its own.)
macro_rules! registers {
    () => {{
        let (ip, sp, fp, lr): (usize, usize, usize, usize);
        #[cfg(target_arch = "x86_64")]
        // SAFETY: REGISTERS: reads three registers, and nothing else.
        unsafe {
            lr = 0;
            std::arch::asm!(
                "lea {ip}, [rip]", "mov {sp}, rsp", "mov {fp}, rbp",
                ip = out(reg) ip, sp = out(reg) sp, fp = out(reg) fp,
                options(nomem, nostack, preserves_flags),
            );
        }
        #[cfg(target_arch = "aarch64")]
        // SAFETY: REGISTERS: reads four registers, and nothing else.
        unsafe {
            std::arch::asm!(
                "adr {ip}, .", "mov {sp}, sp", "mov {fp}, x29", "mov {lr}, x30",
                ip = out(reg) ip, sp = out(reg) sp, fp = out(reg) fp, lr = out(reg) lr,
                options(nomem, nostack, preserves_flags),
            );
        }
        $crate::stack::capture::walk::Registers { ip, sp, fp, lr }
    }};
}
pub(super) use registers;

/// No code lies in a process's first pages.
const LOWEST_CODE: usize = 1 << 12;
/// Both ABIs keep a frame's base aligned so; an address that isn't is no frame's base.
const ALIGNMENT: usize = 16;

/// Follows the chain of frame pointers into `frames`, the innermost caller first, and returns how many there are and a
/// hash of them.
///
/// ```text
///   fp ──► ┌────────────────┐         reads only words that lie on this thread's stack,
///          │ caller's fp    │ ──┐     above the stack pointer and above what was read before:
///          ├────────────────┤   │     a wrong frame pointer ends the walk, and can't do more
///          │ return address │   │
///          └────────────────┘   ▼
/// ```
#[inline]
pub(super) fn by_frame_pointers(registers: Registers, frames: &mut [usize]) -> (usize, u64) {
    let mut hash = Hash::new();
    let Some(end) = bounds::end_of_stack(registers.sp) else { return (0, hash.finish()) };
    let (mut lowest, highest) = (registers.sp, end.saturating_sub(2 * size_of::<usize>()));
    let (mut frame, mut len) = (registers.fp, 0);
    while len < frames.len() && frame >= lowest && frame <= highest && frame % ALIGNMENT == 0 {
        let words = std::ptr::with_exposed_provenance::<usize>(frame);
        // SAFETY: FRAMES: both words lie between the stack pointer and the stack's end, and are aligned.
        let [caller, address] = unsafe { words.cast::<[usize; 2]>().read_volatile() };
        let address = without_signature(address);
        if address < LOWEST_CODE {
            break;
        }
        frames[len] = address;
        len += 1;
        hash.add(address);
        // Frames lie one above the other, so that the walk ends even where the chain is a circle.
        lowest = frame + 2 * size_of::<usize>();
        frame = caller;
    }
    (len, hash.finish())
}

/// A return address, without what pointer authentication keeps in its high bits.
#[inline]
fn without_signature(address: usize) -> usize {
    // 48 bits of it are an address, as Linux maps memory unless asked for more.
    if cfg!(target_arch = "aarch64") { address & ((1 << 48) - 1) } else { address }
}

/// The hash of a stack, taken while it is walked.
#[derive(Clone, Copy)]
pub(super) struct Hash(u64);

impl Hash {
    #[inline]
    pub(super) fn new() -> Self {
        Self(0)
    }

    #[inline]
    pub(super) fn add(&mut self, address: usize) {
        // FxHash's step: a rotation, since a product's low bits depend on low bits only.
        self.0 = (self.0.rotate_left(5) ^ address as u64).wrapping_mul(0x9E37_79B9_7F4A_7C15);
    }

    #[inline]
    pub(super) fn finish(self) -> u64 {
        self.0 ^ (self.0 >> 32)
    }

    #[cfg_attr(not(test), allow(dead_code))]
    pub(super) fn of(frames: &[usize]) -> u64 {
        let mut hash = Self::new();
        frames.iter().for_each(|&address| hash.add(address));
        hash.finish()
    }
}

// What the platform's own unwinder calls itself by: libgcc's, or LLVM's. std links it.
unsafe extern "C" {
    fn _Unwind_Backtrace(
        each: extern "C" fn(*mut c_void, *mut c_void) -> u32,
        data: *mut c_void,
    ) -> u32;
    fn _Unwind_GetIP(context: *mut c_void) -> usize;
    fn _Unwind_GetCFA(context: *mut c_void) -> usize;
}

const CONTINUE: u32 = 0;
const STOP: u32 = 5;

/// Walks by the unwind tables, as a panic does, with the platform's unwinder: some 150 ns a frame. Returns the number of
/// callers of the function whose registers these are.
#[cold]
#[inline(never)]
pub(super) fn by_system_unwinder(registers: Registers, frames: &mut [usize]) -> usize {
    struct Walk<'a> {
        sp: usize,
        frames: &'a mut [usize],
        len: usize,
        started: bool,
    }
    extern "C" fn each(context: *mut c_void, data: *mut c_void) -> u32 {
        // SAFETY: UNWINDER: the data passed below, which nobody else has until the walk returns.
        let walk = unsafe { &mut *data.cast::<Walk<'_>>() };
        if !walk.started {
            // SAFETY: UNWINDER: the context is the unwinder's, for this call.
            let sp = unsafe { _Unwind_GetCFA(context) };
            // Frames of this function and what it called lie below; the first that doesn't is the starting one.
            walk.started = sp >= walk.sp;
            return CONTINUE;
        }
        // SAFETY: UNWINDER: as above.
        let address = unsafe { _Unwind_GetIP(context) };
        if address < LOWEST_CODE || walk.len == walk.frames.len() {
            return STOP;
        }
        walk.frames[walk.len] = address;
        walk.len += 1;
        if walk.len == walk.frames.len() { STOP } else { CONTINUE }
    }
    let mut walk = Walk { sp: registers.sp, frames, len: 0, started: false };
    // SAFETY: UNWINDER: `each` doesn't unwind, and the data outlive the call.
    unsafe { _Unwind_Backtrace(each, (&raw mut walk).cast()) };
    walk.len
}

#[cfg(test)]
mod tests {
    use super::{Hash, Registers, by_frame_pointers};

    fn walk(fp: usize, sp: usize) -> Vec<usize> {
        let mut frames = [0; 64];
        let (len, hash) = by_frame_pointers(Registers { ip: 0, sp, fp, lr: 0 }, &mut frames);
        assert_eq!(hash, Hash::of(&frames[..len]));
        frames[..len].to_vec()
    }

    #[repr(C, align(16))]
    struct Chain([[usize; 2]; 4]);

    /// Frames made by hand, on this thread's stack.
    fn with_chain(link: impl Fn(usize) -> [usize; 4], check: impl Fn(Vec<usize>)) {
        let mut chain = Chain([[0; 2]; 4]);
        let base = (&raw mut chain).expose_provenance();
        for (frame, next) in chain.0.iter_mut().zip(link(base)) {
            *frame = [next, 0x40_0000 + next % 4096];
        }
        std::hint::black_box(&mut chain);
        check(walk(base, base - 64));
        std::hint::black_box(&mut chain);
    }

    #[test]
    fn a_chain_is_followed_to_its_end() {
        with_chain(
            |base| [base + 16, base + 32, base + 48, 0],
            |frames| assert_eq!(frames.len(), 4),
        );
    }

    #[test]
    fn a_wrong_frame_pointer_ends_the_walk() {
        // To itself, backwards, to nothing, off the alignment, off the stack, out of the address space.
        let wrong = |base: usize| {
            [
                base,
                base - 16,
                0,
                8,
                base + 40,
                base + 33,
                1 << 30,
                usize::MAX,
                usize::MAX - 15,
                isize::MIN as usize,
            ]
        };
        for case in 0..10 {
            with_chain(
                |base| [base + 16, wrong(base)[case], base + 48, 0],
                |frames| assert_eq!(frames.len(), 2, "case {case}"),
            );
        }
    }

    #[test]
    fn a_wrong_start_gives_nothing() {
        let here = 0_usize;
        let sp = (&raw const here).addr();
        for fp in [0, 1, 8, sp & !15, usize::MAX, usize::MAX & !15, 0x7fff_ffff_fff0, 16 << 20] {
            if fp < sp {
                assert!(walk(fp, sp).is_empty());
            }
        }
        // A frame pointer in memory that is mapped, but no stack.
        let heap = Box::new(Chain([[0x40_0000; 2]; 4]));
        assert!(walk((&raw const *heap).expose_provenance(), sp).is_empty());
        // On a stack that nobody knows, nothing is read, wherever the frame pointer leads.
        let other = (&raw const *heap).expose_provenance();
        assert!(walk(other + 16, other).is_empty());
    }

    #[test]
    fn the_last_words_of_a_stack_are_read_and_none_behind_them() {
        let here = 0_usize;
        let sp = (&raw const here).addr();
        let end = super::bounds::end_of_stack(sp).expect("the thread's own stack");
        for fp in (end - 256..end + 64).step_by(8) {
            walk(fp, sp);
        }
    }
}
