//! A pointer to what lives long is one to what lives shorter, and what may be sent is what std's may.

use refscope::{Arc, Box, Rc, rc, sync};
use std::panic::{RefUnwindSafe, UnwindSafe};

fn shorter<'a>(
    all: (Rc<&'static str>, Arc<&'static str>, Box<&'static str>, rc::Weak<&'static str>),
    _: &'a str,
) -> (Rc<&'a str>, Arc<&'a str>, Box<&'a str>, rc::Weak<&'a str>) {
    all
}

fn sent<T: Send + Sync>() {}
fn unwound<T: UnwindSafe + RefUnwindSafe + Unpin>() {}

struct Recursive {
    _next: Option<Box<Recursive>>,
    _others: Vec<Arc<Recursive>>,
}

fn main() {
    sent::<Arc<u8>>();
    sent::<sync::Weak<[u8]>>();
    sent::<Box<dyn Fn() + Send + Sync>>();
    sent::<Recursive>();
    unwound::<Box<u8>>();
    unwound::<Rc<u8>>();
    unwound::<Arc<str>>();
    let text = String::from("a");
    let one = Rc::new("b");
    let weak = Rc::downgrade(&one);
    shorter((one, Arc::new("c"), Box::new("d"), weak), &text);
}
