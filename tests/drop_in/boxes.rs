//! `Box`.

use super::{boxed::Box, watched};
use std::any::Any;
use std::error::Error;
use std::io::{BufRead, Read, Seek, Write};
use std::pin::Pin;

#[test]
fn ownership() {
    watched(|| {
        let mut one = Box::new(1);
        *one += 1;
        let two = one.clone();
        *one += 1;
        assert_eq!((*one, *two), (3, 2));
        assert_eq!(refscope::StdPtr::into_std(two), std::boxed::Box::new(2));
        let raw = Box::into_raw(one);
        // SAFETY: it came from `into_raw`, and what is leaked is taken back.
        unsafe {
            *raw += 1;
            let one = Box::from_raw(raw);
            let leaked: &'static mut i32 = Box::leak(one);
            *leaked += 1;
            assert_eq!(*Box::from_raw(leaked), 5);
        }
    });
}

#[test]
fn uninit() {
    watched(|| {
        assert_eq!(*Box::write(Box::new_uninit(), 5), 5);
        // SAFETY: zero is a value; the slice is written.
        unsafe {
            assert_eq!(*Box::<u8>::new_zeroed().assume_init(), 0);
            assert_eq!(*Box::<[u8]>::new_zeroed_slice(2).assume_init(), [0, 0]);
            let mut slice = Box::<[u8]>::new_uninit_slice(2);
            slice.iter_mut().for_each(|x| _ = x.write(1));
            assert_eq!(*slice.assume_init(), [1, 1]);
        }
    });
}

#[test]
fn clone_in_place() {
    watched(|| {
        let mut text: Box<[u8]> = [1, 2, 3].into();
        let place = text.as_ptr();
        text.clone_from(&Box::from([4, 5, 6]));
        assert_eq!((text.as_ptr(), &*text), (place, &[4, 5, 6][..]));
        text.clone_from(&Box::from([7]));
        assert_eq!(*text, [7]);
    });
}

#[test]
fn downcasts() {
    watched(|| {
        let any = || std::boxed::Box::new(5_u8);
        let plain: Box<dyn Any> = refscope::StdPtr::from_std(any() as _);
        let send: Box<dyn Any + Send> = refscope::StdPtr::from_std(any() as _);
        let sync: Box<dyn Any + Send + Sync> = refscope::StdPtr::from_std(any() as _);
        assert_eq!(*plain.downcast::<u16>().unwrap_err().downcast::<u8>().unwrap(), 5);
        assert_eq!(*send.downcast::<u16>().unwrap_err().downcast::<u8>().unwrap(), 5);
        assert_eq!(*sync.downcast::<u16>().unwrap_err().downcast::<u8>().unwrap(), 5);
    });
}

#[test]
fn errors_from_everything() {
    fn fails(how: u8) -> Result<(), Box<dyn Error + Send + Sync>> {
        match how {
            0 => Err("text")?,
            1 => Err(String::from("owned text"))?,
            2 => Err(std::io::Error::other("an error"))?,
            3 => Err(std::borrow::Cow::Borrowed("a cow"))?,
            _ => Ok(()),
        }
    }
    fn plain(how: u8) -> Result<(), Box<dyn Error>> {
        match how {
            0 => Err("text".into()),
            1 => Err(String::from("owned text").into()),
            2 => Err(std::io::Error::other("an error").into()),
            _ => Ok(()),
        }
    }
    watched(|| {
        let told: Vec<_> = (0..4).map(|how| fails(how).unwrap_err().to_string()).collect();
        assert_eq!(told, ["text", "owned text", "an error", "a cow"]);
        let told: Vec<_> = (0..3).map(|how| plain(how).unwrap_err().to_string()).collect();
        assert_eq!(told, ["text", "owned text", "an error"]);
        assert!(fails(9).is_ok() && plain(9).is_ok());
        let error = fails(2).unwrap_err();
        assert!(error.downcast_ref::<std::io::Error>().is_some());
        fn is_error<E: Error>(_: &E) {}
        is_error(&Box::new(std::io::Error::other("x")));
    });
}

