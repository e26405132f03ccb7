//! Recordings that consist of parts which can be read independently of each other: several threads do, and what takes them in
//! gets them in their order.

use super::{Damage, ReadError, What, add_damage, damaged};
use crate::event::{ObjectId, Time};
use crate::model::stretch::{Condenser, Stretches, share_of};
use crate::model::{Earlier, EventRecord, ObjectRecord, Recording};
use std::collections::HashSet;
use std::io;
use std::num::NonZero;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, sync_channel};
use std::thread;

/// A recording's parts, whose tables are known.
pub(super) trait Parts: Send + Sync {
    fn count(&self) -> usize;

    /// How far the file has been read before a part, and how long it is, in bytes.
    fn progress(&self, part: usize) -> (u64, u64);

    /// Reads a part. What cannot be read is noted.
    fn read(&self, part: usize, to: &mut Batches<'_>);
}

/// What a part of a recording has of some objects. Objects come first, then labels.
#[derive(Default)]
pub(super) struct Batch {
    pub(super) objects: Vec<(ObjectRecord, Earlier)>,
    pub(super) events: Vec<EventRecord>,
    /// In place of events, for who asks for what is alive alone.
    pub(super) stretches: Stretches,
    /// Object, number of the event, text.
    pub(super) labels: Vec<(ObjectId, u64, String)>,
}

/// What a part of a recording has, shared out among those that take it in: all of an object's to the same one.
pub(super) struct Batches<'a> {
    batches: Vec<Batch>,
    /// Where events are to become stretches: gathers them. What there is beside them is in the first batch until then.
    condenser: Option<Box<Condenser>>,
    /// Of these objects only.
    wanted: Option<&'a HashSet<ObjectId>>,
    notes: Notes,
}

/// What is to be said of a part, whatever it has.
#[derive(Default)]
struct Notes {
    end: Time,
    truncated: bool,
    damage: Vec<Damage>,
    error: Option<io::Error>,
}

impl<'a> Batches<'a> {
    fn new<F: Fold>(shares: usize, wanted: Option<&'a HashSet<ObjectId>>) -> Self {
        let condenser = F::CONDENSED.then(Box::default);
        let batches = std::iter::repeat_with(Batch::default).take(shares).collect();
        Self { batches, condenser, wanted, notes: Notes::default() }
    }

    /// Of which objects something is wanted; `None` for all.
    pub(super) fn wanted(&self) -> Option<&'a HashSet<ObjectId>> {
        self.wanted
    }

    #[inline]
    fn of(&mut self, id: ObjectId) -> Option<&mut Batch> {
        if self.wanted.is_some_and(|wanted| !wanted.contains(&id)) {
            return None;
        }
        let share =
            if self.condenser.is_some() { 0 } else { share_of(id.number(), self.batches.len()) };
        self.batches.get_mut(share)
    }

    pub(super) fn object(&mut self, object: ObjectRecord, earlier: Earlier) {
        if let Some(batch) = self.of(object.id) {
            batch.objects.push((object, earlier));
        }
    }

    #[inline(always)]
    pub(super) fn event(&mut self, event: EventRecord) {
        self.notes.end = self.notes.end.max(event.time);
        if let Some(condenser) = &mut self.condenser {
            condenser.add(&event);
            return;
        }
        self.push(event);
    }

    #[inline]
    fn push(&mut self, event: EventRecord) {
        if let Some(batch) = self.of(event.object()) {
            batch.events.push(event);
        }
    }

    pub(super) fn label(&mut self, object: ObjectId, seq: u64, label: String) {
        if let Some(batch) = self.of(object) {
            batch.labels.push((object, seq, label));
        }
    }

    /// Takes out what there is of a part.
    fn take(&mut self) -> (Vec<Batch>, Notes) {
        let notes = std::mem::take(&mut self.notes);
        let Some(condenser) = &mut self.condenser else {
            return (self.batches.iter_mut().map(std::mem::take).collect(), notes);
        };
        let shares = self.batches.len();
        let Batch { objects, labels, .. } = &mut self.batches[0];
        let stretches = condenser.condense(objects, shares).into_iter();
        let mut batches: Vec<_> =
            stretches.map(|stretches| Batch { stretches, ..Batch::default() }).collect();
        // What they are in has room for those of the next part.
        for object in objects.drain(..) {
            batches[share_of(object.0.id.number(), shares)].objects.push(object);
        }
        for label in labels.drain(..) {
            batches[share_of(label.0.number(), shares)].labels.push(label);
        }
        (batches, notes)
    }

    pub(super) fn truncated(&mut self) {
        self.notes.truncated = true;
    }

    pub(super) fn damaged(&mut self, offset: u64, bytes: u64, reason: String) {
        damaged(&mut self.notes.damage, (0, offset), bytes, reason);
    }

    pub(super) fn failed(&mut self, error: io::Error) {
        self.notes.error = Some(error);
    }
}

