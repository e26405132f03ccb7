//! Stops the other threads by a signal, so that their registers are in memory while it is copied, or are copied where it is not.

use super::memory::Memory;
use super::registers::{current_alternate, current_tid, thread_pointer};
use super::threads::{RED_ZONE, Thread, name, unstopped};
use crate::runtime::threads::is_own_thread;
use std::ffi::{c_int, c_void};
use std::io;
use std::mem::MaybeUninit;
use std::ops::Range;
use std::ptr;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// How long threads may keep the search waiting, and stay stopped.
const PATIENCE: Duration = Duration::from_millis(60);

/// Threads that can be stopped at once. With more, nothing is proven.
const THREADS: usize = 1024;

/// Each search has the slots behind those of the last one, so that a thread which comes late, and does not know yet that nobody
/// waits for it, does not write into a slot that is read: a search stops its threads four times at most.
const SLOTS: usize = 4 * THREADS;

/// What a stopped thread says of itself.
struct Slot {
    /// The thread, and in the higher half the number of the session: see [`tagged`].
    tid: AtomicU64,
    stack_pointer: AtomicU64,
    thread_pointer: AtomicU64,
    frame: AtomicU64,
    frame_end: AtomicU64,
    alternate: AtomicU64,
    alternate_end: AtomicU64,
}

/// The search that stops threads now. There is one at a time: see [`Search::run`](super::Search::run).
struct Session {
    /// Odd while threads are to wait; what they wait for is its change.
    number: AtomicU32,
    /// The next slot, tagged.
    next: AtomicU64,
    /// How many threads have arrived, tagged.
    arrived: AtomicU64,
    /// Threads that went on by themselves, because they had waited too long.
    left: AtomicU32,
    slots: [Slot; SLOTS],
}

static SESSION: Session = Session {
    number: AtomicU32::new(0),
    next: AtomicU64::new(0),
    arrived: AtomicU64::new(0),
    left: AtomicU32::new(0),
    slots: [const {
        Slot {
            tid: AtomicU64::new(0),
            stack_pointer: AtomicU64::new(0),
            thread_pointer: AtomicU64::new(0),
            frame: AtomicU64::new(0),
            frame_end: AtomicU64::new(0),
            alternate: AtomicU64::new(0),
            alternate_end: AtomicU64::new(0),
        }
    }; SLOTS],
};

/// A number of the session that it is of: one that comes late is no other session's.
fn tagged(number: u32, value: u32) -> u64 {
    u64::from(number) << 32 | u64::from(value)
}

/// Adds one, and returns what was there before. `None` where another session has begun.
fn add_one(to: &AtomicU64, number: u32) -> Option<u32> {
    let next = |value: u64| ((value >> 32) as u32 == number).then(|| value + 1);
    // Release: who counts the thread sees its slot. Acquire: as the search does that began the session.
    let before = to.fetch_update(Ordering::AcqRel, Ordering::Acquire, next);
    before.ok().map(|before| before as u32)
}

/// `word` is one of [`SESSION`].
fn futex(word: *mut u32, operation: c_int, value: u32, timeout: &libc::timespec) {
    let operation = operation | libc::FUTEX_PRIVATE_FLAG;
    // SAFETY: SYSCALL: the word and the time outlive the call.
    unsafe { libc::syscall(libc::SYS_futex, word, operation, value, timeout) };
}

/// The lower half of a tagged number, which the kernel compares: the first one, on the processors that are known here.
fn lower(tagged: &AtomicU64) -> *mut u32 {
    const { assert!(cfg!(target_endian = "little")) };
    tagged.as_ptr().cast()
}

const A_WHILE: libc::timespec = libc::timespec { tv_sec: 0, tv_nsec: 5_000_000 };

