mod lines;
pub(in crate::sink) mod open;
pub(in crate::sink) mod origin;

use self::lines::{NamedThreads, Out};
use super::Sink;
use super::sources::{New, SourceEntry, Sources};
use super::writers::{self, Writers};
use crate::event::{Event, Time, warn, write};
use crate::exit::{self, at_exit_of};
use crate::fork;
use crate::json::Json;
use parking_lot::{Mutex, MutexGuard};
use std::collections::{HashMap, HashSet};
use std::fmt::{self, Write as _};
use std::fs::File;
use std::io::{self, Seek as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

/// Writes events to a file, as JSON Lines.
///
/// Events are gathered in memory and written by a thread of the sink's own, four times a second and
/// whenever a good deal has come together, so that the program seldom waits for the disk; what a process
/// that is killed leaves behind is whole up to the last write. A file that cannot be written, because the disk is
/// full, its folder vanished or a limit on file sizes is reached, is reported once on stderr, and the sink takes
/// nothing more; [`lost`](Self::lost) counts what is not in it.
///
/// At most some 32 MiB are gathered. Beyond, a thread that emits an event waits for a file; where it is recorded to
/// a pipe whose reader is stalled, the event is lost, and the recording says how many were.
///
/// The file is readable by its owner alone, and locked while it is written: a recording to one that is in use is
/// written beside it, to `run-4711.jsonl` in place of `run.jsonl`, with the process id. In a folder where others may
/// write, it is not written through a link or to a file of somebody else's.
///
/// A process that ends by `exit`, or by returning from `main`, writes out what is left; so does one that panics, where
/// [`flush_on_panic`](Self::flush_on_panic) is asked for. A file whose folder vanishes is as one that cannot be written.
///
/// A forked child does not write to its parent's file: in the child the sink is switched off, without a word. One that is
/// to be recorded as well creates a sink of its own, in a [`Scope`](crate::Scope), or runs another program: `record=` in the
/// environment is read anew there.
///
/// It is a handle itself: clones share the file, and the last one writes out what is left.
///
/// # The lines
///
/// Each line is an object whose first key says what it is. Types, lines and threads are written once, before
/// what refers to them by number; threads again now and then, where there are thousands. Readers must ignore keys that they do not know. `docs/recording.schema.json` in the
/// repository has them as a JSON Schema.
///
/// | line | keys |
/// | --- | --- |
/// | `{"refscope":1,…}` | the version of the format, first of all; `pid`, `program`, `args`, `dir` (the working directory), `host`, `started` (when `ns` was 0, in milliseconds since 1970); where it was exported, `build` (the linker's id of the program) |
/// | `{"type":N,…}` | `name` |
/// | `{"site":N,…}` | `file`, `line`, `column` |
/// | `{"thread":N,…}` | `name` |
/// | `{"module":N,…}` | an executable or library that stacks lie in: `path`, `build` (the linker's id of it) |
/// | `{"stack":N,…}` | `frames`: module and offset of each return address, the innermost first; module 0 for an address that lies in none |
/// | `{"span":N,…}` | a span of `tracing`: `text` |
/// | `{"object":N,…}` | `kind` (`Box`, `Rc`, `Arc`), `type`, `size` in bytes, `site` of its creation; `earlier` where it was created in a part that is gone: how many events it has had, with the counts `strong` and `weak` after them, and `highest`, the highest place in its history among them, where that is another number |
/// | `{"lost":N}` | so many events were lost here |
/// | `{"mark":NAME,…}` | the program called [`mark`](crate::mark()): `ns` time |
/// | `{"source":FILE,…}` | a file of a `site`: `len` in bytes, and the `hash` of its text (FNV-1a, 64 bits) |
/// | `{"lines":N,…}` | the lines around `site` N: `from`, the number of the first, and their `text` |
/// | `{"end":"exit",…}` | the process ended by itself: `ns` time. Without it the process was killed, or went on |
/// | `{"event":"clone",…}` | an operation's name; `o` object, `n` place in its history, `h` handle, `s` strong count after, `f` handle that it was made from (`fo` its object, if another), `at` site, `k` stack, `sp` span, `t` thread, `ns` time, `label` |
///
/// Events of one object may be written in another order than they happened: sort by `n`. A second head, as in two parts that
/// were put together, begins all numbers anew but those of objects.
///
/// # Examples
///
/// ```
/// # fn main() -> std::io::Result<()> {
/// use refscope::{Rc, Scope, sink::FileSink};
///
/// let path = std::env::temp_dir().join(format!("refscope-{}.jsonl", std::process::id()));
/// let file = FileSink::create(&path)?;
/// Scope::new(file.clone()).run(|| drop(Rc::new(1)));
/// file.flush()?;
/// assert!(std::fs::read_to_string(&path)?.starts_with(r#"{"refscope":1"#));
/// # std::fs::remove_file(&path)?;
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct FileSink {
    inner: Arc<Inner>,
}

struct Inner {
    path: PathBuf,
    /// The process that opened the file. A forked child leaves all of this alone: locks may be held by threads that it
    /// does not have, and lines half gathered.
    process: fork::Process,
    out: Mutex<Out>,
    /// Held while the file is written, so that what is taken from `out` stays in order.
    file: Mutex<Open>,
    /// How long a part may be.
    part: Option<u64>,
    /// A regular file, which is worth waiting for.
    waits: bool,
    writer: std::sync::OnceLock<std::thread::Thread>,
}

/// The part that is being written.
struct Open {
    file: File,
    written: u64,
    sources: Sources,
    /// The exit has written its last line. What threads do from then on is written where it is asked for: a write that nobody
    /// waits for would be cut off by the process's end.
    ended: bool,
}

/// How much is gathered at most.
const MOST: usize = 32 << 20;
/// How long an exit waits for a pipe's reader.
const LAST_WAIT: Duration = Duration::from_secs(2);
/// And for a lock that a signal's handler may have interrupted the holder of.
const INTERRUPTED_WAIT: Duration = Duration::from_secs(1);
/// How much is gathered before the writer is woken early.
const PLENTY: usize = 1 << 18;
const INTERVAL: Duration = Duration::from_millis(250);

impl FileSink {
    /// Creates the file, or empties it.
    ///
    /// # Errors
    ///
    /// When the file cannot be created, or no thread can be started to write it.
    pub fn create(path: impl AsRef<Path>) -> io::Result<Self> {
        Self::open(path.as_ref(), None)
    }

    /// Creates the same, bounded: the file is written in parts of about half of `bytes`. When one is full, it is moved to a file
    /// of the same name with `.1` behind it, in place of the one before, and a new one begins, which has first what is
    /// alive: the objects and their counts, not the lines that made their handles. So the newest half at least is kept.
    ///
    /// A part is full when a write takes it beyond that half, and a write has all that was gathered meanwhile: some quarter of a
    /// MiB, and where the program emits faster than the file takes it, up to 32 MiB. So much larger may a part be, and by lines of
    /// source and what is alive. [`FlightRecorder::bounded`](super::FlightRecorder::bounded) keeps to its bound.
    ///
    /// Put together, the two parts are one recording: `cat run.jsonl.1 run.jsonl | refscope leaks -`.
    ///
    /// # Errors
    ///
    /// As [`create`](Self::create).
    pub fn bounded(path: impl AsRef<Path>, bytes: u64) -> io::Result<Self> {
        Self::open(path.as_ref(), Some((bytes / 2).max(1)))
    }

    fn open(path: &Path, part: Option<u64>) -> io::Result<Self> {
        let (file, path) = open::open(path, open::Access::Write)?;
        let waits = file.metadata()?.is_file();
        let inner = Arc::new(Inner {
            path,
            process: fork::Process::current(),
            out: Mutex::new(Out {
                lines: origin::head(),
                living: part.map(|_| HashMap::new()),
                types: HashMap::new(),
                sites: HashMap::new(),
                threads: NamedThreads::default(),
                stacks: crate::stack::WrittenStacks::default(),
                new_sources: New::default(),
                files: HashSet::new(),
                spans: HashSet::new(),
                failed: false,
                gathered: 0,
                untold: 0,
                lost: 0,
            }),
            file: Mutex::new(Open { file, written: 0, sources: Sources::new(part), ended: false }),
            part: part.filter(|_| waits),
            waits,
            writer: std::sync::OnceLock::new(),
        });
        inner.write_out();
        let thread = writers::spawn(&inner, INTERVAL, |inner| {
            let _ = inner.write_gathered();
            true
        })?;
        let _ = inner.writer.set(thread.thread().clone());
        at_exit_of(&inner, |inner: &Inner| {
            if inner.process.is_current() {
                inner.write_last();
            }
        });
        FILES.add(&inner);
        Ok(Self { inner })
    }

    /// Writes out what has been gathered whenever a thread panics, before the panic hook that is there now runs. This
    /// sets the process's panic hook; one that the program sets later stands alone.
    ///
    /// With `panic = "abort"` there is no other moment: else what the last quarter of a second brought is lost.
    pub fn flush_on_panic(&self) {
        // A hook cannot be set while this thread panics.
        if std::thread::panicking() {
            return;
        }
        let weak = Arc::downgrade(&self.inner);
        let before = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |info| {
            if let Some(inner) = weak.upgrade() {
                // The panic may come from under the lock.
                inner.write_out_within(Duration::from_millis(200), false);
            }
            before(info);
        }));
    }

    /// Returns how many events have not come to the file, and will not: those that found no room because a pipe's reader is
    /// stalled, and, where the file could not be written, all that were gathered then and came later. Of the write that failed,
    /// those count that are not in the file whole; to a pipe, all.
    ///
    /// Not counted is what had been written to a file that was removed afterwards, or what happened in a forked child.
    pub fn lost(&self) -> u64 {
        if self.inner.process.is_current() { self.inner.out.lock().lost } else { 0 }
    }

    /// Writes a mark to this file alone.
    pub(crate) fn mark(&self, name: &str, time: Time) {
        self.inner.mark(name, time);
    }

    /// Writes out what has been gathered.
    ///
    /// # Errors
    ///
    /// When the file could not be written, now or earlier; in a forked child, whose parent's file it is.
    pub fn flush(&self) -> io::Result<()> {
        if !self.inner.process.is_current() {
            let text =
                format!("{} is recorded to by the parent process", self.inner.path.display());
            return Err(io::Error::other(text));
        }
        self.inner.write_out();
        let out = self.inner.out.lock();
        match out.failed {
            false => Ok(()),
            true => Err(io::Error::other(format!(
                "{} could not be written; {} lost",
                self.inner.path.display(),
                crate::text::plural(out.lost, "event")
            ))),
        }
    }
}

