use crate::lock::Mutex;
use std::cell::Cell;
use std::collections::BTreeMap;
use std::fmt;
use std::num::NonZeroU32;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

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

static NAMES: Mutex<Names> = Mutex::new(Names::new());

#[allow(dead_code)] // where the memory can be searched
pub(super) fn own_static() -> std::ops::Range<usize> {
    crate::lock::place(&NAMES)
}

/// Threads whose name found no room.
static UNNAMED: AtomicU64 = AtomicU64::new(0);

/// The names of threads. A thread that is gone may be asked for its name by a report, so none is forgotten; so that memory
/// does not grow with the threads that ever were, each text is kept once, and there are limits to all.
struct Names {
    /// By the number of the thread, less one: the number of its name, from 1; 0 for none.
    of: Vec<u16>,
    texts: Vec<Arc<str>>,
    numbers: BTreeMap<Arc<str>, u16>,
    /// Of all texts.
    bytes: usize,
}

impl Names {
    /// Threads whose names are known: 2 MiB.
    const THREADS: usize = 1 << 20;
    const TEXTS: usize = 1 << 13;
    const BYTES: usize = 1 << 20;

    const fn new() -> Self {
        Self { of: Vec::new(), texts: Vec::new(), numbers: BTreeMap::new(), bytes: 0 }
    }

    /// False where there is no room.
    fn add(&mut self, thread: usize, name: &str) -> bool {
        if thread >= Self::THREADS {
            return false;
        }
        let number = match self.numbers.get(name) {
            Some(&number) => number,
            None if self.texts.len() >= Self::TEXTS => return false,
            None if name.len() > Self::BYTES - self.bytes => return false,
            None => {
                let text = Arc::<str>::from(name);
                self.bytes += name.len();
                self.texts.push(Arc::clone(&text));
                let number = self.texts.len() as u16;
                self.numbers.insert(text, number);
                number
            }
        };
        if self.of.len() <= thread {
            self.of.resize(thread + 1, 0);
        }
        self.of[thread] = number;
        true
    }

    fn get(&self, thread: usize) -> Option<&str> {
        let place = usize::from(*self.of.get(thread)?).checked_sub(1)?;
        self.texts.get(place).map(|text| &**text)
    }
}

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
            let known = NAMES.lock().add(self.number() as usize - 1, name);
            // Relaxed: a counter.
            UNNAMED.fetch_add(u64::from(!known), Ordering::Relaxed);
        }
    }

    /// How many threads have a name that is not known, since there were so many.
    #[allow(dead_code)] // without tracing
    pub(crate) fn unnamed() -> u64 {
        UNNAMED.load(Ordering::Relaxed)
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
    ///
    /// The names of the first million threads are kept, each once, 8,192 of them and a megabyte of text; threads beyond that
    /// have none, and are counted (see [`untraced_counts`](crate::untraced_counts)).
    pub fn name(self) -> Option<String> {
        NAMES.lock().get(self.0.get() as usize - 1).map(str::to_owned)
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
