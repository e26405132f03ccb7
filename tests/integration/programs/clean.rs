//! Programs without a leak, in which something is alive at the end all the same.

use refscope::rc::Rc;
use refscope::sync::Arc;
use std::cell::RefCell;
use std::collections::HashMap;
use std::sync::{LazyLock, Mutex};

static FONTS: LazyLock<Mutex<HashMap<String, Arc<Vec<u8>>>>> = LazyLock::new(Mutex::default);

fn font(name: &str) -> Arc<Vec<u8>> {
    let mut fonts = FONTS.lock().unwrap();
    fonts.entry(name.to_owned()).or_insert_with(|| Arc::new(name.bytes().collect())).clone()
}

/// What was asked for once is kept.
pub(super) fn static_cache() {
    let shown = ["serif", "sans", "serif"].map(font);
    assert!(Arc::ptr_eq(&shown[0], &shown[2]));
}

struct Buffer(RefCell<Vec<u8>>);

thread_local! {
    static FREE: RefCell<Vec<Rc<Buffer>>> = const { RefCell::new(Vec::new()) };
}

fn with_buffer<R>(f: impl FnOnce(&mut Vec<u8>) -> R) -> R {
    let buffer = FREE.with_borrow_mut(Vec::pop);
    let buffer = buffer.unwrap_or_else(|| Rc::new(Buffer(RefCell::default())));
    buffer.0.borrow_mut().clear();
    let result = f(&mut buffer.0.borrow_mut());
    FREE.with_borrow_mut(|free| free.push(buffer));
    result
}

/// What was used is given back.
pub(super) fn pool() {
    let lengths = [3, 5, 2].map(|n| {
        with_buffer(|buffer| {
            buffer.extend(with_buffer(|inner| {
                inner.resize(n, 7);
                inner.clone()
            }));
            buffer.len()
        })
    });
    assert_eq!(lengths, [3, 5, 2]);
}

struct Codec {
    name: &'static str,
    fallback: Option<Arc<Codec>>,
}

/// Filled when it is first used.
static CODECS: LazyLock<Vec<Arc<Codec>>> = LazyLock::new(|| {
    let plain = Arc::new(Codec { name: "plain", fallback: None });
    let packed = Arc::new(Codec { name: "packed", fallback: Some(plain.clone()) });
    vec![plain, packed]
});

pub(super) fn registry() {
    let codec = CODECS.iter().find(|codec| codec.name == "packed").cloned().unwrap();
    assert!(codec.fallback.as_ref().is_some_and(|it| it.name == "plain"));
}

/// It has its job still when `run` is over, and ends soon.
pub(super) fn worker() {
    let job = Arc::new(Mutex::new(0));
    let theirs = job.clone();
    std::thread::spawn(move || {
        std::thread::sleep(std::time::Duration::from_millis(400));
        *theirs.lock().unwrap() += 1;
    });
    *job.lock().unwrap() += 1;
}

/// What the caller gets is the caller's.
pub(super) fn rows() -> Vec<Rc<String>> {
    let header = Rc::new("header".to_owned());
    (0..3).map(|n| if n == 0 { header.clone() } else { Rc::new(format!("row {n}")) }).collect()
}