/// What a thread does that is asked to stop: system calls and atomics alone.
extern "C" fn stop(_: c_int, _: *mut libc::siginfo_t, context: *mut c_void) {
    let session = &SESSION;
    // Acquire: pairs with the release in `Stopped::new`, before the signal.
    let number = session.number.load(Ordering::Acquire);
    if number.is_multiple_of(2) {
        return; // the search did not wait for this thread
    }
    // SAFETY: SYSCALL: this thread's own errno, which the calls below must not change.
    let errno = unsafe { libc::__errno_location() };
    // SAFETY: SYSCALL: as above.
    let errno = unsafe { &mut *errno };
    let before = *errno;
    // SAFETY: SIGNAL: the third argument of a handler with SA_SIGINFO is the context.
    let context = unsafe { &*context.cast::<libc::ucontext_t>() };
    #[cfg(target_arch = "x86_64")]
    let stack_pointer = context.uc_mcontext.gregs[libc::REG_RSP as usize] as u64;
    #[cfg(target_arch = "aarch64")]
    let stack_pointer = context.uc_mcontext.sp;
    let frame = ptr::from_ref(context).addr() as u64;
    let (alternate, size) = (context.uc_stack.ss_sp.addr() as u64, context.uc_stack.ss_size as u64);
    let on_alternate = (alternate..alternate + size).contains(&frame);
    // On the thread's own stack the frame ends where the interrupted function's begins.
    let frame_end = if on_alternate { alternate + size } else { stack_pointer.max(frame) };
    if let Some(slot) = add_one(&session.next, number) {
        let slot = &session.slots[slot as usize % SLOTS];
        slot.stack_pointer.store(stack_pointer, Ordering::Relaxed);
        slot.thread_pointer.store(thread_pointer(), Ordering::Relaxed);
        slot.frame.store(frame, Ordering::Relaxed);
        slot.frame_end.store(frame_end, Ordering::Relaxed);
        slot.alternate.store(alternate, Ordering::Relaxed);
        slot.alternate_end.store(alternate + size, Ordering::Relaxed);
        // Release: who sees the thread's number sees the rest.
        slot.tid.store(tagged(number, current_tid() as u32), Ordering::Release);
        add_one(&session.arrived, number);
        futex(lower(&session.arrived), libc::FUTEX_WAKE, 1, &A_WHILE);
    }
    let mut waited = 0;
    // Acquire: what the search did is before what this thread does on.
    while session.number.load(Ordering::Acquire) == number && waited < 100 {
        futex(session.number.as_ptr(), libc::FUTEX_WAIT, number, &A_WHILE);
        waited += 1;
    }
    if session.number.load(Ordering::Acquire) == number {
        session.left.fetch_add(1, Ordering::Release);
    }
    *errno = before;
}

/// All other threads of the process, stopped. Dropping it lets them go on.
///
/// Nothing may be allocated meanwhile: a stopped thread may hold the allocator's lock.
pub(super) struct Stopped {
    signal: Option<Signal>,
    /// The session's number, and its first slot.
    number: u32,
    first: u32,
    sent: u32,
    /// Where the registers were copied, if they were.
    kept: Option<Range<u64>>,
    /// Threads that the signal can't reach, and those past [`THREADS`].
    missed: bool,
    /// Whether a thread was waited for in vain: it did not get a processor, for one.
    pub(super) is_late: bool,
    done: bool,
}

/// A signal that the program does not use, and what it did before.
struct Signal {
    number: c_int,
    before: libc::sigaction,
}

fn handler() -> libc::sighandler_t {
    let handler: extern "C" fn(c_int, *mut libc::siginfo_t, *mut c_void) = stop;
    handler as libc::sighandler_t
}

unsafe extern "C" {
    // What the crate libc's `SIGRTMIN` calls, which its older versions do not have.
    safe fn __libc_current_sigrtmin() -> c_int;
    safe fn __libc_current_sigrtmax() -> c_int;
}

/// The real-time signals that libc leaves to the program.
fn real_time_signals() -> std::ops::RangeInclusive<c_int> {
    __libc_current_sigrtmin()..=__libc_current_sigrtmax()
}

