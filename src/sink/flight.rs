mod dictionary;
mod entries;
mod mapped;
mod space;
mod summary;

use self::dictionary::Dictionary;
use self::space::{Block, Head, Space};
use self::summary::Summary;
use super::file::open::{Access, open};
use super::file::origin::this_process;
use super::sources::Sources;
use super::writers::{self, Writers};
use super::{Clock, Route, Sink};
use crate::event::{Event, Time};
use crate::exit::{at_exit_of, is_interrupted};
use crate::fork;
use crate::lock::{LongMutex, Mutex, MutexGuard, gate};
use crate::runtime::clock;
use crate::runtime::log::{Backing, Log, Segment, Subject};
use std::fmt;
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

#[doc = include_str!("flight/format.md")]
#[derive(Clone)]
pub struct FlightRecorder {
    inner: Arc<Inner>,
    log: Log,
}

struct Inner {
    space: Space,
    dictionary: Mutex<Dictionary>,
    summary: Mutex<Summary>,
    /// Held while files are read: a fork does not wait for that, and a child writes no sources.
    sources: LongMutex<Sources>,
}

/// How long is waited for a lock that this thread may have been interrupted with.
const PATIENCE: Duration = Duration::from_millis(500);
/// How often the file is marked as that of a living process.
const INTERVAL: Duration = Duration::from_millis(250);

/// All files that are being written, for what concerns the process.
static FILES: Writers<Inner> = Writers::new();

impl FlightRecorder {
    /// The least that a file can be bounded to, in bytes.
    pub(crate) const LEAST: u64 = space::SMALLEST_BOUND * crate::model::format::BLOCK_BYTES as u64;

    /// Creates the file, or empties it.
    ///
    /// # Errors
    ///
    /// When the file cannot be created or mapped, or is a pipe or a device.
    pub fn create(path: impl AsRef<Path>) -> io::Result<Self> {
        Self::open(path.as_ref(), None)
    }

    /// Creates the same, bounded: when the file has so many bytes (512 KiB at least), its oldest events make room for new ones.
    ///
    /// Of what is alive then, the events stay that made it: of each object its birth, of each living handle the line, the thread and
    /// the time; and the counts. That takes 160 bytes for an object with one handle, and 64 for each other handle, and as much again
    /// while others end: a file grows beyond its bound where more is alive than that has room for. (The path of a handle that was made
    /// from one which has ended begins with its own line.)
    ///
    /// What events refer to by number is never given up: 32 to 64 bytes and a text for each type, line, path, stack, span, label, mark,
    /// and for each thread that recorded anything. A program that starts new threads forever has a file that grows by 64 bytes for
    /// each.
    ///
    /// # Errors
    ///
    /// As [`create`](Self::create).
    pub fn bounded(path: impl AsRef<Path>, bytes: u64) -> io::Result<Self> {
        Self::open(path.as_ref(), Some(bytes))
    }

    fn open(path: &Path, bytes: Option<u64>) -> io::Result<Self> {
        let (file, path) = open(path, Access::ReadAndWrite)?;
        if !file.metadata()?.is_file() {
            let text = "a pipe or a device cannot be mapped; FileSink writes to it";
            return Err(io::Error::new(io::ErrorKind::InvalidInput, text));
        }
        let (origin, clock) = (this_process(), Clock::Coarse);
        let head = Head { pid: origin.pid, started: origin.started, clock, bytes };
        let space = Space::new(file, path, &head)?;
        let mut dictionary = Dictionary::new();
        if !dictionary.origin(&space, &origin) {
            return Err(io::ErrorKind::StorageFull.into());
        }
        let inner = Arc::new(Inner {
            space,
            dictionary: Mutex::new(dictionary),
            summary: Mutex::new(Summary::new()),
            sources: LongMutex::new(Sources::new(bytes)),
        });
        let log = Log::backed(Box::new(Arc::clone(&inner)), clock);
        at_exit_of(&inner, |inner: &Inner| {
            if inner.space.is_ours() {
                inner.write_sources();
                inner.space.close();
            }
        });
        // Where no thread can be started, a killed process leaves a recording without its sources.
        let _ = writers::spawn(&inner, INTERVAL, |inner| {
            let is_ours = inner.space.is_ours();
            if is_ours {
                inner.space.set_end();
                inner.write_sources();
            }
            is_ours
        });
        FILES.add(&inner);
        Ok(Self { inner, log })
    }

