//! The process's distinct stacks, each kept once.
//!
//! ```text
//!  index   open addressing          records   append only, in words
//!  ┌──────────┬──────┐              ┌────────────────┬───────────┬───────────┬──
//!  │ hash:32  │ id ──┼────────────► │ hash | len |   │ innermost │ its       │ …
//!  ├──────────┼──────┤              │ flags          │ address   │ caller's  │
//!  │ 0: free  │      │              └────────────────┴───────────┴───────────┴──
//!  └──────────┴──────┘               id: the index of this word
//! ```
//!
//! A record is written before its slot is, never moves and never changes (but for its flags), so a reader needs no lock.
//! Both parts are mapped once, at the first stack, and touched page by page as they fill: what isn't used costs address
//! space only. Past its limit the table refuses, and counts that.

use super::memory::Region;
use std::sync::atomic::{AtomicPtr, AtomicU64, AtomicUsize, Ordering};

/// What can be kept: 8 Mi words, 64 MiB, are some 490,000 stacks of 16 frames.
const WORDS: usize = 8 << 20;
const SLOTS: usize = 1 << 19;
/// How far from where its hash points a stack is looked for.
const PROBES: usize = 64;

/// The walk by frame pointers gives exactly this stack, as the unwinder has confirmed.
pub(super) const CONFIRMED: u64 = 1;
/// These addresses are what a walk by frame pointers gives where it is wrong: no stack.
pub(super) const MISLEADING: u64 = 2;
const FLAGS: u64 = 0xff;

/// A table of stacks. See the [module](self).
pub(super) struct Table {
    parts: AtomicPtr<Parts>,
    slots: usize,
    words: usize,
    /// The word that the next record begins at. Word 0 is none's, so that no stack has the id 0.
    next: AtomicUsize,
    stacks: AtomicUsize,
    refused: AtomicU64,
}

struct Parts {
    index: Region,
    records: Region,
}

/// How full the table is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct TableStats {
    /// Distinct stacks that are kept.
    pub stacks: usize,
    /// Bytes that they take, without the index (4 MiB at most).
    pub bytes: usize,
    /// Stacks that did not fit: how often one was asked for in vain.
    pub refused: u64,
}

impl Table {
    pub(super) const fn new() -> Self {
        Self::with_limits(SLOTS, WORDS)
    }

    /// `slots` is a power of two.
    const fn with_limits(slots: usize, words: usize) -> Self {
        Self {
            parts: AtomicPtr::new(std::ptr::null_mut()),
            slots,
            words,
            next: AtomicUsize::new(1),
            stacks: AtomicUsize::new(0),
            refused: AtomicU64::new(0),
        }
    }

    /// Returns the id and the flags of a stack that is kept.
    #[inline]
    pub(super) fn find(&self, hash: u64, frames: &[usize]) -> Option<(u32, u64)> {
        let parts = self.existing()?;
        for slot in self.probe(parts, hash) {
            // Acquire: the record was written before the slot.
            let word = slot.load(Ordering::Acquire);
            if word == 0 {
                return None;
            }
            if let Some(found) = self.matches(parts, word, hash, frames) {
                return Some(found);
            }
        }
        None
    }

    /// Returns the id of a stack, keeping it if it is new, after adding to its flags. `None` if it doesn't fit, which
    /// is counted.
    pub(super) fn intern(&self, hash: u64, frames: &[usize], flags: u64) -> Option<u32> {
        let found = self.existing().or_else(|| self.map()).and_then(|parts| {
            let mut record = None;
            for slot in self.probe(parts, hash) {
                let mut word = slot.load(Ordering::Acquire);
                if word == 0 {
                    let id = match record {
                        Some(id) => id,
                        None => self.write(parts, hash, frames, flags)?,
                    };
                    let new = tag(hash) | u64::from(id);
                    // Release: publishes the record. Acquire: that of another thread, which was first.
                    match slot.compare_exchange(0, new, Ordering::Release, Ordering::Acquire) {
                        Ok(_) => {
                            self.stacks.fetch_add(1, Ordering::Relaxed);
                            return Some(id);
                        }
                        Err(other) => (word, record) = (other, Some(id)),
                    }
                }
                // A record that lost the race is wasted: at most one a thread, for each stack that they race for.
                if let Some((id, had)) = self.matches(parts, word, hash, frames) {
                    if had & flags != flags {
                        // Relaxed: flags say something of the record, and nothing of other memory.
                        parts.records.word(id as usize).fetch_or(flags, Ordering::Relaxed);
                    }
                    return Some(id);
                }
            }
            None
        });
        if found.is_none() {
            self.refused.fetch_add(1, Ordering::Relaxed);
        }
        found
    }

