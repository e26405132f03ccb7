//! The binary recording, as its writer and its reader know it. It is documented where it is written: see
//! [`FlightRecorder`](crate::sink::FlightRecorder).

/// What a file begins with. The first byte is no text's, and what changes line ends changes it.
pub(crate) const MAGIC: [u8; 8] = *b"\x89RFS\r\n\x1a\n";
pub(crate) const VERSION: u64 = 1;
/// The word by which a reader knows the byte order.
pub(crate) const BYTE_ORDER: u64 = 0x0102_0304_0506_0708;

/// Words of a slot: a record, or a part of an entry.
pub(crate) const WORDS: usize = 4;
pub(crate) const SLOT_BYTES: usize = WORDS * size_of::<u64>();
/// Slots of a block.
pub(crate) const SLOTS: usize = 512;
pub(crate) const BLOCK_BYTES: usize = SLOTS * SLOT_BYTES;
/// Slots of a block's head.
pub(crate) const HEAD: usize = 2;

/// Words of the file's head.
#[derive(Clone, Copy)]
pub(crate) enum FileWord {
    Magic,
    ByteOrder,
    Version,
    BlockBytes,
    /// Which recording it is: in each of its blocks, too.
    Recording,
    Pid,
    /// Milliseconds since 1970.
    Started,
    /// See [`clock`].
    Clock,
    /// How large the file may become; 0 for any size.
    Bound,
    /// The checksum of the words before, but for the magic, each in a slot of its own.
    Checksum,
    /// How the process ended: see [`RUNNING`] and [`EXITED`].
    Ended,
    /// The time until which the process is known to have run, in nanoseconds.
    End,
    /// Events that were lost.
    Lost,
}

/// Of [`FileWord::Ended`]: nothing is known.
pub(crate) const RUNNING: u64 = 0;
/// The process ended by itself, and was recorded until then.
pub(crate) const EXITED: u64 = 1;

/// Words of a block's head.
#[derive(Clone, Copy)]
pub(crate) enum BlockWord {
    /// [`BLOCK`], and the kind.
    Kind,
    /// The place in the order in which blocks were begun, from 1; 0 while there is nothing in the block.
    Sequence,
    /// How many slots are whole, the head included.
    Len,
    /// The checksum of a block that is complete; 0 for one that is not.
    Checksum,
    /// The file's.
    Recording,
    /// When the block was begun, in nanoseconds.
    Time,
}

/// In the upper half of a block's first word: `RFSB`.
pub(crate) const BLOCK: u64 = 0x5246_5342 << 32;
/// Kinds of blocks.
pub(crate) const EVENTS: u64 = 1;
pub(crate) const ENTRIES: u64 = 2;
/// Entries of what is known from blocks that were given up.
pub(crate) const SUMMARY: u64 = 3;

/// Kinds of entries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum EntryKind {
    Program = 1,
    Directory,
    Host,
    Build,
    Argument,
    Type,
    Site,
    Path,
    Thread,
    Span,
    Label,
    Module,
    ModuleBuild,
    Stack,
    Mark,
    Source,
    Object,
    Over,
    Evicted,
    Lines,
    /// An event of a block that was given up, which is kept.
    Kept,
    /// It is not kept any more.
    Gone,
}

impl EntryKind {
    const ALL: [Self; 22] = [
        Self::Program,
        Self::Directory,
        Self::Host,
        Self::Build,
        Self::Argument,
        Self::Type,
        Self::Site,
        Self::Path,
        Self::Thread,
        Self::Span,
        Self::Label,
        Self::Module,
        Self::ModuleBuild,
        Self::Stack,
        Self::Mark,
        Self::Source,
        Self::Object,
        Self::Over,
        Self::Evicted,
        Self::Lines,
        Self::Kept,
        Self::Gone,
    ];

    #[cfg_attr(not(feature = "json"), allow(dead_code))]
    pub(crate) fn from_number(number: u8) -> Option<Self> {
        Self::ALL.get(usize::from(number).checked_sub(1)?).copied()
    }
}

/// Words of the state of an object that entries of [`EntryKind::Object`] give, beside how many events it had and the highest
/// number among them.
#[derive(Clone, Copy)]
pub(crate) enum ObjectWord {
    /// Signed, as the next one.
    Strong,
    Weak,
    Label,
    /// The number of the event that gave the label.
    Labeled,
}

/// Bytes of an entry's text. A longer one goes on in further entries.
pub(crate) const LONGEST_TEXT: usize = 8 << 10;

/// The number of a text's part that is the last one which has a number of its own.
pub(crate) const LAST_PART: u64 = 0xff_ffff;

/// An entry's first word: `kind:8 | part:24 | bytes of text:32`.
pub(crate) fn entry_word(kind: EntryKind, part: u64, bytes: usize) -> u64 {
    (kind as u64) << 56 | part.min(LAST_PART) << 32 | bytes as u64
}

/// A checksum of slots, which are taken in pairs: four lanes of sums, and of sums of those, so that it costs little more than to
/// read them. Any word that differs is found, and any pairs that were exchanged.
#[derive(Clone, Copy, Default)]
pub(crate) struct Checksum {
    sums: [u64; WORDS],
    sums_of_sums: [u64; WORDS],
}

impl Checksum {
    /// Returns the checksum of slots, which is not 0.
    pub(crate) fn of(slots: &[[u64; WORDS]]) -> u64 {
        let mut sum = Self::default();
        // Some at once, so that the loop itself costs little.
        let mut rest = slots.chunks_exact(8);
        for some in &mut rest {
            (0..4).for_each(|pair| sum.add(&some[2 * pair], &some[2 * pair + 1]));
        }
        for pair in rest.remainder().chunks(2) {
            sum.add(&pair[0], pair.get(1).unwrap_or(&[0; WORDS]));
        }
        sum.finish()
    }

    #[inline(always)]
    fn add(&mut self, first: &[u64; WORDS], second: &[u64; WORDS]) {
        for lane in 0..WORDS {
            self.sums[lane] = self.sums[lane].wrapping_add(first[lane]).wrapping_add(second[lane]);
            self.sums_of_sums[lane] = self.sums_of_sums[lane].wrapping_add(self.sums[lane]);
        }
    }

    fn finish(&self) -> u64 {
        let words = self.sums.iter().chain(&self.sums_of_sums);
        let mixed = words.fold(0_u64, |mixed, &word| {
            (mixed.rotate_left(23) ^ word).wrapping_mul(0x9e37_79b9_7f4a_7c15)
        });
        mixed.max(1)
    }
}
