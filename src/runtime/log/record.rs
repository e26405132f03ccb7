//! What a record holds, packed and unpacked.
//!
//! ```text
//!  record   seq:40|strong:24   op:8|span:16|handle:40   object:40|path:24   time:64
//!  birth    a record, and one more: type   size   from object   stack:32
//!  thread   number:32          255:8                     0                   0
//!  stack    stack:32           254:8                     0                   0
//! ```
//!
//! A handle that an event makes has the event's own number, so there the place of the handle is its
//! origin's. A label's record has the label in place of the time. The line of an event is the last step of its path. A
//! record of a thread says that those behind it are of that thread; one of a stack, that the next event was on it.

use crate::event::{Op, Type};

/// 64-bit words of a record.
pub(crate) const WORDS: usize = 4;

/// One record.
pub(crate) type Words = [u64; WORDS];

const M40: u64 = (1 << 40) - 1;
const M24: u64 = (1 << 24) - 1;

/// In place of the operation: a record of a thread.
pub(crate) const THREAD: u8 = u8::MAX;

/// In place of the operation: a record of a stack. No operation is as high.
pub(crate) const STACK: u8 = THREAD - 1;

const _: () = assert!(Op::ALL.len() < STACK as usize);

/// An event, to be packed.
pub(crate) struct NewRecord {
    pub(crate) op: Op,
    /// Sequence number and count as the ledger has them.
    pub(crate) state: u64,
    /// The handle that the event's was made from, if it made one; else the event's.
    pub(crate) handle: u64,
    pub(crate) object: u64,
    pub(crate) path: u32,
    pub(crate) span: u32,
    /// Nanoseconds; the label, for a label.
    pub(crate) time: u64,
}

impl NewRecord {
    #[inline(always)]
    pub(super) fn pack(&self) -> Words {
        debug_assert!(self.handle <= M40 && u64::from(self.path) <= M24, "the limits are lower");
        [
            self.state,
            (self.op as u64) << 56 | u64::from(self.span as u16) << 40 | self.handle,
            self.object << 24 | u64::from(self.path),
            self.time,
        ]
    }
}

/// What an event's record refers to by number; 0 for nothing.
pub(super) struct Names {
    pub(super) path: u32,
    pub(super) span: u32,
    pub(super) label: u32,
}

pub(super) fn names(record: &Words) -> Names {
    Names {
        path: (record[2] & M24) as u32,
        span: (record[1] >> 40 & 0xffff) as u32,
        label: if record[1] >> 56 == Op::Label as u64 { record[3] as u32 } else { 0 },
    }
}

/// What only a birth has.
#[derive(Clone, Copy)]
pub(crate) struct Birth {
    pub(crate) ty: &'static Type,
    pub(crate) size: u64,
    /// The object of the handle that the first one was made from; 0 for none.
    pub(crate) from_object: u64,
    pub(crate) stack: u32,
}

impl Birth {
    #[inline(always)]
    pub(super) fn pack(&self) -> Words {
        let ty = std::ptr::from_ref(self.ty).expose_provenance() as u64;
        [ty, self.size, self.from_object, self.stack.into()]
    }

    fn unpack(more: Words) -> Self {
        let ty = std::ptr::with_exposed_provenance::<Type>(more[0] as usize);
        // SAFETY: STATIC: the word was packed from a `&'static Type` in this process, and records are read whole.
        let ty = unsafe { &*ty };
        Self { ty, size: more[1], from_object: more[2], stack: more[3] as u32 }
    }
}

/// A record of the thread that writes what follows.
pub(super) fn thread(number: u32) -> Words {
    [number.into(), u64::from(THREAD) << 56, 0, 0]
}

/// A record of the stack that the next event was on.
pub(super) fn stack(number: u32) -> Words {
    [number.into(), u64::from(STACK) << 56, 0, 0]
}

/// What a record says of its object's counts: all that is asked of one that is given up.
pub(super) struct RecordHeader {
    pub(super) object: u64,
    pub(super) seq: u64,
    /// The strong count after it.
    pub(super) strong: u32,
    /// By how much it changes the weak count.
    pub(super) weak: i64,
    /// A birth is followed by a second record, and has a path and a time.
    pub(super) birth: Option<(Birth, u32)>,
    /// 0: it is no label.
    pub(super) label: u32,
}

impl RecordHeader {
    /// By how much each operation changes the weak count.
    const WEAK_DELTAS: [i8; Op::ALL.len() + 1] = {
        let mut deltas = [0; Op::ALL.len() + 1];
        let mut i = 0;
        while i < Op::ALL.len() {
            let op = Op::ALL[i];
            deltas[op as usize] = op.weak_delta();
            i += 1;
        }
        deltas
    };

    #[inline]
    pub(super) fn next(records: &mut impl Iterator<Item = Words>) -> Option<Self> {
        let words = records.find(|words| ((words[1] >> 56) as u8) < STACK)?;
        let op = (words[1] >> 56) as u8;
        let (seq, strong) = (words[0] >> 24, (words[0] & M24) as u32);
        let path = (words[2] & M24) as u32;
        Some(Self {
            object: words[2] >> 24,
            seq,
            strong,
            weak: Self::WEAK_DELTAS[usize::from(op)].into(),
            birth: if seq == 1 { Some((Birth::unpack(records.next()?), path)) } else { None },
            label: if op == Op::Label as u8 { words[3] as u32 } else { 0 },
        })
    }
}

/// A record, unpacked.
pub(crate) struct Record {
    pub(crate) op: Op,
    pub(crate) object: u64,
    pub(crate) handle: u64,
    pub(crate) from: Option<(u64, u64)>,
    pub(crate) seq: u64,
    pub(crate) strong: u32,
    pub(crate) path: u32,
    pub(crate) span: u32,
    pub(crate) thread: u32,
    pub(crate) time: u64,
    pub(crate) birth: Option<Birth>,
    /// For [`Op::Label`].
    pub(crate) label: u32,
    pub(crate) stack: u32,
}

impl Record {
    /// Unpacks the next record; `thread` is the one that the records before it are of.
    pub(crate) fn next(
        records: &mut impl Iterator<Item = Words>,
        thread: &mut u32,
    ) -> Option<Self> {
        let mut stack = 0;
        let words = loop {
            let words = records.next()?;
            match (words[1] >> 56) as u8 {
                THREAD => *thread = words[0] as u32,
                STACK => stack = words[0] as u32,
                _ => break words,
            }
        };
        let op = Op::from_number((words[1] >> 56) as u8)?;
        let (seq, strong) = (words[0] >> 24, (words[0] & M24) as u32);
        let (number, object) = (words[1] & M40, words[2] >> 24);
        let birth = if seq == 1 { Some(Birth::unpack(records.next()?)) } else { None };
        let (handle, from) = match op.makes() {
            None => (number, None),
            Some(_) => {
                let object = birth.map_or(object, |birth| birth.from_object);
                (seq, (number != 0).then_some((object, number)))
            }
        };
        let label = op == Op::Label;
        Some(Self {
            op,
            object,
            handle,
            from,
            seq,
            strong,
            path: (words[2] & M24) as u32,
            span: (words[1] >> 40 & 0xffff) as u32,
            thread: *thread,
            time: if label { 0 } else { words[3] },
            birth,
            label: if label { words[3] as u32 } else { 0 },
            stack: birth.map_or(stack, |birth| birth.stack),
        })
    }
}
