//! The file: its head, and its blocks, which are handed out, sealed and used again.

use super::mapped::{Mapped, reserve};
use crate::event::{Time, warn};
use crate::fork;
use crate::lock::{Mutex, MutexGuard, gate};
use crate::model::format::{
    BLOCK, BLOCK_BYTES, BYTE_ORDER, BlockWord, Checksum, EVENTS, EXITED, FileWord, HEAD, MAGIC,
    RUNNING, SLOTS, VERSION, WORDS,
};
use crate::runtime::log::{AtomicWords, Clock, Segment};
use std::collections::VecDeque;
use std::fs::File;
use std::io;
use std::path::PathBuf;
use std::ptr::NonNull;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

const _: () = assert!(SLOTS == crate::primitive::SEGMENT && WORDS == crate::runtime::log::WORDS);

/// Blocks by which a file grows first; each further step is twice as large, up to [`LARGEST_STEP`].
const FIRST_STEP: u64 = 16;
/// 2 MiB: to reserve and map so much takes well below a millisecond.
const LARGEST_STEP: u64 = 128;
/// Blocks whose pages are asked for at once.
const POPULATED: usize = 8;
/// How long is waited for a lock that this thread may have been interrupted with.
const PATIENCE: Duration = Duration::from_millis(500);

/// The file. See the [module](self).
pub(super) struct Space {
    pub(super) path: PathBuf,
    process: fork::Process,
    recording: u64,
    head: Mapped,
    /// How many blocks the file may have.
    bound: Option<u64>,
    /// The file cannot grow any more.
    full: AtomicBool,
    state: Mutex<State>,
}

struct State {
    file: File,
    /// The file's length in blocks.
    blocks: u64,
    step: u64,
    /// Of the next block.
    sequence: u64,
    extent: Option<Extent>,
    /// Segments with room that their threads have left.
    left: Vec<Arc<Segment>>,
    /// Complete ones, the oldest first. Of a file of any size none is needed.
    complete: VecDeque<Arc<Segment>>,
    /// No block can be given up until one is free: what is known from it finds no room.
    stuck: bool,
    /// Those that may be used again.
    free: Vec<Arc<Segment>>,
    /// Why the file cannot grow, until it is said.
    error: Option<io::Error>,
}

/// What is mapped and not handed out yet.
struct Extent {
    memory: Arc<Mapped>,
    blocks: usize,
    next: usize,
    populated: usize,
}

/// What a thread that asks for a block gets.
pub(super) enum Block {
    Ready(Arc<Segment>),
    /// The file is as large as it may be: the oldest block has to go first.
    Evict(Arc<Segment>),
    None,
}

/// What the head says of the process.
pub(super) struct Head {
    pub(super) pid: u32,
    pub(super) started: u64,
    pub(super) clock: Clock,
    pub(super) bytes: Option<u64>,
}

impl Space {
    /// Makes the head of an empty file, whose absolute path it is.
    pub(super) fn new(mut file: File, path: PathBuf, head: &Head) -> io::Result<Self> {
        reserve(&mut file, 0, BLOCK_BYTES)?;
        let memory = Mapped::new(&file, 0, BLOCK_BYTES)?;
        let recording = identity(head);
        let bound = head.bytes.map(|bytes| (bytes / BLOCK_BYTES as u64).max(SMALLEST_BOUND));
        let state = State {
            file,
            blocks: 1,
            step: FIRST_STEP,
            sequence: 1,
            extent: None,
            left: Vec::new(),
            complete: VecDeque::new(),
            stuck: false,
            free: Vec::new(),
            error: None,
        };
        let space = Self {
            path,
            process: fork::Process::current(),
            recording,
            head: memory,
            bound,
            full: AtomicBool::new(false),
            state: Mutex::new(state),
        };
        space.write_head(head);
        Ok(space)
    }

