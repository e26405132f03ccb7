use super::timeline::{End, Lifeline};
use crate::event::ObjectId;
use crate::model::{
    Allocation, Change, EventRecord, LiveObject, ObjectRecord, ObjectState, Recording,
    RecordingFile,
};
use std::collections::HashMap;
use std::io;

/// What [`RecordingFile::histories`] gives of an object: the object first, then each event followed by the handles that it
/// ended, then the handles that are alive, and the end.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub enum History<'a> {
    /// The object is met.
    #[non_exhaustive]
    Object {
        /// How many of its events are known by their sum alone, as in bounded recordings.
        earlier: u64,
    },
    /// The next event that is known of it.
    Event(&'a EventRecord),
    /// A handle that has ended, or is alive at the end.
    Handle(&'a Lifeline),
    /// Nothing more happened to it.
    #[non_exhaustive]
    Over {
        /// How many of its events are known.
        events: u64,
        /// Traced strong handles at the end.
        strong: u32,
    },
}

/// An object while it has handles.
struct Open {
    state: ObjectState<Lifeline>,
    last: Option<EventRecord>,
}

impl RecordingFile {
    /// Gives the histories of the objects that are wanted to a function, in one pass and in memory that is bounded by what is
    /// alive at once. Those of several objects are interleaved; of one object everything comes in its order.
    ///
    /// It ends where the function fails. Returns the tables, and what was alive at the end, wanted or not.
    ///
    /// # Errors
    ///
    /// Those of the function; an error of reading is inside of one of kind `InvalidData`.
    ///
    /// # Examples
    ///
    /// ```no_run
    /// use refscope::{analysis::History, model::RecordingFile};
    ///
    /// let file = RecordingFile::open("run.refscope")?;
    /// let mut longest = std::time::Duration::ZERO;
    /// file.histories(|allocation| allocation.object.type_name.contains("Session"), |_, _, step| {
    ///     if let History::Handle(line) = step
    ///         && let Some(end) = line.end
    ///     {
    ///         longest = longest.max(line.created.until(end.time));
    ///     }
    ///     Ok(())
    /// })?;
    /// println!("a handle of a session lived for {longest:?}");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn histories(
        &self,
        wanted: impl Fn(&Allocation<'_>) -> bool,
        mut visit: impl FnMut(&Recording, &ObjectRecord, History<'_>) -> io::Result<()>,
    ) -> io::Result<(Recording, Vec<LiveObject>)> {
        let mut objects: HashMap<ObjectId, Open> = HashMap::new();
        self.each(None, wanted, |tables, seen| {
            let object = seen.object;
            if seen.is_first {
                let state = ObjectState::after(seen.earlier);
                objects.insert(object.id, Open { state, last: None });
                visit(tables, object, History::Object { earlier: seen.earlier.events })?;
            }
            if let Some(event) = seen.event
                && let Some(open) = objects.get_mut(&object.id)
            {
                visit(tables, object, History::Event(event))?;
                let ended = open.follow(event);
                ended.iter().try_for_each(|line| visit(tables, object, History::Handle(line)))?;
            }
            if let Some((events, strong)) = seen.end {
                let left = objects.remove(&object.id).map_or_else(Vec::new, Open::finish);
                left.iter().try_for_each(|line| visit(tables, object, History::Handle(line)))?;
                visit(tables, object, History::Over { events, strong })?;
            }
            Ok(())
        })
    }
}

impl Open {
    /// Applies an event, and returns the handles that it ended.
    fn follow(&mut self, event: &EventRecord) -> Vec<Lifeline> {
        let (mut ended, mut raw) = (Vec::new(), Vec::new());
        let made = event.op.makes().map(|strength| Lifeline::made(event, strength));
        self.state.apply(
            &event.step(),
            // It is asked for where the event makes one.
            |parent| {
                made.or(parent).unwrap_or_else(|| Lifeline::made(event, crate::Strength::Strong))
            },
            |change| match change {
                Change::Ended(line) => ended.push(line.ended(event)),
                Change::Raw(line) => raw.push(line.handle.number()),
            },
        );
        for number in raw {
            if let Some(line) = self.state.handle_mut(number) {
                line.raw = Some(event.op);
            }
        }
        self.last = Some(*event);
        ended
    }

    /// Returns the handles that are left, and those of which the counts say that they are not.
    fn finish(mut self) -> Vec<Lifeline> {
        let mut lines = Vec::new();
        if let Some(last) = self.last {
            self.state.finish(|change| {
                if let Change::Ended(line) = change {
                    lines.push(line.ended(&last));
                }
            });
        }
        lines.extend(self.state.handles().iter().map(|living| living.handle));
        lines
    }
}

impl Lifeline {
    fn ended(mut self, event: &EventRecord) -> Self {
        self.end = Some(End::by(event));
        self
    }
}
