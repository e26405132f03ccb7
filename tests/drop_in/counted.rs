//! `Rc`, `Arc` and their `Weak`s: functions.

use super::{boxed, rc, sync, watched};
use std::any::Any;
use std::cell::{Cell, RefCell};
use std::panic::{AssertUnwindSafe, catch_unwind};

macro_rules! suite {
    ($name:ident, $module:ident, $Ptr:ident, $Any:ty) => {
        mod $name {
            use super::*;
            use $module::{$Ptr, Weak};

            fn counts<T: ?Sized>(p: &$Ptr<T>) -> (usize, usize) {
                ($Ptr::strong_count(p), $Ptr::weak_count(p))
            }

            #[test]
            fn clones_count() {
                watched(|| {
                    let one = $Ptr::new(5);
                    assert_eq!(counts(&one), (1, 0));
                    let two = $Ptr::clone(&one);
                    let weak = $Ptr::downgrade(&two);
                    let other = weak.clone();
                    assert_eq!(counts(&one), (2, 2));
                    assert_eq!((weak.strong_count(), weak.weak_count()), (2, 2));
                    assert!($Ptr::ptr_eq(&one, &two) && weak.ptr_eq(&other));
                    assert!(!$Ptr::ptr_eq(&one, &$Ptr::new(5)));
                    drop(one);
                    assert_eq!(weak.upgrade().as_deref(), Some(&5));
                    drop(two);
                    assert!(weak.upgrade().is_none());
                    assert_eq!((weak.strong_count(), weak.weak_count()), (0, 0));
                });
            }

            #[test]
            fn dangling_weak() {
                watched(|| {
                    const NONE: Weak<u64> = Weak::new();
                    let none = NONE;
                    assert!(none.upgrade().is_none());
                    assert_eq!((none.strong_count(), none.weak_count()), (0, 0));
                    assert!(none.ptr_eq(&Weak::default()) && none.clone().upgrade().is_none());
                    assert!(!none.ptr_eq(&$Ptr::downgrade(&$Ptr::new(1))));
                    let raw = none.into_raw();
                    // SAFETY: it came from `into_raw`.
                    assert!(unsafe { Weak::from_raw(raw) }.upgrade().is_none());
                });
            }

            #[test]
            fn values_out() {
                watched(|| {
                    let one = $Ptr::new(String::from("x"));
                    let two = one.clone();
                    let one = $Ptr::try_unwrap(one).unwrap_err();
                    drop(two);
                    let weak = $Ptr::downgrade(&one);
                    assert_eq!($Ptr::try_unwrap(one).as_deref(), Ok("x"));
                    assert!(weak.upgrade().is_none());
                    let three = $Ptr::new(3);
                    let four = three.clone();
                    assert_eq!($Ptr::into_inner(three), None);
                    assert_eq!($Ptr::into_inner(four), Some(3));
                    let five = $Ptr::new(5);
                    assert_eq!($Ptr::unwrap_or_clone(five.clone()), 5);
                    assert_eq!($Ptr::unwrap_or_clone(five), 5);
                });
            }

            #[test]
            fn mutation() {
                watched(|| {
                    let mut one = $Ptr::new(1);
                    *$Ptr::get_mut(&mut one).unwrap() = 2;
                    let mut two = one.clone();
                    assert!($Ptr::get_mut(&mut one).is_none());
                    *$Ptr::make_mut(&mut two) += 1;
                    assert_eq!((*one, *two), (2, 3));
                    let weak = $Ptr::downgrade(&one);
                    assert!($Ptr::get_mut(&mut one).is_none());
                    *$Ptr::make_mut(&mut one) += 1;
                    assert!(weak.upgrade().is_none());
                    assert_eq!(*one, 3);
                    let address = $Ptr::as_ptr(&one);
                    *$Ptr::make_mut(&mut one) += 1;
                    assert_eq!($Ptr::as_ptr(&one), address, "its own stays where it is");
                    let mut text: $Ptr<str> = "abc".into();
                    let other = text.clone();
                    $Ptr::make_mut(&mut text).make_ascii_uppercase();
                    assert_eq!((&*text, &*other), ("ABC", "abc"));
                    let mut slice: $Ptr<[u8]> = [1, 2].into();
                    let other = slice.clone();
                    $Ptr::make_mut(&mut slice)[0] = 9;
                    assert_eq!((&*slice, &*other), (&[9, 2][..], &[1, 2][..]));
                });
            }

            #[test]
            fn a_clone_that_panics_in_make_mut_leaves_all_as_it_was() {
                struct Bomb;
                impl Clone for Bomb {
                    fn clone(&self) -> Self {
                        std::panic::resume_unwind(std::boxed::Box::new("on purpose"))
                    }
                }
                watched(|| {
                    let mut one = $Ptr::new(Bomb);
                    let two = one.clone();
                    let made = catch_unwind(AssertUnwindSafe(|| {
                        $Ptr::make_mut(&mut one);
                    }));
                    assert!(made.is_err());
                    assert!($Ptr::ptr_eq(&one, &two));
                    assert_eq!(counts(&one), (2, 0));
                });
            }

            #[test]
            fn cyclic() {
                struct Node {
                    me: Weak<Node>,
                    value: u8,
                }
                watched(|| {
                    let node = $Ptr::new_cyclic(|me: &Weak<Node>| {
                        assert!(me.upgrade().is_none());
                        assert_eq!((me.strong_count(), me.weak_count()), (0, 0));
                        Node { me: me.clone(), value: 7 }
                    });
                    assert_eq!(counts(&node), (1, 1));
                    assert_eq!(node.me.upgrade().unwrap().value, 7);
                    let mut kept = None;
                    let made = catch_unwind(AssertUnwindSafe(|| {
                        $Ptr::<Node>::new_cyclic(|me| {
                            kept = Some(me.clone());
                            std::panic::resume_unwind(std::boxed::Box::new("on purpose"))
                        })
                    }));
                    assert!(made.is_err());
                    assert!(kept.unwrap().upgrade().is_none());
                });
            }

            #[test]
            fn a_destructor_that_panics_frees_the_rest() {
                struct Bomb(std::rc::Rc<Cell<u8>>);
                impl Drop for Bomb {
                    fn drop(&mut self) {
                        self.0.set(self.0.get() + 1);
                        std::panic::resume_unwind(std::boxed::Box::new("on purpose"))
                    }
                }
                watched(|| {
                    let dropped = std::rc::Rc::new(Cell::new(0));
                    let bomb = $Ptr::new(Bomb(dropped.clone()));
                    let weak = $Ptr::downgrade(&bomb);
                    assert!(catch_unwind(AssertUnwindSafe(|| drop(bomb))).is_err());
                    assert_eq!(dropped.get(), 1);
                    assert!(weak.upgrade().is_none());
                });
            }

            #[test]
            fn raw_pointers() {
                watched(|| {
                    let one = $Ptr::new(String::from("raw"));
                    let raw = $Ptr::into_raw(one.clone());
                    assert_eq!(raw, $Ptr::as_ptr(&one));
                    // SAFETY: `raw` came from `into_raw`, and each count is given back once.
                    unsafe {
                        assert_eq!(*raw, "raw");
                        $Ptr::increment_strong_count(raw);
                        assert_eq!(counts(&one), (3, 0));
                        $Ptr::decrement_strong_count(raw);
                        for _ in 0..3 {
                            let view = std::mem::ManuallyDrop::new($Ptr::from_raw(raw));
                            assert_eq!(counts(&view), (2, 0));
                        }
                        drop($Ptr::from_raw(raw));
                    }
                    assert_eq!(counts(&one), (1, 0));
                    let weak = $Ptr::downgrade(&one);
                    assert_eq!(weak.as_ptr(), $Ptr::as_ptr(&one));
                    let raw = weak.into_raw();
                    assert_eq!(counts(&one), (1, 1));
                    // SAFETY: it came from `into_raw`.
                    let weak = unsafe { Weak::from_raw(raw) };
                    assert_eq!(weak.upgrade().as_deref().map(String::as_str), Some("raw"));
                    // What nobody saw leave, through `as_ptr` alone.
                    let raw = $Ptr::as_ptr(&one);
                    // SAFETY: the object lives, and the count is taken first.
                    unsafe {
                        $Ptr::increment_strong_count(raw);
                        drop($Ptr::from_raw(raw));
                    }
                    assert_eq!(counts(&one), (1, 1));
                    let slice: $Ptr<[u16]> = [1, 2, 3].into();
                    let raw = $Ptr::into_raw(slice);
                    // SAFETY: it came from `into_raw`.
                    assert_eq!(&*unsafe { $Ptr::from_raw(raw) }, &[1, 2, 3]);
                });
            }

            #[test]
            fn uninit() {
                watched(|| {
                    let mut one = $Ptr::<u32>::new_uninit();
                    $Ptr::get_mut(&mut one).unwrap().write(5);
                    // SAFETY: it has been written; zero is a value of the others.
                    unsafe {
                        assert_eq!(*one.assume_init(), 5);
                        assert_eq!(*$Ptr::<u32>::new_zeroed().assume_init(), 0);
                        assert_eq!(*$Ptr::<[u8]>::new_zeroed_slice(3).assume_init(), [0; 3]);
                        let mut slice = $Ptr::<[u8]>::new_uninit_slice(2);
                        $Ptr::get_mut(&mut slice).unwrap().iter_mut().for_each(|x| _ = x.write(1));
                        assert_eq!(*slice.assume_init(), [1, 1]);
                    }
                });
            }

            #[test]
            fn downcasts() {
                watched(|| {
                    let one = std::$module::$Ptr::new(5_u8) as std::$module::$Ptr<$Any>;
                    let one: $Ptr<$Any> = refscope::StdPtr::from_std(one);
                    let other = one.clone();
                    let one = one.downcast::<u16>().unwrap_err();
                    assert_eq!(*one.downcast::<u8>().unwrap(), 5);
                    assert_eq!(counts(&other), (1, 0));
                });
            }

            #[test]
            fn unsizing_by_hand() {
                watched(|| {
                    let one = $Ptr::new([1, 2, 3]);
                    let two: $Ptr<[i32]> = refscope::StdPtr::from_std(
                        refscope::StdPtr::into_std(one.clone()) as std::$module::$Ptr<[i32]>,
                    );
                    assert_eq!(counts(&one), (2, 0));
                    assert_eq!(two.len(), 3);
                });
            }

            #[test]
            fn zero_sized_and_over_aligned() {
                #[repr(align(128))]
                struct Wide(u8);
                watched(|| {
                    let one = $Ptr::new(());
                    assert_eq!(counts(&one.clone()), (2, 0));
                    assert!(!$Ptr::ptr_eq(&one, &$Ptr::new(())), "each has storage of its own");
                    let wide = $Ptr::new(Wide(3));
                    assert_eq!($Ptr::as_ptr(&wide).addr() % 128, 0);
                    let raw = $Ptr::into_raw(wide);
                    // SAFETY: it came from `into_raw`.
                    assert_eq!(unsafe { $Ptr::from_raw(raw) }.0, 3);
                });
            }

            #[test]
            fn values_are_dropped_once_and_in_order() {
                struct Log(u8, std::rc::Rc<RefCell<Vec<u8>>>);
                impl Drop for Log {
                    fn drop(&mut self) {
                        self.1.borrow_mut().push(self.0);
                    }
                }
                watched(|| {
                    let log = std::rc::Rc::new(RefCell::new(Vec::new()));
                    let entry = |number| Log(number, log.clone());
                    let both = $Ptr::new((entry(1), $Ptr::new(entry(2))));
                    let inner = both.1.clone();
                    drop(both);
                    assert_eq!(*log.borrow(), [1]);
                    drop(inner);
                    drop($Ptr::try_unwrap($Ptr::new(entry(3))));
                    std::mem::forget($Ptr::new(entry(4)));
                    assert_eq!(*log.borrow(), [1, 2, 3]);
                });
            }

            #[test]
            fn from_a_box() {
                watched(|| {
                    let one: $Ptr<u8> = boxed::Box::new(5).into();
                    let text: $Ptr<str> = boxed::Box::<str>::from("text").into();
                    assert_eq!((*one, &*text), (5, "text"));
                    let any = refscope::StdPtr::from_std(
                        std::boxed::Box::new(1_u8) as std::boxed::Box<dyn Any>
                    );
                    let any: boxed::Box<dyn Any> = any;
                    assert!($Ptr::<dyn Any>::from(any).is::<u8>());
                });
            }
        }
    };
}

suite! { single_threaded, rc, Rc, dyn Any }
suite! { across_threads, sync, Arc, dyn Any + Send + Sync }

#[test]
fn an_arc_on_many_threads() {
    use sync::Arc;
    const ROUNDS: usize = if cfg!(miri) { 8 } else { 1000 };
    watched(|| {
        let one = Arc::new(std::sync::atomic::AtomicUsize::new(0));
        let threads: Vec<_> = (0..4)
            .map(|_| {
                let mine = one.clone();
                std::thread::spawn(move || {
                    for _ in 0..ROUNDS {
                        mine.clone().fetch_add(1, std::sync::atomic::Ordering::Relaxed);
                        drop(Arc::downgrade(&mine).upgrade());
                    }
                })
            })
            .collect();
        threads.into_iter().for_each(|thread| thread.join().unwrap());
        assert_eq!(Arc::strong_count(&one), 1);
        assert_eq!(Arc::into_inner(one).unwrap().into_inner(), 4 * ROUNDS);
    });
}
