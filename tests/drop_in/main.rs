//! One suite of std's behaviour, three times: on std's own types, on ours, and on ours with tracing off.
//!
//! What fails on std is wrong in the suite. Off, our types are std's by re-export: `src/off.rs` is included by path,
//! so that one run has all three; `cargo test --no-default-features` runs the crate itself so.
//!
//! Ours are run idle and recorded: the suite is the same, and a recorder has to be able to replay what happened.

// The suite is loaded once for each kind of pointers. It does what clippy would do otherwise: a late `let`
// is a drop-check program, and an `unsafe` block of several calls a story, and what a user writes is not mended.
#![allow(
    clippy::duplicate_mod,
    clippy::needless_late_init,
    clippy::multiple_unsafe_ops_per_block,
    clippy::redundant_clone,
    clippy::cmp_owned,
    clippy::boxed_local,
    clippy::double_ended_iterator_last,
    clippy::redundant_closure,
    clippy::useless_conversion,
    clippy::clone_on_copy,
    clippy::map_clone,
    clippy::redundant_allocation,
    clippy::type_complexity,
    clippy::waker_clone_wake
)]

/// The suite, on the pointers that a module has.
macro_rules! suite {
    () => {
        #[path = "bits.rs"]
        mod bits;
        #[path = "boxes.rs"]
        mod boxes;
        #[path = "counted.rs"]
        mod counted;
        #[path = "drop_check.rs"]
        mod drop_check;
        #[path = "idioms.rs"]
        mod idioms;
        #[path = "traits.rs"]
        mod traits;
    };
}

/// A recorder keeps addresses as numbers, which the strictest of Miri's checks does not allow: then what would be recorded is
/// tracked only, by the same tickets.
fn tracked_only() -> bool {
    std::env::var_os("REFSCOPE_TEST_TRACKED").is_some()
}

#[path = "."]
mod std_types {
    pub(crate) use std::{boxed, rc, sync};

    /// Nothing watches.
    pub(crate) fn watched(f: impl FnOnce()) {
        f();
    }

    suite! {}
    #[path = "idioms_full.rs"]
    mod idioms_full;
}

#[path = "."]
mod idle {
    pub(crate) use refscope::{boxed, rc, sync};

    /// Nothing watches: there is no sink.
    pub(crate) fn watched(f: impl FnOnce()) {
        f();
    }

    suite! {}
    #[cfg(any(not(feature = "trace"), all(refscope_thin, refscope_fn, refscope_negative)))]
    #[path = "idioms_full.rs"]
    mod idioms_full;
}

#[path = "."]
mod recorded {
    use refscope::sink::Recorder;
    pub(crate) use refscope::{boxed, rc, sync};

    /// A recorder watches: what it has must replay exactly.
    pub(crate) fn watched(f: impl FnOnce()) {
        if super::tracked_only() {
            return refscope::Scope::new(refscope::sink::Nop).run(f);
        }
        let recorder = Recorder::new();
        refscope::Scope::new(recorder.clone()).run(f);
        let recording = recorder.recording();
        recording.verify().expect("numbered without a gap, replayed to the counts");
        assert_eq!(recording.lost(), 0);
    }

    suite! {}
    #[cfg(any(not(feature = "trace"), all(refscope_thin, refscope_fn, refscope_negative)))]
    #[path = "idioms_full.rs"]
    mod idioms_full;
}

#[path = "../../src"]
#[allow(unused_imports, unreachable_pub)] // not all that it has is needed here
mod off_face {
    #[path = "off.rs"]
    pub(crate) mod off;
}

#[path = "."]
mod off {
    pub(crate) use super::off_face::off::{boxed, rc, sync};

    pub(crate) fn watched(f: impl FnOnce()) {
        f();
    }

    #[test]
    fn the_types_are_stds() {
        use std::any::TypeId;
        assert_eq!(TypeId::of::<rc::Rc<u8>>(), TypeId::of::<std::rc::Rc<u8>>());
        assert_eq!(TypeId::of::<sync::Weak<u8>>(), TypeId::of::<std::sync::Weak<u8>>());
        assert_eq!(TypeId::of::<boxed::Box<u8>>(), TypeId::of::<std::boxed::Box<u8>>());
    }

    suite! {}
}

#[cfg(not(feature = "trace"))]
#[test]
fn without_the_feature_the_types_are_stds() {
    use std::any::TypeId;
    assert_eq!(TypeId::of::<refscope::Rc<u8>>(), TypeId::of::<std::rc::Rc<u8>>());
    assert_eq!(TypeId::of::<refscope::Arc<u8>>(), TypeId::of::<std::sync::Arc<u8>>());
    assert_eq!(TypeId::of::<refscope::Box<u8>>(), TypeId::of::<std::boxed::Box<u8>>());
    assert_eq!(TypeId::of::<refscope::rc::Weak<u8>>(), TypeId::of::<std::rc::Weak<u8>>());
    assert_eq!(TypeId::of::<refscope::sync::Weak<u8>>(), TypeId::of::<std::sync::Weak<u8>>());
}

/// A handle is one word larger than std's, and `Option` has its niche.
#[cfg(all(feature = "trace", not(refscope_thin)))]
#[test]
fn sizes() {
    const WORD: usize = size_of::<usize>();
    assert_eq!(size_of::<refscope::Rc<u8>>(), 2 * WORD);
    assert_eq!(size_of::<Option<refscope::Arc<u8>>>(), 2 * WORD);
    assert_eq!(size_of::<Option<refscope::Box<str>>>(), 3 * WORD);
    assert_eq!(size_of::<Option<refscope::sync::Weak<u8>>>(), 2 * WORD);
}

/// What only the fully drop-in build can: see `full.rs`.
#[cfg(all(feature = "trace", refscope_coerce, refscope_fn, refscope_negative))]
mod full;

/// What only a pointer of one word can: see `thin.rs`.
#[cfg(all(feature = "trace", refscope_thin))]
mod thin;
