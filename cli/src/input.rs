//! Recordings as they are read: from files, or from the standard input.

use crate::{Failed, chain};
use refscope::__private::on_progress;
use refscope::Recording;
use refscope::model::{LiveObject, Moment, ReadError};
use std::fs::File;
use std::io::{self, BufRead, BufReader, IsTerminal as _, Read as _, Seek as _};
use std::path::Path;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

/// Opens a file, or the standard input, that is read to its end.
pub(crate) fn open(path: &Path) -> Result<Box<dyn BufRead>, Failed> {
    if path == Path::new("-") {
        return Ok(Box::new(BufReader::new(io::stdin())));
    }
    let file = File::open(path).map_err(|error| format!("{}: {error}", path.display()))?;
    Ok(Box::new(BufReader::new(file)))
}

/// What is read of a recording.
type Read<T> = Result<T, ReadError>;

/// Reads a recording: one in a file from there, as it lies, and what comes through a pipe as it comes.
fn from<T>(
    path: &Path,
    opened: impl FnOnce(&Path) -> Read<T>,
    read: impl FnOnce(Box<dyn BufRead>) -> Read<T>,
) -> Result<T, Failed> {
    let result = if path == Path::new("-") {
        read(Box::new(Lines::new(BufReader::new(io::stdin()), None)))
    } else {
        let told = |error: io::Error| format!("{}: {error}", path.display());
        let mut file = File::open(path).map_err(told)?;
        let metadata = file.metadata().map_err(told)?;
        if metadata.is_dir() {
            return Err(
                format!("{}: this is a directory; a recording is a file", path.display()).into()
            );
        }
        let mut first = [0];
        let is_binary =
            metadata.is_file() && file.read(&mut first).map_err(told)? == 1 && first[0] == BINARY;
        if is_binary {
            on_progress(progress);
            opened(path)
        } else {
            let total = metadata.is_file().then_some(metadata.len());
            if total.is_some() {
                file.rewind().map_err(told)?;
            }
            read(Box::new(Lines::new(BufReader::with_capacity(1 << 20, file), total)))
        }
    };
    clear();
    result.map_err(|error| format!("{}, {}", path.display(), chain(&error)).into())
}

/// What a binary recording begins with; no text does.
const BINARY: u8 = 0x89;

/// When reading began, and the tenths of a second in which the line on the terminal was written; 0: it was not.
static START: OnceLock<Instant> = OnceLock::new();
static TOLD: AtomicU64 = AtomicU64::new(0);

/// Tells on a terminal's stderr how far a long recording has been read.
fn progress(read: u64, total: u64) {
    let elapsed = START.get_or_init(Instant::now).elapsed();
    let tenths = elapsed.as_millis() as u64 / 100;
    if tenths < 5 || tenths <= TOLD.load(Ordering::Relaxed) || !io::stderr().is_terminal() {
        return;
    }
    TOLD.store(tenths, Ordering::Relaxed);
    let rate = read as f64 / elapsed.as_secs_f64();
    let mib = |bytes: f64| bytes / f64::from(1 << 20);
    let mut line = format!("\r\x1b[K{:.0} MiB", mib(read as f64));
    if total > 0 && rate > 0.0 {
        let left = total.saturating_sub(read) as f64 / rate;
        line += &format!(" of {:.0}, {left:.0} s left", mib(total as f64));
    }
    eprint!("{line} ({:.0} MiB/s)", mib(rate));
}

/// Takes the line away again.
fn clear() {
    if TOLD.swap(0, Ordering::Relaxed) > 0 {
        eprint!("\r\x1b[K");
    }
}

/// Lines, with their progress.
struct Lines<R> {
    input: R,
    read: u64,
    total: Option<u64>,
    told: u64,
}

impl<R> Lines<R> {
    fn new(input: R, total: Option<u64>) -> Self {
        Self { input, read: 0, total, told: 0 }
    }
}

impl<R: BufRead> io::Read for Lines<R> {
    fn read(&mut self, to: &mut [u8]) -> io::Result<usize> {
        let read = self.input.read(to)?;
        self.read += read as u64;
        Ok(read)
    }
}

impl<R: BufRead> BufRead for Lines<R> {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        if self.read >= self.told {
            self.told = self.read + (4 << 20);
            progress(self.read, self.total.unwrap_or(0));
        }
        self.input.fill_buf()
    }

    fn consume(&mut self, bytes: usize) {
        self.read += bytes as u64;
        self.input.consume(bytes);
    }
}

pub(crate) fn read(path: &Path) -> Result<Recording, Failed> {
    let mut recording = from(path, |path| Recording::open(path), Recording::read)?;
    told(&recording, path);
    recording.resolve_stacks();
    Ok(recording)
}

/// What was alive at the end, in memory that does not grow with the file.
pub(crate) fn read_living(path: &Path) -> Result<(Recording, Vec<LiveObject>), Failed> {
    let read = from(path, |path| Recording::open_live(path), Recording::read_live);
    let (recording, living) = read?;
    told(&recording, path);
    Ok((recording, living))
}

/// What was alive at a moment.
pub(crate) fn read_living_at(
    path: &Path,
    moment: &Moment,
) -> Result<Option<(Recording, Vec<LiveObject>)>, Failed> {
    from(
        path,
        |path| Recording::open_live_at(path, moment),
        |input| Recording::read_live_at(input, moment),
    )
}

fn told(recording: &Recording, path: &Path) {
    if recording.truncated() {
        eprintln!(
            "refscope: {}: the end is cut off, as by a process that was killed; what is not whole is left out",
            path.display()
        );
    }
    for damage in recording.damage() {
        eprintln!("refscope: {}, {damage}", path.display());
    }
}