    /// Returns the file's absolute path: another one than was asked for, where that was in use.
    pub fn path(&self) -> &Path {
        &self.inner.space.path
    }

    /// Returns how many events are not kept, because the file could not grow.
    pub fn lost(&self) -> u64 {
        self.log.lost()
    }

    /// Writes a mark to this file alone.
    pub(crate) fn mark(&self, name: &str, time: Time) {
        if let Some(mut dictionary) = self.inner.dictionary() {
            dictionary.mark(&self.inner.space, name, time);
        }
    }

    /// Writes what is not written at once: which source files the recording refers to, and lines of them.
    ///
    /// # Errors
    ///
    /// When events were lost, now or earlier; in a forked child, whose parent's file it is.
    pub fn flush(&self) -> io::Result<()> {
        let path = self.path().display();
        if !self.inner.space.is_ours() {
            return Err(io::Error::other(format!("{path} is recorded to by the parent process")));
        }
        self.inner.write_sources();
        if self.inner.space.is_removed() {
            return Err(io::Error::new(
                io::ErrorKind::NotFound,
                format!("{path} has been removed; what is recorded is lost"),
            ));
        }
        match self.lost() {
            0 => Ok(()),
            lost => Err(io::Error::other(format!(
                "{path} could not grow; {} lost",
                crate::text::plural(lost, "event")
            ))),
        }
    }
}

/// Writes a mark to all files.
pub(crate) fn mark(name: &str, time: Time) {
    let files = FILES.all();
    if files.is_empty() {
        return;
    }
    for file in files {
        if let Some(mut dictionary) = file.dictionary() {
            dictionary.mark(&file.space, name, time);
        }
    }
    // The events' clock is behind this one by a step at the most: what comes after the mark is to have a later time.
    let start = Instant::now();
    while clock::now() <= time.as_nanos() && start.elapsed() < LONGEST_STEP {
        std::thread::sleep(Duration::from_micros(200));
    }
}

/// How long a step of the clock is waited for.
const LONGEST_STEP: Duration = Duration::from_millis(20);

impl Inner {
    /// `None` in another process, and where this thread may have been interrupted with the lock.
    fn dictionary(&self) -> Option<MutexGuard<'_, Dictionary>> {
        self.space.is_ours().then(|| self.lock(&self.dictionary)).flatten()
    }

    /// `None` where this thread may have been interrupted with the lock.
    fn lock<'a, T>(&self, mutex: &'a Mutex<T>) -> Option<MutexGuard<'a, T>> {
        if gate::is_passed() { mutex.try_lock_for(PATIENCE) } else { Some(mutex.lock()) }
    }

    /// Files are read where no event waits.
    fn write_sources(&self) {
        let new = self.dictionary().map(|mut dictionary| dictionary.take_sources());
        let Some(new) = new.filter(|new| !new.is_empty()) else { return };
        let is_interrupted = gate::is_passed() || is_interrupted();
        let sources = match is_interrupted {
            true => self.sources.try_lock_for(PATIENCE),
            false => Some(self.sources.lock()),
        };
        let Some(mut sources) = sources else { return };
        sources.read_new(new, |entry| {
            if let Some(mut dictionary) = self.dictionary() {
                dictionary.source(&self.space, &entry);
            }
        });
    }

    /// Gives up the oldest block. False where what is known from it could not be kept.
    fn evict(&self, oldest: Arc<Segment>) -> bool {
        // The lock is kept to the end: whether there is room is of one moment.
        let mut summary = self.lock(&self.summary);
        let taken = summary.as_mut().is_some_and(|summary| summary.take_in(&self.space, &oldest));
        if taken {
            self.space.free(oldest);
        } else {
            self.space.put_back(oldest);
        }
        taken
    }
}

