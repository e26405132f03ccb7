//! What a process does to a tracer: it forks with threads at work, ends by `exit` in a signal's handler, and uses traced
//! pointers there. Each test runs this test binary again, as such a program.
#![cfg(all(unix, feature = "trace"))]

#[path = "in_a_handler/lines.rs"]
mod lines;
#[path = "common/plain_thread.rs"]
mod plain_thread;

use plain_thread::on_a_plain_thread;
use refscope::{Arc, Box, Rc};
use std::collections::HashSet;
use std::io::Read as _;
use std::process::{Command, Output, Stdio};
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::{Duration, Instant};

/// A program runs so long at most: far longer than it has to, so that a slow machine is not taken for a hang.
const LONG: Duration = Duration::from_secs(120);

/// The programs: this test, run alone in a process of its own.
#[test]
fn program() {
    match std::env::var("PROGRAM").as_deref() {
        Ok("forks") => forks(),
        Ok("forks with a buffered writer") => forks_with_a_writer(),
        Ok("is terminated") => is_terminated(),
        Ok("is terminated with a recorder") => {
            // Small, so that segments are left and taken all the time.
            let recorder = refscope::sink::Recorder::builder().budget(1 << 18);
            refscope::install(recorder.overflow(refscope::sink::Overflow::DropOldest).build())
                .unwrap();
            is_terminated();
        }
        Ok("handles signals") => handles_signals(),
        Ok("handles signals with a recorder") => handles_signals_with_a_recorder(),
        Ok("handles signals in the allocator") => handles_signals_in_the_allocator(),
        Ok("holds stderr") => holds_stderr(),
        Ok("is not written for") => is_not_written_for(),
        Ok("clones in a panic hook") => clones_in_a_panic_hook(),
        _ => {}
    }
}

/// Runs a program, which must end by itself. What it prints goes to files, so that a pipe that is full, or that a
/// child keeps open, is no reason to wait.
fn run(program: &str, refscope: &str) -> Output {
    let file = || tempfile();
    let (mut stdout, mut stderr) = (file(), file());
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--exact", "program", "--nocapture", "--test-threads", "1"]);
    command.env("PROGRAM", program).env("REFSCOPE", refscope).stdin(Stdio::null());
    command.stdout(stdout.try_clone().unwrap()).stderr(stderr.try_clone().unwrap());
    let mut child = command.spawn().unwrap();
    let until = Instant::now() + LONG;
    let status = loop {
        if let Some(status) = child.try_wait().unwrap() {
            break status;
        }
        if Instant::now() > until {
            child.kill().unwrap();
            panic!("{program} with REFSCOPE={refscope} hangs: {}", text(&read(&mut stderr)));
        }
        std::thread::sleep(Duration::from_millis(2));
    };
    Output { status, stdout: read(&mut stdout), stderr: read(&mut stderr) }
}

/// A file without a name.
fn tempfile() -> std::fs::File {
    let path = path("output");
    let options = std::fs::OpenOptions::new().read(true).write(true).create_new(true).open(&path);
    std::fs::remove_file(path).unwrap();
    options.unwrap()
}

