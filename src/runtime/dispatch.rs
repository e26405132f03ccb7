//! Where the events of an object go, and how they get there: scopes and the global sink,
//! re-entrancy, panics.
//!
//! An object is bound when it is made, to the innermost scope of the thread that makes it, else to the global
//! sink. The global sink is set once and never freed; a scope's sink lives as long as an object or a
//! guard refers to it.

use super::entry::{AT_ONCE, BACKED, LOGGED};
use super::handle::number;
use super::ledger::{LEDGER, Refused};
use super::local::{Entered, enter_sink};
use super::log::{Clock, Log};
use super::scope::{self, ScopeNode};
use super::sink::Sink;
use crate::AT_FIRST_BIRTH;
use crate::event::{Event, Object, ObjectId, UntracedCounts};
use crate::primitive::{Arc, AtomicBool, AtomicU64, AtomicUsize, OnceLock, Ordering, statics};
use std::any::Any;
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
// Not loom's in a model: reading the environment is not modelled.
use std::sync::atomic::AtomicBool as StdBool;

/// A sink, and whether it is on.
pub(crate) struct Dispatch {
    sink: Option<Box<dyn Sink>>,
    /// Where its events are written without asking it.
    log: Option<Log>,
    /// [`AT_ONCE`], [`LOGGED`], [`BACKED`]: the ways out that its objects' entries have.
    flags: u32,
    name: &'static str,
    on: AtomicBool,
    /// The log's number while the sink is on, if its records need no more than the coarse clock. 0: there is no such.
    ready_log: AtomicU64,
    /// It wants no object left out.
    wants_all: bool,
    /// And no event of any: what is alive is known with any sink.
    only_tracks: bool,
    global: bool,
}

impl Dispatch {
    pub(crate) fn new<S: Sink>(sink: S, global: bool) -> Self {
        let route = sink.route();
        let at_once = if route.events { AT_ONCE } else { 0 };
        let flags = at_once
            | match &route.log {
                None => 0,
                Some(log) if log.is_backed() => LOGGED | BACKED,
                Some(_) => LOGGED,
            };
        let ready_log = route.log.as_ref().filter(|log| log.clock() != Clock::Precise);
        Self {
            sink: Some(Box::new(sink)),
            ready_log: AtomicU64::new(ready_log.map_or(0, Log::id)),
            log: route.log,
            flags,
            name: std::any::type_name::<S>(),
            on: AtomicBool::new(true),
            wants_all: !route.filters,
            only_tracks: flags == 0 && !route.filters,
            global,
        }
    }

    pub(super) fn name(&self) -> &'static str {
        self.name
    }

    fn sink(&self) -> &dyn Sink {
        self.sink.as_deref().expect("it is taken only by drop")
    }

    /// The ways out that its objects' entries have.
    #[inline(always)]
    pub(super) fn flags(&self) -> u32 {
        self.flags
    }

    /// The log to write to, while the sink is on.
    #[inline]
    pub(super) fn log(&self) -> Option<&Log> {
        // Relaxed: see `switch_off`.
        if self.on.load(Ordering::Relaxed) { self.log.as_ref() } else { None }
    }

    /// The number of the log to write to, if that needs no more than the coarse clock. 0: it is not so.
    #[inline(always)]
    pub(super) fn ready_log(&self) -> u64 {
        // Relaxed: see `switch_off`.
        self.ready_log.load(Ordering::Relaxed)
    }

    pub(super) fn switch_off(&self) {
        self.ready_log.store(0, Ordering::Relaxed);
        // Relaxed: a thread that reads the old value delivers one more event, as it would have a
        // moment earlier.
        if self.on.swap(false, Ordering::Relaxed) && self.global {
            ACTIVE.fetch_sub(1, Ordering::Relaxed);
        }
    }

    /// Delivers an event to the sink, and catches a panic.
    #[inline]
    pub(super) fn deliver(&self, _: &Entered, event: &Event) {
        // Relaxed: see `switch_off`.
        if self.on.load(Ordering::Relaxed)
            && let Err(panic) = catch_unwind(AssertUnwindSafe(|| self.sink().event(event)))
        {
            self.failed(&format_args!("at an event ({event})"), panic);
        }
    }

    /// Calls another method of the sink. `None` if it panicked.
    fn run<R>(
        &self,
        _: &Entered,
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
        crate::event::warn(format_args!(
            "the sink {} panicked {doing}: {message}\n          It is switched off; the program goes on.",
            self.name
        ));
        drop_quietly(panic);
    }
}

