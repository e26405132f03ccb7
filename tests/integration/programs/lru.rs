//! A cache of what was used last: a list of entries that know both of their neighbours.

use refscope::rc::Rc;
use std::cell::RefCell;
use std::collections::HashMap;

struct Entry {
    key: u32,
    value: String,
    newer: RefCell<Option<Rc<Entry>>>,
    older: RefCell<Option<Rc<Entry>>>,
}

#[derive(Default)]
struct Lru {
    entries: HashMap<u32, Rc<Entry>>,
    newest: Option<Rc<Entry>>,
    oldest: Option<Rc<Entry>>,
}

impl Lru {
    fn insert(&mut self, key: u32, value: String) {
        let older = self.newest.take();
        let entry =
            Rc::new(Entry { key, value, newer: RefCell::default(), older: RefCell::new(older) });
        match &*entry.older.borrow() {
            Some(older) => *older.newer.borrow_mut() = Some(entry.clone()),
            None => self.oldest = Some(entry.clone()),
        }
        self.newest = Some(entry.clone()); // <- FAULT
        self.entries.insert(key, entry);
        if self.entries.len() > 3 {
            self.evict();
        }
    }

    fn evict(&mut self) {
        let Some(oldest) = self.oldest.take() else { return };
        self.entries.remove(&oldest.key);
        // Its neighbour forgets it, but it does not forget its neighbour.
        let next = oldest.newer.borrow().clone();
        if let Some(next) = &next {
            next.older.borrow_mut().take();
        }
        self.oldest = next;
    }

    fn get(&self, key: u32) -> Option<&str> {
        self.entries.get(&key).map(|entry| &*entry.value)
    }
}

pub(super) fn run() {
    let mut cache = Lru::default();
    for key in 0..8 {
        cache.insert(key, format!("value {key}"));
    }
    assert_eq!((cache.get(0), cache.get(7)), (None, Some("value 7")));
}