    fn write_head(&self, head: &Head) {
        let set = |word: FileWord, value| self.word(word).store(value, Ordering::Relaxed);
        let clock = match head.clock {
            Clock::Coarse => 0,
            Clock::Precise => 1,
            Clock::None => 2,
        };
        set(FileWord::ByteOrder, BYTE_ORDER);
        set(FileWord::Version, VERSION);
        set(FileWord::BlockBytes, BLOCK_BYTES as u64);
        set(FileWord::Recording, self.recording);
        set(FileWord::Pid, head.pid.into());
        set(FileWord::Started, head.started);
        set(FileWord::Clock, clock);
        set(FileWord::Bound, head.bytes.unwrap_or(0));
        set(FileWord::Ended, RUNNING);
        set(FileWord::Magic, u64::from_ne_bytes(MAGIC));
        let words = (FileWord::ByteOrder as usize..FileWord::Checksum as usize)
            .map(|index| [self.word_at(index).load(Ordering::Relaxed), 0, 0, 0]);
        let sum = Checksum::of(&words.collect::<Vec<_>>());
        self.word(FileWord::Checksum).store(sum, Ordering::Release);
    }

    fn word(&self, word: FileWord) -> &AtomicU64 {
        self.word_at(word as usize)
    }

    fn word_at(&self, index: usize) -> &AtomicU64 {
        assert!(index < BLOCK_BYTES / size_of::<u64>());
        // SAFETY: MAPPED: the head is a block, which has so many words.
        let word = unsafe { self.head.start().cast::<AtomicU64>().add(index) };
        // SAFETY: MAPPED: as above, and the mapping is there as long as the space.
        unsafe { word.as_ref() }
    }

    /// Whether this is the process that writes the file, and no child of it.
    pub(super) fn is_ours(&self) -> bool {
        self.process.is_current()
    }

    pub(super) fn is_bounded(&self) -> bool {
        self.bound.is_some()
    }

    pub(super) fn is_full(&self) -> bool {
        self.full.load(Ordering::Relaxed)
    }

    /// Counts events that are not kept.
    pub(super) fn lose(&self) {
        if self.is_ours() {
            // Relaxed: a counter.
            self.word(FileWord::Lost).fetch_add(1, Ordering::Relaxed);
        }
    }

    pub(super) fn lost(&self) -> u64 {
        self.word(FileWord::Lost).load(Ordering::Relaxed)
    }

    /// Whether the recording ended before the process does: events were lost since the file cannot grow. What else is
    /// lost, here and there, leaves it a recording of the whole run.
    fn has_stopped(&self) -> bool {
        self.is_full() && self.lost() > 0
    }

    /// Notes that the process is alive, as long as it is recorded.
    pub(super) fn set_end(&self) {
        if self.has_stopped() {
            return;
        }
        self.word(FileWord::End).store(Time::now().as_nanos(), Ordering::Relaxed);
    }

    /// Notes that the process ends by itself, unless the recording ended earlier, and gives back what of the file was
    /// reserved for more.
    pub(super) fn close(&self) {
        self.set_end();
        if !self.has_stopped() {
            self.word(FileWord::Ended).store(EXITED, Ordering::Release);
        }
        let Some(mut state) = self.lock() else { return };
        // Whoever needs a block after this has the file grow anew.
        let unused = state.extent.take().map_or(0, |extent| extent.blocks - extent.next) as u64;
        if unused > 0 && state.file.set_len((state.blocks - unused) * BLOCK_BYTES as u64).is_ok() {
            state.blocks -= unused;
        }
    }

    /// Whether the file was removed: what is written is gone then.
    pub(super) fn is_removed(&self) -> bool {
        let state = self.lock();
        state.is_some_and(|state| {
            crate::sink::file::open::is_removed(&state.file, &self.path).unwrap_or(false)
        })
    }

