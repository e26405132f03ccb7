//! The futures of tasks, by the debug information of the functions that a runtime has for each: for programs whose symbols do not
//! have them, as the compiler's default ones of generic functions do not.

use super::registers::own_time;
use addr2line::gimli::{self, AttributeValue, RunTimeEndian};
use object::{Object as _, ObjectSection as _};
use std::collections::{HashMap, HashSet};
use std::path::Path;
use std::time::Duration;

type Slice<'a> = gimli::EndianSlice<'a, RunTimeEndian>;

/// How long it is read. It is a matter of milliseconds; of what is left then, the runtime is named.
const BUDGET: Duration = Duration::from_millis(500);

/// Returns the futures that these functions, given by their addresses in the file, are for.
pub(super) fn read(path: &Path, functions: &HashSet<u64>) -> HashMap<u64, String> {
    let mut names = HashMap::new();
    // What cannot be read ends it.
    let _ = read_into(path, functions, &mut names);
    names
}

fn read_into(
    path: &Path,
    functions: &HashSet<u64>,
    names: &mut HashMap<u64, String>,
) -> Option<()> {
    let data = object::ReadCache::new(std::fs::File::open(path).ok()?);
    let file = object::File::parse(&data).ok()?;
    let endian = if file.is_little_endian() { RunTimeEndian::Little } else { RunTimeEndian::Big };
    let section = |id: gimli::SectionId| {
        // A compressed one is not read.
        let data = file.section_by_name(id.name()).and_then(|section| section.data().ok());
        Ok::<_, ()>(Slice::new(data.unwrap_or_default(), endian))
    };
    let dwarf = gimli::Dwarf::load(section).ok()?;
    let start = own_time();
    let mut headers = dwarf.units();
    while let Some(header) = headers.next().ok()? {
        if names.len() == functions.len() || own_time().saturating_sub(start) > BUDGET {
            break;
        }
        let unit = dwarf.unit(header).ok()?;
        if has_any(&dwarf, &unit, functions)? {
            read_unit(&dwarf, &unit, functions, names)?;
        }
    }
    Some(())
}

fn has_any<'a>(
    dwarf: &gimli::Dwarf<Slice<'a>>,
    unit: &gimli::Unit<Slice<'a>>,
    functions: &HashSet<u64>,
) -> Option<bool> {
    let mut ranges = dwarf.unit_ranges(unit).ok()?;
    while let Some(range) = ranges.next().ok()? {
        if functions.iter().any(|function| (range.begin..range.end).contains(function)) {
            return Some(true);
        }
    }
    Some(false)
}

fn read_unit<'a>(
    dwarf: &gimli::Dwarf<Slice<'a>>,
    unit: &gimli::Unit<Slice<'a>>,
    functions: &HashSet<u64>,
    names: &mut HashMap<u64, String>,
) -> Option<()> {
    let mut entries = unit.entries_raw(None).ok()?;
    while !entries.is_empty() {
        let Some(abbreviation) = entries.read_abbreviation().ok()? else { continue };
        if abbreviation.tag() != gimli::DW_TAG_subprogram {
            entries.skip_attributes(abbreviation.attributes()).ok()?;
            continue;
        }
        let (mut address, mut name, mut declared) = (None, None, None);
        for specification in abbreviation.attributes() {
            let attribute = entries.read_attribute(*specification).ok()?;
            match attribute.name() {
                gimli::DW_AT_low_pc => {
                    address = dwarf.attr_address(unit, attribute.value()).ok().flatten();
                }
                gimli::DW_AT_name => name = Some(attribute.value()),
                gimli::DW_AT_specification | gimli::DW_AT_abstract_origin => {
                    declared = Some(attribute.value());
                }
                _ => {}
            }
        }
        let Some(address) = address.filter(|address| functions.contains(address)) else { continue };
        if let (None, Some(AttributeValue::UnitRef(offset))) = (&name, declared) {
            name = unit.entry(offset).ok().and_then(|entry| entry.attr_value(gimli::DW_AT_name));
        }
        let name = name.and_then(|name| dwarf.attr_string(unit, name).ok());
        if let Some(future) = name.and_then(|name| future_of(&name.to_string_lossy())) {
            names.insert(address, future);
        }
    }
    Some(())
}

/// The future's name as its source has it, of a function that is generic over it: `poll<app::serve::{async_fn_env#0}, S>`.
fn future_of(function: &str) -> Option<String> {
    let (_, mut future) = function.split_once('<')?;
    // A future in what a runtime puts around each: the type without a name is the user's.
    loop {
        future = first_parameter(future);
        match future.split_once('<') {
            Some((outer, inner)) if !outer.contains("::{") && inner.contains("::{") => {
                future = inner;
            }
            _ => break,
        }
    }
    let without_generics = future.split('<').next().unwrap_or(future);
    let parts: Vec<&str> =
        without_generics.split("::").filter(|part| !part.starts_with('{')).collect();
    // Of one that has a name it is the whole.
    let name = if parts.len() == without_generics.split("::").count() {
        future.to_owned()
    } else {
        parts.join("::")
    };
    (!name.is_empty()).then_some(name)
}

/// The first of type parameters that end somewhere.
pub(super) fn first_parameter(parameters: &str) -> &str {
    let mut depth = 0_usize;
    let end = parameters.find(|c| {
        match c {
            '<' | '(' | '[' => depth += 1,
            '>' | ')' | ']' if depth > 0 => depth -= 1,
            ',' | '>' => return depth == 0,
            _ => {}
        }
        false
    });
    parameters[..end.unwrap_or(parameters.len())].trim_end()
}

#[cfg(test)]
mod tests {
    use super::future_of;

    #[test]
    fn futures_are_named_as_in_the_source() {
        for (function, name) in [
            (
                "poll<app::chat::lurk::{async_fn_env#0}, alloc::sync::Arc<tokio::Handle, A>>",
                "app::chat::lurk",
            ),
            (
                "poll<app::server::{impl#0}::connect::{async_fn#0}::{async_block_env#0}, S>",
                "app::server::connect",
            ),
            ("poll<app::spawn_all::{async_block_env#1}<app::Job<u8>>, S>", "app::spawn_all"),
            (
                "schedule<core::pin::Pin<alloc::boxed::Box<async_executor::AsyncCallOnDrop<\
                 app::watch::{async_fn_env#0}, async_executor::{impl#5}::spawn::{closure_env#0}<()>>, A>>, (), S, ()>",
                "app::watch",
            ),
            ("poll<app::Timer<(u8, u16)>, S>", "app::Timer<(u8, u16)>"),
        ] {
            assert_eq!(future_of(function).as_deref(), Some(name), "{function}");
        }
        assert_eq!(future_of("poll"), None);
        assert_eq!(future_of("poll<>"), None);
    }
}