    /// Returns the addresses of a stack that this table gave the id, the innermost first.
    pub(super) fn frames(&self, id: u32) -> &'static [usize] {
        let start = id as usize;
        let Some(parts) = self.existing().filter(|_| (1..self.words).contains(&start)) else {
            return &[];
        };
        // Acquire: whatever way the id came, a header that is seen comes after its record's words. One that isn't seen
        // yet reads as an empty stack.
        let len = len_of(parts.records.word(start).load(Ordering::Acquire));
        if start + len >= self.words {
            return &[];
        }
        // SAFETY: INTERNED: a header is written after its record's words, with Release, and neither changes again.
        unsafe { parts.records.words(start + 1, len) }
    }

    pub(super) fn stats(&self) -> TableStats {
        TableStats {
            stacks: self.stacks.load(Ordering::Relaxed),
            bytes: self.next.load(Ordering::Relaxed).min(self.words) * size_of::<u64>(),
            refused: self.refused.load(Ordering::Relaxed),
        }
    }

    #[inline]
    fn existing(&self) -> Option<&'static Parts> {
        // SAFETY: MAPPED: null, or what `map` has published with Release; it is never freed.
        unsafe { self.parts.load(Ordering::Acquire).as_ref() }
    }

    #[cold]
    fn map(&self) -> Option<&'static Parts> {
        let index = Region::new(self.slots)?;
        let records = Region::new(self.words)?;
        // In its own records, so that nothing is allocated: a stack can be asked for inside an allocator.
        let parts = records.header::<Parts>();
        // SAFETY: MAPPED: the region's head is large enough, aligned, and this thread's alone until it is published.
        unsafe { parts.write(Parts { index, records }) };
        // Release: publishes what was just written. Acquire: what another thread did, which was first.
        let first = std::ptr::null_mut();
        match self.parts.compare_exchange(first, parts, Ordering::Release, Ordering::Acquire) {
            // SAFETY: MAPPED: as above.
            Ok(_) => unsafe { parts.as_ref() },
            Err(other) => {
                // SAFETY: MAPPED: nobody else has seen it.
                let Parts { index, records } = unsafe { parts.read() };
                index.unmap();
                records.unmap();
                // SAFETY: MAPPED: published, hence whole, and never freed.
                unsafe { other.as_ref() }
            }
        }
    }

    /// The slots in which a stack with this hash can be.
    #[inline]
    fn probe(&self, parts: &'static Parts, hash: u64) -> impl Iterator<Item = &'static AtomicU64> {
        let (first, mask) = (hash as usize, self.slots - 1);
        (0..PROBES.min(self.slots)).map(move |step| parts.index.word((first + step) & mask))
    }

    #[inline]
    fn matches(
        &self,
        parts: &'static Parts,
        word: u64,
        hash: u64,
        frames: &[usize],
    ) -> Option<(u32, u64)> {
        if (word ^ hash) >> 32 != 0 {
            return None;
        }
        let id = word as u32;
        let header = parts.records.word(id as usize).load(Ordering::Relaxed);
        if len_of(header) != frames.len() {
            return None;
        }
        // SAFETY: INTERNED: the slot, read with Acquire, was written after the record.
        let kept = unsafe { parts.records.words(id as usize + 1, frames.len()) };
        (kept == frames).then_some((id, header & FLAGS))
    }

    fn write(&self, parts: &Parts, hash: u64, frames: &[usize], flags: u64) -> Option<u32> {
        let needed = frames.len() + 1;
        // Relaxed: the words between the old value and the new are this thread's, whatever the order of others is.
        let taken = self.next.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |next| {
            Some(next + needed).filter(|&end| end <= self.words)
        });
        let start = taken.ok()?;
        for (word, &address) in (start + 1..).zip(frames) {
            // Relaxed: published by the header, and by the slot.
            parts.records.word(word).store(address as u64, Ordering::Relaxed);
        }
        let header = tag(hash) | (frames.len() as u64) << 8 | flags;
        parts.records.word(start).store(header, Ordering::Release);
        u32::try_from(start).ok()
    }
}

#[inline]
fn tag(hash: u64) -> u64 {
    hash & !0xffff_ffff
}

