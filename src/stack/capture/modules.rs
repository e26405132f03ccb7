//! What is loaded into this process: the executable, and shared libraries.

use std::ffi::{CStr, OsStr, c_int, c_void};
use std::ops::Range;
use std::os::unix::ffi::OsStrExt as _;
use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};

/// An executable or shared library in this process's memory.
#[derive(Clone, Debug)]
pub(super) struct Module {
    /// Where it was loaded from. An executable's is what `/proc/self/exe` names.
    pub(super) path: PathBuf,
    /// Whether it is the executable.
    #[cfg_attr(not(feature = "stacks"), allow(dead_code))]
    pub(super) main: bool,
    /// What is added to an address in the file to get one in memory.
    pub(super) bias: usize,
    /// From its first loaded segment to the end of its last.
    pub(super) range: Range<usize>,
    /// Its code, in memory.
    #[cfg_attr(not(feature = "stacks"), allow(dead_code))]
    pub(super) text: Range<usize>,
    /// The table of contents of its unwind tables, and the segment that it lies in, in memory.
    #[cfg_attr(not(feature = "stacks"), allow(dead_code))]
    pub(super) unwind_header: Option<(Range<usize>, Range<usize>)>,
    /// What the linker calls this very build, in hexadecimal.
    pub(super) build_id: Option<String>,
}

/// What is loaded, looked at again when an address is not in it.
#[derive(Default)]
pub(in crate::stack) struct Modules(Vec<Module>);

impl Modules {
    /// Returns the index of the module that an address lies in, and the address as the module's file has it.
    pub(in crate::stack) fn locate(&mut self, address: usize) -> Option<(usize, u64)> {
        let find = |all: &[Module]| all.iter().position(|module| module.range.contains(&address));
        let index = find(&self.0).or_else(|| {
            // Those that are known keep their index.
            for module in loaded() {
                if !self.0.iter().any(|known| known.range == module.range) {
                    self.0.push(module);
                }
            }
            find(&self.0)
        })?;
        Some((index, address.wrapping_sub(self.0[index].bias) as u64))
    }

    /// Returns a module's path, and the linker's name of the build.
    pub(in crate::stack) fn name(&self, index: usize) -> (String, Option<&str>) {
        let module = &self.0[index];
        (module.path.display().to_string(), module.build_id.as_deref())
    }
}

/// Calls `each` for what is loaded, until it returns `true`.
pub(crate) fn each_loaded(mut each: impl FnMut(&libc::dl_phdr_info, bool) -> bool) {
    struct Walk<'a> {
        each: &'a mut dyn FnMut(&libc::dl_phdr_info, bool) -> bool,
        first: bool,
    }
    unsafe extern "C" fn step(info: *mut libc::dl_phdr_info, _: usize, data: *mut c_void) -> c_int {
        // SAFETY: LOADED: the data passed below, which nobody else has until the call returns.
        let walk = unsafe { &mut *data.cast::<Walk<'_>>() };
        // SAFETY: LOADED: the loader's description, for this call.
        let info = unsafe { &*info };
        let first = std::mem::replace(&mut walk.first, false);
        c_int::from((walk.each)(info, first))
    }
    let mut walk = Walk { each: &mut each, first: true };
    // SAFETY: LOADED: `step` doesn't unwind (a panic in it aborts), and the data outlive the call.
    unsafe { libc::dl_iterate_phdr(Some(step), (&raw mut walk).cast()) };
}

/// The program headers of a loaded file.
pub(crate) fn segments(info: &libc::dl_phdr_info) -> &[libc::Elf64_Phdr] {
    if info.dlpi_phdr.is_null() {
        return &[];
    }
    // SAFETY: LOADED: the program headers of a loaded file, as many as the loader says.
    unsafe { std::slice::from_raw_parts(info.dlpi_phdr, usize::from(info.dlpi_phnum)) }
}

fn in_memory(info: &libc::dl_phdr_info, segment: &libc::Elf64_Phdr) -> Range<usize> {
    let start = (info.dlpi_addr as usize).wrapping_add(segment.p_vaddr as usize);
    start..start.wrapping_add(segment.p_memsz as usize)
}

/// The part of a file in memory.
fn range(info: &libc::dl_phdr_info) -> Option<Range<usize>> {
    let mut loaded = segments(info).iter().filter(|segment| segment.p_type == libc::PT_LOAD);
    let first = in_memory(info, loaded.next()?);
    let last = loaded.next_back().map_or(first.end, |last| in_memory(info, last).end);
    Some(first.start..last)
}

/// Returns what is loaded now.
pub(super) fn loaded() -> Vec<Module> {
    let mut modules = Vec::new();
    each_loaded(|info, main| {
        modules.extend(module(info, main));
        false
    });
    modules
}

/// Of a segment: it may be executed. (Older versions of the crate libc do not have it.)
const PF_X: u32 = 1;

