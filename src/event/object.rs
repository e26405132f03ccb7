use super::{Caller, Location};
use crate::lock::Mutex;
use std::any::type_name;
use std::collections::HashMap;
use std::fmt;
use std::num::ParseIntError;
use std::str::FromStr;

/// Which kind of pointer an object is behind.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[non_exhaustive]
pub enum Kind {
    /// [`Box`](crate::boxed::Box)
    Box,
    /// [`Rc`](crate::rc::Rc)
    Rc,
    /// [`Arc`](crate::sync::Arc)
    Arc,
}

impl Kind {
    /// Returns `Box`, `Rc` or `Arc`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Box => "Box",
            Self::Rc => "Rc",
            Self::Arc => "Arc",
        }
    }

    /// Returns the kind with this [name](Kind::name).
    pub fn from_name(name: &str) -> Option<Self> {
        [Self::Box, Self::Rc, Self::Arc].into_iter().find(|kind| kind.name() == name)
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// Identifies an object: allocations are numbered from 1 through the life of the process. Prints as `#7`.
///
/// # Examples
///
/// ```
/// use refscope::ObjectId;
///
/// let id: ObjectId = "#7".parse().expect("a number");
/// assert_eq!((id, id.to_string()), (ObjectId::from_number(7), "#7".to_owned()));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(transparent))]
pub struct ObjectId(pub(crate) u64);

impl ObjectId {
    /// Creates the id of the object with this number: one that a report or a recording shows.
    #[inline]
    pub const fn from_number(number: u64) -> Self {
        Self(number)
    }

    /// Returns the number.
    #[inline]
    pub const fn number(self) -> u64 {
        self.0
    }
}

impl fmt::Display for ObjectId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "#{}", self.0)
    }
}

/// Reads `7` or `#7`.
impl FromStr for ObjectId {
    type Err = ParseIntError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        text.strip_prefix('#').unwrap_or(text).parse().map(Self)
    }
}

/// What an allocation is made for: one constant for each pointer kind and pointee.
pub(crate) struct Type {
    pub(crate) kind: Kind,
    name: fn() -> &'static str,
}

impl Type {
    pub(crate) fn name(&self) -> &'static str {
        (self.name)()
    }
}

#[allow(dead_code)] // each is a pointer type's, and these are not there when tracing is off
impl Type {
    pub(crate) const fn boxed<T: ?Sized>() -> &'static Self {
        const { &Self { kind: Kind::Box, name: type_name::<T> } }
    }

    pub(crate) const fn rc<T: ?Sized>() -> &'static Self {
        const { &Self { kind: Kind::Rc, name: type_name::<T> } }
    }

    pub(crate) const fn arc<T: ?Sized>() -> &'static Self {
        const { &Self { kind: Kind::Arc, name: type_name::<T> } }
    }
}

/// A label: an index into the table of all labels, 0 for none.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Label(pub(crate) u32);

/// Different texts of labels that are kept.
const LABELS_MAX: usize = 1 << 16;

#[cfg_attr(not(feature = "trace"), allow(dead_code))]
struct Labels {
    texts: Vec<&'static str>,
    index: Option<HashMap<&'static str, u32>>,
}

static LABELS: Mutex<Labels> = Mutex::new(Labels { texts: Vec::new(), index: None });

#[allow(dead_code)] // where the memory can be searched
pub(super) fn own_static() -> std::ops::Range<usize> {
    crate::lock::place(&LABELS)
}

impl Label {
    /// What an object is labelled with whose text came after all that are kept.
    #[cfg_attr(not(feature = "trace"), allow(dead_code))]
    const OVERFLOW: Self = Self(u32::MAX);

    /// Returns the label with this text. Texts are kept, each once, for the life of the process, [`LABELS_MAX`] of them.
    #[cfg_attr(not(feature = "trace"), allow(dead_code))] // nothing is labelled then
    pub(crate) fn intern(text: &str) -> Self {
        let mut labels = LABELS.lock();
        let Labels { texts, index } = &mut *labels;
        let index = index.get_or_insert_default();
        if let Some(&known) = index.get(text) {
            return Self(known);
        }
        if texts.len() == LABELS_MAX {
            return Self::OVERFLOW;
        }
        let text: &'static str = text.to_owned().leak();
        texts.push(text);
        let number = texts.len() as u32;
        index.insert(text, number);
        Self(number)
    }

