//! **Who keeps this value alive, and since where?**
//!
//! refscope gives traced versions of std's [`Box`], [`Rc`], [`Arc`] and both `Weak`s. Change the `use` line, and every
//! allocation, clone and drop is known: [`holders`] and the [reports](leaks) say what is alive and who holds it,
//! [`locate`] says where, and [timelines](Recording::timelines) of what a [sink] got say what happened.
//!
//! ```
//! # if !refscope::ENABLED { return }
//! use refscope::rc::Rc; // was: use std::rc::Rc;
//! use refscope::{Scope, sink};
//!
//! let print = sink::from_fn(|event| println!("{event}"));
//! let _guard = Scope::new(print).enter();
//! let one = Rc::new("a value");
//! let two = one.clone();
//! ```
//!
//! # In a program
//!
//! [`track`] what is alive, or put a sink in place that gets the events as well, at the beginning of `main`; and ask:
//!
//! ```
//! use refscope::Arc;
//! use refscope::sink::Recorder;
//!
//! let recorder = Recorder::new();
//! refscope::install(recorder.clone()).expect("no other sink is installed");
//!
//! let session = Arc::new("a session");
//! let kept = session.clone();
//! println!("{}", refscope::holders(&session)); // who holds it, now
//! drop(session);
//! recorder.recording().timelines().print(); // what happened
//! ```
//!
//! A program without a line of code for it, or a dependency's tests, is traced by the environment: `REFSCOPE=print`,
//! `REFSCOPE=record=run-{pid}.refscope`; `REFSCOPE=help` lists what there is. The variable is read at the first allocation.
//!
//! What is allocated before anything asks for it is untraced, and not counted.
//!
//! # In a test
//!
//! [`leaks::check`] runs a closure and panics with a report if an object that it allocated is alive afterwards;
//! [`watch()`] asks for one object. The report names the line that made the handle which keeps the value.
//!
//! ```
//! refscope::leaks::check(|| {
//!     let session = refscope::Rc::new("a session");
//!     let watch = refscope::watch(&session);
//!     drop(session);
//!     watch.assert_dropped();
//! });
//! ```
//!
//! A [`Scope`] knows what is allocated in it, on this thread and on those (and in those futures) that enter it, wherever
//! it goes later. So tests can run in parallel.
//!
//! # In a service, and afterwards
//!
//! With any sink, and after [`track`] without one, [`alive`] says who is alive and held by whom, and a
//! [snapshot](leaks::snapshot) what was allocated since another one and stayed; [`leaks`] lists the ways to have that
//! printed at the exit, at intervals, on signals and by a debugger. A flight recorder (`sink::FlightRecorder`, on unix) writes a
//! recording that survives `kill -9`, at the cost of one in memory; [`FileSink`](sink::FileSink) writes JSON Lines. The
//! command `refscope` (package `refscope-cli`) reads both, packs them, and exports to a page for the browser, to Perfetto, JSON and
//! DOT; in code [`model`] has `RecordingFile` (feature `json`), which reads what is larger than memory.
//!
//! # What it costs
//!
//! Instructions, as callgrind counts them (`cargo bench -p refscope-benches --bench instructions`). The README has more of
//! them, and times.
//!
//! | | std | idle | tracked | recorded |
//! | --- | --- | --- | --- | --- |
//! | `Arc` clone and drop | 12 | 18 | 143 | 215 |
//! | `Rc` clone and drop | 12 | 18 | 143 | 215 |
//! | `Arc` new and drop | 169 | 180 | 406 | 487 |
//!
//! Off, the types are std's own. Idle, each operation is a load and a branch more. A traced object takes 128 bytes in the
//! ledger, and each of its handles 64; an event takes 32 bytes in a recorder, an allocation 64;
//! a flight recorder, which writes them to a file, takes 239 instructions for the first row. In the [fully drop-in build](#fully-drop-in) on
//! x86-64, where a handle is one word, the first row is 15 idle and 158 tracked.
//!
//! # In a library
//!
//! Depend with `default-features = false`. Without the feature `trace` the pointers are std's own, by re-export, and
//! the rest of the API compiles and does nothing; the final binary decides. (The feature changes types, so it is
//! not purely additive: an impl of yours for both std's `Rc` and refscope's collides when it is off.)
//!
//! # Fully drop-in
//!
//! Coercion to trait objects, `self: Rc<Self>` and calls of boxed closures need unstable features, but only in the crate
//! that implements them. A nightly toolchain gives them; on a stable one these two lines of `.cargo/config.toml` do:
//!
//! ```toml
//! [env]
//! RUSTC_BOOTSTRAP = "refscope"
//! ```
//!
//! Without them the crate builds as plain stable, and these need other words (what is said of x86-64 is as on plain stable on
//! other processors, where a program may use any bit of an address; `--cfg refscope_wide` in `RUSTFLAGS` has it so everywhere):
//!
//! | what | fully drop-in | plain stable |
//! | --- | --- | --- |
//! | `Rc<T>` to `Rc<dyn Trait>`, `Rc<[T; N]>` to `Rc<[T]>` | coerces | [`coerce!`] or [`unsize!`] |
//! | `Pin<Box<T>>` to `Pin<Box<dyn Future>>` | coerces | [`coerce!`] or [`unsize!`] |
//! | `self: Rc<Self>`, `self: &Arc<Self>` | as std's | `this: Rc<Self>` |
//! | `Rc<dyn Trait>` where a method has `self: Rc<Self>` | as std's, on x86-64 | `&self`; or `where Self: Sized` on that method |
//! | the size of a handle, and of an `Option` of it | std's, on x86-64 | one word more |
//! | `f(2)` on a `Box<dyn FnOnce(i32)>` | as std's | `f.into_std()(2)`; a `Fn` or `FnMut` is called as it is |
//! | a box of a closure as an argument: `iter.map(f)` | as std's | `iter.map(&*f)` or `iter.map(f.into_std())` |
//! | `for x in boxed_slice` | as std's | `for x in boxed_slice.into_vec()` |
//! | `for x in &mut boxed_slice` | as std's | `for x in boxed_slice.iter_mut()` |
//! | `impl TheirTrait for Box<dyn Mine>` | as std's | a type of your own around it |
//! | `AsyncFn`, `AsyncFnMut`, `AsyncFnOnce` for boxes | as std's | `(*f)(…)`, or `f.into_std()(…)` |
//! | implementing [`task::Wake`] | as std's | with `this` in place of `self` |
//!
//! # What it cannot do
//!
//! | what | instead |
//! | --- | --- |
//! | move out by `*boxed`, of a field (`boxed.field`, also `self.field` of a `self: Box<Self>`), or by a box pattern | [`unbox(boxed)`](unbox), `unbox(boxed).field` |
//! | borrow two fields behind a box at once | `let both = &mut *boxed;`, then its fields |
//! | `?` from our `Box<dyn Error>` to std's (the orphan rule) | `.map_err(StdPtr::into_std)?` |
//! | `From<Box<T>>` for std's box, but for `[T]`, texts, paths and `dyn Any` | [`into_std`](StdPtr::into_std) |
//! | `From` std's `Box<dyn Trait>`, but for `Error` and `Any` | [`from_std`](StdPtr::from_std) |
//! | pass a handle to an API that names std's type | [`as_std`](StdPtr::as_std) lends, [`into_std`](StdPtr::into_std) gives |
//! | `str::into_string(boxed)`, `<[T]>::into_vec(boxed)` | the method call: `boxed.into_string()` |
//! | the allocator parameter, and what else is unstable in std | |
//! | run where atomics have 32 bits | |
//!
//! # What the compiler says
//!
//! A program whose imports have been swapped meets these errors; the remedies are those of the tables above.
//!
//! | error | where | remedy |
//! | --- | --- | --- |
//! | E0308: expected `Rc<dyn Debug>`, found `Rc<{integer}>` | plain stable | `coerce!(Rc::new(1))` |
//! | E0308: `refscope::Arc<_>` and `std::sync::Arc<str>` have similar names, but are actually distinct types | both | `.into_std()` |
//! | E0507: cannot move out of dereference of `refscope::Box<String>` | both | `unbox(boxed)` |
//! | E0507: cannot move out of dereference of `refscope::Box<dyn FnOnce(i32) -> i32>` | plain stable | `once.into_std()(2)` |
//! | E0658: `refscope::Arc<Task>` cannot be used as the type of `self` without the `arbitrary_self_types` feature | plain stable | `this: Arc<Self>` |
//! | E0038: the trait `Job` is not dyn compatible | plain stable; not on x86-64: both | `where Self: Sized` on the method |
//! | E0277: `?` couldn't convert the error: `dyn std::error::Error: Sized` is not satisfied | both | `.map_err(StdPtr::into_std)?` |
//! | E0277: `[u8]` is not an iterator | plain stable | `boxed_slice.into_vec()` |
//! | E0277: expected a `FnMut({integer})` closure, found `refscope::Box<dyn Fn(i32) -> i32>` | plain stable | `iter.map(&*f)` |
//! | E0277: the trait bound `std::boxed::Box<u8>: From<refscope::Box<{integer}>>` is not satisfied | both | `.into_std()` |
//! | E0117: only traits defined in the current crate can be implemented for types defined outside of the crate | plain stable | a type of your own around the box |
//! | E0499: cannot borrow `pair` as mutable more than once at a time | both | `let both = &mut *pair;` |
//! | E0119: conflicting implementations of trait `Mine` for type `Rc<_>` | tracing off | a `cfg` of your own on one of the impls |
//!
//! # Other crates' APIs
//!
//! | what | how |
//! | --- | --- |
//! | `futures::future::BoxFuture` | `Box::pin(future).into_std()` |
//! | `tokio::sync::Mutex::lock_owned` and its like, which take std's `Arc` | `mutex.as_std().clone().lock_owned()`: the guard's handle is untraced, [`holders`] counts it |
//! | a `Waker` of an `Arc<impl Wake>` | `Waker::from(arc)`: each clone of the waker is a traced handle |
//! | `arc_swap::ArcSwap<T>` | feature `arc-swap`: `ArcSwapAny<Arc<T>>` |
//! | rayon's `collect` into a pointer, `par_iter` of a `Box<[T]>` | feature `rayon` |
//! | `futures::task::ArcWake` | it takes std's `Arc`; implement [`task::Wake`] |
//!
//! A drop has no line, since the compiler gives none; with the feature `stacks` it has a [`stack`], and a clone that
//! std or a derive makes has the line of the user's that led to it.
//!
//! # The API at a glance
//!
//! [`api`] has every item on one page. For those who write sinks: see [`Sink`], and [what refscope guarantees](guarantees).
#![cfg_attr(docsrs, feature(doc_cfg))]
// Without tracing nothing makes an event.
#![cfg_attr(not(feature = "trace"), allow(dead_code, unused_imports))]
#![cfg_attr(
    refscope_coerce,
    feature(coerce_unsized, unsize, pin_coerce_unsized_trait, legacy_receiver_trait)
)]
#![cfg_attr(refscope_thin, feature(dispatch_from_dyn, dropck_eyepatch))]
#![cfg_attr(refscope_fn, feature(fn_traits, unboxed_closures, tuple_trait))]
#![cfg_attr(refscope_async_fn, feature(async_fn_traits))]
#![cfg_attr(
    any(refscope_negative, refscope_fundamental),
    feature(negative_impls, with_negative_coherence)
)]
#![cfg_attr(refscope_fundamental, feature(fundamental))]
#![cfg_attr(refscope_fundamental, allow(internal_features))]