impl Drop for Dispatch {
    fn drop(&mut self) {
        // The last handle of a traced object may be what gets us here: its owner must not unwind.
        if let Some(sink) = self.sink.take() {
            drop_quietly(sink);
        }
    }
}

fn drop_quietly<T>(value: T) {
    if let Err(panic) = catch_unwind(AssertUnwindSafe(|| drop(value))) {
        // A payload whose drop panics is forgotten.
        std::mem::forget(panic);
    }
}

statics! {
    /// Sinks and scopes in force, plus one until the environment is read. At 0 a new pointer costs this one
    /// load.
    pub(super) static ACTIVE: AtomicUsize = AtomicUsize::new(AT_FIRST_BIRTH.is_some() as usize);

    /// The sink that the environment asked for, and the one installed in code, which takes over if it wants events.
    static FROM_ENV: OnceLock<Dispatch> = OnceLock::new();
    static FROM_CODE: OnceLock<Dispatch> = OnceLock::new();

    /// What the environment's sink is told when it gets no more objects.
    static AT_TAKEOVER: OnceLock<Box<dyn Fn() + Send + Sync>> = OnceLock::new();

    /// How many want objects to be tracked that no scope and no sink asks for.
    static TRACK_ALL: AtomicUsize = AtomicUsize::new(0);

    /// Objects that a filter left out, or that were made inside a sink.
    static FILTERED: AtomicU64 = AtomicU64::new(0);
    static INSIDE_SINK: AtomicU64 = AtomicU64::new(0);
}

/// Whether no sink can want an object that is made now.
#[inline]
pub(crate) fn idle() -> bool {
    // Relaxed: a sink that another thread installs at this moment is seen by the next birth; one that
    // this thread installed is seen by program order.
    ACTIVE.load(Ordering::Relaxed) == 0
}

/// True until the first traced allocation.
static UNBORN: StdBool = StdBool::new(AT_FIRST_BIRTH.is_some());

/// Whether it was said that the environment's sink gets no more objects.
static SAID_TAKEN_OVER: StdBool = StdBool::new(false);

/// Whether nothing traced has been made yet.
pub(crate) fn is_unborn() -> bool {
    UNBORN.load(Ordering::Relaxed)
}

/// Runs the hook of the first allocation, once. It waits for no other thread: one that comes meanwhile goes on
/// untraced.
#[inline]
fn first_birth() {
    if UNBORN.load(Ordering::Relaxed) {
        first_birth_cold();
    }
}

