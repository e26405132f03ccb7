//! Writing without the signal that a limit on file sizes sends.

use std::fs::File;
use std::io::{self, Write as _};

/// Writes all of `bytes`. Where `ulimit -f` sets a limit it is an error to pass it, and no more than that: the signal
/// SIGXFSZ, which ends a process that does not expect it, is held back from this thread and taken away.
#[cfg(unix)]
pub(super) fn write_all(file: &mut File, bytes: &[u8]) -> io::Result<()> {
    use std::mem::MaybeUninit;
    use std::ptr::null_mut;

    let mut limit = MaybeUninit::<libc::sigset_t>::uninit();
    let mut before = MaybeUninit::<libc::sigset_t>::uninit();
    let mut pending = MaybeUninit::<libc::sigset_t>::uninit();
    // SAFETY: SIGNAL SET: it initializes the set that it is given.
    unsafe { libc::sigemptyset(limit.as_mut_ptr()) };
    // SAFETY: SIGNAL SET: the set is initialized above, and SIGXFSZ is a signal.
    unsafe { libc::sigaddset(limit.as_mut_ptr(), libc::SIGXFSZ) };
    // SAFETY: SIGNAL SET: `limit` is initialized above, and there is room for the mask that was in force.
    let blocked =
        unsafe { libc::pthread_sigmask(libc::SIG_BLOCK, limit.as_ptr(), before.as_mut_ptr()) };
    if blocked != 0 {
        return Err(io::Error::from_raw_os_error(blocked));
    }
    let mut is_pending = || {
        // SAFETY: SIGNAL SET: it initializes the set that it is given.
        let known = unsafe { libc::sigpending(pending.as_mut_ptr()) } == 0;
        // SAFETY: SIGNAL SET: initialized, where the call above succeeded.
        known && unsafe { libc::sigismember(pending.as_ptr(), libc::SIGXFSZ) } == 1
    };
    // One that the program has blocked and not yet seen is the program's.
    let programs = is_pending();
    let done = file.write_all(bytes);
    if done.is_err() && !programs && is_pending() {
        let mut signal = 0;
        // SAFETY: SIGNAL SET: `limit` is initialized. The signal is pending and blocked, so this does not wait.
        unsafe { libc::sigwait(limit.as_ptr(), &raw mut signal) };
    }
    // SAFETY: SIGNAL SET: `before` is the mask that the first call has given.
    unsafe { libc::pthread_sigmask(libc::SIG_SETMASK, before.as_ptr(), null_mut()) };
    done
}

#[cfg(not(unix))]
pub(super) fn write_all(file: &mut File, bytes: &[u8]) -> io::Result<()> {
    file.write_all(bytes)
}
