//! Sites and types that records refer to by number.

use crate::event::{Site, Type};
use parking_lot::Mutex;
use rustc_hash::FxHashMap;

/// Numbers of sites start at 1, those of types at 0.
#[derive(Default)]
pub(super) struct Tables {
    sites: Vec<Site>,
    site_numbers: FxHashMap<Site, u32>,
    types: Vec<&'static Type>,
    type_numbers: FxHashMap<usize, u32>,
}

impl Tables {
    /// The number of a site.
    pub(super) fn site(&mut self, site: Site) -> u32 {
        *self.site_numbers.entry(site).or_insert_with(|| {
            self.sites.push(site);
            self.sites.len() as u32
        })
    }

    /// The site with a number. None for 0.
    pub(super) fn site_of(&self, number: u32) -> Option<Site> {
        self.sites.get(number.checked_sub(1)? as usize).copied()
    }

    /// The number of a type.
    pub(super) fn ty(&mut self, ty: &'static Type) -> u32 {
        *self.type_numbers.entry(std::ptr::from_ref(ty).addr()).or_insert_with(|| {
            self.types.push(ty);
            self.types.len() as u32 - 1
        })
    }

    /// The type with a number.
    pub(super) fn type_of(&self, number: u32) -> &'static Type {
        self.types[number as usize]
    }
}

/// The numbers of what this thread has met, by its address: most events come from few lines, and are of few
/// types.
pub(super) struct Cache([(usize, u32); Self::LEN]);

impl Cache {
    const LEN: usize = 32;

    pub(super) fn new() -> Self {
        Self([(0, 0); Self::LEN])
    }

    /// The number of what is at `address`, which `look_up` finds in the tables.
    #[inline]
    pub(super) fn number<T>(
        &mut self,
        tables: &Mutex<Tables>,
        this: &T,
        look_up: impl FnOnce(&mut Tables) -> u32,
    ) -> u32 {
        let address = std::ptr::from_ref(this).addr();
        let slot = &mut self.0[(address / align_of::<T>()) % Self::LEN];
        if slot.0 != address {
            *slot = (address, look_up(&mut tables.lock()));
        }
        slot.1
    }
}
