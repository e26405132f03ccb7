//! Reports name the user's line where std or a derive made the handle at fault.
#![cfg(target_os = "linux")]

use refscope::leaks;
use refscope::sync::Arc;
use std::collections::BTreeMap;
use std::hint::black_box;

#[derive(Clone)]
struct State {
    inner: Arc<String>,
}

#[derive(Clone)]
struct App(State);

#[inline(never)]
fn serve(app: &App) -> App {
    app.clone() // <- derive
}

#[inline(never)]
#[allow(clippy::ptr_arg)] // a vector is what is cloned
fn share(all: &Vec<Arc<String>>) -> Vec<Arc<String>> {
    let shared = all.clone(); // <- vec
    // Otherwise the call is a jump, where it is optimised, and this function is left already.
    black_box(&shared);
    shared
}

fn line(name: &str) -> u32 {
    let lines = include_str!("stack_reports.rs").lines().zip(1..);
    let mut marked = lines.filter(|(line, _)| line.ends_with(&format!("// <- {name}")));
    marked.next().expect("a mark").1
}

/// Leaks what `f` gives, and returns the report.
fn report<T>(f: impl FnOnce() -> T) -> String {
    let kept = std::cell::RefCell::new(None);
    let panic = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        leaks::check(|| drop(kept.replace(Some(f()))));
    }));
    let text = panic.expect_err("a leak").downcast::<String>().expect("a text");
    drop(kept);
    *text
}

#[test]
fn a_derives_clone() {
    let text = report(|| {
        let app = App(State { inner: Arc::new("state".to_owned()) });
        black_box(&app.0.inner);
        let kept = serve(&app);
        drop(app);
        kept
    });
    let expected = format!("--> {}:{}:", file!(), line("derive"));
    assert!(text.contains(&expected), "{text}");
    assert!(text.contains("app.clone()") && text.contains("a derive made this clone"), "{text}");
}

#[test]
fn stds_clone() {
    let text = report(|| {
        let all = vec![Arc::new("one".to_owned())];
        let kept = share(&all);
        drop(all);
        kept
    });
    let expected = format!("--> {}:{}:", file!(), line("vec"));
    assert!(text.contains(&expected), "{text}");
    assert!(text.contains("= all.clone()") && text.contains("std made this clone"), "{text}");
}

/// Held by a test that asks for stacks, which is for the whole process.
static STACKS: std::sync::Mutex<()> = std::sync::Mutex::new(());

#[inline(never)]
#[allow(clippy::if_same_then_else)] // two lines of one function
fn either(value: &Arc<String>, first: bool) -> Arc<String> {
    if first {
        black_box(value.clone()) // <- first
    } else {
        black_box(value.clone()) // <- second
    }
}

#[inline(never)]
fn elsewhere(value: &Arc<String>) -> Arc<String> {
    black_box(value.clone()) // <- elsewhere
}

/// A report shows the stack that was asked for, and its finding is known again with and without.
/// Where std or a derive allocated, the user's line is named, and nothing where there are several.
#[test]
fn what_std_and_derives_allocate() {
    /// Rows are as wide as a terminal.
    fn unwrapped<T>(f: impl FnOnce() -> T) -> String {
        report(f).split_whitespace().collect::<Vec<_>>().join(" ")
    }
    #[derive(Default)]
    struct Holder {
        held: Arc<u64>,
    }
    #[inline(never)]
    fn by_std(map: &mut BTreeMap<u8, Arc<u64>>, key: u8) -> Arc<u64> {
        let made = map.entry(key).or_default(); // <- entry
        made.clone()
    }
    let text = unwrapped(|| by_std(&mut BTreeMap::new(), 1));
    let at = format!("= created: {}:{}:", file!(), line("entry"));
    assert!(text.contains(&at) && text.contains(", by std at library/"), "{text}");
    let text = unwrapped(|| {
        let mut map = BTreeMap::new();
        drop(by_std(&mut map, 1));
        map.entry(2).or_default();
        map.values().map(Arc::clone).collect::<Vec<_>>()
    });
    assert!(text.contains("created: library/"), "{text}");
    let text = unwrapped(|| {
        let holder = black_box(Holder::default()); // <- default
        holder.held.clone()
    });
    let at = format!("= created: {}:{}:", file!(), line("default"));
    assert!(text.contains(&at) && text.contains(", by a derive at "), "{text}");
}

