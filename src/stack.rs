//! Stacks: which calls led to an allocation, a clone or a drop.
//!
//! A location says which line called `clone`. It can't say it of a clone that std or a derive made, whose location is
//! theirs, nor of a drop, which has none; and it never says who called *that* line. A stack does.
//!
//! ```
//! use refscope::stack;
//!
//! fn serve() -> Option<stack::StackId> {
//!     stack::capture(16)
//! }
//! if let Some(id) = serve() {
//!     println!("{}", id.resolve()); // app::serve  src/main.rs:4:5 …
//! }
//! ```
//!
//! # How it works
//!
//! [`capture`] walks the thread's stack, and keeps the return addresses in a table in which each distinct stack is kept
//! once: so a stack is a number of four bytes. Names are looked for when they are read, by [`StackId::resolve`]; that
//! needs the feature `stacks`, and debug information for lines and inlined functions (`debug = "line-tables-only"` in the
//! profile). Without, a frame has the function's name as the symbol table has it, or the module and the offset.
//!
//! The stack is walked by **frame pointers** where the program has them (`-C force-frame-pointers=yes`). Each distinct
//! chain is checked once against the unwinder, so that a program whose crates have them in part, or not at all, gets right
//! stacks as well. Elsewhere the **unwind tables** are read, by framehop with the feature `stacks`, and else by the
//! platform's unwinder.
//!
//! | | ns (`cargo bench -p refscope-benches --bench stacks`) |
//! | --- | --- |
//! | 16 frames by frame pointers | 45 |
//! | 16 frames by unwind tables, framehop (feature `stacks`) | 250 |
//! | the same where the tables have to be read anew: framehop remembers some five hundred addresses | 2000 |
//! | 16 frames by unwind tables, the platform's unwinder | 2500 |
//! | 16 frames by the crate `backtrace` | 3600 |
//! | a whole stack of 90 frames by `std::backtrace` | 25000 |
//! | a recorded event more, with its 16 frames by frame pointers | 45 |
//! | a recorded event more, with its 16 frames by framehop | 300 to 2000 |
//!
//! A distinct stack of 16 frames is kept in 136 bytes, once; 64 MiB hold some 490,000 of them. What does not fit is refused,
//! and counted in [`stats`].
//!
//! Linux on x86-64 and AArch64; elsewhere no stack is taken.
//!
//! # What it cannot tell
//!
//! An optimised program has left a function whose last act is a call (the call is a jump), and may have one function for
//! two that do the same. Then the caller is named, or the other function. A coroutine's stack, and a little rest of one, is
//! left to the platform's unwinder, which follows a frame pointer wherever it leads; so do programs without the feature
//! `stacks`.
//!
//! # Unsafe code
//!
//! The invariants that `SAFETY:` comments cite:
//!
//! * FRAMES: what is read of a stack is an aligned word between the stack pointer, at which the walk begins, and the end
//!   of this thread's stack, or on the stack that a signal handler has interrupted: mapped, and this thread's own.
//! * REGISTERS: a few registers are read by assembly that does nothing else.
//! * THREAD: calls into libc about the calling thread, each into memory of the caller's.
//! * UNWINDER: the platform's unwinder calls back on this thread, before it returns, with what it was given.
//! * LOADED: the loader describes files that are loaded, and keeps them so while it calls back.
//! * MAPPED: memory that is mapped or allocated once, published whole, and then never freed.
//! * INTERNED: a stack's record is written before whatever leads to it, and its addresses never change.

#[cfg(all(
    feature = "trace",
    target_os = "linux",
    target_pointer_width = "64",
    any(target_arch = "x86_64", target_arch = "aarch64")
))]
mod capture;
#[cfg(not(all(
    feature = "trace",
    target_os = "linux",
    target_pointer_width = "64",
    any(target_arch = "x86_64", target_arch = "aarch64")
)))]
#[path = "stack/no_capture.rs"]
mod capture;
mod dead;
mod frame;
pub(crate) mod location;
#[cfg(feature = "trace")]
pub(crate) mod policy;
#[cfg(all(feature = "trace", target_os = "linux", not(miri)))]
mod source;
mod stored;
#[cfg(feature = "stacks")]
mod symbols;

pub use capture::{Stats, TableStats};
pub use frame::{Frame, Line, Origin, Stack, flame_graph};
#[allow(unused_imports)] // a feature asks for it
pub(crate) use location::needs_stack;

pub(crate) use capture::record;
#[cfg(refscope_search)]
pub(crate) use capture::{each_loaded, segments};
#[cfg_attr(not(feature = "trace"), allow(unused_imports))]
pub(crate) use dead::clear_dead_frames;
#[cfg(feature = "stacks")]
pub(crate) use frame::strip_hash;
#[cfg(feature = "trace")]
pub(crate) use location::prepare;
#[allow(unused_imports)] // reading recordings is a feature
pub(crate) use stored::{StoredModule, WrittenStacks, frames_in_modules, keep};

use crate::event::filter::ObjectFilter;
use crate::lock::Mutex;
use std::collections::HashMap;
use std::fmt;
use std::num::NonZeroU32;
use std::sync::Arc;

/// Which events stacks are taken of, and how many frames each: 0 for none, 64 at most.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Depths {
    /// Of allocations.
    pub new: u8,
    /// Of what makes further handles: clones, upgrades, downgrades.
    pub clone: u8,
    /// Of the ends of handles: drops, and what gives the value away.
    pub drop: u8,
}

impl Depths {
    /// Returns the same depth for each.
    #[must_use]
    pub const fn all(depth: u8) -> Self {
        Self { new: depth, clone: depth, drop: depth }
    }
}