#[inline]
fn len_of(header: u64) -> usize {
    (header >> 8) as usize & 0xffff
}

#[cfg(test)]
mod tests {
    use super::super::walk::Hash;
    use super::{CONFIRMED, MISLEADING, Table, TableStats};

    fn intern(table: &Table, frames: &[usize]) -> Option<u32> {
        table.intern(Hash::of(frames), frames, 0)
    }

    /// Distinct stacks that share what real ones share.
    fn stack(number: usize) -> [usize; 16] {
        let mut frames = [0x5555_5555_0000; 16];
        for (depth, frame) in frames.iter_mut().enumerate() {
            *frame += depth * 256;
        }
        frames[number % 7] += number / 7 * 16 + 8;
        frames[7] += number % 7;
        frames
    }

    #[test]
    fn a_stack_is_kept_once() {
        let table = Table::with_limits(1 << 10, 1 << 14);
        assert_eq!(table.find(Hash::of(&stack(1)), &stack(1)), None);
        let ids: Vec<_> =
            (0..500).map(|number| intern(&table, &stack(number)).expect("room")).collect();
        for (number, &id) in ids.iter().enumerate() {
            let frames = stack(number);
            assert_ne!(id, 0);
            assert_eq!(intern(&table, &frames), Some(id));
            assert_eq!(table.find(Hash::of(&frames), &frames), Some((id, 0)));
            assert_eq!(table.frames(id), frames);
        }
        let bytes = 8 * (1 + 500 * 17);
        assert_eq!(table.stats(), TableStats { stacks: 500, bytes, refused: 0 });
        assert!(table.frames(0).is_empty());
        assert!(table.frames(u32::MAX).is_empty());
    }

    #[test]
    fn equal_hashes_are_told_apart() {
        let table = Table::with_limits(1 << 4, 1 << 10);
        let ids: Vec<_> = (0..10).map(|number| table.intern(7, &stack(number), 0)).collect();
        for (number, id) in ids.into_iter().enumerate() {
            assert_eq!(table.find(7, &stack(number)).map(|(id, _)| id), id);
        }
        assert_eq!(table.find(7, &stack(11)), None);
        assert_eq!(table.find(7, &stack(3)[..15]), None, "a prefix is another stack");
    }

    #[test]
    fn flags_are_added() {
        let table = Table::with_limits(1 << 4, 1 << 10);
        let (hash, frames) = (Hash::of(&stack(1)), stack(1));
        let id = table.intern(hash, &frames, 0).expect("room");
        assert_eq!(table.intern(hash, &frames, CONFIRMED), Some(id));
        assert_eq!(table.find(hash, &frames), Some((id, CONFIRMED)));
        assert_eq!(table.intern(hash, &frames, MISLEADING), Some(id));
        assert_eq!(table.find(hash, &frames), Some((id, CONFIRMED | MISLEADING)));
        assert_eq!(table.frames(id), frames);
    }

    #[test]
    fn a_million_stacks_stay_within_the_limit() {
        static TABLE: Table = Table::new();
        let (mut kept, mut refused) = (0, 0);
        for number in 0..1_000_000 {
            match intern(&TABLE, &stack(number)) {
                Some(_) => kept += 1,
                None => refused += 1,
            }
        }
        let stats = TABLE.stats();
        assert!(stats.bytes <= 64 << 20 && kept > 400_000, "{stats:?}");
        assert_eq!((stats.stacks, stats.refused), (kept, refused));
        assert_eq!(kept as u64 + refused, 1_000_000);
        // What was kept is found, also now.
        assert!(intern(&TABLE, &stack(0)).is_some());
    }

    #[test]
    fn threads_agree_on_ids() {
        let table: &'static Table = Box::leak(Box::new(Table::with_limits(1 << 10, 1 << 14)));
        let threads: Vec<_> = (0..4)
            .map(|_| {
                std::thread::spawn(|| -> Vec<_> {
                    (0..200).map(|number| intern(table, &stack(number)).expect("room")).collect()
                })
            })
            .collect();
        let ids: Vec<_> =
            threads.into_iter().map(|thread| thread.join().expect("no panic")).collect();
        assert!(ids.iter().all(|other| *other == ids[0]));
        assert_eq!(table.stats().stacks, 200);
        for (number, &id) in ids[0].iter().enumerate() {
            assert_eq!(table.frames(id), stack(number));
        }
    }
}
