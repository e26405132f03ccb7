use super::Sink;
use crate::dispatch::{at_exit, complain};
use crate::event::{Event, Op, Site, Thread};
use crate::render::json::Json;
use parking_lot::Mutex;
use std::collections::{HashMap, HashSet};
use std::fmt::{self, Write as _};
use std::fs::File;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Weak};
use std::time::Duration;

/// Writes events to a file, as JSON Lines.
///
/// Events are gathered in memory and written by a thread of the sink's own, four times a second and
/// whenever a good deal has come together, so that the program does not wait for the disk; what a process
/// that is killed leaves behind is whole up to the last write. A file that cannot be written is reported
/// once on stderr, and the sink takes nothing more.
///
/// It is a handle itself: clones share the file, and the last one writes out what is left.
///
/// # The lines
///
/// Each line is an object whose first key says what it is. Types, lines and threads are written once, before
/// what refers to them by number. Readers must ignore keys that they do not know.
///
/// | line | keys |
/// | --- | --- |
/// | `{"refscope":1,…}` | the version of the format, first of all; `pid` |
/// | `{"type":N,…}` | `name` |
/// | `{"site":N,…}` | `file`, `line`, `column` |
/// | `{"thread":N,…}` | `name` |
/// | `{"object":N,…}` | `kind` (`Box`, `Rc`, `Arc`), `type`, `size` in bytes, `site` of birth |
/// | `{"event":"clone",…}` | an operation's name; `o` object, `n` place in its history, `h` handle, `s` strong count after, `f` handle that it was made from (`fo` its object, if another), `at` site, `t` thread, `ns` time, `label` |
///
/// Events of one object may stand in another order than they happened: sort by `n`.
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
    out: Mutex<Out>,
    /// Held while the file is written, so that what is taken from `out` stays in order.
    file: Mutex<File>,
    writer: std::sync::OnceLock<std::thread::Thread>,
}

struct Out {
    lines: String,
    types: HashMap<usize, usize>,
    sites: HashMap<Site, usize>,
    threads: HashSet<Thread>,
    failed: bool,
}

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
        let path = path.as_ref().to_owned();
        let file = File::create(&path)?;
        let inner = Arc::new(Inner {
            path,
            out: Mutex::new(Out {
                lines: format!("{{\"refscope\":1,\"pid\":{}}}\n", std::process::id()),
                types: HashMap::new(),
                sites: HashMap::new(),
                threads: HashSet::new(),
                failed: false,
            }),
            file: Mutex::new(file),
            writer: std::sync::OnceLock::new(),
        });
        inner.write_out();
        let weak = Arc::downgrade(&inner);
        let thread = std::thread::Builder::new()
            .name("refscope writer".to_owned())
            .spawn(move || write_on(&weak))?;
        let _ = inner.writer.set(thread.thread().clone());
        Ok(Self { inner })
    }

    /// Writes out what has been gathered.
    ///
    /// # Errors
    ///
    /// When the file could not be written, now or earlier.
    pub fn flush(&self) -> io::Result<()> {
        self.inner.write_out();
        match self.inner.out.lock().failed {
            false => Ok(()),
            true => Err(io::Error::other(format!(
                "{} could not be written; what came later is lost",
                self.inner.path.display()
            ))),
        }
    }

    /// Writes out what has been gathered when the process ends by `exit` or by returning from `main`.
    pub(crate) fn flush_at_exit(&self) {
        let file = self.clone();
        at_exit(Box::new(move || file.inner.write_out()));
    }
}

fn write_on(inner: &Weak<Inner>) {
    loop {
        std::thread::park_timeout(INTERVAL);
        let Some(inner) = inner.upgrade() else { return };
        inner.write_out();
    }
}

impl Inner {
    fn write_out(&self) {
        let mut file = self.file.lock();
        let lines = std::mem::take(&mut self.out.lock().lines);
        if let Err(error) = file.write_all(lines.as_bytes()) {
            let mut out = self.out.lock();
            if !std::mem::replace(&mut out.failed, true) {
                drop(out);
                complain(format_args!(
                    "{}: {error}; events from here on are lost",
                    self.path.display()
                ));
            }
        }
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        self.write_out();
    }
}

impl Out {
    fn site(&mut self, site: Site) -> usize {
        let next = self.sites.len() + 1;
        let number = *self.sites.entry(site).or_insert(next);
        if number == next {
            let _ = writeln!(
                self.lines,
                r#"{{"site":{number},"file":{},"line":{},"column":{}}}"#,
                Json(site.file()),
                site.line(),
                site.column()
            );
        }
        number
    }

    fn event(&mut self, event: &Event) {
        let object = event.object();
        let id = object.id().number();
        let site = event.site().map(|site| self.site(site));
        let thread = event.thread();
        if self.threads.insert(thread) {
            let name = thread.to_string();
            let _ =
                writeln!(self.lines, r#"{{"thread":{},"name":{}}}"#, thread.number(), Json(&name));
        }
        if event.op().begins() && event.seq() == 1 {
            let next = self.types.len() + 1;
            let ty = *self.types.entry(std::ptr::from_ref(object.ty).addr()).or_insert(next);
            if ty == next {
                let _ =
                    writeln!(self.lines, r#"{{"type":{ty},"name":{}}}"#, Json(object.type_name()));
            }
            let born = self.site(object.born());
            let _ = writeln!(
                self.lines,
                r#"{{"object":{id},"kind":"{}","type":{ty},"size":{},"site":{born}}}"#,
                object.kind(),
                object.size()
            );
        }
        let _ = write!(
            self.lines,
            r#"{{"event":"{}","o":{id},"n":{},"h":{},"s":{},"t":{},"ns":{}"#,
            event.op(),
            event.seq(),
            event.handle().number(),
            event.strong(),
            thread.number(),
            event.time().as_nanos()
        );
        if let Some(from) = event.from() {
            let _ = write!(self.lines, r#","f":{}"#, from.number());
            if from.object() != object.id() {
                let _ = write!(self.lines, r#","fo":{}"#, from.object().number());
            }
        }
        if let Some(site) = site {
            let _ = write!(self.lines, r#","at":{site}"#);
        }
        if let (Op::Label, Some(label)) = (event.op(), object.label()) {
            let _ = write!(self.lines, r#","label":{}"#, Json(label));
        }
        self.lines.push_str("}\n");
    }
}

impl Sink for FileSink {
    fn event(&self, event: &Event) {
        let mut out = self.inner.out.lock();
        if out.failed {
            return;
        }
        out.event(event);
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