    /// `None` where this thread may have been interrupted with the lock, or the process is another one.
    fn lock(&self) -> Option<MutexGuard<'_, State>> {
        if !self.is_ours() {
            None
        } else if gate::is_passed() {
            self.state.try_lock_for(PATIENCE)
        } else {
            Some(self.state.lock())
        }
    }

    /// A segment with room for a thread's records.
    pub(super) fn for_events(&self) -> Block {
        let Some(mut state) = self.lock() else { return Block::None };
        if let Some(left) = state.left.pop() {
            return Block::Ready(left);
        }
        let at_bound =
            self.bound.is_some_and(|bound| state.used() >= bound.saturating_sub(RESERVE));
        if at_bound
            && !state.stuck
            && let Some(oldest) = state.complete.pop_front()
        {
            return Block::Evict(oldest);
        }
        let taken = self.take(&mut state, EVENTS);
        self.warn_of_error(state);
        taken.map_or(Block::None, Block::Ready)
    }

    /// A block for entries, also where the file is as large as it may be: some room is kept for that.
    pub(super) fn for_entries(&self, kind: u64) -> Option<Arc<Segment>> {
        let mut state = self.lock()?;
        let taken = self.take(&mut state, kind);
        self.warn_of_error(state);
        taken
    }

    /// Warns, without the lock, that the file cannot grow.
    fn warn_of_error(&self, mut state: MutexGuard<'_, State>) {
        let error = state.error.take();
        drop(state);
        if let Some(error) = error {
            let path = self.path.display();
            warn(format_args!(
                "{path}: {error}; the recording ends here, and events from here on are lost"
            ));
        }
    }

    fn take(&self, state: &mut State, kind: u64) -> Option<Arc<Segment>> {
        let segment = match state.free.pop() {
            Some(free) => free,
            None => {
                if state.extent.as_ref().is_none_or(|extent| extent.next == extent.blocks) {
                    self.grow(state)?;
                }
                state.fresh()?
            }
        };
        let sequence = state.sequence;
        state.sequence += 1;
        self.begin(&segment, kind, sequence);
        Some(segment)
    }

    /// Writes the head of a block. Its number in the order comes last: until then there is nothing in it.
    fn begin(&self, segment: &Segment, kind: u64, sequence: u64) {
        let set =
            |word: BlockWord, value| block_word(segment, word).store(value, Ordering::Relaxed);
        block_word(segment, BlockWord::Sequence).store(0, Ordering::Release);
        set(BlockWord::Checksum, 0);
        segment.publish(HEAD);
        set(BlockWord::Kind, BLOCK | kind);
        set(BlockWord::Recording, self.recording);
        set(BlockWord::Time, crate::runtime::clock::now());
        block_word(segment, BlockWord::Sequence).store(sequence, Ordering::Release);
    }

    #[cold]
    fn grow(&self, state: &mut State) -> Option<()> {
        if self.is_full() {
            return None;
        }
        // As far as the bound, and beyond it by as little as is needed: what is alive may be more.
        let to_bound =
            self.bound.map_or(u64::MAX, |bound| bound.saturating_sub(state.blocks).max(1));
        let (at, blocks) = (state.blocks, state.step.min(to_bound));
        let bytes = blocks as usize * BLOCK_BYTES;
        let offset = at * BLOCK_BYTES as u64;
        let mapped = reserve(&mut state.file, offset, bytes)
            .and_then(|()| Mapped::new(&state.file, offset, bytes));
        match mapped {
            Ok(memory) => {
                state.extent = Some(Extent {
                    memory: Arc::new(memory),
                    blocks: blocks as usize,
                    next: 0,
                    populated: 0,
                });
                state.blocks += blocks;
                state.step = (2 * state.step).min(LARGEST_STEP);
                Some(())
            }
            // Perhaps there is room for one more.
            Err(_) if blocks > 1 => {
                state.step = 1;
                self.grow(state)
            }
            Err(error) => {
                self.full.store(true, Ordering::Relaxed);
                state.error = Some(error);
                None
            }
        }
    }

    /// A thread goes on elsewhere and has this segment no more.
    pub(super) fn leave(&self, segment: &Arc<Segment>) {
        if !self.is_ours() {
            return;
        }
        if segment.has_room() {
            if let Some(mut state) = self.lock() {
                state.left.push(Arc::clone(segment));
            }
        } else {
            self.complete(segment);
        }
    }

    /// Seals a segment that is full.
    pub(super) fn complete(&self, segment: &Arc<Segment>) {
        if !self.is_ours() {
            return;
        }
        self.seal(segment);
        if self.is_bounded()
            && let Some(mut state) = self.lock()
        {
            state.complete.push_back(Arc::clone(segment));
        }
    }

    /// Writes a block's checksum: it is not changed any more.
    pub(super) fn seal(&self, segment: &Segment) {
        block_word(segment, BlockWord::Checksum).store(0, Ordering::Relaxed);
        let slots = &segment.words()[..segment.len().max(HEAD)];
        // SAFETY: TAIL: nobody writes the segment any more but the caller, who has it; atomics are as their numbers.
        let slots = unsafe { std::slice::from_raw_parts(slots.as_ptr().cast(), slots.len()) };
        block_word(segment, BlockWord::Checksum).store(Checksum::of(slots), Ordering::Release);
    }

    /// Gives back a block whose content is not needed any more.
    pub(super) fn free(&self, segment: Arc<Segment>) {
        block_word(&segment, BlockWord::Sequence).store(0, Ordering::Release);
        if let Some(mut state) = self.lock() {
            state.free.push(segment);
            state.stuck = false;
        }
    }

    /// Takes back a block that was to be given up and could not be.
    pub(super) fn put_back(&self, oldest: Arc<Segment>) {
        if let Some(mut state) = self.lock() {
            state.complete.push_front(oldest);
            state.stuck = self.is_full() && state.free.is_empty();
        }
    }

    /// As if the disk were full.
    #[cfg(all(test, feature = "json", not(miri)))]
    pub(super) fn fill(&self) {
        self.full.store(true, Ordering::Relaxed);
    }
}

