//! The types of the program, by its debug information: which field of a type stands at an offset.
//!
//! One pass over the entries finds the types that are asked for, by name; their members are read when something lies in
//! them. (As gimli's `simple` example reads units; the encoding of enums and coroutines is rustc's, in
//! `rustc_codegen_llvm::debuginfo::metadata`.)

use super::registers::own_time;
use super::type_name::{self, Key, crates, is_foreign, key, normalized};
use addr2line::gimli::{self, AttributeValue, RunTimeEndian, UnitOffset};
use object::{Object as _, ObjectSection as _, ObjectSegment as _};
use std::cell::RefCell;
use std::collections::{BTreeMap, HashMap, HashSet};
use std::rc::Rc;
use std::time::Duration;

type Slice<'a> = gimli::EndianSlice<'a, RunTimeEndian>;
type Unit<'a> = gimli::Unit<Slice<'a>>;
type Entry<'a> = gimli::DebuggingInformationEntry<Slice<'a>>;

/// Types of one name that are looked at: each codegen unit has its own copy.
const CANDIDATES: usize = 16;

/// A type in the debug information.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct TypeId {
    unit: u32,
    offset: usize,
}

/// What is known of a type.
#[derive(Debug)]
pub(super) struct Shape {
    /// Without the path.
    pub(super) name: String,
    pub(super) size: u64,
    pub(super) kind: ShapeKind,
    pub(super) from: Origin,
}

/// Whose names a type's fields have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Origin {
    Program,
    /// std's, a lock's, a collection's.
    Foreign,
    /// This crate's: a handle is one of its types.
    Refscope,
}

#[derive(Debug)]
pub(super) enum ShapeKind {
    /// A struct, a tuple, an enum, a union, a closure or an async block.
    Struct {
        members: Vec<Member>,
        /// Of an enum, or the states of an async block: one of them is there at a time.
        variants: Vec<Member>,
        /// The first type that it is generic over.
        parameter: Option<TypeId>,
    },
    Array {
        element: TypeId,
    },
    Pointer {
        to: TypeId,
    },
    Other,
}

#[derive(Debug)]
pub(super) struct Member {
    pub(super) name: String,
    pub(super) offset: u64,
    pub(super) ty: TypeId,
}

/// The types that were asked for, and what they consist of.
pub(super) struct Types<'a> {
    dwarf: gimli::Dwarf<Slice<'a>>,
    units: Vec<Unit<'a>>,
    /// For each unit where its top-level namespaces begin, and whose they are.
    namespaces: Vec<Vec<(usize, Origin)>>,
    /// The crates that were compiled where their sources are, not downloaded: one may be named as a foreign one.
    local: HashSet<String>,
    named: HashMap<Key, Vec<(String, TypeId)>>,
    /// The last names in their keys.
    lasts: Vec<String>,
    /// By address as symbols have it.
    statics: BTreeMap<u64, TypeId>,
    /// By offset in a thread's.
    /// None where there are several: those that the linker has left out are all said to be at the first place.
    thread_locals: BTreeMap<u64, Option<TypeId>>,
    /// What is added to a place in the file to get such an address.
    bias: u64,
    shapes: RefCell<HashMap<TypeId, Option<Rc<Shape>>>>,
}

