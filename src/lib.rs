//! **Who keeps this value alive, and since where?**
//!
//! refscope gives traced versions of std's [`Box`], [`Rc`], [`Arc`] and both `Weak`s. Change the `use` line, and every
//! allocation, clone and drop becomes an event for a [sink]; [`holders`] and [timelines](Recording::timelines) turn the
//! events into an answer that names the line.
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
//! Put a sink in place at the beginning of `main`, and ask:
//!
//! ```
//! use refscope::Arc;
//! use refscope::sink::{LiveSet, Recorder};
//!
//! let recorder = Recorder::new();
//! refscope::install((LiveSet::new(), recorder.clone())).expect("no other sink is installed");
//!
//! let session = Arc::new("a session");
//! let kept = session.clone();
//! println!("{}", refscope::holders(&session)); // who holds it, now
//! drop(session);
//! recorder.recording().timelines().print(); // what happened
//! ```
//!
//! A program without a line of code for it, or a dependency's tests, is traced by the environment: `REFSCOPE=print`,
//! `REFSCOPE=record=run-{pid}.jsonl`; `REFSCOPE=help` lists what there is. The variable is read at the first birth.
//!
//! Births before any sink is there are not traced, and not counted.
//!
//! # In a test
//!
//! [`leaks::check`] runs a closure and panics with a report if an object that was born in it is alive afterwards;
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
//! A [`Scope`] sees what is born in it alone, on this thread and on those (and in those futures) that enter it, wherever
//! it goes later. So tests can run in parallel.
//!
//! # In a service, and afterwards
//!
//! [`LiveSet`](sink::LiveSet) says at any time who is alive and held by whom, and what was born since a
//! [snapshot](analysis::Snapshot) and stayed; [`leaks`] lists the ways to have that told at the exit, at intervals, on signals
//! and to a debugger. [`FileSink`](sink::FileSink) writes a recording that the command `refscope` (feature `cli`) reads, and
//! exports to a page for the browser, to Perfetto, JSON and DOT.
//!
//! # What it costs
//!
//! Nanoseconds on a virtual machine with two cores, in one run of `cargo bench --bench pointers`; compare ratios. The README
//! has more of them, and counts of instructions.
//!
//! | | std | idle | recorded | latest kept | live set |
//! | --- | --- | --- | --- | --- | --- |
//! | `Arc` clone and drop | 4.2 | 4.2 | 44 | 71 | 103 |
//! | `Rc` clone and drop | 0.8 | 1.3 | 37 | 52 | 102 |
//! | `Arc` new and drop | 12 | 12 | 83 | 86 | 131 |
//!
//! Off, the types are std's own. Idle, each operation is a load and a branch more. An event takes 32 bytes in a recorder (a
//! birth 64), a traced object 64 in the ledger, a handle 96 at most in a live set.
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
//! Without them the crate builds as plain stable, and there is a way by hand:
//!
//! | what | fully drop-in | plain stable |
//! | --- | --- | --- |
//! | `Rc<T>` to `Rc<dyn Trait>` or `Rc<[T]>` | by itself | [`unsize!`], or [`coerce!`] where it is made |
//! | `self: Rc<Self>`, `self: &Arc<Self>` | as std's | `this: Rc<Self>` |
//! | `f(2)` on a `Box<dyn Fn(i32)>` | as std's | `(*f)(2)`; for `FnOnce` [`into_std`](StdPtr::into_std) first |
//! | `Pin<Box<T>>` to `Pin<Box<dyn Future>>` | by itself | [`coerce!`] |
//! | `for x in boxed_slice`, `for x in &mut boxed_slice` | as std's | `Vec::from(boxed_slice)`, `boxed_slice.iter_mut()` |
//! | `impl TheirTrait for Box<dyn Mine>` | as std's | a type of your own around it |
//! | `AsyncFn` and its kin for boxes | as std's | `(*f)(…)` |
//! | implementing [`task::Wake`] | as std's | with `this` in place of `self` |
//!
//! # What it cannot do
//!
//! | what | the way round |
//! | --- | --- |
//! | moving out by `*boxed`, box patterns (`DerefPure`) | [`unbox`] |
//! | a method with `self: Rc<Self>` on an `Rc<dyn Trait>` (`DispatchFromDyn` allows no second word) | `&self`, or `rc.into_std()` |
//! | the size of std's pointers: a handle has one word more | relax what a program asserts |
//! | `From<Box<T>>` for std's box (the orphan rule) | [`into_std`](StdPtr::into_std) |
//! | `From` std's box of something unsized (it would overlap with that for errors) | [`from_std`](StdPtr::from_std) |
//! | passing a handle where someone's API names std's type | [`as_std`](StdPtr::as_std), [`into_std`](StdPtr::into_std) |
//! | inherent methods of other types on std's box (`Path::into_path_buf`, `str::into_string`) | `From`, as in `PathBuf::from(boxed)` |
//! | the allocator parameter, and what else is unstable in std | |
//! | 32-bit atomics only | refscope needs 64-bit ones |
//!
//! And what no event can tell: where a handle is *stored*. Rust moves values by a copy that nothing can hook, so a
//! report says where a handle was made. A drop has no line, since the compiler gives none. A clone that std or a derive
//! makes has std's or the derive's line.
//!
//! # For those who write sinks
//!
//! See [`Sink`], and [what refscope promises](promises).
#![cfg_attr(
    refscope_coerce,
    feature(coerce_unsized, unsize, pin_coerce_unsized_trait, legacy_receiver_trait)
)]
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

// The pointer types.
#[cfg(feature = "trace")]
pub mod boxed;
#[cfg(feature = "trace")]
mod forward;
#[cfg(feature = "trace")]
mod make_mut;
#[cfg(not(feature = "trace"))]
mod off;
#[cfg(feature = "trace")]
pub mod rc;
mod sealed;
mod std_ptr;
#[cfg(feature = "trace")]
pub mod sync;
#[cfg(feature = "trace")]
pub mod task;
mod unsize;

// What a user calls, and REFSCOPE.
mod alloc;
mod env;
mod exit;
mod holders;
pub mod leaks;
mod monitor;
mod watch;

// From plain data to text, and from what happened to plain data.
pub mod analysis;
pub mod locate;
pub mod model;
pub mod render;
mod text;

// From a pointer to a sink.
pub mod event;
mod runtime;
pub mod sink;
pub mod span;

pub mod guarantees;

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

#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;

/// What the macros expand to, and what the command uses.
#[doc(hidden)]
pub mod __private {
    // A crate without std has no `::std` that a macro could name.
    pub use std;

    pub use crate::analysis::totals;
    pub use crate::model::Replay;
    pub use crate::unsize::{Unsize, arc, boxed, pin_arc, pin_boxed, pin_rc, rc, unsize};
}
