use super::ObjectId;
use std::fmt;

/// Whether a handle keeps the value alive.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(rename_all = "lowercase"))]
pub enum Strength {
    /// `Box`, `Rc`, `Arc`: it keeps the value alive.
    Strong,
    /// `Weak`: it keeps the memory, but not the value.
    Weak,
}

impl fmt::Display for Strength {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Strong => "strong",
            Self::Weak => "weak",
        })
    }
}

/// Which handle: the object, and the place in its history at which the handle was made.
///
/// Prints as `#7.3`: the handle that the third event of object 7 made. Never used twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct HandleId {
    object: ObjectId,
    number: u64,
}

impl HandleId {
    /// Creates the id of an object's handle with this number.
    #[inline]
    pub const fn new(object: ObjectId, number: u64) -> Self {
        Self { object, number }
    }

    /// Returns the object that the handle points to.
    #[inline]
    pub const fn object(self) -> ObjectId {
        self.object
    }

    /// Returns the handle's number within its object: the place of the event that made it, counted from 1.
    #[inline]
    pub const fn number(self) -> u64 {
        self.number
    }
}

impl fmt::Display for HandleId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.object, self.number)
    }
}
