//! A cache that is filled for each request and never emptied.

use refscope::leaks::Check;
use refscope::sync::Arc;
use std::collections::HashMap;
use std::sync::Mutex;

struct Page {
    text: String,
}

static CACHE: Mutex<Option<HashMap<String, Arc<Page>>>> = Mutex::new(None);

fn page(path: &str) -> Arc<Page> {
    let mut cache = CACHE.lock().unwrap();
    let page = cache.get_or_insert_default().entry(path.to_owned());
    page.or_insert_with(|| Arc::new(Page { text: format!("text of {path}") })).clone() // FAULT: never removed
}

fn render(request: u32) -> usize {
    // The key has the request's number in it, so that nothing is ever found again.
    let page = page(&format!("/index?request={request}"));
    page.text.len()
}

pub(crate) fn run(_: &Check) {
    (0..50).for_each(|request| {
        render(request);
    });
}