impl<'a> Types<'a> {
    /// Finds these types of a program, and its statics if they are asked for. `None` where there is no debug information of types, or
    /// where the time is up.
    pub(super) fn read(
        data: &'a [u8],
        program: &str,
        names: &HashSet<&str>,
        with_statics: bool,
        budget: Duration,
    ) -> Option<Self> {
        let file = object::File::parse(data).ok()?;
        let endian =
            if file.is_little_endian() { RunTimeEndian::Little } else { RunTimeEndian::Big };
        let section = |id: gimli::SectionId| {
            // A compressed one is not read.
            let data = file.section_by_name(id.name()).and_then(|section| section.data().ok());
            Ok::<_, ()>(Slice::new(data.unwrap_or_default(), endian))
        };
        let dwarf = gimli::Dwarf::load(section).ok()?;
        let bias = file
            .segments()
            .next()
            .map_or(0, |first| first.address().wrapping_sub(first.file_range().0));
        let mut types = Self {
            dwarf,
            units: Vec::new(),
            namespaces: Vec::new(),
            local: HashSet::new(),
            named: names.iter().map(|name| (key(name), Vec::new())).collect(),
            lasts: names.iter().map(|name| key(name).last().to_owned()).collect(),
            statics: BTreeMap::new(),
            thread_locals: BTreeMap::new(),
            bias,
            shapes: RefCell::default(),
        };
        let start = own_time();
        let is_late = || own_time().saturating_sub(start) > budget;
        let mut headers = types.dwarf.units();
        while let Ok(Some(header)) = headers.next() {
            if is_late() {
                return None;
            }
            types.units.extend(types.dwarf.unit(header));
        }
        let of_unit = |unit: &Unit<'a>| {
            let name = unit.name.map(|name| name.to_string_lossy().into_owned())?;
            Some(crate_of_unit(&name)?.to_owned())
        };
        let is_local = |unit: &&Unit<'a>| {
            let directory = unit.comp_dir.map(|directory| directory.to_string_lossy().into_owned());
            directory.is_some_and(|directory| is_of_the_program(&directory))
        };
        types.local = types.units.iter().filter(is_local).filter_map(of_unit).collect();
        // A test's file has a hash behind its name.
        let program = program.replace('-', "_");
        types.local.extend(program.rsplit_once('_').map(|(name, _)| name.to_owned()));
        types.local.insert(program.clone());
        // What is of none of these crates is in none of their units.
        let wanted: HashSet<&str> = names.iter().flat_map(|name| crates(name)).collect();
        let is_wanted = |of: &str| {
            let is_foreign = is_foreign(of) && !types.local.contains(of);
            !is_foreign && wanted.contains(of) || program.starts_with(of)
        };
        let wanted: Vec<bool> = (types.units.iter())
            .map(|unit| of_unit(unit).is_none_or(|of| is_wanted(&of)))
            .collect();
        types.namespaces = vec![Vec::new(); types.units.len()];
        for (unit, is_wanted) in wanted.into_iter().enumerate() {
            if is_late() {
                return None;
            }
            if is_wanted {
                types.index(unit as u32, with_statics);
            }
        }
        Some(types)
    }

    /// Notes the types of a unit that are asked for. What cannot be read ends it.
    fn index(&mut self, number: u32, with_statics: bool) -> Option<()> {
        let unit = &self.units[number as usize];
        let namespaces = &mut self.namespaces[number as usize];
        let mut entries = unit.entries_raw(None).ok()?;
        // Of most types this is all that is looked at.
        let wanted_last: HashSet<&str> = self.lasts.iter().map(|last| &**last).collect();
        // The namespaces that the entry is in, and how deep each is.
        let mut inside: Vec<(isize, String)> = Vec::new();
        while !entries.is_empty() {
            let (offset, depth) = (entries.next_offset(), entries.next_depth());
            let Some(abbreviation) = entries.read_abbreviation().ok()? else { continue };
            inside.truncate(inside.partition_point(|(outer, _)| *outer < depth));
            let tag = abbreviation.tag();
            let is_type = matches!(
                tag,
                gimli::DW_TAG_structure_type
                    | gimli::DW_TAG_union_type
                    | gimli::DW_TAG_enumeration_type
            );
            let is_variable = with_statics && tag == gimli::DW_TAG_variable;
            if !is_type && !is_variable && tag != gimli::DW_TAG_namespace {
                entries.skip_attributes(abbreviation.attributes()).ok()?;
                continue;
            }
            let (mut name, mut ty, mut location) = (None, None, None);
            for specification in abbreviation.attributes() {
                let attribute = entries.read_attribute(*specification).ok()?;
                match attribute.name() {
                    gimli::DW_AT_name => {
                        name = self.dwarf.attr_string(unit, attribute.value()).ok();
                    }
                    gimli::DW_AT_type if is_variable => ty = Some(attribute.value()),
                    gimli::DW_AT_location if is_variable => location = attribute.exprloc_value(),
                    _ => {}
                }
            }
            if is_variable {
                let (Some(location), Some(AttributeValue::UnitRef(ty))) = (location, ty) else {
                    continue;
                };
                let id = TypeId { unit: number, offset: ty.0 };
                let mut operations = location.operations(unit.encoding());
                let mut next = || operations.next().ok().flatten();
                match (next(), next()) {
                    (Some(gimli::Operation::Address { address }), _) => {
                        self.statics.insert(address, id);
                    }
                    (Some(gimli::Operation::AddressIndex { index }), _) => {
                        if let Ok(address) = self.dwarf.address(unit, index) {
                            self.statics.insert(address, id);
                        }
                    }
                    (
                        Some(gimli::Operation::UnsignedConstant { value }),
                        Some(gimli::Operation::TLS),
                    ) => {
                        let known = self.thread_locals.entry(value).or_insert(Some(id));
                        if *known != Some(id) {
                            *known = None;
                        }
                    }
                    _ => {}
                }
                continue;
            }
            let Some(name) = name.and_then(|name| std::str::from_utf8(name.slice()).ok()) else {
                continue;
            };
            if inside.is_empty() {
                let from = match name {
                    "refscope" => Origin::Refscope,
                    name if tag == gimli::DW_TAG_namespace
                        && is_foreign(name)
                        && !self.local.contains(name) =>
                    {
                        Origin::Foreign
                    }
                    _ => Origin::Program,
                };
                if namespaces.last().is_none_or(|(_, last)| *last != from) {
                    namespaces.push((offset.0, from));
                }
            }
            if tag == gimli::DW_TAG_namespace {
                inside.push((depth, name.to_owned()));
                continue;
            }
            if !wanted_last.contains(last_of(name, &inside)) {
                continue;
            }
            let mut full = String::new();
            for (_, outer) in &inside {
                full.push_str(outer);
                full.push_str("::");
            }
            full.push_str(name);
            if let Some(found) = self.named.get_mut(&key(&full)) {
                found.push((normalized(&full), TypeId { unit: number, offset: offset.0 }));
            }
        }
        Some(())
    }

    /// The types that may be the one with this name and size.
    pub(super) fn candidates(&self, name: &str, size: u64) -> Vec<TypeId> {
        let Some(all) = self.named.get(&key(name)) else { return Vec::new() };
        let exact = normalized(name);
        let of_size =
            |&(_, id): &&(String, TypeId)| self.shape(*id).is_some_and(|shape| shape.size == size);
        let mut found: Vec<&(String, TypeId)> = all.iter().filter(of_size).collect();
        if found.iter().any(|(name, _)| *name == exact) {
            found.retain(|(name, _)| *name == exact);
        } else if found.len() > CANDIDATES {
            // Whether all agree would not be known.
            return Vec::new();
        }
        found.into_iter().take(CANDIDATES).map(|(_, id)| *id).collect()
    }

    /// The type of the static at a place in the file, and the offset in it.
    pub(super) fn static_at(&self, place: u64) -> Option<(TypeId, u64)> {
        let address = place.wrapping_add(self.bias);
        let (&start, &id) = self.statics.range(..=address).next_back()?;
        (address - start < self.shape(id)?.size).then_some((id, address - start))
    }

    /// The type of the thread-local at an offset in a thread's, and the offset in it.
    pub(super) fn thread_local_at(&self, offset: u64) -> Option<(TypeId, u64)> {
        let (&start, id) = self.thread_locals.range(..=offset).next_back()?;
        let id = (*id)?;
        (offset - start < self.shape(id)?.size).then_some((id, offset - start))
    }

    /// What a type consists of.
    pub(super) fn shape(&self, id: TypeId) -> Option<Rc<Shape>> {
        if let Some(known) = self.shapes.borrow().get(&id) {
            return known.clone();
        }
        let shape = self.read_shape(id).map(Rc::new);
        self.shapes.borrow_mut().insert(id, shape.clone());
        shape
    }

    fn read_shape(&self, id: TypeId) -> Option<Shape> {
        let unit = self.units.get(id.unit as usize)?;
        let mut tree = unit.entries_tree(Some(UnitOffset(id.offset))).ok()?;
        let root = tree.root().ok()?;
        let entry = root.entry();
        let name = self.name(unit, entry).unwrap_or_default();
        let to = self.type_of(id.unit, entry);
        let size = entry.attr(gimli::DW_AT_byte_size).and_then(gimli::Attribute::udata_value);
        let from = self.origin(id);
        let shape = |size, kind| Some(Shape { name: name.clone(), size, kind, from });
        match entry.tag() {
            gimli::DW_TAG_pointer_type => shape(
                size.unwrap_or_else(|| unit.encoding().address_size.into()),
                to.map_or(ShapeKind::Other, |to| ShapeKind::Pointer { to }),
            ),
            gimli::DW_TAG_array_type => {
                let element = to?;
                let mut count = 0;
                let mut children = root.children();
                while let Ok(Some(child)) = children.next() {
                    let entry = child.entry();
                    let number = |name| entry.attr(name).and_then(gimli::Attribute::udata_value);
                    let last = || number(gimli::DW_AT_upper_bound).map(|last| last + 1);
                    count = number(gimli::DW_AT_count).or_else(last).unwrap_or(count);
                }
                let of = self.shape(element)?;
                let size = of.size.checked_mul(count)?;
                let name = format!("[{}; {count}]", of.name);
                Some(Shape { name, size, kind: ShapeKind::Array { element }, from })
            }
            gimli::DW_TAG_typedef => {
                let same = self.shape(to?)?;
                shape(same.size, ShapeKind::Other)
            }
            gimli::DW_TAG_structure_type | gimli::DW_TAG_union_type => {
                let (mut members, mut variants, mut parameter) = (Vec::new(), Vec::new(), None);
                let mut children = root.children();
                while let Ok(Some(child)) = children.next() {
                    let entry = child.entry();
                    match entry.tag() {
                        gimli::DW_TAG_member => members.extend(self.member(id.unit, entry)),
                        gimli::DW_TAG_template_type_parameter => {
                            parameter = parameter.or_else(|| self.type_of(id.unit, entry));
                        }
                        gimli::DW_TAG_variant_part => {
                            let mut parts = child.children();
                            while let Ok(Some(part)) = parts.next() {
                                if part.entry().tag() != gimli::DW_TAG_variant {
                                    continue;
                                }
                                let mut payloads = part.children();
                                while let Ok(Some(payload)) = payloads.next() {
                                    variants.extend(self.member(id.unit, payload.entry()));
                                }
                            }
                        }
                        _ => {}
                    }
                }
                shape(size.unwrap_or(0), ShapeKind::Struct { members, variants, parameter })
            }
            _ => shape(size.unwrap_or(0), ShapeKind::Other),
        }
    }

    fn member(&self, unit: u32, entry: &Entry<'a>) -> Option<Member> {
        let name = self.name(&self.units[unit as usize], entry)?;
        let offset = entry.attr(gimli::DW_AT_data_member_location);
        let offset = offset.and_then(gimli::Attribute::udata_value).unwrap_or(0);
        Some(Member { name, offset, ty: self.type_of(unit, entry)? })
    }

    fn name(&self, unit: &Unit<'a>, entry: &Entry<'a>) -> Option<String> {
        let name = self.dwarf.attr_string(unit, entry.attr_value(gimli::DW_AT_name)?).ok()?;
        Some(name.to_string_lossy().into_owned())
    }

    fn type_of(&self, unit: u32, entry: &Entry<'a>) -> Option<TypeId> {
        match entry.attr_value(gimli::DW_AT_type)? {
            AttributeValue::UnitRef(offset) => Some(TypeId { unit, offset: offset.0 }),
            // Of another unit: link-time optimisation has them.
            AttributeValue::DebugInfoRef(offset) => {
                let start = |unit: &Unit<'a>| unit.header.debug_info_offset().map_or(0, |it| it.0);
                let at =
                    self.units.partition_point(|unit| start(unit) <= offset.0).checked_sub(1)?;
                let offset = offset.to_unit_offset(&self.units[at].header)?;
                Some(TypeId { unit: at as u32, offset: offset.0 })
            }
            _ => None,
        }
    }

    fn origin(&self, id: TypeId) -> Origin {
        let namespaces = &self.namespaces[id.unit as usize];
        let at = namespaces.partition_point(|&(start, _)| start <= id.offset);
        at.checked_sub(1).map_or(Origin::Program, |at| namespaces[at].1)
    }
}

