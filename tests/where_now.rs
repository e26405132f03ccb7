//! What a search of this process says: names of statics, reports, exports.
#![cfg(all(
    feature = "trace",
    target_os = "linux",
    any(target_arch = "x86_64", target_arch = "aarch64")
))]

use refscope::locate::{Held, Owner, Ownership, Search};
use refscope::{Arc, ObjectId};
use std::cell::RefCell;
use std::collections::BTreeSet;
use std::sync::{Mutex, PoisonError};

struct Session;

static REGISTRY: Mutex<Vec<Arc<Session>>> = Mutex::new(Vec::new());

thread_local! {
    static CURRENT: RefCell<Option<Arc<Session>>> = const { RefCell::new(None) };
    static LAZY: RefCell<Vec<Arc<Session>>> = RefCell::default();
}

/// One test searches at a time: another's search is waited for no longer than twice the budget.
static ONE: Mutex<()> = Mutex::new(());

fn id<P: refscope::Inspect>(pointer: &P) -> ObjectId {
    refscope::holders(pointer).object().expect("the object is traced").id()
}

/// In a frame of its own, which is gone when the search begins.
#[inline(never)]
fn stored(store: impl Fn(Arc<Session>)) -> ObjectId {
    let session = Arc::new(Session);
    let id = id(&session);
    store(session);
    id
}

fn search() -> Ownership {
    Search::new().budget(std::time::Duration::from_secs(20)).run().expect("it works here")
}

fn root(ownership: &Ownership, id: ObjectId) -> &Owner {
    match ownership.path(id) {
        Some((Held::Root(root), _)) => root,
        other => panic!("{other:?}"),
    }
}

/// A static has its name where the feature `stacks` is on, and file and address without.
#[test]
fn statics_and_thread_locals_are_named() {
    // A copy that a handle left behind may look likelier than where it is: not three times.
    let named = || std::panic::catch_unwind(each_is_named);
    assert!((0..3).any(|_| named().is_ok()), "the reasons are above");
}

fn each_is_named() {
    let _one = ONE.lock().unwrap_or_else(PoisonError::into_inner);
    refscope::track().expect("no other sink is installed");
    let named = cfg!(feature = "stacks");
    let name = |name: &str| named.then(|| format!("where_now::{name}"));
    let in_static = stored(|session| REGISTRY.lock().unwrap().push(session));
    let in_own = stored(|session| CURRENT.set(Some(session)));
    let in_lazy = stored(|session| LAZY.with_borrow_mut(|list| list.push(session)));
    let (ids, asked) = std::sync::mpsc::channel();
    let (done, wait) = std::sync::mpsc::channel::<()>();
    let other = std::thread::Builder::new().name("other".to_owned()).spawn(move || {
        ids.send(stored(|session| CURRENT.set(Some(session)))).unwrap();
        let _ = wait.recv();
    });
    let in_others = asked.recv().unwrap();
    let ownership = search();
    drop(done);
    other.unwrap().join().unwrap();

    match root(&ownership, in_static) {
        Owner::Static(place) => {
            assert_eq!(place.symbol, name("REGISTRY"));
            assert!(place.image.starts_with("where_now") && place.address > 0, "{place}");
        }
        other => panic!("{other:?}"),
    }
    // The test harness names its threads by the test.
    let own = std::thread::current().name().unwrap().chars().take(15).collect::<String>();
    for (id, thread, local) in
        [(in_own, &*own, "CURRENT"), (in_lazy, &own, "LAZY"), (in_others, "other", "CURRENT")]
    {
        let path = ownership.path_to(id).map(|path| path.to_string());
        let Owner::ThreadLocal(place) = root(&ownership, id) else { panic!("{local}: {path:?}") };
        assert_eq!((&*place.thread, &place.symbol), (thread, &name(local)), "{local}: {path:?}");
    }

    let text = ownership.path_to(in_static).unwrap().to_string();
    let first = text.lines().next().unwrap();
    match named {
        true => assert_eq!(first, "held by: static where_now::REGISTRY"),
        false => assert!(first.starts_with("held by: a static of where_now-"), "{first}"),
    }
    REGISTRY.lock().unwrap().clear();
}

