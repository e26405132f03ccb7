//! Which sink an object is bound to, and how an event gets there: scopes and the global sink,
//! re-entrancy, panics, thread exit.
//!
//! An object is bound at birth, to the innermost scope of the thread that makes it, else to the global
//! sink. The global sink is set once and never freed; a scope's sink lives as long as an object or a
//! guard refers to it.

#![cfg_attr(not(feature = "trace"), allow(dead_code))]

mod env;
mod exit;
mod scope;

pub(crate) use exit::at_exit;
pub use scope::{Instrumented, Scope, ScopeGuard};

use crate::event::{Event, Object, ObjectId, UntracedCounts};
use crate::primitive::{
    Arc, AtomicBool, AtomicU64, AtomicUsize, ENVIRONMENT, OnceLock, Ordering, locals, statics,
};
use crate::sink::Sink;
use std::any::Any;
use std::cell::Cell;
use std::fmt;
use std::io::Write as _;
use std::panic::{AssertUnwindSafe, catch_unwind};

/// A sink, and whether it still listens.
pub(crate) struct Bound {
    sink: Option<Box<dyn Sink>>,
    name: &'static str,
    on: AtomicBool,
    global: bool,
}

impl Bound {
    fn new<S: Sink>(sink: S, global: bool) -> Self {
        Self {
            sink: Some(Box::new(sink)),
            name: std::any::type_name::<S>(),
            on: AtomicBool::new(true),
            global,
        }
    }

    fn sink(&self) -> &dyn Sink {
        self.sink.as_deref().expect("it is taken only by drop")
    }

    fn switch_off(&self) {
        // Relaxed: a thread that reads the old value delivers one more event, as it would have a
        // moment earlier.
        if self.on.swap(false, Ordering::Relaxed) && self.global {
            REASONS.fetch_sub(1, Ordering::Relaxed);
        }
    }

    /// Gives an event to the sink, and does not let its panic past.
    #[inline]
    pub(crate) fn deliver(&self, _: &Turn, event: &Event) {
        // Relaxed: see `switch_off`.
        if self.on.load(Ordering::Relaxed)
            && let Err(panic) = catch_unwind(AssertUnwindSafe(|| self.sink().event(event)))
        {
            self.failed(&format_args!("at an event ({event})"), panic);
        }
    }

    /// Runs other code of the sink, and not past a panic. `None` where it panicked.
    fn run<R>(
        &self,
        _: &Turn,
        doing: &dyn fmt::Display,
        f: impl FnOnce(&dyn Sink) -> R,
    ) -> Option<R> {
        catch_unwind(AssertUnwindSafe(|| f(self.sink())))
            .map_err(|panic| self.failed(doing, panic))
            .ok()
    }

    #[cold]
    #[inline(never)]
    fn failed(&self, doing: &dyn fmt::Display, panic: Box<dyn Any + Send>) {
        self.switch_off();
        let message = panic
            .downcast_ref::<&str>()
            .copied()
            .or_else(|| panic.downcast_ref::<String>().map(String::as_str))
            .unwrap_or("(no message)");
        complain(format_args!(
            "the sink {} panicked {doing}: {message}\n          It is switched off; the program goes on.",
            self.name
        ));
        drop_quietly(panic);
    }
}

impl Drop for Bound {
    fn drop(&mut self) {
        // The last handle of a traced object may be what gets us here: its owner must not unwind.
        if let Some(sink) = self.sink.take() {
            drop_quietly(sink);
        }
    }
}

fn drop_quietly<T>(value: T) {
    if let Err(panic) = catch_unwind(AssertUnwindSafe(|| drop(value))) {
        // A payload whose own drop panics has been given its chance.
        std::mem::forget(panic);
    }
}

/// A text on stderr, if there is one that takes it.
pub(crate) fn say(text: &str) {
    let _ = std::io::stderr().write_all(text.as_bytes());
}

/// A line on stderr, if there is one that takes it.
pub(crate) fn complain(what: fmt::Arguments<'_>) {
    // Written whole, so that other threads' lines do not mix with it.
    let line = format!("refscope: {what}\n");
    let _ = std::io::stderr().write_all(line.as_bytes());
}

locals! {
    /// A sink's code is running on this thread. It has no destructor, so that it can be read until the
    /// thread's very end.
    static INSIDE: Cell<bool> = Cell::new(false);
}

/// A thread's leave to run a sink's code, one at a time. Ends when it goes, a panic included.
pub(crate) struct Turn(());

/// None where the thread runs a sink's code already: what happens there is withheld.
#[inline]
pub(crate) fn turn() -> Option<Turn> {
    INSIDE.with(|inside| !inside.replace(true)).then(|| Turn(()))
}

impl Drop for Turn {
    #[inline]
    fn drop(&mut self) {
        INSIDE.with(|inside| inside.set(false));
    }
}

statics! {
    /// How many reasons there are to look closer at a birth: the environment is not read yet, a global
    /// sink is on, a scope is entered somewhere. With none, a birth costs this one load.
    static REASONS: AtomicUsize = AtomicUsize::new(ENVIRONMENT as usize);

    /// The sink that the environment asked for, and the one installed in code, which takes over.
    static FROM_ENV: OnceLock<Bound> = OnceLock::new();
    static FROM_CODE: OnceLock<Bound> = OnceLock::new();

    /// Births that a filter left out, or that happened inside a sink.
    static FILTERED: AtomicU64 = AtomicU64::new(0);
    static INSIDE_SINK: AtomicU64 = AtomicU64::new(0);
}