/// The last name of a type, in these namespaces, that is no closure: as its key will have it.
fn last_of<'a>(name: &'a str, inside: &'a [(isize, String)]) -> &'a str {
    let outer = inside.iter().rev().map(|(_, outer)| &**outer);
    let mut names = std::iter::once(name).chain(outer);
    let last = names.find(|name| !type_name::is_closure(name)).unwrap_or_default();
    match last.as_bytes().first() {
        Some(b'(' | b'[' | b'&' | b'*') => &last[..1],
        _ => last.split('<').next().unwrap_or_default(),
    }
}

/// Whether a crate that was compiled there is the program's own: not std, nor one that Cargo has downloaded.
fn is_of_the_program(directory: &str) -> bool {
    let others = ["/rustc/", "/rust/deps/", "/registry/src/", "/git/checkouts/", "/vendor/"];
    !others.iter().any(|other| directory.contains(other))
}

/// The crate of a codegen unit: `src/main.rs/@/app.1f3a-cgu.0`. One that was compiled incrementally has no crate in its name.
fn crate_of_unit(name: &str) -> Option<&str> {
    Some(name.rsplit_once("/@/")?.1.split_once('.')?.0)
}

#[cfg(test)]
mod tests {
    use super::{crate_of_unit, is_of_the_program};

    #[test]
    fn downloaded_crates_are_not_the_programs() {
        assert!(is_of_the_program("/home/me/app"));
        for other in [
            "/rustc/5980",
            "/rust/deps/hashbrown-0.16",
            "/me/.cargo/registry/src/crates.io-1/slab-0.4.9",
        ] {
            assert!(!is_of_the_program(other));
        }
    }

    #[test]
    fn units_are_of_a_crate() {
        for (unit, of) in [
            ("src/main.rs/@/app.7rcbfp3g-cgu.0", Some("app")),
            ("src/main.rs/@/0r7arowpjayma3qfcpmqhdber", None),
            ("library.c", None),
        ] {
            assert_eq!(crate_of_unit(unit), of);
        }
    }
}
