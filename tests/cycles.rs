//! Cycles of the shapes that programs have: which line is the headline, and what the advice says where nothing tells which of the
//! references leads back.
#![cfg(all(
    feature = "trace",
    target_os = "linux",
    target_env = "gnu",
    any(target_arch = "x86_64", target_arch = "aarch64")
))]

#[path = "common/dead_stack.rs"]
mod dead_stack;
#[path = "common/own_process.rs"]
mod own_process;

use dead_stack::clear_dead_stack;
use own_process::passed_in_its_own_process;
use refscope::leaks::Check;
use refscope::locate::Search;
use refscope::rc::{Rc, Weak};
use std::cell::{Cell, RefCell};
use std::time::Duration;

/// A parent with children that look back.
#[derive(Default)]
struct Parent {
    children: RefCell<Vec<Rc<Child>>>,
}

#[derive(Default)]
struct Child {
    up: RefCell<Option<Rc<Parent>>>,
}

#[inline(never)]
fn parent_first() {
    let parent = Rc::new(Parent::default());
    for _ in 0..2 {
        let child = Rc::new(Child::default());
        *child.up.borrow_mut() = Some(parent.clone()); // parent first: back
        parent.children.borrow_mut().push(child.clone()); // parent first: owns
    }
}

/// As a parser does that works from the leaves up.
#[inline(never)]
fn child_first() {
    let child = Rc::new(Child::default());
    let parent = Rc::new(Parent::default());
    parent.children.borrow_mut().push(child.clone()); // child first: owns
    *child.up.borrow_mut() = Some(parent.clone()); // child first: back
}

#[inline(never)]
fn children_first() {
    let children: Vec<_> = (0..3).map(|_| Rc::new(Child::default())).collect();
    let parent = Rc::new(Parent::default());
    for child in &children {
        parent.children.borrow_mut().push(child.clone()); // children first: owns
        *child.up.borrow_mut() = Some(parent.clone()); // children first: back
    }
}

/// The parent's own handle is the one that leads back: no other handle is made of it.
#[inline(never)]
fn moved_into_child() {
    let child = Rc::new(Child::default());
    let parent = Rc::new(Parent::default()); // moved into child: first
    parent.children.borrow_mut().push(child.clone()); // moved into child: owns
    *child.up.borrow_mut() = Some(parent);
}

/// An only child, in a field as its own reference back is.
#[inline(never)]
fn only_child_first() {
    #[derive(Default)]
    struct One {
        other: RefCell<Option<Rc<One>>>,
    }
    let child = Rc::new(One::default());
    let parent = Rc::new(One::default());
    *parent.other.borrow_mut() = Some(child.clone()); // only child first: owns
    *child.other.borrow_mut() = Some(parent.clone()); // only child first: back
}

/// As a parser makes a tree of two branches, from the leaves up; each level has fields alone.
#[inline(never)]
fn binary_tree() {
    #[derive(Default)]
    struct Branch {
        left: RefCell<Option<Rc<Branch>>>,
        right: RefCell<Option<Rc<Branch>>>,
        up: RefCell<Option<Rc<Branch>>>,
    }
    let join = |left: Rc<Branch>, right: Rc<Branch>| {
        let both = Rc::new(Branch::default());
        for (side, child) in [(&both.left, left), (&both.right, right)] {
            *side.borrow_mut() = Some(child.clone()); // binary tree: owns
            *child.up.borrow_mut() = Some(both.clone()); // binary tree: back
        }
        both
    };
    let leaf = || Rc::new(Branch::default());
    join(join(leaf(), leaf()), join(leaf(), leaf()));
}

/// One of the children looks back weakly, as all should.
#[inline(never)]
fn weak_counterpart() {
    #[derive(Default)]
    struct Cell {
        below: RefCell<Option<Rc<Cell>>>,
        beside: RefCell<Option<Rc<Cell>>>,
        up: RefCell<Option<Rc<Cell>>>,
        up_weak: RefCell<Weak<Cell>>,
    }
    let [below, beside, parent] = [(); 3].map(|()| Rc::new(Cell::default()));
    *parent.beside.borrow_mut() = Some(beside.clone());
    *beside.up_weak.borrow_mut() = Rc::downgrade(&parent);
    *parent.below.borrow_mut() = Some(below.clone()); // weak counterpart: owns
    *below.up.borrow_mut() = Some(parent.clone()); // weak counterpart: back
}

struct Subject {
    observers: RefCell<Vec<Rc<Observer>>>,
}

struct Observer {
    _subject: Rc<Subject>,
}

#[inline(never)]
fn observers() {
    let subject = Rc::new(Subject { observers: RefCell::default() });
    for _ in 0..3 {
        let observer = Rc::new(Observer { _subject: subject.clone() }); // observers: back
        subject.observers.borrow_mut().push(observer.clone()); // observers: owns
    }
}