/// The smallest bound is so many blocks, and so many are kept for entries.
pub(super) const SMALLEST_BOUND: u64 = 32;
const RESERVE: u64 = 6;

impl State {
    /// Blocks of the file that are in use, its head included.
    fn used(&self) -> u64 {
        let unused = self.extent.as_ref().map_or(0, |extent| extent.blocks - extent.next);
        self.blocks - unused as u64 - self.free.len() as u64
    }

    /// A block that nobody has used yet.
    fn fresh(&mut self) -> Option<Arc<Segment>> {
        let extent = self.extent.as_mut().filter(|extent| extent.next < extent.blocks)?;
        let index = extent.next;
        extent.next += 1;
        if index >= extent.populated {
            let blocks = POPULATED.min(extent.blocks - index);
            extent.memory.populate(index * BLOCK_BYTES, blocks * BLOCK_BYTES);
            extent.populated = index + blocks;
        }
        // SAFETY: MAPPED: the extent has more blocks than this one's index.
        let start = unsafe { extent.memory.start().add(index * BLOCK_BYTES) };
        let words: NonNull<AtomicWords> = start.cast();
        let memory = Arc::clone(&extent.memory);
        // SAFETY: MAPPED: a block of the mapping, which the segment keeps, and which is handed out once.
        Some(Arc::new(unsafe { Segment::backed(words, memory) }))
    }
}

pub(super) fn block_word(segment: &Segment, word: BlockWord) -> &AtomicU64 {
    let index = word as usize;
    &segment.words()[index / WORDS][index % WORDS]
}

/// A number that no other recording has, as far as can be had without randomness.
fn identity(head: &Head) -> u64 {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    let nanos = now.map_or(0, |now| now.as_nanos() as u64);
    let stack = std::ptr::from_ref(head).addr() as u64;
    Checksum::of(&[[nanos, head.pid.into(), stack, Time::now().as_nanos()]])
}
