//! Models of `dispatch.rs`: sinks that come and go while objects live.

use crate::arc::Arc;
use crate::harness::{Sinks, explore_freely, spawn};
use crate::runtime::dispatch::{idle, install, switch_off};
use crate::runtime::scope::Scope;

/// A global sink is installed while another thread makes an object: that is traced whole, from its birth, or not at
/// all. WHOLE: no history begins in the middle.
#[test]
fn installed_while_another_thread_makes_an_object() {
    explore_freely(|| {
        let sinks = Sinks::default();
        let sink = sinks.sink();
        let other = spawn(move || {
            let one = Arc::new();
            drop(one.clone());
            drop(one);
        });
        install(sink).map_err(drop).expect("it is the only one");
        other.join().unwrap();
        let seqs: Vec<_> = sinks.received().iter().map(|event| event.seq).collect();
        assert!(seqs.is_empty() || seqs == [1, 2, 3, 4], "WHOLE: {seqs:?}");
        // This thread installed it, and its objects are traced.
        assert!(Arc::new().is_traced());
    });
}

/// Two threads install a sink: one wins, the other gets its sink back.
#[test]
fn two_install() {
    explore_freely(|| {
        let first = Sinks::default();
        let second = Sinks::default();
        let (sink, other_sink) = (first.sink(), second.sink());
        let other = spawn(move || install(other_sink).map_err(drop).is_ok());
        let mine = install(sink).map_err(drop).is_ok();
        let theirs = other.join().unwrap();
        assert!(mine ^ theirs, "exactly one is installed");
        assert_eq!([first.released(), second.released()], [u64::from(!mine), u64::from(!theirs)]);
        drop(Arc::new());
        assert_eq!(
            [first.received().len(), second.received().len()],
            if mine { [2, 0] } else { [0, 2] }
        );
    });
}

/// A scope's sink is switched off while another thread emits: what it got is right as far as it goes, a thread that
/// knows of the switch delivers nothing, and the sink is released once. OFF, END.
#[test]
fn switched_off_while_another_thread_emits() {
    explore_freely(|| {
        let sinks = Sinks::default();
        let scope = Scope::new(sinks.sink());
        let one = scope.run(Arc::new);
        let two = one.clone();
        let other = spawn(move || {
            drop(two.clone());
            drop(two);
        });
        scope.switch_off();
        let before = sinks.received().len();
        drop(one);
        let mine = sinks.received();
        assert!(mine[before..].iter().all(|event| event.handle != 1), "OFF: {mine:?}");
        other.join().unwrap();
        let mut received = sinks.received();
        let all = received.len();
        received.sort_by_key(|event| event.seq);
        received.dedup_by_key(|event| event.seq);
        assert_eq!(received.len(), all, "OFF: told twice");
        assert_eq!(sinks.released(), 0, "END: the scope is there");
        drop(scope);
        assert_eq!(sinks.released(), 1, "END");
    });
}

/// The global sink is switched off while another thread makes an object: WHOLE, as far as it goes, and later
/// births are idle. Two threads switch it off: that counts once.
#[test]
fn the_global_sink_is_switched_off() {
    explore_freely(|| {
        let sinks = Sinks::default();
        install(sinks.sink()).map_err(drop).expect("it is the only one");
        let other = spawn(|| {
            drop(Arc::new());
            switch_off();
        });
        switch_off();
        assert!(!Arc::new().is_traced());
        other.join().unwrap();
        let seqs: Vec<_> = sinks.received().iter().map(|event| event.seq).collect();
        assert!([&[][..], &[1], &[2], &[1, 2]].contains(&&seqs[..]), "WHOLE: {seqs:?}");
        assert!(idle(), "IDLE: nothing wants objects any more");
    });
}

/// A scope ends on its thread while an object of it lives, is cloned and dropped on another: every event arrives, and
/// the sink goes with the last of guard, scope and object. BOUND, END.
#[test]
fn a_scope_ends_while_its_object_lives_elsewhere() {
    explore_freely(|| {
        let sinks = Sinks::default();
        let scope = Scope::new(sinks.sink());
        let guard = scope.enter();
        let one = Arc::new();
        let other = spawn(move || {
            drop(one.clone());
            drop(one);
        });
        drop(guard);
        drop(scope);
        // Outside again: not bound to the scope's sink, nor to any.
        assert!(!Arc::new().is_traced());
        other.join().unwrap();
        let seqs: Vec<_> = sinks.received().iter().map(|event| event.seq).collect();
        assert_eq!(seqs, [1, 2, 3, 4], "BOUND");
        assert_eq!(sinks.released(), 1, "END");
        assert!(idle(), "IDLE");
    });
}

/// Two threads are in two scopes at once: each object goes to its own thread's sink. BOUND, IDLE.
#[test]
fn two_scopes_on_two_threads() {
    explore_freely(|| {
        let (mine, theirs) = (Sinks::default(), Sinks::default());
        let scope = Scope::new(theirs.sink());
        let other = spawn(move || scope.run(|| drop(Arc::new())));
        Scope::new(mine.sink()).run(|| drop(Arc::new()));
        other.join().unwrap();
        assert_eq!([mine.received().len(), theirs.received().len()], [2, 2], "BOUND");
        assert_eq!([mine.released(), theirs.released()], [1, 1], "END");
        assert!(idle(), "IDLE");
    });
}