#[cfg(not(target_has_atomic = "64"))]
compile_error!(
    "refscope needs 64-bit atomics: its ledger keeps an event's place and count in one word"
);

// The layers, from top to bottom. A module uses what is below it, never what is above; and the pointer types know nothing of
// what is recorded and reported, nor these of the pointers:
//
//                         inspection
//                  ┌──────────┴─────────┐
//                  │                 switches        what a user calls, and REFSCOPE
//                  │                    │
//           pointer types            reports         plain data in, text out
//           std's API, std's            │
//           pointer inside          recording        what happened, as plain data
//                  │                    │
//                  └──────────┬─────────┘
//                          runtime                   all that the models of `tests/loom` include, with what is below
//                             │
//                        foundations
//
// `tests/layers.rs` has the order within each layer, and finds an arrow upwards.

// Inspection.
mod holders;
mod watch;

// Switches.
#[cfg(feature = "trace")]
mod env;
pub mod leaks;
mod marks;
#[cfg_attr(not(feature = "trace"), path = "off/monitor.rs")]
mod monitor;
mod start;

// Reports.
pub mod analysis;
pub mod locate;
pub mod render;

// Recording.
#[cfg(feature = "trace")]
mod exit;
#[cfg_attr(not(feature = "trace"), path = "off/fork.rs")]
mod fork;
pub mod model;
pub mod sink;

