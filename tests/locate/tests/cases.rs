//! Runs each program in each way, and counts. A proof may never be false; where blocks are known, each cycle and each root
//! is to be named, and in a debug build each cycle is to be proven, from a frozen copy.

use std::process::Command;

struct Way {
    program: &'static str,
    blocks: &'static str,
    fork: &'static str,
    threads: &'static str,
}

impl Way {
    /// Runs a program, three times at most while it is only likely, or not named: on a machine with other work a copy may be
    /// taken just when an allocator is at work, or a thread may not stop in time, each time. A wrong answer fails at once.
    fn run(&self, case: &str, is_graded: bool) -> Result<String, String> {
        let mut result = self.run_once(case);
        for _ in 0..2 {
            match &result {
                Ok(line)
                    if line == "unnamed" && self.blocks != "neither"
                        || is_graded && line == "likely" =>
                {
                    eprintln!("once more: {case} {} is {line}", self.name());
                }
                _ => return result,
            }
            result = self.run_once(case);
        }
        result
    }

    /// Runs a program, and returns the last line that it printed.
    fn run_once(&self, case: &str) -> Result<String, String> {
        let program = match self.program {
            "walk" => env!("CARGO_BIN_EXE_walk"),
            "foreign" => env!("CARGO_BIN_EXE_foreign"),
            "arena" => env!("CARGO_BIN_EXE_arena"),
            _ => env!("CARGO_BIN_EXE_alloc"),
        };
        let output = Command::new(program)
            .args([case, self.blocks, self.fork, self.threads])
            .env_remove("REFSCOPE")
            .output()
            .expect("the program starts");
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        if !output.status.success() {
            let errors = String::from_utf8_lossy(&output.stderr);
            return Err(format!("{case} {}: {}\n{text}{errors}", self.name(), output.status));
        }
        Ok(text.lines().last().unwrap_or_default().to_owned())
    }

    fn name(&self) -> String {
        format!("{}/{} {} {}", self.program, self.blocks, self.fork, self.threads)
    }
}

/// What came of all cases in one way, as a line of a table.
#[derive(Default)]
struct Counts {
    proven: usize,
    likely: Vec<&'static str>,
    unnamed: Vec<&'static str>,
    /// Roots and owners that were named.
    named: usize,
    /// Programs of which nothing was to be proven, and nothing was.
    silent: usize,
    failures: Vec<String>,
}

impl Counts {
    fn of(way: &Way, is_graded: bool) -> Self {
        let mut counts = Self::default();
        for (case, _) in refscope_locate::all() {
            match way.run(case, is_graded).as_deref() {
                Ok("proven") => counts.proven += 1,
                Ok("likely") => counts.likely.push(case),
                Ok("unnamed") => counts.unnamed.push(case),
                Ok("root" | "owner") => counts.named += 1,
                Ok("quiet" | "nothing proven") => counts.silent += 1,
                Ok(other) => counts.failures.push(format!("{case} ended with {other:?}")),
                Err(failure) => counts.failures.push(failure.clone()),
            }
        }
        counts
    }

    fn seen(&self) -> usize {
        self.proven + self.likely.len() + self.unnamed.len() + self.named + self.silent
    }

    fn row(&self, way: &Way) -> String {
        let (proven, likely, unnamed) = (self.proven, self.likely.len(), self.unnamed.len());
        let (named, silent, failed) = (self.named, self.silent, self.failures.len());
        format!(
            "{:28} {proven:6} {likely:6} {unnamed:7} {named:6} {silent:6} {failed:6}",
            way.name()
        )
    }
}

const HEAD: &str =
    "program/blocks copy threads  proven likely unnamed  named silent failed   cycles, then roots";

/// Runs all cases in one way. How many cycles may be only likely.
fn all(
    program: &'static str,
    blocks: &'static str,
    fork: &'static str,
    threads: &'static str,
    likely: usize,
) {
    let way = Way { program, blocks, fork, threads };
    let counts = Counts::of(&way, likely != ALL);
    println!("{HEAD}\n{}", counts.row(&way));
    let failed = counts.failures.len();
    assert!(counts.failures.is_empty(), "{failed} failed:\n{}", counts.failures.join("\n"));
    assert!(counts.seen() >= 40, "only {} cases were run", counts.seen());
    let unnamed = if blocks == "neither" { 0 } else { counts.unnamed.len() };
    assert_eq!(unnamed, 0, "{}: unnamed {:?}", way.name(), counts.unnamed);
    assert!(counts.likely.len() <= likely, "{}: only likely: {:?}", way.name(), counts.likely);
}

/// In a release build, copies that the compiler leaves on the stack may cost two. So may they with musl, whose `main` has other
/// frames.
const LIKELY: usize = if cfg!(all(debug_assertions, target_env = "gnu")) { 0 } else { 2 };
/// An allocator that uses a block again at once, whose address a frame of `main` may still have from the one before; and a buffer
/// that is too large to be cleared.
const AROUND: usize = 6;
/// Nothing can be proven, or not all.
const ALL: usize = usize::MAX;