fn read(file: &mut std::fs::File) -> Vec<u8> {
    use std::io::Seek as _;
    let mut bytes = Vec::new();
    file.rewind().unwrap();
    file.read_to_end(&mut bytes).unwrap();
    bytes
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn path(name: &str) -> String {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let next = NEXT.fetch_add(1, Ordering::Relaxed);
    let name = format!("refscope-processes-{}-{next}-{name}", std::process::id());
    std::env::temp_dir().join(name).to_str().unwrap().to_owned()
}

static STOP: AtomicBool = AtomicBool::new(false);

/// Threads that keep every lock of refscope's busy: births and ends in batches, new lines, names, raw pointers, scopes.
fn at_work() -> Vec<std::thread::JoinHandle<()>> {
    let shared = Arc::new(0_u64);
    let work = |shared: Arc<u64>| {
        let one = Arc::new(1_u32);
        let clones: Vec<_> = (0..100).map(|_| one.clone()).collect();
        let raw = Arc::into_raw(shared.clone());
        let scope = refscope::Scope::tracking();
        let kept = scope.run(|| (Box::new(2_u16), Rc::new(3_u8)));
        on_a_plain_thread(move || drop((clones, shared.clone())));
        // SAFETY: it came from `into_raw`, and is taken back once.
        drop(unsafe { Arc::from_raw(raw) });
        refscope::label(&one, "busy");
        drop((kept, scope));
    };
    let start = |_| {
        let shared = shared.clone();
        std::thread::spawn(move || {
            while !STOP.load(Ordering::Relaxed) {
                work(shared.clone());
            }
        })
    };
    (0..3).map(start).collect()
}

/// Forks, and runs `child` in the child, which ends by `exit`: what is registered for it happens. True where the child
/// ended so within some time.
fn fork(child: impl FnOnce()) -> bool {
    // SAFETY: what the child does is what is tested: it allocates, which libc makes safe.
    let pid = unsafe { libc::fork() };
    assert!(pid >= 0);
    if pid == 0 {
        child();
        std::process::exit(7);
    }
    let until = Instant::now() + LONG / 4;
    loop {
        let mut status = 0;
        // SAFETY: the process is a child of this one, and the status is written to.
        let done = unsafe { libc::waitpid(pid, &raw mut status, libc::WNOHANG) };
        if done == pid {
            return libc::WIFEXITED(status) && libc::WEXITSTATUS(status) == 7;
        }
        if Instant::now() > until {
            // SAFETY: as above; it is ended, and no process of another's.
            unsafe { libc::kill(pid, libc::SIGKILL) };
            return false;
        }
        std::thread::sleep(Duration::from_millis(1));
    }
}

const FORKS: usize = 20;

fn forks() {
    let threads = at_work();
    let one = Arc::new([0_u8; 77]);
    for _ in 0..FORKS {
        std::thread::sleep(Duration::from_millis(5));
        let ended = fork(|| {
            for _ in 0..100 {
                drop((one.clone(), Box::new([1_u8; 55]), Arc::downgrade(&one)));
            }
            std::thread::spawn(move || drop(Rc::new([2_u8; 44]))).join().unwrap();
            std::mem::forget(Box::new([3_u8; 33]));
            refscope::flush();
        });
        assert!(ended, "the child hangs");
    }
    STOP.store(true, Ordering::Relaxed);
    threads.into_iter().for_each(|thread| thread.join().unwrap());
    drop(one);
}

/// Nothing is asked for but that the pointers are traced: the clones of the child are counted in its own ledger.
#[test]
fn a_program_with_threads_forks() {
    for refscope in ["track", "track,clock=system"] {
        let output = run("forks", refscope);
        assert!(output.status.success(), "{refscope}: {}", text(&output.stderr));
    }
}

#[test]
fn a_recorded_program_forks() {
    let path = path("forks.jsonl");
    let output = run("forks", &format!("record={path}"));
    let recorded = std::fs::read_to_string(&path).unwrap();
    std::fs::remove_file(&path).unwrap();
    assert!(output.status.success(), "{}", text(&output.stderr));
    // One head, whole lines, no event twice, and nothing of what children did.
    assert_eq!(recorded.matches(r#"{"refscope""#).count(), 1);
    assert!(recorded.ends_with("}\n"));
    let number = |line: &str, key: &str| -> u64 {
        let rest = line.split(key).nth(1).unwrap_or_else(|| panic!("{key} in {line}"));
        rest.split([',', '}']).next().unwrap().parse().unwrap()
    };
    let mut seen = HashSet::new();
    for line in recorded.lines().filter(|line| line.starts_with(r#"{"event""#)) {
        let event = (number(line, r#""o":"#), number(line, r#""n":"#));
        assert!(seen.insert(event), "recorded twice: {line}");
    }
    assert!(seen.len() > 1000, "the threads were at work: {} events", seen.len());
    assert!(recorded.contains("[u8; 77]"), "what the parent made");
    for childs in ["[u8; 55]", "[u8; 44]", "[u8; 33]"] {
        assert!(!recorded.contains(childs), "a child writes into its parent's recording: {childs}");
    }
}

/// The children report what they left, and the parent what it left, which is nothing.
#[test]
fn what_is_held_at_the_exit_of_parent_and_children() {
    let output = run("forks", "leaks");
    let said = text(&output.stderr);
    assert!(output.status.success(), "{said}");
    let verdict = "1 object alive at exit, kept by 1 line; 33 B";
    assert_eq!(said.matches(verdict).count(), FORKS, "{said}");
    if cfg!(target_os = "linux") {
        // Each child searches its own memory: the handle is forgotten, or a copy of it is left in a frame.
        assert_eq!(said.matches("= stored: ").count(), FORKS, "{said}");
    }
    assert_eq!(said.matches("alive at exit").count(), FORKS + 1, "{said}");
    assert_eq!(said.matches("nothing is alive at exit").count(), 1, "{said}");
    assert!(!said.contains("[u8; 77]"), "the parent's, told by a child: {said}");
}

/// Each line is whole and printed once, by whichever process.
#[test]
fn a_printed_program_forks() {
    let output = run("forks", "print,min=33");
    let said = text(&output.stderr);
    assert!(output.status.success(), "{said}");
    // Of the object with 77 bytes: its birth and last drop, and nothing of the parent's else.
    let births = said.matches("Arc<[u8; 77]>  new").count();
    let all = said.lines().filter(|line| line.contains("[u8; 77]")).count();
    assert_eq!(births, 1, "{said}");
    // In each child 100 clones, drops, downgrades and weak drops.
    assert_eq!(all, 2 + FORKS * 400, "{said}");
    let children = said.lines().filter(|line| line.contains("[u8; 33]")).count();
    assert_eq!(children, FORKS, "{said}");
}

/// What a writer has buffered when the process forks is written once.
fn forks_with_a_writer() {
    let path = std::env::var("REFSCOPE_TEST_FILE").unwrap();
    let file = std::io::BufWriter::new(std::fs::File::create(path).unwrap());
    let print = refscope::sink::Print::to(file);
    let scope = refscope::Scope::new(print);
    let one = scope.run(|| Rc::new(1));
    drop(one.clone());
    let mut held = Some((one, scope));
    // The child drops the last of it, and with it the writer.
    assert!(fork(|| drop(held.take())));
    drop(held);
}

#[test]
fn a_writers_lines_are_written_once() {
    let path = path("writer");
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--exact", "program", "--nocapture", "--test-threads", "1"]);
    command.env("PROGRAM", "forks with a buffered writer").env("REFSCOPE_TEST_FILE", &path);
    let output = command.env_remove("REFSCOPE").output().unwrap();
    assert!(output.status.success(), "{}", text(&output.stderr));
    let printed = std::fs::read_to_string(&path).unwrap();
    std::fs::remove_file(&path).unwrap();
    let lines: Vec<_> = printed.lines().collect();
    assert_eq!(lines.len(), 4, "new, clone, drop, drop: {printed}");
    assert_eq!(lines.iter().collect::<HashSet<_>>().len(), 4, "no line twice: {printed}");
}

/// Ends by `exit` in the handler of SIGTERM, which comes while the threads and the handler's own are at work.
fn is_terminated() {
    extern "C" fn handler(_: libc::c_int) {
        std::process::exit(9);
    }
    // SAFETY: the handler takes a number; what it does is what is tested.
    unsafe {
        libc::signal(libc::SIGTERM, handler as extern "C" fn(libc::c_int) as libc::sighandler_t)
    };
    let _threads = at_work();
    let one = Arc::new(1_u8);
    // SAFETY: takes nothing.
    let me = unsafe { libc::pthread_self() } as usize;
    static ROUNDS: AtomicU32 = AtomicU32::new(0);
    std::thread::spawn(move || {
        // Not before it is at work, on however slow a machine.
        while ROUNDS.load(Ordering::Relaxed) < 20 {
            std::thread::sleep(Duration::from_millis(1));
        }
        std::thread::sleep(Duration::from_millis(10));
        // To that thread, which is in the midst of refscope's code most of the time.
        // SAFETY: the thread does not end before the process does.
        unsafe { libc::pthread_kill(me as libc::pthread_t, libc::SIGTERM) };
    });
    loop {
        let clones: Vec<_> = (0..100).map(|_| one.clone()).collect();
        drop((clones, Box::new(1)));
        ROUNDS.fetch_add(1, Ordering::Relaxed);
    }
}

#[test]
fn exit_in_a_handler() {
    let path = path("exit.jsonl");
    let record = format!("record={path}");
    let (mut whole, mut impatient) = (0, 0);
    for refscope in ["track", "leaks", "leaks,nosearch", "print,type=u8", &record] {
        for _ in 0..10 {
            let output = run("is terminated", refscope);
            assert_eq!(output.status.code(), Some(9), "{refscope}: {:?}", output.status);
            let said = text(&output.stderr);
            if said.contains("is not done after") {
                // Once it may be the machine, which had no time for the thread; a lock that is waited for is so often.
                impatient += 1;
                assert!(impatient <= 2, "it ended for want of patience: {said}");
                continue;
            }
            if refscope == "leaks" && cfg!(target_os = "linux") {
                // By then the alternate stack of the main thread is unmapped, by std's `exit`: no signal may be handled
                // there.
                // On a machine with other work it may not come to an end.
                let searched =
                    said.contains("= stored: ") || said.contains("ran out of its budget");
                assert!(searched, "the exit's report searches: {said}");
            }
            assert_eq!(
                said.matches("alive at exit").count(),
                usize::from(refscope.starts_with("leaks")),
                "{said}"
            );
            if refscope == record {
                let recorded = std::fs::read_to_string(&path).unwrap();
                assert!(recorded.ends_with("}\n"), "cut: {}", &recorded[recorded.len() - 80..]);
                // Where the handler interrupted the sink, what was not written yet is lost.
                let lost = said.contains("the last ones are lost");
                assert!(lost || recorded.lines().count() > 1000, "it was at work: {said}");
                whole += usize::from(!lost);
                std::fs::remove_file(&path).unwrap();
            }
        }
    }
    assert!(whole > 0, "each exit interrupted the sink");
}

/// A recorder of the program's own has records of the thread that ends, and of others.
#[test]
fn exit_in_a_handler_with_a_recorder() {
    for _ in 0..20 {
        let output = run("is terminated with a recorder", "");
        assert_eq!(output.status.code(), Some(9), "{:?}", output.status);
        assert!(!text(&output.stderr).contains("refscope:"), "{}", text(&output.stderr));
    }
}

static HANDLED: std::sync::atomic::AtomicU64 = std::sync::atomic::AtomicU64::new(0);

/// Has a handler interrupt this thread, some thousand times a second, until [`STOP`]: by the thread that is returned.
fn interrupted_by(handler: extern "C" fn(libc::c_int)) -> std::thread::JoinHandle<()> {
    // SAFETY: the handler takes a number; what it does is what is tested.
    unsafe { libc::signal(libc::SIGUSR1, handler as libc::sighandler_t) };
    // SAFETY: takes nothing.
    let me = unsafe { libc::pthread_self() } as usize;
    std::thread::spawn(move || {
        while !STOP.load(Ordering::Relaxed) {
            // SAFETY: the thread waits for this one, and so is there.
            unsafe { libc::pthread_kill(me as libc::pthread_t, libc::SIGUSR1) };
            std::thread::sleep(Duration::from_micros(20));
        }
    })
}

/// A thread that clones and drops without end, and whose signals' handler does the same with an object of its own
/// and with the thread's.
fn handles_signals() {
    static SHARED: std::sync::OnceLock<Arc<u64>> = std::sync::OnceLock::new();

    extern "C" fn handler(_: libc::c_int) {
        let shared = SHARED.get().unwrap();
        let weak = Arc::downgrade(shared);
        let clone = shared.clone();
        drop((weak.upgrade(), clone, weak));
        HANDLED.fetch_add(1, Ordering::Relaxed);
    }
    SHARED.set(Arc::new(5)).unwrap();
    let sender = interrupted_by(handler);
    let shared = SHARED.get().unwrap();
    let until = Instant::now() + Duration::from_secs(60);
    while HANDLED.load(Ordering::Relaxed) < 5_000 && Instant::now() < until {
        let clones: Vec<_> = (0..40).map(|_| shared.clone()).collect();
        let weak: Vec<_> = clones.iter().map(Arc::downgrade).collect();
        drop((clones, weak));
    }
    STOP.store(true, Ordering::Relaxed);
    sender.join().unwrap();
    assert!(HANDLED.load(Ordering::Relaxed) >= 5_000, "the handler ran");
    assert_eq!(refscope::holders(shared).strong_count(), 1, "the counts are right");
    assert_eq!(refscope::holders(shared).strong().len(), 1, "and the handles");
    println!("handled, and whole");
}

/// Where pointers are tracked and no sink has their events, a signal's handler may clone, upgrade, downgrade and drop
/// them.
#[test]
fn traced_pointers_in_a_handler() {
    for refscope in ["track", "track,clock=system"] {
        let output = run("handles signals", refscope);
        assert!(output.status.success(), "{}", text(&output.stderr));
        assert!(text(&output.stdout).contains("handled, and whole"), "the program ran");
    }
}

/// Hands handles on in an order that was not before: their paths are new.
fn along_new_paths(random: &mut u64, one: &Arc<u64>) -> Arc<u64> {
    let mut last = one.clone();
    for _ in 0..6 {
        *random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        last = lines::ARCS[(*random >> 33) as usize % lines::ARCS.len()](&last);
    }
    last
}

/// A thread that allocates without end, beside others that do so too and make handles along new paths; its signals' handler
/// makes handles along new paths as well, and keeps them.
fn handles_signals_in_the_allocator() {
    use std::cell::{Cell, RefCell};

    static SHARED: std::sync::OnceLock<Arc<u64>> = std::sync::OnceLock::new();

    thread_local! {
        static RANDOM: Cell<u64> = const { Cell::new(7) };
        static KEPT: RefCell<Vec<Arc<u64>>> = const { RefCell::new(Vec::new()) };
    }

    extern "C" fn handler(_: libc::c_int) {
        let mut random = RANDOM.get();
        let made = along_new_paths(&mut random, SHARED.get().unwrap());
        RANDOM.set(random);
        let weak = Arc::downgrade(&made);
        drop((weak.upgrade(), weak));
        KEPT.with_borrow_mut(|kept| {
            assert!(kept.len() < kept.capacity(), "room was made for so many");
            kept.push(made);
        });
        HANDLED.fetch_add(1, Ordering::Relaxed);
    }

    const SIGNALS: usize = 6_000;
    KEPT.with_borrow_mut(|kept| kept.reserve(1_000_000));
    SHARED.set(Arc::new(5)).unwrap();
    let shared = SHARED.get().unwrap();
    let allocate = |random: &mut u64| {
        *random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        let sizes = [40, 1_000, (*random >> 40) as usize % 100_000];
        std::hint::black_box(sizes.map(Vec::<u8>::with_capacity));
    };
    let others: Vec<_> = (1..3)
        .map(|seed| {
            std::thread::spawn(move || {
                let mut random = seed;
                while !STOP.load(Ordering::Relaxed) {
                    allocate(&mut random);
                    drop(along_new_paths(&mut random, shared));
                }
            })
        })
        .collect();
    let sender = interrupted_by(handler);
    let (mut random, until) = (11, Instant::now() + Duration::from_secs(60));
    while HANDLED.load(Ordering::Relaxed) < SIGNALS as u64 && Instant::now() < until {
        allocate(&mut random);
    }
    STOP.store(true, Ordering::Relaxed);
    sender.join().unwrap();
    others.into_iter().for_each(|other| other.join().unwrap());
    let kept = KEPT.take();
    assert!(kept.len() > SIGNALS / 10, "the handler ran");
    let holders = refscope::holders(shared);
    assert_eq!(holders.strong_count() as usize, 1 + kept.len(), "the counts are right");
    assert_eq!(holders.strong().len(), 1 + kept.len(), "and the handles");
    println!("handled, and whole: {}", kept.len());
}

/// Where the handler interrupts the allocator, and other threads wait for that, nothing of refscope's waits in turn.
#[test]
fn traced_pointers_in_a_handler_within_the_allocator() {
    for refscope in ["track", "track,clock=system"] {
        let output = run("handles signals in the allocator", refscope);
        assert!(output.status.success(), "{}", text(&output.stderr));
        assert!(text(&output.stdout).contains("handled, and whole"), "the program ran");
    }
}

/// The same with a recorder. What runs outside of refscope's code does not allocate, so that the handler never interrupts
/// the allocator, which it may need for a further segment.
fn handles_signals_with_a_recorder() {
    static SHARED: std::sync::OnceLock<Arc<u64>> = std::sync::OnceLock::new();

    extern "C" fn handler(_: libc::c_int) {
        let shared = SHARED.get().unwrap();
        let weak = Arc::downgrade(shared);
        let clone = shared.clone();
        drop((weak.upgrade(), clone, weak));
        HANDLED.fetch_add(1, Ordering::Relaxed);
    }
    let recorder = refscope::sink::Recorder::builder().budget(1 << 20);
    let recorder = recorder.overflow(refscope::sink::Overflow::DropOldest).build();
    refscope::install(recorder.clone()).unwrap();
    SHARED.set(Arc::new(5)).unwrap();
    let shared = SHARED.get().unwrap();
    let (mut clones, mut weak) = (Vec::with_capacity(60), Vec::with_capacity(60));
    let before = 1;
    let sender = interrupted_by(handler);
    let until = Instant::now() + Duration::from_secs(60);
    let mut rounds = 0;
    while HANDLED.load(Ordering::Relaxed) < 5_000 && Instant::now() < until {
        clones.extend((0..40).map(|_| shared.clone()));
        weak.extend(clones.iter().map(Arc::downgrade));
        clones.clear();
        weak.clear();
        rounds += 1;
    }
    STOP.store(true, Ordering::Relaxed);
    sender.join().unwrap();
    let handled = HANDLED.load(Ordering::Relaxed);
    assert!(handled >= 5_000, "the handler ran");
    assert_eq!(refscope::holders(shared).strong_count(), 1, "the counts are right");
    assert_eq!(refscope::holders(shared).strong().len(), 1, "and the handles");
    let recording = recorder.recording();
    let numbers: HashSet<_> = recording.events().iter().map(|event| event.seq).collect();
    assert_eq!(numbers.len(), recording.events().len(), "none is there twice");
    // Of a handle that found no place, neither beginning nor end is there; nor what was made from it.
    let untraced = refscope::untraced_counts().handles_refused;
    let happened = before + rounds * 160 + handled * 6;
    let known = recording.events().len() as u64 + recording.lost();
    assert!(known <= happened && known + 4 * untraced >= happened, "{known} of {happened}");
    println!("handled, and whole: {} recorded, {} lost", recording.events().len(), recorder.lost());
}

/// What a recorder cannot keep, since the handler interrupted it, is counted as lost.
#[test]
fn recorded_pointers_in_a_handler() {
    for _ in 0..3 {
        let output = run("handles signals with a recorder", "");
        assert!(output.status.success(), "{}", text(&output.stderr));
        assert!(text(&output.stdout).contains("handled, and whole"), "the program ran");
    }
}

/// Holds std's lock of stderr while it waits for a thread whose events are printed there.
fn holds_stderr() {
    let stderr = std::io::stderr().lock();
    let one = Arc::new(1_u8);
    let there = std::thread::spawn(move || drop((one.clone(), one)));
    there.join().unwrap();
    drop(stderr);
    println!("held, and let go");
}

#[test]
fn a_program_that_holds_stderr() {
    let output = run("holds stderr", "print,leaks");
    assert!(output.status.success(), "{}", text(&output.stderr));
    assert!(text(&output.stdout).contains("held, and let go"), "the program ran");
    let said = text(&output.stderr);
    let lines = said.lines().filter(|line| line.contains("Arc<u8>")).count();
    assert_eq!(lines, 4, "new, clone, drop, drop: {said}");
}

/// Its signals SIGPIPE and SIGXFSZ do what they do by default: they end it.
fn is_not_written_for() {
    // SAFETY: no handler is set.
    let before = [libc::SIGPIPE, libc::SIGXFSZ].map(|n| unsafe { libc::signal(n, libc::SIG_DFL) });
    assert!(!before.contains(&libc::SIG_ERR));
    for _ in 0..40 {
        let one = Arc::new(1_u8);
        (0..20).for_each(|_| drop(one.clone()));
    }
    std::thread::sleep(Duration::from_millis(400));
    drop(Arc::new(2_u16));
    refscope::flush();
    println!("went on");
}

/// A pipe that nobody reads and a limit on the size of files cost what would have been written, not the program.
#[test]
fn where_nothing_can_be_written() {
    let path = path("full");
    // The reader of a pipe goes at once; stderr is a file that is full after a kilobyte.
    let shell = |refscope: &str, rest: &str| {
        let script = format!("ulimit -f 1; {rest}");
        let mut command = Command::new("sh");
        command.args(["-c", &script]).arg(std::env::current_exe().unwrap());
        command.env("PROGRAM", "is not written for").env("REFSCOPE", refscope);
        command.env("ERRORS", &path).output().unwrap()
    };
    let program = r#""$0" --exact program --nocapture --test-threads 1"#;
    for (refscope, rest) in [
        ("print,leaks", format!(r#"{program} 2>"$ERRORS""#)),
        (
            "print,leaks",
            format!(r#"exec 3>&1; ({program} 2>&1 1>&3 || echo "ended $?" >&3) | true"#),
        ),
        (
            "record=/dev/fd/4",
            format!(r#"exec 3>&1; ({program} 4>&1 1>&3 || echo "ended $?" >&3) | true"#),
        ),
    ] {
        let output = shell(refscope, &rest);
        let said = text(&output.stdout);
        assert!(said.contains("went on"), "{refscope}, {rest}: {said} {}", text(&output.stderr));
        assert!(!said.contains("ended"), "{refscope}, {rest}: {said}");
    }
    std::fs::remove_file(path).unwrap();
}

/// Its panic hook clones a traced object, also where it is a sink that panics, at an event of that object or another, and
/// while the thread unwinds already.
fn clones_in_a_panic_hook() {
    use refscope::{Scope, sink};
    use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};

    static HOOKED: AtomicU32 = AtomicU32::new(0);

    struct Drops(Arc<u16>);

    impl Drop for Drops {
        fn drop(&mut self) {
            drop(self.0.clone());
        }
    }

    let angry = || Scope::new(sink::from_fn(|event| assert!(event.seq() < 3, "on purpose")));
    let quiet = Scope::tracking();
    for (shared, sink_panics) in [
        (angry().run(|| Arc::new(1_u16)), true),
        (Scope::new(sink::Recorder::new()).run(|| Arc::new(2)), false),
        (quiet.run(|| Arc::new(3)), false),
    ] {
        let hooked = shared.clone();
        std::panic::set_hook(std::boxed::Box::new(move |_| {
            let weak = Arc::downgrade(&hooked);
            drop((hooked.clone(), weak.upgrade(), Box::new(4_u32)));
            HOOKED.fetch_add(1, Ordering::Relaxed);
        }));
        // At its third event the sink panics, within which the hook has further ones.
        drop(shared.clone());
        assert_eq!(HOOKED.swap(0, Ordering::Relaxed), u32::from(sink_panics));
        let drops = Drops(shared.clone());
        let other = angry().run(|| Arc::new(5_u16));
        let caught = catch_unwind(AssertUnwindSafe(|| {
            let _drops = (drops, Drops(other.clone()));
            panic!("the program's own");
        }));
        assert_eq!(caught.unwrap_err().downcast_ref::<&str>(), Some(&"the program's own"));
        assert_eq!(HOOKED.swap(0, Ordering::Relaxed), 2, "the program's, and the other sink's");
        drop(catch_unwind(|| resume_unwind(std::boxed::Box::new(6))).unwrap_err());
        let holders = refscope::holders(&shared);
        assert_eq!(
            (holders.strong_count(), holders.strong().len(), holders.handles().len()),
            (2, 2, 2)
        );
        drop(std::panic::take_hook());
        assert_eq!(refscope::holders(&shared).strong_count(), 1);
        assert_eq!(Arc::strong_count(&shared), 1);
        drop((other, shared));
    }
    assert_eq!(quiet.alive(), []);
    println!("hooked, and whole");
}

#[test]
fn a_panic_hook_that_clones() {
    for refscope in ["", "leaks", "print,leaks"] {
        let output = run("clones in a panic hook", refscope);
        let said = text(&output.stderr);
        assert!(output.status.success(), "{said}");
        assert!(text(&output.stdout).contains("hooked, and whole"), "the program ran: {said}");
        assert_eq!(said.matches("It is switched off; the program goes on").count(), 4, "{said}");
    }
}
