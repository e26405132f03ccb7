//! A running program's live set, told from time to time: at the exit, at intervals, on signals, to a debugger.

use crate::analysis::{LeakReport, ReportKind, Snapshot};
use crate::dispatch::{complain, say};
use crate::render::Terminal;
use crate::sink::LiveSet;
use parking_lot::Mutex;
use std::time::Duration;

/// The sets that a debugger is told of.
static EXPOSED: Mutex<Vec<LiveSet>> = Mutex::new(Vec::new());

/// See [`crate::leaks::at_exit`].
pub(crate) fn at_exit(live: &LiveSet) {
    let live = live.clone();
    crate::dispatch::at_exit(Box::new(move || {
        say(&Terminal::stderr()
            .render_report(&all_unseen(live.report().with_kind(ReportKind::Exit))));
    }));
}

/// A report of the whole process tells what the whole process left out.
fn all_unseen(mut leaks: LeakReport) -> LeakReport {
    let unseen = crate::dispatch::unseen();
    leaks.untraced.filtered += unseen.filtered;
    leaks.untraced.ledger_full += unseen.ledger_full;
    leaks
}

/// See [`crate::leaks::every`].
pub(crate) fn every(live: &LiveSet, time: Duration) {
    let live = live.clone();
    // Here, and not when the thread gets to it: what is born meanwhile is told.
    let mut before = live.snapshot();
    let told = std::thread::Builder::new().name("refscope every".to_owned()).spawn(move || {
        loop {
            std::thread::sleep(time);
            before = tell_since(&live, &before);
        }
    });
    if let Err(error) = told {
        complain(format_args!("no thread can be started that tells what is alive: {error}"));
    }
}

/// Tells what is alive and was born since, and gives the snapshot to compare with next.
fn tell_since(live: &LiveSet, before: &Snapshot) -> Snapshot {
    let now = live.snapshot();
    say(&format!("refscope: {} alive; {}\n", now.objects().len(), now.since(before)));
    now
}

/// See [`crate::leaks::on_signals`].
#[cfg(all(unix, feature = "signals"))]
pub(crate) fn signals(live: &LiveSet) -> std::io::Result<()> {
    use signal_hook::consts::{SIGUSR1, SIGUSR2};

    let mut signals = signal_hook::iterator::Signals::new([SIGUSR1, SIGUSR2])?;
    let live = live.clone();
    let mut before = live.snapshot();
    // signal-hook's handler writes a byte to a pipe; everything else is done on this thread.
    std::thread::Builder::new().name("refscope signals".to_owned()).spawn(move || {
        for signal in signals.forever() {
            match signal {
                SIGUSR1 => say(&Terminal::stderr()
                    .render_report(&all_unseen(live.report().with_kind(ReportKind::Alive)))),
                _ => before = tell_since(&live, &before),
            }
        }
    })?;
    Ok(())
}

/// For the environment, which has nobody to give an error to.
pub(crate) fn on_signals(live: &LiveSet) {
    #[cfg(all(unix, feature = "signals"))]
    if let Err(error) = signals(live) {
        complain(format_args!("signals cannot be waited for: {error}"));
    }
    #[cfg(not(all(unix, feature = "signals")))]
    let _ = live;
}

/// Lets [`refscope_print_alive`] tell of `live`.
pub(crate) fn expose(live: &LiveSet) {
    EXPOSED.lock().push(live.clone());
    // Named here, so that the linker keeps it.
    std::hint::black_box(refscope_print_alive as extern "C" fn());
}

/// Prints on stderr what is alive, for a debugger: `call refscope_print_alive()`.
///
/// The process hangs, perhaps with a lock of the live set taken by a thread that is stopped: what is behind such a lock
/// is left out, and said to be.
// SAFETY: NAME: no other function of the process has this name, which begins with the crate's.
#[unsafe(no_mangle)]
#[allow(unreachable_pub)] // reached by its name
pub extern "C" fn refscope_print_alive() {
    let Some(exposed) = EXPOSED.try_lock_for(Duration::from_millis(100)) else {
        return say("refscope: its own list is locked; nothing can be told\n");
    };
    for live in exposed.iter() {
        let (leaks, locked) = live.leaks_within(Duration::from_millis(20));
        say(&Terminal::plain(80).render_report(&all_unseen(leaks.with_kind(ReportKind::Alive))));
        if locked > 0 {
            say(&format!("note: {locked} of the set's 64 parts are locked, and left out\n"));
        }
    }
    if exposed.is_empty() {
        say("refscope: no live set is known; `refscope::leaks::expose` names one\n");
    }
}