impl Signal {
    /// The highest real-time signal that has no handler, or ours still.
    fn unused() -> Option<c_int> {
        real_time_signals().rev().find(|&signal| {
            let mut now = MaybeUninit::<libc::sigaction>::uninit();
            // SAFETY: SYSCALL: asks, and writes what is asked for.
            let asked = unsafe { libc::sigaction(signal, ptr::null(), now.as_mut_ptr()) };
            // SAFETY: SYSCALL: written where the call succeeded.
            let now = (asked == 0).then(|| unsafe { now.assume_init() }.sa_sigaction);
            now == Some(libc::SIG_DFL) || now == Some(handler())
        })
    }

    fn take() -> Option<Self> {
        let number = Self::unused()?;
        let before = Self::set(number, libc::SA_ONSTACK)?;
        Some(Self { number, before })
    }

    /// Sets the handler, and returns what was there before.
    fn set(number: c_int, flags: c_int) -> Option<libc::sigaction> {
        // SAFETY: SIGNAL: all zeros are a value of it.
        let mut action: libc::sigaction = unsafe { MaybeUninit::zeroed().assume_init() };
        action.sa_sigaction = handler();
        action.sa_flags = libc::SA_SIGINFO | libc::SA_RESTART | flags;
        let all = u64::MAX;
        // SAFETY: SIGNAL: the set is longer than eight bytes, all of whose values are sets.
        unsafe { ptr::from_mut(&mut action.sa_mask).cast::<u64>().write_unaligned(all) };
        let mut before = MaybeUninit::uninit();
        // SAFETY: SIGNAL: `stop` is a handler for these flags.
        let set = unsafe { libc::sigaction(number, &action, before.as_mut_ptr()) };
        // SAFETY: SYSCALL: written where the call succeeded.
        (set == 0).then(|| unsafe { before.assume_init() })
    }

    fn give_back(&self) {
        // SAFETY: SIGNAL: what was there before.
        unsafe { libc::sigaction(self.number, &self.before, ptr::null_mut()) };
    }
}

/// Room for what is read while nothing may be allocated. It is in the copy: nothing old may stand in it.
pub(super) struct Room {
    directory: Vec<u64>,
    text: Vec<u8>,
    tids: Vec<i32>,
    /// What the threads had in their registers, where they go on before the memory is read.
    pub(super) registers: Vec<u64>,
}

/// Words of [`Room::registers`]: a thread's take up to some 500, which the system gives once they are written.
const REGISTERS: usize = 512 * THREADS;

impl Room {
    pub(super) fn new(is_live: bool) -> Self {
        let mut tids = vec![0; THREADS];
        tids.clear();
        let (directory, text) = (vec![0; 1 << 13], vec![0; 1 << 13]);
        // For a copy they are in it.
        let registers = vec![0; if is_live { REGISTERS } else { 0 }];
        Self { directory, text, tids, registers }
    }
}

/// A file that is open, by number. Nothing is allocated.
struct File(c_int);

impl File {
    fn open(path: &std::ffi::CStr, flags: c_int) -> Option<Self> {
        // SAFETY: SYSCALL: the path ends with a zero.
        let file = unsafe { libc::open(path.as_ptr(), flags | libc::O_CLOEXEC) };
        (file >= 0).then_some(Self(file))
    }
}

impl Drop for File {
    fn drop(&mut self) {
        // SAFETY: SYSCALL: the file is this value's own.
        unsafe { libc::close(self.0) };
    }
}