// Pointer types.
#[cfg(feature = "trace")]
pub mod boxed;
#[cfg(feature = "trace")]
mod foreign;
#[cfg(feature = "trace")]
mod forward;
#[cfg(feature = "trace")]
mod make_mut;
#[cfg(not(feature = "trace"))]
mod off;
#[cfg(feature = "trace")]
mod pinned;
#[cfg(feature = "trace")]
pub mod rc;
#[cfg(feature = "trace")]
mod repr;
mod sealed;
mod std_ptr;
#[cfg(feature = "trace")]
pub mod sync;
#[cfg(feature = "trace")]
pub mod task;
mod unsize;

// Runtime.
#[cfg(feature = "trace")]
mod primitive;
#[cfg_attr(not(feature = "trace"), path = "off/runtime.rs")]
mod runtime;

// Foundations.
mod alloc;
pub mod event;
mod json;
mod lock;
mod source_file;
pub mod span;
pub mod stack;
mod text;

// Documentation, and tests.
pub mod api;
pub mod guarantees;
#[cfg(all(test, feature = "trace"))]
mod interrupted;
#[cfg(all(test, feature = "trace"))]
mod limits;
#[cfg(doctest)]
mod must_not_compile;

#[cfg(not(feature = "trace"))]
pub use off::{boxed, rc, sync, task};