    pub(crate) fn text(self) -> Option<&'static str> {
        if self == Self::OVERFLOW {
            return Some("(one label too many)");
        }
        let index = self.0.checked_sub(1)?;
        LABELS.lock().texts.get(index as usize).copied()
    }
}

/// An allocation behind a `Box`, `Rc` or `Arc`, as its events show it.
#[derive(Clone, Copy)]
pub struct Object {
    pub(crate) id: ObjectId,
    pub(crate) ty: &'static Type,
    pub(crate) size: u64,
    pub(crate) label: Label,
    pub(crate) location: Caller,
}

impl Object {
    /// Returns which object it is.
    #[inline]
    pub fn id(&self) -> ObjectId {
        self.id
    }

    /// Returns the kind of pointer that it is behind.
    #[inline]
    pub fn kind(&self) -> Kind {
        self.ty.kind
    }

    /// Returns the type's full name, as [`std::any::type_name`] gives it.
    #[inline]
    pub fn type_name(&self) -> &'static str {
        self.ty.name()
    }

    /// Returns the value's size in bytes, without the pointer's counts and what it owns elsewhere.
    #[inline]
    pub fn size(&self) -> u64 {
        self.size
    }

    /// Returns the line that allocated it.
    #[inline]
    pub fn location(&self) -> Location {
        self.location.into()
    }

    /// Returns the label that it was given, if any, by [`label`](crate::label).
    #[inline]
    pub fn label(&self) -> Option<&'static str> {
        self.label.text()
    }
}

/// Equal when they are the same object.
impl PartialEq for Object {
    fn eq(&self, other: &Self) -> bool {
        self.id == other.id
    }
}

impl Eq for Object {}

impl fmt::Debug for Object {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Object")
            .field("id", &self.id.0)
            .field("kind", &self.kind())
            .field("type_name", &self.type_name())
            .field("size", &self.size())
            .field("location", &self.location)
            .field("label", &self.label())
            .finish_non_exhaustive()
    }
}

/// `#7 Rc<Node> "root"`
impl fmt::Display for Object {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}<{}>", self.id, self.kind(), short_type(self.type_name()))?;
        match self.label() {
            Some(label) => write!(f, " {label:?}"),
            None => Ok(()),
        }
    }
}

/// A type's name without the paths of its parts: `Option<Vec<Node>>`.
pub(crate) fn short_type(name: &str) -> String {
    let mut short = String::with_capacity(name.len());
    let mut segment = 0; // where the path that is being read began in `short`
    let mut rest = name.chars().peekable();
    while let Some(c) = rest.next() {
        if c == ':' && rest.peek() == Some(&':') {
            rest.next();
            // `{{closure}}` says little without what it is in, and `<T as Trait>` is no path.
            if rest.peek() == Some(&'{') || short.ends_with('>') {
                short.push_str("::");
            } else {
                short.truncate(segment);
            }
            continue;
        }
        short.push(c);
        if !(c.is_alphanumeric() || matches!(c, '_' | '{' | '}' | '#')) {
            segment = short.len();
        }
    }
    short
}

#[cfg(test)]
mod tests {
    use super::short_type;

    #[test]
    fn short_names_keep_the_last_segment_of_each_path() {
        for (long, short) in [
            ("i32", "i32"),
            ("alloc::vec::Vec<doc::Node>", "Vec<Node>"),
            ("core::option::Option<alloc::sync::Arc<dyn app::Plugin>>", "Option<Arc<dyn Plugin>>"),
            ("(a::B, [c::d::E; 4], &str)", "(B, [E; 4], &str)"),
            ("app::run::{{closure}}", "run::{{closure}}"),
            ("Arc<app::main::{{closure}}::{{closure}}::Actor>", "Arc<Actor>"),
            ("(app::A, &dyn app::b::C)", "(A, &dyn C)"),
            ("&mut [app::T; 3]", "&mut [T; 3]"),
            ("<a::B as c::D>::E", "<B as D>::E"),
        ] {
            assert_eq!(short_type(long), short, "{long}");
        }
    }
}
