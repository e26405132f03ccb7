//! What is alive in a running program, reported from time to time: at the exit, at intervals, on signals, to a debugger.

use crate::analysis::{LeakReport, ReportKind, Snapshot};
use crate::event::{Time, eprint};
use crate::model::LiveObject;
use crate::render::Terminal;
use std::io;
use std::time::Duration;

/// The report of what is alive in the whole process.
pub(crate) fn report(kind: ReportKind) -> LeakReport {
    report_of(crate::model::alive(), kind)
}

fn report_of(objects: Vec<LiveObject>, kind: ReportKind) -> LeakReport {
    let mut report = LeakReport::new(objects, Time::coarse()).with_kind(kind);
    report.untraced = crate::untraced_counts();
    report
}

/// See [`crate::leaks::on_exit`].
pub(crate) fn on_exit() {
    crate::exit::at_exit(Box::new(|| {
        let mut objects = crate::model::alive();
        if let Some(first) = crate::fork::first_object() {
            // What the parent left is the parent's to tell.
            objects.retain(|object| object.id >= first);
            if objects.is_empty() {
                return;
            }
        }
        eprint(&Terminal::stderr().render_report(&report_of(objects, ReportKind::Exit)));
    }));
}

fn snapshot() -> Snapshot {
    Snapshot::new(crate::model::alive(), Time::coarse())
}

/// See [`crate::leaks::every`].
pub(crate) fn every(interval: Duration) -> io::Result<()> {
    // Here, and not when the thread gets to it: what is allocated meanwhile is reported.
    let mut before = snapshot();
    spawn("refscope every", move || {
        loop {
            std::thread::sleep(interval);
            before = report_since(&before);
        }
    })
}

/// Starts a thread that no signal of the program is delivered to.
fn spawn(name: &str, f: impl FnOnce() + Send + 'static) -> io::Result<()> {
    let thread = std::thread::Builder::new().name(name.to_owned());
    crate::runtime::clock::without_signals(|| thread.spawn(f)).map(drop)
}

/// Prints what is alive and was allocated since, and returns the snapshot to compare with next.
fn report_since(before: &Snapshot) -> Snapshot {
    let now = snapshot();
    eprint(&format!("refscope: {} alive; {}\n", now.objects().len(), now.since(before)));
    now
}

/// See [`crate::leaks::on_signals`].
#[cfg(all(unix, feature = "signals"))]
pub(crate) fn on_signals() -> io::Result<()> {
    use signal_hook::consts::{SIGUSR1, SIGUSR2};

    let mut signals = signal_hook::iterator::Signals::new([SIGUSR1, SIGUSR2])?;
    let mut before = snapshot();
    // signal-hook's handler writes a byte to a pipe; everything else is done on this thread.
    spawn("refscope signals", move || {
        for signal in signals.forever() {
            match signal {
                SIGUSR1 => {
                    let report = report(ReportKind::Alive);
                    eprint(&Terminal::stderr().render_report(&report));
                }
                _ => before = report_since(&before),
            }
        }
    })
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
