//! An interpreter: environments hold closures, and closures their environment.

use refscope::rc::Rc;
use std::cell::RefCell;
use std::collections::HashMap;

#[derive(Clone)]
enum Value {
    Number(i64),
    Closure(Rc<Closure>),
}

struct Closure {
    parameter: &'static str,
    body: Expression,
    env: Rc<Env>,
}

#[derive(Default)]
struct Env {
    values: RefCell<HashMap<&'static str, Value>>,
    parent: Option<Rc<Env>>,
}

#[derive(Clone)]
enum Expression {
    Number(i64),
    Name(&'static str),
    Add(std::boxed::Box<(Expression, Expression)>),
    Call(&'static str, std::boxed::Box<Expression>),
}

impl Env {
    fn below(parent: &Rc<Env>) -> Rc<Env> {
        Rc::new(Env { parent: Some(parent.clone()), ..Env::default() })
    }

    fn get(&self, name: &str) -> Value {
        let own = self.values.borrow().get(name).cloned();
        own.or_else(|| self.parent.as_ref().map(|parent| parent.get(name))).expect("it is defined")
    }

    fn set(&self, name: &'static str, value: Value) {
        self.values.borrow_mut().insert(name, value);
    }
}

fn define(env: &Rc<Env>, name: &'static str, parameter: &'static str, body: Expression) {
    let closure = Closure { parameter, body, env: env.clone() }; // <- FAULT
    env.set(name, Value::Closure(Rc::new(closure)));
}

fn eval(expression: &Expression, env: &Rc<Env>) -> i64 {
    match expression {
        Expression::Number(number) => *number,
        Expression::Name(name) => match env.get(name) {
            Value::Number(number) => number,
            Value::Closure(_) => panic!("a function is no number"),
        },
        Expression::Add(both) => eval(&both.0, env) + eval(&both.1, env),
        Expression::Call(name, argument) => {
            let Value::Closure(closure) = env.get(name) else { panic!("it is no function") };
            let local = Env::below(&closure.env);
            local.set(closure.parameter, Value::Number(eval(argument, env)));
            eval(&closure.body, &local)
        }
    }
}

pub(super) fn run() {
    for program in 0..10 {
        let global = Rc::new(Env::default());
        let sum = (Expression::Name("n"), Expression::Number(program));
        define(&global, "add", "n", Expression::Add(std::boxed::Box::new(sum)));
        let call = Expression::Call("add", std::boxed::Box::new(Expression::Number(1)));
        assert_eq!(eval(&call, &global), program + 1);
    }
}
