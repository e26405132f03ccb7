//! Other crates' traits for the pointers, tested with those crates' own types; and the ways that the documentation names
//! where no trait can be implemented.

use arc_swap::{ArcSwapAny, Guard};
use rayon::prelude::*;
use refscope::sink::Recorder;
use refscope::sync::Weak;
use refscope::{Arc, Box, Rc, StdPtr};
use std::pin::Pin;

/// A recorder watches: what it has must replay exactly, and nothing may stay.
fn watched(f: impl FnOnce(&refscope::Scope)) {
    refscope::leaks::check(|| {
        let recorder = Recorder::new();
        let scope = refscope::Scope::new(recorder.clone());
        scope.run(|| f(&scope));
        recorder.recording().verify().expect("numbered without a gap, replayed to the counts");
    });
}

#[test]
fn arc_swap_loads_and_stores() {
    watched(|_| {
        let first = Arc::new(1);
        let shared = ArcSwapAny::<Arc<i32>>::new(first.clone());
        assert_eq!(**shared.load(), 1);
        assert!(Arc::ptr_eq(&shared.load_full(), &first));
        let held = shared.load();
        shared.store(Arc::new(2));
        assert_eq!((**held, **shared.load()), (1, 2));
        drop(held);
        assert_eq!(Arc::strong_count(&first), 1);
        let second = shared.swap(Arc::new(3));
        assert_eq!((*second, Arc::strong_count(&second)), (2, 1));
        shared.rcu(|value| **value + 1);
        assert_eq!(*shared.into_inner(), 4);
    });
}

#[test]
fn arc_swap_of_options_weaks_and_pins() {
    watched(|_| {
        let shared = ArcSwapAny::<Option<Arc<String>>>::new(None);
        assert!(shared.load().is_none());
        shared.store(Some(Arc::new("text".to_owned())));
        assert_eq!(shared.load().as_ref().unwrap().as_str(), "text");
        let strong = shared.load_full().unwrap();
        let weak = ArcSwapAny::<Weak<String>>::new(Weak::new());
        assert!(weak.load().upgrade().is_none());
        weak.store(Arc::downgrade(&strong));
        drop((shared, strong.clone()));
        assert_eq!(*weak.load().upgrade().unwrap(), "text");
        drop(strong);
        assert!(weak.load().upgrade().is_none());
        let pinned = ArcSwapAny::<Pin<Arc<u8>>>::new(Arc::pin(5));
        assert_eq!(**pinned.load(), 5);
        let local: ArcSwapAny<Rc<u8>> = ArcSwapAny::new(Rc::new(6));
        assert_eq!(**local.load(), 6);
    });
}

/// The guard outlives its value's place in the store, and many other loads.
#[test]
#[ignore = "the table of raw pointers remembers 64 views of an object, and the guard's is older"]
fn arc_swap_guards_are_held() {
    watched(|_| {
        let shared = ArcSwapAny::<Arc<i32>>::new(Arc::new(1));
        let held = shared.load();
        (0..100).for_each(|_| assert_eq!(**shared.load(), 1));
        shared.store(Arc::new(2));
        assert_eq!(**held, 1);
    });
}

#[test]
fn arc_swap_on_many_threads() {
    watched(|scope| {
        let shared = ArcSwapAny::<Arc<usize>>::new(Arc::new(0));
        std::thread::scope(|threads| {
            for number in 1..4 {
                let shared = &shared;
                threads.spawn(move || {
                    let _guard = scope.enter();
                    for _ in 0..500 {
                        let held: Guard<Arc<usize>> = shared.load();
                        assert!(**held < 4);
                        let full = shared.load_full();
                        shared.store(Arc::new(number));
                        drop((full, held));
                    }
                });
            }
        });
    });
}

#[test]
fn rayon_collects_and_iterates() {
    watched(|_| {
        let rc: Rc<[u64]> = (0..1000).into_par_iter().collect();
        let arc: Arc<[u64]> = (0..1000).into_par_iter().collect();
        let mut boxed: Box<[u64]> = (0..1000).into_par_iter().collect();
        assert_eq!((rc.len(), arc.par_iter().sum::<u64>()), (1000, 499_500));
        boxed.par_iter_mut().for_each(|value| *value += 1);
        assert_eq!(boxed.par_iter().sum::<u64>(), 500_500);
        assert_eq!((&boxed).into_par_iter().count(), 1000);
        assert_eq!(boxed.into_par_iter().map(|value| value * 2).sum::<u64>(), 1_001_000);
        let texts: Vec<Box<str>> = ["a", "b", "c"].into_par_iter().map(Box::from).collect();
        let mut all: String = texts.clone().into_par_iter().collect();
        all.par_extend(texts.clone());
        let boxed: Box<str> = texts.into_par_iter().collect();
        let chars: Box<str> = ['x', 'y'].into_par_iter().collect();
        assert_eq!((all.as_str(), &*boxed, &*chars), ("abcabc", "abc", "xy"));
    });
}

/// tokio's owned guards take std's `Arc`. The guard's handle is untraced, and counted by std alone.
#[test]
fn tokio_owned_guards() {
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    watched(|_| {
        runtime.block_on(async {
            let mutex = Arc::new(tokio::sync::Mutex::new(1));
            let mut guard = mutex.as_std().clone().lock_owned().await;
            *guard += 1;
            assert_eq!(Arc::strong_count(&mutex), 2);
            let holders = refscope::holders(&mutex).to_string();
            assert!(holders.contains("std counts 2 strong handles, 1 of them traced"), "{holders}");
            drop(guard);
            assert_eq!(*mutex.lock().await, 2);
            let permits = Arc::new(tokio::sync::Semaphore::new(1));
            let permit = permits.into_std().acquire_owned().await.unwrap();
            drop(permit);
        });
    });
}

/// `BoxFuture` is std's box; a waker is one of a traced `Arc`.
#[test]
fn futures_and_wakers() {
    use std::sync::atomic::{AtomicU8, Ordering};
    use std::task::{Context, Poll, Waker};
    struct Task(AtomicU8);
    impl refscope::task::Wake for Task {
        #[cfg(refscope_coerce)]
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
        #[cfg(not(refscope_coerce))]
        fn wake(this: Arc<Self>) {
            this.0.fetch_add(1, Ordering::Relaxed);
        }
    }
    watched(|_| {
        type BoxFuture<T> = Pin<std::boxed::Box<dyn Future<Output = T> + Send>>;
        let mut future: BoxFuture<u8> = Box::pin(async {
            tokio::task::yield_now().await;
            7
        })
        .into_std();
        let task = Arc::new(Task(AtomicU8::new(0)));
        let waker = Waker::from(task.clone());
        let mut context = Context::from_waker(&waker);
        while future.as_mut().poll(&mut context) == Poll::Pending {}
        waker.wake_by_ref();
        drop(waker);
        assert!(task.0.load(Ordering::Relaxed) >= 1);
        assert_eq!(Arc::strong_count(&task), 1);
    });
}