#[test]
fn walked_from_a_copy() {
    all("walk", "walk", "fork", "alone", LIKELY);
}

#[test]
fn walked_from_a_copy_with_threads_at_work() {
    all("walk", "walk", "fork", "threads", LIKELY);
}

#[test]
fn walked_alive() {
    all("walk", "walk", "live", "alone", ALL);
}

/// What the search itself has had since it began lies among the program's blocks.
#[test]
fn with_alloc_alive() {
    all("alloc", "alloc", "live", "alone", ALL);
}

#[test]
fn with_alloc_from_a_copy() {
    all("alloc", "both", "fork", "alone", LIKELY);
}

#[test]
fn with_alloc_alone() {
    all("alloc", "alloc", "fork", "threads", LIKELY);
}

#[test]
fn with_alloc_around_another_allocator() {
    all("foreign", "around", "fork", "alone", AROUND);
}

#[test]
fn with_alloc_around_a_static() {
    let way = Way { program: "arena", blocks: "around", fork: "fork", threads: "alone" };
    for (case, named) in [
        ("two", "proven"),
        ("vec", "proven"),
        ("closure", "proven"),
        ("static_vec", "root"),
        ("thread_local", "root"),
        ("field_of_an_object", "owner"),
    ] {
        assert_eq!(way.run(case, false).as_deref(), Ok(named), "{case}");
    }
}

#[test]
fn with_neither() {
    all("walk", "neither", "live", "threads", ALL);
}

/// The other ways of the matrix.
#[test]
#[ignore = "takes minutes: `cargo test -p refscope-locate -- --include-ignored --nocapture`, debug and release"]
fn in_all_other_ways() {
    all("walk", "walk", "live", "threads", ALL);
    all("arena", "around", "fork", "alone", LIKELY + 1);
    all("alloc", "both", "fork", "threads", LIKELY);
    all("alloc", "both", "live", "alone", ALL);
    all("alloc", "both", "live", "threads", ALL);
    all("alloc", "alloc", "fork", "alone", LIKELY);
    all("alloc", "alloc", "live", "threads", ALL);
    all("walk", "neither", "fork", "alone", ALL);
    all("walk", "neither", "fork", "threads", ALL);
    all("walk", "neither", "live", "alone", ALL);
}

/// Where the heap is not glibc's, a report says what would make its blocks known.
#[cfg(not(target_env = "gnu"))]
#[test]
fn a_report_suggests_alloc() {
    let mut command = Command::new(env!("CARGO_BIN_EXE_at_exit"));
    let output = command.env("REFSCOPE", "leaks").output().expect("the program starts");
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(text.contains("refscope::Alloc::new()"), "{text}");
    assert!(!text.contains("could not be walked") && !text.contains("PROVEN"), "{text}");
}

/// Whatever threads of refscope's own there are, and files that are mapped.
#[test]
fn a_report_at_the_exit_proves_cycles() {
    let folder = std::env::temp_dir().join(format!("refscope-at-exit-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    for record in ["", "run.refscope", "run.jsonl"] {
        let words = match record {
            "" => "leaks".to_owned(),
            name => format!("leaks,record={}", folder.join(name).display()),
        };
        let run = || {
            let mut command = Command::new(env!("CARGO_BIN_EXE_at_exit"));
            let output = command.env("REFSCOPE", &words).output().expect("the program starts");
            String::from_utf8_lossy(&output.stderr).into_owned()
        };
        // How many of the 200 objects the verdict says are leaked, and how many likely so.
        let counts = |text: &str| {
            let words: Vec<&str> = text.split_whitespace().collect();
            let before = |said: &[&str]| {
                let at = words.windows(said.len()).position(|words| {
                    words.iter().zip(said).all(|(word, said)| word.trim_end_matches(';') == *said)
                });
                at.and_then(|at| words[at.checked_sub(1)?].parse().ok()).unwrap_or(0)
            };
            (before(&["leaked"]), before(&["likely", "leaked"]))
        };
        // On a machine with other work a thread may not answer in time. A word of the last cycle may be left on main's stack.
        let mut text = String::new();
        let mut said: (u32, u32) = (0, 0);
        for _ in 0..3 {
            text = run();
            said = counts(&text);
            if said.0 >= 198 {
                break;
            }
        }
        assert_eq!(said.0 + said.1, 200, "{words}: {text}");
        assert_eq!(said.0 > 0, text.contains("(PROVEN)"), "{words}: {text}");
        assert_eq!(said.1 > 0, text.contains("(LIKELY)"), "{words}: {text}");
        assert!(!cfg!(debug_assertions) || said.0 >= 198, "{words}: {text}");
        assert!(record.is_empty() || folder.join(record).exists(), "{words}");
    }
    std::fs::remove_dir_all(&folder).unwrap();
}
