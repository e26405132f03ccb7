//! What a record holds, packed and unpacked.
//!
//! ```text
//!  record   seq:40|strong:24   op:8|·:16|handle:40   object:40|site:24   time:64
//!  birth    a record, and one more: type   size   site   from object
//! ```
//!
//! A handle that an event makes has the event's own number, so there the place of the handle is its
//! origin's. A label's record has the label in place of the time.

use crate::event::{Event, Op, Time};

/// 64-bit words of a record.
pub(super) const WORDS: usize = 4;

/// One record.
pub(super) type Words = [u64; WORDS];

const M40: u64 = (1 << 40) - 1;
const M24: u64 = (1 << 24) - 1;

/// Packs an event.
#[inline]
pub(super) fn pack(event: &Event, site: u32, time: Time) -> Words {
    let made = event.handle == event.seq;
    let handle = if made { event.from } else { event.handle };
    let label = event.op == Op::Label;
    let time = if label { u64::from(event.object.label.0) } else { time.as_nanos() };
    [
        event.seq << 24 | u64::from(event.strong),
        (event.op as u64) << 56 | handle & M40,
        event.object.id.number() << 24 | u64::from(site) & M24,
        time,
    ]
}

/// Packs what only a birth has.
pub(super) fn pack_birth(event: &Event, ty: u32, born: u32) -> Words {
    let from = if event.from == 0 { 0 } else { event.from_object.number() };
    [u64::from(ty), event.object.size(), u64::from(born), from]
}

/// What a record does to its object's counts: all that is asked of one that is given up.
pub(super) struct Brief {
    pub(super) object: u64,
    pub(super) seq: u64,
    pub(super) strong: i64,
    pub(super) weak: i64,
    /// A birth is followed by a second record.
    pub(super) birth: Option<Birth>,
    /// 0: it is no label.
    pub(super) label: u32,
}

impl Brief {
    /// By how much each operation changes the counts.
    const DELTAS: [(i8, i8); Op::ALL.len() + 1] = {
        let mut deltas = [(0, 0); Op::ALL.len() + 1];
        let mut i = 0;
        while i < Op::ALL.len() {
            let op = Op::ALL[i];
            deltas[op as usize] = (op.strong_delta(), op.weak_delta());
            i += 1;
        }
        deltas
    };

    #[inline]
    pub(super) fn next(records: &mut impl Iterator<Item = Words>) -> Option<Self> {
        let words = records.next()?;
        let op = (words[1] >> 56) as u8;
        let (strong, weak) = Self::DELTAS[usize::from(op)];
        let seq = words[0] >> 24;
        Some(Self {
            object: words[2] >> 24,
            seq,
            strong: strong.into(),
            weak: weak.into(),
            birth: if seq == 1 { Some(Birth::unpack(records.next()?)) } else { None },
            label: if op == Op::Label as u8 { words[3] as u32 } else { 0 },
        })
    }
}

/// A record, unpacked. Sites and types are numbers of the recorder's tables.
pub(super) struct Entry {
    pub(super) op: Op,
    pub(super) object: u64,
    pub(super) handle: u64,
    pub(super) from: Option<(u64, u64)>,
    pub(super) seq: u64,
    pub(super) strong: u32,
    pub(super) site: u32,
    pub(super) time: Time,
    pub(super) birth: Option<Birth>,
    /// For [`Op::Label`].
    pub(super) label: u32,
}

/// What an object's first record says of it.
#[derive(Clone, Copy)]
pub(super) struct Birth {
    pub(super) ty: u32,
    pub(super) size: u64,
    pub(super) born: u32,
}

impl Birth {
    fn unpack(more: Words) -> Self {
        Self { ty: more[0] as u32, size: more[1], born: more[2] as u32 }
    }
}

impl Entry {
    /// Unpacks the next record.
    pub(super) fn next(records: &mut impl Iterator<Item = Words>) -> Option<Self> {
        let words = records.next()?;
        let op = Op::from_number((words[1] >> 56) as u8)?;
        let (seq, strong) = (words[0] >> 24, (words[0] & M24) as u32);
        let (number, object) = (words[1] & M40, words[2] >> 24);
        let more = if seq == 1 { Some(records.next()?) } else { None };
        let (handle, from) = match op.makes() {
            None => (number, None),
            Some(_) => {
                let object = more.map_or(object, |more| more[3]);
                (seq, (number != 0).then_some((object, number)))
            }
        };
        let birth = more.map(Birth::unpack);
        let label = op == Op::Label;
        Some(Self {
            op,
            object,
            handle,
            from,
            seq,
            strong,
            site: (words[2] & M24) as u32,
            time: if label { Time::START } else { Time::from_nanos(words[3]) },
            birth,
            label: if label { words[3] as u32 } else { 0 },
        })
    }
}
