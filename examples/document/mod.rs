//! The program that the examples trace: it reads a text with headings, as README files are, and builds the
//! tree that such programs build, children strong and parents weak, with a cache that worker threads share.
//!
//! It knows nothing of tracing but the `use` lines.

use refscope::rc::{Rc, Weak}; // was: use std::rc::{Rc, Weak};
use refscope::sync::{Arc, Mutex}; // was: use std::sync::{Arc, Mutex};
use std::cell::RefCell;
use std::collections::HashMap;
use std::thread;

/// A heading with what stands under it, or a line of text.
pub(crate) struct Node {
    pub(crate) level: usize,
    pub(crate) text: String,
    pub(crate) children: RefCell<Vec<Rc<Node>>>,
    pub(crate) parent: RefCell<Parent>,
}

/// How a child knows its parent.
#[allow(dead_code)] // each example uses one way
pub(crate) enum Parent {
    None,
    /// As it should be.
    Weak(Weak<Node>),
    /// The classic mistake: parent and child keep each other alive.
    Strong(Rc<Node>),
}

/// How to make the way back from a child to its parent.
pub(crate) type Link = fn(&Rc<Node>) -> Parent;

impl Node {
    fn new(level: usize, text: &str) -> Rc<Node> {
        Rc::new(Node {
            level,
            text: text.to_owned(),
            children: RefCell::default(),
            parent: RefCell::new(Parent::None),
        })
    }

    /// The path of headings that leads here.
    pub(crate) fn path(&self) -> String {
        let parent = match &*self.parent.borrow() {
            Parent::None => None,
            Parent::Weak(weak) => weak.upgrade(),
            Parent::Strong(strong) => Some(strong.clone()),
        };
        match parent {
            Some(parent) => format!("{} / {}", parent.path(), self.text),
            None => self.text.clone(),
        }
    }
}

/// Reads the text into a tree.
pub(crate) fn parse(name: &str, text: &str, link: Link) -> Rc<Node> {
    let root = Node::new(0, name);
    refscope::label(&root, "root");
    let mut open = vec![root.clone()];
    let mut code = false;
    for line in text.lines().filter(|line| !line.trim().is_empty()) {
        code ^= line.starts_with("```");
        let level = line.chars().take_while(|c| *c == '#').count();
        let heading = !code && level > 0 && line[level..].starts_with(' ');
        let node =
            Node::new(if heading { level } else { usize::MAX }, line.trim_matches(['#', ' ']));
        open.retain(|section| section.level < node.level);
        let parent = open.last().expect("the root is above every level");
        *node.parent.borrow_mut() = link(parent);
        parent.children.borrow_mut().push(node.clone());
        if heading {
            refscope::label(&node, &node.text);
            open.push(node);
        }
    }
    root
}

/// How often each word occurs, counted by several threads into one cache.
pub(crate) fn count_words(text: &str, threads: usize) -> Arc<Mutex<HashMap<String, usize>>> {
    let cache = Arc::new(Mutex::new(HashMap::new()));
    refscope::label(&cache, "word cache");
    let lines: Vec<&str> = text.lines().collect();
    let share = lines.len().div_ceil(threads).max(1);
    let workers: Vec<_> = (lines.chunks(share).map(|lines| lines.join(" ")).enumerate())
        .map(|(number, lines)| {
            let cache = cache.clone();
            let worker = thread::Builder::new().name(format!("worker {}", number + 1));
            let work = move || {
                for word in lines.split_whitespace() {
                    *cache.lock().unwrap().entry(word.to_lowercase()).or_insert(0) += 1;
                }
            };
            worker.spawn(work).expect("a thread can be started")
        })
        .collect();
    for worker in workers {
        worker.join().expect("a worker does not panic");
    }
    cache
}

/// What the program prints of its own.
pub(crate) fn summary(root: &Rc<Node>, words: &Arc<Mutex<HashMap<String, usize>>>) -> String {
    fn count(node: &Node) -> usize {
        1 + node.children.borrow().iter().map(|child| count(child)).sum::<usize>()
    }
    fn deepest(node: &Rc<Node>) -> Rc<Node> {
        let children = node.children.borrow();
        match children.iter().rev().find(|child| child.level != usize::MAX) {
            Some(section) => deepest(section),
            None => node.clone(),
        }
    }
    let words = words.lock().unwrap();
    let last = deepest(root);
    format!("{} nodes, {} words; the last section is {}", count(root), words.len(), last.path())
}

/// The file named on the command line, or the repository's README.
#[allow(dead_code)] // `record` has a text of its own
pub(crate) fn input() -> (String, String) {
    let readme = concat!(env!("CARGO_MANIFEST_DIR"), "/README.md");
    let path = std::env::args().nth(1).unwrap_or_else(|| readme.to_owned());
    match std::fs::read_to_string(&path) {
        Ok(text) => {
            let name = path.rsplit('/').next().unwrap_or(&path).to_owned();
            (name, text)
        }
        Err(error) => {
            eprintln!("{path}: {error}");
            std::process::exit(1);
        }
    }
}
