//! Handles that a shared library keeps in a thread-local of its own: one that was loaded by `dlopen`, and one that the program
//! had from its start.
#![cfg(all(
    feature = "trace",
    target_os = "linux",
    target_env = "gnu",
    any(target_arch = "x86_64", target_arch = "aarch64")
))]

use refscope::Arc;
use refscope::locate::{Held, Owner, Search};
use std::ffi::{CString, c_void};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::LazyLock;
use std::time::Duration;

/// It knows nothing of refscope: it keeps a pointer of the program's.
const SOURCE: &str = r"
    use std::cell::Cell;
    thread_local! {
        static BEFORE: Cell<[u64; 5]> = const { Cell::new([1; 5]) };
        static KEPT: Cell<*mut u8> = const { Cell::new(std::ptr::null_mut()) };
    }
    #[unsafe(no_mangle)]
    pub extern fn keep(pointer: *mut u8) -> u64 {
        KEPT.set(pointer);
        BEFORE.get()[0]
    }
";

/// Compiles the library, once.
fn library() -> PathBuf {
    static LIBRARY: LazyLock<PathBuf> = LazyLock::new(compiled);
    LIBRARY.clone()
}

fn compiled() -> PathBuf {
    let directory = PathBuf::from(env!("CARGO_TARGET_TMPDIR"));
    let (source, library) = (directory.join("keeper.rs"), directory.join("libkeeper.so"));
    if std::env::var_os("LD_PRELOAD").is_none() {
        std::fs::write(&source, SOURCE).expect("the directory is there");
        let rustc = std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
        let compiled = Command::new(rustc)
            .args(["--edition=2024", "--crate-type=cdylib", "--crate-name=keeper", "-o"])
            .args([&library, &source])
            .output()
            .expect("rustc is there");
        assert!(compiled.status.success(), "{}", String::from_utf8_lossy(&compiled.stderr));
    }
    library
}

fn keep(library: &Path, pointer: *mut c_void) {
    let name = CString::new(library.as_os_str().as_encoded_bytes()).expect("it has no zero in it");
    // SAFETY: TEST: the library has nothing that runs when it is loaded.
    let handle = unsafe { libc::dlopen(name.as_ptr(), libc::RTLD_NOW) };
    assert!(!handle.is_null(), "it can be loaded");
    // SAFETY: TEST: it stays loaded.
    let keep = unsafe { libc::dlsym(handle, c"keep".as_ptr()) };
    assert!(!keep.is_null());
    // SAFETY: TEST: that is what it is.
    let keep: extern "C" fn(*mut c_void) -> u64 = unsafe { std::mem::transmute(keep) };
    assert_eq!(keep(pointer), 1);
}

#[test]
fn a_librarys_thread_local_is_named() {
    let _ = refscope::track();
    let library = library();
    let run = move || {
        let value = Arc::new([7_u64; 3]);
        let object = refscope::holders(&value).object().expect("it is traced").id();
        keep(&library, Box::into_raw(Box::new(value)).cast());
        object
    };
    let (sender, receiver) = std::sync::mpsc::channel();
    let (end, wait) = std::sync::mpsc::channel::<()>();
    let other = std::thread::Builder::new().name("keeper".to_owned());
    let of_other = {
        let run = run.clone();
        other.spawn(move || {
            sender.send(run()).expect("the test waits");
            let _ = wait.recv();
        })
    };
    let objects = [run(), receiver.recv().expect("the thread sends it")];
    let ownership = Search::new().budget(Duration::from_secs(30)).run().expect("this is Linux");
    for (object, of) in objects.into_iter().zip(["a_librarys_thread_local_is_named", "keeper"]) {
        let text = ownership.path_to(object).expect("it is alive").to_string();
        assert!(text.contains("held by: thread-local keeper::KEPT of"), "{text}");
        let (root, _) = ownership.path(object).expect("it is alive");
        let Held::Root(Owner::ThreadLocal(place)) = root else { panic!("{text}") };
        assert_eq!(place.image, "libkeeper.so");
        assert!(of.starts_with(&*place.thread) || ownership.asked_by == *place.thread, "{text}");
    }
    drop(end);
    of_other.expect("threads can be made").join().expect("it ends");
}

/// The loader puts what is there from the start beside the program's own thread-locals.
#[test]
fn so_is_that_of_one_that_was_there_from_the_start() {
    let own = std::env::current_exe().expect("it has a path");
    let library = library();
    let output = Command::new(own)
        .args(["--exact", "a_librarys_thread_local_is_named"])
        .env("LD_PRELOAD", library)
        .output()
        .expect("it runs again");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
}