/// What could not be searched is said, in the result and in a report.
#[test]
fn a_search_without_time_says_so() {
    let _one = ONE.lock().unwrap_or_else(PoisonError::into_inner);
    let kept = refscope::Scope::tracking().run(|| Arc::new(1));
    let search = Search::new().budget(std::time::Duration::ZERO);
    let ownership = search.run().expect("it works here");
    assert!(ownership.statistics.is_cut);
    assert!(ownership.doubts.contains(&refscope::locate::Doubt::Cut), "{:?}", ownership.doubts);
    let report = refscope::leaks::Check::new().may_trace_nothing();
    let also = report.scope().run(|| kept.clone());
    let new = report.scope().run(|| Arc::new(2));
    let text = report.report().locate(&search).to_string();
    let line = text.lines().find(|line| line.starts_with("   = ")).expect("a line");
    let note = "   = note:    the search for where handles are stored ran out of its budget:";
    assert_eq!(line, note, "before all findings: {text}");
    drop((also, new));
}

/// A failed check's report, and a failed watch's, says where the handles are, however it is asked for; another, what would say it.
#[test]
fn what_fails_says_where_its_handles_are() {
    let _one = ONE.lock().unwrap_or_else(PoisonError::into_inner);
    let words = |text: &str| text.split_whitespace().collect::<Vec<_>>().join(" ");
    let check = || refscope::leaks::Check::new().timeout(std::time::Duration::ZERO);
    let (verified, guard) = (check(), check().enter());
    let (one, two) = (verified.scope().run(|| Arc::new(1)), Arc::new(2));
    let text = guard.finish().expect_err("it is alive").to_string();
    assert!(text.contains("= stored: "), "{text}");
    let text = verified.verify().expect_err("it is alive").to_string();
    assert!(text.contains("= stored: "), "{text}");
    let watch = refscope::watch(&one);
    let panic = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| watch.assert_dropped()));
    let text = panic.expect_err("it is alive").downcast::<String>().expect("a text");
    assert!(text.contains("= stored: "), "{text}");
    for text in [verified.report().to_string(), watch.report().expect("it is alive").to_string()] {
        assert!(!text.contains("= stored: "), "{text}");
        let said =
            words(&text).contains("not where it is stored, which `LeakReport::locate` finds");
        assert!(said, "{text}");
    }
    drop((one, two));
}

/// What gives a search more time is named where it had too little.
#[test]
fn a_check_has_a_budget_for_its_search() {
    let _one = ONE.lock().unwrap_or_else(PoisonError::into_inner);
    let check = refscope::leaks::Check::new().timeout(std::time::Duration::ZERO);
    let check = check.search_budget(std::time::Duration::ZERO);
    let kept = check.scope().run(|| Arc::new(1));
    let report = check.verify().expect_err("it is alive");
    assert!(report.ownership().expect("it works here").statistics.is_cut);
    let text = report.to_string();
    let words = text.split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(words.contains("`Check::search_budget` gives it more"), "{text}");
    drop(kept);
}

/// Of memory that weak handles alone keep the report says so wherever it says who keeps what.
#[test]
fn what_weak_handles_keep_is_no_value() {
    let _one = ONE.lock().unwrap_or_else(PoisonError::into_inner);
    let check = refscope::leaks::Check::new().timeout(std::time::Duration::ZERO);
    let weak = check.scope().run(|| Arc::downgrade(&Arc::new(1)));
    let search = Search::new().budget(std::time::Duration::from_secs(60));
    let text = check.report().locate(&search).to_string();
    let words = text.split_whitespace().collect::<Vec<_>>().join(" ");
    for said in [
        "1 object alive after the check, kept by 1 line; 4 B; 1 of them dropped, its memory kept by weak handles",
        "keeps the memory of this object, whose value is dropped",
        "1 weak handle: the value is dropped, its memory is not",
        "weak handles alone: its value is dropped, its memory is not",
    ] {
        assert!(words.contains(said), "{said}: {text}");
    }
    assert!(!text.contains("keeps this object alive"), "{text}");
    drop(weak);
}

