//! What a pointer of one word can that one of two cannot: be as large as std's, and be `self` behind a `dyn`.
//!
//! Each program runs untraced and recorded.

use refscope::sink::Recorder;
use refscope::{Scope, StdPtr};
use std::cell::{Cell, RefCell};
use std::fmt::{Debug, Display};
use std::pin::Pin;

/// Runs a program untraced, and then recorded, and checks what was recorded.
fn both(program: impl Fn()) {
    program();
    if super::tracked_only() {
        return Scope::new(refscope::sink::Nop).run(|| {
            assert!(refscope::holders(&refscope::Rc::new(1)).object().is_some());
            program();
        });
    }
    let recorder = Recorder::new();
    Scope::new(recorder.clone()).run(&program);
    let recording = recorder.recording();
    recording.verify().expect("numbered without a gap, replayed to the counts");
    assert!(!recording.objects().is_empty(), "something was traced");
}

/// The sizes and alignments of what holds pointers that a module has.
macro_rules! sizes {
    () => {
        fn layouts() -> Vec<(&'static str, usize, usize)> {
            use boxed::Box;
            use rc::{Rc, Weak as RcWeak};
            use sync::{Arc, Weak as ArcWeak};
            layouts! {
                Rc<u8>; Arc<u8>; Box<u8>; RcWeak<u8>; ArcWeak<u8>;
                Rc<()>; Arc<()>; Box<()>; RcWeak<()>; ArcWeak<()>;
                Rc<str>; Arc<str>; Box<str>; RcWeak<str>; ArcWeak<str>;
                Rc<[u64]>; Arc<[u64]>; Box<[u64]>; RcWeak<[u64]>; ArcWeak<[u64]>;
                Rc<dyn Debug>; Arc<dyn Debug + Send + Sync>; Box<dyn FnOnce()>; RcWeak<dyn Debug>; ArcWeak<dyn Debug>;
                Option<Rc<u8>>; Option<Arc<String>>; Option<Box<[u8; 1000]>>; Option<RcWeak<u8>>; Option<ArcWeak<u8>>;
                Option<Rc<str>>; Option<Arc<dyn Debug>>; Option<Box<dyn FnMut()>>; Option<RcWeak<str>>; Option<ArcWeak<[u8]>>;
                Result<Rc<u8>, ()>; Result<Box<dyn Debug>, ()>; Option<Option<Rc<u8>>>; [Rc<u8>; 3]; (Arc<u8>, u8);
                Pin<Box<u8>>; Pin<Rc<dyn Debug>>; Option<Pin<Box<dyn Future<Output = ()>>>>; Cell<Option<Box<u8>>>;
                RefCell<Rc<u8>>; RefCell<RcWeak<u8>>; Vec<Arc<u8>>; std::borrow::Cow<'static, [Rc<u8>]>;
                Result<Arc<str>, Arc<[u8]>>; std::ops::ControlFlow<Box<u8>, ()>; std::task::Poll<Option<Rc<u8>>>;
                Option<(Rc<u8>, u8)>; std::collections::BTreeMap<Rc<u8>, Box<str>>; Enum<Rc<u8>>; Enum<Box<str>>;
                std::rc::Rc<Rc<u8>>; std::sync::Mutex<Arc<u8>>; Rc<RefCell<Option<RcWeak<Node<Rc<u8>>>>>>; Node<Box<u8>>;
            }
        }
    };
}

macro_rules! layouts {
    ($($T:ty;)*) => { vec![$((stringify!($T), size_of::<$T>(), align_of::<$T>())),*] };
}

#[allow(dead_code)]
enum Enum<P> {
    Empty,
    Pointer(P),
}

#[allow(dead_code)]
struct Node<P> {
    next: Option<P>,
    byte: u8,
}

#[allow(clippy::type_complexity, clippy::redundant_allocation, clippy::vec_box)]
mod of_std {
    use super::*;
    use std::{boxed, rc, sync};
    sizes! {}
    pub(super) fn all() -> Vec<(&'static str, usize, usize)> {
        layouts()
    }
}

#[allow(clippy::type_complexity, clippy::redundant_allocation, clippy::vec_box)]
mod of_ours {
    use super::*;
    use refscope::{boxed, rc, sync};
    sizes! {}
    pub(super) fn all() -> Vec<(&'static str, usize, usize)> {
        layouts()
    }
}