/// Neither edge looks back.
#[inline(never)]
fn graph() {
    #[derive(Default)]
    struct Node {
        edges: RefCell<Vec<Rc<Node>>>,
    }
    let (one, two) = (Rc::new(Node::default()), Rc::new(Node::default()));
    one.edges.borrow_mut().push(two.clone()); // graph: owns
    two.edges.borrow_mut().push(one.clone()); // graph: back
}

#[derive(Default)]
struct Button {
    presses: Cell<u32>,
    on_press: RefCell<Option<std::boxed::Box<dyn Fn()>>>,
}

#[inline(never)]
fn closure() {
    let button = Rc::new(Button::default());
    let this = button.clone(); // closure: back
    *button.on_press.borrow_mut() =
        Some(std::boxed::Box::new(move || this.presses.set(this.presses.get() + 1)));
}

/// A closure that captures the window that its button is in, made after the button.
#[inline(never)]
fn closure_of_a_part() {
    struct Window {
        buttons: RefCell<Vec<Rc<Button>>>,
        title: Cell<u32>,
    }
    let button = Rc::new(Button::default());
    let window = Rc::new(Window { buttons: RefCell::default(), title: Cell::new(0) });
    window.buttons.borrow_mut().push(button.clone()); // closure of a part: owns
    let this = window.clone(); // closure of a part: back
    *button.on_press.borrow_mut() = Some(std::boxed::Box::new(move || this.title.set(1)));
}

#[derive(Default)]
struct Link {
    next: RefCell<Option<Rc<Link>>>,
}

#[inline(never)]
fn three() {
    let [one, two, three] = [(); 3].map(|()| Rc::new(Link::default()));
    *one.next.borrow_mut() = Some(two.clone()); // three: owns
    *two.next.borrow_mut() = Some(three.clone()); // three: owns too
    *three.next.borrow_mut() = Some(one.clone()); // three: back
}

/// Each owns the next by its first handle; the last looks back at the first.
#[inline(never)]
fn three_owned() {
    let one = Rc::new(Link::default());
    let two = Rc::new(Link::default());
    let three = Rc::new(Link::default());
    *three.next.borrow_mut() = Some(one.clone()); // three owned: back
    *two.next.borrow_mut() = Some(three);
    *one.next.borrow_mut() = Some(two);
}

/// Where the comments of this file say that the lines are.
fn line_of(comment: &str) -> usize {
    let ends = |line: &str| line.ends_with(&format!("// {comment}"));
    1 + include_str!("cycles.rs").lines().position(ends).expect("a line has it")
}

/// Checks which line is the headline, and which others the advice names as those that may look back.
fn check(name: &str, make: fn(), headline: &str, others: &[&str]) {
    let check = Check::new().timeout(Duration::ZERO);
    check.scope().run(make);
    clear_dead_stack();
    let report = check.verify().expect_err("a cycle is alive").locate(&Search::new());
    let [leak] = report.leaks() else { panic!("one cause: {report}") };
    assert!(leak.in_cycle, "{report}");
    let at = |role: &str| line_of(&format!("{}: {role}", name.replace('_', " ")));
    let line = leak.cause.location.as_ref().expect("it is known").line as usize;
    let mut others: Vec<usize> = others.iter().map(|role| at(role)).collect();
    if headline == "either" {
        others = vec![at("back"), at("owns")];
        others.retain(|other| *other != line);
        assert_eq!(others.len(), 1, "{report}");
    } else {
        assert_eq!(line, at(headline), "{report}");
    }
    let help = leak.help.to_string();
    let (_, advice) = help.split_once("the handle that this line makes be a `Weak`").expect(&help);
    let named = advice.matches("or that of tests/cycles.rs:").count();
    assert_eq!(named, others.len(), "{report}");
    for other in others {
        assert!(advice.contains(&format!("or that of tests/cycles.rs:{other}:")), "{report}");
    }
    assert_eq!(advice.ends_with(", whichever looks back"), named > 0, "{report}");
}

macro_rules! shapes {
    ($($name:ident: $headline:literal, $others:expr;)*) => {$(
        mod $name {
            #[test]
            fn is_named() {
                if !super::passed_in_its_own_process() {
                    super::check(stringify!($name), super::$name, $headline, &$others);
                }
            }
        }
    )*};
}

// Of two alike ones, which nothing tells apart, the advice says both.
shapes! {
    parent_first: "back", ["owns"];
    child_first: "back", ["owns"];
    children_first: "back", ["owns"];
    moved_into_child: "owns", ["first"];
    only_child_first: "either", [];
    binary_tree: "back", ["owns"];
    weak_counterpart: "back", ["owns"];
    observers: "back", ["owns"];
    graph: "either", [];
    closure: "back", [];
    closure_of_a_part: "either", [];
    three: "back", ["owns", "owns too"];
    three_owned: "back", [];
}
