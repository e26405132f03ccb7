//! `REFSCOPE=…`: a program that has no line of code for refscope but the `use`, traced by the environment.
//!
//! Each test runs this test binary again, as such a program, with the variable set.
#![cfg(feature = "trace")]

use std::process::{Command, Output};

/// The program: it is this test, run alone in a process of its own.
#[test]
fn program() {
    let Ok(mode) = std::env::var("PROGRAM") else { return };
    if mode == "off" {
        refscope::switch_off();
    }
    #[cfg(unix)]
    match mode.as_str() {
        "works" => return works(),
        "exit in a sink" => exit_in_a_sink(),
        "fork in a sink" => return fork_in_a_sink(),
        _ => {}
    }
    #[cfg(unix)]
    if mode == "nothing" || mode == "early signals" {
        if mode == "early signals" {
            let me = i32::try_from(std::process::id()).unwrap();
            for signal in [libc::SIGUSR1, libc::SIGUSR2] {
                // SAFETY: signals for this process.
                assert_eq!(unsafe { libc::kill(me, signal) }, 0);
            }
        }
        return println!("went on");
    }
    if mode == "track first" {
        refscope::track().expect("no sink is installed");
    }
    if mode == "install first" {
        refscope::install(refscope::sink::Recorder::new()).unwrap();
    }
    let one = refscope::Arc::new(String::from("a value"));
    let two = one.clone();
    let thread = std::thread::spawn(move || drop(two.clone()));
    thread.join().unwrap();
    if mode == "install" {
        refscope::install(refscope::sink::from_fn(|event| println!("code: {event}"))).unwrap();
        drop(refscope::Rc::new(7_u8));
    }
    if mode == "track late" {
        refscope::track().expect("no sink is installed");
        std::mem::forget(refscope::Rc::new(7_u8));
    }
    if mode == "leak" || mode == "on exit" {
        static KEPT: std::sync::Mutex<Vec<refscope::Arc<String>>> =
            std::sync::Mutex::new(Vec::new());
        KEPT.lock().unwrap().push(one.clone());
        std::mem::forget(refscope::Box::new(9_u16));
    }
    if mode == "on exit" {
        refscope::leaks::on_exit();
        refscope::leaks::on_exit();
    }
    if mode == "debugger" {
        unsafe extern "C" {
            fn refscope_print_alive_0_1();
        }
        // SAFETY: the function takes nothing and gives nothing; any thread may call it at any time.
        unsafe { refscope_print_alive_0_1() };
    }
    #[cfg(unix)]
    if mode == "signals" {
        // What is alive is searched for, which takes its time on a machine with other work.
        for (signal, kept, wait) in [("-USR2", 1_u64, 800), ("-USR2", 2, 800), ("-USR1", 3, 2_000)]
        {
            std::mem::forget(refscope::Box::new(kept));
            keep_a_clone();
            let me = std::process::id().to_string();
            assert!(Command::new("kill").args([signal, &me]).status().unwrap().success());
            std::thread::sleep(std::time::Duration::from_millis(wait));
        }
    }
    if mode == "slow" {
        for kept in 0..4_u32 {
            std::mem::forget(refscope::Box::new(kept));
            #[cfg(unix)]
            keep_a_clone();
            std::thread::sleep(std::time::Duration::from_millis(600));
        }
    }
    #[cfg(target_os = "linux")]
    if mode == "no threads" {
        return threads_end();
    }
    if mode == "mark" {
        // Its owner goes at the exit, and the report of that alone would show nothing.
        let registry: Vec<_> = (0..5_i64).map(|n| refscope::Arc::new(n)).collect();
        std::thread::sleep(std::time::Duration::from_millis(200));
        refscope::mark("closed");
        drop(registry);
    }
    if mode == "hostile names" {
        let hostile = "n\u{1b}]52;c;QQ==\u{7}\r\u{202e}";
        let thread = std::thread::Builder::new().name(hostile.to_owned());
        let make = move || {
            let object = refscope::Arc::new(7_u64);
            refscope::label(&object, hostile);
            refscope::mark(hostile);
            println!("{object:p}");
            std::mem::forget(object.clone());
            let sink =
                refscope::sink::from_fn(move |_| std::panic::resume_unwind(Box::new(hostile)));
            refscope::Scope::new(sink).run(|| drop(refscope::Rc::new(1)));
        };
        thread.spawn(make).unwrap().join().unwrap();
    }
    if mode == "exit with a local" {
        std::process::exit(3);
    }
    if mode == "panic" {
        panic!("the program's own");
    }
    drop(one);
    match mode.as_str() {
        "exit" => std::process::exit(3),
        "abort" => std::process::abort(),
        _ => {}
    }
}

/// Waits until the thread that counts peaks is there, and then, when tracing is switched off, until it is not.
#[cfg(target_os = "linux")]
fn threads_end() {
    let counts = || {
        let tasks = std::fs::read_dir("/proc/self/task").unwrap();
        let name = |task: std::io::Result<std::fs::DirEntry>| {
            std::fs::read_to_string(task.unwrap().path().join("comm")).unwrap_or_default()
        };
        tasks.map(name).any(|name| name.trim_end() == "refscope peaks")
    };
    while !counts() {
        std::thread::yield_now();
    }
    refscope::switch_off();
    while counts() {
        std::thread::yield_now();
    }
    println!("ended");
}