fn module(info: &libc::dl_phdr_info, main: bool) -> Option<Module> {
    let all = segments(info);
    let find = |kind| all.iter().find(|segment| segment.p_type == kind);
    let code = all.iter().find(|s| s.p_type == libc::PT_LOAD && s.p_flags & PF_X != 0);
    let unwind_header =
        find(libc::PT_GNU_EH_FRAME).map(|s| in_memory(info, s)).and_then(|header| {
            let loaded = all.iter().filter(|s| s.p_type == libc::PT_LOAD);
            let mut ranges = loaded.map(|segment| in_memory(info, segment));
            Some((header.clone(), ranges.find(|range| range.contains(&header.start))?))
        });
    let path = if main {
        std::env::current_exe().unwrap_or_default()
    } else {
        // SAFETY: LOADED: the loader's own string, for this call.
        let name = unsafe { CStr::from_ptr(info.dlpi_name) };
        PathBuf::from(OsStr::from_bytes(name.to_bytes()))
    };
    Some(Module {
        path,
        main,
        bias: info.dlpi_addr as usize,
        range: range(info)?,
        text: code.map(|segment| in_memory(info, segment)).unwrap_or_default(),
        unwind_header,
        build_id: all
            .iter()
            .filter(|segment| segment.p_type == libc::PT_NOTE)
            .find_map(|segment| build_id(notes(info, segment)?)),
    })
}

fn notes<'a>(info: &'a libc::dl_phdr_info, segment: &libc::Elf64_Phdr) -> Option<&'a [u8]> {
    let (range, whole) = (in_memory(info, segment), range(info)?);
    if range.start < whole.start || range.end > whole.end || range.is_empty() {
        return None;
    }
    let start = std::ptr::with_exposed_provenance::<u8>(range.start);
    // SAFETY: LOADED: notes are in a loaded segment, which can be read.
    Some(unsafe { std::slice::from_raw_parts(start, range.len()) })
}

/// Finds the linker's build id in a file's notes: `size of name, size of value, kind, name, value`, each padded to 4.
fn build_id(mut notes: &[u8]) -> Option<String> {
    const NT_GNU_BUILD_ID: u32 = 3;
    let take = |notes: &mut &[u8], len: usize| {
        let (part, rest) = notes.split_at_checked(len)?;
        *notes = rest.get(len.next_multiple_of(4) - len..).unwrap_or_default();
        Some(part.to_owned())
    };
    loop {
        let header = take(&mut notes, 12)?;
        let word = |at: usize| Some(u32::from_ne_bytes(header.get(at..at + 4)?.try_into().ok()?));
        let name = take(&mut notes, word(0)? as usize)?;
        let value = take(&mut notes, word(4)? as usize)?;
        if word(8)? == NT_GNU_BUILD_ID && name == *b"GNU\0" {
            return Some(value.iter().map(|byte| format!("{byte:02x}")).collect());
        }
    }
}

/// Returns whether what lies at an address was loaded from a file.
#[cfg(feature = "stacks")]
pub(super) fn is_loaded(address: usize) -> bool {
    let mut found = false;
    each_loaded(|info, _| {
        found = range(info).is_some_and(|range| range.contains(&address));
        found
    });
    found
}

/// Returns whether code lies in the module that refscope itself is linked into.
pub(super) fn is_own(address: usize) -> bool {
    static OWN: [AtomicUsize; 2] = [const { AtomicUsize::new(0) }; 2];
    // Relaxed: both are always found to be the same, and a half that is 0 is looked up again.
    let [start, end] = [&OWN[0], &OWN[1]].map(|bound| bound.load(Ordering::Relaxed));
    if start != 0 && end != 0 {
        return (start..end).contains(&address);
    }
    let here = is_own as fn(usize) -> bool as usize;
    let mut own = 0..0;
    each_loaded(|info, _| {
        own = range(info).filter(|range| range.contains(&here)).unwrap_or(0..0);
        !own.is_empty()
    });
    OWN[0].store(own.start, Ordering::Relaxed);
    OWN[1].store(own.end, Ordering::Relaxed);
    own.contains(&address)
}

#[cfg(test)]
mod tests {
    use super::{build_id, is_own, loaded};

    #[test]
    fn the_executable_and_libc_are_loaded() {
        let modules = loaded();
        let here = the_executable_and_libc_are_loaded as fn() as usize;
        let own: Vec<_> = modules.iter().filter(|module| module.range.contains(&here)).collect();
        assert_eq!(own.len(), 1);
        assert!(own[0].main && own[0].text.contains(&here), "{own:?}");
        assert_eq!(own[0].path, std::env::current_exe().expect("a test's"));
        let libc = libc::getpid as unsafe extern "C" fn() -> i32 as usize;
        assert!(is_own(here) && !is_own(libc) && !is_own(0));
        assert!(modules.iter().any(|module| module.range.contains(&libc) && !module.main));
    }

    #[test]
    fn a_build_id_is_found_among_notes() {
        let mut notes = Vec::new();
        let mut note = |name: &[u8], value: &[u8], kind: u32| {
            for word in [name.len() as u32, value.len() as u32, kind] {
                notes.extend(word.to_ne_bytes());
            }
            for part in [name, value] {
                notes.extend(part);
                notes.resize(notes.len().next_multiple_of(4), 0);
            }
        };
        note(b"GNU\0", &[1, 2, 3], 5);
        note(b"stapsdt\0", &[7; 5], 3);
        note(b"GNU\0", &[0xab, 0xcd, 0x01], 3);
        assert_eq!(build_id(&notes).as_deref(), Some("abcd01"));
        for cut in 0..notes.len() - 1 {
            assert_eq!(build_id(&notes[..cut]), None, "cut at {cut}");
        }
    }
}
