//! An interpreter of objects: each keeps the methods that were bound to it, which keep the object.

use refscope::rc::Rc;
use std::cell::RefCell;
use std::collections::HashMap;

type Native = fn(&Object, i64) -> i64;

#[derive(Clone)]
enum Value {
    Number(i64),
    Method(Rc<Bound>),
}

struct Class {
    methods: HashMap<&'static str, Native>,
}

struct Object {
    class: Rc<Class>,
    fields: RefCell<HashMap<&'static str, Value>>,
}

struct Bound {
    receiver: Rc<Object>,
    code: Native,
}

fn instantiate(class: &Rc<Class>, count: i64) -> Rc<Object> {
    let fields = HashMap::from([("count", Value::Number(count))]);
    Rc::new(Object { class: class.clone(), fields: RefCell::new(fields) })
}

/// A field, or else a method, which is remembered so that it is bound once.
fn get(object: &Rc<Object>, name: &'static str) -> Value {
    if let Some(value) = object.fields.borrow().get(name) {
        return value.clone();
    }
    let code = object.class.methods[name];
    let receiver = object.clone(); // <- FAULT
    let method = Value::Method(Rc::new(Bound { receiver, code }));
    object.fields.borrow_mut().insert(name, method.clone());
    method
}

fn call(object: &Rc<Object>, name: &'static str, argument: i64) -> i64 {
    match get(object, name) {
        Value::Method(method) => (method.code)(&method.receiver, argument),
        Value::Number(_) => panic!("a number cannot be called"),
    }
}

fn add(this: &Object, more: i64) -> i64 {
    let mut fields = this.fields.borrow_mut();
    let Some(Value::Number(count)) = fields.get_mut("count") else { panic!("no count") };
    *count += more;
    *count
}

pub(super) fn run() {
    let class = Rc::new(Class { methods: HashMap::from([("add", add as Native)]) });
    for start in 0..7 {
        let counter = instantiate(&class, start);
        assert_eq!(call(&counter, "add", 2), start + 2);
        assert_eq!(call(&counter, "add", 2), start + 4);
    }
}
