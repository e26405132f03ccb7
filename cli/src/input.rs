//! Recordings as they are read: from files and folders, or from the standard input.

use crate::arguments::Filter;
use crate::output::WriteFailed;
use crate::{Failed, chain};
use refscope::__private::{escape, on_progress};
use refscope::analysis::Balance;
use refscope::model::{LiveObject, Moment, Peak, ReadError, RecordingFile, Survey};
use refscope::{ObjectId, Recording};
use std::collections::HashSet;
use std::fs::File;
use std::io::{self, BufRead, BufReader, IsTerminal as _, Read as _};
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{RecvTimeoutError, Sender};
use std::time::{Duration, Instant};

/// Opens a file, or the standard input, that is read to its end.
pub(crate) fn open(path: &Path) -> Result<Box<dyn BufRead>, Failed> {
    if path == Path::new("-") {
        return Ok(Box::new(BufReader::new(io::stdin())));
    }
    let file = File::open(path).map_err(|error| format!("{}: {error}", path.display()))?;
    Ok(Box::new(BufReader::new(file)))
}

/// The recordings that were meant: files, and those in folders, by name. One that is given twice is read once.
pub(crate) fn several(paths: &[PathBuf]) -> Result<Vec<Input>, Failed> {
    let mut inputs = Vec::new();
    let mut known = HashSet::new();
    let mut add = |path: &Path| -> Result<(), Failed> {
        let real = path.canonicalize().unwrap_or_else(|_| path.to_owned());
        if known.insert(real) {
            inputs.push(Input::open(path)?);
        } else {
            note(path, "it is given twice, and read once");
        }
        Ok(())
    };
    for path in paths {
        let is_folder = std::fs::metadata(path).is_ok_and(|metadata| metadata.is_dir());
        if !is_folder {
            add(path)?;
            continue;
        }
        let found = recordings_in(path)?;
        if found.is_empty() {
            let text =
                "there is no recording in this folder, whose names end with .refscope or .jsonl";
            return Err(format!("{}: {text}", path.display()).into());
        }
        found.iter().try_for_each(|file| add(file))?;
    }
    Ok(inputs)
}

/// Says something of a file that is no failure.
pub(crate) fn note(path: &Path, text: &str) {
    clear();
    eprintln!("refscope: {}: {text}", escape(&path.display().to_string()));
}

/// The files below a folder that are named as recordings are and begin as one does. What is packed beside the recording that it
/// was made of is not counted twice.
fn recordings_in(folder: &Path) -> Result<Vec<PathBuf>, Failed> {
    let with_path = |error: io::Error| format!("{}: {error}", folder.display());
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).map_err(with_path)? {
        let entry = entry.map_err(with_path)?;
        let (path, kind) = (entry.path(), entry.file_type().map_err(with_path)?);
        let ends_with = |end: &str| path.extension().is_some_and(|own| own == end);
        if kind.is_dir() {
            found.extend(recordings_in(&path)?);
        } else if kind.is_fifo_or_socket() {
            // Nobody may be there to write to it.
        } else if ends_with("refscope") || ends_with("jsonl") {
            let mut first = Vec::new();
            let read = File::open(&path).and_then(|file| file.take(12).read_to_end(&mut first));
            match read {
                Err(error) => note(&path, &format!("it is left out: {error}")),
                Ok(0) => note(&path, "it is left out, since it is empty"),
                Ok(_) if first.starts_with(b"\x89RFS") || first == *b"{\"refscope\":" => {
                    found.push(path);
                }
                Ok(_) if ends_with("refscope") => {
                    note(&path, "it is left out, since it does not begin as a recording does");
                }
                // Other programs write JSON Lines, too.
                Ok(_) => {}
            }
        }
    }
    found.sort();
    let all: HashSet<PathBuf> = found.iter().cloned().collect();
    found.retain(|path| {
        let unpacked =
            path.file_name().and_then(|name| name.to_str()?.strip_suffix(".packed.refscope"));
        let original = unpacked.and_then(|name| {
            let ends = ["refscope", "jsonl"].into_iter();
            ends.map(|end| path.with_file_name(format!("{name}.{end}")))
                .find(|path| all.contains(path))
        });
        if let Some(original) = &original {
            note(
                path,
                &format!(
                    "it is left out: {} is there, too",
                    escape(&original.display().to_string())
                ),
            );
        }
        original.is_none()
    });
    Ok(found)
}

/// What is no file to look into.
trait FileKind {
    fn is_fifo_or_socket(&self) -> bool;
}

impl FileKind for std::fs::FileType {
    #[cfg(unix)]
    fn is_fifo_or_socket(&self) -> bool {
        use std::os::unix::fs::FileTypeExt as _;

        self.is_fifo() || self.is_socket()
    }

    #[cfg(not(unix))]
    fn is_fifo_or_socket(&self) -> bool {
        false
    }
}

