use super::Strength;
use std::fmt;

/// What happened to a handle.
///
/// Each operation has a fixed effect on the object's counts, so that the events of an object, taken in
/// the order of [`Event::seq`](super::Event::seq), can be replayed: the running sum of
/// [`strong_delta`](Op::strong_delta) is the count that each event carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[non_exhaustive]
#[repr(u8)]
pub enum Op {
    /// An allocation: a new object with its first strong handle. For an object of `new_cyclic`
    /// this comes after [`NewCyclic`](Op::NewCyclic), when its value is there.
    New = 1,
    /// `new_cyclic` made the weak handle that it passes to the closure; the object has no value yet.
    NewCyclic,
    /// A pointer of std's became a traced one: of a new object, as far as refscope can know; or of the object that it left by
    /// [`IntoStd`](Op::IntoStd), if another traced handle kept that meanwhile.
    FromStd,
    /// `make_mut` moved away from a shared object, to a new one, made from a handle of the old.
    CopyOnWrite,
    /// `clone` of a strong handle.
    Clone,
    /// `upgrade` of a weak handle gave a strong one.
    Upgrade,
    /// `upgrade` found no value.
    UpgradeFailed,
    /// `downgrade` of a strong handle gave a weak one.
    Downgrade,
    /// `clone` of a weak handle.
    WeakClone,
    /// A strong handle ended.
    Drop,
    /// A weak handle ended.
    WeakDrop,
    /// A strong handle ended by giving its value away: `try_unwrap`, `unbox` and the like.
    MovedOut,
    /// `into_inner` gave away the value whose last handle had ended in the step before.
    IntoInner,
    /// A strong handle became a raw pointer. It counts on.
    IntoRaw,
    /// A strong handle came back from a raw pointer, as a new handle. The count stays.
    FromRaw,
    /// A weak handle became a raw pointer.
    WeakIntoRaw,
    /// A weak handle came back from a raw pointer, as a new handle.
    WeakFromRaw,
    /// `leak` gave the value up for good. It counts on.
    Leak,
    /// A strong handle became a pointer of std's, which refscope does not see.
    IntoStd,
    /// A weak handle became a pointer of std's.
    WeakIntoStd,
    /// A pointer of std's became a traced weak handle; the object was not known before.
    WeakFromStd,
    /// The object was given a [label](crate::label).
    Label,
    /// The object was [marked](crate::allow_leak) as one that is meant to stay.
    Allow,
}

impl Op {
    /// Every operation, in order.
    pub const ALL: &'static [Self] = &[
        Self::New,
        Self::NewCyclic,
        Self::FromStd,
        Self::CopyOnWrite,
        Self::Clone,
        Self::Upgrade,
        Self::UpgradeFailed,
        Self::Downgrade,
        Self::WeakClone,
        Self::Drop,
        Self::WeakDrop,
        Self::MovedOut,
        Self::IntoInner,
        Self::IntoRaw,
        Self::FromRaw,
        Self::WeakIntoRaw,
        Self::WeakFromRaw,
        Self::Leak,
        Self::IntoStd,
        Self::WeakIntoStd,
        Self::WeakFromStd,
        Self::Label,
        Self::Allow,
    ];

    /// Returns a short name: `new`, `clone`, `weak drop`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::New => "new",
            Self::NewCyclic => "new cyclic",
            Self::FromStd => "from std",
            Self::CopyOnWrite => "copy",
            Self::Clone => "clone",
            Self::Upgrade => "upgrade",
            Self::UpgradeFailed => "no upgrade",
            Self::Downgrade => "downgrade",
            Self::WeakClone => "weak clone",
            Self::Drop => "drop",
            Self::WeakDrop => "weak drop",
            Self::MovedOut => "moved out",
            Self::IntoInner => "into inner",
            Self::IntoRaw => "into raw",
            Self::FromRaw => "from raw",
            Self::WeakIntoRaw => "weak to raw",
            Self::WeakFromRaw => "weak from raw",
            Self::Leak => "leak",
            Self::IntoStd => "into std",
            Self::WeakIntoStd => "weak to std",
            Self::WeakFromStd => "weak from std",
            Self::Label => "label",
            Self::Allow => "allow",
        }
    }

    /// Returns the operation with this [name](Op::name).
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|op| op.name() == name)
    }

    /// The operation that `self as u8` gave.
    pub(crate) fn from_number(number: u8) -> Option<Self> {
        Self::ALL.get(usize::from(number).checked_sub(1)?).copied()
    }

    /// Returns by how much the strong count changes: -1, 0 or 1.
    pub const fn strong_delta(self) -> i8 {
        match self {
            Self::New | Self::FromStd | Self::CopyOnWrite | Self::Clone | Self::Upgrade => 1,
            Self::Drop | Self::MovedOut | Self::IntoStd => -1,
            _ => 0,
        }
    }

    /// Returns by how much the weak count changes: -1, 0 or 1.
    pub const fn weak_delta(self) -> i8 {
        match self {
            Self::NewCyclic | Self::Downgrade | Self::WeakClone | Self::WeakFromStd => 1,
            Self::WeakDrop | Self::WeakIntoStd => -1,
            _ => 0,
        }
    }

    /// Returns the strength of the handle that the event made, if it made one.
    pub const fn makes(self) -> Option<Strength> {
        match self {
            Self::New
            | Self::FromStd
            | Self::CopyOnWrite
            | Self::Clone
            | Self::Upgrade
            | Self::FromRaw => Some(Strength::Strong),
            Self::NewCyclic
            | Self::Downgrade
            | Self::WeakClone
            | Self::WeakFromRaw
            | Self::WeakFromStd => Some(Strength::Weak),
            _ => None,
        }
    }

    /// Returns whether the event ended its handle. (A handle that became a raw pointer has not ended: it still counts.)
    pub const fn ends(self) -> bool {
        self.strong_delta() < 0 || self.weak_delta() < 0
    }

    /// Returns whether the event can be the first of an object.
    pub const fn begins(self) -> bool {
        matches!(
            self,
            Self::New | Self::NewCyclic | Self::FromStd | Self::CopyOnWrite | Self::WeakFromStd
        )
    }
}

/// By its [name](Op::name).
#[cfg(feature = "serde")]
impl serde::Serialize for Op {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.name())
    }
}

impl fmt::Display for Op {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}