/// Returns the line of a recording.
fn line_of(entry: &SourceEntry<'_>) -> String {
    match entry {
        SourceEntry::File(file, (length, hash)) => {
            format!("{{\"source\":{},\"len\":{length},\"hash\":\"{hash:016x}\"}}\n", Json(file))
        }
        SourceEntry::Lines(site, from, text) => {
            format!("{{\"lines\":{site},\"from\":{from},\"text\":{}}}\n", Json(text))
        }
    }
}

/// All files that are being written, for what concerns the process.
static FILES: Writers<Inner> = Writers::new();

/// Writes a mark to all files.
pub(crate) fn mark(name: &str, time: Time) {
    for file in FILES.all() {
        file.mark(name, time);
    }
}

impl Inner {
    fn mark(&self, name: &str, time: Time) {
        if self.process.is_current() {
            let line = format!(r#"{{"mark":{},"ns":{}}}"#, Json(name), time.as_nanos());
            self.out.lock().line(&line);
        }
    }

    fn write_out(&self) {
        if !self.process.is_current() {
            return;
        }
        let _within = exit::within();
        self.write(self.file.lock(), self.out.lock());
    }

    /// Writes in the course of the program. False after its end: nothing is written.
    fn write_gathered(&self) -> bool {
        let _within = exit::within();
        let file = self.file.lock();
        if file.ended || !self.process.is_current() {
            return false;
        }
        self.write(file, self.out.lock());
        true
    }

    /// At the process's exit: a pipe that nobody reads does not keep it from ending, nor does a lock that a handler has
    /// interrupted the holder of.
    fn write_last(&self) {
        let interrupted = exit::is_interrupted();
        let line = format!(r#"{{"end":"exit","ns":{}}}"#, Time::coarse().as_nanos());
        let patience = if interrupted { INTERRUPTED_WAIT } else { exit::PATIENCE };
        let said = self.out.try_lock_for(patience).map(|mut out| out.line(&line)).is_some();
        if interrupted || !said {
            if !said || !self.write_out_within(INTERRUPTED_WAIT, true) {
                warn(format_args!(
                    "{}: the process was ended by a signal while an event was being recorded; the last ones are lost",
                    self.path.display()
                ));
            }
            return;
        }
        if !self.process.is_current() {
            return;
        }
        if self.waits {
            let _within = exit::within();
            let mut file = self.file.lock();
            file.ended = true;
            return self.write(file, self.out.lock());
        }
        let end = std::time::Instant::now() + LAST_WAIT;
        while !self.out.lock().is_written() && std::time::Instant::now() < end {
            if let Some(writer) = self.writer.get() {
                writer.unpark();
            }
            std::thread::sleep(Duration::from_millis(2));
        }
        // Until the last write is done.
        if let Some(mut file) = self.file.try_lock_until(end) {
            file.ended = true;
        }
    }

    /// False where the locks are not to be had in time. Nothing is written in the background from then on, if this is the end.
    fn write_out_within(&self, time: Duration, is_end: bool) -> bool {
        if !self.process.is_current() {
            return true;
        }
        let _within = exit::within();
        let locks = self.file.try_lock_for(time).zip(self.out.try_lock_for(time));
        let locked = locks.is_some();
        if let Some((mut file, out)) = locks {
            file.ended |= is_end;
            self.write(file, out);
        }
        locked
    }

    fn write(&self, mut open: MutexGuard<'_, Open>, mut out: MutexGuard<'_, Out>) {
        if out.is_written() {
            return;
        }
        let (mut lines, _) = out.take();
        let new_sources = std::mem::take(&mut out.new_sources);
        if out.untold > 0 {
            let _ = writeln!(lines, r#"{{"lost":{}}}"#, std::mem::take(&mut out.untold));
        }
        open.written += lines.len() as u64;
        let full = self.part.is_some_and(|part| open.written >= part);
        if full {
            // What comes from now on is the next part's.
            out.begin_part();
        }
        drop(out);
        // Files are read where no event waits.
        let mut sources = String::new();
        open.sources.read_new(new_sources, |entry| sources.push_str(&line_of(&entry)));
        open.written += sources.len() as u64;
        lines.push_str(&sources);
        let before = open.file.stream_position();
        let done = write::write_all(&mut open.file, lines.as_bytes());
        // A pipe has no position, and says nothing of how far it went.
        let mut unwritten =
            match (&done, before.and_then(|at| Ok((at, open.file.stream_position()?)))) {
                (Ok(()), _) => 0,
                (Err(_), Ok((before, after))) => {
                    events_behind(&lines, after.saturating_sub(before))
                }
                (Err(_), Err(_)) => events_behind(&lines, 0),
            };
        let done = done.and_then(|()| {
            if open::is_removed(&open.file, &self.path)? {
                unwritten = events_behind(&lines, 0);
                return Err(io::Error::new(io::ErrorKind::NotFound, "the file has been removed"));
            }
            if full {
                let mut old = self.path.clone().into_os_string();
                old.push(".1");
                std::fs::rename(&self.path, old)?;
                // At once with its head: a part without one is no recording.
                let (head, events) = self.out.lock().take();
                unwritten = events;
                let part = open::part(&self.path)?;
                // The old one is closed when it is not here any more: a fork may come between.
                drop(std::mem::replace(&mut open.file, part));
                open.written = head.len() as u64;
                open.sources.begin_part();
                write::write_all(&mut open.file, head.as_bytes())?;
                unwritten = 0;
            }
            Ok(())
        });
        if let Err(error) = done {
            let mut out = self.out.lock();
            out.failed = true;
            out.lost += unwritten + out.take().1;
            drop(out);
            warn(format_args!(
                "{}: {error}; the sink is switched off, and events from here on are lost",
                self.path.display()
            ));
        }
    }
}

/// How many lines of events end behind so many bytes. One of which nothing but the line feed is missing is read like any other.
fn events_behind(lines: &str, bytes: u64) -> u64 {
    let mut end = 0;
    let behind = lines.split_inclusive('\n').filter(|line| {
        end += line.len() as u64;
        end > bytes + 1 && line.starts_with("{\"event\"")
    });
    behind.count() as u64
}

impl Drop for Inner {
    fn drop(&mut self) {
        self.write_out();
        if !self.process.is_current() {
            std::mem::forget(std::mem::take(self.out.get_mut()));
        }
    }
}

impl Sink for FileSink {
    fn event(&self, event: &Event) {
        if !self.inner.process.is_current() {
            return fork::warn_unrecorded();
        }
        let _within = exit::within();
        // It asks the subscriber, whose code is not to be run under a lock.
        let span = crate::span::current().number();
        let mut out = self.inner.out.lock();
        if out.lines.len() >= MOST {
            let mut has_room = false;
            if self.inner.waits {
                drop(out);
                has_room = self.inner.write_gathered();
                out = self.inner.out.lock();
            }
            // A pipe's reader is stalled, or the program ends.
            if !has_room {
                out.untold += u64::from(!out.failed);
                out.lost += 1;
                return;
            }
        }
        if out.failed {
            out.lost += 1;
            return;
        }
        out.event(event, span);
        out.gathered += 1;
        let plenty = out.lines.len() >= PLENTY;
        drop(out);
        if plenty && let Some(writer) = self.inner.writer.get() {
            writer.unpark();
        }
    }

    fn flush(&self) {
        self.inner.write_out();
    }
}

impl fmt::Debug for FileSink {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FileSink").field("path", &self.inner.path).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::events_behind;

    #[test]
    fn what_is_cut_is_lost_and_a_line_without_its_line_feed_is_not() {
        let line = "{\"event\":\"drop\",\"o\":1}\n";
        let lines = [line, "{\"site\":1}\n", line].concat();
        let all = lines.len() as u64;
        let behind = [0, line.len() as u64 - 2, line.len() as u64 - 1, all - 2, all - 1, all];
        assert_eq!(behind.map(|bytes| events_behind(&lines, bytes)), [2, 2, 1, 1, 0, 0]);
    }
}