/// By a search that was cut nothing is accused, and nothing is put below another: what it has not found may be there.
#[test]
fn a_search_without_time_says_nothing_of_what_leaked() {
    let _one = ONE.lock().unwrap_or_else(PoisonError::into_inner);
    let check = refscope::leaks::Check::new();
    let kept = check.scope().run(|| {
        let values: Vec<_> = (0..3).map(Arc::new).collect();
        values.iter().for_each(|value| std::mem::forget(value.clone()));
        let _ = cycle();
        values
    });
    let plain = check.report();
    let report = plain.clone().locate(&Search::new().budget(std::time::Duration::ZERO));
    assert!(report.ownership().expect("it works here").statistics.is_cut);
    assert_eq!(report.verdict(), plain.verdict());
    let lines = |report: &refscope::analysis::LeakReport| -> Vec<_> {
        report.leaks().iter().map(|leak| (leak.fingerprint, leak.help.clone())).collect()
    };
    assert_eq!(lines(&report), lines(&plain));
    assert!(report.leaks().iter().all(|leak| leak.parts.is_empty() && leak.retained.is_empty()));
    let text = report.to_string();
    for word in ["forgotten", "nothing that was found", "cycle (", "Held by what", "Leaked"] {
        assert!(!text.contains(word), "{word}: {text}");
    }
    drop(kept);
}

struct Node {
    next: RefCell<Option<refscope::Rc<Node>>>,
    _kept: Arc<Session>,
}

/// Two nodes that hold each other, the first of them also a session. Nothing else holds them.
#[inline(never)]
fn cycle() -> [ObjectId; 3] {
    let session = Arc::new(Session);
    let node = || refscope::Rc::new(Node { next: RefCell::default(), _kept: session.clone() });
    let (one, two) = (node(), node());
    *one.next.borrow_mut() = Some(two.clone());
    *two.next.borrow_mut() = Some(one.clone());
    [id(&session), id(&one), id(&two)]
}

/// A part is a graph of its own, with the same paths, cycles and owners; and can be drawn.
#[test]
fn the_part_for_some_objects() {
    let _one = ONE.lock().unwrap_or_else(PoisonError::into_inner);
    let scope = refscope::Scope::tracking();
    let [session, one, two] = scope.run(cycle);
    let others: Vec<_> = scope.run(|| (0..100).map(|n| Arc::new(Arc::new(n))).collect());
    let all = search();
    for asked in [session, one, two] {
        let part = all.of([asked]);
        let ids: BTreeSet<ObjectId> = part.objects.iter().map(|object| object.id).collect();
        // The session hangs on the cycle; the cycle does without it.
        let mut expected = BTreeSet::from([one, two]);
        expected.insert(asked);
        assert_eq!(ids, expected);
        assert_eq!(part.cycles.len(), 1);
        assert_eq!(part.cycles[0].grade, all.cycle_of(one).unwrap().grade);
        for &id in &ids {
            let (text, whole) = (part.path_to(id).unwrap(), all.path_to(id).unwrap());
            assert_eq!(text.to_string(), whole.to_string());
        }
        assert!(!part.handles_of(asked).is_empty());
        assert_eq!(part.of(ids), part, "nothing is lost when it is asked for again");
    }
    let none = all.of([]);
    assert!(none.objects.is_empty() && none.nodes.is_empty() && none.cycles.is_empty());

    let dot = refscope::render::ownership_dot(&all.of([session]));
    for line in [
        "digraph ownership {",
        "cycle (",
        "color=red, penwidth=2",
        "Rc<Node>",
        "Arc<Session>",
        "style=bold",
    ] {
        assert!(dot.contains(line), "{line}: {dot}");
    }
    let svg = refscope::render::ownership_svg(&all, session).unwrap();
    // Two nodes and the session below the second: three boxes, two arrows down and one back.
    assert_eq!((svg.matches("<rect").count(), svg.matches("<path").count()), (3, 3), "{svg}");
    assert!(svg.contains("Arc&lt;Session&gt;") && svg.contains("cycle ("), "{svg}");
    if let Ok(path) = std::env::var("REFSCOPE_TEST_SVG") {
        std::fs::write(path, &svg).unwrap();
    }
    let edges = dot.lines().filter(|line| line.contains(" -> ")).count();
    assert_eq!(edges, 4, "one to two, two to one, each to the session: {dot}");
    drop(others);
}

/// What is written by serde is read as the same.
#[cfg(feature = "json")]
#[test]
fn the_graph_is_plain_data() {
    let _one = ONE.lock().unwrap_or_else(PoisonError::into_inner);
    let scope = refscope::Scope::tracking();
    let [session, ..] = scope.run(cycle);
    let part = search().of([session]);
    let text = part.to_json();
    assert_eq!(Ownership::from_json(&text).unwrap(), part);
    assert!(Ownership::from_json("{}").is_err());
}

