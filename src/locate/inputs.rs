//! What the search needs to know of the living objects and handles.

use crate::event::Kind;
use crate::runtime::entry::scrambled;

/// A living handle, as the search needs it.
#[derive(Clone, Copy, Debug)]
pub(super) struct HandleInput {
    /// The word that stands where it is stored, but for the lowest six bits, [`scrambled`]: what is left of this table on the
    /// heap must not look like a handle.
    pub(super) ticket: u64,
    /// Its number in its object's history.
    pub(super) number: u64,
    /// The index of its object.
    pub(super) object: u32,
    pub(super) strong: bool,
    /// Whether it is a raw pointer now.
    pub(super) raw: bool,
}

impl HandleInput {
    /// The word that stands where it is stored, but for the lowest six bits.
    pub(super) fn word(&self) -> u64 {
        scrambled(self.ticket)
    }

    /// Whether it keeps its object alive from where it is stored.
    pub(super) fn keeps(&self) -> bool {
        self.strong && !self.raw
    }
}

/// A living object, as the search needs it.
#[derive(Clone, Copy, Debug)]
pub(super) struct ObjectInput {
    pub(super) id: u64,
    pub(super) kind: Kind,
    pub(super) type_name: &'static str,
    /// Of the value.
    pub(super) address: u64,
    pub(super) size: u64,
    /// The strong handles that refscope counts.
    pub(super) strong: u32,
    /// Of the alignment, which is a power of two.
    pub(super) log2_align: u8,
}

impl ObjectInput {
    /// Whether std counts the owners, in the block's first word.
    pub(super) fn is_counted(&self) -> bool {
        self.kind != Kind::Box
    }

    /// The address of its block: std's two counts stand before the value of an `Rc` or `Arc`.
    pub(super) fn block(&self) -> u64 {
        self.address.wrapping_sub(self.header())
    }

    /// How many bytes of its block stand before the value.
    pub(super) fn header(&self) -> u64 {
        if self.is_counted() { 16.max(1 << self.log2_align) } else { 0 }
    }

    /// Where the value ends.
    pub(super) fn end(&self) -> u64 {
        self.address.saturating_add(self.size)
    }

    /// Whether it has a block at all.
    pub(super) fn has_block(&self) -> bool {
        self.is_counted() || self.size > 0
    }
}
