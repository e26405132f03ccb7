//! The traits of std that the pointers have, and what the compiler infers of them.

use super::{boxed, rc, sync, watched};
use std::borrow::{Borrow, BorrowMut, Cow};
use std::collections::{BTreeSet, HashMap, HashSet};
use std::hash::{BuildHasher, Hash, Hasher, RandomState};
use std::marker::PhantomData;
use std::panic::{RefUnwindSafe, UnwindSafe};
use std::pin::Pin;

macro_rules! suite {
    ($name:ident, $Ptr:path) => {
        mod $name {
            use super::*;
            use $Ptr as Ptr;

            #[test]
            fn looks_like_its_value() {
                watched(|| {
                    let one = Ptr::new(5);
                    assert_eq!(format!("{one} {one:?} {one:>3} {one:#?}"), "5 5   5 5");
                    assert_eq!(format!("{one:p}"), format!("{:p}", &raw const *one));
                    assert_eq!(one, Ptr::new(5));
                    assert!(one < Ptr::new(6) && one >= Ptr::new(5) && one != Ptr::new(4));
                    assert_eq!(one.cmp(&Ptr::new(6)), std::cmp::Ordering::Less);
                    assert_ne!(Ptr::new(f32::NAN), Ptr::new(f32::NAN));
                    assert_eq!(Ptr::new(f32::NAN).partial_cmp(&Ptr::new(1.0)), None);
                    let state = RandomState::new();
                    assert_eq!(state.hash_one(&one), state.hash_one(5));
                });
            }

            #[test]
            fn is_found_by_its_value() {
                watched(|| {
                    let set: HashSet<Ptr<str>> = ["a", "b"].into_iter().map(Ptr::from).collect();
                    assert!(set.contains("a") && !set.contains("c"));
                    let map = HashMap::from([(Ptr::new(1), 'x')]);
                    assert_eq!(map[&1], 'x');
                    let tree: BTreeSet<Ptr<[u8]>> = [Ptr::from([2]), Ptr::from([1])].into();
                    assert_eq!(tree.first().map(|first| first[0]), Some(1));
                    let one = Ptr::new(String::from("x"));
                    let _: (&String, &String) = (one.borrow(), one.as_ref());
                });
            }

            #[test]
            fn conversions() {
                watched(|| {
                    let texts: [Ptr<str>; 4] =
                        ["x".into(), String::from("x").into(), Cow::Borrowed("x").into(), Cow::Owned::<str>("x".into()).into()];
                    assert!(texts.iter().all(|text| &**text == "x"));
                    let bytes: Ptr<[u8]> = texts[0].clone().into();
                    assert_eq!(*bytes, *b"x");
                    let mut array = [1, 2];
                    let slices: [Ptr<[i32]>; 6] = [
                        [1, 2].into(),
                        (&[1, 2][..]).into(),
                        (&mut array[..]).into(),
                        vec![1, 2].into(),
                        (1..3).collect(),
                        Cow::Borrowed(&[1, 2][..]).into(),
                    ];
                    assert!(slices.iter().all(|slice| **slice == [1, 2]));
                    let array: Result<Ptr<[i32; 2]>, _> = slices[0].clone().try_into();
                    assert_eq!(*array.unwrap(), [1, 2]);
                    let array: Result<Ptr<[i32; 3]>, _> = slices[0].clone().try_into();
                    assert_eq!(*array.unwrap_err(), [1, 2]);
                    let c: [Ptr<std::ffi::CStr>; 2] = [c"c".into(), c"c".to_owned().into()];
                    let os: [Ptr<std::ffi::OsStr>; 2] =
                        [std::ffi::OsStr::new("o").into(), std::ffi::OsString::from("o").into()];
                    let path: [Ptr<std::path::Path>; 2] =
                        [std::path::Path::new("p").into(), std::path::PathBuf::from("p").into()];
                    assert!(c[0] == c[1] && os[0] == os[1] && path[0] == path[1]);
                    let value: Ptr<u8> = 5.into();
                    assert_eq!(*value, 5);
                });
            }

            #[test]
            fn defaults() {
                watched(|| {
                    assert_eq!(*Ptr::<u8>::default(), 0);
                    assert!(Ptr::<str>::default().is_empty());
                    assert!(Ptr::<[u8]>::default().is_empty());
                    assert_eq!(*Ptr::<std::ffi::CStr>::default(), *c"");
                    let pinned: Pin<Ptr<u8>> = Default::default();
                    assert_eq!((*pinned, *Ptr::pin(7)), (0, 7));
                });
            }

            #[test]
            fn variance_and_niche() {
                fn shorter<'a>(long: Ptr<&'static str>, _: &'a str) -> Ptr<&'a str> {
                    long
                }
                watched(|| {
                    let local = String::from("local");
                    assert_eq!(*shorter(Ptr::new("static"), &local), "static");
                    assert_eq!(size_of::<Option<Ptr<u8>>>(), size_of::<Ptr<u8>>());
                    assert_eq!(size_of::<Option<Ptr<str>>>(), size_of::<Ptr<str>>());
                });
            }

            #[cfg(unix)]
            #[test]
            fn file_descriptors() {
                use std::os::fd::{AsFd, AsRawFd};
                watched(|| {
                    let out = Ptr::new(std::io::stdout());
                    assert_eq!(out.as_raw_fd(), out.as_fd().as_raw_fd());
                });
            }
        }
    };
}

suite! { on_box, boxed::Box }
suite! { on_rc, rc::Rc }
suite! { on_arc, sync::Arc }