#[test]
fn conversions() {
    watched(|| {
        let text: Box<str> = "text".into();
        assert_eq!(String::from(text.clone()), "text");
        assert_eq!(*Box::<[u8]>::from(text), *b"text");
        assert_eq!(Vec::from(Box::from([1, 2])), [1, 2]);
        let array: Box<[i32; 2]> = Box::<[i32]>::from([1, 2]).try_into().unwrap();
        assert_eq!(*array, [1, 2]);
        let array: Result<Box<[i32; 3]>, _> = Box::<[i32]>::from([1, 2]).try_into();
        assert_eq!(array.unwrap_err().len(), 2);
        let array: Result<Box<[i32; 2]>, Vec<i32>> = vec![1, 2, 3].try_into();
        assert_eq!(array.unwrap_err(), [1, 2, 3]);
        let joined: String = [Box::<str>::from("a"), "b".into()].into_iter().collect();
        assert_eq!(joined, "ab");
        let boxed: Box<str> = ["x", "y"].into_iter().collect();
        let chars: Box<str> = ['z', 'w'].iter().collect();
        let mut all = String::new();
        all.extend([boxed, chars]);
        assert_eq!(all, "xyzw");
        let pinned: Pin<Box<u8>> = Box::new(1).into();
        assert_eq!((*pinned, *Box::into_pin(Box::new(2)), *Box::pin(3)), (1, 2, 3));
        let path: Box<std::path::Path> = std::path::Path::new("a/b").into();
        assert_eq!(path.into_path_buf(), std::path::PathBuf::from("a/b"));
        let c: Box<std::ffi::CStr> = c"c".into();
        assert_eq!(std::ffi::CString::from(c), c"c".to_owned());
        let os: Box<std::ffi::OsStr> = std::ffi::OsString::from("os").into();
        assert_eq!(std::ffi::OsString::from(os), "os");
    });
}

/// std has these as methods of the pointee that take `self: Box<Self>`.
#[test]
fn an_allocation_becomes_an_owned_type() {
    watched(|| {
        let text: Box<str> = "text".into();
        let place = text.as_ptr();
        let text = text.into_string();
        assert_eq!((text.as_str(), text.as_ptr()), ("text", place));
        assert_eq!(*Box::<str>::from("bytes").into_boxed_bytes(), *b"bytes");
        assert_eq!(Box::<[u8]>::from([1, 2]).into_vec(), [1, 2]);
        assert_eq!(Box::<std::ffi::CStr>::from(c"c").into_c_string(), c"c".to_owned());
        let os: Box<std::ffi::OsStr> = std::ffi::OsString::from("os").into();
        assert_eq!(os.into_os_string(), "os");
    });
}

#[test]
fn errors_are_downcast() {
    use std::fmt;
    #[derive(Debug, PartialEq)]
    struct Own(u8);
    impl fmt::Display for Own {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("own")
        }
    }
    impl Error for Own {}
    watched(|| {
        let plain: Box<dyn Error> = Own(1).into();
        let other = plain.downcast::<std::io::Error>().unwrap_err();
        assert_eq!(*other.downcast::<Own>().unwrap(), Own(1));
        let send: std::boxed::Box<dyn Error + Send> = std::boxed::Box::new(Own(2));
        let send: Box<dyn Error + Send> = refscope::StdPtr::from_std(send);
        let other = send.downcast::<fmt::Error>().unwrap_err();
        assert_eq!(*other.downcast::<Own>().unwrap(), Own(2));
        let sync: Box<dyn Error + Send + Sync> = Own(3).into();
        let other = sync.downcast::<fmt::Error>().unwrap_err();
        assert_eq!(*other.downcast::<Own>().unwrap(), Own(3));
    });
}

/// `Vec::into_boxed_slice` and its kind give std's box, whatever the program has imported.
#[test]
fn boxes_of_stds_are_converted_both_ways() {
    use std::boxed::Box as Std;
    watched(|| {
        let slice: Box<[u8]> = vec![1, 2].into_boxed_slice().into();
        assert_eq!(*Std::<[u8]>::from(slice), [1, 2]);
        let text: Box<str> = String::from("text").into_boxed_str().into();
        assert_eq!(&*Std::<str>::from(text), "text");
        let c: Box<std::ffi::CStr> = c"c".to_owned().into_boxed_c_str().into();
        assert_eq!(&*Std::<std::ffi::CStr>::from(c), c"c");
        let os: Box<std::ffi::OsStr> = std::ffi::OsString::from("o").into_boxed_os_str().into();
        assert_eq!(&*Std::<std::ffi::OsStr>::from(os), "o");
        let path: Box<std::path::Path> = std::path::PathBuf::from("p").into_boxed_path().into();
        assert_eq!(&*Std::<std::path::Path>::from(path), "p");
        let any: Box<dyn Any> = (Std::new(1_u8) as Std<dyn Any>).into();
        assert!(Std::<dyn Any>::from(any).is::<u8>());
        // What a thread panicked with.
        let payload = std::thread::spawn(|| std::panic::resume_unwind(Std::new(7_u8))).join();
        let payload: Box<dyn Any + Send> = payload.unwrap_err().into();
        assert_eq!(*Std::<dyn Any + Send>::from(payload).downcast::<u8>().unwrap(), 7);
        let shared = Std::new(8_u8) as Std<dyn Any + Send + Sync>;
        let shared: Box<dyn Any + Send + Sync> = shared.into();
        assert!(Std::<dyn Any + Send + Sync>::from(shared).is::<u8>());
    });
}

