use crate::lock::Mutex;
use std::cell::Cell;
use std::fmt;
use std::num::NonZeroU32;
use std::sync::atomic::{AtomicU32, Ordering};

/// A thread, numbered from 1 in order of first use of refscope.
///
/// Unlike [`std::thread::ThreadId`] it can be asked for its name after the thread has gone.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Thread(NonZeroU32);

thread_local! {
    // Without a destructor, so that it can be read while the thread's other locals are destroyed.
    static CURRENT: Cell<Option<Thread>> = const { Cell::new(None) };
    /// Whether the name is noted, if there is one.
    static IS_NAMED: Cell<bool> = const { Cell::new(false) };
}

/// The number of the last thread.
static LAST: AtomicU32 = AtomicU32::new(0);

static NAMES: Mutex<Vec<Option<Box<str>>>> = Mutex::new(Vec::new());

impl Thread {
    /// Returns the thread that calls this.
    #[inline]
    pub fn current() -> Self {
        CURRENT.get().unwrap_or_else(Self::register)
    }

    #[cold]
    fn register() -> Self {
        // Relaxed: a number is unique by the read-modify-write alone.
        let number = LAST.fetch_add(1, Ordering::Relaxed).wrapping_add(1);
        let thread = Self(NonZeroU32::new(number).expect("fewer than 2^32 threads"));
        CURRENT.set(Some(thread));
        if !may_be_in_a_handler() {
            thread.note_name();
        }
        thread
    }

    /// Notes the name of this thread, where that could not be done when it got its number: by one that allocates, and so is in
    /// no signal's handler.
    #[inline]
    pub(crate) fn note_name_if_unknown() {
        if !IS_NAMED.get() {
            Self::current().note_name();
        }
    }

    #[cold]
    fn note_name(self) {
        if IS_NAMED.replace(true) {
            return;
        }
        // Of a thread that std did not start this allocates.
        if let Some(name) = std::thread::current().name() {
            let (mut names, place) = (NAMES.lock(), self.number() as usize - 1);
            if names.len() <= place {
                names.resize(place + 1, None);
            }
            names[place] = Some(name.into());
        }
    }

    /// The thread with this number, if there was one.
    pub(crate) fn from_number(number: u32) -> Option<Self> {
        NonZeroU32::new(number).map(Self)
    }

    /// Returns the number, from 1.
    #[inline]
    pub const fn number(self) -> u32 {
        self.0.get()
    }

    /// Returns the name that the thread had when it first used refscope; or, where that was in a signal's handler, when it first
    /// allocated a traced object.
    pub fn name(self) -> Option<String> {
        NAMES.lock().get(self.0.get() as usize - 1)?.as_deref().map(str::to_owned)
    }
}

/// The thread's name, or `thread 3`.
impl fmt::Display for Thread {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.name() {
            Some(name) => f.pad(&name),
            None => f.pad(&format!("thread {}", self.number())),
        }
    }
}

impl fmt::Debug for Thread {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Thread({}, {:?})", self.number(), self.name())
    }
}

/// Whether this may be a signal's handler: a signal that has one is blocked, as it is while its handler runs. (One with
/// `SA_NODEFER` is not known.)
fn may_be_in_a_handler() -> bool {
    #[cfg(all(unix, feature = "trace", not(miri)))]
    {
        use std::mem::MaybeUninit;

        /// Those of Linux, which has the most.
        const SIGNALS: std::ffi::c_int = 64;

        let mut blocked = MaybeUninit::<libc::sigset_t>::zeroed();
        let set = blocked.as_mut_ptr();
        // SAFETY: SIGNALS: no mask is set, and the second set is written.
        if unsafe { libc::pthread_sigmask(libc::SIG_BLOCK, std::ptr::null(), set) } != 0 {
            return true;
        }
        (1..=SIGNALS).any(|signal| {
            let mut action = MaybeUninit::<libc::sigaction>::zeroed();
            // SAFETY: SIGNALS: the set was written above; a number that is no signal's is none of it.
            if unsafe { libc::sigismember(set, signal) } != 1 {
                return false;
            }
            // SAFETY: SIGNALS: no action is set, and the second one is written.
            unsafe { libc::sigaction(signal, std::ptr::null(), action.as_mut_ptr()) };
            // SAFETY: SIGNALS: zeros are one, too: the default.
            let action = unsafe { action.assume_init() };
            ![libc::SIG_DFL, libc::SIG_IGN].contains(&action.sa_sigaction)
        })
    }
    #[cfg(not(all(unix, feature = "trace", not(miri))))]
    false
}
