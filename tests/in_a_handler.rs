//! Traced pointers in a signal's handler that may have interrupted the allocator: what is tracked is cloned, downgraded,
//! upgraded and dropped there without it, as std's are. The allocator here counts who calls it from a handler: on lines that
//! were never met, on threads that had nothing to do with refscope, and with more handles than there is room for.
#![cfg(all(target_os = "linux", target_env = "gnu", feature = "trace"))]

#[path = "in_a_handler/lines.rs"]
mod lines;
#[path = "common/plain_thread.rs"]
mod plain_thread;

use plain_thread::on_a_plain_thread;
use refscope::{Arc, Rc};
use std::cell::Cell;
use std::collections::HashSet;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

thread_local! {
    /// This thread is in a handler.
    static WITHIN: Cell<bool> = const { Cell::new(false) };
    /// What the handler is to do.
    static JOB: Cell<Option<*mut dyn FnMut()>> = const { Cell::new(None) };
}

/// Calls of the allocator within handlers.
static CALLS: AtomicU64 = AtomicU64::new(0);

fn count() {
    if WITHIN.get() {
        CALLS.fetch_add(1, Ordering::Relaxed);
    }
}

/// The allocator of all that is in this program, the C library's own parts too, which call it by these names.
mod allocator {
    use super::count;
    use std::ffi::c_void;

    unsafe extern "C" {
        fn __libc_malloc(size: usize) -> *mut c_void;
        fn __libc_calloc(count: usize, size: usize) -> *mut c_void;
        fn __libc_realloc(memory: *mut c_void, size: usize) -> *mut c_void;
        fn __libc_memalign(align: usize, size: usize) -> *mut c_void;
        fn __libc_free(memory: *mut c_void);
    }

    macro_rules! counted {
        ($($name:ident($($arg:ident: $Arg:ty),*) $(-> $R:ty)? = $libc:ident;)*) => {$(
            // SAFETY: it does what the one does that it stands for.
            #[unsafe(no_mangle)]
            unsafe extern "C" fn $name($($arg: $Arg),*) $(-> $R)? {
                count();
                // SAFETY: passed on.
                unsafe { $libc($($arg),*) }
            }
        )*};
    }

    counted! {
        malloc(size: usize) -> *mut c_void = __libc_malloc;
        calloc(count: usize, size: usize) -> *mut c_void = __libc_calloc;
        realloc(memory: *mut c_void, size: usize) -> *mut c_void = __libc_realloc;
        memalign(align: usize, size: usize) -> *mut c_void = __libc_memalign;
        aligned_alloc(align: usize, size: usize) -> *mut c_void = __libc_memalign;
        free(memory: *mut c_void) = __libc_free;
    }

    // SAFETY: as above.
    #[unsafe(no_mangle)]
    unsafe extern "C" fn posix_memalign(to: *mut *mut c_void, align: usize, size: usize) -> i32 {
        // SAFETY: passed on.
        let memory = unsafe { memalign(align, size) };
        if memory.is_null() {
            return libc::ENOMEM;
        }
        // SAFETY: it is where the caller wants it.
        unsafe { *to = memory };
        0
    }
}