/// What takes in a recording. The tables are complete where the recording has parts, and as far as they are needed where it
/// has lines. A label comes before its event.
pub(super) trait Fold {
    /// Whether it asks for what is alive at the end, and when objects ended, and for nothing else that was over before: then it
    /// may get stretches in place of events, in any order.
    const CONDENSED: bool = false;

    fn object(&mut self, tables: &Recording, object: ObjectRecord, earlier: Earlier);
    fn event(&mut self, tables: &Recording, event: &EventRecord);
    fn label(&mut self, tables: &Recording, object: ObjectId, seq: u64, label: String);

    /// Takes in stretches, where it [may get](Self::CONDENSED) them.
    fn stretches(&mut self, _: &Stretches) {}

    /// Whether it has what it wants, or can take in no more.
    fn is_over(&self) -> bool {
        false
    }

    fn batch(&mut self, tables: &Recording, batch: Batch) {
        for (object, earlier) in batch.objects {
            self.object(tables, object, earlier);
        }
        for (object, seq, label) in batch.labels {
            self.label(tables, object, seq, label);
        }
        for event in &batch.events {
            self.event(tables, event);
        }
        self.stretches(&batch.stretches);
    }
}

/// Parts that are read and wait to be taken in, of each thread that reads.
const AHEAD: usize = 2;

/// More threads than these wait for each other.
const MOST_THREADS: usize = 8;

/// Parts after which it is reported how far the file has been read.
const STEP: usize = 16;

/// What is called as a file is read: with the bytes that were read of it, and its length.
static PROGRESS: OnceLock<fn(u64, u64)> = OnceLock::new();

/// Has a function called now and then while a recording is read from its file: for the command.
pub fn on_progress(f: fn(u64, u64)) {
    let _ = PROGRESS.set(f);
}

fn threads() -> usize {
    thread::available_parallelism().map_or(1, NonZero::get).min(MOST_THREADS)
}

/// Has several take in a recording, each some objects. What they have does not depend on how many threads there are, but for
/// which of them has an object.
pub(super) fn fold_shares<F: Fold + Send>(
    parts: &dyn Parts,
    recording: &mut Recording,
    wanted: Option<&HashSet<ObjectId>>,
    make: impl Fn() -> F,
) -> Result<Vec<F>, ReadError> {
    let count = threads();
    let mut folds: Vec<F> = std::iter::repeat_with(&make).take(count).collect();
    if count > 1
        && let Some(notes) = fold_on_threads(parts, recording, wanted, &mut folds)?
    {
        notes.add_to(recording);
        return Ok(folds);
    }
    // A machine with one processor, or that can start no thread.
    let mut folds = vec![make()];
    fold_in_order(parts, recording, wanted, &mut folds[0])?;
    Ok(folds)
}

