//! Before `main`: `REFSCOPE` is read at the first traced allocation, and where there is none, nobody would say so.
//!
//! The loader calls what stands in a section for it. Without the variable that is one look at the environment. With it,
//! nothing is set up yet, and no thread started: a program may fork, change its user or restrict itself first.

use crate::event::warn;

#[cfg(any(
    target_os = "linux",
    target_os = "android",
    target_os = "freebsd",
    target_vendor = "apple"
))]
#[cfg(not(miri))]
#[used]
#[cfg_attr(target_vendor = "apple", unsafe(link_section = "__DATA,__mod_init_func"))]
#[cfg_attr(not(target_vendor = "apple"), unsafe(link_section = ".init_array"))]
// SAFETY: START: the section holds pointers to functions such as this one.
static START: extern "C" fn() = {
    extern "C" fn start() {
        // A panic would end the program before it begins.
        let _ = std::panic::catch_unwind(|| {
            if std::env::var_os("REFSCOPE").is_some_and(|value| !value.is_empty()) {
                announced();
            }
        });
    }
    start
};

/// The variable is set.
#[cfg(not(feature = "trace"))]
fn announced() {
    warn(format_args!(
        "REFSCOPE is set, but this program is built without tracing (refscope's feature `trace`)"
    ));
}

#[cfg(feature = "trace")]
use traced::announced;

#[cfg(feature = "trace")]
mod traced {
    use super::warn;
    use crate::env;
    use crate::runtime::{dispatch, handle};
    use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

    /// The variable says that nothing is wanted. Asked beforehand: the exit may be a signal's handler's, which cannot
    /// allocate.
    static OFF: AtomicBool = AtomicBool::new(false);

    /// The process whose variable it is: a forked child says nothing.
    static PROCESS: AtomicU32 = AtomicU32::new(0);

    /// The variable is set.
    pub(super) fn announced() {
        if env::privileged() {
            return;
        }
        OFF.store(env::is_off(), Ordering::Relaxed);
        PROCESS.store(std::process::id(), Ordering::Relaxed);
        #[cfg(unix)]
        at_exit();
        #[cfg(all(unix, feature = "signals"))]
        if env::asks_for_signals() {
            early_signals::expect();
        }
    }

    /// At the exit, says where nothing was traced.
    #[cfg(unix)]
    fn at_exit() {
        extern "C" fn hook() {
            if PROCESS.load(Ordering::Relaxed) == std::process::id() {
                warn_if_untraced();
            }
        }
        // SAFETY: EXIT: the function takes nothing, what it touches is a static, and it does not unwind into C.
        unsafe { libc::atexit(hook) };
    }

    fn warn_if_untraced() {
        if OFF.load(Ordering::Relaxed) {
            return;
        }
        let made = handle::next_object() - 1;
        let filtered = crate::untraced_counts().filtered;
        if dispatch::is_unborn() {
            warn(format_args!("REFSCOPE is set, but the program made no traced pointer"));
        } else if made > 0 && made == filtered {
            warn(format_args!("nothing was traced: REFSCOPE's filter left out all {made} objects"));
        }
    }

    /// SIGUSR1 and SIGUSR2 end a process that does not expect them. `REFSCOPE=signals` does, but from the first traced allocation on.
    #[cfg(all(unix, feature = "signals"))]
    mod early_signals {
        use std::mem::MaybeUninit;
        use std::ptr;

        /// Has them do nothing until there is something to report.
        pub(super) fn expect() {
            extern "C" fn early(_: libc::c_int) {}

            let early = early as extern "C" fn(libc::c_int) as libc::sighandler_t;
            for signal in [libc::SIGUSR1, libc::SIGUSR2] {
                let mut before = MaybeUninit::<libc::sigaction>::uninit();
                // SAFETY: SIGNALS: it is only asked what is done.
                let asked = unsafe { libc::sigaction(signal, ptr::null(), before.as_mut_ptr()) };
                // SAFETY: SIGNALS: it was written, since the call succeeded.
                let is_free =
                    asked == 0 && unsafe { before.assume_init() }.sa_sigaction == libc::SIG_DFL;
                // Another one is the program's own, set by whoever was before us.
                if is_free {
                    // SAFETY: SIGNALS: the handler takes a number, and does what a handler may do.
                    unsafe { libc::signal(signal, early) };
                }
            }
        }

        #[cfg(test)]
        mod tests {
            use std::mem::MaybeUninit;
            use std::ptr;

            fn action() -> libc::sigaction {
                let mut action = MaybeUninit::uninit();
                // SAFETY: SIGNALS: it is only asked what is done.
                let asked =
                    unsafe { libc::sigaction(libc::SIGUSR2, ptr::null(), action.as_mut_ptr()) };
                assert_eq!(asked, 0);
                // SAFETY: SIGNALS: it was written.
                unsafe { action.assume_init() }
            }

            #[test]
            fn a_handler_of_the_program_stays_as_it_is() {
                extern "C" fn own(_: libc::c_int, _: *mut libc::siginfo_t, _: *mut libc::c_void) {}

                let before = action();
                let mut set = before;
                set.sa_sigaction = own as extern "C" fn(_, _, _) as libc::sighandler_t;
                set.sa_flags = libc::SA_SIGINFO | libc::SA_NODEFER;
                // SAFETY: SIGNALS: adds to a set that the system wrote.
                unsafe { libc::sigaddset(&mut set.sa_mask, libc::SIGWINCH) };
                // SAFETY: SIGNALS: the handler does nothing.
                unsafe { libc::sigaction(libc::SIGUSR2, &set, ptr::null_mut()) };
                super::expect();
                let after = action();
                // SAFETY: SIGNALS: it is what was there.
                unsafe { libc::sigaction(libc::SIGUSR2, &before, ptr::null_mut()) };
                assert_eq!(after.sa_sigaction, set.sa_sigaction);
                let flags = libc::SA_SIGINFO | libc::SA_NODEFER;
                assert_eq!(after.sa_flags & flags, flags);
                // SAFETY: SIGNALS: asks of a set that the system wrote.
                assert_eq!(unsafe { libc::sigismember(&after.sa_mask, libc::SIGWINCH) }, 1);
            }
        }
    }
}
