use crate::event::{HandleId, Kind, Location, ObjectId, Op, Strength, Time};
use crate::stack::StackId;
use std::borrow::Cow;
use std::sync::Arc;

/// A living object and its handles: read from the running program, or from the end of a recording.
#[derive(Clone, Debug, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct LiveObject {
    /// Which object it is.
    pub id: ObjectId,
    /// The kind of pointer.
    pub kind: Kind,
    /// The type's full name.
    pub type_name: Cow<'static, str>,
    /// The label, if it was given one.
    pub label: Option<String>,
    /// The value's size in bytes.
    pub size: u64,
    /// The line that allocated it.
    pub location: Location,
    /// The name of the thread that allocated it.
    pub thread: Arc<str>,
    /// When it was allocated.
    pub created: Time,
    /// The traced strong count. Where it exceeds the strong handles below, some are not known.
    pub strong: u32,
    /// Whether it was [marked](crate::allow_leak) as meant to stay.
    pub allowed: bool,
    /// The `tracing` span in which it was allocated (feature `spans`).
    pub span: Option<Arc<str>>,
    /// The stack on which it was allocated, if that was asked for, or if its line is not the user's own.
    // Its number means something in this process alone.
    #[cfg_attr(feature = "serde", serde(skip))]
    pub stack: Option<StackId>,
    /// The living handles, by number.
    pub handles: Vec<Handle>,
}

/// A living handle.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct Handle {
    /// Which handle it is.
    pub id: HandleId,
    /// Whether it keeps the value alive, or only the memory.
    pub strength: Strength,
    /// The path on which it was made: from the object's allocation to the operation that made this handle. Handles that were made
    /// alike share it.
    pub path: Arc<[PathStep]>,
    /// The handle that it was made from.
    pub from: Option<HandleId>,
    /// The name of the thread that made it.
    pub thread: Arc<str>,
    /// When it was made.
    pub created: Time,
    /// Whether it became a raw pointer or was leaked, and was not taken back.
    pub raw: bool,
    /// The operation and the line by which it became a raw pointer or was leaked, if it is one and they are known.
    pub left: Option<PathStep>,
    /// The `tracing` span in which it was made (feature `spans`).
    pub span: Option<Arc<str>>,
    /// The stack on which it was made, if that was asked for, or if its line is not the user's own: std's, in
    /// `vec.clone()`, or a derive's.
    // Its number means something in this process alone.
    #[cfg_attr(feature = "serde", serde(skip))]
    pub stack: Option<StackId>,
}

/// A step of a handle's path: an operation and its line.
///
/// A sequence of up to 8 steps that repeats is there once, and a path longer than 24 steps is cut.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct PathStep {
    /// The operation.
    pub op: Op,
    /// Its line, if it is known.
    pub location: Option<Location>,
    /// Whether steps between the previous step and this one are left out.
    pub cut: bool,
}

impl LiveObject {
    /// Creates an object without handles, from what must be known of one.
    pub(crate) fn new(
        id: ObjectId,
        kind: Kind,
        type_name: Cow<'static, str>,
        size: u64,
        location: Location,
    ) -> Self {
        Self {
            id,
            kind,
            type_name,
            label: None,
            size,
            location,
            thread: Arc::default(),
            created: Time::START,
            strong: 0,
            allowed: false,
            span: None,
            stack: None,
            handles: Vec::new(),
        }
    }

    /// Returns whether the type's full name, or the line that allocated it (`src/pool.rs:17`), contains `what`.
    pub(crate) fn is_named(&self, what: &str) -> bool {
        self.type_name.contains(what) || self.location.to_string().contains(what)
    }

    /// Returns the user's line that allocated it, where [`location`](Self::location) is std's or a derive's, as for
    /// `map.entry(key).or_default()`. `None` where it is not, or the [stack](Self::stack) or its lines are not known.
    ///
    /// See [`StackId::resolve`] for what it costs, and needs.
    pub fn user_line(&self) -> Option<Location> {
        Some(user_lines(&self.location, self.stack)?.0)
    }

    /// Returns the handles that keep the value alive.
    pub fn strong_handles(&self) -> impl DoubleEndedIterator<Item = &Handle> + Clone {
        self.handles.iter().filter(|handle| handle.strength == Strength::Strong)
    }
}

impl Handle {
    /// Returns the operation that made it, with its line.
    pub fn last_step(&self) -> Option<&PathStep> {
        self.path.last()
    }

    /// Returns the operation that made it.
    pub fn op(&self) -> Option<Op> {
        self.last_step().map(|step| step.op)
    }

    /// Returns the line that made it.
    pub fn location(&self) -> Option<&Location> {
        self.last_step()?.location.as_ref()
    }

    /// Returns the user's line that made it, and the one that called its function, where [`location`](Self::location) is
    /// std's or a derive's: the first two lines of the [stack](Self::stack) that are neither's. `None` where the stack or its
    /// lines are not known.
    ///
    /// See [`StackId::resolve`] for what it costs, and needs.
    pub fn user_lines(&self) -> Option<(Location, Option<Location>)> {
        user_lines(self.location()?, self.stack)
    }
}

/// The user's line where `location` is none, and its function's caller.
fn user_lines(location: &Location, stack: Option<StackId>) -> Option<(Location, Option<Location>)> {
    let stack = stack.filter(|_| !location.is_user())?.resolve();
    let (line, caller) = stack.user_frame()?;
    Some((Location::of_frame(line)?, caller.and_then(Location::of_frame)))
}

impl PathStep {
    /// Creates a step.
    pub(crate) fn new(op: Op, location: Option<Location>, cut: bool) -> Self {
        Self { op, location, cut }
    }
}
