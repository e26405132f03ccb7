//! What is alive is known the same with every sink, and without one.
#![cfg(feature = "trace")]

use refscope::analysis::{LeakReport, Snapshot};
use refscope::event::Time;
use refscope::model::LiveObject;
use refscope::sink::{Filter, Nop, ObjectFilter, Overflow, Print, Recorder, Sink, from_fn};
use refscope::{Arc, Box, Rc, Scope, rc, sync};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, Ordering};

/// Handles of every kind.
struct Kept {
    one: Rc<u32>,
    clone: Rc<u32>,
    weak: rc::Weak<u32>,
    memory: sync::Weak<[u8; 8]>,
    boxed: Box<u64>,
    raw: *const u16,
}

/// Makes handles of every kind, and drops others.
fn make() -> Kept {
    let one = Rc::new(1);
    let clone = one.clone();
    drop(clone.clone());
    let weak = Rc::downgrade(&clone);
    let shared = Arc::new([0; 8]);
    let memory = Arc::downgrade(&shared);
    drop(Box::new("goes"));
    let raw = Arc::into_raw(Arc::new(5_u16));
    Kept { one, clone, weak, memory, boxed: Box::new(4), raw }
}

impl Kept {
    /// Drops them all.
    fn drop(self) {
        // SAFETY: the pointer came from `into_raw`, and is taken back once.
        drop(unsafe { Arc::from_raw(self.raw) });
    }
}

/// What is alive, in so far as it does not differ from run to run.
fn seen(objects: &[LiveObject]) -> Vec<String> {
    let object = |object: &LiveObject| {
        let handles = object.handles.iter().map(|handle| {
            let ops: Vec<_> = handle.path.iter().map(|step| step.op.name()).collect();
            let raw = if handle.raw { ", raw" } else { "" };
            let from = handle.from.map_or(0, refscope::HandleId::number);
            format!(
                "{} {} from {from}: {}{raw}",
                handle.strength,
                handle.id.number(),
                ops.join(" > ")
            )
        });
        let handles: Vec<_> = handles.collect();
        format!("{}<{}> {}: {}", object.kind, object.type_name, object.strong, handles.join("; "))
    };
    objects.iter().map(object).collect()
}

const KEPT: [&str; 4] = [
    "Rc<u32> 2: strong 1 from 0: new; strong 2 from 1: new > clone; weak 5 from 2: new > clone > downgrade",
    "Arc<[u8; 8]> 0: weak 2 from 1: new > downgrade",
    "Arc<u16> 1: strong 1 from 0: new, raw",
    "Box<u64> 1: strong 1 from 0: new",
];

/// Asks everything that there is to ask in a scope.
fn check(name: &str, scope: &Scope) {
    let snapshot = || Snapshot::new(scope.alive(), Time::coarse());
    let before = snapshot();
    let kept = scope.run(make);
    let alive = scope.alive();
    assert_eq!(seen(&alive), KEPT, "{name}");
    assert!(alive.iter().all(|object| &*object.thread == std::thread::current().name().unwrap()));
    // Holders, of any handle.
    let holders = refscope::holders(&kept.one);
    assert_eq!(
        (holders.strong_count(), holders.strong().len(), holders.handles().len()),
        (2, 2, 3)
    );
    assert_eq!(holders.handles(), &alive[0].handles[..], "{name}");
    assert_eq!(holders.caveats(), [""; 0], "{name}");
    assert_eq!(refscope::holders(&kept.weak).handles(), holders.handles(), "{name}");
    assert_eq!(refscope::holders(&kept.clone).asked().map(|id| id.number()), Some(2));
    assert_eq!(refscope::holders(&kept.memory).handles(), &alive[1].handles[..], "{name}");
    assert_eq!(refscope::holders(&kept.boxed).handles(), &alive[3].handles[..], "{name}");
    // A watch, snapshots and reports.
    let watch = refscope::watch(&kept.one);
    assert_eq!((watch.is_dropped(), watch.strong_count()), (false, 2), "{name}");
    let report = watch.report().expect("it is alive");
    assert_eq!(report.leaks()[0].example().handles, alive[0].handles, "{name}");
    let growth = snapshot().since(&before);
    assert_eq!((growth.objects(), growth.gone()), (4, 0), "{name}");
    let report = LeakReport::new(scope.alive(), Time::coarse());
    assert_eq!((report.objects(), report.leaks().len()), (4, 4), "{name}");
    // And all of them when it is gone.
    kept.drop();
    watch.assert_dropped();
    assert!(watch.report().is_none(), "{name}");
    assert_eq!(scope.alive(), [], "{name}");
    assert_eq!(snapshot().since(&before).objects(), 0, "{name}");
}