/// Runs `job` in a handler of a signal on this thread, and returns how often it called the allocator.
fn in_a_handler(mut job: impl FnMut()) -> u64 {
    extern "C" fn handler(_: libc::c_int) {
        WITHIN.set(true);
        if let Some(job) = JOB.take() {
            // SAFETY: it is that of the function that raised the signal, which waits.
            unsafe { (*job)() };
        }
        WITHIN.set(false);
    }
    // One at a time, so that calls are this one's.
    static ONE: Mutex<()> = Mutex::new(());
    let _one = ONE.lock().unwrap();
    refscope::track().ok();
    // SAFETY: the handler takes a number; what it does is what is tested.
    unsafe {
        libc::signal(libc::SIGUSR1, handler as extern "C" fn(libc::c_int) as libc::sighandler_t)
    };
    let job: *mut (dyn FnMut() + '_) = &raw mut job;
    // SAFETY: a pointer of another lifetime, to what is there until the handler has run.
    JOB.set(Some(unsafe {
        std::mem::transmute::<*mut (dyn FnMut() + '_), *mut (dyn FnMut() + 'static)>(job)
    }));
    let before = CALLS.load(Ordering::Relaxed);
    // SAFETY: its handler is set.
    assert_eq!(unsafe { libc::raise(libc::SIGUSR1) }, 0);
    assert!(JOB.get().is_none(), "the handler ran");
    CALLS.load(Ordering::Relaxed) - before
}

/// A handle that was made before.
fn shared() -> Arc<u64> {
    refscope::track().ok();
    Arc::new(7)
}

/// The allocator does count.
#[test]
fn an_allocation_is_noticed() {
    assert_eq!(in_a_handler(|| drop(std::hint::black_box(vec![1_u8; 100]))), 2);
}

#[test]
fn the_first_use_of_a_thread() {
    let one = shared();
    let uses = |one: &Arc<u64>| {
        let calls = in_a_handler(|| {
            let weak = Arc::downgrade(one);
            let clone = one.clone();
            let (upgraded, weaker) = (weak.upgrade(), weak.clone());
            drop((upgraded, clone, weak, weaker));
        });
        assert_eq!(calls, 0);
    };
    std::thread::scope(|threads| threads.spawn(|| uses(&one)).join().unwrap());
    on_a_plain_thread(|| uses(&one));
    // A handle that stays, and whose thread ends.
    let mut kept = Vec::with_capacity(2);
    on_a_plain_thread(|| assert_eq!(in_a_handler(|| kept.push(one.clone())), 0));
    let named = std::thread::Builder::new().name("a thread with quite a long name".to_owned());
    std::thread::scope(|threads| {
        let thread = || {
            assert_eq!(in_a_handler(|| kept.push(one.clone())), 0);
            drop(Arc::new(1));
        };
        named.spawn_scoped(threads, thread).unwrap().join().unwrap();
    });
    let holders = refscope::holders(&one);
    assert_eq!((holders.strong_count(), holders.handles().len()), (3, 3), "{holders:?}");
    let names: Vec<_> = holders.handles().iter().map(|handle| handle.thread.to_string()).collect();
    let long = names.iter().filter(|name| **name == "a thread with quite a long name").count();
    assert_eq!(long, 1, "known from its first allocation on: {names:?}");
    drop((kept, one));
}

#[test]
fn lines_that_were_never_met() {
    let one = shared();
    let mut clones = Vec::with_capacity(lines::ARCS.len());
    let calls = in_a_handler(|| clones.extend(lines::ARCS.iter().map(|line| line(&one))));
    assert_eq!(calls, 0);
    let holders = refscope::holders(&one);
    assert_eq!(holders.strong_count() as usize, 1 + lines::ARCS.len());
    let handles = holders.handles();
    let at: HashSet<_> = handles.iter().filter_map(|handle| handle.location()).collect();
    assert_eq!(at.len(), 1 + lines::ARCS.len(), "each on its own line");
}

#[test]
fn single_threaded_pointers() {
    refscope::track().ok();
    let one = Rc::new(3_u64);
    let mut clones = Vec::with_capacity(lines::RCS.len());
    let calls = in_a_handler(|| {
        clones.extend(lines::RCS.iter().map(|line| line(&one)));
        let weak = Rc::downgrade(&one);
        drop((weak.upgrade(), weak.clone(), weak));
        clones.truncate(3);
    });
    assert_eq!(calls, 0);
    assert_eq!(refscope::holders(&one).strong_count(), 4);
}

/// New paths, as lines hand handles on in changing order: their table grows, and so do what it is searched by.
#[test]
fn paths_that_were_never_met() {
    let one = shared();
    let mut random = 7_u64;
    let mut next = || {
        random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        (random >> 33) as usize % lines::ARCS.len()
    };
    let calls = in_a_handler(|| {
        for _ in 0..10_000 {
            let mut last = one.clone();
            for _ in 0..8 {
                last = lines::ARCS[next()](&last);
            }
        }
    });
    assert_eq!(calls, 0);
    assert_eq!(refscope::untraced_counts().paths_cut, 0, "there was room for all");
    assert_eq!(refscope::holders(&one).strong_count(), 1);
}

/// More handles than there ever were, and their ends: chunks of places, batches of them, magazines that are full.
#[test]
fn more_handles_than_there_is_room_for() {
    const MANY: usize = 300_000;
    let one = shared();
    let mut clones = Vec::with_capacity(MANY);
    let mut weak = Vec::with_capacity(MANY);
    assert_eq!(in_a_handler(|| clones.extend((0..MANY).map(|_| one.clone()))), 0);
    let calls = in_a_handler(|| {
        for clone in &clones {
            // Not by a function of std's that calls it: its line would be std's.
            weak.push(Arc::downgrade(clone));
        }
    });
    assert_eq!(calls, 0);
    assert_eq!(refscope::holders(&one).handles().len(), 1 + 2 * MANY);
    // By a thread that made none of them.
    on_a_plain_thread(|| {
        let calls = in_a_handler(|| {
            clones.clear();
            weak.clear();
        });
        assert_eq!(calls, 0);
    });
    assert_eq!(refscope::holders(&one).handles().len(), 1);
    let untraced = refscope::untraced_counts();
    assert_eq!((untraced.ledger_full, untraced.handles_refused), (0, 0));
}
