//! A cache that evicts from its map, and forgets the list that says in which order.

use refscope::sync::Arc;
use std::collections::{HashMap, VecDeque};

struct Page {
    bytes: Vec<u8>,
}

struct Cache {
    pages: HashMap<u32, Arc<Page>>,
    order: VecDeque<(u32, Arc<Page>)>,
    room: usize,
}

impl Cache {
    fn get(&mut self, number: u32) -> Arc<Page> {
        if let Some(page) = self.pages.get(&number) {
            return page.clone();
        }
        let page = Arc::new(Page { bytes: vec![number as u8; 100] });
        self.pages.insert(number, page.clone());
        self.order.push_back((number, page.clone())); // <- FAULT
        if self.pages.len() > self.room {
            // The oldest; it stays in the list.
            let oldest = self.order.iter().map(|(number, _)| *number);
            let oldest = oldest.filter(|number| self.pages.contains_key(number)).min();
            self.pages.remove(&oldest.expect("it is full"));
        }
        page
    }
}

thread_local! {
    static CACHE: std::cell::RefCell<Cache> = std::cell::RefCell::new(Cache {
        pages: HashMap::new(),
        order: VecDeque::new(),
        room: 8,
    });
}

pub(super) fn run() {
    let sum: usize = (0..200).map(|n| CACHE.with_borrow_mut(|it| it.get(n)).bytes.len()).sum();
    assert_eq!(sum, 20_000);
}