/// Calls `f` for each thread of the process. False where they could not be listed.
fn for_each_thread(directory: &mut [u64], mut f: impl FnMut(i32)) -> bool {
    let Some(file) = File::open(c"/proc/self/task", libc::O_RDONLY | libc::O_DIRECTORY) else {
        return false;
    };
    loop {
        let (to, size) = (directory.as_mut_ptr(), size_of_val(directory));
        // SAFETY: SYSCALL: writes at most `size` bytes.
        let read = unsafe { libc::syscall(libc::SYS_getdents64, file.0, to, size) };
        let Ok(read) = usize::try_from(read) else { return false };
        if read == 0 {
            return true;
        }
        // SAFETY: SYSCALL: so many bytes were written.
        let bytes = unsafe { std::slice::from_raw_parts(to.cast::<u8>(), read) };
        // number: u64, offset: u64, length: u16, type: u8, name, a zero
        let mut at = 0;
        while at + 19 < read {
            let length = u16::from_ne_bytes([bytes[at + 16], bytes[at + 17]]);
            let name = bytes[at + 19..].split(|&byte| byte == 0).next().unwrap_or_default();
            if let Some(tid) = parse_tid(name) {
                f(tid);
            }
            at += usize::from(length).max(1);
        }
    }
}

fn parse_tid(name: &[u8]) -> Option<i32> {
    std::str::from_utf8(name).ok()?.parse().ok()
}

/// Writes `/proc/self/task/TID/status` and a zero, without allocating.
fn status_path(tid: i32) -> [u8; 48] {
    let mut path = [0; 48];
    let mut rest = &mut path[..];
    // It fits: a number has at most ten digits.
    let _ = io::Write::write_fmt(&mut rest, format_args!("/proc/self/task/{tid}/status\0"));
    path
}

/// Whether a thread blocks a signal, as far as its status says.
fn blocks(tid: i32, signal: c_int, text: &mut [u8]) -> bool {
    let path = status_path(tid);
    let Ok(path) = std::ffi::CStr::from_bytes_until_nul(&path) else { return true };
    let Some(file) = File::open(path, libc::O_RDONLY) else { return true };
    // SAFETY: SYSCALL: writes at most so many bytes.
    let read = unsafe { libc::read(file.0, text.as_mut_ptr().cast(), text.len()) };
    let text = &text[..usize::try_from(read).unwrap_or(0)];
    let line = text.split(|&byte| byte == b'\n').find_map(|line| line.strip_prefix(b"SigBlk:\t"));
    let mask = line.and_then(|line| std::str::from_utf8(line).ok());
    let mask = mask.and_then(|mask| u64::from_str_radix(mask, 16).ok());
    mask.is_none_or(|mask| mask >> (signal - 1) & 1 == 1)
}

impl Stopped {
    /// No thread is stopped.
    pub(super) fn nobody() -> Self {
        Self {
            signal: None,
            number: 0,
            first: 0,
            sent: 0,
            kept: None,
            missed: false,
            is_late: false,
            done: true,
        }
    }

