//! What many clones, threads, lines and labels cost: nothing is lost that need not be, and what is cut is counted.
#![cfg(feature = "trace")]

mod common;

use common::random;
use refscope::sink::{Clock, Nop, Overflow, Recorder};
use refscope::{Arc, Rc, Scope};

/// As many as a list that is searched for each end would take minutes for.
const CLONES: usize = if cfg!(miri) { 200 } else { 200_000 };

/// One object with very many handles, dropped in an order: the ledger and the recording have the right ones at each
/// half.
fn dropped(scope: &Scope, recorder: Option<&Recorder>, mut next: impl FnMut(usize) -> usize) {
    let one = scope.run(|| Rc::new(1));
    let mut clones: Vec<_> = (0..CLONES).map(|_| Some(one.clone())).collect();
    for half in 0..=2 {
        let alive = scope.alive();
        let [object] = &alive[..] else { panic!("{} objects", alive.len()) };
        let known = object.handles.iter().map(|handle| handle.id.number());
        let left = clones.iter().zip(2..).filter(|(clone, _)| clone.is_some());
        assert!(known.eq(std::iter::once(1).chain(left.map(|(_, number)| number))), "half {half}");
        assert_eq!(object.strong as usize, object.handles.len());
        if half == 2 {
            break;
        }
        for step in half * CLONES / 2..(half + 1) * CLONES / 2 {
            let at = next(step);
            drop(clones[at].take().expect("each goes once"));
        }
    }
    drop(one);
    assert_eq!(scope.alive(), []);
    let Some(recorder) = recorder else { return };
    let recording = recorder.recording();
    assert_eq!((recording.lost(), recording.events().len()), (0, 2 * CLONES + 2));
    recording.verify().expect("whole");
    assert_eq!(recording.live_objects(), []);
}

#[test]
fn many_clones_dropped_in_any_order() {
    let shuffled = || {
        let (mut random, mut order) = (random(), (0..CLONES).collect::<Vec<_>>());
        (1..CLONES).for_each(|at| order.swap(at, random() % (at + 1)));
        move |step: usize| order[step]
    };
    for recorded in [false, true] {
        let run = |next: &mut dyn FnMut(usize) -> usize| {
            let recorder = recorded.then(|| {
                Recorder::builder().budget(CLONES * 2 * 32 + (1 << 16)).clock(Clock::None).build()
            });
            let scope = recorder.clone().map_or_else(|| Scope::new(Nop), Scope::new);
            dropped(&scope, recorder.as_ref(), next);
        };
        run(&mut |step| step);
        run(&mut |step| CLONES - 1 - step);
        run(&mut shuffled());
    }
}

/// Each has an event or two, and ends: the next one goes on in its segment. (A segment each would be 64 MiB.)
#[test]
fn short_threads_share_segments() {
    const THREADS: usize = if cfg!(miri) { 40 } else { 4096 };
    for overflow in [Overflow::DropNewest, Overflow::DropOldest] {
        let recorder =
            Recorder::builder().budget(1 << 20).overflow(overflow).clock(Clock::None).build();
        let one = Scope::new(recorder.clone()).run(|| Arc::new(1));
        let mut kept = Vec::new();
        for some in 0..THREADS / 8 {
            // Some at once, since that is how they come.
            let threads = [0; 8].map(|_| {
                let mine = one.clone();
                std::thread::spawn(move || (mine.clone(), mine).0)
            });
            let clones = threads.map(|thread| thread.join().unwrap());
            if some.is_multiple_of(16) {
                kept.extend(clones);
            }
        }
        let recording = recorder.recording();
        assert_eq!(recording.lost(), 0, "{overflow:?}");
        recording.verify().expect("whole");
        let ended = THREADS - kept.len();
        assert_eq!(recording.events().len(), 1 + 3 * THREADS + ended);
        let clones = recording.events().iter().filter(|event| event.op == refscope::Op::Clone);
        let threads: std::collections::BTreeSet<_> = clones.map(|event| event.thread).collect();
        assert_eq!(threads.len(), THREADS + 1, "each event has its own thread");
        assert_eq!(recording.live_objects()[0].handles.len(), kept.len() + 1);
    }
}

