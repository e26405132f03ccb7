use crate::lock::Mutex;
use std::cell::Cell;
use std::fmt;
use std::num::NonZeroU32;

/// A thread, numbered from 1 in order of first use of refscope.
///
/// Unlike [`std::thread::ThreadId`] it can be asked for its name after the thread has gone.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Thread(NonZeroU32);

thread_local! {
    // Without a destructor, so that it can be read while the thread's other locals are destroyed.
    static CURRENT: Cell<Option<Thread>> = const { Cell::new(None) };
}

static NAMES: Mutex<Vec<Option<Box<str>>>> = Mutex::new(Vec::new());

impl Thread {
    /// Returns the thread that calls this.
    #[inline]
    pub fn current() -> Self {
        CURRENT.get().unwrap_or_else(Self::register)
    }

    #[cold]
    fn register() -> Self {
        let name = std::thread::current().name().map(Box::from);
        let mut names = NAMES.lock();
        names.push(name);
        let thread = u32::try_from(names.len()).ok().and_then(NonZeroU32::new);
        let thread = Self(thread.expect("fewer than 2^32 threads"));
        CURRENT.set(Some(thread));
        thread
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

    /// Returns the name that the thread had when it first used refscope.
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