#[test]
fn sizes_are_stds() {
    let (std, ours) = (of_std::all(), of_ours::all());
    assert!(std.len() >= 50, "{}", std.len());
    for (std, ours) in std.into_iter().zip(ours) {
        assert_eq!(std, ours);
    }
}

/// Traits with each kind of `self`, as trait objects: the usual shape of an event loop's or a GUI's.
mod receivers {
    use super::*;
    use refscope::{Arc, Box, Rc};

    trait Source {
        fn name(&self) -> String;
        fn by_rc(self: Rc<Self>) -> (String, usize);
        fn by_arc(self: Arc<Self>) -> (String, usize);
        fn by_box(self: Box<Self>) -> String;
        fn by_pin(self: Pin<Box<Self>>) -> String;
        fn by_pinned_rc(self: Pin<Rc<Self>>) -> String;
        fn keep(self: Rc<Self>) -> Option<Rc<dyn Source>>;
    }

    struct Timer {
        text: String,
        // To see that the value is found behind it, and dropped.
        drops: std::rc::Rc<Cell<u32>>,
    }

    impl Drop for Timer {
        fn drop(&mut self) {
            self.drops.set(self.drops.get() + 1);
        }
    }

    impl Source for Timer {
        fn name(&self) -> String {
            self.text.clone()
        }

        fn by_rc(self: Rc<Self>) -> (String, usize) {
            (self.name(), Rc::strong_count(&self))
        }

        fn by_arc(self: Arc<Self>) -> (String, usize) {
            (self.name(), Arc::strong_count(&self))
        }

        fn by_box(self: Box<Self>) -> String {
            self.name()
        }

        fn by_pin(self: Pin<Box<Self>>) -> String {
            self.name()
        }

        fn by_pinned_rc(self: Pin<Rc<Self>>) -> String {
            self.name()
        }

        fn keep(self: Rc<Self>) -> Option<Rc<dyn Source>> {
            Some(self)
        }
    }

    #[test]
    fn each_dispatches() {
        both(|| {
            let drops = std::rc::Rc::new(Cell::new(0));
            let timer = || Timer { text: "timer".to_owned(), drops: drops.clone() };
            let rc: Rc<dyn Source> = Rc::new(timer());
            assert_eq!(rc.clone().by_rc(), ("timer".to_owned(), 2));
            let kept = rc.clone().keep().unwrap();
            assert!(Rc::ptr_eq(&kept, &rc));
            assert_eq!((drops.get(), Rc::strong_count(&rc)), (0, 2));
            drop((kept, rc));
            assert_eq!(drops.get(), 1);
            let arc: Arc<dyn Source> = Arc::new(timer());
            assert_eq!(arc.by_arc(), ("timer".to_owned(), 1));
            assert_eq!(drops.get(), 2);
            let boxed: Box<dyn Source> = Box::new(timer());
            assert_eq!(boxed.by_box(), "timer");
            let pinned: Pin<Box<dyn Source>> = Box::pin(timer());
            assert_eq!(pinned.by_pin(), "timer");
            let pinned: Pin<Rc<dyn Source>> = Rc::pin(timer());
            assert_eq!(pinned.by_pinned_rc(), "timer");
            assert_eq!(drops.get(), 5);
        });
    }

    /// A trait object of a trait that has another as its super, and is converted to that.
    #[test]
    fn a_coerced_handle_is_coerced_again() {
        trait Base {
            fn base(self: Rc<Self>) -> u8;
        }
        trait Derived: Base {
            fn derived(self: Rc<Self>) -> u8;
        }
        impl Base for u8 {
            fn base(self: Rc<Self>) -> u8 {
                *self
            }
        }
        impl Derived for u8 {
            fn derived(self: Rc<Self>) -> u8 {
                *self + 1
            }
        }
        both(|| {
            let derived: Rc<dyn Derived> = Rc::new(7);
            assert_eq!(derived.clone().derived(), 8);
            let base: Rc<dyn Base> = derived;
            assert_eq!(base.base(), 7);
        });
    }

