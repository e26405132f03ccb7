//! What is alive in a running program, reported from time to time: at the exit, at intervals, on signals, to a debugger.

mod peaks;
mod reporter;

pub use reporter::Reporter;

use crate::analysis::{LeakReport, ReportKind, Snapshot, totals};
use crate::event::{Time, eprint, warn};
use crate::locate::Search;
use crate::lock::Mutex;
use crate::model::LiveObject;
use crate::render::Terminal;
use crate::text::{count, escape, plural};
use std::collections::BTreeSet;
use std::io;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread::JoinHandle;
use std::time::Duration;

/// The report of what is alive in the whole process.
pub(crate) fn report(kind: ReportKind) -> LeakReport {
    report_of(crate::model::alive(), kind)
}

/// The report of these objects.
pub(crate) fn report_of(objects: Vec<LiveObject>, kind: ReportKind) -> LeakReport {
    let mut report = LeakReport::new(objects, Time::coarse()).with_kind(kind);
    *report.untraced = crate::untraced_counts();
    report
}

/// Whether reports search the memory.
static SEARCH: AtomicBool = AtomicBool::new(true);

/// See [`crate::leaks::set_search`].
pub(crate) fn set_search(search: bool) {
    // Relaxed: nothing hangs on it.
    SEARCH.store(search, Ordering::Relaxed);
}

/// The longest that reports search the memory, in milliseconds. 0: as long as a search does.
static BUDGET: AtomicU64 = AtomicU64::new(0);

/// See [`crate::leaks::set_search_budget`].
pub(crate) fn set_search_budget(budget: Duration) {
    let millis = u64::try_from(budget.as_millis()).unwrap_or(u64::MAX);
    // Relaxed: nothing hangs on it.
    BUDGET.store(millis.max(1), Ordering::Relaxed);
}

/// The search of a report that asks for none of its own.
pub(crate) fn search() -> Search {
    match BUDGET.load(Ordering::Relaxed) {
        0 => Search::new(),
        millis => Search::new().budget(Duration::from_millis(millis)),
    }
}

/// A report with what holds the objects now, unless that is not wanted.
pub(crate) fn located(report: LeakReport) -> LeakReport {
    located_by(report, search())
}

pub(crate) fn located_by(report: LeakReport, search: Search) -> LeakReport {
    // A check's conditions may have asked for it already.
    let searches = SEARCH.load(Ordering::Relaxed) && report.located.is_none();
    if searches { report.locate(&search) } else { report }
}

/// For a report at the exit. Where that has interrupted refscope, the process waits for it less long than for others.
fn search_at_exit() -> Search {
    let search = if crate::exit::is_interrupted() {
        search().budget(Duration::from_secs(1))
    } else {
        search()
    };
    search.at_exit()
}

/// Whether the exit is reported.
static REPORTS_EXIT: AtomicBool = AtomicBool::new(false);

/// What was alive at marks, for the exit's report.
static MARKS: Mutex<Vec<(String, Snapshot)>> = Mutex::new(Vec::new());

/// Marks that are kept; more are printed when they are made, and forgotten.
const MOST_MARKS: usize = 64;

/// See [`crate::leaks::on_exit`].
pub(crate) fn on_exit() {
    // Relaxed: it says nothing of other memory.
    if REPORTS_EXIT.swap(true, Ordering::Relaxed) {
        return;
    }
    if let Err(error) = spawn("refscope peaks", peaks::watch) {
        warn(format_args!("no thread counts peaks for the report at exit: {error}"));
    }
    crate::exit::at_exit(|| {
        let mut objects = crate::model::alive();
        if let Some(first) = crate::fork::first_object() {
            // The parent reports its own objects.
            objects.retain(|object| object.id.number() >= first);
            MARKS.lock().clear();
            if objects.is_empty() {
                return;
            }
        }
        let report = located_by(report_of(objects, ReportKind::Exit), search_at_exit());
        let mut text = Terminal::stderr().render_report(&report);
        let alive: BTreeSet<u64> = crate::model::ids().into_iter().collect();
        for (name, marked) in std::mem::take(&mut *MARKS.lock()) {
            text.push_str(&became(&name, &marked, &alive));
        }
        text.push_str(&peaks::report().unwrap_or_default());
        eprint(&text);
    });
}