#[test]
fn pinned_boxes_become_stds_and_come_from_them() {
    use refscope::StdPtr;
    use std::task::{Context, Poll, Waker};
    type BoxFuture<T> = Pin<std::boxed::Box<dyn Future<Output = T> + Send>>;
    watched(|| {
        let mut context = Context::from_waker(Waker::noop());
        let mut theirs: BoxFuture<u8> = StdPtr::into_std(Box::pin(async { 7 }));
        assert_eq!(theirs.as_mut().poll(&mut context), Poll::Ready(7));
        let theirs: BoxFuture<u8> = std::boxed::Box::pin(async { 8 });
        let mut ours: Pin<Box<dyn Future<Output = u8> + Send>> = theirs.into();
        assert_eq!(StdPtr::as_std(&ours).as_ref().get_ref() as *const _ as *const u8, {
            let value: &dyn Future<Output = u8> = &*ours;
            value as *const _ as *const u8
        });
        assert_eq!(ours.as_mut().poll(&mut context), Poll::Ready(8));
        drop(StdPtr::into_std(ours));
    });
}

#[test]
fn iterators_and_io() {
    watched(|| {
        let dynamic: std::boxed::Box<dyn DoubleEndedIterator<Item = u8>> =
            std::boxed::Box::new([1, 2, 3, 4, 5].into_iter());
        let mut iter: Box<dyn DoubleEndedIterator<Item = u8>> = refscope::StdPtr::from_std(dynamic);
        assert_eq!((iter.next(), iter.next_back(), iter.nth(1)), (Some(1), Some(5), Some(3)));
        assert_eq!(iter.collect::<Vec<_>>(), [4]);
        assert_eq!(Box::new([1, 2, 3].into_iter()).len(), 3);
        assert_eq!(Box::new(0..3).last(), Some(2));
        let slice: Box<[u8]> = (0..3).collect();
        assert_eq!((&slice).into_iter().sum::<u8>(), 3);

        let mut file = Box::new(std::io::Cursor::new(Vec::new()));
        file.write_all(b"line one\nline two\n").unwrap();
        write!(file, "{}", 3).unwrap();
        file.rewind().unwrap();
        let mut line = String::new();
        file.read_line(&mut line).unwrap();
        assert_eq!((line.as_str(), file.stream_position().unwrap()), ("line one\n", 9));
        let mut rest = String::new();
        file.read_to_string(&mut rest).unwrap();
        assert_eq!(rest, "line two\n3");
    });
}

#[test]
fn futures() {
    use std::future::Future;
    use std::task::{Context, Poll, Waker};
    watched(|| {
        let mut future = Box::new(std::future::ready(7));
        let mut context = Context::from_waker(Waker::noop());
        assert_eq!(Pin::new(&mut future).poll(&mut context), Poll::Ready(7));
        let mut pinned = Box::pin(async { 8 });
        assert_eq!(pinned.as_mut().poll(&mut context), Poll::Ready(8));
    });
}

#[test]
fn zero_sized_and_recursive() {
    enum List {
        Cons(u8, Box<List>),
        Nil,
    }
    watched(|| {
        let raw = Box::into_raw(Box::new(()));
        // SAFETY: it came from `into_raw`.
        drop(unsafe { Box::from_raw(raw) });
        let list = List::Cons(1, Box::new(List::Cons(2, Box::new(List::Nil))));
        let mut at = &list;
        let mut sum = 0;
        while let List::Cons(value, next) = at {
            sum += value;
            at = next;
        }
        assert_eq!(sum, 3);
    });
}