    /// `task::Wake` is as dyn-compatible as std's: it is not, for `wake_by_ref`. A waker of a trait object's own.
    #[test]
    fn a_task_behind_a_trait_object() {
        trait Task {
            fn run(self: Arc<Self>, queue: &RefCell<Vec<Arc<dyn Task>>>);
        }
        impl Task for Cell<u8> {
            fn run(self: Arc<Self>, queue: &RefCell<Vec<Arc<dyn Task>>>) {
                self.set(self.get() + 1);
                if self.get() < 3 {
                    queue.borrow_mut().push(self);
                }
            }
        }
        both(|| {
            #[allow(clippy::arc_with_non_send_sync)]
            let task = Arc::new(Cell::new(0_u8));
            let queue = RefCell::new(vec![task.clone() as Arc<dyn Task>]);
            while let Some(next) = { queue.borrow_mut().pop() } {
                next.run(&queue);
            }
            assert_eq!((task.get(), Arc::strong_count(&task)), (3, 1));
        });
    }
}

/// std's pointer can be borrowed, though it stands in two places.
#[test]
fn as_std_of_each() {
    use refscope::{Arc, Box, Rc, rc, sync};
    both(|| {
        let rc: Rc<dyn Display> = Rc::new(5);
        let (one, two) = (rc.as_std(), rc.as_std());
        assert!(std::ptr::eq(one, two));
        let clone = one.clone();
        assert_eq!((clone.to_string().as_str(), std::rc::Rc::strong_count(two)), ("5", 2));
        drop(clone);
        assert_eq!(Rc::strong_count(&rc), 1);
        let weak = Rc::downgrade(&rc);
        assert_eq!(weak.as_std().upgrade().unwrap().to_string(), "5");
        let text: Arc<str> = "text".into();
        assert_eq!(&**text.as_std(), "text");
        assert_eq!(Arc::downgrade(&text).as_std().strong_count(), 1);
        let sized = Arc::new(String::from("sized"));
        assert_eq!(**sized.as_std(), "sized");
        let slice: Box<[u8]> = Box::new([1, 2, 3]);
        assert_eq!(slice.as_std().len(), 3);
        let number = Box::new(9);
        assert_eq!(**number.as_std(), 9);
        let pinned: Pin<Rc<dyn Debug>> = Rc::pin(1);
        assert_eq!(format!("{:?}", pinned.as_std()), "1");
        let (none, never) = (rc::Weak::<u8>::new(), sync::Weak::<u8>::new());
        assert!(none.as_std().upgrade().is_none() && never.as_std().upgrade().is_none());
    });
}

/// Two views of one handle, of different types, are lent std's pointer each.
#[test]
fn as_std_of_views() {
    use refscope::Rc;
    use std::mem::ManuallyDrop;
    both(|| {
        let handle = Rc::new(5_u8);
        // SAFETY: the view is not dropped, and ends before the handle.
        let one = unsafe { std::ptr::read(&raw const handle) };
        // SAFETY: as above.
        let two = unsafe { std::ptr::read(&raw const handle) };
        let (one, two): (Rc<dyn Debug>, Rc<dyn Display>) = (one, two);
        let (one, two) = (ManuallyDrop::new(one), ManuallyDrop::new(two));
        let (debug, display) = (one.as_std(), two.as_std());
        assert_eq!((format!("{debug:?}"), format!("{display}")), ("5".into(), "5".into()));
    });
}

/// From raw pointers come handles that have no place of their own; with one that is lent of them, and moved on.
#[test]
fn raw_pointers() {
    use refscope::{Arc, Box, Rc, rc};
    both(|| {
        let one: Rc<dyn Display> = Rc::new(5_u64);
        let address = Rc::as_ptr(&one).cast::<u64>();
        let raw = Rc::into_raw(one);
        assert!(std::ptr::eq(raw.cast::<u64>(), address), "the value's own address");
        // SAFETY: it is `into_raw`'s.
        let back = unsafe { Rc::from_raw(raw) };
        assert_eq!(back.to_string(), "5");
        assert_eq!(back.as_std().to_string(), "5");
        let clone = back.clone();
        assert!(Rc::ptr_eq(&clone, &back));
        drop(back);
        assert_eq!(clone.as_std().to_string(), "5");
        let weak = Rc::downgrade(&clone);
        let raw = weak.into_raw();
        // SAFETY: it is `into_raw`'s.
        let weak = unsafe { rc::Weak::from_raw(raw) };
        assert_eq!(weak.upgrade().unwrap().to_string(), "5");
        assert_eq!(weak.clone().as_std().upgrade().unwrap().to_string(), "5");
        let mut boxed = Box::new(String::from("a"));
        boxed.push('b');
        // SAFETY: it is `into_raw`'s.
        let mut boxed = unsafe { Box::from_raw(Box::into_raw(boxed)) };
        boxed.push('c');
        assert_eq!((boxed.as_str(), boxed.as_std().len()), ("abc", 3));
        let arc = Arc::new(1);
        let raw = Arc::into_raw(arc);
        for _ in 0..3 {
            // SAFETY: a view, as a waker makes one: it is not dropped.
            let view = std::mem::ManuallyDrop::new(unsafe { Arc::from_raw(raw) });
            assert_eq!((**view, **view.as_std(), Arc::strong_count(&view)), (1, 1, 1));
        }
        // SAFETY: it is `into_raw`'s.
        let mut arc = unsafe { Arc::from_raw(raw) };
        *Arc::make_mut(&mut arc) += 1;
        *Arc::get_mut(&mut arc).unwrap() += 1;
        assert_eq!(Arc::try_unwrap(arc), Ok(3));
    });
}