#[test]
fn the_same_with_every_sink() {
    let recorder = Recorder::new;
    let tiny = |overflow| Recorder::builder().budget(1).overflow(overflow).build();
    let quiet = || Print::to(std::io::sink());
    check("no sink", &Scope::tracking());
    check("nop", &Scope::new(Nop));
    check("closure", &Scope::new(from_fn(|_| {})));
    check("print", &Scope::new(quiet()));
    check("recorder", &Scope::new(recorder()));
    check("full recorder", &Scope::new(tiny(Overflow::DropNewest)));
    check("full recorder that goes on", &Scope::new(tiny(Overflow::DropOldest)));
    check("pair", &Scope::new((recorder(), from_fn(|_| {}))));
    check("two recorders", &Scope::new((recorder(), recorder())));
    check("filter", &Scope::new(Filter::new(Nop, |_| true)));
    check("filtered recorder", &Scope::new(Filter::by(recorder(), ObjectFilter::all())));
    check("boxed", &Scope::new(std::boxed::Box::new(recorder()) as std::boxed::Box<dyn Sink>));
}

/// The scopes are of one object; each sees it, whichever has the sink.
#[test]
fn the_same_in_a_scope_in_a_scope() {
    let sinks: [fn() -> Scope; 4] = [
        Scope::tracking,
        || Scope::new(Nop),
        || Scope::new(from_fn(|_| {})),
        || Scope::new(Recorder::new()),
    ];
    let sinks = if cfg!(miri) { &sinks[2..3] } else { &sinks[..] };
    for outer in sinks {
        for inner in sinks {
            let (outer, inner, beside) = (outer(), inner(), Scope::tracking());
            outer.run(|| check("inner", &inner));
            let kept = outer.run(|| inner.run(make));
            assert_eq!(seen(&outer.alive()), KEPT);
            assert_eq!(seen(&inner.alive()), KEPT);
            assert_eq!(beside.alive(), []);
            let own = outer.run(make);
            assert_eq!((outer.alive().len(), inner.alive().len()), (8, 4));
            own.drop();
            kept.drop();
            assert_eq!((outer.alive().len(), inner.alive().len()), (0, 0));
        }
    }
}

/// An inner check does not hide what leaks in it from an outer one, nor does one that passes the outer's own.
#[test]
#[cfg_attr(miri, ignore)] // its report searches the memory, by what Miri does not know
fn checks_in_a_check() {
    use refscope::leaks::Check;
    use std::time::Duration;

    let outer = Check::new().timeout(Duration::ZERO);
    let inner = Check::new().timeout(Duration::ZERO);
    let panic = catch_unwind(AssertUnwindSafe(|| {
        outer.run(|| {
            inner.run(|| drop(Rc::new(1)));
            let before = Rc::new(1_u8);
            let failed =
                catch_unwind(AssertUnwindSafe(|| inner.run(|| std::mem::forget(Rc::new(2_u16)))));
            assert!(failed.expect_err("it leaks").downcast_ref::<String>().is_some());
            drop(before);
        });
    }));
    let message = *panic.expect_err("it leaks").downcast::<String>().unwrap();
    assert!(
        message.contains("1 object alive after the check") && message.contains("Rc<u16>"),
        "{message}"
    );
    // Its own, made while an inner scope was entered and left again.
    let outer = Check::new().timeout(Duration::ZERO);
    let kept = outer.scope().run(|| {
        Check::new().run(|| drop(Rc::new(3)));
        Rc::new(4_u32)
    });
    assert_eq!(outer.report().objects(), 1);
    drop(kept);
    outer.verify().expect("all is gone");
}

/// A scope entered in itself, and entered many times in many others, counts each object once.
#[test]
fn a_scope_in_itself_and_in_many() {
    const OUTERS: usize = if cfg!(miri) { 4 } else { 100 };
    let scope = Scope::tracking();
    let one = scope.run(|| scope.run(|| Rc::new(1)));
    assert_eq!(scope.alive().len(), 1);
    let outers: Vec<_> = (0..OUTERS).map(|_| Scope::tracking()).collect();
    let more: Vec<_> =
        (0..3 * OUTERS).map(|i| outers[i % OUTERS].run(|| scope.run(|| Rc::new(2)))).collect();
    assert_eq!(scope.alive().len(), 3 * OUTERS + 1);
    assert!(outers.iter().all(|outer| outer.alive().len() == 3));
    drop((one, more));
    assert_eq!(scope.alive(), []);
}