/// Whether no sink can want an object that is born now.
#[inline]
pub(crate) fn idle() -> bool {
    // Relaxed: a sink that another thread installs at this moment is seen by the next birth; one that
    // this thread installed is seen by program order.
    REASONS.load(Ordering::Relaxed) == 0
}

/// The sink that an object is bound to.
pub(crate) enum Binding {
    /// The global sink, from code or from the environment.
    Global { env: bool },
    /// A scope's.
    Scoped(Arc<Bound>),
}

impl Binding {
    #[inline]
    pub(crate) fn bound(&self) -> Option<&Bound> {
        match self {
            Self::Scoped(bound) => Some(bound),
            &Self::Global { env } => global(env),
        }
    }
}

/// The global sink of either origin.
#[inline]
pub(crate) fn global(env: bool) -> Option<&'static Bound> {
    if env { FROM_ENV.get() } else { FROM_CODE.get() }
}

/// Binds an object that is being born and numbers it from `next`, or leaves it untraced.
pub(crate) fn bind(object: &mut Object, next: &AtomicU64) -> Option<Binding> {
    if env::unread() {
        env::read();
    }
    let Some(turn) = turn() else {
        INSIDE_SINK.fetch_add(1, Ordering::Relaxed);
        return None;
    };
    let binding = match scope::current() {
        Some(bound) => Binding::Scoped(bound),
        None => Binding::Global { env: FROM_CODE.get().is_none() },
    };
    let bound = binding.bound()?;
    if !bound.on.load(Ordering::Relaxed) {
        return None;
    }
    // Relaxed: a number is unique by the read-modify-write alone.
    object.id = ObjectId(next.fetch_add(1, Ordering::Relaxed));
    let doing = format_args!("when asked whether it wants {object}");
    if bound.run(&turn, &doing, |sink| sink.wants(object))? {
        Some(binding)
    } else {
        FILTERED.fetch_add(1, Ordering::Relaxed);
        None
    }
}

/// What the sink of an object knows of its handles.
pub(crate) fn ask<R>(bound: &Bound, f: impl FnOnce(&dyn Sink) -> R) -> Option<R> {
    bound.run(&turn()?, &"when asked for an object's handles", f)
}

/// Sends the events of every object that is born from now on, outside of a [`Scope`], to `sink`.
///
/// The global sink is set once, and never replaced or freed; [`switch_off`] silences it. A sink that
/// the environment asked for (`REFSCOPE=…`) is not in the way: it keeps the objects that are bound to it,
/// and later ones go to `sink`.
///
/// # Errors
///
/// When a sink has been installed already; the error gives `sink` back.
///
/// # Examples
///
/// ```
/// use refscope::{Rc, sink::Recorder};
///
/// let recorder = Recorder::new();
/// refscope::install(recorder.clone()).expect("no other sink is installed");
/// let one = Rc::new(1);
/// # if refscope::ENABLED {
/// assert_eq!(recorder.recording().events().len(), 1);
/// # }
/// ```
pub fn install<S: Sink>(sink: S) -> Result<(), InstallError<S>> {
    let mut sink = Some(sink);
    FROM_CODE.get_or_init(|| {
        let bound = Bound::new(sink.take().expect("this runs once"), true);
        REASONS.fetch_add(1, Ordering::Relaxed);
        bound
    });
    match sink {
        None => Ok(()),
        Some(sink) => Err(InstallError { sink }),
    }
}

/// Silences the global sink for good: objects born from now on are untraced (outside of a [`Scope`]),
/// and events of the objects that it has are no longer delivered.
///
/// # Examples
///
/// ```
/// refscope::install(refscope::sink::Print::stderr()).expect("no other sink is installed");
/// refscope::switch_off();
/// let quiet = refscope::Rc::new(1);
/// ```
pub fn switch_off() {
    // Else the first birth after this would bring the environment's sink.
    if env::unread() {
        env::read();
    }
    for env in [true, false] {
        if let Some(bound) = global(env) {
            bound.switch_off();
        }
    }
}

/// Asks the global sink to bring what it received to where it is kept.
pub fn flush() {
    for env in [true, false] {
        if let Some(bound) = global(env)
            && let Some(turn) = turn()
        {
            bound.run(&turn, &"at a flush", Sink::flush);
        }
    }
}

/// There is a global sink already. Gives back the one that was not installed.
pub struct InstallError<S> {
    sink: S,
}

impl<S> InstallError<S> {
    /// The sink that was not installed.
    pub fn into_sink(self) -> S {
        self.sink
    }
}

impl<S> fmt::Debug for InstallError<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("InstallError").finish_non_exhaustive()
    }
}

impl<S> fmt::Display for InstallError<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let there = FROM_CODE.get().map_or("another sink", |bound| bound.name);
        write!(
            f,
            "a global sink ({there}) is installed already; use a `refscope::Scope`, or install both \
             as one: `install((first, second))`"
        )
    }
}

impl<S> std::error::Error for InstallError<S> {}

/// What no sink was told of, since the program's start.
///
/// Objects that were born while there was no sink are not counted: an idle refscope counts nothing.
pub fn unseen() -> UntracedCounts {
    #[cfg(feature = "trace")]
    let (ledger_full, past_limits) = crate::ticket::LEDGER.refused();
    #[cfg(not(feature = "trace"))]
    let (ledger_full, past_limits) = (0, 0);
    UntracedCounts {
        filtered: FILTERED.load(Ordering::Relaxed),
        inside_sink: INSIDE_SINK.load(Ordering::Relaxed),
        ledger_full,
        past_limits,
        ..UntracedCounts::default()
    }
}