    /// Stops all threads but this one, and those that block every signal. `room` keeps what must not be allocated.
    pub(super) fn new(room: &mut Room, at_exit: bool) -> Self {
        let signal = Signal::take();
        let mut stopped = Self::nobody();
        (stopped.signal, stopped.done) = (signal, false);
        let Some(signal) = stopped.signal.as_ref().map(|signal| signal.number) else {
            stopped.missed = true;
            return stopped;
        };
        let session = &SESSION;
        // The next odd number: it is odd already in a process that was forked while threads were stopped.
        let number = session.number.load(Ordering::Relaxed).wrapping_add(1) | 1;
        let first = (session.next.load(Ordering::Relaxed) as u32) % SLOTS as u32;
        (stopped.number, stopped.first) = (number, first);
        session.next.store(tagged(number, first), Ordering::Relaxed);
        session.arrived.store(tagged(number, 0), Ordering::Relaxed);
        session.left.store(0, Ordering::Relaxed);
        // Release: a thread that sees the odd number sees the session's other numbers.
        session.number.store(number, Ordering::Release);
        let (own, until) = (current_tid(), Instant::now() + PATIENCE);
        // Its alternate stack is gone once `std::process::exit` was called by another thread, while the kernel still has it
        // for the thread's: a signal that is to be handled there would be the end of the process.
        let main = (at_exit && own != std::process::id() as i32).then(|| std::process::id() as i32);
        let Room { directory, text, tids, .. } = room;
        tids.clear();
        // A thread that was not stopped yet may have made another: until no new one is there. One that begins blocks all
        // signals for a moment.
        let mut patience = 5;
        loop {
            let (before, mut blocked) = (tids.len(), false);
            let listed = for_each_thread(directory, |tid| {
                if tid == own || Some(tid) == main || is_own_thread(tid) || tids.contains(&tid) {
                    return;
                }
                if tids.len() == tids.capacity() || blocks(tid, signal, text) {
                    blocked = true;
                    return;
                }
                tids.push(tid);
                stopped.send(tid, signal);
            });
            stopped.missed |= !listed;
            stopped.is_late = !stopped.wait(until);
            if stopped.is_late || !listed {
                break;
            }
            if blocked && patience > 0 {
                patience -= 1;
                std::thread::sleep(Duration::from_millis(1));
            } else if tids.len() == before {
                stopped.missed |= blocked;
                break;
            }
        }
        if let Some(main) = main {
            stopped.missed |= blocks(main, signal, text)
                || Signal::set(signal, 0).is_none()
                || !stopped.send(main, signal)
                || !stopped.wait(until);
        }
        stopped
    }

    /// Sends the signal. False for a thread that has ended meanwhile.
    fn send(&mut self, tid: i32, signal: c_int) -> bool {
        let pid = std::process::id();
        // SAFETY: SIGNAL: `stop` handles it.
        let sent = unsafe { libc::syscall(libc::SYS_tgkill, pid, tid, signal) } == 0;
        self.sent += u32::from(sent);
        sent
    }

    /// Waits until the threads have arrived that got the signal. One that ends before it gets it never does.
    fn wait(&self, until: Instant) -> bool {
        loop {
            // Acquire: pairs with the release of each arrival.
            let arrived = SESSION.arrived.load(Ordering::Acquire) as u32;
            if arrived >= self.sent {
                return true;
            }
            if Instant::now() > until {
                return false;
            }
            futex(lower(&SESSION.arrived), libc::FUTEX_WAIT, arrived, &A_WHILE);
        }
    }

    /// The slots of this session that threads have filled, and which threads.
    fn slots(&self) -> impl Iterator<Item = (i32, &'static Slot)> {
        let (number, first) = (self.number, self.first as usize);
        let count = if self.signal.is_some() { THREADS } else { 0 };
        let slots = (first..first + count).map(|slot| &SESSION.slots[slot % SLOTS]);
        slots.filter_map(move |slot| {
            // Acquire: pairs with the release that published the slot.
            let tid = slot.tid.load(Ordering::Acquire);
            ((tid >> 32) as u32 == number).then_some((tid as i32, slot))
        })
    }

    /// Copies the registers of the threads that are stopped, as many as there is room for: their frames are gone once they go
    /// on. Nothing is allocated.
    pub(super) fn keep_registers(&mut self, room: &mut Room, memory: &impl Memory) {
        let start = room.registers.as_ptr().addr() as u64;
        self.kept = Some(start..start + 8 * room.registers.len() as u64);
        let mut free = &mut room.registers[..];
        for (_, slot) in self.slots() {
            let frame = slot.frame.load(Ordering::Relaxed) & !7;
            let words = (slot.frame_end.load(Ordering::Relaxed).saturating_sub(frame) / 8) as usize;
            if words > free.len() {
                continue;
            }
            let (copy, rest) = std::mem::take(&mut free).split_at_mut(words);
            free = rest;
            let (start, read) = (copy.as_ptr().addr() as u64, memory.read(frame, copy));
            // Relaxed: read by this thread alone, and a thread fills its slot once.
            slot.frame.store(start, Ordering::Relaxed);
            slot.frame_end.store(start + 8 * read as u64, Ordering::Relaxed);
        }
    }

