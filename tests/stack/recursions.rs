// What programs do recursively with a pointer, which is called `Ptr`. Included once for each: a macro would give all of its
// calls one location, and so other frames than a program's.

use super::{LEVELS, level, mark};
use std::fmt;

struct Mark;
impl Drop for Mark {
    fn drop(&mut self) {
        mark();
    }
}
impl Clone for Mark {
    fn clone(&self) -> Self {
        mark();
        Self
    }
}
impl fmt::Debug for Mark {
    fn fmt(&self, _: &mut fmt::Formatter<'_>) -> fmt::Result {
        mark();
        Ok(())
    }
}
impl PartialEq for Mark {
    fn eq(&self, _: &Self) -> bool {
        mark();
        true
    }
}
impl std::hash::Hash for Mark {
    fn hash<H: std::hash::Hasher>(&self, _: &mut H) {
        mark();
    }
}

#[derive(Clone, Debug, PartialEq, Hash)]
struct Node {
    mark: Mark,
    next: Option<Ptr<Node>>,
    value: u64,
    text: String,
}

fn build(levels: usize) -> Option<Ptr<Node>> {
    mark();
    if levels == 0 {
        return None;
    }
    let next = build(levels - 1);
    Some(Ptr::new(Node { mark: Mark, next, value: levels as u64, text: String::new() }))
}

#[allow(clippy::borrowed_box)] // one of the pointers is a box
fn sum(node: &Ptr<Node>) -> u64 {
    mark();
    node.value + node.next.as_ref().map_or(0, sum)
}

#[allow(clippy::borrowed_box)]
fn walk(node: Option<&Ptr<Node>>) -> u64 {
    mark();
    match node {
        Some(node) => node.value + walk(node.next.as_ref()),
        None => 0,
    }
}

// As an interpreter's expressions are evaluated.
enum Expression {
    Number(u64),
    Add(Ptr<Expression>, Ptr<Expression>),
}
fn expression(levels: usize) -> Expression {
    mark();
    match levels {
        0 => Expression::Number(1),
        _ => Expression::Add(Ptr::new(expression(levels - 1)), Ptr::new(Expression::Number(1))),
    }
}
fn evaluate(expression: &Expression) -> u64 {
    mark();
    match expression {
        Expression::Number(number) => *number,
        Expression::Add(left, right) => evaluate(left) + evaluate(right),
    }
}

/// The bytes a level of each.
pub(super) fn measure() -> Vec<(&'static str, f64)> {
    let mut list = None;
    let mut all = vec![("build", level(|| list = build(LEVELS)))];
    let list = list.unwrap();
    all.push(("map_or", level(|| assert_eq!(sum(&list), (LEVELS * (LEVELS + 1) / 2) as u64))));
    all.push(("walk", level(|| assert!(walk(Some(&list)) > 0))));
    let mut other = None;
    all.push(("clone", level(|| other = Some(Node::clone(&list)))));
    all.push(("eq", level(|| assert!(Some(&*list) == other.as_ref()))));
    let mut hasher = std::hash::DefaultHasher::new();
    all.push(("hash", level(|| std::hash::Hash::hash(&list, &mut hasher))));
    let mut text = String::new();
    all.push(("debug", level(|| fmt::write(&mut text, format_args!("{list:?}")).unwrap())));
    drop(other);
    all.push(("drop", level(|| drop(list))));
    let mut tree = None;
    all.push(("expression", level(|| tree = Some(expression(LEVELS)))));
    all.push(("evaluate", level(|| assert!(evaluate(tree.as_ref().unwrap()) > 0))));
    all
}