/// What grows is held by another line than the one that made it.
#[cfg(unix)]
fn keep_a_clone() {
    let made = refscope::Rc::new(8_i8);
    std::mem::forget(made.clone()); // <- keeps
}

/// The place of the line that ends in this mark.
#[cfg(all(unix, feature = "signals"))]
fn marked(name: &str) -> String {
    let mut lines = include_str!("environment.rs").lines().zip(1..);
    let line = lines.find(|(line, _)| line.ends_with(&format!("// <- {name}")));
    format!("{}:{}:", file!(), line.expect("a mark").1)
}

/// Leaves a result in a file, and something alive.
#[cfg(unix)]
fn works() {
    let one = refscope::Arc::new(7_u64);
    let clones: Vec<_> = (0..1_000).map(|_| one.clone()).collect();
    let sum: u64 = clones.iter().map(|clone| **clone).sum();
    // SAFETY: the path is a C string.
    assert_eq!(unsafe { libc::open(c"/no/such/file".as_ptr(), libc::O_RDONLY) }, -1);
    drop(one.clone());
    let error = std::io::Error::last_os_error();
    assert_eq!(error.raw_os_error(), Some(libc::ENOENT), "the program's own error: {error}");
    refscope::mark("halfway");
    std::fs::write(std::env::var("RESULT").unwrap(), sum.to_string()).unwrap();
    std::mem::forget(clones);
    std::process::exit(5);
}

/// A sink of the program's ends it at its third event, of the birth, the clone and the drop.
#[cfg(unix)]
fn exit_in_a_sink() {
    let sink = refscope::sink::from_fn(|event| {
        if event.seq() == 3 {
            std::process::exit(6);
        }
    });
    refscope::install((sink, refscope::sink::Recorder::new())).unwrap();
    let one = refscope::Arc::new(1_u8);
    drop(one.clone());
    unreachable!("it has ended");
}

/// A sink forks at an event, and the child goes on in the sink, and after it.
#[cfg(unix)]
fn fork_in_a_sink() {
    use std::sync::atomic::{AtomicI32, Ordering};

    static CHILD: AtomicI32 = AtomicI32::new(-1);
    let sink = refscope::sink::from_fn(|event| {
        if event.seq() == 2 {
            // SAFETY: what the child does is what is tested; this thread is the only one at work.
            CHILD.store(unsafe { libc::fork() }, Ordering::Relaxed);
        }
    });
    refscope::install((sink, refscope::sink::Recorder::new())).unwrap();
    let one = refscope::Arc::new(String::from("both's"));
    let two = one.clone();
    let child = CHILD.load(Ordering::Relaxed);
    assert_eq!(refscope::holders(&one).strong_count(), 2);
    if child == 0 {
        std::mem::forget(refscope::Box::new([0_u8; 33]));
        drop((one, two));
        std::process::exit(4);
    }
    let mut status = 0;
    // SAFETY: it is the child of this process, and the status is written to.
    assert_eq!(unsafe { libc::waitpid(child, &raw mut status, 0) }, child);
    assert_eq!((libc::WIFEXITED(status), libc::WEXITSTATUS(status)), (true, 4));
    drop((one, two));
    println!("both went on");
}

fn run(refscope: &str, mode: &str) -> Output {
    let mut program = Command::new(std::env::current_exe().unwrap());
    program.args(["--exact", "program", "--nocapture", "--test-threads", "1"]);
    program.env("PROGRAM", mode).env("REFSCOPE", refscope);
    program.output().unwrap()
}

fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

fn file(name: &str) -> String {
    let path = std::env::temp_dir().join(format!("refscope-{name}-{}.jsonl", std::process::id()));
    path.to_str().unwrap().to_owned()
}

#[test]
fn print() {
    let output = run("print", "return");
    assert!(output.status.success());
    let text = stderr(&output);
    let lines: Vec<_> = text.lines().filter(|line| line.contains("Arc<String>")).collect();
    assert_eq!(lines.len(), 6, "new, clone, clone, drop, drop, drop: {text}");
    assert!(lines[0].contains("new") && lines[0].contains("environment.rs"), "{text}");
}