impl Backing for Arc<Inner> {
    fn extend(&self, before: Option<&Arc<Segment>>) -> Option<Arc<Segment>> {
        if !self.space.is_ours() {
            fork::warn_unrecorded();
            return None;
        }
        if let Some(before) = before {
            self.space.complete(before);
        }
        loop {
            match self.space.for_events() {
                Block::Ready(segment) => return Some(segment),
                Block::Evict(oldest) => {
                    if !self.evict(oldest) {
                        return None;
                    }
                }
                Block::None => return None,
            }
        }
    }

    fn leave(&self, segment: &Arc<Segment>) {
        self.space.leave(segment);
    }

    fn lose(&self) {
        self.space.lose();
    }

    fn lost(&self) -> u64 {
        self.space.lost()
    }

    fn define(&self, subject: Subject) -> bool {
        self.dictionary().is_some_and(|mut dictionary| dictionary.define(&self.space, subject))
    }

    fn define_paths(&self) -> Option<u32> {
        self.dictionary()?.define_paths(&self.space)
    }
}

impl Sink for FlightRecorder {
    /// Writes an event that the log does not have yet: one that came through a sink of the program's own, or to a second
    /// recorder.
    fn event(&self, event: &Event) {
        if event.logged != self.log.id() {
            self.log.write(event);
        }
    }

    fn flush(&self) {
        self.inner.write_sources();
    }

    fn route(&self) -> Route {
        Route { log: Some(self.log.clone()), events: false, filters: false }
    }
}

impl fmt::Debug for FlightRecorder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FlightRecorder")
            .field("path", &self.inner.space.path)
            .field("lost", &self.lost())
            .finish_non_exhaustive()
    }
}

#[cfg(all(test, feature = "json", not(miri)))]
mod tests {
    use super::*;
    use crate::model::Earlier;
    use crate::model::format::ENTRIES;
    use crate::rc::Rc;
    use crate::{Recording, Scope};

    /// A block that cannot be given up, since what is known from it finds no room, is given up when there is some; and its events
    /// count once.
    #[test]
    fn a_block_stays_until_what_is_known_from_it_has_room() {
        const OBJECTS: u32 = 400;
        let name = format!("refscope-stuck-{}.refscope", std::process::id());
        let path = std::env::temp_dir().join(name);
        let flight = FlightRecorder::bounded(&path, 1).unwrap();
        let scope = Scope::new(flight.clone());
        // Some blocks of events, and their entries take some, too.
        let new = |number: u32| {
            let one = Rc::new(number);
            (Rc::downgrade(&one), one)
        };
        let kept: Vec<_> = scope.run(|| (0..OBJECTS).map(new).collect());
        let other = scope.run(|| Rc::new("other"));
        let events = |count: u32| (0..count).for_each(|_| drop(other.clone()));
        // Each block of the file is in use, and it cannot grow.
        let space = &flight.inner.space;
        let mut used: Vec<_> = (0..40).map_while(|_| space.for_entries(ENTRIES)).collect();
        space.fill();
        used.extend(std::iter::from_fn(|| space.for_entries(ENTRIES)));
        events(1_000);
        let lost = flight.lost();
        assert!(lost > 500, "{lost}");
        // Now there is room for what is known, and each block that is given up is room for more events.
        used.drain(..5).for_each(|block| space.free(block));
        events(5_000);
        assert_eq!(flight.lost(), lost);
        let read = Recording::open(&path).unwrap();
        assert_eq!(read.damage(), []);
        let live = read.live_objects();
        let live: Vec<_> = live.iter().filter(|object| object.type_name == "u32").collect();
        assert_eq!(live.len(), OBJECTS as usize);
        for object in live {
            let events = read.events().iter().filter(|event| event.object() == object.id);
            let earlier = read.earlier.get(&object.id).copied().unwrap_or_default();
            assert_eq!((events.count(), earlier), (2, Earlier::default()));
            assert_eq!((object.strong, object.handles.len()), (1, 2));
        }
        drop((kept, used));
        std::fs::remove_file(path).unwrap();
    }
}