pub use alloc::Alloc;
pub use boxed::Box;
pub use event::{
    Event, HandleId, Kind, Location, Object, ObjectId, Op, OwnedEvent, Strength, UntracedCounts,
};
pub use holders::{Holders, Inspect, allow_leak, holders, label, unbox};
#[cfg(feature = "trace")]
pub use make_mut::MakeMut;
pub use marks::mark;
pub use model::{Recording, alive};
pub use rc::Rc;
pub use runtime::dispatch::{InstallError, flush, install, switch_off, untraced_counts};
pub use runtime::scope::{Instrumented, Scope, ScopeGuard};
pub use sink::{Sink, track};
pub use std_ptr::StdPtr;
pub use sync::Arc;
pub use watch::{Watch, watch};

/// Whether the pointers are traced: the feature `trace`. Without it they are std's.
pub const ENABLED: bool = cfg!(feature = "trace");

/// What the first traced allocation of the process calls: it reads `REFSCOPE`.
///
/// The runtime, which calls it, knows nothing of the layers above it, and these cannot register it: none of their code runs
/// before that allocation, but on systems whose loader calls functions before `main` (see `start`). So it is put in here.
#[cfg(feature = "trace")]
const AT_FIRST_BIRTH: Option<fn()> = Some(env::read);

#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;

/// What the macros expand to, and what the command uses: all of it is here, and nothing of it is for others.
#[doc(hidden)]
pub mod __private {
    // A crate without std has no `::std` that a macro could name.
    pub use std;

    // The command's, which has the library's version: they change with it.
    pub use crate::analysis::growth::totals;
    #[cfg(feature = "json")]
    pub use crate::analysis::leak_report::report_of_living;
    #[cfg(feature = "json")]
    pub use crate::model::read::parts::on_progress;
    pub use crate::stack::location::needs_stack;
    pub use crate::text::escape;
    pub use crate::unsize::{Wrap, split, wrap, wrap_pin};
}
