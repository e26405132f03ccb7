//! A frozen copy of the process: a child that does nothing but wait until it is killed.
//!
//! It is no child that the program could notice. No `SIGCHLD` is sent, so the program's handler does not run and its
//! `wait` does not return it; no handler of `pthread_atfork` or `atexit` runs; all signals are blocked in it, so that one
//! sent to the process group runs no handler of the program's a second time; it shares the table of files, so that a
//! file that the program closes is closed; and it ends with the thread that made it.
//!
//! The memory is copied on write by the kernel, whatever the other threads hold: a heap that was copied in the middle of
//! an operation is told by its lock, see [`blocks`](super::blocks).

use std::io;

/// The copy. Dropping it ends the child, and reaps it.
#[derive(Debug)]
pub(super) struct Frozen {
    pid: libc::pid_t,
}

impl Frozen {
    /// Copies the process.
    ///
    /// # Errors
    ///
    /// Where it may not, or there is no memory for it.
    pub(super) fn new() -> io::Result<Self> {
        let all = u64::MAX;
        let mut before = 0_u64;
        // Not libc's function: it leaves two signals out.
        // SAFETY: SYSCALL: both masks are eight bytes, and outlive the call.
        unsafe {
            libc::syscall(libc::SYS_rt_sigprocmask, libc::SIG_SETMASK, &all, &mut before, 8);
        }
        let parent = i64::from(std::process::id());
        let flags = libc::CLONE_FILES | libc::CLONE_FS;
        // SAFETY: SYSCALL: as `fork`, since no stack is given; the child runs nothing but `wait_for_the_end`.
        let pid = unsafe { libc::syscall(libc::SYS_clone, flags, 0, 0, 0, 0) };
        if pid == 0 {
            wait_for_the_end(parent);
        }
        let error = io::Error::last_os_error();
        // SAFETY: SYSCALL: as above.
        unsafe {
            libc::syscall(libc::SYS_rt_sigprocmask, libc::SIG_SETMASK, &before, 0, 8);
        }
        if pid < 0 { Err(error) } else { Ok(Self { pid: pid as libc::pid_t }) }
    }

    pub(super) fn pid(&self) -> libc::pid_t {
        self.pid
    }
}

/// The child's life. Nothing but system calls: what other threads held when the memory was copied is held for good.
fn wait_for_the_end(parent: i64) -> ! {
    // SAFETY: SYSCALL: no memory is touched.
    unsafe { libc::syscall(libc::SYS_prctl, libc::PR_SET_PDEATHSIG, libc::SIGKILL, 0, 0, 0) };
    loop {
        // SAFETY: SYSCALL: no memory is touched. It differs where the parent ended before the line above.
        let orphaned = unsafe { libc::syscall(libc::SYS_getppid) } != parent;
        if orphaned {
            // SAFETY: SYSCALL: ends this child alone, without handlers.
            unsafe { libc::syscall(libc::SYS_exit_group, 0) };
        }
        // SAFETY: SYSCALL: without file descriptors and a time it waits for a signal, and all are blocked.
        unsafe { libc::syscall(libc::SYS_ppoll, 0, 0, 0, 0, 0) };
    }
}

impl Drop for Frozen {
    fn drop(&mut self) {
        // SAFETY: SYSCALL: the child is not reaped yet, so the number is its own.
        unsafe { libc::kill(self.pid, libc::SIGKILL) };
        loop {
            // SAFETY: SYSCALL: no status is asked for.
            let reaped = unsafe { libc::waitpid(self.pid, std::ptr::null_mut(), libc::__WALL) };
            if reaped != -1 || io::Error::last_os_error().kind() != io::ErrorKind::Interrupted {
                return;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::memory::{Memory, ProcessMemory};
    use super::*;

    #[test]
    fn a_copy_keeps_what_was_and_leaves_no_child() {
        let mut words = vec![7_u64; 1000];
        let frozen = Frozen::new().expect("forking is allowed");
        words.fill(8);
        let mut copy = vec![0; 1000];
        let memory = ProcessMemory::of(frozen.pid());
        assert_eq!(memory.read(words.as_ptr().addr() as u64, &mut copy), 1000);
        assert!(copy.iter().all(|&word| word == 7) && words.iter().all(|&word| word == 8));
        let pid = frozen.pid();
        // The program's own wait does not see it.
        // SAFETY: SYSCALL: no status is asked for.
        let waited = unsafe { libc::waitpid(-1, std::ptr::null_mut(), libc::WNOHANG) };
        assert_ne!(waited, pid);
        drop(frozen);
        // SAFETY: SYSCALL: signal 0 asks whether there is such a process.
        assert_eq!(unsafe { libc::kill(pid, 0) }, -1, "the child is gone, and no zombie");
    }
}