#[test]
fn a_recording_is_whole_however_the_process_ends() {
    for (mode, code) in [("return", Some(0)), ("exit", Some(3)), ("panic", Some(101))] {
        let path = file(mode);
        let output = run(&format!("record={path}"), mode);
        assert_eq!(output.status.code(), code, "{}", stderr(&output));
        let text = std::fs::read_to_string(&path).unwrap();
        std::fs::remove_file(&path).unwrap();
        let events = text.lines().filter(|line| line.starts_with(r#"{"event""#)).count();
        assert_eq!(events, 6, "{mode}: {text}");
        assert!(text.ends_with("}\n"));
    }
}

/// Of all objects, or of those that were chosen, while the others are traced all the same.
#[cfg(all(target_os = "linux", any(target_arch = "x86_64", target_arch = "aarch64")))]
#[test]
fn stacks_of_chosen_objects() {
    for (word, of_text, of_number) in [
        ("stacks", true, true),
        ("stacks-type=String", true, false),
        ("stacks=new,stacks-type=u16", false, true),
        ("stacks,stacks-site=environment.rs,stacks-one-in=2", true, false),
        ("stacks,stacks-site=elsewhere.rs", false, false),
        ("leaks", false, false),
    ] {
        let path = file("stacks");
        let output = run(&format!("record={path},{word}"), "leak");
        assert!(output.status.success(), "{}", stderr(&output));
        let text = std::fs::read_to_string(&path).unwrap();
        std::fs::remove_file(&path).unwrap();
        let births = text.lines().filter(|line| line.starts_with(r#"{"event":"new""#));
        let stacks: Vec<_> = births.map(|line| line.contains(r#""k":"#)).collect();
        assert_eq!(stacks, [of_text, of_number], "{word}: {text}");
    }
}

/// What a process that is killed leaves behind is whole up to the last write: here the first line, at least.
#[test]
fn an_aborted_process_leaves_whole_lines() {
    let path = file("abort");
    let output = run(&format!("record={path}"), "abort");
    assert!(!output.status.success());
    let text = std::fs::read_to_string(&path).unwrap();
    std::fs::remove_file(&path).unwrap();
    assert!(text.starts_with(r#"{"refscope":1"#), "{text}");
}

#[test]
fn the_process_id_in_a_path() {
    let path = file("{pid}");
    let mut program = Command::new(std::env::current_exe().unwrap());
    program.args(["--exact", "program"]).env("PROGRAM", "return");
    let mut child = program.env("REFSCOPE", format!("record={path}")).spawn().unwrap();
    let path = path.replace("{pid}", &child.id().to_string());
    assert!(child.wait().unwrap().success());
    assert!(std::fs::remove_file(path).is_ok());
}

#[test]
fn help_and_bad_values() {
    let text = stderr(&run("help", "return"));
    for word in [
        "print",
        "record=PATH",
        "{pid}",
        "track",
        "leaks",
        "nosearch",
        "nosource",
        "every=10s",
        "signals",
        "type=NAME",
        "off",
        "help",
        "clock=system",
    ] {
        assert!(text.contains(word), "{word}: {text}");
    }
    let output = run("prnt", "return");
    assert!(output.status.success(), "the program goes on");
    let text = stderr(&output);
    assert_eq!(text.lines().filter(|line| line.contains("refscope:")).count(), 1, "{text}");
    assert!(
        text.contains(
            "REFSCOPE=prnt: `prnt` is not known; is it `print`?; nothing is traced. REFSCOPE=help"
        ),
        "{text}"
    );
    let output = run("record=/no such folder/file", "return");
    assert!(output.status.success(), "the program goes on");
    let text = stderr(&output);
    assert!(text.contains("/no such folder/file: No such file or directory"), "{text}");
    // What does nothing says so; the rest is done.
    let text = stderr(&run("max=1MiB,leaks", "leak"));
    let says = "refscope: REFSCOPE=max=1MiB,leaks: `max` bounds a recording, and none is asked for: record=PATH";
    assert_eq!(text.matches(says).count(), 1, "{text}");
    assert!(text.contains("2 objects alive at exit"), "{text}");
    for off in ["off", "off,leaks", "print,off", "leaks,off,print,every=1s"] {
        let output = run(off, "leak");
        assert!(output.status.success());
        assert!(!stderr(&output).contains("refscope"), "{off}");
        assert!(!stderr(&output).contains("Arc<String>"), "{off}");
    }
    // Neither is the file made that `record` names.
    let path = file("off");
    run(&format!("record={path},off"), "leak");
    assert!(!std::path::Path::new(&path).exists());
}

#[test]
fn said_twice_is_done_once() {
    for words in ["leaks,leaks", "leaks,nosearch,leaks,nosearch", "leaks, leaks ,,leaks"] {
        let text = stderr(&run(words, "leak"));
        assert_eq!(text.matches("2 objects alive at exit").count(), 1, "{words}: {text}");
        assert_eq!(text.matches("alive at exit").count(), 1, "{words}: {text}");
    }
    let text = stderr(&run("print,print", "return"));
    assert_eq!(text.matches("Arc<String>").count(), 6, "{text}");
    let text = stderr(&run("print,leaks,print,leaks", "leak"));
    assert_eq!(text.matches("alive at exit").count(), 1, "{text}");
    let path = file("twice");
    let record = format!("record={path}");
    let text = stderr(&run(&format!("{record},{record}"), "return"));
    assert!(!text.contains("refscope:"), "a recording is not in its own way: {text}");
    let recorded = std::fs::read_to_string(&path).unwrap();
    std::fs::remove_file(&path).unwrap();
    assert_eq!(recorded.lines().filter(|line| line.starts_with(r#"{"event""#)).count(), 6);
}

#[test]
fn an_unknown_word_is_answered_with_the_nearest() {
    for (word, nearest) in [
        ("leeks", "leaks"),
        ("Leaks", "leaks"),
        ("trace", "track"),
        ("tracks", "track"),
        ("stack", "stacks"),
        ("signal", "signals"),
        ("one_in=3", "one-in="),
        ("typ=Session", "type="),
        ("recrod=x", "record="),
        ("no-search", "nosearch"),
        ("clock=sys", "clock=system"),
    ] {
        let text = stderr(&run(&format!("leaks,{word}"), "leak"));
        assert!(text.contains(&format!("is it `{nearest}`?")), "{word}: {text}");
        assert!(!text.contains("alive at exit"), "nothing is traced: {text}");
    }
    let text = stderr(&run("xyzzy", "return"));
    assert!(text.contains("`xyzzy` is not known; nothing is traced"), "{text}");
}

/// The program's result and its exit code are the same wherever refscope cannot write.
#[cfg(target_os = "linux")]
#[test]
fn where_stdout_and_stderr_take_nothing() {
    let result = file("result");
    let recording = file("nowhere");
    for refscope in [
        "print",
        "leaks,nosearch",
        "print,leaks",
        "print,every=1s,signals,leaks",
        "record=/dev/full",
        "record=/dev/stdout",
        "record=/dev/null,leaks,print",
        &format!("record={recording},print"),
    ] {
        for streams in [">&- 2>&-", "2>/dev/full", "</dev/null >&- 2>/dev/full", ""] {
            let script = format!(r#""$0" --exact program --nocapture --test-threads 1 {streams}"#);
            let mut command = Command::new("sh");
            command.args(["-c", &script]).arg(std::env::current_exe().unwrap());
            command.env("PROGRAM", "works").env("REFSCOPE", refscope).env("RESULT", &result);
            let output = command.output().unwrap();
            assert_eq!(output.status.code(), Some(5), "{refscope} {streams}: {output:?}");
            let sum = std::fs::read_to_string(&result).unwrap();
            assert_eq!(sum, "7000", "{refscope} {streams}");
            std::fs::remove_file(&result).unwrap();
        }
    }
    std::fs::remove_file(&recording).unwrap();
}

/// What is registered for the exit happens although a sink runs.
#[cfg(unix)]
#[test]
fn exit_within_a_sink() {
    for refscope in ["", "leaks", "print,leaks"] {
        let output = run(refscope, "exit in a sink");
        assert_eq!(output.status.code(), Some(6), "{refscope}: {output:?}");
        let said = stderr(&output);
        assert_eq!(
            said.matches("alive at exit").count(),
            usize::from(!refscope.is_empty()),
            "{said}"
        );
    }
    let path = file("exit-in-a-sink");
    let output = run(&format!("record={path}"), "exit in a sink");
    std::fs::remove_file(&path).unwrap();
    assert_eq!(output.status.code(), Some(6), "{output:?}");
    let text = stderr(&output);
    let said: Vec<_> = text.lines().filter(|line| line.contains("refscope:")).collect();
    assert!(said.len() == 1 && said[0].contains("installs a sink of its own"), "{text}");
}

#[cfg(unix)]
#[test]
fn a_sink_that_forks() {
    for refscope in ["", "leaks,nosearch", "print,leaks"] {
        let output = run(refscope, "fork in a sink");
        let said = stderr(&output);
        assert!(output.status.success(), "{refscope}: {said}");
        assert_eq!(String::from_utf8_lossy(&output.stdout).matches("both went on").count(), 1);
        if !refscope.is_empty() {
            assert!(said.contains("1 object alive at exit, kept by 1 line; 33 B"), "{said}");
            assert!(said.contains("nothing is alive at exit"), "the parent's: {said}");
        }
    }
}

#[test]
fn what_is_held_at_exit() {
    for mode in ["leak", "panic"] {
        let text = stderr(&run("leaks", mode));
        if mode == "panic" {
            // The test harness catches it, and the values of `program` are dropped as it unwinds.
            assert!(text.contains("refscope: nothing is alive at exit"), "{text}");
            continue;
        }
        assert!(
            text.contains("refscope: 2 objects alive at exit, kept by 2 lines; 26 B"),
            "{text}"
        );
        assert!(text.contains("Arc<String>") && text.contains("Box<u16>"), "{text}");
        assert!(!text.contains("leaks"), "what a static holds is no leak: {text}");
    }
    if cfg!(all(target_os = "linux", any(target_arch = "x86_64", target_arch = "aarch64"))) {
        let text = stderr(&run("leaks", "leak"));
        let kept = if cfg!(feature = "stacks") {
            "static environment::program::KEPT"
        } else {
            "a static of "
        };
        assert!(text.contains(&format!("= stored:  {kept}")), "{text}");
        let text = stderr(&run("leaks,nosearch", "leak"));
        assert!(text.contains("2 objects alive at exit") && !text.contains("stored:"), "{text}");
        let line = "locations show where a handle was created, not where it is stored";
        let words: Vec<_> = text.split_whitespace().collect();
        assert!(words.join(" ").contains(line), "{text}");
    }
    let text = stderr(&run("leaks,type=String,min=8", "leak"));
    assert!(text.contains("1 object alive at exit, kept by 1 line; 24 B"), "{text}");
    let text = stderr(&run("leaks,site=no/such/file.rs", "leak"));
    assert!(text.contains("nothing is alive at exit"), "{text}");
}

#[test]
fn what_the_shutdown_hides_is_seen() {
    let text = stderr(&run("leaks,type=i64", "mark"));
    assert!(text.contains("refscope: mark \"closed\""), "{text}");
    assert!(text.contains("refscope: 5 objects alive at the mark, kept by 1 line"), "{text}");
    assert!(text.contains("refscope: nothing is alive at exit"), "{text}");
    let of = "refscope: of 5 objects alive at the mark \"closed\", 0 are alive at exit";
    assert!(text.contains(of), "{text}");
    assert!(text.contains("dropped since: 5 x Arc<i64> at tests/environment.rs:"), "{text}");
    // However it is folded.
    let words = text.split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(words.contains(": 5 at the peak, all dropped in the last "), "{text}");
}

#[cfg(target_os = "linux")]
#[test]
fn threads_end_when_tracing_is_switched_off() {
    let output = run("leaks", "no threads");
    assert!(String::from_utf8_lossy(&output.stdout).contains("ended"), "{output:?}");
}

/// A recording says whose it is, and whether the process ended by itself.
#[cfg(feature = "json")]
#[test]
fn a_recording_ends_with_a_mark_unless_the_process_was_killed() {
    use refscope::Recording;
    use refscope::model::RecordingEnd::{Exit, Stopped};

    for (mode, end) in [("leak", Exit), ("exit", Exit), ("panic", Exit), ("abort", Stopped)] {
        let path = file(&format!("end-{mode}"));
        run(&format!("record={path}"), mode);
        let text = std::fs::read(&path).unwrap();
        std::fs::remove_file(&path).unwrap();
        let recording = Recording::read(&text[..]).unwrap();
        assert_eq!(recording.end(), end, "{mode}");
        let origin = recording.origin().expect("the head says it");
        assert_eq!(origin.arguments, ["--exact", "program", "--nocapture", "--test-threads", "1"]);
        assert_eq!(std::path::Path::new(&origin.directory), std::env::current_dir().unwrap());
        assert!(origin.program.contains("environment") && !origin.host.is_empty());
        let verdict = refscope::analysis::LeakReport::of_recording(&recording).verdict();
        if mode == "leak" {
            // The same words as the report at the exit has.
            let text = stderr(&run("leaks", mode));
            assert!(text.contains(&format!("refscope: {verdict}")), "{verdict}: {text}");
        }
    }
}

/// Both kinds have the lines of source, but where they are not to.
#[cfg(all(unix, feature = "json"))]
#[test]
fn a_recording_has_lines_of_source_unless_they_are_unwanted() {
    for extension in ["jsonl", "refscope"] {
        let path = format!("{}.{extension}", file("source"));
        let recorded = |words: &str| {
            run(&format!("record={path}{words}"), "leak");
            let bytes = std::fs::read(&path).unwrap();
            std::fs::remove_file(&path).unwrap();
            let text = String::from_utf8_lossy(&bytes).into_owned();
            (text.contains("KEPT.lock().unwrap()"), text.contains("environment.rs"))
        };
        assert_eq!(recorded(""), (true, true), "{extension}");
        assert_eq!(recorded(",nosource"), (false, true), "{extension}");
    }
}

/// A report on stderr is as wide as the terminal there, whatever stdout is; but `COLUMNS` outweighs it.
#[cfg(target_os = "linux")]
#[test]
fn a_report_is_as_wide_as_the_terminal_it_goes_to() {
    use std::fs::File;
    use std::io::Read as _;
    use std::os::fd::FromRawFd as _;

    let widest = |columns: u16, told: Option<&str>| {
        let size = libc::winsize { ws_row: 40, ws_col: columns, ws_xpixel: 0, ws_ypixel: 0 };
        let (mut master, mut slave) = (-1, -1);
        // SAFETY: the call writes two descriptors, and reads a size.
        let made = unsafe {
            libc::openpty(
                &raw mut master,
                &raw mut slave,
                std::ptr::null_mut(),
                std::ptr::null(),
                &raw const size,
            )
        };
        assert_eq!(made, 0);
        // SAFETY: the descriptors are new, and nobody else's.
        let [mut master, slave] = [master, slave].map(|file| unsafe { File::from_raw_fd(file) });
        let mut program = Command::new(std::env::current_exe().unwrap());
        program.args(["--exact", "program", "--nocapture", "--test-threads", "1"]);
        program.env("PROGRAM", "leak").env("REFSCOPE", "leaks").env_remove("COLUMNS");
        program.envs(told.map(|columns| ("COLUMNS", columns)));
        let mut child = program.stdout(std::process::Stdio::piped()).stderr(slave).spawn().unwrap();
        // The program has the terminal's other end alone, so that it is closed with it.
        drop(program);
        let mut bytes = Vec::new();
        let mut some = [0; 4096];
        while let Ok(n @ 1..) = master.read(&mut some) {
            bytes.extend_from_slice(&some[..n]);
        }
        assert!(child.wait().unwrap().success());
        let text = String::from_utf8_lossy(&bytes).into_owned();
        let mut plain = String::new();
        for (n, part) in text.split('\u{1b}').enumerate() {
            plain.push_str(if n == 0 { part } else { part.split_once('m').map_or("", |it| it.1) });
        }
        assert!(plain.contains("objects alive at exit") && plain != text, "in colour: {text:?}");
        plain.lines().map(|line| line.trim_end().chars().count()).max().unwrap()
    };
    let [narrow, wide, told] = [widest(64, None), widest(130, None), widest(130, Some("70"))];
    assert!((50..=64).contains(&narrow), "{narrow}");
    assert!((90..=130).contains(&wide), "{wide}");
    assert!((55..=70).contains(&told), "{told}");
}

#[test]
fn every_second() {
    let text = stderr(&run("every=1s,type=i8", "slow"));
    #[cfg(all(unix, feature = "signals"))]
    assert!(text.contains(&format!("kept by {}", marked("keeps"))), "{text}");
    assert!(text.contains("Rc<i8>"), "{text}");
    let text = stderr(&run("every=1s,type=u32", "slow"));
    let lines: Vec<_> =
        text.lines().filter(|line| line.contains("allocated and alive after")).collect();
    assert!(lines.len() >= 2, "{text}");
    assert!(text.contains("Box<u32>"), "{text}");
}

#[test]
fn a_debugger_can_call_for_what_is_alive() {
    let text = stderr(&run("leaks", "debugger"));
    assert!(text.contains("refscope: 1 object alive, kept by 1 line; 24 B"), "{text}");
    assert!(text.contains("Arc<String>"), "{text}");
}

#[cfg(all(unix, feature = "signals"))]
#[test]
fn signals_tell_what_is_alive_and_what_was_born_since() {
    let text = stderr(&run("signals,type=i8", "signals"));
    assert_eq!(text.matches(&format!("kept by {}", marked("keeps"))).count(), 2, "{text}");
    let text = stderr(&run("signals,type=u64", "signals"));
    let lines: Vec<_> =
        text.lines().filter(|line| line.contains("allocated and alive after")).collect();
    assert_eq!(lines.len(), 2, "{text}");
    assert!(lines[0].starts_with("refscope: 1 alive; 1 object allocated"), "{text}");
    assert!(lines[1].starts_with("refscope: 2 alive; 1 object allocated"), "{text}");
    assert!(text.contains("refscope: 3 objects alive, kept by 1 line; 24 B"), "{text}");
}

#[cfg(not(feature = "signals"))]
#[test]
fn a_missing_feature_is_named() {
    let text = stderr(&run("signals", "return"));
    assert!(text.contains("`signals` needs unix, and refscope's feature `signals`"), "{text}");
}

/// Where reports on signals are not built in, signals are what they are without refscope.
#[cfg(all(target_os = "linux", not(feature = "signals")))]
#[test]
fn a_signal_before_the_first_birth_without_the_feature() {
    use std::os::unix::process::ExitStatusExt as _;
    for refscope in ["signals", "leaks", ""] {
        let output = run(refscope, "early signals");
        assert_eq!(output.status.signal(), Some(libc::SIGUSR1), "{refscope}: {output:?}");
    }
}

/// What is asked for and does not come about is said, in one line.
#[cfg(target_os = "linux")]
#[test]
fn where_nothing_was_traced() {
    for refscope in ["leaks", "print", "record=/no/such/file", "help"] {
        let text = stderr(&run(refscope, "nothing"));
        let said: Vec<_> = text.lines().filter(|line| line.contains("refscope")).collect();
        let line = "refscope: REFSCOPE is set, but the program made no traced pointer";
        assert_eq!(said, [line], "{refscope}: {text}");
    }
    for quiet in ["off", "", "print,off"] {
        assert!(!stderr(&run(quiet, "nothing")).contains("refscope:"), "{quiet}");
    }
    let text = stderr(&run("print,type=NoSuchType", "return"));
    let said: Vec<_> = text.lines().filter(|line| line.contains("refscope:")).collect();
    let line = "refscope: nothing was traced: REFSCOPE's filter left out all 1 objects";
    assert_eq!(said, [line], "{text}");
}

/// With `REFSCOPE=signals` a signal before the first birth does nothing; without it, it is what it is.
#[cfg(all(target_os = "linux", feature = "signals"))]
#[test]
fn a_signal_before_the_first_birth() {
    let output = run("signals", "early signals");
    assert!(output.status.success(), "{:?}", output.status);
    assert!(String::from_utf8_lossy(&output.stdout).contains("went on"));
    for other in ["off,signals", "leaks"] {
        let output = run(other, "early signals");
        assert!(!output.status.success(), "{other} changes what the program does");
    }
}

/// A program with more rights than who started it does not do what that one's environment says.
#[cfg(target_os = "linux")]
#[test]
fn a_set_user_id_program() {
    use std::os::unix::fs::PermissionsExt;
    use std::os::unix::process::CommandExt as _;

    const NOBODY: u32 = 65_534;
    // SAFETY: takes nothing, and cannot fail.
    if unsafe { libc::geteuid() } != 0 {
        return println!("skipped: only root can make a program that runs as root");
    }
    let dir = std::env::temp_dir().join(format!("refscope-rights-{}", std::process::id()));
    std::fs::create_dir(&dir).unwrap();
    std::fs::set_permissions(&dir, PermissionsExt::from_mode(0o755)).unwrap();
    let program = dir.join("program");
    std::fs::copy(std::env::current_exe().unwrap(), &program).unwrap();
    let secret = dir.join("secret");
    let run = |mode: u32| {
        std::fs::write(&secret, "root's own").unwrap();
        std::fs::set_permissions(&secret, PermissionsExt::from_mode(0o600)).unwrap();
        std::fs::set_permissions(&program, PermissionsExt::from_mode(mode)).unwrap();
        let mut command = Command::new(&program);
        command.args(["--exact", "program", "--nocapture", "--test-threads", "1"]);
        command.env("PROGRAM", "return").current_dir("/").uid(NOBODY).gid(NOBODY);
        command.env("REFSCOPE", format!("leaks,record={}", secret.display()));
        // A child that another test's thread forked a moment ago may have the copy open for writing.
        let output = loop {
            match command.output() {
                Err(error) if error.kind() == std::io::ErrorKind::ExecutableFileBusy => {}
                output => break output.unwrap(),
            }
            std::thread::sleep(std::time::Duration::from_millis(10));
        };
        assert!(output.status.success(), "{}", stderr(&output));
        (stderr(&output), std::fs::read_to_string(&secret).unwrap())
    };
    let plain = run(0o755);
    let privileged = run(0o4755);
    std::fs::remove_dir_all(&dir).unwrap();
    assert!(plain.0.contains(" at exit"), "as anyone's program it does: {}", plain.0);
    assert!(plain.0.contains("Permission denied"), "and the file is not nobody's: {}", plain.0);
    if privileged.0.contains(" at exit") {
        // Where the file system ignores the bit, it was a plain program.
        return println!("skipped: set-user-id is ignored below {}", dir.display());
    }
    assert_eq!(privileged.1, "root's own");
    assert!(!privileged.0.contains("refscope"), "{}", privileged.0);
}

/// What comes from outside is shown, and does nothing to the terminal: names of threads, labels and marks, a sink's panic,
/// and the variable itself.
#[test]
fn names_do_nothing_to_the_terminal() {
    let path = std::env::temp_dir().join("no such\u{1b}[2J/file");
    let record = format!("record={}", path.display());
    let mut shown = 0;
    for refscope in ["print,leaks", "prnt\u{1b}]52;c;QQ==\u{7}", "type=\u{1b}[2J", &record] {
        let text = stderr(&run(refscope, "hostile names"));
        assert!(text.contains("refscope: "), "{refscope:?}: {text:?}");
        let acts = |c: char| (c.is_control() && c != '\n') || c == '\u{202e}';
        let bad: Vec<_> = text.lines().filter(|line| line.contains(acts)).collect();
        assert!(bad.is_empty(), "{refscope:?}: {bad:?}");
        shown += text.matches("n\\u{1b}]52;c;QQ==").count();
    }
    assert!(shown > 4, "the names are there");
}

/// A sink from code takes over later births; the environment's keeps its objects.
#[test]
fn a_sink_from_code_takes_over() {
    let output = run("print", "install");
    let (out, err) = (String::from_utf8_lossy(&output.stdout).into_owned(), stderr(&output));
    assert_eq!(out.lines().filter(|line| line.contains("code: ")).count(), 2, "{out}");
    assert!(out.contains("Rc<u8>") && !err.contains("Rc<u8>"), "{out}{err}");
    assert_eq!(err.lines().filter(|line| line.contains("Arc<String>")).count(), 6, "{err}");
}

/// To ask for what is alive takes no object from the environment's sink, before the first one or behind it.
#[test]
fn tracking_takes_nothing_over() {
    let text = stderr(&run("print", "track first"));
    assert_eq!(text.lines().filter(|line| line.contains("Arc<String>")).count(), 6, "{text}");
    let text = stderr(&run("print", "track late"));
    assert_eq!(text.lines().filter(|line| line.contains("Arc<String>")).count(), 6, "{text}");
    assert!(text.contains("Rc<u8>") && !text.contains("a sink of its own"), "{text}");
    // And the environment's choice of objects stands.
    let text = stderr(&run("leaks,type=String", "track late"));
    assert!(text.contains("nothing is alive at exit"), "{text}");
}

/// A recording that is no more than the program's beginning says so, and does not pass for one without a leak.
#[cfg(feature = "json")]
#[test]
fn a_recording_that_is_taken_over_does_not_pass() {
    use refscope::Recording;
    use refscope::analysis::LeakReport;

    let of = |mode: &str, extension: &str| {
        let path = format!("{}.{extension}", file(&format!("over-{mode}")));
        let text = stderr(&run(&format!("record={path}"), mode));
        let recording = Recording::open(&path).unwrap();
        std::fs::remove_file(&path).unwrap();
        (text, LeakReport::of_recording(&recording))
    };
    for extension in if cfg!(unix) { &["jsonl", "refscope"][..] } else { &["jsonl"] } {
        for mode in ["install", "install first"] {
            let (text, report) = of(mode, extension);
            let said = text.lines().filter(|line| line.contains("installs a sink of its own"));
            assert_eq!(said.count(), 1, "{mode}: {text}");
            let verdict = report.verdict();
            assert!(!report.passes(), "{mode}, {extension}: {verdict}");
            assert!(verdict.contains("is not recorded"), "{mode}, {extension}: {verdict}");
        }
        let (text, report) = of("track late", extension);
        assert_eq!(report.objects(), 1, "{extension}: {text}");
        let (_, report) = of("return", extension);
        assert!(report.passes(), "{extension}: {}", report.verdict());
    }
    let text = stderr(&run("leaks", "install"));
    assert!(!text.contains("a sink of its own"), "what is alive is known with any sink: {text}");
}

/// The search of a report at the exit has the time that it is given, and a note of one that had too little says how.
#[cfg(all(target_os = "linux", any(target_arch = "x86_64", target_arch = "aarch64")))]
#[test]
fn the_search_at_exit_has_a_budget() {
    let words = |text: &str| text.split_whitespace().collect::<Vec<_>>().join(" ");
    let text = stderr(&run("leaks,budget=1ms", "leak"));
    assert!(words(&text).contains("ran out of its budget"), "{text}");
    assert!(words(&text).contains("`REFSCOPE=…,budget=10s`"), "{text}");
    let text = stderr(&run("leaks,budget=1m", "leak"));
    assert!(text.contains("= stored: ") && !text.contains("budget"), "{text}");
}

/// What a local holds when `exit` is called is not said to be held by a thread that goes on.
#[cfg(all(target_os = "linux", any(target_arch = "x86_64", target_arch = "aarch64")))]
#[test]
fn a_local_at_the_exit() {
    let text = stderr(&run("leaks", "exit with a local"));
    let words = text.split_whitespace().collect::<Vec<_>>().join(" ");
    let help = "held by the thread program, which had not ended: the exit drops no thread's locals. Where that is right, \
                mark it by `refscope::allow_leak`; else drop it before";
    assert!(words.contains(help), "{text}");
    assert!(!text.contains("go on"), "{text}");
}

/// Asked for by several, a report at the exit is printed once.
#[test]
fn the_exit_is_reported_once() {
    let text = stderr(&run("leaks", "on exit"));
    assert_eq!(text.matches("objects alive at exit").count(), 1, "{text}");
}

/// Switched off before the first birth, the environment's sink stays silent.
#[test]
fn switched_off_before_the_first_birth() {
    let text = stderr(&run("print", "off"));
    assert!(!text.contains("Arc<String>"), "{text}");
}

/// What was recorded reads back as what happened.
#[cfg(feature = "json")]
#[test]
fn a_recording_reads_back() {
    use refscope::Recording;
    let path = file("read");
    run(&format!("record={path}"), "return");
    let text = std::fs::read(&path).unwrap();
    std::fs::remove_file(&path).unwrap();
    let recording = Recording::read(&text[..]).unwrap();
    recording.verify().unwrap();
    assert_eq!(recording.events().len(), 6);
    assert!(!recording.truncated());
    assert_eq!(recording.threads().len(), 2);
    assert_eq!(recording.timelines().iter().next().unwrap().peak_strong, 3);
    // Cut off at any byte after the first line, it reads to its last whole line.
    let first = text.iter().position(|byte| *byte == b'\n').unwrap() + 1;
    for cut in first..text.len() {
        let part = Recording::read(&text[..cut]).unwrap();
        assert_eq!(part.truncated(), text[cut - 1] != b'\n' && text[cut] != b'\n', "{cut}");
    }
    let error = |text: &str| Recording::read(text.as_bytes()).unwrap_err().to_string();
    assert!(error("").contains("it is empty"));
    assert!(error("hello\n").contains("line 1: not a refscope recording"));
    assert!(error("{\"refscope\":2}\n").contains("version 2"));
    assert!(Recording::read(&b"{\"refscope\":1}\n{\"new\":5}\n"[..]).is_ok());
    // What stands further down is left out where it cannot be read, and said.
    let damage = |text: &str| Recording::read(text.as_bytes()).unwrap().damage()[0].to_string();
    assert!(damage("{\"refscope\":1}\n{\"site\"\n{}\n").contains("line 2"));
    assert!(damage("{\"refscope\":1}\n{\"event\":\"new\"}\n").contains("a line of kind \"event\""));
    let lost =
        "{\"refscope\":1}\n{\"event\":\"new\",\"o\":1,\"n\":1,\"h\":1,\"s\":1,\"t\":5,\"ns\":1}\n";
    assert!(damage(lost).contains("thread 5"), "{}", damage(lost));
}
