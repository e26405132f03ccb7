//! Writing without the signals that a limit on file sizes and a pipe without a reader send.

use std::fs::File;
use std::io::{self, Write as _};

/// Writes all of `bytes`. To pass the limit that `ulimit -f` sets, or to write to a pipe that nobody reads, is an error, and
/// no more than that: the signals SIGXFSZ and SIGPIPE, which end a process that does not expect them, are held back from this
/// thread and taken away.
#[cfg(all(unix, feature = "trace"))]
pub(crate) fn write_all(file: &mut File, bytes: &[u8]) -> io::Result<()> {
    use std::mem::MaybeUninit;
    use std::ptr::null_mut;

    const SIGNALS: [libc::c_int; 2] = [libc::SIGXFSZ, libc::SIGPIPE];

    let mut held = MaybeUninit::<libc::sigset_t>::uninit();
    let mut before = MaybeUninit::<libc::sigset_t>::uninit();
    // SAFETY: SIGNAL SET: it initializes the set that it is given.
    unsafe { libc::sigemptyset(held.as_mut_ptr()) };
    for signal in SIGNALS {
        // SAFETY: SIGNAL SET: the set is initialized above, and both are signals.
        unsafe { libc::sigaddset(held.as_mut_ptr(), signal) };
    }
    let blocked =
        // SAFETY: SIGNAL SET: `held` is initialized above, and there is room for the mask that was in force.
        unsafe { libc::pthread_sigmask(libc::SIG_BLOCK, held.as_ptr(), before.as_mut_ptr()) };
    if blocked != 0 {
        return Err(io::Error::from_raw_os_error(blocked));
    }
    let pending = || {
        let mut pending = MaybeUninit::<libc::sigset_t>::uninit();
        // SAFETY: SIGNAL SET: it initializes the set that it is given.
        let known = unsafe { libc::sigpending(pending.as_mut_ptr()) } == 0;
        // SAFETY: SIGNAL SET: initialized, where the call above succeeded.
        SIGNALS.map(|n| known && unsafe { libc::sigismember(pending.as_ptr(), n) } == 1)
    };
    // One that the program has blocked and not yet seen is the program's.
    let programs = pending();
    let before_writing = errno::get();
    let done = file.write_all(bytes);
    if done.is_err() {
        // The program may be about to ask what its own last call said.
        errno::set(before_writing);
        for ((signal, programs), now) in SIGNALS.into_iter().zip(programs).zip(pending()) {
            if now && !programs {
                // SAFETY: SIGNAL SET: it initializes the set that it is given.
                unsafe { libc::sigemptyset(held.as_mut_ptr()) };
                // SAFETY: SIGNAL SET: as above.
                unsafe { libc::sigaddset(held.as_mut_ptr(), signal) };
                let mut taken = 0;
                // SAFETY: SIGNAL SET: `held` is initialized. The signal is pending and blocked, so this does not wait.
                unsafe { libc::sigwait(held.as_ptr(), &raw mut taken) };
            }
        }
    }
    // SAFETY: SIGNAL SET: `before` is the mask that the first call has given.
    unsafe { libc::pthread_sigmask(libc::SIG_SETMASK, before.as_ptr(), null_mut()) };
    done
}

/// What the last call of libc's that failed on this thread said.
#[cfg(all(unix, feature = "trace"))]
mod errno {
    /// `None` where it is not known how it is set.
    pub(super) fn get() -> Option<i32> {
        cfg!(any(target_os = "linux", target_vendor = "apple", target_os = "freebsd"))
            .then(|| std::io::Error::last_os_error().raw_os_error())
            .flatten()
    }

    pub(super) fn set(code: Option<i32>) {
        let Some(code) = code else { return };
        #[cfg(target_os = "linux")]
        // SAFETY: ERRNO: it returns where this thread's own is, which is there as long as the thread.
        let errno = unsafe { libc::__errno_location() };
        #[cfg(any(target_vendor = "apple", target_os = "freebsd"))]
        // SAFETY: ERRNO: as above.
        let errno = unsafe { libc::__error() };
        #[cfg(any(target_os = "linux", target_vendor = "apple", target_os = "freebsd"))]
        // SAFETY: ERRNO: nothing else refers to it at this moment.
        unsafe {
            *errno = code;
        }
        #[cfg(not(any(target_os = "linux", target_vendor = "apple", target_os = "freebsd")))]
        let _ = code;
    }
}

#[cfg(not(all(unix, feature = "trace")))]
pub(crate) fn write_all(file: &mut File, bytes: &[u8]) -> io::Result<()> {
    file.write_all(bytes)
}