    /// Lets the threads go on.
    pub(super) fn release(&mut self) {
        if std::mem::replace(&mut self.done, true) {
            return;
        }
        let Some(signal) = &self.signal else { return };
        // Release: pairs with the acquire of the threads that wait.
        SESSION.number.fetch_add(1, Ordering::Release);
        // Relaxed: one that comes now takes no slot.
        SESSION.next.fetch_add(tagged(1, 0), Ordering::Relaxed);
        futex(SESSION.number.as_ptr(), libc::FUTEX_WAKE, c_int::MAX as u32, &A_WHILE);
        // One that comes late would be the end of the program if there were no handler any more.
        if SESSION.arrived.load(Ordering::Acquire) as u32 >= self.sent {
            signal.give_back();
        }
    }

    /// What is known of the threads that run now: the caller first, whose stack is in use from `stack_pointer` on.
    pub(super) fn threads(&mut self, stack_pointer: u64) -> (Vec<Thread>, bool) {
        self.release();
        let mut threads = vec![Thread {
            tid: current_tid(),
            name: name(current_tid()),
            stack_pointer: Some(stack_pointer),
            registers: 0..0,
            alternate: current_alternate(stack_pointer),
            thread_pointer: Some(thread_pointer()),
            is_known: true,
        }];
        threads.extend(self.slots().map(|(tid, slot)| {
            let pointer = slot.stack_pointer.load(Ordering::Relaxed);
            let alternate =
                slot.alternate.load(Ordering::Relaxed)..slot.alternate_end.load(Ordering::Relaxed);
            let frame = slot.frame.load(Ordering::Relaxed) & !7;
            // One that came too late to be copied has gone on.
            let is_there = self.kept.as_ref().is_none_or(|kept| kept.contains(&frame));
            let end = slot.frame_end.load(Ordering::Relaxed) & !7;
            Thread {
                tid,
                alternate: Some(alternate).filter(|range| !range.contains(&pointer)),
                name: name(tid),
                stack_pointer: Some(pointer - RED_ZONE),
                registers: if is_there { frame..end } else { 0..0 },
                thread_pointer: Some(slot.thread_pointer.load(Ordering::Relaxed)),
                is_known: is_there,
            }
        }));
        let mut all = !self.missed
            && !self.is_late
            && self.signal.is_some()
            && threads.len() > self.sent as usize
            && SESSION.left.load(Ordering::Acquire) == 0;
        let known = threads.len();
        for (tid, stack_pointer) in unstopped() {
            if !is_own_thread(tid) && threads[..known].iter().all(|thread| thread.tid != tid) {
                // It may have been made since: then it does no harm.
                all = false;
                threads.push(Thread {
                    tid,
                    name: name(tid),
                    stack_pointer,
                    registers: 0..0,
                    alternate: None,
                    thread_pointer: None,
                    is_known: false,
                });
            }
        }
        // A thread without a name of its own has that of the thread that made it: the asker's is its alone.
        if let Some((own, others)) = threads.split_first_mut() {
            for other in others.iter_mut().filter(|other| other.name == own.name) {
                other.name = format!("{} #{}", other.name, other.tid);
            }
        }
        (threads, all)
    }
}

impl Drop for Stopped {
    fn drop(&mut self) {
        self.release();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// It saw the number of a session that has ended.
    #[test]
    fn one_that_comes_late_takes_no_slot_and_is_not_counted() {
        let next = AtomicU64::new(tagged(7, 5));
        assert_eq!([add_one(&next, 7), add_one(&next, 7)], [Some(5), Some(6)]);
        next.store(tagged(9, 7), Ordering::Relaxed);
        assert_eq!([add_one(&next, 7), add_one(&next, 9)], [None, Some(7)]);
        assert_eq!(next.into_inner(), tagged(9, 8));
    }
}