struct Link(#[allow(dead_code)] Option<refscope::Rc<Link>>);

/// A long list is not a long path, and no line is too long; like paths are one.
#[test]
fn a_report_of_long_and_of_like_paths() {
    let _one = ONE.lock().unwrap_or_else(PoisonError::into_inner);
    const LONG: usize = 20_000;
    let check = refscope::leaks::Check::new();
    let links = check.scope().run(|| {
        let list = (0..LONG).fold(None, |next, _| Some(refscope::Rc::new(Link(next))));
        let alike: Vec<_> = (0..50).map(|_| refscope::Box::new([7_u64; 4])).collect();
        let cycles: Vec<_> = (0..3).map(|_| cycle()).collect();
        (list, alike, cycles)
    });
    let search = Search::new().budget(std::time::Duration::from_secs(20));
    let report = check.report().locate(&search);
    for (width, ascii) in [(80, false), (80, true), (140, false)] {
        let text = refscope::render::Terminal::plain(width).ascii(ascii).render_report(&report);
        assert!(text.lines().count() < 400, "{text}");
        for line in text.lines().skip(1).filter(|line| !line.contains(" of 4: ")) {
            assert!(line.chars().count() <= width, "{line}");
            assert!(!ascii || line.is_ascii(), "{line}");
        }
        assert!(text.contains("(50 alike)"), "{text}");
        assert!(text.contains("= stored:  cycle ("), "{text}");
        // A word that leads to the last of the three may be left on the stack: then that is LIKELY, and not like the others.
        let alike = if text.contains("(LIKELY)") { "(2 alike)" } else { "(3 alike)" };
        assert!(text.contains(alike), "{text}");
    }
    let ownership = report.ownership().unwrap();
    // The first of the links is the last of the list.
    let first = ownership.objects.iter().find(|object| object.type_name.ends_with("Link")).unwrap();
    let text = ownership.path_to(first.id).unwrap().to_string();
    assert!(text.contains("… 19,988 more …"), "{text}");
    // Without recursion.
    let mut next = links.0;
    while let Some(link) = next {
        next = refscope::Rc::into_inner(link).and_then(|mut link| link.0.take());
    }
}

/// The page in a browser, where there is one: the picture of the cycle stands with the object, and another object's when
/// the address names that.
#[cfg(feature = "html")]
#[test]
fn the_page_shows_what_holds_an_object() {
    let _one = ONE.lock().unwrap_or_else(PoisonError::into_inner);
    let recorder = refscope::sink::Recorder::new();
    let [session, one, _] = refscope::Scope::new(recorder.clone()).run(cycle);
    let ownership = search();
    let page = refscope::render::html_with_ownership(
        &recorder.recording().timelines(),
        &ownership.of([session, one]),
    );
    assert_eq!(page.matches("</html>").count(), 1);
    let path = std::env::temp_dir().join(format!("refscope-held-{}.html", std::process::id()));
    std::fs::write(&path, &page).unwrap();
    let named = std::env::var("CHROMIUM").ok();
    let usual = ["chromium", "chromium-browser", "google-chrome", "chrome"].map(str::to_owned);
    for object in [session, one] {
        let dom = named.iter().chain(&usual).find_map(|browser| {
            let mut browser = std::process::Command::new(browser);
            browser.args([
                "--headless",
                "--no-sandbox",
                "--disable-gpu",
                "--virtual-time-budget=5000",
            ]);
            if let Ok(png) = std::env::var("REFSCOPE_TEST_PNG") {
                browser
                    .args(["--window-size=1400,900", &format!("--screenshot={png}-{object}.png")]);
            }
            browser.arg("--dump-dom").arg(format!(
                "file://{}#o={}",
                path.display(),
                object.number()
            ));
            Some(String::from_utf8_lossy(&browser.output().ok()?.stdout).into_owned())
        });
        let Some(dom) = dom.filter(|dom| !dom.is_empty()) else {
            println!("skipped: no Chromium here (set CHROMIUM to one)");
            break;
        };
        let section =
            dom.split("id=\"held\"").nth(1).unwrap_or_else(|| panic!("no section: {dom}"));
        let picture = section.split("</section>").next().unwrap();
        assert!(section.starts_with(&format!(" data-o=\"{}\"", object.number())), "{picture}");
        let boxes = if object == session { 3 } else { 2 };
        assert_eq!(picture.matches("<rect").count(), boxes, "{picture}");
        assert!(picture.contains("Held by") && picture.contains("cycle ("), "{picture}");
    }
    std::fs::remove_file(&path).unwrap();
}