/// Real handles that come from a raw pointer whose count was raised out of refscope's sight: each lives as long as it does,
/// whichever ends first.
#[test]
fn handles_of_one_raw_pointer_outlive_each_other() {
    use refscope::Arc;
    both(|| {
        let raw = Arc::into_raw(Arc::new(String::from("text")));
        for _ in 0..3 {
            // SAFETY: std's count is raised, as for a clone.
            unsafe { std::sync::Arc::increment_strong_count(raw) };
        }
        // SAFETY: it owns four counts.
        let mut all: Vec<Arc<String>> = (0..4).map(|_| unsafe { Arc::from_raw(raw) }).collect();
        while !all.is_empty() {
            let next = all.swap_remove(all.len() / 2);
            // Places are used again meanwhile.
            let others: Vec<_> = (0..if cfg!(miri) { 8 } else { 70 }).map(Arc::new).collect();
            assert_eq!((next.as_str(), next.as_std().len()), ("text", 4));
            assert!(all.iter().all(|handle| handle.as_str() == "text"));
            drop((next, others));
        }
    });
}

/// Two threads ask at once for what nobody asked for yet, of one handle: neither's copy is taken from it. (Miri runs this with
/// many seeds: natively the moment is too short.)
#[test]
fn lent_at_once() {
    use refscope::{Arc, sync};
    type Words = [*const (); 2];
    fn words<P>(std: &P) -> Words {
        assert_eq!(size_of::<P>(), size_of::<Words>());
        // SAFETY: the pointer has two words.
        unsafe { std::ptr::from_ref(std).cast::<Words>().read() }
    }
    Scope::new(refscope::sink::Nop).run(|| {
        for _ in 0..if cfg!(miri) { 8 } else { 2_000 } {
            let ready = std::sync::atomic::AtomicU8::new(0);
            let slice: Arc<[u8]> = Arc::from([1, 2, 3]);
            let object: sync::Weak<dyn Debug + Send + Sync> =
                sync::Weak::<u8>::clone(&Arc::downgrade(&Arc::new(1)));
            let look = || {
                ready.fetch_add(1, std::sync::atomic::Ordering::AcqRel);
                while ready.load(std::sync::atomic::Ordering::Acquire) < 2 {
                    std::thread::yield_now();
                }
                let (slice, object) = (slice.as_std(), object.as_std());
                let before = (words(slice), words(object));
                std::thread::yield_now();
                // Memory that was freed is used again.
                let _other = std::boxed::Box::new([0_usize; 2]);
                assert_eq!((slice.len(), std::sync::Arc::strong_count(slice)), (3, 1));
                assert!(object.upgrade().is_none());
                assert_eq!((words(slice), words(object)), before);
            };
            std::thread::scope(|scope| {
                scope.spawn(look);
                look();
            });
        }
    });
}