#[cold]
#[inline(never)]
fn first_birth_cold() {
    // Relaxed: what is made there is published by `FROM_ENV`.
    if let Some(f) = AT_FIRST_BIRTH
        && UNBORN.swap(false, Ordering::Relaxed)
    {
        // What it sets up may make traced objects itself, through the program's own types.
        let entered = enter_sink();
        f();
        drop(entered);
        ACTIVE.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Has every object tracked that is made meanwhile outside of scopes, on any thread, although no sink asks for it.
#[derive(Debug)]
pub(crate) struct TrackAll(());

impl TrackAll {
    pub(crate) fn new() -> Self {
        // Relaxed: as a sink's installation, see `idle`.
        TRACK_ALL.fetch_add(1, Ordering::Relaxed);
        ACTIVE.fetch_add(1, Ordering::Relaxed);
        Self(())
    }
}

impl Drop for TrackAll {
    fn drop(&mut self) {
        ACTIVE.fetch_sub(1, Ordering::Relaxed);
        TRACK_ALL.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Where the events of an object that is being made go.
pub(super) struct Binding {
    pub(super) scope: Option<Arc<ScopeNode>>,
    pub(super) dispatch: *const Dispatch,
    pub(super) flags: u32,
}

impl Binding {
    fn new(scope: Option<Arc<ScopeNode>>, dispatch: *const Dispatch, flags: u32) -> Self {
        if let Some(scope) = &scope {
            scope.set_used();
        }
        Self { scope, dispatch, flags }
    }
}

/// The global sink: the one from code, if it wants events; else the one from the environment, while it is on.
#[inline]
fn global() -> Option<&'static Dispatch> {
    match FROM_CODE.get() {
        Some(code) if !code.only_tracks => Some(code),
        // Relaxed: see `switch_off`.
        Some(code) => FROM_ENV.get().filter(|env| env.on.load(Ordering::Relaxed)).or(Some(code)),
        None => FROM_ENV.get(),
    }
}

/// The global sink, where it wants every object and no event at once.
#[inline(always)]
pub(super) fn ready() -> Option<&'static Dispatch> {
    if UNBORN.load(Ordering::Relaxed) {
        return None;
    }
    // Relaxed: see `switch_off`.
    global().filter(|global| {
        global.wants_all && global.flags & AT_ONCE == 0 && global.on.load(Ordering::Relaxed)
    })
}

/// Binds an object that is being made and numbers it, or leaves it untraced.
pub(super) fn bind(object: &mut Object) -> Option<Binding> {
    first_birth();
    let Some(entered) = enter_sink() else {
        INSIDE_SINK.fetch_add(1, Ordering::Relaxed);
        return None;
    };
    let scope = scope::current();
    let dispatch = match scope.as_ref().and_then(|scope| scope.dispatch()) {
        Some(dispatch) => Some(&**dispatch),
        None => global(),
    };
    let Some(dispatch) = dispatch.filter(|dispatch| dispatch.on.load(Ordering::Relaxed)) else {
        // A scope's objects are tracked though nobody wants their events.
        let tracked = match &scope {
            Some(scope) => scope.tracks(),
            None => TRACK_ALL.load(Ordering::Relaxed) > 0,
        };
        if !tracked {
            return None;
        }
        object.id = ObjectId(number()?);
        return Some(Binding::new(scope, std::ptr::null(), 0));
    };
    object.id = ObjectId(number()?);
    let doing = format_args!("when asked whether it wants {object}");
    let enabled = if dispatch.wants_all {
        Some(true)
    } else {
        dispatch.run(&entered, &doing, |sink| sink.enabled(object))
    };
    if enabled != Some(true) && !scope.as_ref().is_some_and(|scope| scope.tracks()) {
        FILTERED.fetch_add(u64::from(enabled.is_some()), Ordering::Relaxed);
        return None;
    }
    let enabled = enabled == Some(true);
    let (dispatch, flags) = if enabled {
        (std::ptr::from_ref(dispatch), dispatch.flags)
    } else {
        (std::ptr::null(), 0)
    };
    Some(Binding::new(scope, dispatch, flags))
}

/// Sends the events of every object that is made from now on, outside of a [`Scope`](crate::Scope), to `sink`.
///
/// What is alive is known with any sink (see [`alive`](crate::alive)); [`track`](crate::track) asks for that alone.
///
/// The global sink is set once, and never replaced or freed; [`switch_off`] silences it. A sink that
/// the environment asked for (`REFSCOPE=…`) is not in the way: it keeps the objects that are bound to it,
/// and later ones go to `sink`, which is said in a line on stderr and in the environment's recording. One that wants no
/// events ([`Nop`](crate::sink::Nop), [`track`](crate::track)) takes nothing over.
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
    // The environment is read now, or nobody would say that this takes over from its sink.
    first_birth();
    install_in(&FROM_CODE, sink)?;
    say_taken_over();
    Ok(())
}

/// Sets the sink that the environment asks for, and what is done when one from code takes over.
pub(crate) fn install_from_env<S: Sink>(sink: S, at_takeover: Box<dyn Fn() + Send + Sync>) {
    // There is no other: the environment is read once.
    AT_TAKEOVER.get_or_init(|| at_takeover);
    let _ = install_in(&FROM_ENV, sink);
    // A thread that did not wait for this may have installed one meanwhile.
    say_taken_over();
}

/// Says, once, where the environment's sink gets no more objects. Called after either is set, so that the later call sees both.
fn say_taken_over() {
    let (Some(env), Some(code)) = (FROM_ENV.get(), FROM_CODE.get()) else { return };
    // Relaxed: see `switch_off`; and nothing hangs on what was said.
    let takes = !code.only_tracks && env.flags != 0 && env.on.load(Ordering::Relaxed);
    if takes && !SAID_TAKEN_OVER.swap(true, Ordering::Relaxed) {
        crate::event::warn(format_args!(
            "the program installs a sink of its own: REFSCOPE's gets no object that is made from now on"
        ));
        if let Some(tell) = AT_TAKEOVER.get() {
            tell();
        }
    }
}

/// Whether there was a global sink, and none of them is on any more.
pub(crate) fn is_switched_off() -> bool {
    let mut all = [FROM_ENV.get(), FROM_CODE.get()].into_iter().flatten().peekable();
    // Relaxed: see `switch_off`.
    all.peek().is_some() && all.all(|dispatch| !dispatch.on.load(Ordering::Relaxed))
}

fn install_in<S: Sink>(place: &OnceLock<Dispatch>, sink: S) -> Result<(), InstallError<S>> {
    let mut sink = Some(sink);
    place.get_or_init(|| {
        let dispatch = Dispatch::new(sink.take().expect("this runs once"), true);
        ACTIVE.fetch_add(1, Ordering::Relaxed);
        dispatch
    });
    match sink {
        None => Ok(()),
        Some(sink) => Err(InstallError { sink }),
    }
}

/// Silences the global sink for good: objects made from now on are untraced (outside of a [`Scope`](crate::Scope)),
/// and events of the objects that it has are no longer delivered.
///
/// The thread that counts peaks for the report at the exit ends soon after, and the one that moves the clock sleeps from
/// then on, until an object of a scope asks for the time.
///
/// # Examples
///
/// ```
/// refscope::install(refscope::sink::Print::stderr()).expect("no other sink is installed");
/// refscope::switch_off();
/// let quiet = refscope::Rc::new(1);
/// ```
pub fn switch_off() {
    // The environment is read now, or the next allocation would install its sink.
    first_birth();
    for dispatch in [FROM_ENV.get(), FROM_CODE.get()].into_iter().flatten() {
        dispatch.switch_off();
    }
}

/// Asks the global sink to flush what it has buffered.
pub fn flush() {
    for dispatch in [FROM_ENV.get(), FROM_CODE.get()].into_iter().flatten() {
        if let Some(entered) = enter_sink() {
            dispatch.run(&entered, &"at a flush", Sink::flush);
        }
    }
}

/// There is a global sink already. Gives back the one that was not installed.
pub struct InstallError<S> {
    sink: S,
}

impl<S> InstallError<S> {
    /// Returns the sink that was not installed.
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
        let there = FROM_CODE.get().map_or("another sink", |dispatch| dispatch.name);
        if is_switched_off() {
            return write!(
                f,
                "the global sink ({there}) was switched off, which is for good; use a `refscope::Scope`"
            );
        }
        write!(
            f,
            "a global sink ({there}) is installed already; use a `refscope::Scope`, or install both \
             as one: `install((first, second))`"
        )
    }
}

impl<S> std::error::Error for InstallError<S> {}

/// Returns what was not traced since the program's start.
///
/// Objects that were made while there was no sink are not counted: an idle refscope counts nothing.
pub fn untraced_counts() -> UntracedCounts {
    let ledger = &LEDGER;
    UntracedCounts {
        filtered: FILTERED.load(Ordering::Relaxed),
        inside_sink: INSIDE_SINK.load(Ordering::Relaxed),
        ledger_full: ledger.refused(Refused::Object),
        handles_refused: ledger.refused(Refused::Handle),
        past_limits: ledger.refused(Refused::Step),
        lost: 0,
        paths_cut: ledger.paths.cut(),
        spans_unknown: crate::span::not_kept(),
        threads_unnamed: crate::event::Thread::unnamed(),
    }
}
