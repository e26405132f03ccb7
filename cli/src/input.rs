//! Recordings as they are read: from files, or from the standard input.

use crate::{Failed, chain};
use refscope::Recording;
use refscope::model::LiveObject;
use std::fs::File;
use std::io::{self, BufRead, BufReader, IsTerminal as _};
use std::path::Path;
use std::time::Instant;

pub(crate) fn open(path: &Path) -> Result<Box<dyn BufRead>, Failed> {
    if path == Path::new("-") {
        return Ok(Box::new(Progress::new(BufReader::new(io::stdin()))));
    }
    let told = |error: io::Error| format!("{}: {error}", path.display());
    let file = File::open(path).map_err(told)?;
    if file.metadata().map_err(told)?.is_dir() {
        return Err(
            format!("{}: this is a directory; a recording is a file", path.display()).into()
        );
    }
    Ok(Box::new(Progress::new(BufReader::with_capacity(1 << 20, file))))
}

/// Tells on a terminal's stderr how far a long recording has been read.
struct Progress<R> {
    input: R,
    read: u64,
    start: Instant,
    told: u64,
}

impl<R> Progress<R> {
    fn new(input: R) -> Self {
        Self { input, read: 0, start: Instant::now(), told: 0 }
    }
}

impl<R: BufRead> io::Read for Progress<R> {
    fn read(&mut self, to: &mut [u8]) -> io::Result<usize> {
        let read = self.input.read(to)?;
        self.read += read as u64;
        Ok(read)
    }
}

impl<R: BufRead> BufRead for Progress<R> {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        if self.read > self.told + (16 << 20)
            && self.start.elapsed().as_millis() > 500
            && io::stderr().is_terminal()
        {
            self.told = self.read;
            eprint!("\r{} MiB read", self.read >> 20);
        }
        self.input.fill_buf()
    }

    fn consume(&mut self, bytes: usize) {
        self.read += bytes as u64;
        self.input.consume(bytes);
    }
}

impl<R> Drop for Progress<R> {
    fn drop(&mut self) {
        if self.told > 0 {
            eprint!("\r\x1b[K");
        }
    }
}

pub(crate) fn read(path: &Path) -> Result<Recording, Failed> {
    let mut recording = Recording::read(open(path)?)
        .map_err(|error| format!("{}, {}", path.display(), chain(&error)))?;
    told(&recording, path);
    recording.resolve_stacks();
    Ok(recording)
}

/// What was alive at the end, in memory that does not grow with the file.
pub(crate) fn read_living(path: &Path) -> Result<(Recording, Vec<LiveObject>), Failed> {
    let read = Recording::read_live(open(path)?);
    let (recording, living) =
        read.map_err(|error| format!("{}, {}", path.display(), chain(&error)))?;
    told(&recording, path);
    Ok((recording, living))
}

fn told(recording: &Recording, path: &Path) {
    if recording.truncated() {
        eprintln!(
            "refscope: {}: the last line is cut off, as by a process that was killed; it is left out",
            path.display()
        );
    }
    for damage in recording.damage() {
        eprintln!("refscope: {}, {damage}", path.display());
    }
}