#[test]
fn stacks_in_reports_and_fingerprints() {
    use refscope::stack;

    let _alone = STACKS.lock();
    let of = |share: fn(&Arc<String>) -> Arc<String>| {
        report(|| {
            let value = Arc::new("state".to_owned());
            share(&value)
        })
    };
    // The one word in brackets of eight hexadecimal digits.
    let print = |text: &str| {
        let mut words = text.split(['[', ']']);
        let is_print = |w: &&str| w.len() == 8 && w.bytes().all(|b| b.is_ascii_hexdigit());
        words.find(is_print).expect("a fingerprint").to_owned()
    };
    type Clones = fn(&Arc<String>) -> Arc<String>;
    let all: [Clones; 3] = [|value| either(value, true), |value| either(value, false), elsewhere];
    let plain = all.map(of);
    stack::set_depths(stack::Depths::all(32));
    let texts = all.map(of);
    stack::set_depths(stack::Depths::default());
    assert!(plain.iter().all(|text| !text.contains("= stack:")));
    // The type, the operation, the file and the column are the same for the first two.
    assert_eq!(print(&plain[0]), print(&plain[1]));
    assert_ne!(print(&plain[0]), print(&plain[2]));
    for (text, name) in texts.iter().zip(["either", "either", "elsewhere"]) {
        let at = text.lines().position(|line| line.contains("= stack:")).expect(text);
        // However it is folded.
        let lines = text.lines().skip(at).take(4).flat_map(str::split_whitespace);
        let lines = lines.collect::<Vec<_>>().join(" ");
        assert!(lines.contains(&format!("stack_reports::{name} at {}:", file!())), "{text}");
        assert!(text.contains("tests/stack_reports.rs:"), "{text}");
        assert!(text.contains(" of std") || text.contains("of refscope"), "folded: {text}");
    }
    assert!(texts.iter().zip(&plain).all(|(with, without)| print(with) == print(without)));
    println!("{}", texts[0]);
}

#[inline(never)]
fn lend(value: &Arc<String>) -> Arc<String> {
    value.clone() // <- lend
}

#[inline(never)]
fn give_back(value: Arc<String>) {
    black_box(&value);
    drop(value); // <- give back
    black_box(());
}

/// Clones on one line, dropped on another, in a recording: each with its stack.
#[test]
fn a_balance_of_clones_and_drops() {
    use refscope::{Op, Scope, sink::Recorder, stack};

    let _alone = STACKS.lock();
    stack::set_depths(stack::Depths::all(24));
    let recorder = Recorder::new();
    let mut kept = Vec::new();
    Scope::new(recorder.clone()).run(|| {
        let value = Arc::new("value".to_owned());
        for n in 0..12 {
            let lent = lend(black_box(&value));
            if n == 5 { kept.push(lent) } else { give_back(lent) }
        }
        kept.push(value);
    });
    stack::set_depths(stack::Depths::default());
    let mut recording = recorder.recording();
    recording.verify().expect("nothing was lost");
    assert_eq!(recording.events().len(), 1 + 12 + 11);
    assert!(recording.events().iter().all(|event| event.stack.is_some()));
    let (&id, _) = recording.objects().first_key_value().expect("one object");
    let balance = recording.balance(id).expect("it has events");
    let lent = balance.made.iter().find(|made| made.op == Op::Clone).expect("clones");
    assert_eq!((lent.count, lent.alive()), (12, 1), "{balance}");
    let at = |line: &Option<String>, name: &str| {
        let place = format!("tests/stack_reports.rs:{}", self::line(name));
        line.as_ref().is_some_and(|line| line.contains(&place))
    };
    assert!(at(&lent.line, "lend"), "{balance}");
    assert!(matches!(&lent.ended[..], [(by, Op::Drop, 11)] if at(by, "give back")), "{balance}");
    #[cfg(feature = "json")]
    {
        // A file has modules and offsets, and the names are found by them.
        let balance = from_a_file();
        assert!(at(&balance.made[0].line, "lend"), "{balance}");
        assert!(
            matches!(&balance.made[0].ended[..], [(by, Op::Drop, 1)] if at(by, "give back")),
            "{balance}"
        );
    }
    let stack = recording.live_objects()[0].handles[1].stack.expect("the clone's");
    assert!(stack.resolve().to_string().contains("stack_reports::lend"), "{}", stack.resolve());
    // A timeline says where each handle went.
    recording.resolve_stacks();
    let timelines = recording.timelines().to_string();
    let place = format!("drop at stack_reports.rs:{}:", self::line("give back"));
    assert!(timelines.contains(&place), "{timelines}");
    println!("{timelines}\n{balance}");
}

/// Two clones, of which one is dropped, through a file.
#[cfg(feature = "json")]
fn from_a_file() -> refscope::analysis::Balance<String> {
    use refscope::{Recording, Scope, sink::FileSink, stack};

    let path = std::env::temp_dir().join(format!("refscope-stacks-{}.jsonl", std::process::id()));
    let file = FileSink::create(&path).expect("a file");
    stack::set_depths(stack::Depths::all(24));
    let scope = Scope::new(file.clone());
    let kept = scope.run(|| {
        let value = Arc::new("value".to_owned());
        give_back(lend(black_box(&value)));
        let lent = lend(black_box(&value));
        drop(value);
        lent
    });
    stack::set_depths(stack::Depths::default());
    file.flush().expect("it is written");
    let text = std::fs::read(&path).expect("it is there");
    drop((kept, scope, file));
    std::fs::remove_file(&path).expect("it is there");
    let recording = Recording::read(&text[..]).expect("a recording");
    let (&id, _) = recording.objects().first_key_value().expect("one object");
    let foreign = recording.events()[0].stack.expect("a stack");
    assert!(foreign.addresses().is_empty(), "it isn't this process's own");
    recording.balance(id).expect("it has events")
}
