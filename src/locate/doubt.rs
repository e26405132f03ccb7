//! Why something is not proven.

use std::fmt;

/// Why a search proves nothing, or not that nothing reaches a cycle. `Display` is a sentence.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[non_exhaustive]
pub enum Doubt {
    /// The search ran out of time or memory before it had read everything.
    Cut,
    /// Memory that could not be read.
    Unread {
        /// How many bytes.
        bytes: u64,
    },
    /// A thread's registers are not known: it could not be stopped, or not in time, as on a machine with much other work. Its
    /// stack may not be known either.
    Registers,
    /// Other threads ran while the memory was read.
    NotFrozen,
    /// The process could not be copied.
    NotCopied {
        /// What the system says.
        error: String,
    },
    /// The heap could not be walked to its end.
    HeapNotWalked,
    /// The blocks of the heap are not known: the program's allocator is not glibc's, and none of refscope's is in front of it.
    BlocksUnknown,
    /// [`Alloc`](crate::Alloc) had no room to note blocks.
    BlocksMissed {
        /// How many.
        blocks: u64,
    },
    /// A word leads there.
    Word {
        /// Where it stands.
        place: Place,
    },
    /// One of the cycle's handles was not found in memory.
    NotFound,
    /// One of the cycle's handles is a raw pointer now.
    Raw,
    /// std counts other owners than refscope does.
    Untraced,
    /// A pointer of std's in between may have an owner that was not found.
    StdPointer,
    /// One of the cycle's handles is in a block that nothing was found to point to.
    HiddenBlock,
}

/// Where a word stands that leads to a cycle.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[non_exhaustive]
pub enum Place {
    /// In the statics of a program or library, by its file.
    Statics(String),
    /// In a thread-local of a thread, by its name.
    ThreadLocal(String),
    /// On the stack of a thread, by its name.
    Stack(String),
    /// In memory that is not known to be the heap's or a thread's.
    Unknown,
    /// In freed memory.
    Freed,
}

impl fmt::Display for Doubt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Cut => f.write_str(
                "The search ran out of time or memory before it had read everything.",
            ),
            Self::Unread { bytes } => write!(f, "{bytes} B of memory could not be read."),
            Self::Registers => f.write_str("A thread's registers are not known."),
            Self::NotFrozen => f.write_str("Other threads ran while the memory was read."),
            Self::NotCopied { error } => write!(f, "The process could not be copied ({error})."),
            Self::HeapNotWalked => f.write_str("The heap could not be walked to its end."),
            Self::BlocksUnknown => f.write_str(
                "The blocks of the heap are not known here. This line would show them: `#[global_allocator] \
                 static ALLOC: refscope::Alloc = refscope::Alloc::new();`.",
            ),
            Self::BlocksMissed { blocks } => {
                write!(f, "refscope::Alloc had no room to note {blocks} blocks.")
            }
            Self::Word { place } => write!(f, "A word {place} leads there."),
            Self::NotFound => f.write_str("One of its handles was not found in memory."),
            Self::Raw => f.write_str("One of its handles is a raw pointer now."),
            Self::Untraced => f.write_str("std counts other owners than refscope does."),
            Self::StdPointer => f.write_str(
                "A pointer of std's in between may have an owner that was not found.",
            ),
            Self::HiddenBlock => f.write_str(
                "One of its handles is in a heap block that nothing was found to point to: that was leaked, or its address is encoded.",
            ),
        }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Statics(file) => write!(f, "in the statics of {file}"),
            Self::ThreadLocal(thread) => write!(f, "in a thread-local of {thread}"),
            Self::Stack(thread) => write!(f, "on the stack of {thread}"),
            Self::Unknown => f.write_str("in memory of unknown use"),
            Self::Freed => f.write_str("in freed memory"),
        }
    }
}

/// Several, in a line.
pub(crate) fn sentences(doubts: &[Doubt]) -> String {
    doubts.iter().map(Doubt::to_string).collect::<Vec<_>>().join(" ")
}