/// See [`crate::mark`].
pub(crate) fn mark(name: &str, time: Time) {
    if !REPORTS_EXIT.load(Ordering::Relaxed) {
        return;
    }
    let alive = crate::model::alive();
    let mut report = LeakReport::new(alive.iter().cloned(), time).with_kind(ReportKind::Mark);
    *report.untraced = crate::untraced_counts();
    let text = Terminal::stderr().render_report(&report);
    eprint(&format!("refscope: mark {:?}\n{text}", escape(name)));
    let mut marks = MARKS.lock();
    if marks.len() < MOST_MARKS {
        marks.push((name.to_owned(), Snapshot::new(alive, time)));
    }
}

/// What became of what was alive at a mark.
fn became(name: &str, marked: &Snapshot, alive: &BTreeSet<u64>) -> String {
    let (kept, gone): (Vec<_>, Vec<_>) =
        marked.objects().iter().cloned().partition(|object| alive.contains(&object.id.number()));
    let mut text = format!(
        "refscope: of {} alive at the mark {:?}, {} {} alive at exit\n",
        plural(marked.objects().len() as u64, "object"),
        escape(name),
        count(kept.len() as u64),
        if kept.len() == 1 { "is" } else { "are" },
    );
    for total in totals(&gone).iter().take(10) {
        text.push_str(&format!(
            "  dropped since: {} x {}<{}> at {}\n",
            count(total.objects),
            total.kind,
            escape(&crate::event::short_type(&total.type_name)),
            escape(&total.location.to_string()),
        ));
    }
    text
}

fn snapshot() -> Snapshot {
    Snapshot::new(crate::model::alive(), Time::coarse())
}

/// See [`crate::leaks::every`].
pub(crate) fn every(interval: Duration) -> io::Result<Reporter> {
    // Here, and not when the thread gets to it: what is allocated meanwhile is reported.
    let mut before = snapshot();
    let (stop, stopped) = mpsc::channel();
    let thread = spawn("refscope every", move || {
        loop {
            match stopped.recv_timeout(interval) {
                Ok(()) => return,
                Err(RecvTimeoutError::Timeout) => {}
                // Nobody can stop it any more.
                Err(RecvTimeoutError::Disconnected) => std::thread::sleep(interval),
            }
            before = report_since(&before);
        }
    })?;
    // Where it has panicked, nobody receives.
    Ok(Reporter::new(thread, move || {
        let _ = stop.send(());
    }))
}

fn spawn(name: &str, f: impl FnOnce() + Send + 'static) -> io::Result<JoinHandle<()>> {
    crate::runtime::threads::spawn(std::thread::Builder::new().name(name.to_owned()), f)
}

/// Prints what is alive and was allocated since, and returns the snapshot to compare with next.
fn report_since(before: &Snapshot) -> Snapshot {
    let now = snapshot();
    eprint(&format!("refscope: {} alive; {}\n", now.objects().len(), now.since(before)));
    now
}

/// See [`crate::leaks::on_signals`].
#[cfg(all(unix, feature = "signals"))]
pub(crate) fn on_signals() -> io::Result<Reporter> {
    use signal_hook::consts::{SIGUSR1, SIGUSR2};

    let mut signals = signal_hook::iterator::Signals::new([SIGUSR1, SIGUSR2])?;
    let handle = signals.handle();
    let mut before = snapshot();
    // signal-hook's handler writes a byte to a pipe; everything else is done on this thread.
    let thread = spawn("refscope signals", move || {
        for signal in signals.forever() {
            match signal {
                SIGUSR1 => {
                    let report = located(report(ReportKind::Alive));
                    eprint(&Terminal::stderr().render_report(&report));
                }
                _ => before = report_since(&before),
            }
        }
    })?;
    Ok(Reporter::new(thread, move || handle.close()))
}

/// See [`crate::leaks::register_for_debugger`].
pub(crate) fn register_for_debugger() {
    // Named here, so that the linker keeps it.
    std::hint::black_box(print_alive as extern "C" fn());
}

/// Prints on stderr what is alive, for a debugger: `call refscope_print_alive_0_1()`.
///
/// The process hangs, perhaps, and its threads are stopped: no lock of the ledger is taken.
// SAFETY: NAME: no other function of the process has this name, which is the crate's with the version: Cargo has no two
// versions in one program that agree in it.
#[unsafe(export_name = concat!(
    "refscope_print_alive_",
    env!("CARGO_PKG_VERSION_MAJOR"),
    "_",
    env!("CARGO_PKG_VERSION_MINOR")
))]
#[allow(unreachable_pub)] // reached by its name
pub extern "C" fn print_alive() {
    eprint(&Terminal::plain(80).render_report(&report(ReportKind::Alive)));
}