/// What was made while the sink was on is known after it was switched off, by the program or by its own panic. What is
/// made afterwards is untraced, but in a scope without a sink.
#[test]
fn switched_off_sinks() {
    static ANGRY: AtomicBool = AtomicBool::new(false);
    let angry = from_fn(|event| {
        if ANGRY.load(Ordering::Relaxed) {
            panic!("on purpose, at {event}");
        }
    });
    for (scope, by_panic) in [
        (Scope::new(Recorder::new()), false),
        (Scope::new(from_fn(|_| {})), false),
        (Scope::new(Nop), false),
        (Scope::new(angry), true),
    ] {
        let kept = scope.run(make);
        if by_panic {
            ANGRY.store(true, Ordering::Relaxed);
            drop(kept.one.clone());
        } else {
            scope.switch_off();
        }
        assert_eq!(seen(&scope.alive()), KEPT);
        let another = kept.one.clone();
        let holders = refscope::holders(&kept.one);
        assert_eq!((holders.strong_count(), holders.strong().len()), (3, 3));
        assert_eq!(scope.alive()[0].handles.len(), 4);
        let late = scope.run(|| Rc::new(9));
        assert!(refscope::holders(&late).object().is_none());
        drop((another, late));
        assert_eq!(scope.alive().len(), 4);
        let mark = Scope::tracking();
        let marked =
            [scope.run(|| mark.run(|| Rc::new(10))), mark.run(|| scope.run(|| Rc::new(11)))];
        assert_eq!((mark.alive().len(), scope.alive().len()), (2, 6));
        drop(marked);
        assert_eq!(mark.alive(), []);
        kept.drop();
        assert_eq!(scope.alive(), []);
    }
    // A mark has no sink to be switched off.
    let mark = Scope::tracking();
    mark.switch_off();
    check("mark", &mark);
}

/// What a filter leaves out is not known, but in a scope without a sink: no check is blind for what a filter within it,
/// or around it, does not want.
#[test]
fn filters() {
    let numbers = || ObjectFilter::all().of_type("u64");
    let scope = Scope::new(Filter::by(Recorder::new(), numbers()));
    let kept = scope.run(make);
    assert_eq!(seen(&scope.alive()), KEPT[3..]);
    assert!(refscope::holders(&kept.one).object().is_none());
    assert_eq!(refscope::watch(&kept.one).strong_count(), 0);
    kept.drop();
    assert_eq!(scope.alive(), []);
    let (mark, recorder) = (Scope::tracking(), Recorder::new());
    let filtered = Scope::new(Filter::by(recorder.clone(), numbers()));
    for filter_outside in [true, false] {
        let kept = match filter_outside {
            true => filtered.run(|| mark.run(make)),
            false => mark.run(|| filtered.run(make)),
        };
        assert_eq!(seen(&mark.alive()), KEPT);
        assert_eq!(seen(&filtered.alive()), KEPT);
        kept.drop();
        assert_eq!(mark.alive(), []);
    }
    assert_eq!(recorder.recording().objects().len(), 2, "the recorder has what the filter accepts");
}

/// In the whole process: with what tests beside it make.
#[test]
fn the_whole_process() {
    struct Mine;
    let mine = || {
        let all = refscope::alive();
        all.into_iter().filter(|object| object.type_name.ends_with("Mine")).collect::<Vec<_>>()
    };
    let before = refscope::leaks::snapshot();
    let kept =
        [Scope::tracking(), Scope::new(Recorder::new())].map(|scope| scope.run(|| Arc::new(Mine)));
    let threads = kept.each_ref().map(|arc| {
        let arc = arc.clone();
        std::thread::spawn(move || arc).join().unwrap()
    });
    assert_eq!(mine().iter().map(|object| object.handles.len()).collect::<Vec<_>>(), [2, 2]);
    let report = refscope::leaks::report();
    let leak = report.leaks().iter().find(|leak| leak.example().type_name.ends_with("Mine"));
    assert_eq!(leak.expect("it is in the report").objects.len(), 2);
    let growth = refscope::leaks::snapshot().since(&before);
    let grown = growth.grown().iter().find(|grown| grown.added.type_name.ends_with("Mine"));
    assert_eq!(grown.map(|grown| (grown.before, grown.now)), Some((0, 2)));
    drop((kept, threads));
    assert_eq!(mine(), []);
}

/// A handle that is handed on while it is looked for: its object is alive throughout.
#[test]
fn what_is_handed_on_meanwhile_is_never_left_out() {
    let (scope, others) = (Scope::tracking(), Scope::tracking());
    // Many places to look at: it takes a while.
    let many = others.run(|| Arc::new(0_u8));
    let many: Vec<_> = (0..20_000).map(|_| many.clone()).collect();
    let mut current = scope.run(|| Arc::new("handed on"));
    let stop = AtomicBool::new(false);
    let (mut missed, mut without) = (0, 0);
    std::thread::scope(|threads| {
        threads.spawn(|| {
            while !stop.load(Ordering::Relaxed) {
                let next = current.clone();
                current = next;
            }
        });
        for _ in 0..300 {
            let alive = scope.alive();
            missed += usize::from(alive.is_empty());
            without += alive.iter().filter(|object| object.handles.is_empty()).count();
        }
        stop.store(true, Ordering::Relaxed);
    });
    assert_eq!(missed, 0, "it is alive");
    assert!(without < 100, "its handle is found, mostly: {without} times not");
    drop((current, many));
    assert_eq!(scope.alive(), []);
}