/// A recording.
pub(crate) struct Input {
    path: PathBuf,
    file: RecordingFile,
    /// It was said what is wrong with it.
    has_warned: AtomicBool,
}

impl Input {
    pub(crate) fn open(path: &Path) -> Result<Self, Failed> {
        let with_path = |error: io::Error| format!("{}: {error}", path.display());
        on_progress(progress);
        let file = if path == Path::new("-") {
            standard_input().map_err(with_path)?
        } else {
            // To open a pipe that nobody writes to waits for somebody who does.
            let waiting = Waiting::new(path);
            let file = File::open(path).map_err(with_path)?;
            drop(waiting);
            file
        };
        let metadata = file.metadata().map_err(with_path)?;
        if metadata.is_dir() {
            return Err(
                format!("{}: this is a directory; a recording is a file", path.display()).into()
            );
        }
        // What comes through a pipe can be read once, and it may be more than there is memory.
        let file = if metadata.is_file() { file } else { kept(file).map_err(with_path)? };
        let has_warned = AtomicBool::new(false);
        Ok(Self { path: path.to_owned(), file: RecordingFile::from_file(file), has_warned })
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    pub(crate) fn file(&self) -> &RecordingFile {
        &self.file
    }

    /// An error that says which recording it is of.
    pub(crate) fn failed(&self, error: &(dyn std::error::Error + 'static)) -> Failed {
        clear();
        format!("{}, {}", self.path.display(), chain(error)).into()
    }

    fn read<T>(&self, read: Result<T, ReadError>) -> Result<T, Failed> {
        clear();
        read.map_err(|error| self.failed(&error))
    }

    /// What a pass that writes has come to. An error of the output goes up as it is: it says its file, or a pipe's reader is
    /// gone, which is none.
    pub(crate) fn written<T>(&self, done: io::Result<T>) -> Result<T, Failed> {
        clear();
        done.map_err(|error| match error.get_ref() {
            Some(cause) if !cause.is::<WriteFailed>() => self.failed(&error),
            _ => error.into(),
        })
    }

    /// What was alive at the end.
    pub(crate) fn live(&self) -> Result<(Recording, Vec<LiveObject>), Failed> {
        let (recording, living) = self.read(self.file.live())?;
        self.warn_of_damage(&recording);
        Ok((recording, living))
    }

    /// The same, and of what most was dropped shortly before.
    pub(crate) fn live_and_peaks(&self) -> Result<(Recording, Vec<LiveObject>, Vec<Peak>), Failed> {
        let (recording, living, peaks) = self.read(self.file.live_and_peaks())?;
        self.warn_of_damage(&recording);
        Ok((recording, living, peaks))
    }

    /// What was alive at a moment.
    pub(crate) fn live_at(
        &self,
        moment: &Moment,
    ) -> Result<Option<(Recording, Vec<LiveObject>)>, Failed> {
        self.read(self.file.live_at(moment))
    }

    /// The objects that are asked for, summed up.
    pub(crate) fn survey(&self, most: usize, filter: &Filter) -> Result<Survey, Failed> {
        // Of those that are alive, one has to know first which they are.
        let alive: Option<HashSet<ObjectId>> = match filter.alive {
            true => {
                let living = self.live()?.1.into_iter().filter(|object| object.strong > 0);
                Some(living.map(|object| object.id).collect())
            }
            false => None,
        };
        let survey = self.file.survey(most, |allocation| {
            filter.accepts(allocation)
                && alive.as_ref().is_none_or(|alive| alive.contains(&allocation.object.id))
        });
        let survey = self.read(survey)?;
        self.warn_of_damage(&survey.recording);
        Ok(survey)
    }

    /// The histories of some objects, of each so many events at most.
    pub(crate) fn objects(
        &self,
        objects: &HashSet<ObjectId>,
        events: usize,
    ) -> Result<Recording, Failed> {
        let mut recording = self.read(self.file.objects_bounded(objects, events))?;
        self.warn_of_damage(&recording);
        recording.resolve_stacks();
        Ok(recording)
    }

    /// The history of one, which there is to be.
    pub(crate) fn object(&self, object: ObjectId, events: usize) -> Result<Recording, Failed> {
        let recording = self.objects(&[object].into(), events)?;
        if recording.objects().is_empty() && recording.events().is_empty() {
            return Err(format!("{}: there is no object {object}", self.path.display()).into());
        }
        Ok(recording)
    }

    /// Which lines made an object's handles, and which ended them; `None` where none of its events is known.
    pub(crate) fn balance(&self, object: ObjectId) -> Result<Option<Balance<String>>, Failed> {
        let (tables, balance) = self.file.balance(object).map_err(|error| self.failed(&error))?;
        self.warn_of_damage(&tables);
        self.warn_of_lost(&tables);
        Ok(balance)
    }

    /// Fails where nothing was read of a file that is cut off or damaged: then nothing can be said of what was alive.
    pub(crate) fn has_objects_or_is_whole(&self, recording: &Recording) -> Result<(), Failed> {
        let is_whole = !recording.truncated() && recording.damage().is_empty();
        if is_whole || self.read(self.file.survey(0, |_| true))?.objects > 0 {
            return Ok(());
        }
        let path = self.path.display();
        Err(format!("{path}: cut off or damaged, and there is no object in what is left").into())
    }

    /// Warns that events are lost, where what is printed does not.
    pub(crate) fn warn_of_lost(&self, recording: &Recording) {
        let lost = match recording.lost() {
            0 => return,
            1 => "1 event is".to_owned(),
            lost => format!("{lost} events are"),
        };
        note(
            &self.path,
            &format!("{lost} lost, so that what is said of objects may be incomplete"),
        );
    }

    /// Warns, once, of what could not be read.
    pub(crate) fn warn_of_damage(&self, recording: &Recording) {
        clear();
        if self.has_warned.swap(true, Ordering::Relaxed) {
            return;
        }
        let path = escape(&self.path.display().to_string()).to_string();
        if recording.truncated() {
            eprintln!(
                "refscope: {path}: the end is cut off, as by a process that was killed; what is not whole is left out"
            );
        }
        for damage in recording.damage() {
            eprintln!("refscope: {path}, {damage}");
        }
    }
}

#[cfg(unix)]
fn standard_input() -> io::Result<File> {
    use std::os::fd::AsFd as _;

    Ok(File::from(io::stdin().as_fd().try_clone_to_owned()?))
}

#[cfg(not(unix))]
fn standard_input() -> io::Result<File> {
    kept(io::stdin())
}

/// While it is there, it is said after a second what is waited for.
struct Waiting {
    _until: Option<Sender<()>>,
}

impl Waiting {
    fn new(path: &Path) -> Self {
        if std::fs::metadata(path).is_ok_and(|metadata| metadata.is_file()) {
            return Self { _until: None };
        }
        let (until, is_over) = std::sync::mpsc::channel();
        let path = path.to_owned();
        // Where no thread can be started, nothing is said.
        let _ = std::thread::Builder::new().name("waiting".to_owned()).spawn(move || {
            if is_over.recv_timeout(Duration::from_secs(1)) == Err(RecvTimeoutError::Timeout) {
                note(&path, "it is a pipe, and nobody writes to it yet: it is waited for (Ctrl-C ends that)");
            }
        });
        Self { _until: Some(until) }
    }
}

/// What is read, in a file that nobody else sees and that is gone with the process.
fn kept(mut from: impl io::Read) -> io::Result<File> {
    let name = format!("refscope-{}-{}", std::process::id(), KEPT.fetch_add(1, Ordering::Relaxed));
    let path = std::env::temp_dir().join(name);
    let mut options = File::options();
    options.read(true).write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let mut file = options.open(&path)?;
    // Where a file that is open cannot be removed, it stays.
    let _ = std::fs::remove_file(&path);
    io::copy(&mut from, &mut file)?;
    Ok(file)
}

static KEPT: AtomicU64 = AtomicU64::new(0);

/// When the pass began, and the tenths of a second in which the line on the terminal was written; 0: it was not.
static START: Mutex<Option<Instant>> = Mutex::new(None);
static TOLD: AtomicU64 = AtomicU64::new(0);

/// Tells on a terminal's stderr how far a long recording has been read.
fn progress(read: u64, total: u64) {
    let Ok(mut start) = START.lock() else { return };
    let elapsed = start.get_or_insert_with(Instant::now).elapsed();
    let tenths = elapsed.as_millis() as u64 / 100;
    if tenths < 5 || tenths <= TOLD.load(Ordering::Relaxed) || !io::stderr().is_terminal() {
        return;
    }
    TOLD.store(tenths, Ordering::Relaxed);
    eprint!("\r\x1b[K{}", progress_line(read, total, elapsed.as_secs_f64()));
}

fn progress_line(read: u64, total: u64, seconds: f64) -> String {
    let rate = read as f64 / seconds;
    let mib = |bytes: f64| bytes / f64::from(1 << 20);
    let mut line = format!("{:.0} MiB", mib(read as f64));
    if total > 0 && rate > 0.0 {
        let left = total.saturating_sub(read) as f64 / rate;
        line += &format!(" of {:.0}, {left:.0} s left", mib(total as f64));
    }
    format!("{line} ({:.0} MiB/s)", mib(rate))
}

/// Takes the line away again: the pass is over.
pub(crate) fn clear() {
    if let Ok(mut start) = START.lock() {
        *start = None;
    }
    if TOLD.swap(0, Ordering::Relaxed) > 0 {
        eprint!("\r\x1b[K");
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn progress_has_a_total_a_rate_and_the_time_left() {
        let line = super::progress_line(100 << 20, 400 << 20, 2.0);
        assert_eq!(line, "100 MiB of 400, 6 s left (50 MiB/s)");
        assert_eq!(super::progress_line(1 << 20, 0, 1.0), "1 MiB (1 MiB/s)");
    }
}
