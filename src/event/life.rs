use super::{Handle, HandleId, Op, Record};

/// The living handles of one object: the fold of its events.
///
/// The events of one handle come in order, those of different handles may not. That is enough: while a
/// handle is being made from another, the other is alive, so the set is empty only when all is over.
#[derive(Clone, Debug, Default)]
pub(crate) struct Life {
    handles: Vec<Handle>,
    seq: u64,
    strong: u32,
    weak: i64,
    received: u64,
}

impl Life {
    pub(crate) fn apply(&mut self, record: &Record) {
        self.received += 1;
        self.weak += i64::from(record.op.weak_delta());
        if record.seq > self.seq {
            self.seq = record.seq;
            self.strong = record.strong;
        }
        if let Some(strength) = record.op.makes() {
            if matches!(record.op, Op::FromRaw | Op::WeakFromRaw) {
                self.come_back(record, strength);
            }
            self.handles.push(Handle {
                id: record.handle,
                op: record.op,
                strength,
                from: record.from,
                site: record.site,
                thread: record.thread,
                born: record.time,
                raw: false,
            });
        } else if record.op.ends() {
            self.end(record.handle);
        } else if matches!(record.op, Op::IntoRaw | Op::WeakIntoRaw | Op::Leak)
            && let Some(handle) = self.handles.iter_mut().find(|h| h.id == record.handle)
        {
            handle.raw = true;
        }
    }

    /// A handle comes back from a raw pointer: it takes the place of one that left. Where none is away,
    /// it is one more view of a handle that came back before, and takes that one's place.
    fn come_back(&mut self, record: &Record, strength: super::Strength) {
        let away = |h: &Handle| h.raw && h.strength == strength;
        let place = (self.handles.iter().position(|h| away(h) && Some(h.id) == record.from))
            .or_else(|| self.handles.iter().position(away))
            .or_else(|| self.handles.iter().position(|h| h.op == record.op && !h.raw));
        if let Some(place) = place {
            self.handles.remove(place);
        }
    }

    fn end(&mut self, id: HandleId) {
        let place = (self.handles.iter().rposition(|h| h.id == id)).or_else(|| {
            // A view whose place another view took.
            self.handles.iter().rposition(|h| matches!(h.op, Op::FromRaw | Op::WeakFromRaw))
        });
        if let Some(place) = place {
            self.handles.remove(place);
        }
    }

    /// The living handles, oldest first.
    pub(crate) fn into_handles(mut self) -> Vec<Handle> {
        self.handles.sort_by_key(|handle| handle.id);
        self.handles
    }

    pub(crate) fn handles(&self) -> &[Handle] {
        &self.handles
    }

    /// Whether no handle is left: none is known, or every event has come and the counts are zero (views
    /// of raw pointers have no end of their own).
    pub(crate) fn is_over(&self) -> bool {
        self.handles.is_empty() || (self.received == self.seq && self.strong == 0 && self.weak == 0)
    }
}