/// What is given up may be newer than what is kept: an object's first events stand in a segment that its thread has not filled,
/// while others end its handles and fill theirs. The counts are those after its latest event all the same.
#[test]
fn counts_are_right_where_newer_segments_are_given_up_first() {
    const OBJECTS: usize = if cfg!(miri) { 2 } else { 5 };
    const HANDLES: usize = if cfg!(miri) { 12 } else { 60 };
    const NOISE: usize = if cfg!(miri) { 2000 } else { 20_000 };
    for workers in [1, 3] {
        let recorder = Recorder::builder()
            .budget(64 << 10)
            .overflow(Overflow::DropOldest)
            .clock(Clock::None)
            .build();
        let scope = Scope::new(recorder.clone());
        // Some hundred events, on a thread that writes nothing else.
        let objects: Vec<_> = scope.run(|| (0..OBJECTS).map(Arc::new).collect());
        let of_one = |one: &Arc<usize>| (0..HANDLES).map(|_| one.clone()).collect::<Vec<_>>();
        let mut handles: Vec<Vec<_>> = objects.iter().map(of_one).collect();
        // Of one object a third stays, of the next all but one go, and of the third all.
        let kept = |object: usize| [HANDLES / 3, 1, 0][object % 3];
        let mut staying: Vec<_> = handles
            .iter_mut()
            .enumerate()
            .map(|(n, all)| all.split_off(HANDLES - kept(n)))
            .collect();
        std::thread::scope(|threads| {
            for worker in 0..workers {
                let mine: Vec<_> = handles
                    .iter_mut()
                    .map(|all| all.split_off(all.len() - all.len() / (workers - worker)))
                    .collect();
                let scope = &scope;
                threads.spawn(move || {
                    drop(mine);
                    let noise = scope.run(|| Arc::new(0));
                    (0..NOISE).for_each(|_| drop(noise.clone()));
                });
            }
        });
        let check = |staying: &[Vec<Arc<usize>>], when: &str| {
            let recording = recorder.recording();
            assert!(recording.lost() > NOISE as u64, "segments were given up");
            let living = recording.live_objects();
            assert_eq!(living.len(), OBJECTS, "{when}, {workers} workers: {living:?}");
            for (object, staying) in living.iter().zip(staying) {
                let counts = (object.strong as usize, recording.lost());
                assert_eq!(counts.0, 1 + staying.len(), "{when}, {workers} workers: {object:?}");
            }
        };
        check(&staying, "after the drops");
        // What this thread adds is later than anything that is given up.
        staying.iter_mut().zip(&objects).for_each(|(some, one)| some.push(one.clone()));
        check(&staying, "after a clone each");
    }
}

/// The texts of labels are kept for good, so there is a limit to how many.
#[test]
fn labels_beyond_what_is_kept() {
    const KEPT: usize = 1 << 16;
    let recorder = Recorder::builder().budget(8 << 20).clock(Clock::None).build();
    let scope = Scope::new(recorder.clone());
    let one = scope.run(|| Rc::new(1));
    let label = || scope.alive()[0].label.clone().expect("it has one");
    for number in 0..KEPT + 1000 {
        refscope::label(&one, &format!("label {number}"));
        if number == KEPT - 1 {
            assert_eq!(label(), format!("label {number}"));
        }
    }
    assert_eq!(label(), "(one label too many)");
    // What is kept can be used on.
    refscope::label(&one, "label 17");
    assert_eq!(label(), "label 17");
    assert_eq!(
        refscope::holders(&one).object().and_then(|object| object.label()),
        Some("label 17")
    );
    let recording = recorder.recording();
    assert_eq!(recording.lost(), 0);
    assert_eq!(recording.live_objects()[0].label.as_deref(), Some("label 17"));
}

/// A further event of an object costs what the ones before it did: raw pointers that come back, and clones that are
/// dropped, newest or oldest first.
#[cfg(all(unix, not(miri)))]
#[test]
fn a_timeline_costs_each_event_alike() {
    use std::time::Duration;

    // The thread's own time, so that other programs matter less.
    fn worked() -> Duration {
        let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
        // SAFETY: the call writes the time that it is given.
        let code = unsafe { libc::clock_gettime(libc::CLOCK_THREAD_CPUTIME_ID, &raw mut time) };
        assert_eq!(code, 0);
        Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
    }
    let pairs = |n: usize| {
        let mut one = Arc::new(1);
        for _ in 0..n {
            // SAFETY: it came from `into_raw`, and is taken back once.
            one = unsafe { Arc::from_raw(Arc::into_raw(one)) };
        }
    };
    let many_raw = |n: usize| {
        let one = Arc::new(1);
        let raw: Vec<_> = (0..n).map(|_| Arc::into_raw(one.clone())).collect();
        // SAFETY: as above.
        raw.into_iter().for_each(|raw| drop(unsafe { Arc::from_raw(raw) }));
    };
    let clones = |n: usize| {
        let one = Rc::new(1);
        let mut clones: std::collections::VecDeque<_> = (0..n).map(|_| one.clone()).collect();
        while let (Some(_), _) = (clones.pop_front(), clones.pop_back()) {}
    };
    let programs: [&dyn Fn(usize); 3] = [&pairs, &many_raw, &clones];
    for (number, program) in programs.iter().enumerate() {
        let [few, many] = [10_000, 80_000].map(|n| {
            let recorder = Recorder::builder().budget(1 << 26).clock(Clock::None).build();
            Scope::new(recorder.clone()).run(|| program(n));
            let recording = recorder.recording();
            assert_eq!(recording.lost(), 0);
            let rounds = (0..3).map(|_| {
                let before = worked();
                assert_eq!(recording.timelines().len(), 1);
                worked() - before
            });
            rounds.min().unwrap_or_default()
        });
        println!("program {number}: {few:?} for 10,000, {many:?} for 80,000");
        // Eight times as many; the square of that were 64 times as much.
        assert!(many < 25 * few, "program {number}: {few:?}, and then {many:?}");
    }
}