/// `None` where a thread could not be started.
fn fold_on_threads<F: Fold + Send>(
    parts: &dyn Parts,
    tables: &Recording,
    wanted: Option<&HashSet<ObjectId>>,
    folds: &mut [F],
) -> Result<Option<Notes>, ReadError> {
    let (shares, count) = (folds.len(), parts.count());
    let Some((own, others)) = folds.split_first_mut() else { return Ok(None) };
    let over = AtomicBool::new(false);
    thread::scope(|scope| {
        // For each reader a channel to each share: parts come through in order, whichever thread is faster.
        let mut senders: Vec<Vec<_>> = (0..shares).map(|_| Vec::new()).collect();
        let mut receivers: Vec<Vec<_>> = (0..shares).map(|_| Vec::new()).collect();
        for share in &mut receivers {
            for reader in &mut senders {
                let (to, from) = sync_channel(AHEAD);
                reader.push(to);
                share.push(from);
            }
        }
        let mut receivers = receivers.into_iter();
        let Some(own_receivers) = receivers.next() else { return Ok(None) };
        for (fold, receivers) in others.iter_mut().zip(receivers) {
            let started = thread::Builder::new().spawn_scoped(scope, move || {
                for (batch, _) in in_turn(&receivers, count) {
                    fold.batch(tables, batch);
                }
            });
            if started.is_err() {
                return Ok(None);
            }
        }
        for (reader, senders) in senders.into_iter().enumerate() {
            let over = &over;
            let started = thread::Builder::new().spawn_scoped(scope, move || {
                let mut read = Batches::new::<F>(shares, wanted);
                for part in (reader..count).step_by(shares) {
                    // Relaxed: whoever misses it reads a part in vain.
                    if over.load(Ordering::Relaxed) {
                        return;
                    }
                    parts.read(part, &mut read);
                    let (batches, notes) = read.take();
                    let mut notes = Some(notes);
                    for (batch, sender) in batches.into_iter().zip(&senders) {
                        if sender.send((batch, notes.take())).is_err() {
                            return;
                        }
                    }
                }
            });
            if started.is_err() {
                over.store(true, Ordering::Relaxed);
                return Ok(None);
            }
        }
        let mut noted = Notes::default();
        for (part, (batch, notes)) in in_turn(&own_receivers, count).enumerate() {
            report_part(parts, part);
            own.batch(tables, batch);
            if let Err(error) = notes.map_or(Ok(()), |notes| noted.add(notes)) {
                over.store(true, Ordering::Relaxed);
                return Err(error);
            }
        }
        Ok(Some(noted))
    })
}

/// What comes from several readers, of which each has every so many-th part. It ends early where a reader does.
fn in_turn<T>(from: &[Receiver<T>], count: usize) -> impl Iterator<Item = T> + '_ {
    (0..count).map_while(|part| from[part % from.len()].recv().ok())
}

/// Has one take in a recording in its order, on this thread, while others read ahead.
pub(super) fn fold_in_order<F: Fold>(
    parts: &dyn Parts,
    recording: &mut Recording,
    wanted: Option<&HashSet<ObjectId>>,
    fold: &mut F,
) -> Result<(), ReadError> {
    let (readers, count) = (threads(), parts.count());
    let tables = &*recording;
    let noted = thread::scope(|scope| {
        let mut noted = Notes::default();
        let channels: Vec<_> = (0..readers)
            .map(|reader| {
                let (to, from) = sync_channel(AHEAD);
                let started = thread::Builder::new().spawn_scoped(scope, move || {
                    let mut read = Batches::new::<F>(1, wanted);
                    for part in (reader..count).step_by(readers) {
                        parts.read(part, &mut read);
                        if to.send(read.take()).is_err() {
                            return;
                        }
                    }
                });
                started.is_ok().then_some(from)
            })
            .collect();
        for part in 0..count {
            if fold.is_over() {
                break;
            }
            report_part(parts, part);
            let ready = channels[part % readers].as_ref().and_then(|from| from.recv().ok());
            let (batches, notes) = ready.unwrap_or_else(|| {
                let mut read = Batches::new::<F>(1, wanted);
                parts.read(part, &mut read);
                read.take()
            });
            batches.into_iter().for_each(|batch| fold.batch(tables, batch));
            noted.add(notes)?;
        }
        Ok(noted)
    })?;
    noted.add_to(recording);
    Ok(())
}

fn report_part(parts: &dyn Parts, part: usize) {
    if part.is_multiple_of(STEP) {
        let (read, length) = parts.progress(part);
        report_progress(read, length);
    }
}

/// Reports how far a file has been read.
pub(super) fn report_progress(read: u64, length: u64) {
    if let Some(progress) = PROGRESS.get() {
        progress(read, length);
    }
}

impl Notes {
    fn add(&mut self, more: Self) -> Result<(), ReadError> {
        if let Some(error) = more.error {
            return Err(ReadError::at(0, What::Io(error)));
        }
        self.end = self.end.max(more.end);
        self.truncated |= more.truncated;
        more.damage.into_iter().for_each(|damage| add_damage(&mut self.damage, damage));
        Ok(())
    }

    fn add_to(self, recording: &mut Recording) {
        recording.end = recording.end.max(self.end);
        recording.truncated |= self.truncated;
        self.damage.into_iter().for_each(|damage| add_damage(&mut recording.damage, damage));
    }
}