/// Whether a type has an auto trait: the inherent constant is found first, where its bound holds.
macro_rules! has {
    ($Type:ty: $($bound:tt)+) => {{
        #[allow(dead_code)]
        struct Probe<T: ?Sized>(PhantomData<T>);
        #[allow(dead_code)]
        impl<T: ?Sized + $($bound)+> Probe<T> {
            const HAS: bool = true;
        }
        #[allow(dead_code)]
        trait Otherwise {
            const HAS: bool = false;
        }
        impl<T: ?Sized> Otherwise for Probe<T> {}
        <Probe<$Type>>::HAS
    }};
}

/// Neither `Sync` nor unwind safe.
type Inner = std::cell::Cell<u8>;
/// Not `Unpin`.
type Pinned = std::marker::PhantomPinned;

#[test]
fn auto_traits() {
    assert!(has!(boxed::Box<u8>: Send) && has!(boxed::Box<u8>: Sync));
    assert!(has!(boxed::Box<Inner>: Send) && !has!(boxed::Box<Inner>: Sync));
    assert!(!has!(boxed::Box<*const u8>: Send));
    assert!(!has!(rc::Rc<u8>: Send) && !has!(rc::Rc<u8>: Sync));
    assert!(!has!(rc::Weak<u8>: Send) && !has!(rc::Weak<u8>: Sync));
    assert!(has!(sync::Arc<u8>: Send) && has!(sync::Arc<u8>: Sync));
    assert!(!has!(sync::Arc<Inner>: Send) && !has!(sync::Arc<Inner>: Sync));
    assert!(has!(sync::Weak<u8>: Send) && has!(sync::Weak<u8>: Sync));
    assert!(!has!(sync::Weak<Inner>: Send) && !has!(sync::Weak<Inner>: Sync));

    assert!(has!(boxed::Box<Pinned>: Unpin) && has!(rc::Rc<Pinned>: Unpin));
    assert!(has!(sync::Arc<Pinned>: Unpin) && has!(rc::Weak<Pinned>: Unpin));

    assert!(has!(boxed::Box<u8>: UnwindSafe) && has!(boxed::Box<Inner>: UnwindSafe));
    assert!(!has!(boxed::Box<&mut u8>: UnwindSafe));
    assert!(has!(rc::Rc<u8>: UnwindSafe) && !has!(rc::Rc<Inner>: UnwindSafe));
    assert!(has!(sync::Arc<u8>: UnwindSafe) && !has!(sync::Arc<Inner>: UnwindSafe));
    assert!(has!(rc::Rc<u8>: RefUnwindSafe) && !has!(rc::Rc<Inner>: RefUnwindSafe));
    assert!(has!(sync::Arc<u8>: RefUnwindSafe));

    assert!(has!(boxed::Box<u8>: Clone) && !has!(boxed::Box<std::fs::File>: Clone));
    assert!(has!(rc::Rc<std::fs::File>: Clone));
    assert!(!has!(rc::Rc<fn(f32)>: Copy) && !has!(sync::Weak<u8>: PartialEq));
}

#[test]
fn a_box_lends_its_value_to_be_changed() {
    watched(|| {
        let mut one = boxed::Box::new(1);
        *BorrowMut::<i32>::borrow_mut(&mut one) += 1;
        *one.as_mut() += 1;
        assert_eq!(*one, 3);
        let mut hasher = boxed::Box::new(std::collections::hash_map::DefaultHasher::new());
        7_u32.hash(&mut hasher);
        let mut plain = std::collections::hash_map::DefaultHasher::new();
        7_u32.hash(&mut plain);
        assert_eq!(hasher.finish(), plain.finish());
        let empty: boxed::Box<std::ffi::OsStr> = Default::default();
        assert!(empty.is_empty());
    });
}

#[test]
fn an_arc_of_an_error_or_a_file() {
    use std::error::Error;
    use std::io::{Read, Seek, Write};
    watched(|| {
        fn is_error(error: &(impl Error + ?Sized)) -> bool {
            error.source().is_none()
        }
        assert!(is_error(&sync::Arc::new(std::fmt::Error)));
        let path = std::env::temp_dir().join(format!(
            "refscope-arc-file-{}-{:?}-{}",
            std::process::id(),
            std::thread::current().id(),
            module_path!().replace("::", "-")
        ));
        let open = std::fs::OpenOptions::new().read(true).write(true).create(true).truncate(true).open(&path);
        let mut file = sync::Arc::new(open.unwrap());
        file.write_all(b"abc").unwrap();
        file.rewind().unwrap();
        let mut text = String::new();
        file.clone().read_to_string(&mut text).unwrap();
        assert_eq!(text, "abc");
        std::fs::remove_file(path).unwrap();
    });
}

/// A program that swaps `Rc` alone has std's boxes, sized and not.
#[test]
fn from_a_box_of_stds() {
    let text: std::boxed::Box<str> = "a text".into();
    let number = std::boxed::Box::new(7);
    let any: std::boxed::Box<dyn std::fmt::Debug> = std::boxed::Box::new(8);
    super::watched(|| {
        assert_eq!(&*super::rc::Rc::<str>::from(text.clone()), "a text");
        assert_eq!(&*super::sync::Arc::<str>::from(text), "a text");
        assert_eq!(*super::rc::Rc::<i32>::from(number.clone()), 7);
        assert_eq!(*super::sync::Arc::<i32>::from(number), 7);
        assert_eq!(format!("{:?}", super::rc::Rc::<dyn std::fmt::Debug>::from(any)), "8");
    });
}
