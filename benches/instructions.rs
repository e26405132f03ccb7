//! What the pointers cost in instructions, which repeat exactly where times do not: `cargo bench --bench instructions`.
//!
//! It runs itself under valgrind's callgrind, once with `N` and once with `2 N` repetitions of each case, so that
//! what is not the case itself cancels out. Where there is no valgrind it says so and measures nothing.

use refscope::Scope;
use refscope::sink::{Clock, FileSink, FlightRecorder, Recorder, Sink};
use std::hint::black_box;
use std::process::{Command, ExitCode};

const N: u64 = 2_000;

/// A case: a name for the operation, and what to repeat on each type.
macro_rules! cases {
    ($($name:literal => $module:ident::$Ptr:ident, $make:expr, |$value:ident| $run:expr;)*) => {
        const OPERATIONS: &[&str] = &[$($name),*];

        fn run(operation: &str, how: &str, times: u64) {
            match operation {
                $($name => {
                    if how == "std" {
                        use std::$module::$Ptr;
                        let mut pointer: $Ptr<u64> = $make;
                        for _ in 0..times {
                            let $value = black_box(&mut pointer);
                            $run;
                        }
                    } else {
                        use refscope::$module::$Ptr;
                        let (_guard, times) = (enter(how), times);
                        let mut pointer: $Ptr<u64> = $make;
                        for _ in 0..times {
                            let $value = black_box(&mut pointer);
                            $run;
                        }
                    }
                })*
                _ => panic!("no operation {operation}"),
            }
        }
    };
}

cases! {
    "Arc clone+drop" => sync::Arc, Arc::new(1), |p| drop(black_box(p.clone()));
    "Rc clone+drop" => rc::Rc, Rc::new(1), |p| drop(black_box(p.clone()));
    "Arc new+drop" => sync::Arc, Arc::new(1), |p| { let _ = p; drop(black_box(Arc::new(1_u64))) };
    "Rc new+drop" => rc::Rc, Rc::new(1), |p| { let _ = p; drop(black_box(Rc::new(1_u64))) };
    "Box new+drop" => boxed::Box, Box::new(1), |p| { let _ = p; drop(black_box(Box::new(1_u64))) };
    "Arc deref" => sync::Arc, Arc::new(1), |p| { black_box(**p); };
    "Rc deref" => rc::Rc, Rc::new(1), |p| { black_box(**p); };
    "Arc downgrade+upgrade" => sync::Arc, Arc::new(1), |p| drop(black_box(Arc::downgrade(p).upgrade()));
    "Rc downgrade+upgrade" => rc::Rc, Rc::new(1), |p| drop(black_box(Rc::downgrade(p).upgrade()));
    "Arc make_mut" => sync::Arc, Arc::new(1), |p| { *Arc::make_mut(p) += 1; };
    "Rc make_mut" => rc::Rc, Rc::new(1), |p| { *Rc::make_mut(p) += 1; };
}

const WAYS: &[&str] =
    &["std", "idle", "tracked", "recorded", "coarse", "precise", "scoped", "flight", "json"];

/// What has to stay for as long as the sink is wanted.
fn enter(how: &str) -> Option<refscope::ScopeGuard> {
    fn global(sink: impl Sink) {
        refscope::install(sink).expect("one case a process");
    }
    let recorder = |clock| Recorder::builder().budget(64 << 20).clock(clock).build();
    match how {
        "idle" => {}
        "recorded" => global(recorder(Clock::None)),
        "coarse" => global(recorder(Clock::Coarse)),
        "precise" => global(recorder(Clock::Precise)),
        "tracked" => global(refscope::sink::Nop),
        "flight" => global(FlightRecorder::create(recording(how)).expect("a file")),
        "json" => global(FileSink::create(recording(how)).expect("a file")),
        "scoped" => return Some(Scope::new(recorder(Clock::None)).enter()),
        _ => panic!("no way {how}"),
    }
    None
}

/// Where a case is recorded to.
fn recording(how: &str) -> std::path::PathBuf {
    std::env::temp_dir().join(format!("refscope-{}.{how}", std::process::id()))
}

/// Instructions of one run, as callgrind counts them.
fn count(operation: &str, how: &str, times: u64) -> Result<u64, String> {
    let out = Command::new("valgrind")
        .args(["--tool=callgrind", "--callgrind-out-file=/dev/null"])
        .arg(std::env::current_exe().map_err(|error| error.to_string())?)
        .args(["--case", operation, how, &times.to_string()])
        .env_remove("REFSCOPE")
        .output()
        .map_err(|error| format!("valgrind does not start ({error})"))?;
    let text = String::from_utf8_lossy(&out.stderr);
    text.lines()
        .find_map(|line| line.split_once("Collected :")?.1.trim().parse().ok())
        .ok_or_else(|| format!("valgrind gave no count:\n{text}"))
}

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().collect();
    if let [_, case, operation, how, times] = &arguments[..]
        && case == "--case"
    {
        run(operation, how, times.parse().expect("a number"));
        if ["flight", "json"].contains(&how.as_str()) {
            std::fs::remove_file(recording(how)).expect("it was written");
        }
        return ExitCode::SUCCESS;
    }
    if Command::new("valgrind").arg("--version").output().is_err() {
        println!("skipped: no valgrind here");
        return ExitCode::SUCCESS;
    }
    let wanted = arguments.iter().skip(1).find(|argument| !argument.starts_with('-'));
    print!("{:24}", "instructions");
    WAYS.iter().for_each(|how| print!("{how:>10}"));
    println!();
    for operation in OPERATIONS {
        if wanted.is_some_and(|wanted| !operation.contains(wanted.as_str())) {
            continue;
        }
        print!("{operation:24}");
        for how in WAYS {
            let counted = count(operation, how, N).and_then(|once| {
                Ok((count(operation, how, 2 * N)?.saturating_sub(once)) as f64 / N as f64)
            });
            match counted {
                Ok(each) => print!("{each:>10.1}"),
                Err(error) => {
                    println!("\n{error}");
                    return ExitCode::FAILURE;
                }
            }
        }
        println!();
    }
    ExitCode::SUCCESS
}