/// A stack that was taken: the same number for the same stack, in this process. Or one that was read from a recording,
/// whose names are looked for in the files that the program ran from, if they are there, and are the same build.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct StackId(NonZeroU32);

/// Takes the stack of the caller, `depth` functions at most (and 64 in any case).
///
/// `None` where none can be had: on platforms other than those above, on a stack that nobody describes, and when the table
/// is full, which [`stats`] counts. Can be called at any time: while a thread ends, in a signal handler, on a stack that is
/// nearly used up (it takes 5 KiB itself where there is no more).
#[inline(never)]
#[must_use]
pub fn capture(depth: usize) -> Option<StackId> {
    StackId::new(record(depth))
}

/// Asks for stacks of what happens to objects that are allocated from now on; of their events, see [`Event::stack`], of
/// living handles, see [`Handle::stack`]. A later call takes over, also for these: depths of 0 end it.
///
/// `REFSCOPE=…,stacks` does the same without a line of code.
///
/// [`Event::stack`]: crate::Event::stack
/// [`Handle::stack`]: crate::model::Handle::stack
///
/// # Examples
///
/// ```
/// use refscope::{Arc, Scope, sink::Recorder, stack};
///
/// let recorder = Recorder::new();
/// stack::set_depths(stack::Depths { drop: 16, ..Default::default() });
/// Scope::new(recorder.clone()).run(|| drop(Arc::new(1)));
/// # if refscope::ENABLED && cfg!(all(target_os = "linux", target_arch = "x86_64")) {
/// let recording = recorder.recording();
/// let dropped = recording.events()[1].stack.expect("it was asked for");
/// println!("{}", dropped.resolve());
/// # }
/// ```
pub fn set_depths(depths: Depths) {
    let Depths { new, clone, drop } = depths;
    #[cfg(feature = "trace")]
    policy::set(new, clone, drop, None);
    #[cfg(not(feature = "trace"))]
    let _ = (new, clone, drop);
}

/// Asks for stacks as [`set_depths`] does, but only of objects that the filter accepts when they are allocated. What happens to
/// others costs nothing more.
///
/// `REFSCOPE=…,stacks,stacks-type=Session` does the same without a line of code.
///
/// # Examples
///
/// ```
/// use refscope::sink::{ObjectFilter, Recorder};
/// use refscope::{Arc, Scope, stack};
///
/// let recorder = Recorder::new();
/// stack::set_depths_of(ObjectFilter::all().of_type("String"), stack::Depths::all(16));
/// Scope::new(recorder.clone()).run(|| {
///     drop(Arc::new(String::from("with stacks")));
///     drop(Arc::new(1));
/// });
/// # if refscope::ENABLED && cfg!(all(target_os = "linux", target_arch = "x86_64")) {
/// let recording = recorder.recording();
/// let with_stacks = recording.events().iter().filter(|event| event.stack.is_some());
/// assert_eq!(with_stacks.count(), 2);
/// # }
/// ```
pub fn set_depths_of(filter: ObjectFilter, depths: Depths) {
    let Depths { new, clone, drop } = depths;
    #[cfg(feature = "trace")]
    policy::set(new, clone, drop, Some(Box::new(move |object| filter.accepts(object))));
    #[cfg(not(feature = "trace"))]
    let _ = (new, clone, drop, filter);
}

/// Returns how many stacks are kept, and how they were taken.
#[must_use]
pub fn stats() -> Stats {
    capture::stats()
}

impl StackId {
    /// The id of what the ledger keeps as a plain number: 0 is none.
    pub(crate) fn new(number: u32) -> Option<Self> {
        NonZeroU32::new(number).map(Self)
    }

    /// Returns the number that identifies the stack in this process.
    #[must_use]
    pub const fn number(self) -> u32 {
        self.0.get()
    }

    /// Returns the return addresses, the innermost first: none of a stack that was read from a file.
    #[must_use]
    pub fn addresses(self) -> &'static [usize] {
        capture::addresses(self.number())
    }

    /// Finds the names: functions with their files and lines, as far as debug information tells.
    ///
    /// The first call in a process reads that (some 10 to 300 ms, by the size of the program; much longer where addr2line is
    /// not optimised), and allocates; what was found is kept. Without the feature `stacks` frames are addresses.
    #[must_use]
    pub fn resolve(self) -> Arc<Stack> {
        let mut resolved = RESOLVED.lock();
        let Resolved { resolver, symbols, stacks } = resolved.get_or_insert_with(|| Resolved {
            resolver: capture::Resolver::new(),
            symbols: stored::Symbols::default(),
            stacks: HashMap::default(),
        });
        let resolve = || {
            Arc::new(match stored::frames_of(self) {
                Some(frames) => stored::resolve(&frames, symbols),
                None => resolver.resolve(self.addresses()),
            })
        };
        Arc::clone(stacks.entry(self).or_insert_with(resolve))
    }
}

impl crate::Event {
    /// Returns the stack on which it happened, if stacks are [asked for](set_depths), or if the event has a line which is not the
    /// user's.
    #[inline]
    #[must_use]
    pub fn stack(&self) -> Option<StackId> {
        StackId::new(self.stack)
    }
}

/// What has been resolved.
static RESOLVED: Mutex<Option<Resolved>> = Mutex::new(None);

/// Statics that lead to none of the program's values, but to memory where some stood before: a search leaves them out.
#[allow(dead_code)] // where the memory can be searched
pub(crate) fn own_statics() -> impl Iterator<Item = std::ops::Range<usize>> {
    capture::own_statics().chain([crate::lock::place(&RESOLVED), stored::own_static()])
}

struct Resolved {
    resolver: capture::Resolver,
    symbols: stored::Symbols,
    stacks: HashMap<StackId, Arc<Stack>>,
}

impl fmt::Debug for StackId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "StackId({})", self.number())
    }
}
