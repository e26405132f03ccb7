//! Programs that compile because of how std's pointers are drop-checked: a plain `impl Drop for Arc<T>` would reject
//! them. That they compile is the test. (Those that must be rejected are in `tests/ui`.)

use super::{boxed, rc, sync, watched};
use std::cell::{Cell, RefCell};

macro_rules! suite {
    ($name:ident, $Ptr:path) => {
        mod $name {
            use super::*;
            use $Ptr as Ptr;

            /// The referent is declared after the pointer, and so dropped before it.
            #[test]
            fn a_referent_declared_after_the_pointer() {
                watched(|| {
                    let pointer;
                    let referent = 5;
                    pointer = Ptr::new(&referent);
                    assert_eq!(**pointer, 5);
                });
            }

            #[test]
            fn a_referent_in_the_same_tuple() {
                watched(|| {
                    let (mut slot, value): (Option<Ptr<&String>>, String) = (None, "x".into());
                    slot.replace(Ptr::new(&value));
                    assert_eq!(slot.as_ref().map(|pointer| pointer.as_str()), Some("x"));
                });
            }

            /// Nodes that refer to siblings in one arena.
            #[test]
            fn sibling_references() {
                struct Node<'a> {
                    sibling: Cell<Option<&'a Ptr<Node<'a>>>>,
                    value: u8,
                }
                watched(|| {
                    let nodes: Vec<Ptr<Node<'_>>> =
                        (0..2).map(|value| Ptr::new(Node { sibling: Cell::new(None), value })).collect();
                    nodes[0].sibling.set(Some(&nodes[1]));
                    nodes[1].sibling.set(Some(&nodes[0]));
                    assert_eq!(nodes[0].sibling.get().unwrap().value, 1);
                });
            }

            /// The referent is moved, and mutated, after the pointer's last use, but before its drop.
            #[test]
            fn a_referent_moved_or_mutated_after_the_last_use() {
                watched(|| {
                    let referent = String::from("x");
                    let mut number = 1;
                    let pointer = Ptr::new((&referent, &number));
                    assert_eq!((pointer.0.len(), *pointer.1), (1, 1));
                    number += 1;
                    drop(referent);
                    assert_eq!(number, 2);
                });
            }

            #[test]
            fn a_pointer_to_what_borrows_a_neighbour() {
                struct Pair<'a> {
                    first: RefCell<Option<Ptr<&'a Pair<'a>>>>,
                }
                watched(|| {
                    let one = Pair { first: RefCell::new(None) };
                    let two = Pair { first: RefCell::new(None) };
                    *one.first.borrow_mut() = Some(Ptr::new(&two));
                    *two.first.borrow_mut() = Some(Ptr::new(&one));
                    assert!(one.first.borrow().is_some());
                });
            }

            /// A field can be moved out of a struct that holds one: no `Drop` on the whole.
            #[test]
            fn a_struct_can_be_taken_apart() {
                struct Both {
                    pointer: Ptr<u8>,
                    text: String,
                }
                watched(|| {
                    let Both { pointer, text } = Both { pointer: Ptr::new(1), text: "x".into() };
                    assert_eq!((*pointer, text.as_str()), (1, "x"));
                });
            }
        }
    };
}

suite! { on_box, boxed::Box }
suite! { on_rc, rc::Rc }
suite! { on_arc, sync::Arc }

#[test]
fn weak_parents() {
    struct Node<'a> {
        parent: RefCell<rc::Weak<Node<'a>>>,
        children: RefCell<Vec<rc::Rc<Node<'a>>>>,
        text: &'a str,
    }
    watched(|| {
        let root;
        let text = String::from("child of a text that is dropped first");
        root = rc::Rc::new(Node {
            parent: RefCell::default(),
            children: RefCell::default(),
            text: &text,
        });
        let child = rc::Rc::new(Node {
            parent: RefCell::new(rc::Rc::downgrade(&root)),
            children: RefCell::default(),
            text: &text[..5],
        });
        root.children.borrow_mut().push(child.clone());
        assert_eq!(child.parent.borrow().upgrade().unwrap().text.len(), text.len());
        assert_eq!(root.children.borrow()[0].text, "child");
    });
}