/// A handle that came from a raw pointer keeps what it lent, whatever others are made of the same pointer and end: their
/// tickets are too few to be told from each other for good.
#[test]
#[cfg_attr(miri, ignore = "it takes thousands of handles")]
fn lent_while_thousands_return() {
    use refscope::Arc;
    fn words(std: &std::sync::Arc<[u8]>) -> [usize; 2] {
        // SAFETY: the pointer has two words.
        unsafe { std::mem::transmute_copy(std) }
    }
    const TRIPS: u32 = 40_000;
    Scope::new(refscope::sink::Nop).run(|| {
        for ends in [false, true] {
            let raw = Arc::into_raw(Arc::<[u8]>::from([1, 2, 3]));
            // SAFETY: std's count is raised, as for a clone.
            unsafe { std::sync::Arc::increment_strong_count(raw) };
            // SAFETY: it owns two counts.
            let kept = unsafe { Arc::from_raw(raw) };
            let lent = kept.as_std();
            let before = words(lent);
            for _ in 0..TRIPS {
                // SAFETY: a view, as a waker makes one: it is not dropped.
                let view = std::mem::ManuallyDrop::new(unsafe { Arc::from_raw(raw) });
                if ends {
                    // SAFETY: std's count is raised for one that ends.
                    unsafe { std::sync::Arc::increment_strong_count(raw) };
                    // SAFETY: as above.
                    let other = unsafe { Arc::from_raw(raw) };
                    let _lent = other.as_std();
                }
                assert_eq!(view.len(), 3);
                assert_eq!(words(lent), before);
            }
            assert_eq!((lent.len(), kept.as_std().len()), (3, 3));
            drop(kept);
            // SAFETY: the other count.
            drop(unsafe { Arc::from_raw(raw) });
        }
    });
}

/// What is lent of a handle that came from a raw pointer is lent by where it stands: it moves, and others come there.
#[test]
fn lent_where_it_stands() {
    use refscope::Box;
    both(|| {
        let mut slots: Vec<Option<Box<[u8]>>> = vec![None];
        for len in [3, 5, 3, 8] {
            let made = Box::into_raw(vec![7; len].into_boxed_slice().into());
            // SAFETY: it is `into_raw`'s.
            slots[0] = Some(unsafe { Box::from_raw(made) });
            assert_eq!(slots[0].as_ref().unwrap().as_std().len(), len);
            let moved = slots[0].take().unwrap();
            assert_eq!((moved.as_std().len(), moved.as_std()[len - 1]), (len, 7));
            if len == 5 {
                // Moved off, it is lent of again where it stood, and elsewhere.
                slots[0] = Some(moved);
                assert_eq!(slots[0].as_ref().unwrap().as_std().len(), len);
            }
        }
    });
}

/// A value at an odd address, one without a size, one with a large alignment, and one that is moved about.
#[test]
fn addresses() {
    use refscope::{Box, Rc};
    #[repr(align(4096))]
    #[derive(Clone)]
    struct Page(u8);
    both(|| {
        let bytes: Vec<Box<u8>> = (0..if cfg!(miri) { 8 } else { 64 }).map(Box::new).collect();
        assert!(bytes.iter().enumerate().all(|(index, byte)| **byte == index as u8));
        let nothing = Box::new(());
        *nothing;
        let empty: Box<[u64]> = Box::new([]);
        assert!(empty.is_empty());
        let page = Box::new(Page(7));
        assert_eq!((&raw const *page).addr() % 4096, 0);
        assert_eq!(Rc::new(page.clone()).0, 7);
        let mut words: Vec<Rc<str>> = "some words to sort".split(' ').map(Rc::from).collect();
        words.sort();
        assert_eq!(words.join(" "), "some sort to words");
    });
}

/// A constant that is a handle of no object.
#[test]
fn constants() {
    use refscope::{rc, sync};
    const NONE: rc::Weak<u8> = rc::Weak::new();
    static NEVER: sync::Weak<u8> = sync::Weak::new();
    both(|| {
        let _one = refscope::Rc::new(1);
        assert!(NONE.upgrade().is_none() && NEVER.upgrade().is_none());
        assert!(NONE.ptr_eq(&rc::Weak::new()));
        let unsized_: rc::Weak<dyn Debug> = rc::Weak::<u8>::new();
        assert_eq!((unsized_.strong_count(), unsized_.weak_count()), (0, 0));
        let _clone = unsized_.clone();
    });
}

/// What a clone's panic leaves of `make_mut` is the handle as it was.
#[test]
fn make_mut_that_panics() {
    use refscope::Rc;
    struct Fails;
    impl Clone for Fails {
        fn clone(&self) -> Self {
            panic!("on purpose")
        }
    }
    both(|| {
        let mut one = Rc::new(Fails);
        let two = one.clone();
        let made = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            Rc::make_mut(&mut one);
        }));
        assert!(made.is_err());
        assert!(Rc::ptr_eq(&one, &two));
        assert_eq!(Rc::strong_count(&two), 2);
    });
}
